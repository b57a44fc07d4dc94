/* Reads of a channel: forwards, backwards, by time; and of its digest.
 *
 * The owner begins a read: it copies the places of the messages that are in segments not sealed yet
 * (they are in its memory), and takes hold of the snapshot of the sealed ones. A worker does it: it
 * searches the sealed segments' index files by (channel, seq), reads records, checks them and hands
 * them on. So the worker touches only what it was given and what is the reader's.
 *
 * Whatever cannot be given is named: a range of seqs whose record or index is damaged goes to
 * on_damage, and so does a range that no index knows of. There is no silent gap.
 *
 * Thread: begin and end the owner's, do the reader's.  Memory: begin allocates, end frees. */
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "log/internal.h"

struct place {
    uint64_t segment;
    struct index_entry entry;
};

struct read_private {
    struct snapshot *snapshot;
    bool sealed_first; /* what is wanted begins, or may begin, in a sealed segment */
    bool truncated;    /* the owner's index has more places */
    uint64_t time_seq; /* TIME: what the owner's index says; 0: nothing */
    size_t count;
    struct place places[]; /* in the order of reading */
};

/* ---- owner: begin and end ------------------------------------------------------------------ */

/* What the owner may hand over: places within bounds, and the snapshot that is held. */
static void private_check(const struct read_private *p)
{
    ASSERT_HOT(p->count <= tune.read_places);
    ASSERT_HOT(!p->truncated || p->count == tune.read_places);
    ASSERT_HOT(p->time_seq == 0 || p->count == 0);
}

static bool place_push(struct read_private *p, const struct segment *segment,
                       const struct index_entry *entry)
{
    ASSERT_HOT(entry->count > 0);
    ASSERT_HOT(entry->at >= SEGMENT_HEADER_SIZE);
    private_check(p);
    if (p->count == tune.read_places) {
        p->truncated = true;
        return false;
    }
    p->places[p->count++] = (struct place){.segment = segment->number, .entry = *entry};
    return true;
}

static const struct index_channel *unsealed_channel(const struct segment *segment, uint64_t id)
{
    ASSERT_HOT(segment->index == NULL || segment->summary == NULL);
    return segment->index == NULL ? NULL : segment_index_find(segment->index, id);
}

static void places_forward(const struct file_log *log, const struct log_read *read,
                           struct read_private *p)
{
    ASSERT_HOT(p->count == 0);
    ASSERT_HOT(read->seq <= read->latest);
    bool covered = false;
    for (size_t i = 0; i < log->owner.count; i++) {
        const struct segment *segment = &log->owner.segments[i];
        const struct index_channel *channel = unsealed_channel(segment, read->channel_id);
        if (channel == NULL) {
            continue;
        }
        covered = covered || index_channel_first_seq(channel) <= read->seq;
        struct index_cursor cursor = index_channel_seek(channel, read->seq, 0);
        const struct index_entry *entry = index_cursor_entry(&cursor);
        while (entry != NULL && entry->first_seq <= read->latest) {
            if (!place_push(p, segment, entry)) {
                break;
            }
            index_cursor_next(&cursor);
            entry = index_cursor_entry(&cursor);
        }
    }
    ASSERT_HOT(!p->truncated || p->count == tune.read_places);
    p->sealed_first = !covered;
}

static void places_backward(const struct file_log *log, const struct log_read *read,
                            struct read_private *p)
{
    ASSERT_HOT(p->count == 0);
    ASSERT_HOT(read->seq >= read->earliest);
    uint64_t lowest = read->seq + 1;
    for (size_t i = log->owner.count; i-- > 0 && !p->truncated;) {
        const struct segment *segment = &log->owner.segments[i];
        const struct index_channel *channel = unsealed_channel(segment, read->channel_id);
        if (channel == NULL) {
            continue;
        }
        struct index_cursor cursor = index_channel_seek_back(channel, read->seq);
        const struct index_entry *entry = index_cursor_entry(&cursor);
        while (entry != NULL && entry->first_seq + entry->count > read->earliest) {
            if (!place_push(p, segment, entry)) {
                break;
            }
            lowest = entry->first_seq;
            ASSERT_HOT(entry->first_seq <= read->seq);
            index_cursor_prev(&cursor);
            entry = index_cursor_entry(&cursor);
        }
    }
    p->sealed_first = !p->truncated && lowest > read->earliest;
}

static void place_by_time(const struct file_log *log, const struct log_read *read,
                          struct read_private *p)
{
    ASSERT_HOT(read->kind == LOG_READ_TIME);
    ASSERT_HOT(p->time_seq == 0);
    bool covered = false;
    for (size_t i = 0; i < log->owner.count; i++) {
        const struct segment *segment = &log->owner.segments[i];
        const struct index_channel *channel = unsealed_channel(segment, read->channel_id);
        if (channel == NULL) {
            continue;
        }
        covered = covered || index_channel_first_seq(channel) <= read->seq;
        const struct index_cursor cursor = index_channel_seek(channel, read->seq, read->time_ms);
        const struct index_entry *entry = index_cursor_entry(&cursor);
        if (entry != NULL) {
            p->time_seq = entry->first_seq > read->seq ? entry->first_seq : read->seq;
            ASSERT_HOT(p->time_seq >= read->seq);
            break;
        }
    }
    p->sealed_first = !covered;
}

/* The place of the one record that holds read->seq. */
static void place_of_digest(const struct file_log *log, const struct log_read *read,
                            struct read_private *p)
{
    ASSERT_HOT(read->kind == LOG_READ_DIGEST);
    ASSERT_HOT(p->count == 0);
    for (size_t i = log->owner.count; i-- > 0 && p->count == 0;) {
        const struct segment *segment = &log->owner.segments[i];
        const struct index_channel *channel = unsealed_channel(segment, read->channel_id);
        if (channel == NULL || read->seq < index_channel_first_seq(channel) ||
            read->seq >= index_channel_end_seq(channel)) {
            continue;
        }
        const struct index_cursor cursor = index_channel_seek(channel, read->seq, 0);
        const struct index_entry *entry = index_cursor_entry(&cursor);
        ASSERT(entry != NULL); /* end_seq is the last one's */
        if (entry->first_seq <= read->seq) {
            (void)place_push(p, segment, entry);
        }
    }
    ASSERT_HOT(p->count <= 1);
    p->sealed_first = p->count == 0;
}

/* How many places a read may need. */
static size_t places_max(enum log_read_kind kind)
{
    switch (kind) {
    case LOG_READ_FORWARD:
    case LOG_READ_BACKWARD: return tune.read_places;
    case LOG_READ_DIGEST: return 1;
    case LOG_READ_TIME: return 0;
    }
    UNREACHABLE();
}

enum rc file_log_read_begin(struct file_log *log, struct log_read *read)
{
    ASSERT(read->earliest > 0);
    ASSERT(read->earliest <= read->seq);
    ASSERT(read->seq <= read->latest || read->kind == LOG_READ_TIME);
    struct read_private scratch = {0};
    struct read_private *p =
        mem_alloc(sizeof(scratch) + places_max(read->kind) * sizeof(scratch.places[0]));
    if (p == NULL) {
        return RC_NOMEM;
    }
    *p = scratch;
    ASSERT_HOT(p->count == 0);
    switch (read->kind) {
    case LOG_READ_FORWARD: places_forward(log, read, p); break;
    case LOG_READ_BACKWARD: places_backward(log, read, p); break;
    case LOG_READ_TIME: place_by_time(log, read, p); break;
    case LOG_READ_DIGEST: place_of_digest(log, read, p); break;
    }
    MARK_IF(p->sealed_first && p->count > 0, "read: from sealed segments into the newest");
    MARK_IF(!p->sealed_first, "read: only the newest segments");
    p->snapshot = log->owner.snapshot;
    snapshot_ref(p->snapshot);
    ASSERT_HOT(p->count <= places_max(read->kind));
    private_check(p);
    read->rc = RC_OK;
    read->ret_seq = 0;
    read->ret_digest = 0;
    read->private_ = p;
    return RC_OK;
}

void file_log_read_end(struct file_log *log, struct log_read *read)
{
    struct read_private *p = read->private_;
    ASSERT(p != NULL);
    ASSERT(log->owner.count > 0);
    snapshot_unref(p->snapshot);
    mem_free(p);
    ASSERT_HOT(read->rc != RC_END);
    read->private_ = NULL;
}

/* ---- reader: one read ---------------------------------------------------------------------- */

struct job {
    struct file_log *log;
    struct log_read *read;
    const struct snapshot *snapshot;
    uint64_t next; /* the seq wanted next */
    bool backward;
    bool removed;       /* a file was not there any more */
    uint64_t bad_index; /* number of a segment whose index is damaged, or 0 */
};

/* A job's next seq stays within one of the bounds that the read began with. */
static void job_check(const struct job *job)
{
    ASSERT_HOT(job->snapshot != NULL);
    ASSERT_HOT(job->read->earliest > 0);
    ASSERT_HOT(!job->backward || job->next <= job->read->latest);
    ASSERT_HOT(job->backward || job->next >= job->read->earliest);
    ASSERT_HOT(job->backward == (job->read->kind == LOG_READ_BACKWARD));
}

static void report(const struct job *job, uint64_t from, uint64_t to, const char *file, uint64_t at,
                   const char *what)
{
    ASSERT_HOT(what != NULL);
    if (job->read->on_damage != NULL) {
        const struct log_damage damage = {.file = file, .at = at, .what = what};
        job->read->on_damage(job->read->ctx, from, to, &damage);
    }
}

/* No index knows the seqs from … to. RC_NOT_FOUND: since they were removed meanwhile */
static enum rc missing(const struct job *job, uint64_t from, uint64_t to)
{
    ASSERT_HOT(from >= job->read->earliest);
    ASSERT_HOT(to <= job->read->latest);
    ASSERT(from <= to);
    if (job->removed) {
        MARK("read: what is wanted was removed meanwhile");
        return RC_NOT_FOUND;
    }
    if (job->bad_index != 0) {
        const struct log_name name = log_name_of(job->log->folder, job->bad_index, ".idx");
        report(job, from, to, name.text, 0, "index is damaged");
    } else {
        report(job, from, to, job->log->folder, 0, "missing");
    }
    return RC_OK;
}

/* The seqs of the entry that are wanted. */
static void entry_range(const struct job *job, const struct index_entry *entry, uint64_t *ret_from,
                        uint64_t *ret_to)
{
    ASSERT_HOT(entry->count > 0);
    const uint64_t last = entry->first_seq + entry->count - 1;
    if (job->backward) {
        *ret_from = entry->first_seq > job->read->earliest ? entry->first_seq : job->read->earliest;
        *ret_to = last < job->next ? last : job->next;
    } else {
        *ret_from = entry->first_seq > job->next ? entry->first_seq : job->next;
        *ret_to = last < job->read->latest ? last : job->read->latest;
    }
}

/* Reads the entry's record and hands it on. `crc`: what the record must begin with.
 * RC_END: the caller has enough. */
static enum rc hand_on(struct job *job, uint64_t segment, const struct index_entry *entry,
                       uint32_t crc)
{
    ASSERT_HOT(segment > 0);
    ASSERT_HOT(entry->at >= SEGMENT_HEADER_SIZE);
    struct record record;
    uint32_t found = 0;
    enum rc rc = reader_record(job->log, segment, entry->at, job->backward, &record, &found);
    if (rc == RC_OK && crc == found && record.type != RECORD_HOLE) {
        job->read->ret_time_ms = entry->time_ms;
        return job->read->on_record(job->read->ctx, &record, entry->first_seq);
    }
    if (rc == RC_OK || rc == RC_CORRUPT) {
        const bool is_hole = rc == RC_OK && record.type == RECORD_HOLE;
        const struct log_name name = log_name_of(job->log->folder, segment, ".seg");
        uint64_t from;
        uint64_t to;
        entry_range(job, entry, &from, &to);
        report(job, from, to, name.text, entry->at,
               is_hole       ? "cut out"
               : rc == RC_OK ? "another record"
                             : "checksum");
        rc = RC_OK;
    }
    return rc;
}

/* RC_END: enough, or all there is. */
static enum rc take_entry(struct job *job, uint64_t segment, const struct index_entry *entry,
                          uint32_t crc)
{
    job_check(job);
    ASSERT_HOT(entry->count > 0);
    const uint64_t end = entry->first_seq + entry->count;
    enum rc rc = RC_OK;
    if (job->backward) {
        if (entry->first_seq > job->next) {
            return RC_OK;
        }
        if (end <= job->next) {
            const uint64_t from = end > job->read->earliest ? end : job->read->earliest;
            rc = missing(job, from, job->next);
            job->next = rc == RC_OK ? from - 1 : job->next;
        }
        if (rc != RC_OK || job->next < job->read->earliest) {
            return rc == RC_OK ? RC_END : rc;
        }
    } else {
        if (end <= job->next) {
            return RC_OK;
        }
        if (entry->first_seq > job->next) {
            const uint64_t to =
                entry->first_seq <= job->read->latest ? entry->first_seq - 1 : job->read->latest;
            rc = missing(job, job->next, to);
            job->next = rc == RC_OK ? to + 1 : job->next;
        }
        if (rc != RC_OK || job->next > job->read->latest) {
            return rc == RC_OK ? RC_END : rc;
        }
    }
    rc = hand_on(job, segment, entry, crc);
    if (rc == RC_OK || rc == RC_END) {
        job->next = job->backward ? entry->first_seq - 1 : end;
    }
    const bool all =
        job->backward ? job->next < job->read->earliest : job->next > job->read->latest;
    return rc == RC_OK && all ? RC_END : rc;
}

/* ---- reader: sealed segments --------------------------------------------------------------- */

/* The channel's row in sealed segment number i. RC_END: it has none, as far as can be told. */
static enum rc probe(struct job *job, size_t i, struct index_row *ret_row)
{
    ASSERT_HOT(i < job->snapshot->count);
    ASSERT_HOT(ret_row != NULL);
    const struct index_summary *summary = job->snapshot->items[i];
    if (!index_summary_may_hold(summary, job->read->channel_id)) {
        return RC_END;
    }
    struct file_log *log = job->log;
    struct storage_file *file;
    enum rc rc = reader_file(log, summary->head.number, true, &file);
    if (rc == RC_NOT_FOUND) {
        MARK("read: an index file is gone");
        job->removed = true;
        return RC_END;
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (log->reader.pages.file != file) {
        index_pages_begin(&log->reader.pages, &log->storage, file);
    }
    rc = index_file_find(&log->reader.pages, &summary->head, job->read->channel_id, ret_row);
    ASSERT_HOT(rc != RC_OK || ret_row->channel_id == job->read->channel_id);
    if (rc == RC_CORRUPT) {
        job->bad_index = summary->head.number;
        return RC_END;
    }
    return rc;
}

/* The first sealed segment whose row reaches `seq` and time_ms. Rows rise with the segments, but a
 * segment may have none: from the middle on, the next that has one stands for it.
 * RC_END: none; *ret_i is then the count */
static enum rc find_segment(struct job *job, uint64_t seq, uint64_t time_ms, size_t *ret_i,
                            struct index_row *ret_row)
{
    ASSERT_HOT(ret_i != NULL);
    ASSERT_HOT(ret_row != NULL);
    size_t low = 0;
    size_t high = job->snapshot->count;
    size_t found = high;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        ASSERT_HOT(middle < high);
        size_t i = middle;
        struct index_row row;
        enum rc rc = RC_END;
        while (i < high && (rc = probe(job, i, &row)) == RC_END) {
            i++;
        }
        if (i == high) {
            high = middle;
        } else if (rc != RC_OK) {
            return rc;
        } else if (row.end_seq > seq && row.last_time_ms >= time_ms) {
            found = i;
            *ret_row = row;
            high = middle;
        } else {
            low = i + 1;
        }
    }
    ASSERT_HOT(low == high);
    ASSERT_HOT(found <= job->snapshot->count);
    *ret_i = found;
    return found < job->snapshot->count ? RC_OK : RC_END;
}

/* The pages of segment i again, for a row that was found earlier. */
static enum rc pages_of(struct job *job, size_t i, struct index_pages **ret_pages)
{
    ASSERT_HOT(i < job->snapshot->count);
    ASSERT_HOT(ret_pages != NULL);
    struct file_log *log = job->log;
    struct storage_file *file;
    const enum rc rc = reader_file(log, job->snapshot->items[i]->head.number, true, &file);
    if (rc != RC_OK) {
        return rc;
    }
    if (log->reader.pages.file != file) {
        index_pages_begin(&log->reader.pages, &log->storage, file);
    }
    *ret_pages = &log->reader.pages;
    ASSERT_HOT((*ret_pages)->file == file);
    return RC_OK;
}

/* Reads the row's entries, from the one that holds job->next on. RC_END: enough */
static enum rc read_row(struct job *job, size_t i, const struct index_row *row)
{
    ASSERT_HOT(row->channel_id == job->read->channel_id);
    ASSERT_HOT(row->entry_count > 0);
    const struct index_head *head = &job->snapshot->items[i]->head;
    struct index_pages *pages;
    enum rc rc = pages_of(job, i, &pages);
    uint32_t e = 0;
    if (rc == RC_OK) {
        rc = job->backward ? index_file_seek_behind(pages, head, row, job->next, &e)
                           : index_file_seek(pages, head, row, job->next, 0, &e);
    }
    while (rc == RC_OK && (job->backward ? e > 0 : e < row->entry_count)) {
        struct index_entry entry;
        uint32_t crc;
        ASSERT_HOT(e <= row->entry_count);
        e = job->backward ? e - 1 : e;
        rc = pages_of(job, i, &pages); /* reading records may have closed the file */
        if (rc == RC_OK) {
            rc = index_file_entry(pages, head, row, e, &entry, &crc);
        }
        if (rc == RC_OK) {
            rc = take_entry(job, head->number, &entry, crc);
        }
        e = job->backward ? e : e + 1;
    }
    if (rc == RC_CORRUPT) { /* a page of entries: the rest of the row is named by what follows */
        job->bad_index = head->number;
        return RC_OK;
    }
    return rc;
}

static enum rc read_sealed_forward(struct job *job)
{
    ASSERT_HOT(!job->backward);
    job_check(job);
    size_t i = 0;
    struct index_row row;
    enum rc rc = find_segment(job, job->next, 0, &i, &row);
    while (rc == RC_OK) {
        ASSERT_HOT(i < job->snapshot->count);
        rc = read_row(job, i, &row);
        if (rc != RC_OK) {
            return rc;
        }
        do {
            i++;
            rc = i < job->snapshot->count ? probe(job, i, &row) : RC_END;
        } while (rc == RC_END && i < job->snapshot->count);
    }
    return rc == RC_END ? RC_OK : rc; /* what comes next is not sealed */
}

static enum rc read_sealed_backward(struct job *job)
{
    ASSERT_HOT(job->backward);
    job_check(job);
    size_t i = 0;
    struct index_row row;
    enum rc rc = find_segment(job, job->next, 0, &i, &row);
    if (rc != RC_OK && rc != RC_END) {
        return rc;
    }
    bool has_row = rc == RC_OK && row.first_seq <= job->next;
    for (;;) {
        if (has_row) {
            ASSERT_HOT(i < job->snapshot->count);
            rc = read_row(job, i, &row);
            if (rc != RC_OK) {
                return rc;
            }
        }
        if (i == 0) {
            return RC_OK;
        }
        i--;
        rc = probe(job, i, &row);
        if (rc != RC_OK && rc != RC_END) {
            return rc;
        }
        has_row = rc == RC_OK;
    }
}

static enum rc read_places(struct job *job, const struct read_private *p)
{
    private_check(p);
    ASSERT_HOT(p->snapshot == job->snapshot);
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < p->count; i++) {
        rc = take_entry(job, p->places[i].segment, &p->places[i].entry, p->places[i].entry.crc);
    }
    return rc;
}

/* All places are read and something is still wanted: nobody knows of it. */
static enum rc read_rest(struct job *job, const struct read_private *p)
{
    ASSERT_HOT(p->snapshot == job->snapshot);
    job_check(job);
    if (p->truncated) {
        return RC_OK;
    }
    enum rc rc = RC_OK;
    if (job->backward && job->next >= job->read->earliest) {
        rc = missing(job, job->read->earliest, job->next);
        job->next = rc == RC_OK ? 0 : job->next;
    } else if (!job->backward && job->next <= job->read->latest) {
        rc = missing(job, job->next, job->read->latest);
        job->next = rc == RC_OK ? job->read->latest + 1 : job->next;
    }
    return rc;
}

static enum rc read_messages(struct job *job, const struct read_private *p)
{
    private_check(p);
    job_check(job);
    enum rc rc = RC_OK;
    if (job->backward) {
        rc = read_places(job, p);
        if (rc == RC_OK && p->sealed_first) {
            rc = read_sealed_backward(job);
        }
    } else {
        if (p->sealed_first) {
            rc = read_sealed_forward(job);
        }
        if (rc == RC_OK) {
            rc = read_places(job, p);
        }
    }
    return rc == RC_OK ? read_rest(job, p) : rc;
}

/* ---- reader: by time ----------------------------------------------------------------------- */

static enum rc find_time(struct job *job, const struct read_private *p, uint64_t *ret_seq)
{
    ASSERT_HOT(job->read->kind == LOG_READ_TIME);
    ASSERT_HOT(p->count == 0);
    const struct log_read *read = job->read;
    *ret_seq = p->time_seq != 0 ? p->time_seq : read->latest + 1;
    if (!p->sealed_first) {
        return RC_OK;
    }
    size_t i = 0;
    struct index_row row;
    enum rc rc = find_segment(job, read->seq, read->time_ms, &i, &row);
    struct index_pages *pages;
    uint32_t e = 0;
    if (rc == RC_OK) {
        rc = pages_of(job, i, &pages);
    }
    const struct index_head *head = rc == RC_OK ? &job->snapshot->items[i]->head : NULL;
    if (rc == RC_OK) {
        rc = index_file_seek(pages, head, &row, read->seq, read->time_ms, &e);
    }
    struct index_entry entry;
    uint32_t crc;
    if (rc == RC_OK) {
        rc =
            e < row.entry_count ? index_file_entry(pages, head, &row, e, &entry, &crc) : RC_CORRUPT;
    }
    if (rc == RC_OK) {
        *ret_seq = entry.first_seq > read->seq ? entry.first_seq : read->seq;
    }
    if (rc == RC_CORRUPT && head != NULL) {
        /* The index of just this segment is damaged: its first message is the careful answer, and
         * the read that follows names the damage. */
        *ret_seq = row.first_seq > read->seq ? row.first_seq : read->seq;
    }
    ASSERT_HOT(*ret_seq >= read->seq);
    return rc == RC_END || rc == RC_CORRUPT ? RC_OK : rc;
}

/* ---- reader: a digest ---------------------------------------------------------------------- */

/* The entry of the record that holds job->next, in a sealed segment. RC_END: none is known */
static enum rc find_sealed_entry(struct job *job, uint64_t *ret_segment,
                                 struct index_entry *ret_entry, uint32_t *ret_crc)
{
    ASSERT_HOT(!job->backward);
    ASSERT_HOT(ret_segment != NULL);
    ASSERT_HOT(ret_crc != NULL);
    size_t i = 0;
    struct index_row row;
    enum rc rc = find_segment(job, job->next, 0, &i, &row);
    if (rc != RC_OK) {
        return rc;
    }
    const struct index_head *head = &job->snapshot->items[i]->head;
    struct index_pages *pages = NULL;
    uint32_t e = 0;
    rc = pages_of(job, i, &pages);
    if (rc == RC_OK) {
        rc = index_file_seek(pages, head, &row, job->next, 0, &e);
    }
    if (rc == RC_OK) {
        rc = e < row.entry_count ? index_file_entry(pages, head, &row, e, ret_entry, ret_crc)
                                 : RC_CORRUPT;
    }
    if (rc == RC_CORRUPT) {
        job->bad_index = head->number;
        return RC_END;
    }
    ASSERT_HOT(head->number > 0);
    *ret_segment = head->number;
    return rc == RC_OK && ret_entry->first_seq > job->next ? RC_END : rc;
}

static enum rc read_digest(struct job *job, const struct read_private *p)
{
    ASSERT_HOT(job->read->kind == LOG_READ_DIGEST);
    ASSERT_HOT(p->sealed_first || p->count == 1);
    struct log_read *read = job->read;
    uint64_t segment = 0;
    struct index_entry entry = {0};
    uint32_t crc = 0;
    enum rc rc = RC_OK;
    if (p->sealed_first) {
        rc = find_sealed_entry(job, &segment, &entry, &crc);
    } else {
        segment = p->places[0].segment;
        entry = p->places[0].entry;
    }
    if (rc == RC_END) {
        return missing(job, read->seq, read->seq);
    }
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT(entry.first_seq <= read->seq && read->seq - entry.first_seq < entry.count);
    read->ret_seq = entry.first_seq;
    read->ret_digest = entry.digest;
    return entry.first_seq == read->seq
               ? RC_OK
               : hand_on(job, segment, &entry, p->sealed_first ? crc : entry.crc);
}

void file_log_read_do(struct file_log *log, struct log_read *read)
{
    ASSERT_HOT(read->ret_seq == 0);
    const struct read_private *p = read->private_;
    ASSERT(p != NULL);
    private_check(p);
    struct job job = {
        .log = log,
        .read = read,
        .snapshot = p->snapshot,
        .next = read->seq,
        .backward = read->kind == LOG_READ_BACKWARD,
    };
    if (p->snapshot->count > 0) {
        reader_forget_below(log, p->snapshot->items[0]->head.number);
    }
    log->reader.window_segment = 0; /* more may have been written where it ends */
    enum rc rc = RC_OK;
    switch (read->kind) {
    case LOG_READ_TIME:
        rc = find_time(&job, p, &read->ret_seq);
        if (read->ret_seq > read->latest) {
            read->ret_seq = read->latest + 1;
        }
        break;
    case LOG_READ_DIGEST: rc = read_digest(&job, p); break;
    case LOG_READ_FORWARD:
    case LOG_READ_BACKWARD:
        rc = read_messages(&job, p);
        read->ret_seq = job.backward && job.next < read->earliest ? 0 : job.next;
        break;
    }
    read->rc = rc == RC_END ? RC_OK : rc;
}
