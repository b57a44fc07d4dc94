/* What one seed draws: the size of the world, its settings, and which faults there are how often.
 *
 * Thread: one.  Memory: none. */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include "base/tune.h"
#include "sim/faults.h"

#include <stdbool.h>
#include <stdint.h>

#define PLAN_CHANNELS_MAX 4u

struct plan {
    uint64_t seed;
    uint64_t steps;   /* of the part with faults */
    uint64_t step_us; /* what one takes, at most */
    /* the server */
    unsigned partitions;
    unsigned threads;
    uint64_t segment_bytes;
    uint64_t feed_bytes;
    uint64_t retention_messages; /* 0: off */
    uint64_t retention_bytes;    /* 0: off */
    uint64_t retention_age_ms;   /* 0: off */
    uint64_t producer_expiry_ms; /* 0: off */
    uint64_t inflight;
    struct tune tune;    /* producer_runs and channel_epochs for the world's life */
    unsigned durability; /* enum config_durability */
    bool mixed;          /* a restart may come with another: fsync or os */
    unsigned deflate;    /* enum config_deflate, and what else is set of it */
    unsigned deflate_bits;
    unsigned deflate_bytes; /* not below */
    uint64_t deflate_limit;
    uint64_t patience_ms; /* with silent and slow connections; 0: as by default */
    /* the clients */
    unsigned channels;
    unsigned publishers;
    unsigned subscribers;
    unsigned readers;
    unsigned web_publishers;
    unsigned hostiles;
    unsigned libraries;     /* programs with the C client library */
    unsigned addresses;     /* by which they know the server */
    uint64_t message_bytes; /* limits.message_bytes, above what others publish; 0: as by default */
    unsigned messages_max;  /* of a publisher to a channel */
    unsigned pad_max;       /* bytes beside the identity in a payload */
    unsigned batch_max;
    uint64_t think_us; /* between a client's actions, at most */
    /* the network */
    uint64_t latency_us;
    bool tiny_buffers;
    uint64_t disk_slow_us;
    uint64_t canary; /* that message is remembered wrongly: the run must fail; 0: none */
    struct faults faults;
};

/* Draws from the chances of sim/trace.h. Most worlds are short and dense; one in twenty is long. */
void plan_draw(struct plan *ret_plan, uint64_t seed);
/* Other settings of the server, for a restart. */
void plan_settings_change(struct plan *plan);

/* From now on every plan has this value there, whatever is drawn: the name of a field of struct
 * plan, or of a kind of faults, whose rate it is; "faults" is all kinds. False: there is no such
 * name. */
bool plan_set(const char *name, uint64_t value);
/* The names that can be set, NULL behind the last. */
const char *plan_name(unsigned index);
/* The value there. */
uint64_t plan_get(const struct plan *plan, unsigned index);
void plan_trace(const struct plan *plan);

#endif
