"""recordio-bridge index PATH"""

from __future__ import annotations

import argparse

from .. import api
from .options import add_json, add_source_options, counted, source_options
from .terminal import say, say_json

HELP = "write the index of a file: .idx for a .rec, .tfindex (offset and size) for a TFRecord, as DALI reads it"
EXAMPLES = ("recordio-bridge index train.rec --overwrite", "recordio-bridge index train.tfrecord -o train.index")


def add_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a file, or several, as for info")
    parser.add_argument("-o", "--output", metavar="FILE", help="another name for the index of a single file")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an index that is there; keys that only it has are never lost: one that fits the file stays",
    )
    add_source_options(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    written = api.index(
        args.path,
        args.output,
        overwrite=args.overwrite,
        on_bad_record=args.on_bad_record,
        **source_options(args),
    )
    for path, num_rows in written.items():
        if args.json:
            say_json({"index": path, "num_rows": num_rows})
        else:
            say(f"{path}: {counted(num_rows, 'row')}")
    return 0
