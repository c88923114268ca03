/* program.c - a small program that leaves 0 if the library works: the second file
   beside an implementation, or alone with one. */
#include "memmgr.h"
#include <stdio.h>

typedef struct Node {
    struct Node *next, *prev;
    int          value;
} Node;
MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, prev))

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Node    *a, *b;
    size_t   collected, held;
    if (heap == NULL) {
        printf("no heap: %s\n", mm_last_message(NULL));
        return 2;
    }
    a = mm_new(heap, Node);
    b = mm_new(heap, Node);
    mm_set(&a->next, b);
    mm_set(&b->prev, a);
    mm_decref(a);
    mm_decref(b);
    collected = mm_gc_collect(heap, 2);
    held = mm_heap_destroy(heap);
    printf("%zu collected, %zu held\n", collected, held);
    return collected == 2 && held == 0 ? 0 : 1;
}
