"""RecordIO against mxnet 1.9.1, in both directions, and against its im2rec."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recordio_bridge as rb
from recordio_bridge import Batch, Field, Ragged, Schema
from tests.formats.frames import MAGIC, part
from tests.oracles import import_mxnet

mx = import_mxnet()
recordio = mx.recordio
pytestmark = pytest.mark.filterwarnings("ignore:tostring:DeprecationWarning")  # mxnet's own, in pack

RAW = Schema(Field("record", "bytes"))
IMAGE = Schema(Field("id", "uint64"), Field("label", "float32", (None,)), Field("image", "bytes"))
TOOLS = Path(mx.__file__).parent / "tools"

_FRAGMENTS = st.one_of(st.binary(max_size=9), st.just(MAGIC), st.just(MAGIC[1:]), st.just(part(1, b"abcd")))
_PAYLOADS = st.lists(st.lists(_FRAGMENTS, max_size=6).map(b"".join), max_size=8)
_FLOATS = st.floats(width=32, allow_nan=False)
shared_folder = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_by_mxnet(path: Path) -> list[bytes]:
    reader = recordio.MXRecordIO(str(path), "r")
    payloads = list(iter(reader.read, None))
    reader.close()
    return payloads


def write_by_mxnet(path: Path, payloads: list[bytes]) -> Path:
    writer = recordio.MXRecordIO(str(path), "w")
    for payload in payloads:
        writer.write(payload)
    writer.close()
    return path


@given(payloads=_PAYLOADS)
@shared_folder
def test_raw_records_go_both_ways_and_the_files_are_equal(tmp_path: Path, payloads: list[bytes]) -> None:
    ours, theirs = tmp_path / "ours.rec", write_by_mxnet(tmp_path / "theirs.rec", payloads)
    rb.write(ours, {"record": payloads}, schema=RAW, overwrite=True)
    assert ours.read_bytes() == theirs.read_bytes()
    assert read_by_mxnet(ours) == payloads
    assert [row["record"] for batch in rb.read(theirs, payload="raw") for row in batch.rows()] == payloads


_ROWS = st.lists(
    st.tuples(
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1),
        st.one_of(_FLOATS, st.lists(_FLOATS, min_size=1, max_size=5)),
        st.binary(max_size=20),
    ),
    min_size=1,
    max_size=6,
)


@given(rows=_ROWS)
@shared_folder
def test_image_records_that_mxnet_packs_are_read(tmp_path: Path, rows: list[tuple]) -> None:
    packed = [recordio.pack(recordio.IRHeader(0, label, id, id2), image) for id, id2, label, image in rows]
    path = write_by_mxnet(tmp_path / "theirs.rec", packed)
    read = [row for batch in rb.read(path, payload="image") for row in batch.rows()]
    assert len(read) == len(rows)
    for row, (id, id2, label, image) in zip(read, rows, strict=True):
        labels = np.array(label if isinstance(label, list) else [label], dtype=np.float32)
        overlooked = labels_may_be_an_image(labels, image)
        assert (int(row["id"]), int(row.get("id2", 0))) == (id, id2)
        assert overlooked or (row["label"].tobytes(), row["image"]) == (labels.tobytes(), image)


def labels_may_be_an_image(labels: np.ndarray, image: bytes) -> bool:
    """Labels whose bytes begin like an image file, before none: taken for a header whose flag means nothing."""
    signatures = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"\x93NUMPY", b"RIFF", b"BM")
    return labels.tobytes().startswith(signatures) and not image.startswith(signatures)


@given(rows=_ROWS)
@shared_folder
def test_image_records_that_we_write_are_unpacked_by_mxnet(tmp_path: Path, rows: list[tuple]) -> None:
    labels = [np.array(row[2] if isinstance(row[2], list) else [row[2]], dtype=np.float32) for row in rows]
    batch = Batch(
        {
            "id": np.array([row[0] for row in rows], dtype=np.uint64),
            "label": Ragged.of(labels, "float32"),
            "image": Ragged.of([row[3] for row in rows]),
            "id2": np.array([row[1] for row in rows], dtype=np.uint64),
        },
        Schema(*IMAGE.values(), Field("id2", "uint64")),
    )
    rb.write(tmp_path / "ours.rec", batch, overwrite=True)
    for payload, label, row in zip(read_by_mxnet(tmp_path / "ours.rec"), labels, rows, strict=True):
        header, image = recordio.unpack(payload)
        assert (header.id, header.id2, image) == (row[0], row[1], row[3])
        assert np.array_equal(np.atleast_1d(header.label), label)


def test_mxnet_finds_our_records_by_the_keys_of_our_index(tmp_path: Path) -> None:
    ids = [7, 3, 2**40, 0]
    columns = {"id": ids, "label": [[float(i)] for i in range(4)], "image": [b"image %d" % i for i in ids]}
    rb.write(tmp_path / "x.rec", columns, schema=IMAGE)
    reader = recordio.MXIndexedRecordIO(str(tmp_path / "x.idx"), str(tmp_path / "x.rec"), "r")
    assert reader.keys == ids
    for key in (0, 2**40, 7, 3):
        header, image = recordio.unpack(reader.read_idx(key))
        assert (header.id, image) == (key, b"image %d" % key)
    reader.close()


@pytest.mark.parametrize(
    ("key_type", "keys"), [(int, [5, 1, 2**50, 0]), (str, ["a/b.jpg", "x y", "007", "日本"])], ids=["int", "str"]
)
def test_keys_that_mxnet_writes_are_read_and_written_alike(tmp_path: Path, key_type: type, keys: list) -> None:
    payloads = [b"zero", MAGIC * 3, b"", b"three" * 50]
    index, path = tmp_path / "x.idx", tmp_path / "x.rec"
    writer = recordio.MXIndexedRecordIO(str(index), str(path), "w", key_type=key_type)
    for key, payload in zip(keys, payloads, strict=True):
        writer.write_idx(key, payload)
    writer.close()
    rows = [row for batch in rb.read(path, payload="raw") for row in batch.rows()]
    assert [row["record"] for row in rows] == payloads
    assert [row["key"].decode() if key_type is str else int(row["key"]) for row in rows] == keys
    rb.write(tmp_path / "y.rec", rb.read(path, payload="raw"))
    assert (tmp_path / "y.rec").read_bytes() == path.read_bytes()
    assert (tmp_path / "y.idx").read_bytes() == index.read_bytes()
    reader = recordio.MXIndexedRecordIO(str(tmp_path / "y.idx"), str(tmp_path / "y.rec"), "r", key_type=key_type)
    assert [reader.read_idx(key) for key in keys] == payloads
    reader.close()


# ---- whole datasets ----


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight small pictures in folders of two classes."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(2)
    for number in range(8):
        folder = root / ("cats" if number < 4 else "dogs")
        folder.mkdir(exist_ok=True)
        picture = cv2.resize(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8), (50 + number, 40))
        assert cv2.imwrite(str(folder / f"{number}.png"), picture)
    return root


def im2rec(*arguments: str) -> None:
    """Run mxnet's tool in a process of its own."""
    code = (
        "import runpy, sys, numpy; numpy.bool = bool; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    subprocess.run([sys.executable, "-c", code, str(TOOLS / "im2rec.py"), *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def packed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .rec of these pictures, with .lst and .idx, by im2rec."""
    prefix = tmp_path_factory.mktemp("packed") / "set"
    im2rec(str(prefix), str(photos), "--list", "--recursive")
    im2rec(str(prefix), str(photos), "--pass-through")
    return prefix.with_suffix(".rec")


def test_what_im2rec_packs_is_read_with_labels_and_pictures(packed: Path, photos: Path) -> None:
    rows = {int(row["id"]): row for batch in rb.read(packed) for row in batch.rows()}
    lines = [line.split("\t") for line in packed.with_suffix(".lst").read_text().splitlines()]
    assert len(rows) == len(lines) == 8
    for id, label, name in lines:
        row = rows[int(id)]
        assert row["label"].tolist() == [float(label)]
        assert row["image"] == (photos / name).read_bytes()
    listed = rb.read(packed, labels=str(packed.with_suffix(".lst")))
    assert {int(row["id"]): row["label"].tolist() for batch in listed for row in batch.rows()} == {
        int(id): [float(label)] for id, label, _ in lines
    }
    assert rb.verify(packed).ok


def test_writing_what_im2rec_packed_gives_its_files(packed: Path, tmp_path: Path) -> None:
    rb.write(tmp_path / "again.rec", rb.read(packed))
    assert (tmp_path / "again.rec").read_bytes() == packed.read_bytes()
    assert (tmp_path / "again.idx").read_bytes() == packed.with_suffix(".idx").read_bytes()


def test_vectors_of_im2rec_with_pack_label_are_read(photos: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "det"
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.png"))
    labels = [[2.0, 5.0] + [0.5 * number, 0.1, 0.2, 0.3, 0.4] * (1 + number % 2) for number in range(len(names))]
    lines = [
        "\t".join([str(i), *map(str, label), name]) for i, (label, name) in enumerate(zip(labels, names, strict=True))
    ]
    prefix.with_suffix(".lst").write_text("\n".join(lines) + "\n")
    im2rec(str(prefix), str(photos), "--pack-label", "--pass-through")
    rows = {int(row["id"]): row for batch in rb.read(prefix.with_suffix(".rec")) for row in batch.rows()}
    for number, label in enumerate(labels):
        assert rows[number]["label"].tobytes() == np.array(label, dtype=np.float32).tobytes()
        assert rows[number]["image"] == (photos / names[number]).read_bytes()


def test_the_image_iterator_of_mxnet_trains_from_what_we_write(packed: Path, tmp_path: Path) -> None:
    rows = [row for batch in rb.read(packed) for row in batch.rows()]
    columns = {
        "id": [row["id"] for row in rows],
        "label": [[3.0 + i] for i in range(8)],
        "image": [r["image"] for r in rows],
    }
    rb.write(tmp_path / "x.rec", columns, schema=IMAGE)
    iterator = mx.io.ImageRecordIter(
        path_imgrec=str(tmp_path / "x.rec"),
        path_imgidx=str(tmp_path / "x.idx"),
        data_shape=(3, 32, 32),
        batch_size=8,
        preprocess_threads=1,
        round_batch=False,
    )
    (batch,) = list(iterator)
    assert batch.label[0].asnumpy().tolist() == [3.0 + i for i in range(8)]
    assert batch.data[0].shape == (8, 3, 32, 32)
