"""recordio-bridge convert"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import files
from tests.cli.running import run, run_module
from tests.samples import (
    GOLDEN,
    contents,
    copy_golden,
    frame_tfrecord,
    image_of,
    image_payload,
    image_rec,
    make_example,
    read_examples,
    read_rec,
    read_tfrecord,
    write_rec,
    write_tfrecord,
)

LEGAL = {"n_nonzero_pad.rec", "n_trunc_between.rec"}


def ids_of(paths: list[Path]) -> list[int]:
    return [example["id"][0] for path in paths for example in read_examples(path)]


def test_a_conversion_exits_0_and_says_on_standard_output_what_it_wrote(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 5)
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord")
    assert outcome.code == 0
    assert str(tmp_path / "b.tfrecord") in outcome.stdout
    assert "5" in outcome.stdout
    assert ids_of([tmp_path / "b.tfrecord"]) == [0, 1, 2, 3, 4]


def test_the_command_writes_the_same_bytes_as_the_function(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 20)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    select = {"image/encoded": "image", "image/class/label:int64": "label[0]"}
    rb.convert(source, tmp_path / "one" / "b.tfrecord", shards=3, shuffle=True, seed=7, select=select)
    pairs = [f"{name}={expression}" for name, expression in select.items()]
    arguments = ["--shards", 3, "--shuffle", "--seed", 7, "--select", *pairs]
    assert run(capsys, "convert", source, tmp_path / "two" / "b.tfrecord", *arguments).code == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_json_is_one_document_with_the_manifest(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 5)
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--shards", 2, "--json")
    assert outcome.code == 0
    assert outcome.json["num_rows"] == 5
    assert [shard["name"] for shard in outcome.json["shards"]] == [f"b-0000{n}-of-00002.tfrecord" for n in range(2)]
    document = outcome.json
    files = document.pop("files")
    manifest = json.loads((tmp_path / "b.tfrecord.manifest.json").read_text())
    del manifest["crc32c"]
    assert document == manifest
    assert sorted(files) == sorted(str(path) for path in tmp_path.glob("b*"))


@pytest.mark.parametrize("name", ["b.rec", "b.tfrecord"])
@pytest.mark.parametrize("shards", [[], ["--shards", 3]])
def test_every_file_that_appears_is_listed_one_a_line(capsys, tmp_path, name, shards):
    source = image_rec(tmp_path / "a.rec", 4)
    before = set(tmp_path.iterdir())
    outcome = run(capsys, "convert", source, tmp_path / name, *shards)
    assert outcome.code == 0
    listed = [line.split(": ")[0] for line in outcome.stdout.splitlines()]
    assert sorted(listed) == sorted(str(path) for path in set(tmp_path.iterdir()) - before)


def test_one_row_is_not_called_rows(capsys, tmp_path):
    outcome = run(capsys, "convert", image_rec(tmp_path / "a.rec", 1), tmp_path / "b.tfrecord")
    assert "1 row," in outcome.stdout
    assert "1 rows" not in outcome.stdout


def test_more_shards_than_rows_are_noted(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--shards", 5, "--workers", 1)
    assert outcome.code == 0
    assert "note: shards that hold rows: 3 of 5\n" in outcome.stderr
    for shards in (3, 1):
        outcome = run(capsys, "convert", source, tmp_path / f"{shards}.tfrecord", "--shards", shards, "--workers", 1)
        assert "shards" not in outcome.stderr


def test_several_selections_may_follow_one_option_or_have_one_each(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 2)
    paths = [source, tmp_path / "b.tfrecord"]
    together = ["--select", "image/encoded=image", "n:int64=label[0]"]
    apart = ["--select", "image/encoded=image", "--select", "n:int64=label[0]"]
    for arguments in ([*paths, *together], [*paths, *apart], [*together, *paths], [*apart, *paths]):
        assert run(capsys, "convert", *arguments, "--overwrite").code == 0
        assert read_examples(paths[1]) == [{"image/encoded": [image_of(n)], "n": [n]} for n in range(2)]


def test_a_source_whose_name_has_an_equals_sign_is_a_source(capsys, tmp_path):
    source = image_rec(tmp_path / "lr=0.1.rec", 2)
    assert run(capsys, "convert", source, tmp_path / "a=b.tfrecord").code == 0
    assert run(capsys, "convert", "--select", "id=id", "--", source, tmp_path / "c=d.tfrecord").code == 0
    assert read_examples(tmp_path / "c=d.tfrecord") == [{"id": [0]}, {"id": [1]}]


def test_options_of_both_formats_are_passed_on(capsys, tmp_path):
    source = write_rec(tmp_path / "a.rec", [b"one", b"two"])
    arguments = ["--in", "payload=raw", "--out", "compression=GZIP", "payload=raw"]
    assert run(capsys, "convert", source, tmp_path / "b.tfrecord", *arguments).code == 0
    assert (tmp_path / "b.tfrecord").read_bytes().startswith(b"\x1f\x8b")
    assert rb.inspect(tmp_path / "b.tfrecord").num_rows == 2


def test_workers_are_taken_and_make_no_difference(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 9)
    for workers in (1, 2):
        arguments = ["--shards", 3, "--workers", workers, "--overwrite"]
        assert run(capsys, "convert", source, tmp_path / "b.tfrecord", *arguments).code == 0
        assert ids_of([tmp_path / f"b-0000{n}-of-00003.tfrecord" for n in range(3)]) == list(range(9))


@pytest.mark.parametrize("level", ["content", "counts", "none"])
def test_the_level_of_verification_is_taken_and_said(capsys, tmp_path, level):
    outcome = run(capsys, "convert", image_rec(tmp_path / "a.rec", 3), tmp_path / "b.tfrecord", "--verify", level)
    assert outcome.code == 0
    assert level in outcome.stdout
    assert json.loads((tmp_path / "b.tfrecord.manifest.json").read_text())["verified"] == level


def test_a_difference_found_by_convert_itself_exits_3_and_leaves_nothing(capsys, tmp_path, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 9)
    before = contents(tmp_path)
    finish = files.Output.finish

    def damaged(self: files.Output) -> files.Pending:
        pending = finish(self)
        data = bytearray(Path(pending.temporary).read_bytes())
        data[len(data) // 2] ^= 1
        Path(pending.temporary).write_bytes(data)
        return pending

    monkeypatch.setattr(files.Output, "finish", damaged)
    for target in ("b.tfrecord", "b.rec", "b.tfrecord.gz"):
        outcome = run(capsys, "convert", source, tmp_path / target)
        assert (outcome.code, outcome.stdout) == (3, "")
        assert target in outcome.stderr
    assert contents(tmp_path) == before


def test_an_existing_output_exits_1_and_says_how_to_replace_it(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 3)
    (tmp_path / "b.tfrecord").write_bytes(b"precious")
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord")
    assert outcome.code == 1
    assert "--overwrite" in outcome.stderr
    assert (tmp_path / "b.tfrecord").read_bytes() == b"precious"
    assert run(capsys, "convert", source, tmp_path / "b.tfrecord", "--overwrite").code == 0
    assert ids_of([tmp_path / "b.tfrecord"]) == [0, 1, 2]


def test_of_many_records_that_are_left_out_the_first_are_shown(capsys, tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(n) for n in range(50)])
    (tmp_path / "a.lst").write_text("7\t1\tx\n")
    arguments = ["--in", f"labels={tmp_path / 'a.lst'}", "--on-bad-record", "skip"]
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", *arguments)
    assert outcome.code == 0
    first, *shown, more = outcome.stderr.splitlines()
    assert first == f"left out of {source}:"
    assert [f": record {n} at byte " in line for n, line in enumerate(shown[:7])] == [True] * 7
    assert (len(shown), more) == (20, f"  and 29 more; {tmp_path / 'b.tfrecord'}.manifest.json lists all")


def test_a_loss_exits_1_and_says_how_to_allow_it(capsys, tmp_path):
    source = write_rec(tmp_path / "a.rec", [image_payload(0, 1.0), image_payload(1, 3.5)])
    arguments = ["convert", source, tmp_path / "b.tfrecord", "--select", "n:int64=label[0]"]
    outcome = run(capsys, *arguments)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "record 1 at byte 44" in outcome.stderr
    assert "--allow-lossy n" in outcome.stderr
    assert run(capsys, *arguments, "--allow-lossy", "n").code == 0
    assert read_examples(tmp_path / "b.tfrecord") == [{"n": [1]}, {"n": [3]}]


def test_pack_is_taken(capsys, tmp_path):
    rb.write(tmp_path / "a.tfrecord", {"pixels": [[[1, 2], [3, 4]]]}, rb.Schema(rb.Field("pixels", "uint8", (2, 2))))
    outcome = run(capsys, "convert", tmp_path / "a.tfrecord", tmp_path / "b.tfrecord", "--pack", "pixels=list")
    assert outcome.code == 0
    assert read_examples(tmp_path / "b.tfrecord") == [{"pixels": [1, 2, 3, 4]}]


def damaged(path: Path) -> Path:
    """A TFRecord file of 4 records, one of them damaged."""
    write_tfrecord(path, [make_example({"id": [n]}) for n in range(4)])
    data = bytearray(path.read_bytes())
    data[len(data) // 4 + 20] ^= 1
    path.write_bytes(data)
    return path


def test_skip_exits_0_and_reports_on_standard_error_what_it_left_out(capsys, tmp_path):
    source = damaged(tmp_path / "a.tfrecord")
    start = source.stat().st_size // 4
    assert run(capsys, "convert", source, tmp_path / "b.tfrecord").code == 1
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--on-bad-record", "skip", "--json")
    assert outcome.code == 0
    assert ids_of([tmp_path / "b.tfrecord"]) == [0, 2, 3]
    assert f"{start} to {2 * start}" in outcome.stderr
    assert "a.tfrecord" in outcome.stderr
    assert [(each["start"], each["stop"]) for each in outcome.json["skipped"]] == [(start, 2 * start)]


def test_the_report_of_what_was_left_out_names_each_file_once_and_gives_no_advice_that_was_taken(capsys, tmp_path):
    sources = [copy_golden(tmp_path, name) for name in ("n_bad_magic.rec", "n_cflag4.rec")]
    arguments = ["--in", "payload=raw", "--on-bad-record", "skip"]
    outcome = run(capsys, "convert", tmp_path, tmp_path / "b.tfrecord", *arguments)
    assert outcome.code == 0
    lines = [line for line in outcome.stderr.splitlines() if not line.startswith("note:")]
    assert lines == [
        f"left out of {sources[0]}:",
        "  bytes 20 to 40: record 1 at byte 20: found 0b23d7ce, expected the magic 0a23d7ce",
        f"left out of {sources[1]}:",
        "  bytes 20 to 40: record 1 at byte 20: found a part with flag 4, expected 0 to 3",
    ]


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz", "a.rec", "examples.tfrecord"])
def test_no_reason_for_leaving_bytes_out_repeats_the_path(tmp_path, name):
    path = tmp_path / name
    rb.write(path, {"id": [1, 2, 3], "image": [b"x" * 30] * 3})
    data = bytearray(path.read_bytes())
    if name == "a.rec":
        data[8] = 200  # an image header that announces 200 labels
    elif name == "examples.tfrecord":  # a sound frame around what is no Example
        data[:0] = frame_tfrecord(b"\xff" * 40)
    else:
        data = data[:-10]
    path.write_bytes(data)
    options = {"payload": "example"} if name == "examples.tfrecord" else None  # which "auto" does not take it for
    manifest = rb.convert(path, tmp_path / "b.tfrecord", on_bad_record="skip", source_options=options)
    assert manifest.skipped
    for skipped in manifest.skipped:
        assert skipped.path == str(path)
        assert name not in skipped.reason
        assert "on_bad_record" not in skipped.reason


def test_quiet_never_hides_what_was_left_out_nor_an_error(capsys, tmp_path):
    source = damaged(tmp_path / "a.tfrecord")
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--on-bad-record", "skip", "-q")
    assert outcome.code == 0
    assert outcome.stderr.startswith(f"left out of {source}:\n  bytes ")
    assert len(outcome.stderr.splitlines()) == 2
    for verb in ("head", "info"):
        assert "left out bytes" in run(capsys, verb, source, "--on-bad-record", "skip", "-q").stderr
    outcome = run(capsys, "convert", source, tmp_path / "c.tfrecord", "-q")
    assert outcome.code == 1
    assert "a.tfrecord" in outcome.stderr


def test_quiet_hides_notes_but_not_those_that_mean_a_loss(capsys, tmp_path):
    labels = [image_payload(n, [1.0, 2.0]) for n in range(3)]
    write_rec(tmp_path / "a.rec", labels, ["x", "y", "z"])
    outcome = run(capsys, "convert", tmp_path / "a.rec", tmp_path / "b.tfrecord", "-q")
    assert (outcome.code, outcome.stderr) == (0, "")
    (tmp_path / "a.idx").write_text("x\t0\ny\t3\n")
    for arguments in (["-q"], ["--json", "-q"], ["--shards", 2, "-q"]):
        outcome = run(capsys, "convert", tmp_path / "a.rec", tmp_path / "b.tfrecord", "--overwrite", *arguments)
        assert outcome.code == 0
        assert outcome.stderr.startswith("warning: the index is not used: ")
        assert len(outcome.stderr.splitlines()) == 1
    outcome = run(capsys, "convert", tmp_path / "a.rec", tmp_path / "b.tfrecord", "--overwrite")
    assert outcome.stderr.splitlines()[-1] == "note: labels have up to 2 values"


def test_verbose_keeps_standard_output_for_data(capsys, tmp_path):
    source = image_rec(tmp_path / "a.rec", 5)
    plain = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--json")
    verbose = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--overwrite", "--json", "-v")
    assert verbose.stdout == plain.stdout


def test_there_is_no_progress_bar_in_a_pipe(tmp_path):
    image_rec(tmp_path / "a.rec", 500)
    outcome = run_module("convert", tmp_path / "a.rec", tmp_path / "b.tfrecord", "--shards", 2)
    assert outcome.code == 0
    assert "%" not in outcome.stderr
    assert "\r" not in outcome.stderr


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("n_*.rec")), ids=lambda path: path.stem)
def test_each_damaged_file_exits_1_with_file_record_and_byte_and_the_legal_ones_convert(capsys, tmp_path, path):
    source = copy_golden(tmp_path, path.name)
    before = contents(tmp_path)
    outcome = run(capsys, "convert", source, tmp_path / "b.tfrecord", "--in", "payload=raw")
    if path.name in LEGAL:
        assert outcome.code == 0
        assert len(read_tfrecord(tmp_path / "b.tfrecord")) == len(read_rec(source))
    else:
        assert (outcome.code, outcome.stdout) == (1, "")
        assert path.name in outcome.stderr
        assert "record " in outcome.stderr
        assert " byte " in outcome.stderr
        assert contents(tmp_path) == before


def test_folders_globs_and_shard_sets_are_sources(capsys, tmp_path):
    (tmp_path / "in").mkdir()
    image_rec(tmp_path / "in" / "a.rec", 3)
    image_rec(tmp_path / "in" / "b.rec", 2, first_id=3)
    assert run(capsys, "convert", tmp_path / "in", tmp_path / "one.tfrecord").code == 0
    assert run(capsys, "convert", tmp_path / "in" / "*.rec", tmp_path / "two.tfrecord", "--shards", 2).code == 0
    assert run(capsys, "convert", tmp_path / "two.tfrecord", tmp_path / "three.tfrecord").code == 0
    assert ids_of([tmp_path / "one.tfrecord"]) == ids_of([tmp_path / "three.tfrecord"]) == list(range(5))


def test_an_unknown_suffix_exits_2_and_names_those_there_are(capsys, tmp_path):
    outcome = run(capsys, "convert", image_rec(tmp_path / "a.rec", 3), tmp_path / "b.zip")
    assert outcome.code == 2
    assert ".tfrecord" in outcome.stderr
    assert sorted(os.listdir(tmp_path)) == ["a.idx", "a.rec"]
