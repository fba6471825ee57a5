"""The contract suite finds backends that are wrong, and passes what is declared."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends.base import Capabilities
from neurovlm.spiking.backends.reference import ReferenceBackend
from neurovlm.spiking.contract import BackendContract, case_named
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.train import SpikeTrain


class Altered(ReferenceBackend):
    """The reference on a graph, input or result that ``alter`` has changed."""

    name = "altered"

    def alter(self, network):
        return network

    def run(self, graph, spikes, state=None, *, probes=()):
        twin = SpikingGraph(graph.nir, graph.dynamics, graph.name, graph.extensions)
        twin.__dict__["network"] = self.alter(twin.network)
        return super().run(twin, spikes, state, probes=probes)


class NotStrict(Altered):
    """Fires at the threshold, not above it."""

    def alter(self, network):
        lower = [replace(p, threshold=np.nextafter(p.threshold, 0)) for p in network.populations]
        return replace(network, populations=tuple(lower))


class WithoutDelays(Altered):
    """Claims axonal delays and ignores them."""

    def alter(self, network):
        prompt = [replace(c, delay=0 * c.delay) for c in network.connections]
        return replace(network, connections=tuple(prompt))


class Looking(Altered):
    """Needs the future: it delivers input in the tick in which it was sent."""

    def run(self, graph, spikes, state=None, *, probes=()):
        early = spikes.between(1, spikes.n_ticks)
        longer = SpikeTrain(early.tick, early.neuron, spikes.n_ticks, spikes.shape, spikes.dt_s)
        return super().run(graph, longer, state, probes=probes)


class Forgetful(Altered):
    """Resumes with what is on its way, but with neurons at rest."""

    def run(self, graph, spikes, state=None, *, probes=()):
        trace = super().run(graph, spikes, state, probes=probes)
        rest = {
            name: {v: np.zeros_like(x) for v, x in cells.items()}
            for name, cells in trace.state.cells.items()
        }
        return replace(trace, state=replace(trace.state, cells=rest))


class Modest(Altered):
    """Claims no features and yet runs everything."""

    capabilities = Capabilities(frozenset(Precision), frozenset(), resumes=True)

    def run(self, graph, spikes, state=None, *, probes=()):
        return ReferenceBackend().run(graph, spikes, state, probes=probes)


class Vague(Modest):
    """Refuses without saying what."""

    def run(self, graph, spikes, state=None, *, probes=()):
        raise GraphError("backend 'vague': not possible here")


def contract_of(backend):
    class Contract(BackendContract):
        def backend(self):
            return backend()

    return Contract()


def verdict(backend, case, precision="float64"):
    """Run one case of the suite in one precision."""
    only = replace(case_named(case), precisions=(Precision(precision),))
    contract_of(backend).test_gives_the_references_spikes_or_refuses(only, None)


def test_the_unaltered_reference_passes():
    verdict(Altered, "ties-at-threshold")
    verdict(Altered, "delays-per-neuron")


def test_a_comparator_that_is_not_strict_is_found_by_ties():
    with pytest.raises(AssertionError, match=r"differing spikes per population: \{'a': \d+"):
        verdict(NotStrict, "ties-at-threshold")


def test_ignored_delays_are_found():
    with pytest.raises(AssertionError, match="differing spikes"):
        verdict(WithoutDelays, "uniform-delays")


def test_a_look_into_the_future_is_found():
    with pytest.raises(AssertionError):
        contract_of(Looking).test_the_future_does_not_matter()


def test_a_lost_state_is_found():
    with pytest.raises(AssertionError, match="differ"):
        contract_of(Forgetful).test_two_parts_equal_the_whole(case_named("recurrent"))


def test_what_is_not_claimed_must_be_refused_by_name():
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        verdict(Modest, "bias")
    with pytest.raises(AssertionError):
        verdict(Vague, "bias")


def test_wrong_probes_are_found():
    class OtherDtype(Altered):
        def run(self, graph, spikes, state=None, *, probes=()):
            trace = super().run(graph, spikes, state, probes=probes)
            wider = {
                name: {v: x.astype(np.float64) for v, x in values.items()}
                for name, values in trace.probed.items()
            }
            return replace(trace, probed=wider)

    with pytest.raises(AssertionError, match="u of 'a': float64, not int64"):
        contract_of(OtherDtype).test_probes_are_the_references(case_named("two-layers"))


def test_a_declared_difference_is_a_strict_expected_failure():
    marks = []

    class Request:
        applymarker = staticmethod(marks.append)

    class Contract(BackendContract):
        known_differences: ClassVar = {"two-layers": "rounds the other way"}

        def backend(self):
            return Altered()

    Contract().test_gives_the_references_spikes_or_refuses(case_named("two-layers"), Request())
    assert [(m.name, m.kwargs) for m in marks] == [
        ("xfail", {"reason": "rounds the other way", "strict": True})
    ]
