#include "core/capture.h"

#include "base/hash.h"
#include "base/mark.h"
#include "base/mem.h"
#include "base/slots.h"
#include "core/state.h"

#define EARLY_CAPACITY_FIRST 16u

/* A channel as it was, encoded before it changed. */
struct early {
    uint32_t id;
    struct buf bytes;
};

struct capture {
    const struct state *state;
    struct pieces out;
    uint64_t count; /* of channels */
    uint64_t next;  /* the number of the next one to encode */
    struct early *early;
    size_t early_count;
    size_t early_capacity;
    struct slots early_by_id; /* place in `early` + 1 */
    bool failed;
    bool has_whole_hash; /* test builds: what it must come to */
    uint64_t whole_hash;
};

static void capture_check(const struct capture *capture)
{
    ASSERT_HOT(capture->next >= 1 && capture->next <= capture->count + 1);
    ASSERT_HOT(capture->early_count <= capture->early_capacity);
    ASSERT_HOT(slots_count(&capture->early_by_id) <= capture->early_count);
}

#ifdef SERIATIM_HOT_ASSERTS
static void whole_hash_take(struct capture *capture)
{
    struct buf whole = {0};
    capture->has_whole_hash = state_encode(capture->state, &whole) == RC_OK;
    capture->whole_hash = hash_bytes(buf_bytes(&whole), 0);
    buf_deinit(&whole);
}
#else
static void whole_hash_take(struct capture *capture)
{
    capture->has_whole_hash = false;
}
#endif

enum rc capture_open(const struct state *state, struct capture **ret_capture)
{
    ASSERT(state->capture == NULL);
    ASSERT(ret_capture != NULL);
    struct capture *capture = mem_calloc(1, sizeof(*capture));
    if (capture == NULL) {
        return RC_NOMEM;
    }
    capture->state = state;
    capture->count = state->channels.count;
    capture->next = 1;
    struct buf *to = NULL;
    enum rc rc = pieces_room(&capture->out, &to);
    if (rc == RC_OK) {
        rc = state_encode_head(state, to);
    }
    if (rc != RC_OK) {
        pieces_deinit(&capture->out);
        mem_free(capture);
        return rc;
    }
    whole_hash_take(capture);
    capture_check(capture);
    *ret_capture = capture;
    return RC_OK;
}

void capture_close(struct capture *capture)
{
    if (capture == NULL) {
        return;
    }
    capture_check(capture);
    /* One that is whole has used them all up. */
    const bool whole = capture->next > capture->count;
    for (size_t i = 0; !whole && i < capture->early_count; i++) {
        struct channel *channel = table_by_id(&capture->state->channels, capture->early[i].id);
        ASSERT(channel != NULL);
        channel->captured_ = false;
        buf_deinit(&capture->early[i].bytes);
    }
    slots_deinit(&capture->early_by_id);
    mem_free(capture->early);
    pieces_deinit(&capture->out);
    mem_free(capture);
}

/* ---- channels that change before their turn ------------------------------------------------ */

static uint32_t id_hash(uint32_t id)
{
    ASSERT_HOT(id != 0);
    return (uint32_t)((id * 0x9E3779B97F4A7C15u) >> 32);
}

static bool early_match(const void *ctx, uint32_t number, const void *key)
{
    const struct capture *capture = ctx;
    ASSERT_HOT(number >= 1);
    ASSERT_HOT(number <= capture->early_count);
    return capture->early[number - 1].id == *(const uint32_t *)key;
}

static enum rc early_reserve(struct capture *capture)
{
    capture_check(capture);
    if (capture->early_count < capture->early_capacity) {
        return RC_OK;
    }
    const size_t capacity =
        capture->early_capacity == 0 ? EARLY_CAPACITY_FIRST : capture->early_capacity * 2;
    struct early *early = mem_realloc(capture->early, capacity * sizeof(*early));
    if (early == NULL) {
        return RC_NOMEM;
    }
    capture->early = early;
    capture->early_capacity = capacity;
    ASSERT(capture->early_count < capacity);
    return RC_OK;
}

static enum rc early_add(struct capture *capture, const struct channel *channel)
{
    ASSERT_HOT(!channel->captured_);
    ASSERT_HOT(channel->id >= capture->next && channel->id <= capture->count);
    enum rc rc = early_reserve(capture);
    if (rc != RC_OK) {
        return rc;
    }
    struct early early = {.id = channel->id};
    rc = state_encode_channel(channel, &early.bytes);
    if (rc == RC_OK) {
        rc = slots_insert(&capture->early_by_id, id_hash(early.id),
                          (uint32_t)capture->early_count + 1);
    }
    if (rc != RC_OK) {
        buf_deinit(&early.bytes);
        return rc;
    }
    capture->early[capture->early_count++] = early;
    capture_check(capture);
    return RC_OK;
}

void capture_touch(struct capture *capture, struct channel *channel)
{
    ASSERT_HOT(capture->state->capture == capture);
    if (channel->captured_ || channel->id < capture->next || channel->id > capture->count ||
        capture->failed) {
        return;
    }
    ASSERT(channel->id != 0);
    if (early_add(capture, channel) == RC_OK) {
        MARK("checkpoint: a channel changes before its turn");
        channel->captured_ = true;
    } else {
        MARK("checkpoint: given up, memory is out");
        capture->failed = true;
    }
}

/* ---- slices -------------------------------------------------------------------------------- */

static enum rc early_put(const struct capture *capture, struct channel *channel, struct buf *to)
{
    const uint32_t id = channel->id;
    const uint32_t number =
        slots_find(&capture->early_by_id, id_hash(id), early_match, capture, &id);
    ASSERT(number != 0);
    struct early *early = &capture->early[number - 1];
    ASSERT(early->bytes.size > 0);
    const enum rc rc = buf_append(to, buf_bytes(&early->bytes));
    if (rc == RC_OK) {
        buf_deinit(&early->bytes);
        channel->captured_ = false;
    }
    return rc;
}

/* The next channel. Adds to *bytes what it took. */
static enum rc capture_next(struct capture *capture, size_t *bytes)
{
    ASSERT_HOT(capture->next <= capture->count);
    ASSERT_HOT(!capture->failed);
    struct buf *to = NULL;
    enum rc rc = pieces_room(&capture->out, &to);
    if (rc != RC_OK) {
        return rc;
    }
    const size_t before = to->size;
    struct channel *channel = table_by_id(&capture->state->channels, capture->next);
    if (channel->captured_) {
        rc = early_put(capture, channel, to);
    } else {
        rc = state_encode_channel(channel, to);
    }
    if (rc == RC_OK) {
        capture->next++;
        *bytes += to->size - before;
    }
    return rc;
}

enum rc capture_step(struct capture *capture, size_t bytes_max, struct pieces *ret_state)
{
    capture_check(capture);
    ASSERT(bytes_max > 0);
    size_t bytes = 0;
    while (!capture->failed && capture->next <= capture->count && bytes < bytes_max) {
        capture->failed = capture_next(capture, &bytes) != RC_OK;
    }
    if (capture->failed) {
        return RC_NOMEM;
    }
    if (capture->next <= capture->count) {
        MARK("checkpoint: encoded in slices");
        return RC_AGAIN;
    }
    ASSERT(!capture->has_whole_hash || pieces_hash(&capture->out, 0) == capture->whole_hash);
    *ret_state = capture->out;
    capture->out = (struct pieces){0};
    return RC_OK;
}
