"""SpikingGraph: a valid NIR graph plus the dynamics NIR leaves open."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import nir
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.linear import LINEAR_NODES, Matrix, linear_map
from neurovlm.spiking.network import Connection, Network, Population, check_loihi

NEURON_NODES = (nir.CubaLIF, nir.LIF, nir.IF)


@dataclass(frozen=True, eq=False)
class SpikingGraph:
    """Neurons and weights as NIR, stepped as ``dynamics`` says.

    The graph has one ``nir.Input`` and one ``nir.Output``; neurons are ``CubaLIF``, ``LIF`` or
    ``IF`` with ``v_leak`` = ``v_reset`` = 0; between them stand ``Linear``, ``Affine``, ``Scale``,
    ``Conv2d``, ``SumPool2d`` and ``Flatten``. Recurrent edges are allowed.

    The Euler reading of a CubaLIF, ``u += dt / tau_syn * (w_in S - u)`` and
    ``v += dt / tau_mem * (r u - v)``, becomes the canonical ``u = keep_u u + a; v = keep_v v + u``
    by dividing the threshold by both gains; the spikes are the same.

    Raises
    ------
    GraphError
        For a node or value that no backend here honours, naming it, and in Loihi precision for
        anything its integers cannot hold.
    """

    nir: nir.NIRGraph
    dynamics: Dynamics = field(default_factory=Dynamics)
    name: str = "graph"

    def __post_init__(self) -> None:
        network = self.network  # resolved here so that a bad graph is refused in every precision
        if self.dynamics.precision is Precision.LOIHI:
            check_loihi(network)

    def with_precision(self, precision: Precision | str) -> SpikingGraph:
        """The same graph in another arithmetic."""
        return replace(self, dynamics=replace(self.dynamics, precision=Precision(precision)))

    @cached_property
    def network(self) -> Network:
        """Populations and sparse connections for the engines."""
        return _resolve(self.nir, self.dynamics)

    @cached_property
    def hash(self) -> str:
        """sha256 over nodes, parameters, edges and dynamics, whatever their order."""
        digest = hashlib.sha256(repr(sorted(self.dynamics.to_dict().items())).encode())
        for name in sorted(self.nir.nodes):
            node = self.nir.nodes[name]
            digest.update(f"{name}:{type(node).__name__}".encode())
            if isinstance(node, nir.Input):
                digest.update(repr(_shape(node.output_type["output"])).encode())
            for key, value in sorted(vars(node).items()):
                if key not in ("metadata", "input_type", "output_type"):
                    digest.update(key.encode())
                    digest.update(_canonical(value))
        digest.update(repr(sorted(set(self.nir.edges))).encode())
        return digest.hexdigest()


def _canonical(value: Any) -> bytes:
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        return repr(value).encode()
    return repr(array.shape).encode() + array.astype(np.float64).tobytes()


def _resolve(graph: nir.NIRGraph, dynamics: Dynamics) -> Network:
    nodes: dict[str, nir.NIRNode] = dict(graph.nodes)
    edges = sorted(set(graph.edges))
    input_name = _single(nodes, nir.Input, "Input")
    output_node = _single(nodes, nir.Output, "Output")
    for name, node in nodes.items():
        if not isinstance(node, (*NEURON_NODES, *LINEAR_NODES, nir.Input, nir.Output)):
            raise GraphError(
                f"node {name!r}: no backend runs a {type(node).__name__}; use "
                + ", ".join(kind.__name__ for kind in (*NEURON_NODES, *LINEAR_NODES))
            )
    input_shape = _shape(nodes[input_name].output_type["output"])
    shapes = {input_name: input_shape}
    shapes |= {
        n: _neuron_shape(node) for n, node in nodes.items() if isinstance(node, NEURON_NODES)
    }
    walker = _Walker(nodes, edges, shapes)
    paths = [path for source in sorted(shapes) for path in walker.paths_from(source)]
    outputs = [path for path in paths if path.target == output_node]
    if len(outputs) != 1 or outputs[0].via:
        raise GraphError(
            f"node {output_node!r}: exactly one neuron population must feed the output directly, "
            f"got {[path.source for path in outputs] or 'none'}"
        )
    inner = [path for path in paths if path.target != output_node]
    _check_used(nodes, inner)
    populations = tuple(
        _population(name, nodes[name], shapes[name], _bias(name, inner), dynamics)
        for name in sorted(shapes)
        if name != input_name
    )
    connections = tuple(
        Connection(path.name(inner), path.source, path.target, path.matrix) for path in inner
    )
    network = Network(
        input_name, input_shape, populations, connections, outputs[0].source, dynamics
    )
    _ = network.depth  # refuses an output that the input cannot reach
    return network


@dataclass(frozen=True, eq=False)
class _Path:
    """A chain of linear nodes between two populations.

    ``biases`` holds what the bias of each node of the chain becomes at the target; its key is the
    rest of the chain from that node on.
    """

    source: str
    via: tuple[str, ...]
    target: str
    matrix: Matrix
    biases: dict[tuple[str, ...], NDArray[np.float64]]

    def name(self, others: list[_Path]) -> str:
        label = "+".join(self.via) or f"{self.source}->{self.target}"
        same = [p for p in others if p.via == self.via]
        return label if len(same) == 1 else f"{label}:{self.source}->{self.target}"


@dataclass(frozen=True)
class _Walker:
    nodes: dict[str, nir.NIRNode]
    edges: list[tuple[str, str]]
    shapes: dict[str, tuple[int, ...]]

    def paths_from(self, source: str) -> list[_Path]:
        shape = self.shapes[source]
        size = int(np.prod(shape))
        identity: Matrix = scipy.sparse.eye_array(size, format="csr")
        return self._extend(source, (), source, identity, {}, shape)

    def _extend(
        self,
        source: str,
        via: tuple[str, ...],
        at: str,
        matrix: Matrix,
        biases: dict[tuple[str, ...], NDArray[np.float64]],
        shape: tuple[int, ...],
    ) -> list[_Path]:
        found = []
        for _, target in (edge for edge in self.edges if edge[0] == at):
            node = self.nodes[target]
            if isinstance(node, (*NEURON_NODES, nir.Output)):
                expected = self.shapes.get(target, shape)
                if np.prod(expected) != np.prod(shape):
                    raise GraphError(f"edge {at!r} -> {target!r}: {shape} does not fit {expected}")
                found.append(_Path(source, via, target, matrix, biases))
                continue
            if target in via or isinstance(node, nir.Input):
                raise GraphError(
                    f"edge {at!r} -> {target!r}: a cycle without a neuron, which has no delay; "
                    "put a neuron population into it"
                )
            step, bias, out_shape = linear_map(target, node, shape)
            passed = {(*chain, target): step @ value for chain, value in biases.items()}
            passed[(target,)] = bias
            product = step @ matrix
            product.eliminate_zeros()
            found += self._extend(source, (*via, target), target, product, passed, out_shape)
        return found


def _check_used(nodes: dict[str, nir.NIRNode], paths: list[_Path]) -> None:
    used = {node for path in paths for node in path.via}
    for name, node in nodes.items():
        if isinstance(node, LINEAR_NODES) and name not in used:
            raise GraphError(
                f"node {name!r}: leads from no population or input to a population; "
                "connect it or remove it"
            )


def _bias(target: str, paths: list[_Path]) -> NDArray[np.float64] | float:
    """Constant input of a population: every biased node once, however many sources it has."""
    biases = {chain: b for p in paths if p.target == target for chain, b in p.biases.items()}
    return sum(biases.values(), start=0.0)


def _population(
    name: str,
    node: nir.NIRNode,
    shape: tuple[int, ...],
    bias: NDArray[np.float64] | float,
    dynamics: Dynamics,
) -> Population:
    size = int(np.prod(shape))

    def values(label: str, default: float) -> NDArray[np.float64]:
        raw = np.asarray(getattr(node, label, default), dtype=np.float64)
        if np.isnan(raw).any():
            raise GraphError(f"node {name!r}: {label} is NaN; give a number")
        return np.broadcast_to(raw, shape).reshape(size)

    for label in ("v_leak", "v_reset"):
        offset = values(label, 0.0)
        if np.any(offset != 0):
            raise GraphError(
                f"node {name!r}: {label} must be 0 on every backend here, "
                f"got {offset[offset != 0][0]:g}; shift the potentials"
            )
    tau_mem, tau_syn = np.full(size, np.inf), np.full(size, dynamics.dt_s)
    if isinstance(node, nir.LIF):
        tau_mem = values("tau", np.nan)
    elif isinstance(node, nir.CubaLIF):
        tau_mem, tau_syn = values("tau_mem", np.nan), values("tau_syn", np.nan)
    for label, tau in (("tau_syn", tau_syn), ("tau_mem", tau_mem)):
        if np.any(tau < dynamics.dt_s * (1 - 1e-9)):
            raise GraphError(
                f"node {name!r}: {label} must be at least dt = {dynamics.dt_s:g} s, "
                f"got {tau.min():.9g} s; use a smaller dt (--dt-ms)"
            )
    loss_u, loss_v = _snap(UNIT * dynamics.dt_s / tau_syn), _snap(UNIT * dynamics.dt_s / tau_mem)
    r, w_in = values("r", 1.0), values("w_in", 1.0)
    gain_u = w_in * loss_u / UNIT if isinstance(node, nir.CubaLIF) else np.ones(size)
    with np.errstate(invalid="ignore"):
        leaky_gain = r * loss_v / UNIT
    gain_v = np.where(np.isinf(tau_mem), r * dynamics.dt_s, leaky_gain)
    gain = gain_u * gain_v
    if not np.all((gain > 0) & np.isfinite(gain)):
        raise GraphError(
            f"node {name!r}: r and w_in must be positive and finite, got r={r.min():g}, "
            f"w_in={w_in.min():g}"
        )
    threshold = _snap(values("v_threshold", np.nan) / gain)
    return Population(name, shape, loss_u, loss_v, threshold, np.full(size, bias))


def _snap(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole numbers where division left a rounding error of a few parts in 1e12."""
    whole = np.rint(values)
    return np.where(np.abs(values - whole) <= 1e-9 * np.maximum(np.abs(whole), 1), whole, values)


def _single(nodes: dict[str, nir.NIRNode], kind: type, label: str) -> str:
    found = [name for name, node in nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        raise GraphError(f"a graph needs exactly one {label} node, got {found or 'none'}")
    return found[0]


def _neuron_shape(node: nir.NIRNode) -> tuple[int, ...]:
    return tuple(int(side) for side in np.shape(node.v_threshold)) or (1,)


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in np.asarray(value).ravel())
