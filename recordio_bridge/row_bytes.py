"""Rows of bytes as callers give them, who are told the field and the row where they are something else."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .errors import SchemaError


def row_bytes(value: object, name: str, row: int) -> bytes:
    """A row of bytes, or a member of one; text as UTF-8."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if not isinstance(value, str):
        raise _not_expected("bytes or text", type(value).__name__, name, row)
    try:
        return value.encode()
    except UnicodeEncodeError as err:
        found = "text with a lone surrogate, which UTF-8 has not; encode it yourself"
        raise _not_expected("bytes or text", found, name, row) from err


def row_members(value: object, name: str, row: int) -> Iterable[object]:
    """The members of a row that is a list of bytes."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return value
    raise _not_expected("a list of bytes", type(value).__name__, name, row)


def _not_expected(expected: str, found: str, name: str, row: int) -> SchemaError:
    return SchemaError(f"row {row} of field {name!r}: expected {expected}, found {found}", field=name, row=row)
