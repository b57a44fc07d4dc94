/* Logs that are whole byte by byte and wrong all the same: records of another partition, position
 * or chain, holes that are none, headers of another history, indexes and checkpoints that fit
 * nothing; and damage at places where only few bytes are left to say what happened.
 *
 * Goal: each is refused by its name, and a repair keeps every record that continues the chain.
 * Method: a table of forged logs (forge.h), each with what must come of it: refused with which
 * word, and the positions that a repair keeps. Then the same with each call of the disk, and each
 * allocation, failing in turn. */
#include "unit/log/flaky.h"
#include "unit/log/forged_cases.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- what a recovery gave ------------------------------------------------------------------ */

struct given {
    char kept[64];
    char what[48];
    uint64_t damages;
    uint64_t checkpoints; /* passed by the replay */
    bool unasked;         /* nobody wants to know of them */
    uint64_t state_pos;   /* UINT64_MAX: there was no checkpoint */
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

static enum rc on_given_checkpoint(void *ctx, uint64_t pos, struct bytes state)
{
    struct given *given = ctx;
    assert_true(pos > 0);
    assert_true(bytes_equal(state, BYTES_LITERAL("state")));
    given->checkpoints++;
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
    const bool unasked = given->unasked;
    *given = (struct given){.state_pos = UINT64_MAX, .state_rc = state_rc, .unasked = unasked};
    const struct file_log_options options = {
        .folder = folder,
        .partition = WORLD_PARTITION,
        .incarnation = WORLD_INCARNATION,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .repair = repair,
        .ctx = given,
        .on_state = on_given_state,
        .on_record = on_given_record,
        .on_checkpoint = given->unasked ? NULL : on_given_checkpoint,
        .on_damage = on_given_damage,
    };
    struct file_log *log = NULL;
    const enum rc rc = file_log_open(storage, &options, &log);
    file_log_close(log);
    return rc;
}

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
    if (repair_rc == RC_OK && !row->repair_only) {
        struct given again = {0};
        assert_int_equal(given_open(&storage, WORLD_FOLDER, false, &again), RC_OK);
        assert_string_equal(again.kept, kept.kept);
    }
    sim_disk_close(disk);
}

static void each_forged_log_is_refused_by_name_and_a_repair_keeps_the_chain(void **state)
{
    (void)state;
    for (size_t i = 0; i < forged_case_count; i++) {
        check_row(&forged_cases[i]);
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
    for (size_t i = 0; i < forged_case_count; i++) {
        const bool is_large = forged_cases[i].is_large;
        for (int mode = 0; mode < MODE_COUNT; mode++) {
            if (is_large && mode == MODE_REPAIR) {
                continue; /* megabytes written for each k; the small ones have shown it */
            }
            uint64_t k = 1;
            while (fail_one(&forged_cases[i], (enum mode)mode, k, 0)) {
                k++;
            }
            assert_true(k > 1);
            for (k = 1; !is_large && fail_one(&forged_cases[i], (enum mode)mode, 0, k);) {
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
    for (size_t i = 0; i < forged_case_count; i++) {
        const bool is_large = forged_cases[i].is_large;
        for (unsigned k = 1; !is_large && k < 40; k++) {
            for (int kind = 0; kind < 3; kind++) {
                struct sim_disk *disk = case_disk(&forged_cases[i]);
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

/* ---- damage beyond any hole -------------------------------------------------------------------
 */

/* A disk that shows 1 GiB of zeros inside of one file, which nobody wants to hold in memory. */
static struct {
    const struct storage_ops *inner;
    struct storage_file *file;
    uint64_t at;
    uint64_t size;
} gap;

static enum rc gap_open(void *ctx, const char *name, enum storage_open_mode mode,
                        struct storage_file **ret_file)
{
    const enum rc rc = gap.inner->open(ctx, name, mode, ret_file);
    if (rc == RC_OK && strstr(name, ".seg") != NULL) {
        gap.file = *ret_file;
    }
    return rc;
}

static void gap_close(void *ctx, struct storage_file *file)
{
    gap.file = file == gap.file ? NULL : gap.file;
    gap.inner->close(ctx, file);
}

static enum rc gap_size(void *ctx, struct storage_file *file, uint64_t *ret_size)
{
    const enum rc rc = gap.inner->size(ctx, file, ret_size);
    *ret_size += rc == RC_OK && file == gap.file ? gap.size : 0;
    return rc;
}

static enum rc gap_read(void *ctx, struct storage_file *file, void *to, size_t size, uint64_t at,
                        size_t *ret_size)
{
    if (file != gap.file || at + size <= gap.at) {
        return gap.inner->read(ctx, file, to, size, at, ret_size);
    }
    size_t done = 0;
    if (at < gap.at) {
        const enum rc rc = gap.inner->read(ctx, file, to, (size_t)(gap.at - at), at, &done);
        assert_int_equal(rc, RC_OK);
        assert_int_equal(done, gap.at - at);
    }
    const uint64_t end = gap.at + gap.size;
    if (done < size && at + done < end) {
        const uint64_t left = end - at - done;
        const size_t zeros = size - done < left ? size - done : (size_t)left;
        bytes_zero((uint8_t *)to + done, zeros);
        done += zeros;
    }
    *ret_size = done;
    if (done == size) {
        return RC_OK;
    }
    const enum rc rc = gap.inner->read(ctx, file, (uint8_t *)to + done, size - done,
                                       at + done - gap.size, ret_size);
    *ret_size += done;
    return rc;
}

static enum rc no_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    (void)ctx;
    (void)file;
    (void)bytes;
    (void)at;
    fail_msg("what cannot be repaired is left as it is");
    return RC_IO;
}

/* A hole is one record, of the size of what it replaces, and a record has at most 1 GiB. So this is
 * refused, by file and byte, and nothing is changed. */
static void damage_larger_than_a_record_is_refused_by_name(void **state)
{
    (void)state;
    static struct forge forge;
    struct sim_disk *disk = folder_disk();
    forge_begin(&forge, 1, 0, 0);
    (void)forge_good(&forge, BYTES_LITERAL("first"));
    (void)forge_bad(&forge, BYTES_LITERAL("bad"));
    const size_t behind = forge_good(&forge, BYTES_LITERAL("behind"));
    forge_put(&forge, disk, true);
    const struct storage inner = sim_disk_storage(disk);
    struct storage_ops ops = *inner.ops;
    gap.inner = inner.ops;
    gap.at = behind;
    gap.size = RECORD_BODY_BYTES_MAX;
    ops.open = gap_open;
    ops.close = gap_close;
    ops.size = gap_size;
    ops.read = gap_read;
    ops.write = no_write;
    const struct storage storage = {.ops = &ops, .ctx = inner.ctx};
    struct given given = {0};
    assert_int_equal(given_open(&storage, WORLD_FOLDER, true, &given), RC_CORRUPT);
    assert_string_equal(given.what, "checksum");
    assert_int_equal(given.damages, 1);
    sim_disk_close(disk);
}

/* ---- smaller things ------------------------------------------------------------------------ */

static void what_a_callback_returns_is_what_the_start_returns(void **state)
{
    (void)state;
    struct sim_disk *disk = folder_disk();
    forged_case("an index")->plant(disk);
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

static void a_checkpoint_passed_is_compared_only_if_it_is_of_that_place(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t checkpoints;
    } rows[] = {
        {"a checkpoint: partition", 0}, {"a checkpoint: incarnation", 0},
        {"a checkpoint: position", 0},  {"a checkpoint: chain", 0},
        {"an index: chain", 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sim_disk *disk = case_disk(forged_case(rows[i].name));
        const struct storage storage = sim_disk_storage(disk);
        struct given given = {0};
        assert_int_equal(given_open(&storage, WORLD_FOLDER, false, &given), RC_OK);
        assert_string_equal(given.kept, "012");
        assert_int_equal(given.checkpoints, rows[i].checkpoints);
        given.unasked = true;
        assert_int_equal(given_open(&storage, WORLD_FOLDER, false, &given), RC_OK);
        assert_int_equal(given.checkpoints, 0);
        sim_disk_close(disk);
    }
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
    forged_case("a run, then a bad one")->plant(disk);
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

/* What is committed next may find that there is no memory to note the roll; and a removal may be
 * faster than a checkpoint. Neither checkpoint has a segment to belong to any more. */
static void a_checkpoint_of_a_segment_that_is_not_there_is_let_go(void **state)
{
    (void)state;
    struct sim_disk *disk = folder_disk();
    forged_case("an index")->plant(disk);
    const struct storage storage = sim_disk_storage(disk);
    struct given given = {.state_rc = RC_OK};
    const struct file_log_options options = {
        .folder = WORLD_FOLDER,
        .partition = WORLD_PARTITION,
        .incarnation = WORLD_INCARNATION,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .ctx = &given,
        .on_state = on_given_state,
        .on_record = on_given_record,
    };
    struct file_log *log = NULL;
    assert_int_equal(file_log_open(&storage, &options, &log), RC_OK);
    struct file_log_stats before;
    file_log_stats(log, &before);
    assert_int_equal(before.segment_count, 2);
    static const uint64_t numbers[] = {3, 1};
    for (size_t i = 0; i < 2; i++) {
        struct log_chore chore = {.kind = LOG_CHORE_REMOVE, .segment = 2};
        if (numbers[i] < 2) {
            file_log_chore_do(log, &chore);
            file_log_chore_end(log, &chore);
            assert_int_equal(chore.rc, RC_OK);
            file_log_stats(log, &before);
        }
        chore = (struct log_chore){.kind = LOG_CHORE_CHECKPOINT, .segment = numbers[i]};
        file_log_chore_end(log, &chore);
        struct file_log_stats after;
        file_log_stats(log, &after);
        assert_int_equal(after.bytes, before.bytes);
        assert_int_equal(after.segment_count, 2 - i);
    }
    file_log_close(log);
    sim_disk_close(disk);
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
        cmocka_unit_test(damage_larger_than_a_record_is_refused_by_name),
        cmocka_unit_test(what_a_callback_returns_is_what_the_start_returns),
        cmocka_unit_test(a_checkpoint_passed_is_compared_only_if_it_is_of_that_place),
        cmocka_unit_test(a_folder_in_a_folder_is_synced_in_the_one_above),
        cmocka_unit_test(an_empty_folder_has_nothing_to_verify),
        cmocka_unit_test(verify_hands_out_what_is_whole),
        cmocka_unit_test(names_of_files_are_twenty_digits_and_a_suffix),
        cmocka_unit_test(a_header_is_64_bytes_that_agree),
        cmocka_unit_test(a_checkpoint_of_a_segment_that_is_not_there_is_let_go),
        cmocka_unit_test(a_new_file_takes_the_place_of_an_old_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
