"""recordio-bridge verify PATH"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from .. import api
from .options import add_json

HELP = "read everything back, and compare it with its manifest where there is one"
EXAMPLES = ("recordio-bridge verify out/train.tfrecord", "recordio-bridge verify out --json")


def add_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a file, a folder, or an output's name")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    report = api.verify(args.path)
    if args.json:
        content = {
            "ok": report.ok,
            "num_rows": report.num_rows,
            "files": report.files,
            "problems": [asdict(problem) for problem in report.problems],
            "notes": report.notes,
        }
        print(json.dumps(content))
        return 0 if report.ok else 3
    for problem in report.problems:
        print(problem)
    for note in report.notes if not args.quiet else []:
        print(f"note: {note}", file=sys.stderr)
    count = len(report.problems)
    verdict = "ok" if report.ok else "1 problem" if count == 1 else f"{count} problems"
    print(f"{args.path}: {verdict}, {report.num_rows:,} rows in {len(report.files)} files")
    return 0 if report.ok else 3
