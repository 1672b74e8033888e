"""recordio-bridge index"""

from __future__ import annotations

import gzip
import os

import pytest

from tests.cli.running import run
from tests.samples import (
    GOLDEN,
    contents,
    copy_golden,
    frame_tfrecord,
    image_payload,
    image_rec,
    make_example,
    write_rec,
    write_tfrecord,
)


@pytest.mark.parametrize("name", ["e_images", "g_insightface", "h_det", "h_im2rec", "r_photos"])
def test_the_index_of_a_rec_is_rebuilt_as_mxnet_wrote_it(capsys, tmp_path, name):
    path = copy_golden(tmp_path, f"{name}.rec")
    outcome = run(capsys, "index", path)
    assert outcome.code == 0
    assert str(tmp_path / f"{name}.idx") in outcome.stdout
    assert (tmp_path / f"{name}.idx").read_bytes() == (GOLDEN / f"{name}.idx").read_bytes()


def test_the_offsets_of_multipart_records_are_those_of_their_first_parts(capsys, tmp_path):
    path = copy_golden(tmp_path, "c_magic_indexed.rec")
    assert run(capsys, "index", path, "--in", "payload=raw").code == 0
    offsets = [line.split("\t")[1] for line in (GOLDEN / "c_magic_indexed.idx").read_text().splitlines()]
    rebuilt = [line.split("\t") for line in (tmp_path / "c_magic_indexed.idx").read_text().splitlines()]
    assert rebuilt == [[str(n), offset] for n, offset in enumerate(offsets)]


def test_keys_are_the_ids_of_the_headers_where_these_are_unique(capsys, tmp_path):
    path = write_rec(tmp_path / "a.rec", [image_payload(n) for n in (30, 10, 2**64 - 1)])
    assert run(capsys, "index", path).code == 0
    length = len(path.read_bytes()) // 3
    assert (tmp_path / "a.idx").read_text() == f"30\t0\n10\t{length}\n18446744073709551615\t{2 * length}\n"


def test_keys_count_where_ids_repeat(capsys, tmp_path):
    path = write_rec(tmp_path / "a.rec", [image_payload(n) for n in (7, 7, 5)])
    assert run(capsys, "index", path).code == 0
    assert [line.split("\t")[0] for line in (tmp_path / "a.idx").read_text().splitlines()] == ["0", "1", "2"]


def test_an_index_that_is_there_is_replaced_only_when_asked(capsys, tmp_path):
    path = image_rec(tmp_path / "a.rec", 3)
    good = (tmp_path / "a.idx").read_bytes()
    (tmp_path / "a.idx").write_text("0\t0\n1\t18446744073709551615\n2\t18446744073709551615\n")
    outcome = run(capsys, "index", path)
    assert outcome.code == 1
    assert "--overwrite" in outcome.stderr
    assert run(capsys, "index", path, "--overwrite").code == 0
    assert (tmp_path / "a.idx").read_bytes() == good


def test_a_damaged_rec_gets_no_index(capsys, tmp_path):
    path = copy_golden(tmp_path, "n_trunc_multipart.rec")
    before = contents(tmp_path)
    outcome = run(capsys, "index", path, "--in", "payload=raw")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "n_trunc_multipart.rec" in outcome.stderr
    assert contents(tmp_path) == before


def test_an_empty_rec_has_an_empty_index(capsys, tmp_path):
    path = copy_golden(tmp_path, "d_zero_records.rec")
    assert run(capsys, "index", path).code == 0
    assert (tmp_path / "d_zero_records.idx").read_bytes() == b""


def test_the_index_of_a_tfrecord_has_offset_and_size_of_every_record(capsys, tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [b"", b"abc", make_example({"x": [1]}), b"x" * 300])
    outcome = run(capsys, "index", path, "-o", tmp_path / "a.index", "--in", "payload=raw")
    assert outcome.code == 0
    size = len(make_example({"x": [1]})) + 16
    assert (tmp_path / "a.index").read_text() == f"0 16\n16 19\n35 {size}\n{35 + size} 316\n"


def test_the_index_of_a_tfrecord_lies_beside_it_as_tfindex(capsys, tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"x": [1]})] * 2)
    assert run(capsys, "index", path).code == 0
    (index,) = tmp_path.glob("a*.tfindex")
    size = path.stat().st_size // 2
    assert index.read_text() == f"0 {size}\n{size} {size}\n"


def test_records_that_are_no_examples_are_indexed_without_being_told(capsys, tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [b"no example", b"none either"])
    assert run(capsys, "index", path, "-o", tmp_path / "a.index").code == 0
    assert (tmp_path / "a.index").read_text() == "0 26\n26 27\n"


def test_a_cut_tfrecord_gets_no_index_with_a_short_last_line(capsys, tmp_path):
    path = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"x": [1]})] * 3)
    whole = path.read_bytes()
    for cut in (1, 5, 20, 25):
        path.write_bytes(whole[:-cut])
        before = contents(tmp_path)
        outcome = run(capsys, "index", path)
        assert (outcome.code, outcome.stdout) == (1, "")
        assert "a.tfrecord" in outcome.stderr
        assert contents(tmp_path) == before


def test_a_compressed_tfrecord_has_no_index_and_the_message_says_why(capsys, tmp_path):
    path = tmp_path / "a.tfrecord.gz"
    path.write_bytes(gzip.compress(frame_tfrecord(make_example({"x": [1]}))))
    outcome = run(capsys, "index", path)
    assert outcome.code in (1, 2)
    assert "compress" in outcome.stderr.lower() or "gzip" in outcome.stderr.lower()
    assert os.listdir(tmp_path) == ["a.tfrecord.gz"]


def test_every_file_of_several_gets_its_own_index(capsys, tmp_path):
    image_rec(tmp_path / "a.rec", 3)
    image_rec(tmp_path / "b.rec", 2, first_id=3)
    expected = {name: (tmp_path / name).read_bytes() for name in ("a.idx", "b.idx")}
    for name in expected:
        (tmp_path / name).unlink()
    assert run(capsys, "index", tmp_path).code == 0
    assert {name: (tmp_path / name).read_bytes() for name in expected} == expected


def test_one_name_for_the_indexes_of_several_files_is_refused(capsys, tmp_path):
    image_rec(tmp_path / "a.rec", 3)
    image_rec(tmp_path / "b.rec", 2)
    outcome = run(capsys, "index", tmp_path, "-o", tmp_path / "all.idx")
    assert outcome.code in (1, 2)
    assert not (tmp_path / "all.idx").exists()


def test_json_is_one_document_a_line(capsys, tmp_path):
    path = copy_golden(tmp_path, "r_photos.rec")
    outcome = run(capsys, "index", path, "--json")
    assert outcome.code == 0
    (line,) = outcome.json_lines
    assert line["num_rows"] == 11


def test_skip_indexes_the_good_records(capsys, tmp_path):
    path = image_rec(tmp_path / "a.rec", 3)
    lines = (tmp_path / "a.idx").read_text().splitlines(keepends=True)
    (tmp_path / "a.idx").unlink()
    data = bytearray(path.read_bytes())
    data[int(lines[1].split("\t")[1])] ^= 1
    path.write_bytes(data)
    outcome = run(capsys, "index", path, "--on-bad-record", "skip")
    assert outcome.code == 0
    assert "a.rec" in outcome.stderr
    assert (tmp_path / "a.idx").read_text() == lines[0] + lines[2]


# ---- keys that only the index has ----


@pytest.mark.parametrize(
    "text", ["cat.jpg\t0\ndog.jpg\t{0}\n\t{1}\n", "7\t{1}\n8\t0\n9\t{0}\n", "x\t0\r\ny\t{0}\r\nz\t{1}"]
)
def test_an_index_that_fits_the_rec_keeps_every_byte(capsys, tmp_path, text):
    path = image_rec(tmp_path / "a.rec", 3)
    first, second = (line.split("\t")[1] for line in (tmp_path / "a.idx").read_text().splitlines()[1:])
    kept = text.format(first, second).encode()
    (tmp_path / "a.idx").write_bytes(kept)
    outcome = run(capsys, "index", path, "--overwrite")
    assert outcome.code == 0
    assert "3 rows" in outcome.stdout
    assert (tmp_path / "a.idx").read_bytes() == kept


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("cat.jpg\t0\ndog.jpg\t18446744073709551615\n", "cat.jpg"),
        ("0\t0\n1\t18446744073709551615\ndog.jpg\t18446744073709551615\n", "dog.jpg"),
        ("0\t0\n1\t{0}\n2\t{1}\n3\t4000\n", "'3'"),
        ("2\t0\n1\t{0}\n", "'2'"),
    ],
    ids=["a text", "a text behind", "a record that is gone", "another record's"],
)
def test_an_index_whose_keys_would_be_lost_is_left_and_the_message_says_how_to_go_on(capsys, tmp_path, text, key):
    path = image_rec(tmp_path / "a.rec", 3)
    fresh = (tmp_path / "a.idx").read_bytes()
    first, second = (line.split("\t")[1] for line in (tmp_path / "a.idx").read_text().splitlines()[1:])
    (tmp_path / "a.idx").write_text(text.format(first, second))
    before = contents(tmp_path)
    outcome = run(capsys, "index", path, "--overwrite")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "a.idx" in outcome.stderr
    assert key in outcome.stderr
    assert "-o" in outcome.stderr
    assert contents(tmp_path) == before
    assert run(capsys, "index", path, "-o", tmp_path / "new.idx").code == 0
    assert (tmp_path / "new.idx").read_bytes() == fresh


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0\t0\n1\t{0}\n",
        "2\t{1}\n0\t0\n",
        "0\t0\n0\t0\n1\t{0}\n2\t{1}\n",
        "0\t0\n1\t4\n2\t{1}\n",
        "1\t{0}\n",
        "0 0\n1 {0}\n",
        "junk",
    ],
)
def test_an_index_whose_keys_are_those_of_a_new_one_is_rebuilt(capsys, tmp_path, text):
    path = image_rec(tmp_path / "a.rec", 3)
    fresh = (tmp_path / "a.idx").read_bytes()
    first, second = (line.split("\t")[1] for line in (tmp_path / "a.idx").read_text().splitlines()[1:])
    (tmp_path / "a.idx").write_text(text.format(first, second))
    assert run(capsys, "index", path, "--overwrite").code == 0
    assert (tmp_path / "a.idx").read_bytes() == fresh
