/* What a log's reader keeps: open files, and the bytes read last.
 *
 * Few files are open at a time, the one that was not used for longest makes room; and bytes are
 * read in windows, since who reads one record mostly wants the next.
 *
 * Thread: the reader's.  Memory: reader_deinit() frees. */
#include "log/internal.h"

/* Bytes read at a time where the next record is near the last one, and where it is not. */
#define WINDOW_NEAR (128u * KIB)
#define WINDOW_FAR  (8u * KIB)

/* A window is of one segment, and each slot in use has its file. */
static void reader_check(const struct file_log *log)
{
    ASSERT_HOT(log->reader.window.size <= log->reader.window.capacity);
    ASSERT_HOT(log->reader.window_segment == 0 || log->reader.window.data != NULL);
    for (size_t i = 0; i < READER_FILES; i++) {
        const struct reader_file *slot = &log->reader.files[i];
        ASSERT_HOT((slot->number == 0) == (slot->file == NULL));
        ASSERT_HOT(slot->last_used <= log->reader.clock);
    }
}

static void reader_file_close(struct file_log *log, struct reader_file *slot)
{
    ASSERT_HOT(slot >= log->reader.files);
    ASSERT_HOT(slot < log->reader.files + READER_FILES);
    files_close(&log->storage, slot->file);
    *slot = (struct reader_file){0};
    /* Whatever was read through it may not be taken for another file's. */
    log->reader.pages.file = NULL;
    log->reader.window_segment = 0;
    ASSERT_HOT(slot->file == NULL);
}

void reader_deinit(struct file_log *log)
{
    reader_check(log);
    for (size_t i = 0; i < READER_FILES; i++) {
        reader_file_close(log, &log->reader.files[i]);
    }
    ASSERT_HOT(log->reader.window_segment == 0);
    ASSERT_HOT(log->reader.pages.file == NULL);
    buf_deinit(&log->reader.window);
}

void reader_forget_below(struct file_log *log, uint64_t number)
{
    ASSERT_HOT(number > 0);
    for (size_t i = 0; i < READER_FILES; i++) {
        struct reader_file *slot = &log->reader.files[i];
        if (slot->number != 0 && slot->number < number) {
            reader_file_close(log, slot);
        }
    }
}

enum rc reader_file(struct file_log *log, uint64_t number, bool is_index,
                    struct storage_file **ret_file)
{
    ASSERT_HOT(number > 0);
    ASSERT_HOT(ret_file != NULL);
    struct reader_file *oldest = &log->reader.files[0];
    log->reader.clock++;
    for (size_t i = 0; i < READER_FILES; i++) {
        struct reader_file *slot = &log->reader.files[i];
        if (slot->number == number && slot->is_index == is_index) {
            slot->last_used = log->reader.clock;
            *ret_file = slot->file;
            return RC_OK;
        }
        if (slot->last_used < oldest->last_used) {
            oldest = slot;
        }
    }
    const struct log_name name = log_name_of(log->folder, number, is_index ? ".idx" : ".seg");
    struct storage_file *file;
    const enum rc rc = files_open(&log->storage, name.text, STORAGE_READ, &file);
    if (rc != RC_OK) {
        return rc;
    }
    reader_file_close(log, oldest);
    *oldest = (struct reader_file){
        .number = number,
        .is_index = is_index,
        .last_used = log->reader.clock,
        .file = file,
    };
    ASSERT_HOT(oldest->file != NULL);
    reader_check(log);
    *ret_file = file;
    return RC_OK;
}

/* The bytes of a segment from `at` on, at least `size`. RC_CORRUPT: it ends before that */
static enum rc reader_view(struct file_log *log, uint64_t number, uint64_t at, size_t size,
                           bool backward, struct bytes *ret_view)
{
    ASSERT_HOT(number > 0);
    ASSERT_HOT(size > 0);
    ASSERT_HOT(size <= RECORD_HEADER_SIZE + (uint64_t)RECORD_BODY_BYTES_MAX + 8);
    struct buf *window = &log->reader.window;
    const uint64_t end = log->reader.window_at + window->size;
    const bool same = log->reader.window_segment == number;
    if (!same || at < log->reader.window_at || at + size > end) {
        /* Near what was read last, the next one wanted is probably near, too. */
        const bool near =
            same && at + WINDOW_NEAR > log->reader.window_at && at <= end + WINDOW_NEAR;
        uint64_t from = at;
        size_t chunk = near ? WINDOW_NEAR : WINDOW_FAR;
        chunk = chunk < size ? size : chunk;
        if (backward && near && size < chunk) {
            const uint64_t back = chunk - size;
            from = at > back ? at - back : 0;
        }
        struct storage_file *file;
        enum rc rc = reader_file(log, number, false, &file);
        if (rc == RC_OK) {
            log->reader.window_segment = 0;
            buf_clear(window);
            rc = buf_reserve(window, chunk);
        }
        size_t got = 0;
        if (rc == RC_OK) {
            rc = files_read(&log->storage, file, window->data, chunk, from, &got);
        }
        if (rc != RC_OK) {
            return rc;
        }
        ASSERT_HOT(got <= chunk);
        ASSERT_HOT(from <= at);
        window->size = got;
        log->reader.window_segment = number;
        log->reader.window_at = from;
        if (from + got < at + size) {
            return RC_CORRUPT;
        }
    }
    const size_t skip = (size_t)(at - log->reader.window_at);
    ASSERT_HOT(log->reader.window_segment == number);
    ASSERT_HOT(skip <= window->size);
    *ret_view = bytes_of(window->data + skip, window->size - skip);
    ASSERT_HOT(ret_view->size >= size);
    return RC_OK;
}

enum rc reader_record(struct file_log *log, uint64_t number, uint64_t at, bool backward,
                      struct record *ret_record, uint32_t *ret_crc)
{
    ASSERT_HOT(number > 0);
    ASSERT_HOT(at >= SEGMENT_HEADER_SIZE);
    ASSERT_HOT(ret_record != NULL);
    ASSERT_HOT(ret_crc != NULL);
    struct bytes view;
    enum rc rc = reader_view(log, number, at, RECORD_HEADER_SIZE, backward, &view);
    if (rc != RC_OK) {
        return rc;
    }
    const uint32_t body_size = bytes_load_u32(view.data + 4);
    if (body_size > RECORD_BODY_BYTES_MAX) {
        return RC_CORRUPT;
    }
    if (view.size < record_size(body_size)) {
        struct storage_file *file;
        uint64_t file_size = 0;
        rc = reader_file(log, number, false, &file);
        if (rc == RC_OK) { /* before memory is asked for, whether there are so many bytes */
            rc = files_size(&log->storage, file, &file_size);
        }
        if (rc == RC_OK && at + record_size(body_size) > file_size) {
            rc = RC_CORRUPT;
        }
        if (rc == RC_OK) {
            rc = reader_view(log, number, at, record_size(body_size), backward, &view);
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    ASSERT_HOT(view.size >= record_size(body_size));
    *ret_crc = bytes_load_u32(view.data);
    rc = record_decode(view, ret_record);
    if (rc == RC_OK && ret_record->partition == log->partition) {
        return RC_OK;
    }
    ASSERT(rc != RC_AGAIN);
    return RC_CORRUPT;
}
