/* test_heap.c - heaps: description, OS memory, limits, statistics, walk, destroy. */
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

typedef struct Node {
    struct Node *next, *prev;
    uint64_t     value;
} Node;
MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, prev))

typedef struct Leaf {
    uint64_t value[3];
} Leaf;
MM_TYPE_LEAF(Leaf)

typedef struct Door {
    struct Door *next;
} Door;
MM_TYPE(Door, MM_REF(Door, next))

static int finalized, disposed;
static size_t alive_then[8]; /* tracked objects when a Door was finalized */

static bool door_finalize(void *object)
{
    mm_heap_stats stats;
    mm_heap_get_stats(mm_heap_of(object), &stats);
    alive_then[finalized++ % 8] = stats.tracked;
    return true;
}

static void door_dispose(void *object)
{
    (void)object;
    disposed++;
}

static int setup(void **state)
{
    (void)state;
    mm_typeof(Door)->finalize = door_finalize;
    mm_typeof(Door)->dispose = door_dispose;
    finalized = disposed = 0;
    return 0;
}

/* A ring of two with extra bytes each, already unreachable. False: out of memory. */
static bool drop_ring(mm_heap *heap, size_t extra)
{
    Node *a = mm_new_extra(heap, Node, extra), *b = mm_new_extra(heap, Node, extra);
    if (a != NULL && b != NULL) {
        mm_set(&a->next, b);
        mm_set(&b->next, a);
    }
    mm_decref(a);
    mm_decref(b);
    return a != NULL && b != NULL;
}

/* Blocks chained through their first word. */
static void *chain_until_full(mm_heap *heap, size_t size, size_t *count)
{
    void *chain = NULL, *p;
    for (*count = 0; (p = mm_alloc(heap, size)) != NULL; ++*count) {
        memset(p, 0x5A, size);
        memcpy(p, &chain, sizeof chain);
        chain = p;
    }
    return chain;
}

static void *chain_of(mm_heap *heap, size_t size, size_t count)
{
    void *chain = NULL;
    while (count-- > 0) {
        void *p = mm_alloc(heap, size);
        assert_non_null(p);
        memset(p, 0x5A, size);
        memcpy(p, &chain, sizeof chain);
        chain = p;
    }
    return chain;
}

static void chain_free(mm_heap *heap, void *chain, size_t size)
{
    while (chain != NULL) {
        char *p = (char *)chain;
        memcpy(&chain, p, sizeof chain);
        assert_true(test_all(p + sizeof chain, size - sizeof chain, 0x5A));
        mm_free(heap, p);
    }
}

/* ----------------------------------------------------------------- description */

static void no_description_means_defaults(void **state)
{
    mm_heap *heap = mm_heap_create(NULL);
    int      threshold[3];
    (void)state;
    assert_non_null(heap);
    mm_gc_get_threshold(heap, threshold);
    assert_int_equal(threshold[0], 700);
    assert_int_equal(threshold[1], 10);
    assert_int_equal(threshold[2], 10);
    assert_true(mm_gc_is_enabled(heap));
    assert_int_equal(test_stats(heap).live_blocks, 0);
    assert_int_equal(test_stats(heap).live_bytes, 0);
    assert_int_equal(test_stats(heap).objects, 0);
    assert_true(mm_heap_check(heap));
    assert_int_equal(mm_heap_destroy(heap), 0);
    assert_int_equal(mm_heap_destroy(NULL), 0);
}

static void a_zeroed_description_means_the_same(void **state)
{
    mm_heap_desc desc;
    mm_heap     *heap;
    int          threshold[3];
    (void)state;
    memset(&desc, 0, sizeof desc);
    heap = mm_heap_create(&desc);
    assert_non_null(heap);
    mm_gc_get_threshold(heap, threshold);
    assert_int_equal(threshold[0], 700);
    assert_int_equal(threshold[2], 10);
    assert_true(mm_gc_is_enabled(heap));
    assert_int_equal(mm_heap_destroy(heap), 0);
}

static void collector_fields_are_used(void **state)
{
    test_env     env;
    mm_heap_desc desc = test_desc(&env);
    mm_heap     *heap;
    int          threshold[3];
    (void)state;
    memset(&env, 0, sizeof env);
    desc.gc_threshold[0] = 123;
    desc.gc_threshold[1] = 4;
    desc.gc_threshold[2] = 5;
    desc.gc_pause_us = 50;
    desc.gc_disable = true;
    heap = mm_heap_create(&desc);
    assert_non_null(heap);
    memset(&desc, 0xFF, sizeof desc); /* the heap has a copy */
    mm_gc_get_threshold(heap, threshold);
    assert_int_equal(threshold[0], 123);
    assert_int_equal(threshold[1], 4);
    assert_int_equal(threshold[2], 5);
    assert_false(mm_gc_is_enabled(heap));
    test_heap_done(heap, &env);
}

static uint64_t collections(mm_heap *heap)
{
    mm_gc_stats stats;
    mm_gc_get_stats(heap, &stats);
    return stats.generation[0].collections + stats.generation[1].collections +
           stats.generation[2].collections;
}

static void stress_collects_before_every_tracked_object(void **state)
{
    test_env     env;
    mm_heap_desc desc = test_desc(&env);
    mm_heap     *heap;
    int          i;
    (void)state;
    memset(&env, 0, sizeof env);
    desc.gc_stress = true;
    heap = mm_heap_create(&desc);
    assert_non_null(heap);
    for (i = 0; i < 20; i++) {
        uint64_t before = collections(heap);
        Node    *node = mm_new(heap, Node);
        assert_non_null(node);
        assert_true(collections(heap) > before);
        mm_decref(node);
    }
    test_heap_done(heap, &env);
}

static uint64_t hash_under(uint64_t seed)
{
    mm_heap_desc desc;
    mm_heap     *heap;
    mm_str      *text;
    uint64_t     hash;
    memset(&desc, 0, sizeof desc);
    desc.hash_seed = seed;
    heap = mm_heap_create(&desc);
    assert_non_null(heap);
    text = mm_str_new(heap, "seed", 4);
    assert_non_null(text);
    hash = mm_str_hash(text);
    mm_decref(text);
    assert_int_equal(mm_heap_destroy(heap), 0);
    return hash;
}

static void the_hash_seed_decides_hashes(void **state)
{
    (void)state;
    assert_true(hash_under(42) == hash_under(42));
    assert_true(hash_under(42) != hash_under(43));
    assert_true(hash_under(0) != hash_under(0)); /* random, one in 2^64 */
}

static void every_page_mode_works(void **state)
{
    static const mm_huge_pages modes[] = {MM_HUGE_AUTO, MM_HUGE_OFF, MM_HUGE_ON};
    size_t                     i;
    (void)state;
    for (i = 0; i < TEST_COUNT(modes); i++) {
        mm_heap_desc desc;
        mm_heap     *heap;
        void        *chain;
        memset(&desc, 0, sizeof desc);
        desc.huge_pages = modes[i];
        heap = mm_heap_create(&desc);
        assert_non_null(heap);
        chain = chain_of(heap, 200, test_rounds(100000));
        assert_true(mm_heap_check(heap));
        chain_free(heap, chain, 200);
        mm_heap_purge(heap);
        assert_true(mm_heap_check(heap));
        assert_int_equal(mm_heap_destroy(heap), 0);
    }
}

/* Whether huge pages were asked for where p is, as the system tells. */
static bool wants_huge_pages(const void *p)
{
    FILE         *file = fopen("/proc/self/smaps", "r");
    char          line[512];
    unsigned long start, end;
    bool          here = false, huge = false;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            here = (uintptr_t)p - start < end - start;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            huge = strstr(line, " hg") != NULL;
    }
    if (file != NULL) fclose(file);
    return huge;
}

/* By then 7 MiB are in use, the first of which are in small pages. */
static bool large_heap_wants_huge_pages(mm_heap_desc *desc, mm_huge_pages mode)
{
    mm_heap *heap;
    void    *few, *many;
    bool     small, large;
    desc->huge_pages = mode;
    heap = mm_heap_create(desc);
    assert_non_null(heap);
    few = chain_of(heap, 48, 10000);
    small = wants_huge_pages(few);
    many = chain_of(heap, 48, 150000);
    large = wants_huge_pages(many);
    assert_int_equal(small, mode == MM_HUGE_ON && large);
    chain_free(heap, few, 48);
    chain_free(heap, many, 48);
    assert_int_equal(mm_heap_destroy(heap), 0);
    return large;
}

static void a_heap_gets_huge_pages_when_it_is_large(void **state)
{
    test_env     env;
    mm_heap_desc plain, hooked;
    bool         any;
    (void)state;
    memset(&env, 0, sizeof env);
    memset(&plain, 0, sizeof plain);
    hooked = test_desc(&env);
    any = large_heap_wants_huge_pages(&plain, MM_HUGE_ON); /* does the system know? */
    assert_int_equal(large_heap_wants_huge_pages(&plain, MM_HUGE_AUTO), any);
    assert_false(large_heap_wants_huge_pages(&plain, MM_HUGE_OFF));
    assert_false(large_heap_wants_huge_pages(&hooked, MM_HUGE_ON));
    test_env_balanced(&env);
}

static void half_a_hook_is_refused(void **state)
{
    mm_heap_desc desc;
    (void)state;
    memset(&desc, 0, sizeof desc);
    desc.unmap = test_unmap;
    assert_null(mm_heap_create(&desc));
    assert_int_equal(mm_last_status(NULL), MM_ERR_VALUE);
}

/* ---------------------------------------------------------------- fixed buffer */

/* The largest number in a text: what a message says is needed. */
static size_t number_in(const char *text)
{
    size_t largest = 0;
    while (*text != 0) {
        if (text[0] == '0' && text[1] == 'x') { /* an address */
            text += 2 + strspn(text + 2, "0123456789abcdefABCDEF");
        } else if (*text >= '0' && *text <= '9') {
            char  *end;
            size_t n = (size_t)strtoull(text, &end, 10);
            if (n > largest) largest = n;
            text = end;
        } else {
            text++;
        }
    }
    return largest;
}

static mm_heap *heap_in(void *buffer, size_t size)
{
    mm_heap_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.buffer = buffer;
    desc.buffer_size = size;
    return mm_heap_create(&desc);
}

static void a_small_buffer_fails_and_says_what_is_needed(void **state)
{
    static const size_t shifts[] = {0, 1, 16, 4096, 100001};
    size_t              room = 4 * TEST_ARENA, i;
    char               *area = (char *)test_map_aligned(room, TEST_ARENA);
    (void)state;
    assert_non_null(area);
    for (i = 0; i < TEST_COUNT(shifts); i++) {
        char    *buffer = area + shifts[i];
        size_t   needed;
        mm_heap *heap;
        assert_null(heap_in(buffer, 100));
        needed = number_in(mm_last_message(NULL));
        assert_true(needed > 100 && needed <= 3 * TEST_ARENA);
        heap = heap_in(buffer, needed);
        assert_non_null(heap);
        assert_non_null(mm_alloc(heap, 100));
        assert_true(mm_heap_check(heap));
        mm_heap_destroy(heap);
    }
    test_unmap_whole(area, room);
}

static void use_buffer(char *buffer, size_t size)
{
    mm_heap *heap = heap_in(buffer, size);
    size_t   count, again;
    void    *chain;
    assert_non_null(heap);
    chain = chain_until_full(heap, 1000, &count);
    assert_true(count > TEST_ARENA / 1000 / 2);
    assert_true((char *)chain >= buffer && (char *)chain + 1000 <= buffer + size);
    assert_int_equal(mm_last_status(heap), MM_ERR_NOMEM);
    assert_true(mm_heap_check(heap));
    assert_int_equal(test_stats(heap).live_blocks, count);
    assert_true(test_stats(heap).reserved_bytes <= size);
    assert_null(mm_alloc(heap, size));
    chain_free(heap, chain, 1000);
    assert_true(mm_heap_check(heap));
    chain = chain_until_full(heap, 1000, &again);
    if (test_is_native()) assert_true(again + 8 >= count); /* else some is held back */
    chain_free(heap, chain, 1000);
    mm_heap_purge(heap);
    assert_true(drop_ring(heap, 100));
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    assert_true(mm_heap_check(heap));
    assert_int_equal(mm_heap_destroy(heap), 0);
}

static void a_buffer_is_all_a_heap_touches(void **state)
{
    static const size_t shifts[] = {0, 1, 4097};
    size_t              edge = 4096, room = 8 * TEST_ARENA, i;
    char               *area = (char *)test_map_aligned(room, TEST_ARENA);
    (void)state;
    assert_non_null(area);
    for (i = 0; i < TEST_COUNT(shifts); i++) {
        char  *buffer = area + TEST_ARENA + shifts[i];
        size_t size = 4 * TEST_ARENA;
        memset(buffer - edge, 0xA7, edge);
        memset(buffer + size, 0xA7, edge);
        use_buffer(buffer, size);
        use_buffer(buffer, size); /* and again, over what the first left */
        assert_true(test_all(buffer - edge, edge, 0xA7));
        assert_true(test_all(buffer + size, edge, 0xA7));
    }
    test_unmap_whole(area, room);
}

static void garbage_in_a_full_buffer_is_collected_first(void **state)
{
    size_t   size = 3 * TEST_ARENA, i;
    char    *buffer = (char *)test_map_aligned(size, TEST_ARENA);
    mm_heap *heap = heap_in(buffer, size);
    (void)state;
    assert_non_null(heap);
    mm_gc_disable(heap);
    for (i = 0; i < 3 * size / 1000; i++) assert_true(drop_ring(heap, 500));
    assert_true(mm_heap_check(heap));
    assert_int_equal(mm_heap_destroy(heap), 0);
    test_unmap_whole(buffer, size);
}

/* --------------------------------------------------------------- map and unmap */

/* Some of everything that asks the OS for memory; false if out of memory. */
static void use_everything(mm_heap *heap)
{
    void *small = chain_of(heap, 100, 3 * TEST_ARENA / 100);
    void *run = mm_alloc(heap, TEST_ARENA / 8), *huge = mm_alloc(heap, 2 * TEST_ARENA);
    void *wide = mm_alloc_aligned(heap, 1000, TEST_ALIGN_MAX), *more;
    int   i;
    assert_non_null(run);
    assert_non_null(huge);
    assert_non_null(wide);
    memset(huge, 1, 2 * TEST_ARENA);
    more = mm_realloc(heap, huge, 5 * TEST_ARENA + 12345);
    assert_non_null(more);
    assert_true(test_all(more, 2 * TEST_ARENA, 1));
    huge = mm_realloc(heap, more, TEST_ARENA + TEST_ARENA / 2);
    assert_non_null(huge);
    for (i = 0; i < 2000; i++) assert_true(drop_ring(heap, 40));
    chain_free(heap, small, 100);
    mm_free(heap, run);
    mm_heap_purge(heap);
    mm_free(heap, huge);
    mm_free(heap, wide);
    mm_gc_collect(heap, 2);
}

static void hooks_get_back_exactly_what_they_gave(void **state)
{
    int level;
    (void)state;
    for (level = 0; level <= 2; level++) {
        test_env     env;
        mm_heap_desc desc = test_desc(&env);
        mm_heap     *heap;
        memset(&env, 0, sizeof env);
        desc.debug = level;
        heap = mm_heap_create(&desc);
        assert_non_null(heap);
        assert_true(env.requests > 0);
        use_everything(heap);
        assert_true(env.requests >= 5);
        assert_int_equal(env.errors, 0);
        assert_true(test_stats(heap).reserved_bytes <= env.live_bytes);
        test_heap_done(heap, &env);
    }
}

static void the_default_hooks_do_the_same(void **state)
{
    mm_heap *heap = mm_heap_create(NULL);
    (void)state;
    assert_non_null(heap);
    use_everything(heap);
    assert_true(mm_heap_check(heap));
    assert_int_equal(mm_heap_destroy(heap), 0);
}

static void reserved_bytes_are_what_the_hook_gave(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    void    *p = mm_alloc(heap, 3 * TEST_ARENA);
    (void)state;
    assert_int_equal(test_stats(heap).reserved_bytes, env.live_bytes);
    mm_free(heap, p);
    assert_int_equal(test_stats(heap).reserved_bytes, env.live_bytes);
    assert_int_equal(test_stats(heap).reserved_peak, env.peak_bytes);
    test_heap_done(heap, &env);
}

static void an_empty_arena_goes_back_and_one_is_kept(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    void    *chain = chain_of(heap, 256, 10 * TEST_ARENA / 256);
    size_t   before = test_stats(heap).arenas, i;
    (void)state;
    assert_true(before >= 10);
    chain_free(heap, chain, 256);
    if (test_is_native()) { /* the caches may hold two, one is kept */
        assert_true(env.unmaps >= before - 4);
        assert_true(test_stats(heap).arenas <= 4);
    }
    assert_true(test_stats(heap).arenas >= 1);
    for (i = 0, before = env.requests; i < 100; i++) /* no mapping to and fro */
        mm_free(heap, mm_alloc(heap, TEST_ARENA / 4));
    assert_true(env.requests <= before + 1);
    test_heap_done(heap, &env);
}

/* ------------------------------------------------------------------- max_bytes */

static mm_heap *capped(test_env *env, size_t max_bytes)
{
    mm_heap_desc desc = test_desc(env);
    memset(env, 0, sizeof *env);
    desc.max_bytes = max_bytes;
    desc.gc_disable = true;
    return mm_heap_create(&desc);
}

static void the_cap_is_hard_and_the_heap_stays_usable(void **state)
{
    test_env env;
    size_t   max = 6 * TEST_ARENA, count, more;
    mm_heap *heap = capped(&env, max);
    void    *chain, *p;
    (void)state;
    assert_non_null(heap);
    chain = chain_until_full(heap, 400, &count);
    assert_int_equal(mm_last_status(heap), MM_ERR_LIMIT);
    assert_true(count * 400 > max / 2);
    assert_true(env.peak_bytes <= max);
    assert_true(test_stats(heap).reserved_peak <= max);
    assert_true(mm_heap_check(heap));
    memcpy(&p, chain, sizeof p);
    mm_free(heap, chain);
    chain = p;
    p = mm_alloc(heap, 400); /* one came back, one can be had */
    assert_non_null(p);
    mm_free(heap, p);
    chain_free(heap, chain, 400);
    mm_heap_purge(heap);
    chain = chain_until_full(heap, 3000, &more); /* room for another size */
    if (test_is_native()) assert_true(more * 3000 > max / 2);
    chain_free(heap, chain, 3000);
    assert_true(env.peak_bytes <= max);
    test_heap_done(heap, &env);
}

/* Blocks that are held back to catch stale pointers go before a request fails. */
static void a_full_heap_gives_up_its_quarantine(void **state)
{
    test_env     env;
    mm_heap_desc desc = test_desc(&env);
    mm_heap     *heap;
    void        *chain, *p;
    size_t       count, i;
    (void)state;
    memset(&env, 0, sizeof env);
    desc.max_bytes = 6 * TEST_ARENA;
    desc.debug = 2;
    heap = mm_heap_create(&desc);
    assert_non_null(heap);
    chain = chain_until_full(heap, 400, &count);
    for (i = 0; i < 100; i++) {
        memcpy(&p, chain, sizeof p);
        mm_free(heap, chain);
        chain = p;
    }
    for (i = 0; i < 100; i++) {
        p = mm_alloc(heap, 400);
        assert_non_null(p);
        memset(p, 0x5A, 400);
        memcpy(p, &chain, sizeof chain);
        chain = p;
    }
    chain_free(heap, chain, 400);
    test_heap_done(heap, &env);
}

static void one_block_beyond_the_cap_changes_nothing(void **state)
{
    test_env      env;
    mm_heap      *heap = capped(&env, 4 * TEST_ARENA);
    mm_heap_stats before, after;
    char         *p;
    (void)state;
    p = (char *)mm_alloc(heap, 2000);
    assert_non_null(p);
    test_fill(p, 2000, 1);
    before = test_stats(heap);
    assert_null(mm_alloc(heap, 5 * TEST_ARENA));
    assert_int_equal(mm_last_status(heap), MM_ERR_LIMIT);
    assert_null(mm_realloc(heap, p, 5 * TEST_ARENA));
    assert_null(mm_calloc(heap, 5, TEST_ARENA));
    assert_null(mm_alloc_aligned(heap, 5 * TEST_ARENA, 64));
    assert_null(mm_new_extra(heap, Node, 5 * TEST_ARENA));
    after = test_stats(heap);
    assert_int_equal(after.live_blocks, before.live_blocks);
    assert_int_equal(after.live_bytes, before.live_bytes);
    assert_true(test_filled(p, 2000, 1));
    mm_free(heap, p);
    test_heap_done(heap, &env);
}

static void at_the_cap_garbage_goes_first(void **state)
{
    test_env    env;
    size_t      max = 6 * TEST_ARENA, i;
    mm_heap    *heap = capped(&env, max);
    mm_gc_stats stats;
    (void)state;
    for (i = 0; i < 4 * max / 2048; i++) assert_true(drop_ring(heap, 1000));
    mm_gc_get_stats(heap, &stats);
    assert_true(stats.generation[0].collected + stats.generation[1].collected +
                    stats.generation[2].collected > 0);
    assert_true(env.peak_bytes <= max);
    test_heap_done(heap, &env);
}

static void garbage_makes_room_for_raw_memory(void **state)
{
    test_env env;
    size_t   max = 6 * TEST_ARENA;
    mm_heap *heap = capped(&env, max);
    void    *chain, *huge;
    (void)state;
    while (test_stats(heap).reserved_bytes + TEST_ARENA <= max)
        assert_true(drop_ring(heap, 1000));
    chain = chain_of(heap, 5000, 2 * TEST_ARENA / 5000);
    chain_free(heap, chain, 5000);
    while (test_stats(heap).reserved_bytes + TEST_ARENA <= max)
        assert_true(drop_ring(heap, 1000));
    huge = mm_alloc(heap, 2 * TEST_ARENA);
    assert_non_null(huge);
    mm_free(heap, huge);
    assert_true(env.peak_bytes <= max);
    test_heap_done(heap, &env);
}

static void a_cap_too_small_for_a_heap_is_refused(void **state)
{
    test_env env;
    (void)state;
    assert_null(capped(&env, 1000));
    assert_int_not_equal(mm_last_status(NULL), MM_OK);
    test_env_balanced(&env);
}

/* --------------------------------------------------------------- several heaps */

static void heaps_are_isolated(void **state)
{
    test_env env1, env2;
    mm_heap *one = test_heap(&env1), *two = test_heap(&env2);
    void    *p = mm_alloc(one, 100), *q = mm_alloc(two, 100);
    Node    *a = mm_new(one, Node), *b = mm_new(two, Node);
    (void)state;
    assert_true(mm_heap_owns(one, p) && !mm_heap_owns(two, p));
    assert_true(mm_heap_owns(two, q) && !mm_heap_owns(one, q));
    assert_true(mm_heap_of(p) == one && mm_heap_of(q) == two);
    assert_true(mm_heap_of(a) == one && mm_heap_of(b) == two);
    mm_set(&a->next, a);
    mm_set(&b->next, b);
    mm_decref(a);
    mm_decref(b);
    assert_int_equal(mm_gc_collect(one, 2), 1);
    assert_int_equal(test_stats(two).objects, 1);
    mm_free(one, p);
    test_heap_done(one, &env1);
    memset(q, 1, 100);
    assert_int_equal(test_stats(two).live_blocks, 2);
    assert_int_equal(mm_gc_collect(two, 2), 1);
    mm_free(two, q);
    test_heap_done(two, &env2);
}

static void many_heaps_at_once(void **state)
{
    mm_heap *heaps[50];
    Node    *nodes[50];
    size_t   i;
    (void)state;
    for (i = 0; i < TEST_COUNT(heaps); i++) {
        heaps[i] = mm_heap_create(NULL);
        assert_non_null(heaps[i]);
        nodes[i] = mm_new(heaps[i], Node);
        nodes[i]->value = i;
    }
    for (i = 0; i < TEST_COUNT(heaps); i += 2) {
        mm_decref(nodes[i]);
        assert_int_equal(mm_heap_destroy(heaps[i]), 0);
    }
    for (i = 1; i < TEST_COUNT(heaps); i += 2) {
        assert_int_equal(nodes[i]->value, i);
        assert_true(mm_heap_check(heaps[i]));
        mm_decref(nodes[i]);
        assert_int_equal(mm_heap_destroy(heaps[i]), 0);
    }
}

/* ----------------------------------------------------------------------- purge */

static void purge_returns_memory_and_never_asks_for_any(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    void    *chain = chain_of(heap, 100, 8 * TEST_ARENA / 112), *kept, *huge;
    size_t   full, empty, purged, requests;
    (void)state;
    huge = mm_alloc(heap, 2 * TEST_ARENA);
    kept = mm_alloc(heap, 100);
    test_fill(kept, 100, 3);
    full = test_stats(heap).reserved_bytes;
    assert_true(full >= 10 * TEST_ARENA);
    chain_free(heap, chain, 100);
    mm_free(heap, huge);
    requests = env.requests;
    empty = test_stats(heap).reserved_bytes;
    purged = mm_heap_purge(heap);
    assert_int_equal(env.requests, requests);
    assert_true(purged >= empty - test_stats(heap).reserved_bytes);
    if (test_is_native()) /* else the quarantine keeps blocks everywhere */
        assert_true(test_stats(heap).reserved_bytes <= 3 * TEST_ARENA);
    assert_int_equal(test_stats(heap).cached_blocks, 0);
    assert_int_equal(mm_heap_purge(heap), 0); /* nothing is left to give */
    assert_true(mm_heap_check(heap));
    assert_true(test_filled(kept, 100, 3));
    mm_free(heap, kept);
    chain = chain_of(heap, 100, 1000);
    chain_free(heap, chain, 100);
    test_heap_done(heap, &env);
}

static size_t resident(void)
{
    size_t rss = 0, vms = 0;
    assert_true(mm_process_memory(&rss, &vms));
    assert_true(rss > 0 && vms >= rss);
    return rss;
}

static void process_memory_follows_use(void **state)
{
    size_t before, size = 32 * TEST_MIB;
    char  *p;
    (void)state;
    TEST_NEEDS_NATIVE();
    before = resident();
    p = (char *)test_map_aligned(size, 4096);
    memset(p, 1, size);
    assert_true(resident() >= before + size - 4 * TEST_MIB);
    test_unmap_whole(p, size);
    assert_true(resident() <= before + 4 * TEST_MIB);
}

static void purge_lowers_resident_memory(void **state)
{
    mm_heap *heap;
    size_t   before, full, i, blocks = 64 * TEST_MIB / 112;
    void   **p = (void **)malloc(blocks * sizeof *p);
    (void)state;
    if (!test_is_native()) free(p);
    TEST_NEEDS_NATIVE();
    memset(p, 0, blocks * sizeof *p);
    before = resident();
    heap = mm_heap_create(NULL);
    for (i = 0; i < blocks; i++) {
        p[i] = mm_alloc(heap, 112);
        memset(p[i], 1, 112);
    }
    full = resident();
    assert_true(full >= before + 60 * TEST_MIB);
    for (i = 0; i < blocks; i++) /* about one stays in each arena of 4 MiB */
        if (i % 37000 != 0) mm_free(heap, p[i]);
    mm_heap_purge(heap);
    assert_true(resident() <= before + 12 * TEST_MIB);
    for (i = 0; i < blocks; i += 37000) assert_true(test_all(p[i], 112, 1));
    for (i = 0; i < blocks; i += 37000) mm_free(heap, p[i]);
    mm_heap_purge(heap);
    assert_true(resident() <= before + 4 * TEST_MIB);
    assert_int_equal(mm_heap_destroy(heap), 0);
    free(p);
}

/* Whether the system gives more memory at a touch than a page of 4 KiB, unasked. */
static bool pages_are_large(void)
{
    char  *p = (char *)test_map_aligned(TEST_ARENA, TEST_ARENA);
    size_t before = resident();
    bool   large;
    *p = 1;
    large = test_page() > 4096 || resident() >= before + 1 * TEST_MIB;
    test_unmap_whole(p, TEST_ARENA);
    return large;
}

/* 10,000 blocks, and one of each size, take less than one huge page; with five times
   as many there are some, and they go back like other pages. */
static void a_heap_takes_the_pages_it_needs(void **state)
{
    mm_heap *heap;
    size_t   before, size;
    void    *few, *many, *last;
    (void)state;
    TEST_NEEDS_NATIVE();
    if (pages_are_large()) skip();
    before = resident();
    heap = mm_heap_create(NULL);
    few = chain_of(heap, 64, 10000);
    assert_true(resident() <= before + 1 * TEST_MIB);
    for (size = 80; size < 16384; size += size / 8)
        assert_non_null(memset(mm_alloc(heap, size), 1, size));
    assert_true(resident() <= before + 2 * TEST_MIB - 256 * TEST_KIB);
    many = chain_of(heap, 64, 50000);
    last = mm_alloc(heap, 64);
    assert_true(resident() <= before + 7 * TEST_MIB);
    chain_free(heap, few, 64);
    chain_free(heap, many, 64);
    mm_heap_purge(heap);
    assert_true(resident() <= before + 1 * TEST_MIB);
    mm_free(heap, last);
    mm_heap_destroy(heap);
}

static void pages_purged_under_a_live_block_come_back_clean(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    void    *keep = mm_alloc(heap, 64), *chain = chain_of(heap, 1024, 2000);
    char    *p;
    int      i;
    (void)state;
    test_fill(keep, 64, 9);
    chain_free(heap, chain, 1024);
    mm_heap_purge(heap);
    for (i = 0; i < 2000; i++) {
        p = (char *)mm_calloc(heap, 4, 256);
        assert_true(test_all(p, 1024, 0));
        memset(p, 0x11, 1024);
        mm_free(heap, p);
    }
    assert_true(test_filled(keep, 64, 9));
    mm_free(heap, keep);
    test_heap_done(heap, &env);
}

/* ------------------------------------------------ a mixture, and what shows of it */

typedef struct Item {
    char          *p;
    size_t         size;
    mm_block_kind  kind;
    const mm_type *type;
    unsigned       seen;
} Item;

static Item   items[4096];
static size_t item_count;

static void item_add(void *p, size_t size, mm_block_kind kind, const mm_type *type)
{
    Item item;
    assert_non_null(p);
    assert_true(item_count < TEST_COUNT(items));
    item.p = (char *)p;
    item.size = size;
    item.kind = kind;
    item.type = type;
    item.seen = 0;
    items[item_count++] = item;
}

static const size_t item_sizes[] = {
    0, 1, 15, 16, 17, 48, 100, 256, 511, 512, 513, 1000, 2047, 2048, 2049, 4096,
    10000, 32767, 32768, 32769, 65536, 100000, TEST_ARENA / 8, TEST_ARENA / 2 + 1,
    TEST_ARENA - 1, TEST_ARENA, TEST_ARENA + 1, 3 * TEST_ARENA + 7};

static void mixture_make(mm_heap *heap)
{
    size_t i, round, align;
    item_count = 0;
    for (round = 0; round < 3; round++) {
        for (i = 0; i < TEST_COUNT(item_sizes); i++) {
            size_t n = item_sizes[i];
            item_add(mm_alloc(heap, n), n, MM_BLOCK_RAW, NULL);
            item_add(mm_new_extra(heap, Leaf, n), sizeof(Leaf) + n, MM_BLOCK_LEAF,
                     mm_typeof(Leaf));
            item_add(mm_new_extra(heap, Node, n), sizeof(Node) + n, MM_BLOCK_TRACKED,
                     mm_typeof(Node));
        }
        for (align = 32; align <= TEST_ALIGN_MAX; align *= 4)
            item_add(mm_alloc_aligned(heap, 1000, align), 1000, MM_BLOCK_RAW, NULL);
    }
    for (i = 0; i < 1000; i++)
        item_add(mm_alloc(heap, i), i, MM_BLOCK_RAW, NULL);
    for (i = 0; i < item_count; i++)
        if (items[i].kind == MM_BLOCK_RAW)
            memset(items[i].p, (int)(i & 0xFF), items[i].size);
}

static void item_drop(mm_heap *heap, size_t i)
{
    if (items[i].kind == MM_BLOCK_RAW)
        mm_free(heap, items[i].p);
    else
        mm_decref(items[i].p);
    items[i] = items[--item_count];
}

static void mixture_thin(mm_heap *heap, uint64_t seed)
{
    size_t goal = item_count / 2;
    while (item_count > goal) item_drop(heap, test_random(&seed) % item_count);
}

static void mixture_drop(mm_heap *heap)
{
    while (item_count > 0) item_drop(heap, item_count - 1);
}

static size_t item_total(mm_block_kind kind)
{
    size_t i, n = 0;
    for (i = 0; i < item_count; i++) n += items[i].kind == kind;
    return n;
}

typedef struct Seen {
    size_t      blocks, unknown, wrong, disorder, raw_bytes, huge;
    const char *last;
} Seen;

static void check_block(const mm_block *block, Item *item, Seen *seen)
{
    bool object = item->kind != MM_BLOCK_RAW;
    item->seen++;
    if (block->size < item->size) seen->wrong++;
    if (block->kind != item->kind || block->type != item->type) seen->wrong++;
    if (block->refcount != (object ? 1 : 0)) seen->wrong++;
    if (block->generation != (item->kind == MM_BLOCK_TRACKED ? 0 : -1)) seen->wrong++;
    if (item->size >= TEST_ARENA && !block->huge) seen->wrong++;
    if (item->size <= TEST_ARENA / 8 && block->huge) seen->wrong++;
    if (!object && block->size != mm_usable_size(block->address)) seen->wrong++;
}

static bool see_block(const mm_block *block, void *user)
{
    Seen  *seen = (Seen *)user;
    size_t i;
    seen->blocks++;
    seen->huge += block->huge;
    if (block->kind == MM_BLOCK_RAW) seen->raw_bytes += block->size;
    if (!block->huge) {
        const char *p = (const char *)block->address;
        if (seen->last != NULL && p <= seen->last &&
            ((uintptr_t)p ^ (uintptr_t)seen->last) < TEST_ARENA)
            seen->disorder++;
        seen->last = p;
    }
    for (i = 0; i < item_count; i++) {
        if (items[i].p != (char *)block->address) continue;
        check_block(block, &items[i], seen);
        return true;
    }
    seen->unknown++;
    return true;
}

static void check_walk(mm_heap *heap)
{
    Seen   seen;
    size_t i;
    memset(&seen, 0, sizeof seen);
    for (i = 0; i < item_count; i++) items[i].seen = 0;
    assert_true(mm_heap_walk(heap, see_block, &seen));
    assert_int_equal(seen.unknown, 0);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.disorder, 0);
    assert_int_equal(seen.blocks, item_count);
    for (i = 0; i < item_count; i++) assert_int_equal(items[i].seen, 1);
    assert_int_equal(seen.huge, test_stats(heap).huge_blocks);
}

static mm_heap *mixture_heap_at(test_env *env, int debug)
{
    mm_heap_desc desc = test_desc(env);
    mm_heap     *heap;
    memset(env, 0, sizeof *env);
    desc.debug = debug;
    desc.gc_disable = true; /* new objects stay in generation 0 */
    heap = mm_heap_create(&desc);
    assert_non_null(heap);
    mixture_make(heap);
    return heap;
}

static mm_heap *mixture_heap(test_env *env)
{
    return mixture_heap_at(env, 0);
}

static void walk_shows_every_block_once(void **state)
{
    test_env env;
    mm_heap *heap = mixture_heap(&env);
    size_t   requests = env.requests;
    (void)state;
    check_walk(heap);
    assert_int_equal(env.requests, requests);
    mixture_thin(heap, 1);
    check_walk(heap);
    mm_heap_purge(heap);
    check_walk(heap);
    mixture_drop(heap);
    check_walk(heap);
    test_heap_done(heap, &env);
}

static bool stop_at_third(const mm_block *block, void *user)
{
    (void)block;
    return ++*(int *)user < 3;
}

static void walk_stops_when_told(void **state)
{
    test_env env;
    mm_heap *heap = mixture_heap(&env);
    int      visits = 0;
    (void)state;
    assert_false(mm_heap_walk(heap, stop_at_third, &visits));
    assert_int_equal(visits, 3);
    mixture_drop(heap);
    assert_true(mm_heap_walk(heap, stop_at_third, &visits)); /* nothing to show */
    test_heap_done(heap, &env);
}

static bool free_what_is_shown(const mm_block *block, void *user)
{
    size_t *freed = (size_t *)user;
    ++*freed;
    if (block->kind == MM_BLOCK_RAW)
        mm_free(mm_heap_of(block->address), block->address);
    else
        mm_decref(block->address);
    return true;
}

static void a_visitor_may_free_what_it_is_shown(void **state)
{
    test_env env;
    mm_heap *heap = mixture_heap(&env);
    size_t   freed = 0;
    (void)state;
    assert_true(mm_heap_walk(heap, free_what_is_shown, &freed));
    assert_int_equal(freed, item_count);
    assert_int_equal(test_stats(heap).live_blocks, 0);
    freed = 0;
    assert_true(mm_heap_walk(heap, free_what_is_shown, &freed));
    assert_int_equal(freed, 0);
    test_heap_done(heap, &env);
}

/* ------------------------------------------------------------------ statistics */

static size_t usable_total(void)
{
    size_t i, total = 0;
    for (i = 0; i < item_count; i++)
        if (items[i].kind == MM_BLOCK_RAW) total += mm_usable_size(items[i].p);
    return total;
}

static void check_stats(mm_heap *heap)
{
    mm_heap_stats stats = test_stats(heap);
    size_t        leaves = item_total(MM_BLOCK_LEAF), i, huge = 0, asked = 0;
    for (i = 0; i < item_count; i++) {
        huge += items[i].size >= TEST_ARENA;
        asked += items[i].size;
    }
    assert_int_equal(stats.live_blocks, item_count);
    assert_int_equal(stats.tracked, item_total(MM_BLOCK_TRACKED));
    assert_int_equal(stats.objects, stats.tracked + leaves);
    assert_true(stats.huge_blocks >= huge);
    assert_true(stats.live_bytes >= asked);
    assert_true(stats.peak_bytes >= stats.live_bytes);
    assert_true(stats.used_bytes >= stats.live_bytes);
    assert_true(stats.reserved_bytes >= stats.used_bytes);
    assert_true(stats.reserved_peak >= stats.reserved_bytes);
    assert_true(stats.fragmentation >= 0.0 && stats.fragmentation <= 1.0);
    if (item_count > 0) assert_true(stats.arenas >= 1 && stats.pools >= 1);
    if (item_count == 0) assert_int_equal(stats.live_bytes, 0);
    if (item_count == 0) assert_int_equal(stats.huge_blocks, 0);
}

static void statistics_are_exact(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    (void)state;
    item_count = 0;
    check_stats(heap);
    mm_gc_disable(heap);
    mixture_make(heap);
    check_stats(heap);
    mixture_thin(heap, 2);
    check_stats(heap);
    mixture_drop(heap);
    check_stats(heap);
    test_heap_done(heap, &env);
}

static void live_bytes_are_the_usable_sizes(void **state)
{
    test_env env;
    mm_heap *heap;
    size_t   i, peak;
    (void)state;
    TEST_NEEDS_NATIVE(); /* sanitizers make a block end where it was asked to */
    heap = test_heap(&env);
    item_count = 0;
    for (i = 0; i < 3000; i += 7)
        item_add(mm_alloc(heap, i), i, MM_BLOCK_RAW, NULL);
    assert_int_equal(test_stats(heap).live_bytes, usable_total());
    item_add(mm_alloc(heap, TEST_ARENA / 4), TEST_ARENA / 4, MM_BLOCK_RAW, NULL);
    item_add(mm_alloc(heap, TEST_ARENA * 2), TEST_ARENA * 2, MM_BLOCK_RAW, NULL);
    peak = test_stats(heap).live_bytes;
    assert_int_equal(peak, usable_total());
    mixture_drop(heap);
    assert_int_equal(test_stats(heap).live_bytes, 0);
    assert_true(test_stats(heap).peak_bytes >= peak);
    test_heap_done(heap, &env);
}

static void statistics_count_every_single_step(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    void    *p[300];
    size_t   i;
    (void)state;
    for (i = 0; i < 300; i++) {
        p[i] = mm_alloc(heap, 32);
        assert_int_equal(test_stats(heap).live_blocks, i + 1);
    }
    for (i = 300; i-- > 0;) {
        mm_free_sized(heap, p[i], 32);
        assert_int_equal(test_stats(heap).live_blocks, i);
    }
    assert_true(test_stats(heap).cached_blocks > 0 || !test_is_native());
    test_heap_done(heap, &env);
}

static void class_statistics_add_up(void **state)
{
    test_env       env;
    mm_heap       *heap = mixture_heap(&env);
    mm_heap_stats  stats = test_stats(heap);
    mm_class_stats class_stats;
    size_t         i, live = 0, cached = 0, pools = 0, leaf = 0, tracked = 0;
    (void)state;
    for (i = 0; mm_heap_get_class_stats(heap, i, &class_stats); i++) {
        assert_true(i < 10000);
        assert_true(class_stats.block_size % 16 == 0);
        assert_true(class_stats.peak_blocks >= class_stats.live_blocks);
        live += class_stats.live_blocks;
        cached += class_stats.cached_blocks;
        pools += class_stats.pools;
        if (class_stats.kind == MM_BLOCK_LEAF) leaf += class_stats.live_blocks;
        if (class_stats.kind == MM_BLOCK_TRACKED) tracked += class_stats.live_blocks;
    }
    assert_int_equal(live, stats.live_blocks);
    assert_int_equal(cached, stats.cached_blocks);
    assert_int_equal(pools, stats.pools);
    assert_true(leaf <= item_total(MM_BLOCK_LEAF) && leaf > 0);
    assert_true(tracked <= item_total(MM_BLOCK_TRACKED) && tracked > 0);
    assert_false(mm_heap_get_class_stats(heap, SIZE_MAX, &class_stats));
    mixture_drop(heap);
    test_heap_done(heap, &env);
}

static void one_class_is_counted_alone(void **state)
{
    test_env       env;
    mm_heap       *heap = test_heap(&env);
    mm_class_stats class_stats;
    void          *chain = chain_of(heap, 96, 500);
    size_t         i, found = 0;
    (void)state;
    for (i = 0; mm_heap_get_class_stats(heap, i, &class_stats); i++) {
        if (class_stats.live_blocks == 0) continue;
        found++;
        assert_int_equal(class_stats.live_blocks, 500);
        assert_int_equal(class_stats.kind, MM_BLOCK_RAW);
        if (test_is_native()) assert_int_equal(class_stats.block_size, 96);
    }
    assert_int_equal(found, 1);
    chain_free(heap, chain, 96);
    test_heap_done(heap, &env);
}

static void type_statistics_name_what_lives(void **state)
{
    test_env      env;
    mm_heap      *heap = test_heap(&env);
    mm_type_stats out[3];
    Node         *nodes[40];
    Leaf         *leaves[7];
    size_t        i;
    (void)state;
    assert_int_equal(mm_heap_get_type_stats(heap, out, 3), 0);
    for (i = 0; i < 40; i++) nodes[i] = mm_new(heap, Node);
    for (i = 0; i < 7; i++) leaves[i] = mm_new(heap, Leaf);
    assert_int_equal(mm_heap_get_type_stats(heap, out, 3), 2);
    assert_ptr_equal(out[0].type, mm_typeof(Node));
    assert_int_equal(out[0].objects, 40);
    if (test_is_native()) assert_int_equal(out[0].bytes, 40 * mm_sizeof(nodes[0]));
    assert_true(out[0].bytes >= 40 * mm_sizeof(nodes[0]));
    assert_ptr_equal(out[1].type, mm_typeof(Leaf));
    assert_int_equal(out[1].objects, 7);
    memset(out, 0, sizeof out);
    assert_int_equal(mm_heap_get_type_stats(heap, out, 1), 2); /* no room for all */
    assert_ptr_equal(out[0].type, mm_typeof(Node));
    assert_null(out[1].type);
    assert_int_equal(mm_heap_get_type_stats(heap, NULL, 0), 2);
    for (i = 0; i < 40; i++) mm_decref(nodes[i]);
    for (i = 0; i < 7; i++) mm_decref(leaves[i]);
    assert_int_equal(mm_heap_get_type_stats(heap, out, 3), 0);
    test_heap_done(heap, &env);
}

/* ------------------------------------------------------ old objects that died */

enum { FROZEN = 3, AGED = 300 };

static Node *aged[AGED];

/* All objects to generation 1 or 2, or frozen. */
static void make_old(mm_heap *heap, int generation)
{
    if (generation == FROZEN) mm_gc_freeze(heap);
    if (generation == 1) mm_gc_collect(heap, 0);
    if (generation == 2) mm_gc_collect(heap, 2);
}

static size_t count_blocks(mm_heap *heap)
{
    return test_stats(heap).live_blocks;
}

static size_t node_bytes;

static size_t count_bytes(mm_heap *heap) /* in Nodes */
{
    size_t bytes = test_stats(heap).live_bytes;
    assert_int_equal(bytes % node_bytes, 0);
    return bytes / node_bytes;
}

static size_t count_tracked(mm_heap *heap)
{
    mm_heap_stats stats = test_stats(heap);
    assert_int_equal(stats.objects, stats.tracked);
    return stats.tracked;
}

static size_t count_by_type(mm_heap *heap)
{
    mm_type_stats out;
    size_t        types = mm_heap_get_type_stats(heap, &out, 1);
    if (types == 0) return 0;
    assert_int_equal(types, 1);
    assert_ptr_equal(out.type, mm_typeof(Node));
    return out.objects;
}

static size_t count_by_class(mm_heap *heap)
{
    mm_class_stats class_stats;
    size_t         i, total = 0;
    for (i = 0; mm_heap_get_class_stats(heap, i, &class_stats); i++)
        total += class_stats.live_blocks;
    return total;
}

static size_t count_by_generation(mm_heap *heap)
{
    mm_gc_stats stats;
    mm_gc_get_stats(heap, &stats);
    return stats.tracked[0] + stats.tracked[1] + stats.tracked[2] + stats.frozen;
}

static bool count_one(const mm_block *block, void *user)
{
    assert_ptr_equal(block->type, mm_typeof(Node));
    ++*(size_t *)user;
    return true;
}

static size_t count_by_walking(mm_heap *heap)
{
    size_t n = 0;
    mm_heap_walk(heap, count_one, &n);
    return n;
}

static bool look_at_one(void *object, void *user)
{
    (void)user;
    assert_ptr_equal(mm_type_of(object), mm_typeof(Node));
    return true;
}

static size_t count_by_looking(mm_heap *heap)
{
    return mm_gc_get_objects(heap, -1, look_at_one, NULL);
}

static size_t count_owned(mm_heap *heap)
{
    size_t i, n = 0;
    for (i = 0; i < AGED; i++) n += mm_heap_owns(heap, aged[i]);
    return n;
}

/* What is asked first after an object has died knows of it. */
static void old_objects_that_die_are_gone_at_once(void **state)
{
    static size_t (*const count[])(mm_heap *heap) = {
        count_blocks,        count_bytes,      count_tracked,    count_by_type,
        count_by_class,      count_by_walking, count_by_generation,
        count_by_looking,    count_owned};
    size_t k, i;
    int    generation;
    (void)state;
    for (k = 0; k < TEST_COUNT(count); k++)
        for (generation = 0; generation <= FROZEN; generation++) {
            test_env env;
            mm_heap *heap = test_heap(&env);
            bool hidden = generation == FROZEN && count[k] == count_by_looking;
            mm_gc_disable(heap);
            for (i = 0; i < AGED; i++) aged[i] = mm_new(heap, Node);
            node_bytes = test_stats(heap).live_bytes / AGED;
            make_old(heap, generation);
            for (i = AGED; i-- > 0;) {
                mm_decref(aged[i]);
                assert_int_equal(count[k](heap), hidden ? 0 : i);
            }
            test_heap_done(heap, &env);
        }
}

static void frozen_objects_that_die_are_not_counted(void **state)
{
    test_env env;
    mm_heap *heap;
    size_t   i;
    (void)state;
    heap = test_heap(&env);
    for (i = 0; i < AGED; i++) aged[i] = mm_new(heap, Node);
    mm_gc_freeze(heap);
    for (i = AGED; i-- > 0;) {
        mm_decref(aged[i]);
        assert_int_equal(mm_gc_get_freeze_count(heap), i);
    }
    test_heap_done(heap, &env);
}

/* Whatever was said of the dead. */
static void new_objects_in_blocks_of_old_ones_are_young(void **state)
{
    int generation;
    (void)state;
    for (generation = 0; generation <= FROZEN; generation++) {
        test_env env;
        mm_heap *heap = test_heap(&env);
        Node    *again[AGED];
        size_t   i, k, same = 0, suspects;
        mm_gc_stats stats;
        mm_gc_disable(heap);
        for (i = 0; i < AGED; i++) aged[i] = mm_new(heap, Node);
        make_old(heap, generation);
        for (i = 0; i < AGED; i++) {
            mm_incref(aged[i]);
            mm_decref(aged[i]); /* suspects, too */
        }
        for (i = 0; i < AGED; i++) mm_decref(aged[i]);
        for (i = 0; i < AGED; i++) again[i] = mm_new(heap, Node);
        for (i = 0; i < AGED; i++)
            for (k = 0; k < AGED; k++) same += again[i] == aged[k];
        if (test_is_native()) assert_true(same > AGED / 2);
        for (i = 0; i < AGED; i++) {
            assert_int_equal(mm_gc_generation_of(again[i]), 0);
            assert_int_equal(mm_refcount(again[i]), 1);
        }
        assert_int_equal(mm_gc_get_objects(heap, 0, look_at_one, NULL), AGED);
        assert_int_equal(mm_gc_get_objects(heap, 1, look_at_one, NULL), 0);
        assert_int_equal(mm_gc_get_objects(heap, 2, look_at_one, NULL), 0);
        assert_true(mm_heap_check(heap));
        mm_gc_collect(heap, 0); /* and they grow old as all others do */
        assert_int_equal(mm_gc_get_objects(heap, 1, look_at_one, NULL), AGED);
        mm_gc_get_stats(heap, &stats);
        suspects = stats.suspects;
        mm_gc_collect(heap, 1);
        mm_gc_get_stats(heap, &stats);
        if (test_is_native()) /* else those in quarantine count as suspects */
            assert_int_equal(stats.suspects, suspects);
        assert_int_equal(mm_gc_get_objects(heap, 2, look_at_one, NULL), AGED);
        for (i = 0; i < AGED; i++) mm_decref(again[i]);
        test_heap_done(heap, &env);
    }
}

static Node *node_list(mm_heap *heap, size_t n)
{
    Node *list = NULL;
    mm_gc_disable(heap);
    while (n-- > 0) {
        Node *node = mm_new(heap, Node);
        assert_non_null(node);
        node->next = list;
        list = node;
    }
    return list;
}

static void a_list_of_old_objects_leaves_no_pool(void **state)
{
    int generation;
    (void)state;
    for (generation = 0; generation <= FROZEN; generation++) {
        test_env env;
        mm_heap *heap = test_heap(&env);
        Node    *list = node_list(heap, test_rounds(100000));
        make_old(heap, generation);
        mm_decref(list);
        test_drain(heap);
        mm_heap_purge(heap);
        assert_int_equal(test_stats(heap).live_blocks, 0);
        if (test_is_native()) { /* else a quarantine holds some */
            assert_int_equal(test_stats(heap).pools, 0);
            assert_true(test_stats(heap).reserved_bytes < TEST_ARENA);
        }
        test_heap_done(heap, &env);
    }
}

/* Doors hang on a list that is longer than what one mm_decref frees. */
static void finalizers_come_before_the_rest_of_a_list(void **state)
{
    int generation;
    (void)state;
    for (generation = 0; generation <= 2; generation++) {
        test_env    env;
        mm_heap    *heap = test_heap(&env);
        Node       *list = node_list(heap, 1000), *node = list;
        mm_gc_stats stats;
        size_t      i;
        finalized = disposed = 0;
        for (i = 0; i < 1000; i++, node = node->next)
            if (i == 10 || i == 100 || i == 600)
                node->prev = (Node *)(void *)mm_new(heap, Door);
        make_old(heap, generation);
        mm_decref(list);
        mm_gc_get_stats(heap, &stats);
        assert_true(stats.pending_free > 0);
        assert_int_equal(finalized, 2);
        assert_int_equal(disposed, 2);
        assert_in_range(alive_then[0], 1003 - 13, 1003 - 10);
        assert_in_range(alive_then[1], 1002 - 103, 1002 - 100);
        test_drain(heap);
        assert_int_equal(finalized, 3);
        assert_int_equal(disposed, 3);
        assert_in_range(alive_then[2], 1001 - 603, 1001 - 600);
        test_heap_done(heap, &env);
    }
}

static void Y7_blocks_do_not_grow_over_collections(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    size_t   before = 0;
    int      i, k;
    (void)state;
    for (i = 0; i < 10; i++) {
        for (k = 0; k < 1000; k++) assert_true(drop_ring(heap, 16));
        mm_gc_collect(heap, 2);
        if (i == 0) before = test_stats(heap).live_blocks;
        assert_int_equal(test_stats(heap).live_blocks, before);
    }
    assert_int_equal(before, 0);
    test_heap_done(heap, &env);
}

/* ------------------------------------------------------------- owns and heap_of */

static void owns_knows_inner_pointers(void **state)
{
    test_env env;
    mm_heap *heap = mixture_heap(&env);
    size_t   i;
    (void)state;
    for (i = 0; i < item_count; i++) {
        Item *item = &items[i];
        assert_true(mm_heap_of(item->p) == heap);
        assert_true(mm_heap_owns(heap, item->p));
        if (item->size == 0) continue;
        assert_true(mm_heap_owns(heap, item->p + item->size / 2));
        assert_true(mm_heap_owns(heap, item->p + item->size - 1));
    }
    mixture_drop(heap);
    test_heap_done(heap, &env);
}

static void check_not_owned(int debug)
{
    test_env env;
    mm_heap *heap = mixture_heap_at(&env, debug);
    void    *outside = malloc(100);
    int      on_stack = 0;
    size_t   i;
    assert_false(mm_heap_owns(heap, NULL));
    assert_false(mm_heap_owns(heap, &on_stack));
    assert_false(mm_heap_owns(heap, outside));
    assert_false(mm_heap_owns(heap, (const void *)(uintptr_t)1));
    assert_false(mm_heap_owns(heap, (const void *)UINTPTR_MAX));
    assert_false(mm_heap_owns(heap, (const void *)(UINTPTR_MAX / 2)));
    assert_false(mm_heap_owns(heap, (const void *)env.maps)); /* malloc's */
    for (i = 0; i < env.live_maps; i++) /* begins with private data */
        assert_false(mm_heap_owns(heap, env.maps[i].memory + 1));
    for (i = 0; i < item_count; i += 3) {
        char  *p = items[i].p;
        size_t size = items[i].size;
        item_drop(heap, i);
        assert_false(mm_heap_owns(heap, p));
        assert_false(mm_heap_owns(heap, p + size / 2));
    }
    free(outside);
    mixture_drop(heap);
    test_heap_done(heap, &env);
}

static void owns_knows_what_is_not_there(void **state)
{
    (void)state;
    check_not_owned(0);
    check_not_owned(1);
    check_not_owned(2);
}

/* ----------------------------------------------------------------------- check */

static void check_holds_at_every_level(void **state)
{
    int level;
    (void)state;
    for (level = 0; level <= 2; level++) {
        test_env env;
        mm_heap *heap = mixture_heap_at(&env, level);
        size_t   requests = env.requests;
        assert_true(mm_heap_check(heap));
        assert_int_equal(env.requests, requests);
        mixture_thin(heap, 5);
        assert_true(mm_heap_check(heap));
        assert_int_equal(test_stats(heap).live_blocks, item_count);
        check_walk(heap);
        mixture_drop(heap);
        test_heap_done(heap, &env);
    }
}

/* --------------------------------------------------------------------- destroy */

static void destroy_returns_and_reports_what_is_held(void **state)
{
    test_env       env;
    mm_heap       *heap = test_heap(&env);
    Node          *held = mm_new(heap, Node), *inner = mm_new(heap, Node);
    Leaf          *leaf = mm_new(heap, Leaf);
    const mm_leak *leak;
    (void)state;
    mm_set_steal(&held->next, inner);
    mm_incref(held); /* two references from outside, one inside to inner */
    assert_non_null(mm_alloc(heap, 100));
    assert_non_null(mm_alloc(heap, 3 * TEST_ARENA));
    assert_int_equal(mm_heap_destroy(heap), 2);
    assert_int_equal(env.leak_count, 3);
    leak = test_leak_of(&env, "Node");
    assert_non_null(leak);
    assert_int_equal(leak->objects, 2);
    assert_int_equal(leak->held, 1);
    assert_int_equal(leak->refs, 2);
    assert_ptr_equal(leak->example, held);
    assert_true(leak->bytes >= 2 * (sizeof(Node) + 8));
    leak = test_leak_of(&env, "Leaf");
    assert_non_null(leak);
    assert_int_equal(leak->objects, 1);
    assert_int_equal(leak->held, 1);
    assert_int_equal(leak->refs, 1);
    assert_ptr_equal(leak->example, leaf);
    leak = test_leak_of(&env, "raw memory");
    assert_non_null(leak);
    assert_int_equal(leak->objects, 2);
    assert_true(leak->bytes >= 3 * TEST_ARENA + 100);
    test_env_balanced(&env);
}

static void G40_destroy_collects_a_last_time(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    Door    *a = mm_new(heap, Door), *b = mm_new(heap, Door);
    (void)state;
    mm_gc_disable(heap);
    mm_set_steal(&a->next, b);
    mm_set_steal(&b->next, a);
    assert_int_equal(finalized, 0);
    assert_int_equal(mm_heap_destroy(heap), 0);
    assert_int_equal(finalized, 2);
    assert_int_equal(disposed, 2);
    assert_int_equal(env.leak_count, 0);
    test_env_balanced(&env);
}

static void destroy_disposes_of_what_is_held(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    Door    *held = mm_new(heap, Door);
    (void)state;
    mm_set_steal(&held->next, mm_new(heap, Door));
    assert_int_equal(mm_heap_destroy(heap), 1);
    assert_int_equal(disposed, 2);
    assert_non_null(test_leak_of(&env, "Door"));
    test_env_balanced(&env);
}

static void immortal_objects_are_no_leak(void **state)
{
    test_env env;
    mm_heap *heap = test_heap(&env);
    Door    *door = mm_new(heap, Door);
    (void)state;
    mm_immortalize(door);
    assert_int_equal(mm_heap_destroy(heap), 0);
    assert_int_equal(env.leak_count, 0);
    assert_int_equal(disposed, 1);
    test_env_balanced(&env);
}

static void an_unused_heap_leaves_nothing(void **state)
{
    test_env env;
    int      i;
    (void)state;
    for (i = 0; i < 20; i++) {
        mm_heap *heap = test_heap(&env);
        assert_true(env.live_bytes <= 2 * TEST_ARENA);
        test_heap_done(heap, &env);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_description_means_defaults),
        TEST(a_zeroed_description_means_the_same),
        TEST(collector_fields_are_used),
        TEST(stress_collects_before_every_tracked_object),
        TEST(the_hash_seed_decides_hashes),
        TEST(every_page_mode_works),
        TEST(a_heap_gets_huge_pages_when_it_is_large),
        TEST(half_a_hook_is_refused),
        TEST(a_small_buffer_fails_and_says_what_is_needed),
        TEST(a_buffer_is_all_a_heap_touches),
        TEST(garbage_in_a_full_buffer_is_collected_first),
        TEST(hooks_get_back_exactly_what_they_gave),
        TEST(the_default_hooks_do_the_same),
        TEST(reserved_bytes_are_what_the_hook_gave),
        TEST(an_empty_arena_goes_back_and_one_is_kept),
        TEST(the_cap_is_hard_and_the_heap_stays_usable),
        TEST(a_full_heap_gives_up_its_quarantine),
        TEST(one_block_beyond_the_cap_changes_nothing),
        TEST(at_the_cap_garbage_goes_first),
        TEST(garbage_makes_room_for_raw_memory),
        TEST(a_cap_too_small_for_a_heap_is_refused),
        TEST(heaps_are_isolated),
        TEST(many_heaps_at_once),
        TEST(purge_returns_memory_and_never_asks_for_any),
        TEST(process_memory_follows_use),
        TEST(purge_lowers_resident_memory),
        TEST(a_heap_takes_the_pages_it_needs),
        TEST(pages_purged_under_a_live_block_come_back_clean),
        TEST(walk_shows_every_block_once),
        TEST(walk_stops_when_told),
        TEST(a_visitor_may_free_what_it_is_shown),
        TEST(statistics_are_exact),
        TEST(live_bytes_are_the_usable_sizes),
        TEST(statistics_count_every_single_step),
        TEST(class_statistics_add_up),
        TEST(one_class_is_counted_alone),
        TEST(type_statistics_name_what_lives),
        TEST(old_objects_that_die_are_gone_at_once),
        TEST(frozen_objects_that_die_are_not_counted),
        TEST(new_objects_in_blocks_of_old_ones_are_young),
        TEST(a_list_of_old_objects_leaves_no_pool),
        TEST(finalizers_come_before_the_rest_of_a_list),
        TEST(Y7_blocks_do_not_grow_over_collections),
        TEST(owns_knows_inner_pointers),
        TEST(owns_knows_what_is_not_there),
        TEST(check_holds_at_every_level),
        TEST(destroy_returns_and_reports_what_is_held),
        TEST(G40_destroy_collects_a_last_time),
        TEST(destroy_disposes_of_what_is_held),
        TEST(immortal_objects_are_no_leak),
        TEST(an_unused_heap_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
