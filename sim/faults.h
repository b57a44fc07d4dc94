/* The kinds of faults: what each is called, what it does, how often it comes, how often it came.
 *
 * A seed enables a random subset of them (swarm testing) and draws a rate for each. Rates are in
 * 100,000 of a kind's opportunities: steps of the world, calls of the disk, connections, restarts,
 * acts of a client. Worlds of few steps have higher rates, so that a short world is a dense one.
 *
 * Thread: one.  Memory: none. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "base/prng.h"

#include <stdbool.h>
#include <stdint.h>

/* What a rate counts: steps and calls are scaled to the world's size, the others are not. */
enum fault_unit {
    FAULT_A_STEP,
    FAULT_A_CALL, /* of the disk */
    FAULT_A_CASE, /* connection, restart, stop, accept, act, crash */
};

/* name, what happens, unit, percent of the worlds that have it, highest rate */
#define FAULT_LIST(X)                                                                              \
    X(KILL, "the process is killed", FAULT_A_STEP, 40, 400)                                        \
    X(POWER_CUT, "the power fails, all that was not synced is lost", FAULT_A_STEP, 30, 300)        \
    X(POWER_TEAR, "the power fails, a part of what was not synced is lost", FAULT_A_STEP, 40, 400) \
    X(DIE_WRITING, "the machine dies while it writes", FAULT_A_STEP, 40, 500)                      \
    X(DIE_ROLLING, "the machine dies while it begins a segment", FAULT_A_CASE, 25, 8000)           \
    X(DIE_RECOVERING, "the machine dies while it recovers", FAULT_A_CASE, 35, 50000)               \
    X(DIE_STOPPING, "the process is killed while it stops", FAULT_A_CASE, 25, 80000)               \
    X(STOP, "the server is stopped", FAULT_A_STEP, 25, 300)                                        \
    X(SETTINGS, "a start with other settings", FAULT_A_CASE, 45, 100000)                           \
    X(NO_MEMORY, "an allocation fails", FAULT_A_STEP, 10, 250)                                     \
    X(NO_MEMORY_RECOVERING, "an allocation fails while it recovers", FAULT_A_CASE, 15, 80000)      \
    X(NO_MEMORY_APPENDING, "an allocation fails while commands come in", FAULT_A_CASE, 10, 6000)   \
    X(NO_MEMORY_APPLYING, "an allocation fails while a batch is applied", FAULT_A_CASE, 15, 60000) \
    X(PAUSE_REACTOR, "a reactor pauses", FAULT_A_STEP, 30, 900)                                    \
    X(PAUSE_WORKER, "a worker pauses", FAULT_A_STEP, 30, 900)                                      \
    X(PAUSE_ALL, "everything stands still", FAULT_A_STEP, 25, 300)                                 \
    X(WALL_FORWARD, "the wall clock jumps forward", FAULT_A_STEP, 20, 400)                         \
    X(WALL_BACK, "the wall clock jumps back", FAULT_A_STEP, 20, 400)                               \
    X(WALL_STOPS, "the wall clock stands", FAULT_A_STEP, 15, 400)                                  \
    X(WALL_DRIFTS, "the wall clock goes wrong", FAULT_A_STEP, 15, 400)                             \
    X(LEAP_SECOND, "a second is counted twice", FAULT_A_STEP, 15, 500)                             \
    X(CUT, "a connection is cut", FAULT_A_STEP, 60, 1200)                                          \
    X(CUT_LATER, "a connection is cut after n bytes", FAULT_A_CASE, 40, 60000)                     \
    X(HALF_OPEN, "a connection goes silent", FAULT_A_STEP, 25, 600)                                \
    X(WINDOW_SHUT, "a client stops reading", FAULT_A_STEP, 50, 2000)                               \
    X(SLOW_READER, "a client reads slowly", FAULT_A_CASE, 50, 60000)                               \
    X(TINY_BUFFER, "a connection has a small send buffer", FAULT_A_CASE, 60, 80000)                \
    X(ACCEPT, "accept fails", FAULT_A_CASE, 20, 40000)                                             \
    X(CONNECT, "a connection is refused on its way", FAULT_A_CASE, 15, 40000)                      \
    X(PARTITION_ALL, "a partition of the network, both ways", FAULT_A_STEP, 20, 250)               \
    X(PARTITION_UP, "a partition of the network, towards the server", FAULT_A_STEP, 20, 250)       \
    X(PARTITION_DOWN, "a partition of the network, from the server", FAULT_A_STEP, 20, 250)        \
    X(SWIZZLE, "links clog one by one and clear in another order", FAULT_A_STEP, 20, 250)          \
    X(DISK_ERRORS, "the disk has errors for a while", FAULT_A_STEP, 20, 500)                       \
    X(OPEN_FAILS, "open fails", FAULT_A_CALL, 12, 6000)                                            \
    X(READ_FAILS, "a read fails", FAULT_A_CALL, 15, 6000)                                          \
    X(WRITE_FAILS, "a write fails, having written a part", FAULT_A_CALL, 15, 4000)                 \
    X(WRITE_NO_SPACE, "a write finds no space", FAULT_A_CALL, 15, 4000)                            \
    X(TRIM_NO_SPACE, "the write of a trim finds no space", FAULT_A_CASE, 25, 50000)                \
    X(SYNC_FAILS, "a sync fails once, what it was for is dropped", FAULT_A_CALL, 15, 3000)         \
    X(SYNC_FAILS_EVER, "every sync fails from now on", FAULT_A_CALL, 10, 3000)                     \
    X(SYNC_LIES_FAILED, "a sync fails, and has done its work", FAULT_A_CALL, 12, 3000)             \
    X(RENAME_FAILS, "rename fails", FAULT_A_CALL, 15, 6000)                                        \
    X(REMOVE_FAILS, "remove fails", FAULT_A_CALL, 15, 20000)                                       \
    X(MAKE_DIR_FAILS, "make_dir fails", FAULT_A_CALL, 10, 20000)                                   \
    X(SYNC_DIR_FAILS, "the sync of a folder fails", FAULT_A_CALL, 15, 6000)                        \
    X(LIST_FAILS, "list fails", FAULT_A_CALL, 15, 12000)                                           \
    X(DISK_FULL, "the disk is full for a while", FAULT_A_STEP, 25, 600)                            \
    X(DISK_SLOW, "a call of the disk is slow", FAULT_A_CALL, 25, 8000)                             \
    X(DISK_HANGS, "a call of the disk hangs", FAULT_A_CALL, 15, 1500)                              \
    X(ROT_RECORD_HEADER, "a bit of a record's header rots", FAULT_A_STEP, 40, 500)                 \
    X(ROT_RECORD_BODY, "a bit of a record rots", FAULT_A_STEP, 40, 500)                            \
    X(ROT_NOTHING, "a bit rots behind a segment's last record", FAULT_A_STEP, 40, 400)             \
    X(ROT_SEGMENT_HEADER, "a bit of a segment's header rots", FAULT_A_STEP, 40, 400)               \
    X(ROT_INDEX, "a bit of an index file rots", FAULT_A_STEP, 40, 500)                             \
    X(ROT_CHECKPOINT, "a bit of a checkpoint rots", FAULT_A_CASE, 40, 100000)                      \
    X(WRITE_LOST, "a write that was acknowledged was never done", FAULT_A_STEP, 40, 400)           \
    X(WRITE_ASTRAY, "a write lands where it does not belong", FAULT_A_STEP, 40, 400)               \
    X(SECTORS_ZERO, "sectors have become zeros", FAULT_A_STEP, 40, 400)                            \
    X(FILE_GONE, "a file vanishes", FAULT_A_STEP, 40, 400)                                         \
    X(SEGMENT_CUT, "a segment loses its end", FAULT_A_STEP, 40, 300)                               \
    X(READ_STALE, "a read gives what was there before", FAULT_A_CALL, 40, 4000)                    \
    X(SECTOR_LOST, "an unsynced sector is lost", FAULT_A_CASE, 0, 0)                               \
    X(SECTOR_TORN, "an unsynced sector is torn", FAULT_A_CASE, 0, 0)                               \
    X(SECTOR_AHEAD, "an unsynced sector is kept behind one that is lost", FAULT_A_CASE, 0, 0)      \
    X(SIZE_LOST, "a file falls back to its old size", FAULT_A_CASE, 0, 0)                          \
    X(ZERO_TAIL, "a file has its new size and zeros", FAULT_A_CASE, 0, 0)                          \
    X(NAME_LOST, "a new name is lost", FAULT_A_CASE, 0, 0)                                         \
    X(RENAME_LOST, "a rename is lost", FAULT_A_CASE, 0, 0)                                         \
    X(REMOVE_LOST, "a removal is lost", FAULT_A_CASE, 0, 0)                                        \
    X(SEND_FAILS, "a send fails, and its connection", FAULT_A_CASE, 20, 3000)                      \
    X(RECEIVE_FAILS, "a receive fails, and its connection", FAULT_A_CASE, 20, 3000)                \
    X(RETRY_STORM, "a publisher sends all again, and again", FAULT_A_CASE, 40, 4000)               \
    X(NUMBER_AHEAD, "a publisher sends a number far ahead", FAULT_A_CASE, 40, 6000)                \
    X(NEW_EPOCH, "a publisher takes a new epoch", FAULT_A_CASE, 20, 2000)                          \
    X(OLD_EPOCH, "a connection with the epoch before", FAULT_A_CASE, 25, 60000)                    \
    X(TWO_CONNECTIONS, "a producer has a second connection", FAULT_A_CASE, 60, 100000)             \
    X(ACK_AHEAD, "an ack of what was not sent", FAULT_A_CASE, 40, 20000)                           \
    X(ACK_AGAIN, "an ack of what was acknowledged", FAULT_A_CASE, 40, 20000)                       \
    X(FLAPPING, "a subscriber goes, comes and goes", FAULT_A_CASE, 40, 6000)                       \
    X(RESUME_ANYWHERE, "a subscription from anywhere", FAULT_A_CASE, 60, 40000)                    \
    X(OTHER_EPOCH, "a subscription from an epoch of nobody's", FAULT_A_CASE, 40, 20000)            \
    X(PINGS, "a client sends pings, and wants an answer", FAULT_A_CASE, 40, 8000)                  \
    X(LEAVES, "a client closes in the middle", FAULT_A_CASE, 60, 4000)                             \
    X(HALF_CLOSE, "a client ends its side, and listens", FAULT_A_CASE, 25, 3000)                   \
    X(RUBBISH, "bytes that mean nothing", FAULT_A_CASE, 60, 30000)                                 \
    X(BAD_FRAMES, "frames that a client does not send", FAULT_A_CASE, 60, 30000)                   \
    X(NONSENSE, "commands that make no sense", FAULT_A_CASE, 60, 80000)                            \
    X(CLIENT_KILL, "a client's process is killed", FAULT_A_CASE, 50, 6000)                         \
    X(CLIENT_POWER, "a client's machine loses its power", FAULT_A_CASE, 40, 6000)                  \
    X(CLIENT_DIES_WRITING, "a client's machine dies while it writes", FAULT_A_CASE, 50, 8000)      \
    X(CLIENT_DIES_SENDING, "a client is killed while it sends", FAULT_A_CASE, 40, 6000)            \
    X(CLIENT_DIES_STARTING, "a client's machine dies while it starts", FAULT_A_CASE, 40, 30000)    \
    X(CLIENT_STOP, "a client is closed, and begun anew", FAULT_A_CASE, 50, 6000)                   \
    X(CLIENT_FENCED, "another process takes over a client's producer", FAULT_A_CASE, 35, 6000)     \
    X(CLIENT_PAUSE, "a client's process stands still", FAULT_A_CASE, 40, 6000)                     \
    X(OUTBOX_WRITE, "a write of an outbox fails", FAULT_A_CASE, 25, 8000)                          \
    X(OUTBOX_SYNC, "the sync of an outbox fails", FAULT_A_CASE, 25, 6000)                          \
    X(OUTBOX_OTHER, "another call for an outbox fails", FAULT_A_CASE, 25, 20000)                   \
    X(LOOKUP, "a name cannot be looked up", FAULT_A_CASE, 25, 30000)                               \
    X(ADDRESS_DOWN, "an address of the server is down for a while", FAULT_A_CASE, 50, 40000)       \
    X(PUSH_LOST, "a message that is pushed is lost on its way", FAULT_A_CASE, 35, 20000)           \
    X(PUSH_TWICE, "a message that is pushed comes twice", FAULT_A_CASE, 35, 30000)                 \
    X(PUSH_LATE, "a message that is pushed is overtaken", FAULT_A_CASE, 35, 30000)

enum fault_kind {
#define X(name, ...) FAULT_##name,
    FAULT_LIST(X)
#undef X
        FAULT_COUNT
};

/* Of the server's heap. */
#define FAULT_MEMORY_FIRST FAULT_NO_MEMORY
#define FAULT_MEMORY_LAST  FAULT_NO_MEMORY_APPLYING

/* Calls of the disk that fail. */
#define FAULT_DISK_FIRST FAULT_OPEN_FAILS
#define FAULT_DISK_LAST  FAULT_LIST_FAILS

/* Damage to what is on disk: sim/rot.h. */
#define FAULT_ROT_FIRST FAULT_ROT_RECORD_HEADER
#define FAULT_ROT_LAST  FAULT_READ_STALE

/* Of the machines with the C client library, and on the way to them: drawn by themselves. */
#define FAULT_CLIENTS_FIRST FAULT_CLIENT_KILL

/* Room for more kinds in what is handed from process to process. */
#define FAULT_COUNT_MAX 128u

struct faults {
    unsigned rates[FAULT_COUNT_MAX]; /* in 100,000; 0: this seed has none */
};

/* `steps`: of the world, by which rates are scaled. */
void faults_draw(struct faults *ret_faults, uint64_t steps);
/* Those of FAULT_CLIENTS_FIRST and behind it, from chances of their own. */
void faults_draw_clients(struct faults *faults, struct prng *prng);
/* A world begins; nothing has happened. NULL: no faults from now on, the counts stay. */
void faults_begin(const struct faults *faults);
void faults_end(void);
bool fault_enabled(enum fault_kind kind);
/* Whether it comes at this opportunity; then it counts. */
bool fault_happens(enum fault_kind kind);
/* As above, for one that may turn out not to be possible: fault_did() counts it. */
bool fault_is_due(enum fault_kind kind);
void fault_did(enum fault_kind kind);
/* That came by itself, so often. */
void fault_add(enum fault_kind kind, uint64_t count);
/* All but those that are what another one did. */
uint64_t fault_total(void);
const char *fault_text(enum fault_kind kind);
const char *fault_name(enum fault_kind kind);

/* By kind, FAULT_COUNT_MAX of them. */
const uint64_t *fault_counts(void);
/* How often any of the kinds first … last came. */
static inline uint64_t fault_count_of(enum fault_kind first, enum fault_kind last)
{
    uint64_t count = 0;
    for (unsigned kind = first; kind <= (unsigned)last; kind++) {
        count += fault_counts()[kind];
    }
    return count;
}
/* A line a kind, the same for the same seeds. */
void faults_print(const uint64_t counts[FAULT_COUNT_MAX]);

#endif
