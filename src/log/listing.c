#include "log/listing.h"

#include "base/mark.h"

#include <stdlib.h>

struct collector {
    struct listing *listing;
    enum rc rc;
};

static bool suffix_is(const char *suffix, const char *wanted)
{
    ASSERT(suffix != NULL);
    ASSERT(wanted[0] == '.');
    return strcmp(suffix, wanted) == 0;
}

/* One item a number, by number. */
static void listing_check(const struct listing *listing)
{
    ASSERT(listing->count <= listing->store_.size / sizeof(*listing->items));
    ASSERT(listing->count == 0 || listing->items != NULL);
    for (size_t i = 0; i < listing->count; i++) {
        ASSERT_HOT(listing->items[i].number > 0);
        ASSERT_HOT(i == 0 || listing->items[i - 1].number < listing->items[i].number);
    }
}

static void collect(void *ctx, const char *entry)
{
    ASSERT(entry != NULL);
    struct collector *collector = ctx;
    struct found_segment found = {0};
    const char *suffix;
    if (collector->rc != RC_OK || !log_name_parse(entry, &found.number, &suffix)) {
        return;
    }
    found.has_segment = suffix_is(suffix, ".seg");
    ASSERT(found.number > 0);
    found.has_index = suffix_is(suffix, ".idx");
    found.has_checkpoint = suffix_is(suffix, ".ckp");
    found.has_damaged = suffix_is(suffix, ".seg.damaged");
    found.has_dropped = suffix_is(suffix, ".seg.dropped");
    if (found.has_segment || found.has_index || found.has_checkpoint || found.has_damaged ||
        found.has_dropped) {
        collector->rc = buf_append(&collector->listing->store_, bytes_of(&found, sizeof(found)));
    }
}

static int compare_numbers(const void *a, const void *b)
{
    const struct found_segment *left = a;
    const struct found_segment *right = b;
    ASSERT(left->number > 0);
    ASSERT(right->number > 0);
    return left->number < right->number ? -1 : left->number > right->number;
}

/* One item per number. */
static void merge(struct listing *listing)
{
    size_t count = 0;
    for (size_t i = 0; i < listing->count; i++) {
        const struct found_segment *from = &listing->items[i];
        ASSERT(from->number > 0);
        ASSERT(count <= i);
        if (count > 0 && listing->items[count - 1].number == from->number) {
            struct found_segment *to = &listing->items[count - 1];
            to->has_segment |= from->has_segment;
            to->has_index |= from->has_index;
            to->has_checkpoint |= from->has_checkpoint;
            to->has_damaged |= from->has_damaged;
            to->has_dropped |= from->has_dropped;
        } else {
            listing->items[count++] = *from;
        }
    }
    listing->count = count;
    listing_check(listing);
}

/* Files without a segment behind all segments; in front of them they are a removal's. */
static bool ends_in_missing(const struct listing *listing)
{
    bool missing = false;
    ASSERT(listing->store_.data != NULL || listing->count == 0);
    for (size_t i = listing->count; i-- > 0;) {
        const struct found_segment *found = &listing->items[i];
        ASSERT(found->number > 0);
        if (found->has_segment || found->has_damaged) {
            return missing;
        }
        missing = missing || found->has_begun;
    }
    return false;
}

bool listing_tells_more(const struct listing *listing)
{
    listing_check(listing);
    ASSERT(listing->count > 0);
    const struct found_segment *last = &listing->items[listing->count - 1];
    return listing->cut || (last->has_index && !last->has_damaged);
}

enum rc listing_read(const struct storage *storage, const char *folder, struct listing *ret_listing)
{
    ASSERT(ret_listing != NULL);
    struct listing listing = {0};
    struct collector collector = {.listing = &listing, .rc = RC_OK};
    enum rc rc = storage->ops->list(storage->ctx, folder, collect, &collector);
    if (rc == RC_OK) {
        rc = collector.rc;
    }
    if (rc != RC_OK) {
        buf_deinit(&listing.store_);
        return rc;
    }
    listing.items = (struct found_segment *)(void *)listing.store_.data;
    listing.count = listing.store_.size / sizeof(*listing.items);
    if (listing.count > 0) {
        qsort(listing.items, listing.count, sizeof(*listing.items), compare_numbers);
    }
    merge(&listing);
    for (size_t i = 0; i < listing.count; i++) {
        struct found_segment *found = &listing.items[i];
        found->has_begun = found->has_index || found->has_checkpoint;
    }
    listing.cut = ends_in_missing(&listing);
    ASSERT(listing.count <= listing.store_.size / sizeof(*listing.items));
    *ret_listing = listing;
    return RC_OK;
}

void listing_deinit(struct listing *listing)
{
    buf_deinit(&listing->store_);
    ASSERT(listing->store_.data == NULL);
    *listing = (struct listing){0};
}

void listing_drop(struct listing *listing, size_t i)
{
    ASSERT(listing->items != NULL);
    ASSERT(i < listing->count);
    bytes_move(&listing->items[i], &listing->items[i + 1],
               (listing->count - i - 1) * sizeof(*listing->items));
    listing->count--;
    listing_check(listing);
}

static enum rc open_header(const struct storage *storage, const char *folder,
                           struct found_segment *found)
{
    ASSERT(found->has_segment);
    ASSERT(found->number > 0);
    const struct log_name name = log_name_of(folder, found->number, ".seg");
    struct storage_file *file;
    enum rc rc = files_open(storage, name.text, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc;
    }
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    rc = files_size(storage, file, &found->size);
    if (rc == RC_OK) {
        rc = files_read_exact(storage, file, bytes, sizeof(bytes), 0);
    }
    files_close(storage, file);
    if (rc == RC_OK) {
        rc = segment_header_decode(bytes_of(bytes, sizeof(bytes)), &found->header);
    }
    /* A segment under another's name is none. */
    found->header_whole =
        rc == RC_OK && found->header.number == found->number && found->size <= SEGMENT_BYTES_MAX;
    ASSERT(!found->header_whole || found->header.number == found->number);
    return rc == RC_CORRUPT ? RC_OK : rc;
}

static enum rc open_checkpoint(const struct storage *storage, const char *folder,
                               struct found_segment *found)
{
    ASSERT(found->has_checkpoint);
    const struct log_name name = log_name_of(folder, found->number, ".ckp");
    struct storage_file *file;
    enum rc rc = files_open(storage, name.text, STORAGE_READ, &file);
    if (rc == RC_OK) {
        rc = files_size(storage, file, &found->checkpoint_size);
        files_close(storage, file);
    }
    return rc;
}

enum rc listing_open_headers(const struct storage *storage, const char *folder,
                             struct listing *listing)
{
    listing_check(listing);
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < listing->count; i++) {
        struct found_segment *found = &listing->items[i];
        ASSERT(found->has_segment); /* orphans have been dropped */
        rc = open_header(storage, folder, found);
        if (rc == RC_OK && found->has_checkpoint) {
            rc = open_checkpoint(storage, folder, found);
        }
    }
    return rc;
}

/* ---- tidying ------------------------------------------------------------------------------- */

struct sweeper {
    struct buf names; /* of what goes, each with its NUL */
    enum rc rc;
};

static bool is_rubbish(const char *suffix)
{
    ASSERT(suffix[0] == '.');
    const size_t size = strlen(suffix);
    if (size > LOG_SUFFIX_BYTES_MAX) {
        return false; /* nothing of ours has such a name */
    }
    return suffix_is(suffix, ".new") || (size >= 4 && suffix_is(suffix + size - 4, ".tmp"));
}

static void sweep(void *ctx, const char *entry)
{
    ASSERT(entry != NULL);
    struct sweeper *sweeper = ctx;
    uint64_t number;
    const char *suffix;
    if (sweeper->rc == RC_OK && log_name_parse(entry, &number, &suffix) && is_rubbish(suffix)) {
        struct log_name name = {0};
        ASSERT(strlen(entry) < sizeof(name.text));
        bytes_copy(name.text, entry, strlen(entry)); /* a short suffix: it fits */
        sweeper->rc = buf_append(&sweeper->names, bytes_of(&name, sizeof(name)));
    }
}

/* The names are collected first: a folder must not change while it is listed. */
static enum rc remove_rubbish(const struct storage *storage, const char *folder)
{
    struct sweeper sweeper = {.rc = RC_OK};
    enum rc rc = storage->ops->list(storage->ctx, folder, sweep, &sweeper);
    if (rc == RC_OK) {
        rc = sweeper.rc;
    }
    for (size_t at = 0; rc == RC_OK && at < sweeper.names.size; at += sizeof(struct log_name)) {
        ASSERT(sweeper.names.size % sizeof(struct log_name) == 0);
        MARK("listing: a temporary or prepared file is removed");
        const char *entry = (const char *)sweeper.names.data + at;
        uint64_t number = 0;
        const char *suffix = NULL;
        const bool ours = log_name_parse(entry, &number, &suffix);
        ASSERT(ours);
        ASSERT(is_rubbish(suffix));
        const struct log_name name = log_name_of(folder, number, suffix);
        rc = files_remove(storage, name.text);
    }
    buf_deinit(&sweeper.names);
    return rc;
}

/* An item without a segment. In front of all segments it is what a removal left; behind, or in the
 * middle, its segment is lost, and that is for recovery to find. */
static enum rc tidy_orphan(const struct storage *storage, const char *folder,
                           struct found_segment *found, bool in_front)
{
    ASSERT(!found->has_segment);
    ASSERT(found->number > 0);
    static const char *const suffixes[] = {".seg.damaged", ".idx", ".ckp"};
    if (found->has_damaged) {
        const struct log_name from = log_name_of(folder, found->number, ".seg.damaged");
        const struct log_name to = log_name_of(folder, found->number, ".seg");
        found->has_segment = true;
        found->has_damaged = false;
        ASSERT(!found->has_damaged);
        return files_rename(storage, from.text, to.text);
    }
    for (size_t i = 0; in_front && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        MARK("listing: what a removal left in front is removed");
        const struct log_name name = log_name_of(folder, found->number, suffixes[i]);
        const enum rc rc = files_remove(storage, name.text);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

enum rc listing_tidy(const struct storage *storage, const char *folder, struct listing *listing)
{
    listing_check(listing);
    enum rc rc = remove_rubbish(storage, folder);
    if (rc != RC_OK) {
        return rc;
    }
    bool in_front = false;
    for (size_t i = 0; i < listing->count; i++) {
        in_front = in_front || listing->items[i].has_segment || listing->items[i].has_damaged;
    }
    if (listing->count > 0 && !in_front) {
        return RC_CORRUPT;
    }
    if (in_front && !listing->items[0].has_segment) {
        /* After the end of a process the removal that left it need not be on disk yet; and its
         * segment must not come back without its index and its checkpoint. */
        rc = files_sync_dir(storage, folder);
    }
    for (size_t i = 0; rc == RC_OK && i < listing->count; i++) {
        if (listing->items[i].has_segment) {
            in_front = false;
        } else {
            rc = tidy_orphan(storage, folder, &listing->items[i], in_front);
            in_front = in_front && !listing->items[i].has_segment;
        }
    }
    if (rc == RC_OK) {
        rc = files_sync_dir(storage, folder);
    }
    for (size_t i = listing->count; i-- > 0;) {
        if (!listing->items[i].has_segment) {
            listing_drop(listing, i);
        }
    }
    listing_check(listing);
    return rc;
}

enum rc listing_forget_missing(const struct storage *storage, const char *folder)
{
    struct listing listing;
    enum rc rc = listing_read(storage, folder, &listing);
    if (rc != RC_OK) {
        return rc;
    }
    listing_check(&listing);
    static const char *const suffixes[] = {".idx", ".ckp"};
    bool removed = false;
    for (size_t i = 0; rc == RC_OK && i < listing.count; i++) {
        const struct found_segment *found = &listing.items[i];
        const bool missing = !found->has_segment && found->has_begun;
        ASSERT(found->has_segment || !found->has_damaged); /* it is tidy by now */
        for (size_t s = 0; rc == RC_OK && missing && s < 2; s++) {
            MARK("listing: what is left of a missing segment is removed");
            const struct log_name name = log_name_of(folder, found->number, suffixes[s]);
            rc = files_remove(storage, name.text);
            removed = true;
        }
    }
    listing_deinit(&listing);
    return rc == RC_OK && removed ? files_sync_dir(storage, folder) : rc;
}
