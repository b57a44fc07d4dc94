#include "cli/lines.h"

void lines_deinit(struct lines *lines)
{
    buf_deinit(&lines->buf_);
    *lines = (struct lines){0};
}

enum rc lines_push(struct lines *lines, struct bytes bytes)
{
    ASSERT(!lines->ended_);
    buf_consume(&lines->buf_, lines->at_);
    lines->scanned_ -= lines->at_;
    lines->at_ = 0;
    return buf_append(&lines->buf_, bytes);
}

void lines_end(struct lines *lines)
{
    lines->ended_ = true;
}

enum rc lines_next(struct lines *lines, size_t size_max, struct bytes *ret_line)
{
    const uint8_t *data = lines->buf_.data;
    const size_t size = lines->buf_.size;
    const uint8_t *end = lines->scanned_ < size
                             ? memchr(data + lines->scanned_, '\n', size - lines->scanned_)
                             : NULL;
    lines->scanned_ = end == NULL ? size : (size_t)(end - data);
    ASSERT(lines->scanned_ >= lines->at_);
    if (lines->scanned_ - lines->at_ > size_max) {
        return RC_TOO_LARGE;
    }
    if (end == NULL && !lines->ended_) {
        return RC_AGAIN;
    }
    if (end == NULL && lines->at_ == size) {
        return RC_END;
    }
    *ret_line = bytes_of(data + lines->at_, lines->scanned_ - lines->at_);
    lines->scanned_ += end == NULL ? 0 : 1;
    lines->at_ = lines->scanned_;
    return RC_OK;
}
