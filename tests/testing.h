/* testing.h - what the cmocka programs of this folder share.

       #define MEMMGR_IMPLEMENTATION
       #include "testing.h"

   Contents: a heap description whose hooks count and can fail (test_env), a child
   process for code that is meant to abort (test_child), fill patterns, a small
   random generator, and the words of where a test runs (TEST_SANITIZED,
   test_on_valgrind, TEST_NEEDS_NATIVE).
*/
#ifndef MEMMGR_TESTING_H
#define MEMMGR_TESTING_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "memmgr.h"

#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

/* ---------------------------------------------------------------- where we are */

#if defined(__SANITIZE_ADDRESS__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

#if TEST_SANITIZED /* its reports end a child as an assertion does */
#include <sanitizer/lsan_interface.h>
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "abort_on_error=1";
}
#endif

/* What is allocated from now on will leak, or not any more: it need not be told. */
static inline void test_leaks_on_purpose(bool on)
{
    (void)on;
#if TEST_SANITIZED
    if (on)
        __lsan_disable();
    else
        __lsan_enable();
#endif
}

/* Valgrind puts its own library in front of ours; no header is needed to see it. */
static inline bool test_on_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

static inline bool test_is_native(void)
{
    return !TEST_SANITIZED && !test_on_valgrind();
}

/* Resident memory, the size of a stack and the reuse of an address mean something
   else under AddressSanitizer (shadow memory, fake stacks, red zones) and under
   Valgrind (its own stacks and redzones). A test about those starts with this and is
   shown as skipped there. */
#define TEST_NEEDS_NATIVE()                                                         \
    do {                                                                            \
        if (!test_is_native()) skip();                                              \
    } while (0)

/* The number of rounds of a long test: a tenth where every step is slow. */
static inline size_t test_rounds(size_t native)
{
    size_t slow = native / 10;
    if (test_is_native()) return native;
    return slow > 0 ? slow : 1;
}

/* An arena of the profile under test: what "small" and "large" are measured in. */
#if MEMMGR_SMALL
#define TEST_ARENA ((size_t)256 << 10)
#else
#define TEST_ARENA ((size_t)4 << 20)
#endif
#define TEST_ALIGN_MAX (TEST_ARENA / 4) /* of mm_alloc_aligned: 1 MiB, or 64 KiB */
#define TEST_KIB ((size_t)1 << 10)
#define TEST_MIB ((size_t)1 << 20)

/* More than any system has, and no overflow; of 32-bit addresses half may be had. */
#define TEST_TOO_MUCH                                                               \
    (sizeof(void *) == 8 ? SIZE_MAX / 2 - 4 * TEST_ARENA : SIZE_MAX / 2 + 1)

#define TEST_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ------------------------------------------------------- hooks that keep account */

typedef struct test_mapping {
    char  *memory;
    size_t size;
} test_mapping;

typedef struct test_env {
    /* OS memory: request number fail_from and the fail_count - 1 after it fail */
    size_t        requests, fail_from, fail_count, failed;
    size_t        live_maps, live_bytes, peak_bytes, unmaps;
    size_t        errors; /* requests and returns against the contract           */
    test_mapping *maps;
    size_t        map_capacity;
    /* log */
    size_t logged[3];
    size_t log_errors; /* an unknown level, an empty message, a newline in it     */
    char   log[8192];  /* one line per message, the first ones only              */
    size_t log_length;
    bool   echo;       /* print messages to stderr too                           */
    /* leak reports, names copied */
    mm_leak leaks[8];
    char    leak_names[8][64];
    size_t  leak_count;
} test_env;

#if defined(_WIN32)

static inline size_t test_page(void)
{
    return 4096;
}

static inline void *test_map_aligned(size_t size, size_t align)
{
    char *raw = NULL, *memory = NULL;
    if (size + align < size) return NULL;
    for (int attempt = 0; memory == NULL && attempt < 16; attempt++) {
        raw = (char *)VirtualAlloc(NULL, size + align, MEM_RESERVE, PAGE_NOACCESS);
        if (raw == NULL) return NULL;
        memory = (char *)(((uintptr_t)raw + align - 1) & ~(uintptr_t)(align - 1));
        VirtualFree(raw, 0, MEM_RELEASE); /* somebody may be faster than what follows */
        memory = (char *)VirtualAlloc(memory, size, MEM_RESERVE | MEM_COMMIT,
                                      PAGE_READWRITE);
    }
    return memory;
}

static inline void test_unmap_whole(void *memory, size_t size)
{
    (void)size;
    VirtualFree(memory, 0, MEM_RELEASE);
}

#else

static inline size_t test_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Zeroed memory at a multiple of align, straight from the system. */
static inline void *test_map_aligned(size_t size, size_t align)
{
    size_t whole = size + align, before;
    char  *raw;
    if (whole < size) return NULL;
    raw = (char *)mmap(NULL, whole, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == (char *)MAP_FAILED) return NULL;
    before = (align - ((uintptr_t)raw & (align - 1))) & (align - 1);
    if (before > 0) munmap(raw, before);
    if (align > before) munmap(raw + before + size, align - before);
    return raw + before;
}

static inline void test_unmap_whole(void *memory, size_t size)
{
    munmap(memory, size);
}

#endif

static inline bool test_env_reserve(test_env *env)
{
    if (env->live_maps == env->map_capacity) {
        size_t capacity = env->map_capacity ? env->map_capacity * 2 : 64;
        void  *maps = realloc(env->maps, capacity * sizeof *env->maps);
        if (maps == NULL) return false;
        env->maps = (test_mapping *)maps;
        env->map_capacity = capacity;
    }
    return true;
}

static inline void *test_map(size_t size, size_t align, void *user)
{
    test_env *env = (test_env *)user;
    char     *memory;
    env->requests++;
    if (size == 0 || size % test_page() != 0) env->errors++;
    if (align == 0 || (align & (align - 1)) != 0) env->errors++;
    if (env->requests >= env->fail_from &&
        env->requests - env->fail_from < env->fail_count) {
        env->failed++;
        return NULL;
    }
    if (!test_env_reserve(env)) return NULL;
    memory = (char *)test_map_aligned(size, align < test_page() ? test_page() : align);
    if (memory == NULL) return NULL;
    env->maps[env->live_maps].memory = memory;
    env->maps[env->live_maps++].size = size;
    env->live_bytes += size;
    if (env->live_bytes > env->peak_bytes) env->peak_bytes = env->live_bytes;
    return memory;
}

static inline void test_unmap(void *memory, size_t size, void *user)
{
    test_env *env = (test_env *)user;
    size_t    i = env->live_maps;
    env->unmaps++;
    while (i > 0 && env->maps[i - 1].memory != (char *)memory) i--;
    if (i == 0 || env->maps[i - 1].size != size) {
        env->errors++; /* not ours, given back twice, or another size */
        return;
    }
    env->maps[i - 1] = env->maps[--env->live_maps];
    env->live_bytes -= size;
    test_unmap_whole(memory, size);
}

static inline void test_log(mm_log_level level, const char *message, void *user)
{
    test_env *env = (test_env *)user;
    size_t    length = message != NULL ? strlen(message) : 0;
    if ((unsigned)level > MM_LOG_BUG || length == 0 || strchr(message, '\n') != NULL) {
        env->log_errors++;
        return;
    }
    env->logged[level]++;
    if (env->log_length + length + 2 <= sizeof env->log) {
        memcpy(env->log + env->log_length, message, length);
        env->log_length += length;
        env->log[env->log_length++] = '\n';
    }
    if (env->echo) fprintf(stderr, "%s\n", message);
}

static inline void test_leak(const mm_leak *leak, void *user)
{
    test_env *env = (test_env *)user;
    size_t    i = env->leak_count++;
    if (i >= TEST_COUNT(env->leaks)) return;
    env->leaks[i] = *leak;
    snprintf(env->leak_names[i], sizeof env->leak_names[i], "%s", leak->type_name);
}

/* The report of one type (or "raw memory"), or NULL. */
static inline const mm_leak *test_leak_of(const test_env *env, const char *name)
{
    size_t i;
    for (i = 0; i < env->leak_count && i < TEST_COUNT(env->leaks); i++)
        if (strcmp(env->leak_names[i], name) == 0) return &env->leaks[i];
    return NULL;
}

/* A description with all the hooks of env and defaults for the rest. */
static inline mm_heap_desc test_desc(test_env *env)
{
    mm_heap_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.map = test_map;
    desc.unmap = test_unmap;
    desc.log = test_log;
    desc.leak = test_leak;
    desc.user = env;
    return desc;
}

static inline mm_heap *test_heap(test_env *env)
{
    mm_heap_desc desc = test_desc(env);
    mm_heap     *heap;
    memset(env, 0, sizeof *env);
    heap = mm_heap_create(&desc);
    assert_non_null(heap);
    return heap;
}

/* After the heap is gone: every mapping is back, and every hook was called as its
   contract says. */
static inline void test_env_balanced(test_env *env)
{
    assert_int_equal(env->live_maps, 0);
    assert_int_equal(env->live_bytes, 0);
    assert_int_equal(env->errors, 0);
    assert_int_equal(env->log_errors, 0);
    free(env->maps);
    env->maps = NULL;
    env->map_capacity = 0;
}

/* The usual end of a test: consistent, nothing held, nothing leaked, no complaint. */
static inline void test_heap_done(mm_heap *heap, test_env *env)
{
    assert_true(mm_heap_check(heap));
    assert_int_equal(mm_heap_destroy(heap), 0);
    assert_int_equal(env->leak_count, 0);
    assert_int_equal(env->logged[MM_LOG_BUG], 0);
    test_env_balanced(env);
}

static inline mm_heap_stats test_stats(mm_heap *heap)
{
    mm_heap_stats stats;
    memset(&stats, 0xEE, sizeof stats); /* every field must be written */
    mm_heap_get_stats(heap, &stats);
    return stats;
}

/* Free what a large mm_decref left for later. */
static inline void test_drain(mm_heap *heap)
{
    size_t rounds = 0;
    while (mm_gc_step(heap, 10000) && rounds < 1000000) rounds++;
    assert_true(rounds < 1000000);
}

/* ------------------------------------------------------------ patterns and chance */

static inline uint64_t test_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* A byte that depends on the position, so that moved content shows. */
static inline unsigned char test_byte(unsigned seed, size_t i)
{
    return (unsigned char)((seed * 31u + (unsigned)i * 7u + (unsigned)(i >> 8)) & 0xFF);
}

static inline void test_fill(void *p, size_t size, unsigned seed)
{
    unsigned char *bytes = (unsigned char *)p;
    size_t         i;
    for (i = 0; i < size; i++) bytes[i] = test_byte(seed, i);
}

static inline bool test_filled(const void *p, size_t size, unsigned seed)
{
    const unsigned char *bytes = (const unsigned char *)p;
    size_t               i;
    for (i = 0; i < size; i++)
        if (bytes[i] != test_byte(seed, i)) return false;
    return true;
}

/* The same for both ends of a block only, where filling all of it would take the time
   of the whole test. */
#define TEST_END ((size_t)1024)

static inline void test_fill_ends(void *p, size_t size, unsigned seed)
{
    size_t end = size < TEST_END ? size : TEST_END;
    test_fill(p, end, seed);
    if (size >= 2 * TEST_END) test_fill((char *)p + size - end, end, seed + 1);
}

static inline bool test_filled_ends(const void *p, size_t size, unsigned seed)
{
    size_t end = size < TEST_END ? size : TEST_END;
    if (!test_filled(p, end, seed)) return false;
    return size < 2 * TEST_END ||
           test_filled((const char *)p + size - end, end, seed + 1);
}

static inline bool test_all(const void *p, size_t size, int value)
{
    const unsigned char *bytes = (const unsigned char *)p;
    size_t               i;
    for (i = 0; i < size; i++)
        if (bytes[i] != (unsigned char)value) return false;
    return true;
}

static inline bool test_aligned(const void *p, size_t align)
{
    return ((uintptr_t)p & (align - 1)) == 0;
}

/* ------------------------------------------------- children that are meant to die */

#ifdef SIGBUS
#define TEST_SIGBUS SIGBUS
#else
#define TEST_SIGBUS SIGSEGV
#endif

typedef struct test_child {
    int  exit_code; /* -1 when a signal ended it                                 */
    int  signal;    /* 0 when it exited                                          */
    char output[32768]; /* stdout and stderr                                     */
} test_child;

#if defined(_WIN32) /* has no fork: what needs a child is shown as skipped */

static inline void test_run(test_child *child, void (*body)(void *), void *argument)
{
    (void)child, (void)body, (void)argument;
    skip();
}

#else

static inline void test_child_setup(int out)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
    struct rlimit    none = {0, 0};
    size_t           i;
    for (i = 0; i < TEST_COUNT(signals); i++)
        signal(signals[i], SIG_DFL); /* cmocka's handlers would hide the death */
    setrlimit(RLIMIT_CORE, &none);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close(out);
    setvbuf(stdout, NULL, _IONBF, 0);
    alarm(120);
}

static inline void test_child_read(test_child *child, int in)
{
    size_t  used = 0;
    char    spill[512];
    ssize_t n;
    do {
        size_t room = sizeof child->output - 1 - used;
        n = read(in, room > 0 ? child->output + used : spill, room > 0 ? room : 512);
        if (n > 0 && room > 0) used += (size_t)n;
    } while (n > 0);
    child->output[used] = 0;
    close(in);
}

/* Run body in a process of its own. It ends with exit code 0 if body returns. */
static inline void test_run(test_child *child, void (*body)(void *), void *argument)
{
    int   ends[2], status = 0;
    pid_t pid;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        test_child_setup(ends[1]);
        body(argument);
        _exit(0);
    }
    close(ends[1]);
    test_child_read(child, ends[0]);
    assert_true(waitpid(pid, &status, 0) == pid);
    child->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    child->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

#endif

static inline bool test_says(const test_child *child, const char *text)
{
    return strstr(child->output, text) != NULL;
}

/* A body announces the address that a complaint must name. */
static inline void test_announce(const volatile void *p)
{
    printf("planted %p\n", (void *)(uintptr_t)p);
}

/* Whether the announced address is named again after its announcement. */
static inline bool test_names_planted(const test_child *child)
{
    const char *line = strstr(child->output, "planted ");
    char        address[40];
    size_t      length;
    if (line == NULL) return false;
    line += strlen("planted ");
    length = strcspn(line, "\n");
    if (length == 0 || length >= sizeof address) return false;
    memcpy(address, line, length);
    address[length] = 0;
    return strstr(line + length, address) != NULL;
}

#endif /* MEMMGR_TESTING_H */
