"""convert looks at the beginning of a .rec, and finds out on the way whether the rest is as it presumed."""

from __future__ import annotations

from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge.formats.framed import BLOCK
from recordio_bridge.migrate import onepass

from .samples import contents, image_payload, write_rec

LONG = bytes(BLOCK // 2)
LATE_ID2 = [image_payload(1, 1.0, LONG), image_payload(2, 2.0, LONG), image_payload(3, 3.0, LONG, id2=9)]


def both_ways(source: Path, folder: Path, **wishes: object) -> rb.Summary:
    """Convert in one pass, and with a look through the source before (as for a progress bar); compare all files."""
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    rb.convert(source, folder / "one" / "x.tfrecord", **wishes)
    rb.convert(source, folder / "two" / "x.tfrecord", progress=lambda rows, of: None, **wishes)
    assert contents(folder / "one") == contents(folder / "two")
    return rb.inspect(folder / "one" / "x.tfrecord")


@pytest.mark.parametrize(
    "name", ["a_scalar", "c_magic_header", "f_int_keys", "g_insightface", "h_det", "d_zero_records"]
)
def test_one_pass_gives_the_same_files_as_two(tmp_path: Path, name: str) -> None:
    golden = Path(__file__).parent / "golden"
    (tmp_path / "a.rec").write_bytes((golden / f"{name}.rec").read_bytes())
    if (golden / f"{name}.idx").exists():
        (tmp_path / "a.idx").write_bytes((golden / f"{name}.idx").read_bytes())
    summary = both_ways(tmp_path / "a.rec", tmp_path, allow_lossy=("id",))
    assert summary.num_rows == rb.inspect(tmp_path / "a.rec").num_rows


def test_a_second_id_far_from_the_beginning_is_not_lost(tmp_path: Path) -> None:
    source = write_rec(tmp_path / "a.rec", LATE_ID2)
    summary = both_ways(source, tmp_path)
    assert "id2" in summary.schema
    rows = [row["id2"] for batch in rb.read(tmp_path / "one" / "x.tfrecord") for row in batch.rows()]
    assert rows == [0, 0, 9]


def test_a_key_far_from_the_beginning_is_not_lost(tmp_path: Path) -> None:
    source = write_rec(tmp_path / "a.rec", [image_payload(n, 1.0, LONG) for n in range(4)])
    rb.index(source)
    lines = source.with_suffix(".idx").read_text().splitlines()
    source.with_suffix(".idx").write_text("\n".join([*lines[:3], "77\t" + lines[3].split("\t")[1], ""]))
    assert "key" in both_ways(source, tmp_path).schema


def test_what_is_not_selected_does_not_cost_a_second_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    run_orders = onepass.run_orders
    monkeypatch.setattr(onepass, "run_orders", lambda *args: runs.append(args) or run_orders(*args))
    source = write_rec(tmp_path / "a.rec", LATE_ID2)
    manifest = rb.convert(source, tmp_path / "x.tfrecord", select={"image": "image"})
    assert (len(runs), manifest.num_rows) == (1, 3)
    assert not [name for name in contents(tmp_path) if name.endswith(".part")]
