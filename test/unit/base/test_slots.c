/* base/slots: the table against a naive model, through growth in steps, removal and failing
 * allocations.
 *
 * Method: a fixed universe of keys; a bool per key is the oracle. Hashes of few bits give probe
 * runs that collide, wrap around the end and shift back; each step is checked while a table is
 * moved over as well as after. That no insertion moves much is counted, not timed. */
#include "base/slots.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define KEY_COUNT 600u

static bool present[KEY_COUNT + 1];
static unsigned hash_bits;

/* Keys are numbers; their hash has as many bits as the test wants. */
static uint32_t hash_of(uint32_t key)
{
    const uint32_t mixed = key * 0x9E3779B1u;
    return hash_bits == 32 ? mixed : mixed >> (32 - hash_bits);
}

static bool match(const void *ctx, uint32_t number, const void *key)
{
    assert_ptr_equal(ctx, present);
    assert_true(number >= 1 && number <= KEY_COUNT);
    return number == *(const uint32_t *)key;
}

static uint32_t find(const struct slots *slots, uint32_t key)
{
    return slots_find(slots, hash_of(key), match, present, &key);
}

static void table_matches_model(const struct slots *slots)
{
    size_t count = 0;
    for (uint32_t key = 1; key <= KEY_COUNT; key++) {
        count += present[key];
        assert_int_equal(find(slots, key), present[key] ? key : 0);
    }
    assert_int_equal(slots_count(slots), count);
    bool seen[KEY_COUNT + 1] = {false};
    size_t at = 0;
    for (uint32_t n = slots_next(slots, &at); n != 0; n = slots_next(slots, &at)) {
        assert_true(present[n]);
        assert_false(seen[n]);
        seen[n] = true;
        count--;
    }
    assert_int_equal(count, 0);
}

static void toggle(struct slots *slots, uint32_t key)
{
    if (present[key]) {
        slots_remove(slots, hash_of(key), key);
    } else {
        assert_int_equal(slots_insert(slots, hash_of(key), key), RC_OK);
    }
    present[key] = !present[key];
}

static void random_changes_match_a_model(void **state)
{
    (void)state;
    const unsigned bits[] = {32, 10, 5, 2};
    for (unsigned i = 0; i < 4; i++) {
        hash_bits = bits[i];
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct prng prng = {.state = seed};
            struct slots slots = {0};
            bytes_zero(present, sizeof(present));
            const uint64_t universe = prng_below(&prng, KEY_COUNT) + 1;
            for (unsigned n = 0; n < 700; n++) {
                toggle(&slots, (uint32_t)prng_below(&prng, universe) + 1);
                if (n % 7 == 0) {
                    table_matches_model(&slots);
                }
            }
            table_matches_model(&slots);
            slots_deinit(&slots);
        }
    }
}

/* Every state of a move: insertions one by one, each followed by a whole comparison; then removals
 * in the middle of one. */
static void what_is_being_moved_over_is_found_and_removed(void **state)
{
    (void)state;
    hash_bits = 32;
    bytes_zero(present, sizeof(present));
    struct slots slots = {0};
    for (uint32_t key = 1; key <= KEY_COUNT; key++) {
        toggle(&slots, key);
        table_matches_model(&slots);
    }
    assert_null(slots.old_);
    slots_deinit(&slots);
    bytes_zero(present, sizeof(present));
    uint32_t key = 1;
    while (slots.old_ == NULL || slots.old_capacity_ < 256) {
        toggle(&slots, key++);
    }
    for (uint32_t gone = 1; gone < key; gone += 2) {
        toggle(&slots, gone); /* from both tables */
        table_matches_model(&slots);
    }
    assert_non_null(slots.old_); /* removals move nothing */
    for (uint32_t back = 1; back < key; back += 2) {
        toggle(&slots, back);
        table_matches_model(&slots);
    }
    slots_deinit(&slots);
}

static void one_insertion_moves_little(void **state)
{
    (void)state;
    hash_bits = 32;
    struct slots slots = {0};
    for (uint32_t key = 1; key < 200000; key++) {
        const uint64_t *old = slots.old_;
        const size_t moved = slots.moved_;
        assert_int_equal(slots_insert(&slots, hash_of(key), key), RC_OK);
        if (old != NULL && slots.old_ != NULL) {
            assert_ptr_equal(slots.old_, old); /* no table grows while one is moved over */
            assert_true(slots.moved_ - moved <= 8);
        }
    }
    slots_deinit(&slots);
}

static void room_that_was_reserved_is_not_moved(void **state)
{
    (void)state;
    hash_bits = 32;
    bytes_zero(present, sizeof(present));
    struct slots slots = {0};
    assert_int_equal(slots_reserve(&slots, 0), RC_OK);
    assert_int_equal(slots_reserve(&slots, KEY_COUNT), RC_OK);
    assert_int_equal(slots_reserve(&slots, 10), RC_OK);
    const size_t capacity = slots.capacity_;
    for (uint32_t key = 1; key <= KEY_COUNT; key++) {
        toggle(&slots, key);
        assert_null(slots.old_);
    }
    assert_int_equal(slots.capacity_, capacity);
    table_matches_model(&slots);
    slots_deinit(&slots);
}

static void out_of_memory_changes_nothing(void **state)
{
    (void)state;
    hash_bits = 32;
    bytes_zero(present, sizeof(present));
    struct slots slots = {0};
    unsigned failures = 0;
    for (uint32_t key = 1; key <= KEY_COUNT; key++) {
        mem_fault_set(1, 1);
        const enum rc rc = slots_insert(&slots, hash_of(key), key);
        mem_fault_set(0, 0);
        if (rc == RC_OK) {
            present[key] = true;
        } else {
            assert_int_equal(rc, RC_NOMEM);
            failures++;
            table_matches_model(&slots);
            toggle(&slots, key);
        }
    }
    assert_int_equal(failures, 8); /* 8, 16, … 1024 slots */
    table_matches_model(&slots);
    slots_deinit(&slots);
    mem_fault_set(1, 0);
    assert_int_equal(slots_reserve(&slots, 100), RC_NOMEM);
    mem_fault_set(0, 0);
    assert_int_equal(slots_reserve(&slots, SIZE_MAX), RC_NOMEM);
    slots_deinit(&slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_match_a_model),
        cmocka_unit_test(what_is_being_moved_over_is_found_and_removed),
        cmocka_unit_test(one_insertion_moves_little),
        cmocka_unit_test(room_that_was_reserved_is_not_moved),
        cmocka_unit_test(out_of_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
