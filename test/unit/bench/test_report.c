/* bench/report, bench/plot: the JSON is JSON, the page is whole, escapes what is foreign, and loads
 * nothing from anywhere. */
#include "bench/report.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct bench bench;
static struct bench_options options;
static struct histogram latency;
static struct histogram empty;
static float times[3] = {0.1f, 0.2f, 0.3f};
static float rates[3] = {0, 2000, 1500};

static int setup(void **state)
{
    (void)state;
    options = (struct bench_options){
        .codec = "json", .command = "seriatim bench <\"&>\n", .connections = 3, .payload = 128};
    bench = (struct bench){.options = &options,
                           .adapter = &bench_adapter_seriatim,
                           .scenario = "publish",
                           .takes = 1u << BENCH_CONNECTIONS,
                           .durability = "fsync",
                           .sample_times = times,
                           .sample_count = 3};
    bench.window.began_ns = 1000000000;
    bench.window.ended_ns = 3500000000;
    bench.counts.sent = 12;
    latency = (struct histogram){0};
    for (unsigned i = 1; i <= 1000; i++) {
        histogram_add(&latency, i * 1000000ull);
    }
    bench.latencies[0] = (struct bench_latency){"publish_acknowledged", &latency};
    bench.latencies[1] = (struct bench_latency){"never", &empty};
    bench.latency_count = 2;
    bench.series[0] = (struct bench_series){.name = "acknowledged/s", .rates = rates};
    bench.series_count = 1;
    bench_row(&bench, "acked_per_second", 123456.789, "messages/s");
    bench_row(&bench, "ratio", 1.0 / 0.0, "");
    bench_violated(&bench, BENCH_VIOLATION_GAP, "subscriber %u <b>", 7u);
    return 0;
}

static char *written(void (*report)(FILE *to, const struct bench *bench))
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    report(to, &bench);
    assert_int_equal(fclose(to), 0);
    return text;
}

static double at(const json_t *object, const char *outer, const char *name)
{
    const json_t *value = json_object_get(json_object_get(object, outer), name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void the_json_has_all_of_it(void **state)
{
    (void)state;
    char *text = written(bench_report_json);
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "scenario")), "publish");
    assert_string_equal(json_string_value(json_object_get(object, "command")), options.command);
    assert_true(at(object, "figures", "acked_per_second") > 123456);
    assert_true(at(object, "figures", "ratio") == 0); /* infinity is no figure */
    assert_true(at(object, "options", "connections") == 3);
    assert_null(json_object_get(json_object_get(object, "options"), "payload"));
    assert_true(at(object, "account", "sent") == 12);
    assert_true(at(object, "account", "gaps") == 1);
    assert_true(at(object, "account", "violations") == 1);
    assert_true(json_number_value(json_object_get(object, "measured_seconds")) == 2.5);
    const json_t *ms =
        json_object_get(json_object_get(object, "latency_ms"), "publish_acknowledged");
    const double p50 = json_number_value(json_object_get(ms, "p50"));
    assert_true(p50 >= 500 && p50 < 500.5);
    assert_true(json_number_value(json_object_get(ms, "max")) == 1000);
    const json_t *series = json_object_get(object, "series");
    assert_int_equal(json_array_size(json_object_get(series, "acknowledged/s")), 3);
    assert_int_equal(json_array_size(json_object_get(series, "seconds")), 3);
    json_decref(object);
    free(text);
}

static void the_page_is_whole_and_its_own(void **state)
{
    (void)state;
    char *text = written(bench_report_html);
    assert_ptr_equal(strstr(text, "<!doctype html>"), text);
    assert_non_null(strstr(text, "</body></html>\n"));
    assert_non_null(strstr(text, "bench &lt;&quot;&amp;&gt;"));
    assert_non_null(strstr(text, "subscriber 7 &lt;b&gt;"));
    assert_null(strstr(text, "<b>"));
    assert_non_null(strstr(text, "prefers-color-scheme:dark"));
    /* Nothing comes from elsewhere. */
    assert_null(strstr(text, "http:"));
    assert_null(strstr(text, "https:"));
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "<link"));
    unsigned plots = 0;
    for (const char *p = text; (p = strstr(p, "<polyline")) != NULL; p++) {
        plots++;
    }
    assert_int_equal(plots, 2); /* throughput, and the one latency that has values */
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_null(strstr(text, "never"));
    free(text);
}

static void the_table_tells_figures_and_violations(void **state)
{
    (void)state;
    char *text = written(bench_report_table);
    assert_non_null(strstr(text, "acked_per_second"));
    assert_non_null(strstr(text, "123457 messages/s"));
    assert_non_null(strstr(text, "1 violations of order (lost 0"));
    assert_non_null(strstr(text, "gaps: subscriber 7"));
    assert_non_null(strstr(text, "connections 3"));
    assert_null(strstr(text, "payload"));
    assert_null(strstr(text, "never"));
    free(text);
}

static void numbers_and_axes_are_round(void **state)
{
    (void)state;
    static const double cases[][2] = {{0, 1},      {1, 1},       {1.1, 2},  {3, 5},
                                      {5, 5},      {7, 10},      {10, 10},  {0.3, 0.5},
                                      {999, 1000}, {1001, 2000}, {0.1, 0.1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const double nice = plot_nice(cases[i][0]);
        assert_true(nice > cases[i][1] * 0.999999 && nice < cases[i][1] * 1.000001);
    }
    char text[16];
    plot_number(text, 1234567);
    assert_string_equal(text, "1.23M");
    plot_number(text, 25000);
    assert_string_equal(text, "25k");
    plot_number(text, 0.5);
    assert_string_equal(text, "0.5");
}

static void a_plot_without_points_is_none(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    const struct plot plot = {.title = "t", .unit = "u", .line_count = 1};
    plot_svg(to, &plot);
    assert_int_equal(fclose(to), 0);
    assert_int_equal(size, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_json_has_all_of_it, setup),
        cmocka_unit_test_setup(the_page_is_whole_and_its_own, setup),
        cmocka_unit_test_setup(the_table_tells_figures_and_violations, setup),
        cmocka_unit_test(numbers_and_axes_are_round),
        cmocka_unit_test(a_plot_without_points_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
