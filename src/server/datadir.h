/* The data directory as a whole: whose it is, how many partitions, how the last run ended.
 *
 *   LOCK       held while a server runs
 *   meta.json  {"format":1,"incarnation":"<16 hex digits>","partitions":N,"node":n}
 *   RUNNING    there while a server runs: the durability it promises and the boot it runs in
 *   DOUBT      a sync has failed in a run that shows what is not synced; DOUBT.old once a start
 *              knows of it, until all that it asks for is in the log
 *   p000 …     one folder a partition (log/file_log.h)
 *
 * Thread: main, at start and stop.  Memory: none. */
#ifndef SERVER_DATADIR_H
#define SERVER_DATADIR_H

#include "log/storage.h"
#include "server/config.h"

struct datadir {
    uint64_t incarnation;
    unsigned partitions;
    bool fresh; /* made by this start */
    bool lost;  /* a partition is missing, and is given up */
    /* The last run ended without a word, and may have lost what was seen; or `lost`. */
    bool unclean;
};

#define DATADIR_FOLDER_SIZE 8u
/* The folder of a partition; `number` below 1000. */
void datadir_folder(unsigned number, char to[static DATADIR_FOLDER_SIZE]);

/* Reads meta.json, or makes it with `incarnation` and the partitions of the settings.
 * RC_CORRUPT  meta.json is there and is not ours, or it is missing and a partition is there; `why`
 *             says what is wrong
 * RC_USAGE    it has another node number than the settings; likewise
 * RC_IO, RC_NOSPACE, RC_DENIED, RC_NOMEM */
MUST_USE enum rc datadir_open(const struct storage *storage, const struct config *config,
                              uint64_t incarnation, struct datadir *ret_dir, char *why,
                              size_t why_size);
/* Tells by what the run before has left whether it may have lost what was seen (dir->unclean).
 * RC_CORRUPT  a partition is missing; `why` says which. With config->repair that is an unclean end
 */
MUST_USE enum rc datadir_check(const struct storage *storage, const struct config *config,
                               struct datadir *dir, char *why, size_t why_size);
/* Marks this run. Only once everything that an unclean end before asked for is in the log: a crash
 * in between must find the old mark. */
MUST_USE enum rc datadir_mark(const struct storage *storage, const struct config *config);
/* A sync has failed. Lets the next start know, if `shown` (this run has shown what it had not
 * synced) or if RUNNING names such a run. Nothing is synced for it: if the machine goes down as
 * well, RUNNING says so. Any thread. */
MUST_USE enum rc datadir_doubt(const struct storage *storage, bool shown);
/* A clean end: everything is on disk. If it fails the mark may still be there, and the next start
 * takes this end for an unclean one where that matters. */
MUST_USE enum rc datadir_unmark(const struct storage *storage);

#endif
