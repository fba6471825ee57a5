"""Whether a processor's memory holds the parameters of what runs on it."""

from __future__ import annotations

from dataclasses import dataclass

from hw_models.ops import WEIGHT_BYTES
from hw_models.plan import AcceleratorPart, Plan
from hw_models.sourced import Sourced


@dataclass(frozen=True, slots=True)
class Fit:
    """Parameters of a network beside the memory of a processor.

    Activations, key-value cache and the system need memory too; they are not counted, so ``fits``
    says that parameters alone do not exceed the memory.
    """

    params: int
    precision: str
    n_bytes: float
    memory: Sourced

    @property
    def fits(self) -> bool:
        """Whether the parameters take no more than the memory's nominal size."""
        return self.n_bytes <= self.memory.value

    @property
    def reason(self) -> str:
        """Say it in one sentence."""
        verb = "fit" if self.fits else "do not fit"
        millions = self.params / 1e6
        size = f"{millions:,.0f}" if millions >= 10 else f"{millions:.3g}"
        return (
            f"{size} M parameters {verb}: {self.n_bytes / 1e9:.3g} GB at "
            f"{self.precision}, memory {self.memory.value / 1e9:.3g} GB, shared with activations "
            f"and system"
        )


def fit_of(plan: Plan, part: AcceleratorPart) -> Fit | None:
    """Compare the first run's parameters with a processor's memory.

    ``None`` where the workload does not say its parameters, the device not its memory, or the
    ANN is spread over several parts, so that nobody knows which part holds how many.
    """
    workload, memory = plan.workloads[0], part.device.memory_bytes
    ann = [layer for layer in workload.layers if not layer.is_spiking]
    here = [layer for layer in part.layers[0] if not layer.is_spiking]
    if workload.params is None or memory is None or not ann or len(here) != len(ann):
        return None
    n_bytes = workload.params * WEIGHT_BYTES[part.precision]
    return Fit(workload.params, part.precision, n_bytes, memory)
