/* allocator.c - the application's stb_ds has its own allocator and assertion macros,
   before (or with -DAFTER after) the library in the same file. Its allocator serves
   its own containers only, and all that it gave comes back. */
#include <stddef.h>
#include <stdlib.h>

static int calls, live, asserted;

static void *my_realloc(void *p, size_t size)
{
    calls++;
    if (p == NULL) live++;
    return realloc(p, size);
}

static void my_free(void *p)
{
    if (p != NULL) live--;
    free(p);
}

#ifdef AFTER
#define MEMMGR_IMPLEMENTATION
#include "library.h"
#endif

#define STBDS_REALLOC(context, p, size) my_realloc(p, size)
#define STBDS_FREE(context, p) my_free(p)
#define STBDS_ASSERT(x) ((x) ? (void)0 : (void)asserted++)
#define STB_DS_IMPLEMENTATION
#include "stb_ds.h"

#ifndef AFTER
#undef assert
#define assert(x) ((x) ? (void)0 : (void)(asserted += 1000)) /* not to be replaced */
#define MEMMGR_IMPLEMENTATION
#include "library.h"
#endif
#include "application.h"

int main(void)
{
    int wrong = library_works(), before = calls;
    wrong += before != 0;
    wrong += application_works();
    wrong += calls == before || live != 0 || asserted != 0;
#ifndef AFTER
    assert(wrong < 0);
    wrong += asserted != 1000;
#endif
    return wrong;
}
