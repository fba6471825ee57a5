"""Linear NIR nodes as sparse matrices, exact at borders."""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias

import nir
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError

Matrix: TypeAlias = "scipy.sparse.csr_array[Any, tuple[int, int]]"
LINEAR_NODES = (
    nir.Affine,
    nir.Linear,
    nir.Scale,
    nir.Conv2d,
    nir.SumPool2d,
    nir.AvgPool2d,
    nir.Flatten,
)


def linear_map(
    name: str, node: nir.NIRNode, in_shape: tuple[int, ...]
) -> tuple[Matrix, NDArray[np.float64], tuple[int, ...]]:
    """Matrix, bias and output shape of a linear node fed with ``in_shape``.

    Raises
    ------
    GraphError
        When the node does not fit its input.
    """
    size = prod(in_shape)
    if isinstance(node, nir.Flatten):
        matrix: Matrix = scipy.sparse.eye_array(size, format="csr")
        return matrix, np.zeros(size), (size,)
    if isinstance(node, nir.Scale):
        scale = np.asarray(node.scale, dtype=np.float64).ravel()
        _expect(name, size, scale.size)
        return _csr(scipy.sparse.diags_array(scale)), np.zeros(size), in_shape
    if isinstance(node, nir.Linear | nir.Affine):
        weight = np.asarray(node.weight, dtype=np.float64)
        _expect(name, size, weight.shape[-1])
        bias = np.asarray(getattr(node, "bias", np.zeros(weight.shape[0])), dtype=np.float64)
        return _csr(weight), bias, (weight.shape[0],)
    if len(in_shape) != 3:
        raise GraphError(
            f"node {name!r}: a {type(node).__name__} needs an input of (channels, height, width), "
            f"got {in_shape}"
        )
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        rows, columns = _pair(node.kernel_size)
        kernel = np.ones((in_shape[0], 1, rows, columns))
        if isinstance(node, nir.AvgPool2d):  # zeros of the padding count, as torch does by default
            kernel /= rows * columns
        return _convolve(name, kernel, in_shape, node.stride, node.padding, 1, in_shape[0])
    matrix, bias, out_shape = _convolve(
        name, node.weight, in_shape, node.stride, node.padding, node.dilation, node.groups
    )
    per_channel = np.asarray(node.bias, dtype=np.float64).ravel()
    return matrix, np.repeat(per_channel, out_shape[1] * out_shape[2]), out_shape


def _convolve(
    name: str,
    kernel: NDArray[Any],
    in_shape: tuple[int, ...],
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> tuple[Matrix, NDArray[np.float64], tuple[int, int, int]]:
    """Cross-correlation (as in torch) of ``(C, H, W)`` with ``(C_out, C_in / groups, kh, kw)``."""
    channels, height, width = in_shape
    c_out, c_group, kh, kw = kernel.shape
    if c_group * groups != channels:
        raise GraphError(
            f"node {name!r}: kernel takes {c_group * groups} channels, its input has {channels}"
        )
    (sy, sx), (dy, dx) = _pair(stride), _pair(dilation)
    if isinstance(padding, str):
        if padding == "same" and (sy, sx) != (1, 1):
            raise GraphError(f"node {name!r}: padding 'same' needs stride 1, got {(sy, sx)}")
        extra_y, extra_x = (dy * (kh - 1), dx * (kw - 1)) if padding == "same" else (0, 0)
        pad_y, pad_x = extra_y // 2, extra_x // 2
    else:
        pad_y, pad_x = _pair(padding)
        extra_y, extra_x = 2 * pad_y, 2 * pad_x
    rows = (height + extra_y - dy * (kh - 1) - 1) // sy + 1
    columns = (width + extra_x - dx * (kw - 1) - 1) // sx + 1
    if rows < 1 or columns < 1:
        raise GraphError(f"node {name!r}: the kernel is larger than its input {in_shape}")

    o, i, ky, kx = (index.ravel() for index in np.indices(kernel.shape))
    weight = np.asarray(kernel, dtype=np.float64).ravel()
    keep = weight != 0
    o, i, ky, kx, weight = o[keep], i[keep], ky[keep], kx[keep], weight[keep]
    oy, ox = (index.ravel()[:, None] for index in np.indices((rows, columns)))
    y, x = oy * sy - pad_y + ky * dy, ox * sx - pad_x + kx * dx
    source = ((o // (c_out // groups) * c_group + i) * height + y) * width + x
    target = (o * rows + oy) * columns + ox
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    data = np.broadcast_to(weight, source.shape)[inside]
    shape = (c_out * rows * columns, prod(in_shape))
    matrix = scipy.sparse.coo_array((data, (target[inside], source[inside])), shape=shape)
    return _csr(matrix), np.zeros(shape[0]), (c_out, rows, columns)


def _csr(matrix: Any) -> Matrix:
    """CSR without stored zeros: a zero weight is no synapse."""
    result: Matrix = scipy.sparse.csr_array(matrix)
    result.eliminate_zeros()
    result.sort_indices()
    return result


def _expect(name: str, size: int, wanted: int) -> None:
    if size != wanted:
        raise GraphError(f"node {name!r}: takes {wanted} inputs, its source has {size}")


def _pair(value: Any) -> tuple[int, int]:
    first, second = np.broadcast_to(np.asarray(value), (2,))
    return int(first), int(second)
