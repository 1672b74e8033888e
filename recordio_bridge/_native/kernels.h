/* The native kernels: framing, Examples and checksums, on plain memory.
 *
 * No Python here. Every function reads bytes and an int64_t size, writes into arrays of its caller, and never
 * allocates; rb_scan_recordio alone joins the parts of records in the bytes that it reads. Offsets are relative to
 * the first byte of the buffer unless a comment says "in the file".
 * A number that comes out of the data is compared with what is left before it is used.
 *
 * tests/reference holds the plain-Python twin of each function; it is the specification.
 */
#ifndef RECORDIO_BRIDGE_KERNELS_H
#define RECORDIO_BRIDGE_KERNELS_H

#include <stdint.h>

/* Why a kernel stopped. The same numbers are in _kernels.pyi and errors are worded in Python. */
enum rb_fault {
    RB_OK = 0,
    RB_TRUNCATED_HEADER = 1,   /* the file ends inside a record's header */
    RB_TRUNCATED_BODY = 2,     /* the file ends inside a record's body, padding or checksum */
    RB_BAD_MAGIC = 3,          /* RecordIO: a part does not begin with the magic */
    RB_BAD_FLAG = 4,           /* RecordIO: flag 4 to 7, which no writer produces */
    RB_ORPHAN_PART = 5,        /* RecordIO: a middle or last part where a record should begin */
    RB_UNFINISHED_RECORD = 6,  /* RecordIO: a new record, or the end, before the last part of the open one */
    RB_BAD_LENGTH_CRC = 7,     /* TFRecord: checksum of the length */
    RB_BAD_DATA_CRC = 8,       /* TFRecord: checksum of the payload */
    RB_BAD_MESSAGE = 9,        /* Example: not protobuf wire format, or a nested length beyond its message */
    RB_BAD_LIST = 10,          /* Example: a packed list whose bytes are no whole number of values */
    RB_REPEATED_VALUE = 11,    /* Example: one map entry with two values */
    RB_UNKNOWN_KEY = 12,       /* Example: a key outside the given ones */
    RB_OUT_OF_RANGE = 13,      /* an integer does not fit the type asked for */
    RB_TOO_LONG = 14,          /* a record beyond the limit of its format */
    RB_OTHER_KIND = 15,        /* Example: a feature of another kind than in the records before */
    RB_UNKNOWN_FIELD = 16,     /* Record: a field that record.proto does not have */
};

/* The largest RecordIO record, before it is split into parts (dmlc-core recordio.h: size < 2^29). */
#define RB_RECORDIO_LIMIT (((int64_t)1 << 29) - 1)
/* protobuf refuses messages of 2 GiB and more. */
#define RB_MESSAGE_LIMIT (((int64_t)1 << 31) - 1)

/* What a scan found: `count` whole records; the next begins at `consumed`. With fault == RB_OK and room left, the
 * block ended: the next record needs bytes up to `wanted`. With a fault, `position` is where, and the record that
 * holds it begins at `consumed`. */
struct rb_scan {
    int64_t count, consumed, wanted, fault, position;
};

/* ---- crc32c.c ---- */
uint32_t rb_crc32c(uint32_t crc, const uint8_t *data, int64_t size);
uint32_t rb_crc32c_table(uint32_t crc, const uint8_t *data, int64_t size);
uint32_t rb_mask_crc(uint32_t crc);

/* ---- crc32.c ---- */
uint32_t rb_crc32(uint32_t crc, const uint8_t *data, int64_t size);
uint32_t rb_crc32_table(uint32_t crc, const uint8_t *data, int64_t size);

/* ---- kernels.c: RecordIO ---- */
void rb_scan_recordio(uint8_t *data, int64_t start, int64_t size, int final, int64_t capacity, int64_t *starts,
                      int64_t *lengths, struct rb_scan *result);

struct rb_walk { /* where a walk over record heads stands; all zero but record = -1 at first */
    int64_t next, record, length, got;
    uint8_t header[24];
};
void rb_walk_recordio(const uint8_t *window, int64_t origin, int64_t size, int64_t file_size, struct rb_walk *walk,
                      int64_t capacity, int64_t *heads, int64_t *lengths, uint8_t *headers, struct rb_scan *result);
int64_t rb_resync_recordio(const uint8_t *data, int64_t start, int64_t size, int final, int *decided);

struct rb_spans { /* one byte span a row */
    const uint8_t *base;
    const int64_t *starts, *lengths;
};
int64_t rb_frame_recordio(const struct rb_spans *pieces, int num_pieces, int64_t first, int64_t rows, int escape,
                          uint8_t *out, int64_t capacity, int64_t *heads, int64_t *written, int *fault);

/* ---- kernels.c: TFRecord ---- */
void rb_scan_tfrecord(const uint8_t *data, int64_t start, int64_t size, int final, int64_t capacity, int64_t *starts,
                      int64_t *lengths, struct rb_scan *result);
void rb_walk_tfrecord(const uint8_t *window, int64_t origin, int64_t size, int64_t file_size, int64_t next,
                      int64_t capacity, int64_t *heads, int64_t *lengths, struct rb_scan *result);
int64_t rb_resync_tfrecord(const uint8_t *data, int64_t start, int64_t size, int final, int *decided);
int64_t rb_frame_tfrecord(const struct rb_spans *piece, int64_t first, int64_t rows, uint8_t *out, int64_t capacity,
                          int64_t *heads, int64_t *written, int *fault);

void rb_seal_tfrecord(uint8_t *head, int64_t length); /* puts the frame around a payload that lies at head + 12 */

/* ---- kernels.c: spans ---- */
void rb_gather_spans(const struct rb_spans *spans, int64_t rows, uint8_t *out);
void rb_digest_rows(const struct rb_spans *spans, const int64_t *list_starts, const int64_t *list_lengths,
                    int64_t rows, uint32_t *crcs);
int64_t rb_read_spans(int fd, const int64_t *offsets, const int64_t *lengths, int64_t rows, uint8_t *out, int *error);

/* Parse lines of `key TAB offset`, both canonical decimal integers below 10^18, from an .idx; return how many lines
 * were so before `*parsed` bytes, which is less than size where a line is anything else. */
int64_t rb_parse_index(const uint8_t *text, int64_t size, int64_t capacity, int64_t *keys, int64_t *offsets,
                       int64_t *parsed);

/* ---- example.c ---- */
enum rb_kind { RB_NO_KIND = 0, RB_BYTES = 1, RB_FLOAT = 2, RB_INT64 = 3 };
enum rb_dtype { RB_BOOL, RB_INT8, RB_INT16, RB_INT32, RB_INT64_T, RB_UINT8, RB_UINT16, RB_UINT32, RB_UINT64 };

struct rb_column { /* one feature of many Examples */
    const uint8_t *key;
    int64_t key_length;
    int kind;                /* rb_kind; never RB_NO_KIND */
    int dtype;               /* rb_dtype of the values where kind is RB_INT64 */
    int is_list;             /* bytes only: `lists` holds indices into `values`; else `values` is one a row */
    struct rb_spans values;  /* bytes values, or the raw little-endian numbers of each row */
    const int64_t *list_starts, *list_lengths;
    int64_t list_size; /* scratch of the encoder: bytes of this row's list */
    uint64_t list_bits; /* and the bits that are set in any of its integers */
};
int64_t rb_encode_examples(struct rb_column *columns, int num_columns, int64_t first, int64_t rows, int framed,
                           uint8_t *out, int64_t capacity, int64_t *starts, int64_t *lengths, int64_t *written,
                           int *fault, int *column);

struct rb_key {
    const uint8_t *name;
    int64_t length;
};
int64_t rb_find_features(const struct rb_spans *payloads, int64_t rows, const struct rb_key *keys, int num_keys,
                         int64_t *starts, int64_t *lengths, int *fault, int64_t *position);
int64_t rb_count_values(const struct rb_spans *features, int64_t rows, uint8_t *kinds, int64_t *counts, int *fault);
/* These return the number of values, or -1 when it would not be `capacity`; a row that does not fit ends rb_fill_ints. */
int64_t rb_fill_bytes(const struct rb_spans *features, int64_t rows, int64_t capacity, int64_t *starts,
                      int64_t *lengths);
int64_t rb_fill_floats(const struct rb_spans *features, int64_t rows, int64_t capacity, uint8_t *out);
int64_t rb_fill_ints(const struct rb_spans *features, int64_t rows, int dtype, int64_t capacity, uint8_t *out,
                     int64_t *row, int64_t *value);
int64_t rb_dtype_size(int dtype);

/* ---- survey.c ---- */
struct rb_seen { /* one key in all records so far; fewest and most values count where rows is not 0 */
    int64_t kind, rows, fewest, most;
};
struct rb_found { /* scratch: the feature of a key in one record */
    const uint8_t *start, *end; /* start is NULL where the record has none, as between two calls */
    int64_t count;
    int kind, key; /* key: the i-th one found, for the index i */
};
struct rb_survey {
    const struct rb_key *keys;
    int num_keys;
    struct rb_seen *seen;   /* num_keys */
    struct rb_found *found; /* num_keys, zero at first */
    int32_t *slots;         /* num_slots, a power of two above num_keys */
    int64_t num_slots;
    int64_t *unknown_starts, *unknown_lengths; /* the keys of the last record that are not known, most_unknown at most */
    int64_t most_unknown;
};
/* Fill the slots; -1 where a key is there twice. */
int rb_survey_keys(const struct rb_survey *survey);
int64_t rb_survey_features(const struct rb_spans *payloads, int64_t rows, struct rb_survey *survey, int *fault, int *key,
                           int64_t *value);

/* ---- sagemaker.c ---- */
/* What a Value holds, by its field in record.proto. */
enum rb_tensor { RB_FLOAT32_TENSOR = 2, RB_FLOAT64_TENSOR = 3, RB_INT32_TENSOR = 7, RB_BYTES_VALUE = 9 };
struct rb_name { /* a field of a Record that was found, and the span of its key in the base */
    int64_t field, start, length;
};
/* names: the number of the field of Record, one byte, then the key. With learn, a name outside of these is a fault. */
int64_t rb_find_values(const struct rb_spans *payloads, int64_t rows, const struct rb_key *names, int num_names, int learn,
                       int64_t *starts, int64_t *lengths, int *fault, struct rb_name *at);
/* counts: 3 a row, of the fields 1 to 3 of its tensor or Bytes. */
int64_t rb_count_tensors(const struct rb_spans *values, int64_t rows, uint8_t *kinds, int64_t *counts, int *fault);
/* These return how much they filled, or -1 when it would not be all of the room. */
int64_t rb_fill_tensors(const struct rb_spans *values, int64_t rows, int kind, int part, int64_t size, uint8_t *out);
int64_t rb_fill_texts(const struct rb_spans *values, int64_t rows, int part, int64_t capacity, int64_t *starts,
                      int64_t *lengths);

/* ---- lzf.c ---- */
/* The bytes that a stream unpacks to; -1 where it is cut, or refers to what is before its beginning. */
int64_t rb_lzf_length(const uint8_t *data, int64_t size);

/* ---- images.c ---- */
enum rb_image { RB_NO_IMAGE = 0, RB_JPEG = 1, RB_PNG = 2, RB_GIF = 3, RB_BMP = 4, RB_WEBP = 5 };
enum rb_trait {
    RB_COLOUR = 1, /* JPEG, PNG: not gray */
    RB_ALPHA = 2, /* PNG: with an alpha channel */
    RB_TRANSPARENT = 4, /* PNG: with a tRNS chunk */
    RB_DEEP = 8, /* PNG: of 16 bits */
    RB_SEVERAL = 16, /* it may hold several pictures: a GIF, or an animation */
    RB_WHOLE = 32, /* JPEG: a scan, and behind it an end-of-image marker; PNG: the header goes on to the pixels */
};
/* Kind, height, width (-1 where the size cannot be read) and traits of each image. */
void rb_survey_images(const struct rb_spans *images, int64_t rows, uint8_t *kinds, int64_t *heights, int64_t *widths,
                      uint8_t *traits);

#endif
