"""Published networks: against published figures, against torch modules, against their script."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import published_convnets as nets
from benchmarks import published_vlms as vlm
from benchmarks.make_published_workloads import FOLDER, NETWORKS, to_text, workload
from hw_models import LayerOps, OpKind, Workload, WorkloadError
from hw_models.published import load_published, published_workloads

NAMES = sorted(NETWORKS)

# Billions of multiply-accumulates per caption, as printed in a survey of these networks: vision,
# connector, prefill, 20 tokens, total. None where nothing is printed, or where it is marked as
# rough and the network's total covers it (Flamingo's connector: "about 10", ours 14.4). For
# ViT-GPT2's 20 tokens 5.7 is printed and 5.62 follows from the shapes; its total is compared.
PRINTED: dict[str, tuple[str | None, ...]] = {
    "flamingo-80b": ("116", None, None, None, None),
    "blip2-opt-2.7b": ("260", "6", "101", "53", "421"),
    "blip2-opt-2.7b-364px": ("717", "12", "101", "53", "883"),
    "blip2-vicuna-7b": ("260", "6", "285", "132", "685"),
    "llava-1.5-7b": ("183", "12", "4089", "135", "4419"),
    "vit-gpt2": ("17.6", None, None, None, "23.3"),
    "mobilevlm-1.7b": ("183", "7", "230", "26", "446"),
    "mobilevlm-3b": ("183", "10", "472", "53", "719"),
    "tinyllava-3.1b": ("333", "7", "2032", "56", "2428"),
    "smolvlm-256m": ("107", "0.5", "9", "3", "119"),
    "smolvlm-500m": ("107", "0.8", "27", "7", "142"),
    "nanovlm-222m": ("17.5", "0.1", "6.2", "2.7", "26.5"),
    "moondream2": ("333", "26", "945", "28", "1332"),
    "moondream-0.5b": ("138", "15", "250", "8", "410"),
    "mobileclip-s0": (None, None, None, None, "3.7"),
    "mobileclip-s2": (None, None, None, None, "10.8"),
    "e2vid": ("20.1", None, None, None, "20.1"),
    "firenet": ("1.62", None, None, None, "1.62"),
}
ROUGH_PARAMS = {"flamingo-80b": 0.02, "nanovlm-450m": 0.02}  # published as "80 B", "about 455 M"


def close(ours: float, printed: str) -> bool:
    """Within 1 %, or within the rounding of what is printed."""
    digits = len(printed.partition(".")[2])
    return abs(ours - float(printed)) <= max(0.01 * float(printed), 0.5 * 10**-digits)


def gmacs(each: Workload, *prefixes: str, stage: str) -> float:
    macs = sum(
        layer.executed.macs
        for layer in each.layers
        if layer.stage == stage and (not prefixes or layer.layer.startswith(prefixes))
    )
    return macs / 1e9


def part(each: Workload, name: str) -> LayerOps:
    return next(layer for layer in each.layers if layer.layer == name)


@pytest.mark.parametrize("name", PRINTED)
def test_macs_are_the_printed_ones(name: str) -> None:
    each = load_published(name)
    ours = (
        gmacs(each, stage="encoder"),
        gmacs(each, stage="fusion"),
        gmacs(each, "prefill", stage="decoder"),
        gmacs(each, "decode", stage="decoder"),
        each.total().macs / 1e9,
    )
    for column, figure in zip(ours, PRINTED[name], strict=True):
        assert figure is None or close(column, figure), (ours, PRINTED[name])


def test_macs_of_flamingo_are_about_the_printed_ones() -> None:
    """Printed as "about 2,160" billion; its resampler's widths are assumed."""
    assert load_published("flamingo-80b").total().macs / 1e9 == pytest.approx(2160, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_the_published_ones(name: str) -> None:
    network = NETWORKS[name]
    params_m = network.build().params / 1e6
    assert params_m == pytest.approx(network.params_m, rel=ROUGH_PARAMS.get(name, 0.01))


def test_parts_of_mobileclip() -> None:
    """Parameters (millions) and MACs (billions) of image and text towers, as published."""
    small = nets.mobileclip_image((2, 6, 10, 2), (64, 128, 256, 512)), nets.mobileclip_text(4, 2)
    large = nets.mobileclip_image((4, 12, 24, 4), (80, 160, 320, 640)), nets.mobileclip_text(12, 0)
    found = [(f"{p.params / 1e6:.1f}", f"{p.macs / 1e9:.1f}") for p in (*small, *large)]
    assert found == [("11.4", "2.4"), ("42.4", "1.3"), ("35.7", "7.8"), ("63.4", "3.0")]


def test_parts_of_event_networks() -> None:
    assert nets.firenet(180, 240).params == 37_777
    assert f"{nets.e2vid(184, 240).params / 1e6:.2f}" == "10.71"
    assert close(nets.e2vid(128, 128).macs / 1e9, "7.4")
    assert close(nets.firenet(128, 128).macs / 1e9, "0.62")
    one = nets.eventnet(1, 2).macs - nets.eventnet(0, 2).macs
    assert one == 4 * 64 + 64 * 64 + 64 * 64 + 64 * 128 + 128 * 1024
    assert nets.nfnet_f6(320).params / 1e6 == pytest.approx(435, rel=0.01)


def test_the_script_writes_the_shipped_files_byte_for_byte() -> None:
    shipped = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert set(shipped) == set(NETWORKS)
    for name in NAMES:
        assert to_text(workload(name)) == shipped[name], name


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_and_read_back_as_counted(name: str) -> None:
    assert name in published_workloads()
    each = load_published(name)
    assert each == workload(name)
    assert each.name == name and each.notes
    assert len(each.layers) <= 400
    assert {layer.ran_as for layer in each.layers} == {"fp16"}
    assert len(json.loads((FOLDER / f"{name}.json").read_text())["layers"]) == len(each.layers)


def test_an_unknown_network_is_refused_with_those_there_are() -> None:
    with pytest.raises(WorkloadError, match=r"no published network 'gpt-4v'; there are blip2-opt"):
        load_published("gpt-4v")


def macs_of(module: nn.Module, *inputs: Tensor) -> int:
    """What PyTorch's own counter says of a module on the meta device."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops, torch.no_grad():
        module(*inputs)
    return flops.get_total_flops() // 2


class Vit(nn.Module):
    """A vision transformer made of torch's own layers."""

    def __init__(self, d: int, ff: int, heads: int, layers: int, patch: int, extra: int) -> None:
        super().__init__()
        self.extra = extra
        self.patches = nn.Conv2d(3, d, patch, patch)
        layer = nn.TransformerEncoderLayer(d, heads, ff, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        cls = x.new_zeros(len(x), self.extra, x.shape[-1])
        return self.blocks(torch.cat([cls, x], 1))


@pytest.mark.parametrize(
    ("name", "shape", "side", "patch", "extra"),
    [
        ("vit-gpt2", vlm.VIT_B, 224, 16, 1),
        ("nanovlm-222m", vlm.SIGLIP_B, 224, 16, 0),
        ("smolvlm-256m", vlm.SIGLIP_B, 512, 16, 0),
        ("tinyllava-3.1b", vlm.SIGLIP_SO400M, 384, 14, 0),
        ("blip2-opt-2.7b-364px", vlm.EVA_G, 364, 14, 1),
    ],
)
def test_vision_towers_against_torch(
    name: str, shape: vlm.Blocks, side: int, patch: int, extra: int
) -> None:
    with torch.device("meta"):
        tower = Vit(shape.d, shape.ff, shape.heads, shape.layers, patch, extra)
        image = torch.empty(1, 3, side, side)
    assert load_published(name).total(stage="encoder").macs == macs_of(tower, image)


class Smol(nn.Module):
    """SmolLM2-135M: grouped queries, gated MLP, tied head on the last token."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv, self.out = (
            self._stack(576, 576),
            self._stack(576, 384),
            self._stack(576, 576),
        )
        self.up, self.down = self._stack(576, 2 * 1536), self._stack(1536, 576)
        self.head = nn.Linear(576, 49280, bias=False)

    def _stack(self, n_in: int, n_out: int) -> nn.ModuleList:
        return nn.ModuleList(nn.Linear(n_in, n_out, bias=False) for _ in range(30))

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        n, context = x.shape[1], x.shape[1] + past.shape[1]
        for q, kv, out, up, down in zip(self.q, self.kv, self.out, self.up, self.down, strict=True):
            queries = q(x).view(1, n, 9, 64).transpose(1, 2)
            keys = torch.cat([past, kv(x)], 1).view(1, context, 6, 64).transpose(1, 2)
            k, v = (each.repeat_interleave(3, 1) for each in keys.chunk(2, 1))
            mixed = functional.scaled_dot_product_attention(queries, k, v)
            x = x + out(mixed.transpose(1, 2).reshape(1, n, 576))
            gate, value = up(x).chunk(2, -1)
            x = x + down(functional.silu(gate) * value)
        return self.head(x[:, -1:])


def test_prefill_and_decode_against_torch() -> None:
    with torch.device("meta"):
        model = Smol()
        words = torch.empty(1, 64 + 20, 576)
        passes = [torch.empty(1, 84 + i, 384) for i in range(20)]
        prefill = macs_of(model, words, torch.empty(1, 0, 384))
        decode = sum(macs_of(model, words[:, :1], past) for past in passes)
    each = load_published("smolvlm-256m")
    assert gmacs(each, "prefill", stage="decoder") * 1e9 == prefill
    assert gmacs(each, "decode", stage="decoder") * 1e9 == decode


class Recurrent(nn.Module):
    """E2VID: head, three strided encoders with ConvLSTM, two residual blocks, three decoders."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 128, 256)
        self.head = nn.Conv2d(5, 32, 5, padding=2)
        self.down = nn.ModuleList(nn.Conv2d(a, 2 * a, 5, stride=2, padding=2) for a in widths[:3])
        self.gates = nn.ModuleList(nn.Conv2d(2 * a, 4 * a, 3, padding=1) for a in widths[1:])
        self.residual = nn.ModuleList(nn.Conv2d(256, 256, 3, padding=1) for _ in range(4))
        self.up = nn.ModuleList(nn.Conv2d(a, a // 2, 5, padding=2) for a in widths[:0:-1])
        self.last = nn.Conv2d(32, 1, 1)

    def forward(self, events: Tensor) -> Tensor:
        x = self.head(events)
        skips = [x]
        for down, gates in zip(self.down, self.gates, strict=True):
            x = down(x)
            i, _, o, g = gates(torch.cat([x, torch.zeros_like(x)], 1)).chunk(4, 1)
            x = o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()
            skips.append(x)
        for conv in self.residual:
            x = x + conv(x)
        for up in self.up:
            x = up(functional.interpolate(x + skips.pop(), scale_factor=2, mode="bilinear"))
        return self.last(x + skips.pop())


def test_e2vid_against_torch() -> None:
    with torch.device("meta"):
        model, events = Recurrent(), torch.empty(1, 5, 184, 240)
    assert load_published("e2vid").total().macs == macs_of(model, events)
    assert nets.e2vid(184, 240).params == sum(p.numel() for p in model.parameters())


def test_decoding_streams_weights_and_cache_once_a_token() -> None:
    """LLaVA-1.5-7B by hand: fp16, 616 tokens before the caption."""
    each = load_published("llava-1.5-7b")
    layers = [layer for layer in each.layers if layer.kind is OpKind.DECODE]
    assert {layer.layer for layer in layers} == {"decode.attention", "decode.mlp", "decode.head"}
    d, ff, depth, vocabulary = 4096, 11008, 32, 32000
    per_token = depth * (4 * d * d + 3 * d * ff + 2 * d) + vocabulary * d + d
    assert sum(layer.executed.weight_bytes for layer in layers) == 20 * 2 * per_token
    cached = sum(616 + i for i in range(1, 21))
    assert sum(layer.executed.read_bytes for layer in layers) == 2 * depth * 2 * d * cached
    assert sum(layer.executed.write_bytes for layer in layers) == 20 * 2 * depth * 2 * d


def test_prefill_streams_the_weights_once() -> None:
    each = load_published("smolvlm-256m")
    prefill = [layer for layer in each.layers if layer.layer.startswith("prefill")]
    per_token = sum(
        layer.executed.weight_bytes for layer in each.layers if layer.kind is OpKind.DECODE
    )
    streamed = sum(layer.executed.weight_bytes for layer in prefill)
    assert math.isclose(20 * streamed, per_token, rel_tol=1e-12)
    assert part(each, "prefill.embedding").executed.elements == 20 * 576
