/* Taking Python arguments apart: buffers, arrays of int64, spans and lists, each checked before a kernel sees it. */
#ifndef RECORDIO_BRIDGE_ARGUMENTS_H
#define RECORDIO_BRIDGE_ARGUMENTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"

struct buffers { /* all buffers of one call, released together */
    Py_buffer *views;
    int count, room;
};
/* Room for the buffers of a call that has n at most. */
#define BUFFERS(n)                                                                                                   \
    Py_buffer views[n];                                                                                              \
    struct buffers taken = {views, 0, n}
struct bytes {
    uint8_t *data;
    int64_t size;
};
struct numbers {
    int64_t *items;
    int64_t count;
};
struct table { /* spans, and how many */
    struct rb_spans spans;
    int64_t rows;
};

/* Each returns 0, or -1 with an exception set; what was taken is released by release() or fail(). */
int take_bytes(struct buffers *taken, PyObject *object, int writable, struct bytes *bytes);
/* Take an array whose items are so wide and one of these letters of the struct module: "f", "I", ... */
int take_items(struct buffers *taken, PyObject *object, int writable, int64_t width, const char *letters,
               struct bytes *bytes);
int take_numbers(struct buffers *taken, PyObject *object, int writable, struct numbers *numbers);
/* Whether an object is a tuple, with a TypeError set where it is not: PyArg_ParseTuple is only for these. */
int is_tuple(PyObject *object);
/* Take (base, starts, lengths) and see that each span lies in base; a start of -1 passes when `missing`. */
int take_spans(struct buffers *taken, PyObject *tuple, int missing, struct table *table);
/* Take (starts, lengths) of lists of values, None for none; see that each list lies within the values. */
int take_lists(struct buffers *taken, PyObject *tuple, int64_t num_values, struct numbers *starts,
               struct numbers *lengths);
void release(struct buffers *taken);
PyObject *fail(struct buffers *taken, const char *message);

#endif
