/* static_a.c - a file with a private copy of the whole library; see static_b.c. */
#define MEMMGR_STATIC
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"

typedef struct Node {
    struct Node *next;
} Node;
MM_TYPE(Node, MM_REF(Node, next))

#ifdef __cplusplus
extern "C"
#endif
size_t other_copy(void);

size_t other_copy(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Node    *node = mm_new(heap, Node);
    size_t   collected;
    mm_set(&node->next, node);
    mm_decref(node);
    collected = mm_gc_collect(heap, 2);
    return collected + mm_heap_destroy(heap);
}
