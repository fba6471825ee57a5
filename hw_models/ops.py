"""Counts: the operations of a layer, what a run executed beside what a dense one would have."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, ClassVar, Literal, get_args

from pydantic import ConfigDict

from hw_models.errors import WorkloadError

STAGES = ("frontend", "change", "router", "encoder", "memory", "fusion", "decoder")
SPIKING_STAGES = ("frontend", "change")
TOKEN_BUCKETS = (8, 16, 32, 64, 98, 196)  # shapes a static-shape runtime is compiled for

Precision = Literal["fp32", "fp16", "bf16", "int8", "w8a16", "w4", "q4k"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# int8 is w8a8; w8a16 and w4 keep weights at 8 and 4 bits and activations at 16; q4k is the 4-bit
# k-quantised format of llama.cpp (Q4_K_M, 4.85 bits per weight with scales)
WEIGHT_BYTES: Mapping[str, float] = {
    "fp64": 8,
    "fp32": 4,
    "fp16": 2,
    "bf16": 2,
    "int8": 1,
    "w8a16": 1,
    "w4": 0.5,
    "q4k": 4.85 / 8,
}
ACTIVATION_BYTES: Mapping[str, float] = {**WEIGHT_BYTES, "w8a16": 2, "w4": 2, "q4k": 2}
_SPIKING_PRECISIONS = (*WEIGHT_BYTES, "float64", "float32", "loihi")


class OpKind(StrEnum):
    """What kind of work a layer is; it selects how a device costs it."""

    SPIKING = "spiking"
    GEMM = "gemm"
    CONV = "conv"
    DEPTHWISE = "depthwise"
    ATTENTION = "attention"
    ELEMENTWISE = "elementwise"  # normalisation, activation, softmax, residual sum
    RESIZE = "resize"
    GATHER = "gather"
    SCATTER = "scatter"
    EMBEDDING = "embedding"
    # whole networks known by their totals only
    CNN = "cnn"
    GROUPED_CNN = "grouped-cnn"  # ResNeXt, RegNet: few channels per group
    DW_CNN = "dw-cnn"
    VIT = "vit"
    HYBRID = "hybrid"
    LLM = "llm"  # a pass of many tokens (prefill)
    DECODE = "decode"  # a pass of one token: every weight and the KV cache stream once


NETWORK_KINDS = (
    OpKind.CNN,
    OpKind.GROUPED_CNN,
    OpKind.DW_CNN,
    OpKind.VIT,
    OpKind.HYBRID,
    OpKind.LLM,
    OpKind.DECODE,
)
MAC_KINDS = (OpKind.GEMM, OpKind.CONV, OpKind.DEPTHWISE, OpKind.ATTENTION, *NETWORK_KINDS)


@dataclass(frozen=True, slots=True)
class Ops:
    """Operation counts; all non-negative integers.

    Parameters
    ----------
    macs
        Multiply-accumulates of the ANN (1 MAC = 2 FLOPs). Never synops.
    synops
        Spikes delivered over a nonzero synapse.
    neuron_updates
        Neurons evaluated, summed over ticks.
    spikes
        Spikes emitted.
    elements
        Scalar results of normalisation, activation, softmax, resize.
    weight_bytes
        Weights streamed from main memory, at the precision the layer ran in.
    read_bytes, write_bytes
        Activations and state moved from and to main memory, at that precision.
    launches
        Kernels started (graph layers, where a runtime executes a graph).

    Raises
    ------
    WorkloadError
        A count is negative or not an integer.
    """

    macs: int = 0
    synops: int = 0
    neuron_updates: int = 0
    spikes: int = 0
    elements: int = 0
    weight_bytes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0
    launches: int = 0

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        for name in COUNTS:
            count = getattr(self, name)
            try:
                as_int = operator.index(count)
            except TypeError:
                raise WorkloadError(f"{name} must be an integer, got {count!r}") from None
            if as_int < 0:
                raise WorkloadError(f"{name} must be at least 0, got {as_int}")
            object.__setattr__(self, name, as_int)

    def __add__(self, other: Ops) -> Ops:
        return Ops(*(getattr(self, name) + getattr(other, name) for name in COUNTS))

    def __le__(self, other: Ops) -> bool:
        """Componentwise: true when no count of this one exceeds the other's."""
        return not self.exceeds(other)

    def exceeds(self, other: Ops) -> tuple[str, ...]:
        """Names of the counts that are larger here than in ``other``."""
        return tuple(name for name in COUNTS if getattr(self, name) > getattr(other, name))

    def to_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in COUNTS}


COUNTS = tuple(field.name for field in fields(Ops))
ASSUMABLE = (*COUNTS, "kind", "runtime")
_STRUCTURE = (
    "stage",
    "layer",
    "kind",
    "neurons",
    "synapses",
    "weights",
    "delta_density",
    "assumed",
    "ran_as",
)  # what two runs of one layer share
_AS_EXECUTED = Ops()  # marks "not given"; compared by identity


@dataclass(frozen=True, slots=True)
class LayerOps:
    """The counts of one layer over a recording.

    Parameters
    ----------
    stage
        One of :data:`STAGES`.
    layer
        Name, unique within the stage.
    kind
        What kind of work it is. A layer is ``spiking`` exactly if its stage is a spiking one.
    executed
        What the run did.
    dense
        What a run that skips nothing would have done.
    padded
        What a static-shape runtime (an NPU, TensorRT) would execute, active tokens rounded up to
        :data:`TOKEN_BUCKETS`. Law: executed <= padded <= dense, count by count.
    neurons, synapses
        Structure of a spiking layer (neurons, and synapses onto them), for mapping. A spiking
        layer with 0 neurons is an input: its spikes are injected from outside.
    weights
        Distinct weights of the synapses where they are shared (a convolution); 0: not shared.
    delta_density
        Measured share of this ANN layer's inputs whose change is sent on, between 0 and 1, for
        running it as a sigma-delta network; ``None``: not measured.
    assumed
        Names of counts that are defaults rather than counted, ``kind`` where that is guessed, and
        ``runtime`` where the layer runs under another runtime than the device's constants are
        of; intervals widen for them.
    ran_as
        Precision of the run; byte counts are at this precision.
    note
        Free text.

    Raises
    ------
    WorkloadError
        A rule above is broken; the message names stage, layer and field.
    """

    stage: str
    layer: str
    kind: OpKind
    executed: Ops
    dense: Ops = _AS_EXECUTED
    padded: Ops = _AS_EXECUTED
    neurons: int = 0
    synapses: int = 0
    weights: int = 0
    delta_density: float | None = None
    assumed: tuple[str, ...] = ()
    ran_as: str = "fp32"
    note: str = ""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        for name in ("dense", "padded"):
            if getattr(self, name) is _AS_EXECUTED:
                object.__setattr__(self, name, self.executed)
        object.__setattr__(self, "kind", OpKind(self.kind))
        object.__setattr__(self, "assumed", tuple(self.assumed))
        problem = self._problem()
        if problem:
            raise WorkloadError(f"layer {self.stage}/{self.layer}: {problem}")

    @property
    def key(self) -> tuple[str, str]:
        """Stage and layer: what identifies a layer in a workload."""
        return self.stage, self.layer

    @property
    def is_spiking(self) -> bool:
        """Whether the layer is spiking, as declared."""
        return self.kind is OpKind.SPIKING

    @property
    def is_input(self) -> bool:
        """Whether the layer only injects spikes from outside: spiking, without neurons."""
        return self.is_spiking and self.neurons == 0

    def __add__(self, other: LayerOps) -> LayerOps:
        for name in _STRUCTURE:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise WorkloadError(
                    f"layer {self.stage}/{self.layer}: cannot add counts of a layer whose "
                    f"{name} differs: {mine!r} and {theirs!r}"
                )
        return replace(
            self,
            executed=self.executed + other.executed,
            dense=self.dense + other.dense,
            padded=self.padded + other.padded,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "stage": self.stage,
            "layer": self.layer,
            "kind": str(self.kind),
            "executed": self.executed.to_dict(),
            "dense": self.dense.to_dict(),
            "padded": self.padded.to_dict(),
            "neurons": self.neurons,
            "synapses": self.synapses,
            "weights": self.weights,
            "delta_density": self.delta_density,
            "assumed": list(self.assumed),
            "ran_as": self.ran_as,
            "note": self.note,
        }

    def _problem(self) -> str:
        if self.stage not in STAGES:
            return f"stage must be one of {', '.join(STAGES)}, got {self.stage!r}"
        if not self.layer:
            return "layer needs a name"
        if self.is_spiking != (self.stage in SPIKING_STAGES):
            return (
                f"kind {self.kind} does not belong in stage {self.stage}; the spiking stages are "
                f"{' and '.join(SPIKING_STAGES)}, and all their layers are spiking"
            )
        known = _SPIKING_PRECISIONS if self.is_spiking else tuple(WEIGHT_BYTES)
        if self.ran_as not in known:
            return f"ran_as must be one of {', '.join(known)}, got {self.ran_as!r}"
        if self.neurons < 0 or self.synapses < 0:
            return f"neurons and synapses must be at least 0, got {self.neurons}, {self.synapses}"
        if self.is_input and self.synapses:
            return f"an input (0 neurons) has no synapses onto it, got {self.synapses}"
        if not 0 <= self.weights <= self.synapses:
            return f"weights must be between 0 and synapses ({self.synapses}), got {self.weights}"
        density = self.delta_density
        if density is not None and not (not self.is_spiking and 0 <= density <= 1):
            return f"delta_density must be 0 to 1, in an ANN layer, got {density}"
        strange = [name for name in self.assumed if name not in ASSUMABLE]
        if strange:
            return f"assumed must name some of {', '.join(ASSUMABLE)}, got {strange[0]!r}"
        return self._foreign_count() or self._order()

    def _foreign_count(self) -> str:
        """Refuse counts that no equation of this kind would ever read."""
        spiking_counts = ("synops", "neuron_updates", "spikes")
        if self.is_spiking:
            foreign = [name for name in COUNTS if name not in spiking_counts]
            if self.is_input:
                foreign += ["neuron_updates", "synops"]
        else:
            foreign = list(spiking_counts)
            if self.kind not in MAC_KINDS:
                foreign.append("macs")
            if self.neurons or self.synapses:
                return f"neurons and synapses belong to spiking layers, not to a {self.kind} layer"
        for which in ("executed", "padded", "dense"):
            for name in foreign:
                count = getattr(getattr(self, which), name)
                if count:
                    what = f"a layer of kind {self.kind}"
                    what = "an input (0 neurons)" if self.is_input else what
                    return f"{which}.{name} must be 0 in {what}, got {count}"
        return ""

    def _order(self) -> str:
        for low, high in (("executed", "dense"), ("executed", "padded"), ("padded", "dense")):
            small, large = getattr(self, low), getattr(self, high)
            over = small.exceeds(large)
            if over:
                name = over[0]
                return (
                    f"{low}.{name} = {getattr(small, name)} exceeds {high}.{name} = "
                    f"{getattr(large, name)}; executed <= padded <= dense must hold"
                )
        return ""
