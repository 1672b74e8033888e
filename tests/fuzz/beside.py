"""Files that lie beside data, as what any bytes can be given to while the data are sound: they change none of it.

Each target takes the path of such a file, in a folder of its own, in which the data are made the first time.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import recordio_bridge as rb
from recordio_bridge import mxrecordio
from recordio_bridge.migrate import neighbours, shared
from recordio_bridge.migrate.state import State
from recordio_bridge.sources import Source
from recordio_bridge.tfds import DatasetName
from tests.formats.frames import image_payload, rec, tfr
from tests.fuzz.promises import Target, broken, check_named, plain, promised

PAYLOADS = [image_payload(b"\xff\xd8\xff%d" % number, float(number), id=number) for number in range(5)]
EXAMPLES = [b"\n\x0c\n\n\n\x01x\x12\x05\x1a\x03\n\x01" + bytes([number]) for number in range(5)]
IMAGES = {number.to_bytes(8, "little"): payload[24:] for number, payload in enumerate(PAYLOADS)}
"""The image of each id."""


def _one(path: str, suffix: str, data: bytes) -> Path:
    """The data file beside."""
    file = Path(path).with_name(f"one{suffix}")
    if not file.exists():
        file.write_bytes(data)
    return file


def _read(path: Path, **options: object) -> list[dict[str, object]]:
    return [dict(plain(row)) for batch in rb.read(path, **options) for row in batch.rows()]


def _taken(path: Path) -> list[dict[str, object]]:
    with rb.open(path) as file:
        return [dict(plain(row)) for row in file.take([4, 3, 2, 1, 0]).rows()][::-1]


def index(path: str) -> None:
    """The rows are those of the file, whatever an index says."""
    file = _one(path, ".rec", rec(*PAYLOADS))
    for look in (_read, _taken):
        found = promised(path, look, file)
        if found is not None and [(row["id"], row["image"]) for row in found] != list(IMAGES.items()):
            broken(f"an index changes rows: {found!r:.300}")
    for look in (rb.inspect, rb.verify):
        promised(path, look, file)


def index_of_tfrecord(path: str) -> None:
    """The parts of a file are its rows, wherever an index says that they begin."""
    file = _one(path, ".tfrecord", tfr(*EXAMPLES))
    source = Source.open(file, {"payload": "raw"})

    def in_parts(nbytes: int) -> list[object]:
        request, options = source.request(source.schema(), 2, lambda skipped: None), source.options[0]
        extents = source.format.split(str(file), options, nbytes)
        parts = [source.format.read(extent, options, request) for extent in extents]
        return [row["record"] for part in parts for batch in part for row in batch.rows()]

    for nbytes in (1, 40, 10**6):
        found = promised(str(file), in_parts, nbytes)
        if found is not None and found != EXAMPLES:
            broken(f"an index changes rows: {found!r:.300}")
    promised(path, rb.verify, file)


def _every_key(path: str, file: str) -> None:
    with closing(mxrecordio.MXIndexedRecordIO(path, file, "r")) as records:
        for key in records.keys:
            found = promised(file, records.read_idx, key)
            if found not in (None, *PAYLOADS):
                broken(f"key {key!r} gives {found!r:.200}")


def keys(path: str) -> None:
    """What a key gives is a record of the file."""
    promised(path, _every_key, path, str(_one(path, ".rec", rec(*PAYLOADS))))


def labels(path: str) -> None:
    """Labels come of a list, and nothing else."""
    file = _one(path, ".rec", rec(*PAYLOADS))
    for on_bad_record in ("raise", "skip"):
        found = promised(path, lambda how: _read(file, labels=path, on_bad_record=how), on_bad_record)
        for row in found or []:
            if IMAGES[row["id"]] != row["image"]:
                broken(f"a list changes an image: {row!r:.300}")


def of_tfrecord(path: str) -> None:
    """A sidecar, or a manifest, of a TFRecord: it may call its fields otherwise."""
    file = _one(path, ".tfrecord", tfr(*EXAMPLES))
    for look in (rb.inspect, rb.verify, _read):
        promised(str(file), look, file)


def _begun(path: str) -> State:
    """The state of a migration that was broken off, beside a file."""
    folder = Path(path).with_name("out")
    source = _one(path, ".rec", rec(*PAYLOADS))

    def stop(event: rb.migrate.Event) -> None:
        if event.phase == "writing" and event.files:
            raise KeyboardInterrupt

    if not folder.exists():
        with suppress(KeyboardInterrupt):
            rb.migrate.run(source, folder, to="tfrecord", shards=2, on_event=stop)
    return State(str(folder), "out")


def written_receipts(folder: Path) -> list[bytes]:
    """Those that a migration leaves in this folder."""
    state = _begun(str(folder / "x.json"))
    return [Path(file).read_bytes() for file in state.files() if file.endswith(".json")]


def receipt(path: str) -> None:
    """In the place of a receipt, it is one, or none."""
    state = _begun(path)
    plan = state.read_plan()
    if plan is None:
        broken("the migration was not broken off")
    for name in plan.receipt_names:
        Path(state.receipt_path(name)).write_bytes(Path(path).read_bytes())
    state.receipts(plan)


def of_shuffle(path: str) -> None:
    """What the orders of a shuffle share."""
    shared.read_shared.cache_clear()
    shared.read_shared(path)


def dataset_info(path: str) -> None:
    """It is of this dataset, or in the way."""
    try:
        neighbours.output_in(str(Path(path).parent), DatasetName.parse("my:1.0.0"))
    except FileExistsError as err:
        check_named(path, err)


TARGETS: dict[str, tuple[str, Target]] = {
    "idx-beside": ("one.idx", index),
    "idx-keys": ("one.idx", keys),
    "tfindex-beside": ("one.tfindex", index_of_tfrecord),
    "lst-beside": ("one.lst", labels),
    "sidecar-beside": ("one.tfrecord.schema.json", of_tfrecord),
    "manifest-beside": ("one.tfrecord.manifest.json", of_tfrecord),
    "receipt": ("x.json", receipt),
    "shared": ("x.json", of_shuffle),
    "dataset-info": ("dataset_info.json", dataset_info),
}
