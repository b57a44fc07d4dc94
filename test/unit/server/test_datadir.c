/* server/datadir: whose the data is, and how the last run ended, on a disk in memory. */
#include "server/datadir.h"

#include "base/mem.h"
#include "io/ram_disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define INCARNATION 0x00c0ffee12345678u
#define WHY_SIZE    200u

struct world {
    struct ram_disk *disk;
    struct storage storage;
    struct config config;
    struct datadir dir;
    char why[WHY_SIZE];
};

/* As a start does: what the run before left is judged, then this one is marked. */
static enum rc mark(struct world *world)
{
    const enum rc rc =
        datadir_check(&world->storage, &world->config, &world->dir, world->why, sizeof(world->why));
    return rc == RC_OK ? datadir_mark(&world->storage, &world->config) : rc;
}

static void world_open(struct world *world)
{
    *world = (struct world){0};
    assert_int_equal(ram_disk_open(&world->disk), RC_OK);
    world->storage = ram_disk_storage(world->disk);
    assert_int_equal(config_defaults(&world->config), RC_OK);
    world->config.node = 5;
    world->config.partitions = 12;
}

static void world_close(struct world *world)
{
    config_deinit(&world->config);
    ram_disk_close(world->disk);
}

static enum rc open_dir(struct world *world, uint64_t incarnation)
{
    world->dir = (struct datadir){0};
    world->why[0] = '\0';
    return datadir_open(&world->storage, &world->config, incarnation, &world->dir, world->why,
                        sizeof(world->why));
}

static void put_bytes(struct world *world, const char *name, struct bytes bytes)
{
    const struct storage_ops *ops = world->storage.ops;
    struct storage_file *file;
    const enum rc removed = ops->remove(world->storage.ctx, name);
    assert_true(removed == RC_OK || removed == RC_NOT_FOUND);
    assert_int_equal(ops->open(world->storage.ctx, name, STORAGE_CREATE, &file), RC_OK);
    assert_int_equal(ops->write(world->storage.ctx, file, bytes, 0), RC_OK);
    ops->close(world->storage.ctx, file);
}

static void put_file(struct world *world, const char *name, const char *text)
{
    put_bytes(world, name, bytes_of_text(text));
}

/* The text of a small file, or "" where there is none. */
static const char *file_text(struct world *world, const char *name)
{
    static char text[512];
    struct storage_file *file;
    size_t size = 0;
    text[0] = '\0';
    if (world->storage.ops->open(world->storage.ctx, name, STORAGE_READ, &file) == RC_OK) {
        assert_int_equal(
            world->storage.ops->read(world->storage.ctx, file, text, sizeof(text) - 1, 0, &size),
            RC_OK);
        text[size] = '\0';
        world->storage.ops->close(world->storage.ctx, file);
    }
    return text;
}

static bool has_file(struct world *world, const char *name)
{
    struct storage_file *file = NULL;
    const enum rc rc = world->storage.ops->open(world->storage.ctx, name, STORAGE_READ, &file);
    world->storage.ops->close(world->storage.ctx, file);
    return rc == RC_OK;
}

/* ---- meta.json ------------------------------------------------------------------------------- */

#define META(format, incarnation, partitions, node)                                                \
    "{\"format\":" format ",\"incarnation\":" incarnation ",\"partitions\":" partitions            \
    ",\"node\":" node "}\n"
#define HEX "\"00c0ffee12345678\""

static void an_empty_directory_becomes_ours(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
    assert_true(world.dir.fresh);
    assert_false(world.dir.unclean);
    assert_true(world.dir.incarnation == INCARNATION);
    assert_int_equal(world.dir.partitions, 12);
    assert_string_equal(
        file_text(&world, "meta.json"),
        "{\"format\":1,\"incarnation\":\"00c0ffee12345678\",\"partitions\":12,\"node\":5}\n");
    assert_false(has_file(&world, "meta.json.new"));
    world_close(&world);
}

static void a_second_start_finds_what_the_first_one_made(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
    world.config.partitions = 3; /* the setting is for new directories */
    assert_int_equal(open_dir(&world, 1), RC_OK);
    assert_false(world.dir.fresh);
    assert_true(world.dir.incarnation == INCARNATION);
    assert_int_equal(world.dir.partitions, 12);
    world_close(&world);
}

static void every_bit_of_an_incarnation_comes_back(void **state)
{
    (void)state;
    const uint64_t values[] = {0, 1, UINT64_MAX, (uint64_t)1 << 63, 0x0123456789abcdefu};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct world world;
        world_open(&world);
        assert_int_equal(open_dir(&world, values[i]), RC_OK);
        assert_int_equal(open_dir(&world, 77), RC_OK);
        assert_true(world.dir.incarnation == values[i]);
        world_close(&world);
    }
}

static void the_data_of_another_node_is_refused_by_both_numbers(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
    world.config.node = 6;
    assert_int_equal(open_dir(&world, INCARNATION), RC_USAGE);
    assert_non_null(strstr(world.why, "node 5"));
    assert_non_null(strstr(world.why, "6"));
    /* 2^32 + 6, which looks right when it is cut short */
    put_file(&world, "meta.json", META("1", HEX, "12", "4294967302"));
    assert_int_equal(open_dir(&world, INCARNATION), RC_USAGE);
    world_close(&world);
}

static void a_meta_file_that_is_not_ours_is_refused_and_left_alone(void **state)
{
    (void)state;
    static const char *const damaged[] = {
        "",
        "\n",
        "{",
        "[]",
        "null",
        "{}",
        META("1", HEX, "12", "5") "x",
        META("2", HEX, "12", "5"),
        META("0", HEX, "12", "5"),
        META("\"1\"", HEX, "12", "5"),
        META("1", HEX, "0", "5"),
        META("1", HEX, "-1", "5"),
        META("1", HEX, "257", "5"),
        META("1", HEX, "4294967297", "5"),
        META("1", HEX, "12.0", "5"),
        META("1", HEX, "\"12\"", "5"),
        META("1", HEX, "12", "\"5\""),
        META("1", "12", "12", "5"),
        META("1", "\"\"", "12", "5"),
        META("1", "\"00c0ffee1234567\"", "12", "5"),
        META("1", "\"00c0ffee123456789\"", "12", "5"),
        META("1", "\"00C0FFEE12345678\"", "12", "5"),
        META("1", "\"00c0ffee1234567g\"", "12", "5"),
        "{\"format\":1,\"incarnation\":" HEX ",\"partitions\":12}",
        "{\"format\":1,\"format\":1,\"incarnation\":" HEX ",\"partitions\":12,\"node\":5}",
    };
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        struct world world;
        world_open(&world);
        put_file(&world, "meta.json", damaged[i]);
        const enum rc rc = open_dir(&world, 1);
        if (rc != RC_CORRUPT || world.why[0] == '\0') {
            fail_msg("%s gives %s: %s", damaged[i], rc_name(rc), world.why);
        }
        assert_int_equal(world.dir.partitions, 0);
        assert_string_equal(file_text(&world, "meta.json"), damaged[i]);
        world_close(&world);
    }
}

static void without_its_meta_file_what_is_there_is_refused_and_left_alone(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
    const struct storage_ops *ops = world.storage.ops;
    put_file(&world, "p011", ""); /* a disk in memory lists no folders */
    put_file(&world, "p003", "");
    assert_int_equal(ops->remove(world.storage.ctx, "meta.json"), RC_OK);
    for (int i = 0; i < 2; i++) { /* the second one, too: the first has made none */
        assert_int_equal(open_dir(&world, INCARNATION + 1), RC_CORRUPT);
        assert_non_null(strstr(world.why, "meta.json is missing"));
        assert_non_null(strstr(world.why, "p003"));
    }
    world_close(&world);
    /* What is none of ours is nobody's data. */
    world_open(&world);
    put_file(&world, "p0033", "");
    put_file(&world, "pabc", "");
    assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
    assert_true(world.dir.fresh);
    world_close(&world);
}

#define SEG1 "00000000000000000001.seg"

static void a_partition_without_a_segment_is_missing_if_another_is_used(void **state)
{
    (void)state;
    static const char empty[80] = "";
    static const char used[] = "sixty-four bytes of a header, whatever it may say of the segment"
                               "and a record";
    static const struct {
        const char *name;
        const char *text; /* NULL: as the first start makes it */
        enum rc rc;
    } rows[] = {
        {"p000/" SEG1, NULL, RC_OK}, /* a crash of the first start */
        {"p000/" SEG1, used, RC_CORRUPT},
        {"p000/00000000000000000002.seg", "", RC_CORRUPT},
        {"p000/00000000000000000001.idx", "", RC_CORRUPT},
        {"p000/00000000000000000002.ckp", "", RC_CORRUPT},
        {"p000/00000000000000000001.seg.tmp", used, RC_OK},
        {"p000/00000000000000000002.new", used, RC_OK},
        {"p000/notes.txt", used, RC_OK},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world world;
        world_open(&world);
        world.config.partitions = 2;
        assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
        put_bytes(&world, rows[i].name,
                  rows[i].text == NULL ? bytes_of(empty, sizeof(empty))
                                       : bytes_of_text(rows[i].text));
        assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
        const enum rc rc = mark(&world);
        if (rc != rows[i].rc) {
            fail_msg("%s gives %s: %s", rows[i].name, rc_name(rc), world.why);
        }
        if (rc == RC_CORRUPT) { /* a repair: every channel begins a new epoch, after a crash, too */
            assert_non_null(strstr(world.why, "p001"));
            world.config.repair = true;
            assert_int_equal(datadir_check(&world.storage, &world.config, &world.dir, world.why,
                                           sizeof(world.why)),
                             RC_OK);
            assert_true(world.dir.unclean);
            put_bytes(&world, "p001/" SEG1, bytes_of(empty, sizeof(empty)));
            world.config.repair = false;
            world.dir.unclean = false;
            assert_int_equal(mark(&world), RC_OK);
            assert_true(world.dir.unclean);
            world.dir.unclean = false;
            assert_int_equal(mark(&world), RC_OK);
            assert_false(world.dir.unclean);
        }
        world_close(&world);
    }
}

static void a_leftover_of_an_interrupted_start_is_no_obstacle(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    put_file(&world, "meta.json.new", "{\"format\":1,\"incarn");
    assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
    assert_true(world.dir.fresh);
    assert_int_equal(open_dir(&world, 1), RC_OK);
    assert_true(world.dir.incarnation == INCARNATION);
    world_close(&world);
}

/* ---- RUNNING --------------------------------------------------------------------------------- */

static void a_run_leaves_a_mark_until_it_ends_well(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
    assert_int_equal(mark(&world), RC_OK);
    assert_false(world.dir.unclean);
    assert_memory_equal(file_text(&world, "RUNNING"), "fsync ", 6);
    assert_false(has_file(&world, "RUNNING.new"));
    assert_int_equal(datadir_unmark(&world.storage), RC_OK);
    assert_false(has_file(&world, "RUNNING"));
    assert_int_equal(datadir_unmark(&world.storage), RC_OK); /* twice is once */
    world_close(&world);
}

static enum rc remove_fails(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return RC_IO;
}

static void a_mark_that_cannot_be_removed_is_told(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
    assert_int_equal(mark(&world), RC_OK);
    struct storage_ops ops = *world.storage.ops;
    ops.remove = remove_fails;
    const struct storage failing = {.ops = &ops, .ctx = world.storage.ctx};
    assert_int_equal(datadir_unmark(&failing), RC_IO);
    assert_true(has_file(&world, "RUNNING"));
    assert_int_equal(datadir_unmark(&world.storage), RC_OK);
    world_close(&world);
}

/* What the mark says of the run before, and what follows. `here`: this boot of the machine. */
struct mark_case {
    const char *durability; /* NULL: no mark at all */
    bool here;
    bool unclean;
};

static void only_a_lost_machine_without_fsync_is_an_unclean_end(void **state)
{
    (void)state;
    static const struct mark_case cases[] = {
        {NULL, true, false},     {"fsync", true, false}, {"fsync", false, false},
        {"os", true, false},     {"os", false, true},    {"memory", true, false},
        {"memory", false, true}, {"", false, true},      {"fsyncs", false, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        char text[256];
        world_open(&world);
        assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
        assert_int_equal(mark(&world), RC_OK);
        const char *boot = strchr(file_text(&world, "RUNNING"), ' ');
        assert_non_null(boot);
        assert_true(strlen(boot) > 10); /* this machine tells its boots apart */
        (void)snprintf(text, sizeof(text), "%s%s", cases[i].durability,
                       cases[i].here ? boot : " 01234567-89ab-cdef-0123-456789abcdef\n");
        assert_int_equal(datadir_unmark(&world.storage), RC_OK);
        if (cases[i].durability != NULL) {
            put_file(&world, "RUNNING", text);
        }
        assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
        world.config.durability = DURABILITY_OS;
        assert_int_equal(mark(&world), RC_OK);
        if (world.dir.unclean != cases[i].unclean) {
            fail_msg("after %s", text);
        }
        assert_memory_equal(file_text(&world, "RUNNING"), "os ", 3);
        world_close(&world);
    }
}

static void a_mark_that_cannot_be_read_is_an_unclean_end(void **state)
{
    (void)state;
    static const char *const damaged[] = {"", "\n", "os", "fsync", "\n\n\n"};
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        struct world world;
        world_open(&world);
        put_file(&world, "RUNNING", damaged[i]);
        assert_int_equal(mark(&world), RC_OK);
        assert_true(world.dir.unclean);
        world_close(&world);
    }
}

/* A sync that failed in a run without fsync is remembered until all that it asks for is in the log,
 * through starts that come to nothing; what is added meanwhile, too. */
static void a_failed_sync_is_an_unclean_end_until_a_start_has_dealt_with_it(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    world.config.durability = DURABILITY_OS;
    assert_int_equal(mark(&world), RC_OK);
    assert_int_equal(datadir_doubt(&world.storage, true), RC_OK);
    assert_int_equal(datadir_doubt(&world.storage, false), RC_OK); /* twice is once */
    for (int i = 0; i < 2; i++) {
        world.dir = (struct datadir){0};
        assert_int_equal(
            datadir_check(&world.storage, &world.config, &world.dir, world.why, sizeof(world.why)),
            RC_OK);
        assert_true(world.dir.unclean);
    }
    assert_int_equal(datadir_doubt(&world.storage, false),
                     RC_OK); /* in a start that has not marked */
    assert_int_equal(datadir_mark(&world.storage, &world.config), RC_OK);
    assert_int_equal(datadir_unmark(&world.storage), RC_OK);
    assert_int_equal(mark(&world), RC_OK);
    assert_true(world.dir.unclean);
    world.dir = (struct datadir){0};
    assert_int_equal(mark(&world), RC_OK);
    assert_false(world.dir.unclean);
    world_close(&world);
}

static void a_failed_sync_says_nothing_where_all_that_was_shown_is_synced(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_int_equal(datadir_doubt(&world.storage, false),
                     RC_OK); /* before anything was ever shown */
    assert_int_equal(mark(&world), RC_OK);
    assert_int_equal(datadir_doubt(&world.storage, false), RC_OK);
    assert_false(has_file(&world, "DOUBT"));
    world.dir = (struct datadir){0};
    assert_int_equal(mark(&world), RC_OK);
    assert_false(world.dir.unclean);
    world_close(&world);
}

/* ---- failures -------------------------------------------------------------------------------- */

/* The k-th allocation fails, for every k: a named failure, and the next start works. */
static void every_failing_allocation_leaves_a_directory_that_opens(void **state)
{
    (void)state;
    uint64_t refused = 0;
    for (uint64_t k = 1;; k++) {
        struct world world;
        world_open(&world);
        mem_fault_set(k, 0);
        enum rc rc = open_dir(&world, INCARNATION);
        if (rc == RC_OK) {
            rc = mark(&world);
        }
        mem_fault_set(0, 0);
        assert_true(rc == RC_OK || rc == RC_NOMEM || rc == RC_NOSPACE);
        assert_int_equal(open_dir(&world, INCARNATION), RC_OK);
        assert_int_equal(world.dir.partitions, 12);
        assert_int_equal(mark(&world), RC_OK);
        assert_false(world.dir.unclean);
        world_close(&world);
        if (rc == RC_OK) {
            break;
        }
        refused++;
    }
    assert_true(refused >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_directory_becomes_ours),
        cmocka_unit_test(a_second_start_finds_what_the_first_one_made),
        cmocka_unit_test(every_bit_of_an_incarnation_comes_back),
        cmocka_unit_test(the_data_of_another_node_is_refused_by_both_numbers),
        cmocka_unit_test(a_meta_file_that_is_not_ours_is_refused_and_left_alone),
        cmocka_unit_test(without_its_meta_file_what_is_there_is_refused_and_left_alone),
        cmocka_unit_test(a_partition_without_a_segment_is_missing_if_another_is_used),
        cmocka_unit_test(a_leftover_of_an_interrupted_start_is_no_obstacle),
        cmocka_unit_test(a_run_leaves_a_mark_until_it_ends_well),
        cmocka_unit_test(a_mark_that_cannot_be_removed_is_told),
        cmocka_unit_test(only_a_lost_machine_without_fsync_is_an_unclean_end),
        cmocka_unit_test(a_mark_that_cannot_be_read_is_an_unclean_end),
        cmocka_unit_test(a_failed_sync_is_an_unclean_end_until_a_start_has_dealt_with_it),
        cmocka_unit_test(a_failed_sync_says_nothing_where_all_that_was_shown_is_synced),
        cmocka_unit_test(every_failing_allocation_leaves_a_directory_that_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
