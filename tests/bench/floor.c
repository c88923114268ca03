/* floor.c - ours against what can be written by hand: the second argument says
   which of the two runs, "ours" or "floor".
     pool    typed pool           against the heap's own 48-byte blocks, sized
     region  32 bytes of a region against a bump pointer
     count   incref + decref      against ++n; --n in memory
     handle  handle to object     against a bounds-checked array load
     spin    (floor only) what the machine adds to the longest of many short slices
     walk    (floor only) the list of row e, looked at once and not freed */
#include "bench.h"
#include "memmgr.h"

typedef struct Item {
    unsigned char bytes[48];
} Item;
typedef struct Thing {
    struct Thing *other;
    uint64_t value;
} Thing;
MM_TYPE(Thing, MM_REF(Thing, other))

static mm_heap *heap;

/* Runs work(count) several times; the row's value is ns per unit of count. */
static void measure(const char *row, size_t count, void (*work)(size_t))
{
    int repeats = bench_repeats(11);
    double times[11];
    work(count / 10);
    for (int r = 0; r < repeats; r++) {
        double begin = bench_now();
        work(count);
        times[r] = (bench_now() - begin) / (double)count;
    }
    bench_put(row, "ns", bench_median(times, repeats));
}

/* --- pool --- */

static mm_pool *pool;

BENCH_NOINLINE static void pool_pairs(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *p = mm_pool_acquire(pool);
        BENCH_KEEP(p);
        *(volatile size_t *)p = i;
        mm_pool_release(pool, p);
    }
}

BENCH_NOINLINE static void heap_pairs(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *p = mm_alloc(heap, sizeof(Item));
        BENCH_KEEP(p);
        *(volatile size_t *)p = i;
        mm_free_sized(heap, p, sizeof(Item));
    }
}

static inline void *item_new(bool ours)
{
    void *p = ours ? mm_pool_acquire(pool) : mm_alloc(heap, sizeof(Item));
    BENCH_KEEP(p);
    return p;
}

static inline void item_done(bool ours, void *p)
{
    if (ours)
        mm_pool_release(pool, p);
    else
        mm_free_sized(heap, p, sizeof(Item));
}

enum { BURST = 1000 };
static void *items[BURST];

/* A thousand taken, and given back the last first. */
static inline void bursts(bool ours, size_t count)
{
    for (size_t done = 0; done < count; done += BURST) {
        for (size_t i = 0; i < BURST; i++) {
            items[i] = item_new(ours);
            *(volatile size_t *)items[i] = i;
        }
        for (size_t i = BURST; i-- > 0;) item_done(ours, items[i]);
    }
}

/* At each step a random one of a thousand places is filled, or, if it was, emptied. */
static inline void at_random(bool ours, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void **item = &items[bench_below(BURST)];
        if (*item) {
            item_done(ours, *item);
            *item = NULL;
        } else {
            *item = item_new(ours);
            *(volatile size_t *)*item = i;
        }
    }
    for (size_t i = 0; i < BURST; i++) {
        if (items[i]) item_done(ours, items[i]);
        items[i] = NULL;
    }
}

BENCH_NOINLINE static void pool_bursts(size_t count)
{
    bursts(true, count);
}

BENCH_NOINLINE static void heap_bursts(size_t count)
{
    bursts(false, count);
}

BENCH_NOINLINE static void pool_at_random(size_t count)
{
    memset(items, 0, sizeof items);
    at_random(true, count);
}

BENCH_NOINLINE static void heap_at_random(size_t count)
{
    memset(items, 0, sizeof items);
    at_random(false, count);
}

static void run_pool(bool ours)
{
    mm_pool_desc desc = {0};
    desc.item_size = sizeof(Item);
    pool = mm_pool_create(heap, &desc);
    BENCH_REQUIRE(pool != NULL);
    measure("pool_pair", bench_count(1000000), ours ? pool_pairs : heap_pairs);
    measure("pool_burst", bench_count(1000000), ours ? pool_bursts : heap_bursts);
    measure("pool_random", bench_count(1000000), ours ? pool_at_random : heap_at_random);
    mm_pool_destroy(pool);
}

/* --- region --- */

enum { REGION_BYTES = 1 << 15, REGION_ITEM = 32, REGION_ITEMS = 512 };

static char region_memory[REGION_BYTES];
static mm_region region;

/* Fills the same 16 KiB again and again, so that it is the allocation that is
   measured and not the memory; rewinding is part of both. */
BENCH_NOINLINE static void region_items(size_t count)
{
    mm_region_mark start = mm_region_mark_here(&region);
    for (size_t i = 0; i < count; i++) {
        void *p = mm_region_alloc(&region, REGION_ITEM);
        BENCH_KEEP(p);
        *(volatile size_t *)p = i;
        if (i % REGION_ITEMS == 0) mm_region_rewind(&region, start);
    }
    mm_region_rewind(&region, start);
}

typedef struct Bump {
    char *cursor, *limit;
} Bump;

static inline void *bump_alloc(Bump *bump, size_t size)
{
    char *p = bump->cursor;
    size = (size + 15) & ~(size_t)15;
    if (size > (size_t)(bump->limit - p)) return NULL;
    bump->cursor = p + size;
    return p;
}

static Bump bump;

BENCH_NOINLINE static void bump_items(size_t count)
{
    char *start = bump.cursor;
    for (size_t i = 0; i < count; i++) {
        void *p = bump_alloc(&bump, REGION_ITEM);
        BENCH_KEEP(p);
        *(volatile size_t *)p = i;
        if (i % REGION_ITEMS == 0) bump.cursor = start;
    }
    bump.cursor = start;
}

static void run_region(bool ours)
{
    memset(region_memory, 1, sizeof region_memory);
    mm_region_init_buffer(&region, heap, region_memory, sizeof region_memory);
    BENCH_REQUIRE(mm_region_alloc(&region, 16) != NULL);
    bump.cursor = region_memory + 16;
    bump.limit = region_memory + sizeof region_memory;
    measure("region_alloc", bench_count(1000000), ours ? region_items : bump_items);
    mm_region_free(&region);
}

/* --- counts --- */

static Thing *thing;
static uint32_t *number;

static inline void up_and_down(Thing *p, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mm_incref(p);
        BENCH_SEEN(p);
        mm_decref(p);
        BENCH_SEEN(p);
    }
}

/* Of an object that the compiler knows to be there: the bare count knows it, too. */
BENCH_NOINLINE static void counts(size_t count)
{
    if (thing != NULL) up_and_down(thing, count);
}

/* Of a pointer that may be NULL for all the compiler knows. */
BENCH_NOINLINE static void counts_if_any(size_t count)
{
    up_and_down(thing, count);
}

BENCH_NOINLINE static void bare_counts(size_t count)
{
    uint32_t *p = number;
    for (size_t i = 0; i < count; i++) {
        ++*p;
        BENCH_SEEN(p);
        --*p;
        BENCH_SEEN(p);
    }
}

static void run_count(bool ours)
{
    static uint32_t bare = 1;
    number = &bare;
    thing = mm_new(heap, Thing);
    BENCH_REQUIRE(thing != NULL);
    measure("incref_decref", bench_count(2000000), ours ? counts : bare_counts);
    if (ours) measure("incref_decref@null", bench_count(2000000), counts_if_any);
    mm_decref(thing);
}

/* --- handles: 1024 objects, in an order that is not that of their addresses --- */

enum { HANDLES = 1024 };

/* An array that can grow, as the table of handles can. */
static struct {
    Thing **items;
    size_t count;
} things;
static mm_handle handles[HANDLES];
static uint32_t index_of[HANDLES];

BENCH_NOINLINE static void handle_borrows(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Thing *p = mm_handle_borrow(heap, handles[i % HANDLES]);
        BENCH_KEEP(p);
    }
}

BENCH_NOINLINE static void array_loads(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t k = index_of[i % HANDLES];
        Thing *p = k < things.count ? things.items[k] : NULL;
        BENCH_KEEP(p);
    }
}

BENCH_NOINLINE static void handle_gets(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Thing *p = mm_handle_get(heap, handles[i % HANDLES]);
        BENCH_KEEP(p);
        mm_decref(p);
    }
}

BENCH_NOINLINE static void array_gets(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t k = index_of[i % HANDLES];
        Thing *p = k < things.count ? things.items[k] : NULL;
        mm_incref(p);
        BENCH_KEEP(p);
        mm_decref(p);
    }
}

static void run_handle(bool ours)
{
    const uint32_t *order = bench_permutation(HANDLES);
    memcpy(index_of, order, sizeof index_of);
    things.items = calloc(HANDLES, sizeof *things.items);
    BENCH_REQUIRE(things.items != NULL);
    things.count = HANDLES;
    for (size_t i = 0; i < HANDLES; i++) {
        things.items[i] = mm_new(heap, Thing);
        BENCH_REQUIRE(things.items[i] != NULL);
    }
    for (size_t i = 0; i < HANDLES; i++) {
        handles[i] = mm_handle_of(things.items[index_of[i]]);
        BENCH_REQUIRE(mm_handle_borrow(heap, handles[i]) == things.items[index_of[i]]);
    }
    measure("handle_borrow", bench_count(2000000), ours ? handle_borrows : array_loads);
    measure("handle_get", bench_count(2000000), ours ? handle_gets : array_gets);
    for (size_t i = 0; i < HANDLES; i++) mm_decref(things.items[i]);
    free(things.items);
}

/* --- spin --- */

/* Work that stops by the clock after so many ns; returns how long it took. */
static double spin(double ns)
{
    double begin = bench_now(), now;
    do {
        for (volatile int i = 0; i < 200; i++) {
        }
        now = bench_now();
    } while (now < begin + ns);
    return now - begin;
}

/* Nothing but interrupts makes one spin longer than another: as many of 20 us as the
   slices of row c, and as those of row f. */
static void run_spin(void)
{
    enum { C_SPINS = 1060, C_ROUNDS = 7, F_SPINS = 60000 };
    static double took[F_SPINS], longest[C_ROUNDS];
    int count = bench_quick() ? F_SPINS / 100 : F_SPINS;
    for (int r = 0; r < C_ROUNDS; r++)
        for (int i = 0; i < C_SPINS; i++) {
            double t = spin(20e3) / 1e3;
            if (t > longest[r]) longest[r] = t;
        }
    bench_put("c_slice_longest", "us", bench_median(longest, C_ROUNDS));
    for (int i = 0; i < count; i++) took[i] = spin(20e3) / 1e3;
    bench_put("f_slice_p999", "us", bench_quantile(took, (size_t)count, 0.999));
    bench_put("f_slice_longest", "us", took[count - 1]);
}

/* --- walk --- */

typedef struct Link {
    struct Link *next;
    uint64_t rest[3];
} Link;

static void run_walk(void)
{
    size_t count = bench_count(5000000), seen = 0;
    Link *links = bench_pages(count * sizeof *links);
    double begin;
    for (size_t i = 0; i + 1 < count; i++) links[i].next = &links[i + 1];
    begin = bench_now();
    for (Link *p = links; p != NULL; p = p->next) {
        p->rest[0] = 1; /* a count is written */
        seen++;
    }
    bench_put("e", "ns/object", (bench_now() - begin) / (double)count);
    BENCH_REQUIRE(seen == count);
}

int main(int argc, char **argv)
{
    const char *pattern = argc > 2 ? argv[1] : "";
    bool ours = argc > 2 && strcmp(argv[2], "ours") == 0;
    heap = mm_heap_create(NULL);
    if (heap == NULL) bench_die(mm_last_message(NULL));
    if (strcmp(pattern, "pool") == 0)
        run_pool(ours);
    else if (strcmp(pattern, "region") == 0)
        run_region(ours);
    else if (strcmp(pattern, "count") == 0)
        run_count(ours);
    else if (strcmp(pattern, "handle") == 0)
        run_handle(ours);
    else if (strcmp(pattern, "spin") == 0)
        run_spin();
    else if (strcmp(pattern, "walk") == 0)
        run_walk();
    else
        bench_die("usage: floor pool|region|count|handle|spin|walk ours|floor");
    BENCH_REQUIRE(mm_heap_destroy(heap) == 0);
    return 0;
}
