"""The twins and the kernels against the libraries that own the formats: mxnet, TensorFlow, protobuf."""

from __future__ import annotations

import random
import struct
import warnings
from types import ModuleType

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recordio_bridge import _kernels
from tests import reference
from tests.native.agreement import block_of, room, scan, values_of
from tests.native.messages import LISTS, examples
from tests.native.strategies import damaged, payload_lists
from tests.native.test_example_kernels import columns_of, count, encode, fill, find
from tests.native.test_recordio_kernels import framed
from tests.native.test_survey_kernel import survey_all
from tests.oracles import import_mxnet
from tests.reference.wire import LENGTH, WireField, read_fields

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow as tf
    from google.protobuf.message import DecodeError

mxnet = import_mxnet()
BOTH = [_kernels, reference]


def many_payloads() -> list[bytes]:
    """Payloads with magics on and off the 4-byte boundaries, more than Hypothesis draws in a test."""
    source = random.Random(7)
    fragments = [b"\x0a\x23\xd7\xce", b"abcd", b"x", b"\x0a\x23", b"\xd7\xce", bytes(4)]
    return [b"".join(source.choices(fragments, k=source.randrange(12))) for _ in range(500)]


class TestRecordIO:
    def test_mxnet_reads_what_the_twin_frames_and_writes_the_same_bytes(self, tmp_path):
        payloads = many_payloads()
        ours = framed(*payloads)
        (tmp_path / "ours.rec").write_bytes(ours)
        reader = mxnet.recordio.MXRecordIO(str(tmp_path / "ours.rec"), "r")
        assert [reader.read() for _ in payloads] == payloads
        assert reader.read() is None
        reader.close()
        writer = mxnet.recordio.MXRecordIO(str(tmp_path / "theirs.rec"), "w")
        for payload in payloads:
            writer.write(payload)
        writer.close()
        theirs = (tmp_path / "theirs.rec").read_bytes()
        assert theirs == ours
        for module in BOTH:
            answer = scan(module, "scan_recordio", theirs, 0, len(theirs), True, len(payloads) + 1)
            assert answer["payloads"] == payloads


class TestTFRecord:
    def test_tensorflow_reads_what_the_twin_frames_and_writes_the_same_bytes(self, tmp_path):
        payloads = many_payloads()
        out, heads = block_of(bytes(sum(16 + len(payload) for payload in payloads))), room(len(payloads))
        assert reference.frame_tfrecord(values_of(payloads), 0, out, heads) == (len(payloads), len(out), reference.OK)
        (tmp_path / "ours").write_bytes(out.tobytes())
        assert list(tf.data.TFRecordDataset(str(tmp_path / "ours")).as_numpy_iterator()) == payloads
        with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
            for payload in payloads:
                writer.write(payload)
        theirs = (tmp_path / "theirs").read_bytes()
        assert theirs == out.tobytes()
        for module in BOTH:
            answer = scan(module, "scan_tfrecord", theirs, 0, len(theirs), True, len(payloads) + 1)
            assert answer["payloads"] == payloads


def values_by_protobuf(example: tf.train.Example) -> dict[bytes, tuple[int, list]]:
    """Kind and values of every feature: floats as their bits."""
    found = {}
    for key, feature in example.features.feature.items():
        name = feature.WhichOneof("kind")
        values = list(getattr(feature, name).value) if name else []
        if name == "float_list":
            values = np.array(values, np.float32).tobytes()
        found[key.encode()] = (LISTS[name.removesuffix("_list")] if name else reference.NO_KIND, values)
    return found


def values_by_kernels(module: ModuleType, payload: bytes, keys: list[bytes]) -> dict[bytes, tuple[int, list]]:
    found = {}
    spans = find(module, values_of([payload]), keys)["found"]
    for key, (start, length) in zip(keys, spans, strict=True):
        if start == -1:
            continue
        feature = (payload, np.array([start]), np.array([length]))
        counted = count(module, feature)
        kind, number = counted["kinds"][0], counted["counts"][0]
        values: object = []
        if kind == reference.BYTES:
            _, starts, lengths = fill(module, feature, kind, number)
            values = [payload[s : s + n] for s, n in zip(starts, lengths, strict=True)]
        elif kind == reference.FLOAT:
            values = fill(module, feature, kind, number)[1]
        elif kind == reference.INT64:
            values = list(struct.unpack(f"<{number}q", fill(module, feature, kind, number)[1]))
        found[key] = (kind, values)
    return found


def are_quiet(values: dict) -> bool:
    """Whether all floats survive a float of Python, which changes signalling NaNs."""
    floats = b"".join(content for kind, content in values.values() if kind == reference.FLOAT)
    bits = np.frombuffer(floats, np.uint32) & 0x7FC00000
    return not np.any((bits & 0x7F800000 == 0x7F800000) & (bits & 0x00400000 == 0))


class TestExamples:
    @settings(deadline=None, max_examples=300)
    @given(st.one_of(examples, damaged(examples)))
    def test_protobuf_and_the_kernels_read_the_same_or_refuse_the_same(self, payload):
        try:
            expected = values_by_protobuf(tf.train.Example.FromString(payload))
        except DecodeError:
            expected = None
        for module in BOTH:
            verdict = judge(module, payload)
            if verdict == reference.REPEATED_VALUE:
                continue  # protobuf merges the two; we refuse to
            if expected is None:
                if verdict == reference.OK:
                    # protobuf also looks into values that a later entry replaces, and demands keys of UTF-8
                    has_replaced = len(entries_of(payload)) > len(all_keys(module, payload))
                    assert has_replaced or not is_text(module, payload)
                continue
            assert verdict == reference.OK
            if any(not is_known(field, 1, 2) for fields in entries_of(payload) for field in fields):
                continue  # protobuf's upb sets entries with strangers aside, its other implementations do not
            found = values_by_kernels(module, payload, all_keys(module, payload))
            assert found.keys() == expected.keys()
            if are_quiet(found):
                assert found == expected

    @settings(deadline=None, max_examples=150)
    @given(st.data())
    def test_protobuf_reads_back_what_is_encoded(self, data):
        columns = [
            (f"{number}{key.hex()}".encode(), kind, dtype, values, lists)
            for number, (key, kind, dtype, values, lists) in enumerate(data.draw(columns_of(2)))
        ]
        answers = [encode(module, columns, 20_000) for module in BOTH]
        assert answers[0] == answers[1]
        for payload in answers[0]["payloads"]:
            example = tf.train.Example.FromString(payload)
            # Keys that are no prefix of each other: protobuf sorts them as we were given them
            assert example.SerializeToString(deterministic=True) == payload
            keys = [column[0] for column in columns]
            assert values_by_kernels(_kernels, payload, keys).keys() == values_by_protobuf(example).keys()

    @settings(deadline=None, max_examples=50)
    @given(payload_lists)
    def test_values_of_bytes_survive_the_way_through_protobuf(self, payloads):
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=payloads))
        payload = tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString()
        for module in BOTH:
            assert values_by_kernels(module, payload, [b"x"]) == {b"x": (reference.BYTES, payloads)}


def is_known(field: WireField, *numbers: int) -> bool:
    return field.wire == LENGTH and field.number in numbers


def entries_of(payload: bytes) -> list[list[WireField]]:
    """The fields of every entry of the map, in a sound Example."""
    data = memoryview(payload)
    return [
        list(read_fields(data, entry.start, entry.end))
        for features in read_fields(data, 0, len(data))
        if is_known(features, 1)
        for entry in read_fields(data, features.start, features.end)
        if is_known(entry, 1)
    ]


def all_keys(module: ModuleType, payload: bytes) -> list[bytes]:
    """The keys of an Example, found by asking for the ones that are not known yet."""
    return survey_all(module, values_of([payload]))["keys"]


def judge(module: ModuleType, payload: bytes) -> int:
    """The first fault of an Example with all its features, OK if it has none."""
    surveyed = survey_all(module, values_of([payload]))
    answer = find(module, values_of([payload]), surveyed["keys"])
    faults = [answer["fault"]]
    for start, length in answer["found"]:
        faults.append(count(module, (payload, np.array([start]), np.array([length])))["fault"])
    fault = next(filter(None, faults), reference.OK)
    assert surveyed["fault"] == fault
    return fault


def is_text(module: ModuleType, payload: bytes) -> bool:
    """Whether all keys are UTF-8, which protobuf demands and the kernels leave to Python."""
    try:
        for key in all_keys(module, payload):
            key.decode()
    except UnicodeDecodeError:
        return False
    return True
