"""Everything that parses a file, as what any bytes can be given to.

A target takes the path of a file. It may raise the errors that the library promises, with the name of the file, and
nothing else; where it reads rows, it must read the same ones in batches of 1 and of 64.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import recordio_bridge as rb
from recordio_bridge import mxrecordio
from recordio_bridge.cli import config, migrate
from recordio_bridge.formats import hdf5, insightface, npy, npz, recordio, recordio_index, recordio_list, tfrecord
from recordio_bridge.formats.pickled import unpickle
from recordio_bridge.migrate import bulk_plan, conclude, ledger
from recordio_bridge.sidecar import read_names, read_sidecar
from tests.fuzz import beside, damage, folders, terminal
from tests.fuzz.promises import Row, Target, broken, check_named, plain, promised, rows

LOADED = (hdf5, insightface, npy, npz, recordio, tfrecord)  # here, as atheris only sees what is imported with this


def reader(**options: object) -> Target:
    """Reads twice, in batches of other sizes: what comes before an error may be a batch less."""

    def target(path: str) -> None:
        (one, alone), (many, together) = rows(path, 1, options), rows(path, 64, options)
        if alone != together or many != one[: len(many)] or (not together and len(many) != len(one)):
            broken(f"batches of 1 give {one!r:.200} {alone}, of 64 {many!r:.200} {together}")

    return target


def looker(**options: object) -> Target:
    """Looks at a file, and takes its rows in any order: of one that can be read, those that are read."""

    def taken(path: str) -> list[Row]:
        with rb.open(path, **options) as file:
            last_first = list(map(plain, file.take(range(len(file) - 1, -1, -1)).rows()))
            if last_first and plain(file[0]) != last_first[-1]:
                broken(f"row 0 is {file[0]!r:.200}, and {last_first[-1]!r:.200}")
            return last_first[::-1]

    def target(path: str) -> None:
        read, error = rows(path, 64, options)
        seen, found = promised(path, lambda: rb.inspect(path, **options)), promised(path, taken, path)
        if not error and (seen is None or found != read or seen.num_rows != len(read)):
            broken(f"read {read!r:.200}, took {found!r:.200}, and saw {seen!r:.200}")

    return target


def mxnet_reader(path: str) -> None:
    """As mxnet's class reads: the records that read gives, or the same of them up to an error."""
    found, failed = [], False
    with closing(mxrecordio.MXRecordIO(path, "r")) as records:
        try:
            while (record := records.read()) is not None:
                found.append(record)
        except rb.BridgeError as err:
            check_named(path, err)
            failed = True
    read, error = rows(path, 1, {"payload": "raw", "format": "rec"})
    if found != [dict(row)["record"] for row in read] or failed != bool(error):
        broken(f"mxrecordio gives {found!r:.200} {failed}, read {read!r:.200} {error}")
    for record in found:
        try:
            mxrecordio.unpack(record)
        except rb.FormatError as err:  # which knows of no file
            check_named(f"record of {len(record)} bytes", err)


def config_file(path: str) -> None:
    try:
        config.read_config(path, migrate.add_options, migrate.check_options, [])
    except ValueError as err:
        check_named(path, err)


def plan(path: str) -> None:
    data = Path(path).read_bytes()
    bulk_plan.BulkPlan.from_lines(data, path)


TARGETS: dict[str, tuple[str, Target]] = {
    "rec-raw": ("x.rec", reader(payload="raw")),
    "rec-image": ("x.rec", reader(payload="image")),
    "rec-sagemaker": ("x.rec", reader(payload="sagemaker")),
    "rec-any": ("x.rec", reader()),
    "rec-skip": ("x.rec", reader(payload="raw", on_bad_record="skip")),
    "rec-look": ("x.rec", looker()),
    "rec-mxnet": ("x.rec", mxnet_reader),
    "tfrecord": ("x.tfrecord", reader()),
    "tfrecord-raw": ("x.tfrecord", reader(payload="raw")),
    "tfrecord-gz": ("x.tfrecord.gz", reader()),
    "tfrecord-skip": ("x.tfrecord", reader(on_bad_record="skip")),
    "tfrecord-look": ("x.tfrecord", looker()),
    "npz": ("x.npz", reader()),
    "npz-look": ("x.npz", looker()),
    "npy": ("x.npy", reader()),
    "npy-look": ("x.npy", looker()),
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
    **beside.TARGETS,
    **damage.TARGETS,
    **folders.TARGETS,
    **terminal.TARGETS,
}


def check(name: str, path: str) -> None:
    """Give a file to a target; AssertionError where a promise is broken."""
    try:
        TARGETS[name][1](path)
    except rb.BridgeError as err:
        check_named(path, err)
