/* gc_work.h - the collector's workloads, in C, over whatever the including file gives:

     Node                      three references: a, b, c
     Node *node_new(void)      a new reference; a, b, c are NULL
     void node_set(Node **slot, Node *p)  a counted store; p is borrowed
     void node_drop(Node *p)   give up a reference
     Node **node_array(size_t n), void node_array_free(Node **)
                               references held from outside, all NULL
     size_t gc_collect(int generation)    garbage found, or GC_UNKNOWN
     void gc_automatic(bool on)
     bool gc_holds_at_most(size_t nodes)  whether memory agrees (true: not known)
     GC_HAS_YOUNG, GC_HAS_STEP (bool gc_step(void): true while there is more),
     GC_DROP_FREES (dropping the last reference frees without a collection)

   `*slot = p` moves a reference that the caller owns into an empty slot.

   Rows, with their names in the table:
     a A    drop a ring of 1M nodes; addresses in order, shuffled
     b b1   1M two-node cycles, collected as they come; 2M dead nodes at once
     c_     2M live old nodes, 1000 fresh two-node cycles, then a collection
     d      binary trees with parent pointers
     e      drop a list of 5M nodes
     f      steady state: 125k rooted 8-rings, one replaced and 8 old references
            rewritten in each step */
#ifndef BENCH_GC_WORK_H
#define BENCH_GC_WORK_H

#include "bench.h"

#define GC_UNKNOWN SIZE_MAX

static const char *gc_variant = ""; /* appended to every row's name */

static void gc_put(const char *row, const char *unit, double value)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", row, gc_variant);
    bench_put(name, unit, value);
}

/* Collect everything, and fail unless at least `garbage` nodes went. */
static void gc_must_find(int generation, size_t garbage)
{
    size_t found = gc_collect(generation);
    BENCH_REQUIRE(found == GC_UNKNOWN || found >= garbage);
}

/* The root of a workload. Volatile, so that dropping it is a real store. */
static Node *volatile gc_root;

static void drop_root(void)
{
    Node *p = gc_root;
    gc_root = NULL;
    node_drop(p);
}

/* --- shapes --- */

/* A doubly linked ring; a: next, owns; b: previous. */
BENCH_NOINLINE static Node *ring(size_t count)
{
    Node *head = node_new(), *last = head;
    for (size_t i = 1; i < count; i++) {
        Node *node = node_new();
        node_set(&node->b, last);
        last->a = node;
        last = node;
    }
    node_set(&last->a, head);
    node_set(&head->b, last);
    return head;
}

/* The same ring through nodes in random order of address. */
BENCH_NOINLINE static Node *shuffled_ring(size_t count)
{
    uint32_t *order = bench_permutation(count);
    Node **nodes = node_array(count), *head;
    for (size_t i = 0; i < count; i++) nodes[i] = node_new();
    for (size_t i = 0; i < count; i++) {
        Node *node = nodes[order[i]];
        node_set(&node->a, nodes[order[(i + 1) % count]]);
        node_set(&node->b, nodes[order[(i + count - 1) % count]]);
    }
    head = nodes[0];
    for (size_t i = 1; i < count; i++) node_drop(nodes[i]);
    node_array_free(nodes);
    munmap(order, count * sizeof *order);
    return head;
}

static inline void garbage_pair(void)
{
    Node *x = node_new(), *y = node_new();
    node_set(&x->a, y);
    node_set(&y->a, x);
    node_drop(x);
    node_drop(y);
}

BENCH_NOINLINE static void garbage_pairs(size_t count)
{
    for (size_t i = 0; i < count; i++) garbage_pair();
}

/* --- the longest single operation, where a workload asks for it --- */

static bool pause_timed;
static double pause_since, pause_longest;

static void pause_start(void)
{
    pause_timed = true;
    pause_longest = 0;
    pause_since = bench_now();
}

static inline void pause_tick(void)
{
    if (pause_timed) {
        double now = bench_now(), took = now - pause_since;
        if (took > pause_longest) pause_longest = took;
        pause_since = bench_now();
    }
}

/* --- a, A --- */

static void run_ring(const char *row, bool shuffled)
{
    size_t count = bench_count(1000000);
    int repeats = bench_repeats(3);
    double times[3];
    gc_automatic(false);
    for (int r = 0; r < repeats; r++) {
        double begin;
        gc_root = shuffled ? shuffled_ring(count) : ring(count);
        gc_collect(2);
        begin = bench_now();
        drop_root();
        gc_must_find(2, count);
        times[r] = (bench_now() - begin) / (double)count;
        BENCH_REQUIRE(gc_holds_at_most(count / 100));
    }
    gc_put(row, "ns/object", bench_median(times, repeats));
}

/* Build, drop and collect, again and again: also what a collector leaves to the
   next allocations. */
static void run_ring_again(void)
{
    size_t count = bench_count(1000000);
    int repeats = bench_repeats(5);
    double times[5];
    gc_automatic(false);
    for (int r = 0; r < repeats; r++) {
        double begin = bench_now();
        gc_root = ring(count);
        drop_root();
        gc_must_find(2, count);
        times[r] = (bench_now() - begin) / (double)count;
    }
    gc_put("a_rebuilt", "ns/object", bench_median(times, repeats));
}

/* --- b, b1 --- */

static void run_pairs(void)
{
    size_t count = bench_count(1000000);
    int repeats = bench_repeats(3);
    double times[3];
    gc_automatic(true);
    for (int r = 0; r < repeats; r++) {
        double begin = bench_now();
        garbage_pairs(count);
        gc_collect(2);
        times[r] = (bench_now() - begin) / (double)(2 * count);
        BENCH_REQUIRE(gc_holds_at_most(count / 100));
    }
    gc_put("b", "ns/object", bench_median(times, repeats));
}

static void run_pairs_at_once(void)
{
    size_t count = bench_count(1000000);
    int repeats = bench_repeats(3);
    double times[3];
    gc_automatic(false);
    for (int r = 0; r < repeats; r++) {
        double begin;
        garbage_pairs(count);
        begin = bench_now();
        gc_must_find(2, 2 * count);
        times[r] = (bench_now() - begin) / (double)(2 * count);
        BENCH_REQUIRE(gc_holds_at_most(count / 100));
    }
    gc_put("b1", "ns/object", bench_median(times, repeats));
}

/* --- c --- */

enum { C_PAIRS = 1000, C_REPEATS = 7 };

/* An old, live object loses a reference: it must be suspected of being garbage. */
static void suspect(void)
{
    Node *old = gc_root;
    node_set(&old->c, old->a);
    node_set(&old->c, NULL);
}

static double timed_collection(int generation, size_t garbage)
{
    double begin = bench_now();
    gc_must_find(generation, garbage);
    return (bench_now() - begin) / 1e3;
}

static void put_median(const char *row, double *times, int repeats)
{
    gc_put(row, "us", bench_median(times, repeats));
}

static void run_old_heap(void)
{
    int repeats = bench_repeats(C_REPEATS);
    double young[C_REPEATS], full[C_REPEATS], clean[C_REPEATS], idle[C_REPEATS];
    gc_automatic(false);
    gc_root = ring(bench_count(2000000));
    gc_collect(2);
    gc_collect(2);
    for (int r = 0; r < repeats; r++) {
        garbage_pairs(C_PAIRS);
        clean[r] = timed_collection(2, 2 * C_PAIRS);
        idle[r] = timed_collection(2, 0);
        garbage_pairs(C_PAIRS);
        suspect();
        full[r] = timed_collection(2, 2 * C_PAIRS);
        garbage_pairs(C_PAIRS);
        young[r] = GC_HAS_YOUNG ? timed_collection(0, 2 * C_PAIRS) : 0;
        gc_collect(2);
    }
    if (GC_HAS_YOUNG) put_median("c_young", young, repeats);
    put_median("c_full", full, repeats);
    put_median("c_clean", clean, repeats);
    put_median("c_idle", idle, repeats);
    drop_root();
    gc_collect(2);
}

#if GC_HAS_STEP
/* The full collection of c_full done in slices: the longest one, and their sum. */
static void run_slices(void)
{
    int repeats = bench_repeats(C_REPEATS);
    double longest[C_REPEATS], total[C_REPEATS];
    gc_automatic(false);
    gc_root = ring(bench_count(2000000));
    gc_collect(2);
    for (int r = 0; r < repeats; r++) {
        bool more = true;
        longest[r] = total[r] = 0;
        garbage_pairs(C_PAIRS);
        suspect();
        while (more) {
            double begin = bench_now(), took;
            more = gc_step();
            took = (bench_now() - begin) / 1e3;
            total[r] += took;
            if (took > longest[r]) longest[r] = took;
        }
        gc_collect(2);
    }
    put_median("c_slice_longest", longest, repeats);
    put_median("c_slices_total", total, repeats);
    drop_root();
    gc_collect(2);
}
#endif

/* --- d --- */

static Node *tree(int depth, Node *parent)
{
    Node *node = node_new();
    pause_tick();
    node_set(&node->c, parent);
    if (depth > 0) {
        node->a = tree(depth - 1, node);
        node->b = tree(depth - 1, node);
    }
    return node;
}

static size_t tree_nodes(int depth)
{
    return ((size_t)1 << (depth + 1)) - 1;
}

/* Trees of each depth up to 16 beside one that lives on; returns the nodes made. */
static size_t grow_trees(int depth, int spread)
{
    size_t made = tree_nodes(depth + 1) + tree_nodes(depth);
    node_drop(tree(depth + 1, NULL));
    pause_tick();
    gc_root = tree(depth, NULL);
    for (int d = 4; d <= depth; d += 4) {
        int count = 1 << (depth - d + spread);
        for (int i = 0; i < count; i++) {
            node_drop(tree(d, NULL));
            pause_tick();
        }
        made += (size_t)count * tree_nodes(d);
    }
    return made;
}

static void run_trees(void)
{
    int depth = bench_quick() ? 8 : 16;
    double begin, made;
    gc_automatic(true);
    begin = bench_now();
    made = (double)grow_trees(depth, 4);
    drop_root();
    gc_collect(2);
    gc_put("d", "ns/object", (bench_now() - begin) / made);
}

/* Apart from run_trees, because here the clock is read at every operation. */
static void run_tree_pause(void)
{
    gc_automatic(true);
    pause_start();
    grow_trees(bench_quick() ? 8 : 16, 2);
    gc_put("d_pause", "us", pause_longest / 1e3);
    pause_timed = false;
    drop_root();
    gc_collect(2);
}

/* --- e --- */

#ifndef GC_SETTLE
#define GC_SETTLE() ((void)0) /* finish what a large drop left for later */
#endif

BENCH_NOINLINE static void build_list(size_t count)
{
    gc_root = NULL;
    for (size_t i = 0; i < count; i++) {
        Node *node = node_new();
        node->a = gc_root;
        gc_root = node;
    }
}

static void run_list(void)
{
    size_t count = bench_count(5000000);
    double begin, first;
    gc_automatic(false);
    build_list(count);
    gc_collect(2);
    begin = bench_now();
    drop_root();
    first = bench_now() - begin;
    GC_SETTLE();
    gc_put("e", "ns/object", (bench_now() - begin) / (double)count);
    if (GC_DROP_FREES) gc_put("e_first", "us", first / 1e3);
    gc_collect(2);
    BENCH_REQUIRE(gc_holds_at_most(count / 100));
}

/* --- f --- */

enum { F_RING = 8, F_WRITES = 8 };

typedef struct Steady {
    Node **roots;
    size_t count;
} Steady;

static void steady_build(Steady *s)
{
    s->count = bench_count(125000);
    s->roots = node_array(s->count);
    for (size_t i = 0; i < s->count; i++) s->roots[i] = ring(F_RING);
    for (size_t i = 0; i < s->count; i++)
        node_set(&s->roots[i]->c, s->roots[bench_below(s->count)]);
}

static void steady_begin(Steady *s)
{
    gc_automatic(false);
    steady_build(s);
    gc_collect(2);
    gc_automatic(true);
}

static void steady_end(Steady *s)
{
    for (size_t i = 0; i < s->count; i++) {
        Node *p = s->roots[i];
        s->roots[i] = NULL;
        node_drop(p);
    }
    node_array_free(s->roots);
    gc_collect(2);
    BENCH_REQUIRE(gc_holds_at_most(s->count * F_RING / 100));
}

static inline void steady_step(Steady *s)
{
    size_t place = bench_below(s->count);
    Node *fresh = ring(F_RING), *old = s->roots[place];
    node_set(&fresh->c, s->roots[bench_below(s->count)]);
    s->roots[place] = fresh;
    node_drop(old);
    for (int k = 0; k < F_WRITES; k++) {
        Node *from = s->roots[bench_below(s->count)];
        node_set(&from->c, s->roots[bench_below(s->count)]);
    }
}

/* Runs up to `steps` steps, but not much longer than `seconds`; returns how many. */
static size_t steady_run(Steady *s, size_t steps, double seconds)
{
    double begin = bench_now();
    size_t done = 0;
    while (done < steps) {
        for (int k = 0; k < 1000; k++) steady_step(s);
        done += 1000;
        if (bench_now() - begin > seconds * 1e9) break;
    }
    return done;
}

static void run_steady(void)
{
    Steady s;
    double begin;
    size_t steps = bench_count(1000000), done;
    steady_begin(&s);
    steady_run(&s, steps / 4, 1);
    begin = bench_now();
    done = steady_run(&s, steps, 3);
    gc_put("f", "ns/step", (bench_now() - begin) / (double)done);
    steady_end(&s);
}

#ifndef GC_PAUSE_HOOKS
#define GC_PAUSES_BEGIN()    ((void)0)
#define GC_PAUSE_STEP()      ((void)0)
#define GC_PAUSES_END(us, n) ((void)(us), (void)(n))
#endif

/* Each step timed by itself; the reading of the clock is not in the times. */
static void run_steady_pauses(void)
{
    size_t steps = bench_count(500000), done = 0;
    double *took = bench_pages(steps * sizeof *took), limit;
    Steady s;
    steady_begin(&s);
    steady_run(&s, steps / 2, 1);
    limit = bench_now() + 2e9;
    GC_PAUSES_BEGIN();
    while (done < steps) {
        double begin = bench_now(), end;
        steady_step(&s);
        end = bench_now();
        took[done++] = (end - begin) / 1e3;
        GC_PAUSE_STEP();
        if (end > limit) break;
    }
    gc_put("f_p999", "us", bench_quantile(took, done, 0.999));
    gc_put("f_longest", "us", took[done - 1]);
    GC_PAUSES_END(took, done);
    steady_end(&s);
}

static void gc_run(const char *pattern)
{
    if (strcmp(pattern, "a") == 0)
        run_ring("a", false);
    else if (strcmp(pattern, "A") == 0)
        run_ring("A", true);
    else if (strcmp(pattern, "again") == 0)
        run_ring_again();
    else if (strcmp(pattern, "b") == 0)
        run_pairs();
    else if (strcmp(pattern, "b1") == 0)
        run_pairs_at_once();
    else if (strcmp(pattern, "c") == 0)
        run_old_heap();
#if GC_HAS_STEP
    else if (strcmp(pattern, "slices") == 0)
        run_slices();
#endif
    else if (strcmp(pattern, "d") == 0)
        run_trees();
    else if (strcmp(pattern, "dpause") == 0)
        run_tree_pause();
    else if (strcmp(pattern, "e") == 0)
        run_list();
    else if (strcmp(pattern, "f") == 0)
        run_steady();
    else if (strcmp(pattern, "fpause") == 0)
        run_steady_pauses();
    else
        bench_die("usage: gc a|A|again|b|b1|c|slices|d|dpause|e|f|fpause");
}

#endif /* BENCH_GC_WORK_H */
