"""Files beside an output for other programs: features.json and dataset_info.json (tfds), schema.pbtxt (tfmd)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..documents import read_json
from ..errors import FormatError, SchemaError
from ..files import Pending, discard, pending_file
from ..formats import is_called_as_data
from ..formats.base import Format
from ..paths import exists, is_beside, is_folder, make_folder
from ..remote import is_remote
from ..schema import Schema, Shape
from ..sidecar import ClassNames
from ..tfds import (
    DATASET_INFO,
    FEATURES,
    Contents,
    DatasetName,
    check_classes,
    check_features,
    dataset_info,
    features,
    names_from_0,
    others_in,
)
from ..tfmd import schema_text
from .classes import given_names

if TYPE_CHECKING:
    from .planning import Plan
    from .wishes import Wishes
    from .work import Receipt

_LARGEST = 1 << 26  # bytes of a dataset_info.json that we read


def tfmd_path(output: str) -> str:
    """Where the schema.pbtxt of an output belongs."""
    return f"{output}.schema.pbtxt"


def output_in(folder: str, dataset: DatasetName) -> str:
    """The output that a split of a dataset is, in this folder; the folder may be named with it, and be still to make.

    Raises:
        ValueError: what is given is no folder, or called as a file of data.
        FileExistsError: another split, or another dataset, is in this folder.
    """
    if os.path.basename(folder) == dataset.file_name:
        folder = os.path.dirname(folder)
    elif not is_folder(folder) and (exists(folder) or is_called_as_data(folder)):
        raise ValueError(
            f"{folder}: with tfds= (--tfds), the output is the folder of the dataset, such as "
            f"{dataset.name}/{dataset.version}, which is made, and not a file"
        )
    info = os.path.join(folder, DATASET_INFO)
    if is_beside(info):
        try:
            others = others_in(read_json(info, _LARGEST), dataset)
        except FormatError as err:
            raise FileExistsError(
                f"{info} is there, and cannot be read: {err}; remove it, or take another folder"
            ) from err
        if others:
            raise FileExistsError(
                f"{info} is of {', '.join(others)}; write each split to a folder of its own, and read them together "
                "with tfds.builder_from_directories"
            )
    return os.path.join(folder, dataset.file_name)


@contextmanager
def made_folder(folder: str) -> Iterator[None]:
    """Make a folder, and those that it is in; where the block raises, those that were made are removed again."""
    if is_remote(folder):
        make_folder(folder)
        yield
        return
    missing = []
    while folder and not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    try:
        for path in reversed(missing):
            with suppress(FileExistsError):  # of another process
                os.mkdir(path)
        yield
    except BaseException:
        for path in missing:
            with suppress(OSError):  # not empty, or not ours
                os.rmdir(path)
        raise


def neighbour_paths(output: str, wishes: Wishes) -> list[str]:
    """The files that will be written for other programs, as far as that is known before."""
    folder = os.path.dirname(output)
    paths = [os.path.join(folder, name) for name in (FEATURES, DATASET_INFO)] if wishes.dataset else []
    return paths + ([tfmd_path(output)] if wishes.tfmd else [])


def check_neighbours(plan: Plan, format: Format, options: Any) -> None:  # Any: the format's own dataclass
    """Raise, before anything is written, where the output cannot be what the other programs read.

    Raises:
        ValueError: it has no tf.train.Examples, or is compressed.
        SchemaError: a field has no feature in tensorflow_datasets, or its classes cannot have the names given.
    """
    asked = [name for name, wish in (("tfds", plan.dataset), ("tfmd", plan.tfmd)) if wish]
    if asked and plan.payload != "example":
        raise ValueError(f"{plan.output}: {asked[0]} (--{asked[0]}) is for records that are tf.train.Examples")
    if plan.dataset is not None:
        if format.name != "tfrecord" or options.compression not in ("auto", ""):
            raise ValueError(f"{plan.output}: tensorflow_datasets reads TFRecord that is not compressed")
        check_features(plan.schema)
        names = given_names(plan.wishes, plan.orders[0].classes)
        if names is not None:
            check_classes(plan.schema[names.field], names_from_0(names))


def write_neighbours(
    plan: Plan, receipts: Sequence[Receipt], names: ClassNames | None
) -> tuple[list[Pending], list[str]]:
    """The files, waiting for their names, and notes. names: of the classes of a field of the output."""
    contents: dict[str, bytes] = {}
    notes: list[str] = []
    if plan.dataset is not None:
        found = Contents.joined(receipt.contents for receipt in receipts)
        classes, problems = _classes(plan.schema, names)
        contents, notes = features(plan.schema, found, _encoded_shapes(plan), classes)
        notes += problems
        nbytes = sum(receipt.files[0].nbytes for receipt in receipts)
        contents[DATASET_INFO] = dataset_info(plan.dataset, [receipt.num_rows for receipt in receipts], nbytes)
    folder = os.path.dirname(plan.output)
    files = {os.path.join(folder, name): content for name, content in contents.items()}
    if plan.tfmd:
        files[tfmd_path(plan.output)] = schema_text(plan.schema).encode()
    written: list[Pending] = []
    try:
        for path, content in files.items():
            written.append(pending_file(path, content))
    except BaseException:
        discard(written)
        raise
    return written, notes


def _classes(schema: Schema, names: ClassNames | None) -> tuple[dict[str, list[str]], list[str]]:
    """The names of the classes of a field, if it can have them there; else a note. Those that were given can."""
    if names is None:
        return {}, []
    try:
        named = names_from_0(names)
        check_classes(schema[names.field], named)
    except SchemaError as err:
        return {}, [f"without the names of classes: {err}"]
    return {names.field: named}, []


def _encoded_shapes(plan: Plan) -> dict[str, Shape]:
    """The shape of the images that were encoded on the way."""
    order, selection = plan.orders[0], plan.orders[0].selection()
    before = {**selection.schema, **order.decode}
    shapes = {name: before[name].shape for name, _ in order.encode}
    for field, _ in order.encode_read:
        shapes |= {name: order.schema[field].shape for name in selection.copies_of(field)}
    return {name: shape if len(shape) == 3 else (*shape, 1) for name, shape in shapes.items()}
