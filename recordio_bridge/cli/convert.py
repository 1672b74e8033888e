"""recordio-bridge convert SRC DST"""

from __future__ import annotations

import argparse
import shlex
import sys
from itertools import groupby
from typing import TYPE_CHECKING

from .. import api
from ..formats.base import ALARM
from ..presets import explained, misfit
from ..shards import manifest_path
from ..sources import Source
from .conversion import add_conversion_args, conversion_options
from .options import add_json, counted, print_notes, source_options
from .terminal import say, say_json, tell

if TYPE_CHECKING:
    from ..migrate.ledger import Manifest

_SHOWN = 20  # records that were left out, for people
HELP = "convert a file or a set of files to the format that the target's suffix names"
EXAMPLES = (
    "recordio-bridge convert train.rec train.tfrecord --shards 64 --shuffle --seed 1",
    "recordio-bridge convert train.rec train.tfrecord --preset imagenet --select 'image/class/label:int64=label[0]'",
)


def add_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "src", metavar="SRC", nargs="?", help="a file, a folder, a glob, or the base name of a shard set"
    )
    parser.add_argument("dst", metavar="DST", nargs="?", help="the output; its suffix names the format")
    add_conversion_args(parser)
    parser.add_argument("--explain", action="store_true", help="show what the preset selects (of SRC), and do nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier output")
    add_json(parser)


def _explain(args: argparse.Namespace) -> int:
    """Print the selection of a preset as the arguments that say the same."""
    if args.preset is None:
        raise ValueError("--explain shows a preset: name it with --preset")
    source = None if args.src is None else Source.open(args.src, source_options(args), args.on_bad_record)
    select, where = explained(args.preset, source, args.label_offset, args.select, args.where)
    unfit = None if source is None else misfit(source, select, where)
    if unfit is not None:
        tell(f"warning: the preset {args.preset} does not fit the first rows: {unfit}")
    if args.json:
        say_json({"preset": args.preset, "select": select, "where": where})
        return 0
    for name, expression in select.items():
        say(f"--select {shlex.quote(f'{name}={expression}')}")
    if where is not None:
        say(f"--where {shlex.quote(where)}")
    return 0


def run(args: argparse.Namespace) -> int:
    if args.explain:
        return _explain(args)
    if args.src is None or args.dst is None:
        raise ValueError("convert takes SRC and DST; only --explain goes without them")
    manifest = api.convert(
        args.src,
        args.dst,
        overwrite=args.overwrite,
        workers=args.workers,
        progress=not args.quiet and sys.stderr.isatty(),
        **conversion_options(args),
    )
    _print_left_out(manifest)
    notes = [note for note in manifest.notes if ALARM not in note]  # which was logged before the work began
    print_notes(notes, manifest.warnings, args.quiet)
    if args.json:
        say_json({"files": manifest.files, **manifest.to_json()})
    else:
        _print_files(manifest)
    return 0


def _print_left_out(manifest: Manifest) -> None:
    """Say which records and rows are not in the output, and why."""
    for path, ranges in groupby(manifest.skipped[:_SHOWN], lambda skipped: skipped.path):
        tell(f"left out of {path}:")
        for skipped in ranges:
            tell(f"  {skipped.where}: {skipped.reason}")
    if len(manifest.skipped) > _SHOWN:
        more = len(manifest.skipped) - _SHOWN
        tell(f"  and {more:,} more; {manifest_path(manifest.output)} lists all")
    for reason, rows in manifest.left_out.items():
        tell(f"left out {counted(rows, 'row')}: {reason}")


def _print_files(manifest: Manifest) -> None:
    """A line for each file that was written, in the order of manifest.files."""
    files = iter(manifest.files)
    for shard in manifest.shards:
        say(f"{next(files)}: {counted(shard.num_rows, 'row')}, {counted(shard.nbytes, 'byte')}")
        for companion in shard.companions:
            say(f"{next(files)}: its index, {counted(companion.nbytes, 'byte')}")
    for each in manifest.neighbours:
        say(f"{next(files)}: {counted(each.nbytes, 'byte')}")
    say(f"{next(files)}: {counted(len(manifest.schema), 'column')}")
    say(f"{next(files)}: {counted(manifest.num_rows, 'row')}, verified: {manifest.verified}")
