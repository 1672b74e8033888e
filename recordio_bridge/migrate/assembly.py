"""Making the plan of a migration out of what was seen of its sources: outputs, and the Orders for their files."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, pairwise

from ..errors import BridgeError, FormatError, MigrationError, SchemaError
from ..formats import get_format
from ..formats.base import Extent
from ..presets import prepared
from ..recordfile import count_rows
from ..shards import shard_names
from ..sources import Source, target_format
from .bulk_plan import BulkPlan, Output
from .fingerprints import SourceFile
from .gather import Found
from .migration import SHARD_BYTES, Migration
from .names import check_names
from .orders import Order, Shuffle
from .planning import Plan, make_plan, merged
from .quarantine import Quarantined, reason_of
from .sample import check_held, expansion
from .scout import Scout
from .splits import Splits
from .tree import outputs_of, refuse_clashes
from .wishes import Wishes


def assemble(migration: Migration, found: Sequence[Found], scouts: Sequence[Scout]) -> BulkPlan:
    """The plan of a migration of these sources, of which each was looked at.

    Raises:
        MigrationError: none of the sources can be read.
        FormatError: they are of several formats, and go into one output.
        SchemaError: what is asked for does not fit them.
        ValueError: two sources would become the same file, or a file and a folder of one name.
    """
    if migration.is_permuted:
        permuted, dealt, counts, bad = assemble_permuted(migration, scouts)
        return BulkPlan(migration, tuple(found), _files(scouts), permuted, dealt, bad, counts=counts)
    if not migration.mirror:
        output, orders = assemble_output(migration, migration.output(), scouts)
        return BulkPlan(migration, tuple(found), _files(scouts), (output,), tuple(orders), ())
    return _assemble_mirror(migration, found, scouts)


def _assemble_mirror(migration: Migration, found: Sequence[Found], scouts: Sequence[Scout]) -> BulkPlan:
    """The plan in which each source has an output of its own. How large they will be is sampled of three of them."""
    paths = outputs_of(migration, found)
    good = [number for number, seen in enumerate(scouts) if seen.error is None]
    if not good:
        raise _nothing_to_read(scouts)
    some = {good[0], good[len(good) // 2], good[-1]}
    outputs: dict[int, tuple[Output, list[Order]]] = {}
    errors = {number: seen.error for number, seen in enumerate(scouts) if seen.error is not None}
    failures: list[BridgeError] = []
    for number in sorted(good, key=lambda number: number not in some):
        ratios = [output.expansion for output, _ in outputs.values()][: len(some)]
        ratio = None if number in some or not ratios else sum(ratios) / len(ratios)
        try:
            outputs[number] = assemble_output(migration, paths[number], [scouts[number]], ratio)
        except (SchemaError, FormatError, MigrationError) as err:
            failures.append(err)
            errors[number] = Quarantined.of(err, scouts[number].path, "", 0)
    if not outputs:
        raise failures[0]
    placed: list[Output] = []
    orders: list[Order] = []
    for number in sorted(outputs):
        output, mine = outputs[number]
        placed.append(replace(output, first=len(orders), stop=len(orders) + len(mine)))
        orders += mine
    lacking = tuple(
        replace(errors[number], shards=(os.path.relpath(paths[number], migration.out),)) for number in sorted(errors)
    )
    refuse_clashes(migration, found, paths, [order.target for order in orders])
    return BulkPlan(migration, tuple(found), _files(scouts), tuple(placed), tuple(orders), lacking)


def _files(scouts: Sequence[Scout]) -> tuple[SourceFile | None, ...]:
    return tuple(None if seen.error is not None else seen.file for seen in scouts)


def _nothing_to_read(scouts: Sequence[Scout]) -> MigrationError:
    reasons = [str(seen.error) for seen in scouts if seen.error is not None]
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return MigrationError(f"none of the sources can be read: {reasons[0]}{more}")


def assemble_output(
    migration: Migration, path: str, scouts: Sequence[Scout], ratio: float | None = None
) -> tuple[Output, list[Order]]:
    """An output, and the order for each of its files. ratio: how many bytes a byte becomes; None to sample that.

    Raises:
        MigrationError: none of the sources can be read, or no file system takes the names of the files.
        FormatError, SchemaError: as of assemble.
    """
    good = [seen for seen in scouts if seen.error is None]
    if not good:
        raise _nothing_to_read(scouts)
    wishes, odd = _agreeing(good, migration, path)
    agreeing = [seen for seen in good if seen.path not in odd]
    plan = _template(migration, path, wishes, agreeing)
    check_held(plan.orders[0])
    options = {extent.path: opts for extent, opts in plan.orders[0].extents}
    size = migration.look(_nbytes_of(scouts)).piece
    pieces = [piece for seen in scouts for piece in _pieces(seen, options, odd, size)]
    if ratio is None:
        ratio = expansion(plan.orders[0], {seen.path: seen for seen in agreeing})
    total = sum(piece.nbytes for piece in pieces)
    names = _shard_names(migration, path, wishes, int(total * ratio))
    check_names(path, names)
    groups = _grouped(pieces, len(names))
    if wishes.shards is None and migration.is_cut:  # what cannot be cut may leave some without any piece
        groups = [group for group in groups if group] or groups[:1]
        names = shard_names(path, len(groups), number_last=wishes.tfds is not None)
    orders = [_order(plan.orders[0], name, group, options) for name, group in zip(names, groups, strict=True)]
    output = Output.of(plan, first=0, stop=len(orders), expansion=ratio, is_counted=_are_counted(agreeing))
    return output, orders


def assemble_permuted(
    migration: Migration, scouts: Sequence[Scout]
) -> tuple[tuple[Output, ...], tuple[Order, ...], tuple[int, ...], tuple[Quarantined, ...]]:
    """The outputs of rows that a permutation deals out, the orders for their files, and the rows of each source.

    Last, the sources that cannot be read, or have other columns than most: the permutation is one of all others' rows.
    """
    readable = [seen for seen in scouts if seen.error is None]
    if not readable:
        raise _nothing_to_read(scouts)
    splits = None if migration.wishes.split is None else Splits.parse(migration.wishes.split)
    names = [None] if splits is None else splits.names
    wishes, odd = _agreeing(readable, migration, migration.output(names[0]))
    good = [seen for seen in readable if seen.path not in odd]
    bad = [seen.error or odd.get(seen.path) for seen in scouts]
    plans = [_part(migration, name, wishes, good) for name in names]
    template = _taking_all(plans[0].orders[0], good)
    check_held(template)
    counts = _counts(template, plans[0].source, good)
    total = sum(counts)
    bounds = (0, total) if splits is None else splits.bounds(total)
    ratio = expansion(template, {seen.path: seen for seen in good})
    outputs: list[Output] = []
    orders: list[Order] = []
    for plan, (first, stop) in zip(plans, pairwise(bounds), strict=True):
        nbytes = sum(source.nbytes for source in template.sources) * (stop - first) // max(total, 1)
        shards = _shard_names(migration, plan.output, wishes, int(nbytes * ratio))
        check_names(plan.output, shards)
        parts = () if migration.wishes.shuffle else tuple(bounds)
        mine = _dealt(template, shards, Shuffle(migration.wishes.seed or 0, first, stop, parts), nbytes)
        stop_at = len(orders) + len(mine)
        outputs.append(Output.of(plan, first=len(orders), stop=stop_at, expansion=ratio, is_counted=_are_counted(good)))
        orders += mine
    return tuple(outputs), tuple(orders), counts, tuple(each for each in bad if each is not None)


def _part(migration: Migration, name: str | None, wishes: Wishes, scouts: Sequence[Scout]) -> Plan:
    """The plan of a part of a split, or of the whole."""
    plan = _template(migration, migration.output(name), wishes, scouts)
    if plan.dataset is None or name is None:
        return plan
    return replace(plan, dataset=replace(plan.dataset, split=name))


def _taking_all(order: Order, scouts: Sequence[Scout]) -> Order:
    """The order with what all sources are: the same for all orders, so that it is held, and sent, once."""
    beside = tuple(dict.fromkeys(file for seen in scouts for file in seen.beside))
    return replace(order, sources=tuple(seen.file for seen in scouts if seen.file is not None), beside=beside)


def _dealt(template: Order, names: Sequence[str], shuffle: Shuffle, nbytes: int) -> list[Order]:
    """Orders for files of these names, among which the rows of shuffle, of so many bytes, are dealt out."""
    rows = shuffle.stop - shuffle.first
    cuts = [shuffle.first + round(rows * n / len(names)) for n in range(len(names) + 1)]
    return [
        replace(
            template,
            target=name,
            shuffle=replace(shuffle, first=first, stop=stop),
            num_rows=stop - first,
            nbytes=nbytes * (stop - first) // max(rows, 1),
        )
        for name, (first, stop) in zip(names, pairwise(cuts), strict=True)
    ]


def _are_counted(scouts: Sequence[Scout]) -> bool:
    """Whether it is known how many rows these sources have; an empty file has none, counted or not."""
    return all(seen.num_rows is not None or (seen.file is not None and seen.file.nbytes == 0) for seen in scouts)


def _counts(order: Order, source: Source, scouts: Sequence[Scout]) -> tuple[int, ...]:
    """How many rows of each source there are to be permuted."""
    if order.on_bad_record == "skip":  # heads count that turn out to hold no sound row, too
        each = zip(source.paths, source.options, strict=True)
        alone = [replace(source, paths=(path,), options=(options,)) for path, options in each]
        return tuple(count_rows(one, order.schema, order.where) for one in alone)
    summaries = [seen.summary for seen in scouts if seen.summary is not None]
    return tuple(each.num_rows - each.empty.get(order.where or "", 0) for each in summaries)


def _template(migration: Migration, path: str, wishes: Wishes, scouts: Sequence[Scout]) -> Plan:
    """The plan of a conversion of these sources to one file; its Order is like all of the migration."""
    single = replace(wishes, shards=None, shuffle=False, seed=None, split=None)
    summaries = [seen.summary for seen in scouts if seen.summary is not None]
    plan = make_plan(source_of(scouts, wishes), path, single, summaries)
    skipped = tuple(each for seen in scouts for each in seen.skipped)
    return replace(plan, skipped=skipped, wishes=wishes)


def source_of(scouts: Sequence[Scout], wishes: Wishes) -> Source:
    """The sources as one dataset.

    Raises:
        FormatError: they are of several formats.
    """
    examples = {seen.format: seen.path for seen in reversed(scouts)}
    if len(examples) > 1:
        listed = ", ".join(f"{path} is {name}" for name, path in sorted(examples.items()))
        raise FormatError(
            f"the sources are of several formats: {listed}; migrate those of one at a time, or "
            "each by itself (--mirror)"
        )
    format = get_format(scouts[0].format)
    options = tuple(format.options(**(seen.options or {})) for seen in scouts)
    return Source(format, tuple(seen.path for seen in scouts), options, wishes.on_bad_record)


def _agreeing(scouts: Sequence[Scout], migration: Migration, path: str) -> tuple[Wishes, dict[str, Quarantined]]:
    """The wishes with the columns of the preset; and the sources that have other columns than most, with the reason."""
    format, options = target_format(path, migration.wishes.target_options or {})
    full = [seen for seen in scouts if not seen.is_empty] or scouts
    kinds = Counter(map(_kind, full))
    usual = next(seen for seen in full if _kind(seen) == kinds.most_common(1)[0][0])
    wishes = prepared(migration.wishes, source_of([usual], migration.wishes))
    reasons: dict[str, Callable[[str], str] | None] = {}
    odd: dict[str, Quarantined] = {}
    source_of(scouts, wishes)
    for seen in scouts:
        if (kind := _kind(seen)) not in reasons:
            pair = [usual, seen]
            summaries = [each.summary for each in pair if each.summary is not None]
            try:
                merged(source_of(pair, wishes), summaries, format, options, wishes)
                if seen is not usual and wishes.select is not None:  # also what of it is chosen
                    _template(migration, path, wishes, [seen])
                    _template(migration, path, wishes, pair)
                reasons[kind] = None
            except SchemaError as err:
                reasons[kind] = partial(reason_of(str(err)).replace, seen.path)
        reason = reasons[kind]
        if reason is not None:
            odd[seen.path] = Quarantined(seen.path, None, None, reason(seen.path), (), 0)
    return wishes, odd


def _kind(seen: Scout) -> str:
    """What sources have in common that can be read together."""
    schema = [] if seen.summary is None else seen.summary.schema.to_json()
    return json.dumps([schema, seen.options and seen.options.get("payload")])


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a source for one order: an extent, or a source that cannot be read."""

    part: Extent | Quarantined
    seen: Scout
    nbytes: int
    num_rows: int | None


def _pieces(
    seen: Scout, options: Mapping[str, object], odd: Mapping[str, Quarantined], piece: int | None
) -> list[_Piece]:
    nbytes = 0 if seen.file is None else seen.file.nbytes
    error = seen.error or odd.get(seen.path)
    if error is not None:  # cut as if it could be read: its neighbours are then where they are when it is repaired
        count = 1 if piece is None else max(1, -(-nbytes // piece))
        ends = [nbytes * number // count for number in range(count + 1)]
        return [_Piece(error, seen, stop - start, None) for start, stop in pairwise(ends)]
    end = seen.extents[-1].stop or nbytes  # of files of arrays these are rows
    bounds = [extent.start * nbytes // max(end, 1) for extent in seen.extents] + [nbytes]
    each = zip(seen.extents, pairwise(bounds), _rows_of(seen), strict=True)
    return [_Piece(extent, seen, stop - start, rows) for extent, (start, stop), rows in each]


def _nbytes_of(scouts: Sequence[Scout]) -> int:
    return sum(0 if seen.file is None else seen.file.nbytes for seen in scouts)


def _rows_of(seen: Scout) -> list[int | None]:
    """The rows of each extent, where they are known."""
    firsts = [extent.first_record for extent in seen.extents]
    if seen.num_rows is None or None in firsts:
        return [seen.num_rows if len(firsts) == 1 else None] * len(firsts)
    bounds = [*(first or 0 for first in firsts), seen.num_rows]
    return [max(b - a, 0) for a, b in pairwise(bounds)]


def _shard_names(migration: Migration, path: str, wishes: Wishes, nbytes: int) -> list[str]:
    """The files of an output that will have about so many bytes."""
    if not migration.is_cut:
        return [path]
    count = wishes.shards or max(1, -(-nbytes // (migration.shard_bytes or SHARD_BYTES)))
    return shard_names(path, count, number_last=wishes.tfds is not None)


def _grouped(pieces: Sequence[_Piece], count: int) -> list[list[_Piece]]:
    """So many runs of pieces, of about the same number of bytes each."""
    groups: list[list[_Piece]] = [[] for _ in range(count)]
    ends = list(accumulate(piece.nbytes for piece in pieces))
    for piece, end in zip(pieces, ends, strict=True):
        middle = end - piece.nbytes / 2
        groups[min(int(middle * count / max(ends[-1], 1)), count - 1)].append(piece)
    return groups


def _order(
    template: Order, target: str, pieces: Sequence[_Piece], options: Mapping[str, Mapping[str, object]]
) -> Order:
    """The order for a file that is made of these pieces."""
    name = os.path.basename(target)
    parts: list[_Piece] = []
    for piece in pieces:
        before = parts[-1].part if parts else None
        if isinstance(piece.part, Quarantined) and before == piece.part:
            continue
        if isinstance(piece.part, Extent) and isinstance(before, Extent) and before.path == piece.part.path:
            parts[-1] = replace(parts[-1], part=replace(before, stop=piece.part.stop))
        else:
            parts.append(piece)
    good = [(each.part, each.seen) for each in parts if isinstance(each.part, Extent)]
    return replace(
        template,
        target=target,
        extents=tuple((extent, options[extent.path]) for extent, _ in good),
        sources=tuple(seen.file for _, seen in good if seen.file is not None),
        beside=tuple(dict.fromkeys(file for _, seen in good for file in seen.beside)),
        lacking=tuple(
            replace(each.part, shards=(name,), part=number)
            for number, each in enumerate(parts)
            if isinstance(each.part, Quarantined)
        ),
        num_rows=sum(piece.num_rows or 0 for piece in pieces),
        nbytes=sum(piece.nbytes for piece in pieces),
    )
