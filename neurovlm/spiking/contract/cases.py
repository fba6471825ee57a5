"""The graphs and inputs on which a backend has to give the reference's spikes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neurovlm.spiking.contract import features, plain
from neurovlm.spiking.contract.building import Built
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.trace import Probe, probe

_LOIHI_ONLY = (Precision.LOIHI,)


@dataclass(frozen=True)
class Case:
    """A graph and an input of at least 1e5 neuron ticks.

    Attributes
    ----------
    precisions
        Those in which the case makes sense.
    probes
        What is compared beside the spikes, where spikes say too little.
    """

    name: str
    build: Callable[[], Built]
    precisions: tuple[Precision, ...] = tuple(Precision)
    probes: tuple[Probe, ...] = ()


CASES = (
    Case("two-layers", plain.two_layers),
    Case("ties-at-threshold", plain.ties),
    Case("consecutive-firing", plain.consecutive),
    Case("bursts", plain.bursts),
    Case("mixed-signs", plain.mixed_signs),
    Case("exponents", plain.exponents),
    Case("parallel-connections", plain.parallel),
    Case("recurrent", plain.recurrent),
    Case("negative-state", plain.negative_state),
    Case("saturation", plain.saturation, _LOIHI_ONLY),
    Case("wrap", plain.wrap, _LOIHI_ONLY),
    Case("convolution", plain.convolution),
    Case("integrate-and-fire", plain.integrate_and_fire),
    Case("uniform-delays", features.uniform_delays),
    Case("delays-per-neuron", features.delays_per_neuron),
    Case("per-neuron-parameters", features.per_neuron),
    Case("bias", features.bias),
    Case("leaky-integrator", features.leaky_integrator, probes=(probe("read", ("u", "v")),)),
    Case("refractory", features.refractory),
    Case("adaptive-threshold", features.adaptive),
    Case("refractory-and-adaptive", features.refractory_and_adaptive),
    Case("graded-input", features.graded_input),
    Case("sigma-delta", features.sigma_delta),
)


def case_named(name: str) -> Case:
    """The case called ``name``."""
    return next(case for case in CASES if case.name == name)
