#include "bench/websocket.h"

#include "client/url.h"

#include <stdio.h>

#define FRAME_MAX (UINT64_C(64) * 1024 * 1024)

enum rc websocket_request(struct buf *to, const struct client_url *url, const char *protocol)
{
    char head[1536];
    const int size =
        snprintf(head, sizeof(head),
                 "GET %s HTTP/1.1\r\n"
                 "Host: %s\r\n"
                 "Connection: Upgrade\r\n"
                 "Upgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 "%s%s%s"
                 "\r\n",
                 url->path, url->authority, protocol != NULL ? "Sec-WebSocket-Protocol: " : "",
                 protocol != NULL ? protocol : "", protocol != NULL ? "\r\n" : "");
    ASSERT(size > 0 && (size_t)size < sizeof(head)); /* path and authority are bounded */
    return buf_append(to, bytes_of(head, (size_t)size));
}

enum rc websocket_response(struct bytes data, size_t *ret_used)
{
    const uint8_t *end = data.size == 0 ? NULL : memmem(data.data, data.size, "\r\n\r\n", 4);
    if (end == NULL) {
        return RC_AGAIN;
    }
    if (data.size < 13 || memcmp(data.data, "HTTP/1.1 101 ", 13) != 0) {
        return RC_DENIED;
    }
    *ret_used = (size_t)(end - data.data) + 4;
    return RC_OK;
}

/* [WS 5.2] the extended lengths are in network order. */
static uint64_t big_endian(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

enum rc websocket_header(struct bytes data, struct websocket_frame *ret_frame)
{
    if (data.size < 2) {
        return RC_AGAIN;
    }
    /* FIN and no reserved bit; not masked. */
    if ((data.data[0] & 0xF0) != 0x80 || (data.data[1] & 0x80) != 0) {
        return RC_PROTOCOL;
    }
    uint64_t size = data.data[1];
    size_t head = 2;
    if (size >= 126) {
        const size_t extended = size == 126 ? 2 : 8;
        head += extended;
        if (data.size < head) {
            return RC_AGAIN;
        }
        size = big_endian(data.data + 2, extended);
    }
    /* [WS 5.5] a control frame holds 125 bytes at most. */
    const bool is_control = (data.data[0] & 0x08) != 0;
    if (size > (is_control ? 125u : FRAME_MAX)) {
        return RC_PROTOCOL;
    }
    *ret_frame = (struct websocket_frame){.opcode = (enum ws_opcode)(data.data[0] & 0x0F),
                                          .payload = bytes_of(data.data + head, (size_t)size),
                                          .size = head + (size_t)size};
    return RC_OK;
}

enum rc websocket_frame(struct bytes data, struct websocket_frame *ret_frame)
{
    struct websocket_frame frame;
    const enum rc rc = websocket_header(data, &frame);
    if (rc != RC_OK) {
        return rc;
    }
    if (data.size < frame.size) {
        return RC_AGAIN;
    }
    *ret_frame = frame;
    return RC_OK;
}

size_t websocket_head_size(size_t payload_size)
{
    return payload_size < 126 ? 6 : payload_size < 65536 ? 8 : 14;
}

void websocket_seal(uint8_t *frame, enum ws_opcode opcode, size_t payload_size, uint32_t mask)
{
    uint8_t head[WS_HEADER_SIZE_MAX];
    uint8_t key[4];
    bytes_store_u32(key, mask);
    const size_t size = ws_header_encode(head, opcode, payload_size, key);
    ASSERT(size == websocket_head_size(payload_size));
    bytes_copy(frame, head, size);
    ws_mask(frame + size, payload_size, key, 0);
}

enum rc websocket_append(struct buf *to, enum ws_opcode opcode, struct bytes payload, uint32_t mask)
{
    const size_t head = websocket_head_size(payload.size);
    const enum rc rc = buf_reserve(to, head + payload.size);
    if (rc != RC_OK) {
        return rc;
    }
    uint8_t *frame = to->data + to->size;
    bytes_copy(frame + head, payload.data, payload.size);
    websocket_seal(frame, opcode, payload.size, mask);
    to->size += head + payload.size;
    return RC_OK;
}
