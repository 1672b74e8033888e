"""Files of whole arrays, .npy, .npz and .h5 alike: columns lie apart, and a row is the number of an entry in each.

Which fields the arrays of a file become is in array_columns.py; here are the rows that they make together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batch import Batch, as_column, rebatch
from ..errors import FormatError, SchemaError, numbered, row_of
from ..files import Output, feed_bytes
from ..inflate import EXPANSION
from ..paths import nbytes_of
from ..readahead import made_ahead
from ..remote import is_remote
from ..schema import Field, Schema
from ..sidecar import find_sidecar, sidecar_doubts
from .array_columns import Array, ArrayColumn, DenseColumn, columns_of
from .base import ALARM, Extent, Heads, OnBadRecord, Request, Summary, Writer
from .framed import most_held

BLOCK = 1 << 22  # bytes read at a time
_HEAD = 16  # bytes that are held of each row where rows are read in any order
_MOST = 1 << 62  # stands for sizes beyond an int64
_HEADS_AT_ONCE = 1 << 16  # rows of which it is told at a time where they are
_MOST_ROWS = 100_000_000  # rows that need take no byte of the file; deflate may have packed more into each
_MOST_VALUES = 1 << 36  # bytes of values that were never written
_VALUES_A_BYTE = 1 << 16  # and for each byte of the file: room is made for a million images, and some are there
_CHUNKS_AT_ONCE = 1 << 26  # bytes of a block that is made of whole chunks at most


@dataclass(frozen=True, slots=True)
class Store:
    """What an open file holds by name, and what people should know of it.

    Beside arrays, columns that only this format has, and reasons why something cannot be read. held: the bytes that are
    believed of what is read together (framed.most_held), where the file can claim more than it has. nbytes: of the
    file, and of others that hold values of it; None where it is believed whatever it claims.
    """

    arrays: Mapping[str, Array | ArrayColumn | str]
    notes: tuple[str, ...] = ()
    held: int = _MOST
    nbytes: int | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a file under a name: the rows of a field, or the reason why they cannot be read."""

    name: str
    field: Field | None = None
    num_rows: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of an open file that were asked for, all of the same number of rows."""

    columns: dict[str, ArrayColumn]
    schema: Schema
    num_rows: int
    notes: tuple[str, ...]

    def batch(self, path: str, rows: slice | NDArray[np.int64], schema: Schema) -> Batch:
        """Some rows, cast to this schema where that is exact.

        Raises:
            FormatError: they are damaged.
            SchemaError: the file has no such field, or a value does not fit the schema. Both name the row in the file.
        """
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        columns = {}
        shared: dict[int, NDArray[Any]] = {}  # rows of structured arrays, by their id, for all their members
        for name, field in schema.items():
            column = self.columns.get(name)
            if column is None:
                raise SchemaError(f"{path}: has no field {name!r}; it has {', '.join(self.columns)}", field=name)
            with _naming(path, rows):
                if isinstance(column, DenseColumn) and column.array.dtype.names:
                    if id(column.array) not in shared:
                        shared[id(column.array)] = column.stored(rows)
                    values = column.column_of(shared[id(column.array)])
                else:
                    values = column.column(rows, field)
                columns[name] = as_column(values, name, field)
        return Batch(columns, schema, num_rows=count)

    def check(self, again: bool) -> None:
        """Compare the checksums of the columns; see Array.check."""
        for column in self.columns.values():
            column.check(again)

    def block_rows(self, names: Sequence[str]) -> int:
        """Rows to read together: about a block, in whole chunks where these are not too large."""
        chosen = [self.columns[name] for name in names if name in self.columns]
        nbytes = max(sum(column.row_bytes() for column in chosen), 1.0)
        rows = max(1, int(BLOCK / nbytes))
        chunk = max((column.chunk_rows for column in chosen), default=1)
        if chunk > 1 and chunk * nbytes <= _CHUNKS_AT_ONCE:
            rows = -(-rows // chunk) * chunk
        return rows


@contextmanager
def _naming(path: str, rows: slice | NDArray[np.int64]) -> Iterator[None]:
    """Give errors about a row of a block the path, and the number that the row has in the file."""
    try:
        with numbered(range(rows.start, rows.stop) if isinstance(rows, slice) else rows.data):
            yield
    except (SchemaError, FormatError) as err:
        if err.path is not None or row_of(err) is None:
            raise
        named = type(err)(f"{path}: {err}")
        named.__dict__.update({**vars(err), "path": path})
        raise named from err


def table_of(path: str, store: Store, declared: Schema | None, wanted: frozenset[str] | None) -> Table:
    """The columns of a file, or those that are wanted.

    Raises:
        FormatError: offsets are damaged.
        SchemaError: the rows of these columns differ in number, or one of them cannot be read.
    """
    found = columns_of(path, store.arrays, declared, wanted, store.held)
    names = [name for name in found if wanted is None or name in wanted]
    for name in names:
        reason = found[name]
        if isinstance(reason, str):
            raise SchemaError(
                f"{path}: {name!r} {reason}{', or' if ';' in reason else ';'} choose the other fields: "
                "--select NAME=NAME, or fields= in Python",
                field=name,
            )
    columns = {name: column for name in names if not isinstance(column := found[name], str)}
    counts = {name: column.num_rows for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        raise SchemaError(
            f"{path}: the fields differ in rows: {_listed(counts)}; choose some that agree with fields= "
            "(--select NAME=NAME), or write them to files of their own"
        )
    if store.nbytes is not None:
        _check_claims(path, columns, store.nbytes)
    schema = Schema(*(column.field for column in columns.values()))
    return Table(columns, _as_declared(schema, declared), next(iter(counts.values()), 0), store.notes)


def _check_claims(path: str, columns: Mapping[str, ArrayColumn], nbytes: int) -> None:
    """FormatError for more rows, or bytes of values, than are believed of a file of so many bytes.

    Rows of no bytes take none of it, nor do those of HDF5 that were never written: to read them could take for ever.
    """
    rows = max((column.num_rows for column in columns.values()), default=0)
    most_rows = max(_MOST_ROWS, EXPANSION * nbytes)
    if rows > most_rows:
        raise FormatError(
            f"{path}: claims {rows} rows in {nbytes} bytes, expected at most {most_rows} ({_MOST_ROWS}, or "
            f"{EXPANSION} for each byte): they hold nothing, or were never written; damaged, or made to exhaust "
            "its reader (if you trust a .npz, pass expansion='any', --in expansion=any)",
            path=path,
        )
    most = max(_MOST_VALUES, _VALUES_A_BYTE * nbytes)
    for name, column in columns.items():
        if column.claimed() > most:
            raise FormatError(
                f"{path}: field {name!r} claims {int(column.claimed())} bytes of values in {nbytes} bytes, expected at "
                f"most {most} (64 GiB, or {_VALUES_A_BYTE} for each byte): they were never written; choose other "
                "fields (--select NAME=NAME, or fields= in Python), or cut the dataset to the rows that were, with "
                "h5py: dataset.resize(ROWS, 0)",
                path=path,
            )


def _listed(counts: Mapping[str, int]) -> str:
    """The fields by their number of rows: "a, b have 50; c has 49"."""
    groups: dict[int, list[str]] = {}
    for name, rows in counts.items():
        groups.setdefault(rows, []).append(name)
    return "; ".join(f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} {n}" for n, names in groups.items())


def _as_declared(schema: Schema, declared: Schema | None) -> Schema:
    """With what only the sidecar knows of the fields: their packing, and whether uint8 values are numbers."""
    if declared is None:
        return schema
    fields = []
    for name, field in schema.items():
        told = declared.find(name)
        same = told is not None and (told.dtype, told.shape) == (field.dtype, field.shape)
        numbers = told is not None and (told.dtype, told.shape) == ("uint8", (None,)) and field.dtype == "bytes"
        fixed = told is not None and told.dtype == field.dtype == "bytes" and len(told.shape) == len(field.shape)
        fields.append(told if told is not None and (same or numbers or fixed) else field)
    return Schema(*fields)


class OpenTable:
    """A file that is open for rows of a schema to be taken."""

    def __init__(self, path: str, table: AbstractContextManager[Table], schema: Schema) -> None:
        self._path, self._schema = path, schema
        with ExitStack() as stack:
            self._table = stack.enter_context(table)
            self._open = stack.pop_all()
        self.nbytes = sum(column.held for column in self._table.columns.values())

    def take(self, heads: Heads) -> Batch:
        return self._table.batch(self._path, heads.offsets, self._schema)

    def close(self) -> None:
        self._open.close()


def _check_listable(path: str, rows: int, held: int) -> None:
    """FormatError for more rows than a file of this size holds: of some, as of those never written, it has nothing."""
    if rows * _HEAD > held:
        raise FormatError(
            f"{path}: claims {rows} rows, and a list of where they are would take {rows * _HEAD} bytes, more than is "
            f"believed of so small a file: expected at most {held} (512 MiB, or 32 times its size); read or convert "
            "it in order, without shuffle or shards",
            path=path,
        )


class ArrayFormat(ABC):
    """The part of a Format that files of arrays share; see formats.base.Format. Their Extents count rows."""

    name: str
    suffixes: tuple[str, ...]
    needs_disk = True
    options: type[Any]

    @contextmanager
    @abstractmethod
    def store(self, path: str, options: Any, keep: int = 0) -> Iterator[Store]:
        """The arrays of a file, open as long as the block lasts. keep is that of a Request."""

    @abstractmethod
    def sniff(self, head: bytes) -> bool: ...

    @abstractmethod
    def create(self, path: str, schema: Schema, options: Any) -> Writer: ...

    def resolve(self, path: str, options: Any) -> Any:
        return options

    def declared(self, path: str) -> Schema | None:
        """What a sidecar says of a file."""
        sidecar = find_sidecar(path)
        return None if sidecar is None else sidecar.schema

    def payload(self, options: Any, schema: Schema) -> None:
        return None

    def is_sequential(self, options: Any) -> bool:
        return False

    def unpack(
        self,
        path: str,
        options: Any,
        target: str,
        on_bad_record: OnBadRecord,
        fields: Iterable[str] | None = None,
    ) -> Any:
        raise TypeError(f"{self.name} is read at any row as it is")

    def undecoded(self, paths: Sequence[str], options: Sequence[Any]) -> tuple[list[Any], Schema]:
        raise TypeError(f"{self.name} has no records that could pass undecoded")

    def passing(self, payload: str) -> dict[str, object]:
        raise TypeError(f"{self.name} has no records that could pass undecoded")

    @contextmanager
    def table(self, path: str, options: Any, wanted: frozenset[str] | None, keep: int = 0) -> Iterator[Table]:
        """The columns of a file, or those wanted, open as long as the block lasts."""
        with self.store(path, options, keep) as store:
            yield table_of(path, store, self.declared(path), wanted)

    def certain(self, path: str, options: Any) -> tuple[Schema, bool]:
        try:
            with self.table(path, options, None) as table:
                return table.schema, True
        except (SchemaError, FormatError):  # not for all fields; those that are asked for may do
            return Schema(), False

    def presume(self, path: str, options: Any) -> Schema | None:
        return None

    def glance(self, path: str, options: Any, rows: int) -> Schema:
        with self.table(path, options, None) as table:
            return table.schema

    def doubts(self, path: str, options: Any) -> list[str]:
        return sidecar_doubts(path)

    def inspect(self, path: str, options: Any, request: Request) -> Summary:
        with self.table(path, options, request.fields) as table:
            doubts = self.doubts(path, options)
            warnings = tuple(doubt for doubt in doubts if ALARM in doubt)
            fetched = (
                ["fetched whole to a temporary file, as it can only be read from a disk"] if is_remote(path) else []
            )
            notes = (*table.notes, *fetched, *doubts)
            return Summary(self.name, table.schema, table.num_rows, nbytes_of(path), notes, warnings)

    def contents(self, path: str, options: Any) -> tuple[list[Content], tuple[str, ...]]:
        """All that is in a file, also where it makes no table; and what people should know of it."""
        with self.store(path, options) as store:
            found = columns_of(path, store.arrays, self.declared(path), None, store.held)
            contents = [
                Content(name, reason=column)
                if isinstance(column, str)
                else Content(name, column.field, column.num_rows)
                for name, column in found.items()
            ]
            return contents, store.notes

    def number_at(self, path: str, options: Any, offset: int) -> int:
        return offset

    def has_sound_parts(self, options: Any) -> bool:
        """Whether a part that is read alone is known to be sound, and at no more cost than reading it."""
        return True

    def split(self, path: str, options: Any, nbytes: int) -> list[Extent]:
        with self.table(path, options, None) as table:
            if not self.has_sound_parts(options):
                return [Extent(path, 0, table.num_rows)]
            each = sum(column.row_bytes() for column in table.columns.values())
            step = max(1, int(nbytes / max(each, 1)))
            chunk = max((column.chunk_rows for column in table.columns.values()), default=1)
            step = -(-step // chunk) * chunk
            starts = range(0, max(table.num_rows, 1), step)
            return [Extent(path, at, min(at + step, table.num_rows), at) for at in starts]

    def read(self, extent: Extent, options: Any, request: Request) -> Generator[Batch, None, None]:
        with closing(self._blocks(extent, options, request)) as batches:
            yield from batches if request.batch_rows is None else rebatch(batches, request.batch_rows)
        if request.on_bytes is not None:
            feed_bytes(extent.path, request.on_bytes)

    def _blocks(self, extent: Extent, options: Any, request: Request) -> Generator[Batch, None, None]:
        with self.table(extent.path, options, frozenset(request.schema)) as table:
            stop = table.num_rows if extent.stop is None else extent.stop
            has_last = stop == table.num_rows
            is_whole = has_last and extent.start == 0  # of parts, heads() may have checked all
            step = table.block_rows(list(request.schema))
            starts = range(extent.start, stop, step)

            def block(at: int) -> Batch:
                return table.batch(extent.path, slice(at, min(at + step, stop)), request.schema)

            with closing(made_ahead(block, starts)) as blocks:
                for at, batch in zip(starts, blocks, strict=True):
                    if has_last and at + step >= stop:
                        table.check(again=is_whole)
                    yield batch
            if is_whole and stop == 0:
                table.check(again=True)

    def num_rows(self, path: str, options: Any, schema: Schema) -> int | None:
        with self.table(path, options, frozenset(schema)) as table:
            return table.num_rows

    def run_rows(self, path: str, options: Any, schema: Schema) -> int:
        with self.table(path, options, frozenset(schema)) as table:
            # Of the column that holds most: a chunk of a small one has so many rows that the others fill the memory
            each = ((column.row_bytes(), column.chunk_rows) for column in table.columns.values())
            return max(each, default=(0.0, 1))[1]

    def heads(self, extent: Extent, options: Any, request: Request) -> Iterator[Heads]:
        with self.table(extent.path, options, request.fields) as table:
            stop = table.num_rows if extent.stop is None else extent.stop
            trusted = getattr(options, "expansion", None) == "any"
            _check_listable(extent.path, stop - extent.start, most_held(extent.path, trusted=trusted))
            if not self.is_sequential(options):  # else unpacking compares them
                table.check(again=False)
            each = min(round(sum(column.row_bytes() for column in table.columns.values())), _MOST)
            for first in range(extent.start, stop, _HEADS_AT_ONCE):
                rows = np.arange(first, min(first + _HEADS_AT_ONCE, stop), dtype=np.int64)
                yield Heads(rows, np.broadcast_to(np.int64(each), len(rows)))

    def sees_empty(self, options: Any, field: str) -> bool:
        return False

    def open_rows(self, path: str, options: Any, request: Request) -> OpenTable:
        return OpenTable(path, self.table(path, options, frozenset(request.schema), request.keep), request.schema)

    def index_path(self, path: str) -> str:
        raise FormatError(f"{path}: rows of a {self.name} file are found by their number; it needs no index", path=path)

    def write_index(self, path: str, options: Any, request: Request, out: Output) -> int:
        raise TypeError(f"{self.name} has no index")

    def files_of(self, path: str) -> list[str]:
        return [path]

    def check_target(self, path: str, options: Any) -> None:  # noqa: B027  # any will do
        """Names and options that contradict each other."""

    def check_companions(self, path: str, options: Any) -> None:  # noqa: B027  # nothing to check is right
        """Files of arrays have none."""
