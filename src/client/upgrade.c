#include "client/upgrade.h"

#include "wire/base64.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <strings.h>

#define KEY_SIZE    24u /* base64 of the nonce */
#define ACCEPT_SIZE 28u /* base64 of a SHA-1 */
#define SHA1_SIZE   20u
#define WS_GUID     "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* [WS 1.3] */

static const char *const protocols[WIRE_CODEC_COUNT] = {
    [WIRE_JSON] = "seriatim.v1.json",
    [WIRE_BINARY] = "seriatim.v1.binary",
};

enum rc upgrade_request(struct buf *to, const struct client_url *url, enum wire_codec codec,
                        const uint8_t nonce[static UPGRADE_NONCE_SIZE])
{
    char key[KEY_SIZE + 1] = {0};
    base64_encode((uint8_t *)key, bytes_of(nonce, UPGRADE_NONCE_SIZE));
    char head[1536];
    const int size = snprintf(head, sizeof(head),
                              "GET %s HTTP/1.1\r\n"
                              "Host: %s\r\n"
                              "Connection: Upgrade\r\n"
                              "Upgrade: websocket\r\n"
                              "Sec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: %s\r\n"
                              "Sec-WebSocket-Protocol: %s\r\n"
                              "User-Agent: seriatim/" SERIATIM_VERSION "\r\n"
                              "\r\n",
                              url->path, url->authority, key, protocols[codec]);
    ASSERT(size > 0 && (size_t)size < sizeof(head)); /* path and authority are bounded */
    return buf_append(to, bytes_of(head, (size_t)size));
}

/* The size of the head with its empty line, 0: not all there. */
static size_t head_size(struct bytes response)
{
    const uint8_t *end =
        response.size == 0 ? NULL : memmem(response.data, response.size, "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end - response.data) + 4;
}

static struct bytes trim(struct bytes text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

static bool same_name(struct bytes a, struct bytes b)
{
    return a.size == b.size && strncasecmp((const char *)a.data, (const char *)b.data, a.size) == 0;
}

/* Takes the line that begins at *at; false at the empty one. `head` ends with an empty line. */
static bool next_line(struct bytes head, size_t *at, struct bytes *ret_line)
{
    const uint8_t *start = head.data + *at;
    const uint8_t *end = memmem(start, head.size - *at, "\r\n", 2);
    ASSERT(end != NULL);
    *ret_line = bytes_of(start, (size_t)(end - start));
    *at += ret_line->size + 2;
    return ret_line->size > 0;
}

/* The value of a field; *ret_count says how often it is there. */
static struct bytes find_field(struct bytes head, struct bytes name, unsigned *ret_count)
{
    struct bytes found = {0};
    struct bytes line;
    size_t at = 0;
    unsigned count = 0;
    (void)next_line(head, &at, &line); /* the status line */
    while (next_line(head, &at, &line)) {
        const uint8_t *colon = memchr(line.data, ':', line.size);
        if (colon == NULL) {
            continue;
        }
        const size_t size = (size_t)(colon - line.data);
        if (same_name(bytes_of(line.data, size), name)) {
            found = trim(bytes_of(colon + 1, line.size - size - 1));
            count++;
        }
    }
    *ret_count = count;
    return found;
}

/* Whether the list between commas holds that token. */
static bool has_token(struct bytes list, struct bytes token)
{
    size_t start = 0;
    for (size_t at = 0; at <= list.size; at++) {
        if (at == list.size || list.data[at] == ',') {
            if (same_name(trim(bytes_of(list.data + start, at - start)), token)) {
                return true;
            }
            start = at + 1;
        }
    }
    return false;
}

/* [WS 4.1] 5.4: what only a server that read our key can say. */
static bool accept_right(struct bytes accept, const uint8_t nonce[static UPGRADE_NONCE_SIZE])
{
    uint8_t text[KEY_SIZE + sizeof(WS_GUID) - 1];
    base64_encode(text, bytes_of(nonce, UPGRADE_NONCE_SIZE));
    bytes_copy(text + KEY_SIZE, WS_GUID, sizeof(WS_GUID) - 1);
    uint8_t digest[SHA1_SIZE];
    size_t digest_size = 0;
    if (EVP_Q_digest(NULL, "SHA1", NULL, text, sizeof(text), digest, &digest_size) != 1) {
        return false;
    }
    ASSERT(digest_size == sizeof(digest));
    uint8_t wanted[ACCEPT_SIZE];
    base64_encode(wanted, bytes_of(digest, sizeof(digest)));
    return bytes_equal(accept, bytes_of(wanted, sizeof(wanted)));
}

static enum rc refuse(char why[static UPGRADE_WHY_SIZE], const char *text)
{
    (void)snprintf(why, UPGRADE_WHY_SIZE, "%s", text);
    return RC_PROTOCOL;
}

/* A status that is not 101, with the beginning of what it says. */
static enum rc refuse_status(struct bytes response, unsigned status,
                             char why[static UPGRADE_WHY_SIZE])
{
    const size_t head = head_size(response);
    const struct bytes body = bytes_of(response.data + head, response.size - head);
    int at = snprintf(why, UPGRADE_WHY_SIZE, "the server answers HTTP %u ", status);
    for (size_t i = 0; i < body.size && at + 1 < (int)UPGRADE_WHY_SIZE; i++) {
        const uint8_t c = body.data[i];
        why[at++] = c < 0x20 || c >= 0x7F ? ' ' : (char)c;
    }
    why[at] = '\0';
    return status == 429 || status >= 500 ? RC_CLOSED : RC_DENIED;
}

static enum rc check_fields(struct bytes head, enum wire_codec codec,
                            const uint8_t nonce[static UPGRADE_NONCE_SIZE],
                            char why[static UPGRADE_WHY_SIZE])
{
    unsigned count;
    const struct bytes upgrade = find_field(head, BYTES_LITERAL("upgrade"), &count);
    if (!same_name(upgrade, BYTES_LITERAL("websocket"))) {
        return refuse(why, "the server's answer has no 'Upgrade: websocket'");
    }
    const struct bytes connection = find_field(head, BYTES_LITERAL("connection"), &count);
    if (!has_token(connection, BYTES_LITERAL("upgrade"))) {
        return refuse(why, "the server's answer has no 'Connection: Upgrade'");
    }
    const struct bytes accept = find_field(head, BYTES_LITERAL("sec-websocket-accept"), &count);
    if (count != 1 || !accept_right(accept, nonce)) {
        return refuse(why, "the server's Sec-WebSocket-Accept is wrong: it is no WebSocket server");
    }
    (void)find_field(head, BYTES_LITERAL("sec-websocket-extensions"), &count);
    if (count != 0) {
        return refuse(why, "the server names an extension that was not offered");
    }
    const struct bytes protocol = find_field(head, BYTES_LITERAL("sec-websocket-protocol"), &count);
    if (count != 1 || !bytes_equal(protocol, bytes_of_text(protocols[codec]))) {
        (void)snprintf(why, UPGRADE_WHY_SIZE,
                       "the server does not speak %s there; is the path right?", protocols[codec]);
        return RC_PROTOCOL;
    }
    return RC_OK;
}

enum rc upgrade_check(struct bytes response, enum wire_codec codec,
                      const uint8_t nonce[static UPGRADE_NONCE_SIZE],
                      char why[static UPGRADE_WHY_SIZE], size_t *ret_used)
{
    static const char version[] = "HTTP/1.1 ";
    const size_t compared =
        response.size < sizeof(version) - 1 ? response.size : sizeof(version) - 1;
    if (compared > 0 && memcmp(response.data, version, compared) != 0) {
        return refuse(why, "the server does not answer as an HTTP/1.1 server does");
    }
    const size_t size = head_size(response);
    if (size == 0) {
        return response.size > UPGRADE_HEAD_MAX ? refuse(why, "the server's answer has no end")
                                                : RC_AGAIN;
    }
    unsigned status = 0;
    for (size_t i = sizeof(version) - 1; i < sizeof(version) + 2; i++) {
        const uint8_t c = response.data[i];
        if (c < '0' || c > '9') {
            return refuse(why, "the server's answer has no status");
        }
        status = status * 10 + (unsigned)(c - '0');
    }
    if (status != 101) {
        return refuse_status(response, status, why);
    }
    const enum rc rc = check_fields(bytes_of(response.data, size), codec, nonce, why);
    if (rc == RC_OK) {
        *ret_used = size;
    }
    return rc;
}
