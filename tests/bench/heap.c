/* heap.c - raw memory: the same patterns compiled once per allocator. */
#include "bench.h"
#include "heap_peer.h"

static bool huge;

/* A figure's row. With SIZED, or with huge pages, it is a variant of the row: a
   peer that has no such variant is compared by its plain row. */
static void put(const char *row, const char *unit, double value)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", row, SIZED ? "@sized" : "",
             huge ? "@huge" : "");
    bench_put(name, unit, value);
}

/* --- pairs and bursts --- */

BENCH_NOINLINE static void pair(size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *p = PEER_ALLOC(size);
        BENCH_KEEP(p);
        *(volatile size_t *)p = i;
        PEER_FREE(p, size);
    }
}

BENCH_NOINLINE static void pair_of_48(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *p = PEER_ALLOC(48);
        BENCH_KEEP(p);
        *(volatile size_t *)p = i;
        PEER_FREE(p, 48);
    }
}

static double time_pairs(size_t size, size_t count)
{
    double begin = bench_now();
    if (size == 0)
        pair_of_48(count);
    else
        pair(size, count);
    return (bench_now() - begin) / (double)count;
}

static void run_pair(void)
{
    static const size_t sizes[] = {16, 32, 64, 256, 512, 0};
    size_t count = bench_count(1000000);
    int repeats = bench_repeats(11);
    double times[11];
    char row[32] = "pair_48_const";
    for (int k = 0; k < 6; k++) {
        time_pairs(sizes[k], count / 10);
        for (int r = 0; r < repeats; r++) times[r] = time_pairs(sizes[k], count);
        if (sizes[k] != 0)
            snprintf(row, sizeof row, "pair_%zu", sizes[k]);
        else
            strcpy(row, "pair_48_const");
        put(row, "ns", bench_median(times, repeats));
    }
}

enum { BURST = 1000 };

BENCH_NOINLINE static void burst(void **blocks, size_t size, bool lifo)
{
    for (int i = 0; i < BURST; i++) {
        void *p = PEER_ALLOC(size);
        BENCH_KEEP(p);
        *(volatile int *)p = i;
        blocks[i] = p;
    }
    if (lifo)
        for (int i = BURST; i-- > 0;) PEER_FREE(blocks[i], size);
    else
        for (int i = 0; i < BURST; i++) PEER_FREE(blocks[i], size);
}

static double time_bursts(bool lifo)
{
    static void *blocks[BURST];
    static volatile size_t size = 64;
    size_t count = bench_count(1000), n = size;
    double begin = bench_now();
    for (size_t i = 0; i < count; i++) burst(blocks, n, lifo);
    return (bench_now() - begin) / (double)(count * BURST);
}

static void run_burst(void)
{
    int repeats = bench_repeats(11);
    double times[11];
    for (int lifo = 1; lifo >= 0; lifo--) {
        time_bursts(lifo);
        for (int r = 0; r < repeats; r++) times[r] = time_bursts(lifo);
        put(lifo ? "lifo_1000" : "fifo_1000", "ns", bench_median(times, repeats));
    }
}

/* --- churn: replace a random one of many live blocks --- */

typedef struct Cell {
    void *block;
    uint32_t size;
} Cell;

enum { SIZES = 65536 };
static uint16_t size_of_draw[SIZES];

/* 16 to 512 bytes as object graphs have them: mostly small, 90 bytes on average. */
static void draw_sizes(void)
{
    static const struct {
        int size, percent;
    } mix[] = {{16, 14}, {24, 12}, {32, 20}, {48, 18}, {64, 12}, {80, 6}, {96, 5},
               {128, 5}, {160, 2}, {192, 2}, {256, 2}, {320, 1}, {512, 1}};
    for (int i = 0; i < SIZES; i++) {
        int percent = (int)bench_below(100), k = 0, low;
        for (; percent >= mix[k].percent; k++) percent -= mix[k].percent;
        low = k == 0 ? 16 : mix[k - 1].size + 1;
        if (low > mix[k].size) low = mix[k].size;
        size_of_draw[i] =
            (uint16_t)(low + (int)bench_below((size_t)(mix[k].size - low + 1)));
    }
}

static void fill(Cell *cells, size_t live)
{
    for (size_t i = 0; i < live; i++) {
        cells[i].size = size_of_draw[bench_random() % SIZES];
        cells[i].block = PEER_ALLOC(cells[i].size);
        BENCH_REQUIRE(cells[i].block != NULL);
        *(size_t *)cells[i].block = i;
    }
}

BENCH_NOINLINE static void churn(Cell *cells, size_t live, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        uint64_t random = bench_random();
        Cell *cell = &cells[((random >> 32) * live) >> 32];
        size_t size = size_of_draw[random % SIZES];
        void *p;
        PEER_FREE(cell->block, cell->size);
        p = PEER_ALLOC(size);
        BENCH_KEEP(p);
        *(size_t *)p = i;
        cell->block = p;
        cell->size = (uint32_t)size;
    }
}

static double requested(const Cell *cells, size_t live)
{
    double bytes = 0;
    for (size_t i = 0; i < live; i++) bytes += cells[i].size;
    return bytes;
}

/* A share of memory, not below a thousandth: the reading is no finer. */
static double share(double bytes, double of)
{
    return bytes / of < 0.001 ? 0.001 : bytes / of;
}

static void run_churn(const char *row, size_t live, size_t steps, bool memory)
{
    Cell *cells = bench_pages(live * sizeof *cells);
    int repeats = bench_repeats(5);
    double times[5], bytes, before = bench_resident();
    fill(cells, live);
    churn(cells, live, steps);
    for (int r = 0; r < repeats; r++) {
        double begin = bench_now();
        churn(cells, live, steps);
        times[r] = (bench_now() - begin) / (double)steps;
    }
    put(row, "ns", bench_median(times, repeats));
    bytes = requested(cells, live);
    if (memory) put("rss_live", "x", share(bench_resident() - before, bytes));
    for (size_t i = 0; i < live; i++) PEER_FREE(cells[i].block, cells[i].size);
    PEER_TRIM();
    if (memory) put("rss_after", "x", share(bench_resident() - before, bytes));
}

/* --- bulk: a million blocks, freed in random order --- */

static double bulk_alloc(void **blocks, size_t count, size_t size)
{
    double begin = bench_now();
    for (size_t i = 0; i < count; i++) {
        void *p = PEER_ALLOC(size);
        BENCH_KEEP(p);
        *(size_t *)p = i;
        blocks[i] = p;
    }
    return (bench_now() - begin) / (double)count;
}

static double bulk_free(void **blocks, const uint32_t *order, size_t count, size_t size)
{
    double begin = bench_now();
    for (size_t i = 0; i < count; i++) PEER_FREE(blocks[order[i]], size);
    return (bench_now() - begin) / (double)count;
}

static void run_bulk(void)
{
    static volatile size_t size = 48;
    size_t count = bench_count(1000000), n = size;
    void **blocks = bench_pages(count * sizeof *blocks);
    uint32_t *order = bench_permutation(count);
    int repeats = bench_repeats(5);
    double allocs[5], frees[5];
    put("bulk_cold", "ns", bulk_alloc(blocks, count, n));
    bulk_free(blocks, order, count, n);
    for (int r = 0; r < repeats; r++) {
        allocs[r] = bulk_alloc(blocks, count, n);
        frees[r] = bulk_free(blocks, order, count, n);
    }
    put("bulk_warm", "ns", bench_median(allocs, repeats));
    put("shuffled_free", "ns", bench_median(frees, repeats));
}

/* --- lists --- */

typedef struct Node {
    struct Node *next;
    uint64_t a, b, c;
} Node;

BENCH_NOINLINE static Node *list_build(size_t count)
{
    Node *head = NULL, **tail = &head;
    for (size_t i = 0; i < count; i++) {
        Node *node = PEER_ALLOC(sizeof(Node));
        BENCH_KEEP(node);
        node->a = i;
        *tail = node;
        tail = &node->next;
    }
    *tail = NULL;
    return head;
}

BENCH_NOINLINE static uint64_t list_sum(const Node *node)
{
    uint64_t sum = 0;
    for (; node != NULL; node = node->next) sum += node->a;
    return sum;
}

BENCH_NOINLINE static void list_free(Node *node)
{
    while (node != NULL) {
        Node *next = node->next;
        PEER_FREE(node, sizeof(Node));
        node = next;
    }
}

/* Build, traverse and free; rows are PREFIX_build, PREFIX_traverse, PREFIX_free. */
static void list_rows(const char *prefix, size_t count)
{
    int repeats = bench_repeats(5);
    double times[5], begin = bench_now(), n = (double)count;
    char row[32];
    Node *head = list_build(count);
    snprintf(row, sizeof row, "%s_build", prefix);
    put(row, "ns", (bench_now() - begin) / n);
    for (int r = 0; r < repeats; r++) {
        begin = bench_now();
        BENCH_REQUIRE(list_sum(head) == (uint64_t)count * (count - 1) / 2);
        times[r] = (bench_now() - begin) / n;
    }
    snprintf(row, sizeof row, "%s_traverse", prefix);
    put(row, "ns", bench_median(times, repeats));
    begin = bench_now();
    list_free(head);
    snprintf(row, sizeof row, "%s_free", prefix);
    put(row, "ns", (bench_now() - begin) / n);
}

/* The list is built in the holes that a half-freed heap of twice as many left. */
static void run_aged(void)
{
    size_t count = bench_count(2000000);
    void **blocks = bench_pages(count * sizeof *blocks);
    uint32_t *order = bench_permutation(count);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = PEER_ALLOC(sizeof(Node));
        *(size_t *)blocks[i] = i;
    }
    for (size_t i = 0; i < count / 2; i++) PEER_FREE(blocks[order[i]], sizeof(Node));
    list_rows("aged", count / 2);
}

int main(int argc, char **argv)
{
    const char *pattern = argc > 1 ? argv[1] : "";
    huge = argc > 2 && strcmp(argv[2], "huge") == 0;
    PEER_START(huge);
    draw_sizes();
    if (strcmp(pattern, "pair") == 0)
        run_pair();
    else if (strcmp(pattern, "burst") == 0)
        run_burst();
    else if (strcmp(pattern, "churn10k") == 0)
        run_churn("churn_10k", 10000, bench_count(2000000), false);
    else if (strcmp(pattern, "churn1m") == 0)
        run_churn("churn_1m", bench_count(1000000), bench_count(2000000), true);
    else if (strcmp(pattern, "bulk") == 0)
        run_bulk();
    else if (strcmp(pattern, "list") == 0)
        list_rows("list", bench_count(1000000));
    else if (strcmp(pattern, "aged") == 0)
        run_aged();
    else
        bench_die("usage: heap pair|burst|churn10k|churn1m|bulk|list|aged [huge]");
    return 0;
}
