/* Small grammars of HTTP fields: tokens, lists of them, hosts. Borrowed text in, ranges out.
 *
 * Thread: any.  Memory: none. */
#ifndef WIRE_HTTP_LIST_H
#define WIRE_HTTP_LIST_H

#include "wire/http.h"

/* Equal but for the case of ASCII letters. */
bool http_text_equal(struct bytes a, struct bytes b);
/* [HTTP 9110 5.6.2] one or more tchar. */
bool http_token_valid(struct bytes text);
/* Without spaces and tabs at both ends. */
struct bytes http_trim(struct bytes text);
/* Takes the next element off a comma-separated list, trimmed; empty ones are passed over
 * ([HTTP 9110 5.6.1]). False: none is left. Commas in quotes are not known: for lists of tokens. */
bool http_list_next(struct bytes *list, struct bytes *ret_element);
/* Whether any field with that name lists `token`, in any case. */
bool http_field_lists(const struct http_request *request, const char *name, const char *token);

/* A host as in Host or in an origin. */
struct http_authority {
    struct bytes host; /* IPv6 with its brackets */
    bool has_port;
    uint16_t port;
};

/* uri-host [ ":" port ] without user information. False: malformed, or empty. */
bool http_authority_parse(struct bytes text, struct http_authority *ret_authority);

#endif
