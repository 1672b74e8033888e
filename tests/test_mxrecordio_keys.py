"""The drop-in for mxnet.recordio: keys, offsets, and indexes that are wrong."""

from __future__ import annotations

import os
from contextlib import closing

import numpy as np
import pytest

from recordio_bridge.errors import FormatError, TruncatedError
from recordio_bridge.mxrecordio import MXIndexedRecordIO

from .drop_in import (
    DAMAGE,
    MAGIC,
    indexed,
)

# ---- keys and offsets ----


def test_keys_pass_through_key_type_as_in_mxnet(tmp_path):
    writer = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w")
    offsets = [writer.tell()]
    for key in (3.7, "12", np.int64(9), -1):
        writer.write_idx(key, b"abc")
        offsets.append(writer.tell())
    assert (writer.keys, writer.idx) == ([3, 12, 9, -1], {3: 0, 12: 12, 9: 24, -1: 36})
    writer.close()
    assert offsets == [0, 12, 24, 36, 48]
    assert (tmp_path / "i.idx").read_text() == "3\t0\n12\t12\n9\t24\n-1\t36\n"


def test_of_a_key_written_twice_the_last_record_is_found_and_both_are_listed(tmp_path):
    writer = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w", str)
    for key, record in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        writer.write_idx(key, record)
    writer.close()
    reader = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r", str)
    assert reader.keys == ["a", "b", "a"]
    assert (reader.read_idx("a"), reader.read_idx("b")) == (b"3", b"2")


def test_text_keys_keep_their_blanks_and_odd_bytes(tmp_path):
    writer = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w", str)
    keys = ["", " a ", "caf\udce9", "日本", "\x85"]
    for key in keys:
        writer.write_idx(key, repr(key).encode())
    writer.close()
    assert b"caf\xe9\t" in (tmp_path / "i.idx").read_bytes()
    reader = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r", str)
    assert reader.keys == keys
    assert all(reader.read_idx(key) == repr(key).encode() for key in keys)


@pytest.mark.parametrize("key", ["a\tb", "a\nb", "a\r", "\n"])
def test_a_key_that_an_index_cannot_hold_is_refused_and_nothing_is_written(key, tmp_path):
    writer = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w", str)
    with pytest.raises(ValueError, match="has a tab or a line break"):
        writer.write_idx(key, b"abc")
    assert (writer.tell(), writer.keys) == (0, [])
    writer.close()
    assert (tmp_path / "i.idx").read_bytes() == b""


def test_an_unknown_key_is_a_key_error_that_names_the_index(tmp_path):
    reader = indexed(tmp_path, [b"a"])
    with pytest.raises(KeyError, match=r"i\.idx: no key 77 among its 1"):
        reader.read_idx(77)
    assert reader.read_idx(0) == b"a"


@pytest.mark.parametrize("text", ["0\t0\r\n1\t12\r\n", "0\t0\n1\t12", "0\t0\tmore\n1\t12\t\n", " 0\t 0\n1 \t12 \n"])
def test_an_index_may_have_carriage_returns_a_third_column_or_no_last_line_end(text, tmp_path):
    indexed(tmp_path, [b"a", b"b"])
    (tmp_path / "i.idx").write_bytes(text.encode())
    reader = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r")
    assert (reader.keys, reader.read_idx(1)) == ([0, 1], b"b")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("0 12", r"found '0 12\\n', expected key, tab and offset"),
        ("", r"found '\\n', expected key, tab and offset"),
        ("a\t12", r"found 'a\\t12\\n'"),
        ("1\t", r"found '1\\t\\n'"),
        ("1\tx", r"found '1\\tx\\n'"),
        ("1\t-4", r"found '1\\t-4\\n'"),
        ("1\t13", "a multiple of 4"),
        ("1\t18446744073709551615", "this offset is a failed ftell, as old mxnet on Windows wrote it"),
        ("1\t99999999999999999999999999999", "expected key, tab and offset"),
        ("\x1f\x8b\x08\x00" + "z" * 1000, r"found '\\x1f"),
    ],
)
def test_a_bad_line_of_an_index_is_named_with_the_way_to_a_new_index(line, why, tmp_path):
    indexed(tmp_path, [b"a", b"b"])
    (tmp_path / "i.idx").write_text(f"0\t0\n{line}\n2\t12\n")
    with pytest.raises(FormatError, match=why) as caught:
        MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/i.idx: line 2: ")
    assert message.endswith(f"; rebuild it: recordio-bridge index {tmp_path}/i.rec")
    assert len(message) < 500
    assert caught.value.path == str(tmp_path / "i.idx")


def test_a_reader_whose_new_index_is_bad_keeps_its_old_one(tmp_path):
    reader = indexed(tmp_path, [b"a", b"b"])
    (tmp_path / "i.idx").write_text("0 0\n")
    with pytest.raises(FormatError):
        reader.reset()
    assert (reader.keys, reader.read_idx(1)) == ([0, 1], b"b")


@pytest.mark.parametrize(
    ("offset", "kind", "found"),
    [
        (56, TruncatedError, "found the end of the file"),
        (4000, TruncatedError, "found the end of the file"),
        (2**61, TruncatedError, "found the end of the file"),
        (52, TruncatedError, "found 4 bytes at byte 52, expected the 8 of a part's header"),
        (4, FormatError, "found 05000000 at byte 4, expected the magic 0a23d7ce"),
        (28, FormatError, "found a part with flag 3, expected 0 or 1 where a record begins"),
    ],
)
def test_a_key_that_leads_to_no_record_is_an_error_that_names_it(offset, kind, found, tmp_path):
    (tmp_path / "i.rec").write_bytes(DAMAGE)
    (tmp_path / "i.idx").write_text(f"0\t0\n1\t16\n7\t{offset}\n2\t44\n")
    reader = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r")
    for before in (0, 1, 2):
        assert reader.read_idx(before) is not None
        with pytest.raises(FormatError) as caught:
            reader.read_idx(7)
        assert (type(caught.value), caught.value.offset) == (kind, offset)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path}/i.rec: key 7 of {tmp_path}/i.idx at byte {offset}: {found}")
        assert message.endswith(f"rebuild the index: recordio-bridge index {tmp_path}/i.rec")
    assert (reader.read_idx(2), reader.read()) == (b"last", None)


@pytest.mark.parametrize(("keys", "number"), [((1,), None), ((0, 1), 2), ((1, 0, 1), None)])
def test_damage_behind_a_record_found_by_key_is_not_blamed_on_the_key(keys, number, tmp_path):
    (tmp_path / "i.rec").write_bytes(DAMAGE[:-1])
    (tmp_path / "i.idx").write_text("0\t0\n1\t16\n2\t44\n")
    reader = MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r")
    assert [reader.read_idx(key) for key in keys][-1] == b"xxxx" + MAGIC + b"yyyyyy"
    with pytest.raises(TruncatedError, match=r"i\.rec: record (2 )?at byte 44: ") as caught:
        reader.read()
    assert caught.value.record == number


@pytest.mark.parametrize("cut", [16 + 12 + 3, 16 + 12 + 8, 16 + 12 + 8 + 5])
def test_a_record_cut_short_is_not_handed_out_by_key_either(cut, tmp_path):
    reader = indexed(tmp_path, [b"a", bytes(8), bytes(5)])
    reader.close()
    (tmp_path / "i.rec").write_bytes((tmp_path / "i.rec").read_bytes()[:cut])
    for keys in ([2], [0, 2], [1, 2]):
        reader.reset()
        with pytest.raises(TruncatedError, match="key 2 of"):
            [reader.read_idx(key) for key in keys]


def test_a_file_that_is_cut_while_it_is_open_gives_an_error_and_not_an_end(tmp_path):
    for size in (12 + 58, 12 + 60 + 2, 12 + 60 + 8 + 10):
        reader = indexed(tmp_path, [b"a", bytes(50), bytes(70)])
        os.truncate(tmp_path / "i.rec", size)
        with pytest.raises(TruncatedError, match="key 2 of"):
            reader.read_idx(2)
        assert reader.read_idx(0) == b"a"


def test_a_key_that_leads_between_records_is_an_error_whatever_stands_there(tmp_path):
    reader = indexed(tmp_path, [b"a", b"", b"no magic but\4\0\0\0four"])
    reader.idx[7] = reader.idx[2] + 16
    with pytest.raises(FormatError, match=r"key 7 of .* found 20627574 at byte 36, expected the magic"):
        reader.read_idx(7)
    assert reader.read_idx(1) == b""


def test_a_flag_is_not_taken_for_a_length_in_a_file_of_more_than_512_mib(tmp_path):
    records = [b"a", b"four" + MAGIC + b"more", b"b"]
    reader = indexed(tmp_path, records)
    reader.close()
    os.truncate(tmp_path / "i.rec", 600 << 20)
    reader.open()
    assert [reader.read_idx(key) for key in (2, 1, 0)] == records[::-1]


ESCAPED = b"b" * 40 + MAGIC + b"c" * 40 + MAGIC + b"d" * 40


@pytest.mark.parametrize("key_type", [int, str])
@pytest.mark.parametrize("before", [(), (0,)], ids=["jumped to", "read ahead"])
@pytest.mark.parametrize("last", [b"four", b"f" * 1000])
def test_a_record_that_lost_a_part_from_its_midst_is_not_handed_out_by_key(tmp_path, key_type, before, last):
    """Its other parts fit together, as no part says how many there are: only the next offset tells."""
    payloads = [b"zero", ESCAPED, b"two", ESCAPED, last]
    with closing(MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w", key_type)) as writer:
        for key, payload in enumerate(payloads):
            writer.write_idx(key_type(key), payload)
    whole = (tmp_path / "i.rec").read_bytes()

    def read(key: int) -> bytes | None:
        with closing(MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r", key_type)) as reader:
            for first in before:
                reader.read_idx(key_type(first))
            return reader.read_idx(key_type(key))

    assert [read(key) for key in range(5)] == payloads
    at = whole.index(b"c" * 40) - 8
    (tmp_path / "i.rec").write_bytes(whole[:at] + whole[at + 48 :])
    assert read(0) == b"zero"
    with pytest.raises(
        FormatError,
        match=r"key '?1'? of \S*i\.idx at byte 12: its parts end at byte 108, and at byte 156, where the index",
    ):
        read(1)
    for key in (2, 3, 4):
        with pytest.raises(FormatError):
            read(key)


def test_records_of_several_parts_are_read_by_an_index_that_leaves_others_out(tmp_path):
    payloads = [ESCAPED, b"one", ESCAPED, b"three", ESCAPED]
    with closing(MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w")) as writer:
        for key, payload in enumerate(payloads):
            writer.write_idx(key, payload)
    lines = (tmp_path / "i.idx").read_text().splitlines(keepends=True)
    for kept in ([0], [0, 2], [0, 4], [2, 4], [0, 3], [4]):
        (tmp_path / "i.idx").write_text("".join(lines[key] for key in kept))
        with closing(MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r")) as reader:
            assert [reader.read_idx(key) for key in kept] == [payloads[key] for key in kept]


def test_a_record_of_several_parts_is_read_where_the_next_one_has_the_key_of_another(tmp_path):
    with closing(MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "w")) as writer:
        for key, payload in ((0, ESCAPED), (7, b"one"), (7, b"two")):
            writer.write_idx(key, payload)
    with closing(MXIndexedRecordIO(tmp_path / "i.idx", tmp_path / "i.rec", "r")) as reader:
        assert [reader.read_idx(0), reader.read_idx(7)] == [ESCAPED, b"two"]
