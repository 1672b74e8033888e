"""A migration as a file: --config migration.toml, with the names of the options.

    sources = ["faces/", "more/*.rec"]
    output = "faces-tfrecord"
    to = "tfrecord"
    shard-bytes = "512MiB"
    shuffle = true
    seed = 1

    [select]
    "image/encoded" = "image"
    "image/class/label:int64" = "label[0]"

Arrays and tables stand for options that are given several times, true for those without a value. An option that is
given on the command line, too, is that of the command line alone. Paths are relative to the current folder.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias

from ..paths import read_up_to

_PATHS = ("sources", "output")
_LARGEST = 1 << 24  # bytes: as many as the paths of 100,000 sources
_OWN = ("config",)  # what a file cannot say
Add: TypeAlias = Callable[[argparse.ArgumentParser], None]
Check: TypeAlias = Callable[[argparse.Namespace], object]


class _Parser(argparse.ArgumentParser):
    """One that says what is wrong by an exception."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def read_config(path: str, add_options: Add, check: Check, given: Sequence[str]) -> tuple[list[str], list[str]]:
    """The paths of a file, sources then output, and its options as arguments of the command line.

    Args:
        add_options: gives a parser the options that there are.
        check: raises TypeError or ValueError where the value of an option cannot be right.
        given: the arguments of the command line; options that are there are not taken from the file.

    Raises:
        ValueError: it cannot be read, or is no TOML, or has what is no option, or not such a value; with the line.
    """
    text, content = _read(path)
    parser = _Parser(add_help=False, allow_abbrev=False)
    add_options(parser)
    known = {option.removeprefix("--") for option in parser._option_string_actions if option.startswith("--")}
    arguments: list[str] = []
    for name, value in content.items():
        where = f"{path}: line {_line_of(text, name)}: {name}"
        option = name.replace("_", "-")
        if name in _PATHS:
            continue
        if option not in known or option in _OWN:
            raise ValueError(f"{where} is no option of migrate; there are {', '.join(sorted(known - set(_OWN)))}")
        if isinstance(value, list) and not _is_repeated(parser, f"--{option}"):
            raise ValueError(f"{where}: expected one value, found the list {value!r}")
        if isinstance(value, dict) and not _is_repeated(
            parser, f"--{option}"
        ):  # split = {train = 0.9, validation = 0.1}
            value = ",".join(_pair(part, each) for part, each in value.items())
        mine = _as_arguments(f"--{option}", value, where)
        try:
            check(parser.parse_args(mine))
        except (TypeError, ValueError) as err:
            raise ValueError(f"{where}: {str(err).removeprefix(f'argument --{option}: ')}") from None
        if not any(argument.partition("=")[0] == f"--{option}" for argument in given):
            arguments += mine
    return _paths(content, path, text), arguments


def _read(path: str) -> tuple[str, dict[str, object]]:
    """The text of a file of TOML, and what it says."""
    try:
        with open(path, "rb") as file:
            data = read_up_to(file, _LARGEST)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; --config takes the path of a .toml") from None
    except OSError as err:
        raise ValueError(f"{path}: {err.strerror}; --config takes the path of a .toml") from err
    if len(data) > _LARGEST:
        raise ValueError(f"{path}: more than {_LARGEST} bytes, which are no options of migrate")
    try:
        text = data.decode()
        return text, tomllib.loads(text)
    except UnicodeDecodeError as err:  # a path that is not what it says is another path
        line = data.count(b"\n", 0, err.start) + 1
        raise ValueError(f"{path}: line {line}: not UTF-8, as TOML is; save it as that") from None
    except (RecursionError, ValueError) as err:  # also of a number of 5,000 digits
        raise ValueError(f"{path}: not TOML: {err}") from None


def _paths(content: dict[str, object], path: str, text: str) -> list[str]:
    """Of sources and output, which come together or not at all."""
    if not any(name in content for name in _PATHS):
        return []
    sources, out = content.get("sources"), content.get("output")
    listed = [sources] if isinstance(sources, str) else sources
    if not isinstance(listed, list) or not listed or not all(isinstance(each, str) for each in listed):
        line = _line_of(text, "sources")
        raise ValueError(f"{path}: line {line}: sources: expected a path, or a list of paths; found {sources!r}")
    if not isinstance(out, str):
        raise ValueError(
            f"{path}: line {_line_of(text, 'output')}: output: expected the path of a folder; found {out!r}"
        )
    return [*listed, out]


def _as_arguments(option: str, value: object, where: str) -> list[str]:
    """A value as it would stand on the command line."""
    if isinstance(value, bool):
        return [option] if value else []
    if isinstance(value, (str, int, float)):
        return [f"{option}={value}"]
    if isinstance(value, dict):
        return [
            argument for name, each in value.items() for argument in _as_arguments(option, _pair(name, each), where)
        ]
    if isinstance(value, list):
        return [argument for each in value for argument in _as_arguments(option, each, where)]
    raise ValueError(f"{where}: expected a text, a number, true or false, a list or a table; found {value!r}")


def _is_repeated(parser: argparse.ArgumentParser, option: str) -> bool:
    """Whether an option may be given several times."""
    return isinstance(parser._option_string_actions[option], argparse._AppendAction)


def _pair(name: str, value: object) -> str:
    """An entry of a table, as --select and its like take it; --decode takes the name alone for true."""
    return name if value is True else f"{name}={value}"


def _line_of(text: str, name: str) -> int:
    """Where a key of the file, or a table of this name, stands; 1 where it does not."""
    quoted = re.escape(name)
    pattern = re.compile(rf"""^\s*\[?\s*["']?{quoted}["']?\s*[\].=]""")
    lines = (number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line))
    return next(lines, 1)
