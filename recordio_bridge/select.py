"""--select: choose, rename, cast and pick columns on the way.

    NAME[:DTYPE]=EXPRESSION        'image/class/label:int64=label[0]'

EXPRESSION is the name of a field, or NAME[i] for one value of each row (negative i from the end), or NAME[a:b] for a
range. Where a field's own name looks like that, the field wins. Casts are checked: a value that would change is an
error that names the row, but for float64 to float32, which may round and not overflow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .batch import Batch, Column, Ragged, as_bytes
from .casts import cast
from .errors import SchemaError, SelectError
from .schema import DTYPES, Field, Packing, Schema, Shape, numpy_dtype

_PICK = re.compile(r"(?P<field>.+)\[(?:(?P<index>-?\d+)|(?P<start>\d*):(?P<stop>\d*))\]", re.DOTALL)

Select: TypeAlias = "Mapping[str, str] | Iterable[str]"
"""{"name[:dtype]": "expression"}, or texts "name[:dtype]=expression"."""


def split_pairs(items: Iterable[str], option: str, form: str = "NAME=VALUE") -> dict[str, str]:
    """Texts of the form NAME=VALUE taken apart; option is what messages call them.

    Raises:
        ValueError: one has no "=", or two have the same name.
    """
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"{option} {item!r}: expected {form}")
        if name in found:
            raise ValueError(f"{option} {item!r}: gives {name!r} twice")
        found[name] = value
    return found


def as_pairs(select: Select) -> dict[str, str]:
    """A select in its one form, {"name[:dtype]": "expression"}; ValueError as split_pairs."""
    if isinstance(select, Mapping):
        return dict(select)
    return split_pairs([select] if isinstance(select, str) else select, "select", "NAME[:DTYPE]=EXPRESSION")


@dataclass(frozen=True, slots=True)
class Pick:
    """One column of the result: the field it comes from, and what is taken of it."""

    name: str
    dtype: str | None
    expression: str
    field: str
    index: int | None = None
    bounds: tuple[int, int | None] | None = None


class Selection:
    """A list of Picks, bound to the schema that they choose from.

    Args:
        select: as Select; None takes everything.
        allow_lossy: fields of the result in which values may change, for which a LossyError is not raised.
        pack: other packings for fields of the result.

    Raises:
        SelectError: an expression cannot be read, or a field is not there, or not what is asked of it.
        ValueError: a text is no "name=expression".
    """

    def __init__(
        self,
        select: Select | None,
        schema: Schema,
        allow_lossy: Sequence[str] = (),
        pack: Mapping[str, Packing] | None = None,
    ) -> None:
        self._source, self._allow_lossy = schema, frozenset(allow_lossy)
        self._is_identity = select is None and not pack
        self._picks = {name: Pick(name, None, name, name) for name in schema} if select is None else {}
        fields = list(schema.values()) if select is None else []
        for target, expression in ({} if select is None else as_pairs(select)).items():
            with _asked_for(f"select {f'{target}={expression}'!r}"):
                pick = _parse(target, expression, schema)
                if pick.name in self._picks:
                    raise SchemaError(f"{pick.name!r} is selected twice", field=pick.name)
                self._picks[pick.name] = pick
                fields.append(self._field(pick))
        with _asked_for("pack"):
            self.schema = Schema(*fields).pack(pack or {})
        with _asked_for("allow_lossy"):
            for name in allow_lossy:
                self.schema[name]

    def _field(self, pick: Pick) -> Field:
        source = self._source[pick.field]
        dtype = pick.dtype or source.dtype
        if (dtype == "bytes") != (source.dtype == "bytes"):
            raise SchemaError(f"field {pick.field!r} is {source.dtype}, which is not cast to {dtype}", field=pick.name)
        shape = _picked_shape(source, pick)
        if dtype == source.dtype and shape == source.shape:
            return Field(pick.name, dtype, shape, source.packing)
        return Field(pick.name, dtype, shape)

    @property
    def sources(self) -> tuple[str, ...]:
        """The fields that must be read."""
        return tuple(dict.fromkeys(pick.field for pick in self._picks.values()))

    def with_dtypes(self, dtypes: Mapping[str, str]) -> dict[str, str]:
        """The select that gives the same columns, some with other dtypes."""
        select = {}
        for pick in self._picks.values():
            dtype = dtypes.get(pick.name, pick.dtype)
            select[f"{pick.name}:{dtype}" if dtype else pick.name] = pick.expression
        return select

    def apply(self, batch: Batch) -> Batch:
        """The selected columns of a Batch.

        Raises:
            SchemaError: a row has no such value (.field, .row).
            LossyError: a cast would change a value (.field, .row).
        """
        if self._is_identity:
            return batch
        columns = {pick.name: self._column(batch[pick.field], pick) for pick in self._picks.values()}
        return Batch(columns, self.schema, num_rows=len(batch))

    def _column(self, column: Column, pick: Pick) -> Column:
        picked = pick_values(column, pick)
        dtype, lossy = self.schema[pick.name].dtype, pick.name in self._allow_lossy
        advice = f"; allow it with --allow-lossy {pick.name} (allow_lossy=({pick.name!r},))"
        if isinstance(picked, Ragged):
            if picked.dtype == dtype:
                return picked
            rows = np.repeat(np.arange(len(picked)), picked.counts)
            numbers = cast(picked.numbers(), dtype, pick.name, lossy=lossy, advice=advice, rows=rows)
            lengths = picked.counts * numbers.itemsize
            return Ragged(as_bytes(numbers), np.cumsum(lengths) - lengths, lengths, dtype)
        return cast(picked, dtype, pick.name, lossy=lossy, advice=advice)


@contextmanager
def _asked_for(argument: str) -> Iterator[None]:
    """Make of a SchemaError one that names the argument."""
    try:
        yield
    except SchemaError as err:
        raise SelectError(f"{argument}: {err}", field=err.field) from err


def _parse(target: str, expression: str, schema: Schema) -> Pick:
    """The Pick that `target=expression` stands for; SchemaError where it cannot be read, or names no field."""
    name, colon, dtype = target.rpartition(":")
    if not colon or dtype not in DTYPES:
        name, dtype = target, ""
        if colon and not target.endswith(":") and "/" not in target.rpartition(":")[2]:
            raise SchemaError(f"dtype {target.rpartition(':')[2]!r} is unknown; known are {', '.join(DTYPES)}")
    if not name:
        raise SchemaError("the name before = is empty")
    if expression in schema:
        return Pick(name, dtype or None, expression, expression)
    match = _PICK.fullmatch(expression)
    if match is None or match["field"] not in schema:
        field, bracket, rest = expression.partition("[")
        if field not in schema:
            field = match["field"] if match else expression
        raise SchemaError(f"after field {schema[field].name!r} comes {bracket + rest!r}, expected [i] or [a:b]")
    if match["index"] is not None:
        return Pick(name, dtype or None, expression, match["field"], index=int(match["index"]))
    stop = int(match["stop"]) if match["stop"] else None
    return Pick(name, dtype or None, expression, match["field"], bounds=(int(match["start"] or 0), stop))


def named_fields(select: Mapping[str, str] | Iterable[str] | None) -> frozenset[str] | None:
    """The names that a select may mean, before it is known which fields there are; None where it takes all."""
    if select is None:
        return None
    expressions = as_pairs(select).values()
    picked = [match["field"] for expression in expressions if (match := _PICK.fullmatch(expression))]
    return frozenset([*expressions, *picked])


def _picked_shape(field: Field, pick: Pick) -> Shape:
    if pick.index is None and pick.bounds is None:
        return field.shape
    if field.shape == ():
        raise SchemaError(f"field {field.name!r} is a single value; there is nothing to pick from it", field=pick.name)
    first = field.shape[0]
    if pick.index is not None:
        if first is not None and not -first <= pick.index < first:
            raise SchemaError(f"field {field.name!r} is {field}; it has no [{pick.index}]", field=pick.name)
        return field.shape[1:]
    start, stop = pick.bounds or (0, None)
    if first is None:
        return (None,)
    return (len(range(first)[start:stop]), *field.shape[1:])


def pick_values(column: Column, pick: Pick) -> Column:
    """One value, or a range of values, of each row."""
    if pick.index is None and pick.bounds is None:
        return column
    if not isinstance(column, Ragged):
        part = column[:, pick.index] if pick.index is not None else column[:, slice(*(pick.bounds or (0, None)))]
        return np.ascontiguousarray(part)
    counts = column.counts
    width = 1 if column.is_nested else numpy_dtype(column.dtype).itemsize
    if pick.bounds is not None:
        start, stop = pick.bounds
        first = np.minimum(start, counts)
        last = counts if stop is None else np.clip(stop, first, counts)
        return Ragged(column.values, column.starts + width * first, width * (last - first), column.dtype)
    index = pick.index or 0
    at = counts + index if index < 0 else np.full(len(counts), index)
    wrong = np.flatnonzero((at < 0) | (at >= counts))
    if len(wrong):
        row = int(wrong[0])
        raise SchemaError(
            f"row {row} of field {pick.field!r} has {counts[row]} value{'' if counts[row] == 1 else 's'}, "
            f"and {pick.name!r} asks for [{index}]",
            field=pick.name,
            row=row,
        )
    if isinstance(column.values, Ragged):
        return column.values.take(column.starts + at)
    one = Ragged(column.values, column.starts + width * at, np.full(len(at), width), column.dtype)
    return one.numbers()
