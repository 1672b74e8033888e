"""recordio-bridge info"""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from tests.cli.running import run, run_module
from tests.samples import GOLDEN, copy_golden, image_rec, make_example, write_tfrecord


def test_info_shows_format_rows_and_fields(capsys, tmp_path):
    path = image_rec(tmp_path / "a.rec", 1234)
    outcome = run(capsys, "info", path)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert str(path) in outcome.stdout
    assert "rec" in outcome.stdout
    assert "1,234" in outcome.stdout or "1234" in outcome.stdout
    for field in ("id: uint64", "label: float32[*]", "image: bytes"):
        assert field in outcome.stdout


def test_json_is_one_document_with_what_inspect_gives(capsys, tmp_path):
    path = image_rec(tmp_path / "a.rec", 7)
    outcome = run(capsys, "info", path, "--json")
    summary = rb.inspect(path)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.json["format"] == summary.format
    assert outcome.json["num_rows"] == 7
    assert outcome.json["nbytes"] == path.stat().st_size
    assert outcome.json["schema"] == summary.schema.to_json()
    assert outcome.json["notes"] == list(summary.notes)


def test_an_inferred_schema_is_said_to_be_one(capsys, tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"x": [1]})])
    outcome = run(capsys, "info", path)
    assert outcome.code == 0
    assert "infer" in outcome.stdout + outcome.stderr


def test_a_bad_index_is_a_note_and_no_error(capsys, tmp_path):
    path = image_rec(tmp_path / "a.rec", 3)
    (tmp_path / "a.idx").write_text("0\t0\n1\t18446744073709551615\n2\t18446744073709551615\n")
    outcome = run(capsys, "info", path)
    assert outcome.code == 0
    assert "warning: the index is not used" in outcome.stdout
    (warning,) = run(capsys, "info", path, "--json").json["warnings"]
    assert "a.idx" in warning
    assert "3" in outcome.stdout


def test_the_insightface_layout_is_counted_as_it_lies_in_the_file(capsys):
    outcome = run(capsys, "info", GOLDEN / "g_insightface.rec", "--json")
    assert outcome.code == 0
    assert outcome.json["num_rows"] == len((GOLDEN / "g_insightface.idx").read_text().splitlines())


def test_names_that_the_terminal_cannot_show_are_no_error(tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"größe": [1]})])
    for verb in ("info", "head"):
        outcome = run_module(verb, path, PYTHONIOENCODING="ascii:strict")
        assert outcome.code == 0
        assert "gr" in outcome.stdout


def test_a_shard_set_is_shown_as_one(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 9)
    rb.convert(source, tmp_path / "b.tfrecord", shards=3)
    outcome = run(capsys, "info", tmp_path / "b.tfrecord", "--json")
    assert outcome.json["num_rows"] == 9
    assert len(outcome.json["files"]) == 3


def test_skip_counts_the_good_records_and_reports_the_others(capsys, tmp_path):
    path = copy_golden(tmp_path, "n_bad_magic.rec")
    assert run(capsys, "info", path, "--in", "payload=raw").code == 1
    outcome = run(capsys, "info", path, "--in", "payload=raw", "--on-bad-record", "skip")
    assert outcome.code == 0
    assert "n_bad_magic.rec" in outcome.stderr


def test_a_damaged_file_of_raw_records_is_said_to_be_damaged_and_how_to_read_it(capsys, tmp_path):
    outcome = run(capsys, "info", copy_golden(tmp_path, "n_bad_magic.rec"))
    assert outcome.code == 1
    assert "payload=raw" in outcome.stderr
    assert (
        "The file is damaged, too: record 1 at byte 20: found 0b23d7ce, expected the magic 0a23d7ce" in outcome.stderr
    )


@pytest.mark.parametrize("suffix", [".rec", ".tfrecord"])
def test_a_text_file_with_our_suffix_is_asked_whether_it_is_one_in_a_whole_sentence(capsys, tmp_path, suffix):
    path = tmp_path / f"readme{suffix}"
    path.write_text("Nothing but some words that someone wrote.\n")
    outcome = run(capsys, "info", path)
    assert outcome.code == 1
    assert "; is this a " in outcome.stderr
    assert "? If so, recover" in outcome.stderr


def test_a_file_with_a_sound_first_head_is_not_asked_whether_it_is_a_tfrecord(capsys, tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"x": [1]})])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    outcome = run(capsys, "info", path)
    assert outcome.code == 1
    assert "the checksum of the record's payload does not fit; recover" in outcome.stderr
    assert "is this" not in outcome.stderr


@pytest.mark.parametrize("content", [b"garbage that is no format", b""])
def test_a_file_of_no_format_exits_1(capsys, tmp_path, content):
    (tmp_path / "a.bin").write_bytes(content)
    outcome = run(capsys, "info", tmp_path / "a.bin")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "a.bin" in outcome.stderr


def test_a_record_too_short_for_an_image_names_the_payload_to_ask_for(capsys, tmp_path):
    path = copy_golden(tmp_path, "c_magic_raw.rec")
    outcome = run(capsys, "info", path)
    assert outcome.code == 1
    assert "payload=raw" in outcome.stderr
    assert run(capsys, "info", path, "--in", "payload=raw").code == 0


# ---- files of arrays whose fields do not make a table ----


def odd_arrays(path):
    with h5py.File(path, "w") as file:
        file["image"], file["label"], file["mean"], file["n"] = np.zeros((5, 2), "u1"), np.arange(4), np.zeros(5), 7
        file["refs"] = np.array([file["image"].ref] * 5, dtype=h5py.ref_dtype)
    return path


def test_arrays_that_make_no_table_are_listed_with_their_rows_or_why_not(capsys, tmp_path):
    path = odd_arrays(tmp_path / "a.h5")
    outcome = run(capsys, "info", path)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines() == [
        f"{path}: hdf5, {path.stat().st_size:,} bytes, of these arrays:",
        "  image: uint8[2], 5 rows",
        "  label: int64, 4 rows",
        "  mean: float64, 5 rows",
        "  n: is a single value and has no rows",
        "  refs: holds references, which are not read; save what they lead to as plain datasets",
        "They make no table together; choose some of as many rows: --select image=image mean=mean (fields= in Python)",
    ]
    assert len(rb.convert(path, tmp_path / "b.npz", select=["image=image", "mean=mean"]).schema) == 2


def test_json_lists_such_arrays_too(capsys, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2)), y=np.arange(4), o=np.array([None]))
    path = str(tmp_path / "a.npz")
    outcome = run(capsys, "info", path, "--json")
    assert outcome.code == 0
    assert (outcome.json["schema"], outcome.json["num_rows"]) == (None, None)
    assert outcome.json["arrays"] == [
        {"path": path, "name": "x", "field": rb.Field("x", "float64", (2,)).to_json(), "num_rows": 3},
        {"path": path, "name": "y", "field": rb.Field("y", "int64").to_json(), "num_rows": 4},
        {"path": path, "name": "o", "reason": "is an object array, which needs pickle; save it as a plain array"},
    ]


def test_a_file_of_which_no_array_can_be_read_has_nothing_to_choose(capsys, tmp_path):
    np.savez(tmp_path / "a.npz", n=5)
    outcome = run(capsys, "info", tmp_path / "a.npz")
    assert outcome.code == 0
    assert outcome.stdout.splitlines()[1:] == ["  n: is a single value and has no rows"]


def test_of_several_such_files_each_is_listed(capsys, tmp_path):
    for name in ("a.h5", "b.h5"):
        odd_arrays(tmp_path / name)
    outcome = run(capsys, "info", tmp_path)
    assert outcome.code == 0
    assert outcome.stdout.count("image: uint8[2], 5 rows") == 2
    assert "b.h5: hdf5" in outcome.stdout


def test_what_cells_of_matlab_refer_to_is_no_field(capsys, tmp_path):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        refs["a"], refs["b"], file["X"] = np.zeros((3, 1)), np.zeros((7, 1)), np.zeros((2, 5))
        file["cell"] = np.array([[refs["a"].ref], [refs["b"].ref]], dtype=h5py.ref_dtype)
    data = bytearray(path.read_bytes())
    data[:10] = b"MATLAB 7.3"
    path.write_bytes(data)
    outcome = run(capsys, "info", path)
    assert [line.split(":")[0] for line in outcome.stdout.splitlines() if line.startswith("  ")] == ["  X", "  cell"]
    assert "#refs#" in outcome.stdout.splitlines()[-1]
