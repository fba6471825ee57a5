"""Plan -> energies and times of all parts, in columns: the dot product of counts and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw_models import neuromorphic, roofline
from hw_models.cost import SHARED, Cost
from hw_models.ops import LayerOps, OpKind
from hw_models.plan import AcceleratorPart, ChipPart, LinkPart, Plan
from hw_models.table import Which, table_of
from hw_models.uncertainty import Columns

# moving data is all that these layers do, so their lines carry the name of the move
_MOVES = (OpKind.GATHER, OpKind.SCATTER, OpKind.EMBEDDING)
_SPARSE_ONLY = (OpKind.GATHER, OpKind.SCATTER)  # what a dense pass does not do at all


@dataclass(frozen=True, slots=True)
class Line:
    """Energy [J] or time [s] of one term of one layer of the first run, shape (n_columns,)."""

    stage: str
    layer: str
    term: str
    amount: Columns


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Costs of the parts, and their sums over parts, shape (n_runs, n_columns)."""

    costs: tuple[Cost, ...]
    active_j: Columns
    latency_s: Columns
    launch_share: float

    def energies(self) -> list[Line]:
        """Return the energies of the first run, line by line."""
        return [
            line
            for cost in self.costs
            for line in _lines(cost, cost.energies, cost.shared_energies)
        ]

    def times(self) -> list[Line]:
        """Return the times of the first run, line by line."""
        return [line for cost in self.costs for line in _lines(cost, cost.times, cost.shared_times)]


def _lines(cost: Cost, layers: Mapping[str, Columns], shared: Mapping[str, Columns]) -> list[Line]:
    lines = [
        Line(layer.stage, layer.layer, _term_of(layer, term), amounts[index])
        for term, amounts in layers.items()
        for index, layer in enumerate(cost.table.layers)
        if cost.table.run[index] == 0
    ]
    return lines + [Line(SHARED, "", term, amounts[0]) for term, amounts in shared.items()]


def _term_of(layer: LayerOps, term: str) -> str:
    if layer.is_spiking and term == "arithmetic":
        return "spiking kernel"  # updates and synops are not MACs
    return str(layer.kind) if layer.kind in _MOVES and term in ("memory traffic", "work") else term


def evaluate(plan: Plan, *, dense: bool, latency_s: float | None = None) -> Evaluation:
    """Add up parts and links for the counts of the run or of its dense twin.

    Parameters
    ----------
    plan
        What runs where.
    dense
        Take the dense counts, and leave out gather and scatter.
    latency_s
        A measured latency, where the plan is one processor.
    """
    inferences = [workload.inferences for workload in plan.workloads]
    costs, of_processors = [], []
    for index, part in enumerate(plan.parts):
        if isinstance(part, ChipPart):
            costs.append(_chip_cost(plan, part, dense))
        else:
            costs.append(_accelerator_cost(part, inferences, dense, latency_s))
            of_processors.append(costs[-1])
        if index < len(plan.links):
            costs.append(_link_cost(plan, plan.links[index], dense))
    n_columns = plan.constants.n_columns
    start = np.zeros((len(inferences), n_columns))
    return Evaluation(
        costs=tuple(costs),
        active_j=sum((cost.energy_j(n_columns) for cost in costs), start),
        latency_s=sum((cost.time_s(n_columns) for cost in costs), start),
        launch_share=roofline.launch_share(of_processors, n_columns),
    )


def _chip_cost(plan: Plan, part: ChipPart, dense: bool) -> Cost:
    inferences = [workload.inferences for workload in plan.workloads]
    table = table_of(part.layers, inferences, "dense" if dense else "executed", None)
    ticks = np.array([[workload.ticks / workload.inferences] for workload in plan.workloads])
    return neuromorphic.chip_cost(table, part.mappings, ticks, part.c)


def _accelerator_cost(
    part: AcceleratorPart, inferences: list[int], dense: bool, latency_s: float | None
) -> Cost:
    layers = part.layers
    which: Which = "padded" if part.device.static_shapes else "executed"
    if dense:
        which = "dense"
        layers = tuple(
            tuple(layer for layer in run if layer.kind not in _SPARSE_ONLY) for run in layers
        )
    table = table_of(layers, inferences, which, part.precision)
    return roofline.accelerator_cost(table, part.device, part.c, latency_s)


def _link_cost(plan: Plan, part: LinkPart, dense: bool) -> Cost:
    """Carry what crosses the link: bytes at a rate, each transfer after a latency."""
    nothing = table_of([()] * len(plan.workloads), [1] * len(plan.workloads), "executed", None)
    transfers, spikes, others = np.zeros((3, len(plan.workloads), 1))
    for run, (workload, sent) in enumerate(zip(plan.workloads, part.sent, strict=True)):
        transfers[run] = len(sent)
        for each in sent:
            ops = each.layer.dense if dense else each.layer.executed
            spikes[run] += ops.spikes / workload.inferences
            others[run] += each.scale * ops.write_bytes / workload.inferences
    n_bytes = spikes * part.c["bytes_per_spike"] + others
    return Cost(
        table=nothing,
        energies={},
        times={},
        shared_energies={"link": n_bytes * part.c["energy_j_per_byte"]},
        shared_times={
            "link latency": transfers * part.c["latency_s"],
            "link": n_bytes / part.c["byte_per_s"],
        },
    )
