/* Segments written byte by byte, with headers and records that no server of ours would write, or
 * only a damaged disk: for the tests of recovery, repair and verify.
 *
 * Thread: one.  Memory: none stays. */
#ifndef TEST_LOG_FORGE_H
#define TEST_LOG_FORGE_H

#include "log/files.h"
#include "log/record.h"
#include "unit/log/world.h"

#define FORGE_SIZE (3u * 1024u * 1024u) /* more than is read at a time */

/* A segment in the making, and where its chain stands. */
struct forge {
    struct segment_header header;
    uint64_t pos;
    uint64_t hash;
    size_t at;
    uint8_t bytes[FORGE_SIZE];
};

/* What is unusual in a record; all zero: nothing. */
struct forge_odd {
    enum record_type type; /* 0: RECORD_PUBLISH */
    uint32_t partition_add;
    uint64_t pos_add;
    uint64_t hash_add;
    uint16_t batch_index;
    bool bad; /* its checksum is wrong; the chain goes on behind it as if it were not */
};

/* A segment that follows (pos, hash). */
void forge_begin(struct forge *forge, uint64_t number, uint64_t pos, uint64_t hash);
/* Appends a record. The next one follows it. Returns where it stands. */
size_t forge_record(struct forge *forge, struct forge_odd odd, struct bytes body);
/* An ordinary record. */
size_t forge_good(struct forge *forge, struct bytes body);
size_t forge_bad(struct forge *forge, struct bytes body);
/* Puts it on the disk, padded with zeros. `has_header` false: its header is zero. */
void forge_put(const struct forge *forge, struct sim_disk *disk, bool has_header);

#endif
