/* depgraph.c - the dependency graph of this machine's packages, as managed objects

   Reads the package lists of apt, else the status file of dpkg, else a small sample,
   and builds the graph that stands in it:

     text       one mm_bytes buffer; every package has its record as an mm_view of it,
                which keeps the buffer alive, and its fields as spans: nothing is copied
     names      interned: one mm_str per distinct name, however often it is written
     packages   objects from an object pool
     Depends    strong references: real packages need each other, so there are cycles
     needed by  the same edges backwards, weak, as handles: they keep nobody alive
     index      a weak cache by name: an entry is worth what its package is

   Then it drops the one root there is, watches counting and the collector take the
   graph apart in short slices, and checks that the figures add up. It exits with 1 and
   one line on stderr if they do not, if the input is not a package list, or if memory
   runs out (try --max-bytes 20M).

     depgraph [-o DIR] [--max-bytes N] [FILE]
*/
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include "packages.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

enum {
    SLICE_US = 200,       /* what one step of the collector may take */
    READ_BYTES = 1 << 20, /* between two looks at the progress       */
    KNOTS_SHOWN = 5,
    DRAWN_MOST = 1000, /* edges */
    TYPES_SHOWN = 16,
    NEEDED_SHOWN = 5
};

/* ---- The managed types ---------------------------------------------------------- */

typedef struct Package {
    mm_str  *name, *section, *maintainer;
    mm_view *record;               /* its stanza; keeps the text alive                */
    mm_span  depends, pre_depends; /* slices of the record                            */
    mm_str **provides;             /* the virtual names it answers to                 */
    struct Package **needs;        /* strong: one reference per edge                  */
    mm_handle *needed_by;          /* weak: the same edges, backwards                 */
    uint32_t provide_count, need_count, needed_by_count;
    uint32_t id;                   /* its place in the archive                        */
} Package;
MM_TYPE(Package, MM_REF(Package, name), MM_REF(Package, section),
        MM_REF(Package, maintainer), MM_REF(Package, record),
        MM_REF_VECTOR(Package, provides, provide_count),
        MM_REF_VECTOR(Package, needs, need_count))

/* The root: all packages, in the order of the file. */
typedef struct Archive {
    Package **packages;
    uint32_t  count, capacity;
} Archive;
MM_TYPE(Archive, MM_REF_VECTOR(Archive, packages, count))

static size_t disposed; /* packages whose memory went; a hook has no user pointer */

/* The weak edges are plain memory that the collector knows nothing of. */
static void package_dispose(void *object)
{
    Package *p = (Package *)object;
    mm_free(mm_heap_of(p), p->needed_by);
    disposed++;
}

/* ---- The state of a run --------------------------------------------------------- */

/* One entry per name a package has or provides. It owns neither of the two: it counts
   only while its handle finds the package, and then the package owns the name. */
typedef struct Entry {
    const mm_str *name;
    mm_handle     package;
} Entry;

typedef struct Index {
    Entry *entries;
    size_t capacity, used; /* a power of two, at most two thirds full */
} Index;

typedef struct Knot {
    uint32_t first, size; /* members[first .. first + size - 1] */
} Knot;

typedef struct Knots {
    Package **members;
    Knot     *list;       /* the largest first                                        */
    uint32_t *number;     /* by package id: 1 + its place in list, or 0               */
    uint32_t  count, packages;
    size_t    held;       /* packages in a knot or needed by one                      */
} Knots;

typedef struct Demo {
    const char *input, *folder;
    char     input_path[PATH_BYTES];
    size_t   max_bytes;
    bool     progress;
    Error    error;

    mm_heap  *heap;
    mm_pool  *pool;
    mm_region scratch;
    mm_bytes *text;
    Archive  *archive;
    Index     index;
    Knots     knots;

    size_t bytes, lines, stanzas, further, names, edges, clauses, unresolved, leaks;
    const Package *lacking; /* the first package with an unresolved dependency */
    mm_span        lacks;
    double started, read_done, parse_done, link_done;
} Demo;

/* ---- Small helpers -------------------------------------------------------------- */

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static bool out_of_memory(Demo *d)
{
    return fail(&d->error, "out of memory: %s", mm_last_message(d->heap));
}

/* A number with its thousands apart. The buffers take turns, so that one printf can
   show several. */
static const char *num(uint64_t n)
{
    static char buffers[8][32];
    static unsigned turn;
    char *p = buffers[turn++ % 8] + 31;
    int digits = 0;
    *p = '\0';
    do {
        if (digits > 0 && digits % 3 == 0) *--p = ',';
        *--p = (char)('0' + n % 10);
        digits++;
        n /= 10;
    } while (n > 0);
    return p;
}

static void progress(const Demo *d, const char *what, size_t n)
{
    if (d->progress) fprintf(stderr, "\r\033[K%s %s", what, num(n));
}

static void progress_end(const Demo *d)
{
    if (d->progress) fputs("\r\033[K", stderr);
}

/* ---- Reading: the whole file, as one object ------------------------------------ */

/* Reads all of file into a raw block that grows; its size goes to d->bytes. */
static char *read_stream(Demo *d, FILE *file, size_t expected)
{
    size_t room = expected + 4096, left = 4096, got;
    char *text = (char *)mm_alloc(d->heap, room);
    if (text == NULL) out_of_memory(d);
    while (text != NULL && (got = fread(text + d->bytes, 1, left, file)) > 0) {
        if (memchr(text + d->bytes, 0, got) != NULL) {
            fail(&d->error, "binary data, not a package list: it has zero bytes");
            break;
        }
        d->bytes += got;
        progress(d, "bytes read", d->bytes);
        if (d->bytes == room) {
            char *larger = (char *)mm_realloc(d->heap, text, room + room / 2);
            if (larger == NULL && !out_of_memory(d)) break;
            text = larger;
            room += room / 2;
        }
        left = room - d->bytes;
        if (left > READ_BYTES) left = READ_BYTES;
    }
    if (ferror(file)) fail(&d->error, "%s", strerror(errno));
    return text;
}

/* The text as an object. The raw block it was read into goes. */
static bool keep_text(Demo *d, char *text)
{
    if (d->error.text[0] == '\0' && d->bytes == 0) fail(&d->error, "the file is empty");
    if (d->error.text[0] == '\0') {
        d->text = mm_bytes_new(d->heap, text, d->bytes);
        if (d->text == NULL) out_of_memory(d);
    }
    mm_free(d->heap, text);
    return d->text != NULL;
}

static bool read_packed(Demo *d, const char *tool, size_t expected)
{
    char command[COMMAND_BYTES], *text;
    FILE *pipe;
    int status;
    if (!shell_command(command, tool, d->input))
        return fail(&d->error, "the path is too long");
    pipe = popen(command, "r");
    if (pipe == NULL) return fail(&d->error, "%s: %s", tool, strerror(errno));
    text = read_stream(d, pipe, expected);
    status = pclose(pipe);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        fail(&d->error, "cannot be unpacked: %s is not installed", tool);
    else if (status != 0)
        fail(&d->error, "cannot be unpacked: damaged or cut short (%s)", tool);
    return keep_text(d, text);
}

static bool read_input(Demo *d)
{
    const char *tool = unpacker(d->input);
    FILE *file = fopen(d->input, "rb");
    struct stat info;
    bool done;
    if (file == NULL) return fail(&d->error, "%s", strerror(errno));
    memset(&info, 0, sizeof info);
    if (fstat(fileno(file), &info) == 0 && S_ISDIR(info.st_mode))
        done = fail(&d->error, "is a directory, not a package list");
    else if (tool != NULL && info.st_size > 0) /* empty is empty, packed or not */
        done = read_packed(d, tool, (size_t)info.st_size * 11 / 4);
    else
        done = keep_text(d, read_stream(d, file, (size_t)info.st_size));
    fclose(file);
    return done;
}

/* ---- The weak cache by name ----------------------------------------------------- */

static bool index_grow(Demo *d, Index *index);

static bool index_add(Demo *d, Index *index, mm_str *name, mm_handle package)
{
    size_t i;
    if ((index->used + 1) * 3 > index->capacity * 2 && !index_grow(d, index))
        return false;
    i = (size_t)mm_str_hash(name) & (index->capacity - 1);
    while (index->entries[i].name != NULL) i = (i + 1) & (index->capacity - 1);
    index->entries[i].name = name;
    index->entries[i].package = package;
    index->used++;
    return true;
}

/* Entries whose package has died are left behind: that is all the cleaning there is. */
static bool index_grow(Demo *d, Index *index)
{
    Index larger;
    larger.capacity = index->capacity == 0 ? 1024 : index->capacity * 2;
    larger.used = 0;
    larger.entries = (Entry *)mm_calloc(d->heap, larger.capacity, sizeof(Entry));
    if (larger.entries == NULL) return out_of_memory(d);
    for (size_t i = 0; i < index->capacity; i++) {
        Entry *e = &index->entries[i];
        if (mm_handle_valid(d->heap, e->package))
            index_add(d, &larger, (mm_str *)(uintptr_t)e->name, e->package);
    }
    mm_free(d->heap, index->entries);
    *index = larger;
    return true;
}

/* The next package under this name, borrowed; NULL after the last. Start with *place
   at the name's hash. */
static Package *index_next(const Demo *d, const mm_str *name, size_t *place)
{
    const Index *index = &d->index;
    if (index->capacity == 0) return NULL;
    for (;;) {
        const Entry *e = &index->entries[(*place)++ & (index->capacity - 1)];
        Package *p;
        if (e->name == NULL) return NULL;
        if (e->name != name) continue;
        p = (Package *)mm_handle_borrow(d->heap, e->package);
        if (p != NULL) return p;
    }
}

/* The package whose own name this is, borrowed, or NULL. */
static Package *index_real(const Demo *d, mm_str *name)
{
    size_t place = (size_t)mm_str_hash(name);
    Package *p;
    do p = index_next(d, name, &place);
    while (p != NULL && p->name != name);
    return p;
}

static size_t index_alive(const Demo *d)
{
    size_t alive = 0;
    for (size_t i = 0; i < d->index.capacity; i++)
        alive += mm_handle_valid(d->heap, d->index.entries[i].package);
    return alive;
}

/* ---- Building: packages --------------------------------------------------------- */

static mm_str *intern(Demo *d, mm_span text)
{
    mm_str *s;
    text = trim(text);
    s = mm_intern(d->heap, text.ptr, text.len);
    if (s == NULL) out_of_memory(d);
    return s;
}

/* Gives the archive the caller's reference to p. */
static bool archive_append(Demo *d, Package *p)
{
    Archive *a = d->archive;
    if (a->count == a->capacity) {
        uint32_t capacity = a->capacity == 0 ? 256 : a->capacity * 2;
        void *larger = mm_realloc(d->heap, a->packages, capacity * sizeof(Package *));
        if (larger == NULL) return out_of_memory(d);
        a->packages = (Package **)larger;
        a->capacity = capacity;
    }
    p->id = a->count;
    a->packages[a->count++] = p;
    return true;
}

/* Fills p->provides from `www-server, mail-relay (= 2.0)`. */
static bool set_provides(Demo *d, Package *p, mm_span list)
{
    mm_span rest = list, part;
    size_t parts = 0;
    while (next_part(&rest, ',', &part)) parts++;
    if (parts == 0) return true;
    p->provides = (mm_str **)mm_alloc(d->heap, parts * sizeof(mm_str *));
    if (p->provides == NULL) return out_of_memory(d);
    while (next_part(&list, ',', &part)) {
        mm_span name = name_in(part);
        mm_str *s;
        if (name.len == 0) continue;
        s = intern(d, name);
        if (s == NULL) return false;
        p->provides[p->provide_count++] = s;
    }
    return true;
}

/* p's own name and those it provides lead to p. */
static bool index_package(Demo *d, Package *p)
{
    mm_handle handle = mm_handle_of(p);
    if (handle == 0) return out_of_memory(d);
    if (!index_add(d, &d->index, p->name, handle)) return false;
    for (uint32_t i = 0; i < p->provide_count; i++)
        if (!index_add(d, &d->index, p->provides[i], handle)) return false;
    d->names += 1 + p->provide_count;
    return true;
}

static bool fill_package(Demo *d, Package *p, const Stanza *s, const mm_view *file)
{
    const char *base = file->data;
    p->section = intern(d, s->section);
    p->maintainer = intern(d, s->maintainer);
    p->record = mm_view_slice(file, s->start - base, s->end - base);
    if (p->record == NULL) return out_of_memory(d);
    p->depends = s->depends;
    p->pre_depends = s->pre_depends;
    return p->section != NULL && p->maintainer != NULL &&
           set_provides(d, p, s->provides);
}

/* Another version of a package that is there already is left out. */
static bool add_package(Demo *d, const Stanza *s, const mm_view *file)
{
    mm_str *name = intern(d, s->package);
    Package *p;
    if (name == NULL) return false;
    if (index_real(d, name) != NULL) {
        mm_decref(name);
        d->further++;
        return true;
    }
    p = (Package *)mm_pool_acquire(d->pool);
    if (p == NULL) {
        mm_decref(name);
        return out_of_memory(d);
    }
    p->name = name;
    if (!fill_package(d, p, s, file) || !archive_append(d, p)) {
        mm_decref(p);
        return false;
    }
    return index_package(d, p);
}

static bool parse_stanzas(Demo *d, const mm_view *file)
{
    Reader r = {file->data, file->data + file->length, 0, {NULL, 0}};
    Stanza s, first;
    memset(&first, 0, sizeof first);
    while (next_stanza(&d->error, &r, &s)) {
        if (d->stanzas++ == 0) first = s;
        if (!check_stanza(&d->error, &s, &first)) return false;
        if (!add_package(d, &s, file)) return false;
        if (d->stanzas % 1024 == 0) progress(d, "stanzas", d->stanzas);
    }
    d->lines = r.line;
    if (d->error.text[0] != '\0') return false;
    return d->stanzas > 0 || fail(&d->error, "there is no package in it");
}

/* ---- Building: edges ------------------------------------------------------------ */

/* The edges of the package at hand, before they become its vector. */
typedef struct Linker {
    Package  *from;
    Package **found;
    uint32_t *seen; /* by id: 1 + the id of the last package that had this edge */
    uint32_t  count;
} Linker;

/* A package that provides what it needs is not an edge: it is no news. */
static void add_edge(Linker *l, Package *to)
{
    if (to == l->from || l->seen[to->id] == l->from->id + 1) return;
    l->seen[to->id] = l->from->id + 1;
    l->found[l->count++] = to;
}

/* A real name leads to its package, a virtual one to all that provide it. */
static bool resolve(const Demo *d, Linker *l, mm_str *name)
{
    size_t place = (size_t)mm_str_hash(name);
    Package *p = index_real(d, name);
    bool found = false;
    if (p != NULL) {
        add_edge(l, p);
        return true;
    }
    while ((p = index_next(d, name, &place)) != NULL) {
        add_edge(l, p);
        found = true;
    }
    return found;
}

/* `a (>= 1), b | c`: every alternative counts, for each may be what is installed. */
static bool link_field(Demo *d, Linker *l, mm_span list)
{
    mm_span clause, part;
    while (next_part(&list, ',', &clause)) {
        mm_span rest = clause;
        bool found = false;
        if (trim(clause).len == 0) continue;
        while (next_part(&rest, '|', &part)) {
            mm_str *name = intern(d, name_in(part));
            if (name == NULL) return false;
            found |= resolve(d, l, name);
            mm_decref(name);
        }
        d->clauses++;
        if (found || d->unresolved++ > 0) continue;
        d->lacking = l->from;
        d->lacks = name_in(clause);
    }
    return true;
}

static bool link_package(Demo *d, Linker *l, Package *p)
{
    l->from = p;
    l->count = 0;
    if (!link_field(d, l, p->pre_depends)) return false;
    if (!link_field(d, l, p->depends)) return false;
    if (l->count == 0) return true;
    p->needs = (Package **)mm_alloc(d->heap, l->count * sizeof(Package *));
    if (p->needs == NULL) return out_of_memory(d);
    for (uint32_t i = 0; i < l->count; i++) {
        p->needs[i] = mm_newref(l->found[i]);
        l->found[i]->needed_by_count++;
    }
    p->need_count = l->count;
    d->edges += l->count;
    return true;
}

static bool link_back(Demo *d)
{
    const Archive *a = d->archive;
    for (uint32_t i = 0; i < a->count; i++) {
        Package *p = a->packages[i];
        if (p->needed_by_count == 0) continue;
        p->needed_by = (mm_handle *)mm_alloc(d->heap,
                                             p->needed_by_count * sizeof(mm_handle));
        if (p->needed_by == NULL) return out_of_memory(d);
        p->needed_by_count = 0;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        Package *p = a->packages[i];
        mm_handle handle = mm_handle_of(p); /* it has one: the index asked first */
        for (uint32_t k = 0; k < p->need_count; k++) {
            Package *q = p->needs[k];
            q->needed_by[q->needed_by_count++] = handle;
        }
    }
    return true;
}

static bool link_all(Demo *d)
{
    const Archive *a = d->archive;
    mm_region_mark mark = mm_region_mark_here(&d->scratch);
    Linker l = {NULL, NULL, NULL, 0};
    l.found = mm_region_array(&d->scratch, Package *, a->count);
    l.seen = mm_region_array(&d->scratch, uint32_t, a->count);
    if (l.found == NULL || l.seen == NULL) return out_of_memory(d);
    for (uint32_t i = 0; i < a->count; i++) {
        if (!link_package(d, &l, a->packages[i])) return false;
        if (i % 1024 == 0) progress(d, "packages linked", i);
    }
    mm_region_rewind(&d->scratch, mark);
    return link_back(d);
}

/* Everything that was made hangs on d->archive in the end, and on nothing else. */
static bool build(Demo *d)
{
    mm_pool_desc pool;
    mm_view *file;
    bool done;
    memset(&pool, 0, sizeof pool);
    pool.type = mm_typeof(Package);
    d->pool = mm_pool_create(d->heap, &pool);
    if (d->pool == NULL) return out_of_memory(d);
    if (!read_input(d)) return false;
    d->read_done = now_ms();
    d->archive = mm_new(d->heap, Archive);
    if (d->archive == NULL) return out_of_memory(d);
    file = mm_view_new(d->text);
    if (file == NULL) return out_of_memory(d);
    done = parse_stanzas(d, file);
    d->parse_done = now_ms();
    done = done && link_all(d);
    d->link_done = now_ms();
    mm_decref(file);
    progress_end(d);
    return done;
}

/* ---- Knots: packages that need each other, by Tarjan's algorithm ---------------- */

typedef struct Tarjan {
    Package *const *packages;
    uint32_t *order; /* when a package was entered, from 1; DONE once it has left     */
    uint32_t *low;   /* the earliest one still open that it leads back to             */
    uint32_t *next;  /* the edge to follow next                                       */
    uint32_t *path;  /* from the root of the search to here                           */
    uint32_t *open;  /* entered, and not yet in a component                           */
    uint32_t  clock, depth, opened;
    uint32_t  members; /* filled so far of knots.members */
} Tarjan;

#define DONE UINT32_MAX

static void tarjan_enter(Tarjan *t, uint32_t v)
{
    t->order[v] = t->low[v] = ++t->clock;
    t->path[t->depth++] = v;
    t->open[t->opened++] = v;
}

/* v and what was opened after it are a component; of more than one it is a knot. */
static void tarjan_close(Tarjan *t, Knots *k, uint32_t v)
{
    uint32_t first = t->opened, i;
    do t->order[t->open[--first]] = DONE;
    while (t->open[first] != v);
    if (t->opened - first > 1) {
        k->list[k->count].first = t->members;
        k->list[k->count++].size = t->opened - first;
        for (i = first; i < t->opened; i++)
            k->members[t->members++] = t->packages[t->open[i]];
    }
    t->opened = first;
}

static void tarjan_leave(Tarjan *t, Knots *k, uint32_t v)
{
    t->depth--;
    if (t->depth > 0) {
        uint32_t parent = t->path[t->depth - 1];
        if (t->low[v] < t->low[parent]) t->low[parent] = t->low[v];
    }
    if (t->low[v] == t->order[v]) tarjan_close(t, k, v);
}

/* The recursion of the textbook, with its stack in t->path. */
static void tarjan_from(Tarjan *t, Knots *k, uint32_t root)
{
    tarjan_enter(t, root);
    while (t->depth > 0) {
        uint32_t v = t->path[t->depth - 1];
        const Package *p = t->packages[v];
        if (t->next[v] < p->need_count) {
            uint32_t w = p->needs[t->next[v]++]->id;
            if (t->order[w] == 0)
                tarjan_enter(t, w);
            else if (t->order[w] < t->low[v])
                t->low[v] = t->order[w];
        } else {
            tarjan_leave(t, k, v);
        }
    }
}

static int by_size(const void *a, const void *b)
{
    const Knot *x = (const Knot *)a, *y = (const Knot *)b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x->first < y->first ? -1 : 1;
}

static int by_name(const void *a, const void *b)
{
    const Package *const *x = (const Package *const *)a;
    const Package *const *y = (const Package *const *)b;
    return mm_str_compare((*x)->name, (*y)->name);
}

/* How many packages a knot holds: its members, and whatever they need. Counting can
   free none of them, for a knot holds itself; the collector will have to. */
static size_t count_held(const Archive *a, const Knots *k, uint32_t *stack,
                         uint32_t *seen)
{
    uint32_t top = 0;
    size_t held = 0;
    for (uint32_t i = 0; i < k->packages; i++) {
        stack[top++] = k->members[i]->id;
        seen[k->members[i]->id] = 1;
    }
    while (top > 0) {
        const Package *p = a->packages[stack[--top]];
        held++;
        for (uint32_t i = 0; i < p->need_count; i++) {
            uint32_t q = p->needs[i]->id;
            if (seen[q]) continue;
            seen[q] = 1;
            stack[top++] = q;
        }
    }
    return held;
}

static void sort_knots(Knots *k)
{
    qsort(k->list, k->count, sizeof *k->list, by_size);
    for (uint32_t i = 0; i < k->count; i++) {
        Package **members = k->members + k->list[i].first;
        qsort(members, k->list[i].size, sizeof *members, by_name);
        for (uint32_t j = 0; j < k->list[i].size; j++)
            k->number[members[j]->id] = i + 1;
    }
}

static bool find_knots(Demo *d)
{
    const Archive *a = d->archive;
    Knots *k = &d->knots;
    Tarjan t;
    uint32_t **arrays[] = {&t.order, &t.low, &t.next, &t.path, &t.open, &k->number};
    memset(&t, 0, sizeof t);
    t.packages = a->packages;
    k->members = mm_region_array(&d->scratch, Package *, a->count);
    k->list = mm_region_array(&d->scratch, Knot, a->count / 2 + 1);
    if (k->members == NULL || k->list == NULL) return out_of_memory(d);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i] = mm_region_array(&d->scratch, uint32_t, a->count);
        if (*arrays[i] == NULL) return out_of_memory(d);
    }
    for (uint32_t v = 0; v < a->count; v++)
        if (t.order[v] == 0) tarjan_from(&t, k, v);
    k->packages = t.members;
    sort_knots(k);
    memset(t.next, 0, a->count * sizeof *t.next);
    k->held = count_held(a, k, t.open, t.next);
    return true;
}

/* ---- What was found ------------------------------------------------------------- */

static void print_input(const Demo *d)
{
    mm_intern_stats names;
    mm_intern_get_stats(d->heap, &names);
    printf("depgraph - the packages of a machine as managed objects, memmgr.h %s\n\n",
           MM_VERSION_TEXT);
    printf("Input        %s\n", d->input);
    printf("             %s bytes, %s lines, %s stanzas\n", num(d->bytes),
           num(d->lines), num(d->stanzas));
    printf("Packages     %s", num(d->archive->count));
    if (d->further > 0) printf(", other versions left out: %s", num(d->further));
    printf("\nEdges        %s, from %s dependencies: all alternatives, all providers\n",
           num(d->edges), num(d->clauses));
    printf("Unresolved   %s", num(d->unresolved));
    if (d->lacking != NULL && is_package_name(d->lacks))
        printf(", first %.*s for %s", (int)d->lacks.len, d->lacks.ptr,
               d->lacking->name->text);
    printf("\nStrings      %s, each kept once: %s bytes of repeats not stored\n",
           num(names.strings), num(names.saved_bytes));
    printf("Built in     %.0f ms: read %.0f, packages %.0f, edges %.0f\n",
           d->link_done - d->started, d->read_done - d->started,
           d->parse_done - d->read_done, d->link_done - d->parse_done);
}

/* The names of a knot, in two lines at most. */
static void print_members(Package *const *members, uint32_t size)
{
    int column = 0, lines = 1;
    for (uint32_t i = 0; i < size; i++) {
        const mm_str *name = members[i]->name;
        if (column + (int)name->length > 60) {
            if (++lines > 2) {
                printf(" ... and %s more", num(size - i));
                break;
            }
            printf("\n%12s", "");
            column = 0;
        }
        column += printf(" %s", name->text);
    }
    putchar('\n');
}

static void print_knots(const Demo *d)
{
    const Knots *k = &d->knots;
    printf("\nKnots        %s, of %s packages that all need each other\n",
           num(k->count), num(k->packages));
    for (uint32_t i = 0; i < k->count && i < KNOTS_SHOWN; i++) {
        printf("  %9s ", num(k->list[i].size));
        print_members(k->members + k->list[i].first, k->list[i].size);
    }
}

/* Looks back along the weak edges: those whose package is alive. */
static size_t count_needing(const Demo *d, const Package *p)
{
    size_t alive = 0;
    for (uint32_t i = 0; i < p->needed_by_count; i++)
        alive += mm_handle_borrow(d->heap, p->needed_by[i]) != NULL;
    return alive;
}

/* The most needed, by insertion into a short list. */
static void print_needed(const Demo *d)
{
    const Package *best[NEEDED_SHOWN + 1];
    size_t shown = 0, i;
    for (uint32_t n = 0; n < d->archive->count; n++) {
        const Package *p = d->archive->packages[n];
        for (i = shown; i > 0 && best[i - 1]->needed_by_count < p->needed_by_count; i--)
            best[i] = best[i - 1];
        best[i] = p;
        if (shown < NEEDED_SHOWN) shown++;
    }
    printf("\nMost needed ");
    for (i = 0; i < shown; i++)
        printf("%s %s (%s)", i > 0 ? "," : "", best[i]->name->text,
               num(count_needing(d, best[i])));
    putchar('\n');
}

typedef void (*type_line_fn)(FILE *out, const char *name, size_t objects, size_t bytes);

/* One line per type, and what belongs to none. Returns false when out of memory. */
static bool each_type(Demo *d, type_line_fn line, FILE *out)
{
    mm_type_stats types[TYPES_SHOWN];
    mm_heap_stats heap;
    size_t n = mm_heap_get_type_stats(d->heap, types, TYPES_SHOWN);
    size_t objects = 0, bytes = 0;
    if (n == SIZE_MAX) return out_of_memory(d);
    mm_heap_get_stats(d->heap, &heap);
    for (size_t i = 0; i < n && i < TYPES_SHOWN; i++) {
        line(out, types[i].type->name, types[i].objects, types[i].bytes);
        objects += types[i].objects;
        bytes += types[i].bytes;
    }
    line(out, "raw memory", heap.live_blocks - objects, heap.live_bytes - bytes);
    return true;
}

static void type_line(FILE *out, const char *name, size_t objects, size_t bytes)
{
    fprintf(out, "  %-16s %12s %16s\n", name, num(objects), num(bytes));
}

static bool print_memory(Demo *d)
{
    mm_heap_stats s;
    printf("\nMemory              blocks            bytes\n");
    if (!each_type(d, type_line, stdout)) return false;
    mm_heap_get_stats(d->heap, &s);
    type_line(stdout, "total", s.live_blocks, s.live_bytes);
    printf("  from the OS %s bytes; at most %s, %.2f times the input\n",
           num(s.reserved_bytes), num(s.reserved_peak),
           (double)s.reserved_peak / (double)d->bytes);
    return true;
}

/* ---- Files: the largest knot as a picture, memory as a profile ------------------ */

static FILE *create(Demo *d, const char *name, char path[PATH_BYTES])
{
    FILE *file;
    snprintf(path, PATH_BYTES, "%s/%s", d->folder, name);
    file = fopen(path, "w");
    if (file == NULL) fail(&d->error, "cannot write %s: %s", path, strerror(errno));
    return file;
}

static bool finish(Demo *d, FILE *file, const char *path)
{
    bool bad = ferror(file) != 0;
    if (fclose(file) != 0 || bad) return fail(&d->error, "cannot write %s", path);
    return true;
}

/* Returns the edges of the picture. Names need no quoting: is_package_name has seen
   them. */
static size_t write_dot(const Demo *d, FILE *out)
{
    const Knots *k = &d->knots;
    size_t edges = 0;
    fprintf(out, "digraph knot {\n  node [shape=box, style=\"rounded,filled\", "
                 "fillcolor=\"#eef3fa\", color=\"#5b7ba5\", fontname=\"sans-serif\"];\n"
                 "  edge [color=\"#5b7ba5\"];\n");
    for (uint32_t i = 0; i < k->list[0].size; i++) {
        const Package *p = k->members[k->list[0].first + i];
        fprintf(out, "  \"%s\";\n", p->name->text);
        for (uint32_t j = 0; j < p->need_count; j++) {
            if (k->number[p->needs[j]->id] != 1) continue;
            fprintf(out, "  \"%s\" -> \"%s\";\n", p->name->text,
                    p->needs[j]->name->text);
            edges++;
        }
    }
    fprintf(out, "}\n");
    return edges;
}

/* Draws the picture where Graphviz is there to do it; but Graphviz takes hours over
   a picture that nobody could read. */
static void draw(const char *dot, size_t edges)
{
    static const char tool[] = "draw() { command -v dot >/dev/null && "
                               "dot -Tsvg -o \"${1%.dot}.svg\" \"$1\"; }; draw";
    char command[COMMAND_BYTES];
    fflush(stdout);
    printf("Picture      %s: the largest knot", dot);
    if (edges > DRAWN_MOST)
        printf(", too large to draw\n");
    else if (shell_command(command, tool, dot) && system(command) == 0)
        printf(", drawn beside it as depgraph.svg\n");
    else
        printf("; with graphviz also drawn\n");
}

static bool write_picture(Demo *d)
{
    char path[PATH_BYTES];
    FILE *file;
    size_t edges;
    if (d->knots.count == 0) {
        printf("Picture      none: there is no knot\n");
        return true;
    }
    file = create(d, "depgraph.dot", path);
    if (file == NULL) return false;
    edges = write_dot(d, file);
    if (!finish(d, file, path)) return false;
    draw(path, edges);
    return true;
}

static void folded_line(FILE *out, const char *name, size_t objects, size_t bytes)
{
    (void)objects;
    if (bytes > 0) fprintf(out, "heap;%s %zu\n", name, bytes);
}

/* Collapsed stacks: flamegraph.pl and speedscope read them. */
static bool write_profile(Demo *d)
{
    char path[PATH_BYTES];
    FILE *file = create(d, "depgraph.folded", path);
    bool done;
    if (file == NULL) return false;
    done = each_type(d, folded_line, file);
    if (!finish(d, file, path) || !done) return false;
    printf("Profile      %s: bytes by type, for flamegraph.pl or speedscope\n", path);
    return true;
}

/* ---- The checks ----------------------------------------------------------------- */

static bool equal(Demo *d, const char *what, size_t expected, size_t found)
{
    if (expected == found) return true;
    return fail(&d->error, "the figures do not add up: %s: %s expected, %s found", what,
                num(expected), num(found));
}

/* Three witnesses of the same graph: what this program counted, what the heap holds,
   and the reference counts. */
static bool check_graph(Demo *d)
{
    const Archive *a = d->archive;
    mm_heap_stats heap;
    mm_intern_stats names;
    size_t strong = 0, weak = 0, counted = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        const Package *p = a->packages[i];
        strong += p->need_count;
        weak += count_needing(d, p);
        counted += (size_t)mm_refcount(p) - 1; /* one of them is the archive's */
    }
    mm_heap_get_stats(d->heap, &heap);
    mm_intern_get_stats(d->heap, &names);
    return equal(d, "packages", d->stanzas - d->further, a->count) &&
           equal(d, "strong edges", d->edges, strong) &&
           equal(d, "weak edges", d->edges, weak) &&
           equal(d, "references to packages", d->edges, counted) &&
           equal(d, "names in the cache", d->names, index_alive(d)) &&
           equal(d, "views of the text", a->count, (size_t)mm_refcount(d->text) - 1) &&
           /* a package and its record, the strings, the text, the archive */
           equal(d, "objects", 2 * (size_t)a->count + names.strings + 2, heap.objects);
}

/* ---- Taking it apart ------------------------------------------------------------ */

typedef struct Slices {
    size_t count;
    double longest_us;
} Slices;

/* Steps until there is no more to do, and times each from outside. */
static Slices run_steps(mm_heap *heap)
{
    Slices s = {0, 0};
    bool more = true;
    while (more) {
        double start = now_ms(), us;
        more = mm_gc_step(heap, SLICE_US);
        us = (now_ms() - start) * 1e3;
        if (us > s.longest_us) s.longest_us = us;
        s.count++;
    }
    return s;
}

static mm_gc_stats gc_stats(const Demo *d)
{
    mm_gc_stats s;
    mm_gc_get_stats(d->heap, &s);
    return s;
}

static size_t collected(const mm_gc_stats *s)
{
    return (size_t)(s->generation[0].collected + s->generation[1].collected +
                    s->generation[2].collected);
}

static uint64_t longest_pause_us(const mm_gc_stats *s)
{
    uint64_t longest = 0;
    for (int i = 0; i < 3; i++)
        if (s->generation[i].pause_ns_max > longest)
            longest = s->generation[i].pause_ns_max;
    return longest / 1000;
}

/* The graph is held: the collector looks at all of it and must find nothing. */
static bool look_at_all(Demo *d)
{
    mm_gc_stats before = gc_stats(d), after;
    Slices s = run_steps(d->heap);
    after = gc_stats(d);
    printf("\nCollecting while all of it is held\n");
    printf("  while building %12s young collections; longest pause %s us\n",
           num(before.generation[0].collections + before.generation[1].collections),
           num(longest_pause_us(&before)));
    printf("  whole graph    %12s slices of %d us; the longest took %.0f us\n",
           num(s.count), SLICE_US, s.longest_us);
    return equal(d, "garbage while all is held", 0, collected(&after));
}

static void print_drop(const Demo *d, size_t made, size_t found, Slices slices)
{
    mm_gc_stats stats = gc_stats(d);
    printf("\nDropping the one reference to it\n");
    printf("  by count       %12s packages: their last reference went\n",
           num(made - found));
    printf("  by collector   %12s packages: in knots, or held by one\n", num(found));
    printf("  slices         %12s of %d us; the longest took %.0f us\n",
           num(slices.count), SLICE_US, slices.longest_us);
    printf("  longest pause  %12s us, of all the collector noted since the start\n",
           num(longest_pause_us(&stats)));
    printf("  weak cache     %12s names: %s before, %s now\n", num(d->index.used),
           num(d->names), num(index_alive(d)));
}

/* With the packages their views are gone: the last reference to the text is ours. */
static bool drop_text(Demo *d)
{
    double start = now_ms();
    if (!equal(d, "references to the text", 1, (size_t)mm_refcount(d->text)))
        return false;
    mm_clear(&d->text);
    printf("  the text       %12s bytes, no view is left: gone in %.0f us\n",
           num(d->bytes), (now_ms() - start) * 1e3);
    return true;
}

/* The index and the knots have served: both are plain memory. */
static void free_tables(Demo *d)
{
    mm_free(d->heap, d->index.entries);
    memset(&d->index, 0, sizeof d->index);
    mm_region_free(&d->scratch);
}

static bool print_purge(Demo *d)
{
    mm_heap_stats before, after;
    mm_heap_get_stats(d->heap, &before);
    mm_heap_purge(d->heap);
    mm_heap_get_stats(d->heap, &after);
    printf("  to the OS      %12s bytes returned, of %s at most; %s left\n",
           num(before.reserved_peak - after.reserved_bytes), num(before.reserved_peak),
           num(after.reserved_bytes));
    return equal(d, "objects alive at the end", 0, after.objects);
}

/* The root goes. Counting frees what nobody needs any more; what it cannot free, and
   the collector must, Tarjan has told. */
static bool take_apart(Demo *d)
{
    size_t made = d->archive->count, found;
    mm_gc_stats stats;
    Slices slices;
    mm_clear(&d->archive);
    slices = run_steps(d->heap);
    mm_gc_collect(d->heap, 2); /* whatever the slices have left */
    stats = gc_stats(d);
    found = collected(&stats);
    mm_pool_destroy(d->pool);
    d->pool = NULL;
    print_drop(d, made, found, slices);
    if (!equal(d, "packages disposed of", made, disposed) ||
        !equal(d, "packages collected", d->knots.held, found) || !drop_text(d))
        return false;
    free_tables(d);
    return print_purge(d);
}

/* ---- The whole ------------------------------------------------------------------ */

static bool run(Demo *d)
{
    if (!build(d) || !find_knots(d)) return false;
    print_input(d);
    print_knots(d);
    print_needed(d);
    if (!check_graph(d) || !print_memory(d)) return false;
    putchar('\n');
    if (!write_picture(d) || !write_profile(d)) return false;
    return look_at_all(d) && take_apart(d);
}

static void on_leak(const mm_leak *leak, void *user)
{
    Demo *d = (Demo *)user;
    d->leaks += leak->objects;
    fprintf(stderr, "depgraph: leaked: %zu of %s\n", leak->objects, leak->type_name);
}

static bool open_heap(Demo *d)
{
    mm_heap_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.max_bytes = d->max_bytes;
    desc.leak = on_leak;
    desc.user = d;
    mm_typeof(Package)->dispose = package_dispose;
    d->heap = mm_heap_create(&desc);
    if (d->heap == NULL) return out_of_memory(d);
    mm_region_init(&d->scratch, d->heap);
    d->scratch.zero = true;
    return true;
}

/* Gives everything back, also after a failure half way. */
static bool close_heap(Demo *d)
{
    size_t held;
    free_tables(d);
    mm_clear(&d->text);
    mm_clear(&d->archive);
    mm_pool_destroy(d->pool);
    held = mm_heap_destroy(d->heap);
    if (held == 0 && d->leaks == 0) return true;
    return fail(&d->error, "leaked: %zu objects, %zu held", d->leaks, held);
}

static bool parse_size(const char *text, size_t *out)
{
    char *end;
    unsigned long long n;
    int shift = 0;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (*end == 'k' || *end == 'K') shift = 10;
    if (*end == 'm' || *end == 'M') shift = 20;
    if (*end == 'g' || *end == 'G') shift = 30;
    if (shift > 0) end++;
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0') return false;
    if (n > SIZE_MAX >> shift) return false;
    *out = (size_t)n << shift;
    return true;
}

static bool parse_arguments(Demo *d, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "-o") == 0 && more) {
            d->folder = argv[++i];
        } else if (strcmp(argv[i], "--max-bytes") == 0 && more) {
            if (!parse_size(argv[++i], &d->max_bytes)) return false;
        } else if (argv[i][0] != '-' && argv[i][0] != '\0' && d->input == NULL) {
            d->input = argv[i];
        } else {
            return false;
        }
    }
    if (d->folder == NULL) d->folder = access("build", W_OK) == 0 ? "build" : ".";
    return true;
}

int main(int argc, char **argv)
{
    static Demo d;
    bool done;
    if (!parse_arguments(&d, argc, argv)) {
        fputs("usage: depgraph [-o DIR] [--max-bytes N[k|M|G]] [FILE]\n", stderr);
        return 1;
    }
    d.progress = isatty(2) != 0;
    d.started = now_ms();
    if (d.input == NULL) d.input = find_packages(d.input_path);
    done = open_heap(&d);
    if (done) {
        done = run(&d);
        done = close_heap(&d) && done;
    }
    if (done) puts("  leaks                     0: all that was made is accounted for");
    if (fflush(stdout) != 0) done = fail(&d.error, "the report: %s", strerror(errno));
    if (!done) progress_end(&d);
    if (!done) fprintf(stderr, "depgraph: %s: %s\n", d.input, d.error.text);
    return done ? 0 : 1;
}
