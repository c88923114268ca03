/* test_ds.c - the private stb_ds: vectors and maps, with memory that runs out.

   Invariants V1 to V5 of the room: nothing is lost when a request fails, a reserved
   put and a deletion ask for nothing, every search ends, keys that stb_ds's own hash
   cannot tell apart are no slower than others. */
#define MEMMGR_IMPLEMENTATION
#include "testing.h"

typedef struct Store {
    size_t live, requests, fail_at; /* fail_at 0: never */
} Store;

static void *store_resize(void *user, void *p, size_t old_size, size_t size)
{
    Store *store = (Store *)user;
    void  *q;
    if (size == 0) {
        store->live -= old_size;
        free(p);
        return NULL;
    }
    store->requests++;
    if (store->fail_at != 0 && store->requests >= store->fail_at) return NULL;
    q = realloc(p, size);
    assert_non_null(q);
    assert_true(test_aligned(q, 16));
    store->live += size - old_size;
    return q;
}

static mm__ds store_ds(Store *store)
{
    mm__ds ds;
    memset(store, 0, sizeof *store);
    ds.resize = store_resize;
    ds.user = store;
    ds.seed = UINT64_C(0x1234567890ABCDEF);
    return ds;
}

static mm__map empty_map(mm__ds *ds)
{
    mm__map map;
    map.ds = ds;
    map.slots = NULL;
    return map;
}

typedef struct Point {
    double x;
    void  *p;
} Point;

static bool push(mm__ds *ds, Point **v, Point item)
{
    void *room = mm__vec_add(ds, v, sizeof **v);
    if (room != NULL) memcpy(room, &item, sizeof item);
    return room != NULL;
}

static void a_vector_grows_and_shrinks(void **state)
{
    Store  store;
    mm__ds ds = store_ds(&store);
    Point *v = NULL, item = {0.5, NULL};
    size_t i;
    (void)state;
    assert_int_equal(mm__vec_len(v), 0);
    for (i = 0; i < 1000; i++) {
        item.x = (double)i;
        assert_true(push(&ds, &v, item));
        assert_int_equal(mm__vec_len(v), i + 1);
    }
    for (i = 0; i < 1000; i++) assert_true((size_t)v[i].x == i);
    assert_true((size_t)v[mm__vec_pop(v)].x == 999);
    mm__vec_cut(v, 10);
    mm__vec_cut(v, 20); /* it is shorter already */
    assert_int_equal(mm__vec_len(v), 10);
    mm__vec_free(&v);
    mm__vec_free(&v);
    assert_null(v);
    assert_int_equal(store.live, 0);
}

static void a_vector_refuses_absurd_sizes(void **state)
{
    Store  store;
    mm__ds ds = store_ds(&store);
    Point *v = NULL;
    (void)state;
    assert_false(mm__vec_reserve(&ds, &v, sizeof *v, SIZE_MAX));
    assert_false(mm__vec_reserve(&ds, &v, sizeof *v, SIZE_MAX / sizeof *v));
    assert_null(v);
    assert_true(mm__vec_reserve(&ds, &v, sizeof *v, 5));
    assert_false(mm__vec_reserve(&ds, &v, sizeof *v, SIZE_MAX - 2));
    mm__vec_free(&v);
    assert_int_equal(store.live, 0);
}

/* The k-th request and all later ones fail: what was there is there, no more. */
static void nothing_is_lost_when_memory_runs_out(void **state)
{
    size_t k, i;
    bool   failed = true;
    (void)state;
    for (k = 1; failed; k++) {
        Store   store;
        mm__ds  ds = store_ds(&store);
        mm__map map = empty_map(&ds);
        Point  *v = NULL, item = {1, NULL};
        size_t  items = 0, length = 0;
        failed = false;
        store.fail_at = k;
        for (i = 0; i < 300; i++) {
            uint64_t key = (uint64_t)i << 32;
            bool     put = mm__map_put(&map, key, i), pushed = push(&ds, &v, item);
            items += put;
            length += pushed;
            failed = failed || !put || !pushed;
            assert_true(mm__map_get(&map, key, NULL) == put);
            assert_int_equal(mm__map_len(&map), items);
            assert_int_equal(mm__vec_len(v), length);
            assert_true(mm__check_map(&map));
        }
        mm__map_free(&map);
        mm__vec_free(&v);
        assert_int_equal(store.live, 0);
    }
    assert_true(k > 10);
}

static void deleting_never_asks_for_memory(void **state)
{
    Store    store;
    mm__ds   ds = store_ds(&store);
    mm__map  map = empty_map(&ds);
    uint64_t key, value;
    size_t   i;
    (void)state;
    assert_false(mm__map_del(&map, 1));
    for (i = 0; i < 5000; i++) assert_true(mm__map_put(&map, i * 7, i));
    store.fail_at = 1;
    for (i = mm__map_len(&map); i-- > 0;) {
        mm__map_at(&map, i, &key, &value);
        assert_int_equal(key, value * 7);
        if (value % 5 == 0) continue;
        assert_true(mm__map_del(&map, key));
        assert_false(mm__map_del(&map, key));
    }
    assert_int_equal(mm__map_len(&map), 1000);
    assert_true(mm__check_map(&map));
    for (i = 0; i < 5000; i += 5) /* a key that is there needs nothing either */
        assert_true(mm__map_put(&map, i * 7, 1));
    mm__map_free(&map);
    assert_int_equal(store.live, 0);
}

static void a_reserved_put_never_asks_for_memory(void **state)
{
    Store   store;
    mm__ds  ds = store_ds(&store);
    mm__map map = empty_map(&ds);
    size_t  i;
    (void)state;
    for (i = 0; i < 100; i++) assert_true(mm__map_put(&map, i, i));
    assert_true(mm__map_reserve(&map, 10000));
    store.fail_at = 1;
    for (i = 100; i < 10100; i++) assert_true(mm__map_put(&map, i, i));
    assert_false(mm__map_reserve(&map, SIZE_MAX));
    assert_false(mm__map_reserve(&map, SIZE_MAX / 64));
    assert_true(mm__check_map(&map));
    mm__map_free(&map);
    assert_int_equal(store.live, 0);
}

/* Put and delete one key for ever: deleted places must not fill the index. */
static void deleted_places_do_not_pile_up(void **state)
{
    Store   store;
    mm__ds  ds = store_ds(&store);
    mm__map map = empty_map(&ds);
    size_t  i, rounds = test_rounds(200000);
    (void)state;
    for (i = 0; i < rounds; i++) {
        assert_true(mm__map_put(&map, i, i));
        assert_false(mm__map_get(&map, i + 1, NULL));
        assert_true(mm__map_del(&map, i));
    }
    assert_int_equal(mm__map_len(&map), 0);
    assert_true(store.live < 4096);
    mm__map_free(&map);
}

static void a_map_agrees_with_a_table(void **state)
{
    enum { KEYS = 4096 };
    static uint64_t values[KEYS];
    static bool     present[KEYS];
    Store    store;
    mm__ds   ds = store_ds(&store);
    mm__map  map = empty_map(&ds);
    uint64_t chance = 7, value;
    size_t   i, count = 0, rounds = test_rounds(1000000);
    (void)state;
    for (i = 0; i < rounds; i++) {
        uint64_t r = test_random(&chance);
        size_t   k = (size_t)(r % (i / 50000 % 2 ? KEYS : 64));
        uint64_t key = k * UINT64_C(0x8000000080000001);
        if (r >> 62 <= 1) {
            assert_true(mm__map_put(&map, key, r));
            count += !present[k];
            present[k] = true;
            values[k] = r;
        } else if (r >> 62 == 2) {
            assert_true(mm__map_del(&map, key) == present[k]);
            count -= present[k];
            present[k] = false;
        } else {
            assert_true(mm__map_get(&map, key, &value) == present[k]);
            if (present[k]) assert_true(value == values[k]);
        }
        assert_int_equal(mm__map_len(&map), count);
        if (i % 9973 == 0) assert_true(mm__check_map(&map));
    }
    mm__map_free(&map);
    assert_int_equal(store.live, 0);
}

/* Keys that differ only above a set bit 31 have one hash in stb_ds itself. */
static void keys_are_mixed_and_come_back(void **state)
{
    Store    store;
    mm__ds   ds = store_ds(&store);
    mm__map  map = empty_map(&ds);
    uint64_t chance = 1, key, value, low[64];
    size_t   i, j, same = 0;
    (void)state;
    for (i = 0; i < 64; i++) {
        uint64_t mixed = mm__map_mix(&map, (uint64_t)i << 32 | UINT64_C(0x80000000));
        low[i] = mixed & UINT32_MAX;
        for (j = 0; j < i; j++) same += low[i] == low[j];
    }
    assert_int_equal(same, 0);
    for (i = 0; i < 1000; i++) {
        key = test_random(&chance);
        assert_true(mm__map_unmix(&map, mm__map_mix(&map, key)) == key);
        assert_true(mm__map_put(&map, key, ~key));
    }
    for (i = 0; i < mm__map_len(&map); i++) {
        mm__map_at(&map, i, &key, &value);
        assert_true(value == ~key);
    }
    mm__map_free(&map);
    assert_int_equal(store.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vector_grows_and_shrinks),
        cmocka_unit_test(a_vector_refuses_absurd_sizes),
        cmocka_unit_test(nothing_is_lost_when_memory_runs_out),
        cmocka_unit_test(deleting_never_asks_for_memory),
        cmocka_unit_test(a_reserved_put_never_asks_for_memory),
        cmocka_unit_test(deleted_places_do_not_pile_up),
        cmocka_unit_test(a_map_agrees_with_a_table),
        cmocka_unit_test(keys_are_mixed_and_come_back),
    };
    return cmocka_run_group_tests_name("ds", tests, NULL, NULL);
}
