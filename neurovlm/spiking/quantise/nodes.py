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
from neurovlm.spiking.linear import Matrix, linear_map
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


def convolution(
    steps: Sequence[nir.NIRNode], shape: tuple[int, ...], matrix: Matrix
) -> nir.Conv2d | None:
    """Convolutions, pools and scales per channel, one after the other, as one Conv2d.

    None where there is none, or where padding between them makes borders differ from ``matrix``,
    the weights of the whole chain.
    """
    whole: nir.Conv2d | None = None
    for step in steps:
        if isinstance(step, nir.Scale) and whole is not None:
            factors = per_channel(np.asarray(step.scale, dtype=np.float64), len(whole.weight))
            if factors is None:
                return None
            whole.weight = whole.weight * factors[:, None, None, None]
        elif isinstance(step, nir.Conv2d | nir.SumPool2d | nir.AvgPool2d):
            channels = shape[0] if whole is None else len(whole.weight)
            one = _ungrouped(step, channels, shape[1:])
            whole = one if whole is None else _composed(whole, one)
        else:
            return None
        if whole is None:
            return None
    if len(steps) > 1 and whole is not None:
        gap = linear_map("chain", whole, shape)[0] - matrix
        same = abs(gap).max() <= 1e-9 * abs(matrix).max() if gap.shape == matrix.shape else False
        return whole if same else None
    return whole


def _ungrouped(step: nir.NIRNode, channels: int, sides: tuple[int, ...]) -> nir.Conv2d:
    """A convolution or pool with all channels in one group: NIR infers a wrong type from others."""
    if isinstance(step, nir.Conv2d):
        grouped, groups, dilation = step.weight, step.groups, step.dilation
    else:
        window = np.broadcast_to(np.asarray(step.kernel_size), (2,))
        grouped, groups, dilation = np.ones((channels, 1, *window)), channels, 1
        if isinstance(step, nir.AvgPool2d):
            grouped /= grouped[0].size
    per_group, inside = len(grouped) // groups, grouped.shape[1]
    kernel = np.zeros((len(grouped), channels, *grouped.shape[2:]))
    for g in range(groups):
        rows = slice(g * per_group, (g + 1) * per_group)
        kernel[rows, g * inside : (g + 1) * inside] = grouped[rows]
    padding = step.padding if isinstance(step.padding, str) else _pair(step.padding)
    nothing = np.zeros(len(kernel))
    return nir.Conv2d(sides, kernel, _pair(step.stride), padding, _pair(dilation), 1, nothing)


def _composed(first: nir.Conv2d, second: nir.Conv2d) -> nir.Conv2d | None:
    """``second`` behind ``first``, without regard to padding between them."""
    if isinstance(first.padding, str) or isinstance(second.padding, str):
        return None
    stride, apart, inner = (np.array(v) for v in (first.stride, second.dilation, first.dilation))
    step = stride * apart
    outer, window = np.array(second.weight.shape[2:]), np.array(first.weight.shape[2:])
    size = (outer - 1) * step + (window - 1) * inner + 1
    kernel = np.zeros((len(second.weight), first.weight.shape[1], *size))
    for y, x in np.ndindex(*outer):
        for v, u in np.ndindex(*window):
            at = np.array((y, x)) * step + np.array((v, u)) * inner
            kernel[:, :, at[0], at[1]] += second.weight[:, :, y, x] @ first.weight[:, :, v, u]
    strides = tuple((stride * np.array(second.stride)).tolist())
    padding = tuple((np.array(first.padding) + stride * np.array(second.padding)).tolist())
    return nir.Conv2d(first.input_shape, kernel, strides, padding, 1, 1, np.zeros(len(kernel)))


def _pair(value: Any) -> tuple[int, int]:
    first, second = np.broadcast_to(np.asarray(value), (2,)).tolist()
    return first, second


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
