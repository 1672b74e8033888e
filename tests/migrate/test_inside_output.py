"""Sources in the folder of the output: what migrations wrote there is passed over, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge.migrate import conclude
from recordio_bridge.migrate.provenance import manifests_of
from tests.cli.running import run
from tests.migrate.trees import numbers_in, rec_tree
from tests.samples import contents, image_rec


def nested(root: Path) -> Path:
    """A folder of sources, with more of them in old/."""
    rec_tree(root, [3])
    rec_tree(root / "old/deep", [5, 5])
    return root


@pytest.mark.parametrize("pattern", ["", "/**/*.rec", "/*/*/*.rec"])
@pytest.mark.parametrize(
    "options", [{}, {"mirror": True}, {"shuffle": True}, {"split": "a=0.5,b=0.5"}, {"overwrite": True}]
)
def test_sources_where_the_output_goes_are_refused(tmp_path, pattern, options):
    src = nested(tmp_path / "src")
    before = contents(src)
    expected = rf"^2 of the files of the sources lie in {src}/old, where the output goes, and no migration wrote them"
    with pytest.raises(ValueError, match=expected) as caught:
        rb.migrate.run([src / "part-0000.rec", f"{src}{pattern}"], src / "old", to="tfrecord", **options)
    assert f"{src}/old/deep/part-0001.rec" in str(caught.value)
    assert "give the output a folder of its own" in str(caught.value)
    assert contents(src) == before


def test_sources_where_the_output_goes_end_the_command(tmp_path, capsys):
    src = nested(tmp_path / "src")
    for more in ([], ["--plan-only"]):
        outcome = run(capsys, "migrate", src, src / "old", "--to", "tfrecord", *more)
        assert outcome.code == 2
        assert "2 of the files of the sources lie in" in outcome.stderr


@pytest.mark.parametrize(
    "options", [{"shards": 2}, {"mirror": True}, {"split": "a=0.5,b=0.5"}, {"tfds": "d:1.0.0:train"}]
)
def test_what_a_migration_wrote_is_passed_over(tmp_path, options):
    src = rec_tree(tmp_path / "src", [3, 4])
    rb.migrate.run(src, src / "out", to="tfrecord", **options)
    first = contents(src)
    rb.migrate.run(src, src / "out", to="tfrecord", **options, resume=True)
    rb.migrate.run(src, src / "out", to="tfrecord", **options, overwrite=True)
    assert contents(src) == first
    assert rb.migrate.run(src, src / "out", to="tfrecord", name="other").num_rows == 7


@pytest.mark.parametrize("options", [{"shards": 2}, {"mirror": True}])
def test_so_is_what_a_migration_wrote_to_a_folder_in_it(tmp_path, options):
    src = rec_tree(tmp_path / "src", [3, 4])
    rb.migrate.run(src, src / "out/a/b", to="tfrecord", **options)
    assert rb.migrate.run(src, src / "out", to="tfrecord").num_rows == 7
    rec_tree(src / "out/a", [5])
    with pytest.raises(ValueError, match=r"^1 of the files of the sources lie in .*/out/a/part-0000\.rec; "):
        rb.migrate.run(src, src / "out", to="tfrecord", overwrite=True)


def test_a_link_in_it_that_leads_nowhere_holds_nothing_to_lose(tmp_path, caplog):
    src = rec_tree(tmp_path / "src", [3, 4])
    (src / "out").mkdir()
    (src / "out/x.rec").symlink_to("nowhere.rec")
    assert rb.migrate.run(src, src / "out", to="tfrecord").num_rows == 7
    assert "1 file or folder of the sources not taken, as the output goes to" in caplog.text


@pytest.mark.parametrize("options", [{"shards": 2}, {"mirror": True}])
@pytest.mark.parametrize("way", ["link", "relative", "linked sources"])
def test_it_is_known_by_any_of_its_paths(tmp_path, monkeypatch, options, way):
    src = rec_tree(tmp_path / "src", [3, 4])
    rb.migrate.run(src, src / "out", to="tfrecord", **options)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(src / "out" if way == "link" else src)
    source = tmp_path / "link" if way == "linked sources" else src
    out = {"link": tmp_path / "link", "relative": Path("src/out"), "linked sources": src / "out"}[way]
    assert rb.migrate.run(source, out, to="tfrecord", name="out", overwrite=True, **options).num_rows == 7
    rec_tree(src / "out/more", [5])
    with pytest.raises(ValueError, match=r"^1 of the files of the sources lie in"):
        rb.migrate.run(source, out, to="tfrecord", name="out", overwrite=True, **options)


def test_what_an_unfinished_one_wrote_is_passed_over(tmp_path):
    src = rec_tree(tmp_path / "src", [3, 4])
    sound = (src / "part-0001.rec").read_bytes()
    (src / "part-0001.rec").write_bytes(sound[:-20])
    assert not rb.migrate.run(src, src / "out", to="tfrecord", shards=2).is_complete
    assert rb.migrate.run(src, src / "out", to="tfrecord", name="other").num_rows < 7
    (src / "part-0001.rec").write_bytes(sound)
    outcome = rb.migrate.run(src, src / "out", to="tfrecord", shards=2, resume=True)
    assert numbers_in(outcome, "id") == list(range(7))


def break_off(source: Path, out: Path, **options: object) -> None:
    """Begin a migration, and end it after its first file."""

    def stop(event: rb.migrate.Event) -> None:
        if event.phase == "writing" and event.files == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rb.migrate.run(source, out, to="rec", on_event=stop, **options)


def test_what_one_that_was_broken_off_wrote_is_passed_over(tmp_path):
    src = rec_tree(tmp_path / "src", [3, 4])
    break_off(src, src / "out", shards=2)
    assert list((src / "out").glob("*.rec"))
    assert rb.migrate.run(src, src / "out", to="rec", name="other").num_rows == 7
    assert rb.migrate.run(src, src / "out", to="rec", shards=2, overwrite=True).num_rows == 7


def test_so_is_what_it_was_to_remove(tmp_path, monkeypatch):
    src = rec_tree(tmp_path / "src", [3, 4])
    rb.migrate.run(src, src / "out", to="rec", shards=3)
    remove = conclude.remove

    def first_only(paths: list[str]) -> None:
        remove(paths[:1])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(conclude, "remove", first_only)
        with pytest.raises(KeyboardInterrupt):
            rb.migrate.run(src, src / "out", to="rec", shards=2, overwrite=True)
    assert list((src / "out").glob("*-of-00003.rec"))
    assert not (src / "out/out.rec.manifest.json").exists()
    assert rb.migrate.run(src, src / "out", to="rec", name="other").num_rows == 7


def test_what_one_keeps_is_no_file_of_the_sources(tmp_path):
    src = rec_tree(tmp_path / "src", [3, 4])
    break_off(src, src / "out", shards=2)
    (src / "out/out.unfinished/unpacked").mkdir()
    image_rec(src / "out/out.unfinished/unpacked/00000-a.rec", 5)
    for number, source in enumerate((src, f"{src}/**/*.rec")):
        assert rb.migrate.run(source, src / "out", to="rec", name=f"other{number}").num_rows == 7


def test_of_many_files_the_first_are_named(tmp_path):
    src = rec_tree(tmp_path / "src", [3])
    rec_tree(src / "out", [1] * 7)
    with pytest.raises(ValueError, match=r"^7 of the files .*/part-0004\.rec, and 2 more; give the output a folder"):
        rb.migrate.plan(src, src / "out", to="rec")


def test_beside_what_a_migration_wrote_others_are_refused(tmp_path):
    src = rec_tree(tmp_path / "src", [3])
    rb.migrate.run(src, src / "out", to="rec", name="old", shards=1)
    rec_tree(src / "out/more", [5])
    with pytest.raises(ValueError, match=r"^1 of the files of the sources lie in .*/out/more/part-0000\.rec; "):
        rb.migrate.run(src, src / "out", to="rec", name="old", overwrite=True)


@pytest.mark.parametrize("gone", ["old.migration.json", "old.rec.manifest.json", "the name in it"])
def test_what_nothing_tells_of_is_refused(tmp_path, gone):
    src = rec_tree(tmp_path / "src", [3])
    rb.migrate.run(src, src / "out", to="rec", name="old", shards=2)
    if gone == "the name in it":
        shutil.copy(src / "out/old-00000-of-00002.rec", src / "out/old-00002-of-00003.rec")
    else:
        (src / "out" / gone).unlink()
    with pytest.raises(ValueError, match="no migration wrote them there"):
        rb.migrate.plan(src, src / "out", to="rec", name="new")


def test_the_output_of_a_conversion_is_one_of_the_sources(tmp_path):
    """What it was made of may be elsewhere, or gone."""
    src = rec_tree(tmp_path / "src", [3])
    (src / "out").mkdir()
    rb.convert(rec_tree(tmp_path / "else", [4]), src / "out/x.rec")
    rb.migrate.run(src / "part-0000.rec", src / "out", to="tfrecord")
    with pytest.raises(ValueError, match=r"out/x\.rec; "):
        rb.migrate.plan(src, src / "out", to="tfrecord", name="new")


@pytest.mark.parametrize("name", ["old.migration.json", "old.rec.manifest.json"])
@pytest.mark.parametrize("way", ["of another version", "a folder"])
def test_damaged_knowledge_is_none(tmp_path, name, way):
    src = rec_tree(tmp_path / "src", [3])
    rb.migrate.run(src, src / "out", to="rec", name="old")
    path = src / "out" / name
    content = json.loads(path.read_text())
    path.unlink()
    if way == "a folder":
        path.mkdir()
    else:
        path.write_text(json.dumps({**content, "recordio_bridge": 99}))
    with pytest.raises(ValueError, match="no migration wrote them there"):
        rb.migrate.plan(src, src / "out", to="rec", name="new")


def test_what_cannot_be_listed_tells_of_nothing(tmp_path):
    """As a folder that went meanwhile."""
    assert manifests_of([str(tmp_path / "gone/x.rec")]) == {}


@pytest.mark.parametrize("way", ["unfinished", "done"])
def test_what_appears_there_is_refused_by_whoever_goes_on(tmp_path, way):
    src = rec_tree(tmp_path / "src", [3, 4])
    if way == "done":
        rb.migrate.run(src, src / "out", to="rec", shards=2)
    else:
        break_off(src, src / "out", shards=2)
    rec_tree(src / "out/more", [5])
    with pytest.raises(ValueError, match=r"^1 of the files of the sources lie in .*/out/more/part-0000\.rec; "):
        rb.migrate.run(src, src / "out", to="rec", shards=2, resume=True)


@pytest.mark.parametrize("options", [{"shards": 2}, {"mirror": True}])
@pytest.mark.parametrize("way", ["another file", "no manifest"])
def test_a_name_alone_is_not_believed(tmp_path, options, way):
    """What bears the name of a file that was written may be another's."""
    src = rec_tree(tmp_path / "src", [3, 4])
    rb.migrate.run(src, src / "out", to="rec", **options)
    path = sorted((src / "out").glob("*.rec"))[0]
    if way == "another file":
        image_rec(path, 50)
    else:
        for manifest in (src / "out").glob("*.manifest.json"):
            manifest.unlink()
    with pytest.raises(ValueError, match=f"lie in .*{path.name}"):
        rb.migrate.plan(src, src / "out", to="rec", name="new", **options)
