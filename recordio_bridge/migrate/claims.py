"""Whether what came out of JSON is what the dataclass that it was put into declares.

A plan and its receipts lie where others can write. What they claim is looked at once, where it is read, and not
wherever a number turns out to be a text.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints, is_typeddict

_MOST = 1 << 64  # of numbers, which are sizes, places, times and checksums
_ANY_SIZE = ("seed",)  # which numpy takes of any size

Check: TypeAlias = Callable[[Any], bool]  # Any: what is to be looked at
_NAMED = {"Mapping": Mapping, "Sequence": Sequence}  # what modules import for their annotations alone


def check_claims(value: Any) -> None:  # Any: a dataclass
    """Look at the fields of a dataclass, and of those in it.

    Raises:
        TypeError: one is not of its type, or a number that no file has.
    """
    for name, fits in _checks(value.__class__).items():
        if not fits(getattr(value, name)):
            raise TypeError(f"{name} is {repr(getattr(value, name))[:80]}")


@cache
def _checks(kind: Any) -> dict[str, Check]:
    hints = get_type_hints(kind, localns=_NAMED)
    return {each.name: _check(hints[each.name], each.name) for each in fields(kind)}


def _check(hint: Any, name: str) -> Check:  # Any: what annotations are
    origin, args = get_origin(hint), get_args(hint)
    if hint in (object, Any):
        return lambda value: True
    if hint is int:
        is_any_size = name in _ANY_SIZE
        return lambda value: type(value) is int and (is_any_size or abs(value) < _MOST)
    if hint is float:
        return lambda value: type(value) in (int, float) and abs(value) < _MOST  # no NaN either
    if origin is Literal:
        return lambda value: value in args
    if origin in (Union, types.UnionType):
        any_of = [_check(each, name) for each in args]
        return lambda value: any(fits(value) for fits in any_of)
    if origin is tuple and args[1:] != (...,):
        each_of = [_check(each, name) for each in args]
        return lambda value: (
            isinstance(value, (tuple, list))
            and len(value) == len(each_of)
            and all(fits(each) for fits, each in zip(each_of, value, strict=True))
        )
    if origin is tuple:
        fits_one = _check(args[0], name)
        return lambda value: isinstance(value, tuple) and all(map(fits_one, value))
    if origin is Sequence:
        fits_item = _check(args[0], name)
        return lambda value: isinstance(value, (tuple, list)) and all(map(fits_item, value))
    if origin is Mapping or origin is dict:
        key, item = (_check(each, name) for each in args)
        return lambda value: isinstance(value, dict) and all(key(k) and item(v) for k, v in value.items())
    if is_typeddict(hint):
        keys = {key: _check(each, key) for key, each in get_type_hints(hint, localns=_NAMED).items()}
        return lambda value: all(key in value and fits(value[key]) for key, fits in keys.items())
    is_nested = is_dataclass(hint)
    return lambda value: isinstance(value, hint) and (not is_nested or _fits(value))


def _fits(value: Any) -> bool:  # Any: a dataclass
    return all(fits(getattr(value, name)) for name, fits in _checks(value.__class__).items())
