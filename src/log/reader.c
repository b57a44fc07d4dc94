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

static void reader_file_close(struct file_log *log, struct reader_file *slot)
{
    files_close(&log->storage, slot->file);
    *slot = (struct reader_file){0};
    /* Whatever was read through it may not be taken for another file's. */
    log->reader.pages.file = NULL;
    log->reader.window_segment = 0;
}

void reader_deinit(struct file_log *log)
{
    for (size_t i = 0; i < READER_FILES; i++) {
        reader_file_close(log, &log->reader.files[i]);
    }
    buf_deinit(&log->reader.window);
}

void reader_forget_below(struct file_log *log, uint64_t number)
{
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
    *ret_file = file;
    return RC_OK;
}

/* The bytes of a segment from `at` on, at least `size`. RC_CORRUPT: it ends before that */
static enum rc reader_view(struct file_log *log, uint64_t number, uint64_t at, size_t size,
                           bool backward, struct bytes *ret_view)
{
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
        window->size = got;
        log->reader.window_segment = number;
        log->reader.window_at = from;
        if (from + got < at + size) {
            return RC_CORRUPT;
        }
    }
    const size_t skip = (size_t)(at - log->reader.window_at);
    *ret_view = bytes_of(window->data + skip, window->size - skip);
    return RC_OK;
}

enum rc reader_record(struct file_log *log, uint64_t number, uint64_t at, bool backward,
                      struct record *ret_record, uint32_t *ret_crc)
{
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
    *ret_crc = bytes_load_u32(view.data);
    rc = record_decode(view, ret_record);
    if (rc == RC_OK && ret_record->partition == log->partition) {
        return RC_OK;
    }
    ASSERT(rc != RC_AGAIN);
    return RC_CORRUPT;
}
