"""Doing one Order of a migration: what is bad goes to quarantine, the file gets its name, and the receipt is written.

Done twice, or by two workers at the same time, it leaves the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ..errors import FormatError, MigrationError, SchemaError, SourceChangedError
from ..files import discard
from ..formats import get_format
from ..formats.base import Skipped, Summary
from ..formats.numbering import Numbering
from ..paths import remove, state_of
from ..publishing import put_in_place
from ..temporary import discard_left_over, run_mark
from ..unpacked import naming_originals
from .fingerprints import SourceFile, fingerprint
from .orders import Order
from .ours import refuse_others, telling_of_others, times_of
from .pool import Json
from .quarantine import Quarantined
from .quarantine import is_ours as is_ours
from .scout import files_beside
from .shared import Shared, read_shared
from .shuffled import ShuffledRows
from .state import State
from .work import Progress, Receipt, Watch, run_order

if TYPE_CHECKING:
    from .bulk_plan import BulkPlan
    from .spill import Spilled


def perform(line: str) -> str:
    """Do the Order on a line of JSON (see job_of), unless it was done; a line that says how many rows and bytes.

    Raises:
        SourceChangedError: a source is not the file that was planned for.
        MigrationError: a source has columns that the plan did not see.
        OSError: the target cannot be written.
    """
    job: Json = json.loads(line)
    with closing(Performer(job["memory"])) as performer:
        receipt = performer.perform(job)
    nbytes = sum(file.nbytes for file in receipt.files)
    return json.dumps({"number": job["number"], "rows": receipt.num_rows, "nbytes": nbytes})


def job_of(plan: BulkPlan, number: int, begun: tuple[int, int], spilled: Spilled | None = None) -> Json:
    """An Order of a plan with all that performing it takes, as JSON. begun: what tells that plan from later ones."""
    migration, order = plan.migration, plan.orders[number]
    name = f"{order.digest}-{plan.run}"
    known = {"name": order.target, "number": number, "receipt": name}
    spill = {} if spilled is None else {"rows": spilled.folder, "shared": spilled.shared}
    ours = {"out": migration.out, "state": migration.name, "memory": migration.memory, "begun": begun}
    files = get_format(order.target_format).files_of(order.target)
    replaceable = {path: plan.replaceable[path] for path in files if path in plan.replaceable}
    return {**known, **ours, "order": order.line_json(), "replaceable": replaceable, **spill}


class Performer:
    """Performs orders, and keeps what they share. To be closed.

    memory: the bytes that a shuffle may take.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._shuffled: ShuffledRows | None = None

    def perform(self, job: Json, progress: Progress = lambda rows: None) -> Receipt:
        """Do the order of a job, unless it was done."""
        state = State(job["out"], job["state"])
        known = state.receipt(job["receipt"], job["order"]["target_format"], job["order"]["target"])
        if known is not None:
            return known
        shared = read_shared(job["shared"]) if "shared" in job else None
        order = Order.from_json(job["order"], None if shared is None else shared.sources)
        originals = {} if shared is None else shared.originals
        with naming_originals(originals):
            shuffled = None if shared is None else self._rows_for(order, job["rows"])
            bad = {} if shared is None or shuffled is None else _bad_in(order, shuffled, shared)
            done, quarantine = _without_bad_ones(order, partial(_run, progress, shuffled, self._memory), bad)
            quarantine = [of_original(each, originals) for each in quarantine]
        try:
            if order.shuffle is None:  # else it is of all sources, which are looked at whenever rows are taken
                check_sources(order.sources)
                check_sources(order.beside, gone=True)
            belonging = get_format(order.target_format).files_of(order.target)
            there = refuse_others(
                done.files, {path: tuple(state) for path, state in job["replaceable"].items()}, belonging
            )
            _refuse_other_run(state, job)  # last: the look at files may have taken a while
            with telling_of_others():
                put_in_place(done.files, there)
            remove(set(belonging) - {file.final for file in done.files})  # of an earlier file
        except BaseException:
            discard(done.files)
            raise
        files = tuple(replace(file, temporary=file.final) for file in done.files)
        numbered = _all_numbered(order, done.skipped)
        skipped = tuple(replace(each, path=originals.get(each.path, each.path)) for each in numbered)
        lacking = (*order.lacking, *quarantine)
        receipt = replace(done, files=files, skipped=skipped, quarantine=lacking, times=times_of(files))
        state.put_receipt(job["receipt"], receipt)
        return receipt

    def _rows_for(self, order: Order, folder: str) -> ShuffledRows:
        """What spill.py made; not made again, which would be of sources as they are now."""
        if self._shuffled is None or not self._shuffled.serves(order):
            self.close()
            try:
                self._shuffled = ShuffledRows.load(order, folder)
            except FileNotFoundError:
                raise MigrationError(
                    f"{folder}: does not say any more where rows are, as when its run has ended, or another one was "
                    "begun; go on with --resume"
                ) from None
        return self._shuffled

    def close(self) -> None:
        """Let go of what orders share."""
        if self._shuffled is not None:
            self._shuffled.close()
            self._shuffled = None


def check_sources(sources: Sequence[SourceFile], *, gone: bool = False, by_time: bool = True) -> None:
    """SourceChangedError where a source is another file than it was.

    gone: also where it cannot be read any more; by_time: also where only the time says so.
    """
    for source in sources:
        try:
            now = fingerprint(source.path)
        except OSError as err:
            if gone:
                raise SourceChangedError(
                    f"{source.path}: cannot be read any more ({err.strerror}), and the plan was made with it; put it "
                    "back, or begin again without it (--overwrite)"
                ) from err
            continue
        if (now if by_time else replace(now, mtime_ns=source.mtime_ns)) != source:
            raise SourceChangedError(
                f"{source.path}: is not the file that the plan was made for: {_changes(source, now)}; put it back as "
                "it was, or begin again (--overwrite), so that old and new are not mixed"
            )


def _changes(before: SourceFile, now: SourceFile) -> str:
    if before.nbytes != now.nbytes:
        return f"it had {before.nbytes} bytes, and has {now.nbytes}"
    return "its first or last bytes are others" if before.crc32c != now.crc32c else "it was written to since"


def _refuse_other_run(state: State, job: Json) -> None:
    """MigrationError where the plan that an order is of is not what is done there any more."""
    try:
        now = state_of(state.plan_path)
    except FileNotFoundError:
        now = None
    if now != tuple(job["begun"]):
        raise MigrationError(
            f"{job['name']}: another run was begun meanwhile ({state.plan_path}); nothing of this one is put in its way"
        )


def _bad_in(order: Order, shuffled: ShuffledRows, shared: Shared) -> dict[int, Quarantined]:
    """The sources that are known to be bad and have rows in an order."""
    numbers = shuffled.files_of(order) if shared.bad else set()
    return {number: each for number, each in shared.bad.items() if number in numbers}


Run: TypeAlias = "Callable[[Order], Receipt]"


def _without_bad_ones(order: Order, run: Run, known: Mapping[int, Quarantined]) -> tuple[Receipt, list[Quarantined]]:
    """Run an order with those of its extents that can be read, and converted, to their ends. known: bad ones."""
    found: dict[int, Exception] = {}
    while True:
        try:
            receipt = run(_without(order, {*found, *known}))
            break
        except Bad as bad:
            found[_number_in(order, bad.extent, set(found))] = bad.error
        if order.shuffle is None and len(found) == 1:  # look for all, so that the file is written only once more
            found |= _errors_of(order, set(range(len(order.extents))) - set(found))
    places, shard = _part_numbers(order), os.path.basename(order.target)
    parts = {number: replace(each, shards=(shard,), part=places[number]) for number, each in known.items()}
    for number, error in found.items():
        parts[number] = Quarantined.of(error, order.sources[number].path, shard, places[number])
    return receipt, [parts[number] for number in sorted(parts)]


def of_original(quarantined: Quarantined, originals: Mapping[str, str]) -> Quarantined:
    """With the name of the file that another was written plain of."""
    reason = quarantined.reason
    for plain, packed in originals.items():
        reason = reason.replace(f"{plain}: ", "").replace(plain, packed)
    return replace(quarantined, reason=reason)


def _number_in(order: Order, number: int, left_out: set[int]) -> int:
    """The number among all extents of an order of one that is met where some are left out."""
    if order.shuffle is not None:
        return number
    return [each for each in range(len(order.extents)) if each not in left_out][number]


def _without(order: Order, numbers: set[int]) -> Order:
    """An order without these of its extents."""
    if not numbers:
        return order
    if order.shuffle is not None:  # whose permutation is one of all of them
        return replace(order, without=tuple(sorted(order.extents[number][0].path for number in numbers)))
    good = [number for number in range(len(order.extents)) if number not in numbers]
    return replace(
        order,
        extents=tuple(order.extents[number] for number in good),
        sources=tuple(order.sources[number] for number in good),
    )


class Bad(Exception):
    """An extent of an order cannot be converted: that of this number."""

    def __init__(self, extent: int, error: Exception) -> None:
        self.extent, self.error = extent, error


def _run(progress: Progress, shuffled: ShuffledRows | None, memory: int, order: Order) -> Receipt:
    watch = Watch()
    try:
        return run_order(order, progress, partial(_check_columns, order), shuffled, memory, watch)
    except (FormatError, SchemaError, OSError) as err:
        raise _blamed(order, watch, err) from err


def _errors_of(order: Order, numbers: set[int]) -> dict[int, Exception]:
    """Why some of these extents cannot be converted."""
    found: dict[int, Exception] = {}
    for number in sorted(numbers):
        others = set(range(len(order.extents))) - {number}
        alone, watch = replace(_without(order, others), verify="none"), Watch()
        try:
            discard(run_order(alone, on_summary=partial(_check_columns, alone), watch=watch).files)
        except (FormatError, SchemaError, OSError) as err:
            bad = _blamed(alone, watch, err)
            if not isinstance(bad, Bad):
                raise
            found[number] = bad.error
    return found


def _blamed(order: Order, watch: Watch, error: Exception) -> Exception:
    """Bad where a source is to blame for an error, as it is now as it was when the plan was made; else the error."""
    if isinstance(error, OSError) and (not watch.is_reading or is_ours(error)):
        return error
    number = watch.extent
    if order.shuffle is not None:
        path = error.filename if isinstance(error, OSError) else getattr(error, "path", None)
        number = next((n for n, (extent, _) in enumerate(order.extents) if extent.path == path), None)
    if number is None:
        return error
    check_sources(order.sources[number : number + 1])
    return Bad(number, _numbered(order, number, error))


def _numbered(order: Order, number: int, error: Exception) -> Exception:
    """An error about an extent, with the number that its record has in the whole file."""
    if isinstance(error, FormatError):
        return _numbering(order, number).error(error)
    return _numbering(order, number).error(error) if isinstance(error, SchemaError) else error


def _numbering(order: Order, number: int) -> Numbering:
    extent, options = order.extents[number]
    format = get_format(order.source_format)
    return Numbering(format, extent, format.options(**options))


def _all_numbered(order: Order, skipped: Sequence[Skipped]) -> tuple[Skipped, ...]:
    """What was left out of an order, with numbers as in _numbered."""
    numberings = [_numbering(order, number) for number in range(len(order.extents))] if skipped else []
    found = []
    for each in skipped:
        for numbering in numberings:
            each = numbering.skipped(each)
        found.append(each)
    return tuple(found)


def _part_numbers(order: Order) -> list[int]:
    """The number of each extent among the parts of the file, of which those are some that were lacking before."""
    taken = {each.part for each in order.lacking}
    return [number for number in range(len(order.extents) + len(taken)) if number not in taken]


def _check_columns(order: Order, found: Summary) -> None:
    """MigrationError where what was read has columns that the plan did not see, and so would lose.

    SourceChangedError where that comes of a file beside a source, such as an index.
    """
    if order.select is not None or order.holds is not None:
        return
    lost = [name for name in found.schema if order.schema.find(name) is None]
    if not lost:
        return
    format = get_format(order.source_format)
    for extent, options in order.extents:
        for file in files_beside(extent.path, format, format.options(**options)):
            if file not in order.beside:
                raise SourceChangedError(
                    f"{file.path}: has appeared, or was changed, since the plan was made, and with it {extent.path} "
                    f"has {', '.join(lost)}; move it away, or put it back as it was, and go on with --resume, or begin "
                    "again with it (--overwrite)"
                )
    raise MigrationError(
        f"{found.format}: a source of {order.target} has {', '.join(lost)}, which its first records do not show "
        f"and the plan is without; begin again with --scan --overwrite, which looks at all records while planning"
    )


class PerformWorker:
    """Performs orders, in a worker process."""

    def __init__(self, memory: int) -> None:
        self._performer = Performer(memory)
        self._files: list[str] = []

    def obey(self, job: Json, progress: Callable[[Json], None]) -> Json:
        order = job["order"]
        self._files = get_format(order["target_format"]).files_of(order["target"])
        return {"rows": self._performer.perform(job, lambda rows: progress({"rows": rows})).num_rows}

    def leave(self) -> None:
        self._performer.close()
        discard_left_over(self._files, run_mark())
