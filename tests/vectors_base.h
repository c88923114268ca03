/* vectors_base.h - what every kind of vector needs: a reader of lines, the books of
   passed and failed vectors, the list of allowed deviations. Part of vectors.c. */
#ifndef VECTORS_BASE_H
#define VECTORS_BASE_H

#include <stdio.h>
#include <stdlib.h>

/* A line `KIND CASE reason` of vectors.allow. CASE may end in `*`. */
typedef struct Allow {
    char *kind, *name;
    size_t line;
} Allow;

typedef struct Scratch Scratch;
struct Scratch {
    Scratch *next;
};

/* A replay: the file being read, the vector under way, and the books. */
typedef struct Run {
    const char *kind, *path;
    char *text, *cursor, *end; /* the file; lines are cut out of it in place      */
    size_t line;               /* number of the line read last                    */
    char *held;                /* a line that was read too far, to be read again  */

    char name[160];      /* of the vector under way, as vectors.allow has it */
    const char *variant; /* how it is being replayed; "" if in one way only  */
    size_t misses;       /* its mismatches so far                           */
    bool malformed;
    Scratch *scratch; /* memory that lives as long as the vector         */

    size_t passed, failed, skipped;

    char *allow_path;
    char *allow_text;
    Allow *allow;
    size_t allow_count;
    const Allow *allowed; /* the entry for the vector under way, or NULL     */
} Run;

/* ---------------------------------------------------------------- memory ---- */

static void *or_exit(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "vectors: out of memory\n");
        exit(2);
    }
    return memory;
}

/* Zeroed memory that is freed when the vector ends. */
static void *scratch(Run *run, size_t count, size_t size)
{
    /* two words in front keep the items 16-byte aligned */
    const size_t head = 2 * sizeof(void *);
    Scratch *block = NULL;
    if (count <= (SIZE_MAX - head) / size)
        block = (Scratch *)calloc(1, head + count * size);
    or_exit(block);
    block->next = run->scratch;
    run->scratch = block;
    return (char *)block + head;
}

/* Room for one item more in an array of `count` items: it doubles at powers of two. */
static void *scratch_grow(Run *run, void *items, size_t count, size_t size)
{
    void *bigger;
    if (count != 0 && (count & (count - 1)) != 0) return items;
    bigger = scratch(run, count == 0 ? 1 : count * 2, size);
    if (count != 0) memcpy(bigger, items, count * size);
    return bigger;
}

static void scratch_free(Run *run)
{
    while (run->scratch != NULL) {
        Scratch *next = run->scratch->next;
        free(run->scratch);
        run->scratch = next;
    }
}

/* The whole of a file as text, or NULL. A NUL byte becomes '?': no vector has one,
   so that it is reported with its line. */
static char *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    size_t size = 0, room = 1 << 16, got, i;
    char *text;
    bool fine;
    if (file == NULL) return NULL;
    text = (char *)or_exit(malloc(room + 1));
    while ((got = fread(text + size, 1, room - size, file)) != 0) {
        size += got;
        if (size == room) {
            room *= 2;
            text = (char *)or_exit(realloc(text, room + 1));
        }
    }
    fine = !ferror(file);
    fclose(file);
    for (i = 0; i < size; i++)
        if (text[i] == '\0') text[i] = '?';
    text[size] = '\0';
    *length = size;
    if (fine) return text;
    free(text);
    return NULL;
}

/* ----------------------------------------------------------------- lines ---- */

/* The next line of the text between *cursor and end, without its line end. */
static char *cut_line(char **cursor, const char *end)
{
    char *line = *cursor, *stop;
    if (line == end) return NULL;
    stop = strchr(line, '\n');
    *cursor = stop == NULL ? line + strlen(line) : stop + 1;
    if (stop == NULL) stop = *cursor;
    *stop = '\0';
    if (stop > line && stop[-1] == '\r') stop[-1] = '\0';
    return line;
}

/* The next line of the file, comments and all; NULL at its end. */
static char *any_line(Run *run)
{
    char *line = run->held;
    run->held = NULL;
    if (line == NULL) line = cut_line(&run->cursor, run->end);
    if (line != NULL) run->line++;
    return line;
}

/* The next line that says something; NULL at the end of the file. */
static char *next_line(Run *run)
{
    char *line;
    while ((line = any_line(run)) != NULL)
        if (line[0] != '#' && line[strspn(line, " \t")] != '\0') break;
    return line;
}

/* Have the line just read read again. */
static void hold_line(Run *run, char *line)
{
    run->held = line;
    run->line--;
}

/* The next word of a line, cut out of it; NULL at its end. */
static char *next_word(char **cursor)
{
    char *word = *cursor + strspn(*cursor, " \t"), *stop;
    if (*word == '\0') return NULL;
    stop = word + strcspn(word, " \t");
    *cursor = *stop == '\0' ? stop : stop + 1;
    *stop = '\0';
    return word;
}

/* How many words a line has left: the most that can be cut from it. */
static size_t count_words(const char *line)
{
    size_t count = 0;
    while (*(line += strspn(line, " \t")) != '\0') {
        line += strcspn(line, " \t");
        count++;
    }
    return count;
}

/* Whether text starts with prefix; *rest is what follows it. */
static bool skip_prefix(char *text, const char *prefix, char **rest)
{
    size_t length = strlen(prefix);
    if (text == NULL || strncmp(text, prefix, length) != 0) return false;
    *rest = text + length;
    return true;
}

/* A number below limit at the start of text; *rest is what follows it. */
static bool cut_number(char *text, size_t limit, size_t *out, char **rest)
{
    size_t value = 0;
    if (text == NULL || *text < '0' || *text > '9') return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (size_t)(*text - '0');
        if (value >= limit) return false;
    }
    *out = value;
    *rest = text;
    return true;
}

/* The same where the number must be all there is. */
static bool whole_number(char *text, size_t limit, size_t *out)
{
    char *rest;
    return cut_number(text, limit, out, &rest) && *rest == '\0';
}

/* ----------------------------------------------------------------- books ---- */

static bool allow_matches(const Allow *allow, const char *kind, const char *name)
{
    size_t length = strlen(allow->name);
    if (strcmp(allow->kind, kind) != 0) return false;
    if (length != 0 && allow->name[length - 1] == '*')
        return strncmp(allow->name, name, length - 1) == 0;
    return strcmp(allow->name, name) == 0;
}

/* Start a vector; prefix and name together, with `_` for spaces, are its CASE in
   vectors.allow. */
static void vector_begin(Run *run, const char *prefix, const char *name)
{
    size_t i;
    snprintf(run->name, sizeof run->name, "%s%s", prefix, name);
    for (i = 0; run->name[i] != '\0'; i++)
        if (run->name[i] == ' ') run->name[i] = '_';
    run->variant = "";
    run->misses = 0;
    run->malformed = false;
    run->allowed = NULL;
    for (i = 0; i < run->allow_count && run->allowed == NULL; i++)
        if (allow_matches(&run->allow[i], run->kind, run->name))
            run->allowed = &run->allow[i];
}

static void vector_end(Run *run)
{
    scratch_free(run);
    if (run->malformed || (run->misses != 0 && run->allowed == NULL)) {
        run->failed++;
    } else if (run->misses != 0) {
        run->skipped++;
    } else if (run->allowed != NULL) {
        printf("%s:%zu: stale: %s %s passes\n", run->allow_path, run->allowed->line,
               run->kind, run->name);
        run->failed++;
    } else {
        run->passed++;
    }
}

/* A mismatch of the vector under way, found at a line of the file. */
static void miss_at(Run *run, size_t line, const char *phase, const char *field,
                    const char *want, const char *got)
{
    run->misses++;
    if (run->allowed != NULL) return;
    printf("%s:%zu: %s %s%s%s, %s, %s: expected %s, got %s\n", run->path, line,
           run->kind, run->name, *run->variant == '\0' ? "" : " as ", run->variant,
           phase, field, want, got);
}

static void miss(Run *run, const char *phase, const char *field, const char *want,
                 const char *got)
{
    miss_at(run, run->line, phase, field, want, got);
}

static void miss_number(Run *run, size_t line, const char *phase, const char *field,
                        size_t want, size_t got)
{
    char a[24], b[24];
    snprintf(a, sizeof a, "%zu", want);
    snprintf(b, sizeof b, "%zu", got);
    miss_at(run, line, phase, field, a, b);
}

/* The line read last makes no sense. Returns false, for the caller to return. */
static bool malformed(Run *run, const char *why)
{
    size_t line = run->line + (run->held != NULL ? 1 : 0);
    if (!run->malformed) printf("%s:%zu: malformed vector: %s\n", run->path, line, why);
    run->malformed = true;
    return false;
}

/* A line that belongs to no vector fails as if it were one. */
static void stray_line(Run *run, const char *why)
{
    vector_begin(run, "", "?");
    malformed(run, why);
    vector_end(run);
}

/* Skip the rest of a vector that began with `case`. */
static void skip_case(Run *run)
{
    char *line;
    while ((line = next_line(run)) != NULL) {
        if (strcmp(line, "end") == 0) return;
        if (strncmp(line, "case", 4) == 0) {
            hold_line(run, line);
            return;
        }
    }
}

/* The next line of a case; NULL, and not read, if it is `end` or the next case. */
static char *case_line(Run *run)
{
    char *line = next_line(run);
    if (line == NULL || (strcmp(line, "end") != 0 && strncmp(line, "case", 4) != 0))
        return line;
    hold_line(run, line);
    return NULL;
}

/* Whether the last thing of a case is `end`. */
static bool expect_end(Run *run)
{
    char *line = next_line(run);
    if (line != NULL && strcmp(line, "end") == 0) return true;
    if (line != NULL) hold_line(run, line);
    return malformed(run, "`end` expected");
}

/* Replays one case; false if it was malformed and its `end` not read. */
typedef bool (*case_fn)(Run *run);

/* One `case NUMBER [words]` ... `end`; line is its first. */
static void replay_case(Run *run, char *line, case_fn replay)
{
    size_t number;
    char *cursor = line, *word = next_word(&cursor), *name = next_word(&cursor);
    if (word == NULL || strcmp(word, "case") != 0) {
        stray_line(run, "`case` expected");
        return;
    }
    vector_begin(run, "", name == NULL ? "?" : name);
    if (!whole_number(name, SIZE_MAX / 16, &number))
        malformed(run, "a case has a number");
    if (run->malformed || !replay(run)) skip_case(run);
    vector_end(run);
}

#endif /* VECTORS_BASE_H */
