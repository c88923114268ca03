/* test_type.c - types: registration, slots of every kind, inheritance, leaf and acyclic
   types. */
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

#include <pthread.h>

static test_env env;
static mm_heap *heap;

static int setup(void **state)
{
    (void)state;
    heap = test_heap(&env);
    return 0;
}

static void done(void)
{
    test_drain(heap);
    assert_int_equal(test_stats(heap).live_blocks, 0);
    test_heap_done(heap, &env);
}

typedef struct Leaf {
    int64_t value;
} Leaf;
MM_TYPE_LEAF(Leaf)

typedef struct Node {
    struct Node *next, *prev;
    int64_t      value;
} Node;
MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, prev))

static bool count_one(void *object, void *user)
{
    (void)object;
    ++*(size_t *)user;
    return true;
}

static size_t referents(void *object)
{
    size_t n = 0, told = mm_gc_get_referents(object, count_one, &n);
    assert_int_equal(told, n);
    return n;
}

static Leaf *new_leaf(void)
{
    Leaf *leaf = mm_new(heap, Leaf);
    assert_non_null(leaf);
    return leaf;
}

/* ---------------------------------------------------------- registration errors */

typedef struct Plain {
    void    *a, *b;
    char     c;
    uint16_t n;
    void    *tail[];
} Plain;

static mm_type type_with(const char *name, const mm_slot *slots, uint32_t count)
{
    mm_type type;
    memset(&type, 0, sizeof type);
    type.name = name;
    type.size = sizeof(Plain);
    type.slots = slots;
    type.slot_count = count;
    return type;
}

static mm_slot slot_at(size_t offset, const char *name)
{
    mm_slot slot;
    memset(&slot, 0, sizeof slot);
    slot.offset = (uint32_t)offset;
    slot.kind = MM_SLOT_ONE;
    slot.name = name;
    return slot;
}

/* Refused, with a message that names type and (if any) slot; no object can be made. */
static void check_bad(mm_type *type, const char *slot)
{
    mm_clear_status(heap);
    assert_int_equal(mm_type_register(heap, type), MM_ERR_VALUE);
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    assert_non_null(strstr(mm_last_message(heap), type->name));
    if (slot != NULL) assert_non_null(strstr(mm_last_message(heap), slot));
    assert_int_equal(mm_type_register(NULL, type), MM_ERR_VALUE);
    mm_clear_status(heap);
    assert_null(mm_new_of_type(heap, type, 0));
    assert_int_equal(mm_last_status(heap), MM_ERR_VALUE);
    assert_int_equal(test_stats(heap).live_blocks, 0);
}

static void check_bad_slot(size_t offset)
{
    mm_slot slot = slot_at(offset, "faulty");
    mm_type type = type_with("BadSlot", &slot, 1);
    check_bad(&type, "faulty");
}

static void a_slot_outside_the_struct_is_refused(void **state)
{
    (void)state;
    check_bad_slot(sizeof(Plain));
    check_bad_slot(sizeof(Plain) + 8);
    check_bad_slot((size_t)UINT32_MAX - 7);
    done();
}

static void a_misaligned_slot_is_refused(void **state)
{
    (void)state;
    check_bad_slot(1);
    check_bad_slot(sizeof(void *) / 2);
    check_bad_slot(offsetof(Plain, c) + 1);
    done();
}

static void a_fixed_array_that_ends_outside_is_refused(void **state)
{
    mm_slot slot = slot_at(sizeof(void *), "faulty");
    mm_type type = type_with("BadFixed", &slot, 1);
    (void)state;
    slot.kind = MM_SLOT_FIXED;
    slot.count = (uint32_t)(sizeof(Plain) / sizeof(void *));
    check_bad(&type, "faulty");
    slot.count = UINT32_MAX;
    check_bad(&type, "faulty");
    done();
}

static void a_slot_described_twice_is_refused(void **state)
{
    mm_slot slots[2];
    mm_type type = type_with("Twice", slots, 2);
    (void)state;
    slots[0] = slot_at(offsetof(Plain, b), "first");
    slots[1] = slot_at(offsetof(Plain, b), "second");
    check_bad(&type, "second");
    slots[0] = slot_at(0, "first"); /* an array that covers the other */
    slots[0].kind = MM_SLOT_FIXED;
    slots[0].count = 2;
    check_bad(&type, NULL);
    done();
}

static void a_count_field_must_be_a_number_inside(void **state)
{
    static mm_slot slot; /* static: registered in the end */
    static mm_type type;
    (void)state;
    slot = slot_at(offsetof(Plain, tail), "faulty");
    type = type_with("BadCount", &slot, 1);
    slot.kind = MM_SLOT_TAIL;
    slot.count = (uint32_t)sizeof(Plain);
    slot.count_size = 2;
    check_bad(&type, "faulty");
    slot.count = (uint32_t)offsetof(Plain, n);
    slot.count_size = 3;
    check_bad(&type, "faulty");
    slot.count_size = 0;
    check_bad(&type, "faulty");
    slot.count_size = 2;
    assert_int_equal(mm_type_register(heap, &type), MM_OK);
    done();
}

static void some_traverse(void *object, mm_visit_fn visit, void *context)
{
    (void)object;
    (void)visit;
    (void)context;
}

static void some_clear(void *object)
{
    (void)object;
}

static void a_hook_needs_its_partner(void **state)
{
    mm_type one = type_with("OnlyTraverse", NULL, 0);
    mm_type two = type_with("OnlyClear", NULL, 0);
    (void)state;
    one.traverse = some_traverse;
    check_bad(&one, NULL);
    two.clear = some_clear;
    check_bad(&two, NULL);
    done();
}

static void a_size_must_make_sense(void **state)
{
    mm_type none = type_with("Nothing", NULL, 0), vast = type_with("Vast", NULL, 0);
    (void)state;
    none.size = 0;
    check_bad(&none, NULL);
    vast.size = ((size_t)2 << 30) + 1;
    check_bad(&vast, NULL);
    vast.size = SIZE_MAX;
    check_bad(&vast, NULL);
    done();
}

static void a_correct_type_registers_once(void **state)
{
    static mm_type type; /* registered for good: it must stay where it is */
    Plain         *plain;
    (void)state;
    type = type_with("Correct", NULL, 0);
    assert_int_equal(mm_type_register(heap, &type), MM_OK);
    assert_int_equal(mm_type_register(heap, &type), MM_OK);
    assert_int_equal(mm_type_register(NULL, &type), MM_OK);
    assert_int_equal(mm_last_status(heap), MM_OK);
    plain = (Plain *)mm_new_of_type(heap, &type, 0);
    assert_non_null(plain);
    assert_ptr_equal(mm_type_of(plain), &type);
    assert_string_equal(mm_type_name(plain), "Correct");
    mm_decref(plain);
    done();
}

/* ------------------------------------------------------------------ questions */

static void mm_is_and_names(void **state)
{
    Node *node = mm_new(heap, Node);
    Leaf *leaf = new_leaf();
    (void)state;
    assert_true(mm_is(node, Node));
    assert_false(mm_is(node, Leaf));
    assert_true(mm_is(leaf, Leaf));
    assert_false(mm_is(NULL, Node));
    assert_string_equal(mm_type_name(node), "Node");
    assert_string_equal(mm_type_name(leaf), "Leaf");
    assert_string_equal(mm_type_name(NULL), "NULL");
    assert_ptr_equal(mm_type_of(node), mm_typeof(Node));
    mm_decref(node);
    mm_decref(leaf);
    done();
}

/* Another type called Node, as another file of a program may have. */
static mm_type other_node;

static void two_types_of_one_name_are_two(void **state)
{
    Node         *node = mm_new(heap, Node);
    void         *other;
    mm_type_stats stats[4];
    (void)state;
    other_node.name = "Node";
    other_node.size = 64;
    other = mm_new_of_type(heap, &other_node, 0);
    assert_non_null(other);
    assert_string_equal(mm_type_name(node), mm_type_name(other));
    assert_true(mm_type_of(node) != mm_type_of(other));
    assert_false(mm_is(other, Node));
    assert_true(mm__is(other, &other_node));
    assert_int_equal(mm_heap_get_type_stats(heap, stats, 4), 2);
    assert_int_equal(stats[0].objects, 1);
    assert_int_equal(stats[1].objects, 1);
    mm_decref(node);
    mm_decref(other);
    done();
}

/* -------------------------------------------------------------- slots of any kind */

typedef struct Six {
    char  before[8];
    Leaf *item[6];
    Leaf *after;
} Six;
MM_TYPE(Six, MM_REF_FIXED(Six, item), MM_REF(Six, after))

static void a_fixed_array_holds_all_its_items(void **state)
{
    Six   *six = mm_new(heap, Six);
    size_t i;
    (void)state;
    memset(six->before, 0x7F, 8); /* not a slot */
    assert_int_equal(referents(six), 0);
    for (i = 0; i < 6; i += 2) mm_set_steal(&six->item[i], new_leaf());
    assert_int_equal(referents(six), 3);
    for (i = 1; i < 6; i += 2) mm_set_steal(&six->item[i], new_leaf());
    mm_set_steal(&six->after, new_leaf());
    assert_int_equal(referents(six), 7);
    mm_decref(six);
    done();
}

#define COUNTED(name, type)                                                         \
    typedef struct Tail##name {                                                     \
        Leaf *first;                                                                \
        type  n;                                                                    \
        Leaf *item[];                                                               \
    } Tail##name;                                                                   \
    MM_TYPE(Tail##name, MM_REF(Tail##name, first),                                  \
            MM_REF_ARRAY(Tail##name, item, n))                                      \
    typedef struct Vector##name {                                                   \
        type   n;                                                                   \
        Leaf **item;                                                                \
        Leaf  *last;                                                                \
    } Vector##name;                                                                 \
    MM_TYPE(Vector##name, MM_REF_VECTOR(Vector##name, item, n),                     \
            MM_REF(Vector##name, last))                                             \
                                                                                    \
    static void tail_##name(size_t count)                                           \
    {                                                                               \
        Tail##name *t = mm_new_extra(heap, Tail##name, count * sizeof(Leaf *));     \
        size_t      i;                                                              \
        assert_non_null(t);                                                         \
        t->n = (type)count;                                                         \
        assert_int_equal(referents(t), 0);                                          \
        for (i = 0; i < count; i++) mm_set_steal(&t->item[i], new_leaf());          \
        assert_int_equal(referents(t), count);                                      \
        mm_set_steal(&t->first, new_leaf());                                        \
        assert_int_equal(referents(t), count + 1);                                  \
        mm_decref(t);                                                               \
        test_drain(heap);                                                           \
        assert_int_equal(test_stats(heap).live_blocks, 0);                          \
    }                                                                               \
                                                                                    \
    static void vector_##name(size_t count)                                         \
    {                                                                               \
        Vector##name *v = mm_new(heap, Vector##name);                               \
        size_t        i;                                                            \
        assert_int_equal(referents(v), 0); /* no block yet */                       \
        v->item = (Leaf **)mm_calloc(heap, count, sizeof(Leaf *));                  \
        v->n = (type)count;                                                         \
        assert_int_equal(referents(v), 0);                                          \
        for (i = 0; i < count; i++) mm_set_steal(&v->item[i], new_leaf());          \
        mm_set_steal(&v->last, new_leaf());                                         \
        assert_int_equal(referents(v), count + 1);                                  \
        mm_decref(v); /* and with it the block */                                   \
        test_drain(heap);                                                           \
        assert_int_equal(test_stats(heap).live_blocks, 0);                          \
    }

COUNTED(8, uint8_t)
COUNTED(16, uint16_t)
COUNTED(32, uint32_t)
COUNTED(64, uint64_t)

static void flexible_tails_counted_by_any_integer(void **state)
{
    (void)state;
    tail_8(0);
    tail_8(1);
    tail_8(200); /* negative if it were taken as signed */
    tail_8(255);
    tail_16(3);
    tail_16(300);
    tail_16(40000);
    tail_32(3);
    tail_32(70000);
    tail_64(3);
    tail_64(70000);
    done();
}

static void vectors_counted_by_any_integer(void **state)
{
    (void)state;
    vector_8(0);
    vector_8(1);
    vector_8(255);
    vector_16(3);
    vector_16(40000);
    vector_32(3);
    vector_32(70000);
    vector_64(3);
    vector_64(70000);
    done();
}

static void the_count_may_be_less_than_the_room(void **state)
{
    Tail16   *t = mm_new_extra(heap, Tail16, 10 * sizeof(Leaf *));
    Vector32 *v = mm_new(heap, Vector32);
    Leaf     *mine = new_leaf();
    (void)state;
    t->n = 2;
    mm_set_steal(&t->item[1], new_leaf());
    t->item[2] = mine; /* beyond the count: not the object's */
    v->item = (Leaf **)mm_alloc(heap, 8 * sizeof(Leaf *)); /* not zeroed */
    v->item[0] = new_leaf();
    v->n = 1;
    assert_int_equal(referents(t), 1);
    assert_int_equal(referents(v), 1);
    mm_decref(t);
    mm_decref(v);
    assert_int_equal(mm_refcount(mine), 1);
    mm_decref(mine);
    done();
}

static void O3_cycles_through_every_kind_are_collected(void **state)
{
    Six      *six = mm_new(heap, Six);
    Tail8    *tail = mm_new_extra(heap, Tail8, 3 * sizeof(Leaf *));
    Vector16 *vector = mm_new(heap, Vector16);
    (void)state;
    tail->n = 3;
    vector->item = (Leaf **)mm_calloc(heap, 4, sizeof(Leaf *));
    vector->n = 4;
    mm_set(&six->item[5], tail);
    mm_set(&tail->item[2], vector);
    mm_set(&vector->item[3], six);
    mm_set_steal(&tail->first, new_leaf());
    mm_decref(six);
    mm_decref(tail);
    mm_decref(vector);
    assert_int_equal(test_stats(heap).objects, 4);
    assert_int_equal(mm_gc_collect(heap, 2), 3);
    done();
}

/* ----------------------------------------------------------------- inheritance */

typedef struct Shape {
    Leaf *name;
    int   kind;
} Shape;
MM_TYPE(Shape, MM_REF(Shape, name))

typedef struct Circle {
    Shape base;
    Leaf *centre;
} Circle;
MM_TYPE_DERIVED(Circle, Shape, MM_REF(Circle, centre))

typedef struct Ring {
    Circle base;
    Leaf  *inner[2];
} Ring;
MM_TYPE_DERIVED(Ring, Circle, MM_REF_FIXED(Ring, inner))

typedef struct Dot {
    Shape base;
    int   colour;
} Dot;
MM_TYPE_DERIVED_LEAF(Dot, Shape)

static void O2_slots_accumulate_over_inheritance(void **state)
{
    Ring *ring = mm_new(heap, Ring);
    Dot  *dot = mm_new(heap, Dot);
    (void)state;
    mm_set_steal(&ring->base.base.name, new_leaf());
    assert_int_equal(referents(ring), 1);
    mm_set_steal(&ring->base.centre, new_leaf());
    mm_set_steal(&ring->inner[0], new_leaf());
    mm_set_steal(&ring->inner[1], new_leaf());
    assert_int_equal(referents(ring), 4);
    mm_set_steal(&dot->base.name, new_leaf());
    assert_int_equal(referents(dot), 1); /* its own struct adds none */
    mm_decref(ring);
    mm_decref(dot);
    done();
}

static void a_derived_object_is_its_base_too(void **state)
{
    Shape  *shape = mm_new(heap, Shape);
    Circle *circle = mm_new(heap, Circle);
    Ring   *ring = mm_new(heap, Ring);
    (void)state;
    assert_true(mm_is(ring, Ring) && mm_is(ring, Circle) && mm_is(ring, Shape));
    assert_true(mm_is(circle, Circle) && mm_is(circle, Shape));
    assert_false(mm_is(circle, Ring));
    assert_true(mm_is(shape, Shape));
    assert_false(mm_is(shape, Circle));
    assert_false(mm_is(ring, Dot));
    assert_false(mm_is(ring, Node));
    assert_string_equal(mm_type_name(ring), "Ring");
    mm_decref(shape);
    mm_decref(circle);
    mm_decref(ring);
    done();
}

static void cycles_through_inherited_slots_are_collected(void **state)
{
    Ring *a = mm_new(heap, Ring), *b = mm_new(heap, Ring);
    (void)state;
    mm_set(&a->base.base.name, b);
    mm_set(&b->base.base.name, a);
    mm_decref(a);
    mm_decref(b);
    assert_int_equal(mm_gc_collect(heap, 2), 2);
    done();
}

/* -------------------------------------------------------------- leaf and acyclic */

typedef struct Pair {
    Leaf *left, *right;
} Pair;
MM_TYPE(Pair, MM_REF_TO(Pair, left, Leaf), MM_REF_TO(Pair, right, Leaf))

typedef struct Book {
    Pair *pair;
    Leaf *title;
} Book;
MM_TYPE(Book, MM_REF_TO(Book, pair, Pair), MM_REF_TO(Book, title, Leaf))

typedef struct Any {
    void *anything;
} Any;
MM_TYPE(Any, MM_REF(Any, anything))

typedef struct Sworn {
    void *leaf;
} Sworn;
MM_TYPE_FLAGS(Sworn, MM_TYPE_ACYCLIC, MM_REF(Sworn, leaf))

typedef struct Mixed {
    Leaf  *leaf;
    Any   *any;
    Sworn *sworn;
} Mixed;
MM_TYPE(Mixed, MM_REF_TO(Mixed, leaf, Leaf), MM_REF_TO(Mixed, any, Any))

typedef struct OfSworn {
    Sworn *sworn;
} OfSworn;
MM_TYPE(OfSworn, MM_REF_TO(OfSworn, sworn, Sworn))

/* Types that name themselves and each other as targets. */
MM_TYPE_DECLARE(Self);
MM_TYPE_DECLARE(Ping);
MM_TYPE_DECLARE(Pong);
typedef struct Self {
    struct Self *self;
} Self;
MM_TYPE_DEFINE(Self, MM_REF_TO(Self, self, Self))
typedef struct Ping {
    struct Pong *pong;
} Ping;
typedef struct Pong {
    Ping *ping;
} Pong;
MM_TYPE_DEFINE(Ping, MM_REF_TO(Ping, pong, Pong))
MM_TYPE_DEFINE(Pong, MM_REF_TO(Pong, ping, Ping))

typedef struct ToPing {
    Ping *ping;
} ToPing;
MM_TYPE(ToPing, MM_REF_TO(ToPing, ping, Ping))

static bool tracked(mm_type *type)
{
    void *object = mm_new_of_type(heap, type, 0);
    bool  is;
    assert_non_null(object);
    is = mm_gc_is_tracked(object);
    assert_int_equal(mm_gc_generation_of(object), is ? 0 : -1);
    assert_int_equal(test_stats(heap).tracked, is ? 1 : 0);
    mm_decref(object);
    return is;
}

static void G32_the_type_decides_what_is_tracked(void **state)
{
    (void)state;
    assert_false(tracked(mm_typeof(Leaf)));
    assert_true(tracked(mm_typeof(Node)));
    assert_true(tracked(mm_typeof(Any)));
    done();
}

static void what_reaches_only_leaves_is_inferred_acyclic(void **state)
{
    (void)state;
    assert_false(tracked(mm_typeof(Book))); /* before Pair was ever used */
    assert_false(tracked(mm_typeof(Pair)));
    assert_false(tracked(mm_typeof(Sworn)));
    assert_false(tracked(mm_typeof(OfSworn)));
    assert_true(tracked(mm_typeof(Mixed))); /* one of its targets may hold anything */
    done();
}

static void what_may_reach_itself_is_tracked(void **state)
{
    Self *self;
    Ping *ping;
    Pong *pong;
    (void)state;
    assert_true(tracked(mm_typeof(Self)));
    assert_true(tracked(mm_typeof(ToPing)));
    assert_true(tracked(mm_typeof(Ping)));
    assert_true(tracked(mm_typeof(Pong)));
    self = mm_new(heap, Self);
    mm_set(&self->self, self);
    mm_decref(self);
    ping = mm_new(heap, Ping);
    pong = mm_new(heap, Pong);
    mm_set(&ping->pong, pong);
    mm_set_steal(&pong->ping, ping);
    mm_decref(pong);
    assert_int_equal(mm_gc_collect(heap, 2), 3);
    done();
}

static void untracked_objects_drop_what_they_hold(void **state)
{
    Book *book = mm_new(heap, Book);
    Leaf *mine = new_leaf();
    Node *node = mm_new(heap, Node);
    (void)state;
    mm_set_steal(&book->pair, mm_new(heap, Pair));
    mm_set(&book->pair->left, mine);
    mm_set_steal(&book->pair->right, new_leaf());
    mm_set(&book->title, mine);
    assert_int_equal(mm_refcount(mine), 3);
    mm_set(&node->next, node); /* a cycle that holds the book */
    mm_set_steal(&node->prev, book);
    mm_decref(node);
    assert_int_equal(mm_refcount(mine), 3);
    mm_gc_collect(heap, 2);
    assert_int_equal(mm_refcount(mine), 1);
    mm_decref(mine);
    done();
}

static void types_can_refuse_weak_references(void **state)
{
    static mm_type type;
    void          *object;
    (void)state;
    type = type_with("Shy", NULL, 0);
    type.flags = MM_TYPE_NO_WEAK;
    object = mm_new_of_type(heap, &type, 0);
    assert_non_null(object);
    assert_null(mm_weakref_new(object, NULL, NULL));
    assert_int_equal(mm_last_status(heap), MM_ERR_TYPE);
    assert_non_null(strstr(mm_last_message(heap), "Shy"));
    assert_int_equal(mm_handle_of(object), 0);
    assert_int_equal(mm_weakref_count(object), 0);
    mm_decref(object);
    done();
}

/* ------------------------------------------------------------ shapes by traverse */

typedef struct Box {
    size_t n;
    void  *hidden; /* an array of references, stored inverted: no slot describes it */
} Box;
MM_TYPE_OPAQUE(Box)

static uintptr_t *box_items(const Box *box)
{
    return (uintptr_t *)box->hidden;
}

static void box_traverse(void *object, mm_visit_fn visit, void *context)
{
    const Box *box = (const Box *)object;
    size_t     i;
    for (i = 0; i < box->n; i++) {
        void *item = (void *)~box_items(box)[i];
        if (item != NULL) visit(item, context);
    }
}

static void box_clear(void *object)
{
    Box   *box = (Box *)object;
    size_t i;
    for (i = 0; i < box->n; i++) {
        void *item = (void *)~box_items(box)[i];
        box_items(box)[i] = ~(uintptr_t)0;
        mm_clear(&item);
    }
}

static void box_dispose(void *object)
{
    mm_free(heap, ((Box *)object)->hidden);
}

static Box *new_box(size_t n)
{
    Box *box;
    mm_typeof(Box)->traverse = box_traverse;
    mm_typeof(Box)->clear = box_clear;
    mm_typeof(Box)->dispose = box_dispose;
    box = mm_new(heap, Box);
    assert_non_null(box);
    box->hidden = mm_alloc(heap, n * sizeof(uintptr_t));
    memset(box->hidden, 0xFF, n * sizeof(uintptr_t)); /* inverted NULL */
    box->n = n;
    return box;
}

static void box_put(Box *box, size_t i, void *stolen)
{
    box_items(box)[i] = ~(uintptr_t)stolen;
}

static void traverse_and_clear_describe_any_shape(void **state)
{
    Box  *box = new_box(5), *other = new_box(2);
    Leaf *leaf = new_leaf();
    (void)state;
    assert_true(mm_gc_is_tracked(box));
    box_put(box, 4, new_leaf());
    box_put(box, 1, mm_newref(leaf));
    assert_int_equal(referents(box), 2);
    mm_decref(box); /* by counting */
    assert_int_equal(mm_refcount(leaf), 1);
    box = new_box(1);
    box_put(box, 0, mm_newref(other));
    box_put(other, 0, mm_newref(box));
    box_put(other, 1, leaf);
    mm_decref(box);
    mm_decref(other);
    assert_int_equal(mm_gc_collect(heap, 2), 2); /* by the collector */
    done();
}

/* --------------------------------------------------------------- many, and at once */

#define MANY 70000

static mm_type many[MANY];

static void register_many(void *argument)
{
    size_t    i;
    mm_status status = MM_OK;
    void     *first, *last;
    (void)argument;
    for (i = 0; i < MANY && status == MM_OK; i++) {
        many[i] = type_with("Many", NULL, 0);
        status = mm_type_register(heap, &many[i]);
    }
    printf("status %d after %lu: %s\n", (int)status, (unsigned long)(i - 1),
           mm_last_message(heap));
    if (status != MM_ERR_LIMIT || i - 1 < 65000 || i - 1 > 65535) _exit(3);
    if (strstr(mm_last_message(heap), "Many") == NULL) _exit(4);
    mm_clear_status(heap);
    if (mm_new_of_type(heap, &many[i - 1], 0) != NULL) _exit(5);
    if (mm_last_status(heap) != MM_ERR_LIMIT) _exit(6);
    first = mm_new_of_type(heap, &many[0], 0);
    last = mm_new_of_type(heap, &many[i - 2], 0);
    if (mm_type_of(first) != &many[0] || mm_type_of(last) != &many[i - 2]) _exit(7);
    mm_decref(first);
    mm_decref(last);
    if (!mm_heap_check(heap) || mm_heap_destroy(heap) != 0) _exit(8);
    printf("fine\n");
}

static void there_are_at_most_65535_types(void **state)
{
    static test_child child;
    (void)state;
    test_run(&child, register_many, NULL);
    if (child.exit_code != 0) print_error("%s\n", child.output);
    assert_int_equal(child.exit_code, 0);
    assert_true(test_says(&child, "fine"));
    done();
}

#define SHARED 500
static mm_type shared_types[SHARED];

static void *register_shared(void *argument)
{
    size_t   start = *(size_t *)argument, i, bad = 0;
    mm_heap *own = mm_heap_create(NULL);
    for (i = 0; i < SHARED; i++) {
        mm_type *type = &shared_types[(start + i * 7) % SHARED];
        void    *object;
        bad += mm_type_register(own, type) != MM_OK;
        object = mm_new_of_type(own, type, 0);
        bad += object == NULL || mm_type_of(object) != type;
        mm_decref(object);
    }
    bad += mm_heap_destroy(own);
    *(size_t *)argument = bad;
    return NULL;
}

static void threads_may_register_the_same_types(void **state)
{
    pthread_t thread[4];
    size_t    argument[4], i;
    (void)state;
    for (i = 0; i < SHARED; i++) shared_types[i] = type_with("Shared", NULL, 0);
    for (i = 0; i < 4; i++) {
        argument[i] = i * 100;
        assert_false(pthread_create(&thread[i], NULL, register_shared, &argument[i]));
    }
    for (i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(argument[i], 0);
    }
    done();
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_slot_outside_the_struct_is_refused),
        TEST(a_misaligned_slot_is_refused),
        TEST(a_fixed_array_that_ends_outside_is_refused),
        TEST(a_slot_described_twice_is_refused),
        TEST(a_count_field_must_be_a_number_inside),
        TEST(a_hook_needs_its_partner),
        TEST(a_size_must_make_sense),
        TEST(a_correct_type_registers_once),
        TEST(mm_is_and_names),
        TEST(two_types_of_one_name_are_two),
        TEST(a_fixed_array_holds_all_its_items),
        TEST(flexible_tails_counted_by_any_integer),
        TEST(vectors_counted_by_any_integer),
        TEST(the_count_may_be_less_than_the_room),
        TEST(O3_cycles_through_every_kind_are_collected),
        TEST(O2_slots_accumulate_over_inheritance),
        TEST(a_derived_object_is_its_base_too),
        TEST(cycles_through_inherited_slots_are_collected),
        TEST(G32_the_type_decides_what_is_tracked),
        TEST(what_reaches_only_leaves_is_inferred_acyclic),
        TEST(what_may_reach_itself_is_tracked),
        TEST(untracked_objects_drop_what_they_hold),
        TEST(types_can_refuse_weak_references),
        TEST(traverse_and_clear_describe_any_shape),
        TEST(there_are_at_most_65535_types),
        TEST(threads_may_register_the_same_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
