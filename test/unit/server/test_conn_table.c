/* server/conn_table: connections by handle, against an array; handles that come back late. */
#include "server/conn_table.h"

#include "base/mem.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#define CONNS 300u /* makes a table of 64 grow three times */

/* Never looked into. */
static struct conn *conn_nth(uint64_t *places, unsigned i)
{
    return (struct conn *)(void *)&places[i];
}

static void each_is_found_in_its_slot_until_it_goes(void **state)
{
    (void)state;
    static uint64_t places[CONNS];
    static uint64_t handles[CONNS]; /* 0: not there; generations begin with 1 */
    struct conn_table table = {0};
    struct prng prng = {.state = 11};
    unsigned count = 0;
    unsigned most = 0;
    assert_null(conn_table_at(&table, 0));
    for (unsigned step = 0; step < 20000; step++) {
        const unsigned i = (unsigned)prng_below(&prng, CONNS);
        if (handles[i] != 0) {
            assert_ptr_equal(conn_table_at(&table, (uint32_t)handles[i]), conn_nth(places, i));
        }
        const bool comes = prng_below(&prng, 10) < (step / 2000 % 2 == 0 ? 8u : 2u);
        if (comes && handles[i] == 0) {
            assert_int_equal(conn_table_add(&table, conn_nth(places, i), &handles[i]), RC_OK);
            assert_true(handles[i] >> 32 > 0);
            count++;
        } else if (!comes && handles[i] != 0) {
            conn_table_remove(&table, handles[i]);
            assert_null(conn_table_at(&table, (uint32_t)handles[i]));
            handles[i] = 0;
            count--;
        }
        most = count > most ? count : most;
    }
    unsigned seen = 0;
    for (uint32_t slot = 0; slot < conn_table_end(&table); slot++) {
        seen += conn_table_at(&table, slot) != NULL;
    }
    assert_int_equal(seen, count);
    assert_true(most > 128 && conn_table_end(&table) >= most);
    assert_true(conn_table_end(&table) <= 512); /* slots are used again */
    conn_table_deinit(&table);
}

/* What was asked for one connection must not be given to the next one in its slot. */
static void a_handle_is_not_given_again(void **state)
{
    (void)state;
    struct conn_table table = {0};
    uint64_t places[2];
    uint64_t first;
    uint64_t before;
    assert_int_equal(conn_table_add(&table, conn_nth(places, 0), &first), RC_OK);
    conn_table_remove(&table, first);
    before = first;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t handle;
        assert_int_equal(conn_table_add(&table, conn_nth(places, 1), &handle), RC_OK);
        assert_int_equal((uint32_t)handle, (uint32_t)first);
        assert_true(handle > before);
        before = handle;
        /* The caller has bits of its own above. */
        conn_table_remove(&table, handle | UINT64_C(0xFF) << (32 + CONN_GENERATION_BITS));
    }
    conn_table_deinit(&table);
}

static void generations_begin_anew_when_they_are_used_up(void **state)
{
    (void)state;
    struct conn_table table = {0};
    uint64_t place;
    uint64_t handle;
    const uint64_t last = (UINT64_C(1) << CONN_GENERATION_BITS) - 1;
    assert_int_equal(conn_table_add(&table, conn_nth(&place, 0), &handle), RC_OK);
    conn_table_remove(&table, last << 32 | (uint32_t)handle);
    assert_int_equal(conn_table_add(&table, conn_nth(&place, 0), &handle), RC_OK);
    assert_int_equal(handle >> 32, 0);
    assert_ptr_equal(conn_table_at(&table, (uint32_t)handle), conn_nth(&place, 0));
    conn_table_deinit(&table);
}

static void without_memory_for_more_slots_nothing_changes(void **state)
{
    (void)state;
    static uint64_t places[CONNS];
    struct conn_table table = {0};
    uint64_t handle;
    unsigned count = 0;
    mem_fault_set(2, 1); /* the first slots, and no more */
    while (conn_table_add(&table, conn_nth(places, count), &handle) == RC_OK) {
        count++;
    }
    mem_fault_set(0, 0);
    assert_int_equal(count, conn_table_end(&table));
    for (uint32_t slot = 0; slot < count; slot++) {
        assert_ptr_equal(conn_table_at(&table, slot), conn_nth(places, slot));
    }
    assert_int_equal(conn_table_add(&table, conn_nth(places, count), &handle), RC_OK);
    assert_int_equal((uint32_t)handle, count);
    conn_table_deinit(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_found_in_its_slot_until_it_goes),
        cmocka_unit_test(a_handle_is_not_given_again),
        cmocka_unit_test(generations_begin_anew_when_they_are_used_up),
        cmocka_unit_test(without_memory_for_more_slots_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
