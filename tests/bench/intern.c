/* intern.c - 12-byte strings to unique ones. Compiled once per peer, which gives
     start()
     intern(text)         the unique string of these 12 bytes, and a reference to it
     intern_drop(p)       the reference dropped
     PEER_FORGETS         a string that nobody refers to leaves the table
   and may give
     string_new, intern_string   the same from a string object of its own, whose
                          hash is known already */
#include "bench.h"

enum { LENGTH = 12, STRIDE = 16 };

#if defined(PEER_OURS)
#include "memmgr.h"

static mm_heap *heap;

static void start(void)
{
    heap = mm_heap_create(NULL);
    if (heap == NULL) bench_die(mm_last_message(NULL));
}

static inline void *intern(const char *text)
{
    return mm_intern(heap, text, LENGTH);
}

static inline void intern_drop(void *p)
{
    mm_decref(p);
}

static void *string_new(const char *text)
{
    mm_str *s = mm_str_new(heap, text, LENGTH);
    mm_str_hash(s);
    return s;
}

static inline void *intern_string(void *p)
{
    return mm_intern_str(heap, mm_newref((mm_str *)p));
}
#define PEER_FORGETS 1
#define PEER_STRINGS 1

#elif defined(PEER_CPYTHON)
#include <Python.h>

static void start(void)
{
    Py_Initialize();
}

static inline void *intern(const char *text)
{
    PyObject *s = PyUnicode_FromStringAndSize(text, LENGTH);
    PyUnicode_InternInPlace(&s);
    return s;
}

static inline void intern_drop(void *p)
{
    Py_DECREF((PyObject *)p);
}

static void *string_new(const char *text)
{
    PyObject *s = PyUnicode_FromStringAndSize(text, LENGTH);
    PyObject_Hash(s);
    return s;
}

static inline void *intern_string(void *p)
{
    PyObject *s = Py_NewRef((PyObject *)p);
    PyUnicode_InternInPlace(&s);
    return s;
}
#define PEER_FORGETS 1
#define PEER_STRINGS 1

#elif defined(PEER_GLIB)
#include <glib.h>

static void start(void)
{
}

static inline void *intern(const char *text)
{
    return (void *)(uintptr_t)g_intern_string(text);
}

static inline void intern_drop(void *p)
{
    (void)p;
}
#define PEER_FORGETS 0
#define PEER_STRINGS 0

#elif defined(PEER_STB_DS)
#define STB_DS_IMPLEMENTATION
#include "stb_ds.h"

static struct {
    char *key;
    int value;
} * table;

static void start(void)
{
    sh_new_strdup(table);
}

static inline void *intern(const char *text)
{
    ptrdiff_t i = shgeti(table, text);
    if (i < 0) {
        shput(table, text, 0);
        i = shgeti(table, text);
    }
    return table[i].key;
}

static inline void intern_drop(void *p)
{
    (void)p;
}
#define PEER_FORGETS 0
#define PEER_STRINGS 0

#else
#error "define one of PEER_OURS, PEER_CPYTHON, PEER_GLIB, PEER_STB_DS"
#endif

/* The texts, and the order in which they are looked up. */
static char *texts;
static uint32_t *order;
static size_t distinct;

static void make_texts(const char *format)
{
    char text[32];
    distinct = bench_count(100000);
    texts = bench_pages(distinct * STRIDE);
    order = bench_permutation(distinct);
    for (size_t i = 0; i < distinct; i++) {
        snprintf(text, sizeof text, format, i);
        memcpy(texts + i * STRIDE, text, LENGTH + 1);
    }
}

static const char *text_at(size_t i)
{
    return texts + (size_t)order[i] * STRIDE;
}

BENCH_NOINLINE static void hit_all(void)
{
    for (size_t i = 0; i < distinct; i++) {
        void *p = intern(text_at(i));
        BENCH_KEEP(p);
        intern_drop(p);
    }
}

static double timed(void (*work)(void))
{
    double begin = bench_now();
    work();
    return (bench_now() - begin) / (double)distinct;
}

static void put_median_of(const char *row, void (*work)(void))
{
    int repeats = bench_repeats(7);
    double times[7];
    work();
    for (int r = 0; r < repeats; r++) times[r] = timed(work);
    bench_put(row, "ns", bench_median(times, repeats));
}

/* Every text is in the table and referred to. */
static void run_hit(void)
{
    void **kept;
    make_texts("symbol%06zu");
    kept = bench_pages(distinct * sizeof *kept);
    for (size_t i = 0; i < distinct; i++) kept[i] = intern(texts + i * STRIDE);
    for (size_t i = 0; i < distinct; i++) {
        void *p = intern(texts + i * STRIDE);
        BENCH_REQUIRE(p == kept[i]);
        intern_drop(p);
    }
    put_median_of("intern_hit", hit_all);
}

#if PEER_STRINGS
static void **strings;

BENCH_NOINLINE static void hit_all_strings(void)
{
    for (size_t i = 0; i < distinct; i++) {
        void *p = intern_string(strings[order[i]]);
        BENCH_KEEP(p);
        intern_drop(p);
    }
}

static void run_hit_string(void)
{
    make_texts("symbol%06zu");
    strings = bench_pages(distinct * sizeof *strings);
    for (size_t i = 0; i < distinct; i++) {
        BENCH_REQUIRE(intern(texts + i * STRIDE) != NULL);
        strings[i] = string_new(texts + i * STRIDE);
    }
    put_median_of("intern_hit_string", hit_all_strings);
}
#endif

#if PEER_FORGETS
/* The table holds 100k others; each text comes and goes. */
static void run_miss(void)
{
    make_texts("symbol%06zu");
    for (size_t i = 0; i < distinct; i++)
        BENCH_REQUIRE(intern(texts + i * STRIDE) != NULL);
    make_texts("absent%06zu");
    put_median_of("intern_miss", hit_all);
}
#endif

int main(int argc, char **argv)
{
    const char *pattern = argc > 1 ? argv[1] : "";
    start();
    if (strcmp(pattern, "hit") == 0) run_hit();
#if PEER_STRINGS
    else if (strcmp(pattern, "hitstring") == 0)
        run_hit_string();
#endif
#if PEER_FORGETS
    else if (strcmp(pattern, "miss") == 0)
        run_miss();
#endif
    else
        bench_die("usage: intern hit|hitstring|miss");
    return 0;
}
