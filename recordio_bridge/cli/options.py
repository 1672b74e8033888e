"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from typing import Any

from ..formats import format_names, get_format
from ..select import split_pairs
from ..sources import option_choices
from .terminal import tell


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


def add_memory(parser: argparse.ArgumentParser) -> None:
    """--memory."""
    parser.add_argument(
        "--memory",
        type=parse_nbytes,
        default=1 << 30,
        metavar="SIZE",
        help="what a shuffle may take, in all processes together, such as 512MiB (default: 1GiB)",
    )


def parse_nbytes(text: str) -> int:
    """The bytes of a size: "1GiB" is 1024 MiB, "64MB" 64,000,000 bytes, "1.5k" 1,500; a number alone is of bytes.

    Raises:
        argparse.ArgumentTypeError: it is no size, or no whole number of bytes.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(?:([kmgtp])(i)?)?b?", text.strip(), re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected such as 1GiB, 256MiB, 64MB or 65536")
    number, prefix, binary = found.groups()
    nbytes = Fraction(number) * (1024 if binary else 1000) ** (" kmgtp".index(prefix.lower()) if prefix else 0)
    if nbytes.denominator != 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of bytes")
    return int(nbytes)


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
            tell(f"warning: {note}")
        elif not quiet:
            tell(f"note: {note}")


def format_table() -> list[dict[str, Any]]:  # Any: JSON
    """Every format with its suffixes, and its options with the values that they may have: None for any text."""
    table = []
    for name in format_names():
        format = get_format(name)
        options = {field.name: list(option_choices(format, field.name)) or None for field in fields(format.options)}
        table.append({"name": name, "suffixes": list(format.suffixes), "options": options})
    return table
