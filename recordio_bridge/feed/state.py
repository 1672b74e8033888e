"""Where a feed stands, as a small JSON value, with which another goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ..errors import FeedError
from .schedule import Position

State: TypeAlias = "dict[str, object]"

_IF_GIVEN = ("preset", "label_offset", "where")  # in a state only where they are not None


def state_of(at: Position, depends_on: Mapping[str, object]) -> State:
    """The state of a feed whose next batch is `at`.

    depends_on: what its batches and their order depend on, as JSON values.
    """
    said = {name: value for name, value in depends_on.items() if value is not None or name not in _IF_GIVEN}
    return {"epoch": at.epoch, "batch": at.batch, **said}


def first_of(state: Mapping[str, object], depends_on: Mapping[str, object]) -> Position:
    """The batch to go on with.

    Raises:
        FeedError: the state is of another source, or of other options, and would go on with other rows.
        ValueError: it is no state.
    """
    always = ["epoch", "batch", *(name for name in depends_on if name not in _IF_GIVEN)]
    if not set(always) <= set(state) <= {*always, *_IF_GIVEN}:
        expected = ", ".join(always)
        raise ValueError(f"state has {', '.join(map(str, state))}; expected what state() gave: {expected}")
    epoch, batch = state["epoch"], state["batch"]
    if type(epoch) is not int or type(batch) is not int or epoch < 0 or batch < 0:
        raise ValueError(f"state: epoch {epoch!r} and batch {batch!r} are no numbers from 0")
    for name, value in depends_on.items():
        told = state.get(name)
        if told != value:
            raise FeedError(
                f"the state is of a feed with {name} {told!r}, and this one has {value!r}: it would go on with "
                "other rows; use the same source and options, or start without state"
            )
    return Position(epoch, batch)
