#include "log/file_log.h"

#include "base/mem.h"
#include "log/checkpoint.h"
#include "log/internal.h"

/* ---- open and close ------------------------------------------------------------------------ */

/* A log that is open has a segment that is not sealed, the newest, and holds what the owner's reads
 * need. */
static void owner_check(const struct file_log *log)
{
    ASSERT_HOT(log->owner.count > 0);
    ASSERT_HOT(log->owner.count <= log->owner.capacity);
    ASSERT_HOT(log->owner.recovering || log->owner.snapshot != NULL);
    ASSERT_HOT(log->owner.recovering || log->owner.snapshot->refs > 0);
    ASSERT_HOT(log->owner.recovering || log->owner.segments[log->owner.count - 1].summary == NULL);
}

enum rc file_log_open(const struct storage *storage, const struct file_log_options *options,
                      struct file_log **ret_log)
{
    ASSERT(ret_log != NULL);
    ASSERT(options->on_record != NULL);
    ASSERT(options->segment_bytes >= SEGMENT_BYTES_MIN);
    ASSERT(strlen(options->folder) <= LOG_FOLDER_BYTES_MAX);
    ASSERT(strlen(options->folder) > 0);
    struct file_log *log = mem_calloc(1, sizeof(*log));
    if (log == NULL) {
        return RC_NOMEM;
    }
    log->storage = *storage;
    bytes_copy(log->folder, options->folder, strlen(options->folder));
    log->partition = options->partition;
    log->incarnation = options->incarnation;
    log->segment_bytes = options->segment_bytes;
    log->on_sync_failed = options->on_sync_failed;
    log->ctx = options->ctx;

    if (options->on_log != NULL) {
        options->on_log(options->ctx, log);
    }
    const enum rc rc = log_recover(log, options);
    if (rc != RC_OK) {
        file_log_close(log);
        return rc;
    }
    ASSERT(!log->owner.recovering);
    ASSERT(log->committer.state == COMMITTER_OPEN);
    ASSERT(log->committer.next_pos == log->recovered_pos);
    ASSERT(log->committer.next_hash == log->recovered_hash);
    owner_check(log);
    *ret_log = log;
    return RC_OK;
}

void file_log_close(struct file_log *log)
{
    if (log == NULL) {
        return;
    }
    reader_deinit(log);
    files_close(&log->storage, log->committer.file);
    catalogue_deinit(log);
    buf_deinit(&log->losses);
    mem_free(log);
}

enum rc log_sync_segment(const struct file_log *log, struct storage_file *file)
{
    ASSERT(file != NULL);
    const enum rc rc = files_sync(&log->storage, file);
    if (rc != RC_OK && log->on_sync_failed != NULL) {
        log->on_sync_failed(log->ctx);
    }
    return rc;
}

uint64_t file_log_next_pos(const struct file_log *log)
{
    ASSERT(!log->owner.recovering);
    return log->recovered_pos;
}

uint64_t file_log_next_hash(const struct file_log *log)
{
    ASSERT(!log->owner.recovering);
    return log->recovered_hash;
}

void file_log_repaired_losses(const struct file_log *log, const struct log_loss **ret_entries,
                              size_t *ret_count)
{
    ASSERT(log->losses.size % sizeof(struct log_loss) == 0);
    ASSERT(ret_entries != NULL);
    ASSERT(ret_count != NULL);
    *ret_entries = (const struct log_loss *)(const void *)log->losses.data;
    *ret_count = log->losses.size / sizeof(**ret_entries);
}

/* ---- owner --------------------------------------------------------------------------------- */

enum rc file_log_commit_reserve(struct file_log *log)
{
    owner_check(log);
    ASSERT_HOT(!log->owner.recovering);
    log->committer.prepared = log->owner.prepared; /* the committer has nothing to do */
    log->committer.preparing = log->owner.preparing;
    return catalogue_reserve(log);
}

/* The newest segment is `number` from now on: the committer has rolled. */
static void note_roll(struct file_log *log, uint64_t number)
{
    ASSERT_HOT(number > 0);
    const struct segment *newest = catalogue_newest(log);
    if (number == newest->number) {
        return;
    }
    ASSERT(number > newest->number);
    catalogue_push(log, number, newest->end_pos, newest->end_hash);
    ASSERT(catalogue_newest(log)->number == number);
}

enum rc file_log_index_add(struct file_log *log, struct log_place place, uint64_t channel_id,
                           uint64_t first_seq, uint32_t count, uint64_t time_ms, uint64_t digest)
{
    ASSERT_HOT(place.segment > 0);
    ASSERT_HOT(place.at >= SEGMENT_HEADER_SIZE);
    owner_check(log);
    ASSERT(count > 0);
    note_roll(log, place.segment);
    struct segment *segment = catalogue_newest(log);
    if (segment->summary != NULL) { /* replayed, and indexed on disk already */
        ASSERT(log->owner.recovering);
        return RC_OK;
    }
    if (segment->index == NULL) {
        const enum rc rc = segment_index_open(&segment->index);
        if (rc != RC_OK) {
            return rc;
        }
    }
    const struct index_entry entry = {
        .first_seq = first_seq,
        .time_ms = time_ms,
        .digest = digest,
        .at = place.at,
        .count = count,
        .crc = place.crc,
    };
    ASSERT_HOT(segment->number == place.segment);
    ASSERT_HOT(!segment->unindexed);
    return segment_index_add(segment->index, channel_id, &entry);
}

/* The oldest segment that is full and not sealed; NULL if there is none. */
static struct segment *oldest_to_seal(const struct file_log *log)
{
    for (size_t i = 0; i + 1 < log->owner.count; i++) {
        struct segment *segment = &log->owner.segments[i];
        if (segment->summary == NULL && !segment->unindexed) {
            return segment;
        }
    }
    return NULL;
}

uint64_t file_log_unsealed(const struct file_log *log)
{
    owner_check(log);
    const struct segment *segment = oldest_to_seal(log);
    return segment == NULL ? 0 : segment->number;
}

bool file_log_committed(struct file_log *log, const struct log_batch *batch)
{
    ASSERT_HOT(batch->end_pos > batch->first_pos);
    ASSERT_HOT(batch->place.at >= SEGMENT_HEADER_SIZE);
    owner_check(log);
    ASSERT(batch->place.segment > 0);
    log->owner.chore_rest = false;
    note_roll(log, batch->place.segment);
    struct segment *newest = catalogue_newest(log);
    ASSERT_HOT(newest->number == batch->place.segment);
    ASSERT(newest->end_pos == batch->first_pos);
    newest->end_pos = batch->end_pos;
    newest->end_hash = batch->end_hash;
    newest->end_at = (uint64_t)batch->place.at + batch->bytes.size;
    ASSERT_HOT(newest->end_at > SEGMENT_HEADER_SIZE);
    ASSERT_HOT(newest->end_at % 8 == 0);
    if (newest->bytes < newest->end_at) {
        newest->bytes = newest->end_at; /* larger than a segment, for one batch */
    }
    return oldest_to_seal(log) != NULL;
}

void file_log_reopen_begin(struct file_log *log)
{
    owner_check(log);
    ASSERT(!log->owner.recovering);
    log->committer.prepared_at_reopen = log->owner.prepared;
}

void file_log_reopened(struct file_log *log)
{
    owner_check(log);
    const uint64_t end_pos = log->committer.next_pos;
    ASSERT(log->committer.state == COMMITTER_OPEN || log->committer.state == COMMITTER_FULL);
    ASSERT(end_pos >= catalogue_newest(log)->end_pos);
    note_roll(log, log->committer.number);
    struct segment *newest = catalogue_newest(log);
    if (newest->end_pos < end_pos) {
        newest->end_pos = end_pos;
        newest->end_hash = log->committer.next_hash;
        newest->end_at = log->committer.at;
    }
}

bool file_log_checkpoint_due(const struct file_log *log, const struct log_batch *batch,
                             uint64_t waiting, uint64_t waiting_bytes, uint64_t *ret_segment)
{
    ASSERT((waiting == 0) == (waiting_bytes == 0));
    ASSERT_HOT(log->owner.count > 0);
    ASSERT_HOT(batch->place.segment > 0);
    ASSERT_HOT(ret_segment != NULL);
    const struct segment *segments = log->owner.segments;
    const size_t count = log->owner.count;
    if (batch->place.segment == segments[count - 1].number) {
        return false; /* no roll */
    }
    ASSERT(batch->place.at == SEGMENT_HEADER_SIZE);
    uint64_t logged = 0;
    uint64_t last_bytes = 0;
    for (size_t i = count; i-- > 0 && last_bytes == 0;) {
        logged += segments[i].end_at;
        last_bytes = segments[i].number == waiting ? waiting_bytes : segments[i].checkpoint_bytes;
    }
    const uint64_t wanted =
        last_bytes * 4 > log->segment_bytes ? last_bytes * 4 : log->segment_bytes;
    /* A full segment rarely holds segment_bytes to the last: the roll itself says that it is full.
     */
    if (logged + log->segment_bytes / 2 <= wanted) {
        return false;
    }
    ASSERT(batch->place.segment > segments[count - 1].number);
    *ret_segment = batch->place.segment;
    return true;
}

void file_log_stats(const struct file_log *log, struct file_log_stats *ret_stats)
{
    owner_check(log);
    ASSERT(ret_stats != NULL);
    const struct segment *first = &log->owner.segments[0];
    struct file_log_stats stats = {
        .segment_count = log->owner.count,
        .first_pos = first->first_pos,
        .first_segment_last_ms = first->summary == NULL ? 0 : first->summary->head.last_ms,
    };
    for (size_t i = log->owner.count; i-- > 0;) {
        const struct segment *segment = &log->owner.segments[i];
        stats.bytes += segment->bytes;
    }
    ASSERT(stats.segment_count > 0);
    *ret_stats = stats;
}

uint64_t file_log_retention_candidate(const struct file_log *log, uint64_t bytes_max,
                                      uint64_t oldest_ms, bool first)
{
    owner_check(log);
    uint64_t bytes = 0;
    for (size_t i = 0; i < log->owner.count; i++) {
        bytes += log->owner.segments[i].bytes;
    }
    uint64_t candidate = 0;
    for (size_t i = 0; i + 1 < log->owner.count && !(first && candidate > 0); i++) {
        const struct segment *segment = &log->owner.segments[i];
        ASSERT(segment->summary == NULL || segment->summary->head.number == segment->number);
        if (segment->summary == NULL && !segment->unindexed) {
            break;
        }
        const uint64_t last_ms = segment->unindexed ? 0 : segment->summary->head.last_ms;
        const bool over_bytes = bytes_max > 0 && bytes > bytes_max;
        const bool over_age = oldest_ms > 0 && last_ms < oldest_ms;
        if (!over_bytes && !over_age) {
            break;
        }
        ASSERT(bytes >= segment->bytes);
        bytes -= segment->bytes; /* this one may go */
        if (segment[1].checkpoint_bytes > 0) {
            candidate = segment[1].number;
        }
    }
    ASSERT(candidate == 0 || candidate > log->owner.segments[0].number);
    return candidate;
}

/* ---- chores, the owner's side -------------------------------------------------------------- */

bool file_log_chore_next(struct file_log *log, bool prepare, struct log_chore *ret_chore)
{
    ASSERT(ret_chore != NULL);
    owner_check(log);
    if (log->owner.chore_busy || log->owner.chore_rest) {
        return false;
    }
    struct log_chore chore = {.rc = RC_OK};
    struct segment *full = oldest_to_seal(log);
    const uint64_t next = catalogue_newest(log)->number + 1;
    if (full != NULL) {
        struct seal *seal = mem_alloc(sizeof(*seal));
        if (seal == NULL) {
            return false; /* comes again */
        }
        *seal = (struct seal){
            .index = full->index,
            .head =
                {
                    .partition = log->partition,
                    .incarnation = log->incarnation,
                    .number = full->number,
                    .first_pos = full->first_pos,
                    .end_pos = full->end_pos,
                    .end_hash = full->end_hash,
                    .end_at = full->end_at,
                },
        };
        chore.kind = LOG_CHORE_SEAL;
        chore.segment = full->number;
        chore.private_ = seal;
    } else if (prepare && log->owner.prepared < next) {
        chore.kind = LOG_CHORE_PREPARE;
        chore.segment = next;
        log->owner.preparing = next;
    } else {
        return false;
    }
    ASSERT(chore.segment > 0);
    ASSERT((chore.kind == LOG_CHORE_SEAL) == (chore.private_ != NULL));
    log->owner.chore_busy = true;
    *ret_chore = chore;
    return true;
}

static void seal_end(struct file_log *log, struct log_chore *chore)
{
    ASSERT(chore->kind == LOG_CHORE_SEAL);
    ASSERT(chore->private_ != NULL);
    ASSERT(log->owner.chore_busy);
    struct seal *seal = chore->private_;
    struct segment *segment = catalogue_find(log, chore->segment);
    if (chore->rc == RC_OK && segment != NULL) {
        ASSERT(segment->summary == NULL);
        ASSERT(seal->summary != NULL);
        segment->summary = seal->summary;
        segment->summary->refs = 1;
        ASSERT(segment->summary->head.number == segment->number);
        if (catalogue_snapshot(log) == RC_OK) {
            segment_index_close(segment->index);
            segment->index = NULL;
            segment->bytes += segment->summary->file_size;
        } else { /* it stays readable from memory, and is sealed again later */
            index_summary_close(segment->summary);
            segment->summary = NULL;
            chore->rc = RC_NOMEM;
        }
    } else {
        index_summary_close(seal->summary);
    }
    mem_free(seal);
}

/* One that is not whole counts for nothing: the log goes on in front of it. NULL is allowed. */
static void checkpoint_forget(struct segment *segment)
{
    if (segment != NULL) {
        ASSERT(segment->bytes >= segment->checkpoint_bytes);
        segment->bytes -= segment->checkpoint_bytes;
        segment->checkpoint_bytes = 0;
    }
}

void file_log_chore_end(struct file_log *log, struct log_chore *chore)
{
    struct segment *segment = NULL;
    switch (chore->kind) {
    case LOG_CHORE_SEAL:
        seal_end(log, chore);
        log->owner.chore_busy = false;
        log->owner.chore_rest = chore->rc != RC_OK;
        break;
    case LOG_CHORE_PREPARE:
        if (chore->rc == RC_OK) {
            ASSERT(chore->segment > log->owner.prepared);
            log->owner.prepared = chore->segment;
        }
        log->owner.preparing = 0;
        log->owner.chore_busy = false;
        log->owner.chore_rest = chore->rc != RC_OK;
        break;
    case LOG_CHORE_CHECKPOINT:
        segment = catalogue_find(log, chore->segment);
        if (chore->rc == RC_OK && segment != NULL) {
            ASSERT(segment->bytes >= segment->checkpoint_bytes);
            segment->bytes -= segment->checkpoint_bytes;
            segment->checkpoint_bytes = CHECKPOINT_HEADER_SIZE + chore->state_size;
            segment->bytes += segment->checkpoint_bytes;
        }
        break;
    case LOG_CHORE_SURVEY: break;
    case LOG_CHORE_REMOVE:
        if (chore->rc == RC_OK) {
            catalogue_remove_below(log, chore->segment);
            log->owner.snapshot_stale = true;
        } else if (chore->rc == RC_CORRUPT) {
            checkpoint_forget(catalogue_find(log, chore->segment));
        }
        break;
    }
    if (log->owner.snapshot_stale && catalogue_snapshot(log) != RC_OK) {
        log->owner.snapshot_stale = true; /* the old one only makes reads look in vain */
    }
    pieces_deinit(&chore->state);
    mem_free(chore->entries);
    ASSERT(chore->kind == LOG_CHORE_SURVEY || chore->entry_count == 0);
    owner_check(log);
    *chore = (struct log_chore){.rc = chore->rc};
}
