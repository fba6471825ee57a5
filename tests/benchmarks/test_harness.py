"""The parts of the spiking benchmark that decide what its tables say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.common import ratio, take_turns
from benchmarks.peers.brian import EVENTS
from benchmarks.peers.environment import NotInstalledError
from benchmarks.peers.lava.run import SPARSE_PIXELS
from benchmarks.peers.memory import write_recording
from benchmarks.peers.task import Peer, Task, counts_train, cut, expected, task_from
from benchmarks.spiking_patch import Candidate, attempt, patch_row
from benchmarks.spiking_streams import noise_at
from benchmarks.spiking_targets import row, target_rows
from benchmarks.spiking_throughput import on_grid
from neurovlm.core.grid import PatchGrid
from neurovlm.events.io import read
from neurovlm.events.stream import EventStream
from neurovlm.frontend.patch_lif import patch_lif
from neurovlm.spiking.dynamics import Precision


def task_of(events: list[tuple[int, int, int, int]], n_ticks: int) -> Task:
    t, x, y, p = np.array(events).T
    stream = EventStream(t, x, y, p > 0, (126, 126))
    return task_from(patch_lif(), stream, n_ticks)


def test_rounds_are_interleaved_and_ratios_pair_them() -> None:
    calls: list[str] = []

    def call(name: str, values: list[float]) -> float:
        calls.append(name)
        return values.pop(0)

    slow, quick = [10.0, 40.0, 90.0], [5.0, 10.0, 30.0]
    times = take_turns({"a": lambda: call("a", slow), "b": lambda: call("b", quick)}, 3)
    assert calls == ["a", "b"] * 3
    assert ratio(times["a"], times["b"]) == 3.0  # of 2, 4 and 3


def test_a_task_counts_repeated_pixels_and_keeps_polarities_apart() -> None:
    task = task_of([(0, 0, 0, 1), (10, 0, 0, 1), (20, 0, 0, 0), (999, 9, 0, 1), (1000, 0, 9, 0)], 3)
    assert task.counts.shape == (3, 196)
    assert {(t, n): task.counts[t, n] for t, n in np.argwhere(task.counts)} == {
        (0, 0): 3, (0, 1): 1, (1, 14): 1,
    }  # fmt: skip
    off, on = 0, 126 * 126
    assert task.pixel_tick.tolist() == [0, 0, 0, 1]
    assert task.pixel.tolist() == [off, on, on + 9, off + 9 * 126]
    assert task.pixel_count.tolist() == [1, 2, 1, 1]
    assert not task.delayed()[0].any()
    np.testing.assert_array_equal(task.delayed()[1:], task.counts[:-1])


def test_pixels_sum_to_their_patches_after_a_cut_too() -> None:
    task = cut(task_from(patch_lif(), noise_at(200_000, 0.1), 60), 40)
    counts = np.zeros((40, 196), int)
    np.add.at(counts, (task.pixel_tick, task.patch_of[task.pixel]), task.pixel_count)
    np.testing.assert_array_equal(task.counts, counts)
    np.testing.assert_array_equal(counts_train(task).dense_values(), counts)


def test_decays_are_those_of_the_graph() -> None:
    task = task_of([(0, 0, 0, 1)], 1)
    assert (task.keep_u, task.keep_v) == (1 - 1 / 4, 1 - 1 / 16)  # tau of 4 and 16 ms
    assert (task.vth, task.weight) == (150, 2)


def test_a_long_recording_reads_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "long.dat"
    write_recording(path, 30_000, rate_hz=1e6)
    stream = read(path)
    assert (len(stream), stream.sensor) == (30_000, (128, 128))
    assert 0 <= stream.t[0] <= stream.t[-1] < 30_000
    assert {*np.unique(stream.x)} == {*np.unique(stream.y)} == set(range(128))
    with pytest.raises(ValueError, match="too long for a DAT file"):
        write_recording(path, 10**7, rate_hz=1)


def test_events_on_the_grid_keep_their_distance_from_its_corner() -> None:
    x, y = np.array([0, 1, 126, 127]), np.array([1, 1, 126, 5])
    stream = EventStream(np.arange(4), x, y, np.ones(4, bool), (128, 128))
    kept = on_grid(stream, PatchGrid())
    assert (kept.t.tolist(), kept.x.tolist(), kept.y.tolist()) == ([1, 2], [0, 125], [0, 125])


def peer(task: Task, wrong: int = 0) -> Peer:
    raster = expected(task, Precision.LOIHI)
    raster.ravel()[:wrong] ^= True
    return Peer("Other", "form", lambda: 2e-6, lambda: raster, Precision.LOIHI)


def test_differing_spikes_of_a_peer_are_counted() -> None:
    task = task_from(patch_lif(), noise_at(500_000, 0.05), 50)
    tried = attempt(Candidate("counts", "Other", "form", lambda t: peer(t, wrong=3)), task)
    assert tried.spikes > 0
    assert (tried.differing, tried.differing_loihi) == (3, 3)
    times: dict[Any, list[float]] = {
        tried.candidate: [2e-6, 4e-6], ("counts", "wall"): [1e-6, 1e-6],
    }  # fmt: skip
    line = patch_row("stream", tried, times, 1e-3)
    assert (line["us/tick"], line["fast us/tick"], line["fast is"]) == pytest.approx((3, 1, 3))


def test_a_peer_that_is_not_installed_stays_in_both_tables() -> None:
    def missing(task: Task) -> Peer:
        raise NotInstalledError("no network")

    task = task_of([(0, 0, 0, 1)], 2)
    rows = []
    for name, make in {"Norse": peer, "Sinabs": missing}.items():
        tried = attempt(Candidate("counts", name, "form", make), task)
        times: dict[Any, list[float]] = {tried.candidate: [2e-4], ("counts", "wall"): [1e-6]}
        rows.append(patch_row("scene, 500 k/s", tried, times, 1e-3))
    assert rows[0].keys() == rows[1].keys()
    assert (rows[1]["us/tick"], rows[1]["note"]) == (None, "not installed: no network")
    figures: dict[str, Any] = {name: [] for name in FIGURES} | {"patch": rows, "first_result": None}
    (line,) = (r for r in target_rows(figures) if "counts" in r["work"])
    assert line["met"] == "yes"
    assert line["note"] == "of the rest; not installed: Sinabs"


FIGURES = ("agreement", "patch", "engines", "throughput", "binning", "memory")


@pytest.mark.parametrize(
    ("reached", "at_most", "met"),
    [(5.0, False, "yes"), (4.9, False, "NO"), (5.0, True, "yes"), (5.1, True, "NO"),
     (None, False, "not measured")],
)  # fmt: skip
def test_a_target_is_met_or_not_or_not_measured(
    reached: float | None, at_most: bool, met: str
) -> None:
    assert row("work", "", "", "", "", reached, 5, at_most=at_most)["met"] == met


def test_every_target_stands_in_the_table() -> None:
    def engine(name: str, seconds: float) -> dict[str, Any]:
        line = {"graph": "change-detector", "stream": "scene, 500 k/s", "engine": name, "note": ""}
        times = {"us/tick": seconds * 1e6, "x real time": 1e-3 / seconds, "fast us/tick": 20.0}
        return line | times | {"precision": "loihi", "fast is": seconds / 20e-6}

    def patch(name: str, form: str, rate: str, ratio_: float) -> dict[str, Any]:
        line = {"stream": f"scene, {rate}", "peer": name, "form": form, "note": ""}
        return line | {"us/tick": ratio_, "fast us/tick": 1.0, "fast is": ratio_}

    figures: dict[str, Any] = {
        "agreement": [{"recording": "a", "engine": "lava", "differing": 0}],
        "patch": [
            patch("Lava", SPARSE_PIXELS.words, "500 k/s", 600.0),
            patch("Brian2", EVENTS, "500 k/s", 4.0),
            patch("Brian2", EVENTS, "5,000 k/s", 4.0),
            patch("Norse", "", "500 k/s", 150.0),
            patch("Sinabs", "", "500 k/s", 90.0),
        ],
        "engines": [
            engine("fast, from events", 25e-6), engine("lava", 4e-3), engine("norse", 2e-4),
        ],
        "throughput": [{"graph": "patch-lif", "stream": "scene", "M events/s": 500.0}],
        "binning": [
            {"stream": "scene", "tonic M events/s": 10.0, "ours M events/s": 450.0, "ratio": 45.0,
             "note": ""},
        ],
        "memory": [{"graph": "patch-lif", "events": 200_000_000, "peak_mib": 1025.0}],
        "first_result": {"cold_s": 14.0, "warm_s": 1.0, "new_graph_s": 2.5},
    }  # fmt: skip
    rows = target_rows(figures)
    assert [(r["work"], r["met"]) for r in rows] == [
        ("differing spikes, both graphs", "yes"),
        ("patch-lif, events -> spikes", "yes"),
        ("patch-lif, events -> spikes", "NO"),  # Brian2 at 500 k/s
        ("patch-lif, events -> spikes", "yes"),
        ("patch-lif, counts -> spikes", "NO"),  # Sinabs, the fastest
        ("change-detector, spikes -> spikes", "yes"),  # Lava
        ("change-detector, spikes -> spikes", "NO"),  # Norse
        ("change-detector, events -> spikes", "yes"),
        ("patch-lif, sustained, one core", "yes"),
        ("binning to 1 ms patch counts", "yes"),
        ("simulate --graph patch-lif, peak memory", "NO"),
        ("engine compiled once per machine", "yes"),
        ("a new graph after that", "NO"),
    ]
    assert len({tuple(r) for r in rows}) == 1  # one table
