"""preset= and where=: a feed without the rows that hold no image is that of a file without them."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.feed import Feeder
from tests.feed.deadline import within
from tests.feed.sources import ids
from tests.formats.frames import image_header
from tests.samples import copy_golden, frame_rec, image_of, image_payload, write_rec
from tests.test_faces import CLASSES, ORDERS, faces

ROWS, SIZE = 97, 10
KEPT = [n for n in range(12, 86) if n % 3 != 1 and not 40 <= n < 64]
"""Rows with an image: whole batches have none, at the beginning, in the middle and at the end."""
BATCHES = -(-len(KEPT) // SIZE)
FORMATS = ("rec", "tfrecord", "tfrecord.gz", "h5", "npz", "chunked")
STREAMED, SHUFFLED = {}, {"shuffle": True, "seed": 3}


def content(row: int) -> bytes:
    return image_of(row) if row in KEPT else b""


def made(folder: Path, suffix: str = "rec", rows: range = range(ROWS)) -> Path:
    """A file of images with rows among them that have none; chunked is an .h5 in chunks of 8 rows."""
    path = folder / f"rows{rows.start}.{'h5' if suffix == 'chunked' else suffix}"
    if suffix == "rec":
        return write_rec(path, [image_payload(n, float(n % 10), content(n)) for n in rows], rows)
    columns = {"id": np.array(rows), "image": [content(n) for n in rows]}
    if suffix != "chunked":
        rb.write(path, columns)
        return path
    with h5py.File(path, "w") as file:
        file.create_dataset("id", data=columns["id"], chunks=(8,))
        images = file.create_dataset("image", (len(rows),), h5py.vlen_dtype(np.uint8), chunks=(8,))
        for at, image in enumerate(columns["image"]):
            images[at] = np.frombuffer(image, np.uint8)
    return path


def fed(*arguments: object, **options: object) -> list[list[int]]:
    """The rows of each batch, where their images are their own."""

    def feed() -> list[list[int]]:
        batches = []
        with Feeder(*arguments, **options) as feeder:
            for batch in feeder:
                assert "image" not in batch or list(batch["image"]) == [content(n) for n in batch["id"].tolist()]
                batches.append(ids(batch))
            assert feeder.stats().skipped == 0
        return batches

    return within(60, feed)


def joined(lists: list[list[Any]]) -> list[Any]:
    return [*chain.from_iterable(lists)]


def sizes(rows: int, epochs: int = 1) -> list[int]:
    return ([SIZE] * (rows // SIZE) + [rows % SIZE] * (rows % SIZE > 0)) * epochs


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("order", [STREAMED, SHUFFLED], ids=["streamed", "shuffled"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_row_that_is_kept_comes_once_in_full_batches(tmp_path, monkeypatch, suffix, order, n_threads):
    path = made(tmp_path, suffix)
    for window in (1 << 26, 300):  # held in memory; and not
        monkeypatch.setattr("recordio_bridge.feed.supply.WINDOW", window)
        batches = fed(path, SIZE, where="image", epochs=2, n_threads=n_threads, **order)
        assert [len(batch) for batch in batches] == sizes(len(KEPT), 2)
        first, second = joined(batches[:BATCHES]), joined(batches[BATCHES:])
        assert sorted(first) == sorted(second) == KEPT
        assert (first == KEPT) == (not order)
        assert (first == second) == (not order)
    whole = fed(path, SIZE, where="image", drop_remainder=True, **order)
    assert [len(batch) for batch in whole] == [SIZE] * (len(KEPT) // SIZE)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_feed_of_rows_that_are_kept_is_that_of_a_file_of_them(tmp_path, suffix):
    path, bare = made(tmp_path, suffix), tmp_path / "bare.npz"
    rb.write(bare, {"id": np.array(KEPT), "image": [content(n) for n in KEPT]})
    for options in ({"shuffle": True, "seed": 5}, {"shard": (1, 3)}, {"shuffle": True, "seed": 5, "shard": (0, 2)}):
        assert fed(path, SIZE, where="image", epochs=2, **options) == fed(bare, SIZE, epochs=2, **options)


@pytest.mark.parametrize("order", [STREAMED, SHUFFLED], ids=["streamed", "shuffled"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_shards_have_no_row_in_common_and_are_all_that_are_kept(tmp_path, monkeypatch, suffix, order):
    path = made(tmp_path, suffix)
    for window in (1 << 26, 300):
        monkeypatch.setattr("recordio_bridge.feed.supply.WINDOW", window)
        shards = [fed(path, SIZE, where="image", shard=(index, 2), **order) for index in range(2)]
        assert sorted(joined(joined(shards))) == KEPT
        assert all([len(batch) for batch in each] == sizes(sum(map(len, each))) for each in shards)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("order", [STREAMED, SHUFFLED], ids=["streamed", "shuffled"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_feed_goes_on_in_the_midst_of_an_epoch(tmp_path, monkeypatch, suffix, order, n_threads):
    path, options = made(tmp_path, suffix), {"where": "image", "epochs": 3, "n_threads": n_threads, **order}
    for window in (1 << 26, 300):
        monkeypatch.setattr("recordio_bridge.feed.supply.WINDOW", window)
        whole = fed(path, SIZE, **options)
        for stop in (1, 3, BATCHES, BATCHES + 2):
            with Feeder(path, SIZE, **options) as feeder:
                assert [ids(next(feeder)) for _ in range(stop)] == whole[:stop]
                state = json.loads(json.dumps(feeder.state()))
            assert fed(path, SIZE, state=state, **options) == whole[stop:]


@pytest.mark.parametrize("order", [STREAMED, SHUFFLED], ids=["streamed", "shuffled"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_several_files_one_of_which_has_no_image(tmp_path, suffix, order):
    parts = [made(tmp_path, suffix, rows) for rows in (range(8), range(8, 45), range(45, 60), range(60, ROWS))]
    batches = fed(parts, SIZE, where="image", **order)
    assert [len(batch) for batch in batches] == sizes(len(KEPT))
    assert sorted(joined(batches)) == KEPT


@pytest.mark.parametrize("order", [STREAMED, SHUFFLED], ids=["streamed", "shuffled"])
@pytest.mark.parametrize("suffix", ["rec", "tfrecord"])
def test_bad_records_are_counted_and_rows_that_are_left_out_are_not(tmp_path, suffix, order):
    path, bad = made(tmp_path, suffix), (12, 33, 69)
    data, heads = bytearray(path.read_bytes()), rb.RecordFile(path)._index.heads[0].offsets
    for row in bad:
        data[heads[row] : heads[row] + 4] = b"oops"
    path.write_bytes(data)
    sound = [row for row in KEPT if row not in bad]
    options = {"where": "image", "on_bad_record": "skip", "epochs": 2, **order}

    def take(**more: object) -> tuple[list[list[int]], int]:
        with Feeder(path, SIZE, **options, **more) as feeder:
            return within(60, lambda: [ids(batch) for batch in feeder]), feeder.stats().skipped

    whole, skipped = take()
    assert [len(batch) for batch in whole] == sizes(len(sound), 2)
    assert sorted(joined(whole)) == sorted(sound * 2)
    assert skipped == 2 * len(bad)
    for stop in (1, 3, 5):
        with Feeder(path, SIZE, **options) as feeder:
            assert [ids(next(feeder)) for _ in range(stop)] == whole[:stop]
            state = feeder.state()
        assert take(state=state)[0] == whole[stop:]
    shards = [take(shard=(index, 2)) for index in range(2)]
    assert sorted(joined(joined([batches for batches, _ in shards]))) == sorted(sound * 2)
    assert sum(skipped for _, skipped in shards) == 2 * len(bad)


@pytest.mark.parametrize("on_bad_record", ["raise", "skip"])
@pytest.mark.parametrize("order", [STREAMED, SHUFFLED], ids=["streamed", "shuffled"])
def test_of_a_record_that_is_left_out_no_label_is_asked(tmp_path, order, on_bad_record):
    path, labels = made(tmp_path), tmp_path / "images.lst"
    labels.write_text("".join(f"{n}\t{n % 7}\t{n}.jpg\n" for n in KEPT))
    options = {"source_options": {"labels": str(labels)}, "on_bad_record": on_bad_record, **order}
    with Feeder(path, SIZE, where="image", **options) as feeder:
        rows = within(60, lambda: [row for batch in feeder for row in batch.rows()])
        assert feeder.stats().skipped == 0
    found = sorted((row["id"], row["label"].tolist()) for row in rows)
    assert found == [(n, [n % 7]) for n in KEPT]


def test_a_row_of_another_format_that_cannot_be_read_(tmp_path):
    path = made(tmp_path, "tfrecord")
    data, heads = bytearray(path.read_bytes()), rb.RecordFile(path)._index.heads[0]
    at = int(heads.offsets[20])
    data[at + 40] ^= 0xFF  # the checksum of the record fails
    path.write_bytes(data)
    with Feeder(path, SIZE, where="image", on_bad_record="skip", shuffle=True, seed=1) as feeder:
        found = within(60, lambda: [row for batch in feeder for row in ids(batch)])
        assert feeder.stats().skipped == 1
    assert sorted(found) == [row for row in KEPT if row != 20]
    with pytest.raises(rb.FormatError, match="record 20"):
        Feeder(path, SIZE, where="image", shuffle=True, seed=1)


# ---- num_batches ----


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_number_of_batches_is_that_of_the_rows_that_are_kept(tmp_path, suffix):
    path = made(tmp_path, suffix)
    with Feeder(path, SIZE, where="image", **SHUFFLED) as feeder:
        assert feeder.num_batches == BATCHES
    with Feeder(path, SIZE, where="image", shard=(1, 3), drop_remainder=True) as feeder:
        assert feeder.num_batches == len(KEPT[1::3]) // SIZE
    with Feeder(path, SIZE, where="image") as feeder:
        assert feeder.num_batches is None
        assert feeder._course.count_batches() == (BATCHES if suffix == "rec" else None)


def test_a_file_of_which_no_row_is_kept_has_no_batch(tmp_path):
    path = made(tmp_path, "rec", range(6))
    for options in (STREAMED, SHUFFLED, {"shard": (1, 2)}):
        assert fed(path, SIZE, where="image", **options) == []
        with pytest.raises(rb.FeedError, match="where"):
            fed(path, SIZE, where="image", epochs=None, **options)


# ---- presets ----


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("options", [STREAMED, SHUFFLED], ids=["streamed", "shuffled"])
def test_the_golden_insightface_file_is_fed_as_convert_writes_it(tmp_path, options, n_threads):
    path = copy_golden(tmp_path, "g_insightface.rec", "g_insightface.idx")
    rb.convert(path, tmp_path / "b.npz", preset="faces")
    expected = rb.open(tmp_path / "b.npz")[:]
    with Feeder(path, 4, preset="faces", n_threads=n_threads, **options) as feeder:
        batches = within(60, lambda: list(feeder))
        assert feeder.schema["image/class/label"].dtype == "int64"
    assert [len(batch) for batch in batches] == [4, 4, 2]
    rows = [row for batch in batches for row in batch.rows()]
    assert list(batches[0].schema) == ["image/encoded", "image/format", "image/class/label", "image/id"]
    assert sorted(rows, key=lambda row: row["image/id"]) == [*expected.rows()]
    if not options:
        assert [row["image/id"] for row in rows] == list(range(1, 11))


@pytest.mark.parametrize("order", ORDERS)
def test_faces_are_fed_with_their_own_class_wherever_the_metadata_lies(tmp_path, order):
    path = faces(tmp_path / "a.rec", ORDERS[order]())
    for options in (STREAMED, SHUFFLED, {"on_bad_record": "skip"}, {"on_bad_record": "skip", **SHUFFLED}):
        wanted = {"fields": ["image/id", "image/class/label"], "preset": "faces", "label_offset": 7}
        with Feeder(path, 4, **wanted, **options) as feeder:
            batches = within(60, lambda feeder=feeder: list(feeder))
            assert feeder.stats().skipped == 0
        assert list(batches[0].schema) == ["image/id", "image/class/label"]
        rows = sorted((row["image/id"], row["image/class/label"]) for batch in batches for row in batch.rows())
        assert rows == [(number, label + 7) for number, label in enumerate(CLASSES, 1)]


def test_a_select_replaces_a_column_of_the_preset_and_where_its_rows(tmp_path):
    path = faces(tmp_path / "a.rec", ORDERS["header first"]())
    options = {"select": iter(["image/id=label", "n:int64=id"]), "fields": ["n"]}
    assert joined(fed(path, 4, preset="faces", **options)) == [1, 2, 3, 4, 5, 6]
    assert joined(fed(path, 4, select={"n": "id"}, where="image")) == [1, 2, 3, 4, 5, 6]
    assert joined(fed(path, 4, fields=["id"], where="image")) == [1, 2, 3, 4, 5, 6]


def test_a_transform_sees_the_rows_that_are_kept(tmp_path):
    seen = []

    def transform(batch: rb.Batch) -> rb.Batch:
        seen.extend(batch["id"].tolist())
        return batch

    fed(made(tmp_path), SIZE, where="image", transform=transform)
    assert seen == KEPT


# ---- what is refused ----


def test_what_is_wrong_is_said_as_convert_says_it(tmp_path):
    path = made(tmp_path)
    for options in (
        {"preset": "face"},
        {"label_offset": 1},
        {"where": "nothing"},
        {"where": "label"},
        {"where": "nothing", "select": {"n": "id"}},
        {"preset": "faces", "label_offset": 1, "select": {"image/class/label": "id"}},
        {"preset": "faces", "label_offset": 10**18},
    ):
        with pytest.raises(ValueError) as expected:
            rb.convert(path, tmp_path / "b.tfrecord", **options)
        for more in (STREAMED, SHUFFLED):
            with pytest.raises(type(expected.value)) as found:
                Feeder(path, SIZE, **options, **more)
            assert str(found.value) == str(expected.value)


def test_other_sources_than_files_are_refused(tmp_path):
    class DataIter:
        provide_data = provide_label = ()

        def reset(self) -> None: ...

        def __next__(self) -> object: ...

    def batches() -> object:
        yield np.arange(3)

    with rb.open(made(tmp_path)) as file:
        for options in ({"preset": "faces"}, {"where": "image"}):
            (name,) = options
            with pytest.raises(ValueError, match=f"{name}= is for files.* give the path"):
                Feeder(file, SIZE, **options)
            for source in (batches, DataIter()):
                with pytest.raises(ValueError, match=f"{name}= is for files"):
                    Feeder(source, SIZE, **options)


def test_a_state_of_other_rows_is_refused(tmp_path):
    path = made(tmp_path)
    many = {"without": {}, "where": {"where": "image"}, "preset": {"preset": "faces"}}
    many |= {"label_offset": {"preset": "faces", "label_offset": 2}}
    states = {}
    for name, options in many.items():
        with Feeder(path, SIZE, **options) as feeder:
            next(feeder)
            states[name] = feeder.state()
    assert set(states["without"]) == set(states["where"]) - {"where"} == set(states["preset"]) - {"preset"}
    for name, options in many.items():
        for other, state in states.items():
            if other == name:
                Feeder(path, SIZE, state=state, **options).close()
            else:
                with pytest.raises(rb.FeedError, match=r"the state is of a feed with (preset|where|label_offset)"):
                    Feeder(path, SIZE, state=state, **options)


def test_a_record_that_is_no_image_record_is_an_error_however_it_is_read(tmp_path):
    path = tmp_path / "a.rec"
    path.write_bytes(frame_rec(image_payload(1)) * 3 + frame_rec(image_header(9, 0.0, 4, 0)) + frame_rec(b"short"))
    for options in (STREAMED, SHUFFLED, {"shard": (0, 2)}, {"shard": (1, 2)}):
        with pytest.raises((rb.FeedError, rb.FormatError)) as error:
            fed(path, 1, where="image", source_options={"payload": "image"}, **options)
        assert "record 3" in str(error.value) or "record 4" in str(error.value)
