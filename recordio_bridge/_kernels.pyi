"""The native kernels, as Python sees them. C side: _native/kernels.h; twins in plain Python: tests/reference.

All of them release the GIL while they work. Arrays are C-contiguous; `starts`, `lengths`, `heads`, `offsets` are int64.
A capacity is the length of the array that takes the results. Fault numbers are the constants below.
A wrong size or type of an argument raises ValueError or TypeError: that is a mistake in this package, not in a file.
tests/native/test_arguments.py compares what stands here with the module and with the twins.
"""

from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

_Bytes: TypeAlias = bytes | bytearray | memoryview | NDArray[np.uint8]
_Int64: TypeAlias = NDArray[np.int64]
_Base = TypeVar("_Base", bound=_Bytes)
_Spans: TypeAlias = tuple[_Bytes, _Int64, _Int64]
"""(base, starts, lengths): row i is base[starts[i] : starts[i] + lengths[i]]. Spans outside base are a ValueError."""

OK: int
TRUNCATED_HEADER: int
TRUNCATED_BODY: int
BAD_MAGIC: int
BAD_FLAG: int
ORPHAN_PART: int
UNFINISHED_RECORD: int
BAD_LENGTH_CRC: int
BAD_DATA_CRC: int
BAD_MESSAGE: int
BAD_LIST: int
REPEATED_VALUE: int
UNKNOWN_KEY: int
OUT_OF_RANGE: int
TOO_LONG: int
OTHER_KIND: int
UNKNOWN_FIELD: int

NO_KIND: int
BYTES: int
FLOAT: int
INT64: int

NO_IMAGE: int
JPEG: int
PNG: int
GIF: int
BMP: int
WEBP: int

COLOUR: int
ALPHA: int
TRANSPARENT: int
DEEP: int
SEVERAL: int
WHOLE: int

def crc32c(data: _Bytes, value: int = 0, /) -> int:
    """CRC-32C of data, continuing from value (the CRC of what came before). Uses the processor's instruction."""

def crc32c_table(data: _Bytes, value: int = 0, /) -> int:
    """The same by table: what processors without the instruction run. Here so that it is tested everywhere."""

def crc32(data: _Bytes, value: int = 0, /) -> int:
    """CRC-32 of data, continuing from value, as zlib.crc32, in a third of the time."""

def crc32_table(data: _Bytes, value: int = 0, /) -> int:
    """The same by table, as crc32c_table."""

def lzf_length(data: _Bytes, /) -> int:
    """The bytes that what LZF packed unpacks to; -1 where it is cut, or refers to what is before its beginning."""

def scan_recordio(
    block: NDArray[np.uint8], start: int, size: int, final: bool, starts: _Int64, lengths: _Int64, /
) -> tuple[int, int, int, int, int]:
    """Find the whole records of block[start:size]; return (count, consumed, wanted, fault, position).

    A record of several parts is joined in place: its later parts move left over the 4 bytes of their length word, so
    that its payload is one span. (block is therefore written to, but only inside such records.) starts[i], lengths[i]
    are the payload of record i; its head is at starts[i] - 8. consumed is the head of the first record not reported.
    final says that the file ends at size.

    Stops when starts is full (fault OK, wanted = consumed), at the end (fault OK; wanted is the offset up to which
    bytes are needed to go on with the part in hand, its header first; size when nothing is left), or at a fault
    (wanted then means nothing).
    position of a fault is the head of the part where it was found; for UNFINISHED_RECORD at the end of the file it is
    size. Order of checks at a part head: fewer than 8 bytes left (nothing left in an open record, final:
    UNFINISHED_RECORD; 1..7 bytes, final: TRUNCATED_HEADER; not final: wanted = head + 8), magic, flag (4..7 BAD_FLAG;
    2, 3 where a record begins ORPHAN_PART; 0, 1 in an open record UNFINISHED_RECORD), body with padding (final:
    TRUNCATED_BODY; else wanted = its end).
    """

def walk_recordio(
    window: _Bytes,
    origin: int,
    file_size: int,
    walk: bytearray,
    heads: _Int64,
    lengths: _Int64,
    headers: NDArray[np.uint8],
    /,
) -> tuple[int, int, int, int]:
    """Hop from record head to record head without reading the bodies; return (count, next, fault, position).

    window holds the file's bytes from offset origin. walk is 56 bytes of state: int64 next, record, length, got
    (little-endian on every supported machine), then 24 bytes; begin with next = the offset of the first head, record
    = -1 and the rest zero. heads[i] is the offset in the file of record i, lengths[i] the size of its payload (parts
    joined, magics put back), headers[24*i:24*i+24] the first 24 bytes of its payload, zero-filled where the payload
    is shorter. headers has 24 * len(heads) bytes.

    Returns when heads is full, when the walk is at file_size, when a part head at `next` or the part of
    its body that belongs to the 24 bytes is not wholly in the window (then call again with a window from
    next on, of at least 32 bytes or up to the end of the file), or at a fault (position: offset in the file of the
    part head; the record that holds it begins at walk.record, or at position when that is -1). Faults and order of
    checks as in
    scan_recordio with final.
    """

def resync_recordio(block: _Bytes, start: int, size: int, final: bool, /) -> tuple[int, bool]:
    """Find the next record head at or after start (rounded up to a multiple of 4); return (position, decided).

    A head is the magic on a 4-byte boundary of block with flag 0 or 1, a part that fits into size, and after it: the
    end of the file (only flag 0; fewer than 8 bytes left count as the end), or another magic with flag 0 or 1 after
    flag 0, with flag 2 or 3 after flag 1. Not decided: more bytes of the file are needed from position on (the first
    candidate that cannot be judged yet, or the first offset that was not looked at). Final and nothing found: (size,
    True).
    """

def frame_recordio(
    pieces: list[tuple[_Base, _Int64, _Int64]],
    first: int,
    out: NDArray[np.uint8],
    heads: _Int64,
    escape: bool = True,
    /,
) -> tuple[int, int, int]:
    """Write rows first.. as RecordIO into out; return (rows, written, fault).

    The payload of a row is the concatenation of its span in each of the 1 to 65536 pieces (all of equal length).
    Aligned magics are escaped, unless not wanted: then each record is one part. heads[i] (i from 0) is the offset in
    out of the i-th row written. Stops before the row that does not fit into out, or before a row whose payload is above
    2**29 - 1 bytes (fault TOO_LONG), or when heads is full.
    """

def scan_tfrecord(
    block: _Bytes, start: int, size: int, final: bool, starts: _Int64, lengths: _Int64, /
) -> tuple[int, int, int, int, int]:
    """Find the whole records of block[start:size], both checksums checked; as scan_recordio, head at starts[i] - 12.

    Faults: TRUNCATED_HEADER (1..11 bytes left, final), BAD_LENGTH_CRC, TRUNCATED_BODY (final), BAD_DATA_CRC; position
    is the head of the record. A length that cannot be (above 2**62) gives wanted = 2**62 when not final.
    """

def walk_tfrecord(
    window: _Bytes, origin: int, file_size: int, next: int, heads: _Int64, lengths: _Int64, /
) -> tuple[int, int, int, int]:
    """Hop from record to record by their lengths (checksum of the length checked, payload not read).

    Returns (count, next, fault, position), all offsets in the file; call again with a window from next on (12 bytes
    or more, or up to the end of the file) until next is file_size.
    """

def resync_tfrecord(block: _Bytes, start: int, size: int, final: bool, /) -> tuple[int, bool]:
    """Find the next whole, sound record (both checksums) at or after start; return (position, decided).

    As resync_recordio, on any byte. A candidate with a good length checksum that reaches beyond size is not decided
    unless final, then it is rejected.
    """

def frame_tfrecord(piece: _Spans, first: int, out: NDArray[np.uint8], heads: _Int64, /) -> tuple[int, int, int]:
    """Write rows first.. as TFRecord into out; return (rows, written, fault). fault is always OK."""

def gather_spans(spans: _Spans, out: NDArray[np.uint8], /) -> None:
    """Copy the spans one after another into out, whose size is the sum of the lengths (else ValueError)."""

def digest_rows(spans: _Spans, lists: tuple[_Int64, _Int64] | None, crcs: NDArray[np.uint32], /) -> None:
    """Continue crcs[i], a CRC-32C per row, over the row's value: its length as 8 little-endian bytes, then its bytes.

    With lists, row i is the values lists[0][i] .. lists[0][i] + lists[1][i]: the number of values as 8 bytes, then
    each value with its length in front.
    """

def read_spans(fd: int, offsets: _Int64, lengths: _Int64, out: NDArray[np.uint8], /) -> int:
    """Read the spans of an open file one after another into out; return how many rows were read whole.

    Fewer than asked for means that the file ended there. Raises OSError for what the operating system refuses.
    """

def parse_index(text: _Bytes, keys: _Int64, offsets: _Int64, /) -> tuple[int, int]:
    """Parse lines of a .idx, `key TAB offset`, as long as both are decimal integers; return (lines, parsed).

    An integer has 1 to 18 digits, no sign and no leading zero. parsed counts the bytes of the lines taken, with their
    line feeds (the last line may lack its own); it is below len(text) where a line is anything else, or where keys is
    full.
    """

def encode_examples(
    columns: list[tuple[bytes, int, int, tuple[_Base, _Int64, _Int64], tuple[_Int64, _Int64] | None]],
    first: int,
    framed: bool,
    out: NDArray[np.uint8],
    starts: _Int64,
    lengths: _Int64,
    /,
) -> tuple[int, int, int, int]:
    """Encode rows first.. as tf.train.Example into out; return (rows, written, fault, column).

    A column is (key, kind, dtype, values, lists), in the order wanted on the wire. values holds for kind BYTES one
    value a row, or, with lists, the values of all rows, of which row i has lists[0][i] .. lists[0][i] + lists[1][i];
    for FLOAT the little-endian float32 values of a row; for INT64 little-endian integers of dtype (0 bool, 1..4
    int8..int64, 5..8 uint8..uint64). Lists are packed. A row without values has no such feature; a row without any
    feature is an empty payload. framed adds the TFRecord frame.
    starts, lengths: the payload in out. Stops before the row that does not fit, when starts is full, or at a
    fault of the next row: OUT_OF_RANGE (uint64 above 2**63 - 1 in that column), TOO_LONG (above 2**31 - 1 bytes; column
    then means nothing, as without a fault).
    """

def find_features(payloads: _Spans, keys: list[bytes], starts: _Int64, lengths: _Int64, /) -> tuple[int, int, int]:
    """Find the Feature message of each key in each Example; return (rows, fault, position).

    starts[row * len(keys) + k] and lengths[...] are its span in the base, start -1 where the key is missing. The last
    entry of a key wins; several `features` fields are merged; an entry without a key has the key ""; an entry without
    a value is present with length 0 (its start is the end of the entry); unknown fields, also groups (at most 32
    deep), are passed over, as are known numbers with another wire type. rows counts those done; on a fault, position
    is an offset in base, else it means nothing. Faults: BAD_MESSAGE; REPEATED_VALUE.
    """

def survey_features(
    payloads: _Spans, keys: list[bytes], seen: _Int64, unknown_starts: _Int64, unknown_lengths: _Int64, /
) -> tuple[int, int, int, int]:
    """Note the kinds and numbers of values of all features of each Example; return (rows, fault, key, value).

    seen[4 * k : 4 * k + 4] are what is known of the key k, and go on being counted: its kind (NO_KIND until a record
    has one), the number of records with a feature of that kind, and the fewest and the most values in one of these.
    Keys and values are found as in find_features and count_values. Keys are there once each, else ValueError.
    A record is noted whole, or, at a fault, not at all; rows counts those before it. In the order in which a record is
    looked at:
    BAD_MESSAGE, REPEATED_VALUE: key is -1, value an offset in base.
    UNKNOWN_KEY: unknown_starts, unknown_lengths take the spans in base of the record's keys that are not in keys, as
    many as fit, in their order, a repeated one again; value is how many, key is -1.
    BAD_MESSAGE, BAD_LIST inside of the feature `key`; OTHER_KIND: it has the kind `value`, and another in seen.
    """

def count_values(features: _Spans, kinds: NDArray[np.uint8], counts: _Int64, /) -> tuple[int, int]:
    """Find kind and number of values of each Feature; return (rows, fault). A start of -1 is NO_KIND with 0 values.

    Several lists of one kind are merged, a list of another kind replaces those before it (the rule for oneof). Packed
    and unpacked values may be mixed. Faults: BAD_MESSAGE (also a varint of more than 10 bytes), BAD_LIST (packed
    floats not a multiple of 4 bytes, packed varints cut in the middle).
    """

def fill_bytes(features: _Spans, starts: _Int64, lengths: _Int64, /) -> int:
    """Write the spans of all values of features that count_values found sound and of kind BYTES or NO_KIND.

    Returns the number of values. starts must have room for exactly the counted values, else ValueError.
    """

def fill_floats(features: _Spans, out: NDArray[np.float32], /) -> int:
    """Write all float values, one after another; as fill_bytes."""

def fill_ints(features: _Spans, dtype: int, out: NDArray[np.generic], /) -> tuple[int, int]:
    """Write all int64 values as dtype, one after another; return (rows, value).

    rows below the number of features: `value` in row `rows` does not fit dtype (bool takes 0 and 1); else value means
    nothing. As fill_bytes otherwise; out is an array of that dtype. A varint above 64 bits keeps its low 64 bits, as
    protobuf does.
    """

def find_values(
    payloads: _Spans, names: list[bytes], learn: bool, starts: _Int64, lengths: _Int64, /
) -> tuple[int, int, int, int, int]:
    r"""Find the fields of each SageMaker Record; return (rows, fault, field, start, length).

    A name is a byte with the number of a field of Record, then the key in its map: b"\x01values" is the Value
    features["values"], b"\x03" the text uid. Names are there once each. starts[row * len(names) + n] and lengths[...]
    are its span in the base, start -1 where it is missing. The last entry of a key, and the last text, wins; an entry
    without a key has the key ""; an entry without a value is present with length 0. rows counts those done.
    Faults: BAD_MESSAGE; REPEATED_VALUE; UNKNOWN_FIELD, also for a known number with another wire type; with learn,
    UNKNOWN_KEY for a name that is not in names: field is its number, start and length are its key in the base. For the
    others start is an offset in base; field, length, and without a fault all three, mean nothing.
    """

def count_tensors(values: _Spans, kinds: NDArray[np.uint8], counts: _Int64, /) -> tuple[int, int]:
    """Find kind and counts of each Value; return (rows, fault). A start of -1 is a Value that holds nothing.

    The kind is the number of the field in Value: 2 float32_tensor, 3 float64_tensor, 7 int32_tensor, 9 bytes; 0 for
    none. counts[3 * row + part - 1] counts the entries of field `part` of that tensor (1 values, 2 keys, 3 shape) or
    bytes (1 values, 2 the content type, once at most). Several tensors of one kind are merged, one of another kind
    replaces those before it (the rule for oneof). Packed and unpacked numbers may be mixed. Faults: BAD_MESSAGE (also a
    varint of more than 10 bytes), BAD_LIST (packed numbers that are cut), UNKNOWN_FIELD as in find_values.
    """

def fill_tensors(values: _Spans, kind: int, part: int, out: NDArray[np.generic], /) -> int:
    """Write all numbers of a part of the tensors of this kind (2, 3, 7), one after another; return how many.

    out is float32, float64 or int32 for the values, uint64 for keys and shape, and has exactly the counted numbers,
    else ValueError. An int32 keeps the low 32 bits of its varint, as protobuf does. Values that count_tensors found
    sound.
    """

def fill_texts(values: _Spans, part: int, starts: _Int64, lengths: _Int64, /) -> int:
    """Write the spans of all values (part 1), or content types (part 2), of Values of bytes; as fill_tensors."""

def survey_images(
    images: _Spans, kinds: NDArray[np.uint8], heights: _Int64, widths: _Int64, traits: NDArray[np.uint8], /
) -> None:
    """Note what each image file is by its first bytes (NO_IMAGE, JPEG, ...), its height and width, and its traits.

    They are those of the JPEG frame header, the PNG IHDR, the GIF screen, the BMP header (a negative height is one from
    the top down), the WebP canvas; -1 each where the file is cut before, or says 0. Of a JPEG, stray bytes before a
    marker and fill bytes are passed over, as decoders do; SOI, EOI or SOS before a frame ends the search.

    Traits are bits: COLOUR, a JPEG or PNG that is not gray; ALPHA, TRANSPARENT and DEEP, a PNG with an alpha channel,
    with a tRNS chunk, of 16 bits; SEVERAL, a GIF or an animation; WHOLE, a JPEG with a scan, and behind it an
    end-of-image marker, or a PNG whose header goes on to the pixels. kinds, heights, widths and traits have one
    entry a row.
    """
