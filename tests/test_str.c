/* test_str.c - the hash, strings, and interning: one object per content, mortal
   entries, dead strings that are not freed yet, bad input, out of memory, and random
   runs against a plain array. Y1 and Y3 are CPython's behaviours of sys.intern. */
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

static mm_intern_stats intern_stats(const mm_heap *heap)
{
    mm_intern_stats stats;
    memset(&stats, 0xEE, sizeof stats);
    mm_intern_get_stats(heap, &stats);
    return stats;
}

/* The text as a plain pointer: it goes on past the struct. */
static char *text_of(mm_str *s)
{
    return s->text;
}

/* --- the hash --- */

static void test_product_without_128_bits(void **state)
{
    uint64_t random = 1, edge[] = {0, 1, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
    size_t i;
    (void)state;
    for (i = 0; i < 100000; i++) {
        uint64_t a = i < 25 ? edge[i / 5] : test_random(&random), b, high, low, h2, l2;
        b = i < 25 ? edge[i % 5] : test_random(&random) >> (i % 64);
        mm__multiply(a, b, &high, &low);
        mm__multiply_long(a, b, &h2, &l2);
        assert_true(high == h2 && low == l2);
    }
}

/* Only the bytes count, wherever they stand, and none beyond them is read. */
static void test_hash_is_of_the_bytes(void **state)
{
    size_t n, offset;
    (void)state;
    for (n = 0; n < 200; n++) {
        char *exact = (char *)malloc(n + (n == 0)), moved[256];
        uint64_t hash;
        assert_non_null(exact);
        test_fill(exact, n, 3);
        hash = mm__hash_bytes(42, exact, n);
        for (offset = 0; offset < 16; offset++) {
            memset(moved, (int)offset, sizeof moved);
            memcpy(moved + offset, exact, n);
            assert_true(mm__hash_bytes(42, moved + offset, n) == hash);
        }
        assert_true(mm__hash_bytes(43, exact, n) != hash);
        free(exact);
    }
}

/* Every input bit and every seed bit changes about half of the result. */
static void test_hash_mixes_every_bit(void **state)
{
    size_t lengths[] = {1, 3, 4, 7, 8, 12, 16, 17, 40, 48, 49, 100, 161}, l, bit, round;
    (void)state;
    for (l = 0; l < TEST_COUNT(lengths); l++) {
        for (bit = 0; bit < 8 * lengths[l] + 64; bit++) {
            size_t changed = 0;
            for (round = 0; round < 32; round++) {
                unsigned char text[200];
                uint64_t seed = 77 * round, first, second;
                test_fill(text, lengths[l], (unsigned)round * 5);
                first = mm__hash_bytes(seed, text, lengths[l]);
                if (bit < 64)
                    seed ^= UINT64_C(1) << bit;
                else
                    text[(bit - 64) / 8] ^= (unsigned char)(1u << (bit % 8));
                second = mm__hash_bytes(seed, text, lengths[l]);
                for (first ^= second; first != 0; first &= first - 1) changed++;
            }
            assert_in_range(changed, 32 * 24, 32 * 40); /* 10 sigmas about 32 */
        }
    }
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Similar names, as programs have them: no two with the same hash, and no part of
   the table fuller than chance makes it. */
static void test_hash_spreads_similar_names(void **state)
{
    enum { N = 200000, BUCKETS = 1 << 12 };
    static uint64_t hashes[N];
    static unsigned low[BUCKETS];
    const char *formats[] = {"%u", "lib%u-dev", "node_%08u", "%u.................%u"};
    size_t f, i;
    (void)state;
    for (f = 0; f < TEST_COUNT(formats); f++) {
        memset(low, 0, sizeof low);
        for (i = 0; i < N; i++) {
            char text[64];
            int n = f == 0   ? snprintf(text, sizeof text, "%u", (unsigned)i)
                    : f == 1 ? snprintf(text, sizeof text, "lib%u-dev", (unsigned)i)
                    : f == 2 ? snprintf(text, sizeof text, "node_%08u", (unsigned)i)
                             : snprintf(text, sizeof text, "%u..............%u",
                                        (unsigned)i, (unsigned)(i * 7));
            hashes[i] = mm__hash_bytes(5, text, (size_t)n);
            low[hashes[i] % BUCKETS]++;
        }
        for (i = 0; i < BUCKETS; i++) assert_in_range(low[i], 8, 110); /* mean 49 */
        qsort(hashes, N, sizeof hashes[0], compare_u64);
        for (i = 1; i < N; i++) assert_true(hashes[i] != hashes[i - 1]);
    }
}

/* Keys made to cancel a known constant must not: both factors carry the seed. */
static void test_hash_cannot_be_blinded(void **state)
{
    const uint64_t known[] = {mm__hash_a, mm__hash_b, mm__hash_c, mm__hash_d, 0};
    size_t k, at;
    (void)state;
    for (k = 0; k < TEST_COUNT(known); k++) {
        for (at = 0; at + 16 <= 64; at += 8) {
            unsigned char text[64];
            uint64_t first;
            memset(text, 0, sizeof text);
            memcpy(text + at, &known[k], 8);
            first = mm__hash_bytes(99, text, sizeof text);
            text[at + 8] ^= 1;
            assert_true(mm__hash_bytes(99, text, sizeof text) != first);
            first = mm__hash_bytes(99, text + at, 16);
            text[at + 12] ^= 1;
            assert_true(mm__hash_bytes(99, text + at, 16) != first);
        }
    }
}

/* --- strings --- */

static void test_new(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    size_t n;
    (void)state;
    for (n = 0; n < 3000; n += n < 100 ? 1 : 97) {
        char *text = (char *)malloc(n + 1);
        mm_str *s;
        test_fill(text, n, 4);
        s = mm_str_new(heap, text, n);
        assert_non_null(s);
        assert_int_equal(s->length, n);
        assert_true(test_filled(s->text, n, 4));
        assert_int_equal(text_of(s)[n], 0);
        assert_int_equal(mm_refcount(s), 1);
        assert_string_equal(mm_type_name(s), "str");
        mm_decref(s);
        s = mm_str_new(heap, NULL, n);
        assert_true(test_all(s->text, n + 1, 0));
        mm_decref(s);
        free(text);
    }
    test_heap_done(heap, &env);
}

static void test_length_limit(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    volatile size_t huge = ((size_t)1 << 31) + 1;
    (void)state;
    assert_null(mm_str_new(heap, NULL, huge));
    assert_int_equal(mm_last_status(heap), MM_ERR_OVERFLOW);
    mm_clear_status(heap);
    assert_null(mm_intern(heap, NULL, huge));
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    huge = SIZE_MAX;
    mm_clear_status(heap);
    assert_null(mm_str_new(heap, "x", huge));
    assert_int_equal(mm_last_status(heap), MM_ERR_OVERFLOW);
    test_heap_done(heap, &env);
}

static void test_format(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_str *s = mm_str_format(heap, "%d %s", 7, "seven");
    (void)state;
    assert_string_equal(s->text, "7 seven");
    assert_int_equal(s->length, 7);
    mm_decref(s);
    s = mm_str_format(heap, "%s", "");
    assert_int_equal(s->length, 0);
    mm_decref(s);
    s = mm_str_format(heap, "%070000d", 1);
    assert_int_equal(s->length, 70000);
    assert_true(test_all(s->text, 69999, '0'));
    mm_decref(s);
    test_heap_done(heap, &env);
}

static void test_equal_and_compare(void **state)
{
    static const struct {
        const char *text;
        size_t length;
    } order[] = {{"", 0},
                 {"\0", 1},
                 {"\0a", 2},
                 {"A", 1},
                 {"a", 1},
                 {"a\0", 2},
                 {"a\0b", 3},
                 {"aa", 2},
                 {"ab", 2},
                 {"abcdefgh", 8},
                 {"abcdefghi", 9},
                 {"abcdefghij", 10},
                 {"abcdefghijklmnopq", 17},
                 {"abcdefghijklmnopqr", 18},
                 {"b", 1},
                 {"\xff", 1}};
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_str *a[TEST_COUNT(order)], *b[TEST_COUNT(order)];
    size_t i, j;
    (void)state;
    for (i = 0; i < TEST_COUNT(order); i++) {
        a[i] = mm_str_new(heap, order[i].text, order[i].length);
        b[i] = mm_str_new(heap, order[i].text, order[i].length);
    }
    for (i = 0; i < TEST_COUNT(order); i++)
        for (j = 0; j < TEST_COUNT(order); j++) {
            int sign = mm_str_compare(a[i], b[j]);
            assert_int_equal((sign > 0) - (sign < 0), (i > j) - (i < j));
            assert_int_equal(mm_str_equal(a[i], b[j]), i == j);
            assert_int_equal(mm_str_hash(a[i]) == mm_str_hash(b[j]), i == j);
        }
    assert_true(mm_str_equal(NULL, NULL));
    assert_false(mm_str_equal(a[0], NULL));
    assert_true(mm_str_hash(a[0]) != 0);
    for (i = 0; i < TEST_COUNT(order); i++) {
        mm_decref(a[i]);
        mm_decref(b[i]);
    }
    test_heap_done(heap, &env);
}

/* --- interning --- */

/* Y1: the first equal string that still lives; Y3: the table keeps nothing alive. */
static void test_intern_gives_one_object(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    char text[] = "Depends";
    mm_str *a = mm_intern(heap, text, 7), *b, *empty;
    (void)state;
    text[0] = 'd'; /* the string is a copy */
    assert_string_equal(a->text, "Depends");
    b = mm_intern(heap, "Depends", 7);
    assert_ptr_equal(a, b);
    assert_int_equal(mm_refcount(a), 2);
    empty = mm_intern(heap, text, 0);
    assert_ptr_not_equal(empty, a);
    b = mm_intern_find(heap, "", 0);
    assert_ptr_equal(b, empty);
    mm_decref(b);
    mm_decref(empty);
    assert_null(mm_intern_find(heap, "", 0));
    b = a;
    mm_decref(a);
    assert_ptr_equal(mm_intern_find(heap, "Depends", 7), b);
    mm_decref(b);
    mm_decref(b);
    assert_null(mm_intern_find(heap, "Depends", 7));
    assert_int_equal(intern_stats(heap).strings, 0);
    test_heap_done(heap, &env);
}

static void test_intern_any_bytes(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_str *s[9];
    size_t n, m;
    (void)state;
    for (n = 0; n < 9; n++) s[n] = mm_intern(heap, "\0\0\0\0\0\0\0\0", n);
    for (n = 0; n < 9; n++) {
        for (m = 0; m < n; m++) assert_ptr_not_equal(s[n], s[m]);
        assert_ptr_equal(mm_intern(heap, "\0\0\0\0\0\0\0\0", n), s[n]);
        assert_int_equal(s[n]->length, n);
        mm_decref(s[n]);
    }
    assert_true(mm_heap_check(heap));
    for (n = 0; n < 9; n++) mm_decref(s[n]);
    s[0] = mm_intern(heap, NULL, 0);
    assert_ptr_equal(mm_intern(heap, "x", 0), s[0]);
    mm_decref(s[0]);
    mm_decref(s[0]);
    assert_null(mm_intern(heap, NULL, 1));
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    assert_null(mm_intern_find(heap, NULL, 1));
    test_heap_done(heap, &env);
}

/* Equal up to one byte, at every place, for lengths on both sides of each branch. */
static void test_intern_tells_contents_apart(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    size_t n, i;
    (void)state;
    for (n = 1; n < 70; n++) {
        char text[70];
        mm_str *base;
        memset(text, 'a', sizeof text);
        base = mm_intern(heap, text, n);
        for (i = 0; i < n; i++) {
            mm_str *other;
            text[i] = 'b';
            assert_null(mm_intern_find(heap, text, n));
            assert_false(mm__same_bytes(text, base->text, n));
            other = mm_intern(heap, text, n);
            assert_ptr_not_equal(other, base);
            mm_decref(other);
            text[i] = 'a';
            assert_true(mm__same_bytes(text, base->text, n));
        }
        mm_decref(base);
    }
    test_heap_done(heap, &env);
}

static void test_intern_str(void **state)
{
    test_env env, env2;
    mm_heap *heap = test_heap(&env), *other = test_heap(&env2);
    mm_str *a = mm_str_new(heap, "name", 4), *b, *foreign;
    (void)state;
    assert_ptr_equal(mm_intern_str(heap, a), a); /* first: its argument */
    assert_int_equal(mm_refcount(a), 1);
    assert_ptr_equal(mm_intern_str(heap, a), a);
    assert_int_equal(mm_refcount(a), 1);
    b = mm_str_new(heap, "name", 4);
    mm_incref(b);
    mm_incref(a);
    assert_ptr_equal(mm_intern_str(heap, b), a); /* stole one of b, gave one of a */
    assert_int_equal(mm_refcount(b), 1);
    assert_int_equal(mm_refcount(a), 3);
    mm_decref(a);
    mm_decref(a);
    mm_decref(a);
    assert_ptr_equal(mm_intern_str(heap, b), b); /* a is dead: now b is the one */
    foreign = mm_str_new(other, "name", 4);
    assert_null(mm_intern_str(heap, foreign));
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    assert_int_equal(mm_refcount(foreign), 1);
    assert_null(mm_intern_str(heap, NULL));
    mm_decref(foreign);
    mm_decref(b);
    test_heap_done(heap, &env);
    test_heap_done(other, &env2);
}

static void test_intern_statistics(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_intern_stats stats = intern_stats(heap);
    mm_str *a, *b;
    (void)state;
    assert_int_equal(stats.strings + stats.bytes + stats.hits + stats.misses, 0);
    assert_int_equal(stats.table_bytes, 0);
    a = mm_intern(heap, "abc", 3);
    b = mm_intern(heap, "defgh", 5);
    mm_decref(mm_intern(heap, "abc", 3));
    mm_decref(mm_intern(heap, "abc", 3));
    mm_decref(mm_intern_find(heap, "abc", 3)); /* is no mm_intern */
    stats = intern_stats(heap);
    assert_int_equal(stats.strings, 2);
    assert_int_equal(stats.bytes, 8);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.misses, 2);
    assert_int_equal(stats.saved_bytes, 6);
    assert_true(stats.table_bytes > 0);
    mm_decref(b);
    assert_int_equal(intern_stats(heap).bytes, 3);
    mm_decref(a);
    mm_heap_purge(heap);
    assert_int_equal(intern_stats(heap).table_bytes, 0);
    assert_int_equal(intern_stats(heap).hits, 2);
    mm_decref(mm_intern(heap, "abc", 3));
    test_heap_done(heap, &env);
}

static void test_immortal_strings_stay(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_str *a = mm_intern(heap, "forever", 7), *b;
    size_t i;
    (void)state;
    mm_immortalize(a);
    for (i = 0; i < 100; i++) mm_decref(a);
    b = mm_intern(heap, "forever", 7);
    assert_ptr_equal(a, b);
    mm_decref(b);
    assert_int_equal(intern_stats(heap).strings, 1);
    assert_true(mm_heap_check(heap));
    mm_heap_destroy(heap);
    assert_int_equal(env.logged[MM_LOG_BUG], 0);
    test_env_balanced(&env);
}

/* Strings that the user still holds at the end are reported, the table is not. */
static void test_destroy_with_strings_held(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    (void)state;
    mm_intern(heap, "held", 4);
    mm_intern(heap, "held too", 8);
    mm_str_new(heap, "and not interned", 16);
    assert_int_equal(mm_heap_destroy(heap), 3);
    assert_non_null(test_leak_of(&env, "str"));
    assert_null(test_leak_of(&env, "raw memory"));
    test_env_balanced(&env);
}

/* A string that died but is not disposed of yet is replaced, and its disposal leaves
   the new one alone: keeps S3. */
static void test_dead_string_is_not_handed_out(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_str *dead = mm_intern(heap, "phoenix", 7), *fresh;
    mm_header *header = mm__header_of(dead);
    (void)state;
    header->flags = (uint8_t)(header->flags | MM__F_DEAD);
    assert_null(mm_intern_find(heap, "phoenix", 7));
    fresh = mm_intern(heap, "phoenix", 7);
    assert_ptr_not_equal(fresh, dead);
    assert_int_equal(intern_stats(heap).strings, 1);
    assert_int_equal(intern_stats(heap).bytes, 7);
    header->flags = (uint8_t)(header->flags & ~MM__F_DEAD);
    mm_decref(dead);
    assert_ptr_equal(mm_intern_find(heap, "phoenix", 7), fresh);
    mm_decref(fresh);
    mm_decref(fresh);
    assert_int_equal(intern_stats(heap).strings, 0);
    test_heap_done(heap, &env);
}

typedef struct Names {
    size_t count;
    mm_str **name;
} Names;
MM_TYPE(Names, MM_REF_VECTOR(Names, name, count))

/* The same where it happens: a large structure is freed in parts, and what it held
   is interned again between the parts. */
static void test_intern_while_freeing(void **state)
{
    enum { N = 20000 };
    static mm_str *kept[N];
    test_env env;
    mm_heap *heap = test_heap(&env);
    Names *names = mm_new(heap, Names);
    size_t i, rounds = 0;
    char text[32];
    (void)state;
    names->name = (mm_str **)mm_calloc(heap, N, sizeof *names->name);
    names->count = N;
    for (i = 0; i < N; i++) {
        snprintf(text, sizeof text, "name %zu", i);
        names->name[i] = mm_intern(heap, text, strlen(text));
    }
    mm_decref(names);
    for (i = 0; i < N; i++) {
        size_t back = N - 1 - i;
        snprintf(text, sizeof text, "name %zu", back);
        kept[back] = mm_intern(heap, text, strlen(text));
        assert_string_equal(kept[back]->text, text);
        assert_true(mm_refcount(kept[back]) >= 1);
        if (i % 100 == 0) mm_gc_step(heap, 1);
    }
    while (mm_gc_step(heap, 100) && rounds < 1000000) rounds++;
    assert_true(mm_heap_check(heap));
    for (i = 0; i < N; i++) {
        snprintf(text, sizeof text, "name %zu", i);
        assert_string_equal(kept[i]->text, text);
        assert_int_equal(mm_refcount(kept[i]), 1);
        assert_ptr_equal(mm_intern_find(heap, text, strlen(text)), kept[i]);
        mm_decref(kept[i]);
    }
    assert_int_equal(intern_stats(heap).strings, N);
    for (i = 0; i < N; i++) mm_decref(kept[i]);
    assert_int_equal(intern_stats(heap).strings, 0);
    test_heap_done(heap, &env);
}

/* A wave of strings: the table grows with it and shrinks after it. */
static void test_table_grows_and_shrinks(void **state)
{
    size_t n = test_rounds(100000), i;
    mm_str **all = (mm_str **)calloc(n, sizeof *all);
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_intern_stats stats;
    char text[32];
    (void)state;
    assert_non_null(all);
    for (i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%zu", i * 7919);
        all[i] = mm_intern(heap, text, strlen(text));
        assert_non_null(all[i]);
    }
    stats = intern_stats(heap);
    assert_int_equal(stats.strings, n);
    assert_true(stats.table_bytes <= 3 * 16 * n + 1024);
    for (i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%zu", i * 7919);
        assert_ptr_equal(mm_intern_find(heap, text, strlen(text)), all[i]);
        mm_decref(all[i]);
    }
    assert_true(mm_heap_check(heap));
    for (i = 0; i < n; i++) mm_decref(all[i]);
    assert_int_equal(intern_stats(heap).strings, 0);
    for (i = 0; i < 10; i++) mm_decref(mm_intern(heap, "again", 5));
    assert_true(intern_stats(heap).table_bytes < 32 * 1024);
    mm_heap_purge(heap);
    assert_int_equal(intern_stats(heap).table_bytes, 0);
    free(all);
    test_heap_done(heap, &env);
}

/* The table alone, with hashes that collide and run over its end: what is in is
   found, what is out is not, in any order of adding and removing. */
static void test_table_with_colliding_hashes(void **state)
{
    enum { N = 120 };
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm__heap *h = mm__H(heap);
    mm_str *all[N];
    uint64_t random = 5;
    size_t i, step, in = 0;
    (void)state;
    for (i = 0; i < N; i++) {
        all[i] = mm_str_new(heap, (const char *)&i, sizeof i);
        all[i]->hash = 1 + test_random(&random) % (i % 2 ? 4 : 300);
        if (i % 3 == 0) all[i]->hash = UINT64_MAX - i % 5;
    }
    for (step = 0; step < test_rounds(20000); step++) {
        mm_str *s = all[test_random(&random) % N];
        if (s->interned) {
            mm__intern_remove(&h->intern, s);
            in--;
        } else {
            assert_true(mm__intern_reserve(h));
            mm__intern_add(&h->intern, s);
            in++;
        }
        assert_int_equal(h->intern.count, in);
        for (i = 0; i < N; i++)
            assert_int_equal(mm__intern_index(&h->intern, all[i]) != SIZE_MAX,
                             all[i]->interned);
    }
    for (i = 0; i < N; i++) {
        if (all[i]->interned) mm__intern_remove(&h->intern, all[i]);
        all[i]->hash = 0;
        mm_decref(all[i]);
    }
    test_heap_done(heap, &env);
}

/* Random calls against an array that says what each content's object and count are. */
static void test_random_against_an_array(void **state)
{
    enum { N = 300 };
    static struct {
        char text[40];
        size_t length, count;
        mm_str *s;
    } oracle[N];
    test_env env;
    mm_heap *heap = test_heap(&env);
    uint64_t random = 11;
    size_t step, i, strings = 0;
    (void)state;
    for (i = 0; i < N; i++) {
        oracle[i].length =
            (size_t)snprintf(oracle[i].text, 40, "%zu%.*s", i, (int)(i % 30),
                             "..............................");
        oracle[i].count = 0;
    }
    for (step = 0; step < test_rounds(200000); step++) {
        mm_str *s;
        i = test_random(&random) % (1 + (step / 5000 * 37) % N);
        switch (test_random(&random) % 4) {
        case 0: s = mm_intern(heap, oracle[i].text, oracle[i].length); break;
        case 1:
            s = mm_str_new(heap, oracle[i].text, oracle[i].length);
            s = mm_intern_str(heap, s);
            break;
        case 2:
            s = mm_intern_find(heap, oracle[i].text, oracle[i].length);
            assert_int_equal(s != NULL, oracle[i].count > 0);
            break;
        default:
            s = NULL;
            if (oracle[i].count == 0) break;
            mm_decref(oracle[i].s);
            if (--oracle[i].count == 0) strings--;
        }
        if (s != NULL) {
            if (oracle[i].count++ == 0)
                strings++;
            else
                assert_ptr_equal(s, oracle[i].s);
            oracle[i].s = s;
            assert_int_equal(mm_refcount(s), oracle[i].count);
            assert_memory_equal(s->text, oracle[i].text, oracle[i].length + 1);
        }
        assert_int_equal(intern_stats(heap).strings, strings);
        if (step % 5000 == 0) assert_true(mm_heap_check(heap));
    }
    for (i = 0; i < N; i++)
        while (oracle[i].count > 0) mm_decref(oracle[i].s), oracle[i].count--;
    assert_int_equal(intern_stats(heap).strings, 0);
    assert_int_equal(intern_stats(heap).bytes, 0);
    test_heap_done(heap, &env);
}

/* --- the check itself --- */

static void test_check_finds_a_changed_string(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_str *s = mm_intern(heap, "constant", 8);
    (void)state;
    assert_true(mm_heap_check(heap));
    text_of(s)[3] = 'X';
    assert_false(mm_heap_check(heap));
    text_of(s)[3] = 's';
    assert_true(mm_heap_check(heap));
    text_of(s)[8] = 'X';
    assert_false(mm_heap_check(heap));
    text_of(s)[8] = 0;
    assert_true(env.logged[MM_LOG_BUG] > 0);
    env.logged[MM_LOG_BUG] = 0;
    mm_decref(s);
    test_heap_done(heap, &env);
}

/* --- out of memory --- */

/* Take all memory the heap can give: blocks of every size, and strings. */
typedef struct Ballast {
    struct Ballast *next;
} Ballast;

static Ballast *fill_heap(mm_heap *heap, test_env *env, mm_str **strings)
{
    Ballast *list = NULL, *p;
    size_t size;
    mm_str *s;
    env->fail_from = env->requests + 1;
    env->fail_count = SIZE_MAX;
    for (size = TEST_ARENA / 2; size >= 16; size = size > 512 ? size / 2 : size - 16)
        while ((p = (Ballast *)mm_alloc(heap, size)) != NULL) p->next = list, list = p;
    for (size = 0; size < 48; size += 16)
        while ((s = mm_str_new(heap, NULL, size)) != NULL) {
            s->hash = (uintptr_t)*strings; /* a list through a field not in use */
            *strings = s;
        }
    return list;
}

static void drop_strings(mm_str *list)
{
    while (list != NULL) {
        mm_str *next = (mm_str *)(uintptr_t)list->hash;
        list->hash = 0;
        mm_decref(list);
        list = next;
    }
}

/* The heap is full; memory comes back a block at a time until interning works.
   Before that nothing changes, after it everything is as usual. */
static void test_full_heap(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_str *strings = NULL, *s = NULL, *own, *first, *all[200];
    Ballast *ballast, *next;
    size_t i, failed = 0;
    char text[40];
    (void)state;
    first = mm_intern(heap, "first", 5);
    own = mm_str_new(heap, "own", 3);
    ballast = fill_heap(heap, &env, &strings);
    assert_non_null(ballast);
    for (i = 0; i < TEST_COUNT(all); i++) all[i] = NULL;
    for (i = 0; i < TEST_COUNT(all); i += s != NULL) {
        snprintf(text, sizeof text, "a longer name, number %zu", i);
        mm_clear_status(heap);
        s = all[i] = mm_intern(heap, text, strlen(text));
        assert_ptr_equal(mm_intern(heap, "first", 5), first); /* needs no memory */
        mm_decref(first);
        if (s != NULL) continue;
        failed++;
        assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
        assert_int_equal(intern_stats(heap).strings, i + 1);
        assert_null(mm_intern_find(heap, text, strlen(text)));
        if (ballast == NULL) {
            assert_true(env.fail_count != 0);
            env.fail_count = 0;
            continue;
        }
        next = ballast->next;
        mm_free(heap, ballast);
        ballast = next;
    }
    assert_true(failed > 0);
    assert_ptr_equal(mm_intern_str(heap, own), own);
    drop_strings(strings); /* their hashes are not hashes */
    assert_true(mm_heap_check(heap));
    while (ballast != NULL)
        next = ballast->next, mm_free(heap, ballast), ballast = next;
    for (i = 0; i < TEST_COUNT(all); i++) mm_decref(all[i]);
    mm_decref(first);
    mm_decref(own);
    assert_int_equal(intern_stats(heap).strings, 0);
    test_heap_done(heap, &env);
}

/* The k-th request to the system and all after it fail, for every k: strings of 64
   KiB, so that there are many, until one run succeeds. */
static void test_every_request_fails_once(void **state)
{
    enum { N = 400 };
    size_t k, n = 0, size = TEST_ARENA / 64;
    char *text = (char *)malloc(size);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', size);
    for (k = 2; n < N; k++) {
        test_env env;
        mm_heap *heap = test_heap(&env);
        mm_str *all[N];
        size_t i;
        env.fail_from = k;
        env.fail_count = SIZE_MAX;
        for (n = 0; n < N; n++) {
            memcpy(text, &n, sizeof n);
            all[n] = mm_intern(heap, text, size);
            if (all[n] == NULL) break;
        }
        assert_int_equal(intern_stats(heap).strings, n);
        if (n < N) assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
        if (n < N) assert_null(mm_str_new(heap, NULL, 16 * TEST_ARENA));
        env.fail_count = 0;
        for (i = 0; i < n; i++) {
            memcpy(text, &i, sizeof i);
            assert_ptr_equal(mm_intern(heap, text, size), all[i]);
            mm_decref(all[i]);
            mm_decref(all[i]);
        }
        test_heap_done(heap, &env);
        assert_true(k < 1000);
    }
    free(text);
}

/* An emergency collection runs a finalizer that interns the very content that is
   being interned: still one object. */
typedef struct Meddler {
    struct Meddler *self;
    mm_heap *heap;
    Ballast *ballast;
} Meddler;
MM_TYPE(Meddler, MM_REF(Meddler, self))

static mm_str *meddled;

static bool meddler_finalize(void *object)
{
    Meddler *m = (Meddler *)object;
    while (m->ballast != NULL) {
        Ballast *next = m->ballast->next;
        mm_free(m->heap, m->ballast);
        m->ballast = next;
    }
    meddled = mm_intern(m->heap, "a name of two makers", 20);
    return true;
}

static void test_finalizer_interns_meanwhile(void **state)
{
    test_env env;
    mm_heap *heap;
    Meddler *m;
    mm_str *strings = NULL, *s;
    (void)state;
    TEST_NEEDS_NATIVE(); /* how much fits is another matter between red zones */
    heap = test_heap(&env);
    mm_typeof(Meddler)->finalize = meddler_finalize;
    meddled = NULL;
    mm_gc_disable(heap);
    mm_free(heap, mm_alloc(heap, 16)); /* so that there is something to fill */
    m = mm_new(heap, Meddler);
    m->heap = heap;
    mm_set(&m->self, m);
    m->ballast = fill_heap(heap, &env, &strings);
    mm_decref(m); /* garbage now, but nobody has looked */
    s = mm_intern(heap, "a name of two makers", 20);
    assert_non_null(s);
    assert_non_null(meddled);
    assert_ptr_equal(s, meddled);
    assert_int_equal(mm_refcount(s), 2);
    assert_int_equal(intern_stats(heap).strings, 1);
    mm_decref(s);
    mm_decref(meddled);
    drop_strings(strings);
    test_heap_done(heap, &env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_product_without_128_bits),
        cmocka_unit_test(test_hash_is_of_the_bytes),
        cmocka_unit_test(test_hash_mixes_every_bit),
        cmocka_unit_test(test_hash_spreads_similar_names),
        cmocka_unit_test(test_hash_cannot_be_blinded),
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_length_limit),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_equal_and_compare),
        cmocka_unit_test(test_intern_gives_one_object),
        cmocka_unit_test(test_intern_any_bytes),
        cmocka_unit_test(test_intern_tells_contents_apart),
        cmocka_unit_test(test_intern_str),
        cmocka_unit_test(test_intern_statistics),
        cmocka_unit_test(test_immortal_strings_stay),
        cmocka_unit_test(test_destroy_with_strings_held),
        cmocka_unit_test(test_dead_string_is_not_handed_out),
        cmocka_unit_test(test_intern_while_freeing),
        cmocka_unit_test(test_table_grows_and_shrinks),
        cmocka_unit_test(test_table_with_colliding_hashes),
        cmocka_unit_test(test_random_against_an_array),
        cmocka_unit_test(test_check_finds_a_changed_string),
        cmocka_unit_test(test_full_heap),
        cmocka_unit_test(test_every_request_fails_once),
        cmocka_unit_test(test_finalizer_interns_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
