"""tf.train.Example and SageMaker's Record as protobuf objects, for those who want them. The only importer of protobuf.

    message = example.to_message(row)           and sagemaker.to_message: see codec.py
    row = example.from_message(message)

The classes Example and Record are made here, with the names and numbers of feature.proto, example.proto and
record.proto, in a pool of their own: TensorFlow and SageMaker's SDK may register theirs in the same process. To them
ours are other types with the same bytes: tf.train.Example.FromString(message.SerializeToString()). The other way they
are taken as they are.

Specification: tensorflow/core/example/{feature,example}.proto; sagemaker-python-sdk, src/sagemaker/amazon/record.proto.
"""

from __future__ import annotations

from .errors import MissingDependencyError

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import Message
except ImportError as err:
    raise MissingDependencyError.for_extra("protobuf", "protobuf", "an Example or a Record as an object") from err

_PACKAGE = "recordio_bridge"
# A field is name, number, type: "*" repeated, "|" one of several, "{}" the value of a map with text for keys.
_PROTOS = {
    "proto3": {
        "BytesList": [("value", 1, "*bytes")],
        "FloatList": [("value", 1, "*float")],
        "Int64List": [("value", 1, "*int64")],
        "Feature": [("bytes_list", 1, "|BytesList"), ("float_list", 2, "|FloatList"), ("int64_list", 3, "|Int64List")],
        "Features": [("feature", 1, "{}Feature")],
        "Example": [("features", 1, "Features")],
    },
    "proto2": {
        "Float32Tensor": [("values", 1, "*float"), ("keys", 2, "*uint64"), ("shape", 3, "*uint64")],
        "Float64Tensor": [("values", 1, "*double"), ("keys", 2, "*uint64"), ("shape", 3, "*uint64")],
        "Int32Tensor": [("values", 1, "*int32"), ("keys", 2, "*uint64"), ("shape", 3, "*uint64")],
        "Bytes": [("value", 1, "*bytes"), ("content_type", 2, "string")],
        "Value": [
            ("float32_tensor", 2, "|Float32Tensor"),
            ("float64_tensor", 3, "|Float64Tensor"),
            ("int32_tensor", 7, "|Int32Tensor"),
            ("bytes", 9, "|Bytes"),
        ],
        "Record": [
            ("features", 1, "{}Value"),
            ("label", 2, "{}Value"),
            ("uid", 3, "string"),
            ("metadata", 4, "string"),
            ("configuration", 5, "string"),
        ],
    },
}
_Field = descriptor_pb2.FieldDescriptorProto


def _add_field(message: descriptor_pb2.DescriptorProto, name: str, number: int, type_: str) -> None:
    """Declare a field as the table says it."""
    bare = type_.lstrip("*|{}")
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if type_.startswith(("*", "{}")):
        field.label = _Field.LABEL_REPEATED
    if type_.startswith("|"):
        field.oneof_index = 0
        if not message.oneof_decl:
            message.oneof_decl.add(name="kind" if message.name == "Feature" else "value")
    if bare.islower():
        field.type = _Field.Type.Value(f"TYPE_{bare.upper()}")
        if type_.startswith("*") and bare != "bytes":
            field.options.packed = True
        return
    field.type = _Field.TYPE_MESSAGE
    field.type_name = f".{_PACKAGE}.{bare}"
    if type_.startswith("{}"):
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, bare)
        entry.options.map_entry = True
        field.type_name = f".{_PACKAGE}.{message.name}.{entry.name}"


def _make_classes() -> dict[str, type[Message]]:
    """The classes of all messages of the table, by name."""
    pool = descriptor_pool.DescriptorPool()
    for syntax, messages in _PROTOS.items():
        file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}/{syntax}.proto", package=_PACKAGE, syntax=syntax)
        for name, fields in messages.items():
            message = file.message_type.add(name=name)
            for field in fields:
                _add_field(message, *field)
        pool.Add(file)
    names = [name for messages in _PROTOS.values() for name in messages]
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in names}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


_CLASSES = _make_classes()
Example = _CLASSES["Example"]
Record = _CLASSES["Record"]
