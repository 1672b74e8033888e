"""The arguments of plan and run, looked at before anything is done with them: an error names the argument."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from ..arguments import described, dict_of, names, texts, truth, whole
from ..sources import SourceArgument
from .shuffled import LEAST_MEMORY

_Check = Callable[[str, object], object]
_LEAST = -(1 << 62)  # of an offset, which may well be negative


def checked(options: Mapping[str, object]) -> dict[str, object]:
    """The options of migrate.Options, with whole numbers as int; without those that are None, which say nothing.

    Raises:
        TypeError: a value is not of a type that its option takes.
        ValueError: a number is too small.
    """
    return {name: _CHECKS[name](name, each) for name, each in options.items() if each is not None}


def listed(sources: SourceArgument) -> list[str]:
    """The sources as a list of paths.

    Raises:
        TypeError: one is none.
        ValueError: there are none.
    """
    if isinstance(sources, (str, os.PathLike)):
        return [path("sources", sources)]
    if not isinstance(sources, Iterable) or isinstance(sources, (bytes, bytearray, Mapping)):
        raise TypeError(f"sources: expected a path, or a list of paths; found {described(sources)}")
    found = [path("sources", each) for each in sources]
    if not found:
        raise ValueError("no sources: the list is empty")
    return found


def path(name: str, value: object) -> str:
    """A path as text.

    Raises:
        TypeError: it is none.
        ValueError: it is empty, as an unset variable of a shell is.
    """
    plain = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(plain, str):
        raise TypeError(f"{name}: expected a path; found {described(value)}")
    if not plain:
        raise ValueError(f"{name}: expected a path; found ''; the folder where you are is '.'")
    return plain


def text(what: str, name: str, value: object) -> str:
    """A text, which is what.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: expected a text: {what}")
    return value


def call(name: str, value: object) -> None:
    """Look at what is to be called.

    Raises:
        TypeError: it cannot be.
    """
    if value is not None and not callable(value):
        raise TypeError(f"{name}: expected a function; found {described(value)}")


def _number(least: int, name: str, value: object) -> int:
    return whole(name, value, least)


def _offset(name: str, value: object) -> int:
    try:
        return whole(name, value, _LEAST)
    except TypeError:
        raise TypeError(f"{name}={value!r}: expected a whole number") from None


def _pairs(what: str, name: str, value: object) -> object:
    return texts(name, value, what)


def _dict(what: str, name: str, value: object) -> object:
    return dict_of(name, value, what)


def _names(name: str, value: object) -> object:
    """Some names, or none."""
    return value if value == () or value == [] else names(name, value)


def _class_names(name: str, value: object) -> object:
    return path(name, value) if isinstance(value, (str, os.PathLike)) else names(name, value)


_OPTIONS = "a dict such as {'compression': 'GZIP'}"
_CHECKS: dict[str, _Check] = {
    "name": partial(text, "the stem of the files"),
    "shard_bytes": partial(_number, 1),
    "shards": partial(_number, 1),
    "mirror": truth,
    "split": partial(text, "parts, such as 'train=0.9,validation=0.1'"),
    "shuffle": truth,
    "seed": partial(_number, 0),
    "memory": partial(_number, LEAST_MEMORY),
    "scan": truth,
    "select": partial(_pairs, "a dict, or texts, such as {'class:int64': 'label[0]'} or ['class:int64=label[0]']"),
    "preset": partial(text, "the name of a preset"),
    "label_offset": _offset,
    "class_names": _class_names,
    "where": partial(text, "the name of a field"),
    "verify": partial(text, "'content', 'counts' or 'none'"),
    "on_bad_record": partial(text, "'raise' or 'skip'"),
    "allow_lossy": _names,
    "pack": partial(_dict, "a dict such as {'embedding': 'raw'}"),
    "source_options": partial(_dict, _OPTIONS),
    "target_options": partial(_dict, _OPTIONS),
    "decode": partial(_pairs, "fields, such as ['image'] or {'image': 'gray'}"),
    "encode": partial(_pairs, "fields with formats, such as {'image': 'png'} or ['image=jpeg:95']"),
    "tfds": partial(text, "NAME:VERSION, or NAME:VERSION:SPLIT"),
    "tfmd": truth,
}
