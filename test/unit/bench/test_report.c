/* bench/report, bench/plot: the JSON is JSON, the page is whole, escapes what is foreign, and loads
 * nothing from anywhere. */
#include "base/mem.h"
#include "bench/report.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* Out of memory: it is JSON all the same. */
static void a_text_that_cannot_be_had_is_null(void **state)
{
    (void)state;
    mem_fault_set(1, 1);
    char *text = written(bench_report_json);
    mem_fault_set(0, 0);
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_is_null(json_object_get(object, "scenario")));
    assert_true(json_is_null(json_object_get(object, "failure")));
    assert_true(at(object, "account", "gaps") == 1);
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

static void draw(const struct plot *plot, char **ret_text)
{
    size_t size = 0;
    FILE *to = open_memstream(ret_text, &size);
    plot_svg(to, plot);
    assert_int_equal(fclose(to), 0);
    assert_non_null(strstr(*ret_text, "</svg>\n"));
    assert_null(strstr(*ret_text, "nan"));
    assert_null(strstr(*ret_text, "inf"));
}

/* One point, all the same, nothing at all: axes have room all the same. */
static void a_plot_of_little_is_drawn_as_well(void **state)
{
    (void)state;
    static const float x[3] = {0, 0, 0};
    static const float zero[3] = {0, 0, 0};
    static const float ten[3] = {10, 10, 10};
    static const float some[3] = {0, 10, 5};
    static const float *const ys[] = {zero, ten, some};
    for (size_t i = 0; i < 6; i++) {
        struct plot plot = {.title = "t",
                            .unit = "u",
                            .percentiles = i % 2 == 0,
                            .shaded_seconds = 1,
                            .line_count = 1};
        plot.lines[0] = (struct plot_line){"name", x, ys[i / 2], 3};
        char *text = NULL;
        draw(&plot, &text);
        assert_non_null(strstr(text, ">name</text>"));
        /* Percentiles that nobody has are no ticks. */
        assert_null(strstr(text, "99 %"));
        free(text);
    }
}

static void a_run_that_failed_early_is_told_whole(void **state)
{
    (void)state;
    bench =
        (struct bench){.options = &options, .adapter = &bench_adapter_seriatim, .scenario = "idle"};
    bench_fail(&bench, "connection %u: <b>", 3u);
    bench_fail(&bench, "something else"); /* the first one counts */
    bench.rows[bench.row_count++] = (struct bench_row){"falls", "x", -123.4};
    char *text = written(bench_report_html);
    assert_non_null(strstr(text, "<p class=\"bad\">failed: connection 3: &lt;b&gt;</p>"));
    assert_non_null(strstr(text, "-123<"));
    assert_null(strstr(text, "durability"));
    assert_null(strstr(text, "<th>p50</th>"));
    assert_null(strstr(text, "<svg"));
    assert_non_null(strstr(text, "</body></html>\n"));
    free(text);
    text = written(bench_report_json);
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_string_equal(json_string_value(json_object_get(object, "failure")), "connection 3: <b>");
    json_decref(object);
    free(text);
    text = written(bench_report_table);
    assert_non_null(strstr(text, "falls                                          -123 x"));
    assert_null(strstr(text, "durability"));
    free(text);
}

/* What is said on standard error goes to a file of memory meanwhile. */
static bool report_to(char *to, size_t size)
{
    const int kept[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};
    const int file = memfd_create("told", MFD_CLOEXEC);
    assert_true(kept[0] >= 0 && kept[1] >= 0 && file >= 0);
    (void)fflush(NULL);
    assert_int_equal(dup2(file, STDOUT_FILENO), STDOUT_FILENO);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    const bool good = bench_report(&bench);
    (void)fflush(NULL);
    assert_int_equal(dup2(kept[0], STDOUT_FILENO), STDOUT_FILENO);
    assert_int_equal(dup2(kept[1], STDERR_FILENO), STDERR_FILENO);
    const ssize_t got = pread(file, to, size - 1, 0);
    assert_true(got > 0);
    to[got] = '\0';
    (void)close(kept[0]);
    (void)close(kept[1]);
    (void)close(file);
    return good;
}

/* A terminal's progress line is not written over. */
static void behind_a_line_of_progress_the_table_has_its_own(void **state)
{
    (void)state;
    char text[8192];
    bench.terminal = true;
    assert_true(report_to(text, sizeof(text)));
    assert_int_equal(text[0], 'p'); /* there was none yet */
    bench.shown_ns = bench.began_ns + 1;
    assert_true(report_to(text, sizeof(text)));
    assert_int_equal(text[0], '\n');
    options.quiet = true;
    assert_true(report_to(text, sizeof(text)));
    assert_int_equal(text[0], 'p');
    options.quiet = false;
    options.json = "-"; /* then it is alone on standard output */
    options.html = "/dev/null";
    assert_true(report_to(text, sizeof(text)));
    assert_non_null(strstr(text, "{\"scenario\":\"publish\""));
}

static void two_reports_that_fail_are_both_told(void **state)
{
    (void)state;
    char text[8192];
    options.json = "/nowhere/a";
    options.html = "/nowhere/b";
    assert_false(report_to(text, sizeof(text)));
    assert_non_null(strstr(text, "seriatim: cannot write /nowhere/a: No such file or directory\n"));
    assert_non_null(strstr(text, "seriatim: cannot write /nowhere/b: No such file or directory\n"));
    options.json = "/dev/null";
    assert_false(report_to(text, sizeof(text)));
    options.html = "/dev/null";
    assert_true(report_to(text, sizeof(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_json_has_all_of_it, setup),
        cmocka_unit_test_setup(a_text_that_cannot_be_had_is_null, setup),
        cmocka_unit_test_setup(the_page_is_whole_and_its_own, setup),
        cmocka_unit_test_setup(the_table_tells_figures_and_violations, setup),
        cmocka_unit_test(numbers_and_axes_are_round),
        cmocka_unit_test(a_plot_without_points_is_none),
        cmocka_unit_test_setup(a_plot_of_little_is_drawn_as_well, setup),
        cmocka_unit_test_setup(a_run_that_failed_early_is_told_whole, setup),
        cmocka_unit_test_setup(behind_a_line_of_progress_the_table_has_its_own, setup),
        cmocka_unit_test_setup(two_reports_that_fail_are_both_told, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
