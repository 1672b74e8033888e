"""Folders for temporary files, in TMPDIR. Each is locked as long as its process lives; who makes one removes those that
a process left which was killed: they may hold what was unpacked of whole datasets.

The lock is that of a file in the folder, by flock, which goes with the process. Where the file system has no locks,
nothing that another process made is removed.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
import weakref
from contextlib import suppress

_NAME = re.compile(r"recordio_bridge-[0-9a-f]{16}")
_LOCK = ".lock"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_looked_at: set[str] = set()
"""Where this process has removed what others left."""
_own: set[str] = set()
"""The folders of this process, and of those that it was forked from: some file systems give it its own lock twice."""


class TemporaryFolder:
    """A folder for temporary files. close(), the end of its block, and the collection of this object remove it."""

    def __init__(self) -> None:
        place = tempfile.gettempdir()
        if place not in _looked_at:
            remove_abandoned()
        self._owner = os.getpid()
        while not self._make(os.path.join(place, f"recordio_bridge-{secrets.token_hex(8)}")):
            self.close()

    def _make(self, path: str) -> bool:
        """Make the folder; False where another process took it for one that was left, before it was locked."""
        self.path, self._fds = path, list[int]()
        _own.add(path)
        self._at_end = weakref.finalize(self, _remove, path, self._owner, self._fds)
        os.mkdir(path, 0o700)  # only now, so that an interrupt finds somebody who will remove it
        lock = os.path.join(path, _LOCK)
        try:
            self._fds.extend(map(os.open, [lock], [_NEW], [0o600]))  # noted when it is open
            with suppress(OSError):  # no locks here
                fcntl.flock(self._fds[0], fcntl.LOCK_EX)  # nobody has it for longer than a look takes
            return os.path.samestat(os.fstat(self._fds[0]), os.stat(lock))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Remove the folder; only then is that which would in the end let go, as an interrupt may come first."""
        _remove(self.path, self._owner, self._fds)
        self._at_end.detach()

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *exc: object) -> None:
        self.close()


def _remove(folder: str, owner: int, fds: list[int]) -> None:
    if os.getpid() != owner:  # a forked process holds a copy of the object, and ends before its parent does
        return
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except BaseException:  # of a signal's handler, in the middle: nobody else comes by to remove the rest
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        _own.discard(folder)
        while fds:
            os.close(fds.pop())


def remove_abandoned() -> None:
    """Remove the folders that processes of this user left in TMPDIR which were killed."""
    place = tempfile.gettempdir()
    _looked_at.add(place)
    with suppress(OSError), os.scandir(place) as entries:
        found = [entry.path for entry in entries if _NAME.fullmatch(entry.name) and _is_this_users(entry)]
        for folder in found:
            if folder not in _own:
                _remove_if_abandoned(folder)


def _is_this_users(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid()


def _remove_if_abandoned(folder: str) -> None:
    fds: list[int] = []
    try:
        fds.extend(map(os.open, [os.path.join(folder, _LOCK)], [os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW]))
        fcntl.flock(fds[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except FileNotFoundError:
        _remove_without_lock(folder)
    except OSError:  # it is in use, or there are no locks
        return
    finally:
        for fd in fds:
            os.close(fd)


def _remove_without_lock(folder: str) -> None:
    """Remove a folder that had no file to lock, and not one that has it by now: it was just being made."""
    with suppress(OSError):
        names = os.listdir(folder)
        if names and _LOCK not in names:  # the lock comes first: the rest is what somebody was removing
            shutil.rmtree(folder, ignore_errors=True)
        os.rmdir(folder)
