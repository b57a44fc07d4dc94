/* What the files of the server share.
 *
 * Thread: set up by the main thread before the others start; then read only, but for what has its
 * own rule.  Memory: server.c frees. */
#ifndef SERVER_SERVER_PRIVATE_H
#define SERVER_SERVER_PRIVATE_H

#include "base/clock.h"
#include "base/stats.h"
#include "io/worker.h"
#include "log/storage.h"
#include "ring/ticket.h"
#include "server/config.h"
#include "server/mesh.h"
#include "server/reactor.h"

struct server {
    const struct config *config;
    const struct clock *clock;
    unsigned threads;
    unsigned partitions;
    uint64_t incarnation;
    uint64_t hash_seed;
    uint64_t salt_seed; /* of new epochs */
    struct storage storage;
    struct ticket ticks; /* message ids of the node */
    struct mesh mesh;    /* reactors, then the main thread */
    struct reactor *reactors;
    struct worker *committers; /* one a reactor, each with that one lane */
    struct worker reader;
    struct worker keeper;
    struct host **hosts; /* by partition */
    int listen_fd;
    struct peers *peers; /* the acceptor's: connections by address */
    struct bytes *origins;
    size_t origin_count;
    struct stats_flag *ready; /* by partition: its log accepts commands */
    struct stats_flag open;   /* clients are let in */
    struct stats_flag draining;
    struct stats_counter connections;
    struct stats_counter newcomers; /* of them, those that have not said yet who they are */
    struct stats_counter crowded;   /* reactors where more of them have something than a turn
                                     * takes up */
    struct stats_counter channels;
    struct stats_counter started; /* partitions that have applied what recovery wanted first */
};

static inline unsigned server_partition_of(const struct server *server, uint64_t name_hash)
{
    return (unsigned)(name_hash % server->partitions);
}

static inline unsigned server_owner_of(const struct server *server, unsigned partition)
{
    return partition % server->threads;
}

static inline unsigned server_main_endpoint(const struct server *server)
{
    return server->threads;
}

#endif
