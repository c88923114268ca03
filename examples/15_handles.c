/* 15_handles.c - entities addressed by handles

   A handle is a 64-bit number. It fits into a save file, a network packet or a struct
   of another language, and it keeps nothing alive. Looking it up finds the object, or
   finds it gone; never another object that has moved into its place.

   Prints:
     the missile follows ufo 1
     saved and loaded, it still does: ufo 1
     ufo 1 is shot down: the missile has no target
     1000 more ufos came and went: the missile has no target
     an invented handle finds nothing
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

typedef struct Ufo { int number; } Ufo;
MM_TYPE_LEAF(Ufo)

typedef struct Missile { float x, y; mm_handle target; } Missile; /* a plain struct */

static Ufo *make_ufo(mm_heap *heap, int number)
{
    Ufo *ufo = mm_new(heap, Ufo);
    ufo->number = number;
    return ufo;
}

static void report(mm_heap *heap, const char *what, const Missile *m)
{
    const Ufo *ufo = (const Ufo *)mm_handle_borrow(heap, m->target);
    if (ufo != NULL)
        printf("%s ufo %d\n", what, ufo->number);
    else
        printf("%s the missile has no target\n", what);
}

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Ufo *ufo = make_ufo(heap, 1);
    Missile missile = {0, 0, 0}, loaded;
    unsigned char file[sizeof missile];
    missile.target = mm_handle_of(ufo);
    report(heap, "the missile follows", &missile);

    memcpy(file, &missile, sizeof file);       /* bytes are all it is              */
    memcpy(&loaded, file, sizeof file);
    report(heap, "saved and loaded, it still does:", &loaded);

    mm_decref(ufo);                            /* no missile holds it back         */
    report(heap, "ufo 1 is shot down:", &missile);

    for (int i = 2; i <= 1001; i++) {          /* they reuse its memory and its place */
        Ufo *other = make_ufo(heap, i);
        if (mm_handle_of(other) == missile.target) puts("mistaken identity");
        mm_decref(other);
    }
    report(heap, "1000 more ufos came and went:", &missile);

    if (!mm_handle_valid(heap, 0xDEADBEEFCAFEu))
        puts("an invented handle finds nothing");
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
