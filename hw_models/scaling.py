r"""The same run with more or fewer events, or with more or fewer active tokens.

Rules. An **event rate** r times the run's own multiplies the spikes and synops of every spiking
layer by r, inputs and what follows alike; neurons are updated as often as before, and the ANN does
what it did. An **activity** x (share of the skippable MACs that is executed) changes the counts
that this run skipped a part of, each in proportion to its own: with the run's own activity x0,

    count(x) = executed x / x0                                       up to x0
    count(x) = executed + (dense - executed) (x - x0) / (1 - x0)     above

so 0 skips all that this run could skip, x0 is the run and 1 its dense twin. Counts that the run
skipped nothing of (weights, launches, the decoder) stay as they are. Padded counts move likewise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from hw_models.errors import EstimateError
from hw_models.ops import COUNTS, LayerOps, Ops
from hw_models.workload import Workload

_SPIKING_COUNTS = ("spikes", "synops")
_LONGER = 1000  # counts are whole numbers; of a recording so much longer they round finely


def event_rate_hz(workload: Workload) -> float:
    """Return the spikes that the input layers inject per second of the recording.

    Raises
    ------
    EstimateError
        The workload has no input layer, or no spike in it.
    """
    injected = sum(layer.executed.spikes for layer in workload.layers if layer.is_input)
    if not injected:
        raise EstimateError(
            f"workload {workload.name!r} injects no spikes, so it has no event rate; "
            f"add an input layer (a spiking layer with 0 neurons)"
        )
    return injected / workload.inferences * 1000 / workload.window_ms


def with_event_rate(workload: Workload, rate_hz: float) -> Workload:
    """Return the run at another event rate [1/s].

    Raises
    ------
    EstimateError
        The rate is negative or not finite, or the run has none.
    """
    if not (math.isfinite(rate_hz) and rate_hz >= 0):
        raise EstimateError(f"event rate must be at least 0 and finite, got {rate_hz}")
    factor = rate_hz / event_rate_hz(workload)

    def scaled(layer: LayerOps) -> LayerOps:
        if not layer.is_spiking:
            return layer
        return _with_counts(
            layer, lambda which, name: factor * getattr(getattr(layer, which), name)
        )

    return _each(workload, scaled)


def activity_of(workload: Workload) -> float:
    """Return the executed share of the MACs of all layers that skip some, between 0 and 1.

    Raises
    ------
    EstimateError
        No layer skips MACs, so there is nothing to vary.
    """
    skipping = [each for each in workload.layers if each.executed.macs < each.dense.macs]
    if not skipping:
        raise EstimateError(
            f"workload {workload.name!r} skips no MACs (executed equals dense), so activity would "
            f"change nothing; take a run that skips tokens"
        )
    executed = sum(layer.executed.macs for layer in skipping)
    return executed / sum(layer.dense.macs for layer in skipping)


def with_activity(workload: Workload, activity: float) -> Workload:
    """Return the run at another activity.

    Raises
    ------
    EstimateError
        The activity is not between 0 and 1, or the run skips nothing.
    """
    if not 0 <= activity <= 1:
        raise EstimateError(f"activity must be between 0 and 1, got {activity}")
    own = activity_of(workload)

    def between(count: int, dense: int) -> float:
        if activity < own:
            return count * activity / own
        return count + (dense - count) * (activity - own) / (1 - own)

    def scaled(layer: LayerOps) -> LayerOps:
        if layer.is_spiking:
            return layer

        def moved(which: str, name: str) -> float:
            count = getattr(getattr(layer, which), name)
            dense = getattr(layer.dense, name)
            skips = getattr(layer.executed, name) < dense
            return between(count, dense) if skips and which != "dense" else count

        return _with_counts(layer, moved)

    return _each(workload, scaled)


def _each(workload: Workload, scaled: Callable[[LayerOps], LayerOps]) -> Workload:
    longer = replace(
        workload,
        inferences=workload.inferences * _LONGER,
        ticks=workload.ticks * _LONGER,
        layers=tuple(map(_longer, workload.layers)),
    )
    return replace(longer, layers=tuple(map(scaled, longer.layers)))


def _longer(layer: LayerOps) -> LayerOps:
    def times(ops: Ops) -> Ops:
        return Ops(**{name: count * _LONGER for name, count in ops.to_dict().items()})

    return replace(
        layer,
        executed=times(layer.executed),
        padded=times(layer.padded),
        dense=times(layer.dense),
    )


def _with_counts(layer: LayerOps, count: Callable[[str, str], float]) -> LayerOps:
    """Replace counts, rounded, and kept in order where rounding would break it by one."""
    names = _SPIKING_COUNTS if layer.is_spiking else COUNTS
    dense, padded, executed = (
        {**getattr(layer, which).to_dict(), **{name: round(count(which, name)) for name in names}}
        for which in ("dense", "padded", "executed")
    )
    padded = {name: min(padded[name], dense[name]) for name in COUNTS}
    executed = {name: min(executed[name], padded[name]) for name in COUNTS}
    return replace(layer, executed=Ops(**executed), padded=Ops(**padded), dense=Ops(**dense))
