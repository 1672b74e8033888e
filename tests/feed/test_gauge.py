"""The clock of a feed runs while passes do, and waiting is a share of that time."""

from __future__ import annotations

from recordio_bridge.feed import Feeder
from recordio_bridge.feed.gauge import Gauge, Stats
from tests.feed.sources import SIZE, write


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
