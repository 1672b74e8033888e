"""InsightFace's verification sets (lfw.bin, cfp_fp.bin, ...): pairs of faces, and whether each is of one person.

A pickle of (bins, issame_list): bins has 2 image files a pair, of which those of pair i are items 2 i and 2 i + 1;
issame_list has a bool a pair. A row is a pair:

    image_a: bytes      image_b: bytes      same: bool

Images are bytes, or one-dimensional arrays of uint8; files of Python 2 and 3 are read. pickled.py runs nothing of it.
The format has no suffix of its own, as other .bin files are many: a file is known by its content, and taken where it is
named, and not out of a folder. It is only read.

Source: insightface, src/data/lfw2pack.py; recognition/arcface_torch/eval/verification.py (load_bin).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from ..batch import Column, Ragged, sealed
from ..copies import on_disk
from ..errors import FormatError
from ..schema import Field, Schema
from .array_columns import ArrayColumn
from .arrays import ArrayFormat, Store
from .base import Writer
from .framed import most_held
from .pickled import PickledArray, unpickle

_LARGEST = 1 << 31  # bytes of a file; the known sets have up to 200 MB
# A tuple whose first item is a list: in protocol 0 and 1, and in 2 to 5, of which 4 and 5 may begin with a frame
_HEAD = re.compile(rb"\(\(lp|\(\]q|\x80[\x02-\x05](?:\x95.{8})?\][qr\x94(\]]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class InsightFaceOptions:
    """How to read a verification set: there is one way."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Pairs:
    """What a file holds: all images, those of a pair one after the other, and whether each pair is of one person."""

    images: Ragged
    same: NDArray[np.bool_]


_open: WeakValueDictionary[tuple[str, int, tuple[int, ...]], Pairs] = WeakValueDictionary()
"""The files that are open somewhere in this process, by what changes when one is written to."""


class PairColumn(ArrayColumn):
    """A column that is held in memory."""

    chunk_rows = 1

    def __init__(self, field: Field, values: Column) -> None:
        self.field, self._values, self.num_rows, self.held = field, values, len(values), values.nbytes

    def column(self, rows: slice | NDArray[np.int64], wanted: Field) -> Column:
        if isinstance(self._values, Ragged):
            return self._values[rows] if isinstance(rows, slice) else self._values.take(rows)
        return self._values[rows]

    def row_bytes(self) -> float:
        return self._values.nbytes / max(self.num_rows, 1)


class InsightFace(ArrayFormat):
    name = "insightface"
    suffixes: tuple[str, ...] = ()
    options = InsightFaceOptions

    def sniff(self, head: bytes) -> bool:
        return _HEAD.match(head) is not None

    @contextmanager
    def store(self, path: str, options: InsightFaceOptions, keep: int = 0) -> Iterator[Store]:
        with on_disk(path) as local:
            status = os.stat(local)
            key = (path, status.st_size, (status.st_mtime_ns, status.st_dev, status.st_ino))
            pairs = _open.get(key) or _read(path, local, status.st_size)
        _open[key] = pairs  # held by this generator, so as long as the file is open
        images, same = pairs.images, pairs.same
        columns = (
            PairColumn(Field("image_a", "bytes"), images[::2]),
            PairColumn(Field("image_b", "bytes"), images[1::2]),
            PairColumn(Field("same", "bool"), same),
        )
        note = f"InsightFace verification set: {len(same)} pairs, {int(same.sum())} of them of one person"
        yield Store({column.field.name: column for column in columns}, (note,))

    def check_target(self, path: str, options: Any) -> None:
        raise ValueError(f"{path}: verification sets of InsightFace are only read; write .tfrecord, .rec, .npz or .h5")

    def create(self, path: str, schema: Schema, options: Any) -> Writer:
        raise ValueError(f"{path}: verification sets of InsightFace are only read")


FORMAT = InsightFace()


def _read(path: str, local: str, nbytes: int) -> Pairs:
    if nbytes > _LARGEST:
        raise FormatError(f"{path}: {nbytes} bytes, expected at most {_LARGEST} of a verification set", path=path)
    with open(local, "rb") as file:
        content = unpickle(path, file.read(nbytes))
    images, same = _parts(path, content)
    return Pairs(_joined(path, images), sealed(same))


def _parts(path: str, content: object) -> tuple[list[bytes], NDArray[np.bool_]]:
    """The images, and whether each pair is of one person."""
    shape = "a pickle of (images, whether each pair is of one person)"
    if not isinstance(content, (tuple, list)) or len(content) != 2:
        raise FormatError(f"{path}: holds {_describe(content)}, expected {shape}", path=path)
    images, same = content
    if not isinstance(images, (list, tuple)) or not isinstance(same, (list, tuple, PickledArray)):
        raise FormatError(f"{path}: holds {_describe(images)} and {_describe(same)}, expected {shape}", path=path)
    flags = [bool(byte) for byte in same.data] if isinstance(same, PickledArray) else list(same)
    wrong = next((n for n, flag in enumerate(flags) if not isinstance(flag, int) or flag not in (0, 1)), None)
    if wrong is not None:
        raise FormatError(
            f"{path}: pair {wrong} is {_describe(flags[wrong])}, expected a bool", path=path, record=wrong
        )
    if len(images) != 2 * len(flags):
        raise FormatError(
            f"{path}: has {len(images)} images and {len(flags)} pairs, expected two images a pair; the file is damaged",
            path=path,
        )
    return [_image(path, number, image) for number, image in enumerate(images)], np.array(flags, dtype=np.bool_)


def _image(path: str, number: int, image: object) -> bytes:
    if isinstance(image, PickledArray) and image.dtype == "uint8" and len(image.shape) == 1:
        return image.data
    if isinstance(image, bytes):
        return image
    raise FormatError(
        f"{path}: image {number} (of pair {number // 2}) is {_describe(image)}, expected the bytes of an image file",
        path=path,
        record=number // 2,
    )


def _joined(path: str, images: list[bytes]) -> Ragged:
    """The images as one column. One that is there several times is held once, as in the file."""
    places: dict[int, int] = {}
    parts: list[bytes] = []
    starts = np.empty(len(images), dtype=np.int64)
    at = 0
    for number, image in enumerate(images):
        if id(image) not in places:
            places[id(image)] = at
            parts.append(image)
            at += len(image)
        starts[number] = places[id(image)]
    lengths = np.array([len(image) for image in images], dtype=np.int64)
    if lengths.sum() > most_held(path):
        raise FormatError(
            f"{path}: its images have {lengths.sum()} bytes together, far more than the file: it is damaged, or made "
            "to exhaust its reader",
            path=path,
        )
    return Ragged(sealed(np.frombuffer(b"".join(parts), dtype=np.uint8)), sealed(starts), sealed(lengths), "bytes")


def _describe(value: object) -> str:
    if isinstance(value, PickledArray):
        return f"an array of {value.dtype}{list(value.shape)}"
    if isinstance(value, (int, float)) and abs(value) < 1 << 64:  # Python refuses to print an int of 10,000 digits
        return f"{type(value).__name__} {value!r}"
    return f"a {type(value).__name__}"
