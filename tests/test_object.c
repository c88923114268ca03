/* test_object.c - objects: counts, slots, finalizers on the counting path, deep
   structures, scopes. Behaviours F1 to F18 here are those of plain counting; what the
   collector does with them is tested in its own room. */
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

#include <pthread.h>

static test_env env;
static mm_heap *heap;

/* An object that writes down what happens to it. */
typedef struct Actor {
    struct Actor *left, *right;
    int           id;
} Actor;
MM_TYPE(Actor, MM_REF(Actor, left), MM_REF(Actor, right))

typedef struct Node {
    struct Node *next, *other;
    int64_t      value;
} Node;
MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, other))

typedef struct Leaf {
    int64_t value[3];
} Leaf;
MM_TYPE_LEAF(Leaf)

static char        story[1024]; /* "f1 w1 d1": finalized, weakly dead, disposed */
static Actor      *kept;        /* what a finalizer brought back */
static mm_weakref *watch;       /* a weak reference a finalizer looks at */
static size_t      finalized, disposed, failures;
static bool (*act)(Actor *actor); /* what the finalizer does besides writing */

static void tell(char what, int id)
{
    size_t n = strlen(story);
    if (n + 16 < sizeof story) snprintf(story + n, 16, "%c%d ", what, id);
}

static bool actor_finalize(void *object)
{
    Actor *actor = (Actor *)object;
    finalized++;
    tell('f', actor->id);
    return act == NULL || act(actor);
}

static void actor_dispose(void *object)
{
    Actor *actor = (Actor *)object;
    disposed++;
    if (actor->left != NULL || actor->right != NULL) failures++;
    tell('d', actor->id);
}

static bool told_dead(mm_weakref *ref, void *user)
{
    if (!mm_weakref_is_dead(ref) || mm_weakref_get(ref) != NULL) failures++;
    tell('w', *(int *)user);
    return true;
}

static int setup(void **state)
{
    (void)state;
    mm_typeof(Actor)->finalize = actor_finalize;
    mm_typeof(Actor)->dispose = actor_dispose;
    story[0] = 0;
    kept = NULL;
    watch = NULL;
    act = NULL;
    finalized = disposed = failures = 0;
    heap = test_heap(&env);
    return 0;
}

static void done(void)
{
    test_drain(heap);
    assert_int_equal(failures, 0);
    assert_int_equal(test_stats(heap).live_blocks, 0);
    test_heap_done(heap, &env);
}

static Actor *new_actor(int id)
{
    Actor *actor = mm_new(heap, Actor);
    assert_non_null(actor);
    actor->id = id;
    return actor;
}

static size_t live(void)
{
    return test_stats(heap).objects;
}

/* ------------------------------------------------------------ memory of an object */

static void check_fresh(size_t extra)
{
    Node *node = mm_new_extra(heap, Node, extra);
    assert_non_null(node);
    assert_true(test_aligned(node, 16));
    assert_true(test_all(node, sizeof *node + extra, 0));
    assert_int_equal(mm_refcount(node), 1);
    assert_true(mm_sizeof(node) >= sizeof(Node) + extra + 8);
    memset(&node->value, 0xFF, sizeof *node + extra - offsetof(Node, value));
    mm_decref(node); /* the next one of this size gets dirty memory */
}

static void the_header_is_eight_bytes(void **state)
{
    Node *node = mm_new(heap, Node);
    (void)state;
    assert_int_equal(sizeof(mm_header), 8);
    assert_int_equal(mm__header_of(node)->rc, 1);
    mm_decref(node);
    done();
}

static void objects_are_aligned_and_zeroed_at_any_size(void **state)
{
    static const size_t large[] = {TEST_ARENA / 2, TEST_ARENA, 3 * TEST_ARENA + 8};
    size_t              extra, i;
    (void)state;
    for (extra = 0; extra <= 2100; extra++) {
        check_fresh(extra);
        check_fresh(extra);
    }
    for (; extra <= 100000; extra += test_is_native() ? 97 : 997) {
        check_fresh(extra);
        check_fresh(extra);
    }
    for (i = 0; i < TEST_COUNT(large); i++) {
        check_fresh(large[i]);
        check_fresh(large[i]);
    }
    done();
}

static void recycled_objects_are_zeroed(void **state)
{
    static Leaf *leaves[3000];
    size_t       i, round;
    (void)state;
    for (round = 0; round < 3; round++) {
        for (i = 0; i < TEST_COUNT(leaves); i++) {
            leaves[i] = mm_new(heap, Leaf);
            assert_true(test_all(leaves[i], sizeof(Leaf), 0));
            memset(leaves[i], 0xA5, sizeof(Leaf));
        }
        for (i = 0; i < TEST_COUNT(leaves); i++) mm_decref(leaves[i]);
    }
    done();
}

static void absurd_tails_are_refused(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 8, SIZE_MAX - sizeof(Node),
                                   SIZE_MAX - sizeof(Node) - 8, PTRDIFF_MAX,
                                   TEST_TOO_MUCH};
    size_t              i;
    (void)state;
    for (i = 0; i < TEST_COUNT(sizes); i++) {
        mm_clear_status(heap);
        assert_null(mm_new_extra(heap, Node, sizes[i]));
        assert_true(mm_last_status(heap) == MM_ERR_NOMEM ||
                    mm_last_status(heap) == MM_ERR_OVERFLOW);
    }
    done();
}

static void sizeof_deep_counts_each_once(void **state)
{
    Node  *a = mm_new(heap, Node), *b = mm_new_extra(heap, Node, 1000);
    Leaf  *leaf = mm_new(heap, Leaf);
    size_t sum;
    (void)state;
    assert_int_equal(mm_sizeof_deep(a), mm_sizeof(a));
    mm_set(&a->next, b);
    mm_set(&b->next, a);
    mm_set(&b->other, b);
    mm_set_steal(&a->other, leaf);
    sum = mm_sizeof(a) + mm_sizeof(b) + mm_sizeof(leaf);
    assert_int_equal(mm_sizeof_deep(a), sum);
    assert_int_equal(mm_sizeof_deep(b), sum);
    assert_int_equal(mm_sizeof_deep(leaf), mm_sizeof(leaf));
    mm_clear(&a->next);
    mm_clear(&b->other);
    mm_decref(b);
    mm_decref(a);
    done();
}

/* ---------------------------------------------------------------- counts and slots */

static void counts_go_up_and_down(void **state)
{
    Node *node = mm_new(heap, Node), *same;
    int   i;
    (void)state;
    mm_incref(NULL);
    mm_decref(NULL);
    assert_null(mm_newref((Node *)NULL));
    same = mm_newref(node);
    assert_ptr_equal(same, node);
    assert_int_equal(mm_refcount(node), 2);
    for (i = 0; i < 100000; i++) mm_incref(node);
    assert_int_equal(mm_refcount(node), 100002);
    for (i = 0; i < 100001; i++) mm_decref(node);
    assert_int_equal(mm_refcount(node), 1);
    assert_int_equal(live(), 1);
    mm_decref(node);
    assert_int_equal(live(), 0);
    done();
}

static void set_borrows_and_drops_the_old(void **state)
{
    Node *owner = mm_new(heap, Node), *a = mm_new(heap, Node), *b = mm_new(heap, Node);
    (void)state;
    mm_set(&owner->next, a);
    assert_int_equal(mm_refcount(a), 2);
    mm_set(&owner->next, b);
    assert_int_equal(mm_refcount(a), 1);
    assert_int_equal(mm_refcount(b), 2);
    mm_set(&owner->next, NULL);
    assert_null(owner->next);
    assert_int_equal(mm_refcount(b), 1);
    mm_decref(a);
    mm_decref(b);
    mm_decref(owner);
    done();
}

static void setting_a_slot_to_itself_is_safe(void **state)
{
    Actor *owner = new_actor(1);
    (void)state;
    mm_set_steal(&owner->left, new_actor(2)); /* held by the slot alone */
    mm_set(&owner->left, owner->left);
    assert_int_equal(disposed, 0);
    assert_int_equal(mm_refcount(owner->left), 1);
    assert_int_equal(owner->left->id, 2);
    mm_decref(owner);
    assert_int_equal(disposed, 2);
    done();
}

static void steal_and_take_move(void **state)
{
    Node *owner = mm_new(heap, Node), *a = mm_new(heap, Node), *out;
    (void)state;
    mm_set_steal(&owner->next, a);
    assert_int_equal(mm_refcount(a), 1);
    out = mm_take(&owner->next);
    assert_ptr_equal(out, a);
    assert_null(owner->next);
    assert_int_equal(mm_refcount(a), 1);
    assert_null(mm_take(&owner->next));
    mm_set_steal(&owner->next, out);
    mm_set_steal(&owner->next, mm_new(heap, Node)); /* drops a */
    assert_int_equal(live(), 2);
    mm_clear(&owner->next);
    assert_null(owner->next);
    mm_clear(&owner->next);
    assert_int_equal(live(), 1);
    mm_decref(owner);
    done();
}

static Actor *observed_owner;
static Actor *observed_value;

static bool observe_slot(Actor *actor)
{
    if (actor->id == 2) observed_value = observed_owner->left;
    return true;
}

static void G13_a_slot_is_changed_before_its_old_value_dies(void **state)
{
    Actor *owner = new_actor(1), *next = new_actor(3);
    (void)state;
    act = observe_slot;
    observed_owner = owner;
    mm_set_steal(&owner->left, new_actor(2));
    mm_set(&owner->left, next); /* Py_XSETREF */
    assert_ptr_equal(observed_value, next);
    mm_set_steal(&owner->right, new_actor(2));
    mm_set_steal(&owner->left, new_actor(2));
    observed_value = owner;
    mm_clear(&owner->left); /* Py_CLEAR */
    assert_null(observed_value);
    mm_decref(next);
    act = NULL;
    mm_decref(owner);
    assert_int_equal(finalized, 5);
    done();
}

static void O1_unset_slots_read_null(void **state)
{
    Actor *actor = new_actor(1);
    (void)state;
    assert_null(actor->left);
    assert_null(mm_take(&actor->left));
    mm_clear(&actor->left);
    mm_set(&actor->left, NULL);
    mm_decref(actor);
    done();
}

static void O3_all_slots_are_released(void **state)
{
    Actor *owner = new_actor(1), *shared = new_actor(2);
    (void)state;
    mm_set(&owner->left, shared);
    mm_set(&owner->right, shared);
    assert_int_equal(mm_refcount(shared), 3);
    mm_decref(owner);
    assert_int_equal(mm_refcount(shared), 1);
    mm_decref(shared);
    assert_int_equal(disposed, 2);
    done();
}

/* -------------------------------------------------------------- immortal, overflow */

static void Y6_immortal_counts_never_change(void **state)
{
    Node *node = mm_new(heap, Node), *child = mm_new(heap, Node);
    int   i;
    (void)state;
    mm_set_steal(&node->next, child);
    mm_immortalize(node);
    assert_int_equal(mm_refcount(node), INT64_MAX);
    for (i = 0; i < 1000; i++) mm_incref(node);
    assert_int_equal(mm_refcount(node), INT64_MAX);
    for (i = 0; i < 5000; i++) mm_decref(node);
    assert_int_equal(mm_refcount(node), INT64_MAX);
    mm_immortalize(node);
    mm_gc_collect(heap, 2);
    mm_gc_collect(heap, 2);
    assert_int_equal(live(), 2);
    assert_ptr_equal(node->next, child);
    assert_int_equal(mm_refcount(child), 1);
    assert_int_equal(mm_heap_destroy(heap), 0);
    assert_int_equal(env.leak_count, 0);
    test_env_balanced(&env);
}

static void an_immortal_object_keeps_what_it_holds(void **state)
{
    Actor *actor = new_actor(1);
    (void)state;
    mm_immortalize(actor);
    mm_set_steal(&actor->left, new_actor(2));
    mm_set(&actor->left->left, actor); /* a cycle through it */
    mm_decref(actor);
    mm_gc_collect(heap, 2);
    assert_int_equal(disposed, 0);
    assert_int_equal(mm_heap_destroy(heap), 0);
    assert_int_equal(disposed, 2); /* freed with the heap */
    test_env_balanced(&env);
}

/* 2^31 references if none was ever dropped, 2^30 otherwise: then the object is quiet. */
static void overflow_a_count(void *argument)
{
    Node *node = mm_new(heap, Node);
    bool  quiet = *(bool *)argument;
    int   i, most = quiet ? (1 << 30) - 1 : INT32_MAX;
    env.echo = true;
    test_announce(node);
    mm_incref(node);
    if (quiet) mm_decref(node);
    mm__count_set(mm__header_of(node), (uint32_t)most - 1);
    mm_incref(node);
    if (mm_refcount(node) != most) _exit(3);
    mm_incref(node); /* one too many */
    if (mm_refcount(node) != INT64_MAX) _exit(4);
    for (i = 0; i < 1000; i++) mm_incref(node);
    for (i = 0; i < 3000; i++) mm_decref(node);
    if (mm_refcount(node) != INT64_MAX) _exit(5);
    if (live() != 1 || !mm_heap_check(heap)) _exit(6);
    printf("saturated\n");
}

static void a_count_that_overflows_becomes_immortal(void **state)
{
    static test_child child;
    bool quiet[] = {false, true};
    (void)state;
    for (int i = 0; i < 2; i++) {
        test_run(&child, overflow_a_count, &quiet[i]);
        if (child.exit_code != 0) print_error("%s\n", child.output);
        assert_int_equal(child.exit_code, 0);
        assert_true(test_says(&child, "saturated"));
        assert_true(test_says(&child, "Node"));
        assert_true(test_names_planted(&child));
    }
    done();
}

/* About 2^30 references and none dropped yet, and then they are dropped: the field
   passes through the values that it has for quiet objects that die. */
static void many_references_are_counted_exactly(void **state)
{
    int above[] = {-15, 0, 1, 5, 10, 25}, i, k;
    (void)state;
    for (i = 0; i < 6; i++) {
        Node *node = mm_new(heap, Node);
        int   many = (1 << 30) + above[i];
        mm__count_set(mm__header_of(node), (uint32_t)many);
        for (k = 1; k <= 20; k++) {
            mm_decref(node);
            assert_int_equal(mm_refcount(node), many - k);
        }
        assert_int_equal(live(), 1);
        assert_true(mm_heap_check(heap));
        mm_gc_collect(heap, 2);
        assert_int_equal(mm_refcount(node), many - 20);
        mm__count_set(mm__header_of(node), 1);
        mm_decref(node);
        assert_int_equal(live(), 0);
    }
    done();
}

/* Billions of calls must not carry the field itself over to a positive count. */
static void an_immortal_count_cannot_drift(void **state)
{
    Node    *node = mm_new(heap, Node);
    uint32_t before;
    int      i;
    (void)state;
    mm_immortalize(node);
    before = mm__header_of(node)->rc;
    for (i = 0; i < 100000; i++) mm_incref(node);
    assert_int_equal(mm__header_of(node)->rc, before);
    for (i = 0; i < 100000; i++) mm_decref(node);
    assert_int_equal(mm__header_of(node)->rc, before);
    assert_int_equal(mm_heap_destroy(heap), 0);
    test_env_balanced(&env);
}

/* ------------------------------------------------------------------- finalization */

static void F1_the_finalizer_runs_once_and_weak_references_die(void **state)
{
    Actor      *actor = new_actor(1);
    mm_weakref *ref = mm_weakref_new(actor, NULL, NULL);
    (void)state;
    assert_false(mm_gc_is_finalized(actor));
    mm_decref(actor);
    assert_int_equal(finalized, 1);
    assert_int_equal(disposed, 1);
    assert_true(mm_weakref_is_dead(ref));
    assert_null(mm_weakref_get(ref));
    mm_gc_collect(heap, 2);
    assert_int_equal(finalized, 1);
    mm_decref(ref);
    done();
}

static bool keep_it(Actor *actor)
{
    kept = mm_newref(actor);
    return true;
}

static void F2_a_resurrected_object_keeps_its_weak_references(void **state)
{
    Actor      *actor = new_actor(1);
    mm_weakref *ref = mm_weakref_new(actor, NULL, NULL);
    mm_handle   handle = mm_handle_of(actor);
    void       *again;
    (void)state;
    act = keep_it;
    mm_decref(actor);
    assert_ptr_equal(kept, actor);
    assert_int_equal(mm_refcount(kept), 1);
    assert_int_equal(kept->id, 1);
    assert_true(mm_gc_is_finalized(kept));
    assert_true(mm_gc_is_tracked(kept));
    assert_int_equal(disposed, 0);
    again = mm_weakref_get(ref);
    assert_ptr_equal(again, actor);
    mm_decref(again);
    assert_ptr_equal(mm_handle_borrow(heap, handle), actor);
    mm_decref(kept); /* the second death: no finalizer, F16 */
    assert_int_equal(finalized, 1);
    assert_int_equal(disposed, 1);
    assert_true(mm_weakref_is_dead(ref));
    assert_false(mm_handle_valid(heap, handle));
    mm_decref(ref);
    done();
}

typedef struct Coin {
    int64_t value;
} Coin;
MM_TYPE_LEAF(Coin)

static Coin *kept_coin;

static bool coin_finalize(void *object)
{
    finalized++;
    if (((Coin *)object)->value == 1) kept_coin = (Coin *)mm_newref(object);
    return true;
}

static void F3_a_leaf_has_a_finalizer_too(void **state)
{
    Coin       *coin;
    mm_weakref *ref;
    (void)state;
    mm_typeof(Coin)->finalize = coin_finalize;
    coin = mm_new(heap, Coin);
    ref = mm_weakref_new(coin, NULL, NULL);
    mm_decref(coin);
    assert_int_equal(finalized, 1);
    assert_true(mm_weakref_is_dead(ref));
    mm_decref(ref);
    done();
}

/* CPython finalizes an untracked object again at its second death: it has nowhere to
   note the first. Every header here has. */
static void F4_a_leaf_is_finalized_once_too(void **state)
{
    Coin *coin;
    (void)state;
    mm_typeof(Coin)->finalize = coin_finalize;
    coin = mm_new(heap, Coin);
    coin->value = 1;
    mm_decref(coin);
    assert_ptr_equal(kept_coin, coin);
    assert_int_equal(mm_refcount(coin), 1);
    assert_true(mm_gc_is_finalized(coin));
    mm_decref(coin);
    assert_int_equal(finalized, 1);
    assert_int_equal(live(), 0);
    done();
}

static bool look_at_neighbours(Actor *actor)
{
    if (actor->id == 1 && (actor->left->id != 2 || actor->right->id != 3)) failures++;
    if (actor->id == 1 && actor->left->left->id != 4) failures++;
    if (actor->id == 2 && actor->left->id != 4) failures++;
    return true;
}

static void F8_the_graph_is_intact_in_a_finalizer(void **state) /* O4 */
{
    Actor *one = new_actor(1);
    (void)state;
    mm_set_steal(&one->left, new_actor(2));
    mm_set_steal(&one->right, new_actor(3));
    mm_set_steal(&one->left->left, new_actor(4));
    act = look_at_neighbours;
    mm_decref(one);
    assert_int_equal(finalized, 4);
    assert_int_equal(disposed, 4);
    assert_memory_equal(story, "f1 ", 3); /* the owner first */
    done();
}

static Actor *chain(int n)
{
    Actor *head = NULL;
    while (n > 0) {
        Actor *actor = new_actor(n--);
        actor->left = head;
        head = actor;
    }
    return head;
}

static void F9_each_of_a_chain_is_finalized_once(void **state)
{
    int n;
    (void)state;
    for (n = 1; n < 200; n += 13) {
        finalized = disposed = 0;
        mm_decref(chain(n));
        test_drain(heap);
        assert_int_equal(finalized, n);
        assert_int_equal(disposed, n);
    }
    done();
}

static bool hold_all(Actor *actor)
{
    Actor *holder = mm_new(heap, Actor);
    holder->id = -1;
    holder->left = mm_newref(actor);
    holder->right = kept;
    kept = holder;
    return true;
}

static void F10_all_of_a_chain_may_come_back(void **state)
{
    Actor *head = chain(5), *walk;
    int    n = 0;
    (void)state;
    act = hold_all; /* the head comes back, and with it the rest, unfinalized */
    mm_decref(head);
    assert_int_equal(finalized, 1);
    assert_int_equal(disposed, 0);
    for (walk = kept->left; walk != NULL; walk = walk->left) n += walk->id;
    assert_int_equal(n, 15);
    act = NULL;
    mm_decref(kept);
    test_drain(heap);
    assert_int_equal(finalized, 6); /* 2 to 5 and the holder; the head is not again */
    assert_int_equal(disposed, 6);
    done();
}

static bool cut_self(Actor *actor)
{
    mm_clear(&actor->left);
    mm_clear(&actor->right);
    return true;
}

static void F11_a_finalizer_may_cut_its_own_slots(void **state)
{
    Actor *one = new_actor(1);
    (void)state;
    act = cut_self;
    mm_set_steal(&one->left, new_actor(2));
    mm_set_steal(&one->right, chain(20));
    mm_decref(one);
    test_drain(heap);
    assert_int_equal(finalized, 22);
    assert_int_equal(disposed, 22);
    done();
}

static void F14_what_a_resurrected_object_holds_is_intact(void **state)
{
    Actor *actor = new_actor(1), *cargo = new_actor(2);
    (void)state;
    mm_set_steal(&actor->left, cargo);
    mm_set_steal(&cargo->left, new_actor(3));
    act = keep_it;
    mm_decref(actor);
    act = NULL;
    assert_ptr_equal(kept->left, cargo);
    assert_int_equal(cargo->left->id, 3);
    assert_int_equal(finalized, 1);
    mm_decref(kept);
    assert_int_equal(finalized, 3);
    assert_int_equal(disposed, 3);
    done();
}

static bool keep_left_child(Actor *actor)
{
    if (actor->id == 1) kept = mm_newref(actor->left);
    return true;
}

static void F15_a_child_alone_may_be_brought_back(void **state)
{
    Actor *actor = new_actor(1);
    (void)state;
    mm_set_steal(&actor->left, new_actor(2));
    mm_set_steal(&actor->right, new_actor(3));
    mm_set_steal(&actor->left->left, new_actor(4));
    act = keep_left_child;
    mm_decref(actor);
    assert_int_equal(disposed, 2); /* 1 and 3 */
    assert_int_equal(kept->id, 2);
    assert_int_equal(kept->left->id, 4);
    assert_int_equal(mm_refcount(kept), 1);
    assert_false(mm_gc_is_finalized(kept));
    mm_decref(kept);
    assert_int_equal(finalized, 4);
    assert_int_equal(disposed, 4);
    done();
}

static void F16_resurrection_happens_once(void **state)
{
    Actor *actor = new_actor(1);
    (void)state;
    act = keep_it;
    mm_decref(actor);
    kept = NULL;
    mm_decref(actor); /* the finalizer would keep it again, but does not run */
    assert_null(kept);
    assert_int_equal(finalized, 1);
    assert_int_equal(disposed, 1);
    done();
}

static bool watch_is_alive(Actor *actor)
{
    void *target = mm_weakref_get(watch);
    if (actor->id == 1 && target != actor) failures++;
    mm_decref(target);
    return true;
}

static void F17_finalizer_then_weak_callbacks_then_slots_then_memory(void **state)
{
    Actor      *actor = new_actor(1);
    int         first = 8, second = 9;
    mm_weakref *one = mm_weakref_new(actor, told_dead, &first);
    mm_weakref *two = mm_weakref_new(actor, told_dead, &second);
    (void)state;
    watch = mm_weakref_new(actor, NULL, NULL);
    mm_set_steal(&actor->left, new_actor(2));
    act = watch_is_alive; /* the weak reference is still alive there */
    mm_decref(actor);
    assert_memory_equal(story, "f1 w9 w8 ", 9); /* W4: newest first */
    assert_true(strstr(story, "d1 ") > story && strstr(story, "f2 ") > story);
    assert_true(strstr(story, "d2 ") > strstr(story, "f2 "));
    assert_int_equal(strlen(story), 6 * 3);
    mm_decref(one);
    mm_decref(two);
    mm_decref(watch);
    done();
}

static mm_weakref *born_late;

static bool make_weakref(Actor *actor)
{
    born_late = mm_weakref_new(actor, NULL, NULL);
    if (born_late == NULL) failures++;
    return true;
}

static void F18_a_weak_reference_made_in_a_finalizer_does_not_dangle(void **state)
{
    Actor *actor = new_actor(1);
    (void)state;
    act = make_weakref;
    mm_decref(actor);
    assert_int_equal(disposed, 1);
    assert_true(mm_weakref_is_dead(born_late));
    assert_null(mm_weakref_get(born_late));
    mm_decref(born_late);
    done();
}

static bool revive_through_watch(Actor *actor)
{
    kept = (Actor *)mm_weakref_get(watch);
    if (kept != actor) failures++;
    return true;
}

static void a_finalizer_may_resurrect_through_a_weak_reference(void **state)
{
    Actor *actor = new_actor(1);
    (void)state;
    watch = mm_weakref_new(actor, NULL, NULL);
    act = revive_through_watch;
    mm_decref(actor);
    assert_ptr_equal(kept, actor);
    assert_int_equal(mm_refcount(kept), 1);
    assert_false(mm_weakref_is_dead(watch));
    mm_decref(kept);
    assert_true(mm_weakref_is_dead(watch));
    assert_int_equal(finalized, 1);
    mm_decref(watch);
    done();
}

static Actor *victim;

static bool drop_victim(Actor *actor)
{
    if (actor->id == 1) mm_clear(&victim);
    return true;
}

static void a_finalizer_may_drop_others(void **state)
{
    Actor *actor = new_actor(1);
    (void)state;
    victim = new_actor(7);
    mm_set_steal(&victim->left, new_actor(8));
    mm_set(&actor->left, victim);
    act = drop_victim;
    mm_decref(actor);
    assert_null(victim);
    assert_int_equal(finalized, 3);
    assert_int_equal(disposed, 3);
    done();
}

static bool make_more(Actor *actor)
{
    Actor *more, *fleeting;
    size_t i;
    for (i = 0; i < 50; i++) mm_free(heap, mm_alloc(heap, 100));
    if (actor->id == 0) return true;
    more = mm_new(heap, Actor);
    more->id = actor->id - 1;
    mm_set_steal(&actor->left, more); /* dies with the dying one */
    fleeting = mm_new(heap, Actor);   /* dies in its finalizer */
    mm_decref(fleeting);
    return true;
}

static void a_finalizer_may_create(void **state)
{
    (void)state;
    act = make_more;
    mm_decref(new_actor(20));
    test_drain(heap);
    assert_int_equal(finalized, 21 + 20);
    assert_int_equal(disposed, 21 + 20);
    done();
}

static bool collect_inside(Actor *actor)
{
    (void)actor;
    mm_gc_collect(heap, 2);
    mm_gc_step(heap, 10);
    return true;
}

static void G15_finalizers_that_collect_in_a_deep_chain(void **state)
{
    Actor *a = new_actor(0), *b = new_actor(0);
    size_t n = test_rounds(3000);
    (void)state;
    mm_set(&a->left, b);
    mm_set_steal(&b->left, a);
    mm_decref(b); /* garbage for the collection inside */
    act = collect_inside;
    mm_decref(chain((int)n));
    test_drain(heap);
    mm_gc_collect(heap, 2);
    assert_int_equal(finalized, n + 2);
    assert_int_equal(disposed, n + 2);
    done();
}

static bool report_failure(Actor *actor)
{
    return actor->id != 1;
}

static void note_error(mm_heap *where, void *object, const char *what, void *user)
{
    if (where != heap || ((Actor *)object)->id != 1 || what == NULL) failures++;
    ++*(int *)user;
}

static void G41_a_failing_finalizer_is_reported_and_changes_nothing(void **state)
{
    Actor *actor = new_actor(1);
    int    errors = 0;
    (void)state;
    mm_gc_set_error_hook(heap, note_error, &errors);
    mm_set_steal(&actor->left, new_actor(2));
    act = report_failure;
    mm_decref(actor);
    assert_int_equal(errors, 1);
    assert_int_equal(disposed, 2);
    mm_gc_set_error_hook(heap, NULL, NULL);
    mm_decref(new_actor(1)); /* without a hook: the log */
    assert_int_equal(errors, 1);
    assert_int_equal(env.logged[MM_LOG_WARNING], 1);
    assert_non_null(strstr(env.log, "Actor"));
    done();
}

static void G42_automatic_collections_inside_finalizers(void **state)
{
    size_t i;
    (void)state;
    mm_gc_set_threshold(heap, 1, 1, 1);
    act = make_more;
    for (i = 0; i < 200; i++) {
        Actor *actor = new_actor(3);
        mm_set(&actor->right, actor);
        mm_decref(actor);
    }
    mm_gc_collect(heap, 2);
    test_drain(heap);
    assert_int_equal(finalized, 200 * (4 + 3));
    assert_int_equal(disposed, 200 * (4 + 3));
    done();
}

static void dispose_runs_for_what_is_held_at_the_end(void **state)
{
    Actor *actor = new_actor(1);
    (void)state;
    mm_set_steal(&actor->left, new_actor(2));
    assert_int_equal(mm_heap_destroy(heap), 1);
    assert_int_equal(disposed, 2);
    assert_int_equal(failures, 0); /* the slots were NULL by then */
    test_env_balanced(&env);
}

/* ------------------------------------------------------------------ deep and wide */

#define DEEP ((size_t)5000000)

static Node *deep_list(size_t n)
{
    Node *list = NULL;
    mm_gc_disable(heap);
    while (n-- > 0) {
        Node *node = mm_new(heap, Node);
        if (node == NULL) return NULL;
        node->next = list;
        list = node;
    }
    return list;
}

static size_t pending(void)
{
    mm_gc_stats stats;
    mm_gc_get_stats(heap, &stats);
    return stats.pending_free;
}

static void *drop_deep(void *list)
{
    mm_decref(list);
    while (mm_gc_step(heap, 1000)) continue;
    return NULL;
}

/* 64 KiB of stack. AddressSanitizer and Valgrind need more for themselves: there the
   list is freed on a default stack, and is shorter. */
static void G15_a_deep_list_needs_no_stack(void **state)
{
    size_t         n = test_rounds(DEEP);
    Node          *list = deep_list(n);
    pthread_attr_t attr;
    pthread_t      thread;
    (void)state;
    assert_non_null(list);
    pthread_attr_init(&attr);
    if (test_is_native()) assert_int_equal(pthread_attr_setstacksize(&attr, 65536), 0);
    assert_int_equal(pthread_create(&thread, &attr, drop_deep, list), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    assert_int_equal(live(), 0);
    assert_int_equal(pending(), 0);
    done();
}

static void the_first_decref_is_bounded_and_steps_do_the_rest(void **state)
{
    size_t n = test_rounds(DEEP), before, steps = 0;
    Node  *list = deep_list(n);
    (void)state;
    mm_decref(list);
    assert_true(pending() > 0);
    before = live();
    assert_true(before > n / 2);
    while (mm_gc_step(heap, 100)) {
        assert_true(live() <= before);
        before = live();
        steps++;
    }
    assert_true(steps > 2);
    assert_int_equal(live(), 0);
    assert_int_equal(pending(), 0);
    done();
}

static void later_allocations_free_the_rest(void **state)
{
    size_t n = test_rounds(DEEP / 10), i;
    Node  *list = deep_list(n);
    (void)state;
    mm_decref(list);
    assert_true(pending() > 0);
    for (i = 0; i < 20 * n && pending() > 0; i++) mm_decref(mm_new(heap, Node));
    assert_int_equal(pending(), 0);
    assert_int_equal(live(), 0);
    done();
}

static void destroy_frees_the_rest(void **state)
{
    size_t n = test_rounds(100000);
    (void)state;
    mm_gc_disable(heap);
    mm_decref(chain((int)n));
    assert_true(pending() > 0);
    assert_int_equal(mm_heap_destroy(heap), 0);
    assert_int_equal(finalized, n);
    assert_int_equal(disposed, n);
    assert_int_equal(env.leak_count, 0);
    test_env_balanced(&env);
}

static void a_collection_frees_the_rest(void **state)
{
    Node *list = deep_list(test_rounds(200000));
    (void)state;
    mm_decref(list);
    assert_true(pending() > 0);
    mm_gc_collect(heap, 2);
    test_drain(heap);
    assert_int_equal(live(), 0);
    done();
}

static void W15_what_waits_to_be_freed_is_dead_already(void **state)
{
    Node       *list = deep_list(test_rounds(200000)), *late = mm_new(heap, Node);
    mm_weakref *ref = mm_weakref_new(late, NULL, NULL);
    mm_handle   handle = mm_handle_of(late);
    (void)state;
    mm_decref(list);
    assert_true(pending() > 0);
    mm_decref(late); /* at the end of the queue, if there is one */
    assert_null(mm_weakref_get(ref));
    assert_false(mm_handle_valid(heap, handle));
    mm_decref(ref);
    done();
}

static Node *tree(int depth)
{
    Node *node = mm_new(heap, Node);
    assert_non_null(node);
    if (depth > 0) {
        node->next = tree(depth - 1);
        node->other = tree(depth - 1);
    }
    return node;
}

static void a_tree_is_freed_whole(void **state)
{
    int depth = test_is_native() ? 17 : 12;
    (void)state;
    kept = NULL;
    mm_decref(tree(depth));
    test_drain(heap);
    assert_int_equal(live(), 0);
    done();
}

/* A chain of plain objects of two types and all sizes, each with a leaf, an actor now and
   then among them, and some seen by a weak reference. */
static Node *mixed_chain(int n, mm_weakref **ref)
{
    Node *next = NULL;
    for (int i = 0; i < n; i++) {
        size_t extra = i % 50 == 7    ? 3 * TEST_ARENA / 4 /* huge */
                       : i % 10 == 3 ? TEST_ARENA / 8     /* a run of pages */
                                     : (size_t)(i % 7) * 40;
        Node *node = mm_new_extra(heap, Node, extra);
        assert_non_null(node);
        if (i % 20 == 11) { /* not plain, and of another type */
            Actor *actor = new_actor(i);
            actor->left = (Actor *)(void *)next;
            next = (Node *)(void *)actor;
        }
        node->next = next;
        node->other = (Node *)(void *)mm_new(heap, Leaf);
        if (i % 30 == 17) *ref++ = mm_weakref_new(node, NULL, NULL);
        next = node;
    }
    return next;
}

static void check_mixed_chain(bool old)
{
    enum { N = 300 };
    mm_weakref *refs[N / 30];
    Node *list = mixed_chain(N, refs);
    int count[3];
    if (old) mm_gc_collect(heap, 2), mm_gc_collect(heap, 2);
    assert_int_equal(mm_gc_generation_of(list), old ? 2 : 0);
    assert_true(mm_heap_check(heap));
    mm_decref(list);
    test_drain(heap);
    for (int i = 0; i < N / 30; i++) {
        assert_true(mm_weakref_is_dead(refs[i]));
        mm_decref(refs[i]);
    }
    mm_gc_get_count(heap, count);
    assert_int_equal(count[0], 0); /* as many were freed as were made, or more */
    assert_int_equal(finalized, disposed);
    assert_int_equal(live(), 0);
    assert_true(mm_heap_check(heap));
}

static void a_chain_of_all_kinds_is_freed_whole(void **state)
{
    (void)state;
    mm_gc_disable(heap);
    check_mixed_chain(false);
    check_mixed_chain(true);
    done();
}

typedef struct Wide {
    size_t n;
    Leaf **item;
} Wide;
MM_TYPE(Wide, MM_REF_VECTOR(Wide, item, n))

static void a_wide_object_is_freed_in_parts(void **state)
{
    size_t n = test_rounds(1000000), i;
    Wide  *wide = mm_new(heap, Wide);
    (void)state;
    wide->item = (Leaf **)mm_calloc(heap, n, sizeof(Leaf *));
    assert_non_null(wide->item);
    wide->n = n;
    for (i = 0; i < n; i++) wide->item[i] = mm_new(heap, Leaf);
    assert_int_equal(live(), n + 1);
    mm_decref(wide);
    test_drain(heap);
    assert_int_equal(live(), 0);
    done();
}

static void O6_a_deep_chain_with_finalizers(void **state)
{
    size_t n = test_rounds(50000);
    (void)state;
    mm_decref(chain((int)n));
    test_drain(heap);
    assert_int_equal(finalized, n);
    assert_int_equal(disposed, n);
    done();
}

typedef struct Mixed {
    Node *list;
    void *urgent;
} Mixed;
MM_TYPE(Mixed, MM_REF(Mixed, list), MM_REF(Mixed, urgent))

static size_t urgent_disposed;

static void urgent_dispose(void *object)
{
    (void)object;
    urgent_disposed++;
}

static void prompt_types_are_freed_ahead(void **state)
{
    static mm_type urgent; /* a leaf that asks to go first */
    Mixed         *mixed = mm_new(heap, Mixed);
    (void)state;
    urgent_disposed = 0;
    urgent.name = "Urgent";
    urgent.size = sizeof(int64_t);
    urgent.flags = MM_TYPE_PROMPT | MM_TYPE_IS_LEAF;
    urgent.dispose = urgent_dispose;
    mixed->list = deep_list(test_rounds(1000000));
    mixed->urgent = mm_new_of_type(heap, &urgent, 0);
    assert_non_null(mixed->urgent);
    mm_decref(mixed);
    assert_true(pending() > 0);
    assert_int_equal(urgent_disposed, 1);
    done();
}

/* --------------------------------------------------------------------------- scopes */

#if defined(__GNUC__)
static int leave_early(int how)
{
    MM_AUTO(Actor) *first = new_actor(1);
    MM_AUTO(Actor) *none = NULL;
    MM_AUTO(Actor) *second = new_actor(2);
    if (how == 1) return first->id;
    mm_set(&first->left, second);
    return how == 2 && none == NULL ? second->id : 0;
}

static void M83_auto_drops_at_the_end_of_the_scope(void **state)
{
    int i;
    (void)state;
    assert_int_equal(leave_early(1), 1);
    assert_string_equal(story, "f2 d2 f1 d1 "); /* last declared, first dropped */
    assert_int_equal(leave_early(2), 2);
    assert_int_equal(live(), 0);
    for (i = 0; i < 5; i++) {
        MM_AUTO(Actor) *actor = new_actor(i);
        if (actor->id % 2) continue;
        actor->id = 100;
    }
    assert_int_equal(disposed, 9);
    done();
}

static int deferred_calls[4], deferred_count;

static void note_call(void *argument)
{
    deferred_calls[deferred_count++] = *(int *)argument;
}

static void two_deferred(int *a, int *b)
{
    MM_DEFER(note_call, a);
    MM_DEFER(note_call, b);
    *a += 10; /* seen by the call: the argument is a pointer */
}

static void defer_calls_at_the_end_newest_first(void **state)
{
    int a = 1, b = 2;
    (void)state;
    deferred_count = 0;
    two_deferred(&a, &b);
    assert_int_equal(deferred_count, 2);
    assert_int_equal(deferred_calls[0], 2);
    assert_int_equal(deferred_calls[1], 11);
    done();
}
#endif

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_header_is_eight_bytes),
        TEST(objects_are_aligned_and_zeroed_at_any_size),
        TEST(recycled_objects_are_zeroed),
        TEST(absurd_tails_are_refused),
        TEST(sizeof_deep_counts_each_once),
        TEST(counts_go_up_and_down),
        TEST(set_borrows_and_drops_the_old),
        TEST(setting_a_slot_to_itself_is_safe),
        TEST(steal_and_take_move),
        TEST(G13_a_slot_is_changed_before_its_old_value_dies),
        TEST(O1_unset_slots_read_null),
        TEST(O3_all_slots_are_released),
        TEST(Y6_immortal_counts_never_change),
        TEST(an_immortal_object_keeps_what_it_holds),
        TEST(a_count_that_overflows_becomes_immortal),
        TEST(many_references_are_counted_exactly),
        TEST(an_immortal_count_cannot_drift),
        TEST(F1_the_finalizer_runs_once_and_weak_references_die),
        TEST(F2_a_resurrected_object_keeps_its_weak_references),
        TEST(F3_a_leaf_has_a_finalizer_too),
        TEST(F4_a_leaf_is_finalized_once_too),
        TEST(F8_the_graph_is_intact_in_a_finalizer),
        TEST(F9_each_of_a_chain_is_finalized_once),
        TEST(F10_all_of_a_chain_may_come_back),
        TEST(F11_a_finalizer_may_cut_its_own_slots),
        TEST(F14_what_a_resurrected_object_holds_is_intact),
        TEST(F15_a_child_alone_may_be_brought_back),
        TEST(F16_resurrection_happens_once),
        TEST(F17_finalizer_then_weak_callbacks_then_slots_then_memory),
        TEST(F18_a_weak_reference_made_in_a_finalizer_does_not_dangle),
        TEST(a_finalizer_may_resurrect_through_a_weak_reference),
        TEST(a_finalizer_may_drop_others),
        TEST(a_finalizer_may_create),
        TEST(G15_finalizers_that_collect_in_a_deep_chain),
        TEST(G41_a_failing_finalizer_is_reported_and_changes_nothing),
        TEST(G42_automatic_collections_inside_finalizers),
        TEST(dispose_runs_for_what_is_held_at_the_end),
        TEST(G15_a_deep_list_needs_no_stack),
        TEST(the_first_decref_is_bounded_and_steps_do_the_rest),
        TEST(later_allocations_free_the_rest),
        TEST(destroy_frees_the_rest),
        TEST(a_collection_frees_the_rest),
        TEST(W15_what_waits_to_be_freed_is_dead_already),
        TEST(a_tree_is_freed_whole),
        TEST(a_chain_of_all_kinds_is_freed_whole),
        TEST(a_wide_object_is_freed_in_parts),
        TEST(O6_a_deep_chain_with_finalizers),
        TEST(prompt_types_are_freed_ahead),
#if defined(__GNUC__)
        TEST(M83_auto_drops_at_the_end_of_the_scope),
        TEST(defer_calls_at_the_end_newest_first),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
