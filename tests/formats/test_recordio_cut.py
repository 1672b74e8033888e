"""A .rec that was cut between two records: nothing in it says so, but its .idx does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import TruncatedError
from recordio_bridge.formats.recordio_index import read_index
from tests.cli.running import run
from tests.samples import image_rec

COUNTS = "names 7 records, of which 3 would begin at byte"


@pytest.fixture(params=["integers", "texts"])
def cut(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Four records, and an index of seven."""
    path = image_rec(tmp_path / "a.rec", 7)
    lines = (tmp_path / "a.idx").read_text().splitlines()
    os.truncate(path, int(lines[4].split("\t")[1]))
    if request.param == "texts":
        (tmp_path / "a.idx").write_text("".join(f"image {line}\n" for line in lines))
    return path


def test_verify_finds_it_and_names_both_counts_and_the_byte(capsys, cut):
    outcome = run(capsys, "verify", cut)
    assert outcome.code == 3
    assert f"a.idx: {COUNTS} {cut.stat().st_size} or beyond" in outcome.stdout


def test_inspect_and_info_say_so(capsys, cut):
    summary = rb.inspect(cut)
    assert summary.num_rows == 4
    assert any("DATA MAY BE MISSING" in note and COUNTS in note for note in summary.notes)
    assert COUNTS in run(capsys, "info", cut).stdout


@pytest.mark.parametrize("quiet", [[], ["-q"]])
@pytest.mark.parametrize("target", ["b.tfrecord", "b.rec"])
def test_convert_says_so_once_even_where_it_is_quiet_and_in_the_manifest(capsys, cut, quiet, target):
    outcome = run(capsys, "convert", cut, cut.parent / target, *quiet)
    assert outcome.code == 0
    assert outcome.stderr.count(COUNTS) == 1
    assert COUNTS in (cut.parent / f"{target}.manifest.json").read_text()


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_head_says_so_even_where_it_is_quiet(capsys, cut, quiet):
    outcome = run(capsys, "head", cut, *quiet)
    assert outcome.code == 0
    assert outcome.stderr.count(COUNTS) == 1


@pytest.mark.parametrize("fields", [None, ["image"]])
def test_reading_in_python_logs_an_error(cut, caplog, fields):
    assert sum(len(batch) for batch in rb.read(cut, fields=fields)) == 4
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert COUNTS in record.getMessage()
    caplog.clear()
    rb.open(cut)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_the_index_itself_is_left_as_the_only_witness(capsys, cut):
    before = (cut.parent / "a.idx").read_bytes()
    assert run(capsys, "index", cut, "--overwrite").code == 1
    assert (cut.parent / "a.idx").read_bytes() == before


def test_the_error_names_the_first_line_that_leads_beyond(cut):
    with pytest.raises(TruncatedError, match=r"line 5 says") as caught:
        read_index(str(cut.parent / "a.idx"), cut.stat().st_size)
    assert caught.value.record == 4


def test_a_file_cut_to_nothing_is_found(tmp_path, caplog):
    path = image_rec(tmp_path / "a.rec", 2)
    os.truncate(path, 0)
    assert not rb.verify(path).ok
    assert list(rb.read(path)) == []
    assert "names 2 records, of which 2 would begin at byte 0" in caplog.text


def test_one_of_several_files_is_named(capsys, tmp_path, cut):
    image_rec(tmp_path / "b.rec", 2)
    outcome = run(capsys, "convert", tmp_path / "?.rec", tmp_path / "c.tfrecord", "-q")
    assert outcome.stderr.count(COUNTS) == 1
    assert "a.idx" in outcome.stderr
