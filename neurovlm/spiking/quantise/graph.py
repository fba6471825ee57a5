"""A quantised graph as NIR, and its twin in float."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import nir
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.loihi import WEIGHT_BITS
from neurovlm.spiking.network import Network, Population
from neurovlm.spiking.quantise.nodes import (
    chains,
    conv_node,
    convolution,
    linear_node,
    neuron_node,
    per_channel,
    scale_node,
)
from neurovlm.spiking.quantise.scale import Part, Scaled, scaled


@dataclass(frozen=True, eq=False)
class Quantised:
    """What `quantise` gives.

    Attributes
    ----------
    graph
        In Loihi precision.
    twin
        The same weights, decays and thresholds with states in float64.
    populations
        Scale, rounding error and use of the 24 bits of each population, by name.
    """

    graph: SpikingGraph
    twin: SpikingGraph
    populations: Mapping[str, Scaled]


def quantise(graph: SpikingGraph, *, weight_bits: int = WEIGHT_BITS) -> Quantised:
    """Round a graph with any real weights to Loihi's integers.

    Decays become 4096ths. Weights, bias, threshold and its rise share one scale per population and
    become whole numbers that `neurovlm.spiking.loihi.check_loihi` accepts: mantissas of
    ``weight_bits`` bits, thresholds of 17, and no u that could wrap. Positive and negative weights
    become nodes of their own, ``..._exc`` and ``..._inh``; pools become convolutions, and a chain
    of several linear nodes becomes one. A graph that is integral already keeps its numbers.

    Raises
    ------
    UsageError
        When ``weight_bits`` is not 1 to 8.
    GraphError
        For what Loihi cannot hold at any scale, naming the node.
    """
    if not 1 <= weight_bits <= WEIGHT_BITS:
        raise UsageError(f"quantise: weight_bits must be 1 to {WEIGHT_BITS}, got {weight_bits}")
    network = graph.network
    populations = {p.name: scaled(network, p, weight_bits) for p in network.populations}
    whole = SpikingGraph(
        _rebuilt(graph, populations),
        replace(graph.dynamics, precision=Precision.LOIHI),
        graph.name,
        {
            name: _extension(extension, populations.get(name), graph.dynamics.dt_s)
            for name, extension in graph.extensions.items()
        },
    )
    return Quantised(whole, whole.with_precision(Precision.FLOAT64), populations)


def _extension(extension: Extension, scaled_to: Scaled | None, dt_s: float) -> Extension:
    if scaled_to is None or not scaled_to.population.step:
        return extension
    p = scaled_to.population
    return replace(extension, adapt_tau_s=UNIT * dt_s / p.loss_w, adapt_step=p.step)


def _rebuilt(graph: SpikingGraph, populations: Mapping[str, Scaled]) -> nir.NIRGraph:
    network, old = graph.network, graph.nir.nodes
    steps = {
        c.name: [old[n] for n in via if not isinstance(old[n], nir.Delay | nir.Flatten)]
        for via, c in zip(chains(graph.nir), network.connections, strict=True)
    }
    nodes = {n: node for n, node in old.items() if isinstance(node, nir.Input | nir.Output)}
    edges = [edge for edge in graph.nir.edges if isinstance(old[edge[1]], nir.Output)]
    for name, scaled_to in populations.items():
        nodes[name] = neuron_node(old[name], scaled_to.population, graph.dynamics.dt_s)
    for name, scaled_to in populations.items():
        for part, weight in _weights(scaled_to, steps, network):
            at = part.connection.source
            for suffix, node in _around(part, weight, network, scaled_to.population):
                label = part.connection.name + _sign(part, scaled_to.parts) + suffix
                while label in nodes:
                    label += "_"
                nodes[label] = node
                edges.append((at, label))
                at = label
            edges.append((at, name))
    return nir.NIRGraph(nodes, edges)


def _weights(
    scaled_to: Scaled, steps: Mapping[str, list[nir.NIRNode]], network: Network
) -> list[tuple[Part, nir.NIRNode]]:
    """A node for each part; the first that can takes the population's bias."""

    def node(part: Part, bias: NDArray[np.float64] | None) -> nir.NIRNode:
        shape = _shape(network, part.connection.source)
        conv = convolution(steps[part.connection.name], shape, part.connection.matrix)
        if conv is not None:
            by_channel = None if bias is None else per_channel(bias, len(conv.weight))
            if bias is None or by_channel is not None:
                return conv_node(conv, part, by_channel)
        one_to_one = scale_node(part, shape) if bias is None else None
        return linear_node(part, bias, p.shape) if one_to_one is None else one_to_one

    p = scaled_to.population
    made = [(part, node(part, None)) for part in scaled_to.parts]
    if p.bias.any():
        rank = [(nir.Linear, nir.Conv2d, nir.Scale).index(type(weight)) for _, weight in made]
        carrier = int(np.argmin(rank))
        made[carrier] = (made[carrier][0], node(made[carrier][0], p.bias))
    return made


def _around(
    part: Part, weight: nir.NIRNode, network: Network, target: Population
) -> Iterator[tuple[str, nir.NIRNode]]:
    """The weights with their delay, and with what makes shapes fit."""
    c = part.connection
    shape = _shape(network, c.source)
    if c.delay.any():
        yield "_delay", nir.Delay((c.delay * network.dynamics.dt_s).reshape(shape))
    if len(shape) > 1 and isinstance(weight, nir.Linear | nir.Affine):
        yield "_in", nir.Flatten({"input": np.array(shape)}, 0, -1)
    yield "", weight
    if isinstance(weight, nir.Conv2d) and len(target.shape) == 1:
        yield "_out", nir.Flatten({"input": weight.output_type["output"]}, 0, -1)


def _sign(part: Part, parts: tuple[Part, ...]) -> str:
    alone = sum(other.connection is part.connection for other in parts) == 1
    return "" if alone else {1: "_exc", -1: "_inh"}[part.sign]


def _shape(network: Network, source: str) -> tuple[int, ...]:
    is_input = source == network.input_name
    return network.input_shape if is_input else network.population(source).shape
