/* seriatim-sim: runs seeds, each a world of its own; see docs/TESTING.md. */
#include "sim/jobs.h"
#include "sim/plan.h"
#include "sim/shrink.h"
#include "sim/trace.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LISTED_MAX 100000u

static struct {
    uint64_t seed;
    uint64_t runs;
    uint64_t minutes;
    uint64_t jobs;
    bool verbose;
    bool shrink;
    bool marks_required;
    const char *seeds; /* a file of them */
} options = {.seed = 1, .runs = 1};

static const char usage[] =
    "usage: seriatim-sim [--seed N] [--runs N] [--minutes N] [--jobs N] [--seeds FILE]\n"
    "                    [--set NAME=VALUE] [--shrink] [--marks-required] [--verbose]\n"
    "  --seed N         the first seed (1)\n"
    "  --runs N         how many, one after the other (1)\n"
    "  --minutes N      as many as there is time for\n"
    "  --jobs N         in so many processes (one a processor); the result is the same\n"
    "  --seeds FILE     the seeds in it, one a line; what follows a number is a comment\n"
    "  --set NAME=VALUE this value, whatever the seed says; NAME is a size, a setting or a\n"
    "                   kind of faults (its rate in 100,000); may be repeated\n"
    "  --shrink         for a seed that fails: look for a smaller world that fails so, too\n"
    "  --marks-required a mark that is never reached is a failure\n"
    "  --verbose        every event\n";

/* ---- options --------------------------------------------------------------------------------- */

static bool number(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || value > UINT64_MAX / 20) {
            return false;
        }
        value = value * 10 + (uint64_t)(*at - '0');
    }
    *ret_value = value;
    return text[0] != '\0';
}

static bool set(char *text)
{
    char *equals = strchr(text, '=');
    uint64_t value;
    if (equals == NULL || !number(equals + 1, &value)) {
        return false;
    }
    trace_replay("--set", text);
    *equals = '\0';
    return plan_set(text, value);
}

/* Options that are followed by a number. */
static uint64_t *number_option(const char *name)
{
    return strcmp(name, "--seed") == 0      ? &options.seed
           : strcmp(name, "--runs") == 0    ? &options.runs
           : strcmp(name, "--minutes") == 0 ? &options.minutes
           : strcmp(name, "--jobs") == 0    ? &options.jobs
                                            : NULL;
}

static bool *flag_option(const char *name)
{
    return strcmp(name, "--verbose") == 0          ? &options.verbose
           : strcmp(name, "--shrink") == 0         ? &options.shrink
           : strcmp(name, "--marks-required") == 0 ? &options.marks_required
                                                   : NULL;
}

static bool options_parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        uint64_t *value = number_option(argv[i]);
        bool *flag = flag_option(argv[i]);
        if (flag != NULL) {
            *flag = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (value != NULL) {
            if (!number(argv[++i], value)) {
                return false;
            }
        } else if (strcmp(argv[i], "--seeds") == 0) {
            options.seeds = argv[++i];
        } else if (strcmp(argv[i], "--set") != 0 || !set(argv[++i])) {
            return false;
        }
    }
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    options.jobs = options.jobs == 0 ? (uint64_t)(processors > 0 ? processors : 1) : options.jobs;
    options.jobs = options.jobs > JOBS_MAX ? JOBS_MAX : options.jobs;
    return true;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static uint64_t now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

static bool list_read(const char *name, struct seeds *seeds)
{
    static uint64_t listed[LISTED_MAX];
    FILE *file = fopen(name, "r");
    char line[400];
    seeds->count = 0;
    seeds->list = listed;
    while (file != NULL && seeds->count < LISTED_MAX && fgets(line, sizeof(line), file) != NULL) {
        line[strspn(line, "0123456789")] = '\0';
        seeds->count += number(line, &listed[seeds->count]);
    }
    if (file == NULL) {
        perror(name);
        return false;
    }
    (void)fclose(file);
    return true;
}

static void report(const struct tally *tally)
{
    faults_print(tally->sum.kinds);
    (void)printf("%llu seeds: %llu steps, %llu messages, %llu faults, %llu crashes, "
                 "0 violations, hash %016llx\n",
                 (unsigned long long)tally->seeds, (unsigned long long)tally->sum.steps,
                 (unsigned long long)tally->sum.messages, (unsigned long long)tally->sum.faults,
                 (unsigned long long)tally->sum.crashes, (unsigned long long)tally->sum.hash);
}

/* Prints what went wrong with a seed that failed in another process. */
static int fail(const struct seeds *seeds, uint64_t index)
{
    struct tally tally = {0};
    seed_run(seeds, index, false, &tally);
    (void)printf("FAILED seed %llu: simulator: it fails among others, and not alone\n",
                 (unsigned long long)seed_at(seeds, index));
    return 1;
}

static int run(const struct seeds *seeds)
{
    static struct tally tally;
    const uint64_t began = now_s();
    uint64_t index;
    const bool here = seeds->count == 1 || options.verbose; /* where a debugger looks */
    for (uint64_t i = 0; here && i < seeds->count; i++) {
        seed_run(seeds, i, options.verbose, &tally);
    }
    if (here) {
        marks_add(&tally.marks);
    } else if (!jobs_run(seeds, (unsigned)options.jobs, &tally, &index)) {
        return fail(seeds, index);
    }
    report(&tally);
    const unsigned missing = seeds->count == 1 ? 0 : marks_print(&tally.marks);
    (void)printf("elapsed %llu s\n", (unsigned long long)(now_s() - began));
    return missing > 0 && options.marks_required ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (!options_parse(argc, argv)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    json_object_seed(1);
    trace_watch();
    struct seeds seeds = {.first = options.seed, .count = options.runs, .minutes = options.minutes};
    if (options.minutes > 0) {
        seeds.count = UINT64_MAX;
    }
    if (options.seeds != NULL && !list_read(options.seeds, &seeds)) {
        return 1;
    }
    return options.shrink ? shrink(options.seed) : run(&seeds);
}
