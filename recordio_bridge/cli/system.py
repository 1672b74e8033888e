"""Errors of the operating system, in words that say what to do: the library lets them pass as they are."""

from __future__ import annotations

import errno
import os

from ..remote import is_remote

_ROOM = "make room there, or name a place that has some"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: "name a place that can be written",
    errno.EMFILE: "allow more open files (ulimit -n)",
}


def described(error: OSError) -> str:
    """Where, what, and what to do where that is known."""
    if not error.filename or not error.strerror:
        return str(error)
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(error.filename)
    advice = _rights(path) if error.errno in (errno.EACCES, errno.EPERM) else _ADVICE.get(error.errno or 0)
    if advice is None or ";" in error.strerror or is_remote(path):  # whoever raised it knows more
        return f"{path}: {error.strerror}"
    return f"{path}: {error.strerror}; {advice}"


def _rights(path: str) -> str:
    if not os.path.exists(path):
        lacks = "write to its folder, or look into it"
    else:
        lacks = "write to it" if os.access(path, os.R_OK) else "read it"
    return f"this user may not {lacks}: change the rights there (chmod), or run as another user"
