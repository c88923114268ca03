/* bench.h - what the benchmark programs share: clock, random numbers, medians,
   output. A program runs the pattern named by its first argument and prints one
   line "row unit value" per figure; run.sh takes the medians of several runs.

   Every duration is CPU time of the calling thread, so that another process on
   the same core costs cache lines but no time. One reading takes 0.1 to 0.3 us:
   fine around a loop; where single operations are timed it is said so. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The compiler must assume that p is used and that any memory has changed. */
#define BENCH_KEEP(p)  __asm__ volatile("" : "+r"(p) : : "memory")
/* The same, but p itself is what it was. */
#define BENCH_SEEN(p)  __asm__ volatile("" : : "r"(p) : "memory")
#define BENCH_NOINLINE __attribute__((noinline))
#define BENCH_UNUSED   __attribute__((unused))

/* CPU time of this thread in ns. */
BENCH_UNUSED static double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

BENCH_UNUSED static void bench_die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

/* A benchmark that did not do its work has no time: every program checks. */
#define BENCH_REQUIRE(condition)                                                       \
    ((condition) ? (void)0 : bench_die("not so: " #condition))

/* QUICK=1: small counts and one repetition, to see that everything runs. */
BENCH_UNUSED static bool bench_quick(void)
{
    const char *text = getenv("QUICK");
    return text != NULL && *text != '\0' && *text != '0';
}

/* How many of something: full, or a fiftieth of it, at least 10, when quick. */
BENCH_UNUSED static size_t bench_count(size_t full)
{
    size_t few = full / 50 < 10 ? 10 : full / 50;
    return bench_quick() && few < full ? few : full;
}

BENCH_UNUSED static int bench_repeats(int full)
{
    return bench_quick() ? 1 : full;
}

static uint64_t bench_seed = 88172645463325252ull;

/* xorshift64: the same sequence in every program and in every run. */
BENCH_UNUSED static inline uint64_t bench_random(void)
{
    bench_seed ^= bench_seed << 13;
    bench_seed ^= bench_seed >> 7;
    bench_seed ^= bench_seed << 17;
    return bench_seed;
}

/* 0 .. n - 1, n below 2^32. */
BENCH_UNUSED static inline size_t bench_below(size_t n)
{
    return (size_t)(((bench_random() >> 32) * (uint64_t)n) >> 32);
}

BENCH_UNUSED static int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

BENCH_UNUSED static double bench_median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, bench_compare);
    return values[n / 2];
}

/* The value below which `share` of the n values lie; sorts them. */
BENCH_UNUSED static double bench_quantile(double *values, size_t n, double share)
{
    size_t i = (size_t)((double)n * share);
    qsort(values, n, sizeof *values, bench_compare);
    return values[i < n ? i : n - 1];
}

BENCH_UNUSED static void bench_put(const char *row, const char *unit, double value)
{
    printf("%s %s %.4f\n", row, unit, value);
    fflush(stdout);
}

/* Bytes of this process in physical memory. */
BENCH_UNUSED static double bench_resident(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        bench_die("cannot read /proc/self/statm");
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* Memory for the harness itself: outside every allocator, already touched, so
   that neither its page faults nor its pages appear in a figure. */
BENCH_UNUSED static void *bench_pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) bench_die("out of memory");
    return p;
}

/* 0 .. n - 1 in random order. */
BENCH_UNUSED static uint32_t *bench_permutation(size_t n)
{
    uint32_t *order = (uint32_t *)bench_pages(n * sizeof *order);
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = n; i-- > 1;) {
        size_t j = bench_below(i + 1);
        uint32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    return order;
}

#endif /* BENCH_H */
