#include "server/config_suggest.h"

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment, three rows at a time: row i is what it takes to make the first j bytes
 * of `b` out of the first i of `a`. */
size_t config_edit_distance(struct bytes a, struct bytes b)
{
    if (a.size > CONFIG_SUGGEST_NAME_MAX || b.size > CONFIG_SUGGEST_NAME_MAX) {
        return SIZE_MAX;
    }
    size_t rows[3][CONFIG_SUGGEST_NAME_MAX + 1];
    for (size_t j = 0; j <= b.size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            const size_t cost = a.data[i - 1] == b.data[j - 1] ? 0 : 1;
            row[j] = min_of(min_of(above[j] + 1, row[j - 1] + 1), above[j - 1] + cost);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1]) {
                row[j] = min_of(row[j], above2[j - 2] + 1);
            }
        }
    }
    return rows[a.size % 3][b.size];
}

struct config_suggest config_suggest_begin(struct bytes typed)
{
    return (struct config_suggest){.typed = typed, .best = NULL, .best_distance = SIZE_MAX};
}

void config_suggest_offer(struct config_suggest *suggest, const char *name)
{
    const size_t distance = config_edit_distance(suggest->typed, bytes_of_text(name));
    /* A third of what was typed, at least one: beyond that a guess misleads. */
    const size_t near =
        suggest->typed.size < 6 ? 1 + suggest->typed.size / 4 : suggest->typed.size / 3;
    if (distance <= near && distance < suggest->best_distance) {
        suggest->best = name;
        suggest->best_distance = distance;
    }
}
