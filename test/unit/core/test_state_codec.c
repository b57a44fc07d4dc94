/* Goal: a checkpoint and the log behind it give the state that the whole log gives; a damaged
 * checkpoint is refused and never believed half.
 * Method: a history with everything in it, cut at each position; each prefix and each changed byte
 * of its state. */
#include "world.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Ends with a hole that is open in the log, settings, an epoch ended, gaps, runs, expired ones. */
static void history_write(struct world *w)
{
    world_init(w);
    w->settings = (struct command_settings){.retention_messages = 40, .producer_idle_ms = 5000};
    world_restart(w, 0);
    const char *const channels[] = {"alpha", "b", "c"};
    const char *const producers[] = {"p1", "p2", "quite-a-long-producer-id", NULL};
    uint64_t numbers[3][4] = {0};
    for (unsigned i = 0; i < 60; i++) {
        const unsigned c = i * 7 % 3;
        const unsigned p = i * i % 11 % 4;
        const uint32_t count = i % 5 == 0 ? 3 : 0;
        numbers[c][p] += count == 0 ? 1 : count;
        (void)world_publish(
            w, (struct world_publish){
                   .channel = channels[c],
                   .producer = producers[p],
                   .epoch = producers[p] != NULL ? 1 : 0,
                   .seq = producers[p] == NULL ? 0 : numbers[c][p] + 1 - (count == 0 ? 1 : count),
                   .count = count,
               });
        w->now_ms += i == 30 ? 6000 : 50;
        if (i == 20) {
            world_trim(w, "b", 4);
        }
        if (i == 40) {
            world_restart(w, DOUBT_ALL);
        }
    }
    world_cut(w, 50, 53);
}

static void a_checkpoint_at_any_position_and_the_rest_give_the_same_state(void **state)
{
    (void)state;
    struct world w;
    history_write(&w);
    assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
    const uint64_t hash = world_state_hash(&w);
    const size_t log_size = w.log.size;
    for (size_t at = 0; at < log_size;) {
        struct record record;
        assert_int_equal(record_decode(bytes_of(w.log.data + at, log_size - at), &record), RC_OK);
        /* Cut the log at the record: the state there is the checkpoint. */
        w.log.size = at;
        assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
        struct buf checkpoint = {0};
        struct buf again = {0};
        assert_int_equal(partition_state_encode(w.partition, &checkpoint), RC_OK);
        w.log.size = log_size;
        assert_int_equal(world_recover(&w, record.pos, buf_bytes(&checkpoint)), RC_OK);
        assert_true(world_state_hash(&w) == hash);
        /* And a checkpoint read back is itself. */
        w.log.size = at;
        assert_int_equal(world_recover(&w, record.pos, buf_bytes(&checkpoint)), RC_OK);
        assert_int_equal(partition_state_encode(w.partition, &again), RC_OK);
        assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&checkpoint)));
        w.log.size = log_size;
        buf_deinit(&checkpoint);
        buf_deinit(&again);
        at += record.size;
    }
    world_deinit(&w);
}

/* The checkpoint's bytes, in a block of their own so that a read past the end is seen. */
static enum rc restore(struct world *w, struct bytes state)
{
    const uint64_t pos = w->next_pos;
    uint8_t *block = mem_alloc(state.size > 0 ? state.size : 1);
    assert_non_null(block);
    bytes_copy(block, state.data, state.size);
    partition_close(w->partition);
    w->partition = NULL;
    w->log.size = 0;
    assert_int_equal(world_recover(w, 0, (struct bytes){0}), RC_OK);
    const enum rc rc = partition_restore(w->partition, pos, bytes_of(block, state.size));
    mem_free(block);
    return rc;
}

static void a_damaged_checkpoint_is_refused_or_is_another_whole_one(void **state)
{
    (void)state;
    struct world w;
    history_write(&w);
    assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
    struct buf good = {0};
    assert_int_equal(partition_state_encode(w.partition, &good), RC_OK);
    for (size_t size = 0; size < good.size; size++) {
        assert_int_equal(restore(&w, bytes_of(good.data, size)), RC_CORRUPT);
    }
    size_t refused = 0;
    for (size_t i = 0; i < good.size; i++) {
        for (unsigned bit = 0; bit < 8; bit += 3) {
            good.data[i] ^= (uint8_t)(1u << bit);
            const enum rc rc = restore(&w, buf_bytes(&good));
            if (rc == RC_OK) { /* a value that may be so: then it is encoded as it was read */
                struct buf again = {0};
                assert_int_equal(partition_state_encode(w.partition, &again), RC_OK);
                assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&good)));
                buf_deinit(&again);
            } else {
                assert_int_equal(rc, RC_CORRUPT);
                refused++;
            }
            good.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    assert_true(refused > good.size / 4);
    /* Something behind the end, and another partition's number. */
    assert_int_equal(buf_append(&good, BYTES_LITERAL("\0")), RC_OK);
    assert_int_equal(restore(&w, buf_bytes(&good)), RC_CORRUPT);
    good.size--;
    assert_int_equal(restore(&w, buf_bytes(&good)), RC_OK);
    good.data[4] ^= 1;
    assert_int_equal(restore(&w, buf_bytes(&good)), RC_CORRUPT);
    good.data[4] ^= 1;
    assert_int_equal(restore(&w, buf_bytes(&good)), RC_OK);
    good.data[3] = '1'; /* the format before, without digests */
    assert_int_equal(restore(&w, buf_bytes(&good)), RC_CORRUPT);
    buf_deinit(&good);
    world_deinit(&w);
}

static void every_failing_allocation_of_a_restore_is_survived(void **state)
{
    (void)state;
    struct world w;
    history_write(&w);
    assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
    struct buf good = {0};
    for (uint64_t k = 1;; k++) {
        mem_fault_set(k, 0);
        buf_deinit(&good);
        const enum rc rc = partition_state_encode(w.partition, &good);
        const bool failed = mem_fault_count() >= k;
        mem_fault_set(0, 0);
        assert_int_equal(rc, failed ? RC_NOMEM : RC_OK);
        if (!failed) {
            break;
        }
    }
    w.log.size = 0;
    for (uint64_t k = 1;; k++) {
        mem_fault_set(k, 0);
        const enum rc rc = world_recover(&w, w.next_pos, buf_bytes(&good));
        const bool failed = mem_fault_count() >= k;
        mem_fault_set(0, 0);
        assert_int_equal(rc, failed ? RC_NOMEM : RC_OK);
        if (!failed) {
            break;
        }
    }
    buf_deinit(&good);
    world_deinit(&w);
}

/* Records of the log that are not what apply knows, and positions that go back. */
static void a_record_that_is_no_command_is_refused(void **state)
{
    (void)state;
    struct world w;
    history_write(&w);
    assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
    const uint64_t hash = world_state_hash(&w);
    const uint8_t garbage[16] = {1, 2, 3, [12] = 1};
    const enum record_type types[] = {RECORD_PUBLISH, RECORD_TRIM, RECORD_DOUBT, RECORD_HOLE,
                                      (enum record_type)6};
    struct record record = {.partition = 3, .pos = w.next_pos};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        record.type = types[i];
        record.body = bytes_of(garbage, sizeof(garbage));
        assert_int_equal(partition_replay(w.partition, &record, (struct log_place){0}), RC_CORRUPT);
        record.body = (struct bytes){0};
        assert_int_equal(partition_replay(w.partition, &record, (struct log_place){0}), RC_CORRUPT);
    }
    record.type = RECORD_SETTINGS;
    record.body = bytes_of(garbage, sizeof(garbage));
    record.pos = w.next_pos - 1;
    assert_int_equal(partition_replay(w.partition, &record, (struct log_place){0}), RC_CORRUPT);
    record.pos = UINT64_MAX;
    assert_int_equal(partition_replay(w.partition, &record, (struct log_place){0}), RC_CORRUPT);
    assert_true(world_state_hash(&w) == hash);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checkpoint_at_any_position_and_the_rest_give_the_same_state),
        cmocka_unit_test(a_damaged_checkpoint_is_refused_or_is_another_whole_one),
        cmocka_unit_test(every_failing_allocation_of_a_restore_is_survived),
        cmocka_unit_test(a_record_that_is_no_command_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
