"""What a source argument means: path, list, glob, folder, base name of a shard set."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Field, FormatError, Schema, SchemaError, UnknownFormatError, sources
from recordio_bridge.sources import expand
from tests.cli.running import run
from tests.samples import frame_rec, frame_tfrecord, image_rec, make_example, write_rec, write_tfrecord


def ids(source: object, **options: object) -> list[int]:
    return [int(n) for batch in rb.read(source, **options) for n in batch["id"]]


@pytest.fixture
def three_files(tmp_path: Path) -> Path:
    """a.rec, b.rec and c.rec with the ids 0 to 2, 3 to 7, and 8."""
    image_rec(tmp_path / "a.rec", 3)
    image_rec(tmp_path / "b.rec", 5, first_id=3)
    image_rec(tmp_path / "c.rec", 1, first_id=8)
    return tmp_path


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_text_or_a_path(three_files, kind):
    assert ids(kind(three_files / "b.rec")) == [3, 4, 5, 6, 7]


def test_a_list_is_read_in_its_own_order(three_files):
    assert ids([three_files / "c.rec", str(three_files / "a.rec")]) == [8, 0, 1, 2]


def test_a_file_may_be_named_twice(three_files):
    assert ids([three_files / "c.rec", three_files / "c.rec"]) == [8, 8]


def test_a_glob_is_read_in_the_order_of_names(three_files):
    assert ids(three_files / "*.rec") == list(range(9))
    assert ids(three_files / "[ab].rec") == list(range(8))


def test_a_glob_may_stand_in_a_list(three_files):
    assert ids([three_files / "c.rec", three_files / "[ab].rec"]) == [8, *range(8)]


def test_a_glob_goes_into_folders_with_two_stars(three_files):
    (three_files / "sub").mkdir()
    image_rec(three_files / "sub" / "d.rec", 1, first_id=9)
    assert ids(three_files / "**" / "d.rec") == [9]


def test_a_glob_that_fits_sidecars_too_takes_only_the_data(three_files):
    rb.convert(three_files / "a.rec", three_files / "out.tfrecord", shards=2)
    assert len(expand(three_files / "out*")) == 2
    assert rb.inspect(three_files / "out*").num_rows == 3


def test_a_file_whose_name_has_brackets_is_that_file(tmp_path):
    image_rec(tmp_path / "a[1].rec", 2)
    assert ids(tmp_path / "a[1].rec") == [0, 1]


def test_a_folder_stands_for_its_data_files_and_not_for_what_lies_beside_them(three_files):
    (three_files / "train.lst").write_text("0\t0.0\ta.jpg\n")
    (three_files / "property").write_text("10,112,112\n")
    (three_files / "README.md").write_text("read me")
    (three_files / ".hidden.rec").write_bytes(b"not read")
    assert ids(three_files) == list(range(9))


def test_a_folder_that_was_converted_to_is_read_without_its_sidecars(three_files):
    (three_files / "out").mkdir()
    rb.convert(three_files / "*.rec", three_files / "out" / "set.tfrecord", shards=3)
    assert ids(three_files / "out") == list(range(9))


def test_a_folder_and_a_list_of_its_files_give_the_same(three_files):
    assert ids(three_files) == ids([three_files / name for name in ("a.rec", "b.rec", "c.rec")])


def test_batches_run_through_the_borders_of_files(three_files):
    batches = list(rb.read(three_files, batch_rows=4))
    assert [len(batch) for batch in batches] == [4, 4, 1]
    assert [int(n) for batch in batches for n in batch["id"]] == list(range(9))


def test_inspect_counts_through_all_files(three_files):
    summary = rb.inspect(three_files)
    assert summary.num_rows == 9
    assert summary.nbytes == sum((three_files / name).stat().st_size for name in ("a.rec", "b.rec", "c.rec"))


def test_open_numbers_rows_through_all_files(three_files):
    with rb.open(three_files) as file:
        assert len(file) == 9
        assert file[3]["id"] == 3
        assert file[-1]["id"] == 8
        assert file.take([8, 0, 4, 0])["id"].tolist() == [8, 0, 4, 0]
        assert file[2:5]["id"].tolist() == [2, 3, 4]


# ---- shard sets ----


@pytest.fixture
def shard_set(tmp_path: Path) -> Path:
    """The base name of a set of four shards with the ids 0 to 9."""
    image_rec(tmp_path / "source.rec", 10)
    (tmp_path / "out").mkdir()
    rb.convert(tmp_path / "source.rec", tmp_path / "out" / "train.tfrecord", shards=4)
    return tmp_path / "out" / "train.tfrecord"


def test_the_base_name_stands_for_the_shards_in_their_order(shard_set):
    assert not shard_set.exists()
    assert ids(shard_set) == list(range(10))
    assert rb.inspect(shard_set).num_rows == 10


def test_the_base_name_works_without_a_folder_before_it(shard_set, monkeypatch):
    monkeypatch.chdir(shard_set.parent)
    assert ids("train.tfrecord") == list(range(10))


def test_a_file_of_the_base_name_itself_wins_over_shards(shard_set):
    write_tfrecord(shard_set, [make_example({"id": [77]})])
    assert ids(shard_set) == [77]


def test_a_missing_shard_is_an_error_that_names_it(shard_set):
    missing = shard_set.with_name("train-00002-of-00004.tfrecord")
    missing.unlink()
    with pytest.raises(FormatError, match=r"train-00002-of-00004\.tfrecord") as caught:
        rb.inspect(shard_set)
    assert caught.value.path == str(missing)


def test_the_last_shard_missing_is_an_error_too(shard_set):
    shard_set.with_name("train-00003-of-00004.tfrecord").unlink()
    with pytest.raises(FormatError, match=r"train-00003-of-00004\.tfrecord"):
        ids(shard_set)


def test_shards_of_two_sets_under_one_name_are_an_error(shard_set):
    shutil.copyfile(
        shard_set.with_name("train-00000-of-00004.tfrecord"), shard_set.with_name("train-00000-of-00001.tfrecord")
    )
    with pytest.raises(FormatError, match="several") as caught:
        rb.inspect(shard_set)
    assert caught.value.path == str(shard_set)


def test_a_single_shard_is_read_alone(shard_set):
    assert ids(shard_set.with_name("train-00001-of-00004.tfrecord")) == [2, 3, 4]


def test_a_glob_over_shards_reads_them_in_order(shard_set):
    assert ids(shard_set.with_name("train-*-of-00004.tfrecord")) == list(range(10))


# ---- what is not there, and what does not fit ----


def test_what_is_not_there_is_file_not_found(tmp_path):
    for source in (tmp_path / "a.rec", tmp_path / "*.rec", tmp_path, tmp_path / "missing" / "a.rec"):
        for function in (rb.inspect, rb.open, lambda path: next(rb.read(path))):
            with pytest.raises(FileNotFoundError):
                function(source)


def test_a_missing_file_in_a_list_is_file_not_found(three_files):
    with pytest.raises(FileNotFoundError, match="zzz"):
        rb.inspect([three_files / "a.rec", three_files / "zzz.rec"])


def test_an_empty_list_is_an_error_that_says_so(tmp_path):
    with pytest.raises((ValueError, FileNotFoundError)):
        rb.inspect([])


def test_files_of_two_formats_are_refused_with_their_names(three_files):
    write_tfrecord(three_files / "d.tfrecord", [make_example({"id": [1]})])
    with pytest.raises(FormatError, match=r"rec.*tfrecord"):
        rb.inspect(three_files)


def test_files_whose_fields_differ_are_refused_with_the_field_and_both_files(tmp_path):
    rb.write(tmp_path / "a.tfrecord", {"x": [1, 2]})
    rb.write(tmp_path / "b.tfrecord", {"x": [1, 2], "y": [3, 4]})
    with pytest.raises(SchemaError, match=r"'y'.*a\.tfrecord.*b\.tfrecord") as caught:
        rb.inspect([tmp_path / "a.tfrecord", tmp_path / "b.tfrecord"])
    assert caught.value.field == "y"


def test_files_whose_dtypes_differ_are_refused(tmp_path):
    rb.write(tmp_path / "a.tfrecord", {"x": np.array([1], np.int32)})
    rb.write(tmp_path / "b.tfrecord", {"x": np.array([1], np.int64)})
    with pytest.raises(SchemaError, match="int32"):
        list(rb.read([tmp_path / "a.tfrecord", tmp_path / "b.tfrecord"]))


def test_inferred_fields_that_only_some_files_have_read_as_empty_rows(tmp_path):
    write_tfrecord(tmp_path / "a.tfrecord", [make_example({"x": [1]})])
    write_tfrecord(tmp_path / "b.tfrecord", [make_example({"x": [2], "y": [3]})])
    (batch,) = rb.read(tmp_path)
    assert [row.tolist() for row in batch["y"]] == [[], [3]]


def test_inferred_fields_of_different_lengths_become_variable(tmp_path):
    write_tfrecord(tmp_path / "a.tfrecord", [make_example({"x": [1]})])
    write_tfrecord(tmp_path / "b.tfrecord", [make_example({"x": [2, 3]})])
    assert rb.inspect(tmp_path).schema == Schema(Field("x", "int64", (None,)))
    (batch,) = rb.read(tmp_path)
    assert [row.tolist() for row in batch["x"]] == [[1], [2, 3]]


# ---- the format of a source ----


def test_content_decides_and_not_the_suffix(tmp_path):
    image_rec(tmp_path / "a.tfrecord", 2)
    write_tfrecord(tmp_path / "b.rec", [make_example({"id": [5]})])
    assert rb.inspect(tmp_path / "a.tfrecord").format == "recordio"
    assert rb.inspect(tmp_path / "b.rec").format == "tfrecord"


def test_content_decides_without_any_suffix(tmp_path):
    image_rec(tmp_path / "part-0", 2)
    assert ids(tmp_path / "part-0") == [0, 1]


def test_content_decides_inside_gzip_whatever_the_name(tmp_path):
    (tmp_path / "data").write_bytes(gzip.compress(frame_tfrecord(make_example({"id": [5]}))))
    assert rb.inspect(tmp_path / "data").format == "tfrecord"
    assert ids(tmp_path / "data") == [5]


@pytest.mark.parametrize(("name", "expected"), [("a.rec", "recordio"), ("a.tfrecord", "tfrecord")])
def test_the_suffix_decides_for_an_empty_file(tmp_path, name, expected):
    (tmp_path / name).write_bytes(b"")
    summary = rb.inspect(tmp_path / name)
    assert (summary.format, summary.num_rows) == (expected, 0)
    assert list(rb.read(tmp_path / name)) == []


def test_an_empty_file_without_a_known_suffix_is_of_no_format(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(UnknownFormatError, match=r"a\.bin.*empty"):
        rb.inspect(tmp_path / "a.bin")


def test_garbage_without_a_known_suffix_is_of_no_format_and_the_message_says_what_is_known(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"garbage and more garbage")
    with pytest.raises(UnknownFormatError, match=r"a\.bin.*\.rec"):
        rb.inspect(tmp_path / "a.bin")


def test_the_format_may_be_named_by_its_long_or_short_name(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"")
    assert rb.inspect(tmp_path / "a.bin", format="recordio").format == "recordio"
    assert rb.inspect(tmp_path / "a.bin", format="rec").format == "recordio"
    with pytest.raises(UnknownFormatError, match="zip"):
        rb.inspect(tmp_path / "a.bin", format="zip")


def test_an_option_that_the_format_does_not_have_is_refused_with_those_it_has(three_files):
    with pytest.raises((ValueError, TypeError), match=r"paylod.*payload"):
        rb.inspect(three_files / "a.rec", paylod="raw")


def test_a_value_that_an_option_does_not_know_is_refused_with_those_it_knows(three_files):
    with pytest.raises(ValueError, match=r"zip.*raw"):
        rb.inspect(three_files / "a.rec", payload="zip")


def test_on_bad_record_knows_raise_and_skip_only(three_files):
    with pytest.raises(ValueError, match="ignore"):
        next(rb.read(three_files, on_bad_record="ignore"))


@pytest.mark.parametrize("batch_rows", [0, -1])
def test_batch_rows_below_one_is_refused(three_files, batch_rows):
    with pytest.raises(ValueError, match="batch_rows"):
        next(rb.read(three_files, batch_rows=batch_rows))


def test_an_empty_file_among_others_adds_no_rows(three_files):
    (three_files / "b.rec").write_bytes(b"")
    (three_files / "b.idx").unlink()
    assert ids(three_files) == [0, 1, 2, 8]
    assert len(rb.open(three_files)) == 4


def test_what_batches_hold_is_read_only_also_below_the_surface(three_files):
    for batch in rb.read(three_files, batch_rows=2):
        column = batch["image"]
        assert not batch["id"].flags.writeable
        assert not any(array.flags.writeable for array in (column.values, column.starts, column.lengths))


def test_all_batches_may_be_kept_and_looked_at_later(tmp_path):
    payloads = [os.urandom(50_000) for _ in range(200)]
    write_rec(tmp_path / "a.rec", payloads)
    batches = list(rb.read(tmp_path / "a.rec", batch_rows=7, payload="raw"))
    assert [payload for batch in batches for payload in batch["record"]] == payloads


def test_indexes_beside_data_files_are_not_opened_to_see_what_they_are(tmp_path, monkeypatch):
    for name in ("a.rec", "a.idx", "a.lst", "a.rec.schema.json"):
        (tmp_path / name).touch()
    opened: list[str] = []
    monkeypatch.setattr(sources, "format_of_source", opened.append)
    assert sources.expand(tmp_path) == [str(tmp_path / "a.rec")]
    assert opened == []


# ---- what a folder does not stand for ----


@pytest.fixture
def nested(three_files: Path) -> Path:
    """Three files, and a folder with one more; beside a hidden one."""
    for name in ("val", ".hidden"):
        (three_files / name).mkdir()
        image_rec(three_files / name / "d.rec", 2, first_id=9)
    return three_files


def test_folders_that_are_not_taken_with_a_folder_are_told(nested, caplog):
    expected = f"{nested}: 1 folder is not taken: val; migrate takes folders with all that is in them"
    for look in (rb.inspect, rb.open, ids, lambda source: rb.convert(source, nested / "val/x.npz")):
        caplog.clear()
        look(nested)
        assert [(each.levelname, each.getMessage()) for each in caplog.records] == [("WARNING", expected)]
    assert rb.verify(nested).warnings == [expected]


def test_folders_that_fit_a_pattern_are_told_unless_it_goes_through_them(nested, caplog):
    rb.inspect(nested / "*")
    expected = f"{nested}/*: 1 folder is not taken: {nested}/val; migrate takes folders with all that is in them"
    assert [each.getMessage() for each in caplog.records] == [expected]
    caplog.clear()
    assert rb.inspect(nested / "**").num_rows == rb.inspect(nested / "*.rec").num_rows + 2
    assert caplog.records == []


def test_of_many_folders_the_first_are_named(three_files, caplog):
    for number in range(1200):
        (three_files / f"f{number:04d}").mkdir()
    rb.inspect(three_files)
    assert "1,200 folders are not taken: f0000, f0001, f0002, f0003, f0004, and 1,195 more;" in caplog.text


def test_the_command_line_tells_of_folders_in_any_case(nested, capsys):
    assert run(capsys, "info", nested).stderr.count("1 folder is not taken: val") == 1
    assert run(capsys, "convert", nested, nested / "val/x.npz", "-q").stderr.count("not taken: val") == 1
    assert run(capsys, "verify", nested, "-q").stderr.count("not taken: val") == 1


@pytest.mark.parametrize("name", ["", "*.rec", "*"])
def test_a_link_that_leads_nowhere_is_an_error_of_a_folder_and_a_glob(three_files, name):
    (three_files / "b-more.rec").symlink_to("nowhere.rec")
    (three_files / ".hidden.rec").symlink_to("nowhere.rec")
    (three_files / "notes.txt").symlink_to("nowhere.txt")
    for look in (rb.inspect, rb.open, ids, lambda source: rb.convert(source, three_files / "x.npz")):
        with pytest.raises(FormatError, match=r"/b-more\.rec: is a link that leads nowhere; mend it, or remove it"):
            look(three_files / name)
    report = rb.verify(three_files / name)
    assert [problem.path for problem in report.problems] == [str(three_files / "b-more.rec")]
    assert report.num_rows == 9


def test_the_folders_of_a_mirror_are_verified_and_not_told(nested, tmp_path):
    outcome = rb.migrate.run(nested, tmp_path / "out", to="npz", mirror=True)
    assert outcome.num_rows == 11
    assert rb.verify(tmp_path / "out").warnings == []


@pytest.mark.parametrize("pattern", ["**/*.rec", "*/*.rec"])
def test_a_folder_that_a_pattern_cannot_look_into_is_an_error(three_files, monkeypatch, pattern):
    (three_files / "closed").mkdir()
    shutil.copy(three_files / "a.rec", three_files / "closed/d.rec")
    (three_files / "open").mkdir()
    shutil.copy(three_files / "a.rec", three_files / "open/e.rec")
    scandir = os.scandir

    def refused(path):
        if str(path).rstrip("/").endswith("closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    for do in (rb.inspect, lambda source: rb.migrate.run(source, three_files / "out", to="tfrecord")):
        with pytest.raises(PermissionError, match="closed"):
            do(three_files / pattern)


def saved(save, values):
    """The bytes of a file of numpy's."""
    file = io.BytesIO()
    save(file, np.frombuffer(values, np.uint8))
    return file.getvalue()


HOLDERS = {
    ".rec": lambda before, inner: frame_rec(before) + frame_rec(inner),
    ".tfrecord": lambda before, inner: frame_tfrecord(before) + frame_tfrecord(inner),
    ".npy": lambda before, inner: saved(np.save, before + inner),
    ".npz": lambda before, inner: saved(np.savez, before + inner),
}


@pytest.mark.parametrize("at", [512, 1024, 2048])
@pytest.mark.parametrize("suffix", HOLDERS)
def test_hdf5_within_another_file_is_a_part_of_its_values(tmp_path, suffix, at):
    """HDF5 may begin behind a block of the user's own: just there, a record can hold it, or an array."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["v"] = np.arange(3)
    inner, path = (tmp_path / "x.h5").read_bytes(), tmp_path / f"y{suffix}"
    made = (HOLDERS[suffix](b"x" * size, inner) for size in range(at))
    path.write_bytes(next(data for data in made if data.index(inner) == at))
    found = rb.inspect(path, **({"payload": "raw"} if suffix in (".rec", ".tfrecord") else {}))
    assert found.format == {".rec": "recordio"}.get(suffix, suffix[1:])
