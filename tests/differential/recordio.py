"""RecordIO against mxnet 1.9.1: files both ways, indexed files, image headers, and damaged ones of each.

The rule for damaged files. Records of ours, up to an error, are the first ones of mxnet. Where ours has no error, mxnet
has none, and the same records. Where mxnet has none and ours has one, mxnet has made records up, or left some out: the
parts of the file, by their lengths, are no row of whole records. mxnet takes a part with flag 2 or 3 for a new record,
flags from 4 on for 2, a first part for a middle one, and what is open at the end for nothing.

An .idx is taken by ours as by mxnet, or refused; what its keys lead to, likewise. mxnet takes a key at the end of the
file, or at parts without a beginning, and then tells of no record, or of one that nobody wrote: errors in ours. So is
a record behind which the index lists another where none begins: one of its parts may be lost. Text
keys with blanks before them, which mxnet drops, with a carriage return, where it begins a line, and those that are not
UTF-8, at which it ends, are compared with nothing: ours takes them as they were written.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import recordio_bridge as rb
from recordio_bridge import Field, Schema, mxrecordio
from tests.differential.damage import damaged
from tests.differential.told import Told
from tests.differential.trials import EQUAL, OURS_REFUSES, Trial, difference, ours, verdict
from tests.differential.witness import Died, Witness
from tests.formats.frames import MAGIC, image_header, part

RAW = Schema(Field("record", "bytes"))
_SEQUENCE = re.compile(b"(\0|\1\2*\3)*")  # of the flags of whole records
_KEY_TYPES = {"int": int, "str": str}
_NO_MXNET = Told([], "mxnet ended its process")


def compare_files(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Sound and damaged .rec files, one of the first to five of the others."""
    with Witness("tests.differential.mxnet_witness") as mxnet:
        while True:
            records = payloads(chance)
            yield _written(mxnet, folder, records)
            data = (folder / "theirs.rec").read_bytes()
            for _ in range(5):
                yield _damaged_file(mxnet, folder, damaged(chance, data, heads(data)))


def payloads(chance: random.Random) -> list[bytes]:
    """Records of lengths around multiples of 4, many with the magic in them, at any place."""
    count = chance.choice([0, 1, 1, 2, 2, 3, 3, 5, 5, 8, 8, 40, chance.randrange(300)])
    return [_payload(chance) for _ in range(count)]


def _payload(chance: random.Random) -> bytes:
    kind = chance.random()
    size = max(0, 4 * chance.randrange(12) + chance.choice([-1, 0, 1]))
    if kind < 0.4:
        return chance.randbytes(size)
    if kind < 0.75:
        pieces = [MAGIC, MAGIC, MAGIC[:3], MAGIC[1:], b"", chance.randbytes(4), chance.randbytes(chance.randrange(9))]
        return b"".join(chance.choices(pieces, k=chance.randrange(7)))
    if kind < 0.8:  # a payload that is a file itself
        return part(chance.choice([0, 1, 2, 3]), chance.randbytes(size))
    if kind < 0.81:
        return chance.randbytes(chance.randrange(1 << 16)) + MAGIC * chance.randrange(3)
    return bytes(size)


def heads(data: bytes) -> list[int]:
    """Where the magic lies in a file, in its heads or elsewhere."""
    return [found.start() for found in re.finditer(re.escape(MAGIC), data)]


def raw_rows(path: Path) -> Iterator[bytes]:
    """The payloads that rb.read tells, those before an error as well."""
    for batch in rb.read(path, batch_rows=7, payload="raw", index=""):
        yield from batch["record"]


def drop_in_rows(path: Path) -> Iterator[bytes]:
    """Those that our MXRecordIO tells."""
    reader = mxrecordio.MXRecordIO(path, "r")
    yield from iter(reader.read, None)


def _written(mxnet: Witness, folder: Path, records: list[bytes]) -> Trial:
    """The same bytes by three writers, and the same records by three readers."""
    theirs, mine, drop_in = (folder / name for name in ("theirs.rec", "ours.rec", "drop-in.rec"))
    mxnet.ask("write", str(theirs), records)
    rb.write(mine, {"record": records}, RAW, overwrite=True)
    writer = mxrecordio.MXRecordIO(drop_in, "w")
    for record in records:
        writer.write(record)
    writer.close()
    data = theirs.read_bytes()
    wrong = []
    if mine.read_bytes() != data or drop_in.read_bytes() != data:
        wrong.append("the files that are written differ")
    if ours(lambda: raw_rows(theirs)) != Told(records) or ours(lambda: drop_in_rows(theirs)) != Told(records):
        wrong.append("ours reads other records than mxnet wrote")
    if mxnet.ask("read", str(mine)) != Told(records):
        wrong.append("mxnet reads other records than ours wrote")
    return Trial(data, True, EQUAL, "; ".join(wrong))


def _damaged_file(mxnet: Witness, folder: Path, data: bytes) -> Trial:
    path = folder / "damaged.rec"
    path.write_bytes(data)
    its = _asked(mxnet, "read", str(path))
    read, drop_in = ours(lambda: raw_rows(path)), ours(lambda: drop_in_rows(path))

    def may_refuse() -> bool:
        return not has_whole_records(data)

    wrong = difference(read, its, may_refuse) or difference(drop_in, its, may_refuse)
    if not wrong and (read.error is None) != (drop_in.error is None):
        wrong = f"rb.read ends with {read.error!r}, MXRecordIO with {drop_in.error!r}"
    return Trial(data, False, verdict(read, its), wrong)


def has_whole_records(data: bytes) -> bool:
    """Whether the parts of a file, led by their lengths alone, are whole records to the end."""
    flags, at = bytearray(), 0
    while at < len(data):
        if at + 8 > len(data) or data[at : at + 4] != MAGIC:
            return False
        (word,) = struct.unpack_from("<I", data, at + 4)
        flags.append(word >> 29)
        at += 8 + ((word & 0x1FFFFFFF) + 3 & ~3)
    return at == len(data) and _SEQUENCE.fullmatch(flags) is not None


def _asked(mxnet: Witness, function: str, *arguments: Any) -> Any:
    try:
        return mxnet.ask(function, *arguments)
    except Died:
        return _NO_MXNET


# ---- .idx ----


def compare_indexed(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Sound files with an index, then with one of the two damaged, one to four."""
    with Witness("tests.differential.mxnet_witness") as mxnet:
        while True:
            records = [_payload(chance) for _ in range(chance.choice([1, 2, 5, 30]))]
            key_type = chance.choice(["int", "str"])
            keys = _keys(chance, key_type, len(records))
            yield _written_indexed(mxnet, folder, key_type, keys, records, chance)
            index, data = (folder / "theirs.idx").read_bytes(), (folder / "theirs.rec").read_bytes()
            for _ in range(2):
                yield _damaged_indexed(mxnet, folder, key_type, damaged(chance, index), data)
                yield _damaged_indexed(mxnet, folder, key_type, index, damaged(chance, data, heads(data)))


def _keys(chance: random.Random, key_type: str, count: int) -> list[Any]:
    numbers = chance.sample(range(2 * count), count) if chance.random() < 0.5 else chance.sample(range(2**60), count)
    return [f"a b/{number} é.jpg" for number in numbers] if key_type == "str" else numbers


def _written_indexed(
    mxnet: Witness, folder: Path, key_type: str, keys: list[Any], records: list[bytes], chance: random.Random
) -> Trial:
    theirs, mine = ((folder / f"{who}.idx", folder / f"{who}.rec") for who in ("theirs", "ours"))
    mxnet.ask("write_indexed", *map(str, theirs), keys, records, key_type)
    writer = mxrecordio.MXIndexedRecordIO(*mine, "w", key_type=_KEY_TYPES[key_type])
    for key, record in zip(keys, records, strict=True):
        writer.write_idx(key, record)
    writer.close()
    wrong = []
    if any(one.read_bytes() != other.read_bytes() for one, other in zip(mine, theirs, strict=True)):
        wrong.append("the files that are written differ")
    shuffled = chance.sample(keys, len(keys))
    expected = [Told([records[keys.index(key)]]) for key in shuffled]
    if mxnet.ask("read_indexed", *map(str, mine), key_type, shuffled)[1] != expected:
        wrong.append("mxnet reads other records at the keys that ours wrote")
    if _read_indexed(*theirs, key_type, shuffled)[1] != expected:
        wrong.append("ours reads other records at the keys that mxnet wrote")
    rows = [row for batch in rb.read(theirs[1], payload="raw") for row in batch.rows()]
    found = [row["key"].decode() if key_type == "str" else int(row["key"]) for row in rows if "key" in row]
    is_told = keys != list(range(len(keys)))  # those are numbers of records, and no field
    if found != (keys if is_told else []) or [row["record"] for row in rows] != records:
        wrong.append("rb.read tells other keys, or records, than mxnet wrote")
    return Trial(theirs[0].read_bytes() + b"\n" + theirs[1].read_bytes(), True, EQUAL, "; ".join(wrong))


def _read_indexed(index: Path, path: Path, key_type: str, keys: list[Any] | None) -> tuple[Told, list[Told]]:
    """As mxnet_witness.read_indexed, by ours."""
    try:
        reader = mxrecordio.MXIndexedRecordIO(index, path, "r", key_type=_KEY_TYPES[key_type])
    except rb.BridgeError as err:
        return Told([], str(err)), []
    found = Told([(key, reader.idx[key]) for key in reader.keys])

    def record_at(key: object) -> Iterator[bytes | None]:
        yield reader.read_idx(key)

    records = [ours(lambda key=key: record_at(key)) for key in (reader.keys if keys is None else keys)]
    reader.close()
    return found, records


def _damaged_indexed(mxnet: Witness, folder: Path, key_type: str, index: bytes, data: bytes) -> Trial:
    paths = folder / "damaged.idx", folder / "damaged.rec"
    for path, content in zip(paths, (index, data), strict=True):
        path.write_bytes(content)
    content = index + b"\n" + data
    mine, my_records = _read_indexed(*paths, key_type, None)
    told = _asked(mxnet, "read_indexed", *map(str, paths), key_type, None)
    its, its_records = (told, []) if isinstance(told, Told) else told
    if key_type == "str" and mine.error is None and not _is_plain_text(index):
        return Trial(content, False, "keys that mxnet cannot read back")
    wrong = difference(mine, its, lambda: True)
    if wrong or mine.error is not None:
        return Trial(content, False, verdict(mine, its), wrong)
    refused, listed = 0, [at for _, at in mine.rows]
    for (key, offset), one, other in zip(mine.rows, my_records, its_records, strict=True):
        wrong = difference(one, other, lambda at=offset: not _fits(data, at, listed))
        if wrong:
            return Trial(content, False, EQUAL, f"key {key!r} at byte {offset}: {wrong}")
        refused += one.error is not None and other.error is None
    return Trial(content, False, OURS_REFUSES if refused else EQUAL)


def _is_plain_text(index: bytes) -> bool:
    """Whether all lines are UTF-8, without blanks at their beginning, and without a further kind of line break."""
    try:
        lines = index.decode().split("\n")
    except UnicodeDecodeError:
        return False
    return "\r" not in index.decode() and all(line == line.lstrip() for line in lines)


def _fits(data: bytes, at: int, listed: list[int]) -> bool:
    """Whether a whole record begins there, and, at the next place behind it that the index lists, another."""
    end = _end_of_record(data, at)
    if end is None:
        return False
    following = min((each for each in listed if each >= end), default=end)
    head = data[following : following + 8]
    return following == end or (len(head) == 8 and head.startswith(MAGIC) and head[-1] >> 5 in (0, 1))


def _end_of_record(data: bytes, at: int) -> int | None:
    """Where the whole record ends that begins there; None where none does."""
    flags = bytearray()
    while at + 8 <= len(data) and data[at : at + 4] == MAGIC:
        (word,) = struct.unpack_from("<I", data, at + 4)
        flags.append(word >> 29)
        at += 8 + ((word & 0x1FFFFFFF) + 3 & ~3)
        if _SEQUENCE.fullmatch(flags):
            return at if at <= len(data) else None
    return None


# ---- image headers ----


def compare_headers(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """pack and unpack: what both make of headers, then of records that are damaged, one to three."""
    with Witness("tests.differential.mxnet_witness") as mxnet:
        while True:
            content = chance.randbytes(chance.choice([0, 1, 4, 30]))
            header = (chance.randrange(2**32), _label(chance), _wide(chance), _wide(chance))
            record = mxnet.ask("pack", header, content)
            wrong = "" if mxrecordio.pack(header, content) == record else "pack makes another record"
            yield Trial(record, True, EQUAL, wrong or _unpacked(mxnet, record).difference)
            for _ in range(2):
                yield _unpacked(mxnet, damaged(chance, record, [0, 24]))
            flag = chance.choice([0, 1, 2, 7, 2**31, 2**32 - 1])
            bare = image_header(flag, 1.5, 3, 4) + content
            yield _unpacked(mxnet, bare[: chance.choice([len(bare), chance.randrange(len(bare) + 1)])])


def _label(chance: random.Random) -> float | list[float]:
    def one() -> float:
        numbers = [0.0, 1.5, -0.0, 1e39, float("nan"), float("-inf"), float(2**24 + 1)]
        return chance.choice([*numbers, chance.uniform(-1e9, 1e9)])

    return one() if chance.random() < 0.5 else [one() for _ in range(chance.randrange(6))]


def _wide(chance: random.Random) -> int:
    return chance.choice([0, 1, 2**32, 2**63, 2**64 - 1, chance.randrange(2**64)])


def _unpacked(mxnet: Witness, record: bytes) -> Trial:
    def unpack() -> Iterator[Any]:
        header, content = mxrecordio.unpack(record)
        label = header.label if isinstance(header.label, float) else [header.label.tobytes()]
        yield header.flag, repr(label), header.id, header.id2, content

    mine, its = ours(unpack), _asked(mxnet, "unpack", record)
    return Trial(record, False, verdict(mine, its), difference(mine, its, lambda: False))
