/* plant.c - plants one bug, for tests/debug.sh to see who finds it.

       plant KIND LEVEL [keep]

   KIND is none, overflow, underflow, use-after-free, double-free, foreign-free, leak;
   LEVEL the debug level of the heap. With `keep` the heap is not destroyed, so that
   nobody but Valgrind can see a leak.
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"

#include <stdio.h>
#include <stdlib.h>

#define SIZE 116

static int leaks;

static void print_leak(const mm_leak *leak, void *user)
{
    (void)user;
    leaks++;
    fprintf(stderr, "leak: %lu of %s, %lu bytes\n", (unsigned long)leak->objects,
            leak->type_name, (unsigned long)leak->bytes);
}

static void print_log(mm_log_level level, const char *message, void *user)
{
    (void)user;
    if (level == MM_LOG_BUG) fprintf(stderr, "bug: %s\n", message);
}

static void plant_write(mm_heap *heap, ptrdiff_t at, bool freed)
{
    volatile char *p = (volatile char *)mm_alloc(heap, SIZE);
    void          *block = (void *)(uintptr_t)p;
    printf("planted %p\naccess %p\n", block, (void *)((char *)block + at));
    if (freed) mm_free(heap, block);
    p[at] = 1;
    if (!freed) mm_free(heap, block);
}

static void plant_free(mm_heap *heap, bool foreign)
{
    void *mine = malloc(SIZE), *p = foreign ? mine : mm_alloc(heap, SIZE);
    printf("planted %p\n", p);
    if (!foreign) mm_free(heap, p);
    mm_free(heap, p);
    free(mine);
}

static void plant_leak(mm_heap *heap)
{
    char *volatile p = (char *)mm_alloc(heap, SIZE);
    printf("planted %p\n", (void *)p);
    p[0] = 1;
    p = NULL;
}

static void plant_nothing(mm_heap *heap)
{
    char *p = (char *)mm_alloc(heap, SIZE), *q = (char *)mm_calloc(heap, 1, SIZE);
    memset(p, 1, SIZE);
    p = (char *)mm_realloc(heap, p, 10 * SIZE);
    memset(p, 2, 10 * SIZE);
    mm_free(heap, p);
    mm_free_sized(heap, q, SIZE);
    mm_free(heap, mm_alloc_aligned(heap, SIZE, 4096));
}

static bool plant(mm_heap *heap, const char *kind)
{
    if (strcmp(kind, "none") == 0)
        plant_nothing(heap);
    else if (strcmp(kind, "overflow") == 0)
        plant_write(heap, SIZE, false);
    else if (strcmp(kind, "underflow") == 0)
        plant_write(heap, -1, false);
    else if (strcmp(kind, "use-after-free") == 0)
        plant_write(heap, 50, true);
    else if (strcmp(kind, "double-free") == 0)
        plant_free(heap, false);
    else if (strcmp(kind, "foreign-free") == 0)
        plant_free(heap, true);
    else if (strcmp(kind, "leak") == 0)
        plant_leak(heap);
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    mm_heap_desc desc;
    mm_heap     *heap;
    memset(&desc, 0, sizeof desc);
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc < 3) return 2;
    desc.debug = atoi(argv[2]);
    desc.leak = print_leak;
    desc.log = print_log;
    heap = mm_heap_create(&desc);
    if (heap == NULL || !plant(heap, argv[1])) return 2;
    if (argc > 3) return 0;
    mm_heap_destroy(heap);
    return leaks > 0;
}
