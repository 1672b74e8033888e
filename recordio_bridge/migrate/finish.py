"""The end of a run: final names for what was written, then the sidecars, the manifest last."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import SourceChangedError
from ..files import Pending, discard
from ..formats import get_format
from ..formats.base import Skipped
from ..presets import report
from ..publishing import publish
from ..sidecar import ClassNames, make_sidecar
from ..tally import Tally, total
from .classes import names_of
from .fingerprints import SourceFile, fingerprint
from .ledger import Manifest, companion_of, shard_of, stale_files
from .neighbours import write_neighbours
from .planning import Plan
from .quarantine import together
from .recode import notes_of
from .work import LEFT_OUT, Receipt


def finish(
    plan: Plan, receipts: Sequence[Receipt], sources: Sequence[SourceFile], *, overwrite: bool = False
) -> Manifest:
    """Publish the files of all receipts together and write the manifest.

    Raises:
        SourceChangedError: a source is not what it was when the plan was made; nothing is left.
        FileExistsError: a file of the output appeared meanwhile; it stays as it is, and nothing else is left.
    """
    files = [file for receipt in receipts for file in receipt.files]
    try:
        for source in sources:
            if fingerprint(source.path) != source:
                raise SourceChangedError(
                    f"{source.path}: changed while it was converted; run it again when nothing writes to it"
                )
        class_names, notes = names_of(plan)
        neighbours, said = write_neighbours(plan, receipts, class_names)
        files += neighbours
        manifest = manifest_of(plan, receipts, sources, neighbours, [*notes, *said], class_names)
        format = get_format(plan.orders[0].target_format)
        written = [receipt.files for receipt in receipts]
        known = (plan.schema, plan.payload, manifest.class_names)
        files.append(make_sidecar(plan.output, written, *known, warnings=manifest.warnings))
        files.append(manifest.to_file())
        publish(files, lambda: stale_files(plan.output, format, receipts, neighbours), overwrite=overwrite)
    except BaseException:
        discard(files)
        raise
    return manifest


def manifest_of(
    plan: Plan,
    receipts: Sequence[Receipt],
    sources: Sequence[SourceFile],
    neighbours: Sequence[Pending],
    said: Sequence[str],
    class_names: ClassNames | None,
) -> Manifest:
    """What a conversion wrote: by its plan, and what its orders and the files beside its output say."""
    order = plan.orders[0]
    view = ("raw" if order.holds is not None else plan.payload, order.written)
    # Planning saw the whole file; the reader of a part takes damage at its end for the end of the file.
    skipped: dict[tuple[str, int, int], Skipped] = {}
    for each in [*plan.skipped, *(each for receipt in receipts for each in receipt.skipped)]:
        skipped.setdefault((each.path, each.start, each.stop), each)
    rows = sum(receipt.num_rows for receipt in receipts)
    notes = [*plan.summary.notes, *notes_of(order, [receipt.changes for receipt in receipts], rows), *said]
    filled = sum(receipt.num_rows > 0 for receipt in receipts)
    if filled < len(receipts) > 1:
        notes.append(f"shards that hold rows: {filled} of {len(receipts)}")
    tally = total(receipt.tally for receipt in receipts)
    found, warnings = report(plan.wishes, order.classes, plan.source.paths, tally)
    return Manifest(
        output=plan.output,
        format=order.target_format,
        payload=plan.payload,
        schema=plan.schema,
        verified=order.verify,
        shards=tuple(shard_of(receipt) for receipt in receipts),
        content_of=view if order.verify == "content" else None,
        sources=tuple(sources),
        skipped=tuple(skipped[place] for place in sorted(skipped)),
        notes=(*notes, *found),
        warnings=(*plan.summary.warnings, *warnings),
        neighbours=tuple(map(companion_of, neighbours)),
        left_out=_left_out(plan, tally),
        class_names=class_names,
        quarantine=together(each for receipt in receipts for each in receipt.quarantine),
    )


def _left_out(plan: Plan, tally: Tally) -> dict[str, int]:
    """The rows that were left out on purpose, by the reason."""
    where = plan.orders[0].where
    if where is None:
        return {}
    unread = plan.summary.empty.get(where, 0) if plan.orders[0].shuffle is not None else 0  # they were not shuffled
    return {f"{where} is empty": tally.counts.get(LEFT_OUT, 0) + unread}
