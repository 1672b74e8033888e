"""Hopping over framed records from head to head, without reading what is between where that is long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import Place, TruncatedError
from ..rangefile import check_same, nbytes_in, open_file, read_at
from .base import Extent, Heads
from .framed import SPANS, Framing, fault_error

_WINDOW = 1 << 20  # bytes of a walk's read where records are small
_GLANCE = 1 << 12  # and where they are not: a head with what belongs to it
_HOP = 1 << 15  # records longer than this on average are hopped over


@dataclass(frozen=True, slots=True)
class Run:
    """Heads that a walk found, one after another."""

    heads: Heads
    lengths: NDArray[np.int64]
    """The sizes of the payloads."""
    headers: NDArray[np.uint8]
    """The first bytes of each payload, where the walk keeps them: uint8[rows, n]."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a walk fills, a row for each head: as the fields of Run, with header_size bytes of each payload."""

    heads: NDArray[np.int64]
    lengths: NDArray[np.int64]
    headers: NDArray[np.uint8]

    @classmethod
    def of(cls, rows: int, header_size: int) -> Room:
        """Of so many rows."""
        heads, lengths = np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.int64)
        return cls(heads, lengths, np.empty((rows, header_size), dtype=np.uint8))

    def behind(self, rows: int) -> Room:
        """What is left of it."""
        return Room(self.heads[rows:], self.lengths[rows:], self.headers[rows:])


Step: TypeAlias = tuple[int, int, int, int]
"""How many heads were found, where the walk goes on, the fault that it met, and where that is."""


class Walk(Protocol):
    """Goes on from where it was, through a window of a file that begins at origin and has its last byte before end."""

    header_size: int

    def __call__(self, window: bytes, origin: int, end: int, room: Room) -> Step:
        """Hop from head to head, as far as window and room go."""

    def boundary(self) -> int:
        """Where the last whole record ends."""


def walk_file(extent: Extent, framing: Framing, walk: Walk) -> Iterator[Run]:
    """Hop over the records of a plain file, head by head; those before a fault are given before it is raised.

    Small records are read past in windows; where records are long, only their heads are read.
    """
    with open_file(extent.path) as file:
        size, read = nbytes_in(file), read_at(file)
        end = size if extent.stop is None else min(extent.stop, size)
        first = extent.first_record or 0
        at, record, window_size = extent.start, first, _WINDOW
        while at < end or record == first:
            room = Room.of(SPANS, walk.header_size)
            count, error = 0, None
            while count < SPANS:
                origin = at
                window = read(min(window_size, end - at), at)
                if len(window) < min(window_size, end - at):
                    raise TruncatedError(
                        f"{extent.path}: ends at byte {at}, expected {end}", path=extent.path, offset=at
                    )
                found, at, fault, position = walk(window, origin, end, room.behind(count))
                count += found
                if fault:
                    seen = read(8, position)
                    place = Place(extent.path, record + count, position)
                    error = fault_error(framing, fault, place, seen, end - position)
                if fault or not window:
                    break
                window_size = _GLANCE if (at - origin) // max(found, 1) > _HOP else _WINDOW
            if count:
                heads = room.heads[:count]
                sizes = np.diff(heads, append=walk.boundary())
                yield Run(Heads(heads, sizes), room.lengths[:count], room.headers[:count])
            if error is not None:
                raise error
            if not count:
                check_same(file)
                return
            record += count
