#include "numbered_world.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

void ready(struct world *w)
{
    w->last_id = 1;
    numbered_on_ready(&w->n);
}

void open_world(struct world *w, uint32_t batch, uint64_t window)
{
    const struct workload_options options = {.prefix = "w",
                                             .seed = 3,
                                             .messages = 100,
                                             .channels = 2,
                                             .producers = 1,
                                             .batch = batch,
                                             .size = 64,
                                             .rate = 1000};
    *w = (struct world){.load_ns = LATE};
    assert_int_equal(workload_init(&w->workload, &options), RC_OK);
    assert_int_equal(ledger_init(&w->ledger, &w->workload, &w->violations), RC_OK);
    assert_int_equal(numbered_init(&w->n, &w->ledger, 0, window), RC_OK);
    ready(w);
}

void close_world(struct world *w)
{
    numbered_deinit(&w->n);
    ledger_deinit(&w->ledger);
    workload_deinit(&w->workload);
    reply_room_deinit(&w->room);
}

/* ---- a client, by hand --------------------------------------------------------------------- */

uint64_t say(struct world *w, uint32_t channel, uint64_t first, uint32_t count)
{
    char name[WORKLOAD_NAME_SIZE];
    const size_t size = workload_channel_name(&w->workload, channel, name);
    const struct client_said said = {.what = CLIENT_SAID_PUBLISH,
                                     .channel = bytes_of(name, size),
                                     .id = ++w->last_id,
                                     .number = first,
                                     .count = count};
    numbered_said(&w->n, &said);
    return said.id;
}

/* Takes one command over and says it. Its id, 0: there is none. */
uint64_t say_next(struct world *w)
{
    struct numbered_message first;
    if (!numbered_next(&w->n, w->load_ns, &first)) {
        return 0;
    }
    struct numbered_message m = first;
    uint32_t count = 0;
    do {
        assert_int_equal(m.number, first.number + count);
        numbered_handed(&w->n);
        count++;
    } while (count < w->workload.options.batch && numbered_next(&w->n, w->load_ns, &m));
    return say(w, first.channel, first.number, count);
}

/* As many commands as there are, and not one more. */
void say_all(struct world *w, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        assert_int_not_equal(say_next(w), 0);
    }
    assert_int_equal(say_next(w), 0);
}

/* ---- a server, by hand --------------------------------------------------------------------- */

void feed(struct world *w, const char *text)
{
    struct bytes rest = bytes_of_text(text);
    struct reply reply = {0};
    assert_int_equal(reply_take(WIRE_JSON, &rest, &w->room, &reply), RC_OK);
    numbered_heard(&w->n, &reply, w->load_ns);
}

void published(struct world *w, uint64_t id, uint32_t channel, uint64_t seq, const char *more)
{
    char text[300];
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"published\",\"id\":%" PRIu64 ",\"channel\":\"w-c%" PRIu32
                   "\",\"seq\":%" PRIu64 ",\"message_id\":\"m%" PRIu64 "\",\"epoch\":\"e\"%s}",
                   id, channel, seq, 100 * channel + seq, more);
    feed(w, text);
}

void refused(struct world *w, uint64_t id, const char *code, const char *more)
{
    char text[300];
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"error\",\"id\":%" PRIu64 ",\"code\":\"%s\",\"message\":\"no\"%s}",
                   id, code, more);
    feed(w, text);
}

uint64_t count_of(const struct world *w, enum violation violation)
{
    /* And nothing else. */
    assert_int_equal(w->violations.total, w->violations.counts[violation]);
    return w->violations.counts[violation];
}
