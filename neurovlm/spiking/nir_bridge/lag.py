"""Lags between tools that pass spikes on within a step and graphs whose connections take a tick.

Moving delays through a network without changing what it computes is retiming (C. E. Leiserson and
J. B. Saxe, Algorithmica 6, 1991): give every population a lag; an edge from s to t that takes d
steps there takes ``d + lag(t) - lag(s)`` ticks here, at least one. The sum around a loop cannot
change, so a loop of one step holds one population and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter

import nir
import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from neurovlm.core.errors import GraphError
from neurovlm.spiking.network import Network
from neurovlm.spiking.neurons import NEURON_NODES
from neurovlm.spiking.nir_bridge.shapes import Edges, Nodes, Shape


def balance(
    nodes: Nodes, edges: Edges, shapes: Mapping[str, Shape], dt_s: float
) -> tuple[Nodes, Edges, int]:
    """Give short cuts a delay, so that the output is the tool's a fixed number of ticks later.

    Parameters
    ----------
    nodes, edges
        Flat graph of a tool that passes spikes through all layers within one step, and around a
        loop with the next.
    shapes
        What each node puts out.

    Returns
    -------
    The graph with `nir.Delay` nodes where paths of different length meet, and the output's lag.

    Raises
    ------
    GraphError
        For a loop over several populations, or one that is entered behind its neurons.
    """
    loops = _loops(nodes, edges)
    lag = _node_lags(nodes, edges, loops)
    delayed, new_edges = dict(nodes), []
    for a, b in edges:
        to_neurons = isinstance(nodes[b], NEURON_NODES)
        extra = 0 if loops[a] == loops[b] else lag[b] - lag[a] - to_neurons
        if loops[a] != loops[b] and not to_neurons and _populations(b, nodes, loops):
            raise GraphError(
                f"edge {a!r} -> {b!r}: enters a recurrent loop behind its neurons, whose step no "
                "graph here gives; feed the neurons instead"
            )
        if not extra:
            new_edges.append((a, b))
            continue
        name = f"{a}-{b}-lag"
        delayed[name] = nir.Delay(np.full(shapes[a], extra * dt_s))
        new_edges += [(a, name), (name, b)]
    output = next(name for name, node in nodes.items() if isinstance(node, nir.Output))
    return delayed, new_edges, lag[output]


def _node_lags(nodes: Nodes, edges: Edges, loops: dict[str, int]) -> dict[str, int]:
    """Longest way from the input, counted in populations; the nodes of a loop share theirs."""
    before: dict[int, set[int]] = {label: set() for label in loops.values()}
    for a, b in edges:
        if loops[a] != loops[b]:
            before[loops[b]].add(loops[a])
    lag: dict[int, int] = {}
    firing = {loops[name] for name, node in nodes.items() if isinstance(node, NEURON_NODES)}
    for label in TopologicalSorter(before).static_order():
        lag[label] = max((lag[other] for other in before[label]), default=0) + (label in firing)
    return {name: lag[label] for name, label in loops.items()}


def _loops(nodes: Nodes, edges: Edges) -> dict[str, int]:
    """Number of the loop each node is in; a node outside loops is alone in its own."""
    index = {name: i for i, name in enumerate(nodes)}
    ends = [index[a] for a, _ in edges], [index[b] for _, b in edges]
    links = scipy.sparse.coo_array((np.ones(len(edges)), ends), shape=(len(nodes), len(nodes)))
    _, labels = connected_components(links, connection="strong")
    loops = {name: int(labels[i]) for name, i in index.items()}
    for name in nodes:
        inside = _populations(name, nodes, loops)
        if len(inside) > 1:
            raise GraphError(
                f"nodes {', '.join(map(repr, inside))}: a loop over {len(inside)} populations "
                f"takes one step in the tool and at least {len(inside)} ticks here, so no graph "
                "here gives its spikes; keep each loop within one population"
            )
    return loops


def _populations(name: str, nodes: Nodes, loops: dict[str, int]) -> list[str]:
    """Populations in the loop of a node."""
    return [
        other
        for other, node in nodes.items()
        if loops[other] == loops[name] and isinstance(node, NEURON_NODES)
    ]


def network_lags(network: Network) -> dict[str, int]:
    """Ticks by which each population is behind a tool that passes spikes on within a step.

    Raises
    ------
    GraphError
        When there are none: paths of different length meet, or a loop takes more than one tick.
    """
    lags = {network.input_name: 0}
    while len(lags) <= len(network.populations):
        before = len(lags)
        for c in network.connections:
            if c.source in lags and c.target not in lags:
                lags[c.target] = lags[c.source] + 1 + _one(c.name, c.delay)
        if len(lags) == before:
            lost = [p.name for p in network.populations if p.name not in lags]
            raise GraphError(f"node {lost[0]!r}: the input does not reach it; connect or remove it")
    for c in network.connections:
        steps = _one(c.name, c.delay) + 1 + lags[c.source] - lags[c.target]
        off = steps - (c.source == c.target)
        if off:
            raise GraphError(
                f"node {c.name!r}: reaches {c.target!r} {abs(off)} ticks too "
                f"{'late' if off > 0 else 'early'} for a tool that passes spikes on within a step; "
                "make ways that meet equally long with Delay nodes, and keep loops within one "
                "population"
            )
    return lags


def _one(name: str, delay: NDArray[np.int64]) -> int:
    if delay.size and np.ptp(delay):
        raise GraphError(f"node {name!r}: delays that differ between neurons fit no such tool")
    return int(delay[0]) if delay.size else 0
