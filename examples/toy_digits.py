"""What the examples train on: ten made-up digits of 28 x 28 pixels, each a pattern of its own under noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import recordio_bridge as rb

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


def digits(rows: int = 4000) -> tuple[Images, Labels]:
    """images: uint8[rows, 28, 28]; labels: int64[rows], 0 to 9."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 2, (10, 28, 28)) * 80 + 60
    labels = random.integers(0, 10, rows)
    images = patterns[labels] + random.normal(0, 60, (rows, 28, 28))
    return images.clip(0, 255).astype(np.uint8), labels


def write_digits(path: Path) -> Path:
    """The same in a file, of whatever format its suffix says, with a number for each row."""
    images, labels = digits()
    rb.write(path, {"id": np.arange(len(labels)), "image": images, "label": labels})
    return path
