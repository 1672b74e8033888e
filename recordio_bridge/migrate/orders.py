"""Orders, each of which writes one file.

An Order is a pure function of its fields: run twice, anywhere, it writes the same bytes. It is JSON, so that it
crosses to another process as a line of text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, TypeAlias, TypedDict, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..formats.base import Extent, OnBadRecord
from ..schema import Packing, Schema
from ..select import Selection
from .fingerprints import SourceFile
from .quarantine import Quarantined, quarantined_from_json
from .recode import encoded_schema, recoded_schema
from .wishes import Verify

_Value = TypeVar("_Value")
Pairs: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Rows first to stop of all rows of the extents, in an order that the seed and their number decide.

    That is a permutation: it sorts random 64-bit keys, of which each row has one. Where sorted_parts cut it in parts,
    the rows of each part are in the order of the files: a split that is not shuffled.
    """

    seed: int
    first: int
    stop: int
    sorted_parts: tuple[int, ...] = ()
    """The bounds of the parts in the permutation, from 0 to the number of rows; () for the permutation as it is."""

    @property
    def next_keys(self) -> Callable[[int], NDArray[np.uint64]]:
        """Gives the keys of the first so many rows; called again, of those behind them.

        PCG64's stream is promised to stay as it is (NEP 19), which Generator.permutation is not.
        """
        return cast("Callable[[int], NDArray[np.uint64]]", np.random.PCG64(self.seed).random_raw)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Shuffle:  # Any: what a JSON object holds
        return cls(value["seed"], value["first"], value["stop"], tuple(value.get("sorted_parts", ())))


@dataclass(frozen=True, slots=True)
class Order:
    """One file to write: from what, with which columns, and how it is verified."""

    source_format: str
    extents: tuple[tuple[Extent, Mapping[str, object]], ...]
    """Parts of files in the order of their rows, each with the resolved options of its format."""
    schema: Schema
    """What is read."""
    select: Pairs | None
    allow_lossy: tuple[str, ...]
    pack: Pairs
    target_format: str
    target: str
    target_options: Mapping[str, object]
    verify: Verify
    on_bad_record: OnBadRecord
    num_rows: int
    """How many rows are expected, for progress; damage that is skipped may make them fewer."""
    holds: tuple[str, Schema] | None = None
    """Where records pass through undecoded: their payload, and the fields that each must hold."""
    shuffle: Shuffle | None = None
    decode: Schema = field(default_factory=Schema)
    """The fields of arrays that encoded images become, by the names that they are selected as."""
    encode: Pairs = ()
    """How arrays become encoded images, by the names that they are selected as; see images.Encoding."""
    encode_read: Pairs = ()
    """The same of fields as they are read, before anything is selected of them."""
    looks: bool = False
    """Whether the receipt is to say what bytes hold; see tfds.Contents."""
    where: str | None = None
    """Only rows in which this field is not empty are written."""
    classes: str | None = None
    """The field that holds classes, whose range is reported."""
    sources: tuple[SourceFile, ...] = ()
    """Of a migration: what the file of each extent was when the plan was made."""
    beside: tuple[SourceFile, ...] = ()
    """Of a migration: the same of what lies beside them and is read with them: indexes, sidecars, lists of labels."""
    without: tuple[str, ...] = ()
    """Of a shuffle: files whose rows are left out of those of the permutation."""
    nbytes: int = 0
    """Of a migration: how much of the sources it reads, for progress."""
    lacking: tuple[Quarantined, ...] = ()
    """Of a migration: sources that were found bad while it was planned, whose rows belong here."""
    _digest: str = field(default="", init=False, repr=False, compare=False)
    """What digest found, which is asked for several times."""

    @property
    def paths(self) -> set[str]:
        """The sources of its rows, also those that it lacks."""
        return {source.path for source in self.sources} | {each.path for each in self.lacking}

    def selection(self) -> Selection:
        """The columns that are chosen of those that are read."""
        schema = encoded_schema(self.schema, self.encode_read)
        return _selection(self.select, schema, self.allow_lossy, self.pack, self.where, self.classes)

    @property
    def written(self) -> Schema:
        """The fields of the file."""
        selected = self.selection().schema
        return recoded_schema(self, selected) if self.decode or self.encode else selected

    @property
    def digest(self) -> str:
        """What tells it from every other order: those that are equal write the same bytes."""
        return digests([self])[0]

    def to_json(self) -> dict[str, object]:
        """The order as JSON. Not by asdict, which takes 20 us for each source; this takes 1.4."""
        return {**self._bare_json(), **self.sources_json()}

    def sources_json(self) -> dict[str, object]:
        """Of the JSON, the SourceFields."""
        return {name: _field_json(self, name) for name in _SOURCES}

    def line_json(self) -> dict[str, object]:
        """The order as JSON; that of a permutation without what they share."""
        return self.to_json() if self.shuffle is None else self._bare_json()

    def _bare_json(self) -> dict[str, object]:
        value = {name: None if name in _SOURCES else getattr(self, name) for name in _NAMES}
        holds = None if self.holds is None else [self.holds[0], self.holds[1].to_json()]
        known = {
            "schema": self.schema.to_json(),
            "holds": holds,
            "shuffle": None if self.shuffle is None else _flat(self.shuffle),
            "decode": self.decode.to_json(),
            "lacking": [_flat(each) for each in self.lacking],
        }
        return {**value, **known}

    @classmethod
    def from_json(
        cls, value: dict[str, Any], shared: SourceFields | None = None
    ) -> Order:  # Any: what a JSON object holds
        """The order of which this is the JSON; shared: what that of line_json is without."""
        known: dict[str, object] = {
            "schema": Schema.from_json(value["schema"]),
            "select": None if value["select"] is None else tuple((name, text) for name, text in value["select"]),
            "allow_lossy": tuple(value["allow_lossy"]),
            "pack": tuple((name, packing) for name, packing in value["pack"]),
            "holds": None if value["holds"] is None else (value["holds"][0], Schema.from_json(value["holds"][1])),
            "shuffle": None if value["shuffle"] is None else Shuffle.from_json(value["shuffle"]),
            "decode": Schema.from_json(value["decode"]),
            "encode": tuple((name, how) for name, how in value["encode"]),
            "encode_read": tuple((name, how) for name, how in value["encode_read"]),
            "without": tuple(value["without"]),
            "lacking": tuple(quarantined_from_json(each) for each in value["lacking"]),
        }
        return cls(**{**value, **known, **(sources_from_json(value) if shared is None else shared)})


class SourceFields(TypedDict):
    """What an order reads, in the fields that grow with the number of files. All orders of a permutation share them."""

    extents: tuple[tuple[Extent, Mapping[str, object]], ...]
    sources: tuple[SourceFile, ...]
    beside: tuple[SourceFile, ...]


def sources_from_json(value: dict[str, Any]) -> SourceFields:  # Any: what a JSON object holds
    """What Order.sources_json gave."""
    return {
        "extents": tuple((Extent(**extent), options) for extent, options in value["extents"]),
        "sources": tuple(SourceFile(**source) for source in value["sources"]),
        "beside": tuple(SourceFile(**file) for file in value["beside"]),
    }


def digests(orders: Sequence[Order]) -> list[str]:
    """The digest of each order. What one has in common with that before it is not made text again."""
    last: dict[str, tuple[object, str]] = {}
    for order in orders:
        if order._digest:
            continue
        for name in _SOURCES:
            if name not in last or last[name][0] is not getattr(order, name):
                last[name] = getattr(order, name), _text(_field_json(order, name))
        bare = order._bare_json()
        parts = [f'"{name}": {last[name][1] if name in _SOURCES else _text(bare[name])}' for name in sorted(_NAMES)]
        text = f"{{{', '.join(parts)}}}"  # the same as _text gives of all of it
        object.__setattr__(order, "_digest", hashlib.sha256(text.encode()).hexdigest()[:32])
    return [order._digest for order in orders]


def _field_json(order: Order, name: str) -> list[object]:
    if name == "extents":
        return [(_flat(extent), options) for extent, options in order.extents]
    return [_flat(file) for file in (order.sources if name == "sources" else order.beside)]


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def distinct(values: Iterable[_Value]) -> list[_Value]:
    """Each object once, in place of comparing what may be thousands of equal files."""
    return list({id(value): value for value in values}.values())


_SOURCES = tuple(SourceFields.__annotations__)


@lru_cache(maxsize=16)  # asked for ten times of each order, and most orders of a migration have the same
def _selection(
    select: Pairs | None, schema: Schema, lossy: tuple[str, ...], pack: Pairs, where: str | None, classes: str | None
) -> Selection:
    packing = cast("dict[str, Packing]", dict(pack))
    return Selection(None if select is None else dict(select), schema, lossy, packing, where, classes)


_NAMES = tuple(each.name for each in fields(Order) if each.init)


def _flat(value: Extent | Shuffle | SourceFile | Quarantined) -> dict[str, object]:
    """A dataclass whose fields are JSON already."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
