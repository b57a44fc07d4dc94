#include "unit/log/flaky.h"

static bool fails(struct flaky *flaky)
{
    flaky->count++;
    if (flaky->count == flaky->fail_at) {
        flaky->hit = true;
        return true;
    }
    return false;
}

static bool lies(struct flaky *flaky)
{
    flaky->change_count++;
    return flaky->change_count == flaky->lie_at;
}

static enum rc flaky_open(void *ctx, const char *name, enum storage_open_mode mode,
                          struct storage_file **ret_file)
{
    struct flaky *f = ctx;
    return fails(f) ? f->rc : f->inner.ops->open(f->inner.ctx, name, mode, ret_file);
}

static void flaky_close(void *ctx, struct storage_file *file)
{
    struct flaky *f = ctx;
    f->inner.ops->close(f->inner.ctx, file);
}

static enum rc flaky_size(void *ctx, struct storage_file *file, uint64_t *ret_size)
{
    struct flaky *f = ctx;
    if (fails(f)) {
        return f->rc;
    }
    f->size_count++;
    if (f->size_count == f->huge_at || (f->huge_forever && f->size_count > f->huge_at)) {
        *ret_size = UINT64_C(1) << 32;
        return RC_OK;
    }
    return f->inner.ops->size(f->inner.ctx, file, ret_size);
}

static enum rc flaky_read(void *ctx, struct storage_file *file, void *to, size_t size, uint64_t at,
                          size_t *ret_size)
{
    struct flaky *f = ctx;
    if (fails(f)) {
        return f->rc;
    }
    f->read_count++;
    if (f->read_count == f->short_at) {
        f->hit = true;
        size = size / 64;
    }
    return f->inner.ops->read(f->inner.ctx, file, to, size, at, ret_size);
}

static enum rc flaky_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    struct flaky *f = ctx;
    if (lies(f)) {
        return RC_OK;
    }
    return fails(f) ? f->rc : f->inner.ops->write(f->inner.ctx, file, bytes, at);
}

static enum rc flaky_sync_data(void *ctx, struct storage_file *file)
{
    struct flaky *f = ctx;
    return fails(f) ? f->rc : f->inner.ops->sync_data(f->inner.ctx, file);
}

static enum rc flaky_truncate(void *ctx, struct storage_file *file, uint64_t size)
{
    struct flaky *f = ctx;
    return fails(f) ? f->rc : f->inner.ops->truncate(f->inner.ctx, file, size);
}

static enum rc flaky_rename(void *ctx, const char *from, const char *to)
{
    struct flaky *f = ctx;
    if (lies(f)) {
        return RC_OK;
    }
    return fails(f) ? f->rc : f->inner.ops->rename(f->inner.ctx, from, to);
}

static enum rc flaky_remove(void *ctx, const char *name)
{
    struct flaky *f = ctx;
    if (lies(f)) {
        return RC_OK;
    }
    return fails(f) ? f->rc : f->inner.ops->remove(f->inner.ctx, name);
}

static enum rc flaky_make_dir(void *ctx, const char *name)
{
    struct flaky *f = ctx;
    return fails(f) ? f->rc : f->inner.ops->make_dir(f->inner.ctx, name);
}

static enum rc flaky_sync_dir(void *ctx, const char *name)
{
    struct flaky *f = ctx;
    return fails(f) ? f->rc : f->inner.ops->sync_dir(f->inner.ctx, name);
}

static enum rc flaky_list(void *ctx, const char *name,
                          void (*each)(void *each_ctx, const char *entry), void *each_ctx)
{
    struct flaky *f = ctx;
    return fails(f) ? f->rc : f->inner.ops->list(f->inner.ctx, name, each, each_ctx);
}

static enum rc flaky_free_bytes(void *ctx, uint64_t *ret_bytes)
{
    struct flaky *f = ctx;
    return fails(f) ? f->rc : f->inner.ops->free_bytes(f->inner.ctx, ret_bytes);
}

struct storage flaky_storage(struct flaky *flaky)
{
    static const struct storage_ops ops = {
        .open = flaky_open,
        .close = flaky_close,
        .size = flaky_size,
        .read = flaky_read,
        .write = flaky_write,
        .sync_data = flaky_sync_data,
        .truncate = flaky_truncate,
        .rename = flaky_rename,
        .remove = flaky_remove,
        .make_dir = flaky_make_dir,
        .sync_dir = flaky_sync_dir,
        .list = flaky_list,
        .free_bytes = flaky_free_bytes,
        .keeps_space = true,
    };
    return (struct storage){.ops = &ops, .ctx = flaky};
}
