"""Both framings and the image header in a few plain lines, for tests that build files by hand and look into them.

Written from the specifications of dmlc-core, mxnet and TensorFlow, and not from our kernels. samples.py makes whole
files of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tests.reference.checksum import crc32c, mask_crc

MAGIC = bytes.fromhex("0a23d7ce")


def part(flag: int, payload: bytes) -> bytes:
    """One part of a record, padded."""
    return MAGIC + struct.pack("<I", flag << 29 | len(payload)) + payload + bytes(-len(payload) % 4)


def rec(*payloads: bytes) -> bytes:
    """A RecordIO file: each record is cut where the magic stands on a 4-byte boundary of its payload."""
    out = b""
    for payload in payloads:
        pieces, start = [], 0
        for at in range(0, len(payload) & ~3, 4) if MAGIC in payload else ():
            if payload[at : at + 4] == MAGIC:
                pieces.append(payload[start:at])
                start = at + 4
        pieces.append(payload[start:])
        last = len(pieces) - 1
        for number, piece in enumerate(pieces):
            flag = 0 if last == 0 else 1 if number == 0 else 3 if number == last else 2
            out += part(flag, piece)
    return out


def image_payload(
    image: bytes,
    label: float = 0.0,
    *,
    id: int = 0,
    id2: int = 0,
    labels: tuple[float, ...] = (),
    flag: int | None = None,
) -> bytes:
    """The payload of an image record; flag overrides the count of labels that follow the header."""
    flag = len(labels) if flag is None else flag
    return image_header(flag, label, id, id2) + struct.pack(f"<{len(labels)}f", *labels) + image


def image_header(flag: int, label: float, id: int, id2: int) -> bytes:
    """MXNet's 24 bytes before an image."""
    return struct.pack("<IfQQ", flag, label, id, id2)


def masked(data: bytes) -> int:
    """The checksum of TFRecord."""
    return mask_crc(crc32c(data))


def tfr(*payloads: bytes) -> bytes:
    """A TFRecord file."""
    out = b""
    for payload in payloads:
        length = struct.pack("<Q", len(payload))
        out += length + struct.pack("<I", masked(length)) + payload + struct.pack("<I", masked(payload))
    return out


@dataclass(frozen=True)
class Part:
    """Where a part of a RecordIO file lies: its header, its payload, and the end of its padding."""

    record: int
    start: int
    payload: int
    pad: int
    stop: int


def rec_parts(file: bytes) -> Iterator[Part]:
    """The parts of a sound RecordIO file."""
    at = record = 0
    while at < len(file):
        word = int.from_bytes(file[at + 4 : at + 8], "little")
        flag, length = word >> 29, word & 0x1FFFFFFF
        stop = at + 8 + length + -length % 4
        assert stop <= len(file)
        yield Part(record, at, at + 8, at + 8 + length, stop)
        record += flag in (0, 3)
        at = stop


def tfr_heads(payloads: list[bytes]) -> list[int]:
    """Where each record of tfr(*payloads) begins, and the end."""
    heads = [0]
    for payload in payloads:
        heads.append(heads[-1] + 16 + len(payload))
    return heads


def unrec(file: bytes) -> list[bytes]:
    """The payloads of a sound RecordIO file, led by its lengths alone."""
    payloads: list[list[bytes]] = []
    for found in rec_parts(file):
        assert file[found.start : found.start + 4] == MAGIC
        flag = file[found.start + 7] >> 5
        assert flag in ((0, 1) if len(payloads) == found.record else (2, 3))
        if flag in (0, 1):
            payloads.append([])
        payloads[found.record].append(file[found.payload : found.pad])
    return [MAGIC.join(pieces) for pieces in payloads]
