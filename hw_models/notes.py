"""What a reader must know beside the numbers: each rule may add a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hw_models.fit import fit_of
from hw_models.ops import NETWORK_KINDS, TOKEN_BUCKETS
from hw_models.plan import Plan

_LAUNCH_BOUND = 0.5  # share of the processor's time from which a run counts as launch-bound
_IDLE_BOUND = 0.5  # share of the energy from which idle is worth a sentence


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules look at; nominal values, shares between 0 and 1."""

    plan: Plan
    rate_hz: float
    latency_s: float
    launch_share: float
    dense_launch_share: float
    idle_share: float


def notes_on(s: Situation) -> tuple[str, ...]:
    """Return the notes that apply, the most consequential first."""
    rules = (
        _coverage,
        _realtime,
        _rate,
        _fit,
        _launches,
        _padding,
        _spiking,
        _precision,
        _links,
        _rest,
    )
    return tuple(note for rule in rules for note in rule(s))


def _coverage(s: Situation) -> Iterator[str]:
    if s.plan.not_covered:
        yield "front end only: do not rank against whole pipelines"


def _realtime(s: Situation) -> Iterator[str]:
    load = s.rate_hz * s.latency_s
    if load > 1:
        yield (
            f"not real time: {s.rate_hz:g} inferences per second of {s.latency_s * 1e3:.3g} ms "
            f"each need {load:.3g} s per second; the power figure exceeds what the device can "
            f"sustain"
        )


def _rate(s: Situation) -> Iterator[str]:
    per_window = 1000 / s.plan.workloads[0].window_ms
    if abs(s.rate_hz - per_window) > 1e-9 * per_window:
        yield (
            f"{s.rate_hz:g} Hz replays the counts per inference of windows of "
            f"{s.plan.workloads[0].window_ms:g} ms ({per_window:g} Hz)"
        )


def _fit(s: Situation) -> Iterator[str]:
    for mapping in (chip.mappings[0] for chip in s.plan.chips if chip.layers[0]):
        if mapping.fits:
            yield f"the spiking network {mapping.reason}"
        else:
            yield f"{mapping.reason}; the figures are for {mapping.n_chips} chips"
    for found in (fit_of(s.plan, part) for part in s.plan.processors):
        if found is not None:
            yield found.reason


def _launches(s: Situation) -> Iterator[str]:
    if min(s.launch_share, s.dense_launch_share) > _LAUNCH_BOUND:
        yield (
            f"dense and sparse are both launch-bound ({s.dense_launch_share:.0%} and "
            f"{s.launch_share:.0%} of the processor's time starts kernels): skipping tokens "
            f"saves little here"
        )
    silent = [
        layer
        for part in s.plan.processors
        for layer in part.layers[0]
        if layer.executed.macs and not layer.executed.launches
    ]
    if silent:
        yield (
            f"{len(silent)} layers count no launches (first {silent[0].stage}/{silent[0].layer}): "
            f"their launch cost is missing"
        )


def _padding(s: Situation) -> Iterator[str]:
    layers = [
        layer for part in s.plan.processors if part.device.static_shapes for layer in part.layers[0]
    ]
    executed = sum(layer.executed.macs for layer in layers)
    padded = sum(layer.padded.macs for layer in layers)
    if padded > executed:
        yield (
            f"static shapes: active tokens padded to {', '.join(map(str, TOKEN_BUCKETS))} cost "
            f"{padded / executed - 1:.0%} more MACs than the run executed"
        )
    if any(layer.kind in ("gather", "scatter") for layer in layers):
        yield "the dense twin has no gather and scatter"


def _spiking(s: Situation) -> Iterator[str]:
    if any(layer.is_spiking for part in s.plan.processors for layer in part.layers[0]):
        yield (
            "spiking stages are costed as state-update and scattered-add kernels (assumed); "
            "synops and neuron updates are not MACs"
        )
    layers = [layer for part in s.plan.chips for layer in part.layers[0] if layer.is_spiking]
    if not layers:
        return
    if not any(layer.is_input for layer in layers):
        yield "the workload has no input layer: injecting input spikes is not counted"
    yield (
        "mapping: layers share no core, load spread evenly, a spike goes to the cores of the next "
        "layer in the list that hear it"
    )


def _precision(s: Situation) -> Iterator[str]:
    ran: dict[str, set[str]] = {}
    for part in s.plan.processors:
        own = {layer.ran_as for layer in part.layers[0] if not layer.is_spiking}
        ran.setdefault(part.precision, set()).update(own - {part.precision})
    for precision, others in ran.items():
        if others:
            yield (
                f"ran as {', '.join(sorted(others))}, costed as {precision}: bytes are rescaled, "
                f"accuracy at that precision is not checked"
            )


def _links(s: Situation) -> Iterator[str]:
    for link in s.plan.links:
        for layer in (sent.layer for sent in link.sent[0]):
            over = f"{layer.stage}/{layer.layer} over {link.device.title}"
            if layer.kind in NETWORK_KINDS:
                yield f"{over}: all activations that the network writes, its output among them"
            elif not layer.is_spiking and not layer.dense.write_bytes:
                yield f"{over}: the layer counts no bytes written, so carrying them is missing"


def _rest(s: Situation) -> Iterator[str]:
    if s.idle_share > _IDLE_BOUND:
        yield f"idle power is {s.idle_share:.0%} of the energy at {s.rate_hz:g} Hz"
    for part in (*s.plan.parts, *s.plan.links):
        yield from part.device.notes
    yield from s.plan.workloads[0].notes
