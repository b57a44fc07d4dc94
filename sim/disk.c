#include "sim/disk.h"

#include "sim/rot.h"
#include "sim/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 512u

static struct {
    struct sim_disk *inner;
    struct storage storage; /* of `inner` */
    struct storage_file *files[FILES_MAX];
    char names[FILES_MAX][48]; /* of them */
    unsigned file_count;
    uint64_t slow_us;
    uint64_t time_taken;
    bool failed;
    bool no_sync; /* until the machine is started anew */
    bool errors;  /* many calls fail now */
    struct sim_disk_losses told;
} disk;

void disk_begin(uint64_t seed, uint64_t slow_us)
{
    disk.inner = sim_disk_open(seed);
    disk.storage = sim_disk_storage(disk.inner);
    disk.file_count = 0;
    disk.slow_us = slow_us;
    disk.time_taken = 0;
    disk.failed = false;
    disk.no_sync = false;
    disk.errors = false;
    disk.told = (struct sim_disk_losses){0};
}

void disk_no_space(void)
{
    sim_disk_fail(disk.inner, SIM_WRITE, 1, false, RC_NOSPACE);
    disk.failed = true;
}

void disk_errors(bool on)
{
    disk.errors = on;
}

static void close_all(void)
{
    while (disk.file_count > 0) {
        disk.storage.ops->close(disk.storage.ctx, disk.files[--disk.file_count]);
    }
}

void disk_end(void)
{
    close_all();
    sim_disk_close(disk.inner);
    disk.inner = NULL;
}

static void no_faults(void)
{
    for (unsigned kind = 0; kind < SIM_CALL_COUNT; kind++) {
        /* One that was to fail when the machine died has not been called. */
        sim_disk_fail(disk.inner, (enum sim_call)kind, 0, false, RC_OK);
    }
    disk.no_sync = false;
}

void disk_calm(void)
{
    no_faults();
    disk.errors = false;
    disk.time_taken = 0;
    sim_disk_budget(disk.inner, UINT64_MAX);
    sim_disk_die_at(disk.inner, 0);
}

/* What the cut has cost since the last time this was told. */
static void tell_losses(void)
{
    const struct sim_disk_losses *now = sim_disk_losses(disk.inner);
    const struct sim_disk_losses *told = &disk.told;
    fault_add(FAULT_SECTOR_LOST, now->sectors_lost - told->sectors_lost);
    fault_add(FAULT_SECTOR_TORN, now->sectors_torn - told->sectors_torn);
    fault_add(FAULT_SECTOR_AHEAD, now->sectors_ahead - told->sectors_ahead);
    fault_add(FAULT_SIZE_LOST, now->sizes_lost - told->sizes_lost);
    fault_add(FAULT_ZERO_TAIL, now->zero_tails - told->zero_tails);
    fault_add(FAULT_NAME_LOST, now->names_lost - told->names_lost);
    fault_add(FAULT_RENAME_LOST, now->renames_lost - told->renames_lost);
    fault_add(FAULT_REMOVE_LOST, now->removals_lost - told->removals_lost);
    disk.told = *now;
}

void disk_power_cycle(enum sim_loss loss)
{
    close_all();
    no_faults();
    sim_disk_restart(disk.inner, loss);
    tell_losses();
}

struct sim_disk *disk_inner(void)
{
    return disk.inner;
}

uint64_t disk_time_taken(void)
{
    const uint64_t taken = disk.time_taken;
    disk.time_taken = 0;
    return taken;
}

bool disk_has_failed(void)
{
    const bool failed = disk.failed;
    disk.failed = false;
    return failed;
}

/* ---- the storage that the server sees -------------------------------------------------------- */

/* The k-th call of a kind from now on fails: the next. */
static void fail(enum sim_call call, enum fault_kind kind, bool forever, enum rc rc)
{
    fault_did(kind);
    sim_disk_fail(disk.inner, call, 1, forever, rc);
    disk.failed = true;
}

/* By its own rate; or, as long as the disk has errors, often. A failed sync is the end of a run, so
 * it comes less often. */
static bool is_due(enum sim_call call, enum fault_kind kind)
{
    const bool sync = call == SIM_SYNC_DATA || call == SIM_SYNC_DIR;
    return fault_is_due(kind) || (disk.errors && sim_chance(sync ? 20 : 30));
}

static void maybe(enum sim_call call, enum fault_kind kind, enum rc rc)
{
    if (is_due(call, kind)) {
        fail(call, kind, false, rc);
    }
}

static void maybe_sync(void)
{
    const bool keeps = fault_is_due(FAULT_SYNC_LIES_FAILED);
    sim_disk_sync_keeps(disk.inner, keeps);
    if (keeps) {
        fail(SIM_SYNC_DATA, FAULT_SYNC_LIES_FAILED, false, RC_IO);
    } else if (!disk.no_sync && fault_is_due(FAULT_SYNC_FAILS_EVER)) {
        fail(SIM_SYNC_DATA, FAULT_SYNC_FAILS_EVER, true, RC_IO);
        disk.no_sync = true;
    } else if (!disk.no_sync) {
        maybe(SIM_SYNC_DATA, FAULT_SYNC_FAILS, RC_IO);
    }
    disk.failed = disk.failed || disk.no_sync;
}

static void maybe_write(void)
{
    if (is_due(SIM_WRITE, FAULT_WRITE_NO_SPACE)) {
        fail(SIM_WRITE, FAULT_WRITE_NO_SPACE, false, RC_NOSPACE);
    } else {
        maybe(SIM_WRITE, FAULT_WRITE_FAILS, RC_IO);
    }
}

/* Before each call: maybe this one fails, or takes its time. */
static void before(enum sim_call call)
{
    switch (call) {
    case SIM_OPEN: maybe(call, FAULT_OPEN_FAILS, RC_IO); break;
    case SIM_READ: maybe(call, FAULT_READ_FAILS, RC_IO); break;
    case SIM_WRITE: maybe_write(); break;
    case SIM_SYNC_DATA: maybe_sync(); break;
    case SIM_TRUNCATE: break; /* the log never does */
    case SIM_RENAME: maybe(call, FAULT_RENAME_FAILS, RC_IO); break;
    case SIM_REMOVE: maybe(call, FAULT_REMOVE_FAILS, RC_IO); break;
    case SIM_MAKE_DIR: maybe(call, FAULT_MAKE_DIR_FAILS, RC_IO); break;
    case SIM_SYNC_DIR: maybe(call, FAULT_SYNC_DIR_FAILS, RC_IO); break;
    case SIM_LIST: maybe(call, FAULT_LIST_FAILS, RC_IO); break;
    case SIM_CALL_COUNT: UNREACHABLE();
    }
    if (fault_happens(FAULT_DISK_SLOW)) {
        disk.time_taken += sim_below(disk.slow_us + 1);
    }
    if (fault_happens(FAULT_DISK_HANGS)) {
        disk.time_taken += sim_between(1000000, 15000000);
    }
}

/* A segment gets its name: the machine may die before it is whole. */
static void maybe_die(const char *name)
{
    const size_t size = strlen(name);
    if (size > 4 && strcmp(name + size - 4, ".seg") == 0 && fault_happens(FAULT_DIE_ROLLING)) {
        sim_disk_die_at(disk.inner, sim_between(1, 7));
    }
}

static enum rc on_open(void *ctx, const char *name, enum storage_open_mode mode,
                       struct storage_file **ret_file)
{
    (void)ctx;
    before(SIM_OPEN);
    if (mode == STORAGE_CREATE) {
        maybe_die(name);
    }
    const enum rc rc = disk.storage.ops->open(disk.storage.ctx, name, mode, ret_file);
    if (rc == RC_OK) {
        ASSERT(disk.file_count < FILES_MAX);
        (void)snprintf(disk.names[disk.file_count], sizeof(disk.names[0]), "%.47s", name);
        disk.files[disk.file_count++] = *ret_file;
    }
    return rc;
}

static void on_close(void *ctx, struct storage_file *file)
{
    (void)ctx;
    for (unsigned i = 0; file != NULL && i < disk.file_count; i++) {
        if (disk.files[i] == file) {
            disk.files[i] = disk.files[--disk.file_count];
            bytes_copy(disk.names[i], disk.names[disk.file_count], sizeof(disk.names[0]));
            break;
        }
    }
    disk.storage.ops->close(disk.storage.ctx, file);
}

static enum rc on_size(void *ctx, struct storage_file *file, uint64_t *ret_size)
{
    (void)ctx;
    return disk.storage.ops->size(disk.storage.ctx, file, ret_size);
}

static enum rc on_read(void *ctx, struct storage_file *file, void *to, size_t size, uint64_t at,
                       size_t *ret_size)
{
    (void)ctx;
    before(SIM_READ);
    const enum rc rc = disk.storage.ops->read(disk.storage.ctx, file, to, size, at, ret_size);
    for (unsigned i = 0; rc == RC_OK && fault_enabled(FAULT_READ_STALE) && i < disk.file_count;
         i++) {
        if (disk.files[i] == file) {
            rot_read(disk.names[i], to, *ret_size, at);
        }
    }
    return rc;
}

static enum rc on_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    (void)ctx;
    before(SIM_WRITE);
    return disk.storage.ops->write(disk.storage.ctx, file, bytes, at);
}

static enum rc on_sync_data(void *ctx, struct storage_file *file)
{
    (void)ctx;
    before(SIM_SYNC_DATA);
    return disk.storage.ops->sync_data(disk.storage.ctx, file);
}

static enum rc on_truncate(void *ctx, struct storage_file *file, uint64_t size)
{
    (void)ctx;
    before(SIM_TRUNCATE);
    return disk.storage.ops->truncate(disk.storage.ctx, file, size);
}

static enum rc on_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    before(SIM_RENAME);
    maybe_die(to);
    return disk.storage.ops->rename(disk.storage.ctx, from, to);
}

static enum rc on_remove(void *ctx, const char *name)
{
    (void)ctx;
    before(SIM_REMOVE);
    return disk.storage.ops->remove(disk.storage.ctx, name);
}

static enum rc on_make_dir(void *ctx, const char *name)
{
    (void)ctx;
    before(SIM_MAKE_DIR);
    return disk.storage.ops->make_dir(disk.storage.ctx, name);
}

static enum rc on_sync_dir(void *ctx, const char *name)
{
    (void)ctx;
    before(SIM_SYNC_DIR);
    return disk.storage.ops->sync_dir(disk.storage.ctx, name);
}

static enum rc on_list(void *ctx, const char *name, void (*each)(void *each_ctx, const char *entry),
                       void *each_ctx)
{
    (void)ctx;
    before(SIM_LIST);
    return disk.storage.ops->list(disk.storage.ctx, name, each, each_ctx);
}

static enum rc on_free_bytes(void *ctx, uint64_t *ret_bytes)
{
    (void)ctx;
    return disk.storage.ops->free_bytes(disk.storage.ctx, ret_bytes);
}

struct storage disk_storage_sim(void)
{
    static const struct storage_ops ops = {
        .open = on_open,
        .close = on_close,
        .size = on_size,
        .read = on_read,
        .write = on_write,
        .sync_data = on_sync_data,
        .truncate = on_truncate,
        .rename = on_rename,
        .remove = on_remove,
        .make_dir = on_make_dir,
        .sync_dir = on_sync_dir,
        .list = on_list,
        .free_bytes = on_free_bytes,
        .keeps_space = true,
    };
    return (struct storage){.ops = &ops, .ctx = NULL};
}
