"""Threads that make the batches of a Schedule side by side, and hand them over in their order.

A thread takes the next Work, and reads its batches. Before its turn it finishes up to AHEAD bytes of them, and waits;
in its turn, it puts each into the Sink as soon as it is finished. What goes wrong with a batch is told when its turn
comes: everything before it has been handed over, nothing behind it is. A batch of which no row is left is not handed
over: models make NaN of it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from time import monotonic
from typing import Protocol

from ..arguments import whole
from ..batch import Batch
from ..errors import FeedError
from .condition import Condition
from .gauge import Gauge
from .schedule import Position, Work, position

_log = logging.getLogger(__name__)
AHEAD = 1 << 26  # bytes of finished batches with which a thread waits for its turn, at most; a single one may have more
_PATIENCE_S = 1.0  # in which close returns, whatever a thread is held by


class Closed(Exception):
    """A Sink was closed while a thread waited for room in it."""


class Sink(Protocol):
    """Takes batches, one caller at a time."""

    def put(self, at: Position, batch: Batch) -> None:
        """Waits for room; Closed when cancel is called meanwhile."""

    def end(self) -> None:
        """There will be no more; after a failure, too, when what is there is sound."""

    def cancel(self) -> None:
        """Nobody takes any more: free whoever waits in put."""


_running: set[Pump] = set()


@atexit.register
def _close_all() -> None:
    """A thread that is in the midst of C code when the interpreter goes would end the process with an abort."""
    for pump in list(_running):
        pump.close()


class Pump:
    """Feeds a sink from a schedule's work, on its own threads, until the work or the sink ends.

    Args:
        finish: makes of a batch what is put: a transform.
        leads: no other batch is finished before the first, which says what fits it.
    """

    def __init__(
        self,
        work: Generator[Work, None, None],
        sink: Sink,
        finish: Callable[[Batch], Batch],
        gauge: Gauge,
        num_threads: int,
        on_failure: Callable[[BaseException], None] = lambda failure: None,
        *,
        leads: bool = False,
    ) -> None:
        num_threads = whole("n_threads", num_threads, 1)
        self._work, self._sink, self._finish, self._gauge = work, sink, finish, gauge
        self._on_failure = on_failure
        self._changed, self._closing = Condition(), threading.Lock()
        self._is_taking = self._is_over = self._is_closed = self._is_timed = False
        self._has_lead = not leads
        self._next_ticket = self._turn = 0
        self._busy = num_threads
        self._empty_since: Position | None = None
        """The first of the batches without rows that came last."""
        self._pid = os.getpid()
        self.failure: BaseException | None = None
        self.threads = [
            threading.Thread(target=self._run, name=f"recordio_bridge-feed-{number}", daemon=True)
            for number in range(num_threads)
        ]

    def start(self) -> None:
        """Start the threads, and the clock."""
        self._gauge.start()
        with self._changed.lock:
            self._is_timed = True
            is_closed = self._is_closed
        if is_closed:
            self.stop_clock()
        _running.add(self)
        for thread in self.threads:
            thread.start()

    def stop_clock(self) -> None:
        """Nothing more is taken: what comes now is no time of this pump; harmless when done twice."""
        with self._changed.lock:
            was_timed, self._is_timed = self._is_timed, False
        if was_timed:
            self._gauge.stop()

    @property
    def was_forked(self) -> bool:
        """Whether this is a copy in a forked process, which has no threads."""
        return os.getpid() != self._pid

    @property
    def is_done(self) -> bool:
        """Whether all threads have ended."""
        return self._busy == 0

    @property
    def was_closed_early(self) -> bool:
        """Whether it was closed before everything was handed over."""
        return self._is_closed and not (self._is_over and self._turn == self._next_ticket)

    def close(self) -> None:
        """Stop the threads; returns within about a second.

        A thread that is held by code of others, such as a transform that does not come back, is left alone and named in
        the log; it ends when it is let go.
        """
        if self.was_forked:
            return
        with self._changed.lock:
            self._is_closed = True
            self._changed.notify()
        self.stop_clock()
        self._sink.cancel()
        deadline = monotonic() + _PATIENCE_S
        started = [each for each in self.threads if each.ident is not None and each is not threading.current_thread()]
        for thread in started:
            thread.join(max(0.0, deadline - monotonic()))
        held = [thread.name for thread in started if thread.is_alive()]
        if held:
            _log.warning(
                "%s: still held after %g s, by the source or the transform; left alone, it ends when that returns",
                ", ".join(held),
                _PATIENCE_S,
            )
        elif not self._is_taking:
            self._close_work()

    def _close_work(self) -> None:
        """End the generator, and close the files that it has open; where another thread does, that is enough."""
        if self._closing.acquire(blocking=False):  # and not released: it is done once
            self._work.close()

    # ---- on the threads ----

    def _run(self) -> None:
        try:
            while (taken := self._take()) is not None:
                ticket, work = taken
                if not self._do(ticket, work):
                    break
        finally:
            with self._changed.lock:
                self._busy -= 1
                is_last = self._busy == 0
            if is_last:
                self._close_work()
                _running.discard(self)
            if is_last and not self._is_closed:
                self._sink.end()

    def _take(self) -> tuple[int, Work | BaseException] | None:
        """The next work, or why there is none, with the number of its turn; None at the end."""
        if not self._changed.wait_for(self._may_take)[0]:
            return None
        work: Work | BaseException | None = None
        try:
            work = next(self._work, None)
        except BaseException as err:  # a border: the consumer is told
            work = err
        with self._changed.lock:
            self._is_taking = False
            self._is_over = not isinstance(work, Work)
            ticket = self._next_ticket
            self._next_ticket += work is not None
            self._changed.notify()
        return None if work is None else (ticket, work)

    def _may_take(self) -> list[bool]:
        """Whether this thread is the one that takes; nothing while another is."""
        if self._is_closed or (self._is_over and not self._is_taking):
            return [False]
        if self._is_taking:
            return []
        self._is_taking = True
        return [True]

    def _do(self, ticket: int, work: Work | BaseException) -> bool:
        """Make batches and hand them over; whether to go on."""
        given: deque[tuple[Position, Batch]] = deque()
        made: deque[tuple[Position, Batch]] = deque()
        failure: BaseException | None = None
        try:
            given = _read(work)
            if ticket:
                self._wait_for(lambda: self._has_lead)
            nbytes = last = 0
            while given and self._turn != ticket and nbytes + last <= AHEAD and not self._is_closed:
                made.append(self._made(*given.popleft()))
                last = made[-1][1].nbytes
                nbytes += last
        except BaseException as err:  # a border: told when its turn comes
            failure = err
        self._wait_for(lambda: self._turn == ticket)
        if self._is_closed:
            return False
        try:
            while made:
                self._put(*made.popleft())
            while given and failure is None:
                self._put(*self._made(*given.popleft()))
        except Closed:
            self.stop_clock()
            self._give_up()
            return False
        except BaseException as err:  # a border
            failure = err
        if failure is not None:
            self._fail(failure)
            return False
        with self._changed.lock:
            self._turn += 1
            self._changed.notify()
        return True

    def _made(self, at: Position, batch: Batch) -> tuple[Position, Batch]:
        position.set(at)
        finished = self._finish(batch)
        if not self._has_lead:
            with self._changed.lock:
                self._has_lead = True
                self._changed.notify()
        return at, finished

    def _wait_for(self, claim: Callable[[], bool]) -> None:
        """Until it holds, or this is closed."""
        self._changed.wait_for(lambda: claim() or self._is_closed)

    def _put(self, at: Position, batch: Batch) -> None:
        if self._is_closed:
            raise Closed
        if not len(batch):
            self._leave_out(at)
            return
        self._empty_since = None
        with self._gauge.waiting("producer"):
            self._sink.put(at, batch)
        self._gauge.add(rows=len(batch), batches=1, nbytes=batch.nbytes)

    def _leave_out(self, at: Position) -> None:
        """Pass over a batch without rows.

        Raises:
            FeedError: so were all of an epoch before, and a feed without end would be waited for.
        """
        since = self._empty_since = self._empty_since or at
        whole = since.epoch + (since.batch > 0)
        if at.epoch > whole:
            raise FeedError(
                f"the transform left no row of epoch {whole}, in any of its batches; if bad images are left out "
                "(on_bad='skip'), the log names each"
            )

    def _give_up(self) -> None:
        """The turn stays where it is, so nobody comes behind: let those go who wait for it."""
        with self._changed.lock:
            self._is_closed = True
            self._changed.notify()

    def _fail(self, failure: BaseException) -> None:
        self.failure = failure
        self._give_up()
        try:
            self._on_failure(failure)
        finally:
            self._sink.end()  # or the consumer would wait for ever


def _read(work: Work | BaseException) -> deque[tuple[Position, Batch]]:
    """The batches of a work, with where they stand."""
    if isinstance(work, BaseException):
        raise work
    epoch, first = work.first
    return deque((Position(epoch, first + number), batch) for number, batch in enumerate(work.job.make()))


class Queue:
    """A Sink for threads of this process: a bounded queue of batches with their positions."""

    def __init__(self, capacity: int) -> None:
        self.capacity = whole("capacity", capacity, 1, "a number of batches")
        self._waiting: deque[tuple[Position, Batch]] = deque()
        self._changed = Condition()
        self._has_ended = self._is_cancelled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, at: Position, batch: Batch) -> None:
        def do() -> bool:
            if self._is_cancelled:
                raise Closed
            if len(self._waiting) == self.capacity:
                return False
            self._changed.notify()
            self._waiting.append((at, batch))
            return True

        self._changed.wait_for(do)

    def get(self) -> tuple[Position, Batch] | None:
        """The next batch, when it is there; None at the end."""

        def do() -> list[tuple[Position, Batch] | None]:
            if not self._waiting:
                return [None] if self._has_ended or self._is_cancelled else []
            self._changed.notify()
            return [self._waiting.popleft()]

        return self._changed.wait_for(do)[0]

    def end(self) -> None:
        with self._changed.lock:
            self._has_ended = True
            self._changed.notify()

    def cancel(self) -> None:
        with self._changed.lock:
            self._is_cancelled = True
            self._waiting.clear()
            self._changed.notify()


def failure_of(failure: BaseException) -> FeedError:
    """What the consumer is told of what went wrong with a batch, on whichever thread."""
    error = FeedError(f"the batches could not be made: {type(failure).__name__}: {failure}")
    error.__cause__ = failure
    return error
