"""CustomRunner in graph mode, as in the posts of 2016."""

from __future__ import annotations

import gc
import inspect
import json
import logging
import weakref
from itertools import count

import numpy as np
import pytest
import tensorflow as tf

import recordio_bridge as rb
from recordio_bridge.feed import position
from recordio_bridge.tf import CustomRunner
from tests.feed.deadline import feed_threads, until, within
from tests.feed.running_oracle import graph_steps, ids_of, session, v1
from tests.feed.sources import BATCHES, FORMATS, ROWS, SIZE, arrays, columns, epochs, write

ORDERED = list(range(ROWS))


def test_the_arguments_are_those_that_were_promised_in_their_order():
    names = list(inspect.signature(CustomRunner).parameters)
    promised = "source, batch_size, fields, select, shuffle, seed, epochs, capacity, unit, min_after_dequeue, pad, "
    promised += "drop_remainder, transform, on_bad_record, source_options"
    assert ", ".join(names).startswith(promised)
    defaults = [parameter.default for parameter in inspect.signature(CustomRunner).parameters.values()][1:15]
    assert defaults == [128, None, None, False, None, None, 8, "batch", None, None, False, None, "raise", None]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_row_comes_once_an_epoch(tmp_path, suffix, threads):
    path = write(tmp_path, suffix)
    assert epochs(graph_steps(CustomRunner(path, SIZE, epochs=3), threads), 3) == [ORDERED] * 3
    shuffled = graph_steps(CustomRunner(path, SIZE, epochs=3, shuffle=True, seed=1), threads)
    orders = epochs(shuffled, 3)
    assert [sorted(order) for order in orders] == [ORDERED] * 3
    assert len({tuple(order) for order in orders}) == 3
    assert graph_steps(CustomRunner(path, SIZE, epochs=3, shuffle=True, seed=1), 4 - threads) == shuffled
    assert graph_steps(CustomRunner(path, SIZE, epochs=3, shuffle=True, seed=2), threads) != shuffled


def test_without_epochs_it_goes_on_without_end(tmp_path):
    found = graph_steps(CustomRunner(write(tmp_path, "rec"), SIZE, shuffle=True, seed=1), 2, count=5 * BATCHES)
    assert [sorted(order) for order in epochs(found, 5)] == [ORDERED] * 5


def test_inputs_are_tensors_with_static_dtypes_and_shapes_in_the_order_of_the_fields(tmp_path):
    path = write(tmp_path, "tfrecord")
    with tf.Graph().as_default():
        inputs = CustomRunner(path, SIZE).get_inputs()
        assert isinstance(inputs, tuple)
        assert [(tensor.dtype, tensor.shape.as_list()) for tensor in inputs] == [
            (tf.int64, [None]),
            (tf.float32, [None, 3]),
            (tf.int64, [None]),
        ]
        x, number = CustomRunner(path, SIZE, fields=["x", "id"], drop_remainder=True).get_inputs()
        assert (x.shape.as_list(), number.shape.as_list()) == ([SIZE, 3], [SIZE])
        assert all("CPU" in tensor.op.device.upper() for tensor in (x, number))
        (alone,) = CustomRunner(path, SIZE, fields=["label"]).get_inputs()
        assert alone.dtype == tf.int64


def test_a_queue_is_on_the_cpu_whatever_the_model_is_on(tmp_path):
    with tf.Graph().as_default() as graph, tf.device("/device:GPU:0"):
        CustomRunner(write(tmp_path, "rec"), SIZE).get_inputs()
        queues = [op for op in graph.get_operations() if "Queue" in op.type]
        assert queues
        assert all("CPU" in op.device.upper() for op in queues)


def test_each_call_of_get_inputs_is_another_place_to_take_from(tmp_path):
    runner = CustomRunner(write(tmp_path, "npz"), SIZE, epochs=2)
    with tf.Graph().as_default():
        one, other = runner.get_inputs(), runner.get_inputs()
        with v1.Session() as sess, runner:
            runner.start_threads(sess)
            found = [ids_of(sess.run((one, other)[number % 2])) for number in range(2 * BATCHES)]
            with pytest.raises(tf.errors.OutOfRangeError):
                within(30, lambda: sess.run(one))
    assert epochs(found, 2) == [ORDERED] * 2


def test_the_iterator_of_the_posts_is_fed_unchanged():
    features, labels = np.arange(256 * 4).reshape(256, 4), np.arange(256)

    def data_iterator():
        while True:
            order = np.arange(0, len(features))
            shuf_features, shuf_labels = features[order], labels[order]
            for batch_idx in range(0, len(features), 128):
                images_batch = (shuf_features[batch_idx : batch_idx + 128] / 255.0).astype("float32")
                yield images_batch, shuf_labels[batch_idx : batch_idx + 128]

    with tf.device("/cpu:0"), tf.Graph().as_default():
        custom_runner = CustomRunner(data_iterator)
        images_batch, labels_batch = custom_runner.get_inputs()
        assert (images_batch.shape.as_list(), labels_batch.shape.as_list()) == ([None, 4], [None])
        with v1.Session() as sess:
            custom_runner.start_threads(sess)
            for step in range(7):
                images, numbers = sess.run((images_batch, labels_batch))
                assert numbers.tolist() == list(range(128 * (step % 2), 128 * (step % 2) + 128))
                assert np.array_equal(images, (features[numbers] / 255.0).astype("float32"))
            within(5, custom_runner.stop)


def test_shards_have_nothing_in_common_and_lose_nothing(tmp_path):
    path = write(tmp_path, "h5")
    parts = [graph_steps(CustomRunner(path, SIZE, shuffle=True, seed=1, epochs=1, shard=(n, 3)), 2) for n in range(3)]
    assert sorted(row for part in parts for batch in part for row in batch) == ORDERED


def test_a_monitored_session_is_fed_to_the_end(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, epochs=3, shuffle=True, seed=1)

    def train_to_the_end() -> list[list[int]]:
        found = []
        with tf.Graph().as_default():
            inputs = runner.get_inputs()
            train = v1.assign_add(v1.train.get_or_create_global_step(), 1)
            with runner, v1.train.MonitoredTrainingSession() as sess:
                runner.start_threads(sess, n_threads=2)
                while not sess.should_stop():
                    values, _ = sess.run((inputs, train))
                    found.append(ids_of(values))
        return found

    assert [sorted(order) for order in epochs(within(60, train_to_the_end), 3)] == [ORDERED] * 3
    assert not feed_threads()


def test_hooks_of_a_monitored_session_end_it_before_the_data_does(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE)

    def train_to_the_end() -> int:
        steps = 0
        with tf.Graph().as_default():
            inputs = runner.get_inputs()
            train = v1.assign_add(v1.train.get_or_create_global_step(), 1)
            hooks = [v1.train.StopAtStepHook(last_step=25), v1.train.NanTensorHook(tf.reduce_mean(inputs[1]))]
            with v1.train.MonitoredTrainingSession(hooks=hooks) as sess, runner:
                runner.start_threads(sess)
                while not sess.should_stop():
                    sess.run((inputs, train))
                    steps += 1
        return steps

    assert within(60, train_to_the_end) == 25
    assert not feed_threads()


def test_a_coordinator_that_stops_ends_the_threads(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, capacity=2)
    with tf.Graph().as_default():
        inputs = runner.get_inputs()
        with v1.Session() as sess:
            coord = tf.train.Coordinator()
            threads = runner.start_threads(sess, n_threads=3, coord=coord)
            assert len(threads) >= 3
            for _ in range(5):
                sess.run(inputs)
            coord.request_stop()
            within(10, lambda: coord.join(threads))
            assert not any(thread.is_alive() for thread in threads)
        runner.stop()
    assert not feed_threads()


def test_a_coordinator_is_told_of_a_failure(tmp_path):
    def transform(batch: rb.Batch) -> rb.Batch:
        if batch["id"][0] == 30:
            raise ZeroDivisionError("on purpose")
        return batch

    runner = CustomRunner(write(tmp_path, "rec"), SIZE, transform=transform)
    with tf.Graph().as_default():
        inputs = runner.get_inputs()
        with v1.Session() as sess:
            coord = tf.train.Coordinator()
            threads = runner.start_threads(sess, coord=coord)

            def train() -> int:
                steps = 0
                with coord.stop_on_exception():
                    while not coord.should_stop():
                        sess.run(inputs)
                        steps += 1
                return steps

            within(30, train)
            with pytest.raises(rb.FeedError, match="on purpose") as info:
                within(10, lambda: coord.join(threads))
            assert isinstance(info.value.__cause__, ZeroDivisionError)


def test_the_end_of_the_data_lets_a_coordinator_join(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, epochs=1)
    with tf.Graph().as_default():
        inputs = runner.get_inputs()
        with v1.Session() as sess:
            coord = tf.train.Coordinator()
            threads = runner.start_threads(sess, coord=coord)

            def train() -> int:
                steps = 0
                try:
                    while not coord.should_stop():
                        sess.run(inputs)
                        steps += 1
                except tf.errors.OutOfRangeError:
                    coord.request_stop()
                coord.join(threads)
                return steps

            assert within(30, train) == BATCHES
            runner.stop()


def test_two_runners_feed_one_session(tmp_path):
    with tf.Graph().as_default():
        runners = [CustomRunner(write(tmp_path, suffix), SIZE, epochs=1) for suffix in ("rec", "h5")]
        inputs = [runner.get_inputs() for runner in runners]
        with v1.Session() as sess:
            for runner in runners:
                runner.start_threads(sess)
            for number in range(BATCHES):
                for given in within(30, lambda: sess.run(inputs)):
                    assert ids_of(given) == ORDERED[number * SIZE : number * SIZE + SIZE]
            for runner in runners:
                runner.stop()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_of_which_no_row_is_left_is_not_handed_over(tmp_path, threads):
    bad, path = {0, 4, BATCHES - 1}, write(tmp_path, "npz")

    def transform(batch: rb.Batch) -> rb.Batch:
        return batch.slice(0, 0) if position.get().batch in bad else batch

    whole = [ORDERED[at * SIZE : at * SIZE + SIZE] for at in range(BATCHES) if at not in bad] * 2
    assert graph_steps(CustomRunner(path, SIZE, epochs=2, transform=transform), threads) == whole
    runner = CustomRunner(path, SIZE, epochs=2, transform=transform)
    with session(runner, threads) as take, runner:
        assert [ids_of(within(30, take)) for _ in range(3)] == whole[:3]
        state = runner.state()
    assert graph_steps(CustomRunner(path, SIZE, epochs=2, transform=transform, state=state), threads) == whole[3:]


def test_stats_and_summary_count_what_was_handed_over(tmp_path):
    runner = CustomRunner(write(tmp_path, "npz"), SIZE, epochs=2, capacity=4)
    assert "nothing" in runner.summary()
    with session(runner) as take:
        until(lambda: runner.stats().fill == 4)
        for _ in range(2 * BATCHES):
            take()
        nbytes = 2 * sum(each.nbytes for each in columns(np.arange(ROWS)).values())
        until(lambda: runner.stats().batches == 2 * BATCHES)
        stats = runner.stats()
        assert (stats.rows, stats.nbytes, stats.fill, stats.capacity) == (2 * ROWS, nbytes, 0, 4)
        assert 0 <= stats.consumer_wait_s <= stats.elapsed_s
        until(lambda: not feed_threads())
        ended = runner.stats().elapsed_s
        assert runner.stats().elapsed_s == ended
        runner.stop()
        assert runner.stats().elapsed_s == ended
    assert "bottleneck" in runner.summary()
    assert runner.stats().rows == 2 * ROWS
    assert json.dumps(runner.state())


# ---- rows in place of batches ----


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("suffix", FORMATS)
def test_by_rows_each_comes_once_an_epoch_and_is_mixed_with_others(tmp_path, suffix, threads):
    runner = CustomRunner(write(tmp_path, suffix), SIZE, epochs=3, unit="row", capacity=4, min_after_dequeue=20)
    found = graph_steps(runner, threads)
    assert [len(batch) for batch in found] == [SIZE] * 29 + [1]  # to the last row; batches span epochs
    rows = [row for batch in found for row in batch]
    assert sorted(rows) == sorted(ORDERED * 3)
    assert found[0] != sorted(found[0])
    assert max(found[0]) >= SIZE  # mixed beyond a batch


def test_by_rows_only_whole_batches_come_with_drop_remainder(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, epochs=1, unit="row", drop_remainder=True)
    found = graph_steps(runner)
    assert [len(batch) for batch in found] == [SIZE] * (BATCHES - 1)
    assert len({row for batch in found for row in batch}) == SIZE * (BATCHES - 1)


def test_by_rows_the_capacity_counts_batches(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, unit="row", capacity=3, min_after_dequeue=0)
    with session(runner) as take:
        until(lambda: runner.stats().fill == 3)
        assert runner.stats().rows <= 3 * SIZE
        assert max(ids_of(take())) < 3 * SIZE + SIZE
        runner.stop()


@pytest.mark.parametrize("least", [-1, 21, 1000])
def test_by_rows_a_minimum_that_leaves_no_room_is_refused(tmp_path, least):
    with pytest.raises(ValueError, match="min_after_dequeue"):
        CustomRunner(write(tmp_path, "rec"), SIZE, unit="row", capacity=3, min_after_dequeue=least)


def test_arguments_of_the_other_unit_are_refused(tmp_path):
    path = write(tmp_path, "rec")
    with pytest.raises(ValueError, match="unit='row'"):
        CustomRunner(path, SIZE, min_after_dequeue=3)
    with pytest.raises(ValueError, match="unit='batch'"):
        CustomRunner(path, SIZE, unit="row").state()
    with pytest.raises(ValueError, match="unit="):
        CustomRunner(path, SIZE, unit="rows")
    for options in ({"batch_size": 0}, {"capacity": 0}, {"epochs": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            CustomRunner(path, **options)


def test_by_rows_an_iterator_of_the_posts_is_fed(tmp_path):
    found = graph_steps(CustomRunner(arrays(), SIZE, unit="row", epochs=2), 2)
    assert sorted(row for batch in found for row in batch) == sorted(ORDERED * 2)


def test_threads_keep_a_runner_that_nobody_else_does(tmp_path):
    """As in the programs of 2016, which made it in a function and returned the tensors."""

    def inputs(sess: object) -> object:
        runner = CustomRunner(write(tmp_path, "rec"), SIZE, fields=["id"], epochs=2)
        (numbers,) = runner.get_inputs()
        runner.start_threads(sess)
        return numbers

    def train() -> list[int]:
        found = []
        with tf.Graph().as_default(), v1.Session() as sess:
            numbers = inputs(sess)
            gc.collect()
            try:
                while True:
                    found.extend(sess.run(numbers).tolist())
            except tf.errors.OutOfRangeError:
                return found

    assert within(60, train) == 2 * list(range(ROWS))
    until(lambda: not feed_threads())


def test_without_stop_a_failure_is_in_the_log(tmp_path, caplog):
    def transform(batch: rb.Batch) -> rb.Batch:
        if position.get().batch == 3:
            raise ZeroDivisionError("on purpose")
        return batch

    def train() -> int:
        with tf.Graph().as_default(), v1.Session() as sess:
            runner = CustomRunner(write(tmp_path, "rec"), SIZE, transform=transform)
            inputs = runner.get_inputs()
            runner.start_threads(sess)
            for step in count():
                try:
                    sess.run(inputs)
                except tf.errors.OutOfRangeError:
                    return step

    caplog.set_level(logging.ERROR)
    assert within(60, train) == 3
    assert "ZeroDivisionError: on purpose" in caplog.text


@pytest.mark.parametrize("ends", ["by stop", "by itself", "with its session"])
def test_a_runner_that_is_done_is_let_go(tmp_path, ends):
    path = write(tmp_path, "npz")

    def train() -> list[weakref.ref]:
        with tf.Graph().as_default() as graph, v1.Session() as sess:
            runner = CustomRunner(path, SIZE, shuffle=True, seed=1, epochs=None if ends == "with its session" else 1)
            inputs = runner.get_inputs()
            runner.start_threads(sess, 2)
            for _ in range(BATCHES):
                sess.run(inputs)
            if ends == "by stop":
                runner.stop()
        return [weakref.ref(runner), weakref.ref(graph)]

    gone = within(60, train)
    until(lambda: not feed_threads())
    until(lambda: gc.collect() >= 0 and all(each() is None for each in gone))
