/* vectors_auto.h - gc_auto: when automatic collections happen while objects are made
   one after the other. Part of vectors.c. */
#ifndef VECTORS_AUTO_H
#define VECTORS_AUTO_H

typedef struct Link {
    struct Link *next;
} Link;
MM_TYPE(Link, MM_REF(Link, next))

typedef struct Schedule {
    int threshold[3];
    size_t n;       /* objects to make                                      */
    size_t want[3]; /* collections of each generation                       */
    char *events;   /* the first of them: generation@allocation ...         */
    size_t made;    /* objects made so far, with the one under way          */
    size_t got[3];
    Run *run;
} Schedule;

enum { MOST_OBJECTS = 10000000 }; /* more is taken for a misprint */

/* `thresholds=a,b,c n=N -> collections gen0=x gen1=y gen2=z first_events=...` */
static bool parse_schedule(char *line, Schedule *schedule)
{
    static const char *const before[] = {
        "thresholds=", ",", ",", " n=", " -> collections gen0=", " gen1=", " gen2="};
    size_t value[7], i;
    for (i = 0; i < 7; i++)
        if (!skip_prefix(line, before[i], &line) ||
            !cut_number(line, 1000000000, &value[i], &line))
            return false;
    for (i = 0; i < 3; i++) {
        schedule->threshold[i] = (int)value[i];
        schedule->want[i] = value[4 + i];
    }
    schedule->n = value[3];
    return schedule->n <= MOST_OBJECTS &&
           skip_prefix(line, " first_events=", &schedule->events);
}

/* Compare one event with the next of those listed, as far as the list goes. */
static void check_event(Schedule *schedule, int generation)
{
    char got[48], *want = next_word(&schedule->events);
    if (want == NULL) return;
    snprintf(got, sizeof got, "%d@%zu", generation, schedule->made);
    check_text(schedule->run, schedule->run->line, "allocation", "event", want, got);
}

static void on_collection(mm_heap *heap, const mm_gc_info *info, void *user)
{
    Schedule *schedule = (Schedule *)user;
    (void)heap;
    if (!info->stop) return;
    if (info->generation < 0 || info->generation > 2) {
        miss(schedule->run, "callback", "generation", "0..2", "another");
        return;
    }
    schedule->got[info->generation]++;
    check_event(schedule, info->generation);
}

static void check_schedule(Schedule *schedule)
{
    static const char *const names[] = {"gen0", "gen1", "gen2"};
    Run *run = schedule->run;
    char *missing = next_word(&schedule->events);
    int i;
    for (i = 0; i < 3; i++)
        if (schedule->got[i] != schedule->want[i])
            miss_number(run, run->line, "collections", names[i], schedule->want[i],
                        schedule->got[i]);
    if (missing != NULL) miss(run, "allocation", "event", missing, "none");
}

static mm_heap *schedule_heap(Schedule *schedule)
{
    mm_heap_desc desc = {0};
    mm_heap *heap;
    desc.gc_pause_us = MM_GC_UNSLICED;
    heap = (mm_heap *)or_exit(mm_heap_create(&desc));
    mm_gc_set_threshold(heap, schedule->threshold[0], schedule->threshold[1],
                        schedule->threshold[2]);
    if (mm_gc_add_callback(heap, on_collection, schedule) != MM_OK) or_exit(NULL);
    return heap;
}

/* All objects are kept alive: each held from outside, or as a chain by its head. */
static void replay_schedule(Run *run, Schedule schedule, bool chained)
{
    mm_heap *heap = schedule_heap(&schedule);
    Link **held = (Link **)scratch(run, chained ? 1 : schedule.n, sizeof(Link *));
    size_t left;
    run->variant = chained ? "chain" : "held";
    for (schedule.made = 1; schedule.made <= schedule.n; schedule.made++) {
        Link *link = (Link *)or_exit(mm_new(heap, Link));
        if (chained) {
            mm_set_steal(&link->next, held[0]);
            held[0] = link;
        } else {
            held[schedule.made - 1] = link;
        }
    }
    mm_gc_disable(heap);
    check_schedule(&schedule);
    for (left = chained ? 1 : schedule.n; left > 0; left--) mm_decref(held[left - 1]);
    left = mm_heap_destroy(heap);
    if (left != 0) miss_number(run, run->line, "end", "mm_heap_destroy", 0, left);
    run->variant = "";
}

/* Each variant cuts its own copy of the events into words. */
static void replay_both(Run *run, const Schedule *schedule)
{
    int chained;
    for (chained = 0; chained < 2; chained++) {
        Schedule copy = *schedule;
        copy.events = (char *)scratch(run, strlen(schedule->events) + 1, 1);
        strcpy(copy.events, schedule->events);
        replay_schedule(run, copy, chained != 0);
    }
}

/* A schedule has no number: vectors.allow names it by its parameters. */
static void replay_auto(Run *run)
{
    char *line;
    while ((line = next_line(run)) != NULL) {
        Schedule schedule = {{0, 0, 0}, 0, {0, 0, 0}, NULL, 0, {0, 0, 0}, NULL};
        char name[64];
        schedule.run = run;
        if (!parse_schedule(line, &schedule)) {
            stray_line(run, "a schedule");
            continue;
        }
        snprintf(name, sizeof name, "%d,%d,%d:%zu", schedule.threshold[0],
                 schedule.threshold[1], schedule.threshold[2], schedule.n);
        vector_begin(run, "", name);
        replay_both(run, &schedule);
        vector_end(run);
    }
}

#endif /* VECTORS_AUTO_H */
