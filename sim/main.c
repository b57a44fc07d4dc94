/* seriatim-sim: runs seeds, each a world of its own; see docs/TESTING.md. */
#include "sim/world.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    uint64_t seed;
    uint64_t runs;
    uint64_t minutes;
    bool verbose;
    const char *seeds; /* a file of them */
} options = {.seed = 1, .runs = 1};

static const char usage[] =
    "usage: seriatim-sim [--seed N] [--runs N] [--minutes N] [--seeds FILE] [--verbose]\n"
    "  --seed N     the first seed (1)\n"
    "  --runs N     how many, one after the other (1)\n"
    "  --minutes N  as many as there is time for\n"
    "  --seeds FILE the seeds in it, one a line; what follows a number is a comment\n"
    "  --verbose    every event\n";

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

static bool options_parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        uint64_t *value = strcmp(argv[i], "--seed") == 0      ? &options.seed
                          : strcmp(argv[i], "--runs") == 0    ? &options.runs
                          : strcmp(argv[i], "--minutes") == 0 ? &options.minutes
                                                              : NULL;
        if (strcmp(argv[i], "--verbose") == 0) {
            options.verbose = true;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            options.seeds = argv[++i];
        } else if (value == NULL || i + 1 == argc || !number(argv[++i], value)) {
            return false;
        }
    }
    return true;
}

static uint64_t now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

static bool more(uint64_t done, uint64_t began)
{
    return options.minutes > 0 ? now_s() - began < options.minutes * 60 : done < options.runs;
}

/* Every 100th seed twice: the same seed must make the same world. */
static void twice(uint64_t seed, const struct world_result *first)
{
    struct world_result second;
    world_run(seed, false, &second);
    if (first->hash != second.hash) {
        (void)printf("FAILED seed %llu: simulator: two runs differ, %016llx and %016llx\n",
                     (unsigned long long)seed, (unsigned long long)first->hash,
                     (unsigned long long)second.hash);
        exit(1);
    }
}

static struct world_result total;

static void run(uint64_t seed, bool again)
{
    struct world_result result;
    world_run(seed, options.verbose, &result);
    if (again) {
        twice(seed, &result);
    }
    total.hash = total.hash * 31 + result.hash;
    total.faults += result.faults;
    total.crashes += result.crashes;
    total.messages += result.messages;
    total.steps += result.steps;
    for (unsigned i = 0; i < FAULT_COUNT_MAX; i++) {
        total.kinds[i] += result.kinds[i];
    }
}

static bool run_file(const char *name, uint64_t *ret_done)
{
    FILE *file = fopen(name, "r");
    char line[400];
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        line[strspn(line, "0123456789")] = '\0';
        uint64_t seed;
        if (number(line, &seed)) {
            run(seed, false);
            (*ret_done)++;
        }
    }
    if (file == NULL) {
        perror(name);
        return false;
    }
    (void)fclose(file);
    return true;
}

int main(int argc, char **argv)
{
    if (!options_parse(argc, argv)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    json_object_seed(1);
    const uint64_t began = now_s();
    uint64_t done = 0;
    if (options.seeds != NULL) {
        if (!run_file(options.seeds, &done)) {
            return 1;
        }
    } else {
        for (; more(done, began); done++) {
            run(options.seed + done, done % 100 == 0);
        }
    }
    faults_print(total.kinds);
    (void)printf("%llu seeds: %llu steps, %llu messages, %llu faults, %llu crashes, "
                 "0 violations, hash %016llx\n",
                 (unsigned long long)done, (unsigned long long)total.steps,
                 (unsigned long long)total.messages, (unsigned long long)total.faults,
                 (unsigned long long)total.crashes, (unsigned long long)total.hash);
    (void)printf("elapsed %llu s\n", (unsigned long long)(now_s() - began));
    return 0;
}
