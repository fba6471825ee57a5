"""A graph written so that a tool's own import gives its spikes.

snnTorch 1.0.0 (``import_nir.py``) reads the Euler decays of a step of 1e-4 s, resets to 0 and takes
one threshold for all neurons of a node. Norse 1.1.0 (``import_nir.py``) reads the Euler decays of a
step of 1e-3 s and ignores ``r`` of a LIF, so its threshold carries the gain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Feature, Population
from neurovlm.spiking.neurons import NEURON_NODES
from neurovlm.spiking.nir_bridge.dialects import DIALECTS
from neurovlm.spiking.nir_bridge.lag import network_lags
from neurovlm.spiking.nir_bridge.shapes import Edges, Nodes, Shape, bypass, settle

_NO_LEAK_TICKS = 2.0**30  # 1 - 1 / this is 1 in float32
_CAN = {Feature.PER_NEURON, Feature.BIAS, Feature.DELAY}


@dataclass(frozen=True, eq=False)
class Exported:
    """A graph in a tool's own terms.

    Attributes
    ----------
    lag
        Ticks by which the tool's output is earlier than ours.
    notes
        What changed on the way.
    """

    graph: nir.NIRGraph
    lag: int
    notes: tuple[str, ...]


def to_tool(graph: SpikingGraph, tool: str) -> Exported:
    """Write ``graph`` for the import of ``tool``, one of ``WRITABLE``.

    Raises
    ------
    UsageError
        For another tool.
    GraphError
        For what the tool cannot represent, naming the node.
    """
    if tool not in WRITABLE:
        raise UsageError(f"graphs can be written for {', '.join(WRITABLE)}, got {tool!r}")
    network = graph.network
    for feature, where in network.needs.items():
        if feature not in _CAN:
            raise GraphError(f"{where}: {tool} cannot represent {feature}; remove it")
    lags = network_lags(network)
    for c in network.connections:
        if c.source == c.target and tool == "snntorch":
            raise GraphError(
                f"node {c.name!r}: snnTorch 1.0.0 cannot import recurrent graphs (its own RLeaky "
                "included); build the network with RLeaky by hand"
            )
    nodes, edges = dict(graph.nir.nodes), sorted(set(graph.nir.edges))
    for name in [name for name, node in nodes.items() if isinstance(node, nir.Delay)]:
        nodes, edges = bypass(nodes, edges, name)
    nodes, shapes = settle(nodes, edges)
    dt_s = DIALECTS[tool].dt_s
    before = {b: shapes[a] for a, b in edges}
    written = {}
    for name, node in nodes.items():
        if isinstance(node, NEURON_NODES):
            _check_offset(name, node)
            p = network.population(name)
            written[name] = WRITABLE[tool](p, shapes[name], dt_s)
        else:
            written[name] = _between(name, node, before.get(name, ()))
    if tool == "norse":
        written, edges = _merged(written, edges)
    notes = [f"{tool} takes its own step of {dt_s:g} s; decays per tick are kept"]
    if graph.dynamics.dt_s == dt_s:
        notes.clear()
    whole = nir.NIRGraph(written, edges, type_check=False)
    return Exported(whole, lags[network.output], tuple(notes))


def _snntorch(p: Population, shape: Shape, dt_s: float) -> nir.NIRNode:
    """Leaky or Synaptic, both with unit gains: r = tau / dt."""
    thresholds = p.threshold.astype(np.float32)
    if np.ptp(thresholds):
        raise GraphError(
            f"node {p.name!r}: snnTorch's import takes one threshold for all neurons of a node, "
            f"got {thresholds.min():.9g} to {thresholds.max():.9g}; split the node"
        )
    zero = np.zeros(shape)
    tau_syn, tau = _tau(p.loss_u, shape, dt_s), _tau(p.loss_v, shape, dt_s)
    threshold = thresholds.astype(np.float64).reshape(shape)
    if np.all(p.loss_u == UNIT):
        return nir.LIF(tau, tau / dt_s, zero, threshold, zero)
    return nir.CubaLIF(tau_syn, tau, tau / dt_s, zero, threshold, zero, tau_syn / dt_s)


def _norse(p: Population, shape: Shape, dt_s: float) -> nir.NIRNode:
    """LIFBox, behind LIBox where currents decay; their gains dt / tau go into the threshold.

    The threshold is rounded as Norse rounds a first input, so that one that meets it stays a tie.
    """
    zero, one = np.zeros(shape), np.ones(shape)
    threshold = p.threshold.astype(np.float32).reshape(shape)
    at_once = bool(np.all(p.loss_u == UNIT))
    if at_once and np.all(p.loss_v == 0):
        return nir.IF(one, threshold.astype(np.float64), zero)
    if np.any(p.loss_v == 0) or np.any(p.loss_u == 0):
        raise GraphError(
            f"node {p.name!r}: Norse has neurons without leak only if their currents do not last "
            "and no neuron of the node leaks; give tau_mem and tau_syn finite values"
        )
    tau_syn, tau = _tau(p.loss_u, shape, dt_s), _tau(p.loss_v, shape, dt_s)
    if not at_once:
        threshold = _step_of(tau_syn, dt_s) * threshold
    threshold = (_step_of(tau, dt_s) * threshold).astype(np.float64)
    if at_once:
        return nir.LIF(tau, one, zero, threshold, zero)
    return nir.CubaLIF(tau_syn, tau, one, zero, threshold, zero, one)


def _step_of(tau: NDArray[np.float64], dt_s: float) -> NDArray[np.float32]:
    """``dt * tau_inv`` in Norse's float32."""
    step: NDArray[np.float32] = np.float32(dt_s) * (np.float32(1) / tau.astype(np.float32))
    return step


WRITABLE: dict[str, Callable[[Population, Shape, float], nir.NIRNode]] = {
    "snntorch": _snntorch,
    "norse": _norse,
}


def _between(name: str, node: nir.NIRNode, shape: Shape) -> nir.NIRNode:
    """Scales as matrices, pools and grouped convolutions as convolutions both tools have."""
    if isinstance(node, nir.Scale):
        if len(shape) != 1:
            raise GraphError(
                f"node {name!r}: a Scale of shape {shape} fits no import; fold it into the weights"
            )
        return nir.Linear(np.diag(np.asarray(node.scale, dtype=np.float64).ravel()))
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        rows, columns = _pair(node.kernel_size)
        share = 1 / (rows * columns) if isinstance(node, nir.AvgPool2d) else 1.0
        weight = np.eye(shape[0])[:, :, None, None] * np.full((rows, columns), share)
        bias = np.zeros(shape[0])
        return nir.Conv2d(shape[1:], weight, _pair(node.stride), _pair(node.padding), 1, 1, bias)
    if isinstance(node, nir.Conv2d):
        padding = node.padding if isinstance(node.padding, str) else _pair(node.padding)
        return nir.Conv2d(
            shape[1:],
            _ungrouped(np.asarray(node.weight), int(node.groups)),
            _pair(node.stride),
            padding,
            _pair(node.dilation),
            1,
            np.asarray(node.bias),
        )
    if isinstance(node, nir.Flatten):
        return nir.Flatten({"input": np.array(shape)}, 0, -1)
    return node


def _merged(nodes: Nodes, edges: Edges) -> tuple[Nodes, Edges]:
    """One matrix for parallel matrices of one source, and no other node with several inputs.

    Norse 1.1.0 (with nirtorch 2.6) runs such a node before some of its inputs.
    """
    for target in nodes:
        ways = [a for a, b in edges if b == target]
        if len(ways) < 2:
            continue
        sources = {a for a, b in edges if b in ways}
        if len(sources) > 1 or not all(isinstance(nodes[w], nir.Linear | nir.Affine) for w in ways):
            raise GraphError(
                f"node {target!r}: Norse 1.1.0 runs a node with several inputs (or a loop) before "
                "some of them arrive; give it one input, for example one matrix over joined sources"
            )
        total = nir.Affine(
            sum(np.asarray(nodes[way].weight, dtype=np.float64) for way in ways),
            sum(np.asarray(getattr(nodes[way], "bias", 0.0), dtype=np.float64) for way in ways)
            + np.zeros(np.shape(nodes[ways[0]].weight)[0]),
        )
        nodes = {name: node for name, node in nodes.items() if name not in ways[1:]}
        nodes[ways[0]] = total
        edges = [edge for edge in edges if not set(edge) & set(ways[1:])]
    return nodes, edges


def _ungrouped(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    out, inside = weight.shape[:2]
    dense = np.zeros((out, inside * groups, *weight.shape[2:]), weight.dtype)
    for channel in range(out):
        first = channel // (out // groups) * inside
        dense[channel, first : first + inside] = weight[channel]
    return dense


def _tau(loss: NDArray[np.float64], shape: Shape, dt_s: float) -> NDArray[np.float64]:
    """Seconds; a very long one where nothing is lost."""
    ticks = np.full(loss.shape, _NO_LEAK_TICKS)
    ticks[loss > 0] = UNIT / loss[loss > 0]
    return ticks.reshape(shape) * dt_s


def _check_offset(name: str, node: nir.NIRNode) -> None:
    leak = np.asarray(getattr(node, "v_leak", 0.0))
    if np.any(leak != 0):
        raise GraphError(
            f"node {name!r}: v_leak must be 0 in these tools' imports, got "
            f"{leak[leak != 0].ravel()[0]:g}; put v_leak / r into the bias of its Affine"
        )


def _pair(value: Any) -> tuple[int, int]:
    first, second = np.broadcast_to(np.asarray(value), (2,))
    return int(first), int(second)
