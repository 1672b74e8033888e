"""Borders of parts at which no record begins: what lies behind them is not written.

A .rec is cut where a record seems to begin (recordio_cuts.py). Whether one does shows when the part before is read to
its end: where its last record goes on, as over records that lie in its payload as they are, that is an error. By then
the part behind may have been read, all sound, and written. It is left out, and all of the source that comes after, as
nothing says any more where records begin. The orders that wrote it are done again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace

from .bulk_plan import BulkPlan
from .parts import Part, parts_of, with_parts
from .quarantine import Quarantined
from .work import Receipt


def without_misread(plan: BulkPlan, receipts: Mapping[int, Receipt]) -> BulkPlan:
    """The plan without what lies behind such borders, by what is in quarantine; itself where there is no such part."""
    borders = _misleading(receipts.values())
    for number, order in enumerate(plan.orders) if borders else ():
        parts = parts_of(order)
        kept = [_trusted(part, borders, os.path.basename(order.target)) for part in parts]
        if kept != parts:
            plan = plan.with_order(number, with_parts(order, kept))
    return plan


def _misleading(receipts: Iterable[Receipt]) -> dict[str, tuple[int, Quarantined]]:
    """The first border of each source at which no record begins, and what was found there."""
    found: dict[str, tuple[int, Quarantined]] = {}
    for receipt in receipts:
        for each in receipt.quarantine:
            if each.is_of_a_cut and each.byte is not None:  # which is where the part ends
                found[each.path] = min((each.byte, each), found.get(each.path, (each.byte, each)), key=lambda at: at[0])
    return found


def _trusted(part: Part, borders: Mapping[str, tuple[int, Quarantined]], shard: str) -> Part:
    """A part of a file of this name; that it lacks where it lies behind a border of its source."""
    if isinstance(part, Quarantined) or part[0].path not in borders:
        return part
    border, found = borders[part[0].path]
    return part if part[0].start < border else replace(found, shards=(shard,))
