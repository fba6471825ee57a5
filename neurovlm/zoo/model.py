"""SttfModel: encoder with token memory, label head and caption decoder, one window at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from neurovlm.core.errors import UsageError
from neurovlm.language.decoder import MicroGPT
from neurovlm.language.tokenizer import END, WordTokenizer
from neurovlm.sttf.boxes import BoxHead, Detections, decode
from neurovlm.sttf.embed import PatchEmbed
from neurovlm.sttf.engine import Engine
from neurovlm.sttf.head import HeadState, LabelHead
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.policy import PolicyState
from neurovlm.sttf.thresholds import ThresholdPolicy
from neurovlm.sttf.vit import SparseViT
from neurovlm.sttf.window import Encoded, Steering, SttfState, encode_window
from neurovlm.zoo.spec import ModelSpec


@dataclass(frozen=True, eq=False)
class ModelState:
    """All that one stream carries from window to window.

    Attributes
    ----------
    sttf
        Token memory and what the policy carries; None before the first window.
    head
        State of the label head.
    score
        ``(1, N)``, change score of the last window.
    probabilities
        ``(n_labels,)``, of the last window; uniform before the first.
    """

    sttf: SttfState | None
    head: HeadState
    score: Tensor
    probabilities: NDArray[np.float32]

    @property
    def memory(self) -> TokenMemory | None:
        """Token memory; None before the first window."""
        return None if self.sttf is None else self.sttf.memory

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays by name, ready for a file."""
        arrays = {
            "head.history": self.head.history.numpy(force=True).copy(),
            "head.hidden": self.head.hidden.numpy(force=True).copy(),
            "score": self.score.numpy(force=True).copy(),
            "probabilities": self.probabilities.copy(),
        }
        if self.sttf is None:
            return arrays
        policy = self.sttf.policy._asdict()
        return {
            **arrays,
            **{
                f"policy.{name}": tensor.numpy(force=True).copy() for name, tensor in policy.items()
            },
            **{f"memory.{name}": array for name, array in self.sttf.memory.to_arrays().items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ModelState:
        """Rebuild a state from `to_arrays`.

        Raises
        ------
        UsageError
            When an array is missing, naming it.
        """
        names = {"head.history", "head.hidden", "score", "probabilities"}
        if any(name.startswith(("policy.", "memory.")) for name in arrays):
            names |= {f"policy.{name}" for name in PolicyState._fields}
        missing = names - set(arrays)
        if missing:
            raise UsageError(f"ModelState: arrays lack {', '.join(sorted(missing))}")
        parts: dict[str, dict[str, NDArray[Any]]] = {"memory": {}, "policy": {}, "head": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = array
        policy = {name: torch.tensor(array) for name, array in parts["policy"].items()}
        return cls(
            sttf=SttfState(TokenMemory.from_arrays(parts["memory"]), PolicyState(**policy))
            if policy
            else None,
            head=HeadState(**{name: torch.tensor(each) for name, each in parts["head"].items()}),
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
    uncertain, refreshed
        int64, the parts of ``active`` that did not change but had drifted, by the estimate, or
        were the oldest.
    dense
        Whether all tokens were computed without gate and merge.
    n_rows
        Rows computed by each layer, prefix tokens included.
    """

    probabilities: NDArray[np.float32]
    active: NDArray[np.int64]
    uncertain: NDArray[np.int64]
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
        self.thresholds = (
            None
            if spec.thresholds is None
            else ThresholdPolicy(spec.thresholds, spec.encoder.depth)
        )
        self.boxes = (
            None if spec.boxes is None else BoxHead(spec.boxes, spec.encoder.dim, spec.encoder.grid)
        )
        self.decoder = MicroGPT(
            spec.decoder, len(self.tokenizer), spec.encoder.dim, spec.head.state_dim
        )

    @property
    def frame_pixels(self) -> int:
        """Side of a frame."""
        return cast("PatchEmbed", self.encoder.embed).frame_pixels

    def init_state(self) -> ModelState:
        """State of a stream before its first window."""
        n_labels = len(self.spec.labels)
        return ModelState(
            sttf=None,
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
        engine: Engine | None = None,
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
        engine
            Runs the encoder's layers; built from this model's encoder.

        Raises
        ------
        UsageError
            When an input is missing, not finite, negative or of the wrong shape, or the state is
            another model's; the state given stays as it was.
        """
        counts_, frame_, changed_, score_ = self._check(counts, frame, changed, score)
        self._check_state(state)
        encoded = encode_window(
            self.encoder if engine is None else engine,
            self.spec.policy,
            (counts_, frame_),
            changed_,
            score_,
            state.sttf,
            dense=dense,
            steering=self.steering(counts_, torch.from_numpy(state.probabilities)[None]),
        )
        output, head = self._read(encoded, score_, state)
        return output, ModelState(encoded.state, head, score_, output.probabilities.copy())

    def steering(self, counts: Tensor, probabilities: Tensor) -> Steering | None:
        """What the threshold policy goes by; None without one.

        Parameters
        ----------
        counts
            ``(B, C, pixels, pixels)`` of this window.
        probabilities
            ``(B, n_labels)`` after the last one.
        """
        if self.thresholds is None:
            return None
        doubt = torch.special.entr(probabilities).sum(-1) / math.log(probabilities.shape[-1])
        return Steering(
            thresholds=self.thresholds,
            events=counts[:, :2].sum(dim=(1, 2, 3), dtype=torch.int64),
            doubt=doubt,
            budget=torch.full_like(doubt, self.spec.policy.budget),
        )

    def _read(
        self, encoded: Encoded, score: Tensor, state: ModelState
    ) -> tuple[StepOutput, HeadState]:
        """Label of the window; where nothing was computed it stays as it was."""
        dense = bool(encoded.dense)
        rows = tuple(encoded.n_rows[0].tolist())
        chosen = encoded.selection
        active = chosen.index[0].numpy().copy()
        first = int(chosen.n_changed)
        last = first + int(chosen.n_uncertain)
        probabilities, head = state.probabilities.copy(), state.head
        if len(active):
            observed = self.head.observe(encoded.state, score)
            hidden, head = self.head.advance(observed[:, None], state.head)
            probabilities = self.head.label(hidden[:, -1]).softmax(-1)[0].numpy().copy()
        output = StepOutput(probabilities, active, active[first:last], active[last:], dense, rows)
        return output, head

    def _check(
        self, counts: ArrayLike, frame: ArrayLike | None, changed: ArrayLike, score: ArrayLike
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        if counts is None:
            raise UsageError(
                "step: counts are missing; the model sees by events, give zeros where none came"
            )
        encoder = self.spec.encoder
        pixels, n = encoder.grid.pixels, encoder.grid.n_patches
        side = self.frame_pixels
        return (
            _as_batch(counts, "counts", (encoder.channels, pixels, pixels)),
            None if frame is None else _as_batch(frame, "frame", (side, side, 3)),
            _as_batch(changed, "changed", (n,)).bool(),
            _as_batch(score, "score", (n,)),
        )

    def _check_state(self, state: ModelState) -> None:
        head, n_labels = self.spec.head, len(self.spec.labels)
        wanted = ((1, head.taps[-1], head.observed_dim), (1, head.state_dim), (n_labels,))
        parts = (state.head.history, state.head.hidden, state.probabilities)
        found = tuple(tuple(part.shape) for part in parts)
        if found != wanted:
            raise UsageError(
                f"step: the state is of another model: history, hidden and probabilities are "
                f"{found}, this model has {wanted}; start the stream anew"
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
        if state.sttf is None:
            raise UsageError("caption: no window has been seen yet; step() at least once first")
        context = self.decoder.context(
            state.head.hidden, state.sttf.memory.patches, state.score, state.sttf.memory.age
        )
        ids, probabilities = self.decoder.generate(context)
        words = ids[0].tolist()
        length = words.index(END) + 1 if END in words else len(words)
        confidence = float(probabilities[0, :length].log().mean().exp())
        return self.tokenizer.decode(words), confidence

    @torch.no_grad()
    def find(self, state: ModelState, min_score: float = 0.3) -> Detections:
        """Draw a box around each thing that is seen, at most one a class.

        Raises
        ------
        UsageError
            Before the first window, or when the model has no box head.
        """
        if self.boxes is None:
            raise UsageError(f"find: the model {self.spec.name!r} has no box head")
        if state.sttf is None:
            raise UsageError("find: no window has been seen yet; step() at least once first")
        output = self.boxes(state.sttf.memory.patches)
        return decode(output, self.spec.encoder.grid, min_score=min_score)[0]


def take_weights(model: SttfModel, other: SttfModel) -> list[str]:
    """Give ``model`` the weights of ``other`` whose names and shapes are the same.

    Returns
    -------
    Names of the weights that stay as they were.
    """
    own, theirs = model.state_dict(), other.state_dict()
    fits = {k: v for k, v in theirs.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict({**own, **fits})
    return sorted(set(own) - set(fits))


def with_spec(model: SttfModel, spec: ModelSpec) -> SttfModel:
    """The same weights in another model; parts they do not fit start as they are built."""
    other = SttfModel(spec)
    take_weights(other, model)
    return other.eval()


def _as_batch(values: ArrayLike, name: str, shape: tuple[int, ...]) -> Tensor:
    """Own copy with a batch axis of one."""
    array = np.array(values)
    if array.shape != shape:
        raise UsageError(f"step: {name} must be {shape}, got {array.shape}")
    if array.dtype.kind not in "biuf":
        raise UsageError(f"step: {name} must be numbers, got {array.dtype}")
    if array.dtype.kind in "if" and not (array >= 0).all():
        raise UsageError(f"step: {name} must be at least 0 everywhere, got {array.min():g}")
    return torch.from_numpy(array)[None]
