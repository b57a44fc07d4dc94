/* Goal: nothing is told before it is committed (I4); a failed commit leaves no trace; too much is
 * refused; every failing allocation is survived.
 * Method: a world of memory in which the test says when a commit ends, and how. */
#include "world.h"

#include "base/mem.h"
#include "core/snowflake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void publish_ok(struct world *w, struct world_publish publish)
{
    assert_int_equal(world_publish_try(w, publish), RC_OK);
}

static void nothing_is_told_before_the_commit_is_done(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    assert_true(partition_idle(w.partition));
    publish_ok(&w, (struct world_publish){.channel = "a", .tag = 1});
    assert_false(partition_idle(w.partition));
    assert_null(w.lent); /* before the end of the tick */
    partition_flush(w.partition);
    assert_non_null(w.lent);
    publish_ok(&w, (struct world_publish){.channel = "a", .tag = 2});
    publish_ok(&w, (struct world_publish){.channel = "a", .tag = 3});
    partition_flush(w.partition); /* one commit at a time */
    assert_true(w.commit_count == 1);
    assert_true(world_reply_count(&w) == 0 && world_event_count(&w) == 0);
    assert_null(partition_channel_find(w.partition, BYTES_LITERAL("a")));
    assert_true(partition_next_pos(w.partition) == 3 && partition_applied_pos(w.partition) == 0);

    world_commit_done(&w, RC_OK);
    assert_true(world_reply_count(&w) == 1 && world_event_count(&w) == 1);
    assert_true(world_reply_at(&w, 0)->tag.a == 1 && world_reply_at(&w, 0)->tag.c == 9);
    assert_true(world_position(&w, "a").latest == 1);
    assert_true(w.batch_begin_count == 1 && w.batch_end_count == 1 && w.index_count == 1);
    partition_flush(w.partition);
    assert_true(w.lent->end_pos - w.lent->first_pos == 2); /* what came meanwhile is one batch */
    world_commit_done(&w, RC_OK);
    assert_true(world_reply_count(&w) == 3);
    assert_true(world_reply_at(&w, 2)->tag.a == 3 && world_reply_at(&w, 2)->result.seq == 3);
    assert_true(partition_idle(w.partition));
    world_deinit(&w);
}

static void a_failed_commit_is_answered_and_leaves_no_trace(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "a", .tag = 1});
    const uint64_t hash = world_state_hash(&w);
    publish_ok(&w, (struct world_publish){.channel = "a", .tag = 2});
    publish_ok(&w, (struct world_publish){.channel = "new", .tag = 3});
    partition_flush(w.partition);
    publish_ok(&w, (struct world_publish){.channel = "new", .tag = 4});
    publish_ok(&w, (struct world_publish){.channel = "a", .tag = 5});
    world_commit_done(&w, RC_IO);

    assert_true(partition_stopped(w.partition) && partition_idle(w.partition));
    assert_true(world_reply_count(&w) == 5);
    for (size_t i = 1; i < 5; i++) {
        assert_true(world_reply_at(&w, i)->tag.a == i + 1);
        assert_int_equal(world_reply_at(&w, i)->result.verdict, PUBLISH_UNAVAILABLE);
    }
    assert_int_equal(world_reply_at(&w, 3)->channel, 'n');
    assert_true(world_state_hash(&w) == hash);
    assert_true(world_position(&w, "a").latest == 1); /* reading goes on */
    assert_int_equal(world_publish_try(&w, (struct world_publish){.channel = "a"}), RC_UNAVAILABLE);
    partition_flush(w.partition);
    assert_null(w.lent);
    assert_true(partition_applied_hash(w.partition) == w.next_hash);

    partition_resume(w.partition, false);
    assert_true(world_publish(&w, (struct world_publish){.channel = "a"}).seq == 2);
    assert_true(world_publish(&w, (struct world_publish){.channel = "new"}).seq == 1);
    const uint64_t after = world_state_hash(&w);
    world_restart(&w, 0);
    assert_true(world_state_hash(&w) == after);
    world_deinit(&w);
}

/* A publish finds no space; then the log is open for trims. */
static void fill_up(struct world *w)
{
    publish_ok(w, (struct world_publish){.channel = "a"});
    partition_flush(w->partition);
    world_commit_done(w, RC_NOSPACE);
    partition_resume(w->partition, true);
}

/* On a full disk: what makes room, and nothing else. */
static void a_full_log_takes_trims_only(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "a", .count = 9});
    fill_up(&w);
    assert_true(partition_full(w.partition) && !partition_stopped(w.partition));
    assert_int_equal(world_publish_try(&w, (struct world_publish){.channel = "a"}), RC_UNAVAILABLE);
    const struct command_trim_entry entry = {.channel_id = 1, .earliest = 4};
    uint64_t pos;
    assert_int_equal(partition_trim(w.partition, &entry, 1, w.now_ms, &pos), RC_OK);
    partition_flush(w.partition);
    partition_resume(w.partition, false); /* room comes while the trim is under way */
    publish_ok(&w, (struct world_publish){.channel = "a"});
    world_settle(&w);
    assert_false(partition_full(w.partition));
    assert_true(partition_applied_pos(w.partition) > pos);
    assert_true(world_position(&w, "a").earliest == 4);
    assert_true(world_position(&w, "a").latest == 10);

    /* One that fails as well stops it whole. */
    fill_up(&w);
    const struct command_trim_entry next = {.channel_id = 1, .earliest = 5};
    assert_int_equal(partition_trim(w.partition, &next, 1, w.now_ms, &pos), RC_OK);
    partition_flush(w.partition);
    world_commit_done(&w, RC_NOSPACE);
    assert_true(partition_stopped(w.partition) && !partition_full(w.partition));
    assert_int_equal(partition_trim(w.partition, &next, 1, w.now_ms, &pos), RC_UNAVAILABLE);
    assert_true(world_position(&w, "a").earliest == 4);
    world_deinit(&w);
}

/* A log with a channel is recovered, and a start wants a doubt in it, and that many messages kept.
 * Returns the channel's epoch so far. */
static uint64_t start_in_doubt(struct world *w, uint64_t retention_messages)
{
    world_init(w);
    (void)world_publish(w, (struct world_publish){.channel = "a", .count = 9});
    const uint64_t epoch = world_position(w, "a").epoch;
    assert_int_equal(world_recover(w, 0, (struct bytes){0}), RC_OK);
    w->settings.retention_messages = retention_messages;
    assert_int_equal(partition_start(w->partition, w->next_pos, w->next_hash, &w->settings,
                                     DOUBT_ALL, w->now_ms),
                     RC_OK);
    partition_flush(w->partition);
    return epoch;
}

/* A doubt is wanted again where it is all that was wanted, too. */
static void a_doubt_alone_survives_a_failed_commit(void **state)
{
    (void)state;
    struct world w;
    const uint64_t epoch = start_in_doubt(&w, 0);
    world_commit_done(&w, RC_NOSPACE);
    assert_true(partition_doubt_due(w.partition));
    partition_resume(w.partition, false);
    world_settle(&w);
    assert_false(partition_doubt_due(w.partition));
    assert_true(world_position(&w, "a").epoch != epoch);
    world_deinit(&w);
}

static void what_the_start_wants_survives_a_failed_commit(void **state)
{
    (void)state;
    struct world w;
    const uint64_t epoch = start_in_doubt(&w, 3);
    publish_ok(&w, (struct world_publish){.channel = "a"});
    world_commit_done(&w, RC_NOSPACE);
    assert_true(world_position(&w, "a").epoch == epoch);
    partition_resume(w.partition, false);
    assert_false(partition_idle(w.partition));
    world_settle(&w);
    assert_true(world_position(&w, "a").epoch != epoch);
    (void)world_publish(&w, (struct world_publish){.channel = "a"});
    assert_true(world_position(&w, "a").earliest == 8);
    /* What is in the log is not wanted again. */
    const uint64_t after = world_position(&w, "a").epoch;
    publish_ok(&w, (struct world_publish){.channel = "a"});
    partition_flush(w.partition);
    world_commit_done(&w, RC_IO);
    partition_resume(w.partition, false);
    assert_true(partition_idle(w.partition));
    (void)world_publish(&w, (struct world_publish){.channel = "a"});
    assert_true(world_position(&w, "a").epoch == after);
    world_deinit(&w);
}

static void too_much_pending_is_refused_until_a_commit(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_restart(&w, 0);
    w.pending_bytes_max = 4096;
    world_restart(&w, 0);
    /* One alone is always taken, however large. */
    publish_ok(&w, (struct world_publish){.channel = "a", .data_size = 100000});
    const struct world_publish small = {.channel = "a"};
    assert_int_equal(world_publish_try(&w, small), RC_FULL);
    partition_flush(w.partition);
    assert_int_equal(world_publish_try(&w, small), RC_FULL); /* what is under way counts too */
    world_commit_done(&w, RC_OK);
    unsigned count = 0;
    while (world_publish_try(&w, small) == RC_OK) {
        count++;
    }
    assert_true(count > 10 && count < 4096 / RECORD_HEADER_SIZE);
    struct command_trim_entry entries[2] = {{1, 1}, {2, 1}};
    uint64_t pos = 77;
    assert_int_equal(partition_trim(w.partition, entries, 2, w.now_ms, &pos), RC_FULL);
    assert_true(pos == 77);
    world_settle(&w);
    assert_true(world_reply_count(&w) == count + 1);
    world_deinit(&w);
}

/* Out of memory while a committed record is applied: it and those after it are refused, and what
 * came before stands. */
static void a_failing_index_stops_the_partition_in_mid_batch(void **state)
{
    (void)state;
    for (unsigned at = 1; at <= 3; at++) {
        struct world w;
        world_init(&w);
        w.settings.producer_idle_ms = 10;
        world_restart(&w, 0);
        struct world_publish publish = {.channel = "a", .producer = "p", .epoch = 1, .seq = 1};
        (void)world_publish(&w, publish);
        const uint64_t first_pos = w.next_pos;
        w.now_ms += 1000; /* p would expire */
        publish.producer = "q";
        publish_ok(&w, publish);
        publish.seq = 2;
        publish_ok(&w, publish);
        publish.channel = "b";
        publish.seq = 1;
        publish_ok(&w, publish);
        partition_flush(w.partition);
        publish_ok(&w, (struct world_publish){.channel = "c"});
        w.index_fail_at = at;
        world_commit_done(&w, RC_OK);
        assert_true(partition_stopped(w.partition));
        assert_true(partition_applied_pos(w.partition) == first_pos + at - 1);
        assert_true(world_reply_count(&w) == 5);
        for (size_t i = 1; i < 5; i++) {
            assert_int_equal(world_reply_at(&w, i)->result.verdict,
                             i < at ? PUBLISH_ACCEPTED : PUBLISH_UNAVAILABLE);
        }
        /* The log is reopened at the position applied, and is the chain it was. */
        struct record record;
        w.log.size = world_log_at(&w, partition_applied_pos(w.partition));
        w.next_pos = partition_applied_pos(w.partition);
        const size_t last = world_log_at(&w, w.next_pos - 1);
        assert_int_equal(record_decode(bytes_of(w.log.data + last, w.log.size - last), &record),
                         RC_OK);
        w.next_hash = record_hash(bytes_of(w.log.data + last, record.size));
        assert_true(partition_applied_hash(w.partition) == w.next_hash);
        const uint64_t hash = world_state_hash(&w);
        partition_resume(w.partition, false);
        publish.channel = "a";
        publish.seq = at;
        assert_int_equal(world_publish(&w, publish).verdict, PUBLISH_ACCEPTED);
        w.log.size = last + record.size;
        assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
        assert_true(world_state_hash(&w) == hash);
        world_deinit(&w);
    }
}

static void a_failed_commit_takes_back_the_time_it_was_stamped_with(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const uint64_t now_ms = w.now_ms;
    (void)world_publish(&w, (struct world_publish){.channel = "a"});
    w.now_ms += 3600000;
    publish_ok(&w, (struct world_publish){.channel = "a"});
    partition_flush(w.partition);
    world_commit_done(&w, RC_NOSPACE);
    partition_resume(w.partition, false);
    w.now_ms = now_ms + 5;
    (void)world_publish(&w, (struct world_publish){.channel = "a"});
    assert_true(world_event_at(&w, 1)->time_ms == now_ms + 5);
    world_deinit(&w);
}

/* A little of everything; true if it went through, false if it ran out of memory on its way. */
static bool everything(struct world *w)
{
    const struct world_publish publishes[] = {
        {.channel = "a", .producer = "p", .epoch = 1, .seq = 1},
        {.channel = "a", .producer = "q", .epoch = 1, .seq = 1, .count = 3},
        {.channel = "b", .producer = "p", .epoch = 1, .seq = 5},
        {.channel = "b"},
        {.channel = "a", .producer = "p", .epoch = 1, .seq = 2},
        {.channel = "a", .producer = "q", .epoch = 1, .seq = 4},
        {.channel = "a", .producer = "p", .epoch = 1, .seq = 3},
    };
    for (size_t i = 0; i < sizeof(publishes) / sizeof(publishes[0]); i++) {
        if (world_publish_try(w, publishes[i]) != RC_OK) {
            return false;
        }
        partition_flush(w->partition);
        if (w->lent != NULL) {
            world_commit_done(w, RC_OK);
        }
        if (partition_stopped(w->partition)) {
            return false;
        }
    }
    return true;
}

/* Each allocation in turn fails, of the publishes and of the recovery; afterwards the partition is
 * what its log says. */
static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    uint64_t failures = 0;
    for (uint64_t k = 1;; k++) {
        struct world w;
        world_init(&w);
        /* The world's own memory does not fail: it is there. */
        assert_int_equal(buf_reserve(&w.log, 65536), RC_OK);
        assert_int_equal(buf_reserve(&w.replies, 65536), RC_OK);
        assert_int_equal(buf_reserve(&w.events, 65536), RC_OK);
        assert_int_equal(buf_reserve(&w.indexed, 65536), RC_OK);
        mem_fault_set(k, 0);
        const bool whole = everything(&w);
        const bool reached = mem_fault_count() >= k;
        mem_fault_set(0, 0);
        assert_true(whole == !reached);
        failures += reached ? 1 : 0;
        if (partition_stopped(w.partition)) {
            w.next_pos = partition_applied_pos(w.partition);
            w.next_hash = partition_applied_hash(w.partition);
            w.log.size = world_log_at(&w, w.next_pos);
            partition_resume(w.partition, false);
        }
        (void)everything(&w); /* the numbers make the repetition harmless */
        const uint64_t hash = world_state_hash(&w);
        assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
        assert_true(world_state_hash(&w) == hash);

        for (uint64_t j = 1;; j++) {
            mem_fault_set(j, 0);
            const enum rc rc = world_recover(&w, 0, (struct bytes){0});
            const bool failed = mem_fault_count() >= j;
            mem_fault_set(0, 0);
            assert_int_equal(rc, failed ? RC_NOMEM : RC_OK);
            if (!failed) {
                break;
            }
        }
        world_deinit(&w);
        if (!reached) {
            break;
        }
    }
    assert_true(failures > 15);
}

/* 2 MiB: more than a batch keeps. Returns what was allocated while it filled; the allocation of
 * that number fails. */
static uint64_t fill_large_batch(struct world *w, const struct buf *body, uint64_t failing)
{
    const struct partition_tag tag = {.a = 1};
    mem_fault_set(failing, 0);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(partition_publish(w->partition, &tag, buf_bytes(body), w->now_ms), RC_OK);
    }
    const uint64_t count = mem_fault_count();
    mem_fault_set(0, 0);
    partition_flush(w->partition);
    world_commit_done(w, RC_OK);
    return count;
}

static void a_large_batch_begins_as_large_as_the_last_one(void **state)
{
    (void)state;
    struct world w;
    struct buf body = {0};
    static const uint8_t data[100000];
    const struct command_publish head = {.channel = BYTES_LITERAL("a"), .count = 1};
    const struct command_message message = {.data = bytes_of(data, sizeof(data)), .is_bytes = true};
    world_init(&w);
    w.pending_bytes_max = 4 * MIB;
    world_restart(&w, 0);
    assert_int_equal(command_publish_encode(&body, &head, &message), RC_OK);
    assert_true(fill_large_batch(&w, &body, 0) > 5); /* it grows, as does the other one */
    assert_true(fill_large_batch(&w, &body, 0) > 5);
    assert_int_equal(fill_large_batch(&w, &body, 0), 1);
    assert_int_equal(fill_large_batch(&w, &body, 0), 1);
    /* Without memory for that at once it grows. */
    assert_true(fill_large_batch(&w, &body, 1) > 5);
    assert_true(world_position(&w, "a").latest == 100);
    buf_deinit(&body);
    world_deinit(&w);
}

static void snowflake_ids_hold_time_node_and_counter(void **state)
{
    (void)state;
    assert_true(snowflake_tick_of(0) == 0);
    assert_true(snowflake_tick_of(SNOWFLAKE_EPOCH_MS) == 0);
    assert_true(snowflake_tick_of(SNOWFLAKE_EPOCH_MS + 1) == 4096);
    assert_true(snowflake_id(4096 + 7, 3) == ((1ull << 22) | (3ull << 12) | 7));
    assert_true(snowflake_id((1ull << 53) - 1, 1023) == INT64_MAX);
    /* Ids rise with ticks, from one millisecond to the next too. */
    assert_true(snowflake_id(4095, 1023) < snowflake_id(4096, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_told_before_the_commit_is_done),
        cmocka_unit_test(a_failed_commit_is_answered_and_leaves_no_trace),
        cmocka_unit_test(a_full_log_takes_trims_only),
        cmocka_unit_test(a_doubt_alone_survives_a_failed_commit),
        cmocka_unit_test(what_the_start_wants_survives_a_failed_commit),
        cmocka_unit_test(too_much_pending_is_refused_until_a_commit),
        cmocka_unit_test(a_failing_index_stops_the_partition_in_mid_batch),
        cmocka_unit_test(a_failed_commit_takes_back_the_time_it_was_stamped_with),
        cmocka_unit_test(every_failing_allocation_is_survived),
        cmocka_unit_test(a_large_batch_begins_as_large_as_the_last_one),
        cmocka_unit_test(snowflake_ids_hold_time_node_and_counter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
