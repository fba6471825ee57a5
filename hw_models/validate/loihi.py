"""Published measurements on Loihi 1 and Loihi 2 against the equations of ``neuromorphic``.

A row gives neurons, steps, mostly synaptic operations, sometimes more in its notes. A setup
(:mod:`hw_models.validate.loihi_setups`) adds what is known of a measured network and its board:
a file with its layers, the number of cores, what the host costs. From both follows an activity,
which is costed with the constants of the catalog and nothing else.

Quantities, each predicted only where the row states a boundary that has it:

* ``core energy``: neurocores above idle;
* ``energy above static``: that, with embedded processors and I/O of the setup;
* ``total energy``: that, and static power as the row gives it; ``total energy, static power not
  given``: with static power from setup or catalog instead;
* ``step time``: of one time step, injection or host included.

Notes of a prediction: ``I/O-bound`` where injection and host take more than half of the predicted
time; ``activity assumed`` where assumed activity decides on more than 5% of the predicted value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from hw_models.chip import NeuromorphicChip
from hw_models.errors import CatalogError
from hw_models.loader import load_device
from hw_models.mapping import map_layers, mesh_of
from hw_models.neuromorphic import (
    Activity,
    activity_of,
    chip_constants,
    core_energies,
    core_seconds,
    sync_seconds,
)
from hw_models.sourced import Sourced
from hw_models.table import table_of
from hw_models.uncertainty import Columns, Constants, sample
from hw_models.validate.facts import Facts, facts
from hw_models.validate.loihi_setups import Numbers, Setup, network, scaled, setup_of
from hw_models.validate.outcome import Prediction, Refusal
from hw_models.validate.rows import LoihiRow

_CHIPS = {"Intel Loihi 1": "loihi1", "Intel Loihi 2": "loihi2"}
_STRUCTURE = ("neurons", "synapses_or_params", "timesteps", "synops_per_inf")
_TOTALS = ("total", "chip-total", "attributed-total")
_ASSUMED_SHARE = 0.05
_IO_SHARE = 0.5
_BALANCE = Sourced(
    2.0, 1.0, 5.0, "assumption",
    "load of the busiest core in means; 4.9 in the one published activity plot", "assumed",
)  # fmt: skip


def predict_loihi(
    row: LoihiRow, *, samples: int = 1000, seed: int = 0
) -> tuple[Prediction | Refusal, ...]:
    """Predict every quantity that a row measures, or say why not.

    Parameters
    ----------
    row
        A row of the table of measurements.
    samples, seed
        Of the Monte Carlo over the constants' ranges.
    """
    known, setup = facts(row), setup_of(row)
    reason = _unusable(row, known, setup)
    if reason:
        return (Refusal(reason),)
    measured = _measured(row, known)
    if not measured:
        stated = known.get("energy", "not stated")
        return (Refusal(f"no time, and no energy of a known boundary (it is {stated})"),)
    case = _Case.of(row, known, setup, samples, seed)
    results: list[Prediction | Refusal] = []
    for quantity, value in measured.items():
        if quantity in setup.set_by.get(row.id, ()):
            results.append(Refusal("a constant was set on this quantity of this row", quantity))
        else:
            results.append(case.predict(quantity, value))
    return tuple(results)


def _unusable(row: LoihiRow, known: Facts, setup: Setup) -> str:
    """Say why nothing of a row can be predicted; empty where something can."""
    numbers = setup.numbers
    a_range = [name for name in _STRUCTURE if name in row.ranges]
    has_activity = (
        row.synops_per_inf is not None
        or "synops_per_step" in known
        or numbers.synops_per_neuron is not None
        or (row.synapses_or_params is not None and (numbers.activity or numbers.spikes_per_step))
    )
    other_neuron = (
        _CHIPS.get(row.chip) == "loihi2"
        and "LIF" not in row.workload
        and "passes_per_step" not in known
    )
    reasons = {
        f"{row.chip}: not a chip of the catalog": row.chip not in _CHIPS,
        f"{'/'.join(a_range)} is a range: not one network": bool(a_range),
        "bound by the host's input, which is no part of the chip": known.get("io") == "host-bound",
        "neurons are not given": not row.neurons,
        "activity (synaptic operations) is not given, and no calibration row has it":
            not has_activity,
        "time steps are not given": not row.timesteps,
        "the neuron is not LIF, and the passes of its program are not given": other_neuron,
    }  # fmt: skip
    return next((reason for reason, holds in reasons.items() if holds), "")


def _measured(row: LoihiRow, known: Facts) -> dict[str, float]:
    """Return what a row measures, in SI units and per inference (step time: per step)."""
    found: dict[str, float] = {}
    steps = row.timesteps or math.nan
    latency = (row.latency_ms or 0.0) * 1e-3
    energy = (row.energy_mj_per_inf or 0.0) * 1e-3
    boundary = known.get("energy", "total" if row.total_mw else "")
    if boundary in _TOTALS and not energy:
        energy = (row.total_mw or 0.0) * 1e-3 * latency
    if "core_dynamic_uj" in known:
        found["core energy"] = _number(known, "core_dynamic_uj") * 1e-6
    elif "core_dynamic_nj_per_step" in known:
        found["core energy"] = _number(known, "core_dynamic_nj_per_step") * steps * 1e-9
    elif "core_dynamic_mw" in known and latency:
        found["core energy"] = _number(known, "core_dynamic_mw") * 1e-3 * latency
    elif boundary == "core" and energy:
        found["core energy"] = energy
    if boundary in _TOTALS and energy:
        given = "" if row.static_mw is not None else ", static power not given"
        found[f"total energy{given}"] = energy
        if "dynamic_mj" in known:
            found["energy above static"] = _number(known, "dynamic_mj") * 1e-3
        elif row.dynamic_mw and latency:
            found["energy above static"] = row.dynamic_mw * 1e-3 * latency
    elif boundary == "dynamic" and energy:
        found["energy above static"] = energy
    if latency:
        found["step time"] = latency / steps
    elif "step_us" in known:
        found["step time"] = _number(known, "step_us") * 1e-6
    return found


def _number(known: Facts, name: str) -> float:
    return float(known[name])


@dataclass(frozen=True, slots=True)
class _Case:
    """A row ready to be costed; ``c`` holds the chip's constants and ``setup.`` ones."""

    row: LoihiRow
    known: Facts
    setup: Setup
    chip: NeuromorphicChip
    c: Constants

    @classmethod
    def of(cls, row: LoihiRow, known: Facts, setup: Setup, samples: int, seed: int) -> _Case:
        name = "loihi2-n3c1" if known.get("stepping") == "n3c1" else _CHIPS[row.chip]
        chip = load_device(name)
        if not isinstance(chip, NeuromorphicChip):
            raise CatalogError(f"catalog: {name} is not a neuromorphic chip")
        named = {each.name: getattr(setup.numbers, each.name) for each in fields(Numbers)}
        own = {f"setup.{name}": number for name, number in named.items() if number is not None}
        sourced = {**chip_constants(chip), **own, "balance": _BALANCE}
        return cls(row, known, setup, chip, sample(sourced, samples, seed))

    def predict(self, quantity: str, measured: float) -> Prediction | Refusal:
        """Predict one quantity of the row."""
        reason = self._refusal(quantity)
        if reason:
            return Refusal(reason, quantity)
        value, without = (self._value(quantity, assumed=each) for each in (True, False))
        note = ""
        if quantity == "step time" and self._io_s()[0] > _IO_SHARE * self._latency_s(True)[0]:
            note = "I/O-bound"
        elif abs(value[0] - without[0]) > _ASSUMED_SHARE * value[0]:
            note = "activity assumed"
        boundary = "core" if quantity == "core energy" else str(self.known.get("energy", ""))
        return Prediction(
            quantity=quantity,
            measured=measured,
            predicted=self.c.interval(np.broadcast_to(value, (self.c.n_columns,))),
            unit="s" if quantity == "step time" else "J",
            device=self.chip.full_name,
            boundary="" if quantity == "step time" else boundary,
            note=note,
        )

    def _refusal(self, quantity: str) -> str:
        if quantity == "energy above static" and self.known.get("energy") == "chip-total":
            return "whether idle power contains running processors is not said"
        io_known = self.setup.network or self._has("host_step_s") or "x86_code_w" not in self.c
        if quantity != "core energy" and not io_known:
            return "spikes injected are not given; each takes 4 to 5 us on Loihi 1"
        return ""

    def _value(self, quantity: str, *, assumed: bool) -> Columns:
        """Value of a quantity, with or without assumed activity, shape (n_columns,)."""
        core = self._core_j(assumed)
        latency = self._latency_s(assumed)
        if quantity == "core energy":
            return core
        if quantity == "step time":
            per_step: Columns = latency / self._steps
            return per_step
        above_static = core + self._host_w() * latency
        if quantity == "energy above static":
            return above_static
        return above_static + self._static_w() * latency

    @property
    def _steps(self) -> float:
        return self.row.timesteps or 1.0

    def _has(self, name: str) -> bool:
        return f"setup.{name}" in self.c

    def _setup(self, name: str) -> Columns:
        return self.c[f"setup.{name}"]

    def _core_j(self, assumed: bool) -> Columns:
        activity = self._activity(assumed)
        energy = self.c.zeros()
        for amounts in core_energies(activity, self.c).values():
            energy = energy + amounts.sum(axis=0)
        if "chip_tick_j" in self.c:
            ticks = self._steps * activity.chips[0, 0]
            energy = energy + ticks * self.c["chip_tick_j"] * self.c["energy_factor"]
        return energy

    def _latency_s(self, assumed: bool) -> Columns:
        activity = self._activity(assumed)
        busiest: Columns = core_seconds(self._busiest(activity), self.c).max(axis=0)
        sync: Columns = sync_seconds(activity, self.c)[0]
        latency: Columns = self.c["time_factor"] * busiest + self._steps * sync + self._io_s()
        return latency

    def _io_s(self) -> Columns:
        """Time that host and injection take in one inference."""
        if self._has("host_step_s"):
            return self._steps * self._setup("host_step_s")
        if not self.setup.network:
            return self.c.zeros()
        inputs = (layer for layer in network(self.setup.network).layers if layer.is_input)
        injected = float(sum(layer.executed.spikes for layer in inputs))
        return injected * self.c["inject_s_per_spike"]

    def _host_w(self) -> Columns:
        """Power of embedded processors above what the row calls static."""
        if self._has("host_w"):
            return self._setup("host_w")
        if "x86_code_w" not in self.c:
            return self.c.zeros()
        code: Columns = self.c["x86_code_w"] * self.c["x86_busy"]
        # a chip's idle power has their clocks, attributed power counts them as used
        return code if self.known.get("energy") == "chip-total" else code + self.c["x86_clock_w"]

    def _static_w(self) -> Columns:
        if self.row.static_mw is not None:
            return np.full(self.c.n_columns, self.row.static_mw * 1e-3)
        if self._has("static_w"):
            return self._setup("static_w")
        chips = self._chips
        if self.known.get("energy") == "attributed-total":
            used = float(self._activity(True).cores.sum())
            chips = used / self.chip.limits.cores_per_chip.value
        return chips * self.c["leak_w_per_chip"]

    @property
    def _chips(self) -> float:
        return max(1.0, float(self.known.get("chips", 1.0)))

    def _activity(self, assumed: bool) -> Activity:
        if not self.setup.network:
            return self._totals(assumed)
        described = scaled(network(self.setup.network), self.row)
        mapping = map_layers(described.layers, self.chip.limits)
        table = table_of([described.layers], [1], "executed", None)
        return activity_of(table, [mapping], np.array([[float(described.ticks)]]))

    def _totals(self, assumed: bool) -> Activity:
        """Activity of all cores together, as of one layer; a spike is taken as one message."""
        neurons = self.row.neurons or 0.0
        if self._has("input_neurons"):
            neurons -= float(self._setup("input_neurons")[0])
        updates = np.full(1, self._steps * neurons)
        if "passes_per_step" in self.known:
            passes = self._steps * _number(self.known, "passes_per_step")
            updates = passes / self.c["passes_per_update"]
        synops, spikes = self._synops(assumed)
        cores = self._cores(neurons)
        mesh = mesh_of(self.chip.limits)
        zero = np.zeros((1, 1))

        def one(number: float) -> Columns:
            return np.full((1, 1), number)

        return Activity(
            run=np.zeros(1, dtype=np.intp),
            updates=updates[None],
            idle_updates=zero,
            delta_elements=zero,
            synops=synops[None],
            spikes=spikes[None],
            messages=spikes[None],
            messages_in=spikes[None],
            hops_x=zero,
            hops_y=zero,
            leaving=zero,
            cores=one(cores),
            core_ticks=one(cores * self._steps),
            injected=zero,
            ticks=one(self._steps),
            chips=one(self._chips),
            tiles=one(min(math.ceil(cores / self._chips / mesh.cores_per_tile), mesh.tiles)),
            tiles_per_chip=one(mesh.tiles),
        )

    def _synops(self, assumed: bool) -> tuple[Columns, Columns]:
        """Synaptic operations and spikes per inference; at most one spike per neuron and step."""
        row, steps = self.row, self._steps
        neurons, synapses = row.neurons or 1.0, row.synapses_or_params or 0.0
        fan_out = max(synapses / neurons, 1.0)
        measured = row.synops_per_inf
        if "synops_per_step" in self.known:
            measured = steps * _number(self.known, "synops_per_step")
        if measured is None and not assumed:
            return np.zeros(1), np.zeros(1)
        if measured is not None:
            synops = np.full(1, measured)
        elif self._has("spikes_per_step"):
            synops = steps * self._setup("spikes_per_step") * fan_out
        elif self._has("activity"):
            synops = steps * self._setup("activity") * synapses
        else:
            synops = steps * self._setup("synops_per_neuron") * neurons
            fan_out = neurons
        if "spikes_per_step" in self.known:
            return synops, np.full(1, steps * _number(self.known, "spikes_per_step"))
        if self._has("messages_per_step"):
            return synops, steps * self._setup("messages_per_step")
        return synops, np.minimum(synops / fan_out, steps * neurons)

    def _cores(self, neurons: float) -> float:
        if "cores" in self.known:
            return _number(self.known, "cores")
        if self.setup.cores:
            return float(self.setup.cores)
        if self._has("cores_per_neuron"):
            return max(1.0, neurons * float(self._setup("cores_per_neuron")[0]))
        return math.ceil(neurons / self.chip.limits.neurons_per_core.value)

    def _busiest(self, activity: Activity) -> Activity:
        """Return what is the work of the busiest core, or the layers it is one of."""
        if self.setup.network:
            return activity
        cores = float(activity.cores[0, 0])
        if self._has("busiest_neuron_share"):
            neurons = self._setup("busiest_neuron_share")
            synops = self._setup("busiest_synop_share")
        elif self.setup.workload:  # a population of equal neurons, spread evenly
            neurons = synops = np.full(1, 1 / cores)
        else:
            neurons = synops = np.minimum(self.c["balance"] / cores, 1.0)
        return replace(
            activity,
            updates=activity.updates * neurons,
            synops=activity.synops * synops,
            messages_in=activity.messages_in * synops,
            cores=np.ones((1, 1)),
        )
