"""The calls of TensorFlow's threads into Python, which must be over before the interpreter is."""

from __future__ import annotations

import threading
from time import monotonic
from types import TracebackType

from ..errors import FeedError

_QUIET_S = 0.05  # without a call: what prefetches has filled its buffer with errors, and asks no more
_PATIENCE_S = 1.0


class Calls:
    """A context for each call."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._is_refusing = False

    def __enter__(self) -> None:
        with self._changed:
            if self._is_refusing:
                self._changed.notify_all()
                raise FeedError("the program ends while its dataset is read; stop() the runner before, or use `with`")
            self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def refuse(self) -> None:
        """From here on, calls are errors."""
        with self._changed:
            self._is_refusing = True

    def wait_until_quiet(self) -> None:
        """Wait for the calls that run, and for those that come soon after, but not for ever."""
        deadline = monotonic() + _PATIENCE_S
        with self._changed:
            while monotonic() < deadline:
                self._changed.wait_for(lambda: not self._count, deadline - monotonic())
                if not self._changed.wait(_QUIET_S):
                    return
