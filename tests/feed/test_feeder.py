"""Feeder: every row of an epoch once, in an order that a seed decides."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder, position
from tests.feed.deadline import within
from tests.feed.sources import BATCHES, FORMATS, ROWS, SIZE, columns, epochs, ids, write, write_chunked

ORDERED = list(range(ROWS))


def fed(source: object, **options: object) -> list[list[int]]:
    """The numbers of the rows of each batch."""

    def feed() -> list[list[int]]:
        with Feeder(source, SIZE, **options) as feeder:
            return [ids(batch) for batch in feeder]

    return within(60, feed)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_row_comes_once_an_epoch_in_its_order(tmp_path, suffix, threads):
    found = epochs(fed(write(tmp_path, suffix), epochs=3, n_threads=threads), 3)
    assert found == [ORDERED] * 3


@pytest.mark.parametrize("suffix", FORMATS)
def test_shuffled_every_row_comes_once_an_epoch_in_an_order_of_the_seed(tmp_path, suffix):
    path = write(tmp_path, suffix)
    first, second, third = epochs(fed(path, epochs=3, shuffle=True, seed=1), 3)
    assert sorted(first) == sorted(second) == sorted(third) == ORDERED
    assert len({tuple(order) for order in (ORDERED, first, second, third)}) == 4
    assert epochs(fed(path, epochs=3, shuffle=True, seed=1, n_threads=3), 3) == [first, second, third]
    assert epochs(fed(path, epochs=1, shuffle=True, seed=2), 1)[0] not in (first, second, third)


def test_a_shuffle_moves_rows_across_the_whole_file(tmp_path):
    (order,) = epochs(fed(write(tmp_path, "rec"), shuffle=True, seed=5), 1)
    far = np.abs(np.array(order) - np.arange(ROWS))
    assert far.mean() > ROWS / 5  # of a random permutation: a third


def test_a_seed_that_is_not_given_differs_from_run_to_run_and_is_told(tmp_path):
    path = write(tmp_path, "npz")
    with Feeder(path, SIZE, shuffle=True) as one, Feeder(path, SIZE, shuffle=True) as other:
        first, state = [ids(batch) for batch in one], one.state()
        assert first != [ids(batch) for batch in other]
    assert fed(path, shuffle=True, seed=state["seed"]) == first


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("seed", [None, 4])
def test_shards_have_nothing_in_common_and_lose_nothing(tmp_path, suffix, threads, seed):
    path = write(tmp_path, suffix)
    options = {"shuffle": seed is not None, "seed": seed, "n_threads": threads, "epochs": 2}
    parts = [fed(path, shard=(index, 3), **options) for index in range(3)]
    for epoch in range(2):
        rows = []
        for part in parts:
            half = len(part) // 2
            rows += [row for batch in part[epoch * half : (epoch + 1) * half] for row in batch]
        assert sorted(rows) == ORDERED


def test_shards_without_a_row_give_no_batch(tmp_path):
    path = write(tmp_path, "npz", rows=2)
    assert [fed(path, shard=(index, 4)) for index in range(4)] == [[[0]], [[1]], [], []]


@pytest.mark.parametrize("shard", [(3, 3), (-1, 3), (0, 0)])
def test_a_shard_that_is_none_is_refused(tmp_path, shard):
    with pytest.raises(ValueError, match="shard="):
        Feeder(write(tmp_path, "npz"), shard=shard)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_drop_remainder_gives_whole_batches_only(tmp_path, suffix, shuffle):
    found = fed(write(tmp_path, suffix), drop_remainder=True, shuffle=shuffle, seed=1, epochs=2)
    assert [len(batch) for batch in found] == [SIZE] * (2 * (BATCHES - 1))
    for epoch in (found[: BATCHES - 1], found[BATCHES - 1 :]):
        assert len({row for batch in epoch for row in batch}) == SIZE * (BATCHES - 1)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_number_of_batches_is_known_where_it_is_given(tmp_path, suffix):
    path = write(tmp_path, suffix)
    with Feeder(path, SIZE) as plain, Feeder(path, SIZE, shuffle=True, drop_remainder=True) as shuffled:
        assert plain.num_batches in (BATCHES, None)
        assert shuffled.num_batches == BATCHES - 1


# ---- what is a source ----


def test_a_list_a_glob_a_folder_and_shards_are_sources(tmp_path):
    rb.write(tmp_path / "all.tfrecord", columns(np.arange(ROWS)))
    (tmp_path / "out").mkdir()
    rb.convert(tmp_path / "all.tfrecord", tmp_path / "out" / "rows.tfrecord", shards=3)
    shards = sorted(tmp_path.glob("out/*.tfrecord"))
    for source in (shards, str(tmp_path / "out" / "rows-*.tfrecord"), tmp_path / "out", tmp_path / "out/rows.tfrecord"):
        assert epochs(fed(source, n_threads=2), 1) == [ORDERED]
        assert sorted(epochs(fed(source, shuffle=True, seed=3), 1)[0]) == ORDERED


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_record_file_is_a_source(tmp_path, suffix):
    path = write(tmp_path, suffix)
    with rb.open(path) as file:
        assert epochs(fed(file, epochs=2, n_threads=3), 2) == [ORDERED] * 2
        assert fed(file, shuffle=True, seed=3) == fed(path, shuffle=True, seed=3)
        assert len(file[0]) == (1 if suffix == "npy" else 3)  # it is still open


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_compressed_tfrecord_is_shuffled_and_sharded_too(tmp_path, compression):
    path = tmp_path / "rows.tfrecord"
    rb.write(path, columns(np.arange(ROWS)), compression=compression)
    assert epochs(fed(path, epochs=2, n_threads=2), 2) == [ORDERED] * 2
    assert sorted(epochs(fed(path, shuffle=True, seed=1), 1)[0]) == ORDERED
    assert [row for index in range(2) for batch in fed(path, shard=(index, 2)) for row in batch][:3] == [0, 2, 4]


def test_something_that_is_no_source_is_refused():
    with pytest.raises(TypeError, match="source"):
        Feeder(42)
    with pytest.raises(OSError, match="absent"):
        Feeder("/absent/rows.rec")


def test_a_source_without_rows_has_epochs_without_batches(tmp_path):
    rb.write(tmp_path / "none.npz", {"id": np.zeros(0, np.int64)})
    assert fed(tmp_path / "none.npz", epochs=3) == []
    with Feeder(tmp_path / "none.npz", epochs=None) as feeder, pytest.raises(rb.FeedError, match="no rows"):
        within(30, lambda: next(feeder))


def test_too_few_rows_for_a_batch_and_no_end_is_an_error_not_a_hang(tmp_path):
    path = write(tmp_path, "rec", rows=5)
    feeder = Feeder(path, SIZE, drop_remainder=True, epochs=None)
    with feeder, pytest.raises(rb.FeedError, match="batch_size"):
        within(30, lambda: next(feeder))


# ---- which columns ----


def test_fields_come_in_the_order_in_which_they_are_named(tmp_path):
    path = write(tmp_path, "h5")
    for shuffle in (False, True):
        with Feeder(path, SIZE, fields=["label", "id"], shuffle=shuffle) as feeder:
            assert list(feeder.schema) == ["label", "id"]
            batch = next(feeder)
            assert list(batch.schema) == ["label", "id"]
            assert np.array_equal(batch["label"], batch["id"] % 10)


@pytest.mark.parametrize("shuffle", [False, True])
def test_select_is_as_in_convert(tmp_path, shuffle):
    path = write(tmp_path, "rec")
    for select in ({"second:float32": "x[1]", "id": "id"}, ["second:float32=x[1]", "id=id"]):
        with Feeder(path, SIZE, select=select, shuffle=shuffle, seed=1) as feeder:
            assert [str(field.dtype) for field in feeder.schema.values()] == ["float32", "int64"]
            for batch in feeder:
                assert np.array_equal(batch["second"], -batch["id"].astype(np.float32))


def test_fields_choose_and_order_what_was_selected(tmp_path):
    with Feeder(write(tmp_path, "rec"), SIZE, select={"a": "id", "b": "label"}, fields=["b", "a"]) as feeder:
        assert list(next(feeder).schema) == ["b", "a"]


def test_a_field_that_is_not_there_is_named_at_once(tmp_path):
    path = write(tmp_path, "rec")
    with pytest.raises(rb.SchemaError, match="absent"):
        Feeder(path, fields=["absent"])
    with pytest.raises(rb.BridgeError, match="absent"):
        Feeder(path, select={"a": "absent"})


@pytest.mark.parametrize("n_threads", [1, 3])
def test_batches_stay_as_they_are_for_as_long_as_they_are_held(tmp_path, n_threads):
    for suffix in FORMATS:
        with Feeder(write(tmp_path, suffix), SIZE, epochs=2, n_threads=n_threads) as feeder:
            held = list(feeder)
        assert epochs([ids(batch) for batch in held], 2) == [ORDERED] * 2


# ---- transform ----


def test_a_transform_gives_other_fields_in_its_own_order(tmp_path):
    def transform(batch: rb.Batch) -> dict[str, object]:
        return {"id": batch["id"], "double": batch["label"] * 2.0, "names": [b"%d" % row for row in batch["id"]]}

    with Feeder(write(tmp_path, "rec"), SIZE, transform=transform, n_threads=3, epochs=2) as feeder:
        assert list(feeder.schema) == ["id", "double", "names"]
        found = list(feeder)
    assert [row for batch in found for row in batch["id"].tolist()] == ORDERED * 2
    for batch in found:
        assert np.array_equal(batch["double"], batch["id"] % 10 * 2.0)
        assert list(batch["names"]) == [b"%d" % row for row in batch["id"]]


def test_a_transform_may_give_rows_of_equal_length_where_they_may_differ(tmp_path):
    def transform(batch: rb.Batch) -> dict[str, object]:
        lengths = [2] * len(batch) if position.get().batch else batch["label"] % 3
        return {"id": batch["id"], "many": [np.full(n, row) for n, row in zip(lengths, batch["id"], strict=True)]}

    with Feeder(write(tmp_path, "npz"), SIZE, transform=transform) as feeder:
        assert feeder.schema["many"].shape == (None,)
        found = list(feeder)
    assert [row.tolist() for row in found[1]["many"]] == [[n, n] for n in range(SIZE, 2 * SIZE)]


def test_a_transform_sees_each_batch_once_and_where_it_stands(tmp_path):
    seen = []

    def transform(batch: rb.Batch) -> rb.Batch:
        seen.append((position.get(), batch["id"][0]))
        return batch

    with Feeder(write(tmp_path, "npz"), SIZE, transform=transform, n_threads=3, epochs=2) as feeder:
        assert feeder.schema["id"].dtype == "int64"  # which makes the first
        assert len(list(feeder)) == 2 * BATCHES
    expected = [((epoch, number), number * SIZE) for epoch in range(2) for number in range(BATCHES)]
    assert sorted(seen) == expected


def test_what_a_transform_writes_again_was_copied(tmp_path):
    block = np.empty(SIZE, np.int64)

    def transform(batch: rb.Batch) -> dict[str, object]:
        block[: len(batch)] = batch["id"]
        return {"id": block[: len(batch)]}

    with Feeder(write(tmp_path, "npz"), SIZE, transform=transform) as feeder:
        assert [row for batch in list(feeder) for row in batch["id"].tolist()] == ORDERED


def test_a_transform_may_leave_rows_out_which_are_counted(tmp_path):
    def even(batch: rb.Batch) -> rb.Batch:
        return batch.take(np.flatnonzero(batch["id"] % 2 == 0))

    with Feeder(write(tmp_path, "npz"), SIZE, transform=even) as feeder:
        assert [row for batch in feeder for row in batch["id"].tolist()] == ORDERED[::2]
        assert (feeder.stats().skipped, feeder.stats().rows) == (48, 49)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("bad", [{0}, {3, 4}, {BATCHES - 1}, {0, 1, 5, BATCHES - 1}], ids=str)
def test_a_batch_of_which_no_row_is_left_is_not_handed_over(tmp_path, bad, threads):
    seen = []

    def transform(batch: rb.Batch) -> rb.Batch:
        seen.append(position.get())
        return batch.slice(0, 0) if position.get().batch in bad else batch

    expected = [row for row in ORDERED if row // SIZE not in bad] * 2
    path = write(tmp_path, "npz")
    with Feeder(path, SIZE, transform=transform, epochs=2, shuffle=False, n_threads=threads) as feeder:
        found = list(feeder)
        stats = feeder.stats()
    assert [row for batch in found for row in ids(batch)] == expected
    assert all(len(batch) for batch in found)
    assert (stats.rows, stats.batches) == (len(expected), 2 * (BATCHES - len(bad)))
    assert stats.skipped == 2 * ROWS - len(expected)
    assert sorted(seen) == [(epoch, batch) for epoch in range(2) for batch in range(BATCHES)]


def test_the_schema_of_a_first_batch_of_which_no_row_is_left_holds_for_the_others(tmp_path):
    def transform(batch: rb.Batch) -> dict[str, object]:
        kept = batch if position.get().batch else batch.slice(0, 0)
        return {"x": kept["x"], "names": rb.Ragged.of([b"%d" % row for row in kept["id"]])}

    for is_asked in (False, True):
        with Feeder(write(tmp_path, "npz" if is_asked else "h5"), SIZE, transform=transform) as feeder:
            if is_asked:
                assert [str(field) for field in feeder.schema.values()] == ["x: float32[3]", "names: bytes"]
            assert next(feeder)["names"][0] == b"%d" % SIZE
            assert len(list(feeder)) == BATCHES - 2


@pytest.mark.parametrize("threads", [1, 3])
def test_an_endless_feed_of_which_no_row_is_left_is_an_error_and_not_a_hang(tmp_path, threads):
    path = write(tmp_path, "npz")
    nothing = {"transform": lambda batch: batch.slice(0, 0), "n_threads": threads}
    assert fed(path, **nothing) == []
    feeder = Feeder(path, SIZE, epochs=None, **nothing)
    with feeder, pytest.raises(rb.FeedError, match="left no row of epoch 0"):
        within(30, lambda: next(feeder))
    with Feeder(path, SIZE, epochs=None) as begun:
        for _ in range(BATCHES + 4):
            next(begun)
        state = begun.state()
    feeder = Feeder(path, SIZE, epochs=None, state=state, **nothing)
    with feeder, pytest.raises(rb.FeedError, match="left no row of epoch 2"):  # the first of which all was seen
        within(30, lambda: next(feeder))


def test_a_transform_that_breaks_the_promise_of_drop_remainder_is_told(tmp_path):
    feeder = Feeder(write(tmp_path, "npz"), SIZE, transform=lambda batch: batch.slice(0, 3), drop_remainder=True)
    with feeder, pytest.raises(rb.FeedError, match="drop_remainder"):
        within(30, lambda: list(feeder))


@pytest.mark.parametrize(
    "other",
    [
        lambda ids: {"id": ids.astype(np.float32)},
        lambda ids: {"id": ids, "more": ids},
        lambda ids: {"id": ids[:, None]},
    ],
    ids=["dtype", "fields", "shape"],
)
def test_a_transform_that_changes_what_it_gives_is_told(tmp_path, other):
    def transform(batch: rb.Batch) -> dict[str, object]:
        return {"id": batch["id"]} if position.get().batch < 3 else other(batch["id"])

    with Feeder(write(tmp_path, "npz"), SIZE, transform=transform) as feeder:
        assert [len(next(feeder)) for _ in range(3)] == [SIZE] * 3
        with pytest.raises(rb.FeedError, match="transform") as info:
            within(30, lambda: next(feeder))
    assert isinstance(info.value.__cause__, rb.SchemaError)


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_first_batch_says_what_fits_whichever_is_made_first(tmp_path, shuffle):
    others = threading.Event()

    def transform(batch: rb.Batch) -> dict[str, object]:
        lengths = np.arange(len(batch)) % 3
        if position.get().batch:
            others.set()
            lengths[:] = 2
        else:
            others.wait(0.3)  # in which another thread would come first
        return {"id": batch["id"], "many": [np.full(n, row) for n, row in zip(lengths, batch["id"], strict=True)]}

    path = write(tmp_path, "npz", rows=20 * SIZE)
    with Feeder(path, SIZE, transform=transform, n_threads=3, shuffle=shuffle, seed=1) as feeder:
        found = list(feeder)
    assert [batch.schema["many"].shape for batch in found] == [(None,)] * 20


def test_a_batch_that_does_not_fit_is_named_whichever_is_made_first(tmp_path):
    others = threading.Event()

    def transform(batch: rb.Batch) -> dict[str, object]:
        if position.get().batch:
            others.set()
            return {"id": batch["id"]}
        others.wait(0.3)
        return {"id": batch["id"].astype(np.float32)}

    with Feeder(write(tmp_path, "npz"), SIZE, transform=transform, n_threads=3) as feeder:
        assert next(feeder)["id"].dtype == np.float32
        with pytest.raises(rb.FeedError, match=r"as int64, and that of the first batch has it as float32"):
            within(30, lambda: next(feeder))


def test_a_transform_that_gives_no_columns_is_told(tmp_path):
    feeder = Feeder(write(tmp_path, "npz"), SIZE, transform=lambda batch: None)
    with feeder, pytest.raises(rb.BridgeError, match=r"NoneType.*expected"):
        within(30, lambda: next(feeder))


# ---- HDF5, by windows ----


def test_chunks_are_shuffled_as_such_and_rows_within_windows(tmp_path, monkeypatch):
    path = write_chunked(tmp_path, rows=96, chunk=8)
    monkeypatch.setattr("recordio_bridge.feed.supply.WINDOW", 3 * 8 * (8 + 12 + 8))  # three chunks
    rows = [row for batch in fed(path, shuffle=True, seed=1, epochs=2) for row in batch]
    assert sorted(rows[:96]) == sorted(rows[96:]) == list(range(96))
    assert rows[:96] != rows[96:]
    windows = [{row // 8 for row in rows[at : at + 24]} for at in range(0, 192, 24)]
    assert [len(window) for window in windows] == [3] * 8
    assert windows[0] != {0, 1, 2}
    assert all(rows[at : at + 24] != sorted(rows[at : at + 24]) for at in range(0, 192, 24))


def test_windows_have_one_order_for_any_number_of_threads(tmp_path, monkeypatch):
    path = write_chunked(tmp_path, chunk=8)
    monkeypatch.setattr("recordio_bridge.feed.supply.WINDOW", 1000)
    found = fed(path, shuffle=True, seed=1, epochs=2)
    assert [sorted(epoch) for epoch in epochs(found, 2)] == [ORDERED] * 2
    assert fed(path, shuffle=True, seed=1, epochs=2, n_threads=3) == found


@pytest.mark.parametrize("count", [2, 3, 20])
def test_windows_are_sharded_by_chunks(tmp_path, monkeypatch, count):
    path = write_chunked(tmp_path, chunk=8)
    monkeypatch.setattr("recordio_bridge.feed.supply.WINDOW", 1000)
    parts = [fed(path, shuffle=True, seed=1, shard=(index, count)) for index in range(count)]
    assert sorted(row for part in parts for batch in part for row in batch) == ORDERED


def test_a_window_for_the_whole_file_shuffles_all_of_it(tmp_path):
    (order,) = epochs(fed(write_chunked(tmp_path), shuffle=True, seed=1), 1)
    assert len({row // 8 for row in order[:24]}) > 6
