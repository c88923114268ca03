/* vectors_intern.h - intern: which equal strings become one object. Part of
   vectors.c. */
#ifndef VECTORS_INTERN_H
#define VECTORS_INTERN_H

typedef struct InternStep {
    char *text, *result; /* `new`, or hK: the same object as the K-th call returned */
    size_t is_arg, arg_interned;
} InternStep;

typedef struct InternScript {
    Run *run;
    mm_heap *heap;
    InternStep *steps;
    mm_str **got; /* what each call returned; a reference */
    size_t count;
} InternScript;

/* `TEXT->RESULT interned_is_arg=B is_interned(arg)=B`, and ` | ` if more follow. */
static bool parse_intern_step(char **rest, InternStep *step)
{
    char *word = next_word(rest), *is_arg = next_word(rest),
         *interned = next_word(rest);
    char *bar = next_word(rest), *arrow = word == NULL ? NULL : strstr(word, "->");
    if (arrow == NULL) return false;
    *arrow = '\0';
    step->text = word;
    step->result = arrow + 2;
    return skip_prefix(is_arg, "interned_is_arg=", &is_arg) &&
           whole_number(is_arg, 2, &step->is_arg) &&
           skip_prefix(interned, "is_interned(arg)=", &interned) &&
           whole_number(interned, 2, &step->arg_interned) &&
           (bar == NULL || strcmp(bar, "|") == 0);
}

/* Which call returned this object first. */
static void check_result(const InternScript *script, size_t k, const char *phase)
{
    size_t first = 0;
    char text[24] = "new";
    while (script->got[first] != script->got[k]) first++;
    if (first != k) snprintf(text, sizeof text, "h%zu", first);
    check_text(script->run, script->run->line, phase, "result", script->steps[k].result,
               text);
}

/* Whether s is the interned string with its content. */
static bool is_interned(const InternScript *script, const mm_str *s)
{
    mm_str *found = mm_intern_find(script->heap, s->text, s->length);
    mm_decref(found);
    return found == s;
}

/* The k-th call, with a fresh string; and again with only its text, which must lead
   to the same object. */
static void intern_call(InternScript *script, size_t k)
{
    Run *run = script->run;
    const InternStep *step = &script->steps[k];
    size_t length = strlen(step->text);
    char phase[32];
    mm_str *arg = (mm_str *)or_exit(mm_str_new(script->heap, step->text, length));
    mm_str *same;
    snprintf(phase, sizeof phase, "call %zu", k);
    script->got[k] = (mm_str *)or_exit(mm_intern_str(script->heap, mm_newref(arg)));
    check_result(script, k, phase);
    if ((script->got[k] == arg) != step->is_arg)
        miss_number(run, run->line, phase, "interned_is_arg", step->is_arg,
                    !step->is_arg);
    if (is_interned(script, arg) != step->arg_interned)
        miss_number(run, run->line, phase, "is_interned(arg)", step->arg_interned,
                    !step->arg_interned);
    same = (mm_str *)or_exit(mm_intern(script->heap, step->text, length));
    if (same != script->got[k]) miss(run, phase, "mm_intern", "the same", "another");
    mm_decref(same);
    mm_decref(arg);
}

/* Interned strings are mortal: once nobody has them, the table is empty. */
static void intern_end(InternScript *script)
{
    mm_intern_stats stats;
    size_t k;
    for (k = 0; k < script->count; k++) mm_decref(script->got[k]);
    mm_intern_get_stats(script->heap, &stats);
    if (stats.strings != 0)
        miss_number(script->run, script->run->line, "end", "interned", 0,
                    stats.strings);
    check_destroy(script->run, script->heap);
}

static void replay_intern_script(Run *run, char *rest)
{
    InternScript script;
    size_t most = count_words(rest) / 3 + 1, k;
    memset(&script, 0, sizeof script);
    script.run = run;
    script.steps = (InternStep *)scratch(run, most, sizeof(InternStep));
    script.got = (mm_str **)scratch(run, most, sizeof(mm_str *));
    while (*rest != '\0') {
        if (!parse_intern_step(&rest, &script.steps[script.count++])) {
            malformed(run, "a step of an intern_script");
            return;
        }
    }
    script.heap = quiet_heap();
    for (k = 0; k < script.count; k++) intern_call(&script, k);
    intern_end(&script);
}

/* Lines about things that the library does not have: vectors.allow says so. */
static const char *const intern_absent[] = {
    "smallint ",      "single_char_string ",   "empty_string ",
    "intern(bytes) ", "intern(str subclass) ",
};

static bool replay_absent(Run *run, char *line)
{
    size_t i;
    for (i = 0; i < sizeof intern_absent / sizeof intern_absent[0]; i++) {
        if (strncmp(line, intern_absent[i], strlen(intern_absent[i])) != 0) continue;
        vector_begin(run, "", line);
        miss(run, "replay", "what it is about", "present", "absent");
        vector_end(run);
        return true;
    }
    return false;
}

static void replay_intern(Run *run)
{
    char *line, *rest, *number;
    while ((line = next_line(run)) != NULL) {
        if (replay_absent(run, line)) continue;
        if (!skip_prefix(line, "intern_script ", &rest)) {
            stray_line(run, "smallint, single_char_string or intern_script ...");
            continue;
        }
        number = next_word(&rest);
        vector_begin(run, "script:", number == NULL ? "?" : number);
        replay_intern_script(run, rest);
        vector_end(run);
    }
}

#endif /* VECTORS_INTERN_H */
