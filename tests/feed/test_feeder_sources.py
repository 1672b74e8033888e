"""Iterators of users as a source: the posts' data_iterator, and what else gives batches."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder, supply
from recordio_bridge.feed.rows import HeldRows, IndexedSupply
from tests.feed.deadline import within
from tests.feed.sources import ROWS, SIZE, arrays, columns, epochs, ids, write, write_chunked
from tests.samples import image_payload, write_rec

ORDERED = list(range(ROWS))


def fed(source: object, **options: object) -> list[list[int]]:
    """The numbers of the rows of each batch."""

    def feed() -> list[list[int]]:
        with Feeder(source, SIZE, **options) as feeder:
            return [ids(batch) for batch in feeder]

    return within(60, feed)


def dicts() -> Iterator[dict[str, np.ndarray]]:
    for at in range(0, ROWS, 16):
        yield columns(np.arange(at, min(at + 16, ROWS)))


def batches() -> Iterator[rb.Batch]:
    for each in dicts():
        yield rb.Batch(each)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("source", [dicts, batches, arrays(ROWS, 16), arrays(ROWS, 3), arrays(ROWS, 1000)])
def test_every_row_comes_once_an_epoch_in_its_order(source, threads):
    assert epochs(fed(source, epochs=3, n_threads=threads), 3) == [ORDERED] * 3


@pytest.mark.parametrize("source", [dicts, batches, arrays()])
def test_iterators_are_sharded(source):
    parts = [fed(source, shard=(index, 3), epochs=2) for index in range(3)]
    rows = sorted(row for part in parts for batch in part for row in batch)
    assert rows == sorted(ORDERED * 2)
    assert not {row for batch in parts[0] for row in batch} & {row for batch in parts[1] for row in batch}


def test_drop_remainder_is_for_iterators_too():
    assert [len(batch) for batch in fed(arrays(), drop_remainder=True, epochs=2)] == [SIZE] * 18


def test_the_iterator_is_begun_once_an_epoch_and_no_item_is_lost_or_fed_twice():
    begun = []

    def data_iterator() -> Iterator[tuple[np.ndarray, ...]]:
        begun.append(len(begun))
        yield from arrays()()

    with Feeder(data_iterator, SIZE, epochs=3) as feeder:
        assert list(feeder.schema) == ["0", "1", "2"]
        rows = [row for batch in feeder for row in batch["0"].tolist()]
    assert rows == ORDERED * 3
    assert len(begun) == 3


def test_an_endless_iterator_with_the_posts_code_is_fed_without_end():
    features, labels = np.arange(50 * 4).reshape(50, 4), np.arange(50)

    def data_iterator() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            order = np.arange(0, len(features))
            shuffled, named = features[order], labels[order]
            for at in range(0, len(features), 16):
                yield (shuffled[at : at + 16] / 255.0).astype("float32"), named[at : at + 16]

    with Feeder(data_iterator, 16) as feeder:
        found = [next(feeder) for _ in range(20)]
    assert {len(batch) for batch in found} == {16}  # re-cut
    assert [row for batch in found for row in batch["1"].tolist()] == [n % 50 for n in range(320)]
    for batch in found:
        assert np.array_equal(batch["0"], (features[batch["1"]] / 255.0).astype("float32"))


def test_an_iterator_may_fill_the_same_arrays_again():
    numbers, tensors = np.empty(16, np.int64), np.empty((16, 3), np.float32)

    def refill(count: int, at: int) -> tuple[np.ndarray, np.ndarray]:
        numbers[:count] = np.arange(at, at + count)
        tensors[:count] = columns(numbers[:count])["x"]
        return numbers[:count], tensors[:count]

    def tuples() -> Iterator[tuple[np.ndarray, ...]]:
        for at in range(0, ROWS, 16):
            yield refill(min(16, ROWS - at), at)

    def named() -> Iterator[dict[str, object]]:
        for at in range(0, ROWS, 16):
            yield dict(zip(("id", "x"), refill(min(16, ROWS - at), at), strict=True))

    def lists() -> Iterator[dict[str, object]]:
        for at in range(0, ROWS, 16):
            ids, x = refill(min(16, ROWS - at), at)
            yield {"id": ids, "x": x, "views": [x[row, : row % 4] for row in range(len(x))]}

    def raggeds() -> Iterator[dict[str, object]]:
        for each in lists():
            block, starts = each["x"].view(np.uint8).reshape(-1), 12 * np.arange(len(each["x"]))
            lengths = np.array([view.nbytes for view in each["views"]])
            yield {**each, "views": rb.Ragged(block, starts, lengths, "float32")}

    for source in (tuples, named, lists, raggeds):
        with Feeder(source, SIZE, epochs=2, n_threads=3, fields=("id", "x") if source is tuples else None) as feeder:
            held = list(feeder)
        assert epochs([ids(batch) for batch in held], 2) == [ORDERED] * 2
        for batch in held if source in (lists, raggeds) else ():
            for number, x, view in zip(batch["id"], batch["x"], batch["views"], strict=True):
                assert np.array_equal(view, x[: number % 16 % 4])


def test_fields_name_the_positions_of_tuples_which_keep_their_order():
    with Feeder(arrays(), SIZE, fields=["number", "point", "class"]) as feeder:
        assert list(feeder.schema) == ["number", "point", "class"]
        assert [field.shape for field in feeder.schema.values()] == [(), (3,), ()]
    with pytest.raises(rb.SchemaError, match=r"3 arrays.*fields= names 2"):
        Feeder(arrays(), SIZE, fields=["number", "point"])


@pytest.mark.parametrize("source", [dicts, batches])
def test_fields_choose_and_order_what_has_names(source):
    with Feeder(source, SIZE, fields=["label", "id"]) as feeder:
        assert list(next(feeder).schema) == ["label", "id"]
    with pytest.raises(rb.SchemaError, match="absent"):
        Feeder(source, SIZE, fields=["absent"])


def test_select_is_for_iterators_too():
    with Feeder(dicts, SIZE, select={"second": "x[1]", "id": "id"}) as feeder:
        for batch in feeder:
            assert np.array_equal(batch["second"], -batch["id"].astype(np.float32))


def test_one_array_that_is_no_tuple_is_one_field():
    with Feeder(lambda: iter([np.arange(7), np.arange(7, 14)]), 5) as feeder:
        assert [batch["0"].tolist() for batch in feeder] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13]]


def test_strings_and_ragged_numbers_come_from_iterators():
    def data_iterator() -> Iterator[dict[str, object]]:
        for at in range(0, 12, 4):
            yield {"name": [b"%d" % n for n in range(at, at + 4)], "many": [np.arange(n) for n in range(at, at + 4)]}

    with Feeder(data_iterator, 5, epochs=2) as feeder:
        assert [str(feeder.schema[name].dtype) for name in ("name", "many")] == ["bytes", "int64"]
        found = list(feeder)
    assert [name for batch in found for name in batch["name"]] == [b"%d" % n for n in range(12)] * 2
    assert [row.tolist() for batch in found for row in batch["many"]] == [list(range(n)) for n in range(12)] * 2


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ([[1], [2, 3]], [[4, 5], [6, 7]]),
        ([[1], [2, 3]], [[4]]),
        ([[1], [2, 3]], [[], []]),
        ([[b"a"], []], [[b"b", b"c"], [b"d", b"e"]]),
        ([[b"a"], []], [[], []]),
    ],
)
def test_rows_that_are_equal_in_length_by_chance_fit_those_that_differed(first, later):
    with Feeder(lambda: iter([{"a": first}, {"a": later}]), 2) as feeder:
        assert feeder.schema["a"].shape == (None,)
        assert [list(row) for batch in feeder for row in batch["a"]] == first + later


def test_shuffle_is_ignored_for_an_iterator_with_a_log_line(caplog):
    caplog.set_level(logging.INFO)
    assert epochs(fed(arrays(), shuffle=True, seed=1), 1) == [ORDERED]
    assert "shuffle is ignored" in caplog.text


def test_an_iterator_that_gives_nothing_is_told():
    with pytest.raises(rb.SchemaError, match="nothing"):
        Feeder(lambda: iter(()), SIZE)


@pytest.mark.parametrize("item", [None, 3, "text"])
def test_an_iterator_that_gives_no_arrays_is_told(item):
    with pytest.raises(rb.SchemaError, match=r"item 0 .*expected"):
        Feeder(lambda: iter([item]), SIZE)


def test_a_callable_that_gives_no_iterator_is_told():
    with pytest.raises(TypeError, match=r"the callable gave an object of type int; expected an iterator"):
        Feeder(lambda: 42, SIZE)


def test_a_callable_that_gives_nothing_is_told():
    with pytest.raises(TypeError, match=r"the callable gave None; expected an iterator .* return"):
        Feeder(lambda: None, SIZE)


def test_a_callable_that_gives_the_same_iterator_again_is_told_where_that_has_no_more():
    used = arrays()()
    feeder = Feeder(lambda: used, SIZE, epochs=2)
    with feeder, pytest.raises(rb.FeedError, match=r"gave nothing in pass 2.*a new iterator at each call"):
        within(60, lambda: list(feeder))


def test_a_file_that_is_named_twice_is_fed_twice_with_a_warning_that_names_it(tmp_path, caplog):
    path = write(tmp_path, "rec")
    assert [row for batch in fed([path, tmp_path / "*.rec"]) for row in batch] == ORDERED * 2
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: is named twice, so its rows are fed twice in each epoch; leave out one, or a glob that fits it"
    ]
    caplog.clear()
    fed([path], shuffle=True, seed=1)
    assert not caplog.records


def test_a_generator_in_place_of_its_function_is_refused():
    with pytest.raises(TypeError, match="callable"):
        Feeder(arrays()(), SIZE)


# ---- what is like an mx.io.DataIter (mxnet itself: test_mxnet_oracle.py) ----


class Array:
    """What is like an mx.nd.NDArray."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def asnumpy(self) -> np.ndarray:
        return self._values


class DataIter:
    """What is like an mx.io.NDArrayIter that pads its last batch with the first rows."""

    def __init__(self, rows: int, size: int) -> None:
        self.provide_data, self.provide_label = [("data", (size, 2))], [("softmax_label", (size,))]
        self._rows, self._size, self._at, self.resets = rows, size, 0, 0

    def reset(self) -> None:
        self._at, self.resets = 0, self.resets + 1

    def next(self) -> SimpleNamespace:
        if self._at >= self._rows:
            raise StopIteration
        numbers = np.arange(self._at, self._at + self._size) % self._rows
        pad = max(0, self._at + self._size - self._rows)
        self._at += self._size
        data = np.stack([numbers, numbers * 2], axis=1).astype(np.float32)
        return SimpleNamespace(data=[Array(data)], label=[Array(numbers.astype(np.float32))], pad=pad)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_padding_of_a_data_iter_is_removed_and_it_is_reset(threads):
    source = DataIter(ROWS, 16)
    with Feeder(source, SIZE, epochs=3, n_threads=threads) as feeder:
        assert list(feeder.schema) == ["data", "softmax_label"]
        found = list(feeder)
    assert epochs([batch["softmax_label"].astype(int).tolist() for batch in found], 3) == [ORDERED] * 3
    for batch in found:
        assert np.array_equal(batch["data"][:, 1], batch["softmax_label"] * 2)


def test_a_data_iter_is_used_by_one_feeder_after_another():
    source = DataIter(ROWS, 16)
    with Feeder(source, SIZE) as feeder:
        next(feeder)
    with Feeder(source, SIZE) as feeder:
        found = [batch["softmax_label"].astype(int).tolist() for batch in feeder]
    assert epochs(found, 1) == [ORDERED]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("chosen", [{"fields": ["x"]}, {"select": {"x": "x"}}])
@pytest.mark.parametrize("suffix", ["h5", "npz"])
def test_arrays_beside_those_that_are_chosen_need_not_fit(tmp_path, suffix, chosen, shuffle):
    path, beside = tmp_path / f"a.{suffix}", {"three": np.arange(3), "one": np.array(5)}
    if suffix == "npz":
        np.savez(path, x=np.arange(10), **beside)
    else:
        with h5py.File(path, "w") as file:
            for name, values in {"x": np.arange(10), **beside}.items():
                file[name] = values
    with Feeder(path, 4, shuffle=shuffle, seed=1, **chosen) as feeder:
        assert sorted(row for batch in feeder for row in batch["x"].tolist()) == list(range(10))


@pytest.mark.parametrize("width", [1, 10])
def test_rows_in_memory_know_where_they_were_read_unless_that_takes_more_than_they_do(tmp_path, width):
    rb.write(tmp_path / "a.tfrecord", {"x": np.zeros((ROWS, width), np.float32)})
    with rb.RecordFile(tmp_path / "a.tfrecord") as file:
        places = HeldRows(file, lambda batch: batch).take(np.array([50, 3])).places
    assert (places is None) == (width == 1)
    assert places is None or [places[0].record, places[1].record] == [50, 3]


def test_a_first_record_that_is_small_does_not_make_a_large_file_be_held(tmp_path, monkeypatch):
    """InsightFace's first record has no image: what a row takes is not seen from it."""
    monkeypatch.setattr(supply, "WINDOW", 100_000)
    images = [b"", *(b"\xff\xd8\xff\xe0" + bytes(5000) for _ in range(99))]
    path = write_rec(tmp_path / "a.rec", [image_payload(n, 0.0, image) for n, image in enumerate(images)])
    made = supply.make_supply(str(path), supply.Wants(10, shuffle=True, seed=1), lambda rows: None)
    assert isinstance(made, IndexedSupply)
    assert not isinstance(made._rows, HeldRows)
    small = supply.make_supply(str(path), supply.Wants(10, ["id"], shuffle=True, seed=1), lambda rows: None)
    assert isinstance(small._rows, HeldRows)


def test_the_schema_that_is_asked_for_again_behind_a_failure_begins_no_second_pass():
    begun, failures = [], [OSError("for once")]

    def source():
        begun.append(len(begun))
        return arrays()()

    def transform(batch: rb.Batch) -> rb.Batch:
        if failures:
            raise failures.pop()
        return batch

    with Feeder(source, SIZE, transform=transform) as feeder:
        with pytest.raises(rb.FeedError, match="for once"):
            feeder.schema  # noqa: B018  # which raises
        assert list(feeder.schema) == ["0", "1", "2"]
        assert [row for batch in feeder for row in ids(batch)] == list(range(ROWS))
    assert len(begun) == 1


def test_shards_of_shuffled_chunks_differ_by_less_than_two_of_them(tmp_path):
    path, differ = write_chunked(tmp_path, chunk=8), []
    for seed in range(20):
        options = {"shuffle": True, "seed": seed, "on_bad_record": "skip"}  # with which chunks are dealt out
        shards = []
        for index in range(2):
            with Feeder(path, SIZE, shard=(index, 2), **options) as feeder:
                shards.append([row for batch in feeder for row in ids(batch)])
        assert sorted(shards[0] + shards[1]) == list(range(ROWS))
        differ.append(abs(len(shards[0]) - len(shards[1])))
    assert max(differ) == 7 * 8 - (5 * 8 + 1)  # seven whole chunks, and five with the last, of a row
