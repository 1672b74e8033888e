"""Every pair of formats converts, both ways: values, dtypes and shapes as they were, or an error that names a loss."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Batch, Field, Schema
from tests.formats.contract import plain

SUFFIXES = [".rec", ".tfrecord", ".tfrecord.gz", ".h5", ".npz", ".npy"]
SCHEMA = Schema(
    Field("id", "uint64"),
    Field("label", "int64"),
    Field("pixels", "uint8", (4, 3)),
    Field("half", "float16", (2,)),
    Field("flag", "bool"),
    Field("boxes", "float32", (None,)),
    Field("name", "bytes"),
    Field("tags", "bytes", (None,)),
)


def sample(rows: int = 40) -> Batch:
    rng = np.random.default_rng(3)
    return Batch.of(
        {
            "id": np.arange(rows),
            "label": rng.integers(-(2**62), 2**62, rows),
            "pixels": rng.integers(0, 256, (rows, 4, 3)),
            "half": rng.random((rows, 2)).astype(np.float16),
            "flag": rng.integers(0, 2, rows).astype(bool),
            "boxes": [rng.random(n % 4).astype(np.float32) for n in range(rows)],
            "name": [b"n%d" % n for n in range(rows)],
            "tags": [[b"t"] * (n % 3) for n in range(rows)],
        },
        SCHEMA,
    )


@pytest.mark.parametrize(("source", "target"), list(product(SUFFIXES, SUFFIXES)))
def test_every_pair_keeps_values_dtypes_and_shapes(tmp_path: Path, source: str, target: str) -> None:
    fields = ["pixels"] if ".npy" in (source, target) else list(SCHEMA)
    batch = sample().pick(fields)
    rb.write(tmp_path / f"a{source}", batch)
    manifest = rb.convert(tmp_path / f"a{source}", tmp_path / f"b{target}")
    assert (manifest.num_rows, manifest.schema) == (40, batch.schema)
    (found,) = rb.read(tmp_path / f"b{target}")
    assert found.schema == batch.schema
    assert plain(found) == plain(batch)
    assert rb.verify(tmp_path / f"b{target}").ok


@pytest.mark.parametrize("source", [".h5", ".npz"])
@pytest.mark.parametrize("target", SUFFIXES[:-1])
def test_shuffled_shards_hold_each_row_once(tmp_path: Path, source: str, target: str) -> None:
    rb.write(tmp_path / f"a{source}", sample())
    options = {"shards": 3, "shuffle": True, "seed": 7}
    rb.convert(tmp_path / f"a{source}", tmp_path / f"one{target}", **options)
    rb.convert(tmp_path / f"a{source}", tmp_path / f"two{target}", workers=2, **options)
    rows = {str(row["id"]): row for batch in rb.read(tmp_path / f"one{target}") for row in batch.rows()}
    assert [plain(rows[str(row["id"])]) for row in sample().rows()] == plain(sample())
    for number in range(3):
        name = f"-{number:05d}-of-00003{target}"
        one, two = (tmp_path / f"{stem}{name}" for stem in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("source", [".h5", ".npz", ".npy"])
@pytest.mark.parametrize("target", [".tfrecord", ".rec"])
def test_float64_is_lossy_for_an_example_until_it_is_cast_or_packed(tmp_path: Path, source: str, target: str) -> None:
    rb.write(tmp_path / f"a{source}", {"data": np.array([0.1, 0.5])})
    with pytest.raises(rb.LossyError) as caught:
        rb.convert(tmp_path / f"a{source}", tmp_path / f"b{target}")
    assert caught.value.field == "data"
    assert "--select 'data:float32=data'" in str(caught.value)
    rb.convert(tmp_path / f"a{source}", tmp_path / f"b{target}", pack={"data": "raw"})
    (batch,) = rb.read(tmp_path / f"b{target}")
    assert batch["data"].tolist() == [0.1, 0.5]


@pytest.mark.parametrize("target", [".h5", ".npz"])
def test_images_of_a_rec_come_back_as_the_same_bytes(tmp_path: Path, target: str) -> None:
    golden = Path(__file__).parent / "golden"
    for name in ("b_vector", "c_magic_header", "e_images", "h_det"):
        source = golden / f"{name}.rec"
        rb.convert(source, tmp_path / f"{name}{target}", source_options={"index": ""})
        rb.convert(tmp_path / f"{name}{target}", tmp_path / f"{name}.rec")
        before, after = (list(rb.read(path, index="")) for path in (source, tmp_path / f"{name}.rec"))
        assert [plain(batch) for batch in before] == [plain(batch) for batch in after]
