"""Which files a migration may replace: its own, and those that it was told to replace (--overwrite).

Another migration, or a conversion, may write into the same folder, before this one goes on or while it runs. What it
put there is looked at just before it would be replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import FormatError, MigrationError
from ..files import Pending, crc_of
from ..paths import exists, join, list_folder, state_of
from ..remote import is_remote
from ..shards import manifest_path, schema_path
from .ledger import read_manifest, shard_of
from .neighbours import neighbour_paths

if TYPE_CHECKING:
    from .bulk_plan import BulkPlan, Output
    from .work import Receipt

_AT_ONCE = 16  # files that a store is asked about at a time

_PIECE = 1 << 20  # bytes of two files that are compared at a time
States: TypeAlias = "Mapping[str, tuple[int, int]]"
"""Of files that are there: size and time, by path."""


def states_of(paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Those of the files that are there."""
    listed = list(dict.fromkeys(paths))
    if not any(map(is_remote, listed)):
        found = list(map(_state_of, listed))
    else:  # most are not there, which a listing says at once
        folders = {path.rpartition("/")[0] for path in listed}
        there = {join(folder, name) for folder in folders for name in _names_in(folder)}
        listed = [path for path in listed if path in there]
        with ThreadPoolExecutor(_AT_ONCE, "recordio_bridge-states") as threads:
            found = list(threads.map(_state_of, listed))
    return {path: state for path, state in zip(listed, found, strict=True) if state is not None}


def times_of(files: Sequence[Pending]) -> tuple[int, ...]:
    """When files were written that have their names; () for those of a store, which are compared by their sizes."""
    return () if any(is_remote(file.final) for file in files) else tuple(state_of(file.final)[1] for file in files)


def _state_of(path: str) -> tuple[int, int] | None:
    try:
        return state_of(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _names_in(folder: str) -> list[str]:
    try:
        return list_folder(folder)
    except FileNotFoundError:
        return []


def unchanged(paths: Iterable[str], replaceable: States) -> list[str]:
    """Those of the files that are there as they were when it was found that they may be replaced."""
    return [path for path in paths if path in replaceable and _state_of(path) == replaceable[path]]


def refuse_others(files: Sequence[Pending], replaceable: States, void: Iterable[str] = ()) -> set[str]:
    """MigrationError where a file that would be replaced, or go (void), is none of ours; the names that have a file.

    One with the bytes that it shall have is ours: the run that put it there ended before it was noted. So is one that
    has the first of them, as after a power cut.
    """
    made = {file.final: file for file in files}
    there: set[str] = set()
    for path in dict.fromkeys([*made, *void]):
        state = _state_of(path)
        if state is None:
            continue
        there.add(path)
        if replaceable.get(path) == state:
            continue
        file = made.get(path)
        if file is None or not (_is_as_made(path, state[0], file) or _is_cut(path, state[0], file)):
            raise other(path)
    return there


def _is_as_made(path: str, nbytes: int, file: Pending) -> bool:
    return nbytes == file.nbytes and crc_of(path) == file.crc32c


def _is_cut(path: str, nbytes: int, file: Pending) -> bool:
    """Whether a file has the first bytes of one that was made, and no others, nor a manifest that tells of it."""
    if nbytes >= file.nbytes or is_remote(path) or exists(manifest_path(path)):  # what a store has is whole
        return False
    with open(path, "rb", buffering=0) as there, open(file.temporary, "rb", buffering=0) as made:
        while piece := there.read(_PIECE):
            if made.read(len(piece)) != piece:
                return False
    return True


def other(path: str) -> MigrationError:
    """That a file of this name is there, and what to do about it."""
    return MigrationError(
        f"{path}: would be replaced, and it is not of this migration, or was changed; it stays as it is. Move it away "
        "and go on with --resume, or begin again with --overwrite, which replaces it"
    )


@contextmanager
def telling_of_others() -> Iterator[None]:
    """Say of a file that appeared what there is to do in a migration, of which others are written."""
    try:
        yield
    except FileExistsError as err:
        raise other(str(err.filename)) from err


def refuse_other_manifests(plan: BulkPlan, finished: Mapping[str, int], receipts: Mapping[int, Receipt]) -> None:
    """MigrationError where an output has a manifest that is not of this migration; arguments as of other_manifests."""
    for path in other_manifests(plan, finished, receipts):
        raise other(path)


def other_manifests(plan: BulkPlan, finished: Mapping[str, int], receipts: Mapping[int, Receipt]) -> Iterator[str]:
    """The manifests of outputs of a plan that are not of this migration: they are of others, which are done.

    Args:
        finished: the checksums of manifests that the migration is known to have written.
        receipts: all that there are, also those of files that are gone.
    """
    outputs = {manifest_path(output.path): output for output in plan.outputs}
    for path, state in states_of(outputs).items():
        if plan.replaceable.get(path) == state or finished.get(path) == crc_of(path):
            continue
        if not _tells_of(path, outputs[path], receipts):
            yield path


def _tells_of(path: str, output: Output, receipts: Mapping[int, Receipt]) -> bool:
    """Whether a manifest is that of these receipts, as when a run is killed before it notes that all is done."""
    if not _is_done(output, receipts):
        return False
    with suppress(FormatError):
        return read_manifest(path).shards == tuple(shard_of(receipts[n]) for n in range(output.first, output.stop))
    return False


def _is_done(output: Output, receipts: Mapping[int, Receipt]) -> bool:
    return all(number in receipts for number in range(output.first, output.stop))


def crcs_of_manifests(finished: Mapping[str, Any], out: str) -> dict[str, int]:  # Any: what a JSON object holds
    """The checksums of manifests by what a migration wrote when it was done; none where that is damaged."""
    with suppress(KeyError, TypeError):
        return {join(out, each["manifest"]): each["crc32c"] for each in finished["outputs"]}
    return {}


def files_beside(output: Output) -> list[str]:
    """The files of an output that no order writes."""
    return [manifest_path(output.path), schema_path(output.path), *neighbour_paths(output.path, output.wishes)]


def written_by(plan: BulkPlan, receipts: Mapping[int, Receipt], redone: Iterable[int]) -> dict[str, tuple[int, int]]:
    """What lies there of orders that are to be redone, and beside outputs that were done: all of it may be replaced.

    Of an order, files of the size and, where that takes no transfer, the checksum of its receipt; others are others'.
    """
    made = [file for number in redone if number in receipts for file in receipts[number].files]
    files = [file.final for file in made if _is_still(file)]
    for each in plan.outputs:
        if _is_done(each, receipts) or exists(manifest_path(each.path)):
            files += files_beside(each)
    return states_of(files)


def _is_still(file: Pending) -> bool:
    """Whether a file is there as it was written; of a remote one, by its size."""
    state = _state_of(file.final)
    if state is None or state[0] != file.nbytes:
        return False
    return is_remote(file.final) or crc_of(file.final) == file.crc32c
