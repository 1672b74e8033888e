"""Files that lie beside data or are given for them, one byte larger than their cap, or without end: left unread.

They are sparse, and the caps stand here as numbers. Commands read them in a process that has less memory than most.
"""

from __future__ import annotations

import os
import shutil
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError, MigrationError, paths, sidecar
from recordio_bridge.cli import main
from recordio_bridge.migrate import state
from recordio_bridge.sidecar import read_names
from tests.limits.probing import outcome, told
from tests.samples import GOLDEN, image_rec, make_example, write_tfrecord

ASKED: dict[str, Any] = {"to": "tfrecord", "shards": 2}
SHARDS = ["--to", "tfrecord", "--shards", "2", "--workers", "1"]
NAMED = ["--select", "label:int64=label[0]", "--class-names", "names.txt"]
ENDLESS = 1 << 40

BEYOND = {
    "sidecar": ("one.tfrecord.schema.json", 1 << 28, ["info", "one.tfrecord"], 1),
    "manifest": ("one.tfrecord.manifest.json", 1 << 30, ["verify", "one.tfrecord"], 3),
    "report": ("out/out.migration.json", 1 << 30, ["verify", "out"], 3),
    "report, gone on with": ("out/out.migration.json", 1 << 30, ["migrate", "src", "out", *SHARDS, "--resume"], 1),
    "dataset_info": ("my/dataset_info.json", 1 << 26, ["convert", "src/0.rec", "my", "--tfds", "my:1.0.0"], 1),
    "plan": ("begun/begun.unfinished/plan.jsonl", 1 << 32, ["migrate", "src", "begun", *SHARDS, "--resume"], 1),
    "index": ("src/0.idx", 1 << 26, ["info", "src/0.rec"], 0),
    "index, verified": ("src/0.idx", 1 << 26, ["verify", "src/0.rec"], 3),
    "index of a tfrecord": ("one.tfindex", 1 << 20, ["verify", "one.tfrecord"], 3),
    "InsightFace": ("x.bin", 1 << 31, ["info", "x.bin"], 1),
}
"""What lies where, of how many bytes at most; a command that comes upon it, and its exit code."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """src, three small .rec; out, a migration of them; begun, one that was broken off; and a conversion."""
    monkeypatch.chdir(tmp_path)
    for name in ("src", "my"):
        os.mkdir(name)
    for number in range(3):
        image_rec(tmp_path / f"src/{number}.rec", 3, 3 * number)
    rb.migrate.run("src", "out", **ASKED)
    rb.convert("src/0.rec", "one.tfrecord")

    def stop(event: Any) -> None:
        if event.phase == "writing" and event.files:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rb.migrate.run("src", "begun", on_event=stop, **ASKED)
    Path("x.bin").write_bytes(b"\x80\x03]q\0(")  # as the pickle of a list begins
    return tmp_path


def grow(path: str | Path, nbytes: int) -> None:
    """Make a file as large as that, with nothing in what is added."""
    Path(path).touch()
    os.truncate(path, nbytes)


@pytest.mark.parametrize("name", BEYOND)
def test_one_byte_beyond_the_cap_is_an_error_that_says_so_and_takes_no_memory(home: Path, name: str) -> None:
    path, most, command, code = BEYOND[name]
    grow(path, most + 1)
    done, text = told(command)
    assert (done, f"{path}: {most + 1} bytes, expected at most {most}" in text) == (code, True), text


@pytest.mark.parametrize("nbytes", [(1 << 26) + 1, ENDLESS])
def test_names_of_classes_are_read_no_further_than_the_cap(home: Path, nbytes: int) -> None:
    grow("names.txt", nbytes)
    done, text = told(["convert", "src/0.rec", "two.tfrecord", *NAMED], 1 << 28)
    assert (done, "names.txt: more than 67108864 bytes, and names of classes were expected" in text) == (1, True), text


def test_names_of_classes_of_a_store_are_read_no_further_either(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.filesystem("memory").pipe_file("memory://lake/names.txt", b"cat\ndog\nowl")
    for most in (11, 10):
        monkeypatch.setattr(sidecar, "_LARGEST_NAMES", most)
        if most == 11:
            assert len(read_names("memory://lake/names.txt")) == 3
        else:
            with pytest.raises(FormatError, match=r"lake/names\.txt: 11 bytes, expected at most 10"):
                read_names("memory://lake/names.txt")
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("nbytes", [(1 << 24) + 1, ENDLESS])
def test_a_config_is_read_no_further_than_the_cap(home: Path, nbytes: int) -> None:
    grow("m.toml", nbytes)
    done, text = told(["migrate", "--config", "m.toml"])
    assert (done, "m.toml: more than 16777216 bytes, which are no options of migrate" in text) == (2, True), text


def test_names_and_a_config_of_just_so_many_bytes_are_read(home: Path) -> None:
    Path("names.txt").write_bytes(b"cat\ndog".ljust(1 << 26))
    assert read_names("names.txt") == ("cat", "dog")
    Path("m.toml").write_bytes(b'sources = "src"\noutput = "new"\nto = "npz"\n#'.ljust(1 << 24))
    assert main(["migrate", "--config", "m.toml", "--workers", "1"]) == 0


def test_a_report_of_what_is_in_quarantine_is_not_read_beyond_its_cap_and_stays(home: Path) -> None:
    grow("out/out.quarantine.jsonl", (1 << 30) + 1)
    done, text = told(["migrate", "src", "out", *SHARDS, "--overwrite"])
    assert (done, "out.quarantine.jsonl: is in the place of the report of a migration" in text) == (1, True), text


def test_a_receipt_beyond_the_cap_is_none_and_is_written_again(home: Path) -> None:
    (receipt,) = Path("begun/begun.unfinished").glob("*-*.json")
    grow(receipt, (1 << 32) + 1)
    assert told(["migrate", "src", "begun", *SHARDS, "--resume"], 1 << 28)[0] == 0
    assert rb.verify("begun").ok


def test_a_plan_that_would_be_refused_when_it_is_resumed_is_not_begun(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = Path("begun/begun.unfinished/plan.jsonl").stat().st_size
    for most in (size + 64, size // 2):
        monkeypatch.setattr(state, "_LARGEST", most)
        if most > size:
            assert rb.migrate.run("src", "small", **ASKED).is_complete
        else:
            with pytest.raises(MigrationError, match=rf"would have \d+ bytes, and {most} are read when it is resumed"):
                rb.migrate.run("src", "large", **ASKED)
            assert not Path("large").exists()


def test_what_orders_of_a_shuffle_share_is_not_read_beyond_the_cap(tmp_path: Path) -> None:
    """Written and read by one run, so that only a worker comes upon another one."""
    grow(tmp_path / "sources-0.json", (1 << 32) + 1)
    code = "__import__('recordio_bridge.migrate.shared').migrate.shared.read_shared(path)"
    printed = outcome(code, tmp_path / "sources-0.json", 1 << 27)
    assert printed == f"FormatError {tmp_path}/sources-0.json: 4294967297 bytes, expected at most 4294967296"


def test_an_index_of_a_tfrecord_may_have_two_bytes_for_each_of_it_and_else_is_not_used(home: Path) -> None:
    path = write_tfrecord(home / "big.tfrecord", [make_example({"x": [b"x" * (1 << 19)]})] * 4)
    most = 2 * path.stat().st_size
    for nbytes, problem in ((most, "line 1: found"), (most + 1, f"{most + 1} bytes, expected at most {most} ")):
        grow("big.tfindex", nbytes)
        assert f"big.tfindex: {problem}" in rb.verify(path).problems[0].message
    grow("big.tfindex", ENDLESS)
    assert told(["migrate", "big.tfrecord", "new", *SHARDS])[0] == 0
    assert rb.verify("new").num_rows == 4


def test_of_a_property_file_some_bytes_are_read(tmp_path: Path) -> None:
    for suffix in (".rec", ".idx", ".property"):
        shutil.copy(GOLDEN / f"g_insightface{suffix}", tmp_path / f"x{suffix}")
    grow(tmp_path / "x.property", ENDLESS)
    done, text = told(["info", tmp_path / "x.rec"])
    assert (done, "x.property: its first line is '" in text) == (0, True), text


def test_a_file_that_grows_while_it_is_read_is_read_no_further_than_the_cap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"0123456789")
    assert paths.read_bytes(str(path), 10) == b"0123456789"
    monkeypatch.setattr(paths, "nbytes_of", lambda path: 9)
    with pytest.raises(FormatError, match=r"x\.json: more than 9 bytes, expected at most that"):
        paths.read_bytes(str(path), 9)
    grow(path, 1 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="more than 9 bytes"):
            paths.read_bytes(str(path), 9)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_chunks_of_hdf5_that_a_row_goes_through_are_kept_up_to_the_cap(tmp_path: Path) -> None:
    """450 MiB of them, of 1 MiB, would be kept for the next rows of the same chunks."""
    chunk, count = (1 << 10, 1 << 10), 450
    packed = zlib.compress(np.ones(chunk, "u1"))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        values = file.create_dataset("a", (chunk[0], count * chunk[1]), "u1", chunks=chunk, compression="gzip")
        for number in range(count):
            values.id.write_direct_chunk((0, number * chunk[1]), packed)
    printed = outcome("int(next(rb.read(path, batch_rows=1))['a'].sum())", tmp_path / "x.h5", 420 << 20)
    assert printed == f"gave {count * chunk[1]}"
