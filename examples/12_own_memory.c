/* 12_own_memory.c - the host decides where a heap's memory comes from

   Give the heap a pair of hooks and it asks you instead of the system; what it got
   it gives back, all of it. Or give it one fixed buffer, and it lives inside and asks
   nobody: for consoles, plug-ins, and machines without an operating system.

   Prints:
     with hooks: 100000 numbers add up to 4999950000
     memory was asked for: yes, and all given back: yes
     in a buffer: the heap lives inside it: yes
     in a buffer: more than there is: refused
*/
#define _POSIX_C_SOURCE 200112L
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct Account { size_t calls, bytes; } Account;

static void *host_map(size_t size, size_t align, void *user)
{
    Account *account = (Account *)user;
    void *memory = NULL;
    if (posix_memalign(&memory, align, size) != 0) return NULL;
    account->calls++;
    account->bytes += size;
    return memset(memory, 0, size);            /* the heap expects it zeroed       */
}

static void host_unmap(void *memory, size_t size, void *user)
{
    ((Account *)user)->bytes -= size;
    free(memory);
}

static bool with_hooks(void)
{
    Account account = {0, 0};
    mm_heap_desc desc;
    mm_heap *heap;
    uint64_t *numbers, sum = 0;
    size_t held;
    memset(&desc, 0, sizeof desc);
    desc.map = host_map;
    desc.unmap = host_unmap;
    desc.user = &account;
    heap = mm_heap_create(&desc);
    numbers = (uint64_t *)mm_calloc(heap, 100000, sizeof *numbers);
    for (uint64_t i = 0; i < 100000; i++) numbers[i] = i;
    for (uint64_t i = 0; i < 100000; i++) sum += numbers[i];
    printf("with hooks: 100000 numbers add up to %llu\n", (unsigned long long)sum);
    mm_free(heap, numbers);
    held = mm_heap_destroy(heap);
    printf("memory was asked for: %s, and all given back: %s\n",
           account.calls > 0 ? "yes" : "no", account.bytes == 0 ? "yes" : "no");
    return held == 0;
}

static bool in_a_buffer(void)
{
    static char buffer[16 << 20];
    mm_heap_desc desc;
    mm_heap *heap;
    char *p;
    memset(&desc, 0, sizeof desc);
    desc.buffer = buffer;
    desc.buffer_size = sizeof buffer;
    heap = mm_heap_create(&desc);
    if (heap == NULL) return false;
    p = (char *)mm_alloc(heap, 1000);
    printf("in a buffer: the heap lives inside it: %s\n",
           p >= buffer && p < buffer + sizeof buffer ? "yes" : "no");
    mm_free(heap, p);
    p = (char *)mm_alloc(heap, sizeof buffer);
    printf("in a buffer: more than there is: %s\n", p == NULL ? "refused" : "granted");
    return mm_heap_destroy(heap) == 0;
}

int main(void)
{
    return with_hooks() && in_a_buffer() ? 0 : 1;
}
