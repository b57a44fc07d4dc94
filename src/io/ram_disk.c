#include "io/ram_disk.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"

#include <pthread.h>
#include <unistd.h>

#define PAGE_BYTES (64u * KIB)

struct storage_file {
    struct list link;
    char *name;    /* NULL: removed */
    unsigned uses; /* open handles */
    uint64_t size;
    uint8_t **pages; /* NULL: all zero */
    size_t page_count;
};

struct ram_disk {
    pthread_mutex_t mutex;
    struct list files;
};

enum rc ram_disk_open(struct ram_disk **ret_disk)
{
    struct ram_disk *disk = mem_calloc(1, sizeof(*disk));
    if (disk == NULL) {
        return RC_NOMEM;
    }
    if (pthread_mutex_init(&disk->mutex, NULL) != 0) {
        mem_free(disk);
        return RC_NOMEM;
    }
    list_init(&disk->files);
    *ret_disk = disk;
    return RC_OK;
}

static void file_free(struct storage_file *file)
{
    list_remove(&file->link);
    for (size_t i = 0; i < file->page_count; i++) {
        mem_free(file->pages[i]);
    }
    mem_free(file->pages);
    mem_free(file->name);
    mem_free(file);
}

void ram_disk_close(struct ram_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    while (!list_empty(&disk->files)) {
        struct storage_file *file = CONTAINER_OF(disk->files.next, struct storage_file, link);
        ASSERT(file->uses == 0);
        file_free(file);
    }
    (void)pthread_mutex_destroy(&disk->mutex);
    mem_free(disk);
}

static void lock(struct ram_disk *disk)
{
    const int failed = pthread_mutex_lock(&disk->mutex);
    ASSERT(failed == 0);
}

static void unlock(struct ram_disk *disk)
{
    const int failed = pthread_mutex_unlock(&disk->mutex);
    ASSERT(failed == 0);
}

static struct storage_file *find(struct ram_disk *disk, const char *name)
{
    for (struct list *at = disk->files.next; at != &disk->files; at = at->next) {
        struct storage_file *file = CONTAINER_OF(at, struct storage_file, link);
        if (file->name != NULL && strcmp(file->name, name) == 0) {
            return file;
        }
    }
    return NULL;
}

static enum rc file_new(struct ram_disk *disk, const char *name, struct storage_file **ret_file)
{
    struct storage_file *file = mem_calloc(1, sizeof(*file));
    if (file == NULL) {
        return RC_NOMEM;
    }
    file->name = mem_strdup(name);
    if (file->name == NULL) {
        mem_free(file);
        return RC_NOMEM;
    }
    list_push_back(&disk->files, &file->link);
    *ret_file = file;
    return RC_OK;
}

static enum rc ram_open(void *ctx, const char *name, enum storage_open_mode mode,
                        struct storage_file **ret_file)
{
    struct ram_disk *disk = ctx;
    lock(disk);
    struct storage_file *file = find(disk, name);
    enum rc rc = RC_OK;
    if (mode == STORAGE_CREATE) {
        rc = file != NULL ? RC_EXISTS : file_new(disk, name, &file);
    } else if (file == NULL) {
        rc = RC_NOT_FOUND;
    }
    if (rc == RC_OK) {
        file->uses++;
        *ret_file = file;
    }
    unlock(disk);
    return rc;
}

static void release(struct storage_file *file)
{
    if (file->uses == 0 && file->name == NULL) {
        file_free(file);
    }
}

static void ram_close(void *ctx, struct storage_file *file)
{
    struct ram_disk *disk = ctx;
    if (file == NULL) {
        return;
    }
    lock(disk);
    ASSERT(file->uses > 0);
    file->uses--;
    release(file);
    unlock(disk);
}

static enum rc ram_size(void *ctx, struct storage_file *file, uint64_t *ret_size)
{
    struct ram_disk *disk = ctx;
    lock(disk);
    *ret_size = file->size;
    unlock(disk);
    return RC_OK;
}

static size_t piece_size(uint64_t at, size_t left)
{
    const size_t room = PAGE_BYTES - (size_t)(at % PAGE_BYTES);
    return left < room ? left : room;
}

static enum rc ram_read(void *ctx, struct storage_file *file, void *to, size_t size, uint64_t at,
                        size_t *ret_size)
{
    struct ram_disk *disk = ctx;
    lock(disk);
    const uint64_t have = at < file->size ? file->size - at : 0;
    const size_t wanted = size < have ? size : (size_t)have;
    for (size_t done = 0; done < wanted;) {
        const size_t piece = piece_size(at + done, wanted - done);
        const size_t page = (size_t)((at + done) / PAGE_BYTES);
        const uint8_t *bytes = page < file->page_count ? file->pages[page] : NULL;
        if (bytes == NULL) {
            bytes_zero((uint8_t *)to + done, piece);
        } else {
            bytes_copy((uint8_t *)to + done, bytes + (at + done) % PAGE_BYTES, piece);
        }
        done += piece;
    }
    unlock(disk);
    *ret_size = wanted;
    return RC_OK;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static enum rc pages_grow(struct storage_file *file, uint64_t end)
{
    const size_t count = (size_t)((end + PAGE_BYTES - 1) / PAGE_BYTES);
    if (count <= file->page_count) {
        return RC_OK;
    }
    uint8_t **pages = mem_realloc(file->pages, count * sizeof(uint8_t *));
    if (pages == NULL) {
        return RC_NOSPACE;
    }
    for (size_t i = file->page_count; i < count; i++) {
        pages[i] = NULL;
    }
    file->pages = pages;
    file->page_count = count;
    return RC_OK;
}

static enum rc page_write(struct storage_file *file, const uint8_t *from, size_t size, uint64_t at)
{
    uint8_t **page = &file->pages[at / PAGE_BYTES];
    if (*page == NULL && all_zero(from, size)) {
        return RC_OK;
    }
    if (*page == NULL) {
        *page = mem_calloc(1, PAGE_BYTES);
    }
    if (*page == NULL) {
        return RC_NOSPACE;
    }
    bytes_copy(*page + at % PAGE_BYTES, from, size);
    return RC_OK;
}

/* Bytes behind the end must read as zeros when the file grows over them. */
static void zero_behind_end(struct storage_file *file)
{
    const uint64_t size = file->size;
    const size_t keep = (size_t)((size + PAGE_BYTES - 1) / PAGE_BYTES);
    for (size_t i = keep; i < file->page_count; i++) {
        mem_free(file->pages[i]);
        file->pages[i] = NULL;
    }
    if (size % PAGE_BYTES != 0 && keep <= file->page_count && file->pages[keep - 1] != NULL) {
        bytes_zero(file->pages[keep - 1] + size % PAGE_BYTES, PAGE_BYTES - size % PAGE_BYTES);
    }
}

static enum rc ram_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    struct ram_disk *disk = ctx;
    lock(disk);
    enum rc rc = bytes.size > 0 ? pages_grow(file, at + bytes.size) : RC_OK;
    for (size_t done = 0; rc == RC_OK && done < bytes.size;) {
        const size_t piece = piece_size(at + done, bytes.size - done);
        rc = page_write(file, bytes.data + done, piece, at + done);
        done += piece;
    }
    if (rc != RC_OK) {
        zero_behind_end(file); /* what was written of it */
    } else if (bytes.size > 0 && at + bytes.size > file->size) {
        file->size = at + bytes.size; /* nothing written moves no end, as with pwrite() */
    }
    unlock(disk);
    return rc;
}

static enum rc ram_sync_data(void *ctx, struct storage_file *file)
{
    (void)ctx;
    (void)file;
    return RC_OK;
}

static enum rc ram_truncate(void *ctx, struct storage_file *file, uint64_t size)
{
    struct ram_disk *disk = ctx;
    lock(disk);
    file->size = size;
    zero_behind_end(file);
    unlock(disk);
    return RC_OK;
}

static void unname(struct storage_file *file)
{
    mem_free(file->name);
    file->name = NULL;
    release(file);
}

static enum rc ram_rename(void *ctx, const char *from, const char *to)
{
    struct ram_disk *disk = ctx;
    enum rc rc = RC_OK;
    lock(disk);
    struct storage_file *file = find(disk, from);
    struct storage_file *replaced = find(disk, to);
    char *name = file == NULL ? NULL : mem_strdup(to);
    if (file == NULL) {
        rc = RC_NOT_FOUND;
    } else if (name == NULL) {
        rc = RC_NOMEM;
    } else if (replaced == file) {
        mem_free(name);
    } else {
        if (replaced != NULL) {
            unname(replaced);
        }
        mem_free(file->name);
        file->name = name;
    }
    unlock(disk);
    return rc;
}

static enum rc ram_remove(void *ctx, const char *name)
{
    struct ram_disk *disk = ctx;
    lock(disk);
    struct storage_file *file = find(disk, name);
    if (file != NULL) {
        unname(file);
    }
    unlock(disk);
    return file != NULL ? RC_OK : RC_NOT_FOUND;
}

/* Folders are there as soon as a name has one in it. */
static enum rc ram_dir(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return RC_OK;
}

static enum rc ram_list(void *ctx, const char *name,
                        void (*each)(void *each_ctx, const char *entry), void *each_ctx)
{
    struct ram_disk *disk = ctx;
    const size_t size = strlen(name);
    lock(disk);
    for (struct list *at = disk->files.next; at != &disk->files; at = at->next) {
        const struct storage_file *file = CONTAINER_OF(at, struct storage_file, link);
        if (file->name != NULL && strncmp(file->name, name, size) == 0 &&
            (size == 0 || file->name[size] == '/')) {
            each(each_ctx, file->name + size + (size > 0 ? 1 : 0));
        }
    }
    unlock(disk);
    return RC_OK;
}

static enum rc ram_free_bytes(void *ctx, uint64_t *ret_bytes)
{
    (void)ctx;
    const long pages = sysconf(_SC_AVPHYS_PAGES);
    const long page_bytes = sysconf(_SC_PAGESIZE);
    *ret_bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    return RC_OK;
}

static const struct storage_ops ram_ops = {
    .open = ram_open,
    .close = ram_close,
    .size = ram_size,
    .read = ram_read,
    .write = ram_write,
    .sync_data = ram_sync_data,
    .truncate = ram_truncate,
    .rename = ram_rename,
    .remove = ram_remove,
    .make_dir = ram_dir,
    .sync_dir = ram_dir,
    .list = ram_list,
    .free_bytes = ram_free_bytes,
};

struct storage ram_disk_storage(struct ram_disk *disk)
{
    return (struct storage){.ops = &ram_ops, .ctx = disk};
}
