"""The drop-in for mxnet.recordio, against files that mxnet wrote. Against mxnet itself: test_mxrecordio_oracle.py."""

from __future__ import annotations

import copy
import json
import pickle
import random
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordio_bridge import mxrecordio
from recordio_bridge.errors import FormatError, TruncatedError
from recordio_bridge.mxrecordio import IRHeader, MXIndexedRecordIO, MXRecordIO, pack, unpack

from .drop_in import (
    BLOCK,
    DAMAGE,
    FILES,
    GOLDEN,
    MAGIC,
    PAYLOADS,
    WITH_HEADER,
    WITH_INDEX,
    failure,
    framed,
    golden,
    indexed,
    read_all,
    sha256,
    write_all,
)

# ---- files that mxnet wrote ----


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_mxnet_is_read_record_by_record(name):
    expected = golden(name)["records"]
    reader = MXRecordIO(str(GOLDEN / f"{name}.rec"), "r")
    for record in expected:
        payload = reader.read()
        assert type(payload) is bytes
        assert (len(payload), sha256(payload)) == (record["size"], record["sha256"])
    assert reader.read() is None
    assert reader.read() is None


@pytest.mark.parametrize("name", FILES)
def test_what_was_read_from_mxnets_file_is_written_to_the_same_bytes(name, tmp_path):
    assert write_all(tmp_path / "x.rec", read_all(GOLDEN / f"{name}.rec")) == (GOLDEN / f"{name}.rec").read_bytes()


@pytest.mark.parametrize("name", [*WITH_HEADER, "h_det", "r_photos"])
def test_unpack_gives_the_headers_and_contents_that_mxnet_packed(name):
    for payload, record in zip(read_all(GOLDEN / f"{name}.rec"), golden(name)["records"], strict=True):
        header, content = unpack(payload)
        expected = record["header"]
        assert (header.flag, header.id, header.id2) == (expected["flag"], expected["id"], expected["id2"])
        assert np.asarray(header.label, "<f4").tobytes().hex() == expected["label_hex"]
        assert isinstance(header.label, np.ndarray if header.flag else float)
        assert sha256(content) == record["content_sha256"]
        assert pack(header, content) == payload


@pytest.mark.parametrize("name", [*WITH_INDEX, "r_photos"])
def test_an_index_of_mxnet_finds_each_record_in_any_order(name, tmp_path):
    expected = golden(name)
    key_type = int if expected["key_type"] == "int" else str
    reader = MXIndexedRecordIO(str(GOLDEN / f"{name}.idx"), str(GOLDEN / f"{name}.rec"), "r", key_type)
    assert reader.keys == [key_type(record["key"]) for record in expected["records"]]
    assert reader.idx == {key_type(record["key"]): record["offset"] for record in expected["records"]}
    shuffled = random.Random(name).sample(expected["records"], len(reader.keys))
    for record in shuffled + expected["records"]:
        assert sha256(reader.read_idx(key_type(record["key"]))) == record["sha256"]

    writer = MXIndexedRecordIO(tmp_path / "x.idx", tmp_path / "x.rec", "w", key_type)
    for key in reader.keys:
        writer.write_idx(key, reader.read_idx(key))
    writer.close()
    assert (tmp_path / "x.idx").read_bytes() == (GOLDEN / f"{name}.idx").read_bytes()
    assert (tmp_path / "x.rec").read_bytes() == (GOLDEN / f"{name}.rec").read_bytes()


@pytest.mark.parametrize(
    ("record", "file"),
    [
        (b"", "0a23d7ce 00000000"),
        (b"a", "0a23d7ce 01000000 61000000"),
        (b"abcd", "0a23d7ce 04000000 61626364"),
        (MAGIC, "0a23d7ce 00000020 0a23d7ce 00000060"),
        (MAGIC + b"a", "0a23d7ce 00000020 0a23d7ce 01000060 61000000"),
        (b"aaaa" + MAGIC, "0a23d7ce 04000020 61616161 0a23d7ce 00000060"),
        (b"a" + MAGIC, "0a23d7ce 05000000 610a23d7 ce000000"),
        (MAGIC + MAGIC, "0a23d7ce 00000020 0a23d7ce 00000040 0a23d7ce 00000060"),
        (
            b"xxxx" + MAGIC + b"yyyy" + MAGIC + b"zz",
            "0a23d7ce 04000020 78787878 0a23d7ce 04000040 79797979 0a23d7ce 02000060 7a7a0000",
        ),
        (
            pack(IRHeader(0, 1, 0xCED7230A, 0), b"IMG"),
            "0a23d7ce 08000020 00000000 0000803f 0a23d7ce 0f000060 00000000 00000000 00000000 494d4700",
        ),
    ],
)
def test_a_record_is_framed_and_escaped_as_dmlc_does_it(record, file, tmp_path):
    assert write_all(tmp_path / "x.rec", [record]) == bytes.fromhex(file) == framed(record)
    assert read_all(tmp_path / "x.rec") == [record]


# ---- damage ----

NEGATIVES = {  # records before, error, its record and offset, a part of its message
    "n_trunc_body": (2, TruncatedError, 2, 40, "found 6 bytes of a part at byte 40, expected 10 and padding"),
    "n_trunc_pad": (2, TruncatedError, 2, 40, "found 10 bytes of a part at byte 40, expected 10 and padding"),
    "n_trunc_head": (2, TruncatedError, 2, 40, "found 4 bytes at byte 40, expected the 8 of a part's header"),
    "n_trunc_between": (2, None, None, None, ""),
    "n_bad_magic": (1, FormatError, 1, 20, "found 0b23d7ce at byte 20, expected the magic 0a23d7ce"),
    "n_nonzero_pad": (3, None, None, None, ""),
    "n_cflag4": (1, FormatError, 1, 20, "found a part with flag 4 at byte 20, expected 0 to 3"),
    "n_orphan_middle": (1, FormatError, 1, 20, "found a part with flag 2, expected 0 or 1 where a record begins"),
    "n_orphan_end": (1, FormatError, 1, 20, "found a part with flag 3, expected 0 or 1 where a record begins"),
    "n_trunc_multipart": (1, TruncatedError, 1, 16, "found the end of the file at byte 28, expected the next part"),
    "n_trunc_multipart2": (1, TruncatedError, 1, 16, "expected"),
    "n_trail_zero": (2, FormatError, 2, 52, "found 00000000 at byte 52, expected the magic 0a23d7ce"),
    "n_trail_3": (2, TruncatedError, 2, 52, "found 3 bytes at byte 52, expected the 8 of a part's header"),
}


@pytest.mark.parametrize("name", NEGATIVES)
def test_a_damaged_file_gives_its_sound_records_and_then_says_what_is_wrong(name):
    count, kind, number, offset, found = NEGATIVES[name]
    path = str(GOLDEN / f"{name}.rec")
    reader = MXRecordIO(path, "r")
    known = json.loads((GOLDEN / "negatives.json").read_text())[name]["sha256"]
    assert [sha256(reader.read()) for _ in range(count)] == known[:count]
    if kind is None:
        assert reader.read() is None
        return
    with pytest.raises(FormatError) as caught:
        reader.read()
    error = caught.value
    assert (type(error), error.path, error.record, error.offset) == (kind, path, number, offset)
    assert str(error).startswith(f"{path}: record {number} at byte {offset}: ")
    assert found in str(error)


def test_all_damaged_files_are_tried():
    assert set(NEGATIVES) == set(json.loads((GOLDEN / "negatives.json").read_text()))


@pytest.mark.parametrize("cut", range(len(DAMAGE)))
def test_a_file_cut_at_any_byte_gives_whole_records_and_then_an_error_but_never_a_short_epoch(cut, tmp_path):
    (tmp_path / "x.rec").write_bytes(DAMAGE[:cut])
    heads, records = [0, 16, 44, 56], [b"hello", b"xxxx" + MAGIC + b"yyyyyy", b"last"]
    whole = sum(head <= cut for head in heads[1:])
    reader = MXRecordIO(tmp_path / "x.rec", "r")
    assert [reader.read() for _ in range(whole)] == records[:whole]
    if cut in heads:
        assert reader.read() is None
        return
    for _ in range(2):
        with pytest.raises(TruncatedError) as caught:
            reader.read()
        assert (caught.value.record, caught.value.offset) == (whole, heads[whole])
    assert "the file is incomplete" in str(caught.value)


@pytest.mark.parametrize("at", range(len(DAMAGE)))
def test_a_flipped_byte_gives_other_bytes_or_a_format_error_and_no_other_end(at, tmp_path):
    for bit in range(8):
        damaged = bytearray(DAMAGE)
        damaged[at] ^= 1 << bit
        (tmp_path / "x.rec").write_bytes(damaged)
        error = failure(tmp_path / "x.rec")
        if error is not None:
            assert (error.path, error.offset % 4) == (str(tmp_path / "x.rec"), 0)
            assert error.record is not None


def test_a_new_record_inside_an_open_one_is_an_error(tmp_path):
    (tmp_path / "x.rec").write_bytes(DAMAGE[:28] + DAMAGE[44:])
    reader = MXRecordIO(tmp_path / "x.rec", "r")
    assert reader.read() == b"hello"
    with pytest.raises(FormatError, match="found a new record at byte 28, expected the next part") as caught:
        reader.read()
    assert (type(caught.value), caught.value.record, caught.value.offset) == (FormatError, 1, 16)


def test_a_length_beyond_the_file_costs_no_memory(tmp_path, monkeypatch):
    sizes = []
    empty = np.empty
    monkeypatch.setattr(np, "empty", lambda shape, *args: sizes.append(np.prod(shape)) or empty(shape, *args))
    (tmp_path / "x.rec").write_bytes(MAGIC + struct.pack("<I", 2**29 - 1) + bytes(100))
    with pytest.raises(TruncatedError, match="found 100 bytes of a part at byte 0, expected 536870911 and padding"):
        read_all(tmp_path / "x.rec")
    assert max(sizes) <= 4 * BLOCK


# ---- blocks ----


@pytest.mark.parametrize("block", [4, 8, 20, 64, 1 << 10])
def test_where_blocks_end_makes_no_difference(block, tmp_path, monkeypatch):
    monkeypatch.setattr(mxrecordio, "_BLOCK", block)
    source = random.Random(block)
    records = [b"".join(source.choices([MAGIC, b"ab", b"cdef"], k=source.randrange(40))) for _ in range(200)]
    records[100:100] = [bytes(5000), MAGIC * 700, b""]
    assert write_all(tmp_path / "x.rec", records) == b"".join(map(framed, records))
    assert read_all(tmp_path / "x.rec") == records


@pytest.mark.parametrize("size", [1023, 1024, 1025, BLOCK // 2 - 6, BLOCK // 2, BLOCK, 3 * BLOCK + 1])
def test_records_of_any_size_are_framed_alike_with_and_without_magics(size, tmp_path):
    plain = random.Random(size).randbytes(size)
    escaped = plain[:500] + MAGIC + plain[504:-4] + MAGIC
    records = [plain, escaped, MAGIC * (size // 4), plain]
    assert write_all(tmp_path / "x.rec", records) == b"".join(map(framed, records))
    assert read_all(tmp_path / "x.rec") == records


def test_more_records_than_one_scan_reports_are_all_read(tmp_path):
    records = [b"%d" % number for number in range(10_000)]
    write_all(tmp_path / "x.rec", records)
    assert read_all(tmp_path / "x.rec") == records
    with open(tmp_path / "x.rec", "ab") as file:
        file.write(b"stray")
    with pytest.raises(TruncatedError) as caught:
        read_all(tmp_path / "x.rec")
    assert caught.value.record == 10_000


@given(records=st.lists(PAYLOADS, max_size=20), seed=st.integers(0, 2**32))
def test_whatever_is_written_is_read_back_in_order_and_by_key(tmp_path_factory, records, seed):
    folder = tmp_path_factory.mktemp("any")
    reader = indexed(folder, records)
    assert (folder / "i.rec").read_bytes() == b"".join(map(framed, records))
    assert list(iter(reader.read, None)) == records
    source = random.Random(seed)
    for key in source.choices(range(len(records)), k=30) if records else []:
        assert reader.read_idx(key) == records[key]
        for following in records[key + 1 : key + 1 + source.randrange(3)]:
            assert reader.read() == following


# ---- reading ----


def test_after_the_end_seek_and_read_work_again(tmp_path):
    reader = indexed(tmp_path, [b"a", b"b", b"c"])
    assert list(iter(reader.read, None)) == [b"a", b"b", b"c"]
    assert reader.read_idx(1) == b"b"
    assert [reader.read(), reader.read()] == [b"c", None]
    reader.seek(0)
    assert reader.read() == b"a"


def test_reset_begins_at_the_first_record(tmp_path):
    reader = indexed(tmp_path, [b"a", b"b"])
    assert [reader.read(), reader.read(), reader.read()] == [b"a", b"b", None]
    reader.reset()
    assert [reader.read(), reader.read(), reader.read()] == [b"a", b"b", None]


def test_open_on_an_open_reader_begins_again(tmp_path):
    reader = indexed(tmp_path, [b"a", b"b"])
    assert reader.read_idx(1) == b"b"
    reader.open()
    assert reader.is_open
    assert reader.read() == b"a"


def test_a_record_handed_out_stays_as_it_is(tmp_path):
    records = [b"%04d" % number * 100 for number in range(5000)]
    write_all(tmp_path / "x.rec", records)
    reader = MXRecordIO(tmp_path / "x.rec", "r")
    held = [reader.read() for _ in records]
    assert held == records


def test_records_that_are_added_to_a_file_are_read_after_its_old_end(tmp_path):
    reader = indexed(tmp_path, [b"a"])
    assert [reader.read(), reader.read()] == [b"a", None]
    with open(tmp_path / "i.rec", "ab") as file:
        file.write(framed(b"b"))
    assert [reader.read(), reader.read()] == [b"b", None]
    reader.idx[1] = 12
    assert [reader.read_idx(0), reader.read_idx(1)] == [b"a", b"b"]


def test_the_attributes_that_scripts_use_are_there(tmp_path):
    reader = indexed(tmp_path, [b"a", b"bcdef"])
    assert (reader.uri, reader.idx_path) == (str(tmp_path / "i.rec"), str(tmp_path / "i.idx"))
    assert (reader.flag, reader.writable, reader.is_open, reader.key_type) == ("r", False, True, int)
    assert (reader.keys, reader.idx) == ([0, 1], {0: 0, 1: 12})
    reader.close()
    assert (reader.is_open, reader.keys) == (False, [0, 1])
    reader.close()


def test_a_uri_may_be_a_path_or_a_file_url(tmp_path):
    write_all(tmp_path / "x.rec", [b"a"])
    for uri in (tmp_path / "x.rec", str(tmp_path / "x.rec"), f"file://{tmp_path}/x.rec"):
        assert MXRecordIO(uri, "r").read() == b"a"


def test_a_file_that_is_not_there_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        MXRecordIO(tmp_path / "no.rec", "r")
    write_all(tmp_path / "x.rec", [b"a"])
    with pytest.raises(FileNotFoundError):
        MXIndexedRecordIO(tmp_path / "no.idx", tmp_path / "x.rec", "r")


def test_a_closed_reader_of_keys_opens_itself_as_in_mxnet(tmp_path):
    reader = indexed(tmp_path, [b"a", b"b"])
    reader.close()
    with pytest.raises(ValueError, match=r"cannot read, the file is closed; call open\(\)"):
        reader.read()
    assert reader.read_idx(1) == b"b"


# ---- writing ----


def test_records_may_be_any_bytes_and_nothing_else(tmp_path):
    writer = MXRecordIO(tmp_path / "x.rec", "w")
    for record in (b"ab\0c", bytearray(b"ab\0c"), memoryview(b"ab\0c"), np.frombuffer(b"ab\0c", np.uint8)):
        writer.write(record)
    for wrong in ("text", 5, None):
        with pytest.raises(TypeError):
            writer.write(wrong)
    writer.close()
    assert read_all(tmp_path / "x.rec") == [b"ab\0c"] * 4


def test_a_record_above_the_limit_is_refused_and_the_writer_goes_on(tmp_path):
    writer = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w")
    writer.write_idx(0, b"a")
    with pytest.raises(ValueError, match=r"i\.rec: record of 536870912 bytes, expected 536870911 at most"):
        writer.write_idx(1, bytes(2**29))
    writer.write_idx(2, b"b")
    writer.close()
    reader = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r")
    assert (reader.keys, list(iter(reader.read, None))) == ([0, 2], [b"a", b"b"])


def test_a_writer_that_is_dropped_has_written_everything(tmp_path):
    writer = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w")
    writer.write_idx(5, b"a")
    del writer
    assert (tmp_path / "i.rec").read_bytes() == framed(b"a")
    assert (tmp_path / "i.idx").read_bytes() == b"5\t0\n"


def test_reset_of_a_writer_empties_its_files(tmp_path):
    writer = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w")
    writer.write_idx(5, b"a")
    writer.reset()
    assert (writer.keys, writer.idx, writer.tell()) == ([], {}, 0)
    writer.write_idx(6, b"b")
    writer.close()
    assert (tmp_path / "i.idx").read_bytes() == b"6\t0\n"
    assert read_all(tmp_path / "i.rec") == [b"b"]


def test_a_wrong_flag_is_refused_before_a_file_is_touched(tmp_path):
    (tmp_path / "x.rec").write_bytes(b"precious")
    for flag in ("rb", "a", "wb", ""):
        with pytest.raises(ValueError, match="expected 'r' or 'w'"):
            MXRecordIO(tmp_path / "x.rec", flag)
    assert (tmp_path / "x.rec").read_bytes() == b"precious"


def test_reading_from_a_writer_and_writing_to_a_reader_say_what_is_wrong(tmp_path):
    writer = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w")
    for action in (writer.read, lambda: writer.read_idx(0), lambda: writer.seek(0)):
        with pytest.raises(ValueError, match="it was opened with flag 'w'"):
            action()
    writer.write_idx(0, b"a")
    writer.close()
    for action in (lambda: writer.write(b"a"), lambda: writer.write_idx(0, b"a"), writer.tell):
        with pytest.raises(ValueError, match="the file is closed"):
            action()
    reader = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r")
    for action in (lambda: reader.write(b"a"), lambda: reader.write_idx(0, b"a"), reader.tell):
        with pytest.raises(ValueError, match="it was opened with flag 'r'"):
            action()
    assert reader.read_idx(0) == b"a"


# ---- copies and processes ----


def test_a_pickled_reader_begins_anew_and_leaves_the_first_as_it_is(tmp_path):
    reader = indexed(tmp_path, [b"a", b"b", b"c"])
    reader.note = "kept"
    assert reader.read() == b"a"
    for twin in (pickle.loads(pickle.dumps(reader)), copy.copy(reader)):
        assert (twin.is_open, twin.keys, twin.note) == (True, [0, 1, 2], "kept")
        assert [twin.read(), twin.read_idx(2)] == [b"a", b"c"]
    assert [reader.read(), reader.read(), reader.read()] == [b"b", b"c", None]


def test_a_closed_reader_comes_out_of_a_pickle_closed(tmp_path):
    write_all(tmp_path / "x.rec", [b"a"])
    reader = MXRecordIO(tmp_path / "x.rec", "r")
    reader.close()
    twin = pickle.loads(pickle.dumps(reader))
    assert not twin.is_open
    twin.open()
    assert twin.read() == b"a"


def test_an_open_writer_cannot_be_pickled_and_a_closed_one_empties_nothing(tmp_path):
    writer = MXRecordIO(tmp_path / "x.rec", "w")
    writer.write(b"a")
    with pytest.raises(TypeError, match="an open writer cannot be pickled"):
        pickle.dumps(writer)
    writer.write(b"b")
    writer.close()
    twin = pickle.loads(pickle.dumps(writer))
    assert not twin.is_open
    assert read_all(tmp_path / "x.rec") == [b"a", b"b"]


FORK = """
import os, sys
from recordio_bridge.mxrecordio import MXIndexedRecordIO

def refused(action):
    try:
        action()
    except RuntimeError as err:
        return "forked" in str(err)

reader = MXIndexedRecordIO("i.idx", "i.rec", "r")
assert reader.read() == b"a"
writer = MXIndexedRecordIO("o.idx", "o.rec", "w")
writer.write_idx(0, b"first")
child = os.fork()
if not child:
    good = refused(reader.read) and refused(lambda: writer.write(b"x")) and refused(lambda: writer.write_idx(1, b"x"))
    good = good and reader.read_idx(2) == b"c" and reader.read() is None and reader.read_idx(0) == b"a"
    writer.close()
    sys.exit(0 if good and not writer.is_open else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert reader.read() == b"b"
writer.write_idx(1, b"second")
child = os.fork()
if not child:
    sys.exit(0)  # the writer is dropped, with what its buffer holds
os.waitpid(child, 0)
writer.close()
"""


def test_a_forked_process_reads_by_key_and_cannot_disturb_its_parent(tmp_path):
    indexed(tmp_path, [b"a", b"b", b"c"]).close()
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], cwd=tmp_path, env=environment(), timeout=60)
    assert done.returncode == 0
    assert read_all(tmp_path / "o.rec") == [b"first", b"second"]
    assert (tmp_path / "o.idx").read_bytes() == b"0\t0\n1\t16\n"


def environment() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(mxrecordio.__file__).parents[1])}


def test_importing_it_brings_no_opencv_and_no_mxnet():
    code = "import sys, recordio_bridge.mxrecordio as m; sys.exit(bool({'cv2', 'mxnet', 'h5py'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), timeout=60).returncode == 0
