"""Engines of the encoder on one thread, against plain torch.

    python -m benchmarks.bench_engines [--rounds 15] [--json FILE]

Plain torch is a dense step by ``nn.Linear`` and an attention that is ``softmax`` or
``scaled_dot_product_attention``, whichever is faster, in float32. All calls take turns in every
round; a speed-up is the median over the rounds of plain over ours. Drift is that of tokens after
``STEPS`` sparse steps from the same state, against `SparseViT` in float32. Weights are random:
drift of a trained model is measured elsewhere.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.common import machine, ratio, seconds_of, show, take_turns
from neurovlm.sttf.block import Rows
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.engine import Engine, Segment
from neurovlm.sttf.engine.engine import Kind
from neurovlm.sttf.engine.linear import Precision
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.vit import SparseViT

PIXELS = 16 * 16 * 3
N_ACTIVE = 31
GROUP = 3
STEPS = 8
KINDS: list[tuple[Precision, Kind]] = [
    ("fp32", "torch"),
    ("bf16", "torch"),
    ("int8", "torch"),
    ("fp32", "onnx"),
    ("int8", "onnx"),
]
TARGET = {"fp32": 4.2, "best": 10.0, "streams": 6.0, "cosine": 0.99, "fp32 error": 1e-5}


@dataclass(frozen=True)
class Shape:
    """What is measured: an encoder and how many streams it serves."""

    name: str
    dim: int
    heads: int
    n_prefix: int
    n_streams: int


VIT_B = Shape("ViT-B (d768 L12, CLS), one stream", 768, 12, 1, 1)
STREAMS = Shape("d384 L12, 16 streams", 384, 6, 0, 16)


class Patches(nn.Module):
    """Pixels of patches ``(B, 196, 768)`` to tokens, chosen ones only."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.project = nn.Linear(PIXELS, config.dim)
        self.position = nn.Parameter(0.3 * torch.randn(config.grid.n_patches, config.dim))
        self.prefix = nn.Parameter(torch.randn(config.n_prefix, config.dim))

    def forward(self, inputs: tuple[Tensor], index: Tensor | None = None) -> Tensor:
        (pixels,) = inputs
        if index is None:
            return self.project(pixels) + self.position
        chosen = pixels.gather(1, index[..., None].expand(-1, -1, PIXELS))
        return self.project(chosen) + self.position[index]


def make_encoder(shape: Shape) -> SparseViT:
    torch.manual_seed(0)
    config = EncoderConfig(
        dim=shape.dim, depth=12, heads=shape.heads, n_prefix=shape.n_prefix, eps=1e-6
    )
    return SparseViT(config, Patches(config)).eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class Window:
    """Pixels of all streams and the patches that are computed."""

    pixels: Tensor
    index: Tensor

    @property
    def rows(self) -> Rows:
        return Rows(self.index, None)


def windows(shape: Shape, n: int, seed: int = 1) -> list[Window]:
    generator = torch.Generator().manual_seed(seed)
    size = (shape.n_streams, 196)
    return [
        Window(
            torch.randn(*size, PIXELS, generator=generator),
            torch.rand(*size, generator=generator).argsort(-1)[:, :N_ACTIVE],
        )
        for _ in range(n)
    ]


def plain_dense(vit: SparseViT, pixels: Tensor, fused: bool) -> Tensor:
    """The dense step as one would write it in torch."""
    x = vit.embed((pixels,))
    x = torch.cat([cast("Tensor", vit.embed.prefix).expand(len(x), -1, -1), x], dim=1)
    b, r, d = x.shape
    for block in vit.layers:
        qkv = block.qkv(block.norm1(x)).view(b, r, 3, block.heads, d // block.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        if fused:
            mixed = functional.scaled_dot_product_attention(query, key, value)
        else:
            logits = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
            mixed = logits.softmax(-1) @ value
        x = x + block.proj(mixed.transpose(1, 2).reshape(b, r, d))
        x = x + block.mlp_out(functional.gelu(block.mlp_in(block.norm2(x))))
    return vit.norm(x)


class Stream:
    """Steps an engine window after window, its buffers donated."""

    def __init__(self, engine: Engine, memory: TokenMemory, script: list[Window]) -> None:
        self.engine = engine
        self.memory = memory
        self.script = itertools.cycle(script)

    def step(self) -> None:
        now = next(self.script)
        self.memory, _ = self.engine.step((now.pixels,), now.rows, self.memory, donate=True)

    def group(self) -> None:
        """``GROUP`` windows of stream 0 in one pass."""
        chosen = [next(self.script) for _ in range(GROUP)]
        segments = [Segment(0, w.index[0], (w.pixels[:1],)) for w in chosen]
        self.memory = self.engine.run(segments, self.memory, donate=True).memory


def drift(engine: Engine, vit: SparseViT, shape: Shape) -> dict[str, float]:
    """Lowest cosine of a token, and the largest error over the largest value."""
    script = windows(shape, STEPS + 1, seed=2)
    exact = rough = vit.dense((script[0].pixels,))
    for now in script[1:]:
        exact, _ = vit.step((now.pixels,), now.rows, exact)
        rough, _ = engine.step((now.pixels,), now.rows, rough)
    cosine = functional.cosine_similarity(exact.tokens, rough.tokens, dim=-1)
    error = (exact.tokens - rough.tokens).abs().max() / exact.tokens.abs().max()
    return {"lowest cosine": float(cosine.min()), "error": float(error)}


def measure(shape: Shape, rounds: int) -> list[dict[str, Any]]:
    """One row per engine: drift, milliseconds and speed-up over the faster plain dense step."""
    vit = make_encoder(shape)
    engines = {
        f"{kind} {precision}": Engine.build(vit, precision, kind) for precision, kind in KINDS
    }
    drifts = {name: drift(engine, vit, shape) for name, engine in engines.items()}
    for name, found in drifts.items():
        if "fp32" in name and found["error"] > TARGET["fp32 error"]:
            raise SystemExit(f"{name} differs from the encoder by {found['error']:.2g}")
    script = windows(shape, 4)
    memory = vit.dense((script[0].pixels,))
    work: dict[str, Callable[[], Any]] = {
        "plain softmax": partial(plain_dense, vit, script[0].pixels, fused=False),
        "plain sdpa": partial(plain_dense, vit, script[0].pixels, fused=True),
    }
    for name, engine in engines.items():
        work[name] = Stream(engine, memory, script).step
        if shape.n_streams == 1:
            work[f"{name}, {GROUP} windows"] = Stream(engine, memory, script).group
    for call in work.values():
        call()
    seconds = take_turns({name: partial(seconds_of, call) for name, call in work.items()}, rounds)
    plain = min(("plain softmax", "plain sdpa"), key=lambda name: np.median(seconds[name]))
    return [
        row_of(name, seconds[name], seconds[plain], drifts.get(name.partition(",")[0]))
        for name in work
    ]


def row_of(
    name: str, spent: list[float], plain: list[float], found: dict[str, float] | None
) -> dict[str, Any]:
    per_call = GROUP if "windows" in name else 1
    each = [s / per_call for s in spent]
    return {
        "engine": name,
        "ms a window": 1e3 * float(np.median(each)),
        "10th percentile": 1e3 * float(np.percentile(each, 10)),
        "times faster": ratio(plain, each),
        "lowest cosine": None if found is None else found["lowest cosine"],
        "error": None if found is None else found["error"],
    }


def verdicts(one: list[dict[str, Any]], many: list[dict[str, Any]]) -> dict[str, bool]:
    """Whether each target is reached."""

    def best(rows: list[dict[str, Any]]) -> float:
        fit = [r for r in rows if (r["lowest cosine"] or 0) >= TARGET["cosine"]]
        return max(r["times faster"] for r in fit if "windows" not in r["engine"])

    return {
        "fp32": best([r for r in one if "fp32" in r["engine"]]) >= TARGET["fp32"],
        "best": best(one) >= TARGET["best"],
        "streams": best(many) >= TARGET["streams"],
    }


@torch.no_grad()
def figures(rounds: int) -> dict[str, Any]:
    """Everything this module measures, on one thread."""
    torch.set_num_threads(1)
    one, many = measure(VIT_B, rounds), measure(STREAMS, max(3, rounds // 3))
    return {
        "machine": machine(("torch", "numba", "onnxruntime")),
        "target": TARGET,
        "one": one,
        "streams": many,
        "reached": verdicts(one, many),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    console = Console(width=120)
    found = figures(options.rounds)
    show(f"{VIT_B.name}, {N_ACTIVE} of 196", found["one"], console)
    show(f"{STREAMS.name}, {N_ACTIVE} of 196 each", found["streams"], console)
    for name, reached in found["reached"].items():
        console.print(f"{name} at least {TARGET[name]}: {'reached' if reached else 'missed'}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
