"""What Loihi's integers can hold: weights, decays, thresholds, and currents that never wrap.

A connection's weights are mantissas shifted left by one exponent. Mantissas of one sign have 8
bits and a sign that belongs to the connection; mixed signs cost the lowest bit, so these are even,
-256 to 254 (Lava 0.10.0, ``lava.utils.weightutils``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.extension import MAX_MESSAGE_BITS
from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT
from neurovlm.spiking.network import Connection, Network, Population

WEIGHT_BITS = 8
MAX_WEIGHT = 255
MAX_EXPONENT = 7
MAX_THRESHOLD = 131071  # 17 bits


class SignMode(StrEnum):
    """Signs that the weights of one connection have."""

    EXCITATORY = "excitatory"
    INHIBITORY = "inhibitory"
    MIXED = "mixed"


@dataclass(frozen=True, eq=False)
class WeightForm:
    """Weights as Loihi stores them: ``mantissa << exponent``, int64 mantissas."""

    mantissa: NDArray[np.int64]
    exponent: int
    sign_mode: SignMode


def sign_mode(weights: NDArray[np.float64] | NDArray[np.int64]) -> SignMode:
    """Signs of ``weights``; without a negative one they are excitatory."""
    if not weights.size or weights.min() >= 0:
        return SignMode.EXCITATORY
    return SignMode.INHIBITORY if weights.max() <= 0 else SignMode.MIXED


def stored_weights(
    weights: NDArray[np.int64],
    *,
    mode: SignMode | None = None,
    bits: int = WEIGHT_BITS,
    exponent: int = 0,
) -> NDArray[np.int64]:
    """Effective weights after Loihi has clipped, truncated and shifted them.

    Mantissas are clipped to 8 bits, lose their lowest ``8 - bits`` bits (one more where signs are
    mixed) by flooring, for inhibitory ones on the negated value, and are shifted left by
    ``exponent``.
    """
    mode = sign_mode(weights) if mode is None else mode
    lost = WEIGHT_BITS - bits + (mode is SignMode.MIXED)
    if mode is SignMode.INHIBITORY:
        return -(np.clip(-weights, 0, MAX_WEIGHT) >> lost << lost) << exponent
    low = -(MAX_WEIGHT + 1) if mode is SignMode.MIXED else 0
    return np.clip(weights, low, MAX_WEIGHT) >> lost << lost << exponent


def weight_form(connection: Connection) -> WeightForm:
    """Mantissas and exponent that give a connection's weights exactly.

    Raises
    ------
    GraphError
        When there are none, naming the node and the cure.
    """
    values = connection.matrix.data
    where = f"node {connection.name!r}"
    if not np.array_equal(values, np.rint(values)):
        bad = values[values != np.rint(values)][0]
        raise GraphError(
            f"{where}: Loihi precision needs integer weights, got {bad:g}; "
            "quantise the graph, or use --precision float64"
        )
    weights = values.astype(np.int64)
    mode = sign_mode(weights)
    for exponent in range(MAX_EXPONENT + 1):
        mantissa = weights >> exponent
        if np.array_equal(stored_weights(mantissa, mode=mode, exponent=exponent), weights):
            return WeightForm(mantissa, exponent, mode)
    largest = int(weights[np.abs(weights).argmax()])
    if mode is SignMode.MIXED and abs(largest) <= MAX_WEIGHT:
        raise GraphError(
            f"{where}: a mixed-sign matrix loses its lowest bit on Loihi and has odd weights; "
            "split it into an excitatory and an inhibitory node"
        )
    raise GraphError(
        f"{where}: Loihi weights lie in -{MAX_WEIGHT}..{MAX_WEIGHT} times one power of two up to "
        f"{1 << MAX_EXPONENT}, got {largest}; scale weights and threshold down"
    )


def check_loihi(network: Network) -> None:
    """Refuse what Loihi's integers cannot hold, naming the node.

    u cannot wrap when 64 * (sum of one neuron's weights of one sign in a tick) * 4096 / (du + 1)
    stays below 2**23: the left side is the fixed point of u under that input in every tick.

    Raises
    ------
    GraphError
        For fractional or too large weights, biases and thresholds, odd weights of both signs in one
        connection, decays out of range, and a u that could wrap.
    """
    for connection in network.connections:
        weight_form(connection)
    for population in network.populations:
        _check_integers(population)
        if population.graded:
            continue
        _check_decays(population)
        if not network.dynamics.allow_wrap:
            _check_wrap(network, population)


def _check_integers(population: Population) -> None:
    where = f"node {population.name!r}"
    step = np.array([population.step])
    fields = {"thresholds": population.threshold, "biases": population.bias, "adapt_step": step}
    for label, values in fields.items():
        if not np.array_equal(values, np.rint(values)):
            bad = values[values != np.rint(values)][0]
            raise GraphError(
                f"{where}: Loihi precision needs integer {label}, got {bad:g}; "
                "quantise the graph, or use --precision float64"
            )
    if population.vth.min() < 0 or population.vth.max() > MAX_THRESHOLD:
        raise GraphError(
            f"{where}: Loihi thresholds lie in 0..{MAX_THRESHOLD}, got "
            f"{population.vth.min()}..{population.vth.max()}"
        )


def _check_decays(population: Population) -> None:
    where = f"node {population.name!r}"
    for label, decay in (("tau_syn", population.du), ("tau_mem", population.dv)):
        if decay.min() < 0 or decay.max() > UNIT - 1:
            raise GraphError(
                f"{where}: {label} gives a Loihi decay of {decay.min()}..{decay.max()}, "
                f"allowed is 0..{UNIT - 1}; change {label} or dt"
            )
    if not population.step:
        return
    if not 1 <= population.dw <= UNIT:
        raise GraphError(
            f"{where}: adapt_tau_s gives a decay of {population.dw} in 4096ths, allowed is "
            f"1..{UNIT}; change adapt_tau_s or dt"
        )
    peak = (population.step * UNIT / population.dw + population.vth.max()) * (1 << WEIGHT_SHIFT)
    if peak >= LIMIT:
        raise GraphError(
            f"{where}: the adaptive threshold could reach {peak:.0f} and leave 24 bits; "
            "lower adapt_step or adapt_tau_s"
        )


def peak_current(network: Network, population: Population) -> NDArray[np.float64]:
    """Largest ``|u|`` in Loihi's units that any input can cause, ``(n,)``.

    64 (sum of one neuron's weights of one sign, bias included) 4096 / (du + 1), the fixed point of
    u when all of them arrive in every tick. Graded spikes count with their largest payload.
    """
    positive = np.maximum(population.bias, 0)
    negative = np.maximum(-population.bias, 0)
    for connection in network.connections:
        if connection.target != population.name:
            continue
        excitation = connection.matrix.maximum(0).sum(axis=1)
        inhibition = -connection.matrix.minimum(0).sum(axis=1)
        if connection.source == network.input_name:  # payloads of the input are positive
            most = max((1 << network.input_bits) - 1, 1)
            excitation, inhibition = excitation * most, inhibition * most
        elif network.is_graded(connection.source):
            excitation = inhibition = (excitation + inhibition) * (1 << MAX_MESSAGE_BITS)
        positive, negative = positive + excitation, negative + inhibition
    drive = np.maximum(positive, negative) * (1 << WEIGHT_SHIFT)
    peak: NDArray[np.float64] = drive * UNIT / (population.du + 1)
    return peak


def _check_wrap(network: Network, population: Population) -> None:
    peak = peak_current(network, population)
    if peak.max() >= LIMIT:
        raise GraphError(
            f"node {population.name!r}: u could reach {peak.max():.0f} and wrap at {LIMIT}; "
            "lower its weights or tau_syn, or build it with Dynamics(allow_wrap=True)"
        )
