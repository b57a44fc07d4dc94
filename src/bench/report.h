/* What a run tells: a table for people, JSON for programs, a page with plots.
 *
 * The page needs nothing but itself, follows the reader's choice of light or dark, and has its
 * plots as SVG in the text.
 *
 * Thread: one.  Memory: none kept; errors of writing stay in the stream. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/bench.h"

#include <stdio.h>

/* Writes all that was asked for. False: something could not be written (told on standard error). */
MUST_USE bool bench_report(struct bench *bench);

void bench_report_table(FILE *to, const struct bench *bench);
void bench_report_json(FILE *to, const struct bench *bench);
void bench_report_html(FILE *to, const struct bench *bench);

/* The settings of this scenario, as "name value" pairs: calls back for each. */
void bench_report_settings(const struct bench *bench,
                           void (*each)(void *ctx, const char *name, uint64_t value), void *ctx);
/* "Linux 6.1.0, 2 × Some CPU"; cut to the room. */
void bench_report_machine(char *to, size_t size);

/* ---- plots --------------------------------------------------------------------------------- */

struct plot_line {
    const char *name;
    const float *x;
    const float *y;
    size_t count;
};

#define PLOT_LINES_MAX 4u

struct plot {
    const char *title;
    const char *unit;      /* of y */
    bool percentiles;      /* x is log10(1 / (1 - p)), y is logarithmic; else x is seconds */
    double shaded_seconds; /* from the start: the warm-up */
    struct plot_line lines[PLOT_LINES_MAX];
    size_t line_count;
};

/* An <svg>; nothing where there is no point. */
void plot_svg(FILE *to, const struct plot *plot);
/* The next of 1, 2, 5, 10, 20 … that is not below `value`. */
double plot_nice(double value);
/* 1234567 as "1.2M", 0.00123 as "0.00123"; at most 5 digits. */
void plot_number(char to[static 16], double value);

#endif
