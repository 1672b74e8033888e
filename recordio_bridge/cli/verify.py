"""recordio-bridge verify PATH"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from .. import api
from .options import add_format_options, add_json, counted, print_notes, source_options
from .terminal import say, say_json

HELP = "read everything back, and compare it with its manifest where there is one"
EXAMPLES = ("recordio-bridge verify out/train.tfrecord", "recordio-bridge verify out --json")


def add_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a file, a folder, or an output's name")
    add_format_options(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    report = api.verify(args.path, **source_options(args))
    if args.json:
        content = {
            "ok": report.ok,
            "complete": report.is_complete,
            "num_rows": report.num_rows,
            "files": report.files,
            "problems": [asdict(problem) for problem in report.problems],
            "notes": report.notes,
            "warnings": report.warnings,
        }
        say_json(content)
        return 0 if report.ok else 3
    for problem in report.problems:
        say(str(problem))
    print_notes(report.notes, report.warnings, args.quiet)
    verdict = "ok" if report.ok else counted(len(report.problems), "problem")
    missing = "" if report.is_complete else "; INCOMPLETE: not all rows of the sources are in it"
    say(f"{args.path}: {verdict}, {counted(report.num_rows, 'row')} in {counted(len(report.files), 'file')}{missing}")
    return 0 if report.ok else 3
