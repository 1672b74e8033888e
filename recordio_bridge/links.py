"""Targets that are links: what is beside the file that they lead to would tell of the rows before."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .formats.base import Format
from .remote import is_remote
from .shards import manifest_path, schema_path, sidecar_candidates
from .temporary import place_of


def refuse_rests(format: Format, targets: Iterable[str]) -> None:
    """ValueError where a target is a link to a file that has others beside it: they would tell of the rows before."""
    for target in targets:
        place = place_of(target)
        if place == target or is_remote(target):
            continue
        ours = {place_of(file) for file in _with_sidecars(format, target)}
        rest = next(
            (file for file in _with_sidecars(format, place) if file not in ours and os.path.lexists(file)), None
        )
        if rest is not None:
            raise ValueError(
                f"{target}: leads to {place}, and {rest} is beside that, which would tell of the rows that were there "
                f"before; give {place} itself as the output"
            )


def _with_sidecars(format: Format, target: str) -> list[str]:
    sidecars = [path for output in sidecar_candidates(target) for path in (manifest_path(output), schema_path(output))]
    return [*format.files_of(target), *sidecars]
