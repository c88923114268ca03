/* vectors_graphs.h - gc_graphs: a graph of objects is built, let go in phases and
   collected. Part of vectors.c. */
#ifndef VECTORS_GRAPHS_H
#define VECTORS_GRAPHS_H

typedef struct Edge {
    size_t from, to;
    bool opaque;
} Edge;

#define OUTSIDE SIZE_MAX /* an owner that is not a node */

typedef struct WeakSpec {
    size_t owner, target;
    bool callback;
} WeakSpec;

enum { FIELD_RET, FIELD_ALIVE, FIELD_FIN, FIELD_WR, FIELD_CB, FIELD_RES, FIELD_COUNT };
static const char *const field_names[FIELD_COUNT] = {
    "ret=", "alive=", "fin=", "wr=", "cb=", "res="};

enum {
    PHASE_RC,
    PHASE_GC1,
    PHASE_DROP,
    PHASE_GC2,
    PHASE_DROPALL,
    PHASE_GC3,
    PHASE_GC4,
    PHASE_COUNT
};
static const char *const phase_names[PHASE_COUNT] = {"rc",      "gc1", "drop", "gc2",
                                                     "dropall", "gc3", "gc4"};

typedef struct Phase {
    size_t line; /* 0: the case does not have it */
    char *field[FIELD_COUNT];
} Phase;

typedef struct Graph {
    size_t node_count, edge_count, drop_count, weak_count;
    NodeSpec *nodes;
    Edge *edges;
    size_t *drop;
    WeakSpec *weak;
    Phase phase[PHASE_COUNT];
} Graph;

/* --------------------------------------------------------------- parsing ---- */

/* The words after the first of the case's next line, which must be `key`. A single
   `-` is no words. */
static bool graph_line(Run *run, const char *key, char **rest)
{
    static const char *const why =
        "the lines nodes fin edges ext wr drop, in this order";
    char *line = case_line(run), *word;
    if (line == NULL) return malformed(run, why);
    word = next_word(&line);
    if (strcmp(word, key) != 0) return malformed(run, why);
    *rest = line + strspn(line, " \t");
    if (strcmp(*rest, "-") == 0) (*rest)++;
    return true;
}

static bool parse_act(char *text, Act *act)
{
    static const struct {
        const char *name;
        ActKind kind;
    } plain[] = {
        {"nop", ACT_NOP}, {"self", ACT_SELF}, {"clear", ACT_CLEAR}, {"gc", ACT_GC}};
    size_t i;
    for (i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        act->kind = plain[i].kind;
        if (strcmp(text, plain[i].name) == 0) return true;
    }
    if (skip_prefix(text, "ref:", &text))
        act->kind = ACT_REF;
    else if (skip_prefix(text, "drop:", &text))
        act->kind = ACT_DROP;
    else
        return false;
    return whole_number(text, SIZE_MAX / 16, &act->k);
}

/* A word `i:act+act...` of the line `fin`. */
static bool parse_fin(Run *run, Graph *graph, char *word)
{
    size_t i;
    char *text, *next;
    NodeSpec *spec;
    if (!cut_number(word, graph->node_count, &i, &text) || *text != ':') return false;
    spec = &graph->nodes[i];
    if (spec->finalizer) return false;
    spec->finalizer = true;
    spec->acts = (Act *)scratch(run, strlen(text), sizeof(Act));
    for (text++; text != NULL; text = next) {
        next = strchr(text, '+');
        if (next != NULL) *next++ = '\0';
        if (!parse_act(text, &spec->acts[spec->act_count++])) return false;
    }
    return true;
}

/* A word `u>v` or `u>v!` of the line `edges`. */
static bool parse_edge(Run *run, Graph *graph, char *word)
{
    Edge *edge = &graph->edges[graph->edge_count++];
    (void)run;
    if (!cut_number(word, graph->node_count, &edge->from, &word)) return false;
    if (*word != '>') return false;
    if (!cut_number(word + 1, graph->node_count, &edge->to, &word)) return false;
    edge->opaque = strcmp(word, "!") == 0;
    graph->nodes[edge->from].edges++;
    return edge->opaque || *word == '\0';
}

/* A word `i*c` of the line `ext`. */
static bool parse_ext(Run *run, Graph *graph, char *word)
{
    size_t i, count;
    (void)run;
    if (!cut_number(word, graph->node_count, &i, &word) || *word != '*') return false;
    if (!whole_number(word + 1, 1000000, &count)) return false;
    graph->nodes[i].ext += count;
    return true;
}

/* A word `i` of the line `drop`. */
static bool parse_drop(Run *run, Graph *graph, char *word)
{
    (void)run;
    return whole_number(word, graph->node_count, &graph->drop[graph->drop_count++]);
}

typedef bool (*parse_word_fn)(Run *run, Graph *graph, char *word);

static bool parse_words(Run *run, Graph *graph, char *rest, parse_word_fn parse,
                        const char *why)
{
    char *word;
    while ((word = next_word(&rest)) != NULL)
        if (!parse(run, graph, word)) return malformed(run, why);
    return true;
}

/* The rest of a line `wr k owner=O target=T cb|nocb`. */
static bool parse_weak(Run *run, Graph *graph, char *rest)
{
    size_t k;
    WeakSpec *weak;
    char *number = next_word(&rest), *owner = next_word(&rest);
    char *target = next_word(&rest), *kind = next_word(&rest);
    graph->weak =
        (WeakSpec *)scratch_grow(run, graph->weak, graph->weak_count, sizeof(WeakSpec));
    weak = &graph->weak[graph->weak_count];
    if (!whole_number(number, SIZE_MAX / 16, &k) || k != graph->weak_count++)
        return false;
    if (!skip_prefix(owner, "owner=", &owner)) return false;
    if (!skip_prefix(target, "target=", &target)) return false;
    if (!whole_number(target, graph->node_count, &weak->target)) return false;
    if (strcmp(owner, "ext") == 0) {
        weak->owner = OUTSIDE;
    } else {
        if (!whole_number(owner, graph->node_count, &weak->owner)) return false;
        graph->nodes[weak->owner].weakrefs++;
    }
    weak->callback = kind != NULL && strcmp(kind, "cb") == 0;
    return weak->callback || (kind != NULL && strcmp(kind, "nocb") == 0);
}

/* The lines `wr`, as many as there are, and the line `drop` after them. */
static bool parse_weaks(Run *run, Graph *graph, char **drop)
{
    char *line, *rest;
    while ((line = case_line(run)) != NULL && skip_prefix(line, "wr ", &rest))
        if (!parse_weak(run, graph, rest)) return malformed(run, "a weak reference");
    if (line != NULL) hold_line(run, line);
    return graph_line(run, "drop", drop);
}

/* Whether a field of a phase has the length it must have. */
static bool field_fits(const Graph *graph, int field, const char *text)
{
    size_t length = strlen(text), want = graph->node_count;
    if (field == FIELD_RET || field == FIELD_RES) return length != 0;
    if (field == FIELD_WR || field == FIELD_CB) want = graph->weak_count;
    return length == want || (want == 0 && strcmp(text, "-") == 0);
}

static bool parse_phase(Run *run, Graph *graph, int i, char *rest)
{
    Phase *phase = &graph->phase[i];
    int f;
    phase->line = run->line;
    for (f = 0; f < FIELD_COUNT; f++)
        if (!skip_prefix(next_word(&rest), field_names[f], &phase->field[f]) ||
            !field_fits(graph, f, phase->field[f]))
            return malformed(run, "a phase has the fields ret alive fin wr cb res");
    return next_word(&rest) == NULL || malformed(run, "words after a phase");
}

/* The phases. drop and gc2 exist if anything is dropped. */
static bool parse_phases(Run *run, Graph *graph)
{
    int i = PHASE_RC;
    char *line;
    while ((line = case_line(run)) != NULL) {
        char *word = next_word(&line);
        if (i == PHASE_COUNT || strcmp(word, phase_names[i]) != 0)
            return malformed(run, "a phase out of order");
        if (!parse_phase(run, graph, i++, line)) return false;
        if (i == PHASE_DROP && graph->drop_count == 0) i = PHASE_DROPALL;
    }
    return i == PHASE_COUNT || malformed(run, "a phase is missing");
}

static bool parse_graph(Run *run, Graph *graph)
{
    char *rest;
    if (!graph_line(run, "nodes", &rest)) return false;
    if (!whole_number(rest, 10000000, &graph->node_count))
        return malformed(run, "nodes has a number");
    graph->nodes = (NodeSpec *)scratch(run, graph->node_count, sizeof(NodeSpec));
    if (!graph_line(run, "fin", &rest)) return false;
    if (!parse_words(run, graph, rest, parse_fin, "fin i:act+act")) return false;
    if (!graph_line(run, "edges", &rest)) return false;
    graph->edges = (Edge *)scratch(run, count_words(rest), sizeof(Edge));
    if (!parse_words(run, graph, rest, parse_edge, "edges u>v[!]")) return false;
    if (!graph_line(run, "ext", &rest)) return false;
    if (!parse_words(run, graph, rest, parse_ext, "ext i*c")) return false;
    if (!parse_weaks(run, graph, &rest)) return false;
    graph->drop = (size_t *)scratch(run, count_words(rest), sizeof(size_t));
    if (!parse_words(run, graph, rest, parse_drop, "drop i")) return false;
    return parse_phases(run, graph) && expect_end(run);
}

/* ------------------------------------------------------------- replaying ---- */

typedef struct Replay {
    World *world;
    const Graph *graph;
    size_t *ext;          /* references still held from outside, per node       */
    mm_weakref **weak;    /* where each weak reference object is or was         */
    bool *present;        /* whether it is still there                          */
    unsigned char *fired; /* how often its callback ran                         */
} Replay;

/* user points into Replay.fired */
static bool weak_fired(mm_weakref *ref, void *user)
{
    (void)ref;
    ++*(unsigned char *)user;
    return true;
}

static bool weak_silent(mm_weakref *ref, void *user)
{
    (void)ref;
    (void)user;
    return true;
}

/* The weak references of a graph are distinct objects, while those without a callback
   are shared by the library. So a second one to the same target has a callback that
   does nothing. */
static mm_weakref *make_weak(Replay *replay, size_t k)
{
    const WeakSpec *weak = replay->graph->weak;
    Node *target = replay->world->node[weak[k].target];
    size_t i;
    if (weak[k].callback) return mm_weakref_new(target, weak_fired, &replay->fired[k]);
    for (i = 0; i < k; i++)
        if (!weak[i].callback && weak[i].target == weak[k].target)
            return mm_weakref_new(target, weak_silent, NULL);
    return mm_weakref_new(target, NULL, NULL);
}

static void build_weak(Replay *replay)
{
    const Graph *graph = replay->graph;
    size_t k;
    for (k = 0; k < graph->weak_count; k++) {
        size_t owner = graph->weak[k].owner;
        replay->weak[k] = (mm_weakref *)or_exit(make_weak(replay, k));
        if (owner == OUTSIDE) continue;
        world_link(replay->world, owner, replay->weak[k]);
        mm_decref(replay->weak[k]);
    }
}

static void build_edge(World *world, const Edge *edge)
{
    Node *to = world->node[edge->to];
    if (edge->opaque) {
        Box *box = (Box *)or_exit(mm_new(world->heap, Box));
        box->target = mm_newref(to);
        world_link(world, edge->from, box);
        mm_decref(box);
    } else {
        world_link(world, edge->from, to);
    }
}

/* Where nodes lie in memory must not matter: they are made in one of three orders. */
enum { ORDER_FORWARD, ORDER_BACKWARD, ORDER_MIXED, ORDER_COUNT };
static const char *const order_names[ORDER_COUNT] = {"forward", "backward", "mixed"};

static size_t order_at(int order, size_t i, size_t n)
{
    size_t odd = n / 2;
    if (order == ORDER_BACKWARD) return n - 1 - i;
    if (order == ORDER_MIXED) return i < odd ? 2 * i + 1 : 2 * (n - 1 - i);
    return i;
}

static void build(Replay *replay, int order)
{
    const Graph *graph = replay->graph;
    World *world = replay->world;
    size_t i, c, n = graph->node_count;
    for (i = 0; i < n; i++) world_add(world, order_at(order, i, n));
    for (i = 0; i < graph->edge_count; i++) build_edge(world, &graph->edges[i]);
    build_weak(replay);
    for (i = 0; i < n; i++) {
        replay->ext[i] = graph->nodes[i].ext;
        for (c = 0; c < replay->ext[i]; c++) mm_incref(world->node[i]);
    }
}

static void drop_ext(Replay *replay, size_t i)
{
    for (; replay->ext[i] != 0; replay->ext[i]--) mm_decref(replay->world->node[i]);
}

/* Do what a phase does; returns what the collection returned, if it is one. */
static size_t do_phase(Replay *replay, int phase)
{
    World *world = replay->world;
    const Graph *graph = replay->graph;
    size_t i;
    switch (phase) {
    case PHASE_RC:
        for (i = 0; i < graph->node_count; i++) mm_decref(world->node[i]);
        return 0;
    case PHASE_DROP:
        for (i = 0; i < graph->drop_count; i++) drop_ext(replay, graph->drop[i]);
        return 0;
    case PHASE_DROPALL:
        for (i = 0; i < graph->node_count; i++) drop_ext(replay, i);
        world_release_taken(world);
        return 0;
    case PHASE_GC4: world_release_taken(world); break;
    default: break;
    }
    return world_collect(world, 2);
}

static bool is_collection(int phase)
{
    return phase_names[phase][0] == 'g';
}

/* -------------------------------------------------------------- checking ---- */

/* Which weak reference objects are still in the heap: no new ones are made while a
   graph is replayed, so that an address says which it is. */
static bool find_weak(const mm_block *block, void *user)
{
    Replay *replay = (Replay *)user;
    size_t k;
    if (block->kind == MM_BLOCK_RAW || mm_typeof(Box) == block->type) return true;
    for (k = 0; k < replay->graph->weak_count; k++)
        if (block->address == (void *)replay->weak[k]) replay->present[k] = true;
    return true;
}

/* L readable, D dead, G the weak reference object itself is gone. */
static char weak_state(Replay *replay, size_t k)
{
    const mm_weakref *ref = replay->weak[k];
    void *target, *expected = replay->world->node[replay->graph->weak[k].target];
    bool dead;
    if (!replay->present[k]) return 'G';
    target = mm_weakref_get(ref);
    dead = mm_weakref_is_dead(ref);
    mm_decref(target);
    if (dead != (target == NULL)) return '?';
    if (dead) return 'D';
    return target == expected ? 'L' : '?';
}

static char *weak_states(Replay *replay)
{
    size_t k, count = replay->graph->weak_count;
    char *text = (char *)scratch(replay->world->run, count + 2, 1);
    if (count == 0) return strcpy(text, "-");
    memset(replay->present, 0, count * sizeof(bool));
    mm_heap_walk(replay->world->heap, find_weak, replay);
    for (k = 0; k < count; k++) text[k] = weak_state(replay, k);
    return text;
}

/* `N?` is informational: finalizers cut edges, and CPython does not count what dies
   by that. */
static void check_ret(Replay *replay, int phase, size_t got)
{
    const Phase *p = &replay->graph->phase[phase];
    char text[24];
    snprintf(text, sizeof text, "%zu", got);
    if (!is_collection(phase)) text[0] = '-', text[1] = '\0';
    if (strchr(p->field[FIELD_RET], '?') != NULL) return;
    check_text(replay->world->run, p->line, phase_names[phase], "ret",
               p->field[FIELD_RET], text);
}

static void check_phase(Replay *replay, int phase, size_t ret)
{
    const Phase *p = &replay->graph->phase[phase];
    const char *name = phase_names[phase];
    World *world = replay->world;
    Run *run = world->run;
    size_t n = world->node_count;
    check_ret(replay, phase, ret);
    check_text(run, p->line, name, "alive", p->field[FIELD_ALIVE],
               digits(run, world->alive, n));
    check_text(run, p->line, name, "fin", p->field[FIELD_FIN],
               digits(run, world->fin, n));
    check_text(run, p->line, name, "wr", p->field[FIELD_WR], weak_states(replay));
    check_text(run, p->line, name, "cb", p->field[FIELD_CB],
               digits(run, replay->fired, replay->graph->weak_count));
    check_taken(world, p->line, name, p->field[FIELD_RES]);
}

static void replay_form(Run *run, const Graph *graph, Form form, int order)
{
    Replay replay;
    char variant[32];
    size_t k;
    int phase;
    snprintf(variant, sizeof variant, "%s %s", form_names[form], order_names[order]);
    run->variant = variant;
    replay.graph = graph;
    replay.world = world_new(run, form, graph->nodes, graph->node_count);
    replay.ext = (size_t *)scratch(run, graph->node_count, sizeof(size_t));
    replay.weak = (mm_weakref **)scratch(run, graph->weak_count, sizeof(mm_weakref *));
    replay.present = (bool *)scratch(run, graph->weak_count, sizeof(bool));
    replay.fired = (unsigned char *)scratch(run, graph->weak_count, 1);
    build(&replay, order);
    for (phase = 0; phase < PHASE_COUNT; phase++)
        if (graph->phase[phase].line != 0)
            check_phase(&replay, phase, do_phase(&replay, phase));
    for (k = 0; k < graph->weak_count; k++)
        if (graph->weak[k].owner == OUTSIDE) mm_decref(replay.weak[k]);
    world_end(replay.world);
    run->variant = "";
}

static bool replay_graph(Run *run)
{
    Graph *graph = (Graph *)scratch(run, 1, sizeof *graph);
    int form, order;
    if (!parse_graph(run, graph)) return false;
    for (form = 0; form < FORM_COUNT; form++)
        for (order = 0; order < ORDER_COUNT; order++)
            replay_form(run, graph, (Form)form, order);
    return true;
}

static void replay_graphs(Run *run)
{
    char *line;
    while ((line = next_line(run)) != NULL) replay_case(run, line, replay_graph);
}

#endif /* VECTORS_GRAPHS_H */
