"""recordio-bridge info PATH"""

from __future__ import annotations

import argparse
import shlex
from collections import Counter

from .. import api
from ..errors import SchemaError
from ..formats.arrays import ArrayFormat, Content
from ..parsing import parse_function
from ..paths import nbytes_of
from ..sources import Source
from .options import add_json, add_source_options, counted, source_options
from .terminal import say, say_json

HELP = "show what a file or a set of files holds"
EXAMPLES = (
    "recordio-bridge info train.rec --json",
    "recordio-bridge info train.tfrecord --parse-fn",
)


def add_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a file, a folder, a glob, or the base name of a shard set")
    add_source_options(parser)
    add_json(parser)
    parser.add_argument(
        "--parse-fn",
        action="store_true",
        help="print the Python function that parses this TFRecord in TensorFlow, and nothing else",
    )


def run(args: argparse.Namespace) -> int:
    source = Source.open(args.path, source_options(args), args.on_bad_record)
    source.log_doubts(only_alarms=True)
    if args.parse_fn:
        for line in _parse_function(source).removesuffix("\n").split("\n"):
            say(line)
        return 0
    try:
        summary = source.summary(api.log_skipped)
    except SchemaError:
        if not isinstance(source.format, ArrayFormat):
            raise
        _show_arrays(args, source, source.format)
        return 0
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
            "preset": summary.preset,
        }
        say_json(content)
        return 0
    say(f"{args.path}: {summary.format}, {counted(summary.num_rows, 'row')}, {counted(summary.nbytes, 'byte')}")
    for field in summary.schema.values():
        say(f"  {field}")
    if summary.preset is not None:
        say(f"preset: {summary.preset} fits (convert --preset {summary.preset}; add --explain to see what it selects)")
    for note in summary.notes:
        say(f"{'warning' if note in summary.warnings else 'note'}: {note}")
    return 0


def _show_arrays(args: argparse.Namespace, source: Source, format: ArrayFormat) -> None:
    """What lies in files of arrays that make no table, and how to choose what makes one."""
    files = [
        (path, *format.contents(path, options)) for path, options in zip(source.paths, source.options, strict=True)
    ]
    if args.json:
        content = {
            "path": args.path,
            "format": format.name,
            "num_rows": None,
            "nbytes": sum(map(nbytes_of, source.paths)),
            "files": list(source.paths),
            "schema": None,
            "notes": list(dict.fromkeys(note for *_, notes in files for note in notes)),
            "arrays": [{"path": path, **_array_json(each)} for path, contents, _ in files for each in contents],
        }
        say_json(content)
        return
    for path, contents, notes in files:
        say(f"{path}: {format.name}, {counted(nbytes_of(path), 'byte')}, of these arrays:")
        for each in contents:
            say(
                f"  {each.name}: {each.reason}"
                if each.field is None
                else f"  {each.field}, {counted(each.num_rows, 'row')}"
            )
        rows = Counter(each.num_rows for each in contents if each.field is not None)
        if rows:
            most = rows.most_common(1)[0][0]
            names = [each.name for each in contents if each.field is not None and each.num_rows == most]
            chosen = shlex.join(f"{name}={name}" for name in names)
            say(f"They make no table together; choose some of as many rows: --select {chosen} (fields= in Python)")
        for note in notes:
            say(f"note: {note}")


def _array_json(content: Content) -> dict[str, object]:
    if content.field is None:
        return {"name": content.name, "reason": content.reason}
    return {"name": content.name, "field": content.field.to_json(), "num_rows": content.num_rows}


def _parse_function(source: Source) -> str:
    """What --parse-fn prints."""
    schema, name = source.schema(), source.paths[0]
    payloads = {source.format.payload(options, schema) for options in source.options}
    if source.format.name != "tfrecord" or payloads != {"example"}:
        raise SchemaError(f"{name}: is no TFRecord of tf.train.Examples, which --parse-fn is for; convert it to one")
    compressions = {options.compression for options in source.options}
    if len(compressions) > 1:
        raise SchemaError(f"{name}: is not compressed as the other files are, and TensorFlow reads one kind at a time")
    return parse_function(schema, name, compressions.pop())
