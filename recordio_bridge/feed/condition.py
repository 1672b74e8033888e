"""A condition variable in the midst of which the handler of a signal may raise.

That of threading is Python code: what a handler, as that of Ctrl-C, raises in it leaves its lock taken, so that every
thread that wants it hangs for good, or releases a lock that nobody holds. Here the lock is taken and released by `with`
alone, on a lock of C, where Python runs no handlers, and nothing is waited for but SimpleQueue, which an interrupt
leaves as it was.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

_Given = TypeVar("_Given")


class Condition:
    """lock guards what is waited for. A thread may take it again: the collector may close a feed wherever that is."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._waiting: deque[SimpleQueue[None]] = deque()

    def wait_for(self, claim: Callable[[], _Given]) -> _Given:
        """What claim gives, called with the lock held, as soon as that is true; to be called without the lock."""
        while True:
            with self.lock:
                if given := claim():
                    return given
                call = SimpleQueue[None]()
                self._waiting.append(call)
            call.get()

    def notify(self) -> None:
        """Let all who wait ask again when the lock is free, which the caller holds.

        Best before the change, as an interrupt may come between the two: to ask in vain does no harm.
        """
        for call in tuple(self._waiting):
            call.put(None)
        self._waiting.clear()
