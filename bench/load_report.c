/* Time, a histogram, and figures as a table and as JSON. */
#include "load.h"

#include <stdio.h>
#include <time.h>

uint64_t now_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        die("no monotonic clock");
    }
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Values below HISTOGRAM_STEPS have a slot each; above, the five bits behind the first one. */
static unsigned slot_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (unsigned)value;
    }
    const unsigned top = 63u - (unsigned)__builtin_clzll(value);
    const unsigned step = (unsigned)(value >> (top - 5u)) & (HISTOGRAM_STEPS - 1u);
    return (top - 4u) * HISTOGRAM_STEPS + step;
}

static uint64_t slot_value(unsigned slot)
{
    if (slot < HISTOGRAM_STEPS) {
        return slot;
    }
    const unsigned top = slot / HISTOGRAM_STEPS + 4u;
    return (uint64_t)(HISTOGRAM_STEPS + slot % HISTOGRAM_STEPS) << (top - 5u);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->slots[slot_of(value)]++;
    histogram->count++;
    histogram->max = value > histogram->max ? value : histogram->max;
}

uint64_t histogram_at(const struct histogram *histogram, unsigned permille)
{
    const uint64_t wanted = (histogram->count * permille + 999) / 1000;
    uint64_t seen = 0;
    for (unsigned slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        seen += histogram->slots[slot];
        if (seen >= wanted) {
            return slot_value(slot);
        }
    }
    return histogram->max;
}

static char json[4096];
static size_t json_size;

static void json_add(const char *text)
{
    const int size = snprintf(json + json_size, sizeof(json) - json_size, "%s", text);
    if (size < 0 || json_size + (size_t)size >= sizeof(json)) {
        die("the report is too long");
    }
    json_size += (size_t)size;
}

void report_begin(const char *figure)
{
    (void)printf("\n%s\n", figure);
    json_size = 0;
    json_add("{\"figure\":\"");
    json_add(figure);
    json_add("\"");
}

void report_number(const char *name, double value, const char *unit)
{
    char text[160];
    (void)printf("  %-36s %14.3f %s\n", name, value, unit);
    (void)snprintf(text, sizeof(text), ",\"%s\":%.6g", name, value);
    json_add(text);
}

void report_end(void)
{
    json_add("}");
    (void)printf("%s\n", json);
    (void)fflush(stdout);
}
