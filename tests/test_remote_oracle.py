"""s3:// against a server that speaks S3's protocol (moto), with boto3 as the witness for what is in the bucket."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
import s3fs.core

import recordio_bridge as rb
from recordio_bridge import files, publishing, remote
from tests.s3 import BUCKET, Wire, Witness, authenticate_after, pointed_at, refusing
from tests.test_remote import left_in

SHAPES = Path(__file__).resolve().parents[1] / "examples" / "shapes.rec"
LARGE = 12 << 20  # bytes of a file that takes several requests, and several parts where parts are of 5 MiB


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads in parts of the smallest size that S3 takes, so that a small file has several."""
    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda size, chunksize=None, **limits: 5 << 20)


def large_rec(path: Path) -> bytes:
    """A .rec of records of 100 kB, none like another."""
    values = np.random.default_rng(7).integers(0, 256, (LARGE // 100_000, 100_000), dtype=np.uint8)
    rb.write(path, {"record": [row.tobytes() for row in values]})
    return path.read_bytes()


def put_shapes(bucket: Witness, folder: str) -> None:
    for suffix in (".rec", ".idx"):
        bucket.put(f"{folder}/train{suffix}", SHAPES.with_suffix(suffix).read_bytes())


@pytest.mark.parametrize("suffix", [".tfrecord", ".tfrecord.gz", ".rec", ".h5", ".npz"])
def test_what_is_converted_on_s3_is_what_is_converted_here(
    suffix: str, bucket: Witness, tmp_path: Path, workshop: Path
) -> None:
    put_shapes(bucket, "in")
    here, there = tmp_path / f"x{suffix}", f"s3://{BUCKET}/out/x{suffix}"
    rb.convert(SHAPES, here)
    manifest = rb.convert(f"s3://{BUCKET}/in/train.rec", there)
    assert manifest.verified == "content"
    names = {path.name for path in tmp_path.glob("x*")}
    assert set(bucket.names("out/")) == {f"out/{name}" for name in names}
    for name in names - {f"x{suffix}.manifest.json"}:  # it names the source
        assert bucket.get(f"out/{name}") == (tmp_path / name).read_bytes()
    assert rb.verify(there).ok
    assert rb.inspect(there).schema == rb.inspect(here).schema
    back = f"s3://{BUCKET}/out/back.tfrecord"
    rb.convert(there, back)
    rb.convert(here, tmp_path / "back.tfrecord")
    assert bucket.get("out/back.tfrecord") == (tmp_path / "back.tfrecord").read_bytes()
    assert left_in(workshop) == []


@pytest.mark.parametrize("suffix", [".tfrecord", ".tfrecord.gz", ".rec", ".h5", ".npz"])
def test_shuffled_shards_made_by_workers_on_s3_are_those_made_here(
    suffix: str, bucket: Witness, tmp_path: Path, workshop: Path
) -> None:
    put_shapes(bucket, "in")
    (tmp_path / "out").mkdir()
    rb.convert(SHAPES, tmp_path / f"train{suffix}")
    rb.convert(f"s3://{BUCKET}/in/train.rec", f"s3://{BUCKET}/in2/train{suffix}")
    for name, source in (("out/a.rec", tmp_path / f"train{suffix}"), ("b", f"s3://{BUCKET}/in2/train{suffix}")):
        target = tmp_path / name if source == tmp_path / f"train{suffix}" else f"s3://{BUCKET}/out/a.rec"
        rb.convert(source, target, shards=3, shuffle=True, seed=5, workers=2)
    shards = sorted(path.name for path in (tmp_path / "out").glob("a-*"))
    assert len(shards) == 6
    for name in shards:
        assert bucket.get(f"out/{name}") == (tmp_path / "out" / name).read_bytes()
    assert rb.verify(f"s3://{BUCKET}/out").ok
    assert left_in(workshop) == []


def test_rows_in_any_order_come_from_a_copy_that_goes_with_its_file(bucket: Witness, workshop: Path) -> None:
    put_shapes(bucket, "in")
    with rb.open(f"s3://{BUCKET}/in/train.rec") as there, rb.open(SHAPES) as here:
        assert [row["image"] for row in there[40:50:3].rows()] == [row["image"] for row in here[40:50:3].rows()]
        assert "fetched to a temporary file for random access" in there.summary.notes
        assert left_in(workshop) != []
    assert left_in(workshop) == []


def test_folders_globs_and_shard_sets_on_s3_are_sources(bucket: Witness) -> None:
    put_shapes(bucket, "in")
    rb.convert(f"s3://{BUCKET}/in/train.rec", f"s3://{BUCKET}/set/all.tfrecord", shards=4)
    put_shapes(bucket, "set/deeper")
    for source in ("set", "set/", "set/all.tfrecord", "set/*.tfrecord", "set/all-0000[0-3]-of-*"):
        assert rb.inspect(f"s3://{BUCKET}/{source}").num_rows == 60, source
    assert rb.inspect(f"s3://{BUCKET}/set/**/*.rec").num_rows == 60
    with pytest.raises(FileNotFoundError, match="no file of a known format fits"):
        rb.inspect(f"s3://{BUCKET}/set/*.rec")


def test_the_command_line_takes_s3_paths(bucket: Witness, tmp_path: Path) -> None:
    put_shapes(bucket, "in")
    path, out = f"s3://{BUCKET}/in/train.rec", f"s3://{BUCKET}/out/train.tfrecord"
    for arguments in (
        ["info", path],
        ["head", path, "-n", "2"],
        ["index", path, "--overwrite"],
        ["convert", path, out, "--shards", "2", "--preset", "imagenet"],
        ["verify", out],
    ):
        command = [sys.executable, "-m", "recordio_bridge", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (arguments, done.stderr)
    assert bucket.get("in/train.idx") == SHAPES.with_suffix(".idx").read_bytes()
    assert len(bucket.names("out/train-")) == 2


def test_a_large_file_goes_in_parts_and_comes_in_blocks(
    bucket: Witness, small_parts: None, tmp_path: Path, workshop: Path
) -> None:
    data = large_rec(tmp_path / "a.rec")
    rb.convert(tmp_path / "a.rec", f"s3://{BUCKET}/a.rec")
    assert bucket.get("a.rec") == data
    assert bucket.etag("a.rec").endswith('-3"')  # of three parts, by S3's way to name them
    assert bucket.under_way() == []
    rb.convert(f"s3://{BUCKET}/a.rec", tmp_path / "b.rec")
    assert (tmp_path / "b.rec").read_bytes() == data


@pytest.mark.parametrize("after", [0, 100_000, 5_000_000])
def test_reading_goes_on_after_cut_connections(after: int, wire: Wire, bucket: Witness, tmp_path: Path) -> None:
    data = large_rec(tmp_path / "a.rec")
    bucket.put("a.rec", data)
    wire.cut(3, after, "got")
    rb.convert(f"s3://{BUCKET}/a.rec", tmp_path / "b.rec", source_options={"payload": "raw"})
    assert wire.made == 3
    assert (tmp_path / "b.rec").read_bytes() == data


@pytest.mark.parametrize("after", [0, 100_000, 4_000_000])
def test_uploading_goes_on_after_cut_connections(
    after: int, wire: Wire, bucket: Witness, small_parts: None, tmp_path: Path, workshop: Path
) -> None:
    data = large_rec(tmp_path / "a.rec")
    wire.cut(3, after, "sent")
    rb.convert(tmp_path / "a.rec", f"s3://{BUCKET}/a.rec")
    assert wire.made == 3
    assert bucket.get("a.rec") == data
    assert rb.verify(f"s3://{BUCKET}/a.rec").ok
    assert bucket.under_way() == []
    assert left_in(workshop) == []


def test_an_upload_that_never_succeeds_leaves_nothing(
    wire: Wire,
    bucket: Witness,
    small_parts: None,
    tmp_path: Path,
    workshop: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "_ATTEMPTS", 2)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)  # s3fs and its client pause for seconds between attempts
    monkeypatch.setitem(fsspec.config.conf["s3"], "config_kwargs", {"retries": {"max_attempts": 1}})
    large_rec(tmp_path / "a.rec")
    wire.cut(10_000, 3_000_000, "sent")
    with pytest.raises(OSError, match="uploading it failed") as caught:
        rb.convert(tmp_path / "a.rec", f"s3://{BUCKET}/a.rec")
    assert caught.value.filename == f"s3://{BUCKET}/a.rec"
    assert bucket.names() == []
    assert bucket.under_way() == []
    assert left_in(workshop) == []


def test_a_missing_bucket_or_object_is_named(bucket: Witness, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"s3://lake/none\.rec: no such file"):
        rb.inspect(f"s3://{BUCKET}/none.rec")
    with pytest.raises(FileNotFoundError, match=r"s3://nowhere does not exist; make it first.*s3://nowhere/x\.rec"):
        rb.convert(SHAPES, "s3://nowhere/x.rec")


def test_an_output_that_is_there_stays_and_overwrite_replaces_it_with_what_it_makes_void(bucket: Witness) -> None:
    out = f"s3://{BUCKET}/out/x.tfrecord"
    rb.convert(SHAPES, out, shards=3)
    before = {name: bucket.get(name) for name in bucket.names()}
    with pytest.raises(FileExistsError, match="exists; pass overwrite=True"):
        rb.convert(SHAPES, out, shards=3)
    assert {name: bucket.get(name) for name in bucket.names()} == before
    rb.convert(SHAPES, out, shards=2, overwrite=True)
    assert len(bucket.names("out/x-")) == 2
    assert rb.verify(out).ok


def test_a_file_that_appeared_meanwhile_is_not_replaced(bucket: Witness, workshop: Path) -> None:
    def appear(done: int, rows: int) -> None:
        bucket.put("x.tfrecord", b"of another run")

    with pytest.raises(FileExistsError, match="appeared while this ran"):
        rb.convert(SHAPES, f"s3://{BUCKET}/x.tfrecord", progress=appear)
    assert bucket.get("x.tfrecord") == b"of another run"
    assert bucket.names() == ["x.tfrecord"]
    assert left_in(workshop) == []


def test_refused_credentials_are_an_error_at_once(server: tuple[str, int], bucket: Witness) -> None:
    put_shapes(bucket, "in")
    authenticate_after(server, 0)
    try:
        with pytest.raises(PermissionError, match=r"access was refused .* check the credentials") as caught:
            rb.inspect(f"s3://{BUCKET}/in/train.rec")
        assert caught.value.filename == f"s3://{BUCKET}/in/train.rec"
        with pytest.raises(PermissionError):
            rb.convert(SHAPES, f"s3://{BUCKET}/x.rec")
    finally:
        authenticate_after(server, 1_000_000_000)


def test_a_refusal_is_not_repeated_and_a_busy_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PAUSE_S", 0.0)
    monkeypatch.setattr(remote, "_ATTEMPTS", 1)  # beside those of s3fs
    with refusing("403 Forbidden", "AccessDenied") as (url, seen), pointed_at(url, monkeypatch):
        with pytest.raises(PermissionError, match="access was refused"):
            files.read_bytes(f"s3://{BUCKET}/a", 10)
        assert len(seen) == 1
    with refusing("503 Slow Down", "SlowDown") as (url, seen), pointed_at(url, monkeypatch):
        with pytest.raises(OSError, match="try again, or check the network") as caught:
            files.read_bytes(f"s3://{BUCKET}/a", 10)
        assert not isinstance(caught.value, (PermissionError, FileNotFoundError))
        assert len(seen) > 2


def test_a_source_that_is_replaced_while_it_is_read_is_noticed(bucket: Witness, tmp_path: Path) -> None:
    data = large_rec(tmp_path / "a.rec")
    bucket.put("a.rec", data)
    batches = rb.read(f"s3://{BUCKET}/a.rec", batch_rows=10, payload="raw")
    next(batches)
    bucket.put("a.rec", data + data)
    with pytest.raises(rb.BridgeError, match="changed while it was read"):
        for _ in batches:
            pass


def test_small_files_of_a_migration_work_on_s3(bucket: Witness) -> None:
    folder = f"s3://{BUCKET}/out/plan"
    files.make_folder(folder)
    assert not files.exists(folder)
    assert not files.is_folder(folder)
    publishing.put_bytes(f"{folder}/b", b"1")
    publishing.put_bytes(f"{folder}/b", b"22")
    publishing.put_bytes(f"{folder}/a/c", b"")
    bucket.put("out/plan/", b"")  # as some programs mark a folder
    assert files.is_folder(folder)
    assert files.list_folder(folder) == ["a", "b"]
    assert files.read_bytes(f"{folder}/b", 2) == b"22"
    nbytes, mtime_ns = files.state_of(f"{folder}/b")
    assert (nbytes, mtime_ns > 1_600_000_000 * 10**9) == (2, True)
    files.remove([f"{folder}/b", f"{folder}/b"])
    assert files.list_folder(folder) == ["a"]
