/* Line charts as SVG. */
#include "bench/report.h"

#include <math.h>

#define WIDTH     760.0
#define HEIGHT    280.0
#define LEFT      64.0
#define RIGHT     16.0
#define TOP       34.0
#define BOTTOM    34.0
#define PLOT_W    (WIDTH - LEFT - RIGHT)
#define PLOT_H    (HEIGHT - TOP - BOTTOM)
#define Y_STEPS   4
#define LOG_LEAST 1e-6

struct scale {
    double x_max;
    double y_min;
    double y_max;
    bool y_log;
};

double plot_nice(double value)
{
    if (!(value > 0)) {
        return 1;
    }
    const double decade = pow(10, floor(log10(value)));
    const double steps[] = {1, 2, 5};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        /* A hair more, for what rounding makes of an exact one. */
        if (value <= steps[i] * decade * (1 + 1e-9)) {
            return steps[i] * decade;
        }
    }
    return 10 * decade;
}

void plot_number(char to[static 16], double value)
{
    if (value >= 1e6) {
        (void)snprintf(to, 16, "%.3gM", value / 1e6);
    } else if (value >= 1e4) {
        (void)snprintf(to, 16, "%.3gk", value / 1e3);
    } else {
        (void)snprintf(to, 16, "%.4g", value);
    }
}

static double y_at(const struct scale *scale, double y)
{
    double part = y / scale->y_max;
    if (scale->y_log) {
        const double bounded = y < scale->y_min ? scale->y_min : y;
        part = log10(bounded / scale->y_min) / log10(scale->y_max / scale->y_min);
    }
    return TOP + PLOT_H * (1 - part);
}

static double x_at(const struct scale *scale, double x)
{
    return LEFT + PLOT_W * x / scale->x_max;
}

static struct scale scale_of(const struct plot *plot)
{
    struct scale scale = {.y_min = INFINITY, .y_log = plot->percentiles};
    for (size_t i = 0; i < plot->line_count; i++) {
        const struct plot_line *line = &plot->lines[i];
        for (size_t k = 0; k < line->count; k++) {
            const double y = (double)line->y[k];
            scale.x_max = fmax(scale.x_max, (double)line->x[k]);
            scale.y_max = fmax(scale.y_max, y);
            scale.y_min = y > 0 ? fmin(scale.y_min, y) : scale.y_min;
        }
    }
    scale.x_max = scale.x_max > 0 ? scale.x_max : 1;
    if (!scale.y_log) {
        scale.y_max = plot_nice(scale.y_max);
        return scale;
    }
    scale.y_max = pow(10, ceil(log10(fmax(scale.y_max, LOG_LEAST)) - 1e-9));
    scale.y_min = pow(10, floor(log10(fmax(fmin(scale.y_min, scale.y_max), LOG_LEAST)) + 1e-9));
    scale.y_min = scale.y_min < scale.y_max ? scale.y_min : scale.y_max / 10;
    return scale;
}

static void grid_y(FILE *to, const struct scale *scale, double y)
{
    char text[16];
    plot_number(text, y);
    (void)fprintf(to,
                  "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                  "<text class=\"tick\" text-anchor=\"end\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
                  LEFT, WIDTH - RIGHT, y_at(scale, y), y_at(scale, y), LEFT - 6, y_at(scale, y) + 4,
                  text);
}

static void tick_x(FILE *to, const struct scale *scale, double x, const char *text)
{
    (void)fprintf(to,
                  "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
                  x_at(scale, x), HEIGHT - BOTTOM + 18, text);
}

static void axes(FILE *to, const struct plot *plot, const struct scale *scale)
{
    static const char *const percentiles[] = {"0", "90 %", "99 %", "99.9 %", "99.99 %"};
    for (int i = 0; i <= Y_STEPS && !scale->y_log; i++) {
        grid_y(to, scale, scale->y_max * i / Y_STEPS);
    }
    for (double y = scale->y_min; scale->y_log && y <= scale->y_max * 1.001; y *= 10) {
        grid_y(to, scale, y);
    }
    for (size_t i = 0; plot->percentiles && i < 5; i++) {
        if ((double)i <= scale->x_max) {
            tick_x(to, scale, (double)i, percentiles[i]);
        }
    }
    const double step = plot_nice(scale->x_max / 10);
    for (double x = 0; !plot->percentiles && x <= scale->x_max; x += step) {
        char text[20];
        char number[16];
        plot_number(number, x);
        (void)snprintf(text, sizeof(text), "%s s", number);
        tick_x(to, scale, x, text);
    }
}

static void lines(FILE *to, const struct plot *plot, const struct scale *scale)
{
    for (size_t i = 0; i < plot->line_count; i++) {
        const struct plot_line *line = &plot->lines[i];
        (void)fprintf(to, "<polyline class=\"line c%zu\" points=\"", i);
        for (size_t k = 0; k < line->count; k++) {
            (void)fprintf(to, "%.1f,%.1f ", x_at(scale, (double)line->x[k]),
                          y_at(scale, (double)line->y[k]));
        }
        (void)fprintf(to, "\"><title>%s</title></polyline>\n", line->name);
        (void)fprintf(to,
                      "<text class=\"legend c%zu\" text-anchor=\"end\" x=\"%.1f\" y=\"%.1f\">"
                      "%s</text>\n",
                      i, WIDTH - RIGHT - 190.0 * (double)i, 18.0, line->name);
    }
}

void plot_svg(FILE *to, const struct plot *plot)
{
    size_t points = 0;
    for (size_t i = 0; i < plot->line_count; i++) {
        points += plot->lines[i].count;
    }
    if (points == 0) {
        return;
    }
    const struct scale scale = scale_of(plot);
    (void)fprintf(to,
                  "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n"
                  "<text class=\"title\" x=\"8\" y=\"18\">%s (%s)</text>\n",
                  WIDTH, HEIGHT, plot->title, plot->title, plot->unit);
    if (plot->shaded_seconds > 0) {
        const double end = fmin(plot->shaded_seconds, scale.x_max);
        (void)fprintf(to,
                      "<rect class=\"shade\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                      "height=\"%.1f\"><title>not measured</title></rect>\n",
                      LEFT, TOP, x_at(&scale, end) - LEFT, PLOT_H);
    }
    axes(to, plot, &scale);
    lines(to, plot, &scale);
    (void)fprintf(to, "</svg>\n");
}
