"""What changed, from frames alone: for people without an event camera, and to compare with.

`frame_difference` compares a patch with the frame it was last *computed* on, not with the last
frame: slow drift adds up until it is noticed (the reference gate of Eventful Transformers, Dutson
et al. 2023; a sigma-delta neuron does the same). `embedding_surprise` compares a patch's embedding
with a moving mean of its past (NeuroFlow 2026): what stays is forgotten after a while.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.core.errors import UsageError

SCORE_UNIT = 100
"""Score of a distance that is exactly the threshold."""


class Change(NamedTuple):
    """What `neurovlm.sttf.window.encode_window` needs to know of ``B`` streams.

    Attributes
    ----------
    changed
        bool ``(B, N)``, distance at or above the threshold.
    score
        int64 ``(B, N)``, distance in hundredths of the threshold, rounded down.
    distance
        ``(B, N)``.
    """

    changed: Tensor
    score: Tensor
    distance: Tensor


def frame_difference(patches: Tensor, reference: Tensor, threshold: float) -> Change:
    """d_i = sqrt(mean((x_i - r_i)^2)), x_i the pixels of a patch, r_i those it was computed on.

    Parameters
    ----------
    patches, reference
        ``(B, N, F)``, F values a patch. `renewed` gives the reference of the next window.
    threshold
        Above 0, in units of the pixels.
    """
    _check(patches, reference, threshold)
    return _change((patches - reference).square().mean(-1).sqrt(), threshold)


def renewed(reference: Tensor, patches: Tensor, computed: Tensor) -> Tensor:
    """Reference after a window in which the patches ``computed (B, N)`` were."""
    return torch.where(computed[..., None], patches, reference)


def embedding_surprise(
    embedded: Tensor, mean: Tensor, threshold: float, keep: float = 0.9
) -> tuple[Change, Tensor]:
    """d_i = 1 - cos(z_i, m_i), then m_i <- keep m_i + (1 - keep) z_i.

    Parameters
    ----------
    embedded, mean
        ``(B, N, D)``, embeddings of this window and their moving mean; the first window's
        embeddings are the first mean.
    threshold
        Above 0; distances lie in [0, 2].
    keep
        In [0, 1), share of the mean that stays.
    """
    _check(embedded, mean, threshold)
    if not 0 <= keep < 1:
        raise UsageError(f"change: keep must be in [0, 1), got {keep:g}")
    distance = (1 - functional.cosine_similarity(embedded, mean, dim=-1)).clamp(min=0)
    return _change(distance, threshold), keep * mean + (1 - keep) * embedded


def _change(distance: Tensor, threshold: float) -> Change:
    return Change(distance >= threshold, (SCORE_UNIT * distance / threshold).long(), distance)


def _check(new: Tensor, old: Tensor, threshold: float) -> None:
    if not threshold > 0:
        raise UsageError(f"change: threshold must be above 0, got {threshold:g}")
    if new.shape != old.shape:
        raise UsageError(
            f"change: this window is {tuple(new.shape)}, what it is compared with "
            f"{tuple(old.shape)}; each batch of streams keeps its own"
        )
