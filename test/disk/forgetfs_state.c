/* Files and folders that stand twice, now and on the disk; see forgetfs.h. */
#include "forgetfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct node *nodes; /* all of them */
static uint64_t dice;

void *take(void *before, size_t size)
{
    void *got = realloc(before, size > 0 ? size : 1);
    if (got == NULL) {
        (void)fputs("forgetfs: no memory\n", stderr);
        abort();
    }
    return got;
}

/* splitmix64 */
static uint64_t dice_next(void)
{
    dice += 0x9e3779b97f4a7c15u;
    uint64_t z = dice;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct node *node_new(bool is_folder)
{
    struct node *node = take(NULL, sizeof(*node));
    *node = (struct node){.next = nodes, .is_folder = is_folder};
    nodes = node;
    return node;
}

/* ---- folders ------------------------------------------------------------------------------- */

struct node *names_find(const struct names *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i].text, text) == 0) {
            return names->list[i].node;
        }
    }
    return NULL;
}

static void names_remove(struct names *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i].text, text) == 0) {
            names->list[i] = names->list[names->count - 1];
            names->count--;
            return;
        }
    }
}

static void names_set(struct names *names, const char *text, struct node *node)
{
    names_remove(names, text);
    names->list = take(names->list, (names->count + 1) * sizeof(names->list[0]));
    struct name *name = &names->list[names->count];
    (void)snprintf(name->text, sizeof(name->text), "%s", text);
    name->node = node;
    names->count++;
}

static void names_copy(struct names *to, const struct names *from)
{
    to->list = take(to->list, from->count * sizeof(to->list[0]));
    to->count = from->count;
    if (from->count > 0) {
        memcpy(to->list, from->list, from->count * sizeof(to->list[0]));
    }
}

static void names_apply(struct names *names, const struct change *change)
{
    if (change->from[0] != '\0') {
        names_remove(names, change->from);
    }
    if (change->to[0] != '\0') {
        names_set(names, change->to, change->node);
    }
}

void folder_change(struct node *folder, const char *from, const char *to, struct node *node)
{
    const size_t count = folder->change_count + 1;
    folder->changes = take(folder->changes, count * sizeof(folder->changes[0]));
    struct change *change = &folder->changes[folder->change_count];
    *change = (struct change){.node = node};
    (void)snprintf(change->from, sizeof(change->from), "%s", from);
    (void)snprintf(change->to, sizeof(change->to), "%s", to);
    folder->change_count = count;
    names_apply(&folder->now, change);
}

void folder_sync(struct node *folder)
{
    names_copy(&folder->kept, &folder->now);
    folder->change_count = 0;
}

/* ---- files --------------------------------------------------------------------------------- */

static struct page *file_page(struct node *file, uint64_t index)
{
    if (index >= file->page_count) {
        const size_t count = (size_t)index + 1;
        file->pages = take(file->pages, count * sizeof(file->pages[0]));
        for (size_t i = file->page_count; i < count; i++) {
            file->pages[i] = (struct page){.now = NULL};
        }
        file->page_count = count;
    }
    return &file->pages[index];
}

static uint8_t *page_bytes(uint8_t **bytes)
{
    if (*bytes == NULL) {
        *bytes = take(NULL, PAGE_SIZE);
        memset(*bytes, 0, PAGE_SIZE);
    }
    return *bytes;
}

static void page_drop(uint8_t **bytes)
{
    free(*bytes);
    *bytes = NULL;
}

static void page_copy(uint8_t **to, const uint8_t *from)
{
    if (from == NULL) {
        page_drop(to);
    } else {
        memcpy(page_bytes(to), from, PAGE_SIZE);
    }
}

size_t file_read(const struct node *file, uint8_t *to, size_t size, uint64_t at)
{
    if (at >= file->size_now) {
        return 0;
    }
    const uint64_t left = file->size_now - at;
    const size_t all = left < size ? (size_t)left : size;
    for (size_t done = 0; done < all;) {
        const uint64_t index = (at + done) / PAGE_SIZE;
        const size_t within = (size_t)((at + done) % PAGE_SIZE);
        const size_t part = all - done < PAGE_SIZE - within ? all - done : PAGE_SIZE - within;
        if (index < file->page_count && file->pages[index].now != NULL) {
            memcpy(to + done, file->pages[index].now + within, part);
        } else {
            memset(to + done, 0, part);
        }
        done += part;
    }
    return all;
}

void file_write(struct node *file, const uint8_t *from, size_t size, uint64_t at)
{
    for (size_t done = 0; done < size;) {
        struct page *page = file_page(file, (at + done) / PAGE_SIZE);
        const size_t within = (size_t)((at + done) % PAGE_SIZE);
        const size_t part = size - done < PAGE_SIZE - within ? size - done : PAGE_SIZE - within;
        memcpy(page_bytes(&page->now) + within, from + done, part);
        page->dirty = true;
        done += part;
    }
    if (at + size > file->size_now) {
        file->size_now = at + size;
    }
}

void file_truncate(struct node *file, uint64_t size)
{
    const uint64_t first = size / PAGE_SIZE;
    for (uint64_t i = first; i < file->page_count; i++) {
        struct page *page = &file->pages[i];
        if (page->now == NULL) {
            continue;
        }
        page->dirty = true;
        if (i == first && size % PAGE_SIZE != 0) {
            memset(page->now + size % PAGE_SIZE, 0, (size_t)(PAGE_SIZE - size % PAGE_SIZE));
        } else {
            page_drop(&page->now);
        }
    }
    file->size_now = size;
}

void file_sync(struct node *file)
{
    for (size_t i = 0; i < file->page_count; i++) {
        struct page *page = &file->pages[i];
        if (page->dirty) {
            page_copy(&page->kept, page->now);
            page->dirty = false;
        }
    }
    file->size_kept = file->size_now;
}

void file_sync_failed(struct node *file)
{
    for (size_t i = 0; i < file->page_count; i++) {
        file->pages[i].dirty = false;
    }
}

/* ---- forgetting ---------------------------------------------------------------------------- */

/* Lets some of the sectors of a dirty page get to the disk after all. */
static void page_leak(struct page *page)
{
    static const uint8_t zeros[PAGE_SIZE];
    const uint8_t *now = page->now != NULL ? page->now : zeros;
    uint8_t *kept = page_bytes(&page->kept);
    const uint64_t which = dice_next();
    for (size_t i = 0; i < PAGE_SIZE / SECTOR_SIZE; i++) {
        if ((which >> i & 1) != 0) {
            memcpy(kept + i * SECTOR_SIZE, now + i * SECTOR_SIZE, SECTOR_SIZE);
        }
    }
}

/* The sectors that are not on the disk as programs saw them. */
static uint64_t page_unkept(const struct page *page)
{
    static const uint8_t zeros[PAGE_SIZE];
    const uint8_t *now = page->now != NULL ? page->now : zeros;
    const uint8_t *kept = page->kept != NULL ? page->kept : zeros;
    uint64_t count = 0;
    for (size_t at = 0; at < PAGE_SIZE; at += SECTOR_SIZE) {
        count += memcmp(now + at, kept + at, SECTOR_SIZE) != 0 ? 1 : 0;
    }
    return count;
}

static void file_forget(struct node *file, bool leaks, struct forgotten *forgotten)
{
    if (leaks && (dice_next() & 1) != 0) {
        file->size_kept = file->size_now;
    }
    for (size_t i = 0; i < file->page_count; i++) {
        struct page *page = &file->pages[i];
        if (page->dirty && leaks) {
            page_leak(page);
        }
        forgotten->sectors += page_unkept(page);
        page_copy(&page->now, page->kept);
        page->dirty = false;
    }
    /* What lies behind the end is nowhere: a file that grows again is zeros there. */
    file_truncate(file, file->size_kept);
    file_sync(file);
}

static void folder_forget(struct node *folder, bool leaks, struct forgotten *forgotten)
{
    const size_t count = folder->change_count;
    const size_t lucky = leaks ? (size_t)(dice_next() % (count + 1)) : 0;
    for (size_t i = 0; i < lucky; i++) {
        names_apply(&folder->kept, &folder->changes[i]);
    }
    forgotten->names += count - lucky;
    names_copy(&folder->now, &folder->kept);
    folder->change_count = 0;
}

static void node_free(struct node *node)
{
    for (size_t i = 0; i < node->page_count; i++) {
        page_drop(&node->pages[i].now);
        page_drop(&node->pages[i].kept);
    }
    free(node->pages);
    free(node->now.list);
    free(node->kept.list);
    free(node->changes);
    free(node);
}

/* Marks what folders that are reached lead to, until nothing new is reached. */
static void nodes_reach(struct node *root)
{
    for (struct node *n = nodes; n != NULL; n = n->next) {
        n->reached = n == root || n->opens > 0;
    }
    bool again = true;
    while (again) {
        again = false;
        for (struct node *n = nodes; n != NULL; n = n->next) {
            for (size_t i = 0; n->reached && i < n->now.count; i++) {
                again = again || !n->now.list[i].node->reached;
                n->now.list[i].node->reached = true;
            }
        }
    }
}

static void nodes_sweep(void)
{
    struct node **link = &nodes;
    while (*link != NULL) {
        struct node *node = *link;
        if (node->reached) {
            link = &node->next;
        } else {
            *link = node->next;
            node_free(node);
        }
    }
}

void forget_all(struct node *root, uint64_t seed, struct forgotten *forgotten)
{
    dice = seed;
    for (struct node *n = nodes; n != NULL; n = n->next) {
        if (n->is_folder) {
            folder_forget(n, seed != 0, forgotten);
        } else {
            file_forget(n, seed != 0, forgotten);
        }
    }
    nodes_reach(root);
    nodes_sweep();
}
