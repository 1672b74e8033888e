"""The 24-byte header of MXNet's image records, many at a time. The layout is drawn in recordio.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import _kernels
from ..batch import Ragged

HEADER = np.dtype([("flag", "<u4"), ("label", "<f4"), ("id", "<u8"), ("id2", "<u8")])


def padded_headers(payloads: Ragged) -> NDArray[np.void]:
    """The header of each payload; zeros where a payload is shorter."""
    base, starts, lengths = payloads.spans
    headers = np.zeros(len(starts), dtype=HEADER)
    long = lengths >= HEADER.itemsize
    if long.all():  # a kernel, as an index array over 24-byte windows takes ten times as long
        _kernels.gather_spans((base, starts, np.full(len(starts), HEADER.itemsize)), headers.view(np.uint8))
    else:
        headers[long] = padded_headers(payloads.take(np.flatnonzero(long)))
    return headers


def without_image(lengths: NDArray[np.int64], headers: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which image records, of these sizes, end behind their labels."""
    return np.asarray(lengths == HEADER.itemsize + 4 * headers["flag"].astype(np.int64))


def label_counts(payloads: Ragged, flags: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many labels follow each flagged header: the flag; 0 for a legacy flag; -1 where the record is too short."""
    left = payloads.lengths - HEADER.itemsize - 4 * flags
    doubtful = (left < 0) | ~_begins_image(payloads, HEADER.itemsize + 4 * flags)
    legacy = doubtful & _begins_image(payloads, np.full(len(flags), HEADER.itemsize))
    return np.where(legacy, 0, np.where(left < 0, -1, flags))


def _begins_image(payloads: Ragged, skip: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether an image file (or a .npy) begins so many bytes into each payload."""
    base, starts, lengths = payloads.spans
    left = lengths - skip
    at = np.minimum(starts + skip, len(base))[:, None] + np.arange(12)
    first = np.where(np.arange(12) < left[:, None], base[np.minimum(at, len(base) - 1)], 0)

    def begins(text: bytes, offset: int = 0) -> NDArray[np.bool_]:
        return np.asarray((first[:, offset : offset + len(text)] == np.frombuffer(text, dtype=np.uint8)).all(axis=1))

    size = first[:, 2:6].astype(np.int64) @ (
        1 << np.arange(0, 32, 8)
    )  # "BM" alone may be part of a label; its size may not
    bitmap = begins(b"BM") & (size == left)
    webp = begins(b"RIFF") & begins(b"WEBP", 8)
    return np.asarray(
        begins(b"\xff\xd8\xff") | begins(b"\x89PNG\r\n\x1a\n") | begins(b"GIF8") | begins(b"\x93NUMPY") | webp | bitmap
    )
