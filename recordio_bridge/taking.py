"""Taking rows out of the files of a source, which must be those in which the rows were found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .batch import Batch, concat
from .errors import FormatError, SourceChangedError
from .formats.base import Heads
from .openfiles import OpenFiles
from .paths import state_of

HeadsOf: TypeAlias = Callable[[int, NDArray[np.int64]], Heads]
"""The heads of some rows, all in the file of this number. Rows are named by their places among those asked for."""


class FileState(NamedTuple):
    """What changes when a file is written to, or another takes its name."""

    nbytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str) -> FileState:
        return cls(*state_of(path))


def check_state(path: str, state: FileState, cause: Exception | None = None) -> None:
    """SourceChangedError where a file is not as it was when its rows were found."""
    if FileState.of(path) != state:
        raise SourceChangedError(
            f"{path}: changed since its records were found: written to, or replaced; open it, or run this, again"
        ) from cause


def take_rows(
    numbers: NDArray[np.int64], heads_of: HeadsOf, files: OpenFiles, states: Sequence[FileState]
) -> tuple[Batch, NDArray[np.int64]]:
    """Rows that lie in the files of these numbers, and which of those asked for they are.

    They come file by file, within each in the order in which they were asked for; without those that the request of
    files skips. Files are looked at whenever rows are taken, so that those of another file are never taken for those
    that were found.
    """
    order = np.argsort(numbers, kind="stable")
    parts, places = [], []
    for mine in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        number = int(numbers[mine[0]])
        heads = heads_of(number, mine)
        part = _take_from(number, heads, files, states[number])
        if len(part) < len(mine) and part.places is not None:
            mine = mine[np.isin(heads.offsets, part.places.offsets)]
        parts.append(part)
        places.append(mine)
    return concat(parts), np.concatenate(places)


def _take_from(number: int, heads: Heads, files: OpenFiles, state: FileState) -> Batch:
    path = files.path(number)
    try:
        with files.lend(number) as file:
            batch = file.take(heads)
            check_state(path, state)
    except FormatError as err:
        check_state(path, state, err)
        raise
    return batch


def in_order(batch: Batch, places: NDArray[np.int64]) -> Batch:
    """The rows of a Batch by ascending places."""
    if bool(np.all(places[1:] > places[:-1])):
        return batch
    return batch.take(np.argsort(places))
