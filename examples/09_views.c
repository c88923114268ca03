/* 09_views.c - views: parts of a buffer that keep it alive, without a copy

   A view is Python's memoryview: an object that shows a part of a buffer and holds a
   reference to it. A span is the same in two words, and owns nothing: good as long as
   somebody holds the buffer. Slices count as Python's do, also from the end.

   Prints:
     [5:10] is "quick"
     [-3:] is "dog"
     a slice of a slice: "ick"
     same bytes as the buffer's own: yes
     the buffer is held by 2 views
     3 objects: two views and their buffer
     both views gone: 0 objects
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

static void show(const char *what, mm_span s)
{
    printf("%s \"%.*s\"\n", what, (int)s.len, s.ptr);
}

static size_t objects(mm_heap *heap)
{
    mm_heap_stats stats;
    mm_heap_get_stats(heap, &stats);
    return stats.objects;
}

int main(void)
{
    static const char text[] = "One, quick brown fox, one lazy dog";
    mm_heap *heap = mm_heap_create(NULL);
    mm_bytes *buffer = mm_bytes_new(heap, text, sizeof text - 1);
    mm_view *whole = mm_view_new(buffer), *quick = mm_view_slice(whole, 5, 10);
    mm_span span = mm_bytes_span(buffer);

    show("[5:10] is", mm_view_span(quick));
    show("[-3:] is", mm_span_slice(span, -3, PTRDIFF_MAX));
    show("a slice of a slice:", mm_span_slice(mm_view_span(quick), 2, PTRDIFF_MAX));
    printf("same bytes as the buffer's own: %s\n",
           mm_view_span(quick).ptr == buffer->data + 5 ? "yes" : "no");

    printf("the buffer is held by %d views\n", (int)mm_refcount(buffer) - 1);
    mm_decref(buffer);                         /* ours; the views have theirs      */
    printf("%zu objects: two views and their buffer\n", objects(heap));
    mm_decref(whole);
    mm_decref(quick);
    printf("both views gone: %zu objects\n", objects(heap));
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
