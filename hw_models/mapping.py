"""Layers -> neurocores: how many cores and chips a spiking network takes, and whether it fits.

A layer takes the cores that its neurons or its memory need, whichever is more, and shares none
of them with another layer::

    n_cores = max( ceil(neurons / neurons_per_core),
                   ceil((neurons * state_bits + synapses * synapse_bits) / core_memory_bits) )

Within a layer the load is spread evenly, so the busiest core of a layer is its average core; the
device constant ``imbalance`` carries the doubt. Synapses are counted unshared (a convolution that
shares its kernel takes less memory). Axon tables and the mesh are not modelled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hw_models.chip import ChipLimits
from hw_models.ops import LayerOps


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one layer went."""

    stage: str
    layer: str
    n_cores: int
    n_destination_cores: float


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where a network went, and the verdict."""

    placements: tuple[Placement, ...]
    n_cores: int
    n_chips: int
    fits: bool
    reason: str


def map_layers(layers: Sequence[LayerOps], limits: ChipLimits) -> Mapping:
    """Give every spiking layer its cores.

    Parameters
    ----------
    layers
        Spiking layers, inputs included, in the order the signal passes them.
    limits
        What the board holds.

    Returns
    -------
    Mapping
        ``fits`` is false when a neuron does not fit one core or the board has too few cores;
        ``reason`` says it in one sentence. ``n_chips`` is what the network needs, at least 1,
        even where the board has fewer.
    """
    cores = [_cores(layer, limits) for layer in layers]
    placements = tuple(
        Placement(layer.stage, layer.layer, n, _destinations(index, layers, cores))
        for index, (layer, n) in enumerate(zip(layers, cores, strict=True))
    )
    n_cores = sum(cores)
    per_chip, chips = int(limits.cores_per_chip.value), int(limits.chips.value)
    n_chips = max(1, math.ceil(n_cores / per_chip))
    too_wide = [layer for layer in layers if _fan_in_bits(layer, limits) > _memory(limits)]
    if too_wide:
        first = too_wide[0]
        fits, reason = (
            False,
            (
                f"layer {first.stage}/{first.layer} does not fit: one neuron with "
                f"{first.synapses / first.neurons:.0f} synapses needs more than the "
                f"{_memory(limits) / 8192:.0f} KiB of a core"
            ),
        )
    elif n_chips > chips:
        fits, reason = (
            False,
            (
                f"does not fit: {n_cores} cores on {n_chips} chips needed, the board has "
                f"{chips * per_chip} on {chips}"
            ),
        )
    else:
        fits, reason = (
            True,
            f"fits: {n_cores} of {chips * per_chip} cores, {n_chips} of {chips} chips",
        )
    return Mapping(placements, n_cores, n_chips, fits, reason)


def _memory(limits: ChipLimits) -> float:
    return limits.core_memory_bits.value


def _fan_in_bits(layer: LayerOps, limits: ChipLimits) -> float:
    if not layer.neurons:
        return 0.0
    fan_in = layer.synapses / layer.neurons
    return limits.neuron_state_bits.value + fan_in * limits.synapse_bits.value


def _cores(layer: LayerOps, limits: ChipLimits) -> int:
    by_neurons = layer.neurons / limits.neurons_per_core.value
    by_memory = layer.neurons * _fan_in_bits(layer, limits) / _memory(limits)
    return math.ceil(max(by_neurons, by_memory))


def _destinations(index: int, layers: Sequence[LayerOps], cores: Sequence[int]) -> float:
    """Approximate on how many cores a spike of this layer arrives.

    A workload does not say who is connected to whom. A spike is taken to go to the next layer
    in the list, to every core of it, but to no more cores than it has synapses there (synops of
    that layer per spike of this one). The last layer's spikes leave the chip: one message.
    """
    if index + 1 == len(layers):
        return 1.0
    spikes, synops = layers[index].executed.spikes, layers[index + 1].executed.synops
    fan_out = synops / spikes if spikes else 1.0
    return float(min(max(cores[index + 1], 1), max(fan_out, 1.0)))
