/* 05_raw_memory.c - malloc's contract, with a heap in front

   Raw blocks have no header, no type and no count. They are 16-byte aligned, sizes are
   checked for overflow, and what you forget to free is in the heap's statistics and
   in its leak report.

   Prints:
     grown to 1000 numbers, the first ten kept: 0 1 4 9 16 25 36 49 64 81
     a block of size 0 is a block: yes
     aligned to 4096: yes
     too large: the call fails with MM_ERR_OVERFLOW
     blocks alive: 3, after freeing them: 0
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

static size_t blocks(mm_heap *heap)
{
    mm_heap_stats stats;
    mm_heap_get_stats(heap, &stats);
    return stats.live_blocks;
}

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    size_t already = blocks(heap), alive;      /* what the heap needs for itself   */
    int *squares = (int *)mm_calloc(heap, 10, sizeof(int)), *more;
    void *empty, *page;
    for (int i = 0; i < 10; i++) squares[i] = i * i;

    more = (int *)mm_realloc(heap, squares, 1000 * sizeof(int));
    if (more == NULL) return 1;                /* squares would still be there     */
    squares = more;
    printf("grown to 1000 numbers, the first ten kept:");
    for (int i = 0; i < 10; i++) printf(" %d", squares[i]);

    empty = mm_alloc(heap, 0);
    printf("\na block of size 0 is a block: %s\n", empty != NULL ? "yes" : "no");
    page = mm_alloc_aligned(heap, 100, 4096);
    printf("aligned to 4096: %s\n", (uintptr_t)page % 4096 == 0 ? "yes" : "no");

    if (mm_calloc(heap, SIZE_MAX / 2, 16) == NULL)
        printf("too large: the call fails with %s\n",
               mm_last_status(heap) == MM_ERR_OVERFLOW ? "MM_ERR_OVERFLOW" : "another");

    alive = blocks(heap) - already;
    mm_free(heap, squares);
    mm_free(heap, empty);
    mm_free(heap, page);
    printf("blocks alive: %zu, after freeing them: %zu\n", alive,
           blocks(heap) - already);
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
