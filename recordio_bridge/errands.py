"""A thread that runs errands, one after another, such as to read the next block or to write the last one.

As concurrent.futures has it, but for interrupts: in the midst of starting a thread, or of waiting for one, they leave
locks of threading taken for ever, so that the process hangs, or its end waits for a thread that nobody ends. Here a
thread is started without waiting for it, and nothing is waited for but SimpleQueue, which an interrupt leaves as it
was. Such a thread is not listed by threading.enumerate(), and a process that ends does not wait for it.
"""

from __future__ import annotations

import _thread
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Generic, ParamSpec, TypeVar

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class Errand(Generic[_Result]):
    """What the thread was asked to do."""

    def __init__(self, do: Callable[[], _Result]) -> None:
        self._do: Callable[[], _Result] | None = do
        self._answer: SimpleQueue[tuple[list[_Result], BaseException | None]] = SimpleQueue()

    def run(self) -> None:
        """Do it, and keep what comes of it."""
        assert self._do is not None  # each is run once
        answer: tuple[list[_Result], BaseException | None]
        try:
            answer = [self._do()], None
        except BaseException as err:
            answer = [], err
        self._do = None  # and lets go of its arguments
        self._answer.put(answer)

    def drop(self) -> None:
        """Do nothing, and say so to whoever asks."""
        self._answer.put(([], RuntimeError("dropped: the thread that was to do it is closed")))

    def result(self) -> _Result:
        """What came of it, when it is done; or raise what it raised. To be called once."""
        found, error = self._answer.get()
        if error is not None:
            try:
                raise error
            finally:
                del error  # which holds this frame
        return found[0]


@dataclass(slots=True)
class _Desk:
    """What the thread and those who send it have in common."""

    errands: SimpleQueue[Errand[Any] | None] = field(default_factory=SimpleQueue)  # Any: whatever they give
    drops: bool = False
    """Whether errands that wait are dropped."""
    has_ended: bool = False
    ended: SimpleQueue[None] = field(default_factory=SimpleQueue)

    def serve(self) -> None:
        while (errand := self.errands.get()) is not None:
            if self.drops:
                errand.drop()
            else:
                errand.run()
            del errand
        self.has_ended = True
        self.ended.put(None)


class Errands:
    """The thread, from its first errand to close(), or to the end of this object."""

    def __init__(self) -> None:
        self._desk = _Desk()
        self._owner: int | None = None
        """The process that the thread is in, once there is one."""
        weakref.finalize(self, self._desk.errands.put, None).atexit = False

    def submit(
        self, do: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> Errand[_Result]:
        """Have the thread call this, after all that it was asked before."""
        if self._owner is None:
            _thread.start_new_thread(self._desk.serve, ())
            self._owner = os.getpid()
        errand = Errand(lambda: do(*args, **kwargs))
        self._desk.errands.put(errand)
        return errand

    def close(self, *, drop: bool = False) -> None:
        """Wait until all is done; or only what is under way, where the rest is to be dropped."""
        self._desk.drops |= drop
        self._desk.errands.put(None)
        if self._owner == os.getpid():  # one that was forked has no such thread
            while not self._desk.has_ended:
                self._desk.ended.put(self._desk.ended.get())  # again, as others may wait

    def __enter__(self) -> Errands:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
