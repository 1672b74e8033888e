"""Feeder: the batches of a source from background threads, behind a bounded queue."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType

from ..arguments import whole
from ..batch import Batch
from ..errors import FeedError
from ..formats.base import OnBadRecord
from ..schema import Schema
from ..select import Select
from .course import Course, Transform
from .gauge import Stats
from .pump import Pump, Queue, failure_of
from .rows import Shard
from .schedule import Position
from .state import State
from .supply import FeedSource, Wants


class Feeder:
    """An iterator over the batches of a source, which are read and transformed on background threads.

    with Feeder("train.rec", 128, shuffle=True, seed=1, epochs=3, n_threads=2) as feeder:
        for batch in feeder:
            batch["image"], batch["label"]

    The order is the same for any number of threads, and for the same seed. One that is dropped ends its threads, but
    not where its transform is a method of what holds it: close that.

    Args:
        source: a path, a list of paths or globs, a RecordFile, a callable that gives an iterator of Batches or of
            tuples or dicts of arrays, or an mx.io.DataIter.
        batch_size: rows of a batch; the last of an epoch may have fewer, or is left out with drop_remainder.
        fields: the columns wanted, in the order wanted; for a source of tuples, names for their positions.
        select: as in convert.
        shuffle: each epoch in a new random order of all rows, from (seed, epoch). Rows of up to 64 MiB are read once
            and kept in memory. Where more of them are stored in chunks (HDF5), the order is one of chunks, and of rows
            within windows of 64 MiB. Ignored, with a log line, for iterators.
        seed: None takes one at random; state() tells it.
        epochs: None is without end; of 0 there is no batch.
        capacity: batches that wait in the queue at most.
        n_threads: each holds the rows that it has read, a batch, or a few of 4 MiB together, and up to 64 MiB, or a
            single batch, of what was made of them, until it is its turn to hand them over.
        transform: runs on the threads: transform(batch) gives a Batch, or a dict of arrays. feed.position.get() is then
            the number of the epoch and of the batch, to seed what is random. It may leave out rows, which stats() count
            as skipped; a batch of which it leaves none is not handed over.
        on_bad_record: "skip" leaves out what cannot be read, logs it, and counts it in stats().skipped.
        source_options: of the format, such as {"payload": "raw"}.
        shard: (index, count): only this trainer's part of each epoch. Parts differ by a row at most; where chunks are
            shuffled, by less than two of them; and by rows that are left out as bad, or by a transform. Trainers that
            wait for one another must take the same number of steps.
        state: what state() gave: goes on with the batch after the last one that was taken.
        preset, label_offset: as in convert, for files: preset="faces" is for InsightFace's.
        where: a bytes field of files; rows in which it is empty are left out, as if they were not there. Of the image
            in a .rec, the heads of the records say that; any other field is first read in all rows, where these are
            shuffled, or in shards, or begun by a state.

    Raises:
        FeedError: the state is of another source, or of other options.
        TypeError, ValueError: an argument is not what it should be.
        SchemaError, FormatError, OSError: the source cannot be read, or has no such fields.
    """

    def __init__(
        self,
        source: FeedSource,
        batch_size: int = 128,
        *,
        fields: Sequence[str] | None = None,
        select: Select | None = None,
        shuffle: bool = False,
        seed: int | None = None,
        epochs: int | None = 1,
        capacity: int = 8,
        n_threads: int = 1,
        drop_remainder: bool = False,
        transform: Transform | None = None,
        on_bad_record: OnBadRecord = "raise",
        source_options: Mapping[str, object] | None = None,
        shard: Shard | None = None,
        state: Mapping[str, object] | None = None,
        preset: str | None = None,
        label_offset: int | None = None,
        where: str | None = None,
    ) -> None:
        if epochs is not None:
            epochs = whole("epochs", epochs, 0, "None, or a whole number")
        wants = Wants(
            batch_size=batch_size,
            fields=fields,
            select=select,
            shuffle=shuffle,
            seed=seed,
            drop_remainder=drop_remainder,
            on_bad_record=on_bad_record,
            source_options=source_options,
            shard=shard,
            preset=preset,
            label_offset=label_offset,
            where=where,
        )
        course = self._course = Course(source, wants, transform, state)
        try:
            self._epochs, self._next, self._queue = epochs, course.first, Queue(capacity)
            work = course.work(course.first, epochs)
            leads = transform is not None
            self._pump = Pump(work, self._queue, course.finish, course.gauge, n_threads, leads=leads)
            self._is_started, self._lock = False, threading.Lock()
            self._closer = weakref.finalize(self, self._pump.close)
        except BaseException:  # an interrupt: what was unpacked goes now, and not when this is collected
            course.close()
            raise

    @property
    def schema(self) -> Schema:
        """What a batch holds; with a transform, this makes the first batch.

        Raises:
            FeedError: the first batch could not be read, or the transform failed; __cause__ is why.
            SchemaError: there is a transform, and no batch to try it on.
        """
        return self._course.schema(self._epochs)

    @property
    def num_batches(self) -> int | None:
        """Of an epoch; None where that is not known before its end."""
        return self._course.num_batches

    def __iter__(self) -> Feeder:
        return self

    def __next__(self) -> Batch:
        if self._pump.was_forked:
            raise FeedError("this process was forked while the Feeder had threads, and those stay behind: make it here")
        with self._lock:
            begins = not self._is_started and self._closer.alive
            self._is_started = self._is_started or begins
        if begins:
            self._pump.start()
        with self._course.gauge.waiting("consumer"):
            taken = self._queue.get()
        if taken is not None:
            at, batch = taken
            with self._lock:
                self._next = max(self._next, Position(at.epoch, at.batch + 1))
            return batch
        self._pump.stop_clock()
        if self._pump.failure is not None:
            raise failure_of(self._pump.failure)
        if self._pump.was_closed_early or not self._is_started:
            raise FeedError("the Feeder was closed before its end; make a new one, with state= to go on from there")
        raise StopIteration

    def state(self) -> State:
        """A small JSON value: Feeder(..., state=...) goes on with the batch after the last one that was taken."""
        return self._course.state(self._next)

    def stats(self) -> Stats:
        """What passed so far, and who waited for how long."""
        return self._course.gauge.stats(len(self._queue), self._queue.capacity, len(self._pump.threads))

    def close(self) -> None:
        """Stop the threads, within about a second, also when they are blocked; harmless when done twice."""
        try:
            self._closer()
        except BaseException:  # an interrupt: what was not done is left to the end of this object
            self._closer = weakref.finalize(self, self._pump.close)
            raise
        finally:
            self._course.close()

    def __enter__(self) -> Feeder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
