/* See arguments.h. */
#include "arguments.h"

#include <string.h>

static int take_buffer(struct buffers *taken, PyObject *object, int flags, Py_buffer **view) {
    if (taken->count == taken->room) {
        PyErr_SetString(PyExc_ValueError, "too many buffers");
        return -1;
    }
    *view = &taken->views[taken->count];
    if (PyObject_GetBuffer(object, *view, flags) < 0) {
        if (PyErr_ExceptionMatches(PyExc_BufferError))
            PyErr_SetString(PyExc_ValueError, "a buffer is not contiguous, or not writable where results go");
        return -1;
    }
    taken->count++;
    return 0;
}

void release(struct buffers *taken) {
    while (taken->count > 0)
        PyBuffer_Release(&taken->views[--taken->count]);
}

PyObject *fail(struct buffers *taken, const char *message) {
    if (message && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, message);
    release(taken);
    return NULL;
}

/* Whether the items of a buffer are one of these letters of the struct module, little-endian. */
static int is_one_of(const Py_buffer *view, const char *letters) {
    const char *format = view->format ? view->format : "B";
    if (*format == '@' || *format == '=' || *format == '<')
        format++;
    return format[0] && !format[1] && strchr(letters, format[0]);
}

int take_items(struct buffers *taken, PyObject *object, int writable, int64_t width, const char *letters,
               struct bytes *bytes) {
    Py_buffer *view;
    if (take_buffer(taken, object, PyBUF_ND | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0), &view))
        return -1;
    if (view->itemsize != width || !is_one_of(view, letters)) {
        PyErr_Format(PyExc_ValueError, "items of %d bytes, one of '%s' of the struct module, are expected, not %d of '%s'",
                     (int)width, letters, (int)view->itemsize, view->format ? view->format : "B");
        return -1;
    }
    *bytes = (struct bytes){view->buf, view->len};
    return 0;
}

int take_bytes(struct buffers *taken, PyObject *object, int writable, struct bytes *bytes) {
    return take_items(taken, object, writable, 1, "Bbc", bytes);
}

int take_numbers(struct buffers *taken, PyObject *object, int writable, struct numbers *numbers) {
    struct bytes bytes;
    if (take_items(taken, object, writable, 8, "ql", &bytes))
        return -1;
    *numbers = (struct numbers){(int64_t *)bytes.data, bytes.size / 8};
    return 0;
}

int is_tuple(PyObject *object) {
    if (PyTuple_Check(object))
        return 1;
    PyErr_SetString(PyExc_TypeError, "spans, lists and columns are tuples");
    return 0;
}

int take_spans(struct buffers *taken, PyObject *tuple, int missing, struct table *table) {
    PyObject *objects[3];
    struct bytes base;
    struct numbers starts, lengths;
    if (!is_tuple(tuple) || !PyArg_ParseTuple(tuple, "OOO", &objects[0], &objects[1], &objects[2]) ||
        take_bytes(taken, objects[0], 0, &base) || take_numbers(taken, objects[1], 0, &starts) ||
        take_numbers(taken, objects[2], 0, &lengths))
        return -1;
    int sound = starts.count == lengths.count;
    for (int64_t i = 0; sound && i < starts.count; i++)
        sound = (missing && starts.items[i] == -1) ||
                (starts.items[i] >= 0 && lengths.items[i] >= 0 && starts.items[i] <= base.size &&
                 lengths.items[i] <= base.size - starts.items[i]);
    if (!sound) {
        PyErr_SetString(PyExc_ValueError, "a span lies outside its buffer");
        return -1;
    }
    *table = (struct table){{base.data, starts.items, lengths.items}, starts.count};
    return 0;
}

int take_lists(struct buffers *taken, PyObject *tuple, int64_t num_values, struct numbers *starts,
                      struct numbers *lengths) {
    PyObject *objects[2];
    *starts = *lengths = (struct numbers){NULL, 0};
    if (Py_IsNone(tuple))
        return 0;
    if (!is_tuple(tuple) || !PyArg_ParseTuple(tuple, "OO", &objects[0], &objects[1]) || take_numbers(taken, objects[0], 0, starts) ||
        take_numbers(taken, objects[1], 0, lengths))
        return -1;
    int sound = starts->count == lengths->count;
    for (int64_t i = 0; sound && i < starts->count; i++)
        sound = starts->items[i] >= 0 && lengths->items[i] >= 0 && starts->items[i] <= num_values &&
                lengths->items[i] <= num_values - starts->items[i];
    if (!sound) {
        PyErr_SetString(PyExc_ValueError, "a list lies outside its values");
        return -1;
    }
    return 0;
}
