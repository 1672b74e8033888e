"""What tensorflow_datasets wants beside TFRecords, so that tfds.builder_from_directory reads them.

    mydata/1.0.0/mydata-train.tfrecord-00000-of-00002      the rows, as tf.train.Examples
                 features.json                             what their features are
                 dataset_info.json                         name, version, and the rows of each shard
                 label.labels.txt                          the names of the classes of a field, if there are any

A field is one feature under its own name, slashes and all: row["image/encoded"].

    field                                feature
    bytes, all of them JPEG or PNG       Image
    bytes, all of them UTF-8             Text
    other bytes                          Tensor of string
    numbers, fixed shapes                Tensor; packing "raw" is its encoding "bytes"
    integers with class names            ClassLabel
    any number of values                 Sequence, also of ClassLabel

Specification: tensorflow_datasets 4.9.10, core/naming.py, core/features; see tests/test_tfds_oracle.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _kernels
from .batch import Batch, Ragged
from .errors import SchemaError
from .images import Images
from .parsing import stored
from .schema import INTEGERS, Field, Schema, Shape
from .sidecar import ClassNames

FEATURES, DATASET_INFO, LABELS = "features.json", "dataset_info.json", ".labels.txt"
MOST_BEFORE = 1 << 22
"""Names of classes that are made up, as their numbers: what has the most classes, InsightFace's sets, has 2 million."""
_MODULES = "tensorflow_datasets.core.features"
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_NAME = re.compile(
    r"(?P<name>[a-zA-Z]\w*):(?P<version>(0|[1-9]\d*)(\.(0|[1-9]\d*)){2})(:(?P<split>\w[\w-]*))?", re.ASCII
)
_WITH_ALPHA = _kernels.ALPHA | _kernels.TRANSPARENT


@dataclass(frozen=True, slots=True)
class DatasetName:
    """What tensorflow_datasets calls a dataset, its version, and the split that one output is."""

    name: str
    version: str
    split: str = "train"

    @classmethod
    def parse(cls, text: str) -> DatasetName:
        """NAME:VERSION or NAME:VERSION:SPLIT; ValueError for other texts."""
        match = _NAME.fullmatch(text)
        if match is None:
            raise ValueError(
                f"tfds {text!r}: expected NAME:VERSION or NAME:VERSION:SPLIT, such as mydata:1.0.0:train; a name is "
                "letters, digits and _, a version three numbers, a split may have -"
            )
        return cls(match["name"], match["version"], match["split"] or "train")

    @property
    def file_name(self) -> str:
        """What the shards of the split are called, but for their numbers."""
        return f"{self.name}-{self.split}.tfrecord"

    def __str__(self) -> str:
        return f"{self.name}:{self.version}:{self.split}"


class Contents:
    """What the bytes of each field hold, found out as the rows pass by.

    found: by field, words that are true of some of its rows: "jpeg", "png", "text", "other"; of the PNGs "gray",
    "colour", "alpha", "8" and "16" (bits).
    """

    def __init__(self) -> None:
        self.found: dict[str, set[str]] = {}

    def add(self, batch: Batch) -> None:
        """Look at the fields of one bytes value a row."""
        for name, field in batch.schema.items():
            column = batch[name]
            if field.dtype == "bytes" and field.shape == () and isinstance(column, Ragged) and len(column):
                self.found.setdefault(name, set()).update(_words_of(column))

    def to_json(self) -> dict[str, list[str]]:
        return {name: sorted(words) for name, words in self.found.items()}

    @classmethod
    def joined(cls, parts: Iterable[Mapping[str, Sequence[str]]]) -> Contents:
        """What to_json gave of several parts, together."""
        contents = cls()
        for part in parts:
            for name, words in part.items():
                contents.found.setdefault(name, set()).update(words)
        return contents


def _words_of(column: Ragged) -> set[str]:
    images = Images.of(column)
    is_jpeg, is_png = images.kinds == _kernels.JPEG, images.kinds == _kernels.PNG
    traits = images.traits[is_png & (images.heights > 0)]
    colour, alpha, deep = (traits & bits != 0 for bits in (_kernels.COLOUR, _WITH_ALPHA, _kernels.DEEP))
    rows = {"jpeg": is_jpeg, "png": is_png, "gray": ~colour, "colour": colour, "alpha": alpha, "16": deep, "8": ~deep}
    words = {word for word, found in rows.items() if found.any()}
    others = column.take(np.flatnonzero(~is_jpeg & ~is_png))
    return words | ({"text" if _is_text(others) else "other"} if len(others) else set())


def _is_text(column: Ragged) -> bool:
    """Whether each row is UTF-8: all of them together, and none begins inside of a character."""
    base, starts, lengths = column.compact().spans
    if (base < 128).all():
        return True
    try:
        base.tobytes().decode()
    except UnicodeDecodeError:
        return False
    return not (base[starts[lengths > 0]] & 0xC0 == 0x80).any()


# ---- features.json ----


def check_features(schema: Schema) -> None:
    """SchemaError for a field that no feature of TFDS is."""
    for field in schema.values():
        problem = _problem(field)
        if problem:
            raise SchemaError(f"field {field} has no feature in tensorflow_datasets: {problem}", field=field.name)


def _problem(field: Field) -> str | None:
    if 0 in field.shape:
        return "no row has a value; leave it out with --select"
    if field.packing == "raw" and field.shape == (None,):
        return f"tensors of variable length are no bytes there; store them as lists: --pack {field.name}=list"
    if field.packing == "raw" and field.dtype == "uint32":
        return f"tf.io.decode_raw lacks uint32; store it as a list: --pack {field.name}=list"
    return None


def features(
    schema: Schema,
    contents: Contents,
    shapes: Mapping[str, Shape] | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> tuple[dict[str, bytes], list[str]]:
    """features.json, and what belongs to it, by the name of the file; and notes for people.

    Args:
        shapes: of the images of fields in which all have one, as where we encoded them.
        classes: the names of the classes of integer fields, from 0 on.

    Raises:
        SchemaError: a field has no feature, or its classes cannot have these names; see check_classes.
    """
    check_features(schema)
    files: dict[str, bytes] = {}
    notes: list[str] = []
    made: dict[str, object] = {}
    for name, field in schema.items():
        if classes and name in classes:
            made[name] = _of_classes(field, classes[name])
            files[labels_name(name)] = "".join(f"{each}\n" for each in classes[name]).encode()
        elif field.dtype == "bytes" and field.shape == ():
            words = contents.found.get(name, set())
            made[name], note = _of_bytes(name, words, None if shapes is None else shapes.get(name))
            notes += [] if note is None else [note]
        else:
            made[name] = _of_values(field)
    content = _feature("features_dict.FeaturesDict", {"features": made})
    return {FEATURES: _json(content), **files}, notes


def labels_name(field: str) -> str:
    """What the file with the names of a field's classes is called."""
    return f"{field.replace('/', '.')}{LABELS}"


def _of_bytes(name: str, words: set[str], shape: Shape | None) -> tuple[object, str | None]:
    """The feature of bytes of which these words are true, and a note where it does not give all that they are."""
    kinds, note = words & {"jpeg", "png"}, None
    if not kinds or words & {"text", "other"}:
        return (_feature("text_feature.Text", {}) if words == {"text"} else _tensor("string", ())), None
    if "16" in words and words & {"8", "jpeg"}:
        note = (
            f"field {name!r}: images of 8 and of 16 bits are no one Image of tensorflow_datasets: it gives their bytes"
        )
        return _tensor("string", ()), note
    channels = 3
    if "alpha" in words and "jpeg" not in words:
        channels = 4
    elif "alpha" in words:
        note = f"field {name!r}: tensorflow_datasets gives RGB, as some images are JPEG; alpha is in the files only"
    elif not words & {"jpeg", "colour"}:
        channels = 1
    image: dict[str, object] = {
        "shape": _dimensions((None, None, channels) if shape is None else shape),
        "dtype": "uint16" if "16" in words else "uint8",
    }
    if len(kinds) == 1:
        image["encodingFormat"] = kinds.pop()
    return _feature("image_feature.Image", image), note


def _of_classes(field: Field, names: Sequence[str]) -> object:
    check_classes(field, names)
    label = _feature("class_label_feature.ClassLabel", {"numClasses": str(len(names))})
    if field.shape == ():
        return label
    length = "-1" if field.shape[0] is None else str(field.shape[0])
    return _feature("sequence_feature.Sequence", {"feature": label, "length": length})


def _of_values(field: Field) -> object:
    if field.shape == (None,):
        return _feature("sequence_feature.Sequence", {"feature": _tensor(_dtype(field), ()), "length": "-1"})
    return _tensor(_dtype(field), field.shape, "bytes" if stored(field).is_raw else "none")


def _dtype(field: Field) -> str:
    return "string" if field.dtype == "bytes" else field.dtype


def _tensor(dtype: str, shape: Shape, encoding: str = "none") -> object:
    return _feature("tensor_feature.Tensor", {"shape": _dimensions(shape), "dtype": dtype, "encoding": encoding})


def _dimensions(shape: Shape) -> dict[str, object]:
    return {"dimensions": ["-1" if n is None else str(n) for n in shape]} if shape else {}


def _feature(kind: str, content: Mapping[str, object]) -> dict[str, object]:
    """A feature as the JSON of its protobuf message: the member is called after the class."""
    name = kind.rpartition(".")[2]
    return {"pythonClassName": f"{_MODULES}.{kind}", name[0].lower() + name[1:]: dict(content)}


def names_from_0(names: ClassNames) -> list[str]:
    """The names of all classes: those before the first that has one are called by their number, as TFDS does it.

    Raises:
        SchemaError: the first class has a number below 0.
    """
    if names.first < 0:
        raise SchemaError(
            f"field {names.field!r}: tensorflow_datasets has class names from 0 on, and these begin at {names.first}; "
            f"add to the classes: --select '{names.field}={names.field} + {-names.first}', or --label-offset",
            field=names.field,
        )
    if names.first > MOST_BEFORE:
        raise SchemaError(
            f"field {names.field!r}: its class names begin at {str(names.first)[:40]}, and tensorflow_datasets has one "
            f"for each class from 0 on, of which at most {MOST_BEFORE} are made up",
            field=names.field,
        )
    return [*map(str, range(names.first)), *names.names]


def check_classes(field: Field, names: Sequence[str]) -> None:
    """SchemaError where the values of a field are no classes of TFDS, or cannot have these names.

    It reads a name from each line, strips it, and leaves out empty ones.
    """
    if field.dtype not in INTEGERS or len(field.shape) > 1 or field.packing != "list":
        raise SchemaError(
            f"field {field} has class names, and is no integer, as tensorflow_datasets wants; select one, such as "
            f"--select '{field.name}:int64={field.name}[0]', or leave the names out",
            field=field.name,
        )
    seen: dict[str, int] = {}
    for number, name in enumerate(names):
        if name != name.strip() or not name or "\n" in name:
            raise SchemaError(
                f"field {field.name!r}: tensorflow_datasets has no class called {name!r}", field=field.name
            )
        if seen.setdefault(name, number) != number:
            raise SchemaError(
                f"field {field.name!r}: classes {seen[name]} and {number} are both called {name!r}, and "
                "tensorflow_datasets wants names that differ",
                field=field.name,
            )


# ---- dataset_info.json ----


def dataset_info(dataset: DatasetName, num_rows: Sequence[int], nbytes: int) -> bytes:
    """dataset_info.json of one split. num_rows: of each shard."""
    split = {
        "name": dataset.split,
        "filepathTemplate": _TEMPLATE,
        "shardLengths": [str(rows) for rows in num_rows],
        "numBytes": str(nbytes),
    }
    content = {
        "name": dataset.name,
        "version": dataset.version,
        "description": "Converted by recordio_bridge.",
        "fileFormat": "tfrecord",
        "splits": [split],
    }
    return _json(content)


def others_in(content: object, dataset: DatasetName) -> list[str]:
    """What a dataset_info.json, as JSON has it, describes beside this split: NAME:SPLIT each."""
    info: Any = content if isinstance(content, dict) else {}  # Any: what a JSON object holds
    listed = info.get("splits")
    splits = [split.get("name") for split in listed if isinstance(split, dict)] if isinstance(listed, list) else []
    found = [f"{info.get('name')}:{split}" for split in splits]
    return [name for name in found if name != f"{dataset.name}:{dataset.split}"]


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
