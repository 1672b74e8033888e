"""How large an output will be, by writing a few rows of its sources."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import lru_cache

from ..errors import BridgeError, SchemaError, renamed
from ..files import discard
from ..formats import get_format
from ..formats.base import Extent
from ..places import Places
from ..schema import Schema
from ..scratch import TemporaryFolder
from ..sources import make_options
from .orders import Order
from .scout import Scout
from .work import rows_of

_ROWS = 4096  # that are looked at of each source in the sample
_BYTES = 4 << 20


def expansion(order: Order, scouts: Mapping[str, Scout]) -> float:
    """How many bytes one byte of the sources becomes: of the beginnings of the first, a middle and the last of them.

    1.0 where that cannot be said, as where all are empty.
    """
    extents = [(extent, options) for extent, options in order.extents if _nbytes(scouts[extent.path])]
    chosen = {len(extents) * part // 2 - (part == 2) for part in (0, 1, 2)} if extents else set()
    read = written = 0
    for number in sorted(chosen):
        extent, options = extents[number]
        try:
            mine, became = _sample(replace(order, extents=((Extent(extent.path), options),)), scouts[extent.path])
        except (BridgeError, OSError):
            continue  # whoever converts it will say what is wrong with it
        read, written = read + mine, written + became
    return written / read if read else 1.0


def check_held(order: Order) -> None:
    """SchemaError, such as a LossyError, where the target cannot hold the columns of an order."""
    options = json.dumps(dict(order.target_options))
    refusal = _refusal(order.target_format, json.dumps(order.written.to_json()), options)
    if refusal is not None:
        error, path = refusal
        raise renamed(error, path, order.target)


@lru_cache(maxsize=1 << 10)
def _refusal(format_name: str, schema: str, options: str) -> tuple[SchemaError, str] | None:
    """The error that a target makes, and the name that it is about, by the texts that tell one kind of output from
    another, as a migration has few kinds.
    """
    format = get_format(format_name)
    with TemporaryFolder() as folder:
        path = os.path.join(folder, f"x{format.suffixes[0]}")
        try:
            format.create(path, Schema.from_json(json.loads(schema)), make_options(format, json.loads(options))).abort()
        except SchemaError as err:
            return err, path
    return None


def _nbytes(seen: Scout) -> int:
    return 0 if seen.file is None else seen.file.nbytes


def _sample(order: Order, seen: Scout) -> tuple[int, int]:
    """Bytes read of a source, and bytes that they became."""
    format = get_format(order.target_format)
    read = rows = 0
    with TemporaryFolder() as folder:
        path = os.path.join(folder, os.path.basename(order.target))
        writer = format.create(path, order.written, make_options(format, order.target_options))
        try:
            with closing(rows_of(order)) as batches:
                for batch, places in batches:
                    writer.write(batch)
                    rows += len(batch)
                    if isinstance(places, Places) and places.sizes is not None:
                        read += int(places.sizes.sum())
                    if rows >= _ROWS or read >= _BYTES or not isinstance(places, Places):
                        break
            written = writer.close()
        except BaseException:
            writer.abort()
            raise
        nbytes = sum(file.nbytes for file in written.files)
        discard(written.files)
    if not read and seen.num_rows:
        read = _nbytes(seen) * rows // seen.num_rows
    return read, nbytes
