"""The features of an Example as values that compare."""

from __future__ import annotations

from typing import Any

import numpy as np

Values = dict[str, tuple[str, list[Any]]]
"""Kind and values of each key, floats by their bits. Without a kind: an empty list of bytes."""


def told_by(message: Any) -> Values:
    """The features that an Example of protobuf has."""
    found = {}
    for key, feature in message.features.feature.items():
        kind = feature.WhichOneof("kind") or "bytes_list"
        values = getattr(feature, kind).value
        found[key] = kind, bits(values) if kind == "float_list" else list(values)
    return found


def bits(values: Any) -> list[int]:
    """Floats by their bits, every NaN as the same, as Python has them."""
    floats = np.array(values, np.float32)
    floats[np.isnan(floats)] = np.nan
    found: list[int] = floats.view(np.uint32).tolist()
    return found
