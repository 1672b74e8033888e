"""The condition variable of a feed: who waits is called, and an interrupt at any moment leaves it sound."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from time import sleep
from types import CodeType

import numpy as np
import pytest

from recordio_bridge.batch import Batch
from recordio_bridge.feed import Feeder, condition, feeder, pump
from recordio_bridge.feed.condition import Condition
from recordio_bridge.feed.gauge import Gauge
from recordio_bridge.feed.pump import Closed, Pump, Queue
from recordio_bridge.feed.schedule import Position, Work
from tests.feed.deadline import Call, feed_threads, until
from tests.interrupting import Stopped, interrupt_at_opcode


class Job:
    """Batches that are there already."""

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    def make(self) -> list[Batch]:
        return self._batches


BATCH = Batch.of({"x": np.arange(3)})


def test_who_waits_is_called_at_each_change_and_given_what_it_waited_for():
    changed, numbers = Condition(), list[int]()

    def at_least(number: int) -> Call:
        return Call(lambda: changed.wait_for(lambda: [each for each in numbers if each >= number]))

    small, large = at_least(1), at_least(5)
    for number in (0, 1):
        with changed.lock:
            changed.notify()
            numbers.append(number)
    assert small.wait() == [1]
    assert large.is_alive()
    with changed.lock:
        numbers.append(7)
        changed.notify()
    assert large.wait() == [7]


def test_what_a_claim_raises_is_raised_where_it_is_waited_for_and_the_lock_is_free():
    changed = Condition()
    with pytest.raises(ZeroDivisionError):
        changed.wait_for(lambda: 1 / 0)
    assert Call(lambda: changed.lock.acquire(blocking=False)).wait()


def test_many_threads_hand_over_everything_once_through_a_queue_of_one():
    queue, each, taken = Queue(1), 300, list[int]()

    def give(first: int) -> None:
        for number in range(first, first + each):
            queue.put(Position(0, number), BATCH)

    def take() -> None:
        while (given := queue.get()) is not None:
            taken.append(given[0].batch)

    giving, taking = [Call(lambda n=n: give(n * each)) for n in range(3)], [Call(take) for _ in range(3)]
    for call in giving:
        call.wait()
    queue.end()
    for call in taking:
        call.wait()
    assert sorted(taken) == list(range(3 * each))


@pytest.mark.parametrize("waits", [True, False], ids=["for a batch", "for nothing"])
def test_an_interrupt_of_who_takes_leaves_a_queue_that_others_can_use(waits):
    """In threading.Condition, some leave its lock taken, or end in a RuntimeError of that."""
    files, tracer = {each.__file__ for each in (threading, condition, pump)}, sys.gettrace()
    for at in count(1):
        queue = Queue(1)

        def give(queue: Queue = queue) -> None:
            sleep(0.001 if waits else 0)
            with suppress(Closed):
                for number in range(3):
                    queue.put(Position(0, number), BATCH)

        giver = Call(give)
        is_reached = interrupt_at_opcode(at, lambda code: code.co_filename in files, as_signals=True)
        try:
            queue.get()
            queue.get()
        except Stopped:
            pass
        finally:
            sys.settrace(tracer)
        Call(queue.cancel).wait(5)
        giver.wait(5)
        if not is_reached():
            break
    assert at > 10


def test_who_ends_last_leaves_the_work_to_who_closes_it_already(monkeypatch):
    """Of two threads, the second is started when the feed was closed, as by another thread."""
    gate, closing, failures = threading.Event(), threading.Event(), list[object]()

    def batches() -> Iterator[Work]:
        try:
            yield from (Work(Position(0, number), Job([BATCH])) for number in range(9))
        finally:
            closing.set()
            gate.wait()

    monkeypatch.setattr(threading, "excepthook", failures.append)
    queue = Queue(1)
    feed = Pump(batches(), queue, lambda batch: batch, Gauge(), 2)
    first, second = feed.threads
    first.start()
    queue.get()
    closer = Call(feed.close)
    assert closing.wait(30)
    second.start()
    second.join(30)
    gate.set()
    closer.wait()
    assert not failures
    assert feed.is_done


def is_of_feeds(code: CodeType) -> bool:
    """Whether the consumer runs it to take batches, and to close."""
    return code.co_filename in {each.__file__ for each in (condition, feeder, pump)} and code.co_name != "__init__"


@pytest.mark.usefixtures("workshop")
@pytest.mark.parametrize("waits", [True, False], ids=["for batches", "for nothing"])
def test_an_interrupt_wherever_python_hears_it_leaves_no_thread_behind(waits):
    """In threading.Condition, some leave its lock taken, and the threads of the feed hang."""
    gate = threading.Event()

    def slow(batch: Batch) -> Batch:
        gate.wait(0.003)
        return batch

    tracer = sys.gettrace()
    for at in count(1):
        given = list[int]()
        is_reached = interrupt_at_opcode(at, is_of_feeds, as_signals=True)
        try:
            with Feeder(lambda: iter([BATCH] * 3), 3, capacity=1, transform=slow if waits else None) as feed:
                given.extend(map(len, feed))
        except Stopped:
            pass
        finally:
            sys.settrace(tracer)
        assert given == [3] * len(given)
        until(lambda: not feed_threads(), 10)
        if not is_reached():
            break
    assert given == [3] * 3
    assert at > 100
