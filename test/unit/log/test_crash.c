/* The machine dies at every change that the log makes to the disk.
 *
 * Goal: what was acknowledged with a sync is there after every crash, whatever subset of the rest
 * got to disk; nothing is there half; the log always starts again without a repair; a crash during
 * recovery changes none of that. Method: one reference workload (append, roll, seal, prepare,
 * checkpoint, survey, remove) is run once to count its changes, then once per change and per kind
 * of loss with the machine dying there; world.c judges what comes back. */
#include "unit/log/world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Stops at the first failure, which only the dying machine can cause. */
static enum rc workload(struct world *world, enum log_sync sync)
{
    enum rc rc = RC_OK;
    for (int i = 0; rc == RC_OK && i < 34; i++) {
        rc = world_publish(world, 1 + (uint32_t)prng_below(&world->prng, 9), sync);
        if (rc == RC_OK && i % 3 == 0) {
            rc = world_chores(world);
        }
        if (rc == RC_OK && i % 11 == 10) {
            rc = world_retain(world, 20000);
        }
    }
    return rc;
}

static uint64_t count_changes(enum log_sync sync)
{
    struct sim_disk *disk = sim_disk_open(1);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 77);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(workload(&world, sync), RC_OK);
    if (sync == LOG_SYNC_DATA) { /* the workload does all that can be interrupted */
        struct file_log_stats stats;
        file_log_stats(world.log, &stats);
        assert_true(world.checkpoint_count > 1);
        assert_true(stats.first_pos > 0);
    }
    world_deinit(&world);
    const uint64_t changes = sim_disk_changes(disk);
    sim_disk_close(disk);
    return changes;
}

/* What must have survived. */
static uint64_t floor_of(const struct world *world, enum sim_loss loss)
{
    return loss == SIM_LOSE_NOTHING ? world->written_pos : world->acked_pos;
}

/* Start again; then the log must work as any other. */
static void check_survivor(struct world *world, struct sim_disk *disk, uint64_t floor)
{
    assert_int_equal(world_open(world, false), RC_OK);
    assert_true(world->pos >= floor);
    for (size_t i = 0; i < world->damage_count; i++) {
        /* A torn tail is all that a crash may leave. */
        assert_true(world->damages[i].torn_tail || world->damages[i].repaired);
    }
    assert_int_equal(world_check_reads(world, false), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world_publish(world, 5, LOG_SYNC_DATA), RC_OK);
        assert_int_equal(world_chores(world), RC_OK);
    }
    world_close(world);
    sim_disk_restart(disk, SIM_LOSE_EVERYTHING);
    const uint64_t acked = world->acked_pos;
    world_forget_damages(world);
    assert_int_equal(world_open(world, false), RC_OK);
    assert_int_equal(world->pos, acked);
    assert_int_equal(world->damage_count, 0);
    assert_int_equal(world_check_reads(world, false), 0);
}

/* Dies `again` times more during recovery, at changes drawn from the seed. */
static void crash_at(uint64_t change, enum sim_loss loss, enum log_sync sync, uint64_t seed,
                     int again)
{
    struct sim_disk *disk = sim_disk_open(seed);
    struct world world;
    world_init(&world, sim_disk_storage(disk), 77);
    sim_disk_die_at(disk, change);
    if (world_open(&world, false) == RC_OK) {
        assert_int_not_equal(workload(&world, sync), RC_OK);
    }
    assert_true(sim_disk_is_dead(disk));
    world_close(&world);
    const uint64_t floor = floor_of(&world, loss);
    sim_disk_restart(disk, loss);
    for (int i = 0; i < again; i++) {
        sim_disk_die_at(disk, 1 + prng_below(&world.prng, 6));
        const enum rc rc = world_open(&world, false);
        assert_true(rc == RC_OK || sim_disk_is_dead(disk));
        world_close(&world);
        sim_disk_restart(disk, loss);
    }
    check_survivor(&world, disk, floor);
    world_deinit(&world);
    sim_disk_close(disk);
}

static void every_crash_keeps_what_was_acknowledged(void **state)
{
    (void)state;
    const uint64_t changes = count_changes(LOG_SYNC_DATA);
    assert_true(changes > 150);
    for (uint64_t change = 1; change <= changes; change++) {
        crash_at(change, SIM_LOSE_NOTHING, LOG_SYNC_DATA, change, 0);
        crash_at(change, SIM_LOSE_EVERYTHING, LOG_SYNC_DATA, change, 0);
        for (uint64_t seed = 0; seed < 6; seed++) {
            crash_at(change, SIM_LOSE_SOME, LOG_SYNC_DATA, seed * 1000 + change, 0);
        }
    }
}

/* A process that is killed leaves what it wrote and did not sync in the page cache: the next one
 * reads it, shows it, and the machine may still lose it. */
static void what_a_start_shows_after_a_kill_survives_a_power_cut(void **state)
{
    (void)state;
    const uint64_t changes = count_changes(LOG_SYNC_DATA);
    uint64_t more = 0;
    for (uint64_t change = 1; change <= changes; change++) {
        struct sim_disk *disk = sim_disk_open(change);
        struct world world;
        world_init(&world, sim_disk_storage(disk), 77);
        sim_disk_die_at(disk, change);
        if (world_open(&world, false) == RC_OK) {
            assert_int_not_equal(workload(&world, LOG_SYNC_DATA), RC_OK);
        }
        assert_true(sim_disk_is_dead(disk));
        world_close(&world);
        sim_disk_restart(disk, SIM_LOSE_LATER);
        const uint64_t acked = world.acked_pos;
        world_forget_damages(&world);
        assert_int_equal(world_open(&world, false), RC_OK);
        const uint64_t shown = world.pos;
        more += shown > acked;
        world_close(&world);
        sim_disk_restart(disk, change % 2 == 0 ? SIM_LOSE_EVERYTHING : SIM_LOSE_SOME);
        world_forget_damages(&world);
        check_survivor(&world, disk, shown);
        world_deinit(&world);
        sim_disk_close(disk);
    }
    assert_true(more > 10); /* there was something that only the page cache held */
}

static void a_crash_during_recovery_changes_nothing(void **state)
{
    (void)state;
    const uint64_t changes = count_changes(LOG_SYNC_DATA);
    for (uint64_t change = 1; change <= changes; change++) {
        crash_at(change, SIM_LOSE_EVERYTHING, LOG_SYNC_DATA, change, 1);
        crash_at(change, SIM_LOSE_SOME, LOG_SYNC_DATA, change, 3);
        crash_at(change, SIM_LOSE_SOME, LOG_SYNC_DATA, 1000 + change, 2);
    }
}

/* Records of one size, so that what an earlier attempt has left stands just where a later one
 * writes: a tail that was cut must be zeros on disk before anything new is written over it. */
static void crash_upon_crash_keeps_what_was_acknowledged(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 1500; seed++) {
        struct sim_disk *disk = sim_disk_open(seed);
        struct world world;
        world_init(&world, sim_disk_storage(disk), seed);
        world.body_max = 0;
        assert_int_equal(world_open(&world, false), RC_OK);
        assert_int_equal(world_publish(&world, 5, LOG_SYNC_DATA), RC_OK);
        for (int i = 0; i < 4; i++) {
            sim_disk_die_at(disk, 1 + prng_below(&world.prng, 2)); /* in the write or the sync */
            assert_int_not_equal(world_publish(&world, 20, LOG_SYNC_DATA) == RC_OK &&
                                     world_publish(&world, 20, LOG_SYNC_DATA) == RC_OK,
                                 true);
            world_close(&world);
            sim_disk_restart(disk, SIM_LOSE_SOME);
            const uint64_t acked = world.acked_pos;
            assert_int_equal(world_open(&world, false), RC_OK);
            assert_true(world.pos >= acked);
        }
        assert_int_equal(world_check_reads(&world, false), 0);
        world_deinit(&world);
        sim_disk_close(disk);
    }
}

static void without_sync_a_crash_takes_the_end_and_no_more(void **state)
{
    (void)state;
    const uint64_t changes = count_changes(LOG_SYNC_NONE);
    for (uint64_t change = 1; change <= changes; change++) {
        crash_at(change, SIM_LOSE_NOTHING, LOG_SYNC_NONE, change, 0);
        crash_at(change, SIM_LOSE_EVERYTHING, LOG_SYNC_NONE, change, 0);
        for (uint64_t seed = 0; seed < 4; seed++) {
            crash_at(change, SIM_LOSE_SOME, LOG_SYNC_NONE, seed * 1000 + change, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_crash_keeps_what_was_acknowledged),
        cmocka_unit_test(what_a_start_shows_after_a_kill_survives_a_power_cut),
        cmocka_unit_test(a_crash_during_recovery_changes_nothing),
        cmocka_unit_test(crash_upon_crash_keeps_what_was_acknowledged),
        cmocka_unit_test(without_sync_a_crash_takes_the_end_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
