#include "client/endpoints.h"

#include "base/assert.h"
#include "base/mark.h"

void endpoints_init(struct endpoints *endpoints, size_t count, size_t first)
{
    ASSERT(count > 0 && count <= ENDPOINTS_MAX);
    *endpoints = (struct endpoints){.count_ = count, .current_ = first % count};
}

static bool is_in(const struct endpoint *endpoint, uint64_t now_ms)
{
    return now_ms >= endpoint->out_until_ms;
}

size_t endpoints_in(const struct endpoints *endpoints, uint64_t now_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < endpoints->count_; i++) {
        count += is_in(&endpoints->list_[i], now_ms) ? 1 : 0;
    }
    return count;
}

size_t endpoints_pick(struct endpoints *endpoints, uint64_t now_ms)
{
    ASSERT(endpoints_in(endpoints, now_ms) > 0); /* never all of them */
    while (!is_in(&endpoints->list_[endpoints->current_], now_ms)) {
        endpoints->current_ = (endpoints->current_ + 1) % endpoints->count_;
    }
    return endpoints->current_;
}

void endpoints_ready(struct endpoints *endpoints, uint64_t now_ms)
{
    endpoints->ready_ = true;
    endpoints->ready_ms_ = now_ms;
}

static uint64_t time_out(const struct endpoint *endpoint)
{
    uint64_t out = ENDPOINTS_OUT_FIRST_MS;
    for (unsigned i = 0; i < endpoint->ejections && out < ENDPOINTS_OUT_LAST_MS; i++) {
        out *= 2;
    }
    return out < ENDPOINTS_OUT_LAST_MS ? out : ENDPOINTS_OUT_LAST_MS;
}

static void count_failure(struct endpoints *endpoints, struct endpoint *endpoint, uint64_t now_ms)
{
    endpoint->failed_ms[endpoint->failures % ENDPOINTS_FAILURES] = now_ms;
    endpoint->failures++;
    /* The oldest of the last three is the one that will be overwritten next. */
    const uint64_t since = endpoint->failed_ms[endpoint->failures % ENDPOINTS_FAILURES];
    if (endpoint->failures < ENDPOINTS_FAILURES || now_ms - since > ENDPOINTS_WITHIN_MS ||
        endpoints_in(endpoints, now_ms) == 1) {
        return;
    }
    MARK("endpoints: one is left out");
    endpoint->out_until_ms = now_ms + time_out(endpoint);
    endpoint->ejections++;
    endpoint->failures = 0;
}

void endpoints_lost(struct endpoints *endpoints, uint64_t now_ms)
{
    struct endpoint *endpoint = &endpoints->list_[endpoints->current_];
    const bool held = endpoints->ready_ && now_ms - endpoints->ready_ms_ >= ENDPOINTS_WITHIN_MS;
    endpoints->ready_ = false;
    if (held) {
        MARK("endpoints: one that has held is lost");
        *endpoint = (struct endpoint){.failures = 0};
    } else {
        count_failure(endpoints, endpoint, now_ms);
    }
    endpoints->current_ = (endpoints->current_ + 1) % endpoints->count_;
}
