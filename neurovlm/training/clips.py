"""Clips for training: procedural scenes and labelled recordings, through the spiking front end.

What was rendered once is kept in a folder, one file a subject, under a key of all that decides it.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from neurovlm.events.datasets import LabelledSet, streams
from neurovlm.events.scenes.caption import LABELS
from neurovlm.events.scenes.clip import SceneClip, clip_seed, render_clip
from neurovlm.events.scenes.subject import subject_from_seed
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detect import Frontend
from neurovlm.training.data import FRAME_EVERY, UNKNOWN, ClipSet, SparseCounts
from neurovlm.training.mix import Mix

OTHER_MOTIONS = {
    "slow": 0.2,
    "fast": 0.25,
    "stop-and-go": 0.15,
    "translate": 0.15,
    "flicker": 0.1,
    "static": 0.1,
    "global": 0.05,
}
"""How often each motion is drawn where it is not a plain gesture."""


@dataclass(frozen=True)
class Mixture:
    """Which scenes a subject appears in.

    Attributes
    ----------
    natural
        Share of clips of the natural style; the others are hard.
    moving
        Share of clips with another motion than the plain gesture, see `OTHER_MOTIONS`.
    """

    natural: float = 0.5
    moving: float = 0.3

    def draw(self, subject_seed: int, label: int) -> tuple[str, str]:
        """Style and motion of a clip; the same for the same clip, always."""
        rng = np.random.default_rng([subject_seed, label, 7])
        style = "natural" if rng.random() < self.natural else "hard"
        other = str(rng.choice(list(OTHER_MOTIONS), p=list(OTHER_MOTIONS.values())))
        return style, other if rng.random() < self.moving else "gesture"


HARD, NATURAL = Mixture(0.0, 0.0), Mixture(1.0, 0.0)


def make_clips(
    subject_seeds: Iterable[int],
    frontend: Frontend,
    *,
    with_frames: bool,
    repetition: int = 0,
    mixture: Mixture = HARD,
    motion: str | None = None,
    labels: Sequence[int] = range(len(LABELS)),
) -> ClipSet:
    """Render one clip per subject and label and run the front end on each.

    Parameters
    ----------
    subject_seeds
        From `TRAIN_SEEDS` or `TEST_SEEDS` of `neurovlm.events.scenes`.
    frontend
        The detector that the model will live with.
    with_frames
        Whether to keep frames.
    repetition
        Another number gives other performances and other noise of the same subjects.
    mixture
        Styles and motions.
    motion
        The motion of all clips, whatever the mixture says.
    labels
        What each subject does.
    """
    parts = []
    for subject in subject_seeds:
        for label in labels:
            style, drawn = mixture.draw(subject, label)
            clip = render_clip(
                label,
                subject_from_seed(subject),
                seed=clip_seed(subject, label, repetition),
                with_frames=with_frames,
                window_ms=frontend.window_us / 1000,
                style=style,
                motion=drawn if motion is None else motion,
            )
            still = (drawn if motion is None else motion) == "static"
            parts.append(_scene(clip, frontend, subject, still))
    return ClipSet.join(parts)


def _scene(clip: SceneClip, frontend: Frontend, subject: int, still: bool) -> ClipSet:
    frames = None if clip.frames is None else clip.frames[None, ::FRAME_EVERY].copy()
    seen = see(clip.stream, frontend, clip.n_windows)
    return ClipSet(
        counts=(SparseCounts.from_dense(seen[0]),),
        changed=seen[1][None],
        score=seen[2][None],
        frames=frames,
        slots=({} if still else clip.slots,),
        label=np.array([UNKNOWN if still else clip.label]),
        truth=clip.truth[None],
        boxes=clip.boxes[None],
        length=np.array([clip.n_windows]),
        group=np.array([subject]),
    )


def see(
    stream: EventStream, frontend: Frontend, n_windows: int | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Counts, changed and score of a stream that starts from silence.

    With ``n_windows`` given, cut to it or filled up with empty windows.
    """
    seen = frontend.run(stream)
    n = len(seen.counts) if n_windows is None else n_windows
    arrays = (seen.counts, seen.mask.changed, seen.mask.score.clip(max=255).astype(np.uint8))
    counts, changed, score = (
        np.pad(each[:n], [(0, max(0, n - len(each)))] + [(0, 0)] * (each.ndim - 1))
        for each in arrays
    )
    return counts, changed, score


class Take(NamedTuple):
    """A recording to be seen once; ``mixed_in``: label and events of another, or None."""

    stream: EventStream
    label: int
    group: int
    mixed_in: tuple[int, EventStream] | None
    seed: tuple[int, ...]


def labelled_clips(
    labelled: LabelledSet,
    frontend: Frontend,
    *,
    seed: int = 0,
    variants: int = 0,
    vary: Callable[[EventStream, np.random.Generator], EventStream] | None = None,
    mixed: float = 0.0,
    workers: int = 1,
    report: Callable[[int], None] = lambda done: None,
) -> ClipSet:
    """Clips of recordings, each as it is or in ``variants`` varied forms.

    Parameters
    ----------
    vary
        Augmentation of the events before the front end (`neurovlm.training.augment`); a
        recording that it leaves no event of is taken as it is.
    mixed
        Share of the varied forms into which a part of another recording is mixed
        (`neurovlm.training.mix`), label by label.
    workers
        Processes that vary and see; what comes out does not depend on their number.
    report
        Called with the number of clips seen so far.
    """
    takes = _takes(labelled, seed, variants if vary is not None else 1, mixed)
    parts = []
    for part in _in_order(partial(_seen, frontend, vary), takes, workers):
        parts.append(part)
        report(len(parts))
    return ClipSet.join(parts)


def _takes(labelled: LabelledSet, seed: int, variants: int, mixed: float) -> Iterator[Take]:
    names = {name: k for k, name in enumerate(sorted(labelled.groups))}
    for k, (sample, stream) in enumerate(
        zip(labelled.samples, streams(labelled.samples), strict=True)
    ):
        rng = np.random.default_rng([seed, k])
        for variant in range(variants):
            other = labelled.samples[int(rng.integers(len(labelled.samples)))]
            mixed_in = (other.label, other.read()) if rng.random() < mixed else None
            yield Take(stream, sample.label, names[sample.group], mixed_in, (seed, k, variant))


def _in_order(
    task: Callable[[Take], ClipSet], takes: Iterator[Take], workers: int
) -> Iterator[ClipSet]:
    """Map over processes; no more than a few takes of each are in memory."""
    if workers == 1:
        yield from map(task, takes)
        return
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting: deque[Future[ClipSet]] = deque()
        for take in takes:
            waiting.append(pool.submit(task, take))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        for each in waiting:
            yield each.result()


MIX = Mix()


def _seen(
    frontend: Frontend,
    vary: Callable[[EventStream, np.random.Generator], EventStream] | None,
    take: Take,
) -> ClipSet:
    rng, share = np.random.default_rng(take.seed), 0.0
    form, other = _varied(take.stream, vary, rng), take.label
    if take.mixed_in is not None:
        other, stream = take.mixed_in
        form, share = MIX(form, _varied(stream, vary, rng), rng)
    counts, changed, score = see(form, frontend)
    return ClipSet(
        counts=(SparseCounts.from_dense(counts),),
        changed=changed[None],
        score=score[None],
        frames=None,
        slots=({},),
        label=np.array([take.label]),
        length=np.array([len(counts)]),
        group=np.array([take.group]),
        other=None if vary is None else np.array([other]),
        share=None if vary is None else np.array([share], np.float32),
    )


def _varied(
    stream: EventStream,
    vary: Callable[[EventStream, np.random.Generator], EventStream] | None,
    rng: np.random.Generator,
) -> EventStream:
    form = stream if vary is None else vary(stream, rng)
    return form if len(form) else stream


def rendered(
    subjects: Sequence[int],
    frontend: Frontend,
    mixture: Mixture,
    cache: Path,
    *,
    frames_every: int = 0,
    labels: tuple[int, ...] = (),
    workers: int = 1,
    report: Callable[[int], None] = lambda done: None,
) -> list[Path]:
    """Files of each subject's clips in ``cache``, rendered where they are missing.

    Every ``frames_every``-th subject is rendered with frames; none when 0. With ``labels`` given,
    only those are rendered.
    """
    folder = cache / cache_key(frontend, mixture)
    folder.mkdir(parents=True, exist_ok=True)
    task = partial(_render_one, frontend, mixture, folder, frames_every, labels)
    paths = []
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for path in pool.map(task, subjects):
            paths.append(path)
            report(len(paths))
    return paths


def _render_one(
    frontend: Frontend,
    mixture: Mixture,
    folder: Path,
    frames_every: int,
    labels: tuple[int, ...],
    subject: int,
) -> Path:
    with_frames = frames_every > 0 and subject % frames_every == 0
    only = "".join(f"-{label}" for label in labels)
    path = folder / f"{subject}{only}{'-rgb' if with_frames else ''}.npz"
    if not path.exists():
        chosen = labels or range(len(LABELS))
        made = make_clips(
            [subject], frontend, with_frames=with_frames, mixture=mixture, labels=chosen
        )
        made.save(path)
    return path


def cache_key(frontend: Frontend, mixture: Mixture) -> str:
    """Name of the folder of a mixture behind a front end.

    It holds a hash of one short clip of each style in use and of what the front end makes of it,
    so a generator or a detector that was changed never finds the clips of the old one.
    """
    digest = hashlib.sha256(repr((mixture, sorted(OTHER_MOTIONS.items()))).encode())
    styles = ["natural"] * (mixture.natural > 0) + ["hard"] * (mixture.natural < 1)
    for style in styles:
        clip = render_clip(
            5, subject_from_seed(0), seed=1, duration_s=0.2, with_frames=False, style=style
        )
        for array in (clip.stream.t, clip.stream.x, clip.boxes, *see(clip.stream, frontend)):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def processor_s() -> float:
    """Processor time of this process and of its finished children, all threads."""
    return sum(os.times()[:4])
