"""Files whose names name no format: data by their content; damaged, they are not passed over."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import UnknownFormatError
from recordio_bridge.sources import expand
from tests.cli.running import run
from tests.samples import frame_tfrecord, image_rec, make_example

STRANGE = ("a.REC", "a.tfrec", "part-1", "a.c000", "a.Rec.old", "set-00000-of-00002", "s.x-00000-of-00002", "a.TFREC")


def damaged(path: Path) -> Path:
    """A .rec of which the first bit is another, so that no format knows it."""
    image_rec(path, 3)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    return path


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A .rec of a strange name, and a damaged one of the same kind of name."""
    folder.mkdir()
    other = name.replace("part-1", "part-2").replace("00000", "00001").replace("a.", "b.").replace("TFREC", "tfrec")
    sound, bad = image_rec(folder / name, 4), damaged(folder / other)
    for index in folder.glob("*.idx"):
        index.unlink()
    return sound, bad


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("pattern", ["", "*", "**", "[ab]*", "*-*"])
def test_a_damaged_file_called_as_one_that_is_data_is_not_passed_over(tmp_path, name, pattern):
    sound, bad = pair(tmp_path / "old", name)
    source = tmp_path / "old" / pattern
    if pattern[-1:] == "*" and not any(each.match(pattern) for each in (sound, bad)):
        return
    assert expand(source) == [str(sound), str(bad)]
    for look in (rb.inspect, rb.open, lambda path: rb.convert(path, tmp_path / "new.tfrecord")):
        with pytest.raises(UnknownFormatError, match=f"/{bad.name}: no format fits its content"):
            look(source)
    outcome = rb.migrate.run(source, tmp_path / "new", to="tfrecord")
    assert outcome.num_rows == 4
    assert [Path(each.path) for each in outcome.quarantine] == [bad]
    image_rec(bad, 5)
    assert rb.migrate.run(source, tmp_path / "new", to="tfrecord", resume=True).num_rows == 9


@pytest.mark.parametrize("name", STRANGE)
def test_of_a_tree_it_is_not_passed_over_in_whichever_folder(tmp_path, name):
    _, bad = pair(tmp_path / "old", name)
    (tmp_path / "old/deep/er").mkdir(parents=True)
    bad = bad.rename(tmp_path / "old/deep/er" / bad.name)
    outcome = rb.migrate.run(tmp_path / "old", tmp_path / "new", to="tfrecord")
    assert outcome.num_rows == 4
    assert str(bad) in [each.path for each in outcome.quarantine]


@pytest.mark.parametrize("name", ["a.REC", "a.tfrec", "a.c000"])
def test_what_a_pattern_names_the_suffix_of_is_not_passed_over(tmp_path, name):
    """Also where none of it is sound."""
    bad = damaged(tmp_path / name)
    for source in (tmp_path / f"*{bad.suffix}", [tmp_path / f"?{bad.suffix}"]):
        with pytest.raises(UnknownFormatError, match="no format fits its content"):
            rb.inspect(source)


def test_a_suffix_that_names_a_format_does_so_in_any_case(tmp_path):
    image_rec(tmp_path / "a.rec", 4)
    damaged(tmp_path / "b.REC")
    with pytest.raises(UnknownFormatError, match=r"/b\.REC: no format fits its content"):
        rb.inspect(tmp_path / "[ab].*")
    (tmp_path / "a.rec").rename(tmp_path / "a.c000")
    (outcome,) = rb.migrate.run(tmp_path, tmp_path.parent / f"{tmp_path.name}-out", to="tfrecord").quarantine
    assert outcome.path == str(tmp_path / "b.REC")


def test_what_has_another_suffix_or_is_a_note_by_its_name_is_passed_over(tmp_path):
    image_rec(tmp_path / "part-1", 4)
    (tmp_path / "a.data.gz").write_bytes(gzip.compress(frame_tfrecord(make_example({"x": [1]}))))
    with gzip.open(tmp_path / "b.log.gz", "wb") as file:
        file.write(b"no data")
    assert expand(tmp_path / "*.*") == [str(tmp_path / "a.data.gz")]
    (tmp_path / "a.data.gz").unlink()
    for name in (
        "_SUCCESS",
        ".part-2.crc",
        ".part-9",
        "property",
        "notes.txt",
        "schema.json",
        "part-1.lst",
        "label.labels.txt",
    ):
        (tmp_path / name).write_text("no data")
    assert expand(tmp_path) == expand(tmp_path / "*") == [str(tmp_path / "part-1")]
    assert expand(tmp_path / "p*") == [str(tmp_path / "part-1")]


@pytest.mark.parametrize("name", ["README", "LICENSE", "SHA256SUMS", "VERSION"])
def test_what_is_called_in_capitals_beside_data_without_a_suffix_is_a_note(tmp_path, name):
    image_rec(tmp_path / "part-1", 4)
    (tmp_path / name).write_text("for people")
    assert expand(tmp_path) == expand(tmp_path / "*") == [str(tmp_path / "part-1")]
    (tmp_path / "part-1").rename(tmp_path / "DATA1")
    with pytest.raises(UnknownFormatError, match=f"/{name}: no format fits its content"):
        rb.inspect(tmp_path)


def test_capitals_before_a_suffix_make_no_note(tmp_path):
    image_rec(tmp_path / "a.tfrec", 4)
    damaged(tmp_path / "B.TFREC")
    with pytest.raises(UnknownFormatError, match=r"/B\.TFREC: no format fits its content"):
        rb.inspect(tmp_path)


def test_empty_files_alone_are_none_of_data(tmp_path):
    (tmp_path / "a.tfrec").touch()
    for source in (tmp_path, tmp_path / "*.tfrec", tmp_path / "a.*"):
        with pytest.raises(FileNotFoundError, match="no file of a known format"):
            rb.inspect(source)
    with pytest.raises(UnknownFormatError, match="it is empty"):
        rb.inspect(tmp_path / "a.tfrec")


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("pattern", ["", "*", "*[0-9bTF]*"])
def test_a_file_without_a_byte_holds_nothing_and_is_told(tmp_path, caplog, name, pattern):
    sound, empty = pair(tmp_path / "old", name)
    empty.write_bytes(b"")
    source = tmp_path / "old" / pattern
    if not sound.match(pattern or "*") or "-of-" in name:
        return  # of a set, one lacks
    assert rb.inspect(source).num_rows == 4
    is_fitting = empty.match(pattern or "*")
    assert caplog.messages == [f"{source}: 1 empty file is not taken: {empty}"] * is_fitting
    caplog.clear()
    assert rb.migrate.run(source, tmp_path / "new", to="tfrecord").is_complete
    assert [f": {empty}" in line for line in caplog.messages] == [True] * is_fitting


def test_a_pattern_that_nothing_known_fits_says_so(tmp_path):
    (tmp_path / "notes.txt").write_text("no data")
    (tmp_path / "notes.json").write_text("no data")
    for pattern in ("*", "**", "?*", "[n]*", "*.json", "n*.json"):
        with pytest.raises(FileNotFoundError, match=r": no file of a known format fits this pattern"):
            rb.inspect(tmp_path / pattern)


@pytest.mark.parametrize("pattern", ["part-*", "**/part-*", "part-?*", "[p]art*"])
def test_what_a_pattern_says_the_name_of_is_not_passed_over(tmp_path, pattern):
    """Whatever its suffix, but for what lies beside data."""
    sound, bad = image_rec(tmp_path / "part-1.rec", 4), damaged(tmp_path / "part-2.c000")
    (tmp_path / "part-2.idx").unlink()
    (tmp_path / "part-1.lst").write_text("no data")
    (tmp_path / "notes.txt").write_text("no data")
    assert expand(tmp_path / pattern) == [str(sound), str(bad)]
    outcome = rb.migrate.run(tmp_path / pattern, tmp_path / "new", to="tfrecord")
    assert [each.path for each in outcome.quarantine] == [str(bad)]
    assert outcome.num_rows == 4
    assert expand(tmp_path) == expand(tmp_path / "*") == [str(sound)]


def test_the_command_says_which_and_all_that_it_passes_over(tmp_path, capsys):
    image_rec(tmp_path / "old.rec", 4)
    for number in range(9):
        (tmp_path / f"z{number}.txt").write_text("no data")
    outcome = run(capsys, "migrate", tmp_path, tmp_path.parent / f"{tmp_path.name}-new", "--to", "tfrecord", "-v")
    assert all(f"not taken: {tmp_path}/z{number}.txt" in outcome.stderr for number in range(9))
    damaged(tmp_path / "old2.rec.REC")
    outcome = run(capsys, "convert", tmp_path / "*.REC", tmp_path / "x.tfrecord")
    assert outcome.code == 1
    assert "old2.rec.REC: no format fits its content" in outcome.stderr
