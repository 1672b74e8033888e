"""Whoever takes what an incomplete migration wrote is told that something is missing in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from tests.cli.running import run
from tests.migrate.trees import rec_tree
from tests.samples import rewrite

ALARM = "DATA MAY BE MISSING: the migration that wrote "


def incomplete(tmp_path: Path, to: str, **options: object) -> tuple[Path, Path, bytes]:
    """The output of a migration of two files of which one is cut; that file, and what it was."""
    src = rec_tree(tmp_path / "src", [30, 40])
    bad = src / "part-0001.rec"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:500])
    assert not rb.migrate.run(src, tmp_path / "old", to=to, **options).is_complete
    return tmp_path / "old", bad, whole


@pytest.mark.parametrize("to", ["tfrecord", "rec", "npz", "h5"])
@pytest.mark.parametrize("options", [{}, {"shards": 2}, {"mirror": True}, {"shuffle": True, "seed": 1}])
def test_it_is_told_until_it_is_mended(tmp_path, caplog, to, options):
    old, bad, whole = incomplete(tmp_path, to, **options)
    source = sorted(old.glob(f"*.{to}"))[-1]
    is_told = not options.get("mirror") or source.name == "part-0001." + to
    target = "npz" if to == "tfrecord" else "tfrecord"

    def told() -> bool:
        outcome = rb.migrate.run(old, tmp_path / "new", to=target, overwrite=True)
        manifest = rb.convert(source, tmp_path / f"new.{target}", overwrite=True)
        found = [
            any(ALARM in each for each in where)
            for where in (outcome.manifests[0].warnings, rb.migrate.verify(tmp_path / "new").warnings,
                          manifest.warnings, rb.inspect(source).warnings)
        ]  # fmt: skip
        assert len(set(found)) == 1, found
        return found[0]

    assert is_told == told()
    assert [ALARM in each.getMessage() for each in caplog.records if each.levelname == "ERROR"][:1] == [True][:is_told]
    bad.write_bytes(whole)
    assert rb.migrate.run(tmp_path / "src", old, to=to, resume=True, **options).is_complete
    assert not told()


@pytest.mark.parametrize("to", ["tfrecord", "rec", "npz"])
@pytest.mark.parametrize("way", ["convert", "migrate", "mirror"])
def test_what_is_made_of_it_says_so_too_however_often(tmp_path, to, way):
    old, bad, whole = incomplete(tmp_path, to)

    def make_all() -> list[tuple[str, ...]]:
        """What is said of three sets, each made of the one before."""
        source, said = old, []
        for number in range(3):
            target = tmp_path / f"{number}"
            if way == "convert":
                rb.convert(source, target / f"{number}.tfrecord", overwrite=True)
            else:
                rb.migrate.run(source, target, to="tfrecord", mirror=way == "mirror", overwrite=True)
            said.append(rb.inspect(target).warnings)
            source = target
        return said

    (tmp_path / "0").mkdir()
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    said = make_all()
    for number, warnings in enumerate(said):
        (line,) = warnings
        assert line.startswith(f"DATA MAY BE MISSING: what {tmp_path}/{number}/")
        assert "was made of files of a migration that left out parts of its sources" in line
    bad.write_bytes(whole)
    assert rb.migrate.run(tmp_path / "src", old, to=to, resume=True).is_complete
    assert make_all() == [(), (), ()]


def test_a_mirror_without_some_outputs_is_told(tmp_path, caplog):
    src = rec_tree(tmp_path / "src", [30, 40, 50])
    for name in ("part-0000.rec", "part-0002.rec"):
        (src / name).write_bytes(b"no records at all")
    assert len(rb.migrate.run(src, tmp_path / "old", to="tfrecord", mirror=True).quarantine) == 2
    caplog.clear()
    rb.migrate.plan(tmp_path / "old/*.tfrecord", tmp_path / "new", to="npz")
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith(f"{tmp_path}/old/old.migration.json: the migration that ended here left out 2 of the parts")
    (tmp_path / "old/old.migration.json").write_text("damaged")
    caplog.clear()
    rb.migrate.plan(tmp_path / "old/*.tfrecord", tmp_path / "new", to="npz")
    assert caplog.records == []


@pytest.mark.parametrize("source", ["old", "old/**/*.tfrecord", "old/a/*"])
def test_a_mirror_is_told_whose_outputs_lie_in_folders_below(tmp_path, caplog, source):
    src = rec_tree(tmp_path / "src/a", [30]).parent
    (src / "b.rec").write_bytes(b"no records at all")
    assert len(rb.migrate.run(src, tmp_path / "old", to="tfrecord", mirror=True).quarantine) == 1
    caplog.clear()
    rb.migrate.plan(tmp_path / source, tmp_path / "new", to="npz")
    told = [record.getMessage() for record in caplog.records]
    expected = f"{tmp_path}/old/old.migration.json: the migration that ended here left out 1 of the parts"
    assert [line.startswith(expected) for line in told if ".unfinished" not in line] == [True] * (source != "old/a/*")


def test_of_another_file_beside_a_mirror_nothing_is_told(tmp_path, caplog):
    src = rec_tree(tmp_path / "src", [30, 40])
    (src / "part-0000.rec").write_bytes(b"no records at all")
    rb.migrate.run(src, tmp_path / "old", to="tfrecord", mirror=True)
    rb.write(tmp_path / "old/other.npz", {"x": [1, 2]})
    caplog.clear()
    rb.migrate.plan(tmp_path / "old/other.npz", tmp_path / "new", to="tfrecord")
    assert caplog.records == []


def test_of_one_that_is_no_mirror_its_sidecar_alone_tells(tmp_path, caplog):
    old, _, _ = incomplete(tmp_path, "tfrecord")
    caplog.clear()
    rb.migrate.plan(old / "*.tfrecord", tmp_path / "new", to="npz")
    assert not any(".migration.json" in record.getMessage() for record in caplog.records)


def test_what_a_complete_one_wrote_says_nothing(tmp_path, caplog):
    rb.migrate.run(rec_tree(tmp_path / "src", [30, 40]), tmp_path / "old", to="tfrecord")
    assert "quarantined" not in (tmp_path / "old/old.tfrecord.schema.json").read_text()
    rb.migrate.run(tmp_path / "old", tmp_path / "new", to="npz")
    assert caplog.records == []


def test_the_command_says_so(tmp_path, capsys):
    old, _, _ = incomplete(tmp_path, "tfrecord")
    expected = f"{ALARM}{old}/old.tfrecord.schema.json left out 1 part of its sources"
    migrate = ["migrate", old, tmp_path / "y", "--to", "h5"]
    for command in (["info", old], ["convert", old, tmp_path / "x.npz"], migrate):
        outcome = run(capsys, *command)
        assert expected in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    "claim",
    [{"quarantined": value} for value in ("1", -1, None, True, 1.5)]
    + [{"of_incomplete": value} for value in ("1", 1, None)],
)
def test_a_claim_of_another_type_is_refused(tmp_path, claim):
    old, _, _ = incomplete(tmp_path, "tfrecord")
    path = old / "old.tfrecord.schema.json"
    rewrite(path, {**json.loads(path.read_text()), **claim})
    with pytest.raises(FormatError, match="not a schema sidecar of recordio_bridge, version 1"):
        rb.inspect(old)


def test_a_sidecar_that_is_believed_for_the_name_alone_says_so_too(tmp_path):
    old, _, _ = incomplete(tmp_path, "tfrecord")
    path = old / "old.tfrecord.schema.json"
    content = json.loads(path.read_text())
    rewrite(path, {name: value for name, value in content.items() if name != "ends"})
    assert any(ALARM in warning for warning in rb.inspect(old).warnings)


def test_verify_says_it_once_of_a_file_without_a_manifest(tmp_path):
    old, _, _ = incomplete(tmp_path, "tfrecord")
    (old / "old.tfrecord.manifest.json").unlink()
    report = rb.verify(old / "old-00000-of-00001.tfrecord")
    for said in (report.warnings, report.notes):
        assert len([line for line in said if ALARM in line]) == 1
