"""Planning a conversion: from a source and a target to Orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple, cast

from ..errors import SchemaError, SelectError
from ..example import storable_dtypes
from ..formats.base import Extent, Format, Skipped, Summary
from ..presets import class_field
from ..recordfile import count_rows
from ..schema import Packing, Schema
from ..select import as_pairs, name_of, named_fields, split_pairs
from ..sources import DIFFERING, UNLIKE, Source, make_options, merge_schemas, merge_summaries, target_format
from ..tfds import DatasetName
from .neighbours import check_neighbours
from .orders import Order, Shuffle
from .recode import as_modes, with_sizes
from .wishes import Wishes

_MANY = 10_000  # empty shards that may be meant
_KEYED: tuple[set[str | None], ...] = ({"image"}, {"raw"}, {"sagemaker"})
"""The payloads whose key is no field of the record, but of the index beside it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, and what was found on the way."""

    output: str
    orders: tuple[Order, ...]
    source: Source
    summary: Summary
    skipped: tuple[Skipped, ...]
    schema: Schema
    """The fields of the output, also where its records pass through undecoded."""
    payload: str | None
    dataset: DatasetName | None = None
    tfmd: bool = False
    """Whether a schema.pbtxt is written."""
    wishes: Wishes = field(default_factory=lambda: Wishes())

    @property
    def num_rows(self) -> int:
        """How many rows are expected in all."""
        return sum(order.num_rows for order in self.orders)


def presume(source: Source, target: str, wishes: Wishes) -> list[Summary] | None:
    """What make_plan would find in the sources, where a look at their beginnings is enough to write one file.

    The rest is found out on the way, and compared: that spares a pass through the sources. None where it is not enough.
    """
    if wishes.shuffle or (wishes.shards or 1) > 1 or wishes.on_bad_record == "skip":
        return None
    if source.format is target_format(target, wishes.target_options or {})[0]:
        return None  # records may pass through undecoded
    found = [source.format.presume(path, options) for path, options in zip(source.paths, source.options, strict=True)]
    return [
        Summary(source.format.name, schema, 0, 0) for schema in found if schema is not None and None not in found
    ] or None


def make_plan(source: Source, target: str, wishes: Wishes, presumed: list[Summary] | None = None) -> Plan:
    """Look at the sources, unless something is presumed of them, and decide who writes what.

    Raises:
        SchemaError: a selection does not fit the source, or the target cannot hold a field (LossyError).
    """
    format, options = target_format(target, wishes.target_options or {})
    made = make_options(format, options)
    skipped: list[Skipped] = []
    summaries = presumed or source.summaries(skipped.append, named_fields(wishes.select, wishes.where))
    summary = merged(source, summaries, format, options, wishes)
    order = Order(
        source_format=source.format.name,
        extents=_extents(source, source.options),
        schema=summary.schema,
        select=None if wishes.select is None else tuple(as_pairs(wishes.select).items()),
        allow_lossy=tuple(wishes.allow_lossy),
        pack=tuple((wishes.pack or {}).items()),
        target_format=format.name,
        target=target,
        target_options=options,
        verify=wishes.verify,
        on_bad_record=wishes.on_bad_record,
        num_rows=sum(_rows_kept(summaries, wishes)),
        looks=wishes.tfds is not None,
        where=wishes.where,
    )
    order = _with_encodings(order, wishes)
    order = replace(order, classes=class_field(wishes, _selected(order, source, summaries)))
    order = _with_images(order, wishes)
    payload = _payload_of(order, source, format, made)
    order = _reading_less(keeping_fields(order, payload))
    schema = order.written
    order = _undecoded(order, source, format, payload)
    schema = _with_keys(schema, order, summaries, payload)
    if wishes.shuffle and wishes.on_bad_record == "skip":  # heads count that turn out to hold no sound row, too
        order = replace(order, num_rows=count_rows(source, order.schema, order.where))
    orders = _shared_out(order, source, _rows_kept(summaries, wishes), wishes)
    skips = tuple(skipped)
    plan = Plan(target, tuple(orders), source, summary, skips, schema, payload, wishes.dataset, wishes.tfmd, wishes)
    check_neighbours(plan, format, made)
    return plan


def _selected(order: Order, source: Source, summaries: Sequence[Summary]) -> Schema:
    """The fields that are selected. Where one is not there, the error lists all that are, looked for or not.

    Raises:
        SchemaError: it is there, and not alike in all files.
    """
    try:
        return order.selection().schema
    except SelectError:
        _refuse_unlike(order, source, summaries)
        known, _ = source.format.certain(source.paths[0], source.options[0])
        if not set(known) <= set(order.schema):
            replace(order, schema=known).selection()
        raise


def _refuse_unlike(order: Order, source: Source, summaries: Sequence[Summary]) -> None:
    """SchemaError where what a select names is in all files, or some, and not alike, so that it was left out."""
    named = named_fields(dict(order.select or ()), order.where) or frozenset()
    schemas = [each.schema.pick([name for name in each.schema if name in named]) for each in summaries]
    try:
        merge_schemas(source.paths, [replace(each, schema=s) for each, s in zip(summaries, schemas, strict=True)])
    except SchemaError as err:
        raise SchemaError(str(err).replace(DIFFERING, UNLIKE), field=err.field) from None


def _with_images(order: Order, wishes: Wishes) -> Order:
    """The order with the images to decode; the packing of a decoded field is that of its arrays."""
    modes = as_modes(wishes.decode)
    packing = cast("dict[str, Packing]", {name: packing for name, packing in order.pack if name in modes})
    order = replace(order, pack=tuple((name, packing) for name, packing in order.pack if name not in modes))
    if modes:
        decoding = replace(_reading_less(order), encode=())  # to what is encoded again later
        order = replace(order, decode=with_sizes(decoding, modes, packing).decode)
    return order


def _with_encodings(order: Order, wishes: Wishes) -> Order:
    """The order with what is to be encoded: columns of the output, or else fields of the source."""
    asked = wishes.encode
    encode = dict(asked) if isinstance(asked, Mapping) else split_pairs(asked, "encode", "FIELD=FORMAT")
    columns = order.schema if order.select is None else {name_of(target) for target, _ in order.select}
    read = tuple((name, how) for name, how in encode.items() if name not in columns and name in order.schema)
    return replace(order, encode=tuple(pair for pair in encode.items() if pair not in read), encode_read=read)


def _rows_kept(summaries: Sequence[Summary], wishes: Wishes) -> list[int]:
    """The rows of each file, without those that are known to be left out."""
    return [each.num_rows - each.empty.get(wishes.where or "", 0) for each in summaries]


def merged(
    source: Source, summaries: Sequence[Summary], target: Format, options: Mapping[str, object], wishes: Wishes
) -> Summary:
    """The Summary of all files. Where columns are chosen, only common fields must agree.

    Where records pass through that have keys in an index, a file may lack second ids, which are 0 then, and keys, which
    are found out with the records of all files; what all files together have is not to be hidden by the new sidecar.
    """
    payloads = {source.format.payload(opts, each.schema) for opts, each in zip(source.options, summaries, strict=True)}
    asked = (wishes.select is not None, wishes.where, wishes.pack, wishes.allow_lossy, options)
    changes = any(map(bool, (*asked, wishes.decode, wishes.encode))) or _has_labels(source)
    having = {"key" in each.schema for each in summaries}
    is_found_out = payloads == {"image"} or len(having) == 1  # those of others than images are in an index, or nowhere
    passes = source.format.name == target.name and not changes and payloads in _KEYED
    if len(summaries) > 1 and passes and is_found_out:
        bare = [replace(each, schema=each.schema.pick([n for n in each.schema if n != "key"])) for each in summaries]
        return merge_summaries(source.paths, bare, optional=("id2",))
    return merge_summaries(source.paths, summaries, common=wishes.select is not None)


def _has_labels(source: Source) -> bool:
    """Whether labels come from elsewhere than the records."""
    return any(getattr(opts, "labels", None) for opts in source.options)


def _with_keys(schema: Schema, passed: Order, summaries: Sequence[Summary], payload: str | None) -> Schema:
    """The fields of records that pass through, with their keys where these say something in any of several files."""
    said = any("key" in each.schema for each in summaries)
    if {payload} not in _KEYED or "key" in schema or "key" not in passed.schema or not said:
        return schema
    return Schema(*schema.values(), passed.schema["key"])


def _extents(source: Source, options: Sequence[Any]) -> tuple[tuple[Extent, Mapping[str, object]], ...]:
    return tuple((Extent(path), asdict(opts)) for path, opts in zip(source.paths, options, strict=True))


def keeping_fields(order: Order, payload: str | None) -> Order:
    """Where losses are allowed in fields that an Example cannot hold: the select that makes them fit."""
    selection = order.selection()
    dtypes = storable_dtypes(selection.schema, order.allow_lossy) if payload == "example" else {}
    return replace(order, select=tuple(selection.with_dtypes(dtypes).items())) if dtypes else order


def _payload_of(order: Order, source: Source, target: Format, made: Any) -> str | None:  # Any: the format's options
    """What the target's records hold. Within one format, what the source's hold, unless something else is asked for."""
    payloads = {source.format.payload(options, order.schema) for options in source.options}
    if source.format.name == target.name and not _changes(order) and "payload" not in order.target_options:
        return payloads.pop() if len(payloads) == 1 else None
    return target.payload(made, order.written)


def _changes(order: Order) -> bool:
    """Whether columns are chosen, cast, packed, decoded or encoded on the way, or looked at, or rows are left out."""
    if order.looks or order.where is not None:
        return True
    asked = (order.pack, order.allow_lossy, order.decode, order.encode, order.encode_read)
    return order.select is not None or any(map(bool, asked))


def _reading_less(order: Order) -> Order:
    """Only the fields that are written are read."""
    read = set(order.selection().sources)  # once: to compare schemas of thousands of columns takes milliseconds
    return replace(order, schema=order.schema.pick([name for name in order.schema if name in read]))


def _undecoded(order: Order, source: Source, target: Format, payload: str | None) -> Order:
    """Where source and target records are the same bytes: the order that passes them through."""
    payloads = {source.format.payload(options, order.schema) for options in source.options}
    same_format = source.format.name == target.name
    if _changes(order) or payload is None or payloads != {payload}:
        return order
    if _has_labels(source) or ("key" in order.schema and not same_format):
        return order
    if payload == "example" and order.on_bad_record == "skip":  # an Example that does not parse is only seen by parsing
        return order
    options, schema = source.format.undecoded(source.paths, source.options)
    return replace(
        order,
        extents=_extents(source, options),
        schema=schema if same_format else schema.pick(["record"]),
        target_options={**target.passing(payload), **order.target_options, "payload": "raw"},
        holds=None if payload == "raw" else (payload, order.schema),
    )


def _shared_out(order: Order, source: Source, file_rows: Sequence[int], wishes: Wishes) -> list[Order]:
    """An order for each shard."""
    if (wishes.shards or 1) > max(order.num_rows, _MANY):
        raise ValueError(f"shards={wishes.shards}: for {order.num_rows} rows, nearly all would be empty; ask for fewer")
    names = wishes.shard_names(order.target)
    bounds = [round(order.num_rows * i / len(names)) for i in range(len(names) + 1)]
    ranges = list(pairwise(bounds))
    orders = [replace(order, target=name, num_rows=b - a) for name, (a, b) in zip(names, ranges, strict=True)]
    if wishes.shuffle:
        seed = wishes.seed or 0
        return [replace(each, shuffle=Shuffle(seed, a, b)) for each, (a, b) in zip(orders, ranges, strict=True)]
    if len(names) == 1:
        return orders
    parts = _cut(order, source, file_rows, ranges)
    return [replace(each, extents=part) for each, part in zip(orders, parts, strict=True)]


def _cut(
    order: Order, source: Source, file_rows: Sequence[int], ranges: Sequence[tuple[int, int]]
) -> list[tuple[tuple[Extent, Mapping[str, object]], ...]]:
    """The extents that hold each range of rows."""
    parts: list[list[tuple[Extent, Mapping[str, object]]]] = [[] for _ in ranges]
    before = 0
    for (extent, options), rows in zip(order.extents, file_rows, strict=True):
        if rows == 0 and order.where is not None:  # all rows are left out, by whoever: they are counted there
            parts[0].append((extent, options))
            continue
        inside = [(max(a - before, 0), min(b - before, rows)) for a, b in ranges]
        cuts = sorted({row for a, b in inside if a < b for row in (a, b) if 0 < row < rows})
        ends = {0: _Cut(extent.start, extent.first_record), rows: _Cut(extent.stop, 0)}
        found = ends | _cuts(source, extent.path, options, cuts, order)
        for part, (a, b) in zip(parts, inside, strict=True):
            if a < b:
                part.append((Extent(extent.path, found[a].offset or 0, found[b].offset, found[a].record), options))
        before += rows
    return [tuple(part) for part in parts]


class _Cut(NamedTuple):
    """Where a row of a file begins, and the number of its record."""

    offset: int | None
    record: int | None


def _cuts(
    source: Source, path: str, options: Mapping[str, object], rows: Sequence[int], order: Order
) -> dict[int, _Cut]:
    """Where these rows of a file begin. Their records have other numbers than they where records are left out."""
    found: dict[int, _Cut] = {}
    if not rows:
        return found
    request = source.request(Schema(), None, lambda skipped: None, order.schema, order.where)
    before = 0
    for heads in source.format.heads(Extent(path), source.format.options(**options), request):
        for row in rows:
            if before <= row < before + len(heads):
                number = row if heads.numbers is None else int(heads.numbers[row - before])
                found[row] = _Cut(int(heads.offsets[row - before]), number)
        before += len(heads)
    return found
