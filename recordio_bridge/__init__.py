"""MXNet RecordIO, TFRecord, HDF5, .npz and .npy: read, write, convert and verify, without MXNet and TensorFlow.

    import recordio_bridge as rb

    rb.convert("train.rec", "train.tfrecord", shards=64, select={"image/encoded": "image", "label:int64": "label[0]"})
    for batch in rb.read("train.rec", batch_rows=256):
        batch["label"], batch["image"][0]

The rest of the manual is in the README and in help() of each name.
"""

from importlib import import_module
from typing import TYPE_CHECKING

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
from .formats.base import Skipped, Summary
from .recordfile import RecordFile
from .schema import Field, Schema

if TYPE_CHECKING:
    from .migrate.check import Problem, Report
    from .migrate.ledger import Manifest

_LATER = {"Manifest": ".migrate.ledger", "Problem": ".migrate.check", "Report": ".migrate.check"}


def __getattr__(name: str) -> object:
    """The types that only convert and verify give back: importing them takes as long as half of the rest."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name], __name__), name)


__all__ = [
    "Batch",
    "BridgeError",
    "ChecksumError",
    "FeedError",
    "Field",
    "FormatError",
    "LossyError",
    "Manifest",
    "MigrationError",
    "MissingDependencyError",
    "PlanMismatchError",
    "Problem",
    "Ragged",
    "RecordFile",
    "Report",
    "Schema",
    "SchemaError",
    "SelectError",
    "Skipped",
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
