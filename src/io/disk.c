#include "io/disk.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FILE_MODE   0600
#define FOLDER_MODE 0700
#define LOCK_NAME   "LOCK"

struct disk {
    int root_fd;
    int lock_fd; /* -1: not locked */
};

struct storage_file {
    int fd;
};

/* What an errno means to a caller. What is not listed is the disk's fault until shown otherwise. */
static enum rc rc_of_errno(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR: return RC_NOT_FOUND;
    case EEXIST: return RC_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return RC_NOSPACE;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP: return RC_DENIED; /* ELOOP: a symbolic link, which we do not follow */
    case ENOMEM:
    case EMFILE:
    case ENFILE: return RC_NOMEM;
    default: return RC_IO;
    }
}

static int open_at(int at, const char *name, int flags)
{
    int fd;
    do {
        /* O_NONBLOCK: a FIFO put here must not hold the server up; regular files ignore it. */
        fd = openat(at, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* ---- files --------------------------------------------------------------------------------- */

static enum rc file_of_fd(int fd, struct storage_file **ret_file)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return rc_of_errno(errno);
    }
    if (!S_ISREG(status.st_mode)) {
        return RC_DENIED;
    }
    struct storage_file *file = mem_alloc(sizeof(*file));
    if (file == NULL) {
        return RC_NOMEM;
    }
    file->fd = fd;
    *ret_file = file;
    return RC_OK;
}

static enum rc storage_open(void *ctx, const char *name, enum storage_open_mode mode,
                            struct storage_file **ret_file)
{
    const struct disk *disk = ctx;
    int flags = O_RDONLY;
    switch (mode) {
    case STORAGE_READ: flags = O_RDONLY; break;
    case STORAGE_WRITE: flags = O_RDWR; break;
    case STORAGE_CREATE: flags = O_RDWR | O_CREAT | O_EXCL; break;
    }
    const int fd = open_at(disk->root_fd, name, flags);
    if (fd < 0) {
        return rc_of_errno(errno);
    }
    const enum rc rc = file_of_fd(fd, ret_file);
    if (rc != RC_OK) {
        (void)close(fd);
    }
    return rc;
}

static void storage_close(void *ctx, struct storage_file *file)
{
    (void)ctx;
    if (file != NULL) {
        (void)close(file->fd); /* what had to be on disk was synced before */
        mem_free(file);
    }
}

static enum rc storage_size(void *ctx, struct storage_file *file, uint64_t *ret_size)
{
    (void)ctx;
    struct stat status;
    if (fstat(file->fd, &status) != 0) {
        return rc_of_errno(errno);
    }
    ASSERT(status.st_size >= 0);
    *ret_size = (uint64_t)status.st_size;
    return RC_OK;
}

static enum rc storage_read(void *ctx, struct storage_file *file, void *to, size_t size,
                            uint64_t at, size_t *ret_size)
{
    (void)ctx;
    size_t done = 0;
    while (done < size) {
        const ssize_t got = pread(file->fd, (uint8_t *)to + done, size - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return rc_of_errno(errno);
        }
        if (got == 0) {
            break; /* the end of the file */
        }
        done += (size_t)got;
    }
    ASSERT(done <= size);
    *ret_size = done;
    return RC_OK;
}

static enum rc storage_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    (void)ctx;
    size_t done = 0;
    while (done < bytes.size) {
        const ssize_t put =
            pwrite(file->fd, bytes.data + done, bytes.size - done, (off_t)(at + done));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return rc_of_errno(errno);
        }
        if (put == 0) {
            return RC_IO; /* no error and no progress: never seen, never to be spun on */
        }
        done += (size_t)put;
    }
    return RC_OK;
}

static enum rc storage_sync_data(void *ctx, struct storage_file *file)
{
    (void)ctx;
    /* Not even EINTR is retried: what a second call says about the first one's pages is not known
     * on every file system. */
    return fdatasync(file->fd) == 0 ? RC_OK : rc_of_errno(errno);
}

static enum rc storage_truncate(void *ctx, struct storage_file *file, uint64_t size)
{
    (void)ctx;
    int result;
    do {
        result = ftruncate(file->fd, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? RC_OK : rc_of_errno(errno);
}

/* ---- names --------------------------------------------------------------------------------- */

static enum rc storage_rename(void *ctx, const char *from, const char *to)
{
    const struct disk *disk = ctx;
    return renameat(disk->root_fd, from, disk->root_fd, to) == 0 ? RC_OK : rc_of_errno(errno);
}

static enum rc storage_remove(void *ctx, const char *name)
{
    const struct disk *disk = ctx;
    return unlinkat(disk->root_fd, name, 0) == 0 ? RC_OK : rc_of_errno(errno);
}

static enum rc storage_make_dir(void *ctx, const char *name)
{
    const struct disk *disk = ctx;
    if (mkdirat(disk->root_fd, name, FOLDER_MODE) == 0) {
        return RC_OK;
    }
    if (errno != EEXIST) {
        return rc_of_errno(errno);
    }
    struct stat status;
    if (fstatat(disk->root_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return rc_of_errno(errno);
    }
    return S_ISDIR(status.st_mode) ? RC_OK : RC_EXISTS;
}

/* A descriptor of a folder below the root, or of the root itself; -1 and errno on failure. */
static int folder_open(const struct disk *disk, const char *name)
{
    return open_at(disk->root_fd, name[0] == '\0' ? "." : name, O_RDONLY | O_DIRECTORY);
}

static enum rc storage_sync_dir(void *ctx, const char *name)
{
    const struct disk *disk = ctx;
    const int fd = folder_open(disk, name);
    if (fd < 0) {
        return rc_of_errno(errno);
    }
    const enum rc rc = fsync(fd) == 0 ? RC_OK : rc_of_errno(errno);
    (void)close(fd);
    return rc;
}

static enum rc storage_list(void *ctx, const char *name,
                            void (*each)(void *each_ctx, const char *entry), void *each_ctx)
{
    const struct disk *disk = ctx;
    const int fd = folder_open(disk, name);
    if (fd < 0) {
        return rc_of_errno(errno);
    }
    DIR *folder = fdopendir(fd); /* takes fd */
    if (folder == NULL) {
        const enum rc rc = rc_of_errno(errno);
        (void)close(fd);
        return rc;
    }
    enum rc rc = RC_OK;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL) {
            rc = errno == 0 ? RC_OK : rc_of_errno(errno);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            each(each_ctx, entry->d_name);
        }
    }
    (void)closedir(folder);
    return rc;
}

static enum rc storage_free_bytes(void *ctx, uint64_t *ret_bytes)
{
    const struct disk *disk = ctx;
    struct statvfs status;
    if (fstatvfs(disk->root_fd, &status) != 0) {
        return rc_of_errno(errno);
    }
    *ret_bytes = (uint64_t)status.f_bavail * (uint64_t)status.f_frsize;
    return RC_OK;
}

static const struct storage_ops disk_ops = {
    .open = storage_open,
    .close = storage_close,
    .size = storage_size,
    .read = storage_read,
    .write = storage_write,
    .sync_data = storage_sync_data,
    .truncate = storage_truncate,
    .rename = storage_rename,
    .remove = storage_remove,
    .make_dir = storage_make_dir,
    .sync_dir = storage_sync_dir,
    .list = storage_list,
    .free_bytes = storage_free_bytes,
    .keeps_space = true,
};

/* ---- the disk ------------------------------------------------------------------------------ */

/* Makes the name of the root durable. A parent that we may not read is not ours to sync. */
static enum rc parent_sync(int root_fd)
{
    const int parent = openat(root_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        const enum rc why = rc_of_errno(errno);
        return why == RC_DENIED ? RC_OK : why;
    }
    const enum rc rc = fsync(parent) == 0 ? RC_OK : rc_of_errno(errno);
    (void)close(parent);
    return rc;
}

/* Makes the root, and its name durable. The root itself may be a symbolic link: that is the
 * operator's wish, not an attacker's. */
static enum rc root_open(const char *root, int *ret_fd)
{
    const bool made = mkdir(root, FOLDER_MODE) == 0;
    if (!made && errno != EEXIST) {
        return rc_of_errno(errno);
    }
    const int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return rc_of_errno(errno);
    }
    /* One that was there may come from a start that was killed before its sync; where that cannot
     * be made up for, what is in it can be read all the same. One that is new goes again: the next
     * start shall not take it for one whose name is on disk. */
    const enum rc rc = parent_sync(fd);
    if (made && rc != RC_OK) {
        (void)close(fd);
        (void)rmdir(root);
        return rc;
    }
    *ret_fd = fd;
    return RC_OK;
}

enum rc disk_open(const char *root, struct disk **ret_disk)
{
    ASSERT(root[0] != '\0');
    struct disk *disk = mem_alloc(sizeof(*disk));
    if (disk == NULL) {
        return RC_NOMEM;
    }
    *disk = (struct disk){.root_fd = -1, .lock_fd = -1};
    const enum rc rc = root_open(root, &disk->root_fd);
    if (rc != RC_OK) {
        disk_close(disk);
        return rc;
    }
    *ret_disk = disk;
    return RC_OK;
}

void disk_close(struct disk *disk)
{
    if (disk == NULL) {
        return;
    }
    if (disk->lock_fd >= 0) {
        (void)close(disk->lock_fd);
    }
    if (disk->root_fd >= 0) {
        (void)close(disk->root_fd);
    }
    mem_free(disk);
}

struct storage disk_storage(struct disk *disk)
{
    return (struct storage){.ops = &disk_ops, .ctx = disk};
}

enum rc disk_lock(struct disk *disk)
{
    ASSERT(disk->lock_fd < 0);
    const int fd = open_at(disk->root_fd, LOCK_NAME, O_RDWR | O_CREAT);
    if (fd < 0) {
        return rc_of_errno(errno);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const enum rc rc = errno == EWOULDBLOCK ? RC_LOCKED : rc_of_errno(errno);
        (void)close(fd);
        return rc;
    }
    /* And the folder itself: LOCK looks like something left behind, and may be removed under a
     * server that runs. Where a file system has no locks for folders, LOCK has to do. */
    if (flock(disk->root_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        (void)close(fd);
        return RC_LOCKED;
    }
    disk->lock_fd = fd;
    return RC_OK;
}

enum rc disk_sync(struct disk *disk)
{
    return syncfs(disk->root_fd) == 0 ? RC_OK : rc_of_errno(errno);
}
