/* What the HTTP parser made of a stream, as one text: "H(GET /a)" a head with method and target,
 * "B(hello)" body bytes, joined however they came, "." the end of a request, "E400" an error. As
 * in ws_transcript.h the pieces end where their heap blocks end. */
#ifndef TEST_HTTP_TRANSCRIPT_H
#define TEST_HTTP_TRANSCRIPT_H

#include "wire/http.h"

#include <stdio.h>
#include <stdlib.h>

struct http_transcript {
    struct buf text;
    bool in_body;
};

static inline void http_transcript_put(struct http_transcript *to, struct bytes bytes)
{
    if (buf_append(&to->text, bytes) != RC_OK) {
        abort();
    }
}

static inline void http_transcript_event(struct http_transcript *to, const struct http_event *event)
{
    char error[16];
    if (to->in_body && event->type != HTTP_EVENT_BODY && event->type != HTTP_EVENT_NONE) {
        http_transcript_put(to, BYTES_LITERAL(")"));
        to->in_body = false;
    }
    switch (event->type) {
    case HTTP_EVENT_NONE: break;
    case HTTP_EVENT_HEAD:
        http_transcript_put(to, BYTES_LITERAL("H("));
        http_transcript_put(to, event->request->method);
        http_transcript_put(to, BYTES_LITERAL(" "));
        http_transcript_put(to, event->request->target);
        http_transcript_put(to, BYTES_LITERAL(")"));
        break;
    case HTTP_EVENT_BODY:
        if (!to->in_body) {
            http_transcript_put(to, BYTES_LITERAL("B("));
            to->in_body = true;
        }
        http_transcript_put(to, event->body);
        break;
    case HTTP_EVENT_COMPLETE: http_transcript_put(to, BYTES_LITERAL(".")); break;
    case HTTP_EVENT_ERROR:
        (void)snprintf(error, sizeof(error), "E%u", event->status);
        http_transcript_put(to, bytes_of_text(error));
        break;
    }
}

/* Feeds one piece until there is nothing more to say. False: an error, and no more is to come. */
static inline bool http_transcript_piece(struct http_transcript *to, struct http_parser *parser,
                                         struct bytes piece)
{
    uint8_t *copy = malloc(piece.size + 1);
    if (copy == NULL) {
        abort();
    }
    bytes_copy(copy + 1, piece.data, piece.size);
    size_t at = 0;
    struct http_event event;
    do {
        size_t used = 0;
        http_parser_feed(parser, bytes_of(copy + 1 + at, piece.size - at), &used, &event);
        at += used;
        if (at > piece.size || (event.type == HTTP_EVENT_NONE && at != piece.size)) {
            abort();
        }
        http_transcript_event(to, &event);
    } while (event.type != HTTP_EVENT_NONE && event.type != HTTP_EVENT_ERROR);
    free(copy);
    return event.type != HTTP_EVENT_ERROR;
}

#endif
