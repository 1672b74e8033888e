"""RecordIO: the contract for each payload, the framing, what "auto" means, and the image header."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recordio_bridge as rb
from recordio_bridge import Batch, Field, FormatError, LossyError, Ragged, Schema, SchemaError, TruncatedError
from recordio_bridge.formats import framed, recordio
from tests.formats.contract import FormatContract, open_files, plain, random_column, rows_of
from tests.formats.frames import MAGIC, image_payload, part, rec

JPEG = b"\xff\xd8\xff\xe0 not much of an image"
IMAGE = Schema(Field("id", "uint64"), Field("label", "float32", (None,)), Field("image", "bytes"))
RAW = Schema(Field("record", "bytes"))


class TestImageRecords(FormatContract):
    format = recordio.FORMAT
    schema = IMAGE
    suffix = ".rec"

    def sample(self, rows: int) -> Batch:
        rng = np.random.default_rng(rows)
        columns = {name: random_column(field, rows, rng) for name, field in self.schema.items()}
        columns["label"] = [rng.standard_normal(rng.integers(1, 4)).astype(np.float32) for _ in range(rows)]
        columns["id"] = rng.permutation(rows).astype(np.uint64)
        return Batch.of(columns, self.schema)


class TestImageRecordsWithSecondIdsAndTextKeys(TestImageRecords):
    schema = Schema(*IMAGE.values(), Field("id2", "uint64"), Field("key", "bytes"))

    def sample(self, rows: int) -> Batch:
        batch = super().sample(rows)
        columns = {name: batch[name] for name in batch}
        columns["key"] = [f"folder/é {number}" for number in range(rows)]
        return Batch.of(columns, self.schema)

    def test_batches_hold_what_they_held_when_all_are_collected_first(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in the contract; but keys must differ, so the file is smaller, and so are the blocks."""
        monkeypatch.setattr(framed, "BLOCK", 1 << 17)
        sample = self.sample(20_000)
        assert sample.nbytes > 4 * framed.BLOCK
        self.write(path, sample)
        batches = self.read(path, batch_rows=1000)
        assert [batch == sample.slice(1000 * i, 1000 * i + 1000) for i, batch in enumerate(batches)] == [True] * 20


class TestRawRecords(FormatContract):
    format = recordio.FORMAT
    schema = RAW
    suffix = ".rec"


class TestExampleRecords(FormatContract):
    format = recordio.FORMAT
    schema = Schema(
        Field("name", "bytes"),
        Field("tags", "bytes", (None,)),
        Field("number", "int64"),
        Field("small", "int8", (2, 3)),
        Field("values", "float32", (None,)),
        Field("pixels", "uint8", (4, 5)),
        Field("double", "float64", (2,), "raw"),
    )
    suffix = ".rec"


# ---- framing ----

VECTORS = {  # payload: file, made by mxnet 1.9.1
    "V1": (b"", "0a23d7ce 00000000"),
    "V2": (b"a", "0a23d7ce 01000000 61000000"),
    "V3": (b"abcd", "0a23d7ce 04000000 61626364"),
    "V4": (MAGIC, "0a23d7ce 00000020 0a23d7ce 00000060"),
    "V5": (MAGIC + b"a", "0a23d7ce 00000020 0a23d7ce 01000060 61000000"),
    "V6": (b"aaaa" + MAGIC, "0a23d7ce 04000020 61616161 0a23d7ce 00000060"),
    "V7": (b"a" + MAGIC, "0a23d7ce 05000000 610a23d7 ce000000"),
    "V8": (MAGIC + MAGIC, "0a23d7ce 00000020 0a23d7ce 00000040 0a23d7ce 00000060"),
    "V9": (
        b"xxxx" + MAGIC + b"yyyy" + MAGIC + b"zz",
        "0a23d7ce 04000020 78787878 0a23d7ce 04000040 79797979 0a23d7ce 02000060 7a7a0000",
    ),
}


@pytest.mark.parametrize(("payload", "file"), VECTORS.values(), ids=VECTORS)
def test_raw_records_are_framed_as_mxnet_does_and_read_back(tmp_path: Path, payload: bytes, file: str) -> None:
    path = tmp_path / "v.rec"
    rb.write(path, {"record": [payload]})
    assert path.read_bytes() == bytes.fromhex(file)
    (batch,) = rb.read(path)
    assert list(batch["record"]) == [payload]


def test_the_index_has_a_line_of_key_tab_offset_for_each_record(tmp_path: Path) -> None:
    rb.write(tmp_path / "three.rec", {"record": [b"r0", b"r1", b"r2"]})
    assert (tmp_path / "three.idx").read_bytes() == b"0\t0\n1\t12\n2\t24\n"
    assert (tmp_path / "three.rec").stat().st_size == 36


_FRAGMENTS = st.one_of(st.binary(max_size=9), st.just(MAGIC), st.just(MAGIC[:2]), st.just(part(2, b"abcd")))
_PAYLOADS = st.lists(st.lists(_FRAGMENTS, max_size=6).map(b"".join), max_size=8)


@given(payloads=_PAYLOADS, batch_rows=st.integers(1, 9))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_payloads_with_magics_anywhere_are_cut_into_parts_and_put_together(
    tmp_path: Path, payloads: list[bytes], batch_rows: int
) -> None:
    path = tmp_path / "p.rec"
    rb.write(path, {"record": payloads}, schema=RAW, overwrite=True)
    assert path.read_bytes() == rec(*payloads)
    assert [row["record"] for batch in rb.read(path, batch_rows) for row in batch.rows()] == payloads
    with rb.open(path) as file:
        assert [row["record"] for row in file.take(range(len(payloads))[::-1]).rows()] == payloads[::-1]


def test_records_larger_than_a_block_and_parts_at_its_edges_are_read_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    payloads = []
    for size in (4 << 20, (4 << 20) - 8, (4 << 20) - 4, 11 << 20, 0, 3, 6 << 20):
        payload = bytearray(rng.bytes(size))
        for at in range(0, size, 1 << 20):
            payload[at : at + 4] = MAGIC
        payloads.append(bytes(payload[:size]))
    path = tmp_path / "big.rec"
    path.write_bytes(rec_fast(payloads))
    for batch_rows in (1, 2, 100):
        read = [bytes(row["record"]) for batch in rb.read(path, batch_rows, payload="raw") for row in batch.rows()]
        assert read == payloads
    with rb.open(path, payload="raw") as file:
        assert [row["record"] for row in file.take([6, 3, 1, 3]).rows()] == [payloads[i] for i in (6, 3, 1, 3)]
    rb.write(tmp_path / "again.rec", {"record": payloads})
    assert (tmp_path / "again.rec").read_bytes() == path.read_bytes()


def rec_fast(payloads: list[bytes]) -> bytes:
    """As frames.rec, for payloads whose only magics are those at multiples of 1 MiB."""
    out = []
    for payload in payloads:
        starts = list(range(0, len(payload) & ~3, 1 << 20))
        if not starts:
            out.append(part(0, payload))
            continue
        pieces = [payload[a + 4 : b] for a, b in zip(starts, [*starts[1:], len(payload)], strict=True)]
        out.append(part(1, b""))
        out += [part(2, piece) for piece in pieces[:-1]]
        out.append(part(3, pieces[-1]))
    return b"".join(out)


# ---- the limit of 2**29 - 1 bytes ----


def zeros(size: int) -> Ragged:
    """One row of zeros, for which no memory is touched."""
    return Ragged(np.zeros(size, dtype=np.uint8), np.array([0]), np.array([size]), "bytes")


def test_a_record_of_2_to_the_29_bytes_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    small = Batch({"record": Ragged.of([b"before"])})
    with pytest.raises(SchemaError, match="536870911") as caught:
        rb.write(tmp_path / "x.rec", [small, Batch({"record": zeros(1 << 29)})])
    assert caught.value.row == 1
    assert list(tmp_path.iterdir()) == []


def test_the_image_header_and_the_labels_count_towards_the_limit(tmp_path: Path) -> None:
    columns = {"label": Ragged.of([[1.0, 2.0]], "float32"), "image": zeros((1 << 29) - 24 - 8)}
    with pytest.raises(SchemaError, match="536870911"):
        rb.write(tmp_path / "x.rec", Batch(columns))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.one_lane
def test_a_record_of_the_largest_size_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    rb.write(path, Batch({"record": zeros((1 << 29) - 1)}))
    assert path.stat().st_size == 8 + (1 << 29)
    with open(path, "rb") as file:
        assert file.read(8) == bytes.fromhex("0a23d7ce ffffff1f")
    assert rb.inspect(path).num_rows == 1
    (batch,) = rb.read(path)
    assert batch["record"].lengths.tolist() == [(1 << 29) - 1]


def test_a_length_beyond_the_end_is_an_error_and_no_allocation(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(MAGIC + struct.pack("<I", 0x1FFFFFFF) + b"short")
    with pytest.raises(TruncatedError) as caught:
        list(rb.read(path, payload="raw"))
    assert (caught.value.path, caught.value.record, caught.value.offset) == (str(path), 0, 0)


# ---- what "auto" reads ----

EXAMPLE = bytes.fromhex("0a0c0a0a0a017812051a030a0105")  # x: int64 [5]


def kind_of(path: Path, *payloads: bytes) -> list[str]:
    """The fields that auto finds in a file of these records."""
    path.write_bytes(rec(*payloads))
    return list(rb.inspect(path).schema)


def test_auto_takes_examples_when_each_of_the_first_16_parses(tmp_path: Path) -> None:
    assert kind_of(tmp_path / "x.rec", EXAMPLE) == ["x"]
    assert kind_of(tmp_path / "x.rec", *[EXAMPLE] * 40) == ["x"]
    assert kind_of(tmp_path / "x.rec", b"", EXAMPLE, b"", EXAMPLE) == ["x"]


def test_auto_takes_image_when_one_of_the_first_16_is_no_example(tmp_path: Path) -> None:
    image = image_payload(JPEG)
    assert kind_of(tmp_path / "x.rec", image) == ["id", "label", "image"]
    assert kind_of(tmp_path / "x.rec", *[image] * 15, EXAMPLE + bytes(20)) == ["id", "label", "image"]


def test_auto_says_which_record_is_no_example_behind_those_it_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(*[EXAMPLE] * 16, b"\xff" * 30, EXAMPLE))
    for reader in (rb.inspect, rb.read, lambda path: rb.read(path, schema=Schema(Field("x", "int64")))):
        with pytest.raises(FormatError) as caught:
            list(reader(path))
        assert (caught.value.path, caught.value.record, caught.value.offset) == (str(path), 16, 16 * 24)


@pytest.mark.parametrize("schema", [None, Schema(Field("x", "int64"))], ids=["inferred", "given"])
def test_no_file_is_left_open_after_a_content_error(tmp_path: Path, schema: Schema | None) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(*[EXAMPLE] * 16, b"\xff" * 30, EXAMPLE))
    before = open_files()
    with pytest.raises(FormatError) as caught:
        list(rb.read(path, schema=schema))
    assert open_files() == before
    assert caught.value.record == 16  # still held, with its traceback


@pytest.mark.parametrize("payload", [b"hello", b"", b"\x0a\x00", b"x" * 23], ids=range(4))
def test_a_record_too_short_for_an_image_header_is_an_error_that_names_raw(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(payload))
    with pytest.raises(FormatError, match=r"payload='raw'|payload=\"raw\"") as caught:
        list(rb.read(path))
    assert (caught.value.path, caught.value.record, caught.value.offset) == (str(path), 0, 0)
    assert [row["record"] for batch in rb.read(path, payload="raw") for row in batch.rows()] == [payload]


def test_an_option_wins_over_the_sidecar_and_the_content(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    rb.write(path, {"number": np.arange(3)})
    assert list(rb.inspect(path, payload="raw").schema) == ["record"]
    path.write_bytes(rec(image_payload(JPEG)))
    assert list(rb.inspect(path, payload="image").schema) == ["id", "label", "image"]


def test_an_unknown_payload_is_a_value_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(rec(b"x"))
    with pytest.raises(ValueError, match=r"'pictures'.*'raw'"):
        rb.inspect(path, payload="pictures")


def test_a_sidecar_is_believed_only_for_the_files_that_it_names(tmp_path: Path) -> None:
    rb.write(tmp_path / "a.rec", {"number": np.arange(3, dtype=np.int8)})
    assert rb.inspect(tmp_path / "a.rec").schema["number"].dtype == "int8"
    (tmp_path / "a.rec").rename(tmp_path / "b.rec")
    (tmp_path / "a.rec.schema.json").rename(tmp_path / "b.rec.schema.json")
    assert rb.inspect(tmp_path / "b.rec").schema["number"].dtype == "int64"


# ---- what "auto" writes ----


def first_record(path: Path) -> bytes:
    (batch,) = rb.read(path, payload="raw")
    return bytes(batch["record"][0])


@pytest.mark.parametrize("fields", [["image"], ["image", "id"], ["label", "image"], ["id", "label", "image"]])
def test_image_with_id_and_label_or_without_becomes_an_image_record(tmp_path: Path, fields: list[str]) -> None:
    columns = {"id": np.array([7], dtype=np.uint64), "label": np.array([2], dtype=np.float32), "image": [JPEG]}
    rb.write(tmp_path / "x.rec", {name: columns[name] for name in fields})
    header = struct.pack("<IfQQ", 0, 2.0 if "label" in fields else 0.0, 7 if "id" in fields else 0, 0)
    assert first_record(tmp_path / "x.rec") == header + JPEG
    assert [list(row) for batch in rb.read(tmp_path / "x.rec") for row in batch.rows()] == [fields]


def test_a_single_bytes_field_called_record_is_written_raw(tmp_path: Path) -> None:
    rb.write(tmp_path / "x.rec", {"record": [b"as it is"]})
    assert first_record(tmp_path / "x.rec") == b"as it is"


@pytest.mark.parametrize(
    "columns",
    [
        {"x": np.array([5])},
        {"image": [JPEG], "weight": np.array([1.0], dtype=np.float32)},
        {"record": [b"a"], "weight": np.array([1.0], dtype=np.float32)},
        {"image": [[JPEG, JPEG]]},
        {"image": np.zeros((1, 4, 4), dtype=np.uint8)},
        {"other": [b"bytes under another name"]},
    ],
    ids=lambda columns: "+".join(columns),
)
def test_anything_else_becomes_an_example_and_comes_back_whole(tmp_path: Path, columns: dict[str, object]) -> None:
    batch = Batch.of(columns)
    rb.write(tmp_path / "x.rec", batch)
    assert first_record(tmp_path / "x.rec") == rb.example.encode(batch)[0]
    assert rows_of(rb.read(tmp_path / "x.rec")) == plain(batch)


def test_payload_image_refuses_other_fields_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LossyError, match=r"weight.*example") as caught:
        rb.write(tmp_path / "x.rec", {"image": [JPEG], "weight": [1]}, payload="image")
    assert caught.value.field == "weight"
    with pytest.raises(SchemaError, match="record"):
        rb.write(tmp_path / "x.rec", {"image": [JPEG]}, payload="raw")
    assert list(tmp_path.iterdir()) == []


# ---- the image header ----


def test_headers_are_written_as_mxnet_packs_them(tmp_path: Path) -> None:
    columns = {"id": [2574, 1], "label": [[4.0], [4.0, 5.5]], "image": [b"IMG", b"IMG"]}
    rb.write(tmp_path / "x.rec", columns, schema=IMAGE)
    (batch,) = rb.read(tmp_path / "x.rec", payload="raw")
    assert [payload.hex() for payload in batch["record"]] == [
        "00000000 00008040 0e0a0000 00000000 00000000 00000000 494d47".replace(" ", ""),
        "02000000 00000000 01000000 00000000 00000000 00000000 00008040 0000b040 494d47".replace(" ", ""),
    ]


def test_the_magic_inside_the_header_cuts_the_record_there(tmp_path: Path) -> None:
    path = tmp_path / "v10.rec"
    rb.write(path, {"id": [0xCED7230A], "label": [[1.0]], "image": [b"IMG"]}, schema=IMAGE)
    assert path.read_bytes() == bytes.fromhex(
        "0a23d7ce 08000020 00000000 0000803f 0a23d7ce 0f000060 00000000 00000000 00000000 494d4700"
    )
    (tmp_path / "v10.rec.schema.json").unlink()
    (row,) = (row for batch in rb.read(path) for row in batch.rows())
    assert (int(row["id"]), row["label"].tolist(), row["image"]) == (0xCED7230A, [1.0], b"IMG")


_WORDS = st.one_of(st.just(0xCED7230A), st.just(0), st.integers(0, 2**32 - 1))
_IDS = st.tuples(_WORDS, _WORDS).map(lambda words: words[0] | words[1] << 32)
_LABELS = st.lists(_WORDS.map(lambda word: np.frombuffer(struct.pack("<I", word), "<f4")[0]), min_size=1, max_size=4)


@given(rows=st.lists(st.tuples(_IDS, _IDS, _LABELS, _PAYLOADS.map(b"".join)), min_size=1, max_size=5))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_labels_and_images_of_any_bits_come_back(tmp_path: Path, rows: list[tuple]) -> None:
    path = tmp_path / "x.rec"
    schema = Schema(*IMAGE.values(), Field("id2", "uint64"))
    batch = Batch(
        {
            "id": np.array([row[0] for row in rows], dtype=np.uint64),
            "label": Ragged.of([np.array(row[2], dtype=np.float32) for row in rows], "float32"),
            "image": Ragged.of([row[3] for row in rows]),
            "id2": np.array([row[1] for row in rows], dtype=np.uint64),
        },
        schema,
    )
    rb.write(path, batch, overwrite=True)
    assert rows_of(rb.read(path)) == plain(batch)
    (raw,) = rb.read(path, payload="raw", fields=["record"])
    headers = [struct.pack("<I", 0 if len(label) == 1 else len(label)) for _, _, label, _ in rows]
    assert [payload[:4] for payload in raw["record"]] == headers


def test_flag_1_is_a_vector_of_one_label(tmp_path: Path) -> None:
    (tmp_path / "x.rec").write_bytes(rec(image_payload(JPEG, 9.0, labels=(0.25,))))
    (batch,) = rb.read(tmp_path / "x.rec")
    assert batch["label"][0].tolist() == [0.25]


def test_a_label_vector_replaces_the_label_of_the_header(tmp_path: Path) -> None:
    (tmp_path / "x.rec").write_bytes(rec(image_payload(JPEG, 4.0, labels=(4.0, 5.0)), image_payload(JPEG, 3.0)))
    (batch,) = rb.read(tmp_path / "x.rec")
    assert [label.tolist() for label in batch["label"]] == [[4.0, 5.0], [3.0]]
    assert list(batch["image"]) == [JPEG, JPEG]


def test_id2_is_a_field_only_where_one_is_not_zero(tmp_path: Path) -> None:
    assert kind_of(tmp_path / "x.rec", image_payload(JPEG)) == ["id", "label", "image"]
    assert kind_of(tmp_path / "x.rec", image_payload(JPEG), image_payload(JPEG, id2=1)) == [
        "id",
        "label",
        "image",
        "id2",
    ]


def test_integer_labels_and_fixed_vectors_are_written_where_float32_holds_them(tmp_path: Path) -> None:
    rb.write(tmp_path / "x.rec", {"label": np.array([1 << 24, 3]), "image": [JPEG, JPEG]})
    (batch,) = rb.read(tmp_path / "x.rec")
    assert (batch["label"].dtype, batch["label"].tolist()) == (np.int64, [1 << 24, 3])
    rb.write(tmp_path / "y.rec", {"label": np.array([[1, 2, 3]], dtype=np.uint8), "image": [JPEG]})
    assert first_record(tmp_path / "y.rec") == image_payload(JPEG, labels=(1, 2, 3))


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"label": np.array([3, (1 << 24) + 1]), "image": [JPEG, JPEG]}, "label"),
        ({"label": np.array([3.0, 0.1]), "image": [JPEG, JPEG]}, "label"),
        ({"label": [[1.0], []], "image": [JPEG, JPEG]}, "label"),
        ({"id": np.array([3, -1]), "image": [JPEG, JPEG]}, "id"),
    ],
    ids=["an int that float32 has not", "float64", "no label", "a negative id"],
)
def test_what_the_header_cannot_hold_is_refused_with_field_and_row(
    tmp_path: Path, columns: dict[str, object], field: str
) -> None:
    with pytest.raises(LossyError) as caught:
        rb.write(tmp_path / "x.rec", columns)
    assert caught.value.field == field
    assert caught.value.row in (1, None)
    assert list(tmp_path.iterdir()) == []


# ---- schema= for image records ----


def labelled(path: Path, *labels: tuple[float, ...]) -> Path:
    """Image records of 40 bytes each, or more with several labels."""
    path.write_bytes(rec(*(image_payload(JPEG[:8], one[0], labels=one if len(one) > 1 else ()) for one in labels)))
    return path


CLASSES = Schema(Field("label", "int64"), Field("image", "bytes"))


def test_labels_become_integers_when_asked(tmp_path: Path) -> None:
    path = labelled(tmp_path / "x.rec", (3.0,), (7.0,))
    (batch,) = rb.read(path, schema=CLASSES)
    assert (batch.schema, batch["label"].tolist()) == (CLASSES, [3, 7])


@pytest.mark.parametrize(
    "odd", [(3.5,), (float("nan"),), (2.0**24 + 2,), (1.0, 2.0)], ids=["a fraction", "nan", "above 2**24", "two labels"]
)
def test_a_label_that_is_no_class_is_an_error_that_names_file_and_record(
    tmp_path: Path, odd: tuple[float, ...]
) -> None:
    path = labelled(tmp_path / "x.rec", *[(1.0,)] * 5, odd, (1.0,))
    for batch_rows in (1, 2, 100):
        with pytest.raises(SchemaError) as caught:
            list(rb.read(path, batch_rows, schema=CLASSES))
        assert (caught.value.field, caught.value.row) == ("label", 5)
        assert str(path) in str(caught.value)


def test_skip_leaves_out_a_record_whose_label_is_no_class(tmp_path: Path) -> None:
    path = labelled(tmp_path / "x.rec", (1.0,), (3.5,), (2.0,))
    batches = rb.read(path, schema=CLASSES, on_bad_record="skip")
    assert [label for batch in batches for label in batch["label"].tolist()] == [1, 2]


def test_a_schema_of_fields_that_are_not_there_is_an_error_that_names_one(tmp_path: Path) -> None:
    path = labelled(tmp_path / "x.rec", (1.0,))
    with pytest.raises(SchemaError, match="nope") as caught:
        list(rb.read(path, schema=Schema(Field("nope", "int64"))))
    assert caught.value.field == "nope"
