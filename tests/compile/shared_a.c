/* shared_a.c - defines the type of shared.h and holds the implementation. */
#define MEMMGR_IMPLEMENTATION
#include "shared.h"

MM_TYPE_DEFINE(Shared, MM_REF(Shared, next))

Shared *shared_make(mm_heap *heap, int value)
{
    Shared *shared = mm_new(heap, Shared);
    if (shared != NULL) shared->value = value;
    return shared;
}
