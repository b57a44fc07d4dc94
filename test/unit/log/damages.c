#include "unit/log/damages.h"

#include <stdlib.h>

static void flip(struct sim_disk *disk, uint64_t number, uint64_t at)
{
    const struct log_name name = seg(number);
    const bool done = sim_disk_flip(disk, name.text, at, 0x20);
    ASSERT(done);
}

static struct bytes segment_bytes(const struct sim_disk *disk, uint64_t number)
{
    const struct log_name name = seg(number);
    struct bytes bytes = {0};
    const bool there = sim_disk_get(disk, name.text, &bytes);
    ASSERT(there);
    return bytes;
}

uint64_t damage_segment_size(const struct sim_disk *disk, uint64_t number)
{
    return segment_bytes(disk, number).size;
}

uint64_t damage_record_at(const struct sim_disk *disk, uint64_t number, uint64_t index)
{
    const struct bytes bytes = segment_bytes(disk, number);
    uint64_t at = SEGMENT_HEADER_SIZE;
    for (uint64_t i = 0; i < index; i++) {
        struct record record;
        const enum rc rc =
            record_decode(bytes_of(bytes.data + at, bytes.size - (size_t)at), &record);
        ASSERT(rc == RC_OK);
        at += record.size;
    }
    return at;
}

uint64_t damage_end_at(const struct sim_disk *disk, uint64_t number)
{
    const struct bytes bytes = segment_bytes(disk, number);
    uint64_t at = SEGMENT_HEADER_SIZE;
    struct record record;
    while (record_decode(bytes_of(bytes.data + at, bytes.size - (size_t)at), &record) == RC_OK) {
        at += record.size;
    }
    return at;
}

void damage_zero(struct sim_disk *disk, uint64_t number, uint64_t first, uint64_t end)
{
    const struct bytes bytes = segment_bytes(disk, number);
    uint8_t *copy = malloc(bytes.size);
    ASSERT(copy != NULL && end <= bytes.size);
    bytes_copy(copy, bytes.data, bytes.size);
    bytes_zero(copy + first, (size_t)(end - first));
    const struct log_name name = seg(number);
    sim_disk_put(disk, name.text, bytes_of(copy, bytes.size));
    free(copy);
}

static void rename_file(struct sim_disk *disk, uint64_t number, const char *from, const char *to)
{
    const struct log_name from_name = log_name_of(WORLD_FOLDER, number, from);
    const struct log_name to_name = log_name_of(WORLD_FOLDER, number, to);
    struct bytes bytes = {0};
    const bool there = sim_disk_get(disk, from_name.text, &bytes);
    ASSERT(there);
    uint8_t *copy = malloc(bytes.size);
    ASSERT(copy != NULL);
    bytes_copy(copy, bytes.data, bytes.size);
    sim_disk_put(disk, to_name.text, bytes_of(copy, bytes.size));
    free(copy);
    const bool deleted = sim_disk_delete(disk, from_name.text);
    ASSERT(deleted);
}

static void delete_file(struct sim_disk *disk, uint64_t number, const char *suffix)
{
    const struct log_name name = log_name_of(WORLD_FOLDER, number, suffix);
    (void)sim_disk_delete(disk, name.text);
}

/* ---- the cases ----------------------------------------------------------------------------- */

static void nothing(const struct base *base, struct sim_disk *disk)
{
    (void)base;
    (void)disk;
}

static void last_batch(const struct base *base, struct sim_disk *disk)
{
    flip(disk, base->last_segment, base->last_batch.at + 4);
}

static void middle_record(const struct base *base, struct sim_disk *disk)
{
    flip(disk, base->last_segment - 1, damage_record_at(disk, base->last_segment - 1, 3) + 50);
}

static void old_record(const struct base *base, struct sim_disk *disk)
{
    (void)base;
    flip(disk, 2, damage_record_at(disk, 2, 2) + 50);
}

/* The next segment tells where the log goes on. */
static void last_record_of_a_segment(const struct base *base, struct sim_disk *disk)
{
    const uint64_t number = base->last_segment - 1;
    uint64_t index = 0;
    while (damage_record_at(disk, number, index + 1) < damage_end_at(disk, number)) {
        index++;
    }
    flip(disk, number, damage_record_at(disk, number, index) + 50);
}

static void header(const struct base *base, struct sim_disk *disk)
{
    flip(disk, base->last_segment - 1, 33);
}

static void header_and_first_record(const struct base *base, struct sim_disk *disk)
{
    flip(disk, base->last_segment - 1, 33);
    flip(disk, base->last_segment - 1, SEGMENT_HEADER_SIZE + 50);
}

static void whole_segment(const struct base *base, struct sim_disk *disk)
{
    const uint64_t number = base->last_segment - 1;
    damage_zero(disk, number, 0, damage_segment_size(disk, number));
}

static void last_header(const struct base *base, struct sim_disk *disk)
{
    flip(disk, base->last_segment, 33);
}

/* As a crash leaves it while rolling. */
static void segment_not_begun(const struct base *base, struct sim_disk *disk)
{
    (void)base;
    static const uint8_t zeros[100];
    const struct log_name name = seg(base->last_segment + 1);
    sim_disk_put(disk, name.text, bytes_of(zeros, sizeof(zeros)));
}

static void segment_too_short(const struct base *base, struct sim_disk *disk)
{
    const struct log_name name = seg(base->last_segment - 1);
    const bool cut = sim_disk_cut(disk, name.text, 40);
    ASSERT(cut);
}

static void missing_segment(const struct base *base, struct sim_disk *disk)
{
    delete_file(disk, base->last_segment - 1, ".seg");
}

static void missing_old_segment(const struct base *base, struct sim_disk *disk)
{
    (void)base;
    delete_file(disk, 2, ".seg");
}

/* Behind the last record: no zeros, and no record. */
static void rubbish(const struct base *base, struct sim_disk *disk)
{
    const uint64_t number = base->last_segment - 1;
    const uint64_t end = damage_end_at(disk, number);
    ASSERT(end + 8 < damage_segment_size(disk, number));
    flip(disk, number, end + 3);
}

static void records_became_zeros(const struct base *base, struct sim_disk *disk)
{
    const uint64_t number = base->last_segment - 1;
    damage_zero(disk, number, damage_record_at(disk, number, 2), damage_segment_size(disk, number));
}

static void no_index(const struct base *base, struct sim_disk *disk)
{
    (void)base;
    delete_file(disk, 2, ".idx");
}

static void bad_index(const struct base *base, struct sim_disk *disk)
{
    (void)base;
    const struct log_name name = log_name_of(WORLD_FOLDER, 2, ".idx");
    (void)sim_disk_flip(disk, name.text, 20, 1);
}

static void bad_index_and_record(const struct base *base, struct sim_disk *disk)
{
    bad_index(base, disk);
    old_record(base, disk);
}

static void bad_index_page_and_record(const struct base *base, struct sim_disk *disk)
{
    const struct log_name name = log_name_of(WORLD_FOLDER, 2, ".idx");
    (void)sim_disk_flip(disk, name.text, 4100, 1);
    old_record(base, disk);
}

static void bad_checkpoints(const struct base *base, struct sim_disk *disk)
{
    for (uint64_t number = 1; number <= base->last_segment; number++) {
        const struct log_name name = log_name_of(WORLD_FOLDER, number, ".ckp");
        (void)sim_disk_flip(disk, name.text, 90, 1);
    }
}

static void first_header(const struct base *base, struct sim_disk *disk)
{
    (void)base;
    flip(disk, 1, 33);
}

static void first_header_and_record(const struct base *base, struct sim_disk *disk)
{
    (void)base;
    flip(disk, 1, 33);
    flip(disk, 1, SEGMENT_HEADER_SIZE + 50);
}

/* All that is left begins in the middle, and nothing tells where. */
static void no_beginning(const struct base *base, struct sim_disk *disk)
{
    delete_file(disk, 1, ".seg");
    delete_file(disk, 1, ".idx");
    for (uint64_t number = 1; number <= base->last_segment; number++) {
        delete_file(disk, number, ".ckp");
    }
    flip(disk, 2, 33);
}

/* 230 bytes: with a number and an ending, 255. */
#define TEN_BYTES      "0123456789"
#define FIFTY_BYTES    TEN_BYTES TEN_BYTES TEN_BYTES TEN_BYTES TEN_BYTES
#define LONG_NAME_PART FIFTY_BYTES FIFTY_BYTES FIFTY_BYTES FIFTY_BYTES TEN_BYTES TEN_BYTES TEN_BYTES

/* As a crash leaves it in the middle of a repair, of a checkpoint, and of a removal. */
static void left_overs(const struct base *base, struct sim_disk *disk)
{
    static const char *const suffixes[] = {".new", ".ckp.tmp", ".seg.tmp", ".idx.tmp", ".x"};
    rename_file(disk, base->last_segment - 1, ".seg", ".seg.damaged");
    delete_file(disk, 1, ".seg");
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        const struct log_name name = log_name_of(WORLD_FOLDER, 3 + i, suffixes[i]);
        sim_disk_put(disk, name.text, BYTES_LITERAL("rubbish"));
    }
    sim_disk_put(disk, WORLD_FOLDER "/lost+found", BYTES_LITERAL("not ours"));
    /* The longest name that a file system takes: it looks like one of ours, and is none. */
    sim_disk_put(disk, WORLD_FOLDER "/00000000000000000009." LONG_NAME_PART ".tmp",
                 BYTES_LITERAL("not ours"));
}

static void two_damages(const struct base *base, struct sim_disk *disk)
{
    const uint64_t number = base->last_segment - 1;
    flip(disk, number, damage_record_at(disk, number, 4) + 50); /* the last one first: it counts */
    flip(disk, number, damage_record_at(disk, number, 2) + 50);
    flip(disk, number, damage_record_at(disk, number, 1) + 50);
}

const struct damage_case damage_cases[] = {
    {"nothing", true, false, nothing},
    {"nothing, all sealed", true, true, nothing},
    {"last batch", true, false, last_batch},
    {"middle record", true, true, middle_record},
    {"old record", false, true, old_record},
    {"last record of a segment", false, true, last_record_of_a_segment},
    {"header", false, true, header},
    {"header and first record", false, true, header_and_first_record},
    {"whole segment", false, true, whole_segment},
    {"last header", true, true, last_header},
    {"segment not begun", true, false, segment_not_begun},
    {"segment too short", false, true, segment_too_short},
    {"missing segment", false, true, missing_segment},
    {"missing old segment", true, true, missing_old_segment},
    {"rubbish", false, true, rubbish},
    {"records became zeros", false, true, records_became_zeros},
    {"no index", true, true, no_index},
    {"no index, no checkpoints", false, true, no_index},
    {"bad index", true, true, bad_index},
    {"bad index and record", false, true, bad_index_and_record},
    {"bad index page and record", false, true, bad_index_page_and_record},
    {"bad checkpoints", true, true, bad_checkpoints},
    {"first header", false, true, first_header},
    {"first header and record", false, true, first_header_and_record},
    {"no beginning", true, true, no_beginning},
    {"left-overs", true, true, left_overs},
    {"two damages", false, true, two_damages},
};
const size_t damage_case_count = sizeof(damage_cases) / sizeof(damage_cases[0]);
