"""SttfModel: encoder with token memory, label head and caption decoder, one window at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from neurovlm.core.errors import UsageError
from neurovlm.language.decoder import MicroGPT
from neurovlm.language.tokenizer import END, WordTokenizer
from neurovlm.sttf.head import HeadState, LabelHead
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.policy import is_scene_cut, select
from neurovlm.sttf.vit import SparseViT
from neurovlm.zoo.spec import ModelSpec


@dataclass(frozen=True, eq=False)
class ModelState:
    """All that one stream carries from window to window.

    Attributes
    ----------
    memory
        Token memory; None before the first window.
    head
        State of the label head.
    score
        ``(1, N)``, change score of the last window.
    probabilities
        ``(n_labels,)``, of the last window; uniform before the first.
    """

    memory: TokenMemory | None
    head: HeadState
    score: Tensor
    probabilities: NDArray[np.float32]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays by name, ready for ``np.savez``."""
        memory = {} if self.memory is None else self.memory.to_arrays()
        return {
            "head.history": self.head.history.numpy(force=True).copy(),
            "head.hidden": self.head.hidden.numpy(force=True).copy(),
            "score": self.score.numpy(force=True).copy(),
            "probabilities": self.probabilities.copy(),
            **{f"memory.{name}": array for name, array in memory.items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ModelState:
        """Rebuild a state from `to_arrays`."""
        prefix = "memory."
        memory = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        return cls(
            memory=TokenMemory.from_arrays(memory) if memory else None,
            head=HeadState(
                torch.tensor(arrays["head.history"]), torch.tensor(arrays["head.hidden"])
            ),
            score=torch.tensor(arrays["score"]),
            probabilities=np.array(arrays["probabilities"]),
        )


@dataclass(frozen=True, eq=False)
class StepOutput:
    """What one window gave.

    Attributes
    ----------
    probabilities
        float32 ``(n_labels,)``.
    active
        int64, patches computed, refreshed ones included; all of them in a dense step.
    refreshed
        int64, the part of ``active`` that did not change but was due.
    dense
        Whether all tokens were computed without gate and merge.
    n_rows
        Tokens computed by each layer.
    """

    probabilities: NDArray[np.float32]
    active: NDArray[np.int64]
    refreshed: NDArray[np.int64]
    dense: bool
    n_rows: tuple[int, ...]


class SttfModel(nn.Module):
    """A model of the zoo; `neurovlm.zoo.load.load` gives one with trained weights."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.tokenizer = WordTokenizer(spec.words)
        self.encoder = SparseViT(spec.encoder)
        self.head = LabelHead(
            spec.head, spec.encoder.dim, spec.encoder.grid.n_patches, len(spec.labels)
        )
        self.decoder = MicroGPT(
            spec.decoder, len(self.tokenizer), spec.encoder.dim, spec.head.state_dim
        )

    def init_state(self) -> ModelState:
        """State of a stream before its first window."""
        n_labels = len(self.spec.labels)
        return ModelState(
            memory=None,
            head=self.head.initial(1),
            score=torch.zeros(1, self.spec.encoder.grid.n_patches),
            probabilities=np.full(n_labels, 1 / n_labels, np.float32),
        )

    @torch.no_grad()
    def step(
        self,
        counts: ArrayLike,
        frame: ArrayLike | None,
        changed: ArrayLike,
        score: ArrayLike,
        state: ModelState,
        *,
        dense: bool = False,
    ) -> tuple[StepOutput, ModelState]:
        """Take one window of one stream.

        Parameters
        ----------
        counts
            uint8 ``(C, pixels, pixels)``.
        frame
            uint8 RGB ``(224, 224, 3)``, or None.
        changed, score
            ``(N,)``, a row of a `neurovlm.core.mask.ChangeMask`.
        state
            State before the window; not changed.
        dense
            Compute all tokens whatever changed. In every window this makes the dense twin.

        Raises
        ------
        UsageError
            When an input has the wrong shape.
        """
        window = self._check(counts, frame, changed, score)
        memory, active, n_changed, is_dense, n_rows = self._encode(*window, state.memory, dense)
        scores = window[3]
        if len(active) == 0:
            output = StepOutput(state.probabilities.copy(), active, active, False, n_rows)
            return output, ModelState(memory, state.head, scores, state.probabilities)
        observed = self.head.observe(memory, scores)
        hidden, head = self.head.advance(observed[:, None], state.head)
        probabilities = self.head.label(hidden[:, -1]).softmax(-1)[0].numpy()
        output = StepOutput(probabilities.copy(), active, active[n_changed:], is_dense, n_rows)
        return output, ModelState(memory, head, scores, probabilities)

    def _encode(
        self,
        counts: Tensor,
        frame: Tensor | None,
        changed: Tensor,
        score: Tensor,
        memory: TokenMemory | None,
        dense: bool,
    ) -> tuple[TokenMemory, NDArray[np.int64], int, bool, tuple[int, ...]]:
        policy = self.spec.policy
        if memory is None or dense or bool(is_scene_cut(changed, policy.scene_cut_share)):
            n = changed.shape[-1]
            rows = (n,) * self.spec.encoder.depth
            return self.encoder.dense(counts, frame), np.arange(n), n, True, rows
        chosen = select(changed, score, memory.age, policy.max_active, policy.n_refresh)
        memory, n_rows = self.encoder.step(counts, frame, chosen.index, chosen.valid, memory)
        active = chosen.index[0].numpy().copy()
        return memory, active, int(chosen.n_changed), False, tuple(n_rows[0].tolist())

    def _check(
        self, counts: ArrayLike, frame: ArrayLike | None, changed: ArrayLike, score: ArrayLike
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        encoder = self.spec.encoder
        pixels, n = encoder.grid.pixels, encoder.grid.n_patches
        side = self.encoder.embed.frame_pixels
        return (
            _as_batch(counts, "counts", (encoder.channels, pixels, pixels)),
            None if frame is None else _as_batch(frame, "frame", (side, side, 3)),
            _as_batch(changed, "changed", (n,)).bool(),
            _as_batch(score, "score", (n,)),
        )

    @torch.no_grad()
    def caption(self, state: ModelState) -> tuple[str, float]:
        """Say what is seen.

        Returns
        -------
        text
            The caption.
        confidence
            Geometric mean of the probabilities of its words, the end included.

        Raises
        ------
        UsageError
            Before the first window.
        """
        if state.memory is None:
            raise UsageError("caption: no window has been seen yet; step() at least once first")
        context = self.decoder.context(
            state.head.hidden, state.memory.tokens, state.score, state.memory.age
        )
        ids, probabilities = self.decoder.generate(context)
        words = ids[0].tolist()
        length = words.index(END) + 1 if END in words else len(words)
        confidence = float(probabilities[0, :length].log().mean().exp())
        return self.tokenizer.decode(words), confidence


def _as_batch(values: ArrayLike, name: str, shape: tuple[int, ...]) -> Tensor:
    """Own copy with a batch axis of one."""
    array = np.array(values)
    if array.shape != shape:
        raise UsageError(f"step: {name} must be {shape}, got {array.shape}")
    return torch.from_numpy(array)[None]
