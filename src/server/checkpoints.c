#include "server/checkpoints.h"

#include "base/assert.h"
#include "base/mark.h"
#include "base/tune.h"

static void check(const struct checkpoints *checkpoints)
{
    ASSERT(checkpoints->count <= CHECKPOINTS_MAX);
    ASSERT(tune.checkpoints >= 2 && tune.checkpoints <= CHECKPOINTS_MAX);
}

bool checkpoints_full(const struct checkpoints *checkpoints)
{
    uint64_t bytes = 0;
    check(checkpoints);
    for (unsigned i = 0; i < checkpoints->count; i++) {
        bytes += pieces_size(&checkpoints->items[i].state);
    }
    return bytes >= tune.checkpoint_bytes;
}

static struct checkpoint_waiting remove_at(struct checkpoints *checkpoints, unsigned at)
{
    ASSERT(at < checkpoints->count);
    const struct checkpoint_waiting removed = checkpoints->items[at];
    checkpoints->count--;
    for (unsigned i = at; i < checkpoints->count; i++) {
        ASSERT(checkpoints->items[i].segment < checkpoints->items[i + 1].segment);
        checkpoints->items[i] = checkpoints->items[i + 1];
    }
    return removed;
}

/* The last one is not among them: `segment` follows it. */
static unsigned least_missed(const struct checkpoints *checkpoints, uint64_t segment)
{
    unsigned best = 0;
    uint64_t best_gap = UINT64_MAX;
    ASSERT(checkpoints->count >= 2);
    for (unsigned i = 1; i < checkpoints->count; i++) {
        const uint64_t after =
            i + 1 < checkpoints->count ? checkpoints->items[i + 1].segment : segment;
        const uint64_t gap = after - checkpoints->items[i - 1].segment;
        best = gap < best_gap ? i : best;
        best_gap = gap < best_gap ? gap : best_gap;
    }
    ASSERT(best > 0);
    return best;
}

void checkpoints_add(struct checkpoints *checkpoints, const struct checkpoint_waiting *waiting)
{
    struct checkpoints *c = checkpoints;
    check(c);
    ASSERT(c->count == 0 || waiting->segment > c->items[c->count - 1].segment);
    if (c->count >= tune.checkpoints) {
        MARK("keeper: a checkpoint that waits makes room for a newer one");
        struct checkpoint_waiting removed = remove_at(c, least_missed(c, waiting->segment));
        pieces_deinit(&removed.state);
    }
    c->items[c->count++] = *waiting;
    check(c);
}

uint64_t checkpoints_first(const struct checkpoints *checkpoints)
{
    check(checkpoints);
    return checkpoints->count == 0 ? 0 : checkpoints->items[0].segment;
}

uint64_t checkpoints_last(const struct checkpoints *checkpoints, uint64_t *ret_bytes)
{
    check(checkpoints);
    *ret_bytes = 0;
    if (checkpoints->count == 0) {
        return 0;
    }
    const struct checkpoint_waiting *last = &checkpoints->items[checkpoints->count - 1];
    *ret_bytes = pieces_size(&last->state);
    return last->segment;
}

struct checkpoint_waiting checkpoints_take(struct checkpoints *checkpoints)
{
    check(checkpoints);
    ASSERT(checkpoints->count > 0);
    return remove_at(checkpoints, 0);
}

void checkpoints_deinit(struct checkpoints *checkpoints)
{
    while (checkpoints->count > 0) {
        struct checkpoint_waiting waiting = checkpoints_take(checkpoints);
        pieces_deinit(&waiting.state);
    }
}
