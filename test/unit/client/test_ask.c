/* client/ask and the tap: questions are asked again until they are answered, and answered once;
 * what goes over a connection is told before the client judges it. And what is said of a
 * subscription that the client has ended.
 * Method: an agent, and a server's words said by hand. */
#include "client/agent.h"

#include "base/mem.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct world {
    struct agent agent;
    struct buf out;
    char told[2000]; /* what came, in a line */
    char tapped[2000];
};

__attribute__((format(printf, 2, 3))) static void note(char *to, const char *format, ...)
{
    va_list args;
    const size_t size = strlen(to);
    va_start(args, format);
    (void)vsnprintf(to + size, 2000 - size, format, args);
    va_end(args);
}

/* ---- what an agent tells ------------------------------------------------------------------- */

static void on_element(void *ctx, struct ask *ask, const char *epoch, const struct reply_message *m)
{
    struct world *w = ctx;
    assert_string_equal(epoch, "2d");
    assert_true(bytes_equal(m->channel, ask_channel(ask)));
    note(w->told, "%s:%" PRIu64 "=%.*s ", (const char *)ask->user, m->seq, (int)m->data.size,
         (const char *)m->data.data);
}

static void on_damaged(void *ctx, struct ask *ask, const char *epoch,
                       const struct wire_range *range)
{
    struct world *w = ctx;
    assert_string_equal(epoch, "2d");
    note(w->told, "%s:damaged %" PRIu64 "-%" PRIu64 " ", (const char *)ask->user, range->from,
         range->to);
}

static void on_answer(void *ctx, struct ask *ask, const struct ask_answer *a)
{
    struct world *w = ctx;
    if (a->refused || a->broken) {
        note(w->told, "%s:%s(%s) %s %" PRIu64 "-%" PRIu64 ".", (const char *)ask->user,
             a->refused ? "refused" : "broken", a->code, a->text, a->earliest, a->latest);
    } else if (ask->kind == ASK_DIGEST) {
        note(w->told, "%s:digest %" PRIu64 "=%016" PRIx64 ".", (const char *)ask->user, a->seq,
             a->digest);
    } else {
        note(w->told, "%s:%" PRIu64 "-%" PRIu64 "%s.", (const char *)ask->user, a->earliest,
             a->latest, a->more ? "+" : "");
    }
}

static void on_message(void *ctx, struct agent_sub *sub, const struct reply_message *m)
{
    struct world *w = ctx;
    (void)sub;
    note(w->told, "m%" PRIu64 " ", m->seq);
}

static void on_gap(void *ctx, struct agent_sub *sub, const struct agent_gap *gap)
{
    struct world *w = ctx;
    (void)sub;
    note(w->told, "g%" PRIu64 " ", gap->next);
}

static void on_state(void *ctx, struct agent_sub *sub, const struct agent_news *news)
{
    struct world *w = ctx;
    (void)sub;
    if (news->state == AGENT_SUB_ENDED) {
        note(w->told, "%s ", news->broken ? "ended" : "refused");
    }
}

static void on_goaway(void *ctx, uint64_t after_ms)
{
    (void)ctx;
    (void)after_ms;
}

static void on_done(void *ctx, struct outbox_channel *channel, struct outbox_message *message,
                    const struct outbox_result *result)
{
    struct world *w = ctx;
    (void)channel;
    note(w->told, "p%" PRIu64 " ", result->seq);
    outbox_message_free(message);
}

static void on_channel(void *ctx, struct outbox_channel *channel)
{
    (void)ctx;
    (void)channel;
}

static const struct agent_ops agent_ops = {on_message, on_gap, on_state, on_goaway};
static const struct outbox_ops outbox_ops = {on_done, on_channel, on_channel};
static const struct asks_ops asks_ops = {on_element, on_damaged, on_answer};

static void on_said(void *ctx, const struct client_said *said)
{
    static const char names[] = "psaq";
    struct world *w = ctx;
    note(w->tapped, ">%c%.*s %" PRIu64 "x%" PRIu32 " ", names[said->what], (int)said->channel.size,
         (const char *)said->channel.data, said->number, said->count);
}

static void on_heard(void *ctx, const struct reply *reply)
{
    struct world *w = ctx;
    note(w->tapped, "<%d:%" PRIu64 " ", (int)reply->type,
         reply->type == CLIENT_MESSAGE ? reply->message.seq : reply->seq);
}

/* ---- playing ------------------------------------------------------------------------------- */

static void open_world(struct world *w)
{
    const struct agent_options options = {.codec = WIRE_JSON,
                                          .publish_window = 8,
                                          .batch_max = 3,
                                          .seed = 1,
                                          .ops = &agent_ops,
                                          .outbox_ops = &outbox_ops,
                                          .asks_ops = &asks_ops,
                                          .ctx = w};
    *w = (struct world){0};
    assert_int_equal(agent_init(&w->agent, &options), RC_OK);
    agent_on_ready(&w->agent, 0);
}

static void close_world(struct world *w)
{
    agent_deinit(&w->agent);
    buf_deinit(&w->out);
}

static void ask_history(struct world *w, const char *name, uint64_t from)
{
    const struct ask_question question = {.kind = ASK_HISTORY,
                                          .channel = BYTES_LITERAL("c"),
                                          .seq = from,
                                          .limit = 10,
                                          .user = (void *)(uintptr_t)name};
    assert_int_equal(asks_add(&w->agent.asks, &question), RC_OK);
}

static void ask_digest(struct world *w, const char *name, uint64_t seq)
{
    const struct ask_question question = {.kind = ASK_DIGEST,
                                          .channel = BYTES_LITERAL("c"),
                                          .has_seq = seq > 0,
                                          .seq = seq,
                                          .user = (void *)(uintptr_t)name};
    assert_int_equal(asks_add(&w->agent.asks, &question), RC_OK);
}

/* What it says next: its id; `what` is in it. 0: it says nothing. */
static uint64_t says(struct world *w, uint64_t now_ms, const char *what)
{
    struct client_message message;
    uint64_t id = 0;
    buf_clear(&w->out);
    const enum rc rc = agent_next(&w->agent, now_ms, &w->out);
    assert_int_equal(rc, what == NULL ? RC_END : RC_OK);
    if (what != NULL) {
        if (memmem(w->out.data, w->out.size, what, strlen(what)) == NULL) {
            print_error("%.*s\n", (int)w->out.size, (const char *)w->out.data);
            fail();
        }
        assert_int_equal(client_message_parse(buf_bytes(&w->out), &message), RC_OK);
        id = client_message_integer_or_0(&message, CLIENT_FIELD_ID);
    }
    return id;
}

static enum rc hears(struct world *w, uint64_t now_ms, const char *format, uint64_t id)
{
    char text[1000];
    char number[24];
    const char *at = strchr(format, '@');
    assert_non_null(at);
    (void)snprintf(number, sizeof(number), "%" PRIu64, id);
    (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - format), format, number, at + 1);
    return agent_take(&w->agent, bytes_of_text(text), now_ms);
}

static void told(struct world *w, const char *wanted)
{
    assert_string_equal(w->told, wanted);
    w->told[0] = '\0';
}

#define HISTORY(members)                                                                           \
    "{\"type\":\"history\",\"id\":@,\"channel\":\"c\",\"epoch\":\"2d\",\"earliest\":1,"            \
    "\"latest\":9," members "}"
#define ELEMENT(seq)   "{\"seq\":" #seq ",\"message_id\":\"5\",\"time\":6,\"data\":" #seq "}"
#define ERROR(members) "{\"type\":\"error\",\"id\":@,\"message\":\"so it is\"," members "}"

/* ---- questions ----------------------------------------------------------------------------- */

static void a_page_of_history_is_told_in_order_with_what_is_damaged(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    ask_history(&w, "h", 2);
    const uint64_t id = says(&w, 0, "\"channel\":\"c\",\"from\":2,\"limit\":10}");
    (void)says(&w, 0, NULL); /* once */
    assert_int_equal(hears(&w, 0,
                           HISTORY("\"messages\":[" ELEMENT(2) "," ELEMENT(
                               5) "],\"damaged\":[{\"from\":3,"
                                  "\"to\":4},{\"from\":6,\"to\":7}],\"more\":true"),
                           id),
                     RC_OK);
    told(&w, "h:2=2 h:damaged 3-4 h:5=5 h:damaged 6-7 h:1-9+.");
    assert_int_equal(hears(&w, 0, HISTORY("\"messages\":[" ELEMENT(2) "]"), id), RC_OK);
    told(&w, ""); /* it was answered */
    close_world(&w);
}

static void a_digest_is_asked_for_by_seq_or_of_the_newest(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    ask_digest(&w, "one", 7);
    ask_digest(&w, "two", 0);
    const uint64_t one = says(&w, 0, "{\"type\":\"digest\",\"id\":");
    assert_non_null(memmem(w.out.data, w.out.size, "\"seq\":7}", 8));
    const uint64_t two = says(&w, 0, "\"channel\":\"c\"}");
    assert_int_equal(hears(&w, 0,
                           "{\"type\":\"digest\",\"id\":@,\"channel\":\"c\",\"epoch\":\"2d\","
                           "\"seq\":9,\"digest\":\"00000000000000ff\"}",
                           two),
                     RC_OK);
    told(&w, "two:digest 9=00000000000000ff.");
    assert_int_equal(hears(&w, 0, ERROR("\"code\":\"gap\",\"earliest\":8,\"latest\":9"), one),
                     RC_OK);
    told(&w, "one:refused(gap) so it is 8-9.");
    close_world(&w);
}

static void what_answers_something_else_is_told(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    ask_digest(&w, "d", 7);
    ask_history(&w, "h", 7);
    uint64_t id = says(&w, 0, "digest");
    assert_int_equal(hears(&w, 0,
                           "{\"type\":\"digest\",\"id\":@,\"channel\":\"c\",\"epoch\":\"2d\","
                           "\"seq\":9,\"digest\":\"00000000000000FF\"}",
                           id),
                     RC_OK);
    told(&w, "d:broken() a `digest` without one 0-0.");
    id = says(&w, 0, "history");
    assert_int_equal(hears(&w, 0,
                           "{\"type\":\"digest\",\"id\":@,\"channel\":\"c\",\"epoch\":\"2d\","
                           "\"seq\":9,\"digest\":\"00000000000000ff\"}",
                           id),
                     RC_OK);
    told(&w, "h:broken() a reply of another type 0-0.");
    close_world(&w);
}

static void what_cannot_be_answered_now_is_asked_again(void **state)
{
    (void)state;
    static const struct {
        const char *refusal;
        uint64_t least;
        uint64_t most;
    } cases[] = {
        {ERROR("\"code\":\"unavailable\""), 1, 500},
        {ERROR("\"code\":\"internal\""), 1, 500},
        {ERROR("\"code\":\"rate_limited\""), 1, 500},
        {ERROR("\"code\":\"limit_exceeded\",\"retry_after_ms\":700"), 700, 700},
        {ERROR("\"code\":\"unavailable\",\"retry_after_ms\":70000000"), 60000, 60000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        open_world(&w);
        ask_history(&w, "h", 1);
        const uint64_t id = says(&w, 100, "history");
        assert_int_equal(hears(&w, 100, cases[i].refusal, id), RC_OK);
        (void)says(&w, 100, NULL);
        const uint64_t due = agent_deadline_ms(&w.agent);
        assert_in_range(due, 100 + cases[i].least, 100 + cases[i].most);
        agent_step(&w.agent, due - 1);
        (void)says(&w, due - 1, NULL);
        agent_step(&w.agent, due);
        const uint64_t again = says(&w, due, "history");
        assert_true(again > id);
        assert_int_equal(hears(&w, due, HISTORY("\"messages\":[]"), again), RC_OK);
        told(&w, "h:1-9.");
        close_world(&w);
    }
}

static void what_was_not_answered_is_asked_on_the_next_connection(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    ask_history(&w, "one", 1);
    ask_digest(&w, "two", 1);
    const uint64_t before = says(&w, 0, "history");
    (void)says(&w, 0, "digest");
    agent_on_lost(&w.agent);
    (void)says(&w, 0, NULL);
    agent_on_ready(&w.agent, 0);
    const uint64_t id = says(&w, 0, "history");
    (void)says(&w, 0, "digest");
    assert_int_equal(hears(&w, 0, HISTORY("\"messages\":[]"), before), RC_OK);
    told(&w, "");
    assert_int_equal(hears(&w, 0, HISTORY("\"messages\":[]"), id), RC_OK);
    told(&w, "one:1-9.");
    close_world(&w); /* and what is never answered is freed */
}

static void four_are_under_way_at_once(void **state)
{
    (void)state;
    struct world w;
    uint64_t ids[6];
    open_world(&w);
    for (uint64_t i = 0; i < 6; i++) {
        ask_history(&w, "h", i + 1);
    }
    for (size_t i = 0; i < 4; i++) {
        ids[i] = says(&w, 0, "history");
    }
    (void)says(&w, 0, NULL);
    assert_int_equal(hears(&w, 0, ERROR("\"code\":\"forbidden\""), ids[2]), RC_OK);
    told(&w, "h:refused(forbidden) so it is 0-0.");
    ids[4] = says(&w, 0, "\"from\":5,");
    (void)says(&w, 0, NULL);
    assert_int_equal(hears(&w, 0, ERROR("\"code\":\"unavailable\""), ids[0]), RC_OK);
    (void)says(&w, 0, "\"from\":6,");
    close_world(&w);
}

/* What ends the connection leaves the question as it was. */
static void a_history_that_makes_no_sense_ends_the_connection(void **state)
{
    (void)state;
    static const char *const bad[] = {
        HISTORY("\"messages\":[" ELEMENT(1) ",{}]"),
        HISTORY("\"messages\":[],\"damaged\":[1]"),
        HISTORY("\"messages\":7"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world w;
        open_world(&w);
        ask_history(&w, "h", 1);
        const uint64_t id = says(&w, 0, "history");
        assert_int_equal(hears(&w, 0, bad[i], id), RC_PROTOCOL);
        assert_null(strstr(w.told, "."));
        w.told[0] = '\0';
        agent_on_lost(&w.agent);
        agent_on_ready(&w.agent, 0);
        const uint64_t again = says(&w, 0, "history");
        assert_int_equal(hears(&w, 0, HISTORY("\"messages\":[" ELEMENT(1) "]"), again), RC_OK);
        told(&w, "h:1=1 h:1-9.");
        close_world(&w);
    }
}

static void without_memory_nothing_is_asked_or_lost(void **state)
{
    (void)state;
    struct world w;
    const struct ask_question question = {
        .kind = ASK_HISTORY, .channel = BYTES_LITERAL("c"), .seq = 1, .limit = 1, .user = "h"};
    open_world(&w);
    mem_fault_set(1, 0);
    assert_int_equal(asks_add(&w.agent.asks, &question), RC_NOMEM);
    assert_int_equal(asks_add(&w.agent.asks, &question), RC_OK);
    mem_fault_set(1, 0);
    assert_int_equal(agent_next(&w.agent, 0, &w.out), RC_NOMEM);
    mem_fault_set(0, 0);
    const uint64_t id = says(&w, 0, "history");
    const char *bytes = HISTORY("\"messages\":[{\"seq\":1,\"message_id\":\"5\",\"time\":6,"
                                "\"data_base64\":\"eA==\"}]");
    mem_fault_set(1, 0);
    assert_int_equal(hears(&w, 0, bytes, id), RC_NOMEM);
    mem_fault_set(0, 0);
    told(&w, "");
    agent_on_lost(&w.agent);
    agent_on_ready(&w.agent, 0);
    assert_int_equal(hears(&w, 0, bytes, says(&w, 0, "history")), RC_OK);
    told(&w, "h:1=x h:1-9.");
    close_world(&w);
}

/* ---- the tap ------------------------------------------------------------------------------- */

#define MESSAGE(seq)                                                                               \
    "{\"type\":\"message\",\"channel\":\"c\",\"seq\":" #seq ",\"message_id\":\"5\",\"time\":6,"    \
    "\"data\":1}"

static void take(struct world *w, const char *text)
{
    assert_int_equal(agent_take(&w->agent, bytes_of_text(text), 0), RC_OK);
}

static void what_a_client_drops_or_puts_right_is_told_to_the_tap_as_it_came(void **state)
{
    (void)state;
    struct world w;
    struct agent_sub *sub;
    const struct client_tap tap = {on_said, on_heard, &w};
    const struct agent_subscribe ask = {
        .channel = BYTES_LITERAL("c"), .from = WIRE_FROM_EARLIEST, .window = 4};
    open_world(&w);
    agent_set_tap(&w.agent, &tap);
    assert_int_equal(agent_subscribe(&w.agent, &ask, &sub), RC_OK);
    const uint64_t id = says(&w, 0, "subscribe");
    assert_int_equal(hears(&w, 0,
                           "{\"type\":\"subscribed\",\"id\":@,\"channel\":\"c\",\"epoch\":\"2d\","
                           "\"next\":1,\"earliest\":1,\"latest\":0}",
                           id),
                     RC_OK);
    take(&w, MESSAGE(1));
    take(&w, MESSAGE(1)); /* dropped */
    take(&w, MESSAGE(3)); /* kept */
    take(&w, "{\"type\":\"message\",\"channel\":\"x\",\"seq\":9,\"message_id\":\"5\",\"time\":6,"
             "\"data\":1}"); /* nobody's */
    take(&w, MESSAGE(2));
    told(&w, "m1 m2 m3 ");
    (void)says(&w, 0, "ack");
    char wanted[200];
    (void)snprintf(wanted, sizeof(wanted), ">sc 0x0 <%d:0 <%d:1 <%d:1 <%d:3 <%d:9 <%d:2 >ac 3x0 ",
                   CLIENT_SUBSCRIBED, CLIENT_MESSAGE, CLIENT_MESSAGE, CLIENT_MESSAGE,
                   CLIENT_MESSAGE, CLIENT_MESSAGE);
    assert_string_equal(w.tapped, wanted);
    /* A new connection: it asks for what is next. */
    w.tapped[0] = '\0';
    agent_on_lost(&w.agent);
    agent_on_ready(&w.agent, 0);
    (void)says(&w, 0, "subscribe");
    assert_string_equal(w.tapped, ">sc 4x0 ");
    close_world(&w);
}

static void each_publish_is_told_with_its_numbers(void **state)
{
    (void)state;
    struct world w;
    struct outbox_channel *channel;
    const struct client_tap tap = {on_said, on_heard, &w};
    const struct wire_item item = {.data = BYTES_LITERAL("1")};
    open_world(&w);
    agent_set_tap(&w.agent, &tap);
    assert_int_equal(outbox_channel(&w.agent.outbox, BYTES_LITERAL("c"), &channel), RC_OK);
    for (int i = 0; i < 4; i++) {
        outbox_add(&w.agent.outbox, channel, outbox_message_make(&item), false);
    }
    const uint64_t id = says(&w, 0, "publish");
    (void)says(&w, 0, "publish");
    assert_string_equal(w.tapped, ">pc 1x3 >pc 4x1 ");
    w.tapped[0] = '\0';
    agent_step(&w.agent, 2000); /* no answer: the first one alone, once more */
    (void)says(&w, 2000, "publish");
    assert_string_equal(w.tapped, ">pc 1x1 ");
    w.tapped[0] = '\0';
    /* What cannot be is told, and then ends the connection. */
    assert_int_equal(hears(&w, 2000,
                           "{\"type\":\"published\",\"id\":@,\"channel\":\"c\",\"epoch\":\"2d\","
                           "\"seq\":3}",
                           id + 77),
                     RC_PROTOCOL);
    (void)snprintf(w.told, sizeof(w.told), "<%d:3 ", CLIENT_PUBLISHED);
    assert_string_equal(w.tapped, w.told);
    ask_history(&w, "h", 1);
    w.tapped[0] = '\0';
    (void)says(&w, 2000, "history");
    assert_string_equal(w.tapped, ">q 0x0 ");
    close_world(&w);
}

/* ---- a subscription that has ended --------------------------------------------------------- */

/* Order is broken: the client ends it, and the server does not know; it is to be told. */
static struct agent_sub *broken_subscription(struct world *w)
{
    struct agent_sub *sub;
    const struct agent_subscribe ask = {.channel = BYTES_LITERAL("c"), .from = WIRE_FROM_EARLIEST};
    assert_int_equal(agent_subscribe(&w->agent, &ask, &sub), RC_OK);
    uint64_t id = says(w, 0, "subscribe");
    assert_int_equal(hears(w, 0,
                           "{\"type\":\"subscribed\",\"id\":@,\"channel\":\"c\",\"epoch\":\"2d\","
                           "\"next\":1,\"earliest\":1,\"latest\":0}",
                           id),
                     RC_OK);
    take(w, MESSAGE(2));
    for (int i = 0; i < 5; i++) {
        id = says(w, 0, "\"history\"");
        assert_int_equal(hears(w, 0, HISTORY("\"messages\":[]"), id), RC_OK);
    }
    told(w, "ended ");
    return sub;
}

static void what_the_client_has_ended_is_ended_at_the_server_once(void **state)
{
    (void)state;
    enum { CLOSED_LATER, CLOSED_AT_ONCE, LOST, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct world w;
        struct agent_sub *again;
        const struct agent_subscribe ask = {.channel = BYTES_LITERAL("c"),
                                            .from = WIRE_FROM_LATEST};
        open_world(&w);
        struct agent_sub *sub = broken_subscription(&w);
        if (way == CLOSED_LATER) { /* and even if it never were */
            (void)says(&w, 0, "\"unsubscribe\"");
            (void)says(&w, 0, NULL);
        } else if (way == LOST) { /* then it has ended there by itself */
            agent_on_lost(&w.agent);
            agent_on_ready(&w.agent, 0);
        }
        agent_unsubscribe(&w.agent, sub);
        assert_int_equal(agent_subscribe(&w.agent, &ask, &again), RC_OK);
        if (way == CLOSED_AT_ONCE) {
            (void)says(&w, 0, "\"unsubscribe\"");
        }
        (void)says(&w, 0, "\"subscribe\"");
        (void)says(&w, 0, NULL);
        close_world(&w);
    }
}

static void what_the_server_has_refused_is_not_ended_there(void **state)
{
    (void)state;
    struct world w;
    struct agent_sub *sub;
    const struct agent_subscribe ask = {.channel = BYTES_LITERAL("c"), .from = WIRE_FROM_LATEST};
    open_world(&w);
    assert_int_equal(agent_subscribe(&w.agent, &ask, &sub), RC_OK);
    const uint64_t id = says(&w, 0, "subscribe");
    assert_int_equal(hears(&w, 0, ERROR("\"code\":\"forbidden\""), id), RC_OK);
    told(&w, "refused ");
    agent_unsubscribe(&w.agent, sub);
    (void)says(&w, 0, NULL);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_of_history_is_told_in_order_with_what_is_damaged),
        cmocka_unit_test(a_digest_is_asked_for_by_seq_or_of_the_newest),
        cmocka_unit_test(what_answers_something_else_is_told),
        cmocka_unit_test(what_cannot_be_answered_now_is_asked_again),
        cmocka_unit_test(what_was_not_answered_is_asked_on_the_next_connection),
        cmocka_unit_test(four_are_under_way_at_once),
        cmocka_unit_test(a_history_that_makes_no_sense_ends_the_connection),
        cmocka_unit_test(without_memory_nothing_is_asked_or_lost),
        cmocka_unit_test(what_a_client_drops_or_puts_right_is_told_to_the_tap_as_it_came),
        cmocka_unit_test(each_publish_is_told_with_its_numbers),
        cmocka_unit_test(what_the_client_has_ended_is_ended_at_the_server_once),
        cmocka_unit_test(what_the_server_has_refused_is_not_ended_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
