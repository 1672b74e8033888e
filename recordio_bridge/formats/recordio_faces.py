"""InsightFace's layout of a .rec: images, and records of metadata without one.

    header record   id 0           label [I0, I1): the first id of an identity, and one past the last; no image
    image           id 1 .. I0-1   label: its class, maybe with other numbers behind
    identity        id I0 .. I1-1  label [a, b): the ids of its images; no image

Their order in the file differs from writer to writer: rec_builder puts the header last, face2rec2 between images and
identities. Labels are float32, which skips integers above 2**24 as Glint360K has them: ids are taken from the headers
of the records, and compared with what the labels say.

Beside it lies `property`, text: classes,height,width in the first line.

Source: insightface, recognition/arcface_mxnet/image_iter.py, common/rec_builder.py; src/data/face2rec2.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..paths import is_file_beside
from ..rangefile import open_file
from .recordio_header import HEADER, without_image

_EXACT = 1 << 24  # beyond it float32 skips integers
_LONGEST_PROPERTY = 4096  # bytes of a property file that are read


@dataclass(slots=True)
class Ids:
    """How many records of a kind there are, and their least and greatest id."""

    count: int = 0
    low: int = 0
    high: int = -1

    def add(self, ids: NDArray[np.uint64]) -> None:
        if len(ids):
            low, high = int(ids.min()), int(ids.max())
            self.low, self.high = (min(self.low, low), max(self.high, high)) if self.count else (low, high)
            self.count += len(ids)

    def __str__(self) -> str:
        return f"ids {self.low} to {self.high}" if self.count else "no ids"


@dataclass(slots=True)
class Kinds:
    """Counts records by kind, in file order."""

    images: Ids = field(default_factory=Ids)
    identities: Ids = field(default_factory=Ids)
    others: int = 0
    """Records without an image that are neither identities nor a header record."""
    headers: list[int] = field(default_factory=list)
    """The offsets of what may be header records."""

    def add(self, offsets: NDArray[np.int64], lengths: NDArray[np.int64], headers: NDArray[np.void]) -> None:
        """Look at a run of records."""
        empty = without_image(lengths, headers)
        if not empty.any():
            self.images.add(headers["id"])
            return
        self.images.add(headers["id"][~empty & (lengths >= HEADER.itemsize)])
        is_header = empty & (headers["id"] == 0) & (headers["flag"] >= 2)
        is_identity = empty & (headers["id"] != 0) & (headers["flag"] == 2)
        self.identities.add(headers["id"][is_identity])
        self.headers += offsets[is_header].tolist()
        self.others += int((empty & ~is_header & ~is_identity).sum())

    def notes(self, label: Sequence[float] | None) -> list[str] | None:
        """What is to be said of the layout; None where it is not InsightFace's.

        Args:
            label: of the only header record; None where there is not exactly one.
        """
        if label is None or len(label) < 2 or not 1 <= label[0] <= label[1] < float("inf"):
            return None
        more = f", {self.others} of another kind" if self.others else ""
        without = 1 + self.identities.count + self.others
        notes = [
            f"InsightFace: {self.images.count} images ({self.images}); {without} of {without + self.images.count} "
            f"records hold no image: 1 header record, {self.identities.count} identities ({self.identities}){more}"
        ]
        first = self.identities.low if self.identities.count else self.images.high + 1
        found = (first, first + self.identities.count)
        told = (int(label[0]), int(label[1]))
        if told != found:
            why = (
                "float32, which it is stored as, skips integers above 2**24"
                if max(found) > _EXACT
                else "the ids of the records count"
            )
            notes.append(f"the header record says that identities have ids {told[0]} to {told[1] - 1}; {why}")
        if self.images.count and (self.images.low, self.images.high) != (1, self.images.count):
            notes.append(f"{self.images.count} images with {self.images}: some are missing, or there twice")
        return notes


def property_path(path: str) -> str | None:
    """The property file of a .rec: of its own name, or the one of its folder."""
    found = (os.path.splitext(path)[0] + ".property", os.path.join(os.path.dirname(path), "property"))
    return next((candidate for candidate in found if is_file_beside(candidate)), None)


def property_notes(path: str, classes: int | None, of_what: str, sizes: Sequence[tuple[int, int]]) -> list[str]:
    """Where the property file of a .rec does not fit it.

    Args:
        classes: how many there are, where that is known, and of_what that is the number.
        sizes: the least and the greatest height, then width, of the images; empty where they are not known.
    """
    beside = property_path(path)
    if beside is None:
        return []
    with open_file(beside) as file:
        line = file.read(_LONGEST_PROPERTY).decode(errors="replace").partition("\n")[0].strip()
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 3 or not all(part.isdigit() and len(part) < 10 for part in parts):
        return [f"{beside}: its first line is {line[:40]!r}, expected classes,height,width"]
    told, height, width = map(int, parts)
    notes = []
    if classes is not None and classes != told:
        notes.append(f"{beside}: says {told} classes, and there are {classes} {of_what}")
    if sizes and list(sizes) != [(height, height), (width, width)]:
        seen = " by ".join(str(low) if low == high else f"{low} to {high}" for low, high in sizes)
        notes.append(f"{beside}: says images of {height} by {width}, and they are {seen} (height by width)")
    return notes
