"""Casts that keep every value, or say which one they would change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import LossyError
from .schema import FLOATS, INTEGERS, numpy_dtype

_EXACT_FLOAT32 = 1 << 24  # beyond it float32 skips integers, so a label may already be another one


def cast(
    array: NDArray[np.generic],
    dtype: str,
    name: str,
    *,
    lossy: bool = False,
    advice: str = "",
    rows: NDArray[np.int64] | None = None,
) -> NDArray[np.generic]:
    """The numbers as dtype, where each keeps its value.

    Args:
        lossy: give what numpy makes of the values that do not.
        advice: how to allow that, for the message.
        rows: the row of each number, for messages; None where it is the first axis.

    Raises:
        LossyError: a value would change (.field, .row).
    """
    target = numpy_dtype(dtype)
    if array.dtype == target:
        return array
    with np.errstate(all="ignore"):
        result = array.astype(target)
    if lossy:
        return result
    bad = np.flatnonzero(_changed(array, result, dtype).reshape(-1))
    if len(bad):
        at = int(bad[0])
        value = array.reshape(-1)[at]
        row = int(rows[at]) if rows is not None else at // max(1, array[0].size)
        raise LossyError(
            f"row {row} of field {name!r}: {value} is no {dtype}{_why(array, value, dtype)}{advice}",
            field=name,
            row=row,
        )
    return result


def _changed(array: NDArray[np.generic], result: NDArray[np.generic], dtype: str) -> NDArray[np.bool_]:
    """Where a cast changed the value."""
    source = array.dtype.name
    if dtype in INTEGERS and source in FLOATS:
        low, high = (0, 1) if dtype == "bool" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        wide = array.astype(np.float64)
        # float64(high) may round up to high + 1, which does not fit; comparing with < high + 1 is exact
        fits = (
            (wide == np.trunc(wide))
            & (wide >= low)
            & (wide < float(high) + 1 if high < 2**53 else wide < float(high + 1))
        )
        exact = _EXACT_FLOAT32 if source == "float32" else 1 << 53
        return np.asarray(~fits | (np.abs(wide) > exact))
    if dtype in INTEGERS:
        same = array == result.astype(array.dtype)
        return np.asarray(~same | (np.less(array, 0) != np.less(result, 0)))
    if source in INTEGERS:
        low, high = (0, 1) if source == "bool" else (int(np.iinfo(source).min), int(np.iinfo(source).max))
        back = result.astype(np.float64)
        safe = (back >= low) & (back < float(high + 1))  # also leaves out inf; beyond it the cast back is undefined
        return np.asarray(~safe | (np.where(safe, back, 0).astype(array.dtype) != array))
    if source == "float64" and dtype == "float32":
        return np.asarray(np.isfinite(array.astype(np.float64)) & ~np.isfinite(result.astype(np.float64)))
    wide, back = array.astype(np.float64), result.astype(np.float64)
    return np.asarray((wide != back) & ~(np.isnan(wide) & np.isnan(back)))


def _why(array: NDArray[np.generic], value: np.generic, dtype: str) -> str:
    if dtype in INTEGERS and array.dtype == np.float32 and np.isfinite(value) and abs(float(value)) > _EXACT_FLOAT32:  # type: ignore[arg-type]
        return " for certain: above 2**24 float32 skips integers, so it may already be another label"
    return ""


def exact_array(values: object, dtype: str | None, name: str) -> NDArray[np.generic]:
    """An array of numbers in lists, as dtype where one is given.

    Raises:
        LossyError: dtype does not hold one of them.
        ValueError: rows differ in length.
    """
    array = np.asarray(values)
    if dtype is None:
        return array
    if array.dtype.name == dtype:
        return array.astype(numpy_dtype(dtype), copy=False)  # whose bytes may be in another order
    if dtype in INTEGERS and array.dtype.kind in "fO" and not isinstance(values, np.ndarray):
        objects = np.asarray(values, dtype=object)  # numpy makes float64 of Python integers on both sides of 2**63
        if all(isinstance(value, int) for value in objects.reshape(-1)):
            info = np.iinfo(dtype if dtype != "bool" else "uint8")
            wrong = [value for value in objects.reshape(-1) if not info.min <= value <= info.max]
            if wrong:
                raise LossyError(f"field {name!r}: {wrong[0]} is no {dtype}", field=name)
            return objects.astype(numpy_dtype(dtype))
    if array.size == 0:
        return array.astype(numpy_dtype(dtype))
    return cast(array, dtype, name)
