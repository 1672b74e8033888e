"""InsightFace's .rec straight into TensorFlow: images as uint8, classes as int64, and no metadata among them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import recordio_bridge as rb
from recordio_bridge.images import decode_and_crop
from recordio_bridge.tf import CustomRunner
from tests.feed.deadline import within
from tests.feed.running_oracle import session
from tests.samples import copy_golden, image_payload, write_rec

SHAPES = Path(__file__).resolve().parents[2] / "examples" / "shapes.rec"
COLUMNS = ["image/encoded", "image/class/label"]
LABELS = [0, 0, 0, 1, 2, 2, 2, 2, 3, 3]  # of the golden file, by the ids of its images


def pixels(size: int, **options: bool) -> object:
    return decode_and_crop(size, field="image/encoded", **options)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return copy_golden(tmp_path, "g_insightface.rec", "g_insightface.idx")


@pytest.fixture
def interleaved(tmp_path: Path) -> Path:
    """The 60 shapes with a record without an image before each."""
    with rb.open(SHAPES) as file:
        rows = [*file]
    payloads = []
    for row in rows:
        payloads.append(image_payload(1000 + int(row["id"]), [1.0, 2.0], b""))
        payloads.append(image_payload(int(row["id"]), float(row["label"][0]), row["image"]))
    return write_rec(tmp_path / "train.rec", payloads)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_each_pass_over_faces_gives_every_image_once(golden, shuffle, n_threads):
    options = {"fields": [*COLUMNS, "image/id"], "shuffle": shuffle, "seed": 1, "transform": pixels(24, flip=True)}
    with CustomRunner(golden, 4, preset="faces", **options) as runner:
        dataset = runner.dataset(n_threads=n_threads)
        assert int(dataset.cardinality()) == 3
        assert dataset.element_spec[0] == tf.TensorSpec([None, 24, 24, 3], tf.uint8)
        assert dataset.element_spec[1] == tf.TensorSpec([None], tf.int64)
        for _ in range(2):
            batches = within(60, lambda: [[each.numpy() for each in batch] for batch in dataset])
            assert [len(ids) for _, _, ids in batches] == [4, 4, 2]
            found = [
                (int(each), int(label)) for _, labels, ids in batches for label, each in zip(labels, ids, strict=True)
            ]
            assert sorted(found) == list(enumerate(LABELS, 1))
            assert (found == sorted(found)) == (not shuffle)
        assert runner.stats().skipped == 0


def test_fit_on_faces_knows_its_steps_and_warns_of_nothing(interleaved):
    layers = [tf.keras.Input((32, 32, 3)), tf.keras.layers.Rescaling(1 / 255), tf.keras.layers.Flatten()]
    model = tf.keras.Sequential([*layers, tf.keras.layers.Dense(3)])
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    options = {"fields": COLUMNS, "preset": "faces", "transform": pixels(32, random_crop=True)}
    with (
        CustomRunner(interleaved, 16, shuffle=True, seed=1, **options) as training,
        CustomRunner(interleaved, 16, **options) as checking,
    ):
        dataset, validation = training.dataset(n_threads=2), checking.dataset()
        assert int(dataset.cardinality()) == int(validation.cardinality()) == 4

        def fit() -> object:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return model.fit(dataset, validation_data=validation, epochs=2, verbose=0, shuffle=False)

        within(120, fit)
        assert training.stats().rows == checking.stats().rows == 120


def test_shards_of_faces_are_gone_on_with(interleaved):
    options = {"fields": ["image/id"], "preset": "faces", "shuffle": True, "seed": 4}
    found = []
    for index in range(2):
        with CustomRunner(interleaved, 8, shard=(index, 2), **options) as runner:
            begun = within(60, lambda runner=runner: [each.numpy() for (each,) in runner.dataset().take(2)])
            state = runner.state()
        with CustomRunner(interleaved, 8, shard=(index, 2), state=state, **options) as runner:
            rest = within(60, lambda runner=runner: [each.numpy() for (each,) in runner.dataset()])
        assert [len(batch) for batch in begun + rest] == [8, 8, 8, 6]
        found += [*begun, *rest]
    with rb.open(SHAPES) as file:
        assert sorted(np.concatenate(found).tolist()) == sorted(row["id"] for row in file)


def test_graph_mode_feeds_the_rows_that_where_keeps(interleaved):
    runner = CustomRunner(interleaved, 8, fields=["id", "image"], where="image", epochs=1)

    def run() -> list[int]:
        ids: list[int] = []
        with session(runner) as take:
            try:
                while True:
                    numbers, images = take()
                    assert all(images)
                    ids += numbers.tolist()
            except tf.errors.OutOfRangeError:
                runner.stop()
        return ids

    with rb.open(SHAPES) as file:
        assert within(60, run) == [row["id"] for row in file]
