"""Small workloads that ask a device something."""

from __future__ import annotations

from dataclasses import replace

from hw_models.ops import COUNTS, NETWORK_KINDS, LayerOps, OpKind, Ops
from hw_models.workload import Workload

_ANN = (
    ("gemm", OpKind.GEMM, Ops(macs=4_000_000_000, weight_bytes=8_000_000, launches=8)),
    ("conv", OpKind.CONV, Ops(macs=2_000_000_000, weight_bytes=400_000, launches=4)),
    ("depthwise", OpKind.DEPTHWISE, Ops(macs=40_000_000, weight_bytes=8_000, launches=4)),
    ("attention", OpKind.ATTENTION, Ops(macs=200_000_000, launches=8)),
    ("norm", OpKind.ELEMENTWISE, Ops(elements=4_000_000, launches=4)),
    ("resize", OpKind.RESIZE, Ops(elements=800_000, launches=4)),
    ("tokens", OpKind.EMBEDDING, Ops(read_bytes=40_000, launches=4)),
    ("head", OpKind.GEMM, Ops(macs=80_000_000, weight_bytes=4_000_000, launches=4)),
)


def _moved(ops: Ops) -> Ops:
    """Add activations, so that every term of the equations has something to cost."""
    return replace(ops, read_bytes=ops.read_bytes + 1_200_000, write_bytes=800_000)


def _dense_of(ops: Ops) -> Ops:
    """Return what a run that skips nothing would have done: more of what tokens cost."""
    grown = {name: 3 * getattr(ops, name) for name in COUNTS}
    return Ops(**{**grown, "weight_bytes": ops.weight_bytes, "launches": ops.launches})


def processor_layers(kinds: frozenset[OpKind]) -> tuple[LayerOps, ...]:
    """Return a layer of each of these kinds and of those without MACs; executed < dense."""
    layers = []
    for name, kind, ops in _ANN:
        if not ops.macs or kind in kinds:
            moved = _moved(ops)
            stage = "decoder" if name == "head" else "encoder"
            layers.append(LayerOps(stage, name, kind, moved, dense=_dense_of(moved)))
    return tuple(layers)


def spiking_layers() -> tuple[LayerOps, ...]:
    """Return input, filter and read-out; small enough for one core each of most chips."""
    return (
        LayerOps("frontend", "input", OpKind.SPIKING, Ops(spikes=4_000), dense=Ops(spikes=9_000)),
        LayerOps(
            "frontend",
            "filter",
            OpKind.SPIKING,
            Ops(synops=32_000, neuron_updates=24_000, spikes=800),
            dense=Ops(synops=90_000, neuron_updates=51_200, spikes=51_200),
            neurons=256,
            synapses=2_304,
        ),
        LayerOps(
            "change",
            "read-out",
            OpKind.SPIKING,
            Ops(synops=3_200, neuron_updates=6_400, spikes=200),
            dense=Ops(synops=204_800, neuron_updates=12_800, spikes=12_800),
            neurons=64,
            synapses=1_024,
        ),
    )


def probe_of(layers: tuple[LayerOps, ...]) -> Workload:
    """Return a run of 4 inferences and 200 ticks."""
    ticks = 200 if any(layer.is_spiking for layer in layers) else 0
    return Workload("probe", inferences=4, window_ms=50, layers=layers, ticks=ticks)


def times(workload: Workload, factor: int) -> Workload:
    """Multiply every count and the ticks, at the same number of inferences."""

    def scaled(ops: Ops) -> Ops:
        return Ops(*(factor * getattr(ops, name) for name in COUNTS))

    layers = tuple(
        replace(
            layer,
            executed=scaled(layer.executed),
            padded=scaled(layer.padded),
            dense=scaled(layer.dense),
        )
        for layer in workload.layers
    )
    return replace(workload, layers=layers, ticks=factor * workload.ticks)


def grown(workload: Workload) -> dict[str, Workload]:
    """Return the workload with half as much again of one count in one layer, by what grew."""
    found = {}
    for index, layer in enumerate(workload.layers):
        for name in COUNTS:
            count = getattr(layer.executed, name)
            if not count:
                continue
            more = replace(layer.executed, **{name: count + count // 2 + 1})
            dense = Ops(*(max(getattr(more, n), getattr(layer.dense, n)) for n in COUNTS))
            larger = replace(layer, executed=more, padded=more, dense=dense)
            layers = (*workload.layers[:index], larger, *workload.layers[index + 1 :])
            found[f"{layer.layer}.{name}"] = replace(workload, layers=layers)
    return found


def networks(kinds: frozenset[OpKind]) -> dict[str, Workload]:
    """Return a network known by its totals for each of these kinds that stands for one."""
    return {
        str(kind): Workload.from_totals(2_000_000_000, 10_000_000, name=kind, op_class=kind)
        for kind in NETWORK_KINDS
        if kind in kinds
    }
