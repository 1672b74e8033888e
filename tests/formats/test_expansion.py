"""Compressed files that unpack to far more than they are: memory goes by what is there, not by what the file says.

The traps are GZIP files of many equal members, a megabyte of which are a gigabyte and made in no time.
"""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError, TruncatedError
from recordio_bridge.files import Checksum, InflateStream
from recordio_bridge.formats import framed
from tests.reference.checksum import crc32c, mask_crc

MEGABYTE = 1 << 20
ZEROS = bytes(16 * MEGABYTE)
MEMBER = gzip.compress(ZEROS, 9)
HOME = Path(rb.__file__).resolve().parents[1]


def head(length: int) -> bytes:
    """The head of a record of this length."""
    stated = struct.pack("<Q", length)
    return stated + struct.pack("<I", mask_crc(crc32c(stated)))


def trailer(*pieces: bytes) -> bytes:
    """What follows a payload of these pieces; its checksum by the kernel, as they are long."""
    crc = Checksum()
    for piece in pieces:
        crc.add(piece)
    return struct.pack("<I", mask_crc(crc.value))


def frame(payload: bytes) -> bytes:
    """A record."""
    return head(len(payload)) + payload + trailer(payload)


def frame_zeros(members: int) -> bytes:
    """A record of 16 MiB of zeros a member, as GZIP members."""
    return gzip.compress(head(members * len(ZEROS))) + members * MEMBER + gzip.compress(trailer(*members * [ZEROS]))


def write(path: Path, *pieces: bytes) -> Path:
    path.write_bytes(b"".join(pieces))
    return path


def peak(code: str, path: Path) -> tuple[str, int]:
    """What a new interpreter prints that runs the code, and by how many MiB its memory grew beyond the imports'."""
    program = f"""
import resource
import recordio_bridge as rb
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
path, before = {str(path)!r}, peak()
try:
    {code}
except rb.FormatError as err:
    print(type(err).__name__)
print(peak() - before)
"""
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    *printed, grown = done.stdout.split()
    unit = 1 if sys.platform == "darwin" else 1024
    return " ".join(printed), int(grown) * unit // MEGABYTE


READ = "print(sum(len(batch) for batch in rb.read(path, payload='raw')))"


# ---- what cannot be ----


def test_what_may_come_of_a_compressed_stream_is_never_less_than_what_comes(tmp_path: Path) -> None:
    for data in (ZEROS, os.urandom(3 * MEGABYTE), b"", b"ab" * MEGABYTE):
        for compress in (gzip.compress, zlib.compress):
            path = write(tmp_path / "x", compress(data, 9))
            stream, left = InflateStream(str(path), "GZIP" if compress is gzip.compress else "ZLIB"), len(data)
            buffer = memoryview(bytearray(100_000))
            while left:
                assert left <= stream.at_most <= 1032 * path.stat().st_size + 65536
                left -= stream.readinto(buffer)
            assert stream.readinto(buffer) == 0
            stream.close()


@pytest.mark.parametrize("length", [2**33, 2**40, 2**62, 2**64 - 1])
def test_a_length_beyond_all_that_can_come_is_truncated_at_once(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "x.tfrecord.gz", gzip.compress(head(length)), 420 * MEMBER)
    assert path.stat().st_size < 7 * MEGABYTE
    printed, grown = peak(READ, path)
    assert printed == "TruncatedError"
    assert grown < 64
    with pytest.raises(TruncatedError) as caught:
        list(rb.read(path, payload="raw"))
    assert (caught.value.path, caught.value.record, caught.value.offset) == (str(path), 0, 0)


def test_a_length_beyond_a_plain_file_is_truncated_before_the_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tfrecord", head(2**33))
    os.truncate(path, 1 << 31)  # a hole
    printed, grown = peak(READ, path)
    assert printed == "TruncatedError"
    assert grown < 64


def test_skip_goes_on_behind_a_length_that_cannot_be(tmp_path: Path) -> None:
    """Heads of such lengths are no records, wherever they stand, and memory does not grow by what lies between."""
    noise = os.urandom(5 * MEGABYTE)
    body = frame(b"one") + head(2**50) + noise + head(2**40) + frame(b"two")
    for name, pack in (("x.tfrecord", bytes), ("x.tfrecord.gz", gzip.compress)):
        path = write(tmp_path / name, pack(body + head(2**45)))
        for rows in (1, 1024):
            batches = rb.read(path, rows, payload="raw", on_bad_record="skip")
            assert [record for batch in batches for record in batch["record"]] == [b"one", b"two"]


# ---- what can be, and is hardly true ----


@pytest.mark.one_lane
def test_a_huge_record_of_a_small_file_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tfrecord.gz", gzip.compress(frame(b"one") + head(6 << 30)), 420 * MEMBER)
    for code in (READ, READ.replace("payload=", "on_bad_record='skip', payload="), "rb.inspect(path)", "rb.open(path)"):
        printed, grown = peak(code, path)
        assert printed == "FormatError"
        assert grown < 64
    with pytest.raises(FormatError, match=r"record 1 at byte 19.*6442450960 bytes.*expansion='any'") as caught:
        list(rb.read(path, payload="raw"))
    assert (caught.value.path, caught.value.record, caught.value.offset) == (str(path), 1, 19)
    assert "batch_rows" not in str(caught.value)


@pytest.mark.one_lane
def test_a_batch_that_fills_memory_is_refused_before_it_does(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tfrecord.gz", frame_zeros(8) * 5)
    printed, grown = peak(READ, path)
    assert printed == "FormatError"
    assert grown < 1600
    printed, grown = peak(READ.replace("path", "path, 1"), path)
    assert printed == "5"
    assert grown < 900


@pytest.fixture
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the limit is met by files that take no time."""
    monkeypatch.setattr(framed, "_HELD", 20 * MEGABYTE)


@pytest.mark.usefixtures("low_limit")
def test_records_that_are_too_much_for_one_batch_can_be_read_with_fewer_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tfrecord.gz", frame_zeros(1) * 5)
    with pytest.raises(FormatError, match=r"records 0 to 1 .*33554464 bytes.*batch_rows.*expansion='any'"):
        list(rb.read(path, payload="raw"))
    assert [len(batch) for batch in rb.read(path, 1, payload="raw")] == [1] * 5
    assert rb.inspect(path, payload="raw").num_rows == 5


@pytest.mark.usefixtures("low_limit")
def test_expansion_any_reads_what_the_limit_refuses(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tfrecord.gz", frame_zeros(1), frame_zeros(2))
    for rows in (1, 2, 10**12):
        with pytest.raises(FormatError, match="expansion"):
            list(rb.read(path, rows, payload="raw"))
        batches = rb.read(path, rows, payload="raw", expansion="any")
        assert [len(record) for batch in batches for record in batch["record"]] == [16 * MEGABYTE, 32 * MEGABYTE]
    with pytest.raises(ValueError, match="expansion"):
        rb.read(path, expansion="some")


@pytest.mark.usefixtures("low_limit")
def test_a_batch_at_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    for more, fits in ((0, True), (1, False)):
        frames = [frame(bytes(MEGABYTE - 16)) for _ in range(19)] + [frame(bytes(MEGABYTE - 16 + more))]
        path = write(tmp_path / "x.tfrecord.gz", gzip.compress(b"".join(frames)))
        if fits:
            assert [len(batch) for batch in rb.read(path, payload="raw")] == [20]
        else:
            with pytest.raises(FormatError, match="records 0 to 19"):
                list(rb.read(path, payload="raw"))


@pytest.mark.usefixtures("low_limit")
def test_data_that_do_not_expand_much_have_no_limit(tmp_path: Path) -> None:
    payloads = [os.urandom(MEGABYTE) + bytes(25 * MEGABYTE) for _ in range(2)]
    path = write(tmp_path / "x.tfrecord.gz", gzip.compress(b"".join(map(frame, payloads)), 1))
    (batch,) = rb.read(path, payload="raw")
    assert list(batch["record"]) == payloads


@pytest.mark.usefixtures("low_limit")
def test_a_conversion_verifies_what_it_wrote_itself_however_much_it_shrank(tmp_path: Path) -> None:
    source = write(tmp_path / "x.tfrecord", frame(bytes(32 * MEGABYTE)))
    rb.convert(source, tmp_path / "y.tfrecord.gz", source_options={"payload": "raw"})
    with pytest.raises(FormatError, match="expansion"):
        list(rb.read(tmp_path / "y.tfrecord.gz"))
    assert [len(batch) for batch in rb.read(tmp_path / "y.tfrecord.gz", expansion="any")] == [1]


# ---- what expands as much and is harmless ----


@pytest.mark.one_lane
def test_small_records_may_expand_as_much_as_they_like(tmp_path: Path) -> None:
    member = gzip.compress(frame(bytes(4080)) * 4096, 9)
    path = write(tmp_path / "x.tfrecord.gz", 32 * member)
    assert path.stat().st_size < 7 * MEGABYTE
    printed, grown = peak(READ, path)
    assert printed == str(32 * 4096)
    assert grown < 128


@pytest.mark.parametrize("name", ["x.tfrecord", "x.tfrecord.gz", "x.tfrecord.zz"])
def test_a_batch_may_be_asked_for_that_is_larger_than_any_file(tmp_path: Path, name: str) -> None:
    numbers = np.arange(300_000)
    rb.write(tmp_path / name, {"x": numbers})
    for rows in (10**12, 300_000):
        (batch,) = rb.read(tmp_path / name, rows)
        assert np.array_equal(batch["x"], numbers)
    assert sum(len(batch) for batch in rb.read([tmp_path / name] * 2, batch_rows=2**70)) == 600_000


@pytest.mark.one_lane
def test_a_huge_batch_of_a_compressed_file_takes_the_memory_of_its_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tfrecord.gz", gzip.compress(frame(bytes(240)) * 400_000, 1))
    printed, grown = peak(READ.replace("path", "path, 10**12"), path)
    assert printed == "400000"
    assert grown < 5 * 100
