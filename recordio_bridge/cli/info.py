"""recordio-bridge info PATH"""

from __future__ import annotations

import argparse
import json

from .. import api
from ..sources import Source
from .options import add_json, add_source_options, counted, source_options

HELP = "show what a file or a set of files holds"
EXAMPLES = ("recordio-bridge info train.rec", "recordio-bridge info 'shards/*.tfrecord' --json")


def add_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a file, a folder, a glob, or the base name of a shard set")
    add_source_options(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    source = Source.open(args.path, source_options(args), args.on_bad_record)
    source.log_doubts(only_alarms=True)
    summary = source.summary(api.log_skipped)
    if args.json:
        content = {
            "path": args.path,
            "format": summary.format,
            "num_rows": summary.num_rows,
            "nbytes": summary.nbytes,
            "files": list(source.paths),
            "schema": summary.schema.to_json(),
            "notes": list(summary.notes),
            "warnings": list(summary.warnings),
        }
        print(json.dumps(content))
        return 0
    print(f"{args.path}: {summary.format}, {counted(summary.num_rows, 'row')}, {counted(summary.nbytes, 'byte')}")
    for field in summary.schema.values():
        print(f"  {field}")
    for note in summary.notes:
        print(f"{'warning' if note in summary.warnings else 'note'}: {note}")
    return 0
