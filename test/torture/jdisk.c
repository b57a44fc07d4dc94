#include "torture/jdisk.h"

#include "base/hash.h"
#include "base/prng.h"

#include <stdio.h>
#include <stdlib.h>

#define SECTOR     512u
#define NAME_BYTES 80u
#define NAMES_MAX  96u
#define INODES_MAX 512u

struct image { /* a file's bytes */
    uint8_t *data;
    size_t size;
    size_t capacity;
};

struct inode {
    bool is_dir;
    struct image now;
    struct image synced;
};

struct name {
    char text[NAME_BYTES];
    unsigned inode;
};

struct names {
    struct name items[NAMES_MAX];
    size_t count;
};

enum item_kind {
    ITEM_SECTOR,
    ITEM_SIZE,
    ITEM_NAME, /* a folder's change: from "" is a new name, to "" a removal */
};

struct item {
    enum item_kind kind;
    unsigned inode;
    size_t at; /* SECTOR: in the file; SIZE: the size */
    size_t size;
    uint8_t bytes[SECTOR];
    char from[NAME_BYTES];
    char to[NAME_BYTES];
};

struct storage_file {
    unsigned inode;
    bool writable;
};

struct jdisk {
    struct inode inodes[INODES_MAX];
    unsigned inode_count;
    struct names now;
    struct names synced;
    struct item *journal;
    size_t journal_size;
    size_t journal_capacity;
    void (*before_change)(void *ctx);
    void *ctx;
    uint64_t changes;
    uint64_t die_before;
    bool dead;
    bool plain;
    unsigned open_count;
};

/* ---- bytes ----------------------------------------------------------------------------------- */

static void image_resize(struct image *image, size_t size)
{
    if (size > image->capacity) {
        image->capacity = size * 2;
        image->data = realloc(image->data, image->capacity);
        ASSERT(image->data != NULL);
    }
    if (size > image->size) {
        bytes_zero(image->data + image->size, size - image->size);
    }
    image->size = size;
}

static void image_put(struct image *image, size_t at, const uint8_t *data, size_t size)
{
    if (at + size > image->size) {
        image_resize(image, at + size);
    }
    bytes_copy(image->data + at, data, size);
}

static void image_copy(struct image *to, const struct image *from)
{
    to->size = 0;
    image_resize(to, from->size);
    if (from->size > 0) {
        bytes_copy(to->data, from->data, from->size);
    }
}

/* ---- names ----------------------------------------------------------------------------------- */

static struct name *names_find(struct names *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].text, text) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

static void names_remove(struct names *names, const char *text)
{
    struct name *name = names_find(names, text);
    if (name != NULL) {
        *name = names->items[--names->count];
    }
}

static void names_set(struct names *names, const char *text, unsigned inode)
{
    names_remove(names, text);
    ASSERT(names->count < NAMES_MAX);
    struct name *name = &names->items[names->count++];
    (void)snprintf(name->text, sizeof(name->text), "%s", text);
    name->inode = inode;
}

static void names_apply(struct names *names, const struct item *item)
{
    if (item->from[0] == '\0') {
        names_set(names, item->to, item->inode);
    } else if (item->to[0] == '\0') {
        names_remove(names, item->from);
    } else {
        const struct name *from = names_find(names, item->from);
        if (from != NULL) {
            names_set(names, item->to, from->inode);
            names_remove(names, item->from);
        }
    }
}

/* The size of the folder's part of a name; 0: it stands in the root. */
static size_t folder_size(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash == NULL ? 0 : (size_t)(slash - name);
}

static bool folder_exists(struct jdisk *disk, const char *name)
{
    char folder[NAME_BYTES] = "";
    const size_t size = folder_size(name);
    bytes_copy(folder, name, size);
    const struct name *found = size == 0 ? NULL : names_find(&disk->now, folder);
    return size == 0 || (found != NULL && disk->inodes[found->inode].is_dir);
}

/* ---- the journal ----------------------------------------------------------------------------- */

static struct item *item_add(struct jdisk *disk, enum item_kind kind, unsigned inode)
{
    if (disk->journal_size == disk->journal_capacity) {
        disk->journal_capacity = disk->journal_capacity * 2 + 64;
        disk->journal = realloc(disk->journal, disk->journal_capacity * sizeof(*disk->journal));
        ASSERT(disk->journal != NULL);
    }
    struct item *item = &disk->journal[disk->journal_size++];
    item->kind = kind;
    item->inode = inode;
    item->from[0] = '\0';
    item->to[0] = '\0';
    return item;
}

static void item_apply(struct image *image, const struct item *item, size_t torn_at)
{
    if (item->kind == ITEM_SIZE) {
        image_resize(image, item->at);
    } else {
        image_put(image, item->at, item->bytes, torn_at < item->size ? torn_at : item->size);
    }
}

static void item_drop(struct jdisk *disk, size_t i)
{
    bytes_move(&disk->journal[i], &disk->journal[i + 1],
               (disk->journal_size - i - 1) * sizeof(*disk->journal));
    disk->journal_size--;
}

static unsigned inode_make(struct jdisk *disk, bool is_dir)
{
    ASSERT(disk->inode_count < INODES_MAX);
    struct inode *inode = &disk->inodes[disk->inode_count];
    inode->is_dir = is_dir;
    inode->now.size = 0;
    inode->synced.size = 0;
    return disk->inode_count++;
}

static void name_change(struct jdisk *disk, const char *from, const char *to, unsigned inode)
{
    struct item *item = item_add(disk, ITEM_NAME, inode);
    ASSERT(strlen(from) < NAME_BYTES);
    ASSERT(strlen(to) < NAME_BYTES);
    (void)snprintf(item->from, sizeof(item->from), "%s", from);
    (void)snprintf(item->to, sizeof(item->to), "%s", to);
    names_apply(&disk->now, item);
    disk->journal_size -= disk->plain;
}

/* ---- the storage ----------------------------------------------------------------------------- */

/* False: the machine is dead, or dies here. */
static bool changes(struct jdisk *disk)
{
    if (disk->dead) {
        return false;
    }
    if (disk->before_change != NULL) {
        disk->before_change(disk->ctx);
    }
    disk->changes++;
    disk->dead = disk->die_before != 0 && disk->changes >= disk->die_before;
    return !disk->dead;
}

static enum rc on_open(void *ctx, const char *name, enum storage_open_mode mode,
                       struct storage_file **ret_file)
{
    struct jdisk *disk = ctx;
    const struct name *found = names_find(&disk->now, name);
    if (disk->dead) {
        return RC_IO;
    }
    if (mode == STORAGE_CREATE) {
        if (found != NULL) {
            return RC_EXISTS;
        }
        if (!folder_exists(disk, name)) {
            return RC_NOT_FOUND;
        }
        if (!changes(disk)) {
            return RC_IO;
        }
        name_change(disk, "", name, inode_make(disk, false));
        found = names_find(&disk->now, name);
    }
    if (found == NULL) {
        return RC_NOT_FOUND;
    }
    struct storage_file *file = malloc(sizeof(*file));
    ASSERT(file != NULL);
    *file = (struct storage_file){.inode = found->inode, .writable = mode != STORAGE_READ};
    disk->open_count++;
    *ret_file = file;
    return RC_OK;
}

static void on_close(void *ctx, struct storage_file *file)
{
    struct jdisk *disk = ctx;
    if (file != NULL) {
        ASSERT(disk->open_count > 0);
        disk->open_count--;
        free(file);
    }
}

static enum rc on_size(void *ctx, struct storage_file *file, uint64_t *ret_size)
{
    const struct jdisk *disk = ctx;
    if (disk->dead) {
        return RC_IO;
    }
    *ret_size = disk->inodes[file->inode].now.size;
    return RC_OK;
}

static enum rc on_read(void *ctx, struct storage_file *file, void *to, size_t size, uint64_t at,
                       size_t *ret_size)
{
    const struct jdisk *disk = ctx;
    const struct image *image = &disk->inodes[file->inode].now;
    if (disk->dead) {
        return RC_IO;
    }
    const size_t rest = at < image->size ? image->size - (size_t)at : 0;
    const size_t count = size < rest ? size : rest;
    if (count > 0) {
        bytes_copy(to, image->data + at, count);
    }
    *ret_size = count;
    return RC_OK;
}

static enum rc on_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    struct jdisk *disk = ctx;
    ASSERT(file->writable);
    if (!changes(disk)) {
        return RC_IO;
    }
    struct image *image = &disk->inodes[file->inode].now;
    if (disk->plain) {
        image_put(image, (size_t)at, bytes.data, bytes.size);
        return RC_OK;
    }
    if (at + bytes.size > image->size) { /* the size gets to disk on its own */
        item_add(disk, ITEM_SIZE, file->inode)->at = (size_t)at + bytes.size;
    }
    for (size_t done = 0; done < bytes.size;) {
        struct item *item = item_add(disk, ITEM_SECTOR, file->inode);
        item->at = (size_t)at + done;
        const size_t rest = SECTOR - item->at % SECTOR;
        item->size = bytes.size - done < rest ? bytes.size - done : rest;
        bytes_copy(item->bytes, bytes.data + done, item->size);
        done += item->size;
    }
    image_put(image, (size_t)at, bytes.data, bytes.size);
    return RC_OK;
}

static enum rc on_sync_data(void *ctx, struct storage_file *file)
{
    struct jdisk *disk = ctx;
    if (!changes(disk)) {
        return RC_IO;
    }
    if (disk->plain) {
        return RC_OK;
    }
    struct inode *inode = &disk->inodes[file->inode];
    for (size_t i = disk->journal_size; i-- > 0;) {
        if (disk->journal[i].kind != ITEM_NAME && disk->journal[i].inode == file->inode) {
            item_drop(disk, i);
        }
    }
    image_copy(&inode->synced, &inode->now);
    return RC_OK;
}

static enum rc on_truncate(void *ctx, struct storage_file *file, uint64_t size)
{
    struct jdisk *disk = ctx;
    ASSERT(file->writable);
    if (!changes(disk)) {
        return RC_IO;
    }
    item_add(disk, ITEM_SIZE, file->inode)->at = (size_t)size;
    disk->journal_size -= disk->plain;
    image_resize(&disk->inodes[file->inode].now, (size_t)size);
    return RC_OK;
}

static enum rc on_rename(void *ctx, const char *from, const char *to)
{
    struct jdisk *disk = ctx;
    if (!disk->dead && names_find(&disk->now, from) == NULL) {
        return RC_NOT_FOUND;
    }
    if (!changes(disk)) {
        return RC_IO;
    }
    name_change(disk, from, to, 0);
    return RC_OK;
}

static enum rc on_remove(void *ctx, const char *name)
{
    struct jdisk *disk = ctx;
    if (!disk->dead && names_find(&disk->now, name) == NULL) {
        return RC_NOT_FOUND;
    }
    if (!changes(disk)) {
        return RC_IO;
    }
    name_change(disk, name, "", 0);
    return RC_OK;
}

static enum rc on_make_dir(void *ctx, const char *name)
{
    struct jdisk *disk = ctx;
    if (!disk->dead && names_find(&disk->now, name) != NULL) {
        return RC_OK;
    }
    if (!changes(disk)) {
        return RC_IO;
    }
    name_change(disk, "", name, inode_make(disk, true));
    return RC_OK;
}

static enum rc on_sync_dir(void *ctx, const char *name)
{
    struct jdisk *disk = ctx;
    if (!changes(disk)) {
        return RC_IO;
    }
    for (size_t i = 0; i < disk->journal_size;) {
        const struct item *item = &disk->journal[i];
        const char *changed = item->from[0] != '\0' ? item->from : item->to;
        const size_t size = folder_size(changed);
        if (item->kind == ITEM_NAME && size == strlen(name) && strncmp(changed, name, size) == 0) {
            names_apply(&disk->synced, item);
            item_drop(disk, i);
        } else {
            i++;
        }
    }
    return RC_OK;
}

static enum rc on_list(void *ctx, const char *name, void (*each)(void *each_ctx, const char *entry),
                       void *each_ctx)
{
    struct jdisk *disk = ctx;
    if (disk->dead) {
        return RC_IO;
    }
    if (names_find(&disk->now, name) == NULL) {
        return RC_NOT_FOUND;
    }
    const size_t size = strlen(name);
    for (size_t i = 0; i < disk->now.count; i++) {
        const char *text = disk->now.items[i].text;
        if (folder_size(text) == size && strncmp(text, name, size) == 0) {
            each(each_ctx, text + size + 1);
        }
    }
    return RC_OK;
}

static enum rc on_free_bytes(void *ctx, uint64_t *ret_bytes)
{
    const struct jdisk *disk = ctx;
    if (disk->dead) {
        return RC_IO;
    }
    *ret_bytes = UINT64_MAX;
    return RC_OK;
}

struct storage jdisk_storage(struct jdisk *disk)
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
    return (struct storage){.ops = &ops, .ctx = disk};
}

/* ---- the disk -------------------------------------------------------------------------------- */

struct jdisk *jdisk_open(void)
{
    struct jdisk *disk = calloc(1, sizeof(*disk));
    ASSERT(disk != NULL);
    return disk;
}

void jdisk_close(struct jdisk *disk)
{
    if (disk == NULL) {
        return;
    }
    ASSERT(disk->open_count == 0); /* the code under test has leaked a file */
    for (unsigned i = 0; i < INODES_MAX; i++) {
        free(disk->inodes[i].now.data);
        free(disk->inodes[i].synced.data);
    }
    free(disk->journal);
    free(disk);
}

void jdisk_plain(struct jdisk *disk)
{
    disk->plain = true;
    disk->journal_size = 0;
}

void jdisk_watch(struct jdisk *disk, void (*before_change)(void *ctx), void *ctx)
{
    disk->before_change = before_change;
    disk->ctx = ctx;
}

uint64_t jdisk_changes(const struct jdisk *disk)
{
    return disk->changes;
}

void jdisk_die_before(struct jdisk *disk, uint64_t k)
{
    disk->die_before = k == 0 ? 0 : disk->changes + k;
}

bool jdisk_is_dead(const struct jdisk *disk)
{
    return disk->dead;
}

size_t jdisk_unsynced(const struct jdisk *disk)
{
    return disk->journal_size;
}

/* ---- crashes --------------------------------------------------------------------------------- */

static bool has_all(const struct jdisk *disk, size_t all_max)
{
    return disk->journal_size < 32 && ((size_t)1 << disk->journal_size) <= all_max;
}

size_t jdisk_choice_count(const struct jdisk *disk, size_t all_max, size_t some)
{
    if (!has_all(disk, all_max)) {
        return some;
    }
    return disk->journal_size == 0 ? 1 : ((size_t)1 << disk->journal_size) + some / 4;
}

struct jdisk_choice jdisk_choice(const struct jdisk *disk, size_t all_max, size_t i)
{
    if (has_all(disk, all_max) && i < (size_t)1 << disk->journal_size) {
        return (struct jdisk_choice){.mask = i};
    }
    return (struct jdisk_choice){.seed = i};
}

bool jdisk_choice_is_whole(const struct jdisk *disk, struct jdisk_choice choice)
{
    return choice.seed == 1 || (choice.seed == 0 && disk->journal_size < 64 &&
                                choice.mask + 1 == (uint64_t)1 << disk->journal_size);
}

/* What of an item a choice leaves: 0 nothing, SIZE_MAX all of it, else that many bytes. */
static size_t part_of(const struct item *item, size_t i, struct jdisk_choice choice,
                      struct prng *prng)
{
    if (choice.seed == 0) {
        return i < 64 && (choice.mask >> i & 1) != 0 ? SIZE_MAX : 0;
    }
    if (choice.seed == 1) {
        return SIZE_MAX;
    }
    const uint64_t draw = prng_below(prng, 8);
    if (draw == 0 && item->kind == ITEM_SECTOR) {
        return (size_t)prng_below(prng, item->size);
    }
    /* Some choices lose much, others little: the interesting ones are near both ends. */
    return draw <= choice.seed % 7 ? SIZE_MAX : 0;
}

/* Names and synced bytes of `disk`; inodes keep their numbers. */
static void begin(const struct jdisk *disk, struct jdisk *to, const struct names *names)
{
    ASSERT(to->open_count == 0);
    to->now.count = names->count;
    bytes_copy(to->now.items, names->items, names->count * sizeof(names->items[0]));
    to->inode_count = disk->inode_count;
    to->journal_size = 0;
    to->before_change = NULL;
    to->changes = 0;
    to->die_before = 0;
    to->dead = false;
}

/* Numbers the inodes anew, without those that no name leads to; and names whose folder is gone are
 * gone, too. What the disk holds now is synced. */
static void settle(struct jdisk *to)
{
    for (size_t i = to->now.count; i-- > 0;) {
        if (!folder_exists(to, to->now.items[i].text)) {
            to->now.items[i] = to->now.items[--to->now.count];
        }
    }
    unsigned count = 0;
    for (unsigned inode = 0; inode < to->inode_count; inode++) {
        bool used = false;
        for (size_t i = 0; i < to->now.count; i++) {
            if (to->now.items[i].inode == inode) {
                to->now.items[i].inode = count;
                used = true;
            }
        }
        if (used) {
            const struct inode kept = to->inodes[inode];
            to->inodes[inode] = to->inodes[count];
            to->inodes[count] = kept;
            if (!to->plain) {
                image_copy(&to->inodes[count].synced, &kept.now);
            }
            count++;
        }
    }
    to->inode_count = count;
    to->synced.count = to->now.count;
    bytes_copy(to->synced.items, to->now.items, to->now.count * sizeof(to->now.items[0]));
}

void jdisk_crash(const struct jdisk *disk, struct jdisk_choice choice, struct jdisk *to)
{
    begin(disk, to, &disk->synced);
    for (unsigned i = 0; i < disk->inode_count; i++) {
        to->inodes[i].is_dir = disk->inodes[i].is_dir;
        image_copy(&to->inodes[i].now, &disk->inodes[i].synced);
    }
    struct prng prng = {choice.seed};
    for (size_t i = 0; i < disk->journal_size; i++) {
        const struct item *item = &disk->journal[i];
        const size_t part = part_of(item, i, choice, &prng);
        if (part == 0) {
            continue;
        }
        if (item->kind == ITEM_NAME) {
            names_apply(&to->now, item);
        } else {
            item_apply(&to->inodes[item->inode].now, item, part);
        }
    }
    settle(to);
}

void jdisk_kill(const struct jdisk *disk, struct jdisk *to)
{
    begin(disk, to, &disk->now);
    for (unsigned i = 0; i < disk->inode_count; i++) {
        to->inodes[i].is_dir = disk->inodes[i].is_dir;
        image_copy(&to->inodes[i].now, &disk->inodes[i].now);
    }
    settle(to);
}

void jdisk_copy(const struct jdisk *disk, struct jdisk *to)
{
    begin(disk, to, &disk->now);
    to->synced.count = disk->synced.count;
    bytes_copy(to->synced.items, disk->synced.items,
               disk->synced.count * sizeof(disk->synced.items[0]));
    for (unsigned i = 0; i < disk->inode_count; i++) {
        to->inodes[i].is_dir = disk->inodes[i].is_dir;
        image_copy(&to->inodes[i].now, &disk->inodes[i].now);
        image_copy(&to->inodes[i].synced, &disk->inodes[i].synced);
    }
    for (size_t i = 0; i < disk->journal_size; i++) {
        *item_add(to, ITEM_NAME, 0) = disk->journal[i];
    }
}

uint64_t jdisk_hash(const struct jdisk *disk)
{
    uint64_t sum = 0; /* the order of names does not matter */
    for (size_t i = 0; i < disk->now.count; i++) {
        const struct name *name = &disk->now.items[i];
        const struct image *image = &disk->inodes[name->inode].now;
        const uint64_t hash = hash_bytes(bytes_of(image->data, image->size), image->size);
        sum += hash_bytes(bytes_of_text(name->text), hash);
    }
    return sum;
}

/* ---- damage ---------------------------------------------------------------------------------- */

uint8_t *jdisk_bytes(struct jdisk *disk, const char *name, size_t *ret_size)
{
    const struct name *found = names_find(&disk->now, name);
    if (found == NULL) {
        return NULL;
    }
    *ret_size = disk->inodes[found->inode].now.size;
    return disk->inodes[found->inode].now.data;
}

void jdisk_resize(struct jdisk *disk, const char *name, size_t size)
{
    const struct name *found = names_find(&disk->now, name);
    ASSERT(found != NULL);
    image_resize(&disk->inodes[found->inode].now, size);
}
