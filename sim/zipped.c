#include "sim/zipped.h"

#include "sim/trace.h"

#include <string.h>

#define NAME "Sec-WebSocket-Extensions: permessage-deflate"

const char *zipped_offer(struct zipped *zipped, const struct plan *plan)
{
    static const char *const offers[] = {
        NAME "; client_max_window_bits\r\n",
        NAME "; client_max_window_bits\r\n",
        NAME "\r\n",
        NAME "; server_no_context_takeover; client_max_window_bits=9\r\n",
        NAME "; client_no_context_takeover\r\n",
        NAME "; server_max_window_bits=8; client_max_window_bits=8\r\n",
        NAME "; server_no_context_takeover; server_max_window_bits=8, permessage-deflate\r\n",
        NAME "; server_max_window_bits=7\r\n",
    };
    zipped->offer = NULL;
    if (plan->deflate == 0 || sim_chance(30)) {
        return "";
    }
    zipped->offer = offers[sim_below(sizeof(offers) / sizeof(offers[0]))];
    return zipped->offer;
}

static bool says(struct bytes text, const char *what)
{
    return text.size > 0 && memmem(text.data, text.size, what, strlen(what)) != NULL;
}

/* The number behind `what`, or 15. */
static uint8_t bits_of(struct bytes text, const char *what)
{
    const uint8_t *at = memmem(text.data, text.size, what, strlen(what));
    if (at == NULL) {
        return DEFLATE_BITS_MAX;
    }
    at += strlen(what);
    const unsigned bits = at[0] == '1' ? 10u + at[1] - '0' : (unsigned)(at[0] - '0');
    if (bits < DEFLATE_BITS_MIN || bits > DEFLATE_BITS_MAX) {
        trace_fail("protocol", "a window of 2^%u is agreed on", bits);
    }
    return (uint8_t)bits;
}

static void answer_check(const struct zipped *zipped, struct bytes head, uint8_t client_bits)
{
    const struct bytes offer = bytes_of_text(zipped->offer == NULL ? "" : zipped->offer);
    if (!says(offer, "permessage-deflate") || says(offer, "server_max_window_bits=7")) {
        trace_fail("protocol", "permessage-deflate is agreed on, and was not offered");
    }
    const bool small = says(offer, "server_max_window_bits=8; client") &&
                       bits_of(head, "server_max_window_bits=") > 8;
    const bool unasked = client_bits < DEFLATE_BITS_MAX && !says(offer, "client_max_window_bits");
    const bool kept = says(offer, "server_no_context_takeover; client") &&
                      !says(head, "server_no_context_takeover");
    if (small || unasked || kept) {
        trace_fail("protocol", "permessage-deflate: the answer does not fit the offer");
    }
}

void zipped_agree(struct zipped *zipped, struct bytes head, struct ws_decoder *decoder)
{
    if (!says(head, "permessage-deflate")) {
        return;
    }
    const uint8_t client_bits = bits_of(head, "client_max_window_bits=");
    answer_check(zipped, head, client_bits);
    const struct deflater_options options = {
        .window_bits = client_bits < 10 ? client_bits : 10, /* less than it may is as good */
        .memory_level = DEFLATE_LEVEL_MIN,
        .takeover = !says(head, "client_no_context_takeover"),
    };
    enum rc rc = deflater_new(&options, &zipped->deflater);
    ASSERT(rc == RC_OK);
    rc = inflater_new(bits_of(head, "server_max_window_bits="),
                      !says(head, "server_no_context_takeover"), &zipped->inflater);
    ASSERT(rc == RC_OK);
    ws_decoder_inflate(decoder, zipped->inflater);
}

bool zipped_append(struct zipped *zipped, struct bytes payload, struct buf *to)
{
    if (zipped->deflater == NULL || sim_chance(40)) {
        const enum rc plain = buf_append(to, payload);
        ASSERT(plain == RC_OK);
        return false;
    }
    const enum rc rc = deflater_append(zipped->deflater, payload, to);
    ASSERT(rc == RC_OK);
    return true;
}

void zipped_deinit(struct zipped *zipped)
{
    deflater_free(zipped->deflater);
    inflater_free(zipped->inflater);
    *zipped = (struct zipped){0};
}

struct bytes zipped_bomb(void)
{
    static uint8_t zeros[1u << 16];
    static uint8_t bytes[256];
    static size_t size;
    if (size == 0) {
        struct deflater *deflater = NULL;
        struct buf bomb = {0};
        const struct deflater_options options = {15, 8, false, 1};
        enum rc rc = deflater_new(&options, &deflater);
        ASSERT(rc == RC_OK);
        rc = deflater_append(deflater, bytes_of(zeros, sizeof(zeros)), &bomb);
        ASSERT(rc == RC_OK && bomb.size <= sizeof(bytes));
        bytes_copy(bytes, bomb.data, bomb.size);
        size = bomb.size;
        buf_deinit(&bomb);
        deflater_free(deflater);
    }
    return bytes_of(bytes, size);
}
