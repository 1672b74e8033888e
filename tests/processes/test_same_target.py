"""Two conversions to one target at once, from threads and from processes: one is there whole, and never a mixture."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import turns
from tests.cli.running import start_module
from tests.feed.deadline import Call, until
from tests.samples import contents, image_rec

ROWS = {"few": 60, "more": 90}


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """Two sources with ids of their own."""
    return {
        name: image_rec(tmp_path / f"{name}.rec", rows, 1000 * number)
        for number, (name, rows) in enumerate(ROWS.items())
    }


def ids_in(target: Path) -> list[int]:
    return sorted(int(number) for batch in rb.read(target) for number in batch["id"])


def winner(target: Path) -> str:
    """Whose rows are there, all of them and no others, as the manifest says, and nothing else."""
    report = rb.verify(target)
    assert report.ok, report.problems
    (name,) = (name for name, rows in ROWS.items() if report.num_rows == rows)
    first = 1000 * list(ROWS).index(name)
    assert ids_in(target) == list(range(first, first + ROWS[name]))
    manifest = {*map(os.path.basename, report.files), f"{target.name}.schema.json", f"{target.name}.manifest.json"}
    assert {path for path in os.listdir(target.parent) if not path.endswith(".idx")} == manifest
    return name


SHARDS = {"few": 2, "more": 3}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("suffix", [".tfrecord", ".rec"])
def test_of_threads_that_convert_to_one_target_at_once_one_wins_whole(tmp_path, sources, suffix, overwrite):
    for turn in range(12):
        target = tmp_path / f"out-{turn}" / f"b{suffix}"
        target.parent.mkdir()
        start = threading.Barrier(2)

        def convert(name: str, target: Path = target, start: threading.Barrier = start) -> object:
            start.wait()
            try:
                return rb.convert(sources[name], target, shards=SHARDS[name], overwrite=overwrite)
            except FileExistsError as err:
                return err

        with ThreadPoolExecutor(2) as pool:
            told = dict(zip(ROWS, pool.map(convert, ROWS), strict=True))
        won = winner(target)
        assert not isinstance(told[won], FileExistsError)
        if not overwrite:
            (lost,) = set(ROWS) - {won}
            assert isinstance(told[lost], FileExistsError)


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_processes_that_convert_to_one_target_at_once_one_wins_whole(tmp_path, sources, overwrite):
    target = tmp_path / "out" / "b.tfrecord"
    target.parent.mkdir()
    options = ["--overwrite"] if overwrite else []
    running = {
        name: start_module("convert", sources[name], target, "--shards", SHARDS[name], "--workers", 1, *options)
        for name in ROWS
    }
    said = {name: process.communicate()[1] for name, process in running.items()}
    won = winner(target)
    assert running[won].returncode == 0, said
    for name, process in running.items():
        assert process.returncode == 0 or "exists" in said[name] or "appeared" in said[name], said


@pytest.mark.parametrize("how", ["few over more", "more over few", "more over more"])
@pytest.mark.parametrize("step", range(4))
def test_one_that_comes_while_another_gives_its_files_their_names_waits(tmp_path, monkeypatch, sources, step, how):
    """Both may overwrite what is there: at each step of the one, the other comes to its own end."""
    names = how.split(" over ")
    first, second = names[1], names[0]
    target = tmp_path / "out" / "b.tfrecord"
    target.parent.mkdir()
    rb.convert(sources["few"], target, shards=5)
    link, flock, calls = os.link, fcntl.flock, []
    others: list[Call] = []
    is_waiting = threading.Event()
    here = threading.get_ident()

    def convert(name: str) -> object:
        return rb.convert(sources[name], target, shards=SHARDS[name], overwrite=True)

    def link_beside(old: str, new: str) -> None:
        if threading.get_ident() == here:
            calls.append(new)
            if len(calls) == step + 1:
                others.append(Call(lambda: convert(second)))
                until(lambda: is_waiting.is_set() or not others[0].is_alive())
        link(old, new)

    def flock_and_tell(fd: int, what: int) -> None:
        if threading.get_ident() != here:
            is_waiting.set()
        flock(fd, what)

    monkeypatch.setattr(os, "link", link_beside)
    monkeypatch.setattr(fcntl, "flock", flock_and_tell)
    convert(first)
    others[0].wait()
    assert winner(target) == second


def test_a_target_that_cannot_be_locked_is_written_all_the_same(tmp_path, monkeypatch, sources):
    """Some network file systems have no such locks."""

    def refuse(fd: int, what: int) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / "out").mkdir()
    rb.convert(sources["few"], tmp_path / "out/b.tfrecord", shards=2)
    assert winner(tmp_path / "out/b.tfrecord") == "few"


def test_where_nothing_can_be_locked_a_run_that_fails_removes_no_file_of_another(tmp_path, monkeypatch, sources):
    target, link = tmp_path / "out" / "b.tfrecord", os.link
    target.parent.mkdir()
    calls: list[str] = []

    def replaced_at_once(old: str, new: str) -> None:
        link(old, new)
        calls.append(new)
        if len(calls) == 1:
            os.unlink(new)
            Path(new).write_bytes(b"from another run")
        elif len(calls) == 2:
            raise FileExistsError

    monkeypatch.setattr(os, "link", replaced_at_once)
    with pytest.raises(FileExistsError):
        rb.convert(sources["few"], target, shards=2)
    assert list(contents(target.parent)) == ["b-00000-of-00002.tfrecord"]
    assert Path(calls[0]).read_bytes() == b"from another run"


def test_writers_in_many_threads_write_what_each_was_given(tmp_path):
    suffixes = [".rec", ".tfrecord", ".tfrecord.gz", ".h5", ".npz", ".npy"] * 2
    start = threading.Barrier(len(suffixes))

    def write(number: int) -> None:
        start.wait()
        path = tmp_path / f"{number}{suffixes[number]}"
        rb.write(path, ({"data": [number, row]} for row in range(50)))

    with ThreadPoolExecutor(len(suffixes)) as pool:
        list(pool.map(write, range(len(suffixes))))
    for number, suffix in enumerate(suffixes):
        found = [int(value) for batch in rb.read(tmp_path / f"{number}{suffix}") for value in batch["data"]]
        assert found == [value for row in range(50) for value in (number, row)]
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_a_process_that_was_forked_meanwhile_keeps_no_turn(tmp_path):
    """It has a copy of all descriptors, and so of the lock."""
    with turns.turn_in([str(tmp_path)]):
        pid = os.fork()
        if pid == 0:
            signal.pause()
    try:
        other = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_folder_that_another_program_has_locked_is_waited_for_but_not_for_ever(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(turns, "_TOLD_AFTER_S", 0.0)
    monkeypatch.setattr(turns, "_PATIENCE_S", 0.1)
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    rb.write(tmp_path / "x.npy", {"data": np.arange(3)})
    os.close(other)
    assert rb.verify(tmp_path / "x.npy").ok
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "waiting for another program that has locked this folder",
        "still locked by another program; going on without its lock",
    ]


def test_turns_in_folders_are_taken_in_one_order(tmp_path, monkeypatch):
    """Else two that want the same ones might wait for each other."""
    taken: list[str] = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(turns, "_wait", lambda fd, folder: taken.append(folder))
    for folders in (["b", "a", "c/../a"], ["a", "b"]):
        with turns.turn_in([str(tmp_path / folder) for folder in folders]):
            pass
    assert taken == [str(tmp_path / "a"), str(tmp_path / "b")] * 2
