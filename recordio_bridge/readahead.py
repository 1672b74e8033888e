"""Reading ahead: the next piece of a file comes in on a thread while the one before is worked on.

The thread spends its time in the operating system or in zlib, without the GIL. A piece of a stream leaves room in
front, so that what is left over of the one before can be put there, and both are one buffer without a second copy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .errands import Errand, Errands
from .errors import FormatError
from .files import Stream

_Made = TypeVar("_Made")


def made_ahead(make: Callable[[int], _Made], numbers: Sequence[int]) -> Generator[_Made, None, None]:
    """make(number) for each number, the next one on a thread while the one before is worked on.

    To be closed where its loop may be left early: that waits for the thread.
    """
    if len(numbers) < 2:  # which needs no thread
        yield from map(make, numbers)
        return
    with Errands() as thread:
        coming = thread.submit(make, numbers[0])
        for number in numbers[1:]:
            made = coming.result()
            coming = thread.submit(make, number)
            yield made
        yield coming.result()


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a stream: buffer[room : room + size], after which at_most so many are to come.

    is_last: the stream has no more; failure is why, if it should.
    """

    buffer: NDArray[np.uint8]
    room: int
    size: int
    at_most: int
    is_last: bool
    failure: FormatError | None


def read_piece(stream: Stream, room: int, size: int) -> Piece:
    """Read the next size bytes of a stream, or what it has, behind so much room."""
    size = min(size, stream.at_most)
    buffer = np.empty(room + size, dtype=np.uint8)
    got = stream.readinto(buffer.data[room:])
    return Piece(buffer, room, got, stream.at_most, got < size or stream.at_most == 0, stream.failure)


class ReadAhead:
    """Pieces of a stream, read one ahead from the second on: a small file needs no thread."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._thread = Errands()
        self._next: Errand[Piece] | None = None

    def take(self, room: int, size: int) -> Piece:
        """The piece that was read ahead, else one of this size read now."""
        if self._next is None:
            return read_piece(self._stream, room, size)
        coming, self._next = self._next, None
        return coming.result()

    def start(self, room: int, size: int) -> None:
        """Begin to read the next piece."""
        self._next = self._thread.submit(read_piece, self._stream, room, size)

    def close(self) -> None:
        """Wait for the thread, which is not in the middle of a wait of its own."""
        self._thread.close()
