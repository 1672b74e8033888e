"""Lists of labels (.lst) as editors and people leave them: a mark of UTF-8 in front, and ids that no record has."""

from __future__ import annotations

import pytest

import recordio_bridge as rb
from recordio_bridge.errors import FormatError
from tests.cli.running import run
from tests.samples import image_rec


def test_a_mark_of_utf8_in_front_of_a_list_is_passed_over(tmp_path):
    path = image_rec(tmp_path / "a.rec", 2)
    (tmp_path / "a.lst").write_bytes(b"\xef\xbb\xbf0\t5\ta.jpg\n1\t6\tb.jpg\n")
    (batch,) = rb.read(path, labels=str(tmp_path / "a.lst"))
    assert [row["label"].tolist() for row in batch.rows()] == [[5.0], [6.0]]


@pytest.mark.parametrize("data", [b"0\t5\ta.jpg\n\xef\xbb\xbf1\t6\tb.jpg\n", b"\xef\xbb\xbf\xef\xbb\xbf0\t5\ta.jpg\n"])
def test_such_a_mark_elsewhere_is_an_error(tmp_path, data):
    path = image_rec(tmp_path / "a.rec", 2)
    (tmp_path / "a.lst").write_bytes(data)
    with pytest.raises(FormatError, match=r"a\.lst: line \d"):
        list(rb.read(path, labels=str(tmp_path / "a.lst")))


EXTRA = (
    "2 of its 5 ids are of no record of this file, the first is 3; is it the list of this .rec, and is that complete?"
)


@pytest.mark.parametrize("options", [[], ["--shards", 2, "--workers", 2], ["--shuffle"], ["--on-bad-record", "skip"]])
def test_ids_of_a_list_that_no_record_has_are_told(capsys, tmp_path, options):
    path, labels = image_rec(tmp_path / "a.rec", 3), tmp_path / "a.lst"
    labels.write_text("".join(f"{id}\t{id}\tx.jpg\n" for id in (2, 9, 0, 3, 1)))
    arguments = ["convert", path, tmp_path / "b.tfrecord", "--in", f"labels={labels}", *options]
    outcome = run(capsys, *arguments)
    assert outcome.code == 0
    assert f"warning: {labels}: {EXTRA}\n" in outcome.stderr
    report = rb.verify(tmp_path / "b.tfrecord")
    assert report.ok
    assert any(EXTRA in warning for warning in report.warnings)


def test_info_tells_them_too_and_says_nothing_of_a_list_that_fits(capsys, tmp_path):
    path, labels = image_rec(tmp_path / "a.rec", 3), tmp_path / "a.lst"
    labels.write_text("".join(f"{id}\t{id}\tx.jpg\n" for id in (2, 9, 0, 3, 1)))
    assert EXTRA in run(capsys, "info", path, "--in", f"labels={labels}").stdout
    labels.write_text("".join(f"{id}\t{id}\tx.jpg\n" for id in (2, 0, 1)))
    assert rb.inspect(path, labels=str(labels)).warnings == ()


def test_one_list_of_several_files_is_not_doubted_as_each_has_a_part_of_it(tmp_path):
    image_rec(tmp_path / "a.rec", 3)
    image_rec(tmp_path / "b.rec", 3, 3)
    labels = tmp_path / "all.lst"
    labels.write_text("".join(f"{id}\t{id}\tx.jpg\n" for id in range(6)))
    summary = rb.inspect([tmp_path / "a.rec", tmp_path / "b.rec"], labels=str(labels))
    assert summary.warnings == ()
    assert [note for note in summary.notes if "all.lst" in note] == []
