"""Eight-bit codes of weights and rows."""

from __future__ import annotations

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEVELS = 127
"""Largest code on either side of zero."""

SMALLEST = np.float32(1e-30)
"""Least size a row is taken to have, so that a row of zeros has a scale."""


def quantise_channels(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes of a weight, symmetric per output: ``w = code * scale``.

    Returns
    -------
    codes
        int8 ``(out, in)``.
    scale
        ``(out,)``; the largest weight of an output has code 127 or -127.
    """
    scale = (weight.abs().amax(1) / LEVELS).clamp(min=float(SMALLEST))
    return (weight / scale[:, None]).round().to(torch.int8), scale


def quantise_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Codes of rows, symmetric per row and shifted by 128: ``x = (code - 128) * scale``.

    A scale per row, found anew in every call, keeps a row with large values from coarsening the
    others. Unsigned because processors multiply unsigned by signed bytes.

    Parameters
    ----------
    rows
        float32 ``(M, n)``, contiguous and finite.

    Returns
    -------
    codes
        uint8 ``(M, n)``, 1 to 255.
    scale
        ``(M,)``.
    """
    codes = torch.empty(rows.shape, dtype=torch.uint8)
    scale = torch.empty(len(rows))
    _quantise(rows.numpy(), codes.numpy(), scale.numpy())
    return codes, scale


@numba.njit(cache=True, nogil=True, fastmath=True)
def _quantise(
    rows: NDArray[np.float32], codes: NDArray[np.uint8], scale: NDArray[np.float32]
) -> None:
    for i in range(rows.shape[0]):
        row, code = rows[i], codes[i]
        # floats without their sign bit order as integers do, and only those loops are vectorised
        bits, largest = row.view(np.int32), np.int32(0)
        for j in range(row.size):
            largest = max(largest, bits[j] & np.int32(0x7FFFFFFF))
        scale.view(np.int32)[i] = largest
        scale[i] = max(scale[i], SMALLEST) / np.float32(LEVELS)
        per_level = np.float32(1) / scale[i]
        for j in range(row.size):
            # positive, so that cutting off the fraction rounds to the nearest
            code[j] = np.uint8(np.int32(row[j] * per_level + np.float32(128.5)))
