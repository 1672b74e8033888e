"""Records to Batch: find the Values, count what they hold, fill columns with that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from ..batch import Batch, Column, Ragged, as_bytes, concat, sealed
from ..casts import cast
from ..errors import FormatError, SchemaError
from ..schema import Field, Schema
from .names import (
    BYTES,
    CONTENT_TYPE,
    DTYPES,
    FAULTS,
    FLOAT32,
    KEYS,
    KIND_NAMES,
    SHAPE,
    TEXT,
    TEXTS,
    VALUES,
    Place,
    Spans,
    kind_of,
    place_of,
    title,
)

_FOUND = 1 << 20  # spans that are found at a time


def decode(payloads: Ragged | Sequence[bytes], schema: Schema) -> Batch:
    """The fields of the schema out of serialized Records; other entries are passed over.

    Bytes are spans into the payloads, numbers are copied. Packed and unpacked numbers are read; of a key that comes
    twice the last counts; a missing entry is a row without values, and an error where the field must have some.

    Raises:
        FormatError: a payload is no Record (.record is its row).
        SchemaError: an entry is of another kind, number or range than its field (.field, .row).
    """
    spans = payloads if isinstance(payloads, Ragged) else Ragged.of(payloads)
    places = {name: _known_place(field) for name, field in schema.items()}
    names = list(dict.fromkeys(place.name for place in places.values()))
    step = max(1, _FOUND // max(1, len(names)))
    if len(spans) > step:
        return concat([decode(spans[first : first + step], schema) for first in range(0, len(spans), step)])
    found = _find(spans, names)
    values = {name: Values(each, name) for name, each in zip(names, found, strict=True)}
    columns = {name: values[place.name].column(place.part, schema[name]) for name, place in places.items()}
    return Batch(columns, schema, num_rows=len(spans))


def _known_place(field: Field) -> Place:
    place = place_of(field)
    if place is None:
        raise SchemaError(
            f"a Record has no field {field.name!r}; it has features/NAME, label/NAME, uid, metadata and configuration",
            field=field.name,
        )
    return place


def _find(payloads: Ragged, names: list[bytes]) -> list[Spans]:
    """Where the Value, or the text, of each name lies in each payload: a start of -1 where there is none."""
    starts, lengths = np.empty((2, len(payloads), len(names)), dtype=np.int64)
    rows, fault, _, at, _ = _kernels.find_values(payloads.spans, names, False, starts.reshape(-1), lengths.reshape(-1))
    if fault:
        raise no_record(payloads, rows, fault, at)
    return [
        (payloads.spans[0], np.ascontiguousarray(starts[:, n]), np.ascontiguousarray(lengths[:, n]))
        for n in range(len(names))
    ]


def no_record(payloads: Ragged, row: int, fault: int, at: int, first: int = 0) -> FormatError:
    """The error for what stopped the finding; first is the number of the first row."""
    inside = at - int(payloads.starts[row])
    return FormatError(f"record {first + row}, byte {inside} of its payload: {FAULTS[fault]}", record=first + row)


class Values:
    """The Values of one name, of some records; or its texts."""

    def __init__(self, spans: Spans, name: bytes) -> None:
        starts = spans[1]
        self._spans, self.title = spans, title(name)
        self.present, self.is_text = starts >= 0, name in TEXTS.values()
        self.kinds = np.zeros(len(starts), dtype=np.uint8)
        self.counts = np.zeros((len(starts), 3), dtype=np.int64)
        self.sound, self.fault = len(starts), _kernels.OK
        """How many rows were counted; what is wrong with the next one."""
        if self.is_text:
            self.counts[:, 0] = self.present
        else:
            self.sound, self.fault = _kernels.count_tensors(self._spans, self.kinds, self.counts.reshape(-1))

    def error(self, first: int = 0) -> FormatError:
        """What stopped the counting; first is the number of the first row."""
        row = first + self.sound
        return FormatError(f"record {row}, {self.title!r}: {FAULTS[self.fault]}", record=row)

    def column(self, part: int, field: Field) -> Column:
        """A part of each Value as the column of a field."""
        if self.fault:
            raise self.error()
        if part == TEXT:
            _, starts, lengths = self._spans
            return self._texts(field, self.counts[:, 0], starts[self.present], lengths[self.present])
        kind = self._kind(field, part)
        counts = np.ascontiguousarray(self.counts[:, part - 1])
        if kind == BYTES:
            starts, lengths = np.empty((2, int(counts.sum())), dtype=np.int64)
            _kernels.fill_texts(self._spans, part, starts, lengths)
            return self._texts(field, counts, starts, lengths)
        self._check_counts(field, counts)
        if part == VALUES and field.shape != (None,):
            self._check_dense(kind, field)
        numbers = self._numbers(kind, part)
        if field.shape == (None,):
            if numbers.dtype.name != field.dtype:
                numbers = cast(numbers, field.dtype, field.name, rows=np.repeat(np.arange(len(counts)), counts))
            lengths = numbers.itemsize * counts
            return Ragged(as_bytes(numbers), np.cumsum(lengths, dtype=np.int64) - lengths, lengths, field.dtype)
        rows = numbers.reshape(len(counts), *(n for n in field.shape if n is not None))
        return cast(rows, field.dtype, field.name)

    def _kind(self, field: Field, part: int) -> int:
        """The kind of all these Values, which must be that of the field."""
        there = self.kinds[self.kinds > 0]
        if part == VALUES or (part == CONTENT_TYPE and field.dtype == "bytes"):
            kind = kind_of(field)
        else:  # keys and shape say nothing of the kind of the values
            kind = int(there[0]) if len(there) and there[0] != BYTES else FLOAT32
        wrong = np.flatnonzero((self.kinds != kind) & (self.kinds != 0))
        if len(wrong):
            row = int(wrong[0])
            raise _misfit(field, row, f"is {KIND_NAMES[int(self.kinds[row])]}, expected {KIND_NAMES[kind]}")
        return kind

    def _numbers(self, kind: int, part: int) -> NDArray[np.generic]:
        dtype = DTYPES[kind] if part == VALUES else "uint64"
        numbers = np.empty(int(self.counts[:, part - 1].sum()), dtype=dtype)
        _kernels.fill_tensors(self._spans, kind, part, numbers)
        return numbers

    def _check_counts(self, field: Field, counts: NDArray[np.int64]) -> None:
        wanted = field.num_values
        wrong = np.flatnonzero(counts != wanted)
        if wanted is not None and len(wrong):
            row = int(wrong[0])
            there = int(counts[row])
            raise _misfit(field, row, f"has {there} values, expected {wanted}" if there else "is missing or empty")

    def _check_dense(self, kind: int, field: Field) -> None:
        """That no tensor is sparse, and none of two or more dimensions says another shape than the field."""
        keyed = np.flatnonzero(self.counts[:, KEYS - 1])
        if len(keyed):
            raise _misfit(field, int(keyed[0]), "is sparse: it has keys")
        counts = self.counts[:, SHAPE - 1]
        shaped = np.flatnonzero(counts)
        if len(field.shape) < 2 or not len(shaped):
            return
        shapes = self._numbers(kind, SHAPE)
        wrong = shaped[counts[shaped] != len(field.shape)]
        if not len(wrong):
            rows = shapes.reshape(len(shaped), len(field.shape))
            wrong = shaped[(rows != np.asarray(field.shape, dtype=np.uint64)).any(axis=1)]
        if len(wrong):
            row = int(wrong[0])
            first = int(counts[:row].sum())
            raise _misfit(field, row, f"has the shape {shapes[first : first + int(counts[row])].tolist()}")

    def _texts(
        self, field: Field, counts: NDArray[np.int64], starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Column:
        if field.dtype != "bytes":
            raise SchemaError(f"{self.title} is bytes, not {field}", field=field.name)
        self._check_counts(field, counts)
        values = Ragged(self._spans[0], sealed(starts), sealed(lengths), "bytes")
        return values if field.shape == () else Ragged(values, np.cumsum(counts) - counts, counts, "bytes")


def _misfit(field: Field, row: int, what: str) -> SchemaError:
    return SchemaError(f"record {row}: {field.name!r} {what} (field {field})", field=field.name, row=row)
