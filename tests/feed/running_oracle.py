"""Running a CustomRunner in graph mode and eagerly, within a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from recordio_bridge.tf import CustomRunner
from tests.feed.deadline import Call, within
from tests.feed.sources import columns

v1 = tf.compat.v1


@contextmanager
def session(runner: CustomRunner, n_threads: int = 1) -> Iterator[Callable[[], tuple]]:
    """A session that is fed, as a function that takes the next batch out of it."""
    with tf.Graph().as_default():
        inputs = runner.get_inputs()
        with v1.Session() as sess:
            runner.start_threads(sess, n_threads)
            yield lambda: sess.run(inputs)


def ids_of(values: tuple) -> list[int]:
    """The numbers of the rows of a batch of tensors, where the others fit them."""
    numbers = np.asarray(values[0])
    if len(values) > 1:
        for found, expected in zip(values, columns(numbers).values(), strict=True):
            assert np.array_equal(found, expected)
    return numbers.tolist()


def graph_steps(runner: CustomRunner, n_threads: int = 1, count: int | None = None) -> list[list[int]]:
    """The rows of each batch in graph mode: so many, or to the end of the data."""

    def run() -> list[list[int]]:
        found: list[list[int]] = []
        with session(runner, n_threads) as take:
            try:
                while count is None or len(found) < count:
                    found.append(ids_of(take()))
            except tf.errors.OutOfRangeError:
                assert count is None
            if count is None:
                runner.stop()
        return found

    return within(60, run)


def eager_pass(dataset: tf.data.Dataset, count: int | None = None) -> list[list[int]]:
    """The rows of each batch of a pass over a dataset, or of its first so many."""

    def run() -> list[list[int]]:
        found: list[list[int]] = []
        for values in dataset if count != 0 else ():
            assert isinstance(values, tuple)
            found.append(ids_of(tuple(value.numpy() for value in values)))
            if len(found) == count:
                break
        return found

    return within(60, run)


def failing_step(take: Callable[[], object]) -> Call:
    """A step on a thread of its own, that may wait."""
    return Call(take)
