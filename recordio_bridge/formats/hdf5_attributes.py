"""What an HDF5 file says beside its values, which no field can hold: attributes, and the names of enum values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

_NAMED = 5  # objects that a note lists


def left_out(file: h5py.File) -> list[str]:
    """Notes on what is not carried over."""
    attributes = [f"{len(file.attrs)} of the file"] if len(file.attrs) else []
    enums: list[str] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, (h5py.Dataset, h5py.Group)) and len(item.attrs):
            attributes.append(f"{len(item.attrs)} of {name!r}")
        if isinstance(item, h5py.Dataset) and _has_enum(_dtype_of(item)):
            enums.append(repr(name))

    file.visititems(visit)
    notes = []
    if attributes:
        notes.append(f"attributes are left out: {_listed(attributes, 'and of {} more')}")
    if enums:
        told = _listed(enums, "and {} more")
        notes.append(f"the names of enum values are left out, and their numbers kept: {told}")
    return notes


def _dtype_of(dataset: h5py.Dataset) -> np.dtype[Any] | None:
    try:
        return np.dtype(dataset.dtype)
    except TypeError:  # numpy has no such type
        return None


def _has_enum(dtype: np.dtype[Any] | None) -> bool:
    if dtype is None:
        return False
    return bool(h5py.check_enum_dtype(dtype)) or any(_has_enum(dtype[name]) for name in dtype.names or ())


def _listed(items: Sequence[str], more: str) -> str:
    others = [more.format(len(items) - _NAMED)] if len(items) > _NAMED else []
    return ", ".join([*items[:_NAMED], *others])
