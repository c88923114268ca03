/* 13_parent_pointers.c - a tree whose children know their parent, weakly

   Down the tree the references are strong: a parent owns its children. Up they are
   weak: a child may look, but it does not hold. So there are no cycles, and the whole
   tree is gone the moment its root is, without the collector.

   Prints:
     ls is in /usr/bin
     3 folders in the tree
     the root dropped, bin still held: its parent is gone
     everything dropped: 0 objects, and 0 were left to the collector
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

typedef struct Folder {
    struct Folder *child;                      /* strong: owned                    */
    mm_weakref    *parent;                     /* weak: a slot that holds only the
                                                  weak reference itself            */
    const char    *name;
} Folder;
MM_TYPE(Folder, MM_REF(Folder, child), MM_REF(Folder, parent))

static Folder *make_folder(mm_heap *heap, Folder *parent, const char *name)
{
    Folder *f = mm_new(heap, Folder);
    f->name = name;
    if (parent == NULL) return f;
    mm_set_steal(&f->parent, mm_weakref_new(parent, NULL, NULL));
    mm_set(&parent->child, f);
    return f;
}

/* Prints the path to a folder, and returns how many folders that were. */
static int print_path(Folder *f)
{
    Folder *up = f->parent != NULL ? (Folder *)mm_weakref_get(f->parent) : NULL;
    int depth = up != NULL ? print_path(up) : 0;
    printf("%s%s", depth > 1 ? "/" : "", f->name);
    mm_decref(up);                             /* mm_weakref_get gave us a reference */
    return depth + 1;
}

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    Folder *root = make_folder(heap, NULL, "/"), *usr = make_folder(heap, root, "usr");
    Folder *bin = make_folder(heap, usr, "bin");
    mm_heap_stats stats;
    int folders;
    size_t found;
    mm_decref(usr);                            /* the root has it                  */

    printf("ls is in ");
    folders = print_path(bin);
    printf("\n%d folders in the tree\n", folders);
    mm_decref(root);
    printf("the root dropped, bin still held: its parent is %s\n",
           mm_weakref_is_dead(bin->parent) ? "gone" : "there");
    mm_decref(bin);
    mm_heap_get_stats(heap, &stats);
    found = mm_gc_collect(heap, 2);
    printf("everything dropped: %zu objects, and %zu were left to the collector\n",
           stats.objects, found);
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
