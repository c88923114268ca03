/* object.c - an object with a 24-byte payload of three references: made, and
   dropped at once. Compiled once per peer. */
#include "bench.h"

#if defined(PEER_OURS)
#include "memmgr.h"

typedef struct Thing {
    struct Thing *a, *b, *c;
} Thing;
MM_TYPE(Thing, MM_REF(Thing, a), MM_REF(Thing, b), MM_REF(Thing, c))

static mm_heap *heap;

static void start(void)
{
    heap = mm_heap_create(NULL);
    if (heap == NULL) bench_die(mm_last_message(NULL));
}

static inline void new_and_drop(void)
{
    Thing *p = mm_new(heap, Thing);
    BENCH_KEEP(p);
    mm_decref(p);
}

#elif defined(PEER_CPYTHON)
#include <Python.h>

typedef struct Thing {
    PyObject ob_base; /* what PyObject_HEAD says */
    PyObject *a, *b, *c;
} Thing;

static int thing_traverse(PyObject *self, visitproc visit, void *arg)
{
    Thing *p = (Thing *)self;
    Py_VISIT(p->a);
    Py_VISIT(p->b);
    Py_VISIT(p->c);
    return 0;
}

static int thing_clear(PyObject *self)
{
    Thing *p = (Thing *)self;
    Py_CLEAR(p->a);
    Py_CLEAR(p->b);
    Py_CLEAR(p->c);
    return 0;
}

static void thing_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    thing_clear(self);
    PyObject_GC_Del(self);
}

/* clang-format off */
static PyTypeObject thing_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "Thing",
    .tp_basicsize = sizeof(Thing),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = thing_traverse,
    .tp_clear = thing_clear,
    .tp_dealloc = thing_dealloc,
};
/* clang-format on */

static void start(void)
{
    Py_Initialize();
    if (PyType_Ready(&thing_type) < 0) bench_die("PyType_Ready");
}

static inline void new_and_drop(void)
{
    Thing *p = PyObject_GC_New(Thing, &thing_type);
    p->a = p->b = p->c = NULL;
    PyObject_GC_Track((PyObject *)p);
    BENCH_KEEP(p);
    Py_DECREF((PyObject *)p);
}

#elif defined(PEER_GOBJECT)
#include <glib-object.h>

typedef struct Thing {
    GObject parent;
    GObject *a, *b, *c;
} Thing;
typedef struct ThingClass {
    GObjectClass parent;
} ThingClass;

G_DEFINE_TYPE(Thing, thing, G_TYPE_OBJECT)

static void thing_dispose(GObject *object)
{
    Thing *p = (Thing *)(void *)object;
    g_clear_object(&p->a);
    g_clear_object(&p->b);
    g_clear_object(&p->c);
    G_OBJECT_CLASS(thing_parent_class)->dispose(object);
}

static void thing_class_init(ThingClass *class)
{
    G_OBJECT_CLASS(class)->dispose = thing_dispose;
}

static void thing_init(Thing *p)
{
    (void)p;
}

static void start(void)
{
    thing_get_type();
}

static inline void new_and_drop(void)
{
    void *p = g_object_new(thing_get_type(), NULL);
    BENCH_KEEP(p);
    g_object_unref(p);
}

#else
#error "define one of PEER_OURS, PEER_CPYTHON, PEER_GOBJECT"
#endif

BENCH_NOINLINE static void make_many(size_t count)
{
    for (size_t i = 0; i < count; i++) new_and_drop();
}

int main(void)
{
    size_t count = bench_count(1000000);
    int repeats = bench_repeats(11);
    double times[11];
    start();
    make_many(count / 10);
    for (int r = 0; r < repeats; r++) {
        double begin = bench_now();
        make_many(count);
        times[r] = (bench_now() - begin) / (double)count;
    }
    bench_put("object_new", "ns", bench_median(times, repeats));
    return 0;
}
