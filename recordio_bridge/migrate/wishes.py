"""What the caller asks of a conversion, beside source and target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..formats.base import OnBadRecord
from ..presets import check_preset
from ..schema import Packing
from ..shards import shard_names
from ..tfds import DatasetName
from .splits import Splits

MOST_SHARDS = 1_000_000
"""Of an output: 250 TB in files of 256 MiB. Each has an order, which takes 9 KB of memory."""
Verify: TypeAlias = Literal["content", "counts", "none"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asked for, beside source and target. The names are those of api.convert."""

    select: Mapping[str, str] | Sequence[str] | None = None
    shards: int | None = None
    shuffle: bool = False
    seed: int | None = None
    verify: Verify = "content"
    on_bad_record: OnBadRecord = "raise"
    allow_lossy: Sequence[str] = ()
    pack: Mapping[str, Packing] | None = None
    target_options: Mapping[str, object] | None = None
    decode: Mapping[str, str] | Sequence[str] = ()
    encode: Mapping[str, str] | Sequence[str] = ()
    tfds: str | None = None
    tfmd: bool = False
    where: str | None = None
    preset: str | None = None
    label_offset: int | None = None
    class_names: Sequence[str] | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        if self.verify not in ("content", "counts", "none"):
            raise ValueError(f"verify={self.verify!r}: expected 'content', 'counts' or 'none'")
        if self.shards is not None and self.shards < 1:
            raise ValueError(f"shards={self.shards}: expected 1 or more")
        if self.shards is not None and self.shards > MOST_SHARDS:
            raise ValueError(f"shards={self.shards}: expected at most {MOST_SHARDS}")
        if self.seed is not None and not self.shuffle and self.split is None:
            raise ValueError("a seed without shuffle=True (--shuffle), or a split, does nothing")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed={self.seed}: expected 0 or more")
        if self.split is not None:
            Splits.parse(self.split)
        check_preset(self.preset, self.label_offset)

    @property
    def dataset(self) -> DatasetName | None:
        """What tensorflow_datasets is to call the output."""
        return None if self.tfds is None else DatasetName.parse(self.tfds)

    def shard_names(self, output: str) -> list[str]:
        """The files of the output."""
        return shard_names(output, self.shards if self.tfds is None else self.shards or 1, number_last=bool(self.tfds))
