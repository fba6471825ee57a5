"""Video as a recording: recognised, decoded, and turned into the events a camera would send."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError, MissingComponentError
from neurovlm.events.camera import ContrastParams, frames_to_events
from neurovlm.events.io import open_recording, read
from neurovlm.events.io import video as module
from neurovlm.events.io.frames import Frame
from neurovlm.events.io.video import DARK, EXTENSIONS, luminance, video_format, video_frames

Pixels = NDArray[np.uint8]
FORMATS = {
    "MP4": (".mp4", "mpeg4", "yuv420p"),
    "AVI": (".avi", "ffv1", "yuv420p"),
    "Matroska": (".mkv", "ffv1", "yuv420p"),
    "WebM": (".webm", "libvpx", "yuv420p"),
}


def write(
    path: Path,
    frames: Sequence[Pixels],
    codec: str = "ffv1",
    pix_fmt: str = "gray",
    rate: int = 20,
    times_ms: Sequence[int] | None = None,
) -> Path:
    """Film of grey frames, one every ``1 / rate`` s, or at the given times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape if len(frames) else (64, 64)
        stream.pix_fmt = pix_fmt
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="gray").reformat(format=pix_fmt)
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[k], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def bar(n: int, width: int = 96, height: int = 64) -> list[Pixels]:
    """A bright bar that moves to the right by four pixels a frame."""
    frames = []
    for k in range(n):
        image = np.full((height, width), 60, np.uint8)
        image[10:50, 4 * k % width : 4 * k % width + 8] = 220
        frames.append(image)
    return frames


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second, lossless: more frames than are simulated at once."""
    return write(tmp_path_factory.mktemp("film") / "bar.mkv", bar(20))


def rows(stream) -> set[tuple[int, ...]]:
    return set(zip(*(getattr(stream, name).tolist() for name in "txyp"), strict=True))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("renamed", [False, True])
def test_the_content_decides_not_the_name(name: str, renamed: bool, tmp_path: Path) -> None:
    extension, codec, pix_fmt = FORMATS[name]
    path = write(tmp_path / f"clip{extension}", bar(4), codec, pix_fmt)
    if renamed:
        path = path.rename(path.with_suffix(".es"))
    recording = open_recording(path)
    assert recording.format == name
    assert recording.sensor == (96, 64)
    assert recording.has_frames
    assert len(list(recording.frames())) == 4
    assert sum(len(chunk) for chunk in recording.chunks())
    assert any("although the name ends in .es" in note for note in recording.notes) == renamed


def test_every_extension_belongs_to_a_format_that_is_recognised() -> None:
    heads = {
        "MP4": b"\0\0\0\x20ftypisom",
        "AVI": b"RIFF\0\0\0\0AVI ",
        "Matroska": b"\x1a\x45\xdf\xa3\x01\x42\x82\x88matroska",
        "WebM": b"\x1a\x45\xdf\xa3\x01\x42\x82\x84webm",
    }
    assert {name: video_format(head) for name, head in heads.items()} == {n: n for n in EXTENSIONS}
    assert video_format(b"RIFF\0\0\0\0WAVE") is None
    assert video_format(b"") is None


def test_the_note_says_what_was_simulated(film: Path) -> None:
    (note,) = open_recording(film, seed=7).notes
    for words in ("simulated from a video of 96x64", "at 20 frames per second", "seed 7"):
        assert words in note


def test_events_are_those_of_the_contrast_model_and_noise_alone(film: Path) -> None:
    params = ContrastParams()
    frames = [(50_000 * k, DARK + image / np.float32(255)) for k, image in enumerate(bar(20))]
    quiet = replace(params, noise_hz=0, hot_hz=0)
    scene = rows(frames_to_events(frames, quiet, np.random.default_rng([3, 0])))
    stream = read(film, seed=3)
    got = rows(stream)
    assert len(scene) > 1000
    assert scene <= got
    n_noise = len(stream) - len(scene)
    expected = (params.noise_hz * 96 * 64 + params.hot_hz * params.hot_pixels) * 0.95
    assert abs(n_noise - expected) < 5 * np.sqrt(expected), "Poisson"


def test_each_pass_gives_the_same_events_and_another_seed_others(film: Path) -> None:
    recording = open_recording(film)
    one, two = ([chunk.to_tonic() for chunk in recording.chunks()] for _ in range(2))
    np.testing.assert_array_equal(np.concatenate(one), np.concatenate(two))
    assert len(read(film, seed=1)) != len(read(film, seed=0))
    pieces = open_recording(film, chunk_events=100)
    np.testing.assert_array_equal(
        np.concatenate([chunk.to_tonic() for chunk in pieces.chunks()]), np.concatenate(one)
    )


def test_frames_are_read_as_events_are_asked_for(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = module.video_frames

    def spy(*arguments: object, **options: object) -> Iterator[Frame]:
        for frame in original(*arguments, **options):
            seen.append(frame.t_us)
            yield frame

    recording = open_recording(film, chunk_events=10)
    monkeypatch.setattr(module, "video_frames", spy)
    next(recording.chunks())
    assert len(seen) == 9, "the first frame and one block of eight"


def test_times_of_a_variable_frame_rate_are_kept(tmp_path: Path) -> None:
    dark, bright = np.full((64, 64), 60, np.uint8), np.full((64, 64), 60, np.uint8)
    bright[20:40, 20:40] = 220
    times = [200, 240, 900, 960, 1500]
    frames = [dark, dark, bright, bright, bright]
    path = write(tmp_path / "vfr.mkv", frames, times_ms=times)
    recording = open_recording(path)
    assert [frame.t_us for frame in recording.frames()] == [0, 40_000, 700_000, 760_000, 1_300_000]
    stream = read(path)
    inside = (stream.x >= 20) & (stream.x < 40) & (stream.y >= 20) & (stream.y < 40) & stream.p
    # luminance rises from (60, ...) to (220, ...) by log(232.75 / 72.75) = 1.16: five thresholds
    counts, _ = np.histogram(stream.t[inside], [0, 40_000, 700_001, 1_300_000])
    assert counts[1] > 4 * 400
    assert counts[0] < 100 and counts[2] < 400, "noise, 1 Hz a pixel and half of it ON"


def test_start_and_stop_cut_events_and_frames(film: Path) -> None:
    part = open_recording(film, start_s=0.25, stop_s=0.5)
    low, high = part.t_first_us + 250_000, part.t_first_us + 500_000
    times = np.concatenate([chunk.t for chunk in part.chunks()])
    assert low <= times[0] and times[-1] < high
    shown = [frame.t_us for frame in part.frames()]
    assert shown == [t for t in range(0, 1_000_000, 50_000) if low <= t < high]


def test_large_films_are_reduced_by_area(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tiles = rng.integers(40, 200, (2, 64, 96)).astype(np.uint8)
    frames = [np.kron(tile, np.ones((8, 8), np.uint8)) for tile in tiles]
    path = write(tmp_path / "large.mkv", frames)
    recording = open_recording(path)
    assert recording.sensor == (192, 128)
    assert "of 768x512 pixels" in recording.notes[0]
    assert "reduced to 192x128" in recording.notes[0]
    for frame, tile in zip(recording.frames(), tiles, strict=True):
        assert frame.pixels.shape == (256, 384, 3)
        expected = np.kron(tile, np.ones((2, 2))) / 255 + DARK
        # grey to RGB and back may cost a level
        np.testing.assert_allclose(luminance(frame.pixels, (192, 128)), expected, atol=2 / 255)


def test_frames_keep_their_colours(tmp_path: Path) -> None:
    colours = np.zeros((64, 96, 3), np.uint8)
    colours[:, :48, 0] = 200
    colours[:, 48:, 2] = 200
    path = tmp_path / "colour.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "bgr0"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(colours, format="rgb24")))
        container.mux(stream.encode())
    for frame in open_recording(path).frames():
        np.testing.assert_array_equal(frame.pixels, colours)


def test_a_film_taken_with_the_phone_on_its_side_is_upright(tmp_path: Path) -> None:
    image = np.full((64, 96), 60, np.uint8)
    image[:32, :48] = 220  # upper left
    path = write(tmp_path / "phone.mp4", [image, image], "mpeg4", "yuv420p")
    data = path.read_bytes()
    identity = b"".join(
        v.to_bytes(4, "big") for v in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    )
    turned = b"".join(
        v.to_bytes(4, "big") for v in (0, 0x10000, 0, 0xFFFF0000, 0, 0, 64 << 16, 0, 0x40000000)
    )  # a quarter turn clockwise (ISO/IEC 14496-12, track header)
    at = data.index(identity, data.index(b"tkhd"))
    path.write_bytes(data[:at] + turned + data[at + len(identity) :])
    recording = open_recording(path)
    assert recording.sensor == (64, 96)
    pixels = next(recording.frames()).pixels[..., 0]
    assert pixels[:40, 40:].mean() > 200, "upper left has become upper right"
    assert pixels[:40, :24].mean() < 80 and pixels[56:].mean() < 80


def refused(path: Path) -> str:
    with pytest.raises(InputFileError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_a_film_cut_short_is_refused(tmp_path: Path) -> None:
    for name in ("MP4", "AVI", "Matroska"):
        extension, codec, pix_fmt = FORMATS[name]
        noise = np.random.default_rng(0).integers(0, 255, (40, 64, 96)).astype(np.uint8)
        path = write(tmp_path / f"cut{extension}", list(noise), codec, pix_fmt)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        message = refused(path)
        assert "cannot be decoded as video" in message or "truncated: its frames end at" in message


def test_noise_behind_a_header_is_refused(tmp_path: Path, film: Path) -> None:
    noise = np.random.default_rng(5).bytes(20_000)
    for head in (b"\0\0\0\x20ftypisom", b"RIFF\xff\xff\0\0AVI ", b"\x1a\x45\xdf\xa3"):
        path = tmp_path / "noise"
        path.write_bytes(head + noise)
        message = refused(path)
        assert "cannot be decoded as video" in message or "holds no video" in message


def test_noise_amid_the_frames_is_refused(tmp_path: Path, film: Path) -> None:
    data = bytearray(film.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(5).bytes(400)
    path = tmp_path / "noise.mkv"
    path.write_bytes(data)
    assert refused(path)


def test_sound_without_a_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        tone.rate = 8000
        container.mux(stream.encode(tone))
        container.mux(stream.encode())
    assert "holds no video stream (it holds audio)" in refused(path)
    wave = tmp_path / "song.wav"
    wave.write_bytes(b"RIFF\0\0\0\0WAVEfmt " + bytes(40))
    assert "a sound or picture, which is not read" in refused(wave)


def test_no_frame_and_a_single_frame_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one.mkv", bar(1))
    assert "holds one frame only" in refused(one)
    none = tmp_path / "none.avi"
    with av.open(str(none), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "gray"
        container.start_encoding()
    assert "holds no video frames" in refused(none)


def test_frames_that_go_back_in_time_are_named(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Backwards:
        """Decodes the second frame twice."""

        def __init__(self, container: object) -> None:
            self.container = container

        def decode(self, stream: object) -> Iterator[object]:
            for n, frame in enumerate(self.container.decode(stream)):
                yield frame
                if n == 1:
                    yield frame

        def __getattr__(self, name: str) -> object:
            return getattr(self.container, name)

        def __enter__(self) -> Backwards:
            return self

        def __exit__(self, *_: object) -> None:
            self.container.close()

    opened = av.open
    monkeypatch.setattr(av, "open", lambda path: Backwards(opened(path)))
    with pytest.raises(InputFileError, match=r"frame 2 at 0\.05 s is not later than the one"):
        list(video_frames(film))


def test_without_pyav_the_message_holds_the_cure(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingComponentError, match=r"reading video needs.*neurovlm\[video\]"):
        open_recording(film)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "sensor", "n_frames"),
    [
        ("video_static_camera/vtest.avi", (170, 128), 795),
        ("video_static_camera/one-by-one-person-detection.mp4", (228, 128), 1394),
        ("video_gesture_rgb/asl_gestures/again.mkv", (170, 128), 77),
    ],
)
def test_real_films(path: str, sensor: tuple[int, int], n_frames: int, data_dir: Path) -> None:
    recording = open_recording(data_dir / path, chunk_events=100_000)
    frames = [frame.t_us for frame in recording.frames()]
    assert recording.sensor == sensor
    assert len(frames) == n_frames
    last_us = max(int(chunk.t[-1]) for chunk in recording.chunks())
    assert frames[-2] < last_us <= frames[-1]
