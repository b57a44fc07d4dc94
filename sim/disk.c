#include "sim/disk.h"

#include "sim/trace.h"

#include <stdlib.h>

#define FILES_MAX 512u

static struct {
    struct sim_disk *inner;
    struct storage storage; /* of `inner` */
    struct storage_file *files[FILES_MAX];
    unsigned file_count;
    struct plan faults;
    uint64_t time_taken;
    bool failed;
    uint64_t done;
} disk;

void disk_begin(uint64_t seed)
{
    disk.inner = sim_disk_open(seed);
    disk.storage = sim_disk_storage(disk.inner);
    disk.file_count = 0;
    disk.faults = (struct plan){0};
    disk.time_taken = 0;
    disk.failed = false;
    disk.done = 0;
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

void disk_faults(const struct plan *plan)
{
    disk.faults = plan == NULL ? (struct plan){0} : *plan;
    if (plan == NULL) {
        sim_disk_budget(disk.inner, UINT64_MAX);
        sim_disk_die_at(disk.inner, 0);
    }
}

void disk_power_cycle(enum sim_loss loss)
{
    close_all();
    for (unsigned kind = 0; kind < SIM_CALL_COUNT; kind++) {
        /* One that was to fail when the machine died has not been called. */
        sim_disk_fail(disk.inner, (enum sim_call)kind, 0, false, RC_OK);
    }
    sim_disk_restart(disk.inner, loss);
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

uint64_t disk_faults_done(void)
{
    return disk.done;
}

/* ---- the storage that the server sees -------------------------------------------------------- */

static unsigned rate_of(enum sim_call kind)
{
    switch (kind) {
    case SIM_OPEN: return disk.faults.disk_open;
    case SIM_READ: return disk.faults.disk_read;
    case SIM_WRITE: return disk.faults.disk_write;
    case SIM_SYNC_DATA: return disk.faults.disk_sync;
    case SIM_TRUNCATE:
    case SIM_RENAME:
    case SIM_REMOVE:
    case SIM_MAKE_DIR:
    case SIM_SYNC_DIR:
    case SIM_LIST: return disk.faults.disk_other;
    case SIM_CALL_COUNT: break;
    }
    UNREACHABLE();
}

/* Before each call: maybe this one fails. */
static void before(enum sim_call kind, const char *what)
{
    const unsigned rate = rate_of(kind);
    if (rate > 0 && sim_below(100000) < rate) {
        const enum rc rc = kind == SIM_WRITE && sim_chance(30) ? RC_NOSPACE : RC_IO;
        trace("fault: %s fails with %s", what, rc_text(rc));
        sim_disk_fail(disk.inner, kind, 1, false, rc);
        disk.failed = true;
        disk.done++;
    }
    if (disk.faults.disk_slow_us > 0 && sim_chance(30)) {
        disk.time_taken += sim_below(disk.faults.disk_slow_us + 1);
    }
}

static enum rc on_open(void *ctx, const char *name, enum storage_open_mode mode,
                       struct storage_file **ret_file)
{
    (void)ctx;
    before(SIM_OPEN, "open");
    const enum rc rc = disk.storage.ops->open(disk.storage.ctx, name, mode, ret_file);
    if (rc == RC_OK) {
        ASSERT(disk.file_count < FILES_MAX);
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
    before(SIM_READ, "read");
    return disk.storage.ops->read(disk.storage.ctx, file, to, size, at, ret_size);
}

static enum rc on_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    (void)ctx;
    before(SIM_WRITE, "write");
    return disk.storage.ops->write(disk.storage.ctx, file, bytes, at);
}

static enum rc on_sync_data(void *ctx, struct storage_file *file)
{
    (void)ctx;
    before(SIM_SYNC_DATA, "sync");
    return disk.storage.ops->sync_data(disk.storage.ctx, file);
}

static enum rc on_truncate(void *ctx, struct storage_file *file, uint64_t size)
{
    (void)ctx;
    before(SIM_TRUNCATE, "truncate");
    return disk.storage.ops->truncate(disk.storage.ctx, file, size);
}

static enum rc on_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    before(SIM_RENAME, "rename");
    return disk.storage.ops->rename(disk.storage.ctx, from, to);
}

static enum rc on_remove(void *ctx, const char *name)
{
    (void)ctx;
    before(SIM_REMOVE, "remove");
    return disk.storage.ops->remove(disk.storage.ctx, name);
}

static enum rc on_make_dir(void *ctx, const char *name)
{
    (void)ctx;
    before(SIM_MAKE_DIR, "make_dir");
    return disk.storage.ops->make_dir(disk.storage.ctx, name);
}

static enum rc on_sync_dir(void *ctx, const char *name)
{
    (void)ctx;
    before(SIM_SYNC_DIR, "sync_dir");
    return disk.storage.ops->sync_dir(disk.storage.ctx, name);
}

static enum rc on_list(void *ctx, const char *name, void (*each)(void *each_ctx, const char *entry),
                       void *each_ctx)
{
    (void)ctx;
    before(SIM_LIST, "list");
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
    };
    return (struct storage){.ops = &ops, .ctx = NULL};
}
