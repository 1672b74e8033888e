/* The Python face of the kernels for SageMaker's Records; see module.c. */
#include "arguments.h"

#include "module.h"

static const char *const WRONG_COUNT = "the room is not what count_tensors counted";

static PyObject *find(struct buffers *taken, PyObject *tuple, PyObject *list, int count, struct rb_key *names, int learn,
                      PyObject *objects[2]) {
    struct table payloads;
    struct numbers starts, lengths;
    struct bytes name;
    struct rb_name at;
    int64_t rows;
    int fault;
    if (take_spans(taken, tuple, 0, &payloads) || take_numbers(taken, objects[0], 1, &starts) ||
        take_numbers(taken, objects[1], 1, &lengths))
        return NULL;
    for (int i = 0; i < count; i++) {
        if (take_bytes(taken, PyList_GetItem(list, i), 0, &name))
            return NULL;
        if (name.size == 0) {
            PyErr_SetString(PyExc_ValueError, "a name begins with the number of a field");
            return NULL;
        }
        names[i] = (struct rb_key){name.data, name.size};
    }
    if (starts.count != payloads.rows * count || lengths.count != starts.count) {
        PyErr_SetString(PyExc_ValueError, "starts and lengths have one entry for each row and name");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    rows = rb_find_values(&payloads.spans, payloads.rows, names, count, learn, starts.items, lengths.items, &fault, &at);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("(LiLLL)", (long long)rows, fault, (long long)at.field, (long long)at.start,
                         (long long)at.length);
}

PyObject *py_find_values(PyObject *self, PyObject *args) {
    PyObject *tuple, *list, *objects[2], *result = NULL;
    int learn;
    if (!PyArg_ParseTuple(args, "O!O!pOO", &PyTuple_Type, &tuple, &PyList_Type, &list, &learn, &objects[0], &objects[1]))
        return NULL;
    Py_ssize_t count = PyList_Size(list);
    if (count > INT32_MAX / 8) {
        PyErr_SetString(PyExc_ValueError, "too many names");
        return NULL;
    }
    int room = (int)count + 5;
    struct buffers taken = {PyMem_Calloc((size_t)room, sizeof(Py_buffer)), 0, room};
    struct rb_key *names = PyMem_Calloc((size_t)count + 1, sizeof *names);
    if (taken.views && names)
        result = find(&taken, tuple, list, (int)count, names, learn, objects);
    else
        PyErr_NoMemory();
    release(&taken);
    PyMem_Free(taken.views);
    PyMem_Free(names);
    return result;
}

PyObject *py_count_tensors(PyObject *self, PyObject *args) {
    PyObject *tuple, *objects[2];
    struct table values;
    struct bytes kinds;
    struct numbers counts;
    int fault;
    BUFFERS(5);
    if (!PyArg_ParseTuple(args, "O!OO", &PyTuple_Type, &tuple, &objects[0], &objects[1]))
        return NULL;
    if (take_spans(&taken, tuple, 1, &values) || take_items(&taken, objects[0], 1, 1, "B", &kinds) ||
        take_numbers(&taken, objects[1], 1, &counts))
        return fail(&taken, NULL);
    if (kinds.size != values.rows || counts.count != 3 * values.rows)
        return fail(&taken, "kinds has one entry a row, counts three");
    int64_t rows;
    Py_BEGIN_ALLOW_THREADS
    rows = rb_count_tensors(&values.spans, values.rows, kinds.data, counts.items, &fault);
    Py_END_ALLOW_THREADS
    release(&taken);
    return Py_BuildValue("(Li)", (long long)rows, fault);
}

PyObject *py_fill_tensors(PyObject *self, PyObject *args) {
    PyObject *tuple, *object;
    int kind, part;
    struct table values;
    struct bytes out;
    BUFFERS(4);
    if (!PyArg_ParseTuple(args, "O!iiO", &PyTuple_Type, &tuple, &kind, &part, &object))
        return NULL;
    int known = kind == RB_FLOAT32_TENSOR || kind == RB_FLOAT64_TENSOR || kind == RB_INT32_TENSOR;
    if (!known || part < 1 || part > 3)
        return fail(&taken, "there is no such tensor, or part of one");
    int width = part > 1 || kind == RB_FLOAT64_TENSOR ? 8 : 4;
    const char *letters = part > 1 ? "LQ" : kind == RB_FLOAT32_TENSOR ? "f" : kind == RB_FLOAT64_TENSOR ? "d" : "il";
    if (take_spans(&taken, tuple, 1, &values) || take_items(&taken, object, 1, width, letters, &out))
        return fail(&taken, NULL);
    int64_t size;
    Py_BEGIN_ALLOW_THREADS
    size = rb_fill_tensors(&values.spans, values.rows, kind, part, out.size, out.data);
    Py_END_ALLOW_THREADS
    if (size < 0)
        return fail(&taken, WRONG_COUNT);
    release(&taken);
    return PyLong_FromLongLong(size / width);
}

PyObject *py_fill_texts(PyObject *self, PyObject *args) {
    PyObject *tuple, *objects[2];
    int part;
    struct table values;
    struct numbers starts, lengths;
    BUFFERS(5);
    if (!PyArg_ParseTuple(args, "O!iOO", &PyTuple_Type, &tuple, &part, &objects[0], &objects[1]))
        return NULL;
    if (part < 1 || part > 2)
        return fail(&taken, "Bytes has no such part");
    if (take_spans(&taken, tuple, 1, &values) || take_numbers(&taken, objects[0], 1, &starts) ||
        take_numbers(&taken, objects[1], 1, &lengths))
        return fail(&taken, NULL);
    if (starts.count != lengths.count)
        return fail(&taken, WRONG_COUNT);
    int64_t count;
    Py_BEGIN_ALLOW_THREADS
    count = rb_fill_texts(&values.spans, values.rows, part, starts.count, starts.items, lengths.items);
    Py_END_ALLOW_THREADS
    if (count < 0)
        return fail(&taken, WRONG_COUNT);
    release(&taken);
    return PyLong_FromLongLong(count);
}
