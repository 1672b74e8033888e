"""Arguments of CustomRunner that are wrong, as in test_arguments.py of a Feeder."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import recordio_bridge as rb
from recordio_bridge.tf import CustomRunner
from tests.feed.running_oracle import graph_steps, v1
from tests.feed.sources import ROWS, SIZE, write
from tests.feed.test_arguments import SOURCES, WRONG

RUNNERS = {
    **WRONG,
    "epochs-0": (0, ValueError, "epochs=0: expected None, or a whole number, 1 or more"),
    "pad": ("x", TypeError, "pad='x': expected a number, or None"),
    "pad-list": ([0], TypeError, r"pad=\[0\]: expected a number"),
    "min_after_dequeue": ("3", TypeError, "min_after_dequeue='3': expected a number of rows, 0 or more"),
}


@pytest.mark.parametrize("case", RUNNERS)
def test_a_wrong_argument_is_named(tmp_path, case):
    value, kind, message = RUNNERS[case]
    unit = "row" if case == "min_after_dequeue" else "batch"
    with pytest.raises(kind, match=f"^{message}"):
        CustomRunner(write(tmp_path, "rec"), unit=unit, **{case.split("-")[0]: value})


@pytest.mark.parametrize("case", SOURCES)
def test_what_is_no_source_is_told(case):
    source, message = SOURCES[case]
    with pytest.raises(TypeError, match=message):
        CustomRunner(source)


@pytest.mark.parametrize(("value", "kind"), [("2", TypeError), (0, ValueError)])
def test_a_wrong_number_of_threads_is_named_at_once(tmp_path, value, kind):
    message = f"^n_threads={value!r}: expected a whole number, 1 or more"
    path = write(tmp_path, "rec")
    with CustomRunner(path, SIZE) as runner, pytest.raises(kind, match=message):
        runner.dataset(value)
    with CustomRunner(path, SIZE) as runner, tf.Graph().as_default(), v1.Session() as sess:
        runner.get_inputs()
        with pytest.raises(kind, match=message):
            runner.start_threads(sess, value)
        runner.start_threads(sess)


def test_numbers_may_be_those_of_numpy(tmp_path):
    n = np.int64
    found = graph_steps(CustomRunner(write(tmp_path, "rec"), n(SIZE), epochs=n(1), capacity=n(2), pad=n(0)))
    assert [row for batch in found for row in batch] == list(range(ROWS))


def test_the_inputs_are_of_one_graph(tmp_path):
    with CustomRunner(write(tmp_path, "rec"), SIZE) as runner:
        with tf.Graph().as_default():
            runner.get_inputs()
            runner.get_inputs()
        with (
            tf.Graph().as_default(),
            pytest.raises(rb.FeedError, match=r"in another graph before.*make another runner for this one"),
        ):
            runner.get_inputs()
