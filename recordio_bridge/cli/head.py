"""recordio-bridge head PATH [-n N]"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from .. import api
from ..batch import Row
from ..formats.base import OnBadRecord
from ..sources import Source, expand
from .options import add_json, add_source_options, source_options
from .terminal import say, say_json

HELP = "show the first rows"
EXAMPLES = ("recordio-bridge head train.rec", "recordio-bridge head train.tfrecord -n 3 --json")
_SHOWN = 12  # values of a list, or bytes, that fit a line


def add_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a file, a folder, a glob, or the base name of a shard set")
    parser.add_argument("-n", type=int, default=10, metavar="N", help="how many rows (default: 10)")
    add_source_options(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    if args.n < 0:
        raise ValueError(f"-n {args.n}: expected 0 or more")
    rows = _rows(expand(args.path), source_options(args), args.on_bad_record, args.n)
    for number, row in enumerate(islice(rows, args.n)):
        if args.json:
            say_json({name: _as_json(value) for name, value in row.items()})
        else:
            say(f"{number}: " + "  ".join(f"{name}={_as_text(value)}" for name, value in row.items()))
    return 0


def _rows(
    paths: Sequence[str], options: Mapping[str, object], on_bad_record: OnBadRecord, most: int
) -> Iterator[dict[str, Row]]:
    """The rows of these files. Read one by one, and with the schema of the first: what comes behind may be damaged."""
    for path in paths:
        source = Source.open([path], options, on_bad_record)
        source.log_doubts()
        schema = source.format.glance(path, source.options[0], most)
        for batch in source.read(schema, 1, api.log_skipped):
            yield batch.row(0)


def _as_text(value: Row) -> str:
    if isinstance(value, bytes):
        shown = value[:_SHOWN]
        if len(value) <= 4 * _SHOWN and value.isascii() and value.decode().isprintable():
            return repr(value)
        return f"<{len(value):,} bytes: {shown.hex(' ')}{' ...' if len(value) > len(shown) else ''}>"
    if isinstance(value, list):
        return f"[{', '.join(map(_as_text, value[:_SHOWN]))}{', ...' if len(value) > _SHOWN else ''}]"
    flat = np.asarray(value).reshape(-1)
    if np.ndim(value) == 0:
        return str(value)
    shape = f" {'x'.join(map(str, np.shape(value)))}" if np.ndim(value) > 1 else ""
    more = f", ... {flat.size} values" if flat.size > _SHOWN else ""
    return f"[{', '.join(map(str, flat[:_SHOWN].tolist()))}{more}]{shape}"


def _as_json(value: Row) -> object:
    """Numbers as they are; bytes as their size and hexadecimal digits."""
    if isinstance(value, bytes):
        return {"nbytes": len(value), "hex": value.hex()}
    if isinstance(value, list):
        return [_as_json(member) for member in value]
    return _finite(np.asarray(value).tolist())


def _finite(value: object) -> object:
    """Numbers that JSON knows; others, nan and inf, as texts."""
    if isinstance(value, list):
        return [_finite(member) for member in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
