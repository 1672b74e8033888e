"""recordio-bridge formats"""

from __future__ import annotations

import argparse

from .options import add_json, format_table
from .terminal import say, say_json

HELP = "list the formats with their suffixes and options"
EXAMPLES = ("recordio-bridge formats", "recordio-bridge formats --json")


def add_args(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    table = format_table()
    if args.json:
        say_json(table)
        return 0
    for row in table:
        say(f"{row['name']:<10} {' '.join(row['suffixes'])}")
        for option, values in row["options"].items():
            shown = "TEXT" if values is None else "|".join(value or "''" for value in values)
            say(f"{'':<10}   {option}={shown}")
    return 0
