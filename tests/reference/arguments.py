"""What the kernels accept. A wrong argument is a TypeError or ValueError, before anything is read or written."""

from __future__ import annotations

import numpy as np

Spans = tuple[object, np.ndarray, np.ndarray]


def _letter(view: memoryview) -> str:
    """The letter of the struct module for the items: C's long by that for its size, as numpy may use either."""
    letter = view.format.lstrip("@=<")
    return {"l": "q", "L": "Q"}.get(letter, letter) if view.itemsize == 8 else letter


def octets(data: object, *, writable: bool = False) -> memoryview:
    """The bytes of a buffer: bytes, bytearray, memoryview or an array of uint8 or int8."""
    view = memoryview(data)  # TypeError for what is no buffer
    if _letter(view) not in ("B", "b", "c") or not view.c_contiguous:
        raise ValueError(f"expected contiguous bytes, found items of {view.format!r}")
    if writable and view.readonly:
        raise ValueError("expected a writable buffer, found a read-only one")
    return view.cast("B")


def check_array(array: object, dtype: str, *, writable: bool = False) -> None:
    """Refuse what is not a contiguous array of this dtype."""
    view = memoryview(array)
    if _letter(view) != _letter(memoryview(np.empty(0, dtype))) or not view.c_contiguous:
        raise ValueError(f"expected a contiguous array of {dtype}, found {view.format!r}")
    if writable and view.readonly:
        raise ValueError("expected a writable array, found a read-only one")


def check_tuple(value: object) -> None:
    """Refuse what is not a tuple: a list could be changed by another thread."""
    if not isinstance(value, tuple):
        raise TypeError(f"expected a tuple, found {type(value).__name__}")


def check_results(*arrays: np.ndarray) -> int:
    """The capacity of the int64 arrays that take the results: they are filled side by side."""
    for array in arrays:
        check_array(array, "int64", writable=True)
        if len(array) != len(arrays[0]):
            raise ValueError(f"arrays for the results differ in length: {len(array)} and {len(arrays[0])}")
    return len(arrays[0])


def check_block(data: memoryview, start: int, size: int) -> None:
    """Refuse a part block[start:size] that is not inside the block."""
    if not 0 <= start <= size <= len(data):
        raise ValueError(f"expected 0 <= start <= size <= {len(data)}, found start {start} and size {size}")


def check_first(first: int, rows: int) -> None:
    """Refuse a first row that is not one of the rows, nor the end of them."""
    if not 0 <= first <= rows:
        raise ValueError(f"expected a first row from 0 to {rows}, found {first}")


def open_spans(spans: Spans, *, allow_missing: bool = False) -> tuple[memoryview, list[tuple[int, int]]]:
    """The base and the (start, length) of every row, all inside the base; with allow_missing a start may be -1."""
    check_tuple(spans)
    base, starts, lengths = spans
    data = octets(base)
    check_array(starts, "int64")
    check_array(lengths, "int64")
    if len(starts) != len(lengths):
        raise ValueError(f"{len(starts)} starts, but {len(lengths)} lengths")
    rows = list(zip(starts.tolist(), lengths.tolist(), strict=True))  # Python's int: the sum below cannot overflow
    for row, (start, length) in enumerate(rows):
        if allow_missing and start == -1:
            continue
        if start < 0 or length < 0 or start + length > len(data):
            raise ValueError(f"span {row}, {length} bytes at {start}, is outside the base of {len(data)} bytes")
    return data, rows


def open_lists(lists: tuple[np.ndarray, np.ndarray], num_values: int) -> list[range]:
    """The indices of the values of every row, all of them below num_values."""
    check_tuple(lists)
    starts, lengths = lists
    check_array(starts, "int64")
    check_array(lengths, "int64")
    if len(starts) != len(lengths):
        raise ValueError(f"{len(starts)} starts of lists, but {len(lengths)} lengths")
    rows = []
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        if start < 0 or length < 0 or start + length > num_values:
            raise ValueError(f"a list of {length} values from {start} on is outside the {num_values} values")
        rows.append(range(start, start + length))
    return rows
