"""Small sound files, from which the fuzz targets begin: `python -m tests.fuzz.seeds FOLDER` makes a folder for each.

The golden files are MXNet's and numpy's; the others are made by the library, of which each parser reads what it writes.
"""

from __future__ import annotations

import pickle
import struct
import sys
import tempfile
from itertools import accumulate, pairwise, product
from pathlib import Path

import h5py
import numpy as np

import recordio_bridge as rb
from recordio_bridge.migrate.shared import put_shared
from tests.formats.frames import rec, tfr
from tests.fuzz import beside, damage, folders

GOLDEN = Path(__file__).parents[1] / "golden"
LARGEST = 8_000  # bytes: with larger ones a fuzzer does little
CONFIG = b"""
sources = ["faces/", "more/*.rec"]
output = "out"
to = "tfrecord"
shard-bytes = "512MiB"
shuffle = true
seed = 1
in = ["payload=image"]

[select]
"image/encoded" = "image"
"label:int64" = "label[0]"
"""


def golden(suffix: str) -> list[bytes]:
    """The small files of a kind that others wrote."""
    return [path.read_bytes() for path in sorted(GOLDEN.rglob(f"*{suffix}")) if path.stat().st_size <= LARGEST]


def columns() -> rb.Batch:
    """Columns that all formats hold."""
    return rb.Batch.of(
        {
            "label": np.arange(5, dtype=np.int64),
            "score": np.linspace(0, 1, 10, dtype=np.float32).reshape(5, 2),
            "image": [b"\xff\xd8\xff\xe0", b"", b"\x0a\x23\xd7\xce", b"GIF89a", b"x" * 40],
        }
    )


def made(folder: Path) -> dict[str, list[bytes]]:
    """What the library writes of these columns, by the suffix, with what it keeps beside them."""
    for suffix in ("tfrecord", "tfrecord.gz", "npz", "h5"):
        rb.write(folder / f"a.{suffix}", [columns()])
    np.save(folder / "a.npy", np.arange(10, dtype="<i8").reshape(5, 2))
    found = {
        suffix: [(folder / f"a.{suffix}").read_bytes()] for suffix in ("tfrecord", "tfrecord.gz", "npz", "h5", "npy")
    }
    source, out = folder / "src", folder / "out"
    source.mkdir()
    for number in range(3):
        rb.write(source / f"{number}.tfrecord", [columns()])
    plans = [rb.migrate.plan(source, out, to="tfrecord", **options) for options in ({}, {"shuffle": True, "seed": 1})]
    rb.migrate.run(source, out, to="tfrecord", shards=2)
    for suffix in ("schema.json", "manifest.json", "migration.json"):
        found[suffix] = [path.read_bytes() for path in out.glob(f"*.{suffix}")]
    rb.convert(source / "0.tfrecord", folder / "d", tfds="my:1.0.0")
    (folder / "one").mkdir()
    (folder / "one/x.tfrecord").write_bytes(tfr(*beside.EXAMPLES))
    rb.convert(folder / "one/x.tfrecord", folder / "one/one.tfrecord")
    for suffix in ("schema.json", "manifest.json"):
        found[f"one.{suffix}"] = [(folder / f"one/one.tfrecord.{suffix}").read_bytes()]
    orders = plans[1].orders
    return {
        **found,
        "plan": [plan.to_lines() for plan in plans],
        "dataset_info.json": [(folder / "d/dataset_info.json").read_bytes()],
        "receipt": beside.written_receipts(folder / "one"),
        "shared": [Path(put_shared(orders[0], {}, {}, str(folder))).read_bytes()],
    }


def rec_index() -> bytes:
    """The index of the .rec that files lie beside."""
    heads = accumulate((len(rec(payload)) for payload in beside.PAYLOADS[:-1]), initial=0)
    return b"".join(b"%d\t%d\n" % line for line in enumerate(heads))


def tfr_index() -> bytes:
    """That of the TFRecord."""
    heads = [0, *accumulate(len(tfr(payload)) for payload in beside.EXAMPLES)]
    return b"".join(b"%d %d\n" % (start, stop - start) for start, stop in pairwise(heads))


def packed(folder: Path) -> list[bytes]:
    """HDF5 of chunks that each filter of its own packed, the last of them larger than the rows left."""
    found = []
    for number, (packing, shuffle, checksum) in enumerate(product(("gzip", "lzf"), (False, True), (False, True))):
        path = folder / f"packed{number}.h5"
        with h5py.File(path, "w", libver="latest" if number % 2 else "earliest") as file:
            for name, values in (("label", np.arange(9, dtype="<i4")), ("x", np.zeros((9, 3), "<f8"))):
                chunks = (4, 2)[: values.ndim]
                file.create_dataset(
                    name, data=values, chunks=chunks, compression=packing, shuffle=shuffle, fletcher32=checksum
                )
        found.append(path.read_bytes())
    return found


def payloads(data: bytes) -> list[bytes]:
    """Those of a sound TFRecord."""
    found = []
    while data:
        size = struct.unpack_from("<Q", data)[0]
        found.append(data[12 : 12 + size])
        data = data[16 + size :]
    return found


def pickled(content: object) -> list[bytes]:
    """Some content by each protocol."""
    return [pickle.dumps(content, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]


def lzf_streams() -> list[bytes]:
    """Literals, and references near and far, short and long."""
    row = b"\x1f" + bytes(range(32))
    return [b"\0a\xe0\xff\0", row * 9 + b"\x20\x07" + b"\x21\x10" + b"\xe1\x40\x03", b"\x02abc\x80\x01\x01zz"]


def images() -> list[bytes]:
    """The heads of images of all kinds, and of their traits."""
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 7, 9, 8, 6, 0, 0, 0) + bytes(4)
    frame = b"\xff\xc0\0\x11\x08\0\x09\0\x07\x03\x01\x22\0\x02\x11\x01\x03\x11\x01"
    jpeg = b"\xff\xd8\xff\xe0\0\x04\0\0" + frame + b"\xff\xda\0\x02\x12\x34\xff\xd9"
    return [
        *(jpeg, png + b"\0\0\0\x02tRNS\0\0" + bytes(4), png + b"\0\0\0\0IDAT", png + b"\0\0\0\x08acTL" + bytes(12)),
        b"GIF89a" + struct.pack("<HH", 7, 9) + bytes(9),
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 7, -9) + bytes(28),
        b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8 " + struct.pack("<I", 18) + bytes(3) + b"\x9d\x01\x2a\x07\0\x09\0",
        b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8L" + struct.pack("<I", 18) + b"\x2f" + bytes(9),
        b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02" + bytes(9),
    ]


def sagemaker_payloads() -> list[bytes]:
    """Records of dense and of sparse values, of each kind, as MXNet's users wrote them."""

    def message(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    found = []
    for kind, numbers in ((2, struct.pack("<2f", 1, 2)), (3, struct.pack("<2d", 1, 2)), (7, b"\x01\x02"), (9, b"text")):
        tensor = message(1, numbers) + (message(2, b"\x00\x05") + message(3, b"\x07") if kind != 9 else b"")
        entry = message(1, b"values") + message(2, message(kind, tensor))
        found.append(message(1, entry) + message(2, entry) + message(3, b"uid") + message(4, b"{}"))
    return found


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """The files of each target; they are made in an empty folder."""
    files = made(folder)
    records = golden(".rec")
    return {
        **{name: records for name in ("rec-raw", "rec-image", "rec-any", "rec-skip", "rec-look", "rec-mxnet")},
        "rec-sagemaker": [rec(*sagemaker_payloads()[:1] * 3), rec(*sagemaker_payloads()[3:] * 2)],
        **{name: files["tfrecord"] for name in ("tfrecord", "tfrecord-raw", "tfrecord-skip", "tfrecord-look")},
        **{name: files["npz"] for name in ("npz", "npz-look")},
        **{name: files["npy"] for name in ("npy", "npy-look")},
        **{name: [rec_index(), *golden(".idx")] for name in ("idx-beside", "idx-keys")},
        "tfindex-beside": [tfr_index()],
        "lst-beside": [b"".join(b"%d\t%d\tx.jpg\n" % (n, n) for n in range(5)), *golden(".lst")],
        "sidecar-beside": files["one.schema.json"],
        "manifest-beside": files["one.manifest.json"],
        "receipt": files["receipt"],
        "shared": files["shared"],
        "dataset-info": files["dataset_info.json"],
        **folders.written(folder),
        "rec-damage": [rec(*damage.RECORDS)],
        "tfrecord-damage": [tfr(*damage.RECORDS)],
        **{name: [*records, rec(*damage.RECORDS)] for name in ("rec-parts", "rec-image-parts", "rec-said")},
        "tfrecord-parts": [tfr(*damage.RECORDS)],
        **{name: files["tfrecord"] for name in ("tfrecord-said", "parse-fn")},
        "npz-said": files["npz"],
        "h5-said": files["h5"],
        "plan": files["plan"],
        "tfrecord-gz": files["tfrecord.gz"],
        "hdf5": [*files["h5"], *packed(folder)],
        "pairs": pickled(([b"\xff\xd8one", b"two"] * 2, [True, False])),
        "pickle": pickled(
            ([np.arange(3, dtype=np.uint8)], {"a": (None, 1.5, 1 << 70, "text")}, np.zeros((2, 3), "<f4"))
        ),
        "kernel-images": [bytes([9, 1]) + data for data in [*images(), *golden(".idx"), *lzf_streams()]],
        "kernel-sagemaker": sagemaker_payloads(),
        "names": [b"cat\ndog\n"],
        "sidecar": files["schema.json"],
        "manifest": files["manifest.json"],
        "migration": files["migration.json"],
        "idx": golden(".idx"),
        "lst": golden(".lst"),
        "config": [CONFIG],
        "kernel-recordio": [bytes(4) + data for data in records],
        "kernel-tfrecord": [bytes(5) + data for data in files["tfrecord"]],
        "kernel-example": [bytes(1) + each for data in files["tfrecord"] for each in payloads(data)],
    }


def main(corpus: Path) -> None:
    """Write them all."""
    with tempfile.TemporaryDirectory() as folder:
        found = seeds(Path(folder))
    for name, files in found.items():
        (corpus / name).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(files):
            (corpus / name / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
