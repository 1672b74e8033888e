"""Writing a .rec with its .idx."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _kernels, example, sagemaker
from ..batch import Batch, Column, Ragged, concat_columns, spans_of
from ..casts import cast
from ..errors import LossyError, SchemaError
from ..files import Output, discard
from ..schema import Schema
from .base import Written
from .frame_writer import FrameWriter
from .payloads import NO_RAW
from .recordio_frame import LIMIT
from .recordio_header import HEADER
from .recordio_index import check_keys, index_path, index_text, unique_keys

if TYPE_CHECKING:
    from .recordio import RecordIOOptions

_Spans = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]


class RecordIOWriter:
    """Frames each row out of its pieces: a payload is copied once, into the output buffer.

    The .idx gets the keys of the field key; else those of the field id where each is there once; else 0..N-1. Offsets
    and keys are held until the end, 16 bytes a row.
    """

    def __init__(self, path: str, schema: Schema, options: RecordIOOptions) -> None:
        self._path, self._schema, self._options, self._payload = path, schema, options, options.payload
        self._check_schema()
        self._rows = 0
        self._keys: list[Column] = []
        self._keys_are_named = "key" in schema and self._payload != "example"
        self._escapes = options.escape == "always" or (options.escape == "auto" and self._payload != "sagemaker")
        self._offsets: list[NDArray[np.int64]] = []
        self._frames = FrameWriter(Output(path))

    def _check_schema(self) -> None:
        fields = {name: field for name, field in self._schema.items() if name != "key"}
        if self._payload == "example":
            try:
                example.check_encodable(self._schema)
            except LossyError as err:
                if not all(map(sagemaker.place_of, fields.values())):
                    raise
                advice = "or write SageMaker's Records, which hold it: --out payload=sagemaker"
                raise LossyError(f"{err}; {advice}", field=err.field) from err
        elif self._payload == "sagemaker":
            sagemaker.check_encodable(Schema(*fields.values()))
        elif self._payload == "raw":
            if set(fields) != {"record"} or fields["record"].dtype != "bytes" or fields["record"].shape != ():
                raise SchemaError(f"payload 'raw' is one bytes field, record, and not {self._schema!r}; {NO_RAW}")
        elif "image" not in fields or fields["image"].dtype != "bytes" or fields["image"].shape != ():
            raise SchemaError("payload 'image' needs a bytes field image, of one encoded image a row", field="image")
        elif not set(fields) <= {"image", "id", "label", "id2"}:
            extra = sorted(set(fields) - {"image", "id", "label", "id2"})
            raise LossyError(
                f"payload 'image' holds id, label and image, not {', '.join(extra)}; "
                "use payload 'example', or --select",
                field=extra[0],
            )

    def write(self, batch: Batch) -> None:
        pieces = self._pieces(batch)
        keys = self._keys_of(batch)
        if keys is not None:
            check_keys(keys)
            self._keys.append(keys)

        def fill(first: int, out: NDArray[np.uint8], heads: NDArray[np.int64]) -> tuple[int, int]:
            rows, written, fault = _kernels.frame_recordio(pieces, first, out, heads, self._escapes)
            if fault:
                row = first + rows
                raise SchemaError(f"row {row} is above {LIMIT} bytes, the most that a RecordIO record holds", row=row)
            return rows, written

        self._offsets.append(self._frames.write(len(batch), fill))
        self._rows += len(batch)

    def _pieces(self, batch: Batch) -> list[_Spans]:
        if self._payload == "raw":
            return [spans_of(batch["record"])]
        if self._payload == "example":
            # A second copy: parts are cut where the magic lies in the finished payload, so it must be there first.
            return [example.encode(batch).spans]
        if self._payload == "sagemaker":
            return sagemaker.pieces(batch.pick([name for name in batch if name != "key"]))
        header = np.zeros(len(batch), dtype=HEADER)
        header["id"] = self._unsigned(batch, "id") if "id" in batch else self._rows + np.arange(len(batch))
        if "id2" in batch:
            header["id2"] = self._unsigned(batch, "id2")
        pieces = [spans_of(batch["image"])]
        if "label" in batch:
            pieces.insert(0, self._labels(batch["label"], header))
        return [spans_of(header.view(np.uint8).reshape(len(batch), HEADER.itemsize)), *pieces]

    def _unsigned(self, batch: Batch, name: str) -> NDArray[np.generic]:
        column = batch[name]
        if isinstance(column, Ragged) or column.ndim != 1:
            raise SchemaError(
                f"field {name!r} is {self._schema[name].kind}; the image header holds one integer", field=name
            )
        return cast(column, "uint64", name)

    def _labels(self, column: Column, header: NDArray[np.void]) -> _Spans:
        """Put single labels into the header, and give the spans of the others, with their number as flag."""
        if not isinstance(column, Ragged):
            width = 4 * (column[0].size if len(column) else 1)
            numbers = np.ascontiguousarray(self._float32(column)).reshape(-1)
            column = Ragged(
                numbers.view(np.uint8), width * np.arange(len(column)), np.full(len(column), width), "float32"
            )
        elif column.dtype != "float32":
            numbers, counts = self._float32(column.numbers()), column.counts
            column = Ragged(numbers.view(np.uint8), 4 * (np.cumsum(counts) - counts), 4 * counts, "float32")
        counts = column.counts
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            row = int(empty[0])
            raise LossyError(
                f"row {row} of field 'label' is empty, and an image header always has a label; use payload 'example'",
                field="label",
                row=row,
            )
        single = np.flatnonzero(counts == 1)
        header["label"][single] = column.take(single).numbers()
        header["flag"] = np.where(counts == 1, 0, counts)
        return spans_of(Ragged(column.values, column.starts, np.where(counts == 1, 0, column.lengths), "float32"))

    def _float32(self, numbers: NDArray[np.generic]) -> NDArray[np.generic]:
        if numbers.dtype == np.float64:
            raise LossyError(
                "field 'label' is float64, and an image header holds float32: "
                "cast it with --select 'label:float32=label'",
                field="label",
            )
        return cast(numbers, "float32", "label")

    def _keys_of(self, batch: Batch) -> Column | None:
        for name in ("key", "id"):
            if name not in batch or (name == "key" and self._payload == "example"):
                continue
            column = batch[name]
            if isinstance(column, Ragged) and not column.is_nested and column.dtype == "bytes" and name == "key":
                return (
                    column.compact()
                )  # the index is written at the end: hold the keys, not the block that they are in
            if not isinstance(column, Ragged) and column.ndim == 1 and column.dtype.kind in "iu":
                return column
        return None

    def close(self) -> Written:
        offsets = np.concatenate([np.empty(0, dtype=np.int64), *self._offsets])
        named = self._keys_are_named and self._keys
        keys = concat_columns(self._keys) if named else unique_keys(self._keys, self._rows)
        record_file = self._frames.finish()
        try:
            with Output(index_path(self._path)) as out:
                out.write(index_text(keys, offsets))
                index = out.finish()
        except BaseException:
            discard([record_file])
            raise
        return Written((record_file, index), replace(self._options, index=index.temporary), self._options.payload)

    def abort(self) -> None:
        self._frames.abort()
