/* Assertions about our own code; never about input from a peer, a disk or an operator.
 *
 * ASSERT stays on in release: a server that has lost its mind must stop before it lies about
 * order. ASSERT_HOT is for the message path and is on in debug, test and simulator builds only.
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

#define UNREACHABLE() assert_failed(__FILE__, __LINE__, "unreachable")

#endif
