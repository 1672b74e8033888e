"""Sources that are slow to read at any row, or can only be read from their beginning: written out plain for that.
Those that lie on a remote store are fetched for it, with what lies beside them.

Nobody but us knows of these files: errors, and reports of what was left out, name those that they came from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from .copies import fetch, on_disk
from .errors import BridgeError, FormatError, SchemaError, renamed
from .paths import is_beside
from .remote import is_remote
from .shards import schema_path, sidecar_candidates
from .sources import Source

if TYPE_CHECKING:
    from .formats.base import Extent, Format, Skipped
    from .migrate.orders import Order

_Report = TypeVar("_Report", bound="Skipped")
AfterEach: TypeAlias = Callable[[int, "FormatError | SchemaError | OSError | None"], None]
_MOST_BYTES = 150  # of a name, of which file systems take 255


class Unpacked:
    """The files of a source, written plain to a folder; source reads them there.

    fields: what will be read; others may be left out. None for all. as_they_are: remote files that are only fetched.
    after_each: called with the number of each file when it was written, or with what is wrong with it; that is raised
    where nobody asks. There is no plain file of one that is bad.
    """

    def __init__(
        self,
        packed: Source,
        folder: Path,
        fields: Sequence[str] | None = None,
        *,
        as_they_are: bool = False,
        after_each: AfterEach | None = None,
    ) -> None:
        paths, options = [], []
        for number, (path, opts) in enumerate(zip(packed.paths, packed.options, strict=True)):
            place = folder / f"{number:05d}"
            plain = str(place / os.path.basename(path) if as_they_are else f"{place}-{_end_of(os.path.basename(path))}")
            failure = None
            try:
                if as_they_are:
                    plain = _fetched(packed.format, path, place)
                else:
                    opts = packed.format.unpack(path, opts, plain, packed.on_bad_record, fields)
            except (FormatError, SchemaError, OSError) as err:
                if after_each is None or (isinstance(err, OSError) and _is_below(folder, err.filename)):
                    raise
                failure = err
                _discard(place)
            if after_each is not None:
                after_each(number, failure)
            paths.append(plain)
            options.append(opts)
        self.source = replace(packed, paths=tuple(paths), options=tuple(options))
        self._originals = dict(zip(paths, packed.paths, strict=True))
        changes = [_changes(old, new) for old, new in zip(packed.options, options, strict=True)]
        self._plain = dict(zip(packed.paths, zip(paths, changes, strict=True), strict=True))

    def orders(self, orders: Sequence[Order]) -> tuple[Order, ...]:
        """Orders that were planned for the packed files, and read the plain ones: a row has the same offset in both."""
        return tuple(map(self.order, orders))

    def order(self, order: Order) -> Order:
        """The same of one."""
        return replace(order, extents=tuple(self._on_plain(extent, options) for extent, options in order.extents))

    def _on_plain(self, extent: Extent, options: Mapping[str, object]) -> tuple[Extent, Mapping[str, object]]:
        path, changes = self._plain[extent.path]
        return replace(extent, path=path), {**options, **changes}

    @property
    def originals(self) -> dict[str, str]:
        """The packed file of each plain one."""
        return dict(self._originals)

    def naming_originals(self) -> AbstractContextManager[None]:
        """Let errors from inside name the packed file."""
        return naming_originals(self._originals)

    def named(self, text: str) -> str:
        """A sentence about the packed files."""
        for plain, packed in self._originals.items():
            text = text.replace(plain, packed).replace(os.path.dirname(plain), os.path.dirname(packed))
        return text

    def original(self, report: _Report) -> _Report:
        """A report about the packed file."""
        return replace(report, path=self._originals.get(report.path, report.path))


def _end_of(name: str) -> str:
    """The end of a name, which leaves room for what is put before it and behind it."""
    return os.fsdecode(os.fsencode(name)[-_MOST_BYTES:])


def _fetched(format: Format, path: str, folder: Path) -> str:
    """A copy of a remote file in a folder of its own, with its index and the sidecar that names it."""
    if not is_remote(path):
        return path
    folder.mkdir()
    with on_disk(path) as local:
        target = str(folder / os.path.basename(path))
        os.link(local, target)  # both are among the temporary files
    beside = [*format.files_of(path)[1:], *(schema_path(output) for output in sidecar_candidates(path))]
    for each in beside:
        if is_beside(each):
            fetch(each, str(folder / os.path.basename(each)))
    return target


def _is_below(folder: Path, path: object) -> bool:
    return isinstance(path, str) and folder in Path(path).parents


def _discard(place: Path) -> None:
    """Remove what was written of a file that turned out to be bad; it may be large."""
    shutil.rmtree(place, ignore_errors=True)
    for path in place.parent.glob(f"{place.name}-*"):  # with what lies beside it
        path.unlink()


def _changes(old: Any, new: Any) -> dict[str, object]:  # Any: the options of the format
    before = asdict(old)
    return {name: value for name, value in asdict(new).items() if value != before[name]}


@contextmanager
def naming_originals(originals: Mapping[str, str]) -> Iterator[None]:
    """Let errors from inside that name a file name the one that it was made of."""
    try:
        yield
    except BridgeError as err:
        for plain, packed in originals.items():
            if plain in str(err):
                raise renamed(err, plain, packed) from err.__cause__
        raise
