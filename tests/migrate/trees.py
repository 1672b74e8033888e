"""Trees of small sources for migrations, and what the outputs of one hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np

from recordio_bridge.migrate.conclude import Outcome
from tests.samples import image_payload, image_rec, make_example, read_examples, write_rec, write_tfrecord


def rec_tree(folder: Path, sizes: Iterable[int]) -> Path:
    """A folder of .rec files of so many rows each, the ids counted through."""
    return _tree(folder, sizes, ".rec", image_rec)


def tfrecord_tree(folder: Path, sizes: Iterable[int]) -> Path:
    """The same of TFRecord files, with features n, x and name."""

    def write(path: Path, rows: int, first: int) -> None:
        write_tfrecord(path, map(example, range(first, first + rows)))

    return _tree(folder, sizes, ".tfrecord", write)


def npz_tree(folder: Path, sizes: Iterable[int]) -> Path:
    """The same of .npz files, with arrays n and x."""
    return _tree(folder, sizes, ".npz", lambda path, rows, first: np.savez(path, **arrays(first, rows)))


def h5_tree(folder: Path, sizes: Iterable[int]) -> Path:
    """The same of .h5 files."""

    def write(path: Path, rows: int, first: int) -> None:
        with h5py.File(path, "w") as file:
            for name, values in arrays(first, rows).items():
                file[name] = values

    return _tree(folder, sizes, ".h5", write)


def tree_with_a_half(folder: Path, sizes: tuple[int, int, int]) -> Path:
    """a.rec, b.rec and c.rec, the ids counted through; the fourth label of b.rec is 0.5, which is no int."""
    folder.mkdir()
    a, b, c = sizes
    image_rec(folder / "a.rec", a)
    write_rec(folder / "b.rec", [image_payload(a + n, 0.5 if n == 3 else 1.0) for n in range(b)])
    image_rec(folder / "c.rec", c, a + b)
    return folder


def damaged_tree(folder: Path, sizes: Iterable[int]) -> Path:
    """As rec_tree, but the second file is cut in the middle, which is seen when it is read, and the third is none."""
    rec_tree(folder, sizes)
    cut = folder / "part-0001.rec"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (folder / "part-0002.rec").write_bytes(b"no records at all")
    return folder


def _tree(folder: Path, sizes: Iterable[int], suffix: str, write: Callable[[Path, int, int], object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    first = 0
    for number, rows in enumerate(sizes):
        write(folder / f"part-{number:04d}{suffix}", rows, first)
        first += rows
    return folder


def example(n: int) -> bytes:
    """The Example with this number."""
    return make_example({"n": [n], "x": [n / 2, float(n)], "name": [f"row {n} ".encode() * (1 + n % 5)]})


def arrays(first: int, rows: int) -> dict[str, np.ndarray]:
    """Rows of numbers first and on."""
    n = np.arange(first, first + rows, dtype=np.int64)
    return {"n": n, "x": np.stack([n / 2, n], axis=1).astype(np.float32)}


ASKED = {"to": "tfrecord", "shards": 3}
"""What a migration is asked for by tests of how it goes."""

TREES = {"rec": rec_tree, "tfrecord": tfrecord_tree, "npz": npz_tree, "h5": h5_tree}
ALL_TREES = {**TREES, "damaged": damaged_tree}
"""With one of which a migration leaves files in quarantine."""
NUMBERS = {"rec": "id", "tfrecord": "n", "npz": "n", "h5": "n"}
"""The field that numbers the rows of each kind of tree."""


def numbers_in(outcome: Outcome, field: str) -> list[int]:
    """This field of all rows of the outputs, which are TFRecord files, read by struct alone."""
    return [row[field][0] for manifest in outcome.manifests for path in manifest.paths for row in rows_of(path, field)]


def rows_of(path: str, field: str) -> list[dict[str, list]]:
    """The Examples of a file; an int field of value 0 keeps its value in all that this package writes."""
    rows = read_examples(Path(path))
    assert all(field in row for row in rows)
    return rows


def report_of(out: Path, name: str | None = None) -> list[dict]:
    """The lines of the report of what is in quarantine."""
    text = (out / f"{name or out.name}.quarantine.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def finished(out: Path, name: str | None = None) -> dict:
    """What says that a migration is done."""
    content = json.loads((out / f"{name or out.name}.migration.json").read_text())
    assert isinstance(content, dict)
    return content
