"""A labelled part of a recording, and a set of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.stream import EventStream


@dataclass(frozen=True, eq=False)
class Sample:
    """A labelled recording, or a part of one; nothing is read before `read`.

    Attributes
    ----------
    name
        The file, or member of an archive; for messages.
    load
        Reads the whole recording.
    label
        Index into the labels of the set.
    group
        What must not be split between training and test: a person, or a recording.
    t0_us, t1_us
        The part ``t0_us <= t < t1_us``, counted from the recording's first event; ``t1_us`` is
        None where the part lasts until the last event.
    """

    name: str
    load: Callable[[], EventStream] = field(repr=False)
    label: int
    group: str
    t0_us: int = 0
    t1_us: int | None = None

    def read(self) -> EventStream:
        """Events of the part, at the times of the recording.

        Raises
        ------
        InputFileError
            When the recording cannot be read or the part holds no event.
        """
        return self.part_of(self.load())

    def part_of(self, recording: EventStream) -> EventStream:
        """Cut the part out of its recording, which is already in memory; a view."""
        if len(recording) == 0:
            raise InputFileError(f"{self.name}: holds no events; record it again")
        first = int(recording.t[0])
        stop = int(recording.t[-1]) + 1 if self.t1_us is None else first + self.t1_us
        part = recording.between(first + self.t0_us, stop)
        if len(part) == 0:
            raise InputFileError(
                f"{self.name}: no events from {self.t0_us / 1e6:g} s to "
                f"{(stop - first) / 1e6:g} s after its first event; correct the times of its label"
            )
        return part


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Samples and what their labels mean.

    Attributes
    ----------
    name
        Of the data set, with the split.
    labels
        Name of each label.
    samples
        The parts of one recording stand next to each other.
    flip
        Label of the mirrored scene of each label; None where a mirrored scene has no label.

    Raises
    ------
    UsageError
        When a label has no name, or mirroring twice would change a label.
    """

    name: str
    labels: tuple[str, ...]
    samples: tuple[Sample, ...]
    flip: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        n = len(self.labels)
        for sample in self.samples:
            if not 0 <= sample.label < n:
                raise UsageError(
                    f"{self.name}: {sample.name} has label {sample.label}, but there are {n} "
                    f"labels; give one of 0..{n - 1}"
                )
        if self.flip is not None and not _is_involution(self.flip, n):
            raise UsageError(
                f"{self.name}: flip must map each of {n} labels to one that maps back, got "
                f"{self.flip}"
            )

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group once, in order of appearance."""
        return tuple(dict.fromkeys(sample.group for sample in self.samples))


def streams(samples: Iterable[Sample]) -> Iterator[EventStream]:
    """Events of each sample; neighbours of one recording are cut from one reading of it."""
    return (sample.part_of(recording) for sample, recording in with_recordings(samples))


def with_recordings(samples: Iterable[Sample]) -> Iterator[tuple[Sample, EventStream]]:
    """Each sample with its whole recording, read once for neighbours."""
    load: Callable[[], EventStream] | None = None
    recording: EventStream | None = None
    for sample in samples:
        if recording is None or sample.load is not load:
            load, recording = sample.load, sample.load()
        yield sample, recording


def _is_involution(flip: tuple[int, ...], n: int) -> bool:
    return len(flip) == n and all(0 <= to < n and flip[to] == i for i, to in enumerate(flip))
