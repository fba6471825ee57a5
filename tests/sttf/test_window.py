"""A window that cannot be taken is refused in one line, before anything is computed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurovlm.core.errors import UsageError
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.sttf.window import encode_window

POLICY = PolicyConfig(max_active=8, n_refresh=2)
N = 25


def inputs_of(make, n_streams: int = 2):
    changed = torch.ones(n_streams, N, dtype=torch.bool)
    return (make.counts(3, n_streams), None), changed, changed.long()


def put(value: float):
    """Float values of the same shape, one of them ``value``."""

    def spoil(tensor):
        spoilt = tensor.float()
        spoilt.view(-1)[5] = value
        return spoilt

    return spoil


BAD = [
    ("counts", put(float("nan")), "holds NaN or infinity"),
    ("counts", put(float("inf")), "holds NaN or infinity"),
    ("counts", lambda counts: None, "what the encoder sees by is missing"),
    ("counts", lambda counts: counts[:1], r"inputs of \[2, 2, 1\] streams"),
    ("changed", lambda changed: changed[:, :7], r"changed must be \(streams, 25\).*got \(2, 7\)"),
    ("changed", lambda changed: changed[0], r"changed must be \(streams, 25\).*got \(25,\)"),
    ("changed", lambda changed: changed[:1], r"inputs of \[1, 2, 2\] streams"),
    ("score", lambda score: score[:, None], r"score must be \(streams, 25\)"),
    ("score", lambda score: -score, "scores must be at least 0, got -1"),
    ("score", put(float("nan")), "holds NaN or infinity"),
]


@pytest.mark.parametrize(("name", "spoil", "message"), BAD)
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_bad_input_is_named(make, name, spoil, message, first):
    encoder = make.encoder()
    (counts, _), changed, score = inputs_of(make)
    state = None
    if not first:
        state = encode_window(encoder, POLICY, (counts, None), changed, score, None).state
    given = {"counts": counts, "changed": changed, "score": score}
    given[name] = spoil(given[name])
    calls = []
    encoder.embed.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(UsageError, match=message) as error:
        encode_window(
            encoder, POLICY, (given["counts"], None), given["changed"], given["score"], state
        )
    assert "\n" not in str(error.value)
    assert not calls


@pytest.mark.parametrize(
    "changes",
    [{"dim": 8}, {"depth": 3}, {"gate_tau": 0.1}, {"remember": "tokens"}, {"n_prefix": 1}],
    ids=str,
)
def test_a_state_of_another_encoder_is_refused(make, changes):
    inputs, changed, score = inputs_of(make)
    theirs = encode_window(make.encoder(), POLICY, inputs, changed, score, None).state
    other = make.encoder(replace(make.small, **changes))
    with pytest.raises(UsageError, match="the state is of another model"):
        encode_window(other, POLICY, inputs, changed, score, theirs)


def test_a_state_of_another_number_of_streams_is_refused(make):
    encoder = make.encoder()
    inputs, changed, score = inputs_of(make, 3)
    three = encode_window(encoder, POLICY, inputs, changed, score, None).state
    inputs, changed, score = inputs_of(make, 2)
    with pytest.raises(UsageError, match="the state is of 3 streams, the window of 2"):
        encode_window(encoder, POLICY, inputs, changed, score, three)
