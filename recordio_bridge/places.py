"""Where the rows of a Batch were read: what an error says of a row, beside what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import FileRow, Place


@dataclass(frozen=True, slots=True)
class Places:
    """A Place for each row: its file, the number of its record there, and the byte at which that begins."""

    paths: tuple[str, ...]
    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]
    files: NDArray[np.int64] | None = None
    """Which of the paths; None where there is one."""
    sizes: NDArray[np.int64] | None = None
    """How many bytes each record takes there, the parts of one cut in several not counted."""

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, row: int) -> Place:
        path = self.paths[0 if self.files is None else int(self.files[row])]
        return Place(path, int(self.numbers[row]), int(self.offsets[row]))

    @property
    def nbytes(self) -> int:
        """What they take in memory."""
        return sum(part.nbytes for part in (self.numbers, self.offsets, self.files, self.sizes) if part is not None)

    def take(self, rows: NDArray[np.int64] | slice) -> Places:
        """Those of these rows, in this order."""
        files = None if self.files is None else self.files[rows]
        sizes = None if self.sizes is None else self.sizes[rows]
        return Places(self.paths, self.numbers[rows], self.offsets[rows], files, sizes)


@dataclass(frozen=True, slots=True)
class FileRows:
    """A FileRow for each row: its file, and its number there."""

    paths: Sequence[str]
    numbers: NDArray[np.int64]
    files: NDArray[np.int64] | None = None
    """Which of the paths; None where there is one."""

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int) -> FileRow:
        return FileRow(self.paths[0 if self.files is None else int(self.files[row])], int(self.numbers[row]))

    def take(self, rows: NDArray[np.int64] | slice) -> FileRows:
        """Those of these rows, in this order."""
        return FileRows(self.paths, self.numbers[rows], None if self.files is None else self.files[rows])


Origins: TypeAlias = Places | FileRows
"""Where each row of a Batch was read."""


def join_places(parts: Sequence[Places]) -> Places:
    """The places of all these rows, one part after another."""
    paths = tuple(dict.fromkeys(path for part in parts for path in part.paths))
    numbers = {path: number for number, path in enumerate(paths)}
    files = [np.array([numbers[path] for path in part.paths])[_files_of(part)] for part in parts if len(paths) > 1]
    return Places(
        paths,
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.offsets for part in parts]),
        np.concatenate(files) if files else None,
        np.concatenate([np.zeros(len(part), np.int64) if part.sizes is None else part.sizes for part in parts]),
    )


def _files_of(places: Places) -> NDArray[np.int64]:
    return np.zeros(len(places), np.int64) if places.files is None else places.files


Rows: TypeAlias = "slice | NDArray[np.int64]"


class Read:
    """Where rows were read, of which Places are made when they are asked for.

    Args:
        whole: in one part, or in several, one behind the other.
        rows: which of those are meant; no bound of a slice is negative. None is all.
    """

    __slots__ = ("_read",)

    def __init__(self, whole: Places | tuple[Read, ...], rows: Rows | None = None) -> None:
        self._read = whole, rows

    @property
    def places(self) -> Places:
        whole, rows = self._read
        places = whole if isinstance(whole, Places) else join_places([part.places for part in whole])
        places = places if rows is None else places.take(rows)
        self._read = places, None  # in one step, as threads share what is held in memory
        return places

    def part(self, rows: Rows) -> Read:
        """Of some of the rows."""
        whole, mine = self._read
        if isinstance(rows, slice) and isinstance(mine, slice):
            return Read(whole, slice(mine.start + rows.start, mine.start + rows.stop))
        if isinstance(rows, slice) and isinstance(mine, np.ndarray):
            return Read(whole, mine[rows])
        return Read(self.places, rows)  # picked out once for all that is taken of them
