/* fuzz_gc.c - random programs against the collector, beside a plain oracle.

       fuzz_gc [first_seed] [count] [operations] [first]   prints `N passed, N failed`

   With a fourth argument it stops at the first seed that fails.

   A seed stands for a heap of some configuration and a sequence of operations on it:
   objects of every shape are made, linked, moved, dropped; weak references, handles and
   finalize callbacks are made and used; slices of old collections with tiny budgets,
   whole collections and purges come in between, also inside finalizers and callbacks.
   A shadow of the graph is kept beside the heap. At any time:
     - what the shadow can reach is there: intact, linked as in the shadow, with a count
       its references explain; weak references and handles find it
     - what finalizers, disposers and callbacks are called for cannot be reached, and
       each is called once, a finalizer with its object's links as they were
     - after a whole collection what cannot be reached is gone
   Nothing depends on a clock: a seed that fails fails again.
*/
#define MM_ASSERT(condition, message)                                                  \
    ((condition) ? (void)0 : fuzz_assert(__FILE__, __LINE__, (message)))
#if defined(__GNUC__)
__attribute__((unused))
#endif
static void
fuzz_assert(const char *file, int line, const char *message);
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- objects ---------------------------------------------------------------- */

#define CANARY 0x5EEDBEEFu

typedef struct Base {
    uint32_t id, canary;
} Base;

typedef struct Leaf {
    Base base;
} Leaf;
typedef struct Pair {
    Base base;
    void *s[2];
} Pair;
typedef struct Full {
    Base base;
    void *s[4];
} Full;
typedef struct Sub {
    Full full;
    void *more;
} Sub;
typedef struct Tail {
    Base base;
    uint32_t n;
    void *s[];
} Tail;
typedef struct Vector {
    Base base;
    void **s;
    size_t n;
} Vector;
typedef struct Hook {
    Base base;
    void **s;
    uint32_t n;
} Hook;
typedef struct Label {
    Base base;
    void *s[2];
} Label;
typedef struct Pooled {
    Base base;
    void *s[2];
} Pooled;

MM_TYPE_LEAF(Leaf)
MM_TYPE(Pair, MM_REF(Pair, s[0]), MM_REF(Pair, s[1]))
MM_TYPE(Full, MM_REF_FIXED(Full, s))
MM_TYPE_DERIVED(Sub, Full, MM_REF(Sub, more))
MM_TYPE(Tail, MM_REF_ARRAY(Tail, s, n))
MM_TYPE(Vector, MM_REF_VECTOR(Vector, s, n))
MM_TYPE_OPAQUE(Hook)
MM_TYPE_FLAGS(Label, MM_TYPE_ACYCLIC, MM_REF_TO(Label, s[0], Leaf),
              MM_REF_TO(Label, s[1], Leaf))
MM_TYPE(Pooled, MM_REF(Pooled, s[0]), MM_REF(Pooled, s[1]))

enum kind { LEAF, PAIR, FULL, SUB, TAIL, VECTOR, HOOK, LABEL, POOLED, WEAK, KINDS };

/* What a finalizer does. */
enum deed {
    NOTHING,
    RESURRECT,
    SAVE,
    CUT,
    CUT_OTHER,
    STORE,
    CREATE,
    COLLECT,
    FAIL,
    DEEDS
};

/* ---- the shadow ------------------------------------------------------------- */

#define MAX_OBJECTS 40000
#define ROOTS       32
#define SAVED       64
#define HANDLES     128
#define DEPTH       4 /* of user code inside user code */

typedef struct Shadow {
    void *p;
    uint32_t *slot; /* numbers of objects, 0: NULL; of a WEAK: what it owns */
    uint32_t n, mark, target;
    uint8_t kind, deed;
    bool disposed, finalized; /* as the hooks told */
    bool came_back;           /* was trash once: weakly it may be dead */
    bool callback, fired, cleared, dead; /* of a WEAK */
    bool may_be_dead;                    /* of a WEAK: it or its target was trash  */
    mm_handle handle;
} Shadow;

typedef struct Fz {
    uint32_t id;
    bool fired, detached;
} Fz;

static struct {
    uint64_t seed, random, op, ops;
    mm_heap *heap;
    mm_pool *pool;
    const mm_type *weak_type;
    Shadow *ob;
    uint32_t count; /* of shadows, number 0 unused */
    uint32_t root[ROOTS], saved[SAVED], held[16], immortal[16];
    uint32_t saved_count, held_count, immortal_count;
    uint32_t handle[HANDLES];     /* objects that have one */
    uint32_t stamp;               /* of Shadow.mark */
    uint64_t version, reached_at; /* of the shadow; the one that mark is of */
    uint32_t stack[MAX_OBJECTS];
    uint32_t refs[MAX_OBJECTS];
    uint32_t map[131072]; /* address -> number */
    Fz fz[2048];
    uint32_t fz_count;
    uint64_t hooks; /* calls of user code that may change the graph */
    int depth;      /* of hooks in hooks */
    bool destroying, starve, use_immortals;
    jmp_buf failed;
} fz;

/* ---- failure ---------------------------------------------------------------- */

static struct {
    const char *what;
    uint64_t op;
    uint32_t a, b, c;
} trace[24];
static uint32_t trace_next;

static void note(const char *what, uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t i = trace_next++ % 24;
    trace[i].what = what;
    trace[i].op = fz.op;
    trace[i].a = a;
    trace[i].b = b;
    trace[i].c = c;
}

static void fail(const char *what, uint32_t id)
{
    uint32_t i;
    printf("seed %" PRIu64 " failed at operation %" PRIu64 " of %" PRIu64
           ": %s (object %" PRIu32 ")\n",
           fz.seed, fz.op, fz.ops, what, id);
    for (i = trace_next > 24 ? trace_next - 24 : 0; i < trace_next; i++)
        printf("  op %" PRIu64 ": %s %" PRIu32 " %" PRIu32 " %" PRIu32 "\n",
               trace[i % 24].op, trace[i % 24].what, trace[i % 24].a, trace[i % 24].b,
               trace[i % 24].c);
    fflush(stdout);
    longjmp(fz.failed, 1);
}

static void fuzz_assert(const char *file, int line, const char *message)
{
    printf("%s:%d: %s\n", file, line, message);
    fail("an assertion of the library", 0);
}

static void on_log(mm_log_level level, const char *message, void *user)
{
    (void)user;
    if (level != MM_LOG_BUG) return;
    printf("log: %s\n", message);
    fail("logged as a bug", 0);
}

/* A crash names its seed as well. */
static void on_signal(int number)
{
    printf("signal %d: seed %" PRIu64 " failed at operation %" PRIu64 " of %" PRIu64
           "\n",
           number, fz.seed, fz.op, fz.ops);
    fflush(stdout);
    _Exit(3);
}

/* ---- random numbers, the OS ------------------------------------------------- */

static uint32_t below(uint32_t n)
{
    fz.random ^= fz.random << 13;
    fz.random ^= fz.random >> 7;
    fz.random ^= fz.random << 17;
    return (uint32_t)((fz.random >> 32) * n >> 32);
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

static void *os_map(size_t size, size_t align, void *user)
{
    char *raw, *p;
    (void)user;
    if (fz.starve && one_in(2)) return NULL;
    raw = calloc(1, size + align + sizeof raw);
    if (raw == NULL) return NULL;
    p = raw + sizeof raw;
    p += (align - (uintptr_t)p % align) % align;
    memcpy(p - sizeof raw, &raw, sizeof raw);
    return p;
}

static void os_unmap(void *memory, size_t size, void *user)
{
    char *raw;
    (void)size;
    (void)user;
    memcpy(&raw, (char *)memory - sizeof raw, sizeof raw);
    free(raw);
}

/* ---- reachability ----------------------------------------------------------- */

static void reach_push(uint32_t id, uint32_t *top)
{
    if (id == 0 || fz.ob[id].mark == fz.stamp) return;
    fz.ob[id].mark = fz.stamp;
    fz.stack[(*top)++] = id;
}

static void reach(void)
{
    uint32_t i, top = 0;
    if (fz.reached_at == fz.version) return;
    fz.reached_at = fz.version;
    fz.stamp++;
    for (i = 0; i < ROOTS; i++) reach_push(fz.root[i], &top);
    for (i = 0; i < fz.saved_count; i++) reach_push(fz.saved[i], &top);
    for (i = 0; i < fz.held_count; i++) reach_push(fz.held[i], &top);
    for (i = 0; i < fz.immortal_count; i++) reach_push(fz.immortal[i], &top);
    while (top > 0) {
        const Shadow *s = &fz.ob[fz.stack[--top]];
        if (s->kind == WEAK && mm_weakref_is_dead(s->p)) continue;
        for (i = 0; i < s->n; i++) reach_push(s->slot[i], &top);
    }
}

/* Reachable if dead weak references still held what they own, which they need not. */
static void reach_more(void)
{
    uint32_t i, k, top = 0;
    reach();
    fz.reached_at = 0; /* the marks say more than reach does */
    for (i = 1; i < fz.count; i++)
        if (fz.ob[i].mark == fz.stamp && fz.ob[i].kind == WEAK)
            for (k = 0; k < fz.ob[i].n; k++) reach_push(fz.ob[i].slot[k], &top);
    while (top > 0) {
        const Shadow *s = &fz.ob[fz.stack[--top]];
        for (i = 0; i < s->n; i++) reach_push(s->slot[i], &top);
    }
}

static bool reachable(uint32_t id)
{
    reach();
    return fz.ob[id].mark == fz.stamp;
}

static void changed(void)
{
    fz.version++;
}

/* ---- the real objects ------------------------------------------------------- */

static void **slots(const Shadow *s)
{
    switch (s->kind) {
    case PAIR: return ((Pair *)s->p)->s;
    case FULL: return ((Full *)s->p)->s;
    case SUB: return ((Sub *)s->p)->full.s;
    case TAIL: return ((Tail *)s->p)->s;
    case VECTOR: return ((Vector *)s->p)->s;
    case HOOK: return ((Hook *)s->p)->s;
    case LABEL: return ((Label *)s->p)->s;
    case POOLED: return ((Pooled *)s->p)->s;
    default: return NULL;
    }
}

static void *slot(uint32_t id, uint32_t k)
{
    const Shadow *s = &fz.ob[id];
    if (s->kind == SUB && k == 4) return &((Sub *)s->p)->more;
    return &slots(s)[k];
}

static void *pointer(uint32_t id)
{
    return id ? fz.ob[id].p : NULL;
}

static const mm_type *type_of(enum kind kind)
{
    const mm_type *types[] = {mm_typeof(Leaf), mm_typeof(Pair),  mm_typeof(Full),
                              mm_typeof(Sub),  mm_typeof(Tail),  mm_typeof(Vector),
                              mm_typeof(Hook), mm_typeof(Label), mm_typeof(Pooled)};
    return kind == WEAK ? fz.weak_type : types[kind];
}

/* The object is what the shadow says it is. */
static void check_intact(uint32_t id)
{
    const Shadow *s = &fz.ob[id];
    uint32_t k;
    if (s->disposed) fail("an object that can be reached was disposed of", id);
    if (mm__count(mm__header_of(s->p)) == 0) fail("a reachable object has the count 0", id);
    if (mm_type_of(s->p) != type_of((enum kind)s->kind)) fail("its type changed", id);
    if (s->kind == WEAK) return;
    if (((Base *)s->p)->id != id) fail("another object is in its place", id);
    if (((Base *)s->p)->canary != CANARY) fail("its memory was written", id);
    for (k = 0; k < s->n; k++)
        if (mm__load(slot(id, k)) != pointer(s->slot[k])) fail("a slot changed", id);
}

static uint32_t *map_entry(const void *p)
{
    size_t i = (size_t)(((uintptr_t)p >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 47);
    while (fz.map[i] != 0 && fz.ob[fz.map[i]].p != p) i = (i + 1) & 131071;
    return &fz.map[i];
}

/* Enter a new object in the shadow; 0: no room for more. */
static uint32_t enter(void *p, enum kind kind, uint32_t n)
{
    uint32_t id = fz.count, *entry;
    Shadow *s = &fz.ob[id];
    entry = map_entry(p);
    if (*entry != 0 && reachable(*entry))
        fail("its memory was given out again", *entry);
    memset(s, 0, sizeof *s);
    s->p = p;
    s->kind = (uint8_t)kind;
    s->n = n;
    s->slot = calloc(n + 1, sizeof *s->slot);
    if (s->slot == NULL) fail("the test has no memory", id);
    *entry = id;
    fz.count++;
    changed();
    if (kind != WEAK) {
        ((Base *)p)->id = id;
        ((Base *)p)->canary = CANARY;
    }
    return id;
}

static void *make(enum kind kind, uint32_t *n)
{
    mm_heap *heap = fz.heap;
    size_t extra = 0;
    Tail *tail;
    *n = kind == FULL ? 4 : kind == SUB ? 5 : kind == LEAF ? 0 : 2;
    switch (kind) {
    case LEAF: return mm_new(heap, Leaf);
    case PAIR: return mm_new(heap, Pair);
    case FULL: return mm_new(heap, Full);
    case SUB: return mm_new(heap, Sub);
    case LABEL: return mm_new(heap, Label);
    case POOLED: return mm_pool_acquire(fz.pool);
    case VECTOR: *n = 0; return mm_new(heap, Vector);
    case HOOK: *n = 3; return mm_new(heap, Hook);
    default:
        *n = 1 + below(one_in(30) ? 300 : 12);
        if (one_in(60)) extra = one_in(8) ? 5000000 : 40000 + below(300000);
        tail = mm_new_extra(heap, Tail, *n * sizeof(void *) + extra);
        if (tail != NULL) tail->n = *n;
        return tail;
    }
}

/* A new object; the caller owns the reference and must hold it in the shadow. */
static uint32_t create(void)
{
    enum kind kind = (enum kind)below(WEAK);
    uint32_t n, id;
    void *p;
    if (fz.count + 1 >= MAX_OBJECTS) return 0;
    p = make(kind, &n); /* may collect, and so enter others */
    if (p == NULL) {
        if (!fz.starve) fail("no memory", 0);
        return 0;
    }
    if (fz.count + 1 >= MAX_OBJECTS) fail("too many objects for the test", 0);
    id = enter(p, kind, n);
    if (kind == HOOK) {
        ((Hook *)p)->s = calloc(3, sizeof(void *));
        ((Hook *)p)->n = 3;
    }
    if (kind == FULL || kind == SUB || kind == VECTOR)
        fz.ob[id].deed = (uint8_t)(one_in(2) ? NOTHING : below(DEEDS));
    return id;
}

/* ---- references held by the test itself ------------------------------------- */

static void hold(uint32_t id)
{
    fz.held[fz.held_count++] = id;
    changed();
}

static uint32_t unhold(void)
{
    changed();
    return fz.held[--fz.held_count];
}

/* The newest held reference goes to a root; what was there is dropped. */
static void held_to_root(void)
{
    uint32_t i = below(ROOTS), old = fz.root[i];
    fz.root[i] = unhold();
    mm_decref(pointer(old));
}

static void drop_held(void)
{
    void *p = pointer(unhold());
    mm_decref(p);
}

static void save(uint32_t id)
{
    if (fz.saved_count == SAVED) return;
    mm_incref(pointer(id));
    fz.saved[fz.saved_count++] = id;
    changed();
}

/* Some reachable object, by a random walk; 0: none. */
static uint32_t walk(void)
{
    uint32_t id = fz.root[below(ROOTS)], hops = below(10), next;
    while (id != 0 && hops-- > 0) {
        const Shadow *s = &fz.ob[id];
        if (s->n == 0 || s->kind == WEAK) break;
        next = s->slot[below(s->n)];
        if (next == 0) break;
        id = next;
    }
    return id;
}

/* A reachable object with slots for anything, and one of them; 0: none. */
static uint32_t walk_slot(uint32_t *k)
{
    uint32_t id = walk();
    const Shadow *s = &fz.ob[id];
    if (id == 0 || s->n == 0 || s->kind == WEAK || s->kind == LABEL) return 0;
    *k = below(s->n);
    return id;
}

/* ---- changes, in the shadow first: hooks that run meanwhile see it as it is - */

static void set(uint32_t id, uint32_t k, uint32_t to)
{
    fz.ob[id].slot[k] = to;
    changed();
    mm_set(slot(id, k), pointer(to));
}

/* The newest held reference moves into a slot. */
static void set_held(uint32_t id, uint32_t k)
{
    uint32_t to = unhold();
    fz.ob[id].slot[k] = to;
    mm_set_steal(slot(id, k), pointer(to));
}

static void take(uint32_t id, uint32_t k)
{
    uint32_t v = fz.ob[id].slot[k];
    void *p;
    hold(v);
    fz.ob[id].slot[k] = 0;
    p = mm__take(slot(id, k));
    if (p != pointer(v)) fail("mm_take gave another object", id);
}

/* ---- slices and collections ------------------------------------------------- */

static void slice(void)
{
    mm__heap *h = mm__H(fz.heap);
    if (h->busy.collecting) {
        mm_gc_step(fz.heap, 1000000); /* does nothing there */
        return;
    }
    if (h->gc.old.phase == MM__IDLE) {
        if (!one_in(6)) return;
        h->gc.closure_wait = 0;
        h->gc.closure_limit = 1 + below(40);
        if (one_in(2)) mm__closure_due(h);
        if (h->gc.old.phase == MM__IDLE) mm__old_start(h);
    }
    mm__old_slice(h, 1 + below(8), 0);
}

static void collect(int generation)
{
    bool inside = mm__H(fz.heap)->busy.collecting;
    size_t n = mm_gc_collect(fz.heap, generation);
    if (inside && n != 0) fail("a collection inside a collection", 0);
}

/* ---- hooks ------------------------------------------------------------------ */

/* Something that is allowed anywhere. */
static void anything(void)
{
    uint32_t id;
    switch (below(6)) {
    case 0: collect((int)below(3)); break;
    case 1: slice(); break;
    case 2:
        id = create();
        if (id == 0) break;
        hold(id);
        drop_held();
        break;
    case 3:
        id = create();
        if (id == 0) break;
        hold(id);
        if (fz.ob[id].n > 0 && fz.ob[id].kind != LABEL) set(id, 0, id);
        drop_held(); /* cyclic garbage */
        break;
    default: break;
    }
}

/* What was unreachable before a deed and is reachable now has been trash. A weak
   reference that was trash is dead, also if its target never was. */
static void note_resurrection(const uint32_t *mark_before, uint32_t stamp_before,
                              uint32_t count_before)
{
    uint32_t i;
    reach();
    for (i = 1; i < count_before; i++)
        if (mark_before[i] != stamp_before && fz.ob[i].mark == fz.stamp)
            fz.ob[i].came_back = fz.ob[i].may_be_dead = true;
    for (i = 1; i < fz.count; i++)
        if (fz.ob[i].kind == WEAK && fz.ob[fz.ob[i].target].came_back)
            fz.ob[i].may_be_dead = true;
}

/* An object that is new, or garbage of its own, and that nobody may ever reach, holds
   this trash: it survives, weakly dead, and is reachable again if that one is found. */
static void held_by_lost(uint32_t id)
{
    static uint32_t stack[MAX_OBJECTS];
    uint32_t n = 0, i, k;
    stack[n++] = id;
    while (n) {
        Shadow *s = &fz.ob[id = stack[--n]];
        if (s->came_back || reachable(id)) continue;
        s->came_back = s->may_be_dead = true;
        for (k = 0; k < s->n && n < MAX_OBJECTS; k++)
            if (s->slot[k] && !fz.ob[s->slot[k]].came_back) stack[n++] = s->slot[k];
    }
    for (i = 1; i < fz.count; i++)
        if (fz.ob[i].kind == WEAK && fz.ob[fz.ob[i].target].came_back)
            fz.ob[i].may_be_dead = true;
}

static void do_deed(uint32_t id)
{
    Shadow *s = &fz.ob[id];
    uint32_t k = s->n ? below(s->n) : 0, v = s->n ? s->slot[k] : 0, w;
    switch (s->deed) {
    case RESURRECT: save(id); break;
    case SAVE:
        if (v) save(v);
        break;
    case CUT:
        for (k = 0; k < s->n; k++) set(id, k, 0);
        break;
    case CUT_OTHER:
        if (v && fz.ob[v].n > 0 && fz.ob[v].kind != WEAK) set(v, below(fz.ob[v].n), 0);
        break;
    case STORE:
        if (!v || fz.ob[v].n == 0 || fz.ob[v].kind == WEAK || fz.ob[v].kind == LABEL)
            break;
        held_by_lost(id);
        set(v, below(fz.ob[v].n), id);
        break;
    case CREATE:
        w = create();
        if (w == 0) break;
        hold(w);
        if (fz.ob[w].n > 0 && fz.ob[w].kind != LABEL) {
            held_by_lost(id);
            set(w, 0, id);
        }
        if (s->n > 0 && one_in(2)) set(id, k, w);
        drop_held();
        break;
    case COLLECT: anything(); break;
    default: break;
    }
}

static bool finalize(void *object)
{
    static uint32_t marks[DEPTH][MAX_OBJECTS];
    uint32_t id = ((Base *)object)->id, i, stamp, count = fz.count, *mark;
    Shadow *s = &fz.ob[id];
    if (((Base *)object)->canary != CANARY) fail("a finalizer without an object", id);
    if (id == 0 || id >= count || s->p != object) fail("a finalizer, mistaken", id);
    note("  finalize", id, s->deed, 0);
    if (s->finalized) fail("finalized twice", id);
    if (reachable(id) && !(s->came_back && mm__H(fz.heap)->busy.collecting))
        fail("a reachable object is finalized", id); /* unless one before saved it */
    check_intact(id);
    s->finalized = true;
    if (s->deed == NOTHING || fz.destroying || fz.depth == DEPTH) return true;
    if (s->deed == FAIL) return false;
    fz.hooks++;
    mark = marks[fz.depth++];
    for (i = 1; i < count; i++) mark[i] = fz.ob[i].mark;
    stamp = fz.stamp;
    do_deed(id);
    note_resurrection(mark, stamp, count);
    fz.depth--;
    return true;
}

static void dispose(void *object)
{
    uint32_t id = ((Base *)object)->id, k;
    Shadow *s = &fz.ob[id];
    if (((Base *)object)->canary != CANARY) fail("a disposer without an object", id);
    if (id == 0 || id >= fz.count || s->p != object) fail("a disposer, mistaken", id);
    if (s->disposed) fail("disposed of twice", id);
    if (!fz.destroying && s->kind != HOOK && !s->finalized)
        fail("disposed of without being finalized", id);
    if (!fz.destroying && reachable(id)) fail("a reachable object is disposed of", id);
    for (k = 0; k < s->n && s->kind != VECTOR; k++) /* a vector's block is gone */
        if (mm__load(slot(id, k)) != NULL) fail("disposed of with a slot set", id);
    s->disposed = true;
    if (s->kind == HOOK) free(((Hook *)object)->s);
}

static void hook_traverse(void *object, mm_visit_fn visit, void *context)
{
    const Hook *hook = object;
    uint32_t k;
    for (k = 0; k < hook->n; k++)
        if (hook->s[k] != NULL) visit(hook->s[k], context);
}

static void hook_clear(void *object)
{
    const Hook *hook = object;
    uint32_t k;
    for (k = 0; k < hook->n; k++) mm_clear(&hook->s[k]);
}

static bool weak_fired(mm_weakref *ref, void *user)
{
    uint32_t w = *map_entry(ref);
    Shadow *s = &fz.ob[w];
    fz.hooks++;
    note("  callback", w, s->target, 0);
    if (w == 0 || !s->callback) fail("a callback without a reference", w);
    if (user != pointer(s->slot[0])) fail("a callback with another user pointer", w);
    if (s->fired) fail("a callback ran twice", w);
    if (s->cleared) fail("a callback of a cleared reference", w);
    if (mm_weakref_get(ref) != NULL) fail("a callback with a live reference", w);
    s->fired = s->dead = true;
    changed();
    if (!fz.destroying && reachable(s->target)) fail("fired for a live target", w);
    if (fz.destroying || fz.depth == DEPTH) return true;
    fz.depth++;
    if (one_in(3)) anything();
    if (one_in(8)) { /* drop something outside */
        uint32_t i = below(ROOTS), old = fz.root[i];
        fz.root[i] = 0;
        changed();
        mm_decref(pointer(old));
    }
    fz.depth--;
    return !one_in(10);
}

static void fz_fired(void *user)
{
    Fz *f = user;
    fz.hooks++;
    note("  finalize callback", f->id, 0, 0);
    if (f->fired || f->detached) fail("a finalize callback ran twice", f->id);
    if (!fz.destroying && reachable(f->id))
        fail("a finalize callback, too early", f->id);
    f->fired = true;
    if (fz.destroying || fz.depth == DEPTH || !one_in(3)) return;
    fz.depth++;
    anything();
    fz.depth--;
}

static void types_setup(void)
{
    mm_typeof(Full)->finalize = finalize;
    mm_typeof(Full)->dispose = dispose;
    mm_typeof(Vector)->finalize = finalize;
    mm_typeof(Vector)->dispose = dispose;
    mm_typeof(Hook)->traverse = hook_traverse;
    mm_typeof(Hook)->clear = hook_clear;
    mm_typeof(Hook)->dispose = dispose;
    mm_type_register(NULL, mm_typeof(Leaf));
}

/* ---- checks ----------------------------------------------------------------- */

/* The collector holds weak references whose callbacks it is about to run. */
static uint32_t call_due(uint32_t id)
{
    const Shadow *s = &fz.ob[id];
    return s->kind == WEAK && s->callback && !s->fired;
}

/* Every reachable object is intact, and its count is explained: by at least the
   references from the reachable, by at most all there ever were. */
static void verify(void)
{
    uint32_t id, k, i;
    reach();
    for (id = 1; id < fz.count; id++)
        if (fz.ob[id].mark == fz.stamp) check_intact(id);
    memset(fz.refs, 0, fz.count * sizeof *fz.refs);
    for (i = 0; i < ROOTS; i++) fz.refs[fz.root[i]]++;
    for (i = 0; i < fz.saved_count; i++) fz.refs[fz.saved[i]]++;
    for (id = 1; id < fz.count; id++)
        if (fz.ob[id].mark == fz.stamp && fz.ob[id].kind != WEAK)
            for (k = 0; k < fz.ob[id].n; k++) fz.refs[fz.ob[id].slot[k]]++;
    for (id = 1; id < fz.count; id++)
        if (fz.ob[id].mark == fz.stamp && mm_refcount(fz.ob[id].p) < fz.refs[id])
            fail("its count is too low", id);
    for (id = 1; id < fz.count; id++)
        if (fz.ob[id].mark != fz.stamp || fz.ob[id].kind == WEAK)
            for (k = 0; k < fz.ob[id].n && !fz.ob[id].disposed; k++)
                fz.refs[fz.ob[id].slot[k]]++;
    for (id = 1; id < fz.count; id++)
        if (fz.ob[id].mark == fz.stamp && mm_refcount(fz.ob[id].p) != INT64_MAX &&
            mm_refcount(fz.ob[id].p) > fz.refs[id] + call_due(id))
            fail("its count is too high", id);
}

static void drain(void)
{
    mm_gc_stats stats;
    int i;
    for (i = 0; i < 100000; i++) {
        mm_gc_get_stats(fz.heap, &stats);
        if (stats.pending_free == 0) return;
        mm_gc_step(fz.heap, 1000000);
    }
    fail("freeing does not end", 0);
}

typedef struct Found {
    size_t mine, weak, pooled;
} Found;

/* What there must be, by the shadow's marks. */
static Found expect(void)
{
    Found found = {0, 0, 0};
    uint32_t id;
    for (id = 1; id < fz.count; id++) {
        if (fz.ob[id].mark != fz.stamp) continue;
        if (fz.ob[id].kind == WEAK)
            found.weak++;
        else if (fz.ob[id].kind == POOLED)
            found.pooled++;
        else
            found.mine++;
    }
    return found;
}

static bool find_block(const mm_block *block, void *user)
{
    Found *found = user;
    uint32_t id;
    if (block->kind == MM_BLOCK_RAW) return true;
    if (block->type == fz.weak_type && fz.weak_type != NULL) {
        found->weak++;
        return true;
    }
    for (id = 0; id < WEAK; id++)
        if (block->type == type_of((enum kind)id)) break;
    if (id == WEAK || id == POOLED) return true;
    id = ((Base *)block->address)->id;
    if (fz.ob[id].mark != fz.stamp) fail("an unreachable object survived", id);
    found->mine++;
    return true;
}

/* Collect until no user code runs in it that could make new garbage. */
static void settle(void)
{
    uint64_t before;
    int rounds = 0;
    do {
        if (++rounds > 100) fail("collections do not settle", 0);
        drain();
        before = fz.hooks;
        mm_gc_collect(fz.heap, 2);
        drain();
    } while (fz.hooks != before);
}

/* Then only the reachable are there. */
static void exact(void)
{
    Found found = {0, 0, 0}, least, most;
    bool starve = fz.starve;
    mm_pool_stats stats;
    fz.starve = false;
    mm_gc_unfreeze(fz.heap);
    settle();
    reach();
    least = expect();
    reach_more();
    most = expect();
    mm_heap_walk(fz.heap, find_block, &found);
    mm_pool_get_stats(fz.pool, &stats);
    found.pooled = stats.in_use;
    if (found.mine < least.mine || found.mine > most.mine)
        fail("objects are missing or left over", 0);
    if (found.weak < least.weak || found.weak > most.weak)
        fail("weak references are missing or left over", 0);
    if (found.pooled < least.pooled || found.pooled > most.pooled)
        fail("pooled objects are missing or left over", 0);
    fz.starve = starve;
}

/* ---- weak references and handles -------------------------------------------- */

static void weak_create(void)
{
    uint32_t target = walk(), w, *entry, owned = one_in(6) ? walk() : 0;
    bool callback = owned != 0 || one_in(2);
    mm_weakref *ref;
    if (target == 0 || fz.ob[target].kind == WEAK) return;
    if (fz.count + 1 >= MAX_OBJECTS) return;
    mm_incref(pointer(target)); /* user code may run inside, and drop them */
    hold(target);
    mm_incref(pointer(owned));
    hold(owned);
    if (owned)
        ref = mm_weakref_new_owning(pointer(target), weak_fired, pointer(owned));
    else
        ref = mm_weakref_new(pointer(target), callback ? weak_fired : NULL, NULL);
    if (ref == NULL) {
        if (!fz.starve) fail("no memory for a weak reference", target);
        drop_held();
        drop_held();
        return;
    }
    if (fz.weak_type == NULL) fz.weak_type = mm_type_of(ref);
    if (mm_type_of(ref) != fz.weak_type)
        fail("a weak reference of another type", target);
    entry = map_entry(ref);
    w = *entry;
    if (w == 0 || fz.ob[w].kind != WEAK || fz.ob[w].target != target || callback ||
        fz.ob[w].callback || fz.ob[w].cleared) {
        w = enter(ref, WEAK, owned ? 1 : 0);
        fz.ob[w].target = target;
        fz.ob[w].callback = callback;
        if (owned) fz.ob[w].slot[0] = owned;
    }
    fz.ob[w].dead = fz.ob[w].fired = false;
    fz.ob[w].may_be_dead = false;
    drop_held();
    drop_held();
    hold(w);
    note("weak", w, target, callback);
    held_to_root();
}

/* An object found without a reference: it must be whole, and then it is held. */
static void found_weakly(uint32_t id, void *p, bool must)
{
    if (p == NULL) {
        if (must) fail("a live object was not found", id);
        return;
    }
    if (p != fz.ob[id].p) fail("another object was found", id);
    hold(id);
    check_intact(id);
    if (one_in(2)) slice();
    check_intact(id);
    if (one_in(2))
        held_to_root();
    else
        drop_held();
}

static void weak_get(void)
{
    uint32_t w = 0, target, tries = 8;
    bool must;
    void *p;
    while (fz.ob[w].kind != WEAK && tries-- > 0) w = walk();
    if (fz.ob[w].kind != WEAK) return;
    target = fz.ob[w].target;
    must = reachable(target) && !fz.ob[w].may_be_dead && !fz.ob[w].cleared;
    p = mm_weakref_get(fz.ob[w].p);
    note("weak get", w, target, p != NULL);
    if (p != NULL && fz.ob[w].dead) fail("a dead reference lives again", w);
    if (p == NULL) fz.ob[w].dead = true;
    found_weakly(target, p, must);
}

static void weak_clear(void)
{
    uint32_t id = walk(), w;
    if (id == 0 || fz.ob[id].kind == WEAK) return;
    note("weak clear", id, 0, 0);
    for (w = 1; w < fz.count; w++)
        if (fz.ob[w].kind == WEAK && fz.ob[w].target == id) fz.ob[w].cleared = true;
    changed();
    mm_weakref_clear_all(pointer(id));
}

static void handle_create(void)
{
    uint32_t id = walk(), i;
    mm_handle h;
    if (id == 0 || fz.ob[id].kind == WEAK) return;
    h = mm_handle_of(pointer(id));
    if (h == 0) {
        if (!fz.starve) fail("no handle", id);
        return;
    }
    if (fz.ob[id].handle != 0 && fz.ob[id].handle != h && !fz.ob[id].came_back)
        fail("another handle for the same object", id);
    for (i = 0; i < HANDLES; i++)
        if (fz.handle[i] != 0 && fz.handle[i] != id && fz.ob[fz.handle[i]].handle == h)
            fail("one handle for two objects", id);
    fz.ob[id].handle = h;
    fz.handle[below(HANDLES)] = id;
}

static void handle_get(void)
{
    uint32_t id = fz.handle[below(HANDLES)];
    mm_handle h;
    void *p;
    if (one_in(20)) {
        h = one_in(2) ? (uint64_t)below(HANDLES) << 32 | below(64)
                      : (uint64_t)below(UINT32_MAX) << 32 | below(UINT32_MAX);
        p = mm_handle_borrow(fz.heap, h);
        if (p != NULL && mm_handle_of(p) != h) fail("an invented handle", 0);
        return;
    }
    if (id == 0) return;
    note("handle get", id, 0, 0);
    h = fz.ob[id].handle;
    found_weakly(id, mm_handle_get(fz.heap, h), reachable(id) && !fz.ob[id].came_back);
}

/* A knot of its own is lost, and found again some slices later. */
static void op_lost(void)
{
    uint32_t id = create(), n = below(12);
    if (id == 0) return;
    hold(id);
    if (fz.ob[id].n > 0 && fz.ob[id].kind != LABEL) set(id, 0, id);
    fz.ob[id].handle = mm_handle_of(pointer(id));
    if (one_in(2)) collect((int)below(2));
    drop_held();
    if (fz.ob[id].handle == 0) return; /* no memory */
    note("lost", id, fz.ob[id].kind, n);
    while (n-- > 0) slice();
    found_weakly(id, mm_handle_get(fz.heap, fz.ob[id].handle), false);
}

static void fz_create(void)
{
    uint32_t id = walk();
    Fz *f = &fz.fz[fz.fz_count];
    mm_finalizer *finalizer;
    if (id == 0 || fz.ob[id].kind == WEAK || fz.fz_count == 2048) return;
    fz.fz_count++;
    memset(f, 0, sizeof *f);
    f->id = id;
    mm_incref(pointer(id));
    hold(id);
    finalizer = mm_finalize(pointer(id), fz_fired, f);
    if (finalizer == NULL) {
        if (!fz.starve) fail("no memory for a finalize callback", id);
        f->detached = true;
    } else if (one_in(5)) {
        f->detached = true;
        if (!mm_finalizer_detach(finalizer)) fail("it was not alive", id);
    }
    mm_decref(finalizer);
    drop_held();
}

/* ---- operations ------------------------------------------------------------- */

static void op_create(void)
{
    uint32_t id = create(), to = walk(), k;
    if (id == 0) return;
    note("create", id, fz.ob[id].kind, fz.ob[id].deed);
    hold(id);
    if (fz.ob[id].n > 0 && to != 0 && fz.ob[id].kind != LABEL) set(id, 0, to);
    if (one_in(3)) slice();
    to = walk_slot(&k);
    if (to != 0 && one_in(2))
        set_held(to, k);
    else
        held_to_root();
}

static void op_link(void)
{
    uint32_t k, id = walk_slot(&k), to = one_in(5) ? 0 : walk();
    if (id == 0) return;
    note("link", id, k, to);
    if (fz.ob[id].slot[k] == 0 && one_in(2)) { /* a plain store of an own reference */
        mm_incref(pointer(to));
        fz.ob[id].slot[k] = to;
        changed();
        mm__store(slot(id, k), pointer(to));
    } else {
        set(id, k, to);
    }
}

static void op_move(void)
{
    uint32_t k, j, id = walk_slot(&k), to;
    if (id == 0 || fz.ob[id].slot[k] == 0) return;
    note("take", id, k, fz.ob[id].slot[k]);
    take(id, k);
    if (one_in(2)) slice(); /* the reference is in a local variable only */
    if (one_in(4)) op_create();
    to = walk_slot(&j);
    if (to != 0 && one_in(2))
        set_held(to, j);
    else if (one_in(3))
        drop_held();
    else
        held_to_root();
}

static void op_swap(void)
{
    uint32_t k, j, id = walk_slot(&k), to = walk_slot(&j);
    if (id == 0 || to == 0) return;
    note("swap", id, to, k);
    take(id, k);
    take(to, j);
    if (one_in(3)) slice();
    if (!reachable(id) || !reachable(to)) { /* it hung from what was taken, or died */
        drop_held();
        drop_held();
        return;
    }
    set_held(id, k);
    if (reachable(to)) /* that may have cut it off */
        set_held(to, j);
    else
        drop_held();
}

static void op_root(void)
{
    uint32_t i = below(ROOTS), old = fz.root[i], to = one_in(2) ? 0 : walk();
    note("root", i, old, to);
    mm_incref(pointer(to)); /* no barrier in that */
    fz.root[i] = to;
    changed();
    mm_decref(pointer(old));
}

static void op_vector(void)
{
    uint32_t id = walk(), n = fz.ob[id].n;
    Vector *v = pointer(id);
    void **s;
    uint32_t *shadow;
    if (id == 0 || fz.ob[id].kind != VECTOR) return;
    if (n > 0 && one_in(3)) {
        note("pop", id, n, 0);
        mm_incref(v);
        hold(id);
        take(id, n - 1);
        fz.ob[id].n--;
        v->n--;
        drop_held();
        drop_held();
        return;
    }
    note("push", id, n, 0);
    mm_incref(v); /* making room may collect */
    hold(id);
    s = mm_realloc(fz.heap, v->s, (n + 1 + below(20)) * sizeof *s);
    if (s != NULL) {
        shadow = realloc(fz.ob[id].slot, (n + 2) * sizeof *shadow);
        if (shadow == NULL) fail("the test has no memory", id);
        shadow[n] = 0;
        fz.ob[id].slot = shadow;
        s[n] = NULL;
        v->s = s;
        v->n++;
        fz.ob[id].n++;
        changed();
        set(id, n, walk());
    } else if (!fz.starve) {
        fail("no memory to grow a vector", id);
    }
    drop_held();
}

/* Many references from one object to another: more than a byte can count. */
static void op_fan(void)
{
    uint32_t k, id = walk_slot(&k), to = one_in(2) ? id : walk();
    if (id == 0 || to == 0) return;
    note("fan", id, to, fz.ob[id].n);
    mm_incref(pointer(id)); /* what dies here may have held it */
    hold(id);
    mm_incref(pointer(to));
    hold(to);
    for (k = 0; k < fz.ob[id].n; k++) set(id, k, to);
    drop_held();
    drop_held();
}

static void op_label(void)
{
    uint32_t id = walk(), leaf = walk();
    if (id == 0 || leaf == 0) return;
    if (fz.ob[id].kind != LABEL || fz.ob[leaf].kind != LEAF) return;
    set(id, below(2), leaf);
}

static void op_saved(void)
{
    while (fz.saved_count > 0 && !one_in(3)) {
        uint32_t id = fz.saved[--fz.saved_count];
        changed();
        mm_decref(pointer(id));
    }
}

static void op_control(void)
{
    uint32_t id;
    switch (below(10)) {
    case 0: mm_heap_purge(fz.heap); break;
    case 1:
        mm_gc_set_threshold(fz.heap, (int)below(40), (int)below(4), (int)below(4));
        break;
    case 2: mm_gc_enable(fz.heap); break;
    case 3: mm_gc_disable(fz.heap); break;
    case 4: mm_gc_freeze(fz.heap); break;
    case 5: mm_gc_unfreeze(fz.heap); break;
    case 6: mm_pool_shrink(fz.pool, below(4)); break;
    case 7:
        id = walk();
        if (!fz.use_immortals || id == 0 || fz.immortal_count == 16) break;
        if (fz.ob[id].kind == POOLED) break;
        note("immortalize", id, 0, 0);
        mm_immortalize(pointer(id));
        fz.immortal[fz.immortal_count++] = id;
        changed();
        break;
    case 8: drain(); break;
    default: mm_gc_step(fz.heap, 1000000); break;
    }
}

static void operation(void)
{
    uint32_t op = below(100);
    if (op < 22)
        op_create();
    else if (op < 42)
        op_link();
    else if (op < 52)
        op_move();
    else if (op < 57)
        op_swap();
    else if (op < 69)
        op_root();
    else if (op < 73)
        op_vector();
    else if (op < 75)
        one_in(4) ? op_label() : op_fan();
    else if (op < 80)
        weak_create();
    else if (op < 85)
        weak_get();
    else if (op < 87)
        handle_create();
    else if (op < 89)
        handle_get();
    else if (op < 90)
        op_lost();
    else if (op < 91)
        fz_create();
    else if (op < 93)
        op_saved();
    else if (op < 96)
        op_control();
    else if (op < 98)
        collect((int)below(3));
    else if (one_in(10))
        weak_clear();
    while (one_in(2)) slice();
}

/* ---- a seed ----------------------------------------------------------------- */

static void begin(void)
{
    mm_heap_desc desc;
    mm_pool_desc pool;
    memset(&desc, 0, sizeof desc);
    memset(&pool, 0, sizeof pool);
    desc.log = on_log;
    desc.map = os_map;
    desc.unmap = os_unmap;
    desc.gc_threshold[0] = one_in(2) ? 1 + (int)below(30) : 700;
    desc.gc_threshold[1] = 1 + (int)below(5);
    desc.gc_threshold[2] = 1 + (int)below(5);
    desc.gc_pause_us = one_in(4) ? MM_GC_UNSLICED : 1000000;
    desc.gc_disable = one_in(4);
    desc.gc_stress = one_in(24);
    desc.debug = one_in(8) ? 1 + (int)below(2) : 0;
    desc.quarantine_bytes = 4096;
    fz.use_immortals = one_in(16);
    fz.heap = mm_heap_create(&desc);
    if (fz.heap == NULL) fail("no heap", 0);
    pool.type = mm_typeof(Pooled);
    pool.max_idle = 1 + below(20);
    fz.pool = mm_pool_create(fz.heap, &pool);
    if (fz.pool == NULL) fail("no pool", 0);
    fz.starve = one_in(8);
}

/* Drop everything, also what finalizers bring back. */
static void end(void)
{
    uint32_t i, left;
    size_t held;
    int rounds = 0;
    fz.starve = false;
    for (i = 0; i < ROOTS; i++) {
        uint32_t old = fz.root[i];
        fz.root[i] = 0;
        changed();
        mm_decref(pointer(old));
    }
    do {
        while (fz.saved_count > 0) {
            uint32_t id = fz.saved[--fz.saved_count];
            changed();
            mm_decref(pointer(id));
        }
        exact();
        for (i = left = 0; i < ROOTS; i++) left += fz.root[i] != 0;
        if (++rounds > 100) fail("finalizers bring objects back for ever", 0);
    } while (fz.saved_count > 0 || left > 0);
    if (!mm_heap_check(fz.heap)) fail("mm_heap_check", 0);
    reach_more();
    for (i = 0; i < fz.fz_count; i++)
        if (!fz.fz[i].fired && !fz.fz[i].detached &&
            fz.ob[fz.fz[i].id].mark != fz.stamp)
            fail("a finalize callback did not run", fz.fz[i].id);
    fz.destroying = true;
    mm_pool_destroy(fz.pool);
    held = mm_heap_destroy(fz.heap);
    if (fz.immortal_count == 0 && held != 0) fail("the heap says something is held", 0);
}

static bool run_seed(uint64_t seed, uint64_t ops)
{
    Shadow *ob = fz.ob;
    uint32_t i;
    for (i = 1; i < fz.count; i++) free(ob[i].slot);
    memset(&fz, 0, sizeof fz);
    fz.ob = ob;
    fz.seed = seed;
    fz.ops = ops;
    fz.random = seed * UINT64_C(0x9E3779B97F4A7C15) ^ UINT64_C(0xD1B54A32D192ED03);
    fz.count = 1;
    fz.version = 1;
    trace_next = 0;
    memset(&ob[0], 0, sizeof ob[0]);
    if (setjmp(fz.failed)) return false;
    below(2);
    begin();
    for (fz.op = 0; fz.op < fz.ops; fz.op++) {
        operation();
        if (fz.op % 16 == 0) verify();
        if (fz.op % 400 == 399) exact();
        if (fz.op % 200 == 199 && !mm_heap_check(fz.heap)) fail("mm_heap_check", 0);
    }
    verify();
    end();
    return true;
}

/* Seeds that found something once. */
static const struct {
    uint64_t seed, ops;
} recorded[] = {
    {159, 3000},     {4060, 3000},    {15528, 3000},   {31230, 3000},   {2760, 3000},
    {9822, 3000},    {56450, 3000},   {14630, 3000},   {72149, 3000},
    {80266, 3000},   {85261, 3000},   {91909, 3000},   {24938, 3000},   {78267, 3000},
    {28788, 3000},
    {5, 1200},       {16, 1200},      {21, 1200},      {60, 1200},      {99, 1200},
    {200, 2500},     {307, 3000},     {482, 3000},     {973, 3000},     {5029, 12000},
    {5136, 12000},   {5169, 12000},   {5225, 12000},   {100173, 15000}, {100351, 15000},
    {200112, 15000}, {200675, 15000}, {200966, 15000}, {93, 15000},   {700034, 3000},
    {800558, 3000},  {2794, 3000},    {35295, 3000},   {41459, 3000},
};

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
    uint64_t ops = argc > 3 ? strtoull(argv[3], NULL, 10) : 3000;
    uint64_t passed = 0, failed = 0;
    static const int signals[] = {SIGSEGV, SIGABRT, SIGFPE, SIGILL};
    size_t i;
    for (i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], on_signal);
    fz.ob = calloc(MAX_OBJECTS, sizeof *fz.ob);
    if (fz.ob == NULL) return 2;
    types_setup();
    for (i = 0; first == 1 && i < sizeof recorded / sizeof recorded[0]; i++)
        if ((argc < 5 || failed == 0) && !run_seed(recorded[i].seed, recorded[i].ops))
            failed++;
    for (; count > 0 && (argc < 5 || failed == 0); count--, first++)
        if (run_seed(first, ops))
            passed++;
        else
            failed++;
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
