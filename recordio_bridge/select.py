"""--select: choose, rename, cast and pick columns on the way.

    NAME[:DTYPE]=EXPRESSION        'image/class/label:int64=label[0] + 1'

EXPRESSION is the name of a field, or NAME[i] for one value of each row (negative i from the end), or NAME[a:b] for a
range, or a function of fields (functions.py); any of them with + N or - N behind it, which is added after the cast.
Where a field's own name looks like that, the field wins. Casts are checked: a value that would change is an error
that names the row, but for float64 to float32, which may round and not overflow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .batch import Batch, Column, Ragged
from .casts import cast
from .detection import ragged_of
from .errors import LossyError, SchemaError, SelectError
from .functions import Call, Evaluation, named_in, parse_call, result_of
from .schema import DTYPES, INTEGERS, Field, Packing, Schema, Shape, numpy_dtype
from .tally import Tally

_PICK = re.compile(r"(?P<field>.+)\[(?:(?P<index>-?\d+)|(?P<start>\d*):(?P<stop>\d*))\]", re.DOTALL)
_SHIFT = re.compile(r"(?P<term>.*[^\s+-])\s*(?P<sign>[+-])\s*(?P<number>\d{1,18})", re.DOTALL)
LARGEST_SHIFT = 10**18 - 1

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
    call: Call | None = None
    """A function that makes the column, of this field and maybe others."""
    shift: int = 0
    """What is added to each value."""

    @property
    def is_copy(self) -> bool:
        """Whether the values are those of the field, but for the shift; of detection labels, the classes."""
        if self.call is None or self.call.function == "one":
            return True
        return self.call.function == "objects" and self.call.index == 0


class Selection:
    """A list of Picks, bound to the schema that they choose from.

    Args:
        select: as Select; None takes everything.
        allow_lossy: fields of the result in which values may change, for which a LossyError is not raised.
        pack: other packings for fields of the result.
        where: a bytes field; only rows in which it is not empty are taken.
        classes: a field of the result whose range apply tallies, where it is there, and has integers.

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
        where: str | None = None,
        classes: str | None = None,
    ) -> None:
        self._source, self._allow_lossy = schema, frozenset(allow_lossy)
        self._where, self._classes = where, classes
        self._is_identity = select is None and not pack
        if select is not None and not as_pairs(select):
            raise SelectError("select: chooses no column, and rows without one are none; leave it out to have them all")
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
        with _asked_for(f"where {where!r}"):
            if where is not None and (schema[where].dtype, schema[where].shape) != ("bytes", ()):
                raise SchemaError(
                    f"field {where!r} is {schema[where].kind}, and not bytes, which may be empty", field=where
                )

    def _field(self, pick: Pick) -> Field:
        source = self._source[pick.field] if pick.call is None else result_of(pick.call, self._source)
        dtype = pick.dtype or source.dtype
        if pick.shift and dtype in ("bytes", "bool"):
            raise SchemaError(f"nothing is added to {dtype}, which {pick.expression!r} gives", field=pick.name)
        if (dtype == "bytes") != (source.dtype == "bytes"):
            raise SchemaError(f"field {pick.field!r} is {source.dtype}, which is not cast to {dtype}", field=pick.name)
        shape = _picked_shape(source, pick)
        if dtype == source.dtype and shape == source.shape:
            return Field(pick.name, dtype, shape, source.packing)
        return Field(pick.name, dtype, shape)

    @property
    def sources(self) -> tuple[str, ...]:
        """The fields that must be read."""
        named = [name for pick in self._picks.values() for name in (pick.call.fields if pick.call else (pick.field,))]
        return tuple(dict.fromkeys([*named, *([] if self._where is None else [self._where])]))

    def copies_of(self, field: str) -> dict[str, int]:
        """The columns that hold values of a field, or some of them, with what is added to each value."""
        return {pick.name: pick.shift for pick in self._picks.values() if pick.field == field and pick.is_copy}

    def with_dtypes(self, dtypes: Mapping[str, str]) -> dict[str, str]:
        """The select that gives the same columns, some with other dtypes."""
        select = {}
        for pick in self._picks.values():
            dtype = dtypes.get(pick.name, pick.dtype)
            select[f"{pick.name}:{dtype}" if dtype else pick.name] = pick.expression
        return select

    def kept(self, batch: Batch) -> NDArray[np.int64] | None:
        """The rows of a Batch that where takes; None where it takes all."""
        if self._where is None:
            return None
        column = batch[self._where]
        assert isinstance(column, Ragged)  # the schema says bytes
        return None if column.lengths.all() else np.flatnonzero(column.lengths)

    def apply(self, batch: Batch, tally: Tally | None = None) -> Batch:
        """The selected columns of a Batch. Of its rows, all: see kept.

        Args:
            tally: takes what is to be said of the rows together.

        Raises:
            SchemaError: a row has no such value (.field, .row).
            LossyError: a cast would change a value (.field, .row).
        """
        tally = Tally() if tally is None else tally
        selected = batch
        if not self._is_identity:
            evaluation = Evaluation(batch, tally)
            columns = {pick.name: self._column(evaluation, pick) for pick in self._picks.values()}
            selected = Batch(columns, self.schema, num_rows=len(batch), places=batch.places)
        field = None if self._classes is None else self.schema.find(self._classes)
        if field is not None and field.dtype in INTEGERS:
            classes = selected[field.name]
            tally.include("classes", classes.numbers() if isinstance(classes, Ragged) else classes)
        return selected

    def _column(self, evaluation: Evaluation, pick: Pick) -> Column:
        if pick.call is None:
            picked = pick_values(evaluation.batch[pick.field], pick)
        else:
            picked = evaluation.column(pick.call, pick.name)
        dtype, lossy = self.schema[pick.name].dtype, pick.name in self._allow_lossy
        advice = f"; allow it with --allow-lossy {pick.name} (allow_lossy=({pick.name!r},))"
        if isinstance(picked, Ragged):
            if picked.dtype == dtype and not pick.shift:
                return picked
            rows = np.repeat(np.arange(len(picked)), picked.counts)
            numbers = cast(picked.numbers(), dtype, pick.name, lossy=lossy, advice=advice, rows=rows)
            return ragged_of(_shifted(numbers, pick, rows), picked.counts)
        return _shifted(cast(picked, dtype, pick.name, lossy=lossy, advice=advice), pick)


def _shifted(array: NDArray[Any], pick: Pick, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """The numbers with the pick's shift added to each; LossyError where that is none of their dtype.

    rows: the row of each number; None where it is the first axis.
    """
    if not pick.shift or not array.size:
        return array
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        bound = int(limits.max if pick.shift > 0 else limits.min) - pick.shift  # the last that has room
        bad = np.asarray(array > bound if pick.shift > 0 else array < bound)
        if not limits.min <= bound <= limits.max:
            bad = np.ones(array.shape, dtype=np.bool_)
        wide = array if array.itemsize == 8 else array.astype(np.int64)
        step = wide.dtype.type(abs(pick.shift))
        result = (wide + step if pick.shift > 0 else wide - step).astype(array.dtype)
    else:
        result, bad = _sum_of_floats(array, pick.shift)
    wrong = np.flatnonzero(bad.reshape(-1))
    if len(wrong):
        at = int(wrong[0])
        row = int(rows[at]) if rows is not None else at // array[0].size
        raise LossyError(
            f"row {row} of field {pick.name!r}: {array.reshape(-1)[at]} {pick.shift:+d} is no {array.dtype.name}",
            field=pick.name,
            row=row,
        )
    return np.asarray(result)


def _sum_of_floats(array: NDArray[Any], shift: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Floats with a number added, and where that is rounded. Infinities and NaN stay what they are."""
    finite = np.isfinite(array)
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is not the sum either
        step = np.array(shift).astype(array.dtype)
        if not np.isfinite(step) or int(step) != shift:
            return array, finite
        result = array + step
        exact = (result - step == array) & (result - array == step)  # of these two differences one is never rounded
    return result, finite & ~exact


@contextmanager
def _asked_for(argument: str) -> Iterator[None]:
    """Make of a SchemaError one that names the argument."""
    try:
        yield
    except SchemaError as err:
        raise SelectError(f"{argument}: {err}", field=err.field) from err


def _parse(target: str, expression: str, schema: Schema) -> Pick:
    """The Pick that `target=expression` stands for; SchemaError where it cannot be read, or names no field."""
    name = name_of(target)
    dtype = target[len(name) + 1 :]
    _, colon, unknown = name.rpartition(":")
    if not dtype and colon and unknown and "/" not in unknown:
        raise SchemaError(f"dtype {unknown!r} is unknown; known are {', '.join(DTYPES)}")
    if not name:
        raise SchemaError("the name before = is empty")
    term, shift = (expression, 0) if expression in schema else _split_shift(expression)
    if term in schema:
        return Pick(name, dtype or None, expression, term, shift=shift)
    match = _PICK.fullmatch(term)
    if match is not None and match["field"] in schema:
        if match["index"] is not None:
            return Pick(name, dtype or None, expression, match["field"], index=int(match["index"]), shift=shift)
        bounds = (int(match["start"] or 0), int(match["stop"]) if match["stop"] else None)
        return Pick(name, dtype or None, expression, match["field"], bounds=bounds, shift=shift)
    call = parse_call(term, schema)
    if call is not None:
        return Pick(name, dtype or None, expression, call.fields[0], call=call, shift=shift)
    field, bracket, rest = term.partition("[")
    if field not in schema:
        field = match["field"] if match else term
    raise SchemaError(f"after field {schema[field].name!r} comes {bracket + rest!r}, expected [i] or [a:b]")


def name_of(target: str) -> str:
    """The name in NAME[:DTYPE]."""
    name, colon, dtype = target.rpartition(":")
    return name if colon and dtype in DTYPES else target


def _split_shift(expression: str) -> tuple[str, int]:
    """An expression without the + N or - N at its end, and the number; 0 where there is none."""
    match = _SHIFT.fullmatch(expression)
    return (expression, 0) if match is None else (match["term"], int(match["sign"] + match["number"]))


def named_fields(select: Mapping[str, str] | Iterable[str] | None, where: str | None = None) -> frozenset[str] | None:
    """The names that a select may mean, before it is known which fields there are; None where it takes all."""
    if select is None:
        return None
    names = [] if where is None else [where]
    for expression in as_pairs(select).values():
        for term in {expression, _split_shift(expression)[0]}:
            match = _PICK.fullmatch(term)
            names += [term, *named_in(term), *([] if match is None else [match["field"]])]
    return frozenset(names)


def _picked_shape(field: Field, pick: Pick) -> Shape:
    if pick.index is None and pick.bounds is None:
        return field.shape
    if field.shape == ():
        raise SchemaError(f"field {field.name!r} is a single value; there is nothing to pick from it", field=pick.name)
    first = field.shape[0]
    if pick.index is not None:
        if first is not None and not -first <= pick.index < first:
            raise SchemaError(f"field {field.name!r} is {field.kind}; it has no [{pick.index}]", field=pick.name)
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
