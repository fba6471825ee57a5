"""PipelineState: all that a stream carries from window to window, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.frontend.detect import Frontend
from neurovlm.spiking.network import Network
from neurovlm.spiking.trace import NetworkState
from neurovlm.spiking.train import Fired
from neurovlm.zoo.model import ModelState, SttfModel
from neurovlm.zoo.state_file import model_sha256, read_state, write_state


@dataclass(frozen=True, eq=False)
class PipelineState:
    """All that a stream carries from window to window.

    Attributes
    ----------
    frontend
        State of the spiking front end.
    model
        State of the model.
    t_us
        End of the last window; None before the first.
    """

    frontend: NetworkState
    model: ModelState
    t_us: int | None = None

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays by name, ready for ``np.savez``; `from_arrays` is the inverse."""
        parts = {"frontend": self.frontend.to_arrays(), "model": self.model.to_arrays()}
        arrays = {f"{part}/{k}": a for part, named in parts.items() for k, a in named.items()}
        return arrays if self.t_us is None else {**arrays, "t_us": np.array([self.t_us])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PipelineState:
        """Rebuild a state from `to_arrays`, or from the file ``np.savez`` made of it.

        Raises
        ------
        UsageError
            When an array is missing or belongs to no part, naming it.
        """
        parts: dict[str, dict[str, NDArray[Any]]] = {"frontend": {}, "model": {}}
        for key in arrays:
            part, _, name = key.partition("/")
            if part in parts:
                parts[part][name] = arrays[key]
            elif key != "t_us":
                raise UsageError(f"state: no part of a pipeline is called {key!r}")
        return cls(
            NetworkState.from_arrays(parts["frontend"]),
            ModelState.from_arrays(parts["model"]),
            int(arrays["t_us"][0]) if "t_us" in arrays else None,
        )


def save_state(path: Path, state: PipelineState, model: SttfModel, frontend: Frontend) -> None:
    """Write a state into one safetensors file, whole or not at all.

    Spikes on their way are written as one value per neuron, so that the size of the file is the
    same after every window.
    """
    arrays = state.to_arrays()
    for name, ages in state.frontend.recent.items():
        size = _size(frontend.graph.network, name)
        for age, fired in enumerate(ages):
            for kind, value in (("recent", 1), ("payload", fired.value)):
                key = f"frontend/{kind}/{name}/{age}"
                if key in arrays:
                    arrays[key] = _spread(fired.neuron, value, size)
    write_state(path, arrays, _owners(model, frontend))


def load_state(path: Path, model: SttfModel, frontend: Frontend) -> PipelineState:
    """Read what `save_state` wrote.

    Raises
    ------
    InputFileError
        When the file cannot be read, is damaged, or belongs to another model or front end.
    """
    arrays = read_state(path, _owners(model, frontend))
    for key in [key for key in arrays if key.startswith("frontend/recent/")]:
        payload = key.replace("/recent/", "/payload/", 1)
        arrays[key] = Fired.of(arrays[key]).neuron
        if payload in arrays:
            arrays[payload] = arrays[payload][arrays[key]]
    return PipelineState.from_arrays(arrays)


def _owners(model: SttfModel, frontend: Frontend) -> dict[str, str]:
    return {"model": model_sha256(model), "front end": frontend.graph.hash}


def _size(network: Network, name: str) -> int:
    return network.n_inputs if name == network.input_name else network.population(name).size


def _spread(
    neuron: NDArray[np.int32], value: NDArray[np.int32] | int | None, size: int
) -> NDArray[Any]:
    """One entry per neuron, 0 where nothing was sent."""
    spread: NDArray[Any] = np.zeros(size, np.bool_ if isinstance(value, int) else np.int32)
    spread[neuron] = value
    return spread
