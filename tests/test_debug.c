/* test_debug.c - what the debug levels of a heap find, and how they say it.

   Every planted bug runs in a process of its own. It is found if that process does
   not end well and names the address it was about. tests/debug.sh does the same with
   AddressSanitizer and Valgrind; what those would report first (a stray read or write)
   is planted here in native runs only.
*/
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

#include <pthread.h>

typedef struct Widget {
    struct Widget *next;
    char           name[40];
} Widget;
MM_TYPE(Widget, MM_REF(Widget, next))

static test_env env;
static int      level; /* of the next child */

static mm_heap *heap_at(int debug)
{
    mm_heap_desc desc = test_desc(&env);
    memset(&env, 0, sizeof env);
    env.echo = true;
    desc.debug = debug;
    return mm_heap_create(&desc);
}

/* Pages of a host's hook are not the library's to protect: guard pages need its own. */
static mm_heap *heap_with_guards(void)
{
    mm_heap_desc desc = test_desc(&env);
    memset(&env, 0, sizeof env);
    desc.map = NULL;
    desc.unmap = NULL;
    desc.debug = 3;
    return mm_heap_create(&desc);
}

static test_child child;

/* The child found its bug: it did not end well, or its log said so. */
static void run_at(int debug, void (*body)(void *))
{
    level = debug;
    test_run(&child, body, NULL);
}

static void check_found(const char *size, const char *type)
{
    bool found = child.signal == SIGABRT || test_says(&child, "survived");
    if (!found || !test_names_planted(&child)) print_error("%s\n", child.output);
    assert_true(found);
    assert_true(test_names_planted(&child));
    if (size != NULL) assert_true(test_says(&child, size));
    if (type != NULL) assert_true(test_says(&child, type));
#ifndef NDEBUG
    assert_int_equal(child.signal, SIGABRT);
#endif
}

/* -------------------------------------------------------- level 1: bad pointers */

static void double_free(void *argument)
{
    mm_heap *heap = heap_at(level);
    void    *p = mm_alloc(heap, 112), *other = mm_alloc(heap, 112);
    (void)argument;
    mm_free(heap, p);
    test_announce(p);
    mm_free(heap, p);
    printf("survived\n");
    mm_free(heap, other);
}

static void double_free_of_a_run(void *argument)
{
    mm_heap *heap = heap_at(level);
    void    *p = mm_alloc(heap, TEST_ARENA / 8);
    (void)argument;
    mm_free(heap, p);
    test_announce(p);
    mm_free(heap, p);
    printf("survived\n");
}

static void double_free_sized(void *argument)
{
    mm_heap *heap = heap_at(level);
    void    *p = mm_alloc(heap, 112);
    (void)argument;
    mm_free_sized(heap, p, 112);
    test_announce(p);
    mm_free_sized(heap, p, 112);
    printf("survived\n");
}

static void double_free_much_later(void *argument)
{
    mm_heap *heap = heap_at(level);
    void    *p = mm_alloc(heap, 112), *kept = mm_alloc(heap, 112);
    int      i;
    (void)argument;
    mm_free(heap, p);
    for (i = 0; i < 3000; i++) mm_free(heap, mm_alloc(heap, 48));
    test_announce(p);
    mm_free(heap, p);
    printf("survived\n");
    mm_free(heap, kept);
}

static void double_free_is_found(void **state)
{
    int debug;
    (void)state;
    for (debug = 1; debug <= 2; debug++) {
        run_at(debug, double_free);
        check_found("112", NULL);
        run_at(debug, double_free_of_a_run);
        check_found(NULL, NULL);
        run_at(debug, double_free_sized);
        check_found(NULL, NULL);
        run_at(debug, double_free_much_later);
        check_found(NULL, NULL);
    }
}

static void free_on_stack(void *argument)
{
    mm_heap *heap = heap_at(level);
    int      local[8] = {0};
    (void)argument;
    test_announce(local);
    mm_free(heap, local);
    printf("survived\n");
}

static void free_of_malloc(void *argument)
{
    mm_heap *heap = heap_at(level);
    void    *p = malloc(112);
    (void)argument;
    test_announce(p);
    mm_free(heap, p);
    printf("survived\n");
    free(p);
}

static void free_of_static(void *argument)
{
    static long long place[64];
    mm_heap         *heap = heap_at(level);
    (void)argument;
    test_announce(&place[2]);
    mm_free(heap, &place[2]);
    printf("survived\n");
}

static void free_of_another_heap(void *argument)
{
    mm_heap *heap = heap_at(level), *other = mm_heap_create(NULL);
    void    *p = mm_alloc(other, 112);
    (void)argument;
    test_announce(p);
    mm_free(heap, p);
    printf("survived\n");
}

static void free_of_the_middle(void *argument)
{
    mm_heap *heap = heap_at(level);
    char    *p = (char *)mm_alloc(heap, 112);
    (void)argument;
    test_announce(p + 32);
    mm_free(heap, p + 32);
    printf("survived\n");
}

static void free_of_the_middle_of_a_run(void *argument)
{
    mm_heap *heap = heap_at(level);
    char    *p = (char *)mm_alloc(heap, TEST_ARENA / 4);
    (void)argument;
    test_announce(p + TEST_ARENA / 8);
    mm_free(heap, p + TEST_ARENA / 8);
    printf("survived\n");
}

static void free_of_the_middle_of_a_huge_block(void *argument)
{
    mm_heap *heap = heap_at(level);
    char    *p = (char *)mm_alloc(heap, 4 * TEST_ARENA);
    (void)argument;
    test_announce(p + 4096);
    mm_free(heap, p + 4096);
    printf("survived\n");
}

static void foreign_free_is_found(void **state)
{
    static void (*const bodies[])(void *) = {
        free_on_stack,        free_of_malloc,
        free_of_static,       free_of_another_heap,
        free_of_the_middle,   free_of_the_middle_of_a_run,
        free_of_the_middle_of_a_huge_block};
    size_t i;
    int    debug;
    (void)state;
    for (debug = 1; debug <= 2; debug++) {
        for (i = 0; i < TEST_COUNT(bodies); i++) {
            run_at(debug, bodies[i]);
            check_found(NULL, NULL);
        }
    }
}

static void realloc_of_freed(void *argument)
{
    mm_heap *heap = heap_at(level);
    void    *p = mm_alloc(heap, 112);
    (void)argument;
    mm_free(heap, p);
    test_announce(p);
    if (mm_realloc(heap, p, 4000) == NULL) printf("refused\n");
    printf("survived\n");
}

static void realloc_of_a_freed_block_is_found(void **state)
{
    (void)state;
    run_at(1, realloc_of_freed);
    check_found(NULL, NULL);
    run_at(2, realloc_of_freed);
    check_found(NULL, NULL);
}

/* ------------------------------------------------------------- level 1: objects */

static void decref_once_too_often(void *argument)
{
    mm_heap *heap = heap_at(level);
    Widget  *widget = mm_new(heap, Widget);
    (void)argument;
    mm_decref(widget);
    test_announce(widget);
    mm_decref(widget);
    printf("survived\n");
}

static void incref_of_the_dead(void *argument)
{
    mm_heap *heap = heap_at(level);
    Widget  *widget = mm_new(heap, Widget);
    (void)argument;
    mm_decref(widget);
    test_announce(widget);
    mm_incref(widget);
    mm_decref(widget);
    printf("survived\n");
}

static void C3_a_count_below_zero_is_found(void **state)
{
    int debug;
    (void)state;
    for (debug = 1; debug <= 2; debug++) {
        run_at(debug, decref_once_too_often);
        check_found(NULL, "Widget");
        run_at(debug, incref_of_the_dead);
        check_found(NULL, NULL);
    }
}

static void free_of_an_object(void *argument)
{
    mm_heap *heap = heap_at(level);
    Widget  *widget = mm_new(heap, Widget);
    (void)argument;
    test_announce(widget);
    mm_free(heap, widget);
    printf("survived\n");
}

static void C2_an_object_is_not_raw_memory(void **state)
{
    int debug;
    (void)state;
    for (debug = 1; debug <= 2; debug++) {
        run_at(debug, free_of_an_object);
        check_found(NULL, "Widget");
    }
}

/* ----------------------------------------------- level 2: patterns and red zones */

static void C1_patterns_mark_fresh_freed_and_zones(void **state)
{
    static const size_t sizes[] = {1, 8, 15, 16, 100, 512, 513, 5000, TEST_ARENA / 8};
    mm_heap            *heap;
    size_t              i;
    (void)state;
    TEST_NEEDS_NATIVE(); /* it reads what a sanitizer forbids to read */
    heap = heap_at(2);
    for (i = 0; i < TEST_COUNT(sizes); i++) {
        size_t                  n = sizes[i];
        unsigned char          *p = (unsigned char *)mm_alloc(heap, n);
        volatile unsigned char *stale = p;
        assert_true(test_all(p, n, MM_FILL_FRESH));
        assert_true(test_all(p - 8, 8, MM_FILL_ZONE));
        assert_true(test_all(p + n, 8, MM_FILL_ZONE));
        mm_free(heap, p);
        if (n <= 5000) assert_int_equal(stale[0], MM_FILL_FREED);
        if (n <= 5000) assert_int_equal(stale[n - 1], MM_FILL_FREED);
    }
    test_heap_done(heap, &env);
}

static void level_2_still_zeroes_what_is_promised(void **state)
{
    mm_heap *heap = heap_at(2);
    char    *p = (char *)mm_calloc(heap, 10, 30);
    Widget  *widget = mm_new(heap, Widget);
    (void)state;
    assert_true(test_all(p, 300, 0));
    assert_true(test_all(widget, sizeof *widget, 0));
    mm_free(heap, p);
    mm_decref(widget);
    test_heap_done(heap, &env);
}

static void level_2_realloc_keeps_and_marks(void **state)
{
    mm_heap *heap = heap_at(2);
    char    *p = (char *)mm_alloc(heap, 100);
    (void)state;
    test_fill(p, 100, 6);
    p = (char *)mm_realloc(heap, p, 1000);
    assert_true(test_filled(p, 100, 6));
    if (test_is_native()) assert_true(test_all(p + 100, 900, MM_FILL_FRESH));
    p = (char *)mm_realloc(heap, p, 50);
    assert_true(test_filled(p, 50, 6));
    memset(p, 1, mm_usable_size(p)); /* what is usable is not a zone */
    mm_free(heap, p);
    test_heap_done(heap, &env);
}

static void overflow_then_free(void *argument)
{
    mm_heap       *heap = heap_at(level);
    volatile char *p = (volatile char *)mm_alloc(heap, 116);
    (void)argument;
    test_announce(p);
    p[116] = 1;
    mm_free(heap, (void *)(uintptr_t)p);
    printf("survived\n");
}

static void overflow_then_check(void *argument)
{
    mm_heap       *heap = heap_at(level);
    volatile char *p = (volatile char *)mm_alloc(heap, 116);
    (void)argument;
    test_announce(p);
    p[117] = 0;
    if (mm_heap_check(heap)) printf("nothing found\n");
    printf("survived\n");
    abort();
}

static void overflow_of_a_large_block(void *argument)
{
    mm_heap       *heap = heap_at(level);
    size_t         size = TEST_ARENA / 8 - 100;
    volatile char *p = (volatile char *)mm_alloc(heap, size);
    (void)argument;
    test_announce(p);
    p[size] = 1;
    mm_free(heap, (void *)(uintptr_t)p);
    printf("survived\n");
}

static void overflow_then_realloc(void *argument)
{
    mm_heap       *heap = heap_at(level);
    volatile char *p = (volatile char *)mm_alloc(heap, 116);
    (void)argument;
    test_announce(p);
    p[116] = 1;
    mm_free(heap, mm_realloc(heap, (void *)(uintptr_t)p, 500));
    printf("survived\n");
}

static void overflow_of_an_object(void *argument)
{
    mm_heap       *heap = heap_at(level);
    Widget        *widget = mm_new(heap, Widget);
    volatile char *p = (volatile char *)widget;
    (void)argument;
    test_announce(p);
    p[sizeof(Widget)] = 1;
    mm_decref(widget);
    printf("survived\n");
}

static void overflow_is_found(void **state)
{
    (void)state;
    TEST_NEEDS_NATIVE();
    run_at(2, overflow_then_free);
    check_found("116", NULL);
    run_at(2, overflow_then_check);
    check_found("116", NULL);
    assert_false(test_says(&child, "nothing found"));
    run_at(2, overflow_of_a_large_block);
    check_found(NULL, NULL);
    run_at(2, overflow_then_realloc);
    check_found("116", NULL);
    run_at(2, overflow_of_an_object);
    check_found(NULL, "Widget");
}

static void underflow_then_free(void *argument)
{
    mm_heap       *heap = heap_at(level);
    volatile char *p = (volatile char *)mm_alloc(heap, 116);
    (void)argument;
    test_announce(p);
    p[-1] = 1;
    mm_free(heap, (void *)(uintptr_t)p);
    printf("survived\n");
}

static void underflow_then_check(void *argument)
{
    mm_heap       *heap = heap_at(level);
    volatile char *p = (volatile char *)mm_alloc(heap, 116);
    (void)argument;
    test_announce(p);
    p[-8] = 1;
    if (mm_heap_check(heap)) printf("nothing found\n");
    printf("survived\n");
    abort();
}

static void underflow_is_found(void **state)
{
    (void)state;
    TEST_NEEDS_NATIVE();
    run_at(2, underflow_then_free);
    check_found("116", NULL);
    run_at(2, underflow_then_check);
    check_found("116", NULL);
    assert_false(test_says(&child, "nothing found"));
}

static void write_after_free(void *argument)
{
    mm_heap       *heap = heap_at(level);
    volatile char *p = (volatile char *)mm_alloc(heap, 116);
    (void)argument;
    mm_free(heap, (void *)(uintptr_t)p);
    test_announce(p);
    p[50] = 1;
    if (mm_heap_check(heap)) printf("nothing found\n");
    printf("survived\n");
    abort();
}

/* Nobody asks; the block leaves the quarantine because others push it out. */
static void write_after_free_unasked(void *argument)
{
    mm_heap       *heap = heap_at(level);
    volatile char *p = (volatile char *)mm_alloc(heap, 116);
    int            i;
    (void)argument;
    mm_free(heap, (void *)(uintptr_t)p);
    test_announce(p);
    p[0] = 1;
    for (i = 0; i < 1000; i++) mm_free(heap, mm_alloc(heap, 4000));
    printf("survived\n");
    abort();
}

static void write_after_free_at_the_end(void *argument)
{
    mm_heap       *heap = heap_at(level);
    volatile char *p = (volatile char *)mm_alloc(heap, 116);
    (void)argument;
    mm_free(heap, (void *)(uintptr_t)p);
    test_announce(p);
    p[115] = 1;
    mm_heap_destroy(heap);
    printf("survived\n");
    abort();
}

static void use_after_free_is_found(void **state)
{
    (void)state;
    TEST_NEEDS_NATIVE();
    run_at(2, write_after_free);
    check_found("116", NULL);
    assert_false(test_says(&child, "nothing found"));
    run_at(2, write_after_free_unasked);
    check_found(NULL, NULL);
    run_at(2, write_after_free_at_the_end);
    check_found(NULL, NULL);
}

static void write_to_a_dead_object(void *argument)
{
    mm_heap         *heap = heap_at(level);
    volatile Widget *widget = mm_new(heap, Widget);
    (void)argument;
    mm_decref((void *)(uintptr_t)widget);
    test_announce(widget);
    widget->name[7] = 1;
    if (mm_heap_check(heap)) printf("nothing found\n");
    printf("survived\n");
    abort();
}

static void use_of_a_dead_object_is_found(void **state)
{
    (void)state;
    TEST_NEEDS_NATIVE();
    run_at(2, write_to_a_dead_object);
    check_found(NULL, NULL);
    assert_false(test_says(&child, "nothing found"));
}

static void quarantine_delays_reuse_and_is_bounded(void **state)
{
    mm_heap_desc desc = test_desc(&env);
    mm_heap     *heap;
    void        *p, *q;
    size_t       i, reserved;
    (void)state;
    memset(&env, 0, sizeof env);
    desc.debug = 2;
    desc.quarantine_bytes = 64 * TEST_KIB;
    heap = mm_heap_create(&desc);
    assert_non_null(heap);
    p = mm_alloc(heap, 100);
    mm_free(heap, p);
    q = mm_alloc(heap, 100);
    assert_true(p != q);
    mm_free(heap, q);
    assert_int_equal(test_stats(heap).live_blocks, 0);
    assert_false(mm_heap_owns(heap, p));
    for (i = 0; i < 1000; i++) mm_free(heap, mm_alloc(heap, 1000));
    reserved = test_stats(heap).reserved_bytes;
    for (i = 0; i < test_rounds(100000); i++) mm_free(heap, mm_alloc(heap, 1000));
    assert_true(test_stats(heap).reserved_bytes <= reserved + TEST_ARENA);
    assert_int_equal(test_stats(heap).live_blocks, 0);
    test_heap_done(heap, &env);
}

/* ------------------------------------------------------------------------ leaks */

static void a_leak_is_reported_at_every_level(void **state)
{
    int debug;
    (void)state;
    test_leaks_on_purpose(true);
    for (debug = 0; debug <= 3; debug++) {
        mm_heap       *heap = heap_at(debug);
        Widget        *widget = mm_new(heap, Widget);
        const mm_leak *leak;
        env.echo = false;
        assert_non_null(mm_alloc(heap, 100));
        assert_non_null(mm_alloc(heap, 200));
        assert_int_equal(mm_heap_destroy(heap), 1);
        leak = test_leak_of(&env, "raw memory");
        assert_non_null(leak);
        assert_int_equal(leak->objects, 2);
        assert_true(leak->bytes >= 300);
        leak = test_leak_of(&env, "Widget");
        assert_non_null(leak);
        assert_int_equal(leak->objects, 1);
        assert_int_equal(leak->held, 1);
        assert_ptr_equal(leak->example, widget);
        test_env_balanced(&env);
    }
    test_leaks_on_purpose(false);
}

/* ------------------------------------------------------------ level 3: guard pages */

static void overflow_into_the_guard(void *argument)
{
    mm_heap       *heap = heap_with_guards();
    volatile char *p = (volatile char *)mm_alloc(heap, *(size_t *)argument);
    p[*(size_t *)argument - 1] = 1;
    printf("inside\n");
    p[(*(size_t *)argument + 15) & ~(size_t)15] = 1;
    printf("outside\n");
}

static void read_past_an_object(void *argument)
{
    mm_heap       *heap = heap_with_guards();
    Widget        *widget = mm_new(heap, Widget);
    volatile char *p = (volatile char *)widget;
    (void)argument;
    p[sizeof(Widget) - 1] = 1;
    printf("inside\n");
    if (p[(sizeof(Widget) + 15) & ~(size_t)15] == 1) printf("one\n");
    printf("outside\n");
}

static void check_fault(void)
{
    assert_true(test_says(&child, "inside"));
    assert_false(test_says(&child, "outside"));
    if (!TEST_SANITIZED || child.signal != 0) /* else a red zone came first */
        assert_true(child.signal == SIGSEGV || child.signal == TEST_SIGBUS);
    else
        assert_true(child.exit_code > 0 && test_says(&child, "AddressSanitizer"));
}

static void *use_from_here(void *argument)
{
    mm_free((mm_heap *)argument, mm_alloc((mm_heap *)argument, 100));
    return NULL;
}

static void use_from_another_thread(void *argument)
{
    mm_heap  *heap = heap_at(level);
    pthread_t thread;
    (void)argument;
    printf("owned\n");
    if (pthread_create(&thread, NULL, use_from_here, heap) == 0)
        pthread_join(thread, NULL);
}

/* A heap belongs to one thread; the message has both. */
static void use_from_another_thread_is_found(void **state)
{
    (void)state;
    run_at(1, use_from_another_thread);
    assert_true(test_says(&child, "owned"));
    assert_true(test_says(&child, "belongs to thread 0x"));
    assert_true(test_says(&child, "used by thread 0x"));
}

static void guard_pages_stop_an_overflow(void **state)
{
    static size_t sizes[] = {16, 64, 100, 1000, 4096, 10000, 100000};
    size_t        i;
    (void)state;
    for (i = 0; i < TEST_COUNT(sizes); i++) {
        test_run(&child, overflow_into_the_guard, &sizes[i]);
        check_fault();
    }
    test_run(&child, read_past_an_object, NULL);
    check_fault();
}

static void guarded_blocks_work_and_go_back(void **state)
{
    mm_heap *heap = heap_with_guards();
    void    *p[50];
    Widget  *list = NULL;
    size_t   i;
    (void)state;
    for (i = 0; i < TEST_COUNT(p); i++) {
        Widget *widget = mm_new(heap, Widget);
        assert_non_null(widget);
        widget->next = list;
        list = widget;
        p[i] = mm_alloc(heap, i * 37);
        assert_non_null(p[i]);
        test_fill(p[i], i * 37, (unsigned)i);
    }
    assert_true(mm_heap_check(heap));
    assert_int_equal(test_stats(heap).live_blocks, 100);
    for (i = 0; i < TEST_COUNT(p); i++) {
        assert_true(test_filled(p[i], i * 37, (unsigned)i));
        assert_true(mm_heap_owns(heap, p[i]));
        mm_free(heap, p[i]);
    }
    mm_decref(list);
    test_drain(heap);
    assert_int_equal(test_stats(heap).live_blocks, 0);
    test_heap_done(heap, &env);
}

static void C3_double_free_is_found_at_level_3(void **state)
{
    (void)state;
    run_at(3, double_free); /* a report or, its page being gone, a fault */
    assert_true(child.signal != 0 || child.exit_code > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(double_free_is_found),
        cmocka_unit_test(foreign_free_is_found),
        cmocka_unit_test(realloc_of_a_freed_block_is_found),
        cmocka_unit_test(C3_a_count_below_zero_is_found),
        cmocka_unit_test(C2_an_object_is_not_raw_memory),
        cmocka_unit_test(C1_patterns_mark_fresh_freed_and_zones),
        cmocka_unit_test(level_2_still_zeroes_what_is_promised),
        cmocka_unit_test(level_2_realloc_keeps_and_marks),
        cmocka_unit_test(overflow_is_found),
        cmocka_unit_test(underflow_is_found),
        cmocka_unit_test(use_after_free_is_found),
        cmocka_unit_test(use_of_a_dead_object_is_found),
        cmocka_unit_test(quarantine_delays_reuse_and_is_bounded),
        cmocka_unit_test(a_leak_is_reported_at_every_level),
        cmocka_unit_test(use_from_another_thread_is_found),
        cmocka_unit_test(guard_pages_stop_an_overflow),
        cmocka_unit_test(guarded_blocks_work_and_go_back),
        cmocka_unit_test(C3_double_free_is_found_at_level_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
