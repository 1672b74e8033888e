"""Names of outputs that a file system does not take."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ..errors import MigrationError
from ..paths import exists, is_folder
from ..remote import is_remote
from ..shards import manifest_path
from ..temporary import temporary_name

_MOST_BYTES = 255  # of a name (NAME_MAX), on all file systems in wide use
_MOST_OF_PATH = 4095  # bytes of a path that Linux takes: PATH_MAX, but for the byte that ends it


def check_names(output: str, files: Sequence[str]) -> None:
    """MigrationError where a file of an output would have too long a name, or path; the longest are those of one in
    the making.
    """
    if is_remote(output):
        return
    longest = os.fsencode(temporary_name(max((manifest_path(output), *files), key=lambda path: len(_name_of(path)))))
    for what, nbytes, most in (
        ("name", len(os.path.basename(longest)), _MOST_BYTES),
        ("path", len(longest), _MOST_OF_PATH),
    ):
        if nbytes > most:
            raise MigrationError(
                f"{output}: would have too long a {what}: with what is put beside it while it is made {nbytes} bytes, "
                f"and file systems take {most}; migrate it apart, under a shorter one"
            )


def _name_of(path: str) -> bytes:
    return os.fsencode(os.path.basename(path))


def refuse_files_for_folders(out: str, targets: Iterable[str]) -> None:
    """NotADirectoryError where a folder of an output would be in the place of a file."""
    for folder in sorted({os.path.dirname(target) for target in targets}):
        while len(folder) > len(out) and not is_remote(folder):
            if exists(folder) and not is_folder(folder):
                raise NotADirectoryError(
                    f"{folder}: is a file, and a folder of the output is to be there; move it away, or name another "
                    "folder for the output (OUT)"
                )
            folder = os.path.dirname(folder)
