/* seriatim pub: one message, or every line of standard input, acknowledged to the last. */
#include "base/limits.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/runtime.h"
#include "client/payload.h"
#include "client/publisher.h"
#include "server/config_args.h"
#include "server/config_text.h"
#include "server/config_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define WINDOW_DEFAULT     1000u
#define TIMEOUT_MS_DEFAULT 30000u
#define READ_BYTES         65536u
/* What may wait in our own buffer before it is written. */
#define PENDING_BYTES_MAX (256u * 1024u)
#define PROGRESS_MS       200u

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
    char producer_random[24];
    struct link *link;
    struct publisher publisher;
    struct runtime_news news;
    struct lines lines;
    struct buf scratch;
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

/* Hands one message to the publisher, or refuses it. */
static enum rc add_message(struct pub *pub, struct bytes text)
{
    const enum payload_mode mode = pub->json                          ? PAYLOAD_JSON
                                   : pub->string || pub->data == NULL ? PAYLOAD_STRING
                                                                      : PAYLOAD_GUESS;
    buf_clear(&pub->scratch);
    enum rc rc = payload_encode(&pub->scratch, text, mode);
    if (rc == RC_OK) {
        rc = publisher_add(&pub->publisher, buf_bytes(&pub->scratch));
    }
    if (rc == RC_BAD) {
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
    return rc;
}

/* Moves whole lines from the input to the publisher while there is room. */
static enum rc take_lines(struct pub *pub)
{
    while (!pub->input_ended && !publisher_full(&pub->publisher)) {
        struct bytes line;
        enum rc rc = lines_next(&pub->lines, MESSAGE_BYTES_MAX, &line);
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
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static bool wants_input(const struct pub *pub)
{
    return !pub->input_ended && !publisher_full(&pub->publisher);
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

static enum rc send_some(struct pub *pub, uint64_t now_ms)
{
    while (link_ready(pub->link) && link_pending(pub->link) < PENDING_BYTES_MAX) {
        buf_clear(&pub->scratch);
        enum rc rc = publisher_next(&pub->publisher, now_ms, &pub->scratch);
        if (rc == RC_END) {
            return RC_OK;
        }
        if (rc == RC_OK) {
            rc = link_send(pub->link, buf_bytes(&pub->scratch));
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

/* What came from the server. RC_DENIED: it is over, and was told. */
static enum rc take_events(struct pub *pub, uint64_t now_ms)
{
    struct link_event event;
    for (link_next(pub->link, now_ms, &event); event.type != LINK_NONE;
         link_next(pub->link, now_ms, &event)) {
        switch (event.type) {
        case LINK_NONE:
        case LINK_GOAWAY: break; /* what is under way is still answered */
        case LINK_READY:
            runtime_tell_ready(&pub->news);
            publisher_on_ready(&pub->publisher);
            break;
        case LINK_LOST: runtime_tell_lost(&pub->news, pub->link); break;
        case LINK_FAILED: cli_say("%s", link_why(pub->link)); return RC_DENIED;
        case LINK_MESSAGE:
            if (publisher_on_message(&pub->publisher, &event.message, now_ms) != RC_OK) {
                cli_say("%s", publisher_why(&pub->publisher));
                return RC_DENIED;
            }
            break;
        }
    }
    return RC_OK;
}

/* On a terminal: how far it is. */
static void show_progress(struct pub *pub, uint64_t now_ms, bool last)
{
    if (pub->data != NULL || isatty(STDERR_FILENO) != 1) {
        return;
    }
    if (last || now_ms - pub->shown_ms >= PROGRESS_MS) {
        pub->shown_ms = now_ms;
        (void)fprintf(stderr, "\r%" PRIu64 " published%s", publisher_acked(&pub->publisher),
                      last ? "\n" : "");
    }
}

/* RC_UNAVAILABLE: nothing has been acknowledged for too long. */
static enum rc check_progress(struct pub *pub, uint64_t now_ms)
{
    const uint64_t acked = publisher_acked(&pub->publisher);
    if (acked != pub->acked_seen || publisher_idle(&pub->publisher)) {
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
            pub->news.out ? "; the last trouble was: " : "",
            pub->news.out ? link_why(pub->link) : "");
    return RC_UNAVAILABLE;
}

static uint64_t next_deadline(const struct pub *pub)
{
    uint64_t deadline = link_deadline_ms(pub->link);
    const uint64_t paused =
        link_ready(pub->link) ? publisher_deadline_ms(&pub->publisher) : UINT64_MAX;
    deadline = paused < deadline ? paused : deadline;
    if (pub->timeout_ms > 0 && !publisher_idle(&pub->publisher)) {
        const uint64_t given_up = pub->progress_ms + pub->timeout_ms;
        deadline = given_up < deadline ? given_up : deadline;
    }
    return deadline;
}

static enum rc one_round(struct pub *pub)
{
    struct pollfd fds[2] = {
        {.fd = link_fd(pub->link), .events = link_events(pub->link)},
        {.fd = wants_input(pub) ? STDIN_FILENO : -1, .events = POLLIN},
    };
    runtime_wait(fds, 2, next_deadline(pub));
    enum rc rc = RC_OK;
    if (fds[1].revents != 0) {
        rc = read_input(pub);
    }
    const uint64_t now_ms = runtime_now_ms();
    link_step(pub->link, now_ms);
    if (rc == RC_OK) {
        rc = take_events(pub, now_ms);
    }
    if (rc == RC_OK) {
        rc = take_lines(pub);
    }
    if (rc == RC_OK) {
        rc = send_some(pub, now_ms);
    }
    return rc == RC_OK ? check_progress(pub, now_ms) : rc;
}

/* Everything is acknowledged, or it cannot go on. */
static enum rc work(struct pub *pub)
{
    pub->progress_ms = runtime_now_ms();
    while (!(pub->input_ended && publisher_idle(&pub->publisher))) {
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
    const uint64_t acked = publisher_acked(&pub->publisher);
    if (publisher_duplicates(&pub->publisher) > 0 && pub->producer != NULL) {
        cli_say("%" PRIu64 " of %" PRIu64 " messages were there already under their number and "
                "were not stored again",
                publisher_duplicates(&pub->publisher), acked);
    }
    if (rc == RC_OK && !pub->failed) {
        return CLI_DONE;
    }
    if (rc == RC_NOMEM || rc == RC_IO) {
        cli_say("%s", rc_text(rc));
    }
    cli_say("%" PRIu64 " messages are acknowledged, number %" PRIu64 " and those behind it are not",
            acked, publisher_head(&pub->publisher));
    return CLI_FAILED;
}

static enum rc start(struct pub *pub, const struct client_url *url)
{
    if (pub->producer == NULL) {
        (void)snprintf(pub->producer_random, sizeof(pub->producer_random), "p-%016" PRIx64,
                       runtime_random());
    }
    const struct link_options options = {
        .url = *url,
        .producer = pub->producer == NULL ? pub->producer_random : pub->producer,
        .producer_epoch = pub->epoch,
    };
    enum rc rc = link_open(&options, runtime_random(), runtime_now_ms(), &pub->link);
    if (rc == RC_OK && pub->data != NULL) {
        pub->input_ended = true;
        rc = add_message(pub, bytes_of_text(pub->data));
    } else if (rc == RC_OK) {
        pub->input = mem_alloc(READ_BYTES);
        rc = pub->input == NULL ? RC_NOMEM : RC_OK;
    }
    return rc;
}

static int run(struct pub *pub, const struct client_url *url)
{
    const struct bytes key = pub->key == NULL ? (struct bytes){0} : bytes_of_text(pub->key);
    enum rc rc = publisher_init(&pub->publisher, bytes_of_text(pub->channel), key, pub->first,
                                pub->data == NULL ? pub->window : 1);
    if (rc != RC_OK) {
        return cli_fail(rc);
    }
    runtime_init();
    if (pub->data == NULL && isatty(STDIN_FILENO) == 1) {
        cli_say("each line that you type is a message; ^D ends");
    }
    rc = start(pub, url);
    if (rc == RC_OK) {
        rc = work(pub);
    }
    const int status = report(pub, rc);
    link_close(pub->link);
    publisher_deinit(&pub->publisher);
    lines_deinit(&pub->lines);
    buf_deinit(&pub->scratch);
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
    struct client_url url;
    if (rc != RC_OK) {
        status = rc == RC_USAGE ? cli_refuse("pub", &errors) : cli_fail(rc);
    } else if (runtime_url("pub", pub.url, &url) != RC_OK) {
        status = CLI_USAGE;
    } else {
        status = run(&pub, &url);
    }
    buf_deinit(&errors);
    return status;
}
