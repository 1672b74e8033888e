"""What any bytes may come to: an error of ours that names the file, or what was asked for; and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn, TypeAlias, TypeVar

import recordio_bridge as rb

Target: TypeAlias = Callable[[str], object]
"""Takes the path of a file with any bytes."""
Row: TypeAlias = list[tuple[str, object]]
_Found = TypeVar("_Found")


def broken(promise: str) -> NoReturn:
    """End the run: the input is kept."""
    raise AssertionError(promise)


def check_named(name: str, error: Exception) -> None:
    """An error says of which file it is, or in which folder."""
    if name not in str(error):
        broken(f"does not name {name}: {error!r}")


def promised(name: str, look: Callable[..., _Found], *arguments: object) -> _Found | None:
    """What a look finds; None where that is an error of ours, which names the file."""
    try:
        return look(*arguments)
    except rb.BridgeError as err:
        check_named(name, err)
    return None


def plain(row: Mapping[str, object]) -> Row:
    """A row as values that can be compared."""
    return [(name, value if isinstance(value, (bytes, list)) else value.tobytes()) for name, value in row.items()]


def rows(path: str, batch_rows: int, options: dict[str, object]) -> tuple[list[Row], str]:
    """The rows up to the first error, which names the file, and its class; "" where there is none."""
    found: list[Row] = []
    try:
        for batch in rb.read(path, batch_rows=batch_rows, **options):
            found += map(plain, batch.rows())
    except rb.BridgeError as err:
        check_named(path, err)
        return found, type(err).__name__
    return found, ""
