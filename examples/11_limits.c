/* 11_limits.c - running out of memory as a normal event

   max_bytes caps what a heap takes from the system: give a plug-in, a script or a
   request its own heap, and it cannot take the rest of the program down. At the cap
   the call returns NULL, the reason is in mm_last_status, and the heap works on.

   Prints:
     stopped by: the heap's max_bytes is reached
     what was there is intact: yes
     cycles make room by themselves: yes
     after freeing it all, the heap goes on: yes
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

typedef struct Cell { struct Cell *next; char load[1000]; } Cell;
MM_TYPE(Cell, MM_REF(Cell, next))

/* Puts cells in front of a chain until the heap is full; returns how many. */
static int fill(mm_heap *heap, Cell **chain)
{
    int n = 0;
    for (Cell *c; (c = mm_new(heap, Cell)) != NULL; n++) {
        mm_set_steal(&c->next, mm_take(chain));
        mm_set_steal(chain, c);
    }
    return n;
}

/* Makes n cells that refer to themselves, each at once garbage. */
static bool make_garbage(mm_heap *heap, int n)
{
    for (int i = 0; i < n; i++) {
        Cell *c = mm_new(heap, Cell);
        if (c == NULL) return false;
        mm_set(&c->next, c);
        mm_decref(c);
    }
    return true;
}

int main(void)
{
    mm_heap_desc desc;
    mm_heap *heap;
    Cell *chain = NULL;
    int made, seen = 0;
    memset(&desc, 0, sizeof desc);
    desc.max_bytes = (size_t)16 << 20;
    heap = mm_heap_create(&desc);

    made = fill(heap, &chain);
    printf("stopped by: %s\n", mm_status_text(mm_last_status(heap)));
    for (const Cell *c = chain; c != NULL; c = c->next) seen++;
    printf("what was there is intact: %s\n",
           seen == made && made > 1000 ? "yes" : "no");
    mm_clear(&chain);

    mm_gc_disable(heap);                       /* only the emergency collection    */
    printf("cycles make room by themselves: %s\n",
           make_garbage(heap, 4 * made) ? "yes" : "no");
    printf("after freeing it all, the heap goes on: %s\n",
           fill(heap, &chain) > 1000 ? "yes" : "no");
    mm_clear(&chain);
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
