"""MXNet RecordIO and TFRecord: read, write, convert and verify, without MXNet and TensorFlow.

    import recordio_bridge as rb

    rb.convert("train.rec", "train.tfrecord", shards=64, select={"image/encoded": "image", "label:int64": "label[0]"})
    for batch in rb.read("train.rec", batch_rows=256):
        batch["label"], batch["image"][0]

The rest of the manual is in the README and in help() of each name.
"""

from . import errors
from ._version import __version__
from .api import convert, index, inspect, open, read, verify, write
from .batch import Batch, Ragged
from .errors import (
    BridgeError,
    ChecksumError,
    FeedError,
    FormatError,
    LossyError,
    MigrationError,
    MissingDependencyError,
    PlanMismatchError,
    SchemaError,
    SelectError,
    SourceChangedError,
    TruncatedError,
    UnknownFormatError,
    VerificationError,
)
from .formats.base import Summary
from .recordfile import RecordFile
from .schema import Field, Schema

__all__ = [
    "Batch",
    "BridgeError",
    "ChecksumError",
    "FeedError",
    "Field",
    "FormatError",
    "LossyError",
    "MigrationError",
    "MissingDependencyError",
    "PlanMismatchError",
    "Ragged",
    "RecordFile",
    "Schema",
    "SchemaError",
    "SelectError",
    "SourceChangedError",
    "Summary",
    "TruncatedError",
    "UnknownFormatError",
    "VerificationError",
    "__version__",
    "convert",
    "errors",
    "index",
    "inspect",
    "open",
    "read",
    "verify",
    "write",
]
