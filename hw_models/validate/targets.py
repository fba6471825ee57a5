"""Which groups of check rows the models answer for, and how far off they may be."""

from __future__ import annotations

from collections.abc import Callable

from hw_models.validate.rows import EdgeRow
from hw_models.validate.score import Scored, Target

LATENCY = "latency"
SAMPLE_TIME = "time per sample, offline"
ENERGY_GIVEN = "energy, latency given"
ENERGY = "energy, end to end"
VISION = ("cnn", "dw-cnn", "vit", "hybrid")


def _is(
    *quantities: str,
    device: str = "",
    without: tuple[str, ...] = (),
    precision: str = "",
    classes: tuple[str, ...] = (),
    word: str = "",
) -> Callable[[Scored], bool]:
    """Select by quantity and by what is not left empty; ``device`` is how its name starts."""

    def selects(each: Scored) -> bool:
        row, prediction = each.outcome.row, each.prediction
        return (
            prediction.quantity in quantities
            and any(prediction.device.startswith(name) for name in device.split("|"))
            and prediction.note not in without
            and precision in ("", prediction.precision)
            and (not classes or (isinstance(row, EdgeRow) and row.op_class in classes))
            and word in row.workload
        )

    return selects


VENDOR = "vendor runtime"  # a benchmark back end: no compiled graph like those that set constants
_GEN3 = _is(LATENCY, device="snapdragon-8-gen-3", classes=VISION, without=(VENDOR,))
_SNAPDRAGONS = _is(LATENCY, device="snapdragon|qcs", classes=VISION, without=(VENDOR,))
_JETSON = "jetson"

TARGETS = (
    Target(
        "Loihi 1 core energy, activity known",
        _is("core energy", device="loihi1", without=("activity assumed",)),
        ratio=(0.85, 1.18),
        worst=1.5,
        width=2.2,
    ),
    Target(
        "Loihi 1 step time, not I/O-bound",
        _is("step time", device="loihi1", without=("I/O-bound", "activity assumed")),
        mean_error=0.25,
        width=1.8,
    ),
    Target(
        "Loihi 2 total energy, board static power given",
        _is("total energy", device="loihi2", without=("activity assumed",)),
        worst=1.8,
        width=4,
    ),
    Target(
        "Loihi 2 step time",
        _is("step time", device="loihi2", without=("I/O-bound", "activity assumed")),
        mean_error=0.30,
        width=4,
    ),
    Target("Snapdragon NPU latency, 8 Gen 3", _GEN3, mean_error=0.14, width=1.8),
    Target(
        "Snapdragon NPU latency, other devices",
        lambda each: _SNAPDRAGONS(each) and not _GEN3(each),
        mean_error=0.18,
        width=1.8,
    ),
    Target(
        "Jetson int8 energy, latency given",
        _is(ENERGY_GIVEN, device=_JETSON, precision="int8", classes=VISION),
        mean_error=0.12,
        width=1.6,
    ),
    Target(
        "Jetson int8 energy, end to end",
        _is(ENERGY, device=_JETSON, precision="int8", classes=VISION),
        mean_error=0.20,
        width=2.2,
    ),
    Target(
        "Jetson latency, CNN and ViT",
        _is(LATENCY, device=_JETSON, classes=VISION),
        mean_error=0.20,
        width=2,
    ),
    Target(
        "LM decode on Orin Nano, energy per token",
        _is(ENERGY, device="jetson-orin-nano", classes=("llm",), word="decode"),
        mean_error=0.12,
        width=1.6,
    ),
    Target(
        "Cloud AI 100 int8 energy, latency given",
        _is(ENERGY_GIVEN, device="cloud-ai-100", precision="int8", classes=VISION),
    ),
    Target("Snapdragon energy, a factor of two", _is(ENERGY, device="snapdragon|qcs"), width=4),
)
