"""Damaged files by name, each with one wound at a known place: what scripts/damage-matrix gives to all readers."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from itertools import accumulate

from tests.formats.frames import Part, rec_parts


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def wounds_of_rec(data: bytes, hit: int, in_parts: int) -> dict[str, bytes]:
    """Damaged copies of a .rec: most of them in the record with the number `hit`, some in one of three parts."""
    parts = list(rec_parts(data))
    one = next(part for part in parts if part.record == hit)
    several = [part for part in parts if part.record == in_parts]
    middle = one.payload + (one.pad - one.payload) // 2
    return {
        "bit flipped in a payload": _flipped(data, middle),
        "bit flipped in a magic": _flipped(data, one.start + 1),
        "bit flipped in a length": _flipped(data, one.start + 5),
        "cut inside a payload": data[:middle],
        "cut inside a head": data[: one.start + 6],
        "cut between the parts of a record": data[: several[1].start],
        "cut between records": data[: one.start],
        "garbage appended": data + b"\x5a garbage \xa5" * 3,
        "tail filled with zeros": data[:middle] + bytes(len(data) - middle),
        "4 KiB of zeros appended": data + bytes(4096),
        "record without its middle part": _without(data, several[1]),
        "record without its last part": _without(data, several[2]),
        "a piece lost in the middle of a payload": data[: middle - 64] + data[middle:],
    }


def _without(data: bytes, part: Part) -> bytes:
    return data[: part.start] + data[part.stop :]


def wounds_of_tfrecord(data: bytes, lengths: Sequence[int], hit: int) -> dict[str, bytes]:
    """Damaged copies of a TFRecord file whose payloads have these lengths: most of them in one record."""
    start = [0, *accumulate(16 + length for length in lengths)][hit]
    payload, crc = start + 12, start + 12 + lengths[hit]
    middle = payload + lengths[hit] // 2
    return {
        "bit flipped in a payload": _flipped(data, middle),
        "bit flipped in a length": _flipped(data, start + 1),
        "bit flipped in the checksum of a length": _flipped(data, start + 8),
        "bit flipped in the checksum of a payload": _flipped(data, crc),
        "cut inside a payload": data[:middle],
        "cut inside a head": data[: start + 7],
        "cut inside the checksum of a payload": data[: crc + 2],
        "cut between records": data[:start],
        "garbage appended": data + b"\x5a garbage \xa5" * 3,
        "7 bytes of garbage appended": data + b"garbage",
        "tail filled with zeros": data[:middle] + bytes(len(data) - middle),
        "4 KiB of zeros appended": data + bytes(4096),
        "a piece lost in the middle of a payload": data[: middle - 64] + data[middle:],
    }


def wounds_of_gzip(data: bytes) -> dict[str, bytes]:
    """Copies of a file that is compressed as a whole: the sound one, named "", and damaged ones."""
    packed = gzip.compress(data, mtime=0)
    middle = len(packed) // 2
    return {
        "": packed,
        "cut in the middle": packed[:middle],
        "cut before its trailer": packed[:-8],
        "cut inside its trailer": packed[:-4],
        "bit flipped in the middle": _flipped(packed, middle),
        "bit flipped in its trailer": _flipped(packed, len(packed) - 6),
        "garbage appended": packed + b"\x5a garbage \xa5" * 3,
        "4 KiB of zeros appended": packed + bytes(4096),
    }
