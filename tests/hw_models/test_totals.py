"""Typical counts of networks known by totals only."""

from __future__ import annotations

import pytest

from hw_models import estimate
from hw_models.ops import NETWORK_KINDS, OpKind
from hw_models.totals import TYPICAL, attention_elements, typical_elements
from hw_models.workload import Workload


@pytest.mark.parametrize("kind", NETWORK_KINDS)
def test_a_uniform_stack_writes_what_its_shapes_say(kind: OpKind) -> None:
    """20 products of 64 channels at 1,000 positions, every second graph layer an activation."""
    products, channels, positions = 20, 64, 1000
    macs, params = products * positions * channels**2, products * channels**2
    written = products * positions * channels
    found = typical_elements(kind, macs, params, 2 * products)
    assert found == pytest.approx(TYPICAL[kind].elements * written, abs=1)


def test_counts_of_nothing_stay_finite() -> None:
    assert typical_elements(OpKind.CNN, 0, 0, 0) == 0
    assert 0 < typical_elements(OpKind.CNN, 1000, 0, 10) <= 1200


@pytest.mark.parametrize(
    ("params", "layers", "width"),
    [(6.74e9, 32, 4096), (8.03e9, 32, 4096), (1.24e9, 16, 2048), (3.8e9, 32, 3072)],
    ids=["Llama-2-7B", "Llama-3.1-8B", "Llama-3.2-1B", "Phi-3.5-mini"],
)
def test_attention_of_published_decoders_within_a_quarter(
    params: float, layers: int, width: int
) -> None:
    assert attention_elements(params, 4096) == pytest.approx(2 * layers * width * 4096, rel=0.25)


@pytest.mark.parametrize("missing", ["op_class", "n_layers", "act_elements"])
def test_a_missing_column_widens_the_interval(missing: str) -> None:
    known = {"op_class": "cnn", "n_layers": 127, "act_elements": 11_110_000}
    widths = []
    for columns in (known, {name: value for name, value in known.items() if name != missing}):
        workload = Workload.from_totals(4_089_000_000, 25_557_000, **columns)  # type: ignore[arg-type]
        latency = estimate(workload, "snapdragon-8-gen-3", samples=500).latency_s
        assert latency is not None
        widths.append(latency.high / latency.low)
    assert widths[1] > 1.1 * widths[0]


def test_a_language_model_lacks_nothing() -> None:
    assert Workload.from_totals(10**9, 10**9, op_class="decode").layers[0].assumed == ()
