#include "server/config_value.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Ascending: formatting takes the last one that divides the value. */
static const struct unit size_units[] = {
    {"", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40},
};
static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};
#define UNIT_COUNT 5u

enum rc config_parse_count(struct bytes text, uint64_t *ret_count)
{
    if (text.size == 0 || (text.size > 1 && text.data[0] == '0')) {
        return RC_BAD;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value)) {
            return RC_BAD;
        }
    }
    *ret_count = value;
    return RC_OK;
}

static size_t digits_end(struct bytes text)
{
    size_t end = 0;
    while (end < text.size && text.data[end] >= '0' && text.data[end] <= '9') {
        end++;
    }
    return end;
}

static enum rc parse_with_unit(struct bytes text, const struct unit units[static UNIT_COUNT],
                               uint64_t *ret_value)
{
    const size_t digits = digits_end(text);
    const struct bytes name = bytes_of(text.data + digits, text.size - digits);
    uint64_t number;
    if (config_parse_count(bytes_of(text.data, digits), &number) != RC_OK) {
        return RC_BAD;
    }
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        if (!bytes_equal(name, bytes_of_text(units[i].name))) {
            continue;
        }
        uint64_t value;
        if (__builtin_mul_overflow(number, units[i].factor, &value)) {
            return RC_BAD;
        }
        *ret_value = value;
        return RC_OK;
    }
    return RC_BAD;
}

enum rc config_parse_size(struct bytes text, uint64_t *ret_bytes)
{
    if (text.size > 1 && text.data[text.size - 1] == 'B' && text.data[text.size - 2] <= '9') {
        text.size--; /* "512B" */
    }
    return parse_with_unit(text, size_units, ret_bytes);
}

enum rc config_parse_duration(struct bytes text, uint64_t *ret_ms)
{
    if (bytes_equal(text, BYTES_LITERAL("0"))) {
        *ret_ms = 0;
        return RC_OK;
    }
    return parse_with_unit(text, duration_units, ret_ms);
}

enum rc config_parse_bool(struct bytes text, bool *ret_bool)
{
    const bool is_true = bytes_equal(text, BYTES_LITERAL("true"));
    if (!is_true && !bytes_equal(text, BYTES_LITERAL("false"))) {
        return RC_BAD;
    }
    *ret_bool = is_true;
    return RC_OK;
}

static bool host_byte_ok(uint8_t c, bool bracketed)
{
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return alnum || c == '.' || (bracketed ? c == ':' || c == '%' : c == '-' || c == '_');
}

/* The text before the last colon, without brackets; RC_BAD if it cannot be a host. */
static enum rc parse_host(struct bytes text, char host[static CONFIG_HOST_SIZE])
{
    const bool bracketed = text.size > 2 && text.data[0] == '[' && text.data[text.size - 1] == ']';
    if (bracketed) {
        text = bytes_of(text.data + 1, text.size - 2);
    }
    if (text.size == 0 || text.size >= CONFIG_HOST_SIZE) {
        return RC_BAD;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (!host_byte_ok(text.data[i], bracketed)) {
            return RC_BAD;
        }
    }
    bytes_copy(host, text.data, text.size);
    host[text.size] = '\0';
    return RC_OK;
}

enum rc config_parse_address(struct bytes text, struct config_address *ret_address)
{
    size_t colon = text.size;
    while (colon > 0 && text.data[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0) {
        return RC_BAD;
    }
    struct config_address address = {0};
    uint64_t port;
    enum rc rc = config_parse_count(bytes_of(text.data + colon, text.size - colon), &port);
    if (rc != RC_OK || port > UINT16_MAX) {
        return RC_BAD;
    }
    rc = parse_host(bytes_of(text.data, colon - 1), address.host);
    if (rc != RC_OK) {
        return rc;
    }
    address.port = (uint16_t)port;
    *ret_address = address;
    return RC_OK;
}

static void format_with_unit(uint64_t value, const struct unit units[static UNIT_COUNT],
                             char text[static CONFIG_NUMBER_TEXT_SIZE])
{
    size_t best = 0;
    for (size_t i = 1; i < UNIT_COUNT; i++) {
        if (value % units[i].factor == 0) {
            best = i;
        }
    }
    (void)snprintf(text, CONFIG_NUMBER_TEXT_SIZE, "%" PRIu64 "%s", value / units[best].factor,
                   units[best].name);
}

void config_format_size(uint64_t bytes, char text[static CONFIG_NUMBER_TEXT_SIZE])
{
    format_with_unit(bytes, size_units, text);
    if (bytes == 0) {
        (void)snprintf(text, CONFIG_NUMBER_TEXT_SIZE, "0");
    }
}

void config_format_duration(uint64_t ms, char text[static CONFIG_NUMBER_TEXT_SIZE])
{
    format_with_unit(ms, duration_units, text);
    if (ms == 0) {
        (void)snprintf(text, CONFIG_NUMBER_TEXT_SIZE, "0");
    }
}
