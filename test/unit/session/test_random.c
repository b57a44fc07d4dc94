/* Goal: whatever comes in what order, every subscriber gets the channel's messages once and in
 * order from where it began, every hole is told by name before the next message, and when the
 * faults cease everybody reaches the end: slow cursors x retention x reconnects x the hand-over
 * from the log to the live tail.
 *
 * Method: random schedules over tiny limits. The world judges each text by the stream alone; here
 * every reply is judged by what was asked. A failing seed is printed last, and
 * SERIATIM_TEST_SEED=n runs it alone. */
#include "world.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define SEEDS             3000u
#define STEPS             220u
#define CLIENTS           3u
#define CHANNELS_MAX      6u
#define ASKED_MAX         8u
#define SETTLE_ROUNDS_MAX 3000u

/* A subscribe or unsubscribe that has no reply yet. */
struct asked {
    uint64_t id;
    bool subscribe;
    enum wire_from from;
    uint64_t seq; /* or the time */
    bool other_epoch;
    bool reset;
    uint32_t window;
    enum wire_when_slow when_slow;
};

/* What one client has under way on one channel; replies come in the order of the commands. */
struct talk {
    struct asked asked[ASKED_MAX];
    unsigned count;
    bool reset;        /* of the subscription that stands */
    bool server_ended; /* the server has ended one of its own accord, once */
};

struct run {
    struct world world;
    struct prng prng;
    unsigned channels; /* 2, or more than a session may read at a time */
    struct talk talks[CLIENTS][CHANNELS_MAX];
    uint64_t next_id;
    bool reads_failed; /* once */
};

static struct run *run;        /* the hook has no context but the client */
static struct world_marks all; /* summed over the seeds */
static uint64_t resumed;
static uint64_t not_begun; /* unsubscribed before the answer */

static uint64_t below(uint64_t bound)
{
    return prng_below(&run->prng, bound);
}

static unsigned client_index(const struct world_client *client)
{
    return (unsigned)(client - run->world.clients);
}

static uint64_t member(json_t *text, const char *name)
{
    json_t *value = json_object_get(text, name);
    ASSERT(json_is_integer(value));
    return (uint64_t)json_integer_value(value);
}

static const char *word(json_t *text, const char *name)
{
    const char *value = json_string_value(json_object_get(text, name));
    return value == NULL ? "" : value;
}

/* ---- replies ----------------------------------------------------------------------------------
 */

static struct asked take_asked(struct talk *talk, uint64_t id)
{
    ASSERT(talk->count > 0);
    const struct asked first = talk->asked[0];
    ASSERT(first.id == id);
    talk->count--;
    bytes_move(&talk->asked[0], &talk->asked[1], talk->count * sizeof(talk->asked[0]));
    return first;
}

static void check_reset(const struct asked *asked, const char *reason, json_t *text)
{
    const uint64_t next = member(text, "next");
    const uint64_t earliest = member(text, "earliest");
    const uint64_t latest = member(text, "latest");
    ASSERT(asked->reset);
    if (strcmp(reason, "epoch") == 0) {
        ASSERT(asked->other_epoch);
        ASSERT(next == earliest);
    } else if (strcmp(reason, "trimmed") == 0) {
        ASSERT(asked->from == WIRE_FROM_SEQ || asked->from == WIRE_FROM_EPOCH_SEQ);
        ASSERT(asked->seq < earliest && next == earliest);
    } else {
        ASSERT(strcmp(reason, "ahead") == 0);
        ASSERT(asked->seq > latest + 1 && next == latest + 1);
    }
}

static void check_begun(const struct asked *asked, json_t *text)
{
    const uint64_t next = member(text, "next");
    const uint64_t earliest = member(text, "earliest");
    const uint64_t latest = member(text, "latest");
    ASSERT(asked->subscribe);
    json_t *reset = json_object_get(text, "reset");
    if (reset != NULL) {
        check_reset(asked, word(reset, "reason"), text);
        return;
    }
    switch (asked->from) {
    case WIRE_FROM_LATEST: ASSERT(next == latest + 1); break;
    case WIRE_FROM_EARLIEST: ASSERT(next == earliest); break;
    case WIRE_FROM_SEQ:
    case WIRE_FROM_EPOCH_SEQ:
        ASSERT(next == asked->seq);
        ASSERT(!asked->other_epoch);
        break;
    case WIRE_FROM_TIME:
        ASSERT(next == latest + 1 || 1000 + 10 * next >= asked->seq);
        ASSERT(next == earliest || 1000 + 10 * (next - 1) < asked->seq);
        break;
    }
}

/* A refused subscribe or unsubscribe; the errors have no channel, the id tells. */
static void check_refused(struct world_client *client, unsigned channel, json_t *text)
{
    struct talk *talk = &run->talks[client_index(client)][channel];
    const struct asked asked = take_asked(talk, member(text, "id"));
    const char *code = word(text, "code");
    ASSERT(!client->views[channel].on);
    if (!asked.subscribe) {
        ASSERT(strcmp(code, "not_subscribed") == 0);
    } else if (strcmp(code, "gap") == 0) {
        ASSERT(!asked.reset);
        ASSERT(asked.from == WIRE_FROM_SEQ || asked.from == WIRE_FROM_EPOCH_SEQ);
    } else if (strcmp(code, "unavailable") == 0) {
        ASSERT(asked.from == WIRE_FROM_TIME && run->reads_failed);
    } else {
        ASSERT(strcmp(code, "not_subscribed") == 0);
        ASSERT(talk->count > 0 && !talk->asked[0].subscribe);
        not_begun++;
    }
}

static void on_error(struct world_client *client, json_t *text)
{
    struct talk *talks = run->talks[client_index(client)];
    if (json_object_get(text, "id") == NULL) {
        /* An acknowledgement has crossed the end of its subscription. */
        ASSERT(strcmp(word(text, "code"), "not_subscribed") == 0);
        bool server_ended = false;
        for (unsigned i = 0; i < run->channels; i++) {
            server_ended = server_ended || talks[i].server_ended;
        }
        ASSERT(server_ended);
        return;
    }
    const uint64_t id = member(text, "id");
    for (unsigned i = 0; i < run->channels; i++) {
        if (talks[i].count > 0 && talks[i].asked[0].id == id) {
            check_refused(client, i, text);
            return;
        }
    }
    UNREACHABLE();
}

static void on_text(struct world_client *client, json_t *text)
{
    const char *type = word(text, "type");
    if (strcmp(type, "error") == 0) {
        on_error(client, text);
        return;
    }
    if (strcmp(type, "connected") == 0 || strcmp(type, "published") == 0) {
        return;
    }
    const unsigned channel = world_channel(&run->world, word(text, "channel"));
    struct talk *talk = &run->talks[client_index(client)][channel];
    if (strcmp(type, "subscribed") == 0) {
        const struct asked asked = take_asked(talk, member(text, "id"));
        check_begun(&asked, text);
        talk->reset = asked.reset;
        client->views[channel].window = asked.window;
        client->views[channel].when_slow = asked.when_slow;
    } else if (strcmp(type, "unsubscribed") == 0 && json_object_get(text, "id") != NULL) {
        ASSERT(!take_asked(talk, member(text, "id")).subscribe);
    } else if (strcmp(type, "unsubscribed") == 0) {
        ASSERT(!talk->reset || strcmp(word(text, "reason"), "unavailable") == 0);
        ASSERT(run->reads_failed || strcmp(word(text, "reason"), "unavailable") != 0);
        talk->server_ended = true;
    } else if (strcmp(type, "gap") == 0) {
        ASSERT(talk->reset || strcmp(word(text, "reason"), "slow") == 0 ||
               strcmp(word(text, "reason"), "conflated") == 0);
    } else {
        ASSERT(strcmp(type, "message") == 0);
    }
}

/* ---- commands ---------------------------------------------------------------------------------
 */

static const char *const names[CHANNELS_MAX] = {"a", "b", "c", "d", "e", "f"};

static void send_subscribe(struct world_client *client, unsigned channel, struct asked asked)
{
    struct talk *talk = &run->talks[client_index(client)][channel];
    static const char *const slow[] = {"catch_up", "skip", "conflate"};
    char epoch[WIRE_EPOCH_TEXT_SIZE];
    char from[80];
    char window[32] = "";
    wire_epoch_text(asked.other_epoch ? 0x77 : WORLD_EPOCH, epoch);
    switch (asked.from) {
    case WIRE_FROM_LATEST: (void)snprintf(from, sizeof(from), "\"latest\""); break;
    case WIRE_FROM_EARLIEST: (void)snprintf(from, sizeof(from), "\"earliest\""); break;
    case WIRE_FROM_SEQ:
        (void)snprintf(from, sizeof(from), "{\"seq\":%llu}", (unsigned long long)asked.seq);
        break;
    case WIRE_FROM_EPOCH_SEQ:
        (void)snprintf(from, sizeof(from), "{\"epoch\":\"%s\",\"seq\":%llu}", epoch,
                       (unsigned long long)asked.seq);
        break;
    case WIRE_FROM_TIME:
        (void)snprintf(from, sizeof(from), "{\"time\":%llu}", (unsigned long long)asked.seq);
        break;
    }
    if (asked.window > 0) {
        (void)snprintf(window, sizeof(window), ",\"window\":%u", asked.window);
    }
    asked.subscribe = true;
    asked.id = run->next_id++;
    ASSERT(talk->count < ASKED_MAX);
    talk->asked[talk->count++] = asked;
    (void)world_textf(client,
                      "{\"type\":\"subscribe\",\"id\":%llu,\"channel\":\"%s\",\"from\":%s,"
                      "\"on_gap\":\"%s\",\"when_slow\":\"%s\"%s}",
                      (unsigned long long)asked.id, names[channel], from,
                      asked.reset ? "reset" : "error", slow[asked.when_slow], window);
}

static void subscribe(struct world_client *client, unsigned channel)
{
    const struct world_channel *at = &run->world.channels[channel];
    const struct world_view *view = &client->views[channel];
    struct asked asked = {.reset = below(2) == 0};
    asked.window = below(2) == 0 ? 0 : 1 + (uint32_t)below(6);
    asked.when_slow = (enum wire_when_slow)below(3);
    asked.from = (enum wire_from)below(5);
    asked.seq = 1 + below(at->latest + 3);
    if (view->expected > 0 && below(2) == 0) { /* resumes */
        asked.from = below(2) == 0 ? WIRE_FROM_SEQ : WIRE_FROM_EPOCH_SEQ;
        asked.seq = view->expected;
        resumed++;
    } else if (asked.from == WIRE_FROM_EPOCH_SEQ) {
        asked.other_epoch = below(3) == 0;
    } else if (asked.from == WIRE_FROM_TIME) {
        asked.seq = 1000 + below(10 * (at->latest + 3));
    }
    send_subscribe(client, channel, asked);
}

static void unsubscribe(struct world_client *client, unsigned channel)
{
    struct talk *talk = &run->talks[client_index(client)][channel];
    ASSERT(talk->count < ASKED_MAX);
    talk->asked[talk->count++] = (struct asked){.id = run->next_id};
    (void)world_textf(client, "{\"type\":\"unsubscribe\",\"id\":%llu,\"channel\":\"%s\"}",
                      (unsigned long long)run->next_id, names[channel]);
    run->next_id++;
}

static void acknowledge(struct world_client *client, unsigned channel, uint64_t seq)
{
    struct world_view *view = &client->views[channel];
    if (seq > view->acked) {
        view->acked = seq;
    }
    (void)world_textf(client, "{\"type\":\"ack\",\"channel\":\"%s\",\"seq\":%llu}", names[channel],
                      (unsigned long long)seq);
}

/* Whether the last command sent, or else what the client has seen, says that it is subscribed. */
static bool wants(const struct world_client *client, unsigned channel)
{
    const struct talk *talk = &run->talks[client_index(client)][channel];
    return talk->count > 0 ? talk->asked[talk->count - 1].subscribe : client->views[channel].on;
}

static void flap(struct world_client *client, unsigned channel)
{
    const struct talk *talk = &run->talks[client_index(client)][channel];
    if (client->session == NULL || talk->count == ASKED_MAX) {
        return;
    }
    if (!wants(client, channel)) {
        subscribe(client, channel);
    } else if (below(4) == 0) {
        unsubscribe(client, channel);
    }
}

static void ack_some(struct world_client *client, unsigned channel)
{
    const struct world_view *view = &client->views[channel];
    const struct talk *talk = &run->talks[client_index(client)][channel];
    if (client->session != NULL && view->on && talk->count == 0 && view->messages > 0) {
        const uint64_t last = view->expected - 1;
        acknowledge(client, channel, below(3) == 0 ? 1 + below(last) : last);
    }
}

static void reconnect(unsigned nth)
{
    struct world *w = &run->world;
    world_close(w, nth);
    bytes_zero(run->talks[nth], sizeof(run->talks[nth]));
    (void)world_connect(w, nth);
    buf_clear(&w->clients[nth].stream);
}

/* ---- the schedule -----------------------------------------------------------------------------
 */

static void pump(struct world_client *client)
{
    if (client->woken || client->want_write) {
        (void)world_pump(client, below(8) == 0 ? SIZE_MAX : below(300));
    }
}

static void trim(unsigned channel)
{
    const struct world_channel *at = &run->world.channels[channel];
    const uint64_t kept = below(3) == 0 ? 0 : below(20);
    if (kept <= at->latest) {
        world_trim(&run->world, channel, at->latest + 1 - kept);
    }
}

/* A stretch of the log goes bad, once per channel. */
static void damage(struct world_channel *at)
{
    if (at->damaged_from == 0 && at->earliest <= at->latest) {
        at->damaged_from = at->earliest + below(at->latest + 1 - at->earliest);
        at->damaged_to = at->damaged_from + below(8);
        at->damaged_to = at->damaged_to < at->latest ? at->damaged_to : at->latest;
    }
}

static void faults(void)
{
    struct world *w = &run->world;
    if (below(2) == 0) {
        damage(&w->channels[below(run->channels)]);
        return;
    }
    w->fail_reads = !w->fail_reads && below(8) == 0;
    w->read_nomem = !w->read_nomem && below(4) == 0;
    run->reads_failed = run->reads_failed || w->fail_reads;
}

static void publish_from(struct world_client *client, unsigned channel)
{
    if (client->session != NULL && session_can_take(client->session)) {
        (void)world_textf(client, "{\"type\":\"publish\",\"channel\":\"%s\",\"data\":1}",
                          names[channel]);
    }
}

static void owner_step(unsigned channel)
{
    struct world *w = &run->world;
    switch (below(4)) {
    case 0: (void)world_request(w, channel); break;
    case 1: (void)world_waiting(w, channel); break;
    case 2:
        if (world_job_count(w, channel) > 0) {
            (void)world_job(w, channel, (unsigned)below(world_job_count(w, channel)));
        }
        break;
    default: (void)world_deliver(w, channel); break;
    }
}

static void step(void)
{
    struct world *w = &run->world;
    const unsigned channel = (unsigned)below(run->channels);
    const unsigned nth = (unsigned)below(CLIENTS);
    struct world_client *client = &w->clients[nth];
    const uint64_t dice = below(100);
    if (dice < 40) {
        owner_step(channel);
    } else if (dice < 58) {
        pump(client);
    } else if (dice < 68) {
        world_publish(w, channel, 1 + (uint32_t)below(6), 1 + (uint32_t)below(4));
    } else if (dice < 71) {
        publish_from(client, channel);
    } else if (dice < 80) {
        ack_some(client, channel);
    } else if (dice < 90) {
        flap(client, channel);
    } else if (dice < 92) {
        trim(channel);
    } else if (dice < 94) {
        faults();
    } else if (dice < 98) {
        feed_table_trim(&w->feeds);
    } else if (dice < 99 || client->session == NULL) {
        reconnect(nth);
    } else {
        world_owners_run(w);
    }
}

/* ---- the end: faults off, then everybody must arrive ------------------------------------------
 */

static bool settle_one(struct world_client *client, unsigned channel)
{
    const struct talk *talk = &run->talks[client_index(client)][channel];
    const struct world_view *view = &client->views[channel];
    const uint64_t latest = run->world.channels[channel].latest;
    ASSERT(talk->count == 0); /* every command has been answered */
    if (!view->on) {
        send_subscribe(client, channel,
                       (struct asked){.from = WIRE_FROM_SEQ,
                                      .seq = view->expected > 0 ? view->expected : 1,
                                      .reset = true,
                                      .window = (uint32_t)below(3)});
        return false;
    }
    if (view->acked + 1 < view->expected && view->messages > 0) {
        acknowledge(client, channel, view->expected - 1);
    }
    const bool arrived = view->expected == latest + 1;
    for (unsigned i = 0; arrived && i < sizeof(view->owed) / sizeof(view->owed[0]); i++) {
        ASSERT(view->owed[i] == 0); /* the newest of each key has come */
    }
    return arrived;
}

/* Says who has not arrived, then ends. */
static void stuck(void)
{
    const struct world *w = &run->world;
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (unsigned k = 0; k < run->channels; k++) {
            const struct world_view *view = &w->clients[i].views[k];
            (void)fprintf(stderr,
                          "\nclient %u channel %u: on %d expects %llu of %llu window %u acked %llu",
                          i, k, view->on, (unsigned long long)view->expected,
                          (unsigned long long)w->channels[k].latest, view->window,
                          (unsigned long long)view->acked);
        }
    }
    UNREACHABLE(); /* everybody arrives */
}

static void settle(void)
{
    struct world *w = &run->world;
    w->fail_reads = false;
    w->read_nomem = false;
    for (unsigned i = 0; i < CLIENTS; i++) {
        w->clients[i].woken = true; /* as the next ping does */
    }
    bool done = false;
    for (unsigned round = 0; !done; round++) {
        if (round == SETTLE_ROUNDS_MAX) {
            stuck();
        }
        world_run(w);
        done = true;
        for (unsigned i = 0; i < CLIENTS; i++) {
            for (unsigned k = 0; k < run->channels; k++) {
                done = settle_one(&w->clients[i], k) && done;
            }
        }
    }
}

static void sum_up(const struct world_marks *marks)
{
    const uint64_t *from = (const void *)marks;
    uint64_t *to = (void *)&all;
    for (size_t i = 0; i < sizeof(*marks) / sizeof(*from); i++) {
        to[i] += from[i];
    }
}

static void run_seed(uint64_t seed)
{
    static const size_t sizes[] = {1, 200, 500, 1500, 100000};
    static struct run here;
    here = (struct run){.prng = {.state = seed}, .next_id = 10};
    run = &here;
    here.channels = below(4) == 0 ? CHANNELS_MAX : 2;
    const struct world_limits limits = {
        .feed_bytes_max = sizes[below(5)],
        .table_bytes_max = below(3) == 0 ? sizes[below(5)] : 0,
        .read_bytes_max = sizes[below(5)],
        .gather_bytes_max = sizes[below(5)],
        .inflight_max = 2,
        .codec = seed % 3 == 0 ? WIRE_BINARY : WIRE_JSON,
    };
    struct world *w = &here.world;
    world_init(w, &limits);
    for (unsigned k = 0; k < run->channels; k++) {
        ASSERT(world_channel(w, names[k]) == k);
        world_publish(w, k, (uint32_t)below(30) + 1, 100);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        w->clients[i].on_text = on_text;
        (void)world_connect(w, i);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        step();
    }
    settle();
    sum_up(&w->marks);
    world_deinit(w);
}

static void every_subscriber_sees_each_message_once_in_order_or_is_told(void **state)
{
    (void)state;
    const char *only = getenv("SERIATIM_TEST_SEED");
    if (only != NULL) {
        uint64_t seed = 0;
        for (; *only >= '0' && *only <= '9'; only++) {
            seed = seed * 10 + (uint64_t)(*only - '0');
        }
        run_seed(seed);
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        (void)fprintf(stderr, "\rseed %llu", (unsigned long long)seed);
        run_seed(seed);
    }
    (void)fprintf(stderr, "\n");
}

static void the_odd_branches_have_run(void **state)
{
    (void)state;
    if (getenv("SERIATIM_TEST_SEED") != NULL) {
        return;
    }
    (void)fprintf(
        stderr,
        "%llu messages, reads %llu (trimmed %llu, damaged %llu, failed %llu), late %llu, "
        "gaps %llu, ended %llu and %llu, resets %llu, refused %llu, cut %llu, stalls %llu, "
        "resumed %llu, not begun %llu\n",
        (unsigned long long)all.messages, (unsigned long long)all.reads,
        (unsigned long long)all.reads_trimmed, (unsigned long long)all.reads_damaged,
        (unsigned long long)all.reads_failed, (unsigned long long)all.late,
        (unsigned long long)all.gaps, (unsigned long long)all.ended_by_gap,
        (unsigned long long)all.ended_by_failure, (unsigned long long)all.resets,
        (unsigned long long)all.refused_gap, (unsigned long long)all.cut_frames,
        (unsigned long long)all.stalls, (unsigned long long)resumed, (unsigned long long)not_begun);
    assert_true(all.messages > SEEDS * 50u);
    assert_true(all.reads > SEEDS * 5u);
    assert_true(all.reads_trimmed > SEEDS / 10u);
    assert_true(all.reads_damaged > SEEDS / 10u);
    assert_true(all.reads_failed > SEEDS / 20u);
    assert_true(all.late > SEEDS / 10u);
    assert_true(all.gaps > SEEDS / 10u);
    assert_true(all.ended_by_gap > SEEDS / 20u);
    assert_true(all.ended_by_failure > SEEDS / 50u);
    assert_true(all.resets > SEEDS / 5u);
    assert_true(all.refused_gap > SEEDS / 5u);
    assert_true(all.cut_frames > SEEDS);
    assert_true(all.stalls > SEEDS * 2u);
    (void)fprintf(stderr, "skipped %llu, conflated %llu\n", (unsigned long long)all.skipped,
                  (unsigned long long)all.conflated);
    assert_true(all.skipped > SEEDS / 10u);
    assert_true(all.conflated > SEEDS / 5u);
    assert_true(resumed > SEEDS / 2u);
    assert_true(not_begun > SEEDS / 5u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_subscriber_sees_each_message_once_in_order_or_is_told),
        cmocka_unit_test(the_odd_branches_have_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
