/* Goal: an epoch ends where, and only where, something that a client may have seen may be lost, and
 * positions from before are judged by what is still the same.
 * Method: a log in memory from which positions are cut out, as a repair does, and replayed. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NUMBERED(c, n)                                                                             \
    (struct world_publish)                                                                         \
    {                                                                                              \
        .channel = (c), .producer = "p", .epoch = 1, .seq = (n)                                    \
    }

static void a_first_message_and_a_restart_leave_the_epoch(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const uint64_t epoch = world_position(&w, "a").epoch;
    assert_true(epoch != 0 && epoch != world_position(&w, "b").epoch);
    assert_true(world_position(&w, "a").earliest == 1 && world_position(&w, "a").latest == 0);
    (void)world_publish(&w, (struct world_publish){.channel = "a"});
    assert_true(world_position(&w, "a").epoch == epoch);
    world_restart(&w, 0);
    assert_true(world_position(&w, "a").epoch == epoch);
    assert_int_equal(world_judge(&w, "a", epoch, 2), POSITION_OK);
    assert_int_equal(world_judge(&w, "a", epoch, 3), POSITION_AHEAD);
    assert_int_equal(world_judge(&w, "a", epoch + 1, 1), POSITION_EPOCH);
    world_deinit(&w);
}

static void an_unclean_stop_ends_every_epoch_and_remembers_where(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "a", .count = 5});
    const uint64_t old_a = world_position(&w, "a").epoch;
    const uint64_t old_x = world_position(&w, "x").epoch;
    world_restart(&w, DOUBT_ALL);
    assert_true(world_event_at(&w, world_event_count(&w) - 1)->count == 0); /* told by name */
    const uint64_t new_a = world_position(&w, "a").epoch;
    const uint64_t new_x = world_position(&w, "x").epoch;
    assert_true(new_a != old_a && new_x != old_x);
    assert_int_equal(world_judge(&w, "a", old_a, 6), POSITION_OK);
    assert_int_equal(world_judge(&w, "a", old_a, 7), POSITION_EPOCH);
    assert_int_equal(world_judge(&w, "x", old_x, 1), POSITION_OK);
    assert_int_equal(world_judge(&w, "x", old_x, 2), POSITION_EPOCH);
    (void)world_publish(&w, (struct world_publish){.channel = "a", .count = 5});
    (void)world_publish(&w, (struct world_publish){.channel = "x", .count = 5});
    assert_true(world_position(&w, "x").epoch == new_x);
    assert_int_equal(world_judge(&w, "a", old_a, 7), POSITION_EPOCH);
    assert_int_equal(world_judge(&w, "a", new_a, 7), POSITION_OK);
    assert_int_equal(world_judge(&w, "x", old_x, 1), POSITION_OK);
    assert_int_equal(world_judge(&w, "x", old_x, 2), POSITION_EPOCH);
    world_deinit(&w);
}

/* Without a sync the DOUBT itself may be lost, and its position written anew. */
static void the_same_position_written_anew_gives_another_epoch(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "a"});
    const size_t size = w.log.size;
    const uint64_t pos = w.next_pos;
    const uint64_t hash = w.next_hash;
    world_restart(&w, DOUBT_ALL);
    const uint64_t first = world_position(&w, "a").epoch;
    w.log.size = size;
    w.next_pos = pos;
    w.next_hash = hash;
    w.now_ms++;
    world_restart(&w, DOUBT_ALL);
    assert_true(world_position(&w, "a").epoch != first);
    assert_int_equal(world_judge(&w, "a", first, 1), POSITION_EPOCH);
    world_deinit(&w);
}

static void the_oldest_epochs_are_forgotten(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    uint64_t epochs[80];
    for (size_t i = 0; i < 80; i++) {
        epochs[i] = world_position(&w, "a").epoch;
        (void)world_publish(&w, (struct world_publish){.channel = "a"});
        w.now_ms += 10;
        world_restart(&w, DOUBT_ALL);
    }
    assert_int_equal(world_judge(&w, "a", epochs[15], 17), POSITION_EPOCH);
    assert_int_equal(world_judge(&w, "a", epochs[16], 18), POSITION_OK);
    assert_int_equal(world_judge(&w, "a", epochs[16], 19), POSITION_EPOCH);
    assert_int_equal(world_judge(&w, "a", epochs[79], 81), POSITION_OK);
    const uint64_t hash = world_state_hash(&w);
    world_restart(&w, 0);
    assert_true(world_state_hash(&w) == hash);
    world_deinit(&w);
}

static void only_channels_that_lost_something_get_a_new_epoch(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, NUMBERED("a", 1));
    (void)world_publish(&w, (struct world_publish){.channel = "b"});
    (void)world_publish(&w, NUMBERED("a", 2)); /* from here … */
    (void)world_publish(&w, (struct world_publish){.channel = "d", .count = 2});
    (void)world_publish(&w, (struct world_publish){.channel = "e"});
    (void)world_publish(&w, NUMBERED("a", 3)); /* … to here it is lost */
    (void)world_publish(&w, (struct world_publish){.channel = "b"});
    (void)world_publish(&w, NUMBERED("a", 4));
    (void)world_publish(&w, (struct world_publish){.channel = "d"});
    (void)world_publish(&w, (struct world_publish){.channel = "f"});
    (void)world_publish(&w, (struct world_publish){.channel = "f"});
    const char *const names[] = {"a", "b", "d", "e", "f"};
    uint64_t old[5];
    for (size_t i = 0; i < 5; i++) {
        old[i] = world_position(&w, names[i]).epoch;
    }
    world_cut(&w, 2, 6);
    assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
    assert_true(partition_in_doubt(w.partition));
    world_restart(&w, DOUBT_END);
    assert_false(partition_in_doubt(w.partition));

    /* a lost two in the middle: a4 is now the second, under a new epoch. */
    assert_true(world_position(&w, "a").epoch != old[0]);
    assert_true(world_position(&w, "a").latest == 2);
    assert_int_equal(world_judge(&w, "a", old[0], 2), POSITION_OK);
    assert_int_equal(world_judge(&w, "a", old[0], 3), POSITION_EPOCH);
    /* b lost nothing. */
    assert_true(world_position(&w, "b").epoch == old[1]);
    assert_true(world_position(&w, "b").latest == 2);
    /* d lost its beginning. */
    assert_true(world_position(&w, "d").epoch != old[2]);
    assert_true(world_position(&w, "d").latest == 1);
    assert_int_equal(world_judge(&w, "d", old[2], 1), POSITION_OK);
    assert_int_equal(world_judge(&w, "d", old[2], 2), POSITION_EPOCH);
    /* e is gone: as if nobody had published to it, but under another epoch. */
    assert_true(world_position(&w, "e").epoch != old[3]);
    assert_true(world_position(&w, "e").latest == 0);
    assert_int_equal(world_judge(&w, "e", old[3], 2), POSITION_EPOCH);
    /* f began behind the hole. */
    assert_true(world_position(&w, "f").epoch == old[4]);
    assert_true(world_position(&w, "f").latest == 2);

    /* The producer goes on; what was lost is not stored and does not look like a duplicate. */
    struct publish_result result = world_publish(&w, NUMBERED("a", 5));
    assert_int_equal(result.verdict, PUBLISH_ACCEPTED);
    result = world_publish(&w, NUMBERED("a", 4));
    assert_true(result.verdict == PUBLISH_DUPLICATE && result.seq == 2);
    result = world_publish(&w, NUMBERED("a", 3));
    assert_true(result.verdict == PUBLISH_OUT_OF_SEQUENCE && result.expected == 6);
    result = world_publish(&w, NUMBERED("a", 1));
    assert_true(result.verdict == PUBLISH_DUPLICATE && result.seq == 1);
    result = world_publish(&w, NUMBERED("a", 7)); /* ahead is accepted once only */
    assert_int_equal(result.verdict, PUBLISH_OUT_OF_SEQUENCE);
    world_deinit(&w);
}

static void a_channel_that_may_have_lost_its_end_gets_a_new_epoch(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "a"});
    (void)world_publish(&w, (struct world_publish){.channel = "b"});
    (void)world_publish(&w, (struct world_publish){.channel = "a"});
    (void)world_publish(&w, (struct world_publish){.channel = "b"});
    const uint64_t old_a = world_position(&w, "a").epoch;
    const uint64_t old_b = world_position(&w, "b").epoch;
    world_cut(&w, 2, 3); /* a's last */
    world_restart(&w, DOUBT_END);
    assert_true(world_position(&w, "a").epoch != old_a);
    assert_int_equal(world_judge(&w, "a", old_a, 2), POSITION_OK);
    assert_int_equal(world_judge(&w, "a", old_a, 3), POSITION_EPOCH);
    assert_true(world_position(&w, "b").epoch == old_b);
    const uint64_t hash = world_state_hash(&w);
    const uint64_t new_a = world_position(&w, "a").epoch;
    world_restart(&w, 0); /* the repair is in the log now */
    assert_true(world_state_hash(&w) == hash && world_position(&w, "a").epoch == new_a);
    world_deinit(&w);
}

/* All that is whole is kept, whatever was cut out; the repair ends, and stays as it is. */
static void every_cut_of_a_history_keeps_all_the_rest(void **state)
{
    (void)state;
    const char *const names[] = {"a", "b", "c"};
    for (uint64_t first = 0; first < 24; first++) {
        for (uint64_t end = first + 1; end <= 24; end++) {
            struct world w;
            world_init(&w);
            uint64_t numbers[3][2] = {0};
            for (uint64_t i = 0; i < 24; i++) {
                const size_t c = i * i % 5 % 3;
                struct world_publish publish = NUMBERED(names[c], ++numbers[c][i / 2 % 2]);
                publish.producer = i / 2 % 2 == 0 ? "p" : "q";
                (void)world_publish(&w, publish);
            }
            uint64_t old[3];
            for (size_t c = 0; c < 3; c++) {
                old[c] = world_position(&w, names[c]).epoch;
                assert_true(world_position(&w, names[c]).latest == numbers[c][0] + numbers[c][1]);
            }
            world_cut(&w, first, end);
            world_restart(&w, DOUBT_END);
            const uint64_t hash = world_state_hash(&w);
            world_restart(&w, 0);
            assert_true(world_state_hash(&w) == hash);
            uint64_t kept = 0;
            for (size_t c = 0; c < 3; c++) {
                /* An epoch that stayed stands for the whole history. */
                const struct position now = world_position(&w, names[c]);
                assert_true(now.epoch != old[c] || now.latest == numbers[c][0] + numbers[c][1]);
                kept += now.latest;
            }
            assert_true(kept == 24 - (end - first));
            world_deinit(&w);
        }
    }
}

/* What the next record says of those before it. */
static uint16_t controls_of(const struct world *w)
{
    uint16_t controls = 0;
    for (size_t at = 0; at < w->log.size;) {
        struct record record;
        const struct bytes rest = bytes_of(w->log.data + at, w->log.size - at);
        assert_int_equal(record_decode(rest, &record), RC_OK);
        controls = (uint16_t)(record.controls + record_is_control(record.type));
        at += record.size;
    }
    return controls;
}

static void append_doubt(struct world *w, const struct command_doubt_entry *entries, size_t count)
{
    struct buf body = {0};
    struct log_batch batch = {0};
    assert_int_equal(command_doubt_encode(&body, DOUBT_LIST, 5, 0, entries, count), RC_OK);
    batch_begin(&batch, 3, w->next_pos, w->next_hash, controls_of(w));
    assert_int_equal(batch_append(&batch, RECORD_DOUBT, 0, buf_bytes(&body)), RC_OK);
    assert_int_equal(buf_append(&w->log, buf_bytes(&batch.bytes)), RC_OK);
    w->next_pos = batch.end_pos;
    w->next_hash = batch.end_hash;
    batch_deinit(&batch);
    buf_deinit(&body);
}

static void a_list_ends_the_epochs_of_the_channels_it_names(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "a", .count = 9});
    (void)world_publish(&w, (struct world_publish){.channel = "b", .count = 9});
    (void)world_publish(&w, (struct world_publish){.channel = "c", .count = 9});
    const uint64_t a = world_position(&w, "a").epoch;
    const uint64_t b = world_position(&w, "b").epoch;
    const uint64_t c = world_position(&w, "c").epoch;
    const struct command_doubt_entry entries[] = {{1, 4}, {3, 1000}, {77, 1}};
    append_doubt(&w, entries, 3);
    world_restart(&w, 0);
    assert_int_equal(world_judge(&w, "a", a, 4), POSITION_OK);
    assert_int_equal(world_judge(&w, "a", a, 5), POSITION_EPOCH);
    assert_true(world_position(&w, "b").epoch == b);
    assert_int_equal(world_judge(&w, "c", c, 10), POSITION_OK);
    assert_true(world_position(&w, "c").epoch != c);
    /* A later end that is lower holds for the epochs before, too. */
    const struct command_doubt_entry lower[] = {{3, 6}};
    append_doubt(&w, lower, 1);
    world_restart(&w, 0);
    assert_int_equal(world_judge(&w, "c", c, 6), POSITION_OK);
    assert_int_equal(world_judge(&w, "c", c, 7), POSITION_EPOCH);
    world_deinit(&w);
}

/* A second repair in front of the place where the first one's loss showed. */
static void a_later_hole_in_front_gives_another_epoch_there(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (unsigned n = 1; n <= 9; n++) {
        (void)world_publish(&w, NUMBERED("a", n));
    }
    world_cut(&w, 5, 7);
    assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
    const uint64_t at_a_record = world_position(&w, "a").epoch;
    assert_int_equal(world_position(&w, "a").latest, 7);
    world_restart(&w, DOUBT_END);
    world_cut(&w, 3, 5);
    assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
    assert_int_equal(world_position(&w, "a").latest, 5); /* seq 5 was another message */
    assert_true(world_position(&w, "a").epoch != at_a_record);
    world_deinit(&w);
}

static void a_later_hole_in_front_gives_another_epoch_at_a_doubt(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (unsigned n = 1; n <= 9; n++) {
        (void)world_publish(&w, NUMBERED("a", n));
    }
    world_restart(&w, DOUBT_ALL);
    const uint64_t before = world_position(&w, "a").epoch;
    world_cut(&w, 8, 9);
    assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
    assert_int_equal(world_position(&w, "a").latest, 8);
    assert_true(world_position(&w, "a").epoch != before);
    world_deinit(&w);
}

static void a_list_behind_a_hole_leaves_nobody_in_the_epoch_before(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "b"});
    (void)world_publish(&w, (struct world_publish){.channel = "a", .count = 9});
    (void)world_publish(&w, (struct world_publish){.channel = "b"});
    const uint64_t before = world_position(&w, "a").epoch;
    const struct command_doubt_entry entries[] = {{2, 4}};
    append_doubt(&w, entries, 1);
    world_restart(&w, 0);
    assert_true(world_position(&w, "a").epoch != before);
    world_cut(&w, 2, 3); /* of b: a has lost nothing, and its list cannot be read any more */
    assert_int_equal(world_recover(&w, 0, (struct bytes){0}), RC_OK);
    assert_true(world_position(&w, "a").epoch != before);
    assert_int_equal(world_position(&w, "a").latest, 9);
    assert_int_equal(world_judge(&w, "a", before, 5), POSITION_EPOCH);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_message_and_a_restart_leave_the_epoch),
        cmocka_unit_test(an_unclean_stop_ends_every_epoch_and_remembers_where),
        cmocka_unit_test(the_same_position_written_anew_gives_another_epoch),
        cmocka_unit_test(the_oldest_epochs_are_forgotten),
        cmocka_unit_test(only_channels_that_lost_something_get_a_new_epoch),
        cmocka_unit_test(a_channel_that_may_have_lost_its_end_gets_a_new_epoch),
        cmocka_unit_test(every_cut_of_a_history_keeps_all_the_rest),
        cmocka_unit_test(a_list_ends_the_epochs_of_the_channels_it_names),
        cmocka_unit_test(a_later_hole_in_front_gives_another_epoch_there),
        cmocka_unit_test(a_later_hole_in_front_gives_another_epoch_at_a_doubt),
        cmocka_unit_test(a_list_behind_a_hole_leaves_nobody_in_the_epoch_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
