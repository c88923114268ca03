/* header.c - every public macro and inline function of the header in one file that
   has no implementation, as C and as C++. It is compiled, never run. */
#include "memmgr.h"
#include "memmgr.h" /* twice: the guard */

typedef struct Leaf {
    int value;
} Leaf;
MM_TYPE_LEAF(Leaf)

typedef struct Node {
    struct Node *next, *pair[2];
    struct Node **many;
    size_t many_count;
    int    value;
} Node;
MM_TYPE(Node, MM_REF(Node, next), MM_REF_FIXED(Node, pair),
        MM_REF_VECTOR(Node, many, many_count))

typedef struct Row {
    uint32_t count;
    Leaf    *cells[1];
} Row;
MM_TYPE_FLAGS(Row, MM_TYPE_ACYCLIC, MM_REF_ARRAY(Row, cells, count))

typedef struct Shape {
    Node *parent;
} Shape;
MM_TYPE(Shape, MM_REF_TO(Shape, parent, Node))

typedef struct Circle {
    Shape  base;
    Leaf  *label;
    double radius;
} Circle;
MM_TYPE_DERIVED(Circle, Shape, MM_REF(Circle, label))

typedef struct Square {
    Shape base;
    int   side;
} Square;
MM_TYPE_DERIVED_LEAF(Square, Shape)

typedef struct Secret {
    void *hidden;
} Secret;
MM_TYPE_OPAQUE(Secret)

size_t use_raw(mm_heap *heap, size_t size);
int    use_objects(mm_heap *heap);
bool   use_weak(mm_heap *heap, Node *node);
bool   use_pool(mm_pool *pool);

#if defined(__GNUC__)
static void give_back(void *heap)
{
    mm_heap_purge((mm_heap *)heap);
}
#endif

size_t use_raw(mm_heap *heap, size_t size)
{
    mm_region region;
    void     *p = mm_alloc(heap, 32), *q = mm_alloc(heap, size);
    mm_free_sized(heap, p, 32);
    mm_free(heap, q);
    mm_region_init(&region, heap);
    p = mm_region_alloc(&region, size);
    q = mm_region_array(&region, Node, size);
    mm_region_free(&region);
    return (p != NULL) + (size_t)(q != NULL);
}

int use_objects(mm_heap *heap)
{
    Node   *a = mm_new(heap, Node), *b = mm_newref(a), *c;
    Circle *circle = mm_new(heap, Circle);
    Square *square = mm_new(heap, Square);
    Secret *secret = mm_new(heap, Secret);
    Row    *row = mm_new_extra(heap, Row, 8 * sizeof(Leaf *));
#if defined(__GNUC__)
    MM_AUTO(Leaf) *leaf = mm_new(heap, Leaf);
    MM_DEFER(give_back, heap);
    if (mm_is(leaf, Leaf)) mm_set(&circle->label, leaf);
#endif
    MM_ASSERT(a != NULL, "a node");
    mm_set(&a->next, a);
    mm_set_steal(&a->pair[0], b);
    c = mm_take(&a->next);
    mm_clear(&a->pair[0]);
    mm_decref(c);
    mm_incref(square);
    mm_decref(secret);
    mm_decref(row);
    return mm_is(circle, Shape) && mm_heap_of(a) == heap &&
           mm_typeof(Leaf)->size == sizeof(Leaf);
}

bool use_weak(mm_heap *heap, Node *node)
{
    mm_weakref *ref = mm_weakref_new(node, NULL, NULL);
    mm_handle   handle = mm_handle_of(node);
    void       *strong = mm_weakref_get(ref), *same = mm_handle_get(heap, handle);
    bool        equal = strong == same && mm_handle_borrow(heap, handle) == same;
    mm_decref(strong);
    mm_decref(same);
    mm_decref(ref);
    return equal;
}

bool use_pool(mm_pool *pool)
{
    void *item = mm_pool_acquire(pool);
    mm_pool_release(pool, item);
    return item != NULL;
}
