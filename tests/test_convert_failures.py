"""convert is all or nothing: damage, corruption, changes under way, and what is there already."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import recordio_bridge as rb
from recordio_bridge import (
    BridgeError,
    ChecksumError,
    FormatError,
    LossyError,
    SourceChangedError,
    TruncatedError,
    VerificationError,
    files,
)
from tests.samples import (
    contents,
    fail_rename,
    frame_rec,
    frame_tfrecord,
    image_payload,
    image_rec,
    interrupt_link,
    make_example,
    read_examples,
    read_rec,
    write_rec,
    write_tfrecord,
)

Damage = Callable[[bytearray], object]
_finish = files.Output.finish


def damage_output(monkeypatch: pytest.MonkeyPatch, suffix: str, damage: Damage) -> None:
    """Change each output file whose final name ends so, between its last write and its verification."""

    def finish(self: files.Output) -> files.Pending:
        pending = _finish(self)
        if pending.final.endswith(suffix):
            data = bytearray(Path(pending.temporary).read_bytes())
            damage(data)
            Path(pending.temporary).write_bytes(data)
        return pending

    monkeypatch.setattr(files.Output, "finish", finish)


def flip(at: int, bit: int = 0) -> Damage:
    def damage(data: bytearray) -> None:
        data[at] ^= 1 << bit

    return damage


# ---- what was written is not what is read back ----


@pytest.mark.parametrize("target", ["b.rec", "b.tfrecord", "b.tfrecord.gz"])
@pytest.mark.parametrize("position", [0.0, 0.2, 0.5, 0.9])
def test_a_bit_that_flips_on_the_way_to_the_disk_is_found_and_nothing_is_left(tmp_path, monkeypatch, target, position):
    source = image_rec(tmp_path / "a.rec", 30)
    before = contents(tmp_path)

    def damage(data: bytearray) -> None:
        data[int(position * len(data))] ^= 16

    damage_output(monkeypatch, target, damage)
    with pytest.raises(VerificationError, match=target):
        rb.convert(source, tmp_path / target)
    assert contents(tmp_path) == before


def test_a_flip_of_any_bit_of_a_small_rec_is_found(tmp_path, monkeypatch):
    source = write_rec(tmp_path / "a.rec", [image_payload(1, 2.0, b"abcde"), image_payload(2, [3.0, 4.0], b"x")])
    before = contents(tmp_path)
    for at in range(source.stat().st_size):
        with monkeypatch.context() as patch:
            damage_output(patch, ".rec", flip(at, at % 8))
            with pytest.raises(VerificationError):
                rb.convert(source, tmp_path / "b.rec", select=["id=id", "label=label", "image=image"])
    assert contents(tmp_path) == before


def test_a_flip_of_any_bit_of_a_small_tfrecord_is_found(tmp_path, monkeypatch):
    source = write_rec(tmp_path / "a.rec", [image_payload(1, 2.0, b"abcde"), image_payload(2, [3.0, 4.0], b"x")])
    before = contents(tmp_path)
    rb.convert(source, tmp_path / "c.tfrecord")
    size = (tmp_path / "c.tfrecord").stat().st_size
    for name in ("c.tfrecord", "c.tfrecord.schema.json", "c.tfrecord.manifest.json"):
        (tmp_path / name).unlink()
    for at in range(size):
        with monkeypatch.context() as patch:
            damage_output(patch, ".tfrecord", flip(at, at % 8))
            with pytest.raises(VerificationError):
                rb.convert(source, tmp_path / "b.tfrecord")
    assert contents(tmp_path) == before


def test_a_flip_of_any_bit_of_the_index_is_found(tmp_path, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 3)
    before = contents(tmp_path)
    for at in range((tmp_path / "a.idx").stat().st_size):
        with monkeypatch.context() as patch:
            damage_output(patch, ".idx", flip(at))
            with pytest.raises(VerificationError):
                rb.convert(source, tmp_path / "b.rec")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("level", ["content", "counts"])
@pytest.mark.parametrize("target", ["b.rec", "b.tfrecord", "b.tfrecord.gz"])
def test_a_file_cut_on_the_way_to_the_disk_is_found(tmp_path, monkeypatch, target, level):
    source = image_rec(tmp_path / "a.rec", 30)
    before = contents(tmp_path)

    def cut(data: bytearray) -> None:
        del data[-7:]

    damage_output(monkeypatch, target, cut)
    with pytest.raises(VerificationError):
        rb.convert(source, tmp_path / target, verify=level)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("level", ["content", "counts"])
def test_a_record_lost_on_the_way_to_the_disk_is_found_by_counting(tmp_path, monkeypatch, level):
    source = write_rec(tmp_path / "a.rec", [image_payload(n) for n in range(4)])
    length = len(frame_rec(image_payload(0)))

    def lose_the_last(data: bytearray) -> None:
        del data[-length:]

    damage_output(monkeypatch, ".rec", lose_the_last)
    with pytest.raises(VerificationError):
        rb.convert(source, tmp_path / "b.rec", verify=level)


def test_records_in_another_order_are_found_by_their_content(tmp_path, monkeypatch):
    source = write_rec(tmp_path / "a.rec", [image_payload(7, float(n)) for n in range(4)])
    length = len(frame_rec(image_payload(0)))

    def swap_the_first_two(data: bytearray) -> None:
        data[: 2 * length] = data[length : 2 * length] + data[:length]

    damage_output(monkeypatch, ".rec", swap_the_first_two)
    with pytest.raises(VerificationError, match="row 0"):
        rb.convert(source, tmp_path / "b.rec", select=["id=id", "label=label", "image=image"])


def test_the_row_that_differs_is_named(tmp_path, monkeypatch):
    source = write_rec(tmp_path / "a.rec", [image_payload(n, float(n)) for n in range(9)])
    damage_output(monkeypatch, ".rec", flip(5 * len(frame_rec(image_payload(0))) + 8 + 26))
    with pytest.raises(VerificationError, match="row 5"):
        rb.convert(source, tmp_path / "b.rec", select=["id=id", "label=label", "image=image"])


def test_corruption_of_one_shard_leaves_none_of_them(tmp_path, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 30)
    before = contents(tmp_path)
    damage_output(monkeypatch, "00002-of-00004.tfrecord", flip(40))
    with pytest.raises(VerificationError, match="00002-of-00004"):
        rb.convert(source, tmp_path / "b.tfrecord", shards=4)
    assert contents(tmp_path) == before


def test_without_verification_corruption_is_found_only_by_verify(tmp_path, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 30)
    damage_output(monkeypatch, ".tfrecord", flip(40))
    manifest = rb.convert(source, tmp_path / "b.tfrecord", verify="none")
    assert manifest.verified == "none"
    assert not rb.verify(tmp_path / "b.tfrecord").ok


# ---- an error on the way ----


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("failure", [interrupt_link, fail_rename])
def test_a_failure_while_the_files_take_their_names_changes_nothing(tmp_path, monkeypatch, at, overwrite, failure):
    source = image_rec(tmp_path / "a.rec", 9)
    if overwrite:
        rb.convert(image_rec(tmp_path / "other.rec", 5), tmp_path / "b.rec", shards=2)
    before = contents(tmp_path)
    error, calls = failure(monkeypatch, at)
    with pytest.raises(error):
        rb.convert(source, tmp_path / "b.rec", shards=2, overwrite=overwrite)
    assert len(calls) > at  # 2 shards, 2 indexes and 2 sidecars take a name
    assert contents(tmp_path) == before


@pytest.mark.parametrize("row", [0, 17, 29])
@pytest.mark.parametrize("target", ["b.rec", "b.tfrecord", "b.tfrecord.gz"])
def test_an_error_at_any_row_leaves_no_file_and_no_temporary_file(tmp_path, target, row):
    source = write_rec(tmp_path / "a.rec", [image_payload(n, 0.5 if n == row else 1.0) for n in range(30)])
    before = contents(tmp_path)
    for shards in (None, 4):
        with pytest.raises(LossyError):
            rb.convert(source, tmp_path / target, shards=shards, select={"n:int64": "label[0]"})
    assert contents(tmp_path) == before


@pytest.mark.parametrize("moment", ["__init__", "write", "finish"])
@pytest.mark.parametrize("target", ["b.rec", "b.tfrecord", "b.tfrecord.gz"])
def test_an_interrupt_just_after_any_step_of_writing_leaves_nothing(tmp_path, monkeypatch, target, moment):
    source = image_rec(tmp_path / "a.rec", 30)
    before = contents(tmp_path)
    step = getattr(files.Output, moment)

    def interrupted(self: files.Output, *arguments: object) -> object:
        step(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(files.Output, moment, interrupted)
    for shards in (None, 3):
        with pytest.raises(KeyboardInterrupt):
            rb.convert(source, tmp_path / target, shards=shards)
    assert contents(tmp_path) == before


def damaged_rec(path: Path) -> tuple[Path, int, int]:
    """A .rec of 6 records whose record 2 has a wrong magic, and where that begins and ends."""
    frames = [frame_rec(image_payload(n, float(n), b"x" * n)) for n in range(6)]
    start = len(frames[0] + frames[1])
    frames[2] = b"????" + frames[2][4:]
    path.write_bytes(b"".join(frames))
    return path, start, start + len(frames[2])


def damaged_tfrecord(path: Path) -> tuple[Path, int, int]:
    """A TFRecord file of 6 records with a flipped bit in the payload of record 2, and where that begins and ends."""
    frames = [frame_tfrecord(make_example({"id": [n]})) for n in range(6)]
    start = len(frames[0] + frames[1])
    damaged = bytearray(frames[2])
    damaged[20] ^= 1
    frames[2] = bytes(damaged)
    path.write_bytes(b"".join(frames))
    return path, start, start + len(damaged)


def test_a_damaged_record_is_an_error_with_path_record_and_offset_and_nothing_is_written(tmp_path):
    for make, name, kind in ((damaged_rec, "a.rec", FormatError), (damaged_tfrecord, "a.tfrecord", ChecksumError)):
        source, start, stop = make(tmp_path / name)
        before = contents(tmp_path)
        for shards in (None, 3):
            with pytest.raises(kind, match=name) as caught:
                rb.convert(source, tmp_path / "b.tfrecord", shards=shards)
            assert (caught.value.path, caught.value.record) == (str(source), 2)
            assert caught.value.offset is not None
            assert start <= caught.value.offset < stop
        assert contents(tmp_path) == before


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("shards", [None, 2])
def test_skip_leaves_the_damaged_record_out_and_lists_its_bytes_once(tmp_path, shards, workers):
    for make, name in ((damaged_rec, "a.rec"), (damaged_tfrecord, "a.tfrecord")):
        source, start, stop = make(tmp_path / name)
        output = tmp_path / "b.tfrecord"
        manifest = rb.convert(source, output, shards=shards, workers=workers, on_bad_record="skip", overwrite=True)
        assert [(each.path, each.start, each.stop) for each in manifest.skipped] == [(str(source), start, stop)]
        assert manifest.skipped[0].reason
        ids = [example["id"][0] for path in manifest.paths for example in read_examples(Path(path))]
        assert ids == [0, 1, 3, 4, 5]
        assert manifest.num_rows == 5
        assert rb.verify(output).ok


def test_skip_and_shuffle_together_keep_every_good_record(tmp_path):
    source, start, stop = damaged_rec(tmp_path / "a.rec")
    manifest = rb.convert(source, tmp_path / "b.tfrecord", shards=2, shuffle=True, on_bad_record="skip")
    ids = [example["id"][0] for path in manifest.paths for example in read_examples(Path(path))]
    assert sorted(ids) == [0, 1, 3, 4, 5]
    assert [(each.start, each.stop) for each in manifest.skipped] == [(start, stop)]


def test_shuffling_a_tfrecord_with_damaged_payloads_skips_these(tmp_path):
    source, start, stop = damaged_tfrecord(tmp_path / "a.tfrecord")
    manifest = rb.convert(source, tmp_path / "b.tfrecord", shards=2, shuffle=True, on_bad_record="skip")
    ids = [example["id"][0] for path in manifest.paths for example in read_examples(Path(path))]
    assert sorted(ids) == [0, 1, 3, 4, 5]
    assert [(each.start, each.stop) for each in manifest.skipped] == [(start, stop)]


@pytest.mark.parametrize("bad", range(6))
@pytest.mark.parametrize("options", [{}, {"shards": 3}, {"shuffle": True}, {"shards": 3, "shuffle": True, "seed": 3}])
def test_a_well_framed_record_that_is_no_example_is_skipped_alone(tmp_path, bad, options):
    payloads = [make_example({"id": [n]}) for n in range(6)]
    start = sum(len(frame_tfrecord(payload)) for payload in payloads[:bad])
    payloads[bad] = b"\x0a\x05abc"
    source = write_tfrecord(tmp_path / "a.tfrecord", payloads)
    example = {"payload": "example"}
    manifest = rb.convert(source, tmp_path / "b.tfrecord", on_bad_record="skip", source_options=example, **options)
    ids = [each["id"][0] for path in manifest.paths for each in read_examples(Path(path))]
    assert sorted(ids) == [n for n in range(6) if n != bad]
    assert [(each.start, each.stop) for each in manifest.skipped] == [(start, start + 21)]
    assert f"record {bad} " in manifest.skipped[0].reason


@pytest.mark.parametrize("options", [{}, {"shards": 3}, {"shuffle": True}, {"shards": 3, "shuffle": True, "seed": 3}])
def test_an_image_header_that_is_none_is_skipped_alone(tmp_path, options):
    payloads = [image_payload(n, 0.0, b"no signature") for n in range(6)]
    payloads[2] = b"\xe8\x03\0\0" + payloads[2][4:]
    source = write_rec(tmp_path / "a.rec", payloads)
    length = source.stat().st_size // 6
    with pytest.raises(FormatError, match="1000"):
        rb.convert(source, tmp_path / "b.tfrecord", **options)
    manifest = rb.convert(source, tmp_path / "b.tfrecord", on_bad_record="skip", **options)
    ids = [each["id"][0] for path in manifest.paths for each in read_examples(Path(path))]
    assert sorted(ids) == [0, 1, 3, 4, 5]
    assert [(each.start, each.stop) for each in manifest.skipped] == [(2 * length, 3 * length)]
    assert "record 2 " in manifest.skipped[0].reason


def test_what_was_skipped_stands_in_the_manifest_on_disk(tmp_path):
    import json

    source, start, stop = damaged_rec(tmp_path / "a.rec")
    rb.convert(source, tmp_path / "b.tfrecord", on_bad_record="skip")
    (skipped,) = json.loads((tmp_path / "b.tfrecord.manifest.json").read_text())["skipped"]
    assert (skipped["path"], skipped["start"], skipped["stop"]) == (str(source), start, stop)


def test_skip_on_a_sound_source_lists_nothing_and_gives_the_same_bytes(tmp_path):
    source = image_rec(tmp_path / "a.rec", 9)
    rb.convert(source, tmp_path / "b.tfrecord")
    manifest = rb.convert(source, tmp_path / "c.tfrecord", on_bad_record="skip")
    assert manifest.skipped == ()
    assert (tmp_path / "c.tfrecord").read_bytes() == (tmp_path / "b.tfrecord").read_bytes()


def test_a_cut_last_record_is_skipped_with_its_bytes_listed(tmp_path):
    source = image_rec(tmp_path / "a.rec", 4)
    (tmp_path / "a.idx").unlink()
    size = source.stat().st_size
    start = size - len(frame_rec(read_rec(source)[3]))
    os.truncate(source, size - 5)
    with pytest.raises(TruncatedError) as caught:
        rb.convert(source, tmp_path / "b.tfrecord")
    assert caught.value.record == 3
    manifest = rb.convert(source, tmp_path / "b.tfrecord", on_bad_record="skip")
    assert [(each.start, each.stop) for each in manifest.skipped] == [(start, size - 5)]
    assert manifest.num_rows == 3


# ---- a source that changes ----


def big_rec(path: Path) -> Path:
    """A .rec of 400 kB, last changed long ago."""
    write_rec(path, [image_payload(n, 1.0, bytes([n]) * 10_000) for n in range(40)])
    os.utime(path, ns=(10**18, 10**18))
    return path


def change_once(change: Callable[[], object]) -> Callable[[int, int], None]:
    """A progress function that changes something at its first call."""
    calls: list[int] = []

    def progress(rows: int, of: int) -> None:
        calls.append(rows)
        if len(calls) == 1:
            change()

    return progress


def overwrite_at(path: Path, at: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("where", ["appended", "start", "middle", "end", "replaced"])
def test_a_source_that_changes_under_way_is_an_error_and_nothing_is_left(tmp_path, where):
    source = big_rec(tmp_path / "a.rec")
    other = big_rec(tmp_path / "other.rec")
    overwrite_at(other, 200_000, b"other")
    size = source.stat().st_size
    changes = {
        "appended": lambda: overwrite_at(source, size, frame_rec(image_payload(99))),
        "start": lambda: overwrite_at(source, 100, b"changed"),
        "middle": lambda: overwrite_at(source, size // 2, b"changed"),
        "end": lambda: overwrite_at(source, size - 100, b"changed"),
        "replaced": lambda: os.replace(other, source),
    }
    (tmp_path / "out").mkdir()
    with pytest.raises(SourceChangedError, match=r"a\.rec"):
        rb.convert(source, tmp_path / "out" / "b.tfrecord", progress=change_once(changes[where]))
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_source_that_is_cut_under_way_is_an_error_and_no_dead_process(tmp_path, workers):
    source = big_rec(tmp_path / "a.rec")
    (tmp_path / "out").mkdir()
    progress = change_once(lambda: os.truncate(source, 1000))
    with pytest.raises(BridgeError):
        rb.convert(source, tmp_path / "out" / "b.tfrecord", shards=8, workers=workers, progress=progress)
    assert os.listdir(tmp_path / "out") == []


def test_a_source_that_vanishes_under_way_is_an_error_and_nothing_is_left(tmp_path):
    source = big_rec(tmp_path / "a.rec")
    (tmp_path / "out").mkdir()
    with pytest.raises((FileNotFoundError, SourceChangedError)):
        rb.convert(source, tmp_path / "out" / "b.tfrecord", shards=4, progress=change_once(source.unlink))
    assert os.listdir(tmp_path / "out") == []


def test_the_second_of_two_sources_is_watched_too(tmp_path):
    first, second = big_rec(tmp_path / "a.rec"), big_rec(tmp_path / "b.rec")
    progress = change_once(lambda: overwrite_at(second, 200_000, b"changed"))
    with pytest.raises(SourceChangedError, match=r"b\.rec"):
        rb.convert([first, second], tmp_path / "c.tfrecord", progress=progress)
    assert sorted(os.listdir(tmp_path)) == ["a.rec", "b.rec"]


# ---- what is there already ----


def test_an_existing_output_is_refused_and_left_as_it_was(tmp_path):
    source = image_rec(tmp_path / "a.rec", 5)
    rb.convert(source, tmp_path / "b.tfrecord", shards=2)
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="overwrite"):
        rb.convert(source, tmp_path / "b.tfrecord", shards=2, shuffle=True)
    assert contents(tmp_path) == before


def test_one_shard_that_is_there_refuses_the_whole_set(tmp_path):
    source = image_rec(tmp_path / "a.rec", 5)
    (tmp_path / "b-00001-of-00003.tfrecord").write_bytes(b"precious")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="b-00001-of-00003"):
        rb.convert(source, tmp_path / "b.tfrecord", shards=3)
    assert contents(tmp_path) == before


def test_overwrite_replaces_the_earlier_output_whole(tmp_path):
    source = image_rec(tmp_path / "a.rec", 5)
    other = image_rec(tmp_path / "other.rec", 3, first_id=50)
    rb.convert(source, tmp_path / "b.tfrecord", shards=2)
    rb.convert(other, tmp_path / "b.tfrecord", shards=2, overwrite=True)
    assert rb.verify(tmp_path / "b.tfrecord").ok
    assert rb.open(tmp_path / "b.tfrecord").take([0, 1, 2])["id"].tolist() == [50, 51, 52]


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 4), (3, None), (None, 3)])
def test_overwriting_with_other_shards_leaves_none_of_the_earlier_set(tmp_path, before, after):
    source = image_rec(tmp_path / "a.rec", 9)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b-notes.txt").write_text("mine")
    rb.convert(source, tmp_path / "out" / "b.rec", shards=before)
    rb.convert(source, tmp_path / "out" / "b.rec", shards=after, overwrite=True)
    assert rb.verify(tmp_path / "out").ok
    assert rb.inspect(tmp_path / "out" / "b.rec").num_rows == 9
    assert len(os.listdir(tmp_path / "out")) == 2 * (after or 1) + 2 + 1
    assert (tmp_path / "out" / "b-notes.txt").read_text() == "mine"


@pytest.mark.parametrize("to", ["tfrecord", "rec"])
def test_what_tells_of_a_conversion_onto_a_shard_goes_with_what_it_wrote(tmp_path, to):
    source, out = image_rec(tmp_path / "a.rec", 9), tmp_path / "out"
    out.mkdir()
    rb.convert(source, out / f"b.{to}", shards=3)
    before = contents(out)
    rb.convert(source, out / f"b-00001-of-00003.{to}", overwrite=True)
    rb.convert(source, out / f"b.{to}", shards=3, overwrite=True)
    assert contents(out) == before
    assert rb.verify(out).ok


@pytest.mark.parametrize("write", [rb.convert, rb.write])
def test_overwriting_a_tfrecord_takes_its_old_index_away(tmp_path, write):
    source = image_rec(tmp_path / "a.rec", 9)
    rb.convert(source, tmp_path / "b.tfrecord")
    rb.index(tmp_path / "b.tfrecord")
    write_new = {rb.convert: source, rb.write: {"x": [1, 2]}}[write]
    arguments = (write_new, tmp_path / "b.tfrecord") if write is rb.convert else (tmp_path / "b.tfrecord", write_new)
    write(*arguments, overwrite=True)
    assert not (tmp_path / "b.tfindex").exists()
    assert rb.verify(tmp_path / "b.tfrecord").ok


def test_the_indexes_of_an_earlier_set_of_tfrecords_go_with_it(tmp_path):
    source = image_rec(tmp_path / "a.rec", 9)
    (tmp_path / "out").mkdir()
    rb.convert(source, tmp_path / "out" / "b.tfrecord", shards=4)
    rb.index(tmp_path / "out")
    rb.convert(source, tmp_path / "out" / "b.tfrecord", shards=2, overwrite=True)
    names = ["b-00000-of-00002.tfrecord", "b-00001-of-00002.tfrecord"]
    assert sorted(os.listdir(tmp_path / "out")) == [*names, "b.tfrecord.manifest.json", "b.tfrecord.schema.json"]


def test_an_index_without_its_tfrecord_is_not_left_beside_another_in_silence(tmp_path):
    source = image_rec(tmp_path / "a.rec", 9)
    (tmp_path / "b.tfindex").write_text("0 16\n")
    with pytest.raises(FileExistsError, match=r"b\.tfindex"):
        rb.convert(source, tmp_path / "b.tfrecord")
    rb.convert(source, tmp_path / "b.tfrecord", overwrite=True)
    assert not (tmp_path / "b.tfindex").exists()


def test_a_failure_while_the_files_take_their_names_puts_the_old_index_back(tmp_path, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 9)
    rb.convert(source, tmp_path / "b.tfrecord")
    rb.index(tmp_path / "b.tfrecord")
    before = contents(tmp_path)
    error, _ = interrupt_link(monkeypatch, 0)
    with pytest.raises(error):
        rb.convert(source, tmp_path / "b.tfrecord", overwrite=True)
    assert contents(tmp_path) == before


def test_shards_of_a_set_that_no_manifest_names_stay_and_are_told_of(tmp_path, caplog):
    source = image_rec(tmp_path / "a.rec", 9)
    foreign = tmp_path / "b-00002-of-00004.tfrecord"
    foreign.write_bytes(b"precious")
    rb.convert(source, tmp_path / "b.tfrecord", shards=2, overwrite=True)
    assert foreign.read_bytes() == b"precious"
    assert "b-00002-of-00004.tfrecord: 1 shards of another set" in caplog.text
    caplog.clear()
    rb.convert(source, tmp_path / "c.tfrecord", shards=2)
    rb.convert(source, tmp_path / "c.tfrecord", shards=3, overwrite=True)
    assert caplog.text == ""


def test_a_conversion_that_fails_leaves_the_earlier_output_even_with_overwrite(tmp_path):
    good = image_rec(tmp_path / "a.rec", 9)
    bad = write_rec(tmp_path / "bad.rec", [image_payload(n, 0.5 if n == 8 else 1.0) for n in range(9)])
    rb.convert(good, tmp_path / "b.tfrecord", shards=3)
    before = contents(tmp_path)
    with pytest.raises(LossyError):
        rb.convert(bad, tmp_path / "b.tfrecord", shards=3, overwrite=True, select={"n:int64": "label[0]"})
    assert contents(tmp_path) == before


def test_a_conversion_whose_verification_fails_leaves_the_earlier_output(tmp_path, monkeypatch):
    source = image_rec(tmp_path / "a.rec", 9)
    rb.convert(source, tmp_path / "b.tfrecord", shards=3)
    before = contents(tmp_path)
    damage_output(monkeypatch, "00002-of-00003.tfrecord", flip(20))
    with pytest.raises(VerificationError):
        rb.convert(source, tmp_path / "b.tfrecord", shards=3, overwrite=True)
    assert contents(tmp_path) == before


def test_a_tfrecord_whose_examples_disagree_is_refused_with_the_record(tmp_path):
    source = write_tfrecord(tmp_path / "a.tfrecord", [make_example({"x": [1]}), make_example({"x": [b"text"]})])
    before = contents(tmp_path)
    with pytest.raises(BridgeError, match="'x'"):
        rb.convert(source, tmp_path / "b.rec", select={"y": "x"})
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("sources", "shards"),
    [
        ("b.tfrecord", 2),
        ("b.tfrecord", 3),
        ("b.tfrecord", None),
        ("b-00001-of-00002.tfrecord", 2),
        ("[bc].tfrecord", 1),
    ],
)
def test_a_set_is_not_converted_onto_its_own_names(tmp_path, sources, shards):
    """Killed between two names, it would be hidden files alone, that look like what a killed run left."""
    (tmp_path / "d").mkdir()
    for name, count in (("b", 2), ("c", None)) if sources.startswith("b") else (("b", None), ("c", None)):
        rb.convert(image_rec(tmp_path / f"{name}.rec", 9), tmp_path / f"d/{name}.tfrecord", shards=count)
    before = contents(tmp_path / "d")
    with pytest.raises(ValueError, match=r"d/b.*\.tfrecord: is a source, and of the files that would be replaced"):
        rb.convert(str(tmp_path / "d" / sources), tmp_path / "d/b.tfrecord", shards=shards, overwrite=True)
    assert contents(tmp_path / "d") == before
    rb.convert(str(tmp_path / "d" / sources), tmp_path / "d/new.tfrecord", shards=shards)


def test_one_file_of_a_set_may_be_made_of_another_set(tmp_path):
    source = image_rec(tmp_path / "a.rec", 9)
    rb.convert(source, tmp_path / "b.tfrecord", shards=2)
    rb.convert(source, tmp_path / "c.tfrecord", shards=2)
    rb.convert(tmp_path / "b.tfrecord", tmp_path / "c.tfrecord", shards=3, overwrite=True)
    assert rb.verify(tmp_path / "c.tfrecord").ok
