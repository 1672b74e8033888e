"""What a migration keeps while it is unfinished: its plan, and a receipt for each Order that was done.

    OUT/set.unfinished/plan.jsonl         with its CRC-32C, as receipts (see sealed.py)
    OUT/set.unfinished/<name>.json        the receipt of an Order
    OUT/set.unfinished/rows-*.order       of a shuffle: where all rows are, in their order
    OUT/set.unfinished/sources-*.json     of a shuffle: what its Orders have in common (see shared.py)
    OUT/set.unfinished/unpacked/          of a shuffle of packed sources: these, written plain
    OUT/set.unfinished/lock               held by the run that works on it
    OUT/set.migration.json                when all is done; the folder goes then, unless something is in quarantine

A receipt is written when the file of its Order has its final name. One that is cut, as by a power loss, is none: the
Order is done again, which gives the same bytes. As a receipt is named after the run and all that an Order is, it is
never taken for that of an Order of another plan.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import repeat
from typing import Any, TypeVar

from ..companions import FINISHED
from ..errors import FormatError, MigrationError
from ..files import Pending, crc_of
from ..formats import get_format
from ..paths import exists, is_folder, join, list_folder, make_folder, read_bytes, remove, state_of
from ..publishing import put_bytes
from ..remote import is_remote
from ..turns import lock
from . import unfinished
from .bulk_plan import BulkPlan
from .claims import check_claims
from .sealed import sealed, unsealed
from .work import Receipt

_Of = TypeVar("_Of")
_To = TypeVar("_To")
_LARGEST = 1 << 32  # bytes of a plan that we read
_SHUFFLED = (
    r"rows-[0-9a-f]{16}\.order|sources-[0-9a-f]{32}\.json|"
    r"\..+\.[0-9a-f]{8}-[0-9a-f]{8}\.part|recordio_bridge-[a-z0-9_]{8}|"  # in the making
    r"\.nfs[0-9a-f]+"  # what NFS keeps of an open file
)
_OURS = re.compile(rf"plan\.jsonl|lock|unpacked|[0-9a-f]{{32}}-[0-9a-f]{{16}}\.json|{_SHUFFLED}", re.DOTALL)
"""The names of what a migration keeps."""
_UNPACKED = re.compile(rf"[0-9]{{5,}}(-.*)?|{_SHUFFLED}", re.DOTALL)
"""The names in unpacked/."""
_AT_ONCE = 16  # receipts that are asked of a store at a time


class State:
    """The folder of an unfinished migration."""

    def __init__(self, out: str, name: str) -> None:
        self.folder = join(out, f"{name}{unfinished.SUFFIX}")
        self.finished_path = join(out, f"{name}{FINISHED}")
        self._looked_at: dict[tuple[str, int, int], int] = {}

    def files(self) -> list[str]:
        """All that is kept, whatever it is."""
        return [join(self.folder, name) for name in list_folder(self.folder)] if exists(self.folder) else []

    @property
    def plan_path(self) -> str:
        return join(self.folder, unfinished.PLAN)

    def receipt_path(self, name: str) -> str:
        """Where the receipt of an Order belongs; for its name see BulkPlan.receipt_names."""
        return join(self.folder, f"{name}.json")

    def read_plan(self) -> BulkPlan | None:
        """The plan, None where there is none; FormatError where it is damaged."""
        if not exists(self.plan_path):
            return None
        data = read_bytes(self.plan_path, _LARGEST)
        try:
            lines = unsealed(data)
        except ValueError as err:
            raise FormatError(
                f"{self.plan_path}: not a plan of recordio_bridge, or damaged, or of an earlier version: {err}; begin "
                "again with --overwrite",
                path=self.plan_path,
            ) from err
        return BulkPlan.from_lines(lines, self.plan_path)

    def write_plan(self, plan: BulkPlan) -> None:
        """Keep the plan, in place of an earlier one.

        Raises:
            MigrationError: it is larger than those that are read.
        """
        data = sealed(plan.to_lines())
        if len(data) > _LARGEST:
            raise MigrationError(
                f"{self.plan_path}: would have {len(data)} bytes, and {_LARGEST} are read when it is resumed; migrate "
                "the sources in several parts, each to a folder or name of its own (--name)"
            )
        make_folder(self.folder)
        put_bytes(self.plan_path, data)

    def put_receipt(self, name: str, receipt: Receipt) -> None:
        """Note that an Order was done."""
        put_bytes(self.receipt_path(name), sealed(f"{json.dumps(receipt.to_json())}\n".encode()))

    def receipt(self, name: str, target_format: str, target: str) -> Receipt | None:
        """The receipt of an Order, None where there is none that is whole, or its files are not there as it says."""
        receipt = self._whole(name)
        is_sound = receipt is not None and _is_of(receipt, target_format, target) and self._are_there(receipt)
        return receipt if is_sound else None

    def _whole(self, name: str) -> Receipt | None:
        """The receipt of an Order, None where there is none that is whole."""
        path = self.receipt_path(name)
        if not exists(path):
            return None
        try:
            known: dict[str, Any] = json.loads(unsealed(read_bytes(path, _LARGEST)))  # Any: what a JSON object holds
            receipt = Receipt.from_json(known)
            check_claims(receipt)
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            return None  # cut or damaged; or not one of ours, and its checksum was made to fit
        return receipt

    def receipts(self, plan: BulkPlan) -> dict[int, Receipt]:
        """Those of a plan that are whole, and their files there, by the number of the Order."""
        return self.of_files_there(self.whole_receipts(plan))

    def of_files_there(self, receipts: Mapping[int, Receipt]) -> dict[int, Receipt]:
        """Those of the receipts whose files are there as they say."""
        are_there = self._each(self._are_there, receipts.values())
        return {number: receipts[number] for number, is_there in zip(receipts, are_there, strict=True) if is_there}

    def whole_receipts(self, plan: BulkPlan) -> dict[int, Receipt]:
        """Those of a plan that are whole, whatever became of their files, by the number of the Order."""
        names = set(list_folder(self.folder) if exists(self.folder) else ())
        listed = enumerate(plan.receipt_names if names else ())
        wanted = {number: name for number, name in listed if f"{name}.json" in names}
        found = self._each(self._whole, wanted.values())
        return {
            number: receipt
            for number, receipt in zip(wanted, found, strict=True)
            if receipt is not None and _is_of(receipt, plan.orders[number].target_format, plan.orders[number].target)
        }

    def _each(self, function: Callable[[_Of], _To], values: Iterable[_Of]) -> list[_To]:
        """The function of each value, of which several take no longer than one where they are requests to a store."""
        if not is_remote(self.folder):
            return list(map(function, values))
        with ThreadPoolExecutor(_AT_ONCE, "recordio_bridge-receipts") as threads:
            return list(threads.map(function, values))

    def _are_there(self, receipt: Receipt) -> bool:
        return all(map(self._is_there, receipt.files, receipt.times or repeat(None)))

    def _is_there(self, file: Pending, mtime_ns: int | None) -> bool:
        """Whether a file is there as it was written; one of another time is read, to see whether it was only copied."""
        try:
            nbytes, now = state_of(file.final)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if nbytes != file.nbytes or mtime_ns in (None, now):
            return nbytes == file.nbytes
        known = (file.final, nbytes, now)
        if known not in self._looked_at:
            self._looked_at[known] = crc_of(file.final)
        return self._looked_at[known] == file.crc32c

    def forget(self, names: Iterable[str]) -> None:
        """Remove receipts."""
        remove(map(self.receipt_path, names))

    def clear_work(self) -> None:
        """Remove all that is ours but the lock and the plan: receipts, and what was made for a shuffle."""
        if exists(self.folder):
            kept = (unfinished.LOCK, unfinished.PLAN)
            ours = filter(_OURS.fullmatch, list_folder(self.folder))
            paths = [join(self.folder, name) for name in ours if name not in kept]
            for path in paths:
                if is_folder(path) and not os.path.islink(path):  # of what was unpacked
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    remove([path])

    def end(self) -> None:
        """All is done: remove the plan, without which the rest means nothing. That goes with the lock."""
        remove([self.plan_path])
        if is_remote(self.folder):
            self.clear_work()

    def _clear(self) -> None:
        """Remove the folder and all in it that is ours."""
        self.clear_work()
        remove([join(self.folder, unfinished.LOCK)])
        with suppress(OSError):  # another run came, and found no lock
            os.rmdir(self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs from the same output, on this machine; a run that died holds no lock.

        Stores that are remote know no locks: there two runs do the same work twice, and no harm, as each file is put
        in place whole and has the same bytes from both.

        Raises:
            MigrationError: another run works on it, or the folder holds what no migration put there.
        """
        if is_remote(self.folder):
            self._refuse_others()
            yield
            return
        if os.path.islink(self.folder):  # all in it is removed in the end
            raise MigrationError(
                f"{self.folder}: is a link, and a migration keeps its state in a folder; remove the link"
            )
        self._refuse_others()
        path = join(self.folder, unfinished.LOCK)
        fd = _acquire(path, f"{self.folder}: another run works on this migration")
        try:
            yield
        finally:
            if not exists(self.plan_path) and _is_same_file(fd, path):  # nothing was begun, or all is done
                self._clear()
            os.close(fd)

    def _refuse_others(self) -> None:
        """MigrationError where the folder holds what is not ours: all in it is removed in the end."""
        other = next(self._others(), None)
        if other is not None:
            raise MigrationError(
                f"{other}: was not put there by a migration, and the folder is removed in the end; move it away, or "
                "give the output another name (--name)"
            )

    def _others(self) -> Iterator[str]:
        names = _names_in(self.folder)
        yield from (join(self.folder, name) for name in names if _OURS.fullmatch(name) is None)
        if is_remote(self.folder):  # where none of these is kept
            return
        if names and not {unfinished.PLAN, unfinished.LOCK} & set(names):  # of which one is there as long as the rest
            yield join(self.folder, names[0])
        unpacked = join(self.folder, "unpacked")
        yield from (join(unpacked, name) for name in _names_in(unpacked) if _UNPACKED.fullmatch(name) is None)
        lock_path = join(self.folder, unfinished.LOCK)
        yield from filter(_holds_bytes, (unpacked, lock_path))  # a folder, and an empty file
        yield from filter(is_folder, (lock_path, self.plan_path))


@contextmanager
def mirroring(out: str) -> Iterator[None]:
    """Keep other mirrors from a folder, on this machine: under another --name they may write the same files.

    Raises:
        MigrationError: another run mirrors into it.
    """
    if is_remote(out):
        yield
        return
    path = join(out, ".mirror.lock")
    if _holds_bytes(path) or is_folder(path):  # ours is an empty file
        raise MigrationError(f"{path}: was not put there by a migration, which has its lock there; move it away")
    fd = _acquire(path, f"{out}: another run with --mirror works in this folder")
    try:
        yield
    finally:
        if _is_same_file(fd, path):
            remove([path])
        os.close(fd)


def _acquire(path: str, held: str) -> int:
    """The lock of this file, which is made; MigrationError where another run has it, with what is held."""
    while True:
        make_folder(os.path.dirname(path))
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        if not lock(fd):
            os.close(fd)
            raise MigrationError(f"{held}; wait until it ends, or stop it: --resume goes on from what it has done")
        if _is_same_file(fd, path):
            return fd
        os.close(fd)  # of a run that ended just now, and removed it


def _is_of(receipt: Receipt, target_format: str, target: str) -> bool:
    """Whether a receipt is for the file of an order, with what belongs to that, and for no others."""
    names = [file.final for file in receipt.files]
    is_its = names[:1] == [target] and set(names) <= set(get_format(target_format).files_of(target))
    is_its = is_its and len(receipt.times) in (0, len(names))
    return is_its and all(file.temporary == file.final for file in receipt.files)


def _names_in(folder: str) -> list[str]:
    """The names in a folder; none where there is none, or another run ended just now."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return list_folder(folder)
    return []


def _holds_bytes(path: str) -> bool:
    return os.path.isfile(path) and os.path.getsize(path) > 0


def _is_same_file(fd: int, path: str) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
