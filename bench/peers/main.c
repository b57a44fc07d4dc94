/* peers: one load of the generator on a server that runs, with the adapter for it. For
 * bench/peers/run.py, which starts the servers. */
#include "bench/codec.h"
#include "bench/scenario.h"
#include "peers/peers.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

enum given {
#define X(name, field, text, least, most) OPTION_##name,
    BENCH_NUMBER_LIST(X)
#undef X
        OPTION_ADDRESS,
    OPTION_SERVER_PID,
    OPTION_PREFIX,
    OPTION_JSON,
    OPTION_CODEC,
    OPTION_LOCKSTEP,
    OPTION_COUNT,
};

static const struct option options_known[OPTION_COUNT + 1] = {
#define X(name, field, text, least, most)                                                          \
    [OPTION_##name] = {text, required_argument, NULL, OPTION_##name},
    BENCH_NUMBER_LIST(X)
#undef X
        [OPTION_ADDRESS] = {"address", required_argument, NULL, OPTION_ADDRESS},
    [OPTION_SERVER_PID] = {"server-pid", required_argument, NULL, OPTION_SERVER_PID},
    [OPTION_PREFIX] = {"prefix", required_argument, NULL, OPTION_PREFIX},
    [OPTION_JSON] = {"json", required_argument, NULL, OPTION_JSON},
    [OPTION_CODEC] = {"codec", required_argument, NULL, OPTION_CODEC},
    [OPTION_LOCKSTEP] = {"lockstep", no_argument, NULL, OPTION_LOCKSTEP},
};

static bool take_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number)
{
    struct bytes rest = bytes_of_text(text);
    return peer_number(&rest, ret_number) && rest.size == 0 && *ret_number >= least &&
           *ret_number <= most;
}

static bool take_address(struct client_url *url, const char *text)
{
    char full[sizeof(url->authority) + 16];
    const char *why = NULL;
    const int size = snprintf(full, sizeof(full), "ws://%s", text);
    return size > 0 && (size_t)size < sizeof(full) && client_url_parse(full, url, &why) == RC_OK;
}

/* The subject that NATS's stream has begins with it; all others take it as it is. */
static bool take_prefix(struct bench_options *o, const char *text)
{
    o->prefix = text;
    return strlen(text) > 6 && strlen(text) <= 100 && strncmp(text, "bench.", 6) == 0;
}

static bool take(struct bench_options *o, int option, const char *value)
{
    uint64_t pid = 0;
    if (option < (int)BENCH_NUMBER_COUNT) {
        o->given |= 1u << option;
    }
    switch ((enum given)option) {
#define X(name, field, text, least, most)                                                          \
    case OPTION_##name: return take_number(value, least, most, &o->field);
        BENCH_NUMBER_LIST(X)
#undef X
    case OPTION_ADDRESS: return take_address(&o->url, value);
    case OPTION_SERVER_PID:
        if (!take_number(value, 1, INT32_MAX, &pid)) {
            return false;
        }
        o->server_pid = (pid_t)pid;
        return true;
    case OPTION_PREFIX: return take_prefix(o, value);
    case OPTION_JSON: o->json = value; return true;
    case OPTION_CODEC: o->codec = value; return bench_codec_find(value) != NULL;
    case OPTION_LOCKSTEP: o->lockstep = true; return true;
    case OPTION_COUNT: break;
    }
    UNREACHABLE();
}

static int usage(const char *what)
{
    (void)fprintf(
        stderr,
        "peers: %s\n"
        "usage: peers ADAPTER LOAD --address HOST:PORT [--server-pid N] [--prefix bench.X]"
        "\n             [--json FILE] [--codec NAME] [--lockstep] [--NUMBER N]...\n",
        what);
    return 2;
}

int main(int argc, char **argv)
{
    struct bench_options o = {
        .codec = "json", .prefix = "bench.peers", .command = "", .quiet = true};
    for (int found; (found = getopt_long(argc, argv, "", options_known, NULL)) != -1;) {
        if (found == '?' || !take(&o, found, optarg)) {
            return usage(found == '?' ? "what is that?" : options_known[found].name);
        }
    }
    if (argc - optind != 2 || o.url.host[0] == '\0') {
        return usage("which adapter, load and address?");
    }
    const struct bench_adapter *adapter = peer_find(argv[optind]);
    const struct bench_scenario *scenario = bench_scenario_find(argv[optind + 1]);
    if (adapter == NULL || scenario == NULL || scenario->restarts) {
        return usage("there is no such adapter or load");
    }
    if ((o.given & ~scenario->takes) != 0 || (o.lockstep && !scenario->takes_lockstep)) {
        return usage("an option that says nothing to this load");
    }
    bench_options_complete(&o, scenario);
    /* What the adapters, or the load, cannot do. */
    if (adapter != &bench_adapter_seriatim && o.batch != 1) {
        return usage("no adapter but ours knows batches");
    }
    if (scenario == &bench_scenario_publish && !adapter->acks) {
        return usage("this adapter has no answers");
    }
    return bench_run(&o, adapter, scenario);
}
