/* test_oom.c - the k-th request for memory fails, for every k.

   One scenario touches every room. It runs with request k refused once, and again
   with every request from k on refused, for k = 1, 2, ... until none is refused any
   more. Whatever happens: no crash, earlier content intact, the heap consistent, and
   once memory is to be had again the same scenario succeeds in the same heap; at the
   end everything has gone back (C4).
*/
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

typedef struct Node {
    struct Node *next, *other;
    uint64_t     value;
} Node;
MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, other))

typedef struct Door {
    struct Door *next;
    int          number;
} Door;
MM_TYPE(Door, MM_REF(Door, next))

typedef struct Leaf {
    char text[64];
} Leaf;
MM_TYPE_LEAF(Leaf)

static size_t made, finalized, disposed, called, rung;

static bool door_finalize(void *object)
{
    (void)object;
    finalized++;
    return true;
}

static void door_dispose(void *object)
{
    (void)object;
    disposed++;
}

static bool weak_callback(mm_weakref *ref, void *user)
{
    (void)user;
    assert_true(mm_weakref_is_dead(ref));
    called++;
    return true;
}

static void bell(void *user)
{
    (void)user;
    rung++;
}

static int setup(void **state)
{
    (void)state;
    mm_typeof(Door)->finalize = door_finalize;
    mm_typeof(Door)->dispose = door_dispose;
    made = finalized = disposed = called = rung = 0;
    return 0;
}

/* -------------------------------------------------------------------- scenario */

#define BLOCKS 48

typedef struct World {
    mm_heap  *heap;
    test_env *env;
    bool      plenty; /* nothing may fail now */
    char     *block[BLOCKS];
    size_t    size[BLOCKS];
} World;

/* Whether the call succeeded; a failure must be allowed and explained. */
static bool got(World *world, bool success)
{
    if (success) return true;
    assert_false(world->plenty);
    assert_int_equal(mm_last_status(world->heap), MM_ERR_NOMEM);
    assert_true(strlen(mm_last_message(world->heap)) > 0);
    mm_clear_status(world->heap);
    return false;
}

static void put_block(World *world, size_t i, void *p, size_t size)
{
    if (!got(world, p != NULL)) return;
    mm_free(world->heap, world->block[i]);
    world->block[i] = (char *)p;
    world->size[i] = size;
    test_fill_ends(p, size, (unsigned)i);
}

static void check_blocks(const World *world)
{
    size_t i;
    for (i = 0; i < BLOCKS; i++)
        assert_true(test_filled_ends(world->block[i], world->size[i], (unsigned)i));
}

static void drop_blocks(World *world)
{
    size_t i;
    for (i = 0; i < BLOCKS; i++) {
        mm_free(world->heap, world->block[i]);
        world->block[i] = NULL;
        world->size[i] = 0;
    }
}

static void raw_part(World *world)
{
    mm_heap *heap = world->heap;
    size_t   i, size;
    for (i = 0; i < 32; i++) {
        size = i < 16 ? TEST_ARENA / 10 : i * 100;
        put_block(world, i, mm_alloc(heap, size), size);
    }
    put_block(world, 32, mm_alloc(heap, TEST_ARENA + 1), TEST_ARENA + 1);
    put_block(world, 33, mm_calloc(heap, 3, TEST_ARENA / 2), 3 * (TEST_ARENA / 2));
    put_block(world, 34, mm_alloc_aligned(heap, 100, TEST_ALIGN_MAX), 100);
    put_block(world, 35, mm_alloc_aligned(heap, TEST_ARENA, 4096), TEST_ARENA);
    put_block(world, 36, mm_alloc_aligned(heap, 50000, 65536), 50000);
    check_blocks(world);
}

static void resize_part(World *world)
{
    static const size_t targets[] = {50, 5000, TEST_ARENA / 3, 2 * TEST_ARENA,
                                     4 * TEST_ARENA, TEST_ARENA / 2, 700};
    size_t i;
    for (i = 0; i < TEST_COUNT(targets); i++) {
        size_t slot = 37 + i % 3, to = targets[i], kept = world->size[slot];
        char  *p = (char *)mm_realloc(world->heap, world->block[slot], to);
        if (got(world, p != NULL)) {
            world->block[slot] = p;
            if (kept > to) kept = to;
            if (kept > TEST_END) kept = TEST_END;
            assert_true(test_filled(p, kept, (unsigned)slot));
            test_fill_ends(p, to, (unsigned)slot);
            world->size[slot] = to;
        }
        check_blocks(world);
    }
}

static Node *make_list(World *world, size_t count, size_t extra)
{
    Node *list = NULL;
    while (count-- > 0) {
        Node *node = mm_new_extra(world->heap, Node, extra);
        if (!got(world, node != NULL)) continue;
        assert_true(test_all(node, sizeof *node + extra, 0));
        node->value = 77;
        node->next = list;
        list = node;
    }
    return list;
}

static void object_part(World *world)
{
    Node *list = make_list(world, TEST_ARENA / 1000, 1000), *node;
    Node *huge = mm_new_extra(world->heap, Node, TEST_ARENA + 5);
    Leaf *leaf;
    if (got(world, huge != NULL)) mm_set(&huge->next, list);
    leaf = mm_new_extra(world->heap, Leaf, TEST_ARENA / 3);
    got(world, leaf != NULL);
    for (node = list; node != NULL; node = node->next)
        assert_int_equal(node->value, 77);
    mm_decref(leaf);
    mm_decref(list);
    mm_decref(huge);
    test_drain(world->heap);
}

static Door *new_door(World *world)
{
    Door *door = mm_new_extra(world->heap, Door, 200);
    if (got(world, door != NULL)) door->number = (int)++made;
    return door;
}

static void cycle_part(World *world)
{
    size_t i;
    for (i = 0; i < TEST_ARENA / 1000; i++) {
        Door *a = new_door(world), *b = new_door(world);
        if (a != NULL) mm_set(&a->next, b);
        if (b != NULL) mm_set(&b->next, a);
        mm_decref(a);
        mm_decref(b);
    }
    mm_gc_collect(world->heap, 1);
    mm_gc_step(world->heap, 50);
    mm_gc_collect(world->heap, 2);
    check_blocks(world);
}

static void weak_part(World *world)
{
    size_t i, expected = called, rings = rung;
    for (i = 0; i < 200; i++) {
        Leaf         *leaf = mm_new(world->heap, Leaf);
        mm_weakref   *plain, *ref;
        mm_finalizer *finalizer;
        mm_handle     handle;
        if (!got(world, leaf != NULL)) continue;
        plain = mm_weakref_new(leaf, NULL, NULL);
        got(world, plain != NULL);
        ref = mm_weakref_new(leaf, weak_callback, NULL);
        if (got(world, ref != NULL)) expected++;
        finalizer = mm_finalize(leaf, bell, NULL);
        if (got(world, finalizer != NULL)) rings++;
        handle = mm_handle_of(leaf);
        if (got(world, handle != 0))
            assert_ptr_equal(mm_handle_borrow(world->heap, handle), leaf);
        mm_decref(leaf);
        assert_false(mm_handle_valid(world->heap, handle));
        assert_int_equal(called, expected);
        assert_int_equal(rung, rings);
        if (plain != NULL) assert_true(mm_weakref_is_dead(plain));
        mm_decref(plain);
        mm_decref(ref);
        mm_decref(finalizer);
    }
}

static void intern_part(World *world)
{
    static mm_str *names[600];
    char           text[2100];
    size_t         i, round;
    memset(text, 'x', sizeof text);
    memset(names, 0, sizeof names);
    for (round = 0; round < 2; round++) {
        for (i = 0; i < TEST_COUNT(names); i++) {
            mm_str *s;
            snprintf(text, 8, "%07u", (unsigned)i);
            text[7] = '.';
            s = mm_intern(world->heap, text, 1000 + i);
            if (!got(world, s != NULL)) continue;
            assert_int_equal(s->length, 1000 + i);
            assert_memory_equal(s->text, text, 1000 + i);
            if (names[i] != NULL) assert_ptr_equal(s, names[i]);
            if (names[i] != NULL) mm_decref(s);
            names[i] = s;
        }
    }
    for (i = 0; i < TEST_COUNT(names); i++) mm_decref(names[i]);
}

static void pool_part(World *world)
{
    mm_pool_desc desc;
    mm_pool     *plain, *managed;
    void        *items[100];
    Node        *nodes[100];
    size_t       i;
    memset(&desc, 0, sizeof desc);
    desc.item_size = TEST_ARENA / 50;
    desc.prefill = 10;
    plain = mm_pool_create(world->heap, &desc);
    got(world, plain != NULL);
    desc.item_size = 0;
    desc.type = mm_typeof(Node);
    managed = mm_pool_create(world->heap, &desc);
    got(world, managed != NULL);
    for (i = 0; i < 100; i++) {
        items[i] = plain ? mm_pool_acquire(plain) : NULL;
        if (plain) got(world, items[i] != NULL);
        nodes[i] = managed ? (Node *)mm_pool_acquire(managed) : NULL;
        if (managed) got(world, nodes[i] != NULL);
        if (nodes[i]) assert_true(test_all(nodes[i], sizeof(Node), 0));
    }
    for (i = 0; i < 100; i++) {
        if (items[i] != NULL) mm_pool_release(plain, items[i]);
        mm_decref(nodes[i]);
    }
    if (plain != NULL) mm_pool_destroy(plain);
    if (managed != NULL) mm_pool_destroy(managed);
}

static void region_part(World *world)
{
    mm_region region;
    char     *kept[40], *text;
    size_t    i, n = TEST_ARENA / 20;
    mm_region_init(&region, world->heap);
    for (i = 0; i < 40; i++) {
        kept[i] = (char *)mm_region_alloc(&region, n);
        if (got(world, kept[i] != NULL)) test_fill_ends(kept[i], n, (unsigned)i);
    }
    text = mm_region_printf(&region, "%s %d", "number", 42);
    if (got(world, text != NULL)) assert_string_equal(text, "number 42");
    for (i = 0; i < 40; i++)
        if (kept[i] != NULL) assert_true(test_filled_ends(kept[i], n, (unsigned)i));
    mm_region_free(&region);
}

static void bytes_part(World *world)
{
    mm_bytes *bytes = mm_bytes_new(world->heap, NULL, TEST_ARENA / 4);
    mm_view  *view = NULL, *slice = NULL;
    if (got(world, bytes != NULL)) view = mm_view_new(bytes);
    if (bytes != NULL) got(world, view != NULL);
    if (view != NULL) slice = mm_view_slice(view, 10, 20);
    if (view != NULL) got(world, slice != NULL);
    mm_decref(bytes);
    mm_decref(view);
    if (slice != NULL) assert_int_equal(mm_view_span(slice).len, 10);
    mm_decref(slice);
}

static void question_part(World *world)
{
    mm_type_stats stats[4];
    Node         *list = make_list(world, 300, 0);
    size_t        n = mm_heap_get_type_stats(world->heap, stats, 4);
    got(world, n != SIZE_MAX && n >= (list != NULL));
    if (list != NULL) got(world, mm_sizeof_deep(list) != SIZE_MAX);
    mm_decref(list);
    test_drain(world->heap);
}

static void all_parts(World *world)
{
    raw_part(world);
    resize_part(world);
    object_part(world);
    cycle_part(world);
    weak_part(world);
    intern_part(world);
    pool_part(world);
    region_part(world);
    bytes_part(world);
    question_part(world);
    check_blocks(world);
}

/* One run; returns whether a request was refused. */
static bool run_scenario(size_t fail_from, size_t fail_count, int debug)
{
    test_env     env;
    mm_heap_desc desc = test_desc(&env);
    World        world;
    bool         refused;
    memset(&env, 0, sizeof env);
    memset(&world, 0, sizeof world);
    setup(NULL);
    env.fail_from = fail_from;
    env.fail_count = fail_count;
    desc.debug = debug;
    world.env = &env;
    world.heap = mm_heap_create(&desc);
    if (world.heap == NULL) {
        assert_int_equal(mm_last_status(NULL), MM_ERR_NOMEM);
        assert_true(env.failed > 0);
        test_env_balanced(&env);
        return true;
    }
    world.plenty = fail_count == 0;
    all_parts(&world);
    assert_true(mm_heap_check(world.heap));
    refused = env.failed > 0;
    env.fail_count = 0;
    world.plenty = true;
    all_parts(&world);
    drop_blocks(&world);
    mm_gc_collect(world.heap, 2);
    test_drain(world.heap);
    assert_int_equal(finalized, made);
    assert_int_equal(disposed, made);
    assert_int_equal(test_stats(world.heap).objects, 0);
    assert_true(test_stats(world.heap).live_blocks <= 1); /* the table of mm_intern */
    test_heap_done(world.heap, &env);
    return refused;
}

static void C4_the_scenario_succeeds_with_memory(void **state)
{
    (void)state;
    assert_false(run_scenario(0, 0, 0));
    assert_false(run_scenario(0, 0, 1));
    assert_false(run_scenario(0, 0, 2));
}

/* k = 1, 2, 3, ... natively; with growing steps where a run takes long. */
static size_t next_k(size_t k)
{
    return k + 1 + (test_is_native() ? 0 : k / 4) + (k > 60 ? k / 8 : 0);
}

static void C4_each_request_fails_once(void **state)
{
    size_t k = 1;
    (void)state;
    while (run_scenario(k, 1, 0)) k = next_k(k);
    assert_true(k > 8); /* it did ask the OS for memory */
}

static void C4_each_request_and_all_after_it_fail(void **state)
{
    size_t k = 1;
    (void)state;
    while (run_scenario(k, SIZE_MAX / 2, 0)) k = next_k(k);
    assert_true(k > 8);
}

static void C4_also_with_red_zones(void **state)
{
    size_t k = 1;
    (void)state;
    while (run_scenario(k, SIZE_MAX / 2, 2)) k = next_k(k) + k / 2;
    assert_true(k > 4);
}

/* ---------------------------------------------------------- death needs no memory */

static void refuse_all(test_env *env)
{
    env->fail_from = env->requests + 1;
    env->fail_count = SIZE_MAX / 2;
}

static void W16_dying_needs_no_memory(void **state)
{
    static Leaf       *leaves[2000];
    static mm_weakref *refs[2000];
    test_env           env;
    mm_heap           *heap = test_heap(&env);
    size_t             i;
    (void)state;
    for (i = 0; i < TEST_COUNT(leaves); i++) {
        leaves[i] = mm_new(heap, Leaf);
        refs[i] = mm_weakref_new(leaves[i], weak_callback, NULL);
        assert_non_null(refs[i]);
    }
    refuse_all(&env);
    for (i = 0; i < TEST_COUNT(leaves); i++) mm_decref(leaves[i]);
    assert_int_equal(called, TEST_COUNT(leaves));
    for (i = 0; i < TEST_COUNT(refs); i++) {
        assert_true(mm_weakref_is_dead(refs[i]));
        mm_decref(refs[i]);
    }
    assert_int_equal(test_stats(heap).objects, 0);
    test_heap_done(heap, &env);
}

static void a_deep_structure_is_freed_without_memory(void **state)
{
    test_env env;
    World    world;
    Door    *list = NULL;
    size_t   i;
    (void)state;
    memset(&world, 0, sizeof world);
    world.heap = test_heap(&env);
    world.plenty = true;
    mm_gc_disable(world.heap);
    for (i = 0; i < test_rounds(100000); i++) {
        Door *door = new_door(&world);
        door->next = list;
        list = door;
    }
    refuse_all(&env);
    mm_decref(list);
    test_drain(world.heap);
    assert_int_equal(finalized, made);
    assert_int_equal(disposed, made);
    test_heap_done(world.heap, &env);
}

static void cycles_wait_for_memory_but_are_not_lost(void **state)
{
    test_env env;
    World    world;
    (void)state;
    memset(&world, 0, sizeof world);
    world.heap = test_heap(&env);
    mm_gc_disable(world.heap);
    mm_decref(new_door(&world)); /* so that there is an arena at hand */
    refuse_all(&env);
    cycle_part(&world); /* collects, with and without what it needs for that */
    assert_true(mm_heap_check(world.heap));
    env.fail_count = 0;
    mm_gc_collect(world.heap, 2);
    test_drain(world.heap);
    assert_true(made > 0);
    assert_int_equal(finalized, made);
    assert_int_equal(disposed, made);
    test_heap_done(world.heap, &env);
}

static void garbage_is_collected_before_a_request_fails(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    size_t   i, rounds = 20 * TEST_ARENA / 1000;
    (void)state;
    mm_gc_disable(heap);
    mm_decref(mm_new_extra(heap, Node, 1000));
    refuse_all(&env);
    for (i = 0; i < rounds; i++) { /* far more than the arena at hand can hold */
        Node *node = mm_new_extra(heap, Node, 1000);
        assert_non_null(node);
        mm_set(&node->next, node);
        mm_decref(node);
    }
    assert_true(env.failed > 0);
    env.fail_count = 0;
    test_heap_done(heap, &env);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(C4_the_scenario_succeeds_with_memory),
        TEST(C4_each_request_fails_once),
        TEST(C4_each_request_and_all_after_it_fail),
        TEST(C4_also_with_red_zones),
        TEST(W16_dying_needs_no_memory),
        TEST(a_deep_structure_is_freed_without_memory),
        TEST(cycles_wait_for_memory_but_are_not_lost),
        TEST(garbage_is_collected_before_a_request_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
