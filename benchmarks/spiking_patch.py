"""`patch-lif` beside its peers: counts -> spikes and events -> spikes, interleaved rounds."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import spiking_ours as ours
from benchmarks.common import ratio, take_turns
from benchmarks.peers.brian import COUNTS, EVENTS, brian_peer
from benchmarks.peers.environment import PEERS, NotInstalledError, Worker
from benchmarks.peers.lava.run import DENSE_COUNTS, SPARSE_COUNTS, SPARSE_PIXELS, lava_peer
from benchmarks.peers.task import Peer, Raster, Task, cut, expected, task_from
from benchmarks.peers.torch_peers import NORSE, SNNTORCH, norse_peer, snntorch_peer
from neurovlm.core.errors import NeurovlmError
from neurovlm.events.stream import EventStream
from neurovlm.frontend.patch_lif import patch_lif
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.trace import Trace


@dataclass(frozen=True)
class Candidate:
    """A peer that may or may not run here. ``work`` is what goes in: counts or events."""

    work: str
    name: str
    form: str
    make: Callable[[Task], Peer]


@dataclass(frozen=True)
class Tried:
    """A candidate after its first run; without a peer, ``reason`` says why.

    ``differing`` counts (tick, neuron) slots against the same equations in the peer's own
    arithmetic, ``differing_loihi`` against Loihi's integers.
    """

    candidate: Candidate
    peer: Peer | None = None
    reason: str = ""
    spikes: int = 0
    differing: int = 0
    differing_loihi: int = 0


def attempt(candidate: Candidate, task: Task) -> Tried:
    """Prepare a peer and run it once; one that is not installed is told, not dropped."""
    try:
        peer = candidate.make(task)
        raster: Raster = peer.raster()
    except (ImportError, NotInstalledError, NeurovlmError) as error:
        return Tried(candidate, reason=" ".join(str(error).split()))
    own, loihi = (
        int(np.count_nonzero(raster != expected(task, precision)))
        for precision in (peer.precision, Precision.LOIHI)
    )
    return Tried(candidate, peer, "", int(raster.sum()), own, loihi)


def open_worker(stack: ExitStack, folder: Path) -> Worker | NotInstalledError:
    """The second environment, built if need be, or why it is not there."""
    try:
        return stack.enter_context(Worker(folder))
    except NotInstalledError as error:
        return error


def candidates(
    scratch: Path, worker: Worker | NotInstalledError, *, lava: bool
) -> Iterator[Candidate]:
    """Every peer in every form; Brian2's programs go to ``scratch``."""
    for work, form in (("events", EVENTS), ("counts", COUNTS)):
        make = partial(brian_peer, form=form, folder=scratch / f"brian2-{work}")
        yield Candidate(work, "Brian2", form, make)
    yield Candidate("counts", "snnTorch", SNNTORCH, snntorch_peer)
    yield Candidate("counts", "Norse", NORSE, norse_peer)
    for name, form in PEERS.items():
        yield Candidate("counts", name, form, partial(_elsewhere, worker, name))
    for work, lava_form in (
        ("events", SPARSE_PIXELS),
        ("counts", SPARSE_COUNTS),
        ("counts", DENSE_COUNTS),
    ):
        if lava:
            yield Candidate(work, "Lava", lava_form.words, partial(lava_peer, form=lava_form))


def _elsewhere(worker: Worker | NotInstalledError, name: str, task: Task) -> Peer:
    if isinstance(worker, NotInstalledError):
        raise worker
    return worker.peer(name, task)


def patch_rows(
    name: str,
    stream: EventStream,
    *,
    n_ticks: int,
    lava_ticks: int,
    rounds: int,
    worker: Worker | NotInstalledError,
    console: Console,
) -> list[dict[str, Any]]:
    """Every peer on the first ``n_ticks`` ticks; Lava on the first ``lava_ticks``, 0 for none."""
    graph = patch_lif()
    task = task_from(graph, stream, n_ticks)
    t0_us = int(stream.t[0])
    events = stream.between(t0_us, t0_us + n_ticks * graph.dynamics.dt_us)
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        tried = []
        for candidate in candidates(Path(scratch), worker, lava=lava_ticks > 0):
            console.log(f"{name}: {candidate.name}, {candidate.form}")
            given = cut(task, lava_ticks) if candidate.name == "Lava" else task
            tried.append(attempt(candidate, given))
        _check_exact(name, tried)
        runs = {"counts": ours.counts_run(task), "events": ours.events_run(graph, events, n_ticks)}
        _check_ours(name, task, runs)
        work: dict[Any, Callable[[], float]] = {
            (kind, clock): partial(ours.per_tick, run, n_ticks, clock)
            for kind, run in runs.items()
            for clock in ours.CLOCKS
        }
        work |= {one.candidate: one.peer.seconds for one in tried if one.peer is not None}
        times = take_turns(work, rounds)
    return [patch_row(name, one, times, task.dt_s) for one in tried]


def _check_exact(stream: str, tried: Sequence[Tried]) -> None:
    """End the benchmark when a peer in Loihi's integers does not give the reference's spikes."""
    for one in tried:
        if one.peer is not None and one.peer.precision is Precision.LOIHI and one.differing:
            sys.exit(
                f"{stream}: {one.peer.name} ({one.peer.form}) differs in {one.differing} slots"
            )


def _check_ours(stream: str, task: Task, runs: dict[str, Callable[[], Trace]]) -> None:
    """End the benchmark when our own spikes are not the reference's."""
    truth = expected(task, Precision.LOIHI)
    for kind, run in runs.items():
        (train,) = run().spikes.values()
        if differing := np.count_nonzero(train.dense() != truth):
            sys.exit(f"{stream}: fast from {kind} differs from the reference in {differing} slots")


def patch_row(
    stream: str, one: Tried, times: dict[Any, list[float]], dt_s: float
) -> dict[str, Any]:
    """A line of the table; ours is measured on the same input and by the same clock."""
    candidate, peer = one.candidate, one.peer
    row: dict[str, Any] = {
        "graph": "patch-lif",
        "stream": stream,
        "from": candidate.work,
        "peer": candidate.name,
        "form": candidate.form,
    }
    if peer is None:
        numbers = ("us/tick", "x real time", "spikes", "differing", "from Loihi's", "fast us/tick")
        return (
            row | dict.fromkeys(numbers) | {"fast is": None, "note": f"not installed: {one.reason}"}
        )
    theirs = times[candidate]
    fast = times["counts" if candidate.work == "counts" else "events", peer.clock]
    return row | {
        "us/tick": statistics.median(theirs) * 1e6,
        "x real time": dt_s / statistics.median(theirs),
        "spikes": one.spikes,
        "differing": one.differing,
        "from Loihi's": one.differing_loihi,
        "fast us/tick": statistics.median(fast) * 1e6,
        "fast is": ratio(theirs, fast),
        "note": f"{peer.precision}, {peer.clock} time",
    }
