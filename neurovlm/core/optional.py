"""Imports of optional packages, at the moment they are used."""

from __future__ import annotations

import importlib
from types import ModuleType

from neurovlm.core.errors import MissingComponentError

_INSTALL = {
    "brian2": 'pip install "neurovlm[brian2]"',
    "snntorch": 'pip install "neurovlm[snntorch]"',
    "norse": 'pip install "neurovlm[norse]" && pip install --no-deps norse',
    "sklearn": 'pip install "neurovlm[evaluate]"',
    "pycocotools": 'pip install "neurovlm[evaluate]"',
    "av": 'pip install "neurovlm[video]"',
    "tonic": 'pip install "neurovlm[tonic]"',
    "lava": 'pip install "neurovlm[lava]" && '
    "pip install --no-deps --ignore-requires-python lava-nc==0.10.0",
}


def require(module: str, purpose: str) -> ModuleType:
    """Import ``module`` or say what it is needed for and how to install it.

    Parameters
    ----------
    module
        Full module name, for example ``"snntorch"``.
    purpose
        What needs it, as the subject of the message.

    Raises
    ------
    MissingComponentError
        When the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        command = _INSTALL.get(package, f"pip install {package}")
        message = f"{purpose} needs the package {package!r} ({error}); install it: {command}"
        raise MissingComponentError(message) from error
