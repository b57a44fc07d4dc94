/* The real disk: a storage over one folder of the file system, the data directory.
 *
 * Names are resolved below the root by openat and never followed if they are symbolic links; files
 * are 0600 and folders 0700. Calls that a signal interrupts go on; short reads and writes are
 * completed. Nothing is retried after a failed sync: that is the caller's to judge.
 *
 * Thread: any; one thread per file for writes.  Memory: disk_close() frees. */
#ifndef IO_DISK_H
#define IO_DISK_H

#include "log/storage.h"

struct disk; /* opaque */

/* What failed last, and that it was not there or there already is no failure: for people. */
#define DISK_TROUBLE_SIZE 256u
struct disk_trouble {
    enum rc rc;                   /* what the call returned; RC_OK: nothing has failed */
    char text[DISK_TROUBLE_SIZE]; /* "p000/…seg: no regular file" */
};

/* Opens the folder `root`, and makes it if it is missing (its parent must be there). Where that
 * fails *ret_trouble says what is the matter with it, without its name; NULL is allowed.
 * RC_NOT_FOUND, RC_DENIED, RC_NOSPACE, RC_IO, RC_NOMEM */
MUST_USE enum rc disk_open(const char *root, struct disk **ret_disk,
                           struct disk_trouble *ret_trouble);
/* NULL is allowed. No file may be open. Gives the lock back. */
void disk_close(struct disk *disk);
/* The storage interface; lives as long as the disk. */
struct storage disk_storage(struct disk *disk);
void disk_trouble_get(struct disk *disk, struct disk_trouble *ret_trouble);
/* Takes the folder for this process: a lock on it and on the file LOCK in it, which the kernel
 * gives back when the process ends, however it ends.
 * RC_LOCKED  another process has it; RC_DENIED, RC_IO, … */
MUST_USE enum rc disk_lock(struct disk *disk);
/* Asks the kernel to bring everything that was written to disk: at a clean stop of a server that
 * does not sync each commit. RC_IO, RC_NOSPACE */
enum rc disk_sync(struct disk *disk);

#endif
