"""What whoever deletes the sources of a migration should know of them, and no error is: said while it is planned."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from typing import Any

from ..companions import FINISHED, is_companion
from ..errors import FormatError
from ..paths import folders_in, is_folder, is_readable, join, list_folder, normal, real
from ..remote import is_remote
from ..shards import manifest_path, sidecar_candidates
from ..sources import is_pattern
from .conclude import read_finished
from .gather import Found, folders_of, root_of
from .ours import crcs_of_manifests
from .provenance import folders_up, manifests_of, names_in
from .scout import Scout
from .unfinished import is_unfinished, state_around

_log = logging.getLogger(__name__)

_SHOWN = 5  # names in a remark


def on_found(found: Sequence[Found], inside: Sequence[str], sources: Sequence[str], out: str) -> list[str]:
    """What is to be said of the files that were found, and of those that were passed over; inside: those in out."""
    return [
        *_passed_over(found, sources, out),
        *_not_again(inside, out),
        *_same(found),
        *_written(found),
        *_incomplete(found),
    ]


def on_seen(scouts: Sequence[Scout]) -> list[str]:
    """What is to be said of sources that were looked at."""
    empty = [seen.path for seen in scouts if seen.error is None and seen.is_empty]
    if not empty:
        return []
    return [f"{_counted(empty)} no rows: {_listed(empty)}; filled later, they are others, which --resume refuses"]


def _counted(paths: Sequence[str]) -> str:
    return "1 file holds" if len(paths) == 1 else f"{len(paths):,} files hold"


def _listed(paths: Sequence[str]) -> str:
    more = f", and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more


def _passed_over(found: Sequence[Found], sources: Sequence[str], out: str) -> list[str]:
    taken = {normal(each.path) for each in found}
    place = join(real(out), "")
    others = {
        path: root_of(source)
        for source in sources
        for path in (_others_in(source) if is_folder(source) else _fitting(source))
    }
    states, passed = [], []
    for path, root in others.items():
        if join(real(path), "").startswith(place):
            continue
        if (state := state_around(path.rstrip("/"), root)) is not None:
            states.append(state)
        elif normal(path) not in taken:
            passed.append(path)
    return [*map(_unfinished, dict.fromkeys(states)), *_not_taken(passed)]


def _unfinished(state: str) -> str:
    """Of a state among the sources."""
    return (
        f"{state}: is what a migration keeps that was begun in {os.path.dirname(state) or '.'} and is not done, and is "
        "not taken; what it wrote there is, as any file: finish it first (--resume), or leave its output out, or rows "
        "are taken twice"
    )


def _not_taken(passed: Sequence[str]) -> list[str]:
    if not passed:
        return []
    for path in passed:
        _log.info("not taken: %s", path)
    what = "1 file or folder" if len(passed) == 1 else f"{len(passed):,} files or folders"
    return [
        f"{what} of the sources not taken (hidden, empty, of no known format, or a folder that fits a pattern): "
        f"{_listed(passed)}"
    ]


def _not_again(inside: Sequence[str], out: str) -> list[str]:
    """Of output that the sources stand for, too."""
    if not inside:
        return []
    what = "1 file or folder" if len(inside) == 1 else f"{len(inside):,} files or folders"
    return [f"{what} of the sources not taken, as the output goes to {out}, where they lie: {_listed(inside)}"]


def _others_in(root: str) -> Iterator[str]:
    """All in a folder but what belongs to data files. Of hidden folders, and states of migrations, not what is in them:
    they have a slash behind their names.
    """
    for folder in folders_of(root):
        if not is_readable(folder):
            continue  # which is in quarantine
        inside = set(folders_in(folder))
        for name in list_folder(folder):
            if name in inside:
                if name.startswith(".") or is_unfinished(join(folder, name)):
                    yield join(join(folder, name), "")
            elif not is_companion(name):
                yield join(folder, name)


def _fitting(pattern: str) -> Iterator[str]:
    """All that a pattern fits; with ** in it, what is in folders fits, too."""
    for path in [] if is_remote(pattern) or not is_pattern(pattern) else sorted(glob.glob(pattern, recursive=True)):
        if os.path.isdir(path):
            if "**" not in pattern:
                yield join(path, "")
        elif not is_companion(os.path.basename(path)):
            yield path


def _same(found: Sequence[Found]) -> list[str]:
    """Of files that were found by several names."""
    first: dict[tuple[int, int], str] = {}
    pairs = []
    for each in found:
        try:
            status = None if is_remote(each.path) else os.stat(each.path)
        except OSError:
            continue  # the scout will say why
        if status is not None and (known := first.setdefault((status.st_dev, status.st_ino), each.path)) != each.path:
            pairs.append((each.path, known))
    if not pairs:
        return []
    path, known = pairs[0]
    more = f", as are those of {len(pairs) - 1:,} more" if len(pairs) > 1 else ""
    return [
        f"{path} is the same file as {known}, by a link: its rows are taken twice{more}; leave one of the "
        "two out where they are to be there once"
    ]


def _written(found: Sequence[Found]) -> list[str]:
    """Of files that a manifest beside them names, among others: they may be made of those."""
    written = manifests_of(each.path for each in found)
    if not 0 < len(written) < len(found):
        return []
    path, manifest = next(iter(written.items()))
    what = f"{path} is" if len(written) == 1 else f"{path}, and {len(written) - 1:,} more of the sources, are"
    return [
        f"{what} the output of an earlier conversion (by {manifest}), and taken beside others: where it was made of "
        "those, their rows are taken twice; leave it out by a pattern, or move it away"
    ]


def _incomplete(found: Sequence[Found]) -> list[str]:
    """Of mirrors among the sources that lack an output for some of theirs; what others lack, their sidecars say."""
    said: list[str] = []
    taken = {manifest_path(output) for each in found for output in sidecar_candidates(each.path)}
    for folder in folders_up((each.path, each.path[: -len(each.relative) - 1]) for each in found):
        for name in names_in(folder):
            if name.endswith(FINISHED) and (parts := _lacking(join(folder, name), taken)):
                said.append(
                    f"{join(folder, name)}: the migration that ended here left out {parts:,} of the parts of its "
                    "sources, which are in its quarantine; repair them, and go on with it first (--resume)"
                )
    return said


def _lacking(path: str, taken: Container[str]) -> int:
    """How many parts a mirror left out, of which any is taken (that has one of these manifests)."""
    with suppress(FormatError, OSError):  # damaged, or gone by now: nobody knows
        finished: dict[str, Any] = read_finished(path) or {}  # Any: what a JSON object holds
        if not finished or not finished["asked"]["mirror"]:
            return 0
        is_taken = any(manifest in taken for manifest in crcs_of_manifests(finished, os.path.dirname(path)))
        return len(finished["quarantine"]) if is_taken else 0
    return 0
