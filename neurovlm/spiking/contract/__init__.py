"""The suite every backend must pass, also one of your own.

With pytest::

    from neurovlm.spiking.contract import BackendContract

    class TestMine(BackendContract):
        def backend(self):
            return MyBackend()

Each case runs in every precision and must give the reference's spikes in every population; what
the backend does not claim it must refuse. ``docs/backends.md`` shows a whole backend.
"""

from neurovlm.spiking.contract.building import layered, neurons, one_layer, random_input
from neurovlm.spiking.contract.cases import CASES, Case, case_named
from neurovlm.spiking.contract.suite import BackendContract, assert_same_spikes

__all__ = [
    "CASES",
    "BackendContract",
    "Case",
    "assert_same_spikes",
    "case_named",
    "layered",
    "neurons",
    "one_layer",
    "random_input",
]
