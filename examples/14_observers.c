/* 14_observers.c - an observer list whose dead observers vanish

   A subject that held its observers would keep every closed window alive. It holds
   weak references instead, each with a callback that takes the dead one off the list.

   Prints:
     editor sees: saved
     preview sees: saved
     2 observers
     preview is closed
     1 observer
     editor sees: renamed
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

enum { MOST = 8 };

typedef struct Window { const char *title; } Window;
MM_TYPE_LEAF(Window)

typedef struct Document {
    mm_weakref *observers[MOST];               /* slots: we own the weak references */
    int         count;
} Document;
MM_TYPE(Document, MM_REF_FIXED(Document, observers))

/* The window of ref has died: its place goes to the last one. user is the document. */
static bool forget(mm_weakref *ref, void *user)
{
    Document *d = (Document *)user;
    for (int i = 0; i < d->count; i++) {
        if (d->observers[i] != ref) continue;
        d->count--;
        mm_set(&d->observers[i], d->observers[d->count]);
        mm_clear(&d->observers[d->count]);
        return true;
    }
    return true;
}

static void observe(Document *d, Window *w)
{
    mm_set_steal(&d->observers[d->count++], mm_weakref_new(w, forget, d));
}

static void notify(const Document *d, const char *event)
{
    for (int i = 0; i < d->count; i++) {
        Window *w = (Window *)mm_weakref_get(d->observers[i]);
        if (w != NULL) printf("%s sees: %s\n", w->title, event);
        mm_decref(w);
    }
}

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Document *document = mm_new(heap, Document);
    Window *editor = mm_new(heap, Window), *preview = mm_new(heap, Window);
    editor->title = "editor";
    preview->title = "preview";
    observe(document, editor);
    observe(document, preview);
    notify(document, "saved");
    printf("%d observers\n", document->count);

    puts("preview is closed");
    mm_decref(preview);                        /* runs forget                      */
    printf("%d observer\n", document->count);
    notify(document, "renamed");
    mm_decref(document);                       /* its weak references go: no callback */
    mm_decref(editor);
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
