"""What is found of a .idx on the way through its .rec, line by line, is what is found when it is held as a whole."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recordio_bridge as rb
from recordio_bridge.errors import FormatError
from recordio_bridge.formats import recordio_index
from recordio_bridge.formats.recordio_facts import Facts
from recordio_bridge.formats.recordio_header import HEADER
from recordio_bridge.formats.recordio_index import IndexLines
from tests.samples import image_payload, image_rec, write_rec

HEADS = np.arange(6, dtype=np.int64) * 40
IDS = np.array([3, 4, 5, 6, 7, 8], dtype=np.uint64)


@st.composite
def indexes(draw: st.DrawFn) -> bytes:
    """The lines of a good index after a few accidents."""
    lines = [b"%d\t%d" % pair for pair in zip(IDS.tolist(), HEADS.tolist(), strict=True)]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1)) if lines else 0
        kind = draw(st.sampled_from(["drop", "twice", "swap", "key", "text", "offset", "beyond", "long", "blank"]))
        if kind == "swap" or not lines:
            lines = lines[at:] + lines[:at]
        elif kind == "drop":
            del lines[at]
        elif kind == "twice":
            lines.insert(at, lines[at])
        else:
            key, offset = lines[at].split(b"\t") if lines[at].count(b"\t") == 1 else (b"1", b"0")
            lines[at] = {
                "key": b"%d\t%b" % (draw(st.integers(0, 2**64 - 1)), offset),
                "text": b"name %b\t%b" % (key, offset),
                "offset": b"%b\t%d" % (key, 4 * draw(st.integers(0, 70))),
                "beyond": b"%b\t%d" % (key, 10_000),
                "long": b"0" * 5000 + b"%b\t%b" % (key, offset),
                "blank": b"",
            }[kind]
    return b"\n".join(lines) + draw(st.sampled_from([b"", b"\n"]))


def told(path: Path, cuts: list[int], keep: bool) -> tuple[object, ...]:
    """All that Facts says of a file of six records, added in runs."""
    headers = np.zeros(6, dtype=HEADER)
    headers["id"] = IDS
    with mock.patch.object(recordio_index, "_PIECE", 7):
        options = rb.formats.get_format("rec").options(payload="image")
        facts = Facts(str(path), options, keep=keep)
        try:
            for start, stop in zip([0, *cuts], [*cuts, 6], strict=True):
                facts.add(HEADS[start:stop], np.full(stop - start, 30), headers[start:stop])
            return facts.fields(), facts.notes(), facts.has_index
        finally:
            facts.close()


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(index=indexes(), cuts=st.lists(st.integers(0, 6), max_size=3).map(sorted))
def test_line_by_line_and_as_a_whole_an_index_says_the_same(tmp_path: Path, index: bytes, cuts: list[int]) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(bytes(240))
    path.with_suffix(".idx").write_bytes(index)
    assert told(path, cuts, keep=False) == told(path, cuts, keep=True)


@pytest.mark.parametrize("end", ["", "\n"])
def test_lines_come_in_any_portion_and_then_end(tmp_path: Path, end: str) -> None:
    (tmp_path / "x.idx").write_text("\n".join(f"{n}\t{4 * n}" for n in range(100)) + end)
    for portion in (1, 7, 99, 100, 1000):
        lines, rows = IndexLines(str(tmp_path / "x.idx")), []
        while len((found := lines.take(portion))[0]):
            assert len(found[0]) in (portion, 100 % portion)
            rows += zip(*(column.tolist() for column in found), strict=True)
        lines.close()
        assert rows == [(n, 4 * n) for n in range(100)]


def test_a_line_without_end_is_not_gathered(tmp_path: Path) -> None:
    (tmp_path / "x.idx").write_bytes(b"1" * (1 << 22))
    lines = IndexLines(str(tmp_path / "x.idx"))
    assert lines.take(1) is None
    lines.close()


@pytest.mark.parametrize("at", [0, 3, 6])
def test_an_index_that_goes_wrong_on_the_way_is_a_note_of_convert(tmp_path: Path, at: int) -> None:
    source = write_rec(tmp_path / "a.rec", [image_payload(n + 100) for n in range(7)])
    rb.index(source)
    index = source.with_suffix(".idx")
    lines = [f"{n}\t{line.split()[1]}" for n, line in enumerate(index.read_text().splitlines())]  # keys of its own
    index.write_text("\n".join([*lines[:at], f"{at}\t4", *lines[at + 1 :]]))
    manifest = rb.convert(source, tmp_path / "b.tfrecord")
    assert (manifest.num_rows, list(manifest.schema)) == (7, ["id", "label", "image"])
    assert any("the index is not used" in warning for warning in manifest.warnings)


def test_damage_of_the_records_is_still_an_error_where_keys_are_read(tmp_path: Path) -> None:
    source = image_rec(tmp_path / "a.rec", 7)
    index = source.with_suffix(".idx")
    index.write_text("".join(f"9{line}\n" for line in index.read_text().splitlines()))
    assert "key" in rb.inspect(source).schema
    source.write_bytes(source.read_bytes()[:-3])
    with pytest.raises(FormatError, match=r"a\.rec: record 6"):
        rb.convert(source, tmp_path / "b.tfrecord")
