/* The form of an HTTP/1.1 head, byte by byte: where it ends, and what is refused before llhttp
 * looks at it.
 *
 * The scanner keeps no bytes and takes each byte once. It lets through only: a token, one space, a
 * target of visible ASCII, one space, HTTP/1.0 or HTTP/1.1; then field lines of a token, a colon
 * and a value without control bytes; each line ended by CR LF, none folded. So two parsers agree
 * on every head that passes here, and what llhttp takes beside (obs-fold, doubled spaces) it never
 * sees.
 *
 * Thread: the owner's.  Memory: none. */
#ifndef WIRE_HTTP_SCAN_H
#define WIRE_HTTP_SCAN_H

#include "base/bytes.h"

struct http_scan {
    uint8_t state;
    uint8_t empty_lines;  /* before the request line */
    uint8_t version_size; /* of "HTTP/1.1", as far as it has come */
    uint8_t minor;
    uint32_t size;  /* bytes taken */
    uint32_t start; /* where the method begins */
    uint32_t method_size;
    uint32_t target_size;
    uint32_t field_count;
    unsigned status; /* failed: the answer */
    const char *text;
};

/* For a whole head; all limits from base/limits.h. */
void http_scan_init(struct http_scan *scan);
/* For the field lines behind a chunked body. */
void http_scan_init_trailer(struct http_scan *scan);
/* Takes bytes up to the end of the head; returns how many. */
size_t http_scan_feed(struct http_scan *scan, struct bytes input);
/* Whether a byte of the request line has come. */
bool http_scan_begun(const struct http_scan *scan);
bool http_scan_done(const struct http_scan *scan);
/* Then status and text are set. */
bool http_scan_failed(const struct http_scan *scan);

#endif
