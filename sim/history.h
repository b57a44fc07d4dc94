/* The check of a history, over WebSocket or HTTP: dense, within what was asked, in agreement.
 *
 * Thread: one.  Memory: none. */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include "sim/model.h"

struct history_ask {
    unsigned channel;
    bool has_from;
    uint64_t from;
    uint64_t limit;
    bool reverse;
    struct model_mark mark;
};

/* Draws one for a random channel. */
struct history_ask history_ask_draw(unsigned channels);
void history_check(const struct history_ask *ask, const struct value *object);

#endif
