/* The life of a log without faults: write, roll, seal, prepare, checkpoint, remove, start again.
 *
 * Goal: what comes back, by replay and by every kind of read, is what was written, at any point of
 * the log's life. Method: random workloads over tiny segments; world.c compares with its model. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "log/checkpoint.h"
#include "log/files.h"
#include "unit/log/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void publish(struct world *world, uint32_t batches, uint32_t records)
{
    for (uint32_t i = 0; i < batches; i++) {
        assert_int_equal(world_publish(world, records, LOG_SYNC_DATA), RC_OK);
    }
}

static enum rc count_record(void *ctx, const struct record *record, uint64_t first_seq)
{
    uint64_t *count = ctx;
    assert_true(first_seq > 0);
    assert_int_equal(record->type, RECORD_PUBLISH);
    ++*count;
    return RC_OK;
}

static void what_was_written_is_read_and_replayed(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(1);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 1);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.pos, 0);
    publish(&world, 40, 3);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_close(&world);

    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.pos, 120);
    assert_int_equal(world.replay_count, 120);
    assert_int_equal(world.damage_count, 0);
    assert_int_equal(world_check_reads(&world, false), 0);
    publish(&world, 5, 2);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* Where record `pos` stands in the first segment. */
static size_t place_of(const struct world *world, uint64_t pos)
{
    size_t at = SEGMENT_HEADER_SIZE;
    for (uint64_t i = 0; i < pos; i++) {
        at += record_size(world->records[i].body_size);
    }
    return at;
}

/* Found by a write that landed where it does not belong (simulator, seed 502722): in the newest
 * segment, too, a whole record of the same channel is not taken for the one that stood there. */
static void another_record_in_the_place_of_one_is_named(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(1);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 1);
    assert_int_equal(world_open(&world, false), RC_OK);
    publish(&world, 12, 1);
    struct bytes file;
    const struct log_name name = log_name_of(WORLD_FOLDER, 1, ".seg");
    assert_true(sim_disk_get(disk, name.text, &file));
    uint8_t *was = malloc(2 * file.size);
    assert_non_null(was);
    uint8_t *bytes = was + file.size;
    bytes_copy(was, file.data, file.size);
    unsigned tried = 0;
    for (uint64_t i = 0; i < 12; i++) {
        for (uint64_t j = 0; j < 12; j++) {
            const struct world_record *there = &world.records[i];
            if (i == j || there->channel != world.records[j].channel) {
                continue;
            }
            const size_t size = record_size(world.records[j].body_size);
            bytes_copy(bytes, was, file.size);
            bytes_copy(bytes + place_of(&world, i), was + place_of(&world, j), size);
            sim_disk_put(disk, name.text, bytes_of(bytes, file.size));
            assert_true(world_check_reads(&world, true) >= there->count);
            world_forget_damages(&world);
            sim_disk_put(disk, name.text, bytes_of(was, file.size));
            tried++;
        }
    }
    assert_true(tried > 10);
    free(was);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void sealed_segments_are_read_like_unsealed_ones(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(2);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 2);
    world.no_checkpoints = true;
    assert_int_equal(world_open(&world, false), RC_OK);
    for (int i = 0; i < 10; i++) {
        publish(&world, 10, 2);
        assert_int_equal(world_chores(&world), RC_OK);
        assert_int_equal(world_check_reads(&world, false), 0);
    }
    struct file_log_stats stats;
    file_log_stats(world.log, &stats);
    assert_true(stats.segment_count > 5);
    assert_int_equal(file_log_unsealed(world.log), 0);
    world_close(&world);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.replay_count, 200);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void a_checkpoint_spares_the_replay_of_what_is_below_it(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(3);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 3);
    assert_int_equal(world_open(&world, false), RC_OK);
    for (int i = 0; i < 30; i++) {
        publish(&world, 4, 2);
        assert_int_equal(world_chores(&world), RC_OK);
    }
    assert_true(world.checkpoint_count > 1);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_close(&world);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_true(world.state_pos != UINT64_MAX);
    assert_true(world.replay_count < 120);
    assert_int_equal(world.pos, 240);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void a_checkpoint_waits_for_the_segments_below_it_to_be_sealed(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(3);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 3);
    assert_int_equal(world_open(&world, false), RC_OK);
    while (world.checkpoint_segment == 0) {
        publish(&world, 1, 4);
    }
    assert_int_equal(world.checkpoint_segment, 2);
    assert_int_equal(file_log_unsealed(world.log), 1);
    assert_int_equal(world_chores(&world), RC_OK);
    assert_int_equal(file_log_unsealed(world.log), 0);
    assert_int_equal(world.checkpoint_count, 1);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void removal_frees_segments_and_keeps_the_rest(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(4);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 4);
    assert_int_equal(world_open(&world, false), RC_OK);
    struct file_log_stats stats;
    for (int i = 0; i < 60; i++) {
        publish(&world, 4, 2);
        assert_int_equal(world_chores(&world), RC_OK);
        assert_int_equal(world_retain(&world, 40000), RC_OK);
        assert_int_equal(world_check_reads(&world, false), 0);
    }
    file_log_stats(world.log, &stats);
    assert_true(stats.first_pos > 0);
    assert_true(stats.bytes < 80000);
    world_close(&world);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.pos, 480);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* Somebody has deleted what would be the first segment: with those in front of it a repair can
 * still tell, and go on behind the loss. */
static void nothing_is_removed_in_front_of_a_segment_that_is_missing(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(4);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 4);
    assert_int_equal(world_open(&world, false), RC_OK);
    struct file_log_stats stats = {0};
    while (stats.segment_count < 4) {
        publish(&world, 4, 2);
        assert_int_equal(world_chores(&world), RC_OK);
        file_log_stats(world.log, &stats);
    }
    const struct log_name first = log_name_of(WORLD_FOLDER, 1, ".seg");
    const struct log_name second = log_name_of(WORLD_FOLDER, 2, ".seg");
    struct bytes bytes;
    assert_true(sim_disk_get(disk, second.text, &bytes));
    struct buf copy = {0};
    assert_int_equal(buf_append(&copy, bytes), RC_OK);
    assert_true(sim_disk_delete(disk, second.text));
    struct log_chore chore = {.kind = LOG_CHORE_REMOVE, .segment = 2};
    file_log_chore_do(world.log, &chore);
    file_log_chore_end(world.log, &chore);
    assert_int_equal(chore.rc, RC_NOT_FOUND);
    assert_true(sim_disk_get(disk, first.text, &bytes));
    sim_disk_put(disk, second.text, buf_bytes(&copy));
    chore = (struct log_chore){.kind = LOG_CHORE_REMOVE, .segment = 2};
    file_log_chore_do(world.log, &chore);
    file_log_chore_end(world.log, &chore);
    assert_int_equal(chore.rc, RC_OK);
    assert_false(sim_disk_get(disk, first.text, &bytes));
    buf_deinit(&copy);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* A checkpoint is checked as it is read, whatever its size. */
static void a_checkpoint_is_checked_a_piece_at_a_time(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 100000};
    static uint8_t bytes[100000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct sim_disk *disk = sim_disk_open(1);
        const struct storage storage = sim_disk_storage(disk);
        const struct checkpoint written = {.partition = 1, .segment = 3, .pos = 9, .hash = 5};
        struct pieces pieces = {0};
        assert_int_equal(storage.ops->make_dir(storage.ctx, WORLD_FOLDER), RC_OK);
        if (sizes[i] > 0) {
            assert_int_equal(pieces_append(&pieces, bytes_of(bytes, sizes[i])), RC_OK);
        }
        assert_int_equal(checkpoint_write(&storage, WORLD_FOLDER, &written, &pieces), RC_OK);
        pieces_deinit(&pieces);
        struct checkpoint checked;
        assert_int_equal(checkpoint_check(&storage, WORLD_FOLDER, 3, &checked), RC_OK);
        assert_true(checked.pos == 9 && checked.hash == 5 && checked.partition == 1);
        assert_int_equal(checkpoint_check(&storage, WORLD_FOLDER, 4, &checked), RC_NOT_FOUND);
        const struct log_name name = log_name_of(WORLD_FOLDER, 3, ".ckp");
        assert_true(sim_disk_flip(disk, name.text, CHECKPOINT_HEADER_SIZE + sizes[i] - 1, 1));
        assert_int_equal(checkpoint_check(&storage, WORLD_FOLDER, 3, &checked), RC_CORRUPT);
        sim_disk_close(disk);
    }
}

static void rot_checkpoint(struct sim_disk *disk, uint64_t number)
{
    const struct log_name name = log_name_of(WORLD_FOLDER, number, ".ckp");
    struct bytes bytes;
    struct buf copy = {0};
    assert_true(sim_disk_get(disk, name.text, &bytes));
    assert_int_equal(buf_append(&copy, bytes), RC_OK);
    copy.data[copy.size / 2] ^= 1;
    sim_disk_put(disk, name.text, buf_bytes(&copy));
    buf_deinit(&copy);
}

/* The first segment's checkpoint is where a start begins if nothing newer can be used. */
static void nothing_is_removed_in_front_of_a_checkpoint_that_is_not_whole(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(6);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 6);
    assert_int_equal(world_open(&world, false), RC_OK);
    uint64_t rotten = 0;
    for (int i = 0; i < 500 && rotten == 0; i++) {
        publish(&world, 4, 2);
        assert_int_equal(world_chores(&world), RC_OK);
        rotten = file_log_retention_candidate(world.log, 1, 0, false);
    }
    assert_true(rotten > 1);
    sim_disk_fail(disk, SIM_READ, 2, true, RC_IO); /* the checkpoint, behind the segment's header */
    struct log_chore chore = {.kind = LOG_CHORE_REMOVE, .segment = rotten};
    file_log_chore_do(world.log, &chore);
    sim_disk_fail(disk, SIM_READ, 0, false, RC_OK);
    file_log_chore_end(world.log, &chore);
    assert_int_equal(chore.rc, RC_CORRUPT);
    assert_int_equal(file_log_retention_candidate(world.log, 1, 0, false), 0); /* as good as none */
    world_close(&world);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(file_log_retention_candidate(world.log, 1, 0, false), rotten);
    rot_checkpoint(disk, rotten);
    struct file_log_stats before;
    file_log_stats(world.log, &before);
    assert_int_equal(world_retain(&world, 1), RC_CORRUPT);
    struct file_log_stats after;
    file_log_stats(world.log, &after);
    assert_int_equal(after.segment_count, before.segment_count);
    assert_true(after.bytes < before.bytes); /* it counts for nothing */
    assert_int_equal(file_log_retention_candidate(world.log, 1, 0, false), 0);
    world_close(&world); /* a start does not need it */
    assert_int_equal(world_open(&world, false), RC_OK);
    for (int i = 0; i < 500 && file_log_retention_candidate(world.log, 1, 0, false) <= rotten;
         i++) {
        publish(&world, 4, 2);
        assert_int_equal(world_chores(&world), RC_OK);
    }
    assert_int_equal(world_retain(&world, 1), RC_OK); /* the next whole one will do */
    file_log_stats(world.log, &after);
    assert_true(after.first_pos > 0);
    world_close(&world);
    assert_int_equal(world_open(&world, false), RC_OK);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* A read that was begun before a removal and done after it must not skip what is gone. */
static void a_read_overtaken_by_a_removal_says_so(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(9);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 9);
    world.channel_count = 1;
    assert_int_equal(world_open(&world, false), RC_OK);
    for (int i = 0; i < 40; i++) {
        publish(&world, 4, 2);
        assert_int_equal(world_chores(&world), RC_OK);
    }
    uint64_t given[3] = {0};
    struct log_read reads[3];
    for (int i = 0; i < 3; i++) {
        reads[i] = (struct log_read){
            .kind = i == 1 ? LOG_READ_BACKWARD : LOG_READ_FORWARD,
            .channel_id = 1,
            .seq = i == 0 ? 1 : world.latest[1],
            .earliest = 1,
            .latest = world.latest[1],
            .on_record = count_record,
            .ctx = &given[i],
        };
        assert_int_equal(file_log_read_begin(world.log, &reads[i]), RC_OK);
    }
    assert_int_equal(world_retain(&world, 40000), RC_OK);
    assert_true(world.earliest[1] > 1);
    for (int i = 0; i < 3; i++) {
        file_log_read_do(world.log, &reads[i]);
        file_log_read_end(world.log, &reads[i]);
    }
    assert_int_equal(reads[0].rc, RC_NOT_FOUND);
    assert_int_equal(reads[0].ret_seq, 1);
    assert_int_equal(given[0], 0);
    assert_int_equal(reads[1].rc, RC_NOT_FOUND); /* down to what is there … */
    assert_true(given[1] > 0);
    assert_int_equal(reads[1].ret_seq + 1, world.earliest[1]);
    assert_int_equal(reads[2].rc, RC_OK); /* … and what is above is not concerned */
    assert_int_equal(given[2], 1);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void a_read_of_more_than_is_copied_at_once_goes_on(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(10);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 10);
    world.channel_count = 1;
    world.segment_bytes = 1 << 20;
    assert_int_equal(world_open(&world, false), RC_OK);
    publish(&world, 20, 100); /* 2000 records, none of them sealed */
    struct file_log_stats stats;
    file_log_stats(world.log, &stats);
    assert_int_equal(stats.segment_count, 1);
    uint64_t next = 0;
    const uint64_t given = world_read_forward(&world, 1, 1, &next);
    assert_true(given > 500);
    assert_true(next <= world.latest[1]); /* not all, and it says where it stopped */
    assert_int_equal(world_check_reads(&world, false), 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void a_batch_larger_than_a_segment_makes_a_larger_segment(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(5);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 5);
    assert_int_equal(world_open(&world, false), RC_OK);
    publish(&world, 1, 100);
    assert_true(world.batch.bytes.size > world.segment_bytes);
    publish(&world, 3, 1);
    assert_int_equal(world_chores(&world), RC_OK);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_close(&world);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.pos, 103);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void commits_without_sync_are_there_after_kill_9(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(6);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 6);
    assert_int_equal(world_open(&world, false), RC_OK);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(world_publish(&world, 2, LOG_SYNC_NONE), RC_OK);
    }
    world_close(&world);
    sim_disk_restart(disk, SIM_LOSE_NOTHING);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.pos, 100);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* What has trimmed the messages must not be lost when they are gone: else they are wanted again. */
static void a_removal_makes_durable_what_was_committed_without_sync(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(8);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 8);
    world.segment_bytes = 4096;
    assert_int_equal(world_open(&world, false), RC_OK);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(world_publish(&world, 2, LOG_SYNC_NONE), RC_OK);
        assert_int_equal(world_chores(&world), RC_OK);
    }
    struct file_log_stats before;
    file_log_stats(world.log, &before);
    assert_int_equal(world_retain(&world, before.bytes / 2), RC_OK);
    struct file_log_stats after;
    file_log_stats(world.log, &after);
    assert_true(after.segment_count < before.segment_count);
    const uint64_t pos = world.pos;
    world_close(&world);
    sim_disk_restart(disk, SIM_LOSE_EVERYTHING);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.pos, pos);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* Where each of these syncs fails, acknowledged records may be gone: whoever owns the log is told.
 */
static void a_failed_sync_of_what_was_committed_without_one_is_told(void **state)
{
    (void)state;
    for (int when = 0; when < 4; when++) {
        struct sim_disk *disk = sim_disk_open(30);
        struct world world;
        world_init(&world, sim_disk_storage(disk), 30);
        world.segment_bytes = 4096;
        assert_int_equal(world_open(&world, false), RC_OK);
        enum rc rc = RC_OK;
        for (int i = 0; i < 100; i++) {
            assert_int_equal(world_publish(&world, 2, LOG_SYNC_NONE), RC_OK);
            assert_int_equal(world_chores(&world), RC_OK);
        }
        assert_int_equal(world.sync_failures, 0);
        if (when == 0) { /* at a roll */
            sim_disk_fail(disk, SIM_SYNC_DATA, 1, true, RC_IO);
            for (int i = 0; rc == RC_OK && i < 100; i++) {
                rc = world_publish(&world, 2, LOG_SYNC_NONE);
            }
            assert_int_equal(rc, RC_IO);
        } else if (when == 1) { /* in front of a removal */
            struct file_log_stats stats;
            file_log_stats(world.log, &stats);
            sim_disk_fail(disk, SIM_SYNC_DATA, 1, true, RC_IO);
            assert_int_equal(world_retain(&world, stats.bytes / 2), RC_IO);
        } else { /* when the next batch, with or without a sync, finds no space and is taken back */
            sim_disk_fail(disk, SIM_WRITE, 1, false, RC_NOSPACE);
            sim_disk_fail(disk, SIM_SYNC_DATA, 1, true, RC_IO);
            rc = world_publish(&world, 1, when == 2 ? LOG_SYNC_NONE : LOG_SYNC_DATA);
            assert_int_equal(rc, RC_IO);
            sim_disk_fail(disk, SIM_SYNC_DATA, 0, false, RC_OK);
            assert_int_equal(file_log_reopen(world.log, world.pos, world.hash), RC_IO);
        }
        assert_true(world.sync_failures > 0);
        world_deinit(&world);
        sim_disk_close(disk);
    }
}

static void a_sync_that_fails_at_the_start_is_told(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(31);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 31);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world_publish(&world, 2, LOG_SYNC_NONE), RC_OK);
    world_close(&world);
    sim_disk_fail(disk, SIM_SYNC_DATA, 1, true, RC_IO);
    assert_int_equal(world_open(&world, false), RC_IO);
    assert_int_equal(world.sync_failures, 1);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* Changes the version in the head of a file, with a checksum that fits. */
static void version_change(struct sim_disk *disk, uint64_t number, const char *suffix,
                           uint32_t crc_at)
{
    const struct log_name name = log_name_of(WORLD_FOLDER, number, suffix);
    struct bytes bytes = {0};
    assert_true(sim_disk_get(disk, name.text, &bytes));
    uint8_t *copy = mem_alloc(bytes.size);
    bytes_copy(copy, bytes.data, bytes.size);
    bytes_store_u32(copy + 8, bytes_load_u32(copy + 8) + 1);
    bytes_store_u32(copy + crc_at, crc32c(0, bytes_of(copy, crc_at)));
    sim_disk_put(disk, name.text, bytes_of(copy, bytes.size));
    mem_free(copy);
}

static bool is_told(const struct world *world, const char *suffix)
{
    for (size_t i = 0; i < world->damage_count; i++) {
        if (strstr(world->damages[i].file, suffix) != NULL &&
            strcmp(world->damages[i].what, "format version of another release") == 0) {
            return true;
        }
    }
    return false;
}

/* What can be built again is; a segment is refused, and left as it is. */
static void files_of_another_release_are_called_so(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(33);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 33);
    assert_int_equal(world_open(&world, false), RC_OK);
    for (int i = 0; i < 30; i++) {
        publish(&world, 4, 2);
        assert_int_equal(world_chores(&world), RC_OK);
    }
    assert_true(world.checkpoint_count > 1);
    struct file_log_stats stats;
    file_log_stats(world.log, &stats);
    const uint64_t pos = world.pos;
    world_close(&world);
    for (uint64_t number = 2; number <= stats.segment_count; number++) {
        const struct log_name name = log_name_of(WORLD_FOLDER, number, ".ckp");
        struct bytes bytes = {0};
        if (sim_disk_get(disk, name.text, &bytes)) {
            version_change(disk, number, ".ckp", 76);
        }
    }
    world_forget_damages(&world);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_true(is_told(&world, ".ckp"));
    assert_true(world.state_pos == UINT64_MAX); /* from the beginning */
    assert_true(world.pos == pos);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_close(&world);
    version_change(disk, stats.segment_count, ".seg", 60);
    for (int repair = 0; repair < 2; repair++) {
        world_forget_damages(&world);
        assert_int_equal(world_open(&world, repair == 1), RC_CORRUPT);
        assert_true(is_told(&world, ".seg"));
    }
    world_deinit(&world);
    sim_disk_close(disk);
}

static void an_index_of_another_release_is_called_so_and_built_again(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(34);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 34);
    assert_int_equal(world_open(&world, false), RC_OK);
    for (int i = 0; i < 30; i++) {
        publish(&world, 4, 2);
        assert_int_equal(world_chores(&world), RC_OK);
    }
    world_close(&world);
    version_change(disk, 1, ".idx", 4092);
    world_forget_damages(&world);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_true(is_told(&world, ".idx"));
    assert_int_equal(world_check_reads(&world, false), 0);
    assert_int_equal(world_chores(&world), RC_OK);
    world_close(&world);
    world_forget_damages(&world);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.damage_count, 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* What a start writes, from where on. */
static uint64_t first_write_at;
static const struct storage_ops *real_ops;

static enum rc watched_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    first_write_at = at < first_write_at ? at : first_write_at;
    return real_ops->write(ctx, file, bytes, at);
}

static void a_segment_whose_sync_failed_is_written_again_from_its_first_record(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(32);
    struct storage storage = sim_disk_storage(disk);
    real_ops = storage.ops;
    struct storage_ops ops = *storage.ops;
    ops.write = watched_write;
    storage.ops = &ops;
    struct world world;
    world_init(&world, storage, 32);
    assert_int_equal(world_open(&world, false), RC_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(world_publish(&world, 2, LOG_SYNC_NONE), RC_OK);
    }
    for (int round = 0; round < 2; round++) {
        world_close(&world);
        world.rewrite = round == 1;
        first_write_at = UINT64_MAX;
        assert_int_equal(world_open(&world, false), RC_OK);
        assert_int_equal(world.pos, 40);
        assert_int_equal(world_check_reads(&world, false), 0);
        if (world.rewrite) {
            assert_true(first_write_at == SEGMENT_HEADER_SIZE);
        } else {
            assert_true(first_write_at > SEGMENT_HEADER_SIZE && first_write_at != UINT64_MAX);
        }
    }
    world_deinit(&world);
    sim_disk_close(disk);
}

static void reads_agree_with_the_model_over_random_workloads(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 130; seed++) {
        struct sim_disk *disk = sim_disk_open(seed);
        struct world world;
        world_init(&world, sim_disk_storage(disk), seed);
        world.channel_count = 1 + (uint32_t)prng_below(&world.prng, WORLD_CHANNELS_MAX);
        world.body_max = (uint32_t)prng_below(&world.prng, 600);
        world.messages_max = 1 + (uint32_t)prng_below(&world.prng, 1000);
        world.segment_bytes = 4096u << prng_below(&world.prng, 3);
        assert_int_equal(world_open(&world, false), RC_OK);
        for (int i = 0; i < 60; i++) {
            publish(&world, 1, 1 + (uint32_t)prng_below(&world.prng, 12));
            if (prng_below(&world.prng, 3) == 0) {
                assert_int_equal(world_chores(&world), RC_OK);
            }
            if (prng_below(&world.prng, 10) == 0) {
                assert_int_equal(world_retain(&world, 60000), RC_OK);
            }
            if (prng_below(&world.prng, 8) == 0) {
                assert_int_equal(world_check_reads(&world, false), 0);
            }
            if (prng_below(&world.prng, 20) == 0) {
                world_close(&world);
                assert_int_equal(world_open(&world, false), RC_OK);
            }
        }
        assert_int_equal(world_check_reads(&world, false), 0);
        world_deinit(&world);
        sim_disk_close(disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_and_replayed),
        cmocka_unit_test(another_record_in_the_place_of_one_is_named),
        cmocka_unit_test(sealed_segments_are_read_like_unsealed_ones),
        cmocka_unit_test(a_checkpoint_spares_the_replay_of_what_is_below_it),
        cmocka_unit_test(a_checkpoint_waits_for_the_segments_below_it_to_be_sealed),
        cmocka_unit_test(removal_frees_segments_and_keeps_the_rest),
        cmocka_unit_test(nothing_is_removed_in_front_of_a_segment_that_is_missing),
        cmocka_unit_test(a_checkpoint_is_checked_a_piece_at_a_time),
        cmocka_unit_test(nothing_is_removed_in_front_of_a_checkpoint_that_is_not_whole),
        cmocka_unit_test(a_read_overtaken_by_a_removal_says_so),
        cmocka_unit_test(a_read_of_more_than_is_copied_at_once_goes_on),
        cmocka_unit_test(a_batch_larger_than_a_segment_makes_a_larger_segment),
        cmocka_unit_test(commits_without_sync_are_there_after_kill_9),
        cmocka_unit_test(a_removal_makes_durable_what_was_committed_without_sync),
        cmocka_unit_test(a_failed_sync_of_what_was_committed_without_one_is_told),
        cmocka_unit_test(a_sync_that_fails_at_the_start_is_told),
        cmocka_unit_test(files_of_another_release_are_called_so),
        cmocka_unit_test(an_index_of_another_release_is_called_so_and_built_again),
        cmocka_unit_test(a_segment_whose_sync_failed_is_written_again_from_its_first_record),
        cmocka_unit_test(reads_agree_with_the_model_over_random_workloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
