/* ws://HOST[:PORT][/PATH], the address of a server.
 *
 * Thread: any.  Memory: none. */
#ifndef CLIENT_URL_H
#define CLIENT_URL_H

#include "base/bytes.h"
#include "base/rc.h"

#define CLIENT_URL_DEFAULT "ws://127.0.0.1:8470/v1/ws"

struct client_url {
    char host[256];      /* without brackets */
    char port[6];        /* decimal; 80 if none is given */
    char path[512];      /* with its query; "/v1/ws" if none is given */
    char authority[272]; /* HOST:PORT as written, for the Host field and for people */
};

/* RC_BAD  not such a URL; *ret_why says what is wrong, static */
MUST_USE enum rc client_url_parse(const char *text, struct client_url *ret_url,
                                  const char **ret_why);

#endif
