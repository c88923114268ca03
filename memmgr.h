/* memmgr.h - Python's memory model for C programs - version 0.1.0

   A heap of arenas, pools and blocks; objects with a hidden 8-byte header and a
   reference count; a cycle collector; weak references; interning; object pools.

       #define MEMMGR_IMPLEMENTATION          // in exactly one .c or .cpp file
       #include "memmgr.h"

       typedef struct Node { struct Node *next, *prev; int value; } Node;
       MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, prev))

       mm_heap *heap = mm_heap_create(NULL);
       Node *a = mm_new(heap, Node), *b = mm_new(heap, Node);
       mm_set(&a->next, b);  mm_set(&b->prev, a);       // a cycle
       mm_decref(a);  mm_decref(b);                     // unreachable
       mm_gc_collect(heap, 2);                          // returns 2
       mm_heap_destroy(heap);                           // returns 0: no leak

   Where to read next: the table of contents below; docs/guide.md to learn it;
   docs/python-to-c.md if you know Python; docs/design.md for how it works.
   Licence: MIT or public domain, at your choice (end of this file).
*/
#ifndef MEMMGR_H
#define MEMMGR_H

/* ============================================================================
   Table of contents. Search for >>name: the first hit is the public room, the
   second, >>name.impl, its implementation.

     >>concepts   vocabulary and one picture of the memory
     >>options    compile-time options
     >>base       version, statuses, log, assertions
     >>heap       heaps: create, destroy, statistics, walk, check
     >>raw        raw memory: allocate, resize, free
     >>region     bump allocation with mark and rewind
     >>type       types: which fields of a struct are references
     >>object     objects: new, counts, slots, scopes
     >>gc         the cycle collector
     >>weak       weak references, handles, finalize callbacks
     >>str        immutable strings and interning
     >>bytes      byte buffers, views and spans
     >>pool       object pools
     >>diagnose   who holds this, printable cycles, audit

   Implementation only:
     >>platform  OS memory, clock, sanitizers     >>state  the heap, whole
     >>class     size classes                     >>arena  arenas, pools, page runs
     >>block     caches, runs, huge blocks        >>debug  red zones, quarantine
     >>ds        private stb_ds                   >>check  all invariants
     >>leave     private macros end here          >>licence
   ============================================================================ */

/* ============================================================================
   >>concepts

   heap     owns everything below; belongs to one thread at a time.
   arena    an aligned chunk from the OS; an address finds its arena by a mask.
   pool     64 KiB of an arena (more for large classes), cut into equal blocks.
   block    one allocation. Raw memory is a block; so is an object.
   object   a block that starts with a header: count, type, flags (8 bytes).
   type     a descriptor: size, and which fields are slots.
   slot     a field that owns a reference. The collector knows them all.
   generation 0 new objects, 1 survivors of one collection, 2 the old ones.

      arena, 4 MiB, aligned                     an object in a pool
      +----------------------------+            +--------+----------------+
      | side tables: unit table,   |            | header | your struct    |
      | free bitmaps, young bits,  |            | 8 bytes| slots, values  |
      | collector bytes            |            +--------+----------------+
      +----------------------------+            ^        ^
      | pool 0: blocks of 48 bytes |            |        what mm_new returns,
      | pool 1: blocks of 32 bytes |            |        16-byte aligned
      | run: 5 pages, one block    |            block: 8 modulo 16
      | ...                        |
      +----------------------------+

   Ownership, in CPython's words. A *new* reference is yours: drop it with
   mm_decref, or give it away. A *borrowed* one is not: take mm_newref before
   you keep it. A function that *steals* takes over the one you had. Whatever
   a function returns is new unless its name says `borrow` or its text says so.

   Slots. mm_set(&a->next, b) is the whole story: it takes a reference to b and
   drops the old one. A plain store of a reference you own is fine as well. To
   move a reference *out* of a slot use mm_take, never a plain read and NULL.

   Errors. An expected failure (no memory, a bad value) returns NULL, false or a
   status, changes nothing, and leaves its reason in mm_last_status and
   mm_last_message. A caller's bug (an object freed twice) is an assertion that
   names the address and what to do; with NDEBUG it goes to the log.
   ============================================================================ */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ============================================================================
   >>options

   MEMMGR_IMPLEMENTATION  compile the implementation here (one file of a program).
   MEMMGR_STATIC          everything private to this file, data included.
   MM_API                 linkage of public functions (default extern; set it to
                          __declspec(dllexport) and the like).
   MEMMGR_SMALL           1: arenas of 256 KiB and pools of 4 KiB, for small
                          machines and small fixed buffers. Default 0: 4 MiB and
                          64 KiB. All files of a program must agree; a mismatch
                          makes mm_heap_create fail with a message.
   MEMMGR_CHECK           0 (default) to 3: what the implementation checks of its
                          own invariants; 2 local facts, 3 deep walks (slow).
   MEMMGR_STB_DS_H        where stb_ds.h is (default "stb_ds.h"); needed only by
                          the file that defines MEMMGR_IMPLEMENTATION.
   MM_ASSERT(x, message)  what a caller's bug does. Default: log and abort, or
                          with NDEBUG log and go on.
   ============================================================================ */

#ifndef MEMMGR_SMALL
#define MEMMGR_SMALL 0
#endif
#ifndef MEMMGR_CHECK
#define MEMMGR_CHECK 0
#endif
#ifndef MEMMGR_STB_DS_H
#define MEMMGR_STB_DS_H "stb_ds.h"
#endif
#ifdef MEMMGR_MALLOC
#error "MEMMGR_MALLOC does not exist: set mm_heap_desc.map and .unmap instead"
#endif

#ifndef MM_API
#ifdef MEMMGR_STATIC
#define MM_API static
#else
#define MM_API extern
#endif
#endif

#if defined(__GNUC__)
#define MM__LIKELY(x) __builtin_expect(!!(x), 1)
#define MM__PREFETCH_WRITE(p) __builtin_prefetch((p), 1, 3)
#define MM__UNUSED __attribute__((unused))
#define MM__ALWAYS_INLINE static inline __attribute__((unused, always_inline))
#if defined(__MINGW32__)
#define MM__PRINTF(fmt, args) __attribute__((format(gnu_printf, fmt, args)))
#else
#define MM__PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#endif
#define MM__CLEANUP(fn) __attribute__((cleanup(fn), unused))
#else
#define MM__LIKELY(x) (x)
#define MM__PREFETCH_WRITE(p) ((void)0)
#define MM__UNUSED
#define MM__ALWAYS_INLINE static inline
#define MM__PRINTF(fmt, args)
#endif
#define MM__INLINE static inline MM__UNUSED

#ifdef __cplusplus
#define MM__CAST(T, e) static_cast<T>(e)
#else
#define MM__CAST(T, e) ((T)(e))
#endif

#if defined(MEMMGR_STATIC) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ============================================================================
   >>base   Version, statuses, log, assertions
   ============================================================================ */

#define MM_VERSION_MAJOR 0
#define MM_VERSION_MINOR 1
#define MM_VERSION_PATCH 0
#define MM_VERSION                                                                     \
    (MM_VERSION_MAJOR * 10000 + MM_VERSION_MINOR * 100 + MM_VERSION_PATCH)
#define MM_VERSION_TEXT "0.1.0"

/*  mm_version - the version compiled into the implementation, as MM_VERSION.

    Differs from MM_VERSION only in a program built from two copies. Cost: none.
*/
MM_API int mm_version(void);

/* Every status: its name, its text, and CPython's exception in the comment. */
#define MM_STATUSES(X)                                                              \
    X(MM_OK, "success")                                                             \
    X(MM_ERR_NOMEM, "out of memory")                        /* MemoryError   */     \
    X(MM_ERR_LIMIT, "the heap's max_bytes is reached")      /* MemoryError   */     \
    X(MM_ERR_VALUE, "an argument has a value out of range") /* ValueError    */     \
    X(MM_ERR_TYPE, "an argument has the wrong type")        /* TypeError     */     \
    X(MM_ERR_INDEX, "an index is out of range")             /* IndexError    */     \
    X(MM_ERR_KEY, "a key is not present")                   /* KeyError      */     \
    X(MM_ERR_BUFFER, "a buffer cannot be used that way")    /* BufferError   */     \
    X(MM_ERR_OVERFLOW, "a size or number is too large")     /* OverflowError */     \
    X(MM_ERR_STATE, "the call is not possible in this state") /* RuntimeError */

#define MM__STATUS_ENUM(name, text) name,
typedef enum mm_status { MM_STATUSES(MM__STATUS_ENUM) MM_STATUS_COUNT } mm_status;
#undef MM__STATUS_ENUM

/*  mm_status_text - the English text of a status; never NULL. */
MM_API const char *mm_status_text(mm_status status);

typedef struct mm_heap mm_heap; /* opaque; its visible fields are private */
typedef struct mm_type mm_type;

/*  mm_last_status - the status of the last call on this heap that failed.

    Like errno it is not reset by success. MM_OK if nothing failed so far.
    heap NULL: the last failure in this thread of a call that had no heap.
*/
MM_API mm_status mm_last_status(const mm_heap *heap);

/*  mm_last_message - one line that names the values behind mm_last_status.

    Borrowed; valid until the next failure on this heap. Never NULL.
*/
MM_API const char *mm_last_message(const mm_heap *heap);

/*  mm_clear_status - forget the last failure (mm_last_status is MM_OK again). */
MM_API void mm_clear_status(mm_heap *heap);

typedef enum mm_log_level { MM_LOG_INFO, MM_LOG_WARNING, MM_LOG_BUG } mm_log_level;

/* A log hook. message is one line without a newline, valid during the call. The
   hook must not call back into the heap, except for the statistics. */
typedef void (*mm_log_fn)(mm_log_level level, const char *message, void *user);

/* What MM_ASSERT's default does: logs file:line and message through the default
   log (stderr) as MM_LOG_BUG, and aborts unless compiled with NDEBUG. */
MM_API void mm_assert_failed(const char *file, int line, const char *message);

#ifndef MM_ASSERT
#define MM_ASSERT(condition, message)                                               \
    ((condition) ? (void)0 : mm_assert_failed(__FILE__, __LINE__, (message)))
#endif

/* ============================================================================
   >>heap   Heaps: create, destroy, statistics, walk, check

   A heap is an isolated world: its objects, its limits, its collector. Heaps
   share nothing but the type registry. One thread at a time uses a heap.
   ============================================================================ */

typedef enum mm_huge_pages { MM_HUGE_AUTO, MM_HUGE_OFF, MM_HUGE_ON } mm_huge_pages;

/* One line of the leak report: a type, and how many of its objects were still
   held from outside when the heap was destroyed. type_name is "raw memory" for
   blocks of mm_alloc that were not freed. */
typedef struct mm_leak {
    const char *type_name;
    size_t      objects;   /* objects (or blocks) still allocated              */
    size_t      bytes;     /* their blocks                                     */
    size_t      held;      /* of those, held by references from outside        */
    uint64_t    refs;      /* how many outside references that are             */
    const void *example;   /* one of them, held if any is                      */
} mm_leak;

/* How to create a heap. Zero means the default for every field; in C++ write
   `mm_heap_desc desc = {};`. */
typedef struct mm_heap_desc {
    /* OS memory. map returns size bytes (a multiple of the page size) aligned to
       align (a power of two), zeroed, or NULL; unmap gets exactly what map
       returned. Both or neither. Default: mmap or VirtualAlloc.               */
    void *(*map)(size_t size, size_t align, void *user);
    void (*unmap)(void *memory, size_t size, void *user);

    /* Memory of the caller's instead of a hook: the heap lives inside it and
       asks nobody else. It must hold at least one aligned arena and the heap
       itself; else mm_heap_create fails and says how many bytes it needs. Two
       arenas are wanted by a program with both plain memory and tracked objects. */
    void  *buffer;
    size_t buffer_size;

    size_t max_bytes;           /* hard cap on memory from the OS (0: none)      */
    mm_log_fn log;              /* (NULL: bugs to stderr, the rest nowhere)      */
    void (*leak)(const mm_leak *leak, void *user); /* at destroy, one per type   */
    void *user;                 /* passed to the four hooks above                */

    int      gc_threshold[3];   /* (700, 10, 10); see mm_gc_set_threshold        */
    uint32_t gc_pause_us;       /* aim for slices of old collections (100);
                                   MM_GC_UNSLICED: no slices, as CPython         */
    bool     gc_disable;        /* start with automatic collection off           */
    bool     gc_stress;         /* collect before every new tracked object       */

    mm_huge_pages huge_pages;   /* (MM_HUGE_AUTO: once 3 MiB are in use; for
                                   objects with references, 12)                  */
    uint64_t hash_seed;         /* of interning and strings (0: random)          */

    /* What is checked at run time. 0: nothing that costs; 1: every free and
       decref is checked at once (foreign pointer, double free); 2: also red
       zones, fill patterns and a quarantine; 3: every block on a page of its
       own, followed by an inaccessible one.                                    */
    int    debug;
    size_t quarantine_bytes;    /* debug >= 2: freed bytes held back (1 MiB)     */
} mm_heap_desc;

#define MM_GC_UNSLICED UINT32_MAX

/* Fill patterns of debug level 2 (CPython's obmalloc uses CD, DD and FD). */
#define MM_FILL_FRESH 0xCD
#define MM_FILL_FREED 0xDD
#define MM_FILL_ZONE 0xFD

/*  mm_heap_create - a new, empty heap, or NULL (mm_last_status(NULL) says why).

    desc is copied; NULL means all defaults. Cost: a mapping of some 100 KiB; the
    first arena comes with the first allocation.
*/
#define mm_heap_create(desc) mm__heap_create((desc), MM__CONFIG)

/*  mm_heap_destroy - end a heap; returns how many objects were still held.

    Runs the finalize callbacks (newest first), a last collection with finalizers,
    then reports what is still held from outside (leak hook, else the log), runs
    the disposers of everything left, and returns all memory. Weak references
    are dead before the first disposer. heap NULL: returns 0.
    The semantics of interpreter exit: CPython's finalize_modules.
*/
MM_API size_t mm_heap_destroy(mm_heap *heap);

/*  mm_heap_purge - give all empty memory back to the OS; returns the bytes.

    Flushes the caches, returns empty arenas and the pages of empty pools. Never
    allocates. Cost: proportional to the number of pools. Runs no user code.
*/
MM_API size_t mm_heap_purge(mm_heap *heap);

/*  mm_heap_of - the heap that owns a block or object of this library.

    p must come from a heap. Borrowed. Cost: one mask and one load.
*/
MM__INLINE mm_heap *mm_heap_of(const void *p);

/*  mm_heap_owns - whether p points into a live block of this heap.

    Any pointer is allowed; a pointer to the middle of a block counts too.
*/
MM_API bool mm_heap_owns(mm_heap *heap, const void *p);

typedef enum mm_block_kind {
    MM_BLOCK_RAW,     /* from mm_alloc and the rooms built on it     */
    MM_BLOCK_LEAF,    /* an object that can hold no references       */
    MM_BLOCK_TRACKED  /* an object that the collector looks at       */
} mm_block_kind;

/* One block, as mm_heap_walk shows it. */
typedef struct mm_block {
    void          *address;    /* what mm_alloc or mm_new returned               */
    size_t         size;       /* usable bytes at address                        */
    mm_block_kind  kind;
    const mm_type *type;       /* of an object; NULL for raw memory              */
    int64_t        refcount;   /* of an object; 0 for raw memory                 */
    int            generation; /* 0..2, 3 frozen, -1 not tracked                 */
    bool           huge;       /* has a mapping of its own                       */
} mm_block;

/*  mm_heap_walk - call visit for every live block, raw, object and huge.

    visit returns false to stop; it may free the block it is shown, and no
    other, and must not allocate. Returns whether the walk was completed.
    Address order within an arena. Never allocates.
*/
MM_API bool mm_heap_walk(mm_heap *heap,
                         bool (*visit)(const mm_block *block, void *user), void *user);

/* Totals. All are kept up to date without being counted in the fast path: they
   are derived from the pools when asked for, at a cost of the class count. */
typedef struct mm_heap_stats {
    size_t live_blocks;    /* allocated and not freed                            */
    size_t live_bytes;     /* their sizes, rounded up to the class               */
    size_t peak_bytes;     /* largest live_bytes seen (to within the caches)     */
    size_t cached_blocks;  /* free, at hand for the next allocation              */
    size_t used_bytes;     /* pools and runs in use                              */
    size_t reserved_bytes; /* obtained from the OS and not given back            */
    size_t reserved_peak;
    size_t arenas, pools, huge_blocks;
    double fragmentation;  /* 1 - live_bytes / used_bytes; 0 when empty          */
    size_t objects;        /* live objects, leaf and tracked                     */
    size_t tracked;        /* live objects that the collector looks at           */
} mm_heap_stats;

/*  mm_heap_get_stats - fill in the totals. Never allocates. */
MM_API void mm_heap_get_stats(mm_heap *heap, mm_heap_stats *out);

typedef struct mm_class_stats {
    size_t block_size;     /* 0: runs and huge blocks together                   */
    mm_block_kind kind;
    size_t live_blocks, peak_blocks, cached_blocks, pools;
} mm_class_stats;

/*  mm_heap_get_class_stats - the totals of the i-th size class.

    Returns false when i is past the last one, so that a loop needs no count.
*/
MM_API bool mm_heap_get_class_stats(mm_heap *heap, size_t i, mm_class_stats *out);

typedef struct mm_type_stats {
    const mm_type *type;
    size_t objects, bytes;
} mm_type_stats;

/*  mm_heap_get_type_stats - live objects and bytes by type, largest first.

    Fills at most capacity entries of out and returns how many types have live
    objects; returns SIZE_MAX when out of memory. Cost: one walk of the heap.
*/
MM_API size_t mm_heap_get_type_stats(mm_heap *heap, mm_type_stats *out,
                                     size_t capacity);

/*  mm_heap_check - verify every invariant of every room; true if all hold.

    Logs each violation as MM_LOG_BUG with the address concerned. Never
    allocates. Cost: a walk of the heap and of all its tables.
*/
MM_API bool mm_heap_check(mm_heap *heap);

/*  mm_process_memory - resident and virtual bytes of this process.

    Returns false, and zeros, where the system does not say.
*/
MM_API bool mm_process_memory(size_t *resident, size_t *virtual_size);

/* ============================================================================
   >>raw   Raw memory

   malloc's contract with a heap in front. Blocks are 16-byte aligned. User code
   (finalizers, disposers) runs in here in two cases only: what a large mm_decref left
   is freed bit by bit, and running out of memory triggers one emergency collection.
   ============================================================================ */

/*  mm_alloc - size bytes, uninitialised; NULL with MM_ERR_NOMEM or MM_ERR_LIMIT.

    size 0 gives a distinct, non-NULL block (PyMem_Malloc). The caller owns the
    block. Cost: a handful of instructions up to 512 bytes.
*/
MM__INLINE void *mm_alloc(mm_heap *heap, size_t size);

/*  mm_calloc - count * size bytes, zeroed; MM_ERR_OVERFLOW if the product is. */
MM_API void *mm_calloc(mm_heap *heap, size_t count, size_t size);

/*  mm_realloc - the block with a new size; its content is kept up to the smaller.

    p NULL allocates. Stays in place within its class, above 512 bytes also when it
    shrinks to no less than half; runs grow into free neighbours, huge blocks by
    mremap. (Smaller ones move, so that mm_free_sized finds their class.) On
    failure returns NULL and p is untouched. size 0 gives a block of size 0.
*/
MM_API void *mm_realloc(mm_heap *heap, void *p, size_t size);

/*  mm_free - give a block back. NULL is fine. Never fails, never allocates. */
MM__INLINE void mm_free(mm_heap *heap, void *p);

/*  mm_free_sized - mm_free, told the size that was asked for: saves a lookup.

    size must be the one given to mm_alloc, mm_calloc or the last mm_realloc.
*/
MM__INLINE void mm_free_sized(mm_heap *heap, void *p, size_t size);

/*  mm_alloc_aligned - mm_alloc with an alignment, a power of two up to a quarter of an
    arena: 1 MiB, or 64 KiB with MEMMGR_SMALL.

    Freed with mm_free (not mm_free_sized); not for mm_realloc, which keeps
    only 16. MM_ERR_VALUE for another alignment.
*/
MM_API void *mm_alloc_aligned(mm_heap *heap, size_t size, size_t alignment);

/*  mm_usable_size - bytes that may be used at p: at least what was asked for. */
MM_API size_t mm_usable_size(const void *p);

/* ============================================================================
   >>region   Bump allocation with mark and rewind

   Memory for things that die together. Allocation is a pointer increment; single
   blocks are not freed. A region takes chunks from its heap, or uses the
   caller's buffer first. The struct itself belongs to the caller.
   ============================================================================ */

typedef struct mm__chunk mm__chunk;

typedef struct mm_region { /* the fields are private, but for `zero` */
    char      *cursor, *limit;
    mm_heap   *heap;
    mm__chunk *chunk;
    char      *buffer;
    size_t     buffer_size, used_before, high_water;
    bool       zero;       /* set it to have every allocation zeroed */
} mm_region;

typedef struct mm_region_mark {
    mm__chunk *chunk;
    char      *cursor;
} mm_region_mark;

/*  mm_region_init - an empty region over a heap; allocates nothing yet. */
MM_API void mm_region_init(mm_region *region, mm_heap *heap);

/*  mm_region_init_buffer - a region that uses buffer first.

    heap may be NULL: then the buffer is all there is. The buffer stays the
    caller's and must outlive the region.
*/
MM_API void mm_region_init_buffer(mm_region *region, mm_heap *heap, void *buffer,
                                  size_t size);

/*  mm_region_alloc - size bytes, 16-byte aligned; NULL when out of memory.

    Cost: three instructions until a chunk is full. size 0 is fine.
*/
MM__INLINE void *mm_region_alloc(mm_region *region, size_t size);

/*  mm_region_array - room for count items of T; NULL on overflow too. */
#define mm_region_array(region, T, count)                                           \
    MM__CAST(T *, mm__region_array((region), (count), sizeof(T)))

/*  mm_region_grow - resize the newest block in place, or copy to a new one.

    p NULL allocates. old_size is what was asked for before. NULL: p is kept.
*/
MM_API void *mm_region_grow(mm_region *region, void *p, size_t old_size, size_t size);

/*  mm_region_strdup, mm_region_printf - a copied or formatted C string. */
MM_API char *mm_region_strdup(mm_region *region, const char *text);
MM_API char *mm_region_printf(mm_region *region, const char *format, ...)
    MM__PRINTF(2, 3);

/*  mm_region_mark_here / mm_region_rewind - free all that came after a mark.

    Marks nest; rewinding to an older one makes the newer ones invalid.
*/
MM_API mm_region_mark mm_region_mark_here(const mm_region *region);
MM_API void           mm_region_rewind(mm_region *region, mm_region_mark mark);

/*  mm_region_reset - free everything but keep the largest chunk for reuse. */
MM_API void mm_region_reset(mm_region *region);

/*  mm_region_free - free everything; the region may be used again. */
MM_API void mm_region_free(mm_region *region);

/*  mm_region_used, mm_region_high_water - bytes handed out, padding included: now,
    and the most there ever were. */
MM_API size_t mm_region_used(const mm_region *region);
MM_API size_t mm_region_high_water(const mm_region *region);

/* ============================================================================
   >>type   Types: which fields of a struct are references

   A type is described once, beside the struct, which needs no change:

       MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, prev))

   For a struct used by several files put MM_TYPE_DECLARE(Node); in the header and
   MM_TYPE_DEFINE(Node, ...) in one .c file. A type without references is
   MM_TYPE_LEAF(Text): the collector never sees it. mm_typeof(Node) is the
   descriptor; set its hooks before the first object is made.
   ============================================================================ */

/* What a slot is; made by MM_REF and its kin. */
typedef enum mm_slot_kind {
    MM_SLOT_ONE,    /* T *f                                                      */
    MM_SLOT_FIXED,  /* T *f[N]: N references                                     */
    MM_SLOT_TAIL,   /* T *f[]:  as many as the field `count` says                */
    MM_SLOT_VECTOR  /* T **f:   a block of mm_alloc with `count` references; it
                       belongs to the object and is freed with it               */
} mm_slot_kind;

typedef struct mm_slot {
    uint32_t     offset;
    uint32_t     count;      /* FIXED: how many; TAIL, VECTOR: offset of `count`  */
    uint16_t     count_size; /* TAIL, VECTOR: sizeof the field `count`            */
    uint16_t     kind;       /* mm_slot_kind                                     */
    const char  *name;
    const mm_type *type;     /* of the objects it may hold; NULL: any            */
} mm_slot;

/* Called for each reference an object owns, by a `traverse` hook. */
typedef void (*mm_visit_fn)(void *object, void *context);

enum {
    MM_TYPE_ACYCLIC = 1,    /* promise: its references lead only to leaf or acyclic
                               objects; never a candidate of the collector       */
    MM_TYPE_NO_WEAK = 2,    /* may not be weakly referenced                      */
    MM_TYPE_PROMPT = 4,     /* freed ahead of others when freeing is spread out  */
    MM_TYPE_IS_LEAF = 8     /* no slots, no traverse (set by MM_TYPE_LEAF)       */
};

struct mm_type {
    const char    *name;
    size_t         size;       /* sizeof the struct                              */
    const mm_slot *slots;
    uint32_t       slot_count;
    uint32_t       flags;      /* MM_TYPE_...                                    */
    mm_type       *base;       /* its struct is the first member; slots inherited */

    /* Hooks; NULL: none. Set them before the first object of the type.          */

    /* Runs once, before the object dies; the object is intact and may be brought
       back by storing a new reference to it (PEP 442, tp_finalize). A false
       return reports a failure to the finalizer-error hook; nothing else changes. */
    bool (*finalize)(void *object);
    /* The last act before the memory goes: close the file, free the C memory. The
       slots are NULL by then. Must not touch other objects' memory (tp_dealloc). */
    void (*dispose)(void *object);
    /* For shapes that slots cannot describe: call visit(reference, context) for
       each non-NULL reference owned (tp_traverse), and drop them all with mm_clear
       (tp_clear). Both or neither; used in addition to the slots.               */
    void (*traverse)(void *object, mm_visit_fn visit, void *context);
    void (*clear)(void *object);
    /* Values: weak references compare and hash by them; containers will.        */
    bool (*equal)(const void *a, const void *b);
    uint64_t (*hash)(const void *object);
    size_t (*repr)(const void *object, char *buffer, size_t size);

    struct {                   /* private; filled in on first use                */
        uint64_t  header;
        uint16_t  cache, id, tracked, simple;
        uint32_t  ref_count;
        uint32_t *ref_offsets;
        mm_slot  *all_slots;
        uint32_t  all_count;
    } mm__;
};

#define MM_REF(T, f)                                                                \
    { MM__OFFSET(T, f), 0, 0, MM_SLOT_ONE, #f, NULL }
#define MM_REF_FIXED(T, f)                                                          \
    { MM__OFFSET(T, f), (uint32_t)(sizeof(((T *)0)->f) / sizeof(void *)), 0,        \
      MM_SLOT_FIXED, #f, NULL }
#define MM_REF_ARRAY(T, f, count)                                                   \
    { MM__OFFSET(T, f), MM__OFFSET(T, count), (uint16_t)sizeof(((T *)0)->count),    \
      MM_SLOT_TAIL, #f, NULL }
#define MM_REF_VECTOR(T, f, count)                                                  \
    { MM__OFFSET(T, f), MM__OFFSET(T, count), (uint16_t)sizeof(((T *)0)->count),    \
      MM_SLOT_VECTOR, #f, NULL }
/* MM_REF whose target type is checked by the audit: MM_REF_TO(Node, text, Text) */
#define MM_REF_TO(T, f, Target)                                                     \
    { MM__OFFSET(T, f), 0, 0, MM_SLOT_ONE, #f, mm_typeof(Target) }
#define MM__OFFSET(T, f) ((uint32_t)offsetof(T, f))

#define mm_typeof(T) (&mm_type_of_##T)

#define MM__TYPE(linkage, T, flags, base, ...)                                      \
    static const mm_slot mm__slots_of_##T[] = {__VA_ARGS__};                        \
    linkage mm_type mm_type_of_##T = {                                              \
        #T, sizeof(T), mm__slots_of_##T,                                            \
        (uint32_t)(sizeof mm__slots_of_##T / sizeof(mm_slot)), (flags), (base),     \
        NULL, NULL, NULL, NULL, NULL, NULL, NULL,                                   \
        {0, 0, 0, 0, 0, 0, NULL, NULL, 0}};

#define MM__TYPE_NONE(linkage, T, flags, base)                                      \
    linkage mm_type mm_type_of_##T = {                                              \
        #T, sizeof(T), NULL, 0, (flags), (base),                                    \
        NULL, NULL, NULL, NULL, NULL, NULL, NULL,                                   \
        {0, 0, 0, 0, 0, 0, NULL, NULL, 0}};

#define MM_TYPE(T, ...) MM__TYPE(static MM__UNUSED, T, 0, NULL, __VA_ARGS__)
#define MM_TYPE_FLAGS(T, flags, ...)                                                   \
    MM__TYPE(static MM__UNUSED, T, flags, NULL, __VA_ARGS__)
#define MM_TYPE_LEAF(T) MM__TYPE_NONE(static MM__UNUSED, T, MM_TYPE_IS_LEAF, NULL)
/* A type with a traverse hook and no slots. */
#define MM_TYPE_OPAQUE(T) MM__TYPE_NONE(static MM__UNUSED, T, 0, NULL)
/* A struct whose first member is a Base: MM_TYPE_DERIVED(Circle, Shape, MM_REF(...)) */
#define MM_TYPE_DERIVED(T, Base, ...)                                               \
    MM__TYPE(static MM__UNUSED, T, 0, mm_typeof(Base), __VA_ARGS__)
#define MM_TYPE_DERIVED_LEAF(T, Base)                                               \
    MM__TYPE_NONE(static MM__UNUSED, T, 0, mm_typeof(Base))
#define MM_TYPE_DECLARE(T) MM__EXTERN_DATA mm_type mm_type_of_##T
#define MM_TYPE_DEFINE(T, ...) MM__TYPE(MM__DEFINE_DATA, T, 0, NULL, __VA_ARGS__)
#define MM_TYPE_DEFINE_LEAF(T) MM__TYPE_NONE(MM__DEFINE_DATA, T, MM_TYPE_IS_LEAF, NULL)
#define MM__EXTERN_DATA extern
#define MM__DEFINE_DATA

/*  mm_type_register - check and register a type now instead of on first use.

    Returns the status: MM_ERR_VALUE for a slot outside the struct, misaligned or
    described twice, a hook without its partner, or a size of 0 or above 2 GiB;
    MM_ERR_LIMIT after 65,535 types; MM_ERR_NOMEM. The message goes to heap,
    which may be NULL. Process-wide and thread-safe.
*/
MM_API mm_status mm_type_register(mm_heap *heap, mm_type *type);

/*  mm_type_of - the type of an object. Borrowed. */
MM_API mm_type *mm_type_of(const void *object);

/*  mm_type_name - the name of an object's type; "NULL" for NULL. */
MM_API const char *mm_type_name(const void *object);

/*  mm_is - whether object is a T or derives from it; false for NULL. */
#define mm_is(object, T) mm__is((object), mm_typeof(T))

/* ============================================================================
   >>object   Objects: new, counts, slots, scopes

   The header stands in the 8 bytes before the object. Its fields are private;
   they are here because the calls below are inline.
   ============================================================================ */

typedef struct mm_header {
    uint32_t rc;    /* as int32, sign bit: immortal; else see mm__count          */
    uint16_t type;  /* index in the type registry                                */
    uint8_t  flags;
    uint8_t  gc;
} mm_header;

/*  mm_new - a new object, zeroed, count 1; NULL when out of memory.

    New reference. May run an automatic collection first, and with it finalizers
    and callbacks (PyObject_GC_New + PyObject_GC_Track). Cost: an allocation.
*/
#define mm_new(heap, T) MM__CAST(T *, mm__new((heap), mm_typeof(T), sizeof(T)))

/*  mm_new_extra - mm_new with bytes more at its end, zeroed: a flexible tail. */
#define mm_new_extra(heap, T, bytes)                                                \
    MM__CAST(T *, mm_new_of_type((heap), mm_typeof(T), (bytes)))

/*  mm_new_of_type - mm_new_extra for a type known only at run time. */
MM_API void *mm_new_of_type(mm_heap *heap, mm_type *type, size_t extra);

/*  mm_incref, mm_decref - take and drop a reference. NULL is fine.

    mm_decref of the last reference finalizes the object, kills its weak references,
    drops its slots and frees it, without recursion: of a large structure a
    bounded part at once, the rest during later allocations (Py_DECREF).
*/
MM__INLINE void mm_incref(const void *object);
MM__INLINE void mm_decref(const void *object);

/*  mm_newref - mm_incref that returns its argument, with its type kept. */
#if defined(__cplusplus)
#define mm_newref(object) mm__newref_of(object)
#elif defined(__GNUC__)
#define mm_newref(object) ((__typeof__(object))mm__newref(object))
#else
#define mm_newref(object) mm__newref(object)
#endif

/*  mm_set - store a reference in a slot: takes one to p, drops the old one.

    slot is the address of a pointer field, e.g. &a->next. p is borrowed and may be
    NULL or the old value (Py_XSETREF).
*/
MM__INLINE void mm_set(void *slot, const void *p);

/*  mm_set_steal - mm_set that takes over the caller's reference to p. */
MM__INLINE void mm_set_steal(void *slot, const void *p);

/*  mm_take - move the reference out of a slot, leaving NULL. New reference. */
#if defined(__GNUC__) && !defined(__cplusplus)
#define mm_take(slot) ((__typeof__(*(slot)))mm__take(slot))
#elif defined(__cplusplus)
#define mm_take(slot) mm__take_of(slot)
#else
#define mm_take(slot) mm__take(slot)
#endif

/*  mm_clear - drop the reference in a slot, leaving NULL first (Py_CLEAR). */
MM__INLINE void mm_clear(void *slot);

/*  mm_refcount - the count; INT64_MAX for an immortal object (sys.getrefcount,
    without the argument's own reference). */
MM_API int64_t mm_refcount(const void *object);

/*  mm_sizeof - bytes of memory of this object alone, its header included. */
MM_API size_t mm_sizeof(const void *object);

/*  mm_sizeof_deep - mm_sizeof of all that is reachable from it, each once.

    Returns SIZE_MAX when out of memory. Cost: proportional to what is reachable.
*/
MM_API size_t mm_sizeof_deep(const void *object);

/*  mm_immortalize - its count never changes again; freed only with the heap. */
MM_API void mm_immortalize(const void *object);

/*  MM_AUTO(T) *p = ... - a reference dropped at the end of the scope.
    MM_DEFER(fn, argument); - calls fn(argument) at the end of the scope.

    Python's `with`. gcc and clang only. fn takes a void pointer.
*/
#if defined(__GNUC__)
#define MM_AUTO(T) MM__CLEANUP(mm__auto_decref) T
#define MM_DEFER(fn, argument)                                                      \
    MM__CLEANUP(mm__auto_call)                                                      \
    mm__deferred MM__PASTE(mm__defer_, __LINE__) = {(fn), (argument)}
#define MM__PASTE(a, b) MM__PASTE2(a, b)
#define MM__PASTE2(a, b) a##b
#endif

/* ============================================================================
   >>gc   The cycle collector

   Finds objects that only garbage refers to. An object is held from outside if its
   count exceeds the references to it from other objects. Semantics: CPython
   3.13's gc module. Automatic collections run inside mm_new: young ones whole, old
   ones in slices of gc_pause_us. With slices, young objects are looked at only if
   enough of them lost a reference and lived on; old objects that did are soon put on
   trial with what they lead to, in slices as well (generation 1 in the statistics),
   so that garbage among many live objects costs what it is, not what they are.
   ============================================================================ */

/*  mm_gc_collect - collect generation 0, 1 or 2 and the younger ones, at once.

    Returns the objects found unreachable and not resurrected, as gc.collect()
    counts them. Returns 0 inside a collection, and 0 with MM_ERR_VALUE for another
    generation. Runs weak callbacks, finalizers and disposers. Cost: for 0 and 1
    proportional to the young objects; for 2 to all objects, or to the young if no
    old object is new, lost a reference or was moved since the last whole collection.
*/
MM_API size_t mm_gc_collect(mm_heap *heap, int generation);

/*  mm_gc_step - do a slice of an old collection, starting one if there is reason.

    budget_us 0 means the heap's gc_pause_us. Also frees what a large mm_decref left.
    Returns true while there is more to do now.
*/
MM_API bool mm_gc_step(mm_heap *heap, uint32_t budget_us);

/*  mm_gc_enable, mm_gc_disable, mm_gc_is_enabled - automatic collection. */
MM_API void mm_gc_enable(mm_heap *heap);
MM_API void mm_gc_disable(mm_heap *heap);
MM_API bool mm_gc_is_enabled(const mm_heap *heap);

/*  mm_gc_set_threshold, mm_gc_get_threshold - when automatic collections run.

    Generation 0: when allocations minus deallocations exceed t0 (0: never);
    1: when t1 collections of 0 have passed (2, if that is fewer, where old ones run in
    slices); 2: when t2 of 1 have, and a quarter of the old objects is new (in slices
    40 %, or as many as there were if none of them lost a reference). A negative value
    leaves that one as it is.
*/
MM_API void mm_gc_set_threshold(mm_heap *heap, int t0, int t1, int t2);
MM_API void mm_gc_get_threshold(const mm_heap *heap, int out[3]);

/*  mm_gc_get_count - the three counters (gc.get_count). */
MM_API void mm_gc_get_count(const mm_heap *heap, int out[3]);

#define MM_PAUSE_BUCKETS 24 /* bucket i: pauses of 2^i .. 2^(i+1) - 1 us; 0: below 2 */

typedef struct mm_gc_generation_stats {
    uint64_t collections;   /* finished                                          */
    uint64_t collected;     /* objects                                           */
    uint64_t uncollectable; /* objects whose clear left them alive               */
    uint64_t slices;        /* pauses: of young collections, and slices          */
    uint64_t pause_ns_total, pause_ns_max;
    uint64_t pauses[MM_PAUSE_BUCKETS];
} mm_gc_generation_stats;

typedef struct mm_gc_stats {
    mm_gc_generation_stats generation[3];
    uint64_t visits;         /* objects looked at so far                         */
    uint64_t visits_slice_max; /* most in one slice                              */
    size_t   tracked[3];     /* objects in each generation now                   */
    size_t   frozen;
    size_t   suspects;       /* old objects that lost a reference, not looked at yet */
    size_t   pending_free;   /* dead objects whose memory is still to be freed   */
    int      phase;          /* of the collection in slices under way; 0: none   */
} mm_gc_stats;

/*  mm_gc_get_stats - gc.get_stats and more. Never allocates.

    tracked and frozen are counted from the bit tables: a walk of all tracked pools,
    not of objects; they are 0 when called from inside a collection.
*/
MM_API void mm_gc_get_stats(mm_heap *heap, mm_gc_stats *out);

/*  mm_gc_freeze, mm_gc_unfreeze, mm_gc_get_freeze_count - a permanent generation.

    freeze moves all tracked objects where no collection looks (for use before
    fork); unfreeze moves them to the oldest generation.
*/
MM_API void   mm_gc_freeze(mm_heap *heap);
MM_API void   mm_gc_unfreeze(mm_heap *heap);
MM_API size_t mm_gc_get_freeze_count(const mm_heap *heap);

/*  mm_gc_is_tracked - whether the collector looks at this object. */
MM_API bool mm_gc_is_tracked(const void *object);
/*  mm_gc_is_finalized - whether its finalizer has run. */
MM_API bool mm_gc_is_finalized(const void *object);
/*  mm_gc_generation_of - 0..2, 3 if frozen, -1 if not tracked. */
MM_API int mm_gc_generation_of(const void *object);

/*  mm_gc_get_objects - visit the tracked objects of a generation, -1: of all.

    visit gets borrowed references and returns false to stop; it must not allocate
    or drop the last reference to an object. Returns how many were visited, or
    SIZE_MAX with MM_ERR_VALUE for another generation. Frozen ones are left out.
*/
MM_API size_t mm_gc_get_objects(mm_heap *heap, int generation,
                                bool (*visit)(void *object, void *user), void *user);

/*  mm_gc_get_referrers - visit the tracked objects that refer to object.
    mm_gc_get_referents - visit what object refers to, duplicates kept.

    As mm_gc_get_objects. Cost of referrers: a walk of all tracked objects.
*/
MM_API size_t mm_gc_get_referrers(void *object,
                                  bool (*visit)(void *referrer, void *user),
                                  void *user);
MM_API size_t mm_gc_get_referents(void *object,
                                  bool (*visit)(void *referent, void *user),
                                  void *user);

typedef struct mm_gc_info {
    bool   stop;          /* false: a collection starts; true: it has ended      */
    int    generation;
    size_t collected;     /* 0 at the start                                      */
    size_t uncollectable;
} mm_gc_info;

typedef void (*mm_gc_callback_fn)(mm_heap *heap, const mm_gc_info *info, void *user);

/*  mm_gc_add_callback, mm_gc_remove_callback - told of every collection.

    add returns MM_OK or MM_ERR_NOMEM; remove MM_ERR_KEY if the pair is not there.
*/
MM_API mm_status mm_gc_add_callback(mm_heap *heap, mm_gc_callback_fn fn, void *user);
MM_API mm_status mm_gc_remove_callback(mm_heap *heap, mm_gc_callback_fn fn, void *user);

enum {
    MM_GC_DEBUG_STATS = 1,          /* log each collection                       */
    MM_GC_DEBUG_COLLECTABLE = 2,    /* log each object found                     */
    MM_GC_DEBUG_UNCOLLECTABLE = 4,  /* log each object that could not be freed   */
    MM_GC_DEBUG_SAVEALL = 32,       /* keep what is found, in mm_gc_garbage      */
    MM_GC_DEBUG_LEAK = 38
};
/*  mm_gc_set_debug, mm_gc_get_debug - MM_GC_DEBUG_ flags (gc.set_debug). */
MM_API void mm_gc_set_debug(mm_heap *heap, int flags);
MM_API int  mm_gc_get_debug(const mm_heap *heap);

/*  mm_gc_garbage - the objects that SAVEALL kept; returns their number.

    *out gets a borrowed array, valid until the next collection.
    mm_gc_clear_garbage drops them all.
*/
MM_API size_t mm_gc_garbage(mm_heap *heap, void *const **out);
MM_API void   mm_gc_clear_garbage(mm_heap *heap);

/*  mm_gc_set_error_hook - called when a finalizer or callback reports failure.

    object is borrowed and intact; what says which hook failed
    (sys.unraisablehook). NULL: the log, as a warning.
*/
typedef void (*mm_gc_error_fn)(mm_heap *heap, void *object, const char *what,
                               void *user);
MM_API void mm_gc_set_error_hook(mm_heap *heap, mm_gc_error_fn fn, void *user);

/* ============================================================================
   >>weak   Weak references, handles, finalize callbacks

   Three ways to know an object without keeping it alive. A weak reference is an
   object; a handle is a number; a finalize callback is called when the object
   dies. An object that has none of them pays nothing.
   ============================================================================ */

typedef struct mm_weakref mm_weakref; /* an object: mm_incref, mm_decref */

/* Called once after the target died, with the dead reference (borrowed). false
   reports a failure to the error hook. May do anything, also drop ref. */
typedef bool (*mm_weak_fn)(mm_weakref *ref, void *user);

/*  mm_weakref_new - a weak reference to an object. New reference.

    Without a callback the target's existing callback-less reference is returned
    again. NULL with MM_ERR_VALUE (target NULL), MM_ERR_TYPE (its type opts out) or
    MM_ERR_NOMEM; may collect. Callbacks run newest first, after all references
    to the target are dead; dropping the weak reference first cancels it. user
    belongs to the caller (PyWeakref_NewRef).
*/
MM_API mm_weakref *mm_weakref_new(void *target, mm_weak_fn callback, void *user);

/*  mm_weakref_new_owning - the same with an object as user: the weak reference owns
    a reference to it, and the collector sees it. */
MM_API mm_weakref *mm_weakref_new_owning(void *target, mm_weak_fn callback, void *user);

/*  mm_weakref_get - the target, or NULL once it is dead. New reference.

    Cost: a few instructions (PyWeakref_GetRef).
*/
MM__INLINE void *mm_weakref_get(const mm_weakref *ref);

/*  mm_weakref_is_dead - whether the target is gone; no reference is taken. */
MM_API bool mm_weakref_is_dead(const mm_weakref *ref);

/*  mm_weakref_count - weak references to an object now (weakref.getweakrefcount). */
MM_API size_t mm_weakref_count(const void *object);

/*  mm_weakref_list - the i-th of them: the shared one, then newest to oldest.

    Borrowed; NULL past the end (weakref.getweakrefs).
*/
MM_API mm_weakref *mm_weakref_list(const void *object, size_t i);

/*  mm_weakref_callback, mm_weakref_user - what was given; NULL after death. */
MM_API mm_weak_fn mm_weakref_callback(const mm_weakref *ref);
MM_API void      *mm_weakref_user(const mm_weakref *ref);

/*  mm_weakref_equal - both alive: their targets are equal; else: the same object.
    mm_weakref_hash - the target's hash, remembered; false if it died unhashed. */
MM_API bool mm_weakref_equal(const mm_weakref *a, const mm_weakref *b);
MM_API bool mm_weakref_hash(mm_weakref *ref, uint64_t *out);

/*  mm_weakref_clear_all - kill all weak references to an object, silently.

    No callback runs; what references own is released. The object's handle and its
    finalize callbacks stay (PyObject_ClearWeakRefs, without the calls). NULL: nothing.
*/
MM_API void mm_weakref_clear_all(void *object);

/* A handle: a plain number that finds an object or finds it gone. 0 is never valid.
   Copy it, store it in files, send it. It never finds another object. */
typedef uint64_t mm_handle;

/*  mm_handle_of - the handle of an object, always the same one. 0 when out of
    memory, for NULL, or for a type that opts out. */
MM_API mm_handle mm_handle_of(void *object);

/*  mm_handle_get - the object, or NULL. New reference.
    mm_handle_borrow - the same, borrowed: good until the next call that may free.
    mm_handle_valid - whether it still finds one.

    Any value is allowed, also an invented one. Cost: an array load and a comparison;
    during an old collection in slices, a call.
*/
MM__INLINE void *mm_handle_get(const mm_heap *heap, mm_handle handle);
MM__INLINE void *mm_handle_borrow(const mm_heap *heap, mm_handle handle);
MM_API bool          mm_handle_valid(const mm_heap *heap, mm_handle handle);

/* A callback tied to the death of an object (weakref.finalize): an object, kept
   alive by the heap until it has run or is detached. */
typedef struct mm_finalizer mm_finalizer;
typedef void (*mm_finalize_fn)(void *user);

/*  mm_finalize - call fn(user) when p dies, or at mm_heap_destroy. New reference.

    Newest first. user belongs to the caller. NULL as mm_weakref_new. Callbacks
    of one object run before its weak callbacks only if registered later.
*/
MM_API mm_finalizer *mm_finalize(void *p, mm_finalize_fn fn, void *user);
MM_API bool mm_finalizer_alive(const mm_finalizer *f);
/*  mm_finalizer_call - run it now, if it is alive; returns whether it ran. */
MM_API bool mm_finalizer_call(mm_finalizer *f);
/*  mm_finalizer_detach - it will not run; returns whether it was alive. */
MM_API bool mm_finalizer_detach(mm_finalizer *f);
/*  mm_finalizer_peek - the object, new reference, or NULL if it is not alive. */
MM_API void *mm_finalizer_peek(const mm_finalizer *f);
/*  mm_finalizer_set_atexit - whether mm_heap_destroy runs it (default true). */
MM_API void mm_finalizer_set_atexit(mm_finalizer *f, bool atexit);

/* ============================================================================
   >>str   Immutable strings and interning
   ============================================================================ */

/* A string: an object of its own; length-counted and NUL-terminated; any bytes. */
typedef struct mm_str {
    uint64_t hash;      /* private: 0 until asked for                            */
    uint32_t length;    /* bytes, without the terminator                         */
    uint32_t interned;  /* private                                               */
    char     text[1];   /* length bytes and a NUL; goes on past the struct       */
} mm_str;

/*  mm_str_new - a string with a copy of length bytes of text. New reference.

    NULL with MM_ERR_NOMEM, or MM_ERR_OVERFLOW above 2 GiB. text may be NULL when
    length is 0, or to leave the bytes zero and fill them before sharing.
*/
MM_API mm_str *mm_str_new(mm_heap *heap, const char *text, size_t length);

/*  mm_str_format - a string made by printf. New reference. */
MM_API mm_str *mm_str_format(mm_heap *heap, const char *format, ...) MM__PRINTF(2, 3);

/*  mm_str_hash - its hash under the heap's seed, computed once. Never 0. */
MM_API uint64_t mm_str_hash(mm_str *s);

/*  mm_str_equal, mm_str_compare - by bytes; compare returns <0, 0 or >0. */
MM_API bool mm_str_equal(const mm_str *a, const mm_str *b);
MM_API int  mm_str_compare(const mm_str *a, const mm_str *b);

/*  mm_intern - the one string of this heap with this content. New reference.

    Equal contents give the same object while one of them lives; the table does not
    keep it alive (sys.intern). NULL as mm_str_new. Cost: a hash and a probe.
*/
MM_API mm_str *mm_intern(mm_heap *heap, const char *text, size_t length);

/*  mm_intern_find - the same if it exists already, else NULL. New reference. */
MM_API mm_str *mm_intern_find(mm_heap *heap, const char *text, size_t length);

/*  mm_intern_str - make s itself the interned one, or give the one there is.
    Steals s, returns a new reference; NULL when out of memory: s is kept. */
MM_API mm_str *mm_intern_str(mm_heap *heap, mm_str *s);

typedef struct mm_intern_stats {
    size_t   strings, bytes;       /* in the table now                            */
    uint64_t hits, misses;         /* of mm_intern                                */
    uint64_t saved_bytes;          /* content that hits did not store again       */
    size_t   table_bytes;
} mm_intern_stats;
MM_API void mm_intern_get_stats(const mm_heap *heap, mm_intern_stats *out);

/* ============================================================================
   >>bytes   Byte buffers, views and spans

   A span is two words and owns nothing. A view is an object that keeps the buffer
   it shows alive. First form: one dimension of bytes, read-only.
   ============================================================================ */

typedef struct mm_span { const char *ptr; size_t len; } mm_span;

/*  mm_span_of - the bytes of a C string. mm_span_slice - text[start:stop] in
    Python's sense: negative positions count from the end, and are clamped. */
MM_API mm_span mm_span_of(const char *text);
MM_API mm_span mm_span_slice(mm_span span, ptrdiff_t start, ptrdiff_t stop);
MM_API bool    mm_span_equal(mm_span a, mm_span b);
/*  mm_span_find - position of the first needle in span, or -1. */
MM_API ptrdiff_t mm_span_find(mm_span span, mm_span needle);

/* Immutable bytes with their length: an object. */
typedef struct mm_bytes {
    size_t length;
    char   data[1]; /* length bytes and a NUL; goes on past the struct */
} mm_bytes;

/*  mm_bytes_new - a copy of length bytes, or zeros if data is NULL, to be filled
    before the object is shared. New reference. */
MM_API mm_bytes *mm_bytes_new(mm_heap *heap, const void *data, size_t length);
MM_API mm_span   mm_bytes_span(const mm_bytes *bytes);

/* A view: a slice of a buffer that keeps the buffer alive (memoryview). */
typedef struct mm_view {
    void       *base;   /* the mm_bytes or mm_str it shows                        */
    const char *data;
    size_t      length;
} mm_view;

/*  mm_view_new - a view of an mm_bytes or mm_str. New reference; MM_ERR_TYPE for
    another type. */
MM_API mm_view *mm_view_new(void *exporter);

/*  mm_view_slice - view[start:stop] of it, over the same buffer. New reference. */
MM_API mm_view *mm_view_slice(const mm_view *view, ptrdiff_t start, ptrdiff_t stop);
MM_API mm_span  mm_view_span(const mm_view *view);
MM_API bool     mm_view_equal(const mm_view *a, const mm_view *b);

/* ============================================================================
   >>pool   Object pools

   Items that are made once and used again. Over plain memory: acquire and release.
   Over a managed type: acquire gives an object with count 1, and it comes back
   by itself when its count reaches zero.
   ============================================================================ */

typedef struct mm_pool mm_pool;

typedef struct mm_pool_desc {
    size_t   item_size;     /* plain items: bytes of one                          */
    mm_type *type;          /* or: a managed type                                */
    size_t   prefill;       /* items made at once                                */
    size_t   max;           /* items at most, in use and idle (0: no limit)      */
    size_t   max_idle;      /* idle items kept (0: 1024)                         */
    void (*reset)(void *item, void *user); /* on release, before it is idle      */
    void *user;
    bool zero;              /* plain items: zero them on acquire                 */
} mm_pool_desc;

typedef struct mm_pool_stats {
    size_t   in_use, idle;
    uint64_t hits, misses;  /* acquires served by an idle item, and not          */
    uint64_t refused;       /* acquires that failed because of max               */
} mm_pool_stats;

/*  mm_pool_create - a pool, or NULL (MM_ERR_VALUE: not exactly one of item_size
    and type; MM_ERR_NOMEM: also when the prefill cannot be made).
    mm_pool_destroy - end it: idle items go; items in use stay valid, plain ones
    are then freed with mm_free, objects by their count. */
MM_API mm_pool *mm_pool_create(mm_heap *heap, const mm_pool_desc *desc);
MM_API void     mm_pool_destroy(mm_pool *pool);

/*  mm_pool_acquire - an item; NULL with MM_ERR_LIMIT at max, or MM_ERR_NOMEM.

    Plain: its content is what the last user left, unless `zero` or `reset`.
    Managed: a new reference to a zeroed object with no weak references and a
    finalizer that has not run.
*/
MM__INLINE void *mm_pool_acquire(mm_pool *pool);

/*  mm_pool_release - give a plain item back (of a managed type: mm_decref).

    A double release or a foreign pointer is a caller's bug: found at once with
    debug >= 1, else when the heap next looks.
*/
MM__INLINE void mm_pool_release(mm_pool *pool, void *item);

/*  mm_pool_shrink - free idle items down to keep; returns how many went. */
MM_API size_t mm_pool_shrink(mm_pool *pool, size_t keep);
MM_API void   mm_pool_get_stats(const mm_pool *pool, mm_pool_stats *out);

/* ============================================================================
   >>diagnose   Who holds this, printable cycles, audit

   Reports are written through a callback, a piece at a time.
   ============================================================================ */

typedef void (*mm_write_fn)(void *user, const char *text, size_t length);

/*  mm_report_holders - the shortest chain of referrers from something held outside.

    Writes lines like `Scene 0x.. (held by 1 outside reference) .root -> Node 0x..`.
    Returns the length of the chain, 0 if object is garbage, SIZE_MAX when out of
    memory. Cost: a walk of the heap.
*/
MM_API size_t mm_report_holders(void *object, mm_write_fn write, void *user);

/*  mm_report_cycle - a shortest cycle through object, with types and fields.

    Returns its length, 0 if there is none, SIZE_MAX when out of memory.
*/
MM_API size_t mm_report_cycle(void *object, mm_write_fn write, void *user);

/*  mm_audit - check that every count is explained; returns the objects that fail.

    An object whose count is lower than the references to it will be freed while
    in use; a slot that holds a freed object, another heap's, or one of the wrong
    type is a wrong description or a bug. Each is written with type, address and
    slot. SIZE_MAX when out of memory.
*/
MM_API size_t mm_audit(mm_heap *heap, mm_write_fn write, void *user);

/*  mm_audit_held - expect that object is held by exactly `outside` references from
    outside the heap; writes a line and returns false if it is not so. */
MM_API bool mm_audit_held(void *object, uint64_t outside, mm_write_fn write,
                          void *user);

/* ============================================================================
   The inline half. Everything from here to the end of the guard is private: it is
   in view only because the fast paths are compiled into the caller.

   Invariants
     N1  a cache is a stack of free blocks; below its first entry is a NULL, so
         that an empty cache and "no block" are one test
     N2  cache 0 is always empty and always full: it stands for every block that
         is not small, and sends allocation and free down the slow path
     N3  with debugging or sanitizers on, every cache is like cache 0
   ============================================================================ */

#if MEMMGR_SMALL
#define MM__ARENA_SHIFT 18
#define MM__POOL_SHIFT 12
#define MM__CLASSES 48 /* to 2 KiB */
#else
#define MM__ARENA_SHIFT 22
#define MM__POOL_SHIFT 16
#define MM__CLASSES 80 /* to 32 KiB */
#endif
#define MM__ARENA_SIZE ((size_t)1 << MM__ARENA_SHIFT)
#define MM__ARENA_MASK (MM__ARENA_SIZE - 1)
#define MM__UNITS 64 /* pools in an arena, those under the side tables included */
#define MM__CACHES (3 * MM__CLASSES + 1)
#define MM__CONFIG                                                                  \
    (((uint64_t)MM_VERSION << 32) | (uint64_t)(sizeof(mm_heap_desc) << 8) |         \
     (uint64_t)(MEMMGR_SMALL != 0))

/* The header is 8 bytes, or this does not compile. */
typedef char mm__header_has_8_bytes[sizeof(mm_header) == 8 ? 1 : -1];

/* header.flags */
enum {
    MM__F_FINALIZED = 1, /* the finalizer has run                                */
    MM__F_WEAK = 2,      /* the weak table has an entry                          */
    MM__F_DEAD = 4,      /* count reached zero, or trash: weakly invisible       */
    MM__F_TRASH = 8,     /* being freed by the collector: its count means nothing */
    MM__F_POOLED = 16,   /* goes back to its object pool                         */
    MM__F_TRACKED = 32   /* in a pool that the collector walks                   */
};
/* header.gc */
enum {
    MM__GC_QUIET = 1, /* losing a reference need not be reported                 */
    MM__GC_OLD = 2,   /* generation 1 or 2                                       */
    MM__GC_CLEARING = 4, /* its slots are being dropped                           */
    MM__GC_GONE = 8   /* freed: what is left must not be read                    */
};
/* header.rc, with MM__GC_QUIET: so that mm_decref has one test for both. */
#define MM__RC_QUIET 0x40000000

typedef struct mm__cache { void **top, **limit; } mm__cache;
#define MM__FLOOD (64 * sizeof(void *)) /* of a cache: as much as one flush takes */
typedef struct mm__place { /* 16 bytes: as many as fill a page are 2^n */
    void    *object;
#if UINTPTR_MAX == UINT32_MAX
    void    *unused;
#endif
    uint64_t handle;
} mm__place;

struct mm_heap {
    int64_t    credit; /* tracked objects until the next automatic collection     */
    mm__place *places;  /* of handles, or one that finds nothing: see mm__handle_slow */
    uint64_t   place_mask;
    uint64_t   moved;   /* references, which may close a cycle without a decref    */
    uint64_t   checked; /* debugging: pointers must not be trusted                */
    mm__cache  cache[MM__CACHES];
};

/* The head of every arena, also of a huge block's own. */
typedef struct mm__arena_head {
    mm_heap *heap;
    uint32_t hidden; /* flags of objects that are not simply found: see mm__found   */
    uint32_t kind;
    uint8_t  cache[MM__UNITS]; /* of the pool in each unit; 0: not small           */
} mm__arena_head;

struct mm_weakref {
    void       *target; /* NULL once dead                                        */
    mm_weak_fn  callback;
    void       *user;
    void       *owned;  /* user, if owned: a slot                                */
    mm_weakref *next, **at; /* where the pointer to this one is                 */
    uint64_t    hash;
};

struct mm_pool {
    void   **top, **limit;
    uint64_t acquires;
};

MM_API mm_heap *mm__heap_create(const mm_heap_desc *desc, uint64_t config);
MM_API void    *mm__alloc_slow(mm_heap *heap, size_t size);
MM_API void     mm__free_slow(mm_heap *heap, void *p);
MM_API void    *mm__region_slow(mm_region *region, size_t size);
MM_API void    *mm__region_array(mm_region *region, size_t count, size_t size);
MM_API bool     mm__is(const void *object, const mm_type *type);
MM_API void    *mm__new_slow(mm_heap *heap, mm_type *type, size_t size);
MM_API void     mm__incref_slow(const void *object);
MM_API void     mm__decref_slow(const void *object);
MM_API bool     mm__barrier(void *object);
MM_API void    *mm__found_slow(void *object);
MM_API void    *mm__handle_slow(const mm_heap *heap, mm_handle handle);
MM_API void    *mm__pool_acquire_slow(mm_pool *pool);
MM_API void     mm__pool_release_slow(mm_pool *pool, void *item);

MM__INLINE mm__arena_head *mm__arena_of(const void *p)
{
    return (mm__arena_head *)((uintptr_t)p & ~(uintptr_t)MM__ARENA_MASK);
}

MM__INLINE mm_header *mm__header_of(const void *object)
{
    return (mm_header *)((uintptr_t)object - sizeof(mm_header));
}

MM__INLINE uint32_t mm__quiet_part(const mm_header *header)
{
    return (header->gc & MM__GC_QUIET) ? MM__RC_QUIET : 0;
}

/* The number of references, by D6; negative if some were dropped twice, or immortal. */
MM__INLINE int32_t mm__count(const mm_header *header)
{
    return (int32_t)(header->rc - mm__quiet_part(header));
}

MM__INLINE void mm__count_set(mm_header *header, uint32_t n)
{
    header->rc = n + mm__quiet_part(header);
}

/* Freed: nothing of the header may be read but that. */
MM__INLINE void mm__gone(mm_header *header)
{
    header->rc = 0;
    header->gc = (uint8_t)((header->gc & ~MM__GC_QUIET) | MM__GC_GONE);
}

/* Must an old collection hear of references that its counts do not show? */
MM__INLINE bool mm__barrier_up(const void *object)
{
    return (mm__arena_of(object)->hidden & MM__F_TRACKED) != 0;
}

MM__INLINE mm_heap *mm_heap_of(const void *p)
{
    return mm__arena_of(p)->heap;
}

MM__INLINE void *mm_alloc(mm_heap *heap, size_t size)
{
    if (MM__LIKELY(size - 1 < 512)) {
        mm__cache *cache = &heap->cache[(size + 15) >> 4];
        void *p = cache->top[-1];
        if (MM__LIKELY(p != NULL)) {
            cache->top--;
            return p;
        }
    }
    return mm__alloc_slow(heap, size);
}

/* The block will be the next one that is handed out, and written to: it may be fetched
   meanwhile. Not when so many are freed in a row that the cache is nearly full: most of
   those go back to their pools, and need not be touched. */
MM__INLINE void mm__free_to(mm_heap *heap, mm__cache *cache, void *p, bool fetch)
{
    void **top = cache->top;
    size_t room = (size_t)((char *)cache->limit - (char *)top);
    if (MM__LIKELY(room != 0)) {
        if (fetch && MM__LIKELY(room > MM__FLOOD)) MM__PREFETCH_WRITE(p);
        *top = p;
        cache->top = top + 1;
    } else {
        mm__free_slow(heap, p);
    }
}

/* The cache that the block p is in belongs to; cache 0 if it is not small. */
MM__INLINE mm__cache *mm__cache_of(mm_heap *heap, const void *p)
{
    size_t unit = ((uintptr_t)p & MM__ARENA_MASK) >> MM__POOL_SHIFT;
    return &heap->cache[mm__arena_of(p)->cache[unit]];
}

MM__INLINE void mm_free(mm_heap *heap, void *p)
{
    if (MM__LIKELY(p != NULL && !heap->checked)) {
        mm__free_to(heap, mm__cache_of(heap, p), p, true);
    } else {
        mm__free_slow(heap, p);
    }
}

MM__INLINE void mm_free_sized(mm_heap *heap, void *p, size_t size)
{
    if (MM__LIKELY(size - 1 < 512 && p != NULL))
        mm__free_to(heap, &heap->cache[(size + 15) >> 4], p, false);
    else
        mm_free(heap, p);
}

MM__INLINE void *mm_region_alloc(mm_region *region, size_t size)
{
    char *p = region->cursor;
    if (MM__LIKELY(size - 1 < (size_t)(region->limit - p))) { /* not for 0 bytes */
        region->cursor = p + ((size + 15) & ~(size_t)15);
        return region->zero ? memset(p, 0, size) : (void *)p;
    }
    return mm__region_slow(region, size);
}

/* NULL: it takes more than that. Always inline, as gcc 12 takes types for constant
   when it splits and specializes this: mm__new_slow registers them. */
MM__ALWAYS_INLINE void *mm__new_at_once(mm_heap *heap, mm_type *type, size_t size)
{
    mm__cache *cache = &heap->cache[type->mm__.cache];
    char *block = MM__CAST(char *, cache->top[-1]);
    int64_t credit = heap->credit - (int64_t)type->mm__.tracked;
    if (MM__LIKELY(block != NULL && credit >= 0)) {
        cache->top--;
        heap->credit = credit;
        memcpy(block, &type->mm__.header, sizeof(mm_header));
        return memset(block + sizeof(mm_header), 0, size);
    }
    return NULL;
}

MM__ALWAYS_INLINE void *mm__new(mm_heap *heap, mm_type *type, size_t size)
{
    void *object = mm__new_at_once(heap, type, size);
    return MM__LIKELY(object != NULL) ? object : mm__new_slow(heap, type, size);
}

/* Of an object, not NULL. */
MM__INLINE void mm__incref(const void *object)
{
    if (!MM__LIKELY((int32_t)++mm__header_of(object)->rc >= 0)) mm__incref_slow(object);
}

MM__INLINE void mm_incref(const void *object)
{
    if (object != NULL) mm__incref(object);
}

MM__INLINE void mm_decref(const void *object)
{
    if (object != NULL) {
        mm_header *header = mm__header_of(object);
        if (!MM__LIKELY((int32_t)--header->rc > MM__RC_QUIET)) mm__decref_slow(object);
    }
}

MM__INLINE void *mm__newref(const void *object)
{
    mm_incref(object);
    return (void *)(uintptr_t)object;
}

/* Slots are read and written by memcpy: their pointer types are the user's. */
MM__INLINE void *mm__load(const void *slot)
{
    void *p;
    memcpy(&p, slot, sizeof p);
    return p;
}

MM__INLINE void mm__store(void *slot, const void *p)
{
    memcpy(slot, &p, sizeof p);
}

MM__INLINE void mm__replace(void *slot, const void *p)
{
    void *old = mm__load(slot);
    mm__store(slot, p);
    mm_decref(old);
}

MM__INLINE void mm_set_steal(void *slot, const void *p)
{
    if (p != NULL && (mm__header_of(p)->gc & MM__GC_OLD)) mm_heap_of(p)->moved = 1;
    mm__replace(slot, p);
}

MM__INLINE void mm_set(void *slot, const void *p)
{
    mm_incref(p);
    mm__replace(slot, p);
}

MM__INLINE void mm_clear(void *slot)
{
    mm__replace(slot, NULL);
}

MM__INLINE void *mm__take(void *slot)
{
    void *p = mm__load(slot);
    mm__store(slot, NULL);
    if (p != NULL) {
        mm_heap_of(p)->moved = 1;
        if (mm__barrier_up(p)) mm__barrier(p);
    }
    return p;
}

/* An object was found without a reference to it: NULL unless it is alive. What may not
   simply be found are the dead, and, while an old collection must hear of it, all that
   is tracked: the arena says which flags tell. */
MM__INLINE void *mm__found(void *object)
{
    if (MM__LIKELY(!(mm__header_of(object)->flags & mm__arena_of(object)->hidden)))
        return object;
    return mm__found_slow(object);
}

MM__INLINE void *mm__revive(void *object)
{
    if (object == NULL || (object = mm__found(object)) == NULL) return NULL;
    mm__incref(object);
    return object;
}

MM__INLINE void *mm_weakref_get(const mm_weakref *ref)
{
    return mm__revive(ref->target);
}

MM__INLINE const mm__place *mm__place_of(const mm_heap *heap, mm_handle handle)
{
    return &heap->places[(handle >> 32) & heap->place_mask];
}

MM__INLINE void *mm_handle_borrow(const mm_heap *heap, mm_handle handle)
{
    const mm__place *place = mm__place_of(heap, handle);
    if (MM__LIKELY(place->handle == handle)) return place->object;
    return mm__handle_slow(heap, handle);
}

MM__INLINE void *mm_handle_get(const mm_heap *heap, mm_handle handle)
{
    const mm__place *place = mm__place_of(heap, handle);
    void *object = place->object;
    if (!MM__LIKELY(place->handle == handle)) {
        object = mm__handle_slow(heap, handle);
        if (object == NULL) return NULL;
    }
    mm__incref(object);
    return object;
}

MM__INLINE void *mm_pool_acquire(mm_pool *pool)
{
    void *item = pool->top[-1];
    if (MM__LIKELY(item != NULL)) {
        pool->top--;
        pool->acquires++;
        return item;
    }
    return mm__pool_acquire_slow(pool);
}

MM__INLINE void mm_pool_release(mm_pool *pool, void *item)
{
    void **top = pool->top;
    if (MM__LIKELY(top != pool->limit && item != NULL)) {
        *top = item;
        pool->top = top + 1;
    } else {
        mm__pool_release_slow(pool, item);
    }
}

#if defined(__GNUC__)
typedef struct mm__deferred {
    void (*fn)(void *);
    void *argument;
} mm__deferred;

MM__INLINE void mm__auto_decref(void *slot)
{
    mm_decref(mm__load(slot));
}

MM__INLINE void mm__auto_call(mm__deferred *deferred)
{
    deferred->fn(deferred->argument);
}
#endif

#ifdef __cplusplus
} /* extern "C" */

template <class T> MM__UNUSED static inline T *mm__newref_of(T *object)
{
    mm_incref(object);
    return object;
}

template <class T> MM__UNUSED static inline T *mm__take_of(T **slot)
{
    return static_cast<T *>(mm__take(slot));
}
#endif

#endif /* MEMMGR_H */

/* ============================================================================
   The implementation. One file of the program compiles it.
   ============================================================================ */

#if defined(MEMMGR_IMPLEMENTATION) && !defined(MEMMGR_IMPLEMENTED)
#define MEMMGR_IMPLEMENTED

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#ifndef PSAPI_VERSION
#define PSAPI_VERSION 2 /* in kernel32, which everything is linked with */
#endif
#include <psapi.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

/* The old run-time library that MinGW links does not know %zu. */
#if defined(__MINGW32__)
#define MM__SNPRINTF __mingw_snprintf
#define MM__VSNPRINTF __mingw_vsnprintf
#else
#define MM__SNPRINTF snprintf
#define MM__VSNPRINTF vsnprintf
#endif

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__GNUC__)
#define MM__PRIVATE static __attribute__((unused))
#define MM__RARE __attribute__((cold)) /* small rather than fast */
#define MM__COLD static __attribute__((unused, noinline, cold))
/* Although its callers are rare. */
#define MM__HOT static __attribute__((unused, noinline, hot))
#define MM__NOINLINE static __attribute__((unused, noinline))
#define MM__OUTLINE __attribute__((noinline)) /* of an API function: not here */
#define MM__PREFETCH(p) __builtin_prefetch((p), 0, 3)
#else
#define MM__PRIVATE static
#define MM__RARE
#define MM__COLD static
#define MM__HOT static
#define MM__NOINLINE static
#define MM__OUTLINE
#define MM__PREFETCH(p) ((void)0)
#endif
#define MM__UNLIKELY(x) (!MM__LIKELY(!(x)))

/* What an invariant costs: 2 a local fact, 3 a walk. */
#if MEMMGR_CHECK >= 2
#define MM__INVARIANT(x) MM_ASSERT((x), "memmgr.h: invariant " #x " is broken")
#else
#define MM__INVARIANT(x) ((void)0)
#endif
#if MEMMGR_CHECK >= 3
#define MM__INVARIANT_DEEP(heap)                                                    \
    MM_ASSERT(mm_heap_check(heap), "memmgr.h: an invariant is broken, see the log")
#else
#define MM__INVARIANT_DEEP(heap) ((void)0)
#endif

/* ============================================================================
   >>platform   OS memory, clock, threads, bit counts, sanitizers

   Invariants
     O1  memory from mm__os_map is zeroed and aligned as asked; a failure is NULL
     O2  nothing here knows about heaps
   ============================================================================ */

#define MM__PAGE ((size_t)4096)

#if defined(__SANITIZE_ADDRESS__)
#define MM__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MM__ASAN 1
#endif
#endif
#ifndef MM__ASAN
#define MM__ASAN 0
#endif

#if MM__ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#define MM__POISON(p, n) __asan_poison_memory_region((p), (n))
#define MM__UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#define MM__ROOT_REGION(p, n) __lsan_register_root_region((p), (n))
#define MM__BAD_ACCESS(p, stack)                                                    \
    __asan_report_error(__builtin_return_address(0), __builtin_frame_address(0),    \
                        (stack), (void *)(uintptr_t)(p), 1, 1)
#define MM__ROOT_REGION_END(p, n) __lsan_unregister_root_region((p), (n))
#else
#define MM__POISON(p, n) ((void)(p), (void)(n))
#define MM__UNPOISON(p, n) ((void)(p), (void)(n))
#define MM__ROOT_REGION(p, n) ((void)(p), (void)(n))
#define MM__BAD_ACCESS(p, stack) ((void)(p), (void)(stack))
#define MM__ROOT_REGION_END(p, n) ((void)(p), (void)(n))
#endif

#if defined(__has_include) && !MM__ASAN
#if __has_include(<valgrind/memcheck.h>)
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#endif
#include <valgrind/memcheck.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#define MM__VG_RUNNING (RUNNING_ON_VALGRIND != 0)
#define MM__VG_ALLOC VG_USERREQ__MALLOCLIKE_BLOCK
#define MM__VG_FREE VG_USERREQ__FREELIKE_BLOCK
#define MM__VG_NOACCESS VG_USERREQ__MAKE_MEM_NOACCESS
#define MM__VG_UNDEFINED VG_USERREQ__MAKE_MEM_UNDEFINED
#define MM__VG_DEFINED VG_USERREQ__MAKE_MEM_DEFINED
#define MM__VG_TELL(what, p, n) \
    VALGRIND_DO_CLIENT_REQUEST_STMT((unsigned)(what), (p), (n), 0, 0, 0)
#endif
#endif
#ifndef MM__VG_RUNNING
#define MM__VG_RUNNING false
#define MM__VG_ALLOC 0
#define MM__VG_FREE 0
#define MM__VG_NOACCESS 0
#define MM__VG_UNDEFINED 0
#define MM__VG_DEFINED 0
#define MM__VG_TELL(what, p, n) ((void)(what), (void)(p), (void)(n))
#endif

MM__PRIVATE unsigned mm__ctz(uint64_t x)
{
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(x);
#else
    unsigned n = 0;
    while (!(x & 1)) x >>= 1, n++;
    return n;
#endif
}

MM__PRIVATE unsigned mm__log2(uint64_t x)
{
#if defined(__GNUC__)
    return 63u - (unsigned)__builtin_clzll(x);
#else
    unsigned n = 0;
    while (x >>= 1) n++;
    return n;
#endif
}

MM__NOINLINE unsigned mm__popcount(uint64_t x)
{
#if defined(__GNUC__) && (defined(__POPCNT__) || !defined(__x86_64__))
    return (unsigned)__builtin_popcountll(x);
#else
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    return (unsigned)(x * UINT64_C(0x0101010101010101) >> 56);
#endif
}

MM__PRIVATE size_t mm__round_up(size_t n, size_t unit)
{
    return (n + unit - 1) & ~(unit - 1);
}

#if defined(__linux__) && !defined(__cplusplus)
/* Strict -std modes hide these from the system's headers. */
extern int   madvise(void *, size_t, int);
extern void *mremap(void *, size_t, size_t, int, ...);
extern long  syscall(long, ...);
#endif

/* mm__os_map       fresh pages, which read as zero; NULL: there are none
   mm__os_unmap     of what mm__os_map gave: all, or with MM__OS_PARTS any part
   mm__os_discard   the pages go back but keep their addresses; what they hold is lost
   mm__os_protect   take access to pages away, or give it back */

#if defined(_WIN32)

MM__RARE MM__PRIVATE void *mm__os_map(size_t size, size_t align)
{
    if (size + align < size) return NULL;
    for (int attempt = 0; attempt < 16; attempt++) {
        char *raw =
            (char *)VirtualAlloc(NULL, size + align, MEM_RESERVE, PAGE_NOACCESS);
        char *p = (char *)mm__round_up((size_t)raw, align);
        if (raw == NULL) return NULL;
        VirtualFree(raw, 0, MEM_RELEASE); /* and take the aligned part again */
        p = (char *)VirtualAlloc(p, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        if (p != NULL) return p;
    }
    return NULL;
}

#define MM__OS_PARTS 0

MM__PRIVATE void mm__os_unmap(void *p, size_t size)
{
    (void)size;
    VirtualFree(p, 0, MEM_RELEASE);
}

/* Unlocking what was never locked takes it out of the working set. */
MM__PRIVATE void mm__os_discard(void *p, size_t size)
{
    VirtualAlloc(p, size, MEM_RESET, PAGE_READWRITE);
    VirtualUnlock(p, size);
}

MM__PRIVATE bool mm__os_protect(void *p, size_t size, bool access)
{
    DWORD old;
    return VirtualProtect(p, size, access ? PAGE_READWRITE : PAGE_NOACCESS, &old) != 0;
}

MM__PRIVATE void mm__os_want_huge_pages(void *p, size_t size)
{
    (void)p, (void)size;
}

MM__RARE MM__PRIVATE uint64_t mm__clock_ns(void)
{
    LARGE_INTEGER now, rate;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    return (uint64_t)((double)now.QuadPart * 1e9 / (double)rate.QuadPart);
}

#else /* POSIX */

#if !defined(MAP_ANONYMOUS)
#if defined(__linux__)
#define MM__MAP_ANONYMOUS 0x20
#else
#define MM__MAP_ANONYMOUS MAP_ANON
#endif
#else
#define MM__MAP_ANONYMOUS MAP_ANONYMOUS
#endif

MM__PRIVATE void *mm__os_map(size_t size, size_t align)
{
    size_t extra = align > MM__PAGE ? align : 0, head, tail;
    void  *raw;
    char  *p;
    if (size + extra < size) return NULL;
    raw = mmap(NULL, size + extra, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MM__MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) return NULL;
    p = (char *)(extra ? mm__round_up((size_t)raw, align) : (size_t)raw);
    head = (size_t)(p - (char *)raw);
    tail = extra - head;
    if (head) munmap(raw, head);
    if (tail) munmap(p + size, tail);
    return p;
}

#define MM__OS_PARTS 1 /* a part of a mapping can be unmapped */

MM__PRIVATE void mm__os_unmap(void *p, size_t size)
{
    munmap(p, size);
}

MM__PRIVATE void mm__os_discard(void *p, size_t size)
{
#if defined(__linux__)
    madvise(p, size, 4 /* MADV_DONTNEED */);
#else
    mmap(p, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MM__MAP_ANONYMOUS | MAP_FIXED,
         -1, 0);
#endif
}

MM__PRIVATE bool mm__os_protect(void *p, size_t size, bool access)
{
    return mprotect(p, size, access ? PROT_READ | PROT_WRITE : PROT_NONE) == 0;
}

MM__PRIVATE void mm__os_want_huge_pages(void *p, size_t size)
{
#if defined(__linux__)
    madvise(p, size, 14 /* MADV_HUGEPAGE */);
#else
    (void)p, (void)size;
#endif
}

MM__RARE MM__PRIVATE uint64_t mm__clock_ns(void)
{
#if defined(CLOCK_MONOTONIC)
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
#elif defined(__linux__) && defined(__x86_64__)
    long t[2] = {0, 0};
    syscall(228 /* clock_gettime */, 1L, t);
    return (uint64_t)t[0] * 1000000000u + (uint64_t)t[1];
#else
    return (uint64_t)clock() * (1000000000u / (uint64_t)CLOCKS_PER_SEC);
#endif
}

#endif /* POSIX */

/* Who is running: the address of a thread-local, different in every thread. */
MM__PRIVATE uintptr_t mm__thread_id(void)
{
#if defined(_WIN32)
    return (uintptr_t)GetCurrentThreadId();
#elif defined(__GNUC__) && !defined(__TINYC__)
    static __thread char here;
    return (uintptr_t)&here;
#else
    return 1;
#endif
}

MM__PRIVATE uint64_t mm__random_seed(const void *salt)
{
    uint64_t x = mm__clock_ns() ^ (uint64_t)(uintptr_t)salt ^ (uint64_t)mm__thread_id();
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9); /* splitmix64 */
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (x ^ (x >> 31)) | 1;
}

/* ============================================================================
   >>ds   A private stb_ds: growable arrays and integer-keyed maps

   stb_ds.h is compiled here under names of our own, static, without touching a
   macro or symbol of an application that uses it too. Only this room calls it;
   the others use mm__vec_ and mm__map_. Never on the paths that allocate, free,
   count or intern: it is several times slower than a table made for the purpose.

   Invariants
     V1  stb_ds never allocates. This room reserves first, in an order in which
         a failure loses nothing; so no call is left that could run out of memory
     V2  every block starts with its owner and size, so that it finds its way back
     V3  keys are stored mixed by a bijection with the owner's seed: stb_ds hashes
         only half of a key whose bit 31 is set, and its own seed is a global
     V4  of an index at least a quarter of the slots is empty: every search ends
     V5  an index never shrinks by itself: deleting neither allocates nor fails
   ============================================================================ */

#include <stdlib.h>

/* The application's settings are not for this copy, and come back on leaving. (The
   operator form, _Pragma, would be shorter; gcc -E does not obey it.) `assert` is
   here because stb_ds.h includes <assert.h> again. */
#pragma push_macro("assert")
#pragma push_macro("STB_DS_IMPLEMENTATION")
#pragma push_macro("STBDS_NO_SHORT_NAMES")
#pragma push_macro("STBDS_REALLOC")
#pragma push_macro("STBDS_FREE")
#pragma push_macro("STBDS_ASSERT")
#pragma push_macro("STBDS_ASSERT_WAS_UNDEFINED")
#pragma push_macro("STBDS_ADDRESSOF")
#pragma push_macro("STBDS_UNIT_TESTS")
#pragma push_macro("STBDS_STATISTICS")
#pragma push_macro("STBDS_STATS")
#pragma push_macro("STBDS_SIPHASH_2_4")
#pragma push_macro("STBDS_TEST_SIPHASH_2_4")
#pragma push_macro("STBDS_SIPHASH_C_ROUNDS")
#pragma push_macro("STBDS_SIPHASH_D_ROUNDS")
#pragma push_macro("STBDS_INTERNAL_SMALL_BUCKET")
#pragma push_macro("STBDS_INTERNAL_BUCKET_START")
#pragma push_macro("STBDS_BUCKET_LENGTH")
#pragma push_macro("STBDS_STRING_ARENA_BLOCKSIZE_MIN")
#pragma push_macro("STBDS_STRING_ARENA_BLOCKSIZE_MAX")

#undef STB_DS_IMPLEMENTATION
#undef STBDS_NO_SHORT_NAMES
#undef STBDS_REALLOC
#undef STBDS_FREE
#undef STBDS_ASSERT
#undef STBDS_ASSERT_WAS_UNDEFINED
#undef STBDS_ADDRESSOF
#undef STBDS_UNIT_TESTS
#undef STBDS_STATISTICS
#undef STBDS_STATS
#undef STBDS_SIPHASH_2_4
#undef STBDS_TEST_SIPHASH_2_4
#undef STBDS_SIPHASH_C_ROUNDS
#undef STBDS_SIPHASH_D_ROUNDS
#undef STBDS_INTERNAL_SMALL_BUCKET
#undef STBDS_INTERNAL_BUCKET_START
#undef STBDS_BUCKET_LENGTH
#undef STBDS_STRING_ARENA_BLOCKSIZE_MIN
#undef STBDS_STRING_ARENA_BLOCKSIZE_MAX

#ifdef INCLUDE_STB_DS_H /* the application has it: its macros are to stay */
#undef INCLUDE_STB_DS_H
#define MM__DS_KEEP
#endif

#define STB_DS_IMPLEMENTATION
#define STBDS_NO_SHORT_NAMES
#define STBDS_REALLOC(context, p, size) mm__ds_refuse((p), (size))
#define STBDS_FREE(context, p) mm__ds_free(p)

#define stbds_arrgrowf         mm__ds_arrgrowf
#define stbds_arrfreef         mm__ds_arrfreef
#define stbds_hmfree_func      mm__ds_hmfree_func
#define stbds_hmget_key        mm__ds_hmget_key
#define stbds_hmget_key_ts     mm__ds_hmget_key_ts
#define stbds_hmput_default    mm__ds_hmput_default
#define stbds_hmput_key        mm__ds_hmput_key
#define stbds_hmdel_key        mm__ds_hmdel_key
#define stbds_shmode_func      mm__ds_shmode_func
#define stbds_rand_seed        mm__ds_rand_seed
#define stbds_hash_bytes       mm__ds_hash_bytes
#define stbds_hash_string      mm__ds_hash_string
#define stbds_stralloc         mm__ds_stralloc
#define stbds_strreset         mm__ds_strreset
#define stbds_unit_tests       mm__ds_unit_tests
#define stbds_hash_seed        mm__ds_hash_seed
#define stbds_probe_position   mm__ds_probe_position
#define stbds_log2             mm__ds_log2
#define stbds_make_hash_index  mm__ds_make_hash_index
#define stbds_siphash_bytes    mm__ds_siphash_bytes
#define stbds_is_key_equal     mm__ds_is_key_equal
#define stbds_hm_find_slot     mm__ds_hm_find_slot
#define stbds_strdup           mm__ds_strdup
#define stbds_array_header     mm__ds_array_header
#define stbds_string_block     mm__ds_string_block
#define stbds_string_arena     mm__ds_string_arena
#define stbds_hash_bucket      mm__ds_hash_bucket
#define stbds_hash_index       mm__ds_hash_index
#define STBDS_SH_NONE          MM__DS_SH_NONE
#define STBDS_SH_DEFAULT       MM__DS_SH_DEFAULT
#define STBDS_SH_STRDUP        MM__DS_SH_STRDUP
#define STBDS_SH_ARENA         MM__DS_SH_ARENA
#ifdef __cplusplus /* templates; in C these are macros of stb_ds.h */
#define stbds_arrgrowf_wrapper     mm__ds_arrgrowf_wrapper
#define stbds_hmget_key_wrapper    mm__ds_hmget_key_wrapper
#define stbds_hmget_key_ts_wrapper mm__ds_hmget_key_ts_wrapper
#define stbds_hmput_default_wrapper mm__ds_hmput_default_wrapper
#define stbds_hmput_key_wrapper    mm__ds_hmput_key_wrapper
#define stbds_hmdel_key_wrapper    mm__ds_hmdel_key_wrapper
#define stbds_shmode_func_wrapper  mm__ds_shmode_func_wrapper
#endif

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-function"
#elif defined(_MSC_VER)
#pragma warning(push, 0)
#endif

/* Where memory comes from. One per heap, and it must not move or change its seed
   while a block lives. resize: (NULL, 0, n) allocates 16-byte aligned, (p, o, n)
   resizes, (p, o, 0) frees. NULL: no memory, p is untouched. */
typedef struct mm__ds {
    void *(*resize)(void *user, void *p, size_t old_size, size_t size);
    void *user;
    uint64_t seed;
} mm__ds;

typedef union mm__ds_block {
    struct {
        mm__ds *owner;
        size_t  size; /* of the whole block */
    } head;
    char room[16];    /* what follows stays aligned where pointers are small, too */
} mm__ds_block;

#define MM__DS_MAX (SIZE_MAX / 16) /* bytes of one array: no product overflows */

static MM__UNUSED void *mm__ds_resize(mm__ds *ds, void *p, size_t size)
{
    mm__ds_block *old = p != NULL ? (mm__ds_block *)p - 1 : NULL;
    size_t old_size = old != NULL ? old->head.size : 0;
    mm__ds_block *block;
    size += sizeof(mm__ds_block);
    block = (mm__ds_block *)ds->resize(ds->user, old, old_size, size);
    if (block == NULL) return NULL;
    block->head.owner = ds; /* keeps V2 */
    block->head.size = size;
    return block + 1;
}

static MM__UNUSED void mm__ds_free(void *p)
{
    if (p != NULL) {
        mm__ds_block *block = (mm__ds_block *)p - 1;
        mm__ds *ds = block->head.owner;
        ds->resize(ds->user, block, block->head.size, 0);
    }
}

/* By V1 nobody calls this; stb_ds would go on with a NULL. */
static MM__UNUSED void *mm__ds_refuse(void *p, size_t size)
{
    (void)p;
    (void)size;
    abort();
}

/* Declared static first, the functions stay static: stb_ds's own `extern` and plain
   definitions inherit the linkage (C 6.2.2p4). Its hash shifts into the sign bit. */
#if defined(__clang__)
#define MM__DS static __attribute__((unused, no_sanitize("undefined")))
#elif defined(__GNUC__)
#define MM__DS static __attribute__((unused, no_sanitize_undefined))
#else
#define MM__DS static
#endif

#ifdef __cplusplus
extern "C" {
#endif
struct stbds_string_arena;
MM__DS void *stbds_arrgrowf(void *, size_t, size_t, size_t);
MM__DS void stbds_arrfreef(void *);
MM__DS void stbds_hmfree_func(void *, size_t);
MM__DS void *stbds_hmget_key(void *, size_t, void *, size_t, int);
MM__DS void *stbds_hmget_key_ts(void *, size_t, void *, size_t, ptrdiff_t *, int);
MM__DS void *stbds_hmput_default(void *, size_t);
MM__DS void *stbds_hmput_key(void *, size_t, void *, size_t, int);
MM__DS void *stbds_hmdel_key(void *, size_t, void *, size_t, size_t, int);
MM__DS void *stbds_shmode_func(size_t, int);
MM__DS void stbds_rand_seed(size_t);
MM__DS size_t stbds_hash_bytes(void *, size_t, size_t);
MM__DS size_t stbds_siphash_bytes(void *, size_t, size_t);
MM__DS size_t stbds_hash_string(char *, size_t);
MM__DS char *stbds_stralloc(struct stbds_string_arena *, char *);
MM__DS void stbds_strreset(struct stbds_string_arena *);
#ifdef __cplusplus
}
#endif

#include MEMMGR_STB_DS_H

/* A vector is a plain T *v, NULL while empty, read as v[0] .. v[mm__vec_len(v)-1].
   slot is the address of v. */

static MM__UNUSED size_t mm__vec_len(const void *v)
{
    return v != NULL ? ((const stbds_array_header *)v - 1)->length : 0;
}

/* Room for more items; false when out of memory, and v is as it was. */
static MM__UNUSED bool mm__vec_reserve(mm__ds *ds, void *slot, size_t item_size,
                                       size_t more)
{
    void *v = mm__load(slot);
    stbds_array_header *head = v != NULL ? stbds_header(v) : NULL;
    size_t length = mm__vec_len(v), capacity = head != NULL ? head->capacity : 0;
    size_t wanted = 2 * capacity > 4 ? 2 * capacity : 4, max = MM__DS_MAX / item_size;
    if (more <= capacity - length) return true;
    if (length > max || more > max - length) return false;
    if (wanted < length + more) wanted = length + more;
    head = (stbds_array_header *)mm__ds_resize(ds, head,
                                               sizeof *head + wanted * item_size);
    if (head == NULL) return false;
    if (v == NULL) memset(head, 0, sizeof *head);
    head->capacity = wanted;
    mm__store(slot, head + 1);
    return true;
}

/* The address of one more item, zeroed; NULL when out of memory. */
static MM__UNUSED void *mm__vec_add(mm__ds *ds, void *slot, size_t item_size)
{
    char *items;
    size_t i;
    if (!mm__vec_reserve(ds, slot, item_size, 1)) return NULL;
    items = (char *)mm__load(slot);
    i = stbds_header(mm__load(slot))->length++;
    return memset(items + i * item_size, 0, item_size);
}

/* MM__VEC_PUSH(ds, v, item): append a copy of item; false when out of memory. */
#define MM__VEC_PUSH(ds, v, item)                                                   \
    (mm__vec_add((ds), &(v), sizeof *(v)) != NULL                                   \
         ? ((v)[mm__vec_len(v) - 1] = (item), true) : false)

/* Keep only the first n items: v[mm__vec_pop(v)] is the item that was last. */
static MM__UNUSED void mm__vec_cut(void *v, size_t n)
{
    if (v != NULL && n < stbds_header(v)->length) stbds_header(v)->length = n;
}

static MM__UNUSED size_t mm__vec_pop(void *v)
{
    return --stbds_header(v)->length;
}

static MM__UNUSED void mm__vec_free(void *slot)
{
    void *v = mm__load(slot);
    if (v != NULL) stbds_arrfreef(v);
    mm__store(slot, NULL);
}

/* A map from uint64_t to uint64_t. Set ds, leave slots NULL: that is an empty map.
   Items stand densely in slots[0 .. mm__map_len-1]; a deletion moves the last one. */
typedef struct mm__map_slot { uint64_t key, value; } mm__map_slot; /* key: mixed */

typedef struct mm__map {
    mm__ds *ds;
    mm__map_slot *slots; /* after the default item that stb_ds keeps at [-1] */
} mm__map;

static MM__UNUSED uint64_t mm__map_mix(const mm__map *map, uint64_t key)
{
    key = (key ^ map->ds->seed) * UINT64_C(0x9E3779B97F4A7C15);
    key = (key ^ key >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return key ^ key >> 32;
}

/* The way back: the factors are the inverses modulo 2^64. */
static MM__UNUSED uint64_t mm__map_unmix(const mm__map *map, uint64_t key)
{
    key = (key ^ key >> 32) * UINT64_C(0xCFEE444D8B59A89B);
    key = (key ^ key >> 32) * UINT64_C(0xF1DE83E19937733D);
    return key ^ map->ds->seed;
}

static MM__UNUSED size_t mm__map_len(const mm__map *map)
{
    return map->slots != NULL ? mm__vec_len(map->slots - 1) - 1 : 0;
}

static MM__UNUSED stbds_hash_index *mm__map_index(const mm__map *map)
{
    if (map->slots == NULL) return NULL;
    return (stbds_hash_index *)stbds_header(map->slots - 1)->hash_table;
}

/* Position of a mixed key in slots, or -1. */
static MM__UNUSED ptrdiff_t mm__map_find(const mm__map *map, uint64_t mixed)
{
    ptrdiff_t at = -1;
    if (map->slots != NULL) /* on NULL stb_ds would allocate */
        stbds_hmget_key_ts(map->slots, sizeof *map->slots, &mixed, sizeof mixed, &at,
                           STBDS_HM_BINARY);
    return at;
}

/* V4, V5, and that every item is found where it is. */
static MM__UNUSED bool mm__check_map(const mm__map *map)
{
    const stbds_hash_index *index = mm__map_index(map);
    size_t i, length = mm__map_len(map);
    if (index == NULL) return length == 0;
    if (index->used_count != length) return false;
    if (length + index->tombstone_count > index->slot_count - index->slot_count / 4)
        return false; /* V4 */
    if (index->used_count_shrink_threshold != 0) return false;       /* V5 */
    if (index->tombstone_count_threshold != SIZE_MAX) return false;  /* V5 */
    for (i = 0; i < length; i++)
        if (mm__map_find(map, map->slots[i].key) != (ptrdiff_t)i) return false;
    return true;
}

/* An empty index; slots is a power of two, 8 at least. */
static MM__UNUSED stbds_hash_index *mm__map_index_new(mm__ds *ds, size_t slots)
{
    size_t i, bytes = slots / STBDS_BUCKET_LENGTH * sizeof(stbds_hash_bucket);
    stbds_hash_index *index;
    size_t slack = STBDS_CACHE_LINE_SIZE - 1;
    void *p = mm__ds_resize(ds, NULL, sizeof *index + bytes + slack);
    if (p == NULL) return NULL;
    index = (stbds_hash_index *)memset(p, 0, sizeof *index);
    p = (void *)STBDS_ALIGN_FWD((uintptr_t)(index + 1), STBDS_CACHE_LINE_SIZE);
    index->storage = (stbds_hash_bucket *)memset(p, 0, bytes);
    index->slot_count = slots;
    index->slot_count_log2 = stbds_log2(slots);
    index->used_count_threshold = slots - slots / 4;
    index->tombstone_count_threshold = SIZE_MAX; /* keeps V5 */
    for (i = 0; i < slots; i++)
        index->storage[i / STBDS_BUCKET_LENGTH].index[i % STBDS_BUCKET_LENGTH] =
            STBDS_INDEX_EMPTY;
    return index;
}

static MM__UNUSED void mm__map_enter(const mm__map *map, uint64_t mixed)
{
    stbds_hmput_key(map->slots, sizeof *map->slots, &mixed, sizeof mixed,
                    STBDS_HM_BINARY);
}

/* An index with room for more items, as V4 wants it; else a new one, into which the
   items are entered again, each at its old position. */
static MM__UNUSED bool mm__map_reserve_index(const mm__map *map, size_t more)
{
    stbds_hash_index *index = mm__map_index(map), *fresh;
    size_t i, length = mm__map_len(map), slots = STBDS_BUCKET_LENGTH;
    if (index != NULL
        && length + index->tombstone_count + more <= index->used_count_threshold)
        return true;
    while (slots / 2 < length + more) slots *= 2;
    fresh = mm__map_index_new(map->ds, slots);
    if (fresh == NULL) return false;
    mm__ds_free(index);
    stbds_header(map->slots - 1)->hash_table = fresh;
    stbds_header(map->slots - 1)->length = 1;
    for (i = 0; i < length; i++) mm__map_enter(map, map->slots[i].key);
    return true;
}

/* Room for more new keys: that many mm__map_put cannot fail. False: out of memory,
   and the map is as it was. */
static MM__UNUSED bool mm__map_reserve(mm__map *map, size_t more)
{
    mm__map_slot *raw = map->slots != NULL ? map->slots - 1 : NULL;
    if (more >= MM__DS_MAX) return false;
    if (!mm__vec_reserve(map->ds, &raw, sizeof *raw, more + (raw == NULL)))
        return false;
    if (map->slots == NULL) {
        memset(raw, 0, sizeof *raw);
        stbds_header(raw)->length = 1;
    }
    map->slots = raw + 1;
    return mm__map_reserve_index(map, more);
}

/* Enter a key or change its value; false when out of memory: nothing has changed. */
static MM__UNUSED bool mm__map_put(mm__map *map, uint64_t key, uint64_t value)
{
    uint64_t mixed = mm__map_mix(map, key);
    ptrdiff_t at = mm__map_find(map, mixed);
    if (at < 0) {
        if (!mm__map_reserve(map, 1)) return false;
        at = (ptrdiff_t)mm__map_len(map);
        mm__map_enter(map, mixed);
    }
    map->slots[at].value = value;
    return true;
}

/* Whether key is there; *value is set only then. value may be NULL. */
static MM__UNUSED bool mm__map_get(const mm__map *map, uint64_t key, uint64_t *value)
{
    ptrdiff_t at = mm__map_find(map, mm__map_mix(map, key));
    if (at >= 0 && value != NULL) *value = map->slots[at].value;
    return at >= 0;
}

/* The i-th item. While deleting, walk from the last to the first. */
static MM__UNUSED void mm__map_at(const mm__map *map, size_t i, uint64_t *key,
                                  uint64_t *value)
{
    *key = mm__map_unmix(map, map->slots[i].key);
    *value = map->slots[i].value;
}

/* Remove a key; returns whether it was there. Never allocates (V5). */
static MM__UNUSED bool mm__map_del(mm__map *map, uint64_t key)
{
    size_t length = mm__map_len(map);
    uint64_t mixed = mm__map_mix(map, key);
    if (length == 0) return false;
    stbds_hmdel_key(map->slots, sizeof *map->slots, &mixed, sizeof mixed, 0,
                    STBDS_HM_BINARY);
    return mm__map_len(map) < length;
}

static MM__UNUSED void mm__map_free(mm__map *map)
{
    if (map->slots != NULL) stbds_hmfree_func(map->slots - 1, sizeof *map->slots);
    map->slots = NULL;
}

/* Leave: the application's macros are as they were. MM__VEC_PUSH ends in >>leave. */
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#elif defined(_MSC_VER)
#pragma warning(pop)
#endif

#undef stbds_arrgrowf
#undef stbds_arrfreef
#undef stbds_hmfree_func
#undef stbds_hmget_key
#undef stbds_hmget_key_ts
#undef stbds_hmput_default
#undef stbds_hmput_key
#undef stbds_hmdel_key
#undef stbds_shmode_func
#undef stbds_rand_seed
#undef stbds_hash_bytes
#undef stbds_hash_string
#undef stbds_stralloc
#undef stbds_strreset
#undef stbds_unit_tests
#undef stbds_hash_seed
#undef stbds_probe_position
#undef stbds_log2
#undef stbds_make_hash_index
#undef stbds_siphash_bytes
#undef stbds_is_key_equal
#undef stbds_hm_find_slot
#undef stbds_strdup
#undef stbds_array_header
#undef stbds_string_block
#undef stbds_string_arena
#undef stbds_hash_bucket
#undef stbds_hash_index
#undef STBDS_SH_NONE
#undef STBDS_SH_DEFAULT
#undef STBDS_SH_STRDUP
#undef STBDS_SH_ARENA
#if defined(__cplusplus) || !defined(MM__DS_KEEP)
#undef stbds_arrgrowf_wrapper
#undef stbds_hmget_key_wrapper
#undef stbds_hmget_key_ts_wrapper
#undef stbds_hmput_default_wrapper
#undef stbds_hmput_key_wrapper
#undef stbds_hmdel_key_wrapper
#undef stbds_shmode_func_wrapper
#endif
#pragma pop_macro("STB_DS_IMPLEMENTATION")
#pragma pop_macro("STBDS_NO_SHORT_NAMES")
#pragma pop_macro("STBDS_REALLOC")
#pragma pop_macro("STBDS_FREE")
#pragma pop_macro("STBDS_ASSERT")
#pragma pop_macro("STBDS_ASSERT_WAS_UNDEFINED")
#pragma pop_macro("STBDS_ADDRESSOF")
#pragma pop_macro("STBDS_UNIT_TESTS")
#pragma pop_macro("STBDS_STATISTICS")
#pragma pop_macro("STBDS_STATS")
#pragma pop_macro("STBDS_SIPHASH_2_4")
#pragma pop_macro("STBDS_TEST_SIPHASH_2_4")
#pragma pop_macro("STBDS_SIPHASH_C_ROUNDS")
#pragma pop_macro("STBDS_SIPHASH_D_ROUNDS")
#pragma pop_macro("STBDS_INTERNAL_SMALL_BUCKET")
#pragma pop_macro("STBDS_INTERNAL_BUCKET_START")
#pragma pop_macro("STBDS_BUCKET_LENGTH")
#pragma pop_macro("STBDS_STRING_ARENA_BLOCKSIZE_MIN")
#pragma pop_macro("STBDS_STRING_ARENA_BLOCKSIZE_MAX")
#pragma pop_macro("assert")

#ifndef MM__DS_KEEP /* the application has not included stb_ds.h so far */
#undef INCLUDE_STB_DS_H
#undef STBDS_ALIGN_FWD
#undef STBDS_ARR_TO_HASH
#undef STBDS_BUCKET_MASK
#undef STBDS_BUCKET_SHIFT
#undef STBDS_CACHE_LINE_SIZE
#undef STBDS_HASH_DELETED
#undef STBDS_HASH_EMPTY
#undef STBDS_HASH_TO_ARR
#undef STBDS_HAS_LITERAL_ARRAY
#undef STBDS_HAS_TYPEOF
#undef STBDS_HM_BINARY
#undef STBDS_HM_STRING
#undef STBDS_INDEX_DELETED
#undef STBDS_INDEX_EMPTY
#undef STBDS_INDEX_IN_USE
#undef STBDS_NOTUSED
#undef STBDS_OFFSETOF
#undef STBDS_ROTATE_LEFT
#undef STBDS_ROTATE_RIGHT
#undef STBDS_SIPROUND
#undef STBDS_SIZE_T_BITS
#undef stbds_arraddn
#undef stbds_arraddnindex
#undef stbds_arraddnoff
#undef stbds_arraddnptr
#undef stbds_arrcap
#undef stbds_arrdel
#undef stbds_arrdeln
#undef stbds_arrdelswap
#undef stbds_arrfree
#undef stbds_arrgrow
#undef stbds_arrins
#undef stbds_arrinsn
#undef stbds_arrlast
#undef stbds_arrlen
#undef stbds_arrlenu
#undef stbds_arrmaybegrow
#undef stbds_arrpop
#undef stbds_arrpush
#undef stbds_arrput
#undef stbds_arrsetcap
#undef stbds_arrsetlen
#undef stbds_hash_table
#undef stbds_header
#undef stbds_hmdefault
#undef stbds_hmdefaults
#undef stbds_hmdel
#undef stbds_hmfree
#undef stbds_hmget
#undef stbds_hmget_ts
#undef stbds_hmgeti
#undef stbds_hmgeti_ts
#undef stbds_hmgetp
#undef stbds_hmgetp_null
#undef stbds_hmgetp_ts
#undef stbds_hmgets
#undef stbds_hmlen
#undef stbds_hmlenu
#undef stbds_hmput
#undef stbds_hmputs
#undef stbds_load_32_or_64
#undef stbds_pshdel
#undef stbds_pshget
#undef stbds_pshgeti
#undef stbds_pshput
#undef stbds_sh_new_arena
#undef stbds_sh_new_strdup
#undef stbds_shdefault
#undef stbds_shdefaults
#undef stbds_shdel
#undef stbds_shfree
#undef stbds_shget
#undef stbds_shgeti
#undef stbds_shgetp
#undef stbds_shgetp_null
#undef stbds_shgets
#undef stbds_shlen
#undef stbds_shlenu
#undef stbds_shput
#undef stbds_shputi
#undef stbds_shputs
#undef stbds_temp
#undef stbds_temp_key
#endif

#undef MM__DS
#undef MM__DS_KEEP
#undef MM__DS_MAX
/* ============================================================================
   >>state   The heap, whole

   All state of the library is in this struct and in the arenas it lists. The only
   exception is the type registry, which the process shares.
   ============================================================================ */

#define MM__WORDS (MM__ARENA_SIZE / MM__UNITS / 16 / 64) /* bitmap words of a pool */
#define MM__POOL_SIZE ((size_t)1 << MM__POOL_SHIFT)
#define MM__PAGES (MM__ARENA_SIZE / MM__PAGE)
#define MM__UNIT_PAGES (MM__POOL_SIZE / MM__PAGE)
#define MM__SMALL_MAX (MM__POOL_SIZE / 2) /* largest size class */

typedef struct mm__heap mm__heap;
typedef struct mm__arena mm__arena;
typedef struct mm__bpool mm__bpool;
typedef struct mm__leaving mm__leaving;

/* The cache index of a block: kind * MM__CLASSES + class, and 0 for "not small". */
typedef struct mm__class {
    uint32_t size;    /* of a block                                              */
    uint32_t blocks;  /* in a pool                                               */
    uint32_t span;    /* units a pool takes                                      */
    uint32_t batch;   /* blocks moved by a flush                                 */
    uint32_t refill;  /* and by a refill                                         */
    uint64_t inverse; /* to divide by size: (offset * inverse) >> 40             */
    void   **base;    /* of the cache: base[-1] is the NULL of N1                */
    uint32_t capacity;
    uint32_t kind;
    mm__bpool *first, *last;  /* pools with free blocks, oldest first             */
    uint64_t pools, free_blocks; /* free bits in all of them                     */
    uint64_t hidden;  /* allocated, but of no use: in quarantine, or idle in a pool */
    uint64_t peak;
} mm__class;

/* The bit tables of a pool. R arenas (raw, leaf) have the first only. */
enum {
    MM__FREE,
    MM__YOUNG0,
    MM__YOUNG1,
    MM__TRASH,
    MM__FROZEN,
    MM__SUSPECT,
    MM__HELD, /* old, and held from outside when last looked at */
    MM__TABLES
};

/* A pool: equal blocks in one unit, or in a span of units. */
struct mm__bpool {
    uint64_t *bits;    /* MM__TABLES tables of MM__WORDS words                    */
    uint64_t  sum;     /* bit w: word w of MM__FREE is not zero                   */
    uint64_t  young_sum; /* bit w: word w of MM__YOUNG0 or 1 may not be zero        */
    char     *blocks;  /* the first one                                          */
    uint32_t  size, count, free;
    uint16_t  cache;   /* cache index, 0: a unit of page runs                     */
    uint8_t   unit, span;
    bool      young, queued, suspected;
    mm__bpool *next, *prev;       /* in its class's queue                         */
    mm__bpool *next_young;        /* in the list of pools that may have young bits */
    mm__bpool *next_suspect, *prev_suspect; /* and of those with fresh suspects    */
    mm__bpool *next_touched;      /* and of those with members of the closure      */
    uint64_t  suspect_sum;        /* bit w: word w of MM__SUSPECT has fresh ones     */
    uint64_t  touched_sum;        /* bit w: there may be members of the closure     */
    uint64_t  reached_sum;        /* bit w: see G10                                 */
};

/* How to get from an object in this unit to its collector byte. */
typedef struct mm__unit {
    uint8_t *bytes;   /* of the pool; for kinds without: the heap's `sink`        */
    uint64_t scale;   /* as inverse; 0 for those: all objects find the same byte  */
    uint64_t inverse; /* of the block size                                       */
    uint32_t base;    /* where the pool starts in the arena                       */
    uint32_t head;    /* first unit of the pool                                  */
} mm__unit;

enum { MM__KIND_PLAIN, MM__KIND_TRACKED, MM__KIND_HUGE };

/* Arenas and huge blocks start with this, at an address aligned to MM__ARENA_SIZE. */
struct mm__arena {
    mm__arena_head head;
    mm__unit       unit[MM__UNITS];
    mm__bpool      pool[MM__UNITS];
    size_t         size;        /* of the mapping                                */
    uint32_t       index;       /* in heap->arenas                               */
    uint32_t       first_unit;  /* units before it hold the side tables           */
    uint32_t       free_pages;
    uint32_t       young;       /* its pools in the list of young ones            */
    bool           listed, guarded;
    mm__arena     *next, *prev; /* of its kind, with free pages                   */
    uint64_t       pages[(MM__PAGES + 63) / 64]; /* 1: free                       */
    uint64_t       clean[(MM__PAGES + 63) / 64]; /* 1: not in memory, see purge    */
    uint16_t       run[MM__PAGES];               /* pages of the run starting here */
    /* of a huge block: */
    char          *block;       /* where it starts                                */
    size_t         block_size;  /* what may be used of it                         */
    mm_block_kind  block_kind;
    uint8_t        byte;
    uint64_t       huge_bits[MM__TABLES * MM__WORDS];
};

#define MM__AGED 64

#if MEMMGR_SMALL
#define MM__CACHE_MAX 64
#define MM__CACHE_MIN 8
#define MM__REFILL 16
#else
#define MM__CACHE_MAX 1024
#define MM__CACHE_MIN 128
#define MM__REFILL 32
#endif

/* A growable stack of pointers in memory of the OS; grows by chunks, so that a push
   costs the same always. Used by the collector only. */
typedef struct mm__stack_chunk {
    struct mm__stack_chunk *below;
    void *item[1022 / (sizeof(void *) / 4)];
} mm__stack_chunk;

typedef struct mm__stack {
    mm__stack_chunk *chunk, *spare;
    size_t count;         /* in the top chunk                                     */
    bool   overflowed;    /* a push was lost for want of memory                   */
} mm__stack;

typedef struct mm__cursor {
    uint32_t   arena, unit, word;
    mm__bpool *pool; /* in place of arena and unit, for a closure */
} mm__cursor;

/* Which objects a trial looks at. */
typedef enum mm__set {
    MM__SET_GEN0,
    MM__SET_YOUNG,
    MM__SET_CLOSURE,
    MM__SET_OLD,
    MM__SET_ALL
} mm__set;

typedef enum mm__phase {
    MM__IDLE, MM__UNQUIET, MM__REACH, MM__COUNT, MM__MARK, MM__CONDEMN,
    MM__VERIFY_RESET, MM__VERIFY_COUNT, MM__VERIFY_MARK, MM__VERIFY_CONDEMN,
    MM__WEAKEN, MM__CALL, MM__FINALIZE, MM__RECOUNT_RESET, MM__RECOUNT, MM__REMARK,
    MM__RECONDEMN, MM__FOUND, MM__SEAL, MM__CLEAR, MM__DISPOSE, MM__RELEASE, MM__RESET
} mm__phase;

#define MM__FAR 32 /* references noted before they are settled */

/* A reference out of the pool at hand; its byte is on the way from memory. */
typedef struct mm__far { uint8_t *byte; void *child, *holder; } mm__far;

#define MM__OUTER 8 /* more than a half-made structure of the young has to the old    */

/* One run of the collector's algorithm over one set; see >>gc.impl. */
typedef struct mm__trial {
    mm__phase  phase, stop;  /* stop: pause before this phase                     */
    mm__set    set;
    uint8_t    low;         /* first byte value of this trial's counts            */
    bool       sliced, finalizers, hooks, weak, abandoned, adopting, incomplete;
    bool       cut;         /* a closure that was not followed to its end          */
    bool       rescued;     /* something was found live since CONDEMN began         */
    bool       special;     /* not all that mark did not find held is plain         */
    bool       shaped;      /* some of the trash is more than slots                 */
    bool       rootless;    /* nothing is taken for held                            */
    bool       again;       /* and the trial had begun with roots                   */
    size_t     roots, held; /* how many objects are; and how many found to be       */
    int        generation;
    mm__cursor at;
    mm__stack  marks, large; /* large: objects with too many references for one go  */
    void      *part_of;     /* the one of those being looked at, and how far        */
    size_t     part_slot, part_index;
    size_t     members, limit, trash, found, resurrected;
    size_t     outside;     /* references from members that others than members get */
    void      *outer[MM__OUTER]; /* the members that hold the first of them         */
    size_t     outer_count;
    bool       closed;      /* of the trash, only those refer to others             */
    size_t     balance;     /* those that live members get, less those they hold    */
    size_t     visits, budget, clock_visits;
    uint64_t   deadline, position;
} mm__trial;

/* In-degrees that a byte cannot hold. */
typedef struct mm__excess { void *object; size_t count; } mm__excess; /* 2^n bytes */
typedef struct mm__excess_table {
    mm__excess *entry;
    size_t capacity, used;
} mm__excess_table;

typedef struct mm__gc_callback {
    mm_gc_callback_fn fn;
    void *user;
} mm__gc_callback;

typedef struct mm__gc {
    int64_t  credit_end;          /* count 0 is this less heap.credit              */
    int      threshold[3], count1, count2;
    bool     enabled, unverified, freezes; /* the last: something may be frozen    */
    uint32_t pause_us;
    uint64_t long_lived_total, long_lived_pending;
    uint64_t promoted, suspects;  /* since the last full collection: new old objects,
                                     and old ones that were put into MM__SUSPECT   */
    uint64_t untried;             /* of the latter those that no closure looked at  */
    uint64_t allocated;           /* tracked objects since the old trial began     */
    uint64_t bytes_new;           /* of large objects since the last collection    */
    mm__trial old, young;
    mm__excess_table excess[3];   /* of low and high trials; of roots             */
    mm__far  noted[MM__FAR];      /* references that wait for mm__far_settle      */
    size_t   noted_count;
    mm__bpool *suspect_pools, *touched_pools;
    size_t    closure_limit;      /* objects that the next closure may look at     */
    uint32_t  closure_pause, closure_wait; /* collections to let pass; and still   */
    uint32_t  root_pause, root_wait;       /* old trials without roots, likewise   */
    size_t    held;                        /* found by the last one                */
    mm__bpool *young_pools, *young_sorted; /* from the latter on in address order   */
    mm_weakref *calls, **calls_end; /* whose callbacks are due                     */
    void     *deferred;           /* large dead objects, to be freed after a trial */
    mm_gc_generation_stats stats[3];
    uint64_t visits, visits_slice_max;
    int      debug;
    void   **garbage;
    size_t   garbage_count, garbage_capacity;
    mm__gc_callback *callback;
    size_t   callback_count, callback_capacity;
    mm_gc_error_fn error_fn;
    void    *error_user;
} mm__gc;

/* What the weak room knows of one object. */
typedef struct mm__weak_entry {
    void          *object;
    mm_weakref    *refs;       /* the shared one first, then newest to oldest      */
    uint64_t       place;      /* of its handle, plus 1                            */
} mm__weak_entry;

typedef struct mm__weak {
    mm__weak_entry *entry;     /* open addressing by object                        */
    size_t   capacity, used;
    mm__place *places;         /* of handles; that of no object has nobody         */
    size_t   place_count, place_capacity; /* the latter 0 or 2^n                   */
    uint64_t free_place;       /* plus 1: list of places to use again              */
    mm_finalizer *oldest, *newest; /* all that are alive, in order of registration */
} mm__weak;

/* A block held back after free (debug level 2). */
typedef struct mm__held_block { void *block; size_t size; } mm__held_block;

/* The intern table; its room explains it. Zero is an empty table. */
typedef struct mm__intern_entry {
    uint64_t hash; /* never 0, but 0 in an empty entry */
    mm_str  *str;  /* borrowed */
} mm__intern_entry;

typedef struct mm__intern {
    mm__intern_entry *entries;
    size_t   capacity, count; /* capacity: 0 or a power of two */
    size_t   bytes;
    uint64_t hits, misses, saved_bytes;
} mm__intern;

/* An object pool; its room explains it. */
typedef struct mm__pool mm__pool;
struct mm__pool {
    mm_pool      front;
    mm_pool_desc desc;
    mm_heap     *heap;
    mm__pool    *next, *previous; /* of this heap's pools                          */
    void       **stack;           /* [0] is NULL, then the idle items              */
    size_t       capacity;        /* idle items the stack has room for             */
    size_t       idle;            /* of a guarded pool                             */
    size_t       items;           /* made and not freed: in use and idle           */
    uint64_t     misses, refused;
    uintptr_t   *known;           /* of a checked pool: every item, bit 0: idle    */
    size_t       known_capacity;  /* 0 or a power of two                           */
    bool         guarded;         /* the inline half must take the slow path       */
    bool         checked;         /* every acquire and release is looked up        */
    bool         closed;          /* destroyed; waits for its objects in use       */
    void        *nothing;         /* the stack of a pool that has none             */
};

/* What LeakSanitizer is to see of a block; see >>debug. */
typedef struct mm__twin mm__twin;
struct mm__twin { mm__twin *next, **at; };

/* What keeps a death from being the whole matter; looked at in one piece. */
typedef struct mm__busy {
    bool deferring;  /* do not drain: slots are being cleared                       */
    bool collecting;
    bool trial;      /* gc.old.phase is not MM__IDLE                                */
    bool unused;
} mm__busy;

struct mm__heap {
    mm_heap   front;
    mm__class klass[MM__CACHES];

    mm__arena **arenas;         /* every arena and huge block; NULL: unused place  */
    size_t      arena_capacity;
    uint32_t    arena_count;
    mm__arena  *open[2];        /* PLAIN and TRACKED arenas with free pages        */
    mm__arena  *spare[2];       /* one empty arena of each kind is kept            */
    size_t      reserved, reserved_peak, small_bytes, peak_bytes;
    size_t      huge_count, arena_total;
    mm__leaving *leaving;       /* mappings that go back in parts                 */
    size_t      run_count[3], run_bytes[3], run_peak[3]; /* runs and huge blocks   */

    mm_heap_desc desc;
    uint64_t    *buffer_pages;  /* of desc.buffer: bit 1: free                     */
    size_t       buffer_count;
    char        *buffer_start;
    size_t       self_size;     /* of the mapping that this struct is in           */

    mm_status status;
    char      message[240];
    uintptr_t owner;            /* the thread that created the heap               */
    uint64_t  seed;             /* of hashes                                      */
    int       debug;
    bool      brief;            /* what runs must not take long                    */
    bool      cached;           /* the array caches are in use                     */
    bool      valgrind, destroying, in_emergency;
    const void *accused;        /* what mm__bug shows to sanitizers, or NULL       */
    mm__twin   *twins;          /* under AddressSanitizer, of what is allocated    */
    uint8_t   sink;             /* collector byte of all that is not tracked       */
    uint32_t  zone;             /* bytes before and after each block when checking */
    mm__held_block *held;       /* quarantine: a ring                              */
    size_t    held_count, held_first, held_capacity, held_bytes;

    void  *aged[MM__AGED];      /* see K4                                          */
    size_t aged_count;

    uint32_t dying, dying_prompt; /* stacks of dead objects, linked through rc      */
    int      dying_depth;
    mm__busy busy;
    size_t   dying_budget, pending_free;

    mm__place  nowhere[2];      /* of handles, where none is found: see W7        */
    bool       barrier;         /* an old collection must hear of what is found   */

    mm__gc     gc;
    mm__weak   weak;
    mm__intern intern;
    mm__pool  *pools;
};

MM__PRIVATE mm__heap *mm__H(const mm_heap *heap)
{
    return (mm__heap *)(uintptr_t)heap;
}

MM__PRIVATE mm__arena *mm__A(const void *p)
{
    return (mm__arena *)(uintptr_t)mm__arena_of(p);
}

/* ============================================================================
   >>base.impl   Version, statuses, log

   Invariants
     E1  a failure is recorded before it is returned, and nothing else changes
   ============================================================================ */

#if defined(__GNUC__) && !defined(__TINYC__)
static __thread mm_status mm__create_status;
static __thread char      mm__create_message[240];
#else
static mm_status mm__create_status;
static char      mm__create_message[240];
#endif

MM_API int mm_version(void)
{
    return MM_VERSION;
}

MM_API const char *mm_status_text(mm_status status)
{
#define MM__STATUS_TEXT(name, text) text,
    static const char *const texts[] = {MM_STATUSES(MM__STATUS_TEXT)};
#undef MM__STATUS_TEXT
    if ((unsigned)status >= (unsigned)MM_STATUS_COUNT) return "not a status";
    return texts[status];
}

MM_API mm_status mm_last_status(const mm_heap *heap)
{
    return heap ? mm__H(heap)->status : mm__create_status;
}

MM_API const char *mm_last_message(const mm_heap *heap)
{
    return heap ? mm__H(heap)->message : mm__create_message;
}

MM_API void mm_clear_status(mm_heap *heap)
{
    mm__H(heap)->status = MM_OK;
    mm__H(heap)->message[0] = 0;
}

MM__COLD bool mm__fail(mm_heap *heap, mm_status status, const char *format, ...)
    MM__PRINTF(3, 4);

MM__COLD bool mm__fail(mm_heap *heap, mm_status status, const char *format, ...)
{
    va_list args;
    char   *text = heap ? mm__H(heap)->message : mm__create_message;
    va_start(args, format);
    MM__VSNPRINTF(text, 240, format, args);
    va_end(args);
    if (heap)
        mm__H(heap)->status = status;
    else
        mm__create_status = status;
    return false;
}

MM__COLD void mm__default_log(mm_log_level level, const char *message)
{
    if (level == MM_LOG_BUG) fprintf(stderr, "memmgr: %s\n", message);
}

MM__COLD void mm__log_text(mm__heap *h, mm_log_level level, const char *message)
{
    if (h && h->desc.log)
        h->desc.log(level, message, h->desc.user);
    else
        mm__default_log(level, message);
}

MM__COLD void mm__log(mm__heap *h, mm_log_level level, const char *format, ...)
    MM__PRINTF(3, 4);

MM__COLD void mm__log(mm__heap *h, mm_log_level level, const char *format, ...)
{
    char    text[480];
    va_list args;
    va_start(args, format);
    MM__VSNPRINTF(text, sizeof text, format, args);
    va_end(args);
    mm__log_text(h, level, text);
}

MM_API void mm_assert_failed(const char *file, int line, const char *message)
{
    char text[480];
    MM__SNPRINTF(text, sizeof text, "%s:%d: %s", file, line, message);
    mm__default_log(MM_LOG_BUG, text);
#ifndef NDEBUG
    abort();
#endif
}

/* Tell valgrind, if it watches. */
MM__COLD void mm__vg(const mm__heap *h, uint32_t what, const void *p, size_t size)
{
    if (h->valgrind) MM__VG_TELL(what, p, size);
}

/* A caller's bug, told through the heap's own log; then as MM_ASSERT. */
MM__COLD void mm__bug(mm__heap *h, const char *format, ...) MM__PRINTF(2, 3);

MM__COLD void mm__bug(mm__heap *h, const char *format, ...)
{
    char    text[480];
    va_list args;
    va_start(args, format);
    MM__VSNPRINTF(text, sizeof text, format, args);
    va_end(args);
    mm__log_text(h, MM_LOG_BUG, text);
#ifndef NDEBUG
    if (h->accused && MM__ASAN) MM__BAD_ACCESS(h->accused, &args);
    if (h->accused) mm__vg(h, MM__VG_FREE, h->accused, 0); /* once too often */
    abort();
#endif
}

/* A heap belongs to one thread. Checked where debugging comes by anyway. */
MM__COLD void mm__check_owner(mm__heap *h)
{
    uintptr_t here = mm__thread_id();
    if (here == h->owner) return;
    mm__bug(h, "heap %p belongs to thread %#llx, but is used by thread %#llx",
            (void *)h, (unsigned long long)h->owner, (unsigned long long)here);
    h->owner = here; /* say it once */
}

/* Room checks report through this and go on. */
MM__COLD bool mm__broken(mm__heap *h, const char *invariant, const void *where)
{
    mm__log(h, MM_LOG_BUG, "invariant %s does not hold at %p", invariant, where);
    return false;
}

/* ============================================================================
   >>class   Size classes

   Steps of 16 bytes to 512, then eight steps per doubling up to half a pool. At
   most 12.5 % of a block is waste above 128 bytes.

   Invariants
     C1  mm__class_of(mm__class_size(c)) == c, and sizes rise with c
     C2  class 0 means "larger than any class"
   ============================================================================ */

MM__PRIVATE size_t mm__class_size(unsigned c)
{
    unsigned k = c - 33;
    if (c <= 32) return (size_t)c * 16;
    return (size_t)(9 + k % 8) << (6 + k / 8);
}

MM__PRIVATE unsigned mm__class_of(size_t size)
{
    unsigned e;
    if (size <= 512) return size ? (unsigned)((size + 15) / 16) : 1;
    if (size > MM__SMALL_MAX) return 0;
    e = mm__log2(size - 1);
    return 33 + (e - 9) * 8 + (unsigned)(((size - 1) >> (e - 3)) & 7);
}

/* Units a pool of this class takes: enough for eight blocks. */
MM__PRIVATE uint32_t mm__class_span(size_t size)
{
    return (uint32_t)mm__round_up(size * 8, MM__POOL_SIZE) >> MM__POOL_SHIFT;
}

MM__NOINLINE uint32_t mm__class_capacity(size_t size)
{
    size_t n = MM__POOL_SIZE / size, least = size <= 512 ? MM__CACHE_MIN : 8;
    if (n > MM__CACHE_MAX) n = MM__CACHE_MAX;
    return (uint32_t)(n < least ? least : n);
}

MM__PRIVATE void mm__class_init(mm__class *k, unsigned index)
{
    unsigned c = (index - 1) % MM__CLASSES + 1;
    size_t   start;
    k->kind = (index - 1) / MM__CLASSES;
    k->size = (uint32_t)mm__class_size(c);
    k->span = mm__class_span(k->size);
    start = k->kind == MM_BLOCK_RAW ? 0 : 8;
    k->blocks = (uint32_t)((k->span * MM__POOL_SIZE - start) / k->size);
    k->inverse = ((UINT64_C(1) << 40) + k->size - 1) / k->size;
    k->capacity = mm__class_capacity(k->size);
    k->batch = k->capacity / 2 < 64 ? k->capacity / 2 : 64;
    k->refill = k->capacity < MM__REFILL ? k->capacity : MM__REFILL;
}

/* ============================================================================
   >>arena   Arenas, pools and page runs

   An arena is 64 units. Its first units hold the side tables; each of the others is
   free, part of a pool, or cut into 4 KiB pages for runs. A huge block has an arena
   head of its own in front, so that every address finds a head by a mask.

   Invariants
     A1  head.cache[u] is the cache index of the pool in unit u, 0 if there is none
     A2  a bit of MM__FREE is 1 exactly if the block is neither allocated nor cached
     A3  pool->sum has bit w exactly if word w of MM__FREE is not zero, and
         pool->free is the number of 1 bits
     A4  a pool is in its class's queue exactly if pool->free > 0
     A5  an arena is in heap->open exactly if it has free pages and is not the spare
     A6  tables other than MM__FREE have bits only where MM__FREE has none, but for
         MM__YOUNG0, which may name free blocks
     A7  a pool with a bit in MM__YOUNG0 or 1 is in the list of young pools, and its
         young_sum has the word
   ============================================================================ */

MM__PRIVATE uint64_t *mm__table(const mm__bpool *pool, int table)
{
    return pool->bits + (size_t)table * MM__WORDS;
}

/* The 64 bytes of the collector for word w. */
MM__PRIVATE uint8_t *mm__bytes(const mm__bpool *pool, size_t w)
{
    return mm__A(pool)->unit[pool->unit].bytes + w * 64;
}

MM__PRIVATE size_t mm__pool_words(const mm__bpool *pool)
{
    return (pool->count + 63) / 64;
}

MM__PRIVATE mm__bpool *mm__pool_at(const mm__arena *arena, const void *p)
{
    size_t unit = ((uintptr_t)p & MM__ARENA_MASK) >> MM__POOL_SHIFT;
    return (mm__bpool *)(uintptr_t)&arena->pool[arena->unit[unit].head];
}

MM__PRIVATE uint32_t mm__index_in(const mm__arena *arena, const void *p)
{
    const mm__unit *u = &arena->unit[((uintptr_t)p & MM__ARENA_MASK) >> MM__POOL_SHIFT];
    uint64_t offset = (uint32_t)((uintptr_t)p & MM__ARENA_MASK) - u->base;
    return (uint32_t)((offset * u->inverse) >> 40);
}

/* -- memory from outside: the OS, the host's hook, or the host's buffer -- */

MM__PRIVATE bool mm__buffer_fits(const mm__heap *h, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++)
        if (!(h->buffer_pages[i / 64] >> (i % 64) & 1)) return false;
    return true;
}

MM__RARE MM__PRIVATE void mm__buffer_mark(mm__heap *h, size_t first, size_t n,
                                          bool is_free)
{
    for (size_t i = first; i < first + n; i++) {
        uint64_t bit = UINT64_C(1) << (i % 64);
        if (is_free)
            h->buffer_pages[i / 64] |= bit;
        else
            h->buffer_pages[i / 64] &= ~bit;
    }
}

MM__PRIVATE void *mm__buffer_map(mm__heap *h, size_t size, size_t align)
{
    size_t n = size / MM__PAGE, step = align > MM__PAGE ? align / MM__PAGE : 1;
    size_t i =
        (mm__round_up((size_t)h->buffer_start, align) - (size_t)h->buffer_start) /
        MM__PAGE;
    for (; i + n <= h->buffer_count; i += step)
        if (mm__buffer_fits(h, i, n)) {
            mm__buffer_mark(h, i, n, false);
            return memset(h->buffer_start + i * MM__PAGE, 0, size);
        }
    return NULL;
}

MM__PRIVATE void mm__leave_all(mm__heap *h);

/* size is rounded to pages. The failure is recorded here. */
MM__RARE MM__NOINLINE void *mm__obtain(mm__heap *h, size_t size, size_t align)
{
    void *p = NULL;
    if (size > SIZE_MAX / 2) {
        mm__fail(&h->front, MM_ERR_NOMEM,
                 "a request of %zu bytes is more than there is", size);
        return NULL;
    }
    size = mm__round_up(size, MM__PAGE);
    if (h->leaving && h->desc.max_bytes) mm__leave_all(h);
    if (h->desc.max_bytes && size > h->desc.max_bytes - h->reserved) {
        mm__fail(&h->front, MM_ERR_LIMIT,
                 "%zu more bytes would exceed max_bytes %zu (%zu are in use)", size,
                 h->desc.max_bytes, h->reserved);
        return NULL;
    }
    if (h->desc.buffer)
        p = mm__buffer_map(h, size, align);
    else if (h->desc.map)
        p = h->desc.map(size, align, h->desc.user);
    else
        p = mm__os_map(size, align);
    if (p == NULL) {
        mm__fail(&h->front, MM_ERR_NOMEM, "%s has no %zu bytes",
                 h->desc.buffer ? "the fixed buffer"
                 : h->desc.map  ? "the map hook"
                                : "the system",
                 size);
        return NULL;
    }
    h->reserved += size;
    if (h->reserved > h->reserved_peak) h->reserved_peak = h->reserved;
    return p;
}

MM__RARE MM__PRIVATE void mm__give_back(mm__heap *h, void *p, size_t size)
{
    size = mm__round_up(size, MM__PAGE);
    h->reserved -= size;
    if (h->desc.buffer)
        mm__buffer_mark(h, (size_t)((char *)p - h->buffer_start) / MM__PAGE,
                        size / MM__PAGE, true);
    else if (h->desc.unmap)
        h->desc.unmap(p, size, h->desc.user);
    else
        mm__os_unmap(p, size);
}

/* -- memory on its way out: unmapping megabytes takes longer than a slice may, so
   what becomes empty in one goes in parts, from its end -- */

struct mm__leaving {
    mm__leaving *next;
    size_t       size;
};

#define MM__LEAVE_PART ((size_t)512 << 10)

MM__RARE MM__PRIVATE void mm__leave_some(mm__heap *h)
{
    mm__leaving *m = h->leaving;
    if (m->size <= MM__LEAVE_PART) {
        h->leaving = m->next;
        mm__give_back(h, m, m->size);
        return;
    }
    m->size -= MM__LEAVE_PART;
    mm__give_back(h, (char *)m + m->size, MM__LEAVE_PART);
}

MM__PRIVATE void mm__leave_all(mm__heap *h)
{
    while (h->leaving) mm__leave_some(h);
}

/* Give back what may be large: at once, unless this must not take long. */
MM__PRIVATE void mm__give_back_large(mm__heap *h, void *p, size_t size)
{
    mm__leaving *m = (mm__leaving *)p;
    if (!h->brief || !MM__OS_PARTS || h->desc.buffer || h->desc.unmap) {
        mm__give_back(h, p, size);
        return;
    }
    m->next = h->leaving;
    m->size = mm__round_up(size, MM__PAGE);
    h->leaving = m;
}

/* A side table of the library: resized, its content kept; false: nothing changed. */
MM__RARE MM__PRIVATE bool mm__table_grow(mm__heap *h, void **table, size_t old_size,
                                size_t new_size)
{
    void *p = mm__obtain(h, new_size, MM__PAGE);
    if (p == NULL) return false;
    if (old_size) {
        memcpy(p, *table, old_size);
        mm__give_back(h, *table, old_size);
    }
    *table = p;
    return true;
}

/* Room for one more in a growing array of the library. */
MM__RARE MM__PRIVATE bool mm__array_reserve(mm__heap *h, void **array, size_t count,
                                   size_t *capacity, size_t item)
{
    size_t old_size = *capacity * item, new_size;
    if (count < *capacity) return true;
    new_size = old_size ? old_size * 2 : MM__PAGE;
    if (!mm__table_grow(h, array, old_size, new_size)) return false;
    *capacity = new_size / item;
    return true;
}

/* -- the registry of arenas -- */

MM__RARE MM__PRIVATE bool mm__arena_register(mm__heap *h, mm__arena *arena)
{
    uint32_t i = 0;
    while (i < h->arena_count && h->arenas[i] != NULL) i++;
    if (!mm__array_reserve(h, (void **)(void *)&h->arenas, i, &h->arena_capacity,
                           sizeof *h->arenas))
        return false;
    if (i == h->arena_count) h->arena_count++;
    h->arenas[i] = arena;
    arena->index = i;
    return true;
}

MM__PRIVATE void mm__arena_unregister(mm__heap *h, mm__arena *arena)
{
    h->arenas[arena->index] = NULL;
    while (h->arena_count && h->arenas[h->arena_count - 1] == NULL) h->arena_count--;
}

MM__RARE MM__PRIVATE mm__arena *mm__arena_find(const mm__heap *h, const void *p)
{
    mm__arena *arena = mm__A(p);
    for (uint32_t i = 0; i < h->arena_count; i++)
        if (h->arenas[i] == arena) return arena;
    return NULL;
}

MM__PRIVATE void mm__arena_open(mm__heap *h, mm__arena *arena)
{
    mm__arena **list = &h->open[arena->head.kind];
    if (arena->listed) return;
    arena->listed = true;
    arena->prev = NULL;
    arena->next = *list;
    if (*list) (*list)->prev = arena;
    *list = arena;
}

MM__NOINLINE void mm__arena_close(mm__heap *h, mm__arena *arena)
{
    if (!arena->listed) return;
    arena->listed = false;
    if (arena->prev)
        arena->prev->next = arena->next;
    else
        h->open[arena->head.kind] = arena->next;
    if (arena->next) arena->next->prev = arena->prev;
}

/* Ask for huge pages before the first touch; not before so much is in use that the
   unused rest of one hardly matters. For objects with references later: that touch is a
   pause of milliseconds on some machines. */
MM__RARE MM__PRIVATE void mm__arena_want_huge(mm__heap *h, void *arena, uint32_t kind)
{
    mm_huge_pages mode = h->desc.huge_pages;
    size_t least = (size_t)3 << (kind == MM__KIND_TRACKED ? 22 : 20);
    if (mode == MM_HUGE_OFF || h->desc.buffer || h->desc.map) return;
    if (mode == MM_HUGE_AUTO && h->small_bytes < least) return;
    mm__os_want_huge_pages(arena, MM__ARENA_SIZE);
}

MM__RARE MM__PRIVATE void mm__arena_layout(mm__heap *h, mm__arena *arena, uint32_t kind)
{
    size_t tables = kind == MM__KIND_TRACKED ? MM__TABLES : 1;
    size_t bits = MM__UNITS * tables * MM__WORDS * sizeof(uint64_t);
    size_t bytes = kind == MM__KIND_TRACKED ? MM__ARENA_SIZE / 16 : 0;
    char  *at = (char *)arena + mm__round_up(sizeof *arena, 64);
    size_t used = (size_t)(at - (char *)arena) + bits + bytes;
    arena->first_unit = (uint32_t)(mm__round_up(used, MM__POOL_SIZE) >> MM__POOL_SHIFT);
    for (uint32_t u = 0; u < MM__UNITS; u++) {
        mm__bpool *pool = &arena->pool[u];
        pool->bits = (uint64_t *)(void *)(at + bits / MM__UNITS * u);
        pool->unit = (uint8_t)u;
        arena->unit[u].head = u;
        arena->unit[u].bytes = &h->sink;
        if (kind == MM__KIND_TRACKED)
            arena->unit[u].bytes = (uint8_t *)at + bits + bytes / MM__UNITS * u;
    }
    for (size_t i = arena->first_unit * MM__UNIT_PAGES; i < MM__PAGES; i++)
        arena->pages[i / 64] |= UINT64_C(1) << (i % 64);
    memcpy(arena->clean, arena->pages, sizeof arena->clean);
    arena->free_pages = (uint32_t)(MM__PAGES - arena->first_unit * MM__UNIT_PAGES);
}

/* What mm__found sees: with a barrier also what the collector walks. */
MM__PRIVATE void mm__arena_hide(mm__arena *arena, bool barrier)
{
    arena->head.hidden = barrier ? MM__F_DEAD | MM__F_TRACKED : MM__F_DEAD;
}

MM__RARE MM__PRIVATE mm__arena *mm__arena_new(mm__heap *h, uint32_t kind)
{
    mm__arena *arena = h->spare[kind];
    if (arena) {
        h->spare[kind] = NULL;
        mm__arena_open(h, arena);
        return arena;
    }
    arena = (mm__arena *)mm__obtain(h, MM__ARENA_SIZE, MM__ARENA_SIZE);
    if (arena == NULL) return NULL;
    mm__arena_want_huge(h, arena, kind);
    arena->head.heap = &h->front;
    arena->head.kind = kind;
    arena->size = MM__ARENA_SIZE;
    if (!mm__arena_register(h, arena)) {
        mm__give_back(h, arena, MM__ARENA_SIZE);
        return NULL;
    }
    h->arena_total++;
    mm__arena_layout(h, arena, kind);
    mm__arena_hide(arena, kind == MM__KIND_TRACKED && h->busy.trial);
    MM__ROOT_REGION(arena, arena->size);
    mm__vg(h, MM__VG_NOACCESS, (char *)arena + arena->first_unit * MM__POOL_SIZE,
           arena->size - arena->first_unit * MM__POOL_SIZE);
    mm__arena_open(h, arena);
    return arena;
}

MM__RARE MM__PRIVATE void mm__arena_delete(mm__heap *h, mm__arena *arena)
{
    mm__arena_close(h, arena);
    mm__arena_unregister(h, arena);
    h->arena_total--;
    MM__UNPOISON(arena, arena->size);
    MM__ROOT_REGION_END(arena, arena->size);
    mm__vg(h, MM__VG_DEFINED, arena, arena->size);
    mm__give_back_large(h, arena, arena->size);
}

/* Pages of the arena became free: keep it, or give it back. */
MM__RARE MM__PRIVATE void mm__arena_released(mm__heap *h, mm__arena *arena)
{
    uint32_t all = (uint32_t)(MM__PAGES - arena->first_unit * MM__UNIT_PAGES);
    if (arena->free_pages < all || arena->young) {
        mm__arena_open(h, arena);
        return;
    }
    if (h->spare[arena->head.kind] != NULL) {
        mm__arena_delete(h, arena);
        return;
    }
    mm__arena_close(h, arena);
    h->spare[arena->head.kind] = arena;
}

/* The empty arenas that were kept go back; whether there were any. */
MM__RARE MM__PRIVATE bool mm__spares_delete(mm__heap *h)
{
    bool any = false;
    for (int i = 0; i < 2; i++) {
        if (h->spare[i] == NULL) continue;
        mm__arena_delete(h, h->spare[i]);
        h->spare[i] = NULL;
        any = true;
    }
    return any;
}

/* -- pages -- */

MM__NOINLINE uint64_t mm__low_bits(size_t n)
{
    return n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
}

MM__RARE MM__PRIVATE void mm__pages_set(mm__arena *arena, size_t first, size_t n,
                                        bool is_free)
{
    size_t left = n;
    while (left) {
        size_t   k = 64 - first % 64 < left ? 64 - first % 64 : left;
        uint64_t mask = mm__low_bits(k) << (first % 64);
        if (is_free)
            arena->pages[first / 64] |= mask;
        else
            arena->pages[first / 64] &= ~mask, arena->clean[first / 64] &= ~mask;
        first += k;
        left -= k;
    }
    arena->free_pages += (uint32_t)(is_free ? n : 0 - n);
}

MM__PRIVATE bool mm__page_free(const mm__arena *arena, size_t i)
{
    return arena->pages[i / 64] >> (i % 64) & 1;
}

/* Pages free from `first` on, counted up to `want`. */
MM__PRIVATE size_t mm__pages_from(const mm__arena *arena, size_t first, size_t want)
{
    size_t n = 0;
    while (n < want && first + n < MM__PAGES && mm__page_free(arena, first + n)) n++;
    return n;
}

/* The lowest place for n free pages that starts at a multiple of step; 0: none. */
MM__RARE MM__PRIVATE size_t mm__pages_find(const mm__arena *arena, size_t n,
                                           size_t step)
{
    size_t i = arena->first_unit * MM__UNIT_PAGES;
    if (arena->free_pages < n) return 0;
    for (i = mm__round_up(i, step); i + n <= MM__PAGES;) {
        size_t k = mm__pages_from(arena, i, n);
        if (k == n) return i;
        if (step == 1 && k == 0 && i % 64 == 0 && arena->pages[i / 64] == 0)
            i += 64;
        else
            i = mm__round_up(i + k + 1, step);
    }
    return 0;
}

/* An arena with n free pages in a row, the fullest of those looked at. */
MM__RARE MM__PRIVATE mm__arena *mm__arena_with(mm__heap *h, uint32_t kind, size_t n,
                                               size_t step, size_t *first)
{
    mm__arena *best = NULL;
    int looked = 0;
    for (mm__arena *a = h->open[kind]; a && looked < 16; a = a->next) {
        size_t at =
            best && best->free_pages <= a->free_pages ? 0 : mm__pages_find(a, n, step);
        looked += 1;
        if (at) best = a, *first = at;
    }
    if (best) return best;
    best = mm__arena_new(h, kind);
    if (best) *first = mm__pages_find(best, n, step);
    return best;
}

/* -- pools -- */

MM__NOINLINE void mm__queue_push(mm__class *k, mm__bpool *pool)
{
    pool->queued = true;
    pool->next = NULL;
    pool->prev = k->last;
    if (k->last)
        k->last->next = pool;
    else
        k->first = pool;
    k->last = pool;
}

MM__NOINLINE void mm__queue_remove(mm__class *k, mm__bpool *pool)
{
    pool->queued = false;
    if (pool->prev)
        pool->prev->next = pool->next;
    else
        k->first = pool->next;
    if (pool->next)
        pool->next->prev = pool->prev;
    else
        k->last = pool->prev;
}

MM__PRIVATE void mm__bits_fill(uint64_t *word, size_t n)
{
    for (; n >= 64; n -= 64) *word++ = ~UINT64_C(0);
    if (n) *word = mm__low_bits(n);
}

/* Make the units of `pool` find it, for blocks of `size`. */
MM__RARE MM__PRIVATE void mm__pool_bind(mm__arena *arena, mm__bpool *pool,
                                        uint64_t inverse, unsigned cache)
{
    bool tracked = arena->head.kind == MM__KIND_TRACKED;
    for (uint32_t u = pool->unit; u < (uint32_t)pool->unit + pool->span; u++) {
        arena->head.cache[u] = (uint8_t)cache;
        arena->unit[u].head = pool->unit;
        arena->unit[u].base = (uint32_t)(pool->blocks - (char *)arena);
        arena->unit[u].inverse = inverse;
        if (!tracked) continue;
        arena->unit[u].scale = inverse;
        arena->unit[u].bytes = arena->unit[pool->unit].bytes;
    }
}

MM__RARE MM__NOINLINE mm__bpool *mm__pool_new(mm__heap *h, unsigned cache)
{
    mm__class *k = &h->klass[cache];
    uint32_t   kind = k->kind == MM_BLOCK_TRACKED ? MM__KIND_TRACKED : MM__KIND_PLAIN;
    size_t     page = 0;
    mm__arena *arena = mm__arena_with(h, kind, k->span * MM__UNIT_PAGES, MM__UNIT_PAGES,
                                      &page);
    mm__bpool *pool;
    if (arena == NULL) return NULL;
    mm__pages_set(arena, page, k->span * MM__UNIT_PAGES, false);
    if (arena->free_pages == 0) mm__arena_close(h, arena);
    pool = &arena->pool[page / MM__UNIT_PAGES];
    pool->span = (uint8_t)k->span;
    pool->cache = (uint16_t)cache;
    pool->size = k->size;
    pool->count = pool->free = k->blocks;
    pool->blocks = (char *)arena + page * MM__PAGE + (k->kind == MM_BLOCK_RAW ? 0 : 8);
    pool->sum = mm__low_bits(mm__pool_words(pool));
    mm__bits_fill(mm__table(pool, MM__FREE), pool->count);
    mm__pool_bind(arena, pool, k->inverse, cache);
    k->pools++;
    k->free_blocks += pool->count;
    mm__queue_push(k, pool);
    return pool;
}

/* Units whose pool is gone; the tables are zero again but for MM__FREE. */
MM__NOINLINE void mm__suspect_unlink(mm__heap *h, mm__bpool *pool);

MM__RARE MM__PRIVATE void mm__units_release(mm__heap *h, mm__arena *arena,
                                            mm__bpool *pool)
{
    size_t words = mm__pool_words(pool), span = pool->span;
    size_t tables = arena->head.kind == MM__KIND_TRACKED ? MM__TABLES : 1;
    for (size_t t = 0; t < tables; t++)
        memset(mm__table(pool, (int)t), 0, words * sizeof(uint64_t));
    for (uint32_t u = pool->unit; u < pool->unit + span; u++) {
        arena->head.cache[u] = 0;
        arena->unit[u].head = u;
        if (tables > 1)
            arena->unit[u].bytes =
                arena->unit[pool->unit].bytes + (u - pool->unit) * MM__POOL_SIZE / 16;
    }
    if (tables > 1) memset(arena->unit[pool->unit].bytes, 0, pool->count);
    mm__suspect_unlink(h, pool);
    pool->young_sum = 0;
    pool->count = 0;
    mm__pages_set(arena, pool->unit * MM__UNIT_PAGES, span * MM__UNIT_PAGES, true);
    mm__arena_released(h, arena);
}

/* An empty pool goes back, unless it is the only one of its class with room. While
   an old collection is under way tracked pools stay: its cursor may be in them. */
MM__RARE MM__PRIVATE void mm__pool_emptied(mm__heap *h, mm__bpool *pool, bool keep_one)
{
    mm__class *k = &h->klass[pool->cache];
    if (keep_one && k->first == pool && k->last == pool) return;
    if (k->kind == MM_BLOCK_TRACKED && h->busy.trial) return;
    if (pool->young) return; /* still listed; the next young collection looks again */
    mm__queue_remove(k, pool);
    k->pools--;
    k->free_blocks -= pool->count;
    mm__units_release(h, mm__A(pool), pool);
}

/* ============================================================================
   >>block   Blocks: caches, refill and flush, runs, huge blocks

   Free blocks wait in an array per class. A miss takes the lowest free blocks of the
   oldest pool with room; an overflow returns the newest blocks, gathered so that
   each bitmap word is written once. A free block's memory is never touched: that
   keeps a heap fast when it is old, and makes a double free visible.

   Invariants
     K1  cached blocks are marked allocated in their pool
     K2  a refill hands out ascending addresses
     K3  a tracked block that leaves its pool gets a bit in MM__YOUNG0; while an old
         collection is under way it gets the collector byte MM__LIVE as well
     K4  heap->aged holds blocks of old objects that died by count: they go back to
         their pools without passing the caches, and their bits of age with them
     K5  in a unit of runs the pool has a block per page; MM__FREE is 0 for the first
         page of each run only
   ============================================================================ */

#define MM__LIVE 255
#define MM__RUN_MAX (MM__ARENA_SIZE / 2)
#define MM__RUN_PAGES 0x7FF /* of arena->run[]; the block kind is above */
#define MM__RUN_KIND 12

MM__PRIVATE void mm__drain_some(mm__heap *h);
MM__PRIVATE void mm__aged_flush(mm__heap *h);
MM__PRIVATE bool mm__emergency(mm__heap *h);
MM__PRIVATE void mm__debug_free(mm__heap *h, void *p);
MM__PRIVATE void *mm__debug_alloc(mm__heap *h, size_t size, size_t align);

/* Whether new and dying objects are outside of the old collection under way. */
MM__NOINLINE bool mm__blackening(const mm__heap *h)
{
    return h->busy.trial && h->gc.old.phase != MM__RESET &&
           h->gc.old.set != MM__SET_CLOSURE;
}

MM__NOINLINE void mm__young_link(mm__heap *h, mm__bpool *pool)
{
    if (pool->young) return;
    pool->young = true;
    mm__A(pool)->young++;
    pool->next_young = h->gc.young_pools;
    h->gc.young_pools = pool;
}

/* The pool has fresh suspects in word w. Keeps G7. */
MM__PRIVATE void mm__suspect_link(mm__heap *h, mm__bpool *pool, size_t w)
{
    pool->suspect_sum |= UINT64_C(1) << w;
    if (pool->suspected) return;
    pool->suspected = true;
    pool->prev_suspect = NULL;
    pool->next_suspect = h->gc.suspect_pools;
    if (pool->next_suspect) pool->next_suspect->prev_suspect = pool;
    h->gc.suspect_pools = pool;
}

MM__NOINLINE void mm__suspect_unlink(mm__heap *h, mm__bpool *pool)
{
    pool->suspect_sum = 0;
    if (!pool->suspected) return;
    pool->suspected = false;
    if (pool->prev_suspect)
        pool->prev_suspect->next_suspect = pool->next_suspect;
    else
        h->gc.suspect_pools = pool->next_suspect;
    if (pool->next_suspect) pool->next_suspect->prev_suspect = pool->prev_suspect;
}

/* Keeps K3. */
MM__PRIVATE void mm__blocks_left_pool(mm__heap *h, mm__bpool *pool, size_t w,
                                      uint64_t taken)
{
    mm__table(pool, MM__YOUNG0)[w] |= taken;
    pool->young_sum |= UINT64_C(1) << w;
    mm__young_link(h, pool);
    if (mm__blackening(h)) {
        uint8_t *bytes = mm__bytes(pool, w);
        for (; taken; taken &= taken - 1) bytes[mm__ctz(taken)] = MM__LIVE;
    }
}

/* Take up to n blocks out of pool into slot[0..], highest address first. */
MM__PRIVATE uint32_t mm__pool_take(mm__heap *h, mm__bpool *pool, void **slot,
                                   uint32_t n)
{
    uint64_t *bits = mm__table(pool, MM__FREE);
    bool      tracked = h->klass[pool->cache].kind == MM_BLOCK_TRACKED;
    uint32_t  left;
    if (n > pool->free) n = pool->free;
    for (left = n; left;) {
        unsigned w = mm__ctz(pool->sum);
        uint64_t word = bits[w], rest = word;
        char    *first = pool->blocks + (size_t)w * 64 * pool->size;
        for (; rest && left; rest &= rest - 1) {
            char *block = first + (size_t)mm__ctz(rest) * pool->size;
            MM__PREFETCH_WRITE(block);
            slot[--left] = block;
        }
        bits[w] = rest;
        if (!rest) pool->sum &= pool->sum - 1;
        if (tracked) mm__blocks_left_pool(h, pool, w, word & ~rest);
    }
    return n;
}

MM__PRIVATE void mm__note_peak(mm__heap *h, mm__class *k, size_t n)
{
    uint64_t out = k->pools * k->blocks - k->free_blocks;
    h->small_bytes += n * k->size;
    if (out > k->peak) k->peak = out;
    if (h->small_bytes > h->peak_bytes) h->peak_bytes = h->small_bytes;
}

/* Fill cache `index` and pop a block; NULL: no memory (recorded). */
MM__HOT void *mm__refill(mm__heap *h, unsigned index)
{
    mm__class *k = &h->klass[index];
    mm__cache *cache = &h->front.cache[index];
    mm__bpool *pool;
    uint32_t   n;
    if (MM__UNLIKELY(h->leaving != NULL)) mm__leave_some(h);
    if (MM__UNLIKELY(h->pending_free)) {
        mm__drain_some(h);
        if (cache->top[-1]) return *--cache->top;
    }
    if (k->first == NULL) mm__aged_flush(h);
    pool = k->first;
    if (pool == NULL && (pool = mm__pool_new(h, index)) == NULL) return NULL;
    n = mm__pool_take(h, pool, k->base, h->cached ? k->refill : 1);
    pool->free -= n;
    k->free_blocks -= n;
    if (pool->free == 0) mm__queue_remove(k, pool);
    mm__note_peak(h, k, n);
    cache->top = k->base + n - 1;
    return *cache->top;
}

/* Blocks of the word that are free already; returns the others. */
MM__COLD uint64_t mm__freed_twice(mm__heap *h, const mm__bpool *pool, size_t w,
                                  uint64_t mask)
{
    uint64_t twice = pool->count ? mm__table(pool, MM__FREE)[w] & mask : mask;
    char    *p = pool->blocks + (w * 64 + mm__ctz(twice)) * pool->size;
    mm__bug(h, "block %p of %u bytes was freed twice", (void *)p, pool->size);
    return mask & ~twice;
}

/* n blocks of `pool` in word w (the bits of mask) become free. Keeps A2..A4. */
MM__INLINE void mm__pool_put(mm__class *k, mm__bpool *pool, size_t w, uint64_t mask,
                             uint32_t n)
{
    uint64_t *word = &mm__table(pool, MM__FREE)[w];
    if (*word == 0) pool->sum |= UINT64_C(1) << w;
    *word |= mask;
    if (MM__UNLIKELY(pool->free == 0)) mm__queue_push(k, pool);
    pool->free += n;
}

/* A bit that is 1 already is a block freed twice. Returns how many there were. */
MM__NOINLINE uint32_t mm__flush_word(mm__heap *h, mm__class *k, mm__bpool *pool,
                                     size_t w, uint64_t mask)
{
    uint32_t n = 1;
    if (MM__UNLIKELY((mm__table(pool, MM__FREE)[w] & mask) || pool->count == 0))
        if (!(mask = mm__freed_twice(h, pool, w, mask))) return 0;
    if (mask & (mask - 1)) n = mm__popcount(mask);
    mm__pool_put(k, pool, w, mask, n);
    if (MM__UNLIKELY(pool->free == pool->count)) mm__pool_emptied(h, pool, true);
    return n;
}

/* Blocks in order of address, up or down, from slot[*i - 1] on, which is block x of its
   pool: how far does that go in x's word? Leaves *i behind them. */
MM__INLINE uint64_t mm__flush_run(const mm__class *k, size_t x, void **slot, size_t *i,
                                  size_t n)
{
    size_t at = *i, bit = x & 63, up = 64 - bit, down = bit + 1;
    char  *next = (char *)slot[at - 1];
    if (up > k->blocks - x) up = k->blocks - x;
    if (up > n - at + 1) up = n - at + 1;
    if (down > n - at + 1) down = n - at + 1;
    for (; up > 1 && slot[at] == next + k->size; up--) next += k->size, at++;
    if (at > *i) {
        up = at - *i + 1;
        *i = at;
        return mm__low_bits(up) << bit;
    }
    for (; down > 1 && slot[at] == next - k->size; down--) next -= k->size, at++;
    down = at - *i + 1;
    *i = at;
    return mm__low_bits(down) << (bit - (down - 1));
}

/* Up to MM__SCATTER blocks of one class from all over the heap, one by one; their words
   come from memory side by side first. */
#define MM__SCATTER 32
MM__HOT uint64_t mm__flush_few(mm__heap *h, mm__class *k, void **slot, size_t n)
{
    mm__bpool *pools[MM__SCATTER];
    uint32_t   index[MM__SCATTER];
    uint64_t   freed = 0;
    for (size_t i = 0; i < n; i++) {
        mm__bpool *pool = pools[i] = mm__pool_at(mm__A(slot[i]), slot[i]);
        uint64_t   offset = (uint64_t)((char *)slot[i] - pool->blocks);
        index[i] = (uint32_t)(offset * k->inverse >> 40);
        MM__PREFETCH_WRITE(&mm__table(pool, MM__FREE)[index[i] / 64]);
    }
    for (size_t i = 0; i < n; i++) {
        mm__bpool *pool = pools[i];
        uint64_t   bit = UINT64_C(1) << (index[i] & 63);
        if (MM__UNLIKELY((mm__table(pool, MM__FREE)[index[i] / 64] & bit) ||
                         pool->free + 1 >= pool->count)) {
            freed += mm__flush_word(h, k, pool, index[i] / 64, bit);
            continue;
        }
        mm__pool_put(k, pool, index[i] / 64, bit, 1);
        freed++;
    }
    return freed;
}

MM__PRIVATE uint64_t mm__flush_scattered(mm__heap *h, mm__class *k, void **slot,
                                         size_t n)
{
    uint64_t freed = 0;
    for (; n > MM__SCATTER; slot += MM__SCATTER, n -= MM__SCATTER)
        freed += mm__flush_few(h, k, slot, MM__SCATTER);
    return freed + mm__flush_few(h, k, slot, n);
}

/* The blocks from slot[*i] on that share a word of their pool, as the bits of it;
   leaves *i behind them. A block that is there twice ends them. */
MM__HOT uint64_t mm__flush_gather(const mm__class *k, const mm__bpool *pool,
                                  void **slot, size_t *i, size_t n, size_t *w)
{
    size_t   bytes = (size_t)k->blocks * k->size;
    size_t   offset = (size_t)((char *)slot[*i] - pool->blocks);
    size_t   x = (size_t)(offset * k->inverse >> 40);
    uint64_t mask, bit;
    *w = x / 64;
    ++*i;
    mask = mm__flush_run(k, x, slot, i, n);
    for (; *i < n; ++*i, mask |= bit) {
        offset = (size_t)((char *)slot[*i] - pool->blocks);
        if (offset >= bytes) break;
        x = (size_t)(offset * k->inverse >> 40);
        bit = UINT64_C(1) << (x & 63);
        if (x / 64 != *w || (mask & bit)) break;
    }
    return mask;
}

/* Blocks of one class that may be neighbours: those that share a word go together. */
MM__PRIVATE uint64_t mm__flush_gathered(mm__heap *h, mm__class *k, void **slot,
                                        size_t n)
{
    size_t   i = 0, w;
    uint64_t freed = 0, mask;
    while (i < n) {
        mm__bpool *pool = mm__pool_at(mm__A(slot[i]), slot[i]);
        mask = mm__flush_gather(k, pool, slot, &i, n, &w);
        freed += mm__flush_word(h, k, pool, w, mask);
    }
    return freed;
}

/* Return the blocks slot[0..n) of one class, n > 0, to their pools. */
MM__RARE MM__NOINLINE void mm__flush(mm__heap *h, void **slot, size_t n)
{
    mm__class *k = &h->klass[mm__pool_at(mm__A(slot[0]), slot[0])->cache];
    bool apart = n > 1 && ((uintptr_t)slot[0] ^ (uintptr_t)slot[1]) >> MM__POOL_SHIFT;
    uint64_t   freed = apart ? mm__flush_scattered(h, k, slot, n)
                           : mm__flush_gathered(h, k, slot, n);
    k->free_blocks += freed;
    h->small_bytes -= (size_t)freed * k->size;
}

/* Blocks of word w leave all generations; what else is known of them is forgotten. */
MM__RARE MM__NOINLINE void mm__unmark(mm__bpool *pool, size_t w, uint64_t mask)
{
    for (int table = MM__YOUNG0; table < MM__TABLES; table++)
        mm__table(pool, table)[w] &= ~mask;
}

/* The blocks of old objects go back to their pools. */
MM__RARE MM__PRIVATE void mm__aged_flush(mm__heap *h)
{
    size_t n = h->aged_count, i = 0, w;
    h->aged_count = 0;
    while (i < n) {
        mm__bpool *pool = mm__pool_at(mm__A(h->aged[i]), h->aged[i]);
        mm__class *k = &h->klass[pool->cache];
        uint64_t   mask = mm__flush_gather(k, pool, h->aged, &i, n, &w);
        uint32_t   freed;
        mm__unmark(pool, w, mask);
        freed = mm__flush_word(h, k, pool, w, mask);
        k->free_blocks += freed;
        h->small_bytes -= (size_t)freed * k->size;
    }
}

MM__PRIVATE void mm__flush_cache(mm__heap *h, unsigned index)
{
    mm__cache *cache = &h->front.cache[index];
    mm__class *k = &h->klass[index];
    size_t     n = (size_t)(cache->top - k->base);
    if (n == 0) return;
    cache->top = k->base;
    mm__flush(h, k->base, n);
}

MM__RARE MM__PRIVATE void mm__flush_all(mm__heap *h)
{
    mm__aged_flush(h);
    for (unsigned i = 1; i < MM__CACHES; i++) mm__flush_cache(h, i);
}

MM__RARE MM__PRIVATE void mm__flush_tracked(mm__heap *h)
{
    mm__aged_flush(h);
    for (unsigned i = 2 * MM__CLASSES + 1; i < MM__CACHES; i++) mm__flush_cache(h, i);
}

/* Empty pools go back, also the last one of a class. */
MM__PRIVATE void mm__purge_classes(mm__heap *h)
{
    for (unsigned i = 1; i < MM__CACHES; i++) {
        mm__class *k = &h->klass[i];
        for (mm__bpool *pool = k->first, *next; pool; pool = next) {
            next = pool->next;
            if (pool->free == pool->count) mm__pool_emptied(h, pool, false);
        }
    }
}

/* -- runs of pages -- */

MM__PRIVATE void mm__large_bytes(mm__heap *h, mm_block_kind kind, size_t bytes)
{
    if (++h->run_count[kind] > h->run_peak[kind])
        h->run_peak[kind] = h->run_count[kind];
    h->run_bytes[kind] += bytes;
    h->small_bytes += bytes;
    h->gc.bytes_new += bytes;
    if (h->small_bytes > h->peak_bytes) h->peak_bytes = h->small_bytes;
}

MM__PRIVATE void mm__large_gone(mm__heap *h, mm_block_kind kind, size_t bytes)
{
    h->run_count[kind]--;
    h->run_bytes[kind] -= bytes;
    h->small_bytes -= bytes;
}

/* Make a unit that pages were just taken from a unit of runs. Keeps K5. */
MM__RARE MM__PRIVATE void mm__run_unit(mm__arena *arena, size_t unit)
{
    mm__bpool *pool = &arena->pool[unit];
    if (pool->count) return;
    pool->span = 1;
    pool->cache = 0;
    pool->size = (uint32_t)MM__PAGE;
    pool->count = pool->free = (uint32_t)MM__UNIT_PAGES;
    pool->blocks = (char *)arena + unit * MM__POOL_SIZE;
    pool->sum = 1;
    mm__bits_fill(mm__table(pool, MM__FREE), pool->count);
    mm__pool_bind(arena, pool, (UINT64_C(1) << 40) / MM__PAGE, 0);
}

MM__RARE MM__NOINLINE void *mm__run_alloc(mm__heap *h, mm_block_kind kind, size_t size,
                                 size_t align)
{
    size_t     n = mm__round_up(size, MM__PAGE) / MM__PAGE, page = 0, unit;
    size_t     step = align > MM__PAGE ? align / MM__PAGE : 1;
    uint32_t   where = kind == MM_BLOCK_TRACKED ? MM__KIND_TRACKED : MM__KIND_PLAIN;
    mm__arena *arena = mm__arena_with(h, where, n, step, &page);
    mm__bpool *pool;
    if (arena == NULL) return NULL;
    mm__pages_set(arena, page, n, false);
    if (arena->free_pages == 0) mm__arena_close(h, arena);
    arena->run[page] = (uint16_t)(n | (size_t)kind << MM__RUN_KIND);
    for (unit = page / MM__UNIT_PAGES; unit <= (page + n - 1) / MM__UNIT_PAGES; unit++)
        mm__run_unit(arena, unit);
    pool = &arena->pool[page / MM__UNIT_PAGES];
    mm__table(pool, MM__FREE)[0] &= ~(UINT64_C(1) << page % MM__UNIT_PAGES);
    pool->free--;
    if (kind == MM_BLOCK_TRACKED)
        mm__blocks_left_pool(h, pool, 0, UINT64_C(1) << page % MM__UNIT_PAGES);
    mm__large_bytes(h, kind, n * MM__PAGE);
    return (char *)arena + page * MM__PAGE;
}

/* Units without any run are free again. */
MM__RARE MM__PRIVATE void mm__run_units_free(mm__heap *h, mm__arena *arena, size_t u,
                                    size_t last)
{
    for (; u <= last; u++) {
        mm__bpool *pool = &arena->pool[u];
        if (mm__pages_from(arena, u * MM__UNIT_PAGES, MM__UNIT_PAGES) < MM__UNIT_PAGES)
            continue;
        if (pool->young) continue; /* until the next young collection tidies up */
        memset(mm__table(pool, MM__FREE), 0, sizeof(uint64_t));
        mm__suspect_unlink(h, pool);
        pool->count = 0;
    }
    mm__arena_released(h, arena);
}

MM__PRIVATE void mm__run_pages_free(mm__heap *h, mm__arena *arena, size_t page,
                                    size_t n)
{
    mm__pages_set(arena, page, n, true);
    mm__run_units_free(h, arena, page / MM__UNIT_PAGES,
                       (page + n - 1) / MM__UNIT_PAGES);
}

MM__RARE MM__PRIVATE void mm__run_free(mm__heap *h, mm__arena *arena, void *p)
{
    size_t page = ((uintptr_t)p & MM__ARENA_MASK) / MM__PAGE;
    size_t n = arena->run[page] & MM__RUN_PAGES, bit = page % MM__UNIT_PAGES;
    mm__bpool *pool = &arena->pool[page / MM__UNIT_PAGES];
    mm_block_kind kind = (mm_block_kind)(arena->run[page] >> MM__RUN_KIND);
    if (n == 0 || (kind == MM_BLOCK_RAW && ((uintptr_t)p & (MM__PAGE - 1)))) {
        mm__bug(h, "%p is freed, but no block starts there (or it was freed before)",
                p);
        return;
    }
    if (kind == MM_BLOCK_TRACKED) {
        for (int t = MM__YOUNG0; t < MM__TABLES; t++)
            mm__table(pool, t)[0] &= ~(UINT64_C(1) << bit);
        arena->unit[page / MM__UNIT_PAGES].bytes[bit] = 0;
    }
    arena->run[page] = 0;
    mm__table(pool, MM__FREE)[0] |= UINT64_C(1) << bit;
    pool->free++;
    mm__large_gone(h, kind, n * MM__PAGE);
    mm__run_pages_free(h, arena, page, n);
}

/* -- huge blocks -- */

#define MM__HUGE_HEADER mm__round_up(sizeof(mm__arena), MM__PAGE)

MM__RARE MM__PRIVATE void mm__huge_bind(mm__heap *h, mm__arena *arena,
                                        mm_block_kind kind)
{
    arena->block_kind = kind;
    arena->pool[0].bits = arena->huge_bits;
    arena->pool[0].blocks = arena->block;
    arena->pool[0].count = 1;
    arena->pool[0].span = 1;
    for (int u = 0; u < MM__UNITS; u++) {
        arena->unit[u].bytes = kind == MM_BLOCK_TRACKED ? &arena->byte : &h->sink;
        arena->unit[u].head = 0;
    }
}

MM__RARE MM__NOINLINE void *mm__huge_alloc(mm__heap *h, mm_block_kind kind, size_t size,
                                  size_t align)
{
    size_t     front = mm__round_up(MM__HUGE_HEADER, align);
    size_t     total = mm__round_up(size + front, MM__PAGE);
    mm__arena *arena;
    if (size > SIZE_MAX / 2 - front) {
        mm__fail(&h->front, MM_ERR_NOMEM, "a block of %zu bytes is more than there is",
                 size);
        return NULL;
    }
    arena = (mm__arena *)mm__obtain(h, total, MM__ARENA_SIZE);
    if (arena == NULL) return NULL;
    arena->head.heap = &h->front;
    arena->head.kind = MM__KIND_HUGE;
    mm__arena_hide(arena, kind == MM_BLOCK_TRACKED && h->busy.trial);
    arena->size = total;
    arena->block = (char *)arena + front;
    arena->block_size = total - front;
    if (!mm__arena_register(h, arena)) {
        mm__give_back(h, arena, total);
        return NULL;
    }
    MM__ROOT_REGION(arena, total);
    mm__huge_bind(h, arena, kind);
    if (kind == MM_BLOCK_TRACKED) mm__blocks_left_pool(h, &arena->pool[0], 0, 1);
    h->huge_count++;
    mm__large_bytes(h, kind, arena->block_size);
    mm__vg(h, MM__VG_NOACCESS, arena->block, arena->block_size);
    return arena->block;
}

MM__PRIVATE void mm__young_unlink(mm__heap *h, mm__bpool *pool)
{
    mm__bpool **at = &h->gc.young_pools;
    if (!pool->young) return;
    while (*at != pool) at = &(*at)->next_young;
    if (h->gc.young_sorted == pool) h->gc.young_sorted = pool->next_young;
    *at = pool->next_young;
    pool->young = false;
    mm__A(pool)->young--;
}

MM__RARE MM__PRIVATE void mm__huge_free(mm__heap *h, mm__arena *arena)
{
    size_t size = arena->size;
    if (arena->guarded) mm__os_protect(arena, size, true);
    mm__young_unlink(h, &arena->pool[0]);
    mm__suspect_unlink(h, &arena->pool[0]);
    mm__arena_unregister(h, arena);
    mm__large_gone(h, arena->block_kind, arena->block_size);
    h->huge_count--;
    MM__UNPOISON(arena, size);
    MM__ROOT_REGION_END(arena, size);
    mm__vg(h, MM__VG_DEFINED, arena, size);
    mm__give_back_large(h, arena, size);
}

/* Change the size of a huge block without copying; NULL: not possible that way. */
MM__PRIVATE void *mm__huge_remap(mm__heap *h, mm__arena *arena, size_t size)
{
#if defined(__linux__)
    size_t front = (size_t)(arena->block - (char *)arena);
    size_t total = mm__round_up(size + front, MM__PAGE), old = arena->size;
    void  *target;
    if (h->desc.map || h->desc.buffer || h->valgrind || MM__ASAN) return NULL;
    if (total > old && h->desc.max_bytes &&
        total - old > h->desc.max_bytes - h->reserved)
        return NULL;
    if (mremap(arena, old, total, 0) == MAP_FAILED) {
        target = mm__os_map(total, MM__ARENA_SIZE);
        if (target == NULL) return NULL;
        if (mremap(arena, old, total, 3 /* MAYMOVE | FIXED */, target) == MAP_FAILED) {
            mm__os_unmap(target, total);
            return NULL;
        }
        arena = (mm__arena *)target;
        arena->block = (char *)arena + front;
        h->arenas[arena->index] = arena;
        mm__huge_bind(h, arena, arena->block_kind);
    }
    h->reserved = h->reserved - old + total;
    if (h->reserved > h->reserved_peak) h->reserved_peak = h->reserved;
    mm__large_gone(h, arena->block_kind, arena->block_size);
    arena->size = total;
    arena->block_size = total - front;
    mm__large_bytes(h, arena->block_kind, arena->block_size);
    return arena->block;
#else
    (void)h, (void)arena, (void)size;
    return NULL;
#endif
}

/* -- a block of any size and kind -- */

MM__RARE MM__PRIVATE void *mm__block_once(mm__heap *h, mm_block_kind kind, size_t size)
{
    unsigned c = mm__class_of(size);
    if (c) {
        unsigned   index = (unsigned)kind * MM__CLASSES + c;
        mm__cache *cache = &h->front.cache[index];
        return cache->top[-1] ? *--cache->top : mm__refill(h, index);
    }
    if (size <= MM__RUN_MAX) return mm__run_alloc(h, kind, size, 16);
    return mm__huge_alloc(h, kind, size, 16);
}

/* Objects in runs and huge blocks start 8 bytes in, as in pools. */
MM__RARE MM__NOINLINE void *mm__block_alloc(mm__heap *h, mm_block_kind kind,
                                            size_t size)
{
    size_t shift = kind != MM_BLOCK_RAW && size > MM__SMALL_MAX ? 8 : 0;
    char  *p = (char *)mm__block_once(h, kind, size + shift);
    if (p == NULL && mm__emergency(h))
        p = (char *)mm__block_once(h, kind, size + shift);
    if (p == NULL && mm__spares_delete(h))
        p = (char *)mm__block_once(h, kind, size + shift);
    return p ? p + shift : NULL;
}

/* An allocated block that is of no use to anybody is left out of the statistics. */
MM__RARE MM__PRIVATE void mm__block_hide(mm__heap *h, const void *block, bool hide)
{
    mm__arena *arena = mm__A(block);
    mm__bpool *pool = mm__pool_at(arena, block);
    mm_block_kind kind = arena->block_kind;
    size_t     page = ((uintptr_t)block & MM__ARENA_MASK) / MM__PAGE, bytes;
    if (arena->head.kind != MM__KIND_HUGE && pool->cache) {
        h->klass[pool->cache].hidden += hide ? 1 : UINT64_MAX;
        return;
    }
    bytes = arena->block_size;
    if (arena->head.kind != MM__KIND_HUGE) {
        kind = (mm_block_kind)(arena->run[page] >> MM__RUN_KIND);
        bytes = (arena->run[page] & MM__RUN_PAGES) * MM__PAGE;
    }
    if (arena->head.kind == MM__KIND_HUGE) h->huge_count += hide ? SIZE_MAX : 1;
    h->run_count[kind] += hide ? SIZE_MAX : 1;
    h->run_bytes[kind] += hide ? 0 - bytes : bytes;
}

/* block as mm__block_alloc gave it. */
MM__NOINLINE void mm__block_free(mm__heap *h, void *block)
{
    mm__arena *arena = mm__A(block);
    unsigned   index = arena->head.cache[((uintptr_t)block & MM__ARENA_MASK) >>
                                       MM__POOL_SHIFT];
    mm__cache *cache = &h->front.cache[index];
    if (MM__LIKELY(cache->top != cache->limit)) {
        *cache->top++ = block;
        return;
    }
    if (index == 0) {
        if (arena->head.kind == MM__KIND_HUGE)
            mm__huge_free(h, arena);
        else
            mm__run_free(h, arena, block);
        return;
    }
    if (!h->cached) {
        mm__flush(h, &block, 1);
        return;
    }
    cache->top -= h->klass[index].batch;
    mm__flush(h, cache->top, h->klass[index].batch);
    *cache->top++ = block;
}

/* Bytes from p, the start of a block or an object in it, to the block's end. */
MM__RARE MM__PRIVATE size_t mm__block_room(const void *p)
{
    mm__arena *arena = mm__A(p);
    mm__bpool *pool = mm__pool_at(arena, p);
    uint32_t   x;
    char      *end;
    if (arena->head.kind == MM__KIND_HUGE)
        return (size_t)(arena->block + arena->block_size - (const char *)p);
    x = mm__index_in(arena, p);
    end = pool->blocks + (size_t)(x + 1) * pool->size;
    if (pool->cache == 0) {
        size_t page = pool->unit * MM__UNIT_PAGES + x;
        end = (char *)arena + (page + (arena->run[page] & MM__RUN_PAGES)) * MM__PAGE;
    }
    return (size_t)(end - (const char *)p);
}

/* ============================================================================
   >>raw.impl   Raw memory

   Invariants
     M1  every block is 16-byte aligned
     M2  a failed call changes nothing but the heap's status
   ============================================================================ */

MM__RARE MM_API void *mm__alloc_slow(mm_heap *heap, size_t size)
{
    mm__heap *h = mm__H(heap);
    if (size == 0) size = 1;
    if (h->debug) mm__check_owner(h);
    if (h->zone) return mm__debug_alloc(h, size, 16);
    return mm__block_alloc(h, MM_BLOCK_RAW, size);
}

MM__RARE MM_API void mm__free_slow(mm_heap *heap, void *p)
{
    mm__heap *h = mm__H(heap);
    if (p == NULL) return;
    if (h->debug) mm__check_owner(h);
    if (h->debug || h->zone)
        mm__debug_free(h, p);
    else
        mm__block_free(h, p);
}

MM_API void *mm_calloc(mm_heap *heap, size_t count, size_t size)
{
    void *p;
    if (size && count > SIZE_MAX / size) {
        mm__fail(heap, MM_ERR_OVERFLOW, "mm_calloc of %zu items of %zu bytes", count,
                 size);
        return NULL;
    }
    p = mm_alloc(heap, count * size);
    return p ? memset(p, 0, count * size) : NULL;
}

/* The last page-aligned end of a run moves; false: the neighbours are in use. */
MM__RARE MM__PRIVATE bool mm__run_resize(mm__heap *h, void *p, size_t size)
{
    mm__arena *arena = mm__A(p);
    size_t page = ((uintptr_t)p & MM__ARENA_MASK) / MM__PAGE;
    size_t old = arena->run[page] & MM__RUN_PAGES;
    size_t n = mm__round_up(size, MM__PAGE) / MM__PAGE;
    if (n > MM__RUN_MAX / MM__PAGE) return false;
    if (n > old) {
        if (mm__pages_from(arena, page + old, n - old) < n - old) return false;
        mm__pages_set(arena, page + old, n - old, false);
        if (arena->free_pages == 0) mm__arena_close(h, arena);
        for (size_t u = page / MM__UNIT_PAGES; u <= (page + n - 1) / MM__UNIT_PAGES;
             u++)
            mm__run_unit(arena, u);
    }
    mm__large_gone(h, MM_BLOCK_RAW, old * MM__PAGE);
    mm__large_bytes(h, MM_BLOCK_RAW, n * MM__PAGE);
    arena->run[page] = (uint16_t)(n | (size_t)MM_BLOCK_RAW << MM__RUN_KIND);
    if (n < old) mm__run_pages_free(h, arena, page + n, old - n);
    return true;
}

/* p resized where it is, or moved without copying; NULL: must be copied. */
MM__PRIVATE void *mm__resize_in_place(mm__heap *h, void *p, size_t size)
{
    mm__arena *arena = mm__A(p);
    size_t     room = mm__block_room(p);
    if (h->zone) return NULL;
    if (arena->head.kind == MM__KIND_HUGE) {
        if (size <= room && size >= room / 2) return p;
        return size > MM__RUN_MAX ? mm__huge_remap(h, arena, size) : NULL;
    }
    if (mm__pool_at(arena, p)->cache == 0 && size > MM__SMALL_MAX)
        return mm__run_resize(h, p, size) ? p : NULL;
    if (room <= 512) /* mm_free_sized must find the class of the new size */
        return mm__class_of(size) == mm__class_of(room) ? p : NULL;
    return size <= room && size >= room / 2 && size > 512 ? p : NULL;
}

MM__PRIVATE bool mm__debug_check(mm__heap *h, const void *p, const char *what);

MM_API void *mm_realloc(mm_heap *heap, void *p, size_t size)
{
    mm__heap *h = mm__H(heap);
    void     *q;
    size_t    old;
    if (p == NULL) return mm_alloc(heap, size);
    if ((h->debug || h->zone) && !mm__debug_check(h, p, "mm_realloc")) return NULL;
    if (size > SIZE_MAX / 2) {
        mm__fail(heap, MM_ERR_NOMEM, "a block of %zu bytes is more than there is",
                 size);
        return NULL;
    }
    q = mm__resize_in_place(h, p, size);
    if (q) return q;
    q = mm_alloc(heap, size);
    if (q == NULL) return NULL;
    old = mm_usable_size(p);
    memcpy(q, p, old < size ? old : size);
    mm_free(heap, p);
    return q;
}

/* A class whose blocks are all aligned, or 0. */
MM__PRIVATE unsigned mm__aligned_class(size_t size, size_t align)
{
    unsigned c = mm__class_of(size > align ? size : align);
    for (; c && c <= MM__CLASSES; c++)
        if (mm__class_size(c) % align == 0) return c;
    return 0;
}

MM__PRIVATE void *mm__aligned_once(mm__heap *h, size_t size, size_t align)
{
    unsigned c = align <= MM__PAGE ? mm__aligned_class(size, align) : 0;
    if (c) return mm__block_once(h, MM_BLOCK_RAW, mm__class_size(c));
    if (size < MM__RUN_MAX && size + align <= MM__RUN_MAX)
        return mm__run_alloc(h, MM_BLOCK_RAW, size, align);
    return mm__huge_alloc(h, MM_BLOCK_RAW, size, align);
}

MM_API void *mm_alloc_aligned(mm_heap *heap, size_t size, size_t alignment)
{
    mm__heap *h = mm__H(heap);
    size_t    most = MM__ARENA_SIZE / 4;
    void     *p;
    if (alignment == 0 || (alignment & (alignment - 1)) || alignment > most) {
        mm__fail(heap, MM_ERR_VALUE, "alignment %zu is not a power of two up to %zu",
                 alignment, most);
        return NULL;
    }
    if (size == 0) size = 1;
    if (h->zone) return mm__debug_alloc(h, size, alignment);
    if (alignment <= 16) return mm_alloc(heap, size);
    p = mm__aligned_once(h, size, alignment);
    if (p == NULL && mm__emergency(h)) p = mm__aligned_once(h, size, alignment);
    if (p == NULL && mm__spares_delete(h)) p = mm__aligned_once(h, size, alignment);
    return p;
}

/* ============================================================================
   >>debug   Red zones, quarantine, guard pages, sanitizers

   With heap->zone every block is larger than what was asked for:

      | record 8 | zone 8 | (header 8) | the user's bytes | zone >= 16 |

   The record holds the size and where the user's bytes start. Zones hold
   MM_FILL_ZONE; AddressSanitizer and Valgrind are told that nobody may touch them, and
   are shown wrong frees. Freed blocks keep their memory for a while, filled with
   MM_FILL_FREED.

   Invariants
     X1  heap->cached is false whenever heap->debug or heap->zone is not 0, so that
         every allocation and free comes through here, and MM__FREE is exact
     X2  a block in quarantine is marked allocated, its record says freed, and an
         object in it has MM__F_DEAD
   ============================================================================ */

#define MM__ZONE 16
#define MM__RECORD_FREED (UINT64_C(1) << 63)
#define MM__RECORD_SHIFT 42 /* size below; offset of the user's bytes above        */

#if defined(__clang__)
#define MM__NO_ASAN __attribute__((no_sanitize("address")))
#elif defined(__GNUC__)
#define MM__NO_ASAN __attribute__((no_sanitize_address))
#else
#define MM__NO_ASAN
#endif

MM__PRIVATE uint64_t mm__record(const void *block)
{
    uint64_t record;
    memcpy(&record, block, sizeof record);
    return record;
}

MM__PRIVATE void mm__record_set(void *block, size_t size, size_t offset)
{
    uint64_t record = (uint64_t)offset << MM__RECORD_SHIFT | size;
    memcpy(block, &record, sizeof record);
}

MM__PRIVATE size_t mm__record_size(const void *block)
{
    return (size_t)(mm__record(block) & ((UINT64_C(1) << MM__RECORD_SHIFT) - 1));
}

MM__PRIVATE size_t mm__record_offset(const void *block)
{
    return (size_t)((mm__record(block) & ~MM__RECORD_FREED) >> MM__RECORD_SHIFT);
}

/* The allocated block that p points into: its pool and index. False: none. */
MM__PRIVATE bool mm__block_holding(const mm__heap *h, mm__arena *arena, const void *p,
                                   mm__bpool **pool, uint32_t *index)
{
    size_t page = ((uintptr_t)p & MM__ARENA_MASK) / MM__PAGE, run;
    (void)h;
    *pool = mm__pool_at(arena, p);
    if (page < arena->first_unit * MM__UNIT_PAGES || (*pool)->count == 0) return false;
    if ((*pool)->cache == 0) {
        if (mm__page_free(arena, page)) return false;
        for (run = page; run > arena->first_unit * MM__UNIT_PAGES; run--)
            if (arena->run[run]) break;
        if (run + (arena->run[run] & MM__RUN_PAGES) <= page) return false;
        *pool = &arena->pool[run / MM__UNIT_PAGES];
        *index = (uint32_t)(run % MM__UNIT_PAGES);
        return true;
    }
    if ((const char *)p < (*pool)->blocks) return false;
    *index = mm__index_in(arena, p);
    if (*index >= (*pool)->count) return false;
    return !(mm__table(*pool, MM__FREE)[*index / 64] >> (*index & 63) & 1);
}

/* Objects in huge blocks start 8 bytes in. */
MM__PRIVATE size_t mm__huge_shift(const mm__arena *arena)
{
    return arena->block_kind == MM_BLOCK_RAW ? 0 : 8;
}

MM__NOINLINE mm_block_kind mm__kind_of(const mm__heap *h, const mm__arena *arena,
                                       const mm__bpool *pool, size_t i)
{
    if (arena->head.kind == MM__KIND_HUGE) return arena->block_kind;
    if (pool->cache) return (mm_block_kind)h->klass[pool->cache].kind;
    return (mm_block_kind)(arena->run[pool->unit * MM__UNIT_PAGES + i] >> MM__RUN_KIND);
}

/* The start, as mm__block_alloc gave it, of the live block that p points into, and its
   kind. NULL: p is in no live block of this heap. */
MM__RARE MM__PRIVATE char *mm__block_start(const mm__heap *h, const void *p,
                                           mm_block_kind *kind)
{
    mm__arena *arena = mm__arena_find(h, p);
    mm__bpool *pool;
    uint32_t   i = 0;
    char      *block;
    if (arena == NULL) return NULL;
    if (arena->head.kind == MM__KIND_HUGE) {
        if ((const char *)p < arena->block || arena->huge_bits[0]) return NULL;
        pool = &arena->pool[0];
    } else if (!mm__block_holding(h, arena, p, &pool, &i)) {
        return NULL;
    }
    *kind = mm__kind_of(h, arena, pool, i);
    block = pool->blocks + (size_t)i * pool->size;
    return pool->cache == 0 && *kind != MM_BLOCK_RAW ? block + 8 : block;
}

MM__PRIVATE void *mm__debug_user(const mm__heap *h, void *block)
{
    (void)h;
    if (mm__record(block) & MM__RECORD_FREED) return NULL;
    return (char *)block + mm__record_offset(block);
}

/* The block's start from the user's pointer (known to be right). */
MM__PRIVATE char *mm__debug_block(const mm__heap *h, const void *p)
{
    mm__arena *arena = mm__A(p);
    mm__bpool *pool = mm__pool_at(arena, p);
    uint32_t   i = arena->head.kind == MM__KIND_HUGE ? 0 : mm__index_in(arena, p);
    char      *block;
    if (arena->head.kind != MM__KIND_HUGE && pool->cache == 0)
        while (!arena->run[pool->unit * MM__UNIT_PAGES + i])
            if (i-- == 0) { /* aligned: the run began in an earlier unit */
                pool--;
                i = (uint32_t)MM__UNIT_PAGES - 1;
            }
    block = pool->blocks + (size_t)i * pool->size;
    if (pool->cache == 0 && mm__kind_of(h, arena, pool, i) != MM_BLOCK_RAW) block += 8;
    return block;
}

MM__PRIVATE size_t mm__debug_size(const mm__heap *h, const void *p)
{
    return mm__record_size(mm__debug_block(h, p));
}

/* -- twins --

   LeakSanitizer knows blocks of malloc alone. So under it, from debug level 1, a block
   has a twin there, of its size and made by the same callers. mm_heap_destroy frees the
   twins, but for those of what leaked: they leave their list, and are reported. */

MM__PRIVATE void mm__twin_make(mm__heap *h, char *block, size_t size)
{
    mm__twin *twin = NULL;
    if (!MM__ASAN) return;
    if (size < sizeof *twin) size = sizeof *twin;
    if (h->debug) twin = (mm__twin *)malloc(size < 1 << 20 ? size : 1 << 20);
    if (twin) {
        twin->next = h->twins;
        twin->at = &h->twins;
        if (twin->next) twin->next->at = &twin->next;
        h->twins = twin;
    }
    memcpy(block + 8, &twin, sizeof twin);
}

MM__PRIVATE void mm__twin_end(char *block, bool leaked)
{
    mm__twin *twin;
    if (!MM__ASAN) return;
    MM__UNPOISON(block + 8, 8);
    memcpy(&twin, block + 8, sizeof twin);
    memset(block + 8, 0, sizeof twin);
    MM__POISON(block + 8, 8);
    if (twin == NULL) return;
    *twin->at = twin->next;
    if (twin->next) twin->next->at = twin->at;
    memset(twin, 0, sizeof *twin);
    if (!leaked) free(twin);
}

MM__PRIVATE void mm__twins_free(mm__heap *h)
{
    while (h->twins) {
        mm__twin *twin = h->twins;
        h->twins = twin->next;
        free(twin);
    }
}

/* -- painting -- */

/* Write the record and the zones; `front` bytes before p belong to a header. */
MM__RARE MM__PRIVATE void mm__paint(mm__heap *h, char *block, char *end, char *p,
                                    size_t size, size_t front)
{
    mm__vg(h, MM__VG_UNDEFINED, block, (size_t)(end - block));
    MM__UNPOISON(block, (size_t)(end - block));
    memset(block + 8, MM_FILL_ZONE, (size_t)(p - front - block) - 8);
    memset(p + size, MM_FILL_ZONE, (size_t)(end - p) - size);
    mm__record_set(block, size, (size_t)(p - block));
    if (h->debug >= 2) memset(p, MM_FILL_FRESH, size);
    mm__twin_make(h, block, size);
    MM__POISON(block + 8, (size_t)(p - front - block) - 8);
    MM__POISON(p + size, (size_t)(end - p) - size);
    mm__vg(h, MM__VG_NOACCESS, block + 8, (size_t)(p - front - block) - 8);
    mm__vg(h, MM__VG_NOACCESS, p + size, (size_t)(end - p) - size);
    mm__vg(h, MM__VG_ALLOC, p, size);
}

MM__PRIVATE MM__NO_ASAN const char *mm__find_change(const char *from, const char *to,
                                                    unsigned char fill)
{
    for (; from < to; from++)
        if ((unsigned char)*from != fill) return from;
    return NULL;
}

MM__COLD const char *mm__block_name(const void *p, mm_block_kind kind)
{
    return kind == MM_BLOCK_RAW ? "raw memory" : mm_type_name(p);
}

/* The zones of a block; a bug is reported where they were written to. */
MM__RARE MM__PRIVATE bool mm__zones_intact(mm__heap *h, char *block, mm_block_kind kind,
                                  const char *when)
{
    size_t size = mm__record_size(block);
    char  *p = block + mm__record_offset(block);
    size_t front = kind == MM_BLOCK_RAW ? 0 : sizeof(mm_header);
    const char *bad;
    if (MM__ASAN || h->valgrind) return true; /* they have said so already */
    bad = mm__find_change(block + 8, p - front, MM_FILL_ZONE);
    if (bad) {
        mm__bug(h, "%s: %s %p of %zu bytes was written to %zu bytes before its start",
                when, mm__block_name(p, kind), (void *)p, size, (size_t)(p - bad));
        return false;
    }
    bad = mm__find_change(p + size, block + mm__block_room(block), MM_FILL_ZONE);
    if (bad) {
        mm__bug(h, "%s: %s %p of %zu bytes was written to %zu bytes after its end",
                when, mm__block_name(p, kind), (void *)p, size,
                (size_t)(bad - (p + size)));
        return false;
    }
    return true;
}

/* -- guard pages: a mapping for each block, its end followed by a page of none -- */

MM__RARE MM__PRIVATE char *mm__guard_alloc(mm__heap *h, mm_block_kind kind, size_t size,
                                  size_t align)
{
    size_t front = MM__ZONE + (kind == MM_BLOCK_RAW ? 0 : sizeof(mm_header));
    size_t data = mm__round_up(size, align) + front + align;
    char  *block, *end, *p;
    mm__arena *arena;
    if (size > SIZE_MAX / 4) return NULL;
    block =
        (char *)mm__huge_alloc(h, kind, mm__round_up(data, MM__PAGE) + MM__PAGE, 16);
    if (block == NULL) return NULL;
    arena = mm__A(block);
    end = (char *)arena + arena->size - MM__PAGE;
    p = end - mm__round_up(size, align);
    if ((size_t)(p - (char *)arena) >= MM__ARENA_SIZE)
        p = (char *)mm__round_up((size_t)block + front, align);
    block = p - front;
    arena->block = kind == MM_BLOCK_RAW ? block : block - 8;
    arena->pool[0].blocks = arena->block;
    mm__large_gone(h, kind, arena->block_size);
    arena->block_size = (size_t)(end - arena->block);
    mm__large_bytes(h, kind, arena->block_size);
    arena->guarded = mm__os_protect(end, MM__PAGE, false);
    return block;
}

/* -- allocation -- */

MM__RARE MM__PRIVATE char *mm__debug_block_alloc(mm__heap *h, mm_block_kind kind,
                                                 size_t size, size_t align)
{
    size_t front = MM__ZONE + (kind == MM_BLOCK_RAW ? 0 : sizeof(mm_header));
    size_t extra = align > 16 ? align : 0;
    if (size > SIZE_MAX / 4) {
        mm__fail(&h->front, MM_ERR_NOMEM, "a block of %zu bytes is more than there is",
                 size);
        return NULL;
    }
    if (h->debug >= 3) {
        char *block = mm__guard_alloc(h, kind, size, align);
        if (block == NULL && mm__emergency(h))
            block = mm__guard_alloc(h, kind, size, align);
        return block;
    }
    return (char *)mm__block_alloc(h, kind, size + front + extra + MM__ZONE);
}

MM__PRIVATE void *mm__debug_alloc(mm__heap *h, size_t size, size_t align)
{
    char *block = mm__debug_block_alloc(h, MM_BLOCK_RAW, size, align), *p;
    if (block == NULL) return NULL;
    p = (char *)mm__round_up((size_t)block + MM__ZONE, align);
    mm__paint(h, block, block + mm__block_room(block), p, size, 0);
    return p;
}

MM__RARE MM__PRIVATE void *mm__debug_object(mm__heap *h, mm_block_kind kind,
                                            size_t size)
{
    char *block = mm__debug_block_alloc(h, kind, size, 16), *p;
    if (block == NULL) return NULL;
    p = block + MM__ZONE + sizeof(mm_header);
    mm__paint(h, block, block + mm__block_room(block), p, size, sizeof(mm_header));
    return p;
}

/* -- free -- */

/* Nobody wrote to a freed block; else a bug is reported. */
MM__RARE MM__PRIVATE bool mm__held_intact(mm__heap *h, mm__held_block held)
{
    char       *block = (char *)held.block, *p;
    const char *bad;
    size_t      size;
    if (h->debug < 2 || MM__ASAN || h->valgrind || mm__A(block)->guarded) return true;
    p = block + mm__record_offset(block);
    size = mm__record_size(block);
    bad = mm__find_change(p, p + size, MM_FILL_FREED);
    if (bad)
        mm__bug(h, "%p of %zu bytes was written to at offset %zu after it was freed",
                (void *)p, size, (size_t)(bad - p));
    return bad == NULL;
}

/* The block leaves quarantine. */
MM__RARE MM__PRIVATE void mm__held_release(mm__heap *h, mm__held_block held)
{
    char  *block = (char *)held.block;
    size_t room;
    mm__arena *arena = mm__A(block);
    bool guarded = arena->guarded;
    mm__block_hide(h, block, false);
    if (!guarded) {
        room = mm__block_room(block);
        mm__held_intact(h, held);
        MM__UNPOISON(block, room);
        mm__vg(h, MM__VG_UNDEFINED, block, room);
    }
    if (arena->head.kind == MM__KIND_TRACKED && mm__pool_at(arena, block)->cache) {
        uint32_t i = mm__index_in(arena, block);
        mm__unmark(mm__pool_at(arena, block), i / 64, UINT64_C(1) << (i & 63));
    }
    mm__block_free(h, block);
}

MM__PRIVATE mm__held_block mm__held_oldest(mm__heap *h)
{
    mm__held_block held = h->held[h->held_first];
    h->held_first = (h->held_first + 1) % h->held_capacity;
    h->held_count--;
    h->held_bytes -= held.size;
    return held;
}

MM__PRIVATE void mm__quarantine(mm__heap *h, char *block, size_t size)
{
    mm__held_block held;
    mm__block_hide(h, block, true);
    held.block = block;
    held.size = size;
    if (h->held_capacity == 0) {
        size_t bytes = 64 * MM__PAGE;
        if (!mm__table_grow(h, (void **)(void *)&h->held, 0, bytes)) {
            mm__held_release(h, held);
            return;
        }
        h->held_capacity = bytes / sizeof held;
    }
    while (h->held_count && (h->held_count == h->held_capacity ||
                             h->held_bytes + size > h->desc.quarantine_bytes))
        mm__held_release(h, mm__held_oldest(h));
    h->held[(h->held_first + h->held_count++) % h->held_capacity] = held;
    h->held_bytes += size;
}

MM__RARE MM__PRIVATE void mm__quarantine_end(mm__heap *h)
{
    while (h->held_count) mm__held_release(h, mm__held_oldest(h));
}

/* p's block is not used any more. */
MM__RARE MM__PRIVATE void mm__debug_retire(mm__heap *h, char *block, mm_block_kind kind)
{
    size_t size = mm__record_size(block), room = mm__block_room(block);
    char  *p = block + mm__record_offset(block);
    mm__arena *arena = mm__A(block);
    uint64_t record = mm__record(block) | MM__RECORD_FREED;
    mm__zones_intact(h, block, kind, "free");
    mm__twin_end(block, false);
    memcpy(block, &record, sizeof record);
    if (h->debug >= 2) memset(p, MM_FILL_FREED, size);
    MM__POISON(p, size);
    mm__vg(h, MM__VG_FREE, p, 0);
    if (h->debug >= 3 && arena->head.kind == MM__KIND_HUGE) {
        arena->huge_bits[0] = 1; /* nobody looks inside any more */
        mm__young_unlink(h, &arena->pool[0]);
        if (arena->guarded) {
            char *page = (char *)mm__round_up((size_t)block + 8, MM__PAGE);
            char *end = (char *)arena + arena->size - MM__PAGE;
            if (page < end) mm__os_protect(page, (size_t)(end - page), false);
        }
    }
    mm__quarantine(h, block, room);
}

/* An object's memory goes. */
MM__RARE MM__PRIVATE void mm__debug_release(mm__heap *h, void *object)
{
    char *block = (char *)object - sizeof(mm_header) - MM__ZONE;
    bool  tracked = (mm__header_of(object)->flags & MM__F_TRACKED) != 0;
    mm__header_of(object)->flags |= MM__F_DEAD;
    mm__gone(mm__header_of(object));
    mm__debug_retire(h, block, tracked ? MM_BLOCK_TRACKED : MM_BLOCK_LEAF);
}

/* The block of a pointer that should be live raw memory; NULL: it was reported. */
MM__RARE MM__PRIVATE char *mm__debug_find(mm__heap *h, const void *p, const char *what)
{
    mm_block_kind kind = MM_BLOCK_RAW;
    char         *block = mm__block_start(h, p, &kind), *start = block;
    h->accused = p;
    if (block == NULL) {
        const mm__arena *arena = mm__arena_find(h, p);
        const mm__bpool *pool = arena ? mm__pool_at(arena, p) : NULL;
        if (pool && pool->cache)
            mm__bug(h, "%s of %p, a free block of %u bytes: it was freed before", what,
                    p, pool->size);
        else
            mm__bug(
                h,
                "%s of %p, which is not a block of heap %p: it was freed before, or "
                "belongs to malloc or another heap",
                what, p, (void *)h);
        return NULL;
    }
    if (kind != MM_BLOCK_RAW) {
        start = block + h->zone + sizeof(mm_header);
        mm__bug(h, "%s of %p, which is %s object of type %s: use mm_decref", what, p,
                p == start ? "an" : "inside the", mm_type_name(start));
        return NULL;
    }
    if (h->zone) start = block + mm__record_offset(block);
    if (h->zone && (mm__record(block) & MM__RECORD_FREED)) {
        mm__bug(h, "%s of %p (%zu bytes), which was freed before", what, p,
                mm__record_size(block));
        return NULL;
    }
    if (p != start) {
        mm__bug(h, "%s of %p, which is %zu bytes inside the block %p of %zu bytes",
                what, p, (size_t)((const char *)p - start), (void *)start,
                mm_usable_size(start));
        return NULL;
    }
    h->accused = NULL;
    return block;
}

MM__RARE MM__PRIVATE bool mm__debug_check(mm__heap *h, const void *p, const char *what)
{
    return mm__debug_find(h, p, what) != NULL;
}

MM__RARE MM__PRIVATE void mm__debug_free(mm__heap *h, void *p)
{
    char *block = mm__debug_find(h, p, "mm_free");
    if (block == NULL) return;
    if (h->zone)
        mm__debug_retire(h, block, MM_BLOCK_RAW);
    else
        mm__block_free(h, block);
}

/* ============================================================================
   >>type.impl   Types

   The registry maps the 16-bit type index of a header to the descriptor. It is the
   only state the process shares: pages of 256 entries, written once under a lock,
   read without one, never freed.

   Invariants
     T1  type->mm__.id is 0, or the registry's entry of that number is the type
     T2  a registered type's slots (with its bases') lie inside the struct, are
         aligned to a pointer, and are described once
   ============================================================================ */

#define MM__TYPE_MAX 65535u

static mm_type  *mm__types_first[256];
static mm_type **mm__types[256] = {mm__types_first};
static uint32_t  mm__type_count; /* the highest index given out */
static char      mm__type_lock;

MM__PRIVATE mm_type *mm__type_at(unsigned id)
{
    return mm__types[id >> 8][id & 255];
}

MM__PRIVATE void mm__registry_lock(void)
{
#if defined(__GNUC__)
    while (__atomic_test_and_set(&mm__type_lock, __ATOMIC_ACQUIRE)) continue;
#endif
}

MM__PRIVATE void mm__registry_unlock(void)
{
#if defined(__GNUC__)
    __atomic_clear(&mm__type_lock, __ATOMIC_RELEASE);
#endif
}

MM__NOINLINE size_t mm__slot_size(const mm_slot *slot)
{
    if (slot->kind == MM_SLOT_FIXED) return slot->count * sizeof(void *);
    return slot->kind == MM_SLOT_TAIL ? 0 : sizeof(void *);
}

MM__RARE MM__PRIVATE bool mm__slot_valid(mm_heap *heap, const mm_type *type,
                                         const mm_slot *slot)
{
    bool counted = slot->kind == MM_SLOT_TAIL || slot->kind == MM_SLOT_VECTOR;
    unsigned s = slot->count_size;
    if (slot->offset % sizeof(void *) || slot->offset > type->size ||
        mm__slot_size(slot) > type->size - slot->offset)
        return mm__fail(heap, MM_ERR_VALUE,
                        "type %s (%zu bytes): slot %s at offset %u is outside or not "
                        "aligned to a pointer",
                        type->name, type->size, slot->name, slot->offset);
    if (counted && (!(s == 1 || s == 2 || s == 4 || s == 8) ||
                    slot->count > type->size || s > type->size - slot->count))
        return mm__fail(heap, MM_ERR_VALUE,
                        "type %s: the count of slot %s at offset %u has %u bytes or is "
                        "outside the struct",
                        type->name, slot->name, slot->count, s);
    if (slot->kind > MM_SLOT_VECTOR)
        return mm__fail(heap, MM_ERR_VALUE, "type %s: slot %s has the unknown kind %u",
                        type->name, slot->name, (unsigned)slot->kind);
    return true;
}

MM__RARE MM__PRIVATE bool mm__slots_distinct(mm_heap *heap, const mm_type *type,
                                    const mm_slot *slots, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < i; j++) {
            const mm_slot *a = &slots[i], *b = &slots[j];
            size_t         na = mm__slot_size(a), nb = mm__slot_size(b);
            if (a->offset < b->offset + (nb ? nb : 1) &&
                b->offset < a->offset + (na ? na : 1))
                return mm__fail(heap, MM_ERR_VALUE,
                                "type %s: slots %s and %s overlap at offset %u",
                                type->name, a->name, b->name, a->offset);
        }
    return true;
}

MM__RARE MM__PRIVATE bool mm__type_valid(mm_heap *heap, const mm_type *type)
{
    if (type->size == 0 || type->size > INT32_MAX)
        return mm__fail(heap, MM_ERR_VALUE, "type %s has a size of %zu bytes",
                        type->name, type->size);
    if ((type->traverse == NULL) != (type->clear == NULL))
        return mm__fail(heap, MM_ERR_VALUE, "type %s has %s without %s", type->name,
                        type->traverse ? "traverse" : "clear",
                        type->traverse ? "clear" : "traverse");
    if (type->base && type->base->size > type->size)
        return mm__fail(heap, MM_ERR_VALUE,
                        "type %s (%zu bytes) is smaller than its base "
                        "%s (%zu bytes)",
                        type->name, type->size, type->base->name, type->base->size);
    for (uint32_t i = 0; i < type->slot_count; i++)
        if (!mm__slot_valid(heap, type, &type->slots[i])) return false;
    return true;
}

/* Hooks that a type does not set are its base's. */
MM__RARE MM__PRIVATE void mm__type_inherit(mm_type *type)
{
    const mm_type *base = type->base;
    if (base == NULL) return;
    if (!type->finalize) type->finalize = base->finalize;
    if (!type->dispose) type->dispose = base->dispose;
    if (!type->traverse) type->traverse = base->traverse;
    if (!type->clear) type->clear = base->clear;
    if (!type->equal) type->equal = base->equal;
    if (!type->hash) type->hash = base->hash;
    if (!type->repr) type->repr = base->repr;
    type->flags |= base->flags & (MM_TYPE_NO_WEAK | MM_TYPE_PROMPT);
}

/* All its references, with the inherited ones, as one array; false: no memory. */
MM__RARE MM__PRIVATE bool mm__type_flatten(mm_heap *heap, mm_type *type)
{
    uint32_t inherited = type->base ? type->base->mm__.all_count : 0;
    uint32_t n = inherited + type->slot_count;
    mm_slot *slots;
    bool     simple = type->traverse == NULL;
    type->mm__.all_count = n;
    type->mm__.simple = simple;
    if (n == 0) return true;
    slots = (mm_slot *)malloc(n * (sizeof(mm_slot) + sizeof(uint32_t)));
    if (slots == NULL)
        return mm__fail(heap, MM_ERR_NOMEM, "no memory to register type %s",
                        type->name);
    if (inherited)
        memcpy(slots, type->base->mm__.all_slots, inherited * sizeof(mm_slot));
    if (type->slot_count)
        memcpy(slots + inherited, type->slots, type->slot_count * sizeof(mm_slot));
    if (!mm__slots_distinct(heap, type, slots, n)) {
        free(slots);
        return false;
    }
    type->mm__.all_slots = slots;
    type->mm__.ref_offsets = (uint32_t *)(void *)(slots + n);
    for (uint32_t i = 0; i < n; i++) {
        type->mm__.ref_offsets[i] = slots[i].offset;
        simple = simple && slots[i].kind == MM_SLOT_ONE;
    }
    type->mm__.simple = simple;
    type->mm__.ref_count = simple ? n : 0;
    return true;
}

/* type->mm__.simple is 0, 1 if all slots are MM_SLOT_ONE, or one of these: and nothing
   needs to be done at its death, or it must leave its target's list (>>weak). */
#define MM__PLAIN 2
#define MM__LINKED 3

MM__PRIVATE void mm__weakref_dispose(void *object);

/* Whether its references can only lead to objects that are never in a cycle. */
MM__RARE MM__PRIVATE bool mm__type_acyclic(const mm_type *type)
{
    if (type->flags & MM_TYPE_ACYCLIC) return true;
    if (type->traverse) return false;
    for (uint32_t i = 0; i < type->mm__.all_count; i++) {
        const mm_type *target = type->mm__.all_slots[i].type;
        if (target == NULL || target->mm__.id == 0 || target->mm__.tracked)
            return false;
    }
    return true;
}

MM__RARE MM__PRIVATE bool mm__type_enter(mm_heap *heap, mm_type *type)
{
    uint32_t id = mm__type_count + 1;
    if (id > MM__TYPE_MAX)
        return mm__fail(heap, MM_ERR_LIMIT, "type %s would be number %u of at most %u",
                        type->name, id, MM__TYPE_MAX);
    if (mm__types[id >> 8] == NULL)
        mm__types[id >> 8] = (mm_type **)calloc(256, sizeof(mm_type *));
    if (mm__types[id >> 8] == NULL)
        return mm__fail(heap, MM_ERR_NOMEM, "no memory to register type %s",
                        type->name);
    mm__types[id >> 8][id & 255] = type;
    mm__type_count = id;
    type->mm__.id = (uint16_t)id;
    return true;
}

MM__RARE MM__PRIVATE bool mm__type_build(mm_heap *heap, mm_type *type)
{
    mm_header header;
    unsigned  c, kind;
    mm__type_inherit(type);
    if (!mm__type_valid(heap, type) || !mm__type_flatten(heap, type)) return false;
    type->mm__.tracked = !mm__type_acyclic(type);
    if (type->mm__.simple && !type->finalize && !type->dispose)
        type->mm__.simple = MM__PLAIN;
    if (type->dispose == mm__weakref_dispose && !type->base)
        type->mm__.simple = MM__LINKED;
    if (!mm__type_enter(heap, type)) {
        free(type->mm__.all_slots);
        type->mm__.all_slots = NULL;
        return false;
    }
    kind = type->mm__.tracked ? MM_BLOCK_TRACKED : MM_BLOCK_LEAF;
    c = mm__class_of(type->size + sizeof(mm_header));
    header.type = type->mm__.id;
    header.flags = type->mm__.tracked ? MM__F_TRACKED : 0;
    header.gc = type->mm__.tracked ? 0 : MM__GC_QUIET;
    header.rc = type->mm__.tracked ? 1 : 1 + MM__RC_QUIET;
    memcpy(&type->mm__.header, &header, sizeof header);
    type->mm__.cache = (uint16_t)(c ? kind * MM__CLASSES + c : 0);
    return true;
}

/* The base, and the types that slots name, come first: so that acyclic types can be
   inferred. A circle of types is cut where it closes. */
MM__RARE MM__PRIVATE bool mm__type_ensure(mm_heap *heap, mm_type *type)
{
    if (type->mm__.id || type->mm__.tracked) return true;
    type->mm__.tracked = 1; /* under way; and what names it may be in a cycle */
    for (uint32_t i = 0; i < type->slot_count; i++) {
        mm_type *target = (mm_type *)(uintptr_t)type->slots[i].type;
        if (target) mm__type_ensure(heap, target);
    }
    if ((type->base == NULL || mm__type_ensure(heap, type->base)) &&
        mm__type_build(heap, type))
        return true;
    type->mm__.tracked = 0;
    return false;
}

MM__RARE MM_API mm_status mm_type_register(mm_heap *heap, mm_type *type)
{
    bool ok;
    if (type == NULL) {
        mm__fail(heap, MM_ERR_VALUE, "mm_type_register of NULL");
        return MM_ERR_VALUE;
    }
    mm__registry_lock();
    ok = mm__type_ensure(heap, type);
    mm__registry_unlock();
    return ok ? MM_OK : mm_last_status(heap);
}

MM__OUTLINE MM_API mm_type *mm_type_of(const void *object)
{
    return mm__type_at(mm__header_of(object)->type);
}

MM__RARE MM_API const char *mm_type_name(const void *object)
{
    return object ? mm_type_of(object)->name : "NULL";
}

MM__RARE MM_API bool mm__is(const void *object, const mm_type *type)
{
    const mm_type *t = object ? mm_type_of(object) : NULL;
    while (t && t != type) t = t->base;
    return t != NULL;
}

/* -- the references of an object -- */

MM__PRIVATE uint64_t mm__slot_count(const void *object, const mm_slot *slot)
{
    const char *at = (const char *)object + slot->count;
    uint64_t n8 = 0;
    uint32_t n4 = 0;
    uint16_t n2 = 0;
    switch (slot->count_size) {
    case 1: return *(const unsigned char *)at;
    case 2: return memcpy(&n2, at, 2), n2;
    case 4: return memcpy(&n4, at, 4), n4;
    default: return memcpy(&n8, at, 8), n8;
    }
}

MM__PRIVATE void mm__slot_set_count(void *object, const mm_slot *slot, uint64_t n)
{
    char    *at = (char *)object + slot->count;
    uint32_t n4 = (uint32_t)n;
    uint16_t n2 = (uint16_t)n;
    switch (slot->count_size) {
    case 1: *(unsigned char *)at = (unsigned char)n; return;
    case 2: memcpy(at, &n2, 2); return;
    case 4: memcpy(at, &n4, 4); return;
    default: memcpy(at, &n, 8); return;
    }
}

/* The references a slot holds: returns the first, and how many there are. */
MM__RARE MM__PRIVATE char *mm__slot_refs(void *object, const mm_slot *slot, size_t *n)
{
    char *at = (char *)object + slot->offset;
    *n = 1;
    if (slot->kind == MM_SLOT_FIXED) *n = slot->count;
    if (slot->kind == MM_SLOT_TAIL || slot->kind == MM_SLOT_VECTOR)
        *n = (size_t)mm__slot_count(object, slot);
    if (slot->kind == MM_SLOT_VECTOR) at = (char *)mm__load(at);
    if (at == NULL) *n = 0;
    return at;
}

/* Call visit for every non-NULL reference of the object. */
MM__RARE MM__PRIVATE void mm__visit_refs(void *object, const mm_type *type,
                                         mm_visit_fn visit, void *context)
{
    for (uint32_t i = 0; i < type->mm__.all_count; i++) {
        size_t n;
        char  *at = mm__slot_refs(object, &type->mm__.all_slots[i], &n);
        for (; n; n--, at += sizeof(void *)) {
            void *child = mm__load(at);
            if (child) visit(child, context);
        }
    }
    if (type->traverse) type->traverse(object, visit, context);
}

/* ============================================================================
   >>object.impl   Objects

   Death is a queue, not a recursion. An object whose count reaches zero is linked
   into a stack through its own header (the count is of no more use), and a loop
   takes objects off: finalizer, weak references, slots, disposer, memory. A top-level
   mm_decref does a bounded part of that; allocations and steps do the rest. Plain
   objects (slots and memory, nothing else) follow each other without the stack. Code of
   the user's that drops references in the meantime has them processed at once,
   nested, up to a depth.

   Invariants
     D1  an object on the stacks has MM__F_DEAD, and its rc and no other field
         is the link
     D2  finalizer, then weak references, then slots, then disposer (behaviour F17)
     D3  a finalizer runs once (MM__F_FINALIZED), with the object intact
     D4  heap->pending_free is the number of objects on the stacks
     D5  heap->busy.trial is true exactly while gc.old.phase is not MM__IDLE
     D6  rc is the count, and MM__RC_QUIET more if the object is quiet: with more than
         2^30 references it never is. The rc of an immortal one is near MM__IMMORTAL
   ============================================================================ */

#define MM__IMMORTAL (-(1 << 30))
#define MM__DEATHS 256        /* objects freed by one mm_decref                    */
#define MM__DEATH_DEPTH 50    /* of user code inside user code (CPython's trashcan) */
#define MM__BYTES_TRIGGER ((size_t)16 << 20) /* of large blocks: see mm__gc_bytes_due */
#define MM__LINK_SHIFT (MM__ARENA_SHIFT - 4)

MM__PRIVATE mm__weak_entry *mm__weak_find(const mm__heap *h, const void *object);
MM__PRIVATE void mm__weak_died(mm__heap *h, void *object);
MM__PRIVATE void mm__weak_unlink(mm_weakref *ref);
MM__PRIVATE void mm__handle_show(mm__heap *h, const void *object, bool show);
MM__PRIVATE void mm__gc_auto(mm__heap *h);
MM__PRIVATE bool mm__gc_bytes_due(const mm__heap *h);
MM__PRIVATE void mm__gc_bytes(mm__heap *h);
MM__PRIVATE void mm__suspect(mm__heap *h, void *object);
MM__PRIVATE void mm__blacken(mm__heap *h, void *object);
MM__PRIVATE bool mm__defer_free(mm__heap *h, void *object);
MM__PRIVATE void mm__trial_forget(mm__heap *h, void *object);
MM__PRIVATE bool mm__pool_take_back(mm__heap *h, void *object);
MM__PRIVATE void *mm__debug_object(mm__heap *h, mm_block_kind kind, size_t size);
MM__PRIVATE void mm__debug_release(mm__heap *h, void *p);

MM__PRIVATE bool mm__is_immortal(const void *object)
{
    return (int32_t)mm__header_of(object)->rc < MM__IMMORTAL / 2;
}

MM__COLD void mm__unquiet(mm_header *header)
{
    header->rc -= mm__quiet_part(header);
    header->gc &= (uint8_t)~MM__GC_QUIET;
}

/* Nothing if it is quiet, immortal, or by D6 cannot be made so. */
MM__COLD void mm__quiet(mm_header *header)
{
    if (header->rc >= MM__RC_QUIET) return;
    header->rc += MM__RC_QUIET;
    header->gc |= MM__GC_QUIET;
}

MM__COLD void mm__saturate(mm_header *header)
{
    mm__unquiet(header);
    header->rc = (uint32_t)(int32_t)MM__IMMORTAL;
}

/* Tell the error hook that user code failed. */
MM__COLD void mm__hook_failed(mm__heap *h, void *object, const char *what)
{
    if (h->gc.error_fn)
        h->gc.error_fn(&h->front, object, what, h->gc.error_user);
    else
        mm__log(h, MM_LOG_WARNING, "%s of %s %p reported failure", what,
                mm_type_name(object), object);
}

/* The fields of a header that say how to look at the object, in one piece. */
MM__INLINE uint32_t mm__header_kind(const mm_header *header)
{
    uint32_t kind;
    memcpy(&kind, (const char *)header + offsetof(mm_header, type), sizeof kind);
    return kind;
}

MM__INLINE void mm__header_set_kind(mm_header *header, uint32_t kind)
{
    memcpy((char *)header + offsetof(mm_header, type), &kind, sizeof kind);
}

MM__INLINE uint32_t mm__kind(uint16_t type, uint8_t flags, uint8_t gc)
{
    mm_header header = {0, 0, 0, 0};
    header.type = type;
    header.flags = flags;
    header.gc = gc;
    return mm__header_kind(&header);
}

/* A header as one number. */
MM__INLINE uint64_t mm__whole_header(uint32_t rc, uint32_t kind)
{
    uint64_t whole;
    memcpy(&whole, &rc, sizeof rc);
    memcpy((char *)&whole + sizeof rc, &kind, sizeof kind);
    return whole;
}

/* Whether that, as far as `care` asks, is `whole` with n references. */
MM__INLINE bool mm__header_is(const mm_header *header, uint64_t care, uint64_t whole,
                              uint32_t n)
{
    uint64_t seen;
    memcpy(&seen, header, sizeof seen);
    return (seen & care) == whole + mm__whole_header(n, 0);
}

/* -- memory of objects -- */

/* Its block was old, or is large: what the next object there must be told. */
MM__RARE MM__PRIVATE void mm__note_reuse(mm__heap *h, void *object)
{
    mm__arena *arena = mm__A(object);
    mm__bpool *pool = mm__pool_at(arena, object);
    uint32_t   x = mm__index_in(arena, object);
    uint64_t   bit = UINT64_C(1) << (x & 63);
    mm__unmark(pool, x / 64, bit);
    mm__table(pool, MM__YOUNG0)[x / 64] |= bit;
    pool->young_sum |= UINT64_C(1) << x / 64;
    mm__young_link(h, pool);
}

MM__PRIVATE void mm__object_memory_free(mm__heap *h, void *object)
{
    if (h->zone)
        mm__debug_release(h, object);
    else
        mm__block_free(h, (char *)object - sizeof(mm_header));
}

/* n tracked objects are gone: generation 0 counts so many less, but not below none. */
MM__INLINE void mm__credit_back(mm__heap *h, size_t n)
{
    int64_t used = h->gc.credit_end - h->front.credit;
    if (used > 0) h->front.credit += (int64_t)n < used ? (int64_t)n : used;
}

/* The collector forgets the object; its memory stays. */
MM__RARE MM__PRIVATE void mm__object_retire(mm__heap *h, void *object)
{
    mm_header *header = mm__header_of(object);
    if (!(header->flags & MM__F_TRACKED)) return;
    mm__credit_back(h, 1);
    if (header->gc & MM__GC_OLD) mm__note_reuse(h, object);
    if (h->busy.collecting || h->busy.trial) mm__trial_forget(h, object);
}

MM__RARE MM__PRIVATE void mm__object_free(mm__heap *h, void *object)
{
    mm_header *header = mm__header_of(object);
    mm__object_retire(h, object);
    if ((header->flags & MM__F_POOLED) && mm__pool_take_back(h, object)) return;
    mm__gone(header);
    if ((h->busy.collecting || h->busy.trial) && mm__defer_free(h, object))
        return;
    mm__object_memory_free(h, object);
}

/* An object that no one may see, but whose memory stays: idle in its pool. */
MM__PRIVATE void mm__object_hide(mm__heap *h, void *object, bool hide)
{
    mm__block_hide(h, (char *)object - sizeof(mm_header) - h->zone, hide);
}

MM__RARE MM__PRIVATE void mm__object_discard(mm__heap *h, void *object)
{
    mm__object_hide(h, object, false);
    mm__gone(mm__header_of(object));
    if (mm__header_of(object)->flags & MM__F_TRACKED) {
        mm__note_reuse(h, object);
        mm__trial_forget(h, object); /* its byte: the next object there is black */
    }
    if (h->busy.trial && mm__defer_free(h, object)) return;
    mm__object_memory_free(h, object);
}

/* A pooled object starts a new life: fresh header, young, counted. */
MM__PRIVATE void mm__object_revive(mm__heap *h, mm_type *type, void *object)
{
    memcpy(mm__header_of(object), &type->mm__.header, sizeof(mm_header));
    mm__object_hide(h, object, false);
    if (!type->mm__.tracked) return;
    h->front.credit--;
    mm__note_reuse(h, object);
    if (h->busy.trial) mm__blacken(h, object);
}

/* -- death -- */

MM__PRIVATE void mm__die(mm__heap *h, void *object);

MM__RARE MM__PRIVATE void mm__dying_push(mm__heap *h, void *object)
{
    mm_header *header = mm__header_of(object);
    mm_type   *type = mm__type_at(header->type);
    bool prompt = type->finalize || type->dispose || (type->flags & MM_TYPE_PROMPT);
    uint32_t *stack = prompt ? &h->dying_prompt : &h->dying;
    uint32_t  granule = (uint32_t)(((uintptr_t)object & MM__ARENA_MASK) >> 4);
    mm__unquiet(header);
    header->flags |= MM__F_DEAD;
    header->rc = *stack;
    *stack = mm__A(object)->index << MM__LINK_SHIFT | granule;
    h->pending_free++;
}

MM__RARE MM__PRIVATE void *mm__dying_pop(mm__heap *h)
{
    uint32_t *stack = h->dying_prompt ? &h->dying_prompt : &h->dying;
    uint32_t  link = *stack, low = (UINT32_C(1) << MM__LINK_SHIFT) - 1;
    char     *object = (char *)h->arenas[link >> MM__LINK_SHIFT] + ((link & low) << 4);
    *stack = mm__header_of(object)->rc;
    mm__header_of(object)->rc = 0;
    h->pending_free--;
    return object;
}

/* The finalizer, on a temporary reference. True: somebody kept the object. */
MM__RARE MM__PRIVATE bool mm__finalize_dying(mm__heap *h, void *object,
                                             const mm_type *type)
{
    mm_header *header = mm__header_of(object);
    header->rc++; /* from none */
    header->flags = (uint8_t)((header->flags & ~MM__F_DEAD) | MM__F_FINALIZED);
    mm__handle_show(h, object, true);
    if (!type->finalize(object)) mm__hook_failed(h, object, "finalizer");
    header->rc--;
    if (mm_refcount(object) != 0) {
        if (!(header->gc & MM__GC_OLD)) mm__quiet(header);
        h->gc.promoted++; /* who holds it now, nobody has looked at */
        return true;
    }
    header->flags |= MM__F_DEAD;
    if (h->busy.trial) mm__blacken(h, object); /* begun meanwhile */
    return false;
}

/* Drop references at `at`, the last first, as far as the budget goes. */
MM__PRIVATE size_t mm__drop_refs(mm__heap *h, char *at, size_t n)
{
    while (n && h->dying_budget) {
        char *slot = at + --n * sizeof(void *);
        void *child = mm__load(slot);
        mm__store(slot, NULL);
        if (n % 16 == 0) h->dying_budget--;
        mm_decref(child);
    }
    return n;
}

/* Drop all references of a dead object. False: the budget ended first. */
MM__RARE MM__PRIVATE bool mm__drop_slots(mm__heap *h, void *object, const mm_type *type)
{
    for (uint32_t i = 0; i < type->mm__.all_count; i++) {
        const mm_slot *slot = &type->mm__.all_slots[i];
        bool   counted = slot->kind == MM_SLOT_TAIL || slot->kind == MM_SLOT_VECTOR;
        size_t n, left;
        char  *at = mm__slot_refs(object, slot, &n);
        left = mm__drop_refs(h, at, n);
        if (counted) mm__slot_set_count(object, slot, left);
        if (left) {
            if (!counted) h->dying_budget = left / 16 + 2;
            if (counted || mm__drop_refs(h, at, left)) return false;
        }
        if (slot->kind == MM_SLOT_VECTOR && at) {
            mm__store((char *)object + slot->offset, NULL);
            mm_free(&h->front, at);
        }
    }
    if (type->clear) type->clear(object);
    return true;
}

MM__PRIVATE void mm__dispose(mm__heap *h, void *object, const mm_type *type)
{
    (void)h;
    if (type->dispose) type->dispose(object);
}

/* Whether death is only slots and memory. */
MM__PRIVATE bool mm__plain(const mm_header *header, const mm_type *type)
{
    return type->mm__.simple == MM__PLAIN &&
           !(header->flags & (MM__F_WEAK | MM__F_POOLED));
}

/* mm__object_free of a plain object where nothing is under way, but for the credit. */
MM__INLINE void mm__free_calmly(mm__heap *h, void *object)
{
    mm_header *header = mm__header_of(object);
    bool old = header->gc & MM__GC_OLD;
    header->gc |= MM__GC_GONE;
    if (MM__LIKELY(old && mm__cache_of(&h->front, object) != h->front.cache)) {
        if (MM__UNLIKELY(h->aged_count == MM__AGED)) mm__aged_flush(h);
        h->aged[h->aged_count++] = header;
    } else {
        if (old) mm__note_reuse(h, object);
        mm__block_free(h, header);
    }
}

/* Whether a link on the stacks can name it: the first 64 GiB of a heap. */
MM__PRIVATE bool mm__linkable(const void *object)
{
    return !(mm__A(object)->index >> (32 - MM__LINK_SHIFT));
}

/* The kind of an object of this type at birth. */
MM__INLINE uint32_t mm__type_kind(const mm_type *type)
{
    mm_header header;
    memcpy(&header, &type->mm__.header, sizeof header);
    return mm__header_kind(&header);
}

/* An object lost a reference: whether that was the last, and it dies plainly. */
MM__NOINLINE bool mm__dies_plainly(const mm__heap *h, const mm_header *header)
{
    return mm__count(header) == 0 && !h->busy.trial &&
           !(header->flags & (MM__F_DEAD | MM__F_TRASH)) &&
           mm__plain(header, mm__type_at(header->type));
}

/* D2 for the slots of a plain object, as nearly all are. Returns one that died of it,
   if plain as well: the last; others are on the stacks. What is of `kind` is plain. */
MM__INLINE char *mm__drop_plainly(mm__heap *h, char *object, const uint32_t *offset,
                                  uint32_t n, uint32_t kind)
{
    char *next = NULL;
    for (uint32_t i = 0; i < n; i++) {
        char      *child = (char *)mm__load(object + offset[i]);
        mm_header *header = mm__header_of(child);
        if (child == NULL) continue;
        mm__store(object + offset[i], NULL);
        if ((int32_t)--header->rc > MM__RC_QUIET) continue;
        if ((header->rc == 0 &&
             (mm__header_kind(header) & ~mm__kind(0, 0, MM__GC_OLD)) == kind) ||
            mm__dies_plainly(h, header)) {
            if (next) mm__dying_push(h, next);
            next = child;
        } else {
            mm__decref_slow(child);
        }
    }
    return next;
}

/* A plain object dies, and one after the other what it alone held, as long as that is
   of its type. Returns what is not, and is to die next. */
MM__HOT char *mm__die_alike(mm__heap *h, char *object, const mm_type *type)
{
    const uint32_t *offset = type->mm__.ref_offsets, n = type->mm__.ref_count;
    const bool      calm = h->cached && !h->busy.collecting && !h->busy.trial;
    const uint32_t  kind = calm ? mm__type_kind(type) : 0;
    const size_t    budget = h->dying_budget;
    size_t more = 0; /* besides the first */
    for (char *next;; more++, object = next) {
        next = mm__drop_plainly(h, object, offset, n, kind);
        if (MM__LIKELY(calm))
            mm__free_calmly(h, object);
        else
            mm__object_free(h, object);
        object = NULL;
        if (next == NULL) break;
        if (MM__UNLIKELY(more >= budget || h->dying_prompt) && mm__linkable(next)) {
            mm__dying_push(h, next);
            break;
        }
        object = next;
        if (mm__header_of(next)->type != type->mm__.id) break;
    }
    h->dying_budget = more < budget ? budget - more : 0;
    if (calm && type->mm__.tracked) mm__credit_back(h, more + 1);
    return object;
}

MM__PRIVATE void mm__die_chain(mm__heap *h, void *object, const mm_type *type)
{
    bool deferring = h->busy.deferring;
    h->busy.deferring = true;
    while ((object = mm__die_alike(h, (char *)object, type)) != NULL)
        type = mm__type_at(mm__header_of(object)->type);
    h->busy.deferring = deferring;
}

/* Everything that D2 lists, for an object taken off the stack. */
MM__RARE MM__PRIVATE void mm__die_now(mm__heap *h, void *object)
{
    mm_header     *header = mm__header_of(object);
    const mm_type *type = mm__type_at(header->type);
    bool           done, deferring = h->busy.deferring;
    if (mm__plain(header, type)) {
        mm__die_chain(h, object, type);
        return;
    }
    if (!(header->gc & MM__GC_CLEARING)) {
        if (type->finalize && !(header->flags & MM__F_FINALIZED) &&
            mm__finalize_dying(h, object, type))
            return;
        if (header->flags & MM__F_WEAK) mm__weak_died(h, object);
        header->gc |= MM__GC_CLEARING;
    }
    h->busy.deferring = true;
    done = mm__drop_slots(h, object, type);
    h->busy.deferring = deferring;
    if (!done) {
        mm__dying_push(h, object); /* by D1 the arena has a number that fits */
        return;
    }
    header->gc &= (uint8_t)~MM__GC_CLEARING;
    mm__dispose(h, object, type);
    mm__object_free(h, object);
}

/* Process the stack down to `mark` while the budget lasts. */
MM__RARE MM__PRIVATE void mm__drain(mm__heap *h, uint32_t mark)
{
    h->dying_depth++;
    while (h->dying_budget && (h->dying_prompt || h->dying != mark)) {
        h->dying_budget--;
        mm__die_now(h, mm__dying_pop(h));
    }
    h->dying_depth--;
}

MM__PRIVATE void mm__drain_budget(mm__heap *h, size_t budget)
{
    if (h->dying_depth || h->busy.deferring || !h->pending_free) return;
    h->dying_budget = budget;
    mm__drain(h, 0);
}

MM__PRIVATE void mm__drain_some(mm__heap *h)
{
    bool was = h->brief;
    h->brief = true;
    mm__drain_budget(h, MM__DEATHS);
    h->brief = was;
}

MM__RARE MM__PRIVATE void mm__drain_all(mm__heap *h)
{
    while (h->pending_free && !h->dying_depth && !h->busy.deferring)
        mm__drain_budget(h, SIZE_MAX);
}

/* Nothing else is dying, and no old trial must hear of it. */
MM__PRIVATE bool mm__calm(const mm__heap *h)
{
    return !h->busy.deferring && !h->dying_depth && !h->pending_free &&
           !h->busy.trial;
}

/* D2 for an object that holds nothing, but has a disposer. */
MM__PRIVATE void mm__die_disposed(mm__heap *h, void *object, const mm_type *type)
{
    h->dying_depth = 1;
    type->dispose(object);
    h->dying_depth = 0;
    mm__object_free(h, object);
}

/* A death that others wait for or must hear of, or that takes more than slots. */
MM__RARE MM__PRIVATE void mm__die_at_length(mm__heap *h, void *object)
{
    uint32_t mark = h->dying;
    if (h->busy.trial) mm__blacken(h, object);
    mm__handle_show(h, object, false);
    if (!mm__linkable(object)) {
        size_t budget = h->dying_budget;
        h->dying_budget = SIZE_MAX;
        mm__die_now(h, object);
        h->dying_budget = budget;
        return;
    }
    mm__dying_push(h, object);
    if (h->busy.deferring || h->dying_depth > MM__DEATH_DEPTH) return;
    if (h->dying_depth == 0) {
        h->dying_budget = MM__DEATHS;
        mark = 0;
    }
    mm__drain(h, mark);
}

/* The count of an object reached zero. */
MM__NOINLINE void mm__die(mm__heap *h, void *object)
{
    mm_header     *header = mm__header_of(object);
    const mm_type *type = mm__type_at(header->type);
    header->flags |= MM__F_DEAD;
    if (!mm__calm(h) || !type->mm__.simple || type->finalize ||
        (type->dispose && type->mm__.ref_count) ||
        (header->flags & (MM__F_WEAK | MM__F_POOLED))) {
        mm__die_at_length(h, object);
        return;
    }
    h->dying_budget = MM__DEATHS;
    if (MM__LIKELY(!type->dispose)) {
        mm__die_chain(h, object, type);
    } else {
        mm__die_disposed(h, object, type);
    }
    if (MM__UNLIKELY(h->pending_free != 0)) mm__drain(h, 0);
}

/* A count that is not the last reference's. */
MM__RARE MM__NOINLINE void mm__decref_other(void *p)
{
    mm_header *header = mm__header_of(p);
    if (mm__count(header) > 0) {
        if (!(header->flags & MM__F_TRASH)) mm__suspect(mm__H(mm_heap_of(p)), p);
    } else if (header->flags & MM__F_TRASH) {
        return; /* the collector frees it */
    } else if (mm__is_immortal(p)) {
        mm__saturate(header);
    } else {
        mm__count_set(header, 0);
        mm__bug(mm__H(mm_heap_of(p)),
                "mm_decref of %s %p, whose count is already zero: a reference was "
                "dropped twice", mm_type_name(p), p);
    }
}

MM__INLINE bool mm__is_busy(const mm__heap *h)
{
    uint32_t any;
    memcpy(&any, &h->busy, sizeof any);
    return any != 0;
}

/* A plain young object that holds nothing dies here, in a few instructions, as does a
   weak reference. False: it takes more than that. */
MM__INLINE bool mm__die_at_once(mm__heap *h, void *object)
{
    mm_header     *header = mm__header_of(object);
    const mm_type *type = mm__type_at(header->type);
    const uint32_t longer = mm__kind(0, MM__F_WEAK | MM__F_POOLED, MM__GC_OLD);
    uint32_t       kind = mm__header_kind(header);
    mm__cache     *cache;
    void         **top;
    if ((kind & longer) || type->mm__.simple < MM__PLAIN || mm__is_busy(h))
        return false;
    for (uint32_t i = 0, n = type->mm__.ref_count; i < n; i++)
        if (mm__load((char *)object + type->mm__.ref_offsets[i])) return false;
    cache = mm__cache_of(&h->front, object);
    top = cache->top;
    if (MM__UNLIKELY(top == cache->limit)) return false;
    if (kind & mm__kind(0, MM__F_TRACKED, 0)) mm__credit_back(h, 1);
    mm__header_set_kind(header, kind | mm__kind(0, MM__F_DEAD, MM__GC_GONE));
    *top = header;
    cache->top = top + 1;
    if (type->mm__.simple == MM__LINKED) mm__weak_unlink((mm_weakref *)object);
    return true;
}

MM_API void mm__decref_slow(const void *object)
{
    mm_header *header = mm__header_of(object);
    int32_t    count = mm__count(header);
    void      *p = (void *)(uintptr_t)object;
    if (count == 0 && !(header->flags & (MM__F_DEAD | MM__F_TRASH))) {
        mm__heap *h = mm__H(mm_heap_of(p));
        if (!mm__die_at_once(h, p)) mm__die(h, p);
    } else if (count > 0 && count < MM__RC_QUIET && !(header->gc & MM__GC_OLD) &&
               !mm__barrier_up(p)) {
        header->rc += MM__RC_QUIET; /* mm__quiet, all that mm__suspect would do */
        header->gc |= MM__GC_QUIET;
    } else {
        mm__decref_other(p);
    }
}

MM__RARE MM_API void mm__incref_slow(const void *object)
{
    mm_header *header = mm__header_of(object);
    if ((int32_t)header->rc == INT32_MIN)
        mm__log(mm__H(mm_heap_of(object)), MM_LOG_WARNING,
                "the count of %s %p overflowed: it is immortal now",
                mm_type_name(object), object);
    if (mm__is_immortal(object)) mm__saturate(header);
}

/* -- birth -- */

/* A zeroed object of size bytes; NULL: no memory (recorded). */
MM__PRIVATE void *mm__object_new(mm__heap *h, mm_type *type, size_t size)
{
    mm_block_kind kind = type->mm__.tracked ? MM_BLOCK_TRACKED : MM_BLOCK_LEAF;
    char *object;
    if (h->zone) {
        object = (char *)mm__debug_object(h, kind, size);
    } else {
        object = (char *)mm__block_alloc(h, kind, size + sizeof(mm_header));
        if (object) object += sizeof(mm_header);
    }
    if (object == NULL) return NULL;
    memcpy(mm__header_of(object), &type->mm__.header, sizeof(mm_header));
    return memset(object, 0, size);
}

MM__RARE MM_API void *mm__new_slow(mm_heap *heap, mm_type *type, size_t size)
{
    mm__heap *h = mm__H(heap);
    if (type->mm__.id == 0 && mm_type_register(heap, type) != MM_OK) return NULL;
    if (size > SIZE_MAX / 2) {
        mm__fail(heap, MM_ERR_OVERFLOW, "an object of %zu bytes", size);
        return NULL;
    }
    if (h->debug) mm__check_owner(h);
    if (type->mm__.tracked && --h->front.credit < 0) mm__gc_auto(h);
    if (MM__UNLIKELY(h->gc.bytes_new > MM__BYTES_TRIGGER) && mm__gc_bytes_due(h))
        mm__gc_bytes(h);
    return mm__object_new(h, type, size);
}

MM_API void *mm_new_of_type(mm_heap *heap, mm_type *type, size_t extra)
{
    if (extra > SIZE_MAX / 2) {
        mm__fail(heap, MM_ERR_OVERFLOW, "an object with %zu extra bytes", extra);
        return NULL;
    }
    if (extra == 0) return mm__new(heap, type, type->size);
    return mm__new_slow(heap, type, type->size + extra);
}

/* -- queries -- */

MM__RARE MM_API int64_t mm_refcount(const void *object)
{
    return mm__is_immortal(object) ? INT64_MAX
                                   : (int64_t)mm__count(mm__header_of(object));
}

MM_API size_t mm_sizeof(const void *object)
{
    return mm_usable_size(object) + sizeof(mm_header);
}

MM_API void mm_immortalize(const void *object)
{
    mm__saturate(mm__header_of(object));
}

/* The types of weak references and finalize callbacks: their room is >>weak. */
struct mm_finalizer {
    mm_weakref     ref;
    mm_finalize_fn fn;
    void          *argument;
    mm_finalizer  *older, *newer;
    bool           alive, atexit;
};

static const mm_slot mm__weakref_slots[] = {MM_REF(mm_weakref, owned)};

static mm_type mm__weakref_type = {
    "weakref", sizeof(mm_weakref), mm__weakref_slots, 1, MM_TYPE_NO_WEAK, NULL,
    NULL, mm__weakref_dispose, NULL, NULL, NULL, NULL, NULL,
    {0, 0, 0, 0, 0, 0, NULL, NULL, 0}};

static mm_type mm__finalizer_type = {
    "finalizer", sizeof(mm_finalizer), NULL, 0, MM_TYPE_NO_WEAK, &mm__weakref_type,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    {0, 0, 0, 0, 0, 0, NULL, NULL, 0}};

/* ============================================================================
   >>gc.impl   The cycle collector

   An object is held from outside exactly if its count exceeds the number of
   references to it from the objects under suspicion. A trial counts those
   references *up*, into one byte per object in a dense table, and never touches a
   count: so the mutator always sees true counts, a trial can be left unfinished
   between two allocations, and shuffled memory costs no cache misses.

      reach      old trials: what was held when last looked at, and lost no reference,
                 is taken for held; it and what it leads to is live, and outside
      count      for every member, for every reference to a member: byte + 1
      mark       members whose count is not their byte are live, and what live
                 members refer to; in address order, so that only references
                 backwards need the mark stack
      condemn    the others are the trash
      verify     in slices: the trash is counted and marked again by itself, where
                 nothing can change any more; what was condemned by mistake is let go
      weaken     all weak references into the trash die; then callbacks run
      finalize   each once, graph intact; if one ran, the trash is counted and
                 marked again by itself, and what came back is let go
      clear      references from the trash to the outside are dropped; if the counts
                 say that there are none but a few that are known, only those
      dispose    disposers; then all memory goes, a bitmap word at a time

   Young trials (generation 0, or 0 and 1) run whole. The old trial runs whole or in
   slices; a closure, which is fresh suspects and what they lead to, in slices. Between
   slices the mutator tells us of what could hide a reference: losing
   one (mm_decref of an old object that is not quiet), moving one (mm_take), finding an
   object weakly. Taking one (mm_incref) needs nothing. Objects born, or dying by count,
   during an old trial are outside it: black.

   Why that is sound (the sliced trial): let x be a member that mark found neither
   counted short nor reached. If every reference that was counted still exists, all of
   x's references come from members. A counted reference that vanished was dropped
   (x was blackened by mm_decref) or moved (by mm_take). A reference made since then was
   read from a member y held from outside; y fails its own test, or lost that hold later
   by an mm_decref, which blackened y, and marking y marks x.

   Invariants
     G1  idle: all bytes of tracked blocks are 0
     G2  in a trial a member's byte is low + count (count < 125), low + 125 with the
         rest in the excess table, MM__LIVE or MM__REACHED; nothing but members has a
         byte from low to low + 125. Old trials use low 0, young ones 128, so that a
         young trial may run while an old one is under way; closures use low 1, and 0
         is the byte of what is not a member
     G3  once an old trial reaches or counts: an old object is quiet only if its byte
         is MM__LIVE or MM__REACHED
     G4  old objects (generation 1, 2) have MM__GC_OLD; a young one is quiet exactly
         if it has lost a reference and lived on
     G5  no object of the trash is reachable by the mutator, but through a finalizer
     G6  a quiet old object has its bit in MM__SUSPECT, or is frozen
     G7  a pool with a bit in suspect_sum is in the list of suspects; a word of bytes
         that a closure has touched has its bit in touched_sum, its pool in that list
     G8  what is free has no bit in MM__HELD
     G9  between slices no reference is noted: gc.noted_count is 0
     G10 after reach, until condemn: all members of a word with a bit in reached_sum are
         live
   ============================================================================ */

#define MM__SATURATED 125
#define MM__REACHED 127           /* a byte: roots lead there                     */
#define MM__ROOTS 256             /* more are not worth their bookkeeping         */
#define MM__ROOT_TABLE 2          /* the excess table with references to them     */
#define MM__LOW_YOUNG 128
#define MM__LOW_CLOSURE 1         /* 0 is for what is not a member               */
#define MM__SLICE_ALLOCATIONS 16  /* tracked objects between two slices            */
#define MM__SLICE_VISITS 480      /* objects looked at in one                     */
#define MM__STEP_YOUNG 6000       /* young objects that one pause may look at     */
#define MM__SLICED_COUNT1 2       /* generation 1 sooner: it is looked at in one go */
#define MM__FEW_SUSPECTS 256      /* one in so many young objects is not worth a look */
#define MM__CLOSURE_SEEDS 128     /* suspects that a closure begins with          */
#define MM__CLOSURE_LEAST 4096    /* objects that it may look at, when it found few */
#define MM__CLOSURE_MOST ((size_t)1 << 22) /* and when it found many               */
#define MM__CLOCK_VISITS 192      /* between two looks at the clock               */
#define MM__WORD_VISITS 4         /* what it takes to skip a word                 */

MM__PRIVATE uint8_t *mm__byte(const void *object)
{
    const mm__arena *arena = mm__A(object);
    const mm__unit  *u = &arena->unit[((uintptr_t)object & MM__ARENA_MASK) >>
                                     MM__POOL_SHIFT];
    uint64_t offset = (uint32_t)((uintptr_t)object & MM__ARENA_MASK) - u->base;
    return u->bytes + ((offset * u->scale) >> 40);
}

MM__PRIVATE bool mm__is_young(const mm__trial *t)
{
    return t->low == MM__LOW_YOUNG;
}

/* A pool at hand: what its objects refer to is most often in it as well. */
typedef struct mm__near {
    uintptr_t reach; /* MM__POOL_SIZE, or 0 if the pool has more than one unit */
    uint64_t  scale;
    uint8_t  *bytes;
} mm__near;

MM__INLINE mm__near mm__near_to(const mm__bpool *pool)
{
    const mm__unit *u = &mm__A(pool)->unit[pool->unit];
    mm__near home;
    home.reach = pool->span == 1 ? MM__POOL_SIZE : 0;
    home.scale = u->scale;
    home.bytes = u->bytes;
    return home;
}

/* Whether p is in the pool, as `from` is. */
MM__INLINE bool mm__is_near(const mm__near *home, const void *from, const void *p)
{
    return MM__LIKELY(((uintptr_t)from ^ (uintptr_t)p) < home->reach);
}

/* The byte of an object there. Blocks begin at 0 or 8 of a unit, objects 8 later. */
MM__INLINE uint8_t *mm__near_byte(const mm__near *home, const void *object)
{
    uint64_t offset = ((uintptr_t)object & (MM__POOL_SIZE - 1)) - 8;
    return home->bytes + (offset * home->scale >> 40);
}

/* -- the mark stack -- */

MM__PRIVATE bool mm__stack_grow(mm__heap *h, mm__stack *s)
{
    mm__stack_chunk *chunk = s->spare;
    s->spare = NULL;
    if (chunk == NULL)
        chunk = (mm__stack_chunk *)mm__obtain(h, sizeof *chunk, MM__PAGE);
    if (chunk == NULL) {
        s->overflowed = true;
        return false;
    }
    chunk->below = s->chunk;
    s->chunk = chunk;
    s->count = 0;
    return true;
}

MM__PRIVATE void mm__stack_push(mm__heap *h, mm__stack *s, void *object)
{
    const size_t full = sizeof s->chunk->item / sizeof s->chunk->item[0];
    if ((s->chunk == NULL || s->count == full) && !mm__stack_grow(h, s)) return;
    s->chunk->item[s->count++] = object;
}

#define MM__STACK_AHEAD 6 /* what will be popped after so many is fetched by then */

MM__NOINLINE void *mm__stack_pop(mm__heap *h, mm__stack *s)
{
    mm__stack_chunk *chunk = s->chunk;
    void           **item;
    if (chunk == NULL) return NULL;
    if (s->count == 0) {
        s->chunk = chunk->below;
        s->count = sizeof chunk->item / sizeof chunk->item[0];
        if (s->spare) mm__give_back(h, s->spare, sizeof *s->spare);
        s->spare = chunk;
        if ((chunk = s->chunk) == NULL) return NULL;
    }
    item = &chunk->item[--s->count];
    if (s->count >= MM__STACK_AHEAD)
        MM__PREFETCH(mm__header_of(item[-MM__STACK_AHEAD]));
    return *item;
}

MM__RARE MM__PRIVATE void mm__stack_free(mm__heap *h, mm__stack *s)
{
    while (s->chunk) {
        mm__stack_chunk *below = s->chunk->below;
        mm__give_back(h, s->chunk, sizeof *s->chunk);
        s->chunk = below;
    }
    if (s->spare) mm__give_back(h, s->spare, sizeof *s->spare);
    memset(s, 0, sizeof *s);
}

/* -- in-degrees above what a byte holds -- */

MM__RARE MM__PRIVATE mm__excess *mm__excess_find(mm__excess_table *table,
                                                const void *object)
{
    size_t i = (size_t)(((uintptr_t)object >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 20);
    if (table->capacity == 0) return NULL;
    for (i &= table->capacity - 1;; i = (i + 1) & (table->capacity - 1))
        if (table->entry[i].object == object || table->entry[i].object == NULL)
            return &table->entry[i];
}

MM__RARE MM__PRIVATE bool mm__excess_grow(mm__heap *h, mm__excess_table *table)
{
    mm__excess_table bigger;
    bigger.capacity =
        table->capacity ? table->capacity * 2 : MM__PAGE / sizeof(mm__excess);
    bigger.used = table->used;
    bigger.entry =
        (mm__excess *)mm__obtain(h, bigger.capacity * sizeof(mm__excess), MM__PAGE);
    if (bigger.entry == NULL) return false;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->entry[i].object)
            *mm__excess_find(&bigger, table->entry[i].object) = table->entry[i];
    if (table->capacity)
        mm__give_back(h, table->entry, table->capacity * sizeof(mm__excess));
    *table = bigger;
    return true;
}

/* One more reference to a saturated object. Without memory it counts as live. */
MM__RARE MM__NOINLINE void mm__excess_add(mm__heap *h, mm__trial *t, unsigned which,
                                          void *object, uint8_t *byte)
{
    mm__excess_table *table = &h->gc.excess[which];
    mm__excess *e;
    if (table->used * 2 >= table->capacity && !mm__excess_grow(h, table)) {
        *byte = MM__LIVE;
        t->incomplete = t->rescued = true;
        return;
    }
    e = mm__excess_find(table, object);
    if (e->object == NULL) {
        e->object = object;
        table->used++;
    }
    e->count++;
}

MM__PRIVATE uint64_t mm__excess_of(mm__heap *h, const mm__trial *t, const void *object)
{
    const mm__excess *e = mm__excess_find(&h->gc.excess[mm__is_young(t)], object);
    return e ? e->count : 0;
}

MM__PRIVATE void mm__excess_clear(mm__heap *h, mm__excess_table *table)
{
    if (table->capacity)
        mm__give_back(h, table->entry, table->capacity * sizeof(mm__excess));
    memset(table, 0, sizeof *table);
}

/* -- sets: which bits of a word are members -- */

MM__PRIVATE uint64_t mm__valid_bits(const mm__bpool *pool, size_t w)
{
    return mm__low_bits(pool->count - w * 64);
}

MM__RARE MM__PRIVATE uint64_t mm__set_word(const mm__bpool *pool, size_t w, mm__set set)
{
    uint64_t used = ~mm__table(pool, MM__FREE)[w] & mm__valid_bits(pool, w);
    uint64_t y0 = mm__table(pool, MM__YOUNG0)[w], y1 = mm__table(pool, MM__YOUNG1)[w];
    switch (set) {
    case MM__SET_GEN0: return used & y0;
    case MM__SET_YOUNG: return used & (y0 | y1);
    case MM__SET_OLD: return used & ~y0 & ~y1 & ~mm__table(pool, MM__FROZEN)[w];
    case MM__SET_ALL: return used & ~mm__table(pool, MM__FROZEN)[w];
    default: return mm__table(pool, MM__TRASH)[w];
    }
}

/* The word's trash that belongs to this trial: another may have some as well. */
MM__PRIVATE uint64_t mm__trash_word(const mm__bpool *pool, size_t w, const mm__trial *t)
{
    uint64_t young = mm__table(pool, MM__YOUNG0)[w] | mm__table(pool, MM__YOUNG1)[w];
    uint64_t trash = mm__table(pool, MM__TRASH)[w];
    if (trash == 0 || t->set == MM__SET_ALL || t->set == MM__SET_CLOSURE) return trash;
    return t->set == MM__SET_OLD ? trash & ~young : trash & young;
}

MM__PRIVATE void *mm__object_at(const mm__heap *h, const mm__bpool *pool, size_t i)
{
    char *block = pool->blocks + i * pool->size;
    if (pool->cache == 0) block += 8; /* runs and huge blocks */
    return block + sizeof(mm_header) + h->zone;
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define MM__LITTLE_ENDIAN 0
#else
#define MM__LITTLE_ENDIAN 1
#endif

MM__PRIVATE uint64_t mm__byte_swap(uint64_t x)
{
    x = (x & UINT64_C(0x00FF00FF00FF00FF)) << 8 |
        (x >> 8 & UINT64_C(0x00FF00FF00FF00FF));
    x = (x & UINT64_C(0x0000FFFF0000FFFF)) << 16 |
        (x >> 16 & UINT64_C(0x0000FFFF0000FFFF));
    return x << 32 | x >> 32;
}

/* Bit i: byte i, with the bits of `with` set, is not `value`. */
MM__ALWAYS_INLINE uint64_t mm__bytes_unlike(const uint8_t *bytes, uint8_t with,
                                            uint8_t value)
{
    uint64_t mask = 0;
#if defined(__SSE2__)
    const __m128i w = _mm_set1_epi8((char)with), v = _mm_set1_epi8((char)value);
    for (unsigned i = 4; i--;) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(bytes + i * 16));
        x = _mm_cmpeq_epi8(_mm_or_si128(x, w), v);
        mask = mask << 16 | (unsigned)_mm_movemask_epi8(x);
    }
    return ~mask;
#else
    const uint64_t ones = UINT64_C(0x0101010101010101), low7 = ones * 0x7F;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t x;
        memcpy(&x, bytes + i * 8, 8);
        x = (x | ones * with) ^ ones * value;
        if (x == 0) continue; /* else a byte that is not zero: its high bit, then eight
                                 of those in a row */
        x = (((x & low7) + low7) | x) >> 7 & ones;
        if (!MM__LITTLE_ENDIAN) x = mm__byte_swap(x);
        mask |= (x * UINT64_C(0x0102040810204080) >> 56) << (i * 8);
    }
    return mask;
#endif
}

MM__NOINLINE uint64_t mm__bytes_other(const uint8_t *bytes, uint8_t value)
{
    return mm__bytes_unlike(bytes, 0, value);
}

/* Neither live nor reached. */
MM__NOINLINE uint64_t mm__not_live(const uint8_t *bytes)
{
    return mm__bytes_unlike(bytes, MM__LIVE ^ MM__REACHED, MM__LIVE);
}

/* -- walking a set, a word at a time, from the trial's cursor -- */

typedef void (*mm__word_fn)(mm__heap *h, mm__trial *t, mm__bpool *pool, size_t w,
                            uint64_t mask);

MM__NOINLINE bool mm__out_of_budget(mm__trial *t, size_t visits)
{
    t->visits += visits;
    if (!t->sliced) return false;
    if (t->visits >= t->budget) return true;
    if (t->deadline == 0) return false;
    t->clock_visits += visits;
    if (t->clock_visits < MM__CLOCK_VISITS) return false;
    t->clock_visits = 0;
    return mm__clock_ns() >= t->deadline;
}

MM__PRIVATE uint64_t mm__trial_word(const mm__trial *t, const mm__bpool *pool, size_t w,
                                    bool trash)
{
    if (t->phase == MM__UNQUIET)
        return ~mm__table(pool, MM__FREE)[w] & mm__valid_bits(pool, w);
    return trash ? mm__trash_word(pool, w, t) : mm__set_word(pool, w, t->set);
}

/* What it takes to look at objects of a word, in visits: less in phases that look at
   tables more than at objects, more in those that miss the cache at each reference. */
MM__PRIVATE size_t mm__visits_of(mm__phase phase, uint64_t mask)
{
    size_t n;
    if (phase == MM__UNQUIET || phase == MM__CONDEMN || phase == MM__RELEASE) return 1;
    n = mm__popcount(mask);
    return phase == MM__CLEAR || phase == MM__VERIFY_COUNT ? 2 * n : n;
}

MM__PRIVATE bool mm__large_pending(mm__heap *h, mm__trial *t);

/* False: the budget ended; call again to go on. After MM__CONDEMN the walk is over
   the trash. */
MM__PRIVATE bool mm__walk_pool(mm__heap *h, mm__trial *t, mm__bpool *pool,
                               mm__word_fn fn)
{
    size_t words = mm__pool_words(pool);
    bool   trash = t->phase > MM__CONDEMN;
    bool   reached = t->roots && t->phase > MM__REACH && !trash;
    while (t->at.word < words) {
        size_t   w = t->at.word++;
        uint64_t mask;
        if (mm__is_young(t) && !(pool->young_sum >> w & 1)) continue;
        if (reached && (pool->reached_sum >> w & 1)) {
            MM__INVARIANT(!(mm__not_live(mm__bytes(pool, w)) &
                            mm__trial_word(t, pool, w, false)));
            if (mm__out_of_budget(t, 1)) return false;
            continue;
        }
        mask = mm__trial_word(t, pool, w, trash);
        if (mask == 0) continue;
        fn(h, t, pool, w, mask);
        if (mm__out_of_budget(t, mm__visits_of(t->phase, mask))) return false;
        if (t->part_of && !mm__large_pending(h, t)) return false;
    }
    t->at.word = 0;
    return true;
}

MM__PRIVATE bool mm__arena_tracked(const mm__arena *arena)
{
    return arena != NULL && (arena->head.kind == MM__KIND_TRACKED ||
                             (arena->head.kind == MM__KIND_HUGE &&
                              arena->block_kind == MM_BLOCK_TRACKED));
}

MM__PRIVATE bool mm__walk_arenas(mm__heap *h, mm__trial *t, mm__word_fn fn)
{
    for (; t->at.arena < h->arena_count; t->at.arena++, t->at.unit = 0) {
        uint32_t units = MM__UNITS;
        if (!mm__arena_tracked(h->arenas[t->at.arena])) continue;
        if (h->arenas[t->at.arena]->head.kind == MM__KIND_HUGE) units = 1;
        for (; t->at.unit < units; t->at.unit++) {
            mm__arena *arena = h->arenas[t->at.arena];
            if (arena == NULL) break; /* a huge block that was released meanwhile */
            if (!mm__walk_pool(h, t, &arena->pool[t->at.unit], fn)) return false;
        }
    }
    return true;
}

/* The words with members of a closure. */
MM__PRIVATE bool mm__walk_touched(mm__heap *h, mm__trial *t, mm__word_fn fn)
{
    bool trash = t->phase > MM__CONDEMN && t->phase < MM__RESET;
    if (t->at.pool == NULL && t->at.word == 0) t->at.pool = h->gc.touched_pools;
    for (; t->at.pool; t->at.pool = t->at.pool->next_touched, t->at.word = 0) {
        mm__bpool *pool = t->at.pool;
        uint64_t   rest = t->at.word < 64 ? pool->touched_sum >> t->at.word : 0;
        for (; rest; rest = t->at.word < 64 ? pool->touched_sum >> t->at.word : 0) {
            unsigned w = t->at.word + mm__ctz(rest);
            uint64_t mask = mm__table(pool, MM__TRASH)[w];
            t->at.word = w + 1;
            if (!trash)
                mask = mm__bytes_other(mm__bytes(pool, w), 0) & mm__valid_bits(pool, w);
            if (mask == 0) continue;
            fn(h, t, pool, w, mask);
            if (mm__out_of_budget(t, 4 + mm__popcount(mask))) return false;
            if (t->part_of && !mm__large_pending(h, t)) return false;
        }
    }
    t->at.word = 1; /* the walk has ended, and stays so until the next phase */
    return true;
}

MM__PRIVATE bool mm__walk(mm__heap *h, mm__trial *t, mm__word_fn fn)
{
    mm__bpool *pool, *next;
    if (t->part_of && !mm__large_pending(h, t)) return false;
    if (t->set == MM__SET_CLOSURE) return mm__walk_touched(h, t, fn);
    if (t->set == MM__SET_OLD || t->set == MM__SET_ALL)
        return mm__walk_arenas(h, t, fn);
    for (pool = h->gc.young_pools; pool; pool = next) {
        next = pool->next_young;
        mm__walk_pool(h, t, pool, fn);
    }
    return true;
}

/* -- count -- */

#define MM__AHEAD 1024 /* bytes: how far in front of a walk objects are fetched */

MM__NOINLINE void mm__root_ref(mm__heap *h, mm__trial *t, void *child, uint8_t *byte);

/* A member refers to an object with more references than a byte holds, or to one that
   is none, or died, or is live already. */
MM__COLD void mm__count_else(mm__heap *h, mm__trial *t, void *child, uint8_t *byte,
                             void *holder)
{
    if ((uint8_t)(*byte - t->low) == MM__SATURATED) {
        mm__excess_add(h, t, mm__is_young(t), child, byte);
        return;
    }
    t->outside++;
    if (t->roots && t->phase == MM__COUNT) mm__root_ref(h, t, child, byte);
    if (holder && t->outer_count < MM__OUTER) t->outer[t->outer_count++] = holder;
}

/* A reference from holder, or from one that is not known. */
MM__INLINE void mm__count_at(mm__heap *h, mm__trial *t, uint8_t *byte, void *child,
                             void *holder)
{
    if (MM__LIKELY((uint8_t)(*byte - t->low) < MM__SATURATED))
        ++*byte;
    else
        mm__count_else(h, t, child, byte, holder);
}

/* -- objects with very many references: looked at in parts between slices --

   The mutator may move references about inside such an object meanwhile, so that one
   is counted twice or missed. It cannot do that in garbage; and what is condemned by
   mistake is found when the trash is verified by itself. */

#define MM__PART 4096

MM__RARE MM__PRIVATE bool mm__large_later(mm__heap *h, mm__trial *t, void *object,
                                 const mm_type *type)
{
    size_t total = 0, n;
    if (!t->sliced) return false;
    for (uint32_t i = 0; i < type->mm__.all_count; i++) {
        mm__slot_refs(object, &type->mm__.all_slots[i], &n);
        total += n;
    }
    if (total <= 2 * MM__PART) return false;
    if (t->part_of == NULL) {
        t->part_of = object;
        t->part_slot = t->part_index = 0;
        return true;
    }
    mm__stack_push(h, &t->large, object);
    if (!t->large.overflowed) return true;
    t->large.overflowed = false; /* no memory to wait: now, then */
    return false;
}

typedef struct mm__context {
    mm__heap  *heap;
    mm__trial *trial;
} mm__context;

/* So many members of a word are not looked at: that is less work, but some. */
MM__NOINLINE void mm__skipped(mm__trial *t, uint64_t skip)
{
    size_t n = mm__popcount(skip);
    if (n > MM__WORD_VISITS) t->visits -= n - MM__WORD_VISITS;
}

/* The members of the word; the others are live, and their references outside. */
MM__PRIVATE uint64_t mm__count_mask(mm__trial *t, const mm__bpool *pool, size_t w,
                                     uint64_t mask)
{
    const uint8_t *bytes = mm__bytes(pool, w);
    uint64_t live = mask & ~mm__not_live(bytes);
    mask ^= live;
    if (live) mm__skipped(t, live);
    if (t->phase == MM__COUNT) {
        t->members += mm__popcount(t->roots ? mask | live : mask);
        if (t->roots) /* what the reached refer to is reached */
            live &= mm__bytes_other(bytes, MM__REACHED) & ~mm__table(pool, MM__HELD)[w];
    }
    if (live) t->outside += mm__popcount(live);
    return mask;
}

/* A slot of an object in the pool that `home` is at. False: nothing was done, the
   object there is in another pool, or needs more than one more in its byte. */
MM__ALWAYS_INLINE bool mm__count_near(const mm__near *home, uint8_t low,
                                      const char *object, uint32_t offset)
{
    void    *child = mm__load(object + offset);
    uint8_t *byte;
    if (child == NULL) return true;
    if (!mm__is_near(home, object, child)) return false;
    byte = mm__near_byte(home, child);
    if (MM__UNLIKELY((uint8_t)(*byte - low) >= MM__SATURATED)) return false;
    ++*byte;
    return true;
}

/* -- references out of the pool at hand --

   Their bytes are all over the heap. While a word of objects is looked at they are
   only noted, and their bytes asked for; all are settled, counted or marked, after it.
   Keeps G9. */

MM__NOINLINE void mm__far_settle(mm__heap *h, mm__trial *t);

MM__INLINE void mm__far_ref(mm__heap *h, mm__trial *t, void *child, void *holder)
{
    mm__far *ref;
    if (h->gc.noted_count == MM__FAR) mm__far_settle(h, t);
    ref = &h->gc.noted[h->gc.noted_count++];
    ref->byte = mm__byte(child);
    ref->child = child;
    ref->holder = holder;
    MM__PREFETCH(ref->byte);
}

/* The slots of `object` at these offsets. */
MM__NOINLINE void mm__far_slots(mm__heap *h, mm__trial *t, char *object,
                                const uint32_t *at, const uint32_t *end)
{
    for (; at != end; at++) {
        void *child = mm__load(object + *at);
        if (child) mm__far_ref(h, t, child, object);
    }
}

MM__RARE MM__PRIVATE void mm__far_visit(void *child, void *context)
{
    mm__context *c = (mm__context *)context;
    mm__far_ref(c->heap, c->trial, child, NULL);
}

MM__RARE MM__NOINLINE void mm__far_shaped(mm__heap *h, mm__trial *t, void *object,
                                          const mm_type *type)
{
    mm__context context = {h, t};
    if (!mm__large_later(h, t, object, type))
        mm__visit_refs(object, type, mm__far_visit, &context);
}

MM__PRIVATE void mm__far_object(mm__heap *h, mm__trial *t, char *object)
{
    const mm_type  *type = mm__type_at(mm__header_of(object)->type);
    const uint32_t *at = type->mm__.ref_offsets;
    if (MM__UNLIKELY(!type->mm__.simple))
        mm__far_shaped(h, t, object, type);
    else
        mm__far_slots(h, t, object, at, at + type->mm__.ref_count);
}

MM__PRIVATE bool mm__phase_counts(mm__phase phase)
{
    return phase == MM__COUNT || phase == MM__VERIFY_COUNT || phase == MM__RECOUNT;
}

MM__NOINLINE uint64_t mm__position(const void *object)
{
    return (uint64_t)mm__A(object)->index << 32 | ((uintptr_t)object & MM__ARENA_MASK);
}

/* What objects of the kind at hand refer to. */
typedef struct mm__refs {
    const uint32_t *at;
    uint32_t count, first, second, third; /* the latter as far as there are so many */
    uint32_t kind; /* 0: of none, look at each */
} mm__refs;

#define MM__REFS_CARE mm__kind(UINT16_MAX, MM__F_DEAD, MM__GC_GONE)

MM__INLINE bool mm__same_refs(const mm__refs *refs, const void *object)
{
    return MM__LIKELY((mm__header_kind(mm__header_of(object)) & MM__REFS_CARE) ==
                      refs->kind);
}

/* Settled from here on are references that were noted up to this object; what is ahead
   of it will be walked. A closure is in no order of address, but within a pool. */
MM__INLINE void mm__mark_from(mm__trial *t, const void *object)
{
    if (t->set != MM__SET_CLOSURE) t->position = mm__position(object);
}

/* Another kind of object. False: it has been dealt with, or must not be looked at. */
MM__NOINLINE bool mm__refs_turn(mm__heap *h, mm__trial *t, mm__refs *refs,
                                void *object)
{
    const mm_header *header = mm__header_of(object);
    const mm_type   *type = mm_type_of(header + 1);
    bool counts = mm__phase_counts(t->phase), dead = header->flags & MM__F_DEAD;
    if (counts && dead) { /* waits to be freed */
        *mm__byte(object) = MM__LIVE;
        t->outside++;
        return false;
    }
    if (header->gc & MM__GC_GONE) return false; /* but the dying hold things, too */
    refs->kind = 0;
    if (type->mm__.simple) {
        if (type->mm__.ref_count == 0) return false;
        refs->at = type->mm__.ref_offsets;
        refs->count = type->mm__.ref_count;
        refs->first = refs->at[0];
        if (refs->count > 1) refs->second = refs->at[1];
        if (refs->count > 2) refs->third = refs->at[2];
        if (!dead) refs->kind = mm__kind(type->mm__.id, 0, 0);
        return true;
    }
    mm__mark_from(t, object);
    mm__far_shaped(h, t, object, type);
    return false;
}

MM__HOT void mm__count_word(mm__heap *h, mm__trial *t, mm__bpool *pool, size_t w,
                            uint64_t mask)
{
    const mm__near home = mm__near_to(pool);
    char    *object = (char *)mm__object_at(h, pool, w * 64);
    size_t   size = pool->size, done;
    const uint8_t low = t->low;
    mm__refs refs = {NULL, 0, 0, 0, 0, 0}, turned = refs;
    mask = mm__count_mask(t, pool, w, mask);
    for (; mask; mask >>= 1, object += size) {
        if (MM__UNLIKELY(!(mask & 1))) {
            unsigned gap = mm__ctz(mask);
            mask >>= gap;
            object += gap * size;
        }
        MM__PREFETCH(object + MM__AHEAD);
        if (!mm__same_refs(&refs, object)) {
            bool look = mm__refs_turn(h, t, &turned, object);
            refs = turned;
            if (!look) continue;
        }
        done = 0; /* three slots, or as many as there are and are near */
        if (mm__count_near(&home, low, object, refs.first)) {
            if (refs.count < 2) continue;
            done = 1;
            if (mm__count_near(&home, low, object, refs.second)) {
                if (refs.count < 3) continue;
                done = 2;
                if (mm__count_near(&home, low, object, refs.third)) {
                    if (refs.count < 4) continue;
                    done = 3;
                }
            }
        }
        mm__far_slots(h, t, object, refs.at + done, refs.at + refs.count);
    }
    mm__far_settle(h, t);
}

/* -- roots --

   Objects that were held from outside when a trial last looked at them, and have not
   lost a reference since. An old trial takes them for held, marks what they lead to
   (reach), and does not count that. References to the roots are counted apart: they
   tell whether each is held still; if one is not, the trial starts again without roots.

   Nothing depends on how much is reached: it is outside of the trial, as all that is
   live from the start, and what it refers to is held from outside. */

MM__RARE MM__PRIVATE bool mm__is_root(const void *object)
{
    uint32_t i = mm__index_in(mm__A(object), object);
    uint64_t word = mm__table(mm__pool_at(mm__A(object), object), MM__HELD)[i / 64];
    return word >> (i & 63) & 1;
}

/* A reference to what is live already: one of the roots? */
MM__RARE MM__NOINLINE void mm__root_ref(mm__heap *h, mm__trial *t, void *child,
                                        uint8_t *byte)
{
    if (*byte == MM__LIVE && t->low == 0 && mm__is_root(child))
        mm__excess_add(h, t, MM__ROOT_TABLE, child, byte);
}

/* Whether all roots are held. Those that lost a reference since are live anyway. */
MM__RARE MM__PRIVATE bool mm__roots_hold(mm__heap *h)
{
    mm__excess_table *table = &h->gc.excess[MM__ROOT_TABLE];
    bool hold = true;
    for (size_t i = 0; i < table->capacity; i++) {
        const void *root = table->entry[i].object;
        if (root && mm__is_root(root) &&
            (uint64_t)mm_refcount(root) <= table->entry[i].count &&
            !(mm__header_of(root)->gc & MM__GC_QUIET))
            hold = false;
    }
    mm__excess_clear(h, table);
    return hold;
}

/* Some root was not held. */
MM__RARE MM__PRIVATE void mm__trial_again(mm__heap *h, mm__trial *t)
{
    mm__excess_clear(h, &h->gc.excess[0]);
    t->members = t->outside = t->outer_count = t->roots = 0;
    t->rootless = t->again = true;
    if (h->gc.root_pause < 63) h->gc.root_pause = h->gc.root_pause * 2 + 1;
    h->gc.root_wait = h->gc.root_pause;
    t->phase = MM__UNQUIET;
}

/* -- mark -- */

/* Reach or mark what the references noted lead to. */
MM__PRIVATE void mm__far_mark(mm__heap *h, mm__trial *t, size_t n)
{
    const uint8_t low = t->low, live = t->phase == MM__REACH ? MM__REACHED : MM__LIVE;
    size_t net = 0 - n; /* of the balance */
    for (const mm__far *ref = h->gc.noted; n--; ref++) {
        uint8_t in = (uint8_t)(*ref->byte - low);
        if (in <= MM__SATURATED) {
            *ref->byte = live;
            net += in;
            if (mm__position(ref->child) <= t->position)
                mm__stack_push(h, &t->marks, ref->child);
        } else if (MM__UNLIKELY(*ref->byte != live) && live == MM__REACHED) {
            mm__root_ref(h, t, ref->child, ref->byte);
        }
    }
    t->balance += net;
}

MM__NOINLINE void mm__closure_far(mm__heap *h, mm__trial *t, void *child);

MM__NOINLINE void mm__far_settle(mm__heap *h, mm__trial *t)
{
    size_t n = h->gc.noted_count;
    h->gc.noted_count = 0;
    if (n == 0) return;
    if (t->phase == MM__CLEAR) {
        for (const mm__far *ref = h->gc.noted; n--; ref++)
            if ((uint8_t)(*ref->byte - t->low) > MM__SATURATED) mm_decref(ref->child);
        return;
    }
    if (!mm__phase_counts(t->phase)) {
        mm__far_mark(h, t, n);
        return;
    }
    for (const mm__far *ref = h->gc.noted; n--; ref++)
        if (t->set == MM__SET_CLOSURE && t->phase == MM__COUNT)
            mm__closure_far(h, t, ref->child);
        else
            mm__count_at(h, t, ref->byte, ref->child, ref->holder);
}

/* A part of part_of. False: there is more of it. */
MM__RARE MM__PRIVATE bool mm__large_part(mm__heap *h, mm__trial *t)
{
    const mm_type *type = mm_type_of(t->part_of);
    mm__context    context = {h, t};
    size_t      n, end;
    char       *at;
    if (mm__header_of(t->part_of)->gc & MM__GC_GONE) return true;
    if (t->part_slot >= type->mm__.all_count) {
        if (type->traverse) type->traverse(t->part_of, mm__far_visit, &context);
        return true;
    }
    at = mm__slot_refs(t->part_of, &type->mm__.all_slots[t->part_slot], &n);
    end = t->part_index + MM__PART < n ? t->part_index + MM__PART : n;
    for (; t->part_index < end; t->part_index++) {
        void *child = mm__load(at + t->part_index * sizeof(void *));
        if (child) mm__far_visit(child, &context);
    }
    if (t->part_index >= n) t->part_slot++, t->part_index = 0;
    return false;
}

/* Go on with the large objects that wait. False: the budget ended. */
MM__RARE MM__PRIVATE bool mm__large_pending(mm__heap *h, mm__trial *t)
{
    while (t->part_of) {
        bool all = mm__large_part(h, t);
        mm__far_settle(h, t);
        if (all) {
            t->part_of = mm__stack_pop(h, &t->large);
            t->part_slot = t->part_index = 0;
        }
        if (mm__out_of_budget(t, MM__PART / 8)) return false;
    }
    return true;
}

MM__COLD void mm__count_short(mm__heap *h, const void *object, uint64_t n)
{
    mm__bug(h, "the count of %s %p is %lld, but %llu references to it exist: one was "
            "stored without being taken", mm_type_name(object), object,
            (long long)mm_refcount(object), (unsigned long long)n);
}

/* Held from outside: the references counted do not explain its count. */
MM__ALWAYS_INLINE bool mm__held(mm__heap *h, const mm__trial *t, const void *object,
                            uint8_t byte)
{
    const mm_header *header = mm__header_of(object);
    uint32_t n = (uint8_t)(byte - t->low), more;
    if (MM__UNLIKELY(n == MM__SATURATED)) n += (uint32_t)mm__excess_of(h, t, object);
    more = header->rc - n;
    if (more == 0 || more == mm__quiet_part(header)) return false;
    if (h->debug && mm_refcount(object) < n) mm__count_short(h, object, n);
    return true;
}

/* Mark from what the stack holds; more may wait there after. False: out of budget. */
MM__PRIVATE bool mm__mark_pending(mm__heap *h, mm__trial *t)
{
    char  *object;
    size_t looked = 0;
    while ((object = (char *)mm__stack_pop(h, &t->marks)) != NULL) {
        if (!(mm__header_of(object)->gc & MM__GC_GONE)) mm__far_object(h, t, object);
        if (++looked % 16 == 0 && mm__out_of_budget(t, 16)) break;
    }
    t->visits += looked % 16;
    mm__far_settle(h, t);
    return object == NULL;
}

/* A slot of `object`, where the walk is: what is ahead of it is only marked. False:
   nothing was done, the object there is in another pool, behind, or may be a root. */
MM__ALWAYS_INLINE bool mm__mark_near(const mm__near *home, uint8_t low, uint8_t live,
                                     size_t *balance, char *object, uint32_t offset)
{
    char     *child = (char *)mm__load(object + offset);
    uint8_t  *byte, n;
    if (child == NULL) return true;
    if (!mm__is_near(home, object, child)) return false;
    byte = mm__near_byte(home, child);
    n = (uint8_t)(*byte - low);
    if (*byte == live) {
        --*balance;
        return true;
    }
    if (MM__UNLIKELY(n > MM__SATURATED || child <= object)) return false;
    *byte = live;
    *balance += n - (size_t)1;
    return true;
}

/* What the death of an object needs besides memory: mark only notes that there is such
   an object among those it found no hold on, condemn notes it of the dead. */
MM__COLD uint32_t mm__look_closer(mm__trial *t, const mm_header *header, uint32_t plain)
{
    const mm_type *type = mm_type_of(header + 1);
    const uint32_t care = mm__kind(UINT16_MAX, MM__F_WEAK | MM__F_POOLED, 0);
    if (mm__plain(header, type)) return mm__header_kind(header) & care;
    t->special = true;
    if (t->phase != MM__CONDEMN) return plain;
    if (type->finalize && !(header->flags & MM__F_FINALIZED)) t->finalizers = true;
    if (type->dispose || type->clear || (header->flags & MM__F_POOLED)) t->hooks = true;
    if (!type->mm__.simple) t->shaped = true; /* vectors must be freed */
    if (mm__is(header + 1, &mm__weakref_type) || (header->flags & MM__F_WEAK))
        t->weak = true;
    return plain;
}

/* `plain` is what the last plain object was; returns what it is from now on. */
MM__INLINE uint32_t mm__look(mm__trial *t, const mm_header *header, uint32_t plain)
{
    const uint32_t care = mm__kind(UINT16_MAX, MM__F_WEAK | MM__F_POOLED, 0);
    if (MM__LIKELY((mm__header_kind(header) & care) == plain)) return plain;
    return mm__look_closer(t, header, plain);
}

/* Members to mark from: to reach, all or none; later, all but the reached. */
MM__NOINLINE uint64_t mm__mark_mask(mm__trial *t, const mm__bpool *pool, size_t w,
                                    uint64_t mask)
{
    uint64_t skip = mask & ~mm__bytes_other(mm__bytes(pool, w), MM__REACHED);
    if (t->phase == MM__REACH)
        skip = skip | (mask & mm__table(pool, MM__HELD)[w]) ? 0 : mask;
    mm__skipped(t, skip);
    return mask & ~skip;
}

/* If all members of a word are reached, and none is young, the trial need not look at
   them any more. Keeps G10. */
MM__NOINLINE void mm__reached_all(mm__trial *t, mm__bpool *pool, size_t w,
                                  uint64_t mask)
{
    if ((mm__not_live(mm__bytes(pool, w)) | mm__table(pool, MM__YOUNG0)[w] |
         mm__table(pool, MM__YOUNG1)[w]) & mask)
        return;
    pool->reached_sum |= UINT64_C(1) << w;
    t->members += mm__popcount(mask);
    t->outside++;
}

MM__NOINLINE void mm__note_held(mm__trial *t, const mm__bpool *pool, size_t w,
                                uint64_t held)
{
    mm__table(pool, MM__HELD)[w] |= held;
    t->held += mm__popcount(held);
}

/* What is asked of a header to tell that a member is not held, and plain. */
#define MM__HELD_CARE                                                               \
    mm__whole_header(UINT32_MAX, mm__kind(UINT16_MAX, MM__F_WEAK | MM__F_POOLED,       \
                                          MM__GC_QUIET))

/* A member that is not live. False: it is not held; if it is plain, `dead` is what it
   and others like it have in their headers, with no references. */
MM__NOINLINE bool mm__mark_held(mm__heap *h, mm__trial *t, void *object, uint8_t byte,
                                uint64_t *dead)
{
    const mm_header *header = mm__header_of(object);
    if (mm__held(h, t, object, byte)) return true;
    if (mm__plain(header, mm_type_of(object)))
        *dead = mm__whole_header(mm__quiet_part(header), mm__header_kind(header)) &
                MM__HELD_CARE;
    else
        t->special = true;
    return false;
}

/* To reach, only roots and what they lead to are looked at. */
MM__HOT void mm__mark_word(mm__heap *h, mm__trial *t, mm__bpool *pool, size_t w,
                           uint64_t mask)
{
    const mm__near home = mm__near_to(pool);
    const uint8_t  low = t->low, live = t->phase == MM__REACH ? MM__REACHED : MM__LIVE;
    uint8_t *byte = home.bytes + w * 64;
    char    *object = (char *)mm__object_at(h, pool, w * 64);
    size_t   size = pool->size, net = 0, done; /* as the balance */
    uint64_t held = 0, dead = 0, members = mask;
    mm__refs refs = {NULL, 0, 0, 0, 0, 0}, turned = refs;
    if (t->roots && (mask = mm__mark_mask(t, pool, w, mask)) == 0) {
        mm__mark_from(t, object + (mm__popcount(mm__valid_bits(pool, w)) - 1) * size);
        return;
    }
    for (; mask; mask >>= 1, object += size, byte++) {
        if (MM__UNLIKELY(!(mask & 1))) {
            unsigned gap = mm__ctz(mask);
            mask >>= gap;
            object += gap * size;
            byte += gap;
        }
        MM__PREFETCH(object + MM__AHEAD);
        if (*byte < MM__LIVE && *byte != live) {
            if (live == MM__REACHED) continue;
            if (mm__header_is(mm__header_of(object), MM__HELD_CARE, dead,
                              (uint8_t)(*byte - low)) ||
                !mm__mark_held(h, t, object, *byte, &dead))
                continue;
            net += (uint8_t)(*byte - low);
            *byte = MM__LIVE;
            held |= UINT64_C(1) << ((byte - home.bytes) & 63);
        }
        if (!mm__same_refs(&refs, object)) {
            bool look = mm__refs_turn(h, t, &turned, object);
            refs = turned;
            if (!look) continue;
        }
        done = 0; /* as in mm__count_word */
        if (mm__mark_near(&home, low, live, &net, object, refs.first)) {
            if (refs.count < 2) continue;
            done = 1;
            if (mm__mark_near(&home, low, live, &net, object, refs.second)) {
                if (refs.count < 3) continue;
                done = 2;
                if (mm__mark_near(&home, low, live, &net, object, refs.third)) {
                    if (refs.count < 4) continue;
                    done = 3;
                }
            }
        }
        mm__mark_from(t, object);
        mm__far_slots(h, t, object, refs.at + done, refs.at + refs.count);
    }
    if (held) {
        t->rescued = true;
        if (low == 0 && t->phase == MM__MARK) mm__note_held(t, pool, w, held);
    }
    t->balance += net;
    mm__mark_from(t, object - size);
    mm__far_settle(h, t);
    if (!t->sliced && t->marks.chunk) mm__mark_pending(h, t);
    if (live == MM__REACHED) mm__reached_all(t, pool, w, members);
}

/* The walk and what it leaves on the stack; again if the stack lost something. */
MM__RARE MM__PRIVATE bool mm__mark_all(mm__heap *h, mm__trial *t)
{
    for (;;) {
        if (!mm__mark_pending(h, t)) return false;
        if (!mm__walk(h, t, mm__mark_word)) return false;
        do {
            if (!mm__mark_pending(h, t)) return false;
            if (!mm__large_pending(h, t)) return false;
        } while (t->marks.chunk);
        if (!t->marks.overflowed) return true;
        t->marks.overflowed = false;
        t->outside++; /* some will be looked at twice */
        memset(&t->at, 0, sizeof t->at);
        t->position = t->set == MM__SET_CLOSURE ? UINT64_MAX : 0;
    }
}

/* -- condemn -- */

/* Live members of the word leave their generation for the next. Unless `settled`,
   which is when all that might hold them was looked at, suspects stay suspects. Keeps
   G4, G6. */
MM__RARE MM__PRIVATE void mm__promote_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                           size_t w, uint64_t live, bool settled)
{
    uint64_t *y0 = &mm__table(pool, MM__YOUNG0)[w],
             *y1 = &mm__table(pool, MM__YOUNG1)[w],
             *suspect = &mm__table(pool, MM__SUSPECT)[w];
    uint64_t  fresh = live & *y0, rest;
    live &= *y0 | *y1;
    if (live == 0) return;
    h->gc.promoted += mm__popcount(live);
    *y0 &= ~live;
    *y1 &= ~live;
    if (t->set == MM__SET_GEN0) *y1 |= live;
    for (rest = fresh | (settled ? live & *suspect : 0); rest; rest &= rest - 1) {
        void *object = mm__object_at(h, pool, w * 64 + mm__ctz(rest));
        mm_header *header = mm__header_of(object);
        if ((header->gc & (MM__GC_QUIET | MM__GC_GONE)) == MM__GC_QUIET) {
            if (settled)
                mm__unquiet(header);
            else
                *suspect |= rest & (0 - rest);
        }
        header->gc |= MM__GC_OLD;
    }
    if (settled) *suspect &= ~live;
    if ((*suspect & live) == 0) return;
    mm__suspect_link(h, pool, w);
    if (t->set == MM__SET_GEN0) return;
    h->gc.suspects += mm__popcount(*suspect & live);
    h->gc.untried += mm__popcount(*suspect & live);
}

/* Whether this trial looks at all that may hold its survivors. */
MM__PRIVATE bool mm__settles(const mm__trial *t)
{
    return t->set == MM__SET_ALL || t->generation == 2;
}

/* The byte of an object that is in no young trial. */
MM__PRIVATE uint8_t mm__resting_byte(const mm__heap *h)
{
    return mm__blackening(h) ? MM__LIVE : 0;
}

MM__PRIVATE void mm__bytes_set(uint8_t *bytes, uint64_t mask, uint8_t value)
{
    if (mask == ~UINT64_C(0)) {
        memset(bytes, value, 64);
        return;
    }
    for (; mask; mask &= mask - 1) bytes[mm__ctz(mask)] = value;
}

MM__RARE MM__PRIVATE void mm__condemn_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                           size_t w, uint64_t mask)
{
    uint8_t *bytes = mm__bytes(pool, w);
    uint64_t dead = mm__not_live(bytes) & mask, live = mask & ~dead;
    uint32_t plain = 0;
    if (mm__is_young(t)) mm__bytes_set(bytes, live, mm__resting_byte(h));
    if (t->set != MM__SET_OLD && t->set != MM__SET_CLOSURE)
        mm__promote_word(h, t, pool, w, live, mm__settles(t));
    if (dead == 0) return;
    t->trash += mm__popcount(dead);
    mm__table(pool, MM__TRASH)[w] |= dead;
    if (!t->special) return;
    for (; dead; dead &= dead - 1, t->visits++)
        plain = mm__look(
            t, mm__header_of(mm__object_at(h, pool, w * 64 + mm__ctz(dead))), plain);
}

MM__PRIVATE void mm__weak_silence(mm__heap *h, void *object);

/* After verification, and after finalizers: what is live now leaves the trash. Weak
   references that finalizers made die without a word. */
MM__RARE MM__PRIVATE void mm__recondemn_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                    size_t w, uint64_t mask)
{
    uint8_t *bytes = mm__bytes(pool, w);
    uint64_t live = mask & ~mm__not_live(bytes), rest;
    mm__table(pool, MM__TRASH)[w] &= ~live;
    t->trash += mm__popcount(mask & ~live);
    t->resurrected += mm__popcount(live);
    if (mm__is_young(t)) mm__bytes_set(bytes, live, mm__resting_byte(h));
    if (t->set != MM__SET_OLD && t->set != MM__SET_CLOSURE)
        mm__promote_word(h, t, pool, w, live, mm__settles(t));
    if (t->phase != MM__RECONDEMN) return;
    for (rest = mask & ~live; rest; rest &= rest - 1) {
        mm_header *header =
            mm__header_of(mm__object_at(h, pool, w * 64 + mm__ctz(rest)));
        if (header->flags & MM__F_WEAK) mm__weak_silence(h, header + 1);
    }
}

/* -- weaken, call, finalize -- */

MM__PRIVATE void mm__weak_condemned(mm__heap *h, void *object);
MM__PRIVATE void mm__weakref_cancel(void *object);
MM__PRIVATE void mm__weak_call_due(mm__heap *h);

MM__RARE MM__PRIVATE bool mm__in_trash(const void *object)
{
    const mm__arena *arena = mm__A(object);
    uint32_t         i = mm__index_in(arena, object);
    if (!mm__arena_tracked(arena)) return false;
    return mm__table(mm__pool_at(arena, object), MM__TRASH)[i / 64] >> (i & 63) & 1;
}

MM__RARE MM__PRIVATE void mm__weaken_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                          size_t w, uint64_t mask)
{
    (void)t;
    for (; mask; mask &= mask - 1) {
        void *object = mm__object_at(h, pool, w * 64 + mm__ctz(mask));
        if (mm__is(object, &mm__weakref_type)) mm__weakref_cancel(object);
        if (mm__header_of(object)->flags & MM__F_WEAK) mm__weak_condemned(h, object);
    }
}

MM__PRIVATE void mm__finalize_trash(mm__heap *h, void *object, const mm_type *type)
{
    mm_header *header = mm__header_of(object);
    header->flags |= MM__F_FINALIZED;
    header->rc++;
    if (!type->finalize(object)) mm__hook_failed(h, object, "finalizer");
    header->rc--;
    if (mm_refcount(object) == 0) mm__die(h, object); /* it cut its own cycle */
}

MM__RARE MM__PRIVATE void mm__finalize_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                            size_t w, uint64_t mask)
{
    (void)t;
    for (; mask; mask &= mask - 1) {
        unsigned       i = mm__ctz(mask);
        void          *object = mm__object_at(h, pool, w * 64 + i);
        const mm_type *type;
        if (!(mm__table(pool, MM__TRASH)[w] >> i & 1)) continue; /* died meanwhile */
        type = mm_type_of(object);
        if (type->finalize && !(mm__header_of(object)->flags & MM__F_FINALIZED))
            mm__finalize_trash(h, object, type);
    }
}

MM__RARE MM__PRIVATE void mm__recount_reset_word(mm__heap *h, mm__trial *t,
                                                 mm__bpool *pool, size_t w,
                                                 uint64_t mask)
{
    uint8_t *bytes = mm__bytes(pool, w);
    (void)h;
    mm__bytes_set(bytes, mask & mm__not_live(bytes), t->low);
}

/* -- clear, dispose, release -- */

/* Mark the trash, so that user code's mm_decref of its members does nothing. */
MM__RARE MM__PRIVATE void mm__seal_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                        size_t w, uint64_t mask)
{
    (void)t;
    for (; mask; mask &= mask - 1) {
        mm_header *header =
            mm__header_of(mm__object_at(h, pool, w * 64 + mm__ctz(mask)));
        header->flags |= MM__F_TRASH | MM__F_DEAD;
    }
}

/* References from the trash: those to others are dropped when what is noted is settled,
   those inside the trash just vanish. */
MM__RARE MM__PRIVATE void mm__clear_slot(mm__heap *h, mm__trial *t, char *object,
                                         const mm_slot *slot)
{
    mm__context context = {h, t};
    size_t n;
    char  *at = mm__slot_refs(object, slot, &n);
    for (; n--; at += sizeof(void *)) {
        void *child = mm__load(at);
        mm__store(at, NULL); /* hooks may look */
        if (child) mm__far_visit(child, &context);
    }
    if (slot->kind == MM_SLOT_TAIL || slot->kind == MM_SLOT_VECTOR)
        mm__slot_set_count(object, slot, 0);
    if (slot->kind == MM_SLOT_VECTOR) {
        at = (char *)mm__load(object + slot->offset);
        mm__store(object + slot->offset, NULL);
        mm_free(&h->front, at);
    }
}

MM__RARE MM__PRIVATE void mm__clear_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                         size_t w, uint64_t mask)
{
    for (; mask; mask &= mask - 1) {
        char *object = (char *)mm__object_at(h, pool, w * 64 + mm__ctz(mask));
        const mm_type *type = mm_type_of(object);
        if (MM__LIKELY(type->mm__.simple && !t->hooks)) {
            const uint32_t *at = type->mm__.ref_offsets;
            mm__far_slots(h, t, object, at, at + type->mm__.ref_count);
            continue;
        }
        for (uint32_t i = 0; i < type->mm__.all_count; i++)
            mm__clear_slot(h, t, object, &type->mm__.all_slots[i]);
        if (type->clear) type->clear(object);
    }
    mm__far_settle(h, t);
}

/* The same for what alone refers to others than the trash. */
MM__RARE MM__PRIVATE bool mm__clear_outer(mm__heap *h, mm__trial *t)
{
    for (size_t i = 0; i < t->outer_count; i++) {
        const void *holder = t->outer[i];
        mm__bpool  *pool = mm__pool_at(mm__A(holder), holder);
        uint32_t    x = mm__index_in(mm__A(holder), holder);
        mm__clear_word(h, t, pool, x / 64, UINT64_C(1) << (x & 63));
    }
    return true;
}

/* Disposers, and what is not plain memory. */
MM__RARE MM__PRIVATE void mm__dispose_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                           size_t w, uint64_t mask)
{
    (void)t;
    for (; mask; mask &= mask - 1) {
        void      *object = mm__object_at(h, pool, w * 64 + mm__ctz(mask));
        mm_header *header = mm__header_of(object);
        if (header->flags & MM__F_WEAK) mm__weak_silence(h, object);
        mm__dispose(h, object, mm_type_of(object));
        if (!(header->flags & MM__F_POOLED)) continue;
        header->flags &= (uint8_t)~MM__F_TRASH;
        mm__object_free(h, object);
    }
}

/* A word of a pool of small blocks: bitmap arithmetic. */
MM__RARE MM__PRIVATE void mm__release_small(mm__heap *h, mm__bpool *pool, size_t w,
                                   uint64_t mask)
{
    mm__class *k = &h->klass[pool->cache];
    uint32_t   n;
    if (h->zone) {
        for (; mask; mask &= mask - 1)
            mm__object_memory_free(h, mm__object_at(h, pool, w * 64 + mm__ctz(mask)));
        return;
    }
    n = mm__popcount(mask);
    k->free_blocks += n;
    h->small_bytes -= (size_t)n * pool->size;
    mm__pool_put(k, pool, w, mask, n);
}

MM__RARE MM__PRIVATE void mm__release_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                           size_t w, uint64_t mask)
{
    mm__unmark(pool, w, mask);
    if (t->low) mm__bytes_set(mm__bytes(pool, w), mask, mm__resting_byte(h));
    if (mm__is_young(t) &&
        mm__blackening(h)) /* the old trial's stack may name the block */
        for (uint64_t rest = mask; rest; rest &= rest - 1)
            mm__header_of(mm__object_at(h, pool, w * 64 + mm__ctz(rest)))->gc |=
                MM__GC_GONE;
    if (pool->cache) {
        mm__release_small(h, pool, w, mask);
        return;
    }
    for (; mask; mask &= mask - 1) {
        void *object = mm__object_at(h, pool, mm__ctz(mask));
        mm__header_of(object)->flags |= MM__F_DEAD;
        if (!mm__is_young(t) && mm__defer_free(h, object)) continue;
        mm__object_memory_free(h, object);
    }
}

/* -- pools that may hold young objects -- */

MM__PRIVATE bool mm__pool_young(mm__bpool *pool)
{
    for (uint64_t rest = pool->young_sum; rest; rest &= rest - 1) {
        unsigned w = mm__ctz(rest);
        if (!(mm__table(pool, MM__YOUNG0)[w] | mm__table(pool, MM__YOUNG1)[w]))
            pool->young_sum &= ~(UINT64_C(1) << w);
    }
    return pool->young_sum != 0;
}

/* Put the pools in address order. */
MM__RARE MM__PRIVATE mm__bpool *mm__young_merge(mm__bpool *a, mm__bpool *b)
{
    mm__bpool *head = NULL, **tail = &head;
    while (a && b) {
        mm__bpool **least = mm__position(a->blocks) < mm__position(b->blocks) ? &a : &b;
        *tail = *least;
        tail = &(*least)->next_young;
        *least = *tail;
    }
    *tail = a ? a : b;
    return head;
}

MM__RARE MM__PRIVATE mm__bpool *mm__young_sort(mm__bpool *list)
{
    mm__bpool *slow = list, *fast, *second;
    if (list == NULL || list->next_young == NULL) return list;
    for (fast = list->next_young; fast && fast->next_young;
         fast = fast->next_young->next_young)
        slow = slow->next_young;
    second = slow->next_young;
    slow->next_young = NULL;
    return mm__young_merge(mm__young_sort(list), mm__young_sort(second));
}

/* Only what came since the last time is out of order, in front. */
MM__RARE MM__PRIVATE void mm__young_order(mm__heap *h)
{
    mm__bpool **end = &h->gc.young_pools, *sorted = h->gc.young_sorted;
    while (*end && *end != sorted) end = &(*end)->next_young;
    *end = NULL;
    h->gc.young_pools = mm__young_merge(mm__young_sort(h->gc.young_pools), sorted);
    h->gc.young_sorted = h->gc.young_pools;
}

/* Members get the byte that says "no reference counted yet". */
MM__PRIVATE void mm__young_prepare(mm__heap *h, mm__trial *t)
{
    mm__young_order(h);
    for (mm__bpool *pool = h->gc.young_pools; pool; pool = pool->next_young) {
        uint8_t *bytes = mm__A(pool)->unit[pool->unit].bytes;
        for (uint64_t rest = pool->young_sum; rest; rest &= rest - 1) {
            unsigned w = mm__ctz(rest);
            mm__table(pool, MM__YOUNG0)[w] &= ~mm__table(pool, MM__FREE)[w];
            mm__bytes_set(bytes + w * 64, mm__set_word(pool, w, t->set), t->low);
        }
    }
}

/* Pools without young objects leave the list; empty ones go back. */
MM__RARE MM__PRIVATE void mm__young_tidy(mm__heap *h)
{
    mm__bpool *pool = h->gc.young_pools, *next, **end = &h->gc.young_pools;
    mm__bpool *sorted = h->gc.young_sorted;
    bool       in_order = false;
    h->gc.young_pools = h->gc.young_sorted = NULL;
    for (; pool; pool = next) {
        mm__arena *arena = mm__A(pool);
        next = pool->next_young;
        pool->young = false;
        arena->young--;
        if (pool == sorted) in_order = true;
        if (pool->free < pool->count && mm__pool_young(pool)) {
            pool->young = true;
            arena->young++;
            pool->next_young = NULL;
            *end = pool;
            end = &pool->next_young;
            if (in_order && h->gc.young_sorted == NULL) h->gc.young_sorted = pool;
        } else if (pool->cache && pool->free == pool->count) {
            mm__pool_emptied(h, pool, true);
        } else if (!pool->cache && arena->head.kind == MM__KIND_TRACKED &&
                   pool->count && pool->free == pool->count) {
            mm__run_units_free(h, arena, pool->unit, pool->unit);
        }
    }
}

/* -- what the mutator reports -- */

MM__PRIVATE bool mm__marking(const mm__trial *t)
{
    if (!t->sliced) return false;
    return (t->phase >= MM__REACH && t->phase <= MM__MARK) ||
           (t->phase >= MM__VERIFY_RESET && t->phase <= MM__VERIFY_MARK) ||
           (t->phase >= MM__RECOUNT_RESET && t->phase <= MM__REMARK);
}

/* The object is outside of the old trial: it and what it refers to are live. */
MM__RARE MM__PRIVATE void mm__blacken(mm__heap *h, void *object)
{
    mm__trial *t = &h->gc.old;
    uint8_t   *byte = mm__byte(object);
    if (t->phase == MM__IDLE || t->phase == MM__RESET ||
        (uint8_t)(*byte - t->low) > MM__SATURATED)
        return;
    *byte = MM__LIVE;
    t->rescued = true;
    if ((t->phase == MM__MARK || t->phase == MM__REMARK ||
         t->phase == MM__VERIFY_MARK) &&
        mm__position(object) <= t->position)
        mm__stack_push(h, &t->marks, object);
}

/* An old object may be garbage: the next trial is to look at it. Keeps G3, G6, G7. */
MM__PRIVATE void mm__suspect_old(mm__heap *h, void *object)
{
    mm__trial *t = &h->gc.old;
    mm__bpool *pool = mm__pool_at(mm__A(object), object);
    uint32_t   i = mm__index_in(mm__A(object), object);
    uint64_t   bit = UINT64_C(1) << (i & 63);
    uint64_t  *word = &mm__table(pool, MM__SUSPECT)[i / 64];
    if (mm__table(pool, MM__FROZEN)[i / 64] & bit) {
        mm__quiet(mm__header_of(object)); /* until it is unfrozen */
        return;
    }
    if (!((*word | mm__table(pool, MM__YOUNG1)[i / 64]) & bit)) {
        h->gc.suspects++;
        h->gc.untried++;
    }
    *word |= bit;
    mm__suspect_link(h, pool, i / 64);
    if (!t->sliced || t->phase == MM__IDLE ||
        (t->phase >= MM__REACH && t->phase <= MM__MARK))
        mm__quiet(mm__header_of(object));
}

/* No root, for all we know: a member as any other. */
MM__RARE MM__NOINLINE void mm__root_lost(void *object)
{
    uint32_t  i = mm__index_in(mm__A(object), object);
    uint64_t *word = &mm__table(mm__pool_at(mm__A(object), object), MM__HELD)[i / 64];
    if (!mm__is_root(object)) return;
    *word &= ~(UINT64_C(1) << (i & 63));
    *mm__byte(object) = 0;
}

/* An object that was not quiet lost a reference and lives on. */
MM__PRIVATE void mm__suspect(mm__heap *h, void *object)
{
    mm__trial *t = &h->gc.old;
    if (!(mm__header_of(object)->flags & MM__F_TRACKED)) return;
    if (mm__marking(t)) mm__blacken(h, object);
    if (!(mm__header_of(object)->gc & MM__GC_OLD))
        mm__quiet(mm__header_of(object)); /* remembered by that alone */
    else if (t->phase != MM__UNQUIET) /* then this trial will see it as it is now */
        mm__suspect_old(h, object);
    else
        mm__root_lost(object);
}

/* Condemned for good; before that is certain, an object that is found is rescued. */
MM__RARE MM__PRIVATE bool mm__condemned(const mm__trial *t, const void *object)
{
    if (!t->sliced || t->phase < MM__VERIFY_CONDEMN) return false;
    if (t->phase == MM__VERIFY_CONDEMN || t->phase == MM__RECONDEMN)
        return (uint8_t)(*mm__byte(object) - t->low) <= MM__SATURATED;
    if (t->phase == MM__WEAKEN || t->phase > MM__RECONDEMN || !t->finalizers)
        return mm__in_trash(object);
    return false; /* a finalizer made this weak reference, and may bring it back */
}

/* A reference to the object was found or moved without its count telling: it is live
   for the trial under way, and, for a closure, a suspect as before. False: too late. */
MM__RARE MM_API bool mm__barrier(void *object)
{
    mm__heap  *h = mm__H(mm_heap_of(object));
    mm__trial *t = &h->gc.old;
    if (mm__marking(t)) {
        bool member = (uint8_t)(*mm__byte(object) - t->low) <= MM__SATURATED;
        mm__blacken(h, object);
        if (member && t->set == MM__SET_CLOSURE) {
            if (mm__header_of(object)->gc & MM__GC_OLD)
                mm__suspect_old(h, object);
            else
                mm__quiet(mm__header_of(object));
        }
    }
    return !mm__condemned(t, object);
}

MM__RARE MM_API void *mm__found_slow(void *object)
{
    if (mm__header_of(object)->flags & MM__F_DEAD) return NULL;
    return mm__barrier(object) ? object : NULL;
}

/* The object is freed by count: no trial may think of it any more. */
MM__RARE MM__PRIVATE void mm__trial_forget(mm__heap *h, void *object)
{
    mm__bpool *pool = mm__pool_at(mm__A(object), object);
    uint32_t   i = mm__index_in(mm__A(object), object);
    mm__table(pool, MM__TRASH)[i / 64] &= ~(UINT64_C(1) << (i & 63));
    if (!h->busy.trial || h->gc.old.set != MM__SET_CLOSURE)
        *mm__byte(object) = mm__resting_byte(h);
    else if (*mm__byte(object)) /* the stack may name it, or what comes in its place */
        *mm__byte(object) = MM__LIVE;
}

/* A large object that died during a trial keeps its memory until the trial ends: the
   trial's cursor or stack may still name it. */
MM__PRIVATE bool mm__defer_free(mm__heap *h, void *object)
{
    mm__arena *arena = mm__A(object);
    if (!(mm__header_of(object)->flags & MM__F_TRACKED)) return false;
    if (arena->head.cache[((uintptr_t)object & MM__ARENA_MASK) >> MM__POOL_SHIFT])
        return false;
    mm__store(object, h->gc.deferred);
    h->gc.deferred = object;
    return true;
}

MM__PRIVATE void mm__deferred_free(mm__heap *h)
{
    while (h->gc.deferred) {
        void *object = h->gc.deferred;
        h->gc.deferred = mm__load(object);
        mm__object_memory_free(h, object);
    }
}

/* -- the phases of a trial -- */

/* Suspects are looked at from now on. Young objects are black, or, if there are very
   many, join the old ones, to be looked at in slices. Keeps G3. */
MM__RARE MM__PRIVATE void mm__unquiet_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                           size_t w, uint64_t mask)
{
    uint64_t *suspect = &mm__table(pool, MM__SUSPECT)[w], rest, promoted;
    uint64_t  young = mask & (mm__table(pool, MM__YOUNG0)[w] |
                             mm__table(pool, MM__YOUNG1)[w]);
    uint8_t  *bytes = mm__bytes(pool, w);
    bool      black = t->sliced && !t->adopting;
    uint64_t *held = &mm__table(pool, MM__HELD)[w];
    uint64_t  frozen = mask & mm__table(pool, MM__FROZEN)[w];
    *held &= mask & ~(young | frozen | *suspect);
    pool->reached_sum &= ~(UINT64_C(1) << w);
    if (t->rootless) *held = 0;
    if (t->again) mm__bytes_set(bytes, t->sliced ? mask & ~young : mask, 0);
    t->roots += mm__popcount(*held);
    mm__bytes_set(bytes, *held | frozen, MM__LIVE);
    rest = *suspect & mask & ~(black ? young : 0);
    *suspect &= black ? young : 0;
    t->visits += mm__popcount(rest);
    for (; rest; rest &= rest - 1) {
        void *object = mm__object_at(h, pool, w * 64 + mm__ctz(rest));
        mm__unquiet(mm__header_of(object));
    }
    if (!t->sliced || young == 0) return;
    if (black) {
        mm__bytes_set(bytes, young, MM__LIVE);
        return;
    }
    young &= mm__not_live(bytes); /* blocks in the caches are not objects */
    t->visits += mm__popcount(young);
    promoted = h->gc.promoted;
    mm__promote_word(h, t, pool, w, young, true);
    h->gc.promoted = promoted; /* these are about to be looked at */
}

/* Bytes are 0 again; pools that emptied during the trial go back. Keeps G1. */
MM__RARE MM__PRIVATE bool mm__reset(mm__heap *h, mm__trial *t)
{
    for (; t->at.arena < h->arena_count; t->at.arena++, t->at.unit = 0) {
        mm__arena *arena = h->arenas[t->at.arena];
        if (!mm__arena_tracked(arena)) continue;
        if (arena->head.kind == MM__KIND_HUGE) {
            arena->byte = 0;
            continue;
        }
        while (t->at.unit < MM__UNITS) {
            mm__bpool *pool = &arena->pool[t->at.unit++];
            if (pool->count == 0) continue;
            memset(arena->unit[pool->unit].bytes, 0, pool->count);
            if (mm__out_of_budget(t, 32)) return false;
        }
    }
    return true;
}

MM__PRIVATE void mm__emptied_pools_free(mm__heap *h)
{
    for (unsigned i = 2 * MM__CLASSES + 1; i < MM__CACHES; i++) {
        mm__class *k = &h->klass[i];
        for (mm__bpool *pool = k->first, *next; pool; pool = next) {
            next = pool->next;
            if (pool->free == pool->count) mm__pool_emptied(h, pool, true);
        }
    }
}

MM__PRIVATE void mm__garbage_append(mm__heap *h, void *object)
{
    mm__gc *gc = &h->gc;
    if (!mm__array_reserve(h, (void **)(void *)&gc->garbage, gc->garbage_count,
                           &gc->garbage_capacity, sizeof(void *)))
        return;
    mm_incref(object);
    gc->garbage[gc->garbage_count++] = object;
}

/* Log what was found; with SAVEALL it is kept instead of cleared. */
MM__RARE MM__PRIVATE void mm__found_word(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                         size_t w, uint64_t mask)
{
    uint8_t *bytes = mm__bytes(pool, w);
    for (uint64_t rest = mask; rest; rest &= rest - 1) {
        unsigned i = mm__ctz(rest);
        void    *object = mm__object_at(h, pool, w * 64 + i);
        if (h->gc.debug & MM_GC_DEBUG_COLLECTABLE)
            mm__log(h, MM_LOG_INFO, "gc: collectable %s %p", mm_type_name(object),
                    object);
        if (!(h->gc.debug & MM_GC_DEBUG_SAVEALL)) continue;
        mm__garbage_append(h, object); /* without memory it stays where it is */
        mm__table(pool, MM__TRASH)[w] &= ~(UINT64_C(1) << i);
        bytes[i] = mm__is_young(t) ? mm__resting_byte(h) : MM__LIVE;
        if (t->set != MM__SET_CLOSURE)
            mm__promote_word(h, t, pool, w, UINT64_C(1) << i, mm__settles(t));
    }
}

/* -- closures: only what suspects lead to --

   Any set of objects can be put on trial: references from elsewhere make its members
   live. A closure's members are what a walk from fresh suspects finds; when it gets
   too large, what was not looked at yet counts as outside, and holds what it refers to.
   All else is as in an old trial in slices. */

/* A suspect becomes a member and is one no more. False: it is frozen, and outside. */
MM__PRIVATE bool mm__closure_unquiet(mm__heap *h, mm__bpool *pool, size_t x,
                                     mm_header *header)
{
    uint64_t bit = UINT64_C(1) << (x & 63);
    uint64_t *word = &mm__table(pool, MM__SUSPECT)[x / 64];
    if (mm__table(pool, MM__FROZEN)[x / 64] & bit) return false;
    if ((*word & bit) && !(mm__table(pool, MM__YOUNG1)[x / 64] & bit) && h->gc.untried)
        h->gc.untried--;
    *word &= ~bit;
    mm__table(pool, MM__HELD)[x / 64] &= ~bit;
    mm__unquiet(header);
    return true;
}

/* The object, number x of its pool, is a member, to which n references were found. */
MM__NOINLINE void mm__closure_add(mm__heap *h, mm__trial *t, mm__bpool *pool, size_t x,
                                void *object, uint8_t n)
{
    mm_header *header = mm__header_of(object);
    if (((header->gc & MM__GC_QUIET) || h->gc.freezes) &&
        !mm__closure_unquiet(h, pool, x, header)) {
        t->outside++;
        return;
    }
    mm__bytes(pool, 0)[x] = (uint8_t)(t->low + n);
    if (pool->touched_sum == 0) {
        pool->next_touched = h->gc.touched_pools;
        h->gc.touched_pools = pool;
    }
    pool->touched_sum |= UINT64_C(1) << x / 64;
    t->members++;
    mm__stack_push(h, &t->marks, object);
}

/* A reference from a member; the child's byte is one of the pool's. */
MM__INLINE void mm__closure_ref(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                const uint8_t *bytes, uint8_t *byte, void *child)
{
    if (*byte != 0)
        mm__count_at(h, t, byte, child, NULL);
    else if ((mm__header_of(child)->flags & MM__F_DEAD) || mm__is_immortal(child))
        t->outside++;
    else
        mm__closure_add(h, t, pool, (size_t)(byte - bytes), child, 1);
}

MM__NOINLINE void mm__closure_far(mm__heap *h, mm__trial *t, void *child)
{
    mm__bpool *pool = mm__pool_at(mm__A(child), child);
    mm__closure_ref(h, t, pool, mm__bytes(pool, 0), mm__byte(child), child);
}

/* Find and count what the members on the stack lead to. False: out of budget. */
MM__RARE MM__NOINLINE bool mm__closure_pending(mm__heap *h, mm__trial *t)
{
    mm__near   home = {0, 0, NULL};
    mm__refs   refs = {NULL, 0, 0, 0, 0, 0};
    mm__bpool *pool = NULL;
    char      *object, *last = NULL;
    uint8_t   *byte;
    size_t     looked = 0;
    while ((object = (char *)mm__stack_pop(h, &t->marks)) != NULL) {
        if (!mm__is_near(&home, last, object)) {
            pool = mm__pool_at(mm__A(object), object);
            home = mm__near_to(pool);
        }
        last = object;
        byte = home.reach ? mm__near_byte(&home, object) : mm__byte(object);
        if (t->members > t->limit) t->cut = true;
        if (!t->cut && (uint8_t)(*byte - t->low) <= MM__SATURATED &&
            (mm__same_refs(&refs, object) || mm__refs_turn(h, t, &refs, object)))
            for (const uint32_t *at = refs.at; at != refs.at + refs.count; at++) {
                void *child = mm__load(object + *at);
                if (mm__is_near(&home, object, child))
                    mm__closure_ref(h, t, pool, home.bytes, mm__near_byte(&home, child),
                                    child);
                else if (child)
                    mm__closure_far(h, t, child);
            }
        if (++looked % 16 == 0 && mm__out_of_budget(t, 2 * 16)) break;
    }
    t->visits += looked % 16 * 2; /* they are all over the place: two visits each */
    mm__far_settle(h, t);
    return object == NULL;
}

MM__RARE MM__PRIVATE bool mm__closure_count(mm__heap *h, mm__trial *t)
{
    do {
        if (!mm__closure_pending(h, t)) return false;
        if (!mm__large_pending(h, t)) return false;
    } while (t->marks.chunk);
    if (t->marks.overflowed) t->cut = true;
    t->marks.overflowed = false;
    return true;
}

MM__RARE MM__PRIVATE void mm__closure_reset_word(mm__heap *h, mm__trial *t,
                                                 mm__bpool *pool, size_t w,
                                                 uint64_t mask)
{
    (void)h, (void)t;
    mm__bytes_set(mm__bytes(pool, w), mask, 0);
}

/* All suspects of word w are members. */
MM__RARE MM__PRIVATE size_t mm__closure_seed(mm__heap *h, mm__trial *t, mm__bpool *pool,
                                    size_t w)
{
    uint64_t rest = mm__table(pool, MM__SUSPECT)[w] & ~mm__table(pool, MM__FREE)[w];
    size_t   n = 0;
    for (; rest; rest &= rest - 1, n++) {
        size_t x = w * 64 + mm__ctz(rest);
        void  *object = mm__object_at(h, pool, x);
        mm_header *header = mm__header_of(object);
        if ((header->flags & MM__F_DEAD) || (header->gc & MM__GC_GONE) ||
            *mm__byte(object) != 0)
            continue;
        if (mm__closure_unquiet(h, pool, x, header))
            mm__closure_add(h, t, pool, x, object, 0);
    }
    return n;
}

MM__PRIVATE void mm__barriers_set(mm__heap *h, bool on);
MM__PRIVATE void mm__handles_show(mm__heap *h);
MM__PRIVATE void mm__gc_tell(mm__heap *h, bool stop, int generation, size_t collected);

MM__PRIVATE void mm__trial_begin(mm__heap *h, mm__trial *t, mm__set set, bool sliced);

MM__RARE MM__PRIVATE void mm__closure_begin(mm__heap *h)
{
    mm__trial *t = &h->gc.old;
    size_t     seeds = 0;
    mm__aged_flush(h);
    mm__trial_begin(h, t, MM__SET_CLOSURE, true);
    if (h->gc.closure_limit == 0) h->gc.closure_limit = 4 * MM__CLOSURE_LEAST;
    t->limit = h->gc.closure_limit;
    h->gc.allocated = 0;
    mm__barriers_set(h, true);
    while (h->gc.suspect_pools && seeds < MM__CLOSURE_SEEDS) {
        mm__bpool *pool = h->gc.suspect_pools;
        for (; pool->suspect_sum; pool->suspect_sum &= pool->suspect_sum - 1)
            seeds += mm__closure_seed(h, t, pool, mm__ctz(pool->suspect_sum));
        mm__suspect_unlink(h, pool);
    }
}

/* Suspects that no closure will begin with: the next old trial looks at them. */
MM__PRIVATE void mm__suspects_unlist(mm__heap *h)
{
    while (h->gc.suspect_pools) mm__suspect_unlink(h, h->gc.suspect_pools);
}

/* Closures that find much may grow; while they find little, they are rare and small. */
MM__RARE MM__PRIVATE void mm__closure_adapt(mm__heap *h, const mm__trial *t)
{
    mm__gc *gc = &h->gc;
    if (t->found * 3 >= t->members) {
        gc->closure_pause = 0;
        if (gc->closure_limit < MM__CLOSURE_MOST) gc->closure_limit *= 2;
    } else {
        if (gc->closure_pause < 63) gc->closure_pause = gc->closure_pause * 2 + 1;
        gc->closure_limit /= 4;
        if (gc->closure_limit < MM__CLOSURE_LEAST)
            gc->closure_limit = MM__CLOSURE_LEAST;
    }
    gc->closure_wait = gc->closure_pause;
}

MM__PRIVATE void mm__emptied_pools_free(mm__heap *h);

MM__RARE MM__PRIVATE void mm__closure_end(mm__heap *h)
{
    mm__trial *t = &h->gc.old;
    mm__gc    *gc = &h->gc;
    t->phase = MM__IDLE;
    h->busy.trial = false;
    mm__barriers_set(h, false);
    while (gc->touched_pools) {
        mm__bpool *pool = gc->touched_pools;
        gc->touched_pools = pool->next_touched;
        pool->next_touched = NULL;
        pool->touched_sum = 0;
    }
    if (t->cut || t->incomplete)
        gc->untried++; /* what began it may be garbage still */
    gc->promoted += t->resurrected;
    gc->long_lived_pending -=
        t->found < gc->long_lived_pending ? t->found : gc->long_lived_pending;
    gc->stats[1].collected += t->found;
    mm__closure_adapt(h, t);
    mm__emptied_pools_free(h);
    mm__deferred_free(h);
    mm__young_tidy(h);
}

/* After a young collection: put fresh suspects on trial, unless it pays too seldom. */
MM__RARE MM__PRIVATE void mm__closure_due(mm__heap *h)
{
    if (h->gc.suspect_pools == NULL || h->busy.trial) return;
    if (h->gc.closure_wait) {
        h->gc.closure_wait--;
        mm__suspects_unlist(h);
        return;
    }
    h->busy.collecting = true;
    mm__gc_tell(h, false, 1, 0);
    h->busy.collecting = false;
    mm__closure_begin(h);
}

MM__PRIVATE mm__word_fn mm__phase_fn(mm__phase phase)
{
    switch (phase) {
    case MM__UNQUIET: return mm__unquiet_word;
    case MM__COUNT: case MM__VERIFY_COUNT: case MM__RECOUNT: return mm__count_word;
    case MM__CONDEMN: return mm__condemn_word;
    case MM__WEAKEN: return mm__weaken_word;
    case MM__FINALIZE: return mm__finalize_word;
    case MM__VERIFY_RESET: case MM__RECOUNT_RESET: return mm__recount_reset_word;
    case MM__VERIFY_CONDEMN: case MM__RECONDEMN: return mm__recondemn_word;
    case MM__FOUND: return mm__found_word;
    case MM__SEAL: return mm__seal_word;
    case MM__DISPOSE: return mm__dispose_word;
    default: return mm__release_word;
    }
}

/* Whether all references that lead out of the trash are known, and nothing else needs
   to be cleared; what holds them stays in t->outer. In slices the verification counted
   the references from the trash alone. Else, if live members hold those to others than
   members that the trash does not, what they get must all be theirs. */
MM__RARE MM__PRIVATE bool mm__trash_closed(mm__trial *t)
{
    size_t balance = t->balance, known = t->outer_count, n = 0;
    if (t->finalizers || t->hooks || t->shaped || t->incomplete || t->outside != known)
        return false;
    for (size_t i = 0; i < known; i++) {
        void *holder = t->outer[i];
        if (!mm__in_trash(holder))
            balance++;
        else if (n == 0 || t->outer[n - 1] != holder)
            t->outer[n++] = holder;
    }
    t->outer_count = n;
    return t->sliced ? !t->rescued : t->trash == t->members || balance == 0;
}

/* Whether a phase has nothing to do in this trial. */
MM__RARE MM__PRIVATE bool mm__phase_empty(const mm__heap *h, const mm__trial *t,
                                          mm__phase phase)
{
    switch (phase) {
    case MM__UNQUIET: case MM__RESET: return mm__is_young(t);
    case MM__REACH: return t->roots == 0;
    case MM__VERIFY_RESET: case MM__VERIFY_COUNT: case MM__VERIFY_MARK:
        return !t->sliced;
    case MM__VERIFY_CONDEMN: return !t->sliced || !t->rescued;
    case MM__WEAKEN: case MM__CALL: return !t->weak;
    case MM__FINALIZE: case MM__RECOUNT_RESET: case MM__RECOUNT: case MM__REMARK:
    case MM__RECONDEMN: return !t->finalizers;
    case MM__FOUND:
        return !(h->gc.debug & (MM_GC_DEBUG_COLLECTABLE | MM_GC_DEBUG_SAVEALL));
    case MM__SEAL: return !t->hooks;
    case MM__CLEAR: return t->closed && t->outer_count == 0;
    case MM__DISPOSE: return !t->hooks && !t->finalizers;
    default: return false;
    }
}

MM__RARE MM__PRIVATE void mm__phase_begin(mm__heap *h, mm__trial *t)
{
    memset(&t->at, 0, sizeof t->at);
    t->position = t->set == MM__SET_CLOSURE ? UINT64_MAX : 0;
    if (t->phase == MM__CLEAR) t->closed = mm__trash_closed(t);
    if (mm__phase_empty(h, t, t->phase)) return;
    if (t->phase == MM__RECOUNT_RESET || t->phase == MM__VERIFY_RESET)
        mm__excess_clear(h, &h->gc.excess[mm__is_young(t)]);
    if (t->phase == MM__RECONDEMN || t->phase == MM__VERIFY_CONDEMN) t->trash = 0;
    if (t->phase == MM__CONDEMN) {
        t->rescued = false;
        t->outside += h->gc.excess[mm__is_young(t)].used; /* not in the balance */
    }
    if (t->phase == MM__VERIFY_COUNT) t->outside = t->outer_count = 0;
    if (t->phase == MM__COUNT) t->balance = 0;
}

/* Go on with the current phase. False: the budget ended. */
MM__RARE MM__PRIVATE bool mm__phase_run(mm__heap *h, mm__trial *t)
{
    bool closure = t->set == MM__SET_CLOSURE;
    if (closure && t->phase == MM__COUNT) return mm__closure_count(h, t);
    switch (t->phase) {
    case MM__REACH: case MM__MARK: case MM__VERIFY_MARK: case MM__REMARK:
        return mm__mark_all(h, t);
    case MM__CALL: mm__weak_call_due(h); return true;
    case MM__CLEAR:
        return t->closed ? mm__clear_outer(h, t) : mm__walk(h, t, mm__clear_word);
    case MM__RESET:
        return closure ? mm__walk(h, t, mm__closure_reset_word) : mm__reset(h, t);
    default: return mm__walk(h, t, mm__phase_fn(t->phase));
    }
}

/* Run the trial on from where it is. True: it has ended, or reached its stop. */
MM__RARE MM__NOINLINE bool mm__trial_run(mm__heap *h, mm__trial *t)
{
    while (t->phase <= MM__RESET && t->phase != t->stop) {
        bool done = mm__phase_empty(h, t, t->phase) || mm__phase_run(h, t);
        MM__INVARIANT(h->gc.noted_count == 0);
        if (!done) return false;
        t->phase = (mm__phase)(t->phase + 1);
        if (t->phase == MM__VERIFY_RESET && t->trash == 0) t->phase = MM__RESET;
        if (t->phase == MM__MARK && t->roots && !mm__roots_hold(h))
            mm__trial_again(h, t);
        mm__phase_begin(h, t);
    }
    t->found = t->trash;
    mm__excess_clear(h, &h->gc.excess[mm__is_young(t)]);
    return true;
}

MM__RARE MM__PRIVATE void mm__trial_begin(mm__heap *h, mm__trial *t, mm__set set,
                                          bool sliced)
{
    mm__stack marks = t->marks, large = t->large;
    memset(t, 0, sizeof *t);
    t->marks = marks;
    t->large = large;
    t->set = set;
    if (t == &h->gc.old) h->busy.trial = true;
    t->low = set == MM__SET_GEN0 || set == MM__SET_YOUNG ? MM__LOW_YOUNG
             : set == MM__SET_CLOSURE                    ? MM__LOW_CLOSURE
                                                         : 0;
    t->sliced = sliced;
    t->phase = t->low ? MM__COUNT : MM__UNQUIET;
    t->generation = set == MM__SET_GEN0 ? 0 : set <= MM__SET_CLOSURE ? 1 : 2;
    if (set != MM__SET_CLOSURE) mm__flush_tracked(h);
}

/* -- collections: trials with counters, callbacks and statistics around them -- */

MM__PRIVATE int64_t mm__gc_count0(const mm__heap *h)
{
    return h->gc.credit_end - h->front.credit;
}

/* Start counting anew from `count0`: when must mm_new come back here? */
MM__RARE MM__PRIVATE void mm__gc_credit_set(mm__heap *h, int64_t count0)
{
    const mm__gc *gc = &h->gc;
    int64_t       credit = INT32_MAX;
    if (gc->enabled && gc->threshold[0] > 0 && !h->busy.collecting) {
        credit = gc->threshold[0] - count0;
        if (gc->old.phase != MM__IDLE && credit > MM__SLICE_ALLOCATIONS)
            credit = MM__SLICE_ALLOCATIONS;
    }
    if (credit < 0 || h->desc.gc_stress) credit = 0;
    h->gc.credit_end = count0 + credit;
    h->front.credit = credit;
}

MM__PRIVATE void mm__gc_credit_reset(mm__heap *h)
{
    mm__gc_credit_set(h, mm__gc_count0(h));
}

MM__RARE MM__PRIVATE void mm__gc_tell(mm__heap *h, bool stop, int generation,
                                      size_t collected)
{
    mm_gc_info info;
    info.stop = stop;
    info.generation = generation;
    info.collected = collected;
    info.uncollectable = 0;
    for (size_t i = 0; i < h->gc.callback_count; i++) {
        mm__gc_callback callback = h->gc.callback[i];
        callback.fn(&h->front, &info, callback.user);
    }
    if (h->gc.debug & MM_GC_DEBUG_STATS)
        mm__log(h, MM_LOG_INFO, "gc: generation %d %s, %zu objects collected",
                generation, stop ? "done" : "begins", collected);
}

MM__RARE MM__PRIVATE void mm__gc_pause(mm__heap *h, int generation, uint64_t start,
                              size_t visits)
{
    mm_gc_generation_stats *s = &h->gc.stats[generation];
    uint64_t ns = mm__clock_ns() - start, us = ns / 1000;
    unsigned bucket = us < 2 ? 0 : mm__log2(us);
    s->slices++;
    s->pause_ns_total += ns;
    if (ns > s->pause_ns_max) s->pause_ns_max = ns;
    s->pauses[bucket < MM_PAUSE_BUCKETS ? bucket : MM_PAUSE_BUCKETS - 1]++;
    h->gc.visits += visits;
    if (visits > h->gc.visits_slice_max) h->gc.visits_slice_max = visits;
}

/* CPython's counters when generation g is collected. */
MM__PRIVATE void mm__gc_counters(mm__heap *h, int g)
{
    mm__gc_credit_set(h, 0);
    if (g == 0) {
        h->gc.count1++;
        return;
    }
    h->gc.count1 = 0;
    h->gc.count2 = g == 1 ? h->gc.count2 + 1 : 0;
}

/* Whether young trash refers to old objects, which may be garbage because of it. */
MM__RARE MM__PRIVATE void mm__reaches_old_visit(void *child, void *context)
{
    const mm_header *header = mm__header_of(child);
    if ((header->flags & MM__F_TRACKED) && (header->gc & MM__GC_OLD))
        *(bool *)context = true;
}

MM__PRIVATE bool mm__trash_reaches_old(mm__heap *h, const mm__trial *t)
{
    bool found = false;
    if (t->outside == 0) return false;
    for (mm__bpool *pool = h->gc.young_pools; pool; pool = pool->next_young)
        for (size_t w = 0; w < mm__pool_words(pool) && !found; w++)
            for (uint64_t mask = mm__trash_word(pool, w, t); mask; mask &= mask - 1) {
                void *object = mm__object_at(h, pool, w * 64 + mm__ctz(mask));
                mm__visit_refs(object, mm_type_of(object), mm__reaches_old_visit,
                               &found);
            }
    return found;
}

/* Let the condemned go, as if the trial had not been. */
MM__RARE MM__PRIVATE void mm__trial_abandon(mm__heap *h, mm__trial *t)
{
    for (mm__bpool *pool = h->gc.young_pools; pool; pool = pool->next_young)
        for (size_t w = 0; w < mm__pool_words(pool); w++) {
            uint64_t trash = mm__trash_word(pool, w, t);
            uint8_t *bytes = mm__bytes(pool, w);
            mm__table(pool, MM__TRASH)[w] &= ~trash;
            mm__bytes_set(bytes, trash, mm__resting_byte(h));
        }
    t->trash = t->found = 0;
    t->abandoned = true;
    mm__excess_clear(h, &h->gc.excess[1]);
}

/* Garbage begins with an object that lost a reference and lived on: are there more
   than a few of those among the young? */
MM__PRIVATE bool mm__young_suspicious(mm__heap *h, mm__trial *t)
{
    size_t suspects = 0, few = (size_t)h->gc.threshold[0] / MM__FEW_SUSPECTS;
    if (t->set == MM__SET_YOUNG) few *= 4 * ((size_t)h->gc.count1 + 1);
    for (mm__bpool *pool = h->gc.young_pools; pool; pool = pool->next_young)
        for (uint64_t rest = pool->young_sum; rest; rest &= rest - 1) {
            unsigned w = mm__ctz(rest);
            uint64_t mask = mm__set_word(pool, w, t->set);
            suspects += mm__popcount(mask & mm__table(pool, MM__SUSPECT)[w]);
            for (mask &= mm__table(pool, MM__YOUNG0)[w]; mask; mask &= mask - 1) {
                const void *object = mm__object_at(h, pool, w * 64 + mm__ctz(mask));
                suspects += (mm__header_of(object)->gc & MM__GC_QUIET) != 0;
            }
            if (suspects > few) return true;
        }
    return false;
}

/* All that are young join the next generation without being looked at. */
MM__PRIVATE void mm__young_promote(mm__heap *h, mm__trial *t)
{
    for (mm__bpool *pool = h->gc.young_pools; pool; pool = pool->next_young)
        for (uint64_t rest = pool->young_sum; rest; rest &= rest - 1) {
            unsigned w = mm__ctz(rest);
            uint64_t mask = mm__set_word(pool, w, t->set);
            t->members += mm__popcount(mask);
            mm__promote_word(h, t, pool, w, mask, false);
        }
}

MM__PRIVATE bool mm__closure_active(const mm__heap *h)
{
    return h->busy.trial && h->gc.old.set == MM__SET_CLOSURE;
}

MM__PRIVATE bool mm__old_slice(mm__heap *h, size_t visits, uint32_t us);

MM__PRIVATE void mm__closure_finish(mm__heap *h)
{
    if (mm__closure_active(h)) mm__old_slice(h, SIZE_MAX, 0);
}

/* The young trial, whole, for a collection of generation g (2: in place of all).
   Unless it must be exact, it is left out if it could find little. */
MM__RARE MM__PRIVATE void mm__young_trial(mm__heap *h, int g, bool exact)
{
    mm__trial *t = &h->gc.young;
    if (exact) mm__closure_finish(h);
    mm__trial_begin(h, t, g ? MM__SET_YOUNG : MM__SET_GEN0, false);
    t->generation = g;
    if (!exact && (mm__closure_active(h) || !mm__young_suspicious(h, t))) {
        mm__young_promote(h, t);
        t->phase = MM__IDLE;
        return;
    }
    mm__young_prepare(h, t);
    if (g == 2) t->stop = MM__WEAKEN;
    mm__trial_run(h, t);
    if (g == 2 && t->phase == MM__WEAKEN) {
        t->stop = MM__IDLE;
        if (mm__trash_reaches_old(h, t))
            mm__trial_abandon(h, t);
        else
            mm__trial_run(h, t);
    }
    t->phase = MM__IDLE;
}

MM__PRIVATE void mm__collect_end(mm__heap *h, int g, size_t found)
{
    h->gc.stats[g].collections++;
    h->gc.stats[g].collected += found;
    h->gc.bytes_new = 0;
    if (!h->busy.trial) mm__deferred_free(h);
    mm__young_tidy(h);
}

/* A young collection; returns what it found. */
MM__RARE MM__NOINLINE size_t mm__collect_young(mm__heap *h, int g, bool exact)
{
    mm__trial *t = &h->gc.young;
    uint64_t   start = mm__clock_ns();
    bool       was = h->busy.collecting;
    h->busy.collecting = true;
    mm__gc_tell(h, false, g, 0);
    mm__gc_counters(h, g);
    mm__young_trial(h, g, exact);
    if (g) h->gc.long_lived_pending += t->members - t->found;
    mm__collect_end(h, g, t->found);
    mm__gc_pause(h, g, start, t->visits);
    mm__gc_tell(h, true, g, t->found);
    h->busy.collecting = was;
    mm__gc_credit_reset(h);
    return t->found;
}

MM__RARE MM__PRIVATE void mm__barriers_set(mm__heap *h, bool on)
{
    for (uint32_t i = 0; i < h->arena_count; i++)
        if (mm__arena_tracked(h->arenas[i])) mm__arena_hide(h->arenas[i], on);
    h->barrier = on;
    mm__handles_show(h);
}

MM__RARE MM__PRIVATE void mm__old_begin(mm__heap *h, bool sliced)
{
    bool adopt = mm__gc_count0(h) > MM__STEP_YOUNG;
    h->gc.suspects = h->gc.untried = h->gc.promoted = 0;
    if (!sliced) h->front.moved = 0;
    mm__suspects_unlist(h);
    h->gc.long_lived_pending = 0;
    h->gc.allocated = 0;
    mm__trial_begin(h, &h->gc.old, sliced ? MM__SET_OLD : MM__SET_ALL, sliced);
    h->gc.old.adopting = adopt;
    h->gc.old.rootless = h->gc.root_wait > 0 || h->gc.held > MM__ROOTS;
    if (h->gc.root_wait) h->gc.root_wait--;
    mm__barriers_set(h, sliced);
}

MM__RARE MM__PRIVATE void mm__old_end(mm__heap *h)
{
    mm__trial *t = &h->gc.old;
    t->phase = MM__IDLE;
    h->busy.trial = false;
    mm__barriers_set(h, false);
    h->gc.long_lived_total = t->members - t->found;
    h->gc.held = t->held + t->roots;
    if (t->roots) h->gc.root_pause = 0;
    if (!t->sliced) h->gc.promoted = 0;
    h->gc.unverified = t->sliced || t->incomplete;
    h->gc.promoted += t->resurrected; /* what holds them was not looked at */
    mm__emptied_pools_free(h);
}

/* Go on with the old trial: at most `visits` (SIZE_MAX: to the end) and, unless it
   is 0, `us` microseconds. True: it has ended. */
MM__RARE MM__PRIVATE bool mm__old_slice(mm__heap *h, size_t visits, uint32_t us)
{
    mm__trial *t = &h->gc.old;
    uint64_t   start = mm__clock_ns();
    size_t     before = t->visits;
    bool       was = h->busy.collecting, closure = t->set == MM__SET_CLOSURE, done;
    h->busy.collecting = true;
    t->budget = visits > SIZE_MAX - t->visits ? SIZE_MAX : t->visits + visits;
    t->deadline = us ? start + us * UINT64_C(1000) : 0;
    done = mm__trial_run(h, t);
    if (done && closure) mm__closure_end(h);
    if (done && !closure) mm__old_end(h);
    if (done && !closure) mm__collect_end(h, 2, t->found);
    mm__gc_pause(h, t->generation, start, t->visits - before);
    if (done && t->sliced) mm__gc_tell(h, true, t->generation, t->found);
    h->busy.collecting = was;
    return done;
}

/* An old trial in slices. */
MM__RARE MM__PRIVATE void mm__old_start(mm__heap *h)
{
    h->busy.collecting = true;
    mm__gc_tell(h, false, 2, 0);
    h->busy.collecting = false;
    mm__old_begin(h, true);
    if (h->gc.old.adopting) mm__gc_counters(h, 2);
    h->gc.count2 = 0;
}

/* If no old object lost a reference and none is new, what is garbage is young. */
MM__PRIVATE bool mm__old_quiet(const mm__heap *h)
{
    return h->gc.suspects == 0 && h->gc.promoted == 0 && h->gc.debug == 0;
}

/* And all old objects were looked at, with all others: no trial in slices has taken
   young ones for live since, and none ran short of memory. */
MM__PRIVATE bool mm__old_known(const mm__heap *h)
{
    return mm__old_quiet(h) && !h->gc.unverified && !h->front.moved;
}

/* A young trial in place of a full one. False: it found young trash that refers to old
   objects, and let it go. */
MM__PRIVATE bool mm__young_as_full(mm__heap *h)
{
    mm__young_trial(h, 2, true);
    if (h->gc.young.abandoned) return false;
    h->gc.long_lived_total += h->gc.young.members - h->gc.young.found;
    h->gc.promoted = h->gc.young.resurrected; /* what holds them was not looked at */
    return true;
}

/* All generations, whole; returns what it found. */
MM__RARE MM__NOINLINE size_t mm__collect_full(mm__heap *h)
{
    size_t   found = 0;
    uint64_t start;
    h->busy.collecting = true;
    if (h->busy.trial) {
        mm__old_slice(h, SIZE_MAX, 0);
        found = h->gc.old.found;
    }
    start = mm__clock_ns();
    mm__gc_tell(h, false, 2, 0);
    mm__gc_counters(h, 2);
    if (mm__old_known(h) && mm__young_as_full(h)) {
        found += h->gc.young.found;
        mm__collect_end(h, 2, h->gc.young.found);
        mm__gc_pause(h, 2, start, h->gc.young.visits);
    } else {
        mm__old_begin(h, false);
        mm__old_slice(h, SIZE_MAX, 0);
        found += h->gc.old.found;
    }
    mm__gc_tell(h, true, 2, found);
    h->busy.collecting = false;
    mm__gc_credit_reset(h);
    return found;
}

/* -- when -- */

MM__PRIVATE bool mm__gc_sliced(const mm__heap *h)
{
    return h->gc.pause_us != MM_GC_UNSLICED;
}

/* The oldest generation whose counter is over its threshold (behaviour G52). */
MM__NOINLINE int mm__gc_due(const mm__heap *h, int64_t count0)
{
    const mm__gc *gc = &h->gc;
    uint64_t percent = !mm__gc_sliced(h) ? 25 : gc->untried ? 40 : 100;
    if (count0 <= gc->threshold[0]) return -1;
    if (gc->count2 > gc->threshold[2] &&
        gc->long_lived_pending * 100 >= gc->long_lived_total * percent)
        return 2;
    if (mm__gc_sliced(h) && gc->count1 > MM__SLICED_COUNT1) return 1;
    return gc->count1 > gc->threshold[1] ? 1 : 0;
}

/* A slice of the old trial, larger the more was allocated since it began: live
   objects must not reach 1.6 times what they were. */
MM__RARE MM__PRIVATE void mm__gc_assist(mm__heap *h)
{
    mm__gc  *gc = &h->gc;
    uint64_t live = gc->long_lived_total + gc->long_lived_total / 4 + 1000;
    size_t   visits = MM__SLICE_VISITS;
    uint32_t us = gc->pause_us;
    gc->allocated += MM__SLICE_ALLOCATIONS;
    if (gc->allocated > live / 10) us = 0;
    if (gc->allocated > live / 7) visits *= 2;
    if (gc->allocated > live / 5) visits *= 2;
    mm__old_slice(h, visits, us);
}

MM__RARE MM__PRIVATE void mm__gc_collect_due(mm__heap *h, int g)
{
    if (g < 2) {
        mm__collect_young(h, g, !mm__gc_sliced(h));
        if (mm__gc_sliced(h)) mm__closure_due(h);
    } else if (!mm__gc_sliced(h)) {
        mm__collect_full(h);
    } else {
        mm__collect_young(h, 1, false);
        if (h->gc.suspect_pools && h->gc.closure_wait == 0)
            mm__closure_due(h); /* which may leave nothing to do */
        else if (!h->busy.trial)
            mm__old_start(h);
    }
}

/* Large objects count by their bytes: a few must do what many small ones would. */
MM__PRIVATE bool mm__gc_bytes_due(const mm__heap *h)
{
    size_t large = h->run_bytes[0] + h->run_bytes[1] + h->run_bytes[2];
    if (h->busy.collecting || !h->gc.enabled || h->gc.threshold[0] == 0) return false;
    return h->gc.bytes_new > MM__BYTES_TRIGGER && h->gc.bytes_new > large / 3;
}

MM__RARE MM__PRIVATE void mm__gc_bytes(mm__heap *h)
{
    mm__closure_finish(h);
    if (h->busy.trial || !mm__gc_sliced(h)) {
        mm__collect_full(h);
        return;
    }
    mm__collect_young(h, 1, true);
    if (!mm__old_quiet(h)) mm__old_start(h);
}

/* mm_new's credit is used up. */
MM__RARE MM__NOINLINE void mm__gc_auto(mm__heap *h)
{
    int64_t count0 = mm__gc_count0(h);
    int     due;
    bool    under_way = h->busy.trial; /* its beginning is a pause */
    h->brief = mm__gc_sliced(h);
    if (h->leaving) mm__leave_some(h);
    if (h->gc.enabled && !h->busy.collecting) {
        if (h->desc.gc_stress) {
            mm__collect_full(h);
        } else {
            due = h->gc.threshold[0] > 0 ? mm__gc_due(h, count0) : -1;
            if (due >= 0) mm__gc_collect_due(h, due);
            if (under_way && h->busy.trial) mm__gc_assist(h);
        }
    }
    h->brief = false;
    mm__gc_credit_reset(h);
}

/* Out of memory: free what can be freed. True: it is worth another try. Inside a
   collection it can only be what the caches and empty pools hold. */
MM__COLD bool mm__emergency(mm__heap *h)
{
    if (!h->busy.collecting && !h->in_emergency && !h->destroying) {
        h->in_emergency = true;
        mm__drain_all(h);
        mm__collect_full(h);
        mm__drain_all(h);
        h->in_emergency = false;
    }
    mm__quarantine_end(h);
    mm__flush_all(h);
    mm__purge_classes(h);
    mm__leave_all(h);
    return true;
}

/* -- entry points -- */

MM__RARE MM_API size_t mm_gc_collect(mm_heap *heap, int generation)
{
    mm__heap *h = mm__H(heap);
    size_t    found;
    if (generation < 0 || generation > 2) {
        mm__fail(heap, MM_ERR_VALUE, "generation %d is not 0, 1 or 2", generation);
        return 0;
    }
    if (h->busy.collecting) return 0;
    mm__drain_all(h);
    found =
        generation == 2 ? mm__collect_full(h) : mm__collect_young(h, generation, true);
    mm__drain_all(h);
    MM__INVARIANT_DEEP(heap);
    return found;
}

/* Part of mm_gc_step; whether the collector has more to do. */
MM__PRIVATE bool mm__gc_step_until(mm__heap *h, uint64_t end)
{
    if (!h->busy.trial) {
        if (mm__old_quiet(h) && mm__gc_count0(h) <= MM__STEP_YOUNG) {
            if (mm__gc_count0(h) > 0) mm__collect_young(h, 1, true);
            return !mm__old_quiet(h);
        }
        mm__old_start(h);
    }
    while (h->busy.trial) {
        uint64_t now = mm__clock_ns();
        if (now >= end) break;
        mm__old_slice(h, SIZE_MAX, (uint32_t)((end - now) / 1000 + 1));
    }
    mm__gc_credit_reset(h);
    return h->busy.trial || !mm__old_quiet(h) || mm__gc_count0(h) > 0;
}

MM_API bool mm_gc_step(mm_heap *heap, uint32_t budget_us)
{
    mm__heap *h = mm__H(heap);
    uint32_t  us = budget_us ? budget_us : mm__gc_sliced(h) ? h->gc.pause_us : 100;
    uint64_t  end = mm__clock_ns() + us * UINT64_C(1000);
    bool      more;
    if (h->busy.collecting) return false;
    while (h->pending_free && !h->dying_depth) {
        mm__drain_some(h);
        if (mm__clock_ns() >= end) return true;
    }
    h->brief = true;
    more = mm__gc_step_until(h, end);
    h->brief = false;
    while (h->leaving && mm__clock_ns() < end) mm__leave_some(h);
    return more || h->pending_free != 0 || h->leaving != NULL;
}

MM_API void mm_gc_enable(mm_heap *heap)
{
    mm__H(heap)->gc.enabled = true;
    mm__gc_credit_reset(mm__H(heap));
}

MM_API void mm_gc_disable(mm_heap *heap)
{
    mm__H(heap)->gc.enabled = false;
    mm__gc_credit_reset(mm__H(heap));
}

MM_API bool mm_gc_is_enabled(const mm_heap *heap)
{
    return mm__H(heap)->gc.enabled;
}

MM_API void mm_gc_set_threshold(mm_heap *heap, int t0, int t1, int t2)
{
    int *threshold = mm__H(heap)->gc.threshold;
    if (t0 >= 0) threshold[0] = t0;
    if (t1 >= 0) threshold[1] = t1;
    if (t2 >= 0) threshold[2] = t2;
    mm__gc_credit_reset(mm__H(heap));
}

MM_API void mm_gc_get_threshold(const mm_heap *heap, int out[3])
{
    memcpy(out, mm__H(heap)->gc.threshold, 3 * sizeof(int));
}

MM_API void mm_gc_get_count(const mm_heap *heap, int out[3])
{
    const mm__heap *h = mm__H(heap);
    int64_t count0 = mm__gc_count0(h);
    out[0] = count0 > INT_MAX ? INT_MAX : (int)count0;
    out[1] = h->gc.count1;
    out[2] = h->gc.count2;
}

/* Visit the words of all tracked pools, whatever is under way. */
typedef bool (*mm__pool_word_fn)(mm__heap *h, mm__bpool *pool, size_t w, void *context);

MM__RARE MM__PRIVATE bool mm__each_word(mm__heap *h, mm__pool_word_fn fn, void *context)
{
    for (uint32_t a = 0; a < h->arena_count; a++) {
        mm__arena *arena = h->arenas[a];
        uint32_t   units = MM__UNITS;
        if (!mm__arena_tracked(arena)) continue;
        if (arena->head.kind == MM__KIND_HUGE) units = 1;
        for (uint32_t u = 0; u < units; u++) {
            mm__bpool *pool = &arena->pool[u];
            size_t     words = mm__pool_words(pool);
            for (size_t w = 0; w < words; w++)
                if (!fn(h, pool, w, context)) return false;
        }
    }
    return true;
}

/* Without what waits in quarantine or in an object pool. */
MM__PRIVATE uint64_t mm__living(const mm__heap *h, const mm__bpool *pool, size_t w)
{
    uint64_t used = ~mm__table(pool, MM__FREE)[w] & mm__valid_bits(pool, w),
             rest = used;
    if (!h->zone && !h->pools) return used;
    for (; rest; rest &= rest - 1) {
        const void *object = mm__object_at(h, pool, w * 64 + mm__ctz(rest));
        if (mm__header_of(object)->gc & MM__GC_GONE) used &= ~(rest & (0 - rest));
    }
    return used;
}

MM__PRIVATE bool mm__tally_word(mm__heap *h, mm__bpool *pool, size_t w, void *context)
{
    mm_gc_stats *out = (mm_gc_stats *)context;
    uint64_t used = mm__living(h, pool, w);
    uint64_t y0 = used & mm__table(pool, MM__YOUNG0)[w];
    uint64_t y1 = used & mm__table(pool, MM__YOUNG1)[w];
    uint64_t frozen = used & mm__table(pool, MM__FROZEN)[w];
    out->tracked[0] += mm__popcount(y0);
    out->tracked[1] += mm__popcount(y1);
    out->frozen += mm__popcount(frozen);
    out->tracked[2] += mm__popcount(used & ~y0 & ~y1 & ~frozen);
    return true;
}

MM_API void mm_gc_get_stats(mm_heap *heap, mm_gc_stats *out)
{
    mm__heap *h = mm__H(heap);
    memset(out, 0, sizeof *out);
    memcpy(out->generation, h->gc.stats, sizeof h->gc.stats);
    out->visits = h->gc.visits;
    out->visits_slice_max = h->gc.visits_slice_max;
    out->suspects = (size_t)h->gc.untried;
    out->pending_free = h->pending_free;
    out->phase = (int)h->gc.old.phase;
    if (h->busy.collecting) return; /* the caches cannot be emptied now */
    mm__flush_tracked(h);
    mm__each_word(h, mm__tally_word, out);
}

MM__PRIVATE bool mm__freeze_word(mm__heap *h, mm__bpool *pool, size_t w, void *context)
{
    uint64_t used = ~mm__table(pool, MM__FREE)[w] & mm__valid_bits(pool, w);
    uint64_t y0 = used & mm__table(pool, MM__YOUNG0)[w];
    (void)context;
    mm__table(pool, MM__FROZEN)[w] |= used;
    mm__table(pool, MM__YOUNG0)[w] = 0;
    mm__table(pool, MM__YOUNG1)[w] = 0;
    for (; y0; y0 &= y0 - 1) {
        void *object = mm__object_at(h, pool, w * 64 + mm__ctz(y0));
        mm__header_of(object)->gc |= MM__GC_OLD;
        mm__unquiet(mm__header_of(object));
    }
    return true;
}

MM_API void mm_gc_freeze(mm_heap *heap)
{
    mm__heap *h = mm__H(heap);
    if (h->busy.collecting) return;
    if (h->busy.trial) mm__old_slice(h, SIZE_MAX, 0);
    mm__flush_tracked(h);
    mm__each_word(h, mm__freeze_word, NULL);
    h->gc.freezes = true;
    mm__young_tidy(h);
    h->gc.long_lived_total = h->gc.long_lived_pending = 0;
}

MM__RARE MM__PRIVATE bool mm__unfreeze_word(mm__heap *h, mm__bpool *pool, size_t w,
                                   void *context)
{
    uint64_t frozen = mm__table(pool, MM__FROZEN)[w];
    (void)context;
    mm__table(pool, MM__FROZEN)[w] = 0;
    h->gc.promoted += mm__popcount(frozen);
    for (; frozen; frozen &= frozen - 1) {
        void *object = mm__object_at(h, pool, w * 64 + mm__ctz(frozen));
        mm_header *header = mm__header_of(object);
        if (!(mm__table(pool, MM__SUSPECT)[w] & (frozen & (0 - frozen))))
            mm__unquiet(header);
    }
    return true;
}

MM_API void mm_gc_unfreeze(mm_heap *heap)
{
    mm__heap *h = mm__H(heap);
    if (h->busy.collecting) return;
    if (h->busy.trial) mm__old_slice(h, SIZE_MAX, 0);
    mm__flush_tracked(h);
    mm__each_word(h, mm__unfreeze_word, NULL);
    h->gc.freezes = false;
}

MM_API size_t mm_gc_get_freeze_count(const mm_heap *heap)
{
    mm_gc_stats stats;
    memset(&stats, 0, sizeof stats);
    mm__aged_flush(mm__H(heap));
    mm__each_word(mm__H(heap), mm__tally_word, &stats);
    return stats.frozen;
}

MM_API bool mm_gc_is_tracked(const void *object)
{
    return object && (mm__header_of(object)->flags & MM__F_TRACKED);
}

MM_API bool mm_gc_is_finalized(const void *object)
{
    return object && (mm__header_of(object)->flags & MM__F_FINALIZED);
}

MM_API int mm_gc_generation_of(const void *object)
{
    const mm__bpool *pool;
    uint32_t i;
    uint64_t bit;
    if (!mm_gc_is_tracked(object)) return -1;
    pool = mm__pool_at(mm__A(object), object);
    i = mm__index_in(mm__A(object), object);
    bit = UINT64_C(1) << (i & 63);
    if (mm__table(pool, MM__FROZEN)[i / 64] & bit) return 3;
    if (mm__table(pool, MM__YOUNG0)[i / 64] & bit) return 0;
    return mm__table(pool, MM__YOUNG1)[i / 64] & bit ? 1 : 2;
}

typedef struct mm__query {
    int    generation;     /* -1: all                                             */
    void  *target;
    bool   hit;
    size_t count;
    bool (*visit)(void *object, void *user);
    void  *user;
} mm__query;

MM__PRIVATE uint64_t mm__generation_word(const mm__bpool *pool, size_t w,
                                         int generation)
{
    uint64_t used = mm__set_word(pool, w, MM__SET_ALL);
    uint64_t y0 = mm__table(pool, MM__YOUNG0)[w], y1 = mm__table(pool, MM__YOUNG1)[w];
    switch (generation) {
    case 0: return used & y0;
    case 1: return used & y1;
    case 2: return used & ~y0 & ~y1;
    default: return used;
    }
}

MM__PRIVATE bool mm__objects_word(mm__heap *h, mm__bpool *pool, size_t w, void *context)
{
    mm__query *q = (mm__query *)context;
    uint64_t   mask = mm__generation_word(pool, w, q->generation);
    for (; mask; mask &= mask - 1) {
        void *object = mm__object_at(h, pool, w * 64 + mm__ctz(mask));
        if (!mm__found(object)) continue;
        q->count++;
        if (!q->visit(object, q->user)) return false;
    }
    return true;
}

MM_API size_t mm_gc_get_objects(mm_heap *heap, int generation,
                                bool (*visit)(void *object, void *user), void *user)
{
    mm__query q = {generation, NULL, false, 0, visit, user};
    if (generation < -1 || generation > 2) {
        mm__fail(heap, MM_ERR_VALUE, "generation %d is not -1, 0, 1 or 2", generation);
        return SIZE_MAX;
    }
    mm__flush_tracked(mm__H(heap));
    mm__each_word(mm__H(heap), mm__objects_word, &q);
    return q.count;
}

MM__PRIVATE void mm__hit_visit(void *child, void *context)
{
    mm__query *q = (mm__query *)context;
    if (child == q->target) q->hit = true;
}

MM__PRIVATE bool mm__referrers_word(mm__heap *h, mm__bpool *pool, size_t w,
                                    void *context)
{
    mm__query *q = (mm__query *)context;
    uint64_t   mask = mm__generation_word(pool, w, -1);
    for (; mask; mask &= mask - 1) {
        void *object = mm__object_at(h, pool, w * 64 + mm__ctz(mask));
        if (mm__header_of(object)->flags & MM__F_DEAD) continue;
        q->hit = false;
        mm__visit_refs(object, mm_type_of(object), mm__hit_visit, q);
        if (!q->hit || !mm__found(object)) continue;
        q->count++;
        if (!q->visit(object, q->user)) return false;
    }
    return true;
}

MM_API size_t mm_gc_get_referrers(void *object,
                                  bool (*visit)(void *referrer, void *user), void *user)
{
    mm__query q = {-1, object, false, 0, visit, user};
    mm__heap *h;
    if (object == NULL) return 0;
    h = mm__H(mm_heap_of(object));
    mm__flush_tracked(h);
    mm__each_word(h, mm__referrers_word, &q);
    return q.count;
}

MM__PRIVATE void mm__referents_visit(void *child, void *context)
{
    mm__query *q = (mm__query *)context;
    if (q->hit) return; /* told to stop */
    q->count++;
    if (!q->visit(child, q->user)) q->hit = true;
}

MM_API size_t mm_gc_get_referents(void *object,
                                  bool (*visit)(void *referent, void *user), void *user)
{
    mm__query q = {-1, NULL, false, 0, visit, user};
    if (object) mm__visit_refs(object, mm_type_of(object), mm__referents_visit, &q);
    return q.count;
}

MM_API mm_status mm_gc_add_callback(mm_heap *heap, mm_gc_callback_fn fn, void *user)
{
    mm__gc *gc = &mm__H(heap)->gc;
    if (!mm__array_reserve(mm__H(heap), (void **)(void *)&gc->callback,
                           gc->callback_count, &gc->callback_capacity,
                           sizeof *gc->callback))
        return mm_last_status(heap);
    gc->callback[gc->callback_count].fn = fn;
    gc->callback[gc->callback_count++].user = user;
    return MM_OK;
}

MM_API mm_status mm_gc_remove_callback(mm_heap *heap, mm_gc_callback_fn fn, void *user)
{
    mm__gc *gc = &mm__H(heap)->gc;
    for (size_t i = 0; i < gc->callback_count; i++)
        if (gc->callback[i].fn == fn && gc->callback[i].user == user) {
            gc->callback_count--;
            memmove(gc->callback + i, gc->callback + i + 1,
                    (gc->callback_count - i) * sizeof *gc->callback);
            return MM_OK;
        }
    mm__fail(heap, MM_ERR_KEY, "the collector has no such callback");
    return MM_ERR_KEY;
}

MM_API void mm_gc_set_debug(mm_heap *heap, int flags)
{
    mm__H(heap)->gc.debug = flags;
}

MM_API int mm_gc_get_debug(const mm_heap *heap)
{
    return mm__H(heap)->gc.debug;
}

MM_API size_t mm_gc_garbage(mm_heap *heap, void *const **out)
{
    *out = mm__H(heap)->gc.garbage;
    return mm__H(heap)->gc.garbage_count;
}

MM__RARE MM_API void mm_gc_clear_garbage(mm_heap *heap)
{
    mm__gc *gc = &mm__H(heap)->gc;
    while (gc->garbage_count) mm_decref(gc->garbage[--gc->garbage_count]);
}

MM_API void mm_gc_set_error_hook(mm_heap *heap, mm_gc_error_fn fn, void *user)
{
    mm__H(heap)->gc.error_fn = fn;
    mm__H(heap)->gc.error_user = user;
}

/* ============================================================================
   >>weak.impl   Weak references, handles, finalize callbacks

   The weak table maps an object to its weak references and its handle. It exists for
   objects with MM__F_WEAK only; the others never look here. A finalize callback is a
   weak reference with more fields, so that one list has all in order.

   A handle is an index into `places` and the generation of that place. The
   generation rises when the object dies; a place whose 32 bits are used up is never
   used again. So a handle cannot find a later object.

   Invariants
     W1  ref->target is NULL, or an object whose list (table entry) has ref
     W2  an object has MM__F_WEAK exactly when the table has its entry; that stays when
         the last reference goes, for the next one, until the object dies or the table
         is full
     W3  a list starts with the callback-less reference, if there is one that is not
         dead itself; then newest to oldest
     W4  all references to an object are dead before the first callback runs
     W5  nothing here allocates when an object dies
     W6  places[i] has the object of the entry with place i + 1, and its handle: i and a
         generation. While that object is dead there is ~i in place of i, so that the
         handle is not found. So it is in a place without an object, which has a link
         to the next one and its next generation
     W7  heap->front.places is places, of 2^n items; or nowhere, so that all handles
         take the slow path: while there are none, and during an old collection in
         slices. The two items there have the other's i
   ============================================================================ */

/* -- the table: open addressing, linear probing, backward shift on removal -- */

MM__PRIVATE size_t mm__weak_home(const mm__weak *weak, const void *object)
{
    uint64_t x = ((uintptr_t)object >> 4) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(x >> 24) & (weak->capacity - 1);
}

/* The entry of an object that has MM__F_WEAK. */
MM__PRIVATE mm__weak_entry *mm__weak_find(const mm__heap *h, const void *object)
{
    const mm__weak *weak = &h->weak;
    size_t i = mm__weak_home(weak, object);
    while (weak->entry[i].object != object) i = (i + 1) & (weak->capacity - 1);
    return &weak->entry[i];
}

/* The first reference knows where its entry is. */
MM__PRIVATE void mm__weak_move(mm__weak_entry *to, const mm__weak_entry *from)
{
    *to = *from;
    if (to->refs) to->refs->at = &to->refs;
}

MM__PRIVATE mm__weak_entry *mm__weak_vacancy(mm__weak *weak, const void *object)
{
    size_t i = mm__weak_home(weak, object);
    while (weak->entry[i].object) i = (i + 1) & (weak->capacity - 1);
    return &weak->entry[i];
}

/* Keeps W2. */
MM__RARE MM__PRIVATE void mm__weak_remove(mm__heap *h, mm__weak_entry *e)
{
    mm__weak *weak = &h->weak;
    size_t    mask = weak->capacity - 1, hole = (size_t)(e - weak->entry), i = hole;
    mm__header_of(e->object)->flags &= (uint8_t)~MM__F_WEAK;
    weak->used--;
    for (;;) {
        size_t home;
        i = (i + 1) & mask;
        if (weak->entry[i].object == NULL) break;
        home = mm__weak_home(weak, weak->entry[i].object);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            mm__weak_move(&weak->entry[hole], &weak->entry[i]);
            hole = i;
        }
    }
    weak->entry[hole].object = NULL;
}

MM__RARE MM__PRIVATE bool mm__weak_grow(mm__heap *h)
{
    mm__weak old = h->weak, *weak = &h->weak;
    size_t   capacity = old.capacity ? old.capacity * 2 : 128; /* 2^n */
    mm__weak_entry *entry =
        (mm__weak_entry *)mm__obtain(h, capacity * sizeof *entry, MM__PAGE);
    if (entry == NULL) return false;
    weak->entry = entry;
    weak->capacity = capacity;
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entry[i].object)
            mm__weak_move(mm__weak_vacancy(weak, old.entry[i].object), &old.entry[i]);
    if (old.capacity) mm__give_back(h, old.entry, old.capacity * sizeof *entry);
    return true;
}

/* Room in a full table: entries without references or handle leave, or it grows. */
MM__RARE MM__NOINLINE bool mm__weak_room(mm__heap *h)
{
    mm__weak *weak = &h->weak;
    for (size_t i = 0; i < weak->capacity;) {
        mm__weak_entry *e = &weak->entry[i];
        if (e->object && e->refs == NULL && e->place == 0)
            mm__weak_remove(h, e); /* another may come here */
        else
            i++;
    }
    return weak->used * 3 < weak->capacity || mm__weak_grow(h);
}

/* An entry for an object that has none. NULL: no memory. */
MM__RARE MM__NOINLINE mm__weak_entry *mm__weak_add(mm__heap *h, void *object)
{
    mm__weak       *weak = &h->weak;
    mm__weak_entry *e;
    if (weak->used * 3 >= weak->capacity * 2 && !mm__weak_room(h)) return NULL;
    e = mm__weak_vacancy(weak, object);
    e->refs = NULL;
    e->place = 0;
    e->object = object;
    weak->used++;
    mm__header_of(object)->flags |= MM__F_WEAK;
    return e;
}

MM__INLINE mm__weak_entry *mm__weak_enter(mm__heap *h, void *object)
{
    return mm__header_of(object)->flags & MM__F_WEAK ? mm__weak_find(h, object)
                                                     : mm__weak_add(h, object);
}

/* -- places of handles -- */

/* What the inline half looks at: nothing while a barrier is up, by W7. */
MM__PRIVATE void mm__handles_show(mm__heap *h)
{
    bool show = h->weak.place_capacity && !h->barrier;
    h->front.places = show ? h->weak.places : h->nowhere;
    h->front.place_mask = show ? h->weak.place_capacity - 1 : 1;
}

/* A handle that the inline half did not find: stale, invented, or behind a barrier. */
MM_API void *mm__handle_slow(const mm_heap *heap, mm_handle handle)
{
    const mm__heap  *h = mm__H(heap);
    const mm__place *place;
    if (!h->barrier || handle >> 32 >= h->weak.place_count) return NULL;
    place = &h->weak.places[handle >> 32];
    if (place->handle != handle || !mm__barrier(place->object)) return NULL;
    return place->object;
}

/* Whether the handle of the object, if it has one, is found. Keeps W6. */
MM__RARE MM__PRIVATE void mm__handle_show(mm__heap *h, const void *object, bool show)
{
    uint64_t   place = 0;
    mm__place *p;
    if (mm__header_of(object)->flags & MM__F_WEAK)
        place = mm__weak_find(h, object)->place;
    if (place == 0) return;
    p = &h->weak.places[place - 1];
    p->handle = (show ? place - 1 : ~(place - 1)) << 32 | (uint32_t)p->handle;
}

/* The place's handle finds nothing from now on. */
MM__PRIVATE void mm__place_release(mm__heap *h, uint64_t place)
{
    mm__place *p = &h->weak.places[place - 1];
    uint32_t   generation = (uint32_t)p->handle + 1;
    p->object = (void *)(uintptr_t)h->weak.free_place;
    p->handle = ~(place - 1) << 32 | generation;
    if (generation) h->weak.free_place = place; /* else it is used up */
}

MM__PRIVATE uint64_t mm__place_acquire(mm__heap *h, void *object)
{
    mm__weak  *weak = &h->weak;
    uint64_t   place = weak->free_place;
    uint32_t   generation = 1;
    mm__place *p;
    if (place) {
        generation = (uint32_t)weak->places[place - 1].handle;
        weak->free_place = (uintptr_t)weak->places[place - 1].object;
    } else {
        if (weak->place_count >= UINT32_MAX) {
            mm__fail(&h->front, MM_ERR_LIMIT, "2^32 handles are in use");
            return 0;
        }
        if (!mm__array_reserve(h, (void **)(void *)&weak->places, weak->place_count,
                               &weak->place_capacity, sizeof(mm__place)))
            return 0;
        mm__handles_show(h);
        place = ++weak->place_count;
    }
    p = &weak->places[place - 1];
    p->object = object;
    p->handle = (place - 1) << 32 | generation;
    return place;
}

/* -- lists of references -- */

MM__PRIVATE bool mm__weakref_dying(const mm_weakref *ref)
{
    return (mm__header_of(ref)->flags & MM__F_DEAD) != 0;
}

/* The callback-less reference that new ones share, or NULL. */
MM__PRIVATE mm_weakref *mm__weak_shared(const mm__weak_entry *e)
{
    mm_weakref *first = e ? e->refs : NULL;
    if (first == NULL || first->callback || mm_type_of(first) != &mm__weakref_type)
        return NULL;
    return mm__weakref_dying(first) || mm__in_trash(first) ? NULL : first;
}

MM__INLINE void mm__weak_link(mm__weak_entry *e, mm_weakref *ref)
{
    mm_weakref **at = &e->refs, *next = *at;
    ref->target = e->object;
    if (next) {
        if (ref->callback && !next->callback && mm__weak_shared(e)) at = &next->next;
        next = *at;
        if (next) next->at = &ref->next;
        ref->next = next;
    }
    ref->at = at;
    *at = ref;
}

/* Take a reference out of its target's list; the entry stays. Keeps W1. */
MM__PRIVATE void mm__weak_unlink(mm_weakref *ref)
{
    if (ref->target == NULL) return;
    *ref->at = ref->next;
    if (ref->next) ref->next->at = ref->at;
    ref->target = NULL;
    ref->next = NULL;
    ref->at = NULL;
}

MM__RARE MM__PRIVATE void mm__weakref_dispose(void *object)
{
    mm__weak_unlink((mm_weakref *)object);
}

/* A weak reference that is trash itself dies without a word (behaviour G61). */
MM__PRIVATE void mm__weakref_cancel(void *object)
{
    mm__weak_unlink((mm_weakref *)object);
    ((mm_weakref *)object)->callback = NULL;
}

/* -- the death of a target -- */

/* Kill all references to the object; its entry and handle go. Returns the list. */
MM__RARE MM__PRIVATE mm_weakref *mm__weak_kill(mm__heap *h, void *object)
{
    mm__weak_entry *e = mm__weak_find(h, object);
    mm_weakref     *list = e->refs;
    if (e->place) mm__place_release(h, e->place);
    mm__weak_remove(h, e);
    for (mm_weakref *ref = list; ref; ref = ref->next) ref->target = NULL;
    return list;
}

MM__RARE MM__PRIVATE void mm__weak_call(mm__heap *h, mm_weakref *ref)
{
    mm_weak_fn callback = ref->callback;
    void      *user = ref->user;
    ref->callback = NULL;
    if (callback && !callback(ref, user)) mm__hook_failed(h, ref, "weak callback");
    mm_clear(&ref->owned);
    mm_decref(ref);
}

/* Of a list of dead references, keep those that will be called, with a reference. */
MM__RARE MM__PRIVATE mm_weakref *mm__weak_callers(mm_weakref *list)
{
    mm_weakref *first = NULL, **end = &first, *next;
    for (; list; list = next) {
        next = list->next;
        list->next = NULL;
        list->at = NULL;
        if ((!list->callback && !list->owned) || mm__weakref_dying(list)) continue;
        if (mm__in_trash(list) || !mm__found(list)) continue; /* trash itself: silent */
        mm_incref(list);
        *end = list;
        end = &list->next;
    }
    return first;
}

/* By count: kill, then call, newest first. */
MM__PRIVATE void mm__weak_died(mm__heap *h, void *object)
{
    mm_weakref *list = mm__weak_callers(mm__weak_kill(h, object)), *next;
    for (; list; list = next) {
        next = list->next;
        list->next = NULL;
        mm__weak_call(h, list);
    }
}

/* By the collector: kill now, call when all of the trash is weakly dead. */
MM__PRIVATE void mm__weak_condemned(mm__heap *h, void *object)
{
    mm_weakref *list = mm__weak_callers(mm__weak_kill(h, object));
    if (list == NULL) return;
    if (h->gc.calls == NULL) h->gc.calls_end = &h->gc.calls;
    *h->gc.calls_end = list;
    while (list->next) list = list->next;
    h->gc.calls_end = &list->next;
}

MM__PRIVATE void mm__weak_call_due(mm__heap *h)
{
    while (h->gc.calls) {
        mm_weakref *ref = h->gc.calls;
        h->gc.calls = ref->next;
        ref->next = NULL;
        mm__weak_call(h, ref);
    }
}

MM__PRIVATE void mm__weak_silence(mm__heap *h, void *object)
{
    mm_weakref *ref = mm__weak_kill(h, object), *next;
    for (; ref; ref = next) {
        next = ref->next;
        ref->next = NULL;
        ref->at = NULL;
        ref->callback = NULL;
    }
}

/* -- weak references -- */

MM__PRIVATE mm__weak_entry *mm__weak_entry_of(const void *object)
{
    if (object == NULL || !(mm__header_of(object)->flags & MM__F_WEAK)) return NULL;
    return mm__weak_find(mm__H(mm_heap_of(object)), object);
}

/* Whether a weak reference to the object may be made; else says why not. */
MM__PRIVATE bool mm__weak_allowed(mm_heap *heap, const void *target)
{
    if (mm_type_of(target)->flags & MM_TYPE_NO_WEAK)
        return mm__fail(heap, MM_ERR_TYPE,
                        "objects of type %s cannot be weakly referenced",
                        mm_type_name(target));
    if (mm__header_of(target)->flags & (MM__F_DEAD | MM__F_TRASH))
        return mm__fail(heap, MM_ERR_STATE, "%s %p is being freed",
                        mm_type_name(target), target);
    return true;
}

MM__RARE MM__NOINLINE mm_weakref *mm__weakref_make(mm_type *type, void *target,
                                         mm_weak_fn callback, void *user, bool owning)
{
    mm_heap        *heap = target ? mm_heap_of(target) : NULL;
    bool            shares = callback == NULL && !owning;
    mm__weak_entry *e;
    mm_weakref     *ref;
    if (target == NULL) {
        mm__fail(NULL, MM_ERR_VALUE, "a weak reference to NULL");
        return NULL;
    }
    if (!mm__weak_allowed(heap, target)) return NULL;
    if (shares && (e = mm__weak_entry_of(target)) && mm__weak_shared(e))
        return (mm_weakref *)mm__newref(mm__weak_shared(e));
    ref = (mm_weakref *)(type == &mm__weakref_type
                             ? mm__new(heap, type, sizeof(mm_weakref))
                             : mm__new(heap, type, sizeof(mm_finalizer)));
    if (ref == NULL) return NULL;
    e = mm__weak_enter(mm__H(heap), target);
    if (e == NULL) {
        mm_decref(ref);
        return NULL;
    }
    if (shares && mm__weak_shared(e)) { /* made by a collection during mm__new */
        mm_weakref *shared = (mm_weakref *)mm__newref(mm__weak_shared(e));
        mm_decref(ref);
        return shared;
    }
    ref->callback = callback;
    ref->user = user;
    if (owning) ref->owned = mm__newref(user);
    mm__weak_link(e, ref);
    return ref;
}

MM_API mm_weakref *mm_weakref_new(void *target, mm_weak_fn callback, void *user)
{
    const int   known = MM__F_WEAK, dying = MM__F_DEAD | MM__F_TRASH;
    mm_heap    *heap;
    mm_weakref *ref = NULL;
    if (target && callback &&
        (mm__header_of(target)->flags & (known | dying)) == known) {
        heap = mm_heap_of(target);
        ref = (mm_weakref *)mm__new_at_once(heap, &mm__weakref_type, sizeof *ref);
        if (MM__LIKELY(ref != NULL)) {
            ref->callback = callback;
            ref->user = user;
            mm__weak_link(mm__weak_find(mm__H(heap), target), ref);
            return ref;
        }
    }
    return mm__weakref_make(&mm__weakref_type, target, callback, user, false);
}

MM_API mm_weakref *mm_weakref_new_owning(void *target, mm_weak_fn callback, void *user)
{
    return mm__weakref_make(&mm__weakref_type, target, callback, user, true);
}

MM_API bool mm_weakref_is_dead(const mm_weakref *ref)
{
    const void *target = ref->target;
    return target == NULL || (mm__header_of(target)->flags & MM__F_DEAD) ||
           mm__condemned(&mm__H(mm_heap_of(target))->gc.old, target);
}

MM_API size_t mm_weakref_count(const void *object)
{
    mm__weak_entry *e = mm__weak_entry_of(object);
    size_t n = 0;
    for (mm_weakref *ref = e ? e->refs : NULL; ref; ref = ref->next)
        n += !mm__weakref_dying(ref);
    return n;
}

MM_API mm_weakref *mm_weakref_list(const void *object, size_t i)
{
    mm__weak_entry *e = mm__weak_entry_of(object);
    for (mm_weakref *ref = e ? e->refs : NULL; ref; ref = ref->next)
        if (!mm__weakref_dying(ref) && i-- == 0) return ref;
    return NULL;
}

MM_API mm_weak_fn mm_weakref_callback(const mm_weakref *ref)
{
    return ref->target ? ref->callback : NULL;
}

MM_API void *mm_weakref_user(const mm_weakref *ref)
{
    return ref->target ? ref->user : NULL;
}

MM_API bool mm_weakref_equal(const mm_weakref *a, const mm_weakref *b)
{
    const mm_type *type;
    if (mm_weakref_is_dead(a) || mm_weakref_is_dead(b)) return a == b;
    if (a->target == b->target) return true;
    type = mm_type_of(a->target);
    return type->equal && type->equal(a->target, b->target);
}

MM_API bool mm_weakref_hash(mm_weakref *ref, uint64_t *out)
{
    const mm_type *type;
    if (ref->hash == 0) {
        if (mm_weakref_is_dead(ref)) return false;
        type = mm_type_of(ref->target);
        ref->hash = type->hash ? type->hash(ref->target)
                               : ((uintptr_t)ref->target >> 4) *
                                     UINT64_C(0x9E3779B97F4A7C15);
        if (ref->hash == 0) ref->hash = 1;
    }
    *out = ref->hash;
    return true;
}

MM__RARE MM_API void mm_weakref_clear_all(void *object)
{
    mm__weak_entry *e = mm__weak_entry_of(object);
    mm_weakref     *owners = NULL, *next;
    for (mm_weakref *ref = e ? e->refs : NULL; ref; ref = next) {
        next = ref->next;
        if (mm_type_of(ref) != &mm__weakref_type) continue;
        mm__weak_unlink(ref);
        ref->callback = NULL;
        if (ref->owned == NULL || mm__weakref_dying(ref) || mm__in_trash(ref)) continue;
        mm_incref(ref);
        ref->next = owners;
        owners = ref;
    }
    for (; owners; owners = next) { /* may run the user's code */
        next = owners->next;
        owners->next = NULL;
        mm_clear(&owners->owned);
        mm_decref(owners);
    }
}

/* -- handles -- */

MM_API mm_handle mm_handle_of(void *object)
{
    mm__heap       *h;
    mm__weak_entry *e;
    if (object == NULL || !mm__weak_allowed(mm_heap_of(object), object)) return 0;
    h = mm__H(mm_heap_of(object));
    e = mm__weak_enter(h, object);
    if (e == NULL) return 0;
    if (e->place == 0) e->place = mm__place_acquire(h, object);
    if (e->place == 0) {
        if (e->refs == NULL) mm__weak_remove(h, e);
        return 0;
    }
    return h->weak.places[e->place - 1].handle;
}

MM_API bool mm_handle_valid(const mm_heap *heap, mm_handle handle)
{
    return mm_handle_borrow(heap, handle) != NULL;
}

/* -- finalize callbacks -- */

MM__PRIVATE void mm__finalizer_unregister(mm__heap *h, mm_finalizer *f)
{
    if (f->older)
        f->older->newer = f->newer;
    else
        h->weak.oldest = f->newer;
    if (f->newer)
        f->newer->older = f->older;
    else
        h->weak.newest = f->older;
    f->alive = false;
}

MM__RARE MM__PRIVATE bool mm__finalizer_fire(mm_weakref *ref, void *user)
{
    mm_finalizer *f = (mm_finalizer *)ref;
    (void)user;
    if (!f->alive) return true;
    mm__finalizer_unregister(mm__H(mm_heap_of(f)), f);
    f->fn(f->argument);
    mm_decref(f); /* the registry's */
    return true;
}

MM_API mm_finalizer *mm_finalize(void *p, mm_finalize_fn fn, void *user)
{
    mm_finalizer *f = (mm_finalizer *)mm__weakref_make(&mm__finalizer_type, p,
                                                       mm__finalizer_fire, NULL, false);
    mm__weak *weak;
    if (f == NULL) return NULL;
    weak = &mm__H(mm_heap_of(f))->weak;
    f->fn = fn;
    f->argument = user;
    f->alive = f->atexit = true;
    f->older = weak->newest;
    if (weak->newest)
        weak->newest->newer = f;
    else
        weak->oldest = f;
    weak->newest = f;
    return (mm_finalizer *)mm__newref(f);
}

MM_API bool mm_finalizer_alive(const mm_finalizer *f)
{
    return f->alive;
}

MM__RARE MM_API bool mm_finalizer_call(mm_finalizer *f)
{
    if (!f->alive) return false;
    mm__weak_unlink(&f->ref);
    return mm__finalizer_fire(&f->ref, NULL);
}

MM__RARE MM_API bool mm_finalizer_detach(mm_finalizer *f)
{
    if (!f->alive) return false;
    mm__weak_unlink(&f->ref);
    mm__finalizer_unregister(mm__H(mm_heap_of(f)), f);
    mm_decref(f);
    return true;
}

MM_API void *mm_finalizer_peek(const mm_finalizer *f)
{
    return f->alive ? mm_weakref_get(&f->ref) : NULL;
}

MM_API void mm_finalizer_set_atexit(mm_finalizer *f, bool atexit)
{
    f->atexit = atexit;
}

/* At heap destroy: newest first; those registered meanwhile are newer still. */
MM__PRIVATE void mm__finalizers_at_exit(mm__heap *h)
{
    mm_finalizer *f = h->weak.newest;
    while (f) {
        if (f->atexit) {
            mm_finalizer_call(f);
            f = h->weak.newest;
        } else {
            f = f->older;
        }
    }
    while (h->weak.newest) mm_finalizer_detach(h->weak.newest);
}

MM__PRIVATE bool mm__check_place(const mm__heap *h, const mm__weak_entry *e)
{
    bool             dead = (mm__header_of(e->object)->flags & MM__F_DEAD) != 0;
    const mm__place *p = e->place ? &h->weak.places[e->place - 1] : NULL;
    uint64_t         i = e->place - 1;
    return p == NULL || (p->object == e->object &&
                         p->handle >> 32 == (uint32_t)(dead ? ~i : i));
}

/* W1..W3, W6, W7. */
MM__PRIVATE bool mm__check_weak(mm__heap *h)
{
    bool   ok = true;
    size_t used = 0;
    for (size_t i = 0; i < h->weak.capacity; i++) {
        mm__weak_entry *e = &h->weak.entry[i];
        if (e->object == NULL) continue;
        used++;
        if (!(mm__header_of(e->object)->flags & MM__F_WEAK))
            ok = mm__broken(h, "W2", e->object);
        for (mm_weakref **at = &e->refs; *at; at = &(*at)->next)
            if ((*at)->target != e->object || (*at)->at != at)
                ok = mm__broken(h, "W1", *at);
        if (!mm__check_place(h, e)) ok = mm__broken(h, "W6", e->object);
    }
    if ((h->front.places == h->weak.places) != (h->weak.place_capacity && !h->barrier))
        ok = mm__broken(h, "W7", h->front.places);
    return used == h->weak.used ? ok : mm__broken(h, "W2", h->weak.entry);
}

/* ============================================================================
   >>region.impl   Bump allocation with mark and rewind

   A region is a stack of segments: the caller's buffer first, if there is one,
   then chunks of the heap. `chunk` is the newest one; while it is NULL the region
   bumps through the buffer. A chunk starts with its header:

      chunk -> | previous | size | used_before | blocks ... cursor ... limit |

   Invariants
     R1  cursor and limit are both NULL, or both multiples of 16 inside the newest
         segment with cursor <= limit: so a block that fits also fits rounded up
     R2  used_before of the region is that of the newest chunk, 0 in the buffer;
         used_before of a chunk is what the segments below it had handed out
     R3  high_water is the most there ever was, but for what has been handed out
         since the cursor last went back: whoever moves it back notes it first
   ============================================================================ */

enum {
    MM__CHUNK_MIN = 4 * 1024, /* the first chunk; each next one is twice as large  */
    MM__CHUNK_MAX = 64 * 1024 /* up to this, but for blocks that need more         */
};

struct mm__chunk {
    mm__chunk *previous;
    size_t     size; /* of the whole chunk, header included                        */
    size_t     used_before;
};

/* The header of a chunk, rounded up so that its first block is aligned. */
#define MM__CHUNK_HEAD ((sizeof(mm__chunk) + 15) & ~(size_t)15)

MM__PRIVATE char *mm__chunk_start(mm__chunk *chunk)
{
    return (char *)chunk + MM__CHUNK_HEAD;
}

MM__PRIVATE char *mm__chunk_end(mm__chunk *chunk)
{
    return (char *)chunk + (chunk->size & ~(size_t)15);
}

/* First and last aligned byte of the buffer; both NULL if not one block fits. */
MM__PRIVATE void mm__region_buffer(const mm_region *region, char **start, char **end)
{
    uintptr_t address = (uintptr_t)region->buffer;
    size_t skip = (size_t)(0 - address) & 15;
    *start = *end = NULL;
    if (region->buffer == NULL || region->buffer_size < skip + 16) return;
    *start = region->buffer + skip;
    *end = *start + ((region->buffer_size - skip) & ~(size_t)15);
}

/* Bounds of the newest segment. */
MM__PRIVATE void mm__region_segment(const mm_region *region, char **start, char **end)
{
    if (region->chunk == NULL) {
        mm__region_buffer(region, start, end);
    } else {
        *start = mm__chunk_start(region->chunk);
        *end = mm__chunk_end(region->chunk);
    }
}

/* Regions belong to the caller and are in no list of the heap: the check of the
   heap cannot reach them. Here the region checks itself where it leaves the fast
   path, with MEMMGR_CHECK >= 2. */
MM__PRIVATE bool mm__check_region(const mm_region *region)
{
    char *start, *end;
    size_t before = region->chunk == NULL ? 0 : region->chunk->used_before;
    bool good;
    mm__region_segment(region, &start, &end);
    if (region->cursor == NULL)
        good = region->limit == NULL && region->chunk == NULL;
    else
        good = region->cursor >= start && region->cursor <= region->limit &&
               region->limit == end && ((uintptr_t)region->cursor & 15) == 0;
    good = good && region->used_before == before;
    if (!good)
        mm__log(mm__H(region->heap), MM_LOG_BUG,
                "region %p breaks R1 or R2: chunk %p, cursor %p, limit %p",
                (const void *)region, (void *)region->chunk, (void *)region->cursor,
                (void *)region->limit);
    return good;
}

#if MEMMGR_CHECK >= 2
#define MM__REGION_CHECK(region) ((void)mm__check_region(region))
#else
#define MM__REGION_CHECK(region) ((void)0)
#endif

/* Without a heap there is nobody to tell; NULL says it. */
MM__PRIVATE void *mm__region_fail(const mm_region *region, mm_status status,
                                  size_t size)
{
    if (region->heap != NULL)
        mm__fail(region->heap, status, "region: cannot allocate %zu bytes", size);
    return NULL;
}

/* Keeps R3: to be called before the cursor moves back. */
MM__PRIVATE void mm__region_note(mm_region *region)
{
    size_t used = mm_region_used(region);
    if (used > region->high_water) region->high_water = used;
}

/* Go to the start of the newest segment. Keeps R1 and R2. */
MM__PRIVATE void mm__region_restart(mm_region *region)
{
    mm__region_segment(region, &region->cursor, &region->limit);
    region->used_before = region->chunk == NULL ? 0 : region->chunk->used_before;
}

MM__PRIVATE void mm__region_pop(mm_region *region)
{
    mm__chunk *chunk = region->chunk;
    region->chunk = chunk->previous;
    mm_free(region->heap, chunk);
}

MM__PRIVATE size_t mm__region_next_size(const mm_region *region)
{
    size_t size = region->chunk == NULL ? 0 : region->chunk->size;
    if (size < MM__CHUNK_MIN / 2) return MM__CHUNK_MIN;
    return size < MM__CHUNK_MAX / 2 ? 2 * size : (size_t)MM__CHUNK_MAX;
}

/* A new chunk with room for size bytes. false: nothing has changed. */
MM__PRIVATE bool mm__region_push(mm_region *region, size_t size)
{
    size_t total = mm__region_next_size(region);
    mm__chunk *chunk;
    if (total - MM__CHUNK_HEAD < size)
        total = MM__CHUNK_HEAD + ((size + 15) & ~(size_t)15);
    chunk = (mm__chunk *)mm_alloc(region->heap, total);
    if (chunk == NULL) return false;
    chunk->previous = region->chunk;
    chunk->size = total;
    chunk->used_before = mm_region_used(region);
    region->chunk = chunk;
    mm__region_restart(region);
    return true;
}

/* mm_region_alloc where the newest segment is full, or there is none. */
MM_API void *mm__region_slow(mm_region *region, size_t size)
{
    if (size > SIZE_MAX - MM__CHUNK_HEAD - 16)
        return mm__region_fail(region, MM_ERR_OVERFLOW, size);
    if (size == 0 && region->cursor) return region->cursor;
    if (region->heap == NULL) return NULL;
    MM__REGION_CHECK(region);
    /* The heap has said why, if not: NULL, and the region is as it was. */
    if (!mm__region_push(region, size)) return NULL;
    return size ? mm_region_alloc(region, size) : region->cursor;
}

MM_API void *mm__region_array(mm_region *region, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return mm__region_fail(region, MM_ERR_OVERFLOW, SIZE_MAX);
    return mm_region_alloc(region, count * size);
}

MM_API void mm_region_init(mm_region *region, mm_heap *heap)
{
    mm_region_init_buffer(region, heap, NULL, 0);
}

MM_API void mm_region_init_buffer(mm_region *region, mm_heap *heap, void *buffer,
                                  size_t size)
{
    memset(region, 0, sizeof *region);
    region->heap = heap;
    region->buffer = (char *)buffer;
    region->buffer_size = size;
    mm__region_restart(region);
}

/* Whether p is the newest block and was made with old_size bytes. */
MM__PRIVATE bool mm__region_newest(const mm_region *region, const char *p,
                                   size_t old_size)
{
    size_t distance = (size_t)((uintptr_t)region->cursor - (uintptr_t)p);
    return old_size <= distance && distance == ((old_size + 15) & ~(size_t)15);
}

MM_API void *mm_region_grow(mm_region *region, void *p, size_t old_size, size_t size)
{
    char *block = (char *)p;
    void *copy;
    if (p == NULL) return mm_region_alloc(region, size);
    if (mm__region_newest(region, block, old_size) &&
        size <= (size_t)(region->limit - block)) {
        mm__region_note(region);
        region->cursor = block + ((size + 15) & ~(size_t)15);
        if (region->zero && size > old_size)
            memset(block + old_size, 0, size - old_size);
        return p;
    }
    if (size <= old_size) return p;
    copy = mm_region_alloc(region, size);
    return copy == NULL ? NULL : memcpy(copy, p, old_size);
}

MM_API char *mm_region_strdup(mm_region *region, const char *text)
{
    size_t size = strlen(text) + 1;
    void *copy = mm_region_alloc(region, size);
    return copy == NULL ? NULL : (char *)memcpy(copy, text, size);
}

MM_API char *mm_region_printf(mm_region *region, const char *format, ...)
{
    va_list args;
    int length;
    char *text;
    va_start(args, format);
    length = MM__VSNPRINTF(NULL, 0, format, args);
    va_end(args);
    if (length < 0) return (char *)mm__region_fail(region, MM_ERR_VALUE, 0);
    text = (char *)mm_region_alloc(region, (size_t)length + 1);
    if (text == NULL) return NULL;
    va_start(args, format);
    MM__VSNPRINTF(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}

MM_API mm_region_mark mm_region_mark_here(const mm_region *region)
{
    mm_region_mark mark;
    mark.chunk = region->chunk;
    mark.cursor = region->cursor;
    return mark;
}

/* Whether the region still has what the mark points to. */
MM__PRIVATE bool mm__region_has(const mm_region *region, mm_region_mark mark)
{
    const mm__chunk *chunk = region->chunk;
    if (chunk == mark.chunk) return mark.cursor <= region->cursor;
    while (chunk != NULL && chunk != mark.chunk) chunk = chunk->previous;
    return chunk == mark.chunk;
}

MM_API void mm_region_rewind(mm_region *region, mm_region_mark mark)
{
    if (!mm__region_has(region, mark)) {
        mm__bug(mm__H(region->heap),
                "region %p: rewind to a mark that an earlier rewind, reset or free"
                " made invalid",
                (void *)region);
        return;
    }
    mm__region_note(region);
    while (region->chunk != mark.chunk) mm__region_pop(region);
    mm__region_restart(region);
    region->cursor = mark.cursor;
    MM__REGION_CHECK(region);
}

/* The chunk to keep: the largest, unless the buffer is no smaller. */
MM__PRIVATE mm__chunk *mm__region_largest(const mm_region *region)
{
    mm__chunk *chunk = region->chunk, *largest = NULL;
    size_t size = region->buffer_size;
    for (; chunk != NULL; chunk = chunk->previous) {
        if (chunk->size <= size) continue;
        largest = chunk;
        size = chunk->size;
    }
    return largest;
}

/* Free every chunk but one, which may be NULL, and start again. */
MM__PRIVATE void mm__region_empty(mm_region *region, mm__chunk *kept)
{
    mm__region_note(region);
    while (region->chunk != NULL) {
        if (region->chunk == kept)
            region->chunk = kept->previous;
        else
            mm__region_pop(region);
    }
    if (kept != NULL) {
        kept->previous = NULL;
        kept->used_before = 0;
        region->chunk = kept;
    }
    mm__region_restart(region);
}

MM_API void mm_region_reset(mm_region *region)
{
    mm__region_empty(region, mm__region_largest(region));
}

MM_API void mm_region_free(mm_region *region)
{
    mm__region_empty(region, NULL);
}

MM_API size_t mm_region_used(const mm_region *region)
{
    char *start, *end;
    mm__region_segment(region, &start, &end);
    if (start == NULL) return 0;
    return region->used_before + (size_t)(region->cursor - start);
}

MM_API size_t mm_region_high_water(const mm_region *region)
{
    size_t used = mm_region_used(region);
    return used > region->high_water ? used : region->high_water;
}
/* ============================================================================
   >>str.impl   Immutable strings and interning

   The intern table is an open-addressing array of (hash, string) with linear
   probing, at most two thirds full: a hit reads one line of the table and the
   string. It borrows its strings; the disposer of a string takes its entry out
   by shifting the ones behind it back, which needs no memory and no tombstones.
   Allocating may run a collection, and that user code, which may intern too: so
   whoever allocates looks the content up again before it changes the table.

   Invariants
     S1  an entry is in use exactly when its hash is not 0; count and bytes are the
         totals over the entries in use
     S2  from the home of an entry (hash & mask) to the entry there is no empty one,
         and no content stands in the table twice
     S3  interned is 1 exactly for the strings in the table; a string that is dead
         but not yet disposed of may be among them, and is never handed out
     S4  hash is 0 or the hash of the content under the heap's seed, and not 0
     S5  text ends with a NUL inside the string's block
   ============================================================================ */

enum { MM__INTERN_MIN = 64 }; /* entries of the smallest table */

/* Bytes of text that the struct itself has room for, the NUL included. */
#define MM__STR_INLINE (sizeof(mm_str) - offsetof(mm_str, text))

/* --- the hash: 64-bit words folded by a 128-bit product --- */

/* Fractional digits of pi: constants nobody chose. */
static const uint64_t mm__hash_a = UINT64_C(0x243f6a8885a308d3);
static const uint64_t mm__hash_b = UINT64_C(0x13198a2e03707344);
static const uint64_t mm__hash_c = UINT64_C(0xa4093822299f31d0);
static const uint64_t mm__hash_d = UINT64_C(0x082efa98ec4e6c89);

/* The product of two words as high and low half, without a 128-bit type. */
MM__PRIVATE void mm__multiply_long(uint64_t a, uint64_t b, uint64_t *high,
                                   uint64_t *low)
{
    uint64_t a0 = a & UINT32_MAX, a1 = a >> 32, b0 = b & UINT32_MAX, b1 = b >> 32;
    uint64_t p00 = a0 * b0, p01 = a0 * b1, p10 = a1 * b0, p11 = a1 * b1;
    uint64_t middle = (p00 >> 32) + (p01 & UINT32_MAX) + (p10 & UINT32_MAX);
    *high = p11 + (p01 >> 32) + (p10 >> 32) + (middle >> 32);
    *low = (middle << 32) | (p00 & UINT32_MAX);
}

MM__PRIVATE void mm__multiply(uint64_t a, uint64_t b, uint64_t *high, uint64_t *low)
{
#if defined(__SIZEOF_INT128__)
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    *high = (uint64_t)(product >> 64);
    *low = (uint64_t)product;
#else
    mm__multiply_long(a, b, high, low);
#endif
}

/* Every bit of the result depends on every bit of a and b. */
MM__PRIVATE uint64_t mm__fold(uint64_t a, uint64_t b)
{
    uint64_t high, low;
    mm__multiply(a, b, &high, &low);
    return high ^ low;
}

MM__PRIVATE uint64_t mm__load64(const void *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

MM__PRIVATE uint64_t mm__load32(const void *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* All of 0..16 bytes in two words; the loads overlap instead of branching. */
MM__PRIVATE void mm__load_short(const unsigned char *p, size_t n, uint64_t word[2])
{
    if (n >= 8) {
        word[0] = mm__load64(p);
        word[1] = mm__load64(p + n - 8);
    } else if (n >= 4) {
        word[0] = mm__load32(p);
        word[1] = mm__load32(p + n - 4);
    } else if (n > 0) {
        word[0] = ((uint64_t)p[0] << 16) | ((uint64_t)p[n / 2] << 8) | p[n - 1];
        word[1] = 0;
    } else {
        word[0] = word[1] = 0;
    }
}

/* All but the last 1..16 of n > 16 bytes: three lanes, so that the products do not
   wait for each other, then steps of 16. Both factors of every product carry the
   secret: were one of them known, data could make it 0 and wipe out the other. */
MM__PRIVATE uint64_t mm__hash_blocks(uint64_t seed, const unsigned char *p, size_t n)
{
    uint64_t key1 = seed ^ mm__hash_b, key2 = seed ^ mm__hash_c;
    uint64_t key3 = seed ^ mm__hash_d;
    uint64_t state = seed, state2 = key2, state3 = key3;
    for (; n > 48; p += 48, n -= 48) {
        state = mm__fold(mm__load64(p) ^ key1, mm__load64(p + 8) ^ state);
        state2 = mm__fold(mm__load64(p + 16) ^ key2, mm__load64(p + 24) ^ state2);
        state3 = mm__fold(mm__load64(p + 32) ^ key3, mm__load64(p + 40) ^ state3);
    }
    state ^= (state2 ^ key2) ^ mm__fold(state3 ^ key3, mm__hash_a);
    for (; n > 16; p += 16, n -= 16)
        state = mm__fold(mm__load64(p) ^ key1, mm__load64(p + 8) ^ state);
    return state;
}

/* Seeded 64-bit hash of n bytes. Not cryptographic; the heap's seed is secret, so
   that nobody prepares keys that collide. Differs with the byte order. */
MM__PRIVATE uint64_t mm__hash_bytes(uint64_t seed, const void *data, size_t n)
{
    const unsigned char *p = (const unsigned char *)data;
    uint64_t word[2], high, low, state = seed ^ mm__hash_a;
    if (MM__LIKELY(n <= 16)) {
        mm__load_short(p, n, word);
    } else {
        state = mm__hash_blocks(state, p, n);
        word[0] = mm__load64(p + n - 16);
        word[1] = mm__load64(p + n - 8);
    }
    mm__multiply(word[0] ^ seed ^ mm__hash_b, word[1] ^ state, &high, &low);
    return mm__fold(high ^ mm__hash_c, low ^ mm__hash_d ^ (uint64_t)n);
}

/* The hash of a content as strings remember it: never 0. */
MM__PRIVATE uint64_t mm__hash_text(const mm__heap *h, const char *text, size_t length)
{
    uint64_t hash = mm__hash_bytes(h->seed, text, length);
    return hash != 0 ? hash : 1;
}

MM__PRIVATE bool mm__same_bytes(const char *a, const char *b, size_t n)
{
    uint64_t x[2], y[2];
    if (n > 16) return memcmp(a, b, n) == 0;
    mm__load_short((const unsigned char *)a, n, x);
    mm__load_short((const unsigned char *)b, n, y);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

/* --- the type --- */

MM__PRIVATE void     mm__str_dispose(void *object);
MM__PRIVATE bool     mm__str_equal_hook(const void *a, const void *b);
MM__PRIVATE uint64_t mm__str_hash_hook(const void *object);

static mm_type mm__str_type = {
    "str", sizeof(mm_str), NULL, 0, MM_TYPE_IS_LEAF, NULL,
    NULL, mm__str_dispose, NULL, NULL, mm__str_equal_hook, mm__str_hash_hook, NULL,
    {0, 0, 0, 0, 0, 0, NULL, NULL, 0}};

/* --- the intern table --- */

MM__PRIVATE bool mm__is_alive(const void *object)
{
    return !(mm__header_of(object)->flags & MM__F_DEAD);
}

/* The entry with this content, dead or alive, or NULL. */
MM__PRIVATE mm__intern_entry *mm__intern_lookup(const mm__intern *table, uint64_t hash,
                                                const char *text, size_t length)
{
    size_t mask = table->capacity - 1, i;
    if (table->capacity == 0) return NULL;
    for (i = (size_t)hash & mask; table->entries[i].hash != 0; i = (i + 1) & mask) {
        mm__intern_entry *entry = &table->entries[i];
        if (entry->hash == hash && entry->str->length == length &&
            mm__same_bytes(entry->str->text, text, length))
            return entry;
    }
    return NULL;
}

/* Put an entry where it belongs: there must be room, and nothing equal. Keeps S2. */
MM__PRIVATE void mm__intern_place(mm__intern_entry *entries, size_t mask,
                                  mm__intern_entry entry)
{
    size_t i = (size_t)entry.hash & mask;
    while (entries[i].hash != 0) i = (i + 1) & mask;
    entries[i] = entry;
}

MM__PRIVATE void mm__intern_add(mm__intern *table, mm_str *s)
{
    mm__intern_entry entry;
    entry.hash = s->hash;
    entry.str = s;
    mm__intern_place(table->entries, table->capacity - 1, entry);
    table->count++;
    table->bytes += s->length;
    s->interned = 1;
}

/* Where s stands in the table, or SIZE_MAX. */
MM__PRIVATE size_t mm__intern_index(const mm__intern *table, const mm_str *s)
{
    size_t mask = table->capacity - 1, i;
    if (table->capacity == 0) return SIZE_MAX;
    for (i = (size_t)s->hash & mask; table->entries[i].hash != 0; i = (i + 1) & mask)
        if (table->entries[i].str == s) return i;
    return SIZE_MAX;
}

/* Empty an entry: those behind it that would be cut off from their home move up.
   Keeps S2 without allocating. */
MM__PRIVATE void mm__intern_close(mm__intern *table, size_t hole)
{
    mm__intern_entry *entries = table->entries;
    size_t mask = table->capacity - 1, i = hole;
    for (;;) {
        size_t home;
        i = (i + 1) & mask;
        if (entries[i].hash == 0) break;
        home = (size_t)entries[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        entries[hole] = entries[i];
        hole = i;
    }
    entries[hole].hash = 0;
    entries[hole].str = NULL;
}

/* Take s out, if it is in: it may have been replaced after its death. */
MM__PRIVATE void mm__intern_remove(mm__intern *table, mm_str *s)
{
    size_t i = mm__intern_index(table, s);
    s->interned = 0;
    if (i == SIZE_MAX) return;
    mm__intern_close(table, i);
    table->count--;
    table->bytes -= s->length;
}

/* Whether a table of this capacity has room for one more. */
MM__PRIVATE bool mm__intern_fits(size_t count, size_t capacity)
{
    return count + 1 <= capacity / 3 * 2;
}

MM__PRIVATE void mm__intern_move(mm__heap *h, mm__intern_entry *entries,
                                 size_t capacity)
{
    mm__intern *table = &h->intern;
    size_t i;
    memset(entries, 0, capacity * sizeof *entries);
    for (i = 0; i < table->capacity; i++)
        if (table->entries[i].hash != 0)
            mm__intern_place(entries, capacity - 1, table->entries[i]);
    mm_free(&h->front, table->entries);
    table->entries = entries;
    table->capacity = capacity;
}

/* Another size for the table. The allocation may change the table: if it no longer
   is as it was, the new one is dropped, and the caller looks again. */
MM__PRIVATE bool mm__intern_resize(mm__heap *h, size_t capacity)
{
    size_t old = h->intern.capacity;
    mm__intern_entry *entries;
    if (capacity > SIZE_MAX / sizeof *entries)
        return mm__fail(&h->front, MM_ERR_NOMEM, "intern: %zu entries", capacity);
    entries = (mm__intern_entry *)mm_alloc(&h->front, capacity * sizeof *entries);
    if (entries == NULL) return false;
    if (h->intern.capacity == old && mm__intern_fits(h->intern.count, capacity))
        mm__intern_move(h, entries, capacity);
    else
        mm_free(&h->front, entries);
    return true;
}

/* Room for one more entry, or false. After a wave of drops the table shrinks, here,
   where it may allocate; that it cannot is no reason to fail. */
MM__PRIVATE bool mm__intern_reserve(mm__heap *h)
{
    mm__intern *table = &h->intern;
    if (table->capacity > 16 * MM__INTERN_MIN && table->count < table->capacity / 16)
        (void)mm__intern_resize(h, table->capacity / 8);
    while (!mm__intern_fits(table->count, table->capacity)) {
        size_t capacity = 2 * table->capacity;
        if (capacity < MM__INTERN_MIN) capacity = MM__INTERN_MIN;
        if (!mm__intern_resize(h, capacity)) return false;
    }
    return true;
}

/* mm_intern_str for a string that is not in the table; its hash is known. */
MM__PRIVATE mm_str *mm__intern_enter(mm__heap *h, mm_str *s)
{
    mm__intern_entry *entry;
    if (!mm__intern_reserve(h)) return NULL;
    entry = mm__intern_lookup(&h->intern, s->hash, s->text, s->length);
    if (entry == NULL) {
        mm__intern_add(&h->intern, s);
    } else if (mm__is_alive(entry->str)) {
        mm_str *other = entry->str;
        mm_incref(other);
        mm_decref(s);
        return other;
    } else { /* keeps S3: the disposer of the dead one must not find an entry */
        entry->str->interned = 0;
        entry->str = s;
        s->interned = 1;
    }
    return s;
}

MM__PRIVATE mm_str *mm__intern_miss(mm__heap *h, const char *text, size_t length,
                                    uint64_t hash)
{
    mm_str *s = mm_str_new(&h->front, text, length), *result;
    if (s == NULL) return NULL;
    s->hash = hash;
    result = mm__intern_enter(h, s);
    if (result == NULL) {
        mm_decref(s);
        return NULL;
    }
    h->intern.misses++;
    return result;
}

/* For mm_heap_purge: an empty table needs no memory. Never allocates. */
MM__PRIVATE void mm__intern_purge(mm__heap *h)
{
    if (h->intern.count != 0 || h->intern.entries == NULL) return;
    mm_free(&h->front, h->intern.entries);
    h->intern.entries = NULL;
    h->intern.capacity = 0;
}

/* For mm_heap_destroy, before raw memory is reported as leaked: strings that are
   disposed of later find no entry, and that is fine. */
MM__PRIVATE void mm__intern_release(mm__heap *h)
{
    h->intern.count = h->intern.bytes = 0;
    mm__intern_purge(h);
}

/* --- the check --- */

MM__PRIVATE bool mm__check_str_entry(mm__heap *h, const mm__intern_entry *entry)
{
    const mm_str *s = entry->str;
    return s != NULL && s->interned == 1 && s->hash == entry->hash &&
           mm__hash_text(h, s->text, s->length) == s->hash &&
           mm__intern_lookup(&h->intern, s->hash, s->text, s->length) == entry;
}

MM__PRIVATE bool mm__check_str_table(mm__heap *h)
{
    const mm__intern *table = &h->intern;
    size_t i, count = 0, bytes = 0;
    bool good = true;
    for (i = 0; i < table->capacity; i++) {
        const mm__intern_entry *entry = &table->entries[i];
        if (entry->hash == 0) continue;
        count++;
        if (!mm__check_str_entry(h, entry)) {
            mm__log(h, MM_LOG_BUG, "intern: the entry of str %p breaks S2, S3 or S4",
                    (void *)entry->str);
            good = false;
        } else {
            bytes += entry->str->length;
        }
    }
    if (count == table->count && (!good || bytes == table->bytes)) return good;
    mm__log(h, MM_LOG_BUG, "intern: %zu strings of %zu bytes, counted %zu of %zu (S1)",
            table->count, table->bytes, count, bytes);
    return false;
}

MM__PRIVATE bool mm__check_str_block(const mm_block *block, void *user)
{
    const mm_str *s = (const mm_str *)block->address;
    const char *broken = NULL, *text;
    mm__heap *h;
    if (block->type != &mm__str_type) return true;
    h = mm__H(mm_heap_of(s));
    text = s->text;
    if (s->length >= block->size - offsetof(mm_str, text) || text[s->length] != 0)
        broken = "S5";
    else if (s->hash != 0 && s->hash != mm__hash_text(h, text, s->length))
        broken = "S4";
    else if (s->interned != 0 && mm__intern_index(&h->intern, s) == SIZE_MAX)
        broken = "S3";
    if (broken == NULL) return true;
    mm__log(h, MM_LOG_BUG, "str %p of %lu bytes breaks %s", (const void *)s,
            (unsigned long)s->length, broken);
    *(bool *)user = false;
    return true;
}

MM__PRIVATE bool mm__check_str(mm__heap *h)
{
    bool good = mm__check_str_table(h);
    (void)mm_heap_walk(&h->front, mm__check_str_block, &good);
    return good;
}

/* --- entry points --- */

MM_API mm_str *mm_str_new(mm_heap *heap, const char *text, size_t length)
{
    mm_str *s;
    if (length > (size_t)1 << 31) {
        mm__fail(heap, MM_ERR_OVERFLOW, "str: %zu bytes, at most 2 GiB", length);
        return NULL;
    }
    if (length < MM__STR_INLINE)
        s = (mm_str *)mm__new(heap, &mm__str_type, sizeof *s);
    else
        s = (mm_str *)mm_new_of_type(heap, &mm__str_type, length + 1 - MM__STR_INLINE);
    if (s == NULL) return NULL;
    s->length = (uint32_t)length;
    if (text != NULL && length != 0)
        memcpy((char *)s + offsetof(mm_str, text), text, length);
    return s;
}

MM_API mm_str *mm_str_format(mm_heap *heap, const char *format, ...)
{
    va_list args;
    int length;
    mm_str *s;
    va_start(args, format);
    length = MM__VSNPRINTF(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        mm__fail(heap, MM_ERR_VALUE, "str: cannot format \"%s\"", format);
        return NULL;
    }
    s = mm_str_new(heap, NULL, (size_t)length);
    if (s == NULL) return NULL;
    va_start(args, format);
    MM__VSNPRINTF((char *)s + offsetof(mm_str, text), (size_t)length + 1, format, args);
    va_end(args);
    return s;
}

MM_API uint64_t mm_str_hash(mm_str *s)
{
    if (s->hash == 0) s->hash = mm__hash_text(mm__H(mm_heap_of(s)), s->text, s->length);
    return s->hash;
}

MM_API bool mm_str_equal(const mm_str *a, const mm_str *b)
{
    if (a == b) return true;
    if (a == NULL || b == NULL || a->length != b->length) return false;
    return mm__same_bytes(a->text, b->text, a->length);
}

MM_API int mm_str_compare(const mm_str *a, const mm_str *b)
{
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->text, b->text, shorter);
    if (order != 0) return order;
    return (a->length > b->length) - (a->length < b->length);
}

MM__PRIVATE bool mm__str_equal_hook(const void *a, const void *b)
{
    return mm_str_equal((const mm_str *)a, (const mm_str *)b);
}

MM__PRIVATE uint64_t mm__str_hash_hook(const void *object)
{
    return mm_str_hash((mm_str *)(uintptr_t)object);
}

MM__PRIVATE void mm__str_dispose(void *object)
{
    mm_str *s = (mm_str *)object;
    if (s->interned != 0) mm__intern_remove(&mm__H(mm_heap_of(s))->intern, s);
}

MM_API mm_str *mm_intern_find(mm_heap *heap, const char *text, size_t length)
{
    mm__heap *h = mm__H(heap);
    mm__intern_entry *entry;
    if (text == NULL && length != 0) return NULL;
    entry = mm__intern_lookup(&h->intern, mm__hash_text(h, text, length), text, length);
    if (entry == NULL || !mm__is_alive(entry->str)) return NULL;
    mm_incref(entry->str);
    return entry->str;
}

MM_API mm_str *mm_intern(mm_heap *heap, const char *text, size_t length)
{
    mm__heap *h = mm__H(heap);
    mm__intern_entry *entry;
    uint64_t hash;
    if (text == NULL && length != 0) {
        mm__fail(heap, MM_ERR_VALUE, "intern: text is NULL, length is %zu", length);
        return NULL;
    }
    hash = mm__hash_text(h, text, length);
    entry = mm__intern_lookup(&h->intern, hash, text, length);
    if (entry == NULL || !mm__is_alive(entry->str))
        return mm__intern_miss(h, text, length, hash);
    h->intern.hits++;
    h->intern.saved_bytes += length;
    mm_incref(entry->str);
    return entry->str;
}

MM_API mm_str *mm_intern_str(mm_heap *heap, mm_str *s)
{
    if (s == NULL || mm_heap_of(s) != heap) {
        mm__fail(heap, MM_ERR_VALUE, "intern: str %p is not of this heap", (void *)s);
        return NULL;
    }
    if (s->interned != 0) return s;
    (void)mm_str_hash(s);
    return mm__intern_enter(mm__H(heap), s);
}

MM_API void mm_intern_get_stats(const mm_heap *heap, mm_intern_stats *out)
{
    const mm__intern *table = &((const mm__heap *)heap)->intern;
    out->strings = table->count;
    out->bytes = table->bytes;
    out->hits = table->hits;
    out->misses = table->misses;
    out->saved_bytes = table->saved_bytes;
    out->table_bytes = table->capacity * sizeof *table->entries;
}
/* ============================================================================
   >>bytes.impl   Byte buffers, views and spans

   A view refers to the buffer itself, never to another view: a slice of a slice
   keeps one object alive, not a chain. Buffers are leaf objects and a view refers
   to nothing else, so the collector needs to look at neither.

   Invariants
     B1  data of an mm_bytes ends with a NUL inside the object's block
     B2  base of a view is an mm_bytes or an mm_str, and data .. data + length lies
         inside its bytes; base is NULL only once the view is dead
   ============================================================================ */

/* Bytes of data that the struct itself has room for, the NUL included. */
#define MM__BYTES_INLINE (sizeof(mm_bytes) - offsetof(mm_bytes, data))

static mm_type mm__bytes_type = {
    "bytes", sizeof(mm_bytes), NULL, 0, MM_TYPE_IS_LEAF, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    {0, 0, 0, 0, 0, 0, NULL, NULL, 0}};

static const mm_slot mm__view_slots[] = {MM_REF(mm_view, base)};

static mm_type mm__view_type = {
    "view", sizeof(mm_view), mm__view_slots, 1, MM_TYPE_ACYCLIC, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    {0, 0, 0, 0, 0, 0, NULL, NULL, 0}};

MM__PRIVATE mm_span mm__span(const char *ptr, size_t len)
{
    mm_span span;
    span.ptr = ptr;
    span.len = len;
    return span;
}

/* The bytes of a buffer; ptr is NULL if it is none. */
MM__PRIVATE mm_span mm__buffer_span(const void *exporter)
{
    const mm_type *type = mm_type_of(exporter);
    if (type == &mm__bytes_type) return mm_bytes_span((const mm_bytes *)exporter);
    if (type == &mm__str_type) {
        const mm_str *s = (const mm_str *)exporter;
        return mm__span(s->text, s->length);
    }
    return mm__span(NULL, 0);
}

MM__PRIVATE bool mm__check_bytes_one(const mm_bytes *bytes, size_t size)
{
    const char *data = bytes->data;
    return bytes->length < size - offsetof(mm_bytes, data) && data[bytes->length] == 0;
}

MM__PRIVATE bool mm__check_view_one(const mm_view *view)
{
    mm_span span;
    size_t offset;
    if (view->base == NULL) return !mm__is_alive(view);
    span = mm__buffer_span(view->base);
    offset = (size_t)((uintptr_t)view->data - (uintptr_t)span.ptr);
    return span.ptr != NULL && offset <= span.len && view->length <= span.len - offset;
}

MM__PRIVATE bool mm__check_bytes_block(const mm_block *block, void *user)
{
    const char *broken = NULL;
    if (block->type == &mm__bytes_type) {
        if (!mm__check_bytes_one((const mm_bytes *)block->address, block->size))
            broken = "B1";
    } else if (block->type == &mm__view_type) {
        if (!mm__check_view_one((const mm_view *)block->address))
            broken = "B2";
    }
    if (broken == NULL) return true;
    mm__log(mm__H(mm_heap_of(block->address)), MM_LOG_BUG, "%s %p breaks %s",
            block->type->name, block->address, broken);
    *(bool *)user = false;
    return true;
}

MM__PRIVATE bool mm__check_bytes(mm__heap *h)
{
    bool good = true;
    (void)mm_heap_walk(&h->front, mm__check_bytes_block, &good);
    return good;
}

/* A position in Python's sense, as one of 0 .. length. */
MM__PRIVATE size_t mm__clamp_position(ptrdiff_t position, size_t length)
{
    if (position < 0) {
        size_t back = (size_t)0 - (size_t)position;
        return back < length ? length - back : 0;
    }
    return (size_t)position < length ? (size_t)position : length;
}

MM_API mm_span mm_span_of(const char *text)
{
    return mm__span(text, text == NULL ? 0 : strlen(text));
}

MM_API mm_span mm_span_slice(mm_span span, ptrdiff_t start, ptrdiff_t stop)
{
    size_t from = mm__clamp_position(start, span.len);
    size_t to = mm__clamp_position(stop, span.len);
    if (span.ptr == NULL) return span;
    return mm__span(span.ptr + from, to > from ? to - from : 0);
}

MM_API bool mm_span_equal(mm_span a, mm_span b)
{
    if (a.len != b.len) return false;
    return a.len == 0 || a.ptr == b.ptr || memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* memchr finds the candidates: fast on text, span.len * needle.len at worst. */
MM_API ptrdiff_t mm_span_find(mm_span span, mm_span needle)
{
    const char *at = span.ptr, *end;
    if (needle.len == 0) return 0;
    if (needle.len > span.len) return -1;
    end = span.ptr + (span.len - needle.len) + 1; /* a match starts before this */
    while (at < end) {
        at = (const char *)memchr(at, (unsigned char)needle.ptr[0], (size_t)(end - at));
        if (at == NULL) return -1;
        if (memcmp(at, needle.ptr, needle.len) == 0) return at - span.ptr;
        at++;
    }
    return -1;
}

MM_API mm_bytes *mm_bytes_new(mm_heap *heap, const void *data, size_t length)
{
    mm_bytes *bytes;
    if (length > (size_t)PTRDIFF_MAX - sizeof *bytes - sizeof(mm_header)) {
        mm__fail(heap, MM_ERR_OVERFLOW, "bytes: %zu bytes are too many", length);
        return NULL;
    }
    if (length < MM__BYTES_INLINE)
        bytes = (mm_bytes *)mm__new(heap, &mm__bytes_type, sizeof *bytes);
    else
        bytes = (mm_bytes *)mm_new_of_type(heap, &mm__bytes_type,
                                           length + 1 - MM__BYTES_INLINE);
    if (bytes == NULL) return NULL;
    bytes->length = length;
    if (data != NULL && length != 0)
        memcpy((char *)bytes + offsetof(mm_bytes, data), data, length);
    return bytes;
}

MM_API mm_span mm_bytes_span(const mm_bytes *bytes)
{
    return mm__span(bytes->data, bytes->length);
}

/* A view of a part of base, which is alive and a buffer. Keeps B2. */
MM__PRIVATE mm_view *mm__view_make(void *base, mm_span part)
{
    mm_view *view = (mm_view *)mm__new(mm_heap_of(base), &mm__view_type, sizeof *view);
    if (view == NULL) return NULL;
    mm_incref(base);
    view->base = base;
    view->data = part.ptr;
    view->length = part.len;
    return view;
}

MM_API mm_view *mm_view_new(void *exporter)
{
    mm_span all;
    if (exporter == NULL) {
        mm__fail(NULL, MM_ERR_VALUE, "view: the exporter is NULL");
        return NULL;
    }
    all = mm__buffer_span(exporter);
    if (all.ptr == NULL) {
        mm__fail(mm_heap_of(exporter), MM_ERR_TYPE, "view: %s %p has no buffer",
                 mm_type_name(exporter), exporter);
        return NULL;
    }
    return mm__view_make(exporter, all);
}

MM_API mm_view *mm_view_slice(const mm_view *view, ptrdiff_t start, ptrdiff_t stop)
{
    return mm__view_make(view->base, mm_span_slice(mm_view_span(view), start, stop));
}

MM_API mm_span mm_view_span(const mm_view *view)
{
    return mm__span(view->data, view->length);
}

MM_API bool mm_view_equal(const mm_view *a, const mm_view *b)
{
    if (a == NULL || b == NULL) return a == b;
    return mm_span_equal(mm_view_span(a), mm_view_span(b));
}
/* ============================================================================
   >>pool.impl   Object pools

   Idle items wait on a stack whose first entry is NULL, as in a cache of the heap
   (N1): the inline half pops and pushes. What it cannot do (zero, reset, managed
   types, debugging) makes a pool *guarded*: its front always looks empty and full,
   so that every call comes here.

      stack -> | NULL | item | item | item |      |      |
                                            ^ top         ^ limit

   The stack grows when an item is made, never when one comes back: a release, and
   the death of an object, need no memory. With debug >= 1 plain pools also keep a
   hash set of all their items, each marked idle or in use: one probe per call and
   at most 32 bytes per item, for which a double release and a foreign pointer are
   named at once. An object of a managed type carries its pool in the last 8 bytes
   of its block and comes back at the end of its death.

   Invariants
     P1  stack[0] is NULL; there are at most max_idle idle items, and room for as
         many of all the items as that
     P2  a guarded pool has front.top == front.limit == stack + 1 and counts its idle
         items; another has front.top == stack + 1 + idle
     P3  idle items are distinct and of this pool; items in use = items - idle
     P4  a checked pool's set holds exactly its items, marked as they are
     P5  a closed pool is managed, has no idle items, and lives until its last object
         in use dies
   ============================================================================ */

enum {
    MM__POOL_MAX_IDLE = 1024, /* when the description does not say                 */
    MM__POOL_STACK_MIN = 16,  /* entries of the smallest stack                     */
    MM__KNOWN_MIN = 32        /* entries of the smallest set                       */
};

#define MM__KNOWN_IDLE ((uintptr_t)1)

MM__NOINLINE size_t mm__pool_idle(const mm__pool *pool)
{
    return pool->guarded ? pool->idle : (size_t)(pool->front.top - pool->stack) - 1;
}

/* How many idle items there may be now; the stack has room for them. */
MM__PRIVATE size_t mm__pool_room(const mm__pool *pool)
{
    size_t most = pool->desc.max_idle;
    return pool->capacity < most ? pool->capacity : most;
}

/* Keeps P2. */
MM__RARE MM__PRIVATE void mm__pool_set_idle(mm__pool *pool, size_t idle)
{
    pool->idle = idle;
    pool->front.top = pool->stack + 1 + (pool->guarded ? 0 : idle);
    pool->front.limit = pool->stack + 1 + (pool->guarded ? 0 : mm__pool_room(pool));
}

MM__RARE MM__PRIVATE void mm__pool_push(mm__pool *pool, void *item)
{
    size_t idle = mm__pool_idle(pool);
    pool->stack[1 + idle] = item;
    mm__pool_set_idle(pool, idle + 1);
}

MM__PRIVATE void *mm__pool_pop(mm__pool *pool)
{
    size_t idle = mm__pool_idle(pool);
    mm__pool_set_idle(pool, idle - 1);
    return pool->stack[idle];
}

/* --- the set of a checked pool's items --- */

/* Where item stands, or the empty place where it would. */
MM__PRIVATE size_t mm__known_place(const uintptr_t *known, size_t capacity,
                                   uintptr_t item)
{
    size_t mask = capacity - 1;
    size_t i = (size_t)mm__fold((uint64_t)item ^ mm__hash_a, mm__hash_b) & mask;
    while (known[i] != 0 && (known[i] & ~MM__KNOWN_IDLE) != item) i = (i + 1) & mask;
    return i;
}

MM__RARE MM__PRIVATE void mm__known_put(uintptr_t *known, size_t capacity,
                                        uintptr_t mark)
{
    known[mm__known_place(known, capacity, mark & ~MM__KNOWN_IDLE)] = mark;
}

/* The mark of item: its address, and bit 0 if it is idle; NULL if it is foreign. */
MM__RARE MM__PRIVATE uintptr_t *mm__known_find(const mm__pool *pool, const void *item)
{
    uintptr_t address = (uintptr_t)item;
    size_t i;
    if (pool->known_capacity == 0 || (address & 15) != 0) return NULL;
    i = mm__known_place(pool->known, pool->known_capacity, address);
    return pool->known[i] != 0 ? &pool->known[i] : NULL;
}

MM__PRIVATE void mm__known_mark(const mm__pool *pool, void *item, bool idle)
{
    uintptr_t *mark = pool->checked ? mm__known_find(pool, item) : NULL;
    if (mark != NULL) *mark = (uintptr_t)item | (idle ? MM__KNOWN_IDLE : 0);
}

MM__PRIVATE void mm__known_add(mm__pool *pool, void *item)
{
    if (!pool->checked) return;
    mm__known_put(pool->known, pool->known_capacity, (uintptr_t)item);
}

/* Take an item out; those behind it are put in again, so that none is cut off. */
MM__PRIVATE void mm__known_remove(mm__pool *pool, const void *item)
{
    uintptr_t *mark = pool->checked ? mm__known_find(pool, item) : NULL;
    size_t mask = pool->known_capacity - 1, i;
    if (mark == NULL) return;
    *mark = 0;
    i = (size_t)(mark - pool->known);
    for (i = (i + 1) & mask; pool->known[i] != 0; i = (i + 1) & mask) {
        uintptr_t moved = pool->known[i];
        pool->known[i] = 0;
        mm__known_put(pool->known, pool->known_capacity, moved);
    }
}

/* Room for all items at half load, or false. The allocation may run user code that
   uses the pool: hence the loop. */
MM__PRIVATE bool mm__known_reserve(mm__pool *pool)
{
    while (pool->checked && pool->known_capacity / 2 < pool->items) {
        size_t old = pool->known_capacity, i;
        size_t capacity = old == 0 ? (size_t)MM__KNOWN_MIN : 2 * old;
        uintptr_t *known = (uintptr_t *)mm_calloc(pool->heap, capacity, sizeof *known);
        if (known == NULL) return false;
        if (pool->known_capacity != old) {
            mm_free(pool->heap, known);
            continue;
        }
        for (i = 0; i < old; i++)
            if (pool->known[i] != 0) mm__known_put(known, capacity, pool->known[i]);
        mm_free(pool->heap, pool->known);
        pool->known = known;
        pool->known_capacity = capacity;
    }
    return true;
}

/* --- making and ending items --- */

/* Room for all items on the stack, up to max_idle, or false. Keeps P1. */
MM__PRIVATE bool mm__pool_reserve(mm__pool *pool)
{
    while (pool->capacity < pool->items && pool->capacity < pool->desc.max_idle) {
        size_t capacity = pool->capacity == 0 ? (size_t)MM__POOL_STACK_MIN - 1
                                              : 2 * pool->capacity + 1;
        size_t old = pool->capacity, idle;
        void **stack = (void **)mm_alloc(pool->heap, (capacity + 1) * sizeof *stack);
        if (stack == NULL) return false;
        if (pool->capacity != old) {
            mm_free(pool->heap, stack);
            continue;
        }
        idle = mm__pool_idle(pool);
        memcpy(stack, pool->stack, (1 + idle) * sizeof *stack);
        if (pool->stack != &pool->nothing) mm_free(pool->heap, pool->stack);
        pool->stack = stack;
        pool->capacity = capacity;
        mm__pool_set_idle(pool, idle);
    }
    return true;
}

/* The pool that an object with MM__F_POOLED comes from. */
MM__PRIVATE mm__pool *mm__pool_of(void *object)
{
    mm__pool *pool;
    memcpy(&pool, (char *)object + mm_usable_size(object) - 8, sizeof pool);
    return pool;
}

MM__PRIVATE void mm__pool_claim(void *object)
{
    mm_header *header = mm__header_of(object);
    header->flags = (uint8_t)(header->flags | MM__F_POOLED);
}

/* An idle object is dead to everybody: no count, no weak get, no walk. */
MM__RARE MM__PRIVATE void mm__pool_rest(void *object)
{
    mm_header *header = mm__header_of(object);
    mm__gone(header);
    header->flags = (uint8_t)(header->flags | MM__F_DEAD);
    mm__object_hide(mm__H(mm_heap_of(object)), object, true);
}

MM__PRIVATE void *mm__pool_make_object(mm__pool *pool)
{
    void *object = mm_new_of_type(pool->heap, pool->desc.type, 8);
    if (object == NULL) return NULL;
    memcpy((char *)object + mm_usable_size(object) - 8, &pool, sizeof pool);
    mm__pool_claim(object);
    return object;
}

/* A new item, counted as in use. It is counted before it is made: what allocating
   runs may acquire too, and must see it against max. */
MM__PRIVATE void *mm__pool_make(mm__pool *pool)
{
    void *item = NULL;
    pool->items++;
    if (mm__pool_reserve(pool) && mm__known_reserve(pool)) {
        if (pool->desc.type != NULL)
            item = mm__pool_make_object(pool);
        else
            item = mm_alloc(pool->heap, pool->desc.item_size);
    }
    if (item != NULL)
        mm__known_add(pool, item);
    else
        pool->items--;
    return item;
}

/* The end of a plain item, or of an object that is idle. */
MM__RARE MM__PRIVATE void mm__pool_discard(mm__pool *pool, void *item)
{
    if (pool->items > 0) pool->items--; /* 0: a double release, undetected so far */
    if (pool->desc.type != NULL) {
        mm__object_discard(mm__H(pool->heap), item);
    } else {
        mm__known_remove(pool, item);
        mm_free_sized(pool->heap, item, pool->desc.item_size);
    }
}

/* --- the check --- */

/* Order of the idle items means nothing: sort them in place, equal ones meet. */
MM__PRIVATE void mm__pool_sort_idle(mm__pool *pool)
{
    size_t idle = mm__pool_idle(pool), gap, i, j;
    void **items = pool->stack + 1;
    for (gap = idle / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
        for (i = gap; i < idle; i++) {
            void *item = items[i];
            for (j = i; j >= gap; j -= gap) {
                if ((uintptr_t)items[j - gap] <= (uintptr_t)item) break;
                items[j] = items[j - gap];
            }
            items[j] = item;
        }
    }
}

MM__PRIVATE bool mm__check_pool_item(mm__pool *pool, void *item)
{
    const uintptr_t *mark;
    if (item == NULL) return false;
    if (pool->desc.type != NULL) return mm__pool_of(item) == pool;
    if (pool->checked) {
        mark = mm__known_find(pool, item);
        return mark != NULL && (*mark & MM__KNOWN_IDLE) != 0;
    }
    return mm_heap_owns(pool->heap, item) && mm_heap_of(item) == pool->heap &&
           mm_usable_size(item) >= pool->desc.item_size;
}

/* P3: a plain pool learns here of a double release and of a foreign pointer. */
MM__PRIVATE bool mm__check_pool_idle(mm__pool *pool)
{
    size_t idle = mm__pool_idle(pool), i;
    bool good = true;
    mm__pool_sort_idle(pool);
    for (i = 1; i <= idle; i++) {
        void *item = pool->stack[i];
        const char *what = NULL;
        if (i > 1 && item == pool->stack[i - 1])
            what = "was released twice";
        else if (!mm__check_pool_item(pool, item))
            what = "is not an idle item of it";
        if (what == NULL) continue;
        mm__log(mm__H(pool->heap), MM_LOG_BUG, "pool %p of %zu bytes: %p %s (P3)",
                (void *)pool, pool->desc.item_size, item, what);
        good = false;
    }
    return good;
}

/* P4, but for the marks of idle items, which P3 looks at. */
MM__PRIVATE bool mm__check_pool_known(const mm__pool *pool)
{
    size_t i, items = 0, idle = 0;
    if (!pool->checked) return pool->known == NULL;
    for (i = 0; i < pool->known_capacity; i++) {
        uintptr_t mark = pool->known[i];
        if (mark != 0) items++;
        if ((mark & MM__KNOWN_IDLE) != 0) idle++;
        if (mark != 0 && mm__known_find(pool, (void *)(mark & ~MM__KNOWN_IDLE)) == NULL)
            return false;
    }
    return items == pool->items && idle == mm__pool_idle(pool);
}

/* The number of the invariant a pool breaks, or 0. */
MM__PRIVATE int mm__check_pool_one(mm__pool *pool)
{
    size_t idle = mm__pool_idle(pool);
    size_t most = pool->desc.max_idle < pool->items ? pool->desc.max_idle : pool->items;
    if (pool->stack[0] != NULL || idle > mm__pool_room(pool) || pool->capacity < most)
        return 1;
    if (pool->guarded &&
        (pool->front.top != pool->stack + 1 || pool->front.limit != pool->front.top))
        return 2;
    if (!mm__check_pool_idle(pool) || idle > pool->items) return 3;
    if (!mm__check_pool_known(pool)) return 4;
    if (!pool->closed) return 0;
    return pool->desc.type != NULL && idle == 0 && pool->items > 0 ? 0 : 5;
}

MM__PRIVATE bool mm__check_pool(mm__heap *h)
{
    mm__pool *pool;
    bool good = true;
    for (pool = h->pools; pool != NULL; pool = pool->next) {
        int broken = mm__check_pool_one(pool);
        bool linked = pool->next == NULL || pool->next->previous == pool;
        if (broken == 0 && linked) continue;
        mm__log(h, MM_LOG_BUG, "pool %p breaks P%d, or the list of pools is broken",
                (void *)pool, broken);
        good = false;
    }
    return good;
}

/* --- create and destroy --- */

MM__PRIVATE void mm__pool_link(mm__pool *pool)
{
    mm__heap *h = mm__H(pool->heap);
    pool->next = h->pools;
    if (pool->next != NULL) pool->next->previous = pool;
    h->pools = pool;
}

/* The memory of the pool itself; its items are gone or no longer its own. */
MM__RARE MM__PRIVATE void mm__pool_end(mm__pool *pool)
{
    if (pool->previous != NULL)
        pool->previous->next = pool->next;
    else
        mm__H(pool->heap)->pools = pool->next;
    if (pool->next != NULL) pool->next->previous = pool->previous;
    if (pool->stack != &pool->nothing) mm_free(pool->heap, pool->stack);
    mm_free(pool->heap, pool->known);
    mm_free(pool->heap, pool);
}

/* At the very end of an object's death: true if the pool keeps its memory. */
MM__PRIVATE bool mm__pool_take_back(mm__heap *h, void *object)
{
    mm__pool *pool;
    if (h->pools == NULL) return false; /* the heap is being destroyed */
    pool = mm__pool_of(object);
    if (!pool->closed && mm__pool_idle(pool) < mm__pool_room(pool)) {
        if (pool->desc.reset != NULL) pool->desc.reset(object, pool->desc.user);
        mm__pool_rest(object);
        mm__pool_push(pool, object);
        return true;
    }
    pool->items--;
    if (pool->closed && pool->items == 0) mm__pool_end(pool);
    return false;
}

/* For mm_heap_destroy: end all pools. Objects in use then are the heap's alone. */
MM__PRIVATE void mm__pools_release(mm__heap *h)
{
    while (h->pools != NULL) {
        mm__pool *pool = h->pools;
        mm_pool_shrink(&pool->front, 0);
        mm__pool_end(pool);
    }
}

MM__PRIVATE bool mm__pool_prefill(mm__pool *pool)
{
    size_t i;
    for (i = 0; i < pool->desc.prefill; i++) {
        void *item = mm__pool_make(pool);
        if (item == NULL) return false;
        if (pool->desc.type != NULL) {
            mm__object_retire(mm__H(pool->heap), item);
            mm__pool_rest(item);
        }
        mm__known_mark(pool, item, true);
        mm__pool_push(pool, item);
    }
    return true;
}

MM__PRIVATE bool mm__pool_check_desc(mm_heap *heap, const mm_pool_desc *desc)
{
    const char *name = desc->type == NULL ? "NULL" : desc->type->name;
    if ((desc->item_size != 0) == (desc->type != NULL))
        return mm__fail(heap, MM_ERR_VALUE,
                        "pool: item_size is %zu and type is %s; give exactly one",
                        desc->item_size, name);
    if ((desc->max != 0 && desc->prefill > desc->max) ||
        (desc->max_idle != 0 && desc->prefill > desc->max_idle))
        return mm__fail(heap, MM_ERR_VALUE,
                        "pool: prefill %zu is above max %zu or max_idle %zu",
                        desc->prefill, desc->max, desc->max_idle);
    return desc->type == NULL || mm_type_register(heap, desc->type) == MM_OK;
}

MM__PRIVATE void mm__pool_set_up(mm__pool *pool, mm_heap *heap,
                                 const mm_pool_desc *desc)
{
    size_t most = desc->max_idle;
    memset(pool, 0, sizeof *pool);
    if (most == 0) most = MM__POOL_MAX_IDLE;
    if (most < desc->prefill) most = desc->prefill;
    pool->desc = *desc;
    pool->desc.max_idle = most;
    pool->heap = heap;
    pool->checked = mm__H(heap)->debug >= 1 && desc->type == NULL;
    pool->guarded = pool->checked || desc->zero || desc->reset != NULL;
    if (desc->type != NULL) pool->guarded = true;
    pool->stack = &pool->nothing;
    mm__pool_set_idle(pool, 0);
}

MM_API mm_pool *mm_pool_create(mm_heap *heap, const mm_pool_desc *desc)
{
    mm__pool *pool;
    if (!mm__pool_check_desc(heap, desc)) return NULL;
    pool = (mm__pool *)mm_alloc(heap, sizeof *pool);
    if (pool == NULL) return NULL;
    mm__pool_set_up(pool, heap, desc);
    mm__pool_link(pool);
    if (mm__pool_prefill(pool)) return &pool->front;
    mm_pool_destroy(&pool->front);
    return NULL;
}

MM_API void mm_pool_destroy(mm_pool *front)
{
    mm__pool *pool = (mm__pool *)front;
    if (pool == NULL) return;
    mm_pool_shrink(front, 0);
    pool->closed = pool->desc.type != NULL && pool->items > 0; /* keeps P5 */
    if (!pool->closed) mm__pool_end(pool);
}

/* --- acquire and release --- */

MM__PRIVATE void *mm__pool_reuse(mm__pool *pool)
{
    void *item = mm__pool_pop(pool);
    if (pool->desc.type != NULL) {
        memset(item, 0, pool->desc.type->size);
        mm__object_revive(mm__H(pool->heap), pool->desc.type, item);
        mm__pool_claim(item);
    } else {
        mm__known_mark(pool, item, false);
    }
    return item;
}

MM_API void *mm__pool_acquire_slow(mm_pool *front)
{
    mm__pool *pool = (mm__pool *)front;
    bool hit = mm__pool_idle(pool) > 0;
    void *item = NULL;
    if (hit) {
        item = mm__pool_reuse(pool);
    } else if (pool->desc.max != 0 && pool->items >= pool->desc.max) {
        pool->refused++;
        mm__fail(pool->heap, MM_ERR_LIMIT, "pool %p: all %zu items are in use",
                 (void *)pool, pool->items);
    } else {
        item = mm__pool_make(pool);
    }
    if (item == NULL) return NULL;
    front->acquires++;
    if (!hit) pool->misses++;
    if (pool->desc.zero && pool->desc.type == NULL)
        memset(item, 0, pool->desc.item_size);
    return item;
}

/* Whether a checked pool may take item back; logs the caller's bug if not. */
MM__PRIVATE bool mm__pool_may_release(const mm__pool *pool, void *item)
{
    const uintptr_t *mark = mm__known_find(pool, item);
    if (mark != NULL && (*mark & MM__KNOWN_IDLE) == 0) return true;
    mm__bug(mm__H(pool->heap),
            mark != NULL ? "pool %p of %zu bytes: %p was released before"
                         : "pool %p of %zu bytes: %p is not an item of it",
            (const void *)pool, pool->desc.item_size, item);
    return false;
}

MM_API void mm__pool_release_slow(mm_pool *front, void *item)
{
    mm__pool *pool = (mm__pool *)front;
    if (item == NULL) return;
    if (pool->desc.type != NULL) {
        mm_decref(item);
        return;
    }
    if (pool->checked && !mm__pool_may_release(pool, item)) return;
    if (pool->desc.reset != NULL) pool->desc.reset(item, pool->desc.user);
    if (mm__pool_idle(pool) < mm__pool_room(pool)) {
        mm__known_mark(pool, item, true);
        mm__pool_push(pool, item);
    } else {
        mm__pool_discard(pool, item);
    }
}

/* The lowest entries go: the top ones are warm. */
MM__RARE MM_API size_t mm_pool_shrink(mm_pool *front, size_t keep)
{
    mm__pool *pool = (mm__pool *)front;
    size_t idle = mm__pool_idle(pool), gone, i;
    if (idle <= keep) return 0;
    gone = idle - keep;
    for (i = 1; i <= gone; i++) mm__pool_discard(pool, pool->stack[i]);
    memmove(pool->stack + 1, pool->stack + 1 + gone, keep * sizeof *pool->stack);
    mm__pool_set_idle(pool, keep);
    return gone;
}

MM_API void mm_pool_get_stats(const mm_pool *front, mm_pool_stats *out)
{
    const mm__pool *pool = (const mm__pool *)front;
    out->idle = mm__pool_idle(pool);
    out->in_use = pool->items > out->idle ? pool->items - out->idle : 0;
    out->hits = front->acquires - pool->misses;
    out->misses = pool->misses;
    out->refused = pool->refused;
}
/* ============================================================================
   >>heap.impl   Heaps

   Invariants
     H1  every byte of heap->reserved is in an arena, a huge block or a side table
     H2  a heap that could not be created completely is given back completely
   ============================================================================ */

MM__PRIVATE size_t mm__slots_size(void)
{
    size_t n = 2; /* of cache 0: the sentinel, and a place that is never used */
    for (unsigned i = 1; i < MM__CACHES; i++)
        n += mm__class_capacity(mm__class_size((i - 1) % MM__CLASSES + 1)) + 1;
    return n * sizeof(void *);
}

MM__PRIVATE void mm__caches_init(mm__heap *h)
{
    void **slot = (void **)(void *)((char *)h + mm__round_up(sizeof *h, 64));
    h->front.cache[0].top = h->front.cache[0].limit = slot + 1;
    h->klass[0].base = slot + 1;
    slot += 2;
    for (unsigned i = 1; i < MM__CACHES; i++) {
        mm__class *k = &h->klass[i];
        mm__class_init(k, i);
        k->base = slot + 1;
        h->front.cache[i].top = k->base;
        h->front.cache[i].limit = h->cached ? k->base + k->capacity : k->base;
        slot += k->capacity + 1;
    }
}

/* The heap struct inside the caller's buffer, and a bitmap of the pages after it. */
MM__PRIVATE mm__heap *mm__heap_in_buffer(const mm_heap_desc *desc, size_t size)
{
    size_t start = mm__round_up((size_t)desc->buffer, 64);
    size_t end = (size_t)desc->buffer + desc->buffer_size;
    size_t bitmap = desc->buffer_size / MM__PAGE / 8 + 8;
    size_t first = mm__round_up(start + size + bitmap, MM__PAGE);
    size_t need = mm__round_up(first, MM__ARENA_SIZE) + MM__ARENA_SIZE;
    mm__heap *h = (mm__heap *)start;
    if (end < need || end < (size_t)desc->buffer) {
        mm__fail(NULL, MM_ERR_NOMEM,
                 "a buffer of %zu bytes at %p is too small: at this address %zu are "
                 "needed%s", desc->buffer_size, desc->buffer,
                 need - (size_t)desc->buffer,
                 MEMMGR_SMALL ? "" : " (far fewer with MEMMGR_SMALL)");
        return NULL;
    }
    memset(h, 0, size + bitmap);
    h->buffer_pages = (uint64_t *)mm__round_up(start + size, 8);
    h->buffer_start = (char *)first;
    h->buffer_count = (end - first) / MM__PAGE;
    return h;
}

MM__PRIVATE mm__heap *mm__heap_place(const mm_heap_desc *desc, size_t size)
{
    mm__heap *h;
    if (desc->max_bytes && size > desc->max_bytes) {
        mm__fail(NULL, MM_ERR_LIMIT, "max_bytes %zu is less than the heap itself: %zu",
                 desc->max_bytes, size);
        return NULL;
    }
    if (desc->buffer) return mm__heap_in_buffer(desc, mm__round_up(size, 64));
    h = (mm__heap *)(desc->map ? desc->map(size, MM__PAGE, desc->user)
                               : mm__os_map(size, MM__PAGE));
    if (h == NULL)
        mm__fail(NULL, MM_ERR_NOMEM, "%s has no %zu bytes for a heap",
                 desc->map ? "the map hook" : "the system", size);
    return h;
}

MM__PRIVATE void mm__heap_configure(mm__heap *h, const mm_heap_desc *desc)
{
    static const int thresholds[3] = {700, 10, 10};
    h->desc = *desc;
    h->owner = mm__thread_id();
    h->debug = desc->debug;
    h->sink = MM__LIVE;
    h->valgrind = MM__VG_RUNNING;
    h->nowhere[0].handle = UINT64_C(1) << 32;
    mm__handles_show(h);
    h->zone = desc->debug >= 2 || MM__ASAN || h->valgrind ? 16 : 0;
    h->front.checked = h->debug || h->zone;
    h->cached = !h->debug && !h->zone && !desc->gc_stress;
    h->seed = desc->hash_seed ? desc->hash_seed : mm__random_seed(h);
    if (h->desc.quarantine_bytes == 0) h->desc.quarantine_bytes = (size_t)1 << 20;
    h->gc.pause_us = desc->gc_pause_us ? desc->gc_pause_us : 100;
    h->gc.enabled = !desc->gc_disable;
    for (int i = 0; i < 3; i++) {
        int t = desc->gc_threshold[i];
        h->gc.threshold[i] = t > 0 ? t : thresholds[i];
    }
    if (h->buffer_pages) mm__buffer_mark(h, 0, h->buffer_count, true);
    mm__caches_init(h);
    mm__gc_credit_set(h, 0);
}

MM__PRIVATE bool mm__desc_valid(const mm_heap_desc *desc)
{
    if ((desc->map == NULL) != (desc->unmap == NULL))
        return mm__fail(NULL, MM_ERR_VALUE, "mm_heap_desc has %s without %s",
                        desc->map ? "map" : "unmap", desc->map ? "unmap" : "map");
    if (desc->buffer && desc->map)
        return mm__fail(NULL, MM_ERR_VALUE, "mm_heap_desc has a buffer and a map hook");
    if (desc->debug < 0 || desc->debug > 3)
        return mm__fail(NULL, MM_ERR_VALUE, "mm_heap_desc.debug is %d, not 0 to 3",
                        desc->debug);
    if ((unsigned)desc->huge_pages > (unsigned)MM_HUGE_ON)
        return mm__fail(NULL, MM_ERR_VALUE, "mm_heap_desc.huge_pages is %d",
                        (int)desc->huge_pages);
    return true;
}

MM__RARE MM_API mm_heap *mm__heap_create(const mm_heap_desc *desc, uint64_t config)
{
    mm_heap_desc defaults;
    mm__heap    *h;
    size_t size = mm__round_up(sizeof *h, 64) + mm__slots_size();
    memset(&defaults, 0, sizeof defaults);
    if (desc == NULL) desc = &defaults;
    if (config != MM__CONFIG) {
        mm__fail(NULL, MM_ERR_STATE,
                 "this file and the one with MEMMGR_IMPLEMENTATION were compiled with "
                 "different versions or options of memmgr.h (%#llx and %#llx)",
                 (unsigned long long)config, (unsigned long long)MM__CONFIG);
        return NULL;
    }
    if (!mm__desc_valid(desc)) return NULL;
    size = mm__round_up(size, MM__PAGE);
    h = mm__heap_place(desc, size);
    if (h == NULL) return NULL;
    h->self_size = size;
    h->reserved = h->reserved_peak = desc->buffer ? 0 : size;
    mm__heap_configure(h, desc);
    MM__ROOT_REGION(h, size);
    return &h->front;
}

/* -- every block -- */

typedef bool (*mm__block_fn)(mm__heap *h, void *block, mm_block_kind kind,
                             void *context);

MM__RARE MM__PRIVATE bool mm__each_block_of(mm__heap *h, mm__arena *arena,
                                            mm__bpool *pool, mm__block_fn fn,
                                            void *context)
{
    size_t words = mm__pool_words(pool);
    for (size_t w = 0; w < words; w++) {
        uint64_t mask = ~mm__table(pool, MM__FREE)[w] & mm__valid_bits(pool, w);
        for (; mask; mask &= mask - 1) {
            size_t i = w * 64 + mm__ctz(mask);
            mm_block_kind kind = mm__kind_of(h, arena, pool, i);
            char *block = pool->blocks + i * pool->size;
            if (pool->cache == 0 && kind != MM_BLOCK_RAW) block += 8;
            if (!fn(h, block, kind, context)) return false;
        }
    }
    return true;
}

/* fn may free the block it is given. */
MM__RARE MM__PRIVATE bool mm__each_block(mm__heap *h, mm__block_fn fn, void *context)
{
    mm__flush_all(h);
    for (uint32_t a = 0; a < h->arena_count; a++) {
        mm__arena *arena = h->arenas[a];
        uint32_t   units = MM__UNITS;
        if (arena == NULL) continue;
        if (arena->head.kind == MM__KIND_HUGE) units = 1;
        for (uint32_t u = 0; u < units && h->arenas[a] == arena; u++)
            if (!mm__each_block_of(h, arena, &arena->pool[u], fn, context))
                return false;
    }
    return true;
}

/* The user's pointer of a block; NULL: it is freed, but held back. */
MM__RARE MM__PRIVATE void *mm__block_user(const mm__heap *h, void *block,
                                          mm_block_kind kind)
{
    char *p = (char *)block;
    if (kind == MM_BLOCK_RAW) return h->zone ? mm__debug_user(h, block) : block;
    p += h->zone + sizeof(mm_header);
    return mm__header_of(p)->flags & MM__F_DEAD ? NULL : p;
}

/* -- statistics -- */

MM__PRIVATE size_t mm__class_live(const mm__heap *h, unsigned i)
{
    const mm__class *k = &h->klass[i];
    return (size_t)(k->pools * k->blocks - k->free_blocks - k->hidden) -
           (size_t)(h->front.cache[i].top - k->base);
}

MM_API void mm_heap_get_stats(mm_heap *heap, mm_heap_stats *out)
{
    mm__heap *h = mm__H(heap);
    memset(out, 0, sizeof *out);
    mm__aged_flush(h);
    for (unsigned i = 1; i < MM__CACHES; i++) {
        const mm__class *k = &h->klass[i];
        size_t live = mm__class_live(h, i);
        out->live_blocks += live;
        out->live_bytes += live * k->size;
        out->cached_blocks += (size_t)(h->front.cache[i].top - k->base);
        out->pools += (size_t)k->pools;
        out->used_bytes += (size_t)k->pools * k->span * MM__POOL_SIZE;
        if (k->kind != MM_BLOCK_RAW) out->objects += live;
        if (k->kind == MM_BLOCK_TRACKED) out->tracked += live;
    }
    for (int kind = 0; kind < 3; kind++) {
        out->live_blocks += h->run_count[kind];
        out->live_bytes += h->run_bytes[kind];
        out->used_bytes += h->run_bytes[kind];
        if (kind != MM_BLOCK_RAW) out->objects += h->run_count[kind];
    }
    out->tracked += h->run_count[MM_BLOCK_TRACKED];
    out->peak_bytes = h->peak_bytes;
    out->reserved_bytes = h->reserved;
    out->reserved_peak = h->reserved_peak;
    out->arenas = h->arena_total;
    out->huge_blocks = h->huge_count;
    if (out->used_bytes)
        out->fragmentation = 1.0 - (double)out->live_bytes / (double)out->used_bytes;
}

MM_API bool mm_heap_get_class_stats(mm_heap *heap, size_t i, mm_class_stats *out)
{
    mm__heap *h = mm__H(heap);
    memset(out, 0, sizeof *out);
    mm__aged_flush(h);
    if (i >= MM__CACHES + 2) return false;
    if (i >= MM__CACHES - 1) {
        out->kind = (mm_block_kind)(i - (MM__CACHES - 1));
        out->live_blocks = h->run_count[out->kind];
        out->peak_blocks = h->run_peak[out->kind];
        return true;
    }
    out->block_size = h->klass[i + 1].size;
    out->kind = (mm_block_kind)h->klass[i + 1].kind;
    out->live_blocks = mm__class_live(h, (unsigned)i + 1);
    out->peak_blocks = (size_t)h->klass[i + 1].peak;
    out->cached_blocks = (size_t)(h->front.cache[i + 1].top - h->klass[i + 1].base);
    out->pools = (size_t)h->klass[i + 1].pools;
    return true;
}

typedef struct mm__type_tally { size_t *objects, *bytes; } mm__type_tally;

MM__PRIVATE bool mm__tally_type(mm__heap *h, void *block, mm_block_kind kind,
                                void *context)
{
    mm__type_tally *tally = (mm__type_tally *)context;
    void *object = kind == MM_BLOCK_RAW ? NULL : mm__block_user(h, block, kind);
    if (object == NULL) return true;
    tally->objects[mm__header_of(object)->type]++;
    tally->bytes[mm__header_of(object)->type] += mm__block_room(block);
    return true;
}

MM_API size_t mm_heap_get_type_stats(mm_heap *heap, mm_type_stats *out, size_t capacity)
{
    mm__heap *h = mm__H(heap);
    size_t    types = mm__type_count + 1u, found = 0, size = types * 2 * sizeof(size_t);
    size_t   *table = (size_t *)mm__obtain(h, size, MM__PAGE);
    mm__type_tally tally;
    if (table == NULL) return SIZE_MAX;
    tally.objects = table;
    tally.bytes = table + types;
    mm__each_block(h, mm__tally_type, &tally);
    for (size_t id = 1; id < types; id++) {
        size_t at = found < capacity ? found : capacity;
        mm_type_stats one;
        if (tally.objects[id] == 0) continue;
        one.type = mm__type_at((unsigned)id);
        one.objects = tally.objects[id];
        one.bytes = tally.bytes[id];
        for (; at > 0 && out[at - 1].bytes < one.bytes; at--)
            if (at < capacity) out[at] = out[at - 1];
        if (at < capacity) out[at] = one;
        found++;
    }
    mm__give_back(h, table, size);
    return found;
}

typedef struct mm__walker {
    bool (*visit)(const mm_block *block, void *user);
    void *user;
} mm__walker;

MM__PRIVATE bool mm__walk_block(mm__heap *h, void *block, mm_block_kind kind,
                                void *context)
{
    mm__walker *walker = (mm__walker *)context;
    mm_block    b;
    memset(&b, 0, sizeof b);
    b.address = mm__block_user(h, block, kind);
    if (b.address == NULL || (kind != MM_BLOCK_RAW && !mm__found(b.address)))
        return true;
    b.size = mm_usable_size(b.address);
    b.kind = kind;
    b.generation = -1;
    b.huge = mm__A(block)->head.kind == MM__KIND_HUGE;
    if (kind != MM_BLOCK_RAW) {
        b.type = mm_type_of(b.address);
        b.refcount = mm_refcount(b.address);
        b.generation = mm_gc_generation_of(b.address);
    }
    return walker->visit(&b, walker->user);
}

MM_API bool mm_heap_walk(mm_heap *heap,
                         bool (*visit)(const mm_block *block, void *user), void *user)
{
    mm__walker walker = {visit, user};
    return mm__each_block(mm__H(heap), mm__walk_block, &walker);
}

MM_API bool mm_heap_owns(mm_heap *heap, const void *p)
{
    mm__heap  *h = mm__H(heap);
    mm__arena *arena = p ? mm__arena_find(h, p) : NULL;
    mm_block_kind kind = MM_BLOCK_RAW;
    char      *block;
    if (arena == NULL) { /* the tail of a huge block is beyond its first arena */
        for (uint32_t a = 0; a < h->arena_count; a++) {
            arena = h->arenas[a];
            if (arena && arena->head.kind == MM__KIND_HUGE && p &&
                !arena->huge_bits[0] && (const char *)p >= arena->block &&
                (const char *)p < arena->block + arena->block_size)
                return mm__block_user(h, arena->block + mm__huge_shift(arena),
                                      arena->block_kind) != NULL;
        }
        return false;
    }
    mm__flush_all(h);
    block = mm__block_start(h, p, &kind);
    return block && mm__block_user(h, block, kind);
}

MM__RARE MM_API size_t mm_usable_size(const void *p)
{
    const mm__heap *h = mm__H(mm_heap_of(p));
    return h->zone ? mm__debug_size(h, p) : mm__block_room(p);
}

#if defined(_WIN32)
MM_API bool mm_process_memory(size_t *resident, size_t *virtual_size)
{
    PROCESS_MEMORY_COUNTERS now;
    *resident = *virtual_size = 0;
    if (!GetProcessMemoryInfo(GetCurrentProcess(), &now, sizeof now)) return false;
    *resident = now.WorkingSetSize;
    *virtual_size = now.PagefileUsage; /* committed, which excludes shared files */
    if (*virtual_size < *resident) *virtual_size = *resident;
    return true;
}
#else
MM_API bool mm_process_memory(size_t *resident, size_t *virtual_size)
{
    unsigned long pages = 0, in_core = 0;
    FILE *f;
    *resident = *virtual_size = 0;
    f = fopen("/proc/self/statm", "r");
    if (f == NULL) return false;
    if (fscanf(f, "%lu %lu", &pages, &in_core) != 2) in_core = 0;
    fclose(f);
    *virtual_size = pages * MM__PAGE;
    *resident = in_core * MM__PAGE;
    return in_core != 0;
}
#endif

/* -- purge -- */

MM__RARE MM__PRIVATE size_t mm__discard_free_pages(mm__heap *h, mm__arena *arena)
{
    size_t bytes = 0;
    if (h->desc.buffer || h->desc.map || h->zone) return 0;
    for (size_t i = arena->first_unit * MM__UNIT_PAGES; i < MM__PAGES;) {
        size_t n = mm__pages_from(arena, i, MM__PAGES), k;
        for (k = 0; k < n; k++)
            if (!(arena->clean[(i + k) / 64] >> ((i + k) % 64) & 1)) bytes += MM__PAGE;
        if (n) mm__os_discard((char *)arena + i * MM__PAGE, n * MM__PAGE);
        i += n + 1;
    }
    memcpy(arena->clean, arena->pages, sizeof arena->clean);
    return bytes;
}

MM_API size_t mm_heap_purge(mm_heap *heap)
{
    mm__heap *h = mm__H(heap);
    size_t    before = h->reserved, bytes = 0;
    mm__flush_all(h);
    if (!h->busy.collecting) {
        for (mm__bpool *pool = h->gc.young_pools; pool; pool = pool->next_young)
            for (size_t w = 0; w < mm__pool_words(pool); w++)
                mm__table(pool, MM__YOUNG0)[w] &= ~mm__table(pool, MM__FREE)[w];
        mm__young_tidy(h);
    }
    mm__intern_purge(h);
    mm__purge_classes(h);
    mm__spares_delete(h);
    mm__leave_all(h);
    for (uint32_t a = 0; a < h->arena_count; a++)
        if (h->arenas[a] && h->arenas[a]->head.kind != MM__KIND_HUGE)
            bytes += mm__discard_free_pages(h, h->arenas[a]);
    return bytes + (before - h->reserved);
}

/* -- destroy -- */

typedef struct mm__leaks { mm_leak *leak; size_t held; } mm__leaks;

MM__RARE MM__PRIVATE void mm__uncount_visit(void *child, void *context)
{
    mm_header *header = mm__header_of(child);
    (void)context;
    if (mm__count(header) > 0) header->rc--;
}

/* Leave in each count the references from outside. */
MM__RARE MM__PRIVATE bool mm__uncount_block(mm__heap *h, void *block,
                                            mm_block_kind kind, void *context)
{
    void *object = kind == MM_BLOCK_RAW ? NULL : mm__block_user(h, block, kind);
    (void)context;
    if (object) mm__visit_refs(object, mm_type_of(object), mm__uncount_visit, NULL);
    return true;
}

/* What was asked for, where that is known, and the header. */
MM__PRIVATE size_t mm__block_bytes(const mm__heap *h, const char *block,
                                   mm_block_kind kind)
{
    size_t header = kind == MM_BLOCK_RAW ? 0 : sizeof(mm_header);
    return h->zone ? mm__record_size(block) + header : mm__block_room(block);
}

MM__RARE MM__PRIVATE bool mm__leak_block(mm__heap *h, void *block, mm_block_kind kind,
                                void *context)
{
    mm__leaks *leaks = (mm__leaks *)context;
    void      *object = kind == MM_BLOCK_RAW ? NULL : mm__block_user(h, block, kind);
    int64_t    rc;
    mm_leak   *leak;
    if (object == NULL || mm__is_immortal(object)) return true;
    rc = mm_refcount(object);
    leaks->held += rc > 0;
    if (rc && h->zone) mm__twin_end((char *)block, true);
    if (leaks->leak == NULL) return true;
    leak = &leaks->leak[mm__header_of(object)->type];
    if (leak->objects == 0 || (rc && leak->held == 0)) leak->example = object;
    leak->objects++;
    leak->bytes += mm__block_bytes(h, (char *)block, kind);
    leak->held += rc > 0;
    leak->refs += (uint64_t)rc;
    return true;
}

MM__PRIVATE void mm__leak_tell(mm__heap *h, mm_leak *leak)
{
    if (leak->objects == 0) return;
    if (h->desc.leak)
        h->desc.leak(leak, h->desc.user);
    else
        mm__log(
            h, MM_LOG_WARNING,
            "leak: %zu of %s (%zu bytes) at mm_heap_destroy; %zu held by %llu outside "
            "references, e.g. %p",
            leak->objects, leak->type_name, leak->bytes, leak->held,
            (unsigned long long)leak->refs, leak->example);
}

/* Count and report what is held from outside. The counts are of no use after. */
MM__PRIVATE size_t mm__leaks_report(mm__heap *h)
{
    size_t    types = mm__type_count + 1u, size = types * sizeof(mm_leak);
    mm__leaks leaks;
    leaks.held = 0;
    h->desc.max_bytes = 0;
    leaks.leak = (mm_leak *)mm__obtain(h, size, MM__PAGE);
    mm__each_block(h, mm__uncount_block, NULL);
    mm__each_block(h, mm__leak_block, &leaks);
    for (size_t id = 1; leaks.leak && leaks.held && id < types; id++) {
        leaks.leak[id].type_name = mm__type_at((unsigned)id)->name;
        mm__leak_tell(h, &leaks.leak[id]);
    }
    if (leaks.leak) mm__give_back(h, leaks.leak, size);
    return leaks.held;
}

MM__RARE MM__PRIVATE bool mm__seal_block(mm__heap *h, void *block, mm_block_kind kind,
                                void *context)
{
    void *object = kind == MM_BLOCK_RAW ? NULL : mm__block_user(h, block, kind);
    (void)context;
    if (object == NULL) return true;
    if (mm__header_of(object)->flags & MM__F_WEAK) mm__weak_silence(h, object);
    mm__header_of(object)->flags |= MM__F_TRASH;
    mm__count_set(mm__header_of(object), 1);
    return true;
}

MM__RARE MM__PRIVATE bool mm__end_block(mm__heap *h, void *block, mm_block_kind kind,
                               void *context)
{
    void *object = kind == MM_BLOCK_RAW ? NULL : mm__block_user(h, block, kind);
    const mm_type *type;
    (void)context;
    if (object == NULL) return true;
    type = mm_type_of(object);
    h->dying_budget = SIZE_MAX;
    h->busy.deferring = true;
    mm__drop_slots(h, object, type);
    mm__dispose(h, object, type);
    h->busy.deferring = false;
    mm__vg(h, MM__VG_FREE, object, 0);
    return true;
}

MM__RARE MM__PRIVATE bool mm__raw_leak_block(mm__heap *h, void *block,
                                             mm_block_kind kind, void *context)
{
    mm_leak *leak = (mm_leak *)context;
    void    *p = kind == MM_BLOCK_RAW ? mm__block_user(h, block, kind) : NULL;
    if (p == NULL) return true;
    leak->objects++;
    leak->bytes += mm__block_bytes(h, (char *)block, kind);
    leak->held++;
    leak->refs++;
    if (leak->example == NULL) leak->example = p;
    if (h->zone) mm__twin_end((char *)block, true);
    mm__vg(h, MM__VG_FREE, p, 0);
    return true;
}

MM__RARE MM__PRIVATE void mm__heap_unmap(mm__heap *h)
{
    mm_heap_desc desc = h->desc;
    size_t       size = h->self_size;
    mm__leave_all(h);
    for (uint32_t a = h->arena_count; a-- > 0;)
        if (h->arenas[a]) {
            mm__arena *arena = h->arenas[a];
            MM__UNPOISON(arena, arena->size);
            MM__ROOT_REGION_END(arena, arena->size);
            mm__give_back(h, arena, arena->size);
        }
    if (h->arena_capacity)
        mm__give_back(h, h->arenas, h->arena_capacity * sizeof *h->arenas);
    if (h->weak.capacity)
        mm__give_back(h, h->weak.entry, h->weak.capacity * sizeof *h->weak.entry);
    if (h->weak.place_capacity)
        mm__give_back(h, h->weak.places,
                      h->weak.place_capacity * sizeof(mm__place));
    if (h->gc.garbage_capacity)
        mm__give_back(h, h->gc.garbage, h->gc.garbage_capacity * sizeof(void *));
    if (h->gc.callback_capacity)
        mm__give_back(h, h->gc.callback,
                      h->gc.callback_capacity * sizeof *h->gc.callback);
    if (h->held_capacity)
        mm__give_back(h, h->held, h->held_capacity * sizeof *h->held);
    mm__stack_free(h, &h->gc.old.marks);
    mm__stack_free(h, &h->gc.young.marks);
    mm__stack_free(h, &h->gc.old.large);
    MM__ROOT_REGION_END(h, size);
    if (desc.buffer) {
        mm__vg(h, MM__VG_UNDEFINED, desc.buffer, desc.buffer_size);
        return;
    }
    if (desc.unmap)
        desc.unmap(h, size, desc.user);
    else
        mm__os_unmap(h, size);
}

/* All that runs user code, and the collections. */
MM__PRIVATE void mm__heap_quiesce(mm__heap *h)
{
    mm__finalizers_at_exit(h);
    mm_gc_clear_garbage(&h->front);
    h->gc.debug &= ~MM_GC_DEBUG_SAVEALL;
    mm_gc_unfreeze(&h->front);
    mm__drain_all(h);
    for (int round = 0; round < 4 && mm__collect_full(h); round++) mm__drain_all(h);
}

MM__RARE MM_API size_t mm_heap_destroy(mm_heap *heap)
{
    mm__heap *h = mm__H(heap);
    mm_leak   raw;
    size_t    held;
    if (heap == NULL) return 0;
    if (h->busy.collecting || h->dying_depth) {
        mm__bug(h, "mm_heap_destroy of %p from inside its own finalizer or callback",
                (void *)heap);
        return 0;
    }
    mm__heap_quiesce(h);
    h->destroying = true;
    h->gc.enabled = false;
    h->busy.collecting = true;
    held = mm__leaks_report(h);
    mm__pools_release(h);
    mm__intern_release(h);
    mm__each_block(h, mm__seal_block, NULL);
    mm__each_block(h, mm__end_block, NULL);
    mm__quarantine_end(h);
    memset(&raw, 0, sizeof raw);
    raw.type_name = "raw memory";
    mm__each_block(h, mm__raw_leak_block, &raw);
    mm__leak_tell(h, &raw);
    mm__twins_free(h);
    mm__heap_unmap(h);
    return held;
}

/* ============================================================================
   >>diagnose.impl   Who holds this, printable cycles, audit

   All three begin with a census: every object gets a number, and the references to
   it are counted. Side tables only; the heap is not changed.

   Invariants
     Q1  a pointer that is not in the census is printed, never followed
   ============================================================================ */

typedef struct mm__person {
    void    *object;
    uint64_t in_edges;
    size_t   via;      /* on the way to it, plus 1; 0: not reached, or a start      */
    bool     reached;
} mm__person;

typedef struct mm__census {
    mm__heap   *heap;
    mm__ds      ds;
    mm__map     number;
    mm__person *person;
    size_t     *queue;
    size_t      at;       /* whose references are being visited                     */
    size_t      found;    /* SIZE_MAX: not yet                                      */
    const void *target;
    size_t      failed;   /* of the audit                                           */
    bool        ok;       /* memory sufficed                                        */
    mm_write_fn write;
    void       *user;
} mm__census;

MM__PRIVATE void *mm__ds_memory(void *user, void *p, size_t old_size, size_t size)
{
    mm__heap *h = (mm__heap *)user;
    void     *q = NULL;
    if (size) {
        q = mm__obtain(h, size, MM__PAGE);
        if (q == NULL) return NULL;
        if (p) memcpy(q, p, old_size < size ? old_size : size);
    }
    if (p) mm__give_back(h, p, old_size);
    return q;
}

MM__PRIVATE void mm__census_open(mm__census *c, mm__heap *h)
{
    memset(c, 0, sizeof *c);
    c->heap = h;
    c->ds.resize = mm__ds_memory;
    c->ds.user = h;
    c->ds.seed = h->seed;
    c->number.ds = &c->ds;
    c->found = SIZE_MAX;
    c->ok = true;
}

MM__PRIVATE void mm__census_close(mm__census *c)
{
    mm__map_free(&c->number);
    mm__vec_free(&c->person);
    mm__vec_free(&c->queue);
}

MM__PRIVATE mm__person *mm__person_of(const mm__census *c, const void *object)
{
    uint64_t i;
    if (!mm__map_get(&c->number, (uint64_t)(uintptr_t)object, &i)) return NULL;
    return &c->person[i];
}

MM__PRIVATE mm__person *mm__census_add(mm__census *c, void *object)
{
    mm__person one;
    memset(&one, 0, sizeof one);
    one.object = object;
    if (!MM__VEC_PUSH(&c->ds, c->person, one) ||
        !mm__map_put(&c->number, (uint64_t)(uintptr_t)object,
                     mm__vec_len(c->person) - 1)) {
        c->ok = false;
        return NULL;
    }
    return &c->person[mm__vec_len(c->person) - 1];
}

MM__PRIVATE bool mm__census_block(mm__heap *h, void *block, mm_block_kind kind,
                                  void *context)
{
    mm__census *c = (mm__census *)context;
    void *object = kind == MM_BLOCK_RAW ? NULL : mm__block_user(h, block, kind);
    return object == NULL || mm__census_add(c, object) != NULL;
}

MM__PRIVATE void mm__census_edge(void *child, void *context)
{
    mm__person *person = mm__person_of((mm__census *)context, child);
    if (person) person->in_edges++;
}

MM__PRIVATE bool mm__census_take(mm__census *c, mm__heap *h)
{
    mm__census_open(c, h);
    mm__each_block(h, mm__census_block, c);
    for (size_t i = 0; c->ok && i < mm__vec_len(c->person); i++) {
        void *object = c->person[i].object;
        mm__visit_refs(object, mm_type_of(object), mm__census_edge, c);
    }
    return c->ok;
}

/* References from outside; negative: the count is too low. */
MM__PRIVATE int64_t mm__outside_refs(const mm__person *person)
{
    if (mm__is_immortal(person->object)) return 1;
    return mm_refcount(person->object) - (int64_t)person->in_edges;
}

MM__COLD void mm__write(const mm__census *c, const char *format, ...) MM__PRINTF(2, 3);

MM__COLD void mm__write(const mm__census *c, const char *format, ...)
{
    char    text[320];
    va_list args;
    int     n;
    va_start(args, format);
    n = MM__VSNPRINTF(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || c->write == NULL) return;
    c->write(c->user, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* -- breadth first -- */

MM__PRIVATE void mm__search_push(mm__census *c, mm__person *person, size_t via)
{
    size_t i = (size_t)(person - c->person);
    if (person->reached) return;
    person->reached = true;
    person->via = via;
    if (!MM__VEC_PUSH(&c->ds, c->queue, i)) c->ok = false;
}

MM__PRIVATE void mm__search_edge(void *child, void *context)
{
    mm__census *c = (mm__census *)context;
    mm__person *person = mm__person_of(c, child);
    if (person == NULL) return;
    if (child == c->target && c->found == SIZE_MAX) {
        c->found = c->at;
        if (!person->reached) person->via = c->at + 1;
    }
    mm__search_push(c, person, c->at + 1);
}

/* Until the target was referred to by something in the queue. */
MM__PRIVATE void mm__search(mm__census *c)
{
    for (size_t i = 0; c->ok && c->found == SIZE_MAX && i < mm__vec_len(c->queue);
         i++) {
        void *object;
        c->at = c->queue[i];
        object = c->person[c->at].object;
        mm__visit_refs(object, mm_type_of(object), mm__search_edge, c);
    }
}

/* The field of `from` that holds `to`, as text. */
MM__PRIVATE void mm__field_text(void *from, const void *to, char *text, size_t size)
{
    const mm_type *type = mm_type_of(from);
    for (uint32_t s = 0; s < type->mm__.all_count; s++) {
        const mm_slot *slot = &type->mm__.all_slots[s];
        size_t n;
        char  *at = mm__slot_refs(from, slot, &n);
        for (size_t i = 0; i < n; i++, at += sizeof(void *)) {
            if (mm__load(at) != to) continue;
            if (slot->kind == MM_SLOT_ONE)
                MM__SNPRINTF(text, size, ".%s", slot->name);
            else
                MM__SNPRINTF(text, size, ".%s[%zu]", slot->name, i);
            return;
        }
    }
    MM__SNPRINTF(text, size, ".(traverse)");
}

/* Turn the way to person i round, so that it leads from its start. Returns that. */
MM__PRIVATE size_t mm__way_reverse(mm__census *c, size_t i)
{
    size_t after = 0, at = i + 1;
    while (at) {
        size_t before = c->person[at - 1].via;
        c->person[at - 1].via = after;
        after = at;
        at = before;
    }
    return after - 1;
}

MM__PRIVATE void mm__write_person(mm__census *c, const mm__person *person, bool outside)
{
    mm__write(c, "%s %p", mm_type_name(person->object), person->object);
    if (outside && mm__is_immortal(person->object))
        mm__write(c, " (immortal)");
    else if (outside && mm__outside_refs(person) > 0)
        mm__write(c, " (held by %lld outside reference%s)",
                  (long long)mm__outside_refs(person),
                  mm__outside_refs(person) == 1 ? "" : "s");
}

/* The chain that ends with person i, the start first. Returns its length. */
MM__PRIVATE size_t mm__write_chain(mm__census *c, size_t i, bool outside)
{
    size_t at = mm__way_reverse(c, i), n = 1;
    mm__write_person(c, &c->person[at], outside);
    while (c->person[at].via) {
        char  field[160];
        void *from = c->person[at].object;
        at = c->person[at].via - 1;
        mm__field_text(from, c->person[at].object, field, sizeof field);
        mm__write(c, n % 4 ? " %s -> " : " %s\n    -> ", field);
        mm__write_person(c, &c->person[at], outside && n == 0);
        n++;
    }
    mm__write(c, " ");
    return n;
}

MM_API size_t mm_report_holders(void *object, mm_write_fn write, void *user)
{
    mm__heap  *h;
    mm__census c;
    size_t     n = 0;
    if (object == NULL) return 0;
    h = mm__H(mm_heap_of(object));
    if (mm__census_take(&c, h)) {
        mm__person *target = mm__person_of(&c, object);
        c.write = write;
        c.user = user;
        c.target = object;
        if (target && mm__outside_refs(target) > 0) {
            n = mm__write_chain(&c, (size_t)(target - c.person), true);
        } else {
            for (size_t i = 0; c.ok && i < mm__vec_len(c.person); i++)
                if (mm__outside_refs(&c.person[i]) > 0)
                    mm__search_push(&c, &c.person[i], 0);
            mm__search(&c);
            if (c.found != SIZE_MAX)
                n = mm__write_chain(&c, (size_t)(target - c.person), true);
        }
        if (n) mm__write(&c, "\n");
    }
    if (!c.ok) n = SIZE_MAX;
    mm__census_close(&c);
    return n;
}

MM_API size_t mm_report_cycle(void *object, mm_write_fn write, void *user)
{
    mm__heap  *h;
    mm__census c;
    size_t     n = 0;
    if (object == NULL) return 0;
    h = mm__H(mm_heap_of(object));
    if (mm__census_take(&c, h)) {
        mm__person *start = mm__person_of(&c, object);
        char        field[160];
        c.write = write;
        c.user = user;
        c.target = object;
        if (start) mm__search_push(&c, start, 0);
        mm__search(&c);
        if (c.found != SIZE_MAX) {
            n = mm__write_chain(&c, c.found, false);
            mm__field_text(c.person[c.found].object, object, field, sizeof field);
            mm__write(&c, "%s -> %s %p\n", field, mm_type_name(object), object);
        }
    }
    if (!c.ok) n = SIZE_MAX;
    mm__census_close(&c);
    return n;
}

/* -- audit -- */

MM__PRIVATE void mm__audit_ref(mm__census *c, void *from, const mm_slot *slot, size_t i,
                               void *child)
{
    const char *name = slot ? slot->name : "(traverse)";
    if (child == NULL) return;
    if (mm__person_of(c, child) == NULL) {
        c->failed++;
        mm__write(c, "%s %p: slot %s[%zu] holds %p, which is not a live object of this "
                  "heap\n", mm_type_name(from), from, name, i, child);
    } else if (slot && slot->type && !mm__is(child, slot->type)) {
        c->failed++;
        mm__write(c, "%s %p: slot %s[%zu] holds %s %p, but is declared for %s\n",
                  mm_type_name(from), from, name, i, mm_type_name(child), child,
                  slot->type->name);
    }
}

MM__PRIVATE void mm__audit_visit(void *child, void *context)
{
    mm__census *c = (mm__census *)context;
    mm__audit_ref(c, c->person[c->at].object, NULL, 0, child);
}

MM__PRIVATE void mm__audit_person(mm__census *c, mm__person *person)
{
    void          *object = person->object;
    const mm_type *type = mm_type_of(object);
    size_t         before = c->failed;
    for (uint32_t s = 0; s < type->mm__.all_count; s++) {
        const mm_slot *slot = &type->mm__.all_slots[s];
        size_t n;
        char  *at = mm__slot_refs(object, slot, &n);
        for (size_t i = 0; i < n; i++)
            mm__audit_ref(c, object, slot, i, mm__load(at + i * sizeof(void *)));
    }
    if (type->traverse) type->traverse(object, mm__audit_visit, c);
    if (mm__outside_refs(person) < 0) {
        c->failed++;
        mm__write(c,
                  "%s %p: its count is %lld, but %llu references to it exist: it would "
                  "be freed while in use\n",
                  type->name, object, (long long)mm_refcount(object),
                  (unsigned long long)person->in_edges);
    }
    if (c->failed > before + 1) c->failed = before + 1; /* objects are counted */
}

MM_API size_t mm_audit(mm_heap *heap, mm_write_fn write, void *user)
{
    mm__census c;
    size_t     failed = SIZE_MAX;
    if (mm__census_take(&c, mm__H(heap))) {
        c.write = write;
        c.user = user;
        for (c.at = 0; c.at < mm__vec_len(c.person); c.at++)
            mm__audit_person(&c, &c.person[c.at]);
        failed = c.failed;
    }
    mm__census_close(&c);
    return failed;
}

MM_API bool mm_audit_held(void *object, uint64_t outside, mm_write_fn write, void *user)
{
    mm__census  c;
    mm__person *person;
    bool        ok = false;
    if (object == NULL) return outside == 0;
    if (mm__census_take(&c, mm__H(mm_heap_of(object)))) {
        person = mm__person_of(&c, object);
        c.write = write;
        c.user = user;
        ok = person && mm__outside_refs(person) == (int64_t)outside;
        if (!ok && person)
            mm__write(&c, "%s %p is held by %lld references from outside, not %llu\n",
                      mm_type_name(object), object, (long long)mm__outside_refs(person),
                      (unsigned long long)outside);
    }
    mm__census_close(&c);
    return ok;
}

/* -- sizes -- */

MM__PRIVATE void mm__reach_visit(void *child, void *context)
{
    mm__census *c = (mm__census *)context;
    if (c->ok && mm__person_of(c, child) == NULL) mm__census_add(c, child);
}

MM_API size_t mm_sizeof_deep(const void *object)
{
    mm__census c;
    size_t     bytes = 0;
    if (object == NULL) return 0;
    mm__census_open(&c, mm__H(mm_heap_of(object)));
    mm__census_add(&c, (void *)(uintptr_t)object);
    for (size_t i = 0; c.ok && i < mm__vec_len(c.person); i++) {
        void *p = c.person[i].object;
        bytes += mm_sizeof(p);
        mm__visit_refs(p, mm_type_of(p), mm__reach_visit, &c);
    }
    if (!c.ok) bytes = SIZE_MAX;
    mm__census_close(&c);
    return bytes;
}

/* ============================================================================
   >>check   All invariants

   mm_heap_check runs the check of every room and goes on after a violation.
   ============================================================================ */

/* A2, A3, A4. */
MM__PRIVATE bool mm__check_bpool(mm__heap *h, const mm__bpool *pool)
{
    bool   ok = true;
    size_t words = mm__pool_words(pool);
    uint32_t free_bits = 0;
    for (size_t w = 0; w < words; w++) {
        uint64_t word = mm__table(pool, MM__FREE)[w];
        free_bits += mm__popcount(word);
        if (word & ~mm__valid_bits(pool, w)) ok = mm__broken(h, "A2", pool->blocks);
        if (pool->cache && (pool->sum >> w & 1) != (word != 0))
            ok = mm__broken(h, "A3", pool->blocks);
    }
    if (free_bits != pool->free) ok = mm__broken(h, "A3", pool->blocks);
    if (pool->cache && pool->queued != (pool->free > 0))
        ok = mm__broken(h, "A4", pool->blocks);
    return ok;
}

/* A6, D6, G1, G4, G6 for one word of a tracked pool. */
MM__PRIVATE bool mm__check_tracked_word(mm__heap *h, mm__bpool *pool, size_t w,
                                        void *context)
{
    uint64_t used = ~mm__table(pool, MM__FREE)[w] & mm__valid_bits(pool, w);
    uint64_t y0 = mm__table(pool, MM__YOUNG0)[w], y1 = mm__table(pool, MM__YOUNG1)[w];
    uint64_t suspect = mm__table(pool, MM__SUSPECT)[w];
    uint64_t frozen = mm__table(pool, MM__FROZEN)[w];
    const uint8_t *bytes = mm__bytes(pool, w);
    bool *ok = (bool *)context;
    if (y0 & y1 & used) *ok = mm__broken(h, "A6", pool->blocks);
    if (y1 & ~used) *ok = mm__broken(h, "A6", pool->blocks);
    if (((y0 | y1) & used) && !(pool->young && (pool->young_sum >> w & 1)))
        *ok = mm__broken(h, "A7", pool->blocks);
    if (h->busy.collecting) return true;
    for (uint64_t mask = used; mask; mask &= mask - 1) {
        unsigned i = mm__ctz(mask);
        void    *object = mm__object_at(h, pool, w * 64 + i);
        mm_header *header = mm__header_of(object);
        bool young = y0 >> i & 1, quiet = header->gc & MM__GC_QUIET;
        if (!h->busy.trial && bytes[i] != 0)
            *ok = mm__broken(h, "G1", object);
        if (header->flags & MM__F_DEAD) continue;
        if (young != !(header->gc & MM__GC_OLD)) *ok = mm__broken(h, "G4", object);
        if (!young && quiet && !((suspect | frozen) >> i & 1))
            *ok = mm__broken(h, "G6", object);
        if (quiet && (int32_t)header->rc < MM__RC_QUIET)
            *ok = mm__broken(h, "D6", object);
    }
    return true;
}

MM__PRIVATE bool mm__check_arenas(mm__heap *h)
{
    bool   ok = true;
    size_t bytes = 0;
    for (uint32_t a = 0; a < h->arena_count; a++) {
        mm__arena *arena = h->arenas[a];
        size_t     pages = 0;
        if (arena == NULL) continue;
        bytes += arena->size;
        if (arena->index != a || arena->head.heap != &h->front)
            ok = mm__broken(h, "A1", arena);
        if (arena->head.kind == MM__KIND_HUGE) continue;
        for (size_t i = 0; i < MM__PAGES; i++) pages += mm__page_free(arena, i);
        if (pages != arena->free_pages) ok = mm__broken(h, "A5", arena);
        if (arena->listed != (pages > 0 && h->spare[arena->head.kind] != arena))
            ok = mm__broken(h, "A5", arena);
        for (uint32_t u = arena->first_unit; u < MM__UNITS; u++) {
            mm__bpool *pool = &arena->pool[u];
            if (pool->count && !mm__check_bpool(h, pool)) ok = false;
            if (pool->count && arena->head.cache[u] != pool->cache)
                ok = mm__broken(h, "A1", pool->blocks);
        }
    }
    return bytes <= h->reserved ? ok : mm__broken(h, "H1", h);
}

/* Zones of every block (debug >= 2). */
MM__PRIVATE bool mm__check_zones(mm__heap *h, void *block, mm_block_kind kind,
                                 void *context)
{
    if (mm__block_user(h, block, kind) &&
        !mm__zones_intact(h, (char *)block, kind, "mm_heap_check"))
        *(bool *)context = false;
    return true;
}

MM_API bool mm_heap_check(mm_heap *heap)
{
    mm__heap *h = mm__H(heap);
    bool      ok;
    mm__flush_all(h);
    ok = mm__check_arenas(h);
    mm__each_word(h, mm__check_tracked_word, &ok);
    if (!mm__check_weak(h)) ok = false;
    if (!mm__check_str(h)) ok = false;
    if (!mm__check_bytes(h)) ok = false;
    if (!mm__check_pool(h)) ok = false;
    if (h->zone) mm__each_block(h, mm__check_zones, &ok);
    for (size_t i = 0; i < h->held_count; i++)
        if (!mm__held_intact(h, h->held[(h->held_first + i) % h->held_capacity]))
            ok = false;
    return ok;
}

/* ============================================================================
   >>leave   The private macros of the implementation end here
   ============================================================================ */

#undef MM__AGED
#undef MM__AHEAD
#undef MM__ASAN
#undef MM__BYTES_INLINE
#undef MM__BYTES_TRIGGER
#undef MM__CACHE_MAX
#undef MM__CACHE_MIN
#undef MM__CHUNK_HEAD
#undef MM__CLOCK_VISITS
#undef MM__CLOSURE_LEAST
#undef MM__CLOSURE_MOST
#undef MM__CLOSURE_SEEDS
#undef MM__COLD
#undef MM__DEATHS
#undef MM__DEATH_DEPTH
#undef MM__FAR
#undef MM__FEW_SUSPECTS
#undef MM__ALWAYS_INLINE
#undef MM__HELD_CARE
#undef MM__HOT
#undef MM__HUGE_HEADER
#undef MM__IMMORTAL
#undef MM__INVARIANT
#undef MM__INVARIANT_DEEP
#undef MM__KNOWN_IDLE
#undef MM__LINK_SHIFT
#undef MM__LITTLE_ENDIAN
#undef MM__LEAVE_PART
#undef MM__LIVE
#undef MM__LOW_CLOSURE
#undef MM__LOW_YOUNG
#undef MM__MAP_ANONYMOUS
#undef MM__NOINLINE
#undef MM__NO_ASAN
#undef MM__OS_PARTS
#undef MM__OUTER
#undef MM__OUTLINE
#undef MM__PAGE
#undef MM__PAGES
#undef MM__PART
#undef MM__PLAIN
#undef MM__SCATTER
#undef MM__SNPRINTF
#undef MM__VSNPRINTF
#undef MM__LINKED
#undef MM__POISON
#undef MM__POOL_SIZE
#undef MM__PREFETCH
#undef MM__PREFETCH_WRITE
#undef MM__PRIVATE
#undef MM__RECORD_FREED
#undef MM__RECORD_SHIFT
#undef MM__RARE
#undef MM__RC_QUIET
#undef MM__REACHED
#undef MM__REFILL
#undef MM__REFS_CARE
#undef MM__REGION_CHECK
#undef MM__BAD_ACCESS
#undef MM__ROOTS
#undef MM__ROOT_REGION
#undef MM__ROOT_REGION_END
#undef MM__ROOT_TABLE
#undef MM__RUN_KIND
#undef MM__RUN_MAX
#undef MM__RUN_PAGES
#undef MM__SATURATED
#undef MM__SLICED_COUNT1
#undef MM__SLICE_ALLOCATIONS
#undef MM__SLICE_VISITS
#undef MM__SMALL_MAX
#undef MM__STACK_AHEAD
#undef MM__STEP_YOUNG
#undef MM__STR_INLINE
#undef MM__TYPE_MAX
#undef MM__UNIT_PAGES
#undef MM__UNLIKELY
#undef MM__UNPOISON
#undef MM__VEC_PUSH
#undef MM__VG_ALLOC
#undef MM__VG_DEFINED
#undef MM__VG_FREE
#undef MM__VG_NOACCESS
#undef MM__VG_RUNNING
#undef MM__VG_TELL
#undef MM__VG_UNDEFINED
#undef MM__WORDS
#undef MM__WORD_VISITS
#undef MM__ZONE
#endif /* MEMMGR_IMPLEMENTATION */

#if defined(MEMMGR_STATIC) && defined(__GNUC__) && !defined(MEMMGR_LEFT)
#define MEMMGR_LEFT
#pragma GCC diagnostic pop
#endif

/* ============================================================================
   >>licence

   This software is available under two licences: choose the one you prefer.

   ---------------------------------------------------------------------------
   ALTERNATIVE A - MIT License

   Copyright (c) 2026 the memmgr.h developers

   Permission is hereby granted, free of charge, to any person obtaining a copy
   of this software and associated documentation files (the "Software"), to deal
   in the Software without restriction, including without limitation the rights
   to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
   copies of the Software, and to permit persons to whom the Software is
   furnished to do so, subject to the following conditions:

   The above copyright notice and this permission notice shall be included in
   all copies or substantial portions of the Software.

   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
   FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
   AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
   LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
   OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
   SOFTWARE.

   ---------------------------------------------------------------------------
   ALTERNATIVE B - Public domain (www.unlicense.org)

   This is free and unencumbered software released into the public domain.

   Anyone is free to copy, modify, publish, use, compile, sell, or distribute
   this software, either in source code form or as a compiled binary, for any
   purpose, commercial or non-commercial, and by any means.

   In jurisdictions that recognize copyright laws, the author or authors of this
   software dedicate any and all copyright interest in the software to the
   public domain. We make this dedication for the benefit of the public at large
   and to the detriment of our heirs and successors. We intend this dedication
   to be an overt act of relinquishment in perpetuity of all present and future
   rights to this software under copyright law.

   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
   FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
   AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN
   ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION
   WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
   ============================================================================ */
