"""SpikingGraph: a valid NIR graph plus the dynamics NIR leaves open."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import nir
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.extension import PLAIN, Extension
from neurovlm.spiking.linear import LINEAR_NODES, Matrix, linear_map
from neurovlm.spiking.loihi import check_loihi
from neurovlm.spiking.network import Connection, Network
from neurovlm.spiking.neurons import (
    NEURON_NODES,
    SILENT_NODES,
    check_extension,
    neuron_shape,
    population,
)

BETWEEN_NODES = (*LINEAR_NODES, nir.Delay)
_INFERRED = ("metadata", "input_type", "output_type", "input_shape", "edges")


@dataclass(frozen=True, eq=False)
class SpikingGraph:
    """Neurons and weights as NIR, stepped as ``dynamics`` says.

    The graph has one ``nir.Input`` and one ``nir.Output``; neurons are ``CubaLIF``, ``LIF`` or
    ``IF`` with ``v_leak`` = ``v_reset`` = 0, or as read-outs that never fire ``CubaLI``, ``LI`` or
    ``I``; between them stand ``Linear``, ``Affine``, ``Scale``, ``Conv2d``, ``SumPool2d``,
    ``AvgPool2d``, ``Flatten`` and ``Delay`` (axonal, whole ticks). Recurrent edges are allowed.
    ``extensions`` says by node name what NIR cannot.

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
    extensions: Mapping[str, Extension] = field(default_factory=dict)

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
        return _resolve(self.nir, self.dynamics, self.extensions)

    @cached_property
    def hash(self) -> str:
        """sha256 over nodes, parameters, edges and dynamics, whatever their order."""
        digest = hashlib.sha256(repr(sorted(self.dynamics.to_dict().items())).encode())
        digest.update(nodes_sha256(self.nir).encode())
        for name, extension in sorted(self.extensions.items()):
            if extension != PLAIN:
                digest.update(f"{name}:{sorted(extension.to_dict().items())}".encode())
        return digest.hexdigest()


def nodes_sha256(graph: nir.NIRGraph) -> str:
    """sha256 over nodes, parameters and edges, whatever their order.

    What NIR infers (types, the size a convolution is fed with) is left out.
    """
    digest = hashlib.sha256()
    for name in sorted(graph.nodes):
        node = graph.nodes[name]
        digest.update(f"{name}:{type(node).__name__}".encode())
        if isinstance(node, nir.Input):
            digest.update(repr(_shape(node.output_type["output"])).encode())
        for key, value in sorted(vars(node).items()):
            if isinstance(node, nir.NIRGraph) and key == "nodes":
                digest.update(nodes_sha256(node).encode())
            elif key not in _INFERRED:
                digest.update(key.encode())
                digest.update(_canonical(value))
    digest.update(repr(sorted(set(graph.edges))).encode())
    return digest.hexdigest()


def _canonical(value: Any) -> bytes:
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        return repr(value).encode()
    return repr(array.shape).encode() + array.astype(np.float64).tobytes()


def _resolve(
    graph: nir.NIRGraph, dynamics: Dynamics, extensions: Mapping[str, Extension]
) -> Network:
    nodes: dict[str, nir.NIRNode] = dict(graph.nodes)
    edges = sorted(set(graph.edges))
    for a, b in edges:
        for end in (a, b):
            if end not in nodes:
                raise GraphError(f"edge {a!r} -> {b!r}: there is no node {end!r}; remove the edge")
    input_name = _single(nodes, nir.Input, "Input")
    output_node = _single(nodes, nir.Output, "Output")
    for name, node in nodes.items():
        if not isinstance(node, (*NEURON_NODES, *BETWEEN_NODES, nir.Input, nir.Output)):
            raise GraphError(
                f"node {name!r}: no backend runs a {type(node).__name__}; use "
                + ", ".join(kind.__name__ for kind in (*NEURON_NODES, *BETWEEN_NODES))
            )
    for name, extension in extensions.items():
        check_extension(name, nodes.get(name), extension)
    input_shape = _shape(nodes[input_name].output_type["output"])
    shapes = {input_name: input_shape}
    shapes |= {n: neuron_shape(node) for n, node in nodes.items() if isinstance(node, NEURON_NODES)}
    walker = _Walker(nodes, edges, shapes, dynamics.dt_s)
    paths = [path for source in sorted(shapes) for path in walker.paths_from(source)]
    outputs = [path for path in paths if path.target == output_node]
    if len(outputs) != 1 or outputs[0].via:
        raise GraphError(
            f"node {output_node!r}: exactly one neuron population must feed the output directly, "
            f"got {[path.source for path in outputs] or 'none'}"
        )
    inner = [path for path in paths if path.target != output_node]
    _check_used(nodes, inner)
    for path in inner:
        if isinstance(nodes[path.source], SILENT_NODES):
            raise GraphError(
                f"node {path.source!r}: a {type(nodes[path.source]).__name__} never fires, so it "
                "cannot feed another node; connect it to the output only"
            )
    populations = tuple(
        population(name, nodes[name], _bias(name, inner), extensions.get(name, PLAIN), dynamics)
        for name in sorted(shapes)
        if name != input_name
    )
    connections = tuple(
        Connection(path.name(inner), path.source, path.target, path.matrix, path.delay)
        for path in inner
    )
    bits = extensions.get(input_name, PLAIN).message_bits
    network = Network(
        input_name, input_shape, populations, connections, outputs[0].source, dynamics, bits
    )
    _check_encoders(network)
    _ = network.depth  # refuses an output that the input cannot reach
    return network


def _check_encoders(network: Network) -> None:
    """Refuse fractional weights into neurons that count in integers."""
    for c in network.connections:
        weights, target = c.matrix.data, network.population(c.target)
        if target.graded and not np.array_equal(weights, np.rint(weights)):
            raise GraphError(
                f"node {c.name!r}: {target.kind} neurons count in integers in every precision, got "
                f"a weight of {weights[weights != np.rint(weights)][0]:g}; scale and round it"
            )


@dataclass(frozen=True, eq=False)
class _Path:
    """A chain of linear nodes between two populations.

    ``biases`` holds what the bias of each node of the chain becomes at the target; its key is the
    rest of the chain from that node on. ``delay`` is in ticks, per source neuron.
    """

    source: str
    via: tuple[str, ...]
    target: str
    matrix: Matrix
    biases: dict[tuple[str, ...], NDArray[np.float64]]
    delay: NDArray[np.int64]

    def name(self, others: list[_Path]) -> str:
        label = "+".join(self.via) or f"{self.source}->{self.target}"
        same = [p for p in others if p.via == self.via]
        return label if len(same) == 1 else f"{label}:{self.source}->{self.target}"


@dataclass(frozen=True)
class _Walker:
    nodes: dict[str, nir.NIRNode]
    edges: list[tuple[str, str]]
    shapes: dict[str, tuple[int, ...]]
    dt_s: float

    def paths_from(self, source: str) -> list[_Path]:
        shape = self.shapes[source]
        size = int(np.prod(shape))
        identity: Matrix = scipy.sparse.eye_array(size, format="csr")
        start = _Path(source, (), source, identity, {}, np.zeros(size, np.int64))
        return self._extend(start, shape)

    def _extend(self, path: _Path, shape: tuple[int, ...]) -> list[_Path]:
        """All ways on from the end of ``path``, where the signal has ``shape``."""
        found = []
        at = path.target
        for _, target in (edge for edge in self.edges if edge[0] == at):
            node = self.nodes[target]
            if isinstance(node, (*NEURON_NODES, nir.Output)):
                expected = self.shapes.get(target) or _shape(node.output_type["output"])
                if np.prod(expected) != np.prod(shape):
                    raise GraphError(f"edge {at!r} -> {target!r}: {shape} does not fit {expected}")
                found.append(replace(path, target=target))
                continue
            if target in path.via or isinstance(node, nir.Input):
                raise GraphError(
                    f"edge {at!r} -> {target!r}: a cycle without a neuron, which has no delay; "
                    "put a neuron population into it"
                )
            if isinstance(node, nir.Delay):
                delay = path.delay + self._delay_ticks(target, node, path)
                longer = replace(path, via=(*path.via, target), target=target, delay=delay)
                found += self._extend(longer, shape)
                continue
            _check_linear(target, node, shape)
            step, bias, out_shape = linear_map(target, node, shape)
            passed = {(*chain, target): step @ value for chain, value in path.biases.items()}
            passed[(target,)] = bias
            product = step @ path.matrix
            product.eliminate_zeros()
            further = _Path(path.source, (*path.via, target), target, product, passed, path.delay)
            found += self._extend(further, out_shape)
        return found

    def _delay_ticks(self, name: str, node: nir.Delay, path: _Path) -> NDArray[np.int64]:
        """Axonal delay of each source neuron in ticks."""
        raw = np.asarray(node.delay, dtype=np.float64).ravel() / self.dt_s
        ticks = np.rint(raw)
        bad = ~(np.abs(raw - ticks) <= 1e-6) | (ticks < 0)
        if bad.any():
            raise GraphError(
                f"node {name!r}: a delay must be a whole number of ticks of {self.dt_s:g} s, "
                f"got {raw[bad][0] * self.dt_s:g} s; round it or change dt"
            )
        behind_source = all(isinstance(self.nodes[n], nir.Delay | nir.Flatten) for n in path.via)
        if ticks.size and np.ptp(ticks) != 0 and not behind_source:
            raise GraphError(
                f"node {name!r}: delays that differ must come right behind the neurons they "
                "belong to (axonal delays); move the node before the weights"
            )
        size = path.delay.size
        if behind_source and ticks.size not in (1, size):
            raise GraphError(f"node {name!r}: has {ticks.size} delays for {size} neurons")
        per_source = ticks if behind_source else ticks[:1]
        return np.broadcast_to(per_source, (size,)).astype(np.int64)


def _check_linear(name: str, node: nir.NIRNode, shape: tuple[int, ...]) -> None:
    """Refuse NaN and infinity, and a convolution made for another size than it is fed with."""
    for label in ("weight", "bias", "scale"):
        values = np.asarray(getattr(node, label, 0.0), dtype=np.float64)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            raise GraphError(
                f"node {name!r}: {label}{bad[0].tolist()} is {values[tuple(bad[0])]}; "
                "give finite numbers"
            )
    made_for = getattr(node, "input_shape", None)
    if made_for is not None and len(shape) == 3 and _shape(made_for) != shape[1:]:
        raise GraphError(
            f"node {name!r}: made for inputs of {_shape(made_for)} (height, width), gets "
            f"{shape[1:]}; set input_shape to what arrives"
        )


def _check_used(nodes: dict[str, nir.NIRNode], paths: list[_Path]) -> None:
    used = {node for path in paths for node in path.via}
    for name, node in nodes.items():
        if isinstance(node, BETWEEN_NODES) and name not in used:
            raise GraphError(
                f"node {name!r}: leads from no population or input to a population; "
                "connect it or remove it"
            )


def _bias(target: str, paths: list[_Path]) -> NDArray[np.float64] | float:
    """Constant input of a population: every biased node once, however many sources it has."""
    biases = {chain: b for p in paths if p.target == target for chain, b in p.biases.items()}
    return sum(biases.values(), start=0.0)


def _single(nodes: dict[str, nir.NIRNode], kind: type, label: str) -> str:
    found = [name for name, node in nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        raise GraphError(f"a graph needs exactly one {label} node, got {found or 'none'}")
    return found[0]


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in np.asarray(value).ravel())
