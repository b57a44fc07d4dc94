/* session: seriatim.v1.binary, where it is more than another spelling.
 *
 * Method: units fed in the world of the other tests, which reads what comes out with a reader of
 * its own and judges it as it does JSON. */
#include "world.h"

#include "base/mem.h"
#include "test/lib/packed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct world w;

static struct world_client *opened(void)
{
    const struct world_limits limits = {.codec = WIRE_BINARY, .inflight_max = 100};
    world_init(&w, &limits);
    (void)world_channel(&w, "a");
    (void)world_channel(&w, "b");
    world_open(&w, 0);
    return &w.clients[0];
}

static struct world_client *connected(void)
{
    struct world_client *client = opened();
    (void)world_text(client, "{\"type\":\"connect\",\"id\":1,\"producer\":{\"id\":\"p\"}}");
    world_expect(client, "{\"type\":\"connected\",\"id\":1,\"features\":[\"batch\",\"binary\","
                         "\"cumulative\",\"data_base64\",\"digest\",\"from_time\",\"history\","
                         "\"producer\",\"quiet\",\"when_slow\",\"window\"]}");
    return client;
}

/* There is no JSON form of the wish. */
static struct world_client *connected_cumulative(void)
{
    static const uint8_t connect[] = {3 << 2, 1, 4, 1 << 2};
    struct world_client *client = opened();
    struct bytes rest = bytes_of(connect, sizeof(connect));
    assert_int_equal(world_message(client, &rest), RC_OK);
    world_expect(client, "{\"type\":\"connected\",\"id\":1}");
    return client;
}

static int close_world(void **state)
{
    (void)state;
    world_deinit(&w);
    return 0;
}

static void publish(struct world_client *client, unsigned id, const char *more)
{
    assert_int_equal(
        world_textf(client, "{\"type\":\"publish\",\"channel\":\"a\",\"id\":%u%s}", id, more),
        RC_OK);
}

static void run_to_the_end(struct world_client *client)
{
    world_run(&w);
    assert_int_equal(session_inflight(client->session), 0);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void a_message_of_many_commands_gives_each_its_reply(void **state)
{
    (void)state;
    struct world_client *client = connected();
    struct buf message = {0};
    assert_true(packed_text(&message, BYTES_LITERAL("{\"type\":\"ping\",\"id\":5}")));
    assert_int_equal(buf_append(&message, BYTES_LITERAL("\x0c\x63\x00\x1c")), RC_OK); /* type 99 */
    assert_true(packed_text(&message, BYTES_LITERAL("{\"type\":\"ping\",\"id\":6}")));
    struct bytes rest = buf_bytes(&message);
    for (size_t left = rest.size; left > 0; left = rest.size) {
        assert_int_equal(world_message(client, &rest), RC_OK);
        assert_true(rest.size < left);
    }
    world_expect(client, "{\"type\":\"pong\",\"id\":5}");
    world_expect(client, "{\"type\":\"error\",\"id\":7,\"code\":\"bad_request\"}");
    world_expect(client, "{\"type\":\"pong\",\"id\":6}");
    buf_deinit(&message);
}

static void a_message_that_is_not_made_of_units_ends_it_behind_the_whole_ones(void **state)
{
    (void)state;
    struct world_client *client = connected();
    static const uint8_t bytes[] = {3 << 2, 8, 0, 5 << 2, 9 << 2, 8};
    struct bytes rest = bytes_of(bytes, sizeof(bytes));
    assert_int_equal(world_message(client, &rest), RC_OK);
    assert_int_equal(rest.size, 2);
    assert_int_equal(world_message(client, &rest), RC_OK);
    assert_int_equal(rest.size, 0);
    world_expect(client, "{\"type\":\"pong\",\"id\":5}");
    world_expect(client, "{\"type\":\"error\",\"code\":\"bad_request\","
                         "\"message\":\"the frame is not made of whole commands\"}");
    assert_int_equal(client->close_code, WS_CLOSE_BAD_REQUEST);
}

static void an_empty_message_ends_it(void **state)
{
    (void)state;
    struct world_client *client = connected();
    struct bytes rest = {0};
    assert_int_equal(world_message(client, &rest), RC_OK);
    world_expect(client, "{\"type\":\"error\",\"code\":\"bad_request\"}");
    assert_int_equal(client->close_code, WS_CLOSE_BAD_REQUEST);
}

static void what_comes_before_connect_ends_it(void **state)
{
    (void)state;
    struct world_client *client = opened();
    (void)world_text(client, "{\"type\":\"ping\",\"id\":5}");
    world_expect(client, "{\"type\":\"error\",\"id\":5,\"code\":\"unauthorized\"}");
    assert_int_equal(client->close_code, WS_CLOSE_UNAUTHORIZED);
}

static void a_publish_without_room_stays_in_its_message(void **state)
{
    (void)state;
    struct world_client *client = connected();
    struct buf message = {0};
    assert_true(packed_text(&message, BYTES_LITERAL("{\"type\":\"ping\",\"id\":5}")));
    const size_t ping = message.size;
    assert_true(packed_text(
        &message, BYTES_LITERAL("{\"type\":\"publish\",\"id\":6,\"channel\":\"a\",\"data\":1}")));
    struct bytes rest = buf_bytes(&message);
    w.publish_full = true;
    assert_int_equal(world_message(client, &rest), RC_OK);
    assert_int_equal(world_message(client, &rest), RC_FULL);
    assert_int_equal(rest.size, message.size - ping);
    assert_int_equal(session_inflight(client->session), 0);
    w.publish_full = false;
    assert_int_equal(world_message(client, &rest), RC_OK);
    run_to_the_end(client);
    world_expect(client, "{\"type\":\"pong\",\"id\":5}");
    world_expect(client, "{\"type\":\"published\",\"id\":6,\"seq\":1}");
    buf_deinit(&message);
}

static void check_epochs(struct world_client *client)
{
    world_publish(&w, 0, 3, 3);
    (void)world_text(client, "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\","
                             "\"from\":{\"epoch\":\"0\",\"seq\":2}}");
    world_run(&w);
    world_expect(client, "{\"type\":\"error\",\"id\":2,\"code\":\"gap\",\"reason\":\"epoch\"}");
    char epoch[WIRE_EPOCH_TEXT_SIZE];
    wire_epoch_text(WORLD_EPOCH, epoch);
    (void)world_textf(client,
                      "{\"type\":\"subscribe\",\"id\":3,\"channel\":\"a\","
                      "\"from\":{\"epoch\":\"%s\",\"seq\":2}}",
                      epoch);
    world_run(&w);
    world_expect(client, "{\"type\":\"subscribed\",\"id\":3,\"next\":2}");
    world_expect(client, "{\"type\":\"message\",\"seq\":2}");
    world_expect(client, "{\"type\":\"message\",\"seq\":3}");
}

/* 0 is the epoch of no channel. */
static void an_epoch_that_no_channel_could_have_is_a_gap_in_either_codec(void **state)
{
    (void)state;
    check_epochs(connected());
    world_deinit(&w);
    const struct world_limits limits = {.codec = WIRE_JSON};
    world_init(&w, &limits);
    (void)world_channel(&w, "a");
    struct world_client *client = world_connect(&w, 0);
    world_run(&w);
    world_expect(client, "{\"type\":\"connected\",\"id\":1}");
    check_epochs(client);
}

/* ---- quiet ----------------------------------------------------------------------------------- */

static void check_quiet(enum wire_codec codec)
{
    const struct world_limits limits = {.codec = codec};
    world_init(&w, &limits);
    (void)world_channel(&w, "a");
    struct world_client *client = world_connect(&w, 0);
    world_run(&w);
    world_expect(client, "{\"type\":\"connected\",\"id\":1}");
    publish(client, 2, ",\"data\":1,\"quiet\":true");
    (void)world_text(client, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":1,\"quiet\":true}");
    publish(client, 3, ",\"data\":1,\"quiet\":false");
    run_to_the_end(client);
    world_expect(client, "{\"type\":\"published\",\"id\":3,\"seq\":3}");
    assert_int_equal(json_array_size(client->inbox), 0);
    w.verdict.verdict = PUBLISH_UNAVAILABLE;
    publish(client, 4, ",\"data\":1,\"quiet\":true");
    run_to_the_end(client);
    world_expect(client, "{\"type\":\"error\",\"id\":4,\"code\":\"unavailable\"}");
    publish(client, 5, ",\"data\":1,\"quiet\":true,\"producer_seq\":1");
    run_to_the_end(client);
    world_expect(client, "{\"type\":\"error\",\"id\":5,\"code\":\"bad_request\"}");
}

static void a_quiet_publish_is_answered_only_by_an_error(void **state)
{
    (void)state;
    check_quiet(WIRE_JSON);
    world_deinit(&w);
    check_quiet(WIRE_BINARY);
}

/* ---- cumulative published -------------------------------------------------------------------- */

static void a_run_of_publishes_is_answered_once(void **state)
{
    (void)state;
    struct world_client *client = connected_cumulative();
    for (unsigned id = 10; id < 15; id++) {
        publish(client, id, ",\"data\":1");
    }
    publish(client, 15, ",\"batch\":[{\"data\":1},{\"data\":2},{\"data\":3}]");
    publish(client, 16, ",\"data\":1");
    run_to_the_end(client);
    world_expect(client, "{\"type\":\"published\",\"id\":10,\"channel\":\"a\",\"seq\":1,"
                         "\"message_id\":\"7000001\",\"count\":9,\"publishes\":7}");
    assert_int_equal(json_array_size(client->inbox), 0);
}

static void one_publish_alone_is_no_run(void **state)
{
    (void)state;
    struct world_client *client = connected_cumulative();
    publish(client, 10, ",\"data\":1");
    run_to_the_end(client);
    publish(client, 11, ",\"batch\":[{\"data\":1},{\"data\":2}]");
    run_to_the_end(client);
    for (unsigned i = 0; i < 2; i++) {
        json_t *text = json_array_get(client->inbox, i);
        assert_null(json_object_get(text, "publishes"));
    }
    world_expect(client, "{\"type\":\"published\",\"id\":10,\"seq\":1}");
    world_expect(client, "{\"type\":\"published\",\"id\":11,\"seq\":2,\"count\":2}");
}

/* Ids that leave one out, one without an id, a message of somebody else's in between. */
static void what_does_not_follow_ends_a_run(void **state)
{
    (void)state;
    struct world_client *client = connected_cumulative();
    publish(client, 10, ",\"data\":1");
    publish(client, 11, ",\"data\":1");
    publish(client, 13, ",\"data\":1");
    (void)world_text(client, "{\"type\":\"publish\",\"channel\":\"a\",\"data\":1}");
    publish(client, 14, ",\"data\":1");
    run_to_the_end(client);
    world_expect(client, "{\"type\":\"published\",\"id\":10,\"seq\":1,\"publishes\":2}");
    world_expect(client, "{\"type\":\"published\",\"id\":13,\"seq\":3}");
    world_expect(client, "{\"type\":\"published\",\"seq\":4}");
    world_expect(client, "{\"type\":\"published\",\"id\":14,\"seq\":5}");
    publish(client, 15, ",\"data\":1");
    world_owners_run(&w);
    world_publish(&w, 0, 1, 1);
    publish(client, 16, ",\"data\":1");
    publish(client, 17, ",\"data\":1,\"quiet\":true");
    publish(client, 18, ",\"data\":1");
    run_to_the_end(client);
    world_expect(client, "{\"type\":\"published\",\"id\":15,\"seq\":6}");
    world_expect(client, "{\"type\":\"published\",\"id\":16,\"seq\":8}");
    world_expect(client, "{\"type\":\"published\",\"id\":18,\"seq\":10}");
    assert_int_equal(json_array_size(client->inbox), 0);
}

static void another_channel_ends_a_run(void **state)
{
    (void)state;
    struct world_client *client = connected_cumulative();
    publish(client, 10, ",\"data\":1");
    world_owners_run(&w);
    (void)world_text(client, "{\"type\":\"publish\",\"id\":11,\"channel\":\"b\",\"data\":1}");
    world_owners_run(&w);
    (void)world_text(client, "{\"type\":\"publish\",\"id\":12,\"channel\":\"b\",\"data\":1}");
    run_to_the_end(client);
    world_expect(client, "{\"type\":\"published\",\"id\":10,\"channel\":\"a\",\"seq\":1}");
    world_expect(client, "{\"type\":\"published\",\"id\":11,\"channel\":\"b\",\"publishes\":2}");
}

static void duplicates_and_refusals_end_a_run_and_are_told_alone(void **state)
{
    (void)state;
    static const enum publish_verdict verdicts[] = {PUBLISH_DUPLICATE, PUBLISH_UNAVAILABLE};
    for (unsigned i = 0; i < 2; i++) {
        struct world_client *client = connected_cumulative();
        publish(client, 10, ",\"data\":1");
        publish(client, 11, ",\"data\":1");
        world_owners_run(&w);
        w.verdict = (struct publish_result){.verdict = verdicts[i], .has_seq = i == 0, .seq = 3};
        publish(client, 12, ",\"data\":1");
        world_owners_run(&w);
        w.verdict = (struct publish_result){.verdict = PUBLISH_ACCEPTED};
        publish(client, 13, ",\"data\":1");
        run_to_the_end(client);
        world_expect(client, "{\"type\":\"published\",\"id\":10,\"seq\":1,\"publishes\":2}");
        world_expect(client, i == 0 ? "{\"type\":\"published\",\"id\":12,\"duplicate\":true}"
                                    : "{\"type\":\"error\",\"id\":12,\"code\":\"unavailable\"}");
        world_expect(client, "{\"type\":\"published\",\"id\":13,\"seq\":3}");
        world_deinit(&w);
    }
    (void)opened();
}

/* Each allocation fails in turn: the connection ends, or everything is told. */
static void a_run_that_finds_no_memory_ends_the_connection(void **state)
{
    (void)state;
    unsigned ended = 0;
    for (uint64_t k = 1;; k++) {
        struct world_client *client = opened();
        static const uint8_t connect[] = {3 << 2, 1, 4, 1 << 2};
        struct bytes rest = bytes_of(connect, sizeof(connect));
        w.fault_at = w.fault_seen + k;
        (void)world_message(client, &rest);
        for (unsigned id = 10; id < 13; id++) {
            (void)world_textf(client,
                              "{\"type\":\"publish\",\"channel\":\"a\",\"id\":%u,\"data\":1}", id);
        }
        world_run(&w);
        const bool killed = client->killed;
        w.fault_at = 0;
        if (!killed) {
            world_expect(client, "{\"type\":\"connected\",\"id\":1}");
            world_expect(client, "{\"type\":\"published\",\"id\":10,\"publishes\":3}");
            break;
        }
        ended++;
        world_deinit(&w);
    }
    assert_true(ended >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_message_of_many_commands_gives_each_its_reply, close_world),
        cmocka_unit_test_teardown(a_message_that_is_not_made_of_units_ends_it_behind_the_whole_ones,
                                  close_world),
        cmocka_unit_test_teardown(an_empty_message_ends_it, close_world),
        cmocka_unit_test_teardown(what_comes_before_connect_ends_it, close_world),
        cmocka_unit_test_teardown(a_publish_without_room_stays_in_its_message, close_world),
        cmocka_unit_test_teardown(an_epoch_that_no_channel_could_have_is_a_gap_in_either_codec,
                                  close_world),
        cmocka_unit_test_teardown(a_quiet_publish_is_answered_only_by_an_error, close_world),
        cmocka_unit_test_teardown(a_run_of_publishes_is_answered_once, close_world),
        cmocka_unit_test_teardown(one_publish_alone_is_no_run, close_world),
        cmocka_unit_test_teardown(what_does_not_follow_ends_a_run, close_world),
        cmocka_unit_test_teardown(another_channel_ends_a_run, close_world),
        cmocka_unit_test_teardown(duplicates_and_refusals_end_a_run_and_are_told_alone,
                                  close_world),
        cmocka_unit_test_teardown(a_run_that_finds_no_memory_ends_the_connection, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
