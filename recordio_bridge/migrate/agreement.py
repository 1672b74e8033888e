"""Whether a plan agrees with itself, and with what was asked, as far as that can be told without its sources.

A plan lies where others can write, and its checksum can be made to fit what was edited. What is looked at here is what
an edit would lose, or write twice, without a word: all that follows from the rest. What it says of the sources alone,
such as where a record begins, shows when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from ..formats import get_format
from ..formats.arrays import ArrayFormat
from ..formats.base import Extent
from ..paths import absolute
from ..schema import Schema
from ..select import as_pairs, split_pairs
from ..shards import schema_path, shard_names, sidecar_candidates
from ..sources import target_format
from .orders import Order, Pairs, distinct
from .planning import keeping_fields
from .recode import as_modes
from .splits import Splits

if TYPE_CHECKING:
    from .bulk_plan import BulkPlan, Output
    from .migration import Migration
    from .wishes import Wishes

_OF_EACH = {"target", "extents", "sources", "beside", "lacking", "num_rows", "nbytes", "shuffle"}
_OF_ALL = [each.name for each in fields(Order) if each.init and each.name not in _OF_EACH]
_OF_PRESET = {"select", "where", "label_offset"}


def check_agreement(plan: BulkPlan) -> None:
    """Compare the parts of a plan.

    Raises:
        ValueError, or as for the arguments of a migration: two do not agree.
    """
    _check_outputs(plan)
    _check_sources(plan)
    if plan.migration.is_permuted:
        _check_permutation(plan)
    else:
        _check_tiles(plan)
    for output in plan.outputs:
        _check_wishes(output, plan.migration)
        _check_orders(output, plan.orders_of(output), plan.migration)


def _refuse(where: str, what: str) -> ValueError:
    return ValueError(f"{where}: {what}")


# ---- what is written ----


def _check_outputs(plan: BulkPlan) -> None:
    """Each order is of one output, and is called as one of its files is."""
    bounds = [0, *(output.stop for output in plan.outputs)]
    if [output.first for output in plan.outputs] != bounds[:-1] or bounds[-1] != len(plan.orders):
        raise _refuse("outputs", "their orders are not all orders, one after the other")
    if not plan.migration.mirror:
        asked = plan.migration.wishes.split
        names = [None] if asked is None else Splits.parse(asked).names
        expected = [_output_name(plan.migration, name) for name in names]
        found = [output.path for output in plan.outputs]
        if [path.rpartition("/")[2] for path in found] != expected:
            raise _refuse(found[0], f"expected outputs {', '.join(expected)}")
    for output in plan.outputs:
        targets = [order.target for order in plan.orders_of(output)]
        is_set = plan.migration.is_cut
        of_tfds = output.wishes.tfds is not None
        if targets != (shard_names(output.path, len(targets), number_last=of_tfds) if is_set else [output.path]):
            raise _refuse(output.path, "its orders write other files than its own")


def _output_name(migration: Migration, split: str | None) -> str:
    dataset = migration.wishes.dataset
    if dataset is None:
        return migration.output(split).rpartition("/")[2]
    return (dataset if split is None else replace(dataset, split=split)).file_name


# ---- what is read ----


def _check_sources(plan: BulkPlan) -> None:
    """What orders say that a source was, and what lies beside it, is what the plan says, or can be there."""
    found = [each.path for each in plan.found]
    if len(plan.files) != len(found) or len(set(found)) != len(found):
        raise _refuse("files", f"{len(plan.files)}, of {len(set(found))} sources")
    files = dict(zip(found, plan.files, strict=True))
    for path, file in files.items():
        if file is not None and file.path != path:
            raise _refuse(path, f"is said to be {file.path!r}")
    seen: set[tuple[int, int]] = set()  # those of a permutation are the same objects in all orders
    for order in plan.orders:
        if (id(order.extents), id(order.sources)) in seen:
            continue
        seen.add((id(order.extents), id(order.sources)))
        if len(order.extents) != len(order.sources):
            raise _refuse(order.target, f"{len(order.extents)} extents of {len(order.sources)} files")
        for (extent, options), file in zip(order.extents, order.sources, strict=True):
            if extent.path not in files or not _is_range(extent):
                raise _refuse(extent.path, f"bytes {extent.start} to {extent.stop} are of no source")
            if file.path != extent.path or file != files[extent.path]:
                raise _refuse(extent.path, "was another file, its order says")
            _check_options(extent.path, options, plan.migration.source_options)
    _check_beside(plan)


def _is_range(extent: Extent) -> bool:
    return 0 <= extent.start <= (extent.start if extent.stop is None else extent.stop)


def _check_options(path: str, options: Mapping[str, object], asked: Mapping[str, object]) -> None:
    """Of the options of a source, those that no look into it decides."""
    for name in ("labels", "index"):
        known = _path_of(asked, name)
        if options.get(name) != known and not (name == "index" and options.get(name) == ""):  # "": none that is sound
            raise _refuse(path, f"{name}={options.get(name)!r}, and {known!r} was asked for")
    for name, usual in (("expansion", "bounded"), ("escape", "auto")):
        if options.get(name, usual) != asked.get(name, usual):
            raise _refuse(path, f"{name}={options[name]!r}, and {asked.get(name, usual)!r} was asked for")


def _path_of(asked: Mapping[str, object], name: str) -> object:
    path = asked.get(name)
    return absolute(path) if isinstance(path, str) and path else path


def _check_beside(plan: BulkPlan) -> None:
    beside = {file.path for files in distinct(order.beside for order in plan.orders) for file in files}
    if not beside:
        return
    format = get_format(plan.outputs[0].source_format) if not plan.migration.mirror else None
    formats = [format] if format else [get_format(name) for name in {each.source_format for each in plan.outputs}]
    asked = plan.migration.source_options
    known = {path for name in ("labels", "index") if isinstance(path := _path_of(asked, name), str)}
    for each in plan.found:
        known.update(file for format in formats for file in format.files_of(each.path)[1:])
        known.update(map(schema_path, sidecar_candidates(each.path)))
    others = sorted(beside - known)
    if others:
        raise _refuse(others[0], "is of no source, nor was it asked for")


def _check_tiles(plan: BulkPlan) -> None:
    """Each source goes into one output, all of it, in its order; or is said to lack there."""
    lacking = {each.path for each in plan.lacking}
    wanted = [each.path for each in plan.found if each.path not in lacking]
    of_mirror = {plan.migration.mirrored(each): each.path for each in plan.found} if plan.migration.mirror else {}
    met: list[str] = []
    for output in plan.outputs:
        paths: list[str] = []
        ends: list[int] = []
        for path, parts in groupby(_parts(plan.orders_of(output)), key=lambda part: part[0]):
            paths.append(path)
            ends += _end_of(path, [extent for _, extent in parts], output)
        if plan.migration.mirror and paths != [of_mirror.get(output.path)]:
            raise _refuse(output.path, f"is said to be made of {', '.join(paths)}")
        if output.is_counted and len(ends) == len(paths) and sum(ends) != output.summary.num_rows:
            raise _refuse(output.path, f"{sum(ends)} rows of {output.summary.num_rows} are read")
        met += paths
    if met != wanted and (not plan.migration.mirror or sorted(met) != sorted(wanted)):
        missing = [path for path in wanted if path not in set(met)] or met
        raise _refuse(missing[0], "is in no order, or in several, or in another place")


def _parts(orders: Iterable[Order]) -> Iterator[tuple[str, Extent | None]]:
    """What orders are made of, in their order: a source, and what of it; None where it is said to lack."""
    for order in orders:
        lacking = {each.part: each.path for each in order.lacking}
        count = len(order.extents) + len(order.lacking)
        if len(lacking) != len(order.lacking) or not all(0 <= number < count for number in lacking):
            raise _refuse(order.target, "what it lacks is not in its place")
        extents = iter(order.extents)
        for number in range(count):
            if number in lacking:
                yield lacking[number], None
            else:
                extent, _ = next(extents)
                yield extent.path, extent


def _end_of(path: str, extents: list[Extent | None], output: Output) -> list[int]:
    """Where the last of the extents of a source stops, of arrays, if one says so.

    They are all of it; or all lack from one on, where what begins there is doubted (borders.py), or the first.
    """
    parts = [extent for extent in extents if extent is not None]
    if not parts:
        return []
    is_tiled = parts[0].start == 0 and all(a.stop == b.start for a, b in pairwise(parts))
    if not is_tiled or parts != extents[: len(parts)]:
        ranges = ", ".join(f"{part.start} to {part.stop}" for part in parts[:4])
        raise _refuse(path, f"is read from {ranges}, which leaves something out, or has it twice")
    numbers = [part.first_record for part in parts]
    known = [number for number in numbers if number is not None]
    if numbers[0] != 0 or known != sorted(known):
        raise _refuse(path, f"its records are said to be numbered {numbers[:4]}")
    stop = parts[-1].stop
    lacks = len(parts) < len(extents)
    if lacks and stop is None:
        raise _refuse(path, "is read to its end, and said to lack what is behind it")
    if lacks or stop is None:
        return []
    if not isinstance(get_format(output.source_format), ArrayFormat):
        raise _refuse(path, f"is read to byte {stop}, and not to its end")
    return [stop]


def _check_permutation(plan: BulkPlan) -> None:
    """All sources are read by all orders, whole, and each row of the permutation by one."""
    template = plan.orders[0]
    lacking = {each.path for each in plan.lacking}
    if [extent for extent, _ in template.extents] != [Extent(e.path) for e in plan.found if e.path not in lacking]:
        raise _refuse("extents", "are not all sources, whole")
    if plan.counts and (len(plan.counts) != len(template.extents) or min(plan.counts) < 0):
        raise _refuse("counts", f"{len(plan.counts)} of {len(template.extents)} sources")
    shuffles = [order.shuffle for order in plan.orders]
    wishes, at = plan.migration.wishes, 0
    total = sum(plan.counts) if plan.counts else max(0 if each is None else each.stop for each in shuffles)
    bounds = (0, total) if wishes.split is None else Splits.parse(wishes.split).bounds(total)
    sorted_parts = () if wishes.shuffle else tuple(bounds)
    for order, shuffle in zip(plan.orders, shuffles, strict=True):
        if shuffle is None or (shuffle.seed, shuffle.sorted_parts) != (wishes.seed or 0, sorted_parts):
            raise _refuse(order.target, "is of another permutation than was asked for")
        if shuffle.first != at or shuffle.stop - shuffle.first != order.num_rows or order.num_rows < 0:
            raise _refuse(order.target, f"rows {shuffle.first} to {shuffle.stop}, expected {order.num_rows} from {at}")
        at = shuffle.stop
    ends = [0 if (last := shuffles[output.stop - 1]) is None else last.stop for output in plan.outputs]
    if ends != list(bounds[1:]):
        raise _refuse("outputs", f"end at rows {ends}, expected {list(bounds[1:])}")


# ---- what was asked ----


def _check_wishes(output: Output, migration: Migration) -> None:
    """Those of an output are those of the migration, but for what its preset decides."""
    decided = set() if migration.wishes.preset is None else _OF_PRESET
    found, asked = (_plain(wishes, decided) for wishes in (output.wishes, migration.wishes))
    different = [name for name, value in asked.items() if found[name] != value]
    if different:
        raise _refuse(output.path, f"{different[0]} is {found[different[0]]!r}, {asked[different[0]]!r} was asked for")


def _plain(wishes: Wishes, without: set[str]) -> dict[str, Any]:  # Any: what JSON holds
    plain = json.loads(json.dumps(asdict(wishes)))
    return {name: value for name, value in plain.items() if name not in without}


def _check_orders(output: Output, orders: tuple[Order, ...], migration: Migration) -> None:
    """All orders of an output are alike, and as its wishes have it."""
    template, wishes = orders[0], output.wishes
    for order in orders:
        for name in _OF_ALL:
            if getattr(order, name) != getattr(template, name):
                raise _refuse(order.target, f"{name} is not that of {template.target}")
    format, options = target_format(output.path, wishes.target_options or {})
    modes = as_modes(wishes.decode)
    encode = wishes.encode if isinstance(wishes.encode, Mapping) else split_pairs(wishes.encode, "encode", "")
    expected: dict[str, object] = {
        "source_format": output.source_format,
        "target_format": format.name,
        "verify": wishes.verify,
        "on_bad_record": wishes.on_bad_record,
        "allow_lossy": tuple(wishes.allow_lossy),
        "where": wishes.where,
        "looks": wishes.tfds is not None,
        "pack": tuple((name, packing) for name, packing in (wishes.pack or {}).items() if name not in modes),
        "without": (),
    }
    found = {name: getattr(template, name) for name in expected}
    different = [name for name, value in expected.items() if found[name] != value]
    if different:
        raise _refuse(template.target, f"{different[0]} is {found[different[0]]!r}, which was not asked for")
    if sorted((*template.encode, *template.encode_read)) != sorted(encode.items()):
        raise _refuse(template.target, "encodes other fields than was asked for")
    if set(template.decode) != set(modes):
        raise _refuse(template.target, "decodes other fields than was asked for")
    if template.select not in _selects(template, output):
        raise _refuse(template.target, "select is not what was asked for")
    _check_passing(template, output, options)


def _selects(order: Order, output: Output) -> tuple[Pairs | None, ...]:
    """The select that was asked for, and what becomes of it where losses are allowed."""
    wanted = output.wishes.select
    select = None if wanted is None else tuple(as_pairs(wanted).items())
    if not order.allow_lossy:
        return (select,)
    return select, keeping_fields(replace(order, select=select), output.payload).select


def _check_passing(order: Order, output: Output, options: Mapping[str, object]) -> None:
    """What is written has the columns of its output; or is records that pass through as they are."""
    if order.target_options == options and order.holds is None and "key" not in order.schema:
        names, expected = list(order.written), list(output.schema)
        if names != expected:
            raise _refuse(order.target, f"writes {names}, expected {expected}")
        return
    if order.target_options == options:
        return
    format = get_format(order.target_format)
    payload = output.payload or ""
    if order.target_options != {**format.passing(payload), **options, "payload": "raw"}:
        raise _refuse(order.target, f"target_options are {order.target_options!r}")
    held = Schema() if order.holds is None else order.holds[1]
    expected_holds = payload not in ("", "raw")
    if (order.holds is not None) != expected_holds or not set(held) <= set(output.schema):
        raise _refuse(order.target, "its records pass through, and are not those of its output")
