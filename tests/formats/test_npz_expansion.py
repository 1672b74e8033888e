"""A .npz that unpacks to far more than it is: memory goes by what is likely, and not by what its headers say."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import FormatError
from recordio_bridge.formats import array_columns, framed

from .test_expansion import READ, peak

MEGABYTE = 1 << 20


def trap(path: Path, dtype: str, shape: tuple[int, ...], method: int = zipfile.ZIP_DEFLATED, name: str = "a") -> Path:
    """Adds an array of zeros to a file."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": dtype, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "a", method) as archive, archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        member.write(head.getvalue())
        left = int(np.prod(shape)) * np.dtype(dtype).itemsize
        while left:
            left -= member.write(bytes(min(left, 16 * MEGABYTE)))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
@pytest.mark.parametrize(
    "code", [READ.replace(", payload='raw'", ""), "rb.inspect(path)", "rb.open(path)"], ids=["read", "inspect", "open"]
)
def test_what_numpy_never_writes_is_refused_before_it_is_unpacked(tmp_path: Path, method: int, code: str) -> None:
    path = trap(tmp_path / "x.npz", "|u1", (1, 128 * MEGABYTE), method)
    printed, grown = peak(code, path)
    assert printed == "FormatError"
    assert grown < 32
    with pytest.raises(FormatError, match=r"x\.npz: member 'a\.npy': is packed by method \d+, .*savez_compressed"):
        rb.inspect(path)


@pytest.mark.parametrize("order", "CF")
def test_a_row_of_more_than_is_likely_is_refused_unless_it_is_trusted(
    tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framed, "_HELD", MEGABYTE)
    path = tmp_path / "x.npz"
    values = np.zeros((3, 2 * MEGABYTE), dtype=np.uint8, order=order)  # type: ignore[call-overload]  # C or F
    np.savez_compressed(path, a=values)
    with pytest.raises(FormatError, match=r"member 'a\.npy': .* bytes.*expansion='any'"):
        next(rb.read(path, 1))
    with pytest.raises(FormatError, match=r"expansion='any'"):
        rb.open(path)
    with pytest.raises(FormatError, match=r"expansion='any'"):
        rb.convert(path, tmp_path / "y.npz", shards=2)
    assert list(tmp_path.iterdir()) == [path]
    assert sum(map(len, rb.read(path, expansion="any"))) == 3
    with rb.open(path, expansion="any") as file:
        assert file[2]["a"].nbytes == 2 * MEGABYTE
    options = {"source_options": {"expansion": "any"}, "target_options": {"compression": "DEFLATE"}}
    assert rb.convert(path, tmp_path / "y.npz", **options).num_rows == 3
    assert rb.verify(tmp_path / "y.npz").ok


def test_offsets_of_more_than_is_likely_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trap(tmp_path / "x.npz", "<i8", (MEGABYTE,), name="a/offsets")
    trap(path, "|u1", (0,), name="a/values")
    assert sum(map(len, rb.read(path))) == MEGABYTE - 1
    monkeypatch.setattr(framed, "_HELD", MEGABYTE)
    monkeypatch.setattr(array_columns, "_MOST_OFFSETS", MEGABYTE)
    with pytest.raises(FormatError, match=r"'a/offsets' has 1048576 entries.* 8388608 bytes.*expansion='any'"):
        rb.inspect(path)
    assert rb.inspect(path, expansion="any").num_rows == MEGABYTE - 1


def test_many_rows_may_expand_as_they_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framed, "_HELD", 8 * MEGABYTE)
    path = trap(tmp_path / "x.npz", "|u1", (MEGABYTE, 64))
    assert path.stat().st_size < MEGABYTE
    assert sum(map(len, rb.read(path))) == MEGABYTE
    assert rb.convert(path, tmp_path / "y.npz", target_options={"compression": "DEFLATE"}).num_rows == MEGABYTE


def test_what_a_conversion_packs_well_itself_is_no_trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framed, "_HELD", MEGABYTE)
    path = trap(tmp_path / "x.npz", "|u1", (3, 2 * MEGABYTE), zipfile.ZIP_STORED)
    assert rb.convert(path, tmp_path / "y.npz", target_options={"compression": "DEFLATE"}).num_rows == 3
    assert rb.verify(tmp_path / "y.npz").ok
