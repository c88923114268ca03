/* weak.c - weak references: made and dropped, turned into a strong one, and what
   they weigh. Compiled once per peer, which gives
     start()                once
     Target *target_new()   an object that can be weakly referenced
     Weak                   a weak reference as a program holds it
     weak_make(Weak *, Target *), weak_drop(Weak *)
     weak_use(Weak *)       weak to strong, and the strong one dropped; is it alive?
   References have a callback where the peer has callbacks. */
#include "bench.h"

#ifdef __cplusplus
#define WEAK_EMPTY                                                                     \
    {                                                                                  \
    }
#else
#define WEAK_EMPTY                                                                     \
    {                                                                                  \
        0                                                                              \
    }
#endif

#if defined(PEER_OURS)
#include "memmgr.h"

typedef struct Target {
    struct Target *other;
    uint64_t value;
} Target;
MM_TYPE(Target, MM_REF(Target, other))
typedef mm_weakref *Weak;

static mm_heap *heap;

static bool on_death(mm_weakref *ref, void *user)
{
    (void)ref, (void)user;
    return true;
}

static void start(void)
{
    heap = mm_heap_create(NULL);
    if (heap == NULL) bench_die(mm_last_message(NULL));
}

static Target *target_new(void)
{
    return mm_new(heap, Target);
}

static inline void weak_make(Weak *weak, Target *target)
{
    *weak = mm_weakref_new(target, on_death, NULL);
}

static inline void weak_drop(Weak *weak)
{
    mm_decref(*weak);
}

static inline bool weak_use(Weak *weak)
{
    Target *p = mm_weakref_get(*weak);
    if (p == NULL) return false;
    BENCH_SEEN(p);
    mm_decref(p);
    return true;
}

#elif defined(PEER_CPYTHON)
#include <Python.h>

typedef PyObject Target;
typedef PyObject *Weak;

static PyObject *target_class, *on_death;

/* The target is an instance of a class without a dictionary: the leanest there is. */
static void start(void)
{
    PyObject *names;
    Py_Initialize();
    PyRun_SimpleString("class Target:\n"
                       "    __slots__ = ('other', 'value', '__weakref__')\n"
                       "def on_death(ref):\n"
                       "    pass\n");
    names = PyModule_GetDict(PyImport_AddModule("__main__"));
    target_class = PyDict_GetItemString(names, "Target");
    on_death = PyDict_GetItemString(names, "on_death");
    BENCH_REQUIRE(target_class != NULL && on_death != NULL);
}

static Target *target_new(void)
{
    return PyObject_CallNoArgs(target_class);
}

static inline void weak_make(Weak *weak, Target *target)
{
    *weak = PyWeakref_NewRef(target, on_death);
}

static inline void weak_drop(Weak *weak)
{
    Py_DECREF(*weak);
}

/* A new reference; NULL when dead. */
static inline PyObject *strong_of(PyObject *weak)
{
    PyObject *p;
#if PY_VERSION_HEX >= 0x030d0000
    PyWeakref_GetRef(weak, &p);
#else
    p = PyWeakref_GetObject(weak);
    if (p == Py_None) return NULL;
    Py_INCREF(p);
#endif
    return p;
}

static inline bool weak_use(Weak *weak)
{
    PyObject *p = strong_of(*weak);
    if (p == NULL) return false;
    BENCH_SEEN(p);
    Py_DECREF(p);
    return true;
}

#elif defined(PEER_GLIB)
#include <glib-object.h>

typedef GObject Target;
typedef GWeakRef Weak;

static void start(void)
{
}

static Target *target_new(void)
{
    return g_object_new(G_TYPE_OBJECT, NULL);
}

static inline void weak_make(Weak *weak, Target *target)
{
    g_weak_ref_init(weak, target);
}

static inline void weak_drop(Weak *weak)
{
    g_weak_ref_clear(weak);
}

static inline bool weak_use(Weak *weak)
{
    GObject *p = g_weak_ref_get(weak);
    if (p == NULL) return false;
    BENCH_SEEN(p);
    g_object_unref(p);
    return true;
}

#elif defined(PEER_CXX)
#include <memory>
#include <thread>

struct Target {
    std::shared_ptr<Target> self; /* holds it, as the other peers' counts do */
    uint64_t value = 0;
};
typedef std::weak_ptr<Target> Weak;

/* With one thread the library counts without atomics; programs have several. */
static void start(void)
{
    std::thread([] {}).join();
}

static Target *target_new(void)
{
    std::shared_ptr<Target> p = std::make_shared<Target>();
    p->self = p;
    return p.get();
}

static inline void weak_make(Weak *weak, Target *target)
{
    *weak = target->self;
}

static inline void weak_drop(Weak *weak)
{
    weak->reset();
}

static inline bool weak_use(Weak *weak)
{
    std::shared_ptr<Target> p = weak->lock();
    Target *raw = p.get();
    if (raw == nullptr) return false;
    BENCH_SEEN(raw);
    return true;
}

#else
#error "define one of PEER_OURS, PEER_CPYTHON, PEER_GLIB, PEER_CXX"
#endif

BENCH_NOINLINE static void make_and_drop(Target *target, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Weak weak = WEAK_EMPTY;
        Weak *p = &weak;
        weak_make(p, target);
        BENCH_KEEP(p);
        weak_drop(p);
    }
}

BENCH_NOINLINE static size_t use(Weak *weak, size_t count)
{
    size_t alive = 0;
    for (size_t i = 0; i < count; i++) alive += weak_use(weak);
    return alive;
}

static void run_new(void)
{
    Target *target = target_new();
    size_t count = bench_count(1000000);
    int repeats = bench_repeats(7);
    double times[7];
    make_and_drop(target, count / 10);
    for (int r = 0; r < repeats; r++) {
        double begin = bench_now();
        make_and_drop(target, count);
        times[r] = (bench_now() - begin) / (double)count;
    }
    bench_put("weakref_new", "ns", bench_median(times, repeats));
}

static void run_get(void)
{
    Target *target = target_new();
    Weak weak = WEAK_EMPTY;
    size_t count = bench_count(1000000);
    int repeats = bench_repeats(7);
    double times[7];
    weak_make(&weak, target);
    for (int r = 0; r < repeats; r++) {
        double begin = bench_now();
        BENCH_REQUIRE(use(&weak, count) == count);
        times[r] = (bench_now() - begin) / (double)count;
    }
    bench_put("weakref_get", "ns", bench_median(times, repeats));
}

/* Bytes per weak reference: one to each of many targets, the variable included. */
static void run_memory(void)
{
    size_t count = bench_count(500000);
    Target **targets = (Target **)bench_pages(count * sizeof(Target *));
    Weak *weak = (Weak *)bench_pages(count * sizeof(Weak));
    double before;
    for (size_t i = 0; i < count; i++) targets[i] = target_new();
    before = bench_resident();
    for (size_t i = 0; i < count; i++) weak_make(&weak[i], targets[i]);
    bench_put("weakref_memory", "bytes",
              (bench_resident() - before) / (double)count + (double)sizeof(Weak));
}

int main(int argc, char **argv)
{
    const char *pattern = argc > 1 ? argv[1] : "";
    start();
    if (strcmp(pattern, "new") == 0)
        run_new();
    else if (strcmp(pattern, "get") == 0)
        run_get();
    else if (strcmp(pattern, "memory") == 0)
        run_memory();
    else
        bench_die("usage: weak new|get|memory");
    return 0;
}
