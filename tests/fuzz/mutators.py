"""Changes of a file that leave it a file of its kind, as a fuzzer that breaks a checksum sees nothing behind it.

Each takes a file, a source of chance, and how to change bytes; it may raise whatever damaged files make it raise.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from recordio_bridge import _kernels
from recordio_bridge.documents import as_document
from recordio_bridge.migrate.sealed import sealed, unsealed

Change: TypeAlias = Callable[[bytes, int], bytes]
"""Bytes with some change, of so many at most."""
Mutator: TypeAlias = Callable[[bytes, random.Random, Change], bytes]

_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, 1, -1, 255, 1 << 31, 1 << 63, 1 << 200, 0.5, 1e308, float("nan")),
    *("", "x", "../x", "/etc/x", "\0", "int64", "bytes", "\ud800", "x" * 300),
    *([], {}, [[]], [None], {"": None}, [0, 0], [-1, 1 << 62]),
)
_DEEP = b"[" * 5000 + b"]" * 5000
_MORE = 200  # bytes that a piece may grow by
_HEAD, _CRC = struct.Struct("<Q"), struct.Struct("<I")


def json_lines(text: bytes, chance: random.Random, change: Change) -> bytes:
    """Values become others, go, or stand elsewhere too."""
    lines = text.split(b"\n")
    for _ in range(chance.choice((1, 1, 2, 5))):
        number = chance.randrange(len(lines))
        content = json.loads(lines[number])
        lines[number] = json.dumps(_changed(content, chance)).encode()
        if chance.random() < 0.01:
            lines[number] = lines[number].replace(b"null", _DEEP, 1)
    return b"\n".join(lines)


def receipt(text: bytes, chance: random.Random, change: Change) -> bytes:
    """As json_lines, sealed again or not."""
    changed = json_lines(unsealed(text).rstrip(b"\n"), chance, change)
    return sealed(changed + b"\n") if chance.random() < 0.9 else changed


def document(text: bytes, chance: random.Random, change: Change) -> bytes:
    """Values of one JSON document become others, go, or stand elsewhere too; it is sealed again or not."""
    content = json.loads(text)
    if isinstance(content, dict) and chance.random() < 0.9:
        content.pop("crc32c", None)
    for _ in range(chance.choice((1, 1, 2, 5))):
        content = _changed(content, chance)
    return as_document(content) if isinstance(content, dict) and chance.random() < 0.8 else json.dumps(content).encode()


def _changed(content: Any, chance: random.Random) -> Any:  # Any: what JSON may be
    places = list(_places(content))
    if not places:
        return chance.choice(_VALUES)
    holder, key = chance.choice(places)
    match chance.randrange(5):
        case 0:
            del holder[key]
        case 1:
            other, from_key = chance.choice(places)
            if key in holder if isinstance(holder, dict) else key < len(holder):
                holder[key] = json.loads(json.dumps(other[from_key]))
        case 2 if isinstance(holder[key], int):
            holder[key] += chance.choice((-1, 1, 1 << 32))
        case _:
            holder[key] = chance.choice(_VALUES)
    return content


def _places(content: Any) -> Any:
    keys = content.keys() if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in list(keys):
        yield content, key
        yield from _places(content[key])


def tfrecord(data: bytes, chance: random.Random, change: Change) -> bytes:
    """A payload is changed, and sealed again."""
    payloads = []
    while data:
        (size,) = _HEAD.unpack_from(data)
        payloads.append(data[12 : 12 + size])
        data = data[16 + size :]
    number = chance.randrange(len(payloads))
    payloads[number] = change(payloads[number], len(payloads[number]) + _MORE)
    return b"".join(map(_sealed, payloads))


def _sealed(payload: bytes) -> bytes:
    head = _HEAD.pack(len(payload))
    return head + _CRC.pack(_masked(head)) + payload + _CRC.pack(_masked(payload))


def _masked(data: bytes) -> int:
    crc = _kernels.crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def tfrecord_gz(data: bytes, chance: random.Random, change: Change) -> bytes:
    """What is packed is changed, sealed or not."""
    inner = gzip.decompress(data)
    if chance.random() < 0.8:
        return gzip.compress(tfrecord(inner, chance, change), 1, mtime=0)
    return gzip.compress(change(inner, len(inner) + _MORE), 1, mtime=0)


def npz(data: bytes, chance: random.Random, change: Change) -> bytes:
    """A member, or its name, is changed, and packed again with the checksum of what it is now."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    number = chance.randrange(len(members))
    name, content = members[number]
    if chance.random() < 0.1:
        name = change(name.encode("utf-8", "surrogateescape"), 60).decode("utf-8", "surrogateescape")
    head = min(len(content), 10 + struct.unpack_from("<H", content, 8)[0])
    if chance.random() < 0.5:
        content = _header(content, head, chance, change)
    else:
        content = content[:head] + change(content[head:], len(content) - head + _MORE)
    members[number] = name, content
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for each, inside in members:
            archive.writestr(zipfile.ZipInfo(each), inside, archive.compression)
    return out.getvalue()


def npy(data: bytes, chance: random.Random, change: Change) -> bytes:
    """The text of the header is changed, and its length set to what it is now."""
    return _header(data, min(len(data), 10 + struct.unpack_from("<H", data, 8)[0]), chance, change)


def _header(content: bytes, head: int, chance: random.Random, change: Change) -> bytes:
    text = content[10:head].rstrip(b" \n")
    if chance.random() < 0.5:
        text = change(text, len(text) + 40)
    else:
        old, new = chance.choice(_HEADERS)
        text = text.replace(old, new, 1)
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return content[:8] + struct.pack("<H", len(text)) + text + content[head:]


_HEADERS = (
    *((b"<i8", new) for new in (b"<i4", b">i8", b"|O", b"<U3", b"|S0", b"<M8[s]", b"|V9", b"<f2", b"|b1", b"<c8")),
    *(
        (b"(5,", new)
        for new in (b"(6,", b"(4,", b"(0,", b"(-1,", b"(5, 0,", b"(99999999999999999999,", b"(5.0,", b"[5,")
    ),
    (b"False", b"True"),
    (b"descr", b"descr': '|u1', 'x"),
)


def hdf5(data: bytes, chance: random.Random, change: Change) -> bytes:
    """What deflate packed is changed, and packed again where it stood; behind a shorter one is what was there."""
    at = chance.choice([at for at in range(len(data) - 1) if data[at : at + 2] in _DEFLATED])
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data[at:])
    packed = zlib.compress(change(content, len(content) + _MORE))
    end = len(data) - len(unpacker.unused_data)
    return data[:at] + packed[: end - at] + data[at + len(packed[: end - at]) :]


_DEFLATED = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")


_TFRECORDS = (
    *("tfrecord", "tfrecord-raw", "tfrecord-skip", "tfrecord-look"),
    *("tfrecord-damage", "tfrecord-parts", "tfrecord-said", "parse-fn", "verify-shard"),
)
MUTATORS: dict[str, Mutator] = {
    **dict.fromkeys(
        ("sidecar", "manifest", "migration", "sidecar-beside", "manifest-beside", "dataset-info"), document
    ),
    **dict.fromkeys(("resume-done", "resume-manifest", "verify-done", "verify-manifest", "verify-sidecar"), document),
    **dict.fromkeys(("plan", "shared", "resume-shared"), json_lines),
    **dict.fromkeys(("receipt", "resume-receipt", "resume-plan", "resume-shuffled"), receipt),
    **dict.fromkeys(_TFRECORDS, tfrecord),
    "tfrecord-gz": tfrecord_gz,
    **dict.fromkeys(("hdf5", "h5-said"), hdf5),
    **dict.fromkeys(("npz", "npz-look", "npz-said"), npz),
    **dict.fromkeys(("npy", "npy-look"), npy),
}

UNREADABLE = (ValueError, LookupError, OSError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)
"""What a mutator may raise of a file that was damaged before."""


def mutated(name: str, data: bytes, chance: random.Random, change: Change) -> bytes:
    """A file of a target with some change: mostly one that leaves it a file of its kind."""
    mutator = MUTATORS.get(name)
    if mutator is not None and chance.random() < 0.8:
        with suppress(*UNREADABLE):
            return mutator(data, chance, change)
    return change(data, len(data) + _MORE)
