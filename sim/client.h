/* The clients of a simulated world: each acts when its time comes, and hears through its talks.
 *
 * Thread: one.  Memory: clients_end() frees. */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "sim/talk.h"

struct client;
struct client_ops {
    void (*act)(struct client *client);
    /* Nothing is left to do for it: sent all, seen all. */
    bool (*settled)(const struct client *client);
    void (*close)(struct client *client); /* frees */
};

struct client {
    const struct client_ops *ops;
    unsigned number;
    uint64_t next_us; /* of its next act */
};

/* What all clients know. */
extern struct plan clients_plan;
extern bool clients_calm;

void clients_begin(const struct plan *plan);
void clients_end(void);
/* No new messages, no fits; and auditors come, who read everything from the earliest on. */
void clients_calm_down(void);
/* Whether one may act now; letting one act. */
bool clients_ready(void);
void clients_step(void);
uint64_t clients_next_us(void);
/* Whether all are; if not, *ret_number is the first that is not. */
bool clients_settled(unsigned *ret_number);

/* Each makes one. */
struct client *publisher_open(unsigned number, unsigned producer);
struct client *subscriber_open(unsigned number, bool auditor);
struct client *reader_open(unsigned number);
struct client *web_open(unsigned number, unsigned producer);
struct client *hostile_open(unsigned number);
struct client *library_open(unsigned number, unsigned producer);

#endif
