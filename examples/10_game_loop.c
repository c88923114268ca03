/* 10_game_loop.c - a collector that fits into a frame

   A game cannot stop for a full collection. With automatic collection off, mm_gc_step
   does a slice per frame and returns when its budget is used up. The squads here are
   cycles, so only the collector can free them; the heap stays small all the same.

   Prints:
     600 frames, 600 squads of 20 made
     never more than 100 squads in memory: yes
     after the last frame: 0 objects
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

enum { FRAMES = 600, SIZE = 20, BUDGET_US = 500 };

typedef struct Soldier { struct Soldier *leader, *next; int health; } Soldier;
MM_TYPE(Soldier, MM_REF(Soldier, leader), MM_REF(Soldier, next))

/* A leader and his followers. They know him, and he leads to them: a cycle. */
static Soldier *make_squad(mm_heap *heap)
{
    Soldier *leader = mm_new(heap, Soldier);
    for (int i = 1; i < SIZE; i++) {
        Soldier *s = mm_new(heap, Soldier);
        mm_set(&s->leader, leader);
        mm_set_steal(&s->next, mm_take(&leader->next));
        mm_set_steal(&leader->next, s);
    }
    return leader;
}

static size_t objects(mm_heap *heap)
{
    mm_heap_stats stats;
    mm_heap_get_stats(heap, &stats);
    return stats.objects;
}

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Soldier *squad = NULL;
    size_t most = 0;
    mm_gc_disable(heap);                       /* the frame decides when           */

    for (int frame = 0; frame < FRAMES; frame++) {
        mm_set_steal(&squad, make_squad(heap)); /* the old squad is garbage now    */
        mm_gc_step(heap, BUDGET_US);           /* what is left of the frame's time */
        if (objects(heap) > most) most = objects(heap);
    }
    printf("%d frames, %d squads of %d made\n", FRAMES, FRAMES, SIZE);
    printf("never more than 100 squads in memory: %s\n",
           most <= 100 * SIZE ? "yes" : "no");

    mm_clear(&squad);
    mm_gc_collect(heap, 2);                    /* a loading screen has the time    */
    printf("after the last frame: %zu objects\n", objects(heap));
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
