/* The extension lenet._fused.cpu: what this CPU and its operating system can run.
 *
 * Compiled without CPU flags, so that it runs anywhere; written in C, since Cython's would be six times as large.
 */
#include <Python.h>
#include "cpu.h"

static PyObject *x86_64_level(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    return PyLong_FromLong(lenet_x86_64_level());
}

static PyMethodDef functions[] = {
    {"x86_64_level", x86_64_level, METH_NOARGS,
     "Return the highest x86-64 microarchitecture level that runs here, 1 to 4, or 0 on another kind of CPU.\n\n"
     "The levels are those of the x86-64 psABI, as far as the builds use them."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "cpu", NULL, 0, functions, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_cpu(void)
{
    return PyModuleDef_Init(&definition);
}
