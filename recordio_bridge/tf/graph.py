"""Graph mode: a TensorFlow queue, what fills it, and what a training step takes out of it.

A step that takes a batch first looks whether the threads were started, and says so where they were not, instead of
waiting for ever. It notes which batch it took, and how long it waited for it, in a table of the graph: that needs
neither Python nor a variable that would have to be initialised. Each place that batches are taken from has an entry of
its own there, as several may be in one step, in any order.
"""

from __future__ import annotations

import logging
from typing import Any, Literal, TypeAlias

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.config_pb2 import CallableOptions

from ..batch import Batch
from ..errors import FeedError
from ..feed.pump import Closed
from ..feed.schedule import Position
from .components import Components, Tensor

_log = logging.getLogger(__name__)

Session: TypeAlias = Any  # a tf.compat.v1.Session; TensorFlow has no types
Unit: TypeAlias = Literal["batch", "row"]

_NEXT, _WAITED, _STARTED = range(3)  # of an entry: the batch to come next, seconds, and whether there are threads
_ALL = 0  # the entry of the threads, with the batch that they began with
_EPOCH = 2.0**31  # a position is epoch * this + batch, in float64: exact for 4 million epochs
_NOT_STARTED = (
    "no threads feed this queue yet: call runner.start_threads(sess) before the first step, after the variables are "
    "initialised"
)


class GraphQueue:
    """A queue in the default graph, and a Sink that fills it once it is bound to a session.

    Args:
        capacity: in batches.
        min_after_dequeue: rows that stay in a queue of rows, to be mixed with.
        fixed_rows: the number of rows of every batch; None where it varies.
    """

    def __init__(
        self,
        parts: Components,
        batch_size: int,
        capacity: int,
        unit: Unit,
        min_after_dequeue: int,
        fixed_rows: int | None,
    ) -> None:
        v1 = tf.compat.v1
        self.graph = v1.get_default_graph()
        self._components, self._unit, self._fixed_rows = parts, unit, fixed_rows
        self._batch_size = batch_size
        self._session: Session = None
        with tf.device("/cpu:0"), tf.name_scope("recordio_bridge"):
            dtypes = [part.dtype for part in parts.parts]
            self._feeds = [v1.placeholder(part.dtype, part.shape) for part in parts.parts]
            if unit == "row":
                shapes = [part.shape[1:] for part in parts.parts]
                rows = capacity * batch_size
                self._queue = tf.queue.RandomShuffleQueue(rows, min_after_dequeue, dtypes, shapes)
                self._enqueue_op = self._queue.enqueue_many(self._feeds)
            else:
                self._queue = tf.queue.FIFOQueue(capacity, [tf.float64, *dtypes])
                self._feeds = [v1.placeholder(tf.float64, []), *self._feeds]
                self._enqueue_op = self._queue.enqueue(self._feeds)
            self._end_op = self._queue.close()
            self._cancel_op = self._queue.close(cancel_pending_enqueues=True)
            self._size_op = self._queue.size()
            self._table = tf.raw_ops.MutableHashTableOfTensorsV2(
                key_dtype=tf.int64, value_dtype=tf.float64, value_shape=[3], use_node_name_sharing=True
            )
            self._entries = [self._read(_ALL)]
            self._begin = v1.placeholder(tf.float64, [3])
            self._begin_op = self._write(_ALL, self._begin)

    def _read(self, key: int) -> Tensor:
        return tf.raw_ops.LookupTableFindV2(
            table_handle=self._table, keys=tf.constant(key, tf.int64), default_value=tf.zeros([3], tf.float64)
        )

    def _write(self, key: int, entry: Tensor) -> Any:
        return tf.raw_ops.LookupTableInsertV2(table_handle=self._table, keys=tf.constant(key, tf.int64), values=entry)

    # ---- what a step takes ----

    def dequeue(self) -> tuple[Tensor, ...]:
        """The tensors of a batch, one for each field."""
        with tf.device("/cpu:0"), tf.name_scope("recordio_bridge"):
            key = len(self._entries)
            self._entries.append(self._read(key))
            is_started = self._read(_ALL)[_STARTED] > 0
            with tf.control_dependencies([tf.debugging.Assert(is_started, [_NOT_STARTED])]):
                before = tf.timestamp()
            with tf.control_dependencies([before]):
                taken = self._take()
            with tf.control_dependencies(taken):
                waited = tf.timestamp() - before
                entry = self._read(key)
            (at, *parts) = taken if self._unit == "batch" else (entry[_NEXT], *taken)
            # the greater, as another thread may have noted a later one meanwhile
            noted = self._write(key, tf.stack([tf.maximum(at, entry[_NEXT]), entry[_WAITED] + waited, 0.0]))
            with tf.control_dependencies([noted]):
                parts = [tf.identity(part) for part in parts]
            return self._components.given(parts, self._fixed_rows)

    def _take(self) -> list[Tensor]:
        if self._unit == "row":
            whole = self._fixed_rows is not None
            taken = self._queue.dequeue_many(self._batch_size) if whole else self._queue.dequeue_up_to(self._batch_size)
        else:
            taken = self._queue.dequeue()
        return list(taken) if isinstance(taken, (list, tuple)) else [taken]

    # ---- what a session does with it ----

    def bind(self, session: Session, first: Position) -> None:
        """From here on, put feeds the queue of this session, of which steps may take."""
        self._session = session
        self._enqueue = _feeding(session, self._enqueue_op, self._feeds)
        session.run(self._begin_op, {self._begin: [_number(first), 0.0, 1.0]})

    def put(self, at: Position, batch: Batch) -> None:
        arrays: list[Any] = self._components.arrays(batch)
        if self._unit == "batch":
            arrays = [np.array(_number(Position(at.epoch, at.batch + 1))), *arrays]
        try:
            self._enqueue(*arrays)
        except tf.errors.CancelledError:
            raise Closed from None
        except (RuntimeError, tf.errors.OpError) as err:
            if not _is_closed(self._session):
                raise
            _log.warning("the session was closed while threads fed it; call runner.stop() before session.close()")
            raise Closed from err

    def end(self) -> None:
        self._quietly(self._end_op)

    def cancel(self) -> None:
        self._quietly(self._cancel_op)

    def _quietly(self, operation: Any) -> None:
        """In a session that may be closed, and then has no queue any more."""
        if self._session is not None and not _is_closed(self._session):
            try:
                self._session.run(operation)
            except tf.errors.CancelledError:
                pass  # the queue is closed already: stop() and the end of the data may come at the same time
            except RuntimeError:
                if not _is_closed(self._session):
                    raise

    @property
    def fill(self) -> int:
        """Batches in the queue."""
        if self._session is None or _is_closed(self._session):
            return 0
        size = int(self._session.run(self._size_op))
        return size // self._batch_size if self._unit == "row" else size

    def taken(self) -> tuple[Position, float] | None:
        """The batch after the last that a step took, and how long steps waited, in seconds; None without a session."""
        if self._session is None or _is_closed(self._session):
            return None
        entries = self._session.run(self._entries)
        epoch, batch = divmod(max(entry[_NEXT] for entry in entries), _EPOCH)
        return Position(int(epoch), int(batch)), float(sum(entry[_WAITED] for entry in entries))


def _number(at: Position) -> float:
    return at.epoch * _EPOCH + at.batch


def _feeding(session: Session, operation: Any, feeds: list[Tensor]) -> Any:
    """A function of arrays for the feeds that runs an operation.

    This is what Keras used for graphs. session.make_callable takes feeds through Session.run, in Python, which took 210
    microseconds where this takes 20.
    """
    options = CallableOptions(feed=[feed.name for feed in feeds], target=[operation.name])
    options.run_options.inter_op_thread_pool = -1  # on the thread that calls, which has nothing else to do
    return session._make_callable_from_options(options)


def raw_session(session: Session) -> Session:
    """The tf.Session inside of a MonitoredSession, whose hooks are not for other threads; others as they are.

    Raises:
        FeedError: it is closed.
    """
    if hasattr(session, "run_step_fn"):
        if session.should_stop():
            raise FeedError("the session is closed, or was asked to stop; make a new one")
        session = session.run_step_fn(lambda step_context: step_context.session)
    if _is_closed(session):
        raise FeedError("the session is closed; make a new one, and start the threads in it")
    return session


def _is_closed(session: Session) -> bool:
    return bool(getattr(session, "_closed", False))  # it has no public name


def uninitialised(session: Session) -> list[str]:
    """The variables of a session that have no value yet; none are looked for in a graph that is finalized."""
    if session.graph.finalized:
        return []
    with session.graph.as_default(), tf.device("/cpu:0"):
        report = tf.compat.v1.report_uninitialized_variables()
    return [name.decode() for name in session.run(report)]
