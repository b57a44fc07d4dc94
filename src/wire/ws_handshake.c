/* The server's part of the opening handshake, [WS 4.2].
 *
 * One table of checks, in order; the first that fails gives the answer. Every refusal closes the
 * connection: a refused upgrade that stays open is a hole through proxies that believe in it. */
#include "wire/http.h"

#include "wire/http_list.h"
#include "wire/ws_extension.h"
#include "wire/ws_origin.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#define KEY_SIZE    24u /* base64 of 16 bytes */
#define DIGEST_SIZE 20u /* SHA-1 */
#define ACCEPT_SIZE 28u /* base64 of it */

/* A browser offers a handful; a bound keeps the search for repetitions short. */
#define PROTOCOLS_MAX 32u

static const struct bytes ws_guid = BYTES_LITERAL("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
/* By codec. */
static const struct bytes ws_protocols[WIRE_CODEC_COUNT] = {
    [WIRE_JSON] = BYTES_LITERAL("seriatim.v1.json"),
    [WIRE_BINARY] = BYTES_LITERAL("seriatim.v1.binary"),
};

/* [HTTP 9110 15.5.22] 426 names the protocol wanted; [WS 4.2.2] and the version. */
#define EXTRA_UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"

struct handshake {
    const struct http_request *request;
    const struct ws_handshake_options *options;
    bool named;            /* the client offered one of ours, the first of them … */
    enum wire_codec codec; /* … for this one */
    struct ws_deflate deflate;
    unsigned status;
    const char *why;
    const char *extra; /* field lines of a refusal, or NULL */
};

/* True: passed. False: status, why and extra are set. */
typedef bool handshake_check(struct handshake *handshake);

static bool refuse(struct handshake *handshake, unsigned status, const char *why)
{
    ASSERT(status >= 400 && status <= 499);
    ASSERT(why[0] != '\0');
    handshake->status = status;
    handshake->why = why;
    return false;
}

static bool refuse_with(struct handshake *handshake, unsigned status, const char *why,
                        const char *extra)
{
    ASSERT(extra[strlen(extra) - 1] == '\n');
    ASSERT(handshake->extra == NULL);
    handshake->extra = extra;
    return refuse(handshake, status, why);
}

static bool check_path(struct handshake *handshake)
{
    ASSERT(handshake->options->path[0] == '/');
    ASSERT(handshake->request->path.size > 0);
    const struct bytes path = bytes_of_text(handshake->options->path);
    if (!bytes_equal(handshake->request->path, path)) {
        return refuse(handshake, 404, "no WebSocket at this path");
    }
    return true;
}

/* [WS 4.2.1] 1: a GET of HTTP/1.1 or later */
static bool check_method(struct handshake *handshake)
{
    ASSERT(handshake->request->method.size > 0);
    ASSERT(handshake->request->minor <= 1);
    if (!bytes_equal(handshake->request->method, BYTES_LITERAL("GET"))) {
        return refuse_with(handshake, 405, "a WebSocket is opened with GET", "Allow: GET\r\n");
    }
    if (handshake->request->minor == 0) {
        return refuse(handshake, 400, "a WebSocket needs HTTP/1.1");
    }
    return true;
}

/* A body would be read as frames by one hop and as HTTP by another. */
static bool check_no_body(struct handshake *handshake)
{
    ASSERT(handshake->status == 0);
    ASSERT(handshake->request->field_count == 0 || handshake->request->fields != NULL);
    const struct http_request *request = handshake->request;
    if (request->has_body || http_field_count(request, "content-length") > 0 ||
        http_field_count(request, "transfer-encoding") > 0) {
        return refuse(handshake, 400, "an upgrade request has no body");
    }
    return true;
}

/* [WS 4.2.1] 3 and 4 */
static bool check_upgrade(struct handshake *handshake)
{
    ASSERT(handshake->status == 0);
    ASSERT(!handshake->request->has_body);
    const struct http_request *request = handshake->request;
    if (http_field_count(request, "upgrade") == 0) {
        return refuse_with(handshake, 426, "only WebSocket is spoken here", EXTRA_UPGRADE);
    }
    if (!http_field_lists(request, "upgrade", "websocket")) {
        return refuse(handshake, 400, "Upgrade does not name websocket");
    }
    if (!http_field_lists(request, "connection", "upgrade")) {
        return refuse(handshake, 400, "Connection does not name Upgrade");
    }
    return true;
}

/* [WS 4.2.1] 6, [WS 4.2.2] 4, [WS 11.3.5] */
static bool check_version(struct handshake *handshake)
{
    ASSERT(!handshake->request->has_body);
    ASSERT(handshake->status == 0);
    const struct http_request *request = handshake->request;
    if (http_field_count(request, "sec-websocket-version") > 1) {
        return refuse(handshake, 400, "Sec-WebSocket-Version is there twice");
    }
    if (!bytes_equal(http_field_find(request, "sec-websocket-version"), BYTES_LITERAL("13"))) {
        return refuse_with(handshake, 426, "only version 13 of WebSocket is spoken here",
                           EXTRA_UPGRADE);
    }
    return true;
}

static bool is_base64(uint8_t byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || byte == '+' || byte == '/';
}

/* [WS 4.2.1] 5: base64 of 16 bytes. The four bits that the last letter has to spare are not looked
 * at: they change nothing, and some clients draw letters instead of bytes. */
static bool check_key(struct handshake *handshake)
{
    ASSERT(!handshake->request->has_body);
    ASSERT(handshake->status == 0);
    const struct bytes key = http_field_find(handshake->request, "sec-websocket-key");
    bool good =
        key.size == KEY_SIZE && key.data[KEY_SIZE - 2] == '=' && key.data[KEY_SIZE - 1] == '=';
    for (size_t i = 0; good && i < KEY_SIZE - 2; i++) {
        good = is_base64(key.data[i]);
    }
    if (!good) {
        return refuse(handshake, 400, "Sec-WebSocket-Key is not one key of 16 bytes");
    }
    return true;
}

/* [WS 9.1] a field that is not in the grammar fails the handshake, even where every extension is
 * declined. Several fields are one list: the first offer that will do is taken. */
static bool check_extensions(struct handshake *handshake)
{
    ASSERT(!handshake->request->has_body);
    ASSERT(handshake->status == 0);
    const struct http_request *request = handshake->request;
    const struct ws_deflate_wish *wish = handshake->options->deflate;
    const struct bytes name = BYTES_LITERAL("sec-websocket-extensions");
    for (size_t i = 0; i < request->field_count; i++) {
        if (!http_text_equal(request->fields[i].name, name)) {
            continue;
        }
        if (!ws_extensions_valid(request->fields[i].value)) {
            return refuse(handshake, 400, "malformed Sec-WebSocket-Extensions");
        }
        if (wish != NULL && !handshake->deflate.agreed) {
            (void)ws_deflate_choose(request->fields[i].value, wish, &handshake->deflate);
        }
    }
    return true;
}

/* Adds the protocols of one field to those seen. False: malformed, repeated, or too many. */
static bool protocols_add(struct bytes list, struct bytes seen[static PROTOCOLS_MAX],
                          size_t *seen_count)
{
    ASSERT(list.size == 0 || list.data != NULL);
    ASSERT(*seen_count <= PROTOCOLS_MAX);
    struct bytes protocol;
    while (http_list_next(&list, &protocol)) {
        if (*seen_count == PROTOCOLS_MAX || !http_token_valid(protocol)) {
            return false;
        }
        for (size_t i = 0; i < *seen_count; i++) {
            if (bytes_equal(seen[i], protocol)) {
                return false; /* [WS 4.1] 10: all unique */
            }
        }
        seen[(*seen_count)++] = protocol;
    }
    return true;
}

/* [WS 4.1] 10: the client's order is that of its preference. */
static void protocol_choose(struct handshake *handshake, struct bytes protocol)
{
    ASSERT(!handshake->named);
    ASSERT(protocol.size > 0);
    for (unsigned codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
        if (bytes_equal(protocol, ws_protocols[codec])) {
            handshake->named = true;
            handshake->codec = (enum wire_codec)codec;
        }
    }
}

/* [WS 4.2.2] 5, [P 1]: one of the client's list, or none if it offers none. */
static bool check_protocol(struct handshake *handshake)
{
    ASSERT(handshake->status == 0);
    ASSERT(!handshake->named);
    const struct http_request *request = handshake->request;
    const struct bytes name = BYTES_LITERAL("sec-websocket-protocol");
    struct bytes seen[PROTOCOLS_MAX];
    size_t seen_count = 0;
    bool offered = false;
    for (size_t i = 0; i < request->field_count; i++) {
        if (http_text_equal(request->fields[i].name, name)) {
            offered = true;
            if (!protocols_add(request->fields[i].value, seen, &seen_count)) {
                return refuse(handshake, 400, "malformed Sec-WebSocket-Protocol");
            }
        }
    }
    ASSERT(seen_count <= PROTOCOLS_MAX);
    for (size_t i = 0; i < seen_count && !handshake->named; i++) {
        protocol_choose(handshake, seen[i]);
    }
    if (offered && seen_count == 0) {
        return refuse(handshake, 400, "malformed Sec-WebSocket-Protocol");
    }
    if (offered && !handshake->named && !handshake->options->any_protocol) {
        return refuse(handshake, 400,
                      "none of the subprotocols is known; try seriatim.v1.json or "
                      "seriatim.v1.binary");
    }
    return true;
}

/* [WS 4.2.2] 1, [WS 10.2] */
static bool check_origin(struct handshake *handshake)
{
    ASSERT(handshake->status == 0);
    ASSERT(handshake->options->origin_count == 0 || handshake->options->origins != NULL);
    const struct http_request *request = handshake->request;
    const size_t count = http_field_count(request, "origin");
    if (count > 1) {
        return refuse(handshake, 400, "Origin is there twice");
    }
    if (count == 1 &&
        !ws_origin_allowed(http_field_find(request, "origin"), http_field_find(request, "host"),
                           handshake->options->origins, handshake->options->origin_count)) {
        return refuse(handshake, 403, "pages of this origin may not connect");
    }
    return true;
}

static handshake_check *const handshake_checks[] = {
    check_path, check_method,     check_no_body,  check_upgrade, check_version,
    check_key,  check_extensions, check_protocol, check_origin,
};

static CRYPTO_ONCE sha1_once = CRYPTO_ONCE_STATIC_INIT;
static EVP_MD *sha1; /* NULL: this OpenSSL has none */

static void sha1_fetch(void)
{
    sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
}

/* [WS 4.2.2] 5: base64 of the SHA-1 of the key and the GUID. */
static enum rc accept_encode(struct bytes key, char to[static ACCEPT_SIZE + 1])
{
    ASSERT(key.size == KEY_SIZE);
    ASSERT(key.data != NULL);
    uint8_t text[KEY_SIZE + 36];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;

    ASSERT(key.size == KEY_SIZE && sizeof(text) == KEY_SIZE + ws_guid.size);
    bytes_copy(text, key.data, KEY_SIZE);
    bytes_copy(text + KEY_SIZE, ws_guid.data, ws_guid.size);
    /* Fetched once: a fetch takes a lock of the whole process. */
    const int once = CRYPTO_THREAD_run_once(&sha1_once, sha1_fetch);
    if (NEVER(once != 1) || sha1 == NULL ||
        EVP_Digest(text, sizeof(text), digest, &digest_size, sha1, NULL) != 1) {
        return RC_NOMEM;
    }
    ASSERT(digest_size == DIGEST_SIZE);
    const int size = EVP_EncodeBlock((unsigned char *)to, digest, (int)digest_size);
    ASSERT(size == (int)ACCEPT_SIZE);
    return RC_OK;
}

static enum rc accept_append(const struct handshake *handshake, struct buf *to)
{
    ASSERT(handshake->status == 0);
    ASSERT(handshake->why == NULL);
    char accept[ACCEPT_SIZE + 1];
    const enum rc rc =
        accept_encode(http_field_find(handshake->request, "sec-websocket-key"), accept);
    if (rc != RC_OK) {
        return rc;
    }
    const bool name = handshake->named && !handshake->options->any_protocol;
    char extensions[WS_DEFLATE_ANSWER_SIZE];
    ws_deflate_answer(&handshake->deflate, extensions);
    char head[256 + WS_DEFLATE_ANSWER_SIZE];
    const int size = snprintf(head, sizeof(head),
                              "HTTP/1.1 101 Switching Protocols\r\n"
                              "Upgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: %s\r\n"
                              "%s%s%s%s\r\n",
                              accept, name ? "Sec-WebSocket-Protocol: " : "",
                              name ? (const char *)ws_protocols[handshake->codec].data : "",
                              name ? "\r\n" : "", extensions);
    ASSERT(size > 0 && (size_t)size < sizeof(head));
    return buf_append(to, bytes_of(head, (size_t)size));
}

/* [P 5] errors are objects, with the code of their kind. `why` has nothing to escape. */
static enum rc refusal_append(const struct handshake *handshake, struct buf *to)
{
    ASSERT(handshake->status >= 400);
    ASSERT(strpbrk(handshake->why, "\"\\\n") == NULL);
    char body[256];
    const int size =
        snprintf(body, sizeof(body), "{\"code\":\"%s\",\"message\":\"%s\"}\n",
                 handshake->status == 403 ? "forbidden" : "bad_request", handshake->why);
    ASSERT(size > 0 && (size_t)size < sizeof(body));
    const enum rc rc = http_response_append(to, handshake->status, "application/json",
                                            handshake->extra, bytes_of(body, (size_t)size), true);
    if (rc == RC_OK && bytes_equal(handshake->request->method, BYTES_LITERAL("HEAD"))) {
        to->size -= (size_t)size; /* [HTTP 9.3.2] all but the content */
    }
    return rc;
}

enum rc ws_handshake(const struct http_request *request, const struct ws_handshake_options *options,
                     struct buf *to, enum wire_codec *ret_codec, const char **ret_why)
{
    ASSERT(ret_codec != NULL);
    ASSERT(ret_why != NULL);
    ASSERT(options->path[0] == '/');
    ASSERT(request->minor <= 1);
    struct handshake handshake = {.request = request, .options = options};

    for (size_t i = 0; i < sizeof(handshake_checks) / sizeof(handshake_checks[0]); i++) {
        if (!handshake_checks[i](&handshake)) {
            ASSERT(handshake.status >= 400 && handshake.why != NULL);
            const enum rc rc = refusal_append(&handshake, to);
            if (rc != RC_OK) {
                return rc;
            }
            *ret_why = handshake.why;
            return RC_PROTOCOL;
        }
    }
    const enum rc rc = accept_append(&handshake, to);
    if (rc == RC_OK) {
        *ret_codec = handshake.codec;
        if (options->ret_deflate != NULL) {
            *options->ret_deflate = handshake.deflate;
        }
    }
    return rc;
}
