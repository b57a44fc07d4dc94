/* HTTP/1.1 requests (RFC 9112), sans I/O, over llhttp; and the WebSocket opening handshake.
 *
 * llhttp parses; what it lets pass and a careful server does not (obs-fold, a missing or second
 * Host, a space in the wrong place) is refused here. The head is gathered in a buffer of at most
 * HTTP_HEAD_BYTES_MAX that is parsed once, incrementally: time is linear in its length however it
 * is cut.
 *
 * Thread: the owner's.  Memory: http_parser_free() frees. */
#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

#include "wire/command.h"
#include "wire/ws_deflate.h"

struct http_parser; /* opaque, so that llhttp stays inside */

struct http_field {
    struct bytes name; /* as sent; compare without case */
    struct bytes value;
};

struct http_request {
    struct bytes method;
    struct bytes target; /* origin-form, as sent */
    struct bytes path;   /* before '?' */
    struct bytes query;  /* after '?', or empty */
    unsigned minor;      /* HTTP/1.minor */
    const struct http_field *fields;
    size_t field_count;
    bool has_body;           /* Content-Length > 0 or chunked */
    uint64_t content_length; /* 0 where chunked */
    bool chunked;
    bool keep_alive;
    bool upgrade; /* asks for `Upgrade: websocket` */
};

enum http_event_type {
    HTTP_EVENT_NONE,     /* input used up, more is needed */
    HTTP_EVENT_HEAD,     /* the head is complete: *request; no body byte has been taken yet */
    HTTP_EVENT_BODY,     /* a piece of the body */
    HTTP_EVENT_COMPLETE, /* the request is complete; the next may follow */
    HTTP_EVENT_ERROR,    /* answer with `status` and close */
};

struct http_event {
    enum http_event_type type;
    const struct http_request *request; /* HEAD; valid until COMPLETE */
    struct bytes body;                  /* BODY; points into the input */
    unsigned status;                    /* ERROR: 400, 408, 413, 414, 431, 501, 505 … */
    const char *text;                   /* ERROR: static */
};

MUST_USE enum rc http_parser_new(struct http_parser **ret_parser);
void http_parser_free(struct http_parser *parser);
/* Takes bytes until one event. After HEAD of an upgrade request that the caller accepts, the rest
 * of the input is frames: the parser is freed then. */
void http_parser_feed(struct http_parser *parser, struct bytes input, size_t *ret_used,
                      struct http_event *ret_event);
/* Whether a byte of a request has come that is not complete (for the head deadline). */
bool http_parser_busy(const struct http_parser *parser);

/* The value of the only field with that name; size 0 and data NULL if there is none or several. */
struct bytes http_field_find(const struct http_request *request, const char *name);
size_t http_field_count(const struct http_request *request, const char *name);
/* The decoded value of a query parameter into `to`. False: not there. Bad escapes: RC_BAD. */
MUST_USE enum rc http_query_find(struct bytes query, const char *name, struct buf *to,
                                 bool *ret_found);
/* Undoes %XX (not '+'). RC_BAD, RC_NOMEM */
MUST_USE enum rc http_percent_decode(struct bytes text, struct buf *to);

/* Appends a whole response with Content-Length. `extra` is further field lines, each with CRLF, or
 * NULL. `close`: says `Connection: close`. */
MUST_USE enum rc http_response_append(struct buf *to, unsigned status, const char *content_type,
                                      const char *extra, struct bytes body, bool close);
const char *http_status_text(unsigned status);

/* ---- the opening handshake, [WS 4.2] ------------------------------------------------------- */

struct ws_handshake_options {
    const char *path;            /* "/v1/ws" */
    const struct bytes *origins; /* allowed beside the same host; an item "*" allows all */
    size_t origin_count;
    bool any_protocol; /* ws-echo: take requests with any or no subprotocol, name none */
    const struct ws_deflate_wish *deflate; /* NULL: declined */
    struct ws_deflate *ret_deflate;        /* set with a 101; NULL is allowed */
};

/* Checks an upgrade request and appends the response, 101 or a refusal (then `Connection: close`,
 * also for 426). Origin: absent is fine (not a browser), else same host and port as Host, or in
 * the list.
 * RC_OK        101 was appended; *ret_codec
 * RC_PROTOCOL  a refusal was appended: close after sending; *ret_why says why for the log
 * RC_NOMEM */
MUST_USE enum rc ws_handshake(const struct http_request *request,
                              const struct ws_handshake_options *options, struct buf *to,
                              enum wire_codec *ret_codec, const char **ret_why);

#endif
