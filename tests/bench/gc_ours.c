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

enum { SLICE_US = 20 }; /* what run_slices asks for */

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
    while (mm_gc_step(heap, 0)) {
    }
}

/* --- row f: how many slices there were, and how many nodes at most --- */

static uint64_t slices_before;
static size_t peak_nodes, timed_steps;

/* Slices of old collections, and young collections. A walk of the heap. */
static uint64_t slices_so_far(void)
{
    mm_gc_stats stats;
    uint64_t sum = 0;
    mm_gc_get_stats(heap, &stats);
    for (int i = 0; i < 3; i++) sum += stats.generation[i].slices;
    return sum;
}

static void pauses_begin(void)
{
    slices_before = slices_so_far();
}

static void pause_step(void)
{
    if (timed_steps++ % 16 == 0) {
        size_t nodes = nodes_alive();
        if (nodes > peak_nodes) peak_nodes = nodes;
    }
}

static void pauses_end(const double *sorted_us, size_t count);

#define GC_PAUSE_HOOKS
#define GC_PAUSES_BEGIN()    pauses_begin()
#define GC_PAUSE_STEP()      pause_step()
#define GC_PAUSES_END(us, n) pauses_end(us, n)
#define GC_SETTLE()          free_the_rest()
#define GC_DROP_FREES        1
#define GC_HAS_YOUNG         1
#define GC_HAS_STEP          1
#include "gc_work.h"

/* The k-th longest step is at least as long as the k-th longest slice. */
static void pauses_end(const double *sorted_us, size_t count)
{
    uint64_t slices = slices_so_far() - slices_before;
    size_t rank = (size_t)(slices / 1000) + 1;
    if (rank <= count) gc_put("f_slice_p999", "us", sorted_us[count - rank]);
    gc_put("f_slice_longest", "us", sorted_us[count - 1]);
    gc_collect(2);
    gc_put("f_peak", "x", (double)peak_nodes / (double)nodes_alive());
}

/* The most objects that one slice looked at, in a heap that was never collected on
   demand: such a collection would count as one slice. */
static void run_visits(void)
{
    mm_gc_stats stats;
    Steady s;
    steady_build(&s);
    steady_run(&s, bench_count(500000), 3);
    mm_gc_get_stats(heap, &stats);
    gc_put("f_visits_longest", "objects", (double)stats.visits_slice_max);
    steady_end(&s);
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
    else if (argc > 1 && strcmp(argv[1], "fvisits") == 0)
        run_visits();
    else
        gc_run(argc > 1 ? argv[1] : "");
    BENCH_REQUIRE(mm_heap_destroy(heap) == 0);
    return 0;
}
