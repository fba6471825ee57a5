"""What is known of networks measured on Loihi beside their rows: layers, cores, host, board."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from hw_models.errors import CatalogError
from hw_models.loader import load_references, references
from hw_models.sourced import STRICT_KEYS, Sourced, sourced_items
from hw_models.validate.rows import LoihiRow
from hw_models.workload import Workload

PUBLISHED = Path(__file__).parents[1] / "published"


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of a setup; SI units.

    Parameters
    ----------
    input_neurons
        Neurons of the row that are inputs, not neurons on a core.
    spikes_per_step
        Spikes of the network per step, each over synapses / neurons synapses.
    messages_per_step
        Spikes per step where operations are measured and spikes are not.
    activity, synops_per_neuron
        Spikes per synapse and step; synaptic operations per neuron and step.
    host_step_s, host_w
        Time of host and embedded processors per step; their power above idle.
    cores_per_neuron, busiest_neuron_share, busiest_synop_share
        Cores, where the row does not say; shares of the whole on the busiest core.
    static_w
        Static power, where the row does not give it.
    """

    input_neurons: Sourced | None = None
    spikes_per_step: Sourced | None = None
    messages_per_step: Sourced | None = None
    activity: Sourced | None = None
    synops_per_neuron: Sourced | None = None
    host_step_s: Sourced | None = None
    host_w: Sourced | None = None
    cores_per_neuron: Sourced | None = None
    busiest_neuron_share: Sourced | None = None
    busiest_synop_share: Sourced | None = None
    static_w: Sourced | None = None

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


@dataclass(frozen=True, slots=True)
class Setup:
    """What is known of a measured network and its board beside the row.

    Parameters
    ----------
    workload, chip
        A row belongs to it whose workload contains the one and whose chip is the other.
    network
        File with the layers, in ``published``.
    cores
        Cores in use.
    set_by
        Id of a row -> quantities of it that set a constant.
    """

    workload: str = ""
    chip: str = ""
    network: str = ""
    cores: int = 0
    set_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Numbers = Numbers()

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


@cache
def setups() -> tuple[Setup, ...]:
    """Return the shipped setups.

    Raises
    ------
    CatalogError
        A number names a source that is in no bibliography.
    """
    path = PUBLISHED / "loihi_setups.toml"
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    found = TypeAdapter(tuple[Setup, ...]).validate_python(data["setups"])
    known = references().keys() | load_references(PUBLISHED / "references.bib").keys()
    for setup in found:
        for key, number in sourced_items(setup.numbers):
            if number.source not in known:
                raise CatalogError(
                    f"{path.name}: {setup.workload}: {key}.source: expected a key of "
                    f"references.bib, got {number.source!r}"
                )
    return found


def setup_of(row: LoihiRow) -> Setup:
    """Return the setup of a row; an empty one where none is known."""
    found = (each for each in setups() if each.workload in row.workload and each.chip == row.chip)
    return next(found, Setup())


@cache
def network(name: str) -> Workload:
    """Return a published network by the name of its file."""
    return Workload.load(PUBLISHED / name)


def scaled(described: Workload, row: LoihiRow) -> Workload:
    """Return one inference of a network at the steps, neurons and operations of a row."""
    ticks = int(row.timesteps or described.ticks)
    per_neuron = (row.neurons or 0.0) / sum(layer.neurons for layer in described.layers)
    total = described.total()
    per_synop = 1.0 if row.synops_per_inf is None else row.synops_per_inf / total.synops
    layers = []
    for layer in described.layers:
        neurons = round(layer.neurons * per_neuron)
        spikes = layer.executed.spikes * (1.0 if layer.is_input else per_neuron)
        ops = replace(
            layer.executed,
            neuron_updates=neurons * ticks,
            synops=round(layer.executed.synops * per_synop),
            spikes=round(spikes),
        )
        layers.append(replace(layer, neurons=neurons, executed=ops, dense=ops, padded=ops))
    return replace(described, ticks=ticks, layers=tuple(layers))
