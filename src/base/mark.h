/* Marks: MARK("log: a torn tail is cut") says that a branch worth seeing was taken.
 *
 * They are for the simulator, which reports the ones that no seed has reached; in every other
 * build there is nothing of them. The text is a module and what happened there; one text at
 * several places is one mark for the report, reached when any of them is.
 *
 * Thread: one; the simulator has no other.  Memory: static. */
#ifndef BASE_MARK_H
#define BASE_MARK_H

#ifdef SERIATIM_MARKS

#include <stdbool.h>

struct mark {
    const char *text;
    bool reached;
};

/* The linker collects the pointers; sim/marks.c reads them. */
#define MARK(what)                                                                                 \
    do {                                                                                           \
        static struct mark mark_ = {what, false};                                                  \
        static struct mark *const mark_at_ __attribute__((section("seriatim_marks"), used)) =      \
            &mark_;                                                                                \
        mark_at_->reached = true;                                                                  \
    } while (0)

/* Where there is no branch to stand in. `condition` has no effect of its own. */
#define MARK_IF(condition, what)                                                                   \
    do {                                                                                           \
        if (condition) {                                                                           \
            MARK(what);                                                                            \
        }                                                                                          \
    } while (0)

#else

#define MARK(what)               ((void)0)
#define MARK_IF(condition, what) ((void)sizeof(condition))

#endif

#endif
