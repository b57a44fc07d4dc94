#include "client/workload.h"

#include "base/mem.h"
#include "base/prng.h"

#include <inttypes.h>
#include <stdio.h>

#define NS_PER_SECOND UINT64_C(1000000000)

/* The pool is made of units of 8 bytes, each of them good inside a JSON string by itself. */
#define UNIT_BYTES 8u
#define POOL_UNITS 4096u
#define POOL_BYTES (UNIT_BYTES * POOL_UNITS)
#define HEAD_SIZE  96u
#define KEY_EVERY  8u
#define KEY        "the-eighth"

static const char odd_units[][UNIT_BYTES + 1] = {
    "\\u00e9ab",      "\\\"quotes",        "\\\\slash_",           "\\nlines.", "\\/solid.",
    "\xC3\xA9 acute", "\xE2\x82\xAC euro", "\xF0\x9F\x90\x99octo", "<a&b'c>;",  "\\u0000\xC3\xBC",
};
#define ODD_UNITS (sizeof(odd_units) / sizeof(odd_units[0]))
#define ODD_EVERY 16u

static void fill_pool(struct workload *workload)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -";
    static_assert(sizeof(plain) == 64 + 1, "six bits choose one");
    struct prng prng = {.state = workload->options.seed};
    for (size_t unit = 0; unit < POOL_UNITS; unit++) {
        uint8_t *at = workload->pool_ + unit * UNIT_BYTES;
        uint64_t drawn = prng_next(&prng);
        if (drawn % ODD_EVERY == 0) {
            const char *odd = odd_units[(drawn >> 8) % ODD_UNITS];
            ASSERT(strlen(odd) == UNIT_BYTES);
            bytes_copy(at, odd, UNIT_BYTES);
            continue;
        }
        for (size_t i = 0; i < UNIT_BYTES; i++, drawn >>= 8) {
            at[i] = (uint8_t)plain[drawn % 64];
        }
    }
}

enum rc workload_init(struct workload *workload, const struct workload_options *options)
{
    ASSERT(options->messages > 0 && options->rate > 0 && options->batch > 0);
    ASSERT(options->channels > 0 && options->channels <= WORKLOAD_CHANNELS_MAX);
    ASSERT(options->producers > 0 && options->producers <= WORKLOAD_PRODUCERS_MAX);
    ASSERT(options->size >= WORKLOAD_SIZE_MIN);
    *workload = (struct workload){.options = *options};
    const int size = snprintf(workload->prefix, sizeof(workload->prefix), "%s", options->prefix);
    ASSERT(size > 0 && (size_t)size < sizeof(workload->prefix)); /* checked by who took it */
    workload->options.prefix = NULL;                             /* ours is the copy */
    workload->pool_ = mem_alloc(POOL_BYTES);
    if (workload->pool_ == NULL) {
        return RC_NOMEM;
    }
    fill_pool(workload);
    return RC_OK;
}

void workload_deinit(struct workload *workload)
{
    mem_free(workload->pool_);
    workload->pool_ = NULL;
}

/* ---- which message is which ---------------------------------------------------------------- */

static uint64_t batch_count(const struct workload *workload)
{
    const uint64_t batch = workload->options.batch;
    return (workload->options.messages + batch - 1) / batch;
}

uint64_t workload_commands(const struct workload *workload, uint32_t producer)
{
    const uint64_t producers = workload->options.producers;
    return (batch_count(workload) + producers - 1 - producer) / producers;
}

/* The load's number of a command's first message. */
static uint64_t first_message(const struct workload *workload, uint32_t producer, uint64_t k)
{
    return (k * workload->options.producers + producer) * workload->options.batch;
}

struct workload_command workload_command(const struct workload *workload, uint32_t producer,
                                         uint64_t k)
{
    const uint64_t first = first_message(workload, producer, k);
    ASSERT_HOT(first < workload->options.messages);
    const uint64_t left = workload->options.messages - first;
    const uint32_t channels = workload->options.channels;
    return (struct workload_command){
        .channel = (uint32_t)((k + producer) % channels),
        .count = left < workload->options.batch ? (uint32_t)left : workload->options.batch,
        .first = k / channels * workload->options.batch + 1,
    };
}

static uint64_t due_ns(const struct workload *workload, uint64_t message)
{
    /* In two steps: the product would overflow after five hours at a million a second. */
    const uint64_t rate = workload->options.rate;
    return message / rate * NS_PER_SECOND + message % rate * NS_PER_SECOND / rate;
}

uint64_t workload_due_ns(const struct workload *workload, uint32_t producer, uint64_t k,
                         uint32_t index)
{
    return due_ns(workload, first_message(workload, producer, k) + index);
}

/* The remainder that k has, divided by the number of channels, where a producer's commands go to
 * that channel. */
static uint64_t turn_of(const struct workload *workload, uint32_t channel, uint32_t producer)
{
    const uint64_t channels = workload->options.channels;
    return (channel + channels - producer % channels) % channels;
}

void workload_place(const struct workload *workload, uint32_t channel, uint32_t producer,
                    uint64_t number, uint64_t *ret_k, uint32_t *ret_index)
{
    const uint64_t batch = workload->options.batch;
    ASSERT(number > 0);
    *ret_k =
        (number - 1) / batch * workload->options.channels + turn_of(workload, channel, producer);
    *ret_index = (uint32_t)((number - 1) % batch);
}

uint64_t workload_number_due_ns(const struct workload *workload, uint32_t channel,
                                uint32_t producer, uint64_t number)
{
    uint64_t k;
    uint32_t index;
    if (number == 0 || number > workload->options.messages) {
        return UINT64_MAX;
    }
    workload_place(workload, channel, producer, number, &k, &index);
    const uint64_t message = first_message(workload, producer, k) + index;
    return message < workload->options.messages ? due_ns(workload, message) : UINT64_MAX;
}

uint64_t workload_numbers(const struct workload *workload, uint32_t channel, uint32_t producer,
                          uint64_t k)
{
    const uint64_t channels = workload->options.channels;
    const uint64_t turn = turn_of(workload, channel, producer);
    if (k <= turn) {
        return 0;
    }
    const uint64_t last = (k - 1 - turn) / channels * channels + turn;
    const struct workload_command command = workload_command(workload, producer, last);
    ASSERT(command.channel == channel);
    return command.first + command.count - 1;
}

/* ---- names --------------------------------------------------------------------------------- */

static size_t name_of(const struct workload *workload, char kind, uint32_t index,
                      char to[static WORKLOAD_NAME_SIZE])
{
    const int size =
        snprintf(to, WORKLOAD_NAME_SIZE, "%s-%c%" PRIu32, workload->prefix, kind, index);
    ASSERT(size > 0 && (size_t)size < WORKLOAD_NAME_SIZE);
    return (size_t)size;
}

size_t workload_channel_name(const struct workload *workload, uint32_t channel,
                             char to[static WORKLOAD_NAME_SIZE])
{
    return name_of(workload, 'c', channel, to);
}

size_t workload_producer_name(const struct workload *workload, uint32_t producer,
                              char to[static WORKLOAD_NAME_SIZE])
{
    return name_of(workload, 'p', producer, to);
}

/* The index behind "prefix-k"; false: it is not written that way, or not below `count`. */
static bool index_of(const struct workload *workload, struct bytes name, char kind, uint32_t count,
                     uint32_t *ret_index)
{
    const size_t prefix_size = strlen(workload->prefix);
    if (name.size <= prefix_size + 2 || memcmp(name.data, workload->prefix, prefix_size) != 0 ||
        name.data[prefix_size] != '-' || name.data[prefix_size + 1] != kind) {
        return false;
    }
    uint32_t index = 0;
    for (size_t i = prefix_size + 2; i < name.size; i++) {
        const uint8_t c = name.data[i];
        const bool zero_first = i == prefix_size + 2 && c == '0' && name.size > i + 1;
        if (c < '0' || c > '9' || zero_first || index >= count) {
            return false;
        }
        index = index * 10 + (uint32_t)(c - '0');
    }
    if (index >= count) {
        return false;
    }
    *ret_index = index;
    return true;
}

bool workload_producer_of(const struct workload *workload, struct bytes name,
                          uint32_t *ret_producer)
{
    return index_of(workload, name, 'p', workload->options.producers, ret_producer);
}

bool workload_channel_of(const struct workload *workload, struct bytes name, uint32_t *ret_channel)
{
    return index_of(workload, name, 'c', workload->options.channels, ret_channel);
}

/* ---- payloads ------------------------------------------------------------------------------ */

/* Appends at most 20 digits; the room is reserved. */
static void put_number(struct buf *to, uint64_t number)
{
    uint8_t digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    buf_put(to, digits + at, sizeof(digits) - at);
}

static void put_text(struct buf *to, const char *text)
{
    buf_put(to, text, strlen(text));
}

static void put_fill(const struct workload *workload, uint64_t drawn, size_t size, struct buf *to)
{
    size_t unit = drawn % POOL_UNITS;
    while (size >= UNIT_BYTES) {
        const size_t left = (POOL_UNITS - unit) * UNIT_BYTES;
        const size_t whole = size / UNIT_BYTES * UNIT_BYTES;
        const size_t piece = whole < left ? whole : left;
        buf_put(to, workload->pool_ + unit * UNIT_BYTES, piece);
        size -= piece;
        unit = 0;
    }
    buf_put(to, ".......", size);
}

size_t workload_data_room(const struct workload *workload)
{
    return HEAD_SIZE + workload->options.size;
}

enum rc workload_data(const struct workload *workload, uint32_t channel, uint32_t producer,
                      uint64_t number, struct buf *to)
{
    const enum rc rc = buf_reserve(to, workload_data_room(workload));
    if (rc != RC_OK) {
        return rc;
    }
    const size_t begin = to->size;
    put_text(to, "{\"c\":");
    put_number(to, channel);
    put_text(to, ",\"p\":");
    put_number(to, producer);
    put_text(to, ",\"n\":");
    put_number(to, number);
    put_text(to, ",\"f\":\"");
    struct prng prng = {.state = workload->options.seed ^ ((uint64_t)channel << 32) ^
                                 ((uint64_t)producer << 48) ^ number};
    const size_t used = to->size - begin + 2;
    ASSERT_HOT(used <= workload->options.size);
    put_fill(workload, prng_next(&prng), workload->options.size - used, to);
    put_text(to, "\"}");
    return RC_OK;
}

struct bytes workload_key(const struct workload *workload, uint64_t number)
{
    (void)workload;
    return number % KEY_EVERY == 0 ? BYTES_LITERAL(KEY) : (struct bytes){0};
}
