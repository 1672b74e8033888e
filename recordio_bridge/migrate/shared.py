"""What all orders of a permutation have in common: written once, so that it does not travel with each of them.

    sources-<its SHA-256>.json      beside the rows in their order; see state.py

As it is named after what is in it, an order never gets that of another run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from ..documents import parse_json
from ..errors import MigrationError
from ..paths import join, read_bytes
from ..publishing import put_bytes
from .claims import check_claims
from .orders import Order, SourceFields, sources_from_json
from .quarantine import Quarantined, quarantined_from_json

_LARGEST = 1 << 32  # bytes of it that we read


@dataclass(frozen=True, slots=True)
class Shared:
    """What orders have in common.

    Attributes: sources, as they read them; originals, of each file that was written plain for this the one that it was
    made of; bad, by their numbers the sources that cannot be read, and why.
    """

    sources: SourceFields
    originals: Mapping[str, str]
    bad: Mapping[int, Quarantined]


def put_shared(order: Order, originals: Mapping[str, str], bad: Mapping[int, Quarantined], folder: str) -> str:
    """Write to a folder what all others have in common with an order; the path."""
    content = {
        "sources": order.sources_json(),
        "originals": originals,
        "bad": [[number, asdict(each)] for number, each in bad.items()],
    }
    data = json.dumps(content).encode()
    path = join(folder, f"sources-{hashlib.sha256(data).hexdigest()[:32]}.json")
    put_bytes(path, data)
    return path


@lru_cache(maxsize=1)  # all orders that a process gets are of one permutation
def read_shared(path: str) -> Shared:
    """What put_shared wrote.

    Raises:
        MigrationError: it is not there any more.
    """
    try:
        content: Any = parse_json(path, read_bytes(path, _LARGEST))  # Any: what a JSON object holds
    except FileNotFoundError:
        raise MigrationError(
            f"{path}: is gone, as when its run has ended, or another one was begun; go on with --resume"
        ) from None
    try:
        bad = {number: quarantined_from_json(each) for number, each in content["bad"]}
        shared = Shared(sources_from_json(content["sources"]), content["originals"], bad)
        for each in (shared, *(extent for extent, _ in shared.sources["extents"])):
            check_claims(each)
    except (AttributeError, LookupError, TypeError, ValueError) as err:
        raise MigrationError(f"{path}: damaged ({str(err)[:200]}); go on with --resume") from err
    return shared
