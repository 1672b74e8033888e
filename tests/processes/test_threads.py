"""One file, one iterator, one feed, used from many threads at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import files
from recordio_bridge.feed import Feeder
from tests.feed.deadline import Call, until
from tests.formats.contract import plain

ROWS, THREADS = 400, 8
NAMES = [
    "a.rec", "no-index.rec", "a.tfrecord", "a.tfrecord.gz", "a.tfrecord.zz", "a.h5", "packed.h5", "a.npz", "packed.npz",
    "a.npy",
]  # fmt: skip


def write(folder: Path, name: str, rows: int = ROWS) -> Path:
    """Rows that all differ, of columns of all kinds; an .npy has room for one."""
    path, numbers = folder / name, np.arange(rows)
    columns: dict[str, object] = {"data": numbers}
    if path.suffix != ".npy":
        columns["x"] = (numbers[:, None] * [0.5, -1.0]).astype(np.float32)
        columns["name"] = [b"row %d " % number * (1 + number % 5) for number in range(rows)]
        columns["boxes"] = [np.arange(number % 4, dtype=np.float32) for number in range(rows)]
    options = {"packed.h5": {"compression": "GZIP"}, "packed.npz": {"compression": "DEFLATE"}}.get(name, {})
    rb.write(path, columns, **options)
    if name == "no-index.rec":
        path.with_suffix(".idx").unlink()
    return path


def at_once(work: Callable[[int], object], threads: int = THREADS) -> list[object]:
    """work(number) on so many threads that begin together."""
    start = threading.Barrier(threads)

    def run(number: int) -> object:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


@pytest.mark.parametrize("name", NAMES)
def test_an_open_file_gives_every_thread_the_rows_of_a_sequential_reading(tmp_path, name):
    path = write(tmp_path, name)
    expected = [plain(row) for batch in rb.read(path) for row in batch.rows()]
    with rb.open(path) as file:

        def work(seed: int) -> None:
            rows = np.random.default_rng(seed).permutation(ROWS)
            for row in rows[:60].tolist():
                assert plain(file[row]) == expected[row]
            assert [plain(row) for row in file.take(rows).rows()] == [expected[row] for row in rows]

        at_once(work)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_closed_while_threads_read_gives_rows_or_says_that_it_is_closed(tmp_path, name, workshop):
    path = write(tmp_path, name)
    for _ in range(5):
        file = rb.open(path)
        reading = threading.Barrier(THREADS)

        def work(seed: int, file: rb.RecordFile = file, reading: threading.Barrier = reading) -> None:
            chance = np.random.default_rng(seed)
            file[0]
            reading.wait()
            if seed == 0:
                file.close()

            def take_on() -> None:
                while True:
                    rows = chance.integers(0, ROWS, 20)
                    assert file.take(rows)["data"].tolist() == rows.tolist()

            with pytest.raises(ValueError, match=f"{name}: this RecordFile is closed"):
                take_on()

        at_once(work)
        assert [link for link in map(target_of, os.listdir("/dev/fd")) if str(tmp_path) in link] == []
        assert os.listdir(workshop) == []


def target_of(descriptor: str) -> str:
    try:
        return os.readlink(f"/dev/fd/{descriptor}")
    except OSError:  # that of the listing itself
        return ""


@pytest.mark.parametrize("name", NAMES)
def test_iterators_of_one_file_in_many_threads_each_give_all_rows(tmp_path, name):
    path = write(tmp_path, name)
    found = at_once(
        lambda number: [n for batch in rb.read(path, batch_rows=7 + number) for n in batch["data"].tolist()]
    )
    assert found == [list(range(ROWS))] * THREADS


@pytest.mark.parametrize("name", ["a.rec", "a.tfrecord", "a.tfrecord.gz"])
def test_an_iterator_that_another_thread_is_in_says_so_and_goes_on_there(tmp_path, monkeypatch, name):
    path = write(tmp_path, name)
    is_inside, go_on = threading.Event(), threading.Event()
    from recordio_bridge.formats import framed

    opened = framed.open_stream

    def wait_and_open(*arguments: object) -> files.Stream:
        is_inside.set()
        assert go_on.wait(60)
        return opened(*arguments)

    batches = rb.read(path, batch_rows=100)
    monkeypatch.setattr(framed, "open_stream", wait_and_open)
    first = Call(lambda: next(batches))
    assert is_inside.wait(60)
    with pytest.raises(ValueError, match="generator already executing"):
        next(batches)
    go_on.set()
    found = [first.wait(), *batches]
    assert [row for batch in found for row in batch["data"].tolist()] == list(range(ROWS))


def test_an_iterator_behind_a_lock_can_be_shared(tmp_path):
    batches, lock = rb.read(write(tmp_path, "a.rec"), batch_rows=3), threading.Lock()

    def work(number: int) -> list[int]:
        found: list[int] = []
        while True:
            with lock:
                batch = next(batches, None)
            if batch is None:
                return found
            found += batch["data"].tolist()

    found = at_once(work)
    assert sorted(row for mine in found for row in mine) == list(range(ROWS))


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_feeder_that_threads_share_hands_every_batch_to_one_of_them(tmp_path, n_threads):
    path = write(tmp_path, "a.rec")
    for _ in range(10):
        with Feeder(path, 7, n_threads=n_threads, shuffle=True, seed=1) as feeder:
            found = at_once(lambda number, feeder=feeder: [row for batch in feeder for row in batch["data"].tolist()])
            assert sorted(row for mine in found for row in mine) == list(range(ROWS))
            assert feeder.state()["batch"] in (0, -(-ROWS // 7))
            assert feeder.stats().rows == ROWS


def test_a_failure_is_told_to_every_thread_that_shares_a_feeder():
    def source() -> Iterator[tuple[np.ndarray, ...]]:
        yield (np.arange(10),)
        raise ArithmeticError("on purpose")

    with pytest.raises(rb.FeedError), Feeder(source, 10) as feeder:  # noqa: PT012  # the first of them leaves the block

        def work(number: int) -> BaseException:
            with pytest.raises(rb.FeedError) as caught:
                list(feeder)
            return caught.value.__cause__

        assert [type(cause) for cause in at_once(work)] == [ArithmeticError] * THREADS
        next(feeder)


def test_threads_that_iterate_over_what_a_feeder_gives_see_no_batch_change(tmp_path):
    path = write(tmp_path, "a.npz")
    with rb.open(path) as file:
        kept = at_once(lambda seed: [file.take(np.random.default_rng(seed).permutation(ROWS)) for _ in range(5)])
    for seed, batches in enumerate(kept):
        chance = np.random.default_rng(seed)
        order = chance.permutation(ROWS)
        assert all(np.array_equal(batch["data"], order) for batch in batches)


def test_closing_a_feeder_in_one_thread_ends_the_others(tmp_path):
    feeder = Feeder(write(tmp_path, "a.tfrecord"), 7, epochs=None)
    waiting: list[Call] = []

    def drain() -> None:
        for _ in feeder:
            pass

    waiting = [Call(drain) for _ in range(4)]
    until(lambda: feeder.stats().batches > 100)
    feeder.close()
    for call in waiting:
        with pytest.raises(rb.FeedError, match="closed"):
            call.wait()
