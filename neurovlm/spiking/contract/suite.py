"""What holds for every backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.spiking.backends.base import BACKENDS, Backend, get_backend
from neurovlm.spiking.backends.reference import ReferenceBackend
from neurovlm.spiking.contract.building import random_input
from neurovlm.spiking.contract.cases import CASES, Case, case_named
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Feature
from neurovlm.spiking.trace import Trace, probe
from neurovlm.spiking.train import SpikeTrain

_PROBED = tuple(
    case_named(name)
    for name in ("two-layers", "integrate-and-fire", "refractory-and-adaptive", "sigma-delta")
)
_RESUMED = tuple(
    case_named(name)
    for name in ("recurrent", "delays-per-neuron", "refractory-and-adaptive", "sigma-delta")
)
_SHORT = 64  # ticks, where their number is not the point
_CUTS = (1, 30, _SHORT - 1)  # delays reach up to 11 ticks, over each of them


def assert_same_spikes(got: Trace, expected: Trace) -> None:
    """Fail with the number of differing (tick, neuron) slots per population."""
    assert set(got.spikes) == set(expected.spikes)
    differing = {name: got.spikes[name].differing(train) for name, train in expected.spikes.items()}
    assert not any(differing.values()), f"differing spikes per population: {differing}"


@cache
def _built(case: Case) -> tuple[SpikingGraph, SpikeTrain]:
    return case.build()


@cache
def _expected(case: Case, precision: Precision) -> Trace:
    graph, spikes = _built(case)
    return ReferenceBackend().run(graph.with_precision(precision), spikes, probes=case.probes)


class BackendContract:
    """Subclass it and return your backend.

    Attributes
    ----------
    known_differences
        Reasons by name of a case: there the backend may not agree, and the suite reports an
        expected failure, strictly, so that it notices when the difference has gone.
    tolerance
        For probed floats and floats in states, in parts of the variable's largest value. Leave it
        at 0 where rounding follows the specification; spikes are compared exactly in any case.
    """

    known_differences: ClassVar[Mapping[str, str]] = {}
    tolerance: ClassVar[float] = 0.0

    def backend(self) -> Backend:
        """The backend under test."""
        raise NotImplementedError

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_gives_the_references_spikes_or_refuses(
        self, case: Case, request: pytest.FixtureRequest
    ) -> None:
        """Every population in every precision; a refusal names the node and who can."""
        if case.name in self.known_differences:
            reason = self.known_differences[case.name]
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        graph, spikes = _built(case)
        for precision in case.precisions:
            if self._can(case, precision):
                got = self.backend().run(
                    graph.with_precision(precision), spikes, probes=case.probes
                )
                expected = _expected(case, precision)
                assert_same_spikes(got, expected)
                assert got.connections == expected.connections
                self._assert_same_values(got.probed, expected.probed)
            else:
                self._assert_refused(graph.with_precision(precision), spikes)

    @pytest.mark.parametrize("case", _PROBED, ids=lambda case: case.name)
    def test_probes_are_the_references(self, case: Case) -> None:
        """Every variable of every population, in values and dtypes."""
        for graph, spikes in self._short(case):
            probes = [probe(p.name, (*p.variables, "s")) for p in graph.network.populations]
            got = self.backend().run(graph, spikes, probes=probes)
            expected = ReferenceBackend().run(graph, spikes, probes=probes)
            self._assert_same_values(got.probed, expected.probed)

    @pytest.mark.parametrize("case", _RESUMED, ids=lambda case: case.name)
    def test_two_parts_equal_the_whole(self, case: Case) -> None:
        """Wherever it is cut, also while spikes are on their way and neurons refractory."""
        for graph, spikes in self._short(case):
            expected = ReferenceBackend().run(graph, spikes)
            for cut in _CUTS if self.backend().capabilities.resumes else ():
                first = self.backend().run(graph, spikes.between(0, cut))
                rest = spikes.between(cut, spikes.n_ticks)
                both = Trace.join([first, self.backend().run(graph, rest, first.state)])
                assert_same_spikes(both, expected)
                assert both.connections == expected.connections
                self._assert_same_state(both, expected)

    def test_states_pass_from_and_to_the_reference(self) -> None:
        """Or no state is given out and none taken."""
        for graph, spikes in self._short(self._busiest()):
            half = spikes.n_ticks // 2
            parts = spikes.between(0, half), spikes.between(half, spikes.n_ticks)
            begun = ReferenceBackend().run(graph, parts[0])
            if not self.backend().capabilities.resumes:
                with pytest.raises(GraphError, match="cannot start from a state"):
                    self.backend().run(graph, parts[1], begun.state)
                continue
            expected = ReferenceBackend().run(graph, spikes)
            ended = self.backend().run(graph, parts[1], begun.state)
            assert_same_spikes(Trace.join([begun, ended]), expected)
            begun = self.backend().run(graph, parts[0])
            ended = ReferenceBackend().run(graph, parts[1], begun.state)
            assert_same_spikes(Trace.join([begun, ended]), expected)

    def test_a_batch_equals_one_by_one(self) -> None:
        """Each train from silence; trains of different lengths are refused."""
        graph, spikes = next(self._short(self._busiest()))
        other = random_input(spikes.n_neurons, 0.25, 100, spikes.n_ticks)
        batch = [spikes, other, spikes]
        traces = self.backend().run_batch(graph, batch)
        assert len(traces) == len(batch)
        for got, train in zip(traces, batch, strict=True):
            expected = ReferenceBackend().run(graph, train)
            assert_same_spikes(got, expected)
            assert got.connections == expected.connections
        assert self.backend().run_batch(graph, []) == []
        with pytest.raises(UsageError, match="one length"):
            self.backend().run_batch(graph, [spikes, spikes.between(0, 5)])

    def test_the_future_does_not_matter(self) -> None:
        """Other input after tick k changes nothing up to and including tick k."""
        graph, spikes = next(self._short(self._busiest()))
        half = spikes.n_ticks // 2
        other = random_input(spikes.n_neurons, 0.3, 101, spikes.n_ticks - half)
        changed = SpikeTrain.join([spikes.between(0, half), other])
        whole, same = (self.backend().run(graph, s) for s in (spikes, changed))
        assert whole.out.differing(same.out), "the change has no effect and proves nothing"
        for name, train in whole.spikes.items():
            assert train.between(0, half + 1).differing(same.spikes[name].between(0, half + 1)) == 0

    def test_runs_repeat(self) -> None:
        """On the same instance, after a run of something else, and on another instance."""
        graph, spikes = next(self._short(self._busiest()))
        backend = self.backend()
        first = backend.run(graph, spikes)
        backend.run(*next(self._short(case_named("two-layers"))))
        for again in (backend, self.backend()):
            assert_same_spikes(again.run(graph, spikes), first)

    def test_silence_stays_silent(self) -> None:
        """No input, no spike; no ticks, no spikes."""
        graph, spikes = next(self._short(self._busiest()))
        for n_ticks in (20, 0):
            empty = SpikeTrain.from_dense(np.zeros((n_ticks, spikes.n_neurons)), dt_s=spikes.dt_s)
            trace = self.backend().run(graph, empty)
            assert {train.n_ticks for train in trace.spikes.values()} == {n_ticks}
            assert sum(len(train) for train in trace.spikes.values()) == 0

    def test_counts_follow_from_the_spikes(self) -> None:
        """Updates and synops against a brute-force count over the dense raster."""
        graph, spikes = next(self._short(self._busiest()))
        trace = self.backend().run(graph, spikes)
        for p in trace.populations:
            assert p.neuron_updates == p.neurons * spikes.n_ticks
        for count, c in zip(trace.connections, trace.network.connections, strict=True):
            train = trace.input if c.source == "input" else trace.spikes[c.source]
            fan_out = (c.matrix.toarray() != 0).sum(axis=0)
            synops = 0
            for tick, neuron in zip(train.tick.tolist(), train.neuron.tolist(), strict=True):
                if tick + 1 + c.delay[neuron] < spikes.n_ticks:
                    synops += fan_out[neuron]
            assert count.synops == synops

    def test_refuses_what_does_not_fit(self) -> None:
        """Another size, another dt, graded for binary, a probe of nothing."""
        graph, spikes = next(self._short(case_named("two-layers")))
        graded = replace(spikes, value=np.ones(len(spikes), np.int32))
        refused: Sequence[tuple[SpikeTrain, str]] = (
            (replace(spikes, shape=(spikes.n_neurons + 1,)), r"node 'input': takes \(48,\)"),
            (replace(spikes, dt_s=2 * spikes.dt_s), "dt is 0.001 s, the spikes have 0.002 s"),
            (graded, "node 'input': takes binary spikes"),
        )
        for wrong, message in refused:
            with pytest.raises(GraphError, match=message):
                self.backend().run(graph, wrong)
        with pytest.raises(UsageError, match="population 'a' has no variable 'x'"):
            self.backend().run(graph, spikes, probes=[probe("a", "x")])
        with pytest.raises(GraphError, match="no population 'z'"):
            self.backend().run(graph, spikes, probes=[probe("z", "v")])

    def _short(self, case: Case) -> Iterator[tuple[SpikingGraph, SpikeTrain]]:
        """Graph and few ticks of input in every precision in which the backend claims the case."""
        graph, spikes = _built(case)
        for precision in case.precisions:
            if self._can(case, precision):
                yield graph.with_precision(precision), spikes.between(0, _SHORT)

    def _can(self, case: Case, precision: Precision) -> bool:
        can, needs = self.backend().capabilities, _built(case)[0].network.needs
        return precision in can.precisions and set(needs) <= can.features

    def _busiest(self) -> Case:
        """A recurrent case, with delays where the backend has them."""
        delays = Feature.DELAY in self.backend().capabilities.features
        return case_named("delays-per-neuron" if delays else "recurrent")

    def _assert_refused(self, graph: SpikingGraph, spikes: SpikeTrain) -> None:
        """One line that names the backend, the node or precision, and somebody who can."""
        backend, precision = self.backend(), graph.dynamics.precision
        with pytest.raises(GraphError) as caught:
            backend.run(graph, spikes)
        message = str(caught.value)
        assert backend.name in message
        assert "\n" not in message
        others = {name: get_backend(name).capabilities for name in BACKENDS}
        if precision not in backend.capabilities.precisions:
            assert precision in message
            able = [name for name, can in others.items() if precision in can.precisions]
        else:
            missing = set(graph.network.needs) - backend.capabilities.features
            named = [
                f for f in missing if f"{graph.network.needs[f].partition(':')[0]}:" in message
            ]
            assert named, f"{message!r} names no node with {sorted(missing)}"
            able = [name for name, can in others.items() if can.features & set(named)]
        assert any(name in message.rpartition(backend.name)[2] for name in able)

    def _assert_same_state(self, got: Trace, expected: Trace) -> None:
        assert got.state is not None and expected.state is not None
        self._assert_same_values(got.state.cells, expected.state.cells)
        assert set(got.state.recent) == set(expected.state.recent)
        for name, sent in expected.state.recent.items():
            assert len(got.state.recent[name]) == len(sent)
            for mine, theirs in zip(got.state.recent[name], sent, strict=True):
                assert np.array_equal(mine.neuron, theirs.neuron)
                assert (mine.value is None) == (theirs.value is None)
                if mine.value is not None and theirs.value is not None:
                    assert np.array_equal(mine.value, theirs.value)

    def _assert_same_values(
        self, got: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Mapping[str, Any]]
    ) -> None:
        assert set(got) == set(expected), f"{sorted(got)}, not {sorted(expected)}"
        for population, variables in expected.items():
            assert set(got[population]) == set(variables), f"variables of {population!r}"
            for name, values in variables.items():
                mine = got[population][name]
                where = f"{name} of {population!r}"
                assert mine.dtype == values.dtype, f"{where}: {mine.dtype}, not {values.dtype}"
                assert mine.shape == values.shape, f"{where}: {mine.shape}, not {values.shape}"
                if self.tolerance and values.dtype.kind == "f":
                    gap = np.abs(mine - values).max(initial=0)
                    assert gap <= self.tolerance * np.abs(values).max(initial=0), f"{where}: {gap}"
                else:
                    assert np.array_equal(mine, values), f"{where} differs"
