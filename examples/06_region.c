/* 06_region.c - regions: memory for things that die together

   Allocation in a region is a pointer increment, and nothing is freed one by one: you
   rewind to a mark, or reset it all. Here every request of a server builds its answer
   in the region; the memory of the first request serves all the later ones.

   Prints:
     GET /1: 3 words, the last is "HTTP/1.1"
     GET /22: 3 words, the last is "HTTP/1.1"
     GET /333 again: 4 words, the last is "HTTP/1.1"
     kept for the whole run: config for port 8080
     in use at the end, as before the first request: yes
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

/* The words of text, all of them in the region. */
static size_t split(mm_region *region, const char *text, char ***words)
{
    char *copy = mm_region_strdup(region, text);
    size_t n = 0;
    *words = mm_region_array(region, char *, strlen(text));
    for (char *p = strtok(copy, " "); p != NULL; p = strtok(NULL, " "))
        (*words)[n++] = p;
    return n;
}

static void serve(mm_region *region, const char *path)
{
    mm_region_mark mark = mm_region_mark_here(region);
    char *request = mm_region_printf(region, "GET %s HTTP/1.1", path);
    char **words;
    size_t n = split(region, request, &words);
    printf("GET %s: %zu words, the last is \"%s\"\n", path, n, words[n - 1]);
    mm_region_rewind(region, mark);            /* the request is over, all at once */
}

int main(void)
{
    static const char *const paths[] = {"/1", "/22", "/333 again"};
    mm_heap *heap = mm_heap_create(NULL);
    mm_region region;
    char *config;
    size_t before;
    mm_region_init(&region, heap);
    config = mm_region_printf(&region, "config for port %d", 8080);
    before = mm_region_used(&region);

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) serve(&region, paths[i]);
    printf("kept for the whole run: %s\n", config);
    printf("in use at the end, as before the first request: %s\n",
           mm_region_used(&region) == before ? "yes" : "no");
    mm_region_free(&region);
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
