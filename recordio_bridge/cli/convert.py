"""recordio-bridge convert SRC DST"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from itertools import groupby
from typing import TYPE_CHECKING, cast

from .. import api
from ..formats.base import ALARM
from ..presets import OFFSETS, explained, misfit
from ..select import split_pairs
from ..shards import manifest_path
from ..sources import Source
from .options import add_json, add_source_options, counted, print_notes, source_options

if TYPE_CHECKING:
    from ..migrate.ledger import Manifest
    from ..schema import Packing

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
    parser.add_argument("--shards", type=int, metavar="N", help="write N files: stem-00000-of-0000N.suffix")
    parser.add_argument("--shuffle", action="store_true", help="write the rows in random order: an exact permutation")
    parser.add_argument("--seed", type=int, metavar="N", help="which permutation (default: 0)")
    parser.add_argument(
        "--select",
        action="append",
        metavar="NAME[:DTYPE]=EXPR",
        help="write this column: a field, field[i] or field[a:b], cast where that is exact; several may follow "
        "(default: all fields)",
    )
    _add_preset(parser)
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes that write shards (default: all cores)",
    )
    parser.add_argument(
        "--verify",
        choices=("content", "counts", "none"),
        default="content",
        help="read everything back from disk and compare it, only count it, or trust the disk (default: content)",
    )
    add_source_options(parser)
    _add_target(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier output")
    add_json(parser)


def _add_target(parser: argparse.ArgumentParser) -> None:
    """Arguments about what becomes of columns on the way, and what is written beside them."""
    parser.add_argument(
        "--out",
        dest="target_options",
        metavar="OPTION=VALUE",
        action="append",
        default=[],
        help="set an option of the target's format, such as compression=GZIP",
    )
    parser.add_argument(
        "--allow-lossy",
        action="append",
        default=[],
        metavar="FIELD",
        help="allow values of this column to change where the target cannot hold them",
    )
    parser.add_argument(
        "--pack",
        action="append",
        default=[],
        metavar="FIELD=raw|list",
        help="store this column's tensors as bytes or as a list",
    )
    parser.add_argument(
        "--decode",
        action="append",
        default=[],
        metavar="FIELD[=gray|rgb|rgba]",
        help="decode this column's images to arrays, uint8 (height, width, channels); all must have one size",
    )
    parser.add_argument(
        "--encode",
        action="append",
        default=[],
        metavar="FIELD=png|jpeg:95",
        help="encode this column's arrays as images; JPEG changes pixels. A field that is no column of the output is "
        "encoded before presets and functions look at it",
    )
    parser.add_argument(
        "--tfds",
        metavar="NAME:VERSION[:SPLIT]",
        help="write a split (default: train) of a dataset for tensorflow_datasets; DST is then its folder",
    )
    parser.add_argument("--tfmd", action="store_true", help="write DST.schema.pbtxt, for TensorFlow Data Validation")


def _add_preset(parser: argparse.ArgumentParser) -> None:
    """Arguments about ready selections."""
    parser.add_argument(
        "--preset",
        choices=sorted(OFFSETS),
        help="write the columns that training code expects; --select replaces those of the same name, and adds others",
    )
    parser.add_argument("--explain", action="store_true", help="show what the preset selects (of SRC), and do nothing")
    parser.add_argument(
        "--label-offset", type=int, metavar="N", help="add N to the preset's classes (default: 0; detection: 1)"
    )
    parser.add_argument(
        "--class-names", metavar="FILE", help="note what classes are called in the sidecars: a name on each line"
    )
    parser.add_argument(
        "--where", metavar="FIELD", help="leave out rows in which this field is empty (the preset faces: image)"
    )


def _explain(args: argparse.Namespace) -> int:
    """Print the selection of a preset as the arguments that say the same."""
    if args.preset is None:
        raise ValueError("--explain shows a preset: name it with --preset")
    source = None if args.src is None else Source.open(args.src, source_options(args), args.on_bad_record)
    select, where = explained(args.preset, source, args.label_offset, args.select, args.where)
    unfit = None if source is None else misfit(source, select, where)
    if unfit is not None:
        print(f"warning: the preset {args.preset} does not fit the first rows: {unfit}", file=sys.stderr)
    if args.json:
        print(json.dumps({"preset": args.preset, "select": select, "where": where}))
        return 0
    for name, expression in select.items():
        print(f"--select {shlex.quote(f'{name}={expression}')}")
    if where is not None:
        print(f"--where {shlex.quote(where)}")
    return 0


def run(args: argparse.Namespace) -> int:
    if args.explain:
        return _explain(args)
    if args.src is None or args.dst is None:
        raise ValueError("convert takes SRC and DST; only --explain goes without them")
    manifest = api.convert(
        args.src,
        args.dst,
        select=args.select,
        preset=args.preset,
        label_offset=args.label_offset,
        class_names=args.class_names,
        where=args.where,
        shards=args.shards,
        shuffle=args.shuffle,
        seed=args.seed,
        workers=args.workers,
        verify=args.verify,
        on_bad_record=args.on_bad_record,
        overwrite=args.overwrite,
        progress=not args.quiet and sys.stderr.isatty(),
        allow_lossy=args.allow_lossy,
        pack=cast("dict[str, Packing]", split_pairs(args.pack, "--pack", "FIELD=raw or FIELD=list")),
        source_options=source_options(args),
        target_options=split_pairs(args.target_options, "--out", "OPTION=VALUE"),
        decode=args.decode,
        encode=split_pairs(args.encode, "--encode", "FIELD=FORMAT"),
        tfds=args.tfds,
        tfmd=args.tfmd,
    )
    _print_left_out(manifest)
    notes = [note for note in manifest.notes if ALARM not in note]  # which was logged before the work began
    print_notes(notes, manifest.warnings, args.quiet)
    if args.json:
        print(json.dumps({"files": manifest.files, **manifest.to_json()}))
    else:
        _print_files(manifest)
    return 0


def _print_left_out(manifest: Manifest) -> None:
    """Say which records and rows are not in the output, and why."""
    for path, ranges in groupby(manifest.skipped[:_SHOWN], lambda skipped: skipped.path):
        print(f"left out of {path}:", file=sys.stderr)
        for skipped in ranges:
            print(f"  {skipped.where}: {skipped.reason}", file=sys.stderr)
    if len(manifest.skipped) > _SHOWN:
        more = len(manifest.skipped) - _SHOWN
        print(f"  and {more:,} more; {manifest_path(manifest.output)} lists all", file=sys.stderr)
    for reason, rows in manifest.left_out.items():
        print(f"left out {counted(rows, 'row')}: {reason}", file=sys.stderr)


def _print_files(manifest: Manifest) -> None:
    """A line for each file that was written, in the order of manifest.files."""
    files = iter(manifest.files)
    for shard in manifest.shards:
        print(f"{next(files)}: {counted(shard.num_rows, 'row')}, {counted(shard.nbytes, 'byte')}")
        for companion in shard.companions:
            print(f"{next(files)}: its index, {counted(companion.nbytes, 'byte')}")
    for each in manifest.neighbours:
        print(f"{next(files)}: {counted(each.nbytes, 'byte')}")
    print(f"{next(files)}: {counted(len(manifest.schema), 'column')}")
    print(f"{next(files)}: {counted(manifest.num_rows, 'row')}, verified: {manifest.verified}")
