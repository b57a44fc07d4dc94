/* Start-up of a log: what is on disk, what of it counts, and where to go on.
 *
 * Happy path: the folder is listed and every segment's header read; the newest whole checkpoint
 * gives the state at the first position of its segment; the records from there on are replayed; the
 * log ends in zeros, and the committer goes on there. Segments below the checkpoint are not read:
 * their index files say where messages are, so start-up does not grow with history.
 *
 * What can be wrong, and what we do:
 *
 *   temporary and prepared files        removed (listing.c)
 *   a repair or a removal cut off       ended (listing.c)
 *   a checkpoint that is not whole      reported; the one before it is taken
 *   an index file that is missing or    reported; replay begins at the checkpoint at or before its
 *   not whole, below the checkpoint     segment instead, which builds the index again
 *   a checkpoint that the replay        reported; the log decides
 *   comes to, of another state
 *   an index file above the checkpoint  nothing: the replay builds it; also where a hole has been
 *                                       made, for what is behind it has other seqs now
 *   a segment of another incarnation    refused: it is another data directory's, or another
 *   or partition, or format version     release's
 *   everything in a segment's bytes     the decision table in walk.c
 *
 * With `repair` all segments are read first, and all damage in them cut out (repair.c).
 *
 * A crash in here is harmless: each change is one that the next start would make again. */
#include "base/mark.h"
#include "base/mem.h"
#include "log/checkpoint.h"
#include "log/internal.h"
#include "log/walk.h"

struct recovery {
    struct file_log *log;
    const struct file_log_options *options;
    struct listing listing;
    size_t start; /* the item that replay begins at */
    uint64_t pos;
    uint64_t hash;
    bool has_state;
    struct buf state;
    bool unsealed;    /* the replay has met a segment without an index that can be used */
    bool holed;       /* … or a hole: what is behind it has other seqs than it had */
    uint64_t last_at; /* the last record in the newest segment: for the committer's reopen */
    uint64_t last_pos;
    uint64_t last_hash;
    uint64_t batch_at; /* where the last batch in the newest segment begins */
};

void log_report(const struct file_log_options *options, const struct log_damage *damage)
{
    ASSERT(damage->file != NULL);
    ASSERT(damage->what != NULL);
    if (options->on_damage != NULL) {
        options->on_damage(options->ctx, damage);
    }
}

/* Where the replay stands within the list of segments. */
static void recovery_check(const struct recovery *r)
{
    ASSERT_HOT(r->log->owner.recovering);
    ASSERT_HOT(r->listing.count > 0);
    ASSERT_HOT(r->start < r->listing.count);
    ASSERT_HOT(r->last_at == 0 || r->last_at >= SEGMENT_HEADER_SIZE);
    ASSERT_HOT(r->last_at == 0 || r->batch_at <= r->last_at);
}

static void report_file(const struct recovery *r, uint64_t number, const char *suffix,
                        const char *what)
{
    ASSERT(number > 0);
    const struct log_name name = log_name_of(r->log->folder, number, suffix);
    const struct log_damage damage = {.file = name.text, .what = what};
    log_report(r->options, &damage);
}

/* Of a file that cannot be used: it may be another release's. */
static enum rc report_unusable(const struct recovery *r, uint64_t number, const char *suffix,
                               const char *what)
{
    bool differs;
    const enum rc rc =
        files_version_differs(&r->log->storage, r->log->folder, number, suffix, &differs);
    if (rc == RC_OK) {
        report_file(r, number, suffix, differs ? "format version of another release" : what);
    }
    return rc;
}

/* ---- a log that is not there yet ----------------------------------------------------------- */

enum rc segment_write_ahead(const struct file_log *log, const char *name,
                            const struct segment_header *header)
{
    ASSERT(log->segment_bytes >= SEGMENT_BYTES_MIN);
    ASSERT(header == NULL || header->size_ahead == log->segment_bytes);
    struct storage_file *file;
    enum rc rc = files_create_anew(&log->storage, name, &file);
    if (rc != RC_OK) {
        return rc;
    }
    uint8_t bytes[SEGMENT_HEADER_SIZE] = {0};
    if (header != NULL) {
        segment_header_encode(header, bytes);
    }
    rc = files_write(&log->storage, file, bytes_of(bytes, sizeof(bytes)), 0);
    if (rc == RC_OK) {
        rc = files_fill_zero(&log->storage, file, SEGMENT_HEADER_SIZE, log->segment_bytes);
    }
    if (rc == RC_OK) {
        rc = files_sync(&log->storage, file);
    }
    files_close(&log->storage, file);
    return rc;
}

static enum rc create_first(struct recovery *r)
{
    ASSERT(r->listing.count == 0);
    const struct file_log *log = r->log;
    const struct segment_header header = {
        .partition = log->partition,
        .incarnation = log->incarnation,
        .number = 1,
        .prev_hash = log->incarnation,
        .size_ahead = log->segment_bytes,
    };
    const struct log_name temporary = log_name_of(log->folder, 1, ".seg.tmp");
    const struct log_name name = log_name_of(log->folder, 1, ".seg");
    enum rc rc = segment_write_ahead(log, temporary.text, &header);
    if (rc == RC_OK) {
        rc = files_rename(&log->storage, temporary.text, name.text);
    }
    if (rc == RC_OK) {
        rc = files_sync_dir(&log->storage, log->folder);
    }
    if (rc != RC_OK) {
        return rc;
    }
    listing_deinit(&r->listing);
    rc = listing_read(&log->storage, log->folder, &r->listing);
    return rc;
}

/* The folder, and its name in the folder above. */
static enum rc make_folder(const struct file_log *log)
{
    ASSERT(log->folder[0] != '\0');
    const struct storage *storage = &log->storage;
    enum rc rc = storage->ops->make_dir(storage->ctx, log->folder);
    if (rc != RC_OK) {
        return rc;
    }
    char parent[LOG_FOLDER_BYTES_MAX + 1] = "";
    size_t slash = strlen(log->folder);
    while (slash > 0 && log->folder[slash] != '/') {
        slash--;
    }
    ASSERT(slash < sizeof(parent));
    ASSERT(slash == 0 || log->folder[slash] == '/');
    bytes_copy(parent, log->folder, slash);
    return files_sync_dir(storage, parent);
}

static enum rc take_stock(struct recovery *r)
{
    ASSERT(r->listing.count == 0);
    const struct file_log *log = r->log;
    enum rc rc = make_folder(log);
    if (rc == RC_OK) {
        rc = listing_read(&log->storage, log->folder, &r->listing);
    }
    if (rc == RC_OK) {
        rc = listing_tidy(&log->storage, log->folder, &r->listing);
        if (rc == RC_CORRUPT) {
            report_file(r, 1, ".seg", "no segment is left");
        }
    }
    if (rc == RC_OK && r->listing.count == 0) {
        MARK("recovery: the first segment is made");
        rc = create_first(r);
    }
    return rc == RC_OK ? listing_open_headers(&log->storage, log->folder, &r->listing) : rc;
}

/* A segment of another release is no torn one. */
static enum rc refuse_version(const struct recovery *r)
{
    for (size_t i = 0; i < r->listing.count; i++) {
        const struct found_segment *found = &r->listing.items[i];
        bool differs = false;
        enum rc rc = RC_OK;
        if (!found->header_whole) {
            rc = files_version_differs(&r->log->storage, r->log->folder, found->number, ".seg",
                                       &differs);
        }
        if (rc == RC_OK && differs) {
            report_file(r, found->number, ".seg", "format version of another release");
            rc = RC_CORRUPT;
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

/* Files of another data directory, or another partition: copied here by mistake. Repair does not
 * touch them either. */
static enum rc refuse_foreign(const struct recovery *r)
{
    ASSERT(r->listing.count > 0);
    for (size_t i = 0; i < r->listing.count; i++) {
        const struct found_segment *found = &r->listing.items[i];
        if (!found->header_whole) {
            continue;
        }
        if (found->header.incarnation != r->log->incarnation) {
            report_file(r, found->number, ".seg", "incarnation");
            return RC_CORRUPT;
        }
        if (found->header.partition != r->log->partition) {
            report_file(r, found->number, ".seg", "partition");
            return RC_CORRUPT;
        }
    }
    return RC_OK;
}

/* ---- where to begin ------------------------------------------------------------------------ */

/* Reads the checkpoint of an item; r->state, pos and hash if it is whole and fits its segment. */
static enum rc try_checkpoint(struct recovery *r, size_t item, bool *ret_taken)
{
    ASSERT(item < r->listing.count);
    struct found_segment *found = &r->listing.items[item];
    *ret_taken = false;
    if (!found->has_checkpoint) {
        return RC_OK;
    }
    struct checkpoint checkpoint;
    buf_clear(&r->state);
    const enum rc rc =
        checkpoint_read(&r->log->storage, r->log->folder, found->number, &checkpoint, &r->state);
    if (rc == RC_CORRUPT) {
        MARK("recovery: a checkpoint is not whole");
        found->has_checkpoint = false;
        return report_unusable(r, found->number, ".ckp", "checkpoint");
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (checkpoint.incarnation != r->log->incarnation ||
        checkpoint.partition != r->log->partition ||
        (found->header_whole && (checkpoint.pos != found->header.first_pos ||
                                 checkpoint.hash != found->header.prev_hash))) {
        report_file(r, found->number, ".ckp", "checkpoint of another history");
        found->has_checkpoint = false;
        return RC_OK;
    }
    MARK("recovery: begins at a checkpoint");
    *ret_taken = true;
    r->start = item;
    r->pos = checkpoint.pos;
    r->hash = checkpoint.hash;
    r->has_state = true;
    ASSERT(r->start == item);
    ASSERT(checkpoint.segment == found->number);
    return RC_OK;
}

/* The newest place at or before `item` that a replay can begin at.
 * RC_CORRUPT  none */
static enum rc choose_start(struct recovery *r, size_t item)
{
    ASSERT(item < r->listing.count);
    for (size_t i = item + 1; i-- > 0;) {
        bool taken;
        const enum rc rc = try_checkpoint(r, i, &taken);
        if (rc != RC_OK || taken) {
            return rc;
        }
    }
    buf_clear(&r->state);
    const struct found_segment *first = &r->listing.items[0];
    const bool is_beginning =
        first->header_whole ? first->header.first_pos == 0 : first->number == 1;
    if (!is_beginning) {
        return RC_CORRUPT;
    }
    MARK("recovery: begins at the beginning");
    r->start = 0;
    r->pos = 0;
    r->hash = r->log->incarnation;
    r->has_state = false;
    recovery_check(r);
    return RC_OK;
}

/* All pages of an index file, which a start leaves to the reads. RC_CORRUPT: it is not whole */
static enum rc check_pages(const struct recovery *r, uint64_t number,
                           const struct index_summary *summary)
{
    ASSERT(summary->head.number == number);
    const struct log_name name = log_name_of(r->log->folder, number, ".idx");
    struct storage_file *file;
    enum rc rc = files_open(&r->log->storage, name.text, STORAGE_READ, &file);
    if (rc == RC_OK) {
        struct index_pages pages;
        index_pages_begin(&pages, &r->log->storage, file);
        rc = index_file_check(&pages, &summary->head);
        files_close(&r->log->storage, file);
    }
    return rc;
}

/* The summary of an item's index file; NULL if there is none that fits. `report` if that matters.
 */
static enum rc load_summary(struct recovery *r, size_t item, bool report,
                            struct index_summary **ret_summary)
{
    ASSERT(item < r->listing.count);
    *ret_summary = NULL;
    const struct found_segment *found = &r->listing.items[item];
    const struct found_segment *next = found + 1;
    struct index_summary *summary = NULL;
    enum rc rc = RC_NOT_FOUND;
    if (found->has_index) {
        rc = index_summary_open(&r->log->storage, r->log->folder, found->number, &summary);
    }
    if (rc == RC_OK) {
        ASSERT(summary->refs == 0);
        const struct index_head *head = &summary->head;
        const bool fits =
            item + 1 < r->listing.count && found->header_whole && next->header_whole &&
            head->incarnation == r->log->incarnation && head->partition == r->log->partition &&
            head->first_pos == found->header.first_pos && head->end_pos == next->header.first_pos &&
            head->end_hash == next->header.prev_hash;
        rc = !fits                ? RC_CORRUPT
             : r->options->repair ? check_pages(r, found->number, summary)
                                  : RC_OK;
        if (rc == RC_OK) {
            *ret_summary = summary;
            return RC_OK;
        }
        index_summary_close(summary);
    }
    if (report && (rc == RC_NOT_FOUND || rc == RC_CORRUPT)) {
        const enum rc told = report_unusable(
            r, found->number, ".idx", rc == RC_NOT_FOUND ? "index is missing" : "index is damaged");
        if (told != RC_OK) {
            return told;
        }
    }
    ASSERT(*ret_summary == NULL);
    return rc == RC_NOT_FOUND || rc == RC_CORRUPT ? RC_OK : rc;
}

/* Adds an item to the catalogue, sealed if there is a summary. */
static enum rc add_segment(struct recovery *r, size_t item, uint64_t pos, uint64_t hash,
                           struct index_summary *summary)
{
    ASSERT(item < r->listing.count);
    ASSERT(summary == NULL || summary->refs == 0);
    ASSERT(summary == NULL || summary->head.number == r->listing.items[item].number);
    const struct found_segment *found = &r->listing.items[item];
    const enum rc rc = catalogue_reserve(r->log);
    if (rc != RC_OK) {
        index_summary_close(summary);
        return rc;
    }
    struct segment *segment = catalogue_push(r->log, found->number, pos, hash);
    segment->bytes = found->size;
    if (found->has_checkpoint) {
        segment->checkpoint_bytes = found->checkpoint_size;
        segment->bytes += found->checkpoint_size;
    }
    if (summary != NULL) {
        summary->refs = 1;
        segment->summary = summary;
        segment->bytes += summary->file_size;
        segment->end_pos = summary->head.end_pos;
        segment->end_hash = summary->head.end_hash;
        segment->end_at = summary->head.end_at;
    }
    ASSERT(segment->bytes >= segment->checkpoint_bytes);
    ASSERT(segment->summary == summary);
    return RC_OK;
}

/* The segments below the start: all must be indexed. *ret_missing is the first that is not. */
static enum rc add_history(struct recovery *r, size_t *ret_missing)
{
    recovery_check(r);
    ASSERT(r->log->owner.count == 0);
    *ret_missing = r->start;
    for (size_t i = 0; i < r->start; i++) {
        struct index_summary *summary;
        enum rc rc = load_summary(r, i, true, &summary);
        if (rc != RC_OK) {
            return rc;
        }
        if (summary == NULL && *ret_missing == r->start) {
            MARK("recovery: below the checkpoint an index is missing");
            *ret_missing = i;
        }
        const struct segment_header *header = &r->listing.items[i].header;
        rc = add_segment(r, i, header->first_pos, header->prev_hash, summary);
        if (rc != RC_OK) {
            return rc;
        }
        catalogue_newest(r->log)->unindexed = summary == NULL;
    }
    return RC_OK;
}

static enum rc begin(struct recovery *r)
{
    ASSERT(r->listing.count > 0);
    ASSERT(r->log->owner.count == 0);
    const size_t newest = r->listing.count - 1;
    enum rc rc = choose_start(r, newest);
    if (rc == RC_CORRUPT) {
        report_file(r, r->listing.items[0].number, ".ckp", "no checkpoint to begin at");
    }
    if (rc != RC_OK) {
        return rc;
    }
    size_t missing = 0;
    rc = add_history(r, &missing);
    if (rc != RC_OK || missing == r->start) {
        return rc;
    }
    const size_t wanted = r->start;
    MARK("recovery: replay begins further back, where an index is missing");
    rc = choose_start(r, missing);
    if (rc == RC_CORRUPT && r->options->repair) {
        /* Nothing can index it again: its messages are lost to readers, the state is not. */
        return choose_start(r, wanted);
    }
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT(r->start <= missing);
    ASSERT(missing < wanted);
    catalogue_deinit(r->log);
    return add_history(r, &missing);
}

enum rc log_heal_header(const struct file_log *log, struct walk *walk)
{
    ASSERT(walk->next_item < walk->listing->count);
    ASSERT(!walk->listing->items[walk->next_item].header_whole);
    struct found_segment *found = &walk->listing->items[walk->next_item];
    found->header = (struct segment_header){
        .partition = log->partition,
        .incarnation = log->incarnation,
        .number = found->number,
        .first_pos = walk->pos,
        .prev_hash = walk->hash,
        .flags = walk->unsynced ? SEGMENT_UNSYNCED : 0, /* as its predecessor's */
    };
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    segment_header_encode(&found->header, bytes);
    const struct log_name name = log_name_of(log->folder, found->number, ".seg");
    struct storage_file *file;
    enum rc rc = files_open(&log->storage, name.text, STORAGE_WRITE, &file);
    if (rc != RC_OK) {
        return rc;
    }
    rc = files_write(&log->storage, file, bytes_of(bytes, sizeof(bytes)), 0);
    if (rc == RC_OK) {
        rc = log_sync_segment(log, file);
    }
    files_close(&log->storage, file);
    found->header_whole = rc == RC_OK;
    return rc;
}

/* ---- replay -------------------------------------------------------------------------------- */

/* Behind a hole the replay may have come to another state than the one that the hole was made in:
 * other seqs, other epochs. From now on that is the log's, so a later start must not begin at a
 * checkpoint of the other. */
static enum rc drop_checkpoint(struct recovery *r, struct found_segment *found)
{
    MARK("recovery: behind a hole a checkpoint is of another state");
    const struct log_name name = log_name_of(r->log->folder, found->number, ".ckp");
    found->has_checkpoint = false;
    const enum rc rc = files_remove(&r->log->storage, name.text);
    return rc == RC_OK ? files_sync_dir(&r->log->storage, r->log->folder) : rc;
}

/* The replay checks itself: where it passes a checkpoint it must have come to that state. */
static enum rc pass_checkpoint(struct recovery *r, const struct walk *walk, size_t item)
{
    ASSERT(item < r->listing.count);
    ASSERT(walk_item(walk) == item);
    struct found_segment *found = &r->listing.items[item];
    if (item > r->start && r->holed && found->has_checkpoint) {
        return drop_checkpoint(r, found);
    }
    if (item <= r->start || !found->has_checkpoint || r->options->on_checkpoint == NULL) {
        return RC_OK;
    }
    struct checkpoint checkpoint;
    buf_clear(&r->state);
    enum rc rc =
        checkpoint_read(&r->log->storage, r->log->folder, found->number, &checkpoint, &r->state);
    if (rc == RC_OK && checkpoint.pos == walk->pos && checkpoint.hash == walk->hash) {
        rc = r->options->on_checkpoint(r->options->ctx, walk->pos, buf_bytes(&r->state));
        if (rc == RC_CORRUPT) {
            report_file(r, found->number, ".ckp", "state differs from the log's");
        }
    }
    buf_deinit(&r->state);
    return rc == RC_CORRUPT ? RC_OK : rc; /* one that is not whole is of no use, and no harm */
}

static enum rc on_segment(struct recovery *r, const struct walk *walk)
{
    recovery_check(r);
    const size_t item = walk_item(walk);
    ASSERT(item >= r->start);
    struct index_summary *summary = NULL;
    enum rc rc = pass_checkpoint(r, walk, item);
    if (rc != RC_OK) {
        return rc;
    }
    /* The sealed segments stand before all others: behind the first that must be indexed anew all
     * are. A hole in this segment is still to come: that there is one, its original says. */
    r->holed = r->holed || r->listing.items[item].has_damaged;
    if (!r->unsealed && !r->holed) {
        rc = load_summary(r, item, false, &summary);
    }
    MARK_IF(r->unsealed, "recovery: behind a segment without an index all are indexed anew");
    MARK_IF(summary != NULL, "recovery: a sealed segment above the checkpoint");
    r->unsealed = summary == NULL;
    r->last_at = 0;
    r->batch_at = SEGMENT_HEADER_SIZE;
    ASSERT(summary == NULL || !r->holed);
    return rc == RC_OK ? add_segment(r, item, walk->pos, walk->hash, summary) : rc;
}

static enum rc on_record(struct recovery *r, const struct walk *walk, const struct walk_step *step)
{
    ASSERT_HOT(step->kind == WALK_RECORD);
    ASSERT_HOT(step->place.at >= SEGMENT_HEADER_SIZE);
    struct segment *segment = catalogue_newest(r->log);
    ASSERT_HOT(segment->number == step->place.segment);
    const enum rc rc = r->options->on_record(r->options->ctx, &step->record, step->place);
    if (rc != RC_OK) {
        return rc;
    }
    r->holed = r->holed || step->record.type == RECORD_HOLE;
    r->batch_at = step->record.batch_index == 0 ? step->place.at : r->batch_at;
    r->last_at = step->place.at;
    r->last_pos = step->record.pos;
    r->last_hash = step->record.prev_hash;
    segment->end_pos = walk->pos;
    segment->end_hash = walk->hash;
    segment->end_at = step->place.at + step->record.size;
    ASSERT_HOT(segment->end_at == walk->scan.at);
    ASSERT_HOT(segment->end_at % 8 == 0);
    recovery_check(r);
    return RC_OK;
}

/* Makes a torn tail zeros again, on disk before anything is written there. */
static enum rc cut_tail(struct recovery *r, struct walk *walk)
{
    ASSERT(walk->file != NULL);
    ASSERT(walk->next_item == r->listing.count);
    uint64_t end = 0;
    enum rc rc = scan_nonzero_end(&walk->scan, walk->scan.at, &end);
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT(end >= walk->scan.at);
    const struct found_segment *found = &r->listing.items[walk_item(walk)];
    const struct log_name name = log_name_of(r->log->folder, found->number, ".seg");
    struct storage_file *file;
    rc = files_open(&r->log->storage, name.text, STORAGE_WRITE, &file);
    if (rc != RC_OK) {
        return rc;
    }
    rc = files_fill_zero(&r->log->storage, file, walk->scan.at, end);
    if (rc == RC_OK) {
        rc = log_sync_segment(r->log, file);
    }
    files_close(&r->log->storage, file);
    return rc;
}

static enum rc drop_segment(struct recovery *r, struct walk *walk)
{
    ASSERT(walk->next_item > 0);
    ASSERT(walk->next_item + 1 == r->listing.count);
    const struct found_segment *found = &r->listing.items[walk->next_item];
    const struct log_name name = log_name_of(r->log->folder, found->number, ".seg");
    enum rc rc = files_remove(&r->log->storage, name.text);
    if (rc == RC_OK) {
        rc = files_sync_dir(&r->log->storage, r->log->folder);
    }
    listing_drop(&r->listing, walk->next_item);
    ASSERT(walk->next_item == r->listing.count);
    return rc;
}

static void report_step(const struct recovery *r, const struct walk_step *step, bool repaired)
{
    ASSERT(step->what != NULL);
    const struct log_damage damage = {
        .file = step->file,
        .at = step->at,
        .size = step->size,
        .what = step->what,
        .torn_tail = step->kind == WALK_CUT || step->kind == WALK_DROP || step->kind == WALK_NOTE,
        .repaired = repaired,
    };
    log_report(r->options, &damage);
}

/* Does what a step asks for. RC_END: the log ends here. */
static enum rc take_step(struct recovery *r, struct walk *walk, const struct walk_step *step)
{
    ASSERT_HOT(walk->listing == &r->listing);
    ASSERT_HOT(step->kind != WALK_RECORD || step->bytes.size == step->record.size);
    enum rc rc;
    switch (step->kind) {
    case WALK_RECORD: return on_record(r, walk, step);
    case WALK_SEGMENT: return on_segment(r, walk);
    case WALK_NOTE: report_step(r, step, false); return RC_OK;
    case WALK_HEAL:
        MARK("recovery: a segment's header is written again");
        report_step(r, step, true);
        rc = log_heal_header(r->log, walk);
        if (rc == RC_OK) {
            rc = walk_enter(walk);
        }
        return rc == RC_OK ? on_segment(r, walk) : rc;
    case WALK_CUT:
        MARK("recovery: a torn tail is cut");
        report_step(r, step, true);
        rc = cut_tail(r, walk);
        return rc == RC_OK ? RC_END : rc;
    case WALK_DROP:
        MARK("recovery: a torn new segment is removed");
        report_step(r, step, true);
        rc = drop_segment(r, walk);
        return rc == RC_OK ? RC_END : rc;
    case WALK_DAMAGE: report_step(r, step, false); return RC_CORRUPT;
    case WALK_END: return RC_END;
    }
    UNREACHABLE();
}

/* The last batch may never have been synced: a process that ended in between, or a sync that
 * failed, after which the kernel holds the pages for written. It is about to be shown, so it is
 * written again, which makes the pages dirty for sure, and synced. With it all that was committed
 * without a sync, where one has failed (`rewrite`). */
static enum rc settle_tail(const struct recovery *r, struct storage_file *file, uint64_t end)
{
    ASSERT(r->batch_at >= SEGMENT_HEADER_SIZE);
    ASSERT(r->batch_at <= end);
    const struct storage *storage = &r->log->storage;
    uint8_t bytes[4096];
    enum rc rc = RC_OK;
    const uint64_t first = r->options->rewrite ? SEGMENT_HEADER_SIZE : r->batch_at;
    MARK_IF(r->options->rewrite && r->batch_at > first, "recovery: a segment is written again");
    for (uint64_t at = first; rc == RC_OK && at < end;) {
        MARK_IF(at == r->batch_at, "recovery: the last batch is written again before it is shown");
        const size_t size = end - at < sizeof(bytes) ? (size_t)(end - at) : sizeof(bytes);
        ASSERT_HOT(size > 0);
        rc = files_read_exact(storage, file, bytes, size, at);
        if (rc == RC_OK) {
            rc = files_write(storage, file, bytes_of(bytes, size), at);
        }
        at += size;
    }
    return rc == RC_OK ? log_sync_segment(r->log, file) : rc;
}

static enum rc open_committer(struct recovery *r, const struct walk *walk)
{
    ASSERT(r->log->committer.file == NULL);
    ASSERT(walk->next_item == r->listing.count);
    struct file_log *log = r->log;
    const struct found_segment *found = &r->listing.items[walk_item(walk)];
    const struct log_name name = log_name_of(log->folder, found->number, ".seg");
    enum rc rc = files_open(&log->storage, name.text, STORAGE_WRITE, &log->committer.file);
    if (rc == RC_OK) {
        rc = settle_tail(r, log->committer.file, walk->scan.at);
    }
    if (rc != RC_OK) {
        return rc;
    }
    log->committer.state = COMMITTER_OPEN;
    log->committer.number = found->number;
    ASSERT(catalogue_newest(log)->number == found->number);
    log->committer.at = walk->scan.at;
    log->committer.written = found->size;
    log->committer.capacity = found->size > log->segment_bytes ? found->size : log->segment_bytes;
    log->committer.next_pos = walk->pos;
    log->committer.next_hash = walk->hash;
    log->committer.unsynced_mode = walk->unsynced;
    log->committer.marked = walk->unsynced;
    MARK_IF(r->last_at == 0, "recovery: the newest segment is empty");
    MARK_IF(walk->unsynced, "recovery: the log goes on in an unsynced segment");
    log->committer.last_at = r->last_at;
    log->committer.last_pos = r->last_pos;
    log->committer.last_hash = r->last_hash;
    log->recovered_pos = walk->pos;
    log->recovered_hash = walk->hash;
    ASSERT(log->committer.at <= log->committer.capacity);
    ASSERT(log->committer.at % 8 == 0);
    ASSERT(log->committer.last_at < log->committer.at);
    return RC_OK;
}

static enum rc replay(struct recovery *r)
{
    recovery_check(r);
    ASSERT(r->log->committer.file == NULL);
    if (r->has_state) {
        MARK("recovery: a state is loaded from a checkpoint");
        const enum rc rc = r->options->on_state(r->options->ctx, r->pos, buf_bytes(&r->state));
        if (rc != RC_OK) {
            return rc;
        }
    }
    buf_deinit(&r->state);
    struct walk walk;
    walk_begin(&walk, &r->log->storage, r->log->folder, r->log->partition, &r->listing, r->start,
               r->pos, r->hash);
    enum rc rc = RC_OK;
    while (rc == RC_OK) {
        struct walk_step step;
        rc = walk_next(&walk, &step);
        if (rc == RC_OK) {
            rc = take_step(r, &walk, &step);
        }
    }
    if (rc == RC_END) {
        rc = open_committer(r, &walk);
    }
    if (rc == RC_OK && (r->listing.cut || r->options->repair)) {
        rc = listing_forget_missing(&r->log->storage, r->log->folder);
    }
    walk_deinit(&walk);
    ASSERT(rc != RC_END);
    ASSERT(rc != RC_OK || r->log->committer.file != NULL);
    return rc;
}

static void finish(struct recovery *r)
{
    struct file_log *log = r->log;
    ASSERT(log->owner.snapshot != NULL);
    log->owner.recovering = false;
}

enum rc log_recover(struct file_log *log, const struct file_log_options *options)
{
    ASSERT(log->owner.count == 0);
    ASSERT(log->owner.snapshot == NULL);
    struct recovery r = {.log = log, .options = options};
    log->owner.recovering = true;
    enum rc rc = take_stock(&r);
    if (rc == RC_OK) {
        rc = refuse_version(&r);
    }
    if (rc == RC_OK) {
        rc = refuse_foreign(&r);
    }
    if (rc == RC_OK && options->repair) {
        rc = log_repair(log, options, &r.listing);
    }
    if (rc == RC_OK) {
        rc = begin(&r);
    }
    if (rc == RC_OK) {
        rc = replay(&r);
    }
    if (rc == RC_OK) {
        rc = catalogue_snapshot(log);
    }
    if (rc == RC_OK) {
        finish(&r);
    }
    buf_deinit(&r.state);
    listing_deinit(&r.listing);
    return rc;
}
