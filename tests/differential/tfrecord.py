"""TFRecord against TensorFlow: files both ways, plain, GZIP and ZLIB, and damaged ones.

The rule for damaged files. Payloads of ours, up to an error, are the first ones of TensorFlow. Where ours has no error,
TensorFlow has none, and the same payloads. Where TensorFlow has none and ours has one, TensorFlow took a cut for the
end of the file: 1 to 11 bytes of a head are left at the end, or the compressed stream is not whole by zlib's own word.

TensorFlow is its tf.data.TFRecordDataset, or, three times as often as it is faster, its tf_record_iterator.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import recordio_bridge as rb
from recordio_bridge import Field, Schema
from tests.differential.damage import damaged
from tests.differential.told import Told
from tests.differential.trials import EQUAL, Trial, difference, ours, verdict
from tests.differential.witness import Died, Witness

RAW = Schema(Field("record", "bytes"))
READERS = ("dataset", "iterator", "iterator", "iterator")
_WINDOWS = {"GZIP": 31, "ZLIB": 15}  # wbits of zlib
_NO_TENSORFLOW = Told([], "TensorFlow ended its process")


def compare_files(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Sound and damaged files, one of the first to five of the others; half of them plain."""
    with Witness("tests.differential.tensorflow_witness") as tensorflow:
        while True:
            compression = chance.choice(["", "", "GZIP", "ZLIB"])
            payloads = _payloads(chance)
            yield _written(tensorflow, folder, compression, payloads)
            data = (folder / "theirs.tfrecord").read_bytes()
            heads = [0, *accumulate(16 + len(payload) for payload in payloads)]
            places = [0, 10, len(data) - 8] if compression else heads + [head - 4 for head in heads]
            for _ in range(5):
                reader = chance.choice(READERS)
                yield _damaged_file(tensorflow, folder, reader, compression, damaged(chance, data, places))


def _payloads(chance: random.Random) -> list[bytes]:
    def one() -> bytes:
        size = chance.choice([0, 1, 4, 15, 16, 17, 100, chance.randrange(300), chance.randrange(20_000)])
        return chance.randbytes(size) if chance.random() < 0.6 else b"abcdefg"[: chance.randrange(8)] * (size // 7)

    return [one() for _ in range(chance.choice([0, 1, 1, 2, 3, 5, 8, 100]))]


def rows(path: Path, compression: str) -> Iterator[bytes]:
    """The payloads that rb.read tells."""
    for batch in rb.read(path, batch_rows=7, payload="raw", compression=compression):
        yield from batch["record"]


def _written(tensorflow: Witness, folder: Path, compression: str, payloads: list[bytes]) -> Trial:
    theirs, mine = folder / "theirs.tfrecord", folder / "ours.tfrecord"
    tensorflow.ask("write", str(theirs), compression, payloads)
    rb.write(mine, {"record": payloads}, RAW, overwrite=True, payload="raw", compression=compression)
    wrong = []
    if mine.read_bytes() != theirs.read_bytes():
        wrong.append("the files that are written differ")
    if ours(lambda: rows(theirs, compression)) != Told(payloads):
        wrong.append("ours reads other payloads than TensorFlow wrote")
    if any(tensorflow.ask("read", str(mine), compression, reader) != Told(payloads) for reader in READERS):
        wrong.append("TensorFlow reads other payloads than ours wrote")
    return Trial(theirs.read_bytes(), True, EQUAL, "; ".join(wrong))


def _damaged_file(tensorflow: Witness, folder: Path, reader: str, compression: str, data: bytes) -> Trial:
    path = folder / "damaged.tfrecord"
    path.write_bytes(data)
    try:
        its = tensorflow.ask("read", str(path), compression, reader)
    except Died:
        its = _NO_TENSORFLOW
    mine = ours(lambda: rows(path, compression))
    return Trial(data, False, verdict(mine, its), difference(mine, its, lambda: not is_whole(data, compression)))


def is_whole(data: bytes, compression: str) -> bool:
    """Whether a file is a whole stream, of records that end where it ends; their checksums are not looked at."""
    if compression:
        stream = zlib.decompressobj(_WINDOWS[compression])
        try:
            content = stream.decompress(data) + stream.flush()
        except zlib.error:
            return False
        if not stream.eof or stream.unused_data:
            return False
        data = content
    at = 0
    while at + 12 <= len(data):
        at += 16 + struct.unpack_from("<Q", data, at)[0]
    return at == len(data)
