"""Everything that recordio_bridge raises on purpose.

    BridgeError
    |- FormatError (ValueError)          the bytes are not what the format says: .path .record .offset
    |  |- TruncatedError                 the file ends too early
    |  |- ChecksumError                  a stored checksum does not fit the bytes
    |- SchemaError (ValueError)          the columns are not what the schema says: .field .row
    |  |- LossyError                     the target cannot hold a value as it is
    |  |- SelectError                    select, pack or allow_lossy do not fit the fields that there are
    |- UnknownFormatError (LookupError)  no format has this name, or no format fits this file: .path
    |- MissingDependencyError (ImportError)
    |- FeedError                         the background thread failed; __cause__ is why
    |- MigrationError                    |- SourceChangedError |- PlanMismatchError |- VerificationError

OSError and KeyboardInterrupt pass through untouched; TypeError and ValueError report a mistake in the
arguments. A message says where, what was found, what was expected, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class BridgeError(Exception):
    """The root of the tree: catch this to catch all of ours."""


class _Located(BridgeError):
    """An error that knows where it happened, as attributes for programs.

    Pickles with them, so that an error crosses from a worker process as it was raised.
    """

    def __reduce__(self) -> tuple[Any, ...]:  # Any: the type that pickle's protocol has
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[_Located], args: tuple[str, ...], state: dict[str, object]) -> _Located:
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
    """The columns are not what the schema says, or cannot be stored. Attributes: field, row (None if not one)."""

    def __init__(self, message: str, *, field: str | None = None, row: int | None = None) -> None:
        super().__init__(message)
        self.field, self.row = field, row


@contextmanager
def numbered(rows: Sequence[int]) -> Iterator[None]:
    """Give errors from inside the row or record number that people know: rows[n] for n, also in the message."""
    try:
        yield
    except SchemaError as err:
        if err.row is None or rows[err.row] == err.row:
            raise
        raise type(err)(_renumbered(err, err.row, rows), field=err.field, row=rows[err.row]) from err
    except FormatError as err:
        if err.record is None or rows[err.record] == err.record:
            raise
        message = _renumbered(err, err.record, rows)
        raise type(err)(message, path=err.path, record=rows[err.record], offset=err.offset) from err


def _renumbered(error: BridgeError, number: int, rows: Sequence[int]) -> str:
    message = str(error).replace(f"row {number}", f"row {rows[number]}", 1)
    return message.replace(f"record {number}", f"record {rows[number]}", 1)


class LossyError(SchemaError):
    """A value would be changed or dropped by the conversion asked for; the message says how to allow it."""


class SelectError(SchemaError):
    """select, pack or allow_lossy ask for a field that is not there, or for what it is not: the arguments are wrong.

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
    """The background thread of a feed failed; __cause__ is the error that stopped it."""


class MigrationError(BridgeError):
    """A conversion of many files could not be planned, run or finished."""


class SourceChangedError(MigrationError):
    """A source is not the file that was planned for."""


class PlanMismatchError(MigrationError):
    """The receipts on disk belong to another plan."""


class VerificationError(MigrationError):
    """What was read back from disk is not what was written."""
