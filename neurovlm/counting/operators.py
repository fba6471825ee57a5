"""What each operator that torch dispatches asks of a processor: MACs, elements and bytes.

A product or convolution has MACs and no elements; softmax inside a fused attention, and the gates
inside a fused recurrent layer, are its elements. Everything else has elements: the scalars it
visits, which are its results, or its operands where it reduces them. Bytes are those of every
operand touched once, and of the first result; statistics, indices and workspaces that come with
it are left out. Views are free. An operator that no rule names is unknown, never free.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hw_models import OpKind

Arguments: TypeAlias = tuple[Any, ...]


class UnknownOperatorError(Exception):
    """No rule names the operator; its text is the operator's name."""


@dataclass(frozen=True)
class Work:
    """One call of an operator; bytes at the dtypes it ran in, weights apart from activations."""

    kind: OpKind
    macs: int = 0
    elements: int = 0
    weight_bytes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0


def is_weight_in(weights: frozenset[int]) -> Callable[[Tensor], bool]:
    """Say whether a tensor, or what it is a view of, is stored in one of these storages."""
    return lambda tensor: storage_of(tensor) in weights


def storage_of(tensor: Tensor) -> int:
    """Return what identifies the memory of a tensor, shared with its views."""
    return int(tensor.untyped_storage()._cdata)


def macs_of(func: Any, args: Arguments, out: Any) -> int | None:
    """MACs of a product or convolution; None for an operator that is none.

    Raises
    ------
    UnknownOperatorError
        The operator looks like a product, by its name, and has no formula.
    """
    name = operator_name(func)
    if name in FORMULAS:
        return FORMULAS[name](args, out)
    if _PRODUCT.search(name) and name not in _VISITS | _RESIZES:
        raise UnknownOperatorError(str(func))
    return None


def work_of(func: Any, args: Arguments, out: Any, is_weight: Callable[[Tensor], bool]) -> Work:
    """Count one call; all counts of a free operator are 0.

    Raises
    ------
    UnknownOperatorError
        No rule names the operator.
    """
    macs = macs_of(func, args, out)
    if macs is None:
        return _move(func, args, out, is_weight)
    operands, result = list(tensors_in(args)), first_tensor(out)
    weights = [operand for operand in operands if is_weight(operand)]
    name = operator_name(func)
    kind = _product_kind(name, args, weighted=bool(weights))
    elements = _INNER[name](args, out) if name in _INNER else 0
    n_weight = sum(map(_bytes, weights))
    return Work(kind, macs, elements, n_weight, _all_bytes(operands) - n_weight, _bytes(result))


def is_product(func: Any) -> bool:
    """Whether the operator has MACs."""
    return operator_name(func) in FORMULAS


def operator_name(func: Any) -> str:
    """Name of an operator of torch itself; others keep their library's name in front."""
    return str(func.overloadpacket.__name__) if func.namespace == "aten" else str(func)


def tensors_in(values: Any) -> Iterator[Tensor]:
    """All tensors in nested arguments or results."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors_in(value)


def first_tensor(out: Any) -> Tensor:
    """Return the result that counts, where an operator returns several."""
    return next(tensors_in(out))


def _product_kind(name: str, args: Arguments, *, weighted: bool) -> OpKind:
    if name == "convolution":
        groups, channels = args[8], args[0].shape[1]
        return OpKind.DEPTHWISE if groups == channels > 1 else OpKind.CONV
    return OpKind.GEMM if weighted else OpKind.ATTENTION


def _move(func: Any, args: Arguments, out: Any, is_weight: Callable[[Tensor], bool]) -> Work:
    """Count an operator without MACs."""
    name = operator_name(func)
    if _is_view(func) or name in _FREE:
        return Work(OpKind.ELEMENTWISE)
    operands = list(tensors_in(args))
    result = next(tensors_in(out), None)
    if result is None:
        raise UnknownOperatorError(str(func))
    if name in _LOOKUPS:  # reads the rows it returns, not the table
        indices = _all_bytes([t for t in operands if not t.is_floating_point()][-1:])
        read = _bytes(result) + indices
        return Work(_LOOKUPS[name], 0, result.numel(), 0, read, _bytes(result))
    if name in _SCATTERS:
        return _scatter(name, operands, result)
    n_weight = sum(_bytes(operand) for operand in operands if is_weight(operand))
    read = _all_bytes(operands) - n_weight
    if name in _RESIZES:
        return Work(OpKind.RESIZE, 0, result.numel(), n_weight, read, _bytes(result))
    if name in _REDUCTIONS:
        elements = max(operand.numel() for operand in operands)
    elif torch.Tag.pointwise in func.tags or name in _VISITS:
        elements = result.numel()
    else:
        raise UnknownOperatorError(str(func))
    return Work(OpKind.ELEMENTWISE, 0, elements, n_weight, read, _bytes(result))


def _scatter(name: str, operands: list[Tensor], result: Tensor) -> Work:
    """Count what is put into place, and the copy of the whole where that is made first."""
    moved = max(operand.numel() for operand in operands[1:])
    indices = _all_bytes([t for t in operands[1:] if not t.is_floating_point()])
    copied = 0 if name.endswith("_") else result.numel()
    n_bytes = (moved + copied) * result.element_size()
    return Work(OpKind.SCATTER, 0, moved + copied, 0, n_bytes + indices, n_bytes)


def _is_view(func: Any) -> bool:
    if torch.Tag.inplace_view in func.tags:
        return True
    aliases = [result.alias_info for result in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


def _bytes(tensor: Tensor) -> int:
    """Bytes in memory behind a tensor; an expanded axis takes none."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return prod(size for size, stride in sizes if stride != 0) * tensor.element_size()


def _all_bytes(tensors: list[Tensor]) -> int:
    return sum(map(_bytes, tensors))


def _mm(args: Arguments, out: Any) -> int:
    return prod(out.shape) * int(args[0].shape[-1])


def _addmm(args: Arguments, out: Any) -> int:
    return prod(out.shape) * int(args[1].shape[-1])


def _convolution(args: Arguments, out: Any) -> int:
    weight, transposed = args[1], args[6]
    per_site = prod(weight.shape[1:])
    return prod(args[0].shape if transposed else out.shape) * per_site


def _attention(args: Arguments, out: Any) -> int:
    """Scores and their product with the values; a causal mask saves nothing here."""
    query, key, value = args[:3]
    sites = prod(query.shape[:-1]) * int(key.shape[-2])
    return sites * (int(query.shape[-1]) + int(value.shape[-1]))


def _softmax_inside(args: Arguments, out: Any) -> int:
    query, key = args[:2]
    return prod(query.shape[:-1]) * int(key.shape[-2])


def _matrices(args: Arguments) -> list[Tensor]:
    """Weight matrices of a fused recurrent layer, each used once per step of every sequence."""
    weights = args[1:3] if isinstance(args[1], Tensor) else args[1]
    return [tensor for tensor in tensors_in(weights) if tensor.dim() == 2]


def _recurrent(args: Arguments, out: Any) -> int:
    return prod(args[0].shape[:-1]) * sum(matrix.numel() for matrix in _matrices(args))


def _gates_inside(args: Arguments, out: Any) -> int:
    rows = sum(int(matrix.shape[0]) for matrix in _matrices(args))
    return prod(args[0].shape[:-1]) * rows // 2  # input and state matrix have the same rows


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FORMULAS: dict[str, Callable[[Arguments, Any], int]] = {
    "mv": lambda args, out: prod(args[0].shape),
    "dot": lambda args, out: prod(args[0].shape),
    "vdot": lambda args, out: prod(args[0].shape),
    "addmv": lambda args, out: prod(args[1].shape),
    "convolution": _convolution,
}
FORMULAS |= dict.fromkeys(_names("mm bmm _int_mm _scaled_mm _grouped_mm"), _mm)
FORMULAS |= dict.fromkeys(_names("addmm addmm_ baddbmm baddbmm_ _addmm_activation"), _addmm)
_FUSED_ATTENTION = _names(
    "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention "
    "_scaled_dot_product_flash_attention _scaled_dot_product_cudnn_attention "
    "_scaled_dot_product_fused_attention_overrideable"
)
_FUSED_RECURRENT = _names("mkldnn_rnn_layer _cudnn_rnn")
FORMULAS |= dict.fromkeys(_FUSED_ATTENTION, _attention)
FORMULAS |= dict.fromkeys(_FUSED_RECURRENT, _recurrent)
_INNER = dict.fromkeys(_FUSED_ATTENTION, _softmax_inside) | dict.fromkeys(
    _FUSED_RECURRENT, _gates_inside
)

# Operators that multiply and accumulate, by name
_PRODUCT = re.compile(
    r"mm(_|$)|mv(_|$)|dot(_|$)|addr(_|$)|matmul|linear(_|$)|conv(?!ert)|attention|transformer"
    r"|rnn|gru(_|$)|lstm(_|$)|cdist|euclidean_dist|embedding_bag|trilinear"
)
BATCH_NORMS = _names(
    "native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training _batch_norm_no_update"
)
_FREE = _names(
    "_unsafe_view _reshape_alias unsafe_split unsafe_split_with_sizes unsafe_chunk detach_ "
    "lift_fresh empty empty_like empty_strided new_empty new_empty_strided empty_permuted set_ "
    "resize_ _local_scalar_dense is_same_size _assert_async "
    "_assert_tensor_metadata sym_size sym_numel sym_stride"
)
_LOOKUPS = {
    "embedding": OpKind.EMBEDDING,
    "index": OpKind.GATHER,
    "index_select": OpKind.GATHER,
    "_unsafe_index": OpKind.GATHER,
    "gather": OpKind.GATHER,
    "take": OpKind.GATHER,
    "masked_select": OpKind.GATHER,
    "repeat_interleave": OpKind.GATHER,
}
_SCATTERS = _names(
    "scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ index_put "
    "index_put_ _unsafe_index_put index_add index_add_ index_copy index_copy_ "
    "masked_scatter masked_scatter_"
)
_RESIZES = _names(
    "upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d "
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d "
    "_upsample_nearest_exact2d _upsample_nearest_exact3d _upsample_bilinear2d_aa "
    "_upsample_bicubic2d_aa grid_sampler_2d grid_sampler_3d"
)
_REDUCTIONS = _names(
    "sum mean amax amin max min aminmax argmax argmin var std var_mean std_mean norm "
    "linalg_vector_norm prod any all logsumexp nansum median nanmedian count_nonzero topk sort "
    "kthvalue mode nonzero bincount histc _unique2 unique_dim unique_consecutive multinomial "
    "max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d "
    "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d"
)
# visit every scalar of their result once
_VISITS = BATCH_NORMS | _names(
    "native_layer_norm native_group_norm _fused_rms_norm _softmax _log_softmax _safe_softmax "
    "_masked_softmax glu prelu _prelu_kernel rrelu_with_noise hardswish hardswish_ gelu_ mish_ "
    "threshold_ log_sigmoid_forward abs_ eq_ ne_ lt_ le_ gt_ ge_ floor_divide floor_divide_ "
    "bucketize searchsorted isin complex polar native_dropout bernoulli bernoulli_ "
    "_weight_norm_interface _thnn_fused_lstm_cell _thnn_fused_gru_cell "
    "cat stack clone copy copy_ _to_copy constant_pad_nd reflection_pad1d reflection_pad2d "
    "reflection_pad3d replication_pad1d replication_pad2d replication_pad3d roll flip repeat "
    "pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle im2col col2im "
    "tril triu tril_ triu_ diag_embed block_diag rot90 cumsum cumsum_ cumprod _cummax_helper "
    "_cummin_helper affine_grid_generator one_hot masked_fill masked_fill_ where "
    "slice_scatter select_scatter zeros ones full zeros_like ones_like full_like new_zeros "
    "new_ones new_full fill fill_ zero_ arange linspace eye scalar_tensor rand randn rand_like "
    "randn_like randint randperm normal normal_ uniform_ exponential_ tril_indices triu_indices"
)
