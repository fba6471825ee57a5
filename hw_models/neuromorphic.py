r"""Energy and time of spiking layers on a neuromorphic chip.

Per inference, with T ticks, n chips and per layer N neuron updates, S synops, K spikes, M
messages (one per spike and destination core) and c cores::

    E_active = sum over layers [ N q e_pass + S e_syn + K e_spike + M e_message + T c e_core ]
               + T n e_chip + P_code busy t
    P_idle   = n P_leak + n_x86 P_clock
    t        = imbalance max over layers [ (S t_syn + N q t_pass + M_in t_axon) / c ]
               + T t_sync + K_in t_inject

with q microcode passes per update (1 on Loihi 1, where e_core and e_chip are absent; Loihi 2 has
no x86 term of its own and no e_message). M_in are messages that arrive, K_in spikes injected by
input layers. Energy terms: Davies et al. 2018, Table 2; the split into terms and the sum (not the
maximum) of the times of a core follow published measurements, see the sources in the catalog.

Every mapped neuron counts as active in every tick: a workload does not say which neurons were
idle, and with that choice the constants reproduce measured Loihi 1 cores. Hops of the mesh are
inside e_message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from hw_models.chip import NeuromorphicChip
from hw_models.cost import Cost
from hw_models.mapping import Mapping
from hw_models.ops import LayerOps
from hw_models.report import NotCovered
from hw_models.sourced import Sourced
from hw_models.table import LayerTable
from hw_models.uncertainty import Columns, Constants

_ANN_ON_CHIP = (
    "an ANN on a neuromorphic chip is refused until it is modelled as a sigma-delta network from "
    "measured activation sparsity"
)


def chip_constants(chip: NeuromorphicChip) -> dict[str, Sourced]:
    """Return the constants that this chip's equations use, by name."""
    named = ((field.name, getattr(chip.constants, field.name)) for field in fields(chip.constants))
    return {name: value for name, value in named if value is not None}


def take(
    layers: Sequence[LayerOps], chip: NeuromorphicChip
) -> tuple[tuple[LayerOps, ...], tuple[NotCovered, ...]]:
    """Split layers into those that run on the chip and the stages that do not, with the reason."""
    taken = tuple(layer for layer in layers if layer.is_spiking)
    left = dict.fromkeys(layer.stage for layer in layers if not layer.is_spiking)
    return taken, tuple(NotCovered(stage, _ANN_ON_CHIP) for stage in left)


@dataclass(frozen=True, slots=True)
class Activity:
    """What the layers do in one inference beside their counts, shape (n_layers, 1)."""

    is_input: Columns
    messages: Columns
    messages_in: Columns
    n_cores: Columns


def activity_of(table: LayerTable, mappings: Sequence[Mapping]) -> Activity:
    """Messages sent and received, and cores, from where each run's layers were placed."""
    places = [place for mapping in mappings for place in mapping.placements]
    destinations = np.array([[place.n_destination_cores] for place in places]).reshape(-1, 1)
    messages = table.spikes * destinations
    arriving = np.roll(messages, 1, axis=0)
    arriving[np.diff(table.run, prepend=-1) != 0] = 0.0
    return Activity(
        is_input=np.array([[float(layer.is_input)] for layer in table.layers]).reshape(-1, 1),
        messages=messages,
        messages_in=arriving,
        n_cores=np.array([[float(place.n_cores)] for place in places]).reshape(-1, 1),
    )


def chip_cost(table: LayerTable, mappings: Sequence[Mapping], ticks: Columns, c: Constants) -> Cost:
    """Energy above idle and latency of one inference.

    Parameters
    ----------
    table
        The layers that run on the chip.
    mappings
        Where they went, one per run.
    ticks
        Ticks per inference, shape (n_runs, 1).
    c
        Constants by the names of :func:`chip_constants`.
    """
    if not table.layers:
        return Cost(table, {}, {}, {}, {})
    activity = activity_of(table, mappings)
    used = np.bincount(table.run, minlength=table.n_runs)[:, np.newaxis] > 0
    chips = np.array([[mapping.n_chips] for mapping in mappings])
    sync = np.where(chips > 1, c["sync_multi_chip_s"], c["sync_s"])
    busiest = table.max_by_run(_core_s(table, activity, c))
    injected = table.sum_by_run(activity.is_input * table.spikes)
    times = {
        "busiest core": c["imbalance"] * busiest,
        "synchronisation": used * ticks * sync,
        "spike injection": injected * c["inject_s_per_spike"],
    }
    energies = _energies(table, activity, ticks, c)
    shared = {}
    if "chip_tick_j" in c:
        shared["chip overhead"] = used * ticks * chips * c["chip_tick_j"]
    if "x86_code_w" in c:
        shared["embedded x86"] = c["x86_code_w"] * c["x86_busy"] * sum(times.values())
    return Cost(table, energies, {}, shared, times)


def _energies(
    table: LayerTable, activity: Activity, ticks: Columns, c: Constants
) -> dict[str, Columns]:
    passes = table.neuron_updates * c["passes_per_update"]
    spikes = (1 - activity.is_input) * table.spikes
    terms = {
        "neuron update": passes * c["neuron_pass_j"],
        "synapse": table.synops * c["synop_j"],
        "spike": spikes * c["spike_j"],
    }
    if "message_j" in c:
        terms["message"] = activity.messages * c["message_j"]
    if "core_tick_j" in c:
        terms["core overhead"] = ticks[table.run] * activity.n_cores * c["core_tick_j"]
    return terms


def _core_s(table: LayerTable, activity: Activity, c: Constants) -> Columns:
    """Time that a core of each layer works in one inference, load spread evenly."""
    work = table.synops * c["synop_s"]
    work = work + table.neuron_updates * c["passes_per_update"] * c["neuron_pass_s"]
    if "axon_s" in c:
        work = work + activity.messages_in * c["axon_s"]
    core_s: Columns = np.where(activity.n_cores > 0, work / np.maximum(activity.n_cores, 1), 0.0)
    return core_s


def idle_w(mappings: Sequence[Mapping], c: Constants) -> Columns:
    """Power of the chips in use while nothing runs, shape (n_runs, n_columns)."""
    chips = np.array([[mapping.n_chips] for mapping in mappings])
    power: Columns = chips * c["leak_w_per_chip"]
    if "x86_clock_w" in c:
        power = power + c["x86_count"] * c["x86_clock_w"]
    return power
