#include "sim/rot.h"

#include "base/hash.h"
#include "log/checkpoint.h"
#include "log/files.h"
#include "log/record.h"
#include "sim/disk.h"
#include "sim/heap.h"
#include "sim/node.h"
#include "sim/trace.h"

#include <stdio.h>
#include <string.h>

#define PARTITIONS_MAX 4u
#define RECORDS_MAX    1024u
#define SECTOR         512u

struct place {
    uint64_t at;
    uint64_t size;
    unsigned batch_index;
    bool alone; /* it says what no other record knows */
};

/* Of files of a kind, in order. */
struct numbers {
    uint64_t *at;
    unsigned count;
    unsigned capacity;
};

/* One partition's folder, as it is on disk for sure. */
static struct {
    char folder[8];
    struct numbers segments;
    struct numbers checkpoints;
    struct numbers indexes;
    uint64_t last_segment; /* where the last batch stands: from there on nothing is touched */
    uint64_t last_at;      /* 0: nothing is on disk */
} look;

static struct {
    unsigned partitions;
    bool world;
    unsigned left; /* how often something may still come */
    bool repaired; /* the last start was with --repair */
    unsigned last; /* partition that was damaged */
    bool log[PARTITIONS_MAX];
    bool side[PARTITIONS_MAX];
    bool stale[PARTITIONS_MAX]; /* reads have lied */
    bool ever[PARTITIONS_MAX];  /* index files or checkpoints */
    bool back[PARTITIONS_MAX];  /* the next start may begin further back */
} rot;

void rot_begin(const struct plan *plan)
{
    bytes_zero(&rot, sizeof(rot));
    rot.partitions = plan->partitions;
    for (unsigned kind = FAULT_ROT_FIRST; kind <= FAULT_ROT_LAST; kind++) {
        rot.world = rot.world || plan->faults.rates[kind] > 0;
    }
    rot.left = 20;
}

void rot_started(bool repaired)
{
    rot.repaired = repaired;
    bytes_zero(rot.back, sizeof(rot.back));
}

void rot_end(void)
{
    mem_free(look.segments.at);
    mem_free(look.checkpoints.at);
    mem_free(look.indexes.at);
    bytes_zero(&look, sizeof(look));
}

bool rot_world(void)
{
    return rot.world;
}

bool rot_log(unsigned partition)
{
    return rot.log[partition];
}

bool rot_goes_back(unsigned partition)
{
    return rot.back[partition];
}

bool rot_side(unsigned partition)
{
    return rot.side[partition];
}

void rot_side_forget(void)
{
    bytes_zero(rot.side, sizeof(rot.side));
    bytes_zero(rot.stale, sizeof(rot.stale));
}

bool rot_explains(const char *file)
{
    if (file[0] != 'p' || strlen(file) < 4) { /* a partition's folder, or a file in it */
        return false;
    }
    const unsigned partition = (unsigned)(file[3] - '0');
    const bool is_log = strstr(file, ".seg") != NULL;
    return partition < PARTITIONS_MAX &&
           (rot.log[partition] || (is_log ? rot.stale[partition] : rot.side[partition]));
}

bool rot_left_behind(const char *file)
{
    return rot_explains(file) || (strstr(file, ".seg") == NULL && rot.ever[file[3] - '0']);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void put(struct numbers *numbers, uint64_t number)
{
    if (numbers->count == numbers->capacity) {
        numbers->capacity = numbers->capacity == 0 ? 64 : numbers->capacity * 2;
        numbers->at = mem_realloc(numbers->at, numbers->capacity * sizeof(*numbers->at));
        ASSERT(numbers->at != NULL);
    }
    unsigned i = numbers->count++;
    for (; i > 0 && numbers->at[i - 1] > number; i--) {
        numbers->at[i] = numbers->at[i - 1];
    }
    numbers->at[i] = number;
}

static bool file_of(const char *suffix, uint64_t number, struct log_name *ret_name,
                    struct bytes *ret_bytes)
{
    *ret_name = log_name_of(look.folder, number, suffix);
    return sim_disk_get_synced(disk_inner(), ret_name->text, ret_bytes);
}

static void list(void)
{
    const size_t size = strlen(look.folder);
    const char *text;
    for (size_t i = 0; (text = sim_disk_name(disk_inner(), i)) != NULL; i++) {
        uint64_t number;
        const char *suffix;
        struct bytes bytes;
        if (strncmp(text, look.folder, size) != 0 || text[size] != '/' ||
            !log_name_parse(text + size + 1, &number, &suffix) ||
            !sim_disk_get_synced(disk_inner(), text, &bytes)) {
            continue;
        }
        if (strcmp(suffix, ".seg") == 0) {
            put(&look.segments, number);
        } else if (strcmp(suffix, ".idx") == 0) {
            put(&look.indexes, number);
        } else if (strcmp(suffix, ".ckp") == 0) {
            put(&look.checkpoints, number);
        }
    }
}

/* A doubt, settings, and a hole of no positions: the next record follows with or without it. */
static bool is_alone(const struct record *record)
{
    struct record_hole hole;
    return record->type == RECORD_DOUBT || record->type == RECORD_SETTINGS ||
           (record->type == RECORD_HOLE && record_hole_decode(record->body, &hole) == RC_OK &&
            hole.end_pos == hole.first_pos);
}

/* The whole records of a segment. */
static unsigned records_of(struct bytes bytes, struct place places[RECORDS_MAX])
{
    unsigned count = 0;
    for (uint64_t at = SEGMENT_HEADER_SIZE; at < bytes.size && count < RECORDS_MAX;) {
        struct record record;
        const struct bytes rest = bytes_of((const uint8_t *)bytes.data + at, bytes.size - at);
        if (record_decode(rest, &record) == RC_OK) {
            places[count++] =
                (struct place){at, record.size, record.batch_index, is_alone(&record)};
            at += record.size;
        } else {
            at += 8;
        }
    }
    return count;
}

static struct place places[RECORDS_MAX];

/* Where the last batch of what that view shows begins. */
static bool last_in(bool synced, uint64_t *ret_segment, uint64_t *ret_at)
{
    for (unsigned i = look.segments.count; i-- > 0;) {
        const struct log_name name = log_name_of(look.folder, look.segments.at[i], ".seg");
        struct bytes bytes;
        if (!(synced ? sim_disk_get_synced(disk_inner(), name.text, &bytes)
                     : sim_disk_get(disk_inner(), name.text, &bytes))) {
            continue;
        }
        unsigned count = records_of(bytes, places);
        while (count > 0 && places[count - 1].batch_index > 0) {
            count--;
        }
        if (count > 0) {
            *ret_segment = look.segments.at[i];
            *ret_at = places[count - 1].at;
            return true;
        }
    }
    return false;
}

/* A batch whose sync has failed is on disk, perhaps, and taken back in what a restart without a
 * power cut would read: then the one before it is the last. */
static void find_last(void)
{
    uint64_t segment;
    uint64_t at;
    look.last_at = 0;
    if (!last_in(true, &look.last_segment, &look.last_at) || !last_in(false, &segment, &at)) {
        look.last_at = 0;
    } else if (segment < look.last_segment || (segment == look.last_segment && at < look.last_at)) {
        look.last_segment = segment;
        look.last_at = at;
    }
}

/* False: there is nothing to damage. */
static bool look_at(unsigned partition)
{
    look.segments.count = 0;
    look.checkpoints.count = 0;
    look.indexes.count = 0;
    (void)snprintf(look.folder, sizeof(look.folder), "p%03u", partition);
    const enum heap_owner owner = heap_owner_set(HEAP_WORLD); /* the server may be reading */
    list();
    (void)heap_owner_set(owner);
    find_last();
    return look.last_at > 0;
}

static bool holds_alone(struct bytes bytes)
{
    const unsigned count = records_of(bytes, places);
    for (unsigned i = 0; i < count; i++) {
        if (places[i].alone) {
            return true;
        }
    }
    return false;
}

/* Whether a segment's header alone tells that its end is gone. */
static bool header_tells(struct bytes bytes)
{
    struct segment_header header;
    return bytes.size >= SEGMENT_HEADER_SIZE &&
           segment_header_decode(bytes_of(bytes.data, SEGMENT_HEADER_SIZE), &header) == RC_OK &&
           bytes.size < header.size_ahead;
}

/* Whether a range of a segment may be damaged: no such record is in it, nor so near behind it that
 * a hole, which has a least size, would take it in. */
static bool range_spares(const struct log_name *name, uint64_t at, uint64_t size)
{
    struct bytes bytes;
    if (!sim_disk_get_synced(disk_inner(), name->text, &bytes) ||
        (at < SEGMENT_HEADER_SIZE && header_tells(bytes))) {
        return false;
    }
    const unsigned count = records_of(bytes, places);
    for (unsigned i = 0; i < count; i++) {
        const struct place *place = &places[i];
        if (place->alone && place->at < at + size + 136 && place->at + place->size > at) {
            return false;
        }
    }
    return true;
}

/* A segment at or before the one with the last batch; its bytes in front of that. */
static bool segment_draw(struct log_name *ret_name, struct bytes *ret_bytes, uint64_t *ret_number)
{
    unsigned count = 0;
    while (count < look.segments.count && look.segments.at[count] <= look.last_segment) {
        count++;
    }
    /* Mostly near the end, where a start looks; behind a repair at the very end. */
    const unsigned near = rot.repaired && sim_chance(60) ? 1 : sim_chance(60) ? 3 : count;
    const unsigned from_end = (unsigned)sim_below(near < count ? near : count);
    *ret_number = look.segments.at[count - 1 - from_end];
    if (!file_of(".seg", *ret_number, ret_name, ret_bytes)) {
        return false;
    }
    if (*ret_number == look.last_segment) {
        ret_bytes->size = (size_t)look.last_at;
    }
    return ret_bytes->size >= SEGMENT_HEADER_SIZE;
}

static bool record_draw(struct log_name *ret_name, struct bytes *ret_bytes, struct place *ret_place)
{
    uint64_t number;
    if (!segment_draw(ret_name, ret_bytes, &number)) {
        return false;
    }
    const unsigned count = records_of(*ret_bytes, places);
    if (count == 0) {
        return false;
    }
    *ret_place = places[sim_below(count)];
    return range_spares(ret_name, ret_place->at, ret_place->size);
}

/* ---- doing ----------------------------------------------------------------------------------- */

static void did(enum fault_kind kind, const char *name, uint64_t at, uint64_t size)
{
    const unsigned partition = (unsigned)(name[3] - '0');
    fault_did(kind);
    trace("damage: %s at %llu, %llu bytes", name, (unsigned long long)at, (unsigned long long)size);
    if (strstr(name, ".seg") != NULL) {
        rot.last = partition;
        rot.log[partition] = true;
    } else {
        rot.side[partition] = true;
        rot.ever[partition] = true;
        rot.back[partition] = rot.log[partition];
    }
    rot.left--;
}

static void flip(enum fault_kind kind, const struct log_name *name, struct bytes bytes, uint64_t at)
{
    const uint8_t other =
        (uint8_t)(((const uint8_t *)bytes.data)[at] ^ (uint8_t)(1u << sim_below(8)));
    sim_disk_poke(disk_inner(), name->text, at, bytes_of(&other, 1));
    did(kind, name->text, at, 1);
}

static void zero(const char *name, uint64_t at, uint64_t size)
{
    static const uint8_t zeros[SECTOR];
    for (uint64_t end = at + size; at < end;) {
        const uint64_t part = end - at < SECTOR ? end - at : SECTOR;
        sim_disk_poke(disk_inner(), name, at, bytes_of(zeros, (size_t)part));
        at += part;
    }
}

static void rot_record(enum fault_kind kind)
{
    struct log_name name;
    struct bytes bytes;
    struct place place;
    if (record_draw(&name, &bytes, &place)) {
        const bool header = kind == FAULT_ROT_RECORD_HEADER;
        const uint64_t from = header ? 0 : RECORD_HEADER_SIZE;
        const uint64_t end = header ? RECORD_HEADER_SIZE : place.size;
        flip(kind, &name, bytes, place.at + from + sim_below(end - from));
    }
}

/* Where zeros stand behind the last record of a segment that is full. */
static void rot_nothing(void)
{
    struct log_name name;
    struct bytes bytes;
    uint64_t number;
    if (!segment_draw(&name, &bytes, &number) || number == look.last_segment) {
        return;
    }
    const unsigned count = records_of(bytes, places);
    const uint64_t end = count == 0 ? bytes.size : places[count - 1].at + places[count - 1].size;
    if (end < bytes.size) {
        flip(FAULT_ROT_NOTHING, &name, bytes, sim_between(end, bytes.size - 1));
    }
}

static void rot_segment_header(void)
{
    struct log_name name;
    struct bytes bytes;
    struct bytes whole;
    uint64_t number;
    if (segment_draw(&name, &bytes, &number) &&
        sim_disk_get_synced(disk_inner(), name.text, &whole) && !header_tells(whole)) {
        flip(FAULT_ROT_SEGMENT_HEADER, &name, bytes, sim_below(SEGMENT_HEADER_SIZE));
    }
}

/* Often the oldest: retention comes there next. */
static bool index_draw(struct log_name *ret_name, struct bytes *ret_bytes)
{
    if (look.indexes.count == 0) {
        return false;
    }
    const unsigned i = sim_chance(50) ? 0 : (unsigned)sim_below(look.indexes.count);
    return file_of(".idx", look.indexes.at[i], ret_name, ret_bytes);
}

static void rot_index(void)
{
    struct log_name name;
    struct bytes bytes;
    if (index_draw(&name, &bytes) && bytes.size > 0) {
        flip(FAULT_ROT_INDEX, &name, bytes, sim_below(bytes.size));
    }
}

/* A batch, or an index file, was never there: the disk has said it was. */
static void write_lost(void)
{
    struct log_name name;
    struct bytes bytes;
    struct place place;
    if (sim_chance(20) && index_draw(&name, &bytes)) {
        zero(name.text, 0, bytes.size);
        did(FAULT_WRITE_LOST, name.text, 0, bytes.size);
    } else if (record_draw(&name, &bytes, &place)) {
        zero(name.text, place.at, place.size);
        did(FAULT_WRITE_LOST, name.text, place.at, place.size);
    }
}

/* A record is where it does not belong: over others, in the same segment or elsewhere. */
static void write_astray(void)
{
    struct log_name name;
    struct log_name to_name;
    struct bytes bytes;
    struct bytes to;
    struct place place;
    uint64_t number;
    uint8_t copy[SECTOR * 4];
    if (!record_draw(&name, &bytes, &place) || !segment_draw(&to_name, &to, &number)) {
        return;
    }
    const uint64_t size = place.size < sizeof(copy) ? place.size : sizeof(copy);
    bytes_copy(copy, (const uint8_t *)bytes.data + place.at, (size_t)size);
    const uint64_t room = to.size / 8 * 8;
    const uint64_t at = sim_below(room / 8) * 8;
    const uint64_t part = to.size - at < size ? to.size - at : size;
    if (!range_spares(&to_name, at, part)) {
        return;
    }
    if (sim_chance(50)) { /* and not where it belongs */
        zero(name.text, place.at, place.size);
        did(FAULT_WRITE_ASTRAY, name.text, place.at, place.size);
    }
    sim_disk_poke(disk_inner(), to_name.text, at, bytes_of(copy, (size_t)part));
    did(FAULT_WRITE_ASTRAY, to_name.text, at, part);
}

static void sectors_zero(void)
{
    struct log_name name;
    struct bytes bytes;
    uint64_t number;
    if (segment_draw(&name, &bytes, &number)) {
        const uint64_t at = sim_below((bytes.size + SECTOR - 1) / SECTOR) * SECTOR;
        const uint64_t count = sim_between(1, 4) * SECTOR;
        const uint64_t size = bytes.size - at < count ? bytes.size - at : count;
        if (!range_spares(&name, at, size)) {
            return;
        }
        zero(name.text, at, size);
        did(FAULT_SECTORS_ZERO, name.text, at, size);
    }
}

static bool has(const struct numbers *numbers, uint64_t number)
{
    for (unsigned i = 0; i < numbers->count; i++) {
        if (numbers->at[i] == number) {
            return true;
        }
    }
    return false;
}

/* Whether a start has a whole checkpoint to begin at, of one of the segments from … end - 1 that is
 * there. */
static bool begins_in(uint64_t from, uint64_t end)
{
    const struct storage storage = sim_disk_storage(disk_inner());
    bool begins = false;
    for (unsigned i = 0; !begins && i < look.checkpoints.count; i++) {
        const uint64_t number = look.checkpoints.at[i];
        struct checkpoint checkpoint;
        struct buf state = {0};
        begins = number >= from && number < end && has(&look.segments, number) &&
                 checkpoint_read(&storage, look.folder, number, &checkpoint, &state) == RC_OK;
        buf_deinit(&state);
    }
    return begins;
}

/* Neither the first segment, in front of which nothing tells that it was there, nor one behind; nor
 * one that a start must begin at. */
static void segment_gone(void)
{
    if (look.segments.count > 2 && look.segments.at[1] < look.last_segment) {
        unsigned i = 1; /* often just that one, for retention comes there next */
        while (i + 1 < look.segments.count && look.segments.at[i + 1] < look.last_segment &&
               sim_chance(40)) {
            i++;
        }
        struct log_name name;
        struct bytes bytes;
        if (file_of(".seg", look.segments.at[i], &name, &bytes) && !holds_alone(bytes) &&
            (look.segments.at[0] == 1 || begins_in(0, look.segments.at[i]) ||
             begins_in(look.segments.at[i] + 1, UINT64_MAX))) {
            (void)sim_disk_delete(disk_inner(), name.text);
            did(FAULT_FILE_GONE, name.text, 0, 0);
        }
    }
}

/* The newest one, where the index of the one in front tells of it: not that of one that was
 * repaired. Nothing else may go from then on, for that index must stay. False: not that. */
static bool newest_gone(void)
{
    const unsigned count = look.segments.count;
    struct log_name name;
    struct bytes bytes;
    if (count < 2 || rot.repaired || look.segments.at[count - 1] != look.last_segment ||
        !has(&look.indexes, look.segments.at[count - 2]) ||
        file_of(".seg.damaged", look.segments.at[count - 2], &name, &bytes) ||
        !file_of(".seg", look.last_segment, &name, &bytes) || holds_alone(bytes) ||
        (look.segments.at[0] != 1 && !begins_in(0, look.last_segment))) {
        return false;
    }
    (void)sim_disk_delete(disk_inner(), name.text);
    did(FAULT_FILE_GONE, name.text, 0, 0);
    rot.left = 0;
    return true;
}

static void file_gone(void)
{
    struct log_name name;
    struct bytes bytes;
    if (sim_chance(50)) {
        segment_gone();
    } else if (index_draw(&name, &bytes)) {
        (void)sim_disk_delete(disk_inner(), name.text);
        did(FAULT_FILE_GONE, name.text, 0, 0);
    }
}

/* A crash has left a segment behind the last batch that nothing whole is in. */
static bool next_is_torn(void)
{
    return look.segments.at[look.segments.count - 1] > look.last_segment;
}

/* What was cut off behind room for a record's header in zeros passes for zeros: an earlier damage
 * may have made them of what stood there. */
static bool cut_is_seen(struct bytes bytes, uint64_t size)
{
    for (uint64_t at = size < RECORD_HEADER_SIZE ? 0 : size - RECORD_HEADER_SIZE; at < size; at++) {
        if (bytes.data[at] != 0) {
            return true;
        }
    }
    return false;
}

/* Within a record. Of the segment with the last batch only if its header tells how long it was, and
 * nobody goes on writing into it. */
static void segment_cut(bool before_start)
{
    struct log_name name;
    struct bytes bytes;
    const unsigned i = (unsigned)sim_below(look.segments.count);
    const bool last = before_start && (next_is_torn() || sim_chance(50));
    const uint64_t number = last ? look.last_segment : look.segments.at[i];
    struct segment_header header;
    if (number > look.last_segment || (number == look.last_segment && !last) ||
        !file_of(".seg", number, &name, &bytes) ||
        segment_header_decode(bytes_of(bytes.data, SEGMENT_HEADER_SIZE), &header) != RC_OK) {
        return;
    }
    const bool alone = holds_alone(bytes);
    const unsigned count = records_of(bytes, places);
    if (count > 0 && !alone) {
        const struct place *place = &places[sim_below(count)];
        const uint64_t size = place->at + sim_below(place->size);
        if (!last || (header.size_ahead > size && cut_is_seen(bytes, size))) {
            sim_disk_shorten(disk_inner(), name.text, size);
            did(FAULT_SEGMENT_CUT, name.text, size, bytes.size - size);
        }
    }
}

/* The newest, which the next start tries first; not the only one, if the log has lost its
 * beginning to retention. */
static void checkpoint(enum fault_kind kind)
{
    struct log_name name;
    struct bytes bytes;
    const unsigned count = look.checkpoints.count;
    if (count == 0 || (look.segments.at[0] != 1 && !begins_in(0, look.checkpoints.at[count - 1])) ||
        !file_of(".ckp", look.checkpoints.at[count - 1], &name, &bytes) || bytes.size == 0) {
        return;
    }
    if (kind == FAULT_FILE_GONE) {
        (void)sim_disk_delete(disk_inner(), name.text);
        did(kind, name.text, 0, 0);
    } else {
        flip(kind, &name, bytes, sim_below(bytes.size));
    }
}

/* Of a file that is written once, from front to end, that is nothing. A start that reads its newest
 * segment so cannot know better, nor can a log that is opened again, so they never do. */
void rot_read(const char *file, void *data, size_t size, uint64_t at)
{
    uint64_t number;
    const char *suffix;
    if (node_state() != NODE_OPEN || size == 0 || file[0] != 'p' || strlen(file) < 6 ||
        !log_name_parse(file + 5, &number, &suffix) ||
        (strcmp(suffix, ".seg") != 0 && strcmp(suffix, ".idx") != 0) ||
        !fault_is_due(FAULT_READ_STALE)) {
        return;
    }
    const unsigned partition = (unsigned)(file[3] - '0');
    const bool found = look_at(partition);
    const uint64_t newest = found ? look.segments.at[look.segments.count - 1] : 0;
    if (number < newest || (number == newest && node_log_runs(partition))) {
        const uint64_t first = (at + sim_below(size)) / SECTOR * SECTOR;
        const uint64_t from = first > at ? first - at : 0;
        const uint64_t end = first + SECTOR - at < size ? first + SECTOR - at : size;
        bytes_zero((uint8_t *)data + from, (size_t)(end - from));
        fault_did(FAULT_READ_STALE);
        trace("damage: a read of %s at %llu", file, (unsigned long long)at);
        rot.side[partition] = true;
        rot.stale[partition] = true;
    }
}

/* ---- when ------------------------------------------------------------------------------------ */

/* Behind a repair most often the one that was repaired. */
static unsigned partition_draw(void)
{
    return rot.repaired && sim_chance(70) ? rot.last : (unsigned)sim_below(rot.partitions);
}

static void come(enum fault_kind kind, bool before_start)
{
    if (rot.left < 2 || !look_at(partition_draw())) {
        return;
    }
    if (kind == FAULT_ROT_RECORD_HEADER || kind == FAULT_ROT_RECORD_BODY) {
        rot_record(kind);
    } else if (kind == FAULT_ROT_NOTHING) {
        rot_nothing();
    } else if (kind == FAULT_ROT_SEGMENT_HEADER) {
        rot_segment_header();
    } else if (kind == FAULT_ROT_INDEX) {
        rot_index();
    } else if (kind == FAULT_FILE_GONE && before_start && sim_chance(30) && newest_gone()) {
        return;
    } else if (kind == FAULT_ROT_CHECKPOINT || (kind == FAULT_FILE_GONE && before_start)) {
        checkpoint(kind);
    } else if (kind == FAULT_WRITE_LOST) {
        write_lost();
    } else if (kind == FAULT_WRITE_ASTRAY) {
        write_astray();
    } else if (kind == FAULT_SECTORS_ZERO) {
        sectors_zero();
    } else if (kind == FAULT_FILE_GONE) {
        file_gone();
    } else if (kind == FAULT_SEGMENT_CUT) {
        segment_cut(before_start);
    }
}

void rot_step(void)
{
    for (unsigned kind = FAULT_ROT_FIRST; rot.world && kind <= FAULT_ROT_LAST; kind++) {
        if (kind != FAULT_ROT_CHECKPOINT && kind != FAULT_READ_STALE &&
            fault_is_due((enum fault_kind)kind)) {
            come((enum fault_kind)kind, false);
        }
    }
}

/* A start is a rarer opportunity than a step, and what it reads is what was written last. A disk
 * that had to be repaired is likely to go on, and one that has just died while a segment was begun
 * to have lost more than that. */
void rot_before_start(void)
{
    static const enum fault_kind kinds[] = {
        FAULT_ROT_CHECKPOINT,  FAULT_FILE_GONE,         FAULT_SEGMENT_CUT, FAULT_ROT_NOTHING,
        FAULT_ROT_RECORD_BODY, FAULT_ROT_RECORD_HEADER, FAULT_WRITE_LOST,
    };
    for (unsigned i = 0; rot.world && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (fault_enabled(kinds[i]) && sim_chance(rot.repaired ? 45 : 15)) {
            come(kinds[i], true);
        }
    }
    for (unsigned i = 0; rot.world && i < rot.partitions; i++) {
        if (rot.left >= 2 && fault_enabled(FAULT_SEGMENT_CUT) && look_at(i) && next_is_torn() &&
            sim_chance(60)) {
            segment_cut(true);
        }
    }
}
