#include "log/walk.h"

#include "base/mark.h"

void walk_begin(struct walk *walk, const struct storage *storage, const char *folder,
                uint32_t partition, struct listing *listing, size_t item, uint64_t pos,
                uint64_t hash)
{
    ASSERT(folder[0] != '\0');
    ASSERT(listing->items[item].has_segment);
    ASSERT(item < listing->count);
    *walk = (struct walk){
        .storage = storage,
        .folder = folder,
        .listing = listing,
        .partition = partition,
        .next_item = item,
        .pos = pos,
        .hash = hash,
    };
}

/* The walk stands in a segment of the list, or in front of the one that it begins with. */
static void walk_check(const struct walk *walk)
{
    ASSERT_HOT(walk->listing != NULL);
    ASSERT_HOT(walk->next_item <= walk->listing->count);
    ASSERT_HOT(walk->file == NULL || walk->next_item > 0);
    ASSERT_HOT(walk->file == NULL || walk->scan.file_ == walk->file);
    ASSERT_HOT(walk->file == NULL || walk->scan.buffer_ == &walk->buffer_);
}

void walk_deinit(struct walk *walk)
{
    ASSERT(walk->storage != NULL);
    files_close(walk->storage, walk->file);
    buf_deinit(&walk->buffer_);
    *walk = (struct walk){.storage = walk->storage};
}

size_t walk_item(const struct walk *walk)
{
    ASSERT_HOT(walk->next_item > 0);
    ASSERT_HOT(walk->next_item <= walk->listing->count);
    ASSERT(walk->file != NULL);
    return walk->next_item - 1;
}

static enum rc segment_open(struct walk *walk, size_t item, struct storage_file **ret_file)
{
    ASSERT(item < walk->listing->count);
    ASSERT(walk->listing->items[item].number > 0);
    const struct log_name name =
        log_name_of(walk->folder, walk->listing->items[item].number, ".seg");
    return files_open(walk->storage, name.text, STORAGE_READ, ret_file);
}

static enum rc segment_begin(struct walk *walk, size_t item, uint64_t at)
{
    ASSERT(item < walk->listing->count);
    ASSERT(at % 8 == 0);
    struct found_segment *found = &walk->listing->items[item];
    struct storage_file *file;
    enum rc rc = segment_open(walk, item, &file);
    if (rc != RC_OK) {
        return rc;
    }
    files_close(walk->storage, walk->file);
    walk->file = file;
    rc = files_size(walk->storage, file, &found->size);
    if (rc != RC_OK) {
        return rc;
    }
    if (found->size > SEGMENT_BYTES_MAX) {
        return RC_CORRUPT;
    }
    if (found->header_whole) {
        walk->unsynced = (found->header.flags & SEGMENT_UNSYNCED) != 0;
    }
    scan_begin(&walk->scan, walk->storage, file, found->size, at, &walk->buffer_);
    ASSERT(walk->scan.at == at);
    ASSERT(walk->scan.file_ == walk->file);
    return RC_OK;
}

enum rc walk_enter(struct walk *walk)
{
    walk_check(walk);
    ASSERT(walk->next_item < walk->listing->count);
    const enum rc rc = segment_begin(walk, walk->next_item, SEGMENT_HEADER_SIZE);
    if (rc == RC_OK) {
        walk->next_item++;
    }
    ASSERT(rc != RC_OK || walk->file != NULL);
    ASSERT(rc != RC_OK || walk->next_item > 0);
    return rc;
}

enum rc walk_resume(struct walk *walk, uint64_t at)
{
    ASSERT(at >= SEGMENT_HEADER_SIZE);
    ASSERT(walk->file != NULL);
    return segment_begin(walk, walk_item(walk), at);
}

/* ---- what stands at a place that is no good record ----------------------------------------- */

enum tail {
    TAIL_ZERO,   /* nothing but zeros from here to the end of the segment */
    TAIL_TORN,   /* something, but no whole record of a batch that begins behind it */
    TAIL_BEHIND, /* whole records of a later batch stand behind, or it is whole but not ours */
};

enum next {
    NEXT_NONE,       /* this is the last segment */
    NEXT_LOST,       /* this is the last one that is there, and something tells of another */
    NEXT_CHAINS,     /* its header continues the chain */
    NEXT_HEADERLESS, /* its header is bad, its first record continues the chain */
    NEXT_TORN,  /* it is the last one and has the next number, its header is bad, and at most one
                 * batch  is in it, our next */
    NEXT_OTHER, /* its header is whole, but does not continue the chain */
    NEXT_BAD, /* its header is bad, and later batches are in it, or segments behind it or missing in
               * front of it */
};

enum decision {
    DECIDE_END,
    DECIDE_DROP,
    DECIDE_NEXT,
    DECIDE_HEAL,
    DECIDE_PASS,
    DECIDE_CUT,
    DECIDE_DAMAGE,
};

/* The decision table.
 *
 * What it builds on: a batch is written and synced before the next one is written to the same or a
 * later segment; a segment is rolled away from only when all of it is on disk, and its successor's
 * name is on disk before a batch in it is acknowledged. So whatever stands BEHIND a batch, in bytes
 * or in segments, proves that the batch was on disk once: if it is bad now, it is damaged. And what
 * nothing stands behind may be the batch that a crash interrupted, and nobody was told of it.
 *
 *  A  zeros, no segment behind: the end of the log.
 *  B  zeros, and the next segment's first batch did not get to disk with its header: a crash while
 *     rolling. Nothing in it was acknowledged: it goes.
 *  C  zeros, and the next segment continues the chain: an ordinary end of a full segment.
 *  D  as C, but the next header is bad and its first record continues the chain: the header can be
 *     computed, so nothing is lost.
 *  E  zeros, but the next segment does not continue the chain: records have become zeros, or whole
 *     segments are missing. A write that the disk acknowledged and lost looks like this. That a
 *     segment is missing at the very end its checkpoint tells, or the index of the last one: both
 *     are written when a batch in it is on disk.
 *  F  a bad record, no later batch, no segment behind: the torn tail of a crash. Whole records
 *     of the same batch may stand behind it, for sectors get to disk in any order. A flipped bit in
 *     the very last batch looks the same; no log without a copy elsewhere can tell.
 *  G  a bad record and later batches behind it in a segment whose batches were not synced one by
 *     one: after a power cut that is as good as a torn tail. What was written in that mode may go.
 *  H  a bad record and later batches behind it: damage.
 *  I  something bad, but the next segment continues the chain from just before it: it is rubbish
 *     behind the last record, not a record.
 *  J  something bad with a later segment that does not continue the chain here: damage. */
static const struct {
    char letter;
    unsigned tails;
    unsigned nexts;
    unsigned modes;
    enum decision decision;
} decisions[] = {
#define T(name)  (1u << TAIL_##name)
#define N(name)  (1u << NEXT_##name)
#define SYNCED   1u
#define UNSYNCED 2u
#define EITHER   (SYNCED | UNSYNCED)
    {'A', T(ZERO), N(NONE), EITHER, DECIDE_END},
    {'B', T(ZERO), N(TORN), EITHER, DECIDE_DROP},
    {'C', T(ZERO), N(CHAINS), EITHER, DECIDE_NEXT},
    {'D', T(ZERO), N(HEADERLESS), EITHER, DECIDE_HEAL},
    {'E', T(ZERO), N(LOST) | N(OTHER) | N(BAD), EITHER, DECIDE_DAMAGE},
    {'F', T(TORN), N(NONE), EITHER, DECIDE_CUT},
    {'G', T(BEHIND), N(NONE), UNSYNCED, DECIDE_CUT},
    {'H', T(BEHIND), N(NONE), SYNCED, DECIDE_DAMAGE},
    {'I', T(TORN) | T(BEHIND), N(CHAINS) | N(HEADERLESS), EITHER, DECIDE_PASS},
    {'J', T(TORN) | T(BEHIND), N(LOST) | N(TORN) | N(OTHER) | N(BAD), EITHER, DECIDE_DAMAGE},
#undef T
#undef N
};

/* Every case has exactly one row. */
static enum decision decide(enum tail tail, enum next next, bool unsynced)
{
    ASSERT(tail <= TAIL_BEHIND);
    ASSERT(next <= NEXT_BAD);
    const unsigned mode = unsynced ? UNSYNCED : SYNCED;
    enum decision decision = DECIDE_DAMAGE;
    char letter = '\0';
    size_t rows = 0;
    for (size_t i = 0; i < sizeof(decisions) / sizeof(decisions[0]); i++) {
        if ((decisions[i].tails & (1u << tail)) != 0 && (decisions[i].nexts & (1u << next)) != 0 &&
            (decisions[i].modes & mode) != 0) {
            decision = decisions[i].decision;
            letter = decisions[i].letter;
            rows++;
        }
    }
    ASSERT(rows == 1);
    ASSERT(letter >= 'A' && letter <= 'J');
    MARK_IF(letter == 'A', "walk: row A, zeros and no segment behind, the end of the log");
    MARK_IF(letter == 'B', "walk: row B, a segment that a crash began is dropped");
    MARK_IF(letter == 'C', "walk: row C, a full segment ends, the next one follows");
    MARK_IF(letter == 'D', "walk: row D, a lost header is computed from the first record");
    MARK_IF(letter == 'E', "walk: row E, records have become zeros");
    MARK_IF(letter == 'F', "walk: row F, a torn tail");
    MARK_IF(letter == 'G', "walk: row G, a patchwork in an unsynced segment");
    MARK_IF(letter == 'H', "walk: row H, damage with later batches behind it");
    MARK_IF(letter == 'I', "walk: row I, rubbish behind the last record");
    MARK_IF(letter == 'J', "walk: row J, damage and a segment that does not continue the chain");
    return decision;
}

static enum rc judge_tail(struct walk *walk, uint64_t next_pos, enum tail *ret_tail,
                          struct scan_behind *ret_behind)
{
    walk_check(walk);
    ASSERT(ret_tail != NULL);
    *ret_behind = (struct scan_behind){0};
    if (walk->file == NULL) {
        *ret_tail = TAIL_ZERO;
        return RC_OK;
    }
    uint64_t end = 0;
    enum rc rc = scan_nonzero_end(&walk->scan, walk->scan.at, &end);
    if (rc != RC_OK) {
        return rc;
    }
    if (end == walk->scan.at) {
        *ret_tail = TAIL_ZERO;
        return RC_OK;
    }
    ASSERT(end > walk->scan.at);
    rc = scan_behind(&walk->scan, walk->partition, walk->pos, 0, next_pos, ret_behind);
    *ret_tail = ret_behind->later_batch ? TAIL_BEHIND : TAIL_TORN;
    MARK_IF(ret_behind->found, "walk: whole records of the same batch stand behind a bad one");
    return rc;
}

uint64_t walk_slack(const struct walk *walk)
{
    ASSERT(walk->file == NULL || walk->scan.file_size <= SEGMENT_BYTES_MAX);
    return walk->file == NULL ? 0 : walk->scan.file_size / RECORD_HEADER_SIZE;
}

/* Whether the next segment may be one that a crash has interrupted the making of: with none in
 * front there was no roll, and a roll takes the next number, so otherwise some are missing. */
static bool may_be_torn(const struct walk *walk)
{
    ASSERT(walk->next_item < walk->listing->count);
    const uint64_t number = walk->listing->items[walk->next_item].number;
    const bool rolled = walk->file != NULL;
    const bool missing = rolled && number != walk->listing->items[walk_item(walk)].number + 1;
    const bool last = walk->next_item + 1 == walk->listing->count;
    const struct found_segment *found = &walk->listing->items[walk->next_item];
    const struct found_segment *full = rolled ? &walk->listing->items[walk_item(walk)] : found;
    const bool begun =
        walk->listing->cut || found->has_begun || (full->has_index && !full->has_damaged);
    MARK_IF(begun && last, "walk: a segment with a bad header has held an acknowledged batch");
    MARK_IF(missing && last, "walk: segments are missing in front of one with a bad header");
    return rolled && last && !missing && !begun;
}

/* The next segment's header is bad: what do its records say, and at which position do they begin,
 * as far as that is known? A whole record at its head that is not the next one tells that it was
 * not a crash: that leaves a mix of a record and zeros, never another record. */
static enum rc judge_headerless(struct walk *walk, struct scan *scan, enum next *ret_next,
                                uint64_t *ret_next_pos)
{
    ASSERT(walk->next_item < walk->listing->count);
    ASSERT(scan->at == SEGMENT_HEADER_SIZE);
    ASSERT(!walk->listing->items[walk->next_item].header_whole);
    struct record record;
    struct bytes bytes;
    enum rc rc = scan_record(scan, &record, &bytes);
    if (rc == RC_OK && record.pos == walk->pos && record.prev_hash == walk->hash &&
        record.partition == walk->partition) {
        *ret_next = NEXT_HEADERLESS;
        return RC_OK;
    }
    if (rc != RC_OK && rc != RC_END && rc != RC_CORRUPT) {
        return rc;
    }
    const bool other = rc == RC_OK;
    struct scan_behind behind;
    scan->at =
        SEGMENT_HEADER_SIZE - 8; /* so that the first place looked at is the first record's */
    rc = scan_behind(scan, walk->partition, walk->pos, walk_slack(walk), UINT64_MAX, &behind);
    if (rc != RC_OK) {
        return rc;
    }
    ASSERT(scan->at == SEGMENT_HEADER_SIZE - 8);
    const bool torn = may_be_torn(walk) && !other && !behind.later_batch;
    *ret_next = torn ? NEXT_TORN : NEXT_BAD;
    if (!torn && behind.found) {
        *ret_next_pos = behind.first.first_pos;
    }
    return RC_OK;
}

static enum rc judge_next(struct walk *walk, enum next *ret_next, uint64_t *ret_next_pos)
{
    walk_check(walk);
    ASSERT(ret_next != NULL);
    *ret_next_pos = UINT64_MAX;
    if (walk->next_item == walk->listing->count) {
        const bool lost = !walk->end_marked && listing_tells_more(walk->listing);
        MARK_IF(lost, "walk: the newest segment is missing");
        *ret_next = lost ? NEXT_LOST : NEXT_NONE;
        return RC_OK;
    }
    const struct found_segment *found = &walk->listing->items[walk->next_item];
    if (found->header_whole) {
        const bool chains =
            found->header.first_pos == walk->pos && found->header.prev_hash == walk->hash;
        *ret_next = chains ? NEXT_CHAINS : NEXT_OTHER;
        *ret_next_pos = found->header.first_pos;
        return RC_OK;
    }
    if (found->size < SEGMENT_HEADER_SIZE || found->size > SEGMENT_BYTES_MAX) {
        *ret_next = may_be_torn(walk) ? NEXT_TORN : NEXT_BAD;
        return RC_OK;
    }
    ASSERT(!found->header_whole);
    ASSERT(found->size <= SEGMENT_BYTES_MAX);
    struct storage_file *file;
    enum rc rc = segment_open(walk, walk->next_item, &file);
    if (rc != RC_OK) {
        return rc;
    }
    struct buf buffer = {0};
    struct scan scan;
    scan_begin(&scan, walk->storage, file, found->size, SEGMENT_HEADER_SIZE, &buffer);
    rc = judge_headerless(walk, &scan, ret_next, ret_next_pos);
    buf_deinit(&buffer);
    files_close(walk->storage, file);
    return rc;
}

/* ---- steps --------------------------------------------------------------------------------- */

/* Where the step's finding is: in the current segment, or at the head of the next. */
static void step_locate(struct walk *walk, struct walk_step *step, bool of_next)
{
    ASSERT(of_next || walk->file != NULL);
    ASSERT(!of_next || walk->next_item < walk->listing->count);
    step->of_next = of_next;
    step->item = of_next ? walk->next_item : walk_item(walk);
    walk->name_ = log_name_of(walk->folder, walk->listing->items[step->item].number, ".seg");
    step->file = walk->name_.text;
    step->at = of_next ? 0 : walk->scan.at;
    step->size = of_next ? SEGMENT_HEADER_SIZE : 0;
    if (!of_next && step->behind.found) {
        ASSERT(step->behind.first.at > step->at);
        step->size = step->behind.first.at - step->at;
    }
}

static void step_damage(struct walk *walk, struct walk_step *step, enum tail tail, enum next next,
                        const char *what)
{
    ASSERT(what != NULL);
    ASSERT(tail != TAIL_ZERO || next == NEXT_LOST || next == NEXT_OTHER || next == NEXT_BAD);
    step->kind = WALK_DAMAGE;
    step->what = tail == TAIL_ZERO && next == NEXT_LOST ? "missing segment" : what;
    if (tail != TAIL_ZERO || next == NEXT_LOST) {
        step_locate(walk, step, false);
        return;
    }
    ASSERT(walk->next_item < walk->listing->count);
    const struct found_segment *found = &walk->listing->items[walk->next_item];
    if (next == NEXT_BAD) {
        step_locate(walk, step, true);
        step->what = "header";
    } else if (walk->file == NULL || found->header.first_pos <= walk->pos) {
        step_locate(walk, step, true);
        step->what = found->header.first_pos == walk->pos ? "chain" : "position";
    } else {
        const uint64_t number = walk->listing->items[walk_item(walk)].number;
        step_locate(walk, step, false);
        step->what = found->number > number + 1 ? "missing segment" : "missing records";
    }
}

/* Shorter than it was written ahead: no crash does that, for it was synced so. Where zeros for a
 * record's header are left behind the last record, only zeros were cut: the next batch was never
 * written. */
static bool is_truncated(const struct walk *walk, enum tail tail)
{
    ASSERT(walk->file != NULL);
    ASSERT(walk->next_item + 1 >= walk->listing->count);
    const struct found_segment *found = &walk->listing->items[walk_item(walk)];
    const bool zeros_seen =
        tail == TAIL_ZERO && walk->scan.file_size - walk->scan.at >= RECORD_HEADER_SIZE;
    return found->header_whole && found->size < found->header.size_ahead && !zeros_seen;
}

/* The record at scan.at is none that continues the chain; `what` says why not. If it is `whole`
 * all the same it was not torn: a crash leaves a mix of a record and zeros, never another record.
 */
static enum rc step_bad(struct walk *walk, struct walk_step *step, const char *what, bool whole)
{
    ASSERT(what != NULL);
    ASSERT(!whole || walk->file != NULL);
    enum next next = NEXT_NONE;
    enum tail tail = TAIL_ZERO;
    uint64_t next_pos = UINT64_MAX;
    enum rc rc = judge_next(walk, &next, &next_pos);
    if (rc == RC_OK) {
        rc = judge_tail(walk, next_pos, &tail, &step->behind);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (whole) {
        tail = TAIL_BEHIND;
    }
    if ((next == NEXT_NONE || next == NEXT_TORN) && is_truncated(walk, tail)) {
        MARK("walk: a truncated segment");
        tail = TAIL_BEHIND; /* what stood behind was there once */
        what = "truncated";
    }
    step->what = what;
    switch (decide(tail, next, walk->unsynced)) {
    case DECIDE_END: step->kind = WALK_END; return RC_OK;
    case DECIDE_DROP:
        step->kind = WALK_DROP;
        step_locate(walk, step, true);
        step->what = "segment not begun";
        return RC_OK;
    case DECIDE_NEXT: step->kind = WALK_SEGMENT; return walk_enter(walk);
    case DECIDE_HEAL:
        step->kind = WALK_HEAL;
        step_locate(walk, step, true);
        step->what = "header";
        return RC_OK;
    case DECIDE_PASS: {
        step->kind = WALK_NOTE;
        step->behind.found = false;
        step_locate(walk, step, false);
        step->what = "rubbish behind the last record";
        /* From here on the segment counts as zeros: the next step judges what comes behind. */
        walk->scan.at = walk->scan.file_size;
        return RC_OK;
    }
    case DECIDE_CUT:
        step->kind = WALK_CUT;
        step->behind.found = false;
        step_locate(walk, step, false);
        return RC_OK;
    case DECIDE_DAMAGE: step_damage(walk, step, tail, next, what); return RC_OK;
    }
    UNREACHABLE();
}

static bool is_end_mark(const struct record *record)
{
    if (record->type != RECORD_HOLE) {
        return false;
    }
    struct record_hole hole;
    const enum rc rc = record_hole_decode(record->body, &hole);
    ASSERT(rc == RC_OK); /* the walk has gone on behind it */
    return hole.size == 0;
}

enum rc walk_next(struct walk *walk, struct walk_step *step)
{
    walk_check(walk);
    if (walk->file == NULL) {
        return step_bad(walk, step, "header", false);
    }
    struct scan *scan = &walk->scan;
    enum rc rc = scan_record(scan, &step->record, &step->bytes);
    if (rc == RC_END || rc == RC_CORRUPT) {
        return step_bad(walk, step, rc == RC_END ? "zeros" : "checksum", false);
    }
    if (rc != RC_OK) {
        return rc;
    }
    const struct record *record = &step->record;
    if (record->partition != walk->partition) {
        return step_bad(walk, step, "partition", true);
    }
    if (record->pos != walk->pos) {
        return step_bad(walk, step, "position", true);
    }
    if (record->prev_hash != walk->hash) {
        return step_bad(walk, step, "chain", true);
    }
    rc = record_after(record, step->bytes, &walk->pos, &walk->hash);
    if (rc != RC_OK) {
        return step_bad(walk, step, "hole", true);
    }
    walk->end_marked = is_end_mark(record);
    step->kind = WALK_RECORD;
    step->place = (struct log_place){
        .segment = walk->listing->items[walk->next_item - 1].number,
        .at = (uint32_t)scan->at,
        .crc = bytes_load_u32(step->bytes.data),
    };
    ASSERT_HOT(step->place.at >= SEGMENT_HEADER_SIZE);
    ASSERT_HOT(step->place.at % 8 == 0);
    scan->at += record->size;
    ASSERT_HOT(scan->at <= scan->file_size);
    ASSERT_HOT(step->bytes.size == record->size);
    return RC_OK;
}
