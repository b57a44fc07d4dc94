#include "client/url.h"

#include <stdio.h>

#define SCHEME     "ws://"
#define PATH_OF_WS "/v1/ws"

static bool byte_ok(uint8_t c)
{
    return c > 0x20 && c < 0x7F && c != '"' && c != '<' && c != '>' && c != '\\' && c != '#';
}

static enum rc refuse(const char **ret_why, const char *why)
{
    *ret_why = why;
    return RC_BAD;
}

static enum rc copy_part(struct bytes part, char *to, size_t size)
{
    if (part.size == 0 || part.size >= size) {
        return RC_BAD;
    }
    bytes_copy(to, part.data, part.size);
    to[part.size] = '\0';
    return RC_OK;
}

/* The port's digits, 1 … 65535. */
static enum rc parse_port(struct bytes text, struct client_url *url)
{
    unsigned port = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || port > 6553) {
            return RC_BAD;
        }
        port = port * 10 + (unsigned)(text.data[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX) {
        return RC_BAD;
    }
    (void)snprintf(url->port, sizeof(url->port), "%u", port);
    return RC_OK;
}

/* Where the host ends in HOST:PORT or [IPv6]:PORT: at the colon or at the end. */
static size_t host_end(struct bytes authority)
{
    size_t at = 0;
    if (authority.size > 0 && authority.data[0] == '[') {
        while (at < authority.size && authority.data[at] != ']') {
            at++;
        }
    }
    while (at < authority.size && authority.data[at] != ':') {
        at++;
    }
    return at;
}

static enum rc parse_authority(struct bytes authority, struct client_url *url)
{
    const size_t end = host_end(authority);
    struct bytes host = bytes_of(authority.data, end);
    if (host.size > 0 && host.data[0] == '[') {
        if (host.size == 1 || host.data[host.size - 1] != ']') {
            return RC_BAD;
        }
        host = bytes_of(host.data + 1, host.size - 2);
    }
    if (copy_part(host, url->host, sizeof(url->host)) != RC_OK ||
        copy_part(authority, url->authority, sizeof(url->authority)) != RC_OK) {
        return RC_BAD;
    }
    (void)snprintf(url->port, sizeof(url->port), "80");
    if (end == authority.size) {
        return RC_OK;
    }
    return parse_port(bytes_of(authority.data + end + 1, authority.size - end - 1), url);
}

enum rc client_url_parse(const char *text, struct client_url *ret_url, const char **ret_why)
{
    struct client_url url = {0};
    const struct bytes all = bytes_of_text(text);
    for (size_t i = 0; i < all.size; i++) {
        if (!byte_ok(all.data[i])) {
            return refuse(ret_why, "it holds a character that no URL has");
        }
    }
    if (strncmp(text, "wss://", 6) == 0) {
        return refuse(ret_why, "wss:// is not spoken yet, only ws://");
    }
    if (strncmp(text, SCHEME, sizeof(SCHEME) - 1) != 0) {
        return refuse(ret_why, "it must begin with ws://");
    }
    const char *start = text + sizeof(SCHEME) - 1;
    const size_t authority = strcspn(start, "/?");
    if (memchr(start, '@', authority) != NULL) {
        return refuse(ret_why, "it must not hold a user name");
    }
    if (parse_authority(bytes_of(start, authority), &url) != RC_OK) {
        return refuse(ret_why, "it needs a host, and a port from 1 to 65535 if any");
    }
    const char *path = start + authority;
    const bool none = *path == '\0' || strcmp(path, "/") == 0;
    const int size = snprintf(url.path, sizeof(url.path), "%s%s", *path == '?' ? PATH_OF_WS : "",
                              none ? PATH_OF_WS : path);
    if (size < 0 || (size_t)size >= sizeof(url.path)) {
        return refuse(ret_why, "its path is too long");
    }
    *ret_url = url;
    return RC_OK;
}
