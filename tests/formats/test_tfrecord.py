"""TFRecord: the contract for each compression, the bytes of TensorFlow, damage, and what "auto" takes."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import (
    BridgeError,
    ChecksumError,
    Field,
    FormatError,
    Schema,
    SchemaError,
    TruncatedError,
    _kernels,
)
from recordio_bridge.formats import format_of_target, tfrecord
from recordio_bridge.shards import split_suffix
from tests.formats.contract import FormatContract, open_files
from tests.formats.frames import masked, tfr, tfr_heads

RAW = Schema(Field("record", "bytes"))
EXAMPLE = bytes.fromhex("0a0c0a0a0a017812051a030a0105")  # x: int64 [5]


class TestExamples(FormatContract):
    format = tfrecord.FORMAT
    suffix = ".tfrecord"
    schema = Schema(
        Field("flag", "bool"),
        Field("i8", "int8"),
        Field("i16", "int16", (2,)),
        Field("i32", "int32", (None,)),
        Field("i64", "int64"),
        Field("u8", "uint8", (3,)),
        Field("u16", "uint16"),
        Field("u32", "uint32", (2, 2)),
        Field("u64", "uint64"),
        Field("half", "float16", (None,)),
        Field("float", "float32", (2, 3, 1)),
        Field("pixels", "uint8", (4, 5)),
        Field("double", "float64", (2,), "raw"),
        Field("big", "uint64", (None,), "raw"),
        Field("name", "bytes"),
        Field("pair", "bytes", (2,)),
        Field("tags", "bytes", (None,)),
        Field("größe/図", "float32"),
    )


class TestGzip(FormatContract):
    format = tfrecord.FORMAT
    suffix = ".tfrecord.gz"
    schema = TestExamples.schema.pick(["name", "pixels", "i32", "tags"])


class TestZlib(FormatContract):
    format = tfrecord.FORMAT
    suffix = ".tfrecord"
    options = {"compression": "ZLIB"}  # noqa: RUF012  # read only
    schema = TestExamples.schema.pick(["i64", "name", "float"])


class TestRawRecords(FormatContract):
    format = tfrecord.FORMAT
    suffix = ".tfrecords"
    options = {"payload": "raw"}  # noqa: RUF012  # read only
    schema = RAW


# ---- the bytes that TensorFlow writes ----

VECTORS = [  # payloads, plain, GZIP, ZLIB: tensorflow 2.21
    ([], "", "1f8b080000000000000303000000000000000000", "789c030000000001"),
    (
        [b""],
        "0000000000000000 29039807 d8ea82a2",
        "1f8b0800000000000003636080004de619ec375e352d0200869c870e10000000",
        "789c636080004de619ec375e352d02000ce403b2",
    ),
    (
        [b"abc"],
        "0300000000000000 b099490e 616263 6e57f121",
        "1f8b0800000000000003636680800d333df9129392f3c23f2a020032a97b3913000000",
        "789c636680800d333df9129392f3c23f2a02001c7904a1",
    ),
    (
        [b"hello", b"world!"],
        "0500000000000000 eab2043e 68656c6c6f bb1f1c19 0600000000000000 7369d537 776f726c6421 0ac6af4f",
        "1f8b080000000000000363658080579b58ec32527372f277cbcb48b241058b33af9a97e717e5a428721d5bef0f00023807a72b000000",
        "789c63658080579b58ec32527372f277cbcb48b241058b33af9a97e717e5a428721d5bef0f00c6ac0b0c",
    ),
]
CASES = [
    pytest.param(payloads, compression, bytes.fromhex(vector[at]), id=f"{len(payloads)}-{compression or 'plain'}-{row}")
    for row, (payloads, *vector) in enumerate(VECTORS)
    for at, compression in enumerate(["", "GZIP", "ZLIB"])
]


@pytest.mark.parametrize(("payloads", "compression", "file"), CASES)
def test_files_are_those_of_tensorflow_byte_for_byte(
    tmp_path: Path, payloads: list[bytes], compression: str, file: bytes
) -> None:
    path = tmp_path / "x.tfrecord"
    rb.write(path, {"record": payloads}, schema=RAW, compression=compression, payload="raw")
    assert path.read_bytes() == file
    assert [row["record"] for batch in rb.read(path) for row in batch.rows()] == payloads
    assert rb.verify(path).ok


@pytest.mark.parametrize(("payloads", "compression", "file"), CASES)
def test_files_of_tensorflow_are_read(tmp_path: Path, payloads: list[bytes], compression: str, file: bytes) -> None:
    path = tmp_path / "some.tfrecord"
    path.write_bytes(file)
    for options in ({}, {"compression": compression}):
        assert [row["record"] for batch in rb.read(path, payload="raw", **options) for row in batch.rows()] == payloads
        assert rb.inspect(path, payload="raw", **options).num_rows == len(payloads)
        with rb.open(path, payload="raw", **options) as opened:
            assert [row["record"] for row in opened] == payloads


def test_an_example_is_written_with_sorted_keys_as_tensorflow_frames_it(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    columns = {"w": np.array([[1.5, -2]], dtype=np.float32), "label": np.array([5]), "image": [b"\xff\xd8"]}
    rb.write(path, columns)
    payload = (
        "0a34 0a0f 0a05 696d616765 1206 0a04 0a02 ffd8  0a0e 0a05 6c6162656c 1205 1a03 0a01 05"
        "0a11 0a01 77 120c 120a 0a08 0000c03f 000000c0"
    )
    assert path.read_bytes() == bytes.fromhex(f"3600000000000000 4f578cef {payload} 1746ea88")


@pytest.mark.parametrize(
    ("name", "magic"),
    [
        ("x.tfrecord", b"\x0e"),
        ("x.tfrecords", b"\x0e"),
        ("x.tfrecord.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"),
        ("x.tfrecords.gz", b"\x1f\x8b"),
        ("x.tfrecord.zz", b"\x78\x9c"),
        ("x.tfrecords.zz", b"\x78\x9c"),
    ],
)
def test_the_suffix_decides_the_compression_of_a_target(tmp_path: Path, name: str, magic: bytes) -> None:
    rb.write(tmp_path / name, {"x": [5]})
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert next(rb.read(tmp_path / name))["x"].tolist() == [5]


@pytest.mark.parametrize(
    ("name", "compression"),
    [("x.tfrecord.gz", "ZLIB"), ("x.tfrecord.gz", ""), ("x.tfrecords.zz", "GZIP"), ("x.tfrecord.zz", "")],
)
def test_a_suffix_and_an_option_that_contradict_each_other_are_refused(
    tmp_path: Path, name: str, compression: str
) -> None:
    with pytest.raises(ValueError, match=rf"{re.escape(name)}: the suffix says .* compression='{compression}'"):
        rb.write(tmp_path / name, {"x": [5]}, compression=compression)
    assert list(tmp_path.iterdir()) == []


def test_a_suffix_and_an_option_may_say_the_same_and_a_plain_name_may_be_compressed(tmp_path: Path) -> None:
    rb.write(tmp_path / "x.tfrecord.gz", {"x": [5]}, compression="GZIP")
    rb.write(tmp_path / "x.tfrecord", {"x": [5]}, compression="GZIP")
    assert (tmp_path / "x.tfrecord").read_bytes() == (tmp_path / "x.tfrecord.gz").read_bytes()


def test_a_plain_file_called_gz_by_someone_else_is_read_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "x.tfrecord.gz").write_bytes(tfr(EXAMPLE))
    assert next(rb.read(tmp_path / "x.tfrecord.gz"))["x"].tolist() == [5]


def test_the_table_of_formats_knows_the_suffixes_that_the_format_says() -> None:
    for suffix in tfrecord.FORMAT.suffixes:
        assert format_of_target(f"x{suffix}") is tfrecord.FORMAT
        assert split_suffix(f"x{suffix}") == ("x", suffix)


def test_compression_is_found_by_content_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "anything.bin"
    plain = tfr(EXAMPLE, EXAMPLE)
    for data in (plain, gzip.compress(plain), *(zlib.compress(plain, level) for level in (0, 1, 5, 6, 9))):
        path.write_bytes(data)
        assert rb.inspect(path).format == "tfrecord"
        assert next(rb.read(path))["x"].tolist() == [5, 5]


def test_a_payload_that_begins_like_gzip_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    payload = bytes(0x088B1F)  # its length bytes begin 1f 8b 08
    path.write_bytes(tfr(payload))
    assert path.read_bytes()[:3] == b"\x1f\x8b\x08"
    (batch,) = rb.read(path, payload="raw", fields=["record"], compression="")
    assert batch["record"].lengths.tolist() == [len(payload)]


# ---- damage ----


def raw(path: Path, **options: object) -> list[bytes]:
    return [row["record"] for batch in rb.read(path, payload="raw", **options) for row in batch.rows()]


def refused(path: Path, kind: type[FormatError], record: int | None = None, offset: int | None = None) -> FormatError:
    """The error that reading gives, of exactly this kind, at this record; inspect and verify say the same."""
    with pytest.raises(FormatError) as caught:
        raw(path)
    assert type(caught.value) is kind
    assert caught.value.path == str(path)
    assert str(path) in str(caught.value)
    if record is not None:
        assert (caught.value.record, caught.value.offset) == (record, offset)
        assert f"record {record} at byte {offset}" in str(caught.value)
    assert not rb.verify(path).ok
    return caught.value


FILE = tfr(b"first", b"", b"the third")  # at 0, 21 and 37, of 62 bytes
HEADS = tfr_heads([b"first", b"", b"the third"])


@pytest.mark.parametrize("left", range(1, 12))
def test_a_cut_inside_a_header_which_tensorflow_takes_for_the_end_is_truncated(tmp_path: Path, left: int) -> None:
    for record in range(3):
        path = tmp_path / "x.tfrecord"
        path.write_bytes(FILE[: HEADS[record] + left])
        refused(path, TruncatedError, record, HEADS[record])
        with pytest.raises(TruncatedError):
            rb.inspect(path, payload="raw")


@pytest.mark.parametrize("size", [HEADS[2] + 12, HEADS[2] + 15, len(FILE) - 5, len(FILE) - 4, len(FILE) - 1])
def test_a_cut_inside_payload_or_its_checksum_is_truncated(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(FILE[:size])
    refused(path, TruncatedError, 2, HEADS[2])


@pytest.mark.parametrize(
    "at",
    [0, 3, 7, 8, 11, 12, 16, 17, 20],
    ids=lambda at: f"{['length', 'its checksum', 'payload', 'checksum'][(at > 7) + (at > 11) + (at > 16)]}-{at}",
)
def test_a_flipped_bit_anywhere_is_a_checksum_error(tmp_path: Path, at: int) -> None:
    data = bytearray(tfr(b"first", b"first"))
    data[21 + at] ^= 0x10
    path = tmp_path / "x.tfrecord"
    path.write_bytes(data)
    refused(path, ChecksumError, 1, 21)


def test_inspect_and_random_access_check_what_they_read(tmp_path: Path) -> None:
    data = bytearray(FILE)
    data[HEADS[2] + 14] ^= 1
    path = tmp_path / "x.tfrecord"
    path.write_bytes(data)
    with rb.open(path, payload="raw") as file:
        assert len(file) == 3  # hopped over by their lengths
        assert file[0]["record"] == b"first"
        with pytest.raises(ChecksumError) as caught:
            file.take([0, 2])
    assert (caught.value.path, caught.value.record, caught.value.offset) == (str(path), 2, HEADS[2])


def test_sixteen_zero_bytes_at_the_end_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(FILE + bytes(16))
    refused(path, ChecksumError, 3, HEADS[3])


def test_a_length_of_2_to_the_63_with_a_good_checksum_is_no_allocation(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    for length in (2**63, 2**64 - 1, 2**62, 10**12):
        header = struct.pack("<Q", length)
        path.write_bytes(tfr(b"a") + header + struct.pack("<I", masked(header)) + bytes(40))
        refused(path, TruncatedError, 1, 17)
        path.write_bytes(zlib.compress(path.read_bytes()))
        refused(path, TruncatedError, 1, 17)


def test_a_file_that_is_no_tfrecord_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(b"not a record at all, but a text")
    assert "TFRecord" in str(refused(path, ChecksumError, 0, 0))


# ---- compressed files ----

PACKED = gzip.compress(FILE, mtime=0)


@pytest.mark.parametrize("missing", range(1, 9))
def test_a_missing_or_cut_gzip_trailer_which_tensorflow_accepts_is_truncated(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(PACKED[:-missing])
    refused(path, TruncatedError)


@pytest.mark.parametrize("size", [1, 2, 9, 10, 11, 30])
def test_a_gzip_file_cut_early_is_an_error(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(PACKED[:size])
    with pytest.raises(BridgeError):
        raw(path)


@pytest.mark.parametrize("at", [-8, -5, -4, -1])
def test_a_wrong_gzip_trailer_is_a_checksum_error(tmp_path: Path, at: int) -> None:
    data = bytearray(PACKED)
    data[at] ^= 1
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(data)
    refused(path, ChecksumError)


def test_a_wrong_zlib_trailer_is_a_checksum_error_and_a_missing_one_truncated(tmp_path: Path) -> None:
    packed = zlib.compress(FILE)
    path = tmp_path / "x.tfrecord"
    path.write_bytes(packed[:-1] + bytes([packed[-1] ^ 1]))
    refused(path, ChecksumError)
    for missing in range(1, 5):
        path.write_bytes(packed[:-missing])
        refused(path, TruncatedError)


@pytest.mark.parametrize("garbage", [b"\x00", b"garbage", bytes(600), b"\x1f", PACKED[:5]], ids=range(5))
def test_garbage_behind_a_gzip_stream_is_an_error(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(PACKED + garbage)
    with pytest.raises(FormatError) as caught:
        raw(path)
    assert caught.value.path == str(path)


def test_garbage_behind_a_zlib_stream_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(zlib.compress(FILE) + b"more")
    refused(path, FormatError)


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord.gz"
    middle = len(FILE) // 2  # a record that begins in one member and ends in the next
    for pieces in (
        [FILE, FILE],
        [FILE, b"", FILE],
        [FILE[:middle], FILE[middle:], FILE],
        [bytes([b]) for b in FILE + FILE],
    ):
        path.write_bytes(b"".join(gzip.compress(piece) for piece in pieces))
        assert raw(path) == [b"first", b"", b"the third"] * 2


def test_records_of_a_cut_gzip_file_before_the_cut_are_given_first(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord.gz"
    payloads = [np.random.default_rng(i).bytes(100_000) for i in range(100)]
    packed = gzip.compress(tfr(*payloads), compresslevel=1)
    path.write_bytes(packed[: len(packed) // 2])
    batches, read = rb.read(path, batch_rows=1, payload="raw"), []
    with pytest.raises(TruncatedError):
        read.extend(batch["record"][0] for batch in batches)
    assert len(read) > 30
    assert read == payloads[: len(read)]


def test_a_wrong_compression_option_is_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    wrong = {FILE: ("GZIP", "ZLIB"), PACKED: ("", "ZLIB"), zlib.compress(FILE): ("", "GZIP")}
    for data, compressions in wrong.items():
        path.write_bytes(data)
        for compression in compressions:
            with pytest.raises(FormatError) as caught:
                raw(path, compression=compression)
            assert caught.value.path == str(path)
    with pytest.raises(ValueError, match="SNAPPY"):
        raw(path, compression="SNAPPY")


def test_a_compressed_file_is_unpacked_for_random_access_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(PACKED)
    with rb.open(path, payload="raw") as file:
        assert any("temporary" in note for note in file.summary.notes)
        assert file[-1]["record"] == b"the third"


def test_a_small_file_that_inflates_without_end_is_read_in_blocks(tmp_path: Path) -> None:
    """64 MiB of zeros in 64 KB: the first record is damaged, and is said to be so before all is inflated."""
    path = tmp_path / "x.tfrecord.gz"
    path.write_bytes(gzip.compress(bytes(1 << 26), compresslevel=9))
    with pytest.raises(ChecksumError):
        raw(path)


# ---- skipping over damage ----


def skip(path: Path, tmp_path: Path) -> tuple[list[bytes], list[tuple[int, int]]]:
    """The payloads that are kept, and the ranges reported, in bytes of the decompressed stream."""
    kept = raw(path, on_bad_record="skip")
    manifest = rb.convert(
        path, tmp_path / "kept.tfrecord", source_options={"payload": "raw"}, on_bad_record="skip", overwrite=True
    )
    assert raw(tmp_path / "kept.tfrecord") == kept
    assert all(skipped.path == str(path) and skipped.reason for skipped in manifest.skipped)
    return kept, [(skipped.start, skipped.stop) for skipped in manifest.skipped]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress], ids=["plain", "GZIP", "ZLIB"])
@pytest.mark.parametrize(
    ("at", "stop"),
    [(13, 21), (12 + 4, 21), (12 + 5, 21), (0, 21), (9, 21)],
    ids=["payload", "last byte of the payload", "payload checksum", "length", "length checksum"],
)
def test_skip_leaves_out_the_damaged_record_alone(tmp_path: Path, pack: object, at: int, stop: int) -> None:
    data = bytearray(FILE + FILE)
    data[len(FILE) + at] ^= 0x40
    path = tmp_path / "x.tfrecord"
    path.write_bytes(pack(bytes(data)))
    kept = [b"first", b"", b"the third", b"", b"the third"]
    assert skip(path, tmp_path) == (kept, [(len(FILE), len(FILE) + stop)])


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "GZIP"])
@pytest.mark.parametrize("junk", [b"x", bytes(16), b"\xff" * 1000, FILE[:11], FILE[3:12]], ids=range(5))
def test_skip_passes_over_junk_before_between_and_behind_records(tmp_path: Path, pack: object, junk: bytes) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(pack(FILE + junk + FILE + junk))
    size, wide = len(FILE), len(junk)
    ranges = [(size, size + wide), (2 * size + wide, 2 * size + 2 * wide)]
    assert skip(path, tmp_path) == ([b"first", b"", b"the third"] * 2, ranges)
    if pack is bytes:  # a compressed file is found by its first bytes
        path.write_bytes(junk + FILE)
        assert skip(path, tmp_path) == ([b"first", b"", b"the third"], [(0, wide)])


def test_skip_passes_over_damage_larger_than_a_block(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    block = 4 << 20
    for filler in (block - 30, block - 17, block - 16, block - 13, block - 4, block):
        big, junk = rng.bytes(filler), rng.bytes(9 << 20)
        path = tmp_path / "x.tfrecord"
        path.write_bytes(tfr_fast(big) + junk + tfr(b"near") + tfr_fast(big) + tfr(b"far"))
        assert skip(path, tmp_path) == ([big, b"near", big, b"far"], [(16 + filler, 16 + filler + len(junk))])


def tfr_fast(payload: bytes) -> bytes:
    """One large record, with our own checksum (checked elsewhere) for speed."""
    length = struct.pack("<Q", len(payload))
    crc = _kernels.crc32c(payload)
    crc = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return length + struct.pack("<I", masked(length)) + payload + struct.pack("<I", crc)


@pytest.mark.parametrize("missing", [1, 4, 8, 20])
def test_skip_keeps_the_records_of_a_cut_gzip_file(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "x.tfrecord.gz"
    payloads = [np.random.default_rng(i).bytes(10_000) for i in range(20)]
    path.write_bytes(gzip.compress(tfr(*payloads), compresslevel=1)[:-missing])
    kept, ranges = skip(path, tmp_path)
    lost = len(payloads) - len(kept)
    assert kept == payloads[: len(kept)]
    assert lost == (missing == 20)
    assert ranges  # the cut itself, which has no bytes in the decompressed stream, and the record that it cost
    assert all(start >= 10_016 * len(kept) for start, _ in ranges)
    assert lost == 0 or 10_016 * len(kept) in [start for start, _ in ranges]


# ---- what "auto" takes ----


@pytest.mark.parametrize(
    "payload",
    [
        b"raw bytes",
        bytes.fromhex("1200"),
        bytes.fromhex("0a0c0a0a0a017812051a030a0105 1210 0a0e 0a01 73 1209 0a07 1a05 0a03 010203"),
        EXAMPLE[:-1],
    ],
    ids=["text", "empty feature lists", "SequenceExample", "a cut Example"],
)
def test_payloads_that_are_no_examples_are_an_error_that_names_raw(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfr(EXAMPLE, payload))
    with pytest.raises(FormatError, match=r"payload='raw'|payload=\"raw\"") as caught:
        list(rb.read(path))
    assert caught.value.path == str(path)
    assert raw(path) == [EXAMPLE, payload]


@pytest.mark.parametrize("empty", [b"", b"\n\0"], ids=["Example()", "Example(features=Features())"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_example_without_features_is_a_row_without_values(tmp_path: Path, empty: bytes, at: int) -> None:
    path = tmp_path / "x.tfrecord"
    payloads = [EXAMPLE, EXAMPLE]
    payloads.insert(at, empty)
    path.write_bytes(tfr(*payloads))
    (batch,) = rb.read(path)
    assert batch.schema == Schema(Field("x", "int64", (None,)))
    assert [row.tolist() for row in batch["x"]] == [[] if payload == empty else [5] for payload in payloads]


def test_a_record_that_is_no_example_behind_the_first_16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(tfr(*[EXAMPLE] * 30, b"\xff" * 3, EXAMPLE))
    for arguments in (
        {},
        {"schema": Schema(Field("x", "int64"))},
        {"schema": Schema(Field("x", "int64")), "batch_rows": 7},
    ):
        before = open_files()
        with pytest.raises(FormatError) as caught:
            list(rb.read(path, **arguments))
        assert (caught.value.path, caught.value.record, caught.value.offset) == (str(path), 30, 30 * 30)
        assert open_files() == before


def test_payload_raw_writes_one_bytes_field_record_only(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="record"):
        rb.write(tmp_path / "x.tfrecord", {"other": [b"a"]}, payload="raw")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{}, {"payload": "example"}], ids=["auto", "example"])
def test_a_field_called_record_becomes_an_example_unless_raw_is_asked_for(tmp_path: Path, options: dict) -> None:
    rb.write(tmp_path / "x.tfrecord", {"record": [b"a"]}, **options)
    assert next(rb.read(tmp_path / "x.tfrecord")).schema == RAW
    (batch,) = rb.read(tmp_path / "x.tfrecord", payload="raw")
    assert list(batch["record"]) == [bytes.fromhex("0a11 0a0f 0a06 7265636f7264 1205 0a03 0a01 61")]
