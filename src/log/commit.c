/* The committer: batches to the active segment, one write and one sync each.
 *
 * Happy path: the batch is written behind the last one and synced. If it does not fit, the log
 * rolls: what is unsynced in the full segment is synced, the next segment is taken from the
 * prepared file by rename (or made here, if the keeper was not in time), its header and the batch
 * are written, the file and then the folder are synced, and only then the full segment is let go.
 * So at most one segment ever has anything that is not on disk.
 *
 * Failures:
 *
 *   a write fails       nothing of the batch counts. STOPPED: reopen() zeroes what the write may
 *                       have left, and goes on if that succeeds; for want of space, only when there
 *                       is room for a segment again. Until then it is FULL, if it can be: see below
 *   a roll fails        as a write. The file that may have been begun is removed by reopen(). For
 *                       want of descriptors or memory (RC_NOMEM) it is tried again, as for space
 *   memory runs out     of a committed batch only the beginning was applied. STOPPED: reopen()
 *   while applying      zeroes the rest of it as well, for its publishers are told that nothing was
 *                       stored; then file_log_reopened() tells the owner's side
 *   a sync fails        DEAD: the kernel may have dropped the pages and forgotten the error; no
 *                       call on this file says any more what is on disk. Only a new start reads it
 *                       back; on_sync_failed() lets it know, for what was committed without a sync
 *
 * A full disk gets room when retention removes segments, and before they may go a trim must be in
 * the log. So where no next segment is prepared and there is no room to make one, a batch is
 * refused for want of space, as if it had been written and failed, if it would reach into the last
 * part of a segment that was written ahead, which so keeps its space; or would make a segment grow
 * that was not, or begin one: what is left of the disk is kept free. In the state FULL batches go
 * on as far as there is room.
 *
 * In each case what was written of the batch is overwritten or removed at once, as far as the disk
 * lets us, since its publishers are told that nothing was stored.
 *
 * A segment in which anything is committed without a sync of its own is marked in its header: it
 * may end in a patchwork after a power cut (walk.c, rule G). A mark can't be added later without
 * risking the header, so the first such commit rolls to a new segment, and from then on all new
 * segments are marked.
 *
 * Thread: the committer's.  Memory: nothing is allocated here. */
#include "base/mark.h"
#include "log/internal.h"

/* What must be free before a log that ran out of space goes on: a segment or this, whichever is
 * less, and the reserve for index and checkpoint. */
#define REOPEN_ROOM_MAX (16u * MIB)
#define REOPEN_RESERVE  MIB

/* What is kept free in a segment for trims: this part of it, but no more than for the entries of
 * 131,000 channels. And what there must be: of it on disk, one trim; or of the disk, for a segment
 * that begins with one. */
#define TRIM_PART  8u
#define TRIM_MAX   (2 * MIB)
#define TRIM_LEAST 256u
#define TRIM_DISK  65536u

/* Where the committer stands: in its segment, behind the last batch, at a place that a record can
 * begin at. */
static void committer_check(const struct file_log *log)
{
    ASSERT_HOT(log->committer.file != NULL);
    ASSERT_HOT(log->committer.number > 0);
    ASSERT_HOT(log->committer.at >= SEGMENT_HEADER_SIZE);
    ASSERT_HOT(log->committer.at <= log->committer.capacity);
    ASSERT_HOT(log->committer.at % 8 == 0);
    ASSERT_HOT(log->committer.last_at == 0 || log->committer.last_at >= SEGMENT_HEADER_SIZE);
    ASSERT_HOT(log->committer.last_at == 0 || log->committer.last_at < log->committer.at);
    ASSERT_HOT(!log->committer.marked || log->committer.unsynced_mode);
    ASSERT_HOT(log->committer.state == COMMITTER_STOPPED ||
               log->committer.state == COMMITTER_DEAD || log->committer.left_over == 0);
}

/* What a caller is told: that it is lacking what may come back, or that the disk has failed. */
static enum rc lacking(enum rc rc)
{
    ASSERT(rc != RC_OK);
    return rc == RC_NOSPACE || rc == RC_NOMEM ? rc : RC_IO;
}

static enum rc stop(struct file_log *log, enum rc rc, bool dead)
{
    ASSERT(log->committer.state != COMMITTER_DEAD);
    ASSERT(rc != RC_OK);
    log->committer.state = dead ? COMMITTER_DEAD : COMMITTER_STOPPED;
    MARK_IF(dead, "commit: a sync fails, the log is dead");
    MARK_IF(!dead && rc == RC_NOSPACE, "commit: no space, the log stops");
    MARK_IF(!dead && rc != RC_NOSPACE, "commit: a write fails, the log stops");
    return dead ? RC_IO : lacking(rc);
}

static enum rc check_free(const struct file_log *log, uint64_t wanted)
{
    ASSERT(log->committer.state != COMMITTER_DEAD);
    ASSERT(wanted > 0);
    uint64_t free_bytes = 0;
    const enum rc rc = log->storage.ops->free_bytes(log->storage.ctx, &free_bytes);
    if (rc != RC_OK) {
        return rc;
    }
    return free_bytes < wanted ? RC_NOSPACE : RC_OK;
}

/* RC_NOSPACE: there is no room for another segment */
static enum rc check_room(const struct file_log *log)
{
    ASSERT(log->segment_bytes >= SEGMENT_BYTES_MIN);
    const uint64_t room =
        log->segment_bytes < REOPEN_ROOM_MAX ? log->segment_bytes : REOPEN_ROOM_MAX;
    ASSERT(room > 0);
    return check_free(log, room + REOPEN_RESERVE);
}

/* Whether the next segment stands there; one that a failed roll has used does not. */
static bool has_next(const struct file_log *log, uint64_t prepared)
{
    ASSERT_HOT(log->committer.tried <= log->committer.number + 1);
    ASSERT_HOT(log->committer.number > 0);
    return prepared == log->committer.number + 1 && log->committer.tried < prepared;
}

enum where { HERE, NEXT, NOWHERE };

/* Where a batch goes: nowhere if that would take what trims need on a full disk. While the next
 * segment is being prepared nobody knows: what is free then may belong to it. */
static enum where where_to(const struct file_log *log, size_t size, bool must_mark)
{
    ASSERT_HOT(size > 0);
    const uint64_t part = log->segment_bytes / TRIM_PART;
    const uint64_t kept = part < TRIM_MAX ? part : TRIM_MAX;
    const uint64_t end = log->committer.at + size;
    ASSERT_HOT(end > size);
    const bool here = end <= log->committer.capacity && !must_mark;
    const bool grows = log->committer.written != log->committer.capacity;
    const bool next = has_next(log, log->committer.prepared);
    const bool soon = log->committer.preparing == log->committer.number + 1;
    const bool takes_room = here && end + kept <= log->committer.capacity ? grows : grows || !next;
    MARK_IF(soon && takes_room, "commit: the next segment is just being prepared");
    if (soon || !takes_room || (log->committer.state == COMMITTER_FULL && !next) ||
        !log->storage.ops->keeps_space || check_room(log) != RC_NOSPACE) {
        return here ? HERE : NEXT;
    }
    MARK_IF(next, "commit: where nothing can grow the prepared segment is begun");
    MARK_IF(!next && here && !grows, "commit: the end of a segment is kept for trims");
    MARK_IF(!next && (!here || grows), "commit: the rest of the disk is kept for trims");
    return next ? NEXT : NOWHERE;
}

/* The file of the next segment, under its final name. */
static enum rc next_file(struct file_log *log, uint64_t number, uint64_t capacity,
                         struct storage_file **ret_file, bool *ret_ahead)
{
    ASSERT(number == log->committer.number + 1);
    ASSERT(capacity >= log->segment_bytes);
    *ret_ahead = false;
    const struct log_name name = log_name_of(log->folder, number, ".seg");
    if (capacity == log->segment_bytes) {
        const struct log_name prepared = log_name_of(log->folder, number, ".new");
        const enum rc rc = files_rename(&log->storage, prepared.text, name.text);
        log->committer.tried = number;
        if (rc == RC_OK) {
            MARK("commit: rolls to a prepared segment");
            *ret_ahead = true;
            return files_open(&log->storage, name.text, STORAGE_WRITE, ret_file);
        }
        if (rc != RC_NOT_FOUND) {
            return rc;
        }
    }
    MARK("commit: rolls to a segment of its own making");
    return files_create_anew(&log->storage, name.text, ret_file);
}

/* The file that a failed roll may have begun. */
static enum rc remove_left_over(struct file_log *log)
{
    ASSERT(log->committer.left_over == 0 || log->committer.left_over == log->committer.number + 1);
    if (log->committer.left_over == 0) {
        return RC_OK;
    }
    const struct log_name name = log_name_of(log->folder, log->committer.left_over, ".seg");
    enum rc rc = files_remove(&log->storage, name.text);
    if (rc == RC_OK) {
        rc = files_sync_dir(&log->storage, log->folder);
    }
    if (rc == RC_OK) {
        MARK("commit: what a failed roll left is removed");
        log->committer.left_over = 0;
    }
    return rc;
}

/* What is refused must not be there after a restart. The results do not matter for that: a disk
 * that has just failed may fail again, and then nobody can promise anything about these bytes.
 * False: a sync failed, and with it may be gone what stands in front of them and was not synced. */
static bool take_back(const struct file_log *log, uint64_t first, uint64_t end)
{
    ASSERT(first < end);
    ASSERT(first == log->committer.at);
    uint64_t size = 0;
    enum rc rc = files_size(&log->storage, log->committer.file, &size);
    if (rc == RC_OK && size > first) {
        MARK("commit: a refused batch is taken back");
        rc = files_fill_zero(&log->storage, log->committer.file, first, end < size ? end : size);
    }
    return rc != RC_OK || log_sync_segment(log, log->committer.file) == RC_OK;
}

/* The same for a roll: its file goes. Where that fails, too, the batch in it is overwritten, for
 * which also a full disk has room; what is left looks like a crash while rolling. */
static void take_back_roll(struct file_log *log, struct storage_file *file, uint64_t end)
{
    ASSERT(log->committer.left_over > 0);
    ASSERT(end > SEGMENT_HEADER_SIZE);
    uint64_t size = 0;
    if (remove_left_over(log) == RC_OK || file == NULL ||
        files_size(&log->storage, file, &size) != RC_OK || size <= SEGMENT_HEADER_SIZE) {
        return;
    }
    MARK("commit: a failed roll that cannot be removed is overwritten");
    end = end < size ? end : size;
    if (files_fill_zero(&log->storage, file, SEGMENT_HEADER_SIZE, end) == RC_OK) {
        (void)!log_sync_segment(log, file);
    }
}

/* Writes header and batch into a new segment. *ret_dead: a sync failed. */
static enum rc write_first(struct file_log *log, struct storage_file *file, uint64_t number,
                           bool ahead, const struct log_batch *batch, bool *ret_dead)
{
    ASSERT(!*ret_dead);
    ASSERT(file != NULL);
    ASSERT(batch->bytes.size > 0);
    const struct segment_header header = {
        .partition = log->partition,
        .incarnation = log->incarnation,
        .number = number,
        .first_pos = batch->first_pos,
        .prev_hash = log->committer.next_hash,
        .flags = log->committer.unsynced_mode ? SEGMENT_UNSYNCED : 0,
        .size_ahead = ahead ? log->segment_bytes : 0,
    };
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    segment_header_encode(&header, bytes);
    ASSERT(header.number > log->committer.number);
    enum rc rc = files_write(&log->storage, file, bytes_of(bytes, sizeof(bytes)), 0);
    if (rc == RC_OK) {
        rc = files_write(&log->storage, file, buf_bytes(&batch->bytes), SEGMENT_HEADER_SIZE);
    }
    if (rc != RC_OK) {
        return rc;
    }
    /* In every mode: rolls are rare, and recovery counts on an order of segments. */
    *ret_dead = true;
    rc = files_sync(&log->storage, file);
    return rc == RC_OK ? files_sync_dir(&log->storage, log->folder) : rc;
}

static enum rc roll(struct file_log *log, struct log_batch *batch)
{
    ASSERT(log->committer.left_over == 0);
    const uint64_t number = log->committer.number + 1;
    const uint64_t needed = SEGMENT_HEADER_SIZE + (uint64_t)batch->bytes.size;
    ASSERT(needed <= SEGMENT_BYTES_MAX);
    const uint64_t capacity = needed > log->segment_bytes ? needed : log->segment_bytes;
    ASSERT(capacity >= needed);
    MARK_IF(needed > log->segment_bytes, "commit: a batch larger than a segment");
    if (log->committer.dirty) {
        MARK("commit: a roll syncs what was not synced");
        const enum rc rc = log_sync_segment(log, log->committer.file);
        if (rc != RC_OK) {
            return stop(log, rc, true);
        }
        log->committer.dirty = false;
    }
    struct storage_file *file = NULL;
    bool dead = false;
    bool ahead = false;
    log->committer.left_over = number;
    enum rc rc = next_file(log, number, capacity, &file, &ahead);
    if (rc == RC_OK) {
        rc = write_first(log, file, number, ahead, batch, &dead);
    }
    if (rc != RC_OK) {
        MARK("commit: a roll fails");
        take_back_roll(log, file, needed); /* reopen() tries again */
        files_close(&log->storage, file);
        return stop(log, rc, dead);
    }
    files_close(&log->storage, log->committer.file);
    log->committer.file = file;
    log->committer.number = number;
    log->committer.capacity = capacity;
    log->committer.written = ahead ? capacity : 0;
    log->committer.at = SEGMENT_HEADER_SIZE;
    log->committer.marked = log->committer.unsynced_mode;
    log->committer.left_over = 0;
    ASSERT(SEGMENT_HEADER_SIZE + (uint64_t)batch->bytes.size <= capacity);
    return RC_OK;
}

/* Writes the batch behind the last one. */
static enum rc append(struct file_log *log, const struct log_batch *batch, enum log_sync sync)
{
    ASSERT_HOT(log->committer.at + batch->bytes.size <= log->committer.capacity);
    ASSERT_HOT(sync == LOG_SYNC_DATA || log->committer.marked);
    const uint64_t at = log->committer.at;
    enum rc rc = files_write(&log->storage, log->committer.file, buf_bytes(&batch->bytes), at);
    if (rc != RC_OK) {
        const bool taken = take_back(log, at, at + batch->bytes.size);
        return stop(log, rc, !taken && log->committer.dirty);
    }
    log->committer.dirty = true;
    if (sync == LOG_SYNC_DATA) {
        rc = log_sync_segment(log, log->committer.file);
        if (rc != RC_OK) {
            (void)take_back(log, at, at + batch->bytes.size);
            return stop(log, rc, true);
        }
        log->committer.dirty = false;
    }
    ASSERT_HOT(sync == LOG_SYNC_NONE || !log->committer.dirty);
    return RC_OK;
}

enum rc file_log_commit(struct file_log *log, struct log_batch *batch, enum log_sync sync)
{
    ASSERT_HOT(batch->end_pos > batch->first_pos);
    ASSERT_HOT(batch->bytes.size % 8 == 0);
    committer_check(log);
    ASSERT(batch->bytes.size > 0);
    if (log->committer.state != COMMITTER_OPEN && log->committer.state != COMMITTER_FULL) {
        return RC_UNAVAILABLE;
    }
    ASSERT(batch->first_pos == log->committer.next_pos);
    ASSERT(batch->partition == log->partition);
    if (sync == LOG_SYNC_NONE) {
        log->committer.unsynced_mode = true;
    }
    const bool must_mark = sync == LOG_SYNC_NONE && !log->committer.marked;
    MARK_IF(must_mark, "commit: rolls to mark a segment as unsynced");
    const enum where where = where_to(log, batch->bytes.size, must_mark);
    if (where == NOWHERE) {
        return stop(log, RC_NOSPACE, false);
    }
    MARK_IF(where == NEXT && log->committer.state == COMMITTER_FULL, "commit: a full log rolls");
    MARK_IF(where == NEXT, "commit: a full segment is rolled away from");
    const enum rc rc = where == HERE ? append(log, batch, sync) : roll(log, batch);
    if (rc != RC_OK) {
        return rc;
    }
    batch->place = (struct log_place){
        .segment = log->committer.number,
        .at = (uint32_t)log->committer.at,
    };
    log->committer.last_at = log->committer.at;
    log->committer.last_pos = batch->first_pos;
    log->committer.last_hash = log->committer.next_hash;
    log->committer.at += batch->bytes.size;
    log->committer.next_pos = batch->end_pos;
    log->committer.next_hash = batch->end_hash;
    ASSERT_HOT(batch->place.segment == log->committer.number);
    ASSERT_HOT(batch->place.at >= SEGMENT_HEADER_SIZE);
    committer_check(log);
    return RC_OK;
}

/* ---- going on after a failure -------------------------------------------------------------- */

/* Whether there is room for a trim: in the segment's file behind the last batch, or on the disk. */
static bool has_trim_room(const struct file_log *log)
{
    ASSERT(log->committer.state == COMMITTER_STOPPED);
    ASSERT(log->committer.left_over == 0);
    uint64_t size = 0;
    const enum rc rc = files_size(&log->storage, log->committer.file, &size);
    const uint64_t end = log->committer.at + TRIM_LEAST;
    const bool here = rc == RC_OK && end <= log->committer.capacity && end <= size;
    return log->storage.ops->keeps_space && (here || check_free(log, TRIM_DISK) == RC_OK);
}

/* One page at a time: this runs on the committer, which allocates nothing. */
#define REREAD_BYTES 4096u

/* Zeroes whatever is not zero from the last batch's end on. */
static enum rc zero_tail(const struct file_log *log, struct storage_file *file)
{
    ASSERT(file != NULL);
    ASSERT(log->committer.at >= SEGMENT_HEADER_SIZE);
    uint64_t size = 0;
    enum rc rc = files_size(&log->storage, file, &size);
    for (uint64_t at = log->committer.at; rc == RC_OK && at < size;) {
        uint8_t bytes[REREAD_BYTES];
        size_t got = 0;
        rc = files_read(&log->storage, file, bytes, sizeof(bytes), at, &got);
        if (rc == RC_OK && got == 0) {
            return RC_IO;
        }
        ASSERT(got <= sizeof(bytes));
        if (rc == RC_OK && !bytes_are_zero(bytes_of(bytes, got))) {
            MARK("commit: reopen zeroes what a failed write left");
            rc = files_fill_zero(&log->storage, file, at, at + got);
        }
        at += got;
    }
    return rc;
}

/* The last batch's first record, as it should be: the file is the one that we think it is. */
static enum rc check_last(const struct file_log *log, struct storage_file *file)
{
    ASSERT(file != NULL);
    ASSERT(log->committer.last_at < log->committer.at);
    if (log->committer.last_at == 0) {
        return RC_OK;
    }
    uint8_t header[RECORD_HEADER_SIZE];
    const enum rc rc =
        files_read_exact(&log->storage, file, header, sizeof(header), log->committer.last_at);
    if (rc != RC_OK) {
        return rc;
    }
    const bool same = bytes_load_u64(header + 16) == log->committer.last_pos &&
                      bytes_load_u64(header + 24) == log->committer.last_hash;
    return same ? RC_OK : RC_IO;
}

/* Of the last batch only what stands before `pos` was applied: the rest counts no more. */
static enum rc cut_back(struct file_log *log, struct storage_file *file, uint64_t pos,
                        uint64_t hash)
{
    ASSERT(pos < log->committer.next_pos);
    uint64_t at = log->committer.last_at;
    uint64_t here = log->committer.last_pos;
    ASSERT(at > 0 && here <= pos); /* the one who applies has no older batch than the last */
    for (;;) {
        uint8_t header[RECORD_HEADER_SIZE];
        const enum rc rc = files_read_exact(&log->storage, file, header, sizeof(header), at);
        if (rc != RC_OK) {
            return rc;
        }
        const uint32_t body_size = bytes_load_u32(header + 4);
        if (bytes_load_u64(header + 16) != here || body_size > RECORD_BODY_BYTES_MAX) {
            return RC_IO;
        }
        if (here == pos && bytes_load_u64(header + 24) == hash) {
            break;
        }
        here++;
        at += record_size(body_size);
        if (here > pos || at >= log->committer.at) {
            return RC_IO;
        }
    }
    if (at == log->committer.last_at) {
        log->committer.last_at = 0; /* nothing is left of it to know the file by */
    }
    ASSERT(at < log->committer.at);
    ASSERT(at % 8 == 0);
    log->committer.at = at;
    log->committer.next_pos = pos;
    log->committer.next_hash = hash;
    return RC_OK;
}

static enum rc restore_tail(struct file_log *log, uint64_t pos, uint64_t hash)
{
    ASSERT(log->committer.state == COMMITTER_STOPPED);
    ASSERT(log->committer.left_over == 0);
    const struct log_name name = log_name_of(log->folder, log->committer.number, ".seg");
    struct storage_file *file;
    enum rc rc = files_open(&log->storage, name.text, STORAGE_WRITE, &file);
    if (rc != RC_OK) {
        return rc;
    }
    rc = check_last(log, file);
    if (rc == RC_OK && pos < log->committer.next_pos) {
        rc = cut_back(log, file, pos, hash);
    }
    if (rc == RC_OK) {
        rc = zero_tail(log, file);
    }
    if (rc == RC_OK) {
        rc = log_sync_segment(log, file);
        if (rc != RC_OK) {
            MARK("commit: the sync of a reopen fails");
            log->committer.state = COMMITTER_DEAD;
        }
    }
    if (rc != RC_OK) {
        files_close(&log->storage, file);
        return rc;
    }
    files_close(&log->storage, log->committer.file);
    log->committer.file = file;
    log->committer.dirty = false;
    committer_check(log);
    return RC_OK;
}

/* RC_NOSPACE: neither is the next segment prepared nor is there room for it. */
static enum rc room_for_next(const struct file_log *log)
{
    ASSERT(log->committer.state != COMMITTER_DEAD);
    ASSERT(log->committer.left_over == 0);
    return has_next(log, log->committer.prepared_at_reopen) ? RC_OK : check_room(log);
}

/* Of a log that nothing has failed in since it was opened last. */
static enum rc look_for_room(struct file_log *log)
{
    ASSERT(log->committer.state == COMMITTER_OPEN || log->committer.state == COMMITTER_FULL);
    if (log->committer.state == COMMITTER_FULL) {
        if (room_for_next(log) != RC_OK) {
            return RC_FULL;
        }
        MARK("commit: a full log has room again");
        log->committer.state = COMMITTER_OPEN;
    }
    ASSERT(log->committer.left_over == 0);
    return RC_OK;
}

enum rc file_log_reopen(struct file_log *log, uint64_t pos, uint64_t hash)
{
    committer_check(log);
    ASSERT(pos <= log->committer.next_pos);
    ASSERT(pos < log->committer.next_pos || hash == log->committer.next_hash);
    if (log->committer.state == COMMITTER_DEAD) {
        return RC_IO;
    }
    if (log->committer.state != COMMITTER_STOPPED && pos == log->committer.next_pos) {
        return look_for_room(log);
    }
    log->committer.state = COMMITTER_STOPPED; /* until what is not to be there is gone */
    /* First what gives room back. */
    enum rc rc = remove_left_over(log);
    if (rc == RC_OK) {
        rc = room_for_next(log);
    }
    MARK_IF(rc == RC_NOSPACE, "commit: no room to reopen yet");
    const bool full = rc == RC_NOSPACE && log->committer.left_over == 0 && has_trim_room(log);
    if (rc == RC_OK || full) {
        rc = restore_tail(log, pos, hash);
    }
    if (rc != RC_OK) {
        return lacking(rc);
    }
    MARK_IF(full, "commit: a stopped log is open for trims");
    MARK_IF(!full, "commit: a stopped log is open again");
    log->committer.state = full ? COMMITTER_FULL : COMMITTER_OPEN;
    ASSERT(log->committer.next_pos == pos);
    ASSERT(!log->committer.dirty);
    committer_check(log);
    return full ? RC_FULL : RC_OK;
}
