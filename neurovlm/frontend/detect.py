"""Events in, changed patches and per-pixel counts out, window by window.

Window w covers ticks ``[w W, (w + 1) W)``. A patch is changed when the read-out fired in the
window's last tick; its score is the number of read-out spikes in the window. After the last
window the graph runs on for its depth in ticks, so that the last spikes come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import Fit, PatchGrid
from neurovlm.core.mask import ChangeMask
from neurovlm.events.stream import EventStream
from neurovlm.events.windows import Window
from neurovlm.frontend.detector import DetectorConfig, change_detector
from neurovlm.frontend.learned import learned_detector
from neurovlm.spiking.backends.base import Backend, get_backend, initial_state
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.simulate import encode_whole, encode_window, end_state
from neurovlm.spiking.trace import NetworkState, Trace
from neurovlm.spiking.train import SpikeTrain

DetectorName = Literal["hand", "learned"]
DETECTORS: tuple[DetectorName, ...] = ("hand", "learned")
FILTER = "F"
CHANNELS = 3  # OFF events, ON events, support-filter spikes


@dataclass(frozen=True, eq=False)
class FrontendResult:
    """What the tokens are made from.

    Attributes
    ----------
    mask
        Changed patches per window.
    counts
        uint8 ``(n_windows, 3, pixels, pixels)``: OFF events, ON events and filter spikes per
        pixel; a window has at most 255 ticks, so nothing is cut off.
    trace
        Spikes and counts of every population.
    """

    mask: ChangeMask
    counts: NDArray[np.uint8]
    trace: Trace

    def window(self, k: int) -> FrontendResult:
        """Mask and counts of window ``k`` as a result of one row; the trace stays whole."""
        row = slice(k, k + 1)
        mask = ChangeMask(self.mask.changed[row], self.mask.score[row], self.mask.grid)
        return FrontendResult(mask, self.counts[row], self.trace)


@dataclass(frozen=True)
class Frontend:
    """A detector graph with the grid, window and backend it runs on.

    ``step`` runs one window from a state; backends that cannot resume (Lava) run all windows at
    once through ``run``.
    """

    graph: SpikingGraph
    grid: PatchGrid
    window_ticks: int = 25
    backend_name: str = "fast"

    def __post_init__(self) -> None:
        if not 1 <= self.window_ticks <= 255:
            raise UsageError(f"a window must have 1 to 255 ticks, got {self.window_ticks}")

    @classmethod
    def build(
        cls,
        config: DetectorConfig | None = None,
        *,
        detector: DetectorName = "hand",
        backend: str = "fast",
        precision: Precision | str = Precision.LOIHI,
        window_ms: float = 25.0,
        grid: PatchGrid | None = None,
    ) -> Frontend:
        """Change detector on ``backend`` with windows of ``window_ms``.

        Parameters
        ----------
        config
            Constants of the detector set by hand; the learned one takes those of F from here.
        detector
            ``"hand"`` (`change_detector`) or ``"learned"`` (`learned_detector`).

        Raises
        ------
        UsageError
            When the window is no whole number of ticks, or for an unknown detector.
        """
        grid = PatchGrid() if grid is None else grid
        if detector == "hand":
            graph = change_detector(config, grid=grid, precision=precision)
        elif detector == "learned":
            graph = learned_detector(filter_config=config, grid=grid, precision=precision)
        else:
            raise UsageError(f"detector must be one of {', '.join(DETECTORS)}, got {detector!r}")
        ticks = window_ms / 1e3 / graph.dynamics.dt_s
        if abs(ticks - round(ticks)) > 1e-9:
            raise UsageError(
                f"--window-ms must be a multiple of the tick ({graph.dynamics.dt_s * 1e3:g} ms), "
                f"got {window_ms:g}"
            )
        return cls(graph, grid, round(ticks), backend)

    @property
    def window_us(self) -> int:
        """Microseconds per window."""
        return self.window_ticks * self.graph.dynamics.dt_us

    @cached_property
    def backend(self) -> Backend:
        """The engine that runs the graph."""
        return get_backend(self.backend_name)

    def start(self) -> NetworkState:
        """State before the first window."""
        return initial_state(self.graph)

    def encode(self, window: Window, fit: Fit = "crop") -> SpikeTrain:
        """Input spikes of one window."""
        return encode_window(self.graph, window, self.window_ticks, fit)

    def step(self, spikes: SpikeTrain, state: NetworkState) -> tuple[FrontendResult, NetworkState]:
        """Run whole windows from ``state``; no trailing ticks."""
        trace = self.backend.run(self.graph, spikes, state)
        return self.read_out(trace), end_state(self.backend, trace)

    def run(self, stream: EventStream, fit: Fit = "crop") -> FrontendResult:
        """Run a whole stream from silence, the trailing ticks included."""
        spikes = encode_whole(self.graph, [stream], window_ticks=self.window_ticks, fit=fit)
        return self.read_out(self.backend.run(self.graph, spikes))

    def read_out(self, trace: Trace) -> FrontendResult:
        """Mask and counts of the whole windows in ``trace``."""
        changed, score = read_mask(trace.out, self.window_ticks)
        events = trace.input.counts(self.window_ticks)
        filtered = trace.spikes[FILTER].counts(self.window_ticks)
        counts = np.concatenate([events, filtered], axis=1).astype(np.uint8)
        return FrontendResult(ChangeMask(changed, score, self.grid), counts, trace)


def read_mask(
    readout: SpikeTrain, window_ticks: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """``changed`` and ``score``, both ``(n_windows, n_neurons)``, from the read-out's spikes."""
    n_windows = readout.n_ticks // window_ticks
    score = readout.counts(window_ticks).reshape(n_windows, readout.n_neurons)
    last = readout.tick % window_ticks == window_ticks - 1
    last &= readout.tick < n_windows * window_ticks
    changed = np.zeros_like(score, dtype=np.bool_)
    changed[readout.tick[last] // window_ticks, readout.neuron[last]] = True
    return changed, score


def detect(
    stream: EventStream,
    config: DetectorConfig | None = None,
    *,
    detector: DetectorName = "hand",
    backend: str = "fast",
    fit: Fit = "crop",
) -> FrontendResult:
    """Run a front end over a whole stream in windows of 25 ms."""
    return Frontend.build(config, detector=detector, backend=backend).run(stream, fit)
