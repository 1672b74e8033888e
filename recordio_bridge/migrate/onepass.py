"""Converting in one pass: what a look through the sources would tell is found out while they are converted."""

from __future__ import annotations

from dataclasses import replace

from ..errors import FormatError
from ..files import discard
from ..formats.base import Summary
from ..schema import Schema
from ..sources import Source, merge_summaries
from .local import run_orders
from .planning import Plan, make_plan, presume
from .wishes import Wishes
from .work import Receipt


def convert_in_one_pass(source: Source, target: str, wishes: Wishes) -> tuple[Plan, list[Receipt]] | None:
    """The plan and its receipts, where what was presumed of the sources was right; else None, and nothing is left.

    Wrong, for example, where the only record with a second id is far from the beginning.
    """
    presumed = presume(source, target, wishes)
    if presumed is None:
        return None
    plan = make_plan(source, target, wishes, presumed)
    found: list[Summary] = []
    try:
        receipts = run_orders(plan.orders, 1, lambda rows: None, found.append)
    except FormatError:
        if "key" not in plan.orders[0].schema:
            raise
        return None  # the index lacks a record, so its keys are not there to be read
    summary = merge_summaries(source.paths, found, common=wishes.select is not None)
    if _was_right(plan, summary.schema, wishes):
        return replace(plan, summary=summary), receipts
    for receipt in receipts:
        discard(receipt.files)
    return None


def _was_right(plan: Plan, found: Schema, wishes: Wishes) -> bool:
    """Whether the columns that were read are those that the sources have, all of them where none are selected."""
    read = plan.orders[0].schema
    return read == found if wishes.select is None else all(found.find(name) == read[name] for name in read)
