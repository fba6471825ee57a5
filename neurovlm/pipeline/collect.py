"""Gathers what the windows of a run gave."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hw_models import Workload
from neurovlm.core.mask import ChangeMask
from neurovlm.counting.spiking_ops import spiking_layers
from neurovlm.frontend.detect import FrontendResult
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.pipeline.config import RunConfig
from neurovlm.pipeline.result import Prediction, RecordingInfo, RunResult, Snapshot
from neurovlm.pipeline.work import StepKind, model_layers
from neurovlm.spiking.trace import Trace
from neurovlm.sttf.boxes import Detections
from neurovlm.sttf.memory import TokenMemory
from neurovlm.zoo.model import ModelState, StepOutput, SttfModel

MAX_SNAPSHOTS = 16


class _Few:
    """At most `MAX_SNAPSHOTS` of ever more windows, evenly spaced; what is dropped is freed."""

    def __init__(self) -> None:
        self.kept: list[Snapshot] = []
        self._stride = 1
        self._n_seen = 0

    def add(self, snapshot: Snapshot) -> None:
        if self._n_seen % self._stride == 0:
            self.kept.append(snapshot)
        self._n_seen += 1
        if len(self.kept) > MAX_SNAPSHOTS:
            self._stride *= 2
            self.kept = self.kept[::2]


class Collector:
    """Rows per window, captions when they are due, snapshots thinned as the run grows."""

    def __init__(self, model: SttfModel, config: RunConfig) -> None:
        self._model = model
        self._config = config
        self._masks: list[ChangeMask] = []
        self._outputs: list[StepOutput] = []
        self._events: list[NDArray[np.int64]] = []
        self._steps: Counter[StepKind] = Counter()
        self._captions: Counter[int] = Counter()
        self._predictions: list[Prediction] = []
        self._snapshots, self._sightings = _Few(), _Few()
        self._told: tuple[Tensor, Tensor] | None = None
        self._t_us = 0

    @property
    def n_windows(self) -> int:
        """Windows so far."""
        return len(self._outputs)

    def add(
        self,
        result: FrontendResult,
        output: StepOutput,
        frame: NDArray[np.uint8] | None,
        state: ModelState,
        t_us: int,
    ) -> None:
        """Take one window; ``t_us`` is its end, counted from the first event."""
        index = self.n_windows
        grid = result.mask.grid
        events = result.counts[:, :2].astype(np.int64)
        self._events.append(grid.to_patches(events)[0].sum(axis=1))
        self._masks.append(result.mask)
        self._outputs.append(output)
        kind = StepKind(len(output.active), output.dense, frame is not None, output.n_rows)
        self._steps[kind] += 1
        self._last = Snapshot(index, result.counts[0], frame)
        self._snapshots.add(self._last)
        self._t_us = t_us
        if (index + 1) % self._config.caption_every == 0:
            self._caption(state)

    def _caption(self, state: ModelState) -> None:
        """Decode only when what the decoder reads moved since it last did; else repeat it."""
        best = int(np.argmax(state.probabilities))
        read = _gist(state)
        decode = self._told is None or _moved(self._told, read) > self._config.caption_eps
        if decode:
            self._told = read
            text, confidence = self._model.caption(state)
            with_end = len(text.split()) + 1  # a caption cut off at the longest length has no end
            self._captions[min(with_end, self._model.spec.decoder.max_words)] += 1
            found = self._find(state)
        else:
            last = self._predictions[-1]
            text, confidence, found = last.caption, last.caption_confidence, last.found
        self._predictions.append(
            Prediction(
                self._t_us,
                self._model.spec.labels[best],
                float(state.probabilities[best]),
                text,
                confidence,
                repeated=not decode,
                found=found,
            )
        )

    def _find(self, state: ModelState) -> Detections | None:
        if self._model.boxes is None:
            return None
        found = self._model.find(state)
        self._sightings.add(dataclasses.replace(self._last, found=found))
        return found

    def finish(
        self, state: ModelState, trace: Trace, recording: RecordingInfo, detector: DetectorConfig
    ) -> RunResult:
        """Caption the last window and put everything together."""
        if not self._predictions or self._predictions[-1].t_us != self._t_us:
            self._caption(state)
        spec, n = self._model.spec, self._model.spec.encoder.grid.n_patches
        active = np.zeros((self.n_windows, n), np.bool_)
        refreshed = np.zeros_like(active)
        for row, output in enumerate(self._outputs):
            active[row, output.active] = True
            refreshed[row, output.refreshed] = True
        workload = Workload(
            name=recording.path,
            inferences=self.n_windows,
            window_ms=self._config.window_ms,
            layers=spiking_layers(trace) + model_layers(spec, self._steps, self._captions),
            ticks=trace.n_ticks,
            params=sum(each.numel() for each in self._model.parameters()),
            notes=("the dense twin keeps the same spiking front end",),
        )
        return RunResult(
            recording=recording,
            config=dataclasses.replace(
                self._config, detector=dataclasses.asdict(detector), spec=spec.to_mapping()
            ),
            spec=spec,
            mask=ChangeMask(
                np.concatenate([mask.changed for mask in self._masks]),
                np.concatenate([mask.score for mask in self._masks]),
                self._masks[0].grid,
            ),
            active=active,
            refreshed=refreshed,
            dense=np.array([output.dense for output in self._outputs]),
            probabilities=np.stack([output.probabilities for output in self._outputs]),
            events=np.stack(self._events),
            predictions=tuple(self._predictions),
            snapshots=tuple(self._snapshots.kept),
            sightings=tuple(self._sightings.kept),
            trace=trace,
            workload=workload,
        )


def _gist(state: ModelState) -> tuple[Tensor, Tensor]:
    """What a caption is about in short: mean of the token memory, recurrent state."""
    memory = cast("TokenMemory", state.memory)
    return memory.patches.mean(1), state.head.hidden


def _moved(before: tuple[Tensor, Tensor], now: tuple[Tensor, Tensor]) -> float:
    """The larger of the two relative distances."""
    return max(
        float((new - old).norm() / old.norm().clamp(min=1e-12))
        for old, new in zip(before, now, strict=True)
    )
