/* quickstart.c - the quick start of the manual, whose size the room `whole` takes. */
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

typedef struct Node {
    struct Node *next, *prev;
    int value;
} Node;
MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, prev))

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Node *a = mm_new(heap, Node), *b = mm_new(heap, Node);
    mm_set(&a->next, b);
    mm_set(&b->prev, a);
    mm_decref(a);
    mm_decref(b);
    printf("%zu collected\n", mm_gc_collect(heap, 2));
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
