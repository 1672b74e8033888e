"""Turns: of all runs that give files in a folder their final names, in whatever process or thread, one at a time.

So two conversions to one target never mix: who comes second finds all files of the first, or none. The system's lock
of the folder itself is taken, which leaves no file, and goes with a process that dies. Some network file systems have
none, and somebody else may hold it for long, as flock(1) does around a script: there, a file that is in the way is
still an error, and no other's file is removed, but of two that both overwrite each may find a part of the other.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

_logger = logging.getLogger(__name__)
_PATIENCE_S = 30.0  # a turn takes as long as giving names, and syncing folders
_TOLD_AFTER_S = 2.0
_PAUSE_S = 0.01


@contextmanager
def turn_in(folders: Iterable[str]) -> Iterator[None]:
    """Wait for the turn in these folders, and have it for as long as the block lasts."""
    with ExitStack() as held:
        for folder in sorted({os.path.realpath(folder) for folder in folders}):  # all in one order, or two might wait
            held.enter_context(_turn(folder))
        yield


def lock(fd: int) -> bool:
    """Take the lock of a file or folder, or go on without it where the file system has none; False: another has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        return err.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


@contextmanager
def _turn(folder: str) -> Iterator[None]:
    fds: list[int] = []
    try:
        # By map, so that no interrupt comes between the opening and the noting: nobody could end such a turn
        fds.extend(map(os.open, [folder], [os.O_RDONLY | os.O_CLOEXEC]))
        _wait(fds[0], folder)
        yield
    finally:
        for fd in fds:
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)  # closing is not enough: a process that was forked has a copy of it
            os.close(fd)


def _wait(fd: int, folder: str) -> None:
    """Take the lock of a folder; go on without it where there is none, or where it does not become free."""
    began, is_told = time.monotonic(), False
    while True:
        if lock(fd):
            return
        waited_s = time.monotonic() - began
        if waited_s > _PATIENCE_S:
            _logger.warning("%s: still locked by another program; going on without its lock", folder)
            return
        if waited_s > _TOLD_AFTER_S and not is_told:
            _logger.warning("%s: waiting for another program that has locked this folder", folder)
            is_told = True
        time.sleep(_PAUSE_S)
