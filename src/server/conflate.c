#include "server/conflate.h"

#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"

/* A look at so many for each message that will be taken; but some, so that a small window does not
 * see every key as new. */
#define LOOKS_EACH 20u
#define LOOKS_MIN  1000u

struct newest {
    uint64_t seq;
    uint32_t key_size;
    uint8_t key[];
};

static struct bytes newest_key(const void *value)
{
    const struct newest *newest = value;
    return bytes_of(newest->key, newest->key_size);
}

static uint32_t looks(uint32_t wanted)
{
    const uint64_t some = (uint64_t)wanted * LOOKS_EACH;
    const uint64_t least = some < LOOKS_MIN ? LOOKS_MIN : some;
    return least < tune.conflate_count ? (uint32_t)least : tune.conflate_count;
}

void conflate_init(struct conflate *conflate, uint64_t hash_seed, uint64_t from, uint32_t wanted)
{
    ASSERT(wanted >= 1);
    *conflate = (struct conflate){.count_max_ = looks(wanted), .next_ = from};
    map_init(&conflate->by_key_, hash_seed, newest_key);
}

void conflate_deinit(struct conflate *conflate)
{
    size_t at = 0;
    struct newest *newest;
    if (conflate->next_ == 0) {
        return;
    }
    while ((newest = map_next(&conflate->by_key_, &at)) != NULL) {
        mem_free(newest);
    }
    map_deinit(&conflate->by_key_);
    *conflate = (struct conflate){0};
}

static bool has_room(const struct conflate *conflate, const struct wire_message *message)
{
    return conflate->count_ == 0 || (conflate->count_ < conflate->count_max_ &&
                                     conflate->bytes_ + message->data.size <= tune.conflate_bytes);
}

/* False: no room for it, or no memory. */
static bool key_add(struct conflate *conflate, struct bytes key, uint64_t seq)
{
    const size_t size = sizeof(struct newest) + key.size;
    if (conflate->count_ > 0 && conflate->key_bytes_ + size > tune.conflate_key_bytes) {
        MARK("conflate: a span has as many keys as it may");
        return false;
    }
    struct newest *newest = mem_alloc(size);
    if (newest == NULL) {
        return false;
    }
    newest->seq = seq;
    newest->key_size = (uint32_t)key.size;
    bytes_copy(newest->key, key.data, key.size);
    if (map_insert(&conflate->by_key_, newest) != RC_OK) {
        mem_free(newest);
        return false;
    }
    conflate->key_bytes_ += size;
    return true;
}

static bool look(struct conflate *conflate, const struct wire_message *message)
{
    if (!has_room(conflate, message)) {
        MARK("conflate: a span has as many messages or bytes as it may");
        return false;
    }
    if (!message->has_key) {
        return true;
    }
    struct newest *newest = map_find(&conflate->by_key_, message->key);
    if (newest == NULL) {
        return key_add(conflate, message->key, message->seq);
    }
    MARK("conflate: a message takes the place of an older one");
    newest->seq = message->seq;
    return true;
}

enum rc conflate_look(struct conflate *conflate, const struct wire_message *message)
{
    ASSERT(message->seq == conflate->next_);
    ASSERT(!conflate->full_);
    if (!look(conflate, message)) {
        conflate->full_ = true;
        return RC_END;
    }
    conflate->count_++;
    conflate->bytes_ += message->data.size;
    conflate->next_++;
    return RC_OK;
}

bool conflate_keeps(const struct conflate *conflate, const struct wire_message *message)
{
    ASSERT(message->seq < conflate->next_);
    if (!message->has_key) {
        return true;
    }
    const struct newest *newest = map_find(&conflate->by_key_, message->key);
    ASSERT(newest != NULL && newest->seq >= message->seq);
    return newest->seq == message->seq;
}
