"""Text with a line for each record: .lst, .idx, and names of classes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from recordio_bridge.formats import recordio_list
from recordio_bridge.sidecar import read_names
from tests.limits.probing import READ, VERIFY, outcome
from tests.samples import image_rec

LIST = "sum(map(len, rb.read(path, labels=path[:-4] + '.lst')))"


@pytest.mark.parametrize("line", [b"", b"0\t1\t", b"0\t"], ids=["no list", "a label and a path", "a label"])
def test_a_line_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path, line: bytes) -> None:
    path = image_rec(tmp_path / "x.rec", 3)
    path.with_suffix(".lst").write_bytes(line)
    os.truncate(path.with_suffix(".lst"), 4 << 30)
    printed = outcome(LIST, path, 1 << 27)
    assert printed == f"FormatError {tmp_path}/x.lst: line 1: has more than 1048576 characters"


def test_a_line_as_long_as_is_taken_is_read(tmp_path: Path) -> None:
    assert recordio_list._LONGEST_LINE == 1 << 20
    path = image_rec(tmp_path / "x.rec", 1)
    labels = "0\t1\t" + "n" * ((1 << 20) - 5) + "\r\n"
    for text, fits in ((labels, True), (labels.replace("\t1\t", "\t12\t"), False)):
        path.with_suffix(".lst").write_bytes(text.encode())
        if fits:
            assert [list(row) for row in next(rb.read(path, labels=path.with_suffix(".lst")))["label"]] == [[1.0]]
        else:
            with pytest.raises(FormatError, match="line 1: has more than"):
                next(rb.read(path, labels=path.with_suffix(".lst")))


@pytest.mark.parametrize(
    "text", ["9" * 6000 + "\t1\tx\n", "0\t" + "9" * 6000 + "\tx\n", "-1\t1\tx\n", "\ud800\t1\tx\n"]
)
def test_numbers_that_no_list_has_are_errors_with_their_line(tmp_path: Path, text: str) -> None:
    path = image_rec(tmp_path / "x.rec", 1)
    path.with_suffix(".lst").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(FormatError, match=r"x\.lst: line 1: "):
        list(rb.read(path, labels=path.with_suffix(".lst")))


@pytest.mark.parametrize("code", [READ, VERIFY])
def test_an_index_of_one_endless_line_is_void_and_not_read_to_its_end(tmp_path: Path, code: str) -> None:
    path = image_rec(tmp_path / "x.rec", 3)
    path.with_suffix(".idx").write_bytes(b"9")
    os.truncate(path.with_suffix(".idx"), 4 << 30)
    printed = outcome(code, path, 1 << 27)
    assert printed == "gave 3" if code == READ else "x.idx" in printed


def test_names_of_classes_may_come_from_a_pipe_but_not_without_end(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"cat\ndog\n")
    os.close(theirs)
    try:
        assert read_names(f"/dev/fd/{ours}") == ("cat", "dog")
    finally:
        os.close(ours)
    with pytest.raises(FormatError, match="more than 67108864 bytes"):
        read_names("/dev/zero")
