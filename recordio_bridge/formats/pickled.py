"""Reading a pickle without running it: bytes, numbers, texts, lists, tuples, and numpy arrays of bytes.

A pickle is a program for a small machine that can call any function by its name. Here it gets only those that the
arrays of numpy are made with, and these are ours: nothing of what the file names is imported or called. Whatever else
is asked for is a FormatError with its name.

The machine is that of the standard library, in Python: the one in C makes room for as many memo entries as a file
claims. A few bytes can nest a tuple in itself so that 2 ** 60 of them are to be followed: nothing here follows one, as
its repr or hash would, so there are no dicts and sets, whose keys are hashed.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

from ..errors import FormatError

_DTYPES = {"u1": "uint8", "B": "uint8", "uint8": "uint8", "b1": "bool", "?": "bool", "bool": "bool"}
_MOST_DIMENSIONS = 64  # numpy's
_LEAST_STEPS = 1 << 23  # that any file may take, and as many as half its bytes: a step takes up to 70 bytes of memory
_REFUSED = {
    "dict": (pickle.EMPTY_DICT, pickle.DICT, pickle.SETITEM, pickle.SETITEMS),
    "set": (pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
}
_BROKEN = (  # what the machine raises for a program that makes no sense
    pickle.UnpicklingError,
    AssertionError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


class Refused(Exception):
    """What a pickle may not ask for."""


class PickledArray:
    """An array of one byte an item: its dtype, shape and bytes."""

    __slots__ = ("data", "dtype", "shape")

    def __init__(self) -> None:
        self.dtype, self.shape, self.data = "uint8", (0,), b""

    def __setstate__(self, state: object) -> None:
        """(version, shape, dtype, is_fortran, bytes), as numpy pickles an array."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise Refused("an array in a form that numpy does not write")
        self._fill(state[4], state[2], state[1])

    @classmethod
    def of(cls, data: object, dtype: object, shape: object) -> PickledArray:
        """An array of these bytes."""
        array = cls()
        array._fill(data, dtype, shape)
        return array

    def _fill(self, data: object, dtype: object, shape: object) -> None:
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
            raise Refused("an array without a dtype or a shape")
        if not isinstance(data, bytes):
            raise Refused(f"an array of {type(data).__name__} objects")
        if len(shape) > _MOST_DIMENSIONS:
            raise Refused(f"an array with a shape of {len(shape)} dimensions")
        count = 1
        for size in shape:
            count *= max(size, 0)
        if count != len(data):
            raise Refused(f"an array of shape {shape} with {len(data)} bytes")
        self.dtype, self.shape, self.data = dtype.name, shape, data


class _Dtype:
    """numpy.dtype of one byte an item; its state, of byte order and fields, means nothing then."""

    __slots__ = ("name",)

    def __init__(self, text: object) -> None:
        name = text.decode("latin-1") if isinstance(text, bytes) else text
        known = _DTYPES.get(name.lstrip("|")) if isinstance(name, str) else None
        if known is None:
            raise Refused(f"an array of dtype {_shown(name)} (allowed are uint8 and bool)")
        self.name = known

    def __setstate__(self, state: object) -> None:
        pass


class _Maker:
    """A function that a pickle may call. Its state is nobody's to set."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise Refused("a change of a function")


def _shown(value: object) -> str:
    """A value of a file for a message: of a tuple, which may be endless, only the type."""
    return repr(value[:40]) if isinstance(value, (str, bytes)) else type(value).__name__


def _scalar(dtype: object, data: object = b"\0") -> object:
    """A numpy scalar, as a Python one."""
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes) or len(data) != 1:
        raise Refused("a numpy scalar of more than a byte")
    return bool(data[0]) if dtype.name == "bool" else data[0]


def _no_call(*arguments: object) -> object:
    raise Refused("a call of numpy.ndarray")


def _refusal(what: str) -> Callable[[pickle._Unpickler], None]:
    def refuse(machine: pickle._Unpickler) -> None:
        raise Refused(f"a {what}")

    return refuse


_STEPS: dict[int, Callable[..., None]] = {
    **pickle._Unpickler.dispatch,
    # As bytes: a bytearray has its size before there is a byte, and each array would need a copy of it.
    pickle.BYTEARRAY8[0]: pickle._Unpickler.dispatch[pickle.BINBYTES8[0]],
    **{code[0]: _refusal(what) for what, codes in _REFUSED.items() for code in codes},
}


class _Steps(dict[int, Callable[..., None]]):
    """What the machine does for each code, so many times at most."""

    def __init__(self, left: int) -> None:
        super().__init__(_STEPS)
        self._left = left

    def __getitem__(self, code: int) -> Callable[..., None]:
        self._left -= 1
        if self._left < 0:
            raise Refused("more steps than its size explains")
        return super().__getitem__(code)


class _Machine(pickle._Unpickler):  # private by name only: the C one cannot be told to bound its memo
    def __init__(self, stream: io.BytesIO, nbytes: int) -> None:
        super().__init__(stream, fix_imports=False, encoding="bytes")  # bytes: what Python 2 called str
        self._room = nbytes
        self.dispatch = _Steps(max(_LEAST_STEPS, nbytes // 2))  # type: ignore[misc]  # a class variable there
        array = _Maker(lambda kind, shape, code: PickledArray())
        buffer = _Maker(lambda data, dtype, shape, order: PickledArray.of(data, dtype, shape))
        self._known: dict[tuple[str, str], _Maker] = {
            ("numpy", "ndarray"): _Maker(_no_call),
            ("numpy", "dtype"): _Maker(lambda text, *flags: _Dtype(text)),
            ("_codecs", "encode"): _Maker(self._encode),
            ("builtins", "bytes"): _Maker(lambda: b""),
            ("__builtin__", "bytes"): _Maker(lambda: b""),
        }
        for home in ("numpy.core", "numpy._core"):  # before and since numpy 2
            self._known[f"{home}.multiarray", "_reconstruct"] = array
            self._known[f"{home}.multiarray", "scalar"] = _Maker(_scalar)
            self._known[f"{home}.numeric", "_frombuffer"] = buffer

    def find_class(self, module: str, name: str) -> Any:  # Any: as the standard library says
        try:
            return self._known[module, name]
        except KeyError:
            raise Refused(f"{module}.{name}"[:80]) from None

    def get_extension(self, code: int) -> None:
        raise Refused(f"the registered extension {code}")

    def persistent_load(self, pid: object) -> Any:
        raise Refused(f"the persistent object {_shown(pid)}")

    def _encode(self, text: object, encoding: object) -> bytes:
        """How Python 3 pickles bytes for Python 2: as text in latin-1. Together they are no larger than the file."""
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1", b"latin1", b"latin-1"):
            raise Refused(f"a text in the encoding {_shown(encoding)}")
        self._room -= len(text)
        if self._room < 0:
            raise Refused("more bytes than the file has")
        return text.encode("latin-1")


def unpickle(path: str, data: bytes) -> object:
    """What a file of these bytes holds: only bytes, numbers, texts, None, lists, tuples and PickledArrays.

    Raises:
        FormatError: it asks for anything else, or is no pickle.
    """
    stream = io.BytesIO(data)
    machine = _Machine(stream, len(data))
    try:
        content = machine.load()
    except Refused as err:
        raise FormatError(
            f"{path}: asks for {err}, which no verification set of InsightFace needs; only bytes, bools, lists, tuples "
            "and numpy arrays of uint8 or bool are read, as anything else may run a program",
            path=path,
        ) from err
    except _BROKEN as err:
        what = f"{type(err).__name__}: {err}"[:120]
        raise FormatError(f"{path}: not a pickle, or damaged ({what})", path=path) from err
    finally:
        vars(machine).clear()  # it refers to itself, and would keep what it read until the collector comes by
    if stream.read(1):
        raise FormatError(f"{path}: bytes follow the end of the pickle; damaged, or another file", path=path)
    return content
