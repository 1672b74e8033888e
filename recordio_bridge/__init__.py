"""MXNet RecordIO, TFRecord, HDF5, .npz and .npy: read, write, convert and verify, without MXNet and TensorFlow.

    import recordio_bridge as rb

    rb.convert("train.rec", "train.tfrecord", shards=64, select={"image/encoded": "image", "label:int64": "label[0]"})
    for batch in rb.read("train.rec", batch_rows=256):
        batch["label"], batch["image"][0]

The rest of the manual is in the README and in help() of each name.
"""

from importlib import import_module

from ._version import __version__

TYPE_CHECKING = False  # that of typing takes longer to import than all else here
if TYPE_CHECKING:
    from . import errors, migrate
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
    from .migrate.findings import Problem, Report
    from .migrate.ledger import Manifest
    from .recordfile import RecordFile
    from .schema import Field, Schema

_HOMES = {  # where names come from that are not of errors
    ".api": ("convert", "index", "inspect", "open", "read", "verify", "write"),
    ".batch": ("Batch", "Ragged"),
    ".formats.base": ("Skipped", "Summary"),
    ".migrate.findings": ("Problem", "Report"),
    ".migrate.ledger": ("Manifest",),
    ".recordfile": ("RecordFile",),
    ".schema": ("Field", "Schema"),
}


def __getattr__(name: str) -> object:
    """A public name, when it is first asked for: the command line must begin with no more than this (interrupts.py)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("errors", "migrate"):
        return import_module(f".{name}", __name__)
    home = next((home for home, names in _HOMES.items() if name in names), ".errors")
    globals()[name] = found = getattr(import_module(home, __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


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
    "migrate",
    "open",
    "read",
    "verify",
    "write",
]
