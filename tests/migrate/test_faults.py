"""Disks that are full or broken: a clear error, nothing half-written, what was done is kept, --resume finishes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import recordio_bridge as rb
from tests.cli.running import PACKAGE_HOME, Outcome, run_module
from tests.migrate.trees import ASKED, TREES, npz_tree, numbers_in
from tests.samples import contents, image_rec

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def failing(monkeypatch: pytest.MonkeyPatch, name: str, code: int, at: int, after: bool = False) -> list[int]:
    """Let the n-th call of a function of os fail, and all after it; the numbers of the calls that failed."""
    real, calls, failed = getattr(os, name), count(1), []

    def call(*arguments: object, **options: object) -> object:
        number = next(calls)
        if number < at:
            return real(*arguments, **options)
        failed.append(number)
        if after:
            real(*arguments, **options)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, call)
    return failed


def whole_files(out: Path, clean: dict[str, str]) -> None:
    """What has a final name is what it is to be; and nothing else is there but the state."""
    for name, digest in contents(out).items():
        if not name.startswith("out.unfinished/"):
            assert clean.get(name) == digest, name


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("at", [1, 2, 4, 7, 10])
def test_a_write_that_fails_is_an_oserror_that_names_the_file_and_resume_finishes(tmp_path, src, clean, code, at):
    with pytest.MonkeyPatch.context() as patch:
        failed = failing(patch, "write", code, at)
        with pytest.raises(OSError) as caught:
            rb.migrate.run(src, tmp_path / "out", **ASKED)
    assert failed
    assert caught.value.errno == code
    assert str(tmp_path / "out") in str(caught.value.filename)
    if (tmp_path / "out").exists():
        whole_files(tmp_path / "out", clean)
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == clean


@pytest.mark.parametrize(
    ("name", "code"),
    [("fsync", errno.EIO), ("replace", errno.EACCES), ("replace", errno.ENOSPC), ("link", errno.EPERM)],
)
@pytest.mark.parametrize("at", [1, 3, 4, 8])
def test_a_sync_or_a_rename_that_fails_is_an_oserror_and_resume_finishes(tmp_path, src, clean, name, code, at):
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, name, code, at)
        with contextlib.suppress(OSError):  # of a folder that cannot be synced
            rb.migrate.run(src, tmp_path / "out", **ASKED)
    if (tmp_path / "out").exists():
        whole_files(tmp_path / "out", clean)
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == clean


def test_what_was_done_before_the_disk_was_full_is_kept(tmp_path, src):
    with pytest.MonkeyPatch.context() as patch:

        def full_after_two(call: Callable[[str, str], None], old: str, new: str) -> None:
            if new.endswith("00002-of-00003.tfrecord"):
                raise OSError(errno.ENOSPC, "No space left on device", old, None, new)
            call(old, new)

        for name in ("link", "rename", "replace"):
            patch.setattr(os, name, partial(full_after_two, getattr(os, name)))
        with pytest.raises(OSError, match="No space left"):
            rb.migrate.run(src, tmp_path / "out", **ASKED)
    kept = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.tfrecord")}
    assert len(kept) == 2
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    after = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.tfrecord")}
    assert {name: after[name] for name in kept} == kept


@pytest.mark.parametrize("to", ["tfrecord", "rec", "npz"])
def test_writes_that_take_only_a_part_of_the_bytes_change_nothing(tmp_path, src, monkeypatch, to):
    rb.migrate.run(src, tmp_path / "clean/out", to=to, shards=2)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, memoryview(data)[:7]))
    rb.migrate.run(src, tmp_path / "out", to=to, shards=2)
    assert contents(tmp_path / "out") == contents(tmp_path / "clean/out")


def disturbed(tmp_path: Path, src: Path, how: str) -> Outcome:
    """A migration by command, with this code in its worker processes; half-written files are gone, --resume works."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(how)
    command = ("migrate", src, tmp_path / "out", "--to", "tfrecord", "--shards", 3, "--workers", 2)
    failed = run_module(*command, PYTHONPATH=f"{PACKAGE_HOME}:{tmp_path / 'site'}")
    assert failed.code == 1
    assert not [name for name in contents(tmp_path / "out") if ".part" in name or "manifest" in name]
    assert run_module(*command, "--resume").code == 0
    assert run_module("verify", tmp_path / "out").code == 0
    return failed


_FULL = """
import errno, os, sys
if "_work" in sys.orig_argv:
    write, left = os.write, [600]
    def full(fd, data):
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data)
    os.write = full
"""


def test_a_disk_that_is_full_for_a_worker_process_is_said_by_the_command(tmp_path, src):
    failed = disturbed(tmp_path, src, _FULL)
    assert "No space left on device" in failed.stderr
    assert str(tmp_path / "out") in failed.stderr
    assert "Traceback" not in failed.stderr


_DIES = """
import os, signal, sys
if "_work" in sys.orig_argv:
    link = os.link
    def die(old, new):
        if new.endswith("00001-of-00003.tfrecord"):
            os.kill(os.getpid(), signal.SIGKILL)
        link(old, new)
    os.link = die
"""


def test_a_worker_process_that_dies_is_an_error_that_names_its_file_and_resume_finishes(tmp_path, src):
    """As one does that the kernel ends for want of memory."""
    failed = disturbed(tmp_path, src, _DIES)
    assert "00001-of-00003.tfrecord" in failed.stderr
    assert "its worker process was killed, as the system does where memory runs out; " in failed.stderr
    assert "what is done is kept: go on with --resume" in failed.stderr


@contextlib.contextmanager
def small_disk(folder: Path, nbytes: int) -> Iterator[Path]:
    """A file system of its own with so much room; only root can have one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={nbytes}", "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("to", ["tfrecord", "h5", "npz"])
def test_a_disk_that_is_really_full(tmp_path, to):
    """h5py and numpy write by themselves."""
    src = npz_tree(tmp_path / "src", [3000, 3000, 3000])
    asked = ("--to", to, "--shards", 3, "--workers", 1)
    assert run_module("migrate", src, tmp_path / "clean/out", *asked).code == 0
    clean = contents(tmp_path / "clean/out")
    largest = max(path.stat().st_size for path in (tmp_path / "clean/out").iterdir())
    with small_disk(tmp_path / "disk", 2 * largest) as disk:
        failed = run_module("migrate", src, disk / "out", *asked)
        assert failed.code == 1, failed.stderr
        assert "No space left on device" in failed.stderr
        assert f"{disk / 'out'}/out-0000" in failed.stderr
        assert "Traceback" not in failed.stderr
        whole_files(disk / "out", clean)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        resumed = run_module("migrate", src, disk / "out", *asked, "--resume")
        assert resumed.code == 0, resumed.stderr
        assert contents(disk / "out") == clean


def test_a_source_on_a_broken_disk_goes_to_quarantine(tmp_path, monkeypatch):
    """EIO when its rows are read; its head could be read while planning."""
    src = npz_tree(tmp_path / "src", [10, 12, 14])
    from recordio_bridge.formats import npz  # only this test knows how it reads

    read = type(npz.FORMAT).read

    def broken(self: object, extent: object, options: object, request: object) -> Iterator[object]:
        batches = read(self, extent, options, request)
        if str(getattr(extent, "path", "")).endswith("part-0001.npz"):
            raise OSError(errno.EIO, "Input/output error", str(extent.path))
        yield from batches

    monkeypatch.setattr(type(npz.FORMAT), "read", broken)
    outcome = rb.migrate.run(src, tmp_path / "out", to="tfrecord")
    assert numbers_in(outcome, "n") == [*range(10), *range(22, 36)]
    (bad,) = outcome.quarantine
    assert bad.path == str(src / "part-0001.npz")
    assert "Input/output error" in bad.reason
    monkeypatch.undo()
    mended = rb.migrate.run(src, tmp_path / "out", to="tfrecord", resume=True)
    assert mended.is_complete
    assert numbers_in(mended, "n") == list(range(36))


@pytest.mark.parametrize("kind", TREES)
def test_a_source_that_is_cut_while_it_is_read_kills_no_process(tmp_path, kind):
    """As a mapped file would, by SIGBUS."""
    src = TREES[kind](tmp_path / "src", [10, 20_000 if kind != "tfrecord" else 4000])
    victim = src / f"part-0001.{kind}"
    done: list[object] = []

    def cut_it(event: object) -> None:
        if getattr(event, "phase", "") == "writing" and not done:
            done.append(os.truncate(victim, 100))

    with pytest.raises(rb.BridgeError, match=r"part-0001"):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", on_event=cut_it)
    assert not [name for name in contents(tmp_path / "out") if ".part" in name or "manifest" in name]


def test_a_folder_that_cannot_be_made_is_named(tmp_path, src):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        rb.migrate.run(src, tmp_path / "file/out", **ASKED)


@pytest.mark.parametrize("name", ["out-00001-of-00003.tfrecord", "out.tfrecord.manifest.json", "out.migration.json"])
def test_a_folder_where_a_file_is_to_go_is_named_and_left_alone(tmp_path, src, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    (tmp_path / "out" / name / "mine").write_text("mine")
    for how in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(OSError, match=name):
            rb.migrate.run(src, tmp_path / "out", **ASKED, **how)
    assert (tmp_path / "out" / name / "mine").read_text() == "mine"
    assert not (tmp_path / "out/out-00000-of-00003.tfrecord").exists()


def test_a_wrong_byte_on_the_way_to_the_disk_is_found_and_resume_finishes(tmp_path, src, clean):
    """One bit of the second file, after all its bytes were handed to the system."""
    from recordio_bridge import VerificationError

    with pytest.MonkeyPatch.context() as patch:
        fsync, seen = os.fsync, []

        def flip(fd: int) -> None:
            path = os.readlink(f"/proc/self/fd/{fd}")
            if "00001-of-00003.tfrecord" in path and path.endswith(".part"):
                seen.append(path)
                data = bytearray(Path(path).read_bytes())
                data[len(data) // 2] ^= 4
                Path(path).write_bytes(data)
            fsync(fd)

        patch.setattr(os, "fsync", flip)
        with pytest.raises(VerificationError, match="00001-of-00003"):
            rb.migrate.run(src, tmp_path / "out", **ASKED)
        assert seen
    whole_files(tmp_path / "out", clean)
    rb.migrate.run(src, tmp_path / "out", resume=True, **ASKED)
    assert contents(tmp_path / "out") == clean


class Trickling(io.FileIO):
    """A file that gives a few bytes at a time, and those late, as over a network that is breaking down."""

    reads = 0

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        Trickling.reads += 1
        time.sleep(0.0005)
        return super().readinto(memoryview(buffer)[:61])


def test_a_source_that_trickles_gives_the_same_bytes(tmp_path, src, clean, monkeypatch):
    from recordio_bridge import rangefile

    monkeypatch.setattr(rangefile, "open", lambda path, *mode, **how: Trickling(path), raising=False)
    rb.migrate.run(src, tmp_path / "out", **ASKED)
    assert Trickling.reads > 100
    assert contents(tmp_path / "out") == clean


@pytest.mark.parametrize("workers", [1, 2])
def test_a_caller_who_is_slow_to_hear_holds_nothing_up_for_good(tmp_path, src, clean, workers):
    """The pipes of the workers fill while nobody reads what they tell."""
    rb.migrate.run(src, tmp_path / "out", workers=workers, on_event=lambda event: time.sleep(0.02), **ASKED)
    assert contents(tmp_path / "out") == clean


def test_a_file_system_without_locks_is_migrated_to(tmp_path, monkeypatch):
    def lacking(fd, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", lacking)
    image_rec(tmp_path / "a.rec", 6)
    assert rb.migrate.run(tmp_path / "a.rec", tmp_path / "out", to="tfrecord").num_rows == 6
