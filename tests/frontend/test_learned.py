"""The learned detector as a graph: what it shares, its laws, its files."""

from __future__ import annotations

import json
from itertools import pairwise

import nir
import numpy as np
import pytest

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.events.scenes import moving_square
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detect import Frontend, read_mask
from neurovlm.frontend.detector import DetectorConfig, change_detector
from neurovlm.frontend.learned import (
    KERNELS,
    METERS,
    WEIGHTS,
    LearnedConstants,
    learned_detector,
    load_constants,
    save_constants,
)
from neurovlm.spiking import nir_io
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.simulate import encode_whole
from neurovlm.spiking.train import SpikeTrain

SIDE = PatchGrid().side


@pytest.fixture(scope="module")
def frontend():
    return Frontend.build(detector="learned")


@pytest.fixture(scope="module")
def small():
    """The same kernels on five by five patches: quick to build and to run."""
    return learned_detector(grid=PatchGrid(side=5))


@pytest.fixture(scope="module")
def square():
    return moving_square(duration_s=0.3, noise_hz=2.0, seed=3)


@pytest.fixture(scope="module")
def result(frontend, square):
    return frontend.run(square.stream)


def noise(n_ticks, pixels, share, seed=0):
    raster = np.random.default_rng(seed).random((n_ticks, 2 * pixels**2)) < share
    return SpikeTrain.from_dense(raster, dt_s=1e-3, shape=(2, pixels, pixels))


def test_it_is_valid_nir_and_survives_a_file(small, tmp_path):
    kinds = {type(node) for node in small.nir.nodes.values()}
    assert kinds == {nir.Input, nir.Output, nir.CubaLIF, nir.Conv2d}
    nir_io.save(small, tmp_path / "learned.nir")
    assert nir_io.load(tmp_path / "learned.nir").hash == small.hash


def test_its_support_filter_is_that_of_the_detector_set_by_hand(square, result):
    by_hand = Frontend.build().run(square.stream)
    inside = 25 * len(result.mask)  # after it they run on for depths of their own
    ours, theirs = (r.trace.spikes["F"].between(0, inside) for r in (result, by_hand))
    assert ours.differing(theirs) == 0
    assert np.array_equal(result.counts, by_hand.counts)


def test_the_support_filter_follows_its_constants():
    config = DetectorConfig(filter_threshold=170)
    grid = PatchGrid(side=4)
    ours, theirs = (
        build.network.population("F").threshold
        for build in (
            learned_detector(filter_config=config, grid=grid),
            change_detector(config, grid=grid),
        )
    )
    assert np.array_equal(ours, theirs)


def test_every_connection_has_one_sign(small):
    for c in small.network.connections:
        assert len(np.unique(np.sign(c.matrix.data))) == 1, c.name


def test_decays_and_thresholds_are_one_per_population(small):
    """Lava's LIF has no others."""
    for p in small.network.populations:
        assert {len(np.unique(a)) for a in (p.loss_u, p.loss_v, p.threshold)} == {1}


def test_the_read_out_lags_two_ticks(small):
    assert small.network.depth == 2
    assert small.network.output == "H"


@pytest.mark.parametrize("name", METERS)
def test_a_meters_level_fires_at_its_count(name):
    """Level k needs ``threshold / levels[k]`` spikes at once; its patch alone hears them."""
    meter = METERS[name]
    grid = PatchGrid(side=3)
    graph = learned_detector(grid=grid)
    (connection,) = (
        c for c in graph.network.connections if c.source == meter.source and c.target == name
    )
    weights = connection.matrix.toarray().reshape(len(meter.levels), 9, -1, 27, 27)
    inside = np.zeros((27, 27))
    inside[9:18, 9:18] = 1
    for level, own in zip(meter.levels, weights[:, 4], strict=True):
        assert np.array_equal(own, level * np.broadcast_to(inside, own.shape))
    assert set(graph.network.population(name).threshold) == {meter.threshold}


def test_a_higher_threshold_never_adds_a_patch():
    """Nothing hears the read-out, so that its threshold only decides what is declared."""
    grid, spikes = PatchGrid(side=4), noise(100, 36, 0.01)
    declared, scores = [], []
    for threshold in (10, 40, 63, 120):
        graph = learned_detector(load_constants().at(threshold), grid=grid)
        changed, score = read_mask(get_backend("fast").run(graph, spikes).out, 25)
        declared.append(changed)
        scores.append(score)
    assert declared[0].sum() > declared[-1].sum()
    for low, high in pairwise(declared):
        assert not (high & ~low).any()
    for many, few in pairwise(scores):
        assert (few <= many).all()


def test_silence_gives_nothing(small):
    trace = get_backend("fast").run(small, noise(50, 45, 0.0))
    assert sum(len(train) for train in trace.spikes.values()) == 0


def test_fast_equals_reference(small):
    spikes = noise(60, 45, 0.005, seed=1)
    fast, slow = (get_backend(name).run(small, spikes) for name in ("fast", "reference"))
    assert len(fast.out)
    for name, train in slow.spikes.items():
        assert fast.spikes[name].differing(train) == 0, name


def test_a_scene_moved_by_a_patch_moves_the_mask_by_a_patch(frontend):
    """Convolutions know no place; the first event is the scene's own, so ticks stay aligned."""
    s = moving_square(duration_s=0.2, start_px=(40.0, 60.0), size_px=18.0).stream
    moved = EventStream(s.t, s.x + 9, s.y - 18, s.p, s.sensor)
    scores = [frontend.run(x).mask.score.reshape(-1, SIDE, SIDE) for x in (s, moved)]
    assert scores[0].any()
    assert np.array_equal(np.roll(scores[0], (-2, 1), axis=(1, 2)), scores[1])


def test_a_moving_square_is_found(square, result):
    truth = square.truth
    changed = result.mask.changed[: len(truth)]
    for k in range(1, len(changed)):
        assert (changed[k] & truth[k]).sum() > 0.5 * truth[k].sum()


def test_constants_survive_their_files(tmp_path):
    constants = load_constants()
    save_constants(constants, {"seed": 1}, tmp_path / "mine.npz")
    again = load_constants(tmp_path / "mine.npz")
    assert again.config == constants.config
    for name in KERNELS:
        assert np.array_equal(again.kernels[name], constants.kernels[name])


def test_the_card_tells_where_the_constants_come_from():
    card = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert {"config", "seed", "training", "operating_points"} <= set(card)


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "mine.npz"
    with pytest.raises(InputFileError, match=r"mine\.npz: cannot read the learned detector"):
        load_constants(path)
    save_constants(load_constants(), {}, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputFileError, match="train_detector"):
        load_constants(path)


def test_kernels_that_do_not_fit_are_named():
    good = load_constants()
    with pytest.raises(UsageError, match="the kernels are input_X"):
        LearnedConstants(good.config, {"input_X": good.kernels["input_X"]})
    wrong = {**good.kernels, "P_H": good.kernels["P_H"][:, :3]}
    with pytest.raises(UsageError, match=r"kernel P_H must be \(1, 16, height, width\)"):
        LearnedConstants(good.config, wrong)


def test_patches_of_another_size_are_refused():
    with pytest.raises(UsageError, match="knows patches of 9 pixels, got 5"):
        learned_detector(grid=PatchGrid(patch=5))


def test_an_unknown_detector_is_named():
    with pytest.raises(UsageError, match="detector must be one of hand, learned, got 'best'"):
        Frontend.build(detector="best")


@pytest.mark.slow
def test_lava_gives_the_same_spikes(frontend, square):
    graph = frontend.graph
    piece = encode_whole(graph, [square.stream]).between(0, 300)
    fast, lava = (get_backend(name).run(graph, piece) for name in ("fast", "lava"))
    assert len(fast.out)
    for name, train in fast.spikes.items():
        assert lava.spikes[name].differing(train) == 0, name
