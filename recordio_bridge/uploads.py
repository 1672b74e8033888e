"""Files that were made and verified here take their final names on a remote store.

Each is uploaded, in parts where it is large, appears when it is complete, and is then read back and compared by its
CRC-32C. The manifest comes last, and after all others are read back: its presence means what it means here.

A store has no rename. So with overwrite, the manifest of what was there goes first, then what the new files make void,
and files of the same names are replaced one by one: an upload that fails in between leaves nothing of the earlier
output that could be taken for complete. Without overwrite, where the store knows of If-None-Match, no file of
another run is ever replaced.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from . import paths, remote
from .errors import VerificationError
from .files import Pending, crc_of, discard
from .publishing import appeared

_log = logging.getLogger(__name__)
_MANIFEST = ".manifest.json"
_AT_ONCE = 4  # files on their way: one alone waits for answers much of the time
_FEW = 8  # files that are asked for one by one; for more, their folder is listed


def upload_all(pending: Sequence[Pending], replaced: Sequence[str], *, overwrite: bool) -> None:
    """publishing.publish, where the final names are remote."""
    finals = [file.final for file in pending]
    if not overwrite:
        _refuse_appeared(finals)
    void = [*reversed(replaced), *reversed(finals)] if overwrite else []
    void.sort(key=lambda path: not path.endswith(_MANIFEST))
    gone = [path for path in void if path.endswith(_MANIFEST) or path not in finals]
    begun: dict[Pending, bool] = {}
    try:
        paths.remove(gone)
        *before, last = pending
        with ThreadPoolExecutor(_AT_ONCE, "recordio_bridge-upload") as threads:
            coming = [threads.submit(_send, file, begun, overwrite) for file in before]
            try:
                for each in coming:
                    each.result()
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                _abort(begun)  # so that those on their way end soon, too
                raise
        _send(last, begun, overwrite)
    except BaseException:
        _abort(begun)
        with suppress(OSError):  # what cannot be reached cannot be removed either; the first error says why
            paths.remove(file.final for file, is_ours in begun.items() if is_ours or _is_there(file))
        if overwrite:
            _log.error("%s: was to be replaced, and what was there before is not complete any more", finals[0])
        raise
    discard(pending)


def replace_all(pending: Sequence[Pending], there: Collection[str]) -> None:
    """publishing.put_in_place, where the final names are remote: one by one, the first one last.

    What is there stays where that fails, as it may be of another run, which writes the same bytes.
    """
    begun: dict[Pending, bool] = {}
    try:
        for file in reversed(pending):
            _send(file, begun, overwrite=file.final in there)
    except Exception:  # not an interrupt: what is on its way by then may be of the run that comes next
        _abort(begun)
        raise
    discard(pending)


def _send(file: Pending, begun: dict[Pending, bool], overwrite: bool) -> None:
    """Upload a file, and read it back. begun: those that may be there by now, and whether that is certain."""
    begun[file] = False
    try:
        remote.upload(file.temporary, file.final, overwrite=overwrite)
        begun[file] = True
    except FileExistsError:
        if not _is_there(file):  # else it is ours: the answer to an earlier attempt was lost
            del begun[file]
            raise appeared(file.final) from None
    if not _is_there(file):
        with suppress(OSError):
            remote.delete(file.final)
        raise VerificationError(
            f"{file.final}: read back other bytes than were uploaded; it was removed; run it again when nothing else "
            "writes there"
        )


def _is_there(file: Pending) -> bool:
    """Whether what has the final name is this file, read back to its last byte."""
    info = remote.info_of(file.final)
    return info is not None and info.nbytes == file.nbytes and crc_of(file.final) == file.crc32c


def _refuse_appeared(finals: Sequence[str]) -> None:
    """Look before the first upload; those that appear later the store refuses by itself, if it can."""
    try:
        refuse_remote(finals, overwrite=False)
    except FileExistsError as err:
        raise appeared(str(err.filename)) from None


def _abort(begun: Mapping[Pending, bool]) -> None:
    with suppress(OSError):
        for file in [file for file, is_there in list(begun.items()) if not is_there]:
            remote.abort_uploads(file.final)


def refuse_remote(targets: Sequence[str], overwrite: bool) -> None:
    """publishing.refuse_existing, of remote targets."""
    folders = {target.rpartition("/")[0]: target for target in targets}
    for target in folders.values():
        remote.check_place(target)
    known: dict[str, remote.Info] = {}
    if len(targets) > _FEW:
        for folder in folders:
            with suppress(FileNotFoundError):
                known |= {f"{folder}/{name}": info for name, info in remote.listed(folder).items()}
    for target in targets:
        info = known.get(target) if len(targets) > _FEW else remote.info_of(target)
        if info is not None and info.is_folder:
            raise IsADirectoryError(errno.EISDIR, "is a folder; give the name of a file", target)
        if info is not None and not overwrite:
            raise FileExistsError(errno.EEXIST, "exists; pass overwrite=True (--overwrite) to replace it", target)
