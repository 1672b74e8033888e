"""Gives the same damaged files to many readers; a table in Markdown of what each did goes to stdout.

    python scripts/damage_matrix.py PEERS       PEERS: a Python that has nvidia-dali and tfrecord

Each reader runs in a process of its own, which is started again when it ends or takes longer than a minute. Its rows
are compared with those that it told of the sound file:

    error               it raised
    equal               all rows, and no error
    loses N silently    N rows are missing, and nothing was said
    N wrong             N rows that the sound file does not have; others may be missing as well
    warned              it said so in the log
    crash, hang         the process ended, or had to be ended
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2  # noqa: E402  # found by the lines above
import numpy as np  # noqa: E402

import recordio_bridge as rb  # noqa: E402
from tests.differential.told import Told  # noqa: E402
from tests.differential.trials import ours  # noqa: E402
from tests.differential.witness import Died, Witness  # noqa: E402
from tests.differential.wounds import wounds_of_gzip, wounds_of_rec, wounds_of_tfrecord  # noqa: E402
from tests.formats.frames import MAGIC, image_payload, rec, tfr  # noqa: E402
from tests.samples import make_example  # noqa: E402

ROWS, HIT, IN_PARTS = 12, 7, 5  # the record that most wounds are in, and one that is in three parts
Read = Callable[[Path], Told]


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@dataclass(frozen=True)
class Reader:
    """A column of the table: a name, and how it reads a file."""

    name: str
    read: Read


def main(peers: str) -> None:
    with tempfile.TemporaryDirectory(prefix="damage-") as folder, ExitStack() as stack:

        def witness(name: str, python: str = sys.executable) -> Witness:
            return stack.enter_context(Witness(f"tests.differential.{name}_witness", python))

        mxnet, tensorflow, tfds = witness("mxnet"), witness("tensorflow"), witness("tfds")
        dali, vahidk = witness("dali", peers), witness("vahidk", peers)

        def rec_readers(index: Path) -> list[Reader]:
            return [
                Reader("mxnet MXRecordIO", lambda path: mxnet.ask("read", str(path))),
                Reader("mxnet MXIndexedRecordIO", lambda path: mxnet.ask("read_by_keys", str(index), str(path))),
                Reader("mxnet ImageRecordIter", lambda path: mxnet.ask("read_images", str(path))),
                Reader("DALI readers.mxnet", lambda path: dali.ask("read_rec", str(path), str(index))),
            ]

        def tfrecord_readers(index: Path) -> list[Reader]:
            return [
                *tensorflow_readers(""),
                Reader("tensorflow_datasets", lambda path: tfds.ask("read", str(path.parent))),
                Reader("tfrecord (vahidk)", lambda path: vahidk.ask("read", str(path), "")),
                Reader("DALI readers.tfrecord", lambda path: dali.ask("read_tfrecord", str(path), str(index))),
            ]

        def tensorflow_readers(packing: str) -> list[Reader]:
            return [
                Reader("tf.data.TFRecordDataset", lambda path: tensorflow.ask("read", str(path), packing, "dataset")),
                Reader("tf_record_iterator", lambda path: tensorflow.ask("read", str(path), packing, "iterator")),
            ]

        vahidk_gzip = Reader("tfrecord (vahidk)", lambda path: vahidk.ask("read", str(path), "GZIP"))
        print(f"{versions(peers)}\n")
        print(rec_table(Path(folder), rec_readers))
        print(tfrecord_table(Path(folder), tfrecord_readers))
        print(gzip_table(Path(folder), [*tensorflow_readers("GZIP"), vahidk_gzip]), end="")


def versions(peers: str) -> str:
    """The peers with their versions."""
    here = ["mxnet", "tensorflow-cpu", "tensorflow-datasets"]
    told = [f"{name} {importlib.metadata.version(name)}" for name in here]
    code = (
        "from importlib.metadata import version; "
        "print(*(n + ' ' + version(n) for n in ('nvidia-dali-cuda120', 'tfrecord')), sep=', ')"
    )
    there = subprocess.run([peers, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    return f"recordio_bridge {rb.__version__}; {', '.join(told)}, {there}."


# ---- .rec ----


def image(number: int) -> bytes:
    """A small picture as PNG, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


def rec_table(folder: Path, theirs: Callable[[Path], list[Reader]]) -> str:
    """The table for .rec. Beside the file, and for theirs(index), lies the index of the sound one."""
    payloads = [image_payload(image(number), float(number), id=number) for number in range(ROWS)]
    payloads[IN_PARTS] += bytes(-len(payloads[IN_PARTS]) % 4) + 2 * (MAGIC + b"behind the picture..")
    data = rec(*payloads)
    offsets = [len(rec(*payloads[:number])) for number in range(ROWS)]
    index = folder / "x.idx"
    index.write_text("".join(f"{number}\t{offset}\n" for number, offset in enumerate(offsets)))
    readers = [*our_readers(payload="image"), *theirs(index)]
    return table("RecordIO", folder / "x.rec", data, wounds_of_rec(data, HIT, IN_PARTS), readers)


# ---- TFRecord ----


def tfrecord_shard(folder: Path) -> Path:
    """A TFRecord file that is the one shard of a dataset for tensorflow_datasets."""
    made = sorted((folder / "set").rglob("*.tfrecord-*"))
    if not made:
        examples = [make_example({"id": [number], "image": [image(number)]}) for number in range(ROWS)]
        (folder / "source.tfrecord").write_bytes(tfr(*examples))
        rb.convert(folder / "source.tfrecord", folder / "set/damage/1.0.0", tfds="damage:1.0.0")
        made = sorted((folder / "set").rglob("*.tfrecord-*"))
    return made[0]


def tfrecord_table(folder: Path, theirs: Callable[[Path], list[Reader]]) -> str:
    """The table for TFRecord. theirs(index) is given the index of the sound file, as DALI's tool makes it."""
    path = tfrecord_shard(folder)
    data = path.read_bytes()
    lengths = lengths_of(data)
    index, at = folder / "x.tfrecord.idx", 0
    with open(index, "w") as out:
        for length in lengths:
            out.write(f"{at} {16 + length}\n")
            at += 16 + length

    def alone(reader: Reader) -> Reader:
        """It reads a copy without the manifest that we wrote beside the shard: other people's files have none."""
        return Reader(reader.name, lambda path: reader.read(Path(shutil.copyfile(path, folder / "alone.tfrecord"))))

    readers = [*map(alone, our_readers(payload="raw")), *theirs(index)]
    made = table("TFRecord", path, data, wounds_of_tfrecord(data, lengths, HIT), readers)
    path.write_bytes(data)
    return made


def gzip_table(folder: Path, theirs: list[Reader]) -> str:
    """The table for TFRecord that is compressed as a whole."""
    wounds = wounds_of_gzip(tfrecord_shard(folder).read_bytes())
    readers = [*our_readers(payload="raw", compression="GZIP"), *theirs]
    return table("TFRecord in GZIP", folder / "x.tfrecord.gz", wounds.pop(""), wounds, readers)


def lengths_of(data: bytes) -> list[int]:
    """The lengths of the payloads of a sound file."""
    lengths, at = [], 0
    while at < len(data):
        lengths.append(struct.unpack_from("<Q", data, at)[0])
        at += 16 + lengths[-1]
    return lengths


# ---- ours ----


def our_readers(**options: object) -> list[Reader]:
    """Ours: reading, verifying, and reading with leave to pass over damage."""
    return [
        Reader("ours", lambda path: read_ours(path, **options)),
        Reader("ours, verify", lambda path: verify_ours(path, **options)),
        Reader("ours, skip", lambda path: read_ours(path, on_bad_record="skip", **options)),
    ]


def read_ours(path: Path, **options: object) -> Told:
    """The rows of rb.read."""

    def rows() -> list[object]:
        return [
            tuple(value if isinstance(value, bytes) else value.tobytes() for value in row.values())
            for batch in rb.read(path, **options)
            for row in batch.rows()
        ]

    return ours(rows)


def verify_ours(path: Path, **options: object) -> Told:
    """No rows, and the first problem of rb.verify."""
    report = rb.verify(path, **options)
    return Told([], None if report.ok else str(report.problems[0]))


# ---- the table ----


def table(title: str, path: Path, data: bytes, wounds: dict[str, bytes], readers: list[Reader]) -> str:
    """All wounds by all readers, beside one another."""
    path.write_bytes(data)
    truths = [reader.read(path) for reader in readers]
    for reader, truth in zip(readers, truths, strict=True):
        if truth.error is not None or len(truth.rows) not in (0, ROWS):
            raise SystemExit(f"{reader.name} tells {len(truth.rows)} rows of the sound file, and {truth.error}")
    lines = [f"| {title} | {' | '.join(reader.name for reader in readers)} |", f"|---{'|---' * len(readers)}|"]
    for name, damaged in wounds.items():
        cells = []
        for reader, truth in zip(readers, truths, strict=True):
            path.write_bytes(damaged)
            cells.append(cell(reader, path, truth))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(reader: Reader, path: Path, truth: Told) -> str:
    """What a reader did with a damaged file."""
    logger = logging.getLogger("recordio_bridge")
    heard = Heard()
    logger.addHandler(heard)
    try:
        told = reader.read(path)
    except Died as err:
        return "**hang**" if err.was_late else "**crash**"
    finally:
        logger.removeHandler(heard)
    if told.error is not None:
        return "error"
    if not truth.rows:
        return "**nothing found**"
    rows, expected = Counter(told.rows), Counter(truth.rows)
    wrong, lost = (rows - expected).total(), (expected - rows).total()
    if not wrong and not lost:
        return "equal, warned" if heard.messages else "equal"
    what = [f"{wrong} wrong"] * bool(wrong) + [f"loses {lost - wrong}"] * (lost > wrong)
    if heard.messages:
        return f"{', '.join(what)}, warned"
    return f"**{', '.join(what)}{' silently' if not wrong else ''}**"


if __name__ == "__main__":
    main(*sys.argv[1:])
