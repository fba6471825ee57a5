"""Norse: its functional LIF, LSNN, IAF and leaky integrator steps, in time units of one tick.

Norse's LIF computes, with k = loss / 4096 for dt / tau and tau in ticks::

    i = i + x;  v = v + k_v ((0 - v) + i);  i = i + (-k_u) i;  fires where v - v_th > 0;  v = 0

so its i is our u before the decay of the next tick and its v is ours times k_v; thresholds are
scaled alike. Its LSNN steps v with the i of the tick before, which is why what arrives is put into
i beforehand, and relaxes the threshold b to v_th: our threshold plus w, times k_v. Its refractory
update holds v and counts down as ours does.

Where the spikes agree: Norse rounds ``v + k (i - v)`` where the specification rounds
``(1 - k) v + i``, so its v differs from ours in the last bits, in float64 by parts in 1e15. A spike
can differ only where v comes that close to its threshold without being representable exactly; a v
of whole numbers and their halves that meets its threshold is the same in both. Three million neuron
ticks of integer weights and thresholds, with decays of any size and full of ties, differ in none
(a test). In float32 the gap is parts in 1e6 and integers are enough to fall into it (a loss of
39 / 4096, a constant input of 23 and a threshold of 2276 do, in tick 297): refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends.base import Capabilities
from neurovlm.spiking.backends.torch_backend import TorchSimulator
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.network import Feature, Network, Population

if TYPE_CHECKING:
    import torch

    from neurovlm.spiking.backends.norse_neurons import NorseNeurons


class NorseBackend(TorchSimulator):
    """Runs a graph on Norse's neurons in float64."""

    name = "norse"
    package = "norse"
    capabilities = Capabilities(
        frozenset({Precision.FLOAT64}),
        frozenset(Feature) - {Feature.SIGMA_DELTA},
        resumes=True,
    )

    def check(self, network: Network) -> None:
        """Refuse neurons without leak that Norse's integrate-and-fire neuron cannot be."""
        for p in network.populations:
            if p.loss_v.all():
                continue
            plain = not p.loss_v.any() and np.all(p.loss_u == UNIT) and not p.step
            if not plain:
                raise GraphError(
                    f"backend 'norse': node {p.name!r}: tau_mem is infinite; there that goes only "
                    "for all neurons of a node at once, without tau_syn and adapt_step (nir.IF); "
                    "use the reference backend"
                )

    def neurons(self, p: Population, dtype: torch.dtype) -> NorseNeurons:
        """Neurons of one population."""
        from neurovlm.spiking.backends.norse_neurons import NorseNeurons

        return NorseNeurons(p, dtype)
