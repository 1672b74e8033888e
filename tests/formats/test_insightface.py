"""InsightFace's verification sets: what is read, and that nothing of a file is ever run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import BridgeError, Field, FormatError, Schema
from tests.native.test_image_kernel import jpeg
from tests.samples import read_examples

IMAGES = [jpeg(112, 112) + bytes([n]) for n in range(8)]
SAME = [True, False, True, True]


def save(path: Path, content: object, protocol: int = pickle.HIGHEST_PROTOCOL) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def rows(path: Path) -> list[tuple[bytes, bytes, bool]]:
    return [(row["image_a"], row["image_b"], bool(row["same"])) for batch in rb.read(path) for row in batch.rows()]


EXPECTED = list(zip(IMAGES[::2], IMAGES[1::2], SAME, strict=True))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_row_is_a_pair_in_every_protocol(tmp_path, protocol):
    path = save(tmp_path / "lfw.bin", (IMAGES, SAME), protocol)
    assert rows(path) == EXPECTED
    summary = rb.inspect(path)
    assert (summary.format, summary.num_rows) == ("insightface", 4)
    assert summary.schema == Schema(Field("image_a", "bytes"), Field("image_b", "bytes"), Field("same", "bool"))
    assert "InsightFace verification set: 4 pairs, 3 of them of one person" in summary.notes


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "same", [tuple(SAME), [1, 0, 1, 1], np.array(SAME), [np.bool_(flag) for flag in SAME], np.array(SAME).astype("u1")]
)
def test_bools_may_be_numbers_or_of_numpy(tmp_path, protocol, same):
    assert rows(save(tmp_path / "lfw.bin", (IMAGES, same), protocol)) == EXPECTED


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_images_may_be_arrays_of_bytes(tmp_path, protocol):
    arrays = [np.frombuffer(image, np.uint8) for image in IMAGES]
    arrays[3] = np.frombuffer(bytearray(IMAGES[3]), np.uint8)  # writable: pickled in another way
    assert rows(save(tmp_path / "lfw.bin", (arrays, SAME), protocol)) == EXPECTED


def python_2(images: list[bytes], same: list[bool]) -> bytes:
    """What cPickle of Python 2 writes with HIGHEST_PROTOCOL, 2: str as SHORT_BINSTRING and BINSTRING."""
    strings = b"".join(b"T" + struct.pack("<i", len(image)) + image + b"q\x02" for image in images[:-1])
    strings += b"U" + bytes([len(images[-1])]) + images[-1]
    flags = b"".join(b"\x88" if flag else b"\x89" for flag in same)
    return b"\x80\x02]q\x01(" + strings + b"e]q\x03(" + flags + b"e\x86q\x04."


def test_files_of_python_2_are_read(tmp_path):
    (tmp_path / "lfw.bin").write_bytes(python_2(IMAGES, SAME))
    assert rows(tmp_path / "lfw.bin") == EXPECTED


def test_an_array_of_python_2_is_read(tmp_path):
    """Its dtype and bytes are str, which the others never are."""
    image = IMAGES[0]
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\x01bt\x85R".replace(b"t\x85R", b"tR")
        + b"(K\x01K"
        + bytes([len(image)])
        + b"\x85cnumpy\ndtype\n(U\x02u1K\0K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89U"
        + bytes([len(image)])
        + image
        + b"tb"
    )
    (tmp_path / "lfw.bin").write_bytes(b"\x80\x02](" + array + array + b"e](\x88e\x86.")
    assert rb.read(tmp_path / "lfw.bin", format="bin").__next__()["image_b"][0] == image


def test_a_pair_can_be_reached_by_its_number(tmp_path):
    path = save(tmp_path / "lfw.bin", (IMAGES, SAME))
    with rb.open(path) as file:
        assert len(file) == 4
        assert file[2]["image_a"] == IMAGES[4]
        assert file.take([3, 0])["same"].tolist() == [True, True]
        assert list(file.take([3, 0])["image_b"]) == [IMAGES[7], IMAGES[1]]


def test_a_set_is_converted(tmp_path):
    path = save(tmp_path / "lfw.bin", (IMAGES, SAME))
    for options in ({}, {"shards": 2, "workers": 2}, {"shuffle": True}):
        manifest = rb.convert(path, tmp_path / "lfw.tfrecord", overwrite=True, **options)
        found = [each for file in manifest.paths for each in read_examples(Path(file))]
        pairs = [(each["image_a"][0], each["image_b"][0], bool(each["same"][0])) for each in found]
        assert sorted(pairs) == sorted(EXPECTED)
        assert rb.verify(tmp_path / "lfw.tfrecord").ok
    sizes = {"format": "format(image_a)", "height": "height(image_b)", "same": "same"}
    rb.convert(path, tmp_path / "b.tfrecord", select=sizes)
    assert read_examples(tmp_path / "b.tfrecord")[0] == {"format": [b"jpeg"], "height": [112], "same": [1]}


def test_a_set_of_no_pairs_has_no_rows(tmp_path):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert rb.inspect(save(tmp_path / "lfw.bin", ([], []), protocol)).num_rows == 0


def test_a_changed_file_is_read_again(tmp_path):
    path = save(tmp_path / "lfw.bin", (IMAGES, SAME))
    assert rows(path) == EXPECTED
    save(tmp_path / "new", (IMAGES[:2], SAME[:1])).replace(path)
    assert rows(path) == EXPECTED[:1]


def test_a_set_is_held_as_long_as_its_file_is_open_and_no_longer(tmp_path):
    path = save(tmp_path / "lfw.bin", (IMAGES, SAME))
    tracemalloc.start()
    try:
        large = save(
            tmp_path / "large.bin", ([bytes(1 << 20)] * 2 + [bytes([n]) * (1 << 20) for n in range(8)], [True] * 5)
        )
        before = tracemalloc.get_traced_memory()[0]
        batches = rb.read(large, batch_rows=2)
        assert next(batches)["same"].tolist() == [True, True]
        assert tracemalloc.get_traced_memory()[0] - before > 8 << 20
        batches.close()
        assert rows(path) == EXPECTED
        assert rb.inspect(large).num_rows == 5
        assert tracemalloc.get_traced_memory()[0] - before < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_set_that_is_open_is_not_read_again(tmp_path, monkeypatch):
    path = save(tmp_path / "lfw.bin", (IMAGES, SAME))
    batches = rb.read(path, batch_rows=1)
    next(batches)
    monkeypatch.setattr("recordio_bridge.formats.insightface.unpickle", None)
    assert rows(path) == EXPECTED
    batches.close()


def test_the_set_in_a_folder_is_taken_where_it_is_named_only(tmp_path):
    save(tmp_path / "lfw.bin", (IMAGES, SAME))
    rb.write(tmp_path / "train.rec", {"id": [1], "image": [b"x"]})
    assert rb.inspect(tmp_path).format == "recordio"
    assert rb.inspect(tmp_path / "*").format == "recordio"
    assert rb.inspect(tmp_path / "*.bin").format == "insightface"


def test_a_set_is_only_read(tmp_path):
    for write in (
        rb.write,
        lambda path, columns, **options: rb.convert(tmp_path / "a.npz", path, target_options=options),
    ):
        rb.write(tmp_path / "a.npz", {"same": [True]}, overwrite=True)
        with pytest.raises(ValueError, match="only read"):
            write(tmp_path / "a.bin", {"same": [True]}, format="insightface")


# ---- what is no verification set ----


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ((IMAGES, SAME, 1), "holds a tuple"),
        ((IMAGES, "yes"), "holds a list and a "),
        ((IMAGES[:7], SAME), "7 images and 4 pairs"),
        ((IMAGES, [True, False, True, 2]), "pair 3 is int 2"),
        ((IMAGES, [True, None, True, True]), "pair 1 is a NoneType"),
        (([*IMAGES[:7], "text"], SAME), "image 7 .of pair 3. is a str"),
        (([*IMAGES[:7], np.zeros((2, 2), np.uint8)], SAME), r"image 7 .of pair 3. is an array of uint8\[2, 2\]"),
        (([*IMAGES[:7], np.zeros(2, np.float32)], SAME), "dtype 'f4'"),
        (([*IMAGES[:7], np.array([b"x", None])], SAME), "dtype 'O8'"),
        (([*IMAGES[:7], 3.5], SAME), "is float 3.5"),
        ([1, 2, 3], "holds a list"),
        ((IMAGES, [True, False, True, 1 << 99999]), "pair 3 is a int, expected a bool"),
        ({"a": 1}, "asks for a dict"),
        (([{"a": 1}], SAME), "asks for a dict"),
        ((IMAGES, {True, False}), "asks for a set"),
    ],
)
def test_other_content_is_described(tmp_path, content, said):
    with pytest.raises(FormatError, match=said) as caught:
        rb.inspect(save(tmp_path / "lfw.bin", content), format="insightface")
    assert caught.value.path == str(tmp_path / "lfw.bin")


def test_bytes_behind_the_end_are_refused(tmp_path):
    path = save(tmp_path / "lfw.bin", (IMAGES, SAME))
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(FormatError, match="bytes follow"):
        rb.inspect(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_cut_is_an_error(tmp_path, protocol):
    whole = pickle.dumps(([b"a", np.frombuffer(b"bc", np.uint8)], [True]), protocol)
    for at in range(len(whole)):
        (tmp_path / "a.bin").write_bytes(whole[:at])
        with pytest.raises(FormatError):
            rb.inspect(tmp_path / "a.bin", format="insightface")


@pytest.mark.one_lane
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_flipped_bit_gives_rows_or_an_error_of_ours(tmp_path, protocol):
    whole = pickle.dumps(([b"a", np.frombuffer(b"bc", np.uint8)], [np.bool_(True)]), protocol)
    for at in range(len(whole)):
        for bit in range(8):
            (tmp_path / "a.bin").write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            with suppress(BridgeError):
                assert len(list(rb.read(tmp_path / "a.bin", format="insightface"))) <= 1


# ---- attacks ----


class Asks:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> object:
        return self.call


def refused(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    with pytest.raises(FormatError, match=said):
        rb.inspect(path, format="insightface")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_of_anything_else_is_refused_by_name_and_not_made(tmp_path, protocol):
    victim = tmp_path / "victim"
    victim.write_text("here")
    attacks = {
        r"(posix|nt)\.remove": Asks(os.remove, str(victim)),
        r"(posix|nt)\.system": Asks(os.system, f"rm {victim}"),
        r"(builtins|__builtin__)\.eval": Asks(eval, f"__import__('os').remove({str(victim)!r})"),
        r"(builtins|__builtin__)\.getattr": Asks(getattr, 1, "real"),
        r"(io|_io)\.open": Asks(io.open, str(victim), "w"),
        r"numpy.*\.(load|fromfile)": Asks(np.fromfile, str(victim)),
    }
    for said, attack in attacks.items():
        for content in ((IMAGES, [attack]), ([attack, b""], [True]), attack):
            refused(tmp_path / "a.bin", pickle.dumps(content, protocol), f"asks for {said}")
    assert victim.read_text() == "here"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (b"cos\nsystem\n.", "asks for os.system"),
        (
            b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
            r"asks for numpy.core.multiarray._reconstruct.__globals__",
        ),
        (b"(ios\nsystem\n.", "asks for os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "asks for os.system"),
        (b"\x82\x01.", "registered extension 1"),
        (b"Pname\n.", "persistent object"),
        (b"N\x51.", "persistent object"),
        (b"cnumpy\nndarray\n(tR.", "a call of numpy.ndarray"),
        (b"cnumpy\nndarray\n)\x81.", "not a pickle, or damaged"),
        (b"cnumpy\ndtype\n]b.", "a change of a function"),
        (b"cnumpy\ndtype\nN]\x86b.", "a change of a function"),
        (b"]K\0K\x01s.", "asks for a dict"),
        (b"c__builtin__\nbytes\n(J\xff\xff\xff\x7ftR.", "not a pickle, or damaged"),
        (b"c_codecs\nencode\n(X\x01\0\0\0xX\x06\0\0\0rot_13tR.", "encoding 'rot_13'"),
        (b"cnumpy\ndtype\n(X\x02\0\0\0O8tR.", "dtype 'O8'"),
        (b"cnumpy\ndtype\n(K\x07tR.", "dtype int"),
        (b"cnumpy.core.multiarray\nscalar\n(K\x01C\x01\x01tR.", "numpy scalar"),
        (b"]\x94h\x05.", "damaged"),
        (b"I" + b"9" * 9999 + b"\n.", "damaged"),
        (b"\x8e" + b"\xff" * 7 + b"\x3f.", "damaged|expected"),
        (b"]r\xff\xff\xff\x7fr\xff\xff\xff\xff].", "holds a list|damaged"),
        (b"\x80\x09.", "damaged"),
        (b"", "damaged"),
    ],
)
def test_a_program_that_is_no_data_is_refused(tmp_path, program, said):
    refused(tmp_path / "a.bin", program, said)


def test_an_array_whose_parts_do_not_fit_is_refused(tmp_path):
    dtype = b"cnumpy\ndtype\n(X\x02\0\0\0u1tR"
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\x01btR(K\x01"
    for state, said in (
        (b"K\x05\x85" + dtype + b"\x89C\x02abt", "shape .5,. with 2 bytes"),
        (b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86" + dtype + b"\x89C\x01at", "shape"),
        (b"]" + dtype + b"\x89C\x02abt", "without a dtype or a shape"),
        (b"K\x02\x85K\x01\x89C\x02abt", "without a dtype or a shape"),
        (b"K\x02\x85" + dtype + b"\x89](K\x01K\x02et", "array of list objects"),
        (b"t", "a form that numpy does not write"),
    ):
        refused(tmp_path / "a.bin", b"\x80\x02" + start + state + b"b.", said)


def test_a_small_file_cannot_stand_for_more_bytes_than_it_may(tmp_path):
    """One image, named 400,000 times: 400 GB of rows out of 2 MB."""
    image = b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"q\0"
    repeated = b"\x80\x02](" + image + b"h\0" * 399_999 + b"e](" + b"\x88" * 200_000 + b"e\x86."
    refused(tmp_path / "a.bin", repeated, "made to exhaust")


def test_texts_cannot_be_turned_to_bytes_again_and_again(tmp_path):
    text = b"X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20) + b"q\0" + b"X\x06\0\0\0latin1q\x02\x86q\x01"
    calls = b"c_codecs\nencode\nq\x03" + text + b"R" + b"h\x03h\x01R" * 1000
    refused(tmp_path / "a.bin", b"\x80\x02](" + calls + b"e](e\x86.", "more bytes than the file has")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    with (tmp_path / "a.bin").open("wb") as file:
        file.truncate(1 << 40)  # which no memory holds
    with pytest.raises(FormatError, match="expected at most"):
        rb.inspect(tmp_path / "a.bin", format="insightface")


HEAD = b"\x80\x05]q\0"
U1 = b"cnumpy\ndtype\nX\x02\0\0\0u1\x85R"


def tuples(depth: int) -> bytes:
    """A tuple of two tuples that are one, and so on: 2 ** depth of them to whoever follows all."""
    return b")" + b"2\x86" * depth


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (HEAD + b"\x96" + struct.pack("<Q", 1 << 30) + b"abc", "damaged"),
        (HEAD + b"}" + tuples(28) + b"Ns.", "asks for a dict"),
        (HEAD + b"\x8f(" + tuples(28) + b"\x90.", "asks for a set"),
        (HEAD + b"(" + tuples(28) + b"\x91.", "asks for a set"),
        (HEAD + b"(" + tuples(28) + b"Nd.", "asks for a dict"),
        (HEAD + tuples(21) + b"Q.", "the persistent object tuple"),
        (HEAD + b"c_codecs\nencode\nX\x01\0\0\0a" + tuples(21) + b"\x86R.", "the encoding tuple"),
        (HEAD + b"cnumpy\ndtype\n" + tuples(21) + b"\x85R.", "dtype tuple"),
        (HEAD + b"cnumpy.core.numeric\n_frombuffer\n(C\1a" + U1 + b"(" + b"K\2" * 70 + b"tNtR.", "shape of 70"),
    ],
)
def test_a_few_bytes_cost_neither_memory_nor_time(tmp_path, program, said):
    refused(tmp_path / "a.bin", program, said)
    tracemalloc.start()
    try:
        refused(tmp_path / "a.bin", program, said)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_an_array_holds_the_bytes_that_it_is_made_of(tmp_path):
    """400 arrays of one bytearray of 1 MiB."""
    array = b"cnumpy.core.numeric\n_frombuffer\n(h\1" + U1 + b"J\0\0\x10\0\x85NtR"
    content = b"\x80\x05]\x96" + struct.pack("<Q", 1 << 20) + bytes(1 << 20) + b"q\x010(" + array * 400
    (tmp_path / "a.bin").write_bytes(content + b"e](" + b"\x88" * 200 + b"e\x86.")
    tracemalloc.start()
    try:
        assert rb.inspect(tmp_path / "a.bin", format="insightface").num_rows == 200
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_more_steps_than_any_set_takes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("recordio_bridge.formats.pickled._LEAST_STEPS", 1000)
    refused(tmp_path / "a.bin", b"\x80\x02]" + b"]0" * 1000 + b".", "more steps than")


def test_functions_that_files_may_call_are_made_anew_for_each(tmp_path):
    before = rows(save(tmp_path / "lfw.bin", (IMAGES, np.array(SAME))))
    for name in ("__defaults__", "_make", "__dict__"):
        text = b"X" + struct.pack("<I", len(name)) + name.encode()
        (tmp_path / "a.bin").write_bytes(b"\x80\x02cnumpy\ndtype\nN(" + text + b"Nl\x86b.")
        with pytest.raises(FormatError, match="a change of a function"):
            rb.inspect(tmp_path / "a.bin", format="insightface")
    assert rows(save(tmp_path / "b.bin", (IMAGES, np.array(SAME)))) == before
