"""Files that belong to data files, and hold no rows: indexes, lists, and what we and other programs write beside."""

from __future__ import annotations

from .tfds import DATASET_INFO, FEATURES

FINISHED = ".migration.json"
"""Ends the name of what says that a migration is done."""
_NAMES = (FEATURES, DATASET_INFO, "property")
_ENDINGS = (
    ".idx",
    ".tfindex",
    ".lst",
    ".property",
    ".labels.txt",
    ".schema.json",
    ".schema.pbtxt",
    ".manifest.json",
    FINISHED,
    ".quarantine.jsonl",
)


def is_companion(name: str) -> bool:
    """Whether a file of this name is read, or made anew, with the data beside it."""
    return name in _NAMES or name.endswith(_ENDINGS)
