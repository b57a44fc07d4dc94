/* server/conn, conn_ws, http_api: a reactor with connections that the test holds the other end of.
 *
 * Goal: what a peer does that few peers do, or that the machine has no room for, harms that
 * connection at most; whichever allocation fails, what was counted for it is counted no more, and
 * the next client is served.
 * Method: world.h. Scripts that say a bit of everything run once for each allocation that fails in
 * them, each time in a process of its own, for the server may end itself: where it could only go on
 * by breaking a promise. */
#include "unit/server/world.h"

#include "base/mem.h"
#include "base/tune.h"
#include "lib/failing.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world_config(world);
    world_open(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    failing_clear();
    tune = tune_default;
    world_close(world);
    free(world);
    return 0;
}

static uint64_t connections(struct world *world)
{
    return stats_counter_get(&world->server.connections);
}

static unsigned count_frames(const struct client *client, unsigned opcode)
{
    unsigned count = 0;
    struct client_frame frame;
    for (unsigned n = 0; client_frame_nth(client, n, &frame); n++) {
        count += frame.opcode == opcode;
    }
    return count;
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* Talks until the kernel takes no more and more than a little waits to be sent. */
static bool client_stops_listening(struct world *world, struct client *client)
{
    client_open(world, client, 4096);
    const bool connected = client_connect(world, client);
    for (int i = 0; connected && i < 400; i++) {
        client_text(client, "{\"type\":\"unsubscribe\",\"id\":5,\"channel\":\"a channel\"}");
        world_turn(world);
    }
    return connected;
}

/* [WS 5.5.3] */
static void of_pings_that_wait_only_the_latest_is_answered(void **state)
{
    struct world *world = *state;
    static const char *const payloads[][3] = {{"one", "two", "three"}, {"one", "two", ""}};
    for (size_t i = 0; i < 2; i++) {
        struct client client;
        assert_true(client_stops_listening(world, &client));
        for (int n = 0; n < 3; n++) {
            client_frame(&client, 9, bytes_of_text(payloads[i][n]));
            world_turn(world);
        }
        client_text(&client, "{\"type\":\"ping\",\"id\":99}");
        assert_true(client_hears(world, &client, "\"id\":99"));
        world_turns(world, 3);
        client_read(&client);
        struct client_frame frame;
        unsigned pongs = 0;
        for (unsigned n = 0; client_frame_nth(&client, n, &frame); n++) {
            if (frame.opcode == 10) {
                assert_true(bytes_equal(frame.payload, bytes_of_text(payloads[i][2])));
                pongs++;
            }
        }
        assert_int_equal(pongs, 1);
        assert_false(client.ended);
        client_close(&client);
    }
}

static void pings_of_who_listens_are_all_answered(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(world, &client, 0);
    assert_true(client_upgrade(world, &client)); /* before connect, too */
    for (int n = 0; n < 3; n++) {
        client_frame(&client, 9, BYTES_LITERAL("again"));
    }
    world_turns(world, 3);
    client_read(&client);
    assert_int_equal(count_frames(&client, 10), 3);
    client_close(&client);
}

static void a_close_is_answered_with_its_code(void **state)
{
    struct world *world = *state;
    static const struct {
        struct bytes payload;
        uint8_t answer[2];
    } rows[] = {
        {{(const uint8_t *)"", 0}, {0x03, 0xE8}}, /* none: 1000 */
        {{(const uint8_t *)"\x03\xE8", 2}, {0x03, 0xE8}},
        {{(const uint8_t *)"\x0F\xA0go", 4}, {0x0F, 0xA0}}, /* 4000, with a reason */
        {{(const uint8_t *)"\x00\x01", 2}, {0x03, 0xEA}},   /* no code: 1002 */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client client;
        client_open(world, &client, 0);
        assert_true(client_connect(world, &client));
        client_frame(&client, 8, rows[i].payload);
        client_waits_for_end(world, &client);
        assert_int_equal(count_frames(&client, 8), 1);
        struct client_frame frame = {0};
        for (unsigned n = 0; client_frame_nth(&client, n, &frame); n++) {
        }
        assert_true(frame.payload.size >= 2);
        assert_memory_equal(frame.payload.data, rows[i].answer, 2);
        client_close(&client);
    }
}

/* ---- a turn ---------------------------------------------------------------------------------- */

#define UPGRADE                                                                                    \
    "GET /v1/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"                                    \
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                                          \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/* But not where they begin. */
static void forget_frames(struct client *client)
{
    const uint8_t *end = memmem(client->in, client->in_size, "\r\n\r\n", 4);
    assert_non_null(end);
    client->in_size = (size_t)(end - client->in) + 4;
}

/* Turns until something has come; how many frames it is by then. */
static unsigned frames_of_a_turn(struct world *world, struct client *client)
{
    struct client_frame frame;
    unsigned count = 0;
    for (unsigned i = 0; count == 0 && i < 1000; i++) {
        world_turn(world);
        client_read(client);
        while (client_frame_nth(client, count, &frame)) {
            count++;
        }
    }
    return count;
}

/* [I12] A message of a few MiB may be a million commands. */
static void a_message_of_many_commands_is_no_longer_than_others_turns(void **state)
{
    struct world *world = *state;
    enum { PINGS = 4096, SHARE = 256 };
    static uint8_t pings[PINGS][4];
    struct client client;
    client_open(world, &client, 0);
    client_say(&client, UPGRADE "Sec-WebSocket-Protocol: seriatim.v1.binary\r\n\r\n");
    assert_true(client_hears(world, &client, "\r\n\r\n"));
    client_frame(&client, 2, BYTES_LITERAL("\x0C\x01\x00\x04")); /* connect, id 1 */
    assert_true(client_hears(world, &client, "\"type\":\"connected\""));
    for (unsigned i = 0; i < PINGS; i++) {
        bytes_copy(pings[i], "\x0C\x08\x00\x08", 4); /* ping, id 2 */
    }
    forget_frames(&client);
    tune.read_bytes = SHARE * sizeof(pings[0]);
    client_frame(&client, 2, bytes_of(pings[0], sizeof(pings)));
    const unsigned first = frames_of_a_turn(world, &client);
    assert_in_range(first, SHARE, 2 * SHARE); /* as it is read, and when it is its turn to send */
    for (unsigned i = 0; i < 2 * PINGS / SHARE; i++) {
        world_turn(world);
    }
    client_read(&client);
    assert_int_equal(count_frames(&client, 2), PINGS); /* each is answered, by nothing but turns */
    client_close(&client);
}

static bool deflate_append(struct buf *to, const char *text)
{
    struct deflater *deflater = NULL;
    const struct deflater_options options = {.window_bits = 15, .memory_level = 8};
    bool done = deflater_new(&options, &deflater) == RC_OK &&
                deflater_append(deflater, bytes_of_text(text), to) == RC_OK;
    deflater_free(deflater);
    return done;
}

/* [I12] A few KiB may be as many messages of some MiB. */
static void messages_that_inflate_to_much_have_their_turns(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    (void)state;
    assert_non_null(world);
    enum { MESSAGES = 20, SIZE = 40000 };
    char text[SIZE + 1];
    (void)snprintf(text, sizeof(text), "%-*s}", SIZE - 1, "{\"type\":\"ping\",\"id\":2");
    struct buf deflated = {0};
    assert_true(deflate_append(&deflated, text));
    world_config(world);
    world->config.deflate_mode = DEFLATE_SHARED;
    world_open(world);
    struct client client;
    client_open(world, &client, 0);
    client_say(&client, UPGRADE "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    assert_true(client_hears(world, &client, "permessage-deflate"));
    client_text(&client, "{\"type\":\"connect\",\"id\":1}");
    assert_true(client_hears(world, &client, "\"type\":\"connected\""));
    forget_frames(&client);
    tune.read_bytes = SIZE;
    for (unsigned i = 0; i < MESSAGES; i++) {
        client_frame(&client, 0x41, buf_bytes(&deflated));
    }
    const unsigned first = frames_of_a_turn(world, &client);
    assert_in_range(first, 1, 2); /* as it is read, and when it is its turn to send */
    world_turns(world, MESSAGES);
    client_read(&client);
    assert_int_equal(count_frames(&client, 1), MESSAGES);
    client_close(&client);
    tune = tune_default;
    world_close(world);
    buf_deinit(&deflated);
    free(world);
}

/* ---- the machine has no room ----------------------------------------------------------------- */

static void who_cannot_be_waited_for_is_closed(void **state)
{
    struct world *world = *state;
    struct client client;
    failing_set(FAILING_epoll_ctl, 1, 1, ENOSPC);
    client_open(world, &client, 0);
    client_waits_for_end(world, &client);
    client_close(&client);
    assert_int_equal(connections(world), 0);
    client_open(world, &client, 0);
    assert_true(client_connect(world, &client));
    failing_set(FAILING_epoll_ctl, 1, 1, ENOMEM);
    client_close(&client); /* reading ends, in the world's next turns */
    world_turns(world, 3);
    failing_clear();
    assert_int_equal(connections(world), 0);
}

static void a_change_of_what_is_waited_for_that_fails_closes(void **state)
{
    struct world *world = *state;
    struct client client;
    client_open(world, &client, 4096);
    assert_true(client_connect(world, &client));
    failing_set(FAILING_epoll_ctl, 1, 1, ENOMEM);
    for (int i = 0; i < 400 && !client.ended; i++) {
        client_text(&client, "{\"type\":\"unsubscribe\",\"id\":5,\"channel\":\"a channel\"}");
        world_turn(world); /* until it would have to wait for room to write */
    }
    assert_int_equal(failing_hits(FAILING_epoll_ctl), 1);
    client_waits_for_end(world, &client);
    client_close(&client);
    assert_int_equal(connections(world), 0);
}

static void a_handle_that_no_connection_has_finds_none(void **state)
{
    struct world *world = *state;
    struct client client;
    assert_null(conn_find(&world->reactor, 0)); /* there never was one */
    client_open(world, &client, 0);
    struct conn *conn = conn_table_at(&world->reactor.conns, 0);
    assert_non_null(conn);
    const uint64_t handle = conn_handle(conn);
    assert_ptr_equal(conn_find(&world->reactor, handle), conn);
    assert_null(conn_find(&world->reactor, handle + 1));
    assert_null(conn_find(&world->reactor, handle + conn_table_end(&world->reactor.conns)));
    assert_null(conn_find(&world->reactor, handle + (UINT64_C(1) << 32))); /* the next one there */
    client_close(&client);
    world_turns(world, 2);
    assert_null(conn_find(&world->reactor, handle));
}

static void there_is_room_for_many(void **state)
{
    struct world *world = *state;
    static struct client clients[150]; /* the table grows twice */
    for (size_t i = 0; i < 150; i++) {
        client_open(world, &clients[i], 0);
    }
    for (size_t i = 0; i < 150; i++) {
        client_say(&clients[i], "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (size_t i = 0; i < 150; i++) {
        assert_true(client_hears(world, &clients[i], "{\"status\":\"ok\"}"));
        client_close(&clients[i]);
    }
    world_turns(world, 2);
    assert_int_equal(connections(world), 0);
}

/* [I12] The first takes some of the room, so that the second must wait; for the third there would
 * be enough, and for all that come behind it, but it is not its turn. */
static void a_small_publish_does_not_slip_past_a_large_one(void **state)
{
    struct world *world = *state;
    static struct client clients[3];
    static const int sizes[3] = {100, 400, 1};
    tune.credit_bytes = 250;
    for (unsigned i = 0; i < 3; i++) {
        client_open(world, &clients[i], 0);
        assert_true(client_connect(world, &clients[i]));
    }
    for (unsigned i = 0; i < 3; i++) {
        char text[600];
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"publish\",\"id\":2,\"channel\":\"w\",\"data\":\"%0*d\"}",
                       sizes[i], 0);
        client_text(&clients[i], text);
    }
    for (unsigned i = 0; i < 3; i++) {
        char seq[16];
        assert_true(client_hears(world, &clients[i], "\"published\""));
        (void)snprintf(seq, sizeof(seq), "\"seq\":%u,", i + 1);
        assert_non_null(strstr(client_in(&clients[i]), seq));
        client_close(&clients[i]);
    }
}

/* ---- whichever allocation fails -------------------------------------------------------------- */

static void script_talk(struct world *world, struct client *client)
{
    static const char *const rows[][2] = {
        {"{\"type\":\"subscribe\",\"id\":2,\"channel\":\"a\",\"from\":\"earliest\"}", "\"id\":2"},
        {"{\"type\":\"publish\",\"id\":3,\"channel\":\"a\",\"data\":{\"n\":1}}", "\"id\":3"},
        {"{\"type\":\"ack\",\"channel\":\"a\",\"seq\":1}", ""},
        {"{\"type\":\"history\",\"id\":4,\"channel\":\"a\",\"limit\":5}", "\"id\":4"},
        {"{\"type\":\"digest\",\"id\":5,\"channel\":\"a\"}", "\"id\":5"},
        {"{\"type\":\"nothing\",\"id\":6}", "\"id\":6"},
        {"{\"type\":\"unsubscribe\",\"id\":7,\"channel\":\"a\"}", "\"id\":7"},
        {"{\"type\":\"ping\",\"id\":8}", "\"id\":8"},
    };
    bool open = client_connect(world, client);
    for (size_t i = 0; open && i < sizeof(rows) / sizeof(rows[0]); i++) {
        client_text(client, rows[i][0]);
        open = client_hears(world, client, rows[i][1]);
    }
    client_frame(client, 9, BYTES_LITERAL("ping"));
    client_frame(client, 8, BYTES_LITERAL("\x03\xE8"));
    client_waits_for_end(world, client);
}

/* Its body comes when it was asked for. */
#define CONTINUES                                                                                  \
    "POST /v1/publish HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"                             \
    "Content-Length: 24\r\n\r\n"

/* What is answered is for others to say; here it may be that there is no memory. */
static void script_http(struct world *world, struct client *client)
{
    static const char *const rows[] = {
        "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        CONTINUES,
        "{\"channel\":\"h\",\"data\":1}",
        "GET /v1/channels/h/messages?limit=3 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v1/channels/h/digest HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v1/channels/h/digest?seq=9 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "no request\r\n\r\n",
    };
    bool open = true;
    for (size_t i = 0; open && i < sizeof(rows) / sizeof(rows[0]); i++) {
        client_forget(client);
        client_say(client, rows[i]);
        open = client_hears(world, client, "HTTP/1.1 ");
    }
    client_waits_for_end(world, client);
}

/* The second publish finds no room, and waits; over both doors. */
static void script_wait(struct world *world, struct client *client)
{
    struct client other;
    tune.credit_bytes = 8;
    client_open(world, &other, 0);
    if (client_connect(world, client)) {
        client_text(client, "{\"type\":\"publish\",\"id\":2,\"channel\":\"w\",\"data\":1}");
        client_text(client, "{\"type\":\"publish\",\"id\":3,\"channel\":\"w\",\"data\":2}");
        client_say(&other, "POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 24\r\n\r\n"
                           "{\"channel\":\"w\",\"data\":1}");
        (void)(client_hears(world, client, "\"id\":3") && client_hears(world, &other, "HTTP/1.1 "));
    }
    tune = tune_default;
    client_close(&other);
}

/* Silence, and a pong that does not come. */
static void script_silence(struct world *world, struct client *client)
{
    struct client early;
    client_open(world, &early, 0);
    const bool upgraded = client_upgrade(world, &early);
    (void)client_connect(world, client);
    world_later(world, world->config.ping_interval_ms + 2000);
    world_later(world, world->config.pong_timeout_ms + 2000);
    world_later(world, 10000);
    client_waits_for_end(world, client);
    if (upgraded) {
        client_waits_for_end(world, &early); /* it has never connected */
    }
    client_close(&early);
}

static void script_pings(struct world *world, struct client *client)
{
    client_close(client);
    if (client_stops_listening(world, client)) {
        client_frame(client, 9, BYTES_LITERAL("one"));
        world_turn(world);
        client_frame(client, 9, BYTES_LITERAL("two"));
        world_turn(world);
        client_text(client, "{\"type\":\"ping\",\"id\":99}");
        (void)client_hears(world, client, "\"id\":99");
    }
}

/* A server that is about to stop. */
static void script_drain(struct world *world, struct client *client)
{
    struct client late;
    client_open(world, &late, 0);
    if (client_connect(world, client)) {
        conns_goaway(&world->reactor);
        world->reactor.draining = true;
        (void)(client_upgrade(world, &late) && client_hears(world, client, "\"goaway\""));
        conns_close(&world->reactor, false);
        client_frame(client, 8, BYTES_LITERAL("\x03\xE9"));
        client_waits_for_end(world, client);
    }
    world->reactor.draining = false;
    client_close(&late);
}

static const struct script {
    const char *name;
    void (*run)(struct world *world, struct client *client);
} scripts[] = {
    {"talk", script_talk},       {"http", script_http},   {"wait", script_wait},
    {"silence", script_silence}, {"pings", script_pings}, {"drain", script_drain},
};

/* Status of a child. */
enum outcome {
    OUTCOME_HIT = 0,
    OUTCOME_ENDED = 1, /* mem_exhausted(): committed messages could not be told */
    OUTCOME_NO_SUCH_CALL = 10,
    OUTCOME_NOT_SERVED,
    OUTCOME_CONNECTIONS_KEPT,
    OUTCOME_MEMORY_KEPT,
};

/* A log that has just had no memory is tried again each second. */
static bool serves(struct world *world)
{
    struct client client;
    client_open(world, &client, 0);
    bool served = false;
    bool open = client_connect(world, &client);
    for (int i = 0; open && !served && i < 100; i++) {
        client_forget(&client);
        client_text(&client, "{\"type\":\"publish\",\"id\":77,\"channel\":\"z\",\"data\":1}");
        open = client_hears(world, &client, "\"id\":77");
        served = open && client_has(&client, BYTES_LITERAL("\"type\":\"published\",\"id\":77"));
        world_later(world, served ? 0 : 1500);
        world_turns(world, 10); /* the committer's time is real */
    }
    client_close(&client);
    return served;
}

static enum outcome script_child(const struct script *script, enum failing_call call, uint64_t nth)
{
    static struct world world;
    const int64_t blocks = failing_blocks();
    world_config(&world);
    world_open(&world);
    struct client client;
    client_open(&world, &client, 0);
    failing_set(call, nth, 1, ENOMEM);
    script->run(&world, &client);
    const bool hit = failing_hits(call) > 0;
    failing_clear();
    client_close(&client);
    const bool served = serves(&world);
    world_turns(&world, 3);
    const bool kept = connections(&world) != 0;
    world_close(&world);
    return !served                      ? OUTCOME_NOT_SERVED
           : kept                       ? OUTCOME_CONNECTIONS_KEPT
           : failing_blocks() != blocks ? OUTCOME_MEMORY_KEPT
           : hit                        ? OUTCOME_HIT
                                        : OUTCOME_NO_SUCH_CALL;
}

/* False: there is no such allocation. */
static bool script_fail(const struct script *script, enum failing_call call, uint64_t nth)
{
    int words_pipe[2];
    char words[2048] = "";
    assert_int_equal(pipe(words_pipe), 0);
    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(60);
        (void)dup2(words_pipe[1], STDERR_FILENO);
        exit((int)script_child(script, call, nth));
    }
    assert_int_equal(close(words_pipe[1]), 0);
    size_t size = 0;
    ssize_t got;
    while ((got = read(words_pipe[0], words + size, sizeof(words) - 1 - size)) > 0) {
        size += (size_t)got;
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(close(words_pipe[0]), 0);
    const int outcome = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (outcome == OUTCOME_ENDED && strstr(words, "seriatim: out of memory: ") != NULL) {
        return true;
    }
    if (outcome != OUTCOME_HIT && outcome != OUTCOME_NO_SUCH_CALL) {
        fail_msg("script %s, %s number %u: outcome %d\n%s", script->name, failing_name(call),
                 (unsigned)nth, outcome, words);
    }
    return outcome == OUTCOME_HIT;
}

static void whichever_allocation_fails_others_are_served(void **state)
{
    (void)state;
    static const enum failing_call calls[] = {FAILING_mem_alloc, FAILING_mem_calloc,
                                              FAILING_mem_realloc};
    for (size_t s = 0; s < sizeof(scripts) / sizeof(scripts[0]); s++) {
        uint64_t count = 0;
        for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
            for (uint64_t nth = 1; script_fail(&scripts[s], calls[c], nth); nth++) {
                count++;
            }
        }
        assert_true(count > 5);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(of_pings_that_wait_only_the_latest_is_answered),
        CASE(pings_of_who_listens_are_all_answered),
        CASE(a_close_is_answered_with_its_code),
        CASE(a_message_of_many_commands_is_no_longer_than_others_turns),
        cmocka_unit_test(messages_that_inflate_to_much_have_their_turns),
        CASE(who_cannot_be_waited_for_is_closed),
        CASE(a_change_of_what_is_waited_for_that_fails_closes),
        CASE(a_handle_that_no_connection_has_finds_none),
        CASE(there_is_room_for_many),
        CASE(a_small_publish_does_not_slip_past_a_large_one),
        cmocka_unit_test(whichever_allocation_fails_others_are_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
