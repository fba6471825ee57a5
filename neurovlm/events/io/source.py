"""What a format reader hands over: raw columns in file order, and where they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.frames import Frame

IntArray: TypeAlias = NDArray[np.integer[Any]]
Sensor: TypeAlias = tuple[int, int]
T = TypeVar("T")


class Columns(NamedTuple):
    """Events as a file has them: any order, any coordinates, any integer type but ``t``."""

    t: NDArray[np.int64]
    x: IntArray
    y: IntArray
    p: NDArray[np.bool_]

    def take(self, index: slice | NDArray[Any]) -> Columns:
        """Rows of every column."""
        return Columns(self.t[index], self.x[index], self.y[index], self.p[index])

    @staticmethod
    def join(parts: list[Columns]) -> Columns:
        """Concatenate; one part is passed through."""
        if len(parts) == 1:
            return parts[0]
        return Columns(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Source:
    """One recording, not yet checked.

    Attributes
    ----------
    format
        Name shown to the user, for example ``"AEDAT 2.0"``.
    columns
        Starts a new pass over the events, in blocks of bounded size.
    sensor
        ``(width, height)`` where the file says it, else None.
    notes
        What the reader assumed or left out.
    frames
        Starts a new pass over the intensity frames; None where the format has none.
    """

    format: str
    columns: Callable[[], Iterator[Columns]]
    sensor: Sensor | None = None
    notes: tuple[str, ...] = ()
    frames: Callable[[], Iterator[Frame]] | None = None


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read bytes; what the system refuses becomes an ``InputFileError``."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputFileError(f"{path}: cannot be opened: {error.strerror}") from error
    with file:
        yield file


def decoded(
    path: Path, library: str, start: Callable[[], Iterable[T]], n_events: Callable[[T], int]
) -> Iterator[T]:
    """Packets of a decoding library; whatever it raises becomes an ``InputFileError``.

    The compiled decoders raise RuntimeError with a message about bytes, and a Rust panic arrives
    as ``PanicException``, which derives from BaseException and cannot be imported.

    Parameters
    ----------
    path, library
        For the message.
    start
        Opens the file and returns the packets.
    n_events
        Events in a packet, to say how far the decoder came.
    """
    n = 0
    packets: Iterator[T] | None = None
    while True:
        try:
            packets = iter(start()) if packets is None else packets
            packet = next(packets, None)
        except (RuntimeError, OSError, ValueError, OverflowError) as error:
            raise _undecodable(path, library, error, n) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise _undecodable(path, library, error, n) from None
        if packet is None:
            return
        n += n_events(packet)
        yield packet


def _undecodable(path: Path, library: str, error: BaseException, n: int) -> InputFileError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return InputFileError(
        f"{path}: corrupt or truncated: {library} stops after {n} events: {reason}; "
        "copy the file again, or use --stop to read only what comes before"
    )
