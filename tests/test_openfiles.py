"""Files that stay open: how many, for whom, and until when; with files of memory, and with real ones."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Schema, openfiles
from recordio_bridge.formats.base import Request
from recordio_bridge.openfiles import OpenFiles
from recordio_bridge.sources import Source
from tests.interrupting import Stopped, interrupt_at_opcode

ROWS = np.arange(40, dtype=np.int64)
SUFFIXES = [".rec", ".tfrecord", ".h5", ".npz", ".npy"]


class FakeFile:
    def __init__(self, name: str, log: list[str], nbytes: int) -> None:
        self.name, self.log, self.nbytes = name, log, nbytes
        log.append(f"+{name}")

    def close(self) -> None:
        self.log.append(f"-{self.name}")


class FakeFormat:
    """Opens files that note in log when they are opened and closed."""

    def __init__(self, nbytes: int = 0) -> None:
        self.log: list[str] = []
        self.nbytes = nbytes

    def open_rows(self, path: str, options: object, request: Request) -> FakeFile:
        return FakeFile(path, self.log, self.nbytes)


@pytest.fixture(autouse=True)
def _nothing_else_is_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(openfiles, "_waiting", openfiles._Waiting())
    yield
    openfiles._waiting.close_all()


def fake(names: str, nbytes: int = 0) -> tuple[OpenFiles, list[str]]:
    format = FakeFormat(nbytes)
    return OpenFiles(Source(format, tuple(names), (None,) * len(names)), Request(Schema())), format.log  # type: ignore[arg-type]


def use(files: OpenFiles, *numbers: int) -> None:
    for number in numbers:
        with files.lend(number):
            pass


def test_a_file_is_opened_once_and_lent_again():
    files, log = fake("ab")
    use(files, 0, 1, 0, 1)
    assert log == ["+a", "+b"]
    files.close()
    assert sorted(log[2:]) == ["-a", "-b"]
    use(files, 1)
    assert log[4:] == ["+b", "-b"]


def test_those_used_longest_ago_make_room(monkeypatch):
    monkeypatch.setattr(openfiles, "MOST_FILES", 3)
    (files, log), (others, other_log) = fake("abc"), fake("x")
    use(files, 0, 1, 2, 0)
    use(others, 0)
    assert (log, other_log) == (["+a", "+b", "+c", "-b"], ["+x"])
    use(files, 0, 2)
    assert len(log) == 4


def test_files_that_take_much_memory_make_room_but_for_the_last(monkeypatch):
    monkeypatch.setattr(openfiles, "MOST_BYTES", 25)
    files, log = fake("abc", nbytes=10)
    use(files, 0, 1, 2)
    assert log == ["+a", "+b", "+c", "-a"]
    large, large_log = fake("x", nbytes=100)
    use(large, 0, 0)
    assert (log[4:], large_log) == (["-b", "-c"], ["+x"])


def test_a_file_that_is_lent_is_opened_once_more_for_another():
    files, log = fake("a")
    with files.lend(0) as first, files.lend(0) as second:
        assert first is not second
    assert log == ["+a", "+a"]
    use(files, 0)
    with files.lend(0), files.lend(0):
        pass
    assert log == ["+a", "+a"]


def test_a_file_at_which_something_went_wrong_is_closed():
    files, log = fake("a")
    with pytest.raises(KeyError), files.lend(0):
        raise KeyError
    assert log == ["+a", "-a"]
    use(files, 0)
    assert log == ["+a", "-a", "+a"]


def test_files_are_closed_with_the_last_reference():
    files, log = fake("ab")
    use(files, 0, 1)
    del files
    assert sorted(log) == ["+a", "+b", "-a", "-b"]


def test_a_collection_at_any_point_does_not_wait_for_itself():
    (files, log), (others, _) = fake("a"), fake("x")
    use(files, 0)
    with openfiles._waiting._lock:  # as where the collector runs while a file is given back
        del files
        assert log == ["+a"]
    use(others, 0)
    assert log == ["+a", "-a"]


def test_an_interrupt_at_any_moment_leaves_nothing_locked_and_nothing_open():
    codes = {method.__code__ for method in vars(openfiles._Waiting).values() if hasattr(method, "__code__")}
    tracer = sys.gettrace()
    for at in count(1):
        files, _ = fake("ab")
        is_reached = interrupt_at_opcode(at, codes.__contains__, as_signals=True)
        try:
            use(files, 0, 1, 0)
            files.close()
        except Stopped:
            pass
        finally:
            sys.settrace(tracer)
        assert not openfiles._waiting._lock.locked(), at
        files.close()
        assert not openfiles._waiting._files, at
        if not is_reached():
            break
    assert at > 50


def test_owners_in_a_cycle_are_collected_under_many_threads():
    def work(number: int) -> list[str]:
        log: list[str] = []
        for _ in range(200):
            files, mine = fake("ab")
            cycle = [files]
            cycle.append(cycle)
            use(files, 0, 1)
            log = mine
        return log

    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as pool:
            logs = list(pool.map(work, range(8)))
    finally:
        gc.set_threshold(700)
    gc.collect()
    assert all(sorted(log) == ["+a", "+b", "-a", "-b"] for log in logs)
    assert not openfiles._waiting._files
    assert openfiles._waiting._nbytes == 0


# ---- files of all formats ----


def write(path: Path, first: int = 0) -> Path:
    rb.write(path, {"data": first + ROWS})
    return path


def descriptors_of(paths: list[Path]) -> list[int]:
    """Those of this process that lead to these files."""
    wanted = {(path.stat().st_dev, path.stat().st_ino) for path in paths}
    found = []
    for name in os.listdir("/dev/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:  # that of the listing itself
            continue
        if (status.st_dev, status.st_ino) in wanted:
            found.append(int(name))
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_are_taken_from_a_file_that_stays_open_until_it_is_closed(tmp_path, monkeypatch, suffix):
    path = write(tmp_path / f"a{suffix}")
    with rb.open(path) as file:
        assert descriptors_of([path]) == []
        format, opened = type(file._source.format), []
        original = format.open_rows
        monkeypatch.setattr(format, "open_rows", lambda *args: opened.append(args[1]) or original(*args))
        assert [file[n]["data"] for n in (3, 1, 2)] == [3, 1, 2]
        assert file.take([5, 0])["data"].tolist() == [5, 0]
        assert file[:]["data"].tolist() == ROWS.tolist()
        assert (opened, len(descriptors_of([path]))) == ([str(path)], 1)
    assert descriptors_of([path]) == []
    file = rb.open(path)
    assert file[7]["data"] == 7
    assert len(descriptors_of([path])) == 1
    del file
    assert descriptors_of([path]) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_set_of_many_files_holds_few_descriptors(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(openfiles, "MOST_FILES", 5)
    paths = [write(tmp_path / f"{number:02d}{suffix}", first=40 * number) for number in range(20)]
    with rb.open(paths) as file:
        rows = np.random.default_rng(0).permutation(len(file))
        assert [int(file[int(row)]["data"]) for row in rows] == rows.tolist()
        assert file.take(rows)["data"].tolist() == rows.tolist()
        assert len(descriptors_of(paths)) == 5


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_shuffled_conversion_leaves_nothing_open(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}")
    rb.convert(path, tmp_path / f"b{suffix}", shuffle=True)
    assert sorted(rb.open(tmp_path / f"b{suffix}")[:]["data"].tolist()) == ROWS.tolist()
    assert descriptors_of([path]) == []


@pytest.mark.parametrize("how", ["replaced", "written over", "cut"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_changes_while_it_is_open_is_an_error(tmp_path, suffix, how):
    path = write(tmp_path / f"a{suffix}")
    with rb.open(path) as file:
        assert file[3]["data"] == 3
        if how == "replaced":
            os.replace(write(tmp_path / f"b{suffix}", first=100), path)
        else:
            path.write_bytes(path.read_bytes()[:-100] if how == "cut" else bytes(path.stat().st_size))
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # clocks of file systems may be coarse
        for read in (lambda: file[30], lambda: file[3], lambda: file.take([1, 39]), lambda: pickle.dumps(file[:])):
            with pytest.raises(rb.SourceChangedError, match=f"a{suffix}: changed"):
                read()
        assert descriptors_of([path]) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_threads_take_rows_of_the_same_files(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(openfiles, "MOST_FILES", 3)  # so that they close files for one another
    paths = [write(tmp_path / f"{number}{suffix}", first=40 * number) for number in range(4)]
    start = threading.Barrier(4)
    with rb.open(paths) as file:

        def work(seed: int) -> None:
            rows = np.random.default_rng(seed).permutation(len(file))
            start.wait()
            for row in rows.tolist():
                assert file[row]["data"] == row
            assert file.take(rows)["data"].tolist() == rows.tolist()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert len(descriptors_of(paths)) <= 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_forked_process_opens_its_own(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}")
    with rb.open(path) as file:
        assert file[0]["data"] == 0
        (mine,) = descriptors_of([path])
        os.lseek(mine, 5, os.SEEK_SET)  # a position that both would have if they shared it
        child = os.fork()
        if not child:
            code = 1
            try:
                inherited = descriptors_of([path])
                assert file[7]["data"] == 7
                for descriptor in descriptors_of([path]):
                    os.lseek(descriptor, 9, os.SEEK_SET)
                file.close()
                code = 0 if inherited == [] and descriptors_of([path]) == [] else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert os.lseek(mine, 0, os.SEEK_CUR) == 5
        assert [file[n]["data"] for n in (39, 1)] == [39, 1]
        assert descriptors_of([path]) == [mine]


def test_a_process_that_is_forked_while_others_read_reads_on(tmp_path):
    paths = [write(tmp_path / f"{number}{suffix}") for number, suffix in enumerate(SUFFIXES)]
    opened = [rb.open(path) for path in paths]
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            for file in opened:
                assert file[11]["data"] == 11

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work) for _ in range(2)]
        for _ in range(20):
            child = os.fork()
            if not child:
                try:
                    assert [file[n]["data"] for file in opened for n in (3, 30)] == [3, 30] * len(opened)
                    os._exit(7)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        done.set()
        for future in futures:
            future.result()
    for file in opened:
        file.close()


# ---- packed chunks of HDF5 ----


def chunked(path: Path, chunks: tuple[int, int], **filters: object) -> np.ndarray:
    values = np.random.default_rng(0).random((60, 8)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, chunks=chunks, **filters)
    return values


def scribble(path: Path) -> None:
    """Destroy the values on the disk, such that the file looks as before."""
    with h5py.File(path) as file:
        infos = [file["x"].id.get_chunk_info(number) for number in range(file["x"].id.get_num_chunks())]
    status = path.stat()
    with open(path, "r+b") as out:
        for info in infos:
            out.seek(info.byte_offset)
            out.write(b"\xa5" * info.size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("chunks", [(20, 8), (20, 3), (60, 8)], ids=str)
@pytest.mark.parametrize("keep", [1, 1 << 20])
def test_rows_beside_one_another_unpack_their_chunks_once(tmp_path, monkeypatch, chunks, keep):
    path = tmp_path / "x.h5"
    values = chunked(path, chunks, compression="gzip")
    monkeypatch.setattr(openfiles, "_KEPT", keep)
    with rb.open(path) as file:
        assert np.array_equal(file[0]["x"], values[0])
        whole = file[:]["x"] if keep > 1 else None
        scribble(path)
        for row in range(20 if whole is None else 60):
            assert np.array_equal(file[row]["x"], values[row])
        if keep == 1 and chunks[0] < 60:
            with pytest.raises(rb.FormatError, match="'x'"):
                file[25]


def test_rows_of_plain_chunks_are_read_alone(tmp_path):
    path = tmp_path / "x.h5"
    values = chunked(path, (20, 8))
    with rb.open(path) as file:
        assert np.array_equal(file[0]["x"], values[0])
        scribble(path)
        assert file[1]["x"].tobytes() == b"\xa5" * 32


@pytest.mark.parametrize(("filters", "nbytes"), [({}, 0), ({"compression": "gzip"}, 60 * 8 * 4)])
def test_what_a_cache_takes_is_known_and_no_more_than_the_values(tmp_path, filters, nbytes):
    path = tmp_path / "x.h5"
    chunked(path, (20, 8), **filters)
    source = Source.open(path)
    opened = source.format.open_rows(str(path), source.options[0], Request(source.schema(), keep=1 << 30))
    assert opened.nbytes == nbytes
    opened.close()
