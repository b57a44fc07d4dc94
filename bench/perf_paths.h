/* The main paths, each over the server's own objects in one thread and in memory, so that the
 * instructions it takes can be counted (tools/perf-gate): what the parts of perf_paths share.
 *
 * Nothing in here reads a clock, draws a random number or makes a system call, but for memory. A
 * result that is not the expected one ends the program: a path that does nothing would be fast.
 *
 * Thread: one.  Memory: a path's close() frees what its open() made. */
#ifndef BENCH_PERF_PATHS_H
#define BENCH_PERF_PATHS_H

#include "core/partition.h"
#include "log/file_log.h"

/* ---- paths ----------------------------------------------------------------------------------- */

/* A row of the gate. To add one: its functions, a line in a table below, `make perf-baseline`. */
struct path {
    const char *name; /* in the baseline, for ever */
    const char *unit; /* what its count is for one of */
    uint64_t units;   /* in one run */
    void *(*open)(void);
    void (*prepare)(void *world); /* before each run, not counted; NULL: nothing */
    void (*run)(void *world);
    void (*close)(void *world);
};

extern const struct path wire_paths[2];
#define SESSION_PATHS 5u
extern const struct path session_paths[SESSION_PATHS];
extern const struct path log_paths[3];

/* ---- a partition of its own (perf_paths_shard.c) --------------------------------------------- */

#define SHARD_START_MS UINT64_C(1800000000000)

struct ram_disk;

struct shard {
    struct partition *partition;
    struct log_batch *lent; /* a commit that has been asked for and not been done */
    struct file_log *log;   /* NULL: without one, what is committed is forgotten */
    struct ram_disk *disk;
    uint32_t segment_bytes;
    uint64_t now_ms;
    uint64_t next_tick;
    uint64_t replies;
    uint64_t replayed;
    /* Called with each reply; may be NULL. */
    void (*on_reply)(void *ctx, uint64_t id, const struct publish_result *result);
    void *ctx;
};

/* Ends the program where it did not go well. */
void must(enum rc rc);
void expect(bool as_expected, const char *what);

/* `segment_bytes` 0: without a log. */
void shard_open(struct shard *shard, uint32_t segment_bytes);
void shard_close(struct shard *shard);
/* Takes a publish in; `id` comes back with the reply. */
void shard_publish(struct shard *shard, uint64_t id, struct bytes body);
/* Commits what has come in since, and applies it. */
void shard_commit(struct shard *shard);
/* Closes partition and log, and recovers both from the disk. The first half is not a path's. */
void shard_crash(struct shard *shard);
void shard_recover(struct shard *shard);
/* Appends the body of a publish of one message, numbered `seq` of producer `producer`. */
void shard_body(struct buf *to, struct bytes channel, const char *producer, uint64_t seq);

/* JSON of 128 bytes, an object. */
struct bytes payload(void);

#endif
