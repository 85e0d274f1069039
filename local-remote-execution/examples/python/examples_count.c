// An extension module: counts letters.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject* Letters(PyObject* self, PyObject* arguments) {
  (void)self;
  const char* text;
  if (!PyArg_ParseTuple(arguments, "s", &text)) return NULL;
  long count = 0;
  for (; *text; ++text) count += (*text | 32) >= 'a' && (*text | 32) <= 'z';
  return PyLong_FromLong(count);
}

static PyMethodDef methods[] = {{"letters", Letters, METH_VARARGS, "Counts letters."},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "examples_count", NULL, -1, methods,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_examples_count(void) { return PyModule_Create(&module); }
