"""What files, fields and manifests are called cannot play with the terminal, nor forge a line of output."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import cli
from recordio_bridge.cli.terminal import escaped
from tests.cli.running import run, run_module, start_module
from tests.samples import image_rec, make_example, rewrite, write_tfrecord

FORGED = "\x1b[2J\r\x9b1mok\n/data: ok, 9 rows\u202e\u2028\x7f\u200b"
ESCAPED = r"\x1b[2J\r\x9b1mok\n/data: ok, 9 rows\u202e\u2028\x7f\u200b".replace("/", os.sep)
UNDECODABLE = os.fsdecode(b"\xff-\xe9")
FORGED_NAME = FORGED.replace("/", "")


def assert_plain(text: str) -> None:
    """Every line of it is one that was meant, and nothing in it is a command."""
    lines = text.split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    assert [line for line in lines if line.startswith(("ok", "/data", "data: ok"))] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FORGED, ESCAPED),
        ("zażółć 猫 🐈 Ω e\u0301.rec", "zażółć 猫 🐈 Ω e\u0301.rec"),
        (UNDECODABLE, r"\udcff-\udce9"),
        ("C:\\new\\x1b", "C:\\new\\x1b"),
        ("", ""),
    ],
)
def test_what_is_no_letter_sign_or_space_is_escaped_as_in_a_python_string(text, expected):
    assert escaped(text) == expected


def test_only_one_place_of_the_command_line_prints():
    """So nothing can be forgotten."""
    for path in Path(cli.__file__).parent.glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        prints = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        writes = [call.lineno for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "write"]
        assert (prints, writes) == ([], []) or path.name == "terminal.py", path


@pytest.mark.one_lane
@pytest.mark.parametrize("name", [FORGED_NAME, UNDECODABLE])
@pytest.mark.parametrize("json_or_not", [[], ["--json"]])
def test_a_name_of_a_file_is_shown_escaped_by_every_verb(tmp_path, name, json_or_not):
    image_rec(tmp_path / f"{name}.rec", 3)
    source, folder = tmp_path / f"{name}.rec", tmp_path / f"{name}.out"
    for arguments in (
        ["info", source],
        ["head", source],
        ["index", source, "--overwrite"],
        ["verify", source],
        ["convert", source, tmp_path / f"{name}.tfrecord", "--shards", 2, "-v"],
        ["verify", tmp_path / f"{name}.tfrecord"],
        ["convert", source, tmp_path / f"{name}.h5"],
        ["convert", source, tmp_path / f"{name}.npz"],
        ["migrate", source, folder, "--to", "tfrecord", "--plan-only"],
        ["migrate", source, folder, "--to", "tfrecord", "--workers", 2],
        ["verify", folder],
    ):
        outcome = run_module(*arguments, *json_or_not)
        assert outcome.code == 0, (arguments, outcome)
        assert_plain(outcome.stdout)
        assert_plain(outcome.stderr)
        assert not json_or_not or outcome.json_lines
        assert not json_or_not or outcome.stdout.isascii()


@pytest.mark.one_lane
@pytest.mark.parametrize("name", [FORGED_NAME, UNDECODABLE])
def test_a_name_of_a_file_is_shown_escaped_in_every_error(tmp_path, name):
    bad, missing = tmp_path / f"{name}.rec", tmp_path / f"{name}.none"
    bad.write_bytes(b"nothing")
    for arguments, code in (
        (["info", missing], 1),
        (["info", bad], 1),
        (["head", bad], 1),
        (["verify", bad], 3),
        (["convert", bad, tmp_path / "b.tfrecord"], 1),
        (["migrate", bad, tmp_path / "out", "--to", "tfrecord"], 1),
        (["migrate", bad, tmp_path / "out", "--to", "tfrecord", "--config", missing], 2),
        (["info", bad, name], 2),
        (["info", bad, f"--{name}"], 2),
        ([name], 2),
        (["convert", bad, tmp_path / "b.tfrecord", "--shards", name], 2),
    ):
        outcome = run_module(*arguments)
        assert outcome.code == code, (arguments, outcome)
        assert outcome.stdout + outcome.stderr
        assert_plain(outcome.stdout)
        assert_plain(outcome.stderr)


@pytest.mark.parametrize("name", [FORGED, "\udcff"])
def test_a_name_of_a_field_is_shown_escaped(tmp_path, name):
    if name == FORGED:
        source = write_tfrecord(tmp_path / "a.tfrecord", [make_example({name: [1]})])
    else:
        rb.write(tmp_path / "a.npz", {"id": [1]})
        source = tmp_path / "a.npz"
    for arguments in (["info", source], ["head", source], ["info", source, "--in", f"{name}=1"]):
        outcome = run_module(*arguments)
        assert_plain(outcome.stdout)
        assert_plain(outcome.stderr)
        assert "Traceback" not in outcome.stderr
    outcome = run_module("convert", source, tmp_path / "b.npz", "--select", f"{name}=id", "--explain")
    assert_plain(outcome.stderr)


def test_what_a_manifest_says_is_shown_escaped(capsys, tmp_path):
    rb.convert(image_rec(tmp_path / "a.rec", 3), tmp_path / "b.tfrecord")
    path = tmp_path / "b.tfrecord.manifest.json"
    content = json.loads(path.read_text())
    content["notes"] = content["warnings"] = [FORGED, "\udcff"]
    content["shards"][0]["name"] = FORGED_NAME
    content["quarantine"] = [{"path": FORGED, "extent": None, "error": FORGED, "record": None, "offset": None}]
    rewrite(path, content)
    for place in (tmp_path / "b.tfrecord", tmp_path):
        outcome = run(capsys, "verify", place)
        assert outcome.code in (1, 3)
        assert_plain(outcome.stdout)
        assert_plain(outcome.stderr)
    content["shards"][0]["name"] = "b.tfrecord"
    content["quarantine"] = []
    rewrite(path, content)
    outcome = run(capsys, "verify", tmp_path / "b.tfrecord")
    assert (outcome.code, outcome.stderr) == (0, f"warning: {escaped(FORGED)}\nwarning: \\udcff\n")


def test_ordinary_letters_stay_as_they_are_and_an_ascii_terminal_gets_escapes(tmp_path):
    source = image_rec(tmp_path / "zdjęcia 猫.rec", 1)
    assert "zdjęcia 猫.rec: recordio" in run_module("info", source, PYTHONIOENCODING="utf-8").stdout
    process = start_module("info", source, PYTHONIOENCODING="ascii")
    assert r"zdj\u0119cia \u732b.rec: recordio" in process.communicate()[0]
