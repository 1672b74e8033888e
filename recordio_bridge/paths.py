"""Questions to a path, and small files, here and on remote stores alike. Local paths are asked as ever.

Where a store refuses to say whether a file is there, that is a PermissionError, but for files that only may lie beside
another one: is_beside says no, as public buckets may refuse to say anything of what they do not have.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from . import remote
from .errors import FormatError
from .remote import is_remote

_PIECE = 1 << 20  # bytes of a file that are read at a time
_SMALL = 1 << 20  # bytes of a file that is worth holding


def exists(path: str) -> bool:
    """Whether a file, or a folder, is there."""
    return remote.info_of(path) is not None if is_remote(path) else os.path.exists(path)


def is_beside(path: str) -> bool:
    """Whether a file is there that may lie beside another: a sidecar, an index."""
    if not is_remote(path):
        return os.path.exists(path)
    try:
        return remote.believed_info(path) is not None
    except PermissionError:
        return False


def is_folder(path: str) -> bool:
    """Whether a path is a folder; of an object store, whether names begin with it and a slash."""
    if not is_remote(path):
        return os.path.isdir(path)
    info = remote.info_of(path)
    return info is not None and info.is_folder


def is_file_beside(path: str) -> bool:
    """is_beside, and no folder."""
    return is_beside(path) and not found(path).is_folder if is_remote(path) else os.path.isfile(path)


def list_folder(path: str) -> list[str]:
    """The names in a folder, sorted; those of folders too.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    return list(remote.listed(path)) if is_remote(path) else sorted(os.listdir(path))


class Inside(NamedTuple):
    """The names of what is in a folder, sorted; of links, as what they lead to."""

    files: list[str]
    folders: list[str]
    dead_links: list[str]


def inside(folder: str) -> Inside:
    """What is in a folder. Of what is neither, such as pipes, nothing."""
    found = Inside([], [], [])
    if is_remote(folder):
        for name, info in remote.listed(folder).items():
            (found.folders if info.is_folder else found.files).append(name)
        return found
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            found.files.append(name)
        elif os.path.isdir(path):
            found.folders.append(name)
        elif os.path.islink(path) and not os.path.exists(path):
            found.dead_links.append(name)
    return found


def is_readable(folder: str) -> bool:
    """Whether what is in a folder can be listed."""
    return is_remote(folder) or os.access(folder, os.R_OK | os.X_OK)


def folders_in(folder: str) -> list[str]:
    """The names of the folders in a folder, sorted; also of those that links lead to."""
    if is_remote(folder):
        return [name for name, info in remote.listed(folder).items() if info.is_folder]
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def join(folder: str, name: str) -> str:
    """The path of a name in a folder."""
    return os.path.join(folder, name)  # also of remote ones: POSIX has the same slash


def absolute(path: str | os.PathLike[str]) -> str:
    """The path as an absolute one, as a worker in another folder would need it; links are kept."""
    plain = os.fspath(path)
    return plain if is_remote(plain) else str(Path(plain).absolute())


def normal(path: str | os.PathLike[str]) -> str:
    """The path as an absolute one without "..", where that is the same place: behind a link it may be another."""
    given = absolute(path)
    if is_remote(given) or ".." not in given.split(os.sep):
        return given
    folder, rest = given, ""
    while any(char in folder for char in "*?["):  # what a pattern stands for may be links
        folder, name = os.path.split(folder)
        rest = os.path.join(name, rest) if rest else name
    plain = os.path.normpath(folder)
    if real(plain) != real(folder):
        return given
    return os.path.join(plain, rest) if rest else plain


def real(path: str) -> str:
    """The path that no link leads to, to see whether two are the same file."""
    return path if is_remote(path) else os.path.realpath(path)


def nbytes_of(path: str) -> int:
    """The size of a file."""
    return found(path).nbytes if is_remote(path) else os.path.getsize(path)


def state_of(path: str) -> tuple[int, int]:
    """(nbytes, mtime_ns) of a file: what changes when it is written to. A store that knows no time gives 0 for it."""
    if is_remote(path):
        info = _file_info(path, remote.info_of(path))
        return info.nbytes, info.mtime_ns
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def refuse_pipe(path: str) -> None:
    """FormatError for a pipe, a socket or a device, at which a reader would wait, or find no end, and no way back."""
    if not is_remote(path) and stat.S_IFMT(os.stat(path).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
        raise FormatError(
            f"{path}: is a pipe or a device, and not a file, which is read from several places; save what comes from "
            "it to one",
            path=path,
        )


def read_bytes(path: str, most: int) -> bytes:
    """All bytes of a file.

    Raises:
        FormatError: it has more than so many, or is a pipe, or a device, which may have no end.
    """
    nbytes = nbytes_of(path)
    if nbytes > most:
        raise FormatError(f"{path}: {nbytes} bytes, expected at most {most}", path=path)
    refuse_pipe(path)
    if is_remote(path):
        info = found(path)
        return _read_marked(path, info) if info.mark and nbytes <= _SMALL else remote.read_whole(path)
    with open(path, "rb") as file:
        data = read_up_to(file, most)  # it may have grown meanwhile
    if len(data) > most:
        raise FormatError(f"{path}: more than {most} bytes, expected at most that", path=path)
    return data


def read_up_to(file: BinaryIO, most: int) -> bytes:
    """What is in an open file; where that is more than most bytes, one more than these.

    In pieces: a call takes memory for as many bytes as it is asked for, however few there are.
    """
    pieces, left = [], most + 1
    while left and (piece := file.read(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def remove(paths: Iterable[str]) -> None:
    """Remove files that may be there."""
    for path in paths:
        if is_remote(path):
            remote.delete(path)
        else:
            Path(path).unlink(missing_ok=True)


def make_folder(path: str) -> None:
    """Make a folder, and those that it is in, where they are not there; an object store needs none."""
    if is_remote(path):
        remote.make_place(path)
    else:
        os.makedirs(path, exist_ok=True)


@lru_cache(maxsize=32)
def _read_marked(path: str, info: remote.Info) -> bytes:
    """A small file, such as a sidecar, which is read again and again. By the store's mark, so it is never stale."""
    return remote.read_whole(path)


def found(path: str) -> remote.Info:
    """What a store says of a remote file, which is there, or said two seconds ago.

    Raises:
        FileNotFoundError, IsADirectoryError: it is not.
    """
    return _file_info(path, remote.believed_info(path))


def _file_info(path: str, info: remote.Info | None) -> remote.Info:
    if info is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if info.is_folder:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return info


def free_bytes(path: str) -> int | None:
    """How much room there is where a folder is, or will be; None where nobody knows, as of a store."""
    if is_remote(path):
        return None
    place = os.path.abspath(path)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    return shutil.disk_usage(place).free
