#include "bench/report.h"

#include "wire/json_codec.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- what all of them tell ----------------------------------------------------------------- */

void bench_report_settings(const struct bench *bench,
                           void (*each)(void *ctx, const char *name, uint64_t value), void *ctx)
{
    const struct bench_options *o = bench->options;
#define X(name, field, text, least, most)                                                          \
    if (o->field != 0 && (bench->takes & 1u << BENCH_##name) != 0) {                               \
        each(ctx, text, o->field);                                                                 \
    }
    BENCH_NUMBER_LIST(X)
#undef X
}

/* The first "model name" of /proc/cpuinfo; "" if there is none. */
static void cpu_name(char *to, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    to[0] = '\0';
    while (file != NULL && to[0] == '\0' && fgets(line, sizeof(line), file) != NULL) {
        const char *at = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && at != NULL) {
            at += strspn(at, ": ");
            (void)snprintf(to, size, "%.*s", (int)strcspn(at, "\n"), at);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

void bench_report_machine(char *to, size_t size)
{
    struct utsname name;
    char cpu[128];
    cpu_name(cpu, sizeof(cpu));
    (void)uname(&name); /* fails for a bad address only */
    (void)snprintf(to, size, "%s %s, %ld x %s", name.sysname, name.release,
                   sysconf(_SC_NPROCESSORS_ONLN), cpu[0] != '\0' ? cpu : "CPU");
}

/* ---- the table ----------------------------------------------------------------------------- */

static void table_setting(void *ctx, const char *name, uint64_t value)
{
    (void)fprintf(ctx, ", %s %" PRIu64, name, value);
}

static void table_violations(FILE *to, const struct bench *bench)
{
    (void)fprintf(to, "  %" PRIu64 " violations of order (", bench_violations(bench));
    for (size_t i = 0; i < BENCH_VIOLATION_COUNT; i++) {
        (void)fprintf(to, "%s%s %" PRIu64, i == 0 ? "" : ", ",
                      bench_violation_name((enum bench_violation)i), bench->violations[i]);
    }
    (void)fprintf(to, ")\n");
    for (unsigned i = 0; i < bench->example_count; i++) {
        (void)fprintf(to, "    %s\n", bench->examples[i]);
    }
}

void bench_report_table(FILE *to, const struct bench *bench)
{
    (void)fprintf(to, "%s: %s", bench->scenario, bench->target.authority);
    bench_report_settings(bench, table_setting, to);
    (void)fprintf(to, ", codec %s", bench->options->codec);
    if (bench->durability[0] != '\0') {
        (void)fprintf(to, ", durability %s", bench->durability);
    }
    (void)fprintf(to, "\n");
    for (size_t i = 0; i < bench->row_count; i++) {
        const struct bench_row *row = &bench->rows[i];
        const int digits = row->value < 100 && row->value > -100 ? 3 : 0;
        (void)fprintf(to, "  %-36s %14.*f %s\n", row->name, digits, row->value, row->unit);
    }
    for (size_t i = 0; i < bench->latency_count; i++) {
        const struct histogram *ns = bench->latencies[i].ns;
        if (ns->count == 0) {
            continue;
        }
        (void)fprintf(to, "  %-22s p50 %.3f  p90 %.3f  p99 %.3f  p99.9 %.3f  max %.3f ms\n",
                      bench->latencies[i].name, (double)histogram_at(ns, 5000) / 1e6,
                      (double)histogram_at(ns, 9000) / 1e6, (double)histogram_at(ns, 9900) / 1e6,
                      (double)histogram_at(ns, 9990) / 1e6, (double)ns->max / 1e6);
    }
    (void)fprintf(to, "  sent %" PRIu64 ", acknowledged %" PRIu64 ", delivered %" PRIu64 "\n",
                  bench->counts.sent, bench->counts.acked, bench->counts.delivered);
    table_violations(to, bench);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void json_text(FILE *to, const char *name, const char *value)
{
    struct buf text = {0};
    if (json_encode_string(&text, bytes_of_text(value)) == RC_OK) {
        (void)fprintf(to, "\"%s\":%.*s,", name, (int)text.size, (const char *)text.data);
    } else {
        (void)fprintf(to, "\"%s\":null,", name); /* out of memory */
    }
    buf_deinit(&text);
}

static void json_setting(void *ctx, const char *name, uint64_t value)
{
    (void)fprintf(ctx, "\"%s\":%" PRIu64 ",", name, value);
}

static void json_latency(FILE *to, const struct bench_latency *latency)
{
    const struct histogram *ns = latency->ns;
    (void)fprintf(to,
                  "\"%s\":{\"count\":%" PRIu64 ",\"p50\":%.6f,\"p90\":%.6f,\"p99\":%.6f,"
                  "\"p999\":%.6f,\"max\":%.6f}",
                  latency->name, ns->count, (double)histogram_at(ns, 5000) / 1e6,
                  (double)histogram_at(ns, 9000) / 1e6, (double)histogram_at(ns, 9900) / 1e6,
                  (double)histogram_at(ns, 9990) / 1e6, (double)ns->max / 1e6);
}

static void json_account(FILE *to, const struct bench *bench)
{
    (void)fprintf(
        to, "\"account\":{\"sent\":%" PRIu64 ",\"acknowledged\":%" PRIu64 ",\"delivered\":%" PRIu64,
        bench->counts.sent, bench->counts.acked, bench->counts.delivered);
    for (size_t i = 0; i < BENCH_VIOLATION_COUNT; i++) {
        (void)fprintf(to, ",\"%s\":%" PRIu64, bench_violation_name((enum bench_violation)i),
                      bench->violations[i]);
    }
    (void)fprintf(to, ",\"violations\":%" PRIu64 "}", bench_violations(bench));
}

static void json_series(FILE *to, const struct bench *bench)
{
    (void)fprintf(to, "\"series\":{\"seconds\":[");
    for (size_t k = 0; k < bench->sample_count; k++) {
        (void)fprintf(to, "%s%.2f", k == 0 ? "" : ",", (double)bench->sample_times[k]);
    }
    (void)fprintf(to, "]");
    for (size_t i = 0; i < bench->series_count; i++) {
        (void)fprintf(to, ",\"%s\":[", bench->series[i].name);
        for (size_t k = 0; k < bench->sample_count; k++) {
            (void)fprintf(to, "%s%.0f", k == 0 ? "" : ",", (double)bench->series[i].rates[k]);
        }
        (void)fprintf(to, "]");
    }
    (void)fprintf(to, "}");
}

void bench_report_json(FILE *to, const struct bench *bench)
{
    char machine[200];
    bench_report_machine(machine, sizeof(machine));
    (void)fprintf(to, "{");
    json_text(to, "scenario", bench->scenario);
    json_text(to, "adapter", bench->adapter->name);
    json_text(to, "server", bench->server_name);
    json_text(to, "durability", bench->durability);
    json_text(to, "codec", bench->options->codec);
    json_text(to, "command", bench->options->command);
    json_text(to, "machine", machine);
    json_text(to, "failure", bench->failure);
    (void)fprintf(to, "\"options\":{");
    bench_report_settings(bench, json_setting, to);
    (void)fprintf(to,
                  "\"lockstep\":%s,\"no_ack\":%s,"
                  "\"cumulative\":%s},\"measured_seconds\":%.3f,\"figures\":{",
                  bench->options->lockstep ? "true" : "false",
                  bench->options->no_ack ? "true" : "false",
                  bench->options->cumulative ? "true" : "false", bench_window_seconds(bench));
    for (size_t i = 0; i < bench->row_count; i++) {
        (void)fprintf(to, "%s\"%s\":%.6g", i == 0 ? "" : ",", bench->rows[i].name,
                      bench->rows[i].value);
    }
    (void)fprintf(to, "},\"latency_ms\":{");
    for (size_t i = 0; i < bench->latency_count; i++) {
        (void)fprintf(to, "%s", i == 0 ? "" : ",");
        json_latency(to, &bench->latencies[i]);
    }
    (void)fprintf(to, "},");
    json_account(to, bench);
    (void)fprintf(to, ",");
    json_series(to, bench);
    (void)fprintf(to, "}\n");
}

/* ---- where it goes ------------------------------------------------------------------------- */

static bool write_to(const char *path, const struct bench *bench,
                     void (*report)(FILE *to, const struct bench *bench))
{
    const bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdout : fopen(path, "we");
    if (file == NULL) {
        (void)fprintf(stderr, "seriatim: cannot write %s: %s\n", path, strerror(errno));
        return false;
    }
    report(file, bench);
    const bool good = fflush(file) == 0 && ferror(file) == 0;
    const int error = errno;
    if ((!standard && fclose(file) != 0) || !good) {
        (void)fprintf(stderr, "seriatim: cannot write %s: %s\n", path, strerror(error));
        return false;
    }
    return true;
}

bool bench_report(struct bench *bench)
{
    const struct bench_options *o = bench->options;
    if (bench->terminal && !o->quiet && bench->shown_ns != bench->began_ns) {
        (void)fputc('\n', stderr);
    }
    if (bench->failure[0] != '\0') {
        (void)fprintf(stderr, "seriatim: %s\n", bench->failure);
    }
    if (bench_stopped()) {
        (void)fprintf(stderr, "seriatim: cut short by a signal\n");
    }
    const bool to_error = o->json != NULL && strcmp(o->json, "-") == 0;
    bench_report_table(to_error ? stderr : stdout, bench);
    bool good = fflush(stdout) == 0;
    if (o->json != NULL) {
        good = write_to(o->json, bench, bench_report_json) && good;
    }
    if (o->html != NULL) {
        good = write_to(o->html, bench, bench_report_html) && good;
    }
    return good;
}
