/* Checks what is derived from a log against the log: checkpoints and index files, while a walk goes
 * from record to record.
 *
 * The application applies each record again and tells where its messages stand. So at each
 * checkpoint there is a state computed from the one before, and at the end of each segment an index
 * of our own: both must be what the files say, byte for byte and entry for entry, digests included.
 *
 * Behind damage or a hole nobody knows what the state was; from the next checkpoint on it is known
 * again, and the index of a segment is compared only if the state was known all through it.
 *
 * Thread: the walk's.  Memory: audit_deinit() frees. */
#ifndef LOG_AUDIT_H
#define LOG_AUDIT_H

#include "log/file_log.h"
#include "log/index.h"
#include "log/listing.h"

struct audit {
    const struct storage *storage;
    const char *folder;
    const struct log_replay *replay; /* NULL: nothing is checked in here */
    void (*report)(void *ctx, uint64_t number, const char *suffix, uint64_t at, const char *what);
    void *ctx;
    /* The segment at hand: */
    const struct found_segment *found;
    struct segment_index *index; /* NULL: nothing is in it yet */
    bool known;                  /* the state is that of the records so far */
    bool whole;                  /* and was so from the segment's first record on */
};

/* A segment begins; the one before has ended. RC_IO, RC_NOMEM */
MUST_USE enum rc audit_segment(struct audit *audit, const struct found_segment *found);
/* A record that continues the chain. RC_IO, RC_NOMEM */
MUST_USE enum rc audit_record(struct audit *audit, const struct record *record,
                              struct log_place place);
/* Records are missing, or may be. */
void audit_lost(struct audit *audit);
/* The last segment ends. RC_IO, RC_NOMEM */
MUST_USE enum rc audit_end(struct audit *audit);
void audit_deinit(struct audit *audit);

#endif
