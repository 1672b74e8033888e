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
import time
import weakref
from contextlib import suppress

_NAME = re.compile(r"recordio_bridge-[0-9a-f]{16}")
_LOCK = ".lock"
_SURELY_LOCKED_S = 3600.0  # age from which on a folder that is not locked is none that is just being made
_looked_at: set[str] = set()
"""Where this process has removed what others left."""
_own: set[str] = set()
"""The folders of this process, and of those that it was forked from: some file systems give it its own lock twice."""


class TemporaryFolder:
    """A folder for temporary files. close(), the end of its block, and the collection of this object remove it."""

    def __init__(self) -> None:
        folder = tempfile.gettempdir()
        if folder not in _looked_at:
            remove_abandoned()
        self.path = os.path.join(folder, f"recordio_bridge-{secrets.token_hex(8)}")
        self._owner, self._fds = os.getpid(), list[int]()
        _own.add(self.path)
        self._at_end = weakref.finalize(self, _remove, self.path, self._owner, self._fds)
        os.mkdir(self.path, 0o700)  # only now, so that an interrupt finds somebody who will remove it
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fds.extend(map(os.open, [os.path.join(self.path, _LOCK)], [flags], [0o600]))  # noted when it is open
        with suppress(OSError):  # no locks here
            fcntl.flock(self._fds[0], fcntl.LOCK_EX)  # nobody has it for longer than a look takes

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
    with suppress(OSError):  # it went meanwhile
        is_old = time.time() - os.stat(folder).st_mtime > _SURELY_LOCKED_S
        try:
            fd = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if is_old:
                shutil.rmtree(folder, ignore_errors=True)
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # else OSError: it is in use, or there are no locks
            if is_old or os.listdir(folder) != [_LOCK]:  # who makes one puts nothing in it before it is locked
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(fd)
