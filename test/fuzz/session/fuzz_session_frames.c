/* Texts, answers and the progress of sockets in any order, first in JSON and then the same in
 * binary, in the world of the unit tests, which judges all that comes out: consecutive seqs, named
 * holes, nothing after the end, no reference leaked. Each step is a byte that says what, and a few
 * that say how. */
#include "world.h"

#include <stdio.h>

/* A longer run finds nothing that a shorter one does not, only later. */
#define INPUT_MAX    2048u
#define RAW_SIZE_MAX 200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world w;

/* ---- texts ------------------------------------------------------------------------------------
 */

static void feed_text(struct world_client *client, const char *text)
{
    if (client->session == NULL || !session_can_take(client->session)) {
        return;
    }
    if (world_text(client, text) == RC_FULL) {
        w.publish_full = false; /* the text is kept until there is room */
        const enum rc rc = world_text(client, text);
        ASSERT(rc == RC_OK || rc == RC_NOMEM);
    }
}

/* A binary message: as many commands as there are in it. */
static void feed_message(struct world_client *client, struct bytes rest)
{
    do {
        if (client->session == NULL || !session_can_take(client->session)) {
            return;
        }
        const size_t before = rest.size;
        enum rc rc = world_message(client, &rest);
        if (rc == RC_FULL) {
            ASSERT(rest.size == before);
            w.publish_full = false; /* the rest is kept until there is room */
            rc = world_message(client, &rest);
        }
        ASSERT(rc == RC_OK || rc == RC_NOMEM);
        ASSERT(rest.size < before || before == 0 || rc == RC_NOMEM);
        if (rc != RC_OK) {
            return;
        }
    } while (rest.size > 0);
}

static void feed_raw(struct world_client *client, struct bytes_reader *in)
{
    char text[RAW_SIZE_MAX + 1] = "";
    const struct bytes raw = reader_take(in, reader_u8(in) % RAW_SIZE_MAX);
    bytes_copy(text, raw.data, raw.size);
    if (client->session == NULL) {
        return;
    }
    if (w.limits.codec == WIRE_BINARY) {
        feed_message(client, raw);
        return;
    }
    if (memchr(text, 0, raw.size) != NULL || !utf8_valid(bytes_of(text, raw.size))) {
        session_on_bad_text(client->session);
        world_check(client, RC_OK);
        return;
    }
    feed_text(client, text);
}

/* %c: the channel's letter; %u: a number */
static const char *const templates[] = {
    "{\"type\":\"subscribe\",\"id\":2,\"channel\":\"%c\",\"window\":%u}",
    "{\"type\":\"subscribe\",\"id\":3,\"channel\":\"%c\",\"from\":{\"seq\":%u}}",
    "{\"type\":\"subscribe\",\"channel\":\"%c\",\"from\":{\"seq\":%u},\"on_gap\":\"reset\"}",
    "{\"type\":\"subscribe\",\"channel\":\"%c\",\"from\":{\"time\":10%u}}",
    "{\"type\":\"subscribe\",\"channel\":\"%c\",\"from\":\"earliest\",\"window\":%u}",
    "{\"type\":\"subscribe\",\"channel\":\"%c\",\"from\":{\"epoch\":\"x\",\"seq\":%u}}",
    "{\"type\":\"ack\",\"channel\":\"%c\",\"seq\":%u}",
    "{\"type\":\"unsubscribe\",\"channel\":\"%c\",\"id\":%u}",
    "{\"type\":\"publish\",\"channel\":\"%c\",\"id\":4,\"data\":%u}",
    "{\"type\":\"publish\",\"channel\":\"%c\",\"batch\":[{\"data\":%u},{\"data\":2}]}",
    "{\"type\":\"history\",\"channel\":\"%c\",\"limit\":%u}",
    "{\"type\":\"connect\",\"producer\":{\"id\":\"%c\",\"epoch\":%u}}",
    "{\"type\":\"subscribe\",\"channel\":\"%c\",\"window\":%u,\"when_slow\":\"skip\"}",
    "{\"type\":\"subscribe\",\"channel\":\"%c\",\"id\":%u,\"when_slow\":\"skip\"}",
    "{\"type\":\"subscribe\",\"channel\":\"%c\",\"window\":%u,\"when_slow\":\"conflate\"}",
    "{\"type\":\"subscribe\",\"channel\":\"%c\",\"id\":%u,\"when_slow\":\"conflate\"}",
};
#define TEMPLATES (sizeof(templates) / sizeof(templates[0]))

static void feed_template(struct world_client *client, struct bytes_reader *in)
{
    const char *at = templates[reader_u8(in) % TEMPLATES];
    char text[RAW_SIZE_MAX] = "";
    size_t used = 0;
    for (; *at != '\0'; at++) {
        ASSERT(used + 8 < sizeof(text));
        if (*at != '%') {
            text[used++] = *at;
        } else if (*++at == 'c') {
            text[used++] = (char)('a' + reader_u8(in) % 3);
        } else {
            used += (size_t)snprintf(text + used, 4, "%u", 1u + reader_u8(in) % 99u);
        }
    }
    feed_text(client, text);
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static void step_owner(unsigned channel, struct bytes_reader *in)
{
    const uint8_t how = reader_u8(in);
    switch (how % 5) {
    case 0: (void)world_request(&w, channel); break;
    case 1: (void)world_waiting(&w, channel); break;
    case 2: (void)world_job(&w, channel, how / 5); break;
    case 3: (void)world_deliver(&w, channel); break;
    default: world_owners_run(&w); break;
    }
}

static void step_history(unsigned channel, struct bytes_reader *in)
{
    struct world_channel *at = &w.channels[channel];
    const uint8_t how = reader_u8(in);
    if (how < 128) {
        world_publish(&w, channel, 1 + how % 8, 1 + how / 32);
    } else if (how < 224) {
        const uint64_t kept = how % 32;
        world_trim(&w, channel, kept <= at->latest ? at->latest + 1 - kept : 1);
    } else if (at->damaged_from == 0 && at->earliest <= at->latest) {
        at->damaged_from = at->earliest;
        at->damaged_to = at->earliest + how % 8;
        at->damaged_to = at->damaged_to < at->latest ? at->damaged_to : at->latest;
    }
}

static void step_fault(struct world_client *client, struct bytes_reader *in)
{
    static const enum publish_verdict verdicts[] = {
        PUBLISH_ACCEPTED,        PUBLISH_DUPLICATE,
        PUBLISH_OUT_OF_SEQUENCE, PUBLISH_PRODUCER_UNKNOWN,
        PUBLISH_PRODUCER_FENCED, PUBLISH_UNAVAILABLE,
        PUBLISH_LIMIT,
    };
    const uint8_t how = reader_u8(in);
    switch (how % 8) {
    case 0: w.fail_reads = !w.fail_reads; break;
    case 1: w.read_nomem = !w.read_nomem; break;
    case 2: w.publish_full = !w.publish_full; break;
    case 3: w.verdict.verdict = verdicts[how / 8 % 7]; break;
    case 4: feed_table_trim(&w.feeds); break;
    case 5:
        if (client->session != NULL) {
            world_check(client, session_goaway(client->session, "draining", how));
        }
        break;
    case 6:
        if (client->session != NULL) {
            session_on_connect_timeout(client->session);
            world_check(client, RC_OK);
        }
        break;
    default: w.limits.gather_bytes_max = 1u + how; break;
    }
}

static void step(struct bytes_reader *in)
{
    const uint8_t what = reader_u8(in);
    const unsigned nth = what / 8 % 2;
    struct world_client *client = &w.clients[nth];
    const unsigned channel = what / 16 % w.channel_count;
    switch (what % 8) {
    case 0: feed_raw(client, in); break;
    case 1:
    case 2: feed_template(client, in); break;
    case 3: step_owner(channel, in); break;
    case 4: (void)world_pump(client, reader_u8(in) * 4u); break;
    case 5: step_history(channel, in); break;
    case 6: step_fault(client, in); break;
    default:
        world_close(&w, nth);
        if (what < 240) {
            (void)world_connect(&w, nth);
        } else {
            world_open(&w, nth);
        }
        break;
    }
}

static void run(enum wire_codec codec, const uint8_t *data, size_t size)
{
    struct bytes_reader in = {.rest = bytes_of(data, size)};
    const struct world_limits limits = {
        .codec = codec,
        .feed_bytes_max = 1u + reader_u8(&in) * 4u,
        .read_bytes_max = 1u + reader_u8(&in) * 4u,
        .subscriptions_max = 2,
        .inflight_max = 3,
    };
    world_init(&w, &limits);
    w.any_slow = true;
    (void)world_channel(&w, "a");
    (void)world_channel(&w, "b");
    (void)world_connect(&w, 0);
    (void)world_connect(&w, 1);
    while (in.rest.size > 0 && !in.failed) {
        step(&in);
    }
    world_run(&w);
    world_deinit(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX) {
        return -1;
    }
    run(WIRE_JSON, data, size);
    run(WIRE_BINARY, data, size);
    return 0;
}
