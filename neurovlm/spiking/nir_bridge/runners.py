"""The tools themselves, run through their own NIR imports."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import BackendError, UsageError
from neurovlm.core.optional import require

_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def run_import(graph: nir.NIRGraph, spikes_in: NDArray[Any], tool: str) -> NDArray[np.float32]:
    """Output of ``tool`` after its own import of ``graph``.

    Parameters
    ----------
    spikes_in
        ``(ticks, *input_shape)``.

    Returns
    -------
    ``(ticks, outputs)``.

    Raises
    ------
    BackendError
        When the tool fails on the graph.
    MissingComponentError
        When it is not installed.
    """
    if tool not in IMPORTS:
        raise UsageError(
            f"self-test: {tool!r} does not install beside this package; compare with spikes that "
            f"the tool made (neurovlm.spiking.nir_bridge.agree.compare)"
        )
    require(tool, f"the self-test with {tool}")
    try:
        with _quiet():
            return run_module(IMPORTS[tool](graph), spikes_in)
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BackendError(f"{tool} {version(tool)} cannot import this graph: {reason}") from error


def run_module(module: Any, spikes_in: NDArray[Any]) -> NDArray[np.float32]:
    """Output of a torch module called step by step, ``(ticks, outputs)``.

    The module takes ``(1, *input_shape)``, and the state it gave back if it gives one.
    """
    import torch

    steps = torch.tensor(np.asarray(spikes_in), dtype=torch.float32)
    out, state = [], None
    with torch.no_grad():
        for step in steps:
            got = module(step[None]) if state is None else module(step[None], state)
            fired, state = got if isinstance(got, tuple) else (got, None)
            out.append(fired.reshape(-1))
    return np.asarray(torch.stack(out).numpy(), dtype=np.float32)


def _import_snntorch(graph: nir.NIRGraph) -> Any:
    from snntorch.import_nir import import_from_nir

    return import_from_nir(graph)


def _import_norse(graph: nir.NIRGraph) -> Any:
    from norse.torch import from_nir

    return from_nir(graph, ignore_warnings=True)


IMPORTS: dict[str, Callable[[nir.NIRGraph], Any]] = {
    "snntorch": _import_snntorch,
    "norse": _import_norse,
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Both imports print and warn about deprecated calls of their own."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
