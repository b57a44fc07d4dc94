/* Byte ranges, a growable buffer, and little-endian loads and stores.
 *
 * struct bytes borrows; struct buf owns. All file formats of ours are little-endian and are
 * written and read through the functions here, never by casting a struct.
 *
 * Thread: any.  Memory: buf_deinit() frees. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/assert.h"
#include "base/rc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed range; `data` may be NULL when `size` is 0. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

/* A growable array of bytes that it owns; all zero is a valid empty one. */
struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

#define BYTES_LITERAL(text) ((struct bytes){(const uint8_t *)(text), sizeof(text) - 1})

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){data, size};
}

static inline struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Copies between ranges that do not overlap; `size` 0 is allowed with NULL. */
static inline void bytes_copy(void *to, const void *from, size_t size)
{
    if (size > 0) {
        (void)memcpy(to, from, size);
    }
}

/* As bytes_copy(), for ranges that may overlap. */
static inline void bytes_move(void *to, const void *from, size_t size)
{
    if (size > 0) {
        (void)memmove(to, from, size);
    }
}

static inline void bytes_zero(void *to, size_t size)
{
    if (size > 0) {
        (void)memset(to, 0, size);
    }
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "loads and stores below assume it");

#define BYTES_ACCESS(bits)                                                                         \
    static inline uint##bits##_t bytes_load_u##bits(const uint8_t *from)                           \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        (void)memcpy(&value, from, sizeof(value));                                                 \
        return value;                                                                              \
    }                                                                                              \
    static inline void bytes_store_u##bits(uint8_t *to, uint##bits##_t value)                      \
    {                                                                                              \
        (void)memcpy(to, &value, sizeof(value));                                                   \
    }
BYTES_ACCESS(16)
BYTES_ACCESS(32)
BYTES_ACCESS(64)
#undef BYTES_ACCESS

/* Makes room for `extra` more bytes behind `size`.
 * RC_NOMEM  out of memory; the buffer is as it was */
MUST_USE enum rc buf_reserve(struct buf *buf, size_t extra);
/* Copies `bytes` behind the end. RC_NOMEM as above. */
MUST_USE enum rc buf_append(struct buf *buf, struct bytes bytes);
/* Appends what printf() would say, without a NUL behind it. RC_NOMEM as above. */
__attribute__((format(printf, 2, 3))) MUST_USE enum rc buf_append_format(struct buf *buf,
                                                                         const char *format, ...);
__attribute__((format(printf, 2, 0))) MUST_USE enum rc
buf_append_vformat(struct buf *buf, const char *format, va_list args);
/* Removes the first `count` bytes (count <= size); what is behind them moves to the front. */
void buf_consume(struct buf *buf, size_t count);
/* Empties, keeps the memory. */
static inline void buf_clear(struct buf *buf)
{
    buf->size = 0;
}
/* Frees; the buffer is then a valid empty one. */
void buf_deinit(struct buf *buf);

static inline struct bytes buf_bytes(const struct buf *buf)
{
    return (struct bytes){buf->data, buf->size};
}

/* The put functions are for callers that have reserved the room before. */
static inline void buf_put(struct buf *buf, const void *from, size_t size)
{
    ASSERT_HOT(buf->capacity - buf->size >= size);
    if (size > 0) { /* `data` may be NULL, and NULL + 0 is undefined */
        bytes_copy(buf->data + buf->size, from, size);
        buf->size += size;
    }
}

static inline void buf_put_u8(struct buf *buf, uint8_t value)
{
    ASSERT_HOT(buf->capacity - buf->size >= 1);
    buf->data[buf->size++] = value;
}

static inline void buf_put_u16(struct buf *buf, uint16_t value)
{
    buf_put(buf, &value, sizeof(value));
}

static inline void buf_put_u32(struct buf *buf, uint32_t value)
{
    buf_put(buf, &value, sizeof(value));
}

static inline void buf_put_u64(struct buf *buf, uint64_t value)
{
    buf_put(buf, &value, sizeof(value));
}

/* A cursor over a borrowed range for decoding; `failed` latches at the first short read, and
 * from then on every read gives 0 or an empty range. */
struct bytes_reader {
    struct bytes rest;
    bool failed;
};

struct bytes reader_take(struct bytes_reader *reader, size_t size);
uint8_t reader_u8(struct bytes_reader *reader);
uint16_t reader_u16(struct bytes_reader *reader);
uint32_t reader_u32(struct bytes_reader *reader);
uint64_t reader_u64(struct bytes_reader *reader);

#endif
