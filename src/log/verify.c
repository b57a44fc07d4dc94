/* Reads a whole partition folder and says what is wrong with it; changes nothing.
 *
 * The same walk as recovery's, from the first segment, with every damage stepped over; then every
 * index file, page by page, and every checkpoint. With a replay the records are applied again, and
 * what they come to is compared with both (audit.c).
 *
 * Thread: any, on a log that nobody has open.  Memory: none stays. */
#include "base/mem.h"
#include "log/audit.h"
#include "log/checkpoint.h"
#include "log/internal.h"
#include "log/walk.h"

struct verify {
    const struct storage *storage;
    const char *folder;
    void (*on_damage)(void *ctx, const struct log_damage *damage);
    void (*on_record)(void *ctx, const struct record *record, struct log_place place);
    void *ctx;
    struct listing listing;
    struct walk walk;
    struct audit audit;
    struct log_verify_result result;
};

static void report(struct verify *v, const struct log_damage *damage)
{
    ASSERT(damage->what != NULL);
    ASSERT(damage->file != NULL);
    ASSERT(!damage->repaired);
    v->result.damages += !damage->torn_tail;
    if (v->on_damage != NULL) {
        v->on_damage(v->ctx, damage);
    }
}

static void report_file(struct verify *v, uint64_t number, const char *suffix, uint64_t at,
                        const char *what)
{
    ASSERT(number > 0);
    ASSERT(what != NULL);
    const struct log_name name = log_name_of(v->folder, number, suffix);
    const struct log_damage damage = {.file = name.text, .at = at, .what = what};
    report(v, &damage);
}

/* ---- segments ------------------------------------------------------------------------------ */

static const struct found_segment *current(const struct verify *v)
{
    ASSERT(walk_item(&v->walk) < v->listing.count);
    return &v->listing.items[walk_item(&v->walk)];
}

/* Goes on in the next segment. */
static enum rc enter_next(struct verify *v)
{
    ASSERT(v->walk.next_item < v->listing.count);
    v->result.segments++;
    const enum rc rc = walk_enter(&v->walk);
    return rc == RC_OK ? audit_segment(&v->audit, current(v)) : rc;
}

/* Goes on behind a damage: at the next whole record, or in the next segment whose header is whole.
 * RC_END: nothing is left */
static enum rc step_over(struct verify *v, const struct walk_step *step)
{
    ASSERT(step->kind == WALK_DAMAGE);
    ASSERT(step->what != NULL);
    struct walk *walk = &v->walk;
    if (walk->file != NULL && step->behind.found) {
        walk->pos = step->behind.first.first_pos;
        walk->hash = step->behind.first.prev_hash;
        return walk_resume(walk, step->behind.first.at);
    }
    for (; walk->next_item < v->listing.count; walk->next_item++) {
        const struct found_segment *next = &v->listing.items[walk->next_item];
        ASSERT(next->has_segment);
        if (next->header_whole) {
            walk->pos = next->header.first_pos;
            walk->hash = next->header.prev_hash;
            return enter_next(v);
        }
        if (!step->of_next || step->item != walk->next_item) {
            report_file(v, next->number, ".seg", 0, "header");
        }
    }
    return RC_END;
}

static enum rc take_step(struct verify *v, const struct walk_step *step)
{
    ASSERT_HOT(step->kind == WALK_RECORD || step->kind == WALK_SEGMENT || step->kind == WALK_END ||
               step->file != NULL);
    const struct log_damage damage = {
        .file = step->file,
        .at = step->at,
        .size = step->size,
        .what = step->what,
        .torn_tail = step->kind == WALK_CUT || step->kind == WALK_DROP || step->kind == WALK_NOTE,
    };
    switch (step->kind) {
    case WALK_SEGMENT: v->result.segments++; return audit_segment(&v->audit, current(v));
    case WALK_RECORD:
        v->result.records++;
        v->result.bytes += step->record.size;
        if (v->on_record != NULL) {
            v->on_record(v->ctx, &step->record, step->place);
        }
        return audit_record(&v->audit, &step->record, step->place);
    case WALK_NOTE: report(v, &damage); return RC_OK;
    case WALK_HEAL: report(v, &damage); return enter_next(v);
    case WALK_DAMAGE:
        report(v, &damage);
        audit_lost(&v->audit);
        return step_over(v, step);
    case WALK_CUT:
    case WALK_DROP: report(v, &damage); return RC_END;
    case WALK_END: return RC_END;
    }
    UNREACHABLE();
}

/* Whose files these are: the first header that is whole tells. */
static void identify(const struct verify *v, uint32_t *ret_partition, uint64_t *ret_incarnation,
                     uint64_t *ret_pos, uint64_t *ret_hash)
{
    ASSERT(v->listing.count > 0);
    ASSERT(ret_hash != NULL);
    const struct found_segment *first = &v->listing.items[0];
    for (size_t i = v->listing.count; i-- > 0;) {
        if (v->listing.items[i].header_whole) {
            *ret_partition = v->listing.items[i].header.partition;
            *ret_incarnation = v->listing.items[i].header.incarnation;
        }
    }
    *ret_pos = first->header_whole ? first->header.first_pos : 0;
    *ret_hash = first->header_whole ? first->header.prev_hash : *ret_incarnation;
}

static enum rc verify_segments(struct verify *v, uint32_t partition, uint64_t incarnation,
                               uint64_t pos, uint64_t hash)
{
    ASSERT(v->listing.count > 0);
    ASSERT(v->result.segments == 0);
    for (size_t i = 0; i < v->listing.count; i++) {
        const struct found_segment *found = &v->listing.items[i];
        if (found->header_whole &&
            (found->header.partition != partition || found->header.incarnation != incarnation)) {
            report_file(v, found->number, ".seg", 0, "another history's segment");
        }
    }
    walk_begin(&v->walk, v->storage, v->folder, partition, &v->listing, 0, pos, hash);
    v->result.first_pos = pos;
    enum rc rc = RC_OK;
    while (rc == RC_OK) {
        struct walk_step step = {0};
        rc = walk_next(&v->walk, &step);
        if (rc == RC_OK) {
            rc = take_step(v, &step);
        }
    }
    v->result.end_pos = v->walk.pos;
    walk_deinit(&v->walk);
    v->result.state_known = v->audit.known;
    if (rc == RC_END) {
        rc = audit_end(&v->audit);
    }
    audit_deinit(&v->audit);
    ASSERT(v->audit.index == NULL);
    ASSERT(rc != RC_END);
    return rc;
}

/* ---- index and checkpoint files ------------------------------------------------------------ */

static enum rc verify_index(struct verify *v, uint64_t number)
{
    ASSERT(number > 0);
    struct index_summary *summary;
    enum rc rc = index_summary_open(v->storage, v->folder, number, &summary);
    if (rc == RC_OK) {
        const struct log_name name = log_name_of(v->folder, number, ".idx");
        struct storage_file *file;
        rc = files_open(v->storage, name.text, STORAGE_READ, &file);
        ASSERT(summary->head.number == number);
        if (rc == RC_OK) {
            struct index_pages pages;
            index_pages_begin(&pages, v->storage, file);
            rc = index_file_check(&pages, &summary->head);
            files_close(v->storage, file);
        }
        index_summary_close(summary);
    }
    if (rc == RC_CORRUPT) {
        report_file(v, number, ".idx", 0, "index is damaged");
    }
    return rc == RC_CORRUPT ? RC_OK : rc;
}

static enum rc verify_checkpoint(struct verify *v, const struct found_segment *found)
{
    ASSERT(found->has_checkpoint);
    struct checkpoint checkpoint;
    struct buf state = {0};
    const enum rc rc = checkpoint_read(v->storage, v->folder, found->number, &checkpoint, &state);
    buf_deinit(&state);
    const bool fits = !found->header_whole || (checkpoint.pos == found->header.first_pos &&
                                               checkpoint.hash == found->header.prev_hash);
    if (rc == RC_CORRUPT || (rc == RC_OK && !fits)) {
        report_file(v, found->number, ".ckp", 0, "checkpoint");
        return RC_OK;
    }
    return rc;
}

static enum rc verify_rest(struct verify *v)
{
    ASSERT(v->walk.file == NULL);
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < v->listing.count; i++) {
        const struct found_segment *found = &v->listing.items[i];
        ASSERT(found->has_segment);
        if (found->has_index) {
            rc = verify_index(v, found->number);
        }
        if (rc == RC_OK && found->has_checkpoint) {
            rc = verify_checkpoint(v, found);
        }
    }
    return rc;
}

/* Whether something of a segment stands in front: then what is missing behind it is a loss. A
 * removal that failed leaves files of several segments, all in front of the first that is kept. */
static bool segment_in_front(const struct listing *listing, size_t end)
{
    ASSERT(end < listing->count);
    for (size_t i = 0; i < end; i++) {
        if (listing->items[i].has_segment || listing->items[i].has_damaged) {
            return true;
        }
    }
    return false;
}

/* Files whose segment is not there: what a removal left, or a segment that is lost. */
static void drop_orphans(struct verify *v)
{
    ASSERT(v->walk.file == NULL);
    for (size_t i = v->listing.count; i-- > 0;) {
        const struct found_segment *found = &v->listing.items[i];
        if (!found->has_segment) {
            /* What is missing at the end the walk tells. */
            const bool behind = v->listing.cut && i + 1 == v->listing.count;
            if (found->has_begun && !behind && !found->has_damaged &&
                segment_in_front(&v->listing, i)) {
                report_file(v, found->number, ".seg", 0, "missing segment");
            }
            listing_drop(&v->listing, i);
        }
    }
}

static void report_audit(void *ctx, uint64_t number, const char *suffix, uint64_t at,
                         const char *what)
{
    ASSERT(ctx != NULL);
    ASSERT(suffix[0] == '.');
    report_file(ctx, number, suffix, at, what);
}

static enum rc verify_all(struct verify *v, struct log_verify_result *ret_result)
{
    ASSERT(v->listing.count == 0);
    ASSERT(ret_result != NULL);
    v->audit.storage = v->storage;
    v->audit.folder = v->folder;
    v->audit.report = report_audit;
    v->audit.ctx = v;
    enum rc rc = listing_read(v->storage, v->folder, &v->listing);
    if (rc != RC_OK) {
        return rc;
    }
    drop_orphans(v);
    rc = listing_open_headers(v->storage, v->folder, &v->listing);
    if (rc == RC_OK && v->listing.count > 0) {
        uint32_t partition = 0;
        uint64_t incarnation = 0;
        uint64_t pos = 0;
        uint64_t hash = 0;
        identify(v, &partition, &incarnation, &pos, &hash);
        rc = verify_segments(v, partition, incarnation, pos, hash);
        if (rc == RC_OK) {
            rc = verify_rest(v);
        }
    }
    ASSERT(rc != RC_OK || v->result.segments <= v->listing.count);
    listing_deinit(&v->listing);
    if (rc == RC_OK) {
        *ret_result = v->result;
    }
    return rc;
}

enum rc file_log_verify(const struct storage *storage, const char *folder,
                        void (*on_damage)(void *ctx, const struct log_damage *damage),
                        void (*on_record)(void *ctx, const struct record *record,
                                          struct log_place place),
                        void *ctx, struct log_verify_result *ret_result)
{
    ASSERT(folder[0] != '\0');
    ASSERT(ret_result != NULL);
    struct verify v = {
        .storage = storage,
        .folder = folder,
        .on_damage = on_damage,
        .on_record = on_record,
        .ctx = ctx,
    };
    return verify_all(&v, ret_result);
}

enum rc file_log_verify_replay(const struct storage *storage, const char *folder,
                               void (*on_damage)(void *ctx, const struct log_damage *damage),
                               void *ctx, const struct log_replay *replay,
                               struct log_verify_result *ret_result)
{
    ASSERT(folder[0] != '\0');
    ASSERT(ret_result != NULL);
    struct verify v = {
        .storage = storage,
        .folder = folder,
        .on_damage = on_damage,
        .ctx = ctx,
        .audit = {.replay = replay},
    };
    return verify_all(&v, ret_result);
}
