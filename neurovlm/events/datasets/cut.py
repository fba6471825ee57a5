"""Cut and divide labelled sets: windows, earlier against later, folds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from neurovlm.core.errors import UsageError
from neurovlm.events.datasets.sample import LabelledSet, Sample, with_recordings
from neurovlm.events.stream import EventStream


def windows_of(labelled: LabelledSet, length_s: float, stride_s: float) -> LabelledSet:
    """Cut each sample into windows of one length; every recording is read once.

    Window ``k`` of a sample covers ``[k stride, k stride + length)``, so long as it ends inside
    the sample. A sample shorter than ``length_s`` stays whole; windows without events are left
    out.

    Parameters
    ----------
    labelled
        The recordings.
    length_s, stride_s
        Of the windows, in seconds.

    Raises
    ------
    InputFileError
        When a recording cannot be read.
    UsageError
        When a length is not positive.
    """
    length_us, stride_us = round(length_s * 1e6), round(stride_s * 1e6)
    if length_us < 1 or stride_us < 1:
        raise UsageError(f"length and stride must be positive, got {length_s} s and {stride_s} s")
    windows = []
    for sample, recording in with_recordings(labelled.samples):
        begin_us, end_us = _bounds(sample, recording)
        first_us = int(recording.t[0])
        starts = range(begin_us, end_us - length_us + 1, stride_us)
        for t0_us in starts:
            t1_us = t0_us + length_us
            if len(recording.between(first_us + t0_us, first_us + t1_us)):
                windows.append(replace(sample, t0_us=t0_us, t1_us=t1_us))
        if not starts:
            windows.append(sample)
    return replace(labelled, samples=tuple(windows))


def split_by_time(
    labelled: LabelledSet, share: float, gap_s: float
) -> tuple[LabelledSet, LabelledSet]:
    """Train on the first part of each sample and test on its last part.

    Of a sample of ``T`` seconds the first ``share (T - gap)`` train and the last
    ``(1 - share)(T - gap)`` test, so that no window of one comes within ``gap`` of the other.
    This measures less than unseen people or recordings do: light and background are the same.

    Parameters
    ----------
    labelled
        Long recordings, not yet windows.
    share
        Part of the time that trains, between 0 and 1.
    gap_s
        Time between the two that is left out, in seconds.

    Raises
    ------
    InputFileError
        When a recording cannot be read.
    UsageError
        When ``share`` or ``gap_s`` is out of range, or a sample is not longer than the gap.
    """
    if not (0 < share < 1 and gap_s >= 0):
        raise UsageError(f"share must be in 0..1 and the gap from 0 s, got {share} and {gap_s} s")
    gap_us = round(gap_s * 1e6)
    early, late = [], []
    for sample, recording in with_recordings(labelled.samples):
        begin_us, end_us = _bounds(sample, recording)
        train_us = round(share * (end_us - begin_us - gap_us))
        if train_us < 1 or begin_us + train_us + gap_us >= end_us:
            raise UsageError(
                f"{sample.name}: {(end_us - begin_us) / 1e6:g} s are too short for a gap of "
                f"{gap_s:g} s; choose a smaller one"
            )
        early.append(replace(sample, t0_us=begin_us, t1_us=begin_us + train_us))
        late.append(replace(sample, t0_us=begin_us + train_us + gap_us, t1_us=end_us))
    return (
        replace(labelled, name=f"{labelled.name}, earlier", samples=tuple(early)),
        replace(labelled, name=f"{labelled.name}, later", samples=tuple(late)),
    )


def folds(
    labelled: LabelledSet, n: int = 5, seed: int = 0
) -> list[tuple[LabelledSet, LabelledSet]]:
    """Divide into ``n`` pairs of training and test set; every sample is tested once.

    Stratified and grouped: a group is in one fold, and groups that show the same labels are dealt
    out evenly, so their numbers in two folds differ by one at most.

    Parameters
    ----------
    labelled
        What to divide.
    n
        Number of folds, at least 2.
    seed
        Decides which groups come together.

    Raises
    ------
    UsageError
        When ``n`` is too small, or a label occurs in fewer than ``n`` groups.
    """
    if n < 2:
        raise UsageError(f"folds: n must be at least 2, got {n}")
    labels_of: defaultdict[str, set[int]] = defaultdict(set)
    groups_of: defaultdict[int, set[str]] = defaultdict(set)
    for sample in labelled.samples:
        labels_of[sample.group].add(sample.label)
        groups_of[sample.label].add(sample.group)
    for label, groups in groups_of.items():
        if len(groups) < n:
            raise UsageError(
                f"{labelled.name}: {labelled.labels[label]} occurs in {len(groups)} groups, "
                f"{n} folds need {n}; choose a smaller n, or split_by_time"
            )
    mixed = [str(group) for group in np.random.default_rng(seed).permutation(list(labels_of))]
    dealt = sorted(mixed, key=lambda group: sorted(labels_of[group]))
    fold_of = {group: i % n for i, group in enumerate(dealt)}
    return [
        (
            _part(labelled, f"training of fold {fold}", {g for g in dealt if fold_of[g] != fold}),
            _part(labelled, f"test of fold {fold}", {g for g in dealt if fold_of[g] == fold}),
        )
        for fold in range(n)
    ]


def _part(labelled: LabelledSet, what: str, groups: set[str]) -> LabelledSet:
    samples = tuple(sample for sample in labelled.samples if sample.group in groups)
    return replace(labelled, name=f"{labelled.name}, {what}", samples=samples)


def _bounds(sample: Sample, recording: EventStream) -> tuple[int, int]:
    """Begin and end of a sample in microseconds after the first event of its recording."""
    sample.part_of(recording)  # says what is wrong with an empty one
    duration_us = recording.duration_us
    return sample.t0_us, duration_us if sample.t1_us is None else min(sample.t1_us, duration_us)
