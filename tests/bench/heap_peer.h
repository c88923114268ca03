/* heap_peer.h - the allocators that heap.c can be compiled for. Each gives
     PEER_START()         once, before anything
     PEER_ALLOC(n)        a block
     PEER_FREE(p, n)      gives it back; with SIZED the size is passed on where the
                          allocator has a call for it
     PEER_TRIM()          gives empty memory back to the OS, where there is a call
     PEER_HAS_SIZED       1: free with and without size are different calls */
#ifndef HEAP_PEER_H
#define HEAP_PEER_H

#ifndef SIZED
#define SIZED 0
#endif

#if defined(PEER_OURS)
#include "memmgr.h"
static mm_heap *heap;
static void start_ours(bool huge)
{
    mm_heap_desc desc = {0};
    if (huge) desc.huge_pages = MM_HUGE_ON;
    heap = mm_heap_create(&desc);
    if (heap == NULL) bench_die(mm_last_message(NULL));
}
#define PEER_START(huge) start_ours(huge)
#define PEER_ALLOC(n)    mm_alloc(heap, n)
#if SIZED
#define PEER_FREE(p, n) mm_free_sized(heap, p, n)
#else
#define PEER_FREE(p, n) ((void)(n), mm_free(heap, p))
#endif
#define PEER_TRIM()    mm_heap_purge(heap)
#define PEER_HAS_SIZED 1

#elif defined(PEER_GLIBC)
#include <malloc.h>
#define PEER_START(huge) ((void)(huge))
#define PEER_ALLOC(n)    malloc(n)
#define PEER_FREE(p, n)  ((void)(n), free(p))
#define PEER_TRIM()      malloc_trim(0)
#define PEER_HAS_SIZED   0

#elif defined(PEER_MIMALLOC)
#include <mimalloc.h>
#define PEER_START(huge) ((void)(huge))
#define PEER_ALLOC(n)    mi_malloc(n)
#if SIZED
#define PEER_FREE(p, n) mi_free_size(p, n)
#else
#define PEER_FREE(p, n) ((void)(n), mi_free(p))
#endif
#define PEER_TRIM()    mi_collect(true)
#define PEER_HAS_SIZED 1

#elif defined(PEER_JEMALLOC)
#include <jemalloc/jemalloc.h>
#define PEER_START(huge) ((void)(huge))
#define PEER_ALLOC(n)    malloc(n)
#if SIZED
#define PEER_FREE(p, n) sdallocx(p, n, 0)
#else
#define PEER_FREE(p, n) ((void)(n), free(p))
#endif
static void trim_jemalloc(void)
{
    mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    mallctl("arena.4096.purge", NULL, NULL, NULL, 0); /* 4096: all arenas */
}
#define PEER_TRIM()    trim_jemalloc()
#define PEER_HAS_SIZED 1

#elif defined(PEER_TCMALLOC)
#include <gperftools/malloc_extension_c.h>
#include <gperftools/tcmalloc.h>
#define PEER_START(huge) ((void)(huge))
#define PEER_ALLOC(n)    tc_malloc(n)
#if SIZED
#define PEER_FREE(p, n) tc_free_sized(p, n)
#else
#define PEER_FREE(p, n) ((void)(n), tc_free(p))
#endif
static void trim_tcmalloc(void)
{
    MallocExtension_MarkThreadIdle(); /* empties the thread's cache */
    MallocExtension_ReleaseFreeMemory();
}
#define PEER_TRIM()    trim_tcmalloc()
#define PEER_HAS_SIZED 1

#elif defined(PEER_GSLICE)
#include <glib.h>
#define PEER_START(huge) ((void)(huge))
#define PEER_ALLOC(n)    g_slice_alloc(n)
#define PEER_FREE(p, n)  g_slice_free1(n, p)
#define PEER_TRIM()      ((void)0)
#define PEER_HAS_SIZED   0 /* the only free it has is the sized one */

#elif defined(PEER_CPYTHON)
#include <Python.h>
#define PEER_START(huge) ((void)(huge), Py_Initialize())
#define PEER_ALLOC(n)    PyObject_Malloc(n)
#define PEER_FREE(p, n)  ((void)(n), PyObject_Free(p))
#define PEER_TRIM()      ((void)0)
#define PEER_HAS_SIZED   0

#elif defined(PEER_HAND)
/* What can be written by hand for blocks of one size: a stack of pointers, memory cut
   from huge pages, nothing ever given back. */
static struct {
    void **top; /* top[-1]: the next block, or NULL */
    char *cursor;
} hand;
static void start_hand(void)
{
    size_t size = (size_t)1 << 30, huge = (size_t)2 << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) bench_die("mmap");
    memory += (huge - (uintptr_t)memory % huge) % huge;
    hand.top = (void **)(void *)memory + 1;
    hand.cursor = memory + ((size_t)64 << 20);
    madvise(hand.cursor, (size_t)256 << 20, MADV_HUGEPAGE);
}
static inline void *alloc_hand(size_t n)
{
    void *p = hand.top[-1];
    if (p != NULL) {
        hand.top--;
    } else {
        p = hand.cursor;
        hand.cursor += (n + 15) & ~(size_t)15;
    }
    return p;
}
#define PEER_START(huge) ((void)(huge), start_hand())
#define PEER_ALLOC(n)    alloc_hand(n)
#define PEER_FREE(p, n)  ((void)(n), (void)(*hand.top++ = (p)))
#define PEER_TRIM()      ((void)0)
#define PEER_HAS_SIZED   0

#else
#error "define one of PEER_OURS, PEER_GLIBC, PEER_MIMALLOC, ..."
#endif
#endif /* HEAP_PEER_H */
