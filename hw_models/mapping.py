"""Layers -> neurocores: how many cores and chips a network takes, where they lie, whether it fits.

A layer takes the fewest cores that keep every limit of a core, and shares none of them with
another layer. With N neurons, S synapses, F = S / N of them per neuron, W distinct weights, A
sources (neurons of the layer before), n cores and per core memory M, neuron state s and synapse
size b::

    neurons       N / n                    <= neurons_per_core
    memory        N s / n + w b            <= M
    input axons   a                        <= axons_in
    output axons  N r / n                  <= axons_out

w are the weights that a core stores and a the sources that it hears:

* unshared weights: w = S / n, a = max(F, A / n);
* shared weights (a convolution), the cores split by place: w = W, a = max(F, A / n);
* shared weights, the cores split by output channel: w = max(W / n, F), a = A.

Of the two ways to split a convolution the one that takes fewer cores is chosen, by place where
equal. Overlap of receptive fields at the border between cores is not counted. r = n' a' / A' is
the number of cores of the next layer that hear a neuron, at least 1, at most all; layers are taken
to be connected in the order of the list. Load is spread evenly over the cores of a layer. A soft
reset that takes two compartments per neuron has to be counted as two neurons by who describes
the network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from hw_models import sigma_delta
from hw_models.chip import ChipLimits
from hw_models.mesh import Mesh, distance, positions
from hw_models.ops import LayerOps, OpKind
from hw_models.uncertainty import Columns


class Structure(NamedTuple):
    """What a mapping depends on, layer by layer; neurons are 0 for an input."""

    stage: str
    layer: str
    kind: OpKind
    delta_density: float | None
    neurons: float
    synapses: float
    weights: float


class Limits(NamedTuple):
    """Values of :class:`ChipLimits`; axons are infinite where they set no limit."""

    chips: int
    mesh: Mesh
    neurons: float
    memory: float
    state: float
    synapse: float
    axons_in: float
    axons_out: float


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one layer went.

    Parameters
    ----------
    stage, layer
        Which layer.
    first_core, n_cores
        Cores ``first_core`` up to ``first_core + n_cores``, numbered over all chips.
    n_destination_cores
        Cores of the next layer that can hear one neuron; 1 for the last layer, whose spikes leave
        the board.
    hops_x, hops_y
        Mean distance of a message to the next layer along rows and columns of the mesh, in tiles.
    leaves_chip
        Share of the messages to the next layer that go to another chip.
    neuron_share, memory_share
        Neurons and memory used in each of its cores, as a share of the limit.
    axon_in_share, axon_out_share
        The same of input and output axons; 0 where they set no limit.
    """

    stage: str
    layer: str
    first_core: int
    n_cores: int
    n_destination_cores: float
    hops_x: float
    hops_y: float
    leaves_chip: float
    neuron_share: float
    memory_share: float
    axon_in_share: float
    axon_out_share: float


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A limit that the network breaks; ``layer`` is empty for a limit of the whole board."""

    layer: str
    limit: str
    needed: float
    available: float

    def __str__(self) -> str:
        numbers = f"needs {self.needed:,.0f} {self.limit}, available are {self.available:,.0f}"
        return f"layer {self.layer} {numbers} in a core" if self.layer else f"{numbers}"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where a network went, and the verdict.

    Parameters
    ----------
    placements
        One per layer; an input takes no cores.
    n_cores, n_chips
        What the network needs, at least one chip, even where the board has fewer.
    n_tiles, tiles_per_chip
        Tiles in use on the fullest chip, and tiles of a chip.
    fits
        Whether every limit is kept.
    reason
        The verdict in one sentence.
    shortfalls
        Every broken limit, layer by layer.
    limits
        The limits that it was made for.
    columns
        For the equations, shape (n_layers, 8): the columns of ``COLUMNS``.
    """

    placements: tuple[Placement, ...]
    n_cores: int
    n_chips: int
    n_tiles: int
    tiles_per_chip: int
    fits: bool
    reason: str
    shortfalls: tuple[Shortfall, ...]
    limits: Limits
    columns: Columns = field(repr=False, compare=False)

    @property
    def chips_worth_of_cores(self) -> float:
        """Used cores as a share of the cores of one chip."""
        return self.n_cores / self.limits.mesh.cores_per_chip


COLUMNS = (
    "neurons",
    "cores",
    "destinations",
    "hops_x",
    "hops_y",
    "leaves_chip",
    "delta_density",
    "operations",
)  # operations: synaptic operations per inference of a sigma-delta layer with every element sent

_structure_of = attrgetter(*Structure._fields)
_density_of = attrgetter("delta_density")


def map_layers(layers: Sequence[LayerOps], limits: ChipLimits, inferences: int = 1) -> Mapping:
    """Give every layer its cores; layers of one structure are mapped once and remembered.

    Parameters
    ----------
    layers
        Spiking layers, inputs included, and sigma-delta layers, in the order the signal passes.
    limits
        What the board holds.
    inferences
        Inferences behind the counts of sigma-delta layers, which say how large these are.

    Returns
    -------
    Mapping
        ``fits`` is false when a layer breaks a limit of a core whatever the number of cores, or
        the board has too few cores.
    """
    structure = tuple(map(_structure_of, layers))
    if set(map(_density_of, layers)) - {None}:
        structure = tuple(
            each if each[3] is None else (*each[:4], *sigma_delta.size(layer, inferences))
            for each, layer in zip(structure, layers, strict=True)
        )
    return _map(structure, _values(limits))


def mesh_of(limits: ChipLimits) -> Mesh:
    """Return the mesh of a chip."""
    return Mesh(
        int(limits.cores_per_chip.value),
        int(limits.cores_per_tile.value),
        int(limits.mesh_columns.value),
        int(limits.mesh_rows.value),
    )


def _values(limits: ChipLimits) -> Limits:
    return Limits(
        chips=int(limits.chips.value),
        mesh=mesh_of(limits),
        neurons=limits.neurons_per_core.value,
        memory=limits.core_memory_bits.value,
        state=limits.neuron_state_bits.value,
        synapse=limits.synapse_bits.value,
        axons_in=limits.axons_in.value if limits.axons_in else math.inf,
        axons_out=limits.axons_out.value if limits.axons_out else math.inf,
    )


@dataclass(frozen=True, slots=True)
class _Split:
    """A layer over some cores: weights stored and sources heard by each."""

    n_cores: int
    weights: float
    heard: float


@lru_cache(maxsize=512)
def _map(structure: tuple[tuple[object, ...], ...], limits: Limits) -> Mapping:
    layers = [Structure(*each) for each in structure]  # type: ignore[arg-type]
    shortfalls = [each for layer in layers for each in _shortfalls(layer, limits)]
    splits: list[_Split] = []
    reach: list[float] = []
    for index in reversed(range(len(layers))):  # output axons depend on the layer behind
        sources = _neurons_before(layers, index)
        behind = splits[-1] if splits else None
        to_reach = _reach(layers[index], behind)
        splits.append(_split(layers[index], sources, to_reach, limits))
        reach.append(to_reach)
    splits.reverse()
    reach.reverse()
    first = np.concatenate([[0], np.cumsum([split.n_cores for split in splits])]).astype(int)
    placements = tuple(
        _place(index, layers, splits, reach, first, limits) for index in range(len(layers))
    )
    n_cores = int(first[-1])
    n_chips = max(1, -(-n_cores // limits.mesh.cores_per_chip))
    if n_chips > limits.chips:
        available = limits.chips * limits.mesh.cores_per_chip
        shortfalls.append(Shortfall("", "cores", n_cores, available))
    on_fullest = min(n_cores, limits.mesh.cores_per_chip)
    return Mapping(
        placements=placements,
        n_cores=n_cores,
        n_chips=n_chips,
        n_tiles=-(-on_fullest // limits.mesh.cores_per_tile),
        tiles_per_chip=limits.mesh.tiles,
        fits=not shortfalls,
        reason=_reason(shortfalls, n_cores, n_chips, limits),
        shortfalls=tuple(shortfalls),
        limits=limits,
        columns=_columns(layers, placements),
    )


def _shortfalls(layer: Structure, limits: Limits) -> list[Shortfall]:
    """What a single neuron of the layer already needs too much of."""
    if not layer.neurons:
        return []
    fan_in = layer.synapses / layer.neurons
    name = f"{layer.stage}/{layer.layer}"
    needs = (
        ("bits of memory for one neuron and its synapses",
         limits.state + fan_in * limits.synapse, limits.memory),
        ("input axons for one neuron", fan_in, limits.axons_in),
    )  # fmt: skip
    return [Shortfall(name, what, much, has) for what, much, has in needs if much > has]


def _neurons_before(layers: Sequence[Structure], index: int) -> float:
    """Neurons of the layer before that have a synapse; 0 after an input, whose size is unknown."""
    return min(layers[index - 1].neurons, layers[index].synapses) if index else 0.0


def _reach(layer: Structure, behind: _Split | None) -> float:
    if behind is None or not behind.n_cores:
        return 1.0
    if not layer.neurons:
        return float(behind.n_cores)
    return min(max(behind.n_cores * behind.heard / layer.neurons, 1.0), float(behind.n_cores))


def _split(layer: Structure, sources: float, reach: float, limits: Limits) -> _Split:
    """Divide a layer over the fewest cores that keep the limits, neurons by neurons."""
    n, s, w = layer.neurons, layer.synapses, layer.weights
    if not n:
        return _Split(0, 0.0, 0.0)
    fan_in = s / n
    least = max(1, math.ceil(n / limits.neurons), math.ceil(n * reach / limits.axons_out))
    hears = math.ceil(sources / limits.axons_in)
    state = n * limits.state
    if not 0 < w < s:
        cores = max(least, hears, math.ceil((state + s * limits.synapse) / limits.memory))
        return _Split(cores, s / cores, max(fan_in, sources / cores))
    splits = []
    room = limits.memory - w * limits.synapse
    if room > 0:
        cores = max(least, hears, math.ceil(state / room))
        splits.append(_Split(cores, w, max(fan_in, sources / cores)))
    room = max(limits.memory - fan_in * limits.synapse, 1.0)  # less is reported as a shortfall
    if sources <= limits.axons_in:
        whole = math.ceil((state + w * limits.synapse) / limits.memory)
        cores = max(least, whole, math.ceil(state / room) if w < fan_in * whole else 1)
        splits.append(_Split(cores, max(w / cores, fan_in), max(fan_in, sources)))
    if not splits:  # a kernel too large to copy and too many sources for every core to hear
        cores = max(least, hears, math.ceil((state + s * limits.synapse) / limits.memory))
        splits.append(_Split(cores, s / cores, max(fan_in, sources / cores)))
    return min(splits, key=lambda split: split.n_cores)


def _place(
    index: int,
    layers: Sequence[Structure],
    splits: Sequence[_Split],
    reach: Sequence[float],
    first: np.ndarray[tuple[int], np.dtype[np.int64]],
    limits: Limits,
) -> Placement:
    layer, split = layers[index], splits[index]
    hops_x = hops_y = leaves = 0.0
    if split.n_cores and index + 1 < len(splits) and splits[index + 1].n_cores:
        mine, theirs = (
            positions(np.arange(first[i], first[i + 1]), limits.mesh) for i in (index, index + 1)
        )
        hops_x, hops_y, leaves = distance(mine, theirs)
    per_core = layer.neurons / max(split.n_cores, 1)
    bits = per_core * limits.state + split.weights * limits.synapse
    return Placement(
        stage=layer.stage,
        layer=layer.layer,
        first_core=int(first[index]),
        n_cores=split.n_cores,
        n_destination_cores=reach[index],
        hops_x=hops_x,
        hops_y=hops_y,
        leaves_chip=leaves,
        neuron_share=per_core / limits.neurons,
        memory_share=bits / limits.memory,
        axon_in_share=split.heard / limits.axons_in,
        axon_out_share=per_core * reach[index] / limits.axons_out,
    )


def _reason(shortfalls: Sequence[Shortfall], n_cores: int, n_chips: int, limits: Limits) -> str:
    available = limits.chips * limits.mesh.cores_per_chip
    if not shortfalls:
        return f"fits: {n_cores} of {available} cores, {n_chips} of {limits.chips} chips"
    first = shortfalls[0]
    more = f" (and {len(shortfalls) - 1} more)" if len(shortfalls) > 1 else ""
    if first.layer:
        return f"does not fit: {first}{more}"
    return (
        f"does not fit: {n_cores} cores on {n_chips} chips needed, the board has {available} on "
        f"{limits.chips}"
    )


def _columns(layers: Sequence[Structure], placements: Sequence[Placement]) -> Columns:
    rows = [
        (
            layer.neurons,
            place.n_cores,
            place.n_destination_cores,
            place.hops_x,
            place.hops_y,
            place.leaves_chip,
            math.nan if layer.delta_density is None else layer.delta_density,
            layer.synapses,
        )
        for layer, place in zip(layers, placements, strict=True)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(COLUMNS))
