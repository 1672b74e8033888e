"""What the fields of Records are, by looking at every one."""

from __future__ import annotations

import numpy as np

from .. import _kernels
from ..batch import Ragged
from ..errors import FormatError, SchemaError
from ..schema import LONGEST_NAME, Field, Schema
from .decoding import Values, no_record
from .names import BYTES, CONTENT_TYPE, DTYPES, KEYS, KIND_NAMES, SHAPE, TEXT, TEXTS, VALUES, Place, place_of, title

_MOST_NAMES = 1000  # of one file: what a hostile file may make us remember
_ROWS = 1024  # that are looked at at a time


class _Seen:
    """One name in all records so far."""

    def __init__(self) -> None:
        self.kind = 0
        self.entries = self.rows = 0
        """Records that have it; and those in which it has a kind, of which the parts are counted."""
        self.fewest, self.most = np.full(3, np.iinfo(np.int64).max), np.zeros(3, dtype=np.int64)

    def conflict(self, values: Values) -> int:
        """The first row of another kind than those before; the number of rows if there is none."""
        there = values.kinds[values.kinds > 0]
        kind = self.kind or (int(there[0]) if len(there) else 0)
        wrong = np.flatnonzero((values.kinds > 0) & (values.kinds != kind))
        return int(wrong[0]) if len(wrong) else len(values.kinds)

    def add(self, values: Values, stop: int) -> None:
        """Note the first rows of these."""
        present = values.present[:stop]
        self.entries += int(present.sum())
        counted = present if values.is_text else values.kinds[:stop] > 0
        counts = values.counts[:stop][counted]
        if len(counts):
            self.kind = int(values.kinds[:stop][counted][0])
            self.rows += len(counts)
            self.fewest = np.minimum(self.fewest, counts.min(axis=0))
            self.most = np.maximum(self.most, counts.max(axis=0))

    def shape(self, part: int, num_rows: int) -> tuple[int | None, ...]:
        """The shape of a part, dense where it is as long in every record."""
        fewest, most = int(self.fewest[part - 1]), int(self.most[part - 1])
        if self.rows < num_rows or fewest != most or most == 0:
            return (None,)
        return () if most == 1 else (most,)


class Survey:
    """Infers the schema of Records by looking at every one.

    Values that are as many in every record, and have neither keys nor a shape, are dense, a single one is (); anything
    else is (None,). An entry that never has a kind keeps its name, as an empty list of bytes.
    """

    def __init__(self) -> None:
        self.num_rows = 0
        self._seen: dict[bytes, _Seen] = {}

    @property
    def has_values(self) -> bool:
        """Whether any of the records holds any Value."""
        return any(seen.kind for seen in self._seen.values())

    def add(self, payloads: Ragged) -> None:
        """Look at some more records. Where one is at fault, those before it count, and it leaves no trace.

        Raises:
            FormatError: one of them is no Record (.record counts from the start of these).
            SchemaError: an entry changes its kind (.row likewise).
        """
        done = 0
        while done < len(payloads):
            try:
                done += self._add(payloads[done : done + _ROWS], done)
            except (FormatError, SchemaError):
                self._seen = {name: seen for name, seen in self._seen.items() if seen.entries}
                raise

    def _add(self, payloads: Ragged, first: int) -> int:
        """Look at records up to the first that has a new name, which is learned; return how many these were."""
        names = list(self._seen)
        starts, lengths = np.empty((2, len(payloads), len(names)), dtype=np.int64)
        rows, fault, field, at, size = _kernels.find_values(
            payloads.spans, names, True, starts.reshape(-1), lengths.reshape(-1)
        )
        base = payloads.spans[0]
        columns = [
            (np.ascontiguousarray(starts[:rows, n]), np.ascontiguousarray(lengths[:rows, n])) for n in range(len(names))
        ]
        found = {name: Values((base, *column), name) for name, column in zip(names, columns, strict=True)}
        ends = {name: min(values.sound, self._seen[name].conflict(values)) for name, values in found.items()}
        worst = min(ends, key=lambda name: ends[name], default=b"")
        stop = min([rows, *ends.values()])
        for name, values in found.items():
            self._seen[name].add(values, stop)
        self.num_rows += stop
        if stop < rows:
            raise self._fault(found[worst], self._seen[worst], stop, first)
        if fault == _kernels.UNKNOWN_KEY:
            self._learn(bytes([field]) + bytes(base[at : at + size]), first + rows)
        elif fault:
            raise no_record(payloads, rows, fault, at, first)
        return rows

    def _fault(self, values: Values, seen: _Seen, row: int, first: int) -> FormatError | SchemaError:
        if values.sound == row:
            return values.error(first)
        kind, before = KIND_NAMES[int(values.kinds[row])], KIND_NAMES[seen.kind]
        return SchemaError(
            f"record {first + row}: {values.title!r} is {kind}, and {before} before",
            field=values.title,
            row=first + row,
        )

    def _learn(self, name: bytes, row: int) -> None:
        try:
            name[1:].decode()
        except UnicodeDecodeError:
            raise FormatError(
                f"record {row}: the key {name[1:]!r} is not UTF-8, as protobuf's text must be", record=row
            ) from None
        if len(name) > LONGEST_NAME + 1:  # a byte says which of its maps it is in
            raise FormatError(
                f"record {row}: the key {name[1:40]!r}... has {len(name) - 1} bytes, expected at most {LONGEST_NAME}",
                record=row,
            )
        if len(self._seen) == _MOST_NAMES:
            raise FormatError(f"record {row}: more than {_MOST_NAMES} different entries; this is no table", record=row)
        self._seen[name] = _Seen()

    def schema(self) -> Schema:
        """The schema that fits all records seen, fields in the order of their names.

        Raises:
            SchemaError: two entries would have one name, or one would be taken for a part of another.
        """
        places: dict[Place, Field] = {}
        for name, seen in self._seen.items():
            for part, field in self._fields(title(name), seen, is_text=name in TEXTS.values()):
                places[Place(name, part)] = field
        for place, field in places.items():
            others = [other for where, other in places.items() if other.name == field.name and where != place]
            if place_of(field) != place or others:
                raise SchemaError(
                    f"the entry {field.name!r} has the name of a part of another; read the records as bytes, with "
                    "payload='raw' (--in payload=raw)",
                    field=field.name,
                )
        return Schema(*sorted(places.values(), key=lambda field: field.name))

    def _fields(self, title: str, seen: _Seen, *, is_text: bool) -> list[tuple[int, Field]]:
        """The fields of one name, each with its part."""
        if is_text:
            return [(TEXT, Field(title, "bytes", () if seen.rows == self.num_rows else (None,)))]
        if not seen.kind:
            return [(VALUES, Field(title, "bytes", (None,)))]
        if seen.kind == BYTES:
            found = [(VALUES, Field(title, "bytes", seen.shape(VALUES, self.num_rows)))]
            if seen.most[CONTENT_TYPE - 1]:
                shape = seen.shape(CONTENT_TYPE, self.num_rows)
                found.append((CONTENT_TYPE, Field(f"{title}/content_type", "bytes", shape)))
            return found
        parts = [part for part in (KEYS, SHAPE) if seen.most[part - 1]]
        values = Field(title, DTYPES[seen.kind], (None,) if parts else seen.shape(VALUES, self.num_rows))
        found = [(VALUES, values)]
        if KEYS in parts:
            found.append((KEYS, Field(f"{title}/keys", "uint64", (None,))))
        if SHAPE in parts:
            found.append((SHAPE, Field(f"{title}/shape", "uint64", seen.shape(SHAPE, self.num_rows))))
        return found
