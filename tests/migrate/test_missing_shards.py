"""Shards that lack in the sources of a migration: they are in quarantine, and done when they are back."""

from __future__ import annotations

from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from tests.cli.running import run
from tests.migrate.trees import numbers_in, report_of
from tests.samples import image_rec


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder with a set of four shards in a folder of it, ids 0 to 11, and a file with 12 and 13."""
    (tmp_path / "src/a/ss").mkdir(parents=True)
    rb.convert(image_rec(tmp_path / "train.rec", 12), tmp_path / "src/a/ss/a.rec", shards=4)
    image_rec(tmp_path / "src/a/z.rec", 2, first_id=12)
    return tmp_path / "src"


@pytest.fixture
def lacking(sources: Path, tmp_path: Path) -> list[Path]:
    """Two of the shards, which were moved away."""
    away = []
    for name in ("a-00001-of-00004.rec", "a-00002-of-00004.rec"):
        (sources / "a/ss" / name).rename(tmp_path / name)
        away.append(tmp_path / name)
    return away


LEFT = [0, 1, 2, 9, 10, 11]


@pytest.mark.parametrize("options", [{"shards": 2}, {"mirror": True}, {"shuffle": True}])
@pytest.mark.parametrize("pattern", ["", "a/*/*.rec"])
def test_missing_shards_are_in_quarantine(tmp_path, sources, lacking, options, pattern):
    outcome = rb.migrate.run(sources / pattern if pattern else sources, tmp_path / "out", to="tfrecord", **options)
    assert [Path(each.path).name for each in outcome.quarantine] == [path.name for path in lacking]
    assert all("is missing from its set of 4 shards" in each.reason for each in outcome.quarantine)
    assert not outcome.is_complete
    assert sorted(numbers_in(outcome, "id")) == LEFT + ([] if pattern else [12, 13])
    assert len(report_of(tmp_path / "out")) == 2


@pytest.mark.parametrize("options", [{"shards": 2}, {"mirror": True}])
def test_shards_that_are_back_are_taken_by_a_resume(tmp_path, sources, lacking, options):
    rb.migrate.run(sources, tmp_path / "out", to="tfrecord", **options)
    for path in lacking:
        path.rename(sources / "a/ss" / path.name)
    outcome = rb.migrate.run(sources, tmp_path / "out", to="tfrecord", resume=True, **options)
    assert outcome.is_complete
    assert sorted(numbers_in(outcome, "id")) == [*range(14)]
    assert rb.verify(tmp_path / "out").ok


def test_the_command_ends_with_1_and_names_the_shard(capsys, tmp_path, sources, lacking):
    done = run(capsys, "migrate", sources, tmp_path / "out", "--to", "npz", "-q")
    assert done.code == 1
    assert "a-00001-of-00004.rec: is missing from its set" in done.stderr


def test_shards_that_are_named_are_the_choice_of_who_named_them(tmp_path, sources, lacking):
    pattern = sources / "a/ss/a-0000[03]-of-00004.rec"
    assert rb.migrate.run(pattern, tmp_path / "one", to="npz").is_complete
    listed = sorted((sources / "a/ss").glob("*.rec"))
    assert rb.migrate.run(listed, tmp_path / "two", to="npz").is_complete


def test_two_sets_of_one_name_are_refused_before_anything_is_written(tmp_path, sources):
    image_rec(sources / "a/ss/a-00000-of-00001.rec", 1)
    with pytest.raises(FormatError, match=r"a\.rec: shards of several sets lie here, of \[1, 4\]"):
        rb.migrate.run(sources, tmp_path / "out", to="npz")
    assert not (tmp_path / "out").exists()


def test_what_lies_where_the_output_goes_is_no_set_of_the_sources(tmp_path, sources):
    rb.migrate.run(sources, sources / "out", to="rec", shards=3, name="b")
    (sources / "out/b-00001-of-00003.rec").unlink()
    assert rb.migrate.run(sources, sources / "out", to="npz").is_complete


def test_of_a_set_that_claims_to_be_endless_some_are_told(tmp_path):
    (tmp_path / "src").mkdir()
    image_rec(tmp_path / "src/x-00000000-of-99999999.rec", 2)
    outcome = rb.migrate.run(tmp_path / "src", tmp_path / "out", to="npz")
    assert outcome.num_rows == 2
    assert len(outcome.quarantine) == 1000
