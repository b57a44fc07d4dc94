/* seriatim verify: loads a running server and checks every promise that a client can see. */
#include "cli/verify.h"

#include "base/limits.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/runtime.h"
#include "server/config_args.h"
#include "server/config_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define MESSAGES_MAX UINT64_C(4000000000) /* numbers are kept in 32 bits */
#define CLIENTS_MAX  4096u
#define MS_MAX       UINT64_C(86400000)

enum verify_option {
    OPTION_URL,
    OPTION_RATE,
    OPTION_SECONDS,
    OPTION_MESSAGES,
    OPTION_CHANNELS,
    OPTION_PRODUCERS,
    OPTION_SUBSCRIBERS,
    OPTION_SIZE,
    OPTION_BATCH,
    OPTION_INFLIGHT,
    OPTION_WINDOW,
    OPTION_RESTART_SUBSCRIBERS,
    OPTION_RESTART_PRODUCERS,
    OPTION_PATIENCE,
    OPTION_SEED,
    OPTION_PREFIX,
    OPTION_TOLERATE,
    OPTION_JSON,
    OPTION_CODEC,
    OPTION_KEEP_GOING,
    OPTION_NO_AUDIT,
    OPTION_COUNT,
};

static const struct args_option options_known[OPTION_COUNT] = {
    [OPTION_URL] = {"url", ARGS_REQUIRED},
    [OPTION_RATE] = {"rate", ARGS_REQUIRED},
    [OPTION_SECONDS] = {"seconds", ARGS_REQUIRED},
    [OPTION_MESSAGES] = {"messages", ARGS_REQUIRED},
    [OPTION_CHANNELS] = {"channels", ARGS_REQUIRED},
    [OPTION_PRODUCERS] = {"producers", ARGS_REQUIRED},
    [OPTION_SUBSCRIBERS] = {"subscribers", ARGS_REQUIRED},
    [OPTION_SIZE] = {"size", ARGS_REQUIRED},
    [OPTION_BATCH] = {"batch", ARGS_REQUIRED},
    [OPTION_INFLIGHT] = {"inflight", ARGS_REQUIRED},
    [OPTION_WINDOW] = {"window", ARGS_REQUIRED},
    [OPTION_RESTART_SUBSCRIBERS] = {"restart-subscribers", ARGS_REQUIRED},
    [OPTION_RESTART_PRODUCERS] = {"restart-producers", ARGS_REQUIRED},
    [OPTION_PATIENCE] = {"patience", ARGS_REQUIRED},
    [OPTION_SEED] = {"seed", ARGS_REQUIRED},
    [OPTION_PREFIX] = {"prefix", ARGS_REQUIRED},
    [OPTION_TOLERATE] = {"tolerate", ARGS_REQUIRED},
    [OPTION_JSON] = {"json", ARGS_REQUIRED},
    [OPTION_CODEC] = {"codec", ARGS_REQUIRED},
    [OPTION_KEEP_GOING] = {"keep-going", ARGS_FLAG},
    [OPTION_NO_AUDIT] = {"no-audit", ARGS_FLAG},
};

struct taking {
    struct verify_options options;
    struct buf *errors;
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

static enum rc take_number(struct taking *t, size_t index, const char *value, uint64_t min,
                           uint64_t max, uint64_t *ret_number)
{
    if (cli_number(value, min, max, ret_number) == RC_OK) {
        return RC_OK;
    }
    char wanted[80];
    (void)snprintf(wanted, sizeof(wanted), "a whole number from %" PRIu64 " to %" PRIu64, min, max);
    return complain(t->errors, options_known[index].name, wanted, value);
}

static enum rc take_prefix(struct taking *t, const char *value)
{
    const size_t size = strlen(value);
    bool good = size > 0 && size <= WORKLOAD_PREFIX_MAX;
    for (size_t i = 0; i < size; i++) {
        const char c = value[i];
        good = good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-');
    }
    t->options.prefix = value;
    return good ? RC_OK
                : complain(t->errors, "prefix", "1 to 100 letters, digits, '.', '_' or '-'", value);
}

static enum rc take_tolerate(struct taking *t, const char *value)
{
    if (strcmp(value, "gap") == 0) {
        t->options.tolerated[VIOLATION_GAP_ANNOUNCED] = true;
        return RC_OK;
    }
    if (strcmp(value, "epoch") == 0) {
        t->options.tolerated[VIOLATION_HISTORY_CHANGED] = true;
        return RC_OK;
    }
    return complain(t->errors, "tolerate", "`gap` or `epoch`", value);
}

static enum rc take_codec(struct taking *t, const char *value)
{
    const bool json = strcmp(value, "json") == 0;
    t->options.codec = json ? SERIATIM_JSON : SERIATIM_BINARY;
    return json || strcmp(value, "binary") == 0
               ? RC_OK
               : complain(t->errors, "codec", "json or binary", value);
}

static enum rc on_option(void *ctx, size_t index, const char *value)
{
    struct taking *t = ctx;
    struct verify_options *o = &t->options;
    switch ((enum verify_option)index) {
    case OPTION_URL: o->url_text = value; return RC_OK;
    case OPTION_RATE: return take_number(t, index, value, 1, 100000000, &o->rate);
    case OPTION_SECONDS: return take_number(t, index, value, 1, 1000000, &o->seconds);
    case OPTION_MESSAGES: return take_number(t, index, value, 1, MESSAGES_MAX, &o->messages);
    case OPTION_CHANNELS:
        return take_number(t, index, value, 1, WORKLOAD_CHANNELS_MAX, &o->channels);
    case OPTION_PRODUCERS:
        return take_number(t, index, value, 1, WORKLOAD_PRODUCERS_MAX, &o->producers);
    case OPTION_SUBSCRIBERS:
        return take_number(t, index, value, 1, VERIFY_SUBSCRIBERS_MAX, &o->subscribers);
    case OPTION_SIZE: return take_number(t, index, value, WORKLOAD_SIZE_MIN, MIB, &o->size);
    case OPTION_BATCH: return take_number(t, index, value, 1, BATCH_MESSAGES_MAX, &o->batch);
    case OPTION_INFLIGHT: return take_number(t, index, value, 1, 1000000, &o->inflight);
    case OPTION_WINDOW: return take_number(t, index, value, 0, WINDOW_MAX, &o->window);
    case OPTION_RESTART_SUBSCRIBERS:
        return take_number(t, index, value, 0, MS_MAX, &o->restart_subscribers_ms);
    case OPTION_RESTART_PRODUCERS:
        return take_number(t, index, value, 0, MS_MAX, &o->restart_producers_ms);
    case OPTION_PATIENCE: {
        const enum rc rc = take_number(t, index, value, 1, MS_MAX / 1000, &o->patience_ms);
        o->patience_ms *= 1000;
        return rc;
    }
    case OPTION_SEED:
        o->has_seed = true;
        return take_number(t, index, value, 0, WIRE_INTEGER_MAX, &o->seed);
    case OPTION_PREFIX: return take_prefix(t, value);
    case OPTION_TOLERATE: return take_tolerate(t, value);
    case OPTION_JSON: o->json = value; return RC_OK;
    case OPTION_CODEC: return take_codec(t, value);
    case OPTION_KEEP_GOING: o->keep_going = true; return RC_OK;
    case OPTION_NO_AUDIT: o->no_audit = true; return RC_OK;
    case OPTION_COUNT: break;
    }
    UNREACHABLE();
}

/* What no single option can see. */
static enum rc check_together(struct taking *t)
{
    struct verify_options *o = &t->options;
    struct config_text to = config_text_to(t->errors);
    if (o->seconds > 0 && o->messages > 0) {
        config_text_addf(&to, "error: --seconds and --messages exclude one another\n");
    } else if (o->messages == 0) {
        o->messages = (o->seconds == 0 ? 10 : o->seconds) * o->rate;
    }
    if (o->messages > MESSAGES_MAX) {
        config_text_addf(&to, "error: --rate for --seconds makes more than 4000000000 messages\n");
    }
    if (o->producers + o->channels * o->subscribers > CLIENTS_MAX) {
        config_text_addf(&to,
                         "error: producers and subscribers (--channels times --subscribers) "
                         "together must be at most %u\n",
                         CLIENTS_MAX);
    }
    return to.rc != RC_OK ? to.rc : t->errors->size > 0 ? RC_USAGE : RC_OK;
}

static enum rc parse(struct taking *t, int argc, char **argv)
{
    const struct args_use use = {options_known, OPTION_COUNT, on_option, t};
    int operands = argc;
    const enum rc rc = args_parse(argc, argv, &use, t->errors, &operands);
    if (rc != RC_OK) {
        return rc;
    }
    if (operands != argc) {
        struct config_text to = config_text_to(t->errors);
        config_text_addf(&to, "error: there are no arguments but options\n");
        return to.rc == RC_OK ? RC_USAGE : to.rc;
    }
    return check_together(t);
}

/* Four descriptors for each client: the usual soft limit of 1024 descriptors is too low for what is
 * allowed. Where it cannot be raised, connections that find none are told as any that fail. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run(struct verify_options *options)
{
    char prefix[32];
    (void)snprintf(prefix, sizeof(prefix), "verify-%08" PRIx64, runtime_random() >> 32);
    options->prefix = options->prefix == NULL ? prefix : options->prefix;
    options->seed = options->has_seed ? options->seed : runtime_random() >> 12;
    struct verify *v = mem_calloc(1, sizeof(*v)); /* the histograms are too large for a stack */
    if (v == NULL) {
        return cli_fail(RC_NOMEM);
    }
    const enum rc rc = verify_init(v, options);
    if (rc != RC_OK) {
        mem_free(v);
        return cli_fail(rc);
    }
    raise_descriptor_limit();
    runtime_init();
    verify_run(v);
    const int status = verify_report(v);
    verify_deinit(v);
    mem_free(v);
    return status;
}

int cli_verify(int argc, char **argv)
{
    int status;
    if (cli_wants_help("verify", argc, argv, &status)) {
        return status;
    }
    struct buf errors = {0};
    struct taking t = {
        .options = {.rate = 1000,
                    .channels = 8,
                    .producers = 4,
                    .subscribers = 2,
                    .size = 128,
                    .batch = 1,
                    .inflight = 256,
                    .codec = SERIATIM_JSON,
                    .restart_subscribers_ms = 1000,
                    .patience_ms = 60000},
        .errors = &errors,
    };
    const enum rc rc = parse(&t, argc, argv);
    if (rc != RC_OK) {
        status = rc == RC_USAGE ? cli_refuse("verify", &errors) : cli_fail(rc);
    } else if (runtime_url_text("verify", t.options.url_text, &t.options.url_text) != RC_OK) {
        status = CLI_USAGE;
    } else if (!runtime_can_write(t.options.json)) {
        status = CLI_FAILED;
    } else {
        status = run(&t.options);
    }
    buf_deinit(&errors);
    return status;
}
