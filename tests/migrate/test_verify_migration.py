"""verify OUT finds every kind of damage to what a migration wrote, and names the file, and the record where it can."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import recordio_bridge as rb
from tests.cli.running import run
from tests.migrate.trees import h5_tree, npz_tree, rec_tree, tfrecord_tree
from tests.samples import contents, image_rec, rewrite

Damage = Callable[[Path], object]


@pytest.fixture(params=["flat", "mirror"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A migration to TFRecord files: one output of three files, or three outputs in a tree."""
    rec_tree(tmp_path / "src", [10, 11])
    image_rec(tmp_path / "src/part-0002.rec", 12, 21)
    (tmp_path / "src/deep").mkdir()
    (tmp_path / "src/part-0001.rec").rename(tmp_path / "src/deep/part-0001.rec")
    how = {"shards": 3} if request.param == "flat" else {"mirror": True}
    rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", **how)
    shutil.rmtree(tmp_path / "src")
    return tmp_path / "out"


def shards(out: Path) -> list[Path]:
    return sorted(out.rglob("*.tfrecord"))


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 16
    path.write_bytes(data)


def problems(capsys: pytest.CaptureFixture[str], out: Path) -> list[dict]:
    """What the command finds: it must find something, and end with 3."""
    found = run(capsys, "verify", out, "--json")
    assert found.code == 3, found.stdout
    content = found.json
    assert isinstance(content, dict)
    assert content["ok"] is False
    return content["problems"]


def test_what_was_written_is_in_order(out, capsys):
    found = run(capsys, "verify", out)
    assert found.code == 0, found.stdout
    assert "33 rows" in found.stdout


@pytest.mark.parametrize("at", [0.0, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_flipped_bit_is_found_in_its_record(out, capsys, at, number):
    path = shards(out)[number]
    flip(path, at)
    found = [each for each in problems(capsys, out) if each["path"] == str(path)]
    assert found[0]["record"] is not None
    assert found[0]["offset"] <= at * path.stat().st_size
    assert str(path) in found[0]["message"]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_file_is_named(out, capsys, number):
    path = shards(out)[number]
    path.unlink()
    assert str(path) in [each["path"] for each in problems(capsys, out)]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_folder_in_the_place_of_a_file_is_named(out, capsys, number):
    path = shards(out)[number]
    path.unlink()
    path.mkdir()
    assert str(path) in [each["path"] for each in problems(capsys, out)]


@pytest.mark.parametrize("where", ["", "deep", "new"])
def test_an_extra_file_is_named(out, capsys, where):
    """Folders in that of a flat output may be others' outputs."""
    is_flat = (out / "out.tfrecord.manifest.json").exists()
    extra = out / ("" if is_flat else where) / "extra.tfrecord"
    extra.parent.mkdir(exist_ok=True)
    shutil.copyfile(shards(out)[0], extra)
    assert [each["path"] for each in problems(capsys, out)] == [str(extra)]


def test_an_extra_shard_is_named(out, capsys):
    extra = out / "out-00003-of-00004.tfrecord"
    shutil.copyfile(shards(out)[0], extra)
    assert str(extra) in [each["path"] for each in problems(capsys, out)]


def test_swapped_files_are_both_named(out, capsys):
    one, other = shards(out)[:2]
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    assert {str(one), str(other)} <= {each["path"] for each in problems(capsys, out)}


@pytest.mark.parametrize("nbytes", [1, 100])
def test_a_truncated_file_is_found(out, capsys, nbytes):
    path = shards(out)[1]
    os.truncate(path, path.stat().st_size - nbytes)
    assert str(path) in [each["path"] for each in problems(capsys, out)]


def test_a_file_that_is_cut_between_two_records_is_found(out, capsys):
    """Its checksums are all sound, so only the manifest knows."""
    path = shards(out)[1]
    data = path.read_bytes()
    first = int.from_bytes(data[:8], "little") + 16
    path.write_bytes(data[first:])
    assert str(path) in [each["path"] for each in problems(capsys, out)]


def test_a_missing_manifest_is_named(out, capsys):
    manifest = next(iter(sorted(out.rglob("*.manifest.json"))))
    manifest.unlink()
    assert str(manifest) in [each["path"] for each in problems(capsys, out)]


def test_a_missing_sidecar_is_named(out, capsys):
    sidecar = next(iter(sorted(out.rglob("*.schema.json"))))
    sidecar.unlink()
    assert str(sidecar) in [each["path"] for each in problems(capsys, out)]


@pytest.mark.parametrize("suffix", ["manifest", "schema"])
def test_an_edited_manifest_or_sidecar_is_named(out, capsys, suffix):
    path = next(iter(sorted(out.rglob(f"*.{suffix}.json"))))
    rewrite(path, json.loads(path.read_text().replace("image", "imagx")))
    assert str(path) in [each["path"] for each in problems(capsys, out)]


def test_a_shard_struck_from_its_manifest_is_found(out, capsys):
    """Edited so that it holds for itself."""
    path = next(iter(sorted(out.rglob("*.manifest.json"))))
    content = json.loads(path.read_text())
    gone = content["shards"].pop()
    content["num_rows"] -= gone["num_rows"]
    rewrite(path, content)
    (path.parent / gone["name"]).unlink()
    assert str(path) in [each["path"] for each in problems(capsys, out)]


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"not json", b'{"recordio_bridge": 1, "outputs": [], "x": 1}'])
def test_an_edited_report_of_the_migration_is_found(out, capsys, damage):
    (out / "out.migration.json").write_bytes(damage)
    assert str(out / "out.migration.json") in [each["path"] for each in problems(capsys, out)]


@pytest.mark.parametrize(
    "gone", [("complete",), ("asked",), ("asked", "mirror"), ("quarantine", 0, "path"), ("quarantine", 0, "reason")]
)
def test_a_report_of_the_migration_that_lacks_something_is_found(tmp_path, capsys, gone):
    npz_tree(tmp_path / "src", [5, 6])
    bad = tmp_path / "src/part-0001.npz"
    if "quarantine" in gone:
        bad.write_bytes(bad.read_bytes()[:-30])
    rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True)
    path = tmp_path / "out/out.migration.json"
    content = json.loads(path.read_text())
    inner = content
    for name in gone[:-1]:
        inner = inner[name]
    del inner[gone[-1]]
    rewrite(path, content)
    found = problems(capsys, tmp_path / "out")
    told = [each["message"] for each in found if each["path"] == str(path)]
    assert [(f"{path}: damaged: " in message, repr(gone[-1]) in message) for message in told] == [(True, True)]


def test_a_migration_that_is_not_done_is_a_problem(tmp_path, capsys):
    src = rec_tree(tmp_path / "src", [10, 11])

    def stop(event: object) -> None:
        if getattr(event, "files", 0) == 1 and getattr(event, "phase", "") == "writing":
            raise RuntimeError

    with pytest.raises(RuntimeError):
        rb.migrate.run(src, tmp_path / "out", to="tfrecord", shards=2, on_event=stop)
    assert any("--resume" in each["message"] for each in problems(capsys, tmp_path / "out"))


@pytest.mark.parametrize("shards", [None, 2])
def test_a_missing_folder_of_a_mirror_is_found(tmp_path, capsys, shards):
    rec_tree(tmp_path / "src", [3])
    rec_tree(tmp_path / "src/deep", [4])
    rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True, shards=shards)
    shutil.rmtree(tmp_path / "out/deep")
    assert any("deep" in each["path"] for each in problems(capsys, tmp_path / "out"))


def test_a_renamed_output_folder_still_verifies(out, capsys):
    """Manifests name their files without folders."""
    moved = out.with_name("moved")
    out.rename(moved)
    found = run(capsys, "verify", moved)
    assert found.code == 0, found.stdout


def test_an_index_that_is_gone_or_damaged_is_found(tmp_path, capsys):
    tfrecord_tree(tmp_path / "src", [3])
    rec_tree(tmp_path / "rec", [5, 6])
    rb.migrate.run(tmp_path / "rec", tmp_path / "out", to="rec", mirror=True)
    index = tmp_path / "out/part-0000.idx"
    text = index.read_text()
    index.write_text(text.replace("1", "2", 1))
    assert problems(capsys, tmp_path / "out")
    index.unlink()
    assert problems(capsys, tmp_path / "out")


@pytest.mark.parametrize("to", ["h5", "npz", "rec"])
@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_flipped_bit_is_found_in_every_format(tmp_path, capsys, to, at):
    tree = npz_tree if to == "h5" else h5_tree
    tree(tmp_path / "src", [100, 120])
    rb.migrate.run(tmp_path / "src", tmp_path / "out", to=to, shards=2)
    path = sorted((tmp_path / "out").glob(f"*.{to}"))[1]
    flip(path, at)
    assert str(path) in [each["path"] for each in problems(capsys, tmp_path / "out")]


def test_verify_changes_nothing(out, capsys):
    before = contents(out)
    run(capsys, "verify", out)
    flip(shards(out)[0])
    damaged = contents(out)
    run(capsys, "verify", out)
    assert contents(out) == damaged != before


def test_the_library_finds_the_same(out):
    assert rb.migrate.verify(out).ok
    flip(shards(out)[0])
    report = rb.migrate.verify(out)
    assert not report.ok
    assert report.problems[0].path == str(shards(out)[0])


def test_outputs_of_a_mirror_whose_names_are_those_of_shards_of_another_are_no_extras(tmp_path):
    (tmp_path / "src").mkdir()
    for name in ("a", "a-00000-of-00001"):
        rb.write(tmp_path / f"src/{name}.npz", {"x": [1, 2]})
    rb.migrate.run(tmp_path / "src", tmp_path / "out", to="tfrecord", mirror=True)
    assert rb.verify(tmp_path / "out").ok
