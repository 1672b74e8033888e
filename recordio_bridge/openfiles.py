"""Files that stay open between accesses to their rows: to open one takes longer than to read a row of it.

A file is lent to one thread at a time, so that formats need no locks: while it is lent, another thread opens it once
more. What is given back waits for the next access. Of all that wait in a process, whoever opened them, those used
longest ago are closed, as a set may have thousands of files, and a process only 256 descriptors.

A forked process begins with nothing open. It closes its copies of what waited when it was forked, of which its parent
notices nothing: HDF5 would else read on through a descriptor that they share.
"""

from __future__ import annotations

import itertools
import os
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import TypeAlias

from .formats.base import OpenRows, Request
from .sources import Source

MOST_FILES = 100
MOST_BYTES = 1 << 28  # of memory that they take, as for unpacked chunks; the one used last may take more
_KEPT = 1 << 26  # bytes of unpacked chunks that the files of one owner may keep for each of their columns

_Key: TypeAlias = tuple[int, int]
"""The number of an owner, and that of a file among its own."""


class OpenFiles:
    """The open files of a source, for one request; closed by close(), and when this object is collected."""

    def __init__(self, source: Source, request: Request) -> None:
        self._source, self._request = source, replace(request, keep=_KEPT // len(source.paths))
        self._owner, self._is_closed = next(_owners), False
        weakref.finalize(self, _close, self._owner)

    def path(self, number: int) -> str:
        """The path of the file of this number."""
        return self._source.paths[number]

    @contextmanager
    def lend(self, number: int) -> Iterator[OpenRows]:
        """The file of this number, for as long as the block lasts; closed where that raises."""
        key = (self._owner, number)
        file = _waiting.borrow(key)
        if file is None:
            path, options = self._source.paths[number], self._source.options[number]
            file = self._source.format.open_rows(path, options, self._request)
        try:
            yield file
        except BaseException:
            file.close()
            raise
        _waiting.give_back(key, file)
        if self._is_closed:  # while it was lent; asked for when it waits, as close may come at any moment
            _close(self._owner)

    def close(self) -> None:
        """Close what is open, and what is lent when it is given back. What is lent afterwards is opened for that."""
        self._is_closed = True
        _close(self._owner)


class _Waiting:
    """Open files that nobody uses, those used longest ago first.

    An interrupt may come anywhere: it can leave a key without files, and files that are counted and gone.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._files: OrderedDict[_Key, list[OpenRows]] = OrderedDict()
        self._nbytes = 0
        self._leaving: deque[int] = deque()

    def borrow(self, key: _Key) -> OpenRows | None:
        """A file that waits under this key, if there is one."""
        with self._lock:
            file = self._taken_out(key)
        self._see_off()
        return file

    def give_back(self, key: _Key, file: OpenRows) -> None:
        """Let a file wait, and close those for which there is no room any more."""
        crowded = []
        with self._lock:
            self._files.setdefault(key, []).append(file)
            self._files.move_to_end(key)
            self._nbytes += file.nbytes
            while (count := sum(map(len, self._files.values()))) > 1 and (
                count > MOST_FILES or self._nbytes > MOST_BYTES
            ):
                crowded.append(self._taken_out(next(iter(self._files))))
        _close_each(crowded)
        self._see_off()

    def close(self, owner: int) -> None:
        """Close the files of an owner.

        The collector may call this at any point of the program, also where this thread holds the lock. Then whoever
        holds it closes them when it is free.
        """
        self._leaving.append(owner)
        self._see_off()

    def close_all(self) -> None:
        """Close all, where no other thread can be using this object."""
        for file in itertools.chain.from_iterable(self._files.values()):
            file.close()

    def _taken_out(self, key: _Key) -> OpenRows | None:
        files = self._files.get(key, [])
        file = files.pop() if files else None
        if not files:
            self._files.pop(key, None)
        if file is not None:
            self._nbytes -= file.nbytes
        if not self._files:
            self._nbytes = 0
        return file

    def _see_off(self) -> None:
        """Close the files of owners who are leaving, unless another will."""
        is_ours = True
        while self._leaving and is_ours:
            leaving, held = list[OpenRows | None](), list[bool]()
            try:
                # Taken and noted by one call of C: an interrupt between the two would leave it locked for ever.
                held.extend(map(self._lock.acquire, (False,)))
                is_ours = any(held)
                if is_ours:
                    owners = list(self._leaving)
                    keys = [key for key, files in self._files.items() if key[0] in owners for _ in files or (None,)]
                    leaving = [self._taken_out(key) for key in keys]
                    for _ in owners:  # the others came meanwhile
                        self._leaving.popleft()
            finally:
                if held and held[0]:
                    self._lock.release()
            _close_each(leaving)


def _close_each(files: list[OpenRows | None]) -> None:
    for file in files:
        if file is not None:
            file.close()


_owners = itertools.count()
_waiting = _Waiting()


def _close(owner: int) -> None:
    _waiting.close(owner)


def _begin_anew() -> None:
    global _waiting
    inherited, _waiting = _waiting, _Waiting()
    inherited.close_all()


os.register_at_fork(after_in_child=_begin_anew)
