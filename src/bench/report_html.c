/* The page with the plots. */
#include "bench/report.h"

#include <inttypes.h>
#include <math.h>

#define CURVE_POINTS 41u /* to 99.99 %, in steps of a tenth of a nine */

static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1b1f24;--dim:#667;--grid:#e3e6ea;--shade:#f1f3f5;"
    "--c0:#1f6feb;--c1:#d9480f;--c2:#2b8a3e;--c3:#862e9c}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e8ea;--dim:#9aa4ae;"
    "--grid:#2c3238;--shade:#1d2126;--c0:#6cb2ff;--c1:#ff9c5b;--c2:#6fd086;--c3:#d593ea}}"
    "body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;max-width:800px;"
    "margin:2em auto;padding:0 1em}h1{font-size:1.4em}code{font-size:.9em;overflow-wrap:anywhere}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .9em .2em 0;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#e03131;font-weight:600}"
    "p.dim{color:var(--dim)}svg{width:100%;height:auto;margin:1em 0}svg text{font-size:12px;"
    "fill:var(--fg)}svg .title{font-weight:600}svg .tick{fill:var(--dim)}"
    "svg .grid{stroke:var(--grid)}svg .shade{fill:var(--shade)}"
    "svg .line{fill:none;stroke-width:1.6;stroke-linejoin:round}"
    "svg .line.c0{stroke:var(--c0)}svg .line.c1{stroke:var(--c1)}svg .line.c2{stroke:var(--c2)}"
    "svg .line.c3{stroke:var(--c3)}svg .legend.c0{fill:var(--c0)}svg .legend.c1{fill:var(--c1)}"
    "svg .legend.c2{fill:var(--c2)}svg .legend.c3{fill:var(--c3)}";

static void put_escaped(FILE *to, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        switch (*at) {
        case '<': (void)fputs("&lt;", to); break;
        case '>': (void)fputs("&gt;", to); break;
        case '&': (void)fputs("&amp;", to); break;
        case '"': (void)fputs("&quot;", to); break;
        default: (void)fputc(*at, to); break;
        }
    }
}

static void put_row(FILE *to, const char *name, double value, const char *unit)
{
    (void)fprintf(to, "<tr><td>%s</td><td class=\"n\">%.*f</td><td>%s</td></tr>\n", name,
                  fabs(value) < 100 ? 3 : 0, value, unit);
}

static void put_setting(void *ctx, const char *name, uint64_t value)
{
    (void)fprintf(ctx, "%s %" PRIu64 " · ", name, value);
}

static void put_head(FILE *to, const struct bench *bench)
{
    char machine[200];
    bench_report_machine(machine, sizeof(machine));
    (void)fprintf(to,
                  "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                  "<title>seriatim bench %s</title>\n<style>%s</style></head><body>\n"
                  "<h1>%s · %s</h1>\n<p><code>",
                  bench->scenario, style, bench->adapter->name, bench->scenario);
    put_escaped(to, bench->options->command);
    (void)fputs("</code></p>\n<p class=\"dim\">", to);
    put_escaped(to, machine);
    (void)fputs("<br>", to);
    bench_report_settings(bench, put_setting, to);
    (void)fprintf(to, "codec %s", bench->options->codec);
    if (bench->durability[0] != '\0') {
        (void)fputs(" · durability ", to);
        put_escaped(to, bench->durability);
    }
    (void)fputs("</p>\n", to);
}

static void put_latencies(FILE *to, const struct bench *bench)
{
    (void)fputs("<table><tr><th>latency, ms</th><th>count</th><th>p50</th><th>p90</th><th>p99</th>"
                "<th>p99.9</th><th>max</th></tr>\n",
                to);
    for (size_t i = 0; i < bench->latency_count; i++) {
        const struct histogram *ns = bench->latencies[i].ns;
        if (ns->count == 0) {
            continue;
        }
        (void)fprintf(to,
                      "<tr><td>%s</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%.3f</td>"
                      "<td class=\"n\">%.3f</td><td class=\"n\">%.3f</td><td class=\"n\">%.3f</td>"
                      "<td class=\"n\">%.3f</td></tr>\n",
                      bench->latencies[i].name, ns->count, (double)histogram_at(ns, 5000) / 1e6,
                      (double)histogram_at(ns, 9000) / 1e6, (double)histogram_at(ns, 9900) / 1e6,
                      (double)histogram_at(ns, 9990) / 1e6, (double)ns->max / 1e6);
    }
    (void)fputs("</table>\n", to);
}

static void put_account(FILE *to, const struct bench *bench)
{
    (void)fprintf(to,
                  "<p>sent %" PRIu64 ", acknowledged %" PRIu64 ", delivered %" PRIu64
                  "; <span%s>%" PRIu64 " violations of order</span>:",
                  bench->counts.sent, bench->counts.acked, bench->counts.delivered,
                  bench_violations(bench) > 0 ? " class=\"bad\"" : "", bench_violations(bench));
    for (size_t i = 0; i < BENCH_VIOLATION_COUNT; i++) {
        (void)fprintf(to, " %s %" PRIu64, bench_violation_name((enum bench_violation)i),
                      bench->violations[i]);
    }
    (void)fputs("</p>\n", to);
    for (unsigned i = 0; i < bench->example_count; i++) {
        (void)fputs("<p class=\"bad\">", to);
        put_escaped(to, bench->examples[i]);
        (void)fputs("</p>\n", to);
    }
    if (bench->failure[0] != '\0') {
        (void)fputs("<p class=\"bad\">failed: ", to);
        put_escaped(to, bench->failure);
        (void)fputs("</p>\n", to);
    }
}

static void put_throughput(FILE *to, const struct bench *bench)
{
    struct plot plot = {.title = "throughput", .unit = "a second"};
    if (bench->window.began_ns > bench->began_ns) {
        plot.shaded_seconds = (double)(bench->window.began_ns - bench->began_ns) / 1e9;
    }
    for (size_t i = 0; i < bench->series_count; i++) {
        const struct bench_series *series = &bench->series[i];
        plot.lines[plot.line_count++] = (struct plot_line){series->name, bench->sample_times,
                                                           series->rates, bench->sample_count};
    }
    plot_svg(to, &plot);
}

static void put_percentiles(FILE *to, const struct bench *bench)
{
    float x[CURVE_POINTS];
    float y[BENCH_LATENCIES][CURVE_POINTS];
    struct plot plot = {.title = "latency by percentile", .unit = "ms", .percentiles = true};
    for (size_t k = 0; k < CURVE_POINTS; k++) {
        x[k] = (float)k * 4.0f / (float)(CURVE_POINTS - 1);
    }
    for (size_t i = 0; i < bench->latency_count; i++) {
        const struct histogram *ns = bench->latencies[i].ns;
        for (size_t k = 0; k < CURVE_POINTS; k++) {
            const double part = 1 - pow(10, -(double)x[k]);
            const unsigned permyriad = (unsigned)(part * 10000 + 0.5);
            y[i][k] = (float)((double)histogram_at(ns, permyriad > 0 ? permyriad : 1) / 1e6);
        }
        if (ns->count > 0) {
            plot.lines[plot.line_count++] =
                (struct plot_line){bench->latencies[i].name, x, y[i], CURVE_POINTS};
        }
    }
    plot_svg(to, &plot);
}

void bench_report_html(FILE *to, const struct bench *bench)
{
    put_head(to, bench);
    (void)fputs("<table>\n", to);
    for (size_t i = 0; i < bench->row_count; i++) {
        put_row(to, bench->rows[i].name, bench->rows[i].value, bench->rows[i].unit);
    }
    (void)fputs("</table>\n", to);
    if (bench->latency_count > 0) {
        put_latencies(to, bench);
    }
    put_throughput(to, bench);
    put_percentiles(to, bench);
    put_account(to, bench);
    (void)fputs("</body></html>\n", to);
}
