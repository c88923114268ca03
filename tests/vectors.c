/* vectors - replay recorded behaviour of CPython.

       build/tests/vectors KIND FILE...

   Reads files of lines, each kind in a form of its own that the comments at the head
   of the file describe; does with the library what they say, and compares. Prints each
   mismatch, and at the end `N passed, N failed`; exits with 1 if any failed, with 2
   if it cannot start. What the library does otherwise on purpose is listed with the
   reason in vectors.allow beside this file: it is replayed all the same and counted as
   skipped, and an entry that passes is an error. */
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"

#include "vectors_base.h"

#include "vectors_world.h"

#include "vectors_graphs.h"

#include "vectors_scripts.h"

#include "vectors_auto.h"

#include "vectors_weak.h"

#include "vectors_finalize.h"

#include "vectors_intern.h"

typedef struct Kind {
    const char *name;
    void (*replay)(Run *run); /* all vectors of one file */
} Kind;

static const Kind kinds[] = {
    {"gc_graphs", replay_graphs},  {"gc_scripts", replay_scripts},
    {"gc_auto", replay_auto},      {"weakref_order", replay_weak},
    {"finalize", replay_finalize}, {"intern", replay_intern},
};

static const Kind *find_kind(const char *name)
{
    size_t i;
    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

/* ----------------------------------------------------------- vectors.allow ---- */

/* The folder of a path, with room for `rest` after it. */
static char *beside(const char *path, const char *rest)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    char *out = (char *)or_exit(malloc(length + strlen(rest) + 1));
    memcpy(out, path, length);
    strcpy(out + length, rest);
    return out;
}

/* vectors.allow stands beside this file; seen from the program, which is built into
   build/tests, it is two folders up. */
static char *find_allow(const char *program, size_t *length, char **path)
{
    char *text;
    *path = beside(__FILE__, "vectors.allow");
    text = read_file(*path, length);
    if (text != NULL) return text;
    free(*path);
    *path = beside(program, "../../tests/vectors.allow");
    return read_file(*path, length);
}

/* One line `KIND CASE reason`; false if it is not that. */
static bool parse_allow(Allow *allow, char *line)
{
    allow->kind = next_word(&line);
    allow->name = next_word(&line);
    return allow->name != NULL && next_word(&line) != NULL;
}

static bool load_allow(Run *run, const char *program)
{
    size_t length = 0, line = 0, room = 1, i;
    char *cursor, *text, *path;
    run->allow_text = cursor = find_allow(program, &length, &path);
    run->allow_path = path;
    if (cursor == NULL) {
        fprintf(stderr, "vectors: no vectors.allow found: nothing is allowed\n");
        return true;
    }
    for (i = 0; i < length; i++) room += cursor[i] == '\n';
    run->allow = (Allow *)or_exit(calloc(room, sizeof(Allow)));
    while ((text = cut_line(&cursor, run->allow_text + length)) != NULL) {
        line++;
        if (*text == '#' || text[strspn(text, " \t")] == '\0') continue;
        run->allow[run->allow_count].line = line;
        if (!parse_allow(&run->allow[run->allow_count++], text)) {
            fprintf(stderr, "%s:%zu: `KIND CASE reason` expected\n", path, line);
            return false;
        }
    }
    return true;
}

/* -------------------------------------------------------------------- files ---- */

static void replay_file(Run *run, const Kind *kind, const char *path)
{
    size_t length = 0, before = run->passed + run->failed + run->skipped;
    run->path = path;
    run->line = 0;
    run->held = NULL;
    run->text = run->cursor = read_file(path, &length);
    if (run->text == NULL) {
        printf("%s: cannot be read\n", path);
        run->failed++;
        return;
    }
    run->end = run->text + length;
    kind->replay(run);
    if (run->passed + run->failed + run->skipped == before) {
        printf("%s: no vectors of kind %s\n", path, kind->name);
        run->failed++;
    }
    free(run->text);
}

static int usage(void)
{
    size_t i;
    fprintf(stderr, "usage: vectors KIND FILE...\nkinds:");
    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        fprintf(stderr, " %s", kinds[i].name);
    fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv)
{
    Run run;
    const Kind *kind = argc < 3 ? NULL : find_kind(argv[1]);
    int i;
    if (argc >= 3 && kind == NULL) fprintf(stderr, "unknown kind: %s\n", argv[1]);
    if (kind == NULL) return usage();
    memset(&run, 0, sizeof run);
    run.kind = kind->name;
    run.variant = "";
    if (!load_allow(&run, argv[0])) return 2;
    world_types_init();
    hand_types_init();
    for (i = 2; i < argc; i++) replay_file(&run, kind, argv[i]);
    free(run.allow);
    free(run.allow_text);
    free(run.allow_path);
    printf("%zu passed, %zu failed", run.passed, run.failed);
    if (run.skipped != 0) printf(", %zu skipped", run.skipped);
    printf("\n");
    return run.failed == 0 ? 0 : 1;
}
