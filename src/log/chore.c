/* The keeper: what must be done with files and is in nobody's way.
 *
 * Thread: the keeper's; at most one chore of a log at a time.  Memory: results belong to the chore,
 * file_log_chore_end() frees them. */
#include "base/mark.h"
#include "base/mem.h"
#include "log/checkpoint.h"
#include "log/internal.h"
#include "log/scan.h"

/* What each record of the segment begins with. The records are read back and verified by this,
 * once, while whoever wrote them may still be told.
 * RC_CORRUPT  the segment does not hold what was written */
static enum rc collect_checks(const struct file_log *log, const struct index_head *head,
                              struct buf *checks)
{
    ASSERT(checks->size == 0);
    ASSERT(head->end_at >= SEGMENT_HEADER_SIZE);
    const struct log_name name = log_name_of(log->folder, head->number, ".seg");
    struct storage_file *file;
    enum rc rc = files_open(&log->storage, name.text, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc;
    }
    struct buf buffer = {0};
    struct scan scan;
    scan_begin(&scan, &log->storage, file, head->end_at, SEGMENT_HEADER_SIZE, &buffer);
    while (rc == RC_OK && scan.at < head->end_at) {
        struct record record;
        struct bytes bytes;
        rc = scan_record(&scan, &record, &bytes);
        if (rc == RC_OK) {
            const struct index_check check = {(uint32_t)scan.at, bytes_load_u32(bytes.data)};
            rc = buf_append(checks, bytes_of(&check, sizeof(check)));
            scan.at += record.size;
            ASSERT_HOT(record.size >= RECORD_HEADER_SIZE);
        }
    }
    buf_deinit(&buffer);
    files_close(&log->storage, file);
    return rc == RC_END ? RC_CORRUPT : rc;
}

static enum rc do_seal(struct file_log *log, struct log_chore *chore)
{
    struct seal *seal = chore->private_;
    ASSERT(seal->summary == NULL);
    ASSERT(seal->head.partition == log->partition);
    ASSERT(seal->head.number == chore->segment);
    struct buf checks = {0};
    enum rc rc = collect_checks(log, &seal->head, &checks);
    if (rc == RC_OK) {
        rc = index_file_write(&log->storage, log->folder, &seal->head, seal->index,
                              (const struct index_check *)(const void *)checks.data,
                              checks.size / sizeof(struct index_check));
    }
    buf_deinit(&checks);
    if (rc == RC_OK) { /* read back: what is kept in memory is what is on disk */
        rc = index_summary_open(&log->storage, log->folder, chore->segment, &seal->summary);
    }
    if (rc == RC_OK) {
        ASSERT(seal->summary->head.end_pos == seal->head.end_pos);
        MARK("keeper: a segment is sealed");
    }
    return rc;
}

static enum rc do_prepare(struct file_log *log, const struct log_chore *chore)
{
    ASSERT(chore->segment > 0);
    ASSERT(chore->private_ == NULL);
    const struct log_name name = log_name_of(log->folder, chore->segment, ".new");
    if (log->keeper.prepared == chore->segment) {
        return RC_OK;
    }
    if (log->keeper.prepared != 0) {
        /* One that came too late, for the committer had to make its own. It wants higher numbers
         * only by now, so nobody else touches this name. */
        MARK("keeper: a segment prepared too late gets another number");
        const struct log_name late = log_name_of(log->folder, log->keeper.prepared, ".new");
        const enum rc rc = files_rename(&log->storage, late.text, name.text);
        if (rc == RC_OK) {
            log->keeper.prepared = chore->segment;
        }
        if (rc != RC_NOT_FOUND) {
            return rc;
        }
    }
    /* Zeros only, no header: the committer writes that. The name appears when all is on disk. */
    const struct log_name temporary = log_name_of(log->folder, chore->segment, ".new.tmp");
    enum rc rc = segment_write_ahead(log, temporary.text, NULL);
    if (rc == RC_OK) {
        rc = files_rename(&log->storage, temporary.text, name.text);
    }
    if (rc == RC_OK) {
        MARK("keeper: a segment is prepared");
        log->keeper.prepared = chore->segment;
    } else if (files_remove(&log->storage, temporary.text) != RC_OK) {
        MARK("keeper: a prepared file stays half made");
        return rc; /* the next start removes it */
    }
    return rc;
}

static enum rc do_checkpoint(struct file_log *log, struct log_chore *chore)
{
    ASSERT(chore->kind == LOG_CHORE_CHECKPOINT);
    ASSERT(chore->segment > 0);
    struct segment_header header;
    const enum rc rc = files_segment_header(&log->storage, log->folder, chore->segment, &header);
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT(header.first_pos == chore->state_pos);
    const struct checkpoint checkpoint = {
        .partition = log->partition,
        .incarnation = log->incarnation,
        .segment = chore->segment,
        .pos = header.first_pos,
        .hash = header.prev_hash,
    };
    MARK("keeper: a checkpoint is written");
    const enum rc written =
        checkpoint_write(&log->storage, log->folder, &checkpoint, &chore->state);
    if (written == RC_OK) {
        chore->state_size = pieces_size(&chore->state);
        pieces_deinit(&chore->state); /* it may be large, and the owner has no time */
    }
    return written;
}

/* ---- survey -------------------------------------------------------------------------------- */

static const struct log_survey_entry *entry_at(const struct buf *entries, size_t i)
{
    ASSERT_HOT(entries->size % sizeof(struct log_survey_entry) == 0);
    const struct log_survey_entry *array =
        (const struct log_survey_entry *)(const void *)entries->data;
    return i < entries->size / sizeof(*array) ? &array[i] : NULL;
}

static enum rc entry_push(struct buf *entries, uint64_t channel_id, uint64_t end_seq)
{
    const struct log_survey_entry entry = {channel_id, end_seq};
    ASSERT_HOT(channel_id > 0);
    ASSERT_HOT(entries->size == 0 ||
               entry_at(entries, entries->size / sizeof(entry) - 1)->channel_id < channel_id);
    return buf_append(entries, bytes_of(&entry, sizeof(entry)));
}

/* What is known of the segments before, and the segment's rows, as one: an entry a channel, by
 * number, with its highest end. Both stand by number, so it is one pass over them; a node may have
 * a million channels in each of a hundred segments.
 * RC_CORRUPT  rows that do not rise */
static enum rc merge_rows(struct index_pages *pages, const struct index_head *head,
                          const struct buf *before, struct buf *to)
{
    ASSERT(pages->file != NULL);
    ASSERT(to->size == 0);
    uint64_t last_id = 0;
    size_t at = 0;
    enum rc rc = RC_OK;
    for (uint64_t i = 0; rc == RC_OK && i < head->channel_count; i++) {
        struct index_row row;
        rc = index_file_row(pages, head, i, &row);
        if (rc == RC_OK && row.channel_id <= last_id) {
            rc = RC_CORRUPT;
        }
        const struct log_survey_entry *old = entry_at(before, at);
        while (rc == RC_OK && old != NULL && old->channel_id < row.channel_id) {
            rc = entry_push(to, old->channel_id, old->end_seq);
            old = entry_at(before, ++at);
        }
        if (rc != RC_OK) {
            break;
        }
        uint64_t end_seq = row.end_seq;
        if (old != NULL && old->channel_id == row.channel_id) {
            MARK("keeper: a survey finds a channel in two segments");
            end_seq = old->end_seq > end_seq ? old->end_seq : end_seq;
            at++;
        }
        last_id = row.channel_id;
        rc = entry_push(to, row.channel_id, end_seq);
    }
    for (const struct log_survey_entry *old = entry_at(before, at); rc == RC_OK && old != NULL;
         old = entry_at(before, ++at)) {
        rc = entry_push(to, old->channel_id, old->end_seq);
    }
    return rc;
}

static enum rc survey_segment(const struct file_log *log, uint64_t number, bool will_trim,
                              struct buf *entries)
{
    ASSERT(number > 0);
    ASSERT(entries->size % sizeof(struct log_survey_entry) == 0);
    struct index_summary *summary;
    enum rc rc = index_summary_open(&log->storage, log->folder, number, &summary);
    if (rc == RC_NOT_FOUND || rc == RC_CORRUPT) {
        MARK_IF(will_trim, "keeper: a survey passes over a missing index");
        /* Nobody can read what is in there, and readers are told so; but a start can build the
         * index again, so it goes only with what must go. */
        return will_trim ? RC_OK : RC_CORRUPT;
    }
    if (rc != RC_OK) {
        return rc;
    }
    const struct log_name name = log_name_of(log->folder, number, ".idx");
    struct storage_file *file;
    rc = files_open(&log->storage, name.text, STORAGE_READ, &file);
    ASSERT(summary->head.number == number);
    struct buf merged = {0};
    if (rc == RC_OK) {
        struct index_pages pages;
        index_pages_begin(&pages, &log->storage, file);
        rc = merge_rows(&pages, &summary->head, entries, &merged);
        files_close(&log->storage, file);
    }
    index_summary_close(summary);
    if (rc == RC_OK) {
        buf_deinit(entries);
        *entries = merged;
    } else {
        buf_deinit(&merged);
    }
    return rc;
}

static enum rc do_survey(const struct file_log *log, struct log_chore *chore)
{
    ASSERT(chore->entries == NULL);
    ASSERT(chore->entry_count == 0);
    struct listing listing;
    enum rc rc = listing_read(&log->storage, log->folder, &listing);
    if (rc != RC_OK) {
        return rc;
    }
    struct buf entries = {0};
    for (size_t i = 0; rc == RC_OK && i < listing.count; i++) {
        if (listing.items[i].has_segment && listing.items[i].number < chore->segment) {
            rc = survey_segment(log, listing.items[i].number, chore->will_trim, &entries);
        }
    }
    listing_deinit(&listing);
    if (rc != RC_OK) {
        buf_deinit(&entries);
        return rc;
    }
    chore->entries = (struct log_survey_entry *)(void *)entries.data;
    chore->entry_count = entries.size / sizeof(*chore->entries);
    return RC_OK;
}

/* ---- removal ------------------------------------------------------------------------------- */

static enum rc remove_one(const struct file_log *log, uint64_t number, const char *suffix)
{
    ASSERT(number > 0);
    ASSERT(suffix[0] == '.');
    const struct log_name name = log_name_of(log->folder, number, suffix);
    return files_remove(&log->storage, name.text);
}

/* The segment itself, on disk before the next one goes: what is left never has a gap. The copy that
 * a repair kept goes first, for without its segment it would look like a repair cut off. */
static enum rc remove_segment(const struct file_log *log, const struct found_segment *found)
{
    ASSERT(found->number > 0);
    enum rc rc = RC_OK;
    if (found->has_damaged) {
        rc = remove_one(log, found->number, ".seg.damaged");
        if (rc == RC_OK) {
            rc = files_sync_dir(&log->storage, log->folder);
        }
    }
    if (rc == RC_OK) {
        rc = remove_one(log, found->number, ".seg");
    }
    return rc == RC_OK ? files_sync_dir(&log->storage, log->folder) : rc;
}

/* What has trimmed the messages may stand in the newest segment, and without a sync a power cut
 * takes it back: the messages would be wanted again, and gone. All older ones were synced at the
 * roll. */
static enum rc sync_newest(const struct file_log *log, const struct listing *listing)
{
    ASSERT(listing->count == 0 || listing->items != NULL);
    uint64_t number = 0;
    for (size_t i = 0; i < listing->count; i++) {
        number = listing->items[i].has_segment ? listing->items[i].number : number;
    }
    struct segment_header header;
    enum rc rc = files_segment_header(&log->storage, log->folder, number, &header);
    if (rc == RC_CORRUPT || (rc == RC_OK && (header.flags & SEGMENT_UNSYNCED) == 0)) {
        return RC_OK; /* it is being begun, so nothing in it is applied; or each batch was synced */
    }
    const struct log_name name = log_name_of(log->folder, number, ".seg");
    struct storage_file *file;
    if (rc == RC_OK) {
        rc = files_open(&log->storage, name.text, STORAGE_WRITE, &file);
    }
    if (rc == RC_OK) {
        rc = log_sync_segment(log, file);
        files_close(&log->storage, file);
    }
    return rc;
}

/* The segment that will be the first one: it tells where the log begins. If it is gone itself, only
 * those in front of it tell that something is missing, and a repair needs them. */
static enum rc first_exists(const struct listing *listing, uint64_t number)
{
    ASSERT(number > 0);
    ASSERT(listing->count == 0 || listing->items != NULL);
    for (size_t i = 0; i < listing->count; i++) {
        if (listing->items[i].number == number && listing->items[i].has_segment) {
            return RC_OK;
        }
    }
    MARK("keeper: no removal in front of a segment that is missing");
    return RC_NOT_FOUND;
}

/* And its checkpoint is the last one that a start can begin at, whatever newer ones there are: the
 * segment of one may be lost, or what is below it damaged.
 * RC_CORRUPT  it is not whole, cannot be read, or is of another history */
static enum rc first_begins(const struct file_log *log, uint64_t number)
{
    ASSERT(number > 0);
    struct segment_header header;
    struct checkpoint checkpoint;
    enum rc rc = files_segment_header(&log->storage, log->folder, number, &header);
    if (rc != RC_OK) {
        return rc;
    }
    rc = checkpoint_check(&log->storage, log->folder, number, &checkpoint);
    if (rc == RC_OK &&
        (checkpoint.partition != log->partition || checkpoint.incarnation != log->incarnation ||
         checkpoint.pos != header.first_pos || checkpoint.hash != header.prev_hash)) {
        rc = RC_CORRUPT;
    }
    ASSERT(rc != RC_OK || checkpoint.segment == number);
    MARK_IF(rc == RC_CORRUPT, "keeper: no removal in front of a checkpoint that is not whole");
    /* Nor is one that the disk does not give. */
    return rc == RC_NOT_FOUND || rc == RC_IO ? RC_CORRUPT : rc;
}

static enum rc do_remove(const struct file_log *log, const struct log_chore *chore)
{
    ASSERT(chore->kind == LOG_CHORE_REMOVE);
    struct listing listing;
    enum rc rc = listing_read(&log->storage, log->folder, &listing);
    if (rc != RC_OK) {
        return rc;
    }
    rc = first_exists(&listing, chore->segment);
    if (rc == RC_OK) {
        rc = first_begins(log, chore->segment);
    }
    if (rc == RC_OK) {
        rc = sync_newest(log, &listing);
    }
    for (size_t i = 0; rc == RC_OK && i < listing.count; i++) {
        if (listing.items[i].number < chore->segment) {
            MARK("keeper: an old segment is removed");
            rc = remove_segment(log, &listing.items[i]);
        }
    }
    static const char *const suffixes[] = {".idx", ".ckp", ".seg.dropped"};
    for (size_t s = 0; s < sizeof(suffixes) / sizeof(suffixes[0]); s++) {
        for (size_t i = 0; rc == RC_OK && i < listing.count; i++) {
            if (listing.items[i].number < chore->segment) {
                rc = remove_one(log, listing.items[i].number, suffixes[s]);
            }
        }
    }
    listing_deinit(&listing);
    return rc == RC_OK ? files_sync_dir(&log->storage, log->folder) : rc;
}

void file_log_chore_do(struct file_log *log, struct log_chore *chore)
{
    ASSERT(chore->kind <= LOG_CHORE_REMOVE);
    switch (chore->kind) {
    case LOG_CHORE_SEAL: chore->rc = do_seal(log, chore); return;
    case LOG_CHORE_PREPARE: chore->rc = do_prepare(log, chore); return;
    case LOG_CHORE_CHECKPOINT: chore->rc = do_checkpoint(log, chore); return;
    case LOG_CHORE_SURVEY: chore->rc = do_survey(log, chore); return;
    case LOG_CHORE_REMOVE: chore->rc = do_remove(log, chore); return;
    }
    UNREACHABLE();
}
