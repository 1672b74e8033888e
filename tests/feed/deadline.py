"""What could hang runs in a thread, which is not waited for beyond a deadline."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")
FEED_THREAD = "recordio_bridge-feed"


class Call(threading.Thread):
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: object = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as err:  # raised where it is waited for
            self.error = err

    def wait(self, seconds: float = 30.0) -> object:
        self.join(seconds)
        assert not self.is_alive(), f"still not back after {seconds} s"
        if self.error is not None:
            raise self.error
        return self.result


def within(seconds: float, call: Callable[[], T]) -> T:
    """What a call gives or raises, in so many seconds."""
    return Call(call).wait(seconds)  # type: ignore[return-value]


def until(claim: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something holds that other threads bring about."""
    nap, end = threading.Event(), monotonic() + seconds
    while not claim():
        assert monotonic() < end, f"not so after {seconds} s"
        nap.wait(0.005)


def num_threads() -> int:
    """The threads of this process, whoever started them."""
    return len(os.listdir("/proc/self/task"))


def feed_threads() -> list[threading.Thread]:
    """The threads of feeds that live. One whose start was interrupted never ran, and stays in the list."""
    return [each for each in threading.enumerate() if each.name.startswith(FEED_THREAD) and each.is_alive()]
