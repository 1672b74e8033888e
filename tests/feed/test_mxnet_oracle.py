"""mxnet's own iterators as a source: every row once an epoch, without the padding of the last batch."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder
from recordio_bridge.tf import CustomRunner
from tests.feed.deadline import within
from tests.feed.running_oracle import eager_pass, graph_steps
from tests.feed.sources import BATCHES, ROWS, SIZE, columns, epochs
from tests.oracles import import_mxnet

ORDERED = list(range(ROWS))
MX_SIZE = 16
mx = import_mxnet()


def array_iter(last_batch: str = "pad", **options: object) -> object:
    """mx.io.NDArrayIter over the numbered rows, that of the number first."""
    made = columns(np.arange(ROWS))
    data = {"a_id": made["id"].astype(np.float32), "b_x": made["x"]}
    return mx.io.NDArrayIter(data, made["label"].astype(np.float32), MX_SIZE, last_batch_handle=last_batch, **options)


def numbers(source: object, **options: object) -> list[list[int]]:
    def feed() -> list[list[int]]:
        with Feeder(source, SIZE, **options) as feeder:
            return [batch["a_id"].astype(int).tolist() for batch in feeder]

    return within(60, feed)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_ndarray_iter_gives_every_row_once_an_epoch(threads):
    found = numbers(array_iter(), epochs=3, n_threads=threads)
    assert epochs(found, 3) == [ORDERED] * 3


def test_an_ndarray_iter_keeps_its_names_and_its_layout():
    with Feeder(array_iter(), SIZE) as feeder:
        assert list(feeder.schema) == ["a_id", "b_x", "softmax_label"]
        for batch in feeder:
            assert np.array_equal(batch["b_x"], columns(batch["a_id"].astype(int))["x"])
            assert np.array_equal(batch["softmax_label"], batch["a_id"] % 10)
            assert batch["b_x"].dtype == np.float32


def test_an_ndarray_iter_shuffles_by_itself():
    np.random.seed(1)
    (order,) = epochs(numbers(array_iter(shuffle=True)), 1)
    assert sorted(order) == ORDERED
    assert order != ORDERED


def test_an_ndarray_iter_that_discards_its_last_batch_does_so():
    found = numbers(array_iter("discard"), epochs=2)
    assert [row for batch in found for row in batch] == ORDERED[:96] * 2


def test_an_ndarray_iter_that_was_used_before_begins_anew():
    source = array_iter()
    source.next()
    assert epochs(numbers(source), 1) == [ORDERED]


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_an_ndarray_iter_feeds_both_modes(mode):
    fields = ["a_id"]
    if mode == "graph":
        found = graph_steps(CustomRunner(array_iter(), SIZE, fields=fields, epochs=3), 2)
    else:
        with CustomRunner(array_iter(), SIZE, fields=fields) as runner:
            dataset = runner.dataset()
            found = eager_pass(dataset) + eager_pass(dataset)
            assert len(eager_pass(dataset, 2)) == 2
            found += eager_pass(dataset)
    assert epochs(found, 3) == [ORDERED] * 3


# ---- ImageRecordIter ----


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .rec of ROWS pictures that mxnet packed, of which the label is the number and the pixels say it."""
    path = tmp_path_factory.mktemp("mx") / "pictures.rec"
    writer = mx.recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "w")
    for row in range(ROWS):
        picture = cv2.imencode(".png", np.full((8, 8, 3), row, np.uint8))[1].tobytes()
        writer.write_idx(row, mx.recordio.pack(mx.recordio.IRHeader(0, float(row), row, 0), picture))
    writer.close()
    return path


def record_iter(path: Path, **options: object) -> object:
    settings = {"data_shape": (3, 8, 8), "batch_size": MX_SIZE, "preprocess_threads": 1, "verbose": False, **options}
    return mx.io.ImageRecordIter(path_imgrec=str(path), **settings)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [MX_SIZE, 8, 32, 96, 97, 1])
def test_an_image_record_iter_gives_every_row_once_an_epoch(pictures, threads, size):
    def feed() -> list[rb.Batch]:
        with Feeder(record_iter(pictures, batch_size=size), SIZE, epochs=7, n_threads=threads) as feeder:
            assert list(feeder.schema) == ["data", "softmax_label"]
            assert feeder.schema["data"].shape == (3, 8, 8)
            return list(feeder)

    held = within(60, feed)
    for batch in held:  # all of them were read before
        assert np.array_equal(batch["data"][:, 0, 3, 3], batch["softmax_label"])
    assert epochs([batch["softmax_label"].astype(int).tolist() for batch in held], 7) == [ORDERED] * 7


@pytest.mark.parametrize("broken_off", [0, 1, 4, 9])
def test_a_pass_that_was_broken_off_is_followed_by_full_ones(pictures, broken_off):
    with CustomRunner(record_iter(pictures), SIZE, fields=["softmax_label"]) as runner:
        dataset = runner.dataset()
        eager_pass(dataset, broken_off)
        assert [epochs(eager_pass(dataset), 1) for _ in range(3)] == [[ORDERED]] * 3
        eager_pass(dataset, broken_off)
        assert [epochs(eager_pass(dataset), 1) for _ in range(2)] == [[ORDERED]] * 2


def test_a_pass_that_was_broken_off_far_from_its_end_is_not_read_to_it(pictures, monkeypatch):
    monkeypatch.setattr("recordio_bridge.feed.dataiter._FAR", 3)
    source = record_iter(pictures, batch_size=2, prefetch_buffer=1)
    with CustomRunner(source, SIZE, fields=["softmax_label"], capacity=1) as runner:
        dataset = runner.dataset()
        for _ in range(3):
            assert eager_pass(dataset, 1) == [ORDERED[:SIZE]]
        assert epochs(eager_pass(dataset), 1) == [ORDERED]


@pytest.mark.parametrize("use", ["next", "reset"])
def test_an_image_record_iter_that_was_used_before_is_refused(pictures, use):
    source = record_iter(pictures)
    getattr(source, use)()
    with pytest.raises(rb.FeedError, match="make a new one"):
        Feeder(source, SIZE)


def test_a_csv_iter_gives_every_row_once_an_epoch(tmp_path):
    (tmp_path / "rows.csv").write_text("".join(f"{row},{2 * row}\n" for row in ORDERED))
    source = mx.io.CSVIter(data_csv=str(tmp_path / "rows.csv"), data_shape=(2,), batch_size=MX_SIZE)
    with Feeder(source, SIZE, epochs=4) as feeder:
        found = [batch["data"][:, 0].astype(int).tolist() for batch in feeder]
    assert epochs(found, 4) == [ORDERED] * 4


def test_an_image_record_iter_shuffles_by_itself(pictures):
    def feed() -> list[list[int]]:
        with Feeder(record_iter(pictures, shuffle=True, seed=3, shuffle_chunk_size=1), SIZE, epochs=2) as feeder:
            return [batch["softmax_label"].astype(int).tolist() for batch in feeder]

    first, second = epochs(within(60, feed), 2)
    assert sorted(first) == sorted(second) == ORDERED
    assert first != ORDERED


@pytest.mark.parametrize("stop", [3, BATCHES + 3, 2 * BATCHES + 6])
def test_an_image_record_iter_that_shuffles_is_gone_on_with(pictures, stop):
    """Its order in an epoch is decided by its random numbers in those before."""

    def source() -> object:
        return record_iter(pictures, shuffle=True, seed=3, shuffle_chunk_size=1)

    def found(count: int | None, **options: object) -> tuple[list[int], dict]:
        with Feeder(source(), SIZE, epochs=3, **options) as feeder:
            batches = [next(feeder) for _ in range(count)] if count is not None else list(feeder)
            return [row for batch in batches for row in batch["softmax_label"].astype(int).tolist()], feeder.state()

    whole, _ = within(60, lambda: found(None))
    before, state = within(60, lambda: found(stop))
    after, _ = within(60, lambda: found(None, state=state))
    assert before + after == whole


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_an_image_record_iter_feeds_both_modes(pictures, mode):
    options = {"fields": ["softmax_label"]}
    if mode == "graph":
        found = graph_steps(CustomRunner(record_iter(pictures), SIZE, epochs=3, **options), 2)
    else:
        with CustomRunner(record_iter(pictures), SIZE, **options) as runner:
            dataset = runner.dataset()
            found = [*eager_pass(dataset), *eager_pass(dataset)]
            eager_pass(dataset, 3)
            found += eager_pass(dataset)
    assert epochs(found, 3) == [ORDERED] * 3


def test_our_own_reader_gives_the_rows_that_the_image_record_iter_gives(pictures):
    with Feeder(pictures, SIZE, select={"label:int64": "label[0]", "image": "image"}) as ours:
        labels = [batch["label"].tolist() for batch in ours]
    with Feeder(record_iter(pictures), SIZE) as theirs:
        assert [batch["softmax_label"].astype(int).tolist() for batch in theirs] == labels
    assert len(labels) == BATCHES
