/* A disk in memory, for tests: it knows what is synced and what is not, and can lose the rest.
 *
 * The model is harsher than any file system we know: of what is not synced any subset of 512-byte
 * sectors gets to disk, a sector may be torn, a file may keep its old size, and of the changes of a
 * folder any subset happens. What sync_data() or sync_dir() has acknowledged stays.
 *
 * Faults: the k-th call of a kind fails, once or for ever after; the disk is full; the machine dies
 * at the k-th call that changes something.
 *
 * Thread: one.  Memory: sim_disk_close() frees; it uses the C heap and not base/mem, so that tests
 * that fail allocations fail those of the code under test only. */
#ifndef TEST_SIM_DISK_H
#define TEST_SIM_DISK_H

#include "log/storage.h"

struct sim_disk; /* opaque */

enum sim_call {
    SIM_OPEN,
    SIM_READ,
    SIM_WRITE,
    SIM_SYNC_DATA,
    SIM_TRUNCATE,
    SIM_RENAME,
    SIM_REMOVE,
    SIM_MAKE_DIR,
    SIM_SYNC_DIR,
    SIM_LIST,
    SIM_CALL_COUNT,
};

enum sim_loss {
    SIM_LOSE_NOTHING,    /* what was written is there, and on disk: as some time after kill -9 */
    SIM_LOSE_EVERYTHING, /* nothing that was not synced is there */
    SIM_LOSE_SOME,       /* any subset, by the disk's generator; sectors may be torn */
    SIM_LOSE_LATER, /* as right after kill -9: all is there, and a power cut may still take it */
};

struct sim_disk *sim_disk_open(uint64_t seed);
void sim_disk_close(struct sim_disk *disk);
struct storage sim_disk_storage(struct sim_disk *disk);
/* A copy of all that is on it now, faults off. No file may be open. */
struct sim_disk *sim_disk_copy(const struct sim_disk *disk, uint64_t seed);

/* Call number k (1 = the next) of that kind fails with `rc`; if `forever`, all after it, too.
 * 0: no fault. */
void sim_disk_fail(struct sim_disk *disk, enum sim_call kind, uint64_t k, bool forever, enum rc rc);
/* Whether a sync that fails has done its work after all. */
void sim_disk_sync_keeps(struct sim_disk *disk, bool keeps);
uint64_t sim_disk_call_count(const struct sim_disk *disk, enum sim_call kind);
/* Bytes that all files together may hold; UINT64_MAX: no limit. */
void sim_disk_budget(struct sim_disk *disk, uint64_t bytes);
uint64_t sim_disk_used(const struct sim_disk *disk);

/* Calls that change something, so far. */
uint64_t sim_disk_changes(const struct sim_disk *disk);
/* The machine dies at change number k (1 = the next): that one may or may not get to disk, and
 * every call from then on fails. 0: never. */
void sim_disk_die_at(struct sim_disk *disk, uint64_t k);
bool sim_disk_is_dead(const struct sim_disk *disk);
/* Power on again. All files must have been closed. */
void sim_disk_restart(struct sim_disk *disk, enum sim_loss loss);

/* What power cuts and failed syncs have cost so far. */
struct sim_disk_losses {
    uint64_t sectors_lost;
    uint64_t sectors_torn;
    uint64_t sectors_ahead; /* kept, and one before them in the file is lost */
    uint64_t sizes_lost;    /* files that are as long as before */
    uint64_t zero_tails;    /* … that have grown, and their new end was never written */
    uint64_t names_lost;
    uint64_t renames_lost;
    uint64_t removals_lost;
};
const struct sim_disk_losses *sim_disk_losses(const struct sim_disk *disk);

/* For planting damage; all of it at once durable. False: no such file. */
bool sim_disk_get(const struct sim_disk *disk, const char *name, struct bytes *ret_bytes);
bool sim_disk_flip(struct sim_disk *disk, const char *name, uint64_t at, uint8_t mask);
bool sim_disk_cut(struct sim_disk *disk, const char *name, uint64_t size);
bool sim_disk_delete(struct sim_disk *disk, const char *name);
void sim_disk_put(struct sim_disk *disk, const char *name, struct bytes bytes);

/* For damage while the machine runs: what is not synced yet stays so. */
/* What is on disk for sure of a file whose name is, too; false: there is no such file. */
bool sim_disk_get_synced(const struct sim_disk *disk, const char *name, struct bytes *ret_bytes);
/* Name number i, of a file or a folder; NULL: there are fewer. */
const char *sim_disk_name(const struct sim_disk *disk, size_t i);
/* Of a file that sim_disk_get_synced() knows, within what it gave. */
void sim_disk_poke(struct sim_disk *disk, const char *name, uint64_t at, struct bytes bytes);
void sim_disk_shorten(struct sim_disk *disk, const char *name, uint64_t size);
size_t sim_disk_file_count(const struct sim_disk *disk);

#endif
