"""rb.open: the file that was opened, wherever the process goes, and whatever becomes of its name."""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import SourceChangedError
from recordio_bridge.formats import recordio, tfrecord
from tests.samples import image_of, image_rec, make_example, write_tfrecord

PACKAGE_HOME = Path(rb.__file__).resolve().parents[1]


def gzipped(path: Path, rows: int) -> Path:
    plain = write_tfrecord(path.with_suffix(".plain"), [make_example({"id": [n]}) for n in range(rows)])
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return path


def run_script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME), "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir()
    return subprocess.run([sys.executable, "script.py"], env=settings, capture_output=True, text=True, cwd=folder)


# ---- the current folder ----


@pytest.mark.parametrize("source", ["a.rec", ["a.rec", "b.rec"], "*.rec", "."])
def test_a_relative_path_stays_that_of_the_folder_where_it_was_opened(tmp_path, monkeypatch, source):
    image_rec(tmp_path / "a.rec", 4)
    image_rec(tmp_path / "b.rec", 3, first_id=4)
    (tmp_path / "elsewhere").mkdir()
    image_rec(tmp_path / "elsewhere" / "a.rec", 9, first_id=100)
    monkeypatch.chdir(tmp_path)
    file = rb.open(source)
    monkeypatch.chdir(tmp_path / "elsewhere")
    for opened in (file, pickle.loads(pickle.dumps(file))):
        assert opened[:]["id"].tolist() == list(range(4 if source == "a.rec" else 7))


def test_relative_lists_and_indexes_stay_those_of_that_folder_too(tmp_path, monkeypatch):
    image_rec(tmp_path / "a.rec", 3)
    (tmp_path / "a.lst").write_text("".join(f"{n}\t{n}.5\tx\n" for n in range(3)))
    lines = (tmp_path / "a.idx").read_text().splitlines()
    (tmp_path / "keys.txt").write_text("".join(f"1{line}\n" for line in lines))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    file = rb.open("a.rec", labels="a.lst", index="keys.txt", fields=["label", "key"])
    monkeypatch.chdir(tmp_path / "elsewhere")
    for opened in (file, pickle.loads(pickle.dumps(file))):
        assert [(row["label"].tolist(), row["key"]) for row in opened] == [([0.5], 10), ([1.5], 11), ([2.5], 12)]


# ---- a file that changes ----


def change(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "replaced":
        image_rec(path.with_name("new.rec"), 20, first_id=50)
        os.replace(path.with_name("new.rec"), path)
    elif how == "replaced by one of equal size":
        path.with_name("new.rec").write_bytes(data.replace(b"image", b"other"))
        os.replace(path.with_name("new.rec"), path)
    elif how == "appended to":
        path.write_bytes(data + data)
    elif how == "written over":
        path.write_bytes(bytes(len(data)))
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # clocks of file systems may be coarse


@pytest.mark.parametrize("how", ["replaced", "replaced by one of equal size", "appended to", "written over"])
def test_a_file_that_changes_is_an_error_and_never_other_rows(tmp_path, how):
    source = image_rec(tmp_path / "a.rec", 20)
    file = rb.open([source, image_rec(tmp_path / "b.rec", 5, first_id=20)])
    copy = pickle.dumps(file)
    assert file[3]["image"] == image_of(3)
    change(source, how)
    for read in (lambda: file[3], lambda: file[:], lambda: list(file), lambda: pickle.loads(copy)):
        with pytest.raises(SourceChangedError, match=r"a\.rec: changed .*again"):
            read()
    assert file[22]["image"] == image_of(22)  # of the other file


def test_a_shuffled_conversion_of_a_file_that_changes_under_way_is_an_error(tmp_path):
    source = image_rec(tmp_path / "a.rec", 20)

    def replace(rows: int, of: int) -> None:
        change(source, "replaced")

    with pytest.raises(SourceChangedError, match=r"a\.rec"):
        rb.convert(source, tmp_path / "b.tfrecord", shuffle=True, shards=4, progress=replace)
    assert not list(tmp_path.glob("*b-*"))


def test_a_file_that_was_removed_is_a_file_not_found_error(tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    file = rb.open(source)
    copy = pickle.dumps(file)
    source.unlink()
    for read in (lambda: file[0], lambda: pickle.loads(copy)):
        with pytest.raises(FileNotFoundError) as caught:
            read()
        assert caught.value.filename == str(source)


# ---- other processes ----


@pytest.mark.parametrize("name", ["a.rec", "a.tfrecord.gz"])
def test_a_pickled_copy_looks_through_nothing_again(tmp_path, monkeypatch, name):
    source = image_rec(tmp_path / name, 9) if name == "a.rec" else gzipped(tmp_path / name, 9)
    with rb.open(source, fields=["id"]) as file:
        data = pickle.dumps(file)
        for format in (recordio.RecordIO, tfrecord.TFRecord):
            for method in ("inspect", "heads", "resolve"):
                monkeypatch.setattr(format, method, None)
        with pickle.loads(data) as copy:
            assert (len(copy), copy.schema, copy.summary) == (9, file.schema, file.summary)
            assert copy[:]["id"].tolist() == file[:]["id"].tolist() == list(range(9))
        assert file[0]["id"] == 0  # its own temporary file, if there is one, is still there


SHARED = """
import os, sys
import multiprocessing
import recordio_bridge as rb

def rows(file, first):
    for _ in range(200):  # long enough for the processes to read at the same time
        for n in range(first, len(file), 3):
            assert file[n]["id"] == n, (n, file[n]["id"])
    return len(file)

if __name__ == "__main__":
    os.chdir("data")
    file = rb.open(NAME, fields=["id"])
    os.chdir("..")
    rows(file, 0)  # so that it is open when processes are forked
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(3) as pool:
            print(method, pool.starmap(rows, [(file, first) for first in range(3)]))
            pool.close()
            pool.join()  # its processes end by themselves
    children = []
    for first in range(3):
        child = os.fork()
        if not child:
            rows(file, first)
            sys.exit(7)  # through all that is done at the end of an interpreter
        children.append(child)
    print("fork and exit", [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
    rows(file, 0)
    file.close()
"""


@pytest.mark.parametrize("name", ["a.rec", "a.tfrecord.gz", "a.h5", "packed.h5", "a.npz", "packed.npz"])
def test_processes_share_a_file_across_fork_and_spawn(tmp_path, name):
    (tmp_path / "data").mkdir()
    source = tmp_path / "data" / name
    if name == "a.rec":
        image_rec(source, 30)
    elif name == "a.tfrecord.gz":
        gzipped(source, 30)
    else:
        compression = {"packed.h5": "GZIP", "packed.npz": "DEFLATE"}.get(name, "")
        rb.write(source, {"id": np.arange(30), "image": [image_of(n) for n in range(30)]}, compression=compression)
    done = run_script(SHARED.replace("NAME", repr(name)), tmp_path)
    assert done.stderr == ""
    assert done.stdout == "fork [30, 30, 30]\nspawn [30, 30, 30]\nfork and exit [7, 7, 7]\n"
    left = [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("recordio_bridge-")]
    assert left == []


@pytest.mark.parametrize("name", ["a.rec", "a.tfrecord", "a.tfrecord.gz", "a.h5", "a.npz", "a.npy"])
def test_a_closed_file_says_so_whatever_its_format(tmp_path, name):
    source = tmp_path / name
    rb.write(source, {"data": np.arange(30)})
    with rb.open(source) as file:
        assert file[3]["data"] == 3
    for use in (lambda: file[3], lambda: file[1:3], lambda: file.take([2]), lambda: next(iter(file))):
        with pytest.raises(ValueError, match=rf"{name}: this RecordFile is closed; open the source again"):
            use()
    assert len(file) == 30
    file.close()
    with pickle.loads(pickle.dumps(file)) as copy:  # which has files of its own
        assert copy[3]["data"] == 3


def test_an_unpacked_file_goes_with_the_last_reference(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    file = rb.open(gzipped(tmp_path / "a.tfrecord.gz", 5))
    assert len(os.listdir(tmp_path / "tmp")) == 1
    assert file[4]["id"] == 4
    file.close()
    file.close()
    assert os.listdir(tmp_path / "tmp") == []
    file = rb.open(tmp_path / "a.tfrecord.gz")
    del file
    assert os.listdir(tmp_path / "tmp") == []
