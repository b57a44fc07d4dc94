/* Logs that are whole byte by byte and wrong all the same: records of another partition, position
 * or chain, holes that are none, headers of another history, indexes and checkpoints that fit
 * nothing; and damage at places where only few bytes are left to say what happened.
 *
 * Goal: each is refused by its name, and a repair keeps every record that continues the chain.
 * Method: a table of forged logs (forge.h), each with what must come of it: refused with which
 * word, and the positions that a repair keeps. Then the same with each call of the disk, and each
 * allocation, failing in turn. */
#include "unit/log/flaky.h"
#include "unit/log/forge.h"

#include "base/mem.h"
#include "log/checkpoint.h"
#include "log/index_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct forged_case {
    const char *name;
    void (*plant)(struct sim_disk *disk);
    const char *what;          /* the first damage of an ordinary start; NULL: it starts */
    const char *kept;          /* a repair's records by position, "-" for a hole; NULL: refused */
    uint64_t verified_damages; /* what verify counts */
};

/* ---- what a recovery gave ------------------------------------------------------------------ */

struct given {
    char kept[64];
    char what[48];
    uint64_t damages;
    uint64_t state_pos; /* UINT64_MAX: there was no checkpoint */
    enum rc state_rc;
};

static enum rc on_given_state(void *ctx, uint64_t pos, struct bytes state)
{
    struct given *given = ctx;
    assert_true(bytes_equal(state, BYTES_LITERAL("state")));
    given->state_pos = pos;
    return given->state_rc;
}

static enum rc on_given_record(void *ctx, const struct record *record, struct log_place place)
{
    struct given *given = ctx;
    const size_t size = strlen(given->kept);
    assert_true(place.at >= SEGMENT_HEADER_SIZE);
    if (record->type == RECORD_HOLE) {
        (void)snprintf(given->kept + size, sizeof(given->kept) - size, "-");
    } else {
        (void)snprintf(given->kept + size, sizeof(given->kept) - size, "%u", (unsigned)record->pos);
    }
    return RC_OK;
}

static void on_given_damage(void *ctx, const struct log_damage *damage)
{
    struct given *given = ctx;
    assert_non_null(damage->file);
    if (given->damages == 0) {
        (void)snprintf(given->what, sizeof(given->what), "%s", damage->what);
    }
    given->damages++;
}

static enum rc given_open(const struct storage *storage, const char *folder, bool repair,
                          struct given *given)
{
    const enum rc state_rc = given->state_rc;
    *given = (struct given){.state_pos = UINT64_MAX, .state_rc = state_rc};
    const struct file_log_options options = {
        .folder = folder,
        .partition = WORLD_PARTITION,
        .incarnation = WORLD_INCARNATION,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .repair = repair,
        .ctx = given,
        .on_state = on_given_state,
        .on_record = on_given_record,
        .on_damage = on_given_damage,
    };
    struct file_log *log = NULL;
    const enum rc rc = file_log_open(storage, &options, &log);
    file_log_close(log);
    return rc;
}

/* ---- the forged logs ----------------------------------------------------------------------- */

static struct forge f;
static struct forge g;

static void begin(void)
{
    forge_begin(&f, 1, 0, WORLD_INCARNATION);
    (void)forge_good(&f, BYTES_LITERAL("first"));
}

static void good(struct sim_disk *disk)
{
    begin();
    (void)forge_good(&f, BYTES_LITERAL("second"));
    forge_put(&f, disk, true);
}

static void odd_record(struct sim_disk *disk, struct forge_odd odd, struct bytes body)
{
    begin();
    (void)forge_record(&f, odd, body);
    forge_put(&f, disk, true);
}

static void other_partition(struct sim_disk *disk)
{
    odd_record(disk, (struct forge_odd){.partition_add = 1}, BYTES_LITERAL("x"));
}

static void other_position(struct sim_disk *disk)
{
    odd_record(disk, (struct forge_odd){.pos_add = 4}, BYTES_LITERAL("x"));
}

static void other_chain(struct sim_disk *disk)
{
    odd_record(disk, (struct forge_odd){.hash_add = 1}, BYTES_LITERAL("x"));
}

static void hole_that_is_none(struct sim_disk *disk)
{
    odd_record(disk, (struct forge_odd){.type = RECORD_HOLE}, BYTES_LITERAL("x"));
}

/* Behind a bad record: one that is good, then one that does not follow it. */
static void run_with(struct sim_disk *disk, struct forge_odd odd)
{
    begin();
    (void)forge_bad(&f, BYTES_LITERAL("a body so long that the hole fits in its place, and more"));
    (void)forge_good(&f, BYTES_LITERAL("third"));
    (void)forge_record(&f, odd, BYTES_LITERAL("fourth"));
    forge_put(&f, disk, true);
}

static void run_then_partition(struct sim_disk *disk)
{
    run_with(disk, (struct forge_odd){.partition_add = 1});
}

static void run_then_position(struct sim_disk *disk)
{
    run_with(disk, (struct forge_odd){.pos_add = 1});
}

static void run_then_chain(struct sim_disk *disk)
{
    run_with(disk, (struct forge_odd){.hash_add = 1});
}

static void run_then_hole_that_is_none(struct sim_disk *disk)
{
    run_with(disk, (struct forge_odd){.type = RECORD_HOLE});
}

static void run_then_bad(struct sim_disk *disk)
{
    run_with(disk, (struct forge_odd){.bad = true});
}

static void run_of_a_large_batch(struct sim_disk *disk)
{
    run_with(disk, (struct forge_odd){.batch_index = RECORD_BATCH_INDEX_MAX});
}

/* Alone behind a bad record: a whole one at a position that cannot be there. */
static void run_far_ahead(struct sim_disk *disk)
{
    begin();
    (void)forge_bad(&f, BYTES_LITERAL("b"));
    (void)forge_record(&f, (struct forge_odd){.pos_add = 1000}, BYTES_LITERAL("c"));
    forge_put(&f, disk, true);
}

static void hole_behind_bad(struct sim_disk *disk)
{
    begin();
    (void)forge_bad(&f, BYTES_LITERAL("b"));
    (void)forge_record(&f, (struct forge_odd){.type = RECORD_HOLE}, BYTES_LITERAL("c"));
    forge_put(&f, disk, true);
}

/* The next segment begins where this one should have ended; what stands beyond is not believed. */
static void run_into_the_next(struct sim_disk *disk)
{
    begin();
    (void)forge_bad(&f, BYTES_LITERAL("a body so long that the hole fits in its place, and more"));
    (void)forge_good(&f, BYTES_LITERAL("third"));
    forge_begin(&g, 2, f.pos, f.hash);
    (void)forge_good(&g, BYTES_LITERAL("fourth"));
    (void)forge_good(&f, BYTES_LITERAL("too much"));
    (void)forge_bad(&f, BYTES_LITERAL("cut"));
    (void)forge_good(&f, BYTES_LITERAL("too much again"));
    forge_put(&f, disk, true);
    forge_put(&g, disk, true);
}

/* 24 bytes that are a header of a large body, over and over: each costs a checksum over the rest.
 */
static void headers_without_end(struct sim_disk *disk)
{
    static uint8_t body[40000];
    for (size_t at = 0; at + 24 <= sizeof(body); at += 24) {
        bytes_store_u32(body + at + 4, (uint32_t)(sizeof(body) - at) / 2);
        body[at + 8] = at % 48 == 0 ? RECORD_PUBLISH : RECORD_HOLE;
        body[at + 9] = RECORD_VERSION;
        bytes_store_u32(body + at + 12, WORLD_PARTITION);
        bytes_store_u64(body + at + 16, 2 + at / 4800);
    }
    /* And some that no record has: type 0, and one above the last. */
    body[8] = 0;
    body[24 + 8] = RECORD_HOLE + 1;
    begin();
    (void)forge_bad(&f, bytes_of(body, sizeof(body)));
    forge_put(&f, disk, true);
}

/* The smallest records: a hole takes the place of three of them. */
static void small_then(struct sim_disk *disk, struct forge_odd odd, bool more)
{
    begin();
    (void)forge_bad(&f, BYTES_LITERAL(""));
    (void)forge_good(&f, BYTES_LITERAL(""));
    (void)forge_record(&f, odd, BYTES_LITERAL(""));
    if (more) {
        (void)forge_good(&f, BYTES_LITERAL("last but one"));
        (void)forge_good(&f, BYTES_LITERAL("last"));
    }
    forge_put(&f, disk, true);
}

static void small_good(struct sim_disk *disk)
{
    small_then(disk, (struct forge_odd){0}, true);
}

static void small_bad(struct sim_disk *disk)
{
    small_then(disk, (struct forge_odd){.bad = true}, true);
}

static void small_partition(struct sim_disk *disk)
{
    small_then(disk, (struct forge_odd){.partition_add = 1}, true);
}

static void small_position(struct sim_disk *disk)
{
    small_then(disk, (struct forge_odd){.pos_add = 7}, true);
}

static void small_chain(struct sim_disk *disk)
{
    small_then(disk, (struct forge_odd){.hash_add = 1}, true);
}

static void small_hole(struct sim_disk *disk)
{
    small_then(disk, (struct forge_odd){.type = RECORD_HOLE}, true);
}

static void small_at_the_end(struct sim_disk *disk)
{
    small_then(disk, (struct forge_odd){.bad = true}, false);
}

/* … and another segment behind. */
static void small_and_next(struct sim_disk *disk, bool header, uint64_t pos_less)
{
    small_at_the_end(disk);
    forge_begin(&g, 2, f.pos - pos_less, f.hash);
    (void)forge_good(&g, BYTES_LITERAL("next"));
    (void)forge_good(&g, BYTES_LITERAL("next but one"));
    forge_put(&g, disk, header);
}

static void small_and_good_next(struct sim_disk *disk)
{
    small_and_next(disk, true, 0);
}

static void small_and_headerless_next(struct sim_disk *disk)
{
    small_and_next(disk, false, 0);
}

static void bad_and_older_next(struct sim_disk *disk)
{
    begin();
    (void)forge_good(&f, BYTES_LITERAL("second"));
    (void)forge_bad(&f, BYTES_LITERAL("third"));
    forge_put(&f, disk, true);
    forge_begin(&g, 2, 1, 99);
    (void)forge_good(&g, BYTES_LITERAL("of another history"));
    forge_put(&g, disk, true);
}

/* Two segments; the second with another header, or none. */
static void next_with(struct sim_disk *disk, uint64_t pos_add, uint64_t hash_add, bool header,
                      struct forge_odd first)
{
    good(disk);
    forge_begin(&g, 2, f.pos + pos_add, f.hash + hash_add);
    g.pos = f.pos;
    g.hash = f.hash;
    (void)forge_record(&g, first, BYTES_LITERAL("a body that is as long as a hole, or longer"));
    (void)forge_good(&g, BYTES_LITERAL("fourth"));
    (void)forge_good(&g, BYTES_LITERAL("fifth"));
    forge_put(&g, disk, header);
}

static void next_of_another_chain(struct sim_disk *disk)
{
    next_with(disk, 0, 1, true, (struct forge_odd){0});
}

static void next_ahead(struct sim_disk *disk)
{
    next_with(disk, 3, 0, true, (struct forge_odd){.pos_add = 3});
}

static void next_behind(struct sim_disk *disk)
{
    next_with(disk, UINT64_MAX, 0, true, (struct forge_odd){0});
}

static void headerless_chain(struct sim_disk *disk)
{
    next_with(disk, 0, 0, false, (struct forge_odd){.hash_add = 1});
}

static void headerless_partition(struct sim_disk *disk)
{
    next_with(disk, 0, 0, false, (struct forge_odd){.partition_add = 1});
}

static void headerless_position(struct sim_disk *disk)
{
    next_with(disk, 0, 0, false, (struct forge_odd){.pos_add = 1});
}

static void unsynced_header(struct sim_disk *disk)
{
    next_with(disk, 0, 0, false, (struct forge_odd){0});
    f.header.flags = SEGMENT_UNSYNCED;
    forge_put(&f, disk, true);
}

static void unsynced_header_and_record(struct sim_disk *disk)
{
    next_with(disk, 0, 0, false, (struct forge_odd){.bad = true});
    f.header.flags = SEGMENT_UNSYNCED;
    forge_put(&f, disk, true);
}

/* Only one segment, and nothing of it is whole. */
static void alone_and_bad(struct sim_disk *disk)
{
    forge_begin(&f, 1, 0, WORLD_INCARNATION);
    (void)forge_bad(&f, BYTES_LITERAL("first"));
    forge_put(&f, disk, false);
}

static void alone_and_short(struct sim_disk *disk)
{
    const struct log_name name = log_name_of(WORLD_FOLDER, 1, ".seg");
    sim_disk_put(disk, name.text, BYTES_LITERAL("some bytes, and no header"));
}

static void first_is_zero(struct sim_disk *disk)
{
    good(disk);
    forge_begin(&g, 2, f.pos, f.hash);
    (void)forge_good(&g, BYTES_LITERAL("third"));
    forge_put(&g, disk, true);
    forge_begin(&f, 1, 0, 0);
    forge_put(&f, disk, false);
}

static void first_of_another_chain(struct sim_disk *disk)
{
    forge_begin(&f, 1, 0, WORLD_INCARNATION + 1);
    (void)forge_good(&f, BYTES_LITERAL("first"));
    forge_put(&f, disk, true);
}

static void begins_nowhere(struct sim_disk *disk)
{
    forge_begin(&f, 2, 5, 77);
    (void)forge_good(&f, BYTES_LITERAL("sixth"));
    forge_put(&f, disk, false);
}

static void checkpoint_put(struct sim_disk *disk, const struct checkpoint *checkpoint)
{
    const struct storage storage = sim_disk_storage(disk);
    assert_int_equal(checkpoint_write(&storage, WORLD_FOLDER, checkpoint, BYTES_LITERAL("state")),
                     RC_OK);
}

static const struct checkpoint checkpoint_good = {
    .partition = WORLD_PARTITION,
    .incarnation = WORLD_INCARNATION,
    .segment = 2,
};

/* … but for the checkpoint of another data directory. */
static void begins_elsewhere(struct sim_disk *disk)
{
    begins_nowhere(disk);
    struct checkpoint checkpoint = checkpoint_good;
    checkpoint.pos = 5;
    checkpoint.hash = 77;
    checkpoint.incarnation++;
    checkpoint_put(disk, &checkpoint);
}

/* Two good segments, and a checkpoint at the second. */
static void checkpoint_with(struct sim_disk *disk, struct checkpoint add)
{
    good(disk);
    forge_begin(&g, 2, f.pos, f.hash);
    (void)forge_good(&g, BYTES_LITERAL("third"));
    forge_put(&g, disk, true);
    struct checkpoint checkpoint = checkpoint_good;
    checkpoint.partition += add.partition;
    checkpoint.incarnation += add.incarnation;
    checkpoint.pos = f.pos + add.pos;
    checkpoint.hash = f.hash + add.hash;
    checkpoint_put(disk, &checkpoint);
}

static void checkpoint_of_partition(struct sim_disk *disk)
{
    checkpoint_with(disk, (struct checkpoint){.partition = 1});
}

static void checkpoint_of_incarnation(struct sim_disk *disk)
{
    checkpoint_with(disk, (struct checkpoint){.incarnation = 1});
}

static void checkpoint_of_position(struct sim_disk *disk)
{
    checkpoint_with(disk, (struct checkpoint){.pos = 1});
}

static void checkpoint_of_chain(struct sim_disk *disk)
{
    checkpoint_with(disk, (struct checkpoint){.hash = 1});
}

/* … and an index of the first, with which no replay of it is needed. */
static void index_with(struct sim_disk *disk, struct index_head add)
{
    checkpoint_with(disk, (struct checkpoint){0});
    const struct storage storage = sim_disk_storage(disk);
    struct index_head head = {
        .partition = WORLD_PARTITION + add.partition,
        .incarnation = WORLD_INCARNATION + add.incarnation,
        .number = 1,
        .first_pos = add.first_pos,
        .end_pos = f.pos + add.end_pos,
        .end_hash = f.hash + add.end_hash,
        .end_at = f.at,
    };
    assert_int_equal(index_file_write(&storage, WORLD_FOLDER, &head, NULL, NULL, 0), RC_OK);
}

static void index_good(struct sim_disk *disk)
{
    index_with(disk, (struct index_head){0});
}

static void index_of_partition(struct sim_disk *disk)
{
    index_with(disk, (struct index_head){.partition = 1});
}

static void index_of_incarnation(struct sim_disk *disk)
{
    index_with(disk, (struct index_head){.incarnation = 1});
}

static void index_of_position(struct sim_disk *disk)
{
    index_with(disk, (struct index_head){.first_pos = 1});
}

static void index_of_end(struct sim_disk *disk)
{
    index_with(disk, (struct index_head){.end_pos = 1});
}

static void index_of_chain(struct sim_disk *disk)
{
    index_with(disk, (struct index_head){.end_hash = 1});
}

/* Nothing but a repair can begin at the only checkpoint: the segment in front of it cannot be
 * indexed again, since nothing tells the state that it began with. */
static void not_indexed(struct sim_disk *disk)
{
    forge_begin(&f, 2, 5, 77);
    (void)forge_good(&f, BYTES_LITERAL("sixth"));
    forge_put(&f, disk, true);
    forge_begin(&g, 3, f.pos, f.hash);
    (void)forge_good(&g, BYTES_LITERAL("seventh"));
    forge_put(&g, disk, true);
    struct checkpoint checkpoint = checkpoint_good;
    checkpoint.segment = 3;
    checkpoint.pos = f.pos;
    checkpoint.hash = f.hash;
    checkpoint_put(disk, &checkpoint);
}

static void foreign(struct sim_disk *disk, uint64_t incarnation, uint32_t partition)
{
    good(disk);
    forge_begin(&g, 2, f.pos, f.hash);
    (void)forge_good(&g, BYTES_LITERAL("third"));
    g.header.incarnation += incarnation;
    g.header.partition += partition;
    forge_put(&g, disk, true);
}

static void foreign_incarnation(struct sim_disk *disk)
{
    foreign(disk, 1, 0);
}

static void foreign_partition(struct sim_disk *disk)
{
    foreign(disk, 0, 1);
}

static void only_an_index(struct sim_disk *disk)
{
    const struct log_name name = log_name_of(WORLD_FOLDER, 1, ".idx");
    sim_disk_put(disk, name.text, BYTES_LITERAL("of what?"));
}

/* A repair was cut off at the first segment, and the one behind it is lost. */
static void damaged_and_missing(struct sim_disk *disk)
{
    good(disk);
    const struct log_name from = log_name_of(WORLD_FOLDER, 1, ".seg");
    const struct log_name to = log_name_of(WORLD_FOLDER, 1, ".seg.damaged");
    const struct storage storage = sim_disk_storage(disk);
    assert_int_equal(storage.ops->rename(storage.ctx, from.text, to.text), RC_OK);
    const struct log_name index = log_name_of(WORLD_FOLDER, 2, ".idx");
    sim_disk_put(disk, index.text, BYTES_LITERAL("of what?"));
    forge_begin(&g, 3, f.pos, f.hash);
    (void)forge_good(&g, BYTES_LITERAL("third"));
    forge_put(&g, disk, true);
}

static const struct forged_case cases[] = {
    {"good", good, NULL, "01", 0},
    {"another partition's record", other_partition, "partition", "0-", 1},
    {"another position", other_position, "position", "0-", 1},
    {"another chain", other_chain, "chain", "0-", 1},
    {"a hole that is none", hole_that_is_none, "hole", "0-", 1},
    {"a run, then a partition", run_then_partition, "checksum", "0-2-", 2},
    {"a run, then a position", run_then_position, "checksum", "0-2-", 2},
    {"a run, then a chain", run_then_chain, "checksum", "0-3", 1},
    {"a run, then no hole", run_then_hole_that_is_none, "checksum", "0-2-", 2},
    {"a run, then a bad one", run_then_bad, "checksum", "0-2", 1},
    {"a run of a large batch", run_of_a_large_batch, "checksum", "0-23", 1},
    {"far ahead", run_far_ahead, NULL, "0", 0},
    {"a hole behind a bad one", hole_behind_bad, NULL, "0", 0},
    {"a run into the next segment", run_into_the_next, "checksum", "0-23-", 2},
    {"headers without end", headers_without_end, "checksum", "0-", 1},
    {"small, good", small_good, "checksum", "0-45", 1},
    {"small, bad", small_bad, "checksum", "0-45", 2},
    {"small, partition", small_partition, "checksum", "0-45", 2},
    {"small, position", small_position, "checksum", "0-45", 2},
    {"small, chain", small_chain, "checksum", "0-45", 1},
    {"small, no hole", small_hole, "checksum", "0-45", 2},
    {"small at the end", small_at_the_end, "checksum", "0-", 1},
    {"small, and a next", small_and_good_next, "checksum", "0-45", 2},
    {"small, and a headerless next", small_and_headerless_next, "checksum", "0--45", 3},
    {"bad, and an older next", bad_and_older_next, "checksum", "01", 1},
    {"next: another chain", next_of_another_chain, "chain", "01--4", 2},
    {"next: ahead", next_ahead, "missing records", "01-5-", 2},
    {"next: behind", next_behind, "position", "01", 2},
    {"headerless: chain", headerless_chain, "header", "01--4", 1},
    {"headerless: partition", headerless_partition, "header", "01--4", 1},
    {"headerless: position", headerless_position, "header", "01--4", 1},
    {"unsynced: header", unsynced_header, NULL, "01234", 1},
    {"unsynced: header and record", unsynced_header_and_record, "header", "01--4", 1},
    {"alone and bad", alone_and_bad, "header", "-", 1},
    {"alone and short", alone_and_short, "header", "-", 1},
    {"the first is zero", first_is_zero, "header", "-2", 1},
    {"the first of another chain", first_of_another_chain, "chain", NULL, 0},
    {"begins nowhere", begins_nowhere, "no checkpoint to begin at", NULL, 1},
    {"begins elsewhere", begins_elsewhere, "checkpoint of another history", NULL, 1},
    {"a checkpoint: partition", checkpoint_of_partition, NULL, "012", 0},
    {"a checkpoint: incarnation", checkpoint_of_incarnation, NULL, "012", 0},
    {"a checkpoint: position", checkpoint_of_position, NULL, "012", 1},
    {"a checkpoint: chain", checkpoint_of_chain, NULL, "012", 1},
    {"an index", index_good, NULL, "2", 0},
    {"an index: partition", index_of_partition, NULL, "012", 0},
    {"an index: incarnation", index_of_incarnation, NULL, "012", 0},
    {"an index: position", index_of_position, NULL, "012", 0},
    {"an index: end", index_of_end, NULL, "012", 0},
    {"an index: chain", index_of_chain, NULL, "012", 0},
    {"not indexed", not_indexed, "index is missing", "6", 0},
    {"foreign incarnation", foreign_incarnation, "incarnation", NULL, 1},
    {"foreign partition", foreign_partition, "partition", NULL, 1},
    {"only an index", only_an_index, "no segment is left", NULL, 0},
    {"damaged and missing", damaged_and_missing, NULL, "012", 1},
};

#define CASE_COUNT (sizeof(cases) / sizeof(cases[0]))

static struct sim_disk *folder_disk(void)
{
    struct sim_disk *disk = sim_disk_open(1);
    const struct storage storage = sim_disk_storage(disk);
    assert_int_equal(storage.ops->make_dir(storage.ctx, WORLD_FOLDER), RC_OK);
    return disk;
}

static struct sim_disk *case_disk(const struct forged_case *row)
{
    struct sim_disk *disk = folder_disk();
    row->plant(disk);
    return disk;
}

static void check_row(const struct forged_case *row)
{
    struct sim_disk *disk = case_disk(row);
    const struct storage storage = sim_disk_storage(disk);
    struct log_verify_result result = {0};
    struct given seen = {0};
    assert_int_equal(file_log_verify(&storage, WORLD_FOLDER, on_given_damage, NULL, &seen, &result),
                     RC_OK);
    struct given given = {0};
    const enum rc rc = given_open(&storage, WORLD_FOLDER, false, &given);
    struct given kept = {0};
    const enum rc repair_rc = given_open(&storage, WORLD_FOLDER, true, &kept);
    const bool good_what =
        row->what == NULL ? rc == RC_OK : rc == RC_CORRUPT && strcmp(row->what, given.what) == 0;
    const bool good_kept = row->kept == NULL
                               ? repair_rc == RC_CORRUPT
                               : repair_rc == RC_OK && strcmp(row->kept, kept.kept) == 0;
    if (!good_what || !good_kept || result.damages != row->verified_damages) {
        print_error("%s: %s \"%s\" %s; repair %s \"%s\" %s; verify %u\n", row->name, rc_name(rc),
                    given.what, given.kept, rc_name(repair_rc), kept.what, kept.kept,
                    (unsigned)result.damages);
        fail();
    }
    /* And then there is nothing to tell any more; but for what only a repair can begin with. */
    if (repair_rc == RC_OK && row->plant != not_indexed) {
        struct given again = {0};
        assert_int_equal(given_open(&storage, WORLD_FOLDER, false, &again), RC_OK);
        assert_string_equal(again.kept, kept.kept);
    }
    sim_disk_close(disk);
}

static void each_forged_log_is_refused_by_name_and_a_repair_keeps_the_chain(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        check_row(&cases[i]);
    }
}

/* ---- the same with failures ---------------------------------------------------------------- */

enum mode {
    MODE_OPEN,
    MODE_REPAIR,
    MODE_VERIFY,
    MODE_COUNT,
};

static enum rc run(const struct storage *storage, enum mode mode, struct given *given)
{
    struct log_verify_result result;
    if (mode == MODE_VERIFY) {
        *given = (struct given){0};
        return file_log_verify(storage, WORLD_FOLDER, on_given_damage, NULL, given, &result);
    }
    return given_open(storage, WORLD_FOLDER, mode == MODE_REPAIR, given);
}

/* The k-th call, or allocation, fails; then a run without faults over what that has left. */
static bool fail_one(const struct forged_case *row, enum mode mode, uint64_t call, uint64_t memory)
{
    struct sim_disk *disk = case_disk(row);
    struct flaky flaky = {.inner = sim_disk_storage(disk), .fail_at = call, .rc = RC_IO};
    const struct storage storage = flaky_storage(&flaky);
    struct given given = {0};
    if (memory > 0) {
        mem_fault_set(memory, 0);
    }
    const enum rc rc = run(&storage, mode, &given);
    const bool hit = flaky.hit || (memory > 0 && mem_fault_count() >= memory);
    mem_fault_set(0, 0);
    const enum rc wanted = memory > 0 ? RC_NOMEM : RC_IO;
    if (hit && rc != wanted) {
        print_error("%s, mode %d, call %u, allocation %u: %s in place of %s\n", row->name,
                    (int)mode, (unsigned)call, (unsigned)memory, rc_name(rc), rc_name(wanted));
        fail();
    }
    const enum rc again = run(&flaky.inner, mode, &given);
    if (mode == MODE_REPAIR) {
        assert_int_equal(again, row->kept == NULL ? RC_CORRUPT : RC_OK);
        assert_true(row->kept == NULL || strcmp(given.kept, row->kept) == 0);
    } else if (mode == MODE_OPEN) {
        assert_int_equal(again, row->what == NULL ? RC_OK : RC_CORRUPT);
    } else {
        assert_int_equal(again, RC_OK);
    }
    sim_disk_close(disk);
    return hit;
}

static void whatever_fails_on_the_way_is_told_and_harmless(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        for (int mode = 0; mode < MODE_COUNT; mode++) {
            uint64_t k = 1;
            while (fail_one(&cases[i], (enum mode)mode, k, 0)) {
                k++;
            }
            assert_true(k > 1);
            for (k = 1; fail_one(&cases[i], (enum mode)mode, 0, k);) {
                k++;
            }
        }
    }
}

/* A disk that says "done" to a change and has not done it, which the next start may meet; and one
 * that claims sizes that no segment has. It is a start, a refusal or a failure, and it ends. */
static void a_disk_that_lies_is_survived(void **state)
{
    (void)state;
    unsigned refused = 0;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        for (unsigned k = 1; k < 40; k++) {
            for (int kind = 0; kind < 3; kind++) {
                struct sim_disk *disk = case_disk(&cases[i]);
                struct flaky flaky = {
                    .inner = sim_disk_storage(disk),
                    .lie_at = kind == 0 ? k : 0,
                    .huge_at = kind == 0 ? 0 : k,
                    .huge_forever = kind == 2,
                };
                const struct storage storage = flaky_storage(&flaky);
                struct given given = {0};
                const enum rc rc = given_open(&storage, WORLD_FOLDER, true, &given);
                assert_true(rc == RC_OK || rc_class(rc) == RC_CLASS_DISK || rc == RC_NOT_FOUND);
                refused += rc == RC_CORRUPT;
                (void)run(&storage, MODE_VERIFY, &given);
                sim_disk_close(disk);
            }
        }
    }
    assert_true(refused > 0);
}

/* ---- smaller things ------------------------------------------------------------------------ */

static void what_a_callback_returns_is_what_the_start_returns(void **state)
{
    (void)state;
    struct sim_disk *disk = folder_disk();
    index_good(disk);
    const struct storage storage = sim_disk_storage(disk);
    struct given given = {.state_rc = RC_OK};
    assert_int_equal(given_open(&storage, WORLD_FOLDER, false, &given), RC_OK);
    assert_int_equal(given.state_pos, 2);
    assert_string_equal(given.kept, "2");
    given.state_rc = RC_NOMEM;
    assert_int_equal(given_open(&storage, WORLD_FOLDER, false, &given), RC_NOMEM);
    assert_string_equal(given.kept, "");
    sim_disk_close(disk);
}

static void a_folder_in_a_folder_is_synced_in_the_one_above(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(1);
    const struct storage storage = sim_disk_storage(disk);
    struct given given = {0};
    assert_int_equal(storage.ops->make_dir(storage.ctx, "logs"), RC_OK);
    assert_int_equal(storage.ops->sync_dir(storage.ctx, ""), RC_OK);
    assert_int_equal(given_open(&storage, "logs/p001", false, &given), RC_OK);
    sim_disk_restart(disk, SIM_LOSE_EVERYTHING);
    struct log_verify_result result = {.segments = 77};
    assert_int_equal(file_log_verify(&storage, "logs/p001", NULL, NULL, NULL, &result), RC_OK);
    assert_int_equal(result.segments, 1);
    sim_disk_close(disk);
}

static void an_empty_folder_has_nothing_to_verify(void **state)
{
    (void)state;
    struct sim_disk *disk = folder_disk();
    const struct storage storage = sim_disk_storage(disk);
    struct log_verify_result result = {.segments = 77, .damages = 77};
    assert_int_equal(file_log_verify(&storage, WORLD_FOLDER, NULL, NULL, NULL, &result), RC_OK);
    assert_int_equal(result.segments, 0);
    assert_int_equal(result.damages, 0);
    sim_disk_close(disk);
}

static void count_record(void *ctx, const struct record *record, struct log_place place)
{
    uint64_t *count = ctx;
    assert_int_equal(place.segment, 1);
    assert_int_equal(record->pos, *count == 0 ? 0 : 2);
    (*count)++;
}

static void verify_hands_out_what_is_whole(void **state)
{
    (void)state;
    struct sim_disk *disk = folder_disk();
    const struct storage storage = sim_disk_storage(disk);
    struct log_verify_result result = {0};
    uint64_t count = 0;
    run_then_bad(disk);
    assert_int_equal(file_log_verify(&storage, WORLD_FOLDER, NULL, count_record, &count, &result),
                     RC_OK);
    assert_int_equal(count, 2);
    assert_int_equal(result.records, 2);
    assert_int_equal(result.damages, 1);
    sim_disk_close(disk);
}

static void names_of_files_are_twenty_digits_and_a_suffix(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "1.seg",
        "0000000000000000001.seg",
        "000000000000000000001.seg",
        "00000000000000000001",
        "00000000000000000001-seg",
        "00000000000000000000.seg",
        "0000000000000000000/.seg",
        "0000000000000000000:.seg",
        "18446744073709551616.seg",
        "99999999999999999999.seg",
    };
    uint64_t number = 77;
    const char *suffix = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(log_name_parse(bad[i], &number, &suffix));
        assert_int_equal(number, 77);
    }
    assert_true(log_name_parse("18446744073709551615.seg.damaged", &number, &suffix));
    assert_true(number == UINT64_MAX);
    assert_string_equal(suffix, ".seg.damaged");
}

static void a_header_is_64_bytes_that_agree(void **state)
{
    (void)state;
    const struct segment_header header = {
        .partition = 1, .incarnation = 2, .number = 3, .first_pos = 4, .prev_hash = 5, .flags = 1};
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header back = {0};
    segment_header_encode(&header, bytes);
    for (size_t size = 0; size < sizeof(bytes); size++) {
        assert_int_equal(segment_header_decode(bytes_of(bytes, size), &back), RC_CORRUPT);
    }
    for (size_t at = 0; at < sizeof(bytes); at++) {
        bytes[at] ^= 0x40;
        assert_int_equal(segment_header_decode(bytes_of(bytes, sizeof(bytes)), &back), RC_CORRUPT);
        bytes[at] ^= 0x40;
    }
    assert_int_equal(back.number, 0);
    assert_int_equal(segment_header_decode(bytes_of(bytes, sizeof(bytes)), &back), RC_OK);
    assert_memory_equal(&back, &header, sizeof(header));
}

static void a_new_file_takes_the_place_of_an_old_one(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(1);
    sim_disk_put(disk, "a", BYTES_LITERAL("old"));
    struct storage_file *file = NULL;
    for (uint64_t k = 1; k <= 3; k++) {
        struct flaky flaky = {.inner = sim_disk_storage(disk), .fail_at = k, .rc = RC_IO};
        const struct storage storage = flaky_storage(&flaky);
        assert_int_equal(files_create_anew(&storage, "a", &file), RC_IO);
        assert_true(flaky.hit);
        assert_null(file);
    }
    sim_disk_put(disk, "a", BYTES_LITERAL("old"));
    const struct storage storage = sim_disk_storage(disk);
    uint64_t size = 77;
    assert_int_equal(files_create_anew(&storage, "a", &file), RC_OK);
    assert_int_equal(files_size(&storage, file, &size), RC_OK);
    assert_int_equal(size, 0);
    files_close(&storage, file);
    sim_disk_close(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_forged_log_is_refused_by_name_and_a_repair_keeps_the_chain),
        cmocka_unit_test(whatever_fails_on_the_way_is_told_and_harmless),
        cmocka_unit_test(a_disk_that_lies_is_survived),
        cmocka_unit_test(what_a_callback_returns_is_what_the_start_returns),
        cmocka_unit_test(a_folder_in_a_folder_is_synced_in_the_one_above),
        cmocka_unit_test(an_empty_folder_has_nothing_to_verify),
        cmocka_unit_test(verify_hands_out_what_is_whole),
        cmocka_unit_test(names_of_files_are_twenty_digits_and_a_suffix),
        cmocka_unit_test(a_header_is_64_bytes_that_agree),
        cmocka_unit_test(a_new_file_takes_the_place_of_an_old_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
