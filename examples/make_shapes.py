"""How shapes.rec, shapes.idx and shapes.lst beside this file were made: drawn with OpenCV, packed by mxnet 1.9.1.

python -m examples.make_shapes      (in the environment of scripts/test, from the root of the repository)
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.oracles import import_mxnet

HERE = Path(__file__).parent
CLASSES = ("disc", "square", "triangle")
SIZE = 96


def draw(kind: str, random: np.random.Generator) -> NDArray[np.uint8]:
    """A shape of any size, place and colour on a soft background."""
    corners = random.integers(40, 216, (2, 2, 3)).astype(np.uint8)
    image = cv2.resize(corners, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    x, y = (int(v) for v in random.integers(32, SIZE - 32, 2))
    radius = int(random.integers(14, 30))
    colour = tuple(int(v) for v in random.integers(0, 256, 3))
    if kind == "disc":
        cv2.circle(image, (x, y), radius, colour, -1, cv2.LINE_AA)
    else:
        sides = 4 if kind == "square" else 3
        angles = random.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(sides) / sides
        points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
        cv2.fillPoly(image, [points.astype(np.int32)], colour, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (3, 3), 0)


def main() -> None:
    recordio = import_mxnet().recordio
    random = np.random.default_rng(7)
    order = random.permutation(60)
    writer = recordio.MXIndexedRecordIO(str(HERE / "shapes.idx"), str(HERE / "shapes.rec"), "w")
    lines = []
    for key in order.tolist():
        label = key % len(CLASSES)
        header = recordio.IRHeader(0, float(label), key, 0)
        writer.write_idx(key, recordio.pack_img(header, draw(CLASSES[label], random), quality=90))
        lines.append(f"{key}\t{label:.6f}\t{CLASSES[label]}/{key:03d}.jpg\n")
    writer.close()
    (HERE / "shapes.lst").write_text("".join(lines))


if __name__ == "__main__":
    main()
