/* HTTP requests: however the bytes are cut, the same events; and the handshake on every head that
 * is found.
 *
 * The first byte is the size of the pieces of the second run. */
#include "../../unit/wire/http_transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void run(struct http_transcript *to, struct bytes stream, size_t step)
{
    struct http_parser *parser = NULL;
    check(http_parser_new(&parser) == RC_OK);
    bool more = true;
    for (size_t at = 0; more && at < stream.size; at += step) {
        const size_t left = stream.size - at;
        const size_t piece = left < step ? left : step;
        more = http_transcript_piece(to, parser, bytes_of(stream.data + at, piece));
    }
    http_parser_free(parser);
}

/* What must be true of every request that comes through, and of the answer to it. */
static void check_request(const struct http_request *request)
{
    static const struct bytes origins[] = {BYTES_LITERAL("https://app.example")};
    static const struct ws_deflate_wish deflate = {.window_bits = 10};
    const struct ws_handshake_options options = {
        .path = "/v1/ws", .origins = origins, .origin_count = 1, .deflate = &deflate};
    check(request->field_count <= HTTP_FIELDS_MAX);
    check(request->minor == 0 || http_field_count(request, "host") == 1);
    check(!(request->chunked && http_field_count(request, "content-length") > 0));
    check(request->path.size > 0);
    for (size_t i = 0; i < request->field_count; i++) {
        const struct bytes value = request->fields[i].value;
        check(request->fields[i].name.size > 0);
        for (size_t at = 0; at < value.size; at++) {
            check(value.data[at] == '\t' || (value.data[at] >= ' ' && value.data[at] != 0x7F));
        }
    }
    struct buf answer = {0};
    enum wire_codec codec = WIRE_JSON;
    const char *why = NULL;
    const enum rc rc = ws_handshake(request, &options, &answer, &codec, &why);
    check(rc == RC_OK || (rc == RC_PROTOCOL && why != NULL));
    if (rc == RC_OK) {
        check(request->upgrade && !request->has_body);
        check(answer.size > 12 && answer.data[9] == '1');
    }
    struct buf value = {0};
    bool found = false;
    check(http_query_find(request->query, "from", &value, &found) != RC_NOMEM);
    buf_deinit(&value);
    buf_deinit(&answer);
}

static void run_handshakes(struct bytes stream)
{
    struct http_parser *parser = NULL;
    struct http_event event = {.type = HTTP_EVENT_NONE};
    check(http_parser_new(&parser) == RC_OK);
    do {
        size_t used = 0;
        http_parser_feed(parser, stream, &used, &event);
        stream = bytes_of(stream.data + used, stream.size - used);
        if (event.type == HTTP_EVENT_HEAD) {
            check_request(event.request);
        }
    } while (event.type != HTTP_EVENT_NONE && event.type != HTTP_EVENT_ERROR);
    http_parser_free(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const struct bytes stream = {data + 1, size - 1};
    struct http_transcript whole = {0};
    struct http_transcript pieces = {0};
    run(&whole, stream, stream.size);
    run(&pieces, stream, 1 + data[0]);
    check(whole.in_body == pieces.in_body);
    check(bytes_equal(buf_bytes(&whole.text), buf_bytes(&pieces.text)));
    buf_deinit(&whole.text);
    buf_deinit(&pieces.text);
    run_handshakes(stream);
    return 0;
}
