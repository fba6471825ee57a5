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

from hw_models.cost import SHARED, Cost, Line
from hw_models.device import NeuromorphicChip, Sourced
from hw_models.mapping import Mapping
from hw_models.ops import LayerOps, Ops
from hw_models.uncertainty import Columns, Constants


@dataclass(frozen=True, slots=True)
class LayerActivity:
    """What one layer does in one inference."""

    stage: str
    layer: str
    neuron_updates: float
    synops: float
    spikes: float
    messages: float
    messages_in: float
    n_cores: int
    injected: float = 0.0


def chip_constants(chip: NeuromorphicChip) -> dict[str, Sourced]:
    """Return the constants that this chip's equations use, by name."""
    named = ((field.name, getattr(chip.constants, field.name)) for field in fields(chip.constants))
    return {name: value for name, value in named if value is not None}


def activities(
    layers: Sequence[LayerOps], mapping: Mapping, inferences: int, *, dense: bool
) -> list[LayerActivity]:
    """Turn counts over a recording into activity per inference, with messages from the mapping."""
    result: list[LayerActivity] = []
    arriving = 0.0
    for layer, place in zip(layers, mapping.placements, strict=True):
        ops: Ops = layer.dense if dense else layer.executed
        spikes = ops.spikes / inferences
        messages = spikes * place.n_destination_cores
        result.append(
            LayerActivity(
                stage=layer.stage,
                layer=layer.layer,
                neuron_updates=ops.neuron_updates / inferences,
                synops=ops.synops / inferences,
                spikes=0.0 if layer.is_input else spikes,
                messages=messages,
                messages_in=arriving,
                n_cores=place.n_cores,
                injected=spikes if layer.is_input else 0.0,
            )
        )
        arriving = messages
    return result


def layer_energies(activity: LayerActivity, ticks: float, c: Constants) -> list[Line]:
    """Energy terms of one layer in ``ticks`` ticks."""
    passes = activity.neuron_updates * c["passes_per_update"]
    terms = {
        "neuron update": passes * c["neuron_pass_j"],
        "synapse": activity.synops * c["synop_j"],
        "spike": activity.spikes * c["spike_j"],
    }
    if "message_j" in c:
        terms["message"] = activity.messages * c["message_j"]
    if "core_tick_j" in c:
        terms["core overhead"] = ticks * activity.n_cores * c["core_tick_j"]
    return [Line(activity.stage, activity.layer, term, j) for term, j in terms.items()]


def busiest_core_s(activity: LayerActivity, c: Constants) -> Columns:
    """Time that a core of the layer works in one inference, load spread evenly."""
    if activity.n_cores == 0:
        return c.zeros()
    work = activity.synops * c["synop_s"]
    work = work + activity.neuron_updates * c["passes_per_update"] * c["neuron_pass_s"]
    if "axon_s" in c:
        work = work + activity.messages_in * c["axon_s"]
    return work / activity.n_cores


def chip_cost(active: Sequence[LayerActivity], ticks: float, n_chips: int, c: Constants) -> Cost:
    """Energy above idle and latency of one inference of ``ticks`` ticks."""
    if not active:
        return Cost((), ())
    sync = c["sync_s"] if n_chips == 1 else c["sync_multi_chip_s"]
    busiest = np.maximum.reduce([busiest_core_s(activity, c) for activity in active])
    times = (
        Line(SHARED, "", "busiest core", c["imbalance"] * busiest),
        Line(SHARED, "", "synchronisation", ticks * sync),
        Line(
            SHARED, "", "spike injection", sum(a.injected for a in active) * c["inject_s_per_spike"]
        ),
    )
    energies = [line for activity in active for line in layer_energies(activity, ticks, c)]
    if "chip_tick_j" in c:
        energies.append(Line(SHARED, "", "chip overhead", ticks * n_chips * c["chip_tick_j"]))
    if "x86_code_w" in c:
        latency = times[0].amount + times[1].amount + times[2].amount
        code = c["x86_code_w"] * c["x86_busy"] * latency
        energies.append(Line(SHARED, "", "embedded x86", code))
    return Cost(tuple(energies), times)


def idle_w(n_chips: int, c: Constants) -> Columns:
    """Power of the chips in use while nothing runs."""
    power = n_chips * c["leak_w_per_chip"]
    if "x86_clock_w" in c:
        power = power + c["x86_count"] * c["x86_clock_w"]
    return power
