/* 16_leaky_registry.c - a registry of instances that leaks, and the same one repaired

   A list of all sessions is handy, and a classic leak: the list keeps every session
   alive that its owner has dropped long ago. The leak report at mm_heap_destroy says
   what was still held, and how often. With weak references in the list the owners
   decide again.

   Prints:
     strong registry: 3 sessions opened, 2 closed, 3 in memory
     leak report: 3 of type Session, 3 of them held by 3 outside references
     weak registry: 3 sessions opened, 2 closed, 1 in memory
     leak report: nothing
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

typedef struct Session { int user; } Session;
MM_TYPE_LEAF(Session)

enum { SESSIONS = 3 };

/* The registries are C arrays: the heap sees their references as outside ones. */
static Session    *strong_registry[SESSIONS];
static mm_weakref *weak_registry[SESSIONS];

static Session *open_session(mm_heap *heap, int user, bool weak)
{
    Session *s = mm_new(heap, Session);
    s->user = user;
    if (weak)
        weak_registry[user] = mm_weakref_new(s, NULL, NULL);
    else
        strong_registry[user] = mm_newref(s);  /* who will ever drop this one?     */
    return s;
}

static void on_leak(const mm_leak *leak, void *user)
{
    *(bool *)user = true;
    printf("leak report: %zu of type %s, %zu of them held by %d outside references\n",
           leak->objects, leak->type_name, leak->held, (int)leak->refs);
}

static size_t sessions(mm_heap *heap)
{
    mm_type_stats types[4];
    size_t n = mm_heap_get_type_stats(heap, types, 4);
    for (size_t i = 0; i < n && i < 4; i++)
        if (types[i].type == mm_typeof(Session)) return types[i].objects;
    return 0;
}

static void serve(bool weak)
{
    mm_heap_desc desc;
    mm_heap *heap;
    Session *open[SESSIONS];
    bool leaked = false;
    memset(&desc, 0, sizeof desc);
    desc.leak = on_leak;
    desc.user = &leaked;
    heap = mm_heap_create(&desc);

    for (int i = 0; i < SESSIONS; i++) open[i] = open_session(heap, i, weak);
    for (int i = 0; i < 2; i++) mm_decref(open[i]);
    printf("%s registry: 3 sessions opened, 2 closed, %zu in memory\n",
           weak ? "weak" : "strong", sessions(heap));
    mm_decref(open[2]);
    for (int i = 0; weak && i < SESSIONS; i++) mm_clear(&weak_registry[i]);
    mm_heap_destroy(heap);
    if (!leaked) puts("leak report: nothing");
}

int main(void)
{
    serve(false);
    serve(true);
    return 0;
}
