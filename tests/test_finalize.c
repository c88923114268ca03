/* test_finalize.c - finalizers of types (PEP 442), disposers, and mm_finalize.

   The name of a test starts with the behaviour of CPython it checks (F1 .. F18, Z1 ..
   Z6). Not here:
     F20 F21 F22   legacy destructors: no type can have one
     Z6            arguments are the caller's pointer, not references the heap holds
   With a change of form: F4 (the flag is in every object's header: a leaf too is
   finalized once), Z1 (no result, no argument tuple), Z5 (a callback cannot fail).
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include "gc_testing.h"

/* ---- F: simple objects ------------------------------------------------------ */

static void F1_once_on_death_by_count(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    mm_weakref *ref = weak(t, NULL);
    (void)state;
    mm_decref(t);
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt.disposed[1], 1);
    assert_false(weak_alive(ref));
    mm_gc_collect(heap, 2);
    assert_int_equal(gt.finalized[1], 1);
    mm_decref(ref);
    gt_close(heap);
}

static void F2_resurrection_by_count(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, fin_resurrect);
    mm_weakref *ref = weak(t, "cb");
    (void)state;
    mm_decref(t);
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt.disposed[1], 0);
    assert_int_equal(gt.kept_count, 1);
    assert_int_equal(mm_refcount(t), 1);
    assert_true(weak_alive(ref)); /* unlike F6 */
    assert_true(mm_gc_is_tracked(t));
    gt_drop_kept();
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt.disposed[1], 1);
    assert_false(weak_alive(ref));
    assert_string_equal(gt.trace, "fin1 cb");
    mm_decref(ref);
    gt_close(heap);
}

static void F3_leaf_objects_are_finalized(void **state)
{
    mm_heap *heap = gt_heap();
    Text *text = mm_new(heap, Text);
    (void)state;
    text->id = 1;
    assert_false(mm_gc_is_tracked(text));
    mm_decref(text);
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt.disposed[1], 1);
    gt_close(heap);
}

static bool text_resurrect(Text *self)
{
    gt.kept[gt.kept_count++] = mm_newref(self);
    return true;
}

static void F4_leaf_objects_are_finalized_once(void **state)
{
    mm_heap *heap = gt_heap();
    Text *text = mm_new(heap, Text);
    (void)state;
    text->id = 1;
    text->fin = text_resurrect;
    mm_decref(text);
    assert_int_equal(gt.kept_count, 1);
    assert_int_equal(text->id, 1);
    gt_drop_kept();
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt.disposed[1], 1);
    gt_close(heap);
}

static void F5_self_cycle(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, NULL);
    mm_weakref *ref = weak(t, NULL);
    (void)state;
    mm_decref(t);
    assert_int_equal(gt.finalized[1], 0);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt.finalized[1], 1);
    assert_false(weak_alive(ref));
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    assert_int_equal(gt.finalized[1], 1);
    mm_decref(ref);
    gt_close(heap);
}

static void F6_self_cycle_resurrected(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, fin_resurrect);
    mm_weakref *ref = weak(t, NULL);
    (void)state;
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    assert_int_equal(gt.kept_count, 1);
    assert_ptr_equal(t->a, t);
    assert_false(weak_alive(ref)); /* CPython up to 3.14 */
    gt_drop_kept();
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt.disposed[1], 1);
    mm_decref(ref);
    gt_close(heap);
}

static bool fin_cut_all(Thing *self)
{
    mm_clear(&self->a);
    mm_clear(&self->b);
    mm_clear(&self->c);
    return true;
}

static void F7_finalizer_breaks_its_own_cycle(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, fin_cut_all);
    mm_weakref *ref = weak(t, NULL);
    (void)state;
    mm_decref(t);
    mm_gc_collect(heap, 2);
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt.disposed[1], 1);
    assert_false(weak_alive(ref));
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    mm_decref(ref);
    gt_close(heap);
}

/* ---- F: chains -------------------------------------------------------------- */

#define CHAIN 12

static Thing *chain[CHAIN];
static bool suicided[CHAIN];

/* Both neighbours are what they were, or have cut themselves off. */
static void chain_check(Thing *self)
{
    Thing *left = self->a, *right = self->b;
    if (self->id >= CHAIN || suicided[self->id]) return;
    assert_non_null(left);
    assert_non_null(right);
    assert_in_range(left->id, 0, CHAIN - 1);
    assert_in_range(right->id, 0, CHAIN - 1);
    if (suicided[left->id])
        assert_null(left->b);
    else
        assert_ptr_equal(left->b, self);
    if (suicided[right->id])
        assert_null(right->a);
    else
        assert_ptr_equal(right->a, self);
}

static bool fin_simple(Thing *self)
{
    chain_check(self);
    return true;
}

static bool fin_survive(Thing *self)
{
    chain_check(self);
    return fin_resurrect(self);
}

static bool fin_suicide(Thing *self)
{
    chain_check(self);
    suicided[self->id] = true;
    mm_clear(&self->a);
    mm_clear(&self->b);
    return true;
}

typedef bool (*Fin)(Thing *);

/* A closed chain, its kinds repeated from `kinds`; nothing outside holds it. */
static void chain_build(mm_heap *heap, const Fin *kinds, size_t kind_count)
{
    size_t i;
    memset(suicided, 0, sizeof suicided);
    memset(gt.finalized, 0, sizeof gt.finalized);
    memset(gt.disposed, 0, sizeof gt.disposed);
    for (i = 0; i < CHAIN; i++) chain[i] = thing(heap, (int)i, kinds[i % kind_count]);
    for (i = 0; i < CHAIN; i++) {
        mm_set(&chain[i]->b, chain[(i + 1) % CHAIN]);
        mm_set(&chain[(i + 1) % CHAIN]->a, chain[i]);
    }
    for (i = 0; i < CHAIN; i++) mm_decref(chain[i]);
}

static void chain_dies(const Fin *kinds, size_t kind_count, bool sliced)
{
    mm_heap *heap = gt_heap();
    mm_weakref *ref;
    int i;
    chain_build(heap, kinds, kind_count);
    ref = weak(chain[0], NULL);
    if (sliced) {
        Thing *suspect = chain[3];
        mm_incref(suspect);
        gt_make_old(heap);
        mm_decref(suspect); /* the reason for an old collection */
        gt_step_to_end(heap, 1);
    } else {
        mm_gc_collect(heap, 2);
    }
    for (i = 0; i < CHAIN; i++) assert_int_equal(gt.finalized[i], 1);
    for (i = 0; i < CHAIN; i++) assert_int_equal(gt.disposed[i], 1);
    assert_false(weak_alive(ref));
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    mm_decref(ref);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static void F8_graph_is_intact_and_F9_chains(void **state)
{
    static const Fin kinds[] = {fin_simple};
    (void)state;
    chain_dies(kinds, 1, false);
    chain_dies(kinds, 1, true);
}

static void F11_all_suicide(void **state)
{
    static const Fin kinds[] = {fin_suicide};
    (void)state;
    chain_dies(kinds, 1, false);
    chain_dies(kinds, 1, true);
}

static void F12_suicidal_and_simple(void **state)
{
    static const Fin one[] = {fin_suicide, fin_simple};
    static const Fin two[] = {fin_simple, fin_suicide};
    (void)state;
    chain_dies(one, 2, false);
    chain_dies(two, 2, false);
    chain_dies(one, 2, true);
    chain_dies(two, 2, true);
}

static void chain_survives(const Fin *kinds, size_t kind_count, size_t expected,
                           bool all_intact)
{
    mm_heap *heap = gt_heap();
    mm_weakref *ref[CHAIN];
    int i;
    chain_build(heap, kinds, kind_count);
    for (i = 0; i < CHAIN; i++) ref[i] = weak(chain[i], NULL);
    mm_gc_collect(heap, 2);
    for (i = 0; i < CHAIN; i++) assert_int_equal(gt.finalized[i], 1);
    assert_int_equal(gt.kept_count, expected);
    for (i = 0; i < (int)gt.kept_count; i++)
        assert_true(((Thing *)gt.kept[i])->fin == fin_survive);
    for (i = 0; i < CHAIN; i++) assert_false(weak_alive(ref[i]));
    if (all_intact)
        for (i = 0; i < CHAIN; i++) {
            assert_int_equal(gt.disposed[i], 0);
            chain_check(chain[i]);
        }
    for (i = 0; i < (int)gt.kept_count; i++)
        assert_int_equal(gt.disposed[((Thing *)gt.kept[i])->id], 0);
    gt_drop_kept();
    mm_gc_collect(heap, 2);
    for (i = 0; i < CHAIN; i++) assert_int_equal(gt.finalized[i], 1);
    for (i = 0; i < CHAIN; i++) assert_int_equal(gt.disposed[i], 1);
    for (i = 0; i < CHAIN; i++) mm_decref(ref[i]);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static void F10_all_resurrect(void **state)
{
    static const Fin kinds[] = {fin_survive};
    (void)state;
    chain_survives(kinds, 1, CHAIN, true);
}

static void F13_resurrecting_simple_and_suicidal(void **state)
{
    static const Fin one[] = {fin_survive, fin_simple};
    static const Fin two[] = {fin_simple, fin_suicide, fin_survive};
    static const Fin three[] = {fin_survive, fin_suicide, fin_simple};
    (void)state;
    chain_survives(one, 2, CHAIN / 2, true); /* everything is reachable from them */
    chain_survives(two, 3, CHAIN / 3, false);
    chain_survives(three, 3, CHAIN / 3, false);
}

static void F14_resurrection_is_transitive(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, fin_resurrect);
    Thing *cargo = thing_loop(heap, 2, NULL), *deep = thing_loop(heap, 3, NULL);
    Vec *hold = vec(heap, 10);
    (void)state;
    hold->items[7] = cargo;
    cargo->b = deep;
    t->c = hold;
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    assert_int_equal(gt.kept_count, 1);
    assert_ptr_equal(gt.kept[0], t);
    assert_ptr_equal(t->c, hold);
    assert_ptr_equal(hold->items[7], cargo);
    assert_ptr_equal(cargo->a, cargo);
    assert_ptr_equal(cargo->b, deep);
    assert_int_equal(deep->id, 3);
    assert_int_equal(gt.disposed[1] + gt.disposed[2] + gt.disposed[3], 0);
    gt_drop_kept();
    assert_int_equal(mm_gc_collect(heap, 2), 4);
    assert_int_equal(gt.finalized[1] + gt.finalized[2] + gt.finalized[3], 3);
    gt_close(heap);
}

static void F15_resurrection_is_per_object(void **state)
{
    mm_heap *heap = gt_heap();
    int i;
    (void)state;
    for (i = 0; i < 50; i++) mm_decref(thing_loop(heap, i, NULL));
    mm_decref(thing_loop(heap, 100, fin_resurrect));
    for (i = 50; i < 100; i++) mm_decref(thing_loop(heap, i, NULL));
    assert_int_equal(mm_gc_collect(heap, 2), 100);
    for (i = 0; i < 100; i++) assert_int_equal(gt.disposed[i], 1);
    assert_int_equal(gt.disposed[100], 0);
    gt_drop_kept();
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    gt_close(heap);
}

static void F16_resurrection_only_once(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, fin_resurrect), *u = thing(heap, 2, fin_resurrect);
    (void)state;
    mm_decref(t);
    mm_decref(u);
    mm_gc_collect(heap, 2);
    assert_int_equal(gt.kept_count, 2);
    gt_drop_kept();
    assert_int_equal(gt.disposed[2], 1);
    mm_gc_collect(heap, 2);
    assert_int_equal(gt.kept_count, 0);
    assert_int_equal(gt.disposed[1], 1);
    assert_int_equal(gt.finalized[1] + gt.finalized[2], 2);
    gt_close(heap);
}

static void F17_order_of_the_two_paths(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, NULL);
    mm_weakref *ref = weak(t, "cb");
    (void)state;
    t->a = thing(heap, 2, NULL);
    mm_decref(t); /* finalizer, weak callbacks, slots */
    assert_string_equal(gt.trace, "fin1 cb fin2");
    mm_decref(ref);
    gt_forget();
    t = thing_loop(heap, 3, NULL);
    ref = weak(t, "cb");
    t->b = thing(heap, 4, NULL);
    mm_decref(t); /* weak callbacks, all finalizers, then slots */
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(strncmp(gt.trace, "cb fin", 6), 0);
    assert_int_equal(gt.finalized[3] + gt.finalized[4], 2);
    mm_decref(ref);
    gt_close(heap);
}

static mm_weakref *late_ref;

static bool fin_refer_to_self(Thing *self)
{
    late_ref = weak(self, NULL);
    return true;
}

static bool fin_refer_to_other(Thing *self)
{
    late_ref = weak(self->b, NULL);
    return true;
}

static void F18_reference_created_in_a_finalizer(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, fin_refer_to_self), *u;
    (void)state;
    mm_decref(t);
    assert_int_equal(gt.disposed[1], 1);
    assert_false(weak_alive(late_ref));
    mm_decref(late_ref);
    mm_decref(thing_loop(heap, 2, fin_refer_to_self));
    mm_gc_collect(heap, 2);
    assert_int_equal(gt.disposed[2], 1);
    assert_false(weak_alive(late_ref));
    mm_decref(late_ref);
    t = thing_loop(heap, 3, fin_refer_to_other); /* to other trash */
    u = thing(heap, 4, NULL);
    mm_set(&u->a, t);
    t->b = u;
    mm_decref(t);
    mm_gc_collect(heap, 2);
    assert_int_equal(gt.disposed[3] + gt.disposed[4], 2);
    assert_false(weak_alive(late_ref));
    mm_decref(late_ref);
    gt_close(heap);
}

/* ---- what finalizers may do ------------------------------------------------- */

static Thing *outside;

static bool fin_drop_the_last_outside_reference(Thing *self)
{
    Thing *dropped = outside;
    (void)self;
    outside = NULL;
    mm_decref(dropped);
    return true;
}

static void finalizer_drops_the_heaps_last_outside_reference(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, fin_drop_the_last_outside_reference);
    int i;
    (void)state;
    outside = thing_loop(heap, 2, NULL);
    outside->c = thing(heap, 3, NULL);
    mm_decref(t);
    for (i = 0; i < 2; i++) mm_gc_collect(heap, 2);
    assert_null(outside);
    assert_int_equal(gt.disposed[1] + gt.disposed[2] + gt.disposed[3], 3);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static bool fin_take_from_the_living(Thing *self)
{
    Thing *live = outside;
    mm_set_steal(&self->c, mm_take(&live->a)); /* a live object moves into trash */
    mm_set_steal(&live->b, mm_take(&self->b)); /* and trash to a live one */
    return true;
}

static void finalizer_trades_with_the_living(void **state)
{
    mm_heap *heap = gt_heap();
    int sliced;
    (void)state;
    for (sliced = 0; sliced < 2; sliced++) {
        Thing *t = thing_loop(heap, 1, fin_take_from_the_living);
        memset(gt.disposed, 0, sizeof gt.disposed);
        outside = thing_loop(heap, 2, NULL);
        mm_set_steal(&outside->a, thing_loop(heap, 3, NULL));
        t->b = thing_loop(heap, 4, NULL);
        gt_make_old(heap);
        mm_decref(t);
        if (sliced)
            gt_step_to_end(heap, 1);
        else
            mm_gc_collect(heap, 2);
        mm_gc_collect(heap, 2);
        mm_gc_collect(heap, 2);
        assert_int_equal(gt.disposed[1], 1);
        assert_int_equal(gt.disposed[3], 1); /* it became trash */
        assert_int_equal(gt.disposed[4], 0); /* it was saved */
        assert_int_equal(((Thing *)outside->b)->id, 4);
        mm_decref(outside);
        mm_gc_collect(heap, 2);
        assert_int_equal(gt.disposed[2] + gt.disposed[4], 2);
        assert_int_equal(gt_objects(heap), 0);
    }
    gt_close(heap);
}

static bool fin_create(Thing *self)
{
    mm_heap *heap = mm_heap_of(self);
    Thing *next;
    if (self->id >= 40) return true;
    next = thing_loop(heap, self->id + 1, fin_create);
    if (self->id % 2) mm_set(&self->c, next); /* to trash, or to nobody */
    mm_decref(next);
    return true;
}

static void finalizer_creates_garbage_with_finalizers(void **state)
{
    mm_heap *heap = gt_heap();
    int i;
    (void)state;
    mm_decref(thing_loop(heap, 0, fin_create));
    for (i = 0; i < 60; i++) mm_gc_collect(heap, 2);
    for (i = 0; i <= 40; i++) assert_int_equal(gt.finalized[i], 1);
    for (i = 0; i <= 40; i++) assert_int_equal(gt.disposed[i], 1);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static bool fin_keep_neighbour(Thing *self)
{
    if (self->b == NULL) return true;
    gt.kept[gt.kept_count++] = mm_newref(self->b);
    return true;
}

/* Resurrection of one by the finalizer of another, of which all the rest is freed. */
static void finalizer_saves_its_neighbour(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, fin_keep_neighbour);
    Thing *saved = thing_loop(heap, 2, NULL);
    (void)state;
    mm_set(&t->b, saved);
    mm_decref(saved);
    mm_decref(t);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt.disposed[1], 1);
    assert_int_equal(gt.disposed[2], 0);
    assert_int_equal(mm_refcount(saved), 2); /* its own, and the kept one */
    assert_int_equal(gt.finalized[2], 1);    /* it ran all the same */
    gt_drop_kept();
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt.finalized[2], 1);
    gt_close(heap);
}

static bool fin_stash_in_dead(Thing *self)
{
    Thing *next = self->a; /* store a new reference to self in other trash */
    mm_set(&next->c, self);
    return true;
}

static void reference_to_self_in_other_trash_saves_nobody(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, fin_stash_in_dead);
    Thing *u = thing(heap, 2, fin_stash_in_dead);
    (void)state;
    mm_set(&t->a, u);
    mm_set(&u->a, t);
    mm_decref(t);
    mm_decref(u);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_int_equal(gt.disposed[1] + gt.disposed[2], 2);
    gt_close(heap);
}

static void resurrection_by_count_into_a_cycle(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, 1, fin_resurrect);
    (void)state;
    mm_decref(t);
    assert_int_equal(gt.kept_count, 1);
    mm_set(&t->a, t); /* now it can only die by a collection */
    gt_drop_kept();
    assert_int_equal(gt.disposed[1], 0);
    assert_int_equal(mm_gc_collect(heap, 2), 1);
    assert_int_equal(gt.finalized[1], 1);
    assert_int_equal(gt.disposed[1], 1);
    gt_close(heap);
}

/* ---- disposers -------------------------------------------------------------- */

typedef struct File {
    void *next;
    FILE *stream;
    char *text;
} File;
MM_TYPE(File, MM_REF(File, next))

static int closed;

static void file_dispose(void *object)
{
    File *self = object;
    assert_null(self->next);
    if (self->stream != NULL) fclose(self->stream);
    free(self->text);
    closed++;
}

static File *file(mm_heap *heap)
{
    File *f;
    mm_typeof(File)->dispose = file_dispose;
    f = mm_new(heap, File);
    assert_non_null(f);
    f->text = malloc(100);
    return f;
}

static void disposers_release_what_is_not_ours(void **state)
{
    mm_heap *heap = gt_heap();
    File *f, *g;
    int i;
    (void)state;
    closed = 0;
    f = file(heap);
    f->stream = tmpfile();
    mm_decref(f);
    assert_int_equal(closed, 1);
    for (i = 0; i < 100; i++) {
        f = file(heap);
        g = file(heap);
        mm_set(&f->next, g);
        mm_set(&g->next, f);
        mm_decref(f);
        mm_decref(g);
    }
    assert_int_equal(closed, 1);
    assert_int_equal(mm_gc_collect(heap, 2), 200);
    assert_int_equal(closed, 201);
    mm_decref(file(heap));
    f = file(heap);
    mm_set(&f->next, f);
    mm_decref(f);
    gt_close(heap);
    assert_int_equal(closed, 203); /* the heap's end disposes of what is left */
}

/* ---- Z: mm_finalize --------------------------------------------------------- */

static void note_name(void *user)
{
    gt_note("%s", (const char *)user);
}

static char f0[] = "f0", f1[] = "f1", f2[] = "f2", f3[] = "f3", f4[] = "f4",
            f5[] = "f5";

static mm_finalizer *finalize(void *p, char *name)
{
    mm_finalizer *f = mm_finalize(p, note_name, name);
    assert_non_null(f);
    return f;
}

static void Z1_call_peek_detach(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL);
    mm_finalizer *f = finalize(t, f0), *g = finalize(t, f1);
    void *peeked;
    (void)state;
    assert_true(mm_finalizer_alive(f));
    peeked = mm_finalizer_peek(f);
    assert_ptr_equal(peeked, t);
    assert_int_equal(mm_refcount(t), 2); /* only ours and the new one */
    mm_decref(peeked);
    assert_true(mm_finalizer_call(f));
    assert_string_equal(gt.trace, "f0");
    assert_false(mm_finalizer_call(f));
    assert_false(mm_finalizer_alive(f));
    assert_null(mm_finalizer_peek(f));
    assert_false(mm_finalizer_detach(f));
    assert_true(mm_finalizer_detach(g));
    assert_false(mm_finalizer_detach(g));
    assert_false(mm_finalizer_alive(g));
    assert_false(mm_finalizer_call(g));
    assert_null(mm_finalizer_peek(g));
    mm_decref(t);
    assert_string_equal(gt.trace, "f0");
    mm_decref(f);
    mm_decref(g);
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static void Z2_the_heap_keeps_it(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL), *loop = thing_loop(heap, -1, NULL);
    (void)state;
    mm_decref(finalize(t, f0)); /* not kept by the caller */
    mm_decref(finalize(loop, f1));
    mm_gc_collect(heap, 2);
    assert_string_equal(gt.trace, "");
    mm_decref(t);
    assert_string_equal(gt.trace, "f0");
    mm_decref(loop);
    mm_gc_collect(heap, 2);
    assert_string_equal(gt.trace, "f0 f1");
    gt_close(heap);
}

static void Z3_newest_first(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL);
    mm_finalizer *f[5];
    int i;
    (void)state;
    f[0] = finalize(t, f0);
    f[1] = finalize(t, f1);
    f[2] = finalize(t, f2);
    f[3] = finalize(t, f3);
    f[4] = finalize(t, f4);
    mm_finalizer_call(f[0]);
    mm_finalizer_detach(f[3]);
    gt_forget();
    mm_decref(t);
    assert_string_equal(gt.trace, "f4 f2 f1");
    for (i = 0; i < 5; i++) {
        assert_false(mm_finalizer_alive(f[i]));
        mm_decref(f[i]);
    }
    gt_close(heap);
}

static void Z4_all_freed(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL);
    (void)state;
    mm_decref(finalize(t, f0));
    assert_int_equal(gt_objects(heap), 2); /* t and its callback */
    mm_decref(t);
    assert_string_equal(gt.trace, "f0");
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static Thing *exit_object;

static void register_more(void *user)
{
    gt_note("%s", (const char *)user);
    mm_decref(finalize(exit_object, f1)); /* runs next */
}

/* The program of vectors/finalize.txt. */
static void Z5_at_the_end_of_the_heap(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *a = thing(heap, -1, NULL), *b = thing(heap, -1, NULL);
    mm_finalizer *f[6];
    void *peeked;
    int i;
    static char level[] = "class-level", boom[] = "boom";
    (void)state;
    f[0] = finalize(a, f0);
    f[1] = finalize(b, f1);
    f[2] = finalize(a, f2);
    f[3] = finalize(b, f3);
    f[4] = finalize(a, f4);
    f[5] = finalize(b, f5);
    mm_finalizer_set_atexit(f[1], false);
    assert_true(mm_finalizer_detach(f[3]));
    assert_true(mm_finalizer_call(f[4]));
    assert_false(mm_finalizer_call(f[4]));
    mm_decref(a);
    assert_string_equal(gt.trace, "f4 f2 f0");
    for (i = 0; i < 6; i++)
        assert_int_equal(mm_finalizer_alive(f[i]), i == 1 || i == 5);
    peeked = mm_finalizer_peek(f[5]);
    assert_non_null(peeked);
    mm_decref(peeked);
    assert_null(mm_finalizer_peek(f[0]));
    exit_object = thing(heap, -1, NULL);
    mm_decref(finalize(exit_object, level));
    mm_decref(mm_finalize(exit_object, register_more, boom));
    for (i = 0; i < 6; i++) mm_decref(f[i]);
    gt_forget();
    assert_int_equal(mm_heap_destroy(heap), 2); /* b and exit_object are held */
    assert_string_equal(gt.trace, "boom f1 class-level f5");
}

static void never_at_exit(void *user)
{
    (void)user;
    fail_msg("this one has atexit false");
}

static void Z5_atexit_false_is_respected(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL);
    mm_finalizer *f = mm_finalize(t, never_at_exit, NULL), *g = finalize(t, f0);
    (void)state;
    mm_finalizer_set_atexit(f, false);
    mm_finalizer_set_atexit(g, false);
    mm_finalizer_set_atexit(g, true);
    mm_decref(f);
    mm_decref(g);
    assert_int_equal(mm_heap_destroy(heap), 1);
    assert_string_equal(gt.trace, "f0");
}

static void *died_meanwhile;

static void drop_another(void *user)
{
    gt_note("%s", (const char *)user);
    mm_decref(died_meanwhile);
    died_meanwhile = NULL;
}

static void finalize_callbacks_at_the_end_may_kill(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, NULL);
    (void)state;
    died_meanwhile = thing(heap, -1, NULL);
    mm_decref(finalize(died_meanwhile, f0)); /* runs when it dies, not twice */
    mm_decref(mm_finalize(t, drop_another, f1));
    assert_int_equal(mm_heap_destroy(heap), 1);
    assert_string_equal(gt.trace, "f1 f0");
}

static void finalize_bad_input(void **state)
{
    mm_heap *heap = gt_starvable_heap();
    int n = 0, count = 20000;
    Plain **target = calloc((size_t)count, sizeof *target);
    void *chain_of_blocks;
    size_t objects = 0;
    (void)state;
    assert_non_null(target);
    assert_null(mm_finalize(NULL, note_name, f0));
    for (n = 0; n < count; n++) target[n] = plain(heap, n);
    chain_of_blocks = gt_starve(heap);
    for (n = 0; n < count; n++) {
        mm_finalizer *f;
        objects = gt_objects(heap);
        f = mm_finalize(target[n], note_name, f0);
        if (f == NULL) break;
        mm_decref(f);
    }
    assert_true(n < count);
    assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
    assert_int_equal(gt_objects(heap), objects);
    assert_int_equal(mm_weakref_count(target[n]), 0);
    gt_feed(heap, chain_of_blocks);
    mm_decref(target[n]); /* it was not registered */
    assert_string_equal(gt.trace, "");
    target[n] = NULL;
    for (n = 0; n < count; n++) mm_decref(target[n]);
    assert_int_equal(gt_objects(heap), 0);
    free(target);
    gt_close(heap);
}

static void finalize_on_resurrected_objects(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing(heap, -1, fin_resurrect);
    (void)state;
    mm_decref(finalize(t, f0));
    mm_decref(t); /* back by its count: not dead */
    assert_string_equal(gt.trace, "");
    gt_drop_kept();
    assert_string_equal(gt.trace, "f0");
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(F1_once_on_death_by_count),
        cmocka_unit_test(F2_resurrection_by_count),
        cmocka_unit_test(F3_leaf_objects_are_finalized),
        cmocka_unit_test(F4_leaf_objects_are_finalized_once),
        cmocka_unit_test(F5_self_cycle),
        cmocka_unit_test(F6_self_cycle_resurrected),
        cmocka_unit_test(F7_finalizer_breaks_its_own_cycle),
        cmocka_unit_test(F8_graph_is_intact_and_F9_chains),
        cmocka_unit_test(F10_all_resurrect),
        cmocka_unit_test(F11_all_suicide),
        cmocka_unit_test(F12_suicidal_and_simple),
        cmocka_unit_test(F13_resurrecting_simple_and_suicidal),
        cmocka_unit_test(F14_resurrection_is_transitive),
        cmocka_unit_test(F15_resurrection_is_per_object),
        cmocka_unit_test(F16_resurrection_only_once),
        cmocka_unit_test(F17_order_of_the_two_paths),
        cmocka_unit_test(F18_reference_created_in_a_finalizer),
        cmocka_unit_test(finalizer_drops_the_heaps_last_outside_reference),
        cmocka_unit_test(finalizer_trades_with_the_living),
        cmocka_unit_test(finalizer_creates_garbage_with_finalizers),
        cmocka_unit_test(finalizer_saves_its_neighbour),
        cmocka_unit_test(reference_to_self_in_other_trash_saves_nobody),
        cmocka_unit_test(resurrection_by_count_into_a_cycle),
        cmocka_unit_test(disposers_release_what_is_not_ours),
        cmocka_unit_test(Z1_call_peek_detach),
        cmocka_unit_test(Z2_the_heap_keeps_it),
        cmocka_unit_test(Z3_newest_first),
        cmocka_unit_test(Z4_all_freed),
        cmocka_unit_test(Z5_at_the_end_of_the_heap),
        cmocka_unit_test(Z5_atexit_false_is_respected),
        cmocka_unit_test(finalize_callbacks_at_the_end_may_kill),
        cmocka_unit_test(finalize_bad_input),
        cmocka_unit_test(finalize_on_resurrected_objects),
    };
    return cmocka_run_group_tests_name("finalize", tests, NULL, NULL);
}
