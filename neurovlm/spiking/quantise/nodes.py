"""NIR nodes for rounded weights and neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nir
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.network import Population
from neurovlm.spiking.neurons import NEURON_NODES
from neurovlm.spiking.quantise.scale import Part

_MAX_DENSE = 1 << 24
"""Entries of a dense matrix; a chain that would need more is not merged into one node."""


def chains(graph: nir.NIRGraph) -> list[tuple[str, ...]]:
    """Linear nodes on the way of each connection, in the order of `Network.connections`."""
    nodes, edges = graph.nodes, sorted(set(graph.edges))
    found: list[tuple[str, ...]] = []

    def walk(at: str, via: tuple[str, ...]) -> None:
        for _, target in (edge for edge in edges if edge[0] == at):
            if isinstance(nodes[target], NEURON_NODES):
                found.append(via)
            elif not isinstance(nodes[target], nir.Output):
                walk(target, (*via, target))

    for name in sorted(nodes):
        if isinstance(nodes[name], (*NEURON_NODES, nir.Input)):
            walk(name, ())
    return found


def neuron_node(node: nir.NIRNode, p: Population, dt_s: float) -> nir.NIRNode:
    """A node like ``node`` whose Euler gains are 1, so that thresholds are in units of weight."""
    if p.graded:
        return node

    def per_neuron(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.broadcast_to(values, (p.size,)).reshape(p.shape).copy()

    with np.errstate(divide="ignore"):
        tau_mem, tau_syn = dt_s * UNIT / p.loss_v, dt_s * UNIT / p.loss_u
        r = np.where(p.loss_v > 0, UNIT / p.loss_v, 1 / dt_s)
    fields = {
        "tau": tau_mem,
        "tau_mem": tau_mem,
        "tau_syn": tau_syn,
        "r": r,
        "w_in": UNIT / p.loss_u,
        "v_leak": np.zeros(1),
        "v_reset": np.zeros(1),
        "v_threshold": p.threshold,
    }
    return type(node)(**{k: per_neuron(v) for k, v in fields.items() if hasattr(node, k)})


def convolution(steps: Sequence[nir.NIRNode], shape: tuple[int, ...]) -> nir.Conv2d | None:
    """A convolution or pool of ``shape``, then scales per channel, as one Conv2d; None otherwise.

    All channels are in one group: NIR infers a wrong type from others.
    """
    if not steps or not isinstance(steps[0], nir.Conv2d | nir.SumPool2d | nir.AvgPool2d):
        return None
    first = steps[0]
    channels, height, width = shape
    if isinstance(first, nir.Conv2d):
        grouped, groups, dilation = (
            np.asarray(first.weight, np.float64),
            first.groups,
            first.dilation,
        )
    else:
        sides = np.broadcast_to(np.asarray(first.kernel_size), (2,))
        grouped, groups, dilation = np.ones((channels, 1, *sides)), channels, 1
        if isinstance(first, nir.AvgPool2d):
            grouped /= grouped[0].size
    per_group, inside = len(grouped) // groups, grouped.shape[1]
    kernel = np.zeros((len(grouped), channels, *grouped.shape[2:]))
    for g in range(groups):
        rows = slice(g * per_group, (g + 1) * per_group)
        kernel[rows, g * inside : (g + 1) * inside] = grouped[rows]
    for step in steps[1:]:
        if not isinstance(step, nir.Scale):
            return None
        by_channel = per_channel(np.asarray(step.scale, dtype=np.float64), len(kernel))
        if by_channel is None:
            return None
        kernel *= by_channel[:, None, None, None]
    stride, padding = (
        value if isinstance(value, str) else tuple(np.broadcast_to(value, (2,)).tolist())
        for value in (first.stride, first.padding)
    )
    nothing = np.zeros(len(kernel))
    return nir.Conv2d((height, width), kernel, stride, padding, dilation, 1, nothing)


def per_channel(values: NDArray[np.float64], channels: int) -> NDArray[np.float64] | None:
    """One value per channel for one per neuron; None if they differ inside a channel."""
    rows = values.reshape(channels, -1)
    return rows[:, 0] if (rows == rows[:, :1]).all() else None


def conv_node(conv: nir.Conv2d, part: Part, bias: NDArray[np.float64] | None) -> nir.Conv2d:
    """The convolution with the rounded weights of one sign."""
    weight = part.rounded(conv.weight)
    bias = np.zeros(len(weight)) if bias is None else bias
    return nir.Conv2d(conv.input_shape, weight, conv.stride, conv.padding, conv.dilation, 1, bias)


def scale_node(part: Part, shape: tuple[int, ...]) -> nir.Scale | None:
    """A one-to-one connection; None if it is none."""
    matrix = part.connection.matrix
    apart = matrix.shape[0] != matrix.shape[1] or (matrix != _diagonal(matrix)).nnz
    return None if apart else nir.Scale(part.matrix.diagonal().reshape(shape))


def linear_node(
    part: Part, bias: NDArray[np.float64] | None, shape: tuple[int, ...]
) -> nir.NIRNode:
    """All weights in a dense matrix, to neurons of ``shape``."""
    targets, sources = part.matrix.shape
    if len(shape) > 1:
        raise GraphError(
            f"node {part.connection.name!r}: one matrix would replace this chain, and in NIR none "
            f"feeds neurons of shape {shape}; write the chain as one Conv2d, SumPool2d or AvgPool2d"
        )
    if targets * sources > _MAX_DENSE:
        raise GraphError(
            f"node {part.connection.name!r}: merged into one node it would be a dense matrix of "
            f"{targets} x {sources}; write it as one Conv2d, SumPool2d or AvgPool2d, or put "
            "neurons between its nodes"
        )
    dense = part.matrix.toarray()
    return nir.Linear(dense) if bias is None else nir.Affine(dense, bias)


def _diagonal(matrix: Any) -> Any:
    return scipy.sparse.csr_array(scipy.sparse.diags_array(matrix.diagonal()))
