/* Tokens, lists and hosts, and what a request's fields say by them. */
#include "wire/http_list.h"

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20u) : byte;
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_letter_or_digit(uint8_t byte)
{
    return is_digit(byte) || (lower(byte) >= 'a' && lower(byte) <= 'z');
}

static bool is_one_of(uint8_t byte, const char *set)
{
    ASSERT_HOT(set[0] != '\0');
    return byte != 0 && strchr(set, byte) != NULL;
}

bool http_text_equal(struct bytes a, struct bytes b)
{
    ASSERT_HOT(a.size == 0 || a.data != NULL);
    ASSERT_HOT(b.size == 0 || b.data != NULL);
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

bool http_token_valid(struct bytes text)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    for (size_t i = 0; i < text.size; i++) {
        if (!is_letter_or_digit(text.data[i]) && !is_one_of(text.data[i], "!#$%&'*+-.^_`|~")) {
            return false;
        }
    }
    return text.size > 0;
}

struct bytes http_trim(struct bytes text)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    while (text.size > 0 && is_one_of(text.data[0], " \t")) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_one_of(text.data[text.size - 1], " \t")) {
        text.size--;
    }
    return text;
}

bool http_list_next(struct bytes *list, struct bytes *ret_element)
{
    ASSERT_HOT(ret_element != NULL);
    ASSERT_HOT(list->size == 0 || list->data != NULL);
    while (list->size > 0) {
        const uint8_t *comma = memchr(list->data, ',', list->size);
        const size_t size = comma == NULL ? list->size : (size_t)(comma - list->data);
        const size_t skip = comma == NULL ? size : size + 1;
        const struct bytes element = http_trim(bytes_of(list->data, size));
        *list = bytes_of(list->data + skip, list->size - skip);
        ASSERT_HOT(element.size <= size);
        if (element.size > 0) {
            *ret_element = element;
            return true;
        }
    }
    return false;
}

bool http_field_lists(const struct http_request *request, const char *name, const char *token)
{
    ASSERT(request->field_count == 0 || request->fields != NULL);
    ASSERT(name[0] != '\0');
    ASSERT(token[0] != '\0');
    const struct bytes wanted_name = bytes_of_text(name);
    const struct bytes wanted = bytes_of_text(token);
    for (size_t i = 0; i < request->field_count; i++) {
        if (!http_text_equal(request->fields[i].name, wanted_name)) {
            continue;
        }
        struct bytes list = request->fields[i].value;
        struct bytes element;
        while (http_list_next(&list, &element)) {
            if (http_text_equal(element, wanted)) {
                return true;
            }
        }
    }
    return false;
}

size_t http_field_count(const struct http_request *request, const char *name)
{
    ASSERT(name[0] != '\0');
    ASSERT(request->field_count == 0 || request->fields != NULL);
    const struct bytes wanted = bytes_of_text(name);
    size_t count = 0;
    for (size_t i = 0; i < request->field_count; i++) {
        count += http_text_equal(request->fields[i].name, wanted) ? 1 : 0;
    }
    return count;
}

struct bytes http_field_find(const struct http_request *request, const char *name)
{
    ASSERT(name[0] != '\0');
    ASSERT(request->field_count == 0 || request->fields != NULL);
    const struct bytes wanted = bytes_of_text(name);
    struct bytes found = {0};
    size_t count = 0;
    for (size_t i = 0; i < request->field_count; i++) {
        if (http_text_equal(request->fields[i].name, wanted)) {
            found = request->fields[i].value;
            count++;
        }
    }
    return count == 1 ? found : (struct bytes){0};
}

/* How many bytes at the start of `text` are a host; 0: none. */
static size_t host_size(struct bytes text)
{
    ASSERT_HOT(text.size == 0 || text.data != NULL);
    size_t size = 0;
    if (text.size > 0 && text.data[0] == '[') {
        size = 1;
        while (size < text.size &&
               (is_letter_or_digit(text.data[size]) || is_one_of(text.data[size], ":."))) {
            size++;
        }
        const bool closed = size > 1 && size < text.size && text.data[size] == ']';
        return closed ? size + 1 : 0;
    }
    /* [URI 3.2.2] reg-name: unreserved, pct-encoded, sub-delims; but the comma, which would make
     * one Host look like a list of two. */
    while (size < text.size &&
           (is_letter_or_digit(text.data[size]) || is_one_of(text.data[size], "-._~%!$&'()*+;="))) {
        size++;
    }
    ASSERT_HOT(size <= text.size);
    return size;
}

bool http_authority_parse(struct bytes text, struct http_authority *ret_authority)
{
    ASSERT(ret_authority != NULL);
    const size_t size = host_size(text);
    ASSERT(size <= text.size);
    if (size == 0) {
        return false;
    }
    struct http_authority authority = {.host = bytes_of(text.data, size)};
    if (size < text.size) {
        if (text.data[size] != ':' || text.size - size > 6) {
            return false;
        }
        uint32_t port = 0;
        for (size_t i = size + 1; i < text.size; i++) {
            if (!is_digit(text.data[i])) {
                return false;
            }
            port = port * 10 + (uint32_t)(text.data[i] - '0');
        }
        if (port > UINT16_MAX) {
            return false;
        }
        /* [URI 3.2.3] "host:" is host with the default port. */
        authority.has_port = text.size - size > 1;
        authority.port = (uint16_t)port;
    }
    ASSERT(authority.host.size > 0 && authority.host.size <= text.size);
    ASSERT(authority.has_port || authority.port == 0);
    *ret_authority = authority;
    return true;
}
