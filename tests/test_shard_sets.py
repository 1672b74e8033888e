"""Sets of shards that a folder or a glob stands for: one that lacks a shard is never read as if it were whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError, UnknownFormatError
from recordio_bridge.shards import absent_shards
from tests.cli.running import run
from tests.samples import image_rec

MISSING = r"a-00002-of-00004\.tfrecord: is missing from its set of 4 shards; give the shards that you want one by one"


def ids(source: object) -> list[int]:
    return [int(n) for batch in rb.read(source) for n in batch["id"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of four shards with the ids 0 to 11, of which the third is gone."""
    (tmp_path / "ss").mkdir()
    rb.convert(image_rec(tmp_path / "train.rec", 12), tmp_path / "ss/a.tfrecord", shards=4)
    (tmp_path / "ss/a-00002-of-00004.tfrecord").unlink()
    return tmp_path / "ss"


@pytest.mark.parametrize(
    "name", ["", "*", "*.tfrecord", "a-0000?-of-00004.tfrecord", "a-0000[0-3]*", "**", "a.tfrecord"]
)
def test_a_shard_that_is_missing_is_an_error_of_whatever_stands_for_its_set(folder, name):
    for look in (rb.open, rb.inspect, ids, lambda source: rb.convert(source, folder / "x.npz")):
        with pytest.raises(FormatError, match=MISSING):
            look(folder / name)
    assert not (folder / "x.npz").exists()


def test_a_folder_or_a_glob_in_a_list_is_looked_at_as_one_alone(folder, tmp_path):
    for source in (folder, folder / "*.tfrecord"):
        with pytest.raises(FormatError, match=MISSING):
            ids([tmp_path / "train.rec", source])


def test_sidecars_and_manifests_are_not_needed_to_miss_a_shard(folder):
    for path in folder.glob("*.json"):
        path.unlink()
    with pytest.raises(FormatError, match=MISSING):
        ids(folder)


@pytest.mark.parametrize("name", ["a-0000[01]-of-00004.tfrecord", "a-00000*", "a-00003-of-00004.tfrecord"])
def test_shards_that_a_glob_selects_are_the_choice_of_who_wrote_it(folder, name):
    expected = {"a-0000[01]-of-00004.tfrecord": [*range(6)], "a-00000*": [0, 1, 2]}
    assert ids(folder / name) == expected.get(name, [9, 10, 11])


def test_shards_that_are_listed_are_read_as_they_are(folder):
    assert ids(sorted(folder.glob("*.tfrecord"))) == [0, 1, 2, 3, 4, 5, 9, 10, 11]


def test_the_command_line_says_which_shard_is_missing(capsys, folder, tmp_path):
    for source in (folder, folder / "*.tfrecord"):
        done = run(capsys, "convert", source, tmp_path / "x.npz")
        assert done.code == 1
        assert "a-00002-of-00004.tfrecord: is missing from its set" in done.stderr


@pytest.mark.parametrize("name", ["", "*.tfrecord", "*-of-*"])
@pytest.mark.parametrize("with_manifest", [True, False])
def test_verify_reports_a_missing_shard_and_looks_at_the_others(folder, name, with_manifest):
    for path in [] if with_manifest else folder.glob("*.json"):
        path.unlink()
    report = rb.verify(folder / name)
    assert not report.ok
    assert ["a-00002-of-00004.tfrecord" in problem.message for problem in report.problems] == [True]
    assert report.num_rows == 9


def test_two_sets_of_one_name_in_a_folder_are_the_error_of_their_name(tmp_path):
    (tmp_path / "ss").mkdir()
    source = image_rec(tmp_path / "train.rec", 6)
    for count in (1, 2):
        rb.convert(source, tmp_path / "ss/a.tfrecord", shards=count, overwrite=True)
        for path in (tmp_path / "ss").glob("*.json"):
            path.unlink()
        for path in (tmp_path / "ss").glob("a-*"):
            path.rename(tmp_path / path.name)
    for path in tmp_path.glob("a-*"):
        path.rename(tmp_path / "ss" / path.name)
    for name in ("", "a.tfrecord", "*.tfrecord"):
        with pytest.raises(FormatError, match=r"ss/a\.tfrecord: shards of several sets lie here, of \[1, 2\]"):
            ids(tmp_path / "ss" / name)
    assert not rb.verify(tmp_path / "ss").ok
    assert ids(tmp_path / "ss" / "a-*-of-00002*") == [*range(6)]


def test_sets_that_are_whole_are_read_side_by_side(tmp_path):
    (tmp_path / "ss").mkdir()
    for number, name in enumerate(("a.tfrecord", "b.tfrecord")):
        source = image_rec(tmp_path / "x.rec", 5, first_id=5 * number)
        rb.convert(source, tmp_path / "ss" / name, shards=2 + number)
    assert ids(tmp_path / "ss") == [*range(10)]


def test_a_set_that_is_counted_from_1_is_whole(tmp_path):
    for number in (1, 2, 3):
        np.savez(tmp_path / f"a-{number:05d}-of-00003.npz", n=np.arange(number))
    assert len(rb.open(tmp_path)) == 6
    (tmp_path / "a-00001-of-00003.npz").unlink()
    with pytest.raises(FormatError, match="a-00001-of-00003"):
        rb.open(tmp_path)


def test_a_shard_without_suffix_that_is_damaged_is_not_passed_over(folder):
    names = sorted(folder.glob("a-*"))
    for path in folder.glob("*.json"):
        path.unlink()
    for path in names:
        path.rename(folder / path.name.removesuffix(".tfrecord"))
    (folder / "a-00002-of-00004").write_bytes(b"nothing that is known")
    with pytest.raises(UnknownFormatError, match="a-00002-of-00004: no format fits its content"):
        ids(folder)


def test_a_shard_that_is_a_note_by_its_name_is_missed(folder):
    names = sorted(folder.glob("a-*"))
    for path in folder.glob("*.json"):
        path.unlink()
    for path in names:
        path.rename(folder / f"_{path.name.removesuffix('.tfrecord')}")
    (folder / "_a-00002-of-00004").write_bytes(b"nothing that is known")
    with pytest.raises(FormatError, match="_a-00002-of-00004: is of no known format, and one of a set of 4 shards"):
        ids(folder)


def test_indexes_of_any_number_of_digits_are_one_set():
    names = [f"a-{number:05d}-of-100001.rec" for number in range(100_001)]
    assert [list(each) for each in absent_shards(names)] == [[]]
    assert [list(each) for each in absent_shards(names[:-1])] == [["a-100000-of-100001.rec"]]
    assert [list(each) for each in absent_shards(names[1:])] == [["a-00000-of-100001.rec"]]


def test_a_glob_is_not_tried_on_names_without_end():
    (absent,) = absent_shards([f"a-{0:018d}-of-{10**17:018d}.rec"], lambda path: False)
    assert list(absent) == []
