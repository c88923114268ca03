/* test_diagnose.c - the room diagnose: who holds this, cycles, the audit; and the leak
   report of mm_heap_destroy.

   G39 of CPython (a count lower than the references) is here in its several forms.
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include "gc_testing.h"

typedef struct Scene {
    void *root;
    void *camera;
    int id;
} Scene;
MM_TYPE(Scene, MM_REF(Scene, root), MM_REF(Scene, camera))

typedef struct Node {
    struct Node *next, *prev;
    Text *label;
    int id;
} Node;
MM_TYPE(Node, MM_REF(Node, next), MM_REF(Node, prev), MM_REF_TO(Node, label, Text))

static gt_text out;

static void out_reset(void)
{
    out.length = 0;
    out.text[0] = 0;
}

static bool out_has(const char *what)
{
    return strstr(out.text, what) != NULL;
}

static Node *node(mm_heap *heap, int id)
{
    Node *n = mm_new(heap, Node);
    assert_non_null(n);
    n->id = id;
    return n;
}

/* ---- who holds this --------------------------------------------------------- */

static void holders_of_what_is_held_directly(void **state)
{
    mm_heap *heap = gt_heap();
    Scene *s = mm_new(heap, Scene);
    (void)state;
    mm_incref(s);
    out_reset();
    assert_int_equal(mm_report_holders(s, gt_write, &out), 1);
    assert_true(out_has("Scene"));
    assert_true(gt_has_address(&out, s));
    assert_true(out_has("2 outside reference"));
    mm_decref(s);
    out_reset();
    assert_int_equal(mm_report_holders(s, gt_write, &out), 1);
    assert_true(out_has("1 outside reference"));
    mm_decref(s);
    gt_close(heap);
}

static void holders_name_types_fields_and_addresses(void **state)
{
    mm_heap *heap = gt_heap();
    Scene *s = mm_new(heap, Scene);
    Node *first = node(heap, 1), *second = node(heap, 2);
    Text *label = mm_new(heap, Text);
    (void)state;
    label->id = -1;
    s->root = first;
    first->next = second;
    mm_set(&second->prev, first);
    second->label = label;
    out_reset();
    assert_int_equal(mm_report_holders(label, gt_write, &out), 4);
    assert_true(out_has("Scene"));
    assert_true(out_has(".root"));
    assert_true(out_has("Node"));
    assert_true(out_has(".next"));
    assert_true(out_has(".label"));
    assert_true(out_has("Text"));
    assert_false(out_has(".prev"));
    assert_true(gt_has_address(&out, s));
    assert_true(gt_has_address(&out, first));
    assert_true(gt_has_address(&out, second));
    assert_true(gt_has_address(&out, label));
    assert_true(out_has("1 outside reference"));
    mm_decref(s);
    mm_gc_collect(heap, 2);
    gt_close(heap);
}

static void holders_finds_the_shortest_chain(void **state)
{
    mm_heap *heap = gt_heap();
    Node *head = node(heap, 0), *last = head, *target = node(heap, -1);
    Scene *s = mm_new(heap, Scene);
    int i;
    (void)state;
    for (i = 1; i < 100; i++) { /* a long way */
        last->next = node(heap, i);
        mm_set(&last->next->prev, last);
        last = last->next;
    }
    last->next = target;
    mm_set(&target->prev, last);
    assert_int_equal(mm_report_holders(target, gt_write, &out), 101);
    mm_set(&s->camera, target); /* and a short one */
    out_reset();
    assert_int_equal(mm_report_holders(target, gt_write, &out), 2);
    assert_true(out_has("Scene"));
    assert_true(out_has(".camera"));
    assert_false(out_has(".next"));
    mm_decref(s);
    mm_decref(head);
    mm_gc_collect(heap, 2);
    gt_close(heap);
}

static void holders_through_arrays_and_hooks(void **state)
{
    mm_heap *heap = gt_heap();
    Vec *v = vec(heap, 50);
    Tail *tail = mm_new_extra(heap, Tail, 4 * sizeof(void *));
    Plain *p = plain(heap, 1);
    (void)state;
    tail->count = 4;
    v->items[33] = tail;
    tail->items[2] = p;
    out_reset();
    assert_int_equal(mm_report_holders(p, gt_write, &out), 3);
    assert_true(out_has("Vec"));
    assert_true(out_has(".items"));
    assert_true(out_has("33"));
    assert_true(out_has("Tail"));
    mm_decref(v);
    gt_close(heap);
}

static void holders_of_garbage(void **state)
{
    mm_heap *heap = gt_heap();
    Thing *t = thing_loop(heap, 1, NULL), *u = thing_loop(heap, 2, NULL);
    (void)state;
    mm_set(&t->b, u);
    mm_decref(u);
    mm_decref(t);
    out_reset();
    assert_int_equal(mm_report_holders(t, gt_write, &out), 0);
    assert_int_equal(mm_report_holders(u, gt_write, &out), 0);
    assert_int_equal(mm_gc_collect(heap, 2), 2); /* the report changed nothing */
    gt_close(heap);
}

static void holders_of_an_immortal(void **state)
{
    mm_heap *heap = gt_heap();
    Scene *s = mm_new(heap, Scene);
    Plain *p = plain(heap, 1);
    (void)state;
    s->root = p;
    mm_immortalize(s);
    out_reset();
    assert_int_equal(mm_report_holders(p, gt_write, &out), 2);
    assert_true(out_has("Scene"));
    mm_heap_destroy(heap);
}

static void holders_in_a_large_heap(void **state)
{
    mm_heap *heap = gt_heap();
    int n = (int)gt_scale(100000, 10000);
    Plain *ring = plain_ring(heap, n, 0);
    Plain *middle = ring;
    int i;
    (void)state;
    for (i = 0; i < n / 2; i++) middle = middle->a;
    out_reset();
    assert_int_equal(mm_report_holders(middle, gt_write, &out), n / 2 + 1);
    mm_decref(ring);
    assert_int_equal(mm_gc_collect(heap, 2), n);
    gt_close(heap);
}

/* ---- cycles ----------------------------------------------------------------- */

static void cycles_by_length(void **state)
{
    mm_heap *heap = gt_heap();
    Node *a = node(heap, 1), *b = node(heap, 2), *c = node(heap, 3);
    (void)state;
    out_reset();
    assert_int_equal(mm_report_cycle(a, gt_write, &out), 0);
    mm_set(&a->next, b);
    mm_set(&b->next, c);
    assert_int_equal(mm_report_cycle(a, gt_write, &out), 0);
    mm_set(&c->next, a);
    out_reset();
    assert_int_equal(mm_report_cycle(a, gt_write, &out), 3);
    assert_true(out_has("Node"));
    assert_true(out_has(".next"));
    assert_true(gt_has_address(&out, a));
    assert_true(gt_has_address(&out, b));
    assert_true(gt_has_address(&out, c));
    mm_set(&b->prev, a); /* now there is a shorter one through a and b */
    out_reset();
    assert_int_equal(mm_report_cycle(a, gt_write, &out), 2);
    assert_true(out_has(".prev"));
    assert_int_equal(mm_report_cycle(c, gt_write, &out), 3);
    mm_set(&a->prev, a);
    out_reset();
    assert_int_equal(mm_report_cycle(a, gt_write, &out), 1);
    assert_false(out_has(".next"));
    mm_decref(a);
    mm_decref(b);
    mm_decref(c);
    assert_int_equal(mm_gc_collect(heap, 2), 3);
    gt_close(heap);
}

static void cycle_that_the_object_only_leads_to(void **state)
{
    mm_heap *heap = gt_heap();
    Scene *s = mm_new(heap, Scene);
    Thing *t = thing_loop(heap, 1, NULL);
    (void)state;
    s->root = t;
    assert_int_equal(mm_report_cycle(s, gt_write, &out), 0);
    assert_int_equal(mm_report_cycle(t, gt_write, &out), 1);
    mm_decref(s);
    mm_gc_collect(heap, 2);
    gt_close(heap);
}

static void reports_without_memory(void **state)
{
    mm_heap *heap = gt_starvable_heap();
    int n = (int)gt_scale(100000, 20000);
    Plain *ring = plain_ring(heap, n, 0);
    Plain *middle = ring;
    void *chain;
    size_t held, cycle;
    int i;
    (void)state;
    for (i = 0; i < n / 2; i++) middle = middle->a;
    chain = gt_starve(heap);
    out_reset();
    held = mm_report_holders(middle, gt_write, &out);
    cycle = mm_report_cycle(middle, gt_write, &out);
    assert_true(held == SIZE_MAX || held == (size_t)n / 2 + 1);
    assert_true(cycle == SIZE_MAX || cycle == 2);
    mm_audit(heap, gt_write, &out);
    gt_feed(heap, chain);
    assert_int_equal(mm_report_holders(middle, gt_write, &out), n / 2 + 1);
    mm_decref(ring);
    assert_int_equal(mm_gc_collect(heap, 2), n);
    gt_close(heap);
    assert_int_equal(gt_os.blocks, 0);
}

/* ---- the audit -------------------------------------------------------------- */

static void do_nothing(void *user)
{
    (void)user;
}

static void audit_of_a_sound_heap(void **state)
{
    mm_heap *heap = gt_heap();
    Vec *v = vec(heap, 20);
    Node *n = node(heap, 1);
    Plain *ring = plain_ring(heap, 100, 0);
    mm_weakref *ref = weak(n, NULL), *cb = weak(n, "x");
    mm_finalizer *f;
    size_t i;
    (void)state;
    n->label = mm_new(heap, Text);
    n->label->id = -1;
    f = mm_finalize(ring, do_nothing, NULL);
    for (i = 0; i < 20; i++) mm_set(&v->items[i], i % 2 ? (void *)n : (void *)ring);
    mm_set(&v->owner, mm_weakref_list(n, 0));
    out_reset();
    assert_int_equal(mm_audit(heap, gt_write, &out), 0);
    assert_int_equal(out.length, 0);
    mm_finalizer_detach(f);
    mm_decref(f);
    mm_decref(ref);
    mm_decref(cb);
    mm_decref(v);
    mm_decref(n);
    mm_decref(ring);
    mm_gc_collect(heap, 2);
    assert_int_equal(mm_audit(heap, gt_write, &out), 0);
    gt_close(heap);
}

static void G39_audit_finds_counts_too_low(void **state)
{
    mm_heap *heap = gt_heap();
    Vec *v = vec(heap, 300);
    Node *n = node(heap, 1), *other = node(heap, 2);
    size_t i;
    (void)state;
    for (i = 0; i < 300; i++) mm_set(&v->items[i], n);
    mm_set(&other->next, n);
    assert_int_equal(mm_refcount(n), 302);
    /* one decref too many so far: none from outside */
    mm__count_set(mm__header_of(n), 301);
    out_reset();
    assert_int_equal(mm_audit(heap, gt_write, &out), 0); /* explained, all inside */
    mm__count_set(mm__header_of(n), 300); /* and now one of the references will dangle */
    assert_int_equal(mm_audit(heap, gt_write, &out), 1);
    assert_true(out_has("Node"));
    assert_true(gt_has_address(&out, n));
    mm__count_set(mm__header_of(n), 302);
    mm_decref(n);
    mm_decref(other);
    mm_decref(v);
    gt_close(heap);
}

static void audit_finds_counts_too_high(void **state)
{
    mm_heap *heap = gt_heap();
    Scene *s = mm_new(heap, Scene);
    Node *n = node(heap, 1);
    (void)state;
    mm_set(&s->root, n);
    out_reset();
    assert_true(mm_audit_held(n, 1, gt_write, &out));
    assert_true(mm_audit_held(s, 1, gt_write, &out));
    assert_int_equal(out.length, 0);
    mm__header_of(n)->rc++; /* an incref that nobody will undo */
    assert_false(mm_audit_held(n, 1, gt_write, &out));
    assert_true(out_has("Node"));
    assert_true(gt_has_address(&out, n));
    out_reset();
    assert_false(mm_audit_held(n, 0, gt_write, &out));
    assert_true(mm_audit_held(n, 2, gt_write, &out));
    mm__header_of(n)->rc--;
    mm_decref(n);
    assert_true(mm_audit_held(n, 0, gt_write, &out));
    assert_false(mm_audit_held(n, 1, gt_write, &out));
    mm_decref(s);
    gt_close(heap);
}

static void audit_finds_a_slot_of_the_wrong_type(void **state)
{
    mm_heap *heap = gt_heap();
    Node *n = node(heap, 1), *stranger = node(heap, 2);
    (void)state;
    mm_set(&n->label, stranger); /* the description says Text */
    out_reset();
    assert_true(mm_audit(heap, gt_write, &out) >= 1);
    assert_true(out_has("label"));
    assert_true(out_has("Node"));
    assert_true(out_has("Text"));
    assert_true(gt_has_address(&out, n));
    mm_clear(&n->label);
    out_reset();
    assert_int_equal(mm_audit(heap, gt_write, &out), 0);
    mm_decref(n);
    mm_decref(stranger);
    gt_close(heap);
}

static void audit_finds_an_object_of_another_heap(void **state)
{
    mm_heap *other = gt_heap(), *heap = gt_heap();
    Node *n = node(heap, 1), *foreign = node(other, 2);
    (void)state;
    n->next = foreign;
    out_reset();
    assert_true(mm_audit(heap, gt_write, &out) >= 1);
    assert_true(out_has("next"));
    assert_true(gt_has_address(&out, n));
    n->next = NULL;
    out_reset();
    assert_int_equal(mm_audit(heap, gt_write, &out), 0);
    mm_decref(n);
    mm_decref(foreign);
    assert_int_equal(mm_heap_destroy(other), 0);
    gt_close(heap);
}

static void audit_finds_a_freed_object(void **state)
{
    mm_heap *heap = gt_heap();
    Node *n = node(heap, 1), *freed = node(heap, 2);
    (void)state;
    mm_decref(freed);
    n->prev = freed; /* a reference that was stored and never taken */
    out_reset();
    assert_true(mm_audit(heap, gt_write, &out) >= 1);
    assert_true(out_has("prev"));
    assert_true(gt_has_address(&out, n));
    n->prev = NULL;
    mm_decref(n);
    gt_close(heap);
}

static void audit_counts_every_failure(void **state)
{
    mm_heap *heap = gt_heap();
    Scene *s[10];
    Node *n[10];
    int i;
    (void)state;
    for (i = 0; i < 10; i++) {
        s[i] = mm_new(heap, Scene);
        n[i] = node(heap, i);
        mm_set(&s[i]->root, n[i]);
        mm_set(&s[i]->camera, n[i]);
        if (i % 2) mm__count_set(mm__header_of(n[i]), 1);
    }
    out_reset();
    assert_int_equal(mm_audit(heap, gt_write, &out), 5);
    for (i = 0; i < 10; i++) {
        assert_int_equal(gt_has_address(&out, n[i]), i % 2);
        mm__count_set(mm__header_of(n[i]), 3);
        mm_decref(n[i]);
        mm_decref(s[i]);
    }
    gt_close(heap);
}

/* ---- the leak report -------------------------------------------------------- */

typedef struct Leaks {
    mm_leak line[16];
    size_t count;
} Leaks;

static void note_leak(const mm_leak *leak, void *user)
{
    Leaks *leaks = user;
    assert_in_range(leaks->count, 0, 15);
    leaks->line[leaks->count++] = *leak;
}

static const mm_leak *leak_of(const Leaks *leaks, const char *type_name)
{
    size_t i;
    for (i = 0; i < leaks->count; i++)
        if (strcmp(leaks->line[i].type_name, type_name) == 0) return &leaks->line[i];
    return NULL;
}

static mm_heap *leaking_heap(Leaks *leaks)
{
    mm_heap_desc desc = gt_desc();
    memset(leaks, 0, sizeof *leaks);
    desc.leak = note_leak;
    desc.user = leaks;
    return gt_heap_with(&desc);
}

static void leak_report_of_a_clean_heap(void **state)
{
    Leaks leaks;
    mm_heap *heap = leaking_heap(&leaks);
    (void)state;
    mm_decref(plain_ring(heap, 50, 0)); /* garbage is no leak */
    assert_int_equal(mm_heap_destroy(heap), 0);
    assert_int_equal(leaks.count, 0);
    assert_int_equal(gt.logs[MM_LOG_WARNING] + gt.logs[MM_LOG_BUG], 0);
}

static void leak_report_names_types_and_holders(void **state)
{
    Leaks leaks;
    mm_heap *heap = leaking_heap(&leaks);
    Scene *s = mm_new(heap, Scene), *t = mm_new(heap, Scene);
    Node *n = node(heap, 1);
    const mm_leak *leak;
    (void)state;
    mm_incref(s); /* s is held twice, t once, the nodes by them */
    s->root = n;
    n->next = node(heap, 2);
    mm_set(&n->next->prev, n);
    mm_set(&t->root, n);
    assert_non_null(mm_alloc(heap, 100));
    assert_non_null(mm_alloc(heap, 5000000));
    assert_int_equal(mm_heap_destroy(heap), 2);
    leak = leak_of(&leaks, "Scene");
    assert_non_null(leak);
    assert_int_equal(leak->objects, 2);
    assert_int_equal(leak->held, 2);
    assert_int_equal(leak->refs, 3);
    assert_true(leak->bytes >= 2 * sizeof(Scene));
    assert_true(leak->example == s || leak->example == t);
    leak = leak_of(&leaks, "Node");
    assert_non_null(leak);
    assert_int_equal(leak->objects, 2);
    assert_int_equal(leak->held, 0);
    assert_int_equal(leak->refs, 0);
    leak = leak_of(&leaks, "raw memory");
    assert_non_null(leak);
    assert_int_equal(leak->objects, 2);
    assert_true(leak->bytes >= 5000100);
    assert_int_equal(leaks.count, 3);
}

static void leak_report_of_leaves_and_weak_references(void **state)
{
    Leaks leaks;
    mm_heap *heap = leaking_heap(&leaks);
    Text *text = mm_new(heap, Text);
    const mm_leak *leak;
    (void)state;
    text->id = 1;
    mm_incref(text);
    mm_incref(text);
    assert_int_equal(mm_heap_destroy(heap), 1);
    leak = leak_of(&leaks, "Text");
    assert_non_null(leak);
    assert_int_equal(leak->held, 1);
    assert_int_equal(leak->refs, 3);
    assert_ptr_equal(leak->example, text);
    assert_int_equal(gt.disposed[1], 1); /* its disposer ran all the same */
}

static void leak_report_goes_to_the_log(void **state)
{
    mm_heap *heap = gt_heap();
    Scene *s = mm_new(heap, Scene);
    (void)state;
    assert_non_null(s);
    assert_int_equal(mm_heap_destroy(heap), 1);
    assert_true(gt.logs[MM_LOG_WARNING] >= 1);
    assert_non_null(strstr(gt.last_log, "Scene"));
}

static mm_handle leaked_handle;
static mm_heap *leaked_heap;
static int looked;

static void look_dispose(void *object)
{
    (void)object;
    assert_null(mm_handle_borrow(leaked_heap, leaked_handle));
    looked++;
}

typedef struct Looker {
    void *other;
} Looker;
MM_TYPE(Looker, MM_REF(Looker, other))

static void weakly_dead_before_the_first_disposer(void **state)
{
    Looker *a, *b;
    (void)state;
    mm_typeof(Looker)->dispose = look_dispose;
    leaked_heap = gt_heap();
    looked = 0;
    a = mm_new(leaked_heap, Looker);
    b = mm_new(leaked_heap, Looker);
    leaked_handle = mm_handle_of(a);
    mm_set(&a->other, b);
    mm_set(&b->other, a);
    assert_int_equal(mm_heap_destroy(leaked_heap), 2);
    assert_int_equal(looked, 2);
}

static void destroy_of_nothing(void **state)
{
    (void)state;
    assert_int_equal(mm_heap_destroy(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holders_of_what_is_held_directly),
        cmocka_unit_test(holders_name_types_fields_and_addresses),
        cmocka_unit_test(holders_finds_the_shortest_chain),
        cmocka_unit_test(holders_through_arrays_and_hooks),
        cmocka_unit_test(holders_of_garbage),
        cmocka_unit_test(holders_of_an_immortal),
        cmocka_unit_test(holders_in_a_large_heap),
        cmocka_unit_test(cycles_by_length),
        cmocka_unit_test(cycle_that_the_object_only_leads_to),
        cmocka_unit_test(reports_without_memory),
        cmocka_unit_test(audit_of_a_sound_heap),
        cmocka_unit_test(G39_audit_finds_counts_too_low),
        cmocka_unit_test(audit_finds_counts_too_high),
        cmocka_unit_test(audit_finds_a_slot_of_the_wrong_type),
        cmocka_unit_test(audit_finds_an_object_of_another_heap),
        cmocka_unit_test(audit_finds_a_freed_object),
        cmocka_unit_test(audit_counts_every_failure),
        cmocka_unit_test(leak_report_of_a_clean_heap),
        cmocka_unit_test(leak_report_names_types_and_holders),
        cmocka_unit_test(leak_report_of_leaves_and_weak_references),
        cmocka_unit_test(leak_report_goes_to_the_log),
        cmocka_unit_test(weakly_dead_before_the_first_disposer),
        cmocka_unit_test(destroy_of_nothing),
    };
    return cmocka_run_group_tests_name("diagnose", tests, NULL, NULL);
}
