"""Signals at any moment: what is interrupted leaves nothing behind, and what goes on is not disturbed."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from random import Random
from time import perf_counter
from types import CodeType

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder
from recordio_bridge.files import Output
from tests.feed.deadline import feed_threads, until
from tests.feed.program import run_program
from tests.interrupting import Stopped, interrupt_at_opcode
from tests.samples import contents, image_rec

ROWS = 6000
SUFFIXES = [".rec", ".tfrecord.gz", ".h5", ".npz"]


@pytest.fixture
def nobody_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of files that go with their objects: pytest keeps what it is told, with all that the frames hold."""
    monkeypatch.setattr(sys, "unraisablehook", lambda told: None)


@pytest.fixture
def few_objects() -> Iterator[None]:
    """Those of a long run of tests aside, each collection takes a thousandth of the time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def alarm() -> Iterator[Callable[[bool], None]]:
    """Sets a handler of SIGALRM, that raises or not."""

    def handle(raises: bool) -> None:
        def handler(number: int, frame: object) -> None:
            if raises:
                raise Stopped

        signal.signal(signal.SIGALRM, handler)

    before = signal.getsignal(signal.SIGALRM)
    yield handle
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def write(path: Path) -> Path:
    numbers = np.arange(ROWS)
    rb.write(path, {"data": numbers, "x": np.repeat(numbers[:, None], 8, axis=1)})
    return path


def uses(source: Path, out: Path) -> dict[str, Callable[[], object]]:
    """What is interrupted; each gives the rows that it is about."""

    def convert(**options: object) -> int:
        rb.convert(source, out / "b.tfrecord", overwrite=True, **options)
        return rb.inspect(out / "b.tfrecord").num_rows

    def fed() -> int:
        with Feeder(source, 500, shuffle=True, n_threads=2) as feeder:
            return sum(map(len, feeder))

    def opened() -> int:
        with rb.open(source) as file:
            return len(file.take(np.arange(ROWS)[::-1]))

    def written() -> int:
        rb.write(out / f"c{''.join(source.suffixes)}", rb.read(source), overwrite=True)
        return ROWS

    return {
        "read": lambda: sum(map(len, rb.read(source))),
        "open": opened,
        "convert": convert,
        "shuffle": lambda: convert(shuffle=True, seed=1, shards=2),
        "write": written,
        "verify": lambda: rb.verify(source).num_rows,
        "feed": fed,
    }


USES = ["read", "open", "convert", "shuffle", "write", "verify", "feed"]


@pytest.mark.usefixtures("nobody_told", "few_objects")
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_exception_of_a_handler_at_any_moment_leaves_nothing_behind(tmp_path, workshop, alarm, suffix, use):
    out, chance = tmp_path / "out", Random(1)
    out.mkdir()
    do = uses(write(tmp_path / f"a{suffix}"), out)[use]
    do()
    expected, began = contents(out), perf_counter()
    do()
    lasting_s = perf_counter() - began
    alarm(True)
    for _ in range(25):
        try:
            signal.setitimer(signal.ITIMER_REAL, max(1e-6, chance.uniform(0, lasting_s)))
            do()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Stopped:
            pass
        until(lambda: not feed_threads())
        gc.collect()  # what was interrupted while it was made is nobody's
        assert os.listdir(workshop) == []
        assert contents(out) == expected, "what was there, or what was written: the same bytes"
    assert do() == ROWS


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_signals_whose_handlers_return_disturb_nothing(tmp_path, workshop, alarm, suffix):
    """Calls of the system that they break off (EINTR) are made again."""
    (tmp_path / "out").mkdir()
    alarm(False)
    source = write(tmp_path / f"a{suffix}")
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    for name, do in uses(source, tmp_path / "out").items():
        assert do() == ROWS, name
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert rb.verify(tmp_path / "out/b.tfrecord").ok


def interrupt_after(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, at: int) -> list[object]:
    """Send an interrupt just after the call of this number; gives the calls to come."""
    call, calls = getattr(owner, name), []

    def call_and_interrupt(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        result = call(*arguments, **options)
        if len(calls) == at + 1:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, name, call_and_interrupt)
    return calls


@pytest.mark.parametrize("at", range(5))
def test_an_interrupt_just_after_an_old_file_made_room_brings_it_back(tmp_path, monkeypatch, at):
    (tmp_path / "out").mkdir()
    rb.convert(image_rec(tmp_path / "old.rec", 4), tmp_path / "out/b.rec", shards=2)
    expected = contents(tmp_path / "out")
    assert len(expected) == 6
    source = image_rec(tmp_path / "a.rec", 6)
    with monkeypatch.context() as patch:
        interrupt_after(patch, os, "rename", at)
        with pytest.raises(KeyboardInterrupt):
            rb.convert(source, tmp_path / "out/b.rec", shards=2, overwrite=True)
    assert contents(tmp_path / "out") == expected


@pytest.mark.parametrize("at", range(5))
def test_an_interrupt_while_old_files_are_removed_leaves_the_new_and_nothing_else(tmp_path, monkeypatch, at):
    (tmp_path / "out").mkdir()
    rb.convert(image_rec(tmp_path / "old.rec", 4), tmp_path / "out/b.rec", shards=2)
    names = contents(tmp_path / "out").keys()
    source = image_rec(tmp_path / "a.rec", 6)
    with monkeypatch.context() as patch:
        interrupt_after(patch, Path, "unlink", at)
        with pytest.raises(KeyboardInterrupt):
            rb.convert(source, tmp_path / "out/b.rec", shards=2, overwrite=True)
    assert contents(tmp_path / "out").keys() == names
    report = rb.verify(tmp_path / "out/b.rec")
    assert (report.ok, report.num_rows) == (True, 6)


@pytest.mark.parametrize("at", range(3))
def test_an_interrupt_just_after_a_file_was_begun_leaves_none(tmp_path, monkeypatch, at):
    """Before whoever is to remove it has it in hand."""
    source, opened = image_rec(tmp_path / "a.rec", 6), os.open
    seen: list[str] = []

    def open_and_interrupt(path: str, *arguments: object, **options: object) -> int:
        fd = opened(path, *arguments, **options)
        if str(path).endswith(".part"):
            seen.append(path)
            if len(seen) == at + 1:
                os.close(fd)
                raise KeyboardInterrupt
        return fd

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            rb.convert(source, tmp_path / "b.tfrecord")
    assert sorted(os.listdir(tmp_path)) == ["a.idx", "a.rec"]


EXITS = """
    import os, random, sys
    import numpy as np
    from recordio_bridge.feed import Feeder

    chance, ends = random.Random(3), []
    for turn in range(100):
        steps, threads, shuffle = chance.randrange(8), chance.choice([1, 2, 3]), chance.random() < 0.5
        how = chance.choice(["end", "exit", "raise", "kept in a cycle"])
        child = os.fork()
        if child:
            ends.append((how, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
            continue
        path = chance.choice(sys.argv[1:])
        feeder = Feeder(path, 10, epochs=None, capacity=2, n_threads=threads, shuffle=shuffle)
        for _ in range(steps):
            next(feeder)
        if how == "exit":
            sys.exit(5)
        if how == "raise":
            sys.stderr = open(os.devnull, "w")
            raise ArithmeticError
        if how == "kept in a cycle":
            feeder.itself = feeder
            del feeder
        break
    else:
        codes = {"end": 0, "exit": 5, "raise": 1, "kept in a cycle": 0}
        print([end for end in ends if end[1] != codes[end[0]]], len(ends))
"""


@pytest.mark.one_lane
def test_a_hundred_programs_that_end_while_they_are_fed_end_as_they_should(tmp_path):
    paths = [write(tmp_path / f"a{suffix}") for suffix in SUFFIXES]
    ended = run_program(EXITS, *paths)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[] 100\n", "")


@cache
def is_of_output(code: CodeType) -> bool:
    """Whether it is of a method of Output; what __del__ raises goes nowhere."""
    lines, first = inspect.getsourcelines(Output)
    is_inside = code.co_filename == inspect.getsourcefile(Output) and 0 <= code.co_firstlineno - first < len(lines)
    return is_inside and code.co_name != "__del__"


@pytest.mark.usefixtures("nobody_told")
def test_an_output_interrupted_before_any_opcode_closes_its_file_once(tmp_path, workshop):
    """Twice would close what another opened meanwhile, under the number that became free."""
    source, out, tracer = image_rec(tmp_path / "a.rec", 2), tmp_path / "out", sys.gettrace()
    out.mkdir()
    for at in count(1):
        is_reached = interrupt_at_opcode(at, is_of_output)
        try:
            with pytest.raises(Stopped) if at < 20 else suppress(Stopped):
                rb.convert(source, out / "b.tfrecord", overwrite=True)
        finally:
            sys.settrace(tracer)
        assert os.listdir(workshop) == [], at
        assert len(os.listdir(out)) in (0, 3), "all or nothing"
        if not is_reached():
            break
    assert at > 200


@pytest.mark.usefixtures("nobody_told")
@pytest.mark.parametrize("compression", ["", "DEFLATE"])
def test_an_npz_interrupted_while_zipfile_writes_a_member_leaves_nothing(tmp_path, workshop, compression):
    """There zipfile refuses to close the archive, which is not wanted any more, and would hide what came."""
    out, numbers, tracer = tmp_path / "out", np.arange(3), sys.gettrace()
    out.mkdir()
    for at in count(1):
        is_reached = interrupt_at_opcode(at, lambda code: code.co_filename == zipfile.__file__, as_signals=True)
        try:
            with pytest.raises(Stopped) if at < 20 else suppress(Stopped):
                rb.write(out / "b.npz", {"a": numbers, "b": numbers}, overwrite=True, compression=compression)
        finally:
            sys.settrace(tracer)
        assert os.listdir(workshop) == [], at
        assert len(os.listdir(out)) in (0, 2), "all or nothing"
        if not is_reached():
            break
    assert at > 100
