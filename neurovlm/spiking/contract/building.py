"""Small graphs and inputs in few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.neurons import neuron_shape
from neurovlm.spiking.train import SpikeTrain

N_TICKS = 256
DT_S = Dynamics().dt_s
Built = tuple[SpikingGraph, SpikeTrain]


def neurons(
    shape: int | tuple[int, ...], *, du: ArrayLike, dv: ArrayLike, vth: ArrayLike
) -> nir.CubaLIF:
    """Neurons with Loihi's decays ``du`` and ``dv`` and unit Euler gains, dt 1 ms."""
    full = np.ones(shape)
    loss_u, loss_v = np.asarray(du, np.float64) + 1, np.asarray(dv, np.float64)
    return nir.CubaLIF(
        tau_syn=full * DT_S * 4096 / loss_u,
        tau_mem=full * DT_S * 4096 / loss_v,
        r=full * 4096 / loss_v,
        w_in=full * 4096 / loss_u,
        v_leak=0 * full,
        v_threshold=full * np.asarray(vth, np.float64),
        v_reset=0 * full,
    )


def integrators(n: int, *, du: int, dv: int) -> nir.CubaLI:
    """The same without a threshold: they never fire."""
    like = neurons(n, du=du, dv=dv, vth=0)
    return nir.CubaLI(like.tau_syn, like.tau_mem, like.r, like.v_leak, like.w_in)


def encoders(n: int, *, vth: int) -> nir.IF:
    """Nodes that become delta or sigma-delta neurons by an `Extension` with ``encoding``."""
    return nir.IF(np.full(n, 1 / DT_S), np.full(n, float(vth)))


def layered(
    weights: Mapping[str, tuple[str, str, NDArray[Any]]],
    populations: Mapping[str, nir.NIRNode],
    output: str,
    dynamics: Dynamics | None = None,
    *,
    biases: Mapping[str, NDArray[Any]] | None = None,
    delays: Mapping[str, ArrayLike] | None = None,
    extensions: Mapping[str, Extension] | None = None,
) -> SpikingGraph:
    """Graph from named ``(source, target, matrix)`` weights; the input is called ``input``.

    ``biases`` and ``delays`` (axonal, in ticks, one or one per source neuron) belong to weights by
    name, ``extensions`` to nodes.
    """
    biases, delays = biases or {}, delays or {}
    n_inputs = next(w.shape[1] for source, _, w in weights.values() if source == "input")
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input({"input": np.array([n_inputs])}),
        "output": nir.Output({"output": np.array(neuron_shape(populations[output]))}),
        **populations,
    }
    edges = [(output, "output")]
    for name, (source, target, matrix) in weights.items():
        values = matrix.astype(np.float64)
        nodes[name] = (
            nir.Affine(values, biases[name].astype(np.float64))
            if name in biases
            else nir.Linear(values)
        )
        first = name
        if name in delays:
            first = f"{name}_delay"
            ticks = np.broadcast_to(np.asarray(delays[name]), matrix.shape[1:])
            nodes[first] = nir.Delay(ticks * DT_S)
            edges.append((first, name))
        edges += [(source, first), (name, target)]
    return SpikingGraph(
        nir.NIRGraph(nodes, edges), dynamics or Dynamics(), extensions=extensions or {}
    )


def one_layer(
    cells: nir.NIRNode,
    weights: Mapping[str, NDArray[Any]],
    dynamics: Dynamics | None = None,
    *,
    biases: Mapping[str, NDArray[Any]] | None = None,
    extensions: Mapping[str, Extension] | None = None,
) -> SpikingGraph:
    """The input's ``weights`` by name, into one population ``a``."""
    into_a = {name: ("input", "a", matrix) for name, matrix in weights.items()}
    return layered(into_a, {"a": cells}, "a", dynamics, biases=biases, extensions=extensions)


def random_input(
    n: int, rate: float, seed: int, n_ticks: int = N_TICKS, *, bits: int = 0
) -> SpikeTrain:
    """Each channel fires with probability ``rate`` per tick, graded with ``bits``."""
    rng = np.random.default_rng(seed)
    raster = rng.random((n_ticks, n)) < rate
    if not bits:
        return SpikeTrain.from_dense(raster, dt_s=DT_S)
    payload = raster * rng.integers(1, 1 << bits, raster.shape)
    return SpikeTrain.from_dense(payload, dt_s=DT_S, graded=True)


def sparse(
    rng: np.random.Generator, shape: tuple[int, int], low: int, high: int, density: float
) -> NDArray[np.int64]:
    """Random integer weights ``low <= w < high`` at ``density`` of the places."""
    weights: NDArray[np.int64] = rng.integers(low, high, shape) * (rng.random(shape) < density)
    return weights
