/* The grammar of Sec-WebSocket-Extensions, [WS 9.1].
 *
 * Thread: any.  Memory: none; borrowed text in, ranges out. */
#ifndef WIRE_WS_EXTENSION_H
#define WIRE_WS_EXTENSION_H

#include "wire/http.h"

struct ws_parameter {
    struct bytes name;
    struct bytes value; /* without its quotes; data NULL: none */
};

/* Takes the name off an extension (one element of the list). False: there is none. */
bool ws_extension_name(struct bytes *text, struct bytes *ret_name);
/* Takes the next parameter off what is behind the name. False: none is left, and `text` is empty;
 * or what is there is not in the grammar, and `text` is not. */
bool ws_extension_parameter(struct bytes *text, struct ws_parameter *ret_parameter);
/* Whether a field's value is in the grammar, and not empty. */
bool ws_extensions_valid(struct bytes list);

#endif
