/* vectors_scripts.h - gc_scripts: operations on a growing graph, one a line, with the
   generation of every node after each. Part of vectors.c. */
#ifndef VECTORS_SCRIPTS_H
#define VECTORS_SCRIPTS_H

typedef enum StepKind {
    STEP_NEW,
    STEP_EDGE,
    STEP_CUT,
    STEP_DROP,
    STEP_DROPRES,
    STEP_COLLECT,
    STEP_FREEZE,
    STEP_COUNT
} StepKind;
static const char *const step_names[STEP_COUNT] = {
    "new", "edge", "cut", "drop", "dropres", "collect", "freeze"};

typedef struct Step {
    StepKind kind;
    size_t line;
    size_t a, b; /* its numbers; of collect: the generation and the result */
    char *gens, *fin, *res;
} Step;

typedef struct Script {
    Step *steps;
    size_t step_count;
    NodeSpec *nodes;
    size_t node_count;
} Script;

/* --------------------------------------------------------------- parsing ---- */

/* The rest of `new i FIN`. */
static bool parse_new(Run *run, Script *script, Step *step, char **rest)
{
    char *number = next_word(rest), *fin = next_word(rest);
    NodeSpec *spec;
    if (!whole_number(number, script->node_count + 1, &step->a)) return false;
    if (step->a != script->node_count || fin == NULL) return false;
    script->nodes = (NodeSpec *)scratch_grow(run, script->nodes, script->node_count,
                                             sizeof(NodeSpec));
    spec = &script->nodes[script->node_count++];
    if (strcmp(fin, "-") == 0) return true;
    spec->finalizer = true;
    if (strcmp(fin, "nop") == 0) return true;
    spec->acts = (Act *)scratch(run, 1, sizeof(Act));
    spec->acts[spec->act_count++].kind = ACT_SELF;
    return strcmp(fin, "self") == 0;
}

/* The rest of `collect g = r`. */
static bool parse_collect(Step *step, char **rest)
{
    char *generation = next_word(rest), *sign = next_word(rest);
    if (!whole_number(generation, 3, &step->a)) return false;
    if (sign == NULL || strcmp(sign, "=") != 0) return false;
    return whole_number(next_word(rest), SIZE_MAX / 16, &step->b);
}

/* The numbers after the name of a step. */
static bool parse_operands(Run *run, Script *script, Step *step, char **rest)
{
    size_t n = script->node_count;
    switch (step->kind) {
    case STEP_NEW: return parse_new(run, script, step, rest);
    case STEP_COLLECT: return parse_collect(step, rest);
    case STEP_DROP: return whole_number(next_word(rest), n, &step->a);
    case STEP_EDGE:
        if (!whole_number(next_word(rest), n, &step->a)) return false;
        script->nodes[step->a].edges++;
        return whole_number(next_word(rest), n, &step->b);
    case STEP_CUT:
        return whole_number(next_word(rest), n, &step->a) &&
               whole_number(next_word(rest), script->nodes[step->a].edges, &step->b);
    default: return true;
    }
}

static bool parse_state(const Script *script, Step *step, char **rest)
{
    return skip_prefix(next_word(rest), "gens=", &step->gens) &&
           skip_prefix(next_word(rest), "fin=", &step->fin) &&
           skip_prefix(next_word(rest), "res=", &step->res) &&
           strlen(step->gens) == script->node_count &&
           strlen(step->fin) == script->node_count && next_word(rest) == NULL;
}

static bool parse_step(Run *run, Script *script, char *line)
{
    Step *step;
    char *word = next_word(&line);
    int kind = 0;
    while (kind < STEP_COUNT && strcmp(word, step_names[kind]) != 0) kind++;
    if (kind == STEP_COUNT) return malformed(run, "an unknown operation");
    script->steps =
        (Step *)scratch_grow(run, script->steps, script->step_count, sizeof(Step));
    step = &script->steps[script->step_count++];
    step->kind = (StepKind)kind;
    step->line = run->line;
    if (!parse_operands(run, script, step, &line))
        return malformed(run, "operands of an operation");
    return parse_state(script, step, &line) ||
           malformed(run, "an operation ends in gens fin res");
}

static bool parse_script(Run *run, Script *script)
{
    char *line;
    while ((line = case_line(run)) != NULL)
        if (!parse_step(run, script, line)) return false;
    return expect_end(run);
}

/* ------------------------------------------------------------- replaying ---- */

/* Remove the k-th reference of a node; those after it move up. */
static void step_cut(World *world, size_t u, size_t k)
{
    void **ref = node_refs(world->node[u]);
    void *old = mm_take(&ref[k]);
    for (world->used[u]--; k < world->used[u]; k++)
        mm_set_steal(&ref[k], mm_take(&ref[k + 1]));
    mm_decref(old);
}

/* Whether a step can be done: a wrong outcome before may have made it impossible. */
static bool step_possible(const World *world, const Step *step)
{
    switch (step->kind) {
    case STEP_EDGE: return world->alive[step->a] && world->alive[step->b];
    case STEP_CUT: return world->alive[step->a] && step->b < world->used[step->a];
    case STEP_DROP: return world->alive[step->a];
    default: return true;
    }
}

static void do_step(World *world, const Step *step)
{
    size_t result;
    switch (step->kind) {
    case STEP_NEW: world_add(world, step->a); break;
    case STEP_EDGE: world_link(world, step->a, world->node[step->b]); break;
    case STEP_CUT: step_cut(world, step->a, step->b); break;
    case STEP_DROP: mm_decref(world->node[step->a]); break;
    case STEP_DROPRES: world_release_taken(world); break;
    case STEP_FREEZE: mm_gc_freeze(world->heap); break;
    default:
        result = world_collect(world, (int)step->a);
        if (result != step->b)
            miss_number(world->run, step->line, "collect", "result", step->b, result);
    }
}

static char generation_of(const World *world, size_t i)
{
    static const char names[] = "012p";
    int generation = world->alive[i] ? mm_gc_generation_of(world->node[i]) : -2;
    if (generation == -2) return '.';
    return generation < 0 || generation > 3 ? '-' : names[generation];
}

/* `?` is an object brought back by its count alone: its generation is left open. */
static bool generation_fits(char want, char got)
{
    return want == got || (want == '?' && got >= '0' && got <= '2');
}

static void check_generations(World *world, const Step *step, size_t n)
{
    char *got = (char *)scratch(world->run, n + 1, 1);
    bool same = true;
    size_t i;
    for (i = 0; i < n; i++) {
        got[i] = generation_of(world, i);
        same = same && generation_fits(step->gens[i], got[i]);
    }
    if (!same)
        miss_at(world->run, step->line, step_names[step->kind], "gens", step->gens,
                got);
}

static void check_step(World *world, const Step *step, size_t node_count)
{
    const char *name = step_names[step->kind];
    check_generations(world, step, node_count);
    check_text(world->run, step->line, name, "fin", step->fin,
               digits(world->run, world->fin, node_count));
    check_taken(world, step->line, name, step->res);
}

/* The root references that the script still holds. */
static void release_roots(World *world, const Script *script)
{
    bool *root = (bool *)scratch(world->run, script->node_count, sizeof(bool));
    size_t i;
    for (i = 0; i < script->step_count; i++) {
        if (script->steps[i].kind == STEP_NEW) root[script->steps[i].a] = true;
        if (script->steps[i].kind == STEP_DROP) root[script->steps[i].a] = false;
    }
    for (i = 0; i < script->node_count; i++)
        if (root[i] && world->alive[i]) mm_decref(world->node[i]);
}

static void replay_script_form(Run *run, const Script *script, Form form)
{
    World *world = world_new(run, form, script->nodes, script->node_count);
    size_t i, node_count = 0;
    run->variant = form_names[form];
    for (i = 0; i < script->step_count; i++) {
        const Step *step = &script->steps[i];
        if (!step_possible(world, step)) {
            miss_at(run, step->line, step_names[step->kind], "operands", "alive",
                    "dead");
            return; /* the heap is lost: what the references are is not known */
        }
        if (step->kind == STEP_NEW) node_count++;
        do_step(world, step);
        check_step(world, step, node_count);
    }
    world->ending = true;
    release_roots(world, script);
    world_end(world);
    run->variant = "";
}

static bool replay_script(Run *run)
{
    Script *script = (Script *)scratch(run, 1, sizeof *script);
    int form;
    if (!parse_script(run, script)) return false;
    for (form = 0; form < FORM_COUNT; form++)
        replay_script_form(run, script, (Form)form);
    return true;
}

static void replay_scripts(Run *run)
{
    char *line;
    while ((line = next_line(run)) != NULL) replay_case(run, line, replay_script);
}

#endif /* VECTORS_SCRIPTS_H */
