/* What a partition's log needs beside commits, done by the keeper one chore at a time: sealing full
 * segments, writing the next one ahead, checkpoints, retention; and the way back from a full disk.
 */
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "core/command.h"
#include "server/host_private.h"
#include "server/logger.h"

#define SLICE_ROWS_MAX 1024u /* of tune.slice_rows: 16 KiB of stack */

static void chore_done(struct job *job);

static void chore_run(struct job *job)
{
    struct host *host = CONTAINER_OF(job, struct host, chore_job);
    file_log_chore_do(host->log, &host->chore);
}

static void chore_submit(struct host *host)
{
    ASSERT(!host->chore_out);
    host->chore_out = true;
    host->chore_job = (struct job){.run = chore_run, .done = chore_done};
    worker_submit(&host->server->keeper, host->reactor->index, &host->chore_job);
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

/* The state now is that of the segment's beginning: from here on it is encoded, a slice a turn.
 * While one is under way no other is begun, or under a fast log none would ever be whole; nor while
 * as many bytes wait to be written as may. */
void host_batch_begin(struct host *host, const struct log_batch *batch)
{
    uint64_t segment;
    uint64_t last_bytes;
    const uint64_t last = checkpoints_last(&host->checkpoints, &last_bytes);
    if (partition_capturing(host->partition) || checkpoints_full(&host->checkpoints) ||
        !file_log_checkpoint_due(host->log, batch, last, last_bytes, &segment)) {
        return;
    }
    if (partition_capture_begin(host->partition) == RC_OK) {
        host->capture_segment = segment;
        host->capture_pos = batch->first_pos;
    }
}

static bool capture_slice(struct host *host)
{
    if (!partition_capturing(host->partition)) {
        return false;
    }
    struct checkpoint_waiting waiting = {.segment = host->capture_segment,
                                         .pos = host->capture_pos};
    if (partition_capture_step(host->partition, tune.slice_bytes, &waiting.state) == RC_OK) {
        checkpoints_add(&host->checkpoints, &waiting);
        host_upkeep_run(host);
    }
    return true;
}

/* ---- retention ------------------------------------------------------------------------------- */

static void survey_end(struct host *host, enum upkeep_state next)
{
    mem_free(host->survey);
    host->survey = NULL;
    host->survey_count = 0;
    host->upkeep = next;
}

/* The first message that a channel keeps, if what was surveyed goes up to `end_seq`. A bound on
 * messages alone takes what is over it, and nothing else. */
static uint64_t survey_earliest(const struct host *host, const struct channel *channel,
                                uint64_t end_seq)
{
    const uint64_t keep = host->server->config->retention_messages;
    if (host->survey_may_trim) {
        return end_seq;
    }
    ASSERT(keep > 0);
    return channel->latest > keep ? channel->latest - keep + 1 : 1;
}

/* The entries to trim among the next ones of the survey: those of channels that still have messages
 * in what was surveyed. False: one of them must keep some. */
static bool survey_look(struct host *host, struct command_trim_entry *to, size_t *ret_count)
{
    size_t count = 0;
    for (unsigned i = 0; i < tune.slice_rows && host->survey_at < host->survey_count; i++) {
        const struct log_survey_entry *entry = &host->survey[host->survey_at++];
        const struct channel *channel = partition_channel_by_id(host->partition, entry->channel_id);
        if (channel == NULL || channel->earliest >= entry->end_seq) {
            continue;
        }
        const uint64_t earliest = survey_earliest(host, channel, entry->end_seq);
        if (earliest < entry->end_seq) {
            return false;
        }
        to[count++] = (struct command_trim_entry){
            .channel_id = entry->channel_id,
            .earliest = earliest,
        };
    }
    *ret_count = count;
    return true;
}

/* Trims what a survey has found, or sees that all of it is trimmed: a slice a turn, and a trim only
 * when the one before it is applied, so that none keeps the reactor from its other work. */
static bool survey_slice(struct host *host)
{
    if (host->upkeep != UPKEEP_JUDGING ||
        (host->trim_pos != 0 && partition_applied_pos(host->partition) <= host->trim_pos)) {
        return false;
    }
    struct command_trim_entry entries[SLICE_ROWS_MAX];
    ASSERT(tune.slice_rows <= SLICE_ROWS_MAX);
    size_t count = 0;
    const bool may_go = survey_look(host, entries, &count);
    MARK_IF(!may_go, "retention: old segments hold messages that must be kept");
    MARK_IF(count > 0 && !host->survey_may_trim, "retention: an idle channel is over its number");
    if (!may_go ||
        (count > 0 && partition_trim(host->partition, entries, count, host->reactor->wall_ms,
                                     &host->trim_pos) != RC_OK)) {
        survey_end(host, UPKEEP_NONE); /* a later survey begins anew */
        return true;
    }
    if (count > 0) {
        MARK("retention: a trim is appended");
        partition_flush(host->partition);
    }
    if (host->survey_at == host->survey_count) {
        MARK_IF(host->trim_pos == 0, "retention: all in the old segments is trimmed");
        survey_end(host, UPKEEP_TRIMMING);
        host_upkeep_run(host);
    }
    return true;
}

static void survey_done(struct host *host, struct log_chore *survey)
{
    host->upkeep = UPKEEP_NONE;
    if (survey->rc != RC_OK) {
        return;
    }
    host->trim_segment = survey->segment;
    host->trim_pos = 0;
    host->survey = survey->entries;
    host->survey_count = survey->entry_count;
    host->survey_at = 0;
    survey->entries = NULL;
    survey->entry_count = 0;
    host->upkeep = UPKEEP_JUDGING;
}

bool host_slice(struct host *host)
{
    return capture_slice(host) || survey_slice(host);
}

static void survey_begin(struct host *host, uint64_t segment, bool may_trim)
{
    host->upkeep = UPKEEP_SURVEY;
    host->survey_may_trim = may_trim;
    host->chore =
        (struct log_chore){.kind = LOG_CHORE_SURVEY, .segment = segment, .will_trim = may_trim};
    chore_submit(host);
}

/* Up to where segments may be all over the bound on messages: to find how far that is, a growing
 * part of the log is tried, an eighth more each time. On a full disk the first will do. */
static uint64_t candidate_by_number(struct host *host)
{
    if (partition_full(host->partition)) {
        return file_log_retention_candidate(host->log, 1, 0, true);
    }
    struct file_log_stats stats;
    file_log_stats(host->log, &stats);
    host->survey_eighths = host->survey_eighths % 7 + 1;
    return file_log_retention_candidate(
        host->log, stats.bytes - stats.bytes / 8 * host->survey_eighths + 1, 0, false);
}

/* Old segments go by age and bytes; by number, when none in them is to be kept. */
static void retention_run(struct host *host)
{
    const struct config *config = host->server->config;
    if (host->upkeep != UPKEEP_NONE || host->chore_out || partition_stopped(host->partition)) {
        return;
    }
    const uint64_t bytes_max =
        config->retention_bytes == 0 ? 0 : config->retention_bytes / host->server->partitions + 1;
    const uint64_t now = host->reactor->wall_ms;
    const uint64_t oldest = config->retention_age_ms == 0 || config->retention_age_ms > now
                                ? 0
                                : now - config->retention_age_ms;
    uint64_t segment = 0;
    if (bytes_max > 0 || oldest > 0) {
        segment = file_log_retention_candidate(host->log, bytes_max, oldest,
                                               partition_full(host->partition));
    }
    if (segment > 0) {
        MARK("retention: by bytes or age");
        survey_begin(host, segment, true);
        return;
    }
    if (config->retention_messages > 0) {
        segment = candidate_by_number(host);
        if (segment > 0) {
            MARK("retention: by number, are old segments empty?");
            survey_begin(host, segment, false);
        }
    }
}

/* ---- the keeper ------------------------------------------------------------------------------ */

static void chore_failed(const struct host *host, const struct log_chore *chore)
{
    static const char *const names[] = {"seal", "prepare", "checkpoint", "survey", "remove"};
    log_event(LEVEL_WARN, "upkeep of the log failed", FIELD_U64("partition", host->number),
              FIELD_TEXT("chore", names[chore->kind]), FIELD_U64("segment", chore->segment),
              FIELD_TEXT("reason", rc_text(chore->rc)));
}

static void chore_done(struct job *job)
{
    struct host *host = CONTAINER_OF(job, struct host, chore_job);
    struct log_chore *chore = &host->chore;
    host->chore_out = false;
    if (chore->rc != RC_OK) {
        MARK("keeper: a chore fails");
        chore_failed(host, chore);
        host->chore_wait = true; /* until the next tick: the disk may be full */
    }
    if (chore->kind == LOG_CHORE_SURVEY) {
        survey_done(host, chore);
    } else if (chore->kind == LOG_CHORE_REMOVE) {
        host->upkeep = UPKEEP_NONE;
        if (chore->rc == RC_OK) {
            log_event(LEVEL_INFO, "old segments removed", FIELD_U64("partition", host->number),
                      FIELD_U64("below", chore->segment));
        }
    }
    const bool gives_room =
        chore->rc == RC_OK && (chore->kind == LOG_CHORE_REMOVE || chore->kind == LOG_CHORE_PREPARE);
    file_log_chore_end(host->log, chore);
    if (gives_room) {
        host->chore_wait = false;
        host_reopen_try(host);
        if (partition_full(host->partition)) {
            retention_run(host); /* a segment at a time, until there is room */
        }
    }
    host_upkeep_run(host);
}

static bool removal_ready(const struct host *host)
{
    return host->upkeep == UPKEEP_TRIMMING &&
           (host->trim_pos == 0 || partition_applied_pos(host->partition) > host->trim_pos);
}

static void checkpoint_submit(struct host *host)
{
    const struct checkpoint_waiting waiting = checkpoints_take(&host->checkpoints);
    host->chore = (struct log_chore){
        .kind = LOG_CHORE_CHECKPOINT,
        .segment = waiting.segment,
        .state_pos = waiting.pos,
        .state = waiting.state,
    };
    chore_submit(host);
}

/* A checkpoint says that everything below it can be found by index. Once that is so it goes before
 * the seals behind it, of which there may always be more; but the next segment goes before it, for
 * that is what a commit may have to wait for. */
void host_upkeep_run(struct host *host)
{
    if (host->chore_out || host->chore_wait) {
        return;
    }
    const uint64_t checkpoint = checkpoints_first(&host->checkpoints);
    const uint64_t unsealed = file_log_unsealed(host->log);
    if (removal_ready(host)) {
        /* First what gives room back: on a full disk all else fails, again and again. */
        host->chore = (struct log_chore){.kind = LOG_CHORE_REMOVE, .segment = host->trim_segment};
        chore_submit(host);
    } else if (checkpoint > 0 && checkpoint <= unsealed) {
        MARK("keeper: a checkpoint goes before the seals behind it");
        checkpoint_submit(host);
    } else if (file_log_chore_next(host->log, !partition_full(host->partition), &host->chore)) {
        /* Where there is no room for a next segment, what there is belongs to trims. */
        chore_submit(host);
    } else if (checkpoint > 0 && unsealed == 0) {
        checkpoint_submit(host);
    }
}

/* ---- the way back ---------------------------------------------------------------------------- */

static void reopen_run(struct job *job)
{
    struct host *host = CONTAINER_OF(job, struct host, reopen_job);
    host->reopen_rc = file_log_reopen(host->log, partition_applied_pos(host->partition),
                                      partition_applied_hash(host->partition));
}

/* The log takes what comes again; if it is full, only what retention has to say. */
static void reopened(struct host *host, bool full)
{
    const bool was_stopped = partition_stopped(host->partition);
    if (was_stopped) {
        file_log_reopened(host->log);
    }
    partition_resume(host->partition, full);
    if (was_stopped && (host->upkeep == UPKEEP_JUDGING ||
                        (host->upkeep == UPKEEP_TRIMMING && !removal_ready(host)))) {
        MARK("retention: a trim is lost with its batch");
        survey_end(host, UPKEEP_NONE); /* its trims may be among what was lost */
    }
    if (was_stopped && host->losses_due) {
        host_doubt_losses(host); /* also where it is full: what is idle then counts as told */
    }
    if (full) {
        MARK("host: accepts trims again");
        return;
    }
    MARK("host: accepts commands again");
    host->failed = false;
    stats_flag_set(&host->server->ready[host->number], true);
    log_event(LEVEL_INFO, "log accepts commands again", FIELD_U64("partition", host->number));
}

static void reopen_done(struct job *job)
{
    struct host *host = CONTAINER_OF(job, struct host, reopen_job);
    host->reopen_out = false;
    if (host->reopen_rc == RC_OK || host->reopen_rc == RC_FULL) {
        reopened(host, host->reopen_rc == RC_FULL);
    } else if (host->reopen_rc != RC_NOSPACE && host->reopen_rc != RC_NOMEM) {
        MARK("host: a reopen fails for good");
        host->reopen_useless = true;
        log_event(LEVEL_ERROR, "log stays closed until the server is restarted",
                  FIELD_U64("partition", host->number),
                  FIELD_TEXT("reason", rc_text(host->reopen_rc)));
    }
}

/* The partition stands still meanwhile, so the committer may read its position; one that is full
 * does until a commit that waits behind this in the same queue. */
void host_reopen_try(struct host *host)
{
    const bool wanted = partition_stopped(host->partition) || partition_full(host->partition);
    if (!wanted || host->reopen_useless || host->reopen_out || host->commit_out) {
        return;
    }
    host->reopen_out = true;
    file_log_reopen_begin(host->log);
    host->reopen_job = (struct job){.run = reopen_run, .done = reopen_done};
    worker_submit(&host->server->committers[host->reactor->index], 0, &host->reopen_job);
}

void host_tick(struct host *host)
{
    host->chore_wait = false;
    host_reopen_try(host);
    retention_run(host); /* before the upkeep, for the same reason as there */
    host_upkeep_run(host);
    host_waiting_run(host);
}
