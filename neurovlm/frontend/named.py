"""Spiking graphs by name, or from a NIR file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from neurovlm.core.errors import UsageError
from neurovlm.frontend.detector import change_detector
from neurovlm.frontend.learned import learned_detector
from neurovlm.frontend.patch_lif import patch_lif
from neurovlm.spiking import nir_io
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.graph import SpikingGraph

_BUILDERS: dict[str, Callable[..., SpikingGraph]] = {
    "change-detector": change_detector,
    "patch-lif": patch_lif,
    "learned-detector": learned_detector,
}
GRAPHS = tuple(_BUILDERS)


def graph_by_name(
    name: str,
    precision: Precision | str | None = None,
    dt_ms: float | None = None,
    *,
    dialect: str | None = None,
    reset: str | None = None,
    norm_input: bool | None = None,
) -> SpikingGraph:
    """The graph called ``name``, or the one in the NIR file of that path.

    Parameters
    ----------
    precision
        What the file says by default, else ``loihi``.
    dt_ms
        Tick of a NIR file that does not say; 1 ms by default.
    dialect, reset, norm_input
        For a NIR file of another tool, as `neurovlm.spiking.nir_io.load`; float32 by default.

    Raises
    ------
    UsageError
        For an unknown name, or ``dt_ms`` beside a graph that has its own.
    InputFileError, GraphError
        As `neurovlm.spiking.nir_io.load`.
    """
    if name in _BUILDERS:
        if dt_ms is not None:
            raise UsageError(f"--dt-ms is for NIR files; {name} has 1 ms ticks")
        if (dialect, reset, norm_input) != (None, None, None):
            raise UsageError(f"--from, --reset and --norm-input are for NIR files, not {name}")
        return _BUILDERS[name](precision=_with(Dynamics(), precision).precision)
    if not name.endswith(".nir"):
        raise UsageError(
            f"unknown graph {name!r}; known are {', '.join(GRAPHS)} and files ending in .nir"
        )
    if dialect is not None:
        graph = nir_io.load(name, dialect=dialect, dt_ms=dt_ms, reset=reset, norm_input=norm_input)
        return graph if precision is None else graph.with_precision(precision)
    dynamics = _with(nir_io.dynamics_of(name), precision)
    if dt_ms is not None:
        dynamics = replace(dynamics, dt_s=dt_ms / 1e3)
    return nir_io.load(name, dynamics, reset=reset, norm_input=norm_input)


def _with(dynamics: Dynamics, precision: Precision | str | None) -> Dynamics:
    if precision is None:
        return dynamics
    return replace(dynamics, precision=precision)  # type: ignore[arg-type]  # it parses names
