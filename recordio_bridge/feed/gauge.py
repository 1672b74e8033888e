"""What a feed did so far, and whether it or its consumer is the slower of the two."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

_LEAST_S, _LEAST_BATCHES = 1.0, 10  # before, what it took to begin outweighs what it takes to go on
_IDLE = 0.05  # of the time: a consumer that waits for less of it is not held up, whatever its threads do


@dataclass(frozen=True, slots=True)
class Stats:
    """rows, batches and bytes handed over; seconds; fill is the number of batches that wait in the queue now.

    elapsed_s: while passes ran, each to its last batch or until it was broken off; what is between them, such as
    validation by another feed, is left out, and what several take at once counts once.

    consumer_wait_s: how long the model waited for batches, of any of the passes that ran; in graph mode, of all places
    where steps take them, added up. producer_wait_s: how long threads waited for room, in all of the passes that ran;
    num_threads is the number of a pass.

    skipped: rows that were left out: bad records (on_bad_record="skip"), counted anew in every epoch in which they are
    missing, and what a transform left out, such as bad images. Of a shard, those that it would have had.
    """

    rows: int
    batches: int
    nbytes: int
    elapsed_s: float
    consumer_wait_s: float
    producer_wait_s: float
    fill: int
    capacity: int
    num_threads: int
    skipped: int

    @property
    def summary(self) -> str:
        """One sentence: which side is the bottleneck: that which waits for less of the time, and the model where it
        hardly waits. Within a second, or 10 batches, that cannot be told."""
        if not self.batches or not self.elapsed_s:
            return "nothing was handed over yet"
        if self.elapsed_s < _LEAST_S or self.batches < _LEAST_BATCHES:
            batches = f"{self.batches} batch{'es' if self.batches > 1 else ''}"
            return f"it is too early to tell the bottleneck: {batches} in {self.elapsed_s:.2g} s"
        waited = min(1.0, self.consumer_wait_s / self.elapsed_s)
        rate = f"{self.rows / self.elapsed_s:,.0f} rows/s"
        blocked = min(1.0, self.producer_wait_s / self.elapsed_s)  # of n threads, one has its turn to wait for room
        if waited < _IDLE or blocked > waited:
            room = "" if waited < _IDLE else f", threads for room {blocked:.1%}"
            return f"the model is the bottleneck: it waited for data {waited:.1%} of the time{room}, at {rate}"
        advice = "" if blocked > 0.5 else "; try more threads, a lighter transform, or fewer fields"
        return f"the data is the bottleneck: the model waited for it {waited:.1%} of the time, at {rate}{advice}"


class Gauge:
    """Counts what passes; safe to use from many threads.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._lock = threading.RLock()  # as garbage may be collected anywhere, and a feed in it stops its clock
        self._clock = clock
        self._running = 0
        self._noted_at = 0.0
        self._elapsed = 0.0
        self._counts = {"rows": 0, "batches": 0, "nbytes": 0, "skipped": 0}
        self._waiting = {"consumer": 0, "producer": 0}
        self._waits = {"consumer": 0.0, "producer": 0.0}

    def start(self) -> None:
        """A pass begins: the clock runs while there is one."""
        with self._lock:
            self._note()
            self._running += 1

    def stop(self) -> None:
        """A pass that was started ends."""
        with self._lock:
            self._note()
            self._running -= 1

    def _note(self) -> None:
        """Add up the time since this was last done, in which nothing began or ended."""
        now = self._clock()
        seconds, self._noted_at = max(0.0, now - self._noted_at), now
        if self._running:
            self._elapsed += seconds
            self._waits["consumer"] += seconds if self._waiting["consumer"] else 0.0
            # out of a pass that lies idle nothing is taken: its threads wait, however slow the data is
            self._waits["producer"] += seconds if self._waiting["producer"] >= self._running else 0.0

    def add(self, **counts: int) -> None:
        """Count rows, batches, nbytes or skipped."""
        with self._lock:
            for name, count in counts.items():
                self._counts[name] += count

    @contextmanager
    def waiting(self, side: str) -> Iterator[None]:
        """Time spent in here, while a pass runs, is waiting of the "consumer" or the "producer"."""
        self._wait(side, 1)
        try:
            yield
        finally:
            self._wait(side, -1)

    def _wait(self, side: str, more: int) -> None:
        with self._lock:
            self._note()
            self._waiting[side] += more

    def stats(self, fill: int, capacity: int, num_threads: int, consumer_wait_s: float | None = None) -> Stats:
        """Everything so far. consumer_wait_s: where somebody else measured it."""
        with self._lock:
            self._note()
            elapsed, counts, producer = self._elapsed, dict(self._counts), self._waits["producer"]
            waited = self._waits["consumer"] if consumer_wait_s is None else consumer_wait_s
        return Stats(
            **counts,
            elapsed_s=elapsed,
            consumer_wait_s=waited,
            producer_wait_s=producer,
            fill=fill,
            capacity=capacity,
            num_threads=num_threads,
        )
