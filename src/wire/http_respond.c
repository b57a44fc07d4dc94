/* HTTP responses. */
#include "wire/http.h"

#include <stdio.h>

/* The status line and the fields of our own but for the content type: 96 bytes at most. */
#define HEAD_SIZE_MAX 256

const char *http_status_text(unsigned status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
    }
}

enum rc http_response_append(struct buf *to, unsigned status, const char *content_type,
                             const char *extra, struct bytes body, bool close)
{
    char head[HEAD_SIZE_MAX];
    /* [HTTP 9110 8.6] no Content-Length in 1xx and 204; these have no body either. */
    const bool bodyless = status < 200 || status == 204;
    ASSERT(status >= 100 && status <= 599);
    ASSERT(!bodyless || body.size == 0);
    ASSERT(extra == NULL || extra[0] == '\0' || extra[strlen(extra) - 1] == '\n');
    ASSERT(content_type == NULL || strchr(content_type, '\n') == NULL);

    const char *type_name = content_type != NULL ? "Content-Type: " : "";
    const char *type = content_type != NULL ? content_type : "";
    const char *type_end = content_type != NULL ? "\r\n" : "";
    const char *closing = close ? "Connection: close\r\n" : "";
    int size = snprintf(head, sizeof(head), "HTTP/1.1 %u %s\r\n%s%s%s%s", status,
                        http_status_text(status), type_name, type, type_end, closing);
    ASSERT(size > 0 && (size_t)size < sizeof(head));
    char length[48] = "";
    if (!bodyless) {
        const int length_size =
            snprintf(length, sizeof(length), "Content-Length: %zu\r\n", body.size);
        ASSERT(length_size > 0 && (size_t)length_size < sizeof(length));
    }

    const struct bytes parts[] = {
        bytes_of_text(head),
        bytes_of_text(length),
        bytes_of_text(extra != NULL ? extra : ""),
        BYTES_LITERAL("\r\n"),
        body,
    };
    size_t total = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        total += parts[i].size;
    }
    ASSERT(total >= body.size);
    const enum rc rc = buf_reserve(to, total);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        buf_put(to, parts[i].data, parts[i].size);
    }
    return RC_OK;
}
