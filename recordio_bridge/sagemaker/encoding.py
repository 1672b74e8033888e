"""Batch to Records, as pieces: what stands between the values is made, and the values stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from ..batch import Batch, Column, Ragged, as_bytes, spans_of, spread
from ..casts import cast
from ..errors import SchemaError
from ..schema import INTEGERS, Field, Schema
from .names import BYTES, CONTENT_TYPE, INT32, KEYS, MAPS, SHAPE, TEXT, VALUES, Place, Spans, kind_of, place_of
from .sparse import check_sparse


def check_encodable(schema: Schema) -> None:
    """Raise for fields that a Record cannot hold as they are, before anything is written."""
    for field in schema.values():
        place = place_of(field)
        if place is None:
            raise SchemaError(
                "payload 'sagemaker' holds fields called features/NAME, label/NAME, uid, metadata and configuration, "
                f"not {field.name!r}; rename them, such as: --select {_suggested(schema)}",
                field=field.name,
            )
        problem = _text_problem(field) if place.part == TEXT else _part_problem(field, place, schema)
        if problem is not None:
            raise SchemaError(f"field {field.name!r}: {problem}", field=field.name)


def _suggested(schema: Schema) -> str:
    """A select that gives the fields names which a Record has: a label is known by its name."""
    labels = [name for name in schema if name.rpartition("/")[2] in ("label", "labels", "y", "target", "class")]
    others = [name for name in schema if name not in labels and place_of(schema[name]) is None]
    picks = [f"label/{'values' if name == labels[0] else name}={name}" for name in labels]
    picks += [f"features/{'values' if len(others) == 1 else name}={name}" for name in others]
    picks += [f"{name}={name}" for name in schema if name not in (*labels, *others)]
    return " ".join(f"'{pick}'" if not pick.isprintable() or " " in pick else pick for pick in picks)


def _text_problem(field: Field) -> str | None:
    if field.dtype != "bytes" or field.shape not in ((), (None,), (1,)):
        return f"a Record has one text of this name, bytes, and not {field}"
    return None


def _part_problem(field: Field, place: Place, schema: Schema) -> str | None:
    stem, _, last = field.name.rpartition("/")
    values = schema.find(stem)
    if place.part == VALUES:
        if last in ("keys", "shape") and field.dtype in INTEGERS and values is not None and stem not in MAPS:
            cast_to = f"--select '{field.name}:uint64={field.name}'"
            return (
                f"the {last} of {stem!r} are uint64, not {field.dtype}: {cast_to}; if it is no part of that, rename it"
            )
        return None
    if values is None or place_of(values) != Place(place.name, VALUES):
        return f"is a part of {stem!r}, which is not there"
    if (values.dtype == "bytes") != (field.dtype == "bytes"):
        return f"bytes have a content_type, numbers keys and shape, and {stem!r} is {values}"
    if len(values.shape) > 1:
        return f"{stem!r} is {values}, and says its shape by itself"
    return None


def encode(batch: Batch) -> Ragged:
    """One serialized Record for each row, as a Ragged of bytes.

    Raises:
        SchemaError: a field that is nothing of a Record, keys or a shape that do not fit the values of a row, or
            (LossyError) an integer that is no int32 (.field, .row).
    """
    return Ragged(*_joined(pieces(batch)), "bytes")


def pieces(batch: Batch) -> list[Spans]:
    """Each row's Record in pieces: what stands between the values, and spans of the values as they are."""
    check_encodable(batch.schema)
    entries: dict[bytes, dict[int, Field]] = {}
    for field in batch.schema.values():
        place = place_of(field)
        assert place is not None  # it was checked
        entries.setdefault(place.name, {})[place.part] = field
    made: list[Spans] = []
    for name in sorted(entries):
        made += _entry(name, entries[name], batch)
    nothing = np.zeros(len(batch), dtype=np.int64)
    return made or [(np.empty(0, dtype=np.uint8), nothing, nothing)]


def _entry(name: bytes, parts: dict[int, Field], batch: Batch) -> list[Spans]:
    """The pieces of one entry of a map, or of a text."""
    columns = {part: batch[field.name] for part, field in parts.items()}
    if TEXT in parts:
        return _chunks(name[0], *_text(columns[TEXT], parts[TEXT]))
    values = parts[VALUES]
    kind = kind_of(values)
    if kind == BYTES:
        bodies = _bytes_values(columns[VALUES])
        if CONTENT_TYPE in parts:
            bodies += _chunks(CONTENT_TYPE, *_text(columns[CONTENT_TYPE], parts[CONTENT_TYPE]))
        return [_opening(name, kind, bodies), *bodies]
    lists = {part: _flat(columns[part]) for part in (KEYS, SHAPE) if part in parts}
    if lists:
        check_sparse(parts, _counts(columns[VALUES]), lists.get(KEYS), lists.get(SHAPE))
    packed = {VALUES: _packed(columns[VALUES], values, kind)}
    if len(values.shape) > 1:
        shape = np.array([n for n in values.shape if n is not None], dtype=np.uint64)
        once = _varints(shape, np.array([len(shape)]))
        packed[SHAPE] = once.take(np.zeros(len(batch), dtype=np.int64)).spans
    for part, (numbers, counts) in lists.items():
        packed[part] = _varints(numbers, counts).spans
    bodies = [piece for part in sorted(packed) for piece in (_packed_head(packed[part], part), packed[part])]
    return [_opening(name, kind, bodies), *bodies]


def _opening(name: bytes, kind: int, bodies: Sequence[Spans]) -> Spans:
    """What comes before the bodies of a tensor or Bytes: entry, key, Value. Nothing where they are all empty."""
    key = _tag(1, len(name) - 1) + name[1:]

    def build(length: int) -> bytes:
        if length == 0:
            return b""
        value = _tag(kind, length)
        entry = key + _tag(2, len(value) + length) + value
        return _tag(name[0], len(entry) + length) + entry

    return _table(np.sum([lengths for _, _, lengths in bodies], axis=0, dtype=np.int64), build)


def _packed_head(packed: Spans, part: int) -> Spans:
    return _table(packed[2], lambda length: _tag(part, length) if length else b"")


def _tag(number: int, length: int) -> bytes:
    """Tag and length of a field of so many bytes."""
    out = bytearray([number << 3 | 2])
    while length >= 128:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes([*out, length])


def _table(lengths: NDArray[np.int64], build: Callable[[int], bytes]) -> Spans:
    """A piece for each row that depends on a length alone: built once for each length that there is."""
    if len(lengths) and (lengths == lengths[0]).all():
        few, which = lengths[:1], np.zeros(len(lengths), dtype=np.int64)
    else:
        few, which = np.unique(lengths, return_inverse=True)
    return Ragged.of([build(length) for length in few.tolist()]).take(which).spans


def _packed(column: Column, field: Field, kind: int) -> Spans:
    """The packed values of a tensor: spans of the column itself where it holds them as the wire does."""
    if kind == INT32:
        numbers, counts = _flat(column)
        rows = np.repeat(np.arange(len(counts)), counts)
        advice = "; SageMaker's integers are int32: cast it to float64 with --select"
        fitting = cast(numbers, "int32", field.name, rows=rows, advice=advice)
        return _varints(fitting.astype(np.int64).view(np.uint64), counts).spans
    if field.dtype in ("float16", "bfloat16"):
        numbers, counts = _flat(column)
        lengths = 4 * counts
        return as_bytes(numbers.astype(np.float32)), np.cumsum(lengths) - lengths, lengths
    return spans_of(column)


def _flat(column: Column) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """All numbers of a column, and how many each row has."""
    return column.numbers() if isinstance(column, Ragged) else column.reshape(-1), _counts(column)


def _counts(column: Column) -> NDArray[np.int64]:
    """How many numbers each row has."""
    if isinstance(column, Ragged):
        return column.counts
    return np.full(len(column), column.size // max(len(column), 1), dtype=np.int64)


def _varints(numbers: NDArray[np.generic], counts: NDArray[np.int64]) -> Ragged:
    """Each row's numbers (uint64) as varints, one behind the other."""
    left = numbers.astype(np.uint64)
    sizes = np.ones(len(left), dtype=np.int64)
    for bits in range(7, 64, 7):
        larger = left >= np.uint64(1 << bits)
        if not larger.any():
            break
        sizes += larger
    ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    out = np.empty(int(ends[-1]), dtype=np.uint8)
    for index in range(int(sizes.max(initial=1))):
        chosen = slice(None) if index == 0 else np.flatnonzero(sizes > index)
        goes_on = (sizes[chosen] > index + 1).astype(np.uint8) << 7
        low = (left[chosen] >> np.uint64(7 * index) & np.uint64(127)).astype(np.uint8)
        out[ends[:-1][chosen] + index] = low | goes_on
    last = np.cumsum(counts, dtype=np.int64)
    starts = ends[last - counts]
    return Ragged(out, starts, ends[last] - starts, "bytes")


def _chunks(number: int, texts: Spans, present: NDArray[np.bool_]) -> list[Spans]:
    """Texts with tag and length in front; nothing for those that are not present."""
    return [_table(np.where(present, texts[2], -1), lambda size: _tag(number, size) if size >= 0 else b""), texts]


def _text(column: Column, field: Field) -> tuple[Spans, NDArray[np.bool_]]:
    """The one text of each row, and whether it has one."""
    assert isinstance(column, Ragged)  # a field of bytes
    if not isinstance(column.values, Ragged):
        return column.spans, np.ones(len(column), dtype=np.bool_)
    several = np.flatnonzero(column.lengths > 1)
    if len(several):
        row = int(several[0])
        raise SchemaError(
            f"row {row} of field {field.name!r} has {int(column.lengths[row])} texts, and a Record has one at most",
            field=field.name,
            row=row,
        )
    present = column.lengths == 1
    base, starts, lengths = column.values.take(column.starts[present]).spans
    spans = np.zeros((2, len(column)), dtype=np.int64)
    spans[0, present], spans[1, present] = starts, lengths
    return (base, spans[0], spans[1]), present


def _bytes_values(column: Column) -> list[Spans]:
    """The values of Bytes, each with its tag and length."""
    assert isinstance(column, Ragged)  # a field of bytes
    if not isinstance(column.values, Ragged):
        return _chunks(VALUES, column.spans, np.ones(len(column), dtype=np.bool_))
    members = column.values.take(spread(column.starts, column.lengths))
    base, _, sizes = _joined(_chunks(VALUES, members.spans, np.ones(len(members), dtype=np.bool_)))
    ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    last = np.cumsum(column.lengths, dtype=np.int64)
    starts = ends[last - column.lengths]
    return [(base, starts, ends[last] - starts)]


def _joined(parts: Sequence[Spans]) -> Spans:
    """The pieces of each row as one. Copies them twice, so it is for what is short or rare."""
    bases = [Ragged(*each, "bytes").compact().spans for each in parts]
    offsets = np.cumsum([0, *(len(base) for base, _, _ in bases)], dtype=np.int64)
    starts = np.stack([starts + offset for (_, starts, _), offset in zip(bases, offsets, strict=False)], axis=1)
    lengths = np.stack([lengths for _, _, lengths in bases], axis=1)
    sizes = lengths.sum(axis=1)
    buffer = np.empty(int(sizes.sum()), dtype=np.uint8)
    base = np.concatenate([base for base, _, _ in bases])
    _kernels.gather_spans((base, starts.reshape(-1), lengths.reshape(-1)), buffer)
    return buffer, np.cumsum(sizes, dtype=np.int64) - sizes, sizes
