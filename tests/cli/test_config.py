"""recordio-bridge migrate --config: a migration as a file, with the line in every error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import run
from tests.migrate.trees import rec_tree
from tests.samples import contents, read_examples

WHOLE = """\
# the bulk job
sources = ["{src}"]
output = "{out}"
to = "tfrecord"
shards = 2
workers = 1
verify = "counts"

[select]
"n:int64" = "id"
"class:int64" = "label[0]"
"""


@pytest.fixture
def src(tmp_path):
    return rec_tree(tmp_path / "src", [8, 9])


def written(tmp_path: Path, text: str) -> Path:
    """The configuration file, with the paths of the test in it."""
    path = tmp_path / "migration.toml"
    path.write_text(text.replace("{src}", str(tmp_path / "src")).replace("{out}", str(tmp_path / "out")))
    return path


def test_a_file_says_all_that_the_command_line_can(tmp_path, src, capsys):
    done = run(capsys, "migrate", "--config", written(tmp_path, WHOLE))
    assert done.code == 0, done.stderr
    rows = [row for path in sorted((tmp_path / "out").glob("*.tfrecord")) for row in read_examples(path)]
    assert [row["n"] for row in rows] == [[n] for n in range(17)]
    assert set(rows[3]) == {"n", "class"}


def test_it_is_the_same_migration_as_the_command_line_gives(tmp_path, src, capsys):
    assert run(capsys, "migrate", "--config", written(tmp_path, WHOLE)).code == 0
    before = contents(tmp_path / "out")
    resumed = run(
        capsys, "migrate", src, tmp_path / "out", "--to", "tfrecord", "--shards", 2, "--verify", "counts",
        "--select", "n:int64=id", "class:int64=label[0]", "--resume",
    )  # fmt: skip
    assert resumed.code == 0, resumed.stderr
    assert contents(tmp_path / "out") == before


def test_options_of_the_command_line_come_before_those_of_the_file(tmp_path, src, capsys):
    done = run(capsys, "migrate", "--config", written(tmp_path, WHOLE), "--shards", 3, "--verify", "content")
    assert done.code == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*-of-00003.tfrecord"))) == 3


def test_paths_of_the_command_line_come_before_those_of_the_file(tmp_path, src, capsys):
    done = run(capsys, "migrate", src, tmp_path / "else", "--config", written(tmp_path, WHOLE))
    assert done.code == 0, done.stderr
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / "else").glob("*.tfrecord"))) == 2


def test_a_column_of_the_command_line_comes_before_that_of_the_file(tmp_path, src, capsys):
    done = run(capsys, "migrate", "--config", written(tmp_path, WHOLE), "--select", "n:int64=label[0]")
    assert done.code == 0, done.stderr
    rows = read_examples(tmp_path / "out/out-00000-of-00002.tfrecord")
    assert [row["n"] for row in rows[:3]] == [[0], [1], [2]]


def test_a_flag_is_true_or_false(tmp_path, src, capsys):
    text = WHOLE.replace("shards = 2", "mirror = true\nscan = false")
    done = run(capsys, "migrate", "--config", written(tmp_path, text))
    assert done.code == 0, done.stderr
    assert (tmp_path / "out/part-0001.tfrecord").exists()


@pytest.mark.parametrize("name", ["shard-bytes", "shard_bytes"])
def test_names_are_those_of_the_options_with_either_dash(tmp_path, src, capsys, name):
    done = run(capsys, "migrate", "--config", written(tmp_path, WHOLE.replace("shards = 2", f'{name} = "1kB"')))
    assert done.code == 0, done.stderr


def test_lists_and_tables_of_pairs(tmp_path, src, capsys):
    text = WHOLE.replace("shards = 2", 'allow-lossy = ["class", "n"]\nin = {payload = "image"}\n') + (
        '\n[out]\ncompression = "GZIP"\n'
    )
    done = run(capsys, "migrate", "--config", written(tmp_path, text))
    assert done.code == 0, done.stderr
    assert (tmp_path / "out/out-00000-of-00001.tfrecord.gz").exists()


MISTAKES = [
    ("shards = 2", "shards = =", 5, "TOML"),
    ("shards = 2", 'shards = "two"', 5, "two"),
    ("shards = 2", "shard = 2", 5, "shard"),
    ("shards = 2", "config = 'x'", 5, "config"),
    ("shards = 2", 'shard-bytes = "many"', 5, "256MiB"),
    ("shards = 2", "mirror = 1", 5, "mirror"),
    ("shards = 2", 'mirror = "yes"', 5, "mirror"),
    ("shards = 2", "shards = true", 5, "shards"),
    ("shards = 2", "shards = 2.5", 5, "2.5"),
    ("shards = 2", "shards = 2000-01-01", 5, "shards"),
    ("shards = 2", "shards = [2, 3]", 5, "shards"),
    ('verify = "counts"', 'verify = "count"', 7, "count"),
    ('verify = "counts"', "verify = 3", 7, "verify"),
    ('output = "{out}"', "output = 3", 3, "output"),
    ('sources = ["{src}"]', "sources = []", 2, "sources"),
    ('sources = ["{src}"]', "sources = [1]", 2, "sources"),
    ("[select]", "[selects]", 9, "selects"),
    ('to = "tfrecord"', 'to = "nonsense"', 4, "nonsense"),
    ("shards = 2", "help = true", 5, "help"),
    ("shards = 2", "plan_onyl = true", 5, "plan_onyl"),
]


@pytest.mark.parametrize(("old", "new", "line", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_line_and_makes_nothing(tmp_path, src, capsys, old, new, line, said):
    assert old in WHOLE
    done = run(capsys, "migrate", "--config", written(tmp_path, WHOLE.replace(old, new)))
    assert done.code == 2, done.stdout + done.stderr
    assert "migration.toml" in done.stderr
    assert f"line {line}" in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_key_that_is_also_a_word_in_a_comment_is_found_where_it_stands(tmp_path, src, capsys):
    text = WHOLE.replace("# the bulk job", '# shards = 7, as they were\nname = "shards = 3"')
    done = run(capsys, "migrate", "--config", written(tmp_path, text.replace("shards = 2", 'shards = "two"')))
    assert done.code == 2
    assert "line 6" in done.stderr


def test_a_file_that_is_no_text_is_an_error_in_words(tmp_path, src, capsys):
    path = tmp_path / "migration.toml"
    path.write_bytes(b"\xff\xfe\x00")
    done = run(capsys, "migrate", "--config", path)
    assert done.code == 2
    assert "migration.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_without_sources_takes_those_of_the_command_line(tmp_path, src, capsys):
    done = run(
        capsys, "migrate", src, tmp_path / "out", "--config", written(tmp_path, 'to = "tfrecord"\nworkers = 1\n')
    )
    assert done.code == 0, done.stderr


def test_a_file_without_sources_alone_is_a_usage_error(tmp_path, src, capsys):
    done = run(capsys, "migrate", "--config", written(tmp_path, 'to = "tfrecord"\n'))
    assert done.code == 2
    assert "SRC" in done.stderr


def test_a_file_that_is_not_there_is_said_to_be_none(tmp_path, capsys):
    done = run(capsys, "migrate", "--config", tmp_path / "missing.toml")
    assert done.code == 2
    assert f"error: {tmp_path}/missing.toml: no such file; --config takes the path of a .toml" in done.stderr
    assert "Errno" not in done.stderr
    done = run(capsys, "migrate", "--config", tmp_path)
    assert done.code == 2
    assert f"error: {tmp_path}: Is a directory; --config takes" in done.stderr


@pytest.mark.parametrize("wrong", ["shards = -3", "workers = 0", 'memory = "1 KiB"', "seed = -1"])
def test_a_value_that_cannot_be_right_is_told_with_its_line(tmp_path, src, capsys, wrong):
    text = WHOLE.replace("shards = 2\nworkers = 1\n", wrong + "\n")
    done = run(capsys, "migrate", "--config", written(tmp_path, text))
    assert done.code == 2
    assert f"migration.toml: line 5: {wrong.partition(' ')[0]}" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_in_another_encoding_is_not_taken_for_another_path(tmp_path, src, capsys):
    path = written(tmp_path, WHOLE)
    path.write_bytes(path.read_bytes().replace(b"/out", "/caf\xe9".encode("latin-1")))
    done = run(capsys, "migrate", "--config", path)
    assert done.code == 2
    assert "migration.toml: line 3: not UTF-8" in done.stderr


def test_the_parts_of_a_split_are_a_table(tmp_path, src, capsys):
    text = WHOLE.replace("shards = 2", "split = { train = 0.5, validation = 0.5 }")
    done = run(capsys, "migrate", "--config", written(tmp_path, text))
    assert done.code == 0, done.stderr
    assert (tmp_path / "out/out-validation.tfrecord.manifest.json").exists()
