/* The progress line, and the account: for people on standard error, as JSON where asked for. */
#include "cli/cli.h"
#include "cli/runtime.h"
#include "cli/verify.h"
#include "server/config_text.h"
#include "wire/json_codec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#define COUNT_SIZE 32u
#define AWAY_MS    1000u /* nothing moved for so long: who is not connected is told */

/* 1234567 as "1,234,567". */
struct count_text {
    char text[COUNT_SIZE];
};

static struct count_text count_of(uint64_t number)
{
    struct count_text count = {0};
    size_t at = COUNT_SIZE - 1;
    unsigned digits = 0;
    do {
        if (digits > 0 && digits % 3 == 0) {
            count.text[--at] = ',';
        }
        count.text[--at] = (char)('0' + number % 10);
        number /= 10;
        digits++;
    } while (number > 0);
    bytes_move(count.text, count.text + at, COUNT_SIZE - at);
    return count;
}
#define COUNT(number) (count_of(number).text)

/* ---- sums ---------------------------------------------------------------------------------- */

struct verify_sums verify_sum(const struct verify *verify)
{
    struct verify_sums sums = {0};
    for (size_t i = 0; i < verify->producer_count; i++) {
        const struct numbered *n = &verify->producers[i].number;
        sums.sent += n->sent_count;
        sums.acked += n->acked_count;
        sums.resent += n->resent_count;
        sums.duplicates += n->duplicate_count;
        sums.refused += n->refused_count;
        sums.indeterminate += n->indeterminate_count;
        sums.found_stored += n->found_stored_count;
        sums.found_absent += n->found_absent_count;
    }
    for (size_t i = 0; i < verify->subscriber_count; i++) {
        sums.delivered += verify->subscribers[i].view.distinct;
        sums.received += verify->subscribers[i].view.received;
    }
    return sums;
}

static bool seen_by_anybody(const struct verify *v, uint32_t channel, uint32_t producer,
                            uint64_t number)
{
    for (size_t i = 0; i < v->subscriber_count; i++) {
        const struct observer *view = &v->subscribers[i].view;
        if (view->channel == channel && observer_has(view, producer, number)) {
            return true;
        }
    }
    return false;
}

/* What was sent and never answered: some of it may have been seen all the same. */
static void sum_unresolved(const struct verify *v, struct verify_sums *sums)
{
    for (uint32_t channel = 0; channel < v->workload.options.channels; channel++) {
        for (uint32_t producer = 0; producer < v->workload.options.producers; producer++) {
            const size_t stream = ledger_stream(&v->ledger, channel, producer);
            for (uint64_t number = v->ledger.acked[stream] + 1; number <= v->ledger.sent[stream];
                 number++) {
                sums->unresolved++;
                sums->unresolved_seen += seen_by_anybody(v, channel, producer, number) ? 1 : 0;
            }
        }
    }
}

static double load_seconds(const struct verify *v)
{
    return v->began_ns == 0 ? 0.0 : (double)(v->load_ended_ns - v->began_ns) / 1e9;
}

static double rate_reached(const struct verify *v, const struct verify_sums *sums)
{
    const double seconds = load_seconds(v);
    return seconds > 0 ? (double)sums->acked / seconds : 0.0;
}

/* ---- progress ------------------------------------------------------------------------------ */

void verify_progress(struct verify *verify, bool last)
{
    static const char *const names[] = {
        [VERIFY_CONNECT] = "connecting", [VERIFY_LOAD] = "load",     [VERIFY_DRAIN] = "draining",
        [VERIFY_AUDIT] = "reading back", [VERIFY_DONE] = "finished",
    };
    struct verify *v = verify;
    const struct verify_sums sums = verify_sum(v);
    const double seconds = (double)(v->now_ns - v->shown_ns) / 1e9;
    const double rate = seconds > 0 ? (double)(sums.acked - v->shown_acked) / seconds : 0;
    uint64_t read = v->counts.audited;
    for (size_t i = 0; i < v->reader_count; i++) {
        read += v->readers[i].reading ? v->readers[i].view.distinct : 0;
    }
    const uint64_t since_ns = v->began_ns == 0 ? v->started_ns : v->began_ns;
    const char *away = v->now_ms - v->moved_ms < AWAY_MS ? NULL : verify_away(v);
    (void)fprintf(stderr,
                  "%s%s: %.0f s, %s of %s acknowledged (%s/s), %s delivered, %s read back, "
                  "%s restarts, %s reconnects, p99 %.1f ms, %s violations%s%s%s",
                  v->terminal ? "\r\033[K" : "", names[v->phase],
                  (double)(v->now_ns - since_ns) / 1e9, COUNT(sums.acked),
                  COUNT(v->workload.options.messages), COUNT((uint64_t)rate), COUNT(sums.delivered),
                  COUNT(read), COUNT(v->counts.restarts), COUNT(v->counts.reconnects),
                  (double)histogram_at(&v->published_us, 9900) / 1000,
                  COUNT(v->violations.total + v->violations.suspects), away == NULL ? "" : "; ",
                  away == NULL ? "" : away, v->terminal && !last ? "" : "\n");
    v->shown_ns = v->now_ns;
    v->shown_acked = sums.acked;
}

/* ---- the account for people ---------------------------------------------------------------- */

static void add_end(struct config_text *to, const struct verify *v)
{
    const double patience = (double)v->options->patience_ms / 1000;
    switch (v->end) {
    case VERIFY_END_WHOLE: break;
    case VERIFY_END_VIOLATION:
        config_text_addf(to, "ended at a violation%s\n",
                         v->options->keep_going ? ": it cannot go on behind this one"
                                                : " (--keep-going goes on behind most)");
        break;
    case VERIFY_END_AWAY:
        config_text_addf(to, "gave up: the server was away for more than %.0f s (%s)\n", patience,
                         v->subject);
        break;
    case VERIFY_END_STALLED:
        config_text_addf(to, "gave up: the server is there, but nothing moved for %.0f s\n",
                         patience);
        break;
    case VERIFY_END_REFUSED: config_text_addf(to, "gave up: %s\n", v->subject); break;
    case VERIFY_END_STOPPED: config_text_addf(to, "the load was cut short by a signal\n"); break;
    case VERIFY_END_NOMEM: config_text_addf(to, "gave up: out of memory\n"); break;
    }
}

static void add_latency(struct config_text *to, const char *name, const struct histogram *h)
{
    config_text_addf(to, "  %-18s p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f ms\n", name,
                     (double)histogram_at(h, 5000) / 1000, (double)histogram_at(h, 9000) / 1000,
                     (double)histogram_at(h, 9900) / 1000, (double)histogram_at(h, 9990) / 1000,
                     (double)h->max / 1000);
}

static void add_violations(struct config_text *to, const struct verify *v)
{
    const struct violations *all = &v->violations;
    for (size_t i = 0; i < VIOLATION_COUNT; i++) {
        const enum violation violation = (enum violation)i;
        if (all->counts[i] > 0) {
            config_text_addf(to, "  %s %s %s: %s%s\n", violation_invariant(violation),
                             violation_name(violation), COUNT(all->counts[i]),
                             violation_meaning(violation), all->tolerated[i] ? " (tolerated)" : "");
        }
    }
    for (unsigned i = 0; i < all->example_count; i++) {
        config_text_addf(to, "    %s: %s\n", violation_name(all->examples[i].violation),
                         all->examples[i].text);
    }
}

static uint64_t lost_of(const struct violations *all)
{
    return all->counts[VIOLATION_LOST_PREFIX] + all->counts[VIOLATION_LOST_MIDDLE] +
           all->counts[VIOLATION_LOST_POSTFIX];
}

static void add_counts(struct config_text *to, const struct verify *v,
                       const struct verify_sums *sums)
{
    const uint64_t *counts = v->violations.counts;
    config_text_addf(to, "  sent               %s of %s messages, %s of them again\n",
                     COUNT(sums->sent), COUNT(v->workload.options.messages), COUNT(sums->resent));
    config_text_addf(to, "  acknowledged       %s (%s as duplicates), %s refused for a time\n",
                     COUNT(sums->acked), COUNT(sums->duplicates), COUNT(sums->refused));
    config_text_addf(to,
                     "  indeterminate      %s: %s were stored, %s were not; never answered: %s, "
                     "seen %s\n",
                     COUNT(sums->indeterminate), COUNT(sums->found_stored),
                     COUNT(sums->found_absent), COUNT(sums->unresolved),
                     COUNT(sums->unresolved_seen));
    config_text_addf(to, "  delivered          %s to %zu subscribers, %s restarts, %s reconnects\n",
                     COUNT(sums->delivered), v->subscriber_count, COUNT(v->counts.restarts),
                     COUNT(v->counts.reconnects));
    config_text_addf(to,
                     "  read back          %s from %s of %" PRIu32 " channels, %s digests "
                     "compared\n",
                     COUNT(v->counts.audited), COUNT(v->counts.channels_audited),
                     v->workload.options.channels, COUNT(v->counts.digests_compared));
    if (v->counts.digests_refused > 0) {
        config_text_addf(to, "  digests            refused by the server (code %s)%s\n",
                         v->digest_code,
                         v->no_digest ? ", which does not list them among its features" : "");
    }
    config_text_addf(to, "  lost               %s (prefix %s, middle %s, postfix %s)\n",
                     COUNT(lost_of(&v->violations)), COUNT(counts[VIOLATION_LOST_PREFIX]),
                     COUNT(counts[VIOLATION_LOST_MIDDLE]), COUNT(counts[VIOLATION_LOST_POSTFIX]));
    config_text_addf(to, "  duplicated         %s, stored twice %s\n",
                     COUNT(counts[VIOLATION_DUPLICATED]), COUNT(counts[VIOLATION_STORED_TWICE]));
    config_text_addf(to, "  out of order       %s, of a producer %s\n",
                     COUNT(counts[VIOLATION_OUT_OF_ORDER]),
                     COUNT(counts[VIOLATION_PRODUCER_ORDER]));
    config_text_addf(to, "  inconsistent       %s\n", COUNT(counts[VIOLATION_INCONSISTENT]));
    config_text_addf(to, "  gaps               %s unannounced, %s announced\n",
                     COUNT(counts[VIOLATION_GAP_UNANNOUNCED]),
                     COUNT(counts[VIOLATION_GAP_ANNOUNCED]));
    config_text_addf(to, "  rate               %s/s of %s/s asked for, for %.1f s\n",
                     COUNT((uint64_t)(rate_reached(v, sums) + 0.5)),
                     COUNT(v->workload.options.rate), load_seconds(v));
}

static void add_account(struct config_text *to, const struct verify *v,
                        const struct verify_sums *sums)
{
    config_text_addf(to, "\n%s, prefix %s, seed %" PRIu64 "\n", v->options->url_text,
                     v->workload.prefix, v->options->seed);
    add_counts(to, v, sums);
    add_latency(to, "publish-published", &v->published_us);
    add_latency(to, "publish-delivered", &v->delivered_us);
    add_violations(to, v);
    add_end(to, v);
    config_text_addf(to, "%s violations\n", COUNT(v->violations.total));
}

/* ---- the account for programs -------------------------------------------------------------- */

static void add_string(struct config_text *to, const char *name, const char *value)
{
    config_text_addf(to, "\"%s\":", name);
    if (to->rc == RC_OK) {
        to->rc = json_encode_string(to->to, bytes_of_text(value));
    }
    config_text_addf(to, ",");
}

static void add_number(struct config_text *to, const char *name, uint64_t value)
{
    config_text_addf(to, "\"%s\":%" PRIu64 ",", name, value);
}

static void add_histogram(struct config_text *to, const char *name, const struct histogram *h)
{
    config_text_addf(to,
                     "\"%s\":{\"count\":%" PRIu64 ",\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,"
                     "\"p999\":%.3f,\"max\":%.3f},",
                     name, h->count, (double)histogram_at(h, 5000) / 1000,
                     (double)histogram_at(h, 9000) / 1000, (double)histogram_at(h, 9900) / 1000,
                     (double)histogram_at(h, 9990) / 1000, (double)h->max / 1000);
}

static void add_settings(struct config_text *to, const struct verify *v)
{
    const struct verify_options *o = v->options;
    add_string(to, "url", o->url_text);
    add_string(to, "prefix", v->workload.prefix);
    add_string(to, "codec", o->codec == SERIATIM_JSON ? "json" : "binary");
    add_number(to, "seed", o->seed);
    add_number(to, "rate", o->rate);
    add_number(to, "messages", o->messages);
    add_number(to, "channels", o->channels);
    add_number(to, "producers", o->producers);
    add_number(to, "subscribers", o->subscribers);
    add_number(to, "size", o->size);
    add_number(to, "batch", o->batch);
    add_number(to, "inflight", o->inflight);
    add_number(to, "window", o->window);
    add_number(to, "restart_subscribers_ms", o->restart_subscribers_ms);
    add_number(to, "restart_producers_ms", o->restart_producers_ms);
}

static void add_json_violations(struct config_text *to, const struct verify *v)
{
    config_text_addf(to, "\"violations\":{");
    for (size_t i = 0; i < VIOLATION_COUNT; i++) {
        config_text_addf(to, "%s\"%s\":%" PRIu64, i == 0 ? "" : ",",
                         violation_name((enum violation)i), v->violations.counts[i]);
    }
    config_text_addf(to, "},\"tolerated\":[");
    const char *comma = "";
    for (size_t i = 0; i < VIOLATION_COUNT; i++) {
        if (v->violations.tolerated[i]) {
            config_text_addf(to, "%s\"%s\"", comma, violation_name((enum violation)i));
            comma = ",";
        }
    }
    config_text_addf(to, "],\"examples\":[");
    for (unsigned i = 0; i < v->violations.example_count; i++) {
        const struct violation_example *example = &v->violations.examples[i];
        config_text_addf(to, "%s{", i == 0 ? "" : ",");
        add_string(to, "name", violation_name(example->violation));
        add_string(to, "invariant", violation_invariant(example->violation));
        config_text_addf(to, "\"text\":");
        if (to->rc == RC_OK) {
            to->rc = json_encode_string(to->to, bytes_of_text(example->text));
        }
        config_text_addf(to, "}");
    }
    config_text_addf(to, "]");
}

static void add_json(struct config_text *to, const struct verify *v, const struct verify_sums *sums)
{
    static const char *const ends[] = {
        [VERIFY_END_WHOLE] = "whole",     [VERIFY_END_VIOLATION] = "violation",
        [VERIFY_END_AWAY] = "away",       [VERIFY_END_STALLED] = "stalled",
        [VERIFY_END_REFUSED] = "refused", [VERIFY_END_STOPPED] = "stopped",
        [VERIFY_END_NOMEM] = "memory",
    };
    struct rusage use = {0};
    (void)getrusage(RUSAGE_SELF, &use);
    config_text_addf(to, "{");
    add_settings(to, v);
    add_string(to, "end", ends[v->end]);
    add_string(to, "why", v->subject);
    add_number(to, "sent", sums->sent);
    add_number(to, "resent", sums->resent);
    add_number(to, "acknowledged", sums->acked);
    add_number(to, "duplicates_answered", sums->duplicates);
    add_number(to, "refused_for_a_time", sums->refused);
    config_text_addf(to,
                     "\"indeterminate\":{\"count\":%" PRIu64 ",\"stored\":%" PRIu64
                     ",\"not_stored\":%" PRIu64 ",\"never_answered\":%" PRIu64
                     ",\"never_answered_seen\":%" PRIu64 "},",
                     sums->indeterminate, sums->found_stored, sums->found_absent, sums->unresolved,
                     sums->unresolved_seen);
    add_number(to, "delivered", sums->delivered);
    add_number(to, "received", sums->received);
    add_number(to, "read_back", v->counts.audited);
    add_number(to, "channels_read_back", v->counts.channels_audited);
    add_number(to, "digests_compared", v->counts.digests_compared);
    add_number(to, "digests_refused", v->counts.digests_refused);
    add_string(to, "digests_refused_code", v->digest_code);
    add_number(to, "lost", lost_of(&v->violations));
    add_number(to, "restarts", v->counts.restarts);
    add_number(to, "reconnects", v->counts.reconnects);
    config_text_addf(to, "\"load_seconds\":%.3f,\"rate_reached\":%.1f,", load_seconds(v),
                     rate_reached(v, sums));
    add_number(to, "memory_bytes_max", (uint64_t)use.ru_maxrss * 1024);
    add_histogram(to, "publish_published_ms", &v->published_us);
    add_histogram(to, "publish_delivered_ms", &v->delivered_us);
    add_number(to, "violations_total", v->violations.total);
    add_json_violations(to, v);
    config_text_addf(to, "}\n");
}

static int write_file(const char *path, struct bytes text)
{
    FILE *file = fopen(path, "we");
    bool written = file != NULL && fwrite(text.data, 1, text.size, file) == text.size;
    int error = errno;
    if (file != NULL && fclose(file) != 0) {
        error = written ? errno : error; /* the first failure tells */
        written = false;
    }
    if (!written) {
        cli_say("cannot write %s: %s", path, strerror(error));
    }
    return written ? CLI_DONE : CLI_FAILED;
}

int verify_report(struct verify *verify)
{
    const struct verify *v = verify;
    struct verify_sums sums = verify_sum(v);
    sum_unresolved(v, &sums);
    struct buf text = {0};
    struct config_text to = config_text_to(&text);
    add_account(&to, v, &sums);
    cli_tell(buf_bytes(&text));
    int status = to.rc == RC_OK ? CLI_DONE : cli_fail(to.rc);
    if (v->options->json != NULL && status == CLI_DONE) {
        buf_clear(&text);
        add_json(&to, v, &sums);
        status = to.rc != RC_OK ? cli_fail(to.rc)
                 : strcmp(v->options->json, "-") == 0
                     ? cli_print(buf_bytes(&text))
                     : write_file(v->options->json, buf_bytes(&text));
    }
    buf_deinit(&text);
    const bool whole =
        v->end == VERIFY_END_WHOLE || (v->end == VERIFY_END_STOPPED && v->began_ns != 0);
    return whole && v->violations.total == 0 ? status : CLI_FAILED;
}
