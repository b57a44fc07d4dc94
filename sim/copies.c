#include "sim/copies.h"

#include "base/mem.h"
#include "sim/faults.h"
#include "sim/rot.h"
#include "sim/trace.h"

struct copies {
    uint16_t *out; /* by number */
    unsigned capacity;
};

static struct copies all[PRODUCERS_MAX][EPOCHS_MAX][PLAN_CHANNELS_MAX];

void copies_begin(void)
{
    bytes_zero(all, sizeof(all));
}

void copies_end(void)
{
    for (unsigned p = 0; p < PRODUCERS_MAX; p++) {
        for (unsigned e = 0; e < EPOCHS_MAX; e++) {
            for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
                mem_free(all[p][e][c].out);
            }
        }
    }
}

static struct copies *copies_of(unsigned channel, struct identity who)
{
    ASSERT(who.producer < PRODUCERS_MAX && who.epoch < EPOCHS_MAX);
    ASSERT(channel < PLAN_CHANNELS_MAX);
    return &all[who.producer][who.epoch][channel];
}

static void grow(struct copies *copies, uint64_t end)
{
    if (end > copies->capacity) {
        const unsigned capacity = (unsigned)end * 2 + 32;
        copies->out = mem_realloc(copies->out, capacity * sizeof(*copies->out));
        ASSERT(copies->out != NULL);
        bytes_zero(copies->out + copies->capacity,
                   (capacity - copies->capacity) * sizeof(*copies->out));
        copies->capacity = capacity;
    }
}

void copies_sent(unsigned channel, struct identity who, uint64_t count)
{
    struct copies *copies = copies_of(channel, who);
    grow(copies, who.n + count);
    for (uint64_t i = 0; i < count; i++) {
        ASSERT(copies->out[who.n + i] < UINT16_MAX);
        copies->out[who.n + i]++;
    }
}

/* What a commit that failed has left is taken back at once; a disk that fails again meanwhile, or
 * does not keep what it is told, keeps it. See take_back() in log/commit.c. */
static bool excused(void)
{
    const uint64_t failures = fault_count_of(FAULT_DISK_FIRST, FAULT_DISK_LAST);
    /* Behind a loss the refused are judged anew: what was ahead of its producer may not be. */
    return rot_world() || failures > 1 || fault_counts()[FAULT_SYNC_FAILS_EVER] > 0;
}

void copies_refused(unsigned channel, struct identity who, uint64_t count, const char *code)
{
    struct copies *copies = copies_of(channel, who);
    ASSERT(who.n + count <= copies->capacity);
    for (uint64_t i = 0; i < count; i++) {
        ASSERT(copies->out[who.n + i] > 0);
        copies->out[who.n + i]--;
        const struct identity it = {who.producer, who.epoch, (unsigned)(who.n + i)};
        if (copies->out[it.n] == 0 && model_is_stored(channel, it) && !excused()) {
            trace_fail("P17 refused is not stored",
                       "p%u e%u n%u of channel %u is there, and each copy of it was refused, the "
                       "last one as %s",
                       it.producer, it.epoch, it.n, channel, code);
        }
    }
}

bool copies_possible(unsigned channel, struct identity who)
{
    const struct copies *copies = copies_of(channel, who);
    return (who.n < copies->capacity && copies->out[who.n] > 0) || excused();
}
