/* A disk in memory with a journal, for tests that go through all the states a crash can leave.
 *
 * What is not synced yet stands in the journal, item by item: a sector as one write left it, a
 * file's size, a change of a folder. A crash leaves what is synced and any subset of the items, in
 * their order; so a sector that was written twice may hold the old bytes, the first or the second.
 * That is harsher than any file system we know. sync_data() takes a file's items out of the
 * journal, sync_dir() a folder's.
 *
 * Thread: one.  Memory: jdisk_close() frees; it uses the C heap and not base/mem. A disk that is
 * copied to keeps its buffers, since tens of thousands of states go through one. */
#ifndef TEST_TORTURE_JDISK_H
#define TEST_TORTURE_JDISK_H

#include "log/storage.h"

struct jdisk; /* opaque */

struct jdisk *jdisk_open(void);
void jdisk_close(struct jdisk *disk); /* NULL is allowed */
struct storage jdisk_storage(struct jdisk *disk);

/* From now on nothing is kept in the journal: for tests that plant damage and never crash. */
void jdisk_plain(struct jdisk *disk);

/* Calls `before_change` before each call that changes something, while nothing of it is done. */
void jdisk_watch(struct jdisk *disk, void (*before_change)(void *ctx), void *ctx);
/* Calls that changed something, so far. */
uint64_t jdisk_changes(const struct jdisk *disk);
/* The machine dies before change number k (1 = the next): every call from then on fails with RC_IO.
 * 0: never. */
void jdisk_die_before(struct jdisk *disk, uint64_t k);
bool jdisk_is_dead(const struct jdisk *disk);

/* Items in the journal. */
size_t jdisk_unsynced(const struct jdisk *disk);
/* Which of them a crash left. */
struct jdisk_choice {
    uint64_t mask; /* of items 0 … 63, if `seed` is 0; items above are lost */
    uint64_t seed; /* else: any, by this; some sectors are torn */
};
/* How many choices there are to try: every subset if there are at most `all_max` of them, and a
 * quarter of `some` with torn sectors; else `some` of them. */
size_t jdisk_choice_count(const struct jdisk *disk, size_t all_max, size_t some);
/* Number i of them: the first loses everything, the second of pseudo-random ones loses nothing. */
struct jdisk_choice jdisk_choice(const struct jdisk *disk, size_t all_max, size_t i);
/* Whether it leaves everything. */
bool jdisk_choice_is_whole(const struct jdisk *disk, struct jdisk_choice choice);
/* Makes `to` what the crash leaves of `disk`, all of it synced. No file of `to` may be open. */
void jdisk_crash(const struct jdisk *disk, struct jdisk_choice choice, struct jdisk *to);
/* The same, with nothing lost, and all of it synced. */
void jdisk_kill(const struct jdisk *disk, struct jdisk *to);
/* A copy with its journal: as after kill -9, where the machine goes on and what was not synced is
 * still not. */
void jdisk_copy(const struct jdisk *disk, struct jdisk *to);
/* The same for the same names and bytes. The journal does not count. */
uint64_t jdisk_hash(const struct jdisk *disk);

/* The bytes of a file, to be damaged in place; NULL: there is none. Good until the next change. */
uint8_t *jdisk_bytes(struct jdisk *disk, const char *name, size_t *ret_size);
/* Sets a file's size; what is new is zero. For planting damage: no change that is counted. */
void jdisk_resize(struct jdisk *disk, const char *name, size_t size);

#endif
