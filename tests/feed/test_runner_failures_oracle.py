"""What goes wrong says so, with its cause, and nothing hangs: in graph mode and eagerly."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tensorflow as tf

import recordio_bridge as rb
from recordio_bridge.feed import position
from recordio_bridge.tf import CustomRunner
from tests.feed.deadline import Call, feed_threads, until, within
from tests.feed.running_oracle import eager_pass, graph_steps, ids_of, session, v1
from tests.feed.sources import BATCHES, ROWS, SIZE, arrays, epochs, failing, write

WITHIN_S = 5  # what promises a second, on a machine that is busy


class Spoilt(Exception):
    """What a source or a transform raises here."""


def spoil(at: tuple[int, int]) -> Callable[[rb.Batch], rb.Batch]:
    """A transform that raises for one batch of one epoch."""

    def transform(batch: rb.Batch) -> rb.Batch:
        if position.get() == at:
            raise Spoilt("on purpose")
        return batch

    return transform


@pytest.fixture
def hold() -> Iterator[tuple[Callable[[rb.Batch], rb.Batch], threading.Event]]:
    """A transform that does not come back from the third batch on, and the event that says it is in there."""
    go_on, is_held = threading.Event(), threading.Event()

    def transform(batch: rb.Batch) -> rb.Batch:
        if position.get().batch >= 3:
            is_held.set()
            go_on.wait(60)
        return batch

    yield transform, is_held
    go_on.set()
    until(lambda: not feed_threads())


# ---- a thread that fails ----


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("at", [(0, 1), (0, 5), (0, BATCHES - 1), (1, 0), (2, BATCHES - 1)])
def test_in_graph_mode_a_failure_ends_the_data_and_is_raised_by_stop_and_with(tmp_path, at, threads):
    path, found = write(tmp_path, "rec"), []

    def train() -> None:
        runner = CustomRunner(path, SIZE, epochs=3, transform=spoil(at))
        with session(runner, threads) as take, runner:
            while True:
                found.append(ids_of(take()))

    with pytest.raises(rb.FeedError, match="Spoilt: on purpose") as info:
        within(60, train)
    assert isinstance(info.value.__cause__, Spoilt)
    assert len(found) == at[0] * BATCHES + at[1]  # all batches before it, none behind it


def test_in_graph_mode_a_loop_that_takes_the_end_for_the_end_is_told_all_the_same(tmp_path):
    for ends in ("with", "stop"):
        runner = CustomRunner(write(tmp_path, "rec" if ends == "with" else "npz"), SIZE, transform=spoil((1, 3)))
        with session(runner) as take:

            def loop(take: Callable[[], tuple] = take) -> None:
                try:
                    while True:
                        take()
                except tf.errors.OutOfRangeError:
                    pass

            within(30, loop)
            with pytest.raises(rb.FeedError, match="on purpose"):
                runner.stop() if ends == "stop" else runner.__exit__(None, None, None)
        runner.stop()  # once is enough


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("at", [(0, 1), (0, 5), (0, BATCHES - 1), (1, 0), (2, BATCHES - 1)])
def test_eagerly_a_failure_is_raised_with_its_cause(tmp_path, at, threads):
    path, found = write(tmp_path, "rec"), []

    def train() -> None:
        with CustomRunner(path, SIZE, transform=spoil(at)) as runner:
            dataset = runner.dataset(threads)
            for _ in range(3):
                for values in dataset:
                    found.append(ids_of(tuple(value.numpy() for value in values)))

    with pytest.raises(rb.FeedError, match="Spoilt: on purpose") as info:
        within(60, train)
    assert isinstance(info.value.__cause__, Spoilt)
    assert len(found) == at[0] * BATCHES + at[1]


def test_eagerly_without_with_the_reason_is_in_what_tensorflow_raises_and_in_stop(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, transform=spoil((0, 5)))
    with pytest.raises(tf.errors.OpError, match="Spoilt: on purpose"):
        eager_pass(runner.dataset())
    with pytest.raises(rb.FeedError, match="on purpose"):
        runner.stop()


@pytest.mark.parametrize("mode", ["graph", "eager"])
@pytest.mark.parametrize("unit", ["batch", "row"])
def test_the_very_first_batch_that_fails_is_told(tmp_path, mode, unit):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, transform=spoil((0, 0)), unit=unit)
    with pytest.raises(rb.FeedError, match="on purpose") as info, runner:
        graph_steps(runner) if mode == "graph" else eager_pass(runner.dataset())
    assert isinstance(info.value.__cause__, Spoilt)
    asked = CustomRunner(write(tmp_path, "npz"), SIZE, transform=spoil((0, 0)))
    with asked, pytest.raises(rb.FeedError) as again:
        asked.schema()
    assert str(again.value) == str(info.value)


@pytest.mark.parametrize("mode", ["graph", "eager"])
@pytest.mark.parametrize("at", [1, 5, BATCHES - 1])
def test_an_iterator_that_raises_is_told(mode, at):
    def run() -> None:
        with CustomRunner(failing(at, Spoilt("gone")), SIZE) as runner:
            if mode == "graph":
                graph_steps(runner)
            else:
                eager_pass(runner.dataset())

    with pytest.raises(rb.FeedError, match="gone") as info:
        within(60, run)
    assert isinstance(info.value.__cause__, Spoilt)


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_by_rows_a_failure_is_no_short_epoch_either(tmp_path, mode):
    def run() -> None:
        with CustomRunner(write(tmp_path, "rec"), SIZE, transform=spoil((0, 5)), unit="row", epochs=1) as runner:
            if mode == "graph":
                graph_steps(runner)
            else:
                eager_pass(runner.dataset())

    with pytest.raises(rb.FeedError, match="on purpose"):
        within(60, run)


@pytest.mark.parametrize("mode", ["graph", "eager"])
@pytest.mark.parametrize("second", [np.arange(10.0), np.arange(10)[:, None]], ids=["dtype", "shape"])
def test_batches_that_do_not_fit_one_another_are_told(mode, second):
    def run() -> None:
        with CustomRunner(lambda: iter([(np.arange(10),), (second,)]), SIZE) as runner:
            if mode == "graph":
                graph_steps(runner)
            else:
                eager_pass(runner.dataset())

    with pytest.raises(rb.FeedError, match="item 1") as info:
        within(60, run)
    assert isinstance(info.value.__cause__, rb.SchemaError)


@pytest.mark.parametrize("mode", ["graph", "eager"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_bad_records_can_be_left_out_and_are_counted(tmp_path, mode, shuffle):
    path = write(tmp_path, "tfrecord")
    path.with_name("rows.tfrecord.schema.json").unlink()
    data = bytearray(path.read_bytes())
    for place in (len(data) // 3, len(data) // 2):
        data[place] ^= 1
    path.write_bytes(data)
    options = {"fields": ["id", "x", "label"], "shuffle": shuffle, "seed": 1}
    runner = CustomRunner(path, SIZE, on_bad_record="skip", epochs=1, **options)
    found = graph_steps(runner) if mode == "graph" else eager_pass(runner.dataset())
    assert len({row for batch in found for row in batch}) == ROWS - 2
    assert (runner.stats().rows, runner.stats().skipped) == (ROWS - 2, 2)
    runner.stop()


# ---- the wrong order of calls ----


def test_a_step_before_the_threads_are_started_is_an_error_and_not_a_hang(tmp_path):
    for unit in ("batch", "row"):
        runner = CustomRunner(write(tmp_path, "rec" if unit == "row" else "h5"), SIZE, unit=unit)
        with tf.Graph().as_default():
            inputs = runner.get_inputs()
            with v1.Session() as sess:
                with pytest.raises(tf.errors.OpError, match="start_threads"):
                    within(20, lambda sess=sess, inputs=inputs: sess.run(inputs))
                runner.start_threads(sess)  # and goes on
                assert len(within(30, lambda sess=sess, inputs=inputs: sess.run(inputs))[0]) == SIZE
                runner.stop()


def test_starting_before_initialisation_names_the_variables(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE)
    with tf.Graph().as_default():
        inputs = runner.get_inputs()
        v1.get_variable("weights", [3])
        with v1.Session() as sess:
            with pytest.raises(rb.FeedError, match=r"initialised: weights.*global_variables_initializer"):
                runner.start_threads(sess)
            sess.run(v1.global_variables_initializer())
            runner.start_threads(sess)
            assert ids_of(within(30, lambda: sess.run(inputs))) == list(range(SIZE))
            runner.stop()


def test_inputs_after_the_start_and_a_second_start_are_errors(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE)
    with session(runner):
        with pytest.raises(rb.FeedError, match=r"get_inputs\(\) after start_threads"):
            runner.get_inputs()
        runner.stop()
    runner = CustomRunner(write(tmp_path, "npz"), SIZE)
    with tf.Graph().as_default():
        with v1.Session() as sess, pytest.raises(rb.FeedError, match=r"before get_inputs\(\)"):
            runner.start_threads(sess)
        runner.get_inputs()
        with v1.Session() as sess:
            runner.start_threads(sess)
            with pytest.raises(rb.FeedError, match="n_threads"):
                runner.start_threads(sess)
            runner.stop()


def test_a_closed_session_and_one_of_another_graph_are_errors(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE)
    with tf.Graph().as_default():
        runner.get_inputs()
        sess = v1.Session()
        sess.close()
        with pytest.raises(rb.FeedError, match="session is closed"):
            runner.start_threads(sess)
    with tf.Graph().as_default(), v1.Session() as other, pytest.raises(rb.FeedError, match="another graph"):
        runner.start_threads(other)


def test_the_other_mode_is_told_what_to_call(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE)
    with pytest.raises(rb.FeedError, match=r"dataset\(\)"):
        runner.get_inputs()
    with pytest.raises(rb.FeedError, match=r"dataset\(\)"):
        runner.start_threads(None)
    with tf.Graph().as_default(), pytest.raises(rb.FeedError, match=r"get_inputs\(\)"):
        runner.dataset()


@pytest.mark.parametrize("threads", [0, -1])
def test_numbers_of_threads_that_make_no_sense_are_refused(tmp_path, threads):
    with CustomRunner(write(tmp_path, "rec"), SIZE) as runner, pytest.raises(Exception, match="n_threads"):
        eager_pass(runner.dataset(threads))


def test_a_runner_that_was_stopped_says_so(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE)
    dataset = runner.dataset()
    runner.stop()
    with pytest.raises(Exception, match="stopped"):
        eager_pass(dataset)
    with pytest.raises(rb.FeedError, match="stopped"):
        runner.dataset()
    with tf.Graph().as_default(), pytest.raises(rb.FeedError, match="stopped"):
        runner.get_inputs()


def test_a_session_that_is_closed_under_its_threads_ends_them(tmp_path, caplog):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, capacity=2)
    with tf.Graph().as_default():
        inputs = runner.get_inputs()
        with v1.Session() as sess:
            runner.start_threads(sess, n_threads=2)
            within(30, lambda: sess.run(inputs))
            until(lambda: runner.stats().fill == 2)
        until(lambda: not feed_threads())
    within(WITHIN_S, runner.stop)


# ---- stop ----


@pytest.mark.parametrize("unit", ["batch", "row"])
@pytest.mark.parametrize("threads", [1, 3])
def test_in_graph_mode_stop_frees_threads_that_wait_for_room(tmp_path, unit, threads):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, capacity=2, unit=unit)
    with session(runner, threads) as take:
        within(30, take)
        until(lambda: runner.stats().fill == 2)
        within(WITHIN_S, runner.stop)
        assert not feed_threads()


def test_in_graph_mode_stop_frees_a_step_that_waits(tmp_path, hold, caplog):
    transform, is_held = hold
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, transform=transform)
    with session(runner) as take:
        for _ in range(3):
            within(30, take)
        step = Call(take)
        assert is_held.wait(30)
        within(WITHIN_S, runner.stop)
        with pytest.raises(tf.errors.OpError):
            step.wait()
    assert feed_threads()[0].name in caplog.text
    assert feed_threads()[0].daemon


def test_eagerly_stop_frees_threads_that_wait_for_room(tmp_path):
    for unit in ("batch", "row"):
        runner = CustomRunner(write(tmp_path, "rec" if unit == "row" else "h5"), SIZE, capacity=2, unit=unit)
        passing = iter(runner.dataset(2))
        next(passing)
        until(lambda runner=runner: runner.stats().fill == 2)
        within(WITHIN_S, runner.stop)
        assert not feed_threads()
        with pytest.raises(tf.errors.OpError, match="stopped"):
            within(30, lambda passing=passing: list(passing))


def test_eagerly_stop_frees_a_loop_that_waits(tmp_path, hold, caplog):
    transform, is_held = hold
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, transform=transform)
    loop = Call(lambda: list(runner.dataset()))
    assert is_held.wait(30)
    within(WITHIN_S, runner.stop)
    with pytest.raises(tf.errors.OpError, match="stopped"):
        loop.wait()
    assert any(thread.name in caplog.text for thread in feed_threads())


def test_an_exception_of_the_model_is_not_hidden_by_one_of_a_thread(tmp_path, caplog):
    def train() -> None:
        with CustomRunner(write(tmp_path, "rec"), SIZE, transform=spoil((0, 3))) as runner:
            for _ in zip(range(3), runner.dataset(), strict=False):
                pass
            until(lambda: not [thread for thread in feed_threads() if thread.is_alive()])
            raise KeyError("of the model")

    caplog.set_level(logging.ERROR)
    with pytest.raises(KeyError, match="of the model"):
        within(60, train)
    assert "on purpose" in caplog.text


def test_sixty_starts_and_stops_leave_nothing_behind(tmp_path):
    path = write(tmp_path, "rec")

    def start_and_stop() -> None:
        for number in range(12):
            with session(CustomRunner(path, SIZE, capacity=1), 1 + number % 3) as take:
                for _ in range(number % 3):
                    take()
        for _ in range(12):
            with CustomRunner(path, SIZE, capacity=1) as runner:
                next(iter(runner.dataset(n_threads=2)))
        with CustomRunner(path, SIZE, capacity=1) as runner:
            dataset = runner.dataset(n_threads=2)
            for number in range(36):
                count = 1 + number % 3
                assert len([*zip(range(count), dataset, strict=False)]) == count

    files = len(os.listdir("/dev/fd"))
    within(120, start_and_stop)
    gc.collect()
    until(lambda: not feed_threads())
    assert len(os.listdir("/dev/fd")) <= files + 5  # TensorFlow's own


def test_a_run_that_was_broken_off_and_one_after_it_have_full_epochs(tmp_path):
    path = write(tmp_path, "rec")
    for _ in range(2):
        assert graph_steps(CustomRunner(path, SIZE), 2, count=13)[-1] == list(range(20, 30))
        until(lambda: not feed_threads())
    with CustomRunner(arrays(), SIZE) as runner:
        dataset = runner.dataset()
        eager_pass(dataset, 2)
        assert epochs(eager_pass(dataset), 1) == [list(range(ROWS))]
