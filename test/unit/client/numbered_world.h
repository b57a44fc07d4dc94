/* A producer of a small load, and a client and a server by hand: of test_numbered.c and
 * test_numbered_answers.c.
 *
 * Thread: one.  Memory: close_world() frees. */
#ifndef TEST_CLIENT_NUMBERED_WORLD_H
#define TEST_CLIENT_NUMBERED_WORLD_H

#include "client/numbered.h"

#define LATE UINT64_MAX

/* One producer, two channels: commands 0, 2, 4 … go to channel 0, the others to channel 1. */
struct world {
    struct workload workload;
    struct violations violations;
    struct ledger ledger;
    struct numbered n;
    struct reply_room room;
    uint64_t load_ns;
    uint64_t last_id; /* of what was said on this connection */
};

/* A new connection. */
void ready(struct world *w);
void open_world(struct world *w, uint32_t batch, uint64_t window);
void close_world(struct world *w);

/* ---- a client, by hand: ids are returned --------------------------------------------------- */

uint64_t say(struct world *w, uint32_t channel, uint64_t first, uint32_t count);
/* Takes one command over and says it; 0: there is none. */
uint64_t say_next(struct world *w);
/* As many commands as there are, and not one more. */
void say_all(struct world *w, uint64_t count);

/* ---- a server, by hand --------------------------------------------------------------------- */

void feed(struct world *w, const char *text);
void published(struct world *w, uint64_t id, uint32_t channel, uint64_t seq, const char *more);
void refused(struct world *w, uint64_t id, const char *code, const char *more);
/* How many were counted, of that kind and no other. */
uint64_t count_of(const struct world *w, enum violation violation);

#define DUPLICATE ",\"duplicate\":true"

#endif
