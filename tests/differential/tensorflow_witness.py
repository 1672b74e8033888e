"""What TensorFlow makes of files and messages, for witness.py; what it raises as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf

from tests.differential.told import Told

_DTYPES = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}


def write(path: str, compression: str, payloads: Sequence[bytes]) -> None:
    """Write a TFRecord file."""
    with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type=compression)) as writer:
        for payload in payloads:
            writer.write(payload)


def read(path: str, compression: str, reader: str) -> Told:
    """The payloads by tf.data.TFRecordDataset ("dataset"), or by tf_record_iterator ("iterator")."""
    if reader == "dataset":
        return _told(lambda: tf.data.TFRecordDataset(path, compression_type=compression).as_numpy_iterator())
    options = tf.io.TFRecordOptions(compression_type=compression)
    return _told(lambda: tf.compat.v1.io.tf_record_iterator(path, options))


def _told(rows: Callable[[], Iterable[bytes]]) -> Told:
    found: list[bytes] = []
    try:
        found.extend(rows())  # keeps those before an error
    except tf.errors.OpError as err:
        return Told(found, f"{type(err).__name__}: {err}"[:300])
    return Told(found)


def parse(message: bytes, kinds: dict[str, str]) -> dict[str, list[Any]] | str:
    """The values of these features by tf.io.parse_single_example, floats as their bytes; the error where it raises."""
    spec = {key: tf.io.VarLenFeature(_DTYPES[kind]) for key, kind in kinds.items()}
    try:
        found = tf.io.parse_single_example(message, spec)
    except (tf.errors.OpError, UnicodeDecodeError) as err:  # the second, where it would quote the message in the first
        return f"{type(err).__name__}: {err}"[:300]
    values = {key: sparse.values.numpy() for key, sparse in found.items()}
    return {key: [made.tobytes()] if kinds[key] == "float_list" else made.tolist() for key, made in values.items()}
