"""What callers pass, looked at before anything is done with it: an error names the argument, what it is, and what it
may be."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping

import numpy as np


def whole(name: str, value: object, least: int, what: str = "a whole number") -> int:
    """A whole number of at least so much, also one of numpy's.

    Raises:
        TypeError, ValueError: it is none.
    """
    expected = f"{name}={value!r}: expected {what}, {least} or more"
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # refuses all others
    except TypeError as err:
        raise TypeError(expected) from err
    if isinstance(value, bool):
        raise TypeError(expected)
    if number < least:
        raise ValueError(expected)
    return number


def truth(name: str, value: object) -> bool:
    """True or False, also one of numpy's.

    Raises:
        TypeError: it is something else, such as the text "no", which counts as true.
    """
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name}={value!r}: expected True or False")


def pair(name: str, value: object, what: str) -> tuple[int, int]:
    """Two whole numbers.

    Raises:
        TypeError: it is something else.
    """
    try:
        first, second = map(operator.index, value)  # type: ignore[call-overload]  # refuses all others
    except (TypeError, ValueError) as err:
        raise TypeError(f"{name}={value!r}: expected {what}") from err
    return first, second


def names(name: str, value: object) -> tuple[str, ...]:
    """Some names.

    Raises:
        TypeError: it is a single one, or not all are text.
        ValueError: there is none.
    """
    expected = f"{name}={value!r}: expected a list of names"
    if isinstance(value, str):
        raise TypeError(f"{expected}, such as [{value!r}]")
    given = tuple(value) if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)) else None
    if given is None or not all(isinstance(each, str) for each in given):
        raise TypeError(expected)
    if not given:
        raise ValueError(f"{expected}, of one or more")
    return tuple(map(str, given))


def texts(name: str, value: object, what: str) -> Mapping[str, str] | tuple[str, ...]:
    """A dict from text to text, or texts, also a single one.

    Raises:
        TypeError: it is something else.
    """
    found: Mapping[str, str] | tuple[str, ...] | None = None
    if isinstance(value, Mapping):
        found = dict(value)
    elif isinstance(value, Iterable):
        found = (value,) if isinstance(value, str) else tuple(value)
    if found is not None:
        parts = (*found, *found.values()) if isinstance(found, Mapping) else found
        if all(isinstance(each, str) for each in parts):
            return found
    raise TypeError(f"{name}={value!r}: expected {what}")


def dict_of(name: str, value: object, what: str, text: str = "") -> Mapping[str, object]:
    """A dict.

    Args:
        text: what to do where it is text.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, Mapping):
        return value
    advice = f"; {text}" if text and isinstance(value, (str, bytes)) else ""
    raise TypeError(f"{name} is {described(value)}: expected {what}{advice}")


def described(value: object) -> str:
    """What it is, for messages: itself where it is short, else its type."""
    if value is None or isinstance(value, (int, float)):
        return repr(value)
    return "text" if isinstance(value, str) else f"an object of type {type(value).__name__}"
