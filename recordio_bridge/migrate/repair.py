"""Sources that were in quarantine, when a migration is resumed: they may have been repaired since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..errors import FormatError, MigrationError, SchemaError
from ..formats import get_format
from ..schema import Schema
from ..shards import schema_path, sidecar_candidates
from ..sources import said_anew
from .assembly import assemble_output, source_of
from .bulk_plan import BulkPlan, Output
from .orders import Order
from .parts import Part, parts_of, path_of, with_parts
from .planning import make_plan
from .quarantine import Quarantined
from .scout import Scout, scout


def repaired(plan: BulkPlan, changed: Iterable[Scout]) -> BulkPlan:
    """The plan with sources as they are seen now; orders without them stay."""
    for seen in changed:
        plan = _with_source(plan, _number_of(plan, seen.path), seen)
    return plan


def seen_now(plan: BulkPlan, path: str) -> Scout:
    """A source of a plan, as it is now."""
    return scout(path, replace(plan.migration.look(plan.nbytes), piece=None))


def is_changed(plan: BulkPlan, seen: Scout) -> bool:
    """Whether a source is another file than it was, or can be read, and could not be then."""
    known = plan.files[_number_of(plan, seen.path)]
    return seen.file != known if seen.error is None or known is not None else _reason(plan, seen) is not None


def _reason(plan: BulkPlan, seen: Scout) -> Quarantined | None:
    """Why a source cannot be read, where that is not what the plan says."""
    told = {each.reason for each in plan.quarantine if each.path == seen.path}
    return None if seen.error is None or seen.error.reason in told else seen.error


def _number_of(plan: BulkPlan, path: str) -> int:
    return next(number for number, found in enumerate(plan.found) if found.path == path)


def _with_source(plan: BulkPlan, number: int, seen: Scout) -> BulkPlan:
    """The plan with a source as it is now; what there was of it goes."""
    file = seen.file if seen.error is None else None
    plan = replace(plan, files=(*plan.files[:number], file, *plan.files[number + 1 :]))
    if seen.path in {each.path for each in plan.lacking}:
        return _with_output(plan, number, seen)
    holding = [n for n, order in enumerate(plan.orders) if _positions(order, seen.path)]
    for position, n in enumerate(holding):
        plan = plan.with_order(n, _with_part(plan, plan.orders[n], seen if position == 0 else None, seen.path))
    outputs = (_with_notes(each, plan, seen) if _holds(each, holding) else each for each in plan.outputs)
    return replace(plan, outputs=tuple(outputs))


def _holds(output: Output, numbers: Sequence[int]) -> bool:
    """Whether one of these orders is of an output."""
    return any(output.first <= number < output.stop for number in numbers)


def _with_notes(output: Output, plan: BulkPlan, seen: Scout) -> Output:
    """An output with what is to be said of a source now, in place of what was."""
    paths = [seen.path] if plan.migration.mirror else [found.path for found in plan.found]
    notes, warnings = ((), ()) if seen.summary is None else (seen.summary.notes, seen.summary.warnings)
    summary = replace(
        output.summary,
        notes=said_anew(output.summary.notes, seen.path, notes, paths),
        warnings=said_anew(output.summary.warnings, seen.path, warnings, paths),
    )
    skipped = (*(each for each in output.skipped if each.path != seen.path), *seen.skipped)
    return replace(output, summary=summary, skipped=skipped)


def _with_output(plan: BulkPlan, number: int, seen: Scout) -> BulkPlan:
    """The plan with an output of its own for a source (--mirror)."""
    if seen.error is not None:
        return plan
    path = plan.migration.mirrored(plan.found[number])
    lacking = tuple(each for each in plan.lacking if each.path != seen.path)
    try:
        output, orders = assemble_output(plan.migration, path, [seen])
    except (SchemaError, FormatError, MigrationError) as err:  # it can be read now, and still has no output
        (known,) = (each for each in plan.lacking if each.path == seen.path)
        return replace(plan, lacking=(*lacking, replace(Quarantined.of(err, seen.path, "", 0), shards=known.shards)))
    first = len(plan.orders)
    output = replace(output, first=first, stop=first + len(orders))
    return replace(plan, outputs=(*plan.outputs, output), orders=(*plan.orders, *orders), lacking=lacking)


def _positions(order: Order, path: str) -> list[int]:
    """Where among the parts of an order those of a source are."""
    parts = parts_of(order)
    return [number for number, part in enumerate(parts) if path_of(part) == path]


def _with_part(plan: BulkPlan, order: Order, seen: Scout | None, path: str) -> Order:
    """An order with the whole of a source in the place of the first part of it, or with none (seen is None)."""
    parts: list[Part] = []
    is_placed = seen is None
    for part in parts_of(order):
        if path_of(part) != path:
            parts.append(part)
        elif not is_placed and seen is not None:
            parts.append(_part_of(plan, order, seen))
            is_placed = True
    sidecars = map(schema_path, sidecar_candidates(path))
    own = {*get_format(order.source_format).files_of(path), *sidecars}  # which may be made anew with it
    others = [file for file in order.beside if file.path not in own]
    beside = dict.fromkeys([*others, *(() if seen is None else seen.beside)])
    return replace(with_parts(order, parts), beside=tuple(beside))


def _part_of(plan: BulkPlan, order: Order, seen: Scout) -> Part:
    """A source as a part of an order, where it can be read, and as the plan needs it."""
    shard = order.target.rpartition("/")[2]
    if seen.error is not None or seen.file is None or seen.summary is None:
        error = seen.error or Quarantined(seen.path, None, None, "cannot be read", (shard,), 0)
        return replace(error, shards=(shard,))
    output = next(each for each in plan.outputs if order in plan.orders_of(each))
    single = replace(output.wishes, shards=None, shuffle=False, seed=None, split=None)
    now = make_plan(source_of([seen], single), output.path, single, [seen.summary]).orders[0]
    differing = _differing(now.schema, order.schema)
    if seen.format != order.source_format:
        differing = f"it is {seen.format}, expected {order.source_format}"
    if differing:
        reason = f"does not fit the plan: {differing}; migrate it apart, or begin again (--overwrite)"
        return Quarantined(seen.path, None, None, reason, (shard,), 0)
    return now.extents[0][0], now.extents[0][1], seen.file


def _differing(now: Schema, planned: Schema) -> str:
    """The fields of a source that the plan has otherwise, or not at all, for people."""
    found = []
    for name, field in now.items():
        known = planned.find(name)
        if known != field:
            expected = "no such field" if known is None else known.kind
            found.append(f"field {name!r} is {field.kind}, expected {expected}")
    return ", ".join(found)
