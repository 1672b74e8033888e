"""What the names in an HDF5 file lead to.

A group holds links, each a name and where it leads: a hard link to an object of this file, of which it may be one of
several names; a soft link to a path, where there may be nothing; an external link to a path in another file.
Specification: HDF5 1.14 file format, IV.A.2.g (link message).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h5py

from ..errors import FormatError

_MOST_NAMES = 100_000  # of groups and datasets: each dataset is a column, and ten times what one Example may have
_DEEPEST = 500  # groups in groups: each is open while those in it are walked through, and names are as long as that
_MOST_ALIASES = 10_000  # names in groups that were seen by another name already: links can make them without end


@dataclass(frozen=True, slots=True)
class _Group:
    """A group that is being walked through, at a place in the file."""

    prefix: str
    id: Any  # Any: h5py has no types
    names: Iterator[bytes]
    place: int
    is_alias: bool


def walk(
    path: str, file: h5py.File, access: Callable[[Any], Any] = lambda dataset: None
) -> Iterator[tuple[str, h5py.Dataset | str]]:
    """Every name in a file that leads to a dataset, or why it cannot be followed; in the order of names.

    A dataset that has several names is found by each. Groups that lead back to one that they lie in are not entered
    again, as nothing new is in them.

    Args:
        access: gives the property list that a dataset is to be opened with; None where it is open as it should be.

    Raises:
        FormatError: the links make names without end, or there are more names than any table has.
    """
    home = h5py.h5o.get_info(file.id)
    seen = {home.addr}
    aliases = names_seen = 0
    _check_count(path, file.id.get_num_objs())
    stack = [_Group("", file.id, iter(sorted(file.id)), home.addr, False)]
    above = {home.addr}  # the places of the groups on the stack
    while stack:
        group = stack[-1]
        raw = next(group.names, None)
        if raw is None:
            above.discard(stack.pop().place)
            continue
        names_seen += 1
        _check_count(path, names_seen)
        aliases += group.is_alias
        _check_aliases(path, aliases)
        name = group.prefix + raw.decode("utf-8", "backslashreplace")
        item = _followed(group.id, raw, home.fileno)
        if isinstance(item, h5py.h5g.GroupID):
            place = h5py.h5o.get_info(item).addr
            if place not in above:
                _check_depth(path, len(stack))
                _check_count(path, names_seen + item.get_num_objs())
                names, alias = iter(sorted(item)), group.is_alias or place in seen
                stack.append(_Group(f"{name}/", item, names, place, alias))
                above.add(place)
                seen.add(place)
        elif isinstance(item, str):
            yield name, item
        elif isinstance(item, h5py.h5d.DatasetID):
            chosen = access(item)
            if chosen is not None:
                del item  # while it is open, opening it again gives the cache that it has
                item = h5py.h5d.open(group.id, raw, chosen)
            yield name, h5py.Dataset(item, readonly=True)  # so that it remembers its shape


def _check_aliases(path: str, aliases: int) -> None:
    if aliases > _MOST_ALIASES:
        raise FormatError(
            f"{path}: its groups hold one another by links, which makes more than {_MOST_ALIASES} names of the same "
            "datasets; damaged, or made to exhaust its reader",
            path=path,
        )


def _check_depth(path: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise FormatError(
            f"{path}: has groups in groups, more than {_DEEPEST} deep; made to exhaust its reader",
            path=path,
        )


def _check_count(path: str, names: int) -> None:
    """FormatError for too many names, also those that a group says it has: so it is known before they are looked at."""
    if names > _MOST_NAMES:
        raise FormatError(
            f"{path}: has more than {_MOST_NAMES} groups and datasets; this is no table, of which each dataset is "
            "a column: gather what belongs together in one dataset",
            path=path,
        )


def _followed(group: Any, name: bytes, fileno: int) -> Any:  # Any: h5py has no types
    """What a link leads to, or the reason why it is not followed. fileno: h5py's number of the file."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return "has a name that is not UTF-8; rename it"
    kind = group.links.get_info(name).type
    if kind == h5py.h5l.TYPE_HARD:
        return h5py.h5o.open(group, name)
    if kind == h5py.h5l.TYPE_EXTERNAL:
        file, inside = (part.decode("utf-8", "backslashreplace") for part in group.links.get_val(name))
        return f"is a link to {inside!r} in another file, {file!r}; copy it into this one"
    if kind != h5py.h5l.TYPE_SOFT:
        return f"is a link of kind {kind}, which programs define for themselves; copy what it leads to into its place"
    told = group.links.get_val(name).decode("utf-8", "backslashreplace")
    try:
        item = h5py.h5o.open(group, name)
    except (KeyError, RuntimeError):
        return f"is a link to {told!r}, which is not there"
    if h5py.h5o.get_info(item).fileno != fileno:
        return f"is a link to {told!r}, which lies in another file; copy it into this one"
    return item
