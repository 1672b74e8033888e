"""The clock of a feed runs while passes do, and waiting is a share of that time."""

from __future__ import annotations

import threading

import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder
from recordio_bridge.feed.gauge import Gauge, Stats
from tests.feed.sources import BATCHES, ROWS, SIZE, write


class Clock:
    """Seconds that pass when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def stats_of(gauge: Gauge) -> Stats:
    return gauge.stats(fill=0, capacity=8, num_threads=1)


def wait(gauge: Gauge, clock: Clock, side: str, seconds: float) -> None:
    with gauge.waiting(side):
        clock.now += seconds


def test_a_pause_between_two_passes_adds_nothing():
    clock = Clock()
    gauge = Gauge(clock)
    for _ in range(2):
        gauge.start()
        for _ in range(10):
            gauge.add(rows=10, batches=1)
            wait(gauge, clock, "consumer", 0.9)
            clock.now += 0.1
        gauge.stop()
        clock.now += 130  # of validation
    stats = stats_of(gauge)
    assert (round(stats.elapsed_s, 6), round(stats.consumer_wait_s, 6)) == (20.0, 18.0)
    assert stats.summary.startswith("the data is the bottleneck: the model waited for it 90.0% of the time")


def test_the_clock_stands_before_the_first_pass_and_runs_while_one_does():
    clock = Clock()
    gauge = Gauge(clock)
    clock.now += 5
    assert stats_of(gauge).elapsed_s == 0
    gauge.start()
    clock.now += 2
    assert stats_of(gauge).elapsed_s == 2
    clock.now += 1
    assert stats_of(gauge).elapsed_s == 3


def test_two_passes_at_once_take_their_time_once():
    clock = Clock()
    gauge = Gauge(clock)
    gauge.start()
    clock.now += 1
    gauge.start()
    clock.now += 2
    gauge.stop()
    clock.now += 4
    assert stats_of(gauge).elapsed_s == 7
    gauge.stop()
    clock.now += 8
    assert stats_of(gauge).elapsed_s == 7


def test_the_model_waits_while_any_pass_waits_and_threads_while_those_of_all_do():
    clock = Clock()
    gauge = Gauge(clock)
    gauge.start()
    gauge.start()
    with gauge.waiting("producer"):  # of a pass out of which nothing is taken now
        wait(gauge, clock, "consumer", 3)
        with gauge.waiting("consumer"):
            wait(gauge, clock, "consumer", 2)
        wait(gauge, clock, "producer", 1)
    stats = stats_of(gauge)
    assert (stats.elapsed_s, stats.consumer_wait_s, stats.producer_wait_s) == (6, 5, 1)


def test_a_wait_counts_while_it_lasts_and_as_far_as_a_pass_runs():
    clock = Clock()
    gauge = Gauge(clock)
    gauge.start()
    with gauge.waiting("consumer"):
        clock.now += 2
        assert stats_of(gauge).consumer_wait_s == 2
        gauge.stop()
        clock.now += 2  # until who waits is told that it was closed
    stats = stats_of(gauge)
    assert (stats.elapsed_s, stats.consumer_wait_s) == (2, 2)


def test_steps_of_a_graph_that_wait_side_by_side_wait_for_no_more_than_all_of_the_time():
    assert "waited for it 100.0% of the time" in Stats(100, 10, 800, 2.0, 3.5, 0.0, 0, 8, 1, 0).summary


def test_the_time_of_a_feeder_ends_with_its_batches_and_not_when_it_is_closed(tmp_path):
    with Feeder(write(tmp_path, "npz"), SIZE) as feeder:
        for _ in feeder:
            pass
        ended = feeder.stats().elapsed_s
        assert feeder.stats().elapsed_s == ended
    assert feeder.stats().elapsed_s == ended
    assert list(feeder) == []
    assert feeder.stats().elapsed_s == ended


def test_a_feeder_that_was_closed_before_it_began_took_no_time(tmp_path):
    feeder = Feeder(write(tmp_path, "npz"), SIZE)
    feeder.close()
    assert feeder.stats().elapsed_s == 0


def test_stats_count_what_was_handed_over_and_say_who_waits(tmp_path):
    with Feeder(write(tmp_path, "npz"), SIZE, capacity=4) as feeder:
        assert "nothing" in feeder.stats().summary
        nbytes = sum(batch.nbytes for batch in feeder)
        stats = feeder.stats()
    assert (stats.rows, stats.batches, stats.nbytes, stats.skipped) == (ROWS, BATCHES, nbytes, 0)
    assert (stats.fill, stats.capacity, stats.num_threads) == (0, 4, 1)
    assert 0 <= stats.consumer_wait_s <= stats.elapsed_s
    assert f"too early to tell the bottleneck: {BATCHES} batches" in stats.summary


@pytest.mark.parametrize(
    ("batches", "elapsed_s", "waited_s", "says"),
    [
        (0, 9.0, 9.0, "nothing was handed over yet"),
        (1, 8.0, 8.0, "it is too early to tell the bottleneck: 1 batch in 8 s"),
        (9, 60.0, 60.0, "it is too early to tell the bottleneck: 9 batches in 60 s"),
        (500, 0.99, 0.8, "it is too early to tell the bottleneck: 500 batches in 0.99 s"),
        (
            10,
            1.0,
            0.8,
            "the data is the bottleneck: the model waited for it 80.0% of the time, at 100 rows/s; try more",
        ),
        (10, 1.0, 0.01, "the model is the bottleneck: it waited for data 1.0% of the time, at 100 rows/s"),
    ],
)
def test_the_summary_blames_nobody_before_there_is_something_to_go_by(batches, elapsed_s, waited_s, says):
    stats = Stats(10 * batches, batches, 80 * batches, elapsed_s, waited_s, 0.0, 0, 8, 1, 0)
    assert stats.summary.startswith(says)


@pytest.mark.parametrize(
    ("waited_s", "blocked_s", "threads", "says"),
    [
        (5.4, 90.0, 1, "the model is the bottleneck: it waited for data 5.4% of the time, threads for room 90.0%, at"),
        (
            30.0,
            60.0,
            4,
            "the model is the bottleneck: it waited for data 30.0% of the time, threads for room 60.0%, at",
        ),
        (30.0, 29.0, 1, "the data is the bottleneck: the model waited for it 30.0% of the time, at 10 rows/s; try"),
        (4.9, 0.0, 1, "the model is the bottleneck: it waited for data 4.9% of the time, at"),
        (80.0, 60.0, 1, "the data is the bottleneck: the model waited for it 80.0% of the time, at 10 rows/s"),
    ],
)
def test_the_summary_goes_by_which_side_waited_for_longer(waited_s, blocked_s, threads, says):
    stats = Stats(1000, 100, 8000, 100.0, waited_s, blocked_s, 0, 8, threads, 0)
    assert stats.summary.startswith(says)


@pytest.mark.parametrize("slow", ["model", "data"])
def test_the_summary_names_the_slower_side(tmp_path, slow):
    nap = threading.Event()

    def transform(batch: rb.Batch) -> rb.Batch:
        nap.wait(0.02 if slow == "data" else 0)
        return batch

    with Feeder(write(tmp_path, "npz"), SIZE, transform=transform, epochs=6) as feeder:
        next(feeder)
        for _ in feeder:
            nap.wait(0.02 if slow == "model" else 0)
        assert f"the {slow} is the bottleneck" in feeder.stats().summary
