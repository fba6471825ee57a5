"""Published networks as workloads, ready to cost.

>>> from hw_models import estimate
>>> from hw_models.published import load_published
>>> estimate(load_published("smolvlm-256m"), "jetson-orin-nano").energy_j  # doctest: +SKIP

Vision-language models are counted for one caption of 20 tokens. GPT-4V is not among them: neither
its shapes nor its size are public. ``benchmarks/make_published_workloads.py`` writes the files
from the shapes; the notes of each workload name where its shapes were published.
"""

from __future__ import annotations

from pathlib import Path

from hw_models.errors import WorkloadError
from hw_models.workload import Workload

_FOLDER = Path(__file__).parent / "workloads"


def published_workloads() -> tuple[str, ...]:
    """Names of the published networks, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def load_published(name: str) -> Workload:
    """Read a published network.

    Raises
    ------
    WorkloadError
        There is no network of that name; the message lists those there are.
    """
    known = published_workloads()
    if name not in known:
        raise WorkloadError(f"no published network {name!r}; there are {', '.join(known)}")
    return Workload.load(_FOLDER / f"{name}.json")
