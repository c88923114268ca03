/* test_base.c - version, statuses, the last failure, the log and assertions. */
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

typedef struct Node {
    struct Node *next;
    int          value;
} Node;
MM_TYPE(Node, MM_REF(Node, next))

static void version_text_and_numbers_agree(void **state)
{
    char text[32];
    (void)state;
    snprintf(text, sizeof text, "%d.%d.%d", MM_VERSION_MAJOR, MM_VERSION_MINOR,
             MM_VERSION_PATCH);
    assert_string_equal(text, MM_VERSION_TEXT);
    assert_int_equal(mm_version(), MM_VERSION);
    assert_int_equal(MM_VERSION, MM_VERSION_MAJOR * 10000 + MM_VERSION_MINOR * 100 +
                                     MM_VERSION_PATCH);
}

static void every_status_has_its_own_text(void **state)
{
#define STATUS_TEXT(name, text) text,
    static const char *const texts[] = {MM_STATUSES(STATUS_TEXT)};
    int i, j;
    (void)state;
    assert_int_equal(MM_OK, 0);
    assert_int_equal(TEST_COUNT(texts), MM_STATUS_COUNT);
    for (i = 0; i < MM_STATUS_COUNT; i++) {
        assert_string_equal(mm_status_text((mm_status)i), texts[i]);
        for (j = 0; j < i; j++) assert_string_not_equal(texts[i], texts[j]);
    }
    assert_non_null(mm_status_text(MM_STATUS_COUNT));
    assert_non_null(mm_status_text((mm_status)12345));
}

static void a_fresh_heap_has_no_failure(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    (void)state;
    assert_int_equal(mm_last_status(heap), MM_OK);
    assert_non_null(mm_last_message(heap));
    test_heap_done(heap, &env);
}

static void a_failure_stays_until_cleared(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    void    *p;
    (void)state;
    assert_null(mm_alloc_aligned(heap, 16, 24));
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    p = mm_alloc(heap, 16);
    assert_non_null(p);
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    mm_clear_status(heap);
    assert_int_equal(mm_last_status(heap), MM_OK);
    assert_non_null(mm_last_message(heap));
    mm_free(heap, p);
    test_heap_done(heap, &env);
}

static void messages_name_the_values(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    (void)state;
    assert_null(mm_alloc_aligned(heap, 16, 37));
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    assert_non_null(strstr(mm_last_message(heap), "37"));

    assert_null(mm_calloc(heap, SIZE_MAX / 2, 3));
    assert_int_equal(mm_last_status(heap), MM_ERR_OVERFLOW);
    assert_non_null(strstr(mm_last_message(heap), "3"));

    assert_int_equal(mm_gc_collect(heap, 17), 0);
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    assert_non_null(strstr(mm_last_message(heap), "17"));

    assert_null(mm_alloc(heap, TEST_TOO_MUCH));
    assert_true(mm_last_status(heap) == MM_ERR_NOMEM ||
                mm_last_status(heap) == MM_ERR_OVERFLOW);
    assert_null(strchr(mm_last_message(heap), '\n'));
    assert_true(strlen(mm_last_message(heap)) > 0);
    test_heap_done(heap, &env);
}

static void heaps_keep_their_own_failure(void **state)
{
    test_env env1, env2;
    mm_heap *one = test_heap(&env1), *two = test_heap(&env2);
    (void)state;
    assert_null(mm_alloc_aligned(one, 16, 3));
    assert_int_equal(mm_last_status(one), MM_ERR_VALUE);
    assert_int_equal(mm_last_status(two), MM_OK);
    assert_int_equal(mm_gc_collect(two, -1), 0);
    assert_non_null(strstr(mm_last_message(one), "3"));
    mm_clear_status(two);
    assert_int_equal(mm_last_status(one), MM_ERR_VALUE);
    test_heap_done(one, &env1);
    test_heap_done(two, &env2);
}

static void a_failed_create_reports_without_a_heap(void **state)
{
    mm_heap_desc desc;
    (void)state;
    memset(&desc, 0, sizeof desc);
    desc.map = test_map; /* without unmap */
    assert_null(mm_heap_create(&desc));
    assert_int_equal(mm_last_status(NULL), MM_ERR_VALUE);
    assert_true(strlen(mm_last_message(NULL)) > 0);
}

static void another_configuration_is_refused(void **state)
{
    test_env     env;
    mm_heap_desc desc = test_desc(&env);
    (void)state;
    memset(&env, 0, sizeof env);
    assert_null(mm__heap_create(&desc, MM__CONFIG ^ 1)); /* the other profile */
    assert_int_not_equal(mm_last_status(NULL), MM_OK);
    assert_true(strlen(mm_last_message(NULL)) > 0);
    test_env_balanced(&env);
}

/* ------------------------------------------------------------------------- log */

static void the_hook_gets_whole_lines(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    (void)state;
    mm_gc_set_debug(heap, MM_GC_DEBUG_STATS);
    mm_gc_collect(heap, 2);
    mm_gc_set_debug(heap, 0);
    assert_true(env.logged[MM_LOG_INFO] + env.logged[MM_LOG_WARNING] > 0);
    assert_int_equal(env.logged[MM_LOG_BUG], 0);
    assert_int_equal(env.log_errors, 0);
    test_heap_done(heap, &env);
}

static void a_leak_goes_to_the_log_without_a_leak_hook(void **state)
{
    test_env     env;
    mm_heap_desc desc = test_desc(&env);
    mm_heap     *heap;
    Node        *held;
    (void)state;
    memset(&env, 0, sizeof env);
    desc.leak = NULL;
    heap = mm_heap_create(&desc);
    assert_non_null(heap);
    held = mm_new(heap, Node);
    assert_non_null(held);
    assert_int_equal(mm_heap_destroy(heap), 1);
    assert_true(env.logged[MM_LOG_WARNING] > 0);
    assert_non_null(strstr(env.log, "Node"));
    test_env_balanced(&env);
}

static void quiet_program(void *argument)
{
    mm_heap *heap = mm_heap_create(NULL);
    Node    *a = mm_new(heap, Node);
    (void)argument;
    mm_set(&a->next, a);
    mm_decref(a);
    mm_gc_collect(heap, 2);
    mm_free(heap, mm_alloc(heap, 100));
    mm_alloc_aligned(heap, 1, 3);
    mm_heap_destroy(heap);
}

static void nothing_is_printed_unasked(void **state)
{
    static test_child child;
    (void)state;
    test_run(&child, quiet_program, NULL);
    assert_int_equal(child.exit_code, 0);
    assert_string_equal(child.output, "");
}

static void free_twice(void *argument)
{
    mm_heap_desc desc;
    mm_heap     *heap;
    void        *p;
    (void)argument;
    memset(&desc, 0, sizeof desc);
    desc.debug = 1;
    heap = mm_heap_create(&desc);
    p = mm_alloc(heap, 48);
    mm_free(heap, p);
    mm_free(heap, p);
}

static void bugs_reach_stderr_without_a_hook(void **state)
{
    static test_child child;
    (void)state;
    test_run(&child, free_twice, NULL);
    assert_true(strlen(child.output) > 0);
}

/* ----------------------------------------------------------------- assertions */

static void fail_directly(void *argument)
{
    (void)argument;
    mm_assert_failed("some_file.c", 4711, "the message");
}

static void fail_by_macro(void *argument)
{
    int n = 0;
    (void)argument;
    MM_ASSERT(++n == 1, "never shown");
    printf("evaluated %d times\n", n);
    MM_ASSERT(n == 2, "shown");
}

static void check_assertion_end(const test_child *child)
{
#ifdef NDEBUG
    assert_int_equal(child->exit_code, 0);
#else
    assert_int_equal(child->signal, SIGABRT);
#endif
}

static void a_failed_assertion_names_its_place(void **state)
{
    static test_child child;
    (void)state;
    test_run(&child, fail_directly, NULL);
    check_assertion_end(&child);
    assert_true(test_says(&child, "some_file.c"));
    assert_true(test_says(&child, "4711"));
    assert_true(test_says(&child, "the message"));
}

static void the_macro_evaluates_once(void **state)
{
    static test_child child;
    (void)state;
    test_run(&child, fail_by_macro, NULL);
    check_assertion_end(&child);
    assert_false(test_says(&child, "never shown"));
    assert_true(test_says(&child, "evaluated 1 times"));
    assert_true(test_says(&child, "shown"));
    assert_true(test_says(&child, "test_base.c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_text_and_numbers_agree),
        cmocka_unit_test(every_status_has_its_own_text),
        cmocka_unit_test(a_fresh_heap_has_no_failure),
        cmocka_unit_test(a_failure_stays_until_cleared),
        cmocka_unit_test(messages_name_the_values),
        cmocka_unit_test(heaps_keep_their_own_failure),
        cmocka_unit_test(a_failed_create_reports_without_a_heap),
        cmocka_unit_test(another_configuration_is_refused),
        cmocka_unit_test(the_hook_gets_whole_lines),
        cmocka_unit_test(a_leak_goes_to_the_log_without_a_leak_hook),
        cmocka_unit_test(nothing_is_printed_unasked),
        cmocka_unit_test(bugs_reach_stderr_without_a_hook),
        cmocka_unit_test(a_failed_assertion_names_its_place),
        cmocka_unit_test(the_macro_evaluates_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
