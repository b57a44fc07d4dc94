#include "unit/log/forged_cases.h"

#include "log/checkpoint.h"
#include "log/index_file.h"

static void expect_ok(enum rc rc)
{
    ASSERT(rc == RC_OK);
}

static enum rc ignore_record(void *ctx, const struct record *record, struct log_place place)
{
    (void)ctx;
    (void)record;
    (void)place;
    return RC_OK;
}

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

/* A repair leaves a hole of no positions where it does not know how many are lost: the batch behind
 * it has the very same position, and was on disk all the same. */
static void empty_hole_and_batch(struct forge *forge)
{
    (void)forge_record(forge, (struct forge_odd){.type = RECORD_HOLE, .bad = true},
                       BYTES_LITERAL("a hole of no positions, which is as long as any other one"));
    forge->pos--;
    (void)forge_good(forge, BYTES_LITERAL("behind it"));
}

static void empty_hole_bad(struct sim_disk *disk)
{
    begin();
    empty_hole_and_batch(&f);
    forge_put(&f, disk, true);
}

static void empty_hole_bad_and_headerless(struct sim_disk *disk)
{
    good(disk);
    forge_begin(&g, 2, f.pos, f.hash);
    empty_hole_and_batch(&g);
    forge_put(&g, disk, false);
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

/* A write went astray: the next segment's first record stands here as well, over ours, and the next
 * segment has lost its header. It is the copy that is wrong. */
static void copy_and_headerless_next(struct sim_disk *disk)
{
    begin();
    (void)forge_bad(&f, BYTES_LITERAL("a body so long that the hole fits in its place, and more"));
    forge_begin(&g, 2, f.pos, f.hash);
    (void)forge_good(&f, BYTES_LITERAL("third"));
    (void)forge_good(&g, BYTES_LITERAL("third"));
    (void)forge_good(&g, BYTES_LITERAL("fourth"));
    forge_put(&f, disk, true);
    forge_put(&g, disk, false);
}

/* The same, and the walk goes through the copy: what is whole in the next segment is no torn batch.
 */
static void copy_in_line_and_headerless_next(struct sim_disk *disk)
{
    begin();
    forge_begin(&g, 2, f.pos, f.hash);
    (void)forge_good(&f, BYTES_LITERAL("second"));
    (void)forge_good(&g, BYTES_LITERAL("second"));
    (void)forge_good(&g, BYTES_LITERAL("third"));
    forge_put(&f, disk, true);
    forge_put(&g, disk, false);
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
    bytes_store_u32(body + 48 + 4, 1000000); /* more than the file has */
    bytes_store_u32(body + 72 + 4, RECORD_BODY_BYTES_MAX + 1);
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

static void small_and_older_next(struct sim_disk *disk)
{
    small_and_next(disk, true, 2);
}

/* Its third record has the position of the next segment's first, and another chain. */
static void small_and_overlapping_next(struct sim_disk *disk)
{
    small_then(disk, (struct forge_odd){.hash_add = 1}, false);
    forge_begin(&g, 2, f.pos - 1, 99);
    (void)forge_good(&g, BYTES_LITERAL("next"));
    forge_put(&g, disk, true);
}

static void small_and_zeros(struct sim_disk *disk)
{
    begin();
    (void)forge_bad(&f, BYTES_LITERAL(""));
    (void)forge_good(&f, BYTES_LITERAL(""));
    forge_put(&f, disk, true);
    forge_begin(&g, 2, f.pos, f.hash);
    (void)forge_good(&g, BYTES_LITERAL("next"));
    forge_put(&g, disk, true);
}

/* Records that are larger than what is read at a time. */
static uint8_t large_body[1024 * 1024 + 4096];

static void large_tail(struct sim_disk *disk)
{
    large_body[100] = 1;
    large_body[sizeof(large_body) - 1] = 1;
    begin();
    (void)forge_bad(&f, bytes_of(large_body, sizeof(large_body)));
    forge_put(&f, disk, true);
}

/* Behind a small one; what is read at once ends in it. */
static void large_behind_bad(struct sim_disk *disk)
{
    begin();
    (void)forge_bad(&f, BYTES_LITERAL("a body so long that the hole fits in its place, and more"));
    (void)forge_good(&f, bytes_of(large_body, sizeof(large_body)));
    forge_put(&f, disk, true);
}

static void large_damage(struct sim_disk *disk)
{
    large_tail(disk);
    (void)forge_good(&f, BYTES_LITERAL("third"));
    (void)forge_good(&f, bytes_of(large_body, sizeof(large_body)));
    (void)forge_bad(&f, BYTES_LITERAL("a body so long that the hole fits in its place, and more"));
    (void)forge_good(&f, BYTES_LITERAL("sixth"));
    forge_put(&f, disk, true);
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

/* The last segment but one is shorter than it was written ahead, and ends with a whole record: what
 * stood behind is gone. The last one is torn, as by a crash, and hides nothing. */
static void truncated_and_torn_next(struct sim_disk *disk)
{
    begin();
    f.header.size_ahead = SEGMENT_BYTES_MIN;
    const size_t end = f.at;
    (void)forge_good(&f, BYTES_LITERAL("second"));
    forge_put(&f, disk, true);
    const struct log_name name = log_name_of(WORLD_FOLDER, 1, ".seg");
    ASSERT(sim_disk_cut(disk, name.text, end));
    forge_begin(&g, 2, f.pos, f.hash);
    (void)forge_bad(&g, BYTES_LITERAL("third"));
    forge_put(&g, disk, false);
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
    struct pieces state = {0};
    expect_ok(pieces_append(&state, BYTES_LITERAL("state")));
    expect_ok(checkpoint_write(&storage, WORLD_FOLDER, checkpoint, &state));
    pieces_deinit(&state);
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

/* A checkpoint that leads beyond the next segment, at a segment that holds nothing. */
static void begins_beyond_the_next(struct sim_disk *disk)
{
    forge_begin(&f, 2, 5, 77);
    forge_put(&f, disk, false);
    struct checkpoint checkpoint = checkpoint_good;
    checkpoint.pos = 5;
    checkpoint.hash = 77;
    checkpoint_put(disk, &checkpoint);
    forge_begin(&g, 3, 3, 55);
    (void)forge_good(&g, BYTES_LITERAL("fourth"));
    forge_put(&g, disk, true);
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

/* … and an index of the first, with which no replay of it is needed. */
static void index_put(struct sim_disk *disk, struct index_head add)
{
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
    expect_ok(index_file_write(&storage, WORLD_FOLDER, &head, NULL, NULL, 0));
}

/* So a start would begin at the checkpoint, if that fitted. */
static void checkpoint_indexed(struct sim_disk *disk, struct checkpoint add)
{
    checkpoint_with(disk, add);
    index_put(disk, (struct index_head){0});
}

static void checkpoint_of_partition(struct sim_disk *disk)
{
    checkpoint_indexed(disk, (struct checkpoint){.partition = 1});
}

static void checkpoint_of_incarnation(struct sim_disk *disk)
{
    checkpoint_indexed(disk, (struct checkpoint){.incarnation = 1});
}

static void checkpoint_of_position(struct sim_disk *disk)
{
    checkpoint_indexed(disk, (struct checkpoint){.pos = 1});
}

static void checkpoint_of_chain(struct sim_disk *disk)
{
    checkpoint_indexed(disk, (struct checkpoint){.hash = 1});
}

/* … or at one without a header, so that only a replay tells that it does not fit. */
static void checkpoint_headerless_position(struct sim_disk *disk)
{
    checkpoint_with(disk, (struct checkpoint){.pos = 1});
    forge_put(&g, disk, false);
}

static void checkpoint_headerless_chain(struct sim_disk *disk)
{
    checkpoint_with(disk, (struct checkpoint){.hash = 1});
    forge_put(&g, disk, false);
}

static void index_with(struct sim_disk *disk, struct index_head add)
{
    checkpoint_with(disk, (struct checkpoint){0});
    index_put(disk, add);
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

/* A full segment gets its index when a batch behind it is on disk: the segment of that is lost. */
static void index_of_the_last(struct sim_disk *disk)
{
    good(disk);
    const struct storage storage = sim_disk_storage(disk);
    struct index_head head = {
        .partition = WORLD_PARTITION,
        .incarnation = WORLD_INCARNATION,
        .number = 1,
        .end_pos = f.pos,
        .end_hash = f.hash,
        .end_at = f.at,
    };
    expect_ok(index_file_write(&storage, WORLD_FOLDER, &head, NULL, NULL, 0));
}

/* As a repair leaves it, and an operator who then removes the original. */
static void hole_of_another_time(struct sim_disk *disk)
{
    run_with(disk, (struct forge_odd){0});
    struct file_log *log = NULL;
    const struct storage storage = sim_disk_storage(disk);
    const struct file_log_options options = {
        .folder = WORLD_FOLDER,
        .partition = WORLD_PARTITION,
        .incarnation = WORLD_INCARNATION,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .repair = true,
        .on_record = ignore_record,
    };
    expect_ok(file_log_open(&storage, &options, &log));
    file_log_close(log);
    const struct log_name original = log_name_of(WORLD_FOLDER, 1, ".seg.damaged");
    expect_ok(storage.ops->remove(storage.ctx, original.text));
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
    expect_ok(storage.ops->rename(storage.ctx, from.text, to.text));
    const struct log_name index = log_name_of(WORLD_FOLDER, 2, ".idx");
    sim_disk_put(disk, index.text, BYTES_LITERAL("of what?"));
    forge_begin(&g, 3, f.pos, f.hash);
    (void)forge_good(&g, BYTES_LITERAL("third"));
    forge_put(&g, disk, true);
}

const struct forged_case forged_cases[] = {
    {"good", good, NULL, "01", 0, false, false},
    {"another partition's record", other_partition, "partition", "0-", 1, false, false},
    {"another position", other_position, "position", "0-", 1, false, false},
    {"another chain", other_chain, "chain", "0-", 1, false, false},
    {"a hole that is none", hole_that_is_none, "hole", "0-", 1, false, false},
    {"a run, then a partition", run_then_partition, "checksum", "0-2-", 2, false, false},
    {"a run, then a position", run_then_position, "checksum", "0-4", 1, false, false},
    {"a run, then a chain", run_then_chain, "checksum", "0-3", 1, false, false},
    {"a run, then no hole", run_then_hole_that_is_none, "checksum", "0-2-", 2, false, false},
    {"a run, then a bad one", run_then_bad, "checksum", "0-2", 1, false, false},
    {"a run of a large batch", run_of_a_large_batch, "checksum", "0-23", 1, false, false},
    {"far ahead", run_far_ahead, NULL, "0", 0, false, false},
    {"a hole behind a bad one", hole_behind_bad, NULL, "0", 0, false, false},
    {"an empty hole that is bad", empty_hole_bad, "checksum", "0-1", 1, false, false},
    {"the same, headerless", empty_hole_bad_and_headerless, "header", "01--2", 1, false, false},
    {"a run into the next segment", run_into_the_next, "checksum", "0-23-", 2, false, false},
    {"a copy, and a headerless next", copy_and_headerless_next, "checksum", "0-23", 2, false,
     false},
    {"a copy in line, and a headerless next", copy_in_line_and_headerless_next, "header", "01-", 1,
     false, false},
    {"headers without end", headers_without_end, "checksum", "0-", 1, false, false},
    {"small, good", small_good, "checksum", "0-45", 1, false, false},
    {"small, bad", small_bad, "checksum", "0-45", 2, false, false},
    {"small, partition", small_partition, "checksum", "0-45", 2, false, false},
    {"small, position", small_position, "checksum", "0-45", 2, false, false},
    {"small, chain", small_chain, "checksum", "0-45", 1, false, false},
    {"small, no hole", small_hole, "checksum", "0-45", 2, false, false},
    {"small at the end", small_at_the_end, "checksum", "0-", 1, false, false},
    {"small, and a next", small_and_good_next, "checksum", "0-45", 2, false, false},
    {"small, and a headerless next", small_and_headerless_next, "checksum", "0--45", 3, false,
     false},
    {"small, and an older next", small_and_older_next, "checksum", "0-23", 1, false, false},
    {"small, and an overlapping next", small_and_overlapping_next, "checksum", "0-3", 2, false,
     false},
    {"small, and zeros", small_and_zeros, "checksum", "0-3", 1, false, false},
    {"large tail", large_tail, NULL, "0", 0, true, false},
    {"large damage", large_damage, "checksum", "0-23-5", 2, true, false},
    {"large, behind a bad one", large_behind_bad, "checksum", "0-2", 1, true, false},
    {"bad, and an older next", bad_and_older_next, "checksum", "01-", 1, false, false},
    {"next: another chain", next_of_another_chain, "chain", "01--4", 2, false, false},
    {"next: ahead", next_ahead, "missing records", "01-5-", 2, false, false},
    {"next: behind", next_behind, "position", "01-", 2, false, false},
    {"headerless: chain", headerless_chain, "header", "01-234", 1, false, false},
    {"headerless: partition", headerless_partition, "header", "01--4", 1, false, false},
    {"headerless: position", headerless_position, "header", "01--4", 1, false, false},
    {"unsynced: header", unsynced_header, NULL, "01234", 1, false, false},
    {"unsynced: header and record", unsynced_header_and_record, "header", "01--4", 1, false, false},
    {"truncated, and a torn next", truncated_and_torn_next, "truncated", "0-", 2, false, false},
    {"alone and bad", alone_and_bad, "header", "-", 1, false, false},
    {"alone and short", alone_and_short, "header", "-", 1, false, false},
    {"the first is zero", first_is_zero, "header", "-2", 1, false, false},
    {"the first of another chain", first_of_another_chain, "chain", NULL, 0, false, false},
    {"begins nowhere", begins_nowhere, "no checkpoint to begin at", NULL, 1, false, false},
    {"begins elsewhere", begins_elsewhere, "checkpoint of another history", NULL, 1, false, false},
    {"begins beyond the next", begins_beyond_the_next, "header", "-", 1, false, false},
    {"a checkpoint: partition", checkpoint_of_partition, NULL, "012", 0, false, false},
    {"a checkpoint: incarnation", checkpoint_of_incarnation, NULL, "012", 0, false, false},
    {"a checkpoint: position", checkpoint_of_position, NULL, "012", 1, false, false},
    {"a checkpoint: chain", checkpoint_of_chain, NULL, "012", 1, false, false},
    {"a checkpoint, headerless: position", checkpoint_headerless_position, NULL, "012", 1, false,
     false},
    {"a checkpoint, headerless: chain", checkpoint_headerless_chain, NULL, "012", 1, false, false},
    {"an index", index_good, NULL, "2", 0, false, false},
    {"an index: partition", index_of_partition, NULL, "012", 0, false, false},
    {"an index: incarnation", index_of_incarnation, NULL, "012", 0, false, false},
    {"an index: position", index_of_position, NULL, "012", 0, false, false},
    {"an index: end", index_of_end, NULL, "012", 0, false, false},
    {"an index: chain", index_of_chain, NULL, "012", 0, false, false},
    {"an index: the last", index_of_the_last, "missing segment", "01-", 1, false, false},
    {"a hole of another time", hole_of_another_time, NULL, "0-23", 0, false, false},
    {"not indexed", not_indexed, "index is missing", "6", 0, false, true},
    {"foreign incarnation", foreign_incarnation, "incarnation", NULL, 1, false, false},
    {"foreign partition", foreign_partition, "partition", NULL, 1, false, false},
    {"only an index", only_an_index, "no segment is left", NULL, 0, false, false},
    {"damaged and missing", damaged_and_missing, NULL, "012", 1, false, false},
};

const size_t forged_case_count = sizeof(forged_cases) / sizeof(forged_cases[0]);

const struct forged_case *forged_case(const char *name)
{
    size_t i = 0;
    while (strcmp(forged_cases[i].name, name) != 0) {
        i++;
        ASSERT(i < forged_case_count);
    }
    return &forged_cases[i];
}
