"""numpy's .npy, against numpy itself."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Field, FormatError, Schema, SchemaError, TruncatedError
from recordio_bridge.formats import npy

from .contract import FormatContract, rows_of

DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
]


class TestNpy(FormatContract):
    format = npy.FORMAT
    schema = Schema(Field("pixels", "float32", (4, 3)))
    suffix = ".npy"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("endian", "<>")
def test_whatever_numpy_saves_is_read(tmp_path: Path, dtype: str, order: str, endian: str) -> None:
    values = (np.random.default_rng(1).random((50, 3, 2)) * 100).astype(
        np.dtype(dtype).newbyteorder(endian), order=order
    )
    np.save(tmp_path / "x.npy", values)
    batches = list(rb.read(tmp_path / "x.npy", batch_rows=7))
    found = np.concatenate([batch["data"] for batch in batches])
    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found, values)
    with rb.open(tmp_path / "x.npy") as file:
        assert np.array_equal(file.take([3, 49, 0])["data"], values[[3, 49, 0]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (5, 0), (0, 5), (4, 3, 2)])
def test_what_is_written_is_what_numpy_saves_byte_for_byte(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    rb.write(tmp_path / "x.npy", [{"data": values[:2]}, {"data": values[2:]}])
    expected = io.BytesIO()
    np.save(expected, values)
    assert (tmp_path / "x.npy").read_bytes() == expected.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_of_the_header_are_read(tmp_path: Path, version: tuple[int, int]) -> None:
    values = np.arange(6)
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, values, version=version)
    (batch,) = rb.read(tmp_path / "x.npy")
    assert np.array_equal(batch["data"], values)


def test_a_structured_array_gives_a_field_for_each_member(tmp_path: Path) -> None:
    dtype = np.dtype([("label", ">i4"), ("box", "<f4", (4,)), ("name", "S5"), ("at", [("x", "u1"), ("y", "u1")])])
    values = np.zeros(3, dtype=dtype)
    values["label"], values["name"] = [1, -2, 3], [b"a", b"bc\0d", b""]
    values["box"] = np.arange(12).reshape(3, 4)
    values["at"]["y"] = 7
    np.save(tmp_path / "x.npy", values)
    (batch,) = rb.read(tmp_path / "x.npy")
    assert batch.schema == Schema(
        Field("data/label", "int32"),
        Field("data/box", "float32", (4,)),
        Field("data/name", "bytes"),
        Field("data/at/x", "uint8"),
        Field("data/at/y", "uint8"),
    )
    assert batch["data/label"].tolist() == [1, -2, 3]
    assert list(batch["data/name"]) == [b"a", b"bc\0d", b""]
    assert np.array_equal(batch["data/box"], values["box"])
    assert batch["data/at/y"].tolist() == [7, 7, 7]


def test_text_is_utf8_and_lists_of_text_stay_lists(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([["ä", ""], ["日本", "b"]]))
    (batch,) = rb.read(tmp_path / "x.npy")
    assert batch.schema == Schema(Field("data", "bytes", (2,)))
    assert list(batch["data"]) == [["ä".encode(), b""], ["日本".encode(), b"b"]]


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (np.array([{}, 1], dtype=object), "pickle"),
        (np.array(["2020-01-01"], dtype="M8[s]"), "dates"),
        (np.array([1], dtype="m8[s]"), "time spans"),
        (np.array([1j]), "complex"),
        (np.zeros(3, dtype="V2"), "bfloat16"),
        (np.array(5), "single value"),
    ],
    ids=["objects", "dates", "spans", "complex", "void", "0-d"],
)
def test_what_no_field_can_hold_is_refused_with_advice(tmp_path: Path, values: np.ndarray, advice: str) -> None:
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    with pytest.raises(SchemaError, match=advice) as caught:
        list(rb.read(tmp_path / "x.npy"))
    assert str(tmp_path / "x.npy") in str(caught.value)


def test_a_file_cut_at_any_byte_is_an_error_that_names_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(10))
    data = (tmp_path / "x.npy").read_bytes()
    for size in range(len(data)):
        (tmp_path / "x.npy").write_bytes(data[:size])
        with pytest.raises(rb.BridgeError, match=r"x\.npy"):
            list(rb.read(tmp_path / "x.npy"))


def test_bytes_behind_the_values_are_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(10))
    with open(tmp_path / "x.npy", "ab") as file:
        file.write(b"\0")
    with pytest.raises(FormatError, match="81 bytes of values, expected 80"):
        list(rb.read(tmp_path / "x.npy"))


def header(text: bytes, version: int = 1) -> bytes:
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text


@pytest.mark.parametrize(
    "data",
    [
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }"),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"),
        header(b"{'descr': '<f4', 'fortran_order': 1, 'shape': (1,), }"),
        header(b"{'descr': '<f4', 'shape': (1,), }"),
        header(b"{'descr': (), 'fortran_order': False, 'shape': (1,), }"),
        header(b"{'descr': [()], 'fortran_order': False, 'shape': (1,), }"),
        header(b"__import__('os').system('false')"),
        header(b"(" * 5000),
        header(b"[" * 60000),
        header(b"{'descr': 'nothing', 'fortran_order': False, 'shape': (1,), }"),
        header(b"", version=2)[:8] + (1 << 31).to_bytes(4, "little"),
        header(b"{}", version=9),
    ],
)
def test_a_hostile_header_is_a_format_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(FormatError, match=r"x\.npy"):
        list(rb.read(tmp_path / "x.npy"))


@pytest.mark.parametrize("length", [1 << 20, (1 << 20) + 64])
def test_a_header_of_a_mebibyte_is_read_and_a_longer_one_is_refused(tmp_path: Path, length: int) -> None:
    text = b"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }"
    data = b"\x93NUMPY\x02\x00" + length.to_bytes(4, "little") + text.ljust(length - 1) + b"\n" + bytes(8)
    (tmp_path / "x.npy").write_bytes(data)
    if length > 1 << 20:
        with pytest.raises(FormatError, match="the header claims 1048640 bytes, expected at most 1048576"):
            rb.inspect(tmp_path / "x.npy")
    else:
        assert rb.inspect(tmp_path / "x.npy").num_rows == 2


@pytest.mark.parametrize(
    "text",
    [
        b"{'descr': '<i4', 'fortran_order': False, 'shape': (2L, 3L), }",
        b"{'descr': [('n 1L', '<i4', (3L,))], 'fortran_order': False, 'shape': (2L,), }",
    ],
)
def test_the_long_integers_of_python_2_are_read(tmp_path: Path, text: bytes) -> None:
    """As numpy wrote them on Windows; a name is none, whatever is in it."""
    path = tmp_path / "x.npy"
    path.write_bytes(header(text + b"\n") + np.arange(6, dtype="<i4").tobytes())
    with pytest.warns(UserWarning, match="created on Python 2"):
        expected = np.load(path)
    (batch,) = rb.read(path)
    (name,) = batch
    assert name == ("data/n 1L" if expected.dtype.names else "data")
    assert batch[name].tolist() == [[0, 1, 2], [3, 4, 5]]


_PLAIN = b"{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }"


@pytest.mark.parametrize(
    "damaged",
    {
        "a blank no more": header(_PLAIN + b" \xa0 \n"),
        "a further key": header(_PLAIN[:-1] + b"'x': 1}\n"),
        "an unknown minor version": header(_PLAIN + b"\n").replace(b"Y\1\0", b"Y\1\1"),
        "a name that is cut": header(_PLAIN.replace(b"'<i4'", b"[('a', '<i4'), ('a', '<i4')]") + b"\n"),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_header_that_numpy_refuses_is_refused(tmp_path: Path, damaged: tuple[str, bytes]) -> None:
    """Also where the three keys that count can be made out: its bytes have changed, and maybe not only these."""
    path = tmp_path / "x.npy"
    path.write_bytes(damaged[1] + bytes(4))
    with pytest.raises(ValueError):
        np.load(path)
    with pytest.raises(FormatError, match=r"x\.npy"):
        list(rb.read(path))


def test_a_file_that_another_program_cuts_in_mid_read_is_an_error_not_a_dead_process(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4000, 1000)))
    batches = rb.read(tmp_path / "x.npy", batch_rows=100)
    next(batches)
    with open(tmp_path / "x.npy", "r+b") as file:
        file.truncate(10_000)
    with pytest.raises(TruncatedError, match="another program"):
        list(batches)


def test_only_one_plain_field_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"write \.npz"):
        rb.write(tmp_path / "x.npy", {"a": [1], "b": [2]})
    with pytest.raises(SchemaError, match=r"write \.npz"):
        rb.write(tmp_path / "x.npy", {"a": [b"text"]})
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_the_field_is_an_option_and_comes_from_the_sidecar(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    (batch,) = rb.read(tmp_path / "x.npy", field="label")
    assert list(batch) == ["label"]
    rb.convert(tmp_path / "x.npy", tmp_path / "y.npy", select=["class=data"])
    (batch,) = rb.read(tmp_path / "y.npy")
    assert list(batch) == ["class"]
    assert rows_of([batch]) == rows_of(list(rb.read(tmp_path / "x.npy", field="class")))


@pytest.mark.parametrize("name", ["5L", "it's 5L", 'say "5L"', "5L\\"])
def test_a_name_that_looks_like_an_integer_of_python_2_is_kept(tmp_path, name):
    values = np.zeros(3, [(name, "<i4"), ("it's", "<i4")])
    np.save(tmp_path / "x.npy", values)
    schema = rb.inspect(tmp_path / "x.npy").schema
    assert any(name in field for field in schema)
    old = bytearray((tmp_path / "x.npy").read_bytes())
    at = old.index(b"(3,)")
    old[at : at + 6] = b"(3L,) "  # with the L of Python 2 in the shape as well
    (tmp_path / "x.npy").write_bytes(old)
    assert list(rb.inspect(tmp_path / "x.npy").schema) == list(schema)
