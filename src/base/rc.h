/* Result codes of every fallible function.
 *
 * One list gives code, class and text, so that a caller can react by class ("the peer is at
 * fault", "the disk is") without knowing each code. Results leave through `ret_x` parameters,
 * which are untouched on failure.
 *
 * Thread: any.  Memory: none. */
#ifndef BASE_RC_H
#define BASE_RC_H

#define MUST_USE __attribute__((warn_unused_result))

enum rc_class {
    RC_CLASS_NONE,  /* not an error */
    RC_CLASS_RETRY, /* the same call may succeed later */
    RC_CLASS_PEER,  /* the other end sent something that is refused */
    RC_CLASS_DISK,  /* storage failed or holds damage */
    RC_CLASS_USAGE, /* an operator's or a caller's wish cannot be met */
};

/* X(name, class, text) */
#define RC_LIST(X)                                                                                 \
    X(OK, NONE, "ok")                                                                              \
    X(AGAIN, RETRY, "not now: more input or room is needed")                                       \
    X(FULL, RETRY, "a bounded pool, ring or buffer is full")                                       \
    X(NOMEM, RETRY, "out of memory")                                                               \
    X(UNAVAILABLE, RETRY, "the log cannot accept commands now")                                    \
    X(BAD, PEER, "malformed input")                                                                \
    X(TOO_LARGE, PEER, "over a size limit")                                                        \
    X(PROTOCOL, PEER, "protocol violation")                                                        \
    X(UTF8, PEER, "not UTF-8")                                                                     \
    X(CLOSED, PEER, "the peer closed the connection")                                              \
    X(IO, DISK, "input/output error")                                                              \
    X(NOSPACE, DISK, "no space left on the device")                                                \
    X(CORRUPT, DISK, "damaged data")                                                               \
    X(NOT_FOUND, USAGE, "not found")                                                               \
    X(EXISTS, USAGE, "exists already")                                                             \
    X(LOCKED, USAGE, "in use by another process")                                                  \
    X(DENIED, USAGE, "permission denied")                                                          \
    X(USAGE, USAGE, "wrong usage")                                                                 \
    X(END, NONE, "nothing more")

enum rc {
#define X(name, class, text) RC_##name,
    RC_LIST(X)
#undef X
        RC_COUNT
};

/* A sentence fragment in lower case; static storage. */
const char *rc_text(enum rc rc);
/* The name as in the code, such as "NOSPACE"; static storage. */
const char *rc_name(enum rc rc);
enum rc_class rc_class(enum rc rc);

#endif
