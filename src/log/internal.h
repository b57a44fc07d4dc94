/* The inside of a file_log, for the files of src/log only.
 *
 * There is no lock in here. Each part of the struct belongs to one thread; what passes between
 * threads passes in arguments: batches, reads, chores.
 *
 * Thread: see each part.  Memory: file_log_close() frees. */
#ifndef LOG_INTERNAL_H
#define LOG_INTERNAL_H

#include "base/limits.h"
#include "log/file_log.h"
#include "log/files.h"
#include "log/index.h"
#include "log/index_file.h"
#include "log/listing.h"

#include <stdalign.h>

struct walk; /* log/walk.h */

/* A segment as the owner knows it. */
struct segment {
    uint64_t number;
    uint64_t first_pos;
    uint64_t prev_hash;
    uint64_t end_pos; /* of what is committed */
    uint64_t end_hash;
    uint64_t end_at;
    uint64_t bytes;                /* of its files */
    uint64_t checkpoint_bytes;     /* 0: it has none */
    bool unindexed;                /* after a repair: nothing of it can be found */
    struct segment_index *index;   /* not sealed: NULL as long as nothing is in it */
    struct index_summary *summary; /* sealed */
};

/* The sealed segments, in order, as a read sees them. Never changed once made. */
struct snapshot {
    uint32_t refs; /* owner only */
    size_t count;
    struct index_summary *items[];
};

/* A file that the reader keeps open. */
struct reader_file {
    uint64_t number; /* 0: free */
    bool is_index;
    uint64_t last_used;
    struct storage_file *file;
};

#define READER_FILES 16u

enum committer_state {
    COMMITTER_OPEN,
    COMMITTER_FULL,    /* open for trims: there is no room for another segment */
    COMMITTER_STOPPED, /* a write failed; what was synced is on disk: reopen may help */
    COMMITTER_DEAD,    /* a sync failed: what is on disk is unknown */
};

struct file_log {
    /* Constant after open; any thread. */
    struct storage storage;
    char folder[LOG_FOLDER_BYTES_MAX + 1];
    uint32_t partition;
    uint64_t incarnation;
    uint32_t segment_bytes;
    void (*on_sync_failed)(void *ctx);
    void *ctx;
    uint64_t recovered_pos;
    uint64_t recovered_hash;
    struct buf losses; /* struct log_loss */

    /* Owner. */
    alignas(CACHE_LINE) struct {
        struct segment *segments; /* the newest is last */
        size_t count;
        size_t capacity;
        struct snapshot *snapshot;
        bool snapshot_stale; /* for want of memory; made again at the next chance */
        bool recovering;
        bool chore_busy;    /* a SEAL or PREPARE is under way */
        bool chore_rest;    /* one failed: wait for the next commit */
        uint64_t prepared;  /* the newest segment number that was prepared */
        uint64_t preparing; /* the one for which a PREPARE is under way, or 0 */
    } owner;

    /* Committer. */
    alignas(CACHE_LINE) struct {
        enum committer_state state;
        struct storage_file *file;
        uint64_t number;
        uint64_t at;        /* where the next batch goes */
        uint64_t capacity;  /* the segment is full here */
        uint64_t written;   /* bytes of it that were written ahead; 0: it is of our own making */
        uint64_t prepared;  /* the newest one that is; told by the owner with each batch */
        uint64_t preparing; /* likewise */
        uint64_t prepared_at_reopen; /* the same, told with each reopen */
        uint64_t tried;              /* the newest one that was looked for in a roll */
        uint64_t next_pos;
        uint64_t next_hash;
        bool dirty;         /* something is written and not synced */
        bool unsynced_mode; /* new segments are marked so; for good once it is */
        bool marked;        /* the current one is */
        uint64_t left_over; /* number of a segment that a failed roll may have left, or 0 */
        uint64_t last_at;   /* the last batch in this segment, for reopen; 0: there is none */
        uint64_t last_pos;
        uint64_t last_hash;
    } committer;

    /* Reader. */
    alignas(CACHE_LINE) struct {
        struct reader_file files[READER_FILES];
        uint64_t clock;
        struct buf window;
        uint64_t window_segment; /* 0: nothing is in it */
        uint64_t window_at;
        struct index_pages pages;
    } reader;

    /* Keeper. */
    alignas(CACHE_LINE) struct {
        uint64_t prepared; /* number of a .new that is there, or 0 */
    } keeper;
};

/* What a SEAL chore carries. */
struct seal {
    const struct segment_index *index; /* full, so it does not change; NULL: nothing is in it */
    struct index_head head;
    struct index_summary *summary; /* the result */
};

/* ---- catalogue.c: owner -------------------------------------------------------------------- */

/* Room for one more segment. RC_NOMEM */
MUST_USE enum rc catalogue_reserve(struct file_log *log);
/* Adds the newest; there is room. */
struct segment *catalogue_push(struct file_log *log, uint64_t number, uint64_t first_pos,
                               uint64_t prev_hash);
struct segment *catalogue_newest(struct file_log *log);
/* NULL: no such segment. */
struct segment *catalogue_find(struct file_log *log, uint64_t number);
/* Makes the snapshot of the sealed segments anew. RC_NOMEM: the old one stays */
MUST_USE enum rc catalogue_snapshot(struct file_log *log);
/* Removes those below `number`. */
void catalogue_remove_below(struct file_log *log, uint64_t number);
void catalogue_deinit(struct file_log *log);
void snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* NULL is allowed */

/* ---- recover.c, repair.c, commit.c, chore.c, read.c ---------------------------------------- */

/* Start-up, whole: catalogue, replay, and where the committer goes on. */
MUST_USE enum rc log_recover(struct file_log *log, const struct file_log_options *options);
/* Cuts all damage out that is found in any segment. */
MUST_USE enum rc log_repair(struct file_log *log, const struct file_log_options *options,
                            struct listing *listing);
/* Rewrites the next segment's header, which the chain determines. */
MUST_USE enum rc log_heal_header(const struct file_log *log, struct walk *walk);
/* Writes a segment's file whole under a temporary name, synced: header, then zeros. */
MUST_USE enum rc segment_write_ahead(const struct file_log *log, const char *name,
                                     const struct segment_header *header);
void log_report(const struct file_log_options *options, const struct log_damage *damage);
/* Syncs a segment that may hold what was committed without a sync of its own. */
MUST_USE enum rc log_sync_segment(const struct file_log *log, struct storage_file *file);

/* ---- reader.c: the reader's files and bytes ------------------------------------------------ */

/* A file of segment `number`, its index or itself; kept open. RC_NOT_FOUND, RC_IO, … */
MUST_USE enum rc reader_file(struct file_log *log, uint64_t number, bool is_index,
                             struct storage_file **ret_file);
/* A whole record at a place where the index says that there is one, lent until the next call; and
 * the CRC that it begins with. `backward`: the next one wanted stands in front of it.
 * RC_CORRUPT: there is none */
MUST_USE enum rc reader_record(struct file_log *log, uint64_t number, uint64_t at, bool backward,
                               struct record *ret_record, uint32_t *ret_crc);
/* Files of segments that are gone must not stay open: their bytes would stay on disk. */
void reader_forget_below(struct file_log *log, uint64_t number);
void reader_deinit(struct file_log *log);

#endif
