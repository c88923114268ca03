/* gc_hand.c - what counting references costs by itself: rows d and f with counts kept
   by hand, and nothing else. A node is the next one in a buffer that starts over when
   it ends: nothing is looked for, nothing is freed, and the counts are of no use. What
   a reference-counting collector takes must be more. */
#include "bench.h"

typedef struct Node {
    struct Node *a, *b, *c;
    int64_t count;
} Node;

enum { NODES = 1 << 20 }; /* what rows d and f have alive, or more */

static Node *buffer;
static size_t next;

static inline Node *node_new(void)
{
    Node *p = &buffer[next++ % NODES];
    p->a = p->b = p->c = NULL;
    p->count = 1;
    return p;
}

BENCH_NOINLINE static void node_lost(Node *p)
{
    p->count = 1 << 30;
}

static inline void node_drop(Node *p)
{
    if (p && --p->count == 0) node_lost(p);
}

static inline void node_set(Node **slot, Node *p)
{
    Node *old = *slot;
    if (p) p->count++;
    *slot = p;
    node_drop(old);
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
    (void)generation;
    return SIZE_MAX;
}

static void gc_automatic(bool on)
{
    (void)on;
}

static bool gc_holds_at_most(size_t nodes)
{
    (void)nodes;
    return true;
}

#define GC_SETTLE()   ((void)0)
#define GC_DROP_FREES 0
#define GC_HAS_YOUNG  0
#define GC_HAS_STEP   0
#include "gc_work.h"

int main(int argc, char **argv)
{
    buffer = bench_pages(NODES * sizeof *buffer);
    gc_run(argc > 1 ? argv[1] : "");
    return 0;
}
