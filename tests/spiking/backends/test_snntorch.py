"""snnTorch: the reset that agrees, the one that does not, and states that pass between engines."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.core.errors import MissingComponentError
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import CASES, assert_same_spikes

RECURRENT = next(case for case in CASES if case.name == "recurrent")


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_states_equal_the_references(precision):
    graph, spikes = RECURRENT.build()
    graph = graph.with_precision(precision)
    got, expected = (get_backend(name).run(graph, spikes) for name in ("snntorch", "reference"))
    assert_same_spikes(got, expected)
    for name in expected.spikes:
        for field in ("u", "v"):
            mine, theirs = got.state.cells[name][field], expected.state.cells[name][field]
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs)


def test_a_run_begun_on_another_backend_can_be_continued():
    graph, spikes = RECURRENT.build()
    graph = graph.with_precision("float64")
    half = spikes.n_ticks // 2
    first = get_backend("fast").run(graph, spikes.between(0, half))
    second = get_backend("snntorch").run(graph, spikes.between(half, spikes.n_ticks), first.state)
    whole = get_backend("reference").run(graph, spikes)
    for name, train in whole.spikes.items():
        assert train.between(half, spikes.n_ticks).differing(second.spikes[name]) == 0


def test_without_snntorch_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "snntorch", None)
    graph, spikes = RECURRENT.build()
    with pytest.raises(MissingComponentError, match=r"snntorch backend .* pip install"):
        get_backend("snntorch").run(graph.with_precision("float64"), spikes)
