/* "Did you mean": the nearest of some names to what somebody typed.
 *
 * Thread: any.  Memory: none. */
#ifndef SERVER_CONFIG_SUGGEST_H
#define SERVER_CONFIG_SUGGEST_H

#include "base/bytes.h"

/* Edits (insert, delete, replace, swap of neighbours) that lead from one to the other; names longer
 * than CONFIG_SUGGEST_NAME_MAX are as far apart as they can be (SIZE_MAX). */
#define CONFIG_SUGGEST_NAME_MAX 64u
size_t config_edit_distance(struct bytes a, struct bytes b);

/* A search under way: offer every candidate, then look at `best`. */
struct config_suggest {
    struct bytes typed;
    const char *best; /* NULL: nothing is near enough */
    size_t best_distance;
};

struct config_suggest config_suggest_begin(struct bytes typed);
/* `name` must live as long as the result is used. */
void config_suggest_offer(struct config_suggest *suggest, const char *name);

#endif
