/* The state of a file system that forgets what was not synced: forgetfs.c serves it over FUSE.
 *
 * Every file and folder stands here twice: as programs see it now, and as the disk has it. A sync
 * of a file brings its data to the disk, a sync of a folder its names; nothing else does.
 * Forgetting makes the disk's state the present one: what a power cut does.
 *
 * Thread: one.  Memory: nodes live until forget_all() finds that nothing leads to them. */
#ifndef FORGETFS_H
#define FORGETFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE   4096u
#define SECTOR_SIZE 512u
#define NAME_SIZE   128u

struct page {
    uint8_t *now;  /* NULL: zeros */
    uint8_t *kept; /* NULL: zeros */
    bool dirty;    /* written since the last sync; without it, now and kept still differ after a
                      sync that failed: the system thinks it clean, and the disk has it not */
};

struct name {
    char text[NAME_SIZE];
    struct node *node;
};

struct names {
    struct name *list;
    size_t count;
};

/* One change of a folder: from "" is a creation, to "" a removal, both a rename. */
struct change {
    char from[NAME_SIZE];
    char to[NAME_SIZE];
    struct node *node;
};

struct node {
    struct node *next; /* of all */
    bool is_folder;
    bool reached; /* while unreachable nodes are looked for */
    unsigned opens;
    /* a file */
    struct page *pages;
    size_t page_count;
    uint64_t size_now;
    uint64_t size_kept;
    /* a folder */
    struct names now;
    struct names kept;
    struct change *changes; /* since the last sync, in their order */
    size_t change_count;
};

/* What was forgotten, for tests that must know that something was. */
struct forgotten {
    uint64_t sectors;
    uint64_t names;
};

/* Ends the program when there is no memory. */
void *take(void *before, size_t size);

struct node *node_new(bool is_folder);
/* NULL: not there. */
struct node *names_find(const struct names *names, const char *text);
/* The caller has checked that the change is possible. */
void folder_change(struct node *folder, const char *from, const char *to, struct node *node);
void folder_sync(struct node *folder);

size_t file_read(const struct node *file, uint8_t *to, size_t size, uint64_t at);
void file_write(struct node *file, const uint8_t *from, size_t size, uint64_t at);
void file_truncate(struct node *file, uint64_t size);
void file_sync(struct node *file);
/* A sync that failed: the pages count as clean and are not on the disk. */
void file_sync_failed(struct node *file);

/* With seed 0 everything that was not synced goes; with another one any sectors of it may have got
 * to the disk, and of each folder's changes any first ones. */
void forget_all(struct node *root, uint64_t seed, struct forgotten *forgotten);

#endif
