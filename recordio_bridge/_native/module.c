/* The Python face of the kernels: takes arguments apart, checks sizes and spans, releases the GIL, calls.
 * What each function means is said in _kernels.pyi. */
#include "arguments.h"

#include "module.h"

#include <errno.h>
#include <string.h>

enum { MOST_PIECES = 1 << 16 };

static PyObject *as_tuple(const struct rb_scan *scan) {
    return Py_BuildValue("(LLLLL)", (long long)scan->count, (long long)scan->consumed, (long long)scan->wanted,
                         (long long)scan->fault, (long long)scan->position);
}

/* ---- checksums ---- */

static PyObject *checksum(PyObject *args, uint32_t (*kernel)(uint32_t, const uint8_t *, int64_t)) {
    PyObject *object;
    unsigned int value = 0;
    struct bytes data;
    BUFFERS(1);
    if (!PyArg_ParseTuple(args, "O|I", &object, &value))
        return NULL;
    if (take_bytes(&taken, object, 0, &data))
        return fail(&taken, NULL);
    Py_BEGIN_ALLOW_THREADS
    value = kernel(value, data.data, data.size);
    Py_END_ALLOW_THREADS
    release(&taken);
    return PyLong_FromUnsignedLong(value);
}

static PyObject *py_crc32c(PyObject *self, PyObject *args) { return checksum(args, rb_crc32c); }
static PyObject *py_crc32c_table(PyObject *self, PyObject *args) { return checksum(args, rb_crc32c_table); }
static PyObject *py_crc32(PyObject *self, PyObject *args) { return checksum(args, rb_crc32); }
static PyObject *py_crc32_table(PyObject *self, PyObject *args) { return checksum(args, rb_crc32_table); }

/* ---- scanning ---- */

typedef void (*scan_kernel)(uint8_t *, int64_t, int64_t, int, int64_t, int64_t *, int64_t *, struct rb_scan *);

static void scan_tfrecord(uint8_t *data, int64_t start, int64_t size, int final, int64_t capacity, int64_t *starts,
                          int64_t *lengths, struct rb_scan *scan) {
    rb_scan_tfrecord(data, start, size, final, capacity, starts, lengths, scan);
}

static PyObject *scan(PyObject *args, int writable, scan_kernel kernel) {
    PyObject *objects[3];
    long long start, size;
    int final;
    struct bytes block;
    struct numbers starts, lengths;
    struct rb_scan found;
    BUFFERS(3);
    if (!PyArg_ParseTuple(args, "OLLpOO", &objects[0], &start, &size, &final, &objects[1], &objects[2]))
        return NULL;
    if (take_bytes(&taken, objects[0], writable, &block) || take_numbers(&taken, objects[1], 1, &starts) ||
        take_numbers(&taken, objects[2], 1, &lengths))
        return fail(&taken, NULL);
    if (start < 0 || start > size || size > block.size || starts.count != lengths.count)
        return fail(&taken, "0 <= start <= size <= len(block), and starts as long as lengths");
    Py_BEGIN_ALLOW_THREADS
    kernel(block.data, start, size, final, starts.count, starts.items, lengths.items, &found);
    Py_END_ALLOW_THREADS
    release(&taken);
    return as_tuple(&found);
}

static PyObject *py_scan_recordio(PyObject *self, PyObject *args) { return scan(args, 1, rb_scan_recordio); }
static PyObject *py_scan_tfrecord(PyObject *self, PyObject *args) { return scan(args, 0, scan_tfrecord); }

static PyObject *py_walk_recordio(PyObject *self, PyObject *args) {
    PyObject *objects[5];
    long long origin, file_size;
    struct bytes window, state, headers;
    struct numbers heads, lengths;
    struct rb_walk walk;
    struct rb_scan found;
    BUFFERS(5);
    if (!PyArg_ParseTuple(args, "OLLOOOO", &objects[0], &origin, &file_size, &objects[1], &objects[2], &objects[3],
                          &objects[4]))
        return NULL;
    if (take_bytes(&taken, objects[0], 0, &window) || take_bytes(&taken, objects[1], 1, &state) ||
        take_numbers(&taken, objects[2], 1, &heads) || take_numbers(&taken, objects[3], 1, &lengths) ||
        take_items(&taken, objects[4], 1, 1, "B", &headers))
        return fail(&taken, NULL);
    if (state.size != sizeof walk || heads.count != lengths.count || headers.size != 24 * heads.count)
        return fail(&taken, "walk is 56 bytes, lengths as long as heads, headers 24 times that");
    memcpy(&walk, state.data, sizeof walk);
    if (origin < 0 || walk.next < 0 || walk.next > file_size || walk.got < 0 || walk.got > 24)
        return fail(&taken, "the state of the walk does not fit the file");
    Py_BEGIN_ALLOW_THREADS
    rb_walk_recordio(window.data, origin, window.size, file_size, &walk, heads.count, heads.items, lengths.items,
                     headers.data, &found);
    Py_END_ALLOW_THREADS
    memcpy(state.data, &walk, sizeof walk);
    release(&taken);
    return Py_BuildValue("(LLLL)", (long long)found.count, (long long)found.consumed, (long long)found.fault,
                         (long long)found.position);
}

static PyObject *py_walk_tfrecord(PyObject *self, PyObject *args) {
    PyObject *objects[3];
    long long origin, file_size, next;
    struct bytes window;
    struct numbers heads, lengths;
    struct rb_scan found;
    BUFFERS(3);
    if (!PyArg_ParseTuple(args, "OLLLOO", &objects[0], &origin, &file_size, &next, &objects[1], &objects[2]))
        return NULL;
    if (take_bytes(&taken, objects[0], 0, &window) || take_numbers(&taken, objects[1], 1, &heads) ||
        take_numbers(&taken, objects[2], 1, &lengths))
        return fail(&taken, NULL);
    if (origin < 0 || next < 0 || next > file_size || heads.count != lengths.count)
        return fail(&taken, "0 <= next <= file_size, and heads as long as lengths");
    Py_BEGIN_ALLOW_THREADS
    rb_walk_tfrecord(window.data, origin, window.size, file_size, next, heads.count, heads.items, lengths.items,
                     &found);
    Py_END_ALLOW_THREADS
    release(&taken);
    return Py_BuildValue("(LLLL)", (long long)found.count, (long long)found.consumed, (long long)found.fault,
                         (long long)found.position);
}

static PyObject *resync(PyObject *args, int64_t (*kernel)(const uint8_t *, int64_t, int64_t, int, int *)) {
    PyObject *object;
    long long start, size;
    int final, decided;
    struct bytes block;
    BUFFERS(1);
    if (!PyArg_ParseTuple(args, "OLLp", &object, &start, &size, &final))
        return NULL;
    if (take_bytes(&taken, object, 0, &block))
        return fail(&taken, NULL);
    if (start < 0 || start > size || size > block.size)
        return fail(&taken, "0 <= start <= size <= len(block)");
    int64_t position;
    Py_BEGIN_ALLOW_THREADS
    position = kernel(block.data, start, size, final, &decided);
    Py_END_ALLOW_THREADS
    release(&taken);
    return Py_BuildValue("(LN)", (long long)position, PyBool_FromLong(decided));
}

static PyObject *py_resync_recordio(PyObject *self, PyObject *args) { return resync(args, rb_resync_recordio); }
static PyObject *py_resync_tfrecord(PyObject *self, PyObject *args) { return resync(args, rb_resync_tfrecord); }

/* ---- framing ---- */

static PyObject *frame(struct buffers *taken, PyObject *list, Py_ssize_t count, struct rb_spans *pieces,
                       long long first, int escape, PyObject *objects[2]) {
    struct table table;
    struct bytes out;
    struct numbers heads;
    int64_t rows = -1, done, written;
    int fault;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (take_spans(taken, PyList_GetItem(list, i), 0, &table))
            return NULL;
        if (rows >= 0 && rows != table.rows) {
            PyErr_SetString(PyExc_ValueError, "the pieces have different numbers of rows");
            return NULL;
        }
        rows = table.rows;
        pieces[i] = table.spans;
    }
    if (take_bytes(taken, objects[0], 1, &out) || take_numbers(taken, objects[1], 1, &heads))
        return NULL;
    if (first < 0 || first > rows) {
        PyErr_SetString(PyExc_ValueError, "first is not a row");
        return NULL;
    }
    if (rows - first > heads.count)
        rows = first + heads.count;
    Py_BEGIN_ALLOW_THREADS
    done = rb_frame_recordio(pieces, (int)count, first, rows, escape, out.data, out.size, heads.items, &written, &fault);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("(LLi)", (long long)done, (long long)written, fault);
}

static PyObject *py_frame_recordio(PyObject *self, PyObject *args) {
    PyObject *list, *objects[2], *result = NULL;
    long long first;
    int escape = 1;
    if (!PyArg_ParseTuple(args, "O!LOO|p", &PyList_Type, &list, &first, &objects[0], &objects[1], &escape))
        return NULL;
    Py_ssize_t count = PyList_Size(list);
    if (count < 1 || count > MOST_PIECES) {
        PyErr_SetString(PyExc_ValueError, "1 to 65536 pieces");
        return NULL;
    }
    int room = (int)count * 3 + 2;
    struct buffers taken = {PyMem_Calloc((size_t)room, sizeof(Py_buffer)), 0, room};
    struct rb_spans *pieces = PyMem_Calloc((size_t)count, sizeof *pieces);
    if (taken.views && pieces)
        result = frame(&taken, list, count, pieces, first, escape, objects);
    else
        PyErr_NoMemory();
    release(&taken);
    PyMem_Free(taken.views);
    PyMem_Free(pieces);
    return result;
}

static PyObject *py_frame_tfrecord(PyObject *self, PyObject *args) {
    PyObject *tuple, *objects[2];
    long long first;
    struct table table;
    struct bytes out;
    struct numbers heads;
    int64_t done, written;
    int fault;
    BUFFERS(5);
    if (!PyArg_ParseTuple(args, "O!LOO", &PyTuple_Type, &tuple, &first, &objects[0], &objects[1]))
        return NULL;
    if (take_spans(&taken, tuple, 0, &table) || take_bytes(&taken, objects[0], 1, &out) ||
        take_numbers(&taken, objects[1], 1, &heads))
        return fail(&taken, NULL);
    if (first < 0 || first > table.rows)
        return fail(&taken, "first is not a row");
    int64_t rows = table.rows - first > heads.count ? first + heads.count : table.rows;
    Py_BEGIN_ALLOW_THREADS
    done = rb_frame_tfrecord(&table.spans, first, rows, out.data, out.size, heads.items, &written, &fault);
    Py_END_ALLOW_THREADS
    release(&taken);
    return Py_BuildValue("(LLi)", (long long)done, (long long)written, fault);
}

/* ---- spans ---- */

/* Py_RETURN_NONE in the headers of 3.12 and later takes no reference, as None is immortal there; in 3.11, where a wheel
 * that was built with them runs too, it is not. */
static PyObject *new_none(void) {
    Py_IncRef(Py_None);
    return Py_None;
}

static PyObject *py_gather_spans(PyObject *self, PyObject *args) {
    PyObject *tuple, *object;
    struct table table;
    struct bytes out;
    BUFFERS(4);
    if (!PyArg_ParseTuple(args, "O!O", &PyTuple_Type, &tuple, &object))
        return NULL;
    if (take_spans(&taken, tuple, 0, &table) || take_bytes(&taken, object, 1, &out))
        return fail(&taken, NULL);
    int64_t room = out.size;
    for (int64_t i = 0; i < table.rows && room >= 0; i++)
        room -= table.spans.lengths[i];
    if (room != 0)
        return fail(&taken, "out is not the sum of the lengths");
    Py_BEGIN_ALLOW_THREADS
    rb_gather_spans(&table.spans, table.rows, out.data);
    Py_END_ALLOW_THREADS
    release(&taken);
    return new_none();
}

static PyObject *py_digest_rows(PyObject *self, PyObject *args) {
    PyObject *tuple, *lists, *object;
    struct table table;
    struct numbers starts, lengths;
    struct bytes crcs;
    BUFFERS(6);
    if (!PyArg_ParseTuple(args, "O!OO", &PyTuple_Type, &tuple, &lists, &object))
        return NULL;
    if (take_spans(&taken, tuple, 0, &table) || take_lists(&taken, lists, table.rows, &starts, &lengths) ||
        take_items(&taken, object, 1, 4, "IL", &crcs))
        return fail(&taken, NULL);
    int64_t rows = starts.items ? starts.count : table.rows;
    if (crcs.size != 4 * rows)
        return fail(&taken, "crcs has 4 bytes a row");
    Py_BEGIN_ALLOW_THREADS
    rb_digest_rows(&table.spans, starts.items, lengths.items, rows, (uint32_t *)(void *)crcs.data);
    Py_END_ALLOW_THREADS
    release(&taken);
    return new_none();
}

static PyObject *py_read_spans(PyObject *self, PyObject *args) {
    PyObject *objects[3];
    int fd, error;
    struct numbers offsets, lengths;
    struct bytes out;
    BUFFERS(3);
    if (!PyArg_ParseTuple(args, "iOOO", &fd, &objects[0], &objects[1], &objects[2]))
        return NULL;
    if (take_numbers(&taken, objects[0], 0, &offsets) || take_numbers(&taken, objects[1], 0, &lengths) ||
        take_bytes(&taken, objects[2], 1, &out))
        return fail(&taken, NULL);
    int64_t room = out.size;
    if (offsets.count != lengths.count)
        room = -1;
    for (int64_t i = 0; i < lengths.count && room >= 0; i++)
        room = lengths.items[i] < 0 || offsets.items[i] < 0 ? -1 : room - lengths.items[i];
    if (room != 0)
        return fail(&taken, "out is not the sum of the lengths");
    int64_t done;
    Py_BEGIN_ALLOW_THREADS
    done = rb_read_spans(fd, offsets.items, lengths.items, offsets.count, out.data, &error);
    Py_END_ALLOW_THREADS
    release(&taken);
    if (error) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLongLong(done);
}

static PyObject *py_parse_index(PyObject *self, PyObject *args) {
    PyObject *objects[3];
    struct bytes text;
    struct numbers keys, offsets;
    BUFFERS(3);
    if (!PyArg_ParseTuple(args, "OOO", &objects[0], &objects[1], &objects[2]))
        return NULL;
    if (take_bytes(&taken, objects[0], 0, &text) || take_numbers(&taken, objects[1], 1, &keys) ||
        take_numbers(&taken, objects[2], 1, &offsets))
        return fail(&taken, NULL);
    if (keys.count != offsets.count)
        return fail(&taken, "keys is as long as offsets");
    int64_t count, parsed;
    Py_BEGIN_ALLOW_THREADS
    count = rb_parse_index(text.data, text.size, keys.count, keys.items, offsets.items, &parsed);
    Py_END_ALLOW_THREADS
    release(&taken);
    return Py_BuildValue("(LL)", (long long)count, (long long)parsed);
}

static PyObject *py_lzf_length(PyObject *self, PyObject *args) {
    PyObject *object;
    struct bytes data;
    BUFFERS(1);
    if (!PyArg_ParseTuple(args, "O", &object))
        return NULL;
    if (take_bytes(&taken, object, 0, &data))
        return fail(&taken, NULL);
    int64_t length;
    Py_BEGIN_ALLOW_THREADS
    length = rb_lzf_length(data.data, data.size);
    Py_END_ALLOW_THREADS
    release(&taken);
    return PyLong_FromLongLong(length);
}

static PyObject *py_survey_images(PyObject *self, PyObject *args) {
    PyObject *tuple, *objects[4];
    struct table table;
    struct bytes kinds, traits;
    struct numbers heights, widths;
    BUFFERS(7);
    if (!PyArg_ParseTuple(args, "O!OOOO", &PyTuple_Type, &tuple, &objects[0], &objects[1], &objects[2], &objects[3]))
        return NULL;
    if (take_spans(&taken, tuple, 0, &table) || take_items(&taken, objects[0], 1, 1, "B", &kinds) ||
        take_numbers(&taken, objects[1], 1, &heights) || take_numbers(&taken, objects[2], 1, &widths) ||
        take_items(&taken, objects[3], 1, 1, "B", &traits))
        return fail(&taken, NULL);
    if (kinds.size != table.rows || heights.count != table.rows || widths.count != table.rows || traits.size != table.rows)
        return fail(&taken, "kinds, heights, widths and traits have one entry a row");
    Py_BEGIN_ALLOW_THREADS
    rb_survey_images(&table.spans, table.rows, kinds.data, heights.items, widths.items, traits.data);
    Py_END_ALLOW_THREADS
    release(&taken);
    return new_none();
}

/* ---- the module ---- */

#define KERNEL(name) {#name, py_##name, METH_VARARGS, NULL}
static PyMethodDef METHODS[] = {
    KERNEL(crc32c),          KERNEL(crc32c_table),    KERNEL(scan_recordio),   KERNEL(walk_recordio),
    KERNEL(resync_recordio), KERNEL(frame_recordio),  KERNEL(scan_tfrecord),   KERNEL(walk_tfrecord),
    KERNEL(resync_tfrecord), KERNEL(frame_tfrecord),  KERNEL(gather_spans),    KERNEL(digest_rows),
    KERNEL(read_spans),      KERNEL(encode_examples), KERNEL(find_features),   KERNEL(count_values),
    KERNEL(fill_bytes),      KERNEL(fill_floats),     KERNEL(fill_ints),       KERNEL(parse_index),
    KERNEL(survey_features), KERNEL(find_values),     KERNEL(count_tensors),   KERNEL(fill_tensors),
    KERNEL(fill_texts),      KERNEL(survey_images),   KERNEL(crc32),           KERNEL(crc32_table),
    KERNEL(lzf_length),
    {NULL, NULL, 0, NULL},
};

static int add_constants(PyObject *module) {
    static const struct {
        const char *name;
        int value;
    } CONSTANTS[] = {
        {"OK", RB_OK},
        {"TRUNCATED_HEADER", RB_TRUNCATED_HEADER},
        {"TRUNCATED_BODY", RB_TRUNCATED_BODY},
        {"BAD_MAGIC", RB_BAD_MAGIC},
        {"BAD_FLAG", RB_BAD_FLAG},
        {"ORPHAN_PART", RB_ORPHAN_PART},
        {"UNFINISHED_RECORD", RB_UNFINISHED_RECORD},
        {"BAD_LENGTH_CRC", RB_BAD_LENGTH_CRC},
        {"BAD_DATA_CRC", RB_BAD_DATA_CRC},
        {"BAD_MESSAGE", RB_BAD_MESSAGE},
        {"BAD_LIST", RB_BAD_LIST},
        {"REPEATED_VALUE", RB_REPEATED_VALUE},
        {"UNKNOWN_KEY", RB_UNKNOWN_KEY},
        {"OUT_OF_RANGE", RB_OUT_OF_RANGE},
        {"TOO_LONG", RB_TOO_LONG},
        {"OTHER_KIND", RB_OTHER_KIND},
        {"UNKNOWN_FIELD", RB_UNKNOWN_FIELD},
        {"NO_KIND", RB_NO_KIND},
        {"BYTES", RB_BYTES},
        {"FLOAT", RB_FLOAT},
        {"INT64", RB_INT64},
        {"NO_IMAGE", RB_NO_IMAGE},
        {"JPEG", RB_JPEG},
        {"PNG", RB_PNG},
        {"GIF", RB_GIF},
        {"BMP", RB_BMP},
        {"WEBP", RB_WEBP},
        {"COLOUR", RB_COLOUR},
        {"ALPHA", RB_ALPHA},
        {"TRANSPARENT", RB_TRANSPARENT},
        {"DEEP", RB_DEEP},
        {"SEVERAL", RB_SEVERAL},
        {"WHOLE", RB_WHOLE},
    };
    for (size_t i = 0; i < sizeof CONSTANTS / sizeof *CONSTANTS; i++)
        if (PyModule_AddIntConstant(module, CONSTANTS[i].name, CONSTANTS[i].value) < 0)
            return -1;
    return 0;
}

/* No state, so interpreters that share a GIL may each load it. It claims no more: numpy runs in no others, and a build
 * without a GIL has no limited API. */
static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, add_constants}, {0, NULL}};
static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_kernels", "The native kernels; see _kernels.pyi.", 0, METHODS, SLOTS, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&MODULE); }
