/* Every call of the disk and every allocation fails in turn, in every recovery, repair and verify
 * of a damaged log.
 *
 * Goal: a failure is told as what it is, never taken for an end or for damage, nothing leaks, and
 * what a later start makes of the log is what it would have made without the failure. Method: for
 * each damage of damages.c a run without faults says how it should end; then the k-th call fails,
 * for all k, and the same is run again without faults over what that has left. */
#include "unit/log/damages.h"
#include "unit/log/flaky.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "log/index_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum mode {
    MODE_OPEN,
    MODE_REPAIR,
    MODE_VERIFY,
    MODE_COUNT,
};

enum fault {
    FAULT_CALL,
    FAULT_SHORT_READ,
    FAULT_MEMORY,
    FAULT_COUNT,
};

struct outcome {
    enum rc rc;
    uint64_t pos;
    uint64_t damaged;
    struct log_verify_result verified;
};

static void count_damage(void *ctx, const struct log_damage *damage)
{
    uint64_t *count = ctx;
    assert_non_null(damage->file);
    assert_non_null(damage->what);
    *count += !damage->torn_tail;
}

/* One run over the storage that the world has now. */
static struct outcome run(struct world *world, enum mode mode)
{
    struct outcome outcome = {0};
    if (mode == MODE_VERIFY) {
        uint64_t count = 0;
        outcome.rc = file_log_verify(&world->storage, WORLD_FOLDER, count_damage, NULL, &count,
                                     &outcome.verified);
        if (outcome.rc == RC_OK) {
            assert_int_equal(count, outcome.verified.damages);
        }
        return outcome;
    }
    world_forget_damages(world);
    world->lossy = true;
    outcome.rc = world_open(world, mode == MODE_REPAIR);
    outcome.pos = world->pos;
    return outcome;
}

/* What the log is worth after a run without faults. */
static void weigh(struct world *world, enum mode mode, struct outcome *outcome)
{
    if (mode != MODE_VERIFY && outcome->rc == RC_OK) {
        outcome->damaged = world_check_reads(world, true);
    }
    world_close(world);
}

static void assert_same(const char *name, uint64_t k, const struct outcome *a,
                        const struct outcome *b)
{
    if (a->rc != b->rc || (a->rc == RC_OK && (a->pos != b->pos || a->damaged != b->damaged)) ||
        a->verified.damages != b->verified.damages || a->verified.records != b->verified.records) {
        print_error("%s, %u: %s, %u, %u damaged, %u damages; without the fault %s, %u, %u, %u\n",
                    name, (unsigned)k, rc_name(a->rc), (unsigned)a->pos, (unsigned)a->damaged,
                    (unsigned)a->verified.damages, rc_name(b->rc), (unsigned)b->pos,
                    (unsigned)b->damaged, (unsigned)b->verified.damages);
        fail();
    }
}

/* The k-th time fails. False: there was no k-th time. */
static bool fail_one(const struct base *base, const struct damage_case *damage, enum mode mode,
                     enum fault fault, uint64_t k, const struct outcome *reference)
{
    struct world world;
    struct sim_disk *disk = case_begin(base, &world, 1);
    damage->plant(base, disk);
    struct flaky flaky = {
        .inner = sim_disk_storage(disk),
        .fail_at = fault == FAULT_CALL ? k : 0,
        .short_at = fault == FAULT_SHORT_READ ? k : 0,
        .rc = RC_IO,
    };
    world.storage = flaky_storage(&flaky);
    world.no_state_check = true; /* the model's own memory must not fail */
    if (fault == FAULT_MEMORY) {
        mem_fault_set(k, 0);
    }
    struct outcome outcome = run(&world, mode);
    bool hit = flaky.hit;
    if (fault == FAULT_MEMORY) {
        hit = mem_fault_count() >= k;
        mem_fault_set(0, 0);
    }
    const enum rc wanted = fault == FAULT_MEMORY ? RC_NOMEM : RC_IO;
    if (hit && fault != FAULT_SHORT_READ && outcome.rc != wanted) {
        print_error("%s, mode %d, %u: %s in place of %s\n", damage->name, (int)mode, (unsigned)k,
                    rc_name(outcome.rc), rc_name(wanted));
        fail();
    }
    world_close(&world);
    world.storage = sim_disk_storage(disk);
    if (fault != FAULT_SHORT_READ) { /* one that lies about a file's end may be believed */
        outcome = run(&world, mode);
        weigh(&world, mode, &outcome);
        assert_same(damage->name, k, &outcome, reference);
    }
    case_end(disk, &world);
    return hit;
}

static void fail_all(enum fault fault)
{
    for (size_t i = 0; i < damage_case_count; i++) {
        const struct damage_case *damage = &damage_cases[i];
        struct base base;
        base_make_of(&base, 36, damage->checkpoints, damage->seal_all);
        for (int mode = 0; mode < MODE_COUNT; mode++) {
            struct world world;
            struct sim_disk *disk = case_begin(&base, &world, 1);
            damage->plant(&base, disk);
            struct outcome reference = run(&world, (enum mode)mode);
            weigh(&world, (enum mode)mode, &reference);
            case_end(disk, &world);
            uint64_t k = 1;
            while (fail_one(&base, damage, (enum mode)mode, fault, k, &reference)) {
                k++;
            }
            assert_true(k > 5);
        }
        base_drop(&base);
    }
}

static void a_call_of_the_disk_that_fails_is_told_and_harmless(void **state)
{
    (void)state;
    fail_all(FAULT_CALL);
}

static void a_file_that_is_shorter_than_it_was_a_moment_ago_is_no_surprise(void **state)
{
    (void)state;
    fail_all(FAULT_SHORT_READ);
}

static void an_allocation_that_fails_is_told_and_harmless(void **state)
{
    (void)state;
    fail_all(FAULT_MEMORY);
}

/* A page of an index file with one number changed, and a checksum that fits. */
static void patch(struct sim_disk *disk, const char *name, uint64_t page, size_t at, size_t size,
                  uint64_t add)
{
    struct bytes bytes = {0};
    assert_true(sim_disk_get(disk, name, &bytes));
    uint8_t copy[8 * INDEX_PAGE_SIZE];
    assert_true(bytes.size <= sizeof(copy));
    bytes_copy(copy, bytes.data, bytes.size);
    uint8_t *start = copy + page * INDEX_PAGE_SIZE;
    if (size == 8) {
        bytes_store_u64(start + at, bytes_load_u64(start + at) + add);
    } else {
        bytes_store_u32(start + at, bytes_load_u32(start + at) + (uint32_t)add);
    }
    const size_t covered = INDEX_PAGE_SIZE - 4;
    bytes_store_u32(start + covered, crc32c((uint32_t)page, bytes_of(start, covered)));
    sim_disk_put(disk, name, bytes_of(copy, bytes.size));
}

static void verify_finds_an_index_that_contradicts_itself(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint64_t page; /* 0: head, 1: rows of 48 bytes, 2: entries of 36 */
        size_t at;
        size_t size;
        uint64_t add;
    } rows[] = {
        {"a row's last seq", 1, 16, 8, 1},
        {"a row's first seq", 1, 8, 8, 5000},
        {"where a row's entries begin", 1, 48 + 40, 4, 1},
        {"how many entries there are", 0, 80, 8, 1},
        {"an entry's first seq", 2, 36, 8, UINT64_MAX},
        {"nothing", 0, 64, 8, 0},
    };
    struct base base;
    base_make(&base, true, true);
    const struct log_name name = log_name_of(WORLD_FOLDER, 2, ".idx");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, 1);
        patch(disk, name.text, rows[i].page, rows[i].at, rows[i].size, rows[i].add);
        struct outcome outcome = run(&world, MODE_VERIFY);
        assert_int_equal(outcome.rc, RC_OK);
        assert_int_equal(outcome.verified.damages, rows[i].add != 0);
        case_end(disk, &world);
    }
    base_drop(&base);
}

/* Two damages in a segment of one channel: what each has cost is told by itself. */
static void losses_that_do_not_touch_are_told_apart(void **state)
{
    (void)state;
    struct base base = {.disk = sim_disk_open(9)};
    world_init(&base.world, sim_disk_storage(base.disk), 9);
    base.world.channel_count = 1;
    base.world.no_checkpoints = true;
    assert_int_equal(world_open(&base.world, false), RC_OK);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(world_publish(&base.world, 2, LOG_SYNC_DATA), RC_OK);
        assert_int_equal(world_chores(&base.world), RC_OK);
    }
    world_close(&base.world);
    struct world world;
    struct sim_disk *disk = case_begin(&base, &world, 1);
    const struct log_name name = seg(1);
    const uint64_t second = damage_record_at(disk, 1, 8);
    assert_true(sim_disk_flip(disk, name.text, damage_record_at(disk, 1, 2) + 60, 1));
    assert_true(sim_disk_flip(disk, name.text, second + 60, 1));
    world.lossy = true;
    assert_int_equal(world_open(&world, true), RC_OK);
    const struct log_loss *losses;
    size_t count = 0;
    file_log_repaired_losses(world.log, &losses, &count);
    assert_int_equal(count, 2);
    uint64_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(losses[i].channel_id, 1);
        lost += losses[i].to - losses[i].from + 1;
    }
    assert_true(losses[0].to + 1 < losses[1].from);
    assert_int_equal(world_check_reads(&world, true), lost);
    case_end(disk, &world);
    base_drop(&base);
}

/* What tells that a segment behind the last one is missing: its checkpoint, or the index of the one
 * in front. Without the newest segment there is no gap in the positions. */
static void lose_newest(const struct base *base, struct sim_disk *disk, bool by_index, bool header)
{
    const uint64_t number = base->last_segment;
    const struct log_name name = seg(number);
    const struct log_name checkpoint = log_name_of(WORLD_FOLDER, number, ".ckp");
    const struct log_name index = log_name_of(WORLD_FOLDER, number - 1, ".idx");
    static const uint8_t byte;
    (void)sim_disk_delete(disk, by_index ? checkpoint.text : index.text);
    if (!by_index) {
        sim_disk_put(disk, checkpoint.text, bytes_of(&byte, 1)); /* whole or not */
    }
    if (header) {
        damage_zero(disk, number, 0, damage_segment_size(disk, number));
    } else {
        assert_true(sim_disk_delete(disk, name.text));
    }
}

static void repair(struct world *world)
{
    world->lossy = true;
    assert_int_equal(world_open(world, true), RC_OK);
    assert_true(world->damage_count > 0);
}

/* Once a repair has told of it, the next start and verify have nothing to say any more. */
static void be_content(struct world *world)
{
    world_close(world);
    world_forget_damages(world);
    assert_int_equal(world_open(world, false), RC_OK);
    assert_int_equal(world->damage_count, 0);
    world_close(world);
    const struct outcome outcome = run(world, MODE_VERIFY);
    assert_int_equal(outcome.rc, RC_OK);
    assert_int_equal(outcome.verified.damages, 0);
}

/* What the newest segments held is told of by a hole. */
static void repair_and_be_content(struct world *world)
{
    repair(world);
    assert_true(world->hole_count > 0);
    be_content(world);
}

static void refused(struct world *world, const char *what)
{
    const struct outcome outcome = run(world, MODE_OPEN);
    assert_int_equal(outcome.rc, RC_CORRUPT);
    assert_string_equal(world->damages[world->damage_count - 1].what, what);
    world_close(world);
}

static void the_newest_segment_cannot_go_without_a_word(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    for (unsigned i = 0; i < 4; i++) {
        const bool header = (i & 2) != 0;
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, i);
        lose_newest(&base, disk, (i & 1) != 0, header);
        const struct outcome outcome = run(&world, MODE_VERIFY);
        assert_int_equal(outcome.rc, RC_OK);
        assert_int_equal(outcome.verified.damages, i == 2 ? 2 : 1); /* the checkpoint's, too */
        refused(&world, header ? "header" : "missing segment");
        repair_and_be_content(&world);
        const struct log_name left = log_name_of(WORLD_FOLDER, base.last_segment, ".ckp");
        struct bytes bytes;
        assert_false(sim_disk_get(disk, left.text, &bytes));
        case_end(disk, &world);
    }
    base_drop(&base);
}

/* Nor the one in front of it, or that one's header, as well. */
static void nor_can_the_newest_two(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    for (unsigned i = 0; i < 2; i++) {
        const bool header = i == 1;
        const uint64_t number = base.last_segment - 1;
        const struct log_name name = seg(number);
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, i);
        lose_newest(&base, disk, false, false);
        const struct log_name index = log_name_of(WORLD_FOLDER, number, ".idx");
        static const uint8_t byte;
        sim_disk_put(disk, index.text, bytes_of(&byte, 1));
        if (header) {
            damage_zero(disk, number, 0, damage_segment_size(disk, number));
        } else {
            assert_true(sim_disk_delete(disk, name.text));
        }
        refused(&world, header ? "header" : "missing segment");
        repair_and_be_content(&world);
        case_end(disk, &world);
    }
    base_drop(&base);
}

/* Nor is one in the middle passed over for it: verify names both, and a repair tells of both. */
static void one_in_the_middle_is_told_as_well(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    struct world world;
    struct sim_disk *disk = case_begin(&base, &world, 0);
    const struct log_name middle = seg(base.last_segment - 2);
    assert_true(sim_disk_delete(disk, middle.text));
    struct outcome outcome = run(&world, MODE_VERIFY);
    assert_int_equal(outcome.rc, RC_OK);
    const uint64_t damages = outcome.verified.damages;
    assert_true(damages > 0);
    lose_newest(&base, disk, false, false);
    outcome = run(&world, MODE_VERIFY);
    assert_int_equal(outcome.rc, RC_OK);
    assert_int_equal(outcome.verified.damages, damages + 1);
    repair_and_be_content(&world);
    case_end(disk, &world);
    base_drop(&base);
}

/* The newest segment is missing, and the one whose index tells of it is damaged. */
static struct sim_disk *two_damages(const struct base *base, struct world *world, uint64_t seed)
{
    struct sim_disk *disk = case_begin(base, world, seed);
    const uint64_t number = base->last_segment - 1;
    const struct log_name name = seg(number);
    lose_newest(base, disk, true, false);
    assert_true(sim_disk_flip(disk, name.text, damage_record_at(disk, number, 0) + 60, 1));
    return disk;
}

/* Nor does a repair forget it over another damage, in the segment whose index tells of it. */
static void nor_behind_a_segment_that_is_repaired(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    struct world world;
    struct sim_disk *disk = two_damages(&base, &world, 0);
    repair(&world);
    assert_int_equal(world.damage_count, 2);
    assert_string_equal(world.damages[0].what, "checksum");
    assert_string_equal(world.damages[1].what, "missing segment");
    be_content(&world);
    case_end(disk, &world);
    base_drop(&base);
}

static unsigned holes(const struct sim_disk *disk, uint64_t number)
{
    const struct log_name name = seg(number);
    struct bytes bytes;
    struct record record;
    unsigned count = 0;
    assert_true(sim_disk_get(disk, name.text, &bytes));
    for (uint64_t at = SEGMENT_HEADER_SIZE; at < damage_end_at(disk, number); at += record.size) {
        assert_int_equal(record_decode(bytes_of(bytes.data + at, bytes.size - at), &record), RC_OK);
        count += record.type == RECORD_HOLE;
    }
    return count;
}

/* Also where the machine dies in between. */
static void nor_in_a_repair_that_is_cut_off(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    unsigned deaths = 0;
    for (uint64_t change = 1; change == deaths + 1; change++) {
        struct world world;
        struct sim_disk *disk = two_damages(&base, &world, change);
        sim_disk_die_at(disk, change);
        world.lossy = true;
        const enum rc rc = world_open(&world, true);
        deaths += sim_disk_is_dead(disk);
        assert_true(rc == RC_OK || sim_disk_is_dead(disk));
        world_close(&world);
        sim_disk_restart(disk, change % 2 == 0 ? SIM_LOSE_SOME : SIM_LOSE_NOTHING);
        world_forget_damages(&world);
        if (rc != RC_OK && world_open(&world, false) != RC_OK) {
            world_close(&world);
            repair(&world);
        }
        be_content(&world);
        assert_int_equal(holes(disk, base.last_segment - 1), 2);
        case_end(disk, &world);
    }
    assert_true(deaths > 5);
    base_drop(&base);
}

/* What a repair took out is kept aside, and tells nothing of the log that goes on in front of it.
 */
static void a_segment_that_was_dropped_tells_nothing(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    struct world world;
    struct sim_disk *disk = case_begin(&base, &world, 0);
    const struct log_name name = log_name_of(WORLD_FOLDER, base.last_segment + 1, ".seg.dropped");
    static const uint8_t byte;
    sim_disk_put(disk, name.text, bytes_of(&byte, 1));
    const struct outcome outcome = run(&world, MODE_VERIFY);
    assert_int_equal(outcome.rc, RC_OK);
    assert_int_equal(outcome.verified.damages, 0);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.damage_count, 0);
    case_end(disk, &world);
    base_drop(&base);
}

/* A segment taken out, or what is left of one that is missing: a repair that has told of it by a
 * hole leaves nothing that verify would name. */
static void verify_is_content_with_a_repair_that_took_a_segment_out(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t number = base.last_segment - 1;
        const struct log_name name = seg(number);
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, i);
        if (i == 0) {
            damage_zero(disk, number, 0, damage_segment_size(disk, number));
        } else {
            assert_true(sim_disk_delete(disk, name.text));
        }
        world.lossy = true;
        assert_int_equal(world_open(&world, true), RC_OK);
        world_close(&world);
        const struct outcome outcome = run(&world, MODE_VERIFY);
        assert_int_equal(outcome.rc, RC_OK);
        assert_int_equal(outcome.verified.damages, 0);
        case_end(disk, &world);
    }
    base_drop(&base);
}

/* The original that an earlier repair kept of it must not come back in its place, which would be a
 * log that wants to be repaired at each start. */
static void a_repaired_segment_can_be_taken_out_later(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t number = base.last_segment - 1 + i;
        const struct log_name name = seg(number);
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, i);
        assert_true(sim_disk_flip(disk, name.text, damage_record_at(disk, number, 0) + 60, 1));
        repair(&world);
        be_content(&world);
        world_forget_damages(&world);
        damage_zero(disk, number, 0, damage_segment_size(disk, number));
        repair(&world);
        be_content(&world);
        const struct log_name kept = log_name_of(WORLD_FOLDER, number, ".seg.dropped");
        struct bytes bytes;
        assert_true(sim_disk_get(disk, kept.text, &bytes));
        case_end(disk, &world);
    }
    base_drop(&base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_of_the_disk_that_fails_is_told_and_harmless),
        cmocka_unit_test(a_file_that_is_shorter_than_it_was_a_moment_ago_is_no_surprise),
        cmocka_unit_test(verify_finds_an_index_that_contradicts_itself),
        cmocka_unit_test(losses_that_do_not_touch_are_told_apart),
        cmocka_unit_test(the_newest_segment_cannot_go_without_a_word),
        cmocka_unit_test(nor_can_the_newest_two),
        cmocka_unit_test(one_in_the_middle_is_told_as_well),
        cmocka_unit_test(nor_behind_a_segment_that_is_repaired),
        cmocka_unit_test(nor_in_a_repair_that_is_cut_off),
        cmocka_unit_test(a_segment_that_was_dropped_tells_nothing),
        cmocka_unit_test(verify_is_content_with_a_repair_that_took_a_segment_out),
        cmocka_unit_test(a_repaired_segment_can_be_taken_out_later),
        cmocka_unit_test(an_allocation_that_fails_is_told_and_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
