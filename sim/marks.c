#include "sim/marks.h"

#include "base/assert.h"
#include "base/mark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The linker's: where the section with that name begins and ends. */
extern struct mark *__start_seriatim_marks[];
extern struct mark *__stop_seriatim_marks[];

static const char *texts[MARKS_MAX];
static unsigned count;

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Lists the texts, sorted, each once. */
static void collect(void)
{
    unsigned all = 0;
    for (struct mark **at = __start_seriatim_marks; at < __stop_seriatim_marks; at++) {
        ASSERT(all < MARKS_MAX);
        texts[all++] = (*at)->text;
    }
    qsort(texts, all, sizeof(texts[0]), compare);
    for (unsigned i = 0; i < all; i++) {
        if (count == 0 || strcmp(texts[count - 1], texts[i]) != 0) {
            texts[count++] = texts[i];
        }
    }
}

void marks_add(struct marks *marks)
{
    if (count == 0) {
        collect();
    }
    for (struct mark **at = __start_seriatim_marks; at < __stop_seriatim_marks; at++) {
        if ((*at)->reached) {
            const char **found = bsearch(&(*at)->text, texts, count, sizeof(texts[0]), compare);
            ASSERT(found != NULL);
            marks->reached[found - texts] = true;
        }
    }
}

void marks_merge(struct marks *marks, const struct marks *other)
{
    for (unsigned i = 0; i < MARKS_MAX; i++) {
        marks->reached[i] = marks->reached[i] || other->reached[i];
    }
}

unsigned marks_print(const struct marks *marks)
{
    if (count == 0) {
        collect();
    }
    unsigned missing = 0;
    for (unsigned i = 0; i < count; i++) {
        missing += !marks->reached[i];
    }
    (void)printf("marks: %u of %u reached\n", count - missing, count);
    for (unsigned i = 0; i < count; i++) {
        if (!marks->reached[i]) {
            (void)printf("never reached: %s\n", texts[i]);
        }
    }
    return missing;
}
