/* vectors_world.h - the objects of gc_graphs and gc_scripts: nodes with references to
   each other, whose deaths and finalizers are counted. Part of vectors.c.

   A node exists in three forms, which must all behave the same: references in a
   flexible tail, in a vector of mm_alloc (both described by slots), and in an array
   of its own that only the hooks `traverse` and `clear` know. */
#ifndef VECTORS_WORLD_H
#define VECTORS_WORLD_H

typedef struct World World;

typedef struct Node { /* what all forms start with */
    World *world;
    size_t id, count;
} Node;

typedef struct Tail {
    Node node;
    void *ref[];
} Tail;

typedef struct Vector {
    Node node;
    void **ref;
} Vector;

typedef Vector Hooks;

/* Each form once more with a finalizer: that is a matter of the type. */
typedef Tail TailFinal;
typedef Vector VectorFinal;
typedef Vector HooksFinal;

MM_TYPE(Tail, MM_REF_ARRAY(Tail, ref, node.count))
MM_TYPE(TailFinal, MM_REF_ARRAY(TailFinal, ref, node.count))
MM_TYPE(Vector, MM_REF_VECTOR(Vector, ref, node.count))
MM_TYPE(VectorFinal, MM_REF_VECTOR(VectorFinal, ref, node.count))
MM_TYPE_OPAQUE(Hooks)
MM_TYPE_OPAQUE(HooksFinal)

/* What an opaque edge leads through: it owns target, and the collector cannot see. */
typedef struct Box {
    void *target;
} Box;
MM_TYPE_LEAF(Box)

typedef enum Form { FORM_TAIL, FORM_VECTOR, FORM_HOOKS, FORM_COUNT } Form;
static const char *const form_names[FORM_COUNT] = {"tail", "vector", "hooks"};

static mm_type *const form_types[FORM_COUNT][2] = {
    {mm_typeof(Tail), mm_typeof(TailFinal)},
    {mm_typeof(Vector), mm_typeof(VectorFinal)},
    {mm_typeof(Hooks), mm_typeof(HooksFinal)},
};

typedef enum ActKind {
    ACT_NOP,
    ACT_SELF,
    ACT_REF,
    ACT_CLEAR,
    ACT_DROP,
    ACT_GC
} ActKind;

typedef struct Act { /* something that a finalizer does */
    ActKind kind;
    size_t k;
} Act;

typedef struct NodeSpec {
    bool finalizer;
    Act *acts;
    size_t act_count;
    size_t edges;    /* references to other nodes            */
    size_t weakrefs; /* weak references owned, after them    */
    size_t ext;      /* references held from outside         */
} NodeSpec;

struct World {
    Run *run;
    mm_heap *heap;
    Form form;
    size_t node_count;
    const NodeSpec *spec;
    Node **node;          /* where each node is or was                          */
    unsigned char *alive; /* 1 until its disposer has run                       */
    unsigned char *fin;   /* how often its finalizer has run                    */
    size_t *used;         /* how many of its references are filled in           */
    Node **taken;         /* references taken by finalizers, in order           */
    size_t taken_count;
    bool collecting; /* inside a collection of the script                  */
    bool ending;     /* the vector is over: finalizers do nothing          */
};

/* ----------------------------------------------------------------- nodes ---- */

static void **node_refs(Node *node)
{
    if (node->world->form == FORM_TAIL) return ((Tail *)node)->ref;
    return ((Vector *)node)->ref;
}

static void node_clear_refs(Node *node)
{
    size_t i;
    for (i = 0; i < node->count; i++) mm_clear(&node_refs(node)[i]);
}

static void hooks_traverse(void *object, mm_visit_fn visit, void *context)
{
    Vector *node = (Vector *)object;
    size_t i;
    for (i = 0; i < node->node.count; i++)
        if (node->ref[i] != NULL) visit(node->ref[i], context);
}

/* Backwards: the order in which references are released must not matter. */
static void hooks_clear(void *object)
{
    Vector *node = (Vector *)object;
    size_t i;
    for (i = node->node.count; i-- > 0;) mm_clear(&node->ref[i]);
}

static void node_dispose(void *object)
{
    Node *node = (Node *)object;
    World *world = node->world;
    if (world->alive[node->id] == 0)
        miss(world->run, "dispose", "calls of one node", "1", "2");
    world->alive[node->id] = 0;
}

static void hooks_dispose(void *object)
{
    node_dispose(object);
    mm_free(mm_heap_of(object), ((Vector *)object)->ref);
}

static void box_dispose(void *object)
{
    mm_decref(((Box *)object)->target);
}

static void world_take(World *world, Node *node)
{
    world->taken = (Node **)scratch_grow(world->run, world->taken, world->taken_count,
                                         sizeof(Node *));
    world->taken[world->taken_count++] = mm_newref(node);
}

/* Take a reference to what the k-th reference of a node leads to. */
static void act_ref(World *world, Node *node, size_t k)
{
    void *p = k < world->spec[node->id].edges ? node_refs(node)[k] : NULL;
    if (mm_is(p, Box)) p = ((Box *)p)->target;
    if (p != NULL) world_take(world, (Node *)p);
}

static void act_gc(World *world)
{
    size_t result;
    if (!world->collecting) return;
    result = mm_gc_collect(world->heap, 2);
    if (result != 0)
        miss_number(world->run, world->run->line, "finalizer",
                    "collect() in a collection", 0, result);
}

static bool node_finalize(void *object)
{
    Node *node = (Node *)object;
    World *world = node->world;
    const NodeSpec *spec = &world->spec[node->id];
    size_t i;
    if (world->ending) return true;
    world->fin[node->id]++;
    for (i = 0; i < spec->act_count; i++) {
        size_t k = spec->acts[i].k;
        switch (spec->acts[i].kind) {
        case ACT_NOP: break;
        case ACT_SELF: world_take(world, node); break;
        case ACT_REF: act_ref(world, node, k); break;
        case ACT_CLEAR: node_clear_refs(node); break;
        case ACT_DROP:
            if (k < spec->edges) mm_clear(&node_refs(node)[k]);
            break;
        case ACT_GC: act_gc(world); break;
        }
    }
    return true;
}

/* Fill in the hooks; once, before the first object. */
static void world_types_init(void)
{
    int form, final;
    for (form = 0; form < FORM_COUNT; form++) {
        for (final = 0; final < 2; final++) {
            mm_type *type = form_types[form][final];
            type->dispose = form == FORM_HOOKS ? hooks_dispose : node_dispose;
            type->finalize = final ? node_finalize : NULL;
            if (form != FORM_HOOKS) continue;
            type->traverse = hooks_traverse;
            type->clear = hooks_clear;
        }
    }
    mm_typeof(Box)->dispose = box_dispose;
}

/* ----------------------------------------------------------------- world ---- */

static World *world_new(Run *run, Form form, const NodeSpec *spec, size_t node_count)
{
    World *world = (World *)scratch(run, 1, sizeof *world);
    mm_heap_desc desc = {0};
    desc.gc_disable = true;
    desc.gc_pause_us = MM_GC_UNSLICED;
    world->heap = (mm_heap *)or_exit(mm_heap_create(&desc));
    world->run = run;
    world->form = form;
    world->spec = spec;
    world->node_count = node_count;
    world->node = (Node **)scratch(run, node_count, sizeof(Node *));
    world->alive = (unsigned char *)scratch(run, node_count, 1);
    world->fin = (unsigned char *)scratch(run, node_count, 1);
    world->used = (size_t *)scratch(run, node_count, sizeof(size_t));
    return world;
}

/* Make node i, with room for all its references; its count is 1. */
static void world_add(World *world, size_t i)
{
    const NodeSpec *spec = &world->spec[i];
    size_t count = spec->edges + spec->weakrefs;
    size_t tail = world->form == FORM_TAIL ? count * sizeof(void *) : 0;
    mm_type *type = form_types[world->form][spec->finalizer ? 1 : 0];
    Node *node = (Node *)or_exit(mm_new_of_type(world->heap, type, tail));
    node->world = world;
    node->id = i;
    if (world->form != FORM_TAIL)
        ((Vector *)node)->ref =
            (void **)or_exit(mm_calloc(world->heap, count, sizeof(void *)));
    node->count = count;
    world->node[i] = node;
    world->alive[i] = 1;
}

/* Add a reference from node u to p, which is borrowed. */
static void world_link(World *world, size_t u, void *p)
{
    mm_set(&node_refs(world->node[u])[world->used[u]++], p);
}

/* Release the references that finalizers have taken so far, not those that are
   taken meanwhile. */
static void world_release_taken(World *world)
{
    Node **taken = world->taken;
    size_t count = world->taken_count, i;
    world->taken = NULL;
    world->taken_count = 0;
    for (i = 0; i < count; i++) mm_decref(taken[i]);
}

static size_t world_collect(World *world, int generation)
{
    size_t result;
    world->collecting = true;
    result = mm_gc_collect(world->heap, generation);
    world->collecting = false;
    return result;
}

/* Cut what opaque edges and forgotten references keep alive. Then nothing may be
   left, and the heap must be in order. */
static void world_end(World *world)
{
    Run *run = world->run;
    size_t i, left = 0;
    world->ending = true;
    world_release_taken(world);
    for (i = 0; i < world->node_count; i++)
        if (world->alive[i])
            mm_incref(world->node[i]);
        else
            world->node[i] = NULL;
    for (i = 0; i < world->node_count; i++)
        if (world->node[i] != NULL) node_clear_refs(world->node[i]);
    for (i = 0; i < world->node_count; i++) mm_decref(world->node[i]);
    mm_gc_unfreeze(world->heap);
    mm_gc_collect(world->heap, 2);
    for (i = 0; i < world->node_count; i++) left += world->alive[i];
    if (left != 0) miss_number(run, run->line, "end", "nodes left", 0, left);
    if (!mm_heap_check(world->heap)) miss(run, "end", "mm_heap_check", "true", "false");
    left = mm_heap_destroy(world->heap);
    if (left != 0) miss_number(run, run->line, "end", "mm_heap_destroy", 0, left);
}

/* ------------------------------------------------------------- comparing ---- */

/* Whether got is what is wanted, where `*` is left open by the vector. */
static bool text_matches(const char *want, const char *got)
{
    if (strcmp(want, "*") == 0) return true;
    for (; *want != '\0' && *got != '\0'; want++, got++)
        if (*want != '*' && *want != *got) return false;
    return *want == *got;
}

/* Digits for the counters of n items, one each: more than 9 is as wrong as 9. */
static char *digits(Run *run, const unsigned char *counter, size_t n)
{
    char *text = (char *)scratch(run, n + 2, 1);
    size_t i;
    for (i = 0; i < n; i++) text[i] = (char)('0' + (counter[i] > 9 ? 9 : counter[i]));
    if (n == 0) text[0] = '-';
    return text;
}

static void check_text(Run *run, size_t line, const char *phase, const char *field,
                       const char *want, const char *got)
{
    if (!text_matches(want, got)) miss_at(run, line, phase, field, want, got);
}

/* The ids of the nodes that are held by finalizers' references, as the vectors print
   them. */
static char *taken_text(World *world)
{
    char *text = (char *)scratch(world->run, world->taken_count + 1, 24), *at = text;
    size_t i;
    for (i = 0; i < world->taken_count; i++)
        at += sprintf(at, "%s%zu", i == 0 ? "" : ",", world->taken[i]->id);
    if (world->taken_count == 0) text[0] = '-';
    return text;
}

/* Which of the node's references were taken: a list of ids, duplicates included. In
   which order finalizers run within one collection is not promised. */
static void check_taken(World *world, size_t line, const char *phase, char *want)
{
    size_t *seen = (size_t *)scratch(world->run, world->node_count, sizeof(size_t));
    size_t i, id, matched = 0;
    char *at = want;
    bool same = true;
    if (strcmp(want, "*") == 0) return;
    for (i = 0; i < world->taken_count; i++) seen[world->taken[i]->id]++;
    while (same && cut_number(at, world->node_count, &id, &at)) {
        same = seen[id]-- > 0;
        matched++;
        if (*at == ',') at++;
    }
    if (*at != '\0' && strcmp(want, "-") != 0) same = false;
    if (!same || matched != world->taken_count)
        miss_at(world->run, line, phase, "res", want, taken_text(world));
}

#endif /* VECTORS_WORLD_H */
