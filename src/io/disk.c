#include "io/disk.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FILE_MODE   0600
#define FOLDER_MODE 0700
#define LOCK_NAME   "LOCK"

#define NAME_SIZE 64u

struct disk {
    int root_fd;
    int lock_fd; /* -1: not locked */
    struct disk_trouble trouble;
};

struct storage_file {
    int fd;
    struct disk *disk;
    char name[NAME_SIZE]; /* for what is told of it; cut off if need be */
};

/* Of the troubles of all disks: they are rare, and on any thread. */
static pthread_mutex_t trouble_mutex = PTHREAD_MUTEX_INITIALIZER;

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
    case EISDIR:
    case ELOOP: return RC_DENIED; /* ELOOP: a symbolic link, which we do not follow */
    case ENOMEM:
    case EMFILE:
    case ENFILE: return RC_NOMEM;
    default: return RC_IO;
    }
}

/* ---- what is told of a failure ------------------------------------------------------------- */

/* Who may not, if it is a matter of owners. */
static void tell_denied(const struct stat *status, bool folder, char *to, size_t size)
{
    if (status->st_uid == geteuid()) {
        (void)snprintf(to, size, "permission denied");
        return;
    }
    (void)snprintf(to, size, "permission denied: %s belongs to user %u, and this is user %u",
                   folder ? "the folder" : "it", (unsigned)status->st_uid, (unsigned)geteuid());
}

/* What is the matter with a name, for people; `error` is an errno. */
static void tell_why(int at, const char *name, int error, char *to, size_t size)
{
    struct stat status;
    const bool known = fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    const bool link = known && S_ISLNK(status.st_mode);
    if (link && (error == ELOOP || error == ENOTDIR)) {
        (void)snprintf(to, size, "a symbolic link, which is not followed");
    } else if (link && error == ENOENT) {
        (void)snprintf(to, size, "a symbolic link that leads nowhere");
    } else if (error == ENOTDIR) {
        (void)snprintf(to, size, "no folder");
    } else if (error == EISDIR || (known && error == ENXIO && !S_ISREG(status.st_mode))) {
        (void)snprintf(to, size, "no regular file");
    } else if (error == EROFS) {
        (void)snprintf(to, size, "the file system is read-only");
    } else if (known && (error == EACCES || error == EPERM)) {
        tell_denied(&status, false, to, size);
    } else if (error == EACCES && at != AT_FDCWD && fstat(at, &status) == 0) {
        tell_denied(&status, true, to, size); /* it is to be made, and may not */
    } else {
        (void)snprintf(to, size, "%s", rc_text(rc_of_errno(error)));
    }
}

static void trouble_note(struct disk *disk, int at, const char *name, int error, enum rc rc)
{
    char why[DISK_TROUBLE_SIZE / 2];
    tell_why(at, name, error, why, sizeof(why));
    (void)pthread_mutex_lock(&trouble_mutex);
    disk->trouble.rc = rc;
    (void)snprintf(disk->trouble.text, sizeof(disk->trouble.text), "%.*s: %s",
                   (int)(DISK_TROUBLE_SIZE / 2 - 3), name, why);
    (void)pthread_mutex_unlock(&trouble_mutex);
}

/* A call on a name has failed. That something is or is not there is an answer like any other. */
static enum rc fail(struct disk *disk, const char *name, int error)
{
    const enum rc rc = rc_of_errno(error);
    if (rc != RC_NOT_FOUND && rc != RC_EXISTS) {
        trouble_note(disk, disk->root_fd, name, error, rc);
    }
    return rc;
}

static enum rc fail_file(const struct storage_file *file, int error)
{
    return fail(file->disk, file->name, error);
}

void disk_trouble_get(struct disk *disk, struct disk_trouble *ret_trouble)
{
    (void)pthread_mutex_lock(&trouble_mutex);
    *ret_trouble = disk->trouble;
    (void)pthread_mutex_unlock(&trouble_mutex);
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

static enum rc file_of_fd(struct disk *disk, const char *name, int fd,
                          struct storage_file **ret_file)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return fail(disk, name, errno);
    }
    if (!S_ISREG(status.st_mode)) {
        trouble_note(disk, disk->root_fd, name, EISDIR, RC_DENIED);
        return RC_DENIED;
    }
    struct storage_file *file = mem_alloc(sizeof(*file));
    if (file == NULL) {
        return RC_NOMEM;
    }
    *file = (struct storage_file){.fd = fd, .disk = disk};
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    *ret_file = file;
    return RC_OK;
}

static enum rc storage_open(void *ctx, const char *name, enum storage_open_mode mode,
                            struct storage_file **ret_file)
{
    struct disk *disk = ctx;
    int flags = O_RDONLY;
    switch (mode) {
    case STORAGE_READ: flags = O_RDONLY; break;
    case STORAGE_WRITE: flags = O_RDWR; break;
    case STORAGE_CREATE: flags = O_RDWR | O_CREAT | O_EXCL; break;
    }
    const int fd = open_at(disk->root_fd, name, flags);
    if (fd < 0) {
        return fail(disk, name, errno);
    }
    const enum rc rc = file_of_fd(disk, name, fd, ret_file);
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
        return fail_file(file, errno);
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
            return fail_file(file, errno);
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
            return fail_file(file, errno);
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
    return fdatasync(file->fd) == 0 ? RC_OK : fail_file(file, errno);
}

static enum rc storage_truncate(void *ctx, struct storage_file *file, uint64_t size)
{
    (void)ctx;
    int result;
    do {
        result = ftruncate(file->fd, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? RC_OK : fail_file(file, errno);
}

/* ---- names --------------------------------------------------------------------------------- */

static enum rc storage_rename(void *ctx, const char *from, const char *to)
{
    struct disk *disk = ctx;
    return renameat(disk->root_fd, from, disk->root_fd, to) == 0 ? RC_OK : fail(disk, to, errno);
}

static enum rc storage_remove(void *ctx, const char *name)
{
    struct disk *disk = ctx;
    return unlinkat(disk->root_fd, name, 0) == 0 ? RC_OK : fail(disk, name, errno);
}

static enum rc storage_make_dir(void *ctx, const char *name)
{
    struct disk *disk = ctx;
    if (mkdirat(disk->root_fd, name, FOLDER_MODE) == 0) {
        return RC_OK;
    }
    if (errno != EEXIST) {
        return fail(disk, name, errno);
    }
    struct stat status;
    if (fstatat(disk->root_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return fail(disk, name, errno);
    }
    if (!S_ISDIR(status.st_mode)) {
        trouble_note(disk, disk->root_fd, name, ENOTDIR, RC_EXISTS);
        return RC_EXISTS;
    }
    return RC_OK;
}

/* A descriptor of a folder below the root, or of the root itself; -1 and errno on failure. */
static int folder_open(const struct disk *disk, const char *name)
{
    return open_at(disk->root_fd, name[0] == '\0' ? "." : name, O_RDONLY | O_DIRECTORY);
}

static enum rc storage_sync_dir(void *ctx, const char *name)
{
    struct disk *disk = ctx;
    const int fd = folder_open(disk, name);
    if (fd < 0) {
        return fail(disk, name, errno);
    }
    const enum rc rc = fsync(fd) == 0 ? RC_OK : fail(disk, name, errno);
    (void)close(fd);
    return rc;
}

/* What stands in place of a folder is not nothing. */
static enum rc fail_folder(struct disk *disk, const char *name, int error)
{
    struct stat status;
    if (error == ENOTDIR && fstatat(disk->root_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISDIR(status.st_mode)) {
        trouble_note(disk, disk->root_fd, name, error, RC_DENIED);
        return RC_DENIED;
    }
    return fail(disk, name, error);
}

static enum rc storage_list(void *ctx, const char *name,
                            void (*each)(void *each_ctx, const char *entry), void *each_ctx)
{
    struct disk *disk = ctx;
    const int fd = folder_open(disk, name);
    if (fd < 0) {
        return fail_folder(disk, name, errno);
    }
    DIR *folder = fdopendir(fd); /* takes fd */
    if (folder == NULL) {
        const enum rc rc = fail(disk, name, errno);
        (void)close(fd);
        return rc;
    }
    enum rc rc = RC_OK;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL) {
            rc = errno == 0 ? RC_OK : fail(disk, name, errno);
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

static enum rc root_fail(const char *root, int error, struct disk_trouble *trouble)
{
    const enum rc rc = rc_of_errno(error);
    char why[DISK_TROUBLE_SIZE / 2];
    tell_why(AT_FDCWD, root, error, why, sizeof(why));
    *trouble = (struct disk_trouble){.rc = rc};
    struct stat status;
    if (lstat(root, &status) == 0) {
        (void)snprintf(trouble->text, sizeof(trouble->text), "%s", why);
    } else if (error == ENOENT || error == ENOTDIR) {
        (void)snprintf(trouble->text, sizeof(trouble->text), "%s",
                       error == ENOENT ? "the folder that it is to be made in is not there"
                                       : "something in its path is no folder");
    } else {
        (void)snprintf(trouble->text, sizeof(trouble->text), "it cannot be made: %s", why);
    }
    return rc;
}

/* Makes the root, and its name durable. The root itself may be a symbolic link: that is the
 * operator's wish, not an attacker's. */
static enum rc root_open(const char *root, int *ret_fd, struct disk_trouble *trouble)
{
    const bool made = mkdir(root, FOLDER_MODE) == 0;
    if (!made && errno != EEXIST) {
        return root_fail(root, errno, trouble);
    }
    const int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return root_fail(root, errno, trouble);
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

enum rc disk_open(const char *root, struct disk **ret_disk, struct disk_trouble *ret_trouble)
{
    ASSERT(root[0] != '\0');
    struct disk_trouble trouble = {.rc = RC_OK};
    struct disk *disk = mem_alloc(sizeof(*disk));
    if (disk == NULL) {
        return RC_NOMEM;
    }
    *disk = (struct disk){.root_fd = -1, .lock_fd = -1};
    const enum rc rc = root_open(root, &disk->root_fd, &trouble);
    if (ret_trouble != NULL) {
        *ret_trouble = trouble;
    }
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
        return fail(disk, LOCK_NAME, errno);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const enum rc rc = errno == EWOULDBLOCK ? RC_LOCKED : fail(disk, LOCK_NAME, errno);
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
