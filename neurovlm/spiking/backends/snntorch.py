"""snnTorch: one ``Synaptic`` layer per population.

``Synaptic`` computes ``syn = alpha syn + x; mem = beta mem + syn``, fires on ``mem - threshold >
0`` and, with ``reset_mechanism="zero", reset_delay=False``, sets mem to 0 in the same tick: our
equations, with ``alpha = 1 - loss_u / 4096``, in our order of rounding. Its default, the delayed
reset, gives other spikes. A leaky integrator is a layer with an infinite threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends.base import Capabilities
from neurovlm.spiking.backends.torch_backend import TorchSimulator
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.network import Feature, Kind, Network, Population

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class SnnTorchBackend(TorchSimulator):
    """Runs a graph on snnTorch neurons; floating point only.

    Spikes and states equal the reference's bit for bit, on the condition that sums of weights are
    exact in the precision, as sums of integers are.
    """

    name = "snntorch"
    package = "snntorch"
    capabilities = Capabilities(
        frozenset({Precision.FLOAT32, Precision.FLOAT64}),
        frozenset(
            {
                Feature.PER_NEURON,
                Feature.BIAS,
                Feature.INTEGRATOR,
                Feature.DELAY,
                Feature.GRADED,
            }
        ),
        resumes=True,
    )

    def check(self, network: Network) -> None:
        """Refuse negative thresholds: Synaptic resets a v of 0 above them before the tick."""
        for p in network.populations:
            if p.threshold.min() < 0:
                raise GraphError(
                    f"backend 'snntorch': node {p.name!r}: v_threshold must be at least 0 there, "
                    f"got {p.threshold.min():g}; use the reference backend"
                )

    def neurons(self, p: Population, dtype: torch.dtype) -> SynapticNeurons:
        """One layer."""
        return SynapticNeurons(p, dtype)


class SynapticNeurons:
    """A population as a ``snntorch.Synaptic``; the state is ``(syn, mem)``."""

    def __init__(self, p: Population, dtype: torch.dtype) -> None:
        from snntorch import Synaptic

        from neurovlm.spiking.backends.torch_loop import parameter

        self._cell = Synaptic(
            alpha=parameter((UNIT - p.loss_u) / UNIT, dtype),
            beta=parameter((UNIT - p.loss_v) / UNIT, dtype),
            threshold=parameter(np.full(1, np.inf) if p.kind is Kind.LI else p.threshold, dtype),
            reset_mechanism="zero",
            reset_delay=False,
        )
        # snnTorch keeps every layer ever made, to reset them all; this one is nobody else's
        Synaptic.instances.remove(self._cell)

    def start(self, variables: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Take over u and v."""
        return variables["u"], variables["v"]

    def step(self, arriving: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        """One tick."""
        spikes, syn, mem = self._cell(arriving, *state)
        return spikes, (syn, mem)

    def variables(self, state: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """U and v as they are."""
        return {"u": state[0], "v": state[1]}
