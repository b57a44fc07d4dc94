/* seriatim bench: load with a progress line, and an exact account of order. The options; the load
 * itself is src/bench. */
#include "base/limits.h"
#include "base/mem.h"
#include "bench/codec.h"
#include "bench/scenario.h"
#include "cli/cli.h"
#include "cli/runtime.h"
#include "server/config_args.h"
#include "server/config_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define PREFIX_MAX       100u
#define SERVER_FLAGS_MAX 32
#define COMMAND_SIZE     512u

enum bench_option {
#define X(name, field, text, least, most) OPTION_##name,
    BENCH_NUMBER_LIST(X)
#undef X
        OPTION_URL,
    OPTION_SERVER,
    OPTION_SERVER_PID,
    OPTION_DATA,
    OPTION_KEEP,
    OPTION_DURABILITY,
    OPTION_CODEC,
    OPTION_PREFIX,
    OPTION_LOCKSTEP,
    OPTION_NO_ACK,
    OPTION_CUMULATIVE,
    OPTION_QUIET,
    OPTION_JSON,
    OPTION_HTML,
    OPTION_COUNT,
};

static const struct args_option options_known[OPTION_COUNT] = {
#define X(name, field, text, least, most) [OPTION_##name] = {text, ARGS_REQUIRED},
    BENCH_NUMBER_LIST(X)
#undef X
        [OPTION_URL] = {"url", ARGS_REQUIRED},
    [OPTION_SERVER] = {"server", ARGS_FLAG},
    [OPTION_SERVER_PID] = {"server-pid", ARGS_REQUIRED},
    [OPTION_DATA] = {"data", ARGS_REQUIRED},
    [OPTION_KEEP] = {"keep", ARGS_FLAG},
    [OPTION_DURABILITY] = {"durability", ARGS_REQUIRED},
    [OPTION_CODEC] = {"codec", ARGS_REQUIRED},
    [OPTION_PREFIX] = {"prefix", ARGS_REQUIRED},
    [OPTION_LOCKSTEP] = {"lockstep", ARGS_FLAG},
    [OPTION_NO_ACK] = {"no-ack", ARGS_FLAG},
    [OPTION_CUMULATIVE] = {"cumulative", ARGS_FLAG},
    [OPTION_QUIET] = {"quiet", ARGS_FLAG},
    [OPTION_JSON] = {"json", ARGS_REQUIRED},
    [OPTION_HTML] = {"html", ARGS_REQUIRED},
};

struct taking {
    struct bench_options options;
    const char *url;
    struct buf *errors;
};

/* ---- each option by itself ----------------------------------------------------------------- */

static enum rc complain(struct taking *t, const char *option, const char *wanted, const char *value)
{
    struct config_text to = config_text_to(t->errors);
    config_text_addf(&to, "error: --%s must be %s; this is '", option, wanted);
    config_text_add_foreign(&to, bytes_of_text(value), 60);
    config_text_addf(&to, "'\n");
    return to.rc == RC_OK ? RC_USAGE : to.rc;
}

static enum rc take_number(struct taking *t, size_t index, const char *value, uint64_t min,
                           uint64_t max, uint64_t *ret_number)
{
    if (cli_number(value, min, max, ret_number) == RC_OK) {
        t->options.given |= index < BENCH_NUMBER_COUNT ? 1u << index : 0;
        return RC_OK;
    }
    char wanted[80];
    (void)snprintf(wanted, sizeof(wanted), "a whole number from %" PRIu64 " to %" PRIu64, min, max);
    return complain(t, options_known[index].name, wanted, value);
}

static enum rc take_pid(struct taking *t, const char *value)
{
    uint64_t pid = 0;
    const enum rc rc = take_number(t, OPTION_SERVER_PID, value, 1, INT32_MAX, &pid);
    t->options.server_pid = (pid_t)pid;
    return rc;
}

static enum rc take_prefix(struct taking *t, const char *value)
{
    const size_t size = strlen(value);
    bool good = size > 0 && size <= PREFIX_MAX;
    for (size_t i = 0; i < size; i++) {
        const char c = value[i];
        good = good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-');
    }
    t->options.prefix = value;
    return good ? RC_OK : complain(t, "prefix", "1 to 100 letters, digits, '.', '_' or '-'", value);
}

static enum rc take_durability(struct taking *t, const char *value)
{
    const bool good =
        strcmp(value, "fsync") == 0 || strcmp(value, "os") == 0 || strcmp(value, "memory") == 0;
    t->options.durability = value;
    return good ? RC_OK : complain(t, "durability", "fsync, os or memory", value);
}

static enum rc take_codec(struct taking *t, const char *value)
{
    t->options.codec = value;
    return bench_codec_find(value) != NULL ? RC_OK : complain(t, "codec", "json or binary", value);
}

static enum rc on_option(void *ctx, size_t index, const char *value)
{
    struct taking *t = ctx;
    struct bench_options *o = &t->options;
    switch ((enum bench_option)index) {
#define X(name, field, text, least, most)                                                          \
    case OPTION_##name: return take_number(t, index, value, least, most, &o->field);
        BENCH_NUMBER_LIST(X)
#undef X
    case OPTION_URL: t->url = value; return RC_OK;
    case OPTION_SERVER: o->own_server = true; return RC_OK;
    case OPTION_SERVER_PID: return take_pid(t, value);
    case OPTION_DATA: o->folder = value; return RC_OK;
    case OPTION_KEEP: o->keep = true; return RC_OK;
    case OPTION_DURABILITY: return take_durability(t, value);
    case OPTION_CODEC: return take_codec(t, value);
    case OPTION_PREFIX: return take_prefix(t, value);
    case OPTION_LOCKSTEP: o->lockstep = true; return RC_OK;
    case OPTION_NO_ACK: o->no_ack = true; return RC_OK;
    case OPTION_CUMULATIVE: o->cumulative = true; return RC_OK;
    case OPTION_QUIET: o->quiet = true; return RC_OK;
    case OPTION_JSON: o->json = value; return RC_OK;
    case OPTION_HTML: o->html = value; return RC_OK;
    case OPTION_COUNT: break;
    }
    UNREACHABLE();
}

/* ---- all of them together ------------------------------------------------------------------ */

static void check_scenario(struct taking *t, const struct bench_scenario *scenario,
                           struct config_text *to)
{
    struct bench_options *o = &t->options;
    for (size_t i = 0; i < BENCH_NUMBER_COUNT; i++) {
        if ((o->given & ~scenario->takes & 1u << i) != 0) {
            config_text_addf(to, "error: --%s says nothing to %s\n", options_known[i].name,
                             scenario->name);
        }
    }
    if (o->lockstep && !scenario->takes_lockstep) {
        config_text_addf(to, "error: --lockstep says nothing to %s\n", scenario->name);
    }
    if (o->no_ack && !scenario->takes_no_ack) {
        config_text_addf(to, "error: --no-ack says nothing to %s\n", scenario->name);
    }
    if (o->cumulative && !scenario->takes_cumulative) {
        config_text_addf(to, "error: --cumulative says nothing to %s\n", scenario->name);
    }
    if (o->cumulative && o->no_ack) {
        config_text_addf(to, "error: --cumulative and --no-ack exclude one another\n");
    }
    if (o->cumulative && strcmp(o->codec, bench_codec_binary.name) != 0) {
        config_text_addf(to, "error: --cumulative needs --codec binary\n");
    }
    if (o->lockstep && o->rate > 0) {
        config_text_addf(to, "error: --lockstep and --rate exclude one another\n");
    }
    bench_options_complete(o, scenario);
    if (o->channels < o->connections && (o->given & 1u << BENCH_CHANNELS) == 0 &&
        (scenario->takes & 1u << BENCH_CHANNELS) != 0 && scenario == &bench_scenario_publish) {
        o->channels = o->connections; /* one for each, unless told otherwise */
    }
    /* Numbers of channels have six digits, and one more is the bystander's. */
    if (scenario == &bench_scenario_resume && o->channels == 1000000) {
        config_text_addf(to, "error: resume takes 999999 --channels at most\n");
    }
    if ((scenario->takes & 1u << BENCH_STALLED) != 0 && o->stalled > o->connections) {
        config_text_addf(to, "error: --stalled is more than there are --connections\n");
    }
    /* [P 2] a frame holds a whole batch. */
    if (o->batch * (o->payload + 32) > FRAME_BYTES_DEFAULT) {
        config_text_addf(to, "error: --batch times --payload is more than a frame may hold\n");
    }
}

static void check_server(struct taking *t, struct config_text *to)
{
    struct bench_options *o = &t->options;
    static const char *const names[] = {"--data", "--keep", "--durability", "flags behind --"};
    const bool given[] = {o->folder != NULL, o->keep, o->durability != NULL,
                          o->server_flags != NULL && *o->server_flags != NULL};
    for (size_t i = 0; i < 4 && !o->own_server; i++) {
        if (given[i]) {
            config_text_addf(to, "error: %s needs --server\n", names[i]);
        }
    }
    if (o->own_server && (t->url != NULL || o->server_pid != 0)) {
        config_text_addf(to, "error: --server starts one of its own: no --url, no --server-pid\n");
    }
    int flags = 0;
    for (char **flag = o->server_flags; flag != NULL && *flag != NULL; flag++) {
        flags++;
    }
    if (flags > SERVER_FLAGS_MAX) {
        config_text_addf(to, "error: more than %d flags for the server\n", SERVER_FLAGS_MAX);
    }
}

static enum rc parse(struct taking *t, int argc, char **argv,
                     const struct bench_scenario **ret_scenario)
{
    const struct args_use use = {options_known, OPTION_COUNT, on_option, t};
    int operands = argc;
    const enum rc rc = args_parse(argc, argv, &use, t->errors, &operands);
    if (rc != RC_OK) {
        return rc;
    }
    struct config_text to = config_text_to(t->errors);
    const struct bench_scenario *scenario =
        operands == argc ? NULL : bench_scenario_find(argv[operands]);
    if (operands == argc) {
        config_text_addf(&to, "error: which load? Name one, such as publish\n");
    } else if (scenario == NULL) {
        config_text_addf(&to, "error: there is no load '");
        config_text_add_foreign(&to, bytes_of_text(argv[operands]), 60);
        config_text_addf(&to, "'\n");
    } else if (argc - operands > 1) {
        config_text_addf(&to, "error: one load at a time; flags for the server go behind --\n");
    } else {
        check_scenario(t, scenario, &to);
        check_server(t, &to);
        *ret_scenario = scenario;
    }
    return to.rc != RC_OK ? to.rc : t->errors->size > 0 ? RC_USAGE : RC_OK;
}

/* The command line again, as it was typed but for quotes. */
static void join(char to[static COMMAND_SIZE], int argc, char **argv)
{
    size_t at = (size_t)snprintf(to, COMMAND_SIZE, "seriatim");
    for (int i = 0; i < argc && at < COMMAND_SIZE; i++) {
        at += (size_t)snprintf(to + at, COMMAND_SIZE - at, " %s", argv[i]);
    }
}

/* Where "--" stands, or argc; what is behind it is for the server. */
static int find_dashes(int argc, char **argv)
{
    int at = 1;
    while (at < argc && strcmp(argv[at], "--") != 0) {
        at++;
    }
    return at < argc ? at : argc;
}

static int run(struct taking *t, const struct bench_scenario *scenario)
{
    struct bench_options *o = &t->options;
    char prefix[32];
    char program[BENCH_PATH_SIZE];
    (void)snprintf(prefix, sizeof(prefix), "bench-%08" PRIx64, runtime_random() >> 32);
    o->prefix = o->prefix == NULL ? prefix : o->prefix;
    const ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (o->own_server && size <= 0) {
        cli_say("cannot tell which program this is: /proc is not there");
        return CLI_FAILED;
    }
    program[size > 0 ? size : 0] = '\0';
    o->program = program;
    return bench_run(o, &bench_adapter_seriatim, scenario) == 0 ? CLI_DONE : CLI_FAILED;
}

int cli_bench(int argc, char **argv)
{
    int status;
    if (cli_wants_help("bench", argc, argv, &status)) {
        return status;
    }
    struct buf errors = {0};
    char command[COMMAND_SIZE];
    struct taking t = {.options = {.codec = "json", .command = command}, .errors = &errors};
    const struct bench_scenario *scenario = NULL;
    join(command, argc, argv); /* before the options are sorted */
    const int end = find_dashes(argc, argv);
    t.options.server_flags = end < argc ? argv + end + 1 : NULL;
    const enum rc rc = parse(&t, end, argv, &scenario);
    if (rc != RC_OK) {
        status = rc == RC_USAGE ? cli_refuse("bench", &errors) : cli_fail(rc);
    } else if (!t.options.own_server && runtime_url("bench", t.url, &t.options.url) != RC_OK) {
        status = CLI_USAGE;
    } else if (!runtime_can_write(t.options.json) || !runtime_can_write(t.options.html)) {
        status = CLI_FAILED;
    } else {
        status = run(&t, scenario);
    }
    buf_deinit(&errors);
    return status;
}
