/* Repair: all segments are read from the first, and what is damaged is cut out.
 *
 * In place of the damaged bytes comes a HOLE record, of just their size where something whole
 * stands behind them in the same segment, so that nothing else moves and the index stays right. The
 * hole says which positions are lost and which hash the record behind it carries: so the chain can
 * be verified from end to end again, and the same damage makes the same hole anywhere. The segment
 * is written anew under a temporary name and synced; the original is kept as <number>.seg.damaged.
 *
 *   what is found                              what is done
 *   ----------------------------------------   -----------------------------------------------
 *   bad record, whole ones behind it           a hole up to the nearest
 *   bad record, the next segment is whole      a hole at the end, up to that one's position
 *   zeros, and positions or a segment missing  the same
 *   bad header, whole records behind it        computed from the first, a hole in front of it
 *   bad header, nothing whole behind it        the segment goes (kept as .dropped)
 *   a segment that begins below our position   it goes: two histories; the chain is kept
 *
 * A segment that goes and has none behind it leaves nothing that tells of it: so first a hole of
 * unknown length is made at the end of the one in front. The same for one that is missing.
 *
 * Holes smaller than a HOLE record take in the records behind them, which are then lost, too.
 * Where the index of the segment is whole it tells which messages were lost.
 *
 * A torn tail is no damage: recovery cuts it afterwards, as always. A crash during a repair leaves
 * either file under its name, or the original under .damaged, which the next start renames back. */
#include "base/mark.h"
#include "base/mem.h"
#include "log/checkpoint.h"
#include "log/internal.h"
#include "log/walk.h"

#define HOLE_SIZE_MIN (RECORD_HEADER_SIZE + RECORD_HOLE_BODY_SIZE)
#define COPY_CHUNK    (64u * KIB)

static_assert(HOLE_SIZE_MIN % 8 == 0, "the smallest hole needs no padding");

struct repair {
    struct file_log *log;
    const struct file_log_options *options;
    struct listing *listing;
    struct walk walk;
    uint64_t last_segment; /* where the last hole was made: another one there is no progress */
    uint64_t last_at;
};

/* A hole to be made. */
struct cut {
    size_t item;
    struct segment_header header; /* the segment's, as it shall be */
    uint64_t at;
    uint64_t resume_at; /* where the next whole record is; 0: nothing in this segment */
    uint64_t pos;
    uint64_t hash;
    uint64_t end_pos;
    uint64_t resume_hash;
};

/* ---- what was lost ------------------------------------------------------------------------- */

/* A hole stands behind the header, before the place where the log goes on, and at a place that a
 * record can begin at. */
static void cut_check(const struct repair *r, const struct cut *cut)
{
    ASSERT(cut->item < r->listing->count);
    ASSERT(cut->at >= SEGMENT_HEADER_SIZE);
    ASSERT(cut->at % 8 == 0);
    ASSERT(cut->resume_at == 0 || cut->resume_at % 8 == 0);
    ASSERT(cut->resume_at == 0 || cut->resume_at > cut->at);
}

static enum rc losses_of_row(struct repair *r, struct index_pages *pages,
                             const struct index_head *head, const struct index_row *row,
                             uint64_t first_at, uint64_t end_at)
{
    ASSERT(first_at < end_at);
    ASSERT(row->entry_count > 0);
    for (uint32_t e = 0; e < row->entry_count; e++) {
        struct index_entry entry;
        uint32_t crc;
        enum rc rc = index_file_entry(pages, head, row, e, &entry, &crc);
        if (rc != RC_OK) {
            return rc;
        }
        if (entry.at < first_at || entry.at >= end_at) {
            continue;
        }
        const struct log_loss loss = {row->channel_id, entry.first_seq,
                                      entry.first_seq + entry.count - 1};
        const size_t count = r->log->losses.size / sizeof(loss);
        struct log_loss *last =
            count == 0 ? NULL : (struct log_loss *)(void *)r->log->losses.data + count - 1;
        if (last != NULL && last->channel_id == loss.channel_id && last->to + 1 == loss.from) {
            last->to = loss.to;
            continue;
        }
        rc = buf_append(&r->log->losses, bytes_of(&loss, sizeof(loss)));
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static enum rc losses_from(struct repair *r, const struct index_summary *summary,
                           struct storage_file *file, uint64_t first_at, uint64_t end_at)
{
    ASSERT(first_at < end_at);
    ASSERT(file != NULL);
    struct index_pages pages;
    index_pages_begin(&pages, &r->log->storage, file);
    enum rc rc = RC_OK;
    for (uint64_t i = 0; rc == RC_OK && i < summary->head.channel_count; i++) {
        struct index_row row;
        rc = index_file_row(&pages, &summary->head, i, &row);
        if (rc == RC_OK) {
            rc = losses_of_row(r, &pages, &summary->head, &row, first_at, end_at);
        }
    }
    return rc == RC_CORRUPT ? RC_OK : rc; /* what a damaged index can't tell stays untold */
}

/* Notes the messages whose records began in first_at … end_at, as far as the index knows. */
static enum rc note_losses(struct repair *r, uint64_t number, uint64_t first_at, uint64_t end_at)
{
    ASSERT(number > 0);
    ASSERT(first_at < end_at);
    struct index_summary *summary;
    enum rc rc = index_summary_open(&r->log->storage, r->log->folder, number, &summary);
    if (rc == RC_NOT_FOUND || rc == RC_CORRUPT) {
        return RC_OK;
    }
    if (rc != RC_OK) {
        return rc;
    }
    const struct log_name name = log_name_of(r->log->folder, number, ".idx");
    struct storage_file *file;
    rc = files_open(&r->log->storage, name.text, STORAGE_READ, &file);
    ASSERT(summary->head.number == number);
    if (rc == RC_OK) {
        rc = losses_from(r, summary, file, first_at, end_at);
        files_close(&r->log->storage, file);
    }
    index_summary_close(summary);
    return rc;
}

static void report(const struct repair *r, size_t item, uint64_t at, uint64_t size,
                   const char *what)
{
    ASSERT(item < r->listing->count);
    ASSERT(what != NULL);
    const struct log_name name =
        log_name_of(r->log->folder, r->listing->items[item].number, ".seg");
    const struct log_damage damage = {
        .file = name.text, .at = at, .size = size, .what = what, .repaired = true};
    log_report(r->options, &damage);
}

/* ---- files --------------------------------------------------------------------------------- */

static enum rc rename_synced(const struct repair *r, uint64_t number, const char *from,
                             const char *to)
{
    ASSERT(number > 0);
    ASSERT(strcmp(from, to) != 0);
    const struct log_name from_name = log_name_of(r->log->folder, number, from);
    const struct log_name to_name = log_name_of(r->log->folder, number, to);
    const enum rc rc = files_rename(&r->log->storage, from_name.text, to_name.text);
    return rc == RC_OK ? files_sync_dir(&r->log->storage, r->log->folder) : rc;
}

/* Takes a segment out of the log in which nothing can be used. */
static enum rc drop_segment(struct repair *r, size_t item, const char *what)
{
    ASSERT(item < r->listing->count);
    ASSERT(what != NULL);
    ASSERT(r->listing->items[item].has_segment);
    const uint64_t number = r->listing->items[item].number;
    report(r, item, 0, 0, what);
    enum rc rc = note_losses(r, number, 0, UINT64_MAX);
    /* First what the next start must not find without a segment: index, checkpoint, and the
     * original that an earlier repair kept, for which it would take a repair cut short. */
    static const char *const suffixes[] = {".idx", ".ckp", ".seg.damaged"};
    for (size_t i = 0; rc == RC_OK && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        const struct log_name name = log_name_of(r->log->folder, number, suffixes[i]);
        rc = files_remove(&r->log->storage, name.text);
    }
    if (rc == RC_OK) {
        rc = files_sync_dir(&r->log->storage, r->log->folder);
    }
    if (rc == RC_OK) {
        rc = rename_synced(r, number, ".seg", ".seg.dropped");
    }
    if (rc == RC_OK) {
        listing_drop(r->listing, item);
    }
    return rc;
}

static enum rc copy_range(const struct repair *r, struct storage_file *from,
                          struct storage_file *to, uint64_t first, uint64_t end)
{
    ASSERT(first % 8 == 0);
    ASSERT(from != to);
    struct buf buffer = {0};
    enum rc rc = buf_reserve(&buffer, COPY_CHUNK);
    for (uint64_t at = first; rc == RC_OK && at < end;) {
        const size_t size = end - at < COPY_CHUNK ? (size_t)(end - at) : COPY_CHUNK;
        ASSERT_HOT(size > 0);
        ASSERT_HOT(size <= buffer.capacity);
        rc = files_read_exact(&r->log->storage, from, buffer.data, size, at);
        if (rc == RC_OK) {
            rc = files_write(&r->log->storage, to, bytes_of(buffer.data, size), at);
        }
        at += size;
    }
    buf_deinit(&buffer);
    return rc;
}

/* The hole's record, of the size of what it replaces. */
static enum rc hole_encode(const struct repair *r, const struct cut *cut, struct log_batch *batch)
{
    cut_check(r, cut);
    ASSERT(cut->pos <= cut->end_pos);
    const uint64_t size = cut->resume_at == 0 ? HOLE_SIZE_MIN : cut->resume_at - cut->at;
    ASSERT(size >= HOLE_SIZE_MIN);
    if (size - RECORD_HEADER_SIZE > RECORD_BODY_BYTES_MAX) {
        return RC_CORRUPT;
    }
    struct record_hole hole = {
        .first_pos = cut->pos,
        .end_pos = cut->end_pos,
        .resume_hash = cut->resume_hash,
        .segment = cut->header.number,
        .at = cut->at,
        .size = cut->resume_at == 0 ? 0 : size,
    };
    uint8_t *body = mem_calloc(1, (size_t)size - RECORD_HEADER_SIZE);
    if (body == NULL) {
        return RC_NOMEM;
    }
    record_hole_encode(&hole, body);
    ASSERT(hole.first_pos == cut->pos);
    batch_begin(batch, r->log->partition, cut->pos, cut->hash, 0); /* nobody looks at a hole's */
    const enum rc rc =
        batch_append(batch, RECORD_HOLE, 0, bytes_of(body, (size_t)size - RECORD_HEADER_SIZE));
    mem_free(body);
    ASSERT(rc != RC_OK || batch->bytes.size == size);
    return rc;
}

/* The segment with the hole in it, whole. */
static enum rc write_cut(const struct repair *r, const struct cut *cut,
                         const struct log_batch *hole, struct storage_file *from,
                         struct storage_file *to)
{
    cut_check(r, cut);
    ASSERT(hole->bytes.size >= HOLE_SIZE_MIN);
    ASSERT(cut->resume_at == 0 || cut->at + hole->bytes.size == cut->resume_at);
    const uint64_t found_size = r->listing->items[cut->item].size;
    /* What is longer than any segment was not written by us: nothing of it is taken over. */
    const uint64_t old_size = found_size > SEGMENT_BYTES_MAX ? 0 : found_size;
    const uint64_t hole_end = cut->at + hole->bytes.size;
    const uint64_t size = old_size > cut->header.size_ahead ? old_size : cut->header.size_ahead;
    uint8_t header[SEGMENT_HEADER_SIZE];
    segment_header_encode(&cut->header, header);
    enum rc rc = files_write(&r->log->storage, to, bytes_of(header, sizeof(header)), 0);
    if (rc == RC_OK) {
        rc = copy_range(r, from, to, SEGMENT_HEADER_SIZE, cut->at);
    }
    if (rc == RC_OK) {
        rc = files_write(&r->log->storage, to, buf_bytes(&hole->bytes), cut->at);
    }
    if (rc == RC_OK && cut->resume_at != 0) {
        rc = copy_range(r, from, to, cut->resume_at, old_size);
    } else if (rc == RC_OK && hole_end < size) {
        rc = files_fill_zero(&r->log->storage, to, hole_end, size);
    }
    return rc == RC_OK ? files_sync(&r->log->storage, to) : rc;
}

static enum rc replace_segment(struct repair *r, const struct cut *cut,
                               const struct log_batch *hole)
{
    ASSERT(hole->first_pos + 1 == hole->end_pos);
    ASSERT(r->listing->items[cut->item].number == cut->header.number);
    struct found_segment *found = &r->listing->items[cut->item];
    const struct log_name name = log_name_of(r->log->folder, found->number, ".seg");
    const struct log_name temporary = log_name_of(r->log->folder, found->number, ".seg.tmp");
    struct storage_file *from = NULL;
    struct storage_file *to = NULL;
    enum rc rc = files_open(&r->log->storage, name.text, STORAGE_READ, &from);
    if (rc == RC_OK) {
        rc = files_create_anew(&r->log->storage, temporary.text, &to);
    }
    if (rc == RC_OK) {
        rc = write_cut(r, cut, hole, from, to);
    }
    files_close(&r->log->storage, from);
    files_close(&r->log->storage, to);
    if (rc == RC_OK) {
        rc = rename_synced(r, found->number, ".seg", ".seg.damaged");
    }
    if (rc == RC_OK) {
        rc = rename_synced(r, found->number, ".seg.tmp", ".seg");
    }
    if (rc == RC_OK) {
        found->header = cut->header;
        found->header_whole = true;
        found->has_damaged = true;
    }
    ASSERT(rc != RC_OK || found->header_whole);
    return rc;
}

/* ---- holes --------------------------------------------------------------------------------- */

/* Behind the hole comes the next segment: its header says where the log goes on. */
static void resume_in_next(const struct repair *r, struct cut *cut)
{
    ASSERT(cut->item < r->listing->count);
    cut->resume_at = 0;
    if (cut->item + 1 < r->listing->count) {
        const struct found_segment *next = &r->listing->items[cut->item + 1];
        if (next->header_whole && next->header.first_pos >= cut->end_pos) {
            cut->end_pos = next->header.first_pos;
            cut->resume_hash = next->header.prev_hash;
        }
    }
}

static uint64_t next_pos_of(const struct repair *r, size_t item)
{
    ASSERT(item < r->listing->count);
    if (item + 1 < r->listing->count && r->listing->items[item + 1].header_whole) {
        return r->listing->items[item + 1].header.first_pos;
    }
    return UINT64_MAX;
}

/* Moves the end of the hole on by one record, or by what stands behind one that is bad. */
static enum rc widen_by_one(struct repair *r, struct scan *scan, struct cut *cut)
{
    cut_check(r, cut);
    ASSERT(scan->file_ != NULL);
    struct record record;
    struct bytes bytes;
    scan->at = cut->resume_at;
    enum rc rc = scan_record(scan, &record, &bytes);
    if (rc == RC_OK && record.pos == cut->end_pos && record.prev_hash == cut->resume_hash &&
        record.partition == r->log->partition &&
        record_after(&record, bytes, &cut->end_pos, &cut->resume_hash) == RC_OK) {
        cut->resume_at += record.size;
        return RC_OK;
    }
    if (rc != RC_OK && rc != RC_END && rc != RC_CORRUPT) {
        return rc;
    }
    struct scan_behind behind;
    rc = scan_behind(scan, r->log->partition, cut->end_pos, 0, next_pos_of(r, cut->item), &behind);
    if (rc != RC_OK) {
        return rc;
    }
    if (behind.found) {
        ASSERT(behind.first.at > cut->resume_at);
        cut->resume_at = behind.first.at;
        cut->end_pos = behind.first.first_pos;
        cut->resume_hash = behind.first.prev_hash;
    } else {
        resume_in_next(r, cut);
    }
    return RC_OK;
}

/* Makes the hole as large as its record must be. */
static enum rc widen(struct repair *r, struct cut *cut)
{
    ASSERT(cut->resume_at == 0 || cut->resume_at > cut->at);
    if (cut->resume_at == 0 || cut->resume_at - cut->at >= HOLE_SIZE_MIN) {
        return RC_OK;
    }
    const struct found_segment *found = &r->listing->items[cut->item];
    const struct log_name name = log_name_of(r->log->folder, found->number, ".seg");
    struct storage_file *file;
    enum rc rc = files_open(&r->log->storage, name.text, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc;
    }
    struct buf buffer = {0};
    struct scan scan;
    scan_begin(&scan, &r->log->storage, file, found->size, cut->resume_at, &buffer);
    while (rc == RC_OK && cut->resume_at != 0 && cut->resume_at - cut->at < HOLE_SIZE_MIN) {
        rc = widen_by_one(r, &scan, cut);
    }
    buf_deinit(&buffer);
    files_close(&r->log->storage, file);
    ASSERT(rc != RC_OK || cut->resume_at == 0 || cut->resume_at - cut->at >= HOLE_SIZE_MIN);
    return rc;
}

static enum rc make_hole(struct repair *r, struct cut *cut, const char *what)
{
    cut_check(r, cut);
    ASSERT(what != NULL);
    const uint64_t number = r->listing->items[cut->item].number;
    if (number == r->last_segment && cut->at == r->last_at) {
        return RC_CORRUPT; /* the hole that we made is not what is read there */
    }
    r->last_segment = number;
    r->last_at = cut->at;
    enum rc rc = widen(r, cut);
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT(cut->end_pos >= cut->pos);
    ASSERT(r->last_segment == cut->header.number);
    report(r, cut->item, cut->at, cut->resume_at == 0 ? 0 : cut->resume_at - cut->at, what);
    struct log_batch hole = {0};
    rc = hole_encode(r, cut, &hole);
    if (rc == RC_OK) {
        rc = note_losses(r, number, cut->at, cut->resume_at == 0 ? UINT64_MAX : cut->resume_at);
    }
    if (rc == RC_OK) {
        rc = replace_segment(r, cut, &hole);
    }
    batch_deinit(&hole);
    return rc;
}

/* ---- decisions ----------------------------------------------------------------------------- */

/* Whole records in a segment whose header is bad. */
static enum rc search_headerless(struct repair *r, size_t item, struct scan_behind *ret_behind)
{
    ASSERT(item < r->listing->count);
    ASSERT(!r->listing->items[item].header_whole);
    const struct found_segment *found = &r->listing->items[item];
    *ret_behind = (struct scan_behind){0};
    if (found->size < SEGMENT_HEADER_SIZE || found->size > SEGMENT_BYTES_MAX) {
        return RC_OK;
    }
    const struct log_name name = log_name_of(r->log->folder, found->number, ".seg");
    struct storage_file *file;
    enum rc rc = files_open(&r->log->storage, name.text, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc;
    }
    struct buf buffer = {0};
    struct scan scan;
    scan_begin(&scan, &r->log->storage, file, found->size, SEGMENT_HEADER_SIZE - 8, &buffer);
    rc = scan_behind(&scan, r->log->partition, r->walk.pos, walk_slack(&r->walk),
                     next_pos_of(r, item), ret_behind);
    buf_deinit(&buffer);
    files_close(&r->log->storage, file);
    ASSERT(!ret_behind->found || ret_behind->first.at >= SEGMENT_HEADER_SIZE);
    return rc;
}

/* Records are lost from the walk's place on. */
static enum rc repair_records(struct repair *r, const struct walk_step *step)
{
    ASSERT(step->kind == WALK_DAMAGE);
    ASSERT(r->walk.file != NULL);
    const size_t item = walk_item(&r->walk);
    const struct found_segment *found = &r->listing->items[item];
    ASSERT(found->header_whole);
    struct cut cut = {
        .item = item,
        .header = found->header,
        .at = r->walk.scan.at,
        .pos = r->walk.pos,
        .hash = r->walk.hash,
        .end_pos = r->walk.pos,
        .resume_hash = r->walk.hash,
    };
    if (step->behind.found) {
        cut.resume_at = step->behind.first.at;
        cut.end_pos = step->behind.first.first_pos;
        cut.resume_hash = step->behind.first.prev_hash;
    } else {
        resume_in_next(r, &cut); /* and at the very end, how much is lost nobody knows */
    }
    const enum rc rc = make_hole(r, &cut, step->what);
    return rc == RC_OK ? walk_resume(&r->walk, cut.at) : rc;
}

/* Takes the next segment out of the log. In front of the last one there must be a hole; if it has
 * to be made, a later step comes back here. */
static enum rc drop_next(struct repair *r, size_t item, const char *what)
{
    ASSERT(item == r->walk.next_item);
    ASSERT(item > 0 && r->walk.file != NULL);
    if (item + 1 < r->listing->count || r->walk.end_marked) {
        return drop_segment(r, item, what);
    }
    MARK("repair: the end of the log goes");
    const struct walk_step end = {.kind = WALK_DAMAGE, .what = "end of the log"};
    return repair_records(r, &end);
}

/* The next segment's header is bad. Afterwards it is whole, or the segment is gone. */
static enum rc repair_header(struct repair *r)
{
    ASSERT(r->walk.next_item < r->listing->count);
    ASSERT(!r->listing->items[r->walk.next_item].header_whole);
    const size_t item = r->walk.next_item;
    const bool is_first = r->walk.file == NULL;
    struct scan_behind behind;
    const enum rc rc = search_headerless(r, item, &behind);
    if (rc != RC_OK) {
        return rc;
    }
    if (!behind.found && !is_first) {
        return drop_next(r, item, "nothing whole in it");
    }
    /* The first segment begins where we know that it does; another one with the first record found
     * in it, and what is missing in front of that is the segment's before it. */
    struct cut cut = {
        .item = item,
        .at = SEGMENT_HEADER_SIZE,
        .resume_at = behind.found ? behind.first.at : 0,
        .end_pos = behind.found ? behind.first.first_pos : r->walk.pos,
        .resume_hash = behind.found ? behind.first.prev_hash : r->walk.hash,
    };
    cut.pos = is_first ? r->walk.pos : cut.end_pos;
    cut.hash = is_first ? r->walk.hash : cut.resume_hash;
    cut.header = (struct segment_header){
        .partition = r->log->partition,
        .incarnation = r->log->incarnation,
        .number = r->listing->items[item].number,
        .first_pos = cut.pos,
        .prev_hash = cut.hash,
        .flags = r->walk.unsynced ? SEGMENT_UNSYNCED : 0,
    };
    if (!behind.found) {
        resume_in_next(r, &cut);
    }
    if (cut.resume_at == SEGMENT_HEADER_SIZE) { /* the first record is whole: no hole is needed */
        const uint64_t pos = r->walk.pos;
        const uint64_t hash = r->walk.hash;
        r->walk.pos = cut.pos;
        r->walk.hash = cut.hash;
        report(r, item, 0, SEGMENT_HEADER_SIZE, "header");
        const enum rc healed = log_heal_header(r->log, &r->walk);
        r->walk.pos = pos;
        r->walk.hash = hash;
        return healed;
    }
    return make_hole(r, &cut, "header");
}

static enum rc repair_damage(struct repair *r, const struct walk_step *step)
{
    ASSERT(step->kind == WALK_DAMAGE);
    ASSERT(step->what != NULL);
    const bool has_next = r->walk.next_item < r->listing->count;
    const bool at_records = r->walk.file != NULL && !step->of_next;
    if (at_records && step->behind.found) {
        return repair_records(r, step);
    }
    if (has_next) {
        const struct found_segment *next = &r->listing->items[r->walk.next_item];
        if (!next->header_whole) {
            return repair_header(r);
        }
        /* In front of the first segment the walk stands where its header says. */
        if (next->header.first_pos < r->walk.pos || NEVER(r->walk.file == NULL)) {
            return drop_next(r, r->walk.next_item, "not of this history");
        }
    }
    return NEVER(r->walk.file == NULL) ? RC_CORRUPT : repair_records(r, step);
}

static enum rc take_step(struct repair *r, const struct walk_step *step)
{
    ASSERT_HOT(r->walk.listing == r->listing);
    ASSERT_HOT(step->kind != WALK_DAMAGE || step->file != NULL);
    enum rc rc;
    switch (step->kind) {
    case WALK_SEGMENT:
    case WALK_NOTE:
    case WALK_RECORD: return RC_OK;
    case WALK_HEAL:
        report(r, step->item, step->at, step->size, step->what);
        rc = log_heal_header(r->log, &r->walk);
        return rc == RC_OK ? walk_enter(&r->walk) : rc;
    case WALK_DAMAGE: return repair_damage(r, step);
    case WALK_CUT: /* recovery's, as always */
    case WALK_DROP:
    case WALK_END: return RC_END;
    }
    UNREACHABLE();
}

/* Where the log begins. Segments in front of which nothing tells that go.
 * RC_CORRUPT  none is left */
static enum rc first_place(struct repair *r, uint64_t *ret_pos, uint64_t *ret_hash)
{
    ASSERT(ret_pos != NULL);
    ASSERT(ret_hash != NULL);
    for (;;) {
        ASSERT(r->listing->count > 0);
        const struct found_segment *first = &r->listing->items[0];
        if (first->header_whole) {
            *ret_pos = first->header.first_pos;
            *ret_hash = first->header.prev_hash;
            return RC_OK;
        }
        if (first->number == 1) {
            *ret_pos = 0;
            *ret_hash = r->log->incarnation;
            return RC_OK;
        }
        struct checkpoint checkpoint;
        struct buf state = {0};
        enum rc rc =
            checkpoint_read(&r->log->storage, r->log->folder, first->number, &checkpoint, &state);
        buf_deinit(&state);
        if (rc == RC_OK && checkpoint.incarnation == r->log->incarnation) {
            *ret_pos = checkpoint.pos;
            *ret_hash = checkpoint.hash;
            return RC_OK;
        }
        if (rc != RC_OK && rc != RC_CORRUPT && rc != RC_NOT_FOUND) {
            return rc;
        }
        if (r->listing->count == 1) {
            const struct log_name name = log_name_of(r->log->folder, first->number, ".seg");
            const struct log_damage damage = {.file = name.text, .what = "no beginning is left"};
            log_report(r->options, &damage);
            return RC_CORRUPT;
        }
        rc = drop_segment(r, 0, "nothing tells where it begins");
        if (rc != RC_OK) {
            return rc;
        }
    }
}

/* Before anything is changed: the index that tells of a missing newest segment tells nothing any
 * more once its own segment is repaired. A checkpoint of the missing one, empty, says it instead,
 * also if this repair is cut off; listing_forget_missing() removes it. */
static enum rc note_missing(struct repair *r)
{
    ASSERT(r->listing->count > 0);
    if (r->listing->cut || !listing_tells_more(r->listing)) {
        return RC_OK;
    }
    const struct found_segment *last = &r->listing->items[r->listing->count - 1];
    const struct log_name name = log_name_of(r->log->folder, last->number + 1, ".ckp");
    ASSERT(last->has_index);
    struct storage_file *file;
    enum rc rc = files_create_anew(&r->log->storage, name.text, &file);
    if (rc == RC_OK) {
        files_close(&r->log->storage, file);
        rc = files_sync_dir(&r->log->storage, r->log->folder);
    }
    if (rc == RC_OK) {
        MARK("repair: it is written down that the newest segment is missing");
        r->listing->cut = true;
    }
    return rc;
}

enum rc log_repair(struct file_log *log, const struct file_log_options *options,
                   struct listing *listing)
{
    ASSERT(listing->count > 0);
    ASSERT(options->repair);
    struct repair r = {.log = log, .options = options, .listing = listing};
    uint64_t pos = 0;
    uint64_t hash = 0;
    enum rc rc = note_missing(&r);
    if (rc == RC_OK) {
        rc = first_place(&r, &pos, &hash);
    }
    if (rc != RC_OK) {
        return rc;
    }
    walk_begin(&r.walk, &log->storage, log->folder, log->partition, listing, 0, pos, hash);
    while (rc == RC_OK) {
        struct walk_step step = {0};
        rc = walk_next(&r.walk, &step);
        if (rc == RC_OK) {
            rc = take_step(&r, &step);
        }
    }
    walk_deinit(&r.walk);
    ASSERT(rc != RC_OK);
    return rc == RC_END ? RC_OK : rc;
}
