"""Truth from procedural scenes and from the pixels of a video."""

from __future__ import annotations

import av
import numpy as np
import pytest

from neurovlm.core.errors import InputFileError
from neurovlm.events.scenes.film import Clip
from neurovlm.training.detector_clips import (
    FRAME_US,
    QUIET,
    procedural_clip,
    training_noise,
    video_clip,
)


def write(path, frames):
    """Lossless grey video of ``(n, height, width)`` uint8."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "gray"
        for image in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="gray")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A grey wall, 256 x 192; between frames 3 and 4 one patch of the centred square brightens."""
    frames = np.full((8, 192, 256), 100, np.uint8)
    # the square is 192 wide from column 32 on; 128 pixels of it, and the grid starts at pixel 1
    x0, y0 = 32 + (1 + 9 * 5) * 3 // 2, (1 + 9 * 2) * 3 // 2
    frames[4:, y0 + 3 : y0 + 11, x0 + 3 : x0 + 11] = 160
    return write(tmp_path_factory.mktemp("film") / "patch.mkv", frames)


def test_a_patch_that_brightens_is_true_in_its_window_alone(film):
    clip = video_clip(film, noise_hz=5.0)
    assert clip.window_us == FRAME_US
    changed = np.argwhere(clip.truth)
    assert changed.tolist() == [[3, 2 * 14 + 5]]
    scene = clip.stream.t[clip.from_scene]
    assert len(scene)
    assert np.all((scene >= 3 * FRAME_US) & (scene <= 4 * FRAME_US))


def test_the_halves_of_a_video_share_no_change(film):
    early, late = video_clip(film, (0.0, 0.5)), video_clip(film, (0.5, 1.0))
    assert early.truth.sum() == late.truth.sum() == 0
    assert len(early.truth) + len(late.truth) <= 6, "the change lies between the halves"


def test_noise_and_seed_leave_the_truth_alone(film):
    one, two = video_clip(film, noise_hz=5.0, seed=1), video_clip(film, noise_hz=2.0, seed=2)
    assert np.array_equal(one.truth, two.truth)
    assert len(one.stream) != len(two.stream)


def test_what_is_no_video_is_named(tmp_path, film):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"no video at all")
    with pytest.raises(InputFileError, match=r"broken\.avi: cannot be decoded as video"):
        video_clip(broken)
    with pytest.raises(InputFileError, match=r"none\.avi: cannot be decoded as video"):
        video_clip(tmp_path / "none.avi")
    with pytest.raises(InputFileError, match="are no film"):
        video_clip(film, (0.0, 0.1))


@pytest.mark.slow
def test_real_people_change_a_few_patches_of_a_static_camera(data_dir):
    clip = video_clip(data_dir / "video_static_camera" / "vtest.avi", (0.5, 0.6))
    share = clip.truth.mean()
    assert isinstance(clip, Clip)
    assert 0.01 < share < 0.5


def test_training_noise_is_mostly_a_little():
    level = training_noise(4000, 0)
    quiet = level == 0
    assert abs(quiet.mean() - QUIET) < 0.02
    assert level[~quiet].min() >= 0.1
    assert level.max() <= 5.0
    assert abs(np.median(level[~quiet]) - np.sqrt(0.1 * 5.0)) < 0.1, "log-uniform"
    assert np.array_equal(level, training_noise(4000, 0))


def test_a_clip_follows_its_subject_and_repetition():
    one, same, other = (procedural_clip(7, 1.0, repetition=r) for r in (0, 0, 1))
    assert np.array_equal(one.truth, same.truth)
    assert not np.array_equal(one.truth, other.truth)
