"""convert with worker processes: the same bytes, the same errors, and nothing left when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import ChecksumError, LossyError, MigrationError
from recordio_bridge.migrate import pool
from tests.samples import contents, image_payload, image_rec, make_example, read_examples, write_rec, write_tfrecord

PACKAGE_HOME = Path(rb.__file__).resolve().parents[1]


def worker_pids() -> list[int]:
    """The live children of this process that run the package."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (entry / "cmdline").read_bytes()
        except OSError:  # it ended while we looked
            continue
        if int(parent) == os.getpid() and state != "Z" and b"recordio_bridge" in command:
            found.append(int(entry.name))
    return found


def run_script(script: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME), **environment}
    return subprocess.run(
        [sys.executable, str(script)], env=settings, capture_output=True, text=True, cwd=script.parent
    )


@pytest.mark.parametrize("target", ["b.tfrecord", "b.rec", "b.tfrecord.gz"])
def test_more_workers_write_the_same_bytes_as_one(tmp_path, target):
    source = image_rec(tmp_path / "a.rec", 40)
    for folder, workers in (("one", 1), ("more", 9 if target == "b.rec" else 2)):
        (tmp_path / folder).mkdir()
        rb.convert(source, tmp_path / folder / target, shards=4, workers=workers)
    assert contents(tmp_path / "one") == contents(tmp_path / "more")


def test_workers_take_select_casts_options_and_packing_along(tmp_path):
    source = image_rec(tmp_path / "a.rec", 12)
    results = []
    for workers in (1, 2):
        rb.convert(
            source,
            tmp_path / "b.tfrecord",
            shards=3,
            workers=workers,
            overwrite=True,
            shuffle=True,
            seed=4,
            select={"image/encoded": "image", "n:uint8": "label[0]", "many:float64": "label"},
            allow_lossy=("n",),
            pack={"many": "raw"},
            target_options={"compression": "GZIP"},
        )
        results.append([(tmp_path / f"b-0000{n}-of-00003.tfrecord").read_bytes() for n in range(3)])
    assert results[0] == results[1]
    assert results[0][0].startswith(b"\x1f\x8b")


def test_relative_paths_mean_the_same_to_the_workers(tmp_path, monkeypatch):
    image_rec(tmp_path / "a.rec", 6)
    monkeypatch.chdir(tmp_path)
    rb.convert("a.rec", "b.tfrecord", shards=2, workers=2)
    ids = [e["id"][0] for n in range(2) for e in read_examples(tmp_path / f"b-0000{n}-of-00002.tfrecord")]
    assert ids == list(range(6))


def test_one_file_is_written_with_any_number_of_workers(tmp_path):
    source = image_rec(tmp_path / "a.rec", 6)
    rb.convert(source, tmp_path / "b.tfrecord", workers=4)
    assert len(read_examples(tmp_path / "b.tfrecord")) == 6


def test_an_error_of_a_selection_crosses_with_its_class_field_and_row(tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(n, 0.5 if n == 9 else 1.0) for n in range(12)])
    before = contents(tmp_path)
    for workers in (1, 2):
        with pytest.raises(LossyError, match=r"0\.5.*allow") as caught:
            rb.convert(source, tmp_path / "b.tfrecord", shards=4, workers=workers, select={"n:int64": "label[0]"})
        assert (type(caught.value), caught.value.field, caught.value.row) == (LossyError, "n", 9)
    assert contents(tmp_path) == before


def test_an_error_of_a_file_crosses_with_its_class_path_record_and_offset(tmp_path):
    frames = [len(make_example({"n": [n]})) + 16 for n in range(12)]
    source = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"n": [n]}) for n in range(12)])
    data = bytearray(source.read_bytes())
    start = sum(frames[:9])
    data[start + 12] ^= 1
    source.write_bytes(data)
    before = contents(tmp_path)
    for workers in (1, 2):
        with pytest.raises(ChecksumError, match=r"a\.tfrecord") as caught:
            rb.convert(source, tmp_path / "b.tfrecord", shards=4, workers=workers, source_options={"payload": "raw"})
        error = caught.value
        assert (type(error), error.path, error.record) == (ChecksumError, str(source), 9)
        assert error.offset is not None
        assert start <= error.offset < start + frames[9]
    assert contents(tmp_path) == before


def test_an_error_of_the_file_system_crosses_as_its_own_class(tmp_path):
    source = image_rec(tmp_path / "a.rec", 8)
    before = contents(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        rb.convert(source, tmp_path / "missing" / "b.tfrecord", shards=4, workers=2)
    assert "missing" in str(caught.value)
    assert contents(tmp_path) == before


def test_a_killed_worker_is_a_migration_error_and_leaves_no_files(tmp_path):
    source = image_rec(tmp_path / "a.rec", 60)
    (tmp_path / "out").mkdir()
    killed: list[int] = []

    def kill_one(rows: int, of: int) -> None:
        if not killed:
            killed.extend(worker_pids()[:1])
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(MigrationError, match=r"its worker process was killed, .*; nothing was written: run it again"):
        rb.convert(source, tmp_path / "out" / "b.rec", shards=30, workers=2, progress=kill_one)
    assert killed
    assert os.listdir(tmp_path / "out") == []
    assert worker_pids() == []


def test_a_worker_that_dies_between_two_orders_is_a_migration_error_too(tmp_path, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 60)
    (tmp_path / "out").mkdir()
    await_receipt = pool._await

    def await_receipt_and_kill(process: subprocess.Popen, *arguments: object) -> object:
        receipt = await_receipt(process, *arguments)
        process.kill()
        process.wait()
        return receipt

    monkeypatch.setattr(pool, "_await", await_receipt_and_kill)
    with pytest.raises(MigrationError):
        rb.convert(source, tmp_path / "out" / "b.rec", shards=30, workers=2)
    assert os.listdir(tmp_path / "out") == []


def test_the_earlier_output_survives_a_killed_worker(tmp_path):
    source = image_rec(tmp_path / "a.rec", 60)
    rb.convert(source, tmp_path / "b.tfrecord", shards=30)
    before = contents(tmp_path)

    def kill_all(rows: int, of: int) -> None:
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(MigrationError):
        rb.convert(
            source, tmp_path / "b.tfrecord", shards=30, workers=2, overwrite=True, shuffle=True, progress=kill_all
        )
    assert contents(tmp_path) == before


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_callers_own_progress_reaches_the_caller(tmp_path, workers):
    source = image_rec(tmp_path / "a.rec", 20)
    (tmp_path / "out").mkdir()

    def fail(rows: int, of: int) -> None:
        raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="the caller's own"):
        rb.convert(source, tmp_path / "out" / "b.tfrecord", shards=4, workers=workers, progress=fail)
    assert os.listdir(tmp_path / "out") == []
    assert worker_pids() == []


def test_an_interrupt_ends_the_workers_and_leaves_no_files(tmp_path):
    source = image_rec(tmp_path / "a.rec", 60)
    (tmp_path / "out").mkdir()
    main = threading.main_thread().ident
    assert main is not None
    sent: list[int] = []

    def interrupt(rows: int, of: int) -> None:
        if not sent:
            sent.append(rows)
            signal.pthread_kill(main, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        rb.convert(source, tmp_path / "out" / "b.tfrecord", shards=30, workers=2, progress=interrupt)
    assert os.listdir(tmp_path / "out") == []
    assert worker_pids() == []


def test_no_worker_is_left_when_all_went_well(tmp_path):
    source = image_rec(tmp_path / "a.rec", 20)
    rb.convert(source, tmp_path / "b.tfrecord", shards=4, workers=3)
    assert worker_pids() == []


def test_a_script_without_a_main_guard_is_not_run_again_by_the_workers(tmp_path):
    image_rec(tmp_path / "a.rec", 6)
    script = tmp_path / "script.py"
    script.write_text(
        "import recordio_bridge as rb\n"
        "print('the script runs')\n"
        "manifest = rb.convert('a.rec', 'b.tfrecord', shards=3, workers=2)\n"
        "print(manifest.num_rows)\n"
    )
    done = run_script(script)
    assert (done.stdout, done.stderr, done.returncode) == ("the script runs\n6\n", "", 0)


def test_workers_do_not_import_modules_that_lie_in_the_current_folder(tmp_path, monkeypatch):
    image_rec(tmp_path / "a.rec", 6)
    for name in ("json", "numpy", "struct", "select", "random"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported from the current folder')\n")
    monkeypatch.chdir(tmp_path)
    rb.convert("a.rec", "b.tfrecord", shards=2, workers=2)
    assert rb.inspect("b.tfrecord").num_rows == 6


def test_what_workers_write_to_standard_output_does_not_reach_the_callers(tmp_path, capfd):
    source = image_rec(tmp_path / "a.rec", 6)
    rb.convert(source, tmp_path / "b.tfrecord", shards=2, workers=2)
    assert capfd.readouterr() == ("", "")


def test_what_an_interpreter_prints_as_it_begins_is_no_answer(tmp_path, monkeypatch, capfd):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text("print('welcome to the cluster')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    source = image_rec(tmp_path / "a.rec", 6)
    assert rb.convert(source, tmp_path / "b.tfrecord", shards=2, workers=2).num_rows == 6
    assert capfd.readouterr().err.count("welcome to the cluster") == 2


def test_two_conversions_at_once_in_one_folder_do_not_disturb_each_other(tmp_path):
    source = image_rec(tmp_path / "a.rec", 20)
    bad = write_rec(tmp_path / "bad.rec", [image_payload(n, 0.5 if n == 19 else 1.0) for n in range(20)])
    failures: list[BaseException] = []

    def convert_bad(rows: int, of: int) -> None:
        if not failures:
            failures.append(RuntimeError("still to come"))
            with pytest.raises(LossyError) as caught:
                rb.convert(bad, tmp_path / "c.tfrecord", shards=4, workers=2, select={"n:int64": "label[0]"})
            failures[0] = caught.value

    rb.convert(source, tmp_path / "b.tfrecord", shards=4, progress=convert_bad)
    assert isinstance(failures[0], LossyError)
    assert rb.verify(tmp_path / "b.tfrecord").ok
    assert not [name for name in os.listdir(tmp_path) if name.startswith((".", "c"))]
