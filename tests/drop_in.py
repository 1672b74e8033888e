"""What the tests of the drop-in for mxnet.recordio share."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

from hypothesis import strategies as st

from recordio_bridge import mxrecordio
from recordio_bridge.errors import FormatError
from recordio_bridge.mxrecordio import MXIndexedRecordIO, MXRecordIO

GOLDEN = Path(__file__).parent / "golden"
WITH_INDEX = ["c_magic_indexed", "e_images", "f_int_keys", "f_str_keys", "g_insightface", "h_det", "h_im2rec"]
WITH_HEADER = ["a_scalar", "b_vector", "c_magic_header", "d_empty_content", "e_images", "f_int_keys", "g_insightface"]
FILES = sorted({"c_magic_raw", "d_empty_raw", "d_zero_records", "r_photos", *WITH_INDEX, *WITH_HEADER})
BLOCK = mxrecordio._BLOCK
MAGIC = bytes.fromhex("0a23d7ce")
DAMAGE = bytes.fromhex(  # "hello", "xxxx" + magic + "yyyyyy", "last"; heads at 0, 16, 44
    "0a23d7ce 05000000 68656c6c 6f000000 0a23d7ce 04000020 78787878 0a23d7ce 06000060 79797979 79790000"
    "0a23d7ce 04000000 6c617374"
)


def golden(name: str) -> dict:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_all(path: Path) -> list[bytes]:
    reader = MXRecordIO(path, "r")
    records = list(iter(reader.read, None))
    reader.close()
    return records


def failure(path: Path) -> FormatError | None:
    try:
        read_all(path)
    except FormatError as err:
        return err
    return None


def write_all(path: Path, records: list[bytes]) -> bytes:
    writer = MXRecordIO(path, "w")
    for record in records:
        writer.write(record)
    writer.close()
    return path.read_bytes()


def indexed(folder: Path, records: list[bytes]) -> MXIndexedRecordIO:
    """A reader of these records with the keys 0, 1, 2, ..."""
    writer = MXIndexedRecordIO(folder / "i.idx", folder / "i.rec", "w")
    for key, record in enumerate(records):
        writer.write_idx(key, record)
    writer.close()
    return MXIndexedRecordIO(folder / "i.idx", folder / "i.rec", "r")


def framed(record: bytes) -> bytes:
    """The file of one record, word by word."""
    out, start, end = [], 0, len(record)
    for at in range(0, end - end % 4, 4):
        if record[at : at + 4] == MAGIC:
            out.append(MAGIC + struct.pack("<I", (2 if start else 1) << 29 | at - start) + record[start:at])
            start = at + 4
    flag = 3 if start else 0
    return b"".join(out) + MAGIC + struct.pack("<I", flag << 29 | end - start) + record[start:] + bytes(-end % 4)


PAYLOADS = st.lists(st.sampled_from([MAGIC, MAGIC[:2], MAGIC[2:], b"a", b"four", b"\0" * 30, MAGIC * 3])).map(b"".join)
