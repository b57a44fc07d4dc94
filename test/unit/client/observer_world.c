#include "observer_world.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* What is no reply at all ends a connection, which `verify` counts. */
void feed(struct world *w, struct observer *o, const char *text)
{
    struct bytes rest = bytes_of_text(text);
    struct reply reply = {0};
    if (reply_take(WIRE_JSON, &rest, &w->room, &reply) != RC_OK) {
        violations_add(&w->violations, VIOLATION_PROTOCOL, 1, "no reply: %s", text);
        return;
    }
    observer_heard(o, &reply, 0);
}

/* A new connection, on which the client asks for that. */
void ask(struct observer *o, uint64_t seq)
{
    const struct client_said said = {
        .what = CLIENT_SAID_SUBSCRIBE, .channel = BYTES_LITERAL("w-c0"), .id = 2, .number = seq};
    observer_on_ready(o);
    observer_said(o, &said);
}

void subscribed(struct world *w, struct observer *o, const char *epoch, uint64_t next,
                const char *more)
{
    char text[300];
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"w-c0\",\"epoch\":\"%s\","
                   "\"next\":%" PRIu64 ",\"earliest\":1,\"latest\":0%s}",
                   epoch, next, more);
    ask(o, o->begun ? o->next : 0);
    feed(w, o, text);
}

void open_world(struct world *w, bool strict)
{
    const struct workload_options options = {.prefix = "w",
                                             .seed = 3,
                                             .messages = MESSAGES,
                                             .channels = 1,
                                             .producers = PRODUCERS,
                                             .batch = 1,
                                             .size = 80,
                                             .rate = 1000};
    *w = (struct world){.strict = strict};
    assert_int_equal(workload_init(&w->workload, &options), RC_OK);
    assert_int_equal(ledger_init(&w->ledger, &w->workload, &w->violations), RC_OK);
    assert_int_equal(observer_init(&w->one, &w->ledger, 0, "one", &w->scratch), RC_OK);
    assert_int_equal(observer_init(&w->two, &w->ledger, 0, "two", &w->scratch), RC_OK);
    for (uint32_t producer = 0; producer < PRODUCERS; producer++) {
        ledger_sent(&w->ledger, 0, producer, MESSAGES / PRODUCERS);
    }
    subscribed(w, &w->one, "e1", 1, "");
    subscribed(w, &w->two, "e1", 1, "");
}

void close_world(struct world *w)
{
    observer_deinit(&w->one);
    observer_deinit(&w->two);
    ledger_deinit(&w->ledger);
    workload_deinit(&w->workload);
    buf_deinit(&w->scratch);
    reply_room_deinit(&w->room);
}

void expect(const struct world *w, const struct expected *expected)
{
    uint64_t counts[VIOLATION_COUNT] = {0};
    for (; expected->violation != VIOLATION_COUNT; expected++) {
        counts[expected->violation] = expected->count;
    }
    for (size_t i = 0; i < VIOLATION_COUNT; i++) {
        if (w->violations.counts[i] != counts[i]) {
            print_error("%s: %" PRIu64 ", expected %" PRIu64 "\n",
                        violation_name((enum violation)i), w->violations.counts[i], counts[i]);
            fail();
        }
    }
    assert_int_equal(w->violations.suspects, 0);
}

/* ---- what a server says -------------------------------------------------------------------- */

static const char *key_of(const struct world *w, const struct said *m, bool *ret_has)
{
    *ret_has = workload_key(&w->workload, m->number).size > 0;
    if (m->key == 1) {
        *ret_has = !*ret_has;
    }
    return m->key == 2 ? "another" : "the-eighth";
}

void write_message(struct world *w, const struct said *m, bool element, char *text, size_t size)
{
    struct buf data = {0};
    char id[40];
    char name[WORKLOAD_NAME_SIZE];
    char key[64] = "";
    bool has_key;
    const char *key_text = key_of(w, m, &has_key);
    (void)workload_producer_name(&w->workload, m->producer, name);
    (void)snprintf(id, sizeof(id), "m%" PRIu64, m->seq);
    assert_int_equal(workload_data(&w->workload, 0, m->producer, m->number, &data), RC_OK);
    assert_int_equal(buf_append(&data, bytes_of("", 1)), RC_OK);
    const char *payload = m->data != NULL ? m->data : (const char *)data.data;
    if (has_key) {
        (void)snprintf(key, sizeof(key), ",\"key\":\"%s\"", key_text);
    }
    const uint64_t time = m->time == 0 ? 1000 + m->seq : m->time;
    const char *sender = m->sender != NULL ? m->sender : name;
    const char *head = element ? "{" : "{\"type\":\"message\",\"channel\":\"w-c0\",";
    const char *mid = m->id != NULL ? m->id : id;
    if (w->strict) {
        (void)snprintf(text, size,
                       "%s \"data\" : %s , \"producer\":\"\\u0077%s\"%s,\"seq\":%" PRIu64
                       ",\"time\":%" PRIu64 ",\"message_id\":\"%s\",\"producer_seq\":%" PRIu64 " }",
                       head, payload, sender + 1, key, m->seq, time, mid, m->number);
    } else {
        (void)snprintf(text, size,
                       "%s\"seq\":%" PRIu64 ",\"message_id\":\"%s\",\"time\":%" PRIu64
                       "%s,\"producer\":\"%s\",\"producer_seq\":%" PRIu64 ",\"data\":%s}",
                       head, m->seq, mid, time, key, sender, m->number, payload);
    }
    buf_deinit(&data);
}

void say(struct world *w, struct observer *o, struct said m)
{
    char text[1000];
    write_message(w, &m, false, text, sizeof(text));
    feed(w, o, text);
}

/* The right history: producers take turns, so seq s is number (s + 1) / 2 of producer (s + 1) % 2.
 */
struct said right(uint64_t seq)
{
    return (struct said){
        .seq = seq, .producer = (uint32_t)((seq + 1) % 2), .number = (seq + 1) / 2};
}

void say_right(struct world *w, struct observer *o, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        say(w, o, right(seq));
    }
}

void ack(struct world *w, uint64_t seq)
{
    char id[40];
    const struct said m = right(seq);
    (void)snprintf(id, sizeof(id), "m%" PRIu64, seq);
    ledger_acked(&w->ledger, 0, seq, m.producer, m.number, bytes_of_text(id));
}

void ack_all(struct world *w, uint64_t to)
{
    for (uint64_t seq = 1; seq <= to; seq++) {
        ack(w, seq);
    }
}

void finish_both(struct world *w)
{
    observer_finish(&w->one, true);
    observer_finish(&w->two, true);
}

void twice(void (*play)(struct world *w), const struct expected *expected)
{
    for (int strict = 0; strict < 2; strict++) {
        struct world w;
        open_world(&w, strict == 1);
        play(&w);
        expect(&w, expected);
        close_world(&w);
    }
}
