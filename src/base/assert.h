/* Assertions about our own code; never about input from a peer, a disk or an operator.
 *
 * ASSERT stays on in release: a server that has lost its mind must stop before it lies about
 * order. ASSERT_HOT is for the message path and is on in debug, test and simulator builds only.
 *
 * ALWAYS and NEVER are for a branch that cannot happen and is kept as a second line of defence:
 * release takes the branch if it happens all the same, test builds stop there, and a build that
 * measures coverage has a constant in its place, so that what is left must all be tested. Their
 * condition has no effect of its own. A branch that some test can reach is never marked so.
 *
 * Thread: any.  Memory: none. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

_Noreturn void assert_failed(const char *file, int line, const char *what);

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            assert_failed(__FILE__, __LINE__, #condition);                                         \
        }                                                                                          \
    } while (0)

#ifdef SERIATIM_HOT_ASSERTS
#define ASSERT_HOT(condition) ASSERT(condition)
#else
#define ASSERT_HOT(condition) ((void)sizeof(condition))
#endif

#if defined(SERIATIM_COVERAGE)
#define ALWAYS(condition) ((void)sizeof(condition), 1)
#define NEVER(condition)  ((void)sizeof(condition), 0)
#elif defined(SERIATIM_HOT_ASSERTS)
#define ALWAYS(condition) ((condition) || (assert_failed(__FILE__, __LINE__, #condition), 0))
#define NEVER(condition)  (!ALWAYS(!(condition)))
#else
#define ALWAYS(condition) __builtin_expect((condition), 1)
#define NEVER(condition)  __builtin_expect((condition), 0)
#endif

#define UNREACHABLE() assert_failed(__FILE__, __LINE__, "unreachable")

#endif
