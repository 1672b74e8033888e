"""The end of a migration: what every output consists of, what is missing from it, and what was asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from ..documents import as_document, read_document
from ..errors import FormatError, MigrationError, SchemaError
from ..files import Pending, crc_of, discard
from ..paths import exists, is_folder, join, read_bytes, remove
from ..publishing import put_bytes, put_in_place
from ..rangefile import open_file
from ..shards import manifest_path
from ..sidecar import make_sidecar
from .bulk_plan import BulkPlan, Output
from .claims import check_claims
from .classes import names_of
from .confines import Place
from .finish import manifest_of
from .ledger import Manifest
from .neighbours import write_neighbours
from .orders import distinct
from .ours import refuse_others, telling_of_others, unchanged
from .quarantine import Quarantined, as_lines, quarantined_from_json, together
from .state import State
from .work import Receipt

_VERSION = 1
_LARGEST = 1 << 30  # bytes of a report that we read
_HEAD, _MARK = 64, b'"recordio_bridge"'  # bytes that what we write last begins with, and what is among them


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a migration came to: a manifest for each output, and what is in quarantine.

    Attributes: manifests; quarantine; is_complete, whether that is empty; num_rows and nbytes, written.
    """

    manifests: tuple[Manifest, ...]
    quarantine: tuple[Quarantined, ...]

    @property
    def is_complete(self) -> bool:
        return not self.quarantine

    @property
    def num_rows(self) -> int:
        return sum(manifest.num_rows for manifest in self.manifests)

    @property
    def nbytes(self) -> int:
        return sum(manifest.nbytes for manifest in self.manifests)


def quarantine_path(out: str, name: str) -> str:
    """The report of what is in quarantine, as JSON lines."""
    return os.path.join(out, f"{name}.quarantine.jsonl")


def refuse_other_report(out: str, name: str) -> None:
    """MigrationError where a file that no migration wrote has the name of the report: it would be replaced, or removed.

    Also with --overwrite, which is about outputs and what tells of them.
    """
    path = quarantine_path(out, name)
    if not exists(path):
        return
    try:
        for line in read_bytes(path, _LARGEST).splitlines():  # one without a byte holds nothing to lose
            check_claims(quarantined_from_json(json.loads(line)))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as err:
        raise MigrationError(
            f"{path}: is in the place of the report of a migration, and was not written by one, or edited; it stays as "
            "it is. Move it away, or give the output another name (--name)"
        ) from err


def refuse_other_end(path: str) -> None:
    """MigrationError where a file that no migration wrote has the name of what says that all is done (path).

    Of ours, what is damaged or cut is recognised by how it begins, and an empty one holds nothing to lose.
    """
    if not exists(path) or is_folder(path):
        return
    with open_file(path) as file:
        head = file.read(_HEAD) or b""
    if head and _MARK not in head:
        raise MigrationError(
            f"{path}: is where a migration says that it is done, and was not written by one; it stays as it is. "
            "Move it away, or give the output another name (--name)"
        )


def conclude(plan: BulkPlan, receipts: Sequence[Receipt], state: State) -> Outcome:
    """Write sidecars and manifests of all outputs, the report of the quarantine, and last that all is done."""
    out, name = plan.migration.out, plan.migration.name
    refuse_other_report(out, name)  # again: they may have come meanwhile
    refuse_other_end(state.finished_path)
    manifests, names = [], []
    for output in plan.outputs:
        manifest = _conclude_output(plan, output, receipts[output.first : output.stop])
        manifests.append(manifest)
        names.append(manifest.files[-1])
    quarantine = together([*plan.lacking, *(each for receipt in receipts for each in receipt.quarantine)])
    report = quarantine_path(out, name)
    if quarantine:
        put_bytes(report, as_lines(quarantine))
    else:
        remove([report])
    content = {
        "recordio_bridge": _VERSION,
        "complete": not quarantine,
        "num_rows": sum(manifest.num_rows for manifest in manifests),
        "asked": plan.migration.to_json(),
        "outputs": [
            {"manifest": os.path.relpath(path, out), "crc32c": crc_of(path), "num_rows": manifest.num_rows}
            for path, manifest in zip(names, manifests, strict=True)
        ],
        "quarantine": [asdict(each) for each in quarantine],
    }
    put_bytes(state.finished_path, as_document(content))
    return Outcome(tuple(manifests), quarantine)


def _conclude_output(plan: BulkPlan, output: Output, receipts: Sequence[Receipt]) -> Manifest:
    orders = plan.orders_of(output)
    conversion = output.as_conversion(orders)
    sources = dict.fromkeys(source for each in distinct(order.sources for order in orders) for source in each)
    files: list[Pending] = []
    try:
        class_names, notes = names_of(conversion)
        neighbours, said = write_neighbours(conversion, receipts, class_names)
        files += neighbours
        manifest = manifest_of(conversion, receipts, tuple(sources), neighbours, [*notes, *said], class_names)
        if plan.migration.is_permuted:  # each of its outputs lacks rows of what could not be read
            manifest = replace(manifest, quarantine=together([*plan.lacking, *manifest.quarantine]))
        written = [receipt.files for receipt in receipts]
        known = (output.schema, output.payload, manifest.class_names, len(manifest.quarantine))
        files.append(make_sidecar(output.path, written, *known, manifest.warnings))
        files.insert(0, manifest.to_file())
        with telling_of_others():
            put_in_place(files, refuse_others(files, plan.replaceable))  # the manifest last
    except BaseException:
        discard(files)
        raise
    return manifest


def withdraw(plan: BulkPlan, state: State) -> None:
    """Remove what says that outputs are complete, before files of them are written again; and what was there before.

    What knows the manifests of this migration goes last: a run that is killed in between finds them to be its own.
    """
    remove([*(manifest_path(output.path) for output in plan.outputs), *unchanged(plan.stale, plan.replaceable)])
    remove([state.finished_path])


def read_finished(path: str) -> dict[str, object] | None:
    """What conclude wrote last; None where nothing is there.

    Raises:
        FormatError: it is something else, or damaged.
    """
    if not exists(path):
        return None
    content = read_document(path, _LARGEST)
    if not isinstance(content, dict) or content.get("recordio_bridge") != _VERSION or "outputs" not in content:
        raise FormatError(f"{path}: not what a migration of recordio_bridge, version {_VERSION}, writes", path=path)
    out, key = os.path.dirname(path), "outputs"
    try:
        place = Place(out)
        for each in content["outputs"]:
            if not place.holds(join(out, each["manifest"])) or type(each["crc32c"]) is not int:
                raise SchemaError(f"the manifest {each['manifest']!r} does not lie in this folder")
        key = "quarantine"
        for each in map(quarantined_from_json, content["quarantine"]):
            check_claims(each)
        key = "asked"
        if not isinstance(content["asked"]["mirror"], bool):
            raise TypeError
        key = "complete"
        if not isinstance(content["complete"], bool):
            raise TypeError
    except SchemaError as err:
        raise FormatError(f"{path}: damaged: {key}: {err}", path=path) from err
    except KeyError as err:
        where = "" if err.args[0] == key else f"{key}: "
        raise FormatError(f"{path}: damaged: {where}lacks {err.args[0]!r}", path=path) from err
    except (AttributeError, LookupError, TypeError, ValueError) as err:
        found = json.dumps(content[key])[:80]
        raise FormatError(f"{path}: damaged: {key}: not as it was written, found {found}", path=path) from err
    return content
