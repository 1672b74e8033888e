"""Everything that recordio_bridge raises on purpose.

    BridgeError
    |- FormatError (ValueError)          the bytes are not what the format says: .path .record .offset
    |  |- TruncatedError                 the file ends too early
    |  |- ChecksumError                  a stored checksum does not fit the bytes
    |- SchemaError (ValueError)          the columns are not what the schema says: .field .row, and where they were read
    |  |- LossyError                     the target cannot hold a value as it is
    |  |- SelectError                    select, decode and the like do not fit the fields that there are
    |- UnknownFormatError (LookupError)  no format has this name, or no format fits this file: .path
    |- MissingDependencyError (ImportError)
    |- FeedError                         the background thread failed; __cause__ is why
    |- MigrationError                    |- SourceChangedError |- PlanMismatchError |- VerificationError

OSError and KeyboardInterrupt pass through untouched; TypeError and ValueError report a mistake in the
arguments. A message says where, what was found, what was expected, and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

_OWN_NUMBER = re.compile(r"(row|record) \d+(, |: | of | )")  # with which a message about a row of a Batch begins


class BridgeError(Exception):
    """The root of the tree: catch this to catch all of ours."""


class _Located(BridgeError):
    """An error that knows where it happened, as attributes for programs.

    Pickles with them, so that an error crosses from a worker process as it was raised.
    """

    path: str | None
    record: int | None
    offset: int | None

    def __reduce__(self) -> tuple[Any, ...]:  # Any: the type that pickle's protocol has
        return _restore, (type(self), self.args, self.__dict__)


_Error = TypeVar("_Error", bound=_Located)


def _restore(kind: type[_Error], args: tuple[str, ...], state: dict[str, object]) -> _Error:
    error = kind(*args)
    error.__dict__.update(state)
    return error


class FormatError(_Located, ValueError):
    """The bytes of a file are not what its format says.

    Attributes: path; record, its number from 0 in the file; offset, in bytes from the start of the file (of the
    decompressed stream where it is compressed). None where it is not known.
    """

    def __init__(
        self, message: str, *, path: str | None = None, record: int | None = None, offset: int | None = None
    ) -> None:
        super().__init__(message)
        self.path, self.record, self.offset = path, record, offset


class TruncatedError(FormatError):
    """The file ends before the record does."""


class ChecksumError(FormatError):
    """A stored checksum does not fit the bytes that it covers."""


class SchemaError(_Located, ValueError):
    """The columns are not what the schema says, or cannot be stored.

    Attributes: field; row, its number (None if it is not one row); path, record and offset as in FormatError, where the
    row was read from a file. Then row is its record's number there.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        row: int | None = None,
        path: str | None = None,
        record: int | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        self.field, self.row = field, row
        self.path, self.record, self.offset = path, record, offset


class Place(NamedTuple):
    """Where a row was read: the file, the number of its record there from 0, and the byte at which that begins."""

    path: str
    record: int
    offset: int


class FileRow(NamedTuple):
    """Where a row was read that has no bytes of its own, as in files of arrays: the file, and its number there."""

    path: str
    row: int


class _Known(Protocol):
    """For each row a number, or a Place, or a FileRow."""

    def __getitem__(self, row: int, /) -> int | Place | FileRow: ...


@contextmanager
def numbered(rows: _Known) -> Iterator[None]:
    """Give errors about row n from inside what people know it by, also in the message: rows[n]."""
    try:
        yield
    except (SchemaError, FormatError) as err:
        row = row_of(err)
        if row is None or err.path is not None or rows[row] == row:
            raise
        known = rows[row]
        if isinstance(known, Place):
            raise placed(err, known) from err
        raise (_in_file(err, row, known) if isinstance(known, FileRow) else _renumbered(err, row, known)) from err


def row_of(error: SchemaError | FormatError) -> int | None:
    """The row of a Batch that an error is about, while it has no place in a file."""
    return error.row if isinstance(error, SchemaError) else error.record


def at_place(place: Place, what: str) -> FormatError:
    """The error that a record is not what its format says."""
    return placed(FormatError(what), place)


def placed(error: _Error, place: Place) -> _Error:
    """The same error with the place of its row in the file; the message gets both."""
    what = _OWN_NUMBER.sub("", str(error), count=1) if _OWN_NUMBER.match(str(error)) else str(error)
    message = f"{place.path}: record {place.record} at byte {place.offset}: {what}"
    number = {"row": place.record} if isinstance(error, SchemaError) else {}
    return _restore(type(error), (message,), {**vars(error), **place._asdict(), **number})


def with_number(error: _Error, number: int, message: str) -> _Error:
    """The same error, about a record that has another number in its file, with a message that says so."""
    numbers = {name: number for name in ("record", "row") if vars(error).get(name) is not None}
    return _restore(type(error), (message,), {**vars(error), **numbers})


def renamed(error: BridgeError, old: str, new: str) -> BridgeError:
    """The same error about another file."""
    known = {name: new if value == old else value for name, value in vars(error).items()}
    other = type(error)(str(error).replace(old, new))
    other.__dict__.update(known)
    return other


def _renumbered(error: _Error, row: int, number: int) -> _Error:
    message = str(error).replace(f"row {row}", f"row {number}", 1).replace(f"record {row}", f"record {number}", 1)
    name = "row" if isinstance(error, SchemaError) else "record"
    return _restore(type(error), (message,), {**vars(error), name: number})


def _in_file(error: _Error, row: int, known: FileRow) -> _Error:
    there = _renumbered(error, row, known.row)
    return _restore(type(error), (f"{known.path}: {there}",), {**vars(there), "path": known.path})


class LossyError(SchemaError):
    """A value would be changed or dropped by the conversion asked for; the message says how to allow it."""


class SelectError(SchemaError):
    """select, decode or the like ask for a field that is not there, or for what it is not: the arguments are wrong.

    Known before any row is read. A row that lacks a value asked for is a SchemaError, with its number.
    """


class UnknownFormatError(_Located, LookupError):
    """No format has this name or suffix, or none fits the content of a source.

    Attributes: path, the source; None where it was the caller who named no format.
    """

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class MissingDependencyError(BridgeError, ImportError):
    """An optional package is not installed; the message is the command that installs it."""

    @classmethod
    def for_extra(cls, extra: str, package: str, purpose: str) -> MissingDependencyError:
        """The error that says which of our extras brings the package."""
        return cls(f"{purpose} needs {package}: pip install 'recordio_bridge[{extra}]'")


class FeedError(BridgeError):
    """A feed could not make its batches, of which __cause__ is the reason; or was used in a way that it cannot be."""


class MigrationError(BridgeError):
    """A conversion of many files could not be planned, run or finished."""


class SourceChangedError(MigrationError):
    """A source is not the file that was planned for."""


class PlanMismatchError(MigrationError):
    """The receipts on disk belong to another plan."""


class VerificationError(MigrationError):
    """What was read back from disk is not what was written."""
