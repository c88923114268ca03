/* shared_b.c - objects from the other file and from this one are of one type. */
#include "shared.h"
#include <stdio.h>

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Shared  *theirs = shared_make(heap, 1), *ours = mm_new(heap, Shared);
    bool     same = mm_type_of(theirs) == mm_type_of(ours) && mm_is(theirs, Shared);
    size_t   collected;
    mm_set(&theirs->next, ours);
    mm_set(&ours->next, theirs);
    mm_decref(theirs);
    mm_decref(ours);
    collected = mm_gc_collect(heap, 2);
    printf("same type: %d, %zu collected\n", same, collected);
    return mm_heap_destroy(heap) == 0 && same && collected == 2 ? 0 : 1;
}
