/* gc_boehm.c - the collector's workloads on Boehm's collector.
   Second argument "incremental": its incremental mode, with pauses of 2 ms at
   most as its aim (the least it takes). It counts no references: a store is a
   store and a drop is nothing. */
#include <gc.h>

#include "bench.h"

typedef struct Node {
    struct Node *a, *b, *c;
} Node;

static bool incremental;

static inline Node *node_new(void)
{
    return GC_MALLOC(sizeof(Node));
}

static inline void node_set(Node **slot, Node *p)
{
    *slot = p;
}

static inline void node_drop(Node *p)
{
    (void)p;
}

static Node **node_array(size_t count)
{
    return GC_MALLOC_UNCOLLECTABLE(count * sizeof(Node *));
}

static void node_array_free(Node **array)
{
    GC_FREE(array);
}

/* What old frames left on the stack would be taken for references. */
BENCH_NOINLINE static void clear_stack(void)
{
    char old[16384], *p = old;
    memset(old, 0, sizeof old);
    BENCH_KEEP(p);
}

static size_t gc_collect(int generation)
{
    bool disabled = GC_is_disabled();
    (void)generation;
    clear_stack();
    if (disabled) GC_enable(); /* disabled, it would refuse this too */
    GC_gcollect();
    if (disabled) GC_disable();
    return SIZE_MAX;
}

static void gc_automatic(bool on)
{
    if (on && GC_is_disabled()) GC_enable();
    if (!on && !GC_is_disabled()) GC_disable();
}

static bool gc_holds_at_most(size_t nodes)
{
    size_t used;
    gc_collect(2);
    used = GC_get_heap_size() - GC_get_free_bytes();
    return used <= 2 * nodes * sizeof(Node) + (4 << 20);
}

#define GC_SETTLE()   ((void)gc_collect(2))
#define GC_DROP_FREES 0
#define GC_HAS_YOUNG  0
#define GC_HAS_STEP   0
#include "gc_work.h"

int main(int argc, char **argv)
{
    incremental = argc > 2 && strcmp(argv[2], "incremental") == 0;
    GC_INIT();
    if (incremental) {
        GC_set_time_limit(2);
        GC_enable_incremental();
    }
    gc_run(argc > 1 ? argv[1] : "");
    return 0;
}
