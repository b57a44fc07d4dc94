/* Goal: every verdict on a publish is the one of protocol.md, and trims, retention and the expiry
 * of producers move what they should and nothing else.
 * Method: tables of publishes with the reply that each must get, over a world of memory. */
#include "world.h"

#include "core/producer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>

struct step {
    struct world_publish publish;
    enum publish_verdict verdict;
    uint64_t seq;      /* 0: the reply must have none */
    uint64_t expected; /* out of sequence */
};

static void steps_run(struct world *w, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct publish_result result = world_publish(w, steps[i].publish);
        if (result.verdict != steps[i].verdict || result.has_seq != (steps[i].seq != 0) ||
            (result.has_seq && result.seq != steps[i].seq) ||
            result.expected != steps[i].expected) {
            (void)fprintf(stderr, "step %zu: verdict %d seq %llu expected %llu\n", i,
                          (int)result.verdict, (unsigned long long)result.seq,
                          (unsigned long long)result.expected);
            fail();
        }
    }
}
#define RUN(w, steps) steps_run((w), (steps), sizeof(steps) / sizeof((steps)[0]))
#define P(c, id, e, n, ...)                                                                        \
    {                                                                                              \
        .channel = (c), .producer = (id), .epoch = (e), .seq = (n), __VA_ARGS__                    \
    }

static void publishes_without_a_number_are_never_duplicates(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const struct step steps[] = {
        {{.channel = "a"}, PUBLISH_ACCEPTED, 1, 0},
        {{.channel = "a"}, PUBLISH_ACCEPTED, 2, 0},
        {{.channel = "b"}, PUBLISH_ACCEPTED, 1, 0},
        {P("a", "p", 1, 0, ), PUBLISH_ACCEPTED, 3, 0},
        {P("a", "p", 1, 0, ), PUBLISH_ACCEPTED, 4, 0},
        {{.channel = "a", .count = 3}, PUBLISH_ACCEPTED, 5, 0},
        {{.channel = "a"}, PUBLISH_ACCEPTED, 8, 0},
    };
    RUN(&w, steps);
    world_deinit(&w);
}

static void a_producer_numbers_its_messages_per_channel(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const struct step steps[] = {
        {P("a", "p", 1, 2, ), PUBLISH_PRODUCER_UNKNOWN, 0, 0}, /* must begin with 1 */
        {P("a", "p", 1, 1, ), PUBLISH_ACCEPTED, 1, 0},
        {P("a", "p", 1, 1, ), PUBLISH_DUPLICATE, 1, 0},
        {P("a", "p", 1, 3, ), PUBLISH_OUT_OF_SEQUENCE, 0, 2},
        {P("a", "p", 1, 2, ), PUBLISH_ACCEPTED, 2, 0},
        {P("b", "p", 1, 3, ), PUBLISH_PRODUCER_UNKNOWN, 0, 0}, /* b does not know it */
        {P("b", "p", 1, 1, ), PUBLISH_ACCEPTED, 1, 0},
        {P("a", "q", 1, 1, ), PUBLISH_ACCEPTED, 3, 0},
        {P("a", "p", 1, 3, ), PUBLISH_ACCEPTED, 4, 0},
        {P("a", "p", 1, 1, ), PUBLISH_DUPLICATE, 1, 0},
        {P("a", "p", 1, 2, ), PUBLISH_DUPLICATE, 2, 0},
        {P("a", "p", 1, 3, ), PUBLISH_DUPLICATE, 4, 0},
        {P("a", "q", 1, 1, ), PUBLISH_DUPLICATE, 3, 0},
    };
    RUN(&w, steps);
    assert_true(world_position(&w, "a").latest == 4);
    world_deinit(&w);
}

static void a_refused_first_publish_makes_no_channel(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const struct publish_result result =
        world_publish(&w, (struct world_publish)P("x", "p", 1, 9, ));
    assert_int_equal(result.verdict, PUBLISH_PRODUCER_UNKNOWN);
    assert_true(result.epoch == world_position(&w, "x").epoch);
    assert_null(partition_channel_find(w.partition, BYTES_LITERAL("x")));
    assert_true(partition_channel_count(w.partition) == 0);
    world_deinit(&w);
}

static void a_higher_epoch_begins_with_one_and_fences_the_lower(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const struct step steps[] = {
        {P("a", "p", 2, 1, ), PUBLISH_ACCEPTED, 1, 0},
        {P("a", "p", 2, 2, ), PUBLISH_ACCEPTED, 2, 0},
        {P("a", "p", 1, 1, ), PUBLISH_PRODUCER_FENCED, 0, 0},
        {P("a", "p", 1, 0, ), PUBLISH_PRODUCER_FENCED, 0, 0},  /* without a number too */
        {P("a", "p", 5, 2, ), PUBLISH_PRODUCER_UNKNOWN, 0, 0}, /* refused: changes nothing */
        {P("a", "p", 2, 3, ), PUBLISH_ACCEPTED, 3, 0},
        {P("a", "p", 5, 1, ), PUBLISH_ACCEPTED, 4, 0},
        {P("a", "p", 2, 3, ), PUBLISH_PRODUCER_FENCED, 0, 0},
        {P("a", "p", 2, 4, ), PUBLISH_PRODUCER_FENCED, 0, 0},
        {P("a", "p", 5, 2, ), PUBLISH_ACCEPTED, 5, 0},
        {P("a", "p", 5, 1, ), PUBLISH_DUPLICATE, 4, 0},
        {P("b", "p", 1, 1, ), PUBLISH_ACCEPTED, 1, 0}, /* fencing is per channel */
    };
    RUN(&w, steps);
    world_deinit(&w);
}

static void a_batch_counts_as_a_whole(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const struct step steps[] = {
        {P("a", "p", 1, 1, .count = 5), PUBLISH_ACCEPTED, 1, 0},
        {P("a", "p", 1, 1, .count = 5), PUBLISH_DUPLICATE, 1, 0},
        {P("a", "p", 1, 3, .count = 2), PUBLISH_DUPLICATE, 3, 0},
        {P("a", "p", 1, 5, .count = 1), PUBLISH_DUPLICATE, 5, 0},
        {P("a", "p", 1, 4, .count = 3), PUBLISH_OUT_OF_SEQUENCE, 0, 6}, /* overlaps in part */
        {P("a", "p", 1, 7, .count = 3), PUBLISH_OUT_OF_SEQUENCE, 0, 6},
        {P("a", "p", 1, 6, .count = 1000), PUBLISH_ACCEPTED, 6, 0},
        {P("a", "p", 1, 1006, ), PUBLISH_ACCEPTED, 1006, 0},
        {P("a", "p", 2, 1, .count = 2), PUBLISH_ACCEPTED, 1007, 0},
    };
    RUN(&w, steps);
    const struct publish_result result =
        world_publish(&w, (struct world_publish)P("a", "p", 2, 1, .count = 2));
    assert_true(result.is_batch);
    assert_int_equal(result.count, 2);
    world_deinit(&w);
}

static void numbers_beyond_the_wires_range_are_refused_by_name(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const struct step steps[] = {
        {P("a", "p", 1, 1, ), PUBLISH_ACCEPTED, 1, 0},
        {P("a", "p", 1, WIRE_INTEGER_MAX, .count = 1000), PUBLISH_OUT_OF_SEQUENCE, 0, 2},
        {P("a", "q", 1, WIRE_INTEGER_MAX, .count = 1000), PUBLISH_PRODUCER_UNKNOWN, 0, 0},
    };
    RUN(&w, steps);
    world_deinit(&w);
}

/* Two producers that alternate: each message makes a run. */
static void the_oldest_runs_are_forgotten_but_their_duplicates_are_not(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const uint64_t count = PRODUCER_RUNS_MAX + 10;
    for (uint64_t i = 1; i <= count; i++) {
        assert_int_equal(world_publish(&w, (struct world_publish)P("a", "p", 1, i, )).verdict,
                         PUBLISH_ACCEPTED);
        assert_int_equal(world_publish(&w, (struct world_publish)P("a", "q", 1, i, )).verdict,
                         PUBLISH_ACCEPTED);
    }
    const struct step steps[] = {
        {P("a", "p", 1, 1, ), PUBLISH_DUPLICATE, 0, 0},
        {P("a", "p", 1, 10, ), PUBLISH_DUPLICATE, 0, 0},
        {P("a", "p", 1, 11, ), PUBLISH_DUPLICATE, 21, 0},
        {P("a", "q", 1, count, ), PUBLISH_DUPLICATE, 2 * count, 0},
    };
    RUN(&w, steps);
    const uint64_t hash = world_state_hash(&w);
    world_restart(&w, 0);
    assert_true(world_state_hash(&w) == hash);
    RUN(&w, steps);
    world_deinit(&w);
}

static void a_trim_moves_earliest_up_and_never_down(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish)P("a", "p", 1, 1, .count = 10));
    world_trim(&w, "a", 4);
    assert_true(world_position(&w, "a").earliest == 4);
    world_trim(&w, "a", 2);
    assert_true(world_position(&w, "a").earliest == 4);
    const struct step steps[] = {
        {P("a", "p", 1, 3, .count = 2), PUBLISH_DUPLICATE, 0, 0}, /* trimmed: seq not known */
        {P("a", "p", 1, 4, .count = 2), PUBLISH_DUPLICATE, 4, 0},
        {P("a", "p", 1, 11, ), PUBLISH_ACCEPTED, 11, 0},
    };
    RUN(&w, steps);
    assert_int_equal(world_judge(&w, "a", world_position(&w, "a").epoch, 3), POSITION_TRIMMED);
    assert_int_equal(world_judge(&w, "a", world_position(&w, "a").epoch, 4), POSITION_OK);
    assert_int_equal(world_judge(&w, "a", world_position(&w, "a").epoch, 12), POSITION_OK);
    assert_int_equal(world_judge(&w, "a", world_position(&w, "a").epoch, 13), POSITION_AHEAD);
    world_deinit(&w);
}

static void a_producer_lives_as_long_as_there_is_history(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish)P("a", "p", 1, 1, .count = 3));
    world_trim(&w, "a", 100); /* beyond latest + 1: all of it */
    assert_true(world_position(&w, "a").earliest == 4);
    const struct step steps[] = {
        {P("a", "p", 1, 4, ), PUBLISH_PRODUCER_UNKNOWN, 0, 0},
        {P("a", "p", 1, 1, ), PUBLISH_PRODUCER_UNKNOWN, 0, 0}, /* I5: never a second time */
        {P("a", "p", 2, 1, ), PUBLISH_ACCEPTED, 4, 0},
        {P("a", "p", 1, 1, ), PUBLISH_PRODUCER_FENCED, 0, 0},
    };
    RUN(&w, steps);
    world_deinit(&w);
}

static void an_idle_producer_expires_and_is_never_accepted_again(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.settings.producer_idle_ms = 1000;
    world_restart(&w, 0);
    (void)world_publish(&w, (struct world_publish)P("a", "p", 1, 1, ));
    w.now_ms += 1000;
    const struct step still[] = {
        {P("a", "p", 1, 2, ), PUBLISH_ACCEPTED, 2, 0},
        {P("a", "q", 1, 1, ), PUBLISH_ACCEPTED, 3, 0},
    };
    RUN(&w, still);
    w.now_ms += 1001;
    const struct step expired[] = {
        {P("a", "p", 1, 3, ), PUBLISH_PRODUCER_UNKNOWN, 0, 0},
        {P("a", "p", 1, 2, ), PUBLISH_PRODUCER_UNKNOWN, 0, 0},
        {P("a", "p", 1, 1, ), PUBLISH_PRODUCER_UNKNOWN, 0, 0},
        {P("a", "p", 2, 2, ), PUBLISH_PRODUCER_UNKNOWN, 0, 0},
        {P("a", "q", 7, 1, ), PUBLISH_ACCEPTED, 4, 0},
        {P("a", "p", 2, 1, ), PUBLISH_ACCEPTED, 5, 0},
    };
    RUN(&w, expired);
    w.now_ms -= 500; /* a clock that steps back wakes nobody up */
    const struct step back[] = {{P("a", "q", 1, 2, ), PUBLISH_PRODUCER_FENCED, 0, 0}};
    RUN(&w, back);
    const uint64_t hash = world_state_hash(&w);
    world_restart(&w, 0);
    assert_true(world_state_hash(&w) == hash);
    world_deinit(&w);
}

static void retention_keeps_the_newest_messages(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    (void)world_publish(&w, (struct world_publish){.channel = "a", .count = 20});
    w.settings.retention_messages = 5;
    world_restart(&w, 0);
    assert_true(world_position(&w, "a").earliest == 1); /* enforced with the next publish */
    (void)world_publish(&w, (struct world_publish){.channel = "a"});
    assert_true(world_position(&w, "a").earliest == 17);
    (void)world_publish(&w, (struct world_publish){.channel = "a", .count = 8});
    assert_true(world_position(&w, "a").earliest == 25);
    assert_true(world_position(&w, "a").latest == 29);
    world_deinit(&w);
}

static void times_and_ids_rise_though_the_clock_steps_back(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    uint64_t id_last = 0;
    uint64_t time_last = 0;
    const int64_t jumps[] = {5, -3600000, 1, 3600000, -1, 0, -7200000, 40};
    for (size_t i = 0; i < 64; i++) {
        w.now_ms = (uint64_t)((int64_t)w.now_ms + jumps[i % 8] + 3600000 * (i % 8 == 0));
        const struct publish_result result =
            world_publish(&w, (struct world_publish){.channel = "a", .count = 3});
        const struct world_event *event = world_event_at(&w, world_event_count(&w) - 1);
        assert_true(result.message_id > id_last);
        assert_true(event->time_ms >= time_last);
        id_last = result.message_id;
        time_last = event->time_ms;
    }
    assert_true(partition_tick_max(w.partition) == w.next_tick - 1);
    world_deinit(&w);
}

static void too_many_producers_are_refused_by_name(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    char id[32];
    for (unsigned i = 0; i < CHANNEL_PRODUCERS_MAX; i++) {
        (void)snprintf(id, sizeof(id), "p%u", i);
        while (world_publish_try(&w, (struct world_publish)P("a", id, 1, 1, )) == RC_FULL) {
            world_settle(&w);
        }
    }
    world_settle(&w);
    const struct step steps[] = {
        {P("a", "new", 1, 1, ), PUBLISH_LIMIT, 0, 0},
        {P("a", "p0", 1, 2, ), PUBLISH_ACCEPTED, CHANNEL_PRODUCERS_MAX + 1, 0},
        {P("a", "p1", 2, 1, ), PUBLISH_ACCEPTED, CHANNEL_PRODUCERS_MAX + 2, 0},
        {{.channel = "a"}, PUBLISH_ACCEPTED, CHANNEL_PRODUCERS_MAX + 3, 0},
        {P("b", "new", 1, 1, ), PUBLISH_ACCEPTED, 1, 0},
    };
    RUN(&w, steps);
    const uint64_t hash = world_state_hash(&w);
    world_restart(&w, 0);
    assert_true(world_state_hash(&w) == hash);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishes_without_a_number_are_never_duplicates),
        cmocka_unit_test(a_producer_numbers_its_messages_per_channel),
        cmocka_unit_test(a_refused_first_publish_makes_no_channel),
        cmocka_unit_test(a_higher_epoch_begins_with_one_and_fences_the_lower),
        cmocka_unit_test(a_batch_counts_as_a_whole),
        cmocka_unit_test(numbers_beyond_the_wires_range_are_refused_by_name),
        cmocka_unit_test(the_oldest_runs_are_forgotten_but_their_duplicates_are_not),
        cmocka_unit_test(a_trim_moves_earliest_up_and_never_down),
        cmocka_unit_test(a_producer_lives_as_long_as_there_is_history),
        cmocka_unit_test(an_idle_producer_expires_and_is_never_accepted_again),
        cmocka_unit_test(retention_keeps_the_newest_messages),
        cmocka_unit_test(times_and_ids_rise_though_the_clock_steps_back),
        cmocka_unit_test(too_many_producers_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
