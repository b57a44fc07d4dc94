#include "log/scan.h"

#include "base/limits.h"

#define SCAN_CHUNK MIB

/* Bytes that scan_behind() will checksum for each byte it looks at. */
#define SCAN_EFFORT 64u

/* The window holds what the file does at its place, and no more than that. */
static void scan_check(const struct scan *scan)
{
    ASSERT_HOT(scan->file_ != NULL);
    ASSERT_HOT(scan->buffer_ != NULL);
    ASSERT_HOT(scan->file_size <= SEGMENT_BYTES_MAX);
    ASSERT_HOT(scan->buffer_->size <= scan->buffer_->capacity);
    ASSERT_HOT(scan->buffer_->size == 0 ||
               scan->window_at_ + scan->buffer_->size <= scan->file_size);
}

void scan_begin(struct scan *scan, const struct storage *storage, struct storage_file *file,
                uint64_t file_size, uint64_t at, struct buf *buffer)
{
    ASSERT(file != NULL);
    ASSERT(buffer != NULL);
    ASSERT(file_size <= SEGMENT_BYTES_MAX);
    ASSERT(at % 8 == 0);
    buf_clear(buffer);
    *scan = (struct scan){
        .storage_ = storage,
        .file_ = file,
        .buffer_ = buffer,
        .window_at_ = at,
        .file_size = file_size,
        .at = at,
    };
}

/* The bytes from `at` on that are in memory, at least `size` of them.
 * RC_END  the file is too short for that */
static enum rc scan_view(struct scan *scan, uint64_t at, size_t size, struct bytes *ret_view)
{
    scan_check(scan);
    ASSERT_HOT(size > 0);
    ASSERT_HOT(ret_view != NULL);
    if (at > scan->file_size || scan->file_size - at < size) {
        return RC_END;
    }
    struct buf *buffer = scan->buffer_;
    const uint64_t window_end = scan->window_at_ + buffer->size;
    if (at < scan->window_at_ || at + size > window_end) {
        const uint64_t rest = scan->file_size - at;
        uint64_t chunk = size > SCAN_CHUNK ? size : SCAN_CHUNK;
        chunk = chunk < rest ? chunk : rest;
        buf_clear(buffer);
        enum rc rc = buf_reserve(buffer, (size_t)chunk);
        if (rc != RC_OK) {
            return rc;
        }
        size_t got = 0;
        rc = files_read(scan->storage_, scan->file_, buffer->data, (size_t)chunk, at, &got);
        if (rc != RC_OK) {
            return rc;
        }
        ASSERT(got <= chunk);
        buffer->size = got;
        scan->window_at_ = at;
        if (got < size) {
            return RC_IO; /* shorter than it was a moment ago */
        }
    }
    const size_t skip = (size_t)(at - scan->window_at_);
    ASSERT_HOT(scan->window_at_ <= at);
    ASSERT_HOT(skip <= buffer->size);
    *ret_view = bytes_of(buffer->data + skip, buffer->size - skip);
    ASSERT_HOT(ret_view->size >= size);
    scan_check(scan);
    return RC_OK;
}

/* The file ends before a header's worth of bytes: zeros are an end, anything else is a torn one. */
static enum rc scan_short_end(struct scan *scan)
{
    ASSERT_HOT(scan->at > scan->file_size || scan->file_size - scan->at < RECORD_HEADER_SIZE);
    uint64_t end = 0;
    const enum rc rc = scan_nonzero_end(scan, scan->at, &end);
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT_HOT(end >= scan->at);
    return end == scan->at ? RC_END : RC_CORRUPT;
}

enum rc scan_record(struct scan *scan, struct record *ret_record, struct bytes *ret_bytes)
{
    ASSERT_HOT(ret_record != NULL);
    ASSERT_HOT(ret_bytes != NULL);
    struct bytes view;
    enum rc rc = scan_view(scan, scan->at, RECORD_HEADER_SIZE, &view);
    if (rc == RC_END) {
        return scan_short_end(scan);
    }
    if (rc != RC_OK) {
        return rc;
    }
    rc = record_decode(view, ret_record);
    if (rc == RC_AGAIN) { /* the header is there, so its size can be asked for */
        const size_t size = record_size(bytes_load_u32(view.data + 4));
        rc = scan_view(scan, scan->at, size, &view);
        if (rc != RC_OK) {
            return rc == RC_END ? RC_CORRUPT : rc;
        }
        rc = record_decode(view, ret_record);
        ASSERT(rc != RC_AGAIN);
    }
    if (rc == RC_OK) {
        *ret_bytes = bytes_of(view.data, ret_record->size);
        ASSERT_HOT(ret_record->size <= view.size);
        ASSERT_HOT(ret_record->size <= scan->file_size - scan->at);
    }
    return rc;
}

enum rc scan_nonzero_end(struct scan *scan, uint64_t from, uint64_t *ret_end)
{
    ASSERT_HOT(ret_end != NULL);
    uint64_t end = from;
    for (uint64_t at = from; at < scan->file_size;) {
        struct bytes view;
        const enum rc rc = scan_view(scan, at, 1, &view);
        if (rc != RC_OK) {
            return rc;
        }
        ASSERT_HOT(view.size > 0);
        ASSERT_HOT(at + view.size <= scan->file_size);
        if (!bytes_are_zero(view)) {
            size_t size = view.size;
            while (view.data[size - 1] == 0) {
                ASSERT_HOT(size > 1);
                size--;
            }
            end = at + size;
        }
        at += view.size;
    }
    ASSERT_HOT(end >= from);
    ASSERT_HOT(end == from || end <= scan->file_size);
    *ret_end = end;
    return RC_OK;
}

struct search {
    uint32_t partition;
    uint64_t bad_at;
    uint64_t bad_pos;
    uint64_t slack;
    uint64_t next_pos;
    uint64_t effort_left;
};

/* Whether the header could be that of a record behind the bad one. Cheap: it runs every 8 bytes. */
static bool header_is_plausible(const struct search *search, const uint8_t *header, uint64_t at,
                                uint64_t file_size)
{
    ASSERT_HOT(at > search->bad_at);
    ASSERT_HOT((at - search->bad_at) % 8 == 0);
    ASSERT_HOT(at + RECORD_HEADER_SIZE <= file_size);
    if (header[9] != RECORD_VERSION || header[8] < RECORD_PUBLISH || header[8] > RECORD_HOLE ||
        bytes_load_u16(header + 12) != search->partition) {
        return false;
    }
    const uint64_t pos = bytes_load_u64(header + 16);
    /* Each position lost took a record's header at least. */
    const uint64_t pos_max =
        search->bad_pos + search->slack + (at - search->bad_at) / RECORD_HEADER_SIZE;
    const uint64_t body_size = bytes_load_u32(header + 4);
    return pos >= search->bad_pos && pos <= pos_max && pos < search->next_pos &&
           body_size <= RECORD_BODY_BYTES_MAX && record_size((size_t)body_size) <= file_size - at;
}

/* The next byte position from `at` on where a header is plausible. RC_END: none. */
static enum rc plausible_next(struct scan *scan, const struct search *search, uint64_t at,
                              uint64_t *ret_at)
{
    ASSERT_HOT(at > search->bad_at);
    for (;;) {
        struct bytes view;
        const enum rc rc = scan_view(scan, at, RECORD_HEADER_SIZE, &view);
        if (rc != RC_OK) {
            return rc;
        }
        ASSERT_HOT(view.size >= RECORD_HEADER_SIZE);
        size_t i = 0;
        for (; i + RECORD_HEADER_SIZE <= view.size; i += 8) {
            if (header_is_plausible(search, view.data + i, at + i, scan->file_size)) {
                *ret_at = at + i;
                return RC_OK;
            }
        }
        ASSERT_HOT(i > 0);
        ASSERT_HOT(i % 8 == 0);
        at += i;
    }
}

/* Follows the chain from the whole record at scan->at. */
static enum rc run_follow(struct scan *scan, const struct search *search, struct record record,
                          struct bytes bytes, struct scan_run *ret_run)
{
    ASSERT_HOT(scan->at > search->bad_at);
    ASSERT_HOT(record.size == bytes.size);
    struct scan_run run = {.at = scan->at, .first_pos = record.pos, .prev_hash = record.prev_hash};
    uint64_t pos = record.pos;
    uint64_t hash = record.prev_hash;
    enum rc rc = RC_OK;
    while (rc == RC_OK && record.partition == search->partition && record.pos == pos &&
           record.prev_hash == hash && pos < search->next_pos) {
        if (record_after(&record, bytes, &pos, &hash) != RC_OK) {
            break;
        }
        const uint64_t index = record.batch_index;
        /* The bad one may be a hole of no positions: a batch behind it has the same first one. */
        if (index < RECORD_BATCH_INDEX_MAX && (record.pos > search->bad_pos + index ||
                                               (record.pos == search->bad_pos && index == 0))) {
            run.later_batch = true;
        }
        ASSERT_HOT(record.size >= RECORD_HEADER_SIZE);
        ASSERT_HOT(record.size <= scan->file_size - scan->at);
        scan->at += record.size;
        rc = scan_record(scan, &record, &bytes);
    }
    run.end_at = scan->at;
    run.end_pos = pos;
    ASSERT_HOT(run.at <= run.end_at);
    ASSERT_HOT(run.end_at <= scan->file_size);
    *ret_run = run;
    return rc == RC_OK || rc == RC_END || rc == RC_CORRUPT ? RC_OK : rc;
}

/* The place of a plausible header: the run that begins there, or a step on (*ret_at). RC_END: the
 * effort is spent. */
static enum rc place_try(struct scan *scan, struct search *search, struct buf *runs,
                         uint64_t *ret_at)
{
    ASSERT_HOT(*ret_at > search->bad_at);
    ASSERT_HOT(runs->size % sizeof(struct scan_run) == 0);
    const uint64_t at = *ret_at;
    struct record record;
    struct bytes bytes;
    scan->at = at;
    *ret_at = at + 8;
    enum rc rc = scan_record(scan, &record, &bytes);
    if (rc == RC_OK) {
        struct scan_run run;
        rc = run_follow(scan, search, record, bytes, &run);
        if (rc == RC_OK && run.end_at > run.at) {
            ASSERT_HOT(run.at == at);
            *ret_at = run.end_at;
            rc = buf_append(runs, bytes_of(&run, sizeof(run)));
        }
        return rc;
    }
    ASSERT(rc != RC_END); /* a plausible header is not zero, and the file holds its record */
    if (rc != RC_CORRUPT) {
        return rc;
    }
    struct bytes view;
    rc = scan_view(scan, at, RECORD_HEADER_SIZE, &view);
    if (NEVER(rc != RC_OK)) { /* it has just been looked at */
        return rc;
    }
    const uint64_t cost = record_size(bytes_load_u32(view.data + 4));
    if (cost > search->effort_left) {
        return RC_END;
    }
    ASSERT_HOT(cost >= RECORD_HEADER_SIZE);
    search->effort_left -= cost;
    return RC_OK;
}

/* All runs behind the bad record, in the order of the file. */
static enum rc runs_collect(struct scan *scan, struct search *search, struct buf *runs,
                            bool *ret_exhausted)
{
    ASSERT(runs->size == 0);
    ASSERT(!*ret_exhausted);
    ASSERT(search->bad_at == scan->at);
    uint64_t at = search->bad_at + 8;
    for (;;) {
        enum rc rc = plausible_next(scan, search, at, &at);
        if (rc != RC_OK) {
            return rc == RC_END ? RC_OK : rc;
        }
        ASSERT_HOT(at > search->bad_at);
        rc = place_try(scan, search, runs, &at);
        if (rc != RC_OK) {
            *ret_exhausted = rc == RC_END;
            return rc == RC_END ? RC_OK : rc;
        }
    }
}

/* Whether the positions between the run and the next one can have stood between them. */
static bool run_fits(const struct scan_run *run, uint64_t next_pos, uint64_t next_at)
{
    ASSERT_HOT(run->end_pos < next_pos);
    ASSERT_HOT(run->end_at <= next_at);
    return next_at == UINT64_MAX ||
           next_pos - run->end_pos <= (next_at - run->end_at) / RECORD_HEADER_SIZE;
}

enum rc scan_behind(struct scan *scan, uint32_t partition, uint64_t bad_pos, uint64_t slack,
                    uint64_t next_pos, struct scan_behind *ret_behind)
{
    ASSERT(scan->at <= scan->file_size);
    ASSERT(ret_behind != NULL);
    const uint64_t bad_at = scan->at;
    struct search search = {
        .partition = partition,
        .bad_at = bad_at,
        .bad_pos = bad_pos,
        .slack = slack,
        .next_pos = next_pos,
        .effort_left = (scan->file_size - bad_at + KIB) * SCAN_EFFORT,
    };
    struct buf runs = {0};
    bool exhausted = false;
    const enum rc rc = runs_collect(scan, &search, &runs, &exhausted);
    scan->at = bad_at;
    if (rc != RC_OK) {
        buf_deinit(&runs);
        return rc;
    }
    /* From the end to the front: a run that reaches into the positions of a later one, or to them
     * without the chain, is not ours; nor is one between which and the later one there are not
     * enough bytes for what is missing. */
    ASSERT(runs.size % sizeof(struct scan_run) == 0);
    struct scan_behind behind = {.later_batch = exhausted};
    const struct scan_run *array = (const struct scan_run *)(const void *)runs.data;
    uint64_t limit = next_pos == UINT64_MAX ? next_pos : next_pos + 1;
    uint64_t limit_at = UINT64_MAX;
    for (size_t i = runs.size / sizeof(*array); i-- > 0;) {
        /* One that is not ours may be one of ours in the wrong place, and it is the other that is
         * not. So where runs contradict each other this is no torn tail, but damage for a person to
         * see. */
        behind.later_batch = behind.later_batch || array[i].later_batch;
        if (array[i].end_pos < limit && run_fits(&array[i], limit, limit_at)) {
            behind.found = true;
            behind.first = array[i];
            limit = array[i].first_pos;
            limit_at = array[i].at;
        }
    }
    buf_deinit(&runs);
    ASSERT(!behind.found || behind.first.at > bad_at);
    ASSERT(!behind.found || behind.first.end_at > behind.first.at);
    ASSERT(scan->at == bad_at);
    *ret_behind = behind;
    return RC_OK;
}
