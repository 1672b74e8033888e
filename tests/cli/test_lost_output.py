"""Where the answer cannot be written, and what the system refuses: one line that says what to do, and an exit code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recordio_bridge import api
from recordio_bridge.cli.system import described
from tests.cli.running import PACKAGE_HOME, run
from tests.samples import image_rec

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")


def run_into(stdout: str, stderr: str, *arguments: object, buffered: bool = True) -> subprocess.CompletedProcess[str]:
    """The module with its outputs in these files, or "" for a pipe."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_HOME), "PYTHONUNBUFFERED": "" if buffered else "1"}
    command = [sys.executable, "-m", "recordio_bridge", *map(str, arguments)]
    streams = [subprocess.PIPE if not path else os.open(path, os.O_WRONLY) for path in (stdout, stderr)]
    try:
        return subprocess.run(command, env=environment, stdout=streams[0], stderr=streams[1], text=True)
    finally:
        for stream in streams:
            if stream != subprocess.PIPE:
                os.close(stream)


@needs_full
@pytest.mark.parametrize("buffered", [True, False])
def test_an_answer_on_a_full_disk_is_one_line_and_exit_1(tmp_path, buffered):
    source = image_rec(tmp_path / "a.rec", 2000)
    for arguments in (
        ["info", source],
        ["head", source, "-n", 2000],
        ["head", source, "--json"],
        ["formats"],
        ["--version"],
        ["convert", "--help"],
    ):
        ended = run_into("/dev/full", "", *arguments, buffered=buffered)
        expected = f"recordio-bridge: error: standard output: {os.strerror(errno.ENOSPC)}; make room there"
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), (arguments, ended.stderr)
        assert ended.stderr.startswith(expected)


@needs_full
@pytest.mark.parametrize("buffered", [True, False])
def test_where_nothing_can_be_told_the_exit_code_still_tells(tmp_path, buffered):
    source = image_rec(tmp_path / "a.rec", 3)
    assert run_into("", "/dev/full", "verify", source, buffered=buffered).returncode == 0  # which has a note
    assert run_into("", "/dev/full", "info", tmp_path / "none.rec", buffered=buffered).returncode == 1
    assert run_into("/dev/full", "/dev/full", "info", source, buffered=buffered).returncode == 1
    assert run_into("", "/dev/full", "info", buffered=buffered).returncode == 2


def test_what_this_user_may_not_do_is_said_with_what_to_change(capsys, tmp_path, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 3)

    def deny(*arguments: object, **options: object) -> object:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "out" / "b.tfrecord"))

    monkeypatch.setattr(api, "convert", deny)
    outcome = run(capsys, "convert", source, tmp_path / "out" / "b.tfrecord")
    assert (outcome.code, outcome.stdout) == (1, "")
    said = (
        f"{tmp_path / 'out' / 'b.tfrecord'}: Permission denied; this user may not write to its folder, or look into it"
    )
    assert outcome.stderr.startswith(f"recordio-bridge: error: {said}: change the rights there (chmod)")


@pytest.mark.parametrize(("readable", "lacks"), [(True, "write to it"), (False, "read it")])
def test_the_right_that_lacks_is_named(tmp_path, monkeypatch, readable, lacks):
    monkeypatch.setattr(os, "access", lambda path, mode: readable)  # root may all
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    assert described(error) == (
        f"{tmp_path}: Permission denied; this user may not {lacks}: change the rights there (chmod), or run as another "
        "user"
    )


def test_an_error_of_the_system_that_names_no_file_is_said_as_it_is():
    assert described(OSError("no name")) == "no name"
    assert described(OSError(errno.EIO, "Input/output error")) == f"[Errno {errno.EIO}] Input/output error"
    assert described(OSError(errno.ENOENT, "No such file", "a.rec")) == "a.rec: No such file"


@pytest.mark.parametrize(
    ("number", "said", "expected"),
    [
        (errno.ENOSPC, "no space", "x: no space; make room there, or name a place that has some"),
        (errno.ENOSPC, "no space; write less", "x: no space; write less"),
        (errno.EACCES, "refused; check the credentials", "x: refused; check the credentials"),
        (errno.ENOENT, "is not there", "x: is not there"),
    ],
)
def test_an_error_that_says_what_to_do_is_not_given_another_advice(number, said, expected):
    assert described(OSError(number, said, "x")) == expected


def test_what_a_store_refuses_is_no_matter_of_rights_here():
    assert described(OSError(errno.EACCES, "refused", "s3://lake/x")) == "s3://lake/x: refused"
