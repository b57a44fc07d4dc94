#include "lib/sim_disk.h"

#include "base/hash.h"
#include "base/prng.h"
#include "lib/sim_inode.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME_BYTES_MAX 300u

struct name {
    uint64_t hash; /* of the text, to find it fast */
    char text[NAME_BYTES_MAX];
    struct inode *inode;
};

struct names {
    struct name *items;
    size_t count;
    size_t capacity;
};

/* A change of a folder that is not synced yet. */
struct change {
    char folder[NAME_BYTES_MAX];
    char from[NAME_BYTES_MAX]; /* empty: a new name */
    char to[NAME_BYTES_MAX];   /* empty: a removal */
    struct inode *inode; /* of a new name, or of what was renamed: a rename that gets to disk is
                          * one of this file, whatever else of that name was lost */
};

struct storage_file {
    struct inode *inode;
    bool writable;
};

struct sim_disk {
    struct prng prng;
    struct names now;
    struct names synced;
    struct change *changes;
    size_t change_count;
    size_t change_capacity;
    uint64_t calls[SIM_CALL_COUNT];
    struct {
        uint64_t k;
        bool forever;
        enum rc rc;
    } faults[SIM_CALL_COUNT];
    uint64_t budget;
    uint64_t changes_done;
    uint64_t die_at;
    bool dead;
    bool sync_keeps;
    uint32_t open_count;
    struct sim_disk_losses losses;
};

/* ---- names ------------------------------------------------------------------------------- */

static struct name *names_find(const struct names *names, const char *text)
{
    const uint64_t hash = hash_bytes(bytes_of_text(text), 0);
    for (size_t i = 0; i < names->count; i++) {
        if (names->items[i].hash == hash && strcmp(names->items[i].text, text) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

static void names_remove(struct names *names, const char *text)
{
    struct name *name = names_find(names, text);
    if (name != NULL) {
        inode_unref(name->inode);
        *name = names->items[--names->count];
    }
}

static void names_set(struct names *names, const char *text, struct inode *inode)
{
    inode->refs++; /* before the removal: it may be the same one */
    names_remove(names, text);
    names->items =
        sim_grow(names->items, &names->capacity, names->count + 1, sizeof(*names->items));
    struct name *name = &names->items[names->count++];
    (void)snprintf(name->text, sizeof(name->text), "%s", text);
    name->hash = hash_bytes(bytes_of_text(text), 0);
    name->inode = inode;
}

static void names_clear(struct names *names)
{
    while (names->count > 0) {
        inode_unref(names->items[--names->count].inode);
    }
}

static void folder_of(const char *name, char to[NAME_BYTES_MAX])
{
    (void)snprintf(to, NAME_BYTES_MAX, "%s", name);
    size_t size = strlen(to);
    while (size > 0 && to[size] != '/') {
        size--;
    }
    to[size] = '\0';
}

/* ---- folder changes ------------------------------------------------------------------------ */

static void change_apply(struct names *names, const struct change *change)
{
    if (change->from[0] == '\0') {
        names_set(names, change->to, change->inode);
    } else if (change->to[0] == '\0') {
        names_remove(names, change->from);
    } else {
        names_set(names, change->to, change->inode);
        names_remove(names, change->from);
    }
}

static void change_make(struct sim_disk *disk, const char *from, const char *to,
                        struct inode *inode)
{
    disk->changes = sim_grow(disk->changes, &disk->change_capacity, disk->change_count + 1,
                             sizeof(*disk->changes));
    struct change *change = &disk->changes[disk->change_count++];
    *change = (struct change){.inode = inode};
    folder_of(from[0] != '\0' ? from : to, change->folder);
    (void)snprintf(change->from, sizeof(change->from), "%s", from);
    (void)snprintf(change->to, sizeof(change->to), "%s", to);
    if (inode != NULL) {
        inode->refs++;
    }
    change_apply(&disk->now, change);
}

static void change_end(struct sim_disk *disk, size_t i)
{
    if (disk->changes[i].inode != NULL) {
        inode_unref(disk->changes[i].inode);
    }
    bytes_move(&disk->changes[i], &disk->changes[i + 1],
               (disk->change_count - i - 1) * sizeof(*disk->changes));
    disk->change_count--;
}

/* ---- faults -------------------------------------------------------------------------------- */

/* Counts a call. RC_OK: it may go on. */
static enum rc call(struct sim_disk *disk, enum sim_call kind)
{
    if (disk->dead) {
        return RC_IO;
    }
    const uint64_t number = ++disk->calls[kind];
    const uint64_t k = disk->faults[kind].k;
    if (k != 0 && (number == k || (disk->faults[kind].forever && number > k))) {
        return disk->faults[kind].rc;
    }
    return RC_OK;
}

/* Counts a change. False: the machine dies in it. */
static bool survives(struct sim_disk *disk)
{
    disk->changes_done++;
    disk->dead = disk->die_at != 0 && disk->changes_done >= disk->die_at;
    return !disk->dead;
}

/* ---- operations ---------------------------------------------------------------------------- */

static bool folder_exists(const struct sim_disk *disk, const char *name)
{
    char folder[NAME_BYTES_MAX];
    folder_of(name, folder);
    const struct name *found = names_find(&disk->now, folder);
    return folder[0] == '\0' || (found != NULL && found->inode->is_dir);
}

static enum rc sim_open(void *ctx, const char *name, enum storage_open_mode mode,
                        struct storage_file **ret_file)
{
    struct sim_disk *disk = ctx;
    const enum rc rc = call(disk, SIM_OPEN);
    if (rc != RC_OK) {
        return rc;
    }
    const struct name *found = names_find(&disk->now, name);
    if (mode == STORAGE_CREATE) {
        if (found != NULL) {
            return RC_EXISTS;
        }
        if (!folder_exists(disk, name)) {
            return RC_NOT_FOUND;
        }
        const bool alive = survives(disk);
        struct inode *inode = inode_make();
        change_make(disk, "", name, inode);
        inode_unref(inode);
        if (!alive) {
            return RC_IO;
        }
        found = names_find(&disk->now, name);
    }
    if (found == NULL) {
        return RC_NOT_FOUND;
    }
    ASSERT(!found->inode->is_dir);
    struct storage_file *file = calloc(1, sizeof(*file));
    ASSERT(file != NULL);
    file->inode = found->inode;
    file->inode->refs++;
    file->writable = mode != STORAGE_READ;
    disk->open_count++;
    *ret_file = file;
    return RC_OK;
}

static void sim_close(void *ctx, struct storage_file *file)
{
    struct sim_disk *disk = ctx;
    if (file != NULL) {
        inode_unref(file->inode);
        free(file);
        ASSERT(disk->open_count > 0);
        disk->open_count--;
    }
}

static enum rc sim_size(void *ctx, struct storage_file *file, uint64_t *ret_size)
{
    const struct sim_disk *disk = ctx;
    if (disk->dead) {
        return RC_IO;
    }
    *ret_size = file->inode->now_size;
    return RC_OK;
}

static enum rc sim_read(void *ctx, struct storage_file *file, void *to, size_t size, uint64_t at,
                        size_t *ret_size)
{
    const enum rc rc = call(ctx, SIM_READ);
    if (rc != RC_OK) {
        return rc;
    }
    const struct inode *inode = file->inode;
    const size_t rest = at < inode->now_size ? inode->now_size - (size_t)at : 0;
    const size_t count = size < rest ? size : rest;
    if (count > 0) {
        bytes_copy(to, inode->now + at, count);
    }
    *ret_size = count;
    return RC_OK;
}

/* What of a growth by writing fits on the disk. */
static size_t room_for(const struct sim_disk *disk, const struct inode *inode, size_t end)
{
    if (end <= inode->now_size || disk->budget == UINT64_MAX) {
        return end;
    }
    const uint64_t used = sim_disk_used(disk);
    const uint64_t room = used < disk->budget ? disk->budget - used : 0;
    const uint64_t possible = inode->now_size + room;
    return possible < end ? (size_t)possible : end;
}

static enum rc sim_write(void *ctx, struct storage_file *file, struct bytes bytes, uint64_t at)
{
    struct sim_disk *disk = ctx;
    ASSERT(file->writable);
    const enum rc rc = call(disk, SIM_WRITE);
    size_t size = bytes.size;
    if (rc != RC_OK) { /* a failed write may have written a part */
        size = disk->dead ? 0 : (size_t)prng_below(&disk->prng, bytes.size + 1);
    }
    const size_t end = room_for(disk, file->inode, (size_t)at + size);
    size = end > at ? end - (size_t)at : 0;
    if (size > 0) {
        inode_write(file->inode, bytes_of(bytes.data, size), (size_t)at);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (!survives(disk)) {
        return RC_IO;
    }
    return size < bytes.size ? RC_NOSPACE : RC_OK;
}

static enum rc sim_sync_data(void *ctx, struct storage_file *file)
{
    struct sim_disk *disk = ctx;
    const enum rc rc = call(disk, SIM_SYNC_DATA);
    if (rc != RC_OK) {
        if (!disk->dead && disk->sync_keeps) {
            inode_sync(file->inode);
        } else if (!disk->dead) {
            /* As Linux does: what could not be written is forgotten, and a second call would say
             * that all is well. */
            inode_crash(file->inode, &disk->prng, SIM_LOSE_SOME, &disk->losses);
        }
        return rc;
    }
    if (!survives(disk)) {
        return RC_IO;
    }
    inode_sync(file->inode);
    return RC_OK;
}

static enum rc sim_truncate(void *ctx, struct storage_file *file, uint64_t size)
{
    struct sim_disk *disk = ctx;
    const enum rc rc = call(disk, SIM_TRUNCATE);
    if (rc != RC_OK) {
        return rc;
    }
    inode_resize(file->inode, (size_t)size);
    return survives(disk) ? RC_OK : RC_IO;
}

static enum rc sim_rename(void *ctx, const char *from, const char *to)
{
    struct sim_disk *disk = ctx;
    const enum rc rc = call(disk, SIM_RENAME);
    if (rc != RC_OK) {
        return rc;
    }
    const struct name *found = names_find(&disk->now, from);
    if (found == NULL) {
        return RC_NOT_FOUND;
    }
    const bool alive = survives(disk);
    change_make(disk, from, to, found->inode);
    return alive ? RC_OK : RC_IO;
}

static enum rc sim_remove(void *ctx, const char *name)
{
    struct sim_disk *disk = ctx;
    const enum rc rc = call(disk, SIM_REMOVE);
    if (rc != RC_OK) {
        return rc;
    }
    if (names_find(&disk->now, name) == NULL) {
        return RC_NOT_FOUND;
    }
    const bool alive = survives(disk);
    change_make(disk, name, "", NULL);
    return alive ? RC_OK : RC_IO;
}

static enum rc sim_make_dir(void *ctx, const char *name)
{
    struct sim_disk *disk = ctx;
    const enum rc rc = call(disk, SIM_MAKE_DIR);
    if (rc != RC_OK) {
        return rc;
    }
    if (names_find(&disk->now, name) != NULL) {
        return RC_OK;
    }
    const bool alive = survives(disk);
    struct inode *inode = inode_make();
    inode->is_dir = true;
    change_make(disk, "", name, inode);
    inode_unref(inode);
    return alive ? RC_OK : RC_IO;
}

static enum rc sim_sync_dir(void *ctx, const char *name)
{
    struct sim_disk *disk = ctx;
    const enum rc rc = call(disk, SIM_SYNC_DIR);
    if (rc != RC_OK) {
        return rc;
    }
    if (!survives(disk)) {
        return RC_IO;
    }
    for (size_t i = 0; i < disk->change_count;) {
        if (strcmp(disk->changes[i].folder, name) == 0) {
            change_apply(&disk->synced, &disk->changes[i]);
            change_end(disk, i);
        } else {
            i++;
        }
    }
    return RC_OK;
}

static enum rc sim_list(void *ctx, const char *name,
                        void (*each)(void *each_ctx, const char *entry), void *each_ctx)
{
    struct sim_disk *disk = ctx;
    const enum rc rc = call(disk, SIM_LIST);
    if (rc != RC_OK) {
        return rc;
    }
    const size_t size = strlen(name);
    if (size > 0 && names_find(&disk->now, name) == NULL) {
        return RC_NOT_FOUND;
    }
    for (size_t i = 0; i < disk->now.count; i++) {
        const char *text = disk->now.items[i].text;
        if (size == 0 && strchr(text, '/') == NULL) {
            each(each_ctx, text);
        } else if (size > 0 && strncmp(text, name, size) == 0 && text[size] == '/') {
            each(each_ctx, text + size + 1);
        }
    }
    return RC_OK;
}

static enum rc sim_free_bytes(void *ctx, uint64_t *ret_bytes)
{
    const struct sim_disk *disk = ctx;
    const uint64_t used = sim_disk_used(disk);
    if (disk->dead) {
        return RC_IO;
    }
    *ret_bytes = used < disk->budget ? disk->budget - used : 0;
    return RC_OK;
}

static const struct storage_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .size = sim_size,
    .read = sim_read,
    .write = sim_write,
    .sync_data = sim_sync_data,
    .truncate = sim_truncate,
    .rename = sim_rename,
    .remove = sim_remove,
    .make_dir = sim_make_dir,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
    .free_bytes = sim_free_bytes,
    .keeps_space = true,
};

/* ---- the disk ------------------------------------------------------------------------------ */

struct sim_disk *sim_disk_open(uint64_t seed)
{
    struct sim_disk *disk = calloc(1, sizeof(*disk));
    ASSERT(disk != NULL);
    disk->prng.state = seed;
    disk->budget = UINT64_MAX;
    return disk;
}

void sim_disk_close(struct sim_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    ASSERT(disk->open_count == 0); /* the code under test has leaked a file */
    while (disk->change_count > 0) {
        change_end(disk, disk->change_count - 1);
    }
    names_clear(&disk->now);
    names_clear(&disk->synced);
    free(disk->now.items);
    free(disk->synced.items);
    free(disk->changes);
    free(disk);
}

struct storage sim_disk_storage(struct sim_disk *disk)
{
    return (struct storage){.ops = &sim_ops, .ctx = disk};
}

struct sim_disk *sim_disk_copy(const struct sim_disk *disk, uint64_t seed)
{
    ASSERT(disk->open_count == 0);
    struct sim_disk *copy = sim_disk_open(seed);
    for (size_t i = 0; i < disk->now.count; i++) {
        const struct name *name = &disk->now.items[i];
        struct inode *inode = inode_make();
        inode->is_dir = name->inode->is_dir;
        inode_write(inode, bytes_of(name->inode->now, name->inode->now_size), 0);
        inode_sync(inode);
        names_set(&copy->now, name->text, inode);
        names_set(&copy->synced, name->text, inode);
        inode_unref(inode);
    }
    return copy;
}

void sim_disk_fail(struct sim_disk *disk, enum sim_call kind, uint64_t k, bool forever, enum rc rc)
{
    disk->faults[kind].k = k == 0 ? 0 : disk->calls[kind] + k;
    disk->faults[kind].forever = forever;
    disk->faults[kind].rc = rc;
}

void sim_disk_sync_keeps(struct sim_disk *disk, bool keeps)
{
    disk->sync_keeps = keeps;
}

const struct sim_disk_losses *sim_disk_losses(const struct sim_disk *disk)
{
    return &disk->losses;
}

uint64_t sim_disk_call_count(const struct sim_disk *disk, enum sim_call kind)
{
    return disk->calls[kind];
}

void sim_disk_budget(struct sim_disk *disk, uint64_t bytes)
{
    disk->budget = bytes;
}

uint64_t sim_disk_used(const struct sim_disk *disk)
{
    uint64_t used = 0;
    for (size_t i = 0; i < disk->now.count; i++) {
        used += disk->now.items[i].inode->now_size;
    }
    return used;
}

uint64_t sim_disk_changes(const struct sim_disk *disk)
{
    return disk->changes_done;
}

void sim_disk_die_at(struct sim_disk *disk, uint64_t k)
{
    disk->die_at = k == 0 ? 0 : disk->changes_done + k;
}

bool sim_disk_is_dead(const struct sim_disk *disk)
{
    return disk->dead;
}

/* Names whose folder is gone are gone, too. */
static void drop_homeless(struct sim_disk *disk)
{
    for (size_t i = disk->now.count; i-- > 0;) {
        if (!folder_exists(disk, disk->now.items[i].text)) {
            char text[NAME_BYTES_MAX];
            (void)snprintf(text, sizeof(text), "%s", disk->now.items[i].text);
            names_remove(&disk->now, text);
            names_remove(&disk->synced, text);
        }
    }
}

static void change_lost(struct sim_disk *disk, const struct change *change)
{
    disk->losses.names_lost += change->from[0] == '\0';
    disk->losses.removals_lost += change->to[0] == '\0';
    disk->losses.renames_lost += change->from[0] != '\0' && change->to[0] != '\0';
}

void sim_disk_restart(struct sim_disk *disk, enum sim_loss loss)
{
    ASSERT(disk->open_count == 0);
    disk->dead = false;
    disk->die_at = 0;
    if (loss == SIM_LOSE_LATER) {
        return;
    }
    for (size_t i = 0; i < disk->change_count; i++) {
        if (loss == SIM_LOSE_NOTHING ||
            (loss == SIM_LOSE_SOME && prng_below(&disk->prng, 2) == 0)) {
            change_apply(&disk->synced, &disk->changes[i]);
        } else {
            change_lost(disk, &disk->changes[i]);
        }
    }
    while (disk->change_count > 0) {
        change_end(disk, disk->change_count - 1);
    }
    names_clear(&disk->now);
    for (size_t i = 0; i < disk->synced.count; i++) {
        inode_crash(disk->synced.items[i].inode, &disk->prng, loss, &disk->losses);
        names_set(&disk->now, disk->synced.items[i].text, disk->synced.items[i].inode);
    }
    drop_homeless(disk);
}

bool sim_disk_get(const struct sim_disk *disk, const char *name, struct bytes *ret_bytes)
{
    const struct name *found = names_find(&disk->now, name);
    if (found == NULL) {
        return false;
    }
    *ret_bytes = bytes_of(found->inode->now, found->inode->now_size);
    return true;
}

bool sim_disk_flip(struct sim_disk *disk, const char *name, uint64_t at, uint8_t mask)
{
    const struct name *found = names_find(&disk->now, name);
    if (found == NULL || at >= found->inode->now_size) {
        return false;
    }
    found->inode->now[at] ^= mask;
    inode_sync(found->inode);
    return true;
}

bool sim_disk_cut(struct sim_disk *disk, const char *name, uint64_t size)
{
    const struct name *found = names_find(&disk->now, name);
    if (found == NULL) {
        return false;
    }
    inode_resize(found->inode, (size_t)size);
    inode_sync(found->inode);
    return true;
}

bool sim_disk_delete(struct sim_disk *disk, const char *name)
{
    const bool there = names_find(&disk->now, name) != NULL;
    names_remove(&disk->now, name);
    names_remove(&disk->synced, name);
    return there;
}

void sim_disk_put(struct sim_disk *disk, const char *name, struct bytes bytes)
{
    struct inode *inode = inode_make();
    inode_write(inode, bytes, 0);
    inode_sync(inode);
    names_set(&disk->now, name, inode);
    names_set(&disk->synced, name, inode);
    inode_unref(inode);
}

bool sim_disk_get_synced(const struct sim_disk *disk, const char *name, struct bytes *ret_bytes)
{
    const struct name *found = names_find(&disk->synced, name);
    const struct name *now = names_find(&disk->now, name);
    if (found == NULL || now == NULL || found->inode != now->inode || found->inode->is_dir) {
        return false;
    }
    for (size_t i = 0; i < disk->change_count; i++) {
        if (strcmp(disk->changes[i].from, name) == 0 || strcmp(disk->changes[i].to, name) == 0) {
            return false;
        }
    }
    *ret_bytes = bytes_of(found->inode->synced, found->inode->synced_size);
    return true;
}

const char *sim_disk_name(const struct sim_disk *disk, size_t i)
{
    return i < disk->now.count ? disk->now.items[i].text : NULL;
}

void sim_disk_poke(struct sim_disk *disk, const char *name, uint64_t at, struct bytes bytes)
{
    inode_poke(names_find(&disk->now, name)->inode, bytes, (size_t)at);
}

void sim_disk_shorten(struct sim_disk *disk, const char *name, uint64_t size)
{
    inode_cut(names_find(&disk->now, name)->inode, (size_t)size);
}

size_t sim_disk_file_count(const struct sim_disk *disk)
{
    size_t count = 0;
    for (size_t i = 0; i < disk->now.count; i++) {
        count += !disk->now.items[i].inode->is_dir;
    }
    return count;
}
