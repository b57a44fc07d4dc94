/* Goal: a channel's digest is that of what its subscribers see: nothing else moves it, and
 * restarts, checkpoints and epochs leave it as it is. Method: histories over a world in memory. The
 * world's own oracle (index_digest() in world.c) rolls each record's messages by hand, and asserts
 * that what the index is told is what it has. */
#include "core/digest.h"
#include "base/digest.h"
#include "core/snowflake.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NUMBERED(c, n)                                                                             \
    (struct world_publish)                                                                         \
    {                                                                                              \
        .channel = (c), .producer = "p", .epoch = 1, .seq = (n)                                    \
    }

static uint64_t digest_of(struct world *w, const char *channel)
{
    return world_position(w, channel).digest;
}

/* What the oracle has for the channel's newest message. */
static uint64_t oracle_of(struct world *w, const char *name)
{
    const struct channel *channel = partition_channel_find(w->partition, bytes_of_text(name));
    assert_non_null(channel);
    const uint64_t digest = world_digest(w, channel->id, channel->latest);
    assert_true(digest != 0);
    return digest;
}

static void a_channel_begins_with_the_digest_of_its_name(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    assert_true(digest_of(&w, "a") == digest_start(BYTES_LITERAL("a")));
    assert_true(digest_of(&w, "b") == digest_start(BYTES_LITERAL("b")));
    (void)world_publish(&w, (struct world_publish){.channel = "a"});
    assert_true(digest_of(&w, "a") != digest_start(BYTES_LITERAL("a")));
    assert_true(digest_of(&w, "b") == digest_start(BYTES_LITERAL("b")));
    world_deinit(&w);
}

static void each_message_rolls_it_on_in_batches_too(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const struct world_publish publishes[] = {
        {.channel = "a"},
        {.channel = "a", .data_size = 5000},
        {.channel = "a", .count = 5},
        NUMBERED("a", 1),
        {.channel = "a", .producer = "p", .epoch = 1, .seq = 2, .count = 1000},
        {.channel = "b", .count = 2},
        {.channel = "a"},
    };
    uint64_t seen = digest_of(&w, "a");
    for (size_t i = 0; i < sizeof(publishes) / sizeof(publishes[0]); i++) {
        (void)world_publish(&w, publishes[i]);
        w.now_ms += 10;
        assert_true(digest_of(&w, publishes[i].channel) == oracle_of(&w, publishes[i].channel));
        assert_true(publishes[i].channel[0] == 'b' || digest_of(&w, "a") != seen);
        seen = digest_of(&w, "a");
    }
    world_deinit(&w);
}

static void what_subscribers_do_not_see_leaves_it(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (uint64_t n = 1; n <= 9; n++) {
        (void)world_publish(&w, NUMBERED("a", n));
    }
    const uint64_t digest = digest_of(&w, "a");
    assert_int_equal(world_publish(&w, NUMBERED("a", 3)).verdict, PUBLISH_DUPLICATE);
    assert_int_equal(world_publish(&w, NUMBERED("a", 12)).verdict, PUBLISH_OUT_OF_SEQUENCE);
    assert_true(digest_of(&w, "a") == digest);
    world_trim(&w, "a", 5);
    assert_true(digest_of(&w, "a") == digest);
    world_trim(&w, "a", 10); /* nothing is left, and the digest goes on from where it was */
    assert_true(digest_of(&w, "a") == digest);
    (void)world_publish(&w, NUMBERED("a", 10));
    assert_true(digest_of(&w, "a") == oracle_of(&w, "a"));
    world_deinit(&w);
}

static void restarts_and_new_epochs_leave_it(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "a", .count = 3});
    (void)world_publish(&w, NUMBERED("a", 1));
    const uint64_t digest = digest_of(&w, "a");
    const uint64_t epoch = world_position(&w, "a").epoch;
    world_restart(&w, 0);
    assert_true(digest_of(&w, "a") == digest);
    world_restart(&w, DOUBT_ALL);
    assert_true(world_position(&w, "a").epoch != epoch);
    assert_true(digest_of(&w, "a") == digest);
    (void)world_publish(&w, NUMBERED("a", 2));
    assert_true(digest_of(&w, "a") == oracle_of(&w, "a"));
    world_deinit(&w);
}

static void it_comes_back_from_a_checkpoint(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "a", .count = 3});
    (void)world_publish(&w, (struct world_publish){.channel = "b"});
    struct buf checkpoint = {0};
    assert_int_equal(partition_state_encode(w.partition, &checkpoint), RC_OK);
    const uint64_t pos = w.next_pos;
    (void)world_publish(&w, NUMBERED("a", 1));
    const uint64_t a = digest_of(&w, "a");
    const uint64_t b = digest_of(&w, "b");
    world_restart_at(&w, pos, buf_bytes(&checkpoint), 0);
    assert_true(digest_of(&w, "a") == a);
    assert_true(digest_of(&w, "b") == b);
    buf_deinit(&checkpoint);
    world_deinit(&w);
}

/* What is left after a repair has other numbers, and the digest is of that. */
static void behind_a_hole_it_is_that_of_what_is_left(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (uint64_t n = 1; n <= 10; n++) {
        (void)world_publish(&w, NUMBERED("a", n));
    }
    const uint64_t whole = digest_of(&w, "a");
    const uint64_t fourth = world_digest(&w, 1, 4);
    world_cut(&w, 4, 6);
    world_restart(&w, DOUBT_END);
    assert_true(world_position(&w, "a").latest == 8);
    assert_true(digest_of(&w, "a") != whole);
    assert_true(digest_of(&w, "a") == oracle_of(&w, "a"));
    assert_true(world_digest(&w, 1, 4) == fourth); /* what both histories have in common */
    world_deinit(&w);
}

/* A reader of the log that knows the digest in front of a record gets any message's in it. */
static void it_can_be_rolled_to_the_middle_of_a_batch(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "a", .count = 4});
    struct record record;
    struct command_publish publish;
    assert_int_equal(record_decode(buf_bytes(&w.log), &record), RC_OK);
    assert_int_equal(command_publish_decode(record.body, &publish), RC_OK);
    const uint64_t start = digest_start(publish.channel);
    uint64_t digest = start;
    struct bytes rest = publish.messages;
    for (uint64_t seq = 1; seq <= 4; seq++) {
        struct command_message message;
        assert_true(command_message_next(&rest, &message));
        struct digest_id id = {0};
        const struct bytes text =
            digest_id_text(&id, snowflake_id(publish.tick + seq - 1, WORLD_NODE));
        const struct digest_message seen = {.seq = seq,
                                            .time_ms = publish.time_ms,
                                            .message_id = text,
                                            .data = message.data,
                                            .is_bytes = message.is_bytes};
        digest = digest_roll(digest, &seen);
        assert_true(publish_digest(start, &publish, 1, seq, WORLD_NODE) == digest);
    }
    assert_true(digest_of(&w, "a") == digest);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_channel_begins_with_the_digest_of_its_name),
        cmocka_unit_test(each_message_rolls_it_on_in_batches_too),
        cmocka_unit_test(what_subscribers_do_not_see_leaves_it),
        cmocka_unit_test(restarts_and_new_epochs_leave_it),
        cmocka_unit_test(it_comes_back_from_a_checkpoint),
        cmocka_unit_test(behind_a_hole_it_is_that_of_what_is_left),
        cmocka_unit_test(it_can_be_rolled_to_the_middle_of_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
