/* Offers, [DEFLATE 5] and [DEFLATE 7.1]: an extension with a parameter that is unknown, there twice
 * or without a good value is an offer to be passed over; the next one may do.
 *
 *   offer \ what is wanted        a context               none
 *   server_no_context_takeover    agreed                  agreed
 *   client_no_context_takeover    agreed                  agreed
 *   server_max_window_bits=N      the smaller of N and    N below ours: passed over if what we send
 *                                 ours                    is compressed for others as well
 *   client_max_window_bits[=N]    the smaller of N and    as it likes
 *                                 ours
 *   none of that kind             the client keeps no     as it likes
 *                                 context if ours is
 *                                 less than 2^15
 *
 * So what a connection can hold between messages is bounded by what is wanted, whatever is offered:
 * a client that has not said that it can do with a smaller window keeps no context. */
#include "wire/ws_deflate.h"

#include "wire/http_list.h"
#include "wire/ws_extension.h"

#include <stdio.h>

#define RSV1            0x40u
#define OPCODE          0x0Fu
#define HEADER_SIZE_MAX 10u /* unmasked */

struct offer {
    bool server_no_context;
    bool client_no_context;
    uint8_t server_bits; /* 0: not there */
    uint8_t client_bits;
};

/* [DEFLATE 7.1.2] 8 to 15 in decimal, without leading zeros. 0: it is not. */
static uint8_t bits_parse(struct bytes text)
{
    ASSERT(text.size == 0 || text.data != NULL);
    static_assert(DEFLATE_BITS_MAX < 20, "two digits, the first of them 1");
    uint8_t bits = 0;
    if (text.size == 1 && text.data[0] >= '0' && text.data[0] <= '9') {
        bits = (uint8_t)(text.data[0] - '0');
    } else if (text.size == 2 && text.data[0] == '1' && text.data[1] >= '0' &&
               text.data[1] <= '9') {
        bits = (uint8_t)(10 + text.data[1] - '0');
    }
    ASSERT(bits < 20);
    return bits >= DEFLATE_BITS_MIN && bits <= DEFLATE_BITS_MAX ? bits : 0;
}

static bool flag_set(bool *flag, const struct ws_parameter *parameter)
{
    ASSERT(flag != NULL);
    ASSERT(parameter->name.size > 0);
    const bool good = !*flag && parameter->value.data == NULL;
    *flag = true;
    return good;
}

static bool bits_set(uint8_t *bits, const struct ws_parameter *parameter, bool value_needed)
{
    ASSERT(bits != NULL);
    ASSERT(parameter->name.size > 0);
    if (*bits != 0) {
        return false;
    }
    *bits = parameter->value.data == NULL && !value_needed ? DEFLATE_BITS_MAX
                                                           : bits_parse(parameter->value);
    return *bits != 0;
}

static bool parameter_take(struct offer *offer, const struct ws_parameter *parameter)
{
    ASSERT(offer->server_bits <= DEFLATE_BITS_MAX);
    ASSERT(offer->client_bits <= DEFLATE_BITS_MAX);
    if (bytes_equal(parameter->name, BYTES_LITERAL("server_no_context_takeover"))) {
        return flag_set(&offer->server_no_context, parameter);
    }
    if (bytes_equal(parameter->name, BYTES_LITERAL("client_no_context_takeover"))) {
        return flag_set(&offer->client_no_context, parameter);
    }
    if (bytes_equal(parameter->name, BYTES_LITERAL("server_max_window_bits"))) {
        return bits_set(&offer->server_bits, parameter, true);
    }
    /* [DEFLATE 7.1.2.2] in an offer it may stand alone: the client can do it */
    return bytes_equal(parameter->name, BYTES_LITERAL("client_max_window_bits")) &&
           bits_set(&offer->client_bits, parameter, false);
}

/* False: another extension, or an offer that [DEFLATE 7.1] wants declined. */
static bool offer_parse(struct bytes text, struct offer *ret_offer)
{
    ASSERT(text.size > 0);
    ASSERT(ret_offer != NULL);
    struct bytes name;
    struct offer offer = {0};
    struct ws_parameter parameter;
    if (!ws_extension_name(&text, &name) ||
        !bytes_equal(name, BYTES_LITERAL("permessage-deflate"))) {
        return false;
    }
    while (ws_extension_parameter(&text, &parameter)) {
        if (!parameter_take(&offer, &parameter)) {
            return false;
        }
    }
    *ret_offer = offer;
    return text.size == 0;
}

static uint8_t smaller(uint8_t a, uint8_t b)
{
    ASSERT(a >= DEFLATE_BITS_MIN && a <= DEFLATE_BITS_MAX);
    ASSERT(b >= DEFLATE_BITS_MIN && b <= DEFLATE_BITS_MAX);
    return a < b ? a : b;
}

/* The table above. */
static bool offer_agree(const struct offer *offer, const struct ws_deflate_wish *wish,
                        struct ws_deflate *ret_deflate)
{
    ASSERT(wish->window_bits >= DEFLATE_BITS_MIN && wish->window_bits <= DEFLATE_BITS_MAX);
    const uint8_t server_bits = offer->server_bits == 0 ? DEFLATE_BITS_MAX : offer->server_bits;
    if (wish->fixed && server_bits < wish->window_bits) {
        return false;
    }
    struct ws_deflate deflate = {
        .agreed = true,
        .server_no_context = offer->server_no_context || wish->no_context,
        .client_no_context = offer->client_no_context || wish->no_context,
        .server_bits = smaller(server_bits, wish->window_bits),
        .client_bits = offer->client_bits == 0 ? DEFLATE_BITS_MAX : offer->client_bits,
    };
    /* [DEFLATE 7.1.2.1] told if it was offered; it may be told anyway, and saves the client memory
     */
    deflate.tell_server_bits = offer->server_bits != 0 || deflate.server_bits < DEFLATE_BITS_MAX;
    if (!deflate.client_no_context && offer->client_bits != 0) {
        deflate.client_bits = smaller(offer->client_bits, wish->window_bits);
        /* [DEFLATE 7.1.2.2] told only if it was offered */
        deflate.tell_client_bits = deflate.client_bits < DEFLATE_BITS_MAX;
    }
    /* [DEFLATE 7.1.1.2] may be told unasked */
    deflate.client_no_context =
        deflate.client_no_context || deflate.client_bits > wish->window_bits;
    ASSERT(deflate.client_no_context || deflate.client_bits <= wish->window_bits);
    *ret_deflate = deflate;
    return true;
}

bool ws_deflate_choose(struct bytes list, const struct ws_deflate_wish *wish,
                       struct ws_deflate *ret_deflate)
{
    ASSERT(list.size == 0 || list.data != NULL);
    ASSERT(ret_deflate != NULL);
    struct bytes extension;
    struct offer offer;
    while (http_list_next(&list, &extension)) {
        if (offer_parse(extension, &offer) && offer_agree(&offer, wish, ret_deflate)) {
            return true;
        }
    }
    return false;
}

void ws_deflate_answer(const struct ws_deflate *deflate, char to[static WS_DEFLATE_ANSWER_SIZE])
{
    ASSERT(!deflate->tell_server_bits || deflate->server_bits >= DEFLATE_BITS_MIN);
    ASSERT(!deflate->tell_client_bits || deflate->client_bits >= DEFLATE_BITS_MIN);
    to[0] = '\0';
    if (!deflate->agreed) {
        return;
    }
    char server_bits[32] = "";
    char client_bits[32] = "";
    if (deflate->tell_server_bits) {
        (void)snprintf(server_bits, sizeof(server_bits), "; server_max_window_bits=%u",
                       deflate->server_bits);
    }
    if (deflate->tell_client_bits) {
        (void)snprintf(client_bits, sizeof(client_bits), "; client_max_window_bits=%u",
                       deflate->client_bits);
    }
    const int size = snprintf(
        to, WS_DEFLATE_ANSWER_SIZE, "Sec-WebSocket-Extensions: permessage-deflate%s%s%s%s\r\n",
        deflate->server_no_context ? "; server_no_context_takeover" : "",
        deflate->client_no_context ? "; client_no_context_takeover" : "", server_bits, client_bits);
    ASSERT(size > 0 && (size_t)size < WS_DEFLATE_ANSWER_SIZE);
}

/* ---- frames out ------------------------------------------------------------------------------ */

/* The payload is behind `start` and room for the longest header: the right one goes in front. */
static void header_close_up(struct buf *to, size_t start, enum ws_opcode opcode)
{
    ASSERT(to->size >= start + HEADER_SIZE_MAX);
    ASSERT(opcode == WS_TEXT || opcode == WS_BINARY);
    const size_t size = to->size - start - HEADER_SIZE_MAX;
    uint8_t header[WS_HEADER_SIZE_MAX];
    const size_t header_size = ws_header_encode(header, opcode, size, NULL);
    header[0] |= RSV1; /* [DEFLATE 6] "per-message compressed" */
    bytes_copy(to->data + start, header, header_size);
    bytes_move(to->data + start + header_size, to->data + start + HEADER_SIZE_MAX, size);
    to->size = start + header_size + size;
}

enum rc ws_message_append(struct buf *to, struct deflater *deflater, enum ws_opcode opcode,
                          struct bytes payload)
{
    ASSERT_HOT(to->size <= to->capacity);
    ASSERT_HOT(opcode == WS_TEXT || opcode == WS_BINARY);
    if (deflater == NULL || payload.size < deflater_options(deflater)->min_bytes) {
        return ws_frame_append(to, opcode, payload);
    }
    const size_t start = to->size;
    enum rc rc = buf_reserve(to, HEADER_SIZE_MAX);
    if (rc == RC_OK) {
        to->size += HEADER_SIZE_MAX;
        rc = deflater_append(deflater, payload, to);
    }
    if (rc != RC_OK) {
        to->size = start;
        return rc;
    }
    const size_t size = to->size - start - HEADER_SIZE_MAX;
    if (size >= payload.size && !deflater_options(deflater)->takeover) {
        to->size = start;
        return ws_frame_append(to, opcode, payload);
    }
    header_close_up(to, start, opcode);
    return RC_OK;
}

enum rc ws_message_reframe(struct buf *to, struct deflater *deflater, struct bytes frame)
{
    ASSERT(frame.size >= 2);
    ASSERT((frame.data[1] & 0x80u) == 0);
    const unsigned form = frame.data[1];
    const size_t header_size = form < 126 ? 2 : form == 126 ? 4 : 10;
    ASSERT(frame.size >= header_size);
    const struct bytes payload = bytes_of(frame.data + header_size, frame.size - header_size);
    if (deflater == NULL || payload.size < deflater_options(deflater)->min_bytes) {
        return buf_append(to, frame);
    }
    return ws_message_append(to, deflater, (enum ws_opcode)(frame.data[0] & OPCODE), payload);
}
