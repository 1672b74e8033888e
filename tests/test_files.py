"""Files: output that is whole or not there, reads that are never short."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import ChecksumError, FormatError, SourceChangedError, TruncatedError, files, publishing
from tests.samples import (
    contents,
    fail_rename,
    frame_rec,
    frame_tfrecord,
    image_rec,
    interrupt_link,
    write_rec,
    write_tfrecord,
)

MEGABYTE = 1 << 20


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def read_all(stream: files.Stream, step: int = 7) -> bytes:
    buffer, data = bytearray(step), b""
    while got := stream.readinto(memoryview(buffer)):
        data += bytes(buffer[:got])
        if stream.failure is not None:
            break
    stream.close()
    if stream.failure is not None:
        raise stream.failure
    return data


# ---- atomic output ----


def test_a_file_appears_under_its_name_only_when_it_is_complete(tmp_path):
    with publishing.atomic(str(tmp_path / "a.bin")) as out:
        out.write(b"hello ")
        assert "a.bin" not in names(tmp_path)
        assert len(names(tmp_path)) == 1
        out.write(b"world")
        assert "a.bin" not in names(tmp_path)
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"hello world"


def test_the_temporary_file_lies_beside_its_target_and_is_hidden(tmp_path):
    with publishing.atomic(str(tmp_path / "a.bin")) as out:
        out.write(b"x")
        assert all(name.startswith(".") for name in names(tmp_path))


def write_half(path: Path, error: type[BaseException]) -> None:
    """Start a file, and fail before it is complete."""
    with publishing.atomic(str(path)) as out:
        out.write(b"half")
        raise error("stop")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_any_exception_removes_the_temporary_file(tmp_path, error):
    with pytest.raises(error, match="stop"):
        write_half(tmp_path / "a.bin", error)
    assert names(tmp_path) == []


def test_an_exception_leaves_the_earlier_file_as_it_was(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"earlier")
    with pytest.raises(RuntimeError, match="stop"):
        write_half(target, RuntimeError)
    assert names(tmp_path) == ["a.bin"]
    assert target.read_bytes() == b"earlier"


def test_two_outputs_of_one_name_do_not_share_a_temporary_file(tmp_path):
    target = str(tmp_path / "a.bin")
    with publishing.atomic(target, overwrite=True) as first, publishing.atomic(target) as second:
        first.write(b"first")
        second.write(b"second")
        assert len(names(tmp_path)) == 2
    assert (tmp_path / "a.bin").read_bytes() == b"first"


def test_a_name_without_a_folder_is_written_in_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with publishing.atomic("a.bin") as out:
        out.write(b"x")
    assert names(tmp_path) == ["a.bin"]


@pytest.fixture
def umask_027() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask_027")
def test_the_umask_decides_who_may_read_every_file_of_an_output(tmp_path):
    rb.write(tmp_path / "a.rec", {"id": [1], "image": [b"x"]})
    rb.convert(tmp_path / "a.rec", tmp_path / "b.tfrecord")
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names(tmp_path)}
    assert set(modes.values()) == {0o640}


def test_nothing_is_written_into_a_folder_that_is_not_there(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    with pytest.raises(FileNotFoundError):
        rb.convert(source, tmp_path / "missing" / "b.tfrecord")
    assert names(tmp_path) == ["a.idx", "a.rec"]


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """here/b.tfrecord, a link to there/big.tfrecord, which holds something."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "there" / "big.tfrecord").write_bytes(b"of an earlier run")
    (tmp_path / "here" / "b.tfrecord").symlink_to(Path("..") / "there" / "big.tfrecord")
    return tmp_path / "here" / "b.tfrecord"


def test_overwriting_through_a_link_replaces_what_it_leads_to_and_keeps_the_link(tmp_path, linked, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = image_rec(tmp_path / "a.rec", 3)
    rb.convert(source, Path("here") / "b.tfrecord", overwrite=True)
    assert linked.is_symlink()
    assert not (tmp_path / "there" / "big.tfrecord").is_symlink()
    assert rb.inspect(tmp_path / "there" / "big.tfrecord").num_rows == 3
    assert names(tmp_path / "here") == ["b.tfrecord", "b.tfrecord.manifest.json", "b.tfrecord.schema.json"]
    assert names(tmp_path / "there") == ["big.tfrecord"]
    report = rb.verify(linked)
    assert (report.ok, report.num_rows) == (True, 3)
    rb.write(linked, {"id": [1]}, overwrite=True)
    assert linked.is_symlink()
    assert rb.inspect(linked).num_rows == 1
    assert names(tmp_path / "there") == ["big.tfrecord"]


@pytest.mark.parametrize(
    ("suffix", "beside"),
    [(".rec", ".idx"), (".rec", ".rec.schema.json"), (".tfrecord", ".tfrecord.schema.json")]
    + [(suffix, f"{suffix}.manifest.json") for suffix in (".rec", ".tfrecord", ".h5", ".npz")],
)
def test_a_link_to_a_file_with_others_beside_it_is_not_written_through(tmp_path, suffix, beside):
    """An index that stays tells where the rows were of the file that was there before."""
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    rows = {"id": np.arange(3, dtype=np.uint64), "label": np.zeros((3, 1), np.float32), "image": [b"\xff\xd8"] * 3}
    rb.write(tmp_path / "a.rec", rows)
    rb.convert(tmp_path / "a.rec", tmp_path / f"there/big{suffix}")
    for path in (tmp_path / "there").iterdir():
        if path.name not in (f"big{suffix}", f"big{beside}"):
            path.unlink()
    link = tmp_path / f"here/b{suffix}"
    link.symlink_to(tmp_path / f"there/big{suffix}")
    before = contents(tmp_path / "there")
    assert len(before) == 2
    expected = rf"here/b\{suffix}: leads to .*/there/big\{suffix}, and .*/big\{beside}"
    with pytest.raises(ValueError, match=expected):
        rb.convert(tmp_path / "a.rec", link, overwrite=True)
    with pytest.raises(ValueError, match=expected):
        rb.write(link, rows, overwrite=True)
    assert contents(tmp_path / "there") == before
    assert names(tmp_path / "here") == [link.name]
    (tmp_path / f"here/b{beside}").symlink_to(tmp_path / f"there/big{beside}")  # each by a link of its own
    rb.convert(tmp_path / "a.rec", link, overwrite=True)
    assert rb.verify(link).ok


def test_a_link_to_a_shard_of_a_set_is_not_written_through(tmp_path):
    rb.convert(image_rec(tmp_path / "a.rec", 3), tmp_path / "set.tfrecord", shards=2)
    link = tmp_path / "b.tfrecord"
    link.symlink_to("set-00000-of-00002.tfrecord")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"leads to .*, and .*/set\.tfrecord\.manifest\.json is beside"):
        rb.convert(tmp_path / "a.rec", link, overwrite=True)
    assert contents(tmp_path) == before


def test_a_link_that_leads_nowhere_is_written_through(tmp_path, linked):
    (tmp_path / "there" / "big.tfrecord").unlink()
    rb.write(linked, {"id": [1]}, overwrite=True)
    assert rb.inspect(tmp_path / "there" / "big.tfrecord").num_rows == 1
    (tmp_path / "there" / "big.tfrecord").unlink()
    (tmp_path / "there").rmdir()
    with pytest.raises(FileNotFoundError, match="there"):
        rb.write(linked, {"id": [1]}, overwrite=True)


def test_what_a_link_leads_to_is_put_back_when_a_later_name_cannot_be_given(tmp_path, linked, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 3)
    error, calls = interrupt_link(monkeypatch, 2)  # at the manifest, behind the data and the schema
    with pytest.raises(error):
        rb.convert(source, linked, overwrite=True)
    assert len(calls) > 3  # and then the way back
    assert linked.is_symlink()
    assert (tmp_path / "there" / "big.tfrecord").read_bytes() == b"of an earlier run"
    assert names(tmp_path / "here") == ["b.tfrecord"]
    assert names(tmp_path / "there") == ["big.tfrecord"]


def test_two_shards_that_are_one_file_by_a_link_are_refused(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    first, second = (tmp_path / f"b-0000{n}-of-00002.tfrecord" for n in (0, 1))
    first.write_bytes(b"of an earlier run")
    second.symlink_to(first)
    with pytest.raises(FileExistsError, match="same file by a link"):
        rb.convert(source, tmp_path / "b.tfrecord", shards=2, overwrite=True)
    assert first.read_bytes() == b"of an earlier run"


def test_a_link_to_a_folder_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    rb.write(tmp_path / "link" / "a.rec", {"id": [1], "image": [b"x"]})
    assert "a.rec" in names(tmp_path / "real")


def test_an_existing_target_is_refused_with_what_to_pass(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(FileExistsError, match=r"a\.bin.*overwrite=True"):
        publishing.refuse_existing([str(tmp_path / "b.bin"), str(tmp_path / "a.bin")], False)


def test_a_link_to_nothing_is_an_existing_target(tmp_path):
    (tmp_path / "a.bin").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        publishing.refuse_existing([str(tmp_path / "a.bin")], False)


def test_overwrite_allows_existing_files_but_never_a_folder(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    publishing.refuse_existing([str(tmp_path / "a.bin")], True)
    with pytest.raises(OSError, match="folder"):
        publishing.refuse_existing([str(tmp_path / "folder")], True)


def test_writing_over_a_file_is_refused_before_any_batch_is_asked_for(tmp_path):
    (tmp_path / "a.rec").write_bytes(b"precious")

    def batches() -> Iterator[dict[str, list]]:
        raise AssertionError("asked for a batch")
        yield {}

    with pytest.raises(FileExistsError):
        rb.write(tmp_path / "a.rec", batches())
    assert (tmp_path / "a.rec").read_bytes() == b"precious"
    assert names(tmp_path) == ["a.rec"]


@pytest.mark.parametrize("sidecar", ["b.idx", "b.rec.schema.json", "b.rec.manifest.json"])
def test_a_file_that_belongs_to_the_output_is_not_overwritten_either(tmp_path, sidecar):
    (tmp_path / sidecar).write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=sidecar):
        rb.write(tmp_path / "b.rec", {"id": [1], "image": [b"x"]})
    source = image_rec(tmp_path / "a.rec", 2)
    with pytest.raises(FileExistsError, match=sidecar):
        rb.convert(source, tmp_path / "b.rec")
    assert (tmp_path / sidecar).read_bytes() == b"precious"


def test_an_error_in_the_middle_of_writing_leaves_nothing(tmp_path):
    def batches() -> Iterator[dict[str, list]]:
        yield {"id": [1], "image": [b"x"]}
        raise RuntimeError("the source of the batches failed")

    for name in ("a.rec", "a.tfrecord", "a.tfrecord.gz"):
        with pytest.raises(RuntimeError, match="the source of the batches failed"):
            rb.write(tmp_path / name, batches())
    assert names(tmp_path) == []


def test_a_batch_that_does_not_fit_leaves_nothing(tmp_path):
    batches = [{"x": np.arange(3)}, {"y": np.arange(3)}]
    for name in ("a.rec", "a.tfrecord"):
        with pytest.raises(rb.SchemaError):
            rb.write(tmp_path / name, batches)
    assert names(tmp_path) == []


def test_a_field_name_that_is_no_unicode_is_a_schema_error_and_leaves_nothing(tmp_path):
    for name in ("a.rec", "a.tfrecord"):
        with pytest.raises(rb.SchemaError):
            rb.write(tmp_path / name, {"\udcff": [1], "x": [2]})
    assert names(tmp_path) == []


def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 50)
    before = names(tmp_path)

    def no_space(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_space)
        with pytest.raises(OSError, match=r"No space left on device for \d+ more bytes after 0; make room") as caught:
            rb.convert(source, tmp_path / "b.tfrecord")
    assert (caught.value.errno, caught.value.filename) == (28, str(tmp_path / "b.tfrecord"))
    assert names(tmp_path) == before


def test_a_disk_that_fails_when_a_file_is_synced_is_an_os_error_that_names_it(tmp_path, monkeypatch):
    def fail(fd: int) -> None:
        raise OSError(122, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="quota exceeded; make room") as caught:
            rb.write(tmp_path / "b.rec", {"id": [1], "image": [b"x"]})
    assert (caught.value.errno, caught.value.filename) == (122, str(tmp_path / "b.rec"))
    assert names(tmp_path) == []


def test_a_full_disk_of_temporary_files_is_named(tmp_path, monkeypatch):
    rb.write(tmp_path / "a.tfrecord.gz", {"n": [1, 2, 3]})

    def no_space(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_space)
        with pytest.raises(OSError, match="No space left") as caught:
            rb.open(tmp_path / "a.tfrecord.gz")
    assert caught.value.filename.endswith("-a.tfrecord.gz")


WITH_A_LIMIT = """
import os, resource, sys
import recordio_bridge as rb
from recordio_bridge import mxrecordio

source, target, workers = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    if workers == "0":
        writer = mxrecordio.MXRecordIO(target, "w")
        for _ in range(8):
            writer.write(bytes(1 << 20))
    else:
        rb.convert(source, target, shards=3, workers=int(workers), source_options={"payload": "raw"})
except OSError as err:
    print(err.errno, err.filename, err, flush=True)
    os._exit(0)  # the writer would complain again when it is closed
"""


@pytest.mark.parametrize("workers", [1, 2, 0], ids=["one process", "workers", "mxrecordio"])
def test_a_file_that_may_not_grow_as_large_is_named_with_what_to_do(tmp_path, workers):
    source = write_rec(tmp_path / "a.rec", [b"x" * 70_000] * 9)
    target = tmp_path / "b.rec"
    command = [sys.executable, "-c", WITH_A_LIMIT, str(source), str(target), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    number, name, message = done.stdout.split(" ", 2)
    shards = [str(tmp_path / f"b-0000{n}-of-00003.rec") for n in range(3)]
    assert int(number) == errno.EFBIG
    assert name in ([str(target)] if workers == 0 else shards)
    assert "more bytes after " in message
    assert "ulimit" in message
    assert workers == 0 or names(tmp_path) == ["a.rec"]


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("failure", [interrupt_link, fail_rename])
def test_a_failure_while_the_files_of_a_rec_take_their_names_leaves_none_of_them(tmp_path, monkeypatch, at, failure):
    error, calls = failure(monkeypatch, at)
    with pytest.raises(error):
        rb.write(tmp_path / "a.rec", {"id": [1], "image": [b"x"]})
    assert len(calls) > at  # the data, the index and the schema sidecar take a name
    assert names(tmp_path) == []


def test_a_write_that_takes_only_some_bytes_is_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, memoryview(data)[: max(1, len(data) // 2)]))
    with publishing.atomic(str(tmp_path / "a.bin")) as out:
        out.write(bytes(range(256)) * 3)
    assert (tmp_path / "a.bin").read_bytes() == bytes(range(256)) * 3


# ---- plain streams ----


def test_a_plain_stream_gives_the_bytes_from_start_to_stop(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    assert read_all(files.open_stream(str(path))) == b"0123456789"
    assert read_all(files.open_stream(str(path), "", 3, 7)) == b"3456"
    assert read_all(files.open_stream(str(path), "", 10)) == b""


def test_a_file_that_shrinks_while_it_is_read_is_truncated_and_no_dead_process(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(100))
    stream = files.PlainStream(str(path))
    assert stream.readinto(memoryview(bytearray(10))) == 10
    os.truncate(path, 40)
    with pytest.raises(TruncatedError) as caught:
        stream.readinto(memoryview(bytearray(90)))
    stream.close()
    assert caught.value.path == str(path)


@pytest.mark.parametrize("kind", ["rec", "tfrecord"])
def test_a_source_that_shrinks_while_it_is_read_raises_truncated(tmp_path, kind):
    payload = bytes(range(256)) * 1024
    frame = frame_rec(payload)
    path = tmp_path / f"a.{kind}"
    if kind == "tfrecord":
        frame = frame_tfrecord(payload[:MEGABYTE])
    path.write_bytes(frame * 64)
    batches = rb.read(path, batch_rows=1, payload="raw")
    next(batches)
    os.truncate(path, len(frame) + 5)
    with pytest.raises(TruncatedError) as caught:
        list(batches)
    assert caught.value.path == str(path)


def test_an_open_record_file_whose_source_shrinks_is_an_error_and_no_dead_process(tmp_path):
    path = write_rec(tmp_path / "a.rec", [b"payload %d" % n for n in range(100)])
    with rb.open(path, payload="raw") as file:
        os.truncate(path, 100)
        with pytest.raises(SourceChangedError, match=r"a\.rec") as caught:
            file.take([99])
    assert isinstance(caught.value.__cause__, TruncatedError)


def test_batches_read_earlier_stay_as_they_were_when_the_source_shrinks(tmp_path):
    path = image_rec(tmp_path / "a.rec", 1000)
    batch = next(rb.read(path, batch_rows=10))
    images = list(batch["image"])
    os.truncate(path, 0)
    assert list(batch["image"]) == images


# ---- compression ----


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (gzip.compress(b"x", mtime=0), "GZIP"),
        (zlib.compress(b"x", 1), "ZLIB"),
        (zlib.compress(b"x", 6), "ZLIB"),
        (zlib.compress(b"x", 9), "ZLIB"),
        (b"", ""),
        (b"\x1f", ""),
        (b"x", ""),
        (frame_tfrecord(b"abc"), ""),
        (frame_rec(b"abc"), ""),
        (b"\x78\x9d", ""),
    ],
)
def test_compression_is_seen_from_the_first_bytes(head, expected):
    assert files.compression_of(head) == expected


@pytest.mark.parametrize("length", [0x0178, 0x5E78, 0x9C78, 0xDA78, 0x088B1F])
def test_a_plain_file_whose_first_length_looks_like_a_compressed_stream_is_read_plain(tmp_path, length):
    payload = bytes(length)
    path = write_tfrecord(tmp_path / "a.tfrecord", [payload])
    (batch,) = rb.read(path, payload="raw")
    assert list(batch["record"]) == [payload]
    assert rb.inspect(path, payload="raw").num_rows == 1


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_an_inflated_stream_gives_what_was_compressed(tmp_path, compress):
    data = os.urandom(1000) + bytes(3_000_000)
    path = tmp_path / "a"
    path.write_bytes(compress(data))
    stream = files.open_stream(str(path), files.compression_of(path.read_bytes()[:16]))
    assert read_all(stream, 1 << 16) == data


def test_several_gzip_members_are_one_stream(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(b"one ", mtime=0) + gzip.compress(b"") + gzip.compress(b"two"))
    assert read_all(files.open_stream(str(tmp_path / "a"), "GZIP")) == b"one two"


@pytest.mark.parametrize("wbits", [31, 15])
def test_a_compressed_stream_cut_anywhere_is_an_error(tmp_path, wbits):
    compressor = zlib.compressobj(6, zlib.DEFLATED, wbits, 9)
    whole = compressor.compress(b"some bytes, and more " * 20) + compressor.flush()
    path = tmp_path / "a"
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError) as caught:
            read_all(files.open_stream(str(path), "GZIP" if wbits == 31 else "ZLIB"), 64)
        assert caught.value.path == str(path)


def test_a_damaged_compressed_stream_gives_its_sound_bytes_and_then_never_an_end(tmp_path):
    whole = gzip.compress(b"some bytes", mtime=0)
    (tmp_path / "a").write_bytes(whole[:-8])
    stream, buffer = files.open_stream(str(tmp_path / "a"), "GZIP"), bytearray(100)
    assert stream.readinto(memoryview(buffer)) == 10
    assert isinstance(stream.failure, TruncatedError)
    for _ in range(2):
        with pytest.raises(TruncatedError):
            stream.readinto(memoryview(buffer))
    stream.close()


@pytest.mark.parametrize("wbits", [31, 15])
def test_a_wrong_checksum_in_the_trailer_is_a_checksum_error(tmp_path, wbits):
    compressor = zlib.compressobj(6, zlib.DEFLATED, wbits, 9)
    whole = bytearray(compressor.compress(b"some bytes") + compressor.flush())
    whole[-8 if wbits == 31 else -1] ^= 1
    (tmp_path / "a").write_bytes(whole)
    with pytest.raises(ChecksumError):
        read_all(files.open_stream(str(tmp_path / "a"), "GZIP" if wbits == 31 else "ZLIB"))


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_garbage_behind_a_compressed_stream_is_an_error(tmp_path, compress):
    (tmp_path / "a").write_bytes(compress(b"some bytes") + b"garbage")
    kind = files.compression_of(compress(b"")[:16])
    with pytest.raises(FormatError):
        read_all(files.open_stream(str(tmp_path / "a"), kind))


def test_small_files_written_atomically_are_whole(tmp_path):
    publishing.publish([files.pending_file(str(tmp_path / "a.json"), b"{}\n")])
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"{}\n"
