/* Goes through a log from a known place, record by record and segment by segment, and judges what
 * it meets: the decision table of recovery is here. It changes nothing: recover.c, repair.c and
 * verify.c do what their duty asks for with what it finds.
 *
 * Thread: one.  Memory: walk_deinit() frees. */
#ifndef LOG_WALK_H
#define LOG_WALK_H

#include "log/listing.h"
#include "log/record.h"
#include "log/scan.h"

enum walk_kind {
    WALK_SEGMENT, /* a segment begins */
    WALK_RECORD,  /* a record that continues the chain */
    WALK_HEAL,    /* the next segment's header is bad, but its first record continues the chain */
    WALK_NOTE,    /* rubbish behind a segment's last record; nothing is lost */
    WALK_CUT,     /* a torn tail: what stands from `at` on was never acknowledged */
    WALK_DAMAGE,  /* records are lost */
    WALK_DROP,    /* the next segment was never begun: a crash while rolling */
    WALK_END,     /* the log ends here */
};

struct walk_step {
    enum walk_kind kind;
    /* RECORD */
    struct record record;
    struct bytes bytes;
    struct log_place place;
    /* HEAL, NOTE, CUT, DAMAGE, DROP */
    size_t item;      /* of the listing: the segment concerned */
    const char *file; /* its name, lent until the next step */
    uint64_t at;
    uint64_t size; /* 0: to the end */
    const char *what;
    /* DAMAGE */
    bool of_next; /* the next segment's header, not a record of this one */
    struct scan_behind behind;
};

struct walk {
    const struct storage *storage;
    const char *folder;
    struct listing *listing; /* borrowed */
    uint32_t partition;
    size_t next_item; /* the one behind the current */
    struct storage_file *file;
    struct scan scan;
    uint64_t pos;    /* expected next */
    uint64_t hash;   /* what the next record must carry */
    bool unsynced;   /* of the current segment */
    bool end_marked; /* it stands behind a hole that reaches to the end of its segment */
    struct buf buffer_;
    struct log_name name_;
};

/* Begins in front of `item`, whose first record should be (pos, hash). */
void walk_begin(struct walk *walk, const struct storage *storage, const char *folder,
                uint32_t partition, struct listing *listing, size_t item, uint64_t pos,
                uint64_t hash);
void walk_deinit(struct walk *walk);

/* RC_OK: *ret_step. After WALK_RECORD, SEGMENT and NOTE just go on; after the others the caller
 * decides: walk_enter(), walk_resume(), or the end. RC_IO, RC_NOMEM, … */
MUST_USE enum rc walk_next(struct walk *walk, struct walk_step *step);
/* Goes on in the next segment, whatever its header says, with its first record expected to be the
 * walk's (pos, hash). */
MUST_USE enum rc walk_enter(struct walk *walk);
/* Opens the current segment anew and goes on at `at`. */
MUST_USE enum rc walk_resume(struct walk *walk, uint64_t at);
/* How many positions the current segment may have lost at its end, if that has become zeros. */
uint64_t walk_slack(const struct walk *walk);
/* The current segment's item. */
size_t walk_item(const struct walk *walk);

#endif
