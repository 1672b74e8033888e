"""Whether what is fed goes on as it began: an iterator's items, and what a transform makes, are like the first."""

from __future__ import annotations

from ..batch import Batch
from ..errors import SchemaError
from ..schema import Field, Schema


def like_first(batch: Batch, first: Schema, who: str, whose: str) -> Batch:
    """The batch, with its columns in the order of the first.

    Args:
        who: gave it, for messages; whose: the first is.

    Raises:
        SchemaError: it has other fields, dtypes or shapes.
    """
    if batch.schema == first:
        return batch
    for name in (*first, *batch.schema):
        mine, theirs = batch.schema.find(name), first.find(name)
        if mine is None or theirs is None:
            has = f"has no field {name!r}" if mine is None else f"has a field {name!r}"
            there = ", ".join(first)
            raise SchemaError(f"{who} {has}, and {whose} has {there}; give the same fields each time", field=name)
        if mine != theirs:
            differ = f"{who} has field {name!r} as {mine.kind}, and {whose} has it as {theirs.kind}"
            raise SchemaError(f"{differ}; {_advice(mine, theirs)}", field=name)
    return batch.pick(list(first))


def _advice(mine: Field, theirs: Field) -> str:
    is_length = mine.shape != theirs.shape and len(mine.shape) == len(theirs.shape) == 1
    if not is_length or "bytes" in (mine.dtype, theirs.dtype):
        return "give the same dtype, and the same shape behind the rows, each time"
    dtype = theirs.dtype if mine.shape == (0,) else mine.dtype  # rows without a value have none that was meant
    return f"where rows differ in length, give rb.Ragged.of(rows, {dtype!r}) each time, the first time, too"
