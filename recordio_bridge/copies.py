"""Copies of remote files on this machine, for what can only be read from a disk: HDF5, .npz, .npy, and single rows.

A copy is fetched when it is first asked for, and removed when nobody uses it any more. Whoever will ask again holds a
Keep meanwhile, as a Source does. A copy is not believed when the remote file is another by then.

    with on_disk(path) as local: ...     a local path is given back as it is
"""

from __future__ import annotations

import os
import secrets
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from threading import Lock, RLock

from . import paths
from .files import unwritable
from .rangefile import BLOCK, RangeFile
from .remote import Info, is_remote
from .scratch import TemporaryFolder


class _Shelf:
    """A temporary folder for copies, which is there as long as one of them is."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._folder: TemporaryFolder | None = None
        self._places: set[str] = set()

    def place_for(self, suffix: str) -> str:
        """The name of a file that is to be made."""
        with self._lock:
            if self._folder is None:
                self._folder = TemporaryFolder()
            place = os.path.join(self._folder.path, f"{secrets.token_hex(4)}{suffix}")
            self._places.add(place)
            return place

    def remove(self, place: str) -> None:
        """Remove a file, and after the last one the folder."""
        with self._lock:
            with suppress(FileNotFoundError):
                os.unlink(place)
            self._places.discard(place)
            if self._folder is not None and not self._places:
                self._folder.close()
                self._folder = None


class _Copy:
    """A remote file, as it was in one state, and its copy; local is "" until that is there."""

    def __init__(self, path: str, info: Info) -> None:
        self.path, self.info = path, info
        self.local, self.users = "", 0
        self.turn = Lock()
        """Held while it is fetched: whoever else asks for it waits."""
        self._owner = os.getpid()

    def fetch(self) -> None:
        """Get it, unless it is there."""
        with self.turn:
            if not self.local:
                local = _shelf.place_for(os.path.splitext(self.path)[1])
                try:
                    fetch(self.path, local)
                except BaseException:
                    _shelf.remove(local)
                    raise
                self.local = local

    def remove(self) -> None:
        """Remove it; not in a process that was forked, whose parent may use it."""
        if self.local and os.getpid() == self._owner:
            _shelf.remove(self.local)


_shelf = _Shelf()
_lock = RLock()  # the collector may end a Keep wherever this thread is
_copies: dict[str, _Copy] = {}
_kept: Counter[str] = Counter()
"""How many Keeps there are for each path."""


@contextmanager
def on_disk(path: str) -> Iterator[str]:
    """A path at which the file can be opened, as long as the block lasts."""
    if not is_remote(path):
        paths.refuse_pipe(path)
        yield path
        return
    copy = _borrow(path)
    try:
        copy.fetch()
        yield copy.local
    finally:
        _give_back(copy)


def _borrow(path: str) -> _Copy:
    info = paths.found(path)
    with _lock:
        copy = _copies.get(path)
        if copy is None or copy.info != info:
            if copy is not None and not copy.users:
                copy.remove()
            copy = _copies[path] = _Copy(path, info)
        copy.users += 1
        return copy


def _give_back(copy: _Copy) -> None:
    with _lock:
        copy.users -= 1
        is_current = _copies.get(copy.path) is copy
        if not copy.users and not (is_current and _kept[copy.path]):
            copy.remove()
            if is_current:
                del _copies[copy.path]


class Keep:
    """Lets copies of these files stay between uses, until close(), or until this object is collected."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._paths = tuple(filter(is_remote, sources))
        with _lock:
            _kept.update(self._paths)
        self._let_go = weakref.finalize(self, _let_go, self._paths)

    def close(self) -> None:
        """Remove copies that nobody uses, or keeps."""
        self._let_go()

    def __enter__(self) -> Keep:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Keep], tuple[tuple[str, ...]]]:
        return Keep, (self._paths,)


def _let_go(kept: tuple[str, ...]) -> None:
    with _lock:
        for path in kept:
            _kept[path] -= 1
            if not _kept[path]:
                del _kept[path]
                copy = _copies.get(path)
                if copy is not None and not copy.users:
                    copy.remove()
                    del _copies[path]


def fetch(path: str, target: str) -> None:
    """Write a remote file to a local one, in large pieces.

    Raises:
        SourceChangedError: it changed meanwhile.
    """
    with closing(RangeFile(path)) as file, open(target, "wb", buffering=0) as out:
        written = 0
        while piece := file.read(BLOCK):
            left = memoryview(piece)
            while left:
                try:
                    done = out.write(left) or 0
                except OSError as err:
                    raise unwritable(err, target, written, len(left)) from err
                written, left = written + done, left[done:]
        file.check()


def _leave_to_parent() -> None:
    """The folder that our parent has copies in is its own, and goes when it is done with them."""
    global _shelf
    _shelf = _Shelf()


os.register_at_fork(after_in_child=_leave_to_parent)
