/* seriatim sub: a channel's payloads, each once and in order, or a loud end. */
#include "base/limits.h"
#include "cli/cli.h"
#include "cli/runtime.h"
#include "client/payload.h"
#include "client/subscriber.h"
#include "server/config_args.h"
#include "server/config_text.h"

#include <inttypes.h>
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
    enum subscriber_from from;
    uint64_t from_seq;
    uint64_t count; /* 0: no end */
    bool json;
    bool on_gap_reset;
    const char *when_slow; /* NULL: nothing is said of it */
    uint64_t window;
    const char *url;
    struct buf *errors;
    /* at work */
    struct link *link;
    struct subscriber subscriber;
    struct runtime_news news;
    struct output output;
    struct buf scratch;
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
        sub->from = SUBSCRIBER_FROM_LATEST;
    } else if (strcmp(value, "earliest") == 0) {
        sub->from = SUBSCRIBER_FROM_EARLIEST;
    } else if (cli_number(value, 1, WIRE_INTEGER_MAX, &sub->from_seq) == RC_OK) {
        sub->from = SUBSCRIBER_FROM_SEQ;
    } else {
        return complain(sub->errors, "from", "a seq from 1, `earliest` or `latest`", value);
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
    case SUB_WHEN_SLOW:
        sub->when_slow = value;
        return strcmp(value, "catch_up") == 0 || strcmp(value, "skip") == 0 ||
                       strcmp(value, "conflate") == 0
                   ? RC_OK
                   : complain(sub->errors, "when-slow", "`catch_up`, `skip` or `conflate`", value);
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
    return sub->count > 0 && subscriber_received(&sub->subscriber) >= sub->count;
}

/* One line of output. */
static enum rc print_message(struct sub *sub, const struct client_message *message)
{
    struct buf *to = &sub->output.buf;
    enum rc rc = sub->json ? buf_append(to, message->text) : payload_decode(to, message);
    if (rc == RC_OK) {
        rc = buf_append(to, BYTES_LITERAL("\n"));
    }
    if (rc == RC_BAD) {
        cli_say("the server sent a message without a payload");
        return RC_DENIED;
    }
    return rc == RC_OK && to->size >= OUTPUT_BYTES ? output_flush(&sub->output) : rc;
}

/* RC_DENIED: it is over, and was told. */
static enum rc take_message(struct sub *sub, const struct client_message *message, uint64_t now_ms)
{
    switch (subscriber_on_message(&sub->subscriber, message, now_ms)) {
    case SUBSCRIBER_NOTHING: return RC_OK;
    case SUBSCRIBER_DELIVER: return print_message(sub, message);
    case SUBSCRIBER_NOTICE:
        cli_say("%s: %s", sub->channel, subscriber_text(&sub->subscriber));
        return RC_OK;
    case SUBSCRIBER_FAILED:
    case SUBSCRIBER_BROKEN:
        cli_say("%s: %s", sub->channel, subscriber_text(&sub->subscriber));
        return RC_DENIED;
    }
    UNREACHABLE();
}

static enum rc take_events(struct sub *sub, uint64_t now_ms)
{
    enum rc rc = RC_OK;
    struct link_event event = {.type = LINK_GOAWAY};
    while (rc == RC_OK && event.type != LINK_NONE && !is_done(sub)) {
        link_next(sub->link, now_ms, &event);
        switch (event.type) {
        case LINK_NONE:
        case LINK_GOAWAY: break; /* the server closes when it is ready */
        case LINK_READY:
            runtime_tell_ready(&sub->news);
            subscriber_on_ready(&sub->subscriber, now_ms);
            break;
        case LINK_LOST: runtime_tell_lost(&sub->news, sub->link); break;
        case LINK_FAILED:
            cli_say("%s", link_why(sub->link));
            rc = RC_DENIED;
            break;
        case LINK_MESSAGE: rc = take_message(sub, &event.message, now_ms); break;
        }
    }
    return rc;
}

static enum rc send_some(struct sub *sub, uint64_t now_ms)
{
    while (link_ready(sub->link)) {
        buf_clear(&sub->scratch);
        enum rc rc = subscriber_next(&sub->subscriber, now_ms, &sub->scratch);
        if (rc == RC_END) {
            return RC_OK;
        }
        if (rc == RC_OK) {
            rc = link_send(sub->link, buf_bytes(&sub->scratch));
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

/* What came is printed before it is acknowledged: an ack says that it was handled. */
static enum rc one_round(struct sub *sub)
{
    const uint64_t link_ms = link_deadline_ms(sub->link);
    const uint64_t retry_ms =
        link_ready(sub->link) ? subscriber_deadline_ms(&sub->subscriber) : UINT64_MAX;
    /* The reader's end of the output is watched too: when it goes, so do we. */
    struct pollfd fds[2] = {
        {.fd = link_fd(sub->link), .events = link_events(sub->link)},
        {.fd = sub->output.regular ? -1 : STDOUT_FILENO, .events = 0},
    };
    runtime_wait(fds, 2, link_ms < retry_ms ? link_ms : retry_ms);
    if ((fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        return RC_IO;
    }
    const uint64_t now_ms = runtime_now_ms();
    link_step(sub->link, now_ms);
    const enum rc rc = take_events(sub, now_ms);
    const enum rc flushed = output_flush(&sub->output);
    if (rc != RC_OK || flushed != RC_OK) {
        return rc != RC_OK ? rc : flushed;
    }
    return send_some(sub, now_ms);
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

static int run(struct sub *sub, const struct client_url *url)
{
    const struct subscriber_options options = {
        .channel = bytes_of_text(sub->channel),
        .from = sub->from,
        .seq = sub->from_seq,
        .on_gap_reset = sub->on_gap_reset,
        .when_slow = sub->when_slow,
        .window = sub->window,
    };
    subscriber_init(&sub->subscriber, &options);
    const struct link_options link_options = {.url = *url};
    enum rc rc = link_open(&link_options, runtime_random(), runtime_now_ms(), &sub->link);
    if (rc != RC_OK) {
        return cli_fail(rc);
    }
    runtime_init();
    output_init(&sub->output);
    const int status = work(sub);
    link_close(sub->link);
    output_deinit(&sub->output);
    buf_deinit(&sub->scratch);
    return status;
}

int cli_sub(int argc, char **argv)
{
    int status;
    if (cli_wants_help("sub", argc, argv, &status)) {
        return status;
    }
    struct buf errors = {0};
    struct sub sub = {.from = SUBSCRIBER_FROM_LATEST, .errors = &errors};
    const enum rc rc = parse(&sub, argc, argv);
    struct client_url url;
    if (rc != RC_OK) {
        status = rc == RC_USAGE ? cli_refuse("sub", &errors) : cli_fail(rc);
    } else if (runtime_url("sub", sub.url, &url) != RC_OK) {
        status = CLI_USAGE;
    } else {
        status = run(&sub, &url);
    }
    buf_deinit(&errors);
    return status;
}
