#include "unit/log/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct log_name seg(uint64_t number)
{
    return log_name_of(WORLD_FOLDER, number, ".seg");
}

void base_make_of(struct base *base, int batches, bool checkpoints, bool seal_all)
{
    base->disk = sim_disk_open(9);
    world_init(&base->world, sim_disk_storage(base->disk), 9);
    struct world *world = &base->world;
    world->no_checkpoints = !checkpoints;
    assert_int_equal(world_open(world, false), RC_OK);
    for (int i = 0; i < batches; i++) {
        assert_int_equal(
            world_publish(world, 1 + (uint32_t)prng_below(&world->prng, 5), LOG_SYNC_DATA), RC_OK);
        if (seal_all || i < 30) {
            assert_int_equal(world_chores(world), RC_OK);
        }
    }
    base->last_batch_pos = world->batch.first_pos;
    base->last_batch = world->batch.place;
    base->last_end_at = world->batch.place.at + world->batch.bytes.size;
    base->last_segment = world->batch.place.segment;
    assert_int_equal(world->checkpoint_count > 1, checkpoints);
    world_close(world);
}

void base_make(struct base *base, bool checkpoints, bool seal_all)
{
    base_make_of(base, 48, checkpoints, seal_all);
    assert_true(base->last_segment > 5);
}

void base_drop(struct base *base)
{
    world_deinit(&base->world);
    sim_disk_close(base->disk);
}

struct sim_disk *case_begin(const struct base *base, struct world *world, uint64_t seed)
{
    struct sim_disk *disk = sim_disk_copy(base->disk, seed);
    *world = base->world;
    world->storage = sim_disk_storage(disk);
    world->batch = (struct log_batch){0};
    world->checkpoint = (struct buf){0};
    world->damage_count = 0;
    world->records = malloc(world->record_capacity * sizeof(*world->records));
    assert_non_null(world->records);
    bytes_copy(world->records, base->world.records, world->record_count * sizeof(*world->records));
    return disk;
}

void case_end(struct sim_disk *disk, struct world *world)
{
    world_deinit(world);
    sim_disk_close(disk);
}
