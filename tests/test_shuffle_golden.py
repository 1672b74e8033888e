"""convert --shuffle: what it wrote when all rows and their permutation were held in memory, by digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge.migrate import keysort

MADE_IN_MEMORY = {  # "source target seed shards": SHA-256 of all files written
    ".rec .rec 0 1": "dea9616558aad2514b23b6d9433f23c143a79a476b2a319c42288b6d61a949e7",
    ".rec .tfrecord 7 3": "9dcbf0838b28e351c42a1a7469801a1e8e3891c1c57d32f0f63d916b7a44e900",
    ".rec .npz 123456789012 1": "53ab130f60989def889429bd77d964e61a4e5b1c30d38f8ad0c946e61a84c0dc",
    ".tfrecord .tfrecord 0 4": "557df48b1494e8bd8db2452fd7e866263bb7416424da4c038910d7681d348042",
    ".tfrecord .rec 99 1": "f8a267de01cb44bb70b9571fe94259e6e53ce9521927b1499c4ab4c5ef605f03",
    ".npz .tfrecord 7 3": "9dcbf0838b28e351c42a1a7469801a1e8e3891c1c57d32f0f63d916b7a44e900",
    ".h5 .rec 7 2": "a596f251d1478875a7cf9879e32e157aeb02d65e991641b5489945b4b7fd575b",
    ".h5 .tfrecord 0 1": "527c8c83cad6cf67c796cdcd906bc782cec70fc10250885693483cff5f91bfb8",
    ".npz .npz 5 2": "3641cdee6f0f035858f7ea9618cdc3f1e1ef0af927bcd242ae8de7ba066afefb",
}


def columns_from(first: int, rows: int) -> dict[str, object]:
    numbers = np.arange(first, first + rows)
    return {
        "id": numbers.astype(np.uint64),
        "label": [[float(number), number / 2] for number in numbers],
        "image": [bytes([number % 251]) * (number * 37 % 400) for number in numbers],
    }


def sources(folder: Path, suffix: str) -> list[Path]:
    """Three files of 900 rows together, one of them empty; of TFRecord, the last with a damaged record."""
    paths = [folder / f"{name}{suffix}" for name in "abc"]
    for path, first, rows in zip(paths, (0, 600, 600), (600, 0, 300), strict=True):
        rb.write(path, columns_from(first, rows), schema=SCHEMA)
    if suffix == ".tfrecord":
        for path in folder.glob("*.schema.json"):  # which would not fit what is damaged
            path.unlink()
        data = bytearray(paths[2].read_bytes())
        data[len(data) // 2] ^= 1
        paths[2].write_bytes(data)
    return paths


SCHEMA = rb.Schema(rb.Field("id", "uint64"), rb.Field("label", "float32", (None,)), rb.Field("image", "bytes"))


@pytest.mark.parametrize("copies", [3, 10_000])  # of a run: all rows fit in memory, or fewer than a hundred
@pytest.mark.parametrize("case", MADE_IN_MEMORY)
def test_a_seed_gives_the_bytes_that_it_gave_when_all_rows_were_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, copies: int
) -> None:
    monkeypatch.setattr(keysort, "_COPIES", copies)
    source, target, seed, shards = case.split(" ")
    skips = source == ".tfrecord"
    manifest = rb.convert(
        sources(tmp_path, source),
        tmp_path / f"out{target}",
        shuffle=True,
        seed=int(seed),
        shards=int(shards),
        workers=1 if shards == "1" else 2,
        on_bad_record="skip" if skips else "raise",
        memory=1 << 24,
    )
    assert manifest.num_rows == 900 - skips
    written = b"".join(Path(path).read_bytes() for path in manifest.paths)
    assert hashlib.sha256(written).hexdigest() == MADE_IN_MEMORY[case]
