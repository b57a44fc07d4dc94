/* The quick way to take a message, or `published`, apart that is written as most servers write it.
 *
 * It knows the order in which members usually stand and stops at the first byte that is otherwise;
 * the strict scanner of client/message.h then decides. So no message is judged by what the quick
 * way fails to read, and both ways come to the same result (test/fuzz/client/fuzz_verify_view.c).
 *
 * Thread: any.  Memory: spans borrow from the text. */
#ifndef CLIENT_REPLY_QUICK_H
#define CLIENT_REPLY_QUICK_H

#include "client/reply.h"

/* False: it is not written that way; *ret_reply is as it was. */
bool reply_quick(struct bytes text, struct reply *ret_reply);

/* As above for the first message of what is left of a history's array, which begins with its
 * bracket or a comma, and was scanned as a whole; it is taken off. */
bool reply_quick_element(struct bytes *elements, struct reply_message *ret_message);

#endif
