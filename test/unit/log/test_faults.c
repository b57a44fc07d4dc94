/* Calls that fail: each write, sync, open, rename, … and each allocation in turn; a full disk.
 *
 * Goal: nothing after a failure is acknowledged until the log has been reopened, reads go on, a
 * failed sync is never retried, a disk that has room again heals without a restart, and whatever
 * happened the next start finds all that was acknowledged. Method: one workload, the k-th call of a
 * kind failing once or for ever, for all k. */
#include "unit/log/world.h"

#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Nothing is accepted. (Not through the world: its model keeps what was attempted before.) */
static void check_refuses(struct world *world)
{
    struct log_batch batch = {0};
    batch_begin(&batch, WORLD_PARTITION, world->pos, world->hash, 0);
    assert_int_equal(batch_append(&batch, RECORD_PUBLISH, 0, BYTES_LITERAL("x")), RC_OK);
    assert_int_equal(file_log_commit(world->log, &batch, LOG_SYNC_DATA), RC_UNAVAILABLE);
    batch_deinit(&batch);
}

/* Commits and chores; what fails is reopened if that is possible. Returns how often that was. */
static int workload(struct world *world, struct sim_disk *disk, bool *ret_dead)
{
    int reopened = 0;
    *ret_dead = false;
    for (int i = 0; i < 24 && !*ret_dead; i++) {
        enum rc rc = world_publish(world, 4, LOG_SYNC_DATA);
        assert_true(rc == RC_OK || rc == RC_IO || rc == RC_NOSPACE);
        if (rc != RC_OK) {
            check_refuses(world);
            const uint64_t syncs = sim_disk_call_count(disk, SIM_SYNC_DATA);
            rc = file_log_reopen(world->log, world->pos, world->hash);
            if (rc == RC_OK) {
                reopened++;
            } else {
                assert_int_equal(rc, RC_IO);
                *ret_dead = true;
                /* At most the one sync of what was restored: never a second of what has failed. */
                assert_true(sim_disk_call_count(disk, SIM_SYNC_DATA) <= syncs + 1);
                check_refuses(world);
            }
        }
        (void)world_chores(world);
        if (i % 9 == 8) {
            (void)world_retain(world, 20000);
        }
    }
    return reopened;
}

/* Start again, without faults, after a power cut: all that was acknowledged is there. */
static void check_survivor(struct world *world, struct sim_disk *disk)
{
    for (int kind = 0; kind < SIM_CALL_COUNT; kind++) {
        sim_disk_fail(disk, (enum sim_call)kind, 0, false, RC_OK);
    }
    world_close(world);
    sim_disk_restart(disk, SIM_LOSE_SOME);
    const uint64_t acked = world->acked_pos;
    world_forget_damages(world);
    assert_int_equal(world_open(world, false), RC_OK);
    assert_true(world->pos >= acked);
    assert_int_equal(world_check_reads(world, false), 0);
    assert_int_equal(world_publish(world, 4, LOG_SYNC_DATA), RC_OK);
    assert_int_equal(world_chores(world), RC_OK);
    assert_int_equal(world_check_reads(world, false), 0);
}

static uint64_t calls_of(enum sim_call kind)
{
    struct sim_disk *disk = sim_disk_open(5);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 5);
    assert_int_equal(world_open(&world, false), RC_OK);
    bool dead;
    assert_int_equal(workload(&world, disk, &dead), 0);
    assert_false(dead);
    world_deinit(&world);
    const uint64_t count = sim_disk_call_count(disk, kind);
    sim_disk_close(disk);
    return count;
}

/* `can_reopen`: whether some of the failures must have healed without a restart. */
static void fail_each(enum sim_call kind, enum rc failure, bool can_reopen)
{
    const uint64_t count = calls_of(kind);
    assert_true(count > 0);
    int reopened = 0;
    int deaths = 0;
    for (int forever = 0; forever < 2; forever++) {
        for (uint64_t k = 1; k <= count; k++) {
            struct sim_disk *disk = sim_disk_open(1000 * k + (uint64_t)forever);
            struct world world;
            world_init(&world, sim_disk_storage(disk), 5);
            sim_disk_fail(disk, kind, k, forever == 1, failure);
            const enum rc rc = world_open(&world, false);
            if (rc == RC_OK) {
                bool dead;
                reopened += workload(&world, disk, &dead);
                deaths += dead;
            } else {
                assert_int_equal(rc, failure);
            }
            check_survivor(&world, disk);
            world_deinit(&world);
            sim_disk_close(disk);
        }
    }
    assert_int_equal(reopened > 0, can_reopen);
    if (kind == SIM_SYNC_DATA) {
        assert_true(deaths > 0);
    }
}

static void a_write_that_fails_stops_the_log_until_it_is_reopened(void **state)
{
    (void)state;
    fail_each(SIM_WRITE, RC_IO, true);
}

static void a_sync_that_fails_is_the_end_until_a_restart(void **state)
{
    (void)state;
    fail_each(SIM_SYNC_DATA, RC_IO, false);
}

static void a_folder_sync_that_fails_is_the_end_until_a_restart(void **state)
{
    (void)state;
    fail_each(SIM_SYNC_DIR, RC_IO, false);
}

static void an_open_that_fails_loses_nothing(void **state)
{
    (void)state;
    fail_each(SIM_OPEN, RC_IO, true);
}

static void a_rename_that_fails_loses_nothing(void **state)
{
    (void)state;
    fail_each(SIM_RENAME, RC_IO, true);
}

static void reads_removals_and_listings_that_fail_lose_nothing(void **state)
{
    (void)state;
    fail_each(SIM_READ, RC_IO, false);
    fail_each(SIM_REMOVE, RC_IO, false);
    fail_each(SIM_LIST, RC_IO, false);
    fail_each(SIM_MAKE_DIR, RC_DENIED, false);
}

/* ---- allocations --------------------------------------------------------------------------- */

static void every_allocation_that_fails_at_start_is_told(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(6);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 6);
    assert_int_equal(world_open(&world, false), RC_OK);
    bool dead;
    assert_int_equal(workload(&world, disk, &dead), 0);
    const uint64_t pos = world.pos;
    world_close(&world);
    for (int forever = 0; forever < 2; forever++) {
        for (uint64_t k = 1;; k++) {
            /* The judge allocates, too: a state that it cannot compare ends the start likewise. */
            mem_fault_set(k, forever);
            world.no_state_check = true;
            const enum rc rc = world_open(&world, false);
            const bool hit = mem_fault_count() >= k;
            mem_fault_set(0, 0);
            assert_int_equal(rc, hit ? RC_NOMEM : RC_OK);
            world_close(&world);
            if (!hit) {
                break;
            }
        }
    }
    world.no_state_check = false;
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.pos, pos);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void a_commit_allocates_nothing(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(7);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 7);
    assert_int_equal(world_open(&world, false), RC_OK);
    struct log_batch batch = {0};
    uint64_t pos = 0;
    uint64_t hash = world.hash;
    for (int i = 0; i < 200; i++) { /* over several rolls */
        batch_begin(&batch, WORLD_PARTITION, pos, hash, 0);
        assert_int_equal(
            batch_append(&batch, RECORD_PUBLISH, 0, BYTES_LITERAL("some body of a record")), RC_OK);
        mem_fault_set(1, 1);
        const enum rc rc = file_log_commit(world.log, &batch, LOG_SYNC_DATA);
        assert_int_equal(mem_fault_count(), 0);
        mem_fault_set(0, 0);
        assert_int_equal(rc, RC_OK);
        pos = batch.end_pos;
        hash = batch.end_hash;
    }
    assert_true(batch.place.segment > 2);
    batch_deinit(&batch);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* Commits one record with as little memory as may be. Returns whether there was enough at once. */
static bool commit_short_of_memory(struct world *world, struct log_batch *batch)
{
    static const uint8_t body[1500];
    batch_begin(batch, WORLD_PARTITION, batch->end_pos, batch->end_hash, batch->controls);
    assert_int_equal(batch_append(batch, RECORD_TRIM, 0, bytes_of(body, sizeof(body))), RC_OK);
    mem_fault_set(1, 1);
    const enum rc rc = file_log_commit_reserve(world->log);
    mem_fault_set(0, 0);
    if (rc != RC_OK) {
        assert_int_equal(rc, RC_NOMEM);
        assert_int_equal(file_log_commit_reserve(world->log), RC_OK);
    }
    assert_int_equal(file_log_commit(world->log, batch, LOG_SYNC_DATA), RC_OK);
    mem_fault_set(1, 1);
    (void)file_log_committed(world->log, batch);
    assert_int_equal(mem_fault_count(), 0);
    mem_fault_set(0, 0);
    return rc == RC_OK;
}

/* By a record that no index has, such as a trim: nobody could be told that there was no memory, and
 * the next publish would not find the segment that it stands in. */
static void a_roll_is_noted_whatever_memory_is_left(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(7);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 7);
    assert_int_equal(world_open(&world, false), RC_OK);
    struct log_batch batch = {.end_hash = world.hash};
    int refused = 0;
    for (int i = 0; i < 100; i++) {
        refused += !commit_short_of_memory(&world, &batch);
        struct file_log_stats stats;
        file_log_stats(world.log, &stats);
        assert_int_equal(stats.segment_count, batch.place.segment);
        assert_int_equal(file_log_index_add(world.log, batch.place, 1, (uint64_t)i + 1, 1, 1, 1),
                         RC_OK);
    }
    assert_true(refused > 1);
    assert_true(batch.place.segment > 16);
    batch_deinit(&batch);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void owner_and_keeper_survive_failing_allocations(void **state)
{
    (void)state;
    for (uint64_t k = 1; k < 120; k++) {
        struct sim_disk *disk = sim_disk_open(k);
        struct world world;
        world_init(&world, sim_disk_storage(disk), 8);
        assert_int_equal(world_open(&world, false), RC_OK);
        for (int i = 0; i < 12; i++) {
            assert_int_equal(world_publish(&world, 4, LOG_SYNC_DATA), RC_OK);
        }
        mem_fault_set(k, 0);
        (void)world_chores(&world);
        mem_fault_set(0, 0);
        assert_int_equal(world_check_reads(&world, false), 0);
        assert_int_equal(world_publish(&world, 4, LOG_SYNC_DATA), RC_OK);
        assert_int_equal(world_chores(&world), RC_OK); /* comes again, and succeeds */
        assert_int_equal(world_check_reads(&world, false), 0);
        world_deinit(&world);
        sim_disk_close(disk);
    }
}

/* ---- what was refused ---------------------------------------------------------------------- */

/* A write that fails may have written a part, with whole records in it. Its publishers are told
 * that nothing was stored: so also a start right after it, without a reopen, must show nothing. */
static void what_was_refused_is_not_there_after_a_restart(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct sim_disk *disk = sim_disk_open(seed);
        struct world world;
        world_init(&world, sim_disk_storage(disk), seed);
        assert_int_equal(world_open(&world, false), RC_OK);
        const uint64_t good = seed % 9; /* some fail in a roll */
        for (uint64_t i = 0; i < good; i++) {
            assert_int_equal(world_publish(&world, 3, LOG_SYNC_DATA), RC_OK);
            assert_int_equal(world_chores(&world), RC_OK);
        }
        sim_disk_fail(disk, SIM_WRITE, 1, false, RC_IO);
        assert_int_equal(world_publish(&world, 8, LOG_SYNC_DATA), RC_IO);
        world_close(&world);
        sim_disk_restart(disk, seed % 2 == 0 ? SIM_LOSE_NOTHING : SIM_LOSE_EVERYTHING);
        assert_int_equal(world_open(&world, false), RC_OK);
        assert_int_equal(world.pos, 3 * good);
        assert_int_equal(world.damage_count, 0);
        check_survivor(&world, disk);
        world_deinit(&world);
        sim_disk_close(disk);
    }
}

/* A storage like the simulated disk, but what is written ahead keeps no space there. */
static struct storage storage_without_space(struct sim_disk *disk, struct storage_ops *ops)
{
    struct storage storage = sim_disk_storage(disk);
    *ops = *storage.ops;
    ops->keeps_space = false;
    storage.ops = ops;
    return storage;
}

/* A full disk in a roll, and then the file cannot be removed either: found by the simulator. */
static void what_a_roll_leaves_that_cannot_be_removed_is_not_there_after_a_restart(void **state)
{
    (void)state;
    int hits = 0;
    for (uint64_t budget = 4200; budget < 30000; budget += 61) {
        struct sim_disk *disk = sim_disk_open(budget);
        struct world world;
        struct storage_ops ops; /* where space is kept there would be no roll */
        world_init(&world, storage_without_space(disk, &ops), 11);
        sim_disk_budget(disk, budget);
        assert_int_equal(world_open(&world, false), RC_OK);
        enum rc rc = RC_OK;
        sim_disk_fail(disk, SIM_REMOVE, 1, true, RC_IO);
        while (rc == RC_OK) {
            rc = world_publish(&world, 8, LOG_SYNC_DATA);
        }
        assert_int_equal(rc, RC_NOSPACE);
        const uint64_t pos = world.pos;
        sim_disk_fail(disk, SIM_REMOVE, 0, false, RC_OK);
        world_close(&world);
        sim_disk_restart(disk, SIM_LOSE_NOTHING);
        sim_disk_budget(disk, UINT64_MAX);
        hits += sim_disk_name(disk, 2) != NULL;
        assert_int_equal(world_open(&world, false), RC_OK);
        assert_int_equal(world.pos, pos);
        check_survivor(&world, disk);
        world_deinit(&world);
        sim_disk_close(disk);
    }
    assert_true(hits > 20);
}

/* ---- memory runs out while a batch is applied ---------------------------------------------- */

static void what_was_not_applied_of_a_batch_is_cut_and_never_seen_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct sim_disk *disk = sim_disk_open(seed);
        struct world world;
        world_init(&world, sim_disk_storage(disk), seed);
        assert_int_equal(world_open(&world, false), RC_OK);
        for (int i = 0; i < 12; i++) {
            const uint64_t before = world.pos;
            const uint32_t count = 2 + (uint32_t)prng_below(&world.prng, 6);
            const uint32_t applied = (uint32_t)prng_below(&world.prng, count);
            assert_int_equal(world_publish_part(&world, count, applied), RC_OK);
            assert_int_equal(world.pos, before + applied);
            if (i % 3 != 0) {
                assert_int_equal(world_publish(&world, 3, LOG_SYNC_DATA), RC_OK);
            }
            assert_int_equal(world_chores(&world), RC_OK);
            assert_int_equal(world_check_reads(&world, false), 0);
        }
        const uint64_t pos = world.pos;
        world_close(&world);
        sim_disk_restart(disk, SIM_LOSE_SOME);
        assert_int_equal(world_open(&world, false), RC_OK);
        assert_int_equal(world.pos, pos); /* nothing more, and nothing less */
        assert_int_equal(world.damage_count, 0);
        check_survivor(&world, disk);
        world_deinit(&world);
        sim_disk_close(disk);
    }
}

static void a_cut_that_fails_keeps_the_log_closed_until_a_restart(void **state)
{
    (void)state;
    static const enum sim_call kinds[] = {SIM_OPEN, SIM_READ, SIM_WRITE, SIM_SYNC_DATA};
    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        struct sim_disk *disk = sim_disk_open(kind);
        struct world world;
        world_init(&world, sim_disk_storage(disk), 21);
        assert_int_equal(world_open(&world, false), RC_OK);
        assert_int_equal(world_publish(&world, 2, LOG_SYNC_DATA), RC_OK);
        /* The batch itself takes a write and a sync; the cut comes behind it. */
        const uint64_t skip = kinds[kind] == SIM_WRITE || kinds[kind] == SIM_SYNC_DATA ? 2 : 1;
        sim_disk_fail(disk, kinds[kind], skip, false, RC_IO);
        assert_int_equal(world_publish_part(&world, 5, 2), RC_IO);
        check_refuses(&world);
        assert_int_equal(world_check_reads(&world, false), 0);
        check_survivor(&world, disk);
        world_deinit(&world);
        sim_disk_close(disk);
    }
}

/* ---- a full disk --------------------------------------------------------------------------- */

/* How many batches the log takes until it is full once more. */
static int fill(struct world *world)
{
    for (int taken = 0;; taken++) {
        const enum rc rc = world_publish(world, 1, LOG_SYNC_DATA);
        if (rc != RC_OK) {
            assert_int_equal(rc, RC_NOSPACE);
            return taken;
        }
        assert_true(taken < 100);
    }
}

static void a_full_disk_heals_when_there_is_room(void **state)
{
    (void)state;
    int hits = 0;
    int trims = 0; /* batches that stand for them */
    int healed_full = 0;
    for (uint64_t budget = 4200; budget < 40000; budget += 333) {
        struct sim_disk *disk = sim_disk_open(budget);
        struct world world;
        world_init(&world, sim_disk_storage(disk), 11);
        sim_disk_budget(disk, budget);
        assert_int_equal(world_open(&world, false), RC_OK);
        bool full = false;
        enum rc rc = RC_OK;
        for (int i = 0; i < 40 && !full; i++) {
            rc = world_publish(&world, 3, LOG_SYNC_DATA);
            assert_true(rc == RC_OK || rc == RC_NOSPACE);
            full = rc == RC_NOSPACE;
            (void)world_chores(&world);
        }
        if (full) {
            hits++;
            rc = file_log_reopen(world.log, world.pos, world.hash);
            if (rc == RC_FULL) {
                file_log_reopened(world.log);
                assert_int_equal(file_log_reopen(world.log, world.pos, world.hash), RC_FULL);
                healed_full += hits % 2;
                trims += hits % 2 == 0 ? fill(&world) : 0;
            } else {
                assert_int_equal(rc, RC_NOSPACE);
            }
            if (rc == RC_NOSPACE || hits % 2 == 0) {
                check_refuses(&world);
            }
            assert_int_equal(world_check_reads(&world, false), 0);
            sim_disk_budget(disk, UINT64_MAX);
            assert_int_equal(file_log_reopen(world.log, world.pos, world.hash), RC_OK);
            assert_int_equal(world_publish(&world, 3, LOG_SYNC_DATA), RC_OK);
        }
        sim_disk_budget(disk, UINT64_MAX);
        assert_int_equal(world_chores(&world), RC_OK);
        assert_int_equal(world_check_reads(&world, false), 0);
        check_survivor(&world, disk);
        assert_int_equal(world.damage_count, 0); /* the tail was restored, nothing is left to cut */
        world_deinit(&world);
        sim_disk_close(disk);
    }
    assert_true(hits > 20);
    assert_true(trims > 20);
    assert_true(healed_full > 5);
}

/* Where zeros take no space, none is kept by them. */
static void storage_that_does_not_keep_space_has_none_for_trims(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(5);
    struct storage_ops ops;
    struct world world;
    world_init(&world, storage_without_space(disk, &ops), 11);
    sim_disk_budget(disk, 9000);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_true(fill(&world) > 10);
    assert_int_equal(file_log_reopen(world.log, world.pos, world.hash), RC_NOSPACE);
    check_refuses(&world);
    sim_disk_budget(disk, UINT64_MAX);
    check_survivor(&world, disk);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* As the owner does it. */
static enum rc reopen(struct world *world)
{
    file_log_reopen_begin(world->log);
    const enum rc rc = file_log_reopen(world->log, world->pos, world->hash);
    if (rc == RC_OK || rc == RC_FULL) {
        file_log_reopened(world->log);
    }
    return rc;
}

/* A segment of the committer's own making, which grows: it does not take the last of the disk, and
 * trims find room there, also behind its end. */
static void a_segment_that_grows_leaves_room_for_trims(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(5);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 11);
    assert_int_equal(world_open(&world, false), RC_OK);
    do { /* no chores: nothing is prepared */
        assert_int_equal(world_publish(&world, 1, LOG_SYNC_DATA), RC_OK);
    } while (world.batch.place.segment < 2);
    sim_disk_budget(disk, sim_disk_used(disk) + MIB);
    assert_int_equal(world_publish(&world, 1, LOG_SYNC_DATA), RC_NOSPACE);
    assert_int_equal(reopen(&world), RC_FULL);
    for (uint64_t pos = world.pos; world.pos < pos + 200;) { /* several segments */
        assert_int_equal(world_publish(&world, 1, LOG_SYNC_DATA), RC_OK);
    }
    assert_int_equal(reopen(&world), RC_FULL);
    sim_disk_budget(disk, sim_disk_used(disk) + 4 * MIB);
    assert_int_equal(reopen(&world), RC_OK);
    assert_int_equal(world_publish(&world, 1, LOG_SYNC_DATA), RC_OK);
    assert_int_equal(world_check_reads(&world, false), 0);
    check_survivor(&world, disk);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* What is prepared counts as room, and a segment that cannot grow is left for it. */
static void a_prepared_segment_is_room_on_a_full_disk(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(5);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 11);
    assert_int_equal(world_open(&world, false), RC_OK);
    do {
        assert_int_equal(world_publish(&world, 1, LOG_SYNC_DATA), RC_OK);
    } while (world.batch.place.segment < 2);
    assert_int_equal(world_chores(&world), RC_OK); /* prepares the third */
    sim_disk_budget(disk, sim_disk_used(disk));
    int taken = fill(&world);
    assert_true(taken > 10);
    assert_int_equal(reopen(&world), RC_FULL);
    taken = fill(&world); /* the end of the third */
    assert_true(taken > 0);
    sim_disk_budget(disk, UINT64_MAX);
    assert_int_equal(reopen(&world), RC_OK);
    check_survivor(&world, disk);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* One that a failed roll has taken is there no more. */
static void a_prepared_segment_that_a_roll_has_lost_is_no_room(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(5);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 11);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world_chores(&world), RC_OK);
    sim_disk_fail(disk, SIM_OPEN, 1, true, RC_NOMEM);
    enum rc rc = RC_OK;
    while (rc == RC_OK) {
        rc = world_publish(&world, 1, LOG_SYNC_DATA);
    }
    assert_int_equal(rc, RC_NOMEM);
    sim_disk_fail(disk, SIM_OPEN, 0, false, RC_OK);
    sim_disk_budget(disk, sim_disk_used(disk) + MIB / 2);
    assert_int_equal(reopen(&world), RC_FULL);
    assert_int_equal(world_publish(&world, 1, LOG_SYNC_DATA), RC_OK);
    assert_int_equal(reopen(&world), RC_FULL);
    sim_disk_budget(disk, UINT64_MAX);
    assert_int_equal(reopen(&world), RC_OK);
    check_survivor(&world, disk);
    world_deinit(&world);
    sim_disk_close(disk);
}

/* Where descriptors or memory are lacking for the next segment: they may come back. */
static void a_roll_that_lacks_descriptors_says_so_and_heals(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(3);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 11);
    assert_int_equal(world_open(&world, false), RC_OK);
    sim_disk_fail(disk, SIM_OPEN, 1, true, RC_NOMEM);
    enum rc rc = RC_OK;
    for (int i = 0; i < 40 && rc == RC_OK; i++) {
        rc = world_publish(&world, 3, LOG_SYNC_DATA);
    }
    assert_int_equal(rc, RC_NOMEM);
    check_refuses(&world);
    assert_int_equal(file_log_reopen(world.log, world.pos, world.hash), RC_NOMEM);
    check_refuses(&world);
    sim_disk_fail(disk, SIM_OPEN, 0, false, RC_OK);
    assert_int_equal(file_log_reopen(world.log, world.pos, world.hash), RC_OK);
    assert_int_equal(world_publish(&world, 3, LOG_SYNC_DATA), RC_OK);
    assert_int_equal(world_check_reads(&world, false), 0);
    check_survivor(&world, disk);
    assert_int_equal(world.damage_count, 0);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void a_crash_with_a_full_disk_keeps_what_was_acknowledged(void **state)
{
    (void)state;
    for (uint64_t budget = 4200; budget < 30000; budget += 777) {
        for (uint64_t change = 1; change < 12; change++) {
            struct sim_disk *disk = sim_disk_open(budget + change);
            struct world world;
            world_init(&world, sim_disk_storage(disk), 12);
            sim_disk_budget(disk, budget);
            assert_int_equal(world_open(&world, false), RC_OK);
            enum rc rc = RC_OK;
            for (int i = 0; i < 40 && rc == RC_OK; i++) {
                rc = world_publish(&world, 3, LOG_SYNC_DATA);
            }
            sim_disk_budget(disk, UINT64_MAX);
            sim_disk_die_at(disk, change); /* somewhere in the way back, or behind it */
            if (rc != RC_OK) {
                const enum rc again = file_log_reopen(world.log, world.pos, world.hash);
                assert_int_equal(again, sim_disk_is_dead(disk) ? RC_IO : RC_OK);
            }
            sim_disk_budget(disk, UINT64_MAX);
            check_survivor(&world, disk);
            world_deinit(&world);
            sim_disk_close(disk);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_fails_stops_the_log_until_it_is_reopened),
        cmocka_unit_test(a_sync_that_fails_is_the_end_until_a_restart),
        cmocka_unit_test(a_folder_sync_that_fails_is_the_end_until_a_restart),
        cmocka_unit_test(an_open_that_fails_loses_nothing),
        cmocka_unit_test(a_rename_that_fails_loses_nothing),
        cmocka_unit_test(reads_removals_and_listings_that_fail_lose_nothing),
        cmocka_unit_test(every_allocation_that_fails_at_start_is_told),
        cmocka_unit_test(a_commit_allocates_nothing),
        cmocka_unit_test(a_roll_is_noted_whatever_memory_is_left),
        cmocka_unit_test(owner_and_keeper_survive_failing_allocations),
        cmocka_unit_test(what_was_refused_is_not_there_after_a_restart),
        cmocka_unit_test(what_a_roll_leaves_that_cannot_be_removed_is_not_there_after_a_restart),
        cmocka_unit_test(what_was_not_applied_of_a_batch_is_cut_and_never_seen_again),
        cmocka_unit_test(a_cut_that_fails_keeps_the_log_closed_until_a_restart),
        cmocka_unit_test(a_full_disk_heals_when_there_is_room),
        cmocka_unit_test(a_segment_that_grows_leaves_room_for_trims),
        cmocka_unit_test(a_prepared_segment_is_room_on_a_full_disk),
        cmocka_unit_test(a_prepared_segment_that_a_roll_has_lost_is_no_room),
        cmocka_unit_test(a_roll_that_lacks_descriptors_says_so_and_heals),
        cmocka_unit_test(storage_that_does_not_keep_space_has_none_for_trims),
        cmocka_unit_test(a_crash_with_a_full_disk_keeps_what_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
