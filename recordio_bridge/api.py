"""The six functions: inspect, open, read, write, convert, verify."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .batch import Batch
from .errors import FormatError, SchemaError, numbered
from .files import discard
from .formats.base import OnBadRecord, Skipped, Summary, Writer, Written, pick_schema
from .links import refuse_rests
from .paths import real
from .publishing import atomic, publish, refuse_existing
from .recordfile import RecordFile
from .schema import Packing, Schema
from .scratch import TemporaryFolder
from .shards import manifest_path, schema_path, shards_beside
from .sidecar import make_sidecar, read_names
from .sources import PathLike, Source, SourceArgument, make_options, target_format
from .temporary import clearing_up
from .unpacked import Unpacked

if TYPE_CHECKING:
    from .migrate.findings import Report
    from .migrate.ledger import Manifest
    from .migrate.planning import Plan
    from .migrate.wishes import Verify, Wishes
    from .migrate.work import Receipt

_log = logging.getLogger(__name__)

Columns: TypeAlias = "Batch | Mapping[str, object]"
OnProgress: TypeAlias = Callable[[int, int], None]
"""on_progress(rows, of): rows just written, and how many there will be."""


def inspect(path: SourceArgument, **options: object) -> Summary:
    """What a file, or a set of files, holds: .format .schema .num_rows .nbytes .notes.

    Args:
        path: a path, a list of them, a glob, a folder, or the base name of a shard set.
        options: of the format, such as payload="raw"; format="rec" where the content does not tell.

    Raises:
        UnknownFormatError: no format fits the file.
        FormatError: the file is damaged (.path .record .offset).
    """
    source = Source.open(path, options)
    with source.keep:
        return source.summary()


def open(path: SourceArgument, *, fields: Sequence[str] | None = None, **options: object) -> RecordFile:
    """Random access by row: len(f), f[i] -> dict, f[a:b] -> Batch, f.take(indices) -> Batch, f.schema.

    Args and errors as in inspect; fields chooses columns. Many threads may use it at once, and forked processes, too.
    """
    return RecordFile(path, fields, options)


def read(
    path: SourceArgument,
    batch_rows: int = 1024,
    fields: Sequence[str] | None = None,
    schema: Schema | None = None,
    on_bad_record: OnBadRecord = "raise",
    **options: object,
) -> Iterator[Batch]:
    """The rows of a source, in their physical order.

    One thread takes from an iterator at a time (another is told "generator already executing"), each from its own, or
    all by a lock. In a process that is forked while it reads, to read on is a ValueError. Batches have memory of their
    own: nothing is mapped.

    Args:
        path: as in inspect.
        batch_rows: rows of each Batch; the last may have fewer.
        fields: the columns wanted, in the order wanted; None takes all. Naming them can spare a look through the file
            for columns that only some files have (id2 and key of a .rec).
        schema: what to decode the records to, instead of the sidecar's or an inferred schema; spares the pass that
            infers it.
        on_bad_record: "skip" leaves out each record that cannot be read as a row: one that is damaged, or that the list
            of labels= or the .idx lacks; and logs its number, its bytes and why. "raise" stops at the first.
        options: of the format, as in inspect.

    Raises:
        FormatError, SchemaError: at the record concerned, while iterating; for the first, at once.
    """
    if batch_rows < 1:
        raise ValueError(f"batch_rows={batch_rows}: expected 1 or more")
    source = Source.open(path, options, on_bad_record)
    source.log_doubts()
    chosen = source.schema(fields) if schema is None else pick_schema(schema, fields)
    return source.read(chosen, batch_rows, log_skipped)


def log_skipped(skipped: Skipped) -> None:
    """Tell of what is left out, where there is no better place."""
    _log.warning("%s: left out %s: %s", skipped.path, skipped.where, skipped.reason)


def index(
    path: SourceArgument,
    output: PathLike | None = None,
    *,
    overwrite: bool = False,
    on_bad_record: OnBadRecord = "raise",
    **options: object,
) -> dict[str, int]:
    """Write the index of each file: .idx for a .rec, .tfindex (offset and size, for DALI) for a TFRecord.

    The keys of a .idx are those of the one that is replaced, where that fits the file (it then stays as it is); else
    the ids of the records' headers where each is there once; else 0..N-1.

    Args:
        output: another name, for the index of a single file.
        overwrite: replace an index that is there.
        options: of the format, as in inspect.

    Returns:
        The path of each index, with the number of rows in it.

    Raises:
        FileExistsError: an index is there.
        FormatError: the file is damaged; or an index that is there has keys that would be lost.
    """
    source = _open_for_index(path, options, on_bad_record)
    if output is not None and len(source.paths) > 1:
        raise ValueError(f"output names one index, and {path} is {len(source.paths)} files")
    source.log_doubts(only_alarms=True)
    targets = [source.format.index_path(file) if output is None else os.fspath(output) for file in source.paths]
    data = {real(file) for file in source.paths}
    if any(real(target) in data for target in targets):
        raise ValueError(f"{targets[0]}: is the file itself; give another name for its index")
    refuse_existing(targets, overwrite)
    request = source.request(Schema(), None, log_skipped)
    written = {}
    for file, opts, target in zip(source.paths, source.options, targets, strict=True):
        with atomic(target, overwrite=overwrite) as out:
            written[target] = source.format.write_index(file, opts, request, out)
    return written


def _open_for_index(path: SourceArgument, options: Mapping[str, object], on_bad_record: OnBadRecord) -> Source:
    """As Source.open; records that are nothing we decode can be indexed, too."""
    try:
        return Source.open(path, options, on_bad_record)
    except FormatError:
        if "payload" in options:
            raise
        return Source.open(path, {**options, "payload": "raw"}, on_bad_record)


def write(
    path: PathLike,
    batches: Iterable[Columns] | Columns,
    schema: Schema | None = None,
    overwrite: bool = False,
    **options: object,
) -> None:
    """Write Batches, or dicts of arrays, to a file of the format that its suffix names, with its schema sidecar.

    The file appears under its name when it is complete, or not at all; of several that write to it at once, whole.

    Args:
        batches: Batches, or dicts of columns (arrays, Raggeds, lists); one of them may stand alone.
        schema: what to write them as; None takes that of the first. Values are cast where that is exact.
        overwrite: replace the file if it is there.
        options: of the format, such as compression="GZIP"; format="tfrecord" where the suffix does not tell.

    Raises:
        FileExistsError: the file is there.
        ValueError: it is a link to a file with an index, or a sidecar, that would not be replaced.
        SchemaError: a batch does not fit the schema, or the format (LossyError).
    """
    target = os.fspath(path)
    format, rest = target_format(target, options)
    made = make_options(format, rest)
    format.check_target(target, made)
    refuse_existing([*format.files_of(target), manifest_path(target), schema_path(target)], overwrite)
    refuse_rests(format, [target])
    with clearing_up():
        several = [batches] if isinstance(batches, (Batch, Mapping)) else batches
        made_batches = _as_batches(several, schema)
        first = next(made_batches, None)
        if first is not None:
            schema = first.schema
        if schema is None:
            raise SchemaError(f"{target}: no batches, and no schema= that says what they would have held")
        written = _write_all(format.create(target, schema, made), chain([] if first is None else [first], made_batches))
        files = [*written.files]
        finals = {file.final for file in files}
        void = [file for file in format.files_of(target) if file not in finals]  # such as the index of what was there
        try:
            files.append(make_sidecar(target, [written.files], schema, written.payload))
            publish(files, lambda: [*void, manifest_path(target)], overwrite=overwrite)
        except BaseException:
            discard(files)
            raise


def _write_all(writer: Writer, batches: Iterable[Batch]) -> Written:
    """Write Batches to a file that waits for its name; nothing is left where that fails."""
    num_rows, owner = 0, os.getpid()
    try:
        for batch in batches:
            _refuse_fork(owner)
            with numbered(range(num_rows, num_rows + len(batch))):
                writer.write(batch)
            num_rows += len(batch)
        _refuse_fork(owner)
        return writer.close()
    except BaseException:
        writer.abort()
        raise


def _refuse_fork(owner: int) -> None:
    if os.getpid() != owner:
        raise ValueError("this process was forked while a file was written, and to finish it is its parent's")


def _as_batches(batches: Iterable[Columns], schema: Schema | None) -> Iterator[Batch]:
    num_rows = 0
    if not isinstance(batches, Iterable):
        raise TypeError(
            f"batches: expected a Batch, a dict of columns, or an iterable of these; found {type(batches).__name__}"
        )
    for number, columns in enumerate(batches):
        if not hasattr(columns, "keys"):
            raise TypeError(f"batch {number}: expected a Batch or a dict of columns, found {type(columns).__name__}")
        if isinstance(columns, Batch) and schema in (None, columns.schema):
            batch = columns
        else:
            with numbered(range(num_rows, 1 << 62)):
                batch = Batch.of({name: columns[name] for name in columns}, schema)
        schema = schema or batch.schema
        num_rows += len(batch)
        yield batch


def convert(
    src: SourceArgument,
    dst: PathLike,
    *,
    select: Mapping[str, str] | Sequence[str] | None = None,
    preset: str | None = None,
    label_offset: int | None = None,
    class_names: PathLike | Sequence[str] | None = None,
    where: str | None = None,
    shards: int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    workers: int | None = None,
    verify: Verify = "content",
    on_bad_record: OnBadRecord = "raise",
    overwrite: bool = False,
    progress: bool | OnProgress = False,
    allow_lossy: Sequence[str] = (),
    pack: Mapping[str, Packing] | None = None,
    source_options: Mapping[str, object] | None = None,
    target_options: Mapping[str, object] | None = None,
    decode: Mapping[str, str] | Sequence[str] = (),
    encode: Mapping[str, str] | Sequence[str] = (),
    tfds: str | None = None,
    tfmd: bool = False,
    memory: int = 1 << 30,
) -> Manifest:
    """Convert a source to the format that the target's suffix names; all of it, or nothing.

    Args:
        src: as in inspect.
        dst: the output; with shards, of stem-00000-of-00064.suffix and so on.
        select: {"name[:dtype]": "field", "field[i]" or "field[a:b]"}, or a list of "name[:dtype]=...": the columns
            written. help("recordio_bridge.functions") lists the functions, such as "height(image)".
        preset: "imagenet", "detection" or "faces": a ready selection, of which select replaces columns of the same name
            and to which it adds others; help("recordio_bridge.presets").
        label_offset: what the preset adds to a class, where that is not its usual: 0, or 1 for detection.
        class_names: what classes are called, from the first on: a list, or the path of a file with one name a line.
        where: a bytes field; rows in which it is empty are left out. "faces" takes where="image".
        shards: how many files to write; None writes the one that dst names.
        shuffle, seed: in the order of an exact permutation, which the seed (0 if not given) decides.
        workers: processes that write shards at the same time; None is 1.
        verify: "content" reads everything back from disk and compares it with what was read from the source;
            "counts" reads it back and counts; "none" trusts the disk.
        on_bad_record: "skip" leaves out what cannot be read, as in read, and lists it in the manifest. What a selection
            or the target cannot take stays an error: then it is not the record that is bad.
        overwrite: replace the files of an earlier output.
        progress: True shows a bar on a terminal; or a function, called with rows just written and rows in all.
        allow_lossy: columns in which values may change, for which a LossyError would be raised.
        pack: {"name": "raw" or "list"}: how tensors go into Examples.
        source_options, target_options: of the two formats, such as {"payload": "raw"}.
        decode: ("name",), or {"name": "gray", "rgb" or "rgba"}: columns (as they are selected) of encoded images,
            which become arrays, uint8 (height, width, channels) in RGB; all images must have one size. Needs OpenCV.
        encode: {"name": "png" or "jpeg:95"}: columns of such arrays, which become encoded images. A field that is read,
            and is no column, is encoded before the selection: preset="imagenet", encode={"image": "png"}.
        tfds: "name:1.0.0", or "name:1.0.0:split" (else it is train): TFRecords as tensorflow_datasets names them, with
            features.json and dataset_info.json, for tfds.builder_from_directory. dst is their folder; it is made.
        tfmd: also write dst.schema.pbtxt, the schema for TensorFlow Data Validation and the like.
        memory: the bytes that a shuffle may take, in all processes together and beside what a conversion takes anyway:
            however many rows there are. Where they are is kept in a temporary file (TMPDIR), of 24 bytes a row, and 32
            more while it is made; 8 more each where bad records or empty rows are left out.

    Returns:
        The manifest, which also lies beside the output: .num_rows .shards .skipped .verified and more.

    Raises:
        FileExistsError: a file of the output is there, or appeared meanwhile; nothing was written.
        FormatError, SchemaError, LossyError: as they say; nothing was written.
        VerificationError: what was read back is not what was written; nothing was left.
    """
    from .migrate.neighbours import made_folder, output_in
    from .migrate.shuffled import check_memory
    from .migrate.wishes import Wishes

    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers}: expected 1 or more")
    check_memory(memory)
    wishes = Wishes(
        select,
        shards,
        shuffle,
        seed,
        verify,
        on_bad_record,
        allow_lossy,
        pack,
        target_options,
        decode,
        encode,
        tfds,
        tfmd,
    )
    wishes = replace(wishes, preset=preset, label_offset=label_offset, class_names=_names(class_names), where=where)
    target = os.fspath(dst) if wishes.dataset is None else output_in(os.fspath(dst), wishes.dataset)
    with nullcontext() if wishes.dataset is None else made_folder(os.path.dirname(target)):
        _refuse_output(target, wishes, overwrite)
        source = Source.open(src, source_options, on_bad_record)
        _refuse_own_set(source, target, wishes)
        with source.keep, clearing_up():
            return _convert(source, target, wishes, 1 if workers is None else workers, progress, overwrite, memory)


def _refuse_own_set(source: Source, target: str, wishes: Wishes) -> None:
    """ValueError where sources would be replaced, of which or by which there are several.

    Names are given one by one: whoever is killed meanwhile leaves rows under hidden names alone, which look like rests.
    """
    from .migrate.ledger import earlier_files

    targets = wishes.shard_names(target)
    if len(targets) == len(source.paths) == 1:
        return
    replaced = set(map(real, [*targets, *earlier_files(target)]))
    for path in source.paths:
        if real(path) in replaced:
            raise ValueError(
                f"{path}: is a source, and of the files that would be replaced; a run that is killed meanwhile would "
                f"leave its rows under hidden names alone: give the output another name than {target}"
            )


def _convert(
    source: Source,
    target: str,
    wishes: Wishes,
    workers: int,
    progress: bool | OnProgress,
    overwrite: bool,
    memory: int,
) -> Manifest:
    """Convert in one pass where that is possible, else by a plan."""
    from .migrate.fingerprints import fingerprint
    from .migrate.finish import finish
    from .migrate.local import run_orders
    from .migrate.onepass import convert_in_one_pass
    from .migrate.planning import make_plan
    from .presets import prepared

    source.log_doubts(only_alarms=True)  # the others are in the notes of the manifest
    fingerprints = tuple(fingerprint(path) for path in source.paths)
    wishes = prepared(wishes, source)
    done = None if progress else convert_in_one_pass(source, target, wishes)
    if done is not None:
        return finish(*done, fingerprints, overwrite=overwrite)
    plan = make_plan(source, target, wishes)
    with _progress(progress, plan.num_rows) as report:
        packed_rows = wishes.shuffle and source.run_rows(plan.orders[0].schema) > 1
        any_row = wishes.shuffle or (wishes.shards or 1) > 1
        if packed_rows or (source.is_sequential and any_row):
            receipts = _run_unpacked(plan, workers, report, memory)
        elif source.is_remote and (wishes.shuffle or (any_row and source.is_fetched)):
            receipts = _run_unpacked(plan, workers, report, memory, as_they_are=True)
        else:
            receipts = run_orders(plan.orders, workers, report, memory=memory)
    return finish(plan, receipts, fingerprints, overwrite=overwrite)


def _run_unpacked(
    plan: Plan, workers: int, report: Callable[[int], None], memory: int, *, as_they_are: bool = False
) -> list[Receipt]:
    """Do the orders of a plan with its sources written out plain, as each needs rows from everywhere in them.

    as_they_are: with remote sources fetched, once for all workers.
    """
    from .migrate.local import run_orders

    with TemporaryFolder() as folder:
        unpacked = Unpacked(plan.source, Path(folder), tuple(plan.orders[0].schema), as_they_are=as_they_are)
        with unpacked.naming_originals():
            receipts = run_orders(unpacked.orders(plan.orders), workers, report, memory=memory)
        return [
            replace(receipt, skipped=tuple(unpacked.original(each) for each in receipt.skipped)) for receipt in receipts
        ]


def _names(given: PathLike | Sequence[str] | None) -> tuple[str, ...] | None:
    """The names of classes, out of their file where that is given."""
    if given is None or not isinstance(given, (str, os.PathLike)):
        return None if given is None else tuple(given)
    return read_names(os.fspath(given))


def _refuse_output(target: str, wishes: Wishes, overwrite: bool) -> None:
    """FileExistsError where a file of the output is there already; ValueError where name and options do not fit.

    A log line where others will be in the way.
    """
    from .migrate.ledger import earlier_files
    from .migrate.neighbours import neighbour_paths

    format, options = target_format(target, wishes.target_options or {})
    format.check_target(target, make_options(format, options))
    files = [file for shard in wishes.shard_names(target) for file in format.files_of(shard)]
    files += neighbour_paths(target, wishes)
    refuse_existing([*files, manifest_path(target), schema_path(target)], overwrite)
    refuse_rests(format, wishes.shard_names(target))
    left = sorted({shard.path for shard in shards_beside(target)} - {*files, *earlier_files(target)})
    if left:
        _log.warning(
            "%s: %d shards of another set of this name lie here, and no manifest names them, so they stay; remove them "
            "if they are of an earlier run, or %s will not be clear as the name of a set",
            left[0],
            len(left),
            target,
        )


@contextmanager
def _progress(progress: bool | OnProgress, num_rows: int) -> Iterator[Callable[[int], None]]:
    """What to call with rows just written."""
    if callable(progress):
        yield lambda rows: progress(rows, num_rows)
    elif not progress:
        yield lambda rows: None
    else:
        from tqdm import tqdm

        with tqdm(total=num_rows, unit=" rows", unit_scale=True, disable=None) as bar:  # None: only on a terminal
            yield bar.update


def verify(path_or_directory: PathLike, **options: object) -> Report:
    """Read everything back and report what is wrong: .ok .num_rows .problems.

    A file or set with a manifest is compared with it; others are checked by their own structure and checksums.

    Args:
        options: of the format, as in inspect, for files that no manifest names.

    Raises:
        FileNotFoundError: there is nothing of that name.
    """
    from .migrate.check import verify_path

    return verify_path(os.fspath(path_or_directory), options)
