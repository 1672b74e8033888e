"""A process that is forked while its parent reads, opens, feeds or writes: it reads on or is told why not, and spoils
nothing of its parent's."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.files import pending_file
from recordio_bridge.publishing import publish
from tests.feed.program import run_program

SUFFIXES = [".rec", ".tfrecord", ".tfrecord.gz", ".h5", ".npz", ".npy"]
LARGE = 200_000
"""Rows that are read in several blocks, and so on a thread."""


def write(path: Path, rows: int) -> Path:
    data = np.arange(rows)
    rb.write(
        path, {"data": data} if path.suffix == ".npy" else {"data": data, "x": np.repeat(data[:, None], 9, axis=1)}
    )
    return path


FORKED = """
    import os, sys, warnings
    import numpy as np
    import recordio_bridge as rb
    warnings.simplefilter("ignore")  # Python 3.12 and later warn of the fork itself

    batches = rb.read(sys.argv[1], batch_rows=1000)
    found = [next(batches)["data"]]
    child = os.fork()
    if not child:
        try:
            next(batches)
        except ValueError as err:
            print(err, flush=True)
            HOW
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    found += [batch["data"] for batch in batches]
    assert np.array_equal(np.concatenate(found), np.arange(int(sys.argv[2]))), "the parent lost its place"
"""


@pytest.mark.parametrize("rows", [5000, LARGE])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("how", ["os._exit(7)", "sys.exit(7)"])
def test_a_reading_that_was_begun_is_refused_in_the_child_and_goes_on_in_the_parent(tmp_path, suffix, rows, how):
    path = write(tmp_path / f"a{suffix}", rows)
    ended = run_program(FORKED.replace("HOW", how), path, rows)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (
        f"{path}: this process was forked while it was read, and the place in the file is its parent's; read it here "
        "from its beginning\n"
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_reading_that_was_not_begun_can_be_begun_in_the_child(tmp_path, suffix):
    batches = rb.read(write(tmp_path / f"a{suffix}", 5000))
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 7 if [row for batch in batches for row in batch["data"].tolist()] == list(range(5000)) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert sum(map(len, batches)) == 5000


CONVERTING = """
    import os, sys, threading, warnings
    import recordio_bridge as rb
    warnings.simplefilter("ignore")

    is_writing, go_on = threading.Event(), threading.Event()

    def wait(rows, of):
        is_writing.set()
        assert go_on.wait(60)

    def convert():
        rb.convert(sys.argv[1], sys.argv[2], shuffle=True, seed=1, shards=2, progress=wait)

    writing = threading.Thread(target=convert)
    writing.start()
    assert is_writing.wait(60)
    child = os.fork()
    if not child:
        sys.exit(7)  # through all that is done at the end of an interpreter
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    go_on.set()
    writing.join()
"""


@pytest.mark.parametrize("suffix", [".rec", ".tfrecord.gz", ".h5", "packed.npz"])
def test_a_child_that_ends_removes_no_temporary_file_of_its_parent(tmp_path, workshop, suffix):
    options = {"compression": "DEFLATE"} if suffix == "packed.npz" else {}
    source, target = tmp_path / f"a{suffix}", tmp_path / "b.tfrecord"
    rb.write(source, {"data": np.arange(3000)}, **options)
    ended = run_program(CONVERTING, source, target)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    report = rb.verify(target)
    assert (report.ok, report.num_rows) == (True, 3000)
    assert os.listdir(workshop) == []


WRITING = """
    import os, sys, warnings
    import recordio_bridge as rb
    warnings.simplefilter("ignore")

    def batches():
        yield {"data": list(range(1000))}
        child = os.fork()
        if not child:
            LEAVES
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        yield {"data": list(range(1000, 2000))}

    try:
        rb.write(sys.argv[1], batches())
    except ValueError as err:
        assert "forked while" in str(err)
        sys.exit(7)
"""


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".tfrecord.zz"])
@pytest.mark.parametrize(
    "leaves", ["sys.exit(7)  # raised through the writer", 'yield {"data": [5000] * 1000}  # and writes on', "return"]
)
def test_a_child_that_leaves_a_writer_or_writes_on_spoils_nothing_of_its_parent(tmp_path, suffix, leaves):
    path = tmp_path / f"a{suffix}"
    ended = run_program(WRITING.replace("LEAVES", leaves), path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert [row for batch in rb.read(path) for row in batch["data"].tolist()] == list(range(2000))
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_a_complete_file_that_waits_for_its_name_is_not_given_it_by_a_child(tmp_path):
    pending = pending_file(str(tmp_path / "x"), b"of the parent")
    child = os.fork()
    if not child:
        try:
            publish([pending])
        except ValueError as err:
            os._exit(7 if "forked while it was written" in str(err) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert not (tmp_path / "x").exists()
    publish([pending])
    assert (tmp_path / "x").read_bytes() == b"of the parent"
