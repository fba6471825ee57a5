r"""Energy and time of a network on neurocores.

Per inference of T ticks, on n chips; per layer N active and I idle neuron updates, q passes of the
neuron program for an active one, S synaptic operations, K spikes, M messages (one per spike and
core that it goes to), their hops X and Y along rows and columns of the mesh, and c cores::

    E_core   = g { sum over layers [ N q e_pass + I e_idle + S e_syn + K e_spike + M e_message
                                     + X e_x + Y e_y + T c e_core ] + T n e_chip }
    E_active = E_core + P_code busy t
    P_idle   = n P_leak + n_x86 P_clock
    t        = f max over layers [ (S t_syn + N q t_pass + I t_idle + M_in t_axon) / c ]
               + T t_sync + K_in t_inject + M_out t_link
    t_sync   = t_one + (t_full - t_one) log(tiles) / log(tiles of a chip)
               + (t_board - t_full) log(chips) / log(chips of that board)

A term whose constant a chip does not have is absent. M_in are messages that arrive, K_in spikes
brought in by input layers, M_out messages that leave a chip; f and g carry the doubt about the
equations. A spike goes to every core of the next layer that hears it, but there are no more
messages than synaptic operations. Idle updates are those of mapped neurons that the run did not
evaluate: I = neurons x T - N. Where a run evaluates every neuron in every tick, all are active.

Sigma-delta layers (:mod:`hw_models.sigma_delta`) add their own S, M = K and passes; a window passes
them one after the other, each in a tick of its own, so that their times add up.

Terms: Davies et al. 2018, Table 2, and the SANA-FE architecture file; that the times of a core add
up, and barriers grow with the logarithm of what takes part, follows measurements named in the
catalog.

Boundaries. Published figures have one of three, kept apart here and never compared with each
other: ``core`` is E_core; ``chip`` adds embedded processors and leakage, E_active + P_idle t;
``board`` adds the static power of the board, P_board t. A network that uses little of a chip is
sometimes given only the leakage of its cores: ``attributed``, E_active + P_clock t + P_leak t
c / (cores of a chip). Of the two scopes of a report, ``active``
is E_active, and ``device`` adds P_idle, that is the boundary ``chip`` for as long as one window
lasts; the board is outside of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from hw_models import sigma_delta
from hw_models.chip import NeuromorphicChip
from hw_models.cost import Cost
from hw_models.mapping import Mapping
from hw_models.ops import LayerOps, OpKind
from hw_models.report import NotCovered
from hw_models.sourced import Sourced
from hw_models.table import LayerTable
from hw_models.uncertainty import Columns, Constants


def chip_constants(chip: NeuromorphicChip) -> dict[str, Sourced]:
    """Return the constants that this chip's equations use, by name."""
    named = ((field.name, getattr(chip.constants, field.name)) for field in fields(chip.constants))
    return {name: value for name, value in named if value is not None}


def take(
    layers: Sequence[LayerOps], chip: NeuromorphicChip
) -> tuple[tuple[LayerOps, ...], tuple[NotCovered, ...]]:
    """Split layers into those that run on the chip and the stages that do not, with the reason.

    A stage runs there as a whole or not at all.
    """
    left: dict[str, str] = {}
    for layer in [layer for layer in layers if layer.kind is not OpKind.SPIKING]:
        if layer.stage not in left:
            reason = sigma_delta.refusal(layer, chip)
            if reason:
                left[layer.stage] = reason
    taken = tuple([layer for layer in layers if layer.stage not in left] if left else layers)
    return taken, tuple(NotCovered(stage, reason) for stage, reason in left.items())


@dataclass(frozen=True, slots=True)
class Activity:
    """What layers do in one inference; shape (n_layers, 1), or (n_runs, 1) where it says runs.

    Parameters
    ----------
    run
        Run that each row belongs to, shape (n_layers,).
    updates, idle_updates, delta_elements
        Active and idle neuron updates; elements of sigma-delta layers.
    synops, spikes, messages, messages_in
        Synaptic operations; spikes or changed elements sent by neurons; messages sent, received.
    hops_x, hops_y, leaving
        Hops along rows and columns, and messages that leave their chip.
    cores, core_ticks
        Cores, and ticks that all of them go through together.
    injected
        Runs: spikes brought in.
    ticks, chips
        Runs: ticks with sigma-delta ones, and chips.
    tiles, tiles_per_chip
        Runs: tiles in use on the fullest chip, and tiles of a chip.
    """

    run: np.ndarray[tuple[int], np.dtype[np.intp]]
    updates: Columns
    idle_updates: Columns
    delta_elements: Columns
    synops: Columns
    spikes: Columns
    messages: Columns
    messages_in: Columns
    hops_x: Columns
    hops_y: Columns
    leaving: Columns
    cores: Columns
    core_ticks: Columns
    injected: Columns
    ticks: Columns
    chips: Columns
    tiles: Columns
    tiles_per_chip: Columns


def activity_of(table: LayerTable, mappings: Sequence[Mapping], ticks: Columns) -> Activity:
    """Derive activity from the counts of a table and from where its layers went.

    Parameters
    ----------
    table
        The layers that run on the chip.
    mappings
        Where they went, one per run.
    ticks
        Ticks of the spiking layers per inference, shape (n_runs, 1).
    """
    structure = np.concatenate([mapping.columns for mapping in mappings])
    neurons, cores, reach, hops_x, hops_y, leaves, density, operations = structure.T[:, :, None]
    is_delta = ~np.isnan(density)
    sent = np.where(is_delta, density, 0.0)
    is_input = neurons == 0
    # of a layer's structure, the share that the run executed (tokens left out do not change)
    work = np.where(table.macs > 0, table.macs, table.elements)
    elements = np.where(is_delta, neurons * work / np.maximum(operations, 1.0), 0.0)
    synops = table.synops + sent * work
    spikes = table.spikes + sent * elements
    delta_ticks = is_delta * 1.0
    last = np.diff(table.run, append=-1) != 0
    first = np.diff(table.run, prepend=-1) != 0
    behind = np.where(last[:, None], spikes, np.roll(synops, -1, axis=0))
    messages = np.minimum(spikes * reach, np.maximum(behind, spikes))
    messages_in = np.where(first[:, None], 0.0, np.roll(messages, 1, axis=0))
    of_run = np.array([(each.n_chips, each.n_tiles, each.tiles_per_chip) for each in mappings])
    own_ticks = ticks[table.run]
    used = np.bincount(table.run[~is_delta[:, 0]], minlength=table.n_runs)[:, None] > 0
    all_ticks = used * ticks + table.sum_by_run(delta_ticks)
    return Activity(
        run=table.run,
        updates=table.neuron_updates,
        idle_updates=np.where(
            is_delta, 0.0, np.maximum(neurons * own_ticks - table.neuron_updates, 0.0)
        ),
        delta_elements=elements,
        synops=synops,
        spikes=np.where(is_input, 0.0, spikes),
        messages=messages,
        messages_in=messages_in,
        hops_x=messages * hops_x,
        hops_y=messages * hops_y,
        leaving=messages * leaves,
        cores=cores,
        core_ticks=cores * all_ticks[table.run],
        injected=table.sum_by_run(np.where(is_input, spikes, 0.0)),
        ticks=all_ticks,
        chips=of_run[:, :1],
        tiles=np.maximum(of_run[:, 1:2], 1),
        tiles_per_chip=of_run[:, 2:],
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
        Ticks of the spiking layers per inference, shape (n_runs, 1).
    c
        Constants by the names of :func:`chip_constants`.
    """
    if not table.layers:
        return Cost(table, {}, {}, {}, {})
    activity = activity_of(table, mappings, ticks)
    is_delta = activity.delta_elements > 0
    core_s = core_seconds(activity, c)
    times = {
        "busiest core": c["time_factor"] * table.max_by_run(np.where(is_delta, 0.0, core_s)),
        "synchronisation": activity.ticks * sync_seconds(activity, c),
        "spike injection": activity.injected * c["inject_s_per_spike"],
    }
    if is_delta.any():
        one_by_one = table.sum_by_run(np.where(is_delta, core_s, 0.0))
        times["sigma-delta layers"] = c["time_factor"] * one_by_one
    if "chip_message_s" in c:
        times["chip to chip"] = table.sum_by_run(activity.leaving) * c["chip_message_s"]
    shared = {}
    if "chip_tick_j" in c:
        ticking = activity.ticks * activity.chips * c["chip_tick_j"]
        shared["chip overhead"] = c["energy_factor"] * ticking
    if "x86_code_w" in c:
        shared["embedded x86"] = c["x86_code_w"] * c["x86_busy"] * sum(times.values())
    return Cost(table, core_energies(activity, c), {}, shared, times)


def core_energies(activity: Activity, c: Constants) -> dict[str, Columns]:
    """Energy of the cores of each layer by term, shape (n_layers, n_columns)."""
    passes = activity.updates * c["passes_per_update"]
    if "delta_passes" in c:
        passes = passes + activity.delta_elements * c["delta_passes"]
    terms = {
        "neuron update": passes * c["neuron_pass_j"],
        "idle neuron": activity.idle_updates * c["neuron_idle_j"],
        "synapse": activity.synops * c["synop_j"],
        "spike": activity.spikes * c["spike_j"],
    }
    for term, count, constant in (
        ("message", activity.messages, "message_j"),
        ("hop along a row", activity.hops_x, "hop_x_j"),
        ("hop along a column", activity.hops_y, "hop_y_j"),
        ("core overhead", activity.core_ticks, "core_tick_j"),
    ):
        if constant in c:
            terms[term] = count * c[constant]
    factor = c["energy_factor"]
    return {term: amount * factor for term, amount in terms.items()}


def core_seconds(activity: Activity, c: Constants) -> Columns:
    """Time that a core of each layer works in one inference, shape (n_layers, n_columns)."""
    passes = activity.updates * c["passes_per_update"]
    if "delta_passes" in c:
        passes = passes + activity.delta_elements * c["delta_passes"]
    work = activity.synops * c["synop_s"] + passes * c["neuron_pass_s"]
    work = work + activity.idle_updates * c["neuron_idle_s"]
    if "axon_s" in c:
        work = work + activity.messages_in * c["axon_s"]
    core_s: Columns = np.where(activity.cores > 0, work / np.maximum(activity.cores, 1), 0.0)
    return core_s


def sync_seconds(activity: Activity, c: Constants) -> Columns:
    """Time to end one tick, shape (n_runs, n_columns)."""
    full_share = np.log(activity.tiles) / np.log(np.maximum(activity.tiles_per_chip, 2))
    doublings = np.log(activity.chips) / np.log(np.maximum(c["sync_board_chips"], 2.0))
    one, full, board = c["sync_s"], c["sync_full_s"], c["sync_board_s"]
    sync: Columns = one + (full - one) * full_share + np.maximum(board - full, 0.0) * doublings
    return sync


def idle_w(mappings: Sequence[Mapping], c: Constants) -> Columns:
    """Power of the chips in use while nothing runs, shape (n_runs, n_columns)."""
    chips = np.array([[mapping.n_chips] for mapping in mappings])
    power: Columns = chips * c["leak_w_per_chip"]
    if "x86_clock_w" in c:
        power = power + c["x86_count"] * c["x86_clock_w"]
    return power


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Energy of one inference run back to back, by boundary, shape (n_runs, n_columns).

    ``attributed_j`` has the leakage of the used cores, ``chip_j`` that of whole chips; ``board_j``
    is ``None`` where the static power of the board is not on record.
    """

    core_j: Columns
    attributed_j: Columns
    chip_j: Columns
    board_j: Columns | None


def boundaries(cost: Cost, mappings: Sequence[Mapping], c: Constants) -> Boundaries:
    """Sum a cost up for each boundary that published figures have."""
    latency = cost.time_s(c.n_columns)
    x86 = cost.shared_energies.get("embedded x86", 0.0)
    active = cost.energy_j(c.n_columns)
    idle = idle_w(mappings, c)
    chip = active + idle * latency
    unused = np.array([[each.n_chips - each.chips_worth_of_cores] for each in mappings])
    attributed = active + (idle - unused * c["leak_w_per_chip"]) * latency
    board = chip + c["board_w"] * latency if "board_w" in c else None
    return Boundaries(active - x86, attributed, chip, board)
