/* test_gc_behaviours.c - CPython's behaviours of the cycle collector, one test each.

   The name of a test starts with the behaviour it checks (G1, G2, ...). Not here:
     G3    type objects in cycles: types are static descriptors, never collected
     G10   frames and local variables: C has none that a collector sees
     G38   uncollectable objects of legacy finalizers: no type can have one
     G53   where an object resurrected by its count stands: a detail of CPython
   With a change of form: G5, G6 (any object that holds another), G12 (value hooks
   instead of attribute hooks), G32 (per type, no lazy untracking), G35 (the kept
   objects of SAVEALL), G37 (the heap's destruction), G39 (mm_audit), G40
   (mm_heap_destroy).
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include "gc_testing.h"

/* ---- 1.1 what a collection finds, and what it returns ----------------------- */

static void G1_self_loop(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, NULL);
    Plain *p = plain(heap, 0);
    Vec *v = vec(heap, 3);
    (void)state;
    mm_set(&p->b, p);
    mm_set(&v->items[1], v);
    mm_decref(t);
    assert_int_equal(gt.disposed[1], 0);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt.disposed[1], 1);
    mm_decref(p);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    mm_decref(v);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static void G2_two_cycle(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    Tail *tail = mm_new_extra(heap, Tail, 2 * sizeof(void *));
    (void)state;
    tail->count = 2;
    mm_set(&tail->items[1], t);
    mm_set(&t->b, tail);
    mm_decref(tail);
    mm_decref(t);
    assert_int_equal(gt.disposed[1], 0);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(gt.disposed[1], 1);
    gt_close(heap);
}

typedef struct Derived {
    Thing thing;
    void *more;
} Derived;
MM_TYPE_DERIVED(Derived, Thing, MM_REF(Derived, more))

static void G4_instance_and_derived_instance(void **state)
{
    mm_heap *heap = gt_heap();
    Derived *d = mm_new(heap, Derived);
    (void)state;
    d->thing.id = 1;
    mm_set(&d->thing.b, d); /* through an inherited slot */
    mm_set(&d->more, d);    /* and through one of its own */
    assert_int_equal(mm_refcount(d), 3);
    mm_decref(d);
    assert_true(mm_gc_collect(heap, 2) != 0);
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

typedef struct Closure {
    void (*call)(void *self);
    void *self;
} Closure;
MM_TYPE(Closure, MM_REF(Closure, self))

static void G5_closure_over_its_owner(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    Closure *method = mm_new(heap, Closure);
    (void)state;
    mm_set(&method->self, t);
    mm_set_steal(&t->a, method);
    mm_decref(t);
    assert_int_equal(gt.disposed[1], 0);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(gt.disposed[1], 1);
    gt_close(heap);
}

static void G6_wrapper_pair(void **state)
{
    mm_heap *heap = gt_heap();
    Closure *function = mm_new(heap, Closure);
    Vec *globals = vec(heap, 4);
    (void)state;
    mm_set(&globals->items[2], function);
    mm_set_steal(&function->self, globals);
    mm_decref(function);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static void G7_return_value_counts_objects(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t;
    int i;
    (void)state;
    for (i = 0; i < 100; i++) mm_decref(thing_loop(heap, i, NULL));
    assert_int_equal(mm_gc_collect(heap, 2), 100);
    t = thing_loop(heap, 1, NULL); /* a weak reference in the trash counts too */
    t->b = weak(t, "never");
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    t = thing_loop(heap, 1, NULL); /* a leaf that hangs from the trash does not */
    t->b = mm_new(heap, Text);
    ((Text *)t->b)->id = -1;
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_string_equal(strstr(gt.trace, "never") ? "called" : "silent", "silent");
    gt_close(heap);
}

static void G8_resurrected_objects_are_not_counted(void **state)
{
    mm_heap *heap = gt_heap();
    int i;
    (void)state;
    mm_decref(thing_loop(heap, 200, fin_resurrect));
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    assert_int_equal(gt_stats(heap).generation[2].collected, 0);
    assert_int_equal(gt.kept_count, 1);
    for (i = 0; i < 100; i++) mm_decref(thing_loop(heap, i, NULL));
    mm_decref(thing_loop(heap, 201, fin_resurrect));
    assert_int_equal(mm_gc_collect(heap, 2), 100);
    assert_int_equal(gt_stats(heap).generation[2].collected, 100);
    gt_drop_kept();
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(gt.finalized[200], 1);
    assert_int_equal(gt.finalized[201], 1);
    gt_close(heap);
}

static bool fin_cut_all(Thing *self)
{
    mm_clear(&self->a);
    mm_clear(&self->b);
    mm_clear(&self->c);
    return true;
}

static void G9_death_by_count_during_finalizers(void **state)
{
    mm_heap *heap = gt_heap();
    size_t n;
    (void)state;
    mm_decref(thing_loop(heap, 1, fin_cut_all));
    n = mm_gc_collect(heap, 2);
    assert_true(n <= 1); /* CPython says 0; the number is not promised */
    assert_int_equal(gt.disposed[1], 1);
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static void G11_clean_heap_and_repetition(void **state)
{
    mm_heap *heap = gt_heap();
    Plain *live = plain_ring(heap, 10, 0);
    int g, i;
    (void)state;
    for (i = 0; i < 3; i++)
        for (g = 0; g < 3; g++) assert_int_equal(mm_gc_collect(heap, g), 0);
    mm_decref(plain_ring(heap, 7, 0));
    assert_int_equal(mm_gc_collect(heap, 2), 7);
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    assert_int_equal(gt_objects(heap), 10);
    mm_decref(live);
    assert_int_equal(mm_gc_collect(heap, 2), 10);
    gt_close(heap);
}

typedef struct Boom {
    void *attr;
} Boom;
MM_TYPE(Boom, MM_REF(Boom, attr))

static int boom_calls;

static bool boom_equal(const void *a, const void *b)
{
    boom_calls++;
    return a == b;
}

static uint64_t boom_hash(const void *object)
{
    (void)object;
    boom_calls++;
    return 1;
}

static size_t boom_repr(const void *object, char *buffer, size_t size)
{
    (void)object;
    boom_calls++;
    return (size_t)snprintf(buffer, size, "boom");
}

static void G12_value_hooks_are_not_called(void **state)
{
    mm_heap *heap = gt_heap();
    Boom *a, *b;
    void *const *garbage;
    (void)state;
    mm_typeof(Boom)->equal = boom_equal;
    mm_typeof(Boom)->hash = boom_hash;
    mm_typeof(Boom)->repr = boom_repr;
    boom_calls = 0;
    a = mm_new(heap, Boom);
    b = mm_new(heap, Boom);
    mm_set(&a->attr, b);
    mm_set(&b->attr, a);
    mm_decref(weak(a, NULL)); /* a weak reference hashes its target only when asked */
    mm_decref(a);
    mm_decref(b);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(mm_gc_garbage(heap, &garbage), 0);
    assert_int_equal(boom_calls, 0);
    gt_close(heap);
}

/* A finalizer that makes a new object, which refers to this one and has a finalizer
   that looks at it: that one runs late, perhaps while self is being cleared. */
static bool fin_late_look(Thing *self)
{
    Thing *seen = self->c;
    if (seen != NULL && seen->b != NULL) assert_int_equal(mm_refcount(seen->b) > 0, 1);
    return true;
}

static bool fin_make_late(Thing *self)
{
    Thing *late = thing(mm_heap_of(self), 99, fin_late_look);
    mm_set(&late->c, self);
    mm_set_steal(&self->b, late);
    return true;
}

static void G13_clear_leaves_a_valid_object(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, fin_make_late);
    int i;
    (void)state;
    mm_set_steal(&t->c, thing_loop(heap, 2, NULL));
    mm_decref(t);
    for (i = 0; i < 3; i++) mm_gc_collect(heap, 2);
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt.finalized[99], 1);
    assert_int_equal(gt.disposed[1] + gt.disposed[2] + gt.disposed[99], 3);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static bool fin_replace_neighbour(Thing *self)
{
    Thing *next = self->a;
    if (next == NULL) return true;
    mm_clear(&next->c);
    mm_set_steal(&next->b, thing(mm_heap_of(self), 98, NULL));
    mm_clear(&self->a);
    return true;
}

static void G14_finalizers_that_cut_one_another(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *first = thing(heap, 0, fin_replace_neighbour), *last = first;
    int i;
    (void)state;
    for (i = 1; i < 20; i++) {
        Thing *t = thing(heap, i, fin_replace_neighbour);
        mm_set(&t->b, first);
        mm_set(&t->c, last);
        mm_set_steal(&last->a, t);
        last = t;
    }
    mm_set(&last->a, first);
    mm_decref(first);
    mm_gc_collect(heap, 2);
    mm_gc_collect(heap, 2);
    for (i = 0; i < 20; i++) assert_int_equal(gt.finalized[i], 1);
    for (i = 0; i < 20; i++) assert_int_equal(gt.disposed[i], 1);
    assert_int_equal(gt.finalized[98], gt.disposed[98]);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static long trashcan_finalized, trashcan_collected;

static bool fin_collect_sometimes(Thing *self)
{
    trashcan_finalized++;
    if (trashcan_finalized % 1000 == 0)
        trashcan_collected += (long)mm_gc_collect(mm_heap_of(self), 2);
    return true;
}

static void G15_deep_nesting_does_not_recurse(void **state)
{
    mm_heap *heap = gt_heap();
    long depth = gt_scale(50000, 5000), i;
    Thing *head = NULL;
    (void)state;
    trashcan_finalized = trashcan_collected = 0;
    for (i = 0; i < depth; i++) {
        Thing *t = thing(heap, -1, fin_collect_sometimes);
        mm_set_steal(&t->a, head);
        head = t;
    }
    mm_decref(head);
    assert_int_equal(gt_objects(heap), 0);
    assert_int_equal(trashcan_finalized, depth);
    head = thing_loop(heap, -1, NULL); /* the same as the tail of a cycle */
    for (i = 0; i < depth; i++) {
        Thing *t = thing(heap, -1, fin_collect_sometimes);
        mm_set_steal(&t->b, mm_take(&head->b));
        mm_set_steal(&head->b, t);
    }
    mm_decref(head);
    mm_gc_collect(heap, 2);
    assert_int_equal(gt_objects(heap), 0);
    assert_int_equal(trashcan_finalized, 2 * depth);
    gt_close(heap);
}

static void G16_references_the_collector_is_not_told_of(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *owner = thing_loop(heap, 1, NULL), *target = thing_loop(heap, 2, NULL);
    Text *box = mm_new(heap, Text);
    (void)state;
    box->id = 3;
    box->hidden = target; /* its own reference: target looks held from outside */
    mm_set_steal(&owner->b, box);
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    mm_decref(owner);
    assert_int_equal(mm_gc_collect(heap, 2), 1); /* owner; box goes with it */
    assert_int_equal(gt.disposed[1], 1);
    assert_int_equal(gt.finalized[3], 1);
    assert_int_equal(gt.disposed[2], 0); /* still in its loop */
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt.disposed[2], 1);
    gt_close(heap);
}

/* ---- 1.2 control ------------------------------------------------------------ */

static int detector_fired;

static bool detector(mm_weakref *ref, void *user)
{
    (void)ref;
    (void)user;
    detector_fired++;
    return true;
}

static void G20_enable_and_disable(void **state)
{
    mm_heap_desc desc = gt_desc();
    mm_heap *heap = gt_heap_with(&desc);
    Thing *t = thing_loop(heap, 1, NULL);
    mm_weakref *ref = mm_weakref_new(t, detector, NULL);
    Plain *keep;
    int i;
    (void)state;
    detector_fired = 0;
    assert_true(mm_gc_is_enabled(heap));
    mm_gc_disable(heap);
    assert_false(mm_gc_is_enabled(heap));
    mm_decref(t);
    keep = plain_list(heap, 10000);
    assert_int_equal(detector_fired, 0);
    assert_int_equal(mm_gc_collect(heap, 2), 1); /* an explicit one works */
    assert_int_equal(detector_fired, 1);
    mm_decref(ref);
    t = thing_loop(heap, 2, NULL);
    ref = mm_weakref_new(t, detector, NULL);
    mm_decref(t);
    mm_gc_enable(heap);
    assert_true(mm_gc_is_enabled(heap));
    for (i = 0; i < 100 && detector_fired == 1; i++)
        mm_decref(plain_ring(heap, 100, 0));
    assert_int_equal(detector_fired, 2);
    mm_decref(ref);
    mm_decref(keep);
    gt_close(heap);
}

static void G21_collect_takes_a_generation(void **state)
{
    mm_heap *heap = gt_heap();
    int bad[] = {-1, 3, 100, -1000000, INT32_MAX, INT32_MIN};
    size_t i;
    int g;
    (void)state;
    for (g = 0; g < 3; g++) {
        mm_decref(plain_ring(heap, 2, 0));
        assert_int_equal(mm_gc_collect(heap, g), 2);
        assert_int_equal(mm_last_status(heap), MM_OK);
    }
    mm_decref(plain_ring(heap, 2, 0));
    for (i = 0; i < GT_COUNT(bad); i++) {
        mm_clear_status(heap);
        assert_int_equal(mm_gc_collect(heap, bad[i]), 0);
        assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    }
    assert_non_null(strstr(mm_last_message(heap), "generation"));
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    gt_close(heap);
}

static bool fin_collect_inside(Thing *self)
{
    int g;
    for (g = 0; g < 3; g++) assert_int_equal(mm_gc_collect(mm_heap_of(self), g), 0);
    gt_note("inside");
    return true;
}

static void on_collection(mm_heap *heap, const mm_gc_info *info, void *user)
{
    (void)info;
    (void)user;
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    gt_note("told");
}

static bool weak_collect(mm_weakref *ref, void *user)
{
    (void)user;
    assert_int_equal(mm_gc_collect(mm_heap_of(ref), 2), 0);
    gt_note("weak");
    return true;
}

static void G22_collection_inside_a_collection(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, -1, fin_collect_inside);
    mm_weakref *ref = mm_weakref_new(t, weak_collect, NULL);
    (void)state;
    assert_int_equal(mm_gc_add_callback(heap, on_collection, NULL), MM_OK);
    mm_decref(t);
    mm_decref(thing_loop(heap, 1, NULL));
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(strncmp(gt.trace, "told weak ", 10), 0);
    assert_non_null(strstr(gt.trace, "inside"));
    assert_string_equal(gt.trace + gt.trace_length - 5, " told");
    assert_int_equal(mm_gc_remove_callback(heap, on_collection, NULL), MM_OK);
    mm_decref(ref);
    gt_close(heap);
}

static void G23_thresholds(void **state)
{
    mm_heap_desc desc = gt_desc();
    mm_heap *heap = gt_heap_with(&desc);
    int t[3];
    Plain *list;
    (void)state;
    mm_gc_get_threshold(heap, t);
    assert_int_equal(t[0], 700);
    assert_int_equal(t[1], 10);
    assert_int_equal(t[2], 10);
    mm_gc_set_threshold(heap, 973, -1, -1); /* negative: keep */
    mm_gc_get_threshold(heap, t);
    assert_true(t[0] == 973 && t[1] == 10 && t[2] == 10);
    mm_gc_set_threshold(heap, -1, 3, 4);
    mm_gc_get_threshold(heap, t);
    assert_true(t[0] == 973 && t[1] == 3 && t[2] == 4);
    mm_gc_set_threshold(heap, 0, -1, -1); /* 0: never */
    list = plain_list(heap, 20000);
    assert_int_equal(gt_stats(heap).generation[0].collections, 0);
    mm_gc_set_threshold(heap, 100, -1, -1);
    mm_decref(plain_list(heap, 500));
    assert_true(gt_stats(heap).generation[0].collections > 0);
    mm_decref(list);
    gt_close(heap);
}

static void G24_counts(void **state)
{
    mm_heap *heap = gt_heap();
    int before[3], after[3], later[3];
    Plain *p, *q;
    (void)state;
    mm_gc_collect(heap, 2);
    mm_gc_get_count(heap, before);
    assert_int_equal(before[1], 0);
    assert_int_equal(before[2], 0);
    p = plain(heap, 1);
    q = plain(heap, 2);
    mm_gc_get_count(heap, after);
    assert_int_equal(after[0], before[0] + 2);
    mm_decref(q); /* allocations minus deallocations */
    mm_gc_get_count(heap, later);
    assert_int_equal(later[0], before[0] + 1);
    mm_decref(p);
    mm_decref(mm_new(heap, Text)); /* leaves do not count */
    mm_gc_get_count(heap, later);
    assert_int_equal(later[0], before[0]);
    gt_close(heap);
}

static void assert_counts(mm_heap *heap, int one, int two)
{
    int count[3];
    mm_gc_get_count(heap, count);
    assert_int_equal(count[1], one);
    assert_int_equal(count[2], two);
}

static void G25_collect_sets_the_counts(void **state)
{
    mm_heap *heap = gt_heap();
    (void)state;
    mm_gc_collect(heap, 2);
    mm_gc_collect(heap, 0);
    assert_counts(heap, 1, 0);
    mm_gc_collect(heap, 0);
    assert_counts(heap, 2, 0);
    mm_gc_collect(heap, 1);
    assert_counts(heap, 0, 1);
    mm_gc_collect(heap, 0);
    assert_counts(heap, 1, 1);
    mm_gc_collect(heap, 2);
    assert_counts(heap, 0, 0);
    gt_close(heap);
}

typedef struct Search {
    const void *what;
    size_t seen, total;
} Search;

static bool look_for(void *object, void *user)
{
    Search *search = user;
    search->total++;
    if (object == search->what) search->seen++;
    return true;
}

static size_t in_generation(mm_heap *heap, int generation, const void *object)
{
    Search search = {NULL, 0, 0};
    size_t visited;
    search.what = object;
    visited = mm_gc_get_objects(heap, generation, look_for, &search);
    assert_int_equal(visited, search.total);
    return search.seen;
}

static void G26_survivors_move_up(void **state)
{
    mm_heap *heap = gt_heap();
    Plain *p = plain(heap, 1), *q;
    int g, k;
    (void)state;
    for (g = 0; g < 3; g++) {
        for (k = 0; k < 3; k++) assert_int_equal(in_generation(heap, k, p), k == g);
        assert_int_equal(mm_gc_generation_of(p), g);
        mm_gc_collect(heap, g);
    }
    assert_int_equal(mm_gc_generation_of(p), 2);
    q = plain(heap, 2);
    mm_gc_collect(heap, 1); /* 0 and 1 together move to 2 */
    assert_int_equal(mm_gc_generation_of(q), 2);
    mm_decref(q);
    q = plain(heap, 2);
    mm_gc_collect(heap, 2);
    assert_int_equal(mm_gc_generation_of(q), 2);
    mm_decref(p);
    mm_decref(q);
    gt_close(heap);
}

static void G27_get_objects_of_all_and_of_none(void **state)
{
    mm_heap *heap = gt_heap();
    Plain *ring = plain_ring(heap, 5, 0), *more;
    Text *text = mm_new(heap, Text);
    Search search = {NULL, 0, 0};
    int bad[] = {-2, 3, 4, 1000, -1000};
    size_t i;
    (void)state;
    text->id = -1;
    mm_gc_collect(heap, 0);
    more = plain_ring(heap, 3, 0);
    assert_int_equal(mm_gc_get_objects(heap, -1, look_for, &search), 8);
    assert_int_equal(search.total, 8);
    assert_int_equal(in_generation(heap, -1, text), 0);
    for (i = 0; i < GT_COUNT(bad); i++) {
        mm_clear_status(heap);
        assert_int_equal(mm_gc_get_objects(heap, bad[i], look_for, &search), SIZE_MAX);
        assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    }
    mm_decref(text);
    mm_decref(ring);
    mm_decref(more);
    mm_gc_collect(heap, 2);
    gt_close(heap);
}

static void G28_stats(void **state)
{
    mm_heap *heap = gt_heap();
    mm_gc_stats old, now;
    int g, k;
    (void)state;
    for (g = 0; g < 3; g++) {
        mm_gc_get_stats(heap, &old);
        mm_decref(plain_ring(heap, 4, 0));
        mm_gc_collect(heap, g);
        mm_gc_get_stats(heap, &now);
        for (k = 0; k < 3; k++) {
            assert_int_equal(now.generation[k].collections,
                             old.generation[k].collections + (k == g));
            assert_int_equal(now.generation[k].collected,
                             old.generation[k].collected + (k == g ? 4 : 0));
            assert_int_equal(now.generation[k].uncollectable, 0);
        }
    }
    gt_close(heap);
}

static void G29_freeze_and_unfreeze(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *trash = thing_loop(heap, 1, NULL);
    Plain *live = plain_ring(heap, 3, 0);
    (void)state;
    mm_decref(trash);
    mm_gc_freeze(heap);
    assert_int_equal(mm_gc_get_freeze_count(heap), 4);
    assert_int_equal(mm_gc_generation_of(live), 3);
    assert_int_equal(in_generation(heap, -1, live), 0);
    assert_int_equal(mm_gc_collect(heap, 2), 0); /* not even the trash among them */
    mm_decref(thing_loop(heap, 2, NULL));
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt.disposed[1], 0);
    mm_gc_unfreeze(heap);
    assert_int_equal(mm_gc_get_freeze_count(heap), 0);
    assert_int_equal(mm_gc_generation_of(live), 2);
    assert_int_equal(in_generation(heap, 2, live), 1);
    assert_int_equal(mm_gc_collect(heap, 1), 0);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt.disposed[1], 1);
    mm_decref(live);
    assert_int_equal(mm_gc_collect(heap, 2), 3);
    gt_close(heap);
}

typedef struct Seen {
    void *object[32];
    size_t count;
} Seen;

static bool collect_seen(void *object, void *user)
{
    Seen *seen = user;
    if (seen->count < 32) seen->object[seen->count++] = object;
    return true;
}

static size_t times(const Seen *seen, const void *object)
{
    size_t i, n = 0;
    for (i = 0; i < seen->count; i++) n += seen->object[i] == object;
    return n;
}

static void G30_referents_with_duplicates(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    Text *text = mm_new(heap, Text);
    Vec *v = vec(heap, 5);
    Tail *tail = mm_new_extra(heap, Tail, 3 * sizeof(void *));
    Seen seen = {{NULL}, 0};
    (void)state;
    text->id = -1;
    tail->count = 3;
    mm_set(&v->items[0], t);
    mm_set(&v->items[3], t);
    mm_set(&v->items[4], text); /* a leaf is a referent too */
    mm_set(&v->owner, tail);
    assert_int_equal(mm_gc_get_referents(v, collect_seen, &seen), 4);
    assert_int_equal(times(&seen, t), 2);
    assert_int_equal(times(&seen, text), 1);
    assert_int_equal(times(&seen, tail), 1);
    seen.count = 0;
    mm_set(&tail->items[0], v);
    mm_set(&tail->items[2], v);
    assert_int_equal(mm_gc_get_referents(tail, collect_seen, &seen), 2);
    assert_int_equal(times(&seen, v), 2);
    seen.count = 0;
    assert_int_equal(mm_gc_get_referents(text, collect_seen, &seen), 0);
    mm_decref(t);
    mm_decref(text);
    mm_decref(tail);
    mm_decref(v);
    assert_int_equal(mm_gc_collect(heap, 2), 3);
    gt_close(heap);
}

static void G31_referrers(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *target = thing(heap, 1, NULL), *twice = thing(heap, 2, NULL);
    Vec *v = vec(heap, 4);
    Plain *other = plain(heap, 3);
    Seen seen = {{NULL}, 0};
    (void)state;
    mm_set(&twice->a, target);
    mm_set(&twice->c, target);
    mm_set(&v->items[2], target);
    mm_set(&other->a, twice);
    assert_int_equal(mm_gc_get_referrers(target, collect_seen, &seen), 2);
    assert_int_equal(times(&seen, twice), 1);
    assert_int_equal(times(&seen, v), 1);
    seen.count = 0;
    assert_int_equal(mm_gc_get_referrers(other, collect_seen, &seen), 0);
    mm_decref(target);
    mm_decref(twice);
    mm_decref(v);
    mm_decref(other);
    gt_close(heap);
}

static void G32_tracked_by_type(void **state)
{
    mm_heap *heap = gt_heap();
    Plain *p = plain(heap, 1);
    Text *text = mm_new(heap, Text);
    mm_str *str = mm_str_new(heap, "x", 1);
    (void)state;
    text->id = -1;
    assert_true(mm_gc_is_tracked(p));
    assert_false(mm_gc_is_tracked(text));
    assert_false(mm_gc_is_tracked(str));
    assert_int_equal(mm_gc_generation_of(text), -1);
    mm_gc_collect(heap, 2);
    assert_true(mm_gc_is_tracked(p));
    mm_decref(p);
    mm_decref(text);
    mm_decref(str);
    gt_close(heap);
}

static void G33_is_finalized(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, fin_resurrect), *u = thing(heap, 2, fin_resurrect);
    Plain *p = plain(heap, 3);
    (void)state;
    assert_false(mm_gc_is_finalized(t));
    assert_false(mm_gc_is_finalized(p));
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    assert_int_equal(gt.kept_count, 1);
    assert_true(mm_gc_is_finalized(t));
    assert_false(mm_gc_is_finalized(u));
    mm_decref(u); /* back by its count */
    assert_true(mm_gc_is_finalized(u));
    gt_drop_kept();
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    mm_decref(p);
    gt_close(heap);
}

typedef struct Told {
    int starts, stops;
    size_t collected, uncollectable;
    int generation;
    char name;
} Told;

static void tell(mm_heap *heap, const mm_gc_info *info, void *user)
{
    Told *told = user;
    (void)heap;
    if (info->stop) {
        told->stops++;
        told->collected = info->collected;
        told->uncollectable = info->uncollectable;
    } else {
        told->starts++;
        assert_int_equal(info->collected, 0);
        assert_int_equal(info->uncollectable, 0);
    }
    told->generation = info->generation;
    gt_note("%c%s%d", told->name, info->stop ? "stop" : "start", info->generation);
}

static void G34_callbacks(void **state)
{
    mm_heap *heap = gt_heap();
    Told a = {0, 0, 0, 0, -1, 'a'}, b = {0, 0, 0, 0, -1, 'b'};
    int g;
    (void)state;
    assert_int_equal(mm_gc_add_callback(heap, tell, &a), MM_OK);
    assert_int_equal(mm_gc_add_callback(heap, tell, &b), MM_OK);
    mm_gc_collect(heap, 2);
    assert_string_equal(gt.trace, "astart2 bstart2 astop2 bstop2");
    for (g = 0; g < 3; g++) {
        mm_gc_stats old = gt_stats(heap);
        mm_decref(plain_ring(heap, 3, 0));
        mm_gc_collect(heap, g);
        assert_int_equal(a.generation, g);
        assert_int_equal(a.collected, 3);
        assert_int_equal(gt_stats(heap).generation[g].collected,
                         old.generation[g].collected + 3);
        assert_int_equal(a.uncollectable, 0);
    }
    assert_int_equal(a.starts, 4);
    assert_int_equal(a.stops, 4);
    assert_int_equal(mm_gc_remove_callback(heap, tell, &a), MM_OK);
    assert_int_equal(mm_gc_remove_callback(heap, tell, &a), MM_ERR_KEY);
    gt_forget();
    mm_gc_collect(heap, 1);
    assert_string_equal(gt.trace, "bstart1 bstop1");
    assert_int_equal(mm_gc_remove_callback(heap, tell, &b), MM_OK);
    mm_gc_collect(heap, 1);
    assert_int_equal(b.stops, 5);
    gt_close(heap);
}

static void drop_garbage(mm_heap *heap, const mm_gc_info *info, void *user)
{
    (void)user;
    if (info->stop) mm_gc_clear_garbage(heap);
}

static void G35_stop_callback_may_drop_the_garbage(void **state)
{
    mm_heap *heap = gt_heap();
    void *const *garbage;
    (void)state;
    mm_gc_set_debug(heap, MM_GC_DEBUG_SAVEALL);
    mm_gc_add_callback(heap, drop_garbage, NULL);
    mm_decref(thing_loop(heap, 1, fin_cut_all));
    mm_decref(thing_loop(heap, 2, NULL));
    mm_gc_collect(heap, 2);
    assert_int_equal(mm_gc_garbage(heap, &garbage), 0);
    mm_gc_set_debug(heap, 0);
    mm_gc_remove_callback(heap, drop_garbage, NULL);
    mm_gc_collect(heap, 2);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static void G36_saveall_keeps_what_is_found(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, NULL);
    mm_weakref *ref = weak(t, "dead");
    void *const *garbage;
    (void)state;
    assert_int_equal(mm_gc_get_debug(heap), 0);
    assert_int_equal(MM_GC_DEBUG_LEAK, 2 | 4 | 32);
    mm_gc_set_debug(heap, MM_GC_DEBUG_SAVEALL);
    assert_int_equal(mm_gc_get_debug(heap), 32);
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(mm_gc_garbage(heap, &garbage), 1);
    assert_ptr_equal(garbage[0], t);
    assert_ptr_equal(t->a, t); /* not cleared */
    assert_int_equal(gt.disposed[1], 0);
    assert_string_equal(gt.trace, "dead fin1");
    assert_false(weak_alive(ref));
    mm_gc_set_debug(heap, 0);
    mm_gc_clear_garbage(heap);
    assert_int_equal(mm_gc_garbage(heap, &garbage), 0);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt.disposed[1], 1);
    assert_int_equal(gt.finalized[1], 1);
    mm_decref(ref);
    gt_close(heap);
}

static void G37_saved_garbage_is_no_leak(void **state)
{
    mm_heap *heap = gt_heap();
    void *const *garbage;
    (void)state;
    mm_gc_set_debug(heap, MM_GC_DEBUG_SAVEALL);
    mm_decref(thing_loop(heap, 1, NULL));
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(mm_gc_garbage(heap, &garbage), 1);
    gt_close(heap); /* expects 0 objects held */
    assert_int_equal(gt.disposed[1], 1);
}

static void G39_count_below_its_references(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL), *holder = thing(heap, 2, NULL);
    gt_text out = {{0}, 0};
    (void)state;
    mm_set(&holder->a, t);
    mm_set(&holder->b, t);
    assert_int_equal(mm_audit(heap, gt_write, &out), 0);
    mm__count_set(mm__header_of(t), 1);
    assert_int_equal(mm_audit(heap, gt_write, &out), 1);
    assert_non_null(strstr(out.text, "Thing"));
    assert_true(gt_has_address(&out, t));
    mm__count_set(mm__header_of(t), 3);
    mm_decref(t);
    mm_decref(holder);
    gt_close(heap);
}

static void G40_destroy_collects_a_last_time(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *a = thing(heap, 1, NULL), *b = thing(heap, 2, NULL);
    (void)state;
    mm_set(&a->a, b);
    mm_set(&b->a, a);
    mm_decref(a);
    mm_decref(b);
    gt_close(heap);
    assert_int_equal(gt.finalized[1] + gt.finalized[2], 2);
    assert_int_equal(gt.disposed[1] + gt.disposed[2], 2);
}

static bool fin_fail(Thing *self)
{
    (void)self;
    return false;
}

static void on_error(mm_heap *heap, void *object, const char *what, void *user)
{
    assert_ptr_equal(heap, gt.heap);
    assert_non_null(what);
    assert_ptr_equal(mm_type_of(object), mm_typeof(Thing));
    gt_note("error%d", ((Thing *)object)->id);
    ++*(int *)user;
}

static void G41_failing_finalizer_is_reported(void **state)
{
    mm_heap *heap = gt_heap();
    int errors = 0;
    (void)state;
    assert_int_equal(mm_gc_get_objects(heap, 9, look_for, NULL), SIZE_MAX);
    mm_gc_set_error_hook(heap, on_error, &errors);
    mm_decref(thing_loop(heap, 1, fin_fail));
    mm_decref(thing_loop(heap, 2, NULL));
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(errors, 1);
    assert_int_equal(gt.disposed[1] + gt.disposed[2], 2);
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE); /* as it was before */
    mm_decref(thing(heap, 3, fin_fail));                  /* by its count: the same */
    assert_int_equal(errors, 2);
    assert_int_equal(gt.disposed[3], 1);
    mm_gc_set_error_hook(heap, NULL, NULL); /* now it goes to the log */
    mm_decref(thing(heap, 4, fin_fail));
    assert_int_equal(errors, 2);
    assert_int_equal(gt.logs[MM_LOG_WARNING], 1);
    assert_non_null(strstr(gt.last_log, "Thing"));
    gt_close(heap);
}

static bool fin_allocate(Thing *self)
{
    mm_heap *heap = mm_heap_of(self);
    int i;
    for (i = 0; i < 50; i++) mm_decref(plain_ring(heap, 2, 0));
    return true;
}

static void G42_finalizer_that_triggers_a_collection(void **state)
{
    mm_heap_desc desc = gt_desc();
    mm_heap *heap = gt_heap_with(&desc);
    int i;
    (void)state;
    mm_gc_set_threshold(heap, 1, 1, 1);
    for (i = 0; i < 100; i++) mm_decref(thing(heap, i, fin_allocate));
    for (i = 100; i < 200; i++) mm_decref(thing_loop(heap, i, fin_allocate));
    mm_gc_collect(heap, 2);
    for (i = 0; i < 200; i++) assert_int_equal(gt.finalized[i], 1);
    for (i = 0; i < 200; i++) assert_int_equal(gt.disposed[i], 1);
    gt_close(heap);
}

/* ---- 1.3 generations -------------------------------------------------------- */

static void G50_old_garbage_keeps_young_garbage(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *old = thing_loop(heap, 1, NULL), *young;
    (void)state;
    mm_gc_collect(heap, 0);
    young = thing_loop(heap, 2, NULL);
    mm_set_steal(&old->b, young);
    mm_decref(old);
    assert_int_equal(mm_gc_collect(heap, 0), 0);
    assert_int_equal(gt.disposed[2], 0);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    gt_close(heap);
}

static mm_weakref *weak_into_trash;

static bool weak_look_into_trash(mm_weakref *ref, void *user)
{
    (void)ref;
    (void)user;
    assert_null(mm_weakref_get(weak_into_trash));
    gt_note("callback");
    return true;
}

static bool fin_look_into_trash(Thing *self)
{
    (void)self;
    assert_null(mm_weakref_get(weak_into_trash));
    return true;
}

static ptrdiff_t position(const char *what)
{
    const char *found = strstr(gt.trace, what);
    assert_non_null(found);
    return found - gt.trace;
}

/* An old object that only young trash refers to dies while that is cleared. */
static void old_object_dies_in_the_clear(bool by_finalizer)
{
    mm_heap *heap = gt_heap();
    Thing *old = thing(heap, 1, by_finalizer ? fin_look_into_trash : NULL);
    mm_weakref *ref = mm_weakref_new(old, weak_look_into_trash, NULL);
    Thing *t1, *t2;
    mm_gc_collect(heap, 0);
    mm_gc_collect(heap, 1);
    t1 = thing(heap, 2, NULL);
    t2 = thing(heap, 3, NULL);
    mm_set(&t1->a, t2);
    mm_set(&t2->a, t1);
    mm_set_steal(&t1->b, old); /* the only reference to it now */
    weak_into_trash = weak(t2, NULL);
    mm_gc_collect(heap, 0); /* everything lives: nothing moves but t1 and t2 */
    mm_decref(t1);
    mm_decref(t2);
    assert_int_equal(mm_gc_collect(heap, 1), 2);
    assert_true(position("fin1") > position("fin2")); /* in the clear: after all */
    assert_true(position("fin1") > position("fin3"));
    assert_true(position("callback") > position("fin1"));
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt.disposed[1] + gt.disposed[2] + gt.disposed[3], 3);
    mm_decref(weak_into_trash);
    mm_decref(ref);
    gt_close(heap);
}

static void G51_old_object_dies_in_the_clear_callback(void **state)
{
    (void)state;
    old_object_dies_in_the_clear(false);
}

static void G51_old_object_dies_in_the_clear_finalizer(void **state)
{
    (void)state;
    old_object_dies_in_the_clear(true);
}

static void schedule(int t0, int t1, int t2, int n, int g0, int g1, int g2)
{
    mm_heap_desc desc = gt_desc();
    mm_heap *heap;
    Plain *list;
    mm_gc_stats stats;
    desc.gc_pause_us = MM_GC_UNSLICED;
    heap = gt_heap_with(&desc);
    mm_gc_set_threshold(heap, t0, t1, t2);
    list = plain_list(heap, n);
    mm_gc_get_stats(heap, &stats);
    assert_int_equal(stats.generation[0].collections, g0);
    assert_int_equal(stats.generation[1].collections, g1);
    assert_int_equal(stats.generation[2].collections, g2);
    mm_gc_disable(heap);
    mm_decref(list);
    gt_close(heap);
}

static void G52_automatic_schedule(void **state)
{
    (void)state; /* lines measured on CPython; the whole file is replayed elsewhere */
    schedule(1, 0, 0, 10, 2, 2, 1);
    schedule(1, 0, 0, 40, 8, 7, 5);
    schedule(1, 0, 1, 40, 8, 8, 4);
    schedule(1, 0, 4, 40, 10, 9, 1);
    schedule(1, 1, 0, 18, 5, 2, 2);
    schedule(0, 10, 10, 5000, 0, 0, 0);
}

/* ---- 1.4 weak references in trash ------------------------------------------- */

static mm_weakref *both[2];

static bool weak_both_dead(mm_weakref *ref, void *user)
{
    (void)ref;
    (void)user;
    assert_null(mm_weakref_get(both[0]));
    assert_null(mm_weakref_get(both[1]));
    gt_note("callback");
    return true;
}

static void G60_trash_is_weakly_dead_before_callbacks(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t1 = thing(heap, 1, NULL), *t2 = thing(heap, 2, NULL);
    (void)state;
    mm_set(&t1->a, t2);
    mm_set(&t2->a, t1);
    both[0] = mm_weakref_new(t1, weak_both_dead, NULL);
    both[1] = mm_weakref_new(t2, weak_both_dead, NULL);
    mm_decref(t1);
    mm_decref(t2);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(strncmp(gt.trace, "callback callback fin", 21), 0);
    mm_decref(both[0]);
    mm_decref(both[1]);
    gt_close(heap);
}

static void G61_trash_weak_reference_is_silent(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, NULL), *live = thing(heap, 2, NULL);
    (void)state;
    t->b = weak(t, "inner");
    t->c = weak(live, "outer"); /* in the trash, its target is not */
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 3);
    mm_decref(live);
    assert_string_equal(gt.trace, "fin1 fin2");
    gt_close(heap);
}

static void G62_trash_weak_reference_to_what_is_hidden(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *a = thing_loop(heap, 1, NULL), *b = thing(heap, 2, NULL);
    Text *box = mm_new(heap, Text);
    (void)state;
    box->id = 3;
    box->hidden = b; /* b is not seen to be trash, */
    mm_set_steal(&a->b, box);
    a->c = weak(b, "must not be"); /* but the reference to it is */
    mm_decref(a);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(gt.disposed[2], 1);
    assert_string_equal(gt.trace, "fin1 fin2");
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(G1_self_loop),
        cmocka_unit_test(G2_two_cycle),
        cmocka_unit_test(G4_instance_and_derived_instance),
        cmocka_unit_test(G5_closure_over_its_owner),
        cmocka_unit_test(G6_wrapper_pair),
        cmocka_unit_test(G7_return_value_counts_objects),
        cmocka_unit_test(G8_resurrected_objects_are_not_counted),
        cmocka_unit_test(G9_death_by_count_during_finalizers),
        cmocka_unit_test(G11_clean_heap_and_repetition),
        cmocka_unit_test(G12_value_hooks_are_not_called),
        cmocka_unit_test(G13_clear_leaves_a_valid_object),
        cmocka_unit_test(G14_finalizers_that_cut_one_another),
        cmocka_unit_test(G15_deep_nesting_does_not_recurse),
        cmocka_unit_test(G16_references_the_collector_is_not_told_of),
        cmocka_unit_test(G20_enable_and_disable),
        cmocka_unit_test(G21_collect_takes_a_generation),
        cmocka_unit_test(G22_collection_inside_a_collection),
        cmocka_unit_test(G23_thresholds),
        cmocka_unit_test(G24_counts),
        cmocka_unit_test(G25_collect_sets_the_counts),
        cmocka_unit_test(G26_survivors_move_up),
        cmocka_unit_test(G27_get_objects_of_all_and_of_none),
        cmocka_unit_test(G28_stats),
        cmocka_unit_test(G29_freeze_and_unfreeze),
        cmocka_unit_test(G30_referents_with_duplicates),
        cmocka_unit_test(G31_referrers),
        cmocka_unit_test(G32_tracked_by_type),
        cmocka_unit_test(G33_is_finalized),
        cmocka_unit_test(G34_callbacks),
        cmocka_unit_test(G35_stop_callback_may_drop_the_garbage),
        cmocka_unit_test(G36_saveall_keeps_what_is_found),
        cmocka_unit_test(G37_saved_garbage_is_no_leak),
        cmocka_unit_test(G39_count_below_its_references),
        cmocka_unit_test(G40_destroy_collects_a_last_time),
        cmocka_unit_test(G41_failing_finalizer_is_reported),
        cmocka_unit_test(G42_finalizer_that_triggers_a_collection),
        cmocka_unit_test(G50_old_garbage_keeps_young_garbage),
        cmocka_unit_test(G51_old_object_dies_in_the_clear_callback),
        cmocka_unit_test(G51_old_object_dies_in_the_clear_finalizer),
        cmocka_unit_test(G52_automatic_schedule),
        cmocka_unit_test(G60_trash_is_weakly_dead_before_callbacks),
        cmocka_unit_test(G61_trash_weak_reference_is_silent),
        cmocka_unit_test(G62_trash_weak_reference_to_what_is_hidden),
    };
    return cmocka_run_group_tests_name("gc behaviours", tests, NULL, NULL);
}
