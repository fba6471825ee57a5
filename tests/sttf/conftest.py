"""Small random encoders, windows and histories."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from neurovlm.sttf.embed import PatchEmbed
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.vit import EncoderConfig, Rows, SparseViT

SMALL = EncoderConfig(dim=16, depth=2, heads=2, grid_side=5, patch=3)


class PrefixEmbed(PatchEmbed):
    """Patches, and class tokens before them."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config.dim, config.channels, config.grid)
        self.prefix = nn.Parameter(torch.randn(config.n_prefix, config.dim))


def make_encoder(config: EncoderConfig = SMALL, seed: int = 0) -> SparseViT:
    """Encoder with random weights everywhere, attention sharp enough to matter."""
    torch.manual_seed(seed)
    embed = PrefixEmbed(config) if config.n_prefix else None
    built = SparseViT(config, embed).eval().requires_grad_(False)
    for parameter in built.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    for block in built.blocks:
        block.qkv.weight.mul_(3)
    return built


def make_counts(seed: int, n_streams: int = 1, config: EncoderConfig = SMALL) -> Tensor:
    """Random spike counts."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n_streams, config.channels, config.grid.pixels, config.grid.pixels)
    return torch.randint(0, 4, shape, generator=generator, dtype=torch.uint8)


def make_history(
    encoder: SparseViT, n_streams: int = 1, n_windows: int = 6, seed: int = 1
) -> TokenMemory:
    """Memory after a dense window and some with random active sets, ragged over the streams."""
    generator = torch.Generator().manual_seed(seed)
    n = encoder.config.grid.n_patches
    memory = encoder.dense((make_counts(seed, n_streams, encoder.config), None))
    for window in range(n_windows):
        k = int(torch.randint(1, n, (), generator=generator))
        index = torch.rand(n_streams, n, generator=generator).argsort(-1)[:, :k]
        valid = torch.rand(n_streams, k, generator=generator) < 0.8
        counts = make_counts(100 * seed + window, n_streams, encoder.config)
        memory, _ = encoder.step((counts, None), Rows(index, valid), memory)
    return memory


@pytest.fixture
def make() -> SimpleNamespace:
    """Builders: ``make.encoder``, ``make.counts``, ``make.history``, ``make.small``."""
    return SimpleNamespace(
        encoder=make_encoder, counts=make_counts, history=make_history, small=SMALL
    )
