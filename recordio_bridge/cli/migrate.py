"""recordio-bridge migrate SRC... OUT"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .. import migrate
from ..arguments import whole
from ..errors import BridgeError
from ..formats import target_names
from ..migrate.asked import checked
from ..paths import free_bytes
from .conversion import add_conversion_args, conversion_options
from .options import add_json, counted, parse_nbytes, print_notes
from .progress import Shown, sized
from .terminal import heeded, say, say_json, tell

if TYPE_CHECKING:
    from ..migrate.bulk_plan import BulkPlan
    from ..migrate.conclude import Outcome
    from ..migrate.quarantine import Quarantined

_SHOWN = 20  # files, or parts in quarantine, for people
HELP = "convert many files, so that what is interrupted can be resumed, into one folder"
EXAMPLES = (
    "recordio-bridge migrate faces/ out/ --to tfrecord --preset faces --shard-bytes 512MiB",
    "recordio-bridge migrate 'old/*.h5' new/ --to tfrecord --mirror --resume",
)


def add_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        metavar="SRC... OUT",
        nargs="*",
        help="files, folders with all that is in them, globs; then the folder to write",
    )
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """All but the paths, which a configuration file may give, too."""
    parser.add_argument(
        "--to", choices=target_names(), metavar="FORMAT", help="the format: tfrecord, rec, h5, npz or npy"
    )
    parser.add_argument("--config", metavar="FILE", help="read options from this .toml; those given here come before")
    parser.add_argument("--name", help="the stem of the files that are written (default: the name of OUT)")
    parser.add_argument(
        "--shard-bytes",
        type=parse_nbytes,
        metavar="SIZE",
        help="write files of about this size, such as 256MiB (the default)",
    )
    parser.add_argument("--mirror", action="store_true", help="write an output for each source, in the same tree")
    parser.add_argument(
        "--split", metavar="NAME=PART,...", help="deal rows out, such as train=0.9,validation=0.1 (see --seed)"
    )
    parser.add_argument(
        "--scan", action="store_true", help="look at every record while planning, not at the first ones"
    )
    parser.add_argument("--plan-only", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument("--resume", action="store_true", help="go on with what an earlier run has left")
    parser.add_argument("--overwrite", action="store_true", help="begin again, and replace an earlier output")
    parser.add_argument(
        "--engine",
        choices=("local", "beam"),
        default="local",
        help="who does the work: processes here, or Apache Beam with the arguments behind -- (default: local)",
    )
    add_conversion_args(parser)
    add_json(parser)


def check_options(args: argparse.Namespace) -> None:
    """TypeError or ValueError where an option cannot be right, whatever the others and the sources are."""
    if args.workers is not None:
        whole("workers", args.workers, 1)
    checked(_options(args))


def run(args: argparse.Namespace) -> int:
    if len(args.paths) < 2:
        raise ValueError("migrate takes SRC... and OUT: what is to be migrated, and the folder to write")
    if args.to is None:
        raise ValueError("migrate takes --to: the format to write, such as --to tfrecord")
    *sources, out = args.paths
    known = {**_options(args), "to": args.to, "workers": args.workers}
    with Shown(quiet=args.quiet) as shown, heeded() as heard:
        if args.plan_only:
            plan = migrate.plan(sources, out, on_event=shown, **known)
            shown.close()
            _print_plan(plan, list(heard.said), args.json)
            return 0
        with _kept(shown):
            outcome = migrate.run(
                sources,
                out,
                resume=args.resume,
                overwrite=args.overwrite,
                engine=args.engine,
                engine_arguments=args.engine_arguments,
                on_event=shown,
                **known,
            )
    _print_outcome(outcome, list(heard.said), args)
    return 0 if outcome.is_complete else 1


@contextmanager
def _kept(shown: Shown) -> Iterator[None]:
    """Say how to go on, where what is done is kept."""
    try:
        yield
    except (BridgeError, ValueError):  # which say what to do
        raise
    except BaseException:
        if shown.is_writing:
            shown.close()
            tell("what is done is kept; the same command with --resume does the rest")
        raise


def _options(args: argparse.Namespace) -> dict[str, Any]:  # Any: the arguments are of many types
    plain = ("shard_bytes", "mirror", "split", "scan")
    named = {} if args.name is None else {"name": args.name}
    return {**conversion_options(args), **{name: getattr(args, name) for name in plain}, **named}


def _print_plan(plan: BulkPlan, said: Sequence[str], as_json: bool) -> None:
    """What would be done: files, rows where they are known, bytes, shards, and whether there is room for them."""
    free = free_bytes(plan.migration.out)
    shards = [(order.target, order.nbytes, order.num_rows or None, len(order.sources)) for order in plan.orders]
    notes = dict.fromkeys(note for output in plan.outputs for note in output.summary.notes)
    warnings = dict.fromkeys(note for output in plan.outputs for note in output.summary.warnings)
    if as_json:
        names = ("file", "source_nbytes", "num_rows", "num_sources")
        content = {
            "sources": len(plan.found),
            "num_rows": plan.num_rows,
            "source_nbytes": plan.nbytes,
            "output_nbytes": plan.output_nbytes,
            "free_nbytes": free,
            "files": [dict(zip(names, shard, strict=True)) for shard in shards],
            "notes": list(notes),
            "warnings": list(dict.fromkeys([*said, *warnings])),
            "quarantine": [asdict(each) for each in plan.quarantine],
        }
        say_json(content)
        return
    rows = "rows not counted" if plan.num_rows is None else counted(plan.num_rows, "row")
    room = "" if free is None else f"; free there: {sized(free)}"
    say(f"sources: {counted(len(plan.found), 'file')}, {rows}, {sized(plan.nbytes)}")
    say(f"output: {counted(len(shards), 'file')} in {plan.migration.out}, about {sized(plan.output_nbytes)}{room}")
    for path, nbytes, num_rows, sources in shards[:_SHOWN]:
        of = "" if num_rows is None else f"{counted(num_rows, 'row')}, "
        name = os.path.relpath(path, plan.migration.out)
        say(f"  {name}: {of}{sized(nbytes)} out of {counted(sources, 'source')}")
    if len(shards) > _SHOWN:
        say(f"  and {len(shards) - _SHOWN:,} more")
    _print_quarantine(plan.quarantine, "cannot be read, and would be left out")
    for warning in warnings:
        tell(f"warning: {warning}")
    if free is not None and plan.output_nbytes > free:
        tell(f"warning: {sized(plan.output_nbytes - free)} more are needed than are free there")


def _print_quarantine(quarantine: Sequence[Quarantined], what: str) -> None:
    if quarantine:
        tell(f"{counted(len(quarantine), 'part')} of the sources {what}:")
    for each in quarantine[:_SHOWN]:
        tell(f"  {each}")
    if len(quarantine) > _SHOWN:
        tell(f"  and {len(quarantine) - _SHOWN:,} more")


def _print_outcome(outcome: Outcome, said: Sequence[str], args: argparse.Namespace) -> None:
    notes = dict.fromkeys(note for manifest in outcome.manifests for note in manifest.notes)
    warnings = dict.fromkeys(note for manifest in outcome.manifests for note in manifest.warnings)
    print_notes(list(notes), list(warnings), args.quiet)
    skipped = {(each.path, each.start, each.stop) for manifest in outcome.manifests for each in manifest.skipped}
    if skipped:  # each part of a split lists all of them
        tell(f"left out {counted(len(skipped), 'damaged place')}; the manifest lists all")
    if args.json:
        content = {
            "complete": outcome.is_complete,
            "num_rows": outcome.num_rows,
            "nbytes": outcome.nbytes,
            "manifests": [manifest.files[-1] for manifest in outcome.manifests],
            "notes": list(notes),
            "warnings": list(dict.fromkeys([*said, *warnings])),
            "skipped": len(skipped),
            "quarantine": [asdict(each) for each in outcome.quarantine],
        }
        say_json(content)
    else:
        for manifest in outcome.manifests[:_SHOWN]:
            files = counted(len(manifest.shards), "file")
            say(f"{manifest.output}: {files}, {counted(manifest.num_rows, 'row')}, {sized(manifest.nbytes)}")
        if len(outcome.manifests) > _SHOWN:
            say(f"and {len(outcome.manifests) - _SHOWN:,} more outputs")
    if outcome.quarantine:
        _print_quarantine(outcome.quarantine, f"{'is' if len(outcome.quarantine) == 1 else 'are'} not in the output")
        if any(each.needs_option for each in outcome.quarantine):
            tell("where an option is the cure, as said there, begin again with it and --overwrite")
        if not all(each.needs_option for each in outcome.quarantine):
            tell("repair them and go on with --resume: only these are tried again")
