/* Every bit of a full segment flipped, every length that it can be cut to, every two of its sectors
 * swapped; the same for its index and its checkpoint.
 *
 * Goal: what comes back is what was written, or a loss that is named and located, and no larger
 * than what was damaged. Through four doors: a start, a verify, reads, and a start with repair,
 * after which all that is whole is kept and the log starts without a word. Method: three logs with
 * a segment of 64 KiB, on a disk in memory; damage is planted in place and taken back. What was
 * written is known byte by byte, so the oracle is a comparison.
 *
 *   corrupt [--processes N] [--all]   --all: every case through all doors
 *   corrupt --only SHAPE:FILE:flip:BIT | …:cut:SIZE | …:swap:SECTOR:SECTOR */
#include "torture/jdisk.h"
#include "torture/loop.h"
#include "unit/log/world.h"

#include "log/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES 65536u
#define SECTOR        512u
#define POS_MAX       400u
#define CHANNELS      3u
#define TOLD_MAX      32u

enum shape {
    SHAPE_TAIL,   /* the segment is the newest: all of it is replayed */
    SHAPE_MIDDLE, /* another one stands behind it; replayed, no index */
    SHAPE_SEALED, /* below the newest checkpoint: only its index is read at a start */
    SHAPES,
};
static const char *const shape_names[] = {"tail", "middle", "sealed"};

enum harm {
    HARM_FLIP,
    HARM_CUT,
    HARM_SWAP,
    HARMS,
};
static const char *const harm_names[] = {"flip", "cut", "swap"};

static const char *const suffixes[] = {".seg", ".idx", ".ckp"};
#define FILES 3u

/* Where a record stands. */
struct spot {
    struct log_place place;
    uint32_t size;
};

/* A whole log, and what is in it. */
struct base {
    struct jdisk *disk;
    struct world world;
    struct spot spots[POS_MAX];
    uint64_t end;        /* positions 0 … end-1 */
    uint64_t last_batch; /* the first position of the newest batch */
    uint8_t *bytes[3];   /* of segments 1 and 2 */
    struct buf state;
    uint64_t state_pos;
    uint64_t latest[POS_MAX + 1][CHANNELS + 1]; /* by position behind the last record */
};

/* A damage that is planted: up to two ranges of a file. */
struct wound {
    enum harm harm;
    unsigned file; /* of suffixes */
    struct log_name name;
    uint64_t number; /* of the segment that the file belongs to */
    uint64_t a;      /* bit, size, or sector */
    uint64_t b;      /* sector */
    uint64_t at[2];
    uint64_t end[2];
    unsigned ranges;
};

struct told {
    char file[96];
    const char *what;
    uint64_t at;
    uint64_t size;
    bool torn_tail;
};

/* What came through a door. */
struct seen {
    const struct base *base;
    struct file_log *log;
    bool repaired; /* there may be holes */
    bool offline;  /* a verify, which does not know whose log it is but from the headers */
    uint64_t next; /* position */
    uint64_t count;
    uint64_t holes;
    bool records[POS_MAX];
    struct told told[TOLD_MAX];
    size_t told_count;
    uint64_t channel; /* of a read */
    uint64_t next_seq;
    uint64_t lost[POS_MAX][2]; /* ranges of seqs that a read names */
    size_t lost_count;
};

static struct base bases[SHAPES];
static struct jdisk *disk;       /* the damaged copy */
static const struct base *whole; /* what it is a whole copy of just now; NULL: of nothing */
static bool all_doors;

/* ---- the oracle ------------------------------------------------------------------------------ */

static void record_check(const struct base *base, const struct record *record)
{
    TORTURE_CHECK(record->pos < base->end);
    const struct spot *spot = &base->spots[record->pos];
    const uint8_t *was = base->bytes[spot->place.segment] + spot->place.at;
    TORTURE_CHECK(record->type == RECORD_PUBLISH);
    TORTURE_CHECK(record->size == spot->size);
    TORTURE_CHECK(record->prev_hash == bytes_load_u64(was + 24));
    TORTURE_CHECK(record->channel_prev == bytes_load_u64(was + 32));
    TORTURE_CHECK(
        bytes_equal(record->body, bytes_of(was + RECORD_HEADER_SIZE, bytes_load_u32(was + 4))));
}

static void on_log(void *ctx, struct file_log *log)
{
    ((struct seen *)ctx)->log = log;
}

static enum rc on_state(void *ctx, uint64_t pos, struct bytes state)
{
    struct seen *seen = ctx;
    TORTURE_CHECK(pos == seen->base->state_pos);
    TORTURE_CHECK(bytes_equal(state, buf_bytes(&seen->base->state)));
    seen->next = pos;
    for (uint64_t i = 0; i < pos; i++) {
        seen->records[i] = true;
    }
    seen->count = pos;
    return RC_OK;
}

static void on_hole(struct seen *seen, const struct record *record)
{
    struct record_hole hole;
    TORTURE_CHECK(record_hole_decode(record->body, &hole) == RC_OK);
    TORTURE_CHECK(seen->repaired);
    TORTURE_CHECK(hole.first_pos == seen->next);
    TORTURE_CHECK(hole.end_pos >= hole.first_pos);
    seen->next = hole.end_pos;
    seen->holes++;
}

static enum rc on_record(void *ctx, const struct record *record, struct log_place place)
{
    struct seen *seen = ctx;
    TORTURE_CHECK(record->pos == seen->next);
    if (record->type == RECORD_HOLE) {
        on_hole(seen, record);
        return RC_OK;
    }
    record_check(seen->base, record);
    seen->records[record->pos] = true;
    seen->count++;
    seen->next++;
    const struct world_record *model = &seen->base->world.records[record->pos];
    return file_log_index_add(seen->log, place, model->channel, model->first_seq, model->count,
                              model->time_ms, world_digest(model->channel, model->first_seq));
}

static void on_verify_record(void *ctx, const struct record *record, struct log_place place)
{
    struct seen *seen = ctx;
    (void)place;
    record_check(seen->base, record);
    TORTURE_CHECK(!seen->records[record->pos]);
    seen->records[record->pos] = true;
    seen->count++;
}

static void on_damage(void *ctx, const struct log_damage *damage)
{
    struct seen *seen = ctx;
    TORTURE_CHECK(damage->what != NULL);
    if (seen->told_count < TOLD_MAX) {
        struct told *told = &seen->told[seen->told_count++];
        (void)snprintf(told->file, sizeof(told->file), "%s", damage->file);
        told->what = damage->what;
        told->at = damage->at;
        told->size = damage->size;
        told->torn_tail = damage->torn_tail;
    }
}

/* ---- judging --------------------------------------------------------------------------------- */

/* Whether the damage touches these bytes of segment `number`. */
static bool touches(const struct wound *wound, uint64_t number, uint64_t at, uint64_t end)
{
    for (unsigned i = 0; wound->file == 0 && number == wound->number && i < wound->ranges; i++) {
        if (wound->at[i] < end && wound->end[i] > at) {
            return true;
        }
    }
    return false;
}

static bool is_hit(const struct base *base, const struct wound *wound, uint64_t pos)
{
    const struct spot *spot = &base->spots[pos];
    return pos < base->end && touches(wound, spot->place.segment, spot->place.at,
                                      (uint64_t)spot->place.at + spot->size);
}

/* Whether a record may be missing: it was hit; a hole in place of a small one took its neighbour
 * along; it stands between two sectors that were swapped or as far behind them, for a small record
 * that has moved whole contradicts those that it jumped over; or it is in the newest batch, which
 * looks torn, and something of that was hit. */
static bool may_miss(const struct base *base, const struct wound *wound, uint64_t pos, bool repair)
{
    const struct spot *spot = &base->spots[pos];
    if (is_hit(base, wound, pos) ||
        (wound->harm == HARM_SWAP && wound->file == 0 && wound->number == spot->place.segment &&
         spot->place.at > wound->at[0] &&
         spot->place.at < wound->end[1] + (wound->end[1] - wound->at[0]))) {
        return true;
    }
    for (uint64_t i = base->last_batch; pos >= i && i < base->end; i++) {
        if (is_hit(base, wound, i)) {
            return true;
        }
    }
    return repair && pos > 0 && is_hit(base, wound, pos - 1) &&
           base->spots[pos - 1].size < RECORD_HEADER_SIZE + RECORD_HOLE_BODY_SIZE;
}

/* Whether a record begins there that the damage touches. What is told may end before the damage
 * begins: at a record that has moved whole. */
static bool is_hit_record(const struct wound *wound, const struct base *base, uint64_t at)
{
    for (uint64_t pos = 0; pos < base->end; pos++) {
        const struct log_place *place = &base->spots[pos].place;
        if (place->segment == wound->number && place->at == at && is_hit(base, wound, pos)) {
            return true;
        }
    }
    return false;
}

/* Something was told of a place where the damage is. */
static bool is_located(const struct wound *wound, const struct seen *seen, bool torn_too)
{
    for (size_t i = 0; i < seen->told_count; i++) {
        const struct told *told = &seen->told[i];
        if (strcmp(told->file, wound->name.text) != 0 || (told->torn_tail && !torn_too)) {
            continue;
        }
        if (wound->harm == HARM_SWAP && is_hit_record(wound, seen->base, told->at)) {
            return true;
        }
        for (unsigned r = 0; r < wound->ranges; r++) {
            if (told->at < wound->end[r] &&
                (told->size == 0 || told->at + told->size > wound->at[r])) {
                return true;
            }
        }
    }
    return false;
}

static void missing_check(const struct wound *wound, const struct seen *seen)
{
    bool missing = false;
    for (uint64_t pos = 0; pos < seen->base->end && seen->count < seen->base->end; pos++) {
        missing = missing || !seen->records[pos];
        const uint64_t number = seen->base->spots[pos].place.segment;
        const bool unread = seen->offline && touches(wound, number, 0, SEGMENT_HEADER_SIZE);
        if (!seen->records[pos] && !unread && !may_miss(seen->base, wound, pos, seen->repaired)) {
            torture_fail("position %llu at %u is missing, and was not hit%s%s",
                         (unsigned long long)pos, seen->base->spots[pos].place.at,
                         seen->offline ? ", verify" : "", seen->repaired ? ", repair" : "");
        }
    }
    TORTURE_CHECK(!missing || is_located(wound, seen, true));
}

/* ---- doors ----------------------------------------------------------------------------------- */

static enum rc door_open(const struct base *base, bool repair, struct seen *seen)
{
    seen->base = base;
    seen->repaired = seen->repaired || repair;
    const struct file_log_options options = {
        .folder = WORLD_FOLDER,
        .partition = WORLD_PARTITION,
        .incarnation = WORLD_INCARNATION,
        .segment_bytes = SEGMENT_BYTES,
        .repair = repair,
        .ctx = seen,
        .on_log = on_log,
        .on_state = on_state,
        .on_record = on_record,
        .on_damage = on_damage,
    };
    const struct storage storage = jdisk_storage(disk);
    const enum rc rc = file_log_open(&storage, &options, &seen->log);
    if (rc == RC_OK) {
        TORTURE_CHECK(seen->next == file_log_next_pos(seen->log));
    }
    return rc;
}

static enum rc on_read_record(void *ctx, const struct record *record, uint64_t first_seq)
{
    struct seen *seen = ctx;
    record_check(seen->base, record);
    const struct world_record *model = &seen->base->world.records[record->pos];
    TORTURE_CHECK(model->channel == seen->channel);
    TORTURE_CHECK(model->first_seq == first_seq);
    TORTURE_CHECK(seen->next_seq == first_seq);
    seen->next_seq += model->count;
    return RC_OK;
}

static void on_read_damage(void *ctx, uint64_t from, uint64_t to, const struct log_damage *damage)
{
    struct seen *seen = ctx;
    TORTURE_CHECK(from == seen->next_seq);
    TORTURE_CHECK(to >= from);
    TORTURE_CHECK(damage->what != NULL);
    TORTURE_CHECK(seen->lost_count < POS_MAX);
    seen->lost[seen->lost_count][0] = from;
    seen->lost[seen->lost_count++][1] = to;
    seen->next_seq = to + 1;
}

/* Each message lost to a read is one of a record that may be missing; an index that was hit costs
 * what it knew of, which is all of its segment at most. */
static void lost_check(const struct wound *wound, const struct seen *seen)
{
    for (uint64_t pos = 0; pos < seen->base->end && seen->lost_count > 0; pos++) {
        const struct world_record *model = &seen->base->world.records[pos];
        for (size_t i = 0; model->channel == seen->channel && i < seen->lost_count; i++) {
            const bool lost = model->first_seq <= seen->lost[i][1] &&
                              model->first_seq + model->count > seen->lost[i][0];
            TORTURE_CHECK(
                !lost || may_miss(seen->base, wound, pos, seen->repaired) ||
                (wound->file == 1 && seen->base->spots[pos].place.segment == wound->number));
        }
    }
}

/* Reads all of each channel. */
static void door_read(const struct wound *wound, struct seen *seen)
{
    uint64_t lost = 0;
    for (uint64_t channel = 1; channel <= CHANNELS; channel++) {
        const uint64_t latest = seen->base->latest[seen->next][channel];
        seen->channel = channel;
        seen->next_seq = 1;
        seen->lost_count = 0;
        while (seen->next_seq <= latest) {
            const uint64_t before = seen->next_seq;
            struct log_read read = {
                .kind = LOG_READ_FORWARD,
                .channel_id = channel,
                .seq = before,
                .earliest = 1,
                .latest = latest,
                .on_record = on_read_record,
                .on_damage = on_read_damage,
                .ctx = seen,
            };
            TORTURE_CHECK(file_log_read_begin(seen->log, &read) == RC_OK);
            file_log_read_do(seen->log, &read);
            file_log_read_end(seen->log, &read);
            TORTURE_CHECK(read.rc == RC_OK);
            TORTURE_CHECK(read.ret_seq == seen->next_seq);
            TORTURE_CHECK(seen->next_seq > before);
        }
        TORTURE_CHECK(seen->next_seq == latest + 1);
        lost_check(wound, seen);
        lost += seen->lost_count;
    }
    TORTURE_CHECK(lost == 0 || wound->file <= 1);
}

static void door_verify(const struct base *base, const struct wound *wound)
{
    struct seen seen = {.base = base, .offline = true};
    struct log_verify_result result;
    const struct storage storage = jdisk_storage(disk);
    TORTURE_CHECK(file_log_verify(&storage, WORLD_FOLDER, on_damage, on_verify_record, &seen,
                                  &result) == RC_OK);
    missing_check(wound, &seen);
    if (seen.told_count == 0) { /* then nothing is missing, and the bytes did not matter */
        TORTURE_CHECK(seen.count == base->end);
    } else {
        TORTURE_CHECK(is_located(wound, &seen, true));
    }
    /* Whatever is part of a record, an index or a checkpoint matters. */
    for (uint64_t pos = 0; pos < base->end; pos++) {
        TORTURE_CHECK(seen.told_count > 0 || !is_hit(base, wound, pos));
    }
}

static void wound_plant(const struct wound *wound)
{
    size_t size = 0;
    uint8_t *bytes = jdisk_bytes(disk, wound->name.text, &size);
    uint8_t sector[SECTOR];
    switch (wound->harm) {
    case HARM_FLIP: bytes[wound->a / 8] ^= (uint8_t)(1u << wound->a % 8); break;
    case HARM_CUT: jdisk_resize(disk, wound->name.text, (size_t)wound->a); break;
    case HARM_SWAP:
        bytes_copy(sector, bytes + wound->a * SECTOR, SECTOR);
        bytes_copy(bytes + wound->a * SECTOR, bytes + wound->b * SECTOR, SECTOR);
        bytes_copy(bytes + wound->b * SECTOR, sector, SECTOR);
        break;
    case HARMS: UNREACHABLE();
    }
}

/* Makes a copy with the damage in it. */
static void wound_apply(const struct base *base, const struct wound *wound)
{
    if (whole != base) {
        jdisk_kill(base->disk, disk);
    }
    whole = NULL;
    wound_plant(wound);
}

static void door_repair(const struct base *base, const struct wound *wound)
{
    wound_apply(base, wound);
    struct seen seen = {0};
    TORTURE_CHECK(door_open(base, true, &seen) == RC_OK);
    missing_check(wound, &seen);
    door_read(wound, &seen);
    const uint64_t end = seen.next;
    const uint64_t count = seen.count;
    file_log_close(seen.log);
    struct seen again = {.repaired = true};
    TORTURE_CHECK(door_open(base, false, &again) == RC_OK);
    /* An index or a checkpoint is made anew by the keeper only; rubbish behind the last record,
     * where nothing was lost, may stay. */
    if (again.told_count > 0 && wound->file == 0 && !again.told[0].torn_tail) {
        torture_fail("after the repair the start tells of %s at %llu: %s", again.told[0].file,
                     (unsigned long long)again.told[0].at, again.told[0].what);
    }
    TORTURE_CHECK(again.next == end);
    TORTURE_CHECK(again.count == count);
    file_log_close(again.log);
}

/* A start without repair: all is there, or all but the newest batch, or it is refused. */
static bool door_start(const struct base *base, const struct wound *wound)
{
    struct seen seen = {0};
    const enum rc rc = door_open(base, false, &seen);
    if (rc == RC_CORRUPT) {
        TORTURE_CHECK(is_located(wound, &seen, false));
        return false;
    }
    TORTURE_CHECK(rc == RC_OK);
    TORTURE_CHECK(seen.next >= base->last_batch);
    missing_check(wound, &seen);
    if (seen.next < base->end || bases + SHAPE_SEALED == base || all_doors) {
        door_read(wound, &seen);
    }
    file_log_close(seen.log);
    return true;
}

enum counter {
    COUNT_CASES, /* by shape, file and harm from here on */
    COUNT_REFUSED,
    COUNT_REPAIRED,
    COUNTERS,
};

static unsigned counter_of(enum shape shape, unsigned file, enum harm harm, enum counter counter)
{
    return ((shape * FILES + file) * HARMS + harm) * COUNTERS + counter;
}

/* Every harm goes through verify, start and reads; but for flips, for which that is left to --all,
 * also through repair. */
static void judge(enum shape shape, const struct wound *wound)
{
    const struct base *base = &bases[shape];
    wound_apply(base, wound);
    const uint64_t changes = jdisk_changes(disk);
    door_verify(base, wound);
    TORTURE_CHECK(jdisk_changes(disk) == changes);
    const bool started = door_start(base, wound);
    torture_add(counter_of(shape, wound->file, wound->harm, COUNT_CASES), 1);
    torture_add(counter_of(shape, wound->file, wound->harm, COUNT_REFUSED), !started);
    if (all_doors || wound->harm != HARM_FLIP) {
        door_repair(base, wound);
        torture_add(counter_of(shape, wound->file, wound->harm, COUNT_REPAIRED), 1);
    } else if (jdisk_changes(disk) == changes) {
        wound_plant(wound); /* the second flip takes the first one back */
        whole = base;
    }
}

/* ---- the three logs -------------------------------------------------------------------------- */

static void on_base_record(void *ctx, const struct record *record, struct log_place place)
{
    struct base *base = ctx;
    TORTURE_CHECK(record->pos < POS_MAX);
    base->spots[record->pos] = (struct spot){.place = place, .size = (uint32_t)record->size};
}

static void on_base_damage(void *ctx, const struct log_damage *damage)
{
    (void)ctx;
    torture_fail("the log is damaged before anything was done to it: %s", damage->what);
}

static enum rc on_base_state(void *ctx, uint64_t pos, struct bytes state)
{
    struct base *base = ctx;
    base->state_pos = pos;
    return buf_append(&base->state, state);
}

static enum rc on_base_replay(void *ctx, const struct record *record, struct log_place place)
{
    (void)ctx;
    (void)record;
    (void)place;
    return RC_OK;
}

/* Publishes until the next batch would not fit the first segment any more. */
static void fill(struct world *world, uint64_t *ret_last_batch)
{
    while (world->batch.place.segment < 1 ||
           world->batch.place.at + world->batch.bytes.size + 2500 < SEGMENT_BYTES) {
        TORTURE_CHECK(world_publish(world, 1 + (uint32_t)prng_below(&world->prng, 4),
                                    LOG_SYNC_DATA) == RC_OK);
        TORTURE_CHECK(world->batch.place.segment == 1);
        *ret_last_batch = world->batch.first_pos;
    }
}

static void survey(struct base *base)
{
    const struct storage storage = jdisk_storage(base->disk);
    struct log_verify_result result;
    TORTURE_CHECK(file_log_verify(&storage, WORLD_FOLDER, on_base_damage, on_base_record, base,
                                  &result) == RC_OK);
    TORTURE_CHECK(result.end_pos == base->end);
    const struct file_log_options options = {
        .folder = WORLD_FOLDER,
        .partition = WORLD_PARTITION,
        .incarnation = WORLD_INCARNATION,
        .segment_bytes = SEGMENT_BYTES,
        .ctx = base,
        .on_state = on_base_state,
        .on_record = on_base_replay,
        .on_damage = on_base_damage,
    };
    struct file_log *log = NULL;
    TORTURE_CHECK(file_log_open(&storage, &options, &log) == RC_OK);
    file_log_close(log);
    for (uint64_t number = 1; number <= 2; number++) {
        size_t size = 0;
        const uint8_t *bytes =
            jdisk_bytes(base->disk, log_name_of(WORLD_FOLDER, number, ".seg").text, &size);
        base->bytes[number] = bytes == NULL ? NULL : malloc(size);
        if (base->bytes[number] != NULL) {
            bytes_copy(base->bytes[number], bytes, size);
        }
    }
    for (uint64_t pos = 0; pos < base->end; pos++) {
        const struct world_record *record = &base->world.records[pos];
        bytes_copy(base->latest[pos + 1], base->latest[pos], sizeof(base->latest[pos]));
        base->latest[pos + 1][record->channel] = record->first_seq + record->count - 1;
    }
}

static void base_make(enum shape shape)
{
    struct base *base = &bases[shape];
    struct world *world = &base->world;
    base->disk = jdisk_open();
    jdisk_plain(base->disk);
    world_init(world, jdisk_storage(base->disk), 3 + shape);
    world->channel_count = CHANNELS;
    world->segment_bytes = SEGMENT_BYTES;
    world->body_max = 600;
    world->no_checkpoints = shape != SHAPE_SEALED;
    TORTURE_CHECK(world_open(world, false) == RC_OK);
    fill(world, &base->last_batch);
    for (int i = 0; shape != SHAPE_TAIL && i < 12; i++) {
        TORTURE_CHECK(world_publish(world, 4, LOG_SYNC_DATA) == RC_OK);
        base->last_batch = world->batch.first_pos;
        if (shape == SHAPE_SEALED) {
            TORTURE_CHECK(world_chores(world) == RC_OK);
        }
    }
    TORTURE_CHECK(world->batch.place.segment == (shape == SHAPE_TAIL ? 1 : 2));
    base->end = world->pos;
    world_close(world);
    survey(base);
    TORTURE_CHECK((base->state.size > 0) == (shape == SHAPE_SEALED));
}

/* ---- jobs ------------------------------------------------------------------------------------ */

#define SLICES 16u

static uint64_t size_of(enum shape shape, unsigned file, struct wound *wound)
{
    size_t size = 0;
    wound->file = file;
    wound->number = file == 2 ? 2 : 1; /* the checkpoint is the second one's */
    wound->name = log_name_of(WORLD_FOLDER, wound->number, suffixes[file]);
    return jdisk_bytes(bases[shape].disk, wound->name.text, &size) == NULL ? 0 : size;
}

static void wound_case(enum shape shape, struct wound *wound)
{
    char last[32] = "";
    if (wound->harm == HARM_SWAP) {
        (void)snprintf(last, sizeof(last), ":%llu", (unsigned long long)wound->b);
    }
    torture_case("--only %s:%s:%s:%llu%s", shape_names[shape], suffixes[wound->file] + 1,
                 harm_names[wound->harm], (unsigned long long)wound->a, last);
}

static void flip(enum shape shape, struct wound *wound, uint64_t bit)
{
    wound->harm = HARM_FLIP;
    wound->a = bit;
    wound->ranges = 1;
    wound->at[0] = bit / 8;
    wound->end[0] = bit / 8 + 1;
    wound_case(shape, wound);
    judge(shape, wound);
}

static void cut(enum shape shape, struct wound *wound, uint64_t size, uint64_t was)
{
    wound->harm = HARM_CUT;
    wound->a = size;
    wound->ranges = 1;
    wound->at[0] = size;
    wound->end[0] = was;
    wound_case(shape, wound);
    judge(shape, wound);
}

static void swap(enum shape shape, struct wound *wound, uint64_t a, uint64_t b)
{
    size_t size = 0;
    const uint8_t *bytes = jdisk_bytes(bases[shape].disk, wound->name.text, &size);
    if (memcmp(bytes + a * SECTOR, bytes + b * SECTOR, SECTOR) == 0) {
        return; /* no damage */
    }
    wound->harm = HARM_SWAP;
    wound->a = a;
    wound->b = b;
    wound->ranges = 2;
    wound->at[0] = a * SECTOR;
    wound->end[0] = (a + 1) * SECTOR;
    wound->at[1] = b * SECTOR;
    wound->end[1] = (b + 1) * SECTOR;
    wound_case(shape, wound);
    judge(shape, wound);
}

static void job_run(unsigned job)
{
    const unsigned slice = job / (SHAPES * FILES);
    const enum shape shape = (enum shape)(job % SHAPES);
    const unsigned file = job / SHAPES % FILES;
    struct wound wound = {0};
    const uint64_t size = size_of(shape, file, &wound);
    /* What a start does with the middle one is what it does with the tail, but for its end. */
    const bool bytewise = all_doors || shape != SHAPE_MIDDLE;
    for (uint64_t byte = slice; bytewise && byte < size; byte += SLICES) {
        for (unsigned bit = 0; bit < 8; bit++) {
            flip(shape, &wound, byte * 8 + bit);
        }
        cut(shape, &wound, byte, size);
    }
    for (uint64_t a = slice; a < size / SECTOR; a += SLICES) {
        for (uint64_t b = a + 1; b < size / SECTOR; b++) {
            swap(shape, &wound, a, b);
        }
    }
}

static unsigned number_of(const char *const *names, unsigned count, const char *text, size_t size)
{
    for (unsigned i = 0; i < count; i++) {
        const char *name = names[i][0] == '.' ? names[i] + 1 : names[i];
        if (strlen(name) == size && strncmp(name, text, size) == 0) {
            return i;
        }
    }
    (void)fprintf(stderr, "corrupt: no such case: %s\n", text);
    exit(2);
}

static const char *only;

static void run_only(unsigned job)
{
    (void)job;
    size_t size = strcspn(only, ":");
    const enum shape shape = (enum shape)number_of(shape_names, SHAPES, only, size);
    only += size + (only[size] != '\0');
    size = strcspn(only, ":");
    const unsigned file = number_of(suffixes, FILES, only, size);
    only += size + (only[size] != '\0');
    size = strcspn(only, ":");
    const enum harm harm = (enum harm)number_of(harm_names, HARMS, only, size);
    char *end = NULL;
    const uint64_t a = strtoull(only + size + 1, &end, 10);
    struct wound wound = {0};
    const uint64_t was = size_of(shape, file, &wound);
    switch (harm) {
    case HARM_FLIP: flip(shape, &wound, a); break;
    case HARM_CUT: cut(shape, &wound, a, was); break;
    case HARM_SWAP: swap(shape, &wound, a, *end == ':' ? strtoull(end + 1, NULL, 10) : 0); break;
    case HARMS: UNREACHABLE();
    }
}

static void print_totals(void)
{
    uint64_t cases = 0;
    for (unsigned i = 0; i < SHAPES * FILES * HARMS; i++) {
        const uint64_t count = torture_total(i * COUNTERS + COUNT_CASES);
        if (count > 0) {
            cases += count;
            (void)printf("corrupt %s %s %s: %llu cases, %llu refused at start, %llu repaired,"
                         " 0 violations\n",
                         shape_names[i / HARMS / FILES], suffixes[i / HARMS % FILES] + 1,
                         harm_names[i % HARMS], (unsigned long long)count,
                         (unsigned long long)torture_total(i * COUNTERS + COUNT_REFUSED),
                         (unsigned long long)torture_total(i * COUNTERS + COUNT_REPAIRED));
        }
    }
    (void)printf("corrupt: %llu cases, %.1f s\n", (unsigned long long)cases, torture_seconds());
}

int main(int argc, char **argv)
{
    unsigned processes = 2;
    torture_init("corrupt");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0) {
            all_doors = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--processes") == 0) {
            processes = (unsigned)torture_number(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--only") == 0) {
            only = argv[++i];
            all_doors = true;
        } else {
            (void)fprintf(stderr, "usage: corrupt [--processes N] [--all] [--only CASE]\n");
            return 2;
        }
    }
    for (unsigned shape = 0; shape < SHAPES; shape++) {
        base_make((enum shape)shape);
    }
    disk = jdisk_open();
    jdisk_plain(disk);
    const bool good = only != NULL ? torture_run(1, 1, run_only)
                                   : torture_run(SHAPES * FILES * SLICES, processes, job_run);
    if (good) {
        print_totals();
    }
    return good ? 0 : 1;
}
