"""Damage inside of GZIP and ZLIB: every byte in front of it is given, as zlib gives them one by one."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.files import open_stream
from tests.formats.frames import tfr
from tests.samples import make_example

RECORDS = [make_example({"id": [n], "noise": [np.random.default_rng(n).bytes(30)]}) for n in range(60)]


def packed(compression: str) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31 if compression == "GZIP" else 15)
    return packer.compress(tfr(*RECORDS)) + packer.flush()


def before_damage(data: bytes, compression: str) -> bytes:
    """What zlib gives when it is fed a byte at a time."""
    member, found = zlib.decompressobj(31 if compression == "GZIP" else 15), b""
    try:
        for byte in data:
            if member.eof:
                break
            found += member.decompress(bytes([byte]))
    except zlib.error:
        pass
    return found


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_a_flip_of_any_byte_costs_nothing_in_front_of_it(tmp_path: Path, compression: str) -> None:
    good = packed(compression)
    path = tmp_path / "x.tfrecord.gz"
    for position in range(10, len(good), 3):
        data = good[:position] + bytes([good[position] ^ 0x41]) + good[position + 1 :]
        path.write_bytes(data)
        stream = open_stream(str(path), compression)
        buffer = bytearray(1 << 20)
        found = bytes(buffer[: stream.readinto(memoryview(buffer))])
        stream.close()
        assert found == before_damage(data, compression), position


@pytest.mark.parametrize("ways", [{}, {"shards": 3}, {"shuffle": True}, {"shards": 2, "shuffle": True}])
@pytest.mark.parametrize("at", [0.3, 0.7, 0.999])
def test_skip_keeps_what_is_sound_and_reports_the_rest_however_it_is_written(
    tmp_path: Path, at: float, ways: dict[str, object]
) -> None:
    data = bytearray(packed("GZIP"))
    data[int(len(data) * at)] ^= 0x41
    source = tmp_path / "x.tfrecord.gz"
    source.write_bytes(data)
    whole = [row for batch in rb.read(source, on_bad_record="skip") for row in batch.rows()]
    assert len(whole) >= int(len(RECORDS) * at) - 2
    manifest = rb.convert(source, tmp_path / "b.tfrecord", on_bad_record="skip", **ways)
    assert manifest.num_rows == len(whole)
    assert manifest.skipped
    assert {skipped.path for skipped in manifest.skipped} == {str(source)}
    found = sorted(row["id"] for batch in rb.read(tmp_path / "b.tfrecord") for row in batch.rows())
    assert found == sorted(row["id"] for row in whole)


@pytest.mark.parametrize("ways", [{"shards": 3}, {"shuffle": True}, {"shards": 2, "shuffle": True, "workers": 2}])
def test_shards_of_a_compressed_file_have_the_schema_of_its_sidecar(tmp_path: Path, ways: dict[str, object]) -> None:
    columns = {
        "x": np.arange(20, dtype=np.uint8),
        "y": np.arange(120, dtype=np.uint8).reshape(20, 2, 3),
        "w": np.arange(40, dtype=np.int16).reshape(20, 2),
        "f": np.arange(20).astype(np.float16),
    }
    rb.write(tmp_path / "a.tfrecord.gz", columns)
    manifest = rb.convert(tmp_path / "a.tfrecord.gz", tmp_path / "b.tfrecord", **ways)
    assert manifest.schema == rb.inspect(tmp_path / "a.tfrecord.gz").schema
    assert "compressed with GZIP" in manifest.notes
    picked = rb.convert(tmp_path / "a.tfrecord.gz", tmp_path / "c.tfrecord", select=["row=w[0]"], **ways)
    assert picked.num_rows == 20


@pytest.mark.parametrize("ways", [{"shards": 3}, {"shuffle": True}, {"shards": 2, "workers": 2}])
def test_errors_name_the_compressed_file_and_not_where_it_was_unpacked(tmp_path: Path, ways: dict[str, object]) -> None:
    rb.write(tmp_path / "a.tfrecord.gz", {"x": np.array([1.5, 2.0, 3.0, 4.0], dtype=np.float32)})
    with pytest.raises(rb.LossyError) as caught:
        rb.convert(tmp_path / "a.tfrecord.gz", tmp_path / "b.tfrecord", select=["x:int64=x"], **ways)
    assert (caught.value.path, caught.value.record) == (str(tmp_path / "a.tfrecord.gz"), 0)
    assert str(caught.value).startswith(f"{tmp_path / 'a.tfrecord.gz'}: record 0 at byte 0: ")
    with rb.open(tmp_path / "a.tfrecord.gz") as file:
        file.summary = replace(file.summary, schema=rb.Schema(rb.Field("nothing", "int64")))
        file._files = file._open_files()  # which ask for this schema
        with pytest.raises(rb.SchemaError, match=r"^(?!.*recordio_bridge-).*a\.tfrecord\.gz: record 2"):
            file[2]


@pytest.mark.parametrize("name", ["x.tfrecord.gz", "x.tfrecord.zz", "x.tfrecord-00000-of-00001.gz", "x.rec.gz"])
def test_a_file_of_no_bytes_is_no_compressed_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    for use in (rb.inspect, lambda path: rb.convert(path, tmp_path / "y.npz")):
        with pytest.raises(rb.TruncatedError, match=rf"{name}: .*cut"):
            use(path)
    assert not rb.verify(path).ok
    manifest = rb.convert(path, tmp_path / "z.npz", on_bad_record="skip") if ".rec" not in name else None
    assert manifest is None or len(manifest.skipped) == 1


@pytest.mark.parametrize("suffix", [".gz", ".zz"])
def test_the_stream_that_tensorflow_writes_of_no_records_is_whole(tmp_path: Path, suffix: str) -> None:
    written = {".gz": "1f8b080000000000000303000000000000000000", ".zz": "789c030000000001"}  # by TFRecordWriter
    path = tmp_path / f"x.tfrecord{suffix}"
    path.write_bytes(bytes.fromhex(written[suffix]))
    assert rb.inspect(path).num_rows == 0
    assert rb.verify(path).ok
