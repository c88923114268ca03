/* test_weak.c - the room weak: weak references and handles.

   The name of a test starts with the behaviour of CPython it checks (W1, W2, ...), or
   says in words what this library adds. Not here:
     W18   subclasses of ref: the user pointer takes their place
   With a change of form: W1 (no repr), W8 (mm_weakref_new_owning), W17 (get, use,
   drop instead of a proxy), W19 (a pair of weak reference and function pointer).
   mm_finalize is in test_finalize.c.
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include "gc_testing.h"

/* ---- 3.1 references --------------------------------------------------------- */

static void W1_reference_while_alive_then_null(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    Text *text = mm_new(heap, Text);
    mm_weakref *ref = mm_weakref_new(t, NULL, NULL), *leaf;
    void *got;
    (void)state;
    text->id = 2;
    leaf = mm_weakref_new(text, NULL, NULL);
    got = mm_weakref_get(ref);
    assert_ptr_equal(got, t);
    assert_int_equal(mm_refcount(t), 2); /* a new reference */
    mm_decref(t);
    assert_ptr_equal(mm_weakref_get(ref), t); /* which keeps it alive */
    mm_decref(t);
    mm_decref(got);
    assert_int_equal(gt.disposed[1], 1);
    assert_null(mm_weakref_get(ref));
    assert_true(mm_weakref_is_dead(ref));
    assert_false(mm_weakref_is_dead(leaf));
    mm_decref(text);
    assert_null(mm_weakref_get(leaf));
    mm_decref(leaf);
    mm_decref(ref);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

typedef struct Fired {
    int times;
    mm_weakref *last;
} Fired;

static bool fire(mm_weakref *ref, void *user)
{
    Fired *fired = user;
    fired->times++;
    fired->last = ref;
    assert_null(mm_weakref_get(ref));
    return true;
}

static void W2_callback_once_with_the_dead_reference(void **state)
{
    mm_heap *heap = gt_heap();
    Fired fired = {0, NULL};
    Thing *t = thing(heap, 1, NULL);
    mm_weakref *ref = mm_weakref_new(t, fire, &fired);
    (void)state;
    assert_int_equal(fired.times, 0);
    mm_decref(t);
    assert_int_equal(fired.times, 1);
    assert_ptr_equal(fired.last, ref);
    mm_gc_collect(heap, 2);
    mm_decref(ref);
    mm_gc_collect(heap, 2);
    assert_int_equal(fired.times, 1);
    gt_close(heap);
}

static mm_weakref *several[5];

static bool weak_all_dead(mm_weakref *ref, void *user)
{
    size_t i, found = 0;
    (void)user;
    for (i = 0; i < 5; i++) {
        assert_null(mm_weakref_get(several[i]));
        if (several[i] == ref) found++;
    }
    assert_int_equal(found, 1);
    gt_note("fired");
    return true;
}

static void W3_all_dead_before_the_first_callback(void **state)
{
    mm_heap *heap = gt_heap();
    int cyclic, i;
    (void)state;
    for (cyclic = 0; cyclic < 2; cyclic++) {
        Thing *t = cyclic ? thing_loop(heap, -1, NULL) : thing(heap, -1, NULL);
        for (i = 0; i < 5; i++) {
            several[i] = mm_weakref_new(t, i == 2 ? NULL : weak_all_dead, NULL);
            assert_non_null(several[i]);
        }
        mm_decref(t);
        mm_gc_collect(heap, 2);
        assert_string_equal(gt.trace, "fired fired fired fired");
        gt_forget();
        for (i = 0; i < 5; i++) mm_decref(several[i]);
    }
    gt_close(heap);
}

static bool weak_fail(mm_weakref *ref, void *user)
{
    (void)ref;
    gt_note("%s", (const char *)user);
    return false;
}

static void note_error(mm_heap *heap, void *object, const char *what, void *user)
{
    (void)heap;
    (void)user;
    assert_non_null(object);
    assert_non_null(what);
    gt_note("error");
}

static void W4_newest_first_and_failures_are_reported(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL);
    static char bad[] = "bad";
    mm_weakref *r1 = weak(t, "first"), *r2 = mm_weakref_new(t, weak_fail, bad);
    mm_weakref *r3 = weak(t, "third");
    (void)state;
    mm_gc_set_error_hook(heap, note_error, NULL);
    mm_gc_collect(heap, 9); /* an error that was pending stays as it is */
    mm_decref(t);
    assert_string_equal(gt.trace, "third bad error first");
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    mm_decref(r1);
    mm_decref(r2);
    mm_decref(r3);
    gt_forget();
    t = thing_loop(heap, -1, NULL); /* the same in a collection */
    r1 = weak(t, "first");
    r2 = mm_weakref_new(t, weak_fail, bad);
    r3 = weak(t, "third");
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_string_equal(gt.trace, "third bad error first");
    mm_gc_set_error_hook(heap, NULL, NULL);
    mm_decref(r1);
    mm_decref(r2);
    mm_decref(r3);
    gt_close(heap);
}

static void W5_sharing(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    mm_weakref *shared = weak(t, NULL), *again = weak(t, NULL);
    mm_weakref *cb1 = weak(t, "x"), *cb2 = weak(t, "x");
    mm_weakref *owning = mm_weakref_new_owning(t, NULL, NULL);
    (void)state;
    assert_ptr_equal(shared, again);
    assert_int_equal(mm_refcount(shared), owning == shared ? 3 : 2);
    assert_ptr_not_equal(cb1, cb2);
    assert_ptr_not_equal(cb1, shared);
    mm_decref(owning);
    mm_decref(shared);
    assert_true(weak_alive(again)); /* while one holder lives */
    mm_decref(again);
    shared = weak(t, NULL);
    assert_ptr_not_equal(shared, cb1);
    assert_ptr_not_equal(shared, cb2);
    mm_decref(t);
    assert_string_equal(gt.trace, "fin1 x x");
    mm_decref(shared);
    mm_decref(cb1);
    mm_decref(cb2);
    gt_close(heap);
}

typedef struct Bare {
    int id;
} Bare;

static mm_type mm_type_of_Bare = {"Bare",
                                  sizeof(Bare),
                                  NULL,
                                  0,
                                  MM_TYPE_NO_WEAK | MM_TYPE_IS_LEAF,
                                  NULL,
                                  NULL,
                                  NULL,
                                  NULL,
                                  NULL,
                                  NULL,
                                  NULL,
                                  NULL,
                                  {0, 0, 0, 0, 0, 0, NULL, NULL, 0}};

static void W6_count_and_list(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    Bare *bare = mm_new(heap, Bare);
    mm_weakref *a, *b, *c, *shared;
    (void)state;
    assert_int_equal(mm_weakref_count(t), 0);
    assert_int_equal(mm_weakref_count(bare), 0);
    assert_null(mm_weakref_list(t, 0));
    a = weak(t, "a");
    b = weak(t, "b");
    shared = weak(t, NULL);
    c = weak(t, "c");
    assert_ptr_equal(weak(t, NULL), shared);
    assert_int_equal(mm_weakref_count(t), 4); /* the shared one once */
    assert_ptr_equal(mm_weakref_list(t, 0), shared);
    assert_ptr_equal(mm_weakref_list(t, 1), c);
    assert_ptr_equal(mm_weakref_list(t, 2), b);
    assert_ptr_equal(mm_weakref_list(t, 3), a);
    assert_null(mm_weakref_list(t, 4));
    assert_null(mm_weakref_list(t, SIZE_MAX));
    mm_decref(b);
    assert_int_equal(mm_weakref_count(t), 3);
    assert_ptr_equal(mm_weakref_list(t, 2), a);
    mm_decref(shared);
    assert_int_equal(mm_weakref_count(t), 3);
    mm_decref(shared);
    assert_int_equal(mm_weakref_count(t), 2);
    assert_ptr_equal(mm_weakref_list(t, 0), c);
    mm_decref(a);
    mm_decref(c);
    assert_int_equal(mm_weakref_count(t), 0);
    mm_decref(t);
    mm_decref(bare);
    assert_string_equal(gt.trace, "fin1");
    gt_close(heap);
}

static void W7_dropping_the_reference_cancels(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    mm_weakref *a = weak(t, "a"), *b = weak(t, "b");
    (void)state;
    mm_decref(a);
    mm_decref(t);
    assert_string_equal(gt.trace, "fin1 b");
    mm_decref(b);
    gt_close(heap);
}

static bool weak_never(mm_weakref *ref, void *user)
{
    (void)ref;
    (void)user;
    fail_msg("a callback ran that must not");
    return true;
}

static void W8_reference_that_owns_its_target(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL), *between = thing(heap, 2, NULL);
    mm_weakref *ref;
    (void)state;
    mm_set(&between->a, t); /* ref -> between -> t: freeing ref frees t */
    ref = mm_weakref_new_owning(t, weak_never, between);
    assert_ptr_equal(mm_weakref_user(ref), between);
    mm_decref(t);
    mm_decref(between);
    assert_true(weak_alive(ref));
    mm_decref(ref);
    assert_int_equal(gt.disposed[1] + gt.disposed[2], 2);
    assert_string_equal(gt.trace, "fin2 fin1");
    t = thing(heap, 3, NULL); /* and in a cycle: t -> ref -> t */
    t->a = mm_weakref_new_owning(t, weak_never, t);
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(gt.disposed[3], 1);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

typedef struct Number {
    int value;
} Number;
MM_TYPE_LEAF(Number)

static int hashes;

static bool number_equal(const void *a, const void *b)
{
    return ((const Number *)a)->value == ((const Number *)b)->value;
}

static uint64_t number_hash(const void *object)
{
    hashes++;
    return (uint64_t)((const Number *)object)->value;
}

static Number *number(mm_heap *heap, int value)
{
    Number *n;
    mm_typeof(Number)->equal = number_equal;
    mm_typeof(Number)->hash = number_hash;
    n = mm_new(heap, Number);
    assert_non_null(n);
    n->value = value;
    return n;
}

static void W9_equality(void **state)
{
    mm_heap *heap = gt_heap();
    Number *x = number(heap, 7), *y = number(heap, 7), *z = number(heap, 8);
    Plain *p = plain(heap, 1), *q = plain(heap, 1);
    mm_weakref *rx = weak(x, NULL), *rx2 = weak(x, "x"), *ry = weak(y, NULL);
    mm_weakref *rz = weak(z, NULL), *rp = weak(p, NULL), *rp2 = weak(p, "p");
    mm_weakref *rq = weak(q, NULL);
    (void)state;
    assert_true(mm_weakref_equal(rx, rx));
    assert_true(mm_weakref_equal(rx, rx2));
    assert_true(mm_weakref_equal(rx, ry)); /* by value */
    assert_false(mm_weakref_equal(rx, rz));
    assert_true(mm_weakref_equal(rp, rp2)); /* without a hook: by identity */
    assert_false(mm_weakref_equal(rp, rq));
    assert_false(mm_weakref_equal(rp, rx));
    mm_decref(y);
    assert_false(mm_weakref_equal(rx, ry)); /* one dead: the same object or not */
    assert_true(mm_weakref_equal(ry, ry));
    mm_decref(x);
    assert_false(mm_weakref_equal(rx, ry));
    assert_false(mm_weakref_equal(rx, rx2));
    assert_true(mm_weakref_equal(rx2, rx2));
    mm_decref(z);
    mm_decref(p);
    mm_decref(q);
    mm_decref(rx);
    mm_decref(rx2);
    mm_decref(ry);
    mm_decref(rz);
    mm_decref(rp);
    mm_decref(rp2);
    mm_decref(rq);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static void W10_hash_is_the_targets_and_remembered(void **state)
{
    mm_heap *heap = gt_heap();
    Number *x = number(heap, 42), *y = number(heap, 42);
    mm_weakref *hashed = weak(x, NULL), *never = weak(y, NULL);
    uint64_t h1 = 1, h2 = 2;
    (void)state;
    hashes = 0;
    assert_true(mm_weakref_hash(hashed, &h1));
    assert_int_equal(h1, 42);
    assert_true(mm_weakref_hash(hashed, &h2));
    assert_int_equal(h2, 42);
    assert_int_equal(hashes, 1);
    mm_decref(x);
    mm_decref(y);
    assert_true(mm_weakref_hash(hashed, &h2));
    assert_int_equal(h2, 42);
    assert_false(mm_weakref_hash(never, &h2));
    assert_int_equal(hashes, 1);
    mm_decref(hashed);
    mm_decref(never);
    gt_close(heap);
}

static void W11_callback_getter(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    Fired fired = {0, NULL};
    mm_weakref *ref = mm_weakref_new(t, fire, &fired), *plain_ref = weak(t, NULL);
    (void)state;
    assert_true(mm_weakref_callback(ref) == fire);
    assert_ptr_equal(mm_weakref_user(ref), &fired);
    assert_true(mm_weakref_callback(plain_ref) == NULL);
    mm_decref(t);
    assert_true(mm_weakref_callback(ref) == NULL);
    assert_null(mm_weakref_user(ref));
    assert_int_equal(fired.times, 1);
    mm_decref(ref);
    mm_decref(plain_ref);
    gt_close(heap);
}

static void W12_types_that_opt_out(void **state)
{
    mm_heap *heap = gt_heap();
    Bare *bare = mm_new(heap, Bare);
    (void)state;
    assert_null(mm_weakref_new(bare, NULL, NULL));
    assert_int_equal(mm_last_status(heap), MM_ERR_TYPE);
    assert_non_null(strstr(mm_last_message(heap), "Bare"));
    mm_clear_status(heap);
    assert_int_equal(mm_handle_of(bare), 0);
    assert_int_equal(mm_last_status(heap), MM_ERR_TYPE);
    mm_decref(bare);
    gt_close(heap);
}

/* A collection inside mm_weakref_new kills the reference it might have shared. */
static void W13_collection_during_creation(void **state)
{
    mm_heap_desc desc = gt_desc();
    mm_heap *heap;
    int i;
    (void)state;
    desc.gc_stress = true;
    heap = gt_heap_with(&desc);
    for (i = 0; i < 50; i++) {
        Thing *t = thing(heap, -1, NULL), *trash = thing_loop(heap, -1, NULL);
        mm_weakref *ref, *cb;
        trash->b = weak(t, NULL); /* the shared one belongs to garbage */
        mm_decref(trash);
        ref = weak(t, i % 2 ? NULL : "cb");
        cb = weak(t, NULL);
        assert_true(weak_alive(ref));
        assert_true(weak_alive(cb));
        assert_true(mm_weakref_count(t) >= 1);
        mm_gc_collect(heap, 2);
        assert_true(weak_alive(ref));
        assert_true(weak_alive(cb));
        assert_int_equal(mm_weakref_count(t), ref == cb ? 1 : 2);
        mm_decref(t);
        assert_false(weak_alive(ref));
        assert_false(weak_alive(cb));
        mm_decref(ref);
        mm_decref(cb);
    }
    assert_true(mm_heap_check(heap));
    gt_close(heap);
}

static bool weak_collect(mm_weakref *ref, void *user)
{
    (void)user;
    mm_gc_collect(mm_heap_of(ref), 2);
    gt_note("collect");
    return true;
}

static void W14_callback_that_collects(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL), *loop = thing_loop(heap, 2, NULL);
    mm_weakref *r1 = mm_weakref_new(t, weak_collect, NULL);
    mm_weakref *r2 = mm_weakref_new(loop, weak_collect, NULL);
    (void)state;
    t->a = thing_loop(heap, 3, NULL);
    mm_decref(t); /* by its count, and a collection in the middle of it */
    assert_int_equal(gt.disposed[1], 1);
    mm_decref(loop);
    mm_gc_collect(heap, 2);
    assert_int_equal(gt.disposed[2] + gt.disposed[3], 2);
    assert_int_equal(gt.finalized[1] + gt.finalized[2] + gt.finalized[3], 3);
    mm_decref(r1);
    mm_decref(r2);
    gt_close(heap);
}

/* While a large structure waits to be freed, what a weak reference finds in it is
   either nothing or an object that then stays. */
static void W15_deferred_freeing_hands_out_nothing_dead(void **state)
{
    mm_heap *heap = gt_heap();
    long n = gt_scale(20000, 3000), i, found = 0;
    Vec *v = vec(heap, (size_t)n);
    mm_weakref **ref = calloc((size_t)n, sizeof *ref), *root;
    Plain **got = calloc((size_t)n, sizeof *got);
    mm_handle *handle = calloc((size_t)n, sizeof *handle), root_handle;
    (void)state;
    assert_non_null(ref);
    assert_non_null(got);
    assert_non_null(handle);
    for (i = 0; i < n; i++) {
        Plain *p = plain(heap, (int)i);
        p->a = plain_list(heap, 3);
        v->items[i] = p;
        ref[i] = weak(p, NULL);
        handle[i] = mm_handle_of(p);
    }
    root = weak(v, NULL);
    root_handle = mm_handle_of(v);
    mm_decref(v);
    assert_false(weak_alive(root)); /* at once, though its memory is still there */
    assert_false(mm_handle_valid(heap, root_handle));
    assert_true(mm_heap_check(heap));
    for (i = 0; i < n; i++) {
        got[i] = mm_weakref_get(ref[i]);
        assert_ptr_equal(mm_handle_borrow(heap, handle[i]), got[i]);
        if (got[i] == NULL) continue;
        assert_true(mm_refcount(got[i]) >= 1);
        assert_int_equal(got[i]->id, i);
        found++;
    }
    gt_drain(heap);
    for (i = 0; i < n; i++) {
        if (got[i] != NULL) {
            const Plain *next = got[i]->a;
            assert_int_equal(mm_refcount(got[i]), 1);
            assert_int_equal(next->id, 2);
        }
        mm_decref(got[i]);
        assert_false(weak_alive(ref[i]));
        assert_false(mm_handle_valid(heap, handle[i]));
        mm_decref(ref[i]);
    }
    mm_decref(root);
    assert_int_equal(gt_objects(heap), 0);
    print_message("    %ld of %ld were still to be had\n", found, n);
    free(ref);
    free(got);
    free(handle);
    gt_close(heap);
}

static void W16_death_needs_no_memory(void **state)
{
    mm_heap *heap = gt_starvable_heap();
    Thing *t = thing(heap, 1, NULL), *loop = thing_loop(heap, 2, NULL);
    mm_weakref *ref[200];
    void *chain;
    int i;
    (void)state;
    for (i = 0; i < 200; i++) ref[i] = weak(i % 2 ? t : loop, "x");
    assert_true(mm_handle_of(t) != 0);
    gt_forget();
    chain = gt_starve(heap);
    mm_decref(t);
    mm_decref(loop);
    mm_gc_collect(heap, 2);
    for (i = 0; i < 200; i++) assert_false(weak_alive(ref[i]));
    assert_int_equal(gt.disposed[1] + gt.disposed[2], 2);
    assert_int_equal(gt.trace_length, 200 * 2 + 5 + 4); /* every callback ran */
    gt_feed(heap, chain);
    for (i = 0; i < 200; i++) mm_decref(ref[i]);
    gt_close(heap);
}

static void W17_get_keeps_the_target_alive(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *owner = thing(heap, 1, NULL), *used;
    mm_weakref *ref;
    (void)state;
    owner->a = thing(heap, 2, NULL);
    ref = weak(owner->a, NULL);
    used = mm_weakref_get(ref);
    mm_decref(owner); /* while it is used */
    assert_int_equal(gt.disposed[2], 0);
    assert_int_equal(used->id, 2);
    mm_decref(used);
    assert_int_equal(gt.disposed[2], 1);
    assert_null(mm_weakref_get(ref)); /* ReferenceError */
    mm_decref(ref);
    gt_close(heap);
}

typedef struct Method {
    mm_weakref *self;
    int (*call)(Thing *self);
} Method;

static int thing_id(Thing *self)
{
    return self->id;
}

static int method_call(const Method *method)
{
    Thing *self = mm_weakref_get(method->self);
    int result = self != NULL ? method->call(self) : -1;
    mm_decref(self);
    return result;
}

static void W19_weak_method_is_a_pair(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 5, NULL);
    Method method;
    (void)state;
    method.self = weak(t, NULL);
    method.call = thing_id;
    assert_int_equal(method_call(&method), 5);
    assert_int_equal(mm_refcount(t), 1); /* no cycle, nothing kept */
    mm_decref(t);
    assert_int_equal(method_call(&method), -1);
    mm_decref(method.self);
    gt_close(heap);
}

static void W20_clear_all_is_silent(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    Bare *bare = mm_new(heap, Bare);
    mm_weakref *a = weak(t, "a"), *b = weak(t, NULL), *c;
    (void)state;
    mm_weakref_clear_all(t);
    assert_false(weak_alive(a));
    assert_false(weak_alive(b));
    assert_int_equal(mm_weakref_count(t), 0);
    mm_weakref_clear_all(t);
    mm_weakref_clear_all(bare); /* harmless */
    c = weak(t, "c");
    assert_ptr_not_equal(c, b);
    assert_true(weak_alive(c));
    mm_decref(t);
    assert_string_equal(gt.trace, "fin1 c");
    mm_decref(a);
    mm_decref(b);
    mm_decref(c);
    mm_decref(bare);
    gt_close(heap);
}

static void note_death(void *user)
{
    (void)user;
    gt_note("finalize");
}

/* What clear_all leaves: the handle, finalize callbacks. What it releases: what the
   references own, of which this one holds the reference, and another holds itself. */
static void clear_all_releases_what_is_owned(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL), *holder = thing(heap, 2, NULL);
    Thing *other = thing(heap, 3, NULL);
    mm_weakref *plain_one = weak(t, "never"), *last = weak(t, NULL);
    mm_finalizer *f = mm_finalize(t, note_death, NULL);
    mm_handle handle = mm_handle_of(t);
    (void)state;
    holder->a = mm_weakref_new_owning(t, weak_never, holder);
    other->a = mm_weakref_new_owning(t, weak_never, other);
    mm_incref(other);
    mm_decref(holder); /* its reference owns it */
    mm_decref(other);
    assert_int_equal(mm_weakref_count(t), 5);
    mm_weakref_clear_all(t);
    assert_string_equal(gt.trace, "fin2");
    assert_int_equal(mm_refcount(other), 1);
    assert_false(weak_alive(plain_one));
    assert_false(weak_alive(last));
    assert_false(weak_alive(other->a));
    assert_int_equal(mm_weakref_count(t), 1); /* the finalizer's */
    assert_ptr_equal(mm_handle_borrow(heap, handle), t);
    assert_true(mm_finalizer_alive(f));
    assert_true(mm_heap_check(heap));
    mm_decref(other);
    mm_decref(t);
    assert_non_null(strstr(gt.trace, "finalize"));
    assert_null(strstr(gt.trace, "never"));
    assert_null(mm_handle_borrow(heap, handle));
    mm_decref(plain_one);
    mm_decref(last);
    mm_decref(f);
    gt_close(heap);
}

/* ---- 3.2 weak references in cyclic trash ------------------------------------ */

static void W70_trash_to_trash_is_silent(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, NULL), *u;
    (void)state;
    t->b = weak(t, "in the cycle");
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    t = thing(heap, 2, NULL); /* reachable one way */
    u = thing_loop(heap, 3, NULL);
    mm_set(&u->b, t);
    t->c = weak(u, "one way");
    mm_decref(t);
    mm_decref(u);
    assert_int_equal(mm_gc_collect(heap, 2), 3);
    assert_null(strstr(gt.trace, "cycle"));
    assert_null(strstr(gt.trace, "way"));
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static mm_weakref *to_resurrect;

static bool weak_try_resurrect(mm_weakref *ref, void *user)
{
    (void)ref;
    gt_note("%s", (const char *)user);
    assert_null(mm_weakref_get(to_resurrect));
    return true;
}

static void W71_external_callback_fires_and_cannot_resurrect(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, NULL);
    static char inner[] = "inner", outer[] = "outer";
    mm_weakref *external;
    (void)state;
    t->b = mm_weakref_new(t, weak_try_resurrect, inner);
    external = mm_weakref_new(t, weak_try_resurrect, outer);
    to_resurrect = weak(t, NULL);
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_string_equal(gt.trace, "outer fin1");
    mm_decref(external);
    mm_decref(to_resurrect);
    gt_close(heap);
}

static void W72_weak_references_on_callback_objects(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, NULL), *callback_object = thing(heap, 2, NULL);
    mm_weakref *external;
    (void)state;
    mm_set(&callback_object->a, t);
    t->b = mm_weakref_new_owning(t, weak_never, callback_object);
    t->c = weak(callback_object, "trash");
    external = weak(callback_object, "external");
    mm_decref(callback_object);
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 4);
    assert_int_equal(strncmp(gt.trace, "external fin", 12), 0);
    assert_null(strstr(gt.trace, "trash"));
    mm_decref(external);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static void W73_resurrected_object_has_lost_its_references(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, fin_resurrect);
    mm_weakref *ref = weak(t, "fired"), *later;
    (void)state;
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    assert_string_equal(gt.trace, "fired fin1");
    assert_false(weak_alive(ref));
    assert_int_equal(gt.kept_count, 1);
    assert_int_equal(t->id, 1);
    assert_int_equal(mm_weakref_count(t), 0);
    later = weak(t, "later"); /* it can be referred to anew */
    assert_true(weak_alive(later));
    gt_drop_kept();
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_string_equal(gt.trace, "fired fin1 later");
    mm_decref(ref);
    mm_decref(later);
    gt_close(heap);
}

/* CPython's handle_weakrefs clears references in the trash, whatever their targets. */
static void W73_reference_that_was_trash_comes_back_dead(void **state)
{
    mm_heap *heap = gt_heap();
    int way;
    (void)state;
    for (way = 0; way < 2; way++) {
        Thing *target = thing(heap, 2, NULL), *t = thing_loop(heap, 1, fin_resurrect);
        mm_weakref *outside = mm_weakref_new(target, weak_never, NULL);
        t->b = mm_weakref_new(target, way ? weak_never : NULL, NULL);
        mm_decref(t);
        assert_int_equal(mm_gc_collect(heap, 2), 0);
        assert_int_equal(gt.kept_count, 1);
        assert_false(weak_alive(t->b));
        assert_true(weak_alive(outside));
        mm_decref(outside);
        gt_drop_kept();
        mm_gc_collect(heap, 2);
        mm_decref(target);
        assert_int_equal(gt_objects(heap), 0);
    }
    gt_close(heap);
}

/* Slots are dropped in the order of the type's description. */
static void W74_owner_and_target_die_together(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *owner = thing(heap, 1, NULL);
    (void)state;
    owner->a = thing(heap, 2, NULL);
    owner->b = weak(owner->a, "fired");
    mm_decref(owner);
    assert_int_equal(gt.disposed[1] + gt.disposed[2], 2);
    assert_int_equal(gt_objects(heap), 0);
    assert_true(strstr(gt.trace, "fired") == NULL ||
                strstr(gt.trace, "fired") > strstr(gt.trace, "fin2"));
    gt_forget();
    owner = thing(heap, 3, NULL); /* the weak reference first: it cannot fire */
    owner->b = thing(heap, 4, NULL);
    owner->a = weak(owner->b, "never");
    mm_decref(owner);
    assert_null(strstr(gt.trace, "never"));
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

/* What a callback needed is let go once it has run (as __callback__ in W11). */
static void dead_reference_owns_nothing(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL), *owned = thing(heap, 2, NULL);
    mm_weakref *ref = mm_weakref_new_owning(t, weak_collect, owned);
    (void)state;
    mm_decref(owned);
    assert_int_equal(gt.disposed[2], 0);
    mm_decref(t);
    assert_string_equal(gt.trace, "collect fin2");
    assert_int_equal(gt.disposed[2], 1);
    assert_null(mm_weakref_user(ref));
    mm_decref(ref);
    gt_close(heap);
}

/* ---- what callbacks may do -------------------------------------------------- */

static mm_weakref *own_ref;

static bool weak_drop_itself(mm_weakref *ref, void *user)
{
    (void)user;
    assert_ptr_equal(ref, own_ref);
    own_ref = NULL;
    mm_decref(ref); /* the last reference to the reference */
    gt_note("dropped");
    return true;
}

static void callback_may_drop_its_own_reference(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL);
    mm_weakref *before, *after;
    (void)state;
    before = weak(t, "before");
    own_ref = mm_weakref_new(t, weak_drop_itself, NULL);
    after = weak(t, "after");
    mm_decref(t);
    assert_string_equal(gt.trace, "after dropped before");
    mm_decref(before);
    mm_decref(after);
    gt_forget();
    t = thing_loop(heap, -1, NULL);
    own_ref = mm_weakref_new(t, weak_drop_itself, NULL);
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_string_equal(gt.trace, "dropped");
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static mm_weakref *victim;

static bool weak_drop_victim(mm_weakref *ref, void *user)
{
    (void)ref;
    (void)user;
    mm_decref(victim);
    gt_note("newer");
    return true;
}

/* The callbacks due are settled when the target dies: dropping an older reference
   from a newer one's callback does not cancel it. */
static void callback_that_drops_an_older_reference(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL);
    mm_weakref *newer;
    (void)state;
    victim = weak(t, "older");
    newer = mm_weakref_new(t, weak_drop_victim, NULL);
    mm_decref(t);
    assert_string_equal(gt.trace, "newer older");
    mm_decref(newer);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static Thing *fresh;
static mm_weakref *fresh_ref;

static bool weak_create(mm_weakref *ref, void *user)
{
    mm_heap *heap = mm_heap_of(ref);
    (void)user;
    fresh = thing(heap, 77, NULL);
    fresh_ref = weak(fresh, "fresh");
    mm_decref(plain_ring(heap, 3, 0));
    gt_note("created");
    return true;
}

static void callback_may_create_references(void **state)
{
    mm_heap *heap = gt_heap();
    int cyclic;
    (void)state;
    for (cyclic = 0; cyclic < 2; cyclic++) {
        Thing *t = cyclic ? thing_loop(heap, -1, NULL) : thing(heap, -1, NULL);
        mm_weakref *ref = mm_weakref_new(t, weak_create, NULL);
        gt_forget();
        mm_decref(t);
        mm_gc_collect(heap, 2);
        assert_string_equal(gt.trace, "created");
        assert_true(weak_alive(fresh_ref));
        mm_gc_collect(heap, 2);
        assert_true(weak_alive(fresh_ref));
        mm_decref(fresh);
        assert_string_equal(gt.trace, "created fin77 fresh");
        mm_decref(fresh_ref);
        mm_decref(ref);
    }
    mm_gc_collect(heap, 2);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static bool weak_note_and_kill(mm_weakref *ref, void *user)
{
    void **slot = user;
    (void)ref;
    gt_note("first");
    mm_clear(slot);
    gt_note("first-end");
    return true;
}

static void nested_callback_runs_inside(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL);
    void *other = thing(heap, -1, NULL);
    mm_weakref *r1 = mm_weakref_new(t, weak_note_and_kill, &other);
    mm_weakref *r2 = weak(other, "second");
    (void)state;
    mm_decref(t);
    assert_string_equal(gt.trace, "first second first-end");
    mm_decref(r1);
    mm_decref(r2);
    gt_close(heap);
}

static mm_weakref *made_in_finalizer;

static bool fin_make_weak(Thing *self)
{
    made_in_finalizer = weak(self, "made");
    assert_true(weak_alive(made_in_finalizer));
    return true;
}

static void reference_made_in_a_finalizer(void **state)
{
    mm_heap *heap = gt_heap();
    int cyclic;
    (void)state;
    for (cyclic = 0; cyclic < 2; cyclic++) {
        Thing *t = cyclic ? thing_loop(heap, -1, fin_make_weak)
                          : thing(heap, -1, fin_make_weak);
        mm_decref(t);
        mm_gc_collect(heap, 2);
        mm_gc_collect(heap, 2);
        assert_false(weak_alive(made_in_finalizer));
        mm_decref(made_in_finalizer);
        assert_int_equal(gt_objects(heap), 0);
    }
    gt_close(heap);
}

/* ---- bad input and no memory ------------------------------------------------ */

static void target_null(void **state)
{
    mm_heap *heap = gt_heap();
    (void)state;
    assert_null(mm_weakref_new(NULL, NULL, NULL));
    assert_null(mm_weakref_new_owning(NULL, NULL, NULL));
    assert_int_equal(mm_handle_of(NULL), 0);
    assert_int_equal(mm_weakref_count(NULL), 0);
    assert_null(mm_weakref_list(NULL, 0));
    mm_weakref_clear_all(NULL);
    gt_close(heap);
}

static void no_memory_for_a_reference(void **state)
{
    mm_heap *heap = gt_starvable_heap();
    int n = 0, count = 20000;
    Plain **target = calloc((size_t)count, sizeof *target);
    mm_weakref **ref = calloc((size_t)count, sizeof *ref);
    void *chain;
    size_t objects;
    (void)state;
    assert_non_null(target);
    assert_non_null(ref);
    for (n = 0; n < count; n++) target[n] = plain(heap, n);
    chain = gt_starve(heap);
    for (n = 0; n < count; n++) {
        objects = gt_objects(heap);
        ref[n] = mm_weakref_new(target[n], n % 2 ? weak_note : NULL, NULL);
        if (ref[n] == NULL) break;
    }
    assert_true(n < count);
    assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
    assert_int_equal(gt_objects(heap), objects); /* nothing changed */
    assert_int_equal(mm_weakref_count(target[n]), 0);
    assert_int_equal(mm_refcount(target[n]), 1);
    assert_true(mm_heap_check(heap));
    gt_feed(heap, chain);
    ref[n] = mm_weakref_new(target[n], weak_note, NULL);
    assert_true(weak_alive(ref[n]));
    for (n = 0; n < count; n++) {
        mm_decref(ref[n]); /* mostly NULL */
        mm_decref(target[n]);
    }
    free(target);
    free(ref);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
    assert_int_equal(gt_os.blocks, 0);
}

static void no_memory_for_a_handle(void **state)
{
    mm_heap *heap = gt_starvable_heap();
    int n, count = 20000, i;
    Plain **target = calloc((size_t)count, sizeof *target);
    mm_handle *handle = calloc((size_t)count, sizeof *handle);
    void *chain;
    (void)state;
    assert_non_null(target);
    assert_non_null(handle);
    for (n = 0; n < count; n++) target[n] = plain(heap, n);
    chain = gt_starve(heap);
    for (n = 0; n < count; n++)
        if ((handle[n] = mm_handle_of(target[n])) == 0) break;
    assert_true(n < count);
    assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
    for (i = 0; i < n; i++) /* those there are work on */
        assert_ptr_equal(mm_handle_borrow(heap, handle[i]), target[i]);
    assert_true(mm_heap_check(heap));
    gt_feed(heap, chain);
    handle[n] = mm_handle_of(target[n]);
    assert_true(handle[n] != 0);
    assert_ptr_equal(mm_handle_borrow(heap, handle[n]), target[n]);
    for (i = 0; i < count; i++) mm_decref(target[i]);
    for (i = 0; i <= n; i++) assert_false(mm_handle_valid(heap, handle[i]));
    free(target);
    free(handle);
    gt_close(heap);
    assert_int_equal(gt_os.blocks, 0);
}

/* ---- handles ---------------------------------------------------------------- */

static void handle_finds_or_finds_gone(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL), *got;
    mm_handle h = mm_handle_of(t), copy = h;
    (void)state;
    assert_true(h != 0);
    assert_int_equal(mm_handle_of(t), h); /* always the same */
    got = mm_handle_get(heap, copy);
    assert_ptr_equal(got, t);
    assert_int_equal(mm_refcount(t), 2);
    mm_decref(got);
    assert_ptr_equal(mm_handle_borrow(heap, h), t);
    assert_int_equal(mm_refcount(t), 1);
    assert_true(mm_handle_valid(heap, h));
    mm_decref(t);
    assert_null(mm_handle_get(heap, h));
    assert_null(mm_handle_borrow(heap, copy));
    assert_false(mm_handle_valid(heap, h));
    gt_close(heap);
}

static void handle_survives_a_file(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 3, NULL);
    struct {
        char name[5];
        mm_handle handle;
    } out, in;
    FILE *file = tmpfile();
    (void)state;
    assert_non_null(file);
    memset(&out, 0, sizeof out);
    out.handle = mm_handle_of(t);
    assert_int_equal(fwrite(&out, sizeof out, 1, file), 1);
    rewind(file);
    assert_int_equal(fread(&in, sizeof in, 1, file), 1);
    fclose(file);
    assert_ptr_equal(mm_handle_borrow(heap, in.handle), t);
    mm_decref(t);
    assert_null(mm_handle_borrow(heap, in.handle));
    gt_close(heap);
}

static void invented_handles_find_nothing_else(void **state)
{
    mm_heap *heap = gt_heap();
    Plain *p[100];
    mm_handle real[100];
    uint64_t i, k, x = 88172645463325252u;
    (void)state;
    assert_null(mm_handle_get(heap, 0));
    assert_null(mm_handle_get(heap, UINT64_MAX));
    assert_false(mm_handle_valid(heap, 0));
    for (i = 0; i < 100; i++) {
        p[i] = plain(heap, (int)i);
        real[i] = mm_handle_of(p[i]);
        for (k = 0; k < i; k++) assert_true(real[k] != real[i]);
    }
    for (i = 0; i < 100000; i++) {
        mm_handle h;
        void *found;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        h = i % 2 ? x : real[i % 100] ^ (uint64_t)1 << (x >> 58);
        found = mm_handle_borrow(heap, h);
        if (found != NULL) assert_int_equal(mm_handle_of(found), h);
    }
    for (i = 0; i < 200; i++) /* places that exist, generations that do not */
        for (k = 0; k < 50; k++) {
            void *found = mm_handle_borrow(heap, i << 32 | k);
            if (found != NULL) assert_int_equal(mm_handle_of(found), i << 32 | k);
        }
    for (i = 0; i < 100; i++) mm_decref(p[i]);
    gt_close(heap);
}

static void handles_of_one_heap_in_another(void **state)
{
    mm_heap *other = gt_heap(), *heap = gt_heap();
    Plain *p = plain(heap, 1);
    mm_handle h = mm_handle_of(p);
    (void)state;
    assert_null(mm_handle_get(other, h));
    mm_decref(p);
    assert_int_equal(mm_heap_destroy(other), 0);
    gt_close(heap);
}

static void places_are_used_again_and_never_confused(void **state)
{
    mm_heap *heap = gt_heap();
    size_t rounds = (size_t)gt_scale(20000, 2000), i, k;
    mm_handle old[64];
    (void)state;
    memset(old, 0, sizeof old);
    for (i = 0; i < rounds; i++) {
        Plain *p = plain(heap, (int)i);
        mm_handle h = mm_handle_of(p);
        for (k = 0; k < 64; k++) {
            assert_true(old[k] != h);
            assert_false(mm_handle_valid(heap, old[k]));
        }
        assert_ptr_equal(mm_handle_borrow(heap, h), p);
        old[i % 64] = h;
        mm_decref(p);
    }
    assert_true(mm__H(heap)->weak.place_count < rounds / 4); /* places are used again */
    gt_close(heap);
}

static void set_generation(mm_heap *heap, uint64_t place, uint32_t generation)
{
    uint64_t *handle = &mm__H(heap)->weak.places[place].handle;
    *handle = *handle >> 32 << 32 | generation;
}

/* A place near its last generation: it is retired, not wrapped. */
static void generations_do_not_wrap(void **state)
{
    mm_heap *heap = gt_heap();
    uint32_t last_generation = 0;
    mm_handle first, handles[4000];
    size_t n = 0, i, k, uses = 0;
    uint64_t place;
    Plain *p = plain(heap, 0);
    (void)state;
    first = mm_handle_of(p);
    place = first >> 32;
    mm_decref(p);
    set_generation(heap, place, UINT32_MAX - 5);
    for (i = 0; i < 500; i++) {
        Plain *some[8];
        for (k = 0; k < 8; k++) {
            some[k] = plain(heap, (int)k);
            handles[n] = mm_handle_of(some[k]);
            assert_true(handles[n] != 0);
            assert_ptr_equal(mm_handle_borrow(heap, handles[n]), some[k]);
            if (handles[n] >> 32 == place) {
                assert_true((uint32_t)handles[n] > last_generation);
                last_generation = (uint32_t)handles[n];
                uses++;
            }
            n++;
        }
        for (k = 0; k < 8; k++) mm_decref(some[k]);
    }
    assert_true(uses <= 7);
    assert_true(last_generation >= UINT32_MAX - 5);
    for (i = 0; i < n; i++) assert_false(mm_handle_valid(heap, handles[i]));
    assert_false(mm_handle_valid(heap, first));
    assert_true(mm_heap_check(heap));
    gt_close(heap);
}

enum { FREE_PLACE, USED_UP, USED_AGAIN };

/* Of an object that is dead, whatever its place is for now. */
static void assert_nothing_found(mm_heap *heap, mm_handle handle)
{
    assert_null(mm_handle_borrow(heap, handle));
    assert_null(mm_handle_get(heap, handle));
    assert_false(mm_handle_valid(heap, handle));
}

static void handles_of_the_dead_find_nothing(void **state)
{
    int what, under_way;
    (void)state;
    for (what = FREE_PLACE; what <= USED_AGAIN; what++)
        for (under_way = 0; under_way < 3; under_way++) {
            mm_heap *heap = gt_heap();
            Plain *p = plain(heap, 1), *next = NULL, *trash = plain_ring(heap, 500, 0);
            mm_handle first = mm_handle_of(p), handle, again = 0;
            uint64_t place = first >> 32, i;
            gt_closures = under_way == 2;
            gt_make_old(heap);
            mm_decref(trash);
            for (i = 0; under_way && i < 3; i++) gt_slice(heap, 1);
            gt_closures = false;
            assert_int_equal(mm__H(heap)->barrier, under_way != 0);
            if (what == USED_UP) set_generation(heap, place, UINT32_MAX);
            handle = mm_handle_of(p);
            assert_ptr_equal(mm_handle_borrow(heap, handle), p);
            mm_decref(p);
            if (what != FREE_PLACE) next = plain(heap, 2); /* in the same memory */
            if (what != FREE_PLACE) again = mm_handle_of(next);
            assert_int_equal(again == 0, what == FREE_PLACE);
            if (what == USED_AGAIN) assert_int_equal(again >> 32, place);
            if (what == USED_UP) assert_true(again >> 32 != place);
            assert_nothing_found(heap, first);
            assert_nothing_found(heap, handle);
            assert_nothing_found(heap, 0);
            assert_nothing_found(heap, UINT64_MAX);
            for (i = 0; i < 50; i++) { /* every handle near those that were given */
                if ((place << 32 | i) != again)
                    assert_nothing_found(heap, place << 32 | i);
                assert_nothing_found(heap, place << 32 | (UINT32_MAX - i));
                assert_nothing_found(heap, (place + 2 + i) << 32 | (i % 3));
            }
            if (next != NULL) assert_ptr_equal(mm_handle_borrow(heap, again), next);
            assert_true(mm_heap_check(heap));
            mm_decref(next);
            if (next != NULL) assert_nothing_found(heap, again);
            mm_gc_collect(heap, 2);
            assert_int_equal(gt_objects(heap), 0);
            gt_close(heap);
        }
}

static void a_heap_without_handles_finds_nothing(void **state)
{
    mm_heap *heap = gt_heap();
    uint64_t i;
    (void)state;
    for (i = 0; i < 100; i++) {
        assert_nothing_found(heap, i);
        assert_nothing_found(heap, i << 32);
        assert_nothing_found(heap, i << 32 | 1);
        assert_nothing_found(heap, UINT64_MAX - i);
    }
    gt_close(heap);
}

static mm_handle own_handle;
static int checks;

static bool fin_find_itself(Thing *self)
{
    mm_heap *heap = mm_heap_of(self);
    checks++;
    if (own_handle == 0) own_handle = mm_handle_of(self);
    assert_ptr_equal(mm_handle_borrow(heap, own_handle), self);
    if (self->id < 0) return true;
    gt.kept[gt.kept_count++] = mm_handle_get(heap, own_handle);
    return true;
}

static bool fin_find_nothing(Text *self)
{
    checks++;
    assert_nothing_found(mm_heap_of(self), own_handle);
    return true;
}

/* A handle made before the death or in the finalizer finds the object there, and
   never again; not while the rest of it is freed, either. Unless it comes back. */
static void handle_in_a_finalizer(void **state)
{
    int cyclic, before, back;
    (void)state;
    for (cyclic = 0; cyclic < 2; cyclic++)
        for (before = 0; before < 2; before++)
            for (back = 0; back < 2; back++) {
                mm_heap *heap = gt_heap();
                Thing *t = cyclic ? thing_loop(heap, back ? 1 : -1, fin_find_itself)
                                  : thing(heap, back ? 1 : -1, fin_find_itself);
                Text *part = mm_new(heap, Text);
                part->id = -1;
                part->fin = fin_find_nothing;
                mm_set_steal(&t->c, part);
                checks = 0;
                own_handle = before && !cyclic ? mm_handle_of(t) : 0;
                mm_decref(t);
                mm_gc_collect(heap, 2);
                assert_int_equal(checks, back ? 1 : 2);
                assert_int_equal(gt.kept_count, back);
                if (back) {
                    assert_ptr_equal(mm_handle_borrow(heap, own_handle), t);
                    assert_true(mm_heap_check(heap));
                    mm_decref(t);
                    mm_gc_collect(heap, 2);
                    assert_int_equal(checks, 2);
                }
                assert_nothing_found(heap, own_handle);
                assert_int_equal(gt_objects(heap), 0);
                gt_close(heap);
            }
}

static void handle_of_cyclic_trash_dies_with_it(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, NULL);
    mm_handle h = mm_handle_of(t);
    (void)state;
    mm_decref(t);
    assert_true(mm_handle_valid(heap, h)); /* not collected yet */
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_false(mm_handle_valid(heap, h));
    gt_close(heap);
}

static mm_handle seen_handle;

static bool fin_see_handle(Thing *self)
{
    mm_heap *heap = mm_heap_of(self);
    void *p = mm_handle_get(heap, seen_handle);
    assert_true(p == NULL || p == self);
    mm_decref(p);
    return true;
}

static void handle_inside_the_finalizer(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, fin_see_handle);
    (void)state;
    seen_handle = mm_handle_of(t);
    mm_decref(t);
    assert_false(mm_handle_valid(heap, seen_handle));
    t = thing_loop(heap, 2, fin_see_handle);
    seen_handle = mm_handle_of(t);
    mm_decref(t);
    mm_gc_collect(heap, 2);
    assert_false(mm_handle_valid(heap, seen_handle));
    assert_int_equal(gt.disposed[1] + gt.disposed[2], 2);
    gt_close(heap);
}

/* ---- objects that never had one --------------------------------------------- */

static void no_cost_until_there_is_one(void **state)
{
    mm_heap *heap = gt_heap();
    Plain *p = plain(heap, 1), *q = plain(heap, 2);
    mm_weakref *ref;
    mm_heap_stats before, after;
    int i;
    (void)state;
    assert_int_equal(mm_sizeof(p), mm_sizeof(q));
    ref = weak(p, NULL);
    assert_int_equal(mm_sizeof(p), mm_sizeof(q));
    assert_int_equal(mm_refcount(p), 1);
    mm_decref(ref);
    mm_heap_get_stats(heap, &before);
    for (i = 0; i < 10000; i++) mm_decref(weak(p, i % 2 ? "x" : NULL));
    mm_heap_get_stats(heap, &after);
    assert_int_equal(after.objects, before.objects);
    assert_true(after.reserved_bytes == before.reserved_bytes);
    mm_decref(p);
    mm_decref(q);
    gt_close(heap);
}

/* The entry of an object stays for its next reference, but not at any price. */
static void dropped_references_do_not_fill_the_table(void **state)
{
    mm_heap *heap = gt_heap();
    const mm__weak *table = &mm__H(heap)->weak;
    size_t n = (size_t)gt_scale(100000, 10000), held = 1000, i;
    Plain **p = calloc(n, sizeof *p);
    mm_weakref **ref = calloc(held, sizeof *ref);
    mm_handle handle[100];
    (void)state;
    assert_non_null(p);
    assert_non_null(ref);
    for (i = 0; i < n; i++) {
        p[i] = plain(heap, (int)i);
        mm_decref(weak(p[i], i % 2 ? "never" : NULL));
        assert_int_equal(mm_weakref_count(p[i]), 0);
        assert_null(mm_weakref_list(p[i], 0));
    }
    assert_true(table->capacity <= 256);
    for (i = 0; i < held; i++) ref[i] = weak(p[i * 7], NULL);
    for (i = 0; i < 100; i++) handle[i] = mm_handle_of(p[n - 1 - i]);
    for (i = 0; i < n; i++) mm_decref(weak(p[i], i % 2 ? "never" : NULL));
    assert_true(table->capacity <= 4096); /* what 1100 need, and some air */
    for (i = 0; i < held; i++) /* those that are needed have not left it */
        assert_ptr_equal(mm_weakref_list(p[i * 7], 0), ref[i]);
    for (i = 0; i < 100; i++)
        assert_ptr_equal(mm_handle_borrow(heap, handle[i]), p[n - 1 - i]);
    assert_true(mm_heap_check(heap));
    for (i = 0; i < n; i++) mm_decref(p[i]);
    assert_int_equal(table->used, 0);
    for (i = 0; i < held; i++) {
        assert_true(mm_weakref_is_dead(ref[i]));
        mm_decref(ref[i]);
    }
    for (i = 0; i < 100; i++) assert_false(mm_handle_valid(heap, handle[i]));
    assert_string_equal(gt.trace, ""); /* no callback of a dropped reference */
    assert_int_equal(gt_objects(heap), 0);
    free(p);
    free(ref);
    gt_close(heap);
}

/* By count and by the collector, young and old; the next object there has none. */
static void entries_without_references_go_with_their_objects(void **state)
{
    int how;
    (void)state;
    for (how = 0; how < 6; how++) {
        mm_heap *heap = gt_heap();
        const mm__weak *table = &mm__H(heap)->weak;
        Thing *t[50], *next[50];
        int i;
        for (i = 0; i < 50; i++) {
            t[i] = thing(heap, i, NULL);
            if (how % 2) mm_set(&t[i]->a, t[i]);
            mm_decref(weak(t[i], "never"));
            mm_decref(weak(t[i], NULL)); /* again, by the same entry */
        }
        assert_int_equal(table->used, 50);
        if (how / 2 == 1) mm_gc_collect(heap, 2);
        if (how / 2 == 2) gt_make_old(heap);
        for (i = 0; i < 50; i++) mm_decref(t[i]);
        if (how == 5) gt_step_to_end(heap, 0);
        mm_gc_collect(heap, 2);
        assert_int_equal(table->used, 0);
        for (i = 0; i < 50; i++) {
            assert_int_equal(gt.finalized[i], 1);
            assert_int_equal(gt.disposed[i], 1);
            next[i] = thing(heap, 100 + i, NULL); /* where the others were */
            assert_int_equal(mm_weakref_count(next[i]), 0);
        }
        assert_null(strstr(gt.trace, "never"));
        assert_true(mm_heap_check(heap));
        for (i = 0; i < 50; i++) mm_decref(next[i]);
        assert_int_equal(gt_objects(heap), 0);
        gt_close(heap);
    }
}

/* The table is full of entries that nobody needs when garbage with some of them, and
   with references that are needed, is being collected in slices. */
static void the_table_is_swept_between_slices(void **state)
{
    long n;
    (void)state;
    for (n = 0; n < gt_scale(150, 60); n++) {
        mm_heap *heap = gt_heap();
        Plain *live = plain_ring(heap, 300, 0), *trash = plain_ring(heap, 100, 0), *p;
        mm_weakref *ref = weak(trash->a, "dead"), *alive = weak(live->a, NULL);
        mm_handle handle = mm_handle_of(trash);
        long k;
        for (k = 0, p = trash; k < 100; k++, p = p->a) mm_decref(weak(p, NULL));
        gt_make_old(heap);
        mm_decref(trash);
        for (k = 0; k < n; k++) gt_slice(heap, 16);
        for (k = 0, p = live; k < 300; k++, p = p->a) mm_decref(weak(p, NULL));
        assert_true(mm_heap_check(heap));
        gt_step_to_end(heap, 0);
        mm_gc_collect(heap, 2);
        assert_string_equal(gt.trace, "dead");
        assert_true(mm_weakref_is_dead(ref));
        assert_false(mm_handle_valid(heap, handle));
        assert_true(weak_alive(alive));
        assert_int_equal(mm_weakref_count(live->a), 1);
        assert_int_equal(gt_objects(heap), 300 + 2);
        mm_decref(ref);
        mm_decref(alive);
        mm_decref(live);
        mm_gc_collect(heap, 2);
        assert_int_equal(mm__H(heap)->weak.used, 0);
        gt_close(heap);
    }
}

static void many_references_and_targets(void **state)
{
    mm_heap *heap = gt_heap();
    size_t n = (size_t)gt_scale(50000, 5000), i;
    Plain **p = calloc(n, sizeof *p);
    mm_weakref **ref = calloc(n, sizeof *ref);
    (void)state;
    assert_non_null(p);
    assert_non_null(ref);
    for (i = 0; i < n; i++) {
        p[i] = plain(heap, (int)i);
        ref[i] = weak(p[i], i % 3 ? NULL : "");
    }
    for (i = 0; i < n; i += 2) {
        mm_decref(p[i]);
        p[i] = NULL;
    }
    for (i = 0; i < n; i++) {
        Plain *got = mm_weakref_get(ref[i]);
        assert_ptr_equal(got, p[i]);
        mm_decref(got);
    }
    for (i = 0; i < n; i++) {
        mm_decref(ref[(i * 7919) % n]);
        ref[(i * 7919) % n] = NULL;
    }
    for (i = 0; i < n; i++) {
        if (p[i] != NULL) assert_int_equal(mm_weakref_count(p[i]), ref[i] != NULL);
        mm_decref(ref[i]);
        mm_decref(p[i]);
    }
    assert_int_equal(gt_objects(heap), 0);
    free(p);
    free(ref);
    gt_close(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(W1_reference_while_alive_then_null),
        cmocka_unit_test(W2_callback_once_with_the_dead_reference),
        cmocka_unit_test(W3_all_dead_before_the_first_callback),
        cmocka_unit_test(W4_newest_first_and_failures_are_reported),
        cmocka_unit_test(W5_sharing),
        cmocka_unit_test(W6_count_and_list),
        cmocka_unit_test(W7_dropping_the_reference_cancels),
        cmocka_unit_test(W8_reference_that_owns_its_target),
        cmocka_unit_test(W9_equality),
        cmocka_unit_test(W10_hash_is_the_targets_and_remembered),
        cmocka_unit_test(W11_callback_getter),
        cmocka_unit_test(W12_types_that_opt_out),
        cmocka_unit_test(W13_collection_during_creation),
        cmocka_unit_test(W14_callback_that_collects),
        cmocka_unit_test(W15_deferred_freeing_hands_out_nothing_dead),
        cmocka_unit_test(W16_death_needs_no_memory),
        cmocka_unit_test(W17_get_keeps_the_target_alive),
        cmocka_unit_test(W19_weak_method_is_a_pair),
        cmocka_unit_test(W20_clear_all_is_silent),
        cmocka_unit_test(clear_all_releases_what_is_owned),
        cmocka_unit_test(W70_trash_to_trash_is_silent),
        cmocka_unit_test(W71_external_callback_fires_and_cannot_resurrect),
        cmocka_unit_test(W72_weak_references_on_callback_objects),
        cmocka_unit_test(W73_resurrected_object_has_lost_its_references),
        cmocka_unit_test(W73_reference_that_was_trash_comes_back_dead),
        cmocka_unit_test(W74_owner_and_target_die_together),
        cmocka_unit_test(dead_reference_owns_nothing),
        cmocka_unit_test(callback_may_drop_its_own_reference),
        cmocka_unit_test(callback_that_drops_an_older_reference),
        cmocka_unit_test(callback_may_create_references),
        cmocka_unit_test(nested_callback_runs_inside),
        cmocka_unit_test(reference_made_in_a_finalizer),
        cmocka_unit_test(target_null),
        cmocka_unit_test(no_memory_for_a_reference),
        cmocka_unit_test(no_memory_for_a_handle),
        cmocka_unit_test(handle_finds_or_finds_gone),
        cmocka_unit_test(handle_survives_a_file),
        cmocka_unit_test(invented_handles_find_nothing_else),
        cmocka_unit_test(handles_of_one_heap_in_another),
        cmocka_unit_test(places_are_used_again_and_never_confused),
        cmocka_unit_test(generations_do_not_wrap),
        cmocka_unit_test(handles_of_the_dead_find_nothing),
        cmocka_unit_test(handle_in_a_finalizer),
        cmocka_unit_test(a_heap_without_handles_finds_nothing),
        cmocka_unit_test(handle_of_cyclic_trash_dies_with_it),
        cmocka_unit_test(handle_inside_the_finalizer),
        cmocka_unit_test(no_cost_until_there_is_one),
        cmocka_unit_test(dropped_references_do_not_fill_the_table),
        cmocka_unit_test(entries_without_references_go_with_their_objects),
        cmocka_unit_test(the_table_is_swept_between_slices),
        {"the_table_is_swept_between_slices of closures",
         the_table_is_swept_between_slices, gt_closures_on, gt_closures_off, NULL},
        cmocka_unit_test(many_references_and_targets),
    };
    return cmocka_run_group_tests_name("weak", tests, NULL, NULL);
}
