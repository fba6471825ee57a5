"""States of streams on disk: arrays, whose they are and a checksum in one safetensors file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import nn

from neurovlm.core.errors import InputFileError
from neurovlm.zoo.model import SttfModel

FORMAT = "neurovlm-state-1"

Arrays = Mapping[str, NDArray[Any]]


def model_sha256(model: SttfModel) -> str:
    """sha256 over spec and weights: a state fits the model that made it and no other."""
    digest = hashlib.sha256(json.dumps(model.spec.to_mapping(), sort_keys=True).encode())
    digest.update(arrays_sha256(_weights(model)).encode())
    return digest.hexdigest()


def arrays_sha256(arrays: Arrays) -> str:
    """sha256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_state(path: Path, arrays: Arrays, owners: Mapping[str, str]) -> None:
    """Write arrays, whole or not at all.

    Parameters
    ----------
    arrays
        The state.
    owners
        What the state belongs to, by role, each with its sha256: ``{"model": ..., ...}``.
    """
    notes = {"format": FORMAT, "contents": arrays_sha256(arrays), **owners}
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(save({k: np.ascontiguousarray(a) for k, a in arrays.items()}, notes))
    partial.replace(path)


def read_state(path: Path, owners: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Read what `write_state` wrote for the same owners.

    Raises
    ------
    InputFileError
        When the file is missing, damaged, of another format or belongs to others, naming them.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            notes = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputFileError(f"{path}: cannot read the state: {_line(error)}") from error
    if notes.get("format") != FORMAT:
        raise InputFileError(
            f"{path}: not a saved state of format {FORMAT}, got {notes.get('format')!r}; "
            "save the state again with this version"
        )
    for role, sha256 in owners.items():
        found = notes.get(role, "")
        if found != sha256:
            raise InputFileError(
                f"{path}: the state was saved by another {role} "
                f"({found[:12] or 'unnamed'}, this one is {sha256[:12]}); "
                f"load it with the {role} that made it"
            )
    if notes.get("contents") != arrays_sha256(arrays):
        raise InputFileError(
            f"{path}: the state is damaged, its contents do not match their checksum; "
            "save it again, or start the stream anew"
        )
    return arrays


def _weights(model: nn.Module) -> dict[str, NDArray[Any]]:
    return {name: tensor.numpy(force=True) for name, tensor in model.state_dict().items()}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
