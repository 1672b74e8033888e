"""Examples and Records as protobuf objects, beside TensorFlow's and those of SageMaker's record.proto."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings

from recordio_bridge import Batch, Field, LossyError, MissingDependencyError, Schema, example, messages, sagemaker
from tests.test_sagemaker import batches

RECORD_PROTO = Path(__file__).parent / "golden" / "sagemaker" / "record_proto.bin"
POOL = descriptor_pool.DescriptorPool()
POOL.AddSerializedFile(RECORD_PROTO.read_bytes())
Record = message_factory.GetMessageClass(POOL.FindMessageTypeByName("aialgs.data.Record"))


def described(descriptor: object) -> dict[str, object]:
    """What a message type is on the wire, all the way down."""
    proto = descriptor_pb2.DescriptorProto()
    descriptor.CopyToProto(proto)
    own = sorted(
        (f.name, f.number, f.type, f.label, f.type_name.rpartition(".")[2], f.HasField("oneof_index"))
        for f in proto.field
    )
    below = [f.message_type for f in descriptor.fields if f.message_type is not None]
    entries = [n.options.map_entry for n in proto.nested_type]
    return {"fields": own, "entries": entries, "below": {each.name: described(each) for each in below}}


def test_record_is_that_of_record_proto() -> None:
    assert described(messages.Record.DESCRIPTOR) == described(Record.DESCRIPTOR)


def test_example_is_that_of_tensorflow() -> None:
    assert described(messages.Example.DESCRIPTOR) == described(tf.train.Example.DESCRIPTOR)


@settings(deadline=None, max_examples=200)
@given(batches())
def test_records_of_protobuf_have_our_bytes(batch: Batch) -> None:
    for payload, row in zip(sagemaker.encode(batch), batch.rows(), strict=False):
        message = Record.FromString(payload)
        if "label/" not in batch or "label/v" not in batch:  # protobuf's own order of "" and "v" is another
            assert message.SerializeToString(deterministic=True) == payload
        back = sagemaker.from_message(message, batch.schema)
        assert {n: np.asarray(v).tobytes() for n, v in back.items()} == {
            n: np.asarray(v).tobytes() for n, v in row.items()
        }


ROW = {
    "label": np.int64(-3),
    "scores": np.array([1.5, -2], np.float32),
    "image": b"\xff\xd8",
    "tags": [b"a", b""],
    "pixels": np.arange(6, dtype=np.uint8).reshape(2, 3),
}


def test_a_row_is_an_example_and_comes_back() -> None:
    message = example.to_message(ROW)
    assert message.features.feature["label"].int64_list.value == [-3]
    assert message.features.feature["scores"].float_list.value == [1.5, -2]
    assert message.features.feature["tags"].bytes_list.value == [b"a", b""]
    assert message.features.feature["pixels"].bytes_list.value == [bytes(range(6))]
    assert isinstance(message, messages.Example)
    back = example.from_message(message)
    assert (back["label"], back["image"], back["tags"]) == (-3, b"\xff\xd8", [b"a", b""])
    assert back["scores"].tolist() == [1.5, -2]
    whole = example.from_message(message, Schema(Field("pixels", "uint8", (2, 3)), Field("label", "int8")))
    assert whole["pixels"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert whole["label"].dtype == np.int8


def test_tensorflows_own_are_taken_and_take_ours() -> None:
    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[5]))
    theirs = tf.train.Example(features=tf.train.Features(feature={"x": feature}))
    assert example.from_message(theirs) == {"x": 5}
    ours = example.to_message({"x": 5})
    assert tf.train.Example.FromString(ours.SerializeToString()) == theirs
    assert type(ours) is not type(theirs)


def test_sagemakers_own_are_taken_and_take_ours() -> None:
    theirs = Record(uid="a")
    theirs.features["values"].float32_tensor.values.extend([1, 2])
    theirs.label["values"].int32_tensor.values.append(7)
    row = sagemaker.from_message(theirs)
    assert (row["uid"], row["features/values"].tolist(), row["label/values"]) == (b"a", [1, 2], 7)
    assert Record.FromString(sagemaker.to_message(row).SerializeToString()) == theirs


def test_a_batch_is_a_message_for_each_row() -> None:
    batch = Batch.of({"x": np.arange(3), "y": [b"a", b"b", b"c"]})
    made = example.to_messages(batch)
    assert [message.features.feature["x"].int64_list.value[0] for message in made] == [0, 1, 2]
    assert example.from_messages(made) == batch
    assert example.from_messages(made, batch.schema.pick(["y"])) == batch.pick(["y"])
    records = Batch.of({"features/v": np.ones((2, 3), np.float32)})
    assert sagemaker.from_messages(sagemaker.to_messages(records)) == records


def test_values_that_python_has_and_an_example_has_not() -> None:
    with pytest.raises(LossyError, match=r"'w' is float64.*numpy.float32.*schema=") as caught:
        example.to_message({"w": 0.5})
    assert caught.value.field == "w"
    message = example.to_message({"w": 0.5}, Schema(Field("w", "float32")))
    assert message.features.feature["w"].float_list.value == [0.5]
    assert example.to_message({"text": "é"}).features.feature["text"].bytes_list.value == ["é".encode()]
    assert example.to_message({"nothing": [], "none": np.empty(0)}) == messages.Example()
    assert sagemaker.to_message({"label/w": 0.5}).label["w"].float64_tensor.values == [0.5]


def test_messages_pickle() -> None:
    for message in (example.to_message(ROW), sagemaker.to_message({"uid": "a"})):
        assert pickle.loads(pickle.dumps(message)) == message


def test_without_protobuf_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "recordio_bridge.messages")
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    for function in (example.to_message, sagemaker.to_message):
        with pytest.raises(MissingDependencyError, match=r"pip install 'recordio_bridge\[protobuf\]'"):
            function({"x": 1})


@pytest.mark.parametrize("first", ["recordio_bridge.messages", "tensorflow"])
def test_both_can_be_imported_in_any_order(first: str) -> None:
    second = {"tensorflow": "recordio_bridge.messages"}.get(first, "tensorflow")
    code = (
        f"import {first}, {second}\nimport tensorflow as tf, recordio_bridge.messages as m\n"
        "print(m.Example.FromString(tf.train.Example().SerializeToString()) == m.Example())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
