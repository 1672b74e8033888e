"""The JSON that lies beside outputs: schema sidecars, manifests, and what a migration says in the end.

Each has the CRC-32C of all else that it says: what a disk or an editor changed is as sound JSON as before, and hides a
column, or rows. One without it, such as a sidecar written by hand, is believed as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import ne

from . import _kernels
from .errors import FormatError
from .paths import read_bytes

_CHECKSUM = "crc32c"


def as_document(content: Mapping[str, object]) -> bytes:
    """The file that says this, and its checksum."""
    return (json.dumps({**content, _CHECKSUM: _crc_of(content)}, indent=1) + "\n").encode()


def read_document(path: str, most: int) -> object:
    """What a file of at most so many bytes says, without its checksum.

    Raises:
        FormatError: it is no JSON, or not what its checksum is of.
    """
    return parse_document(path, read_bytes(path, most))


def parse_document(path: str, data: bytes) -> object:
    """As read_document, of bytes that were read from path."""
    content = parse_json(path, data)
    if not isinstance(content, dict):
        return content
    for key in content:
        if len(key) == len(_CHECKSUM) and sum(map(ne, key, _CHECKSUM)) == 1:  # else a letter would turn the check off
            raise FormatError(
                f"{path}: damaged or edited: it has {key!r} where {_CHECKSUM!r} was written; put it back as it was "
                "written, or take that out of it to have it believed",
                path=path,
            )
    if _CHECKSUM in content:
        known, crc = content.pop(_CHECKSUM), _crc_of(content)
        if known != crc:
            raise FormatError(
                f"{path}: damaged or edited: its {_CHECKSUM!r} is {known!r:.40}, and what it says has {crc}; "
                f"put it back as it was written, or take {_CHECKSUM!r} out of it to have the change believed",
                path=path,
            )
    return content


def read_json(path: str, most: int) -> object:
    """The content of a JSON file of at most so many bytes; FormatError where it is none."""
    return parse_json(path, read_bytes(path, most))


def parse_json(path: str, data: bytes | str) -> object:
    """What a JSON text holds; path is where it was read. FormatError where it is none, or nested beyond all sense."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise FormatError(f"{path}: not JSON: {err}", path=path) from err


def _crc_of(content: Mapping[str, object]) -> int:
    """Of the values and their order, and not of the spaces and lines between them."""
    return _kernels.crc32c(json.dumps(content, separators=(",", ":")).encode())
