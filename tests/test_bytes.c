/* test_bytes.c - spans, byte buffers and views: Python's slicing against the rule
   written out, searching against the obvious loop, buffers kept alive by their
   views, large buffers, bad input, out of memory. */
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

static mm_span span_of(const char *ptr, size_t len)
{
    mm_span span;
    span.ptr = ptr;
    span.len = len;
    return span;
}

/* The data as a plain pointer: it goes on past the struct. */
static char *data_of(mm_bytes *bytes)
{
    return bytes->data;
}

/* --- spans --- */

static void test_span_of(void **state)
{
    mm_span span = mm_span_of("hello");
    (void)state;
    assert_int_equal(span.len, 5);
    assert_memory_equal(span.ptr, "hello", 5);
    assert_int_equal(mm_span_of("").len, 0);
    span = mm_span_of(NULL);
    assert_null(span.ptr);
    assert_int_equal(span.len, 0);
}

/* The bytes that text[start:stop] has, by the rule: i is in the slice if it is not
   below start and below stop, negative positions counted from the end. */
static void check_slice(const char *text, size_t length, ptrdiff_t start,
                        ptrdiff_t stop)
{
    mm_span slice = mm_span_slice(span_of(text, length), start, stop);
    ptrdiff_t n = (ptrdiff_t)length, i;
    size_t count = 0;
    if (start < 0) start = start < -n ? 0 : start + n;
    if (stop < 0) stop = stop < -n ? 0 : stop + n;
    for (i = 0; i < n; i++) {
        if (i < start || i >= stop) continue;
        assert_true(count < slice.len && slice.ptr[count] == text[i]);
        assert_ptr_equal(slice.ptr + count, text + i);
        count++;
    }
    assert_int_equal(slice.len, count);
    assert_true(slice.ptr >= text && slice.ptr + slice.len <= text + length);
}

static void test_slices_are_pythons(void **state)
{
    const char *text = "0123456789";
    const ptrdiff_t remote[] = {PTRDIFF_MIN, PTRDIFF_MIN + 1, -1000, 1000, PTRDIFF_MAX};
    ptrdiff_t start, stop;
    size_t length, i, j;
    (void)state;
    for (length = 0; length <= 10; length++) {
        for (start = -13; start <= 13; start++) {
            for (stop = -13; stop <= 13; stop++) check_slice(text, length, start, stop);
            for (i = 0; i < TEST_COUNT(remote); i++) {
                check_slice(text, length, start, remote[i]);
                check_slice(text, length, remote[i], start);
            }
        }
        for (i = 0; i < TEST_COUNT(remote); i++)
            for (j = 0; j < TEST_COUNT(remote); j++)
                check_slice(text, length, remote[i], remote[j]);
    }
    assert_int_equal(mm_span_slice(span_of(NULL, 0), -3, 9).len, 0);
}

static void test_span_equal(void **state)
{
    (void)state;
    assert_true(mm_span_equal(mm_span_of("abc"), span_of("abcd", 3)));
    assert_false(mm_span_equal(mm_span_of("abc"), mm_span_of("abd")));
    assert_false(mm_span_equal(mm_span_of("abc"), mm_span_of("ab")));
    assert_false(mm_span_equal(span_of("a\0b", 3), span_of("a\0c", 3)));
    assert_true(mm_span_equal(mm_span_of(""), mm_span_of(NULL)));
    assert_true(mm_span_equal(mm_span_of(NULL), mm_span_of(NULL)));
}

static ptrdiff_t find_slowly(mm_span span, mm_span needle)
{
    size_t i;
    for (i = 0; i + needle.len <= span.len; i++)
        if (needle.len == 0 || memcmp(span.ptr + i, needle.ptr, needle.len) == 0)
            return (ptrdiff_t)i;
    return -1;
}

/* Few letters and short texts: many near misses. */
static void test_find(void **state)
{
    uint64_t random = 3;
    size_t round, i, rounds = test_rounds(100000);
    char text[40], needle[8];
    (void)state;
    for (round = 0; round < rounds; round++) {
        mm_span a = span_of(text, test_random(&random) % (sizeof text + 1));
        mm_span b = span_of(needle, test_random(&random) % (sizeof needle + 1));
        for (i = 0; i < a.len; i++) text[i] = "ab\xff"[test_random(&random) % 3];
        for (i = 0; i < b.len; i++) needle[i] = "ab\xff"[test_random(&random) % 3];
        assert_int_equal(mm_span_find(a, b), find_slowly(a, b));
    }
    assert_int_equal(mm_span_find(mm_span_of(NULL), mm_span_of(NULL)), 0);
    assert_int_equal(mm_span_find(mm_span_of(NULL), mm_span_of("a")), -1);
    assert_int_equal(mm_span_find(mm_span_of("abc"), mm_span_of("")), 0);
    assert_int_equal(mm_span_find(span_of("ab\0cd", 5), span_of("\0c", 2)), 2);
}

/* --- bytes --- */

static void test_bytes_new(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    size_t n;
    (void)state;
    for (n = 0; n < 70000; n += n < 300 ? 1 : 997) {
        char *data = (char *)malloc(n + 1);
        mm_bytes *bytes;
        test_fill(data, n, 6);
        bytes = mm_bytes_new(heap, data, n);
        assert_non_null(bytes);
        assert_int_equal(bytes->length, n);
        assert_true(test_filled(bytes->data, n, 6));
        assert_int_equal(data_of(bytes)[n], 0);
        assert_ptr_equal(mm_bytes_span(bytes).ptr, bytes->data);
        assert_int_equal(mm_bytes_span(bytes).len, n);
        assert_string_equal(mm_type_name(bytes), "bytes");
        mm_decref(bytes);
        bytes = mm_bytes_new(heap, NULL, n);
        assert_true(test_all(bytes->data, n + 1, 0));
        mm_decref(bytes);
        free(data);
    }
    test_heap_done(heap, &env);
}

static void test_large_bytes(void **state)
{
    size_t size = (size_t)50 << 20, line = 1000;
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_bytes *bytes = mm_bytes_new(heap, NULL, size);
    mm_view *all, *last;
    char *data;
    (void)state;
    assert_non_null(bytes);
    assert_true(test_all(bytes->data, line, 0));
    data = bytes->data;
    data[size - 1] = 'z';
    all = mm_view_new(bytes);
    last = mm_view_slice(all, -1, PTRDIFF_MAX);
    mm_decref(bytes);
    mm_decref(all);
    assert_int_equal(last->length, 1);
    assert_int_equal(last->data[0], 'z');
    assert_int_equal(mm_span_find(mm_bytes_span(bytes), mm_span_of("z")), size - 1);
    assert_true(mm_heap_check(heap));
    mm_decref(last);
    assert_true(test_stats(heap).live_bytes < size);
    test_heap_done(heap, &env);
}

static void test_too_large(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    volatile size_t size;
    (void)state;
    for (size = SIZE_MAX; size > SIZE_MAX - 50; size--) {
        mm_clear_status(heap);
        assert_null(mm_bytes_new(heap, "x", size));
        assert_int_equal(mm_last_status(heap), MM_ERR_OVERFLOW);
    }
    size = PTRDIFF_MAX;
    mm_clear_status(heap);
    assert_null(mm_bytes_new(heap, "x", size));
    assert_int_equal(mm_last_status(heap), MM_ERR_OVERFLOW);
    size = TEST_TOO_MUCH;
    mm_clear_status(heap);
    assert_null(mm_bytes_new(heap, NULL, size));
    assert_true(mm_last_status(heap) != MM_OK);
    test_heap_done(heap, &env);
}

/* --- views --- */

/* M3: a view of a view refers to the exporter; each keeps it alive by itself. */
static void test_views_keep_the_buffer(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_bytes *bytes = mm_bytes_new(heap, "Package: base-files", 19);
    mm_view *all = mm_view_new(bytes), *name, *base;
    (void)state;
    assert_ptr_equal(all->base, bytes);
    assert_ptr_equal(all->data, bytes->data);
    assert_int_equal(all->length, 19);
    assert_int_equal(mm_refcount(bytes), 2);
    name = mm_view_slice(all, 9, PTRDIFF_MAX);
    base = mm_view_slice(name, 0, -6);
    assert_ptr_equal(base->base, bytes);
    assert_int_equal(mm_refcount(bytes), 4);
    assert_int_equal(mm_refcount(name), 1);
    mm_decref(bytes);
    mm_decref(all);
    mm_decref(name);
    assert_true(mm_span_equal(mm_view_span(base), mm_span_of("base")));
    assert_false(mm_gc_is_tracked(base));
    assert_int_equal(mm_refcount(bytes), 1);
    assert_true(mm_heap_check(heap));
    mm_decref(base);
    assert_int_equal(test_stats(heap).objects, 0);
    test_heap_done(heap, &env);
}

static void test_view_of_a_string(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_str *s = mm_intern(heap, "a\0b", 3);
    mm_view *all = mm_view_new(s), *part = mm_view_slice(all, 1, 1);
    (void)state;
    assert_true(mm_span_equal(mm_view_span(all), span_of("a\0b", 3)));
    assert_int_equal(part->length, 0);
    mm_decref(all);
    mm_decref(s);
    assert_ptr_equal(mm_intern_find(heap, "a\0b", 3), s); /* the empty view holds it */
    mm_decref(s);
    mm_decref(part);
    assert_null(mm_intern_find(heap, "a\0b", 3));
    test_heap_done(heap, &env);
}

static void test_view_equal(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_bytes *a = mm_bytes_new(heap, "one two one", 11);
    mm_str *b = mm_str_new(heap, "one", 3);
    mm_view *all = mm_view_new(a), *first = mm_view_slice(all, 0, 3);
    mm_view *last = mm_view_slice(all, -3, 11), *other = mm_view_new(b);
    (void)state;
    assert_true(mm_view_equal(first, last));
    assert_true(mm_view_equal(first, other));
    assert_false(mm_view_equal(all, other));
    assert_true(mm_view_equal(NULL, NULL));
    assert_false(mm_view_equal(NULL, other));
    mm_decref(a);
    mm_decref(b);
    mm_decref(all);
    mm_decref(first);
    mm_decref(last);
    mm_decref(other);
    test_heap_done(heap, &env);
}

typedef struct Thing {
    int value;
} Thing;
MM_TYPE_LEAF(Thing)

static void test_no_exporter(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    Thing *thing = mm_new(heap, Thing);
    mm_bytes *bytes = mm_bytes_new(heap, "x", 1);
    mm_view *view = mm_view_new(bytes);
    (void)state;
    assert_null(mm_view_new(NULL));
    assert_null(mm_view_new(thing));
    assert_int_equal(mm_last_status(heap), MM_ERR_TYPE);
    assert_non_null(strstr(mm_last_message(heap), "Thing"));
    mm_clear_status(heap);
    assert_null(mm_view_new(view));
    assert_int_equal(mm_last_status(heap), MM_ERR_TYPE);
    assert_int_equal(mm_refcount(thing), 1);
    mm_decref(thing);
    mm_decref(view);
    mm_decref(bytes);
    test_heap_done(heap, &env);
}

/* Random slices of slices against offsets into the text. */
static void test_random_slices(void **state)
{
    enum { N = 200 };
    static struct {
        mm_view *view;
        size_t at, length;
    } live[N];
    char text[500];
    test_env env;
    mm_heap *heap = test_heap(&env);
    uint64_t random = 21;
    size_t i, step;
    mm_bytes *bytes;
    (void)state;
    test_fill(text, sizeof text, 8);
    bytes = mm_bytes_new(heap, text, sizeof text);
    for (i = 0; i < N; i++) {
        live[i].view = mm_view_new(bytes);
        live[i].at = 0;
        live[i].length = sizeof text;
    }
    mm_decref(bytes);
    for (step = 0; step < test_rounds(50000); step++) {
        size_t from = test_random(&random) % N, to = test_random(&random) % N;
        size_t n = live[from].length, a = test_random(&random) % (n + 1), length;
        mm_view *view;
        if (n < 5) { /* worn out: start again from a long one */
            for (from = 0; from < N - 1 && live[from].length < 5;) from++;
            n = live[from].length;
            a = 0;
        }
        length = test_random(&random) % (n - a + 1);
        if (to == 0) continue; /* the first one stays whole */
        view = mm_view_slice(live[from].view, (ptrdiff_t)a, (ptrdiff_t)(a + length));
        assert_int_equal(view->length, length);
        assert_ptr_equal(view->data, data_of(bytes) + live[from].at + a);
        live[to].length = length;
        live[to].at = live[from].at + a;
        mm_set_steal(&live[to].view, view);
        if (step % 5000 == 0) assert_true(mm_heap_check(heap));
    }
    assert_int_equal(mm_refcount(bytes), N);
    for (i = 0; i < N; i++) {
        assert_memory_equal(live[0].view->data, text, sizeof text);
        if (i > 0) mm_decref(live[i].view);
    }
    mm_decref(live[0].view);
    test_heap_done(heap, &env);
}

static void test_check_finds_a_broken_view(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_bytes *bytes = mm_bytes_new(heap, "0123456789", 10);
    mm_view *view = mm_view_new(bytes);
    (void)state;
    assert_true(mm_heap_check(heap));
    view->length = 11;
    assert_false(mm_heap_check(heap));
    view->length = 10;
    view->data--;
    assert_false(mm_heap_check(heap));
    view->data++;
    data_of(bytes)[10] = 'x';
    assert_false(mm_heap_check(heap));
    data_of(bytes)[10] = 0;
    assert_true(mm_heap_check(heap));
    assert_true(env.logged[MM_LOG_BUG] >= 3);
    env.logged[MM_LOG_BUG] = 0;
    mm_decref(view);
    mm_decref(bytes);
    test_heap_done(heap, &env);
}

/* --- out of memory --- */

/* The k-th request to the system and all after it fail, for every k until the run
   succeeds: what there is stays whole, a failed view takes no reference. */
static void test_every_request_fails_once(void **state)
{
    enum { N = 300 };
    size_t k, n = 0, size = TEST_ARENA / 64;
    (void)state;
    for (k = 2; n < N; k++) {
        test_env env;
        mm_heap *heap = test_heap(&env);
        mm_bytes *all[N];
        size_t i;
        env.fail_from = k;
        env.fail_count = SIZE_MAX;
        for (n = 0; n < N; n++) {
            all[n] = mm_bytes_new(heap, NULL, size);
            if (all[n] == NULL) break;
            test_fill(all[n]->data, size, (unsigned)n);
        }
        if (n < N) assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
        for (i = 0; i < n; i++) {
            assert_true(test_filled(all[i]->data, size, (unsigned)i));
            mm_decref(all[i]);
        }
        env.fail_count = 0;
        test_heap_done(heap, &env);
        assert_true(k < 1000);
    }
}

static void test_views_in_a_full_heap(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    mm_bytes *bytes = mm_bytes_new(heap, "0123456789", 10);
    mm_view *view = mm_view_new(bytes), *next, *list = NULL;
    void **ballast = NULL, **p;
    size_t size, n = 0;
    (void)state;
    env.fail_from = env.requests + 1;
    env.fail_count = SIZE_MAX;
    for (size = TEST_ARENA / 2; size >= 4096; size /= 2)
        while ((p = (void **)mm_alloc(heap, size)) != NULL) *p = ballast, ballast = p;
    while ((next = mm_view_slice(view, 2, 4)) != NULL) {
        next->data = (const char *)list; /* a list through a field not in use */
        list = next;
        n++;
    }
    assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
    assert_int_equal(mm_refcount(bytes), n + 2);
    assert_null(mm_view_new(bytes));
    assert_int_equal(mm_refcount(bytes), n + 2);
    env.fail_count = 0;
    while (list != NULL) {
        next = (mm_view *)(uintptr_t)list->data;
        list->data = bytes->data;
        mm_decref(list);
        list = next;
    }
    while (ballast != NULL) p = (void **)*ballast, mm_free(heap, ballast), ballast = p;
    assert_int_equal(mm_refcount(bytes), 2);
    mm_decref(view);
    mm_decref(bytes);
    test_heap_done(heap, &env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_span_of),
        cmocka_unit_test(test_slices_are_pythons),
        cmocka_unit_test(test_span_equal),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_bytes_new),
        cmocka_unit_test(test_large_bytes),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_views_keep_the_buffer),
        cmocka_unit_test(test_view_of_a_string),
        cmocka_unit_test(test_view_equal),
        cmocka_unit_test(test_no_exporter),
        cmocka_unit_test(test_random_slices),
        cmocka_unit_test(test_check_finds_a_broken_view),
        cmocka_unit_test(test_every_request_fails_once),
        cmocka_unit_test(test_views_in_a_full_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
