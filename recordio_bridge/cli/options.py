"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ..formats import format_names, get_format
from ..select import split_pairs
from ..sources import option_choices


def add_format_options(parser: argparse.ArgumentParser) -> None:
    """--in."""
    parser.add_argument(
        "--in",
        dest="source_options",
        metavar="OPTION=VALUE",
        action="append",
        default=[],
        help="set an option of the source's format, such as payload=raw (see: recordio-bridge formats)",
    )


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """--in and --on-bad-record."""
    add_format_options(parser)
    parser.add_argument(
        "--on-bad-record",
        choices=("raise", "skip"),
        default="raise",
        help="stop at the first record that cannot be read, or leave such out and report each (default: raise)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def source_options(args: argparse.Namespace) -> dict[str, Any]:  # Any: the values of options, which are checked later
    """What --in says."""
    return {**split_pairs(args.source_options, "--in", "OPTION=VALUE")}


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 row", "1,234 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def print_notes(notes: Sequence[str], warnings: Sequence[str], quiet: bool) -> None:
    """Notes on standard error; where nothing is to be said, still those that are warnings."""
    for note in notes:
        if note in warnings:
            print(f"warning: {note}", file=sys.stderr)
        elif not quiet:
            print(f"note: {note}", file=sys.stderr)


def format_table() -> list[dict[str, Any]]:  # Any: JSON
    """Every format with its suffixes, and its options with the values that they may have: None for any text."""
    table = []
    for name in format_names():
        format = get_format(name)
        options = {field.name: list(option_choices(format, field.name)) or None for field in fields(format.options)}
        table.append({"name": name, "suffixes": list(format.suffixes), "options": options})
    return table
