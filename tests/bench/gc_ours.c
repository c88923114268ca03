/* gc_ours.c - the collector's workloads on memmgr.h.
   Second argument "unsliced": old collections in one piece, as CPython; the rows
   then end in @unsliced. */
#include <pthread.h>

#include "bench.h"
#include "memmgr.h"

typedef struct Node {
    struct Node *a, *b, *c;
} Node;
MM_TYPE(Node, MM_REF(Node, a), MM_REF(Node, b), MM_REF(Node, c))

enum { SLICE_US = 40 }; /* what run_slices asks for */

static mm_heap *heap;

static inline Node *node_new(void)
{
    return mm_new(heap, Node);
}

static inline void node_set(Node **slot, Node *p)
{
    mm_set(slot, p);
}

static inline void node_drop(Node *p)
{
    mm_decref(p);
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
    return mm_gc_collect(heap, generation);
}

static void gc_automatic(bool on)
{
    if (on)
        mm_gc_enable(heap);
    else
        mm_gc_disable(heap);
}

static size_t nodes_alive(void)
{
    mm_heap_stats stats;
    mm_heap_get_stats(heap, &stats);
    return stats.tracked;
}

static bool gc_holds_at_most(size_t nodes)
{
    return nodes_alive() <= nodes;
}

static bool gc_step(void)
{
    return mm_gc_step(heap, SLICE_US);
}

static void free_the_rest(void)
{
    mm_gc_stats stats;
    do {
        mm_gc_step(heap, 0);
        mm_gc_get_stats(heap, &stats);
    } while (stats.pending_free != 0);
}

/* --- row f: which steps contained a slice, and how many nodes there were --- */

typedef struct Slices {
    double *took;
    size_t count, capacity;
    uint64_t seen, visits, visits_longest;
    size_t peak, steps;
} Slices;

static Slices slices;

static uint64_t slices_so_far(const mm_gc_stats *stats)
{
    uint64_t sum = 0;
    for (int i = 0; i < 3; i++) sum += stats->generation[i].slices;
    return sum;
}

static void pauses_begin(void)
{
    mm_gc_stats stats;
    mm_gc_get_stats(heap, &stats);
    slices.capacity = 1000000;
    slices.took = bench_pages(slices.capacity * sizeof *slices.took);
    slices.seen = slices_so_far(&stats);
    slices.visits = stats.visits;
}

/* Time and visits of a step that contained a slice are upper bounds of the slice's. */
static void pause_step(double took_us)
{
    mm_gc_stats stats;
    uint64_t now, visits;
    mm_gc_get_stats(heap, &stats);
    now = slices_so_far(&stats);
    visits = stats.visits - slices.visits;
    if (now != slices.seen && slices.count < slices.capacity) {
        slices.took[slices.count++] = took_us;
        if (visits > slices.visits_longest) slices.visits_longest = visits;
    }
    slices.seen = now;
    slices.visits = stats.visits;
    if (slices.steps++ % 16 == 0) {
        size_t nodes = nodes_alive();
        if (nodes > slices.peak) slices.peak = nodes;
    }
}

static void pauses_end(void);

#define GC_PAUSE_HOOKS
#define GC_PAUSES_BEGIN()      pauses_begin()
#define GC_PAUSE_STEP(took_us) pause_step(took_us)
#define GC_PAUSES_END()        pauses_end()
#define GC_SETTLE()            free_the_rest()
#define GC_DROP_FREES          1
#define GC_HAS_YOUNG           1
#define GC_HAS_STEP            1
#include "gc_work.h"

static void pauses_end(void)
{
    if (slices.count > 0) {
        double p999 = bench_quantile(slices.took, slices.count, 0.999);
        gc_put("f_slice_p999", "us", p999);
        gc_put("f_slice_longest", "us", slices.took[slices.count - 1]);
        gc_put("f_visits_longest", "objects", (double)slices.visits_longest);
    }
    gc_collect(2);
    gc_put("f_peak", "x", (double)slices.peak / (double)nodes_alive());
}

/* A long list must die within a small stack: 64 KiB, of which printf takes some. */
static void *run_on_thread(void *pattern)
{
    gc_run(pattern);
    return NULL;
}

static void run_on_small_stack(char *pattern)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    BENCH_REQUIRE(pthread_attr_setstacksize(&attributes, 64 << 10) == 0);
    BENCH_REQUIRE(pthread_create(&thread, &attributes, run_on_thread, pattern) == 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

int main(int argc, char **argv)
{
    mm_heap_desc desc = {0};
    if (argc > 2 && strcmp(argv[2], "unsliced") == 0) {
        desc.gc_pause_us = MM_GC_UNSLICED;
        gc_variant = "@unsliced";
    }
    heap = mm_heap_create(&desc);
    if (heap == NULL) bench_die(mm_last_message(NULL));
    if (argc > 1 && strcmp(argv[1], "e") == 0)
        run_on_small_stack(argv[1]);
    else
        gc_run(argc > 1 ? argv[1] : "");
    BENCH_REQUIRE(mm_heap_destroy(heap) == 0);
    return 0;
}
