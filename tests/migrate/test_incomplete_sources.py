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


@pytest.mark.parametrize("value", ["1", -1, None, True, 1.5])
def test_a_number_that_is_none_is_refused(tmp_path, value):
    old, _, _ = incomplete(tmp_path, "tfrecord")
    path = old / "old.tfrecord.schema.json"
    rewrite(path, {**json.loads(path.read_text()), "quarantined": value})
    with pytest.raises(FormatError, match="not a schema sidecar of recordio_bridge, version 1"):
        rb.inspect(old)


def test_a_sidecar_that_is_believed_for_the_name_alone_says_so_too(tmp_path):
    old, _, _ = incomplete(tmp_path, "tfrecord")
    path = old / "old.tfrecord.schema.json"
    content = json.loads(path.read_text())
    rewrite(path, {name: value for name, value in content.items() if name != "ends"})
    assert any(ALARM in warning for warning in rb.inspect(old).warnings)
