"""Temporary files: their names, and who removes them. For folders see scratch.py.

A file in the making lies beside its target, under a name that says which run makes it, so that what a killed run left
is found. A process that was forked leaves to its parent what that was making. It may let go of its copies of the
writers, by an exception on its way out or at the end of the interpreter: then some libraries write to the file once
more, or move the place in it, which both processes share. So in the child the descriptors of such files lead nowhere,
and nothing that the parent made is removed.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

from .remote import is_remote

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<mark>[0-9a-f]{8})-[0-9a-f]{8}\.part", re.DOTALL)
_run_mark = secrets.token_hex(4)
_parents_marks: set[str] = set()


def new_run_mark() -> str:
    """What the names of temporary files of one run are to have in common."""
    return secrets.token_hex(4)


def run_mark() -> str:
    """What the names of temporary files of this process have in common."""
    return _run_mark


def share_run_mark(mark: str) -> None:
    """Name temporary files as the run that this process works for, so that it can clear them away."""
    global _run_mark
    _run_mark = mark


def place_of(final: str) -> str:
    """Where a file of this name goes: a link is followed, as rename would replace the link itself."""
    return os.path.realpath(final) if os.path.islink(final) else final


def temporary_name(place: str) -> str:
    """A name beside a file that no other run has; for a remote one, in the folder for temporary files."""
    return os.path.join(_workshop(place), f".{os.path.basename(place)}.{_run_mark}-{secrets.token_hex(4)}.part")


def _workshop(place: str) -> str:
    """The folder in which a file is made."""
    return tempfile.gettempdir() if is_remote(place) else os.path.dirname(place)


def is_parents(temporary: str) -> bool:
    """Whether a temporary file was made by a process that this one was forked from."""
    match = _TEMPORARY.fullmatch(os.path.basename(temporary))
    return match is not None and match["mark"] in _parents_marks


def remove_own(temporary: str) -> None:
    """Remove a temporary file, if it is there and not our parent's."""
    if not is_parents(temporary):
        with suppress(FileNotFoundError):
            os.unlink(temporary)


_begun: ContextVar[list[str] | None] = ContextVar("_begun", default=None)


def begin_file(place: str) -> str:
    """The temporary name of a file that is about to be made; clearing_up removes it."""
    name = temporary_name(place)
    begun = _begun.get()
    if begun is not None:
        begun.append(name)
    return name


@contextmanager
def clearing_up() -> Iterator[None]:
    """Remove the files that the block began, where it raises.

    Whoever makes a file removes it. But an interrupt may come at any point, also just before somebody is there to do
    so, or while he does.
    """
    begun: list[str] = []
    token = _begun.set(begun)
    try:
        yield
    except BaseException:
        for name in begun:
            with suppress(OSError):  # what it says is no news beside what was raised
                remove_own(name)
        raise
    finally:
        _begun.reset(token)


def discard_left_over(finals: Iterable[str], mark: str | None = None) -> None:
    """Remove what runs that were killed left behind of these files; of one run alone, where its mark is given.

    What waits for its upload lies in the folder for temporary files, among those of others: it is found by mark alone.
    """
    folders: dict[str, set[str]] = {}
    for place in map(place_of, finals):
        if mark is not None or not is_remote(place):
            folders.setdefault(_workshop(place) or ".", set()).add(os.path.basename(place))
    for folder, names in folders.items():
        for file in os.listdir(folder) if os.path.isdir(folder) else []:
            match = _TEMPORARY.fullmatch(file)
            if match is not None and match["name"] in names and mark in (None, match["mark"]):
                Path(folder, file).unlink(missing_ok=True)


# ---- files in the making, and forks ----


class Maker(Protocol):
    """What makes a file under a temporary name."""

    temporary: str


_makers: weakref.WeakSet[Maker] = weakref.WeakSet()


def note_maker(maker: Maker) -> None:
    """Let a forked process leave a file to us, as long as this object lives."""
    _makers.add(maker)


def _leave_to_parent() -> None:
    """Lead the descriptors of files that our parent makes nowhere, and name ours otherwise."""
    global _run_mark
    _parents_marks.add(_run_mark)
    _run_mark = new_run_mark()
    files = {identity_of(maker.temporary) for maker in _makers} - {None}
    if not files:
        return
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for name in os.listdir("/dev/fd"):
        if identity_of(int(name)) in files:
            os.dup2(nowhere, int(name), inheritable=False)
    os.close(nowhere)


def identity_of(file: str | int) -> tuple[int, int] | None:
    """What tells a file from every other; None of one that is not there."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


os.register_at_fork(after_in_child=_leave_to_parent)
