/* What stands in a partition's folder: its segments by number, and what belongs to each.
 *
 * Thread: start-up, the keeper, offline tools.  Memory: listing_deinit() frees. */
#ifndef LOG_LISTING_H
#define LOG_LISTING_H

#include "log/files.h"

struct found_segment {
    uint64_t number;
    bool has_segment;
    bool has_index;
    bool has_checkpoint;
    bool has_damaged; /* the original of a segment that was repaired */
    bool has_dropped; /* a segment that a repair took out */
    bool has_begun;   /* it has an index or a checkpoint, whole or not: a batch was on disk in it */
    bool header_whole;
    uint64_t size;
    uint64_t checkpoint_size;
    struct segment_header header;
};

struct listing {
    struct found_segment *items; /* by number, each with a .seg unless it is an orphan */
    size_t count;
    /* Behind the last segment one is missing of which an index or checkpoint is left. */
    bool cut;
    struct buf store_;
};

/* Lists the folder; does not open anything. RC_NOT_FOUND: no such folder; RC_IO, RC_NOMEM */
MUST_USE enum rc listing_read(const struct storage *storage, const char *folder,
                              struct listing *ret_listing);
/* Reads the size and the header of each segment, and the size of each checkpoint. */
MUST_USE enum rc listing_open_headers(const struct storage *storage, const char *folder,
                                      struct listing *listing);
/* Ends what a crash left half done: removes temporary and prepared files, gives a segment back its
 * name if a repair was cut off between two renames, ends a removal. Then forgets the orphans.
 * RC_CORRUPT: files belong to segments of which none is left */
MUST_USE enum rc listing_tidy(const struct storage *storage, const char *folder,
                              struct listing *listing);
/* Whether a segment behind the last one is missing: its own index or checkpoint is left, or the
 * last one has an index, which only a full segment has when a batch in the next one is on disk.
 * (That of a repaired one tells nothing: the repair has seen to it.) */
bool listing_tells_more(const struct listing *listing);
/* Removes index and checkpoint of segments that are missing, once a hole tells of these. */
MUST_USE enum rc listing_forget_missing(const struct storage *storage, const char *folder);
/* Takes number i out of the list. */
void listing_drop(struct listing *listing, size_t i);
void listing_deinit(struct listing *listing);

#endif
