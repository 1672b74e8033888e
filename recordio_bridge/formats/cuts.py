"""Cutting a file of framed records into extents, by its heads.

TFRecord is cut so, and no other way: what looks like a head, with a checksum that fits, may be one of a TFRecord that
lies inside of a record. RecordIO has another way, as no head lies in a payload there: see recordio_cuts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import FormatError
from .base import Extent, Heads


def split_at_heads(path: str, runs: Iterator[Heads], nbytes: int) -> list[Extent]:
    """Extents of about nbytes, each cut at the first record head behind that many.

    Where heads end in damage, no cut is made any more: only reading can tell where records go on.
    """
    extents: list[Extent] = []
    start = first_record = records = 0
    target = nbytes
    try:
        for heads in runs:
            while (cut := int(np.searchsorted(heads.offsets, target))) < len(heads):
                stop = int(heads.offsets[cut])
                if records + cut > first_record:
                    extents.append(Extent(path, start, stop, first_record))
                    start, first_record = stop, records + cut
                target = stop + max(nbytes, 1)
            records += len(heads)
    except FormatError:
        pass  # whoever reads the last extent meets it again, and raises or skips
    return [*extents, Extent(path, start, None, first_record)]
