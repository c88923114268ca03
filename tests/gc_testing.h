/* gc_testing.h - what the suites of the rooms gc, weak and diagnose share.

   Include it after memmgr.h. A Thing is an object with three slots for anything, a
   number, and a finalizer of its own; what happens to it is counted by its number
   in `gt` and, in order, written to gt.trace. A Plain has the slots and no hooks.

   MM_TEST_QUICK=1 in the environment makes the large tests small (for valgrind).
*/
#ifndef GC_TESTING_H
#define GC_TESTING_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__GNUC__)
#define GT_FN static __attribute__((unused))
#else
#define GT_FN static
#endif

#define GT_IDS          256
#define GT_KEPT         64
#define GT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct Thing {
    void *a, *b, *c;
    bool (*fin)(struct Thing *self); /* NULL: nothing to do */
    int id;                          /* below GT_IDS; negative: not counted */
} Thing;
MM_TYPE(Thing, MM_REF(Thing, a), MM_REF(Thing, b), MM_REF(Thing, c))

typedef struct Plain {
    void *a, *b;
    int id;
} Plain;
MM_TYPE(Plain, MM_REF(Plain, a), MM_REF(Plain, b))

/* No slots, but hooks: never seen by the collector. */
typedef struct Text {
    bool (*fin)(struct Text *self);
    int id;
    void *hidden; /* a reference that the collector is not told of; see text_finalize */
} Text;
MM_TYPE_LEAF(Text)

/* References in a block of their own. */
typedef struct Vec {
    void *owner;
    void **items;
    size_t count;
} Vec;
MM_TYPE(Vec, MM_REF(Vec, owner), MM_REF_VECTOR(Vec, items, count))

/* References at its end. */
typedef struct Tail {
    uint32_t count;
    void *items[];
} Tail;
MM_TYPE(Tail, MM_REF_ARRAY(Tail, items, count))

static struct {
    int finalized[GT_IDS], disposed[GT_IDS];
    unsigned logs[3]; /* by mm_log_level */
    char last_log[512];
    char trace[8192];
    size_t trace_length;
    void *kept[GT_KEPT]; /* references taken by resurrecting finalizers */
    size_t kept_count;
    mm_heap *heap; /* the newest one */
} gt;

/* ---- what happened -------------------------------------------------------- */

GT_FN void gt_note(const char *format, ...) MM__PRINTF(1, 2);
GT_FN void gt_note(const char *format, ...)
{
    char text[128];
    va_list args;
    size_t length;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    length = strlen(text);
    if (gt.trace_length + length + 2 > sizeof gt.trace) return;
    if (gt.trace_length > 0) gt.trace[gt.trace_length++] = ' ';
    memcpy(gt.trace + gt.trace_length, text, length + 1);
    gt.trace_length += length;
}

GT_FN void gt_forget(void)
{
    gt.trace_length = 0;
    gt.trace[0] = 0;
}

static void gt_log(mm_log_level level, const char *message, void *user)
{
    (void)user;
    gt.logs[level]++;
    snprintf(gt.last_log, sizeof gt.last_log, "%s", message);
}

/* ---- hooks ---------------------------------------------------------------- */

static bool thing_finalize(void *object)
{
    Thing *self = object;
    if (self->id >= 0) {
        gt.finalized[self->id]++;
        gt_note("fin%d", self->id);
    }
    return self->fin == NULL || self->fin(self);
}

static void thing_dispose(void *object)
{
    Thing *self = object;
    assert_null(self->a);
    assert_null(self->b);
    assert_null(self->c);
    if (self->id >= 0) gt.disposed[self->id]++;
}

static bool text_finalize(void *object)
{
    Text *self = object;
    if (self->id >= 0) gt.finalized[self->id]++;
    if (self->fin != NULL) return self->fin(self);
    mm_clear(&self->hidden);
    return true;
}

static void text_dispose(void *object)
{
    Text *self = object;
    if (self->id >= 0) gt.disposed[self->id]++;
}

/* ---- heaps ---------------------------------------------------------------- */

GT_FN mm_heap_desc gt_desc(void)
{
    mm_heap_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.log = gt_log;
    return desc;
}

GT_FN mm_heap *gt_heap_with(const mm_heap_desc *desc)
{
    mm_heap *heap;
    memset(&gt, 0, sizeof gt);
    mm_typeof(Thing)->finalize = thing_finalize;
    mm_typeof(Thing)->dispose = thing_dispose;
    mm_typeof(Text)->finalize = text_finalize;
    mm_typeof(Text)->dispose = text_dispose;
    heap = mm_heap_create(desc);
    assert_non_null(heap);
    gt.heap = heap;
    return heap;
}

/* Automatic collection off: only what the test asks for happens. */
GT_FN mm_heap *gt_heap(void)
{
    mm_heap_desc desc = gt_desc();
    desc.gc_disable = true;
    return gt_heap_with(&desc);
}

/* Free what a large mm_decref left for later. Bounded, so that a heap that never
   finishes fails the test. */
GT_FN void gt_drain(mm_heap *heap)
{
    mm_gc_stats stats;
    long i;
    for (i = 0; i < 10000000; i++) {
        mm_gc_get_stats(heap, &stats);
        if (stats.pending_free == 0) return;
        mm_gc_step(heap, 0);
    }
    fail_msg("the heap does not finish freeing");
}

/* The end of a test: the heap is sound, nothing is held, nobody complained. */
GT_FN void gt_close(mm_heap *heap)
{
    assert_true(mm_heap_check(heap));
    assert_int_equal(mm_heap_destroy(heap), 0);
    if (gt.logs[MM_LOG_BUG] != 0) fail_msg("logged as a bug: %s", gt.last_log);
}

GT_FN size_t gt_objects(mm_heap *heap)
{
    mm_heap_stats stats;
    gt_drain(heap);
    mm_heap_get_stats(heap, &stats);
    return stats.objects;
}

GT_FN mm_gc_stats gt_stats(mm_heap *heap)
{
    mm_gc_stats stats;
    mm_gc_get_stats(heap, &stats);
    return stats;
}

GT_FN long gt_scale(long full, long quick)
{
    const char *text = getenv("MM_TEST_QUICK");
    return text != NULL && text[0] != 0 && text[0] != '0' ? quick : full;
}

#if defined(__SANITIZE_ADDRESS__)
#define GT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GT_SANITIZED 1
#endif
#endif
#ifndef GT_SANITIZED
#define GT_SANITIZED 0
#endif

/* Neither under AddressSanitizer nor under Valgrind, which puts its library first. */
GT_FN bool gt_native(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return !GT_SANITIZED && (preload == NULL || strstr(preload, "vgpreload") == NULL);
}

/* Everything to the oldest generation without a collection that looks at it. */
GT_FN void gt_make_old(mm_heap *heap)
{
    mm_gc_freeze(heap);
    mm_gc_unfreeze(heap);
}

/* Run the old collection in slices until there is nothing to do; returns how many. */
GT_FN long gt_step_to_end(mm_heap *heap, uint32_t budget_us)
{
    long n = 1;
    while (mm_gc_step(heap, budget_us))
        if (++n > 500000) fail_msg("the collector does not finish");
    return n;
}

/* Whether gt_slice runs closures in place of old collections. */
static bool gt_closures;

GT_FN int gt_closures_on(void **state)
{
    (void)state;
    gt_closures = true;
    return 0;
}

GT_FN int gt_closures_off(void **state)
{
    (void)state;
    gt_closures = false;
    return 0;
}

/* One slice of so many visits, whatever the clock says: what mm_gc_step does, made
   exact. Starts an old collection, or a closure, if none is under way. */
GT_FN void gt_slice(mm_heap *heap, size_t visits)
{
    mm__heap *h = mm__H(heap);
    if (h->busy.collecting) return;
    if (h->gc.old.phase != MM__IDLE)
        mm__old_slice(h, gt_closures ? visits * 3 : visits, 0);
    else if (!gt_closures)
        mm__old_start(h);
    else if (h->gc.suspect_pools != NULL) {
        h->gc.closure_limit = (size_t)1 << 20;
        mm__closure_begin(h);
    }
}

/* Start a closure that may look at so many objects. */
GT_FN void gt_closure_begin(mm_heap *heap, size_t limit)
{
    mm__heap *h = mm__H(heap);
    assert_int_equal(h->gc.old.phase, MM__IDLE);
    assert_non_null(h->gc.suspect_pools);
    h->gc.closure_limit = limit;
    mm__closure_begin(h);
    assert_int_equal(h->gc.old.set, MM__SET_CLOSURE);
}

/* A closure from beginning to end; returns how many objects it found. */
GT_FN size_t gt_closure(mm_heap *heap, size_t limit)
{
    gt_closure_begin(heap, limit);
    while (!mm__old_slice(mm__H(heap), 50, 0)) continue;
    return mm__H(heap)->gc.old.found;
}

GT_FN bool gt_closure_active(mm_heap *heap)
{
    return mm__H(heap)->gc.old.phase != MM__IDLE &&
           mm__H(heap)->gc.old.set == MM__SET_CLOSURE;
}

/* ---- objects -------------------------------------------------------------- */

GT_FN Thing *thing(mm_heap *heap, int id, bool (*fin)(Thing *))
{
    Thing *t = mm_new(heap, Thing);
    assert_non_null(t);
    t->id = id;
    t->fin = fin;
    return t;
}

GT_FN Plain *plain(mm_heap *heap, int id)
{
    Plain *p = mm_new(heap, Plain);
    assert_non_null(p);
    p->id = id;
    return p;
}

/* A Thing that refers to itself; the caller has the only outside reference. */
GT_FN Thing *thing_loop(mm_heap *heap, int id, bool (*fin)(Thing *))
{
    Thing *t = thing(heap, id, fin);
    mm_set(&t->a, t);
    return t;
}

/* A ring of n Plains through `a`, with `b` back; a new reference to its first. */
GT_FN Plain *plain_ring(mm_heap *heap, int n, int first_id)
{
    Plain *first = plain(heap, first_id), *last = first;
    int i;
    for (i = 1; i < n; i++) {
        Plain *p = plain(heap, first_id + i);
        mm_set(&p->b, last);
        mm_set_steal(&last->a, p);
        last = p;
    }
    mm_set(&last->a, first);
    mm_set(&first->b, last);
    return first;
}

/* A list of n Plains through `a`; a new reference to its head. */
GT_FN Plain *plain_list(mm_heap *heap, long n)
{
    Plain *head = NULL;
    long i;
    for (i = 0; i < n; i++) {
        Plain *p = plain(heap, (int)i);
        mm_set_steal(&p->a, head);
        head = p;
    }
    return head;
}

GT_FN Vec *vec(mm_heap *heap, size_t count)
{
    Vec *v = mm_new(heap, Vec);
    assert_non_null(v);
    v->items = mm_calloc(heap, count, sizeof(void *));
    assert_non_null(v->items);
    v->count = count;
    return v;
}

/* A finalizer that brings its object back. */
GT_FN bool fin_resurrect(Thing *self)
{
    assert_true(gt.kept_count < GT_KEPT);
    gt.kept[gt.kept_count++] = mm_newref(self);
    return true;
}

GT_FN void gt_drop_kept(void)
{
    while (gt.kept_count > 0) mm_decref(gt.kept[--gt.kept_count]);
}

/* ---- weak references ------------------------------------------------------ */

/* A callback that notes its name; by then the reference must be dead. */
GT_FN bool weak_note(mm_weakref *ref, void *user)
{
    assert_null(mm_weakref_get(ref));
    assert_true(mm_weakref_is_dead(ref));
    gt_note("%s", (const char *)user);
    return true;
}

GT_FN mm_weakref *weak(void *target, const char *name)
{
    mm_weakref *ref;
    char *user = NULL; /* the callback's user pointer is not const */
    if (name != NULL) memcpy(&user, &name, sizeof user);
    ref = mm_weakref_new(target, name == NULL ? NULL : weak_note, user);
    assert_non_null(ref);
    return ref;
}

GT_FN bool weak_alive(const mm_weakref *ref)
{
    void *p = mm_weakref_get(ref);
    mm_decref(p);
    return p != NULL;
}

/* ---- exhausting a heap ---------------------------------------------------- */

/* An OS hook that can be told to stop giving memory. */
static struct {
    bool fail;
    size_t blocks; /* mapped now */
    uint64_t refused;
} gt_os;

static void *gt_map(size_t size, size_t align, void *user)
{
    char *raw, *p;
    (void)user;
    if (gt_os.fail) {
        gt_os.refused++;
        return NULL;
    }
    raw = calloc(1, size + align + sizeof(void *));
    if (raw == NULL) return NULL;
    p = raw + sizeof(void *);
    p += (align - (uintptr_t)p % align) % align;
    memcpy(p - sizeof(void *), &raw, sizeof raw);
    gt_os.blocks++;
    return p;
}

static void gt_unmap(void *memory, size_t size, void *user)
{
    char *raw;
    (void)user;
    (void)size;
    memcpy(&raw, (char *)memory - sizeof(void *), sizeof raw);
    free(raw);
    gt_os.blocks--;
}

GT_FN mm_heap *gt_starvable_heap(void)
{
    mm_heap_desc desc = gt_desc();
    desc.gc_disable = true;
    desc.map = gt_map;
    desc.unmap = gt_unmap;
    memset(&gt_os, 0, sizeof gt_os);
    return gt_heap_with(&desc);
}

/* Take everything the heap still has; returns a chain for gt_feed. */
GT_FN void *gt_starve(mm_heap *heap)
{
    void *chain = NULL;
    size_t size;
    gt_os.fail = true;
    for (size = (size_t)1 << 20; size >= 16; size = size > 512 ? size / 2 : size - 16) {
        void *p;
        while ((p = mm_alloc(heap, size)) != NULL) {
            memcpy(p, &chain, sizeof chain);
            chain = p;
        }
    }
    return chain;
}

GT_FN void gt_feed(mm_heap *heap, void *chain)
{
    gt_os.fail = false;
    while (chain != NULL) {
        void *next;
        memcpy(&next, chain, sizeof next);
        mm_free(heap, chain);
        chain = next;
    }
}

/* ---- reports -------------------------------------------------------------- */

typedef struct gt_text {
    char text[16384];
    size_t length;
} gt_text;

GT_FN void gt_write(void *user, const char *text, size_t length)
{
    gt_text *out = user;
    if (out->length + length >= sizeof out->text) return;
    memcpy(out->text + out->length, text, length);
    out->length += length;
    out->text[out->length] = 0;
}

GT_FN bool gt_has_address(const gt_text *out, const void *p)
{
    char hex[32];
    snprintf(hex, sizeof hex, "%" PRIxPTR, (uintptr_t)p);
    return strstr(out->text, hex) != NULL;
}

#endif /* GC_TESTING_H */
