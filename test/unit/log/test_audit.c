/* Goal: what is derived from a log, checkpoints and index files, is compared with what the log
 * comes to when it is applied again; a difference is told by file and byte, and told once. Method:
 * the world's log, applied by a tiny application whose digests can be made to differ. */
#include "log/files.h"
#include "unit/log/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* The application: the world's own model, which knows what stands at each position. */
struct replay {
    struct world *world;
    uint64_t pos;
    uint64_t wrong_pos;       /* the record at this position is given another digest; UINT64_MAX */
    uint64_t wrong_state_pos; /* the state at this position is another one; UINT64_MAX */
    uint64_t restores;
    uint64_t applied;
    uint64_t damages;
    char what[64];
    char file[64];
    uint64_t at;
    struct log_replay replay;
};

static enum rc restore(void *ctx, uint64_t pos, struct bytes state)
{
    struct replay *r = ctx;
    assert_true((state.size == 0) == (pos == 0));
    r->pos = pos;
    r->restores++;
    return RC_OK;
}

static enum rc apply(void *ctx, struct audit *audit, const struct record *record,
                     struct log_place place)
{
    struct replay *r = ctx;
    assert_true(record->pos == r->pos);
    const struct world_record *model = &r->world->records[record->pos];
    const uint64_t digest =
        world_digest(model->channel, model->first_seq) ^ (record->pos == r->wrong_pos ? 1 : 0);
    r->pos++;
    r->applied++;
    return log_replay_index_add(audit, place, model->channel, model->first_seq, model->count,
                                model->time_ms, digest);
}

static enum rc encode(void *ctx, struct buf *to)
{
    struct replay *r = ctx;
    world_state(r->world, r->pos, to);
    if (r->pos == r->wrong_state_pos) {
        to->data[to->size - 1] ^= 1;
    }
    return RC_OK;
}

static void on_damage(void *ctx, const struct log_damage *damage)
{
    struct replay *r = ctx;
    assert_false(damage->torn_tail);
    r->damages++;
    r->at = damage->at;
    (void)snprintf(r->what, sizeof(r->what), "%s", damage->what);
    (void)snprintf(r->file, sizeof(r->file), "%s", damage->file);
}

static struct log_verify_result verify(struct replay *r, struct world *world)
{
    r->world = world;
    r->replay = (struct log_replay){r, restore, apply, encode};
    struct log_verify_result result = {0};
    assert_int_equal(
        file_log_verify_replay(&world->storage, WORLD_FOLDER, on_damage, r, &r->replay, &result),
        RC_OK);
    return result;
}

static struct sim_disk *disk;
static struct world world;

/* A log with several sealed segments and checkpoints, closed. */
static int setup(void **state)
{
    (void)state;
    disk = sim_disk_open(11);
    world_init(&world, sim_disk_storage(disk), 11);
    assert_int_equal(world_open(&world, false), RC_OK);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(world_publish(&world, 4, LOG_SYNC_DATA), RC_OK);
        assert_int_equal(world_chores(&world), RC_OK);
    }
    assert_true(world.checkpoint_count > 1);
    world_close(&world);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_deinit(&world);
    sim_disk_close(disk);
    return 0;
}

static void remove_file(uint64_t number, const char *suffix)
{
    const struct log_name name = log_name_of(WORLD_FOLDER, number, suffix);
    assert_int_equal(files_remove(&world.storage, name.text), RC_OK);
}

static void a_log_agrees_with_its_index_and_its_checkpoints(void **state)
{
    (void)state;
    struct replay r = {.wrong_pos = UINT64_MAX, .wrong_state_pos = UINT64_MAX};
    const struct log_verify_result result = verify(&r, &world);
    assert_int_equal(r.damages, 0);
    assert_true(result.state_known);
    assert_int_equal(r.restores, 1); /* then it is its own state that is compared */
    assert_int_equal(r.applied, 240);
}

static void another_digest_is_told_at_its_entry(void **state)
{
    (void)state;
    struct replay r = {.wrong_pos = 2, .wrong_state_pos = UINT64_MAX};
    const struct log_verify_result result = verify(&r, &world);
    assert_int_equal(r.damages, 1);
    assert_int_equal(result.damages, 1);
    assert_string_equal(r.what, "digest differs from the log's");
    assert_string_equal(r.file, WORLD_FOLDER "/00000000000000000001.idx");
    assert_true(r.at >= 8192 && (r.at - 8192) % 36 == 0); /* pages: head, rows, entries */
}

static void another_state_is_told_at_its_byte(void **state)
{
    (void)state;
    struct replay r = {.wrong_pos = UINT64_MAX, .wrong_state_pos = UINT64_MAX};
    /* The first checkpoint's position: where the state that the server had was written. */
    uint64_t number = 2;
    struct segment_header header;
    assert_int_equal(files_segment_header(&world.storage, WORLD_FOLDER, number, &header), RC_OK);
    struct storage_file *file = NULL;
    for (;; number++) {
        const struct log_name name = log_name_of(WORLD_FOLDER, number, ".ckp");
        if (files_open(&world.storage, name.text, STORAGE_READ, &file) == RC_OK) {
            break;
        }
        assert_true(number < 100);
    }
    files_close(&world.storage, file);
    assert_int_equal(files_segment_header(&world.storage, WORLD_FOLDER, number, &header), RC_OK);
    r.wrong_state_pos = header.first_pos;
    const struct log_verify_result result = verify(&r, &world);
    assert_int_equal(r.damages, 1);
    assert_true(result.state_known);
    assert_string_equal(r.what, "state differs from the log's");
    assert_non_null(strstr(r.file, ".ckp"));
    struct buf bytes = {0};
    world_state(&world, header.first_pos, &bytes);
    assert_int_equal(r.at, 80 + bytes.size - 1);
    buf_deinit(&bytes);
}

static void behind_a_missing_segment_a_checkpoint_has_the_state_again(void **state)
{
    (void)state;
    remove_file(2, ".seg");
    struct replay r = {.wrong_pos = 2, .wrong_state_pos = UINT64_MAX};
    const struct log_verify_result result = verify(&r, &world);
    assert_int_equal(r.restores, 2);
    assert_true(result.state_known);
    assert_true(r.applied < 240);
    assert_true(r.damages >= 2); /* the segment, and still the digest in the first */
}

static void a_replay_that_passes_a_checkpoint_compares_it(void **state)
{
    (void)state;
    remove_file(1, ".idx"); /* so it begins at the beginning */
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_true(world.state_pos == UINT64_MAX);
    assert_true(world.checks > 0);
    assert_int_equal(world_check_reads(&world, false), 0);
    world_close(&world);
    remove_file(1, ".idx");
    world_forget_damages(&world);
    world.check_fails = true;
    const uint64_t before = world.checks;
    assert_int_equal(world_open(&world, false), RC_OK); /* told, and the log decides */
    uint64_t told = 0;
    for (size_t i = 0; i < world.damage_count; i++) {
        told += strcmp(world.damages[i].what, "state differs from the log's") == 0;
    }
    assert_true(told > 0);
    assert_int_equal(told, world.checks - before);
    assert_int_equal(world_check_reads(&world, false), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_log_agrees_with_its_index_and_its_checkpoints, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(another_digest_is_told_at_its_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(another_state_is_told_at_its_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(behind_a_missing_segment_a_checkpoint_has_the_state_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_replay_that_passes_a_checkpoint_compares_it, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
