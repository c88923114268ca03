/* 02_refcount.c - reference counts: who owns what

   mm_new gives you a reference. A slot that you mm_set takes one of its own, and
   mm_take moves it out again without touching the count. The object dies, with
   all it alone refers to, when the last reference is dropped.

   Prints:
     new book: 1 reference
     on two shelves: 3 references
     taken off one: 3 references, the shelf is empty
     both shelves gone: 1 reference
     nothing left: 0 objects
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

typedef struct Book { int pages; } Book;
typedef struct Shelf { Book *book; } Shelf;
MM_TYPE_LEAF(Book)
MM_TYPE(Shelf, MM_REF(Shelf, book))

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Shelf *left = mm_new(heap, Shelf), *right = mm_new(heap, Shelf);
    Book *book = mm_new(heap, Book), *taken;
    mm_heap_stats stats;
    printf("new book: %d reference\n", (int)mm_refcount(book));

    mm_set(&left->book, book);                 /* the slot takes its own reference */
    mm_set(&right->book, book);
    printf("on two shelves: %d references\n", (int)mm_refcount(book));

    taken = mm_take(&left->book);              /* moved: now this one is ours too  */
    printf("taken off one: %d references, the shelf is %s\n", (int)mm_refcount(taken),
           left->book == NULL ? "empty" : "full");

    mm_decref(taken);
    mm_decref(left);
    mm_decref(right);                          /* drops its slot's reference       */
    printf("both shelves gone: %d reference\n", (int)mm_refcount(book));

    mm_decref(book);
    mm_heap_get_stats(heap, &stats);
    printf("nothing left: %zu objects\n", stats.objects);
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
