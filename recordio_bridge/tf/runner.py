"""CustomRunner: background threads that feed a model, in graph mode as in 2016, and in eager mode and Keras."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from numbers import Real
from types import TracebackType
from typing import Any

import tensorflow as tf

from ..arguments import whole
from ..errors import FeedError
from ..feed.course import Course, Transform
from ..feed.gauge import Stats
from ..feed.pump import Pump, failure_of
from ..feed.rows import Shard
from ..feed.schedule import Position
from ..feed.state import State
from ..feed.supply import FeedSource, Wants
from ..formats.base import OnBadRecord
from ..schema import Schema
from ..select import Select
from .components import Components, Tensor
from .eager import Progress, make_dataset
from .graph import GraphQueue, Session, Unit, raw_session, uninitialised
from .passes import BatchQueue, Pass, PassQueue, RowQueue

_log = logging.getLogger(__name__)
_POLL_S = 0.1  # how often the thread that waits for a Coordinator looks whether it is still needed


class CustomRunner:
    """Feeds a model from files, or from an iterator, on background threads.

    Graph mode, as in the posts of 2016:

        runner = CustomRunner("train.rec", batch_size=128)
        images, labels = runner.get_inputs()         # on the main thread, where the graph is made
        ...
        sess.run(tf.compat.v1.global_variables_initializer())
        runner.start_threads(sess)

    Eager loops and Keras:

        with CustomRunner("train.rec", shuffle=True, seed=1) as runner:
            model.fit(runner.dataset(), epochs=3)

    Batches come in the same order for any number of threads, and for the same seed; but with unit="row", where
    TensorFlow mixes the rows, in an order that differs from run to run.

    Args:
        source, batch_size, fields, select, shuffle, seed, drop_remainder, transform, on_bad_record, source_options,
            shard, state, preset, label_offset, where: as in feed.Feeder.
        epochs: 1 or more. In graph mode, how many there are until tf.errors.OutOfRangeError; None is without end. A
            pass over dataset() is so many epochs; None is one.
        capacity: batches that wait in the queue at most, with unit="row", too.
        unit: "batch" queues whole batches; "row" single rows, mixed at random by tf.queue.RandomShuffleQueue.
        min_after_dequeue: with unit="row", rows that stay in the queue to be mixed with; None is half of its capacity.
        pad: fills rows of ragged numbers up to the longest of the batch; None gives tf.RaggedTensor.

    Raises:
        FeedError: the state is of another source, or of other options.
        TypeError, ValueError: an argument is not what it should be.
        SchemaError, FormatError, OSError: the source cannot be read, or has no such fields.
    """

    def __init__(
        self,
        source: FeedSource,
        batch_size: int = 128,
        fields: Sequence[str] | None = None,
        select: Select | None = None,
        shuffle: bool = False,
        seed: int | None = None,
        epochs: int | None = None,
        capacity: int = 8,
        unit: Unit = "batch",
        min_after_dequeue: int | None = None,
        pad: float | None = None,
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
        _check_unit_and_pad(unit, pad)
        batch_size, capacity = whole("batch_size", batch_size, 1), whole("capacity", capacity, 1, "a number of batches")
        if epochs is not None:
            epochs = whole("epochs", epochs, 1, "None, or a whole number")
        self._least = _least_rows(unit, min_after_dequeue, capacity, batch_size)
        if state is not None and unit == "row":
            raise ValueError("state is for unit='batch': rows that are mixed at random have no order to go on with")
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
        self._course = Course(source, wants, transform, state)
        self._batch_size, self._epochs, self._capacity = batch_size, epochs, capacity
        self._unit, self._pad = unit, pad
        self._fixed_rows = batch_size if drop_remainder else None
        self._pid = os.getpid()
        self._graph: GraphQueue | None = None
        self._pump: Pump | None = None
        self._progress: Progress | None = None
        self._next_pass = self._course.first
        self._lock = threading.Lock()
        self._passes: weakref.WeakSet[Pass] = weakref.WeakSet()
        self._failures: list[BaseException] = []  # and not the runner itself, which the threads would keep alive
        self._noted: tuple[Position, float] | None = None
        self._is_lost = False
        self._last_of_pass: Position | None = None
        self._num_threads = 1
        self._is_stopped = False

    # ---- graph mode ----

    def get_inputs(self) -> tuple[Tensor, ...]:
        """The tensors of one batch, in the order of the fields; graph mode. Each call is another place to take from.

        Raises:
            FeedError: it was called in another graph before; threads run already, in which the graph must not change;
                or there is no graph; or the first batch, on which a transform is tried to know its tensors, could not
                be made, with the __cause__.
            SchemaError: there is a transform, and no batch to try it on.
        """
        if tf.executing_eagerly():
            raise FeedError(
                "get_inputs() is for graph mode, and TensorFlow executes eagerly: iterate over runner.dataset(), or "
                "build the model inside `with tf.Graph().as_default():`"
            )
        self._check_usable()
        if self._graph is not None and not _is_in(tf.compat.v1.get_default_graph(), self._graph.graph):
            raise FeedError(
                "get_inputs() was called in another graph before, where its queue is; a runner feeds one graph: make "
                "another runner for this one"
            )
        if self._pump is not None:
            raise FeedError("get_inputs() after start_threads(): make all of the graph first, then start the threads")
        if self._graph is None:
            components = self._components(self._epochs)
            self._graph = GraphQueue(
                components, self._batch_size, self._capacity, self._unit, self._least, self._fixed_rows
            )
        return self._graph.dequeue()

    def start_threads(self, sess: Session, n_threads: int = 1, coord: Any = None) -> list[threading.Thread]:
        """Start the threads that fill the queue of a session; graph mode.

        Args:
            sess: a tf.compat.v1.Session, or a MonitoredSession.
            coord: a tf.train.Coordinator: the threads end when it is asked to stop, and it is told when one fails.

        They run until the data, the session or the runner ends. When one fails, the steps see the end of the data
        (tf.errors.OutOfRangeError): why is an error in the log, and is raised by stop(), `with` and coord.join().

        Returns:
            The threads, as for coord.join(threads).

        Raises:
            FeedError: get_inputs() was not called; they were started before; variables are not initialised; the
                session is closed, or of another graph.
        """
        self._check_usable()
        n_threads = whole("n_threads", n_threads, 1)
        if self._graph is None:
            raise FeedError(
                "start_threads() before get_inputs(): call get_inputs() first, which makes the queue"
                if not tf.executing_eagerly()
                else "start_threads() is for graph mode; iterate over runner.dataset(), which starts its own"
            )
        if self._pump is not None:
            raise FeedError("start_threads() was called before; n_threads= says how many there are to be")
        session = raw_session(sess)
        if session.graph is not self._graph.graph:
            raise FeedError("the session is of another graph than the one in which get_inputs() was called")
        missing = uninitialised(session)
        if missing:
            raise FeedError(
                f"start_threads() before the variables are initialised: {', '.join(missing[:5])}"
                f"{' and others' if len(missing) > 5 else ''}; run tf.compat.v1.global_variables_initializer() first"
            )
        self._graph.bind(session, self._course.first)

        def tell(failure: BaseException) -> None:  # by which the threads keep the runner, as programs of 2016 do not
            self._failures.append(failure)
            error = failure_of(failure)
            _log.error("%s", error, exc_info=failure)  # as to a program that calls no stop(), it looks like the end
            if coord is not None and not coord.joined:
                coord.request_stop((type(error), error, failure.__traceback__))  # as sys.exc_info() in its except

        work = self._course.work(self._course.first, self._epochs)
        self._pump = Pump(work, self._graph, self._course.finish, self._course.gauge, n_threads, tell)
        self._pump.start()
        threads = list(self._pump.threads)
        if coord is not None:
            threads.append(_watch(coord, self._pump))
            for thread in threads:
                coord.register_thread(thread)
        return threads

    # ---- eager mode ----

    def dataset(self, n_threads: int = 1) -> Tensor:
        """A tf.data.Dataset of tuples, in the order of the fields, also of a single one; eager mode.

        Each pass over it is an epoch (`epochs` of them, if given), in an order of its own, also after a pass that was
        broken off. It has threads of its own, which end with it. Its cardinality is known where the number of rows is.

        Raises:
            FeedError: TensorFlow does not execute eagerly.
        """
        if not tf.executing_eagerly():
            raise FeedError("dataset() is for eager mode; in graph mode, call get_inputs() and start_threads(sess)")
        self._check_usable()
        n_threads = whole("n_threads", n_threads, 1)
        first = self._next_pass
        components = self._components(None)
        if self._progress is None:
            self._progress = Progress(first)
        num_batches = self._course.count_batches()  # as Keras warns of a dataset whose length it does not know
        if num_batches == 0:  # of which TensorFlow begins no pass
            self._course.warn_of_nothing()
        if num_batches is not None:
            is_added_up = self._unit == "batch" or self._per_pass == 1  # rows of several epochs share batches
            num_batches = num_batches * self._per_pass if is_added_up else None

        def begin() -> Pass:
            return self._begin_pass(components, n_threads)

        return make_dataset(begin, components, self._fixed_rows, self._progress, num_batches)

    @property
    def _per_pass(self) -> int:
        """Epochs of a pass over dataset()."""
        return 1 if self._epochs is None else self._epochs

    def _stop_of(self, first: Position) -> int:
        """The epoch behind the pass that begins, or goes on, at first."""
        return (first.epoch // self._per_pass + 1) * self._per_pass

    def _begin_pass(self, components: Components, n_threads: int) -> Pass:
        self._check_usable()
        if self._course.is_single:
            self._close_passes()  # a pass that was broken off may not be closed yet
        with self._lock:
            first = self._next_pass
            stop = self._stop_of(first)
            self._next_pass = Position(stop, 0)
        queue: PassQueue
        if self._unit == "row":
            queue = RowQueue(components, self._batch_size, self._capacity, self._least)
        else:
            queue = BatchQueue(components, self._capacity)
        course = self._course
        pump = Pump(course.work(first, stop), queue, course.finish, course.gauge, n_threads, self._failures.append)
        begun = Pass(pump, queue, course.gauge, components.no_arrays(), self._end_pass)
        with self._lock:  # before its threads do anything: stop() closes all that it finds
            self._passes.add(begun)
        self._check_usable()
        begun.start()
        return begun

    def _passes_now(self) -> list[Pass]:
        with self._lock:
            return list(self._passes)

    def _end_pass(self, behind: Position | None) -> None:
        self._last_of_pass = behind

    def _close_passes(self) -> None:
        for begun in self._passes_now():
            begun.close()

    # ---- both ----

    def _components(self, stop: int | None) -> Components:
        return Components(self._course.schema(stop), self._pad, self._unit == "row")

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise FeedError(
                "this process was forked from the one that made the runner, whose threads stayed there; make a runner "
                "here, or start processes by spawn"
            )
        if self._is_stopped:
            raise FeedError("the runner was stopped; make a new one, with state=runner.state() to go on from there")

    def schema(self) -> Schema:
        """What a batch holds; with a transform, this makes the first batch.

        Raises:
            FeedError: the first batch could not be read, or the transform failed; __cause__ is why.
            SchemaError: there is a transform, and no batch to try it on.
        """
        return self._course.schema()

    def state(self) -> State:
        """A small JSON value: CustomRunner(..., state=...) goes on with the batch after the last one that was taken.

        In graph mode that is the last that a step took; of dataset(), the last that it handed over, so anything that
        prefetches behind it counts as having taken it.

        Raises:
            FeedError: the session was closed before it was asked for.
            ValueError: the order of unit="row" cannot be gone on with.
        """
        if self._unit == "row":
            raise ValueError("state() is for unit='batch': rows that are mixed at random have no order to go on with")
        self._note_taken()
        if self._is_lost:
            raise FeedError(
                "the session was closed, and with it what its steps took: call state(), or stop(), before it is closed"
            )
        if self._noted is not None:
            return self._course.state(self._noted[0])
        taken = self._course.first if self._progress is None else self._progress.next
        return self._course.state(Position(taken.epoch + 1, 0) if taken == self._last_of_pass else taken)

    def _note_taken(self) -> None:
        """Note what steps took so far, which the session knows as long as it is open."""
        noted = None if self._graph is None else self._graph.taken()
        if noted is not None:
            self._noted = noted
        elif not self._is_stopped:
            self._is_lost = self._pump is not None

    def stats(self) -> Stats:
        """What passed so far, and who waited for how long."""
        passes = self._passes_now()
        fill, num_threads = sum(each.fill for each in passes), max((each.num_threads for each in passes), default=0)
        waited = None
        if self._graph is not None:
            self._note_taken()
            fill, waited = self._graph.fill, 0.0 if self._noted is None else self._noted[1]
            num_threads = 0 if self._pump is None else len(self._pump.threads)
            if self._pump is not None and self._pump.is_done and not fill:
                self._pump.stop_clock()  # the last batch was taken, of which the session does not tell
        num_threads = self._num_threads = num_threads or self._num_threads
        return self._course.gauge.stats(fill, self._capacity, num_threads, waited)

    def summary(self) -> str:
        """One sentence: whether the model or the data is the bottleneck."""
        return self.stats().summary

    def stop(self) -> None:
        """End the threads, within about a second, also when they are blocked; harmless when done twice.

        Raises:
            FeedError: a thread failed; __cause__ is why. It is raised once.
        """
        self._stop()
        for failure in self._raised_once():
            raise failure

    def _stop(self) -> None:
        if os.getpid() != self._pid or self._is_stopped:
            return
        self.stats()  # what the session knows, as it may be closed next
        self._is_stopped = True
        if self._pump is not None:
            self._pump.close()
        self._close_passes()
        self._course.close()

    def __enter__(self) -> CustomRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        for failure in self._raised_once():
            if error is None or isinstance(error, tf.errors.OpError):  # which is how a model sees that a thread failed
                raise failure
            _log.error("%s", failure)

    def _raised_once(self) -> list[FeedError]:
        """The first failure of a thread, if there is one that nobody was told of yet."""
        failures = [failure_of(failure) for failure in self._failures[:1]]
        self._failures.clear()
        return failures


def _watch(coord: Any, pump: Pump) -> threading.Thread:
    """A thread that closes the pump when the coordinator is asked to stop."""

    def wait() -> None:
        while not coord.wait_for_stop(_POLL_S):
            if pump.is_done:
                return
        pump.close()

    thread = threading.Thread(target=wait, name="recordio_bridge-feed-coordinator", daemon=True)
    thread.start()
    return thread


def _check_unit_and_pad(unit: str, pad: float | None) -> None:
    if unit not in ("batch", "row"):
        raise ValueError(f"unit={unit!r}: expected 'batch' or 'row'")
    if pad is not None and (isinstance(pad, bool) or not isinstance(pad, Real)):
        raise TypeError(f"pad={pad!r}: expected a number, or None")


def _is_in(graph: Any, outer: Any) -> bool:
    """Whether it is this graph, or that of a function or a branch in it."""
    while graph is not outer and hasattr(graph, "outer_graph"):
        graph = graph.outer_graph
    return graph is outer


def _least_rows(unit: Unit, min_after_dequeue: int | None, capacity: int, batch_size: int) -> int:
    """min_after_dequeue, or what it is when not given."""
    if min_after_dequeue is None:
        return (capacity - 1) * batch_size // 2
    if unit != "row":
        raise ValueError("min_after_dequeue is for unit='row'")
    min_after_dequeue = whole("min_after_dequeue", min_after_dequeue, 0, "a number of rows")
    if not 0 <= min_after_dequeue <= (capacity - 1) * batch_size:
        raise ValueError(
            f"min_after_dequeue={min_after_dequeue}: expected 0 to {(capacity - 1) * batch_size}, so that in a "
            f"queue of {capacity} x {batch_size} rows there is room for a batch"
        )
    return min_after_dequeue
