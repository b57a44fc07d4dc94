/* Origins are compared by their parts, never as prefixes or suffixes: "http://good.example.evil"
 * and "http://good.example:81" are other origins than "http://good.example". */
#include "wire/ws_origin.h"

#include "wire/http_list.h"

struct origin {
    bool secure; /* https, else http */
    struct bytes host;
    uint16_t port;
};

static uint16_t default_port(bool secure)
{
    return secure ? 443 : 80;
}

/* scheme "://" host [ ":" port ], and nothing behind it ([RFC 6454 6.2]). */
static bool origin_parse(struct bytes text, struct origin *ret_origin)
{
    static const struct {
        struct bytes prefix;
        bool secure;
    } schemes[] = {{BYTES_LITERAL("http://"), false}, {BYTES_LITERAL("https://"), true}};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        const size_t skip = schemes[i].prefix.size;
        struct http_authority authority;
        if (text.size > skip && http_text_equal(bytes_of(text.data, skip), schemes[i].prefix) &&
            http_authority_parse(bytes_of(text.data + skip, text.size - skip), &authority)) {
            const bool secure = schemes[i].secure;
            *ret_origin = (struct origin){
                .secure = secure,
                .host = authority.host,
                .port = authority.has_port ? authority.port : default_port(secure),
            };
            ASSERT(ret_origin->host.size > 0);
            return true;
        }
    }
    return false;
}

static bool origin_in_list(struct bytes text, const struct origin *origin, const struct bytes *list,
                           size_t list_count)
{
    ASSERT(list_count == 0 || list != NULL);
    ASSERT(origin == NULL || origin->host.size > 0);
    for (size_t i = 0; i < list_count; i++) {
        struct origin item;
        if (bytes_equal(list[i], BYTES_LITERAL("*")) || bytes_equal(list[i], text)) {
            return true;
        }
        if (origin != NULL && origin_parse(list[i], &item) && item.secure == origin->secure &&
            item.port == origin->port && http_text_equal(item.host, origin->host)) {
            return true;
        }
    }
    return false;
}

bool ws_origin_allowed(struct bytes origin, struct bytes host, const struct bytes *list,
                       size_t list_count)
{
    ASSERT(list_count == 0 || list != NULL);
    struct origin parsed;
    const bool is_web = origin_parse(origin, &parsed);
    struct http_authority server;
    if (is_web && http_authority_parse(host, &server)) {
        /* Behind a proxy that ends TLS we do not know our own scheme: a Host without a port means
         * the default port of the page's scheme. */
        const uint16_t port = server.has_port ? server.port : default_port(parsed.secure);
        if (port == parsed.port && http_text_equal(server.host, parsed.host)) {
            return true;
        }
    }
    return origin_in_list(origin, is_web ? &parsed : NULL, list, list_count);
}
