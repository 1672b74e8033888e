"""What mxnet 1.9.1 makes of files, for witness.py: its own readers and writers, and what they raise as text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from tests.differential.told import Told
from tests.oracles import import_mxnet

mxnet = import_mxnet()
recordio = mxnet.recordio
warnings.simplefilter("ignore")  # mxnet's own, in pack
KEY_TYPES = {"int": int, "str": str}


def read(path: str) -> Told:
    """The records of a .rec, in order."""
    reader = recordio.MXRecordIO(path, "r")
    records: list[bytes] = []
    try:
        records.extend(iter(reader.read, None))  # keeps those before an error
    except Exception as err:
        return Told(records, _last_line(err))
    finally:
        reader.close()
    return Told(records)


def write(path: str, records: Sequence[bytes]) -> None:
    """Write a .rec."""
    writer = recordio.MXRecordIO(path, "w")
    for record in records:
        writer.write(record)
    writer.close()


def write_indexed(index: str, path: str, keys: Sequence[Any], records: Sequence[bytes], key_type: str) -> None:
    """Write a .rec with its .idx."""
    writer = recordio.MXIndexedRecordIO(index, path, "w", key_type=KEY_TYPES[key_type])
    for key, record in zip(keys, records, strict=True):
        writer.write_idx(key, record)
    writer.close()


def read_indexed(index: str, path: str, key_type: str, keys: Sequence[Any] | None) -> tuple[Told, list[Told]]:
    """The keys that an .idx has with their offsets, and what is read at each of some, None for all of them.

    A reader of mxnet that has met the end stays there, so each key has a new one.
    """
    try:
        reader = recordio.MXIndexedRecordIO(index, path, "r", key_type=KEY_TYPES[key_type])
    except Exception as err:
        return Told([], _last_line(err)), []
    found = Told([(key, reader.idx[key]) for key in reader.keys])
    records = []
    for key in reader.keys if keys is None else keys:
        reader.reset()
        try:
            records.append(Told([reader.read_idx(key)]))
        except Exception as err:
            records.append(Told([], _last_line(err)))
    reader.close()
    return found, records


def pack(header: tuple[Any, ...], content: bytes) -> bytes:
    """An image record."""
    packed: bytes = recordio.pack(header, content)
    return packed


def unpack(record: bytes) -> Told:
    """Flag, label, id, id2 and content of an image record; a label of its own is a list of its bytes."""
    try:
        header, content = recordio.unpack(record)
    except Exception as err:
        return Told([], _last_line(err))
    label = header.label if isinstance(header.label, float) else [header.label.tobytes()]
    return Told([(header.flag, repr(label), header.id, header.id2, content)])


def _last_line(err: Exception) -> str:
    return str(err).strip().rpartition("\n")[2] or type(err).__name__


def read_by_keys(index: str, path: str) -> Told:
    """The records at all keys of an index, one after another, by one reader."""
    found: list[bytes] = []
    try:
        reader = recordio.MXIndexedRecordIO(index, path, "r")
        for key in reader.keys:
            record = reader.read_idx(key)
            if record is not None:  # what it tells at the end of the file, which a loop takes for an image or trips on
                found.append(record)
    except Exception as err:
        return Told(found, _last_line(err))
    return Told(found)


def read_images(path: str) -> Told:
    """Labels and pixels by ImageRecordIter, one at a time, in the order of the file."""
    rows: list[tuple[float, bytes]] = []
    try:
        iterator = mxnet.io.ImageRecordIter(
            path_imgrec=path, data_shape=(3, 16, 16), batch_size=1, preprocess_threads=1, round_batch=False
        )
        for batch in iterator:
            rows.append((float(batch.label[0].asscalar()), batch.data[0].asnumpy().tobytes()))
    except Exception as err:
        return Told(rows, _last_line(err))
    return Told(rows)
