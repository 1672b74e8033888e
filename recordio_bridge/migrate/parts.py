"""What an order is made of, in the order of its rows: extents of sources, and sources that are lacking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from ..formats.base import Extent
from .fingerprints import SourceFile
from .orders import Order
from .quarantine import Quarantined

Part: TypeAlias = "tuple[Extent, Mapping[str, object], SourceFile] | Quarantined"


def parts_of(order: Order) -> list[Part]:
    """The parts of an order."""
    lacking = {each.part: each for each in order.lacking}
    extents = iter([(extent, opts, file) for (extent, opts), file in zip(order.extents, order.sources, strict=True)])
    count = len(order.extents) + len(lacking)
    return [lacking[number] if number in lacking else next(extents) for number in range(count)]


def path_of(part: Part) -> str:
    """The source that it is of."""
    return part.path if isinstance(part, Quarantined) else part[0].path


def with_parts(order: Order, parts: Sequence[Part]) -> Order:
    """The order made of these."""
    return replace(
        order,
        extents=tuple((part[0], part[1]) for part in parts if not isinstance(part, Quarantined)),
        sources=tuple(part[2] for part in parts if not isinstance(part, Quarantined)),
        lacking=tuple(replace(part, part=number) for number, part in enumerate(parts) if isinstance(part, Quarantined)),
    )
