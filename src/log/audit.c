#include "log/audit.h"

#include "log/checkpoint.h"
#include "log/index_file.h"

/* An index is only gathered while the state is known, and known all through means known now. */
static void audit_check(const struct audit *audit)
{
    ASSERT_HOT(audit->report != NULL);
    ASSERT_HOT(!audit->whole || audit->known);
    ASSERT_HOT(audit->replay != NULL || !audit->known);
    ASSERT_HOT(audit->index == NULL || audit->found != NULL);
}

void audit_lost(struct audit *audit)
{
    audit->known = false;
    audit->whole = false;
    audit_check(audit);
}

void audit_deinit(struct audit *audit)
{
    ASSERT(audit != NULL);
    segment_index_close(audit->index);
    audit->index = NULL;
}

/* ---- the index of the segment that has ended ----------------------------------------------- */

static bool entries_equal(const struct index_entry *a, const struct index_entry *b)
{
    ASSERT_HOT(a != b);
    ASSERT_HOT(b->count > 0);
    return a->first_seq == b->first_seq && a->time_ms == b->time_ms && a->at == b->at &&
           a->count == b->count && a->digest == b->digest;
}

/* RC_CORRUPT: the row or one of its entries is not what was computed; it has been told. */
static enum rc compare_row(struct audit *audit, struct index_pages *pages,
                           const struct index_head *head, const struct index_row *row)
{
    ASSERT_HOT(row->entry_count > 0);
    ASSERT_HOT(row->first_seq < row->end_seq);
    const struct index_channel *computed =
        audit->index == NULL ? NULL : segment_index_find(audit->index, row->channel_id);
    if (computed == NULL || computed->entry_count != row->entry_count ||
        index_channel_first_seq(computed) != row->first_seq ||
        index_channel_end_seq(computed) != row->end_seq) {
        audit->report(audit->ctx, head->number, ".idx", index_file_entry_at(head, row, 0),
                      "index differs from the log");
        return RC_CORRUPT;
    }
    struct index_cursor cursor = index_channel_begin(computed);
    for (uint32_t e = 0; e < row->entry_count; e++, index_cursor_next(&cursor)) {
        struct index_entry entry;
        uint32_t crc;
        const enum rc rc = index_file_entry(pages, head, row, e, &entry, &crc);
        if (rc != RC_OK) {
            return rc;
        }
        const struct index_entry *wanted = index_cursor_entry(&cursor);
        ASSERT(wanted != NULL); /* there are as many */
        if (!entries_equal(&entry, wanted)) {
            audit->report(audit->ctx, head->number, ".idx", index_file_entry_at(head, row, e),
                          entry.digest != wanted->digest ? "digest differs from the log's"
                                                         : "index differs from the log");
            return RC_CORRUPT;
        }
    }
    return RC_OK;
}

static enum rc compare_rows(struct audit *audit, const struct index_head *head,
                            struct storage_file *file)
{
    ASSERT(file != NULL);
    ASSERT(audit->found->number == head->number);
    struct index_pages pages;
    index_pages_begin(&pages, audit->storage, file);
    enum rc rc = RC_OK;
    const uint64_t count = audit->index == NULL ? 0 : segment_index_channel_count(audit->index);
    if (head->channel_count != count) {
        audit->report(audit->ctx, head->number, ".idx", 0, "index differs from the log");
        return RC_OK;
    }
    for (uint64_t i = 0; rc == RC_OK && i < head->channel_count; i++) {
        struct index_row row;
        rc = index_file_row(&pages, head, i, &row);
        if (rc == RC_OK) {
            rc = compare_row(audit, &pages, head, &row);
        }
    }
    return rc == RC_CORRUPT ? RC_OK : rc; /* told, or a damaged page, which others tell */
}

static enum rc compare_index(struct audit *audit)
{
    ASSERT(audit->found->has_index);
    ASSERT(audit->whole);
    struct index_summary *summary;
    enum rc rc = index_summary_open(audit->storage, audit->folder, audit->found->number, &summary);
    if (rc == RC_CORRUPT) {
        return RC_OK; /* others tell */
    }
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT(summary->head.number == audit->found->number);
    const struct log_name name = log_name_of(audit->folder, audit->found->number, ".idx");
    struct storage_file *file;
    rc = files_open(audit->storage, name.text, STORAGE_READ, &file);
    if (rc == RC_OK) {
        rc = compare_rows(audit, &summary->head, file);
        files_close(audit->storage, file);
    }
    index_summary_close(summary);
    return rc;
}

enum rc audit_end(struct audit *audit)
{
    audit_check(audit);
    enum rc rc = RC_OK;
    if (audit->found != NULL && audit->whole && audit->found->has_index) {
        rc = compare_index(audit);
    }
    audit_deinit(audit);
    audit->found = NULL;
    ASSERT(audit->index == NULL);
    ASSERT(audit->found == NULL);
    return rc;
}

/* ---- the checkpoint of the segment that begins --------------------------------------------- */

/* The computed state must be the checkpoint's. If it is not the log decides: it goes on with its
 * own. */
static enum rc compare_state(struct audit *audit, struct bytes state)
{
    ASSERT(audit->known);
    ASSERT(audit->found != NULL);
    struct buf computed = {0};
    const enum rc rc = audit->replay->encode(audit->replay->ctx, &computed);
    if (rc == RC_OK && !bytes_equal(buf_bytes(&computed), state)) {
        size_t at = 0;
        while (at < state.size && at < computed.size && state.data[at] == computed.data[at]) {
            at++;
        }
        audit->report(audit->ctx, audit->found->number, ".ckp", CHECKPOINT_HEADER_SIZE + at,
                      "state differs from the log's");
    }
    buf_deinit(&computed);
    return rc;
}

static enum rc take_state(struct audit *audit, uint64_t pos, struct bytes state)
{
    ASSERT(!audit->known);
    ASSERT(state.size == 0 || state.data != NULL);
    const enum rc rc = audit->replay->restore(audit->replay->ctx, pos, state);
    if (rc == RC_CORRUPT) {
        audit->report(audit->ctx, audit->found->number, ".ckp", CHECKPOINT_HEADER_SIZE,
                      "no state that can be read");
        audit_lost(audit);
        return RC_OK;
    }
    audit->known = rc == RC_OK;
    ASSERT(audit->known == (rc == RC_OK));
    return rc;
}

static enum rc meet_checkpoint(struct audit *audit)
{
    ASSERT(audit->found != NULL);
    ASSERT(audit->found->has_checkpoint);
    const struct found_segment *found = audit->found;
    struct checkpoint checkpoint;
    struct buf state = {0};
    enum rc rc = checkpoint_read(audit->storage, audit->folder, found->number, &checkpoint, &state);
    const bool fits = rc == RC_OK && found->header_whole &&
                      checkpoint.pos == found->header.first_pos &&
                      checkpoint.hash == found->header.prev_hash;
    if (fits) {
        rc = audit->known ? compare_state(audit, buf_bytes(&state))
                          : take_state(audit, checkpoint.pos, buf_bytes(&state));
    }
    buf_deinit(&state);
    return rc == RC_CORRUPT ? RC_OK : rc; /* not whole: others tell */
}

enum rc audit_segment(struct audit *audit, const struct found_segment *found)
{
    ASSERT(found->has_segment);
    ASSERT(found->number > 0);
    if (audit->replay == NULL) {
        return RC_OK;
    }
    const bool is_first = audit->found == NULL && !audit->known;
    enum rc rc = audit_end(audit);
    audit->found = found;
    if (rc == RC_OK && is_first && found->header_whole && found->header.first_pos == 0) {
        rc = take_state(audit, 0, (struct bytes){0});
    }
    if (rc == RC_OK && found->has_checkpoint) {
        rc = meet_checkpoint(audit);
    }
    audit->whole = audit->known;
    audit_check(audit);
    return rc;
}

/* ---- records ------------------------------------------------------------------------------- */

enum rc log_replay_index_add(struct audit *audit, struct log_place place, uint64_t channel_id,
                             uint64_t first_seq, uint32_t count, uint64_t time_ms, uint64_t digest)
{
    ASSERT_HOT(audit->known);
    ASSERT_HOT(place.at >= SEGMENT_HEADER_SIZE);
    ASSERT(count > 0);
    ASSERT(place.segment == audit->found->number);
    const struct index_entry entry = {
        .first_seq = first_seq,
        .time_ms = time_ms,
        .digest = digest,
        .at = place.at,
        .count = count,
        .crc = place.crc,
    };
    if (audit->index == NULL) {
        const enum rc rc = segment_index_open(&audit->index);
        if (rc != RC_OK) {
            return rc;
        }
    }
    ASSERT_HOT(audit->index != NULL);
    return segment_index_add(audit->index, channel_id, &entry);
}

enum rc audit_record(struct audit *audit, const struct record *record, struct log_place place)
{
    audit_check(audit);
    if (audit->replay == NULL || !audit->known) {
        return RC_OK;
    }
    if (record->type == RECORD_HOLE) {
        audit_lost(audit);
        return RC_OK;
    }
    ASSERT_HOT(audit->found != NULL);
    ASSERT_HOT(place.segment == audit->found->number);
    const enum rc rc = audit->replay->apply(audit->replay->ctx, audit, record, place);
    if (rc == RC_CORRUPT) {
        audit->report(audit->ctx, place.segment, ".seg", place.at, "no command that can be read");
        audit_lost(audit);
        return RC_OK;
    }
    return rc;
}
