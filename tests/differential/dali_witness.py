"""What NVIDIA DALI makes of files on a machine without a GPU, for witness.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nvidia.dali import fn, pipeline_def, tfrecord

from tests.differential.told import Told


def read_rec(path: str, index: str) -> Told:
    """Image and label of each record of a .rec."""
    return _rows(lambda: tuple(fn.readers.mxnet(path=[path], index_path=[index], name="reader")))


def read_tfrecord(path: str, index: str) -> Told:
    """The features image and id of each Example."""
    features = {
        "image": tfrecord.FixedLenFeature((), tfrecord.string, ""),
        "id": tfrecord.FixedLenFeature([1], tfrecord.int64, -1),
    }

    def outputs() -> tuple[Any, Any]:
        found = fn.readers.tfrecord(path=[path], index_path=[index], features=features, name="reader")
        return found["image"], found["id"]

    return _rows(outputs)


def _rows(outputs: Callable[[], tuple[Any, Any]]) -> Told:
    rows: list[Any] = []
    try:
        make = pipeline_def(batch_size=1, num_threads=1, device_id=None, prefetch_queue_depth=1)
        pipeline = make(outputs)()
        pipeline.build()
        for _ in range(pipeline.epoch_size("reader")):
            rows.append(tuple(output.at(0).tobytes() for output in pipeline.run()))  # kept up to an error
    except Exception as err:
        return Told(rows, str(err).strip().partition("\n")[0] or type(err).__name__)
    return Told(rows)
