/* types.c - a type named by mm_new alone, and only here: the header's inline functions
   must leave no compiler in the belief that nobody writes to it (gcc 12 put it into
   read-only memory once). With MAIN the other half of the program. */
#include "memmgr.h"

void *make(mm_heap *heap);

#ifndef MAIN
typedef struct Made {
    struct Made *next;
} Made;
MM_TYPE(Made, MM_REF(Made, next))

void *make(mm_heap *heap)
{
    return mm_new(heap, Made);
}
#else
int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    void *made = make(heap);
    mm_decref(made);
    mm_heap_destroy(heap);
    return made == NULL;
}
#endif
