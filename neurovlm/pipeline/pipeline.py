"""The pipeline: ``step(window, state) -> (StepResult, state)``; ``run`` is a loop over it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.events.io import Frame, Recording
from neurovlm.events.stream import EventStream
from neurovlm.events.windows import Window
from neurovlm.frontend.detect import Frontend, FrontendResult
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.pipeline.collect import Collector
from neurovlm.pipeline.config import RunConfig, make_config
from neurovlm.pipeline.frames import FrameClock
from neurovlm.pipeline.result import RecordingInfo, RunResult
from neurovlm.pipeline.state import PipelineState, load_state, save_state
from neurovlm.spiking.simulate import window_traces
from neurovlm.spiking.trace import Trace
from neurovlm.sttf.engine import Engine, build_named
from neurovlm.zoo.load import load as load_model
from neurovlm.zoo.model import StepOutput, SttfModel
from neurovlm.zoo.spec import ModelSpec, config_from_mapping

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class StepResult:
    """What one window gave.

    Attributes
    ----------
    frontend
        Mask, counts and spikes of this window (arrays with one row).
    output
        Label probabilities and which tokens were computed.
    """

    frontend: FrontendResult
    output: StepOutput


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A model with its front end and settings."""

    model: SttfModel
    config: RunConfig
    detector: DetectorConfig

    @classmethod
    def load(cls, model: str = "sttf-tiny", **settings: Any) -> Pipeline:
        """Load a model of the zoo, or one from a path.

        ``settings`` are fields of `RunConfig` or `DetectorConfig`, for example
        ``backend="lava"`` or ``detector_threshold=120``.
        """
        return cls.from_config(_apply(RunConfig(model=model), settings))

    @classmethod
    def from_config(cls, config: RunConfig) -> Pipeline:
        """Load what ``config`` names."""
        model, card = load_model(config.model)
        if config.spec:
            model = _with_spec(model, config.spec)
        return cls(model, config, dataclasses.replace(card.detector, **config.detector))

    def using(self, **settings: Any) -> Pipeline:
        """The same pipeline with other settings, named as in `load`.

        Fields of ``spec`` and ``detector`` are laid over those changed before; another ``model``
        is loaded.
        """
        config = _apply(self.config, settings)
        if config.model != self.config.model:
            return Pipeline.from_config(config)
        same = config.spec == self.config.spec
        model = self.model if same else _with_spec(self.model, config.spec)
        return Pipeline(model, config, dataclasses.replace(self.detector, **config.detector))

    @cached_property
    def frontend(self) -> Frontend:
        """The spiking front end these settings ask for."""
        c = self.config
        return Frontend.build(
            self.detector,
            detector=c.detector_name,
            backend=c.backend,
            precision=c.precision,
            window_ms=c.window_ms,
            grid=self.model.spec.encoder.grid,
        )

    @cached_property
    def engine(self) -> Engine | None:
        """What runs the encoder's layers; None: the encoder itself."""
        return build_named(self.config.engine, self.model.encoder)

    def start(self) -> PipelineState:
        """State before the first window."""
        return PipelineState(self.frontend.start(), self.model.init_state())

    def save_state(self, path: str | Path, state: PipelineState) -> None:
        """Write a state into one safetensors file, whole or not at all."""
        save_state(Path(path), state, self.model, self.frontend)

    def load_state(self, path: str | Path) -> PipelineState:
        """Read a state that this model and front end saved; the next step is the same to the bit.

        Raises
        ------
        InputFileError
            When the file cannot be read, is damaged, or belongs to another model or front end.
        """
        return load_state(Path(path), self.model, self.frontend)

    def step(
        self, window: Window, state: PipelineState, frame: NDArray[np.uint8] | None = None
    ) -> tuple[StepResult, PipelineState]:
        """Take one window; ``frame`` is RGB ``(224, 224, 3)``. Needs a backend that resumes.

        Raises
        ------
        UsageError
            When the window starts before the last one ended, or an input has the wrong shape;
            the state is as good as before.
        """
        if state.t_us is not None and window.t0_us < state.t_us:
            raise UsageError(
                f"step: the window starts at {window.t0_us} us, before the last one ended at "
                f"{state.t_us} us; give windows in time order, or start() another stream"
            )
        frontend = self.frontend
        spikes = frontend.encode(window, self.config.fit)
        seen, network = frontend.step(spikes, state.frontend)
        output, model = self.model.step(
            seen.counts[0],
            frame,
            seen.mask.changed[0],
            seen.mask.score[0],
            state.model,
            engine=self.engine,
        )
        return StepResult(seen, output), PipelineState(network, model, window.t1_us)

    def run(
        self,
        source: EventStream | Recording,
        *,
        frames: Iterable[Frame] | None = None,
        dense: bool = False,
        progress: Progress | None = None,
        **settings: Any,
    ) -> RunResult:
        """Run over a whole recording.

        Parameters
        ----------
        source
            Events in memory, or a recording, which is read in bounded memory.
        frames
            Intensity frames in time order; those of the recording by default.
        dense
            Compute every token in every window: the dense twin.
        progress
            Called with the number of windows done.
        settings
            As in `using`, for this run only.

        Raises
        ------
        UsageError
            For a stream without events.
        """
        if settings:
            return self.using(**settings).run(source, frames=frames, dense=dense, progress=progress)
        frontend = self.frontend
        if frames is None:
            has = isinstance(source, Recording) and source.has_frames
            frames = source.frames() if has else ()  # type: ignore[union-attr]
        clock = FrameClock(frames, self.config.fit, self.model.frame_pixels)
        collector = Collector(self.model, self.config)
        state = self.model.init_state()
        counter = _Counter(source)
        seen = _Seen(frontend, self.config, counter)
        for t1_us, result in seen.windows():
            frame = clock.before(t1_us)
            changed, score = result.mask.changed[0], result.mask.score[0]
            counts = result.counts[0]
            output, state = self.model.step(
                counts, frame, changed, score, state, dense=dense, engine=self.engine
            )
            collector.add(result, output, frame, state, t1_us - counter.t_first_us)
            if progress is not None:
                progress(collector.n_windows)
        info = counter.info(self.config.window_ms, self.model.spec.window_ms)
        return collector.finish(state, seen.trace(), info, self.detector)


class _Counter:
    """Passes chunks on and notes how many events went by."""

    def __init__(self, source: EventStream | Recording) -> None:
        self._source = source
        self.n_events = 0
        self.t_first_us = 0
        self.t_last_us = 0

    def chunks(self) -> Iterator[EventStream]:
        source = self._source
        for chunk in [source] if isinstance(source, EventStream) else source.chunks():
            if not len(chunk):
                continue
            if not self.n_events:
                self.t_first_us = int(chunk.t[0])
            self.n_events += len(chunk)
            self.t_last_us = int(chunk.t[-1])
            yield chunk
        if not self.n_events:
            raise UsageError("run: the stream holds no events; give a recording with events")

    def info(self, window_ms: float, trained_ms: float) -> RecordingInfo:
        source = self._source
        duration_us = self.t_last_us - self.t_first_us + 1
        notes: tuple[str, ...] = ()
        if duration_us < window_ms * 1e3:
            notes += (
                f"the recording lasts {duration_us / 1e3:g} ms, less than one window of "
                f"{window_ms:g} ms: it was padded to one window",
            )
        if window_ms != trained_ms:
            notes += (
                f"the model was trained on windows of {trained_ms:g} ms; labels and captions at "
                f"{window_ms:g} ms are less sure",
            )
        if isinstance(source, EventStream):
            return RecordingInfo(
                "(in memory)", "events", source.sensor, self.n_events, duration_us / 1e6, notes
            )
        return RecordingInfo(
            str(source.path),
            source.format,
            source.sensor,
            self.n_events,
            duration_us / 1e6,
            source.notes + notes,
        )


class _Seen:
    """What the front end saw, window by window, whatever the backend can do."""

    def __init__(self, frontend: Frontend, config: RunConfig, counter: _Counter) -> None:
        self._frontend = frontend
        self._config = config
        self._counter = counter
        self._parts: list[Trace] = []

    def windows(self) -> Iterator[tuple[int, FrontendResult]]:
        """End of each window in us, with its one-row result."""
        if self._frontend.backend.capabilities.resumes:
            return self._resumed()
        return self._at_once()

    def trace(self) -> Trace:
        """Spikes of the whole run, trailing ticks included."""
        return Trace.join(self._parts)

    def _resumed(self) -> Iterator[tuple[int, FrontendResult]]:
        frontend = self._frontend
        for t1_us, trace in window_traces(
            frontend.graph,
            frontend.backend,
            self._counter.chunks(),
            window_ticks=frontend.window_ticks,
            fit=self._config.fit,
        ):
            # the state and the input are most of a trace, and would outgrow the spikes
            self._parts.append(dataclasses.replace(trace, state=None).without_input())
            if t1_us is not None:
                yield t1_us, frontend.read_out(trace)

    def _at_once(self) -> Iterator[tuple[int, FrontendResult]]:
        stream = EventStream.join(list(self._counter.chunks()))
        whole = self._frontend.run(stream, self._config.fit)
        self._parts.append(whole.trace.without_input())
        for k in range(len(whole.mask)):
            t1_us = int(stream.t[0]) + (k + 1) * self._frontend.window_us
            yield t1_us, whole.window(k)


def _with_spec(model: SttfModel, changes: Mapping[str, Any]) -> SttfModel:
    """The same weights under a changed spec; only what the weights do not fix may change."""
    merged = _merged(model.spec.to_mapping(), changes)
    changed = SttfModel(config_from_mapping(ModelSpec, merged, "spec"))
    try:
        changed.load_state_dict(model.state_dict())
    except RuntimeError as error:
        detail = " ".join(str(error).split()[:24])
        raise UsageError(
            f"spec: the trained weights of {model.spec.name!r} do not fit the changed fields; "
            f"train a model for them or leave its shapes alone ({detail} ...)"
        ) from error
    return changed.eval()


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            value = _merged(inner, value)
        merged[key] = value
    return merged


def _apply(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """Settings by name: detector fields go into the detector, all others into the config."""
    names = {f.name for f in dataclasses.fields(DetectorConfig)}
    detector = {key: value for key, value in settings.items() if key in names}
    others = {key: value for key, value in settings.items() if key not in names}
    if detector:
        others["detector"] = {**others.get("detector", {}), **detector}
    given = make_config(others, where="settings")
    changes = {key: getattr(given, key) for key in others}
    changes["detector"] = {**config.detector, **given.detector}
    changes["spec"] = _merged(config.spec, given.spec)
    return dataclasses.replace(config, **changes)
