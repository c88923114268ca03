/* 04_finalizer.c - two goodbyes: a finalizer, which may change its mind, and a disposer

   The finalizer runs once, while the object is still whole: it may look around, and
   even bring the object back by storing a reference to it (PEP 442). The disposer is
   the last act before the memory goes: here C resources are given back.

   Prints:
     first drop
     finalize: the log has 2 lines, let me keep it
     rescued, 1 reference
     second drop
     dispose: buffer freed
     gone
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

typedef struct Log {
    char *buffer;                              /* memory that the object looks after */
    int   lines;
} Log;
MM_TYPE_LEAF(Log)

static Log *rescued;

static bool log_finalize(void *object)
{
    Log *log = (Log *)object;
    printf("finalize: the log has %d lines, let me keep it\n", log->lines);
    rescued = mm_newref(log);                  /* resurrected: it stays as it is   */
    return true;
}

static void log_dispose(void *object)
{
    Log *log = (Log *)object;
    mm_free(mm_heap_of(log), log->buffer);
    printf("dispose: buffer freed\n");
}

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Log *log;
    mm_typeof(Log)->finalize = log_finalize;   /* hooks first, objects afterwards  */
    mm_typeof(Log)->dispose = log_dispose;
    log = mm_new(heap, Log);
    log->buffer = (char *)mm_alloc(heap, 100);
    log->lines = 2;

    puts("first drop");
    mm_decref(log);
    printf("rescued, %d reference\n", (int)mm_refcount(rescued));
    puts("second drop");
    mm_decref(rescued);                        /* its finalizer has had its turn   */
    puts("gone");
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
