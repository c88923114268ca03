/* static_b.c - another private copy in the same program; neither knows the other. */
#define MEMMGR_STATIC
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"

typedef struct Node {
    struct Node *next, *prev;
} Node;
MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, prev))

#ifdef __cplusplus
extern "C"
#endif
size_t other_copy(void);

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Node    *a = mm_new(heap, Node), *b = mm_new(heap, Node);
    size_t   collected;
    mm_set(&a->next, b);
    mm_set(&b->prev, a);
    mm_decref(a);
    mm_decref(b);
    collected = mm_gc_collect(heap, 2);
    return collected == 2 && other_copy() == 1 && mm_heap_destroy(heap) == 0 ? 0 : 1;
}
