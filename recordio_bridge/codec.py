"""Rows and Batches to protobuf messages and back, by way of their bytes: to_message & co of example and sagemaker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from .batch import Batch, Ragged, Row
from .errors import LossyError
from .schema import Schema

if TYPE_CHECKING:
    from google.protobuf.message import Message


class Serializable(Protocol):
    """A message of ours, of TensorFlow, or of SageMaker's SDK."""

    def SerializeToString(self) -> bytes: ...


class Survey(Protocol):
    """Looks at messages to infer their schema."""

    def add(self, payloads: Ragged) -> None: ...
    def schema(self) -> Schema: ...


class Codec:
    """Makes messages of one kind (see messages.py), and reads them; protobuf is imported when the first is made."""

    def __init__(
        self,
        kind: Literal["Example", "Record"],
        encode: Callable[[Batch], Ragged],
        decode: Callable[[Ragged, Schema], Batch],
        survey: Callable[[], Survey],
    ) -> None:
        self._kind, self._encode, self._decode, self._survey = kind, encode, decode, survey

    def _class(self) -> type[Message]:
        from .messages import Example, Record

        return Example if self._kind == "Example" else Record

    def to_messages(self, batch: Batch) -> list[Message]:
        """A protobuf message for each row: a tf.train.Example, or a Record; MissingDependencyError without protobuf."""
        kind = self._class()
        return [kind.FromString(payload) for payload in self._encode(batch)]

    def to_message(self, row: Mapping[str, object], schema: Schema | None = None) -> Message:
        """The protobuf message of one row: a tf.train.Example, or a Record (see messages.py).

        Args:
            row: as RecordFile and Batch.rows() give it; or any numbers, texts, bytes and lists of them.
            schema: what the fields are; None takes what the values say, and leaves out an empty list.

        Raises:
            MissingDependencyError: protobuf is not installed.
            SchemaError, LossyError: a value that the message cannot hold.
        """
        kind = self._class()
        columns = {name: [value] for name, value in row.items() if schema is not None or not _is_empty_list(value)}
        batch = Batch.of(columns, schema)
        if schema is None and self._kind == "Example":
            _refuse_float64(batch.schema)
        return self.to_messages(batch)[0] if columns else kind()

    def from_messages(self, messages: Iterable[Serializable], schema: Schema | None = None) -> Batch:
        """The rows of messages, of ours, TensorFlow's or the SDK's own; without a schema it is inferred from all."""
        payloads = Ragged.of([message.SerializeToString() for message in messages])
        if schema is None:
            survey = self._survey()
            survey.add(payloads)
            schema = survey.schema()
        return self._decode(payloads, schema)

    def from_message(self, message: Serializable, schema: Schema | None = None) -> dict[str, Row]:
        """The row of one message, as from_messages; without a schema, a list of one value is that value."""
        return self.from_messages([message], schema).row(0)


def _is_empty_list(value: object) -> bool:
    return isinstance(value, (list, tuple, np.ndarray)) and np.size(value) == 0


def _refuse_float64(schema: Schema) -> None:
    """Raise for a number that would be rounded, in words that fit a row: Python's float is float64, too."""
    for field in schema.values():
        if field.dtype == "float64":
            raise LossyError(
                f"field {field.name!r} is float64, as Python's float is, and an Example holds float32: give it as "
                "numpy.float32, or pass schema= with a Field of float32",
                field=field.name,
                row=0,
            )
