"""Graphs of other writers made flat: no nested graphs, no batch axes, every shape spelled out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from math import prod
from typing import Any, TypeAlias

import nir
import numpy as np

from neurovlm.core.errors import GraphError
from neurovlm.spiking.linear import LINEAR_NODES, linear_map
from neurovlm.spiking.neurons import NEURON_NODES

Nodes: TypeAlias = dict[str, nir.NIRNode]
Edges: TypeAlias = list[tuple[str, str]]
Shape: TypeAlias = tuple[int, ...]

_MOST_WEIGHTS = 1 << 24
_POOLS = (nir.Conv2d, nir.SumPool2d, nir.AvgPool2d)


def flatten(graph: nir.NIRGraph) -> tuple[Nodes, Edges]:
    """Nodes and edges without nested graphs; an inner node is called ``outer.inner``.

    Raises
    ------
    GraphError
        For an edge to a node that is not there, or a nested graph with several inputs or outputs.
    """
    nodes: Nodes = {}
    edges: list[tuple[str, str]] = []
    doors: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        if not isinstance(node, nir.NIRGraph):
            nodes[name] = node
            continue
        inner, inner_edges = flatten(node)
        nodes |= {f"{name}.{key}": value for key, value in inner.items()}
        edges += [(f"{name}.{a}", f"{name}.{b}") for a, b in inner_edges]
        doors[name] = _door(name, inner, nir.Input), _door(name, inner, nir.Output)
    for a, b in graph.edges:
        for end in (a, b):
            if end not in graph.nodes:
                raise GraphError(f"edge {a!r} -> {b!r}: there is no node {end!r}; remove the edge")
        edges.append((doors[a][1] if a in doors else a, doors[b][0] if b in doors else b))
    for names in doors.values():
        for door in names:
            nodes, edges = bypass(nodes, edges, door)
    return nodes, sorted(set(edges))


def bypass(nodes: Nodes, edges: Edges, name: str) -> tuple[Nodes, Edges]:
    """The graph without the node ``name``: what fed it feeds what it fed."""
    before = [a for a, b in edges if b == name and a != name]
    after = [b for a, b in edges if a == name and b != name]
    kept = [edge for edge in edges if name not in edge]
    return (
        {key: node for key, node in nodes.items() if key != name},
        kept + [(a, b) for a in before for b in after],
    )


def _door(name: str, inner: Nodes, kind: type) -> str:
    found = [key for key, node in inner.items() if isinstance(node, kind)]
    if len(found) != 1:
        raise GraphError(
            f"node {name!r}: a nested graph needs exactly one {kind.__name__}, got "
            f"{found or 'none'}; write the graph without nesting"
        )
    return f"{name}.{found[0]}"


def settle(nodes: Nodes, edges: Edges) -> tuple[Nodes, dict[str, Shape]]:
    """Nodes with the shapes that reach them from the input, and what shape each puts out.

    Batch axes of the input are dropped where its first consumer shows them, neurons with one value
    for all get an array, and Conv1d becomes a matrix.

    Raises
    ------
    GraphError
        For shapes that do not fit, a node that the input does not reach, or a node that no backend
        here runs.
    """
    settled: Nodes = {}
    shapes: dict[str, Shape] = {}
    for name, node in nodes.items():
        if isinstance(node, nir.Input):
            consumers = [nodes[b] for a, b in edges if a == name]
            shapes[name] = _input_shape(_sides(node.input_type["input"]), consumers)
            settled[name] = nir.Input({"input": np.array(shapes[name])})
    waiting = list(shapes)
    while waiting:
        source = waiting.pop(0)
        for target in (b for a, b in edges if a == source and b not in shapes):
            settled[target], shapes[target] = _settle_one(target, nodes[target], shapes[source])
            waiting.append(target)
    for name in nodes:
        if name not in settled:
            raise GraphError(f"node {name!r}: the input does not reach it; connect or remove it")
    return settled, shapes


def _settle_one(name: str, node: nir.NIRNode, shape: Shape) -> tuple[nir.NIRNode, Shape]:
    if isinstance(node, nir.Output):
        return nir.Output({"output": np.array(shape)}), shape
    if isinstance(node, NEURON_NODES):
        return _settle_neurons(name, node, shape), shape
    if isinstance(node, nir.Delay):
        return nir.Delay(np.broadcast_to(np.asarray(node.delay), shape).copy()), shape
    if isinstance(node, nir.Conv1d):
        node = _dense(name, node, shape)
    if not isinstance(node, LINEAR_NODES):
        raise GraphError(f"node {name!r}: no backend runs a {type(node).__name__}; replace it")
    _, _, after = linear_map(name, node, shape)
    if isinstance(node, nir.Conv2d):
        node = replace(node, input_shape=shape[1:])
    if isinstance(node, nir.Flatten):
        node = nir.Flatten({"input": np.array(shape)}, 0, -1)
    return node, after


def _settle_neurons(name: str, node: nir.NIRNode, shape: Shape) -> nir.NIRNode:
    values: dict[str, Any] = {}
    for field in fields(node):
        if not field.init or field.name == "metadata":
            continue
        value = np.asarray(getattr(node, field.name))
        if value.size not in (1, prod(shape)):
            raise GraphError(
                f"node {name!r}: {field.name} has {value.size} values, {prod(shape)} inputs of "
                f"shape {shape} arrive; give one value or one per input"
            )
        whole = value.reshape(shape) if value.size != 1 else np.full(shape, value.ravel()[0])
        values[field.name] = whole
    return type(node)(**values)


def _dense(name: str, node: nir.Conv1d, shape: Shape) -> nir.Affine:
    """The convolution as one matrix over flat signals.

    NIR's type check takes the kernel's height for its width, so a Conv2d of height 1 fails it.
    """
    weight = np.asarray(node.weight)
    channels = weight.shape[1] * _side(node.groups)
    if prod(shape) % channels:
        raise GraphError(f"node {name!r}: takes {channels} channels, its input is {shape}")
    padding = node.padding if isinstance(node.padding, str) else (0, _side(node.padding))
    conv = nir.Conv2d(
        input_shape=None,
        weight=weight[:, :, None, :],
        stride=(1, _side(node.stride)),
        padding=padding,
        dilation=(1, _side(node.dilation)),
        groups=_side(node.groups),
        bias=np.asarray(node.bias),
    )
    matrix, bias, _ = linear_map(name, conv, (channels, 1, prod(shape) // channels))
    if prod(matrix.shape) > _MOST_WEIGHTS:
        raise GraphError(
            f"node {name!r}: this Conv1d becomes a matrix of {matrix.shape}, more than "
            f"{_MOST_WEIGHTS} weights; shorten its input"
        )
    return nir.Affine(matrix.toarray(), bias)


def _input_shape(shape: Shape, consumers: Iterable[nir.NIRNode]) -> Shape:
    for node in consumers:
        if isinstance(node, nir.Conv1d):
            return (prod(shape[-2:]),)
        if isinstance(node, _POOLS):
            return shape[-3:]
        if isinstance(node, nir.Linear | nir.Affine):
            return shape[-1:]
        if isinstance(node, NEURON_NODES) and np.size(node.r) > 1:
            return shape[-np.ndim(node.r) :]
    return shape


def _sides(value: Any) -> Shape:
    return tuple(int(side) for side in np.asarray(value).ravel())


def _side(value: Any) -> int:
    return int(np.asarray(value).ravel()[0])
