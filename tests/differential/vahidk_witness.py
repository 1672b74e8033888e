"""What the package tfrecord (vahidk's) makes of files, for witness.py."""

from __future__ import annotations

from tfrecord.reader import tfrecord_iterator

from tests.differential.told import Told


def read(path: str, compression: str) -> Told:
    """The payloads of a TFRecord file. It hands out one buffer again and again, so each is copied."""
    rows: list[bytes] = []
    try:
        rows.extend(bytes(payload) for payload in tfrecord_iterator(path, compression_type=compression.lower() or None))
    except Exception as err:
        return Told(rows, f"{type(err).__name__}: {err}")
    return Told(rows)
