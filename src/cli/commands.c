/* The table of commands, and what is done before any of them runs. */
#include "cli/cli.h"

#include "cli/runtime.h"
#include "server/config_suggest.h"
#include "server/config_text.h"
#include "server/config_value.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

const struct cli_command cli_commands[] = {
    {"serve", "start the server",
     "Usage: seriatim serve [--config FILE] [--data DIR] [--listen HOST:PORT] [SETTING ...]\n\n"
     "Starts the server; SIGTERM, SIGHUP or ^C drains and ends it. Settings, which may also be\n"
     "given as SERIATIM_* variables or in the file:\n\n",
     cli_serve},
    {"pub", "publish one message, or each line of standard input",
     "Usage: seriatim pub [OPTION ...] CHANNEL [DATA]\n\n"
     "Publishes DATA, or without it each line of standard input, and waits until the server has\n"
     "acknowledged everything. Messages are numbered, so that none is lost or stored twice when\n"
     "the connection or the server fails on the way.\n\n"
     "DATA that is JSON is sent as JSON, anything else as a JSON string. A line is sent as a JSON\n"
     "string whatever it looks like, or as bytes if it is not UTF-8: `seriatim sub` prints it as\n"
     "it was.\n\n"
     "  --json             every message must be JSON and is sent as it is\n"
     "  --string           DATA is a text, even if it looks like JSON\n"
     "  --key KEY          the messages' key\n"
     "  --producer ID      number as this producer (default: a random one). Running the same\n"
     "                     input again with the same ID and epoch stores nothing twice\n"
     "  --epoch N          the producer's epoch (default 1)\n"
     "  --first N          the number of the first message (default 1)\n"
     "  --window N         messages under way at a time (default 1000)\n"
     "  --timeout TIME     give up when nothing was acknowledged for so long (default 30s; 0: "
     "never)\n"
     "  --url URL          the server (default $SERIATIM_URL or ws://127.0.0.1:8470/v1/ws)\n\n"
     "Examples:\n"
     "  seriatim pub orders '{\"n\":1}'\n"
     "  seriatim pub words < /usr/share/dict/words\n",
     cli_pub},
    {"sub", "print the messages of a channel",
     "Usage: seriatim sub [OPTION ...] CHANNEL\n\n"
     "Prints the payload of each message, a line each: a JSON string as its text, bytes as they\n"
     "are, other JSON as it is stored. After a lost connection it goes on exactly where it was;\n"
     "it checks that every message is the next one.\n\n"
     "  --from WHERE       a seq, `earliest` or `latest` (default: only what comes from now on)\n"
     "  --count N          end after N messages\n"
     "  --json             print the whole message as received\n"
     "  --on-gap error|reset   when messages asked for are gone: end (default), or go on with the\n"
     "                     first one that is there and tell on standard error\n"
     "  --when-slow WHAT   when what reads our output falls behind: catch_up (default) prints "
     "all,\n"
     "                     skip goes on with the newest, conflate prints the newest of each key;\n"
     "                     what is left out is told on standard error\n"
     "  --window N         let the server send at most N messages ahead of what was printed\n"
     "  --url URL          the server (default $SERIATIM_URL or ws://127.0.0.1:8470/v1/ws)\n\n"
     "Example:\n"
     "  seriatim sub orders --from earliest\n",
     cli_sub},
    {"config", "check, print and document settings",
     "Usage: seriatim config check [SETTING ...]      tell whether the settings are good\n"
     "       seriatim config show [--sources] [SETTING ...]   print the values in force\n"
     "       seriatim config default                 print a commented file with the defaults\n"
     "       seriatim config docs                    print the page of all settings (Markdown)\n\n"
     "Settings are found as `seriatim serve` finds them: flags, SERIATIM_* variables, --config "
     "FILE.\n",
     cli_config},
    {"log", "print or check a data directory",
     "Usage: seriatim log inspect [--json] DIR        print what the data directory holds\n"
     "       seriatim log verify [--json] [--digests] DIR\n"
     "                                                check every record, index and checkpoint\n\n"
     "Both only read. verify applies every record again and compares index files and checkpoints,\n"
     "digests included, with what that comes to; with --digests it prints the digest of each\n"
     "channel's newest message. It names every damage with its file and byte, and ends with\n"
     "status 1 if there is any; a torn tail, which the next start cuts off, is told but is none.\n"
     "The server should not be running: what it is writing looks like damage.\n",
     cli_log},
    {"verify", "load a running server and check every promise of order",
     "Usage: seriatim verify [OPTION ...]\n\n"
     "Loads a running server with numbered producers and resuming subscribers, on channels of its\n"
     "own; checks that nothing is lost, doubled, out of order, changed or told differently to\n"
     "different subscribers, also while the server is killed and restarted; reads every channel\n"
     "back at the end. Prints a line a second and an exact account, and ends with status 1 at the\n"
     "first violation.\n\n"
     "  --rate N           messages a second, in all (default 1000). Latencies count from when a\n"
     "                     message was due, whatever the server did in between\n"
     "  --seconds N        for how long (default 10), or\n"
     "  --messages N       how many in all\n"
     "  --channels N       channels (default 8)\n"
     "  --producers N      producers, a connection each (default 4)\n"
     "  --subscribers N    subscribers of each channel, a connection each (default 2)\n"
     "  --size BYTES       of a message's data (default 128, at least 64)\n"
     "  --batch N          messages of one publish (default 1)\n"
     "  --inflight N       publishes of a producer without an answer, at most (default 256)\n"
     "  --window N         messages of a subscriber without an ack, at most (default 0: no acks)\n"
     "  --restart-subscribers MS   cut each subscriber's connection about so often, at random\n"
     "                     moments, and resume (default 1000; 0: never)\n"
     "  --restart-producers MS     the same for producers, who send again (default 0)\n"
     "  --patience SECONDS give up when nothing moves for so long (default 60)\n"
     "  --seed N           of payloads and restarts (default: random)\n"
     "  --prefix NAME      of channels and producers (default: random); never use one twice\n"
     "  --tolerate WHAT    gap: what is told as gone is no violation (for a server that trims);\n"
     "                     epoch: neither is a new epoch of a channel\n"
     "  --codec NAME       json (default) or binary\n"
     "  --keep-going       count all violations instead of ending at the first\n"
     "  --no-audit         do not read the channels back at the end\n"
     "  --json FILE        write the account as JSON; `-`: to standard output\n"
     "  --url URL          the server (default $SERIATIM_URL or ws://127.0.0.1:8470/v1/ws)\n\n"
     "Exit status: 0 all promises kept; 1 a violation, or the server was away for too long (the\n"
     "account says which); 2 wrong usage. docs/VERIFY.md explains the account.\n\n"
     "Example:\n"
     "  seriatim verify --rate 10000 --seconds 60 --batch 10 --restart-subscribers 500\n",
     cli_verify},
    {"bench", "load a server, measure it, and account for the order of every message",
     "Usage: seriatim bench LOAD [OPTION ...] [-- FLAG ...]\n\n"
     "Loads a running server, or with --server one of its own with data of its own, and tells how\n"
     "fast it was, what it took of the processor and of memory, and whether anything was lost,\n"
     "doubled or out of order. docs/BENCH.md explains each load and figure.\n\n"
     "  publish            acknowledged publishes a second, their latency, CPU a message\n"
     "  fanout             one publisher, many subscribers; CPU a delivery against bare send()\n"
     "  pairs              many publishers with a subscriber each, one message under way in each\n"
     "  lone               one message at a time on an idle server, against fdatasync() itself\n"
     "  idle               memory of a connection that is subscribed and silent\n"
     "  resume             many subscribers come back at once; what a bystander notices\n"
     "  replay             a long history: written, kill -9, until ready, read from the beginning\n"
     "  channels           what a channel costs that nobody uses; start-up with many\n"
     "  stall              some subscribers stop reading for a while; what the others notice\n\n"
     "  --connections N    publishers, subscribers or pairs\n"
     "  --channels N       channels\n"
     "  --inflight N       publishes without an answer, of each connection (fanout: messages "
     "ahead\n"
     "                     of the slowest subscriber)\n"
     "  --payload BYTES    of a message's data (default 128, at least 32)\n"
     "  --batch N          messages of one publish\n"
     "  --messages N       replay: of the history; resume: that wait in each channel\n"
     "  --readers N        replay: that read each channel\n"
     "  --stalled N        stall: how many of the connections\n"
     "  --stall-seconds N  stall: for how long\n"
     "  --bytes N          stall: of payload that are published meanwhile\n"
     "  --rate N           messages a second, in all: an open loop, latency counts from when each\n"
     "                     message was due. Without it: as fast as it goes\n"
     "  --lockstep         fanout: the next message when every subscriber has the last one\n"
     "  --no-ack           publish, pairs: ask for no answers; errors come all the same\n"
     "  --cumulative       publish, fanout, replay: one answer may do for a run of publishes\n"
     "                     (binary)\n"
     "  --seconds N        that are measured (default 10)\n"
     "  --warmup N         seconds before them (default 2)\n"
     "  --codec NAME       json (default) or binary\n"
     "  --prefix NAME      of channels (default: random); never use one twice\n"
     "  --server           start a server of this program on a free port; flags behind -- are for\n"
     "                     it. Its data is removed at the end\n"
     "  --durability WHAT  of that server: fsync (default), os or memory\n"
     "  --data DIR         make its data directory in there (default $TMPDIR)\n"
     "  --keep             keep its data\n"
     "  --url URL          a running server (default $SERIATIM_URL or\n"
     "                     ws://127.0.0.1:8470/v1/ws)\n"
     "  --server-pid PID   of that server, to measure what it takes\n"
     "  --json FILE        write everything as JSON; `-`: to standard output\n"
     "  --html FILE        write a page with plots\n"
     "  --quiet            no progress line\n\n"
     "Exit status: 0 done, nothing was out of order; 1 something was, or it failed; 2 wrong "
     "usage.\n\n"
     "Examples:\n"
     "  seriatim bench publish --server --html publish.html\n"
     "  seriatim bench fanout --server --connections 1000 --rate 100 -- --threads 1\n",
     cli_bench},
    {"version", "print the version", "Usage: seriatim version\n", cli_version},
    {"help", "print help on a command", "Usage: seriatim help [COMMAND]\n", cli_help},
};
const size_t cli_command_count = sizeof(cli_commands) / sizeof(cli_commands[0]);

#define SHOWN_BYTES_MAX 60u

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strcmp(name, cli_commands[i].name) == 0) {
            return &cli_commands[i];
        }
    }
    return NULL;
}

static void print_commands(struct config_text *to)
{
    config_text_addf(to, "Usage: seriatim COMMAND ...\n\n"
                         "Durable, ordered channels over WebSocket.\n\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        config_text_addf(to, "  %-10s %s\n", cli_commands[i].name, cli_commands[i].summary);
    }
    config_text_addf(to, "\n`seriatim COMMAND --help` tells more. Exit status: 0 done, 1 failed, "
                         "2 wrong usage.\n");
}

static int refuse_command(const char *name)
{
    struct buf errors = {0};
    struct config_text to = config_text_to(&errors);
    config_text_addf(&to, "seriatim: there is no command '");
    config_text_add_foreign(&to, bytes_of_text(name), SHOWN_BYTES_MAX);
    config_text_addf(&to, "'");
    struct config_suggest suggest = config_suggest_begin(bytes_of_text(name));
    for (size_t i = 0; i < cli_command_count; i++) {
        config_suggest_offer(&suggest, cli_commands[i].name);
    }
    if (suggest.best != NULL) {
        config_text_addf(&to, ", did you mean '%s'?", suggest.best);
    }
    config_text_addf(&to, "\nTry `seriatim help`.\n");
    cli_tell(buf_bytes(&errors));
    buf_deinit(&errors);
    return CLI_USAGE;
}

int cli_main(int argc, char **argv)
{
    /* A reader that has gone is no reason to die loudly: writes then fail with EPIPE. */
    (void)signal(SIGPIPE, SIG_IGN);
    if (!runtime_descriptors_hold()) {
        return CLI_FAILED;
    }
    if (argc < 2) {
        struct buf text = {0};
        struct config_text to = config_text_to(&text);
        print_commands(&to);
        cli_tell(buf_bytes(&text));
        buf_deinit(&text);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        name = "help";
    } else if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    const struct cli_command *command = find_command(name);
    return command == NULL ? refuse_command(name) : command->run(argc - 1, argv + 1);
}

int cli_help(int argc, char **argv)
{
    struct buf text = {0};
    struct config_text to = config_text_to(&text);
    if (argc < 2) {
        print_commands(&to);
        return cli_print_buf(to.rc, &text);
    }
    const struct cli_command *command = find_command(argv[1]);
    if (command == NULL) {
        return refuse_command(argv[1]);
    }
    config_text_addf(&to, "%s", command->help);
    if (command->run == cli_serve && to.rc == RC_OK) {
        to.rc = config_print_flags(&text);
    }
    return cli_print_buf(to.rc, &text);
}

int cli_version(int argc, char **argv)
{
    int status;
    if (cli_wants_help("version", argc, argv, &status)) {
        return status;
    }
    if (argc > 1 && argv[0][0] != '-') {
        return cli_refuse_text("version", "unexpected argument '%s'", argv[1]);
    }
    return cli_print(BYTES_LITERAL("seriatim " SERIATIM_VERSION "\n"));
}

void cli_say(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)fprintf(stderr, "seriatim: %s\n", text);
}

void cli_tell(struct bytes text)
{
    if (text.size > 0) { /* without memory there is no text */
        (void)fwrite(text.data, 1, text.size, stderr);
    }
}

int cli_refuse(const char *command, const struct buf *errors)
{
    cli_tell(buf_bytes(errors));
    (void)fprintf(stderr, "Try `seriatim %s --help`.\n", command);
    return CLI_USAGE;
}

int cli_refuse_text(const char *command, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)fprintf(stderr, "error: %s\nTry `seriatim %s --help`.\n", text, command);
    return CLI_USAGE;
}

int cli_fail(enum rc rc)
{
    cli_say("%s", rc_text(rc));
    return CLI_FAILED;
}

bool cli_wants_help(const char *command, int argc, char **argv, int *ret_status)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            char *help[] = {(char *)"help", (char *)command, NULL};
            *ret_status = cli_help(2, help);
            return true;
        }
    }
    return false;
}

int cli_print(struct bytes text)
{
    while (text.size > 0) {
        const ssize_t written = write(STDOUT_FILENO, text.data, text.size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            if (errno != EPIPE) {
                cli_say("cannot write to standard output: %s", strerror(errno));
            }
            return CLI_FAILED;
        }
        text.data += written;
        text.size -= (size_t)written;
    }
    return CLI_DONE;
}

int cli_print_buf(enum rc rc, struct buf *text)
{
    const int status = rc == RC_OK ? cli_print(buf_bytes(text)) : cli_fail(rc);
    buf_deinit(text);
    return status;
}

enum rc cli_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number)
{
    uint64_t number;
    if (config_parse_count(bytes_of_text(text), &number) != RC_OK || number < min || number > max) {
        return RC_BAD;
    }
    *ret_number = number;
    return RC_OK;
}
