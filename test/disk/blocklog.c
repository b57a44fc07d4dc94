/* A file system with one file, `disk`, that logs each write and each flush of it: a loop device on
 * it gives the order in which blocks got to a disk, from which replay.mjs builds what a power cut
 * could have left.
 *
 *   blocklog MOUNTPOINT BYTES LOG
 *
 * LOG is a list of entries: 24 bytes, three little-endian numbers: 0 for a write or 1 for a flush,
 * where, and how many bytes follow. An entry is in the file before its request is answered.
 *
 * Thread: one.  Memory: the disk. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH "/disk"

static uint8_t *disk;
static uint64_t disk_size;
static int log_fd;

static int entry_add(uint64_t kind, uint64_t at, const char *from, size_t size)
{
    uint64_t head[3] = {kind, at, size};
    uint8_t *data = NULL;
    memcpy(&data, &from, sizeof(data)); /* an iovec knows no const */
    const struct iovec parts[2] = {{.iov_base = head, .iov_len = sizeof(head)},
                                   {.iov_base = data, .iov_len = size}};
    return writev(log_fd, parts, 2) == (ssize_t)(sizeof(head) + size) ? 0 : -EIO;
}

static int on_getattr(const char *path, struct stat *status, struct fuse_file_info *info)
{
    (void)info;
    *status = (struct stat){.st_mode = S_IFDIR | 0700, .st_nlink = 1};
    if (strcmp(path, PATH) == 0) {
        status->st_mode = S_IFREG | 0600;
        status->st_size = (off_t)disk_size;
    }
    return strcmp(path, "/") == 0 || strcmp(path, PATH) == 0 ? 0 : -ENOENT;
}

static int on_open(const char *path, struct fuse_file_info *info)
{
    info->direct_io = 1; /* no cache between the loop device and the log */
    return strcmp(path, PATH) == 0 ? 0 : -ENOENT;
}

static size_t within(size_t size, off_t at)
{
    const uint64_t left = (uint64_t)at < disk_size ? disk_size - (uint64_t)at : 0;
    return left < size ? (size_t)left : size;
}

static int on_read(const char *path, char *to, size_t size, off_t at, struct fuse_file_info *info)
{
    (void)path;
    (void)info;
    const size_t part = within(size, at);
    if (part > 0) {
        memcpy(to, disk + at, part);
    }
    return (int)part;
}

static int on_write(const char *path, const char *from, size_t size, off_t at,
                    struct fuse_file_info *info)
{
    (void)path;
    (void)info;
    if (within(size, at) < size) {
        return -ENOSPC;
    }
    memcpy(disk + at, from, size);
    const int failed = entry_add(0, (uint64_t)at, from, size);
    return failed != 0 ? failed : (int)size;
}

static int on_fsync(const char *path, int only_data, struct fuse_file_info *info)
{
    (void)path;
    (void)only_data;
    (void)info;
    return entry_add(1, 0, NULL, 0);
}

static const struct fuse_operations operations = {
    .getattr = on_getattr,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
};

static uint64_t number(const char *text)
{
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
    }
    return value;
}

int main(int count, char **arguments)
{
    if (count != 4) {
        (void)fputs("usage: blocklog MOUNTPOINT BYTES LOG\n", stderr);
        return 2;
    }
    disk_size = number(arguments[2]);
    disk = calloc(1, disk_size);
    log_fd = open(arguments[3], O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (disk == NULL || log_fd < 0) {
        perror("blocklog");
        return 1;
    }
    char single[] = "-s";
    char foreground[] = "-f";
    char *all[] = {arguments[0], single, foreground, arguments[1], NULL};
    return fuse_main(4, all, &operations, NULL);
}
