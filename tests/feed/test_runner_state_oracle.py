"""CustomRunner.state(): what goes on with it gives what an uninterrupted run would have given."""

from __future__ import annotations

import json
from itertools import chain

import pytest
import tensorflow as tf

import recordio_bridge as rb
from recordio_bridge.feed import Feeder
from recordio_bridge.tf import CustomRunner
from tests.feed.deadline import within
from tests.feed.running_oracle import eager_pass, graph_steps, ids_of, session, v1
from tests.feed.sources import BATCHES, FORMATS, ROWS, SIZE, arrays, ids, write, write_chunked

FIELDS = ["id", "x", "label"]


def through_json(runner: CustomRunner) -> dict:
    text = json.dumps(runner.state())
    assert len(text) < 400
    return json.loads(text)


def uninterrupted(source: object, **options: object) -> list[list[list[int]]]:
    """The rows of each batch of each of four epochs, as the Feeder gives them."""
    with Feeder(source, SIZE, epochs=4, **options) as feeder:
        found = within(60, lambda: [ids(batch) for batch in feeder])
    return [found[at : at + BATCHES] for at in range(0, 4 * BATCHES, BATCHES)]


def check_graph(source: object, *stops: int, **options: object) -> None:
    """Three epochs in graph mode, broken off and gone on with."""
    whole = [*chain(*uninterrupted(source, **options)[:3])]
    for stop in stops:
        runner = CustomRunner(source, SIZE, epochs=3, **options)
        with session(runner) as take:
            assert [ids_of(take()) for _ in range(stop)] == whole[:stop]
            state = through_json(runner)
            runner.stop()
        assert through_json(runner) == state  # the session is closed
        assert graph_steps(CustomRunner(source, SIZE, epochs=3, state=state, **options), n_threads=2) == whole[stop:], (
            stop
        )


def check_eager(source: object, *stops: int, **options: object) -> None:
    """Passes over dataset(), broken off in the `stop`-th batch, and gone on with: the rest of the pass comes first."""
    whole = uninterrupted(source, **options)
    for stop in stops:
        passes, rest = divmod(stop, BATCHES)
        with CustomRunner(source, SIZE, **options) as runner:
            dataset = runner.dataset()
            for number in range(passes):
                assert eager_pass(dataset) == whole[number]
            assert eager_pass(dataset, rest) == whole[passes][:rest]
            state = through_json(runner)
        assert through_json(runner) == state  # it was stopped
        with CustomRunner(source, SIZE, state=state, **options) as runner:
            dataset = runner.dataset(2)
            assert eager_pass(dataset) == whole[passes][rest:], stop
            assert eager_pass(dataset) == whole[passes + 1]


@pytest.mark.parametrize("check", [check_graph, check_eager])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_is_gone_on_with(tmp_path, suffix, check):
    check(write(tmp_path, suffix), 14, BATCHES, shuffle=suffix != "rec", seed=7)


@pytest.mark.parametrize("check", [check_graph, check_eager])
def test_it_is_gone_on_with_from_any_place(tmp_path, check):
    check(write(tmp_path, "rec"), 0, BATCHES - 1, BATCHES + 1, 2 * BATCHES, shuffle=True, seed=7)


@pytest.mark.parametrize("check", [check_graph, check_eager])
def test_windows_are_gone_on_with(tmp_path, monkeypatch, check):
    monkeypatch.setattr("recordio_bridge.feed.supply.WINDOW", 700)
    check(write_chunked(tmp_path), 3, BATCHES, shuffle=True, seed=7, fields=FIELDS)


@pytest.mark.parametrize("check", [check_graph, check_eager])
def test_iterators_are_gone_on_with(check):
    check(arrays(), 1, 14, BATCHES, fields=FIELDS)


@pytest.mark.parametrize("check", [check_graph, check_eager])
def test_record_files_are_gone_on_with(tmp_path, check):
    with rb.open(write(tmp_path, "tfrecord")) as file:
        check(file, 3, BATCHES, shuffle=True, seed=1)


def test_the_end_of_an_epoch_is_the_beginning_of_the_next_also_for_a_transform(tmp_path):
    for source in (write(tmp_path, "npz"), arrays()):
        options = {"fields": FIELDS, "transform": lambda batch: batch}
        with CustomRunner(source, SIZE, **options) as runner:
            whole = eager_pass(runner.dataset())
            state = through_json(runner)
        assert (state["epoch"], state["batch"]) == (1, 0)
        with CustomRunner(source, SIZE, **options, state=state) as runner:
            assert eager_pass(runner.dataset()) == whole


def test_a_session_that_was_closed_before_is_told_and_not_gone_on_with_from_elsewhere(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE)
    with session(runner) as take:
        within(30, take)
        assert runner.state()["batch"] == 1
        within(30, take)
    for _ in range(2):
        with pytest.raises(rb.FeedError, match="session was closed"):
            runner.state()
        assert runner.stats().batches > 1
        runner.stop()


def test_what_waits_in_the_queue_was_not_taken(tmp_path):
    runner = CustomRunner(write(tmp_path, "rec"), SIZE, capacity=8)
    with session(runner) as take:
        for _ in range(3):
            within(30, take)
        assert (runner.state()["epoch"], runner.state()["batch"]) == (0, 3)
        runner.stop()
    with CustomRunner(write(tmp_path, "npz"), SIZE, capacity=8) as runner:
        eager_pass(runner.dataset(), 3)
        assert (runner.state()["epoch"], runner.state()["batch"]) == (0, 3)


def test_graph_mode_and_eager_passes_go_on_with_one_another(tmp_path):
    path = write(tmp_path, "h5")
    whole = graph_steps(CustomRunner(path, SIZE, shuffle=True, seed=7, epochs=2))
    with CustomRunner(path, SIZE, shuffle=True, seed=7) as runner:
        before = eager_pass(runner.dataset(), 4)
        state = through_json(runner)
    assert before + graph_steps(CustomRunner(path, SIZE, shuffle=True, epochs=2, state=state)) == whole


def test_epochs_in_one_pass_are_gone_on_with(tmp_path):
    path = write(tmp_path, "rec")

    def make(**options: object) -> CustomRunner:
        return CustomRunner(path, SIZE, shuffle=True, seed=7, epochs=2, **options)

    with make() as runner:
        whole = [eager_pass(runner.dataset()) for _ in range(2)]
    for stop in (BATCHES, BATCHES + 3, 2 * BATCHES):
        with make() as runner:
            eager_pass(runner.dataset(), stop)
            state = through_json(runner)
        with make(state=state) as runner:
            rest = whole[0][stop:] or whole[1]
            assert eager_pass(runner.dataset()) == rest, stop


def test_a_pass_that_was_gone_on_with_is_shorter_than_those_behind_it(tmp_path):
    """The cardinality is that of those: Keras takes the number of steps of all epochs from it."""
    path = write(tmp_path, "rec")
    with CustomRunner(path, SIZE) as runner:
        eager_pass(runner.dataset(), 3)
        state = through_json(runner)
    with CustomRunner(path, SIZE, state=state) as runner:
        dataset = runner.dataset()
        assert int(dataset.cardinality()) == BATCHES
        assert [len(eager_pass(dataset)) for _ in range(2)] == [BATCHES - 3, BATCHES]


def test_shards_are_gone_on_with(tmp_path):
    path = write(tmp_path, "tfrecord")
    rows = []
    for index in range(3):
        with CustomRunner(path, SIZE, shuffle=True, seed=1, shard=(index, 3)) as runner:
            found = eager_pass(runner.dataset(), 2)
            state = through_json(runner)
        with CustomRunner(path, SIZE, shuffle=True, state=state, shard=(index, 3)) as runner:
            rows += [row for batch in found + eager_pass(runner.dataset()) for row in batch]
    assert sorted(rows) == list(range(ROWS))


def test_states_of_something_else_are_refused(tmp_path):
    path = write(tmp_path, "rec")
    usual = {"batch_size": SIZE, "shuffle": True, "seed": 1}
    with CustomRunner(path, **usual) as runner:
        state = through_json(runner)
    for name, options in {
        "batch_size": {"batch_size": 11},
        "seed": {"seed": 2},
        "shard": {"shard": (0, 2)},
        "drop_remainder": {"drop_remainder": True},
    }.items():
        with pytest.raises(rb.FeedError, match=name):
            CustomRunner(path, **{**usual, **options}, state=state)
    with pytest.raises(rb.FeedError, match="source"):
        CustomRunner(write(tmp_path, "h5"), **usual, state=state)
    with pytest.raises(ValueError, match="state"):
        CustomRunner(path, **usual, state={"epoch": 1})
    with pytest.raises(ValueError, match="unit='batch'"):
        CustomRunner(path, **usual, unit="row", state=state)


def test_two_places_that_take_in_one_step_are_both_noted(tmp_path):
    """In whatever order they take, and note what they took."""
    path = write(tmp_path, "rec")

    def steps() -> list[int]:
        with tf.Graph().as_default(), v1.Session() as sess, CustomRunner(path, SIZE, fields=["id"]) as runner:
            both = runner.get_inputs(), runner.get_inputs()
            runner.start_threads(sess)
            found = []
            for _ in range(100):
                sess.run(both)
                state = runner.state()
                found.append(state["epoch"] * BATCHES + state["batch"])
            return found

    assert within(60, steps) == [2 * step for step in range(1, 101)]
