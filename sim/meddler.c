#include "sim/meddler.h"

#include "sim/faults.h"
#include "sim/trace.h"
#include "wire/binary_codec.h"
#include "wire/binary_int.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_MAX 10u /* of a server's frame, which has no mask */

/* ---- blocks ---------------------------------------------------------------------------------- */

void meddler_block_put(struct meddler_block *to, const void *data, size_t size)
{
    if (to->size + size > to->capacity) {
        to->capacity = (to->size + size) * 2;
        to->data = realloc(to->data, to->capacity);
        ASSERT(to->data != NULL);
    }
    if (size > 0) {
        bytes_copy(to->data + to->size, data, size);
        to->size += size;
    }
}

void meddler_block_take(struct meddler_block *from, size_t size)
{
    ASSERT(size <= from->size);
    from->size -= size;
    if (from->size > 0) {
        (void)memmove(from->data, from->data + size, from->size);
    }
}

void meddler_block_deinit(struct meddler_block *block)
{
    free(block->data);
    *block = (struct meddler_block){0};
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* The size of the frame that begins there, its head included; 0: that cannot be told yet. */
static size_t frame_size(struct bytes bytes, size_t *ret_head)
{
    if (bytes.size < 2) {
        return 0;
    }
    const size_t code = bytes.data[1] & 0x7Fu;
    *ret_head = code < 126 ? 2 : code == 126 ? 4 : HEAD_MAX;
    if (bytes.size < *ret_head) {
        return 0;
    }
    size_t size = code < 126 ? code : 0;
    for (size_t i = 2; i < *ret_head; i++) {
        size = size << 8 | bytes.data[i];
    }
    return *ret_head + size;
}

/* Whether it is one whole message of the protocol that pushes a message of a channel. */
static bool is_push(uint8_t first, struct bytes payload)
{
    static const char json[] = "{\"type\":\"message\"";
    uint64_t size;
    if (first == 0x81) {
        return payload.size >= sizeof(json) && memcmp(payload.data, json, sizeof(json) - 1) == 0;
    }
    return first == 0x82 && binary_int_take(&payload, &size) && size == payload.size &&
           payload.size > 0 && payload.data[0] == BINARY_MESSAGE;
}

static void release(struct meddler *m, struct meddler_block *to)
{
    meddler_block_put(to, m->held.data, m->held.size);
    m->held.size = 0;
    m->held_for = 0;
}

static void frame_pass(struct meddler *m, struct bytes frame, size_t head, struct meddler_block *to)
{
    const bool push = is_push(frame.data[0], bytes_of(frame.data + head, frame.size - head));
    if (push && fault_happens(FAULT_PUSH_LOST)) {
        m->did = true;
        return;
    }
    if (push && m->held_for == 0 && fault_happens(FAULT_PUSH_LATE)) {
        m->did = true;
        meddler_block_put(&m->held, frame.data, frame.size);
        m->held_for = (unsigned)sim_between(1, 4);
        return;
    }
    if (m->held_for > 0 && !push) {
        release(m, to); /* what is no message says something of those before it */
    }
    meddler_block_put(to, frame.data, frame.size);
    if (push && fault_happens(FAULT_PUSH_TWICE)) {
        meddler_block_put(to, frame.data, frame.size);
    }
    if (m->held_for > 0 && --m->held_for == 0) {
        release(m, to);
    }
}

static void head_pass(struct meddler *m, struct meddler_block *to)
{
    const uint8_t *end = memmem(m->part.data, m->part.size, "\r\n\r\n", 4);
    if (end != NULL) {
        const size_t size = (size_t)(end - m->part.data) + 4;
        meddler_block_put(to, m->part.data, size);
        meddler_block_take(&m->part, size);
        m->open = true;
    }
}

void meddler_pass(struct meddler *meddler, const uint8_t *data, size_t size,
                  struct meddler_block *to)
{
    struct meddler *m = meddler;
    if (!m->on) {
        meddler_block_put(to, data, size);
        return;
    }
    meddler_block_put(&m->part, data, size);
    if (!m->open) {
        head_pass(m, to);
    }
    size_t head = 0;
    size_t whole;
    while (m->open && (whole = frame_size(bytes_of(m->part.data, m->part.size), &head)) > 0 &&
           whole <= m->part.size) {
        frame_pass(m, bytes_of(m->part.data, whole), head, to);
        meddler_block_take(&m->part, whole);
    }
}

void meddler_deinit(struct meddler *meddler)
{
    meddler_block_deinit(&meddler->part);
    meddler_block_deinit(&meddler->held);
    *meddler = (struct meddler){0};
}
