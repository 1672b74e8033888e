"""tf.train.Example against protobuf (its class is TensorFlow's), and tf.io.parse_single_example beside them.

The rule for messages of any kind, tidy, odd or damaged. What ours decodes, protobuf parses, to the same kinds and
values: floats to the bit, but that every NaN is the same, as Python has them. What protobuf parses, ours decodes, with
one exception: an entry of the map in which a value stands twice. Protobuf merges the two; no writer makes such entries,
and readers disagree about them, so ours refuses. Keys must be UTF-8 to both; but where a key stands twice
in an entry, ours looks at the last one, which counts, and protobuf at both.

A second one, about which protobuf's own backends disagree: an entry with a field that is unknown. The one in C, upb,
does not have it in the map, but among what is unknown; the one in Python has it, as the specification asks for, and so
has ours. Where upb has such unknown fields, the one in Python is the witness.

A feature without a kind, and one that is an empty list of bytes, are the same to ours.

tf.io.parse_single_example is a third reader, with a parser of its own. It is asked about a part of what is equal;
where it disagrees with protobuf, ours is at one with protobuf, and that is counted but is no difference.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from recordio_bridge import Batch, Field, Ragged, Schema
from recordio_bridge.example import Survey, decode, encode
from tests.differential.damage import damaged
from tests.differential.messages import Values, bits, told_by
from tests.differential.told import Told
from tests.differential.trials import EQUAL, OURS_REFUSES, Trial, difference, ours, verdict
from tests.differential.witness import Died, Witness
from tests.formats.contract import random_column
from tests.native.messages import chunk, entry, group, tag, varint
from tests.reference.wire import LENGTH, read_fields

_KEYS = ["", "a", "ab", "b", "image/encoded", "é", "label"]
_INTS = [0, 1, -1, 127, 128, 16383, 16384, 2**31, -(2**31), 2**63 - 1, -(2**63)]
_DTYPES = ["bool", "int8", "uint16", "int32", "int64", "float16", "float32", "bytes"]
_KINDS = {"bytes": "bytes_list", "float32": "float_list", "int64": "int64_list"}
_TWO_VALUES = "an entry of the map has two values"


def compare_messages(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Rows that ours encodes, messages that protobuf encodes, odd ones that it would not, and damaged ones of all."""
    with (
        Witness("tests.differential.tensorflow_witness") as tensorflow,
        Witness("tests.differential.protobuf_witness", PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python") as protobuf,
    ):
        while True:
            yield from _encoded(chance)
            tidy, odd = _by_protobuf(chance), _odd(chance)
            for message, is_sound in ((tidy, True), (odd, True), (damaged(chance, tidy), False)):
                yield _decoded(message, is_sound, protobuf, None)
            for _ in range(3):
                yield _decoded(damaged(chance, odd), False, protobuf, tensorflow if chance.random() < 0.1 else None)


# ---- what ours encodes ----


def _encoded(chance: random.Random) -> Iterator[Trial]:
    rng = np.random.default_rng(chance.randrange(2**32))
    fields = [
        Field(name, chance.choice(_DTYPES), chance.choice([(), (2,), (None,)]))
        for name in chance.sample(_KEYS, chance.randrange(len(_KEYS)))
    ]
    columns = {field.name: random_column(field, 3, rng) for field in fields}
    batch = Batch.of(columns, Schema(*fields)) if fields else Batch({}, Schema(), num_rows=3)
    for row, message in enumerate(encode(batch)):
        expected = {field.name: _values(field, columns[field.name][row]) for field in fields}
        expected = {name: told for name, told in expected.items() if told[1]}
        found = tf.train.Example.FromString(message)
        wrong = "" if told_by(found) == expected else "protobuf parses other values than ours encoded"
        if not wrong and expected and not _some_begins_another(list(expected)):
            found.features.SetInParent()
            if found.SerializeToString(deterministic=True) != message:
                wrong = "protobuf encodes the same values to other bytes"
        yield Trial(message, True, EQUAL, wrong)


def _some_begins_another(names: list[str]) -> bool:
    """There protobuf's C backend puts the longer key first."""
    keys = [name.encode() for name in names]
    return any(one is not other and other.startswith(one) for one in keys for other in keys)


def _values(field: Field, value: Any) -> tuple[str, list[Any]]:
    if field.dtype == "bytes":
        return "bytes_list", [value] if field.shape == () else list(value)
    if field.dtype.startswith("float"):
        return "float_list", bits(np.asarray(value).reshape(-1).astype(np.float32))
    return "int64_list", [int(number) for number in np.asarray(value).reshape(-1)]


# ---- what others encode ----


def _by_protobuf(chance: random.Random) -> bytes:
    """A message of protobuf itself, its keys in the order of its hash or sorted."""
    message = tf.train.Example()
    for name in chance.sample(_KEYS, chance.randrange(len(_KEYS))):
        feature, count = message.features.feature[name], chance.choice([0, 1, 1, 2, 5, 20])
        kind = chance.choice(["bytes", "float", "int64", "none"])
        if kind == "bytes":
            feature.bytes_list.value.extend(chance.randbytes(chance.randrange(6)) for _ in range(count))
        elif kind == "float":
            feature.float_list.value.extend(struct.unpack("<f", chance.randbytes(4))[0] for _ in range(count))
        elif kind == "int64":
            feature.int64_list.value.extend(_integer(chance) for _ in range(count))
        if kind != "none" and not count:
            getattr(feature, f"{kind}_list").SetInParent()
    encoded: bytes = message.SerializeToString(deterministic=chance.random() < 0.5)
    return encoded


def _integer(chance: random.Random) -> int:
    return chance.choice([chance.choice(_INTS), chance.randrange(-200, 200), chance.randrange(-(2**63), 2**63)])


def _odd(chance: random.Random) -> bytes:
    """A message as no tidy writer makes it: unpacked and cut lists, lengths with spare bytes, what comes twice."""
    parts = [chunk(1, _mixed(chance, _entry, 1), _spare(chance)) for _ in range(chance.choice([0, 1, 1, 1, 2]))]
    return b"".join(_scattered(chance, parts, 1))


def _mixed(chance: random.Random, field: Callable[[random.Random], bytes], known: int) -> bytes:
    return b"".join(_scattered(chance, [field(chance) for _ in range(chance.choice([0, 1, 1, 2, 3]))], known))


def _scattered(chance: random.Random, fields: list[bytes], known: int) -> list[bytes]:
    """The fields with, now and then, one between them that must be passed over."""
    return [piece for field in [*fields, b""] for piece in (_unknown(chance, known), field)]


def _unknown(chance: random.Random, known: int, depth: int = 0) -> bytes:
    if chance.random() < 0.85:
        return b""
    number = chance.choice([known + 3, 15, 16, 2047, 2**29 - 1])
    wire = chance.choice([0, 1, 2, 5, 3] if depth < 3 else [0, 1, 2, 5])
    number = known if wire in (1, 3) and chance.random() < 0.5 else number  # no field is 8 bytes wide, or a group
    if wire == 0:
        long_tag = varint(number << 3, chance.choice([0, 0, 4, 6]))  # readers stop at tags of more than five bytes
        return long_tag + varint(chance.getrandbits(64), _spare(chance))
    if wire == 2:
        return chunk(number, chance.randbytes(chance.randrange(6)))
    if wire == 3:
        return group(number, _unknown(chance, known, depth + 1))
    return tag(number, wire) + chance.randbytes(8 if wire == 1 else 4)


def _spare(chance: random.Random) -> int:
    return chance.choice([0, 0, 0, 0, 1, 4, 9])


def _entry(chance: random.Random) -> bytes:
    key = chance.choice(_KEYS).encode() if chance.random() < 0.95 else b"\xff" + chance.randbytes(2)
    feature = _mixed(chance, _list, 3) if chance.random() < 0.3 else _list(chance)
    if chance.random() < 0.7:
        return entry(key, feature)
    fields = chance.choices([chunk(1, key), chunk(2, feature), chunk(1, b"a")], k=chance.randrange(4))
    return chunk(1, b"".join(_scattered(chance, fields, 2)), _spare(chance))


def _list(chance: random.Random) -> bytes:
    kind = chance.randrange(4)
    return chunk(kind, _mixed(chance, _VALUES[kind], 1), _spare(chance)) if kind else b""


def _bytes_value(chance: random.Random) -> bytes:
    return chunk(1, chance.randbytes(chance.randrange(6)), _spare(chance))


def _float_value(chance: random.Random) -> bytes:
    packed = chunk(1, chance.randbytes(4 * chance.randrange(4)))
    return packed if chance.random() < 0.5 else tag(1, 5) + chance.randbytes(4)


def _int_value(chance: random.Random) -> bytes:
    values = [varint(_integer(chance), _spare(chance)) for _ in range(chance.randrange(4))]
    return chunk(1, b"".join(values)) if chance.random() < 0.5 else b"".join(tag(1, 0) + value for value in values)


_VALUES = {1: _bytes_value, 2: _float_value, 3: _int_value}


# ---- reading ----


def _decoded(message: bytes, is_sound: bool, protobuf: Witness, tensorflow: Witness | None) -> Trial:
    mine, its = ours(lambda: _by_ours(message)), _parsed(message)
    if isinstance(its, UnknownEntries):
        its = protobuf.ask("parse", message)
        wrong = difference(mine, its, lambda: _TWO_VALUES in str(mine.error))
        return Trial(message, is_sound, "unlike upb, and equal to protobuf in Python", wrong)
    if its.error is not None and mine.error is None and _has_odd_key(message):
        return Trial(message, is_sound, "only ours takes, as a key is replaced that is not UTF-8")
    wrong = difference(mine, its, lambda: _TWO_VALUES in str(mine.error))
    told = verdict(mine, its)
    if told == OURS_REFUSES:
        told = "only ours refuses, as two values stand in an entry"
    if tensorflow is not None and not wrong and told == EQUAL and not _agrees(tensorflow, message, its.rows[0]):
        told = "equal, and unlike tf.io.parse_single_example"
    return Trial(message, is_sound, told, wrong)


def _by_ours(message: bytes) -> Iterator[Values]:
    payloads, survey = Ragged.of([message]), Survey()
    survey.add(payloads)
    schema = survey.schema()
    (row,) = decode(payloads, schema).rows()
    yield {name: (_KINDS[field.dtype], _values(field, row[name])[1]) for name, field in schema.items()}


class UnknownEntries:
    """What upb tells of a message in which it does not know an entry of the map."""


def _parsed(message: bytes) -> Told | UnknownEntries:
    try:
        parsed = tf.train.Example.FromString(message)
    except DecodeError as err:
        return Told([], str(err))
    if any(field.field_number == 1 for field in UnknownFieldSet(parsed.features)):
        return UnknownEntries()
    return Told([told_by(parsed)])


def _has_odd_key(message: bytes) -> bool:
    """Whether an entry has two keys or more, of which one but the last is not UTF-8."""
    data = memoryview(message)
    for features in _chunks(data, 0, len(data)):
        for entry_ in _chunks(data, *features):
            keys = [bytes(data[start:end]) for start, end in _chunks(data, *entry_)]
            if any(key.decode(errors="ignore").encode() != key for key in keys[:-1]):
                return True
    return False


def _chunks(data: memoryview, start: int, end: int) -> list[tuple[int, int]]:
    """The first field of a message, as often as it comes."""
    fields = read_fields(data, start, end)
    return [(field.start, field.end) for field in fields if (field.number, field.wire) == (1, LENGTH)]


def _agrees(tensorflow: Witness, message: bytes, values: Values) -> bool:
    kinds = {key: kind for key, (kind, _) in values.items()}
    if not kinds:
        return True  # it refuses to look for nothing
    try:
        found = tensorflow.ask("parse", message, kinds)
    except Died:
        return False
    if isinstance(found, str):
        return False
    told = {
        key: bits(np.frombuffer(one[0], np.float32)) if kinds[key] == "float_list" else one
        for key, one in found.items()
    }
    return told == {key: one for key, (_, one) in values.items()}
