/* vectors_finalize.h - finalize: a Python program about weakref.finalize, in the
   comments of the file, and what it prints. Part of vectors.c.

   The program is read statement by statement and done with mm_finalize. Only the
   statements of such programs are known; another one is an error. `A` is the class:
   an object that lives to the end. The end is mm_heap_destroy. */
#ifndef VECTORS_FINALIZE_H
#define VECTORS_FINALIZE_H

enum { PROGRAM_KEEP = 32, PROGRAM_FINALIZERS = 256, PROGRAM_OUTPUT = 1 << 16 };

typedef struct Program {
    Run *run;
    mm_heap *heap;
    Target *named['z' + 1]; /* objects by the letter that holds them            */
    Target *keep[PROGRAM_KEEP];
    size_t keep_count;
    mm_finalizer *f[PROGRAM_FINALIZERS];
    size_t f_count;
    char *boom; /* the body of the function boom                    */
    char *output;
    size_t length;
    size_t calls; /* how many callbacks have run                      */
    bool broken;  /* an unknown statement: the rest does nothing      */
} Program;

/* What a finalize callback does: print text, or run boom if it is NULL. */
typedef struct Call {
    Program *program;
    char *text;
} Call;

static void do_statements(Program *p, char *text);

static void program_print(Program *p, const char *text)
{
    size_t length = strlen(text);
    if (p->length + length + 2 > PROGRAM_OUTPUT) return;
    memcpy(p->output + p->length, text, length);
    p->length += length;
    p->output[p->length++] = '\n';
}

static void program_call(void *user)
{
    Call *call = (Call *)user;
    Program *p = call->program;
    char *body;
    if (p->broken) return;
    p->calls++;
    if (call->text != NULL) {
        program_print(p, call->text);
    } else if (p->boom != NULL) {
        body = (char *)scratch(p->run, strlen(p->boom) + 1, 1);
        do_statements(p, strcpy(body, p->boom));
    }
}

/* ----------------------------------------------------------------- scanner ---- */

static bool eat(char **at, const char *literal)
{
    return skip_prefix(*at, literal, at);
}

static bool eat_number(char **at, size_t limit, size_t *out)
{
    return cut_number(*at, limit, out, at);
}

/* 'text', without its quotes; a copy. */
static char *eat_quoted(Program *p, char **at)
{
    char *stop = **at == '\'' ? strchr(*at + 1, '\'') : NULL, *text;
    size_t length;
    if (stop == NULL) return NULL;
    length = (size_t)(stop - *at) - 1;
    text = (char *)scratch(p->run, length + 1, 1);
    memcpy(text, *at + 1, length);
    *at = stop + 1;
    return text;
}

/* f[I] */
static bool eat_finalizer(const Program *p, char **at, mm_finalizer **out)
{
    size_t i;
    if (!eat(at, "f[") || !eat_number(at, p->f_count, &i) || !eat(at, "]"))
        return false;
    *out = p->f[i];
    return true;
}

/* The letter of an object. */
static bool eat_letter(char **at, size_t *letter)
{
    if (**at < 'A' || (**at > 'Z' && **at < 'a') || **at > 'z') return false;
    *letter = (size_t)(unsigned char)*(*at)++;
    return true;
}

/* -------------------------------------------------------------- expressions ---- */

/* f[I]() prints what the callback prints; its value is print's, None. */
static const char *value_of_call(Program *p, mm_finalizer *f)
{
    size_t before = p->calls;
    bool alive = mm_finalizer_alive(f), ran = mm_finalizer_call(f);
    if (ran != alive) miss(p->run, "call", "returned", py(alive), py(ran));
    before = p->calls - before;
    if (before != (alive ? 1u : 0u))
        miss_number(p->run, p->run->line, "call", "callbacks run", alive, before);
    return "None";
}

static const char *value_of_peek(mm_finalizer *f, bool compared)
{
    void *object = mm_finalizer_peek(f);
    mm_decref(object);
    if (compared) return py(object != NULL);
    return object == NULL ? "None" : "an object";
}

static const char *value_of_alive_list(Program *p)
{
    char *text = (char *)scratch(p->run, p->f_count + 1, 8), *at = text;
    size_t i;
    *at++ = '[';
    for (i = 0; i < p->f_count; i++)
        at += sprintf(at, "%s%s", i == 0 ? "" : ", ", py(mm_finalizer_alive(p->f[i])));
    *at = ']';
    return text;
}

/* An argument of print, as text; NULL if it is not known. */
static const char *eat_value(Program *p, char **at)
{
    mm_finalizer *f;
    if (**at == '\'') return eat_quoted(p, at);
    if (eat(at, "[x.alive for x in f]")) return value_of_alive_list(p);
    if (!eat_finalizer(p, at, &f)) return NULL;
    if (eat(at, "()")) return value_of_call(p, f);
    if (eat(at, ".peek() is not None")) return value_of_peek(f, true);
    return eat(at, ".peek()") ? value_of_peek(f, false) : NULL;
}

/* --------------------------------------------------------------- statements ---- */

static bool do_print(Program *p, char *at)
{
    char *line = (char *)scratch(p->run, PROGRAM_OUTPUT, 1);
    size_t length = 0;
    do {
        const char *value = eat_value(p, &at);
        if (value == NULL || length + strlen(value) + 2 > PROGRAM_OUTPUT) return false;
        length += (size_t)sprintf(line + length, "%s%s", length == 0 ? "" : " ", value);
    } while (eat(&at, ", "));
    program_print(p, line);
    return strcmp(at, ")") == 0;
}

static mm_finalizer *program_finalize(Program *p, Target *target, char *text)
{
    Call *call = (Call *)scratch(p->run, 1, sizeof *call);
    call->program = p;
    call->text = text;
    return (mm_finalizer *)or_exit(mm_finalize(target, program_call, call));
}

/* The rest of `weakref.finalize(A, print, 'text')` or `weakref.finalize(A, boom)`. */
static bool do_finalize(Program *p, char *at)
{
    char *text = NULL;
    size_t letter;
    if (!eat_letter(&at, &letter) || p->named[letter] == NULL) return false;
    if (eat(&at, ", print, ")) {
        text = eat_quoted(p, &at);
        if (text == NULL) return false;
    } else if (!eat(&at, ", boom")) {
        return false;
    }
    mm_decref(program_finalize(p, p->named[letter], text));
    return strcmp(at, ")") == 0;
}

/* The rest of
   `f=[weakref.finalize(keep[i%M], print, 'PREFIX%d'%i) for i in range(N)]` */
static bool do_finalize_list(Program *p, char *at)
{
    size_t modulus, count, i;
    char *prefix, *mark;
    if (!eat_number(&at, PROGRAM_KEEP, &modulus) || !eat(&at, "], print, "))
        return false;
    prefix = eat_quoted(p, &at);
    mark = prefix == NULL ? NULL : strstr(prefix, "%d");
    if (mark == NULL || mark[2] != '\0' || !eat(&at, "%i) for i in range("))
        return false;
    if (!eat_number(&at, PROGRAM_FINALIZERS, &count) || strcmp(at, ")]") != 0)
        return false;
    if (p->f_count != 0 || modulus == 0 || modulus > p->keep_count) return false;
    *mark = '\0';
    for (i = 0; i < count; i++) {
        char *text = (char *)scratch(p->run, strlen(prefix) + 24, 1);
        sprintf(text, "%s%zu", prefix, i);
        p->f[p->f_count++] = program_finalize(p, p->keep[i % modulus], text);
    }
    return true;
}

/* The rest of `keep=[a,b]` */
static bool do_keep(Program *p, char *at)
{
    size_t letter;
    do {
        if (!eat_letter(&at, &letter) || p->named[letter] == NULL) return false;
        if (p->keep_count == PROGRAM_KEEP) return false;
        p->keep[p->keep_count++] = mm_newref(p->named[letter]);
    } while (eat(&at, ","));
    return strcmp(at, "]") == 0;
}

/* The rest of `keep.pop(I)` */
static bool do_pop(Program *p, char *at)
{
    size_t i;
    Target *old;
    if (!eat_number(&at, p->keep_count, &i) || strcmp(at, ")") != 0) return false;
    old = p->keep[i];
    for (p->keep_count--; i < p->keep_count; i++) p->keep[i] = p->keep[i + 1];
    mm_decref(old);
    return true;
}

/* `f[I].atexit=False`, `f[I].detach()` */
static bool do_method(const Program *p, char *at)
{
    mm_finalizer *f;
    bool alive;
    if (!eat_finalizer(p, &at, &f)) return false;
    alive = mm_finalizer_alive(f);
    if (strcmp(at, ".atexit=False") == 0)
        mm_finalizer_set_atexit(f, false);
    else if (strcmp(at, ".atexit=True") == 0)
        mm_finalizer_set_atexit(f, true);
    else if (strcmp(at, ".detach()") != 0)
        return false;
    else if (mm_finalizer_detach(f) != alive)
        miss(p->run, "detach", "returned", py(alive), py(!alive));
    return true;
}

/* `a=A()`, `del a` */
static bool do_object(Program *p, char *at)
{
    size_t letter;
    bool del = eat(&at, "del ");
    Target *old;
    if (!eat_letter(&at, &letter) || strcmp(at, del ? "" : "=A()") != 0) return false;
    old = p->named[letter];
    if (del && old == NULL) return false;
    p->named[letter] = del ? NULL : (Target *)or_exit(mm_new(p->heap, Target));
    mm_decref(old);
    return true;
}

static bool do_statement(Program *p, char *at)
{
    static const char *const silent[] = {"import weakref, sys", "class A: pass",
                                         "res=[]", "raise ValueError('x')"};
    size_t i;
    for (i = 0; i < sizeof silent / sizeof silent[0]; i++)
        if (strcmp(at, silent[i]) == 0) return true;
    if (eat(&at, "print(")) return do_print(p, at);
    if (eat(&at, "f=[weakref.finalize(keep[i%")) return do_finalize_list(p, at);
    if (eat(&at, "g=weakref.finalize(")) return do_finalize(p, at);
    if (eat(&at, "weakref.finalize(")) return do_finalize(p, at);
    if (eat(&at, "keep=[")) return do_keep(p, at);
    if (eat(&at, "keep.pop(")) return do_pop(p, at);
    if (*at == 'f' && at[1] == '[') return do_method(p, at);
    return do_object(p, at);
}

/* Cut a line at its comment, or a statement at its `;`; NULL if it has none. */
static char *cut_code(char *text, char mark)
{
    bool quoted = false;
    for (; *text != '\0'; text++) {
        if (*text == '\'') quoted = !quoted;
        if (*text != mark || quoted) continue;
        *text = '\0';
        return text + 1;
    }
    return NULL;
}

static void do_statements(Program *p, char *text)
{
    while (text != NULL && !p->broken) {
        char *next = cut_code(text, ';'), *end;
        text += strspn(text, " ");
        for (end = text + strlen(text); end > text && end[-1] == ' ';) *--end = '\0';
        if (!do_statement(p, text)) {
            p->broken = true;
            malformed(p->run, "a statement that is not known");
        }
        text = next;
    }
}

static void do_line(Program *p, char *line)
{
    cut_code(line, '#');
    if (!eat(&line, "def boom(): ")) {
        do_statements(p, line);
        return;
    }
    p->boom = (char *)scratch(p->run, strlen(line) + 1, 1);
    strcpy(p->boom, line);
}

/* ----------------------------------------------------------------- program ---- */

/* How many different objects the program still holds. */
static size_t program_held(const Program *p)
{
    size_t count = 0, i, j;
    for (i = 0; i <= 'z'; i++)
        if (p->named[i] != NULL) count++;
    for (i = 0; i < p->keep_count; i++) {
        bool counted = false;
        for (j = 0; j <= 'z'; j++) counted = counted || p->named[j] == p->keep[i];
        for (j = 0; j < i; j++) counted = counted || p->keep[j] == p->keep[i];
        if (!counted) count++;
    }
    return count;
}

/* The end of the program, with its objects still held. */
static void program_exit(Program *p)
{
    size_t i, held, want = program_held(p);
    for (i = 0; i < p->f_count; i++) mm_decref(p->f[i]);
    held = mm_heap_destroy(p->heap);
    if (held != want && !p->broken)
        miss_number(p->run, p->run->line, "end", "objects held", want, held);
}

/* Compare the output with the lines after STDOUT, up to the next comment. */
static void check_output(Program *p)
{
    Run *run = p->run;
    char *at = p->output, *end = p->output + p->length, *want, *got;
    while ((want = any_line(run)) != NULL && *want != '#') {
        if (p->broken) continue;
        got = cut_line(&at, end);
        if (got == NULL || strcmp(want, got) != 0)
            miss(run, "STDOUT", "line", want, got == NULL ? "nothing" : got);
    }
    if (want != NULL) hold_line(run, want);
    while (!p->broken && (got = cut_line(&at, end)) != NULL)
        miss(run, "STDOUT", "line", "nothing", got);
}

static void replay_program(Run *run, char *line)
{
    Program *p = (Program *)scratch(run, 1, sizeof *p);
    p->run = run;
    p->heap = quiet_heap();
    p->output = (char *)scratch(run, PROGRAM_OUTPUT, 1);
    p->named['A'] = (Target *)or_exit(mm_new(p->heap, Target));
    while (line != NULL && eat(&line, "# ")) {
        if (!p->broken) do_line(p, line);
        line = any_line(run);
    }
    if (!p->broken && (line == NULL || strcmp(line, "STDOUT") != 0)) {
        p->broken = true;
        malformed(run, "`STDOUT` expected");
    }
    program_exit(p);
    check_output(p);
}

/* A program starts with its import; comments before it are about the file. */
static void replay_finalize(Run *run)
{
    char *line, name[24];
    size_t number = 0;
    while ((line = any_line(run)) != NULL) {
        if (strncmp(line, "# import", 8) == 0) {
            snprintf(name, sizeof name, "%zu", ++number);
            vector_begin(run, "program:", name);
            replay_program(run, line);
            vector_end(run);
        } else if (*line != '#' && *line != '\0') {
            stray_line(run, "a program in comments expected");
        }
    }
}

#endif /* VECTORS_FINALIZE_H */
