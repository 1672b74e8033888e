"""Batches out of the records of a .rec, by what their payload is; the layout is drawn in recordio.py."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ..batch import Batch, Column, Ragged, as_column
from ..errors import FormatError, Place, SchemaError, at_place, placed
from ..paths import nbytes_of
from .base import Request
from .framed import Records
from .payloads import decode_messages
from .recordio_facts import Facts
from .recordio_header import HEADER, label_counts, padded_headers, without_image
from .recordio_index import REBUILD, RecordIndex, read_index
from .recordio_list import read_list

if TYPE_CHECKING:
    from .recordio import Payload, RecordIOOptions


class Columns:
    """Makes Batches of records, for one file and one request."""

    def __init__(self, path: str, options: RecordIOOptions, request: Request, facts: Facts | None = None) -> None:
        self._path, self._options, self._request, self._facts = path, options, request, facts
        self._held = None
        if request.holds is not None:
            payload, schema = request.holds
            fields = [name for name in schema if name != "key" or payload == "example"]  # keys are in the index
            held = replace(request, schema=schema.pick(fields), holds=None)
            self._held = Columns(path, replace(options, payload=cast("Payload", payload)), held)
        self._list = read_list(options.labels) if options.labels is not None else None
        self._index = None
        if "key" in request.schema and options.index != "" and options.payload != "example":
            self._index = self._read_index(options.index_path(path))

    def _read_index(self, index_file: str) -> RecordIndex:
        try:
            return read_index(index_file, nbytes_of(self._path), is_compared=False)
        except FileNotFoundError as err:
            raise FormatError(
                f"{index_file}: is missing, and with it the keys of {self._path}; get it again, or read without the "
                "field key (fields=, --select)",
                path=index_file,
            ) from err

    def batch(self, records: Records) -> Batch:
        """The columns asked for; a record that does not give them raises, or is left out and reported."""
        return self._batch(records)[1]

    def _batch(self, records: Records) -> tuple[Records, Batch]:
        """The records that are kept, and the columns."""
        if self._facts is not None:
            self._facts.add(records.offsets, records.payloads.lengths, padded_headers(records.payloads))
        if self._options.payload == "example":
            return decode_messages("example", records, self._request)
        if self._options.payload == "sagemaker":
            return self._sagemaker(records)
        if self._request.where == "image" and self._options.payload == "image":
            empty = without_image(records.payloads.lengths, padded_headers(records.payloads))
            records = records.take(np.flatnonzero(~empty))  # before anything else is asked of them
        if self._held is not None:
            records, _ = self._held._batch(records)
        while True:
            records, columns = self._raw(records) if self._options.payload == "raw" else self._image(records)
            try:
                return records, self._as_asked(columns, records)
            except SchemaError as err:
                if err.row is None:
                    raise
                self._refuse(records, err.row, placed(err, records.places[err.row]), err)
                records = records.take(np.delete(np.arange(len(records)), err.row))

    def _as_asked(self, columns: dict[str, Column], records: Records) -> Batch:
        schema = self._request.schema
        for name in schema:
            if name not in columns:
                raise SchemaError(f"{self._path}: has no field {name!r}; it has {', '.join(columns)}", field=name)
        asked = {name: as_column(columns[name], name, schema[name]) for name in schema}
        return Batch(asked, schema, num_rows=len(records), places=records.places)

    def _raw(self, records: Records) -> tuple[Records, dict[str, Column]]:
        """The records that have a key where one is asked for, and their columns."""
        records = self._with_keys(records)
        columns: dict[str, Column] = {"record": records.payloads}
        if "key" in self._request.schema:
            ids = np.ascontiguousarray(padded_headers(records.payloads)["id"])
            columns["key"] = self._keys(self._keyed(records), ids)
        return records, columns

    def _sagemaker(self, records: Records) -> tuple[Records, Batch]:
        """The records that are SageMaker's, and have a key where one is asked for, and their columns."""
        schema = self._request.schema
        fields = schema.pick([name for name in schema if name != "key"])
        records, batch = decode_messages("sagemaker", self._with_keys(records), replace(self._request, schema=fields))
        keyed = self._keyed(records)
        if keyed is None and "key" not in schema:
            return records, batch
        columns: dict[str, Column] = dict(batch.items())
        if self._index is not None and keyed is not None:
            keys = self._index.keys
            columns["key"] = keys.take(keyed) if isinstance(keys, Ragged) else keys[keyed]
        return records, self._as_asked(columns, records)

    def _with_keys(self, records: Records) -> Records:
        """The records that have a key, where one is asked for."""
        keyed = self._keyed(records)
        if keyed is None or (keyed >= 0).all():
            return records
        for row in np.flatnonzero(keyed < 0):
            self._refuse(records, row, self._no_key(records, row))
        return records.take(np.flatnonzero(keyed >= 0))

    def _image(self, records: Records) -> tuple[Records, dict[str, Column]]:
        """The records with a sound header, a label and a key, and their columns; bytes are spans into the payloads."""
        headers, flags = self._headers(records)
        ids = np.ascontiguousarray(headers["id"])
        listed = None if self._list is None else self._list.find(ids)
        keyed = self._keyed(records)
        sound = flags >= 0
        for rows in (listed, keyed):
            if rows is not None:
                sound &= rows >= 0
        if not sound.all():
            for row in np.flatnonzero(~sound):
                if flags[row] < 0:
                    length, flag = int(records.payloads.lengths[row]), int(headers["flag"][row])
                    error = not_an_image(records.places[row], length, flag)
                elif self._list is not None and listed is not None and listed[row] < 0:
                    error = self._list.no_label(int(ids[row]), records.places[row])
                else:
                    error = self._no_key(records, row)
                self._refuse(records, row, error)
            return self._image(records.take(np.flatnonzero(sound)))
        base, starts, lengths = records.payloads.spans
        skip = HEADER.itemsize + 4 * flags
        columns: dict[str, Column] = {
            "id": ids,
            "label": Ragged(base, starts + np.where(flags == 0, 4, 24), np.where(flags == 0, 4, 4 * flags), "float32"),
            "image": Ragged(base, starts + skip, lengths - skip, "bytes"),
            "id2": np.ascontiguousarray(headers["id2"]),
        }
        if self._list is not None and listed is not None:
            columns["label"] = self._list.labels.take(listed)
        if "key" in self._request.schema:
            columns["key"] = self._keys(keyed, ids)
        return records, columns

    def _headers(self, records: Records) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """The image headers, and how many labels follow each; -1 where a record is too short for what it says."""
        payloads = records.payloads
        headers = padded_headers(payloads)
        flags = np.where(payloads.lengths >= HEADER.itemsize, headers["flag"].astype(np.int64), -1)
        flagged = np.flatnonzero(flags > 0)
        if len(flagged):
            flags[flagged] = label_counts(payloads.take(flagged), flags[flagged])
        return headers, flags

    def _keyed(self, records: Records) -> NDArray[np.int64] | None:
        """Where the index has each record; -1 where it lacks it. None where no key of the index is asked for."""
        return None if self._index is None else self._index.find(records.offsets)

    def _keys(self, keyed: NDArray[np.int64] | None, ids: NDArray[np.uint64]) -> Column:
        """The keys of the index; the ids of image headers where there is none."""
        if self._index is None or keyed is None:
            return ids
        keys = self._index.keys
        return keys.take(keyed) if isinstance(keys, Ragged) else keys[keyed]

    def _no_key(self, records: Records, row: int) -> FormatError:
        index = self._options.index_path(self._path)
        return at_place(records.places[row], f"{index} has no key for it; {REBUILD}")

    def _refuse(
        self, records: Records, row: int, error: FormatError | SchemaError, cause: Exception | None = None
    ) -> None:
        """Raise the error of a record, or leave that out and report it."""
        if self._request.on_bad_record == "raise":
            raise error from cause
        self._request.on_skip(records.skipped(row, str(error)))


def not_an_image(place: Place, length: int, flag: int = 0, and_more: str = "") -> FormatError:
    """The error for a record of so many bytes that cannot be an image record."""
    if length < HEADER.itemsize:
        what = f"it has {length} bytes, and an image record begins with a header of {HEADER.itemsize}"
    else:
        what = f"flag {flag} announces {4 * flag} bytes of labels, and {length - HEADER.itemsize} follow the header"
    advice = f"is it no image record? Then read it with payload='raw' (--in payload=raw){and_more}"
    return at_place(place, f"{what}; {advice}")
