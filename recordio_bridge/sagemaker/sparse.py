"""Whether the keys and the shape of tensors fit their values.

A tensor with keys is sparse, and each value has one: its place in the flat tensor, which is less than the product of
the shape. Without keys it is dense, and the product is the number of values. A row without values may have any shape.

Specification: the comments of SageMaker's record.proto. Its SDK writes what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from ..schema import Field
from .names import KEYS, SHAPE, VALUES

Lists = tuple[NDArray[np.generic], NDArray[np.int64]]
"""All numbers of a column, and how many each row has."""

_EXACT = 1.8e19  # products below are numbers of 64 bits, as their floats are that close


def check_sparse(
    fields: Mapping[int, Field], counts: NDArray[np.int64], keys: Lists | None, shape: Lists | None
) -> None:
    """Compare keys and shape with the number of values of each row.

    Args:
        fields: of VALUES, and of KEYS and SHAPE where they are not None.

    Raises:
        SchemaError: the first row in which they do not fit (.field, .row).
    """
    num_keys = np.zeros_like(counts) if keys is None else keys[1]
    for row in np.flatnonzero((num_keys > 0) & (num_keys != counts))[:1]:
        what = f"{_counted(num_keys[row], 'key')} for {_counted(counts[row], 'value')} of {fields[VALUES].name!r}"
        raise _misfit(fields[KEYS], row, f"{what}; expected one for each, or none where the row is dense")
    if shape is None:
        return
    sizes, num_sizes = shape
    products, is_known = _products(*shape)

    def told(row: int) -> str:
        first = int(num_sizes[:row].sum())
        return str(sizes[first : first + int(num_sizes[row])].tolist())

    if keys is not None:
        rows = np.repeat(np.arange(len(counts)), num_keys)
        for at in np.flatnonzero(is_known[rows] & (keys[0].astype(np.uint64) >= products[rows]))[:1]:
            row = rows[at]
            what = f"key {keys[0][at]}, and the shape is {told(row)}; expected less than {products[row]}"
            raise _misfit(fields[KEYS], row, what)
    is_dense = (num_sizes > 0) & (num_keys == 0) & (counts > 0)
    for row in np.flatnonzero(is_dense & ~(is_known & (products == counts.astype(np.uint64))))[:1]:
        what = f"{told(row)} is not the shape of {_counted(counts[row], 'value')}, which {fields[VALUES].name!r} has"
        raise _misfit(fields[SHAPE], row, f"{what}; expected keys where the row is sparse, or their shape")


def _products(sizes: NDArray[np.generic], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The product of each row's sizes, and whether it is known: not without sizes, nor where it is no uint64."""
    products, is_known = np.zeros(len(counts), dtype=np.uint64), counts > 0
    starts = (np.cumsum(counts) - counts)[is_known]
    if len(starts):
        exact = sizes.astype(np.uint64)
        products[is_known] = np.multiply.reduceat(exact, starts)
        with np.errstate(over="ignore", invalid="ignore"):
            is_known[is_known] = np.multiply.reduceat(exact.astype(np.float64), starts) < _EXACT
    return products, is_known


def _counted(number: np.int64, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _misfit(field: Field, row: np.int64, what: str) -> SchemaError:
    return SchemaError(f"row {row} of field {field.name!r}: {what}", field=field.name, row=int(row))
