/* gc_cpython.c - the collector's workloads on CPython, through its C API: no
   bytecode runs, so that what is measured is counts, allocator and collector. */
#include <Python.h>

#include "bench.h"

typedef struct Node {
    PyObject ob_base; /* what PyObject_HEAD says */
    struct Node *a, *b, *c;
} Node;

#define OBJECT(p) ((PyObject *)(p))

static int node_traverse(PyObject *self, visitproc visit, void *arg)
{
    Node *p = (Node *)self;
    Py_VISIT(OBJECT(p->a));
    Py_VISIT(OBJECT(p->b));
    Py_VISIT(OBJECT(p->c));
    return 0;
}

static void clear_slot(Node **slot)
{
    Node *old = *slot;
    *slot = NULL;
    Py_XDECREF(OBJECT(old));
}

static int node_clear(PyObject *self)
{
    Node *p = (Node *)self;
    clear_slot(&p->a);
    clear_slot(&p->b);
    clear_slot(&p->c);
    return 0;
}

static void node_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Node *p = (Node *)self;
    Py_TRASHCAN_BEGIN(self, node_dealloc);
    Py_XDECREF(OBJECT(p->a));
    Py_XDECREF(OBJECT(p->b));
    Py_XDECREF(OBJECT(p->c));
    PyObject_GC_Del(self);
    Py_TRASHCAN_END;
}

/* clang-format off */
static PyTypeObject node_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "Node",
    .tp_basicsize = sizeof(Node),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = node_traverse,
    .tp_clear = node_clear,
    .tp_dealloc = node_dealloc,
};
/* clang-format on */

static PyObject *gc_module;

#if PY_VERSION_HEX >= 0x030c0000
/* Since 3.12 automatic collections run between bytecodes only: run some. */
static PyObject *no_op;
static inline void let_collect(void)
{
    static unsigned turn;
    if (++turn % 128 == 0) Py_XDECREF(PyObject_CallNoArgs(no_op));
}
static void make_no_op(void)
{
    PyRun_SimpleString("def no_op(): pass");
    no_op = PyObject_GetAttrString(PyImport_AddModule("__main__"), "no_op");
}
#else
static inline void let_collect(void)
{
}
static void make_no_op(void)
{
}
#endif

static inline Node *node_new(void)
{
    Node *p = PyObject_GC_New(Node, &node_type);
    p->a = p->b = p->c = NULL;
    PyObject_GC_Track(OBJECT(p));
    let_collect();
    return p;
}

static inline void node_set(Node **slot, Node *p)
{
    Node *old = *slot;
    Py_XINCREF(OBJECT(p));
    *slot = p;
    Py_XDECREF(OBJECT(old));
}

static inline void node_drop(Node *p)
{
    Py_DECREF(OBJECT(p));
}

static Node **node_array(size_t count)
{
    return bench_pages(count * sizeof(Node *));
}

static void node_array_free(Node **array)
{
    (void)array; /* the process ends soon */
}

static size_t gc_collect(int generation)
{
    PyObject *result = PyObject_CallMethod(gc_module, "collect", "i", generation);
    size_t found = result == NULL ? 0 : PyLong_AsSize_t(result);
    Py_XDECREF(result);
    return found;
}

static void gc_automatic(bool on)
{
    if (on)
        PyGC_Enable();
    else
        PyGC_Disable();
}

static bool gc_holds_at_most(size_t nodes)
{
    (void)nodes; /* what gc_collect returns says it */
    return true;
}

#define GC_DROP_FREES 1
#define GC_HAS_YOUNG  1
#define GC_HAS_STEP   0
#include "gc_work.h"

int main(int argc, char **argv)
{
    Py_Initialize();
    if (PyType_Ready(&node_type) < 0) bench_die("PyType_Ready");
    gc_module = PyImport_ImportModule("gc");
    BENCH_REQUIRE(gc_module != NULL);
    make_no_op();
    gc_run(argc > 1 ? argv[1] : "");
    return 0;
}
