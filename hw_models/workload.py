"""What a run did, layer by layer, in counts that no device has touched yet.

A :class:`Workload` holds totals over a whole recording. One *inference* is one window step.
It is made by a counter or written by hand as JSON::

    {"schema_version": 1, "name": "by hand", "inferences": 40, "window_ms": 25, "ticks": 1000,
     "layers": [
       {"stage": "frontend", "layer": "input", "executed": {"spikes": 90000}},
       {"stage": "change", "layer": "detector", "neurons": 196, "synapses": 15876,
        "executed": {"neuron_updates": 196000, "synops": 90000, "spikes": 900}},
       {"stage": "encoder", "layer": "blocks", "kind": "gemm",
        "executed": {"macs": 800000000, "weight_bytes": 48000000, "launches": 1600},
        "dense": {"macs": 4800000000, "weight_bytes": 48000000, "launches": 1600}}]}

``dense`` and ``padded`` default to ``executed``. ``kind`` may be left out where the other fields
decide it: a layer of a spiking stage is spiking; elsewhere one with MACs is a gemm and one
without is elementwise. Unknown keys are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hw_models.errors import WorkloadError, first_error
from hw_models.ops import (
    NETWORK_KINDS,
    PRECISIONS,
    SPIKING_STAGES,
    STAGES,
    LayerOps,
    OpKind,
    Ops,
    Precision,
)
from hw_models.totals import TYPICAL, typical_elements

__all__ = ["SCHEMA_VERSION", "SPIKING_STAGES", "STAGES", "LayerOps", "OpKind", "Ops", "Workload"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Workload:
    """Counts of a run, totals over a recording.

    Parameters
    ----------
    name
        What was run.
    inferences
        Number of window steps, at least 1.
    window_ms
        Length of a window in milliseconds.
    layers
        One :class:`LayerOps` per layer. Spiking layers stand in the order the signal passes them:
        inputs first, the read-out, whose spikes leave the chip, last.
    ticks
        Ticks of the spiking graph, summed over the recording.
    params
        Parameters of the ANN, each counted once, which the memory of a processor must hold;
        ``None``: not known.
    deploy_as
        Precision to cost the ANN at; ``None`` leaves it to the device.
    notes
        Free text, carried into reports.

    Raises
    ------
    WorkloadError
        A value is out of range, a layer appears twice, or spiking neurons come without ticks.
    """

    name: str
    inferences: int
    window_ms: float
    layers: tuple[LayerOps, ...]
    ticks: int = 0
    params: int | None = None
    deploy_as: Precision | None = None
    notes: tuple[str, ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "notes", tuple(self.notes))
        object.__setattr__(self, "window_ms", float(self.window_ms))
        object.__setattr__(self, "inferences", operator.index(self.inferences))
        object.__setattr__(self, "ticks", operator.index(self.ticks))
        problem = self._problem()
        if problem:
            raise WorkloadError(problem)

    def _problem(self) -> str:
        if self.inferences < 1:
            return f"inferences must be at least 1, got {self.inferences}"
        if not (math.isfinite(self.window_ms) and self.window_ms > 0):
            return f"window_ms must be positive and finite, got {self.window_ms}"
        if self.ticks < 0:
            return f"ticks must be at least 0, got {self.ticks}"
        if self.params is not None and self.params < 0:
            return f"params must be at least 0, got {self.params}"
        if self.deploy_as is not None and self.deploy_as not in PRECISIONS:
            return f"deploy_as must be one of {', '.join(PRECISIONS)}, got {self.deploy_as!r}"
        seen: set[tuple[str, str]] = set()
        for layer in self.layers:
            if layer.key in seen:
                return f"layer {layer.stage}/{layer.layer} appears twice"
            seen.add(layer.key)
            if layer.neurons and not self.ticks:
                return f"layer {layer.stage}/{layer.layer} has neurons, so ticks must be given"
        return ""

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that have layers, in pipeline order."""
        present = {layer.stage for layer in self.layers}
        return tuple(stage for stage in STAGES if stage in present)

    def total(
        self, which: Literal["executed", "padded", "dense"] = "executed", stage: str | None = None
    ) -> Ops:
        """Sum of the counts over all layers, or over the layers of one stage."""
        total = Ops()
        for layer in self.layers:
            if stage is None or layer.stage == stage:
                total += getattr(layer, which)
        return total

    def __add__(self, other: Workload) -> Workload:
        """Add the counts of two runs; a layer that only one of them has is kept."""
        for name in ("window_ms", "params", "deploy_as"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise WorkloadError(
                    f"cannot add workloads {self.name!r} and {other.name!r}: "
                    f"{name} differs, {mine!r} and {theirs!r}"
                )
        merged = {layer.key: layer for layer in self.layers}
        for layer in other.layers:
            mine_layer = merged.get(layer.key)
            merged[layer.key] = layer if mine_layer is None else mine_layer + layer
        return replace(
            self,
            inferences=self.inferences + other.inferences,
            ticks=self.ticks + other.ticks,
            layers=tuple(merged.values()),
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
        )

    def __repr__(self) -> str:
        return f"Workload({self.name!r}: {self.inferences} inferences, {len(self.layers)} layers)"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, with the schema version first."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        record["layers"] = [layer.to_dict() for layer in self.layers]
        record["notes"] = list(self.notes)
        return {"schema_version": SCHEMA_VERSION, **record}

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return the workload as JSON text."""
        return json.dumps(self.to_dict(), indent=indent)

    def hash(self) -> str:
        """SHA-256 of the canonical JSON (sorted keys, no spaces), as hexadecimal."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the workload as a JSON file."""
        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")

    @classmethod
    def from_totals(
        cls,
        macs: int,
        params: int,
        *,
        name: str = "network",
        op_class: str | None = None,
        n_layers: int | None = None,
        act_elements: int | None = None,
        kv_elements: int = 0,
        batch: int = 1,
        window_ms: float = 1000.0,
    ) -> Workload:
        """Describe a whole network by its totals; one inference is one query of ``batch`` samples.

        Parameters
        ----------
        macs, params
            Multiply-accumulates of one sample, and parameters, which stream once per query.
        name
            What it is.
        op_class
            ``cnn``, ``grouped-cnn``, ``dw-cnn``, ``vit``, ``hybrid``, ``llm`` (a pass over many
            tokens) or ``decode`` (a pass over one token); ``None`` takes ``cnn`` as a guess.
        n_layers, act_elements
            Graph layers; activation elements written by one sample. Where ``None``, the typical
            value of the class is taken and marked as assumed, which widens intervals; not for
            language models, whose laws are fitted on parameters and tokens alone.
        kv_elements
            Elements of the key-value cache read by a ``decode`` pass.
        batch
            Samples per query.
        window_ms
            Sets the default rate, one query per window.

        Raises
        ------
        WorkloadError
            A count is negative or not an integer, or the class is unknown.
        """
        classes = [str(kind) for kind in NETWORK_KINDS]
        if op_class is not None and op_class not in classes:
            raise WorkloadError(f"op_class must be one of {', '.join(classes)}, got {op_class!r}")
        kind = OpKind(op_class or OpKind.CNN)
        given = {"kind": op_class, "elements": act_elements, "launches": n_layers}
        launches = TYPICAL[kind].layers if n_layers is None else n_layers
        elements = act_elements
        if elements is None:
            elements = typical_elements(kind, macs, params, launches)
        counts = Ops(
            macs=macs * batch,
            elements=elements * batch,
            weight_bytes=params,  # at int8, the precision it is said to have run in
            read_bytes=kv_elements,
            write_bytes=elements * batch,
            launches=launches,
        )
        language = kind in (OpKind.LLM, OpKind.DECODE)
        assumed = () if language else tuple(n for n, value in given.items() if value is None)
        stage = "decoder" if language else "encoder"
        layer = LayerOps(stage, name, kind, counts, assumed=assumed, ran_as="int8")
        return cls(name, inferences=1, window_ms=window_ms, layers=(layer,), params=params)

    @classmethod
    def load(cls, path: str | Path) -> Workload:
        """Read a JSON file.

        Raises
        ------
        WorkloadError
            The file cannot be read, is not JSON or breaks a rule; names file and key.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise WorkloadError(f"{path}: cannot read the workload: {reason}") from error
        return cls.from_json(text, where=str(path))

    @classmethod
    def from_json(cls, text: str, *, where: str = "workload") -> Workload:
        """Read JSON text; ``where`` names it in errors.

        Raises
        ------
        WorkloadError
            The text is not JSON or breaks a rule.
        """
        try:
            data = json.loads(text, object_pairs_hook=_once)
        except WorkloadError as error:
            raise WorkloadError(f"{where}: {error}") from error
        except json.JSONDecodeError as error:
            raise WorkloadError(
                f"{where}: not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
            ) from error
        if not isinstance(data, dict):
            raise WorkloadError(f"{where}: expected a JSON object, got a {type(data).__name__}")
        version = data.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise WorkloadError(
                f"{where}: schema_version: expected {SCHEMA_VERSION}, got {version!r}"
            )
        layers = data.get("layers")
        if isinstance(layers, list):
            data["layers"] = [_with_kind(layer) for layer in layers]
        try:
            return _ADAPTER.validate_json(json.dumps(data), strict=True)
        except ValidationError as error:
            raise WorkloadError(first_error(error, where, _KEYS)) from error


def _with_kind(layer: Any) -> Any:
    """Fill in the kind of a hand-written layer from its stage and counts."""
    if not isinstance(layer, Mapping) or "kind" in layer:
        return layer
    executed = layer.get("executed")
    has_macs = isinstance(executed, Mapping) and bool(executed.get("macs"))
    kind = OpKind.GEMM if has_macs else OpKind.ELEMENTWISE
    return {**layer, "kind": OpKind.SPIKING if layer.get("stage") in SPIKING_STAGES else kind}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice in an object: JSON would silently take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise WorkloadError(f"key {twice!r} appears twice in one object; remove one")
    return found


_ADAPTER = TypeAdapter(Workload)
_KEYS = frozenset(field.name for record in (Workload, LayerOps, Ops) for field in fields(record))
