""".npy and .npz against numpy, .h5 against h5py.

The rule for damaged files. Where ours tells rows to the end, numpy loads the file, and every array of it has the same
values: to the bit, but that any byte but 0 is true in a bool, which numpy keeps as it is. And of a .npz, zipfile finds
every CRC-32 as it should be, which numpy does not look at in all cases. A .npy has no checksum: there a flipped bit of
a value is another value to both.

A .npz is opened as numpy's NpzFile: numpy.load also wants the file to begin with a member, which no value needs.

What numpy loads and ours refuses is a file that is not as numpy writes it: bytes behind the values, a directory that
does not end where its end says, arrays of unlike lengths, what no field can have. Refusing is safe, so for damaged
files that is no difference. Sound files are never refused.

Damaged .h5 files are tests/formats/test_hostile_hdf5.py's, as HDF5 itself may end the process on them.
"""

from __future__ import annotations

import io
import random
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import recordio_bridge as rb
from tests.differential.damage import damaged
from tests.differential.told import Told
from tests.differential.trials import EQUAL, Trial, difference, ours, verdict

NUMBERS = ["?", "i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8", "u1", "<u2", ">u2", "<u4", ">u4", "<u8", ">u8", "<f2"]
NUMBERS += [">f2", "<f4", ">f4", "<f8", ">f8"]
TEXTS = ["S1", "S5", "<U1", "<U4", ">U3"]
RECORDS = [[("x", "<i4"), ("y", ">f8")], [("a", "u1", (2,)), ("s", "S3")], [("p", [("q", "?"), ("r", "<u2")])]]
Columns = dict[str, list[Any]]


# ---- values ----


def random_array(chance: random.Random, rows: int, dtype: Any) -> NDArray[Any]:
    """Rows of random bytes of this dtype, or text; of up to two further dimensions, in either order."""
    dtype = np.dtype(dtype)
    most = 1 if dtype.kind in "SU" or dtype.names else 3
    shape = (rows, *(chance.choice([0, 1, 2, 3, 7]) for _ in range(chance.randrange(most))))
    if dtype.kind == "U":
        flat = [chance.choice(["", "a", "é\0b", "日本", "\U0001f600x", "abcd"]) for _ in range(int(np.prod(shape)))]
        return np.array(flat, dtype).reshape(shape)
    made = np.frombuffer(chance.randbytes(int(np.prod(shape)) * dtype.itemsize), np.uint8)
    values = made.copy().view(dtype).reshape(shape) if dtype.itemsize and made.size else np.zeros(shape, dtype)
    return np.asfortranarray(values) if chance.random() < 0.3 else values


def expected(name: str, array: NDArray[Any]) -> Columns:
    """The fields that an array is read as: each row as its bytes, in native order and C order."""
    if array.dtype.names:
        found: Columns = {}
        for member in array.dtype.names:
            found |= expected(f"{name}/{member}", array[member])
        return found
    if array.dtype.kind in "SU":
        return {name: [_texts(row) for row in array]}
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return {name: [_bytes(row) for row in native]}


def _texts(row: Any) -> Any:
    if isinstance(row, np.ndarray):
        return [_texts(value) for value in row]
    return bytes(row) if isinstance(row, bytes) else str(row).encode()


def _bytes(values: Any) -> bytes:
    """Values as bytes, every true as 1."""
    values = np.asarray(values)
    return (values.view(np.uint8) != 0).tobytes() if values.dtype == bool and values.size else values.tobytes()


def all_columns(path: Path, batch_rows: int) -> Iterator[Columns]:
    """All rows that rb.read tells, column by column."""
    columns: Columns = {}
    for batch in rb.read(path, batch_rows=batch_rows):
        for row in batch.rows():
            for name, value in row.items():
                columns.setdefault(name, []).append(value if isinstance(value, (bytes, list)) else _bytes(value))
    yield columns or {name: [] for name in rb.inspect(path).schema}


# ---- numpy ----


def compare_numpy(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Sound .npy and .npz files by numpy, and by ours, and damaged ones, two to five."""
    while True:
        suffix = chance.choice([".npy", ".npz", ".npz"])
        yield (trial := _saved(folder, suffix, chance))
        yield _saved_by_ours(folder, suffix, chance)
        for _ in range(5):
            content = damaged(chance, trial.content, [0, 30, len(trial.content) - 22, len(trial.content) - 60])
            yield _damaged(folder / f"damaged{suffix}", content, chance)


def _saved(folder: Path, suffix: str, chance: random.Random) -> Trial:
    path, rows = folder / f"theirs{suffix}", chance.choice([0, 1, 2, 5, 33])
    dtypes = chance.choices([*NUMBERS, *TEXTS, *RECORDS], k=1 if suffix == ".npy" else chance.randrange(1, 5))
    arrays = {f"array/{number}": random_array(chance, rows, dtype) for number, dtype in enumerate(dtypes)}
    if suffix == ".npy":
        arrays = {"data": arrays["array/0"]}
        path.write_bytes(_npy(arrays["data"], chance))
    elif chance.random() < 0.4:
        chance.choice([np.savez, np.savez_compressed])(path, **arrays)
    else:
        _write_npz(path, arrays, chance)
    columns = {name: rows for key, array in arrays.items() for name, rows in expected(key, array).items()}
    told = ours(lambda: all_columns(path, chance.choice([1, 4, 1000])))
    return Trial(path.read_bytes(), True, EQUAL, "" if told == Told([columns]) else f"ours tells {str(told)[:300]}")


def _npy(array: NDArray[Any], chance: random.Random) -> bytes:
    """The bytes of a .npy with a header of any version."""
    out = io.BytesIO()
    version = chance.choice([(1, 0), (2, 0), (3, 0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that only newer numpy reads versions 2 and 3
        np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def _write_npz(path: Path, arrays: dict[str, NDArray[Any]], chance: random.Random) -> None:
    """As numpy does, but with any version of the header, members of either kind, and ZIP64 or not."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
            with archive.open(info, "w", force_zip64=chance.random() < 0.5) as member:
                member.write(_npy(array, chance))
        if chance.random() < 0.2:
            archive.comment = chance.randbytes(chance.randrange(40)).replace(b"PK", b"")


def _saved_by_ours(folder: Path, suffix: str, chance: random.Random) -> Trial:
    path, rows = folder / f"ours{suffix}", chance.choice([0, 1, 2, 5, 33])
    dtypes = chance.choices([dtype for dtype in NUMBERS if dtype[0] != ">"], k=1 if suffix == ".npy" else 3)
    arrays = {f"a{number}": random_array(chance, rows, dtype) for number, dtype in enumerate(dtypes)}
    options = {} if suffix == ".npy" else {"compression": chance.choice(["", "DEFLATE"])}
    rb.write(path, rb.Batch.of(dict(arrays)), overwrite=True, **options)
    loaded = np.load(path)
    found = {"a0": loaded} if suffix == ".npy" else dict(loaded)
    wrong = [
        name
        for name, array in arrays.items()
        if (found[name].dtype, found[name].shape, _bytes(found[name])) != (array.dtype, array.shape, _bytes(array))
    ]
    return Trial(path.read_bytes(), True, EQUAL, f"numpy loads other arrays: {wrong}" if wrong else "")


def _damaged(path: Path, content: bytes, chance: random.Random) -> Trial:
    path.write_bytes(content)
    mine, its = ours(lambda: all_columns(path, chance.choice([1, 4, 1000]))), _loaded(path)
    return Trial(content, False, verdict(mine, its), difference(mine, its, lambda: True))


def _loaded(path: Path) -> Told:
    """What numpy loads; an error as well where zipfile says that a CRC-32 does not fit."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix == ".npy":
                return Told([expected("data", np.load(path, allow_pickle=False))])
            with open(path, "rb") as file, np.lib.npyio.NpzFile(file) as loaded:
                columns = {n: rows for key in loaded.files for n, rows in expected(key, loaded[key]).items()}
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except Exception as err:  # numpy raises whatever came up in the code that met the damage
        return Told([], f"{type(err).__name__}: {err}"[:300])
    return Told([columns], None if broken is None else f"the CRC-32 of {broken} does not fit")


# ---- HDF5 ----


def compare_hdf5(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Sound .h5 files by h5py, and by ours."""
    while True:
        yield _h5_by_h5py(folder / "theirs.h5", chance)
        yield _h5_by_ours(folder / "ours.h5", chance)


def _h5_by_h5py(path: Path, chance: random.Random) -> Trial:
    rows = chance.choice([0, 1, 2, 5, 33, 300])
    columns: Columns = {}
    with h5py.File(path, "w", libver=chance.choice(["earliest", "latest", ("earliest", "v108")])) as file:
        for number in range(chance.randrange(1, 5)):
            name = chance.choice([f"d{number}", f"group/d{number}", f"group/deep/d{number}"])
            kind = chance.choice(["plain", "plain", "plain", "text", "ragged"])
            columns |= _PLACED[kind](file, name, rows, chance)
    told = ours(lambda: all_columns(path, chance.choice([1, 4, 1000])))
    return Trial(path.read_bytes(), True, EQUAL, "" if told == Told([columns]) else f"ours tells {str(told)[:300]}")


def _storage(shape: tuple[int, ...], is_plain: bool, chance: random.Random) -> dict[str, Any]:
    """How a dataset lies in the file."""
    if not all(shape) or chance.random() < 0.3:
        return {}
    storage: dict[str, Any] = {"chunks": tuple(chance.randrange(1, size + 1) for size in shape)}
    if chance.random() < 0.3:
        storage["maxshape"] = (None, *shape[1:])
    if is_plain:
        storage |= chance.choice([{}, {"compression": "gzip"}, {"compression": "lzf"}])
        storage |= chance.choice([{}, {"shuffle": True}, {"fletcher32": True}])
    return storage


def _plain_dataset(file: h5py.File, name: str, rows: int, chance: random.Random) -> Columns:
    array = random_array(chance, rows, chance.choice([*NUMBERS, "S1", "S5", *RECORDS]))
    file.create_dataset(name, data=array, **_storage(array.shape, array.dtype.kind != "V", chance))
    return expected(name, array)


def _text_dataset(file: h5py.File, name: str, rows: int, chance: random.Random) -> Columns:
    values = [chance.choice(["", "a", "é b", "日本語", "x" * 300]) for _ in range(rows)]
    if chance.random() < 0.3:
        values, encoding = [value if value.isascii() else "" for value in values], h5py.string_dtype("ascii")
    else:
        encoding = h5py.string_dtype()
    file.create_dataset(name, data=np.array(values, object), dtype=encoding, **_storage((rows,), False, chance))
    return {name: [value.encode() for value in values]}


def _ragged_dataset(file: h5py.File, name: str, rows: int, chance: random.Random) -> Columns:
    dtype = np.dtype(chance.choice(["<i4", ">i2", "<f4", "<f8", "u1"]))
    data = file.create_dataset(name, (rows,), h5py.vlen_dtype(dtype), **_storage((rows,), False, chance))
    values = []
    for row in range(rows):
        values.append(np.frombuffer(chance.randbytes(dtype.itemsize * chance.choice([0, 1, 2, 9])), dtype))
        data[row] = values[-1]
    return {name: [_bytes(value.astype(dtype.newbyteorder("="))) for value in values]}


_PLACED = {"plain": _plain_dataset, "text": _text_dataset, "ragged": _ragged_dataset}


def _h5_by_ours(path: Path, chance: random.Random) -> Trial:
    rows = chance.choice([0, 1, 2, 5, 33, 300])
    dtypes = chance.choices([dtype for dtype in NUMBERS if dtype[0] != ">"], k=chance.randrange(1, 5))
    arrays = {f"a{number}": random_array(chance, rows, dtype) for number, dtype in enumerate(dtypes)}
    rb.write(path, rb.Batch.of(dict(arrays)), overwrite=True, compression=chance.choice(["", "GZIP", "LZF"]))
    with h5py.File(path) as file:
        found = {name: file[name][()] for name in arrays}
    wrong = [
        name
        for name, array in arrays.items()
        if (found[name].dtype, found[name].shape, _bytes(found[name])) != (array.dtype, array.shape, _bytes(array))
    ]
    return Trial(path.read_bytes(), True, EQUAL, f"h5py reads other arrays: {wrong}" if wrong else "")
