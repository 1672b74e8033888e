"""Eager mode and Keras: a tf.data.Dataset, of which each pass has threads and a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import tensorflow as tf

from ..batch import Batch
from ..feed.pump import Closed, Queue, Sink
from ..feed.schedule import Position
from .components import Components, Tensor

_AHEAD = 1  # batches that are tensors already while the model works on the one before


class PassQueue(Sink, Protocol):
    """A Sink out of which a pass takes."""

    def __len__(self) -> int:
        """Batches that wait."""

    def take(self) -> tuple[Position, tuple[Tensor, ...]] | None:
        """The batch behind the one that is given, and that: a tensor or array for each field. None at the end."""


class BatchQueue(Queue):
    """Whole batches, first in, first out."""

    def __init__(self, components: Components, capacity: int) -> None:
        super().__init__(capacity)
        self._components = components

    def take(self) -> tuple[Position, tuple[Tensor, ...]] | None:
        taken = self.get()
        if taken is None:
            return None
        at, batch = taken
        return Position(at.epoch, at.batch + 1), self._components.tensors(self._components.arrays(batch))


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
        return int(self._queue.size()) // self._batch_size

    def put(self, at: Position, batch: Batch) -> None:
        try:
            self._queue.enqueue_many(self._components.arrays(batch))
        except tf.errors.CancelledError:
            raise Closed from None

    def end(self) -> None:
        self._queue.close()

    def cancel(self) -> None:
        self._queue.close(cancel_pending_enqueues=True)

    def take(self) -> tuple[Position, tuple[Tensor, ...]] | None:
        try:
            taken = self._queue.dequeue_up_to(self._batch_size)
        except tf.errors.OutOfRangeError:
            return None
        parts = list(taken) if isinstance(taken, (list, tuple)) else [taken]
        return Position(0, 0), self._components.tensors(parts)


class Taken:
    """Which batch the model took last, noted by the dataset itself when it hands one over, without Python."""

    def __init__(self, first: Position) -> None:
        with tf.device("/cpu:0"):
            self._table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, tf.constant([-1, -1], tf.int64))
            self._key = tf.constant(0, tf.int64)
        self._first = first

    def note(self, at: Tensor) -> Tensor:
        """An operation that notes the batch that is to come next."""
        return self._table.insert(self._key, at)

    @property
    def next(self) -> Position:
        """The batch behind the last that was taken."""
        epoch, batch = (int(number) for number in self._table.lookup(self._key))
        return self._first if epoch < 0 else Position(epoch, batch)


def make_dataset(
    begin: Callable[[], AbstractContextManager[Iterator[tuple[Position, tuple[Tensor, ...]]]]],
    specs: tuple[Tensor, ...],
    taken: Taken,
    num_batches: int | None,
) -> Tensor:
    """A tf.data.Dataset of tuples.

    Args:
        begin: begins a pass, and ends it, also when it is broken off.
        specs: the tf.TypeSpec of each member.
        num_batches: of a pass, where that is known.
    """

    def batches() -> Iterator[tuple[Tensor, ...]]:
        with begin() as given:
            for at, tensors in given:
                yield (list(at), *tensors)

    def note(at: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        with tf.control_dependencies([taken.note(at)]):
            return tuple(tf.nest.map_structure(tf.identity, tensors, expand_composites=True))

    made = tf.data.Dataset.from_generator(batches, output_signature=(tf.TensorSpec([2], tf.int64), *specs))
    made = made.prefetch(_AHEAD).map(note)
    if num_batches is not None:
        made = made.apply(tf.data.experimental.assert_cardinality(num_batches))
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # what waits there would count as taken
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF  # shard= does that
    return made.with_options(options)
