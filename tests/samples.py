"""Files for tests, written and read back with struct alone: nothing here uses the package.

The layouts are those of the formats' own specifications: dmlc-core's recordio.h, MXNet's image_recordio.h,
TensorFlow's record_writer.cc and example.proto.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from recordio_bridge.documents import as_document
from tests.formats.frames import image_header, rec, tfr, unrec

GOLDEN = Path(__file__).parent / "golden"
BYTES, FLOATS, INTS = 1, 2, 3  # the kinds of a Feature, by their field numbers


def frame_rec(payload: bytes) -> bytes:
    """One record of a .rec."""
    return rec(payload)


def image_payload(
    id: int, label: float | Sequence[float] = 0.0, image: bytes = b"\xff\xd8\xff\xe0image", id2: int = 0
) -> bytes:
    """An image record: the 24-byte header, the label vector where label is one, the image."""
    if isinstance(label, (int, float)):
        return image_header(0, label, id, id2) + image
    return image_header(len(label), 0.0, id, id2) + struct.pack(f"<{len(label)}f", *label) + image


def write_rec(path: Path, payloads: Iterable[bytes], keys: Iterable[object] | None = None) -> Path:
    """A .rec, and its .idx where keys are given."""
    framed = [frame_rec(payload) for payload in payloads]
    path.write_bytes(b"".join(framed))
    if keys is not None:
        offsets = [sum(map(len, framed[:number])) for number in range(len(framed))]
        lines = [f"{key}\t{offset}\n" for key, offset in zip(keys, offsets, strict=True)]
        path.with_suffix(".idx").write_text("".join(lines))
    return path


def image_rec(path: Path, rows: int, first_id: int = 0) -> Path:
    """A .rec of image records: ids from first_id, labels id % 10, images of differing lengths that name their id."""
    numbers = range(first_id, first_id + rows)
    return write_rec(path, [image_payload(n, float(n % 10), image_of(n)) for n in numbers], numbers)


def image_of(id: int) -> bytes:
    """The image of the row with this id in the files of image_rec."""
    return b"\xff\xd8\xff\xe0" + f"image {id} ".encode() * (1 + id % 4)


def read_rec(path: Path) -> list[bytes]:
    """The payloads of a .rec."""
    return unrec(path.read_bytes())


def frame_tfrecord(payload: bytes) -> bytes:
    """One record of a TFRecord file."""
    return tfr(payload)


def write_tfrecord(path: Path, payloads: Iterable[bytes]) -> Path:
    """A plain TFRecord file."""
    path.write_bytes(b"".join(map(frame_tfrecord, payloads)))
    return path


def read_tfrecord(path: Path) -> list[bytes]:
    """The payloads of a plain TFRecord file, both checksums of each looked at."""
    data, payloads, at = path.read_bytes(), [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        payload = data[at + 12 : at + 12 + length]
        assert data[at : at + 16 + length] == frame_tfrecord(payload)
        payloads.append(payload)
        at += 16 + length
    return payloads


def read_examples(path: Path) -> list[dict[str, list]]:
    """The features of each tf.train.Example of a plain TFRecord file, by key."""
    return [parse_example(payload) for payload in read_tfrecord(path)]


def make_example(features: dict[str, list]) -> bytes:
    """A tf.train.Example with packed lists, keys sorted: bytes, floats and ints by the type of the first value."""
    entries = b""
    for key in sorted(features):
        values = features[key]
        if isinstance(values[0], bytes):
            kind, body = BYTES, b"".join(_field(1, value) for value in values)
        elif isinstance(values[0], float):
            kind, body = FLOATS, _field(1, struct.pack(f"<{len(values)}f", *values))
        else:
            kind, body = INTS, _field(1, b"".join(_varint(value % 2**64) for value in values))
        entries += _field(1, _field(1, key.encode()) + _field(2, _field(kind, body)))
    return _field(1, entries)


def parse_example(payload: bytes) -> dict[str, list]:
    """The features of one tf.train.Example with packed lists."""
    features = {}
    for _, entries in _fields(payload):
        for _, entry in _fields(entries):
            parts = dict(_fields(entry))
            kinds = _fields(parts[2])
            features[parts[1].decode()] = _values(*kinds[0]) if kinds else []
    return features


def _values(kind: int, body: bytes) -> list:
    members = [value for _, value in _fields(body)]
    if kind == BYTES:
        return members
    packed = b"".join(members)
    if kind == FLOATS:
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    values, at = [], 0
    while at < len(packed):
        value, at = _read_varint(packed, at)
        values.append(value - 2**64 if value >= 2**63 else value)
    return values


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """The length-delimited fields of a message."""
    fields, at = [], 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        assert tag & 7 == 2
        length, at = _read_varint(message, at)
        fields.append((tag >> 3, message[at : at + length]))
        at += length
    assert at == len(message)
    return fields


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def copy_golden(folder: Path, *names: str) -> Path:
    """Golden files in a folder of the test's own, as writing needs; the path of the first."""
    for name in names:
        shutil.copyfile(GOLDEN / name, folder / name)
    return folder / names[0]


def interrupt_link(monkeypatch: pytest.MonkeyPatch, at: int) -> tuple[type[BaseException], list[object]]:
    """Send an interrupt just after a file got its name by a hard link; gives the error to come, and the calls."""
    link, calls = os.link, []

    def link_and_interrupt(old: str, new: str) -> None:
        calls.append(new)
        link(old, new)
        if len(calls) == at + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", link_and_interrupt)
    return KeyboardInterrupt, calls


def fail_rename(monkeypatch: pytest.MonkeyPatch, at: int) -> tuple[type[BaseException], list[object]]:
    """Fail to rename a file, where there are no hard links; gives the error to come, and the calls."""
    rename, calls = os.rename, []

    def no_links(old: str, new: str) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported", old, None, new)

    def rename_or_fail(old: str, new: str) -> None:
        calls.append(new)
        if len(calls) == at + 1:
            raise OSError(errno.EIO, "Input/output error", old, None, new)
        rename(old, new)

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "rename", rename_or_fail)
    return OSError, calls


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder, hidden ones too, and the SHA-256 of its bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[os.fspath(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def rewrite(path: Path, content: object) -> None:
    """Replace a sidecar, a manifest or a report by another one, whose checksum fits what it says."""
    if isinstance(content, dict):
        path.write_bytes(as_document({key: value for key, value in content.items() if key != "crc32c"}))
    else:
        path.write_text(json.dumps(content))


def believe_by_name(path: Path) -> None:
    """Make the sidecar of a file one that does not say which bytes it describes, as one written by hand."""
    sidecar = path.with_name(path.name + ".schema.json")
    content = json.loads(sidecar.read_text())
    del content["ends"]
    rewrite(sidecar, content)
