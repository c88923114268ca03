/* test_region.c - bump allocation: alignment, buffers, marks, growing in place,
   statistics, sizes out of range, out of memory, and a random run that compares the
   region with a plain list of what it should hold. */
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

static size_t rounded(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

static size_t live_blocks(mm_heap *heap)
{
    return test_stats(heap).live_blocks;
}

static void test_empty_region_allocates_nothing(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    size_t before = live_blocks(heap);
    mm_region region;
    (void)state;
    mm_region_init(&region, heap);
    assert_int_equal(live_blocks(heap), before);
    assert_int_equal(mm_region_used(&region), 0);
    assert_int_equal(mm_region_high_water(&region), 0);
    mm_region_reset(&region);
    mm_region_rewind(&region, mm_region_mark_here(&region));
    mm_region_free(&region);
    mm_region_free(&region);
    assert_int_equal(live_blocks(heap), before);
    test_heap_done(heap, &env);
}

static void test_blocks_are_aligned_and_apart(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    char *blocks[3000];
    size_t i, expected = 0;
    mm_region region;
    (void)state;
    mm_region_init(&region, heap);
    for (i = 0; i < TEST_COUNT(blocks); i++) {
        blocks[i] = (char *)mm_region_alloc(&region, i % 301);
        assert_non_null(blocks[i]);
        assert_true(test_aligned(blocks[i], 16));
        test_fill(blocks[i], i % 301, (unsigned)i);
        expected += rounded(i % 301);
    }
    for (i = 0; i < TEST_COUNT(blocks); i++)
        assert_true(test_filled(blocks[i], i % 301, (unsigned)i));
    assert_int_equal(mm_region_used(&region), expected);
    mm_region_free(&region);
    assert_int_equal(mm_region_used(&region), 0);
    assert_int_equal(mm_region_high_water(&region), expected);
    test_heap_done(heap, &env);
}

/* Every offset and many sizes of a caller's buffer, without a heap behind it. */
static void test_buffer_alone(void **state)
{
    char memory[16 + 200 + 16];
    size_t offset, size;
    (void)state;
    for (offset = 0; offset < 16; offset++) {
        for (size = 0; size <= 200; size++) {
            char *buffer = memory + 16 + offset - 16, *p;
            size_t skip = (size_t)(0 - (uintptr_t)buffer) & 15, count = 0;
            mm_region region;
            memset(memory, 0x5A, sizeof memory);
            mm_region_init_buffer(&region, NULL, buffer, size);
            while ((p = (char *)mm_region_alloc(&region, 9)) != NULL) {
                assert_true(test_aligned(p, 16));
                assert_true(p >= buffer && p + 9 <= buffer + size);
                memset(p, 0xA5, 9);
                count++;
            }
            assert_int_equal(count, size < skip ? 0 : (size - skip) / 16);
            assert_int_equal(mm_region_used(&region), 16 * count);
            assert_true(test_all(memory, (size_t)(buffer - memory), 0x5A));
            assert_true(test_all(
                buffer + size, sizeof memory - (size_t)(buffer - memory) - size, 0x5A));
            mm_region_free(&region);
            assert_int_equal(mm_region_used(&region), 0);
        }
    }
}

static void test_buffer_without_heap_fails_cleanly(void **state)
{
    _Alignas(16) char buffer[64];
    volatile size_t huge = SIZE_MAX; /* not for the compiler to see through */
    mm_region region;
    char *p;
    (void)state;
    mm_region_init_buffer(&region, NULL, buffer, sizeof buffer);
    assert_null(mm_region_alloc(&region, 65));
    assert_null(mm_region_alloc(&region, huge));
    assert_null(mm_region_array(&region, uint64_t, SIZE_MAX / 4));
    assert_null(mm_region_printf(&region, "%0100d", 1));
    p = (char *)mm_region_alloc(&region, 64);
    assert_ptr_equal(p, buffer);
    assert_null(mm_region_strdup(&region, "x"));
    assert_null(mm_region_grow(&region, p, 64, 65));
    assert_int_equal(mm_region_used(&region), 64);
    mm_region_reset(&region);
    assert_ptr_equal(mm_region_alloc(&region, 1), buffer);
    mm_region_free(&region);
    mm_region_init_buffer(&region, NULL, NULL, 0);
    assert_null(mm_region_alloc(&region, 0));
    mm_region_free(&region);
}

static void test_buffer_then_heap(void **state)
{
    _Alignas(16) char buffer[128];
    test_env env;
    mm_heap *heap = test_heap(&env);
    size_t before = live_blocks(heap);
    mm_region region;
    mm_region_mark mark;
    char *p;
    (void)state;
    mm_region_init_buffer(&region, heap, buffer, sizeof buffer);
    assert_ptr_equal(mm_region_alloc(&region, 100), buffer);
    assert_int_equal(live_blocks(heap), before);
    mark = mm_region_mark_here(&region);
    p = (char *)mm_region_alloc(&region, 17);
    assert_true(p < buffer || p >= buffer + sizeof buffer);
    assert_int_equal(live_blocks(heap), before + 1);
    assert_int_equal(mm_region_used(&region), 112 + 32);
    mm_region_rewind(&region, mark);
    assert_int_equal(live_blocks(heap), before);
    assert_int_equal(mm_region_used(&region), 112);
    assert_ptr_equal(mm_region_alloc(&region, 16), buffer + 112);
    assert_non_null(mm_region_alloc(&region, 100000));
    mm_region_free(&region);
    assert_int_equal(live_blocks(heap), before);
    assert_ptr_equal(mm_region_alloc(&region, 16), buffer);
    mm_region_free(&region);
    test_heap_done(heap, &env);
}

/* Zeroed on the fast path, on the slow one, when grown in place and when copied. */
static void test_zero(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_region region;
    mm_region_mark mark;
    size_t round;
    (void)state;
    mm_region_init(&region, heap);
    region.zero = true;
    mark = mm_region_mark_here(&region);
    for (round = 0; round < 3; round++) {
        size_t i;
        for (i = 0; i < 2000; i++) {
            char *p = (char *)mm_region_alloc(&region, 40), *q;
            assert_true(test_all(p, 40, 0));
            memset(p, 0xEE, 40);
            p = (char *)mm_region_grow(&region, p, 40, 90);
            assert_true(test_all(p, 40, 0xEE) && test_all(p + 40, 50, 0));
            memset(p, 0xEE, 90);
            q = (char *)mm_region_alloc(&region, 7);
            assert_true(test_all(q, 7, 0));
            p = (char *)mm_region_grow(&region, p, 90, 120);
            assert_true(test_all(p, 90, 0xEE) && test_all(p + 90, 30, 0));
            memset(p, 0xEE, 120);
        }
        if (round == 0)
            mm_region_rewind(&region, mark);
        else
            mm_region_reset(&region);
    }
    mm_region_free(&region);
    test_heap_done(heap, &env);
}

static void test_grow(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_region region;
    char *p, *q;
    (void)state;
    mm_region_init(&region, heap);
    p = (char *)mm_region_grow(&region, NULL, 0, 10);
    assert_non_null(p);
    test_fill(p, 10, 1);
    assert_ptr_equal(mm_region_grow(&region, p, 10, 1000),
                     p); /* the newest: in place */
    assert_int_equal(mm_region_used(&region), 1008);
    assert_ptr_equal(mm_region_grow(&region, p, 1000, 5), p); /* and back */
    assert_int_equal(mm_region_used(&region), 16);
    assert_int_equal(mm_region_high_water(&region), 1008);
    q = (char *)mm_region_alloc(&region, 16);
    assert_ptr_equal(q, p + 16);
    assert_ptr_equal(mm_region_grow(&region, p, 10, 10), p); /* older, but no larger */
    assert_true(mm_region_grow(&region, p, 10, 100) != p);   /* a copy */
    assert_true(test_filled(p, 5, 1));
    p = (char *)mm_region_alloc(&region, 50);
    test_fill(p, 50, 2);
    q = (char *)mm_region_grow(&region, p, 50, 300000); /* past the chunk: a copy */
    assert_true(q != p && test_filled(q, 50, 2) && test_filled(p, 50, 2));
    p = (char *)mm_region_alloc(&region, 0);
    assert_ptr_equal(mm_region_grow(&region, p, 0, 0), p);
    mm_region_free(&region);
    test_heap_done(heap, &env);
}

static void test_marks_nest(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_region region;
    mm_region_mark marks[60];
    size_t used[60], blocks[60], i;
    char *first;
    (void)state;
    mm_region_init(&region, heap);
    first = (char *)mm_region_alloc(&region, 100);
    test_fill(first, 100, 9);
    for (i = 0; i < TEST_COUNT(marks); i++) {
        marks[i] = mm_region_mark_here(&region);
        used[i] = mm_region_used(&region);
        blocks[i] = live_blocks(heap);
        assert_non_null(mm_region_alloc(&region, 1000 * i));
    }
    for (i = TEST_COUNT(marks); i-- > 0;) {
        if (i % 3 == 1) continue; /* some are passed over */
        mm_region_rewind(&region, marks[i]);
        mm_region_rewind(&region, marks[i]);
        assert_int_equal(mm_region_used(&region), used[i]);
        assert_int_equal(live_blocks(heap), blocks[i]);
        assert_true(test_filled(first, 100, 9));
    }
    mm_region_free(&region);
    test_heap_done(heap, &env);
}

static void body_stale_mark(void *argument)
{
    mm_heap *heap = mm_heap_create(NULL);
    mm_region region;
    mm_region_mark old, stale;
    mm_region_init(&region, heap);
    mm_region_alloc(&region, 10);
    old = mm_region_mark_here(&region);
    mm_region_alloc(&region, *(size_t *)argument);
    stale = mm_region_mark_here(&region);
    mm_region_rewind(&region, old);
    printf("so far so good\n");
    mm_region_rewind(&region, stale);
    printf("used %zu\n", mm_region_used(&region));
    mm_region_free(&region);
    mm_heap_destroy(heap);
}

/* A mark of the same chunk, and one of a chunk that is gone. */
static void test_stale_mark_is_a_bug(void **state)
{
    size_t sizes[] = {100, 100000}, i;
    (void)state;
    for (i = 0; i < TEST_COUNT(sizes); i++) {
        test_child child;
        test_run(&child, body_stale_mark, &sizes[i]);
        assert_true(test_says(&child, "so far so good"));
        assert_true(test_says(&child, "rewind"));
#ifdef NDEBUG
        assert_int_equal(child.exit_code, 0);
        assert_true(test_says(&child, "used 16"));
#else
        assert_int_equal(child.signal, SIGABRT);
#endif
    }
}

static void test_reset_keeps_the_largest_chunk(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    size_t before = live_blocks(heap), i;
    mm_region region;
    char *big;
    (void)state;
    mm_region_init(&region, heap);
    for (i = 0; i < 100; i++) mm_region_alloc(&region, 1000);
    big = (char *)mm_region_alloc(&region, 200000);
    for (i = 0; i < 100; i++) mm_region_alloc(&region, 1000);
    mm_region_reset(&region);
    assert_int_equal(live_blocks(heap), before + 1);
    assert_int_equal(mm_region_used(&region), 0);
    for (i = 0; i < 10; i++) {
        assert_ptr_equal(mm_region_alloc(&region, 200000), big);
        mm_region_reset(&region);
        assert_int_equal(live_blocks(heap), before + 1);
    }
    mm_region_free(&region);
    assert_int_equal(live_blocks(heap), before);
    test_heap_done(heap, &env);
}

static void test_high_water(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_region region;
    mm_region_mark mark;
    (void)state;
    mm_region_init(&region, heap);
    mm_region_alloc(&region, 160);
    mark = mm_region_mark_here(&region);
    mm_region_alloc(&region, 100000);
    assert_int_equal(mm_region_high_water(&region), 100160);
    mm_region_rewind(&region, mark);
    mm_region_alloc(&region, 1600);
    assert_int_equal(mm_region_used(&region), 1760);
    assert_int_equal(mm_region_high_water(&region), 100160);
    mm_region_reset(&region);
    mm_region_alloc(&region, 200000);
    assert_int_equal(mm_region_high_water(&region), 200000);
    mm_region_free(&region);
    assert_int_equal(mm_region_high_water(&region), 200000);
    test_heap_done(heap, &env);
}

static void test_sizes_out_of_range(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    volatile size_t huge; /* not for the compiler to see through */
    mm_region region;
    char *p;
    (void)state;
    mm_region_init(&region, heap);
    p = (char *)mm_region_alloc(&region, 16);
    for (huge = SIZE_MAX; huge > SIZE_MAX - 5 * sizeof(void *); huge--) {
        mm_clear_status(heap);
        assert_null(mm_region_alloc(&region, huge));
        assert_int_equal(mm_last_status(heap), MM_ERR_OVERFLOW);
        mm_clear_status(heap);
        assert_null(mm_region_grow(&region, p, 16, huge));
        assert_int_equal(mm_last_status(heap), MM_ERR_OVERFLOW);
    }
    assert_null(mm_region_alloc(&region, SIZE_MAX / 2));
    assert_true(mm_last_status(heap) != MM_OK);
    mm_clear_status(heap);
    assert_null(mm_region_array(&region, uint64_t, SIZE_MAX / 8 + 1));
    assert_int_equal(mm_last_status(heap), MM_ERR_OVERFLOW);
    assert_true(strlen(mm_last_message(heap)) > 0);
    assert_non_null(mm_region_array(&region, uint64_t, 0));
    assert_int_equal(mm_region_used(&region), 16);
    mm_region_free(&region);
    test_heap_done(heap, &env);
}

static void test_text(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_region region;
    char *text, *copy;
    (void)state;
    mm_region_init(&region, heap);
    assert_string_equal(mm_region_strdup(&region, ""), "");
    assert_string_equal(mm_region_strdup(&region, "hello"), "hello");
    assert_string_equal(mm_region_printf(&region, "%s", ""), "");
    assert_string_equal(mm_region_printf(&region, "%d-%s-%c", 42, "x", 'y'), "42-x-y");
    text = mm_region_printf(&region, "%0100000d", 7);
    assert_int_equal(strlen(text), 100000);
    assert_true(test_all(text, 99999, '0') && text[99999] == '7');
    copy = mm_region_strdup(&region, text);
    assert_true(copy != text);
    assert_string_equal(copy, text);
    mm_region_free(&region);
    test_heap_done(heap, &env);
}

/* The k-th request to the system and all after it fail, for every k until all goes
   well: what was handed out stays whole, and the region works again afterwards. */
static void test_out_of_memory(void **state)
{
    size_t k, reached = 0, size = TEST_ARENA / 16;
    (void)state;
    for (k = 2; k < 40 && reached < 150; k++) {
        test_env env;
        mm_heap *heap = test_heap(&env);
        char *blocks[150];
        size_t i, n = 0, used;
        mm_region region;
        env.fail_from = k;
        env.fail_count = SIZE_MAX;
        mm_region_init(&region, heap);
        while (n < TEST_COUNT(blocks) &&
               (blocks[n] = (char *)mm_region_alloc(&region, size)) != NULL)
            test_fill(blocks[n], size, (unsigned)n), n++;
        used = mm_region_used(&region);
        assert_int_equal(used, n * size);
        if (n > 0 && n < TEST_COUNT(blocks)) {
            assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
            assert_null(mm_region_grow(&region, blocks[n - 1], size, 32 * TEST_ARENA));
            assert_null(mm_region_printf(&region, "%0*d", (int)TEST_ARENA, 1));
            assert_int_equal(mm_region_used(&region), used);
        }
        for (i = 0; i < n; i++) assert_true(test_filled(blocks[i], size, (unsigned)i));
        env.fail_count = 0;
        assert_non_null(mm_region_alloc(&region, size));
        mm_region_free(&region);
        test_heap_done(heap, &env);
        reached = n;
    }
    assert_int_equal(reached, 150);
}

/* --- a random run against a plain list --- */

enum { SHADOW = 4000, SHADOW_MARKS = 50 };

typedef struct shadow {
    mm_region region;
    struct {
        char *p;
        size_t size;
        unsigned seed;
    } block[SHADOW];
    size_t blocks, used, high_water;
    struct {
        mm_region_mark mark;
        size_t blocks, used;
    } mark[SHADOW_MARKS];
    size_t marks;
    uint64_t random;
} shadow;

static size_t shadow_size(shadow *s)
{
    uint64_t r = test_random(&s->random);
    if (r % 200 == 0) return 1 + (size_t)(r >> 20) % 150000;
    return 1 + (size_t)(r >> 20) % (r % 20 == 1 ? 5000 : 100); /* 0: blocks coincide */
}

static void shadow_use(shadow *s, size_t used)
{
    s->used = used;
    if (used > s->high_water) s->high_water = used;
}

static void shadow_alloc(shadow *s)
{
    size_t i = s->blocks, size = shadow_size(s);
    if (i == SHADOW) return;
    s->block[i].p = (char *)mm_region_alloc(&s->region, size);
    assert_non_null(s->block[i].p);
    if (s->region.zero) assert_true(test_all(s->block[i].p, size, 0));
    s->block[i].size = size;
    s->block[i].seed = (unsigned)test_random(&s->random);
    test_fill(s->block[i].p, size, s->block[i].seed);
    s->blocks++;
    shadow_use(s, s->used + rounded(size));
}

/* A block below a mark may be grown by copying only: in place it would move with
   the rewind. The newest block of all is grown only if no mark stands behind it. */
static void shadow_grow(shadow *s)
{
    size_t first = s->marks > 0 ? s->mark[s->marks - 1].blocks : 0, i, size, kept, old;
    char *p;
    if (s->blocks == first) return;
    i = test_random(&s->random) % 2
            ? s->blocks - 1
            : first + test_random(&s->random) % (s->blocks - first);
    size = shadow_size(s);
    old = s->block[i].size;
    kept = old < size ? old : size;
    p = (char *)mm_region_grow(&s->region, s->block[i].p, old, size);
    assert_non_null(p);
    assert_true(test_filled(p, kept, s->block[i].seed));
    if (s->region.zero && size > old) assert_true(test_all(p + old, size - old, 0));
    if (p != s->block[i].p) {
        assert_true(size > old);
        shadow_use(s, s->used + rounded(size)); /* the old place stays used */
    } else if (mm_region_used(&s->region) != s->used) {
        assert_int_equal(i, s->blocks - 1); /* only the newest changes in place */
        shadow_use(s, s->used - rounded(old) + rounded(size));
    } else if (size < old) {
        size = old; /* an older block stays as large as it was */
    }
    s->block[i].p = p;
    s->block[i].size = size;
    test_fill(p, size, s->block[i].seed);
    if (p + rounded(size) == s->region.cursor && i != s->blocks - 1) {
        s->block[SHADOW - 1] = s->block[i]; /* it is the newest now */
        memmove(&s->block[i], &s->block[i + 1],
                (s->blocks - 1 - i) * sizeof s->block[0]);
        s->block[s->blocks - 1] = s->block[SHADOW - 1];
    }
}

static void shadow_mark(shadow *s)
{
    if (s->marks == SHADOW_MARKS) return;
    s->mark[s->marks].mark = mm_region_mark_here(&s->region);
    s->mark[s->marks].blocks = s->blocks;
    s->mark[s->marks++].used = s->used;
}

static void shadow_rewind(shadow *s)
{
    size_t i;
    if (s->marks == 0) return;
    i = test_random(&s->random) % s->marks;
    mm_region_rewind(&s->region, s->mark[i].mark);
    s->blocks = s->mark[i].blocks;
    s->used = s->mark[i].used;
    s->marks = i;
}

static void shadow_clear(shadow *s)
{
    if (test_random(&s->random) % 2)
        mm_region_reset(&s->region);
    else
        mm_region_free(&s->region);
    s->blocks = s->used = s->marks = 0;
    s->region.zero = test_random(&s->random) % 2;
}

static void shadow_verify(const shadow *s)
{
    size_t i;
    for (i = 0; i < s->blocks; i++)
        assert_true(test_filled(s->block[i].p, s->block[i].size, s->block[i].seed));
}

static void test_random_against_a_list(void **state)
{
    static shadow s;
    static char buffer[3000];
    test_env env;
    mm_heap *heap = test_heap(&env);
    size_t seed, step;
    (void)state;
    for (seed = 0; seed < 20; seed++) {
        memset(&s, 0, sizeof s);
        s.random = seed;
        if (seed % 2)
            mm_region_init_buffer(&s.region, heap, buffer + seed, sizeof buffer - seed);
        else
            mm_region_init(&s.region, heap);
        for (step = 0; step < test_rounds(5000); step++) {
            uint64_t what = test_random(&s.random) % 1000;
            if (what < 700)
                shadow_alloc(&s);
            else if (what < 900)
                shadow_grow(&s);
            else if (what < 960)
                shadow_mark(&s);
            else if (what < 997)
                shadow_rewind(&s);
            else
                shadow_clear(&s);
            assert_int_equal(mm_region_used(&s.region), s.used);
            assert_int_equal(mm_region_high_water(&s.region), s.high_water);
            assert_true(mm__check_region(&s.region));
            if (step % 100 == 0) shadow_verify(&s);
        }
        shadow_verify(&s);
        mm_region_free(&s.region);
    }
    test_heap_done(heap, &env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_region_allocates_nothing),
        cmocka_unit_test(test_blocks_are_aligned_and_apart),
        cmocka_unit_test(test_buffer_alone),
        cmocka_unit_test(test_buffer_without_heap_fails_cleanly),
        cmocka_unit_test(test_buffer_then_heap),
        cmocka_unit_test(test_zero),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_marks_nest),
        cmocka_unit_test(test_stale_mark_is_a_bug),
        cmocka_unit_test(test_reset_keeps_the_largest_chunk),
        cmocka_unit_test(test_high_water),
        cmocka_unit_test(test_sizes_out_of_range),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_random_against_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
