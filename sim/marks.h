/* The marks of the server's code (base/mark.h): which there are, and which were reached.
 *
 * Thread: one.  Memory: static. */
#ifndef SIM_MARKS_H
#define SIM_MARKS_H

#include <stdbool.h>

#define MARKS_MAX 512u

/* By the order of their texts. */
struct marks {
    bool reached[MARKS_MAX];
};

/* Adds what was reached in this process. */
void marks_add(struct marks *marks);
/* What another process has reached. */
void marks_merge(struct marks *marks, const struct marks *other);
/* Prints how many were reached, and which were not. Returns how many those are. */
unsigned marks_print(const struct marks *marks);

#endif
