/* test_stress.c - ordinary programs while the collector runs as often as it can.

   Each workload is run against a model of its own under every configuration below:
   a collection before every object, thresholds of 1, slices of a microsecond, no
   slices, debugging. What a workload holds must be there, whatever is collected.
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include "gc_testing.h"

static uint64_t random_state;

static uint32_t below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 32) * n >> 32);
}

/* ---- a search tree with parent pointers ------------------------------------- */

typedef struct Leafy {
    struct Leafy *left, *right, *parent;
    mm_str *key;
    uint32_t number;
} Leafy;
MM_TYPE(Leafy, MM_REF(Leafy, left), MM_REF(Leafy, right), MM_REF(Leafy, parent),
        MM_REF(Leafy, key))

typedef struct Tree {
    Leafy *root;
} Tree;
MM_TYPE(Tree, MM_REF(Tree, root))

#define KEYS 200

static mm_str *key_of(mm_heap *heap, uint32_t number)
{
    char text[32];
    int n = snprintf(text, sizeof text, "key-%" PRIu32, number);
    mm_str *key = mm_intern(heap, text, (size_t)n);
    assert_non_null(key);
    return key;
}

static Leafy **tree_place(Tree *tree, uint32_t number, Leafy **parent)
{
    Leafy **place = &tree->root;
    *parent = NULL;
    while (*place != NULL && (*place)->number != number) {
        *parent = *place;
        place = number < (*place)->number ? &(*place)->left : &(*place)->right;
    }
    return place;
}

static void tree_insert(mm_heap *heap, Tree *tree, uint32_t number)
{
    Leafy *parent, *leafy = mm_new(heap, Leafy), **place;
    assert_non_null(leafy);
    leafy->number = number;
    leafy->key = key_of(heap, number);
    place = tree_place(tree, number, &parent);
    assert_null(*place);
    mm_set(&leafy->parent, parent);
    mm_set_steal(place, leafy);
}

/* Cut a subtree off and put what is to stay back: it moves with mm_take. */
static void tree_remove(Tree *tree, uint32_t number)
{
    Leafy *parent, **place = tree_place(tree, number, &parent);
    Leafy *gone = mm_take(place), *left, *right, *deep;
    left = mm_take(&gone->left);
    right = mm_take(&gone->right);
    if (left == NULL || right == NULL) {
        Leafy *only = left ? left : right;
        if (only != NULL) mm_set(&only->parent, parent);
        mm_set_steal(place, only);
    } else {
        for (deep = left; deep->right != NULL; deep = deep->right) continue;
        mm_set(&right->parent, deep);
        mm_set_steal(&deep->right, right);
        mm_set(&left->parent, parent);
        mm_set_steal(place, left);
    }
    mm_decref(gone);
}

static uint32_t tree_check(const Leafy *leafy, const Leafy *parent, const char *in)
{
    char text[32];
    if (leafy == NULL) return 0;
    assert_ptr_equal(leafy->parent, parent);
    assert_int_equal(in[leafy->number], 1);
    snprintf(text, sizeof text, "key-%" PRIu32, leafy->number);
    assert_string_equal(leafy->key->text, text);
    return 1 + tree_check(leafy->left, leafy, in) + tree_check(leafy->right, leafy, in);
}

static void work_tree(mm_heap *heap, long rounds)
{
    Tree *tree = mm_new(heap, Tree);
    char in[KEYS];
    uint32_t count = 0;
    memset(in, 0, sizeof in);
    while (rounds-- > 0) {
        uint32_t number = below(KEYS);
        if (in[number])
            tree_remove(tree, number);
        else
            tree_insert(heap, tree, number);
        in[number] = !in[number];
        count += in[number] ? 1u : UINT32_MAX;
        if (rounds % 16 == 0) assert_int_equal(tree_check(tree->root, NULL, in), count);
    }
    mm_decref(tree);
}

/* ---- a doubly linked list, most recently used first ------------------------- */

typedef struct Entry {
    struct Entry *next, *prev;
    uint32_t number;
} Entry;
MM_TYPE(Entry, MM_REF(Entry, next), MM_REF(Entry, prev))

#define ENTRIES 40

static void list_unlink(Entry *e)
{
    Entry *next = mm_take(&e->next), *prev = mm_take(&e->prev);
    mm_set(&prev->next, next);
    mm_set(&next->prev, prev);
    mm_decref(next);
    mm_decref(prev);
}

static void list_push(Entry *head, Entry *e)
{
    mm_set(&e->next, head->next);
    mm_set(&e->prev, head);
    mm_set(&head->next->prev, e);
    mm_set(&head->next, e);
}

static void work_list(mm_heap *heap, long rounds)
{
    Entry *head = mm_new(heap, Entry), *e;
    uint32_t model[ENTRIES], n = 0, i, k;
    mm_set(&head->next, head);
    mm_set(&head->prev, head);
    while (rounds-- > 0) {
        if (n < ENTRIES && below(2)) {
            e = mm_new(heap, Entry);
            assert_non_null(e);
            e->number = (uint32_t)rounds;
            list_push(head, e);
            memmove(model + 1, model, n * sizeof *model);
            model[0] = e->number;
            n++;
            mm_decref(e);
        } else if (n > 0) {
            k = below(n);
            for (e = head->next, i = 0; i < k; i++) e = e->next;
            assert_int_equal(e->number, model[k]);
            mm_incref(e);
            list_unlink(e);
            memmove(model + k, model + k + 1, (n - k - 1) * sizeof *model);
            n--;
            mm_decref(e);
        }
        for (e = head->next, i = 0; i < n; i++, e = e->next)
            assert_int_equal(e->number, model[i]);
        assert_ptr_equal(e, head);
    }
    mm_decref(head); /* head and all entries are one large knot */
}

/* ---- a cache of weak references --------------------------------------------- */

static void work_weak_cache(mm_heap *heap, long rounds)
{
    mm_weakref *cache[64];
    mm_handle handle[64];
    Thing *held[64];
    uint32_t i;
    memset(cache, 0, sizeof cache);
    memset(handle, 0, sizeof handle);
    memset(held, 0, sizeof held);
    while (rounds-- > 0) {
        Thing *found;
        i = below(64);
        found = cache[i] ? mm_weakref_get(cache[i]) : NULL;
        if (held[i] != NULL) {
            assert_ptr_equal(found, held[i]);
            assert_ptr_equal(mm_handle_borrow(heap, handle[i]), held[i]);
            assert_int_equal(found->id, -1 - (int)i);
        }
        if (found == NULL) {
            mm_decref(cache[i]);
            found = thing(heap, -1 - (int)i, NULL);
            if (below(2)) mm_set(&found->a, found);
            cache[i] = weak(found, below(2) ? "" : NULL);
            handle[i] = mm_handle_of(found);
            assert_true(handle[i] != 0);
        }
        if (below(2)) mm_set(&found->b, held[below(64)]);
        mm_decref(held[i]);
        held[i] = found;
        i = below(64);
        mm_decref(held[i]);
        held[i] = NULL;
    }
    for (i = 0; i < 64; i++) {
        mm_decref(held[i]);
        mm_decref(cache[i]);
    }
}

/* ---- a graph that is rewired, its edges in vectors -------------------------- */

#define VERTICES 48

static void vector_append(mm_heap *heap, Vec *v, void *item)
{
    void **items = mm_realloc(heap, v->items, (v->count + 1) * sizeof *items);
    assert_non_null(items);
    items[v->count] = mm_newref(item);
    v->items = items;
    v->count++;
}

static void work_graph(mm_heap *heap, long rounds)
{
    Vec *vertex[VERTICES];
    char edge[VERTICES][VERTICES];
    uint32_t i, j;
    memset(edge, 0, sizeof edge);
    for (i = 0; i < VERTICES; i++) {
        vertex[i] = mm_new(heap, Vec);
        assert_non_null(vertex[i]);
    }
    while (rounds-- > 0) {
        i = below(VERTICES);
        j = below(VERTICES);
        if (below(8) == 0) { /* a vertex is replaced; edges to the old one stay in it */
            uint32_t k;
            mm_decref(vertex[i]);
            vertex[i] = mm_new(heap, Vec);
            assert_non_null(vertex[i]);
            memset(edge[i], 0, sizeof edge[i]);
            for (k = 0; k < VERTICES; k++) edge[k][i] = 0;
        } else {
            vector_append(heap, vertex[i], vertex[j]);
            edge[i][j]++;
        }
        if (vertex[i]->count > 20) {
            while (vertex[i]->count > 0)
                mm_clear(&vertex[i]->items[--vertex[i]->count]);
            memset(edge[i], 0, sizeof edge[i]);
        }
        for (j = 0; j < VERTICES; j++) {
            size_t k, n = 0;
            for (k = 0; k < vertex[i]->count; k++)
                n += vertex[i]->items[k] == vertex[j];
            assert_int_equal(n, edge[i][j]);
        }
    }
    for (i = 0; i < VERTICES; i++) mm_decref(vertex[i]);
}

/* ---- finalizers that bring back --------------------------------------------- */

static bool fin_sometimes(Thing *self)
{
    if (gt.kept_count < GT_KEPT && below(2)) fin_resurrect(self);
    if (below(4) == 0) mm_gc_collect(mm_heap_of(self), (int)below(3));
    if (below(4) == 0) mm_decref(plain_ring(mm_heap_of(self), 3, 0));
    return true;
}

static void work_finalizers(mm_heap *heap, long rounds)
{
    Thing *held[16];
    size_t k;
    memset(held, 0, sizeof held);
    while (rounds-- > 0) {
        uint32_t i = below(16), j = below(16);
        Thing *t = thing(heap, -1, fin_sometimes);
        mm_set(&t->a, held[j]);
        mm_set(&t->b, t);
        if (held[j] != NULL) mm_set(&held[j]->c, t);
        mm_decref(held[i]);
        held[i] = t;
        for (k = 0; k < gt.kept_count; k++) {
            const Thing *kept = gt.kept[k];
            assert_ptr_equal(mm_type_of(kept), mm_typeof(Thing));
            assert_true(mm_gc_is_finalized(kept));
            assert_true(kept->b == kept);
        }
        while (gt.kept_count > 8) mm_decref(gt.kept[--gt.kept_count]);
    }
    for (k = 0; k < 16; k++) mm_decref(held[k]);
    while (gt.kept_count > 0) {
        gt_drop_kept();
        mm_gc_collect(heap, 2);
    }
}

/* ---- under every configuration ---------------------------------------------- */

typedef void (*Work)(mm_heap *heap, long rounds);

static void run(Work work, const mm_heap_desc *desc, int threshold, long rounds)
{
    mm_heap *heap = gt_heap_with(desc);
    int i;
    random_state = 88172645463325252u;
    if (threshold >= 0) mm_gc_set_threshold(heap, threshold, threshold, threshold);
    work(heap, rounds);
    assert_true(mm_heap_check(heap));
    for (i = 0; i < 4; i++) {
        mm_gc_collect(heap, 2);
        gt_drop_kept();
    }
    assert_int_equal(gt_objects(heap), 0);
    gt_close(heap);
}

static void everywhere(Work work, long rounds)
{
    mm_heap_desc desc = gt_desc();
    rounds = gt_scale(rounds, rounds / 10);
    run(work, &desc, -1, rounds * 10);
    run(work, &desc, 1, rounds);
    run(work, &desc, 0, rounds);
    desc.gc_pause_us = 1;
    run(work, &desc, 1, rounds);
    run(work, &desc, 20, rounds * 2);
    desc.gc_pause_us = MM_GC_UNSLICED;
    run(work, &desc, 1, rounds);
    desc.gc_stress = true;
    run(work, &desc, -1, rounds);
    desc.gc_pause_us = 0;
    run(work, &desc, -1, rounds);
    desc.debug = 1;
    run(work, &desc, -1, rounds / 2);
    desc.debug = 2;
    run(work, &desc, 1, rounds / 2);
    desc.gc_stress = false;
    run(work, &desc, 1, rounds / 2);
}

static void tree_with_parent_pointers(void **state)
{
    (void)state;
    everywhere(work_tree, 2000);
}

static void doubly_linked_list(void **state)
{
    (void)state;
    everywhere(work_list, 2000);
}

static void cache_of_weak_references(void **state)
{
    (void)state;
    everywhere(work_weak_cache, 2000);
}

static void graph_in_vectors(void **state)
{
    (void)state;
    everywhere(work_graph, 1000);
}

static void finalizers_that_bring_back(void **state)
{
    (void)state;
    everywhere(work_finalizers, 1000);
}

static int stress_starts;

static void count_starts(mm_heap *heap, const mm_gc_info *info, void *user)
{
    (void)heap;
    (void)user;
    if (!info->stop) stress_starts++;
}

/* The mode does what it says. */
static void stress_collects_before_every_object(void **state)
{
    mm_heap_desc desc = gt_desc();
    mm_heap *heap;
    int i;
    (void)state;
    desc.gc_stress = true;
    heap = gt_heap_with(&desc);
    mm_gc_add_callback(heap, count_starts, NULL);
    stress_starts = 0;
    for (i = 0; i < 100; i++) {
        mm_decref(plain_ring(heap, 1, 0)); /* garbage, gone before the next */
        assert_true(stress_starts >= i + 1);
        assert_true(gt_objects(heap) <= 2);
    }
    mm_gc_remove_callback(heap, count_starts, NULL);
    gt_close(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stress_collects_before_every_object),
        cmocka_unit_test(tree_with_parent_pointers),
        cmocka_unit_test(doubly_linked_list),
        cmocka_unit_test(cache_of_weak_references),
        cmocka_unit_test(graph_in_vectors),
        cmocka_unit_test(finalizers_that_bring_back),
    };
    return cmocka_run_group_tests_name("stress", tests, NULL, NULL);
}
