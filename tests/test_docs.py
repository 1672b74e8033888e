"""Every command and snippet of the README, and the examples of every --help, are run."""

from __future__ import annotations

import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge.cli import VERBS, main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SHAPES = ROOT / "examples" / "shapes.rec"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder as the README has it in mind."""
    for suffix in (".rec", ".idx", ".lst"):
        shutil.copy(SHAPES.with_suffix(suffix), tmp_path / f"train{suffix}")
    data = bytearray(SHAPES.read_bytes())
    third = int(SHAPES.with_suffix(".idx").read_text().splitlines()[2].split("\t")[1])
    data[third : third + 4] = bytes(4)  # no magic: this record cannot be found
    (tmp_path / "damaged.rec").write_bytes(data)
    (tmp_path / "out").mkdir()
    (tmp_path / "old" / "deeper").mkdir(parents=True)
    for name in ("a.rec", "deeper/b.rec"):
        shutil.copy(SHAPES, tmp_path / "old" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str) -> int:
    program, *arguments = shlex.split(command)
    assert program == "recordio-bridge"
    return main(arguments)


def test_the_commands_of_the_readme_run_in_their_order(folder: Path) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) > 8
    for command in commands:
        assert run(command) == 0, command
    assert rb.inspect("imagenet.tfrecord").num_rows == 60
    assert rb.inspect("rescued.tfrecord").num_rows == 59
    assert (folder / "out" / "train-00000-of-00004.tfindex").exists()
    with rb.open("back.rec") as back, rb.open("train.rec") as original:
        assert sorted(row["image"] for row in back) == sorted(row["image"] for row in original)


def needs_tensorflow(snippet: str) -> bool:
    """Whether a snippet is run by test_docs_oracle.py."""
    return re.search(r"^(import|from) (tensorflow|keras|recordio_bridge\.tf)\b", snippet, re.MULTILINE) is not None


def lacks_fsspec(snippet: str) -> bool:
    """Whether a snippet is for the extra remote, and that is not installed."""
    return "memory://" in snippet and find_spec("fsspec") is None


def test_the_snippets_of_the_readme_run(folder: Path) -> None:
    snippets = [each for each in blocks("python") if not needs_tensorflow(each) and not lacks_fsspec(each)]
    assert len(snippets) >= 2
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {})
    assert rb.inspect("scores.tfrecord").num_rows == 2


def test_every_verb_and_public_function_is_in_the_readme() -> None:
    for verb in VERBS:
        assert f"recordio-bridge {verb}" in README
    for name in (
        "inspect",
        "open",
        "read",
        "write",
        "convert",
        "verify",
        "migrate.plan",
        "migrate.run",
        "migrate.verify",
    ):
        assert f"rb.{name}(" in README


def prepare_migrations(folder: Path) -> None:
    """An InsightFace folder, and .h5 files."""
    (folder / "faces").mkdir()
    shutil.copy(ROOT / "tests" / "golden" / "g_insightface.rec", folder / "faces" / "train.rec")
    rb.convert("train.rec", "old/a.h5")


def test_the_migration_of_the_readme_as_a_file_runs(folder: Path) -> None:
    (folder / "more").mkdir()
    shutil.copy(SHAPES, folder / "more" / "c.rec")
    (folder / "migration.toml").write_text(*blocks("toml"))
    assert run("recordio-bridge migrate --config migration.toml") == 0
    assert rb.inspect("new/new-00000-of-00001.tfrecord").num_rows == 180
    assert list(rb.inspect("new/new-00000-of-00001.tfrecord").schema) == ["image/encoded", "image/class/label"]


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_of_each_help_run(verb: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rb.convert("train.rec", "train.tfrecord")
    shutil.copytree(folder, folder / "shards", ignore=shutil.ignore_patterns("shards", "*.rec", "out"))
    rb.convert("train.rec", "out/train.tfrecord")
    if verb == "migrate":
        prepare_migrations(folder)
    main([verb, "--help"])
    examples = [line.strip() for line in capsys.readouterr().out.partition("examples:")[2].splitlines() if line.strip()]
    assert len(examples) >= 2
    for command in examples:
        for file in folder.glob("train*.tfrecord*") if verb == "convert" else ():
            file.unlink()
        assert run(command) == 0, command


def test_the_scripts_that_the_readme_names_can_be_run() -> None:
    for name in ("demo", "test", "bench", "faces-to-tfrecord", "h5-tree-to-tfds", "s3-rec-with-beam"):
        assert f"scripts/{name}" in README
        assert (ROOT / "scripts" / name).stat().st_mode & 0o111
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text()


def test_the_table_of_measurements_is_there() -> None:
    assert len(re.findall(r"^\| [a-i] \| .* \| \d+\.\d\dx \|", README, re.MULTILINE)) >= 22
