"""The drop-in for mxnet.recordio: image records."""

from __future__ import annotations

import pickle
import struct
import sys

import numpy as np
import pytest

from recordio_bridge import mxrecordio
from recordio_bridge.errors import FormatError, MissingDependencyError
from recordio_bridge.mxrecordio import IRHeader, pack, pack_img, unpack, unpack_img

# ---- image records ----


def test_pack_writes_the_header_of_24_bytes():
    assert pack((0, 4, 2574, 0), b"IMG") == bytes.fromhex(
        "00000000 00008040 0e0a0000 00000000 00000000 00000000 494d47"
    )
    assert pack((0, [4, 5.5], 1, 0), b"IMG") == bytes.fromhex(
        "02000000 00000000 01000000 00000000 00000000 00000000 00008040 0000b040 494d47"
    )
    assert mxrecordio._IR_SIZE == struct.calcsize(mxrecordio._IR_FORMAT) == 24


@pytest.mark.parametrize(
    ("label", "stored"),
    [(3, 3.0), (3.5, 3.5), (True, 1.0), (np.float32(2), 2.0), (np.int64(7), 7.0), (1e39, np.inf), (np.nan, np.nan)],
)
def test_a_number_as_label_goes_into_the_header(label, stored):
    header, content = unpack(pack(IRHeader(5, label, 1, 2), b"x"))
    assert (header.flag, header.id, header.id2, content) == (0, 1, 2, b"x")
    assert type(header.label) is float
    np.testing.assert_equal(header.label, stored)


@pytest.mark.parametrize(
    ("label", "labels"),
    [
        ([1, 2], [1, 2]),
        ((1.5,), [1.5]),
        (np.array(4), [4]),
        (np.bool_(True), [1]),
        (np.array([[1, 2], [3, 4]], order="F"), [1, 2, 3, 4]),
        (np.arange(6)[::2], [0, 2, 4]),
        (np.array([7, 8], ">i8"), [7, 8]),
    ],
)
def test_any_other_label_goes_behind_the_header_as_float32(label, labels):
    header, content = unpack(pack((99, label, 0, 0), b"content"))
    assert (header.flag, content) == (len(labels), b"content")
    assert header.label.dtype == np.float32
    assert header.label.tolist() == labels


@pytest.mark.parametrize("label", [[], (), np.zeros(0), np.zeros((0, 5))])
def test_no_labels_at_all_are_the_number_0_as_in_mxnet(label):
    assert unpack(pack((3, label, 0, 0), b"x")) == (IRHeader(0, 0.0, 0, 0), b"x")


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**32, 2**63, 2**64 - 1])
def test_ids_have_64_bits(number):
    header, _ = unpack(pack((0, 1.0, number, 2**64 - 1 - number), b""))
    assert (header.id, header.id2) == (number, 2**64 - 1 - number)


@pytest.mark.parametrize("header", [(0, 1, -1, 0), (0, 1, 2**64, 0), (0, 1, 0, 1.5), (0, 2j, 0, 0), (0, 1, None, 0)])
def test_a_header_that_cannot_be_stored_is_a_value_error(header):
    with pytest.raises(ValueError, match="id and id2 are 0 to"):
        pack(header, b"")


def test_a_header_needs_four_values_and_a_content_of_bytes():
    with pytest.raises(TypeError):
        pack((0, 1, 0), b"")
    with pytest.raises(TypeError):
        pack((0, 1, 0, 0), "text")
    for label in (1, [1, 2]):
        for kind in (bytearray, memoryview):
            assert pack((0, label, 0, 0), kind(b"ab")) == pack((0, label, 0, 0), b"ab")


def test_labels_do_not_keep_the_image_in_memory_and_may_be_changed():
    header, _ = unpack(pack((0, [1, 2], 0, 0), bytes(1000)))
    assert header.label.base is None
    header.label[0] = 5
    assert header.label.tolist() == [5, 2]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_unpack_takes_any_bytes_and_gives_the_content_in_the_same_type(kind):
    for label in (3.0, [1.0, 2.0]):
        header, content = unpack(kind(pack((0, label, 0, 0), b"content")))
        assert np.asarray(header.label).tolist() == label
        assert (type(content), bytes(content)) == (kind, b"content")


@pytest.mark.parametrize("size", range(36))
def test_a_record_too_short_for_its_header_or_labels_is_a_format_error(size):
    with pytest.raises(FormatError, match=f"record of {size} bytes, expected at least {24 if size < 24 else 36}"):
        unpack(pack((0, [1, 2, 3], 0, 0), b"")[:size])


def test_a_flag_of_four_billion_labels_is_a_format_error():
    with pytest.raises(FormatError, match="expected at least 17179869204 for an image header with 4294967295 labels"):
        unpack(b"\xff" * 100)


def test_a_header_is_a_tuple_with_names_that_pickles():
    header = IRHeader(flag=0, label=1.0, id=2, id2=3)
    assert header == (0, 1.0, 2, 3)
    assert header._replace(id=7) == IRHeader(0, 1.0, 7, 3)
    assert pickle.loads(pickle.dumps(header)) == header


def test_without_opencv_images_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'recordio_bridge\[images\]'"):
        pack_img((0, 1, 0, 0), np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(MissingDependencyError, match="needs opencv-python-headless"):
        unpack_img(pack((0, 1, 0, 0), b"\xff\xd8"))
