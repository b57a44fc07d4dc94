/* io/ram_disk: against files that are plain arrays.
 * Method: random opens, reads, writes, truncations, renames and removals over a few names, with
 * sizes around the pages' edges; a model file is shared by its name and its open handles, so that
 * what is removed or replaced while open must live on. */
#include "io/ram_disk.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "lib/failing.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define PAGE       (64u * KIB) /* where things may go wrong; no contract */
#define FILE_MAX   (3u * PAGE + 100u)
#define NAMES      6u
#define HANDLES    8u
#define WRITE_MAX  (2u * PAGE)
#define MODELS_MAX 64u

struct model_file {
    uint8_t bytes[FILE_MAX];
    size_t size;
    unsigned uses; /* a name and handles */
};

struct handle {
    struct storage_file *file;
    struct model_file *model;
};

struct world {
    struct ram_disk *disk;
    struct storage storage;
    struct prng prng;
    struct model_file *named[NAMES];
    struct handle handles[HANDLES];
};

static const char *const names[NAMES] = {"a", "b", "p0/a", "p0/b", "p1/a", "p00/a"};
static struct model_file models[MODELS_MAX];

static struct model_file *model_new(void)
{
    for (unsigned i = 0; i < MODELS_MAX; i++) {
        if (models[i].uses == 0) {
            models[i].size = 0;
            models[i].uses = 1;
            return &models[i];
        }
    }
    fail();
    return NULL;
}

static void world_open(struct world *world, uint64_t seed)
{
    *world = (struct world){.prng = {.state = seed}};
    assert_int_equal(ram_disk_open(&world->disk), RC_OK);
    world->storage = ram_disk_storage(world->disk);
    for (unsigned i = 0; i < MODELS_MAX; i++) {
        models[i].uses = 0;
    }
}

static void handle_close(struct world *world, struct handle *handle)
{
    world->storage.ops->close(world->storage.ctx, handle->file);
    if (handle->model != NULL) {
        handle->model->uses--;
    }
    *handle = (struct handle){0};
}

static void world_close(struct world *world)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        handle_close(world, &world->handles[i]);
    }
    ram_disk_close(world->disk);
}

static struct handle *free_handle(struct world *world)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        if (world->handles[i].file == NULL) {
            return &world->handles[i];
        }
    }
    struct handle *handle = &world->handles[prng_below(&world->prng, HANDLES)];
    handle_close(world, handle);
    return handle;
}

static void step_open(struct world *world, unsigned name)
{
    const enum storage_open_mode mode = (enum storage_open_mode)prng_below(&world->prng, 3);
    struct handle *handle = free_handle(world);
    const bool create = mode == STORAGE_CREATE;
    const bool there = world->named[name] != NULL;
    const enum rc rc =
        world->storage.ops->open(world->storage.ctx, names[name], mode, &handle->file);
    assert_int_equal(rc, create == there ? (create ? RC_EXISTS : RC_NOT_FOUND) : RC_OK);
    if (rc != RC_OK) {
        assert_null(handle->file);
        return;
    }
    if (create) {
        world->named[name] = model_new();
    }
    handle->model = world->named[name];
    handle->model->uses++;
}

/* Offsets that like the edges of pages. */
static uint64_t random_at(struct world *world, uint64_t end)
{
    uint64_t at = prng_below(&world->prng, end + 1);
    if (prng_below(&world->prng, 2) == 0) {
        at = at / PAGE * PAGE + prng_below(&world->prng, 3);
        at = at > 0 ? at - 1 : 0;
    }
    return at < end ? at : end;
}

static void step_write(struct world *world, struct handle *handle)
{
    static uint8_t bytes[WRITE_MAX];
    const uint64_t at = random_at(world, FILE_MAX);
    const size_t room = (size_t)(FILE_MAX - at);
    const size_t size = (size_t)random_at(world, room < WRITE_MAX ? room : WRITE_MAX);
    const bool zeros = prng_below(&world->prng, 3) == 0;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(zeros ? 0 : world->prng.state >> (i % 50));
    }
    assert_int_equal(
        world->storage.ops->write(world->storage.ctx, handle->file, bytes_of(bytes, size), at),
        RC_OK);
    struct model_file *model = handle->model;
    if (size > 0 && at > model->size) {
        bytes_zero(model->bytes + model->size, (size_t)at - model->size);
    }
    bytes_copy(model->bytes + at, bytes, size);
    if (size > 0 && at + size > model->size) {
        model->size = (size_t)at + size;
    }
}

static void step_truncate(struct world *world, struct handle *handle)
{
    const size_t size = (size_t)random_at(world, FILE_MAX);
    struct model_file *model = handle->model;
    assert_int_equal(world->storage.ops->truncate(world->storage.ctx, handle->file, size), RC_OK);
    if (size > model->size) {
        bytes_zero(model->bytes + model->size, size - model->size);
    }
    model->size = size;
}

static void check_read(struct world *world, const struct handle *handle, uint64_t at, size_t size)
{
    static uint8_t bytes[FILE_MAX + 10];
    const struct model_file *model = handle->model;
    const size_t have = at < model->size ? model->size - (size_t)at : 0;
    const size_t expected = size < have ? size : have;
    size_t got = 999;
    assert_int_equal(
        world->storage.ops->read(world->storage.ctx, handle->file, bytes, size, at, &got), RC_OK);
    assert_int_equal(got, expected);
    assert_true(expected == 0 || memcmp(bytes, model->bytes + at, expected) == 0);
}

static void step_rename(struct world *world, unsigned from, unsigned to)
{
    const enum rc rc = world->storage.ops->rename(world->storage.ctx, names[from], names[to]);
    assert_int_equal(rc, world->named[from] == NULL ? RC_NOT_FOUND : RC_OK);
    if (rc == RC_OK && from != to) {
        if (world->named[to] != NULL) {
            world->named[to]->uses--;
        }
        world->named[to] = world->named[from];
        world->named[from] = NULL;
    }
}

static void step_remove(struct world *world, unsigned name)
{
    const enum rc rc = world->storage.ops->remove(world->storage.ctx, names[name]);
    assert_int_equal(rc, world->named[name] == NULL ? RC_NOT_FOUND : RC_OK);
    if (rc == RC_OK) {
        world->named[name]->uses--;
        world->named[name] = NULL;
    }
}

static void collect(void *ctx, const char *entry)
{
    char *all = ctx;
    const size_t size = strlen(all);
    (void)snprintf(all + size, 64 - size, "%s;", entry);
}

/* The names of a folder, and of no other that begins alike. */
static void check_list(struct world *world)
{
    char got[64] = "";
    assert_int_equal(world->storage.ops->list(world->storage.ctx, "p0", collect, got), RC_OK);
    const bool a = world->named[2] != NULL;
    const bool b = world->named[3] != NULL;
    assert_int_equal(strlen(got), 2 * ((a ? 1u : 0u) + (b ? 1u : 0u)));
    assert_int_equal(strstr(got, "a;") != NULL, a);
    assert_int_equal(strstr(got, "b;") != NULL, b);
}

static void check_all(struct world *world)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        const struct handle *handle = &world->handles[i];
        if (handle->file != NULL) {
            uint64_t size = 999;
            assert_int_equal(world->storage.ops->size(world->storage.ctx, handle->file, &size),
                             RC_OK);
            assert_int_equal(size, handle->model->size);
            check_read(world, handle, 0, FILE_MAX + 10);
        }
    }
    check_list(world);
}

static void step_on_handle(struct world *world, struct handle *handle)
{
    if (handle->file == NULL) {
        return;
    }
    switch (prng_below(&world->prng, 8)) {
    case 0: handle_close(world, handle); break;
    case 1: step_truncate(world, handle); break;
    case 2:
    case 3:
        check_read(world, handle, random_at(world, FILE_MAX), (size_t)random_at(world, FILE_MAX));
        break;
    default: step_write(world, handle); break;
    }
}

static void step(struct world *world)
{
    const unsigned name = (unsigned)prng_below(&world->prng, NAMES);
    switch (prng_below(&world->prng, 8)) {
    case 0:
    case 1: step_open(world, name); break;
    case 2: step_rename(world, name, (unsigned)prng_below(&world->prng, NAMES)); break;
    case 3:
        if (prng_below(&world->prng, 3) == 0) {
            step_remove(world, name);
        }
        break;
    default: step_on_handle(world, &world->handles[prng_below(&world->prng, HANDLES)]); break;
    }
}

static void it_agrees_with_plain_arrays_over_random_histories(void **state)
{
    (void)state;
    struct world world;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        world_open(&world, seed);
        for (unsigned i = 0; i < 600; i++) {
            step(&world);
            if (i % 10 == 0) {
                check_all(&world);
            }
        }
        check_all(&world);
        world_close(&world);
    }
}

static struct storage_file *create(const struct storage *storage, const char *name)
{
    struct storage_file *file = NULL;
    assert_int_equal(storage->ops->open(storage->ctx, name, STORAGE_CREATE, &file), RC_OK);
    return file;
}

static void zeros_written_ahead_cost_no_memory(void **state)
{
    (void)state;
    static const uint8_t zeros[MIB];
    struct ram_disk *disk;
    uint64_t size = 0;
    assert_int_equal(ram_disk_open(&disk), RC_OK);
    const struct storage storage = ram_disk_storage(disk);
    struct storage_file *file = create(&storage, "segment");
    mem_fault_set(0, 0);
    for (uint64_t at = 0; at < 64 * MIB; at += MIB) {
        assert_int_equal(storage.ops->write(storage.ctx, file, bytes_of(zeros, sizeof(zeros)), at),
                         RC_OK);
    }
    assert_true(mem_fault_count() <= 64); /* the table of pages grew, no page was made */
    assert_int_equal(storage.ops->size(storage.ctx, file, &size), RC_OK);
    assert_int_equal(size, 64 * MIB);
    assert_int_equal(storage.ops->write(storage.ctx, file, BYTES_LITERAL("x"), 40 * MIB), RC_OK);
    uint8_t got[3];
    size_t count = 0;
    assert_int_equal(storage.ops->read(storage.ctx, file, got, 3, 40 * MIB - 1, &count), RC_OK);
    assert_int_equal(count, 3);
    assert_memory_equal(got, "\0x\0", 3);
    storage.ops->close(storage.ctx, file);
    ram_disk_close(disk);
}

/* The k-th allocation fails, for every k: a name, a page or a table; what was there stays. */
static void every_failing_allocation_has_a_name_and_harms_nothing(void **state)
{
    (void)state;
    static uint8_t bytes[3 * PAGE];
    uint64_t refused = 0;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(1 + i % 255);
    }
    for (uint64_t k = 1;; k++) {
        struct ram_disk *disk;
        struct storage_file *other = NULL;
        char got[8] = "";
        size_t count = 0;
        uint64_t size = 99;
        assert_int_equal(ram_disk_open(&disk), RC_OK);
        const struct storage storage = ram_disk_storage(disk);
        struct storage_file *file = create(&storage, "a");
        assert_int_equal(storage.ops->write(storage.ctx, file, BYTES_LITERAL("kept"), 0), RC_OK);
        mem_fault_set(k, 0);
        const enum rc made = storage.ops->open(storage.ctx, "b", STORAGE_CREATE, &other);
        const enum rc wrote =
            storage.ops->write(storage.ctx, file, bytes_of(bytes, sizeof(bytes)), PAGE / 2);
        const enum rc renamed = storage.ops->rename(storage.ctx, "a", "c");
        mem_fault_set(0, 0);
        assert_true(made == RC_OK || made == RC_NOMEM);
        assert_true(wrote == RC_OK || wrote == RC_NOSPACE);
        assert_true(renamed == RC_OK || renamed == RC_NOMEM);
        assert_int_equal(storage.ops->read(storage.ctx, file, got, 4, 0, &count), RC_OK);
        assert_string_equal(got, "kept");
        assert_int_equal(storage.ops->size(storage.ctx, file, &size), RC_OK);
        assert_int_equal(size, wrote == RC_OK ? PAGE / 2 + sizeof(bytes) : 4);
        assert_int_equal(storage.ops->remove(storage.ctx, "b"),
                         made == RC_OK ? RC_OK : RC_NOT_FOUND);
        assert_int_equal(storage.ops->remove(storage.ctx, renamed == RC_OK ? "c" : "a"), RC_OK);
        storage.ops->close(storage.ctx, file);
        storage.ops->close(storage.ctx, other);
        ram_disk_close(disk);
        const bool all = made == RC_OK && wrote == RC_OK && renamed == RC_OK;
        refused += all ? 0 : 1;
        if (all) {
            break;
        }
    }
    assert_true(refused >= 6);
}

/* A write that found no room may have written a part; what is behind the end still reads as zeros
 * when the file grows over it. */
static void a_failed_write_leaves_only_zeros_behind_the_end(void **state)
{
    (void)state;
    static uint8_t bytes[2 * PAGE];
    static uint8_t got[2 * PAGE];
    (void)memset(bytes, 'x', sizeof(bytes));
    for (uint64_t k = 1; k <= 3; k++) {
        struct ram_disk *disk;
        size_t count = 0;
        assert_int_equal(ram_disk_open(&disk), RC_OK);
        const struct storage storage = ram_disk_storage(disk);
        struct storage_file *file = create(&storage, "a");
        mem_fault_set(k, 0); /* the table, the first page, the second page */
        const enum rc rc = storage.ops->write(storage.ctx, file, bytes_of(bytes, 2 * PAGE), 0);
        mem_fault_set(0, 0);
        assert_int_equal(rc, RC_NOSPACE);
        assert_int_equal(storage.ops->truncate(storage.ctx, file, 2 * PAGE), RC_OK);
        assert_int_equal(storage.ops->read(storage.ctx, file, got, 2 * PAGE, 0, &count), RC_OK);
        assert_int_equal(count, 2 * PAGE);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(got[i], 0);
        }
        storage.ops->close(storage.ctx, file);
        ram_disk_close(disk);
    }
}

struct writer {
    const struct storage *storage;
    const char *name;
    unsigned failures;
};

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    const struct storage *storage = writer->storage;
    struct storage_file *file;
    if (storage->ops->open(storage->ctx, writer->name, STORAGE_CREATE, &file) != RC_OK) {
        writer->failures = 1;
        return NULL;
    }
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t got = 0;
        size_t count = 0;
        const enum rc wrote =
            storage->ops->write(storage->ctx, file, bytes_of(&i, sizeof(i)), i * 997);
        const enum rc read =
            storage->ops->read(storage->ctx, file, &got, sizeof(got), i * 997, &count);
        writer->failures += wrote == RC_OK && read == RC_OK && got == i ? 0 : 1;
    }
    storage->ops->close(storage->ctx, file);
    return NULL;
}

static void threads_may_use_it_at_once(void **state)
{
    (void)state;
    struct ram_disk *disk;
    pthread_t threads[2];
    assert_int_equal(ram_disk_open(&disk), RC_OK);
    const struct storage storage = ram_disk_storage(disk);
    struct writer writers[2] = {{&storage, "a", 0}, {&storage, "b", 0}};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, writer_main, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(writers[i].failures, 0);
    }
    ram_disk_close(disk);
}

static void join(void *ctx, const char *entry)
{
    assert_int_equal(buf_append(ctx, bytes_of_text(entry)), RC_OK);
    assert_int_equal(buf_append(ctx, BYTES_LITERAL(" ")), RC_OK);
}

static void what_a_disk_must_offer_besides_is_there(void **state)
{
    (void)state;
    struct ram_disk *disk;
    uint64_t bytes = 0;
    assert_int_equal(ram_disk_open(&disk), RC_OK);
    const struct storage storage = ram_disk_storage(disk);
    struct storage_file *file = create(&storage, "p0/a");
    assert_int_equal(storage.ops->sync_data(storage.ctx, file), RC_OK);
    assert_int_equal(storage.ops->make_dir(storage.ctx, "p0"), RC_OK);
    assert_int_equal(storage.ops->make_dir(storage.ctx, "p0"), RC_OK);
    assert_int_equal(storage.ops->sync_dir(storage.ctx, "p0"), RC_OK);
    assert_int_equal(storage.ops->free_bytes(storage.ctx, &bytes), RC_OK);
    assert_true(bytes > 0);
    storage.ops->close(storage.ctx, file);
    storage.ops->close(storage.ctx, NULL);
    ram_disk_close(disk);
    ram_disk_close(NULL);
}

static void a_folder_lists_what_is_in_it_and_the_root_everything(void **state)
{
    (void)state;
    static const char *const files[] = {"p00/a", "p0/b", "p0", "q", "p0/c"};
    struct ram_disk *disk;
    assert_int_equal(ram_disk_open(&disk), RC_OK);
    const struct storage storage = ram_disk_storage(disk);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        storage.ops->close(storage.ctx, create(&storage, files[i]));
    }
    struct buf all = {0};
    struct buf some = {0};
    assert_int_equal(storage.ops->list(storage.ctx, "", join, &all), RC_OK);
    assert_true(bytes_equal(buf_bytes(&all), BYTES_LITERAL("p00/a p0/b p0 q p0/c ")));
    assert_int_equal(storage.ops->list(storage.ctx, "p0", join, &some), RC_OK);
    assert_true(bytes_equal(buf_bytes(&some), BYTES_LITERAL("b c ")));
    buf_deinit(&all);
    buf_deinit(&some);
    ram_disk_close(disk);
}

static void what_the_system_does_not_give_is_told(void **state)
{
    (void)state;
    struct ram_disk *disk = NULL;
    const int64_t blocks = failing_blocks();
    failing_set(FAILING_mem_calloc, 1, 1, ENOMEM);
    assert_int_equal(ram_disk_open(&disk), RC_NOMEM);
    failing_set(FAILING_pthread_mutex_init, 1, 1, ENOMEM);
    assert_int_equal(ram_disk_open(&disk), RC_NOMEM);
    assert_null(disk);
    assert_int_equal(failing_blocks(), blocks);
    assert_int_equal(ram_disk_open(&disk), RC_OK);
    const struct storage storage = ram_disk_storage(disk);
    /* Where nobody knows how much is free, it is nothing. */
    for (uint64_t nth = 1; nth <= 2; nth++) {
        uint64_t bytes = 77;
        failing_set(FAILING_sysconf, nth, 1, EINVAL);
        assert_int_equal(storage.ops->free_bytes(storage.ctx, &bytes), RC_OK);
        assert_int_equal(bytes, 0);
    }
    failing_clear();
    ram_disk_close(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_plain_arrays_over_random_histories),
        cmocka_unit_test(zeros_written_ahead_cost_no_memory),
        cmocka_unit_test(every_failing_allocation_has_a_name_and_harms_nothing),
        cmocka_unit_test(a_failed_write_leaves_only_zeros_behind_the_end),
        cmocka_unit_test(threads_may_use_it_at_once),
        cmocka_unit_test(what_a_disk_must_offer_besides_is_there),
        cmocka_unit_test(a_folder_lists_what_is_in_it_and_the_root_everything),
        cmocka_unit_test(what_the_system_does_not_give_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
