/* The cost of locks, measured: how N threads share one connection's write path, and how threads
 * hand each other work. What the designs are stands in write_path_line.c and write_path_queue.c;
 * what was measured, in docs/LOCKS.md. */
#include "write_path.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define COUNTS_MAX 8u

static const char usage[] =
    "usage: write_path [options]\n"
    "\n"
    "  --threads N,N,...  how many write to the connection (8,32,128)\n"
    "  --rate N           messages a second of the second half of the table (200000)\n"
    "  --burst N          of them a thread writes so many at a time (16)\n"
    "  --size N           bytes of a message's data (128)\n"
    "  --slots N          of a thread's ring, a power of two (64)\n"
    "  --ms N             what each row is measured for (1000)\n"
    "  --json FILE        the figures as JSON, too\n";

struct options {
    unsigned threads[COUNTS_MAX];
    unsigned thread_counts;
    uint64_t rate;
    uint64_t burst;
    uint64_t size;
    uint64_t slots;
    uint64_t row_ms;
    const char *json;
};

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("write_path: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        die("no monotonic clock");
    }
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t cpu_ns(void)
{
    struct rusage usage_now;
    if (getrusage(RUSAGE_SELF, &usage_now) != 0) {
        die("no getrusage");
    }
    return (uint64_t)(usage_now.ru_utime.tv_sec + usage_now.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(usage_now.ru_utime.tv_usec + usage_now.ru_stime.tv_usec) * 1000u;
}

pthread_t thread_start(void *(*main)(void *arg), void *arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, main, arg) != 0) {
        die("no more threads");
    }
    return thread;
}

void thread_join(pthread_t thread)
{
    if (pthread_join(thread, NULL) != 0) {
        die("pthread_join");
    }
}

/* ---- options --------------------------------------------------------------------------------- */

/* A number at `*at`, which moves behind it. */
static uint64_t number_take(const char *name, const char **at, uint64_t least, uint64_t most)
{
    uint64_t value = 0;
    const char *const begin = *at;
    for (; **at >= '0' && **at <= '9' && value <= most; (*at)++) {
        value = value * 10 + (uint64_t)(**at - '0');
    }
    if (*at == begin || value < least || value > most) {
        die("--%s: '%s' is no number from %llu to %llu", name, begin, (unsigned long long)least,
            (unsigned long long)most);
    }
    return value;
}

static uint64_t number(const char *name, const char *text, uint64_t least, uint64_t most)
{
    const char *at = text;
    const uint64_t value = number_take(name, &at, least, most);
    if (*at != '\0') {
        die("--%s: '%s' is no number", name, text);
    }
    return value;
}

static void threads_parse(struct options *options, const char *at)
{
    options->thread_counts = 0;
    for (;;) {
        if (options->thread_counts == COUNTS_MAX) {
            die("--threads: at most %u counts", COUNTS_MAX);
        }
        options->threads[options->thread_counts++] =
            (unsigned)number_take("threads", &at, 1, THREADS_MAX);
        if (*at == '\0') {
            return;
        }
        if (*at++ != ',') {
            die("--threads: numbers with commas between");
        }
    }
}

static void options_parse(struct options *options, int argc, char **argv)
{
    static const struct option table[] = {
        {"threads", required_argument, NULL, 't'},
        {"rate", required_argument, NULL, 'r'},
        {"burst", required_argument, NULL, 'b'},
        {"size", required_argument, NULL, 's'},
        {"slots", required_argument, NULL, 'l'},
        {"ms", required_argument, NULL, 'm'},
        {"json", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int which;
    while ((which = getopt_long(argc, argv, "h", table, NULL)) != -1) {
        if (which == 't') {
            threads_parse(options, optarg);
        } else if (which == 'r') {
            options->rate = number("rate", optarg, 1, 100000000);
        } else if (which == 'b') {
            options->burst = number("burst", optarg, 1, 100000);
        } else if (which == 's') {
            options->size = number("size", optarg, 2, 1000000);
        } else if (which == 'l') {
            options->slots = number("slots", optarg, 2, 65536);
        } else if (which == 'm') {
            options->row_ms = number("ms", optarg, 10, 60000);
        } else if (which == 'j') {
            options->json = optarg;
        } else {
            (void)fputs(usage, which == 'h' ? stdout : stderr);
            exit(which == 'h' ? 0 : 2);
        }
    }
    if (optind != argc || (options->slots & (options->slots - 1)) != 0) {
        (void)fputs(usage, stderr);
        exit(2);
    }
}

/* ---- the tables ------------------------------------------------------------------------------ */

static void line_row(const struct line_options *line, FILE *json, bool first)
{
    struct line_result result;
    line_run(line, &result);
    (void)printf("%-20s %7u %9.0f %9.3f %9.3f %9.3f %9.1f %8.2f %8llu\n", design_name(line->design),
                 line->threads, result.messages_per_second, result.mean_ns / 1e6,
                 (double)result.p99_ns / 1e6, (double)result.max_ns / 1e6, result.blocked * 100,
                 result.cpu_ns / 1e3, (unsigned long long)result.sends_per_thousand);
    (void)fflush(stdout);
    if (json != NULL) {
        (void)fprintf(
            json,
            "%s\n  {\"design\":\"%s\",\"threads\":%u,\"rate\":%llu,"
            "\"messages_per_second\":%.0f,\"mean_us\":%.3f,\"p99_us\":%.3f,\"max_us\":%.3f,"
            "\"blocked_percent\":%.2f,\"cpu_us\":%.3f,\"sends_per_thousand\":%llu}",
            first ? "" : ",", design_name(line->design), line->threads,
            (unsigned long long)line->rate, result.messages_per_second, result.mean_ns / 1e3,
            (double)result.p99_ns / 1e3, (double)result.max_ns / 1e3, result.blocked * 100,
            result.cpu_ns / 1e3, (unsigned long long)result.sends_per_thousand);
    }
}

static void line_rows(const struct options *options, unsigned threads, uint64_t rate, FILE *json,
                      bool first)
{
    for (enum design design = 0; design < DESIGN_COUNT; design++) {
        struct line_options line = {.design = design,
                                    .threads = threads,
                                    .duration_ns = options->row_ms * 1000000,
                                    .burst = (unsigned)options->burst,
                                    .slots = (uint32_t)options->slots,
                                    .data_size = options->size,
                                    .messages_each = 200};
        struct line_result unused;
        if (rate == 0) {
            line_run(&line, &unused); /* that the order is right, message by message */
        }
        line.messages_each = 0;
        line.rate = rate;
        line_row(&line, json, first && design == 0);
    }
}

static void lines(const struct options *options, uint64_t rate, FILE *json)
{
    (void)printf("%-20s %7s %9s %9s %9s %9s %9s %8s %8s\n", "design", "threads", "msgs/s",
                 "mean ms", "p99 ms", "max ms", "blocked %", "CPU us", "sends/k");
    for (unsigned t = 0; t < options->thread_counts; t++) {
        line_rows(options, options->threads[t], rate, json, rate == 0 && t == 0);
    }
}

static void queues(const struct options *options, FILE *json)
{
    struct queue_row rows[QUEUE_ROWS_MAX];
    const unsigned count = queue_run(options->row_ms * 1000000, rows);
    (void)printf("\nPointers from thread to thread%29s %14s\n", "median", "best");
    for (unsigned i = 0; i < count; i++) {
        const struct queue_row *row = &rows[i];
        const double scale = row->is_round_trip ? 1 : 1e-6;
        const char *unit = row->is_round_trip ? "ns there and back" : "million items/s";
        (void)printf("%-28s %u to 1 %23.1f %14.1f %s\n", row->name, row->producers,
                     row->median * scale, row->best * scale, unit);
        if (json != NULL) {
            (void)fprintf(json, "%s\n  {\"way\":\"%s\",\"producers\":%u,\"%s\":%.4g,\"best\":%.4g}",
                          i == 0 ? "" : ",", row->name, row->producers,
                          row->is_round_trip ? "round_trip_ns" : "items_per_second", row->median,
                          row->best);
        }
    }
}

int main(int argc, char **argv)
{
    struct options options = {.threads = {8, 32, 128},
                              .thread_counts = 3,
                              .rate = 200000,
                              .burst = 16,
                              .size = 128,
                              .slots = 64,
                              .row_ms = 1000};
    options_parse(&options, argc, argv);
    FILE *json = options.json == NULL ? NULL : fopen(options.json, "w");
    if (options.json != NULL && json == NULL) {
        die("%s cannot be written", options.json);
    }
    if (json != NULL) {
        (void)fputs("{\"write_path\":[", json);
    }
    (void)printf("One connection, N threads that write as fast as it goes\n");
    lines(&options, 0, json);
    (void)printf("\nThe same with %llu messages a second offered, %llu at a time\n",
                 (unsigned long long)options.rate, (unsigned long long)options.burst);
    lines(&options, options.rate, json);
    if (json != NULL) {
        (void)fputs("\n],\"between_threads\":[", json);
    }
    queues(&options, json);
    if (json != NULL && (fputs("\n]}\n", json) < 0 || fclose(json) != 0)) {
        die("%s cannot be written", options.json);
    }
    return 0;
}
