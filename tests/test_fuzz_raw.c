/* test_fuzz_raw.c - random calls on raw memory against a table of what should be.

       FUZZ_STEPS   steps per heap and seed (10000)
       FUZZ_SEED    the first seed (1); a failure prints the one to repeat
       FUZZ_SEEDS   how many seeds (3)

   Every block is filled with a pattern of its own, checked when it is resized or freed
   and now and then in between. Two heaps take turns, so that they may hurt each other.
*/
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

#define SLOTS 400

typedef struct Slot {
    char    *p; /* NULL: empty */
    size_t   size;
    unsigned seed;
    bool     aligned; /* not for free_sized and realloc */
    bool     shown;   /* by the walk under way */
} Slot;

typedef struct Fuzz {
    mm_heap *heap, *other;
    test_env env;
    uint64_t chance;
    size_t   live, bytes;
    Slot     slot[SLOTS];
} Fuzz;

static size_t below(Fuzz *fuzz, size_t n)
{
    return (size_t)(test_random(&fuzz->chance) % n);
}

/* Mostly small, sometimes at the edge of a class, rarely a run or huge. */
static size_t some_size(Fuzz *fuzz)
{
    size_t kind = below(fuzz, 100);
    if (kind < 60) return below(fuzz, 600);
    if (kind < 75) return ((size_t)16 << below(fuzz, 12)) + below(fuzz, 3) - 1;
    if (kind < 90) return below(fuzz, 40000);
    if (kind < 98) return below(fuzz, TEST_ARENA / 4);
    return below(fuzz, 2 * TEST_ARENA);
}

/* Large blocks are only patterned at their ends: a fuzzer should not spend its time
   on memset. */
static void pattern(Slot *slot, unsigned seed)
{
    size_t edge = slot->size < 4096 ? slot->size : 2048;
    slot->seed = seed;
    test_fill(slot->p, edge, seed);
    test_fill(slot->p + slot->size - edge, edge, seed);
}

static bool intact(const Slot *slot)
{
    size_t edge = slot->size < 4096 ? slot->size : 2048;
    return test_filled(slot->p, edge, slot->seed) &&
           test_filled(slot->p + slot->size - edge, edge, slot->seed);
}

static void keep(Fuzz *fuzz, Slot *slot, void *p, size_t size, bool aligned)
{
    assert_non_null(p);
    assert_true(test_aligned(p, 16));
    assert_true(mm_usable_size(p) >= size);
    slot->p = (char *)p;
    slot->size = size;
    slot->aligned = aligned;
    fuzz->live++;
    fuzz->bytes += size;
    pattern(slot, (unsigned)test_random(&fuzz->chance));
}

static void forget(Fuzz *fuzz, Slot *slot)
{
    assert_true(intact(slot));
    slot->p = NULL;
    fuzz->live--;
    fuzz->bytes -= slot->size;
}

static void step_allocate(Fuzz *fuzz, Slot *slot)
{
    size_t size = some_size(fuzz), how = below(fuzz, 10), align;
    void  *p;
    if (how < 6) {
        keep(fuzz, slot, mm_alloc(fuzz->heap, size), size, false);
    } else if (how < 8) {
        p = mm_calloc(fuzz->heap, 1, size);
        assert_true(p != NULL && test_all(p, size < 65536 ? size : 65536, 0));
        keep(fuzz, slot, p, size, false);
    } else {
        align = (size_t)1 << below(fuzz, below(fuzz, 4) ? 13 : 21);
        if (align > TEST_ALIGN_MAX) align = TEST_ALIGN_MAX;
        p = mm_alloc_aligned(fuzz->heap, size, align);
        if (p == NULL || !test_aligned(p, align))
            print_error("%zu bytes at %zu: %p\n", size, align, p);
        assert_true(p != NULL && test_aligned(p, align));
        keep(fuzz, slot, p, size, true);
    }
}

static void step_free(Fuzz *fuzz, Slot *slot)
{
    void *p = slot->p;
    forget(fuzz, slot);
    if (!slot->aligned && below(fuzz, 2))
        mm_free_sized(fuzz->heap, p, slot->size);
    else
        mm_free(fuzz->heap, p);
}

/* Both ends of what a resize must keep. */
static void mark(char *p, size_t kept)
{
    size_t edge = kept / 2 < 4096 ? kept / 2 : 4096;
    test_fill(p, edge, 5);
    test_fill(p + kept - edge, edge, 6);
}

static bool marked(const char *p, size_t kept)
{
    size_t edge = kept / 2 < 4096 ? kept / 2 : 4096;
    return test_filled(p, edge, 5) && test_filled(p + kept - edge, edge, 6);
}

static void step_resize(Fuzz *fuzz, Slot *slot)
{
    size_t old = slot->size, size = some_size(fuzz), kept;
    char  *p;
    if (slot->aligned) {
        step_free(fuzz, slot);
        return;
    }
    if (below(fuzz, 3) == 0) size = old + below(fuzz, old / 2 + 20);
    if (below(fuzz, 3) == 0) size = old - below(fuzz, old / 2 + 1);
    assert_true(intact(slot));
    kept = old < size ? old : size;
    mark(slot->p, kept);
    p = (char *)mm_realloc(fuzz->heap, slot->p, size);
    assert_non_null(p);
    assert_true(marked(p, kept));
    slot->p = NULL;
    fuzz->live--;
    fuzz->bytes -= old;
    keep(fuzz, slot, p, size, false);
}

static bool shown(const mm_block *block, void *user)
{
    Fuzz  *fuzz = (Fuzz *)user;
    size_t i;
    for (i = 0; i < SLOTS; i++) {
        Slot *slot = &fuzz->slot[i];
        if (slot->p != (char *)block->address) continue;
        if (slot->shown || block->size < slot->size) return false;
        if (block->kind != MM_BLOCK_RAW) return false;
        return slot->shown = true;
    }
    return false; /* unknown */
}

static void step_look(Fuzz *fuzz)
{
    mm_heap_stats stats = test_stats(fuzz->heap);
    size_t        i, seen = 0;
    assert_int_equal(stats.live_blocks, fuzz->live);
    assert_true(stats.live_bytes >= fuzz->bytes);
    assert_true(stats.reserved_bytes >= stats.used_bytes);
    assert_int_equal(stats.reserved_bytes, fuzz->env.live_bytes);
    for (i = 0; i < SLOTS; i++) fuzz->slot[i].shown = false;
    assert_true(mm_heap_walk(fuzz->heap, shown, fuzz));
    for (i = 0; i < SLOTS; i++) seen += fuzz->slot[i].shown;
    assert_int_equal(seen, fuzz->live);
    for (i = 0; i < SLOTS; i++)
        if (fuzz->slot[i].p != NULL) assert_true(intact(&fuzz->slot[i]));
    assert_true(mm_heap_check(fuzz->heap));
}

static void step_owns(Fuzz *fuzz, const Slot *slot)
{
    const char *inner = slot->p + below(fuzz, slot->size + (slot->size == 0));
    assert_true(mm_heap_owns(fuzz->heap, inner));
    assert_false(mm_heap_owns(fuzz->other, inner));
    assert_true(mm_heap_of(slot->p) == fuzz->heap);
}

static void step(Fuzz *fuzz)
{
    Slot  *slot = &fuzz->slot[below(fuzz, SLOTS)];
    size_t what = below(fuzz, 1000);
    if (what < 3)
        step_look(fuzz);
    else if (what < 6)
        mm_heap_purge(fuzz->heap);
    else if (slot->p == NULL)
        step_allocate(fuzz, slot);
    else if (what < 650)
        step_free(fuzz, slot);
    else if (what < 900)
        step_resize(fuzz, slot);
    else
        step_owns(fuzz, slot);
}

static void begin(Fuzz *fuzz, uint64_t seed, int debug)
{
    mm_heap_desc desc = test_desc(&fuzz->env);
    memset(fuzz, 0, sizeof *fuzz);
    fuzz->chance = seed;
    desc.debug = debug;
    fuzz->heap = mm_heap_create(&desc);
    assert_non_null(fuzz->heap);
}

static void end(Fuzz *fuzz)
{
    size_t i;
    step_look(fuzz);
    for (i = 0; i < SLOTS; i++)
        if (fuzz->slot[i].p != NULL) step_free(fuzz, &fuzz->slot[i]);
    step_look(fuzz);
    assert_int_equal(test_stats(fuzz->heap).live_bytes, 0);
    test_heap_done(fuzz->heap, &fuzz->env);
}

static size_t setting(const char *name, size_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? (size_t)strtoull(text, NULL, 10) : otherwise;
}

static void fuzz_at(int debug)
{
    static Fuzz one, two;
    size_t      steps = setting("FUZZ_STEPS", test_rounds(10000)), i;
    size_t      seed = setting("FUZZ_SEED", 1), n = setting("FUZZ_SEEDS", 3);
    for (; n-- > 0; seed++) {
        print_message("FUZZ_SEED=%lu debug=%d\n", (unsigned long)seed, debug);
        begin(&one, seed, debug);
        begin(&two, seed + 1000000, 0);
        one.other = two.heap;
        two.other = one.heap;
        for (i = 0; i < steps; i++) {
            step(&one);
            if (i % 4 == 0) step(&two);
        }
        end(&one);
        one.heap = NULL;
        end(&two);
    }
}

static void random_calls_without_checks(void **state)
{
    (void)state;
    fuzz_at(0);
}

static void random_calls_with_checked_frees(void **state)
{
    (void)state;
    fuzz_at(1);
}

static void random_calls_with_red_zones(void **state)
{
    (void)state;
    fuzz_at(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls_without_checks),
        cmocka_unit_test(random_calls_with_checked_frees),
        cmocka_unit_test(random_calls_with_red_zones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
