"""The drop-in beside mxnet itself: same files, same records, same pixels. Needs mxnet 1.9.1 and OpenCV."""

from __future__ import annotations

import hashlib
import inspect
import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest

from recordio_bridge import mxrecordio as ours
from recordio_bridge.errors import FormatError
from tests.oracles import import_mxnet

theirs = import_mxnet().recordio
pytestmark = pytest.mark.filterwarnings("ignore:tostring:DeprecationWarning")  # mxnet's, in pack and pack_img
GOLDEN = Path(__file__).parent / "golden"
MAGIC = bytes.fromhex("0a23d7ce")


def payloads(seed: int, count: int) -> list[bytes]:
    """Records of 0 to 10,000 bytes, a third of them full of magics."""
    source = random.Random(seed)
    plain = [source.randbytes(source.choice([0, 1, 5, 100, 1023, 1024, 1025, 10_000])) for _ in range(count)]
    return [
        b"".join(source.choices([MAGIC, record[:3], record[:50]], k=source.randrange(30))) if i % 3 == 0 else record
        for i, record in enumerate(plain)
    ]


def write_plain(module, folder: Path, records: list[bytes]) -> Path:
    path = folder / f"{module.__name__}.rec"
    writer = module.MXRecordIO(str(path), "w")
    for record in records:
        writer.write(record)
    writer.close()
    return path


def write_indexed(module, folder: Path, records: dict, key_type: type) -> tuple[Path, Path]:
    idx, rec = folder / f"{module.__name__}.idx", folder / f"{module.__name__}.i.rec"
    writer = module.MXIndexedRecordIO(str(idx), str(rec), "w", key_type=key_type)
    for key, record in records.items():
        writer.write_idx(key, record)
    writer.close()
    return idx, rec


def read_all(module, path: Path) -> list[bytes]:
    reader = module.MXRecordIO(str(path), "r")
    return list(iter(reader.read, None))


@pytest.mark.parametrize("seed", range(10))
def test_each_reads_what_the_other_wrote_and_the_files_are_equal(seed, tmp_path):
    records = payloads(seed, 300)
    mine, its = write_plain(ours, tmp_path, records), write_plain(theirs, tmp_path, records)
    assert mine.read_bytes() == its.read_bytes()
    assert read_all(ours, its) == read_all(theirs, mine) == records


def test_a_record_of_many_megabytes_is_written_alike(tmp_path):
    big = np.random.default_rng(0).bytes(5_000_001)
    records = [big, big[: 1 << 20] + MAGIC + big, b"end"]
    mine, its = write_plain(ours, tmp_path, records), write_plain(theirs, tmp_path, records)
    assert mine.read_bytes() == its.read_bytes()
    assert read_all(ours, its) == records


@pytest.mark.parametrize("key_type", [int, str])
def test_indexed_files_are_equal_and_each_finds_the_keys_of_the_other(key_type, tmp_path):
    numbers = random.Random(1).sample(range(2**40), 200)
    keys = numbers if key_type is int else [f"a/{number} é.jpg" for number in numbers]
    records = dict(zip(keys, payloads(3, 200), strict=True))
    mine, its = (write_indexed(module, tmp_path, records, key_type) for module in (ours, theirs))
    assert mine[0].read_bytes() == its[0].read_bytes()
    assert mine[1].read_bytes() == its[1].read_bytes()
    for module, (idx, rec) in ((ours, its), (theirs, mine)):
        reader = module.MXIndexedRecordIO(str(idx), str(rec), "r", key_type=key_type)
        assert reader.keys == keys
        for key in random.Random(2).sample(keys, 200):
            assert reader.read_idx(key) == records[key]
        reader.seek(keys[7])
        assert [reader.read(), reader.read()] == [records[keys[7]], records[keys[8]]]
    mine_again = ours.MXIndexedRecordIO(str(its[0]), str(its[1]), "r", key_type)
    assert mine_again.idx == theirs.MXIndexedRecordIO(str(its[0]), str(its[1]), "r", key_type).idx


def test_positions_told_while_writing_are_the_same(tmp_path):
    told = []
    for module in (ours, theirs):
        writer = module.MXIndexedRecordIO(str(tmp_path / "t.idx"), str(tmp_path / "t.rec"), "w")
        told.append([(writer.tell(), writer.write_idx(key, record)) for key, record in enumerate(payloads(5, 100))])
        told[-1].append((writer.tell(), dict(writer.idx), list(writer.keys)))
        writer.close()
    assert told[0] == told[1]


@pytest.mark.parametrize("text", ["5\t0\r\n6\t12\r\n", "5\t0\tmore\n6\t12", "5\t0\n5\t12\n", "-1\t0\n 6\t 12 \n"])
def test_odd_lines_of_an_index_mean_the_same(text, tmp_path):
    rec = write_plain(ours, tmp_path, [b"a", b"b"])
    (tmp_path / "x.idx").write_bytes(text.encode())
    mine, its = (module.MXIndexedRecordIO(str(tmp_path / "x.idx"), str(rec), "r") for module in (ours, theirs))
    assert (mine.keys, mine.idx) == (its.keys, its.idx)
    assert [mine.read_idx(key) for key in mine.keys] == [its.read_idx(key) for key in its.keys]


def test_where_mxnet_ends_an_epoch_early_or_makes_records_up_we_raise(tmp_path):
    negatives = json.loads((GOLDEN / "negatives.json").read_text())
    silent = ["n_trunc_multipart", "n_cflag4", "n_orphan_middle", "n_orphan_end"]
    for name in silent:
        path = GOLDEN / f"{name}.rec"
        assert negatives[name]["mxnet_error"] is None
        assert len(read_all(theirs, path)) == negatives[name]["mxnet_records_before"]
        with pytest.raises(FormatError):
            read_all(ours, path)


def test_signatures_are_those_of_mxnet():
    def parameters(function) -> list[tuple[str, object]]:
        return [(parameter.name, parameter.default) for parameter in inspect.signature(function).parameters.values()]

    for name in ("pack", "unpack", "pack_img", "unpack_img", "MXRecordIO", "MXIndexedRecordIO"):
        assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name))
    for name in ("MXRecordIO", "MXIndexedRecordIO"):
        for method, function in inspect.getmembers(getattr(theirs, name), inspect.isfunction):
            if not method.startswith("_"):
                assert parameters(getattr(getattr(ours, name), method)) == parameters(function)
    assert ours.IRHeader._fields == theirs.IRHeader._fields
    assert (ours._IR_FORMAT, ours._IR_SIZE) == (theirs._IR_FORMAT, theirs._IR_SIZE)


def test_an_open_reader_has_the_attributes_of_mxnets(tmp_path):
    idx, rec = write_indexed(theirs, tmp_path, {3: b"a", 1: b"b"}, int)
    mine, its = (module.MXIndexedRecordIO(str(idx), str(rec), "r") for module in (ours, theirs))
    for name in ("idx_path", "idx", "keys", "key_type", "flag", "pid", "is_open", "writable"):
        assert getattr(mine, name) == getattr(its, name)
    assert mine.uri.encode() == its.uri.value


LABELS = [
    3, 3.5, -1, True, np.bool_(True), np.float32(2.5), np.float64(1e39), 1e39, np.int64(7), 2**24 + 1, float("nan"),
    float("-inf"), np.array(4), np.array(4.5), [], [1, 2], (1,), np.zeros(0), np.ones((2, 3)), np.arange(6)[::2],
    np.array([7, 8], ">i8"), np.array([1, 2], np.uint8), "3", [1e30, float("nan")],
]  # fmt: skip


@pytest.mark.parametrize("label", LABELS, ids=repr)
def test_pack_and_unpack_agree_on_any_label(label):
    for content in (b"", b"content"):
        header = (9, label, 2**64 - 1, 5)
        record = theirs.pack(header, content)
        assert ours.pack(header, content) == record
        mine, its = ours.unpack(record), theirs.unpack(record)
        assert mine[1] == its[1]
        assert (mine[0].flag, mine[0].id, mine[0].id2) == (its[0].flag, its[0].id, its[0].id2)
        assert type(mine[0].label) is type(its[0].label)
        np.testing.assert_array_equal(mine[0].label, its[0].label, strict=isinstance(its[0].label, np.ndarray))


@pytest.mark.parametrize("shape", [(48, 64, 3), (33, 7), (5, 6, 4)])
@pytest.mark.parametrize(
    "options",
    [(), (95, ".jpg"), (1, ".jpg"), (100, ".JPEG"), (50, ".Jpg"), (9, ".png"), (0, ".PNG"), (95, ".png"), (7, ".bmp")],
    ids=repr,
)
def test_images_are_packed_to_the_same_bytes_and_unpacked_to_the_same_pixels(shape, options):
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    for label in (4, [1, 2.5]):
        record = theirs.pack_img((0, label, 7, 0), image, *options)
        assert ours.pack_img((0, label, 7, 0), image, *options) == record
        for iscolor in (-1, 0, 1):
            (header, mine), (_, its) = ours.unpack_img(record, iscolor), theirs.unpack_img(record, iscolor)
            assert header.id == 7
            assert (mine.dtype, mine.shape) == (its.dtype, its.shape)
            np.testing.assert_array_equal(mine, its)
        np.testing.assert_array_equal(ours.unpack_img(record)[1], theirs.unpack_img(record)[1])


def test_golden_images_have_the_pixels_that_their_description_states():
    described = json.loads((GOLDEN / "e_images.json").read_text())["records"]
    reader = ours.MXIndexedRecordIO(str(GOLDEN / "e_images.idx"), str(GOLDEN / "e_images.rec"), "r")
    for record in described:
        _, image = ours.unpack_img(reader.read_idx(int(record["key"])))
        assert list(image.shape) == record["image_shape"]
        if "pixels_bgr_sha256" in record:
            assert hashlib.sha256(image.tobytes()).hexdigest() == record["pixels_bgr_sha256"]


def test_a_content_that_is_no_image_is_none_and_no_content_is_opencvs_error_as_in_mxnet():
    for module in (ours, theirs):
        assert module.unpack_img(module.pack((0, 1, 0, 0), b"no image"))[1] is None
        with pytest.raises(cv2.error):
            module.unpack_img(module.pack((0, 1, 0, 0), b""))
        with pytest.raises(cv2.error):
            module.pack_img((0, 1, 0, 0), np.zeros((2, 2), np.uint8), img_fmt=".xyz")
