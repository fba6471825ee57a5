"""Any module as a workload: against PyTorch's flop counter, by hand, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hw_models import OpKind, Ops, Workload
from neurovlm.core.errors import UsageError
from neurovlm.counting import UncountedOperatorError, count_delta_density, count_module


class Encoder(nn.Module):
    """A little of everything: strided, grouped, depthwise, transposed convolution, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU()
        )
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.rnn = nn.GRU(8, 6, batch_first=True)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.grouped(self.stem(x)))
        x = nn.functional.avg_pool2d(self.up(x), 4)
        x = self.block(x.flatten(2).transpose(1, 2))
        return self.head(self.rnn(x)[0]).softmax(-1)


MODULES: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "encoder": (Encoder, torch.rand(2, 3, 16, 16)),
    "transformer": (
        lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
        (torch.rand(2, 5, 8), torch.rand(2, 3, 8)),
    ),
    "gru cell": (lambda: nn.GRUCell(5, 7), torch.rand(2, 5)),
    "lstm cell": (lambda: nn.LSTMCell(5, 7), torch.rand(2, 5)),
    "plain rnn": (lambda: nn.RNN(5, 7), torch.rand(3, 2, 5)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, dilation=2), torch.rand(2, 4, 12)),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(9, 4), nn.LayerNorm(4), nn.Linear(4, 3)),
        torch.tensor([[1, 2, 3]]),
    ),
}


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 36, 5),
    )


IMAGE = torch.rand(2, 3, 6, 6)


@pytest.mark.parametrize("name", MODULES)
def test_macs_agree_with_the_flop_counter(name: str) -> None:
    build, inputs = MODULES[name]
    model = build().train()  # the flop counter sees no fused layer then
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops, torch.no_grad():
        model(*args)
    workload = count_module(model, inputs, name=name)
    assert workload.total().macs == flops.get_total_flops() / 2 > 0


@pytest.mark.parametrize("name", MODULES)
def test_the_meta_device_counts_the_same(name: str) -> None:
    build, inputs = MODULES[name]
    with sdpa_kernel(SDPBackend.MATH):
        real = count_module(build(), inputs, name=name, op_class="hybrid")
        moved = [t.to("meta") for t in (inputs if isinstance(inputs, tuple) else (inputs,))]
        meta = count_module(build().to("meta"), moved, name=name, op_class="hybrid")
    assert meta.total().macs == real.total().macs
    assert meta.total().weight_bytes == real.total().weight_bytes


def test_a_fused_lstm_by_hand() -> None:
    """2 sequences of 3 steps, 5 inputs, 7 cells: 4 gates from 5 inputs and 7 states each."""
    workload = count_module(nn.LSTM(5, 7, batch_first=True), torch.rand(2, 3, 5), name="lstm")
    assert workload.total().macs == 2 * 3 * 4 * 7 * (5 + 7)
    assert workload.total().weight_bytes == 4 * (4 * 7 * (5 + 7) + 2 * 4 * 7)


def test_layers_by_hand() -> None:
    workload = count_module(plain(), IMAGE, name="plain")
    sites = 2 * 36
    assert [(layer.layer, layer.kind, layer.executed) for layer in workload.layers] == [
        (
            "0",
            OpKind.CONV,
            Ops(
                macs=sites * 8 * 27,
                weight_bytes=4 * 8 * 27,
                read_bytes=4 * sites * 3,
                write_bytes=4 * sites * 8,
                launches=1,
            ),
        ),
        (
            "2",
            OpKind.ELEMENTWISE,
            Ops(
                elements=sites * 8,
                read_bytes=4 * sites * 8,
                write_bytes=4 * sites * 8,
                launches=1,
            ),
        ),
        (
            "4",
            OpKind.GEMM,
            Ops(
                macs=2 * 288 * 5,
                weight_bytes=4 * (288 * 5 + 5),
                read_bytes=4 * 2 * 288,
                write_bytes=4 * 2 * 5,
                launches=1,
            ),
        ),
    ]
    assert workload.notes == ("1 batch norms folded into the convolutions before them",)
    assert (workload.inferences, workload.layers[0].ran_as) == (1, "fp32")


def test_only_a_batch_norm_behind_a_convolution_is_folded() -> None:
    norm = nn.BatchNorm2d(3)
    (layer,) = count_module(norm, IMAGE, name="norm").layers
    assert layer.executed.elements == IMAGE.numel()
    apart = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3))
    assert [each.layer for each in count_module(apart, IMAGE, name="apart").layers] == [
        "0",
        "1",
        "2",
    ]


def test_the_whole_network_as_one_layer() -> None:
    layers = count_module(plain(), IMAGE, name="plain")
    whole = count_module(plain(), IMAGE, name="plain", op_class="cnn")
    (layer,) = whole.layers
    assert layer.kind is OpKind.CNN
    assert layer.executed == Ops(
        macs=layers.total().macs,
        elements=2 * 36 * 8 + 2 * 5,  # what the two products write
        weight_bytes=layers.total().weight_bytes,
        launches=3,
    )


def test_a_decoding_pass_reads_its_cache() -> None:
    class OneToken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Linear(8, 8)

        def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            scores = self.q(x) @ keys.transpose(-1, -2)
            return scores.softmax(-1) @ values

    inputs = {
        "x": torch.rand(1, 1, 8),
        "keys": torch.rand(1, 30, 8),
        "values": torch.rand(1, 30, 8),
    }
    (layer,) = count_module(OneToken(), inputs, name="token", op_class="decode").layers
    query_and_scores = 8 + 30
    assert layer.executed.read_bytes == 4 * (2 * 30 * 8 + query_and_scores)


def test_tied_weights_stream_once_in_the_whole_network() -> None:
    tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    tied[1].weight = tied[0].weight
    (layer,) = count_module(tied, torch.rand(1, 4), name="tied", op_class="vit").layers
    assert layer.executed.weight_bytes == 4 * 16


def test_precision_is_that_of_the_parameters() -> None:
    full = count_module(plain(), IMAGE, name="plain")
    half = count_module(plain().to(torch.bfloat16), IMAGE.bfloat16(), name="plain")
    assert {layer.ran_as for layer in half.layers} == {"bf16"}
    for name in ("weight_bytes", "read_bytes", "write_bytes"):
        assert 2 * getattr(half.total(), name) == getattr(full.total(), name)


def test_a_few_parameters_of_another_precision_do_not_decide() -> None:
    mixed = nn.Sequential(nn.Linear(8, 8).half(), nn.Linear(1, 1))
    mixed.forward = lambda x: mixed[0](x)  # type: ignore[method-assign]
    (layer,) = count_module(mixed, torch.rand(1, 8).half(), name="mixed").layers
    assert layer.ran_as == "fp16"


def test_the_module_is_left_as_it_was() -> None:
    model = plain().train()
    model[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count_module(model, IMAGE, name="plain")
    assert [part.training for part in model] == [True, False, True, True, True]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled()


def test_several_kinds_of_one_submodule_are_layers_of_their_own() -> None:
    workload = count_module(nn.MultiheadAttention(8, 2), [torch.rand(4, 1, 8)] * 3, name="mha")
    names = {layer.layer for layer in workload.layers}
    assert {"MultiheadAttention:gemm", "MultiheadAttention:attention"} <= names


def test_a_workload_round_trips_and_can_be_costed_by_stage() -> None:
    workload = count_module(plain(), IMAGE, name="plain", stage="fusion", window_ms=40)
    assert Workload.from_json(workload.to_json()) == workload
    assert workload.stages == ("fusion",)


class Strange(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(x).abs()


def test_an_unknown_operator_is_an_error_that_names_it_and_its_module() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ModuleDict({"spectrum": Strange()})["spectrum"])
    with pytest.raises(UncountedOperatorError, match=r"aten\._fft_r2c\.default in module '1'"):
        count_module(model, torch.rand(2, 4), name="strange")


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if torch.equal(x, x + 1) else x + 2


def test_an_operator_without_a_tensor_is_refused_like_any_unknown() -> None:
    with pytest.raises(UncountedOperatorError, match=r"aten\.equal\.default in module 'Branching'"):
        count_module(Branching(), IMAGE, name="branching")


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(UsageError, match=r"op_class must be one of cnn, .*got 'resnet'"):
        count_module(plain(), IMAGE, name="plain", op_class="resnet")


def test_delta_density_by_hand() -> None:
    """Of four inputs one moves far, one a little each window, two stay."""
    model = nn.Linear(4, 2)
    windows = [torch.tensor([[0.0, 0.0, 1.0, 2.0]]) + step * torch.tensor([[5.0, 0.4, 0, 0]])
               for step in range(4)]  # fmt: skip
    # the small one adds up: 0.4 and 0.8 stay below 1, 1.2 is sent in the third step
    assert count_delta_density(model, windows, 1.0) == {"Linear": (1 + 1 + 2) / 12}
    assert count_delta_density(model, windows, 0.0) == {"Linear": 6 / 12}
    assert count_delta_density(model, windows[:1] * 3, 0.0) == {"Linear": 0.0}


def test_delta_density_falls_with_the_threshold_and_is_per_layer() -> None:
    torch.manual_seed(0)
    windows = list(torch.rand(5, 2, 3, 6, 6))
    model = plain()
    by_threshold = [count_delta_density(model, windows, t) for t in (0.0, 0.1, 0.4)]
    assert set(by_threshold[0]) == {"0", "4"}
    for layer in ("0", "4"):
        densities = [density[layer] for density in by_threshold]
        assert densities == sorted(densities, reverse=True)
        assert 0 <= densities[-1] <= densities[0] <= 1
    workload = count_module(model, windows[0], name="plain", delta_density=by_threshold[1])
    filled = {layer.layer: layer.delta_density for layer in workload.layers}
    assert filled == {**by_threshold[1], "2": None}


def test_delta_density_refusals() -> None:
    with pytest.raises(UsageError, match="at least 2 consecutive windows, got 1"):
        count_delta_density(plain(), [IMAGE], 0.1)
    with pytest.raises(UsageError, match="threshold must be at least 0, got -1"):
        count_delta_density(plain(), [IMAGE, IMAGE], -1)
    conv = nn.Conv2d(3, 2, 3)
    with pytest.raises(UsageError, match="give windows of one shape"):
        count_delta_density(conv, [IMAGE, IMAGE[:, :, 1:]], 0.1)
    with pytest.raises(UsageError, match="'2' is no layer with weights of 'plain'; those are 0, 4"):
        count_module(plain(), IMAGE, name="plain", delta_density={"2": 0.5})


def test_parameters_are_counted_once_whatever_the_batch():
    linear = torch.nn.Linear(10, 3)
    for batch in (1, 7):
        counted = count_module(linear, torch.rand(batch, 10), name="linear")
        assert counted.params == 10 * 3 + 3
