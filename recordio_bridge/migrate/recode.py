"""Images on the way: decoded to arrays, or encoded from them, between the selection and the writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..batch import Batch, Column, Ragged
from ..errors import FormatError, SchemaError, SelectError, numbered, placed
from ..formats.base import Skipped
from ..images import CHANNELS, Decoder, Encoding, decoded_field, encode_images, is_encoded
from ..places import Origins, Places
from ..schema import Field, Packing, Schema

if TYPE_CHECKING:
    from .orders import Order

_PIECE = 1 << 25  # bytes of arrays that are decoded at a time


def as_modes(decode: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """A decode in its one form, {field: "gray", "rgb", "rgba" or ""}; ValueError for other modes."""
    if isinstance(decode, str):
        decode = (decode,)
    modes = dict(decode) if isinstance(decode, Mapping) else dict(_mode(text) for text in decode)
    for name, mode in modes.items():
        if mode and mode not in CHANNELS:
            raise ValueError(f"decode {name}={mode!r}: expected {', '.join(CHANNELS)}")
    return modes


def _mode(text: str) -> tuple[str, str]:
    name, _, mode = text.rpartition("=")
    return (name, mode) if name else (text, "")


def recoded_schema(order: Order, selected: Schema) -> Schema:
    """The fields that are written, of those that are selected.

    Raises:
        SelectError: a field is not there, or nothing that can be encoded.
    """
    return encoded_schema(Schema(*{**selected, **order.decode}.values()), order.encode)


def encoded_schema(schema: Schema, encodings: Sequence[tuple[str, str]]) -> Schema:
    """The fields, some of them arrays that become encoded images.

    Raises:
        SelectError: a field is not there, or nothing that can be encoded.
    """
    fields = dict(schema)
    for name, how in encodings:
        if name not in fields:
            raise _unknown("encode", name, schema)
        Encoding.parse(how).check(fields[name])
        fields[name] = Field(name, "bytes")
    return Schema(*fields.values())


def encoded(batch: Batch, encodings: Sequence[tuple[str, str]]) -> Batch:
    """A Batch with some of its arrays as encoded images."""
    columns: dict[str, Column] = dict(batch.items())
    for name, how in encodings:
        column = columns[name]
        assert not isinstance(column, Ragged)  # Encoding.check has looked
        columns[name] = encode_images(column, Encoding.parse(how), name)
    return Batch(columns, encoded_schema(batch.schema, encodings), num_rows=len(batch))


def _unknown(argument: str, name: str, fields: Schema) -> SelectError:
    return SelectError(f"{argument}: there is no field {name!r}; there are {', '.join(fields) or 'none'}", field=name)


def with_sizes(order: Order, modes: Mapping[str, str], packing: Mapping[str, Packing]) -> Order:
    """The order with the fields that decoded images become, as the first sound image of each says.

    Raises:
        SelectError: such a field is not there, or holds no bytes.
        SchemaError: the source has no image that could tell.
        FormatError: all images are damaged, and damage is not skipped.
    """
    selected = order.selection().schema
    for name in modes:
        if name not in selected:
            raise _unknown("decode", name, selected)
        if not is_encoded(selected[name]):
            raise SelectError(f"decode: field {selected[name]} holds no images, which are bytes", field=name)
    found: dict[str, Field] = {}
    damaged: dict[str, FormatError] = {}
    if modes:
        from .work import rows_of  # which needs Orders, too

        for batch, read in rows_of(order):
            for name in modes.keys() - found.keys():
                try:
                    found |= _first_field(batch, name, modes[name], read)
                except FormatError as err:
                    damaged.setdefault(name, err)
            if len(found) == len(modes):
                break
    for name in modes:
        if name not in found and name in damaged and order.on_bad_record == "raise":
            raise damaged[name]
        if name not in found:
            raise SchemaError(f"field {name!r}: there is no image whose size the column could have", field=name)
    fields = [replace(found[name], packing=packing.get(name, found[name].packing)) for name in modes]
    return replace(order, decode=Schema(*fields))


def _first_field(batch: Batch, name: str, mode: str, read: Origins) -> dict[str, Field]:
    """What the first sound image of a Batch makes of a field; {} of no rows, FormatError where none is sound."""
    damaged: FormatError | None = None
    for row in range(len(batch)):
        content = batch[name][row]
        assert isinstance(content, bytes)  # is_encoded has looked
        try:
            return {name: decoded_field(batch.schema[name], content, mode)}
        except FormatError as err:
            damaged = damaged or FormatError(f"row {row} of field {name!r}: {err}", record=row)
    if damaged is not None:
        with numbered(read):
            raise damaged
    return {}


class Recoder:
    """Does to the Batches of an order what it says of images; changes counts what was done to make them fit."""

    def __init__(self, order: Order, on_skip: Callable[[Skipped], None], changes: dict[str, int] | None = None) -> None:
        self._order, self._on_skip = order, on_skip
        self._decoders = {name: Decoder(field, name in order.allow_lossy) for name, field in order.decode.items()}
        self._encodings = {name: Encoding.parse(how) for name, how in order.encode}
        self._schema = order.written
        nbytes = sum(field.numpy_dtype.itemsize * (field.num_values or 0) for field in order.decode.values())
        self._step = max(1, _PIECE // max(nbytes, 1))
        self._changes: dict[str, int] = {} if changes is None else changes

    def apply(self, batch: Batch, read: Origins) -> Iterator[tuple[Batch, Origins]]:
        """A Batch with its images decoded and encoded, in parts where it would become large."""
        step = self._step if self._decoders else max(len(batch), 1)
        for first in range(0, len(batch), step):
            part, places = batch.slice(first, first + step), read.take(slice(first, first + step))
            with numbered(places):
                recoded = self._recoded(part, places)
            yield recoded

    def _recoded(self, batch: Batch, read: Origins) -> tuple[Batch, Origins]:
        columns: dict[str, Column] = dict(batch.items())
        broken: dict[int, FormatError] = {}
        for name, decoder in self._decoders.items():
            column = columns[name]
            assert isinstance(column, Ragged)  # is_encoded has looked
            columns[name], bad, changes = decoder(column)
            for what, count in changes.items():
                text = f"images of field {name!r} {what}"
                self._changes[text] = self._changes.get(text, 0) + count
            broken |= {row: err for row, err in bad.items() if row not in broken}
        rows = len(batch)
        if broken:
            columns, read = self._without(columns, read, broken, rows)
            rows -= len(broken)
        for name, encoding in self._encodings.items():
            column = columns[name]
            assert not isinstance(column, Ragged)  # Encoding.check has looked
            columns[name] = encode_images(column, encoding, name)
        return Batch(columns, self._schema, num_rows=rows), read

    def _without(
        self, columns: dict[str, Column], read: Origins, broken: Mapping[int, FormatError], rows: int
    ) -> tuple[dict[str, Column], Origins]:
        """The rows whose images are sound; the others are reported, or the first raises."""
        if self._order.on_bad_record == "raise":
            raise broken[min(broken)]
        for row in sorted(broken):
            self._on_skip(self._skipped(broken[row], read, row))
        kept = np.delete(np.arange(rows), sorted(broken))
        return {
            name: column.take(kept) if isinstance(column, Ragged) else column[kept] for name, column in columns.items()
        }, read.take(kept)

    def _skipped(self, error: FormatError, read: Origins, row: int) -> Skipped:
        if isinstance(read, Places):
            place = read[row]
            size = 0 if read.sizes is None else int(read.sizes[row])
            reason = str(placed(error, place)).removeprefix(f"{place.path}: ")
            return Skipped(place.path, place.offset, place.offset + size, reason, place.record)
        path, number = read[row]
        reason = str(error).replace(f"row {row} ", f"row {number} ", 1)
        return Skipped(path, number, number, reason, number)


def notes_of(order: Order, changes: Sequence[Mapping[str, int]], num_rows: int) -> list[str]:
    """What people should know of what was done to images."""
    notes = []
    for name, how in (*order.encode_read, *order.encode):
        note = Encoding.parse(how).note
        notes += [] if note is None else [f"field {name!r} is {note}"]
    texts = sorted({text for each in changes for text in each})
    return notes + [f"{sum(each.get(text, 0) for each in changes)} of {num_rows} {text}" for text in texts]
