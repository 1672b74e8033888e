"""The thread that reads and writes beside the main one: what it does, when it ends, and what interrupts leave of it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from itertools import count
from queue import SimpleQueue

import numpy as np
import pytest

from recordio_bridge.errands import Errands
from tests.feed.deadline import num_threads, until, within
from tests.feed.program import run_program
from tests.interrupting import Stopped, interrupt_at_opcode


def test_errands_are_run_in_their_order_on_one_thread():
    before = num_threads()
    with Errands() as thread:
        errands = [thread.submit(lambda number: (number, threading.get_ident()), number) for number in range(50)]
        found = [errand.result() for errand in errands]
        assert num_threads() <= before + 1
    assert [number for number, _ in found] == list(range(50))
    assert len({ident for _, ident in found} - {threading.get_ident()}) == 1
    until(lambda: num_threads() <= before)


def test_what_an_errand_raises_is_raised_for_who_asks_and_the_next_is_run():
    with Errands() as thread:
        bad, good = thread.submit(int, "x"), thread.submit(int, "7")
        with pytest.raises(ValueError, match="invalid literal"):
            bad.result()
        assert good.result() == 7


def test_without_an_errand_there_is_no_thread():
    before, thread = num_threads(), Errands()
    thread.close()
    thread.close()
    assert num_threads() <= before


def test_what_waits_is_run_before_the_end_unless_it_is_to_be_dropped():
    for drop in (False, True):
        gate, begun, done = SimpleQueue[None](), SimpleQueue[None](), list[int]()
        thread = Errands()
        first = thread.submit(lambda begun=begun, gate=gate: (begun.put(None), gate.get()))
        begun.get()
        waiting = [thread.submit(done.append, number) for number in range(3)]
        closing = threading.Thread(target=lambda thread=thread, drop=drop: thread.close(drop=drop))
        closing.start()
        until(lambda thread=thread, drop=drop: thread._desk.drops is drop)
        gate.put(None)
        first.result()
        within(10, closing.join)
        assert done == ([] if drop else [0, 1, 2])
        if drop:
            with pytest.raises(RuntimeError, match="dropped"):
                waiting[0].result()


def test_a_thread_that_nobody_closed_ends_with_its_object_and_lets_go_of_what_it_held():
    before, thread = num_threads(), Errands()
    held = np.zeros(3)
    thread.submit(held.sum).result()
    alive = weakref.ref(held)
    del held
    until(lambda: alive() is None)
    assert num_threads() <= before + 1
    del thread
    gc.collect()
    until(lambda: num_threads() <= before)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_the_thread_of_its_parent():
    with Errands() as thread:
        thread.submit(int).result()
        child = os.fork()
        if not child:
            signal.alarm(20)
            thread.close()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_program_does_not_wait_for_a_thread_that_it_left():
    ended = run_program("""
        from recordio_bridge.errands import Errands
        thread = Errands()
        print(thread.submit(int, "3").result())
    """)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3\n", "")


def send() -> int:
    """With all that belongs to it, and closing again, as one does who was interrupted."""
    thread = Errands()
    try:
        errands = [thread.submit(int, "2"), thread.submit(int, "3")]
        found = sum(errand.result() for errand in errands)
        thread.close()
        return found
    finally:
        sys.settrace(None)
        thread.close(drop=True)


@pytest.fixture
def watched() -> Iterator[None]:
    """Ends what hangs; and nothing is collected, as an interrupt of what the collector calls goes nowhere."""

    def end(number: int, frame: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(120)
    gc.disable()
    yield
    gc.enable()
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_an_interrupt_before_any_opcode_is_raised_as_it_is_and_leaves_no_thread(watched):
    tracer, before = sys.gettrace(), num_threads()
    for at in count(1):
        is_reached = interrupt_at_opcode(at)
        try:
            found = send()
        except Stopped:
            found = None
        finally:
            sys.settrace(tracer)
        until(lambda: num_threads() <= before, 5)
        if not is_reached():
            break
        assert found is None, at
    assert (found, at > 100) == (5, True)
