/* vectors_hand.h - the `hand` lines of weakref_order, each a small program of its own
   that writes its result as Python would print it. Part of vectors.c. */
#ifndef VECTORS_HAND_H
#define VECTORS_HAND_H

typedef struct Hand { /* one replay: a log of words, and what it is about */
    mm_heap *heap;
    const char *log[8];
    size_t log_count;
    size_t errors;
    mm_weakref *newer, *older; /* references a callback looks at or drops */
    bool both_dead[2];
    struct Thing *victim;
    struct Thing *saved;
} Hand;

/* An object with a finalizer that can look at a weak reference to itself. */
typedef struct Thing {
    struct Thing *self; /* a slot, to make a cycle of one */
    Hand *hand;
    mm_weakref *watched; /* borrowed */
    bool resurrect;
} Thing;
MM_TYPE(Thing, MM_REF(Thing, self))

/* ------------------------------------------------------------------ tools ---- */

static void hand_log(Hand *hand, const char *word)
{
    if (hand->log_count < 8) hand->log[hand->log_count++] = word;
}

/* The log as Python prints a list of strings. */
static const char *hand_list(const Hand *hand, char *out, size_t size)
{
    size_t i, at = 0;
    out[at++] = '[';
    for (i = 0; i < hand->log_count; i++)
        at += (size_t)snprintf(out + at, size - at, "%s'%s'", i == 0 ? "" : ", ",
                               hand->log[i]);
    snprintf(out + at, size - at, "]");
    return out;
}

static const char *py(bool value)
{
    return value ? "True" : "False";
}

static Thing *hand_thing(Hand *hand)
{
    Thing *thing = (Thing *)or_exit(mm_new(hand->heap, Thing));
    thing->hand = hand;
    return thing;
}

static mm_weakref *hand_ref(void *target, mm_weak_fn callback, Hand *hand)
{
    return (mm_weakref *)or_exit(mm_weakref_new(target, callback, hand));
}

/* --------------------------------------------------------------- callbacks ---- */

static bool log_cb(mm_weakref *ref, void *user)
{
    (void)ref;
    hand_log((Hand *)user, "cb");
    return true;
}

/* Logs `a` for the older and `b` for the newer, and whether both are dead. */
static bool log_which(mm_weakref *ref, void *user)
{
    Hand *hand = (Hand *)user;
    if (hand->log_count < 2)
        hand->both_dead[hand->log_count] =
            mm_weakref_is_dead(hand->older) && mm_weakref_is_dead(hand->newer);
    hand_log(hand, ref == hand->older ? "a" : "b");
    return true;
}

static bool drop_older(mm_weakref *ref, void *user)
{
    Hand *hand = (Hand *)user;
    (void)ref;
    hand_log(hand, "b");
    mm_clear(&hand->older);
    return true;
}

/* Its own reference object may be gone but for this call: it must not be touched. */
static bool log_a(mm_weakref *ref, void *user)
{
    (void)ref;
    hand_log((Hand *)user, "a");
    return true;
}

static bool log_s(mm_weakref *ref, void *user)
{
    (void)ref;
    hand_log((Hand *)user, "s");
    return true;
}

static bool fail(mm_weakref *ref, void *user)
{
    (void)ref;
    (void)user;
    return false;
}

static void count_error(mm_heap *heap, void *object, const char *what, void *user)
{
    (void)heap;
    (void)object;
    (void)what;
    ((Hand *)user)->errors++;
}

static bool kill_victim(mm_weakref *ref, void *user)
{
    Hand *hand = (Hand *)user;
    (void)ref;
    hand_log(hand, "first");
    mm_clear(&hand->victim);
    hand_log(hand, "first-end");
    return true;
}

static bool log_second(mm_weakref *ref, void *user)
{
    (void)ref;
    hand_log((Hand *)user, "second");
    return true;
}

static bool thing_finalize(void *object)
{
    Thing *thing = (Thing *)object;
    const mm_weakref *watched = thing->watched;
    if (thing->resurrect) {
        hand_log(thing->hand, "del");
        thing->hand->saved = mm_newref(thing);
    } else if (watched != NULL) {
        hand_log(thing->hand, mm_weakref_is_dead(watched) ? "del:dead" : "del:alive");
    }
    return true;
}

/* ----------------------------------------------------------------- programs ---- */

static void hand_all_dead(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand);
    hand->older = hand_ref(thing, log_which, hand);
    hand->newer = hand_ref(thing, log_which, hand);
    mm_decref(thing);
    if (hand->log_count != 2) {
        hand_list(hand, out, size);
        return;
    }
    snprintf(out, size, "[('%s', %s), ('%s', %s)]", hand->log[0],
             py(hand->both_dead[0]), hand->log[1], py(hand->both_dead[1]));
}

static void hand_drops_older(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand);
    hand->older = hand_ref(thing, log_a, hand);
    hand->newer = hand_ref(thing, drop_older, hand);
    mm_decref(thing);
    hand_list(hand, out, size);
}

/* A failing hook reports no more than that: it stands for Python's exception. */
static void hand_error(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand);
    char list[64];
    mm_gc_set_error_hook(hand->heap, count_error, hand);
    hand->older = hand_ref(thing, log_s, hand);
    hand->newer = hand_ref(thing, fail, hand);
    mm_decref(thing);
    hand_list(hand, list, sizeof list);
    snprintf(out, size, "(%s, [%s])", list,
             hand->errors == 0   ? ""
             : hand->errors == 1 ? "'ZeroDivisionError'"
                                 : "more than one error");
}

static void hand_dead_ref(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand);
    mm_decref(hand_ref(thing, log_cb, hand));
    mm_decref(thing);
    hand_list(hand, out, size);
}

static void hand_refcount_path(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand);
    thing->watched = hand->older = hand_ref(thing, log_cb, hand);
    mm_decref(thing);
    hand_list(hand, out, size);
}

static void hand_collector_path(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand);
    thing->watched = hand->older = hand_ref(thing, log_cb, hand);
    mm_set(&thing->self, thing);
    mm_decref(thing);
    mm_gc_collect(hand->heap, 2);
    hand_list(hand, out, size);
}

/* (hash of the reference is the target's, and is still so after death). The library
   says what a target's hash is only through another reference to it. */
static void hand_hash_cached(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand);
    uint64_t target = 0, alive = 0, dead = 0;
    bool first, second;
    hand->older = hand_ref(thing, NULL, NULL);
    hand->newer = hand_ref(thing, log_cb, hand);
    first = mm_weakref_hash(hand->newer, &target) &&
            mm_weakref_hash(hand->older, &alive) && alive == target;
    mm_decref(thing);
    second = mm_weakref_hash(hand->older, &dead) && dead == alive;
    snprintf(out, size, "(%s, %s)", py(first), py(second));
}

static void hand_hash_dead(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand);
    uint64_t hash;
    hand->older = hand_ref(thing, NULL, NULL);
    mm_decref(thing);
    snprintf(out, size, "%s",
             mm_weakref_hash(hand->older, &hash) ? "hashed"
                                                 : "weak object has gone away");
}

/* (two targets alive, both dead, a dead reference and itself) */
static void hand_equality(Hand *hand, char *out, size_t size)
{
    Thing *one = hand_thing(hand), *two = hand_thing(hand);
    bool alive, dead, same;
    hand->older = hand_ref(one, NULL, NULL);
    hand->newer = hand_ref(two, NULL, NULL);
    alive = mm_weakref_equal(hand->older, hand->newer);
    mm_decref(one);
    mm_decref(two);
    dead = mm_weakref_equal(hand->older, hand->newer);
    same = mm_weakref_equal(hand->older, hand->older);
    snprintf(out, size, "(%s, %s, %s)", py(alive), py(dead), py(same));
}

static void hand_resurrected(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand), *got;
    char before[64], after[64];
    bool live, dead;
    thing->resurrect = true;
    hand->older = hand_ref(thing, log_cb, hand);
    mm_decref(thing);
    got = (Thing *)mm_weakref_get(hand->older);
    live = got == thing && hand->saved == thing;
    mm_decref(got);
    hand_list(hand, before, sizeof before);
    mm_clear(&hand->saved);
    dead = mm_weakref_is_dead(hand->older);
    hand_list(hand, after, sizeof after);
    snprintf(out, size, "[%s, %s, %s, %s]", py(live), before, after, py(dead));
}

static void hand_callback_cleared(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand);
    bool given;
    hand->older = hand_ref(thing, log_cb, hand);
    given = mm_weakref_callback(hand->older) == log_cb;
    mm_decref(thing);
    snprintf(out, size, "(%s, %s)", py(given),
             mm_weakref_callback(hand->older) == NULL ? "None" : "a callback");
}

static void hand_nested(Hand *hand, char *out, size_t size)
{
    Thing *thing = hand_thing(hand);
    hand->victim = hand_thing(hand);
    hand->older = hand_ref(thing, kill_victim, hand);
    hand->newer = hand_ref(hand->victim, log_second, hand);
    mm_decref(thing);
    hand_list(hand, out, size);
}

/* -------------------------------------------------------------------- table ---- */

typedef struct HandProgram {
    const char *text;
    void (*run)(Hand *hand, char *out, size_t size);
} HandProgram;

static const HandProgram hand_programs[] = {
    {"all refs dead before first callback; newest first", hand_all_dead},
    {"callback of newer drops the older weakref object: older callback still runs "
     "(held by the tuple)",
     hand_drops_older},
    {"error in callback reported, others still run", hand_error},
    {"dead weakref object: callback never runs", hand_dead_ref},
    {"refcount path: finalizer runs BEFORE weakrefs are cleared", hand_refcount_path},
    {"collector path: weakrefs cleared and callbacks run BEFORE finalizers",
     hand_collector_path},
    {"hash cached while alive survives death", hand_hash_cached},
    {"hash of never hashed dead ref", hand_hash_dead},
    {"equality identity-compared objects alive/dead", hand_equality},
    {"resurrected by refcount: weakref stays live, cb at the real death, finalizer not "
     "repeated",
     hand_resurrected},
    {"__callback__ cleared to None after death", hand_callback_cleared},
    {"callback killing another object: nested callback runs inside", hand_nested},
};

static void run_hand_program(Run *run, const HandProgram *program, const char *want)
{
    Hand hand;
    char got[256] = "";
    memset(&hand, 0, sizeof hand);
    hand.heap = quiet_heap();
    program->run(&hand, got, sizeof got);
    check_text(run, run->line, "program", "result", want, got);
    mm_decref(hand.older);
    mm_decref(hand.newer);
    check_destroy(run, hand.heap);
}

static void replay_hand(Run *run, const char *text, const char *want)
{
    const size_t count = sizeof hand_programs / sizeof hand_programs[0];
    size_t i = 0;
    while (i < count && strcmp(hand_programs[i].text, text) != 0) i++;
    if (i < count)
        run_hand_program(run, &hand_programs[i], want);
    else
        miss(run, "program", "text", "one that is known", text);
}

static void hand_types_init(void)
{
    mm_typeof(Thing)->finalize = thing_finalize;
}

#endif /* VECTORS_HAND_H */
