"""CustomRunner eagerly: each pass over dataset() is an epoch."""

from __future__ import annotations

import gc
import inspect
import resource
import threading
import weakref
from itertools import chain, islice
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import tensorflow as tf

import recordio_bridge as rb
from recordio_bridge.feed import position
from recordio_bridge.feed.schedule import Position
from recordio_bridge.memory import aligned_empty
from recordio_bridge.tf import CustomRunner, eager
from tests.feed.deadline import feed_threads, until, within
from tests.feed.running_oracle import eager_pass, graph_steps, ids_of
from tests.feed.sources import BATCHES, FORMATS, ROWS, SIZE, arrays, epochs, write, write_chunked

ORDERED = list(range(ROWS))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_row_comes_once_a_pass(tmp_path, suffix, threads):
    path = write(tmp_path, suffix)
    with CustomRunner(path, SIZE) as runner:
        dataset = runner.dataset(threads)
        assert [epochs(eager_pass(dataset), 1) for _ in range(3)] == [[ORDERED]] * 3
    with CustomRunner(path, SIZE, shuffle=True, seed=1) as runner:
        dataset = runner.dataset(threads)
        passes = [eager_pass(dataset) for _ in range(3)]
    assert [sorted(epochs(each, 1)[0]) for each in passes] == [ORDERED] * 3
    assert len({str(each) for each in passes}) == 3
    assert [*chain(*passes)] == graph_steps(CustomRunner(path, SIZE, shuffle=True, seed=1, epochs=3), threads)
    assert not feed_threads()


def test_a_pass_that_was_broken_off_is_followed_by_a_full_one(tmp_path):
    path = write(tmp_path, "rec")
    with (
        CustomRunner(path, SIZE, shuffle=True, seed=1) as whole,
        CustomRunner(path, SIZE, shuffle=True, seed=1) as runner,
    ):
        expected = [eager_pass(whole.dataset()) for _ in range(4)]
        dataset = runner.dataset()
        assert eager_pass(dataset, 3) == expected[0][:3]
        assert eager_pass(dataset) == expected[1]
        assert eager_pass(dataset, 0) == []
        assert eager_pass(dataset, 1) == expected[2][:1]
        assert eager_pass(dataset) == expected[3]


def test_a_pass_that_was_broken_off_leaves_no_thread(tmp_path):
    with CustomRunner(write(tmp_path, "rec"), SIZE, capacity=1) as runner:
        dataset = runner.dataset(n_threads=2)
        for number in range(6):
            eager_pass(dataset, 1 + number % 3)
        gc.collect()
        until(lambda: not feed_threads())


def test_every_dataset_of_a_runner_goes_on_with_the_next_epoch(tmp_path):
    with CustomRunner(write(tmp_path, "npz"), SIZE, shuffle=True, seed=3) as runner:
        passes = [eager_pass(runner.dataset()) for _ in range(3)]
    assert len({str(each) for each in passes}) == 3
    assert all(sorted(epochs(each, 1)[0]) == ORDERED for each in passes)


def test_passes_at_the_same_time_are_epochs_of_their_own(tmp_path):
    with CustomRunner(write(tmp_path, "npz"), SIZE, shuffle=True, seed=3) as runner:
        dataset = runner.dataset()
        pairs = within(30, lambda: [(ids_of(a), ids_of(b)) for a, b in zip(dataset, dataset, strict=True)])
    one, other = ([row for pair in pairs for row in pair[side]] for side in (0, 1))
    assert sorted(one) == sorted(other) == ORDERED
    assert one != other


def test_epochs_are_so_many_in_one_pass(tmp_path):
    path = write(tmp_path, "h5")
    with CustomRunner(path, SIZE, epochs=3, shuffle=True, seed=1) as runner:
        dataset = runner.dataset()
        assert int(dataset.cardinality()) == 3 * BATCHES
        first, second = eager_pass(dataset), eager_pass(dataset)
    orders = epochs(first + second, 6)
    assert [sorted(order) for order in orders] == [ORDERED] * 6
    assert len({tuple(order) for order in orders}) == 6


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_cardinality_is_known_where_the_number_of_rows_is(tmp_path, suffix, shuffle):
    path = write(tmp_path, suffix)
    for drop_remainder in (False, True):
        with CustomRunner(path, SIZE, shuffle=shuffle, drop_remainder=drop_remainder) as runner:
            cardinality = int(runner.dataset().cardinality())
            found = len(eager_pass(runner.dataset()))
            assert found == cardinality == BATCHES - drop_remainder


def test_the_cardinality_of_what_is_not_known_is_unknown(tmp_path):
    skip = CustomRunner(write(tmp_path, "rec"), SIZE, on_bad_record="skip")
    for runner in (CustomRunner(arrays(), SIZE), skip):
        with runner:
            assert int(runner.dataset().cardinality()) == tf.data.UNKNOWN_CARDINALITY
            assert epochs(eager_pass(runner.dataset()), 1) == [ORDERED]


def test_elements_are_tuples_with_static_dtypes_and_shapes(tmp_path):
    path = write(tmp_path, "tfrecord")
    with CustomRunner(path, SIZE, fields=["x", "id"]) as runner:
        assert runner.dataset().element_spec == (
            tf.TensorSpec([None, 3], tf.float32),
            tf.TensorSpec([None], tf.int64),
        )
    with CustomRunner(path, SIZE, fields=["x"], drop_remainder=True) as runner:
        assert runner.dataset().element_spec == (tf.TensorSpec([SIZE, 3], tf.float32),)
        for element in runner.dataset():
            assert isinstance(element, tuple)
            assert len(element) == 1


def test_the_usual_of_tf_data_can_follow(tmp_path):
    with CustomRunner(write(tmp_path, "rec"), SIZE) as runner:
        dataset = runner.dataset().map(lambda number, x, label: number).unbatch().batch(50).prefetch(tf.data.AUTOTUNE)
        assert [len(each) for each in within(30, lambda: list(dataset))] == [50, 47]
        assert sum(1 for _ in runner.dataset().repeat(3)) == 3 * BATCHES
        first = [number for batch in islice(runner.dataset().repeat(), 25) for number in batch[0].numpy()]
        assert first == (ORDERED * 3)[: len(first)]
        cached = runner.dataset().take(2).cache()
        assert [len(list(cached)) for _ in range(2)] == [2, 2]


def test_it_works_inside_a_function_of_tensorflow(tmp_path):
    with CustomRunner(write(tmp_path, "rec"), SIZE) as runner:
        dataset = runner.dataset()

        @tf.function
        def total(rows: tf.data.Dataset) -> tf.Tensor:
            seen = tf.constant(0, tf.int64)
            for number, _, _ in rows:
                seen += tf.reduce_sum(number)
            return seen

        assert within(60, lambda: [int(total(dataset)) for _ in range(2)]) == [sum(ORDERED)] * 2


@pytest.mark.parametrize("threads", [1, 3])
def test_iterators_are_sources(threads):
    with CustomRunner(arrays(), SIZE) as runner:
        dataset = runner.dataset(threads)
        assert [epochs(eager_pass(dataset), 1) for _ in range(2)] == [[ORDERED]] * 2
        assert len(eager_pass(dataset, 2)) == 2
        assert epochs(eager_pass(dataset), 1) == [ORDERED]


def test_record_files_lists_and_globs_are_sources(tmp_path):
    rb.write(tmp_path / "a.npz", {"id": np.arange(40)})
    rb.write(tmp_path / "b.npz", {"id": np.arange(40, ROWS)})
    with rb.open(tmp_path / "a.npz") as file, CustomRunner(file, SIZE, shuffle=True, seed=1) as runner:
        assert sorted(row for batch in eager_pass(runner.dataset()) for row in batch) == list(range(40))
    for source in ([tmp_path / "a.npz", str(tmp_path / "b.npz")], str(tmp_path / "*.npz"), tmp_path):
        with CustomRunner(source, SIZE) as runner:
            assert epochs(eager_pass(runner.dataset(2)), 1) == [ORDERED]


def test_shards_and_windows_lose_nothing(tmp_path):
    path = write_chunked(tmp_path)
    found = []
    for index in range(3):
        options = {"fields": ["id", "x", "label"], "shuffle": True, "seed": 1, "shard": (index, 3)}
        with CustomRunner(path, SIZE, **options) as runner:
            found += [row for batch in eager_pass(runner.dataset(2)) for row in batch]
    assert sorted(found) == ORDERED


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("suffix", FORMATS)
def test_by_rows_each_comes_once_a_pass_and_is_mixed_with_others(tmp_path, suffix, threads):
    with CustomRunner(write(tmp_path, suffix), SIZE, unit="row", capacity=4, min_after_dequeue=20) as runner:
        dataset = runner.dataset(threads)
        for _ in range(3):
            (rows,) = epochs(eager_pass(dataset), 1)
            assert sorted(rows) == ORDERED
            assert rows[:SIZE] != sorted(rows[:SIZE])
        assert len(eager_pass(dataset, 2)) == 2
        assert sorted(epochs(eager_pass(dataset), 1)[0]) == ORDERED
    until(lambda: not feed_threads())


def test_by_rows_epochs_share_a_pass_and_only_whole_batches_come_with_drop_remainder(tmp_path):
    path = write(tmp_path, "rec")
    with CustomRunner(path, SIZE, unit="row", epochs=2) as runner:
        found = eager_pass(runner.dataset())
    assert sorted(row for batch in found for row in batch) == sorted(ORDERED * 2)
    for epochs_ in (1, 2):
        with CustomRunner(path, SIZE, unit="row", epochs=epochs_, drop_remainder=True) as runner:
            found = eager_pass(runner.dataset())
            cardinality = int(runner.dataset().cardinality())
        assert {len(batch) for batch in found} == {SIZE}
        assert cardinality in (len(found), tf.data.UNKNOWN_CARDINALITY)


def test_stats_and_summary_count_what_was_handed_over(tmp_path):
    with CustomRunner(write(tmp_path, "npz"), SIZE, capacity=4) as runner:
        assert "nothing" in runner.summary()
        for _ in range(2):
            eager_pass(runner.dataset())
        stats = runner.stats()
    assert (stats.rows, stats.batches, stats.fill, stats.capacity) == (2 * ROWS, 2 * BATCHES, 0, 4)
    assert "bottleneck" in runner.summary()


def test_time_between_passes_is_none_of_the_feed(tmp_path):
    began, paused = perf_counter(), 0.0
    with CustomRunner(write(tmp_path, "npz"), SIZE) as runner:
        dataset = runner.dataset()
        for _ in range(3):
            assert epochs(eager_pass(dataset), 1) == [ORDERED]
            elapsed, ended = runner.stats().elapsed_s, perf_counter()
            assert not threading.Event().wait(0.2)  # in place of validation
            assert runner.stats().elapsed_s == elapsed
            paused += perf_counter() - ended
    assert runner.stats().elapsed_s == elapsed
    assert 0 < elapsed <= perf_counter() - began - paused


def test_a_pass_that_ends_does_not_stop_the_clock_of_another(tmp_path):
    with CustomRunner(write(tmp_path, "npz"), SIZE, capacity=2) as runner:
        dataset = runner.dataset()
        other = iter(dataset)
        next(other)
        eager_pass(dataset)
        elapsed = runner.stats().elapsed_s
        until(lambda: runner.stats().elapsed_s > elapsed, 5)
        for _ in other:
            pass
        until(lambda: runner.stats().elapsed_s == runner.stats().elapsed_s, 5)  # its thread looks ahead for the end
        stats = runner.stats()
        assert 0 <= stats.consumer_wait_s <= stats.elapsed_s


def test_a_pass_that_was_broken_off_before_does_not_stop_the_clock_of_the_next(tmp_path):
    held, go_on = threading.Event(), threading.Event()

    def transform(batch: rb.Batch) -> rb.Batch:
        if position.get() == (0, 2):
            held.set()
            go_on.wait(30)
        return batch

    with CustomRunner(write(tmp_path, "npz"), SIZE, transform=transform, capacity=1) as runner:
        dataset = runner.dataset()
        broken_off = iter(dataset)
        next(broken_off)
        assert held.wait(30)
        del broken_off  # it takes a second to give up the thread that is held
        following = iter(dataset)
        next(following)
        until(lambda: not [each for each in threading.enumerate() if each.name == "recordio_bridge-feed-closer"])
        elapsed = runner.stats().elapsed_s
        until(lambda: runner.stats().elapsed_s > elapsed, 5)
        go_on.set()
        for _ in following:
            pass


def test_a_runner_can_be_used_without_with_and_without_stop(tmp_path):
    dataset = CustomRunner(write(tmp_path, "rec"), SIZE, capacity=1).dataset()
    gc.collect()
    assert epochs(eager_pass(dataset), 1) == [ORDERED]
    eager_pass(dataset, 2)
    del dataset
    gc.collect()
    until(lambda: not feed_threads())


def test_every_part_of_the_interface_is_documented():
    for name in ("get_inputs", "start_threads", "dataset", "stop", "stats", "summary", "state"):
        assert inspect.getdoc(getattr(CustomRunner, name))


def test_a_runner_goes_with_its_dataset(tmp_path):
    """What TensorFlow keeps of a dataset for ever must hold neither the runner nor its rows."""
    runner = CustomRunner(write(tmp_path, "npz"), SIZE, shuffle=True, seed=1)
    gone = weakref.ref(runner)
    dataset = runner.dataset().map(lambda *fields: fields)
    del runner
    begun = iter(dataset)
    next(begun)
    assert len(ids_of(next(begun))) == SIZE
    eager_pass(dataset)
    del dataset, begun
    until(lambda: gc.collect() >= 0 and gone() is None)
    until(lambda: not feed_threads())


def test_what_notes_the_progress_of_a_runner_leaves_no_memory_behind():
    """TensorFlow kept 36 KiB of the name of each table."""

    def memory_behind(count: int) -> int:
        for _ in range(count):
            eager.Progress(Position(0, 0))
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = memory_behind(50)
    assert memory_behind(400) - before < 400 * 12 * 1024


def test_what_a_transform_keeps_is_not_written_to(tmp_path):
    """TensorFlow takes arrays as they are, without a copy, and may not reuse their memory for its results."""
    kept = aligned_empty((SIZE, 100), np.float32)
    kept[:] = 1

    def transform(batch):
        return rb.Batch({"id": batch["id"], "kept": kept[: len(batch)]})

    with CustomRunner(write(tmp_path, "rec"), SIZE, transform=transform) as runner:
        for _, doubled in runner.dataset().map(lambda ids, kept: (ids, kept * 2)):
            assert np.all(doubled.numpy() == 2)
            del doubled
    assert np.all(kept == 1)


@pytest.mark.parametrize("unit", ["batch", "row"])
def test_an_iterator_may_go_while_a_graph_is_made(tmp_path, unit):
    with CustomRunner(write(tmp_path, "rec"), SIZE, capacity=2, unit=unit) as runner:
        dataset = runner.dataset(n_threads=2)
        begun = iter(dataset)
        next(begun)
        with tf.Graph().as_default():
            del begun
            gc.collect()
            until(lambda: not feed_threads())
        assert len(list(chain(*eager_pass(dataset)))) == ROWS


@pytest.mark.parametrize("unit", ["batch", "row"])
def test_it_may_be_asked_and_stopped_while_a_graph_is_made(tmp_path, unit):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, capacity=2, unit=unit)
    begun = iter(runner.dataset())
    next(begun)
    with tf.Graph().as_default():
        if unit == "batch":
            assert runner.state()["batch"] == 1
        assert runner.stats().batches
        within(5, runner.stop)
    assert not feed_threads()


# ---- the schema is asked for first ----


def _counted(given=None):
    """An iterator of arrays, and a transform, that note each call in the lists that are given back."""
    begun, transformed = [], []

    def source():
        begun.append(len(begun))
        return arrays()() if given is None else given

    def transform(batch: rb.Batch) -> rb.Batch:
        transformed.append(tuple(position.get()))
        return batch

    return source, transform, begun, transformed


@pytest.mark.parametrize("count", [None, 1, 2])
def test_what_the_schema_makes_is_what_a_pass_begins_with(count):
    source, transform, begun, transformed = _counted()
    with CustomRunner(source, SIZE, transform=transform, epochs=count) as runner:
        for _ in range(2):
            assert list(runner.schema()) == ["0", "1", "2"]
        assert epochs(eager_pass(runner.dataset()), count or 1) == [ORDERED] * (count or 1)
        assert len(begun) == (count or 1)
        assert transformed == [(epoch, number) for epoch in range(count or 1) for number in range(BATCHES)]
        assert epochs(eager_pass(runner.dataset()), count or 1) == [ORDERED] * (count or 1)
    assert len(begun) == 2 * (count or 1)


def test_what_the_schema_makes_is_what_the_steps_begin_with():
    source, transform, begun, transformed = _counted()
    runner = CustomRunner(source, SIZE, transform=transform, epochs=2)
    runner.schema()
    assert epochs(graph_steps(runner), 2) == [ORDERED] * 2
    assert len(begun) == 2
    assert transformed == [(epoch, number) for epoch in range(2) for number in range(BATCHES)]


def test_the_first_batch_of_an_iterator_that_is_there_once_is_not_lost_to_the_schema():
    source, transform, _, _ = _counted(arrays()())
    with CustomRunner(source, SIZE, transform=transform) as runner:
        runner.schema()
        assert eager_pass(runner.dataset())[0] == list(range(SIZE))


def test_the_schema_is_that_of_the_pass_that_goes_on_behind_a_state(tmp_path):
    path = write(tmp_path, "rec")
    with CustomRunner(path, SIZE, epochs=2) as runner:
        eager_pass(runner.dataset())
        state = runner.state()
    assert (state["epoch"], state["batch"]) == (2, 0)
    _, transform, _, transformed = _counted()
    with CustomRunner(path, SIZE, epochs=2, transform=transform, state=state) as runner:
        assert list(runner.schema()) == ["id", "x", "label"]
        assert epochs(eager_pass(runner.dataset()), 2) == [ORDERED] * 2
    assert transformed == [(epoch, number) for epoch in (2, 3) for number in range(BATCHES)]


def test_a_state_at_an_end_that_is_not_known_to_be_one_leaves_the_first_batch_to_the_next_pass():
    source, transform, begun, transformed = _counted()
    with CustomRunner(source, SIZE, epochs=1) as runner:
        state = {**runner.state(), "batch": BATCHES}
    begun.clear()
    with CustomRunner(source, SIZE, transform=transform, state=state) as runner:
        runner.schema()
        assert eager_pass(runner.dataset()) == []
        assert epochs(eager_pass(runner.dataset()), 1) == [ORDERED]
    assert transformed == [(1, number) for number in range(BATCHES)]
    assert len(begun) == 2


def test_no_batch_for_the_schema_is_told_alike_with_and_without_an_end(tmp_path):
    path = write(tmp_path, "npz", 5)
    for count in (None, 2):
        options = {"epochs": count, "drop_remainder": True, "transform": lambda batch: batch}
        with (
            CustomRunner(path, SIZE, **options) as runner,
            pytest.raises(rb.SchemaError, match="as there is none: drop_remainder leaves none of the 5 rows"),
        ):
            runner.schema()
