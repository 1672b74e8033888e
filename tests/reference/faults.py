"""Why a kernel stopped, and what kinds of list and of image there are. The numbers are those of _native/kernels.h."""

from __future__ import annotations

OK = 0
TRUNCATED_HEADER = 1  # the file ends inside a record's header
TRUNCATED_BODY = 2  # the file ends inside a record's body, padding or checksum
BAD_MAGIC = 3  # RecordIO: a part does not begin with the magic
BAD_FLAG = 4  # RecordIO: flag 4 to 7, which no writer produces
ORPHAN_PART = 5  # RecordIO: a middle or last part where a record should begin
UNFINISHED_RECORD = 6  # RecordIO: a new record, or the end, before the last part of the open one
BAD_LENGTH_CRC = 7  # TFRecord: checksum of the length
BAD_DATA_CRC = 8  # TFRecord: checksum of the payload
BAD_MESSAGE = 9  # Example: not protobuf wire format, or a nested length beyond its message
BAD_LIST = 10  # Example: a packed list whose bytes are no whole number of values
REPEATED_VALUE = 11  # Example: one map entry with two values
UNKNOWN_KEY = 12  # Example: a key outside the given ones
OUT_OF_RANGE = 13  # an integer does not fit the type asked for
TOO_LONG = 14  # a record beyond the limit of its format
OTHER_KIND = 15  # Example: a feature of another kind than in the records before
UNKNOWN_FIELD = 16  # Record: a field that record.proto does not have

NO_KIND = 0  # the kinds are the field numbers of the oneof in tf.train.Feature
BYTES = 1
FLOAT = 2
INT64 = 3

NO_IMAGE = 0
JPEG = 1
PNG = 2
GIF = 3
BMP = 4
WEBP = 5

COLOUR = 1  # traits of an image: one bit each. Of a JPEG or PNG: it is not gray
ALPHA = 2  # PNG: with an alpha channel
TRANSPARENT = 4  # PNG: with a tRNS chunk
DEEP = 8  # PNG: of 16 bits
SEVERAL = 16  # it may hold several pictures: a GIF, or an animation
WHOLE = 32  # JPEG: a scan, and behind it an end-of-image marker; PNG: the header goes on to the pixels
