/* 03_cycles.c - the cycle collector: a ring of a thousand objects

   A ring refers to itself, so its counts never reach zero. The collector finds
   it once nobody outside holds any of its members; as long as one of them is held,
   it leaves all of them alone. It counts what it found as Python's gc.collect().

   Prints:
     held by one outside reference: 0 collected, 1000 objects
     dropped, counting alone: 1000 objects
     after a collection: 1000 collected, 0 objects
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

typedef struct Link { struct Link *next; } Link;
MM_TYPE(Link, MM_REF(Link, next))

/* A ring of n; returns the one reference to it from outside. */
static Link *make_ring(mm_heap *heap, int n)
{
    Link *first = mm_new(heap, Link), *last = first;
    for (int i = 1; i < n; i++) {
        Link *link = mm_new(heap, Link);
        mm_set_steal(&last->next, link);       /* the ring takes our reference over */
        last = link;
    }
    mm_set(&last->next, first);
    return first;
}

static size_t objects(mm_heap *heap)
{
    mm_heap_stats stats;
    mm_heap_get_stats(heap, &stats);
    return stats.objects;
}

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Link *ring;
    size_t found;
    mm_gc_disable(heap);                       /* only when we say so, to show it  */
    ring = make_ring(heap, 1000);

    found = mm_gc_collect(heap, 2);
    printf("held by one outside reference: %zu collected, %zu objects\n", found,
           objects(heap));
    mm_decref(ring);
    printf("dropped, counting alone: %zu objects\n", objects(heap));
    found = mm_gc_collect(heap, 2);
    printf("after a collection: %zu collected, %zu objects\n", found, objects(heap));
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
