/* A reference count for bytes that several reactors send from at once.
 *
 * Rule: who makes the object holds one reference; a reference passed through a ring passes with
 * the item; the thread that gives the last one back frees. The bytes are never changed once a
 * second thread can see them.
 *
 * Thread: any.  Memory: none of its own. */
#ifndef RING_SHARE_H
#define RING_SHARE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct share {
    _Atomic uint32_t count_;
};

/* Says once that something beside it is there to be read. */
struct share_flag {
    _Atomic bool set_;
};
/* The thread that wrote it. */
void share_flag_set(struct share_flag *flag);
/* Any other; true: what was written before is seen. */
bool share_flag_get(const struct share_flag *flag);

/* One reference, the maker's. */
void share_init(struct share *share);
/* Only who holds a reference may make another. */
void share_ref(struct share *share);
/* True: that was the last; the caller frees, with every other holder's reads behind it. */
bool share_unref(struct share *share);

#endif
