"""Presets: ready selections for the keys that training code expects.

    imagenet    image/encoded, image/format, image/height, image/width, image/class/label. Labels of one value are one
                integer (a record with more is an error); where the first records have several, all are kept
    detection   for TensorFlow's Object Detection API: the same without the class, and image/source_id,
                image/object/bbox/{xmin,xmax,ymin,ymax}, image/object/class/label (id + 1), image/object/extra/N
    faces       for InsightFace: image/encoded, image/format, image/class/label, image/id of the records that hold an
                image. A `property` file beside the source is compared with what was found

What a preset selects depends on the fields of the source and on the labels of its first records. A --select of the same
name replaces a column, any other is added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from .batch import Column, Ragged
from .detection import LEAST_OBJECT, notes_of, widths_of
from .errors import SchemaError, SelectError, numbered
from .formats.base import Extent, Request
from .formats.recordio_faces import property_notes
from .schema import Field, Schema
from .select import LARGEST_SHIFT, Selection, as_pairs, name_of
from .sources import Source
from .tally import Tally

if TYPE_CHECKING:
    from .migrate.wishes import Wishes

OFFSETS = {"detection": 1, "faces": 0, "imagenet": 0}  # what is added to a class
_CLASS_FIELDS = {
    "detection": "image/object/class/label",
    "faces": "image/class/label",
    "imagenet": "image/class/label",
}
_FIELDS = ("id", "label", "image")
_LOOKED_AT = 16  # rows whose labels decide what is selected
_USUAL = Schema(Field("id", "uint64"), Field("label", "float32", (None,)), Field("image", "bytes"))


def check_preset(preset: str | None, label_offset: int | None) -> None:
    """ValueError where there is no such preset, or an offset without one."""
    if preset is not None and preset not in OFFSETS:
        raise ValueError(f"preset={preset!r}: expected one of {', '.join(map(repr, OFFSETS))}")
    if label_offset is not None and preset is None:
        raise ValueError("label_offset (--label-offset) is for presets; without one, select 'label:int64=label[0] + 1'")


def prepared(wishes: Wishes, source: Source) -> Wishes:
    """The wishes with the columns that their preset selects from this source, and the others that were asked for."""
    if wishes.preset is None:
        return wishes
    select, where = explained(wishes.preset, source, wishes.label_offset, wishes.select, wishes.where)
    offset = None if _class_of(wishes.preset, wishes.select) else first_class(wishes)
    return replace(wishes, select=select, where=where, label_offset=offset)


def explained(
    preset: str,
    source: Source | None,
    label_offset: int | None = None,
    select: Mapping[str, str] | Sequence[str] | None = None,
    where: str | None = None,
) -> tuple[dict[str, str], str | None]:
    """What a preset comes to for a source (None: a usual .rec), with the columns of select: a select, and its where.

    Raises:
        SelectError: the class that label_offset is for is not the preset's, but one of select.
        ValueError: the offset is longer than a number in an expression.
    """
    if label_offset is not None and abs(label_offset) > LARGEST_SHIFT:
        raise ValueError(f"label_offset={label_offset} (--label-offset): expected at most 18 digits")
    replaced = _class_of(preset, select)
    if replaced is not None and label_offset is not None:
        raise SelectError(
            f"label_offset={label_offset} (--label-offset) is for the class of the preset {preset!r}, and the select "
            f"{replaced!r} replaces it; leave the offset out, or the select, or add it there, as in "
            f"'label[0]{_shift(label_offset or 1)}'",
            field=_CLASS_FIELDS[preset],
        )
    schema, labels = (_USUAL, None) if source is None else _look(source)
    made, preset_where = ready(preset, schema, labels, label_offset)
    return overridden(made, select), where or preset_where


def misfit(source: Source, select: Mapping[str, str], where: str | None) -> str | None:
    """Why the first rows of a source cannot be taken by a selection; None where they can."""
    path, options = source.paths[0], source.options[0]
    try:
        schema = source.format.glance(path, options, _LOOKED_AT)
        selection = Selection(select, schema, where=where)
        request = Request(schema.pick(selection.sources), _LOOKED_AT, "skip")
        with closing(source.format.read(Extent(path), options, request)) as batches:
            batch = next(batches, None)
        if batch is not None:
            kept = selection.kept(batch)
            rows = np.arange(len(batch)) if kept is None else kept
            with numbered(rows if batch.places is None else batch.places.take(rows)):
                selection.apply(batch.take(rows))
    except SchemaError as err:
        return str(err)
    return None


def ready(
    preset: str, schema: Schema = _USUAL, labels: Column | None = None, label_offset: int | None = None
) -> tuple[dict[str, str], str | None]:
    """The selection that a preset is for these fields, and the field that is not empty in the rows it takes.

    Args:
        labels: of the first rows; None for those of a usual .rec.
    """
    offset = OFFSETS[preset] if label_offset is None else label_offset
    shift = _shift(offset)
    image = {"image/encoded": "image", "image/format": "format(image)"}
    size = {"image/height": "height(image)", "image/width": "width(image)"}
    if preset == "imagenet":
        return {**image, **size, "image/class/label:int64": _class_in(schema, labels) + shift}, None
    if preset == "faces":
        label = "label" if "label" in schema and schema["label"].shape == () else "label[0]"
        ids = {"image/id": "id"} if "id" in schema else {}
        return {**image, "image/class/label:int64": label + shift, **ids}, "image"
    width = _object_width(labels)
    boxes = {
        f"image/object/bbox/{name}": f"boxes(label, {width}, image)[{index}]"
        for name, index in (("xmin", 0), ("xmax", 2), ("ymin", 1), ("ymax", 3))
    }
    extra = {f"image/object/extra/{n - LEAST_OBJECT}": f"objects(label, {width})[{n}]" for n in range(5, width)}
    classes = {"image/object/class/label:int64": f"objects(label, {width})[0]{shift}"}
    ids = {"image/source_id": "text(id)"} if "id" in schema else {}
    return {**ids, **image, **size, **boxes, **classes, **extra}, None


def _shift(offset: int) -> str:
    """What adds an offset, behind an expression."""
    return f" {'+' if offset > 0 else '-'} {abs(offset)}" if offset else ""


def overridden(select: Mapping[str, str], others: Mapping[str, str] | Sequence[str] | None) -> dict[str, str]:
    """A selection with columns of others in place of those of the same name, and the rest of them behind."""
    left = {} if others is None else as_pairs(others)
    merged: dict[str, str] = {}
    for target, expression in select.items():
        mine = [other for other in left if name_of(other) == name_of(target)]
        merged |= {other: left.pop(other) for other in mine} if mine else {target: expression}
    return merged | left


def _class_of(preset: str, select: Mapping[str, str] | Sequence[str] | None) -> str | None:
    """The NAME[:DTYPE]=EXPRESSION that takes the place of a preset's class; None where there is none."""
    pairs = {} if select is None else as_pairs(select)
    return next((f"{to}={what}" for to, what in pairs.items() if name_of(to) == _CLASS_FIELDS[preset]), None)


def class_field(wishes: Wishes, schema: Schema) -> str | None:
    """The field of the output that holds classes, of a preset or where classes have names; None where there is none.

    Raises:
        SelectError: classes have names, and no field is known to hold them.
    """
    if wishes.preset is not None:
        return _CLASS_FIELDS[wishes.preset]
    if wishes.class_names is None:
        return None
    found = [name for name in ("image/class/label", "image/object/class/label", "label") if name in schema]
    if not found:
        raise SelectError(
            f"class_names (--class-names) are for a field label, image/class/label or image/object/class/label; "
            f"there are {', '.join(schema)}"
        )
    return found[0]


def first_class(wishes: Wishes) -> int:
    """What the first class is numbered in the output."""
    usual = 0 if wishes.preset is None else OFFSETS[wishes.preset]
    return usual if wishes.label_offset is None else wishes.label_offset


def report(wishes: Wishes, classes: str | None, paths: Sequence[str], tally: Tally) -> tuple[list[str], list[str]]:
    """What people should know of the columns that were made, and those of these notes that are warnings."""
    notes, warnings = notes_of(tally)
    low, high = tally.ranges.get("classes", (0, -1))
    first = first_class(wishes)
    if classes is not None and low <= high:
        offset = "" if wishes.label_offset is None else f" (label_offset {wishes.label_offset})"
        held = f"{classes} holds {_range(low, high)}"
        notes.append(f"{held}{offset}")
        if wishes.class_names is not None and not first <= low <= high < first + len(wishes.class_names):
            warnings.append(
                f"{held}, and there are names for {_range(first, first + len(wishes.class_names) - 1)}: is a line "
                "missing, or label_offset wrong?"
            )
            notes.insert(0, warnings[-1])
    if wishes.preset == "faces":
        sizes = [tally.ranges[name] for name in ("height", "width") if name in tally.ranges]
        found = high + 1 - first if low <= high else None
        checked = [property_notes(path, found, "classes by their labels", sizes) for path in paths]
        unfit = list(dict.fromkeys(chain.from_iterable(checked)))
        notes, warnings = [*unfit, *notes], [*warnings, *unfit]
    return notes, warnings


def _range(low: int, high: int) -> str:
    return f"{low} to {high}" if low != high else str(low)


def _look(source: Source) -> tuple[Schema, Column | None]:
    """The fields of a source that presets take, and the labels of its first rows."""
    schema = _schema_of(source)
    if "label" not in schema:
        return schema, None
    request = Request(schema.pick(("label",)), _LOOKED_AT, "skip")
    for path, options in zip(source.paths, source.options, strict=True):
        batches = source.format.read(Extent(path), options, request)
        batch = next(batches, None)
        batches.close()
        if batch is not None and len(batch):
            return schema, batch["label"]
    return schema, None


def _schema_of(source: Source) -> Schema:
    path, options = source.paths[0], source.options[0]
    schema, is_all = source.format.certain(path, options)
    if is_all or {"label", "image"} <= set(schema):
        return schema
    try:
        return source.format.glance(path, options, _LOOKED_AT)
    except SchemaError:  # of fields that are not asked for
        return source.summary(fields=_FIELDS).schema


def _class_in(schema: Schema, labels: Column | None) -> str:
    """The expression for the class: a multi-label file keeps its vectors."""
    shape = schema["label"].shape if "label" in schema else (None,)
    if shape == ():
        return "label"
    if shape == (None,) and isinstance(labels, Ragged):
        return "label" if (labels.counts > 1).any() else "one(label)"
    return "one(label)" if shape in ((None,), (1,)) else "label"


def _object_width(labels: Column | None) -> int:
    """How many values an object has (B), by the first detection label; the least where there is none."""
    if labels is None or labels.dtype == "bytes" or (not isinstance(labels, Ragged) and labels.ndim != 2):
        return LEAST_OBJECT
    widths = widths_of(labels)
    return int(widths[widths > 0][0]) if widths.any() else LEAST_OBJECT
