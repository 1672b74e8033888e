"""What every format promises, through the public functions: each format's tests inherit FormatContract."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recordio_bridge as rb
from recordio_bridge import Batch, BridgeError, Field, Ragged, Schema, SchemaError
from recordio_bridge.formats.base import Format


def plain(value: object) -> object:
    """A value, row or Batch as something that compares bit by bit, with dtypes and shapes."""
    if isinstance(value, Batch):
        return [plain(row) for row in value.rows()]
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.name, value.shape, value.tobytes()
    return value


def rows_of(batches: Iterator[Batch] | list[Batch]) -> list[object]:
    """All rows of some batches, comparable."""
    return [row for batch in batches for row in plain(batch)]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def open_files() -> int:
    """How many files this process has open."""
    return len(os.listdir("/dev/fd"))


def random_column(field: Field, rows: int, rng: np.random.Generator) -> list[object] | np.ndarray:
    """Values of a field that use all of its dtype's range."""

    def numbers(shape: tuple[int, ...]) -> np.ndarray:
        if field.dtype == "bool":
            return rng.integers(0, 2, shape).astype(bool)
        if field.dtype.startswith("float"):
            return rng.standard_normal(shape).astype(field.dtype)
        limits = np.iinfo(field.dtype)
        high = min(int(limits.max), 2**63 - 1)  # as an Example can hold no more
        return rng.integers(int(limits.min), high, shape, dtype=field.dtype, endpoint=True)

    def text() -> bytes:
        return rng.bytes(int(rng.integers(0, 40)))

    if field.dtype != "bytes":
        if field.shape == (None,):
            return [numbers((int(rng.integers(0, 6)),)) for _ in range(rows)]
        return numbers((rows, *field.shape))
    if field.shape == ():
        return [text() for _ in range(rows)]
    counts = rng.integers(0, 4, rows) if field.shape == (None,) else np.full(rows, field.shape[0])
    return [[text() for _ in range(count)] for count in counts]


class FormatContract:
    """Subclasses say which format, schema and options, and how to make a sample where random values will not do."""

    format: Format
    schema: Schema
    suffix: str
    options: dict[str, Any] = {}  # noqa: RUF012  # read only

    def sample(self, rows: int) -> Batch:
        """Rows of the schema that this format keeps exactly; the same for the same number."""
        rng = np.random.default_rng(rows)
        columns = {name: random_column(field, rows, rng) for name, field in self.schema.items()}
        return Batch.of(columns, self.schema)

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        folder = tmp_path / "data"
        folder.mkdir()
        return folder / f"sample{self.suffix}"

    def write(self, path: Path, batches: object, **arguments: Any) -> Path:
        rb.write(path, batches, schema=self.schema, **self.options, **arguments)
        return path

    def read(self, path: Any, **arguments: Any) -> list[Batch]:
        return list(rb.read(path, **self.options, **arguments))

    # ---- what is written comes back ----

    def test_values_dtypes_and_shapes_come_back(self, path: Path) -> None:
        sample = self.sample(50)
        self.write(path, [sample.slice(start, start + 7) for start in range(0, 50, 7)])
        batches = self.read(path)
        assert [batch.schema for batch in batches] == [self.schema]
        assert list(batches[0]) == list(self.schema)
        assert rows_of(batches) == plain(sample)
        for name, field in self.schema.items():
            column = batches[0][name]
            if field.is_ragged:
                assert isinstance(column, Ragged)
                assert column.dtype == field.dtype
            else:
                assert isinstance(column, np.ndarray)
                assert column.dtype == field.numpy_dtype
                assert column.shape == (50, *field.shape)

    def test_inspect_says_what_the_file_holds(self, path: Path) -> None:
        self.write(path, self.sample(9))
        summary = rb.inspect(path, **self.options)
        assert (summary.format, summary.schema, summary.num_rows) == (self.format.name, self.schema, 9)
        assert summary.nbytes == path.stat().st_size

    def test_verify_reads_a_good_file_and_finds_nothing(self, path: Path) -> None:
        self.write(path, self.sample(9))
        report = rb.verify(path)
        assert report.ok
        assert report.problems == []
        assert report.num_rows == 9

    def test_dicts_of_columns_and_a_single_batch_are_written_alike(self, path: Path) -> None:
        sample = self.sample(12)
        self.write(path, sample)
        alone = path.read_bytes()
        self.write(path, [{name: sample[name] for name in sample}], overwrite=True)
        assert path.read_bytes() == alone

    def test_without_a_schema_the_first_batch_gives_it(self, path: Path) -> None:
        rb.write(path, [self.sample(5)], **self.options)
        assert rb.inspect(path, **self.options).schema == self.schema

    @pytest.mark.parametrize("batch_rows", [1, 3, 7, 49, 50, 51, 1000])
    def test_every_batch_but_the_last_has_exactly_batch_rows(self, path: Path, batch_rows: int) -> None:
        sample = self.sample(50)
        self.write(path, sample)
        batches = self.read(path, batch_rows=batch_rows)
        full, rest = divmod(50, batch_rows)
        assert [len(batch) for batch in batches] == [batch_rows] * full + [rest] * bool(rest)
        assert rows_of(batches) == plain(sample)

    def test_batch_rows_below_one_is_refused(self, path: Path) -> None:
        self.write(path, self.sample(2))
        with pytest.raises(ValueError, match="batch_rows"):
            self.read(path, batch_rows=0)

    def test_one_row(self, path: Path) -> None:
        self.write(path, self.sample(1))
        assert rows_of(self.read(path)) == plain(self.sample(1))
        with rb.open(path, **self.options) as file:
            assert len(file) == 1
            assert [plain(file[0])] == plain(self.sample(1))

    def test_an_empty_dataset_keeps_its_schema(self, path: Path) -> None:
        self.write(path, [])
        assert sum(len(batch) for batch in self.read(path)) == 0
        summary = rb.inspect(path, **self.options)
        assert (summary.schema, summary.num_rows) == (self.schema, 0)
        with rb.open(path, **self.options) as file:
            assert len(file) == 0
            assert (len(file[:]), file[:].schema) == (0, self.schema)
            with pytest.raises(IndexError):
                file[0]
        assert rb.verify(path).ok

    def test_a_batch_without_rows_between_others_changes_nothing(self, path: Path) -> None:
        sample = self.sample(6)
        self.write(path, [sample.slice(0, 0), sample.slice(0, 4), sample.slice(4, 4), sample.slice(4, 6)])
        assert rows_of(self.read(path)) == plain(sample)

    def test_no_batches_and_no_schema_is_an_error_that_leaves_nothing(self, path: Path) -> None:
        with pytest.raises(SchemaError):
            rb.write(path, [], **self.options)
        assert tree(path.parent) == {}

    # ---- batches stay as they are ----

    def test_batches_hold_what_they_held_when_all_are_collected_first(self, path: Path) -> None:
        sample, rng = self.sample(1000), np.random.default_rng(1)
        written = [sample.take(rng.permutation(1000)) for _ in range(10_000_000 // sample.nbytes)]  # each another order
        self.write(path, written)
        batches = self.read(path, batch_rows=1000)
        assert written[0] != written[1]
        assert [batch == order for batch, order in zip(batches, written, strict=True)] == [True] * len(written)

    def test_batches_outlive_the_file_that_they_came_from(self, path: Path) -> None:
        sample = self.sample(20)
        self.write(path, sample)
        batches = self.read(path, batch_rows=8)
        with open(path, "r+b") as file:
            file.truncate(0)
        path.unlink()
        assert rows_of(batches) == plain(sample)

    def test_arrays_are_read_only(self, path: Path) -> None:
        self.write(path, self.sample(5))
        (batch,) = self.read(path)
        for column in (batch[name] for name in batch):
            if isinstance(column, np.ndarray):
                with pytest.raises(ValueError, match="read-only"):
                    column[...] = column
                continue
            inner = column.values if isinstance(column.values, Ragged) else column
            for array in (column.starts, column.lengths, inner.starts, inner.lengths, inner.values):
                assert not array.flags.writeable
            for row in column:
                assert not isinstance(row, np.ndarray) or not row.flags.writeable

    # ---- fields ----

    def test_fields_chooses_and_orders(self, path: Path) -> None:
        sample = self.sample(10)
        self.write(path, sample)
        wanted = list(self.schema)[::-1]
        for names in ([wanted[0]], wanted):
            batches = self.read(path, fields=names)
            assert list(batches[0]) == names
            assert rows_of(batches) == plain(sample.pick(names))
            with rb.open(path, fields=names, **self.options) as file:
                assert list(file.schema) == names
                assert plain(file[:]) == plain(sample.pick(names))

    def test_an_unknown_field_is_named_with_those_that_there_are(self, path: Path) -> None:
        self.write(path, self.sample(3))
        with pytest.raises(SchemaError, match="nowhere") as caught:
            self.read(path, fields=["nowhere"])
        assert caught.value.field == "nowhere"
        assert all(name in str(caught.value) for name in self.schema)

    # ---- writing is all or nothing, and repeatable ----

    def test_a_file_that_is_there_is_not_replaced_unless_asked(self, path: Path) -> None:
        self.write(path, self.sample(30))
        before = tree(path.parent)
        with pytest.raises(FileExistsError, match="overwrite"):
            self.write(path, self.sample(2))
        assert tree(path.parent) == before
        self.write(path, self.sample(2), overwrite=True)
        assert rows_of(self.read(path)) == plain(self.sample(2))
        assert set(tree(path.parent)) == set(before)
        assert rb.verify(path).ok

    @pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
    def test_a_failure_in_mid_write_leaves_nothing_behind(self, path: Path, interruption: type[BaseException]) -> None:
        def batches() -> Iterator[Batch]:
            yield self.sample(64)
            yield self.sample(64)
            raise interruption("in mid-write")

        with pytest.raises(interruption, match="in mid-write"):
            self.write(path, batches())
        assert tree(path.parent) == {}

    def test_a_failure_while_overwriting_leaves_what_was_there(self, path: Path) -> None:
        def batches() -> Iterator[Batch]:
            yield self.sample(64)
            raise RuntimeError("in mid-write")

        self.write(path, self.sample(5))
        before = tree(path.parent)
        with pytest.raises(RuntimeError, match="in mid-write"):
            self.write(path, batches(), overwrite=True)
        assert tree(path.parent) == before

    def test_a_batch_of_other_columns_is_refused_and_leaves_nothing(self, path: Path) -> None:
        with pytest.raises(SchemaError):
            self.write(path, [self.sample(3), {"something": [1, 2, 3]}])
        assert tree(path.parent) == {}

    def test_the_same_input_gives_the_same_bytes(self, path: Path, tmp_path: Path) -> None:
        other = tmp_path / "other" / path.name
        other.parent.mkdir()
        self.write(path, self.sample(40))
        self.write(other, self.sample(40))
        assert tree(path.parent) == tree(other.parent)

    def test_how_rows_are_cut_into_batches_does_not_change_the_file(self, path: Path, tmp_path: Path) -> None:
        other = tmp_path / "other" / path.name
        other.parent.mkdir()
        sample = self.sample(40)
        self.write(path, sample)
        self.write(other, [sample.slice(start, start + 3) for start in range(0, 40, 3)])
        assert tree(path.parent) == tree(other.parent)

    # ---- random access ----

    def test_random_access_equals_sequential_reading(self, path: Path) -> None:
        self.write(path, self.sample(25))
        rows = rows_of(self.read(path, batch_rows=4))
        with rb.open(path, **self.options) as file:
            assert (len(file), file.schema) == (25, self.schema)
            assert [plain(file[i]) for i in range(25)] == rows
            assert [plain(file[i]) for i in range(-25, 0)] == rows
            assert plain(file[np.int64(3)]) == rows[3]
            assert [plain(row) for row in file] == rows

    @pytest.mark.parametrize(
        "where",
        [
            slice(None),
            slice(3, 11),
            slice(-5, None),
            slice(20, 100),
            slice(9, 3),
            slice(None, None, -1),
            slice(1, 20, 6),
        ],
    )
    def test_slices_are_batches(self, path: Path, where: slice) -> None:
        self.write(path, self.sample(25))
        with rb.open(path, **self.options) as file:
            batch = file[where]
            assert isinstance(batch, Batch)
            assert batch.schema == self.schema
            assert plain(batch) == plain(self.sample(25))[where]

    def test_take_gives_rows_in_the_order_asked_with_repeats(self, path: Path) -> None:
        self.write(path, self.sample(25))
        wanted = [24, 0, 7, 7, -1, 3, 0, -25]
        with rb.open(path, **self.options) as file:
            rows = plain(self.sample(25))
            assert plain(file.take(wanted)) == [rows[i] for i in wanted]
            assert plain(file.take(np.array(wanted, dtype=np.int32))) == [rows[i] for i in wanted]
            assert (len(file.take([])), file.take([]).schema) == (0, self.schema)

    @pytest.mark.parametrize("wrong", [25, -26, 2**40])
    def test_a_row_that_is_not_there_is_an_index_error(self, path: Path, wrong: int) -> None:
        self.write(path, self.sample(25))
        with rb.open(path, **self.options) as file:
            with pytest.raises(IndexError, match="25"):
                file[wrong]
            with pytest.raises(IndexError, match="25"):
                file.take([0, wrong])

    @pytest.mark.parametrize("wrong", [1.5, "1", None, b"1"], ids=repr)
    def test_a_row_number_that_is_no_integer_is_a_type_error(self, path: Path, wrong: object) -> None:
        self.write(path, self.sample(3))
        with rb.open(path, **self.options) as file:
            with pytest.raises(TypeError):
                file[wrong]
            with pytest.raises((TypeError, ValueError)):
                file.take([0, wrong])

    def test_a_mask_of_booleans_is_not_taken_for_row_numbers(self, path: Path) -> None:
        self.write(path, self.sample(3))
        with rb.open(path, **self.options) as file, pytest.raises((TypeError, ValueError, IndexError)):
            file.take(np.array([True, False, True]))

    def test_a_record_file_pickles(self, path: Path) -> None:
        self.write(path, self.sample(25))
        names = list(self.schema)[-1:]
        with rb.open(path, fields=names, **self.options) as file, pickle.loads(pickle.dumps(file)) as copy:
            assert copy.schema == file.schema
            assert plain(copy[:]) == plain(file[:])

    def test_several_threads_read_at_the_same_time(self, path: Path) -> None:
        sample = plain(self.sample(64))
        self.write(path, self.sample(64))
        with ThreadPoolExecutor(4) as pool, rb.open(path, **self.options) as file:
            whole = pool.map(lambda size: rows_of(self.read(path, batch_rows=size)), [1, 5, 64, 7] * 2)
            assert all(rows == sample for rows in whole)
            orders = [np.random.default_rng(seed).permutation(64) for seed in range(16)]
            taken = pool.map(lambda order: plain(file.take(order)), orders)
            for order, rows in zip(orders, taken, strict=True):
                assert rows == [sample[i] for i in order]

    # ---- several files ----

    def _two_files(self, path: Path) -> tuple[Path, Path, list[object]]:
        first, second = path.with_name(f"a{self.suffix}"), path.with_name(f"b{self.suffix}")
        self.write(first, self.sample(10))
        self.write(second, self.sample(7))
        return first, second, [*plain(self.sample(10)), *plain(self.sample(7))]

    def test_a_list_a_glob_and_a_folder_are_read_as_one(self, path: Path) -> None:
        first, second, rows = self._two_files(path)
        for source in ([first, str(second)], str(path.parent / f"*{self.suffix}"), path.parent, str(path.parent)):
            batches = self.read(source, batch_rows=4)
            assert [len(batch) for batch in batches] == [4, 4, 4, 4, 1]
            assert rows_of(batches) == rows
            summary = rb.inspect(source, **self.options)
            assert (summary.num_rows, summary.schema) == (17, self.schema)
            assert summary.nbytes == first.stat().st_size + second.stat().st_size
            with rb.open(source, **self.options) as file:
                assert [plain(row) for row in file] == rows
                assert plain(file.take([16, 0, 10, 9, 16])) == [rows[i] for i in (16, 0, 10, 9, 16)]

    def test_a_list_keeps_its_own_order(self, path: Path) -> None:
        first, second, rows = self._two_files(path)
        assert rows_of(self.read([second, first])) == rows[10:] + rows[:10]

    def test_a_path_that_is_not_there_is_a_file_not_found_error(self, path: Path) -> None:
        for source in (path, str(path.parent / "*.nothing"), path.parent):
            for function in (rb.inspect, rb.open, lambda source: list(rb.read(source)), rb.verify):
                with pytest.raises(FileNotFoundError):
                    function(source)

    # ---- damage ----

    def _refused(self, path: Path) -> None:
        """Every function says so, and which file it was."""
        readers = (
            lambda: self.read(path),
            lambda: rb.inspect(path, **self.options),
            lambda: rb.open(path, **self.options)[:],
        )
        for reader in readers:
            with pytest.raises(BridgeError) as caught:
                reader()
            assert getattr(caught.value, "path", None) == str(path)
            assert str(path) in str(caught.value)
        report = rb.verify(path)
        assert not report.ok
        assert [problem.path for problem in report.problems] == [str(path)]

    @pytest.mark.parametrize("keeps_sidecar", [True, False])
    def test_a_truncated_file_is_a_bridge_error_that_names_it(self, path: Path, keeps_sidecar: bool) -> None:
        self.write(path, self.sample(30))
        if not keeps_sidecar:
            Path(f"{path}.schema.json").unlink()
        data = path.read_bytes()
        for size in (len(data) - 1, len(data) // 2):
            path.write_bytes(data[:size])
            self._refused(path)

    @pytest.mark.parametrize("keeps_sidecar", [True, False])
    def test_garbage_is_a_bridge_error_that_names_the_file(self, path: Path, keeps_sidecar: bool) -> None:
        self.write(path, self.sample(3))
        if not keeps_sidecar:
            Path(f"{path}.schema.json").unlink()
        path.write_bytes(np.random.default_rng(3).bytes(5000))
        self._refused(path)
        path.write_bytes(bytes(5000))
        self._refused(path)

    def test_an_option_that_the_format_has_not_is_a_value_error(self, path: Path) -> None:
        self.write(path, self.sample(3))
        with pytest.raises(ValueError, match="no_such_option"):
            rb.inspect(path, no_such_option=1)
        with pytest.raises(ValueError, match="no_such_option"):
            rb.write(path.with_name(f"other{self.suffix}"), self.sample(3), no_such_option=1)
        assert not path.with_name(f"other{self.suffix}").exists()

    def test_no_file_is_left_open(self, path: Path) -> None:
        self.write(path, self.sample(20))
        before = open_files()
        batches = rb.read(path, batch_rows=3, **self.options)
        next(batches)
        batches.close()
        self.read(path)
        with rb.open(path, **self.options) as file:
            file[:]
        rb.inspect(path, **self.options)
        rb.verify(path)
        assert open_files() == before

    def test_no_file_is_left_open_after_an_error(self, path: Path) -> None:
        self.write(path, self.sample(30))
        path.write_bytes(path.read_bytes()[:-1])
        before = open_files()
        with pytest.raises(BridgeError) as read:
            self.read(path, batch_rows=3)
        with pytest.raises(BridgeError) as inspected:
            rb.inspect(path, **self.options)
        assert open_files() == before
        assert read.value is not inspected.value  # both are still held, with their tracebacks
