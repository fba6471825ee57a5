"""A vision tower that computes the patches that changed and remembers the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.sttf.change import frame_difference, renewed
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.memory import TokenMemory, take_rows
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.sttf.vit import SparseViT
from neurovlm.sttf.window import SttfState, encode_window


class TowerEmbed(nn.Module):
    """``x_i = LN(E pixels_i + position_i)`` for the chosen patches; LN in CLIP only.

    Parameters
    ----------
    grid
        Patches of the image.
    weight, bias
        ``(D, C * patch^2)`` and ``(D,)``, E.
    position
        ``(N, D)``.
    prefix
        ``(P, D)``, class token and registers, their positions added.
    norm
        Applied to everything, or None.
    """

    def __init__(
        self,
        grid: PatchGrid,
        weight: Tensor,
        bias: Tensor,
        position: Tensor,
        prefix: Tensor,
        norm: nn.LayerNorm | None,
    ) -> None:
        super().__init__()
        self.grid, self.channels = grid, weight.shape[1] // grid.patch**2
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.position, self.tokens = nn.Parameter(position), nn.Parameter(prefix)
        self.norm = norm

    @property
    def prefix(self) -> Tensor:
        """Embeddings of the tokens that stand for no patch, ``(P, D)``."""
        return self._normed(self.tokens)

    def patches(self, pixels: Tensor) -> Tensor:
        """Cut ``(B, C, H, W)`` into ``(B, N, C * patch^2)``.

        Raises
        ------
        UsageError
            For pixels of another size or type, and for NaN or infinity.
        """
        side = self.grid.pixels
        wanted = (self.channels, side, side)
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != wanted:
            raise UsageError(
                f"tower: pixels must be (streams, {self.channels}, {side}, {side}), "
                f"got {tuple(pixels.shape)}; use the model's own image processor"
            )
        if pixels.dtype != self.weight.dtype:
            raise UsageError(
                f"tower: pixels must be {self.weight.dtype} as the weights are, got {pixels.dtype};"
                " scale them as the model's image processor does, then convert"
            )
        if not bool(pixels.isfinite().all()):
            raise UsageError("tower: pixels hold NaN or infinity; leave the frame out or repair it")
        patch = self.grid.patch
        return functional.unfold(pixels, patch, stride=patch).transpose(1, 2)

    def forward(self, inputs: tuple[Tensor], index: Tensor | None = None) -> Tensor:
        """Embed the patches at ``index (B, k)``, or all of them, as ``(B, k, D)``."""
        patches = self.patches(inputs[0])
        position = self.position if index is None else self.position[index]
        chosen = patches if index is None else take_rows(patches, index)
        return self._normed(functional.linear(chosen, self.weight, self.bias) + position)

    def _normed(self, x: Tensor) -> Tensor:
        return x if self.norm is None else cast("Tensor", self.norm(x))


@dataclass(frozen=True)
class Watch:
    """How `SparseTower.watch` decides what to compute.

    Attributes
    ----------
    threshold
        Root mean square by which a patch differs from the frame it was computed on, in units of
        ``pixels``; see `neurovlm.sttf.change.frame_difference`.
    policy
        Limits. None: at most a sixth of the patches a frame, a quarter of these refreshed.
    """

    threshold: float = 0.1
    policy: PolicyConfig | None = None

    def limits(self, n_patches: int) -> PolicyConfig:
        """The policy for so many patches."""
        if self.policy is not None:
            return self.policy
        most = max(1, n_patches // 6)
        return PolicyConfig(max_active=most, n_refresh=most // 4, idle_refresh=min(1, most // 4))


class WatchState(NamedTuple):
    """What `SparseTower.watch` carries from frame to frame.

    Attributes
    ----------
    sttf
        Tokens, and what is owed to which patch.
    reference
        ``(B, N, C * patch^2)``, pixels each patch was last computed on.
    """

    sttf: SttfState
    reference: Tensor

    @property
    def computed(self) -> Tensor:
        """Patches computed in the last frame, bool ``(B, N)``; the others were reused."""
        return self.sttf.memory.age == 0


class SparseTower(SparseViT):
    """A vision tower of Hugging Face that computes the patches that changed.

    Made by `SparseViT.from_transformers`; ``dense`` and ``step`` take ``(pixels,)``, pixels as the
    model takes them, ``(B, C, H, W)``.
    """

    def __init__(self, config: EncoderConfig, embed: TowerEmbed, pooler: nn.Module | None) -> None:
        super().__init__(config, embed)
        self.pooler = pooler

    def pooled(self, memory: TokenMemory) -> Tensor:
        """What the model's own pooler makes of all tokens, remembered ones included, ``(B, D)``.

        Raises
        ------
        UsageError
            When the model has no pooler.
        """
        if self.pooler is None:
            raise UsageError("tower: this model has no pooler; read memory.tokens instead")
        return cast("Tensor", self.pooler(memory.tokens))

    @torch.no_grad()
    def watch(
        self, pixels: Tensor, state: WatchState | None = None, settings: Watch | None = None
    ) -> tuple[Tensor, WatchState]:
        """Take the next frame of each stream; compute what changed, reuse the rest.

        Parameters
        ----------
        pixels
            ``(B, C, H, W)`` as the model takes them.
        state
            Of the frame before, not changed; None at first, when everything is computed.
        settings
            When a patch has changed and how much may be computed; `Watch` by default.

        Returns
        -------
        tokens
            ``(B, R, D)``, as ``last_hidden_state`` of the model.
        state
            For the next frame; ``state.computed`` says what was.

        Raises
        ------
        UsageError
            For pixels the model does not take and the state of other streams or another model;
            before anything is computed.
        """
        settings = Watch() if settings is None else settings
        patches = cast("TowerEmbed", self.embed).patches(pixels)
        reference = patches if state is None else state.reference
        change = frame_difference(patches, reference, settings.threshold)
        policy = settings.limits(self.config.grid.n_patches)
        before = None if state is None else state.sttf
        out = encode_window(self, policy, (pixels,), change.changed, change.score, before)
        computed = out.state.memory.age == 0
        after = WatchState(out.state, renewed(reference, patches, computed))
        return out.state.memory.tokens, after
