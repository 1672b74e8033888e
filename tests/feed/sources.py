"""Sources whose rows can be counted: the first column of each numbers the rows from 0, the others follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np

import recordio_bridge as rb

ROWS, SIZE = 97, 10
"""A last batch of 7: neither is a multiple of the other."""
BATCHES = 10

FORMATS = ("rec", "tfrecord", "h5", "npz", "npy")


def columns(ids: np.ndarray) -> dict[str, np.ndarray]:
    """Rows with these numbers."""
    return {"id": ids, "x": (ids[:, None] * [0.5, -1.0, 2.0]).astype(np.float32), "label": ids % 10}


def write(folder: Path, suffix: str, rows: int = ROWS, first: int = 0) -> Path:
    """A file of rows; an .npy has room for the numbers alone."""
    ids, path = np.arange(first, first + rows), folder / f"rows.{suffix}"
    rb.write(path, {"data": ids} if suffix == "npy" else columns(ids))
    return path


def write_chunked(folder: Path, rows: int = ROWS, chunk: int = 8) -> Path:
    """An .h5 that is stored in chunks of so many rows."""
    path = folder / "chunked.h5"
    with h5py.File(path, "w") as file:
        for name, values in columns(np.arange(rows)).items():
            file.create_dataset(name, data=values, chunks=(chunk, *values.shape[1:]))
    return path


def ids(batch: rb.Batch) -> list[int]:
    """The numbers of the rows of a batch, where its other columns fit them."""
    numbers = batch[next(iter(batch.schema))]
    if "x" in batch:
        assert np.array_equal(batch["x"], columns(numbers)["x"])
    return numbers.tolist()


def arrays(rows: int = ROWS, size: int = 16) -> Callable[[], Iterator[tuple[np.ndarray, ...]]]:
    """A data_iterator as in the posts, of one epoch: tuples of arrays."""

    def data_iterator() -> Iterator[tuple[np.ndarray, ...]]:
        for at in range(0, rows, size):
            yield tuple(columns(np.arange(at, min(at + size, rows))).values())

    return data_iterator


def failing(at: int, error: BaseException, size: int = SIZE) -> Callable[[], Iterator[tuple[np.ndarray, ...]]]:
    """A data_iterator that raises in place of the batch with this number."""

    def data_iterator() -> Iterator[tuple[np.ndarray, ...]]:
        for number, batch in enumerate(arrays(ROWS, size)()):
            if number == at:
                raise error
            yield batch

    return data_iterator


def epochs(batches: Iterable[list[int]], count: int) -> list[list[int]]:
    """The rows of each of `count` epochs, where these are cut into batches of SIZE as they should be."""
    given = list(batches)
    assert [len(batch) for batch in given] == ([SIZE] * (BATCHES - 1) + [ROWS % SIZE]) * count
    rows = [row for batch in given for row in batch]
    return [rows[at : at + ROWS] for at in range(0, len(rows), ROWS)]
