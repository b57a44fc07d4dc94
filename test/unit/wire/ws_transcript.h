/* What a decoder made of a stream, as one text, so that two runs can be compared by their bytes.
 *
 * "T(hello)B(..)P(..)Q(..)": text, binary, ping and pong with their payloads; "C1000(bye)": close;
 * "E1002": error. The pieces that are fed lie in heap blocks of exactly their size, so that a read
 * behind them is found by the address sanitizer. */
#ifndef TEST_WS_TRANSCRIPT_H
#define TEST_WS_TRANSCRIPT_H

#include "base/mem.h"
#include "wire/ws.h"

#include <stdio.h>
#include <stdlib.h>

/* For the frame of a test only: out of memory there is no result. */
static inline void transcript_add(struct buf *to, const char *name, unsigned code,
                                  const struct bytes *payload)
{
    char text[16];
    const int size = code != 0 ? snprintf(text, sizeof(text), "%s%u", name, code)
                               : snprintf(text, sizeof(text), "%s", name);
    if (buf_append(to, bytes_of(text, (size_t)size)) != RC_OK) {
        abort();
    }
    if (payload != NULL &&
        (buf_append(to, BYTES_LITERAL("(")) != RC_OK || buf_append(to, *payload) != RC_OK ||
         buf_append(to, BYTES_LITERAL(")")) != RC_OK)) {
        abort();
    }
}

static inline void transcript_event(struct buf *to, const struct ws_event *event)
{
    switch (event->type) {
    case WS_EVENT_NONE: break;
    case WS_EVENT_MESSAGE:
        transcript_add(to, event->opcode == WS_TEXT ? "T" : "B", 0, &event->payload);
        break;
    case WS_EVENT_PING: transcript_add(to, "P", 0, &event->payload); break;
    case WS_EVENT_PONG: transcript_add(to, "Q", 0, &event->payload); break;
    case WS_EVENT_CLOSE: transcript_add(to, "C", event->code, &event->payload); break;
    case WS_EVENT_ERROR: transcript_add(to, "E", event->code, NULL); break;
    }
}

/* Feeds one piece until the decoder has nothing more to say; returns the text of an error, or
 * NULL. */
static inline const char *transcript_piece(struct buf *to, struct ws_decoder *decoder,
                                           const struct ws_limits *limits, struct bytes piece)
{
    uint8_t *copy = malloc(piece.size + 1);
    if (copy == NULL) {
        abort();
    }
    /* The block ends where the piece ends. */
    uint8_t *at = copy + 1;
    bytes_copy(at, piece.data, piece.size);
    size_t left = piece.size;
    const char *why = NULL;
    struct ws_event event;
    do {
        size_t used = 0;
        ws_decoder_feed(decoder, limits, at, left, &used, &event);
        if (used > left || (event.type == WS_EVENT_NONE && used != left)) {
            abort();
        }
        transcript_event(to, &event);
        why = event.type == WS_EVENT_ERROR ? event.text : why;
        at += used;
        left -= used;
    } while (event.type != WS_EVENT_NONE);
    free(copy);
    return why;
}

#endif
