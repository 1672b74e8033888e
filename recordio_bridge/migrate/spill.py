"""What orders that take rows from everywhere in all sources share, and is made before the first of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import FormatError, MigrationError, SchemaError
from ..paths import join, make_folder, state_of
from ..remote import is_remote
from ..scratch import TemporaryFolder
from ..sources import Source
from ..unpacked import Unpacked, naming_originals
from .bulk_plan import BulkPlan
from .orders import Order
from .perform import check_sources, is_ours, of_original
from .quarantine import Quarantined
from .shared import put_shared
from .shuffled import ShuffledRows
from .state import State


@dataclass(frozen=True, slots=True)
class Spilled:
    """Where all orders of a permutation find what they share, and can read any row of their sources.

    Attributes: folder, where the rows lie in their order (see shuffled.py); shared, the file that says what the orders
    have in common (see Shared), which would else travel with each of them.
    """

    folder: str
    shared: str


@contextmanager
def spilled(plan: BulkPlan, state: State, *, can_unpack: bool) -> Iterator[Spilled | None]:
    """What the orders of a permutation share; None for those that read their sources from begin to end.

    Sources that can only be read from their beginning, or in large runs, are written plain to a folder for as long as
    this lasts. Those that cannot be read cost their own rows: the permutation is that of all rows that were planned.

    Raises:
        SourceChangedError: a source is another file than it was when the plan was made.
    """
    order = plan.orders[0]
    if order.shuffle is None:
        yield None
        return
    source = plan.outputs[0].as_conversion(plan.orders_of(plan.outputs[0])).source
    is_packed = source.is_sequential or _has_runs(source, order)
    if not is_packed and not source.is_remote and not is_remote(state.folder):
        yield _prepared(plan, order, state.folder, {}, _Bad(plan))
        return
    if not can_unpack:
        raise MigrationError(
            f"{source.paths[0]}: compressed and remote sources are written plain for a shuffle, which is done on one "
            "machine: migrate them with --engine local"
        )
    with _room(state) as folder:
        bad = _Bad(plan)
        unpacked = Unpacked(
            source, Path(folder), tuple(order.schema), as_they_are=not is_packed, after_each=bad.unpacked
        )
        yield _prepared(plan, unpacked.order(order), folder, unpacked.originals, bad)


def _has_runs(source: Source, order: Order) -> bool:
    """Whether neighbouring rows must be read together; of those files that can be read at all."""
    for path, options in zip(source.paths, source.options, strict=True):
        with suppress(FormatError, SchemaError, OSError):
            if source.format.run_rows(path, options, order.schema) > 1:
                return True
    return False


def _prepared(plan: BulkPlan, order: Order, folder: str, originals: Mapping[str, str], bad: _Bad) -> Spilled:
    """The rows in their order, and what is shared, in a folder. order: the first one, as it reads its sources."""
    with naming_originals(originals):
        ShuffledRows.of(order, plan.migration.memory, folder, bad.looked_through).close()
    if not originals:  # else they were compared one by one
        check_sources(order.sources)
    known = {number: of_original(each, originals) for number, each in sorted(bad.found.items())}
    return Spilled(folder, put_shared(order, originals, known, folder))


class _Bad:
    """The sources of a permutation that cannot be read, as it is prepared."""

    def __init__(self, plan: BulkPlan) -> None:
        self.found: dict[int, Quarantined] = {}
        self._sources, self._counts = plan.orders[0].sources, plan.counts

    def unpacked(self, number: int, failure: Exception | None) -> None:
        """A source was written plain, or could not be."""
        if failure is None:
            check_sources(self._sources[number : number + 1])
        else:
            self._note(number, failure)

    def looked_through(self, number: int, failure: Exception) -> int:
        """The rows of a source that cannot be looked through."""
        if number not in self.found:  # there is nothing plain of one that is found already
            self._note(number, failure)
        return self._counts[number]

    def _note(self, number: int, failure: Exception) -> None:
        """Keep a source apart; the failure is raised where it is to blame for nothing."""
        source = self._sources[number]
        try:
            state_of(source.path)
        except OSError as err:  # says better why than who reads it
            failure = err
        if is_ours(failure) or not self._counts:
            raise failure
        check_sources([source])
        self.found[number] = Quarantined.of(failure, source.path, "", 0)


@contextmanager
def _room(state: State) -> Iterator[str]:
    """A folder for temporary files: within that of the migration, so that what a killed run left is found."""
    if is_remote(state.folder):
        with TemporaryFolder() as folder:
            yield folder
        return
    folder = join(state.folder, "unpacked")
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
