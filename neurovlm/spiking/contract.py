"""The suite every backend must pass, also one of your own.

With pytest::

    from neurovlm.spiking.contract import BackendContract

    class TestMine(BackendContract):
        def backend(self):
            return MyBackend()

Each case runs in every precision the backend claims and must give the reference's spikes in every
population. What a backend does not claim it must refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np
import pytest
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends.base import Backend
from neurovlm.spiking.backends.reference import ReferenceBackend
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import Trace
from neurovlm.spiking.train import SpikeTrain

N_TICKS = 400
_LOIHI_ONLY = (Precision.LOIHI,)


def neurons(n: int, *, du: int, dv: int, vth: float) -> nir.CubaLIF:
    """``n`` neurons with Loihi's decays ``du`` and ``dv`` and unit Euler gains, dt 1 ms."""
    full, dt = np.ones(n), Dynamics().dt_s
    loss_u, loss_v = du + 1, dv
    return nir.CubaLIF(
        tau_syn=full * dt * 4096 / loss_u,
        tau_mem=full * dt * 4096 / loss_v,
        r=full * 4096 / loss_v,
        w_in=full * 4096 / loss_u,
        v_leak=0 * full,
        v_threshold=full * vth,
        v_reset=0 * full,
    )


def layered(
    weights: dict[str, tuple[str, str, NDArray[Any]]],
    populations: dict[str, nir.CubaLIF],
    output: str,
    dynamics: Dynamics | None = None,
) -> SpikingGraph:
    """Graph from named ``(source, target, matrix)`` weights; the input is called ``input``."""
    n_inputs = next(w.shape[1] for source, _, w in weights.values() if source == "input")
    n_outputs = populations[output].v_threshold.size
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input({"input": np.array([n_inputs])}),
        "output": nir.Output({"output": np.array([n_outputs])}),
        **populations,
    }
    edges = [(output, "output")]
    for name, (source, target, matrix) in weights.items():
        nodes[name] = nir.Linear(matrix.astype(np.float64))
        edges += [(source, name), (name, target)]
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics or Dynamics())


@dataclass(frozen=True)
class Case:
    """A graph and an input; ``precisions`` limits where the case makes sense."""

    name: str
    build: Callable[[], tuple[SpikingGraph, SpikeTrain]]
    precisions: tuple[Precision, ...] = tuple(Precision)


def random_input(n: int, rate: float, seed: int, n_ticks: int = N_TICKS) -> SpikeTrain:
    """Each channel fires with probability ``rate`` per tick."""
    raster = np.random.default_rng(seed).random((n_ticks, n)) < rate
    return SpikeTrain.from_dense(raster, dt_s=Dynamics().dt_s)


def _two_layers() -> tuple[SpikingGraph, SpikeTrain]:
    rng = np.random.default_rng(1)
    graph = layered(
        {
            "in_a": ("input", "a", rng.integers(0, 60, (40, 32))),
            "a_b": ("a", "b", rng.integers(0, 90, (24, 40))),
            "in_b_inh": ("input", "b", -rng.integers(0, 20, (24, 32))),
        },
        {"a": neurons(40, du=900, dv=300, vth=900), "b": neurons(24, du=4095, dv=120, vth=700)},
        "b",
    )
    return graph, random_input(32, 0.1, 2)


def _ties() -> tuple[SpikingGraph, SpikeTrain]:
    """V lands exactly on the threshold (no spike) in one neuron and one above in the other."""
    graph = layered(
        {"w": ("input", "a", np.array([[50, 50, 0], [50, 51, 0], [100, 0, 1]]))},
        {"a": neurons(3, du=4095, dv=2048, vth=100)},
        "a",
    )
    raster = np.zeros((N_TICKS, 3))
    raster[::7] = 1
    raster[3::7, 0] = 1
    return graph, SpikeTrain.from_dense(raster, dt_s=Dynamics().dt_s)


def _every_tick() -> tuple[SpikingGraph, SpikeTrain]:
    """Neurons that fire in consecutive ticks, bursts between silences."""
    graph = layered(
        {"w": ("input", "a", np.diag([255, 120, 60, 30]))},
        {"a": neurons(4, du=500, dv=50, vth=100)},
        "a",
    )
    raster = np.zeros((N_TICKS, 4))
    raster[10:40] = 1
    raster[200:203] = 1
    return graph, SpikeTrain.from_dense(raster, dt_s=Dynamics().dt_s)


def _recurrent() -> tuple[SpikingGraph, SpikeTrain]:
    rng = np.random.default_rng(3)
    graph = layered(
        {
            "in_a": ("input", "a", rng.integers(0, 120, (30, 16))),
            "a_a_exc": ("a", "a", np.triu(rng.integers(0, 30, (30, 30)), 1)),
            "a_a_self": ("a", "a", -150 * np.eye(30)),
            "a_slow": ("a", "slow", 20 * np.eye(30)),
            "slow_a": ("slow", "a", -25 * np.eye(30)),
        },
        {"a": neurons(30, du=4095, dv=200, vth=250), "slow": neurons(30, du=30, dv=4095, vth=90)},
        "a",
    )
    return graph, random_input(16, 0.15, 4)


def _negative_state() -> tuple[SpikingGraph, SpikeTrain]:
    """Inhibition drives u and v far below 0: decay rounds toward zero from below."""
    graph = layered(
        {
            "exc": ("input", "a", np.array([[200, 0], [90, 0]])),
            "inh": ("input", "a", np.array([[0, -255], [0, -77]])),
        },
        {"a": neurons(2, du=333, dv=77, vth=150)},
        "a",
    )
    return graph, random_input(2, 0.4, 5)


def _saturation() -> tuple[SpikingGraph, SpikeTrain]:
    """V saturates at +-(2**23 - 1), just above the highest threshold, in both directions."""
    rng = np.random.default_rng(6)
    graph = layered(
        {
            "exc": ("input", "a", np.hstack([np.full((4, 8), 255), np.zeros((4, 8))])),
            "inh": ("input", "a", np.hstack([np.zeros((4, 8)), -np.full((4, 8), 255)])),
        },
        {"a": neurons(4, du=99, dv=1, vth=131071)},
        "a",
    )
    raster = rng.random((N_TICKS, 16)) < 0.5
    raster[:200, 8:] = False
    raster[200:300, :8] = False
    return graph, SpikeTrain.from_dense(raster, dt_s=Dynamics().dt_s)


def _wrap() -> tuple[SpikingGraph, SpikeTrain]:
    """U overflows 24 bits and comes back negative."""
    graph = layered(
        {"w": ("input", "a", np.full((2, 64), 255))},
        {"a": neurons(2, du=9, dv=30, vth=5000)},
        "a",
        Dynamics(allow_wrap=True),
    )
    return graph, random_input(64, 0.6, 7)


CASES = (
    Case("two-layers", _two_layers),
    Case("ties-at-threshold", _ties),
    Case("consecutive-firing", _every_tick),
    Case("recurrent", _recurrent),
    Case("negative-state", _negative_state),
    Case("saturation", _saturation, _LOIHI_ONLY),
    Case("wrap", _wrap, _LOIHI_ONLY),
)


def assert_same_spikes(got: Trace, expected: Trace) -> None:
    """Fail with the number of differing (tick, neuron) slots per population."""
    assert set(got.spikes) == set(expected.spikes)
    differing = {name: got.spikes[name].differing(train) for name, train in expected.spikes.items()}
    assert not any(differing.values()), f"differing spikes per population: {differing}"


class BackendContract:
    """Subclass it and return your backend."""

    def backend(self) -> Backend:
        """The backend under test."""
        raise NotImplementedError

    def _runs(self, case: Case) -> list[tuple[SpikingGraph, SpikeTrain]]:
        graph, spikes = case.build()
        claimed = self.backend().capabilities.precisions
        return [(graph.with_precision(p), spikes) for p in case.precisions if p in claimed]

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_same_spikes_as_reference(self, case: Case) -> None:
        """Every population, every precision the backend claims."""
        for graph, spikes in self._runs(case):
            expected = ReferenceBackend().run(graph, spikes)
            assert len(expected.out), "the case is silent and proves nothing"
            assert_same_spikes(self.backend().run(graph, spikes), expected)

    def test_counts_follow_from_the_spikes(self) -> None:
        """Synops and updates against a brute-force count over the dense raster."""
        for graph, spikes in self._runs(CASES[0])[:1]:
            trace = self.backend().run(graph, spikes)
            for p in trace.populations:
                assert p.neuron_updates == p.neurons * spikes.n_ticks
            for count, c in zip(trace.connections, trace.network.connections, strict=True):
                train = trace.input if c.source == "input" else trace.spikes[c.source]
                delivered = train.dense()[:-1].astype(np.int64)
                assert count.synops == (delivered @ (c.matrix.toarray() != 0).T).sum()

    def test_the_future_does_not_matter(self) -> None:
        """Input after tick k changes nothing up to and including tick k."""
        for graph, spikes in self._runs(CASES[3])[:1]:
            half = spikes.n_ticks // 2
            first = spikes.between(0, half)
            changed = SpikeTrain(
                first.tick, first.neuron, spikes.n_ticks, spikes.shape, spikes.dt_s
            )
            whole, cut = (self.backend().run(graph, s) for s in (spikes, changed))
            for name, train in whole.spikes.items():
                assert train.between(0, half).differing(cut.spikes[name].between(0, half)) == 0

    def test_halves_equal_whole(self) -> None:
        """A run resumed from its state equals the run at once; else a state is refused."""
        for graph, spikes in self._runs(CASES[3]):
            half = spikes.n_ticks // 2
            if not self.backend().capabilities.resumes:
                state = ReferenceBackend().run(graph, spikes.between(0, half)).state
                with pytest.raises(GraphError, match="cannot start from a state"):
                    self.backend().run(graph, spikes, state)
                continue
            first = self.backend().run(graph, spikes.between(0, half))
            second = self.backend().run(graph, spikes.between(half, spikes.n_ticks), first.state)
            whole = self.backend().run(graph, spikes)
            joined = Trace.join([first, second])
            assert_same_spikes(joined, whole)
            assert joined.connections == whole.connections

    def test_silence_stays_silent(self) -> None:
        """No input, no spike."""
        for graph, spikes in self._runs(CASES[0])[:1]:
            empty = SpikeTrain.from_dense(np.zeros((20, spikes.n_neurons)), dt_s=spikes.dt_s)
            trace = self.backend().run(graph, empty)
            assert sum(len(train) for train in trace.spikes.values()) == 0

    def test_refuses_precisions_it_does_not_claim(self) -> None:
        """And names the backends that have them."""
        graph, spikes = CASES[0].build()
        backend = self.backend()
        for precision in set(Precision) - backend.capabilities.precisions:
            with pytest.raises(GraphError, match="backends with"):
                backend.run(graph.with_precision(precision), spikes)

    def test_refuses_input_of_another_size(self) -> None:
        """The message names the input node and both shapes."""
        graph, spikes = self._runs(CASES[0])[0]
        wrong = replace(spikes, shape=(spikes.n_neurons + 1,))
        with pytest.raises(GraphError, match="input"):
            self.backend().run(graph, wrong)
