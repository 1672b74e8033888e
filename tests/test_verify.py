"""verify: a good output is ok, and whatever happened to it since is found and named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import recordio_bridge as rb
from tests.reference.checksum import crc32c
from tests.samples import (
    GOLDEN,
    believe_by_name,
    contents,
    copy_golden,
    frame_tfrecord,
    image_payload,
    image_rec,
    make_example,
    rewrite,
    write_rec,
    write_tfrecord,
)


@pytest.fixture(params=["set.tfrecord", "set.rec", "set.tfrecord.gz"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The name of a converted set of three shards, alone in its folder."""
    source = image_rec(tmp_path / "source.rec", 7)
    (tmp_path / "out").mkdir()
    rb.convert(source, tmp_path / "out" / request.param, shards=3)
    return tmp_path / "out" / request.param


def shard(output: Path, number: int) -> Path:
    stem, _, suffix = output.name.partition(".")
    return output.with_name(f"{stem}-{number:05d}-of-00003.{suffix}")


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def problem_paths(report: object) -> set[str]:
    return {problem.path for problem in report.problems}


# ---- an output with its manifest ----


def test_a_good_output_is_ok_and_its_rows_are_counted(output):
    report = rb.verify(output)
    assert report.ok
    assert report.num_rows == 7
    assert list(report.problems) == []


def test_a_folder_with_a_good_output_is_ok(output):
    report = rb.verify(output.parent)
    assert report.ok
    assert report.num_rows == 7


def test_a_single_shard_is_checked_against_the_manifest_of_its_set(output):
    report = rb.verify(shard(output, 1))
    assert report.ok
    assert report.num_rows in (2, 3)
    flip(shard(output, 1), 30)
    assert not rb.verify(shard(output, 1)).ok
    assert rb.verify(shard(output, 0)).ok


def test_verify_writes_nothing(output):
    before = contents(output.parent)
    rb.verify(output)
    rb.verify(output.parent)
    assert contents(output.parent) == before


def test_any_flipped_bit_of_a_shard_is_found_and_the_shard_is_named(output):
    damaged = shard(output, 1)
    for at in range(damaged.stat().st_size):
        flip(damaged, at, at % 8)
        report = rb.verify(output)
        assert not report.ok
        assert problem_paths(report) == {str(damaged)}
        flip(damaged, at, at % 8)
    assert rb.verify(output).ok


def test_a_shard_cut_at_any_byte_is_found(output):
    damaged = shard(output, 1)
    whole = damaged.read_bytes()
    for size in range(len(whole)):
        damaged.write_bytes(whole[:size])
        report = rb.verify(output)
        assert not report.ok
        assert problem_paths(report) == {str(damaged)}


def test_bytes_added_to_a_shard_are_found(output):
    for added in (b"\0", bytes(16), shard(output, 0).read_bytes()):
        whole = shard(output, 1).read_bytes()
        shard(output, 1).write_bytes(whole + added)
        report = rb.verify(output)
        assert not report.ok
        assert problem_paths(report) == {str(shard(output, 1))}
        shard(output, 1).write_bytes(whole)


def test_a_missing_shard_is_found_and_named(output):
    shard(output, 2).unlink()
    for path in (output, output.parent):
        report = rb.verify(path)
        assert not report.ok
        assert str(shard(output, 2)) in problem_paths(report)
        assert any("missing" in str(problem) for problem in report.problems)


def test_all_shards_missing_is_found_too(output):
    for number in range(3):
        shard(output, number).unlink()
    report = rb.verify(output)
    assert problem_paths(report) >= {str(shard(output, number)) for number in range(3)}


def test_an_extra_shard_is_found_and_named(output):
    stem, _, suffix = output.name.partition(".")
    extra = output.with_name(f"{stem}-00003-of-00004.{suffix}")
    extra.write_bytes(shard(output, 0).read_bytes())
    for path in (output, output.parent):
        report = rb.verify(path)
        assert not report.ok
        assert str(extra) in problem_paths(report)


def test_two_shards_that_were_swapped_are_both_found(output):
    first, second = shard(output, 0).read_bytes(), shard(output, 1).read_bytes()
    shard(output, 0).write_bytes(second)
    shard(output, 1).write_bytes(first)
    report = rb.verify(output)
    assert {str(shard(output, 0)), str(shard(output, 1))} <= problem_paths(report)
    assert str(shard(output, 2)) not in problem_paths(report)


def test_a_shard_of_the_same_size_from_another_run_is_found(tmp_path):
    for name, first in (("a", 0), ("b", 3)):
        write_rec(tmp_path / f"{name}.rec", [image_payload(n) for n in range(first, first + 3)])
        rb.convert(tmp_path / f"{name}.rec", tmp_path / f"{name}.tfrecord")
    os.replace(tmp_path / "b.tfrecord", tmp_path / "a.tfrecord")
    report = rb.verify(tmp_path / "a.tfrecord")
    assert not report.ok


def test_every_damaged_shard_is_reported_and_not_only_the_first(output):
    flip(shard(output, 0), 20)
    flip(shard(output, 2), 20)
    assert problem_paths(rb.verify(output)) == {str(shard(output, 0)), str(shard(output, 2))}


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"{", b'{"recordio_bridge": 1}', b"\xff", b'{"recordio_bridge": 9, "shards": []}']
)
def test_a_damaged_manifest_is_found_and_named(output, content):
    manifest = output.with_name(output.name + ".manifest.json")
    manifest.write_bytes(content)
    for path in (output, output.parent):
        report = rb.verify(path)
        assert not report.ok
        assert any("manifest.json" in str(problem) for problem in report.problems)


def test_a_manifest_cut_anywhere_is_found(tmp_path):
    source = image_rec(tmp_path / "a.rec", 2)
    rb.convert(source, tmp_path / "b.tfrecord")
    manifest = tmp_path / "b.tfrecord.manifest.json"
    whole = manifest.read_bytes()
    for size in range(0, len(whole) - 2, 7):
        manifest.write_bytes(whole[:size])
        assert not rb.verify(tmp_path / "b.tfrecord").ok


@pytest.mark.parametrize("name", ["../secret.tfrecord", "/etc/passwd", "..", "", "sub/x.tfrecord", 3, None])
def test_a_manifest_that_points_elsewhere_is_not_followed(tmp_path, name):
    source = image_rec(tmp_path / "a.rec", 2)
    rb.convert(source, tmp_path / "b.tfrecord")
    manifest = tmp_path / "b.tfrecord.manifest.json"
    content = json.loads(manifest.read_text())
    content["shards"][0]["name"] = name
    rewrite(manifest, content)
    report = rb.verify(tmp_path / "b.tfrecord")
    assert not report.ok
    assert any("manifest.json" in str(problem) for problem in report.problems)


@pytest.mark.parametrize("change", [{"num_rows": 99}, {"num_rows": "2"}, {"nbytes": -1}, {"crc32c": 2**40}])
def test_a_manifest_whose_numbers_are_wrong_does_not_fit_its_shards(tmp_path, change):
    source = image_rec(tmp_path / "a.rec", 2)
    rb.convert(source, tmp_path / "b.tfrecord")
    manifest = tmp_path / "b.tfrecord.manifest.json"
    content = json.loads(manifest.read_text())
    content["shards"][0].update(change)
    rewrite(manifest, content)
    assert not rb.verify(tmp_path / "b.tfrecord").ok


# ---- the digest of the rows ----


def convert_in_all_ways(folder: Path) -> dict[str, Path]:
    """Outputs that were written in every way that decides what their content is a digest of."""
    images = image_rec(folder / "images.rec", 7)
    keyed = write_rec(folder / "keyed.rec", [image_payload(n) for n in range(3)], ["a", "b", "c"])
    examples = write_tfrecord(folder / "examples.tfrecord", [make_example({"x": [n], "y": [b"y"]}) for n in range(5)])
    called = write_tfrecord(folder / "called.tfrecord", [make_example({"record": [b"y" * n]}) for n in range(5)])
    empty = write_rec(folder / "empty.rec", [])
    (folder / "out").mkdir()
    ways: dict[str, tuple[object, str, dict[str, object]]] = {
        "encoded": (images, "encoded.tfrecord", {}),
        "selected": (images, "selected.tfrecord", {"select": {"n:int64": "label[0]"}}),
        "compressed": (images, "compressed.tfrecord.gz", {"shards": 2}),
        "passed": (images, "passed.rec", {"shards": 2}),
        "shuffled": (images, "shuffled.rec", {"shuffle": True}),
        "joined": ([images, keyed], "joined.rec", {}),
        "keyed": (keyed, "keyed.rec", {}),
        "keyed and decoded": (keyed, "decoded.rec", {"select": {"image": "image", "key": "key"}}),
        "passed examples": (examples, "passed.tfrecord", {"shards": 3}),
        "reframed examples": (examples, "reframed.rec", {}),
        "a field called record": (called, "called.tfrecord", {}),
        "raw": (keyed, "raw.rec", {"source_options": {"payload": "raw"}, "target_options": {"payload": "raw"}}),
        "nothing": (empty, "empty.rec", {}),
    }
    for source, name, options in ways.values():
        if isinstance(source, list):
            (folder / "keyed.idx").rename(folder / "hidden.idx")
        rb.convert(source, folder / "out" / name, **options)
        if isinstance(source, list):
            (folder / "hidden.idx").rename(folder / "keyed.idx")
    return {way: folder / "out" / name for way, (_, name, _) in ways.items()}


def test_the_digest_of_every_kind_of_output_is_taken_again_and_compared(tmp_path):
    for way, path in convert_in_all_ways(tmp_path).items():
        report = rb.verify(path)
        assert report.ok, (way, report.problems)
        manifest = path.with_name(path.name + ".manifest.json")
        whole = manifest.read_text()
        content = json.loads(whole)
        assert all(len(shard["content"]) == 64 for shard in content["shards"])
        content["shards"][-1]["content"] = "0" * 64
        rewrite(manifest, content)
        (problem,) = rb.verify(path).problems
        assert "digest of its rows" in str(problem), way
        manifest.write_text(whole)


@pytest.mark.parametrize("level", ["counts", "none"])
def test_where_the_content_was_not_verified_there_is_no_digest_to_compare(tmp_path, level):
    rb.convert(image_rec(tmp_path / "a.rec", 2), tmp_path / "b.tfrecord", verify=level)
    content = json.loads((tmp_path / "b.tfrecord.manifest.json").read_text())
    assert (content["content_of"], content["shards"][0]["content"]) == (None, None)
    assert rb.verify(tmp_path / "b.tfrecord").ok


def test_rows_changed_together_with_their_checksum_are_found(tmp_path):
    rb.convert(image_rec(tmp_path / "a.rec", 3), tmp_path / "b.rec")
    flip(tmp_path / "b.rec", 40)
    manifest = tmp_path / "b.rec.manifest.json"
    content = json.loads(manifest.read_text())
    content["shards"][0]["crc32c"] = crc32c((tmp_path / "b.rec").read_bytes())
    rewrite(manifest, content)
    assert any("digest of its rows" in str(problem) for problem in rb.verify(tmp_path / "b.rec").problems)


@pytest.mark.parametrize(
    "content_of", [3, [], {"payload": "raw"}, {"payload": "raw", "schema": 3}, {"payload": "zip", "schema": []}]
)
def test_a_manifest_that_says_nonsense_of_its_digest_is_found(tmp_path, content_of):
    rb.convert(image_rec(tmp_path / "a.rec", 2), tmp_path / "b.tfrecord")
    manifest = tmp_path / "b.tfrecord.manifest.json"
    content = json.loads(manifest.read_text())
    content["content_of"] = content_of
    rewrite(manifest, content)
    (problem,) = rb.verify(tmp_path / "b.tfrecord").problems
    assert "manifest.json" in str(problem)


def test_a_missing_schema_sidecar_is_found(output):
    output.with_name(output.name + ".schema.json").unlink()
    report = rb.verify(output)
    assert not report.ok
    assert any("schema.json" in str(problem) for problem in report.problems)


@pytest.mark.parametrize("content", [b"", b"{}", b"{", b"[]"])
def test_a_damaged_schema_sidecar_is_found(output, content):
    output.with_name(output.name + ".schema.json").write_bytes(content)
    for path in (output, output.parent):
        report = rb.verify(path)
        assert not report.ok
        assert any("schema.json" in str(problem) for problem in report.problems)


def test_a_schema_sidecar_that_says_something_else_than_the_manifest_is_found(tmp_path):
    source = image_rec(tmp_path / "a.rec", 2)
    rb.convert(source, tmp_path / "b.tfrecord")
    sidecar = tmp_path / "b.tfrecord.schema.json"
    rewrite(sidecar, json.loads(sidecar.read_text().replace("float32", "float64")))
    assert not rb.verify(tmp_path / "b.tfrecord").ok


def test_a_shard_set_is_verified_wherever_its_folder_was_moved(output):
    moved = output.parent.rename(output.parent.with_name("moved"))
    assert rb.verify(moved).ok
    assert rb.verify(moved / output.name).ok


def test_the_source_need_not_be_there_any_more(output):
    for name in ("source.rec", "source.idx"):
        (output.parent.parent / name).unlink()
    assert rb.verify(output).ok


# ---- the index of a .rec ----


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:-1],
        lambda lines: [*lines, "9\t0\n"],
        lambda lines: [line.replace("\t", " ") for line in lines],
        lambda lines: [lines[0], lines[1].split("\t")[0] + "\t18446744073709551615\n", *lines[2:]],
        lambda lines: [lines[0], lines[1].split("\t")[0] + "\t6\n", *lines[2:]],
        lambda lines: [lines[0], lines[1].split("\t")[0] + "\t4\n", *lines[2:]],
        lambda lines: ["x"],
        lambda lines: [],
    ],
    ids=["one missing", "one too many", "spaces", "2**64-1", "unaligned", "no head", "garbage", "empty"],
)
@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_bad_index_beside_a_good_rec_is_a_problem_that_names_it(tmp_path, change, with_manifest):
    if with_manifest:
        image_rec(tmp_path / "source.rec", 4)
        rb.convert(tmp_path / "source.rec", tmp_path / "a.rec")
    else:
        image_rec(tmp_path / "a.rec", 4)
    assert rb.verify(tmp_path / "a.rec").ok
    index = tmp_path / "a.idx"
    index.write_text("".join(change(index.read_text().splitlines(keepends=True))))
    report = rb.verify(tmp_path / "a.rec")
    assert not report.ok
    assert any(problem.path == str(index) or "a.idx" in str(problem) for problem in report.problems)
    assert report.num_rows == 4


def test_a_missing_index_of_a_converted_rec_is_a_problem(tmp_path):
    image_rec(tmp_path / "source.rec", 4)
    rb.convert(tmp_path / "source.rec", tmp_path / "a.rec")
    (tmp_path / "a.idx").unlink()
    report = rb.verify(tmp_path / "a.rec")
    assert not report.ok
    assert any("a.idx" in str(problem) for problem in report.problems)


def test_an_index_whose_keys_were_changed_is_a_problem_where_there_is_a_manifest(tmp_path):
    image_rec(tmp_path / "source.rec", 4)
    rb.convert(tmp_path / "source.rec", tmp_path / "a.rec")
    index = tmp_path / "a.idx"
    index.write_text(index.read_text().replace("2\t", "7\t", 1))
    report = rb.verify(tmp_path / "a.rec")
    assert not report.ok
    assert any("a.idx" in str(problem) for problem in report.problems)


# ---- the index of a TFRecord ----


@pytest.mark.parametrize("with_manifest", [True, False])
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: lines[:-1], 4),
        (lambda lines: [*lines, lines[-1]], 5),
        (lambda lines: [], 1),
        (lambda lines: [*lines[:2], lines[3], lines[2]], 3),
        (lambda lines: [lines[0], lines[1].replace(" ", " 1"), *lines[2:]], 2),
        (lambda lines: ["garbage"], 1),
    ],
    ids=["one missing", "one too many", "empty", "swapped", "another size", "garbage"],
)
def test_an_index_that_does_not_fit_its_tfrecord_is_a_problem(tmp_path, change, line, with_manifest):
    image_rec(tmp_path / "source.rec", 4)
    rb.convert(tmp_path / "source.rec", tmp_path / "a.tfrecord")
    if not with_manifest:
        (tmp_path / "a.tfrecord.manifest.json").unlink()
    rb.index(tmp_path / "a.tfrecord")
    assert rb.verify(tmp_path / "a.tfrecord").ok
    index = tmp_path / "a.tfindex"
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(change(lines)))
    (problem,) = rb.verify(tmp_path / "a.tfrecord").problems
    assert f"a.tfindex: line {line}: found" in str(problem)
    assert "index --overwrite" in str(problem)


@pytest.mark.parametrize("change", [lambda text: text.replace("\n", "\r\n"), lambda text: text[:-1]])
def test_an_index_of_a_tfrecord_may_end_its_lines_as_it_likes(tmp_path, change):
    write_tfrecord(tmp_path / "a.tfrecord", [make_example({"x": [n]}) for n in range(3)])
    rb.index(tmp_path / "a.tfrecord")
    text = (tmp_path / "a.tfindex").read_text()
    (tmp_path / "a.tfindex").write_bytes(change(text).encode())
    assert rb.verify(tmp_path / "a.tfrecord").ok


# ---- files without a manifest ----


@pytest.mark.parametrize(
    "name", ["a_scalar", "b_vector", "c_magic_header", "e_images", "g_insightface", "h_det", "r_photos"]
)
def test_files_of_mxnet_are_ok_by_themselves(name):
    report = rb.verify(GOLDEN / f"{name}.rec")
    assert report.ok
    assert report.num_rows == json.loads((GOLDEN / f"{name}.json").read_text())["n_records"]


def test_a_flipped_bit_of_a_plain_tfrecord_is_reported_with_path_record_and_offset(tmp_path):
    frames = [frame_tfrecord(make_example({"n": [n]})) for n in range(5)]
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(frames))
    start = len(b"".join(frames[:3]))
    for at in range(len(frames[3])):
        flip(path, start + at)
        report = rb.verify(path)
        assert not report.ok
        (problem,) = report.problems
        assert (problem.path, problem.record) == (str(path), 3)
        assert start <= problem.offset < start + len(frames[3])
        assert "a.tfrecord" in str(problem)
        flip(path, start + at)
    assert rb.verify(path).ok


def test_a_cut_tfrecord_is_reported_where_tensorflow_says_nothing(tmp_path):
    frames = [frame_tfrecord(make_example({"n": [n]})) for n in range(3)]
    for left in range(1, 12):
        path = tmp_path / "a.tfrecord"
        path.write_bytes(frames[0] + frames[1] + frames[2][:left])
        report = rb.verify(path)
        assert not report.ok
        assert report.problems[0].record == 2


def test_a_damaged_rec_is_reported_with_path_record_and_offset(tmp_path):
    path = image_rec(tmp_path / "a.rec", 5)
    (tmp_path / "a.idx").unlink()
    data = path.read_bytes()
    second = data.index(bytes.fromhex("0a23d7ce"), 4)
    flip(path, second)
    report = rb.verify(path)
    assert not report.ok
    (problem,) = report.problems
    assert (problem.path, problem.record, problem.offset) == (str(path), 1, second)


def test_a_row_that_does_not_fit_the_sidecar_is_reported_with_record_and_offset(tmp_path):
    path = tmp_path / "a.tfrecord"
    rb.write(path, {"x": [[1, 2], [3, 4]]})
    frames = [frame_tfrecord(make_example({"x": values})) for values in ([1, 2], [3])]
    path.write_bytes(b"".join(frames))
    believe_by_name(path)
    (problem,) = rb.verify(path).problems
    assert (problem.path, problem.record, problem.offset) == (str(path), 1, len(frames[0]))


def legal_negatives() -> set[str]:
    return {"n_nonzero_pad.rec", "n_trunc_between.rec"}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("n_*.rec")), ids=lambda path: path.stem)
def test_the_damaged_files_are_found_and_the_legal_ones_are_not(tmp_path, path):
    report = rb.verify(copy_golden(tmp_path, path.name))
    assert report.ok == (path.name in legal_negatives())


def test_a_file_written_by_write_is_ok_and_damage_to_it_is_found(tmp_path):
    for name in ("a.rec", "a.tfrecord", "b.tfrecord.gz"):
        rb.write(tmp_path / name, {"id": [1, 2, 3], "image": [b"x", b"yy", b"zzz"]})
        assert rb.verify(tmp_path / name).ok
        assert rb.verify(tmp_path / name).num_rows == 3
        os.truncate(tmp_path / name, (tmp_path / name).stat().st_size - 1)
        assert not rb.verify(tmp_path / name).ok


def test_records_that_are_no_examples_are_framed_well_and_ok(tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [b"no example", b"none either"])
    report = rb.verify(path)
    assert report.ok
    assert report.num_rows == 2


def test_a_folder_of_several_outputs_and_lone_files_is_checked_whole(tmp_path):
    image_rec(tmp_path / "source.rec", 4)
    rb.convert(tmp_path / "source.rec", tmp_path / "a.tfrecord", shards=2)
    rb.convert(tmp_path / "source.rec", tmp_path / "b.rec")
    report = rb.verify(tmp_path)
    assert report.ok
    assert report.num_rows == 12
    flip(tmp_path / "source.rec", 0)
    flip(tmp_path / "a-00001-of-00002.tfrecord", 20)
    assert problem_paths(rb.verify(tmp_path)) == {
        str(tmp_path / "source.rec"),
        str(tmp_path / "a-00001-of-00002.tfrecord"),
    }


def test_the_files_that_were_looked_at_are_listed(output):
    assert sorted(rb.verify(output).files) == [str(shard(output, number)) for number in range(3)]


def test_what_is_not_there_is_file_not_found(tmp_path):
    for path in (tmp_path / "a.rec", tmp_path / "sub" / "a.rec"):
        with pytest.raises(FileNotFoundError, match=r"a\.rec"):
            rb.verify(path)


def test_an_empty_folder_is_nothing_to_verify(tmp_path):
    with pytest.raises(FileNotFoundError):
        rb.verify(tmp_path)


def test_a_file_of_no_known_format_is_not_ok(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"garbage, and more of it")
    try:
        report = rb.verify(tmp_path / "a.bin")
    except rb.UnknownFormatError:
        return
    assert not report.ok


def test_a_report_reads_as_sentences(output):
    flip(shard(output, 1), 30)
    for problem in rb.verify(output).problems:
        assert str(shard(output, 1)) in str(problem)
        assert len(str(problem).split()) > 4
