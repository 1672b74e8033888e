/* The functions of the module that are not in module.c. What each means is said in _kernels.pyi. */
#ifndef RECORDIO_BRIDGE_MODULE_H
#define RECORDIO_BRIDGE_MODULE_H

PyObject *py_encode_examples(PyObject *self, PyObject *args);
PyObject *py_find_features(PyObject *self, PyObject *args);
PyObject *py_count_values(PyObject *self, PyObject *args);
PyObject *py_fill_bytes(PyObject *self, PyObject *args);
PyObject *py_fill_floats(PyObject *self, PyObject *args);
PyObject *py_fill_ints(PyObject *self, PyObject *args);
PyObject *py_survey_features(PyObject *self, PyObject *args);
PyObject *py_find_values(PyObject *self, PyObject *args);
PyObject *py_count_tensors(PyObject *self, PyObject *args);
PyObject *py_fill_tensors(PyObject *self, PyObject *args);
PyObject *py_fill_texts(PyObject *self, PyObject *args);

#endif
