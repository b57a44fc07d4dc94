#include "sim/numbers.h"

static struct skips {
    unsigned count;
    bool skipped[LIBRARY_MESSAGES + 1];
} all[LIBRARIES_MAX][EPOCHS_MAX][PLAN_CHANNELS_MAX];
static unsigned epochs; /* so many of each have been used */

void numbers_begin(void)
{
    for (unsigned i = 0; i < LIBRARIES_MAX; i++) {
        bytes_zero(all[i], epochs * sizeof(all[i][0]));
    }
    epochs = 0;
}

static struct skips *skips_of(unsigned channel, struct identity who)
{
    const unsigned i = who.producer - LIBRARY_PRODUCER; /* others are far beyond, or below */
    return i < LIBRARIES_MAX && who.epoch < epochs ? &all[i][who.epoch][channel] : NULL;
}

void numbers_skip(unsigned channel, struct identity who, bool skips)
{
    epochs = who.epoch >= epochs ? who.epoch + 1 : epochs;
    struct skips *of = skips_of(channel, who);
    ASSERT(of != NULL && who.n <= LIBRARY_MESSAGES && of->skipped[who.n] != skips);
    of->skipped[who.n] = skips;
    of->count += skips ? 1 : -1u;
}

unsigned number_of(unsigned channel, struct identity who)
{
    const struct skips *of = skips_of(channel, who);
    unsigned number = who.n;
    for (unsigned n = 1; of != NULL && of->count > 0 && n < who.n && n <= LIBRARY_MESSAGES; n++) {
        number -= of->skipped[n];
    }
    return number;
}

struct identity number_owner(unsigned channel, struct identity who)
{
    const struct skips *of = skips_of(channel, who);
    const unsigned number = who.n;
    if (of == NULL || of->count == 0) {
        return who;
    }
    for (who.n = number;
         number_of(channel, who) < number || (who.n <= LIBRARY_MESSAGES && of->skipped[who.n]);) {
        who.n++;
    }
    return who;
}
