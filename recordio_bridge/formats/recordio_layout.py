"""What image records are likely to be, by a look at some: which preset fits them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from ..batch import Batch, Column, Ragged
from ..detection import widths_of
from ..images import Images
from .base import Heads
from .payloads import LOOKED_AT
from .recordio_faces import Kinds, property_notes
from .recordio_header import without_image

_EXACT = 1 << 24  # the largest class that a float32 label tells from its neighbours
RowsFrom = Callable[[int, int], Batch | None]
"""rows_from(offset, rows): labels and images of so many sound records from the one at that offset on."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The preset that fits, and what is known of the records that hold no image; None where nothing is.

    warnings: those of the notes that say that something may be missing.
    """

    preset: str | None = None
    notes: list[str] | None = None
    warnings: Sequence[str] = ()


def layout_of(path: str, kinds: Kinds, rows_from: RowsFrom) -> Layout:
    """The layout of a file with these kinds of records."""
    first = rows_from(0, LOOKED_AT)
    if first is None:
        return Layout()
    notes = kinds.notes(_header_label(kinds, rows_from))
    if notes is None:
        return Layout(fitting_preset(first))
    warnings = property_notes(path, kinds.identities.count or None, "identities", sizes_of(first["image"]))
    return Layout("faces", notes + warnings, warnings)


def _header_label(kinds: Kinds, rows_from: RowsFrom) -> list[float] | None:
    """The label of the one record that may be InsightFace's header record."""
    header = rows_from(kinds.headers[0], 1) if len(kinds.headers) == 1 else None
    label = None if header is None else header["label"]
    return label.numbers().tolist() if isinstance(label, Ragged) else None


def fitting_preset(first: Batch) -> str | None:
    """The preset for records with these labels and images; None where none fits.

    Detection labels that all are without objects may as well be two classes, so then none is named.
    """
    images, labels = first["image"], first["label"]
    assert isinstance(images, Ragged)  # the columns of image records
    assert isinstance(labels, Ragged)
    rows = np.flatnonzero(images.lengths)
    if not len(rows) or (Images.of(images.take(rows)).kinds == _kernels.NO_IMAGE).any():
        return None
    labels = labels.take(rows)
    widths = widths_of(labels)
    if (widths > 0).all() and len(set(widths.tolist())) == 1:
        return "detection" if (labels.counts > 4).any() else None
    numbers = labels.numbers().astype(np.float64)
    is_class = (numbers == np.trunc(numbers)) & (numbers >= 0) & (numbers <= _EXACT)
    return "imagenet" if is_class.all() else None


def sizes_of(images: Column) -> list[tuple[int, int]]:
    """The least and the greatest height, then width, of some images; empty where none is known."""
    found = Images.of(images)
    known = np.flatnonzero(found.heights > 0)
    return [(int(each[known].min()), int(each[known].max())) for each in (found.heights, found.widths) if len(known)]


def heads_of_images(
    steps: Iterable[tuple[Heads, NDArray[np.int64], NDArray[np.void]]], first_record: int
) -> Iterator[Heads]:
    """Of runs of heads, sizes and image headers: the heads of the records that hold an image."""
    for heads, lengths, headers in steps:
        numbers = first_record + np.arange(len(heads)) if heads.numbers is None else heads.numbers
        first_record += len(heads)
        kept = np.flatnonzero(~without_image(lengths, headers))
        if len(kept):
            yield Heads(heads.offsets[kept], heads.sizes[kept], numbers[kept])
