"""Everything that parses a file, as what any bytes can be given to.

A target takes the path of a file. It may raise the errors that the library promises, with the name of the file, and
nothing else; where it reads rows, it must read the same ones in batches of 1 and of 64.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import recordio_bridge as rb
from recordio_bridge.cli import config, migrate
from recordio_bridge.formats import hdf5, insightface, npy, npz, recordio, recordio_index, recordio_list, tfrecord
from recordio_bridge.formats.pickled import unpickle
from recordio_bridge.migrate import bulk_plan, conclude, ledger
from recordio_bridge.sidecar import read_names, read_sidecar

LOADED = (hdf5, insightface, npy, npz, recordio, tfrecord)  # here, as atheris only sees what is imported with this

Target: TypeAlias = Callable[[str], object]


def broken(promise: str) -> None:
    """End the run: the input is kept."""
    raise AssertionError(promise)


def rows(path: str, batch_rows: int, options: dict[str, object]) -> list[list[tuple[str, object]]] | str:
    """Every row as plain values, or the class of the error."""
    found = []
    try:
        for batch in rb.read(path, batch_rows=batch_rows, **options):
            found += [
                [(name, value if isinstance(value, (bytes, list)) else value.tobytes()) for name, value in row.items()]
                for row in batch.rows()
            ]
    except rb.BridgeError as err:
        return type(err).__name__
    return found


def reader(**options: object) -> Target:
    """Reads twice, in batches of other sizes."""

    def target(path: str) -> None:
        one, many = rows(path, 1, options), rows(path, 64, options)
        if str(one) != str(many):
            broken(f"batches of 1 give {one!r:.200}, of 64 {many!r:.200}")

    return target


def config_file(path: str) -> None:
    try:
        config.read_config(path, migrate.add_options, migrate.check_options, [])
    except ValueError as err:
        if path not in str(err):
            broken(f"does not name its file: {err!r}")


def plan(path: str) -> None:
    data = Path(path).read_bytes()
    bulk_plan.BulkPlan.from_lines(data, path)


TARGETS: dict[str, tuple[str, Target]] = {
    "rec-raw": ("x.rec", reader(payload="raw")),
    "rec-image": ("x.rec", reader(payload="image")),
    "rec-sagemaker": ("x.rec", reader(payload="sagemaker")),
    "rec-any": ("x.rec", reader()),
    "tfrecord": ("x.tfrecord", reader()),
    "tfrecord-raw": ("x.tfrecord", reader(payload="raw")),
    "tfrecord-gz": ("x.tfrecord.gz", reader()),
    "npz": ("x.npz", reader()),
    "npy": ("x.npy", reader()),
    "hdf5": ("x.h5", reader()),
    "pairs": ("x.bin", reader()),
    "idx": ("x.idx", lambda path: recordio_index.read_index(path, 1 << 20)),
    "lst": ("x.lst", recordio_list.read_list),
    "names": ("classes.txt", read_names),
    "sidecar": ("x.schema.json", read_sidecar),
    "manifest": ("x.manifest.json", ledger.read_manifest),
    "migration": ("x.migration.json", conclude.read_finished),
    "plan": ("plan.jsonl", plan),
    "config": ("x.toml", config_file),
    "pickle": ("x.bin", lambda path: unpickle(path, Path(path).read_bytes())),
}


def check(name: str, path: str) -> None:
    """Give a file to a target; AssertionError where a promise is broken."""
    try:
        TARGETS[name][1](path)
    except rb.BridgeError as err:
        if path not in str(err):
            broken(f"does not name its file: {err!r}")
