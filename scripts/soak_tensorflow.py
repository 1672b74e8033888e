"""Feeding TensorFlow in the rounds and starts of scripts/soak, in eager and in graph mode."""

from __future__ import annotations

import threading
import time
from itertools import islice
from pathlib import Path
from random import Random

import tensorflow as tf

from recordio_bridge import FeedError
from recordio_bridge.tf import CustomRunner

v1 = tf.compat.v1
_MOMENT_S = 0.02  # in which something is stopped


def rows_of_passes(path: Path, chance: Random, **options: object) -> list[int]:
    """The rows of a whole pass over a dataset, after one that was broken off."""
    with CustomRunner(path, fields=["data"], **options) as runner:
        dataset = runner.dataset(n_threads=chance.choice([1, 2]))
        for _ in islice(dataset, chance.randrange(2)):
            pass
        return [int(row) for (numbers,) in dataset for row in numbers.numpy()]


def rows_of_steps(path: Path, chance: Random, **options: object) -> list[int]:
    """The rows that the steps of a session get in one epoch."""
    found: list[int] = []
    with tf.Graph().as_default():
        runner = CustomRunner(path, fields=["data"], epochs=1, **options)
        (numbers,) = runner.get_inputs()
        with v1.Session() as sess, runner:
            runner.start_threads(sess, n_threads=chance.choice([1, 2]))
            try:
                while True:
                    found += sess.run(numbers).tolist()
            except tf.errors.OutOfRangeError:
                return found


def start_dataset(path: Path, chance: Random) -> None:
    """A pass that is broken off, dropped, or stopped from another thread; or a transform that raises."""

    def spoil(batch: object) -> object:
        raise ArithmeticError

    how = chance.choice(["break", "drop", "stop", "spoil"])
    runner = CustomRunner(path, 10, capacity=chance.choice([1, 3]), shuffle=chance.random() < 0.5)
    try:
        if how == "spoil":
            runner.stop()
            runner = CustomRunner(path, 10, transform=spoil)
        dataset = runner.dataset(n_threads=chance.choice([1, 2, 3]))
        stopping = threading.Thread(target=lambda: (time.sleep(chance.uniform(0, _MOMENT_S)), runner.stop()))
        if how == "stop":
            stopping.start()
        for _ in islice(dataset, chance.randrange(12)):
            pass
        if how == "stop":
            stopping.join()
    except (FeedError, tf.errors.OpError):
        if how in ("break", "drop"):
            raise
    finally:
        if how != "drop":
            try:
                runner.stop()
            except FeedError:
                if how in ("break", "drop"):
                    raise


def start_graph(path: Path, chance: Random) -> None:
    """Steps in a session that is closed, cancelled by a Coordinator or by stop(), or whose consumer raises."""
    how = chance.choice(["stop", "close", "coordinator", "stop elsewhere", "raise", "never"])
    with tf.Graph().as_default():
        unit = chance.choice(["batch", "row"])
        runner = CustomRunner(path, 10, capacity=chance.choice([1, 3]), fields=["id"], unit=unit, epochs=None)
        inputs = runner.get_inputs()
        coordinator = v1.train.Coordinator() if how == "coordinator" else None
        sess = v1.Session()
        try:
            if how == "never":
                return
            threads = runner.start_threads(sess, n_threads=chance.choice([1, 2, 3]), coord=coordinator)
            for _ in range(chance.randrange(5)):
                sess.run(inputs)
            if how == "raise":
                raise ArithmeticError
            if how == "close":
                sess.close()
            if coordinator is not None:
                coordinator.request_stop()
                coordinator.join(threads)
            if how == "stop elsewhere":
                stopping = threading.Thread(target=lambda: (time.sleep(chance.uniform(0, _MOMENT_S)), runner.stop()))
                stopping.start()
                try:
                    while True:
                        sess.run(inputs)
                except tf.errors.OpError:
                    stopping.join()
        except ArithmeticError:
            pass
        finally:
            runner.stop()
            sess.close()
