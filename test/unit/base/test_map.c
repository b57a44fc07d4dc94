/* base/map: the table against a naive model, through growth, deletion and failing allocations.
 * Method: a fixed universe of keys; a bool per key is the oracle. Many seeds over small universes
 * give probe runs that collide, wrap around the end and shift back. */
#include "base/map.h"

#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define KEY_COUNT 700

struct entry {
    char name[16];
    size_t name_size;
    bool present;
    unsigned seen;
};

static struct entry entries[KEY_COUNT];

static struct bytes entry_key(const void *value)
{
    const struct entry *entry = value;
    return bytes_of(entry->name, entry->name_size);
}

static void entries_reset(void)
{
    for (unsigned i = 0; i < KEY_COUNT; i++) {
        entries[i] = (struct entry){0};
        /* Key 0 is the empty string: legal, and the odd one out. */
        if (i > 0) {
            (void)snprintf(entries[i].name, sizeof(entries[i].name), "key-%u", i);
        }
        entries[i].name_size = strlen(entries[i].name);
    }
}

/* Every key is found exactly if the model has it; iteration gives each present one once. */
static void map_matches_model(const struct map *map)
{
    size_t present = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        entries[i].seen = 0;
        present += entries[i].present ? 1 : 0;
        void *found = map_find(map, entry_key(&entries[i]));
        assert_ptr_equal(found, entries[i].present ? &entries[i] : NULL);
    }
    assert_int_equal(map_count(map), present);
    size_t at = 0;
    for (struct entry *e = map_next(map, &at); e != NULL; e = map_next(map, &at)) {
        assert_true(e->present);
        assert_int_equal(++e->seen, 1);
        present--;
    }
    assert_int_equal(present, 0);
}

static void random_step(struct map *map, struct prng *prng, uint64_t key_count)
{
    struct entry *entry = &entries[prng_below(prng, key_count)];
    if (!entry->present) {
        assert_int_equal(map_insert(map, entry), RC_OK);
        entry->present = true;
    } else {
        assert_ptr_equal(map_remove(map, entry_key(entry)), entry);
        entry->present = false;
    }
}

static void an_empty_map_finds_and_removes_nothing(void **state)
{
    (void)state;
    struct map map;
    map_init(&map, 1, entry_key);
    size_t at = 0;
    assert_null(map_find(&map, BYTES_LITERAL("a")));
    assert_null(map_remove(&map, BYTES_LITERAL("a")));
    assert_null(map_next(&map, &at));
    assert_int_equal(map_count(&map), 0);
    map_deinit(&map);
}

static void it_agrees_with_the_model_for_every_size_of_universe(void **state)
{
    (void)state;
    const uint64_t universes[] = {1, 3, 6, 20, 100, KEY_COUNT};
    for (size_t u = 0; u < sizeof(universes) / sizeof(universes[0]); u++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            struct prng prng = {.state = seed + 100 * u};
            struct map map;
            entries_reset();
            map_init(&map, seed, entry_key);
            for (unsigned step = 0; step < 3000; step++) {
                random_step(&map, &prng, universes[u]);
                if (step % 97 == 0) {
                    map_matches_model(&map);
                }
            }
            map_matches_model(&map);
            map_deinit(&map);
        }
    }
}

static void removing_everything_leaves_a_map_that_still_works(void **state)
{
    (void)state;
    struct map map;
    entries_reset();
    map_init(&map, 42, entry_key);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < KEY_COUNT; i++) {
            assert_int_equal(map_insert(&map, &entries[i]), RC_OK);
            entries[i].present = true;
        }
        map_matches_model(&map);
        for (size_t i = 0; i < KEY_COUNT; i++) {
            assert_ptr_equal(map_remove(&map, entry_key(&entries[i])), &entries[i]);
            entries[i].present = false;
        }
        map_matches_model(&map);
    }
    map_deinit(&map);
}

static void a_missing_key_is_not_removed_from_a_full_table(void **state)
{
    (void)state;
    struct map map;
    entries_reset();
    map_init(&map, 3, entry_key);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(map_insert(&map, &entries[i]), RC_OK);
        entries[i].present = true;
    }
    assert_null(map_remove(&map, BYTES_LITERAL("no such key")));
    map_matches_model(&map);
    map_deinit(&map);
}

/* The k-th allocation fails, for every k until none does: each insertion is either there or not,
 * and one that failed works when tried again. */
static void every_failing_allocation_leaves_the_map_unchanged(void **state)
{
    (void)state;
    uint64_t refused = 0;
    for (uint64_t k = 1;; k++) {
        struct map map;
        entries_reset();
        map_init(&map, k, entry_key);
        mem_fault_set(k, 0);
        uint64_t refused_now = 0;
        for (size_t i = 0; i < KEY_COUNT; i++) {
            enum rc rc = map_insert(&map, &entries[i]);
            if (rc == RC_NOMEM) {
                refused_now++;
                map_matches_model(&map);
                rc = map_insert(&map, &entries[i]);
            }
            assert_int_equal(rc, RC_OK);
            entries[i].present = true;
        }
        mem_fault_set(0, 0);
        map_matches_model(&map);
        map_deinit(&map);
        refused += refused_now;
        if (refused_now == 0) {
            break;
        }
        assert_int_equal(refused_now, 1);
    }
    /* 8 … 2048 slots for 700 keys are nine tables; if none was refused, nothing was tested. */
    assert_true(refused >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_finds_and_removes_nothing),
        cmocka_unit_test(it_agrees_with_the_model_for_every_size_of_universe),
        cmocka_unit_test(removing_everything_leaves_a_map_that_still_works),
        cmocka_unit_test(a_missing_key_is_not_removed_from_a_full_table),
        cmocka_unit_test(every_failing_allocation_leaves_the_map_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
