/* Damage: flipped bits, truncations, lost files, foreign files, forged records.
 *
 * Goal: what is damaged is named by file and place, or was never acknowledged; nothing but what was
 * written ever comes back; a repair keeps all the rest and makes a log that starts without one.
 * Method: one base log with sealed, unsealed and checkpointed segments; each case plants damage in
 * a copy of it. world.c compares every record that comes back with what was written there. */
#include "unit/log/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static bool has_damage(const struct world *world, bool torn)
{
    for (size_t i = 0; i < world->damage_count; i++) {
        if (world->damages[i].torn_tail == torn) {
            return true;
        }
    }
    return false;
}

/* After a repair the log is as good as any: it takes commits, and starts again without a word. */
static void check_is_sound(struct world *world)
{
    assert_int_equal(world_publish(world, 3, LOG_SYNC_DATA), RC_OK);
    assert_int_equal(world_chores(world), RC_OK);
    const uint64_t damaged = world_check_reads(world, true);
    const uint64_t pos = world->pos;
    world_close(world);
    world_forget_damages(world);
    assert_int_equal(world_open(world, false), RC_OK);
    assert_int_equal(world->pos, pos);
    assert_int_equal(world->damage_count, 0);
    assert_int_equal(world_check_reads(world, true), damaged);
}

/* Opens a damaged log, with a repair if it is refused. Returns the messages that are lost. */
static uint64_t check_case(const struct base *base, struct world *world, bool *ret_refused)
{
    const uint64_t end = base->world.pos;
    const enum rc rc = world_open(world, false);
    *ret_refused = rc != RC_OK;
    if (rc == RC_OK) {
        if (world->pos < end) { /* only what may have been a batch that a crash interrupted */
            assert_true(world->pos >= base->last_batch_pos);
            assert_true(has_damage(world, true));
        }
        const uint64_t damaged = world_check_reads(world, true);
        check_is_sound(world);
        return damaged;
    }
    assert_int_equal(rc, RC_CORRUPT);
    assert_true(has_damage(world, false));
    world_close(world);
    world_forget_damages(world);
    world->lossy = true;
    assert_int_equal(world_open(world, true), RC_OK);
    assert_true(has_damage(world, false));
    if (world->pos < end) {
        assert_true(world->pos >= base->last_batch_pos);
    }
    const uint64_t damaged = world_check_reads(world, true);
    check_is_sound(world);
    return damaged;
}

/* Messages that `count` records can hold. */
static uint64_t messages_in(const struct base *base, uint64_t count)
{
    return count * base->world.messages_max;
}

static void flip_case(const struct base *base, uint64_t number, uint64_t at, uint8_t mask,
                      uint64_t records_max)
{
    struct world world;
    struct sim_disk *disk = case_begin(base, &world, at);
    const struct log_name name = seg(number);
    assert_true(sim_disk_flip(disk, name.text, at, mask));
    bool refused;
    assert_true(check_case(base, &world, &refused) <= messages_in(base, records_max));
    case_end(disk, &world);
}

static void every_flip_in_the_last_batch_is_cut_or_named(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, false);
    for (uint64_t at = base.last_batch.at; at < base.last_end_at; at++) {
        for (unsigned bit = at % 4; bit < 8; bit += 4) {
            flip_case(&base, base.last_segment, at, (uint8_t)(1u << bit), 0);
        }
    }
    base_drop(&base);
}

static void every_flip_in_a_middle_record_costs_that_record(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, false);
    /* The first records of the newest full segment, and of one below the newest checkpoint. */
    const uint64_t numbers[] = {base.last_segment - 1, 2};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        for (uint64_t at = SEGMENT_HEADER_SIZE; at < SEGMENT_HEADER_SIZE + 200; at++) {
            /* A record smaller than a hole takes its neighbour along. */
            flip_case(&base, numbers[i], at, (uint8_t)(1u << (at % 8)), 2);
        }
    }
    base_drop(&base);
}

static void flips_anywhere_are_contained(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, false);
    for (uint64_t number = 1; number <= base.last_segment; number++) {
        const struct log_name name = seg(number);
        struct bytes bytes;
        assert_true(sim_disk_get(base.disk, name.text, &bytes));
        for (uint64_t at = number % 7; at < bytes.size; at += 41) {
            flip_case(&base, number, at, (uint8_t)(1u << (at % 8)), 3);
        }
    }
    base_drop(&base);
}

static void flips_are_found_without_checkpoints_too(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, false, true);
    uint64_t refused_count = 0;
    for (uint64_t at = 0; at < 2048; at += 11) {
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, at);
        const struct log_name name = seg(3);
        assert_true(sim_disk_flip(disk, name.text, at, 0x10));
        bool refused;
        assert_true(check_case(&base, &world, &refused) <= messages_in(&base, 3));
        refused_count += refused;
        /* The index was whole, so the repair can tell what it has cost. */
        case_end(disk, &world);
    }
    assert_true(refused_count > 150); /* all but those in the header, which heals */
    base_drop(&base);
}

static void every_truncation_of_the_last_segment_is_named_or_cut_zeros_only(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true); /* its last segment was written ahead */
    const struct log_name name = seg(base.last_segment);
    for (uint64_t size = 0; size < 4096; size += size < base.last_end_at + 64 ? 7 : 97) {
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, size);
        assert_true(sim_disk_cut(disk, name.text, size));
        const enum rc rc = world_open(&world, false);
        if (size >= base.last_end_at + RECORD_HEADER_SIZE) {
            /* Zeros are left behind the last record: only zeros were cut. */
            assert_int_equal(rc, RC_OK);
            assert_int_equal(world.pos, base.world.pos);
        } else {
            assert_true(rc == RC_CORRUPT || (size < SEGMENT_HEADER_SIZE && rc == RC_OK));
            assert_true(world.damage_count > 0);
        }
        if (rc == RC_CORRUPT) {
            world_close(&world);
            world_forget_damages(&world);
            world.lossy = true;
            assert_int_equal(world_open(&world, true), RC_OK);
            assert_true(has_damage(&world, false));
        }
        (void)world_check_reads(&world, true);
        check_is_sound(&world);
        case_end(disk, &world);
    }
    base_drop(&base);
}

static void every_truncation_of_a_growing_segment_leaves_a_prefix(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, false); /* its last segment was made by the committer and grows */
    const struct log_name name = seg(base.last_segment);
    struct bytes bytes;
    assert_true(sim_disk_get(base.disk, name.text, &bytes));
    assert_int_equal(bytes.size, base.last_end_at);
    for (uint64_t size = SEGMENT_HEADER_SIZE; size < bytes.size; size += 3) {
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, size);
        assert_true(sim_disk_cut(disk, name.text, size));
        assert_int_equal(world_open(&world, false), RC_OK);
        assert_true(world.pos < base.world.pos);
        assert_int_equal(world_check_reads(&world, false), 0);
        check_is_sound(&world);
        case_end(disk, &world);
    }
    base_drop(&base);
}

/* Everything in the folder but segments can be made again. */
static void index_and_checkpoint_files_can_be_lost_or_damaged(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    for (uint64_t number = 1; number <= base.last_segment; number++) {
        static const char *const suffixes[] = {".idx", ".ckp"};
        for (size_t i = 0; i < 2; i++) {
            const struct log_name name = log_name_of(WORLD_FOLDER, number, suffixes[i]);
            struct bytes bytes;
            if (!sim_disk_get(base.disk, name.text, &bytes)) {
                continue;
            }
            struct world world;
            struct sim_disk *disk = case_begin(&base, &world, number);
            assert_true(sim_disk_delete(disk, name.text));
            assert_int_equal(world_open(&world, false), RC_OK);
            assert_int_equal(world.pos, base.world.pos);
            assert_int_equal(world_check_reads(&world, false), 0);
            check_is_sound(&world);
            case_end(disk, &world);
            for (uint64_t at = 0; at < bytes.size; at += 61) {
                disk = case_begin(&base, &world, number);
                assert_true(sim_disk_flip(disk, name.text, at, 0x40));
                assert_int_equal(world_open(&world, false), RC_OK);
                assert_int_equal(world.pos, base.world.pos);
                /* A page behind the head is not read at start: reads name what they miss. */
                const uint64_t damaged = world_check_reads(&world, true);
                assert_true(damaged == 0 || (i == 0 && at >= 4096));
                if (damaged > 0) { /* a repair reads all of it, and has it built again */
                    world_close(&world);
                    assert_int_equal(world_open(&world, true), RC_OK);
                    assert_int_equal(world_check_reads(&world, false), 0);
                }
                case_end(disk, &world);
            }
        }
    }
    base_drop(&base);
}

static void an_index_that_is_lost_is_built_again_from_an_older_checkpoint(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    struct world world;
    struct sim_disk *disk = case_begin(&base, &world, 1);
    assert_int_equal(world_open(&world, false), RC_OK);
    const uint64_t newest = world.state_pos;
    world_close(&world);
    const struct log_name name = log_name_of(WORLD_FOLDER, 2, ".idx");
    assert_true(sim_disk_delete(disk, name.text));
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_true(world.state_pos == UINT64_MAX || world.state_pos < newest);
    assert_int_equal(world.damage_count, 1);
    assert_string_equal(world.damages[0].what, "index is missing");
    assert_int_equal(world_check_reads(&world, false), 0);
    assert_int_equal(world_chores(&world), RC_OK); /* seals it anew */
    world_close(&world);
    world_forget_damages(&world);
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.damage_count, 0);
    assert_int_equal(world.state_pos, newest);
    case_end(disk, &world);
    base_drop(&base);
}

/* What a lost index hid may be wanted, and a start can build it again. */
static void a_survey_passes_over_a_lost_index_only_where_all_will_be_trimmed(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    struct world world;
    struct sim_disk *disk = case_begin(&base, &world, 1);
    assert_int_equal(world_open(&world, false), RC_OK);
    const struct log_name name = log_name_of(WORLD_FOLDER, 2, ".idx");
    assert_true(sim_disk_delete(disk, name.text));
    for (unsigned will_trim = 0; will_trim < 2; will_trim++) {
        struct log_chore chore = {
            .kind = LOG_CHORE_SURVEY, .segment = 4, .will_trim = will_trim == 1};
        file_log_chore_do(world.log, &chore);
        assert_int_equal(chore.rc, will_trim == 1 ? RC_OK : RC_CORRUPT);
        assert_true((chore.entry_count > 0) == (will_trim == 1));
        file_log_chore_end(world.log, &chore);
    }
    case_end(disk, &world);
    base_drop(&base);
}

static void a_missing_segment_is_refused_and_repaired(void **state)
{
    (void)state;
    for (int checkpoints = 0; checkpoints < 2; checkpoints++) {
        struct base base;
        base_make(&base, checkpoints == 1, true);
        for (uint64_t number = 2; number < base.last_segment; number++) {
            struct world world;
            struct sim_disk *disk = case_begin(&base, &world, number);
            const struct log_name name = seg(number);
            assert_true(sim_disk_delete(disk, name.text));
            const enum rc rc = world_open(&world, false);
            assert_true(rc == RC_CORRUPT || checkpoints == 1);
            world_close(&world);
            world_forget_damages(&world);
            world.lossy = true;
            assert_int_equal(world_open(&world, true), RC_OK);
            assert_int_equal(world.pos, base.world.pos);
            assert_true(has_damage(&world, false));
            assert_true(world_check_reads(&world, true) > 0);
            check_is_sound(&world);
            case_end(disk, &world);
        }
        base_drop(&base);
    }
}

/* The last segment is as a crash leaves one that it has interrupted the making of; but that has the
 * next number, and here one is missing: all in it was acknowledged. */
static void a_segment_missing_in_front_of_a_torn_one_is_no_crash(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, false, true);
    for (int cut = 0; cut < 2; cut++) {
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, 1);
        const struct log_name missing = seg(base.last_segment - 1);
        const struct log_name torn = seg(base.last_segment);
        assert_true(sim_disk_delete(disk, missing.text));
        struct bytes bytes;
        assert_true(sim_disk_get(disk, torn.text, &bytes));
        struct buf zeros = {0};
        assert_int_equal(buf_reserve(&zeros, bytes.size), RC_OK);
        bytes_zero(zeros.data, bytes.size);
        sim_disk_put(disk, torn.text, bytes_of(zeros.data, cut == 1 ? 10 : bytes.size));
        buf_deinit(&zeros);
        assert_int_equal(world_open(&world, false), RC_CORRUPT);
        world_close(&world);
        world_forget_damages(&world);
        world.lossy = true;
        assert_int_equal(world_open(&world, true), RC_OK);
        assert_true(has_damage(&world, false));
        check_is_sound(&world);
        case_end(disk, &world);
    }
    base_drop(&base);
}

static void segments_of_another_history_are_refused_even_by_repair(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    for (int kind = 0; kind < 2; kind++) {
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, 1);
        const struct log_name name = seg(2);
        struct bytes bytes;
        assert_true(sim_disk_get(disk, name.text, &bytes));
        struct segment_header header;
        assert_int_equal(segment_header_decode(bytes, &header), RC_OK);
        header.incarnation += kind == 0;
        header.partition += kind == 1;
        uint8_t copy[4096];
        bytes_copy(copy, bytes.data, sizeof(copy));
        segment_header_encode(&header, copy);
        sim_disk_put(disk, name.text, bytes_of(copy, sizeof(copy)));
        assert_int_equal(world_open(&world, false), RC_CORRUPT);
        assert_string_equal(world.damages[0].what, kind == 0 ? "incarnation" : "partition");
        assert_int_equal(world_open(&world, true), RC_CORRUPT);
        case_end(disk, &world);
    }
    base_drop(&base);
}

static void a_segment_twice_or_out_of_place_is_refused(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, false, true);
    for (uint64_t from = 2; from < base.last_segment; from++) {
        struct world world;
        struct sim_disk *disk = case_begin(&base, &world, from);
        const struct log_name name = seg(from);
        struct bytes bytes;
        assert_true(sim_disk_get(disk, name.text, &bytes));
        /* The same bytes under the last number: a header of another number is none. */
        const struct log_name last = seg(base.last_segment + 1);
        sim_disk_put(disk, last.text, bytes);
        world.lossy = true;
        const enum rc rc = world_open(&world, false);
        if (rc == RC_OK) { /* taken for a roll that a crash cut off: it goes, and is named */
            assert_true(has_damage(&world, true));
        } else {
            assert_int_equal(rc, RC_CORRUPT);
            assert_int_equal(world_open(&world, true), RC_OK);
        }
        assert_int_equal(world.pos, base.world.pos);
        assert_int_equal(world_check_reads(&world, true), 0);
        check_is_sound(&world);
        case_end(disk, &world);
    }
    base_drop(&base);
}

static void zeroed_and_swapped_sectors_are_named(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, false);
    for (uint64_t number = 1; number <= base.last_segment; number++) {
        const struct log_name name = seg(number);
        struct bytes bytes;
        assert_true(sim_disk_get(base.disk, name.text, &bytes));
        for (uint64_t sector = 0; sector + 1 < bytes.size / 512; sector++) {
            for (int swap = 0; swap < 2; swap++) {
                struct world world;
                struct sim_disk *disk = case_begin(&base, &world, sector);
                uint8_t copy[8192];
                assert_true(bytes.size <= sizeof(copy));
                bytes_copy(copy, bytes.data, bytes.size);
                if (swap == 1) {
                    bytes_copy(copy + sector * 512, bytes.data + (sector + 1) * 512, 512);
                    bytes_copy(copy + (sector + 1) * 512, bytes.data + sector * 512, 512);
                } else {
                    bytes_zero(copy + sector * 512, 512);
                }
                sim_disk_put(disk, name.text, bytes_of(copy, bytes.size));
                bool refused;
                (void)check_case(&base, &world, &refused);
                case_end(disk, &world);
            }
        }
    }
    base_drop(&base);
}

/* ---- verify -------------------------------------------------------------------------------- */

static void count_damage(void *ctx, const struct log_damage *damage)
{
    uint64_t *count = ctx;
    assert_non_null(damage->file);
    *count += !damage->torn_tail;
}

static void verify_finds_what_is_wrong_and_changes_nothing(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    struct log_verify_result result;
    uint64_t count = 0;
    const struct storage storage = sim_disk_storage(base.disk);
    const uint64_t changes = sim_disk_changes(base.disk);
    assert_int_equal(file_log_verify(&storage, WORLD_FOLDER, count_damage, NULL, &count, &result),
                     RC_OK);
    assert_int_equal(count, 0);
    assert_int_equal(result.damages, 0);
    assert_int_equal(result.segments, base.last_segment);
    assert_int_equal(result.first_pos, 0);
    assert_int_equal(result.end_pos, base.world.pos);
    assert_int_equal(result.records, base.world.pos);
    for (uint64_t number = 1; number < base.last_segment; number++) {
        static const char *const suffixes[] = {".seg", ".idx", ".ckp"};
        for (size_t i = 0; i < 3; i++) {
            const struct log_name name = log_name_of(WORLD_FOLDER, number, suffixes[i]);
            struct bytes bytes;
            if (!sim_disk_get(base.disk, name.text, &bytes)) {
                continue;
            }
            const uint64_t end = i == 0 ? 2000 : bytes.size;
            for (uint64_t at = 0; at < end; at += 37) {
                assert_true(sim_disk_flip(base.disk, name.text, at, 4));
                count = 0;
                assert_int_equal(
                    file_log_verify(&storage, WORLD_FOLDER, count_damage, NULL, &count, &result),
                    RC_OK);
                assert_int_equal(count, result.damages);
                assert_true(count >= 1);
                assert_true(count <=
                            2); /* a lost segment header may make its checkpoint doubtful */
                assert_int_equal(result.end_pos, base.world.pos);
                assert_true(sim_disk_flip(base.disk, name.text, at, 4));
            }
        }
    }
    assert_int_equal(sim_disk_changes(base.disk), changes);
    assert_int_equal(file_log_verify(&storage, "none", NULL, NULL, NULL, &result), RC_NOT_FOUND);
    base_drop(&base);
}

/* A removal takes the segments first, then what belongs to them: one that fails in between leaves
 * files of several segments, and nothing is lost. */
static void verify_takes_what_a_failed_removal_left_for_no_loss(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    assert_true(base.last_segment > 4);
    for (uint64_t number = 1; number <= 2; number++) {
        assert_true(sim_disk_delete(base.disk, log_name_of(WORLD_FOLDER, number, ".seg").text));
    }
    const struct storage storage = sim_disk_storage(base.disk);
    struct log_verify_result result;
    uint64_t count = 0;
    assert_int_equal(file_log_verify(&storage, WORLD_FOLDER, count_damage, NULL, &count, &result),
                     RC_OK);
    assert_int_equal(count, 0);
    assert_int_equal(result.segments, base.last_segment - 2);
    base_drop(&base);
}

/* ---- what a repair can tell ---------------------------------------------------------------- */

static void a_repair_tells_which_messages_it_has_cost(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    struct world world;
    struct sim_disk *disk = case_begin(&base, &world, 1);
    const struct log_name name = seg(2);
    assert_true(sim_disk_flip(disk, name.text, SEGMENT_HEADER_SIZE + 8, 1));
    /* Below the newest checkpoint: an ordinary start does not read it, a read meets it. */
    assert_int_equal(world_open(&world, false), RC_OK);
    assert_int_equal(world.damage_count, 0);
    const uint64_t damaged = world_check_reads(&world, true);
    assert_true(damaged > 0);
    world_close(&world);
    assert_int_equal(world_open(&world, true), RC_OK);
    assert_int_equal(world.damage_count, 1);
    assert_true(world.damages[0].repaired);
    assert_string_equal(world.damages[0].file, name.text);
    assert_int_equal(world.damages[0].at, SEGMENT_HEADER_SIZE);
    const struct log_loss *losses;
    size_t count;
    file_log_repaired_losses(world.log, &losses, &count);
    uint64_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        lost += losses[i].to - losses[i].from + 1;
    }
    assert_int_equal(lost, damaged);
    assert_int_equal(world_check_reads(&world, true), damaged);
    struct bytes bytes;
    const struct log_name original = log_name_of(WORLD_FOLDER, 2, ".seg.damaged");
    assert_true(sim_disk_get(disk, original.text, &bytes));
    check_is_sound(&world);
    case_end(disk, &world);
    base_drop(&base);
}

static void a_crash_during_a_repair_is_harmless(void **state)
{
    (void)state;
    struct base base;
    base_make(&base, true, true);
    for (uint64_t change = 1; change < 40; change++) {
        for (int loss = 0; loss < 3; loss++) {
            struct world world;
            struct sim_disk *disk = case_begin(&base, &world, change);
            const struct log_name middle = seg(3);
            const struct log_name last = seg(base.last_segment - 1);
            assert_true(sim_disk_flip(disk, middle.text, 300, 1));
            assert_true(sim_disk_flip(disk, last.text, 300, 1));
            world.lossy = true;
            sim_disk_die_at(disk, change);
            const enum rc rc = world_open(&world, true);
            world_close(&world);
            assert_true(rc == RC_OK || sim_disk_is_dead(disk));
            sim_disk_restart(disk, (enum sim_loss)loss);
            assert_int_equal(world_open(&world, true), RC_OK);
            assert_int_equal(world.pos, base.world.pos);
            assert_true(world_check_reads(&world, true) <= messages_in(&base, 6));
            check_is_sound(&world);
            case_end(disk, &world);
        }
    }
    base_drop(&base);
}

/* ---- records that lie ---------------------------------------------------------------------- */

/* What a recovery gave, without a model. */
struct given {
    struct file_log *log;
    size_t count;
    struct {
        enum record_type type;
        uint64_t pos;
        uint8_t first; /* byte of the body */
    } records[16];
};

static void given_log(void *ctx, struct file_log *log)
{
    struct given *given = ctx;
    given->log = log;
}

static enum rc given_record(void *ctx, const struct record *record, struct log_place place)
{
    struct given *given = ctx;
    assert_true(place.at >= SEGMENT_HEADER_SIZE);
    assert_true(given->count < 16);
    given->records[given->count].type = record->type;
    given->records[given->count].pos = record->pos;
    given->records[given->count].first = record->body.data[0];
    given->count++;
    return RC_OK;
}

static enum rc given_open(const struct storage *storage, bool repair, struct given *given)
{
    *given = (struct given){0};
    const struct file_log_options options = {
        .folder = WORLD_FOLDER,
        .partition = WORLD_PARTITION,
        .incarnation = WORLD_INCARNATION,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .repair = repair,
        .ctx = given,
        .on_log = given_log,
        .on_record = given_record,
    };
    struct file_log *log = NULL;
    const enum rc rc = file_log_open(storage, &options, &log);
    given->log = log;
    return rc;
}

/* Commits one record. Returns where it stands. */
static uint32_t commit_one(struct given *given, struct log_batch *batch, struct bytes body)
{
    batch_begin(batch, WORLD_PARTITION, batch->end_pos, batch->end_hash, 0);
    assert_int_equal(batch_append(batch, RECORD_PUBLISH, 0, body), RC_OK);
    assert_int_equal(file_log_commit(given->log, batch, LOG_SYNC_DATA), RC_OK);
    return batch->place.at;
}

static void a_record_forged_inside_a_message_is_not_believed(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(1);
    const struct storage storage = sim_disk_storage(disk);
    struct given given;
    assert_int_equal(given_open(&storage, false, &given), RC_OK);
    struct log_batch batch = {.end_hash = WORLD_INCARNATION};
    (void)commit_one(&given, &batch, BYTES_LITERAL("aaaa"));
    /* A message whose bytes are a whole record, with the very position that comes next. */
    struct log_batch forged = {0};
    batch_begin(&forged, WORLD_PARTITION, 2, 12345, 0);
    static const uint8_t lie[200] = {'!'};
    assert_int_equal(batch_append(&forged, RECORD_PUBLISH, 0, bytes_of(lie, sizeof(lie))), RC_OK);
    const uint32_t at = commit_one(&given, &batch, buf_bytes(&forged.bytes));
    (void)commit_one(&given, &batch, BYTES_LITERAL("cccc"));
    (void)commit_one(&given, &batch, BYTES_LITERAL("dddd"));
    file_log_close(given.log);
    const struct log_name name = seg(1);
    assert_true(sim_disk_flip(disk, name.text, at + 20, 1)); /* the header around it is damaged */

    assert_int_equal(given_open(&storage, false, &given), RC_CORRUPT);
    assert_int_equal(given_open(&storage, true, &given), RC_OK);
    assert_int_equal(given.count, 4);
    assert_int_equal(given.records[1].type, RECORD_HOLE);
    assert_int_equal(given.records[1].pos, 1);
    assert_int_equal(given.records[2].pos, 2);
    assert_int_equal(given.records[2].first, 'c');
    assert_int_equal(given.records[3].pos, 3);
    assert_int_equal(given.records[3].first, 'd');
    file_log_close(given.log);
    batch_deinit(&forged);
    batch_deinit(&batch);
    sim_disk_close(disk);
}

static void a_whole_record_of_another_chain_is_no_torn_tail(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(1);
    const struct storage storage = sim_disk_storage(disk);
    struct given given;
    assert_int_equal(given_open(&storage, false, &given), RC_OK);
    struct log_batch batch = {.end_hash = WORLD_INCARNATION};
    (void)commit_one(&given, &batch, BYTES_LITERAL("aaaa"));
    const uint32_t at = commit_one(&given, &batch, BYTES_LITERAL("bbbb"));
    file_log_close(given.log);
    const struct log_name name = seg(1);
    struct bytes bytes;
    assert_true(sim_disk_get(disk, name.text, &bytes));
    uint8_t copy[SEGMENT_BYTES_MIN];
    bytes_copy(copy, bytes.data, sizeof(copy));
    struct log_batch other = {0};
    batch_begin(&other, WORLD_PARTITION, 1, 777, 0); /* the right position, a wrong hash */
    assert_int_equal(batch_append(&other, RECORD_PUBLISH, 0, BYTES_LITERAL("xxxx")), RC_OK);
    bytes_copy(copy + at, other.bytes.data, other.bytes.size);
    sim_disk_put(disk, name.text, bytes_of(copy, sizeof(copy)));

    assert_int_equal(given_open(&storage, false, &given), RC_CORRUPT);
    assert_int_equal(given_open(&storage, true, &given), RC_OK);
    assert_int_equal(given.count, 2);
    assert_int_equal(given.records[0].first, 'a');
    assert_int_equal(given.records[1].type, RECORD_HOLE);
    file_log_close(given.log);
    batch_deinit(&other);
    batch_deinit(&batch);
    sim_disk_close(disk);
}

/* Found by swapping sectors: a whole record in the wrong place, behind the last one, contradicts
 * all between; that must not make a torn tail of them. */
static void a_record_in_the_wrong_place_does_not_make_a_torn_tail(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_open(1);
    const struct storage storage = sim_disk_storage(disk);
    struct given given;
    assert_int_equal(given_open(&storage, false, &given), RC_OK);
    struct log_batch batch = {0};
    batch_begin(&batch, WORLD_PARTITION, 0, WORLD_INCARNATION, 0);
    assert_int_equal(batch_append(&batch, RECORD_PUBLISH, 0, BYTES_LITERAL("aaaa")), RC_OK);
    assert_int_equal(batch_append(&batch, RECORD_PUBLISH, 0, BYTES_LITERAL("bbbb")), RC_OK);
    assert_int_equal(file_log_commit(given.log, &batch, LOG_SYNC_DATA), RC_OK);
    const uint32_t first = batch.place.at;
    const uint32_t size = (uint32_t)record_size(4);
    (void)commit_one(&given, &batch, BYTES_LITERAL("cccc"));
    const uint32_t end = commit_one(&given, &batch, BYTES_LITERAL("dddd")) + size;
    file_log_close(given.log);
    const struct log_name name = seg(1);
    struct bytes bytes;
    assert_true(sim_disk_get(disk, name.text, &bytes));
    uint8_t *file = malloc(bytes.size);
    assert_non_null(file);
    bytes_copy(file, bytes.data, bytes.size);
    bytes_copy(file + end, file + first + size, size); /* the second one, behind the last */
    file[first + 20] ^= 1;                             /* the first one is damaged */
    sim_disk_put(disk, name.text, bytes_of(file, bytes.size));
    free(file);

    assert_int_equal(given_open(&storage, false, &given), RC_CORRUPT);
    batch_deinit(&batch);
    sim_disk_close(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flip_in_the_last_batch_is_cut_or_named),
        cmocka_unit_test(every_flip_in_a_middle_record_costs_that_record),
        cmocka_unit_test(flips_anywhere_are_contained),
        cmocka_unit_test(flips_are_found_without_checkpoints_too),
        cmocka_unit_test(every_truncation_of_the_last_segment_is_named_or_cut_zeros_only),
        cmocka_unit_test(every_truncation_of_a_growing_segment_leaves_a_prefix),
        cmocka_unit_test(index_and_checkpoint_files_can_be_lost_or_damaged),
        cmocka_unit_test(an_index_that_is_lost_is_built_again_from_an_older_checkpoint),
        cmocka_unit_test(a_survey_passes_over_a_lost_index_only_where_all_will_be_trimmed),
        cmocka_unit_test(a_missing_segment_is_refused_and_repaired),
        cmocka_unit_test(a_segment_missing_in_front_of_a_torn_one_is_no_crash),
        cmocka_unit_test(segments_of_another_history_are_refused_even_by_repair),
        cmocka_unit_test(a_segment_twice_or_out_of_place_is_refused),
        cmocka_unit_test(zeroed_and_swapped_sectors_are_named),
        cmocka_unit_test(verify_finds_what_is_wrong_and_changes_nothing),
        cmocka_unit_test(verify_takes_what_a_failed_removal_left_for_no_loss),
        cmocka_unit_test(a_repair_tells_which_messages_it_has_cost),
        cmocka_unit_test(a_crash_during_a_repair_is_harmless),
        cmocka_unit_test(a_record_forged_inside_a_message_is_not_believed),
        cmocka_unit_test(a_record_in_the_wrong_place_does_not_make_a_torn_tail),
        cmocka_unit_test(a_whole_record_of_another_chain_is_no_torn_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
