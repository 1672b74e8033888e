"""The .lst of im2rec: text, a line for each image: id TAB label [TAB label ...] TAB path.

Labels from here replace those in the records, joined on the record's id. They are exact where the header's float32 is
not: integers above 2**24 come as int64. A mark of UTF-8 in front, as some editors write it, is passed over.

Source: mxnet, tools/im2rec.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ..batch import Ragged, as_bytes
from ..casts import exact_array
from ..copies import on_disk
from ..errors import FormatError, Place, at_place
from ..paths import state_of
from .base import OF_ONE_FILE
from .recordio_index import find_sorted

_LONGEST_LINE = 1 << 20  # characters: labels of 20,000 boxes, and a path
_EXACT = 1 << 24  # up to here float32 holds every integer


@dataclass(frozen=True, slots=True)
class LabelList:
    """The labels of a .lst, by id: ids uint64[n], sorted, and as many rows of labels."""

    path: str
    ids: NDArray[np.uint64]
    labels: Ragged

    def find(self, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The row of labels of each id; -1 for one that the list lacks."""
        return find_sorted(self.ids, ids)

    def without_record(self, has_record: NDArray[np.bool_]) -> str | None:
        """A sentence about the ids, of those that it lists, that no record of a file has; None where each has one."""
        extra = np.flatnonzero(~has_record)
        if not len(extra):
            return None
        are = "is" if len(extra) == 1 else "are"
        return (
            f"{self.path}: {len(extra)} of its {len(self.ids)} ids {are} {OF_ONE_FILE}, the first is "
            f"{int(self.ids[extra[0]])}; is it the list of this .rec, and is that complete?"
        )

    def no_label(self, id: int, place: Place) -> FormatError:
        """The error for a record whose id the list lacks."""
        return at_place(place, f"{self.path} has no line for its id {id}; is it the list of this .rec?")


def read_list(path: str) -> LabelList:
    """Read a .lst; the same again as long as the file has not changed, as each part of a conversion asks for it.

    Raises:
        FormatError: a line is not id, labels and path, or an id comes twice; naming the line.
    """
    return _read_list(path, *state_of(path))


@lru_cache(maxsize=2)
def _read_list(path: str, nbytes: int, mtime_ns: int) -> LabelList:
    ids: list[int] = []
    rows: list[list[float]] = []
    with on_disk(path) as local, open(local, encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(iter(partial(file.readline, _LONGEST_LINE + 1), ""), 1):
            if len(line) > _LONGEST_LINE:
                raise FormatError(f"{path}: line {number}: has more than {_LONGEST_LINE} characters", path=path)
            columns = line.rstrip("\r\n").split("\t")
            if columns == [""]:
                continue
            try:
                ids.append(_id(columns[0]))
                rows.append([_number(text) for text in columns[1:-1]])
                if not rows[-1]:
                    raise ValueError("no label")
            except ValueError as err:
                raise FormatError(
                    f"{path}: line {number}: {err}; expected id, labels and path, separated by TABs", path=path
                ) from err
    order = np.argsort(np.array(ids, dtype=np.uint64), kind="stable")
    sorted_ids = np.array(ids, dtype=np.uint64)[order]
    twice = np.flatnonzero(sorted_ids[1:] == sorted_ids[:-1])
    if len(twice):
        raise FormatError(f"{path}: id {int(sorted_ids[twice[0]])} stands on two lines", path=path)
    return LabelList(path, sorted_ids, _labels(path, rows).take(order))


def _labels(path: str, rows: list[list[float]]) -> Ragged:
    """The labels as one column; not row by row, as a list has as many rows as the .rec."""
    dtype = _dtype(path, rows)
    numbers = [value for row in rows for value in row]
    if dtype == "int64":  # of integers alone, but a float among them would make floats of all
        numbers = [int(value) for value in numbers]
    values = exact_array(numbers, dtype, "label")
    lengths = np.array([len(row) for row in rows], dtype=np.int64) * values.itemsize
    return Ragged(as_bytes(values), np.cumsum(lengths) - lengths, lengths, values.dtype.name)


def _id(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 64:
        raise ValueError(f"id {value} is not between 0 and 2**64 - 1")
    return value


def _number(text: str) -> float:
    value: float
    try:
        value = int(text)
    except ValueError:
        value = float(text)
        if math.isinf(value) and "inf" not in text.lower():  # or an integer of more digits than Python takes
            raise ValueError(f"label {text[:40]} is beyond 64 bits") from None
        if not value.is_integer():
            return value
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"label {value} is beyond 64 bits")
    return value


def _dtype(path: str, rows: list[list[float]]) -> str:
    """float32 as in the records, but int64 where that would change a label that is an integer."""
    values = [value for row in rows for value in row]
    large = [value for value in values if float(value).is_integer() and abs(value) > _EXACT]
    if not large:
        return "float32"
    fraction = next((value for value in values if not float(value).is_integer()), None)
    if fraction is not None:
        raise FormatError(
            f"{path}: label {large[0]} needs an integer type and label {fraction} a float; float32 holds not both "
            "exactly, so keep them in lists of their own",
            path=path,
        )
    return "int64"
