"""Virtual datasets of HDF5, which are put together from others: which of them are read.

A mapping names a source file, "." for its own, and a dataset in it. HDF5 looks for the file beside its own first, fills
in for a source that is not there, or is too short, and follows one that leads back to itself until the process dies. In
both names %b stands for the number of a block, and %% for %.

So all sources must be plain datasets that are there, in the same file or in one beside it.
Specification: HDF5 1.14, H5Pset_virtual.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

_MOST_SOFT_LINKS = 16  # on the way to a source, as many as HDF5 follows
_ENDLESS = h5py.h5s.UNLIMITED  # counts, or sizes of a block, that go as far as there is something
_ADVICE = "copy its values into a plain dataset with h5py: file['copy'] = file[{!r}][()]"


class _RefusedError(Exception):
    """Why a source is not read."""


def refused(local: str, dataset: h5py.Dataset) -> str | None:
    """Why a virtual dataset of the file at local cannot be read; None where all its sources are in their places."""
    shapes: dict[tuple[str, str], tuple[int, ...]] = {}
    try:
        for source in dataset.virtual_sources():
            name = source.file_name, source.dset_name
            if name not in shapes:
                shapes[name] = _shape(local, dataset.file, *name)
            _check_covered(name, shapes[name], source.src_space, source.vspace)
        _check_endless(dataset, shapes)  # HDF5 opens the sources for its shape: now they are known
    except _RefusedError as why:
        return f"{why}; {_ADVICE.format(dataset.name)}"
    return None


def files_beside(local: str, dataset: h5py.Dataset) -> set[str]:
    """The files that the values of a virtual dataset lie in, beside its own; of one that is not refused."""
    names = {_unescaped(source.file_name) for source in dataset.virtual_sources()} - {"."}
    paths = (os.path.realpath(os.path.join(os.path.dirname(local), name)) for name in names)
    return set(paths) - {os.path.realpath(local)}


def chunk_of_sources(local: str, dataset: h5py.Dataset) -> tuple[int, ...] | None:
    """The smallest chunk that its values lie in, None where in no chunks; of a virtual dataset that is not refused.

    The last axis of a source is taken for the dataset's last one, as it is where rows, or whole files, are stacked.
    """
    names = {(source.file_name, source.dset_name) for source in dataset.virtual_sources()}
    chunks = []
    for name in names:
        with _source(local, dataset.file, *name) as found:
            plist = found.get_create_plist()
            if plist.get_layout() == h5py.h5d.CHUNKED:
                chunks.append((*(1,) * len(dataset.shape), *plist.get_chunk())[-len(dataset.shape) :])
    return tuple(map(min, zip(*chunks, strict=True))) if chunks else None


def _shape(local: str, own: h5py.File, file_name: str, name: str) -> tuple[int, ...]:
    """The shape of a source."""
    with _source(local, own, file_name, name) as found:
        return tuple(found.shape)


@contextmanager
def _source(local: str, own: h5py.File, file_name: str, name: str) -> Iterator[Any]:  # Any: h5py has no types
    """A source, open."""
    with _opened(local, own, _unescaped(file_name)) as file:
        found = _followed(file.id, _unescaped(name).encode("utf-8", "surrogateescape"))
        if found is None:
            raise _RefusedError(
                f"is put together from others, and {name!r} is not there in {file_name!r}; HDF5 would fill in for it"
            )
        if not isinstance(found, h5py.h5d.DatasetID):
            raise _RefusedError(f"is put together from {name!r} in {file_name!r}, which is no dataset")
        plist = found.get_create_plist()
        if plist.get_layout() == h5py.h5d.VIRTUAL:
            raise _RefusedError(f"is put together from {name!r} in {file_name!r}, which is put together itself")
        if plist.get_external_count():
            raise _RefusedError(f"is put together from {name!r}, which keeps its values in another file")
        yield found


def _unescaped(name: str) -> str:
    if any(part != "%%" for part in re.findall(r"%%|%\d*b", name)):
        raise _RefusedError(f"is put together from {name!r}, which stands for any number of names")
    return name.replace("%%", "%")


@contextmanager
def _opened(local: str, own: h5py.File, name: str) -> Iterator[h5py.File]:
    """The file of a source: the virtual dataset's own, or one beside it."""
    if name == ".":
        yield own
        return
    folder = os.path.dirname(local)
    path = os.path.join(folder, name)
    if not name or os.path.basename(name) != name or name == "..":
        raise _RefusedError(f"is put together from other files, and {name!r} does not lie beside this one")
    if not os.path.isfile(path):
        raise _RefusedError(f"is put together from other files, and {name!r} is not there; HDF5 would fill in for it")
    if os.path.samefile(path, local):
        yield own
        return
    homes = os.path.realpath(folder), os.path.dirname(os.path.realpath(local))  # the latter: of a farm of links
    if os.path.dirname(os.path.realpath(path)) not in homes:
        raise _RefusedError(f"is put together from other files, and {name!r} is a link that leads out of its folder")
    try:
        file = h5py.File(path, "r")
    except OSError as err:
        raise _RefusedError(f"is put together from other files, and {name!r} cannot be opened ({err})") from err
    with file:
        yield file


def _followed(file: Any, name: bytes) -> Any:  # Any: h5py has no types
    """What a path leads to by hard and soft links, None where there is nothing. Links out of the file are refused."""
    root = item = h5py.h5g.open(file, b"/")
    parts, links = name.split(b"/")[::-1], 0
    while parts:
        part = parts.pop()
        if part in (b"", b"."):
            continue
        if not isinstance(item, h5py.h5g.GroupID) or not item.links.exists(part):
            return None
        kind = item.links.get_info(part).type
        if kind == h5py.h5l.TYPE_HARD:
            item = h5py.h5o.open(item, part)
        elif kind == h5py.h5l.TYPE_SOFT and links < _MOST_SOFT_LINKS:
            links += 1
            target = item.links.get_val(part)
            item = root if target.startswith(b"/") else item
            parts += target.split(b"/")[::-1]
        else:
            raise _RefusedError(f"is put together from {name.decode('utf-8', 'replace')!r}, a link to another file")
    return item


def _check_covered(name: tuple[str, str], shape: tuple[int, ...], source: Any, wanted: Any) -> None:
    """Refuses a source that has not all that is mapped. Of one without end see _check_endless."""
    if source.get_select_type() == h5py.h5s.SEL_NONE:
        return
    if source.get_select_type() == h5py.h5s.SEL_ALL:  # it has no shape of its own
        fits, asked = (
            math.prod(shape) == wanted.get_select_npoints(),
            f"all {wanted.get_select_npoints()} values are asked of it",
        )
    else:
        ends = _ends(source)
        fits = len(ends) == len(shape) and all(end is None or end <= n for end, n in zip(ends, shape, strict=True))
        asked = f"what is asked of it ends at {tuple(ends)}"
    if not fits:
        raise _RefusedError(
            f"is put together from {name[1]!r} in {name[0]!r}, which has the shape {shape}, and {asked}; "
            "HDF5 would fill in for the rest"
        )


def _ends(space: Any) -> list[int | None]:  # Any: h5py has no types
    """Where a selection ends in each dimension; None where it goes on."""
    if space.get_select_type() == h5py.h5s.SEL_HYPERSLABS and space.is_regular_hyperslab():
        runs = zip(*space.get_regular_hyperslab(), strict=True)
        return [
            None if _ENDLESS in (count, block) else start + stride * (count - 1) + block
            for start, stride, count, block in runs
        ]
    return [int(last) + 1 for last in space.get_select_bounds()[1]]


def _check_endless(dataset: h5py.Dataset, shapes: dict[tuple[str, str], tuple[int, ...]]) -> None:
    """Refuses a source without end that is shorter than another one beside it, by which the dataset is as long."""
    for source in dataset.virtual_sources():
        there = _count(source.src_space, shapes[source.file_name, source.dset_name])
        wanted = _count(source.vspace, dataset.shape) if there is not None else None
        if there is not None and wanted is not None and there < wanted:
            raise _RefusedError(
                f"is put together from {source.dset_name!r} in {source.file_name!r}, which has {there} of the "
                f"{wanted} that others have; HDF5 would fill in for the rest"
            )


def _count(space: Any, shape: tuple[int, ...]) -> int | None:  # Any: h5py has no types
    """How many a selection without end takes out of this shape, in the dimension in which it goes on; else None."""
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return None
    for n, start, stride, count, block in zip(shape, *space.get_regular_hyperslab(), strict=True):
        left: int = max(n - start, 0)
        if block == _ENDLESS:
            return left
        if count == _ENDLESS:
            return int(left // stride * block + min(left % stride, block))
    return None
