/* The Python face of the kernels for Examples; see module.c. */
#include "arguments.h"

#include "module.h"

enum { MOST_KEYS = INT32_MAX / 8 };
static const char *const TOO_MANY_KEYS = "too many keys";

/* Take one (key, kind, dtype, values, lists); rows is -1 until the first column says how many there are. */
static int take_column(struct buffers *taken, PyObject *tuple, struct rb_column *column, int64_t *rows) {
    PyObject *values, *lists, *key_object;
    struct bytes key;
    struct table table;
    struct numbers starts, lengths;
    if (!is_tuple(tuple) || !PyArg_ParseTuple(tuple, "OiiO!O", &key_object, &column->kind, &column->dtype, &PyTuple_Type, &values,
                          &lists) ||
        take_bytes(taken, key_object, 0, &key) || take_spans(taken, values, 0, &table) ||
        take_lists(taken, lists, table.rows, &starts, &lengths))
        return -1;
    column->key = key.data;
    column->key_length = key.size;
    column->values = table.spans;
    column->is_list = starts.items != NULL;
    column->list_starts = starts.items;
    column->list_lengths = lengths.items;
    int64_t count = column->is_list ? starts.count : table.rows;
    int64_t width = column->kind == RB_FLOAT ? 4 : column->kind == RB_INT64 ? rb_dtype_size(column->dtype) : 1;
    int sound = column->kind >= RB_BYTES && column->kind <= RB_INT64 && width > 0 &&
                (column->kind == RB_BYTES || !column->is_list) && (*rows < 0 || *rows == count);
    for (int64_t i = 0; sound && width > 1 && i < table.rows; i++)
        sound = table.spans.lengths[i] % width == 0;
    if (!sound) {
        PyErr_SetString(PyExc_ValueError, "a column of unknown kind, with broken numbers or of another length");
        return -1;
    }
    *rows = count;
    return 0;
}

static PyObject *encode(struct buffers *taken, PyObject *list, Py_ssize_t count, struct rb_column *columns,
                        long long first, int framed, PyObject *objects[3]) {
    int64_t rows = -1, done, written;
    int fault, column;
    struct bytes out;
    struct numbers starts, lengths;
    for (Py_ssize_t i = 0; i < count; i++)
        if (take_column(taken, PyList_GetItem(list, i), &columns[i], &rows))
            return NULL;
    if (take_bytes(taken, objects[0], 1, &out) || take_numbers(taken, objects[1], 1, &starts) ||
        take_numbers(taken, objects[2], 1, &lengths))
        return NULL;
    if (first < 0 || first > rows || starts.count != lengths.count) {
        PyErr_SetString(PyExc_ValueError, "first is not a row, or starts is not as long as lengths");
        return NULL;
    }
    if (rows - first > starts.count)
        rows = first + starts.count;
    Py_BEGIN_ALLOW_THREADS
    done = rb_encode_examples(columns, (int)count, first, rows, framed, out.data, out.size, starts.items,
                              lengths.items, &written, &fault, &column);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("(LLii)", (long long)done, (long long)written, fault, column);
}

PyObject *py_encode_examples(PyObject *self, PyObject *args) {
    PyObject *list, *objects[3], *result = NULL;
    long long first;
    int framed;
    if (!PyArg_ParseTuple(args, "O!LpOOO", &PyList_Type, &list, &first, &framed, &objects[0], &objects[1],
                          &objects[2]))
        return NULL;
    Py_ssize_t count = PyList_Size(list);
    if (count < 1 || count > INT32_MAX / 8) {
        PyErr_SetString(PyExc_ValueError, "at least one column");
        return NULL;
    }
    int room = (int)count * 6 + 3;
    struct buffers taken = {PyMem_Calloc((size_t)room, sizeof(Py_buffer)), 0, room};
    struct rb_column *columns = PyMem_Calloc((size_t)count, sizeof *columns);
    if (taken.views && columns)
        result = encode(&taken, list, count, columns, first, framed, objects);
    else
        PyErr_NoMemory();
    release(&taken);
    PyMem_Free(taken.views);
    PyMem_Free(columns);
    return result;
}

/* Take the names of keys out of a list of bytes. */
static int take_keys(struct buffers *taken, PyObject *list, Py_ssize_t count, struct rb_key *keys) {
    struct bytes name;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (take_bytes(taken, PyList_GetItem(list, i), 0, &name))
            return -1;
        keys[i] = (struct rb_key){name.data, name.size};
    }
    return 0;
}

static PyObject *find(struct buffers *taken, PyObject *tuple, PyObject *list, Py_ssize_t count, struct rb_key *keys,
                      PyObject *objects[2]) {
    struct table payloads;
    struct numbers starts, lengths;
    int64_t rows, position;
    int fault;
    if (take_spans(taken, tuple, 0, &payloads) || take_numbers(taken, objects[0], 1, &starts) ||
        take_numbers(taken, objects[1], 1, &lengths) || take_keys(taken, list, count, keys))
        return NULL;
    if (starts.count != payloads.rows * count || lengths.count != starts.count) {
        PyErr_SetString(PyExc_ValueError, "starts and lengths have one entry for each row and key");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    rows = rb_find_features(&payloads.spans, payloads.rows, keys, (int)count, starts.items, lengths.items, &fault,
                            &position);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("(LiL)", (long long)rows, fault, (long long)position);
}

PyObject *py_find_features(PyObject *self, PyObject *args) {
    PyObject *tuple, *list, *objects[2], *result = NULL;
    if (!PyArg_ParseTuple(args, "O!O!OO", &PyTuple_Type, &tuple, &PyList_Type, &list, &objects[0], &objects[1]))
        return NULL;
    Py_ssize_t count = PyList_Size(list);
    if (count > MOST_KEYS) {
        PyErr_SetString(PyExc_ValueError, TOO_MANY_KEYS);
        return NULL;
    }
    int room = (int)count + 5;
    struct buffers taken = {PyMem_Calloc((size_t)room, sizeof(Py_buffer)), 0, room};
    struct rb_key *keys = PyMem_Calloc((size_t)count + 1, sizeof *keys);
    if (taken.views && keys)
        result = find(&taken, tuple, list, count, keys, objects);
    else
        PyErr_NoMemory();
    release(&taken);
    PyMem_Free(taken.views);
    PyMem_Free(keys);
    return result;
}

static PyObject *survey(struct buffers *taken, PyObject *tuple, PyObject *list, struct rb_key *keys,
                        struct rb_survey *survey, PyObject *objects[3]) {
    struct table payloads;
    struct numbers seen, starts, lengths;
    int64_t rows, value;
    int fault, key;
    if (take_spans(taken, tuple, 0, &payloads) || take_keys(taken, list, survey->num_keys, keys) ||
        take_numbers(taken, objects[0], 1, &seen) || take_numbers(taken, objects[1], 1, &starts) ||
        take_numbers(taken, objects[2], 1, &lengths))
        return NULL;
    survey->keys = keys;
    survey->seen = (struct rb_seen *)seen.items;
    survey->unknown_starts = starts.items;
    survey->unknown_lengths = lengths.items;
    survey->most_unknown = starts.count;
    if (seen.count != 4 * (int64_t)survey->num_keys || starts.count != lengths.count || starts.count == 0 ||
        rb_survey_keys(survey)) {
        PyErr_SetString(PyExc_ValueError, "seen has 4 entries a key, no key is there twice, starts is as long as lengths");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    rows = rb_survey_features(&payloads.spans, payloads.rows, survey, &fault, &key, &value);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("(LiiL)", (long long)rows, fault, key, (long long)value);
}

PyObject *py_survey_features(PyObject *self, PyObject *args) {
    PyObject *tuple, *list, *objects[3], *result = NULL;
    if (!PyArg_ParseTuple(args, "O!O!OOO", &PyTuple_Type, &tuple, &PyList_Type, &list, &objects[0], &objects[1],
                          &objects[2]))
        return NULL;
    Py_ssize_t count = PyList_Size(list);
    if (count > MOST_KEYS) {
        PyErr_SetString(PyExc_ValueError, TOO_MANY_KEYS);
        return NULL;
    }
    struct rb_survey about = {.num_keys = (int)count, .num_slots = 2};
    while (about.num_slots < 2 * count)
        about.num_slots *= 2;
    int room = (int)count + 6;
    struct buffers taken = {PyMem_Calloc((size_t)room, sizeof(Py_buffer)), 0, room};
    struct rb_key *keys = PyMem_Calloc((size_t)count + 1, sizeof *keys);
    about.found = PyMem_Calloc((size_t)count + 1, sizeof *about.found);
    about.slots = PyMem_Calloc((size_t)about.num_slots, sizeof *about.slots);
    if (taken.views && keys && about.found && about.slots)
        result = survey(&taken, tuple, list, keys, &about, objects);
    else
        PyErr_NoMemory();
    release(&taken);
    PyMem_Free(taken.views);
    PyMem_Free(keys);
    PyMem_Free(about.found);
    PyMem_Free(about.slots);
    return result;
}

PyObject *py_count_values(PyObject *self, PyObject *args) {
    PyObject *tuple, *objects[2];
    struct table features;
    struct bytes kinds;
    struct numbers counts;
    int fault;
    BUFFERS(5);
    if (!PyArg_ParseTuple(args, "O!OO", &PyTuple_Type, &tuple, &objects[0], &objects[1]))
        return NULL;
    if (take_spans(&taken, tuple, 1, &features) || take_items(&taken, objects[0], 1, 1, "B", &kinds) ||
        take_numbers(&taken, objects[1], 1, &counts))
        return fail(&taken, NULL);
    if (kinds.size != features.rows || counts.count != features.rows)
        return fail(&taken, "kinds and counts have one entry a row");
    int64_t rows;
    Py_BEGIN_ALLOW_THREADS
    rows = rb_count_values(&features.spans, features.rows, kinds.data, counts.items, &fault);
    Py_END_ALLOW_THREADS
    release(&taken);
    return Py_BuildValue("(Li)", (long long)rows, fault);
}

static const char *const WRONG_COUNT = "the room is not what count_values counted";

PyObject *py_fill_bytes(PyObject *self, PyObject *args) {
    PyObject *tuple, *objects[2];
    struct table features;
    struct numbers starts, lengths;
    BUFFERS(5);
    if (!PyArg_ParseTuple(args, "O!OO", &PyTuple_Type, &tuple, &objects[0], &objects[1]))
        return NULL;
    if (take_spans(&taken, tuple, 1, &features) || take_numbers(&taken, objects[0], 1, &starts) ||
        take_numbers(&taken, objects[1], 1, &lengths))
        return fail(&taken, NULL);
    if (starts.count != lengths.count)
        return fail(&taken, WRONG_COUNT);
    int64_t count;
    Py_BEGIN_ALLOW_THREADS
    count = rb_fill_bytes(&features.spans, features.rows, starts.count, starts.items, lengths.items);
    Py_END_ALLOW_THREADS
    if (count < 0)
        return fail(&taken, WRONG_COUNT);
    release(&taken);
    return PyLong_FromLongLong(count);
}

PyObject *py_fill_floats(PyObject *self, PyObject *args) {
    PyObject *tuple, *object;
    struct table features;
    struct bytes out;
    BUFFERS(4);
    if (!PyArg_ParseTuple(args, "O!O", &PyTuple_Type, &tuple, &object))
        return NULL;
    if (take_spans(&taken, tuple, 1, &features) || take_items(&taken, object, 1, 4, "f", &out))
        return fail(&taken, NULL);
    int64_t count;
    Py_BEGIN_ALLOW_THREADS
    count = rb_fill_floats(&features.spans, features.rows, out.size / 4, out.data);
    Py_END_ALLOW_THREADS
    if (count < 0)
        return fail(&taken, WRONG_COUNT);
    release(&taken);
    return PyLong_FromLongLong(count);
}

static const char *const LETTERS[] = {
    [RB_BOOL] = "?",  [RB_INT8] = "b",   [RB_INT16] = "h",  [RB_INT32] = "il",  [RB_INT64_T] = "lq",
    [RB_UINT8] = "B", [RB_UINT16] = "H", [RB_UINT32] = "IL", [RB_UINT64] = "LQ",
};

PyObject *py_fill_ints(PyObject *self, PyObject *args) {
    PyObject *tuple, *object;
    int dtype;
    struct table features;
    struct bytes out;
    BUFFERS(4);
    if (!PyArg_ParseTuple(args, "O!iO", &PyTuple_Type, &tuple, &dtype, &object))
        return NULL;
    int64_t size = rb_dtype_size(dtype), count, rows, value = 0;
    if (size < 0)
        return fail(&taken, "there is no such dtype");
    if (take_spans(&taken, tuple, 1, &features) || take_items(&taken, object, 1, size, LETTERS[dtype], &out))
        return fail(&taken, NULL);
    Py_BEGIN_ALLOW_THREADS
    count = rb_fill_ints(&features.spans, features.rows, dtype, out.size / size, out.data, &rows, &value);
    Py_END_ALLOW_THREADS
    if (count < 0)
        return fail(&taken, WRONG_COUNT);
    release(&taken);
    return Py_BuildValue("(LL)", (long long)rows, (long long)value);
}
