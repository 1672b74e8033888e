"""Functions of fields, for the expressions of --select.

    format(F)           bytes        what the image file in F is: jpeg, png, gif, bmp or webp
    height(F) width(F)  int64        its size, as its header says; nothing is decoded
    one(F)                           the one value of each row; a row of more, or of none, is an error
    text(F)             bytes        the digits of integers
    objects(F, B)[k]                 value k of each object of a detection label of B values an object (detection.py)
    boxes(F, B, G)[k]   float32[*]   xmin, ymin, xmax, ymax, for k from 0 to 3, as fractions of the image in G

B may be left away: then objects may have any number of values, and k goes up to 4. Each is computed on a whole Batch,
and once only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .batch import Batch, Column, Ragged
from .detection import LEAST_OBJECT, Objects, fractions, objects_of, ragged_of
from .errors import SchemaError
from .images import Images
from .schema import INTEGERS, Field, Schema
from .tally import Tally

FORMATS = {
    _kernels.JPEG: b"jpeg",
    _kernels.PNG: b"png",
    _kernels.GIF: b"gif",
    _kernels.BMP: b"bmp",
    _kernels.WEBP: b"webp",
}
_CALL = re.compile(r"(?P<function>\w+)\((?P<arguments>.*)\)(?:\[(?P<index>\d+)\])?", re.DOTALL)
_FIELDS = {"format": 1, "height": 1, "width": 1, "one": 1, "text": 1, "objects": 1, "boxes": 2}
_OF_OBJECTS = ("objects", "boxes")


@dataclass(frozen=True, slots=True)
class Call:
    """A function with the fields that it is called with; of objects, how many values they have, and which is meant."""

    function: str
    fields: tuple[str, ...]
    width: int | None = None
    index: int | None = None


def named_in(expression: str) -> list[str]:
    """What may be names of fields in a call, before it is known which fields there are."""
    match = _CALL.fullmatch(expression)
    return [] if match is None else [argument.strip() for argument in match["arguments"].split(",")]


def parse_call(expression: str, schema: Schema) -> Call | None:
    """The call that an expression is; None where it looks like none.

    Raises:
        SchemaError: there is no such function, or it is not called so.
    """
    match = _CALL.fullmatch(expression)
    if match is None:
        return None
    function = match["function"]
    if function not in _FIELDS:
        raise SchemaError(f"there is no function {function!r}; there are {', '.join(_FIELDS)}")
    arguments = [argument.strip() for argument in match["arguments"].split(",")]
    numbers = [argument for argument in arguments if argument.isdigit() and argument not in schema]
    names = [argument for argument in arguments if argument not in numbers]
    takes_objects = function in _OF_OBJECTS
    if len(names) != _FIELDS[function] or len(numbers) > takes_objects or (match["index"] is None) == takes_objects:
        raise SchemaError(f"{function} is called as {_usage(function)}, and not {expression!r}")
    for name in names:
        _check_argument(function, schema[name], is_image=function in ("format", "height", "width") or name != names[0])
    width = int(numbers[0]) if numbers else None
    index = int(match["index"]) if match["index"] is not None else None
    _check_numbers(function, width, index)
    return Call(function, tuple(names), width, index)


def _usage(function: str) -> str:
    return {"objects": "objects(LABEL, B)[k]", "boxes": "boxes(LABEL, B, IMAGE)[k]"}.get(function, f"{function}(FIELD)")


def _check_argument(function: str, given: Field, is_image: bool) -> None:
    if is_image:
        fits, expected = given.dtype == "bytes" and given.shape == (), "one image file a row, as bytes"
    elif function == "text":
        fits, expected = given.dtype in INTEGERS and given.shape == (), "one integer a row"
    elif function == "one":
        fits, expected = len(given.shape) == 1, "several values a row"
    else:
        fits, expected = given.dtype != "bytes" and len(given.shape) == 1, "a vector of numbers a row"
    if not fits:
        are_pixels = is_image and given.dtype in ("uint8", "uint16") and len(given.shape) in (2, 3)
        advice = f"; make image files of it on the way: --encode {given.name}=png" if are_pixels else ""
        raise SchemaError(f"field {given.name!r} is {given}; {function} takes {expected}{advice}", field=given.name)


def _check_numbers(function: str, width: int | None, index: int | None) -> None:
    if width is not None and width < LEAST_OBJECT:
        raise SchemaError(f"objects have {LEAST_OBJECT} values at least, and not {width}")
    most = 4 if function == "boxes" else width or LEAST_OBJECT
    if index is not None and index >= most:
        raise SchemaError(f"{_usage(function)} has k from 0 to {most - 1}, and not {index}")


def result_of(call: Call, schema: Schema) -> Field:
    """The field that a call makes, under the name of its first one."""
    given = schema[call.fields[0]]
    if call.function in ("format", "text"):
        return Field(given.name, "bytes")
    if call.function in ("height", "width"):
        return Field(given.name, "int64")
    if call.function == "one":
        return Field(given.name, given.dtype)
    return Field(given.name, given.dtype if call.function == "objects" else "float32", (None,))


@dataclass(slots=True)
class Evaluation:
    """The calls on one Batch. What several have in common is computed once."""

    batch: Batch
    tally: Tally
    _known: dict[object, Any] = field(default_factory=dict)  # Any: Images, Objects or corners, by their key

    def column(self, call: Call, name: str) -> Column:
        """What a call gives; name is that of the column that it is for.

        Raises:
            SchemaError: a row is not what the function takes (.row).
        """
        first = self.batch[call.fields[0]]
        if call.function == "one":
            return _only(first, call.fields[0], name)
        if call.function == "text":
            return _digits(first)
        if call.function == "format":
            return self._formats(call.fields[0], name)
        if call.function in ("height", "width"):
            return self._sizes(call, name)
        index = call.index or 0
        if call.function == "boxes":
            corners = self._once((*call.fields, call.width), lambda: self._corners(call, name))
            return ragged_of(np.ascontiguousarray(corners[:, index]), self._objects(call, name).counts)
        return self._objects(call, name).value(index)

    def _once(self, key: object, make: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def _images(self, name: str) -> Images:
        images: Images = self._once(name, lambda: self._surveyed(name))
        return images

    def _surveyed(self, name: str) -> Images:
        images = Images.of(self.batch[name])
        self.tally.include("height", images.heights[images.heights > 0])
        self.tally.include("width", images.widths[images.widths > 0])
        return images

    def _objects(self, call: Call, name: str) -> Objects:
        label = call.fields[0]
        objects: Objects = self._once(
            (label, call.width), lambda: objects_of(self.batch[label], call.width, name, self.tally)
        )
        return objects

    def _corners(self, call: Call, name: str) -> NDArray[np.float32]:
        images = self._images(call.fields[1])
        return fractions(self._objects(call, name), images.heights, images.widths, name, self.tally)

    def _formats(self, image: str, name: str) -> Ragged:
        kinds = self._images(image).kinds
        wrong = np.flatnonzero(kinds == _kernels.NO_IMAGE)
        if len(wrong):
            raise self._no_image(int(wrong[0]), image, name)
        lengths = np.array([len(FORMATS.get(kind, b"")) for kind in range(max(FORMATS) + 1)])
        starts = np.cumsum(lengths) - lengths
        names = np.frombuffer(b"".join(FORMATS[kind] for kind in sorted(FORMATS)), dtype=np.uint8)
        return Ragged(names, starts[kinds], lengths[kinds], "bytes")

    def _sizes(self, call: Call, name: str) -> NDArray[np.int64]:
        images = self._images(call.fields[0])
        sizes = images.heights if call.function == "height" else images.widths
        wrong = np.flatnonzero(sizes < 0)
        if len(wrong):
            row = int(wrong[0])
            if images.kinds[row] == _kernels.NO_IMAGE:
                raise self._no_image(row, call.fields[0], name)
            kind = FORMATS[int(images.kinds[row])].decode()
            raise SchemaError(
                f"row {row}: its {kind} image does not say its {call.function}; it is cut, or damaged",
                field=name,
                row=row,
            )
        return sizes

    def _no_image(self, row: int, image: str, name: str) -> SchemaError:
        column = self.batch[image]
        content = column[row]
        assert isinstance(content, bytes)  # an image field is bytes
        if content:
            known = ", ".join(kind.decode() for kind in FORMATS.values())
            what = f"{image!r} begins with {content[:8].hex(' ')}, which is none of {known}"
        else:
            what = f"{image!r} is empty: metadata? leave such rows out with --where {image} (where={image!r})"
        return SchemaError(f"row {row}: {what}", field=name, row=row)


def _only(column: Column, given: str, name: str) -> Column:
    """The one value of each row."""
    if isinstance(column, Ragged):
        wrong = np.flatnonzero(column.counts != 1)
    else:
        wrong = np.arange(len(column)) if column.shape[1] != 1 else np.empty(0, dtype=np.int64)
    if len(wrong):
        row = int(wrong[0])
        count = int(column.counts[row]) if isinstance(column, Ragged) else column.shape[1]
        raise SchemaError(
            f"row {row} of field {given!r} has {count} values, expected one; {given}[0] takes the first, {given} all",
            field=name,
            row=row,
        )
    if not isinstance(column, Ragged):
        return np.ascontiguousarray(column[:, 0])
    if isinstance(column.values, Ragged):
        return column.values.take(column.starts)
    return column.numbers()


def _digits(column: Column) -> Ragged:
    """Integers as text."""
    assert not isinstance(column, Ragged)  # integers of one value a row are dense
    texts = column.astype(np.int64).astype("S20") if column.dtype == np.bool_ else column.astype("S20")
    lengths = np.char.str_len(texts).astype(np.int64)
    return Ragged(texts.view(np.uint8), np.arange(len(texts)) * texts.itemsize, lengths, "bytes")
