/* library.h - uses the library so that its own stb_ds works: many heaps and types,
   handles, interning, reports. 0 if all is well. */
#ifndef LIBRARY_H
#define LIBRARY_H

#include "memmgr.h"

#ifdef __cplusplus
extern "C" {
#endif
int library_works(void);
#ifdef __cplusplus
}
#endif

#ifdef MEMMGR_IMPLEMENTATION

typedef struct Item {
    struct Item *next;
    mm_str      *name;
} Item;
MM_TYPE(Item, MM_REF(Item, next), MM_REF(Item, name))

static void library_write(void *user, const char *text, size_t length)
{
    (void)text;
    *(size_t *)user += length;
}

/* A ring of 100 items, each with an interned name, a handle and a weak reference. */
static int library_fill(mm_heap *heap)
{
    Item       *ring = NULL, *item, *first = NULL;
    mm_weakref *refs[100];
    mm_handle   handles[100];
    size_t      written = 0, i;
    int         wrong = 0;
    char        name[2] = {0, 0};
    for (i = 0; i < 100; i++) {
        item = mm_new(heap, Item);
        name[0] = (char)('a' + i % 10);
        mm_set_steal(&item->name, mm_intern(heap, name, 1));
        mm_set(&item->next, ring);
        refs[i] = mm_weakref_new(item, NULL, NULL);
        handles[i] = mm_handle_of(item);
        mm_set(&ring, item);
        if (first == NULL) first = item; /* kept alive by the ring */
        mm_decref(item);
    }
    mm_set(&first->next, ring);
    wrong += mm_report_cycle(ring, library_write, &written) != 100 || written == 0;
    wrong += mm_audit(heap, library_write, &written) != 0;
    mm_clear(&ring);
    wrong += mm_gc_collect(heap, 2) != 100;
    for (i = 0; i < 100; i++) {
        wrong += !mm_weakref_is_dead(refs[i]) || mm_handle_valid(heap, handles[i]);
        mm_decref(refs[i]);
    }
    return wrong;
}

int library_works(void)
{
    int round, wrong = 0;
    for (round = 0; round < 3; round++) {
        mm_heap *heap = mm_heap_create(NULL);
        if (heap == NULL) return 1;
        wrong += library_fill(heap);
        wrong += !mm_heap_check(heap);
        wrong += mm_heap_destroy(heap) != 0;
    }
    return wrong;
}

#endif
#endif
