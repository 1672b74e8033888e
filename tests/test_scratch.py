"""Folders for temporary files: those of a process that was killed go when the next one makes one, and no others."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge.scratch import TemporaryFolder, remove_abandoned
from tests.cli.running import PACKAGE_HOME
from tests.migrate.trees import npz_tree

pytestmark = pytest.mark.usefixtures("workshop")
HOLDS_ONE = """
import sys, time
from pathlib import Path
from recordio_bridge.scratch import TemporaryFolder
folder = TemporaryFolder()
Path(folder.path, "data").write_bytes(b"rows")
print(folder.path, flush=True)
time.sleep(60)
"""
MAKES_MANY = """
from pathlib import Path
from recordio_bridge.scratch import TemporaryFolder, remove_abandoned
for number in range(1000):
    remove_abandoned()
    with TemporaryFolder() as path:
        Path(path, "data").write_bytes(b"rows")
        remove_abandoned()
        assert Path(path, "data").read_bytes() == b"rows"
"""


def another_process() -> tuple[subprocess.Popen[str], Path]:
    """A process that has a folder, and that."""
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME)}
    process = subprocess.Popen([sys.executable, "-c", HOLDS_ONE], env=settings, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def left_by_a_killed_one() -> Path:
    process, folder = another_process()
    kill(process)
    assert (folder / "data").exists()
    return folder


def test_a_folder_is_its_owners_alone_and_goes_at_the_end(workshop):
    with TemporaryFolder() as path:
        assert os.stat(path).st_mode & 0o777 == 0o700
        Path(path, "data").write_bytes(b"rows")
    assert list(workshop.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays():
    left = left_by_a_killed_one()
    process, used = another_process()
    try:
        remove_abandoned()
        assert not left.exists()
        assert (used / "data").read_bytes() == b"rows"
    finally:
        kill(process)
    remove_abandoned()
    assert not used.exists()


def test_the_first_folder_of_a_process_removes_what_others_left(monkeypatch):
    monkeypatch.setattr("recordio_bridge.scratch._looked_at", set())
    left = left_by_a_killed_one()
    with TemporaryFolder():
        assert not left.exists()


@pytest.mark.parametrize("how", [{"resume": True}, {}])
def test_a_migration_removes_what_another_left_that_was_killed(tmp_path, how):
    src = npz_tree(tmp_path / "src", [3])
    left = left_by_a_killed_one()
    rb.migrate.run(src, tmp_path / "out", to="tfrecord", **how)
    assert not left.exists()


def test_a_process_keeps_its_own_also_where_locks_are_of_processes(monkeypatch):
    """As on some network file systems, where a process is given the lock that it has."""
    with TemporaryFolder() as path:
        Path(path, "data").write_bytes(b"rows")
        monkeypatch.setattr(fcntl, "flock", lambda fd, how: None)
        remove_abandoned()
        assert Path(path, "data").exists()


def test_where_there_are_no_locks_nothing_is_removed(monkeypatch):
    left = left_by_a_killed_one()

    def refuse(fd: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with TemporaryFolder() as path:
        remove_abandoned()
        assert Path(path).exists()
    assert (left / "data").exists()


@pytest.mark.parametrize("is_made", ["folder", "lock", "all"])
def test_a_folder_that_is_removed_while_it_is_made_is_made_anew(workshop, monkeypatch, is_made):
    """Another process may look at it before it is locked."""
    calls = {"folder": "mkdir", "lock": "open", "all": "flock"}
    module = fcntl if is_made == "all" else os
    real = getattr(module, calls[is_made])
    taken: list[str] = []

    def then_look(*args: object, **more: object) -> object:
        done = real(*args, **more)
        if not taken:
            taken.extend(path.name for path in workshop.iterdir())
            (name,) = taken
            shutil.rmtree(workshop / name)
        return done

    remove_abandoned()
    with monkeypatch.context() as patch:
        patch.setattr(module, calls[is_made], then_look)
        folder = TemporaryFolder()
    with folder as path:
        assert [Path(path).name] == os.listdir(workshop) != taken
    assert os.listdir(workshop) == []


@pytest.mark.parametrize("inside", [(), (".lock",), (".lock", "data"), ("data",)])
def test_a_folder_that_nobody_has_locked_goes(workshop, inside):
    (workshop / "recordio_bridge-0123456789abcdef").mkdir()
    for name in inside:
        (workshop / "recordio_bridge-0123456789abcdef" / name).touch()
    remove_abandoned()
    assert os.listdir(workshop) == []


def test_a_folder_that_gets_its_lock_while_it_is_looked_at_stays(workshop, monkeypatch):
    made = workshop / "recordio_bridge-0123456789abcdef"
    made.mkdir()
    open_file = os.open

    def then_lock(*args: object, **more: object) -> object:
        try:
            return open_file(*args, **more)
        finally:
            for name in (".lock", "data"):
                (made / name).touch()

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", then_lock)
        remove_abandoned()
    assert (made / "data").exists()


def test_processes_that_make_and_remove_folders_at_once_are_not_in_the_way(workshop):
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME)}
    started = [subprocess.Popen([sys.executable, "-c", MAKES_MANY], env=settings) for _ in range(4)]
    assert [process.wait() for process in started] == [0] * 4
    assert os.listdir(workshop) == []


@pytest.mark.parametrize("name", ["recordio_bridge-mine", "recordio_bridge-0123456789ABCDEF", "x", ".lock"])
def test_folders_of_other_names_stay(workshop, name):
    (workshop / name).mkdir()
    (workshop / name / "mine").touch()
    remove_abandoned()
    assert (workshop / name / "mine").exists()


def test_a_link_of_such_a_name_is_not_followed(workshop, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "mine").touch()
    (workshop / "recordio_bridge-0123456789abcdef").symlink_to(precious)
    remove_abandoned()
    assert (precious / "mine").exists()


def test_a_folder_of_another_user_stays(workshop, monkeypatch):
    left = left_by_a_killed_one()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    remove_abandoned()
    assert left.exists()


def test_a_forked_child_leaves_the_folder_of_its_parent_alone():
    with TemporaryFolder() as path:
        Path(path, "data").write_bytes(b"rows")
        child = os.fork()
        if child == 0:
            remove_abandoned()
            os._exit(0)
        os.waitpid(child, 0)
        assert Path(path, "data").exists()
