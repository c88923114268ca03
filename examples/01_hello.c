/* 01_hello.c - the quick start: two objects that keep each other alive

   Describe which fields of a struct are references, and the heap can tell what
   is still in use. Here two nodes refer to each other. Dropping both outside
   references leaves their counts at one each, so counting alone would never free
   them. The collector sees that only garbage refers to garbage.

   Prints:
     2 collected
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

typedef struct Node { struct Node *next, *prev; int value; } Node;
MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, prev))   /* existing structs need no change */

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Node *a = mm_new(heap, Node), *b = mm_new(heap, Node);
    mm_set(&a->next, b);
    mm_set(&b->prev, a);                                /* a cycle */
    mm_decref(a);
    mm_decref(b);                                       /* unreachable, still allocated */
    printf("%zu collected\n", mm_gc_collect(heap, 2));  /* 2 collected */
    return mm_heap_destroy(heap) == 0 ? 0 : 1;          /* 0: nothing leaked */
}
