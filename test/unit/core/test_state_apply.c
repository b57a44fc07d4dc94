/* apply, record by record: what a replay can meet and a running server never writes.
 *
 * Goal: behind a hole the table at the head of apply.c decides; numbers at the end of their range
 * are refused by name; a record that is none of ours is RC_CORRUPT and a failing allocation
 * RC_NOMEM, and both leave the state as it was. Method: records made one by one, in the positions
 * and with the predecessors that a case asks for. */
#include "base/limits.h"
#include "base/mem.h"
#include "core/state.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct told {
    uint64_t indexed;
};

static enum rc on_index(void *ctx, struct log_place place, uint64_t channel_id, uint64_t first_seq,
                        uint32_t count, uint64_t time_ms, uint64_t digest)
{
    struct told *told = ctx;
    (void)place;
    (void)channel_id;
    (void)first_seq;
    (void)time_ms;
    (void)digest;
    told->indexed += count;
    return RC_OK;
}

static struct told told;
static const struct partition_ops ops = {.index = on_index};
static const struct apply_env replay = {.ops = &ops, .ctx = &told};

static void state_new(struct state *state)
{
    const struct partition_options options = {
        .number = 1, .node = 5, .incarnation = 7, .ops = &ops, .pending_bytes_max = MIB};
    told = (struct told){0};
    state_init(state, &options);
}

static enum rc apply(struct state *state, enum record_type type, uint64_t pos, uint64_t prev,
                     struct bytes body)
{
    const struct record record = {.type = type,
                                  .partition = 1,
                                  .pos = pos,
                                  .channel_prev = prev,
                                  .controls = state->controls,
                                  .body = body};
    return state_apply(state, &record, &replay);
}

struct publish {
    const char *channel;
    const char *producer;
    uint64_t seq;
    uint64_t time_ms;
    uint64_t tick;
};

static enum rc publish(struct state *state, uint64_t pos, uint64_t prev, struct publish p)
{
    const struct command_publish head = {
        .channel = bytes_of_text(p.channel),
        .count = 1,
        .producer = bytes_of_text(p.producer == NULL ? "" : p.producer),
        .producer_epoch = p.producer == NULL ? 0 : 1,
        .producer_seq = p.seq,
    };
    const struct command_message message = {.data = BYTES_LITERAL("1")};
    struct buf body = {0};
    assert_int_equal(command_publish_encode(&body, &head, &message), RC_OK);
    command_publish_stamp(body.data, p.time_ms, p.tick);
    const enum rc rc = apply(state, RECORD_PUBLISH, pos, prev, buf_bytes(&body));
    buf_deinit(&body);
    return rc;
}

static enum rc hole(struct state *state, uint64_t pos, uint64_t first, uint64_t end)
{
    struct record_hole h = {.first_pos = first, .end_pos = end};
    uint8_t body[RECORD_HOLE_BODY_SIZE];
    record_hole_encode(&h, body);
    return apply(state, RECORD_HOLE, pos, 0, bytes_of(body, sizeof(body)));
}

/* As it was appended where the base was `base`. */
static enum rc doubt_of(struct state *state, uint64_t pos, enum doubt_kind kind, uint64_t base,
                        const struct command_doubt_entry *entries, size_t count)
{
    struct buf body = {0};
    assert_int_equal(command_doubt_encode(&body, kind, 99, base, entries, count), RC_OK);
    const enum rc rc = apply(state, RECORD_DOUBT, pos, 0, buf_bytes(&body));
    buf_deinit(&body);
    return rc;
}

static enum rc doubt(struct state *state, uint64_t pos, enum doubt_kind kind,
                     const struct command_doubt_entry *entries, size_t count)
{
    return doubt_of(state, pos, kind, kind == DOUBT_LIST ? 0 : state_base(state), entries, count);
}

static uint64_t epoch_of(const struct state *state, const char *name)
{
    return state_position(state, bytes_of_text(name)).epoch;
}

static void a_hole_that_is_not_where_it_says_is_refused(void **state)
{
    (void)state;
    struct state s;
    state_new(&s);
    assert_int_equal(hole(&s, 4, 3, 6), RC_CORRUPT);
    assert_int_equal(hole(&s, 4, 4, WIRE_INTEGER_MAX + 1), RC_CORRUPT);
    assert_int_equal(apply(&s, RECORD_HOLE, 4, 0, BYTES_LITERAL("x")), RC_CORRUPT);
    assert_false(s.in_doubt);
    assert_int_equal(apply(&s, (enum record_type)77, 4, 0, BYTES_LITERAL("x")), RC_CORRUPT);
    assert_int_equal(hole(&s, 4, 4, WIRE_INTEGER_MAX), RC_OK);
    assert_true(s.in_doubt);
    state_deinit(&s);
}

static void several_holes_count_as_one_from_the_first_to_the_last(void **state)
{
    (void)state;
    struct state s;
    state_new(&s);
    const uint64_t clean = state_base(&s);
    assert_int_equal(hole(&s, 10, 10, 15), RC_OK);
    assert_int_equal(hole(&s, 20, 20, 22), RC_OK);
    assert_int_equal(s.doubt_first, 10);
    assert_int_equal(s.doubt_end, 22);
    assert_true(s.base_clean == clean);
    assert_true(state_base(&s) != clean);
    state_deinit(&s);
}

/* Which base an unknown channel's first epoch comes from says whether it has lost its beginning. */
static void an_unknown_channel_has_lost_its_beginning_if_that_stood_in_the_hole(void **state)
{
    (void)state;
    static const struct {
        uint64_t prev; /* position + 1, 0: none */
        bool lost;
    } rows[] = {{0, false}, {10, false}, {11, true}, {15, true}, {16, false}};
    struct state clean;
    state_new(&clean);
    const uint64_t whole = epoch_of(&clean, "a");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct state s;
        state_new(&s);
        assert_int_equal(hole(&s, 10, 10, 15), RC_OK);
        assert_int_equal(publish(&s, 20, rows[i].prev, (struct publish){.channel = "a"}), RC_OK);
        assert_int_equal(epoch_of(&s, "a") != whole, rows[i].lost);
        state_deinit(&s);
    }
    state_deinit(&clean);
}

/* Cut out are the numbers 3 to 10, all acknowledged, and behind the hole stands a retry of 3. That
 * takes the leap that was meant for 11, which is what the producer goes on with: it has 4 no more.
 */
static void at_the_end_of_a_doubt_a_producer_may_go_on_behind_what_it_was_told(void **state)
{
    (void)state;
    struct state s;
    state_new(&s);
    const char *p = "p";
    assert_int_equal(publish(&s, 0, 0, (struct publish){"a", p, 1, 0, 1}), RC_OK);
    assert_int_equal(publish(&s, 1, 1, (struct publish){"a", p, 2, 0, 2}), RC_OK);
    assert_int_equal(publish(&s, 2, 0, (struct publish){"b", p, 1, 0, 3}), RC_OK);
    assert_int_equal(hole(&s, 3, 3, 11), RC_OK);
    assert_int_equal(publish(&s, 11, 11, (struct publish){"a", p, 3, 0, 20}), RC_OK);
    assert_int_equal(publish(&s, 12, 3, (struct publish){"b", p, 2, 0, 21}), RC_OK);
    assert_int_equal(state_position(&s, BYTES_LITERAL("a")).latest, 3);
    assert_int_equal(doubt(&s, 13, DOUBT_END, NULL, 0), RC_OK);

    const struct publish rows[] = {
        {"a", p, 11, 0, 31}, {"a", p, 12, 0, 32}, {"a", p, 14, 0, 33}, {"b", p, 11, 0, 34}};
    uint64_t prev_a = 12;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const uint64_t prev = rows[i].channel[0] == 'a' ? prev_a : 13;
        assert_int_equal(publish(&s, 14 + i, prev, rows[i]), RC_OK);
        prev_a = 15 + i;
    }
    /* 11 and 12, but no second leap; and none in the channel that has lost nothing. */
    assert_int_equal(state_position(&s, BYTES_LITERAL("a")).latest, 5);
    assert_int_equal(state_position(&s, BYTES_LITERAL("b")).latest, 2);
    state_deinit(&s);
}

static void behind_a_hole_trims_say_nothing_and_lists_speak_of_all(void **state)
{
    (void)state;
    struct state s;
    state_new(&s);
    assert_int_equal(publish(&s, 0, 0, (struct publish){.channel = "a"}), RC_OK);
    assert_int_equal(hole(&s, 10, 10, 15), RC_OK);
    const uint64_t epoch = epoch_of(&s, "a");
    const struct command_doubt_entry entry = {1, 1};
    assert_int_equal(doubt(&s, 15, DOUBT_LIST, &entry, 1), RC_OK);
    const uint64_t listed = epoch_of(&s, "a");
    assert_true(listed != epoch);
    const struct command_trim_entry trim = {1, 2};
    struct buf body = {0};
    assert_int_equal(command_trim_encode(&body, 1, &trim, 1), RC_OK);
    assert_int_equal(apply(&s, RECORD_TRIM, 16, 0, buf_bytes(&body)), RC_OK);
    assert_int_equal(state_position(&s, BYTES_LITERAL("a")).earliest, 1);
    const uint64_t trimmed = epoch_of(&s, "a"); /* and whoever it made forgotten is known */
    assert_true(trimmed != epoch && trimmed != listed);
    assert_int_equal(doubt(&s, 17, DOUBT_END, NULL, 0), RC_OK);
    assert_true(epoch_of(&s, "a") != epoch && epoch_of(&s, "a") != trimmed);
    assert_int_equal(apply(&s, RECORD_TRIM, 18, 0, buf_bytes(&body)), RC_OK);
    assert_int_equal(state_position(&s, BYTES_LITERAL("a")).earliest, 2);
    buf_deinit(&body);
    state_deinit(&s);
}

/* A repair has lost something behind "b", and a list says that "b" has, by its number. A later one
 * loses "a", so "b" has another number when it comes to the list again. */
static void a_later_hole_in_front_outlives_the_end_of_a_doubt(void **state)
{
    (void)state;
    static const enum doubt_kind kinds[] = {DOUBT_END, DOUBT_ALL};
    for (size_t i = 0; i < 2; i++) {
        struct state s;
        const struct command_doubt_entry b_by_number = {2, 1};
        state_new(&s);
        assert_int_equal(publish(&s, 0, 0, (struct publish){.channel = "a"}), RC_OK);
        assert_int_equal(publish(&s, 1, 0, (struct publish){.channel = "b"}), RC_OK);
        const uint64_t first = epoch_of(&s, "b");
        assert_int_equal(hole(&s, 2, 2, 3), RC_OK);
        const uint64_t base = state_base(&s);
        assert_int_equal(doubt_of(&s, 3, kinds[i], base, NULL, 0), RC_OK);
        assert_false(s.in_doubt);
        assert_int_equal(doubt(&s, 4, DOUBT_LIST, &b_by_number, 1), RC_OK);
        const uint64_t listed = epoch_of(&s, "b");
        assert_true(listed != first);
        state_deinit(&s);

        state_new(&s);
        assert_int_equal(hole(&s, 0, 0, 1), RC_OK);
        assert_int_equal(publish(&s, 1, 0, (struct publish){.channel = "b"}), RC_OK);
        assert_int_equal(hole(&s, 2, 2, 3), RC_OK);
        assert_int_equal(doubt_of(&s, 3, kinds[i], base, NULL, 0), RC_OK);
        assert_true(s.in_doubt);
        assert_int_equal(doubt(&s, 4, DOUBT_LIST, &b_by_number, 1), RC_OK);
        assert_true(epoch_of(&s, "b") != first && epoch_of(&s, "b") != listed);
        assert_int_equal(publish(&s, 5, 0, (struct publish){.channel = "c"}), RC_OK);
        struct state clean;
        state_new(&clean);
        assert_true(epoch_of(&s, "c") != epoch_of(&clean, "c"));
        state_deinit(&clean);
        assert_int_equal(doubt(&s, 6, DOUBT_END, NULL, 0), RC_OK);
        assert_false(s.in_doubt);
        state_deinit(&s);
    }
}

static uint64_t hash_of(const struct state *state)
{
    struct buf bytes = {0};
    assert_int_equal(state_encode(state, &bytes), RC_OK);
    uint64_t hash = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        hash = hash * 31 + bytes.data[i];
    }
    buf_deinit(&bytes);
    return hash;
}

static enum rc publish_with_controls(struct state *state, uint64_t pos, uint64_t prev,
                                     uint16_t controls)
{
    state->controls = (uint16_t)(state->controls + controls);
    struct record record = {.type = RECORD_PUBLISH,
                            .partition = 1,
                            .pos = pos,
                            .channel_prev = prev,
                            .controls = state->controls};
    state->controls = (uint16_t)(state->controls - controls);
    const struct command_publish head = {.channel = BYTES_LITERAL("a"), .count = 1};
    const struct command_message message = {.data = BYTES_LITERAL("1")};
    struct buf body = {0};
    assert_int_equal(command_publish_encode(&body, &head, &message), RC_OK);
    record.body = buf_bytes(&body);
    const enum rc rc = state_apply(state, &record, &replay);
    buf_deinit(&body);
    return rc;
}

/* "a" and "b" lose no record of their own to the hole. If a control record was in it, both get a
 * new epoch, once, and what they had before the hole is good; if none was, both keep theirs. */
static void a_control_record_in_a_hole_ends_every_epoch(void **state)
{
    (void)state;
    for (uint16_t lost = 0; lost <= 2; lost++) {
        struct state s;
        state_new(&s);
        assert_int_equal(publish(&s, 0, 0, (struct publish){.channel = "a"}), RC_OK);
        assert_int_equal(publish(&s, 1, 0, (struct publish){.channel = "b"}), RC_OK);
        const uint64_t a = epoch_of(&s, "a");
        const uint64_t b = epoch_of(&s, "b");
        assert_int_equal(hole(&s, 2, 2, 5), RC_OK);
        assert_int_equal(publish_with_controls(&s, 5, 1, lost), RC_OK);
        assert_true((epoch_of(&s, "a") != a) == (lost > 0));
        assert_true((epoch_of(&s, "b") != b) == (lost > 0));
        const uint64_t after = epoch_of(&s, "b");
        assert_int_equal(state_position_judge(&s, BYTES_LITERAL("a"), true, a, 2), POSITION_OK);
        assert_int_equal(state_position_judge(&s, BYTES_LITERAL("a"), true, a, 3),
                         lost > 0 ? POSITION_EPOCH : POSITION_OK);
        assert_int_equal(publish(&s, 6, 2, (struct publish){.channel = "b"}), RC_OK);
        assert_true(epoch_of(&s, "b") == after);
        state_deinit(&s);
    }
}

/* What was lost may have been the end of an earlier doubt. Then a channel that had lost all it was
 * began anew behind that, with nothing before it, and its epoch of old is not its own any more. */
static void behind_a_lost_control_record_no_channel_begins_as_if_nothing_was_lost(void **state)
{
    (void)state;
    struct state s;
    state_new(&s);
    assert_int_equal(publish_with_controls(&s, 0, 0, 0), RC_OK);
    const uint64_t old = epoch_of(&s, "a");
    state_deinit(&s);
    for (uint16_t lost = 0; lost <= 1; lost++) {
        state_new(&s);
        assert_int_equal(hole(&s, 0, 0, 5), RC_OK);
        assert_int_equal(publish_with_controls(&s, 5, 0, lost), RC_OK);
        assert_true((epoch_of(&s, "a") != old) == (lost > 0));
        state_deinit(&s);
    }
    state_new(&s);
    assert_int_equal(hole(&s, 0, 0, 65536), RC_OK);
    assert_int_equal(publish_with_controls(&s, 65536, 0, 0), RC_OK);
    assert_true(epoch_of(&s, "a") != old);
    state_deinit(&s);
}

/* The count is kept modulo 65536: a hole that may hold so many ends every epoch by itself. */
static void a_hole_too_long_to_count_in_ends_every_epoch(void **state)
{
    (void)state;
    for (uint64_t size = 65535; size <= 65536; size++) {
        struct state s;
        state_new(&s);
        assert_int_equal(publish(&s, 0, 0, (struct publish){.channel = "a"}), RC_OK);
        const uint64_t a = epoch_of(&s, "a");
        assert_int_equal(hole(&s, 1, 1, 1 + size), RC_OK);
        assert_int_equal(publish(&s, 1 + size, 1, (struct publish){.channel = "a"}), RC_OK);
        assert_true((epoch_of(&s, "a") != a) == (size == 65536));
        state_deinit(&s);
    }
}

static void without_a_hole_a_wrong_count_of_control_records_is_corrupt(void **state)
{
    (void)state;
    struct state s;
    state_new(&s);
    assert_int_equal(publish(&s, 0, 0, (struct publish){.channel = "a"}), RC_OK);
    const uint64_t before = hash_of(&s);
    assert_int_equal(publish_with_controls(&s, 1, 1, 1), RC_CORRUPT);
    assert_true(hash_of(&s) == before);
    assert_int_equal(publish_with_controls(&s, 1, 1, 0), RC_OK);
    state_deinit(&s);
}

static void a_list_says_how_far_each_history_is_good(void **state)
{
    (void)state;
    static const uint64_t good_ends[] = {0, 1, 3, 4, 1000};
    for (size_t i = 0; i < sizeof(good_ends) / sizeof(good_ends[0]); i++) {
        struct state s;
        state_new(&s);
        for (uint64_t pos = 0; pos < 3; pos++) {
            assert_int_equal(publish(&s, pos, pos, (struct publish){.channel = "a"}), RC_OK);
        }
        const uint64_t epoch = epoch_of(&s, "a");
        const struct command_doubt_entry entries[] = {{1, good_ends[i]}, {9, 1}};
        assert_int_equal(doubt(&s, 3, DOUBT_LIST, entries, 2), RC_OK);
        const uint64_t wanted = good_ends[i] == 0 ? 1 : good_ends[i] > 4 ? 4 : good_ends[i];
        assert_int_equal(state_position_judge(&s, BYTES_LITERAL("a"), true, epoch, wanted),
                         POSITION_OK);
        assert_int_equal(state_position_judge(&s, BYTES_LITERAL("a"), true, epoch, wanted + 1),
                         POSITION_EPOCH);
        state_deinit(&s);
    }
}

static void times_and_ticks_do_not_go_back(void **state)
{
    (void)state;
    struct state s;
    state_new(&s);
    assert_int_equal(
        publish(&s, 0, 0, (struct publish){.channel = "a", .time_ms = 50, .tick = 900}), RC_OK);
    assert_int_equal(
        publish(&s, 1, 1, (struct publish){.channel = "a", .time_ms = 40, .tick = 800}), RC_OK);
    const struct channel *a = table_find(&s.channels, BYTES_LITERAL("a"));
    assert_int_equal(a->last_time_ms, 50);
    assert_int_equal(a->latest, 2);
    assert_int_equal(s.tick_max, 900);
    state_deinit(&s);
}

static void what_does_not_fit_the_wires_numbers_is_refused(void **state)
{
    (void)state;
    struct state s;
    state_new(&s);
    assert_int_equal(publish(&s, 0, 0, (struct publish){.channel = "a"}), RC_OK);
    struct channel *a = table_find(&s.channels, BYTES_LITERAL("a"));
    a->latest = WIRE_INTEGER_MAX - 1;
    assert_int_equal(publish(&s, 1, 1, (struct publish){.channel = "a"}), RC_OK);
    assert_true(a->latest == WIRE_INTEGER_MAX);
    assert_int_equal(told.indexed, 2);
    assert_int_equal(publish(&s, 2, 2, (struct publish){.channel = "a"}), RC_OK);
    assert_true(a->latest == WIRE_INTEGER_MAX);
    assert_int_equal(told.indexed, 2);
    assert_int_equal(publish(&s, 3, 0, (struct publish){"b", "p", WIRE_INTEGER_MAX, 0, 0}), RC_OK);
    assert_null(table_find(&s.channels, BYTES_LITERAL("b")));
    /* Behind a loss any number may come first; but none that has no next. */
    assert_int_equal(hole(&s, 4, 4, 6), RC_OK);
    assert_int_equal(publish(&s, 6, 5, (struct publish){"b", "p", WIRE_INTEGER_MAX, 0, 0}), RC_OK);
    assert_null(table_find(&s.channels, BYTES_LITERAL("b")));
    assert_int_equal(publish(&s, 7, 5, (struct publish){"b", "p", WIRE_INTEGER_MAX - 1, 0, 0}),
                     RC_OK);
    assert_non_null(table_find(&s.channels, BYTES_LITERAL("b")));
    state_deinit(&s);
}

/* The k-th allocation of one record fails: the state is as it was, and the record can come again.
 */
static void a_failing_allocation_leaves_the_state_as_it_was(void **state)
{
    (void)state;
    struct state s;
    state_new(&s);
    for (uint64_t pos = 0; pos < 4; pos++) {
        const char *const names[] = {"a", "b", "a", "c"};
        assert_int_equal(
            publish(&s, pos, pos == 2 ? 1 : 0, (struct publish){.channel = names[pos]}), RC_OK);
    }
    assert_int_equal(hole(&s, 4, 4, 8), RC_OK);
    struct buf body = {0};
    struct buf list = {0};
    const struct command_publish head = {.channel = BYTES_LITERAL("a"),
                                         .count = 1,
                                         .producer = BYTES_LITERAL("p"),
                                         .producer_epoch = 1,
                                         .producer_seq = 1};
    const struct command_message message = {.data = BYTES_LITERAL("1")};
    const struct command_doubt_entry entries[] = {{1, 1}, {2, 1}};
    assert_int_equal(command_publish_encode(&body, &head, &message), RC_OK);
    assert_int_equal(command_doubt_encode(&list, DOUBT_LIST, 3, 0, entries, 2), RC_OK);
    const struct command_trim_entry trim = {2, 2};
    struct buf trims = {0};
    assert_int_equal(command_trim_encode(&trims, 1, &trim, 1), RC_OK);
    uint8_t end[16] = {DOUBT_END};
    const struct {
        enum record_type type;
        uint64_t prev;
        struct bytes body;
    } records[] = {
        {RECORD_PUBLISH, 6, buf_bytes(&body)}, /* "a" has lost a record */
        {RECORD_TRIM, 0, buf_bytes(&trims)},   /* in doubt: every channel gets an epoch */
        {RECORD_TRIM, 0, buf_bytes(&trims)},   {RECORD_DOUBT, 0, bytes_of(end, sizeof(end))},
        {RECORD_DOUBT, 0, buf_bytes(&list)},   {RECORD_DOUBT, 0, buf_bytes(&list)},
        {RECORD_DOUBT, 0, buf_bytes(&list)},
    };
    unsigned failures = 0;
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        const uint64_t before = hash_of(&s);
        enum rc rc = RC_NOMEM;
        for (uint64_t k = 1; rc == RC_NOMEM; k++) {
            mem_fault_set(k, 0);
            rc = apply(&s, records[i].type, 8 + i, records[i].prev, records[i].body);
            mem_fault_set(0, 0);
            /* The first is a replay's, where a failure ends all: only the others undo. */
            assert_true(rc == RC_OK || i == 0 || hash_of(&s) == before);
            failures += rc == RC_NOMEM;
        }
        assert_int_equal(rc, RC_OK);
    }
    assert_true(failures >= 5);
    buf_deinit(&trims);
    buf_deinit(&body);
    buf_deinit(&list);
    state_deinit(&s);
}

static void bodies_that_are_none_are_refused(void **state)
{
    (void)state;
    static const enum record_type types[] = {RECORD_PUBLISH, RECORD_TRIM, RECORD_SETTINGS,
                                             RECORD_DOUBT};
    struct state s;
    state_new(&s);
    const uint64_t before = hash_of(&s);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        assert_int_equal(apply(&s, types[i], 1, 0, BYTES_LITERAL("x")), RC_CORRUPT);
    }
    assert_true(hash_of(&s) == before);
    state_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hole_that_is_not_where_it_says_is_refused),
        cmocka_unit_test(several_holes_count_as_one_from_the_first_to_the_last),
        cmocka_unit_test(an_unknown_channel_has_lost_its_beginning_if_that_stood_in_the_hole),
        cmocka_unit_test(at_the_end_of_a_doubt_a_producer_may_go_on_behind_what_it_was_told),
        cmocka_unit_test(behind_a_hole_trims_say_nothing_and_lists_speak_of_all),
        cmocka_unit_test(a_control_record_in_a_hole_ends_every_epoch),
        cmocka_unit_test(a_later_hole_in_front_outlives_the_end_of_a_doubt),
        cmocka_unit_test(behind_a_lost_control_record_no_channel_begins_as_if_nothing_was_lost),
        cmocka_unit_test(a_hole_too_long_to_count_in_ends_every_epoch),
        cmocka_unit_test(without_a_hole_a_wrong_count_of_control_records_is_corrupt),
        cmocka_unit_test(a_list_says_how_far_each_history_is_good),
        cmocka_unit_test(times_and_ticks_do_not_go_back),
        cmocka_unit_test(what_does_not_fit_the_wires_numbers_is_refused),
        cmocka_unit_test(a_failing_allocation_leaves_the_state_as_it_was),
        cmocka_unit_test(bodies_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
