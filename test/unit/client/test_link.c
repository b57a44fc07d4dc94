/* client/link: a conversation that outlives its connections, and knows when that is of no use.
 * Method: the test is the server (peer.h) and the clock: what is waited for is time that the test
 * says has passed, and only bytes are really waited for. */
#include "client/link.h"

#include "base/mem.h"
#include "peer.h"

#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define CONNECTED "{\"type\":\"connected\",\"id\":1,\"ping_ms\":1000,\"features\":[\"batch\"]}"
#define TURNS_MAX 5000

struct world {
    struct peer peer;
    struct link *link;
    uint64_t now_ms;
    unsigned taken;     /* while ready */
    char text[64];      /* the last of these */
    const char *broken; /* if not NULL: what the taker says of them */
};

static void take_text(void *ctx, struct bytes text)
{
    struct world *w = ctx;
    assert_true(link_ready(w->link));
    (void)snprintf(w->text, sizeof(w->text), "%.*s", (int)text.size, (const char *)text.data);
    w->taken++;
    if (w->broken != NULL) {
        link_on_broken(w->link, w->broken);
    }
}

static void open_world(struct world *w, const char *producer)
{
    *w = (struct world){.now_ms = 1000000};
    peer_open(&w->peer);
    const struct link_options options = {
        .url = w->peer.url, .producer = producer, .producer_epoch = 7, .take = take_text, .ctx = w};
    assert_int_equal(link_open(&options, 1, w->now_ms, &w->link), RC_OK);
}

static void close_world(struct world *w)
{
    link_close(w->link);
    peer_close(&w->peer);
}

/* One turn, at this time. */
static enum link_event_type turn(struct world *w, int timeout_ms)
{
    struct pollfd ready = {.fd = link_fd(w->link), .events = link_events(w->link)};
    (void)poll(&ready, 1, timeout_ms);
    link_step(w->link, w->now_ms);
    return link_next(w->link, w->now_ms);
}

/* The next event without time passing; it must be that one. */
static void expect(struct world *w, enum link_event_type type)
{
    enum link_event_type got = LINK_NONE;
    for (int i = 0; i < TURNS_MAX && got == LINK_NONE; i++) {
        got = turn(w, 2);
    }
    if (got != type) {
        print_error("event %d in place of %d: %s\n", (int)got, (int)type, link_why(w->link));
        fail();
    }
}

static void expect_nothing(struct world *w)
{
    for (int i = 0; i < 5; i++) {
        assert_int_equal(turn(w, 2), LINK_NONE);
    }
}

/* What the server says now is given to `take`. */
static void expect_taken(struct world *w, const char *text)
{
    const unsigned before = w->taken;
    peer_say(&w->peer, text);
    for (int i = 0; i < TURNS_MAX && w->taken == before; i++) {
        assert_int_equal(turn(w, 2), LINK_NONE);
    }
    assert_int_equal(w->taken, before + 1);
    assert_string_equal(w->text, text);
}

/* Until the next attempt. */
static uint64_t wait_ms(const struct world *w)
{
    assert_int_equal(link_fd(w->link), -1);
    const uint64_t due_ms = link_deadline_ms(w->link);
    return due_ms > w->now_ms ? due_ms - w->now_ms : 0;
}

static void expect_why(const struct world *w, const char *why)
{
    if (strstr(link_why(w->link), why) == NULL) {
        print_error("%s\n", link_why(w->link));
        fail();
    }
}

/* Lets it come until its `connect` is there, which must say that. */
static void take_connect(struct world *w, const char *connect)
{
    struct ws_event event;
    assert_int_equal(turn(w, 2), LINK_NONE); /* it is due */
    peer_accept(&w->peer);
    for (int i = 0; i < TURNS_MAX && !peer_asked(&w->peer); i++) {
        assert_int_equal(turn(w, 2), LINK_NONE);
    }
    peer_greet(&w->peer);
    for (int i = 0; i < TURNS_MAX && !peer_next(&w->peer, &event); i++) {
        assert_int_equal(turn(w, 2), LINK_NONE);
        assert_true(peer_read(&w->peer));
    }
    assert_int_equal(event.type, WS_EVENT_MESSAGE);
    if (connect != NULL && !bytes_equal(event.payload, bytes_of_text(connect))) {
        print_error("%.*s\n", (int)event.payload.size, (const char *)event.payload.data);
        fail();
    }
}

static void connect_with(struct world *w, const char *connected)
{
    take_connect(w, NULL);
    peer_say(&w->peer, connected);
    expect(w, LINK_READY);
}

/* ---- coming and going ---------------------------------------------------------------------- */

static void it_says_who_it_is_and_is_ready_when_the_server_says_so(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "p \"1\"");
    assert_int_equal(link_fd(w.link), -1);
    assert_int_equal(link_events(w.link), 0);
    assert_int_equal(link_pending(w.link), 0);
    assert_int_equal(link_deadline_ms(w.link), w.now_ms);
    take_connect(&w, "{\"type\":\"connect\",\"id\":1,\"producer\":{\"id\":\"p \\\"1\\\"\","
                     "\"epoch\":7}}");
    assert_false(link_ready(w.link));
    assert_int_equal(link_send(w.link, BYTES_LITERAL("{}")), RC_CLOSED);
    peer_say(&w.peer, "{\"type\":\"news\"}"); /* [P 3] what we do not know is ignored */
    expect_nothing(&w);
    peer_say(&w.peer, CONNECTED);
    expect(&w, LINK_READY);
    assert_true(link_ready(w.link));
    assert_int_equal(link_send(w.link, BYTES_LITERAL("{\"type\":\"ping\"}")), RC_OK);
    assert_true(link_pending(w.link) > 0);
    assert_int_equal(w.taken, 0);
    expect_taken(&w, "{\"type\":\"pong\",\"id\":5}");
    close_world(&w);
    link_close(NULL);
}

static void without_a_producer_none_is_named(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    take_connect(&w, "{\"type\":\"connect\",\"id\":1}");
    close_world(&w);
}

/* [P 14] backoff, with jitter. */
static void a_lost_connection_is_tried_again_ever_more_slowly(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    peer_stop_listening(&w.peer);
    for (unsigned attempt = 0; attempt < 10; attempt++) {
        expect(&w, LINK_LOST);
        expect_why(&w, "cannot connect to 127.0.0.1:");
        const uint64_t wait = wait_ms(&w);
        const uint64_t whole = attempt < 6 ? UINT64_C(100) << attempt : 5000;
        assert_in_range(wait, 1, whole < 5000 ? whole : 5000);
        assert_int_equal(link_deadline_ms(w.link), w.now_ms + wait);
        w.now_ms += wait - 1;
        expect_nothing(&w);
        w.now_ms++;
        assert_int_equal(wait_ms(&w), 0);
    }
    close_world(&w);
}

static void the_backoff_begins_anew_once_it_was_let_in(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    for (int i = 0; i < 4; i++) {
        connect_with(&w, CONNECTED);
        peer_hang_up(&w.peer, i % 2 == 1);
        expect(&w, LINK_LOST);
        expect_why(&w, "was lost");
        assert_in_range(wait_ms(&w), 1, 100);
        w.now_ms += 100;
    }
    close_world(&w);
}

static void a_loss_is_told_before_anything_new_begins(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    connect_with(&w, CONNECTED);
    link_cut(w.link, w.now_ms, 0);
    expect_why(&w, "cut by ourselves");
    link_step(w.link, w.now_ms); /* due at once, but the loss was not told yet */
    assert_int_equal(link_fd(w.link), -1);
    link_cut(w.link, w.now_ms, 5000); /* there is nothing to cut */
    assert_int_equal(link_next(w.link, w.now_ms), LINK_LOST);
    assert_int_equal(link_next(w.link, w.now_ms), LINK_NONE);
    peer_hang_up(&w.peer, false);
    connect_with(&w, CONNECTED);
    link_cut(w.link, w.now_ms, 5000);
    expect(&w, LINK_LOST);
    assert_int_equal(wait_ms(&w), 5000);
    close_world(&w);
}

static void a_host_without_an_address_is_tried_again(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    link_close(w.link);
    struct link_options options = {.url = w.peer.url};
    for (size_t i = 0; i < 70; i++) { /* no label is so long, so nobody is asked */
        options.url.host[i] = 'x';
    }
    options.url.host[70] = '\0';
    assert_int_equal(link_open(&options, 1, w.now_ms, &w.link), RC_OK);
    expect(&w, LINK_LOST);
    expect_why(&w, "the host has no address");
    close_world(&w);
}

/* ---- silence ------------------------------------------------------------------------------- */

/* As many as its queue holds have come before, and it takes none. */
static void a_server_that_takes_nobody_is_lost(void **state)
{
    (void)state;
    struct world w;
    struct world before[2];
    open_world(&w, NULL);
    peer_listen_for(&w.peer, 0);
    for (size_t i = 0; i < 2; i++) {
        open_world(&before[i], NULL);
        link_close(before[i].link);
        const struct link_options options = {.url = w.peer.url};
        assert_int_equal(link_open(&options, 1, w.now_ms, &before[i].link), RC_OK);
        expect_nothing(&before[i]);
    }
    expect_nothing(&w);
    assert_int_equal(link_events(w.link), POLLOUT);
    w.now_ms += 10000;
    expect(&w, LINK_LOST);
    expect_why(&w, "did not answer within 10 s");
    close_world(&before[0]);
    close_world(&before[1]);
    close_world(&w);
}

static void a_server_that_does_not_answer_in_time_is_lost(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    assert_int_equal(turn(&w, 2), LINK_NONE); /* connects; nobody answers */
    assert_int_equal(link_deadline_ms(w.link), w.now_ms + 10000);
    w.now_ms += 9999;
    expect_nothing(&w);
    w.now_ms++;
    expect(&w, LINK_LOST);
    expect_why(&w, "did not answer within 10 s");
    peer_accept(&w.peer);
    peer_hang_up(&w.peer, false);

    w.now_ms += wait_ms(&w);
    take_connect(&w, NULL); /* answers, and then says nothing to `connect` */
    w.now_ms += 10000;
    expect(&w, LINK_LOST);
    expect_why(&w, "did not answer within 10 s");
    close_world(&w);
}

static void a_server_that_is_silent_beyond_its_own_pings_is_lost(void **state)
{
    (void)state;
    static const struct {
        const char *connected;
        uint64_t silent_ms; /* twice the interval, and five seconds */
    } cases[] = {
        {CONNECTED, 2 * 1000 + 5000},
        {"{\"type\":\"connected\",\"id\":1}", 2 * 25000 + 5000},
        {"{\"type\":\"connected\",\"id\":1,\"ping_ms\":0}", 2 * 25000 + 5000},
        {"{\"type\":\"connected\",\"id\":1,\"ping_ms\":3600000}", 2 * 3600000 + 5000},
        {"{\"type\":\"connected\",\"id\":1,\"ping_ms\":9007199254740991}", 2 * 25000 + 5000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        open_world(&w, NULL);
        connect_with(&w, cases[i].connected);
        assert_int_equal(link_deadline_ms(w.link), w.now_ms + cases[i].silent_ms);
        w.now_ms += cases[i].silent_ms - 1;
        expect_nothing(&w);
        expect_taken(&w, "{\"type\":\"pong\"}"); /* anything counts */
        w.now_ms += cases[i].silent_ms - 1;
        expect_nothing(&w);
        w.now_ms++;
        expect(&w, LINK_LOST);
        expect_why(&w, "silent for too long");
        close_world(&w);
    }
}

/* ---- what the server asks for -------------------------------------------------------------- */

/* [P 9] */
static void after_a_goaway_it_stays_away_for_as_long_as_it_was_told(void **state)
{
    (void)state;
    static const struct {
        const char *goaway;
        uint64_t least_ms;
    } cases[] = {
        {"{\"type\":\"goaway\",\"reason\":\"draining\",\"reconnect_after_ms\":3120}", 3120},
        {"{\"type\":\"goaway\",\"reason\":\"draining\",\"reconnect_after_ms\":9007199254740991}",
         120000},
        {"{\"type\":\"goaway\",\"reason\":\"draining\"}", 50},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int cut = 0; cut < 2; cut++) {
            struct world w;
            open_world(&w, NULL);
            take_connect(&w, NULL);
            peer_say(&w.peer, cases[i].goaway); /* before it has let us in */
            expect(&w, LINK_GOAWAY);
            assert_int_equal(w.taken, 0);
            if (cut == 1) {
                link_cut(w.link, w.now_ms, 50);
            } else {
                peer_hang_up(&w.peer, false);
            }
            expect(&w, LINK_LOST);
            const uint64_t least = cases[i].least_ms;
            assert_in_range(wait_ms(&w), least, least > 100 ? least : 100);
            close_world(&w);
        }
    }
}

/* What comes while ready is the taker's, and it says what a goaway among it asks for. */
static void a_goaway_that_was_taken_is_waited_for(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    connect_with(&w, CONNECTED);
    expect_taken(&w, "{\"type\":\"goaway\"}");
    link_on_goaway(w.link, 3120, w.now_ms);
    assert_true(link_ready(w.link)); /* what is under way is still answered */
    peer_hang_up(&w.peer, false);
    expect(&w, LINK_LOST);
    assert_int_equal(wait_ms(&w), 3120);
    close_world(&w);
}

static void a_refusal_is_waited_out_only_where_that_helps(void **state)
{
    (void)state;
    static const struct {
        const char *error;
        enum link_event_type type;
        uint64_t least_ms;
    } cases[] = {
        {"\"code\":\"unavailable\"", LINK_LOST, 50},
        {"\"code\":\"unavailable\",\"retry_after_ms\":700", LINK_LOST, 700},
        {"\"code\":\"limit_exceeded\",\"retry_after_ms\":700", LINK_LOST, 700},
        {"\"code\":\"limit_exceeded\"", LINK_FAILED, 0},
        {"\"code\":\"bad_request\"", LINK_FAILED, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        char text[200];
        open_world(&w, NULL);
        take_connect(&w, NULL);
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"error\",\"id\":1,\"message\":\"not you\",%s}", cases[i].error);
        peer_say(&w.peer, text);
        expect(&w, cases[i].type);
        expect_why(&w, "refuses to connect us: not you");
        assert_false(link_broken(w.link));
        assert_true(wait_ms(&w) >= cases[i].least_ms);
        close_world(&w);
    }
}

static void the_features_are_those_of_the_last_connected(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    assert_false(link_offers_digest(w.link));
    connect_with(&w, "{\"type\":\"connected\",\"id\":1,\"features\":[\"batch\",\"digest\"]}");
    assert_true(link_offers_digest(w.link));
    peer_hang_up(&w.peer, false);
    expect(&w, LINK_LOST);
    w.now_ms += 100;
    connect_with(&w, CONNECTED); /* an older one has taken its place */
    assert_false(link_offers_digest(w.link));
    close_world(&w);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void expect_failed(struct world *w, bool broken, const char *why)
{
    expect(w, LINK_FAILED);
    expect_why(w, why);
    assert_true(link_broken(w->link) == broken);
    /* For good. */
    w->now_ms += 1000000;
    expect_nothing(w);
    assert_int_equal(link_deadline_ms(w->link), UINT64_MAX);
    assert_int_equal(link_fd(w->link), -1);
    link_cut(w->link, w->now_ms, 0);
    expect_nothing(w);
    assert_int_equal(link_send(w->link, BYTES_LITERAL("{}")), RC_CLOSED);
}

static void what_is_no_message_ends_it(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "{\"type\":\"pong\",\"type\":\"pong\"}", "hello"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct world w;
        open_world(&w, NULL);
        take_connect(&w, NULL);
        peer_say(&w.peer, texts[i]);
        expect_failed(&w, true, "no message of the protocol");
        assert_int_equal(w.taken, 0);
        close_world(&w);
    }
}

static void what_the_taker_calls_broken_ends_it(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    connect_with(&w, CONNECTED);
    w.broken = "that is no answer to anything";
    peer_say(&w.peer, "{}");
    expect_failed(&w, true, w.broken);
    assert_int_equal(w.taken, 1);
    close_world(&w);
}

static void frames_that_break_the_rules_end_it(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    connect_with(&w, CONNECTED);
    peer_frame(&w.peer, WS_BINARY, BYTES_LITERAL("x"));
    expect_failed(&w, true, "sent a binary frame");
    close_world(&w);
}

/* [P 11] */
static void a_close_that_blames_us_ends_it_and_any_other_does_not(void **state)
{
    (void)state;
    static const struct {
        uint16_t code;
        bool final;
    } cases[] = {{1001, false}, {1008, false}, {1011, false},
                 {1009, true},  {4400, true},  {4401, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        struct buf frame = {0};
        open_world(&w, NULL);
        connect_with(&w, CONNECTED);
        assert_int_equal(ws_close_append(&frame, cases[i].code, "so it is"), RC_OK);
        peer_write(&w.peer, buf_bytes(&frame));
        buf_deinit(&frame);
        if (cases[i].final) {
            expect_failed(&w, false, "so it is");
        } else {
            expect(&w, LINK_LOST);
            expect_why(&w, "so it is");
        }
        close_world(&w);
    }
}

/* ---- memory -------------------------------------------------------------------------------- */

/* A turn in which the allocation number *left fails, if it comes to that; the peer's do not. */
static enum link_event_type faulty_turn(struct world *w, uint64_t *left)
{
    mem_fault_set(*left, 0);
    const enum link_event_type type = turn(w, 2);
    const uint64_t count = mem_fault_count();
    *left -= count < *left ? count : *left;
    mem_fault_set(0, 0);
    return type;
}

/* The first event, with the allocation number `fault` failing; 0 in *left: it did. */
static enum link_event_type first_event(struct world *w, uint64_t *left)
{
    bool greeted = false;
    for (int i = 0; i < TURNS_MAX; i++) {
        const enum link_event_type type = faulty_turn(w, left);
        if (type != LINK_NONE) {
            return type;
        }
        if (w->peer.fd < 0 && peer_waiting(&w->peer)) {
            peer_accept(&w->peer);
        }
        if (!greeted && w->peer.fd >= 0 && peer_asked(&w->peer)) {
            peer_greet(&w->peer);
            peer_say(&w->peer, CONNECTED);
            greeted = true;
        }
    }
    return LINK_NONE;
}

static void drop_who_waits(struct peer *peer)
{
    peer_hang_up(peer, false);
    while (peer_waiting(peer)) {
        peer_accept(peer);
        peer_hang_up(peer, false);
    }
}

static void without_memory_it_is_lost_and_comes_again(void **state)
{
    (void)state;
    enum link_event_type got = LINK_NONE;
    uint64_t faults = 0;
    char producer[256];
    (void)snprintf(producer, sizeof(producer), "%0255d", 0);
    for (uint64_t fault = 1; got != LINK_READY; fault++) {
        struct world w;
        uint64_t left = fault;
        open_world(&w, producer);
        got = first_event(&w, &left);
        if (got != LINK_READY) {
            assert_int_equal(left, 0);
            assert_int_equal(got, LINK_LOST);
            expect_why(&w, "out of memory");
            faults++;
            drop_who_waits(&w.peer);
            w.now_ms += wait_ms(&w);
            connect_with(&w, CONNECTED);
        }
        close_world(&w);
    }
    assert_true(faults >= 4); /* the connection, its request, what comes, `connect` */
}

static void without_memory_there_is_no_link(void **state)
{
    (void)state;
    struct link *link = NULL;
    const struct link_options options = {.producer = NULL};
    mem_fault_set(1, 0);
    assert_int_equal(link_open(&options, 1, 0, &link), RC_NOMEM);
    mem_fault_set(0, 0);
    assert_null(link);
}

static const char *next_token(void *ctx)
{
    unsigned *count = ctx;
    return (*count)++ == 0 ? "first \"token\"" : "second";
}

/* [P 4] each connect shows the token that is good then. */
static void a_token_is_asked_for_before_each_connect(void **state)
{
    (void)state;
    struct world w = {.now_ms = 1000000};
    unsigned count = 0;
    peer_open(&w.peer);
    const struct link_options options = {.url = w.peer.url, .token = next_token, .ctx = &count};
    assert_int_equal(link_open(&options, 1, w.now_ms, &w.link), RC_OK);
    take_connect(&w, "{\"type\":\"connect\",\"id\":1,\"token\":\"first \\\"token\\\"\"}");
    peer_hang_up(&w.peer, false);
    expect(&w, LINK_LOST);
    w.now_ms += wait_ms(&w);
    take_connect(&w, "{\"type\":\"connect\",\"id\":1,\"token\":\"second\"}");
    close_world(&w);
}

/* The wait is the first one's until each address has had its try; one that fails three times in a
 * row is left out, and the other one is not. */
static void another_address_is_tried_where_one_fails(void **state)
{
    (void)state;
    struct world w = {.now_ms = 1000000};
    struct peer gone;
    unsigned tries[2] = {0};
    peer_open(&w.peer);
    peer_open(&gone);
    peer_stop_listening(&gone);
    peer_stop_listening(&w.peer);
    const struct link_options options = {.url = gone.url, .others = &w.peer.url, .other_count = 1};
    assert_int_equal(link_open(&options, 1, w.now_ms, &w.link), RC_OK);
    for (unsigned i = 0; i < 12; i++) {
        expect(&w, LINK_LOST);
        tries[strstr(link_why(w.link), gone.url.authority) == NULL ? 1 : 0]++;
        const uint64_t whole = i < 2 ? 100 : i < 4 ? 200 : 5000;
        assert_in_range(wait_ms(&w), 1, whole);
        w.now_ms += wait_ms(&w);
    }
    assert_int_equal(tries[0] + tries[1], 12);
    assert_true((tries[0] == 3) != (tries[1] == 3)); /* one of them is out, never both */
    link_close(w.link);
    peer_close(&gone);
    peer_close(&w.peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_who_it_is_and_is_ready_when_the_server_says_so),
        cmocka_unit_test(without_a_producer_none_is_named),
        cmocka_unit_test(a_lost_connection_is_tried_again_ever_more_slowly),
        cmocka_unit_test(the_backoff_begins_anew_once_it_was_let_in),
        cmocka_unit_test(a_loss_is_told_before_anything_new_begins),
        cmocka_unit_test(a_host_without_an_address_is_tried_again),
        cmocka_unit_test(a_server_that_takes_nobody_is_lost),
        cmocka_unit_test(a_server_that_does_not_answer_in_time_is_lost),
        cmocka_unit_test(a_server_that_is_silent_beyond_its_own_pings_is_lost),
        cmocka_unit_test(after_a_goaway_it_stays_away_for_as_long_as_it_was_told),
        cmocka_unit_test(a_goaway_that_was_taken_is_waited_for),
        cmocka_unit_test(a_refusal_is_waited_out_only_where_that_helps),
        cmocka_unit_test(the_features_are_those_of_the_last_connected),
        cmocka_unit_test(what_is_no_message_ends_it),
        cmocka_unit_test(what_the_taker_calls_broken_ends_it),
        cmocka_unit_test(frames_that_break_the_rules_end_it),
        cmocka_unit_test(a_close_that_blames_us_ends_it_and_any_other_does_not),
        cmocka_unit_test(without_memory_it_is_lost_and_comes_again),
        cmocka_unit_test(without_memory_there_is_no_link),
        cmocka_unit_test(a_token_is_asked_for_before_each_connect),
        cmocka_unit_test(another_address_is_tried_where_one_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
