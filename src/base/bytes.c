#include "base/bytes.h"

#include "base/mem.h"

#include <stdio.h>

#define BUF_CAPACITY_FIRST 64

enum rc buf_reserve(struct buf *buf, size_t extra)
{
    ASSERT(buf->size <= buf->capacity);
    if (buf->capacity - buf->size >= extra) {
        return RC_OK;
    }
    if (extra > SIZE_MAX / 2 - buf->size) {
        return RC_NOMEM;
    }
    size_t capacity = buf->capacity < BUF_CAPACITY_FIRST ? BUF_CAPACITY_FIRST : buf->capacity;
    while (capacity < buf->size + extra) {
        capacity += capacity / 2 + BUF_CAPACITY_FIRST;
    }
    uint8_t *data = mem_realloc(buf->data, capacity);
    if (data == NULL) {
        return RC_NOMEM;
    }
    buf->data = data;
    buf->capacity = capacity;
    return RC_OK;
}

enum rc buf_append(struct buf *buf, struct bytes bytes)
{
    const enum rc rc = buf_reserve(buf, bytes.size);
    if (rc != RC_OK) {
        return rc;
    }
    buf_put(buf, bytes.data, bytes.size);
    return RC_OK;
}

#define FORMAT_GUESS 128u /* most texts are shorter: one pass does */

enum rc buf_append_vformat(struct buf *buf, const char *format, va_list args)
{
    size_t room = FORMAT_GUESS;
    for (;;) {
        const enum rc rc = buf_reserve(buf, room);
        if (rc != RC_OK) {
            return rc;
        }
        va_list again;
        va_copy(again, args);
        const int size = vsnprintf((char *)buf->data + buf->size, room, format, again);
        va_end(again);
        ASSERT(size >= 0);
        if ((size_t)size < room) {
            buf->size += (size_t)size;
            return RC_OK;
        }
        room = (size_t)size + 1;
    }
}

enum rc buf_append_format(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const enum rc rc = buf_append_vformat(buf, format, args);
    va_end(args);
    return rc;
}

void buf_consume(struct buf *buf, size_t count)
{
    ASSERT(count <= buf->size);
    if (count == 0) {
        return; /* also for an empty buffer, whose data is NULL */
    }
    bytes_move(buf->data, buf->data + count, buf->size - count);
    buf->size -= count;
}

void buf_deinit(struct buf *buf)
{
    mem_free(buf->data);
    *buf = (struct buf){0};
}

struct bytes reader_take(struct bytes_reader *reader, size_t size)
{
    if (reader->failed || reader->rest.size < size) {
        reader->failed = true;
        return (struct bytes){0};
    }
    const struct bytes taken = {reader->rest.data, size};
    reader->rest.data += size;
    reader->rest.size -= size;
    return taken;
}

uint8_t reader_u8(struct bytes_reader *reader)
{
    const struct bytes taken = reader_take(reader, 1);
    return taken.size == 1 ? taken.data[0] : 0;
}

uint16_t reader_u16(struct bytes_reader *reader)
{
    const struct bytes taken = reader_take(reader, sizeof(uint16_t));
    return taken.size > 0 ? bytes_load_u16(taken.data) : 0;
}

uint32_t reader_u32(struct bytes_reader *reader)
{
    const struct bytes taken = reader_take(reader, sizeof(uint32_t));
    return taken.size > 0 ? bytes_load_u32(taken.data) : 0;
}

uint64_t reader_u64(struct bytes_reader *reader)
{
    const struct bytes taken = reader_take(reader, sizeof(uint64_t));
    return taken.size > 0 ? bytes_load_u64(taken.data) : 0;
}
