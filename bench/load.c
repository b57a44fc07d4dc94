/* The load generator's command line. */
#include "load.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: load [publish|fanout|idle|fill|all] [options] [-- flags for the server]\n"
    "\n"
    "  publish  acknowledged publishes a second, their latency, server CPU a message\n"
    "  fanout   deliveries a second to many subscribers, server CPU against bare send()\n"
    "  idle     the server's memory for a connection that is subscribed and silent\n"
    "  fill     a log of many messages, kill -9, the time until the server is ready again\n"
    "\n"
    "  --server PATH      the server to start (build/seriatim)\n"
    "  --data DIR         its data directory, kept (a temporary one)\n"
    "  --connections N    publishers, subscribers or idle ones\n"
    "  --inflight N       publishes of a connection under way (64)\n"
    "  --size N           bytes of a message's data (128)\n"
    "  --seconds N        the time that is measured (10)\n"
    "  --warmup N         seconds before it (2)\n"
    "  --rate N           messages a second, open loop (as fast as it goes)\n"
    "  --channels N       channels that are published to\n"
    "  --messages N       fill: how many (10000000)\n"
    "  --lockstep         fanout: each message waits for the last one's deliveries\n";

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("load: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static uint64_t number(const char *name, const char *text)
{
    uint64_t value = 0;
    if (text[0] == '\0') {
        die("--%s needs a number", name);
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || value > UINT64_MAX / 100) {
            die("--%s: '%s' is no number", name, text);
        }
        value = value * 10 + (uint64_t)(*at - '0');
    }
    return value;
}

enum option_index { SERVER, DATA, LOCKSTEP, HELP, NUMBERS };

static void options_parse(struct options *options, int argc, char **argv)
{
    uint64_t *const numbers[] = {&options->connections,    &options->inflight, &options->size,
                                 &options->seconds,        &options->rate,     &options->channels,
                                 &options->warmup_seconds, &options->messages};
    static const struct option table[] = {
        {"server", required_argument, NULL, SERVER},
        {"data", required_argument, NULL, DATA},
        {"lockstep", no_argument, NULL, LOCKSTEP},
        {"help", no_argument, NULL, HELP},
        {"connections", required_argument, NULL, NUMBERS + 0},
        {"inflight", required_argument, NULL, NUMBERS + 1},
        {"size", required_argument, NULL, NUMBERS + 2},
        {"seconds", required_argument, NULL, NUMBERS + 3},
        {"rate", required_argument, NULL, NUMBERS + 4},
        {"channels", required_argument, NULL, NUMBERS + 5},
        {"warmup", required_argument, NULL, NUMBERS + 6},
        {"messages", required_argument, NULL, NUMBERS + 7},
        {0},
    };
    int which = 0;
    int at = 0;
    while ((which = getopt_long(argc, argv, "h", table, &at)) != -1) {
        if (which == SERVER) {
            options->server = optarg;
        } else if (which == DATA) {
            options->folder = optarg;
        } else if (which == LOCKSTEP) {
            options->lockstep = true;
        } else if (which >= NUMBERS && which < NUMBERS + 8) {
            *numbers[which - NUMBERS] = number(table[at].name, optarg);
        } else {
            (void)fputs(usage, which == '?' ? stderr : stdout);
            exit(which == '?' ? 2 : 0);
        }
    }
    options->server_flags = argv + optind;
}

int main(int argc, char **argv)
{
    struct options options = {
        .figure = "all", .server = "build/seriatim", .size = 128, .warmup_seconds = 2};
    if (argc > 1 && argv[1][0] != '-') {
        options.figure = argv[1];
        argc--;
        argv++;
    }
    options_parse(&options, argc, argv);
    static const struct {
        const char *name;
        void (*run)(const struct options *options);
    } figures[] = {
        {"publish", figure_publish},
        {"fanout", figure_fanout},
        {"idle", figure_idle},
        {"fill", figure_fill},
    };
    bool any = false;
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        if (strcmp(options.figure, "all") == 0 || strcmp(options.figure, figures[i].name) == 0) {
            figures[i].run(&options);
            any = true;
        }
    }
    if (!any) {
        (void)fputs(usage, stderr);
        return 2;
    }
    return 0;
}
