"""From many files to many files: a plan, its orders, and the proof that they were done.

    import recordio_bridge as rb

    plan = rb.migrate.plan("old/", "new/", to="tfrecord")             # a look at what would be done
    outcome = rb.migrate.run("old/", "new/", to="tfrecord", resume=True, on_event=print)
    report = rb.migrate.verify("new/")

gather.py finds the sources, scout.py looks at each, assembly.py makes Orders of that, perform.py does one, state.py
keeps the receipts, conclude.py writes the manifests. planning.py plans a conversion, a migration of one source.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from typing import Unpack

    from ..formats.base import OnBadRecord
    from ..schema import Packing
    from ..sources import SourceArgument
    from .bulk_plan import BulkPlan
    from .conclude import Outcome
    from .engines import Event
    from .findings import Report
    from .migration import Migration
    from .wishes import Verify

WORKER_VERB = "_work"


class Options(TypedDict, total=False):
    """What plan and run take beside sources, out and to.

    name: the stem of the files in out (default: the name of that folder).
    shard_bytes: about how large they shall be (default: 256 MiB); or shards: how many. Big sources are cut, small ones
        put together, in their order.
    mirror: one output for each source instead, at the same place in the tree; cut only where shards or shard_bytes say
        so.
    split: "train=0.9,validation=0.1": an output for each, of rows that the seed deals out.
    shuffle, seed: in the order of an exact permutation of all rows.
    memory: bytes that this may take, by all processes together (default: 1 GiB).
    scan: look at every record while planning: exact numbers of rows, and columns that only later records show.

    All others as for convert.
    """

    name: str
    shard_bytes: int | None
    shards: int | None
    mirror: bool
    split: str | None
    shuffle: bool
    seed: int | None
    memory: int
    scan: bool
    select: Mapping[str, str] | Sequence[str] | None
    preset: str | None
    label_offset: int | None
    class_names: str | os.PathLike[str] | Sequence[str] | None
    where: str | None
    verify: Verify
    on_bad_record: OnBadRecord
    allow_lossy: Sequence[str]
    pack: Mapping[str, Packing] | None
    source_options: Mapping[str, object] | None
    target_options: Mapping[str, object] | None
    decode: Mapping[str, str] | Sequence[str]
    encode: Mapping[str, str] | Sequence[str]
    tfds: str | None
    tfmd: bool


def plan(
    sources: SourceArgument,
    out: str | os.PathLike[str],
    *,
    to: str,
    workers: int | None = None,
    on_event: Callable[[Event], None] | None = None,
    **options: Unpack[Options],
) -> BulkPlan:
    """What run would do: .outputs .orders .nbytes .num_rows .output_nbytes .quarantine. Nothing is written.

    Args:
        sources: a file, a folder with all that is in it, a glob; or a list of them.
        out: the folder of the output.
        to: the format: "tfrecord", "rec", "h5", "npz" or "npy".
        workers: processes that look at sources, where there are many; None is 1.
        on_event: called with an Event as it goes on.
        options: see Options.

    Raises:
        FileNotFoundError: a source is not there.
        MigrationError: none of them can be read.
        SchemaError, ValueError: what is asked for does not fit.
    """
    from .beginning import make_plan

    return make_plan(_migration(sources, out, to, options), _count(workers), _called(on_event))


def run(
    sources: SourceArgument,
    out: str | os.PathLike[str],
    *,
    to: str,
    planned: BulkPlan | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    engine: Literal["local", "beam"] = "local",
    engine_arguments: Sequence[str] = (),
    on_event: Callable[[Event], None] | None = None,
    **options: Unpack[Options],
) -> Outcome:
    """Migrate all sources: .manifests .quarantine .is_complete .num_rows .nbytes.

    A bad source costs its own rows only; see .quarantine. What was begun and not ended, by whatever, is finished by the
    same call with resume=True, and then has the same bytes as if nothing had happened.

    Args:
        planned: the plan that plan gave for the same arguments, so that sources are not looked at again.
        resume: go on with what is left of an earlier run, or begin where there was none; what is in quarantine is
            tried again.
        overwrite: begin again, and replace an earlier output.
        workers: processes that write; None is 1.
        engine, engine_arguments: "beam" runs the orders as a pipeline with these arguments, on any of its runners;
            sources and out must be paths that all its workers see.
        others as in plan.

    Raises:
        FileExistsError: an output is there, and neither resume nor overwrite is asked for.
        SourceChangedError: a source is not what it was when the plan was made.
        PlanMismatchError: what was begun had other options.
        MigrationError: another run works on it; a file of another program is in the way; or the engine failed.
        OSError: a target cannot be written. What was done is kept.
    """
    from ..arguments import truth
    from .bulk import migrate
    from .engines import Engine

    resume, overwrite = truth("resume", resume), truth("overwrite", overwrite)
    if resume and overwrite:
        raise ValueError("resume goes on with what is there, overwrite begins again: give one of the two")
    return migrate(
        _migration(sources, out, to, options),
        planned=planned,
        resume=resume,
        overwrite=overwrite,
        workers=_count(workers),
        engine=Engine(engine, tuple(engine_arguments)),
        on_event=_called(on_event),
    )


def verify(out: str | os.PathLike[str]) -> Report:
    """Read all outputs of a migration back and compare them with their manifests: .ok .num_rows .problems.

    What is in quarantine is no problem, but said in .warnings.
    """
    from .check import verify_path

    return verify_path(os.fspath(out), {})


def _migration(
    sources: SourceArgument, out: str | os.PathLike[str], to: str, options: Mapping[str, object]
) -> Migration:
    from .migration import made

    return made(sources, out, to, options)


def _count(workers: int | None) -> int:
    from ..arguments import whole

    return 1 if workers is None else whole("workers", workers, 1)


def _called(on_event: Callable[[Event], None] | None) -> Callable[[Event], None]:
    from .asked import call

    call("on_event", on_event)
    return on_event or _ignore


def _ignore(event: Event) -> None:
    """Where nobody wants to know."""
