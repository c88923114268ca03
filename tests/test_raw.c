/* test_raw.c - raw memory: malloc's contract with a heap in front. */
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

static test_env env;
static mm_heap *heap;

static int setup(void **state)
{
    (void)state;
    heap = test_heap(&env);
    return 0;
}

static void done(void)
{
    assert_int_equal(test_stats(heap).live_blocks, 0);
    test_heap_done(heap, &env);
}

/* Sizes that matter: around every step of the classes, and powers of two. */
static size_t interesting(size_t i)
{
    size_t bit, k;
    if (i < 1100) return i;
    i -= 1100;
    bit = i / 5 + 10;
    k = i % 5;
    if (bit > 26) return 0; /* 64 MiB */
    return k < 3 ? ((size_t)1 << bit) + k - 1 : ((size_t)1 << bit) / 4 * (2 + k);
}
#define INTERESTING (1100 + 5 * 17)

/* ------------------------------------------------------------ allocate and free */

static void use_block(size_t size)
{
    char *p = (char *)mm_alloc(heap, size);
    assert_non_null(p);
    assert_true(test_aligned(p, 16));
    assert_true(mm_usable_size(p) >= size);
    assert_true(mm_heap_of(p) == heap);
    if (size > 0) p[0] = p[size - 1] = 1;
    if (size <= 70000) test_fill(p, size, (unsigned)size);
    if (size <= 70000) assert_true(test_filled(p, size, (unsigned)size));
    mm_free(heap, p);
}

static void every_size_is_served_and_aligned(void **state)
{
    size_t size, step = test_is_native() ? 7 : 61;
    (void)state;
    for (size = 0; size <= 70000; size += size < 2048 ? 1 : step) use_block(size);
    assert_true(mm_heap_check(heap));
    done();
}

static void powers_of_two_and_their_neighbours(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < INTERESTING; i++) use_block(interesting(i));
    done();
}

static void blocks_do_not_overlap(void **state)
{
    static char *p[INTERESTING];
    size_t       i, n = INTERESTING - 5 * 6; /* to 1 MiB */
    (void)state;
    for (i = 0; i < n; i++) {
        p[i] = (char *)mm_alloc(heap, interesting(i));
        assert_non_null(p[i]);
        test_fill(p[i], interesting(i), (unsigned)i);
    }
    assert_true(mm_heap_check(heap));
    for (i = 0; i < n; i++)
        assert_true(test_filled(p[i], interesting(i), (unsigned)i));
    for (i = 0; i < n; i += 2) mm_free(heap, p[i]);
    for (i = 1; i < n; i += 2)
        assert_true(test_filled(p[i], interesting(i), (unsigned)i));
    for (i = 1; i < n; i += 2) mm_free(heap, p[i]);
    done();
}

static void all_usable_bytes_may_be_used(void **state)
{
    static char *p[INTERESTING];
    size_t       i, n = INTERESTING - 5 * 6;
    (void)state;
    for (i = 0; i < n; i++) {
        p[i] = (char *)mm_alloc(heap, interesting(i));
        assert_non_null(p[i]);
        memset(p[i], (int)(i & 0x7F), mm_usable_size(p[i]));
    }
    assert_true(mm_heap_check(heap));
    for (i = 0; i < n; i++) {
        assert_true(test_all(p[i], mm_usable_size(p[i]), (int)(i & 0x7F)));
        mm_free(heap, p[i]);
    }
    done();
}

static void C5_empty_blocks_are_distinct(void **state)
{
    static void *p[1000];
    size_t       i, k;
    (void)state;
    for (i = 0; i < TEST_COUNT(p); i++) {
        p[i] = i % 4 == 0   ? mm_alloc(heap, 0)
               : i % 4 == 1 ? mm_calloc(heap, 0, 8)
               : i % 4 == 2 ? mm_calloc(heap, 8, 0)
                            : mm_realloc(heap, NULL, 0);
        assert_non_null(p[i]);
        assert_true(test_aligned(p[i], 16));
        for (k = 0; k < i; k++) assert_true(p[k] != p[i]);
    }
    for (i = 0; i < TEST_COUNT(p); i++)
        if (i % 2)
            mm_free(heap, p[i]);
        else
            mm_free_sized(heap, p[i], 0);
    done();
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    mm_free(heap, NULL);
    mm_free_sized(heap, NULL, 0);
    mm_free_sized(heap, NULL, 48);
    mm_free_sized(heap, NULL, 100000);
    assert_int_equal(mm_last_status(heap), MM_OK);
    done();
}

static void sized_free_serves_every_class(void **state)
{
    size_t i, round;
    (void)state;
    for (round = 0; round < 3; round++) {
        static void *p[INTERESTING];
        size_t       n = INTERESTING - 5 * 4;
        for (i = 0; i < n; i++) p[i] = mm_alloc(heap, interesting(i));
        assert_int_equal(test_stats(heap).live_blocks, n);
        for (i = 0; i < n; i++) mm_free_sized(heap, p[i], interesting(i));
        assert_int_equal(test_stats(heap).live_blocks, 0);
        assert_true(mm_heap_check(heap));
    }
    done();
}

static void sized_free_takes_the_last_size(void **state)
{
    size_t i;
    (void)state;
    for (i = 1; i < 600; i++) {
        void *p = mm_alloc(heap, i), *q = mm_calloc(heap, 1, i);
        p = mm_realloc(heap, p, 600 - i);
        assert_non_null(p);
        mm_free_sized(heap, p, 600 - i);
        mm_free_sized(heap, q, i);
        p = mm_alloc_aligned(heap, 600 - i, 64); /* a block of a wrong class shows */
        q = mm_alloc(heap, 600 - i);
        assert_true(test_aligned(p, 64));
        if (test_is_native()) assert_true(mm_usable_size(q) < 2 * (600 - i) + 64);
        mm_free(heap, p);
        mm_free_sized(heap, q, 600 - i);
    }
    assert_true(mm_heap_check(heap));
    done();
}

/* ---------------------------------------------------------------------- calloc */

static void calloc_zeroes_recycled_memory(void **state)
{
    size_t i, n = INTERESTING - 5 * 4;
    int    round;
    (void)state;
    for (i = 0; i < n; i++) {
        size_t size = interesting(i);
        for (round = 0; round < 3; round++) {
            char *p = (char *)mm_calloc(heap, 1, size);
            assert_non_null(p);
            assert_true(test_aligned(p, 16));
            assert_true(test_all(p, size, 0));
            memset(p, 0xA5, size);
            mm_free(heap, p);
        }
    }
    done();
}

static void calloc_multiplies(void **state)
{
    char *p = (char *)mm_calloc(heap, 123, 457);
    (void)state;
    assert_non_null(p);
    assert_true(mm_usable_size(p) >= 123 * 457);
    assert_true(test_all(p, 123 * 457, 0));
    mm_free(heap, p);
    done();
}

static void calloc_sees_overflow(void **state)
{
    static const size_t pairs[][2] = {
        {SIZE_MAX, 2}, {2, SIZE_MAX}, {SIZE_MAX, SIZE_MAX}, {SIZE_MAX / 2 + 1, 2},
        {SIZE_MAX / 16 + 1, 16}, {SIZE_MAX / 65536 + 1, 65536}, {SIZE_MAX / 3, 4}};
    size_t i;
    (void)state;
    for (i = 0; i < TEST_COUNT(pairs); i++) {
        mm_clear_status(heap);
        assert_null(mm_calloc(heap, pairs[i][0], pairs[i][1]));
        assert_int_equal(mm_last_status(heap), MM_ERR_OVERFLOW);
    }
    done();
}

/* --------------------------------------------------------------------- realloc */

static const size_t ladder[] = {
    0, 1, 16, 17, 100, 500, 513, 2000, 2049, 5000, 32768, 32769, 70000,
    TEST_ARENA / 4, TEST_ARENA / 2, TEST_ARENA - 4096, TEST_ARENA, 3 * TEST_ARENA};

static void resize(size_t from, size_t to)
{
    size_t kept = from < to ? from : to;
    char  *p = (char *)mm_alloc(heap, from), *q;
    assert_non_null(p);
    test_fill_ends(p, kept, 77);
    q = (char *)mm_realloc(heap, p, to);
    assert_non_null(q);
    assert_true(test_aligned(q, 16));
    assert_true(mm_usable_size(q) >= to);
    assert_true(test_filled_ends(q, kept, 77));
    assert_int_equal(test_stats(heap).live_blocks, 1);
    memset(q, 1, to);
    mm_free(heap, q);
}

static void realloc_keeps_content_between_all_kinds(void **state)
{
    size_t i, k;
    (void)state;
    for (i = 0; i < TEST_COUNT(ladder); i++)
        for (k = 0; k < TEST_COUNT(ladder); k++) resize(ladder[i], ladder[k]);
    assert_true(mm_heap_check(heap));
    done();
}

static void realloc_among_neighbours(void **state)
{
    static char  *p[64];
    static size_t size[64];
    uint64_t      seed = 5;
    size_t        round, i;
    (void)state;
    memset(p, 0, sizeof p);
    memset(size, 0, sizeof size);
    for (round = 0; round < test_rounds(3000); round++) {
        size_t to = (size_t)(test_random(&seed) % (TEST_ARENA / 3));
        if (test_random(&seed) % 3) to %= 5000;
        i = (size_t)(test_random(&seed) % 64);
        p[i] = (char *)mm_realloc(heap, p[i], to);
        assert_non_null(p[i]);
        assert_true(test_filled(p[i], size[i] < to ? size[i] : to, (unsigned)i));
        test_fill(p[i], to, (unsigned)i);
        size[i] = to;
    }
    assert_true(mm_heap_check(heap));
    for (i = 0; i < 64; i++) {
        assert_true(test_filled(p[i], size[i], (unsigned)i));
        mm_free(heap, p[i]);
    }
    done();
}

static void growing_byte_by_byte(void **state)
{
    char  *p = NULL;
    size_t n;
    (void)state;
    for (n = 1; n <= 3000; n++) {
        p = (char *)mm_realloc(heap, p, n);
        assert_non_null(p);
        p[n - 1] = (char)(n & 0x7F);
    }
    for (n = 1; n <= 3000; n++) assert_int_equal(p[n - 1], (char)(n & 0x7F));
    while (n-- > 0) {
        p = (char *)mm_realloc(heap, p, n);
        assert_non_null(p);
        if (n > 0) assert_int_equal(p[n - 1], (char)(n & 0x7F));
    }
    mm_free(heap, p);
    done();
}

static void realloc_stays_in_place_where_it_says_so(void **state)
{
    size_t i, big;
    (void)state;
    if (!test_is_native()) done();
    TEST_NEEDS_NATIVE(); /* a sanitizer moves every block, to catch stale pointers */
    for (i = 1; i < TEST_COUNT(ladder); i++) {
        char *p = (char *)mm_alloc(heap, ladder[i]);
        if (ladder[i] < TEST_ARENA) { /* a huge one may be remapped */
            assert_ptr_equal(mm_realloc(heap, p, mm_usable_size(p)), p);
            if (ladder[i] > 1100) /* small ones may move: mm_free_sized trusts sizes */
                assert_ptr_equal(mm_realloc(heap, p, (mm_usable_size(p) + 1) / 2), p);
        }
        mm_free(heap, p);
    }
    big = TEST_ARENA / 16;
    for (i = 2; i <= 8; i *= 2) { /* a run grows into what is free behind it */
        char *p = (char *)mm_alloc(heap, big);
        assert_ptr_equal(mm_realloc(heap, p, i * big), p);
        mm_free(heap, p);
    }
    done();
}

static void realloc_to_much_less_gives_memory_back(void **state)
{
    char  *p = (char *)mm_alloc(heap, 8 * TEST_ARENA);
    size_t before = test_stats(heap).live_bytes;
    (void)state;
    memset(p, 7, 8 * TEST_ARENA);
    p = (char *)mm_realloc(heap, p, 100);
    assert_non_null(p);
    assert_true(test_all(p, 100, 7));
    assert_true(test_stats(heap).live_bytes < before / 8);
    mm_free(heap, p);
    done();
}

static void a_failed_realloc_leaves_the_block(void **state)
{
    size_t i;
    (void)state;
    for (i = 0; i < TEST_COUNT(ladder); i++) {
        char *p = (char *)mm_alloc(heap, ladder[i]);
        test_fill_ends(p, ladder[i], 5);
        assert_null(mm_realloc(heap, p, PTRDIFF_MAX));
        assert_null(mm_realloc(heap, p, SIZE_MAX));
        assert_null(mm_realloc(heap, p, SIZE_MAX - 15));
        env.fail_from = env.requests + 1; /* and with the OS refusing */
        env.fail_count = SIZE_MAX;
        assert_null(mm_realloc(heap, p, 20 * TEST_ARENA));
        assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
        env.fail_count = 0;
        assert_true(test_filled_ends(p, ladder[i], 5));
        assert_int_equal(test_stats(heap).live_blocks, 1);
        mm_free(heap, p);
    }
    done();
}

/* --------------------------------------------------------------------- aligned */

static void aligned_blocks_of_every_kind(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 100, 513, 4096, 4097, 40000, 70000,
                                   TEST_MIB, 2 * TEST_MIB + 1, 3 * TEST_MIB};
    size_t              align, i, k;
    void               *p[2];
    (void)state;
    for (align = 1; align <= TEST_ALIGN_MAX; align *= 2) {
        for (i = 0; i < TEST_COUNT(sizes); i++) {
            for (k = 0; k < 2; k++) {
                p[k] = mm_alloc_aligned(heap, sizes[i], align);
                assert_non_null(p[k]);
                assert_true(test_aligned(p[k], align) && test_aligned(p[k], 16));
                assert_true(mm_usable_size(p[k]) >= sizes[i]);
                assert_true(mm_heap_of(p[k]) == heap);
                assert_true(mm_heap_owns(heap, p[k]));
                test_fill(p[k], sizes[i], (unsigned)k);
            }
            assert_true(p[0] != p[1]);
            assert_true(test_filled(p[0], sizes[i], 0));
            assert_int_equal(test_stats(heap).live_blocks, 2);
            mm_free(heap, p[0]);
            assert_true(test_filled(p[1], sizes[i], 1));
            mm_free(heap, p[1]);
        }
        assert_true(mm_heap_check(heap));
    }
    done();
}

static void many_aligned_blocks_side_by_side(void **state)
{
    static char *p[300];
    size_t       i;
    (void)state;
    for (i = 0; i < TEST_COUNT(p); i++) {
        size_t align = (size_t)1 << (4 + i % 12);
        p[i] = (char *)mm_alloc_aligned(heap, 10 + i * 7, align);
        assert_non_null(p[i]);
        assert_true(test_aligned(p[i], align));
        test_fill(p[i], 10 + i * 7, (unsigned)i);
    }
    assert_true(mm_heap_check(heap));
    for (i = 0; i < TEST_COUNT(p); i++) {
        assert_true(test_filled(p[i], 10 + i * 7, (unsigned)i));
        mm_free(heap, p[i]);
    }
    done();
}

static void bad_alignments_are_refused(void **state)
{
    static const size_t bad[] = {0, 3, 6, 24, 48, 1000, TEST_ALIGN_MAX + 1,
                                 2 * TEST_ALIGN_MAX, SIZE_MAX, SIZE_MAX / 2 + 1};
    size_t              i;
    (void)state;
    for (i = 0; i < TEST_COUNT(bad); i++) {
        mm_clear_status(heap);
        assert_null(mm_alloc_aligned(heap, 100, bad[i]));
        assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    }
    done();
}

/* ------------------------------------------------------------------ bad requests */

static void check_refused(const void *p)
{
    mm_status status = mm_last_status(heap);
    assert_null(p);
    assert_true(status == MM_ERR_NOMEM || status == MM_ERR_OVERFLOW);
    assert_true(strlen(mm_last_message(heap)) > 0);
    mm_clear_status(heap);
}

static void absurd_sizes_fail_cleanly(void **state)
{
    static const size_t absurd[] = {
        SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 7, SIZE_MAX - 15, SIZE_MAX - 16,
        SIZE_MAX - 4095, SIZE_MAX - 4096, SIZE_MAX - 4097, SIZE_MAX - TEST_ARENA,
        SIZE_MAX - 2 * TEST_ARENA + 1, PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1,
        (size_t)PTRDIFF_MAX - 4096, TEST_TOO_MUCH};
    size_t i, align;
    char  *p = (char *)mm_alloc(heap, 100);
    (void)state;
    test_fill(p, 100, 4);
    for (i = 0; i < TEST_COUNT(absurd); i++) {
        check_refused(mm_alloc(heap, absurd[i]));
        check_refused(mm_calloc(heap, 1, absurd[i]));
        check_refused(mm_realloc(heap, p, absurd[i]));
        check_refused(mm_realloc(heap, NULL, absurd[i]));
        for (align = 16; align <= TEST_ALIGN_MAX; align *= 16)
            check_refused(mm_alloc_aligned(heap, absurd[i], align));
        assert_true(test_filled(p, 100, 4));
        assert_int_equal(test_stats(heap).live_blocks, 1);
    }
    assert_true(mm_heap_check(heap));
    mm_free(heap, p);
    done();
}

static void out_of_memory_is_survived(void **state)
{
    char  *p = (char *)mm_alloc(heap, 1000), *q;
    size_t before;
    (void)state;
    test_fill(p, 1000, 8);
    before = env.requests;
    env.fail_from = before + 1;
    env.fail_count = SIZE_MAX;
    check_refused(mm_alloc(heap, 2 * TEST_ARENA));
    assert_true(env.failed > 0);
    q = (char *)mm_alloc(heap, 1000); /* from the arena at hand */
    assert_non_null(q);
    env.fail_count = 0;
    mm_free(heap, q);
    q = (char *)mm_alloc(heap, 2 * TEST_ARENA);
    assert_non_null(q);
    mm_free(heap, q);
    assert_true(test_filled(p, 1000, 8));
    mm_free(heap, p);
    done();
}

static void every_debug_level_serves(void **state)
{
    int    level;
    size_t i;
    (void)state;
    done();
    for (level = 1; level <= 3; level++) {
        mm_heap_desc desc = test_desc(&env);
        memset(&env, 0, sizeof env);
        desc.debug = level;
        heap = mm_heap_create(&desc);
        assert_non_null(heap);
        for (i = 0; i < TEST_COUNT(ladder) - 1; i++) {
            resize(ladder[i], ladder[i + 1]);
            resize(ladder[i + 1], ladder[i]);
            use_block(ladder[i]);
            mm_free_sized(heap, mm_alloc(heap, ladder[i]), ladder[i]);
            mm_free(heap, mm_alloc_aligned(heap, ladder[i], 4096));
        }
        done();
    }
}

/* ------------------------------------------------------------- back to the pools */

#define BLOCKS 3001 /* a prime, so that every stride meets all of them */

/* The i-th to be freed, in one of many orders. */
enum { ASCENDING, DESCENDING, STRIDED, BY_POOLS, SWAPPED, SHUFFLED, ORDERS };

static size_t order[BLOCKS];

static void order_make(int how, uint64_t seed)
{
    size_t i, k, other;
    for (i = 0; i < BLOCKS; i++) {
        order[i] = i;
        if (how == DESCENDING) order[i] = BLOCKS - 1 - i;
        if (how == STRIDED) order[i] = i * (64 + seed) % BLOCKS;
        if (how == BY_POOLS) order[i] = i * (BLOCKS / 3 + 1) % BLOCKS; /* in turn */
        if (how == SWAPPED) order[i] = (i ^ 1) < BLOCKS ? i ^ 1 : i;
    }
    for (i = BLOCKS; how == SHUFFLED && --i > 0;) {
        k = test_random(&seed) % (i + 1);
        other = order[k];
        order[k] = order[i];
        order[i] = other;
    }
}

static size_t live_in_classes(void)
{
    mm_class_stats class_stats;
    size_t         i, live = 0;
    for (i = 0; mm_heap_get_class_stats(heap, i, &class_stats); i++)
        live += class_stats.live_blocks;
    return live;
}

static void free_in_order(size_t size, int how, size_t flush_after)
{
    static char *p[BLOCKS];
    size_t       i, k;
    order_make(how, 11 + size);
    for (i = 0; i < BLOCKS; i++) {
        p[i] = (char *)mm_alloc(heap, size);
        assert_non_null(p[i]);
        test_fill_ends(p[i], size, (unsigned)i);
    }
    for (k = 0; k < BLOCKS / 2; k++) {
        mm_free(heap, p[order[k]]);
        if (k % flush_after == 0) assert_true(mm_heap_check(heap)); /* flushes */
    }
    assert_int_equal(test_stats(heap).live_blocks, BLOCKS - BLOCKS / 2);
    assert_true(mm_heap_check(heap));
    assert_int_equal(live_in_classes(), BLOCKS - BLOCKS / 2);
    for (k = BLOCKS / 2; k < BLOCKS; k++)
        assert_true(test_filled_ends(p[order[k]], size, (unsigned)order[k]));
    for (k = 0; k < BLOCKS / 2; k++) { /* what is free, and nothing else, comes again */
        p[order[k]] = (char *)mm_alloc(heap, size);
        assert_non_null(p[order[k]]);
        test_fill_ends(p[order[k]], size, (unsigned)order[k]);
    }
    for (i = 0; i < BLOCKS; i++) assert_true(test_filled_ends(p[i], size, (unsigned)i));
    for (k = 0; k < BLOCKS; k++) mm_free(heap, p[order[k]]);
    assert_true(mm_heap_check(heap));
    assert_int_equal(test_stats(heap).live_blocks, 0);
    assert_int_equal(live_in_classes(), 0);
    mm_heap_purge(heap);
    if (test_is_native()) assert_int_equal(test_stats(heap).pools, 0);
}

static void blocks_go_back_in_any_order(void **state)
{
    static const size_t sizes[] = {16, 48, 112, 1000, 3000, 20000};
    size_t i;
    int    how;
    (void)state;
    for (i = 0; i < TEST_COUNT(sizes); i++)
        for (how = 0; how < ORDERS; how++) {
            free_in_order(sizes[i], how, SIZE_MAX);
            if (sizes[i] <= 112) free_in_order(sizes[i], how, 50 + (size_t)how);
        }
    done();
}

/* Without debugging a block that is freed twice goes unseen until it reaches its pool
   the second time. */
typedef struct Twice {
    size_t size, count, first; /* so many blocks; this one is freed twice */
    enum { AT_ONCE, APART, LATE } when; /* the second time: in the same flush, when the
                                  first has reached the pool, after all the others */
} Twice;

static void free_twice(void *argument)
{
    const Twice *twice = (const Twice *)argument;
    char        *p[500], *again[500];
    size_t       i, k, same = 0;
    env.echo = true;
    for (i = 0; i < twice->count; i++) p[i] = (char *)mm_alloc(heap, twice->size);
    test_announce(p[twice->first]);
    if (twice->when == APART) mm_free(heap, p[twice->first]);
    if (twice->when == APART) mm_heap_check(heap);
    for (i = 0; i < twice->count; i++) {
        mm_free(heap, p[i]);
        if (i == twice->first && twice->when == AT_ONCE) mm_free(heap, p[i]);
        if (i == twice->count / 2 && twice->when == LATE) mm_heap_check(heap);
    }
    if (twice->when == LATE) mm_free(heap, p[twice->first]); /* its pool goes first */
    mm_heap_check(heap); /* flushes */
    for (i = 0; i < twice->count; i++) again[i] = (char *)mm_alloc(heap, twice->size);
    for (i = 0; i < twice->count; i++)
        for (k = 0; k < i; k++) same += again[i] == again[k];
    for (i = 0; i < twice->count; i++) mm_free(heap, again[i]);
    if (same == 0 && mm_heap_check(heap) && test_stats(heap).live_blocks == 0)
        printf("usable\n");
    if (env.logged[MM_LOG_BUG] == 1) printf("once\n");
}

static size_t occurrences(const char *text, const char *word)
{
    size_t n = 0;
    for (; (text = strstr(text, word)) != NULL; text++) n++;
    return n;
}

static void a_block_freed_twice_is_found_when_it_goes_back(void **state)
{
    static const Twice cases[] = {
        {112, 10, 3, AT_ONCE},  {112, 10, 3, APART},   {112, 10, 0, AT_ONCE},
        {112, 10, 9, LATE},     {48, 100, 70, AT_ONCE}, {48, 100, 70, APART},
        {3000, 60, 0, AT_ONCE}, {3000, 60, 25, AT_ONCE}, {3000, 60, 59, APART},
        {3000, 26, 0, LATE},    {3000, 26, 25, LATE},  {16, 64, 63, AT_ONCE},
        {16, 1, 0, AT_ONCE},    {16, 1, 0, APART}};
    static test_child child;
    size_t i;
    (void)state;
    TEST_NEEDS_NATIVE(); /* else it is seen at once */
    for (i = 0; i < TEST_COUNT(cases); i++) {
        Twice twice = cases[i];
        test_run(&child, free_twice, &twice);
        assert_int_equal(occurrences(child.output, "was freed twice") +
                             occurrences(child.output, "freed before"), 1);
        assert_true(test_names_planted(&child));
#ifdef NDEBUG
        assert_int_equal(child.exit_code, 0); /* told once, and all is well */
        assert_true(test_says(&child, "once"));
        assert_true(test_says(&child, "usable"));
#else
        assert_int_equal(child.signal, SIGABRT);
#endif
    }
    done();
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_size_is_served_and_aligned),
        TEST(powers_of_two_and_their_neighbours),
        TEST(blocks_do_not_overlap),
        TEST(all_usable_bytes_may_be_used),
        TEST(C5_empty_blocks_are_distinct),
        TEST(freeing_nothing_is_fine),
        TEST(sized_free_serves_every_class),
        TEST(sized_free_takes_the_last_size),
        TEST(calloc_zeroes_recycled_memory),
        TEST(calloc_multiplies),
        TEST(calloc_sees_overflow),
        TEST(realloc_keeps_content_between_all_kinds),
        TEST(realloc_among_neighbours),
        TEST(growing_byte_by_byte),
        TEST(realloc_stays_in_place_where_it_says_so),
        TEST(realloc_to_much_less_gives_memory_back),
        TEST(a_failed_realloc_leaves_the_block),
        TEST(aligned_blocks_of_every_kind),
        TEST(many_aligned_blocks_side_by_side),
        TEST(bad_alignments_are_refused),
        TEST(absurd_sizes_fail_cleanly),
        TEST(out_of_memory_is_survived),
        TEST(every_debug_level_serves),
        TEST(blocks_go_back_in_any_order),
        TEST(a_block_freed_twice_is_found_when_it_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
