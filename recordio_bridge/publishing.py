"""Giving complete files their final names: all or none of what belongs together, and no other's file is replaced."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from . import remote
from .files import NEW, Output, Pending, crc_of, discard, pending_file
from .paths import remove
from .remote import is_remote
from .temporary import identity_of, is_parents, place_of, temporary_name
from .turns import turn_in

_NOWHERE = (0, 0)  # the identity of no file


@contextmanager
def atomic(path: str, *, overwrite: bool = False) -> Iterator[Output]:
    """A file that appears under its name, whole and synced, when the block ends well; else not at all."""
    with Output(path) as out:
        yield out
        publish([out.finish()], overwrite=overwrite)


def put_bytes(path: str, data: bytes) -> None:
    """Write a small file, in place of one that may be there: at any time there is the old one or the new, synced."""
    if is_remote(path):
        remote.put(path, data)
        return
    file = pending_file(path, data)
    try:
        os.replace(file.temporary, place_of(path))
    except BaseException:
        discard([file])
        raise
    sync_folder(os.path.dirname(place_of(path)) or ".")


def publish(
    pending: Sequence[Pending], replaced: Callable[[], Sequence[str]] = tuple, *, overwrite: bool = False
) -> None:
    """Give complete files their final names, in their order, and sync the folders: all of them, or none.

    With overwrite, files of these names, and those that replaced gives in our turn (see turns.py), make room first,
    last one first, and are put back when a step fails. With it or without, a file that has appeared since, as of
    another run, is not replaced. Remote ones are uploaded; see uploads.py for what differs there.

    Raises:
        FileExistsError: a file has one of the names.
        VerificationError: what was uploaded was not read back as it is here.
    """
    _refuse_parents(pending)
    if any(is_remote(file.final) for file in pending):
        from .uploads import upload_all

        upload_all(pending, replaced(), overwrite=overwrite)
        return
    placed = [replace(file, final=place_of(file.final)) for file in pending]
    folders = {os.path.dirname(file.final) or "." for file in placed}
    with turn_in(folders):
        _publish_here(placed, replaced() if overwrite else (), overwrite=overwrite)
        for folder in sorted(folders):
            sync_folder(folder)


def _publish_here(placed: Sequence[Pending], replaced: Sequence[str], *, overwrite: bool) -> None:
    """Give files their names, in place of what has them, and of replaced, with overwrite."""
    aside: list[tuple[str, str]] = []
    ours: dict[str, tuple[int, int]] = {}
    try:
        for final in [*reversed(replaced), *(file.final for file in reversed(placed))] if overwrite else []:
            if os.path.lexists(final):
                hidden = temporary_name(final)
                aside.append((hidden, final))  # first, as an interrupt may come between
                os.rename(final, hidden)
        for file in placed:
            ours[file.final] = identity_of(file.temporary) or _NOWHERE  # before it is named, as an interrupt may come
            _give_name(file.temporary, file.final)
        discard(placed)
    except BaseException:
        remove(final for final, identity in ours.items() if identity_of(final) == identity)
        _bring_back(aside)
        raise
    try:
        remove(hidden for hidden, _ in aside)
    except BaseException:
        remove(hidden for hidden, _ in aside)
        raise


def _bring_back(aside: list[tuple[str, str]]) -> None:
    """Give files that were moved aside their names again, the manifest, which was the first, as the last.

    Also where an interrupt comes meanwhile: nobody else would know where they are.
    """
    try:
        _give_back(aside)
    except BaseException:
        _give_back(aside)
        raise


def _give_back(aside: list[tuple[str, str]]) -> None:
    while aside:
        hidden, final = aside[-1]
        with suppress(FileExistsError, FileNotFoundError):  # another run's is newer; or it was not moved as yet
            _give_name(hidden, final)
        if os.path.lexists(final):
            remove([hidden])
        aside.pop()


def _refuse_parents(pending: Sequence[Pending]) -> None:
    for file in pending:
        if is_parents(file.temporary):
            raise ValueError(
                f"{file.final}: this process was forked while it was written, and to finish it is its parent's; write "
                "another file here"
            )


def put_in_place(pending: Sequence[Pending], there: Collection[str]) -> None:
    """Give complete files their final names, and sync the folders; the first one last.

    there: names that other files may have, which are replaced. Elsewhere only one with the same bytes is.

    Raises:
        FileExistsError: another has a name that is not in there; of these files, none has a name then that was free.
        VerificationError: what was uploaded was not read back as it is here.
    """
    if any(is_remote(file.final) for file in pending):
        from .uploads import replace_all

        try:
            replace_all(pending, there)
        except BaseException:
            discard(pending)
            raise
        return
    named: dict[str, tuple[int, int]] = {}
    try:
        for file in reversed(pending):
            place = place_of(file.final)
            if file.final in there:
                os.replace(file.temporary, place)
                continue
            named[place] = identity_of(file.temporary) or _NOWHERE
            try:
                _give_name(file.temporary, place)
            except FileExistsError:
                if not _has_bytes_of(file):
                    raise
                os.replace(file.temporary, place)
        discard(pending)
    except BaseException as err:
        if isinstance(err, FileExistsError):
            remove(place for place, identity in named.items() if identity_of(place) == identity)
        discard(pending)
        raise
    for folder in sorted({os.path.dirname(place_of(file.final)) or "." for file in pending}):
        sync_folder(folder)


def _has_bytes_of(file: Pending) -> bool:
    """Whether what has its final name is the same: of another run that does the same work."""
    with suppress(FileNotFoundError):
        return os.path.getsize(file.final) == file.nbytes and crc_of(file.final) == file.crc32c
    return False


def _give_name(temporary: str, final: str) -> None:
    """Give a file a second name, or its new one; FileExistsError where another has that. A rename would replace it."""
    try:
        try:
            os.link(temporary, final)
        except FileExistsError:
            raise
        except OSError:  # no hard links here (FAT, some network file systems), which each says in its own way
            _rename_unless_there(temporary, final)
    except FileExistsError:
        raise appeared(final) from None


def appeared(path: str) -> FileExistsError:
    """That a file has a name which was free when the work began, and what to do about it."""
    return FileExistsError(
        errno.EEXIST,
        "appeared while this ran, from another run? It stays as it is, and nothing was written; take another name, or "
        "pass overwrite=True (--overwrite) when nothing else writes there",
        path,
    )


def _rename_unless_there(temporary: str, final: str) -> None:
    """Rename a file, unless another has that name: an empty one, which cannot replace it, makes the name ours first."""
    fds: list[int] = []
    try:
        fds.extend(map(os.open, [final], [NEW]))  # by map: an interrupt comes before it is made, or when it is noted
        os.rename(temporary, final)
    except BaseException:
        if fds and identity_of(final) == identity_of(fds[0]):  # not where the rename was done
            os.unlink(final)
        raise
    finally:
        for fd in fds:
            os.close(fd)


def refuse_existing(paths: Iterable[str], overwrite: bool) -> None:
    """FileExistsError when a target is there and may not be replaced; FileNotFoundError without its folder."""
    paths, real = list(paths), dict[str, str]()
    if any(map(is_remote, paths)):
        from .uploads import refuse_remote

        refuse_remote(paths, overwrite)
        return
    for path in paths:
        folder = os.path.dirname(place_of(path))
        if folder and not os.path.isdir(folder):
            raise FileNotFoundError(f"{path}: the folder {folder} does not exist; make it first")
        if os.path.isdir(path):
            raise IsADirectoryError(f"{path} is a folder; give the name of a file")
        if not overwrite and os.path.lexists(path):
            raise FileExistsError(f"{path} exists; pass overwrite=True (--overwrite) to replace it")
        same = real.setdefault(os.path.realpath(path), path)
        if same != path:
            raise FileExistsError(f"{path} and {same} are the same file by a link; remove the link")


def sync_folder(folder: str) -> None:
    """Make names in a folder survive a power loss."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError:  # some network file systems cannot sync a folder; the files themselves are synced
        pass
    finally:
        os.close(fd)
