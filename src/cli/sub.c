/* seriatim sub: a channel's payloads, each once and in order, or a loud end. */
#include "base/limits.h"
#include "cli/cli.h"
#include "cli/runtime.h"
#include "client/payload.h"
#include "server/config_args.h"
#include "server/config_text.h"
#include "wire/json_codec.h"

#include <fcntl.h>
#include <inttypes.h>
#include <seriatim/client.h>
#include <stdio.h>
#include <unistd.h>

/* Written at least so often while messages pour in. */
#define OUTPUT_BYTES (64u * 1024u)

enum sub_option {
    SUB_FROM,
    SUB_COUNT,
    SUB_JSON,
    SUB_ON_GAP,
    SUB_WHEN_SLOW,
    SUB_WINDOW,
    SUB_URL,
    SUB_OPTION_COUNT,
};

static const struct args_option sub_options[SUB_OPTION_COUNT] = {
    [SUB_FROM] = {"from", ARGS_REQUIRED},
    [SUB_COUNT] = {"count", ARGS_REQUIRED},
    [SUB_JSON] = {"json", ARGS_FLAG},
    [SUB_ON_GAP] = {"on-gap", ARGS_REQUIRED},
    [SUB_WHEN_SLOW] = {"when-slow", ARGS_REQUIRED},
    [SUB_WINDOW] = {"window", ARGS_REQUIRED},
    [SUB_URL] = {"url", ARGS_REQUIRED},
};

struct sub {
    /* what was asked for */
    const char *channel;
    enum seriatim_from from;
    uint64_t from_seq;
    uint64_t count; /* 0: no end */
    bool json;
    bool on_gap_reset;
    enum seriatim_when_slow when_slow;
    uint64_t window;
    const char *url;
    struct buf *errors;
    /* at work */
    struct seriatim_client *client;
    struct runtime_news news;
    struct output output;
    uint64_t received;
    enum rc rc; /* not OK: it is over, and was told */
};

static enum rc complain(struct buf *errors, const char *option, const char *wanted,
                        const char *value)
{
    struct config_text to = config_text_to(errors);
    config_text_addf(&to, "error: --%s must be %s; this is '", option, wanted);
    config_text_add_foreign(&to, bytes_of_text(value), 60);
    config_text_addf(&to, "'\n");
    return to.rc == RC_OK ? RC_USAGE : to.rc;
}

static enum rc take_from(struct sub *sub, const char *value)
{
    if (strcmp(value, "latest") == 0) {
        sub->from = SERIATIM_LATEST;
    } else if (strcmp(value, "earliest") == 0) {
        sub->from = SERIATIM_EARLIEST;
    } else if (cli_number(value, 1, WIRE_INTEGER_MAX, &sub->from_seq) == RC_OK) {
        sub->from = SERIATIM_SEQ;
    } else {
        return complain(sub->errors, "from", "a seq from 1, `earliest` or `latest`", value);
    }
    return RC_OK;
}

static enum rc take_when_slow(struct sub *sub, const char *value)
{
    if (strcmp(value, "catch_up") == 0) {
        sub->when_slow = SERIATIM_CATCH_UP;
    } else if (strcmp(value, "skip") == 0) {
        sub->when_slow = SERIATIM_SKIP;
    } else if (strcmp(value, "conflate") == 0) {
        sub->when_slow = SERIATIM_CONFLATE;
    } else {
        return complain(sub->errors, "when-slow", "`catch_up`, `skip` or `conflate`", value);
    }
    return RC_OK;
}

static enum rc on_option(void *ctx, size_t index, const char *value)
{
    struct sub *sub = ctx;
    switch ((enum sub_option)index) {
    case SUB_FROM: return take_from(sub, value);
    case SUB_COUNT:
        return cli_number(value, 1, WIRE_INTEGER_MAX, &sub->count) == RC_OK
                   ? RC_OK
                   : complain(sub->errors, "count", "a whole number from 1", value);
    case SUB_JSON: sub->json = true; return RC_OK;
    case SUB_WHEN_SLOW: return take_when_slow(sub, value);
    case SUB_ON_GAP:
        sub->on_gap_reset = strcmp(value, "reset") == 0;
        return sub->on_gap_reset || strcmp(value, "error") == 0
                   ? RC_OK
                   : complain(sub->errors, "on-gap", "`error` or `reset`", value);
    case SUB_WINDOW:
        return cli_number(value, 1, WINDOW_MAX, &sub->window) == RC_OK
                   ? RC_OK
                   : complain(sub->errors, "window", "a whole number from 1 to 1000000", value);
    case SUB_URL: sub->url = value; return RC_OK;
    case SUB_OPTION_COUNT: break;
    }
    UNREACHABLE();
}

static enum rc parse(struct sub *sub, int argc, char **argv)
{
    const struct args_use use = {sub_options, SUB_OPTION_COUNT, on_option, sub};
    int operands = argc;
    const enum rc rc = args_parse(argc, argv, &use, sub->errors, &operands);
    if (rc != RC_OK) {
        return rc;
    }
    if (argc - operands == 1) {
        sub->channel = argv[operands];
        return RC_OK;
    }
    struct config_text to = config_text_to(sub->errors);
    config_text_addf(&to, "error: which channel? Give one name\n");
    return to.rc == RC_OK ? RC_USAGE : to.rc;
}

static bool is_done(const struct sub *sub)
{
    return sub->count > 0 && sub->received >= sub->count;
}

/* The whole message as the server says it. */
static enum rc append_json(struct buf *to, const struct seriatim_message *m)
{
    const struct wire_message message = {
        .channel = bytes_of_text(m->channel),
        .seq = m->seq,
        .message_id = m->message_id,
        .time_ms = m->time_ms,
        .key = bytes_of(m->key, m->key_size),
        .has_key = m->key != NULL,
        .producer = bytes_of(m->producer, m->producer_size),
        .producer_seq = m->producer_seq,
        .data = bytes_of(m->data, m->data_size),
        .is_bytes = m->bytes,
    };
    return json_encode_message(to, &message, true);
}

/* One line of output. With a window it is written before it is acknowledged, which is when this
 * returns: an ack says that it was handled. */
static void on_message(void *user, const struct seriatim_message *m)
{
    struct sub *sub = user;
    if (sub->rc != RC_OK || is_done(sub)) {
        return;
    }
    struct buf *to = &sub->output.buf;
    sub->received++;
    sub->rc = sub->json ? append_json(to, m)
                        : payload_show(to, bytes_of(m->data, m->data_size), m->bytes);
    if (sub->rc == RC_OK) {
        sub->rc = buf_append(to, BYTES_LITERAL("\n"));
    }
    if (sub->rc == RC_OK && (to->size >= OUTPUT_BYTES || sub->window > 0)) {
        sub->rc = output_flush(&sub->output);
    }
}

static void on_gap(void *user, const struct seriatim_gap *gap)
{
    struct sub *sub = user;
    const bool wanted = strcmp(gap->reason, "slow") == 0 || strcmp(gap->reason, "conflated") == 0;
    if (sub->rc != RC_OK || is_done(sub)) {
        return;
    }
    if (gap->to >= gap->from && gap->from > 0) {
        cli_say("%s: messages %" PRIu64 " to %" PRIu64 " are %s (%s)", gap->channel, gap->from,
                gap->to, wanted ? "left out" : "lost", gap->reason);
    } else {
        cli_say("%s: the channel's history has changed: seq %" PRIu64
                " was next, now it is %" PRIu64,
                gap->channel, gap->from, gap->next);
    }
}

/* Why it ends, in the words of this command's options. */
static void tell_end(const struct seriatim_subscription_news *news)
{
    if (news->status == SERIATIM_GAP && news->text[0] != '\0' &&
        strncmp(news->text, "the server ended", 16) == 0) {
        cli_say("%s: %s; --on-gap reset goes on behind a gap", news->channel, news->text);
    } else if (news->status == SERIATIM_GAP) {
        cli_say("%s: seq %" PRIu64 " is not there: the channel has %" PRIu64 " to %" PRIu64
                "; --on-gap reset begins where it can",
                news->channel, news->next, news->earliest, news->latest);
    } else if (news->status == SERIATIM_REFUSED) {
        cli_say("%s: the server refuses (%s): %s", news->channel, news->code, news->text);
    } else {
        cli_say("%s: %s", news->channel, news->text);
    }
}

static void on_state(void *user, const struct seriatim_subscription_news *news)
{
    struct sub *sub = user;
    if (sub->rc != RC_OK || is_done(sub)) {
        return;
    }
    if (news->state == SERIATIM_SUB_ENDED) {
        tell_end(news);
        sub->rc = RC_DENIED;
    } else if (news->state == SERIATIM_SUB_WAITING && news->code[0] != '\0') {
        cli_say("%s: the server cannot subscribe us now (%s): %s", news->channel, news->code,
                news->text);
    }
}

static void on_connection(void *user, enum seriatim_connection connection, const char *why)
{
    struct sub *sub = user;
    if (sub->rc != RC_OK || is_done(sub)) {
        return;
    }
    switch (connection) {
    case SERIATIM_CONNECTED: runtime_tell_ready(&sub->news); break;
    case SERIATIM_LEAVING: break; /* the server closes when it is ready */
    case SERIATIM_CONNECTING: runtime_tell_lost(&sub->news, why); break;
    case SERIATIM_FAILED:
        cli_say("%s", why);
        sub->rc = RC_DENIED;
        break;
    }
}

static enum rc one_round(struct sub *sub)
{
    /* The reader's end of the output is watched too: when it goes, so do we. */
    struct pollfd fds[2] = {
        {.fd = seriatim_client_fd(sub->client), .events = POLLIN},
        {.fd = sub->output.regular ? -1 : STDOUT_FILENO, .events = 0},
    };
    runtime_wait(fds, 2, UINT64_MAX);
    if ((fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        return RC_IO;
    }
    (void)seriatim_client_turn(sub->client); /* on_connection() says what fails */
    const enum rc flushed = output_flush(&sub->output);
    return sub->rc != RC_OK ? sub->rc : flushed;
}

/* Until the count is reached, a signal comes, or it cannot go on. */
static int work(struct sub *sub)
{
    while (!is_done(sub)) {
        if (runtime_stopped() != 0) {
            return sub->count == 0 ? CLI_DONE : CLI_FAILED;
        }
        const enum rc rc = one_round(sub);
        if (rc == RC_NOMEM) {
            return cli_fail(rc);
        }
        if (rc != RC_OK) {
            return CLI_FAILED; /* told where it happened */
        }
    }
    return CLI_DONE;
}

static enum seriatim_status start(struct sub *sub, const char *url)
{
    const struct seriatim_client_options options = {
        .size = sizeof(options),
        .endpoints = &url,
        .endpoint_count = 1,
        .codec = SERIATIM_JSON,
        .user = sub,
        .on_connection = on_connection,
    };
    const struct seriatim_subscribe subscribe = {
        .size = sizeof(subscribe),
        .channel = sub->channel,
        .from = sub->from,
        .seq = sub->from_seq,
        .window = (uint32_t)sub->window,
        .when_slow = sub->when_slow,
        .go_on_behind_gaps = sub->on_gap_reset,
        .user = sub,
        .on_message = on_message,
        .on_gap = on_gap,
        .on_state = on_state,
    };
    const enum seriatim_status status = seriatim_client_new(&options, &sub->client, NULL);
    return status == SERIATIM_OK ? seriatim_subscribe(sub->client, &subscribe, NULL) : status;
}

static int run(struct sub *sub, const char *url)
{
    int status = CLI_FAILED;
    if ((fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY) {
        cli_say("there is no standard output");
        return status;
    }
    runtime_init();
    output_init(&sub->output);
    const enum seriatim_status started = start(sub, url);
    if (started == SERIATIM_OK) {
        status = work(sub);
    } else {
        cli_say("%s", seriatim_status_text(started));
    }
    (void)seriatim_client_close(sub->client, 0);
    output_deinit(&sub->output);
    return status;
}

int cli_sub(int argc, char **argv)
{
    int status;
    if (cli_wants_help("sub", argc, argv, &status)) {
        return status;
    }
    struct buf errors = {0};
    struct sub sub = {.from = SERIATIM_LATEST, .errors = &errors};
    const enum rc rc = parse(&sub, argc, argv);
    const char *url;
    if (rc != RC_OK) {
        status = rc == RC_USAGE ? cli_refuse("sub", &errors) : cli_fail(rc);
    } else if (runtime_channel("sub", sub.channel) != RC_OK ||
               runtime_url_text("sub", sub.url, &url) != RC_OK) {
        status = CLI_USAGE;
    } else {
        status = run(&sub, url);
    }
    buf_deinit(&errors);
    return status;
}
