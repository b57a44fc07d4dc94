/* seriatim pub: one message, or every line of standard input, acknowledged to the last. */
#include "base/limits.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/runtime.h"
#include "client/payload.h"
#include "server/config_args.h"
#include "server/config_text.h"
#include "server/config_value.h"

#include <errno.h>
#include <inttypes.h>
#include <seriatim/client.h>
#include <stdio.h>
#include <unistd.h>

#define WINDOW_DEFAULT     1000u
#define TIMEOUT_MS_DEFAULT 30000u
#define READ_BYTES         65536u
/* What may wait for its acknowledgement, whatever the window: the most that a client has. */
#define OUTBOX_BYTES (128u * 1024u * 1024u)
#define WHY_SIZE     320u
#define PROGRESS_MS  200u

enum pub_option {
    PUB_JSON,
    PUB_STRING,
    PUB_KEY,
    PUB_PRODUCER,
    PUB_EPOCH,
    PUB_FIRST,
    PUB_WINDOW,
    PUB_TIMEOUT,
    PUB_URL,
    PUB_OPTION_COUNT,
};

static const struct args_option pub_options[PUB_OPTION_COUNT] = {
    [PUB_JSON] = {"json", ARGS_FLAG},         [PUB_STRING] = {"string", ARGS_FLAG},
    [PUB_KEY] = {"key", ARGS_REQUIRED},       [PUB_PRODUCER] = {"producer", ARGS_REQUIRED},
    [PUB_EPOCH] = {"epoch", ARGS_REQUIRED},   [PUB_FIRST] = {"first", ARGS_REQUIRED},
    [PUB_WINDOW] = {"window", ARGS_REQUIRED}, [PUB_TIMEOUT] = {"timeout", ARGS_REQUIRED},
    [PUB_URL] = {"url", ARGS_REQUIRED},
};

struct pub {
    /* what was asked for */
    const char *channel;
    const char *data; /* NULL: lines of standard input */
    bool json;
    bool string;
    const char *key;
    const char *producer;
    uint64_t epoch;
    uint64_t first;
    uint64_t window;
    uint64_t timeout_ms; /* 0: none */
    const char *url;
    struct buf *errors;
    /* at work */
    struct seriatim_client *client;
    struct runtime_news news;
    char why[WHY_SIZE]; /* of the last trouble */
    uint64_t given;     /* messages that the client has taken */
    uint64_t acked;
    uint64_t duplicates;
    bool denied; /* it cannot go on; told */
    struct lines lines;
    struct buf payload; /* the next message; `held`: there was no room for it */
    bool is_bytes;
    bool held;
    uint8_t *input; /* READ_BYTES */
    uint64_t line;  /* lines taken */
    bool input_ended;
    bool failed;          /* told already; what was taken before is still finished */
    uint64_t progress_ms; /* when something was last acknowledged, or nothing was waiting */
    uint64_t acked_seen;
    uint64_t shown_ms;
};

/* ---- options ------------------------------------------------------------------------------- */

static enum rc complain(struct buf *errors, const char *option, const char *wanted,
                        const char *value)
{
    struct config_text to = config_text_to(errors);
    config_text_addf(&to, "error: --%s must be %s; this is '", option, wanted);
    config_text_add_foreign(&to, bytes_of_text(value), 60);
    config_text_addf(&to, "'\n");
    return to.rc == RC_OK ? RC_USAGE : to.rc;
}

static enum rc take_name(struct pub *pub, size_t index, const char *value, const char **ret_name)
{
    const size_t size = strlen(value);
    if (size == 0 || size > KEY_BYTES_MAX) {
        return complain(pub->errors, pub_options[index].name, "a text of 1 to 255 bytes", value);
    }
    *ret_name = value;
    return RC_OK;
}

static enum rc take_number(struct pub *pub, size_t index, const char *value, uint64_t max,
                           uint64_t *ret_number)
{
    if (cli_number(value, 1, max, ret_number) != RC_OK) {
        return complain(pub->errors, pub_options[index].name, "a whole number from 1", value);
    }
    return RC_OK;
}

static enum rc on_option(void *ctx, size_t index, const char *value)
{
    struct pub *pub = ctx;
    switch ((enum pub_option)index) {
    case PUB_JSON: pub->json = true; return RC_OK;
    case PUB_STRING: pub->string = true; return RC_OK;
    case PUB_KEY: return take_name(pub, index, value, &pub->key);
    case PUB_PRODUCER: return take_name(pub, index, value, &pub->producer);
    case PUB_EPOCH: return take_number(pub, index, value, WIRE_INTEGER_MAX, &pub->epoch);
    case PUB_FIRST: return take_number(pub, index, value, WIRE_INTEGER_MAX, &pub->first);
    case PUB_WINDOW: return take_number(pub, index, value, 100000, &pub->window);
    case PUB_TIMEOUT:
        if (config_parse_duration(bytes_of_text(value), &pub->timeout_ms) != RC_OK) {
            return complain(pub->errors, "timeout", "a duration such as 500ms, 30s or 5m", value);
        }
        return RC_OK;
    case PUB_URL: pub->url = value; return RC_OK;
    case PUB_OPTION_COUNT: break;
    }
    UNREACHABLE();
}

static enum rc parse(struct pub *pub, int argc, char **argv)
{
    const struct args_use use = {pub_options, PUB_OPTION_COUNT, on_option, pub};
    struct config_text to = config_text_to(pub->errors);
    int operands = argc;
    enum rc rc = args_parse(argc, argv, &use, pub->errors, &operands);
    if (rc != RC_OK) {
        return rc;
    }
    if (operands == argc) {
        config_text_addf(&to, "error: which channel? Give its name\n");
        rc = RC_USAGE;
    } else if (argc - operands > 2) {
        config_text_addf(&to, "error: too many arguments; a message with spaces needs quotes\n");
        rc = RC_USAGE;
    } else {
        pub->channel = argv[operands];
        pub->data = argc - operands == 2 ? argv[operands + 1] : NULL;
    }
    if (pub->json && pub->string) {
        config_text_addf(&to, "error: --json and --string exclude one another\n");
        rc = RC_USAGE;
    }
    return to.rc == RC_OK ? rc : to.rc;
}

/* ---- input --------------------------------------------------------------------------------- */

static bool is_full(const struct pub *pub)
{
    return pub->held || pub->given - pub->acked >= pub->window;
}

static bool is_idle(const struct pub *pub)
{
    return !pub->held && pub->given == pub->acked;
}

/* Gives the client what is in `payload`; where it has no room, later. */
static enum rc give_message(struct pub *pub)
{
    const struct seriatim_publish publish = {
        .size = sizeof(publish),
        .channel = pub->channel,
        .data = pub->payload.data,
        .data_size = pub->payload.size,
        .bytes = pub->is_bytes,
        .key = pub->key,
    };
    const enum seriatim_status status = seriatim_publish(pub->client, &publish);
    pub->held = status == SERIATIM_FULL;
    if (status == SERIATIM_OK) {
        pub->given++;
    } else if (status == SERIATIM_NOMEM) {
        return RC_NOMEM;
    } else if (status != SERIATIM_FULL) {
        cli_say("the key or the message is refused: %s", seriatim_status_text(status));
        pub->failed = true;
        pub->input_ended = true;
    }
    return RC_OK;
}

/* Hands one message to the client, or refuses it. */
static enum rc add_message(struct pub *pub, struct bytes text)
{
    const enum payload_mode mode = pub->json                          ? PAYLOAD_JSON
                                   : pub->string || pub->data == NULL ? PAYLOAD_STRING
                                                                      : PAYLOAD_GUESS;
    buf_clear(&pub->payload);
    enum rc rc = payload_data(&pub->payload, text, mode, &pub->is_bytes);
    if (rc != RC_BAD) {
        return rc == RC_OK ? give_message(pub) : rc;
    }
    if (pub->data != NULL) {
        cli_say("DATA is not JSON, as --json asks for");
    } else {
        cli_say("line %" PRIu64 " is not JSON, as --json asks for; what stands before it is "
                "published",
                pub->line);
    }
    pub->failed = true;
    pub->input_ended = true;
    return RC_OK;
}

/* Moves whole lines from the input to the client while there is room. */
static enum rc take_lines(struct pub *pub)
{
    enum rc rc = pub->held ? give_message(pub) : RC_OK;
    while (rc == RC_OK && !pub->input_ended && !is_full(pub)) {
        struct bytes line;
        rc = lines_next(&pub->lines, MESSAGE_BYTES_MAX, &line);
        if (rc == RC_AGAIN) {
            return RC_OK;
        }
        pub->line++;
        if (rc == RC_END) {
            pub->input_ended = true;
            return RC_OK;
        }
        if (rc == RC_TOO_LARGE) {
            cli_say("line %" PRIu64 " is longer than 16 MiB; what stands before it is published",
                    pub->line);
            pub->failed = true;
            pub->input_ended = true;
            return RC_OK;
        }
        rc = add_message(pub, line);
    }
    return rc;
}

static bool wants_input(const struct pub *pub)
{
    return !pub->input_ended && !is_full(pub);
}

static enum rc read_input(struct pub *pub)
{
    const ssize_t got = read(STDIN_FILENO, pub->input, READ_BYTES);
    if (got < 0) {
        if (errno == EINTR || errno == EAGAIN) {
            return RC_OK;
        }
        cli_say("cannot read standard input: %s", strerror(errno));
        pub->failed = true;
        pub->input_ended = true;
        return RC_OK;
    }
    if (got == 0) {
        lines_end(&pub->lines);
    } else {
        const enum rc rc = lines_push(&pub->lines, bytes_of(pub->input, (size_t)got));
        if (rc != RC_OK) {
            return rc;
        }
    }
    return take_lines(pub);
}

/* ---- the conversation ---------------------------------------------------------------------- */

static void on_published(void *user, const struct seriatim_published *p)
{
    struct pub *pub = user;
    if (p->status == SERIATIM_OK) {
        pub->acked++;
        pub->duplicates += p->duplicate ? 1 : 0;
    } else if (!pub->denied) {
        pub->denied = true;
        if (p->status == SERIATIM_UNKNOWN) {
            cli_say("%s", p->text);
        } else {
            cli_say("message %" PRIu64 " was refused (%s): %s", p->producer_seq, p->code, p->text);
        }
    }
}

static void on_connection(void *user, enum seriatim_connection connection, const char *why)
{
    struct pub *pub = user;
    switch (connection) {
    case SERIATIM_CONNECTED: runtime_tell_ready(&pub->news); break;
    case SERIATIM_LEAVING: break; /* what is under way is still answered */
    case SERIATIM_CONNECTING:
        (void)snprintf(pub->why, sizeof(pub->why), "%s", why);
        runtime_tell_lost(&pub->news, why);
        break;
    case SERIATIM_FAILED:
        if (!pub->denied) {
            cli_say("%s", why);
        }
        pub->denied = true;
        break;
    }
}

/* On a terminal: how far it is. */
static void show_progress(struct pub *pub, uint64_t now_ms, bool last)
{
    if (pub->data != NULL || isatty(STDERR_FILENO) != 1) {
        return;
    }
    if (last || now_ms - pub->shown_ms >= PROGRESS_MS) {
        pub->shown_ms = now_ms;
        (void)fprintf(stderr, "\r%" PRIu64 " published%s", pub->acked, last ? "\n" : "");
    }
}

/* RC_UNAVAILABLE: nothing has been acknowledged for too long. */
static enum rc check_progress(struct pub *pub, uint64_t now_ms)
{
    const uint64_t acked = pub->acked;
    if (acked != pub->acked_seen || is_idle(pub)) {
        pub->acked_seen = acked;
        pub->progress_ms = now_ms;
    }
    show_progress(pub, now_ms, false);
    if (pub->timeout_ms == 0 || now_ms - pub->progress_ms < pub->timeout_ms) {
        return RC_OK;
    }
    char time[CONFIG_NUMBER_TEXT_SIZE];
    config_format_duration(pub->timeout_ms, time);
    cli_say("gave up: nothing was acknowledged for %s%s%s", time,
            pub->news.out ? "; the last trouble was: " : "", pub->news.out ? pub->why : "");
    return RC_UNAVAILABLE;
}

static uint64_t next_deadline(const struct pub *pub)
{
    return pub->timeout_ms > 0 && !is_idle(pub) ? pub->progress_ms + pub->timeout_ms : UINT64_MAX;
}

static enum rc one_round(struct pub *pub)
{
    struct pollfd fds[2] = {
        {.fd = seriatim_client_fd(pub->client), .events = POLLIN},
        {.fd = wants_input(pub) ? STDIN_FILENO : -1, .events = POLLIN},
    };
    runtime_wait(fds, 2, next_deadline(pub));
    enum rc rc = RC_OK;
    if (fds[1].revents != 0) {
        rc = read_input(pub);
    }
    (void)seriatim_client_turn(pub->client); /* on_connection() says what fails */
    if (rc == RC_OK && pub->denied) {
        return RC_DENIED;
    }
    if (rc == RC_OK) {
        rc = take_lines(pub);
    }
    return rc == RC_OK ? check_progress(pub, runtime_now_ms()) : rc;
}

/* Everything is acknowledged, or it cannot go on. */
static enum rc work(struct pub *pub)
{
    pub->progress_ms = runtime_now_ms();
    while (!(pub->input_ended && is_idle(pub))) {
        if (runtime_stopped() != 0) {
            cli_say("stopped by a signal");
            return RC_CLOSED;
        }
        const enum rc rc = one_round(pub);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static int report(struct pub *pub, enum rc rc)
{
    show_progress(pub, 0, true);
    const uint64_t acked = pub->acked;
    if (pub->duplicates > 0 && pub->producer != NULL) {
        cli_say("%" PRIu64 " of %" PRIu64 " messages were there already under their number and "
                "were not stored again",
                pub->duplicates, acked);
    }
    if (rc == RC_OK && !pub->failed) {
        return CLI_DONE;
    }
    if (rc == RC_NOMEM || rc == RC_IO) {
        cli_say("%s", rc_text(rc));
    }
    cli_say("%" PRIu64 " messages are acknowledged, number %" PRIu64 " and those behind it are not",
            acked, pub->first + pub->acked);
    return CLI_FAILED;
}

static enum rc start(struct pub *pub, const char *url)
{
    const struct seriatim_client_options options = {
        .size = sizeof(options),
        .endpoints = &url,
        .endpoint_count = 1,
        .producer = pub->producer,
        .producer_epoch = pub->epoch,
        .codec = SERIATIM_JSON,
        .outbox_bytes = OUTBOX_BYTES,
        .message_bytes = MESSAGE_BYTES_MAX,
        .publish_window = (uint32_t)pub->window,
        .batch_messages = 1, /* a line is a publish, as it was typed */
        .user = pub,
        .on_published = on_published,
        .on_connection = on_connection,
    };
    const char *why = NULL;
    enum seriatim_status status = seriatim_client_new(&options, &pub->client, &why);
    if (status == SERIATIM_OK) {
        status = seriatim_channel_begin(pub->client, pub->channel, pub->first);
    }
    if (status != SERIATIM_OK) {
        cli_say("%s", status == SERIATIM_BAD && why != NULL ? why : seriatim_status_text(status));
        return RC_DENIED;
    }
    if (pub->data != NULL) {
        pub->input_ended = true;
        return add_message(pub, bytes_of_text(pub->data));
    }
    pub->input = mem_alloc(READ_BYTES);
    return pub->input == NULL ? RC_NOMEM : RC_OK;
}

static int run(struct pub *pub, const char *url)
{
    runtime_init();
    if (pub->data == NULL && isatty(STDIN_FILENO) == 1) {
        cli_say("each line that you type is a message; ^D ends");
    }
    enum rc rc = start(pub, url);
    if (rc == RC_OK) {
        rc = work(pub);
    }
    const int status = report(pub, rc);
    (void)seriatim_client_close(pub->client, 0);
    lines_deinit(&pub->lines);
    buf_deinit(&pub->payload);
    mem_free(pub->input);
    return status;
}

int cli_pub(int argc, char **argv)
{
    int status;
    if (cli_wants_help("pub", argc, argv, &status)) {
        return status;
    }
    struct buf errors = {0};
    struct pub pub = {.epoch = 1,
                      .first = 1,
                      .window = WINDOW_DEFAULT,
                      .timeout_ms = TIMEOUT_MS_DEFAULT,
                      .errors = &errors};
    const enum rc rc = parse(&pub, argc, argv);
    const char *url;
    if (rc != RC_OK) {
        status = rc == RC_USAGE ? cli_refuse("pub", &errors) : cli_fail(rc);
    } else if (runtime_channel("pub", pub.channel) != RC_OK ||
               runtime_url_text("pub", pub.url, &url) != RC_OK) {
        status = CLI_USAGE;
    } else {
        status = run(&pub, url);
    }
    buf_deinit(&errors);
    return status;
}
