"""The plain-Python twin of every native kernel: what recordio_bridge._kernels does, to be read rather than run fast.

    faults.py      the numbers of faults and kinds
    arguments.py   what a kernel accepts: buffers, arrays, spans
    checksum.py    CRC-32C, the mask of TFRecord, and CRC-32
    recordio.py    MXNet RecordIO: scan, walk, resync, frame
    index.py       the .idx beside it
    tfrecord.py    TFRecord: scan, walk, resync, frame
    spans.py       gathering, digesting and reading spans
    wire.py        the protobuf wire format
    encode.py      columns to tf.train.Example
    decode.py      tf.train.Example to columns
    sagemaker.py   SageMaker's Records to columns
    survey.py      what the features of many tf.train.Examples are
    images.py      kind, height and width of image files
    lzf.py         the length of what LZF packed

Same names, parameters, results, in-place effects and faults as the kernels. A kernel is right when it equals its
twin (tests/native); a twin is right when it agrees with mxnet, TensorFlow and protobuf
(tests/native/test_reference_oracle.py) and with the golden bytes.
"""

from __future__ import annotations

from tests.reference.checksum import crc32, crc32_table, crc32c, crc32c_table, mask_crc
from tests.reference.decode import count_values, fill_bytes, fill_floats, fill_ints, find_features
from tests.reference.encode import encode_examples
from tests.reference.faults import (
    ALPHA,
    BAD_DATA_CRC,
    BAD_FLAG,
    BAD_LENGTH_CRC,
    BAD_LIST,
    BAD_MAGIC,
    BAD_MESSAGE,
    BMP,
    BYTES,
    COLOUR,
    DEEP,
    FLOAT,
    GIF,
    INT64,
    JPEG,
    NO_IMAGE,
    NO_KIND,
    OK,
    ORPHAN_PART,
    OTHER_KIND,
    OUT_OF_RANGE,
    PNG,
    REPEATED_VALUE,
    SEVERAL,
    TOO_LONG,
    TRANSPARENT,
    TRUNCATED_BODY,
    TRUNCATED_HEADER,
    UNFINISHED_RECORD,
    UNKNOWN_FIELD,
    UNKNOWN_KEY,
    WEBP,
    WHOLE,
)
from tests.reference.images import survey_images
from tests.reference.index import parse_index
from tests.reference.lzf import lzf_length
from tests.reference.recordio import frame_recordio, resync_recordio, scan_recordio, walk_recordio
from tests.reference.sagemaker import count_tensors, fill_tensors, fill_texts, find_values
from tests.reference.spans import digest_rows, gather_spans, read_spans
from tests.reference.survey import survey_features
from tests.reference.tfrecord import frame_tfrecord, resync_tfrecord, scan_tfrecord, walk_tfrecord

__all__ = [
    "ALPHA",
    "BAD_DATA_CRC",
    "BAD_FLAG",
    "BAD_LENGTH_CRC",
    "BAD_LIST",
    "BAD_MAGIC",
    "BAD_MESSAGE",
    "BMP",
    "BYTES",
    "COLOUR",
    "DEEP",
    "FLOAT",
    "GIF",
    "INT64",
    "JPEG",
    "NO_IMAGE",
    "NO_KIND",
    "OK",
    "ORPHAN_PART",
    "OTHER_KIND",
    "OUT_OF_RANGE",
    "PNG",
    "REPEATED_VALUE",
    "SEVERAL",
    "TOO_LONG",
    "TRANSPARENT",
    "TRUNCATED_BODY",
    "TRUNCATED_HEADER",
    "UNFINISHED_RECORD",
    "UNKNOWN_FIELD",
    "UNKNOWN_KEY",
    "WEBP",
    "WHOLE",
    "count_tensors",
    "count_values",
    "crc32",
    "crc32_table",
    "crc32c",
    "crc32c_table",
    "digest_rows",
    "encode_examples",
    "fill_bytes",
    "fill_floats",
    "fill_ints",
    "fill_tensors",
    "fill_texts",
    "find_features",
    "find_values",
    "frame_recordio",
    "frame_tfrecord",
    "gather_spans",
    "lzf_length",
    "mask_crc",
    "parse_index",
    "read_spans",
    "resync_recordio",
    "resync_tfrecord",
    "scan_recordio",
    "scan_tfrecord",
    "survey_features",
    "survey_images",
    "walk_recordio",
    "walk_tfrecord",
]
