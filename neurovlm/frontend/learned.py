"""The learned change detector: a small spiking convolutional network with trained constants.

Every arrow is one connection and one tick; X has ``X_PER_PATCH`` cells per side of a patch, all
others but F have one neuron per patch and channel::

    input -> F         support filter as in `neurovlm.frontend.detector`: the tokens read it
    F -> S             leaky counts of F over a patch at five levels, set by hand
    input -> X*        leaky sums of nearby events, one population per time constant
    input -> P*        leaky sums over a patch and its border, one population per time constant
    input -> G         noise meter: slow leaky counts at five levels, set by hand
    X*, P*, G, S -> Y  what they mean together
    Y, P*, G, S -> H   read-out

In X, P, G and S the current leaks slowly and the voltage forgets within the tick, so that a neuron
fires in every tick in which its leaky sum lies above the threshold. Y and H forget both within the
tick: they speak of this moment only, and so does the mask, which is H in the last tick of a window.

Weights of both signs between two populations are two nodes, one excitatory, one inhibitory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from zipfile import BadZipFile

import nir
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.frontend.detector import DetectorConfig, support_filter
from neurovlm.frontend.nodes import conv, neurons
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.graph import SpikingGraph

WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "learned-detector.npz"
"""Kernels of the shipped detector; its card lies beside it as JSON."""

X_PER_PATCH = 3
KERNELS = (
    "input_X", "input_P", "X_Y", "P_Y", "G_Y", "S_Y", "Y_H", "P_H", "G_H", "S_H",
)  # fmt: skip


@dataclass(frozen=True)
class Meter:
    """A population that counts what a patch sends at several levels: weights ``levels``.

    Level k fires while the leaky count lies above ``threshold / levels[k]``.
    """

    source: str
    levels: tuple[int, ...]
    tau_ms: float
    threshold: int


METERS = {
    "G": Meter("input", (8, 4, 3, 2, 1), 100.0, 48),
    "S": Meter("F", (30, 15, 7, 4, 2), 15.0, 24),
}
"""Events of long, which are mostly noise; and spikes of F of just now, which are mostly not."""

IntArray = NDArray[np.int16]


@dataclass(frozen=True)
class LearnedConfig:
    """Constants beside the kernels. Times in ms, thresholds in Loihi integers.

    Attributes
    ----------
    x_groups, p_groups
        ``(channels, tau)`` of the populations X0, X1, ... and P0, P1, ...
    x_threshold, p_threshold, y_threshold, readout_threshold
        A population's threshold. At most 63 in P and Y: what the voltage keeps for the next tick is
        then too little to matter. ``readout_threshold`` is the operating point: a higher one
        declares fewer patches.
    patch
        Pixels per side of the patches the kernels were trained for.
    """

    x_groups: tuple[tuple[int, float], ...] = ((5, 5.0), (5, 12.0), (5, 25.0))
    p_groups: tuple[tuple[int, float], ...] = ((4, 8.0), (6, 14.0), (6, 25.0))
    x_threshold: int = 63
    p_threshold: int = 24
    y_threshold: int = 63
    readout_threshold: int = 63
    patch: int = 9

    @property
    def channels(self) -> dict[str, int]:
        """Channels of X, P and the meters."""
        x, p = (sum(n for n, _ in groups) for groups in (self.x_groups, self.p_groups))
        return {"X": x, "P": p, **{name: len(meter.levels) for name, meter in METERS.items()}}


@dataclass(frozen=True, eq=False)
class LearnedConstants:
    """All that was learned: integer kernels ``(out, in, height, width)`` by connection.

    Raises
    ------
    UsageError
        When kernels are missing or do not fit each other.
    """

    config: LearnedConfig
    kernels: Mapping[str, IntArray]

    def __post_init__(self) -> None:
        if set(self.kernels) != set(KERNELS):
            raise UsageError(
                f"learned detector: the kernels are {', '.join(KERNELS)}, "
                f"got {', '.join(sorted(self.kernels))}"
            )
        known = {"input": 2, "Y": len(self.kernels["X_Y"]), "H": 1, **self.config.channels}
        for name, kernel in self.kernels.items():
            source, target = name.split("_")
            if kernel.ndim != 4 or kernel.shape[:2] != (known[target], known[source]):
                raise UsageError(
                    f"learned detector: kernel {name} must be ({known[target]}, {known[source]}, "
                    f"height, width), got {kernel.shape}"
                )

    def at(self, readout_threshold: int) -> LearnedConstants:
        """The same detector at another operating point."""
        config = replace(self.config, readout_threshold=readout_threshold)
        return LearnedConstants(config, self.kernels)


def learned_detector(
    constants: LearnedConstants | None = None,
    *,
    filter_config: DetectorConfig | None = None,
    grid: PatchGrid | None = None,
    precision: Precision | str = Precision.LOIHI,
) -> SpikingGraph:
    """Build the learned detector for inputs of ``(2, pixels, pixels)``; its output is H.

    Parameters
    ----------
    constants
        The shipped ones by default.
    filter_config
        Constants of F; its other fields belong to the detector set by hand.
    grid
        Any number of patches of the size the kernels were trained for.

    Raises
    ------
    UsageError
        For patches of another size.
    """
    learned = load_constants() if constants is None else constants
    c, kernels = learned.config, learned.kernels
    grid = PatchGrid() if grid is None else grid
    if grid.patch != c.patch:
        raise UsageError(
            f"the learned detector knows patches of {c.patch} pixels, got {grid.patch}; "
            "use detector = 'hand' or train one for them"
        )
    dynamics = Dynamics(precision=Precision(precision))
    config = DetectorConfig() if filter_config is None else filter_config
    builder = _Builder(grid, dynamics, support_filter(config, grid, dynamics))
    xs = builder.leaky("X", c.x_groups, c.x_threshold, X_PER_PATCH)
    ps = builder.leaky("P", c.p_groups, c.p_threshold, 1)
    builder.memoryless("Y", len(kernels["X_Y"]), c.y_threshold)
    builder.memoryless("H", 1, c.readout_threshold)
    for name, meter in METERS.items():
        builder.meter(name, meter)
        builder.connect(name, "Y", kernels[f"{name}_Y"])
        builder.connect(name, "H", kernels[f"{name}_H"])
    builder.connect("Y", "H", kernels["Y_H"])
    for name, part in xs.items():
        builder.connect("input", name, kernels["input_X"][part])
        builder.connect(name, "Y", kernels["X_Y"][:, part])
    for name, part in ps.items():
        builder.connect("input", name, kernels["input_P"][part])
        builder.connect(name, "Y", kernels["P_Y"][:, part])
        builder.connect(name, "H", kernels["P_H"][:, part])
    return builder.graph("learned-detector", output="H")


class _Builder:
    """Collects nodes and edges; knows the side of every population in cells."""

    def __init__(self, grid: PatchGrid, dynamics: Dynamics, nodes: dict[str, nir.NIRNode]) -> None:
        self._grid = grid
        self._dynamics = dynamics
        self._nodes = dict(nodes)
        self._edges = [("input", "input_F"), ("input_F", "F")]
        self._side = {"input": grid.pixels, "F": grid.pixels}

    def leaky(
        self, name: str, groups: tuple[tuple[int, float], ...], threshold: int, per_patch: int
    ) -> dict[str, slice]:
        """One population per time constant; the channels of each by name."""
        ends = np.cumsum([0, *(channels for channels, _ in groups)]).tolist()
        parts = {}
        for k, ((channels, tau_ms), span) in enumerate(zip(groups, pairwise(ends), strict=True)):
            label = f"{name}{k}"
            self._population(label, channels, tau_ms, threshold, per_patch)
            parts[label] = slice(*span)
        return parts

    def meter(self, name: str, meter: Meter) -> None:
        """Counts of what the meter's source sends from each patch."""
        self._population(name, len(meter.levels), meter.tau_ms, meter.threshold, 1)
        channels = 2 if meter.source == "input" else 1
        box = np.ones((1, channels, self._grid.patch, self._grid.patch))
        self.connect(meter.source, name, np.reshape(meter.levels, (-1, 1, 1, 1)) * box)

    def memoryless(self, name: str, channels: int, threshold: int) -> None:
        """Neurons that speak of what arrives in the tick."""
        self._population(name, channels, None, threshold, 1)

    def _population(
        self, name: str, channels: int, tau_ms: float | None, threshold: int, per_patch: int
    ) -> None:
        side = per_patch * self._grid.side
        shape = (channels, side, side)
        self._nodes[name] = neurons(shape, tau_ms, None, threshold, self._dynamics)
        self._side[name] = side

    def connect(
        self, source: str, target: str, kernel: NDArray[np.integer] | NDArray[np.floating]
    ) -> None:
        """Convolve with ``kernel``, each sign in its own node; cells of the target lie centred."""
        side, stride = self._side[source], self._side[source] // self._side[target]
        for sign, part in (("exc", np.maximum(kernel, 0)), ("inh", np.minimum(kernel, 0))):
            if not part.any():
                continue
            via = f"{source}_{target}_{sign}"
            padding = (kernel.shape[-1] - stride) // 2
            self._nodes[via] = conv(part, (side, side), stride, padding)
            self._edges += [(source, via), (via, target)]

    def graph(self, name: str, output: str) -> SpikingGraph:
        side = self._side[output]
        self._nodes["output"] = nir.Output({"output": np.array((1, side, side))})
        edges = [*self._edges, (output, "output")]
        return SpikingGraph(nir.NIRGraph(self._nodes, edges), self._dynamics, name)


@cache
def load_constants(path: Path = WEIGHTS) -> LearnedConstants:
    """Read constants that `save_constants` wrote.

    Raises
    ------
    InputFileError
        When a file is missing, damaged or does not fit the other one.
    """
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            kernels = {name: arrays[name] for name in arrays.files}
        fields = dict(card["config"])
        for name in ("x_groups", "p_groups"):
            fields[name] = tuple((int(n), float(tau)) for n, tau in fields[name])
        return LearnedConstants(LearnedConfig(**fields), kernels)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile, UsageError) as error:
        raise InputFileError(
            f"{path}: cannot read the learned detector ({error}); "
            "write it again with neurovlm.training.train_detector"
        ) from error


def save_constants(
    constants: LearnedConstants, card: Mapping[str, object], path: Path = WEIGHTS
) -> None:
    """Write kernels as npz and, as JSON beside them, the constants with what ``card`` tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **constants.kernels)
    whole = {"config": asdict(constants.config), **card}
    path.with_suffix(".json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
