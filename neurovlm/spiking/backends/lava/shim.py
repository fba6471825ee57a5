"""Import of lava-nc 0.10.0 on Python 3.11 and later.

Lava's ``var_model`` gives dataclass fields an instance of another dataclass as default. Python 3.11
refuses defaults that cannot be hashed, so that one module is imported while dataclasses are made
hashable. Nothing else in Lava needs it.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib

AFFECTED = "lava.magma.compiler.var_model"


def import_lava() -> None:
    """Make ``import lava...`` work in this process; it must be the first import of Lava."""
    original = dataclasses.dataclass
    dataclasses.dataclass = functools.partial(original, unsafe_hash=True)
    try:
        importlib.import_module(AFFECTED)
    finally:
        dataclasses.dataclass = original
