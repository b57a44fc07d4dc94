/* Text for people, built piece by piece, with one check for memory at the end.
 *
 * Thread: the owner's.  Memory: the buffer is the caller's. */
#ifndef SERVER_CONFIG_TEXT_H
#define SERVER_CONFIG_TEXT_H

#include "base/bytes.h"
#include "base/rc.h"

struct config_text {
    struct buf *to;
    enum rc rc; /* RC_OK, or RC_NOMEM from the first failure on: then nothing more is added */
};

static inline struct config_text config_text_to(struct buf *to)
{
    return (struct config_text){to, RC_OK};
}

void config_text_add(struct config_text *text, struct bytes bytes);
void config_text_addf(struct config_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What somebody else wrote: at most `size_max` bytes of it, control characters as '?'. */
void config_text_add_foreign(struct config_text *text, struct bytes bytes, size_t size_max);

#endif
