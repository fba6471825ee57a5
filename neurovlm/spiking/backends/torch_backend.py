"""What the torch simulators' backends share before torch is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from neurovlm.core.optional import require
from neurovlm.spiking.backends.base import Backend, check_batch, check_run
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Network, Population
from neurovlm.spiking.trace import NetworkState, Probe, Trace
from neurovlm.spiking.train import SpikeTrain

if TYPE_CHECKING:
    import torch

    from neurovlm.spiking.backends.torch_loop import Neurons


class TorchSimulator(Backend, Protocol):
    """A simulator behind the shared tick loop, which runs a batch at once."""

    package: str
    """The module it needs."""

    def check(self, network: Network) -> None:
        """Refuse what no `Feature` covers."""
        ...

    def neurons(self, p: Population, dtype: torch.dtype) -> Neurons:
        """Neurons of one population."""
        ...

    def run(
        self,
        graph: SpikingGraph,
        spikes: SpikeTrain,
        state: NetworkState | None = None,
        *,
        probes: Sequence[Probe] = (),
    ) -> Trace:
        """Run ``spikes.n_ticks`` ticks from ``state`` (silence by default)."""
        self.check(check_run(self, graph, spikes, state, probes))
        require(self.package, f"the {self.name} backend")
        from neurovlm.spiking.backends.torch_loop import run_torch

        return run_torch(graph, [spikes], self.neurons, state, probes)[0]

    def run_batch(self, graph: SpikingGraph, batch: Sequence[SpikeTrain]) -> list[Trace]:
        """Run trains of one length, each from silence, all at once."""
        check_batch(batch)
        for spikes in batch:
            self.check(check_run(self, graph, spikes))
        require(self.package, f"the {self.name} backend")
        from neurovlm.spiking.backends.torch_loop import run_torch

        return run_torch(graph, batch, self.neurons)
