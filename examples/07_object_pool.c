/* 07_object_pool.c - object pools: items made once and used again

   A pool of plain structs hands out and takes back. A pool over a managed type gives
   ordinary objects, and they come home by themselves when their count reaches zero.

   Prints:
     100 bullets fired one after the other: 1 made, 99 used again
     the magazine holds 8: the ninth is refused
     a managed particle came back by itself: 1 idle
     the next one is fresh: age 0
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

typedef struct Bullet { float x, y, dx, dy; } Bullet;
typedef struct Particle { int age; } Particle;
MM_TYPE_LEAF(Particle)

static void fire_bullets(mm_heap *heap)
{
    mm_pool_desc desc;
    mm_pool_stats stats;
    mm_pool *magazine;
    void *fired[9];
    memset(&desc, 0, sizeof desc);
    desc.item_size = sizeof(Bullet);
    desc.max = 8;
    magazine = mm_pool_create(heap, &desc);

    for (int i = 0; i < 100; i++) mm_pool_release(magazine, mm_pool_acquire(magazine));
    mm_pool_get_stats(magazine, &stats);
    printf("100 bullets fired one after the other: %d made, %d used again\n",
           (int)stats.misses, (int)stats.hits);

    for (int i = 0; i < 9; i++) fired[i] = mm_pool_acquire(magazine);
    printf("the magazine holds 8: the ninth is %s\n",
           fired[8] == NULL ? "refused" : "here");
    for (int i = 0; i < 8; i++) mm_pool_release(magazine, fired[i]);
    mm_pool_destroy(magazine);
}

static void make_particles(mm_heap *heap)
{
    mm_pool_desc desc;
    mm_pool_stats stats;
    mm_pool *pool;
    Particle *p;
    memset(&desc, 0, sizeof desc);
    desc.type = mm_typeof(Particle);
    pool = mm_pool_create(heap, &desc);

    p = (Particle *)mm_pool_acquire(pool);
    p->age = 99;
    mm_decref(p);                              /* the last reference: back it goes */
    mm_pool_get_stats(pool, &stats);
    printf("a managed particle came back by itself: %zu idle\n", stats.idle);

    p = (Particle *)mm_pool_acquire(pool);
    printf("the next one is fresh: age %d\n", p->age);
    mm_decref(p);
    mm_pool_destroy(pool);
}

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    fire_bullets(heap);
    make_particles(heap);
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
