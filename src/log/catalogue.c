/* The owner's catalogue of segments, and the snapshots of it that reads hold.
 *
 * Thread: the owner.  Memory: catalogue_deinit() frees. */
#include "base/mem.h"
#include "log/internal.h"

/* The segments stand in order, and what is sealed is not in memory as well. */
static void catalogue_check(const struct file_log *log)
{
    ASSERT(log->owner.count <= log->owner.capacity);
    ASSERT((log->owner.segments == NULL) == (log->owner.capacity == 0));
    for (size_t i = 0; i < log->owner.count; i++) {
        const struct segment *segment = &log->owner.segments[i];
        ASSERT_HOT(segment->number > 0);
        ASSERT_HOT(i == 0 || segment[-1].number < segment->number);
        ASSERT_HOT(segment->end_at >= SEGMENT_HEADER_SIZE);
        ASSERT_HOT(segment->summary == NULL || segment->summary->refs > 0);
        ASSERT_HOT(segment->summary == NULL || segment->index == NULL);
        ASSERT_HOT(segment->summary == NULL || !segment->unindexed);
    }
}

enum rc catalogue_reserve(struct file_log *log)
{
    catalogue_check(log);
    if (log->owner.count < log->owner.capacity) {
        return RC_OK;
    }
    const size_t capacity = log->owner.capacity == 0 ? 8 : log->owner.capacity * 2;
    struct segment *segments = mem_realloc(log->owner.segments, capacity * sizeof(*segments));
    if (segments == NULL) {
        return RC_NOMEM;
    }
    log->owner.segments = segments;
    log->owner.capacity = capacity;
    ASSERT(log->owner.count < log->owner.capacity);
    return RC_OK;
}

struct segment *catalogue_push(struct file_log *log, uint64_t number, uint64_t first_pos,
                               uint64_t prev_hash)
{
    ASSERT(number > 0);
    ASSERT(log->owner.count < log->owner.capacity);
    ASSERT(log->owner.count == 0 || catalogue_newest(log)->number < number);
    struct segment *segment = &log->owner.segments[log->owner.count++];
    *segment = (struct segment){
        .number = number,
        .first_pos = first_pos,
        .prev_hash = prev_hash,
        .end_pos = first_pos,
        .end_hash = prev_hash,
        .end_at = SEGMENT_HEADER_SIZE,
        .bytes = log->segment_bytes,
    };
    ASSERT(segment == catalogue_newest(log));
    catalogue_check(log);
    return segment;
}

struct segment *catalogue_newest(struct file_log *log)
{
    ASSERT_HOT(log->owner.count <= log->owner.capacity);
    ASSERT(log->owner.count > 0);
    return &log->owner.segments[log->owner.count - 1];
}

struct segment *catalogue_find(struct file_log *log, uint64_t number)
{
    ASSERT(number > 0);
    size_t low = 0;
    size_t high = log->owner.count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (log->owner.segments[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    /* It may have been removed. */
    if (low == log->owner.count || log->owner.segments[low].number != number) {
        return NULL;
    }
    ASSERT(low < log->owner.count);
    return &log->owner.segments[low];
}

static void summary_unref(struct index_summary *summary)
{
    if (summary != NULL) {
        ASSERT(summary->refs > 0);
        summary->refs--;
        if (summary->refs == 0) {
            index_summary_close(summary);
        }
    }
}

void snapshot_ref(struct snapshot *snapshot)
{
    ASSERT(snapshot->refs > 0);
    snapshot->refs++;
    ASSERT(snapshot->refs > 1);
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    ASSERT(snapshot->refs > 0);
    snapshot->refs--;
    if (snapshot->refs > 0) {
        return;
    }
    for (size_t i = 0; i < snapshot->count; i++) {
        ASSERT(snapshot->items[i] != NULL);
        summary_unref(snapshot->items[i]);
    }
    mem_free(snapshot);
}

enum rc catalogue_snapshot(struct file_log *log)
{
    size_t count = 0;
    for (size_t i = 0; i < log->owner.count; i++) {
        count += log->owner.segments[i].summary != NULL;
    }
    struct snapshot *snapshot = mem_alloc(sizeof(*snapshot) + count * sizeof(*snapshot->items));
    log->owner.snapshot_stale = snapshot == NULL;
    if (snapshot == NULL) {
        return RC_NOMEM;
    }
    snapshot->refs = 1;
    snapshot->count = 0;
    for (size_t i = 0; i < log->owner.count; i++) {
        struct index_summary *summary = log->owner.segments[i].summary;
        if (summary != NULL) {
            ASSERT(summary->refs > 0);
            summary->refs++;
            ASSERT(snapshot->count < count);
            ASSERT_HOT(snapshot->count == 0 ||
                       snapshot->items[snapshot->count - 1]->head.number < summary->head.number);
            snapshot->items[snapshot->count++] = summary;
        }
    }
    ASSERT(snapshot->count == count);
    snapshot_unref(log->owner.snapshot);
    log->owner.snapshot = snapshot;
    ASSERT(!log->owner.snapshot_stale);
    return RC_OK;
}

static void segment_deinit(struct segment *segment)
{
    ASSERT(segment->number > 0);
    segment_index_close(segment->index);
    summary_unref(segment->summary);
}

void catalogue_remove_below(struct file_log *log, uint64_t number)
{
    size_t count = 0;
    ASSERT(number <= catalogue_newest(log)->number); /* which is never removed */
    while (log->owner.segments[count].number < number) {
        segment_deinit(&log->owner.segments[count]);
        count++;
    }
    ASSERT(count < log->owner.count);
    bytes_move(log->owner.segments, log->owner.segments + count,
               (log->owner.count - count) * sizeof(*log->owner.segments));
    log->owner.count -= count;
    ASSERT(log->owner.count > 0);
    ASSERT(log->owner.segments[0].number >= number);
    catalogue_check(log);
}

void catalogue_deinit(struct file_log *log)
{
    for (size_t i = 0; i < log->owner.count; i++) {
        segment_deinit(&log->owner.segments[i]);
    }
    mem_free(log->owner.segments);
    snapshot_unref(log->owner.snapshot);
    log->owner.segments = NULL;
    log->owner.snapshot = NULL;
    ASSERT(log->owner.snapshot == NULL);
    log->owner.count = 0;
    log->owner.capacity = 0;
}
