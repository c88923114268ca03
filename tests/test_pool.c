/* test_pool.c - object pools over plain items and over a managed type: reuse,
   limits, prefill, reset and zero, shrinking, statistics, double release and foreign
   pointers, objects that come back by themselves, pools that end first, out of
   memory, and random runs against a plain list. */
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

static mm_pool_desc plain(size_t item_size)
{
    mm_pool_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.item_size = item_size;
    return desc;
}

static mm_pool_stats pool_stats(const mm_pool *pool)
{
    mm_pool_stats stats;
    memset(&stats, 0xEE, sizeof stats);
    mm_pool_get_stats(pool, &stats);
    return stats;
}

static void expect(const mm_pool *pool, size_t in_use, size_t idle, uint64_t hits,
                   uint64_t misses)
{
    mm_pool_stats stats = pool_stats(pool);
    assert_int_equal(stats.in_use, in_use);
    assert_int_equal(stats.idle, idle);
    assert_int_equal(stats.hits, hits);
    assert_int_equal(stats.misses, misses);
}

static mm_heap *heap_with_debug(test_env *env, int debug)
{
    mm_heap_desc desc = test_desc(env);
    mm_heap *heap;
    memset(env, 0, sizeof *env);
    desc.debug = debug;
    heap = mm_heap_create(&desc);
    assert_non_null(heap);
    return heap;
}

/* --- plain items --- */

static void test_items_are_used_again(void **state)
{
    int debug;
    (void)state;
    for (debug = 0; debug <= 2; debug++) {
        test_env env;
        mm_heap *heap = heap_with_debug(&env, debug);
        mm_pool_desc desc = plain(48);
        mm_pool *pool = mm_pool_create(heap, &desc);
        char *a, *b;
        assert_non_null(pool);
        expect(pool, 0, 0, 0, 0);
        a = (char *)mm_pool_acquire(pool);
        b = (char *)mm_pool_acquire(pool);
        assert_true(a != b && test_aligned(a, 16) && test_aligned(b, 16));
        memset(a, 1, 48);
        memset(b, 2, 48);
        expect(pool, 2, 0, 0, 2);
        mm_pool_release(pool, a);
        expect(pool, 1, 1, 0, 2);
        assert_ptr_equal(mm_pool_acquire(pool), a);
        assert_true(test_all(a, 48, 1)); /* as its last user left it */
        expect(pool, 2, 0, 1, 2);
        mm_pool_release(pool, NULL);
        mm_pool_release(pool, a);
        mm_pool_release(pool, b);
        assert_ptr_equal(mm_pool_acquire(pool), b); /* the warm one first */
        mm_pool_release(pool, b);
        expect(pool, 0, 2, 2, 2);
        mm_pool_destroy(pool);
        test_heap_done(heap, &env);
    }
}

static void test_description_out_of_range(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool_desc desc = plain(0);
    (void)state;
    assert_null(mm_pool_create(heap, &desc));
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    mm_clear_status(heap);
    desc = plain(16);
    desc.prefill = 5;
    desc.max = 4;
    assert_null(mm_pool_create(heap, &desc));
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    assert_non_null(strstr(mm_last_message(heap), "5"));
    mm_clear_status(heap);
    desc.max = 0;
    desc.max_idle = 4;
    assert_null(mm_pool_create(heap, &desc));
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    mm_pool_destroy(NULL);
    test_heap_done(heap, &env);
}

static void test_sizes_out_of_range(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool_desc desc = plain(SIZE_MAX);
    mm_pool *pool = mm_pool_create(heap, &desc);
    (void)state;
    assert_non_null(pool);
    assert_null(mm_pool_acquire(pool));
    assert_true(mm_last_status(heap) != MM_OK);
    expect(pool, 0, 0, 0, 0);
    mm_pool_destroy(pool);
    desc.prefill = 1;
    assert_null(mm_pool_create(heap, &desc));
    test_heap_done(heap, &env);
}

static void test_max(void **state)
{
    int debug;
    (void)state;
    for (debug = 0; debug <= 1; debug++) {
        test_env env;
        mm_heap *heap = heap_with_debug(&env, debug);
        mm_pool_desc desc = plain(32);
        mm_pool *pool;
        void *items[3];
        size_t i;
        desc.max = 3;
        pool = mm_pool_create(heap, &desc);
        for (i = 0; i < 3; i++) assert_non_null(items[i] = mm_pool_acquire(pool));
        mm_clear_status(heap);
        assert_null(mm_pool_acquire(pool));
        assert_int_equal(mm_last_status(heap), MM_ERR_LIMIT);
        assert_null(mm_pool_acquire(pool));
        assert_int_equal(pool_stats(pool).refused, 2);
        mm_pool_release(pool, items[1]);
        assert_ptr_equal(mm_pool_acquire(pool), items[1]);
        assert_null(mm_pool_acquire(pool));
        for (i = 0; i < 3; i++) mm_pool_release(pool, items[i]);
        assert_int_equal(mm_pool_shrink(pool, 0), 3); /* makes room under max, too */
        for (i = 0; i < 3; i++) assert_non_null(items[i] = mm_pool_acquire(pool));
        for (i = 0; i < 3; i++) mm_pool_release(pool, items[i]);
        mm_pool_destroy(pool);
        test_heap_done(heap, &env);
    }
}

static void test_max_idle(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    size_t limits[] = {0, 1, 7, 40}, l, i;
    static void *items[1500];
    (void)state;
    for (l = 0; l < TEST_COUNT(limits); l++) {
        mm_pool_desc desc = plain(32);
        size_t most = limits[l] == 0 ? 1024 : limits[l];
        mm_pool *pool;
        desc.max_idle = limits[l];
        pool = mm_pool_create(heap, &desc);
        for (i = 0; i < TEST_COUNT(items); i++) items[i] = mm_pool_acquire(pool);
        for (i = 0; i < TEST_COUNT(items); i++) mm_pool_release(pool, items[i]);
        expect(pool, 0, most, 0, TEST_COUNT(items));
        for (i = 0; i < most + 1; i++) items[i] = mm_pool_acquire(pool);
        expect(pool, most + 1, 0, most, TEST_COUNT(items) + 1);
        for (i = 0; i < most + 1; i++) mm_pool_release(pool, items[i]);
        assert_true(mm_heap_check(heap));
        mm_pool_destroy(pool);
    }
    test_heap_done(heap, &env);
}

static void test_prefill_and_shrink(void **state)
{
    int debug;
    (void)state;
    for (debug = 0; debug <= 1; debug++) {
        test_env env;
        mm_heap *heap = heap_with_debug(&env, debug);
        mm_pool_desc desc = plain(100);
        mm_pool *pool;
        void *warm, *top;
        desc.prefill = 2000; /* above the default of max_idle: it makes room */
        pool = mm_pool_create(heap, &desc);
        expect(pool, 0, 2000, 0, 0);
        warm = mm_pool_acquire(pool);
        top = mm_pool_acquire(pool);
        expect(pool, 2, 1998, 2, 0);
        mm_pool_release(pool, top);
        mm_pool_release(pool, warm);
        assert_int_equal(mm_pool_shrink(pool, 5000), 0);
        assert_int_equal(mm_pool_shrink(pool, 10), 1990);
        expect(pool, 0, 10, 2, 0);
        assert_ptr_equal(mm_pool_acquire(pool), warm); /* the cold ones went */
        mm_pool_release(pool, warm);
        assert_true(mm_heap_check(heap));
        assert_int_equal(mm_pool_shrink(pool, 0), 10);
        assert_int_equal(mm_pool_shrink(pool, 0), 0);
        mm_pool_destroy(pool);
        test_heap_done(heap, &env);
    }
}

static void test_zero(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool_desc desc = plain(77);
    mm_pool *pool;
    size_t round, i;
    char *items[20];
    (void)state;
    desc.zero = true;
    desc.prefill = 7;
    pool = mm_pool_create(heap, &desc);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < TEST_COUNT(items); i++) {
            items[i] = (char *)mm_pool_acquire(pool);
            assert_true(test_all(items[i], 77, 0));
            memset(items[i], 0xEE, 77);
        }
        for (i = 0; i < TEST_COUNT(items); i++) mm_pool_release(pool, items[i]);
    }
    expect(pool, 0, 20, 47, 13);
    mm_pool_destroy(pool);
    test_heap_done(heap, &env);
}

static void count_reset(void *item, void *user)
{
    memset(item, 0x11, 40);
    ++*(size_t *)user;
}

static void test_reset(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool_desc desc = plain(40);
    mm_pool *pool;
    size_t resets = 0, i;
    char *item;
    (void)state;
    desc.reset = count_reset;
    desc.user = &resets;
    pool = mm_pool_create(heap, &desc);
    for (i = 0; i < 10; i++) {
        item = (char *)mm_pool_acquire(pool);
        if (i > 0) assert_true(test_all(item, 40, 0x11));
        memset(item, 0xEE, 40);
        assert_int_equal(resets, i);
        mm_pool_release(pool, item);
        assert_int_equal(resets, i + 1);
    }
    mm_pool_destroy(pool);
    test_heap_done(heap, &env);
}

static void test_items_outlive_their_pool(void **state)
{
    int debug;
    (void)state;
    for (debug = 0; debug <= 1; debug++) {
        test_env env;
        mm_heap *heap = heap_with_debug(&env, debug);
        mm_pool_desc desc = plain(64);
        mm_pool *pool = mm_pool_create(heap, &desc);
        char *a = (char *)mm_pool_acquire(pool), *b;
        b = (char *)mm_pool_acquire(pool);
        memset(a, 5, 64);
        mm_pool_release(pool, b);
        mm_pool_destroy(pool);
        assert_true(test_all(a, 64, 5));
        assert_true(mm_heap_check(heap));
        mm_free(heap, a);
        test_heap_done(heap, &env);
    }
}

/* A pool that its user never ended is no leak; the items in use are. */
static void test_heap_ends_pools(void **state)
{
    int in_use;
    (void)state;
    for (in_use = 0; in_use <= 1; in_use++) {
        test_env env;
        mm_heap *heap = test_heap(&env);
        mm_pool_desc desc = plain(64);
        mm_pool *pool;
        desc.prefill = 100;
        pool = mm_pool_create(heap, &desc);
        if (in_use) mm_pool_acquire(pool);
        mm_heap_destroy(heap);
        if (in_use) {
            assert_non_null(test_leak_of(&env, "raw memory"));
            assert_int_equal(test_leak_of(&env, "raw memory")->objects, 1);
        } else {
            assert_int_equal(env.leak_count, 0);
        }
        test_env_balanced(&env);
    }
}

/* --- caller's bugs --- */

typedef enum mistake { DOUBLE, FOREIGN, MIDDLE, STACK, OTHER_POOL } mistake;

static void body_mistake(void *argument)
{
    mm_heap_desc heap_desc;
    mm_heap *heap;
    mm_pool_desc desc = plain(48);
    mm_pool *pool, *other;
    char local[64], *item, *wrong = NULL;
    memset(&heap_desc, 0, sizeof heap_desc);
    heap_desc.debug = 1;
    heap = mm_heap_create(&heap_desc);
    pool = mm_pool_create(heap, &desc);
    other = mm_pool_create(heap, &desc);
    item = (char *)mm_pool_acquire(pool);
    switch (*(mistake *)argument) {
    case DOUBLE:
        wrong = item;
        mm_pool_release(pool, item);
        break;
    case FOREIGN: wrong = (char *)mm_alloc(heap, 48); break;
    case MIDDLE: wrong = item + 16; break;
    case STACK: wrong = local + 1; break;
    case OTHER_POOL: wrong = (char *)mm_pool_acquire(other); break;
    }
    test_announce(wrong);
    mm_pool_release(pool, wrong);
    printf("idle %zu\n", pool_stats(pool).idle);
    if (!mm_heap_check(heap)) printf("broken\n");
}

static void test_wrong_release_is_found_at_once(void **state)
{
    int what;
    (void)state;
    for (what = DOUBLE; what <= OTHER_POOL; what++) {
        mistake argument = (mistake)what;
        test_child child;
        test_run(&child, body_mistake, &argument);
        assert_true(test_names_planted(&child));
        assert_true(test_says(&child, "of 48 bytes"));
        assert_true(test_says(&child, what == DOUBLE ? "was released before"
                                                     : "is not an item of it"));
#ifdef NDEBUG
        assert_int_equal(child.exit_code, 0); /* told, and nothing has changed */
        assert_true(test_says(&child, what == DOUBLE ? "idle 1" : "idle 0"));
        assert_false(test_says(&child, "broken"));
#else
        assert_int_equal(child.signal, SIGABRT);
#endif
    }
}

/* Without debugging it is the heap's check that finds it. */
static void test_double_release_is_found_by_the_check(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool_desc desc = plain(48);
    mm_pool *pool = mm_pool_create(heap, &desc);
    void *items[10], *again[11];
    size_t i, j;
    (void)state;
    for (i = 0; i < 10; i++) items[i] = mm_pool_acquire(pool);
    for (i = 0; i < 10; i++) mm_pool_release(pool, items[i * 7 % 10]);
    assert_true(mm_heap_check(heap));
    mm_pool_release(pool, items[4]);
    assert_false(mm_heap_check(heap));
    assert_non_null(strstr(env.log, "released twice"));
    for (i = 0; i < 11; i++) again[i] = mm_pool_acquire(pool);
    for (i = 0; i < 11; i++) {
        for (j = 0; j < i && again[j] != again[i];) j++;
        if (j == i) mm_pool_release(pool, again[i]); /* each one once */
    }
    expect(pool, 0, 10, 11, 10);
    assert_true(mm_heap_check(heap));
    mm_pool_destroy(pool);
    env.logged[MM_LOG_BUG] = 0;
    test_heap_done(heap, &env);
}

static void test_foreign_release_is_found_by_the_check(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool_desc desc = plain(48);
    mm_pool *pool = mm_pool_create(heap, &desc);
    void *items[10], *foreign = malloc(64), *small = mm_alloc(heap, 16);
    size_t i, n = 0;
    (void)state;
    for (i = 0; i < 10; i++) items[i] = mm_pool_acquire(pool);
    for (i = 0; i < 8; i++) mm_pool_release(pool, items[i]);
    mm_pool_release(pool, foreign);
    mm_pool_release(pool, small); /* of the heap, but too small */
    assert_false(mm_heap_check(heap));
    assert_non_null(strstr(env.log, "not an idle item"));
    assert_true(env.logged[MM_LOG_BUG] >= 2);
    for (i = 0; i < 10; i++) { /* the check has sorted them */
        void *item = mm_pool_acquire(pool);
        if (item != foreign && item != small) items[n++] = item;
    }
    assert_int_equal(n, 8);
    for (i = 0; i < 10; i++) mm_pool_release(pool, items[i]);
    assert_true(mm_heap_check(heap));
    free(foreign);
    mm_free(heap, small);
    mm_pool_destroy(pool);
    env.logged[MM_LOG_BUG] = 0;
    test_heap_done(heap, &env);
}

/* --- a random run against a list, plain items --- */

static void run_against_a_list(mm_heap *heap, uint64_t seed, bool small)
{
    enum { N = 600 };
    struct {
        unsigned char *p;
        unsigned seed;
    } live[N];
    uint64_t random = seed, misses = 0, acquires = 0, refused = 0;
    size_t n = 0, idle = 0, step, size = 24 + 8 * (seed % 9), most, max;
    mm_pool_desc desc = plain(size);
    mm_pool *pool;
    desc.max_idle = most = small ? 5 : 100;
    desc.max = max = small ? 300 : 0;
    desc.zero = seed % 3 == 0;
    pool = mm_pool_create(heap, &desc);
    for (step = 0; step < 20000; step++) {
        bool grow = (step / 500) % 2 == 0;
        if (test_random(&random) % 10 < (grow ? 6u : 4u) && n < N) {
            live[n].p = (unsigned char *)mm_pool_acquire(pool);
            if (live[n].p == NULL) {
                assert_true(max != 0 && n == max && idle == 0);
                refused++;
            } else {
                if (desc.zero) assert_true(test_all(live[n].p, size, 0));
                live[n].seed = (unsigned)test_random(&random);
                test_fill(live[n].p, size, live[n].seed);
                acquires++;
                if (idle == 0)
                    misses++;
                else
                    idle--;
                n++;
            }
        } else if (n > 0) {
            size_t i = test_random(&random) % n;
            assert_true(test_filled(live[i].p, size, live[i].seed));
            mm_pool_release(pool, live[i].p);
            live[i] = live[--n];
            if (idle < most) idle++;
        }
        if (step % 997 == 0) {
            size_t keep = test_random(&random) % 120;
            assert_int_equal(mm_pool_shrink(pool, keep), idle > keep ? idle - keep : 0);
            if (idle > keep) idle = keep;
            assert_true(mm_heap_check(heap));
        }
        expect(pool, n, idle, acquires - misses, misses);
        assert_int_equal(pool_stats(pool).refused, refused);
    }
    while (n > 0) mm_pool_release(pool, live[--n].p);
    mm_pool_destroy(pool);
}

static void test_random_against_a_list(void **state)
{
    int debug;
    (void)state;
    for (debug = 0; debug <= 1; debug++) {
        test_env env;
        mm_heap *heap = heap_with_debug(&env, debug);
        uint64_t seed;
        for (seed = 0; seed < test_rounds(10); seed++)
            run_against_a_list(heap, seed, seed % 2);
        test_heap_done(heap, &env);
    }
}

/* --- managed types --- */

typedef struct Particle {
    struct Particle *target;
    int life[5];
} Particle;
MM_TYPE(Particle, MM_REF(Particle, target))

static size_t finalized, disposed, was_reset;

static bool particle_finalize(void *object)
{
    (void)object;
    finalized++;
    return true;
}

static void particle_dispose(void *object)
{
    (void)object;
    disposed++;
}

static void particle_reset(void *item, void *user)
{
    assert_null(((Particle *)item)->target);
    (void)user;
    was_reset++;
}

static mm_pool *particle_pool(mm_heap *heap, size_t prefill, size_t max,
                              size_t max_idle)
{
    mm_pool_desc desc;
    mm_pool *pool;
    memset(&desc, 0, sizeof desc);
    desc.type = mm_typeof(Particle);
    desc.prefill = prefill;
    desc.max = max;
    desc.max_idle = max_idle;
    desc.reset = particle_reset;
    desc.type->finalize = particle_finalize;
    desc.type->dispose = particle_dispose;
    finalized = disposed = was_reset = 0;
    pool = mm_pool_create(heap, &desc);
    assert_non_null(pool);
    return pool;
}

static void test_objects_come_back(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool *pool = particle_pool(heap, 0, 0, 0);
    Particle *p, *first;
    int life;
    (void)state;
    first = (Particle *)mm_pool_acquire(pool);
    expect(pool, 1, 0, 0, 1);
    p = first;
    for (life = 1; life <= 5; life++) {
        assert_ptr_equal(p, first);
        assert_int_equal(mm_refcount(p), 1);
        assert_ptr_equal(mm_type_of(p), mm_typeof(Particle));
        assert_true(test_all(p, sizeof *p, 0));
        assert_false(mm_gc_is_finalized(p));
        assert_int_equal(test_stats(heap).objects, 1);
        memset(p->life, 0xEE, sizeof p->life);
        mm_incref(p);
        mm_decref(p);
        expect(pool, 1, 0, (uint64_t)life - 1, 1);
        mm_decref(p);
        test_drain(heap);
        expect(pool, 0, 1, (uint64_t)life - 1, 1);
        assert_int_equal(test_stats(heap).objects, 0);
        assert_int_equal(finalized, life); /* once in each life */
        assert_int_equal(disposed, life);
        assert_int_equal(was_reset, life);
        assert_true(mm_heap_check(heap));
        p = (Particle *)mm_pool_acquire(pool);
    }
    mm_pool_release(pool, p); /* of a managed type: mm_decref */
    test_drain(heap);
    expect(pool, 0, 1, 5, 1);
    mm_pool_destroy(pool);
    test_heap_done(heap, &env);
}

static bool visit_none(const mm_block *block, void *user)
{
    if (block->type != NULL) ++*(size_t *)user;
    return true;
}

/* Idle objects are nobody's: no hook has run, no walk and no collection sees them. */
static void test_prefilled_objects_rest(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool *pool = particle_pool(heap, 50, 0, 0);
    Particle *p;
    size_t seen = 0;
    (void)state;
    expect(pool, 0, 50, 0, 0);
    assert_int_equal(finalized + disposed + was_reset, 0);
    assert_int_equal(test_stats(heap).objects, 0);
    assert_true(mm_heap_walk(heap, visit_none, &seen));
    assert_int_equal(seen, 0);
    assert_int_equal(mm_gc_collect(heap, 2), 0);
    p = (Particle *)mm_pool_acquire(pool);
    expect(pool, 1, 49, 1, 0);
    assert_true(mm_heap_walk(heap, visit_none, &seen));
    assert_int_equal(seen, 1);
    assert_int_equal(mm_pool_shrink(pool, 9), 40);
    assert_int_equal(finalized + disposed, 0); /* they never lived */
    mm_decref(p);
    test_drain(heap);
    expect(pool, 0, 10, 1, 0);
    mm_pool_destroy(pool);
    assert_int_equal(finalized, 1);
    test_heap_done(heap, &env);
}

/* Weak references and handles to the last life do not find the next one. */
static void test_identity_is_fresh(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool *pool = particle_pool(heap, 0, 0, 0);
    Particle *p = (Particle *)mm_pool_acquire(pool), *q;
    mm_weakref *ref = mm_weakref_new(p, NULL, NULL);
    mm_handle handle = mm_handle_of(p);
    (void)state;
    assert_non_null(ref);
    q = (Particle *)mm_handle_get(heap, handle);
    assert_ptr_equal(q, p);
    mm_decref(q);
    mm_decref(p);
    test_drain(heap);
    assert_null(mm_weakref_get(ref));
    q = (Particle *)mm_pool_acquire(pool);
    assert_ptr_equal(q, p);
    assert_null(mm_weakref_get(ref));
    assert_null(mm_handle_get(heap, handle));
    assert_int_equal(mm_weakref_count(q), 0);
    assert_true(mm_handle_of(q) != handle);
    mm_decref(q);
    mm_decref(ref);
    mm_pool_destroy(pool);
    test_heap_done(heap, &env);
}

/* Cycles of pooled objects: the collector finds them, the pool gets them back. */
static void test_collected_objects_come_back(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool *pool = particle_pool(heap, 0, 0, 0);
    Particle *ring[40];
    int generation;
    size_t i, round;
    (void)state;
    mm_gc_disable(heap);
    for (round = 0; round < 6; round++) {
        generation = (int)round % 3;
        for (i = 0; i < 40; i++) {
            ring[i] = (Particle *)mm_pool_acquire(pool);
            assert_true(test_all(ring[i], sizeof **ring, 0));
        }
        expect(pool, 40, 0, 40 * (uint64_t)round, 40);
        if (round % 2) mm_gc_collect(heap, 1); /* some rings die old */
        for (i = 0; i < 40; i++) mm_set(&ring[i]->target, ring[(i + 1) % 40]);
        for (i = 0; i < 40; i++) mm_decref(ring[i]);
        if (round % 2) generation = 2;
        assert_int_equal(mm_gc_collect(heap, generation), 40);
        test_drain(heap);
        expect(pool, 0, 40, 40 * (uint64_t)round, 40);
        assert_int_equal(finalized, 40 * (round + 1));
        assert_int_equal(mm_gc_collect(heap, 2), 0);
        assert_true(mm_heap_check(heap));
    }
    mm_pool_destroy(pool);
    test_heap_done(heap, &env);
}

static void test_managed_limits(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool *pool = particle_pool(heap, 1, 4, 2);
    Particle *p[4];
    size_t i;
    (void)state;
    for (i = 0; i < 4; i++) assert_non_null(p[i] = (Particle *)mm_pool_acquire(pool));
    assert_null(mm_pool_acquire(pool));
    assert_int_equal(mm_last_status(heap), MM_ERR_LIMIT);
    for (i = 0; i < 4; i++) mm_decref(p[i]);
    test_drain(heap);
    expect(pool, 0, 2, 1, 3);
    assert_int_equal(pool_stats(pool).refused, 1);
    assert_int_equal(test_stats(heap).objects, 0);
    mm_pool_destroy(pool);
    test_heap_done(heap, &env);
}

static void test_objects_outlive_their_pool(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool *pool = particle_pool(heap, 5, 0, 0);
    Particle *a = (Particle *)mm_pool_acquire(pool), *b;
    (void)state;
    b = (Particle *)mm_pool_acquire(pool);
    mm_set(&a->target, b);
    mm_pool_destroy(pool);
    assert_int_equal(test_stats(heap).objects, 2);
    assert_true(mm_heap_check(heap));
    mm_decref(b);
    mm_decref(a);
    test_drain(heap);
    assert_int_equal(finalized, 2);
    assert_int_equal(disposed, 2);
    assert_int_equal(test_stats(heap).live_blocks, 0);
    test_heap_done(heap, &env);
}

/* At the end of the heap: pools and objects in use in every combination. */
static void test_heap_ends_with_pooled_objects(void **state)
{
    int destroy;
    (void)state;
    for (destroy = 0; destroy <= 1; destroy++) {
        test_env env;
        mm_heap *heap = test_heap(&env);
        mm_pool *pool = particle_pool(heap, 5, 0, 0);
        Particle *held = (Particle *)mm_pool_acquire(pool), *cycle;
        cycle = (Particle *)mm_pool_acquire(pool);
        mm_set(&cycle->target, cycle);
        mm_decref(cycle);
        (void)held;
        if (destroy) mm_pool_destroy(pool);
        assert_int_equal(mm_heap_destroy(heap), 1);
        assert_non_null(test_leak_of(&env, "Particle"));
        assert_int_equal(test_leak_of(&env, "Particle")->objects, 1);
        assert_null(test_leak_of(&env, "raw memory"));
        assert_int_equal(finalized, 1);
        assert_int_equal(disposed, 2);
        test_env_balanced(&env);
    }
}

typedef struct Dot {
    char bytes[13];
} Dot; /* an odd size, a leaf */
MM_TYPE_LEAF(Dot)

static void test_leaf_objects(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool_desc desc;
    mm_pool *pool;
    Dot *dots[300];
    size_t i, round;
    (void)state;
    memset(&desc, 0, sizeof desc);
    desc.type = mm_typeof(Dot);
    pool = mm_pool_create(heap, &desc);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < TEST_COUNT(dots); i++) {
            dots[i] = (Dot *)mm_pool_acquire(pool);
            assert_true(test_all(dots[i], sizeof **dots, 0));
            memset(dots[i], 0xFF, sizeof **dots);
        }
        for (i = 0; i < TEST_COUNT(dots); i++) mm_decref(dots[i]);
        test_drain(heap);
        expect(pool, 0, 300, 300 * (uint64_t)round, 300);
        assert_true(mm_heap_check(heap));
    }
    mm_pool_destroy(pool);
    test_heap_done(heap, &env);
}

static void test_item_size_and_type(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_pool_desc desc = plain(8);
    (void)state;
    desc.type = mm_typeof(Dot);
    assert_null(mm_pool_create(heap, &desc));
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    assert_non_null(strstr(mm_last_message(heap), "Dot"));
    test_heap_done(heap, &env);
}

/* --- out of memory --- */

/* The k-th request to the system and all after it fail, for every k until all goes
   well. A failed acquire changes nothing; releasing needs no memory. */
static void test_every_request_fails_once(void **state)
{
    enum { N = 500 };
    int managed, debug;
    (void)state;
    for (managed = 0; managed <= 1; managed++)
        for (debug = 0; debug <= 1; debug++) {
            size_t k, n = 0, i;
            for (k = 2; n < N; k++) {
                test_env env;
                mm_heap *heap = heap_with_debug(&env, debug);
                mm_pool_desc desc = plain(TEST_ARENA / 100);
                mm_pool *pool;
                static void *items[N];
                void *filler = NULL;
                if (managed) {
                    desc.item_size = 0;
                    desc.type = mm_typeof(Dot);
                    filler = mm_alloc(heap, TEST_ARENA / 4 * 3 - 65536);
                }
                pool = mm_pool_create(heap, &desc);
                assert_non_null(pool);
                env.fail_from = k;
                env.fail_count = SIZE_MAX;
                for (n = 0; n < N; n++)
                    if ((items[n] = mm_pool_acquire(pool)) == NULL) break;
                expect(pool, n, 0, 0, n);
                if (n < N) assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
                assert_true(mm_heap_check(heap));
                for (i = 0; i < n; i++) {
                    if (managed)
                        mm_decref(items[i]);
                    else
                        mm_pool_release(pool, items[i]);
                }
                test_drain(heap);
                expect(pool, 0, n, 0, n);
                env.fail_count = 0;
                mm_pool_destroy(pool);
                mm_free(heap, filler);
                assert_true(mm_heap_check(heap));
                mm_heap_destroy(heap);
                test_env_balanced(&env);
                assert_true(k < 1000);
            }
        }
}

/* A prefill that cannot be made leaves no pool, and nothing of it. */
static void test_prefill_fails(void **state)
{
    int managed;
    (void)state;
    for (managed = 0; managed <= 1; managed++) {
        test_env env;
        mm_heap *heap = test_heap(&env);
        mm_pool_desc desc = plain(200);
        size_t before = test_stats(heap).live_blocks;
        desc.prefill = 10 * TEST_ARENA / 16;
        if (managed) {
            desc.item_size = 0;
            desc.type = mm_typeof(Dot);
        }
        env.fail_from = env.requests + 2;
        env.fail_count = SIZE_MAX;
        assert_null(mm_pool_create(heap, &desc));
        assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
        assert_int_equal(test_stats(heap).live_blocks, before);
        env.fail_count = 0;
        test_heap_done(heap, &env);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_are_used_again),
        cmocka_unit_test(test_description_out_of_range),
        cmocka_unit_test(test_sizes_out_of_range),
        cmocka_unit_test(test_max),
        cmocka_unit_test(test_max_idle),
        cmocka_unit_test(test_prefill_and_shrink),
        cmocka_unit_test(test_zero),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_items_outlive_their_pool),
        cmocka_unit_test(test_heap_ends_pools),
        cmocka_unit_test(test_wrong_release_is_found_at_once),
        cmocka_unit_test(test_double_release_is_found_by_the_check),
        cmocka_unit_test(test_foreign_release_is_found_by_the_check),
        cmocka_unit_test(test_random_against_a_list),
        cmocka_unit_test(test_objects_come_back),
        cmocka_unit_test(test_prefilled_objects_rest),
        cmocka_unit_test(test_identity_is_fresh),
        cmocka_unit_test(test_collected_objects_come_back),
        cmocka_unit_test(test_managed_limits),
        cmocka_unit_test(test_objects_outlive_their_pool),
        cmocka_unit_test(test_heap_ends_with_pooled_objects),
        cmocka_unit_test(test_leaf_objects),
        cmocka_unit_test(test_item_size_and_type),
        cmocka_unit_test(test_every_request_fails_once),
        cmocka_unit_test(test_prefill_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
