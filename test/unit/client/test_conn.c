/* client/conn: one connection, from the first address to the last byte.
 * Method: the test is the server (peer.h), on a socket of its own; it says what a good one says,
 * cut anywhere, and what a bad one says, and the events must tell what it was. */
#include "client/conn.h"

#include "base/mem.h"
#include "peer.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for what the connection waits for, and lets it work. */
static void turn(struct client_conn *conn, int timeout_ms)
{
    struct pollfd ready = {.fd = client_conn_fd(conn), .events = client_conn_events(conn)};
    (void)poll(&ready, 1, timeout_ms);
    client_conn_on_ready(conn);
}

/* The next event, waited for. */
static struct client_conn_event next(struct client_conn *conn)
{
    const uint64_t end_ms = now_ms() + PEER_WAIT_MS;
    struct client_conn_event event;
    client_conn_next(conn, &event);
    while (event.type == CONN_NONE) {
        assert_true(now_ms() < end_ms);
        turn(conn, 100);
        client_conn_next(conn, &event);
    }
    return event;
}

static void expect_text(struct client_conn *conn, const char *text)
{
    const struct client_conn_event event = next(conn);
    assert_int_equal(event.type, CONN_TEXT);
    assert_true(bytes_equal(event.text, bytes_of_text(text)));
}

/* It ends so, with these words. */
static void expect_end(struct client_conn *conn, enum client_conn_end end, const char *why)
{
    assert_int_equal(next(conn).type, CONN_CLOSED);
    if (strstr(client_conn_why(conn), why) == NULL) {
        print_error("%s\n", client_conn_why(conn));
        fail();
    }
    assert_int_equal(client_conn_end(conn), end);
    /* And it stays so. */
    client_conn_on_ready(conn);
    assert_int_equal(client_conn_events(conn), 0);
    assert_int_equal(next(conn).type, CONN_CLOSED);
    assert_int_equal(client_conn_send(conn, BYTES_LITERAL("x")), RC_CLOSED);
}

/* Sends the request; the answer is up to the test. */
static struct client_conn *dial(struct peer *peer)
{
    struct client_conn *conn = NULL;
    peer_open(peer);
    assert_int_equal(client_conn_open(&peer->url, WIRE_JSON, &conn), RC_OK);
    assert_int_equal(client_conn_events(conn), POLLOUT);
    assert_int_equal(client_conn_send(conn, BYTES_LITERAL("too soon")), RC_CLOSED);
    peer_accept(peer);
    turn(conn, PEER_WAIT_MS);
    return conn;
}

static struct client_conn *open_pair(struct peer *peer)
{
    struct client_conn *conn = dial(peer);
    peer_greet(peer);
    assert_int_equal(next(conn).type, CONN_OPEN);
    return conn;
}

static void close_pair(struct peer *peer, struct client_conn *conn)
{
    client_conn_close(conn);
    peer_close(peer);
}

/* The next frame of the client's, waited for. */
static struct ws_event frame_of(struct peer *peer, struct client_conn *conn)
{
    const uint64_t end_ms = now_ms() + PEER_WAIT_MS;
    struct ws_event event;
    while (!peer_next(peer, &event)) {
        assert_true(now_ms() < end_ms);
        turn(conn, 1);
        assert_true(peer_read(peer));
    }
    return event;
}

/* ---- what a good server does --------------------------------------------------------------- */

static void answers_and_frames_are_taken_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 400; piece = piece * 3 + 1) {
        struct peer peer;
        struct client_conn *conn = dial(&peer);
        struct buf all = {0};
        peer_answer(&peer, &all);
        assert_int_equal(ws_frame_append(&all, WS_TEXT, BYTES_LITERAL("one")), RC_OK);
        assert_int_equal(ws_frame_append(&all, WS_PONG, BYTES_LITERAL("")), RC_OK);
        assert_int_equal(ws_frame_append(&all, WS_TEXT, BYTES_LITERAL("two")), RC_OK);
        bool open = false;
        for (size_t at = 0; at < all.size; at += piece) {
            const size_t left = all.size - at;
            peer_write(&peer, bytes_of(all.data + at, piece < left ? piece : left));
            turn(conn, PEER_WAIT_MS);
            struct client_conn_event event = {0};
            if (!open) {
                client_conn_next(conn, &event);
                open = event.type == CONN_OPEN;
            }
        }
        expect_text(conn, "one");
        expect_text(conn, "two");
        buf_deinit(&all);
        close_pair(&peer, conn);
    }
}

static void a_ping_is_answered_with_its_own_bytes(void **state)
{
    (void)state;
    struct peer peer;
    struct client_conn *conn = open_pair(&peer);
    peer_frame(&peer, WS_PING, BYTES_LITERAL("are you there?"));
    peer_say(&peer, "behind it");
    expect_text(conn, "behind it");
    const struct ws_event event = frame_of(&peer, conn);
    assert_int_equal(event.type, WS_EVENT_PONG);
    assert_true(bytes_equal(event.payload, BYTES_LITERAL("are you there?")));
    close_pair(&peer, conn);
}

static void what_is_sent_arrives_whole_also_when_the_other_end_reads_late(void **state)
{
    (void)state;
    static uint8_t large[8u << 20];
    struct peer peer;
    struct client_conn *conn = open_pair(&peer);
    for (size_t i = 0; i < sizeof(large); i++) {
        large[i] = (uint8_t)('a' + i * 7 % 23);
    }
    assert_int_equal(client_conn_send(conn, bytes_of(large, sizeof(large))), RC_OK);
    assert_int_equal(client_conn_send(conn, BYTES_LITERAL("small")), RC_OK);
    turn(conn, PEER_WAIT_MS);
    assert_true(client_conn_pending(conn) > 0); /* no socket takes so much */
    assert_int_equal(client_conn_events(conn), POLLIN | POLLOUT);
    struct ws_event event = frame_of(&peer, conn);
    assert_int_equal(event.type, WS_EVENT_MESSAGE);
    assert_true(bytes_equal(event.payload, bytes_of(large, sizeof(large))));
    event = frame_of(&peer, conn);
    assert_true(bytes_equal(event.payload, BYTES_LITERAL("small")));
    assert_int_equal(client_conn_pending(conn), 0);
    assert_int_equal(client_conn_events(conn), POLLIN);
    close_pair(&peer, conn);
}

/* [WS 5.3] nobody may foresee a key. */
static void every_frame_has_a_key_of_its_own(void **state)
{
    (void)state;
    struct peer peer;
    struct client_conn *conn = open_pair(&peer);
    uint8_t keys[600][4];
    for (size_t i = 0; i < 600; i++) { /* more than one draw of random bytes gives */
        assert_int_equal(client_conn_send(conn, BYTES_LITERAL("x")), RC_OK);
    }
    const uint64_t end_ms = now_ms() + PEER_WAIT_MS;
    while (peer.in.size < sizeof(keys) / 4 * 7) {
        assert_true(now_ms() < end_ms);
        turn(conn, 1);
        assert_true(peer_read(&peer));
    }
    size_t same = 0;
    for (size_t i = 0; i < 600; i++) {
        assert_int_equal(peer.in.data[i * 7 + 1], 0x80 | 1);
        bytes_copy(keys[i], peer.in.data + i * 7 + 2, 4);
        for (size_t other = 0; other < i; other++) {
            same += memcmp(keys[i], keys[other], 4) == 0 ? 1 : 0;
        }
    }
    assert_true(same < 3); /* 32 bits: one in 24,000 runs has a pair by chance */
    close_pair(&peer, conn);
}

static void who_takes_no_events_is_sent_no_more_than_a_little_ahead(void **state)
{
    (void)state;
    struct peer peer;
    struct client_conn *conn = open_pair(&peer);
    char text[1001];
    for (unsigned i = 0; i < 400; i++) {
        (void)snprintf(text, sizeof(text), "%0999u", i);
        peer_say(&peer, text);
    }
    for (unsigned i = 0; i < 50; i++) {
        turn(conn, 1);
    }
    for (unsigned i = 0; i < 400; i++) {
        (void)snprintf(text, sizeof(text), "%0999u", i);
        expect_text(conn, text);
    }
    close_pair(&peer, conn);
}

static void a_goodbye_is_a_normal_close(void **state)
{
    (void)state;
    struct peer peer;
    struct client_conn *conn = dial(&peer);
    client_conn_say_goodbye(conn); /* nobody to say it to yet */
    peer_greet(&peer);
    assert_int_equal(next(conn).type, CONN_OPEN);
    client_conn_say_goodbye(conn);
    const struct ws_event event = frame_of(&peer, conn);
    assert_int_equal(event.type, WS_EVENT_CLOSE);
    assert_int_equal(event.code, WS_CLOSE_NORMAL);
    client_conn_close(conn);
    client_conn_close(NULL);
    peer_close(&peer);
}

static void every_address_of_a_host_is_tried(void **state)
{
    (void)state;
    struct peer peer;
    struct client_conn *conn = NULL;
    peer_open(&peer);
    /* Where it is ::1 as well, and first, nobody listens there. */
    (void)snprintf(peer.url.host, sizeof(peer.url.host), "localhost");
    assert_int_equal(client_conn_open(&peer.url, WIRE_JSON, &conn), RC_OK);
    const uint64_t end_ms = now_ms() + PEER_WAIT_MS;
    while (!peer_waiting(&peer)) {
        assert_true(now_ms() < end_ms);
        turn(conn, 1);
    }
    peer_accept(&peer);
    while (client_conn_events(conn) == POLLOUT) {
        turn(conn, PEER_WAIT_MS);
    }
    peer_greet(&peer);
    assert_int_equal(next(conn).type, CONN_OPEN);
    close_pair(&peer, conn);
}

/* ---- how it ends --------------------------------------------------------------------------- */

static void a_connection_refused_is_lost(void **state)
{
    (void)state;
    struct peer peer;
    struct client_conn *conn = NULL;
    peer_open(&peer);
    peer_stop_listening(&peer);
    assert_int_equal(client_conn_open(&peer.url, WIRE_JSON, &conn), RC_OK);
    expect_end(conn, CONN_END_LOST, "cannot connect to 127.0.0.1:");
    assert_non_null(strstr(client_conn_why(conn), ": Connection refused"));
    close_pair(&peer, conn);
}

static void without_a_descriptor_it_is_lost_at_once(void **state)
{
    (void)state;
    struct peer peer;
    struct client_conn *conn = NULL;
    struct rlimit limit;
    peer_open(&peer);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    const enum rc rc = client_conn_open(&peer.url, WIRE_JSON, &conn);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(rc, RC_OK);
    expect_end(conn, CONN_END_LOST, ": Too many open files");
    close_pair(&peer, conn);
}

static void a_host_without_an_address_is_not_found(void **state)
{
    (void)state;
    struct client_url url = {.port = "80", .path = "/"};
    struct client_conn *conn = NULL;
    for (size_t i = 0; i < 70; i++) { /* no label is so long, so nobody is asked */
        url.host[i] = 'x';
    }
    assert_int_equal(client_conn_open(&url, WIRE_JSON, &conn), RC_NOT_FOUND);
    assert_null(conn);
}

static void an_answer_that_is_none_tells_what_it_means(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        enum client_conn_end end;
        const char *why;
    } cases[] = {
        {"", CONN_END_LOST, "closed the connection before it answered"},
        {"HTTP/1.1 1", CONN_END_LOST, "closed the connection before it answered"},
        {"HTTP/1.1 503 x\r\n\r\ndraining", CONN_END_LOST, "HTTP 503 draining"},
        {"HTTP/1.1 404 x\r\n\r\n", CONN_END_REFUSED, "HTTP 404"},
        {"220 mail.example\r\n", CONN_END_BROKEN, "does not answer as an HTTP/1.1 server"},
        {"HTTP/1.1 101 x\r\n\r\n", CONN_END_BROKEN, "no 'Upgrade: websocket'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct peer peer;
        struct client_conn *conn = dial(&peer);
        peer_write(&peer, bytes_of_text(cases[i].answer));
        turn(conn, 10);
        peer_hang_up(&peer, false);
        expect_end(conn, cases[i].end, cases[i].why);
        close_pair(&peer, conn);
    }
}

/* [P 11] */
static void the_code_of_a_close_tells_whether_to_come_back(void **state)
{
    (void)state;
    static const struct {
        uint16_t code;
        const char *text;
        enum client_conn_end end;
        const char *why;
    } cases[] = {
        {1000, "", CONN_END_LOST, "(code 1000)"},
        {1001, "draining", CONN_END_LOST, "(code 1001, draining)"},
        {1002, "x", CONN_END_REFUSED, "(code 1002, x)"},
        {1003, "", CONN_END_LOST, "(code 1003)"},
        {1007, "", CONN_END_REFUSED, "(code 1007)"},
        {1008, "slow", CONN_END_LOST, "(code 1008, slow)"},
        {1009, "", CONN_END_REFUSED, "(code 1009)"},
        {1011, "", CONN_END_LOST, "(code 1011)"},
        {3999, "", CONN_END_LOST, "(code 3999)"},
        {4000, "", CONN_END_REFUSED, "(code 4000)"},
        {4401, "a\x1b[31m\x7f", CONN_END_REFUSED, "(code 4401, a?[31m?)"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct peer peer;
        struct client_conn *conn = open_pair(&peer);
        struct buf frame = {0};
        peer_say(&peer, "before");
        assert_int_equal(ws_close_append(&frame, cases[i].code, cases[i].text), RC_OK);
        peer_write(&peer, buf_bytes(&frame));
        buf_deinit(&frame);
        expect_text(conn, "before");
        expect_end(conn, cases[i].end, cases[i].why);
        close_pair(&peer, conn);
    }
}

static void a_close_without_a_code_is_lost(void **state)
{
    (void)state;
    struct peer peer;
    struct client_conn *conn = open_pair(&peer);
    peer_frame(&peer, WS_CLOSE, (struct bytes){0});
    expect_end(conn, CONN_END_LOST, "(code 1005)");
    close_pair(&peer, conn);
}

static void a_server_that_breaks_the_rules_is_told_so(void **state)
{
    (void)state;
    static const struct {
        struct bytes bytes;
        const char *why;
    } cases[] = {
        {BYTES_LITERAL("\x82\x01x"), "sent a binary frame"},
        {BYTES_LITERAL("\x81\x81keysx"), "broke the WebSocket protocol"},
        {BYTES_LITERAL("\xC1\x01x"), "broke the WebSocket protocol"},
        {BYTES_LITERAL("\x81\x01\xFF"), "broke the WebSocket protocol"},
        {BYTES_LITERAL("\x81\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), "broke the WebSocket protocol"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct peer peer;
        struct client_conn *conn = open_pair(&peer);
        peer_write(&peer, cases[i].bytes);
        expect_end(conn, CONN_END_BROKEN, cases[i].why);
        close_pair(&peer, conn);
    }
}

static void what_came_before_the_connection_was_lost_is_still_told(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct peer peer;
        struct client_conn *conn = open_pair(&peer);
        peer_say(&peer, "one");
        peer_say(&peer, "two");
        peer_write(&peer, BYTES_LITERAL("\x81\x05hal")); /* not all of it */
        turn(conn, PEER_WAIT_MS);
        peer_hang_up(&peer, reset == 1);
        /* What is not sent yet is lost, and does not hide what has come. */
        assert_int_equal(client_conn_send(conn, BYTES_LITERAL("x")), RC_OK);
        turn(conn, PEER_WAIT_MS);
        assert_int_equal(client_conn_send(conn, BYTES_LITERAL("y")), RC_OK);
        turn(conn, PEER_WAIT_MS);
        expect_text(conn, "one");
        expect_text(conn, "two");
        expect_end(conn, CONN_END_LOST, "was lost");
        close_pair(&peer, conn);
    }
}

/* ---- memory -------------------------------------------------------------------------------- */

static void without_memory_it_does_not_open(void **state)
{
    (void)state;
    struct peer peer;
    struct client_conn *conn = NULL;
    peer_open(&peer);
    mem_fault_set(1, 0);
    assert_int_equal(client_conn_open(&peer.url, WIRE_JSON, &conn), RC_NOMEM);
    mem_fault_set(0, 0);
    assert_null(conn);
    peer_close(&peer);
}

static void without_memory_for_the_request_or_the_answer_it_is_lost(void **state)
{
    (void)state;
    for (uint64_t fault = 1; fault <= 2; fault++) {
        struct peer peer;
        struct client_conn *conn = NULL;
        peer_open(&peer);
        assert_int_equal(client_conn_open(&peer.url, WIRE_JSON, &conn), RC_OK);
        peer_accept(&peer);
        mem_fault_set(fault, 0);
        turn(conn, PEER_WAIT_MS);
        turn(conn, 1);
        mem_fault_set(0, 0);
        expect_end(conn, CONN_END_LOST, "out of memory");
        close_pair(&peer, conn);
    }
}

static void without_memory_for_a_frame_it_says_so(void **state)
{
    (void)state;
    static const uint8_t large[100000];
    struct peer peer;
    struct client_conn *conn = open_pair(&peer);
    mem_fault_set(1, 0);
    assert_int_equal(client_conn_send(conn, bytes_of(large, sizeof(large))), RC_NOMEM);
    mem_fault_set(0, 0);
    assert_int_equal(client_conn_send(conn, BYTES_LITERAL("x")), RC_OK);
    const struct ws_event event = frame_of(&peer, conn);
    assert_true(bytes_equal(event.payload, BYTES_LITERAL("x")));
    close_pair(&peer, conn);
}

/* Pings pile up behind what the socket does not take. */
static void without_memory_for_a_pong_it_is_lost(void **state)
{
    (void)state;
    struct peer peer;
    struct client_conn *conn = open_pair(&peer);
    struct client_conn_event event = {0};
    static uint8_t large[8u << 20];
    assert_int_equal(client_conn_send(conn, bytes_of(large, sizeof(large))), RC_OK);
    for (unsigned i = 0; i < 200000 && event.type != CONN_CLOSED; i++) {
        static const uint8_t payload[125];
        peer_frame(&peer, WS_PING, bytes_of(payload, sizeof(payload)));
        turn(conn, PEER_WAIT_MS);
        mem_fault_set(1, 1);
        client_conn_next(conn, &event);
        mem_fault_set(0, 0);
    }
    assert_int_equal(event.type, CONN_CLOSED);
    expect_end(conn, CONN_END_LOST, "out of memory");
    close_pair(&peer, conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_frames_are_taken_however_they_are_cut),
        cmocka_unit_test(a_ping_is_answered_with_its_own_bytes),
        cmocka_unit_test(what_is_sent_arrives_whole_also_when_the_other_end_reads_late),
        cmocka_unit_test(every_frame_has_a_key_of_its_own),
        cmocka_unit_test(who_takes_no_events_is_sent_no_more_than_a_little_ahead),
        cmocka_unit_test(a_goodbye_is_a_normal_close),
        cmocka_unit_test(every_address_of_a_host_is_tried),
        cmocka_unit_test(a_connection_refused_is_lost),
        cmocka_unit_test(without_a_descriptor_it_is_lost_at_once),
        cmocka_unit_test(a_host_without_an_address_is_not_found),
        cmocka_unit_test(an_answer_that_is_none_tells_what_it_means),
        cmocka_unit_test(the_code_of_a_close_tells_whether_to_come_back),
        cmocka_unit_test(a_close_without_a_code_is_lost),
        cmocka_unit_test(a_server_that_breaks_the_rules_is_told_so),
        cmocka_unit_test(what_came_before_the_connection_was_lost_is_still_told),
        cmocka_unit_test(without_memory_it_does_not_open),
        cmocka_unit_test(without_memory_for_the_request_or_the_answer_it_is_lost),
        cmocka_unit_test(without_memory_for_a_frame_it_says_so),
        cmocka_unit_test(without_memory_for_a_pong_it_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
