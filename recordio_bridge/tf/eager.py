"""Eager mode and Keras: a tf.data.Dataset, of which each pass has threads and a queue of its own.

It is made of tf.numpy_function and not of Dataset.from_generator: that keeps its generator, here the runner with its
rows, for as long as the process lives, and on Python 3.11 it tells malloc, for the whole process, to map every block of
128 KiB anew, with which decoding an image takes twice its time.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ..feed.schedule import Position
from .calls import Calls
from .components import Array, Components, Tensor
from .kept import Kept
from .passes import Pass, eagerly

_AHEAD = 1  # batches that are tensors already while the model works on the one before
_NO_MORE = -1  # in place of a position


class Progress:
    """Which batch the model took last, noted by the dataset itself when it hands one over, without Python.

    In a table without a name: of each name, TensorFlow keeps 36 KiB for as long as the process lives.
    """

    def __init__(self, first: Position) -> None:
        with tf.device("/cpu:0"):
            nothing = tf.constant([-1, -1], tf.int64)
            self._table = tf.lookup.experimental.MutableHashTable(
                tf.int64, tf.int64, nothing, experimental_is_anonymous=True
            )
            self._key = tf.constant(0, tf.int64)
        self._first = first

    def note(self, at: Tensor) -> Tensor:
        """An operation that notes the batch that is to come next."""
        return self._table.insert(self._key, at)

    @property
    def next(self) -> Position:
        """The batch behind the last that was taken."""
        epoch, batch = eagerly(lambda: self._table.lookup(self._key).numpy().tolist())
        return self._first if epoch < 0 else Position(epoch, batch)


_feeds: Kept[Callable[[], Pass]] = Kept(lambda begin: None)
_passes: Kept[Pass] = Kept(Pass.abandon)


_calls = Calls()


def _begin(feed: Array) -> Array:
    with _calls:
        return _passes.token(_feeds[feed]())


def _take(token: Array) -> list[Array]:
    """The position behind the next batch of a pass, and the arrays of its parts."""
    with _calls:
        at, arrays = _passes[token].take()
        return [np.array((_NO_MORE, _NO_MORE) if at is None else at, np.int64), *arrays]


@atexit.register
def _settle() -> None:
    """A thread of TensorFlow that is in here when the interpreter goes would never come back, and be waited for."""
    _calls.refuse()
    for one in _passes.all():
        one.close()
    _calls.wait_until_quiet()


def make_dataset(
    begin: Callable[[], Pass],
    components: Components,
    rows: int | None,
    progress: Progress,
    num_batches: int | None,
) -> Tensor:
    """A tf.data.Dataset of tuples.

    Args:
        begin: begins a pass.
        rows: of each batch; None where they vary.
        num_batches: of a whole pass, where that is known.
    """
    dtypes = [tf.int64, *(part.dtype for part in components.parts)]

    def batches(feed: Tensor) -> Tensor:
        token = tf.numpy_function(_begin, [feed], tf.int64)
        token.set_shape([1])
        return tf.data.Dataset.from_tensors(token).repeat().map(take).take_while(is_batch)

    def take(token: Tensor) -> tuple[Tensor, ...]:
        at, *parts = tf.numpy_function(_take, [token], dtypes)
        at.set_shape([2])
        return (at, *components.given(parts, rows))

    def is_batch(at: Tensor, *given: Tensor) -> Tensor:
        return at[0] != _NO_MORE

    def note(at: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        with tf.control_dependencies([progress.note(at)]):
            return tuple(tf.nest.map_structure(tf.identity, given, expand_composites=True))

    made = tf.data.Dataset.from_tensors(_feeds.tensor(begin)).flat_map(batches).prefetch(_AHEAD)
    if num_batches is not None:
        never_asked = tf.data.Dataset.from_tensors(tf.zeros([1], tf.int64)).repeat().map(take)
        made = _of_length(made, num_batches, never_asked)
    made = made.map(note)
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # what waits there would count as taken
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF  # shard= does that
    return made.with_options(options)


def _of_length(dataset: Tensor, length: int, endless: Tensor) -> Tensor:
    """The same, with a cardinality that is known, and not held to: assert_cardinality would make an error of a pass
    that goes on in the middle of an epoch, or of which a transform left a batch without rows.

    Args:
        endless: of the same elements, and without end; none is taken.
    """
    first = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64)).repeat()
    return tf.data.Dataset.choose_from_datasets([dataset, endless], first, stop_on_empty_dataset=True).take(length)
