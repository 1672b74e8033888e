"""Sources that are slow to read at any row, or can only be read from their beginning: written out plain for that.

Nobody but us knows of these files: errors, and reports of what was left out, name those that they came from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import BridgeError, renamed
from .sources import Source

if TYPE_CHECKING:
    from .formats.base import Extent, Skipped
    from .migrate.plan import Order

_Report = TypeVar("_Report", bound="Skipped")


class Unpacked:
    """The files of a source, written plain to a folder; source reads them there.

    fields: what will be read; others may be left out. None for all.
    """

    def __init__(self, packed: Source, folder: Path, fields: Sequence[str] | None = None) -> None:
        paths, options = [], []
        for number, (path, opts) in enumerate(zip(packed.paths, packed.options, strict=True)):
            paths.append(str(folder / f"{number:05d}-{os.path.basename(path)}"))
            options.append(packed.format.unpack(path, opts, paths[-1], packed.on_bad_record, fields))
        self.source = replace(packed, paths=tuple(paths), options=tuple(options))
        self._originals = dict(zip(paths, packed.paths, strict=True))
        changes = [_changes(old, new) for old, new in zip(packed.options, options, strict=True)]
        self._plain = dict(zip(packed.paths, zip(paths, changes, strict=True), strict=True))

    def orders(self, orders: Sequence[Order]) -> tuple[Order, ...]:
        """Orders that were planned for the packed files, and read the plain ones: a row has the same offset in both."""
        return tuple(
            replace(order, extents=tuple(self._on_plain(extent, options) for extent, options in order.extents))
            for order in orders
        )

    def _on_plain(self, extent: Extent, options: Mapping[str, object]) -> tuple[Extent, Mapping[str, object]]:
        path, changes = self._plain[extent.path]
        return replace(extent, path=path), {**options, **changes}

    @contextmanager
    def naming_originals(self) -> Iterator[None]:
        """Let errors from inside name the packed file."""
        try:
            yield
        except BridgeError as err:
            for plain, packed in self._originals.items():
                if plain in str(err):
                    raise renamed(err, plain, packed) from err.__cause__
            raise

    def original(self, report: _Report) -> _Report:
        """A report about the packed file."""
        return replace(report, path=self._originals.get(report.path, report.path))


def _changes(old: Any, new: Any) -> dict[str, object]:  # Any: the options of the format
    before = asdict(old)
    return {name: value for name, value in asdict(new).items() if value != before[name]}
