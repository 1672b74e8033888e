"""Detection labels, as MXNet's ImageDetIter and GluonCV pack them: one vector of numbers an image.

    A  B  further header (A - 2 values)  object  object ...      A >= 2, B >= 5
    object: class  xmin  ymin  xmax  ymax  further values (B - 5)

There may be no object. An object of class -1 is padding, and left out. Classes count from 0. Coordinates are fractions
of the image, or pixels, and nothing says which: where one in a row is above 2 (or below -2), that row's are pixels.

Source: mxnet, python/mxnet/image/detection.py (_parse_label); gluon-cv, gluoncv/data/recordio/detection.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batch import Column, Ragged, as_bytes, spans_of
from .errors import SchemaError
from .tally import Tally

LEAST_HEADER, LEAST_OBJECT = 2, 5
PADDING = -1  # the class of an object that is none
_FRACTIONS_TO = 2  # a coordinate above that is one of pixels
_OUTSIDE = 0.01  # of the image: what rounding explains
_SHAPE = "[A, B, A - 2 more, then B values for each object] with A from 2 and B from 5"


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of many labels, row after row: where each begins among all numbers, and how many a row has."""

    numbers: NDArray[Any]  # Any: of the label's dtype
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def value(self, index: int) -> Ragged:
        """One of the values of each object, 0 being its class."""
        return ragged_of(self.numbers[self.starts + index], self.counts)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The row of each object."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def corners(self) -> NDArray[np.float64]:
        """xmin, ymin, xmax, ymax of each object: float64[objects, 4]."""
        return np.asarray(self.numbers[self.starts[:, None] + np.arange(1, 5)], dtype=np.float64)


def ragged_of(numbers: NDArray[Any], counts: NDArray[np.int64]) -> Ragged:
    """A column of numbers that lie row after row."""
    lengths = counts * numbers.itemsize
    return Ragged(as_bytes(numbers), np.cumsum(lengths) - lengths, lengths, numbers.dtype.name)


def widths_of(column: Column) -> NDArray[np.int64]:
    """How many values each object of a row has (B); 0 for a row that is no detection label."""
    numbers, starts, counts = _rows_of(column)
    return _sound_widths(numbers, starts, counts)


def objects_of(column: Column, width: int | None, name: str, tally: Tally) -> Objects:
    """The objects of labels, without padding.

    Args:
        width: how many values each object has; None for any number.
        name: of the column that is made of it, for messages.

    Raises:
        SchemaError: a row is no detection label, or its objects have another width (.row).
    """
    numbers, starts, counts = _rows_of(column)
    widths = _sound_widths(numbers, starts, counts)
    wrong = np.flatnonzero((widths == 0) if width is None else (widths != width))
    if len(wrong):
        row = int(wrong[0])
        raise _no_objects(row, numbers[starts[row] : starts[row] + counts[row]], int(widths[row]), width, name)
    headers = numbers[starts].astype(np.int64) if len(starts) else starts
    each = (counts - headers) // np.maximum(widths, 1)
    first = np.repeat(starts + headers, each)
    order = np.arange(len(first)) - np.repeat(np.cumsum(each) - each, each)
    at = first + order * np.repeat(widths, each)
    rows = np.repeat(np.arange(len(each)), each)
    kept = numbers[at] != PADDING
    tally.count("padding", len(at) - int(kept.sum()))
    found = np.bincount(rows[kept], minlength=len(each)).astype(np.int64)
    tally.count("rows without objects", int((found == 0).sum()))
    return Objects(numbers, at[kept], found)


def fractions(
    objects: Objects, heights: NDArray[np.int64], widths: NDArray[np.int64], name: str, tally: Tally
) -> NDArray[np.float32]:
    """The corners of all boxes as fractions of their image, also those in pixels: float32[objects, 4].

    Raises:
        SchemaError: a box is in pixels, and the size of its image (-1) is not known (.row).
    """
    corners, rows = objects.corners, objects.rows
    finite = np.isfinite(corners)
    beyond = np.abs(corners).max(axis=1, initial=0, where=finite) > _FRACTIONS_TO
    in_pixels = np.bincount(rows[beyond], minlength=len(objects.counts)) > 0
    unknown = np.flatnonzero(in_pixels & (widths < 1))
    if len(unknown):
        row = int(unknown[0])
        raise SchemaError(
            f"row {row} has boxes in pixels, and the header of its image does not say its size; is the image whole?",
            field=name,
            row=row,
        )
    scaled = np.flatnonzero(in_pixels[rows])
    corners[scaled] /= np.stack([widths, heights, widths, heights], axis=1)[rows[scaled]]
    tally.count("rows in pixels", int(in_pixels.sum()))
    tally.count("rows in fractions", int((~in_pixels & (objects.counts > 0)).sum()))
    numbers = finite.all(axis=1)
    outside = ((corners < -_OUTSIDE) | (corners > 1 + _OUTSIDE)).any(axis=1)
    tally.count("boxes outside", int((numbers & outside).sum()))
    tally.count("boxes without area", int((numbers & (corners[:, 2:] <= corners[:, :2]).any(axis=1)).sum()))
    tally.count("boxes without numbers", int((~numbers).sum()))
    return corners.astype(np.float32)


def notes_of(tally: Tally) -> tuple[list[str], list[str]]:
    """What people should know of the boxes that were converted, and those of these notes that are warnings."""
    counts = tally.counts
    pixels, plain = counts.get("rows in pixels", 0), counts.get("rows in fractions", 0)
    notes, warnings = [], []
    if pixels and plain:
        warnings.append(
            f"rows with boxes in pixels: {pixels}, with fractions of the image: {plain}; each was judged by itself (a "
            f"coordinate above {_FRACTIONS_TO} is of pixels), so if the file has one kind only, some are wrong"
        )
    if "boxes without numbers" in counts:
        warnings.append(
            "boxes with a coordinate that is no finite number (NaN, inf), written as they are; a loss that is computed "
            f"from them is NaN, so mend their labels or leave the rows out: {counts['boxes without numbers']}"
        )
    if pixels:
        notes.append(f"rows whose boxes, in pixels, were divided by width and height of their image: {pixels}")
    for name, text in (
        ("boxes outside", "boxes that reach beyond their image (is it of the size that was labelled?)"),
        ("boxes without area", "boxes without area (xmax <= xmin or ymax <= ymin), which MXNet's readers drop"),
        ("padding", "objects of class -1, which is padding, left out"),
        ("rows without objects", "rows without objects"),
    ):
        if name in counts:
            notes.append(f"{text}: {counts[name]}")
    return [*warnings, *notes], warnings


def _rows_of(column: Column) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """All numbers, and where the rows begin among them, and how many they have."""
    if not isinstance(column, Ragged):
        _, starts, lengths = spans_of(column)
        return column.reshape(-1), starts // column.itemsize, lengths // column.itemsize
    counts = column.counts
    return column.numbers(), np.cumsum(counts) - counts, counts


def _sound_widths(numbers: NDArray[Any], starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """B of each row whose numbers are a detection label; 0 of others."""
    sound = counts >= LEAST_HEADER
    pairs = np.zeros((len(counts), 2))
    pairs[sound] = numbers[starts[sound][:, None] + np.arange(2)]
    sound &= (pairs == np.trunc(pairs)).all(axis=1) & (pairs[:, 0] >= LEAST_HEADER) & (pairs[:, 1] >= LEAST_OBJECT)
    sound &= (pairs <= np.maximum(counts, 1 << 24)[:, None]).all(axis=1)  # also leaves out inf
    header, width = np.where(sound[:, None], pairs, (0, 1)).astype(np.int64).T
    left = counts - header
    return np.where(sound & (left >= 0) & (left % width == 0), width, 0)


def _no_objects(row: int, label: NDArray[Any], found: int, width: int | None, name: str) -> SchemaError:
    if found and width is not None:
        what = f"its objects have {found} values, expected {width}, as those of the first row; convert such rows apart"
    else:
        shown = ", ".join(str(number) for number in label[:6].tolist())
        more = ", ..." if len(label) > 6 else ""
        what = f"its label [{shown}{more}] of {len(label)} in all is no detection label, which is {_SHAPE}"
    return SchemaError(f"row {row}: {what}", field=name, row=row)
