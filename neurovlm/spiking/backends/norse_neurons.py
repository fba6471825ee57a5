"""Populations as Norse's neurons; loaded when a graph runs there. Time is in ticks, so dt is 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from norse.torch.functional.iaf import IAFFeedForwardState, IAFParameters, iaf_feed_forward_step
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
from norse.torch.functional.lif_refrac import (
    LIFRefracFeedForwardState,
    LIFRefracParameters,
    compute_refractory_update,
)
from norse.torch.functional.lsnn import (
    LSNNFeedForwardState,
    LSNNParameters,
    lsnn_feed_forward_step,
)
from torch import Tensor

from neurovlm.spiking.backends.torch_loop import parameter
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.network import Kind, Population

_METHOD = "heaviside"  # no gradient is asked for


@dataclass(frozen=True, eq=False)
class State:
    """Norse's variables, each ``(batch, n)``.

    ``i_before`` and ``arrived`` add up to our u; ``b`` is the threshold and ``rho`` the ticks of
    refractoriness left, both only where the population has them.
    """

    v: Tensor
    i: Tensor
    i_before: Tensor
    arrived: Tensor
    b: Tensor | None = None
    rho: Tensor | None = None


class NorseNeurons:
    """One population: LIF, LSNN where its threshold adapts, IAF where it has no leak."""

    def __init__(self, p: Population, dtype: torch.dtype) -> None:
        leaky = bool(p.loss_v.any())
        self._scale = parameter(p.loss_v / UNIT if leaky else np.ones(1), dtype)
        self._threshold = parameter(np.full(1, np.inf) if p.kind is Kind.LI else p.threshold, dtype)
        self._k_u = parameter(p.loss_u / UNIT, dtype)
        zero, v_th = torch.zeros((), dtype=dtype), self._threshold * self._scale
        self._lif = LIFParameters(self._k_u, self._scale, zero, v_th, zero, _METHOD)
        self._iaf = IAFParameters(v_th, zero, _METHOD)
        self._lsnn = LSNNParameters(
            self._k_u,
            self._scale,
            torch.tensor(p.loss_w / UNIT, dtype=dtype),
            zero,
            v_th,
            zero,
            p.step * self._scale,
            _METHOD,
        )
        self._held = LIFRefracParameters(self._lif, torch.tensor(p.refractory, dtype=dtype))
        self._fire = self._fire_iaf if not leaky else self._fire_lsnn if p.step else self._fire_lif

    def start(self, variables: Mapping[str, Tensor]) -> State:
        """Scale v and threshold; Norse's i has decayed already."""
        u, w = variables["u"], variables.get("w")
        return State(
            v=variables["v"] * self._scale,
            i=u + -self._k_u * u,
            i_before=u,
            arrived=torch.zeros_like(u),
            b=None if w is None else (self._threshold + w) * self._scale,
            rho=variables.get("wait"),
        )

    def step(self, arriving: Tensor, state: State) -> tuple[Tensor, State]:
        """One tick."""
        spikes, after = self._fire(arriving, state)
        after = replace(after, i_before=state.i, arrived=arriving)
        if state.rho is None:
            return spikes, after
        before = LIFRefracFeedForwardState(LIFFeedForwardState(state.v, state.i), state.rho)
        v, spikes, rho = compute_refractory_update(before, spikes, after.v, self._held)
        return spikes, replace(after, v=v, rho=rho)

    def variables(self, state: State) -> dict[str, Tensor]:
        """Our state variables."""
        found = {"u": state.i_before + state.arrived, "v": state.v / self._scale}
        if state.b is not None:
            found["w"] = state.b / self._scale - self._threshold
        if state.rho is not None:
            found["wait"] = state.rho
        return found

    def _fire_lif(self, arriving: Tensor, state: State) -> tuple[Tensor, State]:
        spikes, after = lif_feed_forward_step(
            arriving, LIFFeedForwardState(state.v, state.i), self._lif, dt=1
        )
        return spikes, replace(state, v=after.v, i=after.i)

    def _fire_iaf(self, arriving: Tensor, state: State) -> tuple[Tensor, State]:
        spikes, after = iaf_feed_forward_step(arriving, IAFFeedForwardState(state.v), self._iaf)
        return spikes, replace(state, v=after.v)

    def _fire_lsnn(self, arriving: Tensor, state: State) -> tuple[Tensor, State]:
        """Norse steps v with the i it is given, so that what arrives is added before."""
        parameters = self._lsnn
        if state.rho is not None:  # a spike that refractoriness takes back raises no threshold
            parameters = parameters._replace(beta=parameters.beta * (state.rho == 0))
        spikes, after = lsnn_feed_forward_step(
            torch.zeros_like(arriving),
            LSNNFeedForwardState(state.v, state.i + arriving, state.b),
            parameters,
            dt=1,
        )
        return spikes, replace(state, v=after.v, i=after.i, b=after.b)
