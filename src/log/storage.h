/* A disk, as a thing that is passed in: real (io/disk) or simulated (tests, simulator).
 *
 * Names are relative paths with '/' ("p003/00000000000000000001.log"); none comes from a client.
 * Every call blocks until done. Durability is explicit: what was written is on disk after
 * sync_data() on its file; a created, renamed or removed name is after sync_dir() on its folder.
 *
 * After sync_data() has failed once, the state of that file's unsynced bytes is unknown for ever:
 * the caller must not call it again as if nothing had happened (design.md, "One history").
 *
 * Thread: as the implementation says; io/disk may be called from any thread, one thread per file
 * for writes.  Memory: file_close() frees. */
#ifndef LOG_STORAGE_H
#define LOG_STORAGE_H

#include "base/bytes.h"
#include "base/rc.h"

struct storage_file; /* opaque to all but the implementation */

enum storage_open_mode {
    STORAGE_READ,   /* must exist */
    STORAGE_WRITE,  /* read and write; must exist */
    STORAGE_CREATE, /* read and write; must not exist */
};

struct storage_ops {
    /* RC_NOT_FOUND, RC_EXISTS, RC_NOSPACE, RC_IO, RC_DENIED, RC_NOMEM */
    enum rc (*open)(void *ctx, const char *name, enum storage_open_mode mode,
                    struct storage_file **ret_file);
    void (*close)(void *ctx, struct storage_file *file); /* NULL is allowed */
    enum rc (*size)(void *ctx, struct storage_file *file, uint64_t *ret_size);
    /* Reads up to `size` bytes; fewer only at the end of the file. */
    enum rc (*read)(void *ctx, struct storage_file *file, void *to, size_t size, uint64_t at,
                    size_t *ret_size);
    /* Writes all bytes or fails (RC_NOSPACE, RC_IO); after a failure any part may be written. */
    enum rc (*write)(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at);
    enum rc (*sync_data)(void *ctx, struct storage_file *file);
    enum rc (*truncate)(void *ctx, struct storage_file *file, uint64_t size);
    enum rc (*rename)(void *ctx, const char *from, const char *to); /* replaces `to` */
    enum rc (*remove)(void *ctx, const char *name);                 /* RC_NOT_FOUND */
    enum rc (*make_dir)(void *ctx, const char *name);               /* existing is RC_OK */
    enum rc (*sync_dir)(void *ctx, const char *name);               /* "" is the root */
    /* Calls `each` with every name in the folder ("" is the root), without '.' and '..', in any
     * order. */
    enum rc (*list)(void *ctx, const char *name, void (*each)(void *each_ctx, const char *entry),
                    void *each_ctx);
    /* Bytes that can still be written on this file system. */
    enum rc (*free_bytes)(void *ctx, uint64_t *ret_bytes);
    /* What is written has its space: writing over it needs no more. */
    bool keeps_space;
};

struct storage {
    const struct storage_ops *ops;
    void *ctx;
};

#endif
