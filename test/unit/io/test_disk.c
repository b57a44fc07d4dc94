/* The real storage, in a folder of its own under TMPDIR.
 *
 * Goal: each operation does what log/storage.h promises, refusals included; what is opened is never
 * somebody else's file. The log over it is compared with the log over the simulated disk elsewhere.
 */
#include "io/disk.h"

#include "lib/failing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char root[256];
    struct disk *disk;
    struct storage storage;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    const char *folder = getenv("TMPDIR");
    (void)snprintf(f->root, sizeof(f->root), "%s/seriatim-disk-XXXXXX",
                   folder == NULL ? "." : folder);
    assert_non_null(mkdtemp(f->root));
    assert_int_equal(disk_open(f->root, &f->disk, NULL), RC_OK);
    f->storage = disk_storage(f->disk);
    *state = f;
    return 0;
}

static void remove_entry(void *ctx, const char *entry)
{
    const struct fixture *f = ctx;
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", f->root, entry);
    (void)unlink(path);
    (void)rmdir(path);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    const enum rc rc = f->storage.ops->list(f->storage.ctx, "", remove_entry, f);
    assert_int_equal(rc, RC_OK);
    disk_close(f->disk);
    assert_int_equal(rmdir(f->root), 0);
    free(f);
    return 0;
}

static struct storage_file *must_open(struct fixture *f, const char *name,
                                      enum storage_open_mode mode)
{
    struct storage_file *file = NULL;
    assert_int_equal(f->storage.ops->open(f->storage.ctx, name, mode, &file), RC_OK);
    return file;
}

static void path_of(const struct fixture *f, const char *name, char to[512])
{
    (void)snprintf(to, 512, "%s/%s", f->root, name);
}

static void what_is_written_is_read(void **state)
{
    struct fixture *f = *state;
    const struct storage_ops *ops = f->storage.ops;
    struct storage_file *file = must_open(f, "a", STORAGE_CREATE);
    assert_int_equal(ops->write(f->disk, file, BYTES_LITERAL("hello"), 10), RC_OK);
    uint64_t size = 0;
    assert_int_equal(ops->size(f->disk, file, &size), RC_OK);
    assert_int_equal(size, 15);
    uint8_t bytes[32];
    size_t got = 0;
    assert_int_equal(ops->read(f->disk, file, bytes, sizeof(bytes), 8, &got), RC_OK);
    assert_int_equal(got, 7); /* fewer only at the end */
    assert_memory_equal(bytes, "\0\0hello", 7);
    assert_int_equal(ops->read(f->disk, file, bytes, sizeof(bytes), 100, &got), RC_OK);
    assert_int_equal(got, 0);
    assert_int_equal(ops->sync_data(f->disk, file), RC_OK);
    assert_int_equal(ops->truncate(f->disk, file, 12), RC_OK);
    assert_int_equal(ops->size(f->disk, file, &size), RC_OK);
    assert_int_equal(size, 12);
    ops->close(f->disk, file);
    ops->close(f->disk, NULL);
}

static void open_modes_say_what_must_be_there(void **state)
{
    struct fixture *f = *state;
    const struct storage_ops *ops = f->storage.ops;
    struct storage_file *file = NULL;
    assert_int_equal(ops->open(f->disk, "a", STORAGE_READ, &file), RC_NOT_FOUND);
    assert_int_equal(ops->open(f->disk, "a", STORAGE_WRITE, &file), RC_NOT_FOUND);
    assert_int_equal(ops->open(f->disk, "no/a", STORAGE_CREATE, &file), RC_NOT_FOUND);
    ops->close(f->disk, must_open(f, "a", STORAGE_CREATE));
    assert_int_equal(ops->open(f->disk, "a", STORAGE_CREATE, &file), RC_EXISTS);
    ops->close(f->disk, must_open(f, "a", STORAGE_WRITE));
    struct storage_file *reader = must_open(f, "a", STORAGE_READ);
    assert_int_not_equal(ops->write(f->disk, reader, BYTES_LITERAL("x"), 0), RC_OK);
    ops->close(f->disk, reader);
}

static void files_and_folders_are_the_owners_alone(void **state)
{
    struct fixture *f = *state;
    const mode_t mask = umask(0);
    f->storage.ops->close(f->disk, must_open(f, "a", STORAGE_CREATE));
    assert_int_equal(f->storage.ops->make_dir(f->disk, "d"), RC_OK);
    (void)umask(mask);
    char path[512];
    struct stat status;
    path_of(f, "a", path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    path_of(f, "d", path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
}

static void links_and_things_that_are_no_files_are_refused(void **state)
{
    struct fixture *f = *state;
    struct storage_file *file = NULL;
    char path[512];
    f->storage.ops->close(f->disk, must_open(f, "a", STORAGE_CREATE));
    path_of(f, "link", path);
    assert_int_equal(symlink("a", path), 0);
    assert_int_equal(f->storage.ops->open(f->disk, "link", STORAGE_WRITE, &file), RC_DENIED);
    assert_int_equal(f->storage.ops->open(f->disk, "link", STORAGE_CREATE, &file), RC_EXISTS);
    path_of(f, "fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(f->storage.ops->open(f->disk, "fifo", STORAGE_READ, &file), RC_DENIED);
    assert_int_equal(f->storage.ops->make_dir(f->disk, "a"), RC_EXISTS);
    path_of(f, "dirlink", path);
    assert_int_equal(symlink(".", path), 0);
    assert_int_equal(f->storage.ops->make_dir(f->disk, "dirlink"), RC_EXISTS);
    assert_int_not_equal(f->storage.ops->sync_dir(f->disk, "dirlink"), RC_OK);
}

static void ignore_entry(void *ctx, const char *entry)
{
    (void)ctx;
    (void)entry;
}

static void must_tell(struct fixture *f, enum rc rc, const char *text)
{
    struct disk_trouble trouble;
    disk_trouble_get(f->disk, &trouble);
    assert_string_equal(trouble.text, text);
    assert_int_equal(trouble.rc, rc);
}

static void what_fails_is_told_by_name(void **state)
{
    struct fixture *f = *state;
    const struct storage_ops *ops = f->storage.ops;
    struct storage_file *file = NULL;
    char path[512];
    must_tell(f, RC_OK, "");
    assert_int_equal(ops->open(f->disk, "none", STORAGE_READ, &file), RC_NOT_FOUND);
    must_tell(f, RC_OK, ""); /* an answer, no failure */
    path_of(f, "link", path);
    assert_int_equal(symlink("none", path), 0);
    assert_int_equal(ops->open(f->disk, "link", STORAGE_WRITE, &file), RC_DENIED);
    must_tell(f, RC_DENIED, "link: a symbolic link, which is not followed");
    assert_int_equal(ops->list(f->disk, "link", ignore_entry, NULL), RC_DENIED);
    must_tell(f, RC_DENIED, "link: a symbolic link, which is not followed");
    assert_int_equal(ops->make_dir(f->disk, "folder"), RC_OK);
    for (int mode = STORAGE_READ; mode <= STORAGE_WRITE; mode++) {
        assert_int_equal(ops->open(f->disk, "folder", (enum storage_open_mode)mode, &file),
                         RC_DENIED);
        must_tell(f, RC_DENIED, "folder: no regular file");
    }
    file = must_open(f, "a", STORAGE_CREATE);
    assert_int_equal(ops->list(f->disk, "a", ignore_entry, NULL), RC_DENIED);
    must_tell(f, RC_DENIED, "a: no folder");
    assert_int_equal(ops->make_dir(f->disk, "link"), RC_EXISTS);
    must_tell(f, RC_EXISTS, "link: a symbolic link, which is not followed");
    failing_set(FAILING_pwrite64, 1, 1, ENOSPC);
    assert_int_equal(ops->write(f->disk, file, bytes_of_text("x"), 0), RC_NOSPACE);
    must_tell(f, RC_NOSPACE, "a: no space left on the device");
    failing_set(FAILING_openat64, 1, 1, EROFS);
    assert_int_equal(disk_lock(f->disk), RC_DENIED);
    must_tell(f, RC_DENIED, "LOCK: the file system is read-only");
    failing_clear();
    ops->close(f->disk, file);
}

static void must_tell_root(const char *path, enum rc rc, const char *text)
{
    struct disk *disk = NULL;
    struct disk_trouble trouble;
    assert_int_equal(disk_open(path, &disk, &trouble), rc);
    assert_string_equal(trouble.text, text);
    assert_int_equal(trouble.rc, rc);
    disk_close(disk);
}

static void what_is_wrong_with_a_root_is_told(void **state)
{
    struct fixture *f = *state;
    char path[512];
    path_of(f, "no/such", path);
    must_tell_root(path, RC_NOT_FOUND, "the folder that it is to be made in is not there");
    path_of(f, "file", path);
    f->storage.ops->close(f->disk, must_open(f, "file", STORAGE_CREATE));
    must_tell_root(path, RC_NOT_FOUND, "no folder");
    path_of(f, "file/new", path);
    must_tell_root(path, RC_NOT_FOUND, "something in its path is no folder");
    path_of(f, "link", path);
    assert_int_equal(symlink("/no/such", path), 0);
    must_tell_root(path, RC_NOT_FOUND, "a symbolic link that leads nowhere");
    path_of(f, "new", path);
    failing_set(FAILING_mkdir, 1, 1, EROFS);
    must_tell_root(path, RC_DENIED, "it cannot be made: the file system is read-only");
    failing_clear();
    must_tell_root(path, RC_OK, "");
}

static void rename_replaces_and_remove_removes(void **state)
{
    struct fixture *f = *state;
    const struct storage_ops *ops = f->storage.ops;
    struct storage_file *file = must_open(f, "a", STORAGE_CREATE);
    assert_int_equal(ops->write(f->disk, file, BYTES_LITERAL("new"), 0), RC_OK);
    ops->close(f->disk, file);
    ops->close(f->disk, must_open(f, "b", STORAGE_CREATE));
    assert_int_equal(ops->rename(f->disk, "a", "b"), RC_OK);
    assert_int_equal(ops->rename(f->disk, "a", "b"), RC_NOT_FOUND);
    file = must_open(f, "b", STORAGE_READ);
    uint64_t size = 0;
    assert_int_equal(ops->size(f->disk, file, &size), RC_OK);
    assert_int_equal(size, 3);
    ops->close(f->disk, file);
    assert_int_equal(ops->remove(f->disk, "b"), RC_OK);
    assert_int_equal(ops->remove(f->disk, "b"), RC_NOT_FOUND);
}

static void count_entry(void *ctx, const char *entry)
{
    int *count = ctx;
    assert_int_not_equal(entry[0], '.');
    ++*count;
}

static void folders_are_made_listed_and_synced(void **state)
{
    struct fixture *f = *state;
    const struct storage_ops *ops = f->storage.ops;
    int count = 0;
    assert_int_equal(ops->list(f->disk, "d", count_entry, &count), RC_NOT_FOUND);
    assert_int_equal(ops->sync_dir(f->disk, "d"), RC_NOT_FOUND);
    assert_int_equal(ops->make_dir(f->disk, "d"), RC_OK);
    assert_int_equal(ops->make_dir(f->disk, "d"), RC_OK); /* existing is fine */
    ops->close(f->disk, must_open(f, "d/x", STORAGE_CREATE));
    ops->close(f->disk, must_open(f, "d/y", STORAGE_CREATE));
    assert_int_equal(ops->sync_dir(f->disk, "d"), RC_OK);
    assert_int_equal(ops->sync_dir(f->disk, ""), RC_OK);
    assert_int_equal(ops->list(f->disk, "d", count_entry, &count), RC_OK);
    assert_int_equal(count, 2);
    assert_int_equal(ops->remove(f->disk, "d/x"), RC_OK);
    assert_int_equal(ops->remove(f->disk, "d/y"), RC_OK);
    uint64_t bytes = 0;
    assert_int_equal(ops->free_bytes(f->disk, &bytes), RC_OK);
    assert_true(bytes > 0);
    assert_int_equal(disk_sync(f->disk), RC_OK);
}

static void one_folder_has_one_server(void **state)
{
    struct fixture *f = *state;
    struct disk *second = NULL;
    assert_int_equal(disk_lock(f->disk), RC_OK);
    assert_int_equal(disk_open(f->root, &second, NULL), RC_OK);
    assert_int_equal(disk_lock(second), RC_LOCKED);
    disk_close(second);

    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct disk *disk = NULL;
        const bool refused =
            disk_open(f->root, &disk, NULL) == RC_OK && disk_lock(disk) == RC_LOCKED;
        _exit(refused ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Somebody takes LOCK for a left-over. */
static void the_lock_holds_also_without_its_file(void **state)
{
    struct fixture *f = *state;
    struct disk *second;
    assert_int_equal(disk_lock(f->disk), RC_OK);
    const struct storage storage = disk_storage(f->disk);
    assert_int_equal(storage.ops->remove(storage.ctx, "LOCK"), RC_OK);
    assert_int_equal(disk_open(f->root, &second, NULL), RC_OK);
    assert_int_equal(disk_lock(second), RC_LOCKED);
    disk_close(second);
}

static void the_lock_ends_with_its_holder(void **state)
{
    struct fixture *f = *state;
    struct disk *first = NULL;
    assert_int_equal(disk_open(f->root, &first, NULL), RC_OK);
    assert_int_equal(disk_lock(first), RC_OK);
    disk_close(first);
    assert_int_equal(disk_lock(f->disk), RC_OK);
}

static void a_root_that_cannot_be_is_refused(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = NULL;
    char path[512];
    path_of(f, "no/such", path);
    assert_int_equal(disk_open(path, &disk, NULL), RC_NOT_FOUND);
    f->storage.ops->close(f->disk, must_open(f, "file", STORAGE_CREATE));
    path_of(f, "file", path);
    assert_int_equal(disk_open(path, &disk, NULL), RC_NOT_FOUND);
    path_of(f, "made", path);
    assert_int_equal(disk_open(path, &disk, NULL), RC_OK);
    disk_close(disk);
}

/* ---- what the kernel refuses ----------------------------------------------------------------- */

static const struct {
    int error;
    enum rc rc;
} errors[] = {
    {ENOENT, RC_NOT_FOUND}, {ENOTDIR, RC_NOT_FOUND},
    {EEXIST, RC_EXISTS},    {ENOSPC, RC_NOSPACE},
    {EDQUOT, RC_NOSPACE},   {EFBIG, RC_NOSPACE},
    {EACCES, RC_DENIED},    {EPERM, RC_DENIED},
    {EROFS, RC_DENIED},     {ELOOP, RC_DENIED},
    {ENOMEM, RC_NOMEM},     {EMFILE, RC_NOMEM},
    {ENFILE, RC_NOMEM},     {EIO, RC_IO},
    {ENXIO, RC_IO},
};
#define ERRORS (sizeof(errors) / sizeof(errors[0]))

/* Each operation of a storage, with the one call of the kernel that fails in it. */
struct operation {
    enum failing_call call;
    enum rc (*run)(struct fixture *f, struct storage_file *file);
};

static enum rc run_open(struct fixture *f, struct storage_file *file)
{
    (void)file;
    struct storage_file *other = NULL;
    const enum rc rc = f->storage.ops->open(f->disk, "a", STORAGE_READ, &other);
    assert_true(rc != RC_OK || other != NULL);
    f->storage.ops->close(f->disk, other);
    return rc;
}

static enum rc run_size(struct fixture *f, struct storage_file *file)
{
    uint64_t size;
    return f->storage.ops->size(f->disk, file, &size);
}

static enum rc run_read(struct fixture *f, struct storage_file *file)
{
    uint8_t bytes[8];
    size_t got;
    return f->storage.ops->read(f->disk, file, bytes, sizeof(bytes), 0, &got);
}

static enum rc run_write(struct fixture *f, struct storage_file *file)
{
    return f->storage.ops->write(f->disk, file, BYTES_LITERAL("hello"), 0);
}

static enum rc run_sync(struct fixture *f, struct storage_file *file)
{
    return f->storage.ops->sync_data(f->disk, file);
}

static enum rc run_truncate(struct fixture *f, struct storage_file *file)
{
    return f->storage.ops->truncate(f->disk, file, 3);
}

static enum rc run_rename(struct fixture *f, struct storage_file *file)
{
    (void)file;
    return f->storage.ops->rename(f->disk, "a", "a");
}

static enum rc run_remove(struct fixture *f, struct storage_file *file)
{
    (void)file;
    return f->storage.ops->remove(f->disk, "a");
}

static enum rc run_sync_dir(struct fixture *f, struct storage_file *file)
{
    (void)file;
    return f->storage.ops->sync_dir(f->disk, "");
}

static enum rc run_list(struct fixture *f, struct storage_file *file)
{
    (void)file;
    return f->storage.ops->list(f->disk, "", ignore_entry, NULL);
}

static enum rc run_free_bytes(struct fixture *f, struct storage_file *file)
{
    (void)file;
    uint64_t bytes;
    return f->storage.ops->free_bytes(f->disk, &bytes);
}

static enum rc run_disk_sync(struct fixture *f, struct storage_file *file)
{
    (void)file;
    return disk_sync(f->disk);
}

static enum rc run_lock(struct fixture *f, struct storage_file *file)
{
    (void)file;
    return disk_lock(f->disk);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        struct stat status;
        count += fstat(fd, &status) == 0;
    }
    return count;
}

static void every_refusal_of_the_kernel_has_a_name_and_costs_nothing(void **state)
{
    static const struct operation operations[] = {
        {FAILING_openat64, run_open},         {FAILING_fstat64, run_open},
        {FAILING_fstat64, run_size},          {FAILING_pread64, run_read},
        {FAILING_pwrite64, run_write},        {FAILING_fdatasync, run_sync},
        {FAILING_ftruncate64, run_truncate},  {FAILING_renameat, run_rename},
        {FAILING_unlinkat, run_remove},       {FAILING_openat64, run_sync_dir},
        {FAILING_fsync, run_sync_dir},        {FAILING_openat64, run_list},
        {FAILING_fdopendir, run_list},        {FAILING_readdir64, run_list},
        {FAILING_fstatvfs64, run_free_bytes}, {FAILING_syncfs, run_disk_sync},
        {FAILING_openat64, run_lock},         {FAILING_flock, run_lock},
    };
    struct fixture *f = *state;
    struct storage_file *file = must_open(f, "a", STORAGE_CREATE);
    const int descriptors = open_descriptors();
    const int64_t blocks = failing_blocks();
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        for (size_t e = 0; e < ERRORS; e++) {
            failing_set(operations[i].call, 1, 1, errors[e].error);
            assert_int_equal(operations[i].run(f, file), errors[e].rc);
            assert_int_equal(failing_hits(operations[i].call), 1);
            failing_clear();
        }
    }
    failing_set(FAILING_mem_alloc, 1, 1, ENOMEM);
    assert_int_equal(run_open(f, file), RC_NOMEM);
    failing_clear();
    assert_int_equal(open_descriptors(), descriptors);
    assert_int_equal(failing_blocks(), blocks);
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (operations[i].run != run_remove && operations[i].run != run_lock) {
            assert_int_equal(operations[i].run(f, file), RC_OK); /* and none is remembered */
        }
    }
    f->storage.ops->close(f->disk, file);
}

static void a_folder_that_cannot_be_made_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    for (size_t e = 0; e < ERRORS; e++) {
        failing_set(FAILING_mkdirat, 1, 1, errors[e].error);
        assert_int_equal(f->storage.ops->make_dir(f->disk, "d"),
                         errors[e].error == EEXIST ? RC_NOT_FOUND : errors[e].rc);
    }
    failing_clear();
    assert_int_equal(f->storage.ops->make_dir(f->disk, "d"), RC_OK);
    failing_set(FAILING_fstatat64, 1, 1, EIO); /* is what is there a folder? */
    assert_int_equal(f->storage.ops->make_dir(f->disk, "d"), RC_IO);
    failing_clear();
}

static void a_signal_interrupts_nothing_but_a_sync(void **state)
{
    static const struct operation operations[] = {
        {FAILING_openat64, run_open},
        {FAILING_pread64, run_read},
        {FAILING_pwrite64, run_write},
        {FAILING_ftruncate64, run_truncate},
    };
    struct fixture *f = *state;
    struct storage_file *file = must_open(f, "a", STORAGE_CREATE);
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        failing_set(operations[i].call, 1, 3, EINTR);
        assert_int_equal(operations[i].run(f, file), RC_OK);
        assert_int_equal(failing_hits(operations[i].call), 3);
    }
    /* What a second one says of the first one's pages is not known. */
    failing_set(FAILING_fdatasync, 1, 1, EINTR);
    assert_int_equal(run_sync(f, file), RC_IO);
    assert_int_equal(failing_calls(FAILING_fdatasync), 1);
    failing_set(FAILING_fsync, 1, 1, EINTR);
    assert_int_equal(run_sync_dir(f, file), RC_IO);
    assert_int_equal(failing_calls(FAILING_fsync), 1);
    failing_clear();
    f->storage.ops->close(f->disk, file);
}

static void a_write_that_gets_nowhere_fails(void **state)
{
    struct fixture *f = *state;
    struct storage_file *file = must_open(f, "a", STORAGE_CREATE);
    failing_set(FAILING_pwrite64, 1, UINT64_MAX, FAILING_NOTHING);
    assert_int_equal(run_write(f, file), RC_IO);
    assert_int_equal(failing_calls(FAILING_pwrite64), 1);
    failing_clear();
    f->storage.ops->close(f->disk, file);
}

/* A power cut may take a folder whose name was never synced, with all that was acknowledged in it.
 */
static void a_root_is_not_used_before_its_name_is_durable(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = NULL;
    char path[512];
    path_of(f, "made", path);
    const int descriptors = open_descriptors();
    failing_set(FAILING_fsync, 1, 1, EIO);
    assert_int_equal(disk_open(path, &disk, NULL), RC_IO);
    failing_set(FAILING_openat64, 1, 1, EMFILE); /* the folder above */
    assert_int_equal(disk_open(path, &disk, NULL), RC_NOMEM);
    assert_int_equal(open_descriptors(), descriptors);
    failing_set(FAILING_openat64, 0, 0, 0);
    failing_set(FAILING_fsync, 0, 0, 0);
    assert_int_equal(disk_open(path, &disk, NULL), RC_OK);
    assert_int_equal(failing_calls(FAILING_fsync), 1);
    disk_close(disk);
    /* Who made it may have been killed before the sync. */
    assert_int_equal(disk_open(path, &disk, NULL), RC_OK);
    assert_int_equal(failing_calls(FAILING_fsync), 2);
    disk_close(disk);
    /* And where that works no more it is as it has been: data that is there can be read. */
    failing_set(FAILING_fsync, 1, 1, EIO);
    assert_int_equal(disk_open(path, &disk, NULL), RC_OK);
    failing_clear();
    disk_close(disk);
}

static void a_folder_above_that_may_not_be_read_is_not_ours_to_sync(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = NULL;
    char path[512];
    path_of(f, "made", path);
    failing_set(FAILING_openat64, 1, 1, EACCES);
    failing_set(FAILING_fsync, 0, 0, 0);
    assert_int_equal(disk_open(path, &disk, NULL), RC_OK);
    assert_int_equal(failing_calls(FAILING_fsync), 0);
    failing_clear();
    disk_close(disk);
}

static void a_root_that_cannot_be_opened_costs_nothing(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = NULL;
    const int descriptors = open_descriptors();
    const int64_t blocks = failing_blocks();
    failing_set(FAILING_mem_alloc, 1, 1, ENOMEM);
    assert_int_equal(disk_open(f->root, &disk, NULL), RC_NOMEM);
    failing_set(FAILING_mem_alloc, 0, 0, 0);
    for (size_t e = 0; e < ERRORS; e++) {
        failing_set(FAILING_open64, 1, 1, errors[e].error);
        assert_int_equal(disk_open(f->root, &disk, NULL), errors[e].rc);
        failing_set(FAILING_open64, 0, 0, 0);
        failing_set(FAILING_mkdir, 1, 1, errors[e].error);
        assert_int_equal(disk_open(f->root, &disk, NULL),
                         errors[e].error == EEXIST ? RC_OK : errors[e].rc);
        disk_close(disk);
        disk = NULL; /* closing it is allowed */
    }
    failing_clear();
    assert_int_equal(open_descriptors(), descriptors);
    assert_int_equal(failing_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_modes_say_what_must_be_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_and_folders_are_the_owners_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_and_things_that_are_no_files_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(rename_replaces_and_remove_removes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folders_are_made_listed_and_synced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_folder_has_one_server, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_lock_holds_also_without_its_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_lock_ends_with_its_holder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_fails_is_told_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_with_a_root_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_root_that_cannot_be_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_refusal_of_the_kernel_has_a_name_and_costs_nothing,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_made_is_refused_by_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_signal_interrupts_nothing_but_a_sync, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_that_gets_nowhere_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_root_is_not_used_before_its_name_is_durable, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_folder_above_that_may_not_be_read_is_not_ours_to_sync,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_root_that_cannot_be_opened_costs_nothing, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
