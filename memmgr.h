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
     >>platform   OS memory, threads, sanitizers      >>ds   private stb_ds
     >>class      size classes                        >>arena  arenas and pools
     >>leave      private macros end here             >>licence
   ============================================================================ */

/* ============================================================================
   >>concepts

   heap     owns everything below; belongs to one thread at a time.
   arena    an aligned chunk from the OS; an address finds its arena by a mask.
   pool     64 KiB of an arena, cut into blocks of one size class.
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
#define MM__UNUSED __attribute__((unused))
#define MM__PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define MM__CLEANUP(fn) __attribute__((cleanup(fn), unused))
#else
#define MM__LIKELY(x) (x)
#define MM__UNUSED
#define MM__PRINTF(fmt, args)
#endif
#define MM__INLINE static inline MM__UNUSED

#ifdef __cplusplus
#define MM__EXTERN_C extern "C"
#define MM__CAST(T, e) static_cast<T>(e)
#else
#define MM__EXTERN_C
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
#define MM_VERSION (MM_VERSION_MAJOR * 10000 + MM_VERSION_MINOR * 100 + MM_VERSION_PATCH)
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
    heap NULL: the last failure of mm_heap_create on any heap.
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
       itself; else mm_heap_create fails and says how many bytes it needs.     */
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

    mm_huge_pages huge_pages;   /* (MM_HUGE_AUTO: from 8 MiB of small objects)   */
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

    desc is copied; NULL means all defaults. Cost: one arena from the OS, most
    of it untouched.
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
MM_API bool mm_heap_walk(mm_heap *heap, bool (*visit)(const mm_block *block, void *user),
                         void *user);

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
MM_API size_t mm_heap_get_type_stats(mm_heap *heap, mm_type_stats *out, size_t capacity);

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

   malloc's contract with a heap in front. Blocks are 16-byte aligned. None of
   these runs user code, except that running out of memory triggers one emergency
   collection, whose finalizers may run.
   ============================================================================ */

/*  mm_alloc - size bytes, uninitialised; NULL with MM_ERR_NOMEM or MM_ERR_LIMIT.

    size 0 gives a distinct, non-NULL block (PyMem_Malloc). The caller owns the
    block. Cost: a handful of instructions up to 512 bytes.
*/
MM__INLINE void *mm_alloc(mm_heap *heap, size_t size);

/*  mm_calloc - count * size bytes, zeroed; MM_ERR_OVERFLOW if the product is. */
MM_API void *mm_calloc(mm_heap *heap, size_t count, size_t size);

/*  mm_realloc - the block with a new size; its content is kept up to the smaller.

    p NULL allocates. Stays in place within its class and when it shrinks to no
    less than half; runs grow into free neighbours, huge blocks by mremap. On
    failure returns NULL and p is untouched. size 0 gives a block of size 0.
*/
MM_API void *mm_realloc(mm_heap *heap, void *p, size_t size);

/*  mm_free - give a block back. NULL is fine. Never fails, never allocates. */
MM__INLINE void mm_free(mm_heap *heap, void *p);

/*  mm_free_sized - mm_free, told the size that was asked for: saves a lookup.

    size must be the one given to mm_alloc, mm_calloc or the last mm_realloc.
*/
MM__INLINE void mm_free_sized(mm_heap *heap, void *p, size_t size);

/*  mm_alloc_aligned - mm_alloc with an alignment, a power of two up to 1 MiB.

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
MM_API char *mm_region_printf(mm_region *region, const char *format, ...) MM__PRINTF(2, 3);

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
    /* Values, for containers and views; used by later rooms.                    */
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
#define MM_TYPE_FLAGS(T, flags, ...) MM__TYPE(static MM__UNUSED, T, flags, NULL, __VA_ARGS__)
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
    uint32_t rc;    /* as int32: > 0 alive, sign bit: immortal, 0: dead          */
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
   ones in slices of gc_pause_us.
   ============================================================================ */

/*  mm_gc_collect - collect generation 0, 1 or 2 and the younger ones, at once.

    Returns the objects found unreachable and not resurrected, as gc.collect()
    counts them. Returns 0 inside a collection, and 0 with MM_ERR_VALUE for another
    generation. Runs weak callbacks, finalizers and disposers. Cost: for 0 and 1
    proportional to the young objects, for 2 to all objects, or to nothing if no
    old object lost a reference since the last time.
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
    1: when t1 collections of 0 have passed; 2: when t2 of 1 have, and a quarter
    of the old objects is new. A negative value leaves that one as it is.
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
    uint64_t slices;        /* pauses: one per young collection, many per old    */
    uint64_t pause_ns_total, pause_ns_max;
    uint64_t pauses[MM_PAUSE_BUCKETS];
} mm_gc_generation_stats;

typedef struct mm_gc_stats {
    mm_gc_generation_stats generation[3];
    uint64_t visits;         /* objects looked at so far                         */
    uint64_t visits_slice_max; /* most in one slice                              */
    size_t   tracked[3];     /* objects in each generation now                   */
    size_t   frozen;
    size_t   suspects;       /* old objects that lost a reference since last time */
    size_t   pending_free;   /* dead objects whose memory is still to be freed   */
    int      phase;          /* of the old collection under way; 0: none         */
} mm_gc_stats;

/*  mm_gc_get_stats - gc.get_stats and more. Never allocates. */
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
MM_API size_t mm_gc_get_referrers(void *object, bool (*visit)(void *referrer, void *user),
                                  void *user);
MM_API size_t mm_gc_get_referents(void *object, bool (*visit)(void *referent, void *user),
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
typedef void (*mm_gc_error_fn)(mm_heap *heap, void *object, const char *what, void *user);
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

/*  mm_weakref_clear_all - kill all weak references to an object, silently. */
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

    Any value is allowed, also an invented one. Cost: a bounds-checked array load.
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
    char     text[8];   /* length bytes and a NUL; goes on past the struct       */
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
    char   data[8]; /* length bytes and a NUL; goes on past the struct */
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
MM_API bool mm_audit_held(void *object, uint64_t outside, mm_write_fn write, void *user);

/* ============================================================================
   The inline half. Everything from here to the end of the guard is private: it is
   in view only because the fast paths are compiled into the caller.

   Invariants
     N1  a cache is a stack of free blocks; below its first entry is a NULL, so
         that an empty cache and "no block" are one test
     N2  cache 0 is always empty and always full: it stands for every block that
         is not small, and sends allocation and free down the slow path
     N3  with debugging, sanitizers or tracing on, every cache is like cache 0
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

/* header.flags */
enum {
    MM__F_FINALIZED = 1, /* the finalizer has run                                */
    MM__F_WEAK = 2,      /* the weak table has an entry                          */
    MM__F_DEAD = 4,      /* count reached zero, or condemned: weakly invisible   */
    MM__F_TRASH = 8,     /* being freed by the collector: its count means nothing */
    MM__F_POOLED = 16,   /* goes back to its object pool                         */
    MM__F_TRACKED = 32   /* in a pool that the collector walks                   */
};
/* header.gc */
enum {
    MM__GC_QUIET = 1, /* losing a reference need not be reported                 */
    MM__GC_OLD = 2    /* generation 1 or 2                                       */
};

typedef struct mm__cache { void **top, **limit; } mm__cache;
typedef struct mm__place { void *object; uint32_t generation, next; } mm__place;

struct mm_heap {
    int64_t    credit; /* tracked objects until the next automatic collection     */
    mm__place *places; /* of handles                                             */
    uint64_t   place_count;
    mm__cache  cache[MM__CACHES];
};

/* The head of every arena, also of a huge block's own. */
typedef struct mm__arena_head {
    mm_heap *heap;
    uint32_t barrier; /* an old collection is at a stage that must hear of weak gets */
    uint32_t kind;
    uint8_t  cache[MM__UNITS]; /* of the pool in each unit; 0: not small           */
} mm__arena_head;

struct mm_weakref {
    void       *target; /* NULL once dead                                        */
    mm_weak_fn  callback;
    void       *user;
    void       *owned;  /* user, if owned: a slot                                */
    mm_weakref *next, *prev;
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
MM_API void     mm__barrier(void *object);
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

MM__INLINE void mm__free_to(mm_heap *heap, mm__cache *cache, void *p)
{
    void **top = cache->top;
    if (MM__LIKELY(top != cache->limit)) {
        *top = p;
        cache->top = top + 1;
    } else {
        mm__free_slow(heap, p);
    }
}

MM__INLINE void mm_free(mm_heap *heap, void *p)
{
    if (MM__LIKELY(p != NULL)) {
        size_t unit = ((uintptr_t)p & MM__ARENA_MASK) >> MM__POOL_SHIFT;
        mm__free_to(heap, &heap->cache[mm__arena_of(p)->cache[unit]], p);
    }
}

MM__INLINE void mm_free_sized(mm_heap *heap, void *p, size_t size)
{
    if (MM__LIKELY(size - 1 < 512 && p != NULL))
        mm__free_to(heap, &heap->cache[(size + 15) >> 4], p);
    else
        mm_free(heap, p);
}

MM__INLINE void *mm_region_alloc(mm_region *region, size_t size)
{
    char *p = region->cursor;
    if (MM__LIKELY(size <= (size_t)(region->limit - p) && p != NULL)) {
        region->cursor = p + ((size + 15) & ~(size_t)15);
        return region->zero ? memset(p, 0, size) : (void *)p;
    }
    return mm__region_slow(region, size);
}

MM__INLINE void *mm__new(mm_heap *heap, mm_type *type, size_t size)
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
    return mm__new_slow(heap, type, size);
}

MM__INLINE void mm_incref(const void *object)
{
    if (object != NULL) {
        mm_header *header = mm__header_of(object);
        if (!MM__LIKELY((int32_t)++header->rc > 0)) mm__incref_slow(object);
    }
}

MM__INLINE void mm_decref(const void *object)
{
    if (object != NULL) {
        mm_header *header = mm__header_of(object);
        if (!MM__LIKELY((int32_t)--header->rc > 0 && (header->gc & MM__GC_QUIET)))
            mm__decref_slow(object);
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

MM__INLINE void mm_set_steal(void *slot, const void *p)
{
    void *old = mm__load(slot);
    mm__store(slot, p);
    mm_decref(old);
}

MM__INLINE void mm_set(void *slot, const void *p)
{
    mm_incref(p);
    mm_set_steal(slot, p);
}

MM__INLINE void mm_clear(void *slot)
{
    mm_set_steal(slot, NULL);
}

MM__INLINE void *mm__take(void *slot)
{
    void *p = mm__load(slot);
    mm__store(slot, NULL);
    if (p != NULL && mm__arena_of(p)->barrier) mm__barrier(p);
    return p;
}

/* A strong reference to an object that was found without one. */
MM__INLINE void *mm__revive(void *object)
{
    if (object == NULL || (mm__header_of(object)->flags & MM__F_DEAD)) return NULL;
    if (mm__arena_of(object)->barrier) mm__barrier(object);
    mm_incref(object);
    return object;
}

MM__INLINE void *mm_weakref_get(const mm_weakref *ref)
{
    return mm__revive(ref->target);
}

MM__INLINE void *mm_handle_borrow(const mm_heap *heap, mm_handle handle)
{
    uint64_t i = handle >> 32;
    const mm__place *place;
    if (i >= heap->place_count) return NULL;
    place = &heap->places[i];
    if (place->generation != (uint32_t)handle || place->object == NULL) return NULL;
    return mm__header_of(place->object)->flags & MM__F_DEAD ? NULL : place->object;
}

MM__INLINE void *mm_handle_get(const mm_heap *heap, mm_handle handle)
{
    return mm__revive(mm_handle_borrow(heap, handle));
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

