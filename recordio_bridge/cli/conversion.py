"""Arguments of the verbs that convert: which columns are written, how, and in which order."""

from __future__ import annotations

import argparse
import os
from typing import Any

from ..presets import OFFSETS
from ..select import split_pairs
from .options import add_memory, add_source_options, source_options


def add_conversion_args(parser: argparse.ArgumentParser) -> None:
    """All of them."""
    parser.add_argument("--shards", type=int, metavar="N", help="write N files: stem-00000-of-0000N.suffix")
    parser.add_argument("--shuffle", action="store_true", help="write the rows in random order: an exact permutation")
    parser.add_argument("--seed", type=int, metavar="N", help="which permutation (default: 0)")
    parser.add_argument(
        "--select",
        action="append",
        metavar="NAME[:DTYPE]=EXPR",
        help="write this column: a field, field[i] or field[a:b], cast where that is exact (float64 to float32 may "
        "round); several may follow (default: all fields)",
    )
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
    add_memory(parser)
    add_source_options(parser)
    _add_preset(parser)
    _add_target(parser)


def conversion_options(args: argparse.Namespace) -> dict[str, Any]:  # Any: the arguments are of many types
    """The same as arguments of api.convert and migrate.run."""
    plain = (
        "select",
        "preset",
        "label_offset",
        "class_names",
        "where",
        "shards",
        "shuffle",
        "seed",
        "verify",
        "memory",
    )
    return {
        **{name: getattr(args, name) for name in (*plain, "on_bad_record", "allow_lossy", "decode", "tfds", "tfmd")},
        "pack": split_pairs(args.pack, "--pack", "FIELD=raw or FIELD=list"),
        "source_options": source_options(args),
        "target_options": split_pairs(args.target_options, "--out", "OPTION=VALUE"),
        "encode": split_pairs(args.encode, "--encode", "FIELD=FORMAT"),
    }


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
    parser.add_argument(
        "--label-offset", type=int, metavar="N", help="add N to the preset's classes (default: 0; detection: 1)"
    )
    parser.add_argument(
        "--class-names", metavar="FILE", help="note what classes are called in the sidecars: a name on each line"
    )
    parser.add_argument(
        "--where", metavar="FIELD", help="leave out rows in which this field is empty (the preset faces: image)"
    )
