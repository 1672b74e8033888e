"""recordio-bridge verify"""

from __future__ import annotations

from pathlib import Path

import pytest

import recordio_bridge as rb
from tests.cli.running import run
from tests.samples import GOLDEN, copy_golden, image_rec


@pytest.fixture
def output(tmp_path: Path) -> Path:
    source = image_rec(tmp_path / "a.rec", 5)
    (tmp_path / "out").mkdir()
    rb.convert(source, tmp_path / "out" / "b.tfrecord", shards=2)
    return tmp_path / "out" / "b.tfrecord"


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)


def test_a_good_output_exits_0(capsys, output):
    for path in (output, output.parent, output.with_name("b-00001-of-00002.tfrecord")):
        outcome = run(capsys, "verify", path)
        assert outcome.code == 0
        assert "ok" in outcome.stdout


def test_damage_exits_3_and_names_file_record_and_byte(capsys, output):
    shard = output.with_name("b-00001-of-00002.tfrecord")
    damage(shard)
    for path in (output, output.parent, shard):
        outcome = run(capsys, "verify", path)
        assert outcome.code == 3
        assert f"{shard}: record 0 at byte " in outcome.stdout
        assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("name", ["b-00000-of-00002.tfrecord", "b.tfrecord.schema.json"])
def test_what_is_missing_exits_3_and_is_named(capsys, output, name):
    output.with_name(name).unlink()
    outcome = run(capsys, "verify", output)
    assert outcome.code == 3
    assert name in outcome.stdout


def test_json_is_one_document_with_the_problems(capsys, output):
    outcome = run(capsys, "verify", output, "--json")
    assert outcome.code == 0
    assert (outcome.json["ok"], outcome.json["num_rows"], outcome.json["problems"]) == (True, 5, [])
    shard = output.with_name("b-00001-of-00002.tfrecord")
    damage(shard)
    outcome = run(capsys, "verify", output, "--json")
    assert outcome.code == 3
    assert not outcome.json["ok"]
    (problem,) = outcome.json["problems"]
    assert (problem["path"], problem["record"]) == (str(shard), 0)
    assert isinstance(problem["offset"], int)


def test_a_bad_index_beside_a_good_rec_exits_3(capsys, tmp_path):
    path = image_rec(tmp_path / "a.rec", 3)
    assert run(capsys, "verify", path).code == 0
    (tmp_path / "a.idx").write_text("0\t0\n1\t18446744073709551615\n2\t18446744073709551615\n")
    outcome = run(capsys, "verify", path)
    assert outcome.code == 3
    assert "a.idx" in outcome.stdout


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("n_*.rec")), ids=lambda path: path.stem)
def test_damaged_files_exit_3_and_legal_ones_0(capsys, tmp_path, path):
    legal = path.stem in ("n_nonzero_pad", "n_trunc_between")
    assert run(capsys, "verify", copy_golden(tmp_path, path.name)).code == (0 if legal else 3)


def test_what_could_not_be_looked_at_exits_1(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "missing.rec", tmp_path / "empty"):
        outcome = run(capsys, "verify", path)
        assert (outcome.code, outcome.stdout) == (1, "")
        assert outcome.stderr.strip()


def test_a_manifest_that_cannot_be_read_exits_3(capsys, output):
    output.with_name("b.tfrecord.manifest.json").write_text("{")
    assert run(capsys, "verify", output).code == 3


def test_quiet_says_on_standard_error_only_what_was_not_checked(capsys, output, tmp_path):
    for path in (output, tmp_path / "a.rec"):
        outcome = run(capsys, "verify", path, "-q")
        assert (outcome.code, outcome.stderr) == (0, "")
    (tmp_path / "raw").mkdir()
    outcome = run(capsys, "verify", copy_golden(tmp_path / "raw", "c_magic_raw.rec"), "-q")
    assert outcome.code == 0
    assert outcome.stderr.startswith("warning: ")
    assert "only the frames are checked" in outcome.stderr


def test_one_file_is_not_called_files(capsys, tmp_path):
    outcome = run(capsys, "verify", image_rec(tmp_path / "one.rec", 18))
    assert outcome.stdout == f"{tmp_path / 'one.rec'}: ok, 18 rows in 1 file\n"
