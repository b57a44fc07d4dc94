/* A file system in memory that forgets on command what was not synced, and fails on demand.
 *
 *   forgetfs MOUNTPOINT        serves until it is unmounted or ended
 *
 * Commands are written to the file `.control` in its root, one at a time; it is in no listing.
 * Reading it gives the counters as JSON.
 *
 *   forget SEED                a power cut has happened: see forget_all(); ends `cut` and `fail`
 *
 *   cut N                      after N more changes or syncs nothing is carried out any more:
 *                              everything fails with EIO, until `forget`
 *
 *   cutsync N                  the same, and the change it begins with is the sync after N others:
 *                              what was written for it is there and not on the disk
 *
 *   fail CALL SKIP TIMES ERRNO so many calls are let through, then so many fail (0: all). CALL is
 *                              read, write, sync, syncdir, create, open, rename, unlink, truncate
 *
 *   heal                       ends `fail`
 *
 *   lie 1                      syncs say that they have done it, and do not (lie 0: honest again)
 *
 * The kernel caches nothing: every open is direct, names and attributes expire at once.
 *
 * Thread: one.  Memory: that of the files. */
#define FUSE_USE_VERSION 31
#include "forgetfs.h"

#include <errno.h>
#include <fuse.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define CONTROL      "/.control"
#define COMMAND_SIZE 128u

static struct node *root;
static struct forgotten forgotten;
static bool lies;
static bool cut_set;
static bool cut_counts_syncs; /* of files, and nothing else */
static uint64_t cut_left;
static bool is_cut;
static uint64_t changes; /* and syncs, as far as they were carried out */

static struct {
    char call[16]; /* "": none */
    uint64_t skip;
    uint64_t times;
    int error;
    uint64_t hits;
} fault;

/* ---- faults -------------------------------------------------------------------------------- */

/* 0, or the negative error with which this call fails. */
static int fault_of(const char *call)
{
    if (is_cut) {
        return -EIO;
    }
    if (strcmp(fault.call, call) != 0) {
        return 0;
    }
    if (fault.skip > 0) {
        fault.skip--;
        return 0;
    }
    fault.hits++;
    if (fault.times > 0) {
        fault.times--;
        if (fault.times == 0) {
            fault.call[0] = '\0';
        }
    }
    return -fault.error;
}

/* As fault_of(), for a call that changes what is or will be on the disk. */
static int change_of(const char *call)
{
    if (cut_set && !is_cut && (!cut_counts_syncs || strcmp(call, "sync") == 0)) {
        is_cut = cut_left == 0;
        cut_left -= is_cut ? 0 : 1;
    }
    const int failed = fault_of(call);
    changes += failed == 0 ? 1 : 0;
    return failed;
}

/* The number at *text, which is moved behind it and the spaces after it. */
static uint64_t number(const char **text)
{
    uint64_t value = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        value = value * 10 + (uint64_t)(**text - '0');
    }
    while (**text == ' ') {
        (*text)++;
    }
    return value;
}

static int command_fail(const char *rest)
{
    const char *end = strchr(rest, ' ');
    if (end == NULL || (size_t)(end - rest) >= sizeof(fault.call)) {
        return -EINVAL;
    }
    memcpy(fault.call, rest, (size_t)(end - rest));
    fault.call[end - rest] = '\0';
    rest = end + 1;
    fault.skip = number(&rest);
    fault.times = number(&rest);
    fault.error = (int)number(&rest);
    return fault.error != 0 ? 0 : -EINVAL;
}

static int command(const char *text)
{
    const char *space = strchr(text, ' ');
    const char *rest = space != NULL ? space + 1 : "";
    if (strncmp(text, "forget ", 7) == 0) {
        forget_all(root, number(&rest), &forgotten);
        cut_set = false;
        is_cut = false;
        fault.call[0] = '\0';
        return 0;
    }
    if (strncmp(text, "cut ", 4) == 0 || strncmp(text, "cutsync ", 8) == 0) {
        cut_left = number(&rest);
        cut_counts_syncs = text[3] == 's';
        cut_set = true;
        return 0;
    }
    if (strncmp(text, "lie ", 4) == 0) {
        lies = number(&rest) != 0;
        return 0;
    }
    if (strncmp(text, "heal", 4) == 0) {
        fault.call[0] = '\0';
        return 0;
    }
    return strncmp(text, "fail ", 5) == 0 ? command_fail(rest) : -EINVAL;
}

static int control_write(const char *from, size_t size)
{
    char text[COMMAND_SIZE];
    if (size >= sizeof(text)) {
        return -EINVAL;
    }
    memcpy(text, from, size);
    text[size] = '\0';
    const int failed = command(text);
    return failed != 0 ? failed : (int)size;
}

static int control_read(char *to, size_t size, off_t at)
{
    char text[256];
    const int length = snprintf(
        text, sizeof(text),
        "{\"changes\":%" PRIu64 ",\"hits\":%" PRIu64 ",\"cut\":%s"
        ",\"forgotten_sectors\":%" PRIu64 ",\"forgotten_names\":%" PRIu64 "}\n",
        changes, fault.hits, is_cut ? "true" : "false", forgotten.sectors, forgotten.names);
    if (at >= length) {
        return 0;
    }
    const size_t left = (size_t)(length - at);
    const size_t part = left < size ? left : size;
    memcpy(to, text + at, part);
    return (int)part;
}

/* ---- paths --------------------------------------------------------------------------------- */

/* The folder that a path's last name is in, and that name; NULL: no such folder, or a name that is
 * too long. "/" gives the root and "". */
static struct node *path_folder(const char *path, const char **ret_name)
{
    struct node *folder = root;
    const char *name = path + 1;
    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(name, '/')) {
        char part[NAME_SIZE];
        if ((size_t)(slash - name) >= sizeof(part)) {
            return NULL;
        }
        memcpy(part, name, (size_t)(slash - name));
        part[slash - name] = '\0';
        folder = names_find(&folder->now, part);
        if (folder == NULL || !folder->is_folder) {
            return NULL;
        }
        name = slash + 1;
    }
    *ret_name = name;
    return strlen(name) < NAME_SIZE ? folder : NULL;
}

static struct node *path_node(const char *path)
{
    const char *name = NULL;
    struct node *folder = path_folder(path, &name);
    if (folder == NULL || name[0] == '\0') {
        return folder;
    }
    return names_find(&folder->now, name);
}

/* The node of an open file; NULL is the control file. */
static struct node *node_of(const struct fuse_file_info *info)
{
    struct node *node = NULL;
    memcpy(&node, &info->fh, sizeof(node));
    return node;
}

static void node_opened(struct fuse_file_info *info, struct node *node)
{
    memcpy(&info->fh, &node, sizeof(node));
    info->direct_io = 1;
    if (node != NULL) {
        node->opens++;
    }
}

/* An open file may have lost its path: libfuse gives NULL then. */
static bool is_control(const char *path, const struct fuse_file_info *info)
{
    return info != NULL ? node_of(info) == NULL : strcmp(path, CONTROL) == 0;
}

/* ---- names --------------------------------------------------------------------------------- */

static int on_getattr(const char *path, struct stat *status, struct fuse_file_info *info)
{
    *status = (struct stat){.st_mode = S_IFREG | 0600, .st_nlink = 1};
    status->st_uid = fuse_get_context()->uid;
    if (is_control(path, info)) {
        return 0;
    }
    const struct node *node = info != NULL ? node_of(info) : path_node(path);
    if (node == NULL) {
        return -ENOENT;
    }
    if (node->is_folder) {
        status->st_mode = S_IFDIR | 0700;
    }
    status->st_size = (off_t)node->size_now;
    status->st_blocks = (blkcnt_t)(node->size_now / SECTOR_SIZE);
    return 0;
}

static int on_opendir(const char *path, struct fuse_file_info *info)
{
    struct node *node = path_node(path);
    if (node == NULL) {
        return -ENOENT;
    }
    const int failed = fault_of("open");
    if (failed == 0) {
        node_opened(info, node);
        info->direct_io = 0; /* not for folders */
    }
    return failed;
}

static int on_readdir(const char *path, void *to, fuse_fill_dir_t fill, off_t at,
                      struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    (void)path;
    (void)at;
    (void)flags;
    const struct node *node = node_of(info);
    if (is_cut) {
        return -EIO;
    }
    (void)fill(to, ".", NULL, 0, 0);
    (void)fill(to, "..", NULL, 0, 0);
    for (size_t i = 0; i < node->now.count; i++) {
        (void)fill(to, node->now.list[i].text, NULL, 0, 0);
    }
    return 0;
}

static int node_make(const char *path, bool is_folder, struct node **ret_node)
{
    const char *name = NULL;
    struct node *folder = path_folder(path, &name);
    if (folder == NULL) {
        return -ENOENT;
    }
    const int failed = change_of("create");
    if (failed != 0) {
        return failed;
    }
    *ret_node = node_new(is_folder);
    folder_change(folder, "", name, *ret_node);
    return 0;
}

static int on_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
    (void)mode;
    struct node *node = NULL;
    const int failed = node_make(path, false, &node);
    if (failed == 0) {
        node_opened(info, node);
    }
    return failed;
}

static int on_mkdir(const char *path, mode_t mode)
{
    (void)mode;
    struct node *node = NULL;
    return node_make(path, true, &node);
}

/* Files and folders alike: the tests' own folders are removed with them. */
static int on_remove(const char *path)
{
    const char *name = NULL;
    struct node *folder = path_folder(path, &name);
    struct node *node = folder != NULL ? names_find(&folder->now, name) : NULL;
    if (node == NULL) {
        return -ENOENT;
    }
    const int failed = change_of("unlink");
    if (failed == 0) {
        folder_change(folder, name, "", node);
    }
    return failed;
}

static int on_rename(const char *from, const char *to, unsigned flags)
{
    const char *from_name = NULL;
    const char *to_name = NULL;
    struct node *folder = path_folder(from, &from_name);
    struct node *node = folder != NULL ? names_find(&folder->now, from_name) : NULL;
    if (node == NULL) {
        return -ENOENT;
    }
    if (flags != 0 || path_folder(to, &to_name) != folder) {
        return flags != 0 ? -EINVAL : -EXDEV; /* one folder, one change: no need for more */
    }
    const int failed = change_of("rename");
    if (failed == 0) {
        folder_change(folder, from_name, to_name, node);
    }
    return failed;
}

static int on_fsyncdir(const char *path, int only_data, struct fuse_file_info *info)
{
    (void)path;
    (void)only_data;
    const int failed = change_of("syncdir");
    if (failed == 0 && !lies) {
        folder_sync(node_of(info));
    }
    return failed;
}

/* ---- files --------------------------------------------------------------------------------- */

static int on_open(const char *path, struct fuse_file_info *info)
{
    if (strcmp(path, CONTROL) == 0) {
        node_opened(info, NULL);
        return 0;
    }
    struct node *node = path_node(path);
    if (node == NULL) {
        return -ENOENT;
    }
    const int failed = fault_of("open");
    if (failed == 0) {
        node_opened(info, node);
    }
    return failed;
}

/* Of files and folders. */
static int on_release(const char *path, struct fuse_file_info *info)
{
    (void)path;
    struct node *node = node_of(info);
    if (node != NULL) {
        node->opens--; /* forget_all() frees what nothing leads to */
    }
    return 0;
}

static int on_read(const char *path, char *to, size_t size, off_t at, struct fuse_file_info *info)
{
    (void)path;
    const struct node *node = node_of(info);
    if (node == NULL) {
        return control_read(to, size, at);
    }
    const int failed = fault_of("read");
    return failed != 0 ? failed : (int)file_read(node, (uint8_t *)to, size, (uint64_t)at);
}

static int on_write(const char *path, const char *from, size_t size, off_t at,
                    struct fuse_file_info *info)
{
    (void)path;
    struct node *node = node_of(info);
    if (node == NULL) {
        return control_write(from, size);
    }
    const int failed = change_of("write");
    if (failed != 0) {
        return failed;
    }
    file_write(node, (const uint8_t *)from, size, (uint64_t)at);
    return (int)size;
}

static int on_truncate(const char *path, off_t size, struct fuse_file_info *info)
{
    if (is_control(path, info)) {
        return 0; /* a shell's `echo … >` begins so */
    }
    struct node *node = info != NULL ? node_of(info) : path_node(path);
    if (node == NULL) {
        return -ENOENT;
    }
    const int failed = change_of("truncate");
    if (failed == 0) {
        file_truncate(node, (uint64_t)size);
    }
    return failed;
}

static int on_fsync(const char *path, int only_data, struct fuse_file_info *info)
{
    (void)path;
    (void)only_data;
    struct node *node = node_of(info);
    if (node == NULL) {
        return 0;
    }
    const int failed = change_of("sync");
    if (failed != 0 && !is_cut) {
        file_sync_failed(node);
    }
    if (failed == 0 && !lies) {
        file_sync(node);
    }
    return failed;
}

static int on_statfs(const char *path, struct statvfs *status)
{
    (void)path;
    const fsblkcnt_t blocks = 1u << 24;
    *status = (struct statvfs){.f_bsize = PAGE_SIZE,
                               .f_frsize = PAGE_SIZE,
                               .f_blocks = blocks,
                               .f_bfree = blocks,
                               .f_bavail = blocks,
                               .f_namemax = NAME_SIZE - 1};
    return 0;
}

static void *on_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection;
    config->entry_timeout = 0;
    config->attr_timeout = 0;
    config->negative_timeout = 0;
    config->hard_remove = 1; /* no renaming of open files: a removal is one change */
    config->nullpath_ok = 1; /* open files and folders go by their node */
    return NULL;
}

static const struct fuse_operations operations = {
    .init = on_init,
    .getattr = on_getattr,
    .opendir = on_opendir,
    .readdir = on_readdir,
    .releasedir = on_release,
    .create = on_create,
    .mkdir = on_mkdir,
    .unlink = on_remove,
    .rmdir = on_remove,
    .rename = on_rename,
    .fsyncdir = on_fsyncdir,
    .open = on_open,
    .release = on_release,
    .read = on_read,
    .write = on_write,
    .truncate = on_truncate,
    .fsync = on_fsync,
    .statfs = on_statfs,
};

int main(int count, char **arguments)
{
    if (count != 2) {
        (void)fputs("usage: forgetfs MOUNTPOINT\n", stderr);
        return 2;
    }
    root = node_new(true);
    char single[] = "-s";
    char foreground[] = "-f";
    char *all[] = {arguments[0], single, foreground, arguments[1], NULL};
    return fuse_main(4, all, &operations, NULL);
}
