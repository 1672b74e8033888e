"""The formats: one literal table, loaded when they are used.

Other packages add theirs through the entry-point group `recordio_bridge.formats`, each naming an object that is a
formats.base.Format; a name or suffix that is taken here stays ours.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from ..errors import UnknownFormatError
from ..files import COMPRESSED_SUFFIXES, compression_of, inflate_head
from ..rangefile import open_file
from ..shards import parse_shard
from .base import Format

_TABLE = {  # name: (what messages and --to call it, suffixes, "module:object", bytes without which it is not asked)
    "hdf5": ("h5", (".h5", ".hdf5"), "recordio_bridge.formats.hdf5:FORMAT", b"\x89HDF\r\n\x1a\n"),
    "insightface": ("bin", (), "recordio_bridge.formats.insightface:FORMAT", b""),
    "npy": ("npy", (".npy",), "recordio_bridge.formats.npy:FORMAT", b"\x93NUMPY"),
    "npz": ("npz", (".npz",), "recordio_bridge.formats.npz:FORMAT", b"PK"),
    "recordio": ("rec", (".rec",), "recordio_bridge.formats.recordio:FORMAT", b""),
    "tfrecord": ("tfrecord", (".tfrecord", ".tfrecords"), "recordio_bridge.formats.tfrecord:FORMAT", b""),
}
_GROUP = "recordio_bridge.formats"
_HEAD = 4096  # bytes that decide what a file is


@cache
def _outside() -> dict[str, Format]:
    return {entry.name: entry.load() for entry in entry_points(group=_GROUP) if entry.name not in _TABLE}


def format_names() -> list[str]:
    """The names of all formats, sorted."""
    return sorted([*_TABLE, *_outside()])


def target_names() -> list[str]:
    """What formats that can be written are called for short, sorted."""
    ours = [short for short, suffixes, _, _ in _TABLE.values() if suffixes]
    return sorted([*ours, *(name for name, format in _outside().items() if format.suffixes)])


def get_format(name: str) -> Format:
    """The format of this name, or of this short name (rec).

    Raises:
        UnknownFormatError: there is none.
    """
    for full, (short, _, target, _) in _TABLE.items():
        if name in (full, short):
            module, _, attribute = target.partition(":")
            found: Format = getattr(import_module(module), attribute)
            return found
    if name in _outside():
        return _outside()[name]
    raise UnknownFormatError(f"there is no format {name!r}; there are {', '.join(format_names())}")


def _by_suffix(path: str) -> Format | None:
    shard = parse_shard(path)
    name = os.path.basename(path if shard is None else shard.output)
    stem, last = os.path.splitext(name)
    plain = stem if last in COMPRESSED_SUFFIXES else name
    for full, (_, suffixes, _, _) in _TABLE.items():
        if plain.endswith(suffixes):
            return get_format(full)
    for outside in _outside().values():
        if name.endswith(outside.suffixes):
            return outside
    return None


def is_called_as_data(path: str) -> bool:
    """Whether a suffix names a format."""
    return _by_suffix(path) is not None


def format_of_target(path: str) -> Format:
    """The format that a target's suffix names.

    Raises:
        UnknownFormatError: none has this suffix.
    """
    found = _by_suffix(path)
    if found is None:
        raise UnknownFormatError(f"{path}: the suffix names no format; known are {', '.join(_all_suffixes())}")
    return found


def format_of_source(path: str) -> Format:
    """The format of a file by its content, also inside gzip and zlib; by its suffix where it is empty or damaged.

    Raises:
        UnknownFormatError: neither tells.
    """
    with open_file(path) as file:
        head = file.read(_HEAD) or b""
    compression = compression_of(head)
    for begins in (head, inflate_head(head, compression, _HEAD) if compression else b""):
        for name in _asked(begins):
            candidate = get_format(name)
            if candidate.sniff(begins):
                return candidate
    by_suffix = _by_suffix(path)
    if by_suffix is None:
        seen = f"it begins with {head[:8].hex(' ')}" if head else "it is empty"
        raise UnknownFormatError(
            f"{path}: no format fits its content ({seen}) or its suffix; known are {', '.join(_all_suffixes())}",
            path=path,
        )
    return by_suffix


def _asked(begins: bytes) -> list[str]:
    """The formats that may know a file by its first bytes; those whose mark stands further in are asked last.

    HDF5's may stand behind a block of the user's own: a record, or an array, can hold a whole HDF5 file just there.
    """
    marks = {name: mark for name, (_, _, _, mark) in _TABLE.items()}
    # one without its mark is not even loaded: h5py takes longer than the rest together
    names = [name for name in format_names() if marks.get(name, b"") in begins]
    return sorted(names, key=lambda name: not begins.startswith(marks.get(name, b"")))


def _all_suffixes() -> list[str]:
    ours = [suffix for _, suffixes, _, _ in _TABLE.values() for suffix in suffixes]
    return sorted({*ours, *(suffix for outside in _outside().values() for suffix in outside.suffixes)})
