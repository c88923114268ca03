/* packages.h - package lists of Debian, for depgraph.c: where they are, how they are
   unpacked, and how they are read

   Nothing here allocates: a list is one text in memory, and all that is found in it
   are slices of that text (mm_span). A list is a sequence of stanzas divided by empty
   lines; a stanza is a sequence of fields:

       Package: harbour
       Depends: libtide3 (>= 3.3), mail-gull | mail-carrier,
        harbour-pilot

   Included after memmgr.h.
*/
#ifndef DEPGRAPH_PACKAGES_H
#define DEPGRAPH_PACKAGES_H

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef DEPGRAPH_SAMPLE
#define DEPGRAPH_SAMPLE "examples/data/packages.sample"
#endif
#define APT_LISTS "/var/lib/apt/lists"
#define APT_HELPER "/usr/lib/apt/apt-helper"
#define DPKG_STATUS "/var/lib/dpkg/status"

enum {
    PATH_BYTES = 4096,
    COMMAND_BYTES = 4 * PATH_BYTES + 256, /* a path of quotes only, and a tool        */
    LINE_MOST = 1 << 20                   /* the longest line of a real list: 76 kB   */
};

/* ---- Errors --------------------------------------------------------------------- */

typedef struct Error {
    char text[PATH_BYTES + 256]; /* one line; empty: none */
} Error;

static bool fail(Error *error, const char *format, ...) MM__PRINTF(2, 3);

/* Keeps the first reason. Returns false, for the caller to return. */
static bool fail(Error *error, const char *format, ...)
{
    va_list args;
    if (error->text[0] != '\0') return false;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return false;
}

/* ---- Which file ----------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The command that turns a file of this name into text; NULL if it is text. apt's own
   tool is there wherever its lists are, but takes a gzip file cut short for whole. */
static const char *unpacker(const char *path)
{
    static const char *const tools[][2] = {
        {".gz", "gzip -dc"}, {".lz4", "lz4 -dc"}, {".xz", "xz -dc"},
        {".zst", "zstd -dc"}, {".bz2", "bzip2 -dc"}};
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        if (!ends_with(path, tools[i][0])) continue;
        return i > 0 && access(APT_HELPER, X_OK) == 0 ? APT_HELPER " cat-file"
                                                      : tools[i][1];
    }
    return NULL;
}

static bool is_package_list(const char *name)
{
    const char *p = strstr(name, "_Packages");
    return p != NULL && (p[9] == '\0' || (p[9] == '.' && unpacker(name) != NULL));
}

/* The largest of apt's lists: that of the distribution itself. */
static bool find_apt_list(char path[PATH_BYTES])
{
    DIR *folder = opendir(APT_LISTS);
    struct dirent *file;
    off_t largest = 0;
    if (folder == NULL) return false;
    while ((file = readdir(folder)) != NULL) {
        char candidate[PATH_BYTES];
        struct stat info;
        if (!is_package_list(file->d_name)) continue;
        snprintf(candidate, sizeof candidate, APT_LISTS "/%.300s", file->d_name);
        if (stat(candidate, &info) != 0 || access(candidate, R_OK) != 0) continue;
        if (info.st_size <= largest) continue;
        largest = info.st_size;
        memcpy(path, candidate, sizeof candidate);
    }
    closedir(folder);
    return largest > 0;
}

/* What this machine has to offer. buffer is where the path may be kept. */
static const char *find_packages(char buffer[PATH_BYTES])
{
    struct stat info;
    if (find_apt_list(buffer)) return buffer;
    if (stat(DPKG_STATUS, &info) == 0 && info.st_size > 0) return DPKG_STATUS;
    return DEPGRAPH_SAMPLE;
}

/* `tool 'path'`, silent, with the quotes in path made harmless. */
static bool shell_command(char out[COMMAND_BYTES], const char *tool, const char *path)
{
    int n = snprintf(out, COMMAND_BYTES, "%s '", tool);
    if (strlen(path) >= PATH_BYTES) return false;
    for (; *path != '\0'; path++)
        n += sprintf(out + n, *path == '\'' ? "'\\'%c" : "%c", *path);
    sprintf(out + n, "' 2>/dev/null </dev/null");
    return true;
}

/* ---- Control files: stanzas of fields ------------------------------------------- */

/* A stanza, in slices of the text. Fields that are not there have ptr NULL. */
typedef struct Stanza {
    mm_span package, version, section, maintainer, provides, depends, pre_depends;
    mm_span checksum, other;
    size_t  first_line;
    const char *start, *end;
    bool    closed; /* by an empty line, as apt and dpkg close every stanza */
} Stanza;

typedef struct Reader {
    const char *at, *end;
    size_t      line; /* its number, from 1 */
    mm_span     text; /* of the line, without the newline */
} Reader;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static mm_span trim(mm_span s)
{
    while (s.len > 0 && is_space(s.ptr[0])) s.ptr++, s.len--;
    while (s.len > 0 && is_space(s.ptr[s.len - 1])) s.len--;
    return s;
}

/* The next line; false at the end, or with an error. */
static bool next_line(Error *error, Reader *r)
{
    size_t left = (size_t)(r->end - r->at);
    const char *newline = (const char *)memchr(r->at, '\n', left);
    if (left == 0) return false;
    r->line++;
    r->text.ptr = r->at;
    r->text.len = newline != NULL ? (size_t)(newline - r->at) : left;
    if (r->text.len > LINE_MOST)
        return fail(error, "line %zu has %zu bytes: not a package list", r->line,
                    r->text.len);
    if (newline == NULL)
        return fail(error, "line %zu: the file ends inside a line: cut off?", r->line);
    r->at = newline + 1;
    return true;
}

/* Where the field of this name belongs in a stanza. */
static mm_span *field_of(Stanza *s, const char *name, size_t len)
{
    static const struct {
        const char *name;
        size_t      len, offset;
    } known[] = {
        {"Package", 7, offsetof(Stanza, package)},
        {"Version", 7, offsetof(Stanza, version)},
        {"Section", 7, offsetof(Stanza, section)},
        {"Maintainer", 10, offsetof(Stanza, maintainer)},
        {"Provides", 8, offsetof(Stanza, provides)},
        {"Depends", 7, offsetof(Stanza, depends)},
        {"Pre-Depends", 11, offsetof(Stanza, pre_depends)},
        {"SHA256", 6, offsetof(Stanza, checksum)}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].len == len && strncasecmp(known[i].name, name, len) == 0)
            return (mm_span *)(void *)((char *)s + known[i].offset);
    return &s->other;
}

/* `Name: value` opens a field. Returns it, or NULL with an error. */
static mm_span *open_field(Error *error, const Reader *r, Stanza *s)
{
    const char *p = r->text.ptr, *end = p + r->text.len;
    mm_span *field;
    while (p < end && *p > ' ' && *p < 127 && *p != ':') p++;
    if (p == end || *p != ':' || p == r->text.ptr) {
        fail(error, "line %zu is not a field of a package: no `Name: value`", r->line);
        return NULL;
    }
    field = field_of(s, r->text.ptr, (size_t)(p - r->text.ptr));
    if (field->ptr != NULL && field != &s->other) {
        fail(error, "line %zu: a second %.*s field in one stanza", r->line,
             (int)(p - r->text.ptr), r->text.ptr);
        return NULL;
    }
    field->ptr = p + 1;
    field->len = (size_t)(end - field->ptr);
    return field;
}

/* The next stanza; false at the end of the file, or with an error. A line that starts
   with a space continues the field above it. */
static bool next_stanza(Error *error, Reader *r, Stanza *s)
{
    mm_span *field = NULL;
    memset(s, 0, sizeof *s);
    while (next_line(error, r)) {
        const char *end = r->text.ptr + r->text.len;
        if (trim(r->text).len == 0) {
            if (field == NULL) continue;
            s->closed = true;
            return true;
        }
        if (r->text.ptr[0] == '#') continue;
        if (field == NULL) s->start = r->text.ptr, s->first_line = r->line;
        if (!is_space(r->text.ptr[0])) {
            field = open_field(error, r, s);
            if (field == NULL) return false;
        } else if (field == NULL) {
            return fail(error, "line %zu continues a field, but has none", r->line);
        }
        field->len = (size_t)(end - field->ptr);
        s->end = end;
    }
    return field != NULL && error->text[0] == '\0';
}

/* Takes the next part of a list off its front. */
static bool next_part(mm_span *list, char separator, mm_span *part)
{
    const char *stop;
    if (list->len == 0) return false;
    stop = (const char *)memchr(list->ptr, separator, list->len);
    part->ptr = list->ptr;
    part->len = stop != NULL ? (size_t)(stop - list->ptr) : list->len;
    list->ptr += part->len + (stop != NULL);
    list->len -= part->len + (stop != NULL);
    return true;
}

/* `libmoon2:any (>= 2.0) [amd64]` -> `libmoon2` */
static mm_span name_in(mm_span part)
{
    mm_span name = trim(part);
    size_t n = 0;
    while (n < name.len && strchr(":([<| \t\r\n", name.ptr[n]) == NULL) n++;
    name.len = n;
    return name;
}

static bool is_package_name(mm_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && strchr("+-._~", c) == NULL)
            return false;
    }
    return name.len > 0;
}

/* A stanza has a name. The last one also has what the first has, or it was cut. */
static bool check_stanza(Error *error, const Stanza *s, const Stanza *first)
{
    size_t line = s->first_line;
    if (s->package.ptr == NULL)
        return fail(error, "line %zu: a stanza without a Package field%s", line,
                    s->closed ? "" : ": cut off?");
    if (!is_package_name(trim(s->package)))
        return fail(error, "line %zu: a Package field without a valid name", line);
    if (!s->closed && ((first->version.ptr != NULL && s->version.ptr == NULL) ||
                       (first->checksum.ptr != NULL && s->checksum.ptr == NULL)))
        return fail(error, "line %zu: the last stanza lacks fields: cut off?", line);
    return true;
}

#endif
