#include "sim/keys.h"

#include "base/hash.h"
#include "sim/trace.h"

#include <stdio.h>
#include <string.h>

static const char *const texts[KEYS] = {"", "a", "b", "\xc3\xa4"};

unsigned key_number(unsigned channel, struct identity who)
{
    const uint64_t all[4] = {channel, who.producer, who.epoch, who.n};
    return (unsigned)(hash_bytes(bytes_of(all, sizeof(all)), 6) % (KEYS + 1));
}

const char *key_text(unsigned number)
{
    return number == KEYS ? NULL : texts[number];
}

void key_payload(struct buf *to, unsigned channel, struct identity who)
{
    const char *key = key_text(key_number(channel, who));
    char text[32];
    model_payload(to, channel, who);
    if (key != NULL) {
        const int size = snprintf(text, sizeof(text), ",\"key\":\"%s\"", key);
        const enum rc rc = buf_append(to, bytes_of(text, (size_t)size));
        ASSERT(rc == RC_OK);
    }
}

void key_check(unsigned channel, struct identity who, const struct value *message)
{
    const char *key = key_text(key_number(channel, who));
    const struct value *told = value_member(message, "key");
    if ((key == NULL) != (told == NULL) || (key != NULL && strcmp(key, value_text(told)) != 0)) {
        trace_fail("I2 agreement", "seq %llu of channel %u has another key",
                   (unsigned long long)member_u64(message, "seq"), channel);
    }
}

void owed_add(struct owed *owed, unsigned channel, unsigned history, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        struct identity who;
        if (!model_who(channel, history, seq, &who)) {
            continue;
        }
        const unsigned key = key_number(channel, who);
        if (key == KEYS) {
            trace_fail("conflation", "seq %llu of channel %u has no key and is left out",
                       (unsigned long long)seq, channel);
        }
        owed->seqs[key] = seq;
    }
}

void owed_seen(struct owed *owed, unsigned channel, const struct value *message)
{
    const struct value *data = value_member(message, "data");
    const struct identity who = {
        .producer = (unsigned)member_u64(data, "p"),
        .epoch = (unsigned)member_u64(data, "e"),
        .n = (unsigned)member_u64(data, "n"),
    };
    const unsigned key = key_number(channel, who);
    if (key < KEYS) {
        owed->seqs[key] = 0;
    }
}

void owed_check(const struct owed *owed, unsigned channel)
{
    for (unsigned key = 0; key < KEYS; key++) {
        if (owed->seqs[key] != 0) {
            trace_fail("conflation",
                       "seq %llu of channel %u was left out, and no newer one of key \"%s\" came",
                       (unsigned long long)owed->seqs[key], channel, texts[key]);
        }
    }
}
