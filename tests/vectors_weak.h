/* vectors_weak.h - weakref_order: weak references to one target come and go, then the
   target dies. Part of vectors.c.

   Proxies are Python's. A proxy with a callback behaves in all that is looked at here
   as a reference with one, and is replayed as that. One without a callback is shared
   among its like, and listed after the shared reference: the library has no such
   thing. It is replayed as one reference with a callback that does nothing, which is
   counted, while its place in the list is not compared. */
#ifndef VECTORS_WEAK_H
#define VECTORS_WEAK_H

typedef struct Target {
    size_t id;
} Target;
MM_TYPE_LEAF(Target)

typedef struct WeakName { /* a name of a vector: r0, p1 ... */
    bool proxy, callback;
    mm_weakref *ref; /* NULL once deleted */
} WeakName;

typedef struct WeakCase {
    Run *run;
    mm_heap *heap;
    Target *target;
    WeakName *names;
    size_t count;
    char *fired; /* what the callbacks wrote: names, with a comma after each */
    size_t fired_length;
} WeakCase;

enum { WEAK_NAME = 24 }; /* room for a name as text */

/* ----------------------------------------------------------------- names ---- */

/* A name `r0` or `p1` that a case may use; false if it is none. */
static bool cut_name(char *text, size_t limit, bool *proxy, size_t *i, char **rest)
{
    if (text == NULL || (*text != 'r' && *text != 'p')) return false;
    *proxy = *text == 'p';
    return cut_number(text + 1, limit, i, rest);
}

/* A name that exists and is not deleted. */
static bool live_name(const WeakCase *c, char *text, size_t *i)
{
    bool proxy;
    char *rest;
    return cut_name(text, c->count, &proxy, i, &rest) && *rest == '\0' &&
           c->names[*i].proxy == proxy && c->names[*i].ref != NULL;
}

/* The first name that a reference object still has; count if it has none. */
static size_t name_of(const WeakCase *c, const mm_weakref *ref)
{
    size_t i = 0;
    while (i < c->count && c->names[i].ref != ref) i++;
    return i;
}

static int write_name(const WeakCase *c, size_t i, char *out)
{
    if (i == c->count) return snprintf(out, WEAK_NAME, "?");
    return snprintf(out, WEAK_NAME, "%c%zu", c->names[i].proxy ? 'p' : 'r', i);
}

static bool is_plain_proxy(const WeakCase *c, size_t i)
{
    return i < c->count && c->names[i].proxy && !c->names[i].callback;
}

/* ------------------------------------------------------------- callbacks ---- */

/* At death all references are dead before the first callback runs. */
static bool weak_case_fired(mm_weakref *ref, void *user)
{
    WeakCase *c = (WeakCase *)user;
    size_t i;
    for (i = 0; i < c->count; i++)
        if (c->names[i].ref != NULL && !mm_weakref_is_dead(c->names[i].ref))
            miss(c->run, "callback", "all references", "dead", "alive");
    if (c->fired_length >= c->count * WEAK_NAME) return false;
    c->fired_length +=
        (size_t)write_name(c, name_of(c, ref), c->fired + c->fired_length);
    c->fired[c->fired_length++] = ',';
    return true;
}

static bool weak_case_proxy_fired(mm_weakref *ref, void *user)
{
    (void)ref;
    (void)user;
    return true;
}

/* ----------------------------------------------------------------- steps ---- */

static mm_weakref *find_plain_proxy(const WeakCase *c)
{
    size_t i;
    for (i = 0; i < c->count; i++)
        if (is_plain_proxy(c, i) && c->names[i].ref != NULL) return c->names[i].ref;
    return NULL;
}

static mm_weakref *make_named(WeakCase *c, const WeakName *name)
{
    mm_weakref *shared;
    if (name->callback) return mm_weakref_new(c->target, weak_case_fired, c);
    if (!name->proxy) return mm_weakref_new(c->target, NULL, NULL);
    shared = find_plain_proxy(c);
    if (shared != NULL) return mm_newref(shared);
    return mm_weakref_new(c->target, weak_case_proxy_fired, c);
}

/* `shared_with=NAME`: what the new reference is the same object as; `-`: none. */
static void check_shared(WeakCase *c, const mm_weakref *ref, const char *want)
{
    char got[WEAK_NAME] = "-";
    size_t i = name_of(c, ref);
    if (i < c->count) write_name(c, i, got);
    check_text(c->run, c->run->line, "new", "shared_with", want, got);
}

/* `ref NAME cb`, `proxy NAME nocb shared_with=NAME` and so on. */
static bool weak_new(WeakCase *c, bool proxy, char *rest)
{
    WeakName name = {proxy, false, NULL};
    char *text = next_word(&rest), *kind = next_word(&rest), *shared = next_word(&rest);
    size_t i;
    bool named;
    if (!cut_name(text, c->count + 1, &named, &i, &text) || *text != '\0') return false;
    if (named != proxy || i != c->count || kind == NULL) return false;
    name.callback = strcmp(kind, "cb") == 0;
    if (!name.callback && strcmp(kind, "nocb") != 0) return false;
    if (name.callback ? shared != NULL : !skip_prefix(shared, "shared_with=", &shared))
        return false;
    name.ref = (mm_weakref *)or_exit(make_named(c, &name));
    check_shared(c, name.ref, shared == NULL ? "-" : shared);
    c->names = (WeakName *)scratch_grow(c->run, c->names, c->count, sizeof(WeakName));
    c->names[c->count++] = name;
    return true;
}

static bool weak_del(WeakCase *c, char *rest)
{
    size_t i;
    mm_weakref *ref;
    if (!live_name(c, next_word(&rest), &i)) return false;
    ref = c->names[i].ref;
    c->names[i].ref = NULL;
    mm_decref(ref);
    return true;
}

/* The list of weak references, without the proxies whose place is not compared. */
static char *weak_list_text(WeakCase *c, size_t *length)
{
    char *text = (char *)scratch(c->run, mm_weakref_count(c->target) + 1, WEAK_NAME);
    char *at = text;
    mm_weakref *ref;
    for (*length = 0; (ref = mm_weakref_list(c->target, *length)) != NULL; ++*length) {
        size_t i = name_of(c, ref);
        if (*length == mm_weakref_count(c->target)) break;
        if (is_plain_proxy(c, i)) continue;
        if (at != text) *at++ = ',';
        at += write_name(c, i, at);
    }
    return text;
}

/* The list of a vector, without these proxies, in place. False if it is malformed. */
static bool weak_list_filter(const WeakCase *c, char *list)
{
    char *out = list, *at = list;
    if (strcmp(list, "-") == 0) *at = '\0';
    while (*at != '\0') {
        size_t i, length = strcspn(at, ",");
        bool proxy;
        char *rest;
        if (!cut_name(at, c->count, &proxy, &i, &rest) || rest != at + length)
            return false;
        if (!is_plain_proxy(c, i)) {
            if (out != list) *out++ = ',';
            memmove(out, at, length);
            out += length;
        }
        at = rest + (*rest == ',' ? 1 : 0);
    }
    *out = '\0';
    return true;
}

/* `getweakrefcount=N getweakrefs=LIST` */
static bool weak_check(WeakCase *c, char *count, char *rest)
{
    size_t want, got = mm_weakref_count(c->target), listed;
    char *list, *text;
    if (!skip_prefix(count, "getweakrefcount=", &count)) return false;
    if (!whole_number(count, SIZE_MAX / 16, &want)) return false;
    if (!skip_prefix(next_word(&rest), "getweakrefs=", &list)) return false;
    if (!weak_list_filter(c, list)) return false;
    text = weak_list_text(c, &listed);
    if (got != want)
        miss_number(c->run, c->run->line, "step", "getweakrefcount", want, got);
    if (listed != got)
        miss_number(c->run, c->run->line, "step", "length of the list", got, listed);
    check_text(c->run, c->run->line, "step", "getweakrefs", list, text);
    return true;
}

/* `kill -> callbacks=LIST` */
static bool weak_kill(WeakCase *c, char *rest)
{
    char *sign = next_word(&rest), *list;
    Target *target = c->target;
    if (sign == NULL || strcmp(sign, "->") != 0) return false;
    if (!skip_prefix(next_word(&rest), "callbacks=", &list)) return false;
    c->target = NULL;
    c->fired = (char *)scratch(c->run, c->count + 1, 2 * WEAK_NAME);
    mm_decref(target);
    if (c->fired_length != 0)
        c->fired[c->fired_length - 1] = '\0';
    else
        strcpy(c->fired, "-");
    check_text(c->run, c->run->line, "kill", "callbacks", list, c->fired);
    return true;
}

/* ------------------------------------------------------------------ case ---- */

static bool weak_step(WeakCase *c, char *line)
{
    char *word = next_word(&line);
    if (c->target == NULL) return malformed(c->run, "a step after `kill`");
    if (strcmp(word, "ref") == 0 || strcmp(word, "proxy") == 0) {
        if (weak_new(c, *word == 'p', line)) return true;
    } else if (strcmp(word, "del") == 0) {
        if (weak_del(c, line)) return true;
    } else if (strcmp(word, "kill") == 0) {
        if (weak_kill(c, line)) return true;
    } else if (weak_check(c, word, line)) {
        return true;
    }
    return malformed(c->run, "a step: ref, proxy, del, getweakrefcount or kill");
}

static bool weak_steps(WeakCase *c)
{
    char *line;
    while ((line = case_line(c->run)) != NULL)
        if (!weak_step(c, line)) return false;
    if (c->target != NULL) return malformed(c->run, "`kill` is missing");
    return expect_end(c->run);
}

static mm_heap *quiet_heap(void)
{
    mm_heap_desc desc = {0};
    desc.gc_disable = true;
    desc.gc_pause_us = MM_GC_UNSLICED;
    return (mm_heap *)or_exit(mm_heap_create(&desc));
}

static void check_destroy(Run *run, mm_heap *heap)
{
    size_t left = mm_heap_destroy(heap);
    if (left != 0) miss_number(run, run->line, "end", "mm_heap_destroy", 0, left);
}

static bool replay_weak_case(Run *run)
{
    WeakCase *c = (WeakCase *)scratch(run, 1, sizeof *c);
    size_t i;
    bool fine;
    c->run = run;
    c->heap = quiet_heap();
    c->target = (Target *)or_exit(mm_new(c->heap, Target));
    fine = weak_steps(c);
    for (i = 0; i < c->count; i++) {
        mm_weakref *ref = c->names[i].ref;
        c->names[i].ref = NULL;
        mm_decref(ref);
    }
    mm_decref(c->target);
    check_destroy(run, c->heap);
    return fine;
}

#include "vectors_hand.h"

/* `hand TEXT -> RESULT` */
static void replay_hand_line(Run *run, char *text)
{
    char *result = strstr(text, " -> "), *next;
    while (result != NULL && (next = strstr(result + 4, " -> ")) != NULL) result = next;
    if (result == NULL) {
        stray_line(run, "hand TEXT -> RESULT");
        return;
    }
    *result = '\0';
    vector_begin(run, "hand:", text);
    replay_hand(run, text, result + 4);
    vector_end(run);
}

static void replay_weak(Run *run)
{
    char *line, *text;
    while ((line = next_line(run)) != NULL) {
        if (skip_prefix(line, "hand ", &text))
            replay_hand_line(run, text);
        else
            replay_case(run, line, replay_weak_case);
    }
}

#endif /* VECTORS_WEAK_H */
