"""What goes wrong on a thread reaches the consumer, and nothing is held up by a feed that ends."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder, position
from recordio_bridge.feed.pump import Pump
from recordio_bridge.feed.rows import HeldRows
from tests.feed.deadline import Call, feed_threads, until, within
from tests.feed.program import run_program
from tests.feed.sources import BATCHES, FORMATS, ROWS, SIZE, arrays, failing, ids, write
from tests.samples import frame_rec, image_payload, write_rec

ROW_NBYTES = 28  # of a row that sources.write makes
WITHIN_S = 5  # what promises a second, on a machine that is busy


class Spoilt(Exception):
    """What a source or a transform raises here."""


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("at", [0, 4, BATCHES - 1])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_transform_that_raises_is_told_behind_the_batches_before_it(tmp_path, suffix, at, threads):
    def transform(batch: rb.Batch) -> rb.Batch:
        if position.get() == (1, at):
            raise Spoilt("on purpose")
        return batch

    with Feeder(write(tmp_path, suffix), SIZE, epochs=3, transform=transform, n_threads=threads) as feeder:
        for _ in range(BATCHES + at):
            assert within(30, lambda: ids(next(feeder)))
        for _ in range(2):  # and again
            with pytest.raises(rb.FeedError, match="Spoilt: on purpose") as info:
                within(30, lambda: next(feeder))
            assert isinstance(info.value.__cause__, Spoilt)
    assert not feed_threads()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("at", [1, 4, BATCHES - 1])
def test_an_iterator_that_raises_is_told_behind_the_batches_before_it(at, threads):
    with Feeder(failing(at, Spoilt("gone")), SIZE, epochs=3, n_threads=threads) as feeder:
        for number in range(at):
            assert within(30, lambda: ids(next(feeder)))[0] == number * SIZE
        with pytest.raises(rb.FeedError, match="gone") as info:
            within(30, lambda: next(feeder))
    assert isinstance(info.value.__cause__, Spoilt)


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_transform_that_fails_at_the_first_batch_is_told_alike_whoever_meets_it(tmp_path, is_asked):
    def transform(batch: rb.Batch) -> rb.Batch:
        raise Spoilt(f"on purpose, at {tuple(position.get())}")

    with Feeder(write(tmp_path, "npz"), SIZE, transform=transform) as feeder:
        for _ in range(2):  # and again
            with pytest.raises(rb.FeedError, match=r"Spoilt: on purpose, at \(0, 0\)") as info:
                within(30, lambda: feeder.schema if is_asked else next(feeder))
            assert isinstance(info.value.__cause__, Spoilt)
        if is_asked:  # and when it is fed
            with pytest.raises(rb.FeedError) as fed:
                within(30, lambda: next(feeder))
            assert str(fed.value) == str(info.value)


@pytest.mark.parametrize("is_asked", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_first_batch_that_cannot_be_read_is_told_alike_whoever_meets_it(tmp_path, is_asked, shuffle):
    path = write(tmp_path, "tfrecord", rows=SIZE)
    feeder = Feeder(path, SIZE, shuffle=shuffle, transform=lambda batch: batch)
    os.truncate(path, path.stat().st_size - 3)
    with feeder, pytest.raises(rb.FeedError) as info:
        within(30, lambda: feeder.schema if is_asked else next(feeder))
    assert isinstance(info.value.__cause__, (rb.FormatError, rb.SourceChangedError))


def test_asking_for_the_schema_leaves_no_position_behind(tmp_path):
    with Feeder(write(tmp_path, "npz"), SIZE) as feeder:
        next(feeder)
        state = feeder.state()
    with Feeder(tmp_path / "rows.npz", SIZE, state=state, transform=lambda batch: batch) as feeder:
        assert list(feeder.schema) == ["id", "x", "label"]
    assert position.get(None) is None


def test_the_schema_that_a_transform_gives_of_no_rows_is_not_known(tmp_path):
    rb.write(tmp_path / "none.npz", {"id": np.zeros(0, np.int64)})
    feeder = Feeder(tmp_path / "none.npz", SIZE, transform=lambda batch: batch)
    with feeder, pytest.raises(rb.SchemaError, match="no rows"):
        feeder.schema  # noqa: B018  # which raises


NONE = {
    "rows": ({}, "the source has no rows"),
    "drop_remainder": ({"drop_remainder": True}, "drop_remainder leaves none of the 5 rows.*batch_size=10"),
    "shard": ({"shard": (6, 8)}, r"shard=\(6, 8\) has no row"),
    "both": ({"shard": (1, 2), "drop_remainder": True}, "drop_remainder leaves none of the 2 rows"),
}


@pytest.mark.parametrize("kind", ["npz", "rec", "iterator"])
@pytest.mark.parametrize("case", NONE)
@pytest.mark.parametrize("shuffle", [False, True])
def test_why_there_is_no_batch_is_told(tmp_path, kind, case, shuffle, caplog):
    chosen, why = NONE[case]
    options = {**chosen, "shuffle": shuffle, "seed": 1}
    rows = 0 if case == "rows" else 5
    source = arrays(rows, 3) if kind == "iterator" else write(tmp_path, kind, rows=rows)
    if kind == "iterator" and case == "rows":
        source = lambda: iter([(np.zeros(0, np.int64),)])  # noqa: E731  # of no item nothing is known
    feeder = Feeder(source, SIZE, transform=lambda batch: batch, **options)
    with feeder, pytest.raises(rb.SchemaError, match=f"as there is none: {why}"):
        feeder.schema  # noqa: B018  # which raises
    feeder = Feeder(source, SIZE, epochs=None, **options)
    with feeder, pytest.raises(rb.FeedError, match=f"epoch 0 has no batch: {why}"):
        within(30, lambda: next(feeder))
    caplog.clear()
    with Feeder(source, SIZE, epochs=3, **options) as feeder:
        assert within(30, lambda: list(feeder)) == []
    assert [record.getMessage().split(":")[0] for record in caplog.records if "shuffle" not in record.getMessage()] == [
        "there is nothing to feed"
    ]
    assert re.search(why, caplog.text)


def test_a_state_behind_all_epochs_leaves_no_batch_for_a_transform(tmp_path):
    path = write(tmp_path, "npz")
    with Feeder(path, SIZE) as feeder:
        list(feeder)
        state = feeder.state()
    feeder = Feeder(path, SIZE, state=state, transform=lambda batch: batch)
    with feeder, pytest.raises(rb.SchemaError, match="as there is none: of epochs=1 none is left"):
        feeder.schema  # noqa: B018  # which raises


def test_an_iterator_that_raises_at_its_first_batch_is_told():
    with pytest.raises(Spoilt, match="gone"), Feeder(failing(0, Spoilt("gone")), SIZE) as feeder:
        next(feeder)


@pytest.mark.parametrize("error", [StopIteration(), GeneratorExit(), KeyboardInterrupt(), SystemExit(1)])
def test_no_exception_of_a_transform_makes_an_epoch_short(tmp_path, error):
    def transform(batch: rb.Batch) -> rb.Batch:
        if position.get().batch == 3:
            raise error
        return batch

    with Feeder(write(tmp_path, "npz"), SIZE, transform=transform) as feeder:
        assert [len(next(feeder)) for _ in range(3)] == [SIZE] * 3
        with pytest.raises(rb.FeedError, match=type(error).__name__):
            within(30, lambda: next(feeder))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_file_that_was_cut_is_an_error_and_not_a_short_epoch(tmp_path, monkeypatch, shuffle, threads):
    monkeypatch.setattr("recordio_bridge.feed.supply.WINDOW", 0)  # or all of it would be in memory
    path = write(tmp_path, "tfrecord")
    for sidecar in tmp_path.glob("rows.tfrecord.*"):
        sidecar.unlink()
    size = path.stat().st_size

    def feed() -> None:
        with Feeder(path, SIZE, shuffle=shuffle, n_threads=threads, epochs=None) as feeder:
            next(feeder)
            os.truncate(path, size - 3)
            for _ in range(30 * BATCHES):
                next(feeder)

    with pytest.raises(rb.FeedError) as info:
        within(60, feed)
    assert isinstance(info.value.__cause__, (rb.FormatError, rb.SourceChangedError))
    assert str(path) in str(info.value)


def test_a_bad_record_is_named_with_its_place(tmp_path):
    path = write(tmp_path, "tfrecord")
    feeder = Feeder(path, SIZE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with feeder, pytest.raises(rb.FeedError) as info:
        within(30, lambda: list(feeder))
    assert isinstance(info.value.__cause__, rb.ChecksumError)
    assert info.value.__cause__.record in range(ROWS)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_bad_records_can_be_left_out_and_are_counted(tmp_path, shuffle, threads, caplog):
    path = write(tmp_path, "tfrecord")
    data = bytearray(path.read_bytes())
    for place in (len(data) // 3, len(data) // 2):
        data[place] ^= 1
    path.write_bytes(data)
    with Feeder(path, SIZE, on_bad_record="skip", shuffle=shuffle, seed=1, n_threads=threads) as feeder:
        rows = [row for batch in feeder for row in ids(batch)]
        assert len(rows) == len(set(rows)) == ROWS - 2
        stats = feeder.stats()
    assert (stats.rows, stats.skipped) == (ROWS - 2, 2)
    assert str(path) in caplog.text


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_row_that_a_select_cannot_take_is_named_with_its_place(tmp_path, shuffle):
    path = write_rec(tmp_path / "a.rec", [image_payload(n, [1.0] * (1 + (n != 47))) for n in range(ROWS)])
    feeder = Feeder(path, SIZE, select={"label": "label[1]"}, shuffle=shuffle, seed=1)
    with feeder, pytest.raises(rb.FeedError, match=r"a\.rec: record 47 at byte \d+: field 'label' has 1 value,"):
        within(30, lambda: list(feeder))


def damaged(folder: Path, suffix: str, what: str, bad: tuple[int, ...] = (20, 50)) -> Path:
    """A file of ROWS records, in some of which the frame or the payload is bad."""
    path = folder / f"bad.{suffix}"
    if suffix == "rec":
        payloads = [image_payload(n, 0.0, b"image %d" % n) for n in range(ROWS)]
        for number in bad if what == "payload" else ():
            payloads[number] = b"short"
        write_rec(path, payloads)
        heads = np.cumsum([0, *(len(frame_rec(payload)) for payload in payloads)])
    else:
        rb.write(path, {"id": np.arange(ROWS, dtype=np.uint64)})
        path.with_name("bad.tfrecord.schema.json").unlink()
        heads = rb.RecordFile(path)._index.heads[0].offsets
    data = bytearray(path.read_bytes())
    for number in bad if suffix == "tfrecord" or what == "frame" else ():
        data[heads[number] + (0 if what == "frame" else 14)] ^= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("what", ["frame", "payload"])
@pytest.mark.parametrize("suffix", ["rec", "tfrecord"])
@pytest.mark.parametrize("way", ["streamed", "shuffled", "shards", "record file", "shuffled record file"])
def test_what_is_left_out_as_bad_is_counted_anew_in_every_epoch(tmp_path, way, suffix, what, epochs):
    path = damaged(tmp_path, suffix, what)
    options = {"shuffle": "shuffled" in way, "seed": 1, "epochs": epochs, "fields": ["id"]}
    source_options = {"payload": "image"} if suffix == "rec" else {}
    rows = skipped = 0
    for shard in [(0, 2), (1, 2)] if way == "shards" else [None]:
        source = path
        if "file" in way:
            source = rb.RecordFile(path, options=source_options, on_bad_record="skip")
        else:
            options |= {"source_options": source_options, "on_bad_record": "skip"}
        with Feeder(source, SIZE, shard=shard, **options) as feeder:
            rows += sum(len(batch) for batch in feeder)
            skipped += feeder.stats().skipped
    assert (rows, skipped) == ((ROWS - 2) * epochs, 2 * epochs)


def test_a_record_file_says_how_many_bad_records_have_no_number(tmp_path):
    path = damaged(tmp_path, "rec", "frame")
    with rb.RecordFile(path, on_bad_record="skip") as file:
        assert (len(file), file.num_skipped) == (ROWS - 2, 2)
        assert pickle.loads(pickle.dumps(file)).num_skipped == 2


# ---- batches that do not fit one another ----


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ((np.arange(4.0), np.zeros((4, 3), np.float32)), "float64"),
        ((np.arange(4), np.zeros((4, 2), np.float32)), r"2"),
        ((np.arange(4),), "1"),
        ((np.arange(4), np.zeros((3, 3), np.float32)), "3"),
    ],
    ids=["dtype", "shape", "count", "length"],
)
def test_a_batch_that_does_not_fit_the_first_is_told_with_its_number(second, says):
    def data_iterator() -> Iterator[tuple[np.ndarray, ...]]:
        yield np.arange(4), np.zeros((4, 3), np.float32)
        yield np.arange(4), np.zeros((4, 3), np.float32)
        yield second

    with Feeder(data_iterator, 4) as feeder:
        within(30, lambda: [next(feeder), next(feeder)])
        with pytest.raises(rb.FeedError, match=f"item 2 .*{says}") as info:
            within(30, lambda: next(feeder))
    assert isinstance(info.value.__cause__, rb.SchemaError)


# ---- the end, and before it ----


@pytest.mark.parametrize("threads", [1, 3])
def test_a_thread_that_waits_for_room_ends_when_closed(tmp_path, threads):
    feeder = Feeder(write(tmp_path, "rec"), SIZE, epochs=None, capacity=2, n_threads=threads)
    next(feeder)
    until(lambda: feeder.stats().fill == 2)
    within(WITHIN_S, feeder.close)
    assert not feed_threads()
    with pytest.raises(rb.FeedError, match="closed"):
        within(30, lambda: next(feeder))
    within(WITHIN_S, feeder.close)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_consumer_that_waits_is_told_when_closed(threads, caplog):
    go_on, is_held = threading.Event(), threading.Event()

    def data_iterator() -> Iterator[tuple[np.ndarray, ...]]:
        yield from arrays(SIZE * 2, SIZE)()
        is_held.set()
        go_on.wait(60)

    feeder = Feeder(data_iterator, SIZE, n_threads=threads)
    consumer = Call(lambda: list(feeder))
    assert is_held.wait(30)
    within(WITHIN_S, feeder.close)
    with pytest.raises(rb.FeedError, match="closed"):
        consumer.wait()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert feed_threads()[0].name in caplog.text  # the one that the iterator holds
    go_on.set()
    until(lambda: not feed_threads())


def test_a_transform_that_does_not_come_back_is_abandoned_and_named(tmp_path, caplog):
    go_on, is_held = threading.Event(), threading.Event()

    def transform(batch: rb.Batch) -> rb.Batch:
        is_held.set()
        go_on.wait(60)
        return batch

    feeder = Feeder(write(tmp_path, "rec"), SIZE, transform=transform, n_threads=2)
    consumer = Call(lambda: next(feeder))
    assert is_held.wait(30)
    until(lambda: len(feed_threads()) == 2)
    within(WITHIN_S, feeder.close)
    assert all(thread.daemon for thread in feed_threads())
    assert any(thread.name in caplog.text for thread in feed_threads())
    with pytest.raises(rb.FeedError):
        consumer.wait()
    go_on.set()
    until(lambda: not feed_threads())


def test_a_feed_that_leaves_every_row_out_ends_when_closed(tmp_path):
    calls, is_held, go_on = [], threading.Event(), threading.Event()

    def transform(batch: rb.Batch) -> rb.Batch:
        calls.append(position.get())
        if len(calls) == 3:
            is_held.set()
            go_on.wait(60)
        return batch.slice(0, 0)

    feeder = Feeder(write(tmp_path, "npz"), SIZE, transform=transform, shuffle=True)
    consumer = Call(lambda: next(feeder))
    assert is_held.wait(30)
    within(WITHIN_S, feeder.close)
    go_on.set()
    until(lambda: not feed_threads())
    assert len(calls) == 3
    with pytest.raises(rb.FeedError, match="closed"):
        consumer.wait()


def test_the_iterator_of_a_user_is_closed_when_its_feed_is():
    closed = threading.Event()

    def data_iterator() -> Iterator[tuple[np.ndarray, ...]]:
        try:
            while True:
                yield from arrays()()
        finally:
            closed.set()

    with Feeder(data_iterator, SIZE, capacity=1) as feeder:
        next(feeder)
    assert closed.wait(10)


def test_a_feed_that_was_never_started_closes_at_once(tmp_path):
    within(WITHIN_S, Feeder(write(tmp_path, "rec"), SIZE).close)
    assert not feed_threads()


def test_a_feed_that_is_dropped_ends_its_threads(tmp_path):
    feeder = Feeder(write(tmp_path, "rec"), SIZE, epochs=None, capacity=1, n_threads=2)
    next(feeder)
    del feeder
    gc.collect()
    until(lambda: not feed_threads())


@pytest.mark.parametrize("is_dropped", [False, True])
def test_a_close_that_is_interrupted_is_done_by_the_next_or_when_the_feed_is_dropped(tmp_path, monkeypatch, is_dropped):
    close, interrupts = Pump.close, [KeyboardInterrupt]

    def interrupted(pump: Pump) -> None:
        if interrupts:
            raise interrupts.pop()
        close(pump)

    monkeypatch.setattr(Pump, "close", interrupted)
    feeder = Feeder(write(tmp_path, "rec"), SIZE, epochs=None, capacity=2)
    next(feeder)
    with pytest.raises(KeyboardInterrupt):
        feeder.close()
    assert feed_threads()
    if not is_dropped:
        within(WITHIN_S, feeder.close)
    del feeder
    gc.collect()
    until(lambda: not feed_threads())


def test_two_hundred_starts_and_stops_leave_no_thread_and_no_file_behind(tmp_path):
    path = write(tmp_path, "rec")
    with Feeder(path, SIZE) as feeder:
        next(feeder)
    files = len(os.listdir("/dev/fd"))

    def start_and_stop() -> None:
        for number in range(200):
            shuffle = number % 2 == 0
            with Feeder(path, SIZE, epochs=None, capacity=1, n_threads=1 + number % 3, shuffle=shuffle) as feeder:
                for _ in range(number % 4):
                    next(feeder)

    within(60, start_and_stop)
    gc.collect()
    assert not feed_threads()
    assert len(os.listdir("/dev/fd")) <= files


def test_no_more_is_read_ahead_than_the_capacity_says():
    given = []

    def data_iterator() -> Iterator[tuple[np.ndarray, ...]]:
        for batch in arrays(100 * SIZE, SIZE)():
            given.append(batch)
            yield batch

    with Feeder(data_iterator, SIZE, capacity=3) as feeder:
        next(feeder)
        until(lambda: feeder.stats().fill == 3)
        assert len(given) <= 1 + 3 + 2  # in the queue, and in the hand of the thread


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_is_handed_over_as_soon_as_it_is_made(tmp_path, shuffle):
    made = []

    def transform(batch: rb.Batch) -> rb.Batch:
        made.append(position.get().batch)
        return batch

    with Feeder(write(tmp_path, "npz"), SIZE, transform=transform, shuffle=shuffle, capacity=1) as feeder:
        within(30, lambda: next(feeder))
        until(lambda: feeder.stats().fill == 1)
        assert len(made) <= 1 + 1 + 1  # taken, in the queue, and in the hand of the thread
        assert len(list(feeder)) == BATCHES - 1


@pytest.mark.parametrize("batches", [1, 3])
def test_a_thread_makes_no_more_ahead_of_its_turn_than_it_may_hold(tmp_path, monkeypatch, batches):
    monkeypatch.setattr("recordio_bridge.feed.pump.AHEAD", {1: 1, 3: 3 * SIZE * ROW_NBYTES}[batches])
    in_turn, is_turn = [], threading.Event()

    def transform(batch: rb.Batch) -> rb.Batch:
        if position.get().batch >= 16:  # of the second group that is read, which is the other thread's
            in_turn.append(is_turn.is_set())
        return batch

    path = write(tmp_path, "npz", rows=32 * SIZE)
    with Feeder(path, SIZE, transform=transform, shuffle=True, capacity=1, n_threads=2) as feeder:
        rows = ids(within(30, lambda: next(feeder)))
        until(lambda: len(in_turn) >= batches and feeder.stats().fill == 1)
        is_turn.set()
        rows += [row for batch in feeder for row in ids(batch)]
    assert sorted(rows) == list(range(32 * SIZE))
    assert in_turn == [False] * batches + [True] * (16 - batches)


def test_of_batches_that_grow_fewer_are_read_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("recordio_bridge.feed.course.AHEAD", 3 * SIZE * ROW_NBYTES)
    read, take = [], HeldRows.take
    monkeypatch.setattr(HeldRows, "take", lambda held, rows: read.append(len(rows)) or take(held, rows))
    with Feeder(write(tmp_path, "npz", 32 * SIZE), SIZE, transform=lambda batch: batch, shuffle=True) as feeder:
        assert len(list(feeder)) == 32
    assert read == [16 * SIZE, *[3 * SIZE] * 5, SIZE]  # what they grow to is seen in the first group


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", -1), ("batch_size", 0), ("capacity", 0), ("n_threads", 0), ("epochs", -1)],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=name):
        Feeder(write(tmp_path, "rec"), **{name: value})


# ---- processes ----


def test_a_fork_with_threads_running_is_told_in_the_child(tmp_path):
    program = """
        import os, sys, warnings
        warnings.simplefilter("ignore")  # Python 3.12 and later warn of the fork itself
        from recordio_bridge import FeedError
        from recordio_bridge.feed import Feeder
        feeder = Feeder(sys.argv[1], 10, epochs=None, capacity=2)
        next(feeder)
        child = os.fork()
        if child == 0:
            try:
                for _ in range(100):
                    next(feeder)
            except FeedError as err:
                print(err, flush=True)
                feeder.close()
                os._exit(7)
            os._exit(8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        for _ in range(100):
            next(feeder)
        feeder.close()
    """
    ended = run_program(program, write(tmp_path, "rec"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "forked" in ended.stdout


def test_a_program_that_forgets_to_close_ends_all_the_same(tmp_path):
    program = """
        import sys
        from recordio_bridge.feed import Feeder
        feeders = [Feeder(path, 10, epochs=None, capacity=2, n_threads=2) for path in sys.argv[1:]]
        print([len(next(feeder)) for feeder in feeders])
    """
    ended = run_program(program, *(write(tmp_path, suffix) for suffix in FORMATS))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{[SIZE] * 5}\n", "")


def test_an_interrupt_frees_a_consumer_that_waits():
    program = """
        import os, signal, sys, threading
        import numpy as np
        from recordio_bridge.feed import Feeder

        def data_iterator():
            yield (np.arange(10),)
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(50)

        with Feeder(data_iterator, 10) as feeder:
            next(feeder)
            next(feeder)
    """
    ended = run_program(program)
    assert ended.returncode == -2
    assert "KeyboardInterrupt" in ended.stderr


def test_importing_the_feeder_does_not_import_tensorflow():
    program = "import sys, recordio_bridge.feed; sys.exit('tensorflow' in sys.modules or 'mxnet' in sys.modules)"
    assert run_program(program).returncode == 0


def test_a_state_at_an_end_that_is_not_known_to_be_one_leaves_no_batch_for_a_transform():
    passes = []

    def source():
        passes.append(len(passes))
        return arrays()()

    with Feeder(source, SIZE) as feeder:
        state = {**feeder.state(), "batch": BATCHES}
    feeder = Feeder(source, SIZE, state=state, transform=lambda batch: batch)
    with feeder, pytest.raises(rb.SchemaError, match="as there is none: of epochs=1 none is left"):
        feeder.schema  # noqa: B018  # which raises
    assert len(passes) == 2  # one of each Feeder
