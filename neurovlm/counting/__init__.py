"""From what a run did, or a model would do, to a hw_models.Workload.

>>> from neurovlm.counting import count_module, count_nir
>>> count_module(model, torch.rand(1, 3, 224, 224), name="my encoder")  # doctest: +SKIP
>>> count_nir("net.nir", rates_hz={"input": 30, "hidden": 12, "out": 5})  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurovlm.counting.ledger import UncountedOperatorError
    from neurovlm.counting.module import count_delta_density, count_module
    from neurovlm.counting.nir_graph import count_nir

_EXPORTS = {
    "UncountedOperatorError": "neurovlm.counting.ledger",
    "count_delta_density": "neurovlm.counting.module",
    "count_module": "neurovlm.counting.module",
    "count_nir": "neurovlm.counting.nir_graph",
}

__all__ = ["UncountedOperatorError", "count_delta_density", "count_module", "count_nir"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: counting spikes needs no torch."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'neurovlm.counting' has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)
