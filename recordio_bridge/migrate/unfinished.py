"""Folders in which migrations keep their state until they are done, as those see them who come across one."""

from __future__ import annotations

import os

from ..paths import exists, is_folder, join

SUFFIX = ".unfinished"
PLAN, LOCK = "plan.jsonl", "lock"


def is_unfinished(folder: str) -> bool:
    """Whether a migration keeps its state here, or did when it was killed; what else there is in it is no data."""
    if not folder.endswith(SUFFIX):
        return False
    return any(exists(path) and not is_folder(path) for path in (join(folder, PLAN), join(folder, LOCK)))


def state_around(path: str, root: str) -> str | None:
    """The folder below root in which such a state is kept, and that a path is, or lies in; None where there is none."""
    while len(path) > len(root):
        if is_unfinished(path):
            return path
        path = os.path.dirname(path)
    return None
