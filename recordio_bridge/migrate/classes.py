"""What the classes of an output are called: as was asked, or as the sidecars of its sources call them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..presets import first_class
from ..sidecar import ClassNames, find_sidecar
from ..sources import Source

if TYPE_CHECKING:
    from .planning import Plan
    from .wishes import Wishes


def given_names(wishes: Wishes, classes: str | None) -> ClassNames | None:
    """The names that were asked for, of the field that holds classes."""
    names = wishes.class_names
    return None if classes is None or names is None else ClassNames(classes, first_class(wishes), tuple(names))


def names_of(plan: Plan) -> tuple[ClassNames | None, list[str]]:
    """The names of the classes of an output, and notes."""
    order = plan.orders[0]
    given = given_names(plan.wishes, order.classes)
    if given is not None:
        return given, []
    found, notes = _names_in(plan.source)
    if found is None:
        return None, notes
    # without a select, all fields keep their names, also where records pass through undecoded
    copies = {found.field: 0} if order.select is None else order.selection().copies_of(found.field)
    for name, shift in copies.items():
        if name in plan.schema:
            carried = replace(found, field=name, first=found.first + shift)
            return carried, [f"class names are those of the source: {carried}"]
    return None, []


def _names_in(source: Source) -> tuple[ClassNames | None, list[str]]:
    """The names that the sidecars of all files agree in."""
    sidecars = [find_sidecar(path) for path in source.paths]
    found = {None if sidecar is None else sidecar.class_names for sidecar in sidecars}
    if len(found) == 1:
        return found.pop(), []
    return None, [
        "the files do not all have the same class names in their sidecars, so the output has none; "
        "pass them (--class-names)"
    ]
