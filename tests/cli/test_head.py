"""recordio-bridge head"""

from __future__ import annotations

from pathlib import Path

import pytest

import recordio_bridge as rb
from tests.cli.running import run
from tests.samples import GOLDEN, image_payload, image_rec, make_example, write_rec, write_tfrecord


def test_head_shows_ten_rows_unless_told_otherwise(capsys, tmp_path):
    path = image_rec(tmp_path / "a.rec", 50)
    outcome = run(capsys, "head", path)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert len(outcome.stdout.splitlines()) == 10
    assert "id=0" in outcome.stdout
    assert "id=10" not in outcome.stdout


@pytest.mark.parametrize(("asked", "shown"), [(0, 0), (1, 1), (3, 3), (5, 5), (100, 5)])
def test_n_says_how_many_rows(capsys, tmp_path, asked, shown):
    path = image_rec(tmp_path / "a.rec", 5)
    outcome = run(capsys, "head", path, "-n", asked)
    assert outcome.code == 0
    assert len(outcome.stdout.splitlines()) == shown


def test_json_is_a_document_for_each_row_with_every_field(capsys, tmp_path):
    path = write_rec(tmp_path / "a.rec", [image_payload(7, 1.5, b"abc"), image_payload(8, [1.0, 2.0], b"")])
    outcome = run(capsys, "head", path, "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    first, second = outcome.json_lines
    assert list(first) == ["id", "label", "image"]
    assert (first["id"], first["label"]) == (7, [1.5])
    assert (second["id"], second["label"]) == (8, [1.0, 2.0])


def test_json_is_valid_also_for_nan_and_infinity(capsys, tmp_path):
    labels = [float("nan"), float("inf"), float("-inf")]
    path = write_rec(tmp_path / "a.rec", [image_payload(0, labels), image_payload(1, labels[0])])
    rb.write(tmp_path / "b.tfrecord", {"x": labels}, rb.Schema(rb.Field("x", "float32")))
    for each in (path, tmp_path / "b.tfrecord"):
        outcome = run(capsys, "head", each, "--json")
        assert outcome.code == 0
        assert len(outcome.json_lines) >= 2


def test_json_keeps_the_largest_id_exact(capsys, tmp_path):
    path = write_rec(tmp_path / "a.rec", [image_payload(2**64 - 1)])
    assert run(capsys, "head", path, "--json").json_lines[0]["id"] == 2**64 - 1


def test_long_images_are_not_printed_whole(capsys):
    outcome = run(capsys, "head", GOLDEN / "r_photos.rec", "-n", 2)
    assert outcome.code == 0
    assert max(map(len, outcome.stdout.splitlines())) < 300
    assert "ff d8 ff" in outcome.stdout


def test_each_row_is_one_line_whatever_its_bytes_are(capsys, tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"t": [b"one\ntwo\r\x1b[31mred\x07", b"\xff\0"]})])
    outcome = run(capsys, "head", path)
    assert outcome.code == 0
    assert len(outcome.stdout.splitlines()) == 1
    assert outcome.stdout.rstrip("\n").isprintable()


def test_field_names_cannot_play_with_the_terminal(capsys, tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"bad\n\x1b[31mname": [1]})])
    for verb in ("head", "info"):
        outcome = run(capsys, verb, path)
        assert outcome.code == 0
        assert "\x1b" not in outcome.stdout


def flip_in_the_last_record(path: Path) -> None:
    """A bit of the magic, or of the payload where that has a checksum."""
    data = bytearray(path.read_bytes())
    data[data.rindex(bytes.fromhex("0a23d7ce")) if path.suffix == ".rec" else len(data) - 9] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        *((name, flip_in_the_last_record) for name in ("a.rec", "examples.rec", "a.tfrecord")),
        *((name, cut) for name in ("a.rec", "examples.rec", "a.tfrecord", "a.tfrecord.gz")),
    ],
)
@pytest.mark.parametrize("with_sidecar", [True, False])
def test_damage_that_comes_later_does_not_stop_the_first_rows(capsys, tmp_path, name, spoil, with_sidecar):
    path = tmp_path / name
    rb.write(path, {"id": range(5), "image": [b"x" * 30] * 5}, payload="example" if "ex" in name else "auto")
    if not with_sidecar:
        (tmp_path / f"{name}.schema.json").unlink()
    spoil(path)
    assert run(capsys, "verify", path).code == 3
    outcome = run(capsys, "head", path, "-n", 1, "--json")
    assert outcome.code == 0
    assert [f"{name}.schema.json" in line for line in outcome.stderr.splitlines()] == [True] * with_sidecar
    assert [row["id"] for row in outcome.json_lines] in ([0], [[0]])


@pytest.mark.parametrize("name", ["a.rec", "a.tfrecord", "a.tfrecord.gz"])
def test_the_rows_before_a_damaged_one_are_shown_and_then_the_error(capsys, tmp_path, name):
    path = tmp_path / name
    rb.write(path, {"id": range(5), "image": [b"x" * 30] * 5})
    cut(path)
    outcome = run(capsys, "head", path, "--json")
    assert outcome.code == 1
    assert [row["id"] for row in outcome.json_lines] == list(range(5 if name.endswith(".gz") else 4))
    assert name in outcome.stderr


def test_files_behind_the_first_rows_are_not_looked_at(capsys, tmp_path):
    image_rec(tmp_path / "a.rec", 3)
    (tmp_path / "b.rec").write_bytes(b"damaged from the first byte on")
    assert run(capsys, "head", tmp_path, "-n", 3).code == 0
    outcome = run(capsys, "head", tmp_path, "-n", 4)
    assert (outcome.code, len(outcome.stdout.splitlines())) == (1, 3)
    assert "b.rec" in outcome.stderr


def test_an_index_that_does_not_fit_is_no_matter_for_the_first_rows(capsys, tmp_path):
    path = image_rec(tmp_path / "a.rec", 3)
    for index in ("x\t0\ny\t4\n", "x\t8\n", "no index"):
        (tmp_path / "a.idx").write_text(index)
        outcome = run(capsys, "head", path, "--json")
        assert (outcome.code, len(outcome.json_lines)) == (0, 3)


def test_keys_of_an_index_that_fits_are_shown(capsys, tmp_path):
    path = write_rec(tmp_path / "a.rec", [image_payload(n, id2=n) for n in range(3)], ["x", "y", "z"])
    first = run(capsys, "head", path, "-n", 2, "--json").json_lines[0]
    assert list(first) == list(rb.inspect(path).schema) == ["id", "label", "image", "id2", "key"]


def test_a_number_of_rows_beyond_all_memory_is_no_matter(capsys, tmp_path):
    rb.write(tmp_path / "a.tfrecord.gz", {"id": range(5)})
    (tmp_path / "a.tfrecord.gz.schema.json").unlink()
    assert len(run(capsys, "head", tmp_path / "a.tfrecord.gz", "-n", 1 << 50).stdout.splitlines()) == 5


def test_rows_come_in_the_order_of_the_files(capsys, tmp_path):
    image_rec(tmp_path / "a.rec", 2)
    image_rec(tmp_path / "b.rec", 2, first_id=2)
    assert [row["id"] for row in run(capsys, "head", tmp_path, "--json").json_lines] == [0, 1, 2, 3]


def test_options_of_the_format_are_taken(capsys):
    outcome = run(capsys, "head", GOLDEN / "c_magic_raw.rec", "--in", "payload=raw", "-n", 1)
    assert outcome.code == 0
    assert "record=" in outcome.stdout


def test_skip_shows_the_good_rows_and_reports_the_damage(capsys, tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"id": [n]}) for n in range(4)])
    data = bytearray(path.read_bytes())
    data[len(data) // 4 + 20] ^= 1
    path.write_bytes(data)
    assert run(capsys, "head", path).code == 1
    outcome = run(capsys, "head", path, "--on-bad-record", "skip", "--json")
    assert outcome.code == 0
    assert [row["id"] for row in outcome.json_lines] == [0, 2, 3]
    assert "a.tfrecord" in outcome.stderr
