"""A pass over a dataset: threads and a queue of its own, out of which it takes arrays."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

import tensorflow as tf

from ..batch import Batch
from ..errors import FeedError
from ..feed.gauge import Gauge
from ..feed.pump import Closed, Pump, Queue, Sink, failure_of
from ..feed.schedule import Position
from .components import Array, Components

_T = TypeVar("_T")


def eagerly(call: Callable[[], _T]) -> _T:
    """What a call gives where TensorFlow executes eagerly: here, or on a thread while somebody makes a graph here."""
    if tf.executing_eagerly():
        return call()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


class Taken(NamedTuple):
    """The batch behind the one that is given, and that: the arrays of its parts."""

    next: Position
    arrays: list[Array]


class PassQueue(Sink, Protocol):
    """A Sink out of which a pass takes."""

    def __len__(self) -> int:
        """Batches that wait."""

    def take(self) -> Taken | None:
        """The next batch, when it is there; None at the end."""


class BatchQueue(Queue):
    """Whole batches, first in, first out."""

    def __init__(self, components: Components, capacity: int) -> None:
        super().__init__(capacity)
        self._components = components

    def take(self) -> Taken | None:
        taken = self.get()
        if taken is None:
            return None
        at, batch = taken
        return Taken(Position(at.epoch, at.batch + 1), self._components.arrays(batch))


class RowQueue:
    """Rows at random, by TensorFlow's RandomShuffleQueue."""

    def __init__(self, components: Components, batch_size: int, capacity: int, min_after_dequeue: int) -> None:
        self._components, self._batch_size = components, batch_size
        with tf.device("/cpu:0"):
            self._queue = tf.queue.RandomShuffleQueue(
                capacity * batch_size,
                min_after_dequeue,
                [part.dtype for part in components.parts],
                [part.shape[1:] for part in components.parts],
            )

    def __len__(self) -> int:
        return eagerly(lambda: int(self._queue.size())) // self._batch_size

    def put(self, at: Position, batch: Batch) -> None:
        try:
            self._queue.enqueue_many(self._components.arrays(batch))
        except tf.errors.CancelledError:
            raise Closed from None

    def end(self) -> None:
        self._queue.close()

    def cancel(self) -> None:
        eagerly(lambda: self._queue.close(cancel_pending_enqueues=True))

    def take(self) -> Taken | None:
        try:
            taken = self._queue.dequeue_up_to(self._batch_size)
        except tf.errors.OutOfRangeError:
            return None
        parts = list(taken) if isinstance(taken, (list, tuple)) else [taken]
        return Taken(Position(0, 0), [part.numpy() for part in parts])


class Pass:
    """The batches of a pass, until its end or until it is closed.

    Args:
        pump: fills the queue.
        nothing: the arrays of a batch without rows.
        on_end: is called with the position behind the last batch when it ends well.
    """

    def __init__(
        self,
        pump: Pump,
        queue: PassQueue,
        gauge: Gauge,
        nothing: list[Array],
        on_end: Callable[[Position | None], None],
    ) -> None:
        self._pump, self._queue, self._gauge, self._on_end = pump, queue, gauge, on_end
        self._nothing = nothing
        self._next: Position | None = None
        self._closer = weakref.finalize(self, pump.close)

    def start(self) -> None:
        """Start its threads; closed before, it has nothing."""
        self._pump.start()

    @property
    def num_threads(self) -> int:
        return len(self._pump.threads)

    @property
    def fill(self) -> int:
        """Batches in the queue."""
        return len(self._queue)

    def take(self) -> tuple[Position | None, list[Array]]:
        """The next batch, when it is there, and the position behind it; at the end None, and arrays without rows.

        Raises:
            FeedError: a thread failed, or the pass was closed before its end.
        """
        with self._gauge.waiting("consumer"):
            taken = self._queue.take()
        if taken is not None:
            self._next = taken.next
            return taken
        self.close()
        if self._pump.failure is not None:
            raise failure_of(self._pump.failure)
        if self._pump.was_closed_early:
            raise FeedError("the runner was stopped in the middle of a pass over its dataset")
        self._on_end(self._next)
        return None, self._nothing

    def close(self) -> None:
        """End its threads; harmless when done twice."""
        self._closer()

    def abandon(self) -> None:
        """As close, on a thread: for a caller who knows neither where he is nor whether he may wait."""
        if self._closer.alive:
            threading.Thread(target=self.close, name="recordio_bridge-feed-closer", daemon=True).start()
