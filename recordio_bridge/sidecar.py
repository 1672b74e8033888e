"""The schema sidecar: what an output's columns are, beside the output.

A sidecar is believed only for the files that it names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import FormatError, SchemaError
from .files import Pending, pending_file
from .schema import Schema
from .shards import schema_path, sidecar_candidates

_VERSION = 1
_LARGEST = 1 << 26  # bytes; a sidecar beyond that was not written by us


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The schema of some files, and for a .rec the payload that holds it."""

    path: str
    files: tuple[str, ...]
    schema: Schema
    payload: str | None = None


def make_sidecar(output: str, files: Sequence[str], schema: Schema, payload: str | None) -> Pending:
    """The sidecar of an output, waiting for its name. files are beside it."""
    content = {
        "recordio_bridge": _VERSION,
        "files": [os.path.basename(file) for file in files],
        "payload": payload,
        "schema": schema.to_json(),
    }
    return pending_file(schema_path(output), (json.dumps(content, indent=1) + "\n").encode())


def find_sidecar(path: str) -> Sidecar | None:
    """The sidecar that names this file; None where there is none.

    Raises:
        FormatError: a sidecar is there and cannot be read.
    """
    for output in sidecar_candidates(path):
        sidecar = schema_path(output)
        if os.path.exists(sidecar):
            found = read_sidecar(sidecar)
            if os.path.basename(path) in found.files:
                return found
    return None


def read_sidecar(path: str) -> Sidecar:
    """Read and check one sidecar."""
    content = read_json(path, _LARGEST)
    problem = FormatError(
        f"{path}: not a schema sidecar of recordio_bridge, version {_VERSION}; remove it, or pass schema=", path=path
    )
    if not isinstance(content, dict) or content.get("recordio_bridge") != _VERSION:
        raise problem
    files, payload = content.get("files"), content.get("payload")
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise problem
    if payload not in (None, "image", "raw", "example"):
        raise problem
    try:
        return Sidecar(path, tuple(files), Schema.from_json(content.get("schema")), payload)
    except SchemaError as err:
        raise FormatError(f"{path}: {err}", path=path) from err


def read_json(path: str, most: int) -> object:
    """The content of a JSON file of at most so many bytes; FormatError where it is none."""
    size = os.path.getsize(path)
    if size > most:
        raise FormatError(f"{path}: {size} bytes, expected at most {most}", path=path)
    with open(path, "rb") as file:
        data = file.read()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise FormatError(f"{path}: not JSON: {err}", path=path) from err
