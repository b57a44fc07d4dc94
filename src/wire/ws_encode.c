/* WebSocket frames out, [WS 5.2]. Lengths are always in their shortest form. */
#include "wire/ws.h"

#define FIN                 0x80u
#define MASKED              0x80u
#define LENGTH_16           126u /* two bytes of length follow */
#define LENGTH_64           127u /* eight do */
#define CONTROL             0x08u
#define CONTROL_PAYLOAD_MAX 125u
#define CLOSE_CODE_SIZE     2u
#define CLOSE_TEXT_MAX      (CONTROL_PAYLOAD_MAX - CLOSE_CODE_SIZE)

static void put_big_endian(uint8_t *to, uint64_t value, size_t size)
{
    ASSERT_HOT(to != NULL);
    ASSERT_HOT(size == 2 || size == 8);
    ASSERT_HOT(size == 8 || value >> (8 * size) == 0);
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    }
}

size_t ws_header_encode_fragment(uint8_t to[static WS_HEADER_SIZE_MAX], enum ws_opcode opcode,
                                 bool fin, uint64_t payload_size, const uint8_t *mask)
{
    ASSERT_HOT((unsigned)opcode <= WS_BINARY ||
               ((unsigned)opcode >= WS_CLOSE && (unsigned)opcode <= WS_PONG));
    /* [WS 5.5] a control frame is short and in one piece; [WS 5.2] the top bit stays clear. */
    ASSERT(((unsigned)opcode & CONTROL) == 0 || (fin && payload_size <= CONTROL_PAYLOAD_MAX));
    ASSERT(payload_size <= INT64_MAX);

    const unsigned masked = mask != NULL ? MASKED : 0;
    size_t size = 2;
    to[0] = (uint8_t)((fin ? FIN : 0) | (unsigned)opcode);
    if (payload_size < LENGTH_16) {
        to[1] = (uint8_t)(masked | (unsigned)payload_size);
    } else if (payload_size <= UINT16_MAX) {
        to[1] = (uint8_t)(masked | LENGTH_16);
        put_big_endian(to + size, payload_size, sizeof(uint16_t));
        size += sizeof(uint16_t);
    } else {
        to[1] = (uint8_t)(masked | LENGTH_64);
        put_big_endian(to + size, payload_size, sizeof(uint64_t));
        size += sizeof(uint64_t);
    }
    if (mask != NULL) {
        bytes_copy(to + size, mask, 4);
        size += 4;
    }
    return size;
}

size_t ws_header_encode(uint8_t to[static WS_HEADER_SIZE_MAX], enum ws_opcode opcode,
                        uint64_t payload_size, const uint8_t *mask)
{
    return ws_header_encode_fragment(to, opcode, true, payload_size, mask);
}

enum rc ws_frame_append(struct buf *to, enum ws_opcode opcode, struct bytes payload)
{
    ASSERT_HOT(payload.size == 0 || payload.data != NULL);
    ASSERT_HOT(payload.size <= INT64_MAX);
    uint8_t header[WS_HEADER_SIZE_MAX];
    const size_t header_size = ws_header_encode(header, opcode, payload.size, NULL);
    const enum rc rc = buf_reserve(to, header_size + payload.size);
    if (rc != RC_OK) {
        return rc;
    }
    buf_put(to, header, header_size);
    buf_put(to, payload.data, payload.size);
    return RC_OK;
}

/* As much of `text` as a Close frame takes, cut between characters. */
static size_t close_text_size(const char *text)
{
    ASSERT(text != NULL);
    size_t size = strnlen(text, CLOSE_TEXT_MAX + 1);
    if (size <= CLOSE_TEXT_MAX) {
        return size;
    }
    size = CLOSE_TEXT_MAX;
    while (size > 0 && ((uint8_t)text[size] & 0xC0u) == 0x80u) {
        size--;
    }
    ASSERT(size <= CLOSE_TEXT_MAX);
    return size;
}

enum rc ws_close_append(struct buf *to, uint16_t code, const char *text)
{
    ASSERT(to->size <= to->capacity);
    uint8_t payload[CONTROL_PAYLOAD_MAX];
    size_t size = 0;

    /* [WS 7.4.1] 1005 says that there is no code: so none is sent, and no text either. */
    if (code != WS_CLOSE_NO_STATUS) {
        ASSERT(ws_close_code_valid(code));
        put_big_endian(payload, code, CLOSE_CODE_SIZE);
        const size_t text_size = text != NULL ? close_text_size(text) : 0;
        bytes_copy(payload + CLOSE_CODE_SIZE, text, text_size);
        size = CLOSE_CODE_SIZE + text_size;
    }
    return ws_frame_append(to, WS_CLOSE, bytes_of(payload, size));
}

bool ws_close_code_valid(uint16_t code)
{
    /* [WS 7.4.1], [WS 7.4.2]: 1004, 1005, 1006 and 1015 are never on the wire; 1012 to 1014 have
     * been registered since; 1016 to 2999 are reserved; 3000 to 4999 are for libraries and
     * applications; others mean nothing. */
    if (code >= 1000 && code <= 1014) {
        return code < 1004 || code > 1006;
    }
    return code >= 3000 && code <= 4999;
}
