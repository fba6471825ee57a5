"""MicroGPT: cached = uncached, causal, ends where it says."""

from __future__ import annotations

import pytest
import torch

from neurovlm.core.errors import UsageError
from neurovlm.language.cross_attention import TemporalCrossAttention
from neurovlm.language.decoder import Context, DecoderConfig, MicroGPT
from neurovlm.language.tokenizer import END

CONFIG = DecoderConfig(dim=16, depth=2, heads=2, max_words=9)
N_IDS, MEMORY_DIM, STATE_DIM, N = 11, 12, 10, 7


@pytest.fixture
def decoder() -> MicroGPT:
    torch.manual_seed(0)
    built = MicroGPT(CONFIG, N_IDS, MEMORY_DIM, STATE_DIM).eval().requires_grad_(False)
    for parameter in built.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return built


def context(decoder: MicroGPT, n_streams: int = 3) -> Context:
    generator = torch.Generator().manual_seed(1)
    return decoder.context(
        torch.randn(n_streams, STATE_DIM, generator=generator),
        torch.randn(n_streams, N, MEMORY_DIM, generator=generator),
        torch.randint(0, 9, (n_streams, N), generator=generator),
        torch.randint(0, 9, (n_streams, N), generator=generator),
    )


def test_cached_decoding_equals_uncached(decoder):
    given = context(decoder)
    ids, probabilities = decoder.generate(given)
    for stream in range(3):
        one = torch.tensor([stream])
        words = torch.empty(1, 0, dtype=torch.int64)
        alone = Context(
            given.opening[one],
            *(tuple(layer[one] for layer in layers) for layers in given[1:]),
        )
        for step in range(ids.shape[1]):
            logits = decoder(words, alone)[:, -1]
            probability, word = logits.softmax(-1).max(-1)
            assert int(word) == int(ids[stream, step])
            torch.testing.assert_close(probability[0], probabilities[stream, step])
            if int(word) == END:
                break
            words = torch.cat([words, word[:, None]], 1)


def test_later_words_change_no_earlier_logits(decoder):
    given = context(decoder, 1)
    one, two = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 2, 9, 9]])
    first, second = decoder(one, given), decoder(two, given)
    torch.testing.assert_close(first[:, :3], second[:, :3])
    assert not torch.allclose(first[:, 3:], second[:, 3:])


def test_a_caption_that_ends_is_padded_with_ends(decoder):
    decoder.out.bias[END] = 50.0
    ids, probabilities = decoder.generate(context(decoder))
    assert ids.tolist() == [[END]] * 3
    assert probabilities.min() > 0.99


def test_streams_that_end_early_do_not_disturb_the_others(decoder):
    together, _ = decoder.generate(context(decoder))
    given = context(decoder)
    for stream in range(3):
        one = torch.tensor([stream])
        alone, _ = decoder.generate(
            Context(
                given.opening[one],
                *(tuple(layer[one] for layer in layers) for layers in given[1:]),
            )
        )
        length = alone.shape[1]
        assert together[stream, :length].tolist() == alone[0].tolist()
        assert all(i == END for i in together[stream, length:].tolist()) or length == 9


def test_never_longer_than_max_words(decoder):
    decoder.out.bias[END] = -50.0
    ids, _ = decoder.generate(context(decoder))
    assert ids.shape == (3, CONFIG.max_words)


def test_bias_of_cross_attention_favours_change_and_freshness():
    torch.manual_seed(0)
    cross = TemporalCrossAttention(8, MEMORY_DIM, 2).requires_grad_(False)
    changed = cross.bias(torch.tensor([[0.0, 1.0]]), torch.zeros(1, 2))[0, 0, 0]
    assert float(changed[1] - changed[0]) == pytest.approx(0.5, abs=1e-4)
    aged = cross.bias(torch.zeros(1, 2), torch.tensor([[0, 5]]))[0, 0, 0]
    assert aged[1] < aged[0]
    cross.raw_bias.fill_(-100.0)  # as far down as training could push them: never negative
    assert cross.bias(torch.ones(1, 2), torch.tensor([[0, 5]])).abs().max() < 1e-6


@pytest.mark.parametrize("bad", [{"dim": 15}, {"heads": 0}, {"max_words": 0}])
def test_config_refuses_nonsense(bad):
    with pytest.raises(UsageError, match="decoder: "):
        DecoderConfig(**bad)
