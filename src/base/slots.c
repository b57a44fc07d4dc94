#include "base/slots.h"

#include "base/mem.h"

#define CAPACITY_FIRST 8u
#define CAPACITY_MAX   (UINT64_C(1) << 32) /* beyond it 32 bits of hash reach no further */
/* Slots moved by one insertion. The old table has C slots, the new one is full after 3/4 C more
 * insertions: two would just do, and eight are one cache line. */
#define MOVE_STEP 8u

static inline uint32_t hash_of(uint64_t slot)
{
    return (uint32_t)(slot >> 32);
}

static inline uint32_t number_of(uint64_t slot)
{
    return (uint32_t)slot;
}

static inline uint64_t slot_of(uint32_t hash, uint32_t number)
{
    return (uint64_t)hash << 32 | number;
}

void slots_deinit(struct slots *slots)
{
    mem_free(slots->slots_);
    mem_free(slots->old_);
    *slots = (struct slots){0};
}

static void place(struct slots *slots, uint64_t slot)
{
    const size_t mask = slots->capacity_ - 1;
    size_t i = hash_of(slot) & mask;
    while (slots->slots_[i] != 0) {
        i = (i + 1) & mask;
    }
    slots->slots_[i] = slot;
}

static void move_some(struct slots *slots)
{
    if (slots->old_ == NULL) {
        return;
    }
    for (unsigned i = 0; i < MOVE_STEP && slots->moved_ < slots->old_capacity_; i++) {
        const uint64_t slot = slots->old_[slots->moved_++];
        if (slot != 0 && number_of(slot) != SLOTS_GONE_) {
            place(slots, slot);
        }
    }
    if (slots->moved_ == slots->old_capacity_) {
        mem_free(slots->old_);
        slots->old_ = NULL;
        slots->old_capacity_ = 0;
        slots->moved_ = 0;
    }
}

/* A table of `capacity`, into which the one that is there will be moved. */
static enum rc grow(struct slots *slots, size_t capacity)
{
    ASSERT(slots->old_ == NULL); /* it was moved over long before the new one was full */
    if (capacity > CAPACITY_MAX) {
        return RC_NOMEM;
    }
    uint64_t *fresh = mem_calloc(capacity, sizeof(*fresh));
    if (fresh == NULL) {
        return RC_NOMEM;
    }
    slots->old_ = slots->slots_;
    slots->old_capacity_ = slots->capacity_;
    slots->moved_ = 0;
    slots->slots_ = fresh;
    slots->capacity_ = capacity;
    return RC_OK;
}

enum rc slots_reserve(struct slots *slots, size_t count)
{
    ASSERT(slots->count_ == 0);
    size_t capacity = CAPACITY_FIRST;
    while (capacity / 4 * 3 < count && capacity <= CAPACITY_MAX) {
        capacity *= 2;
    }
    if (capacity <= slots->capacity_) {
        return RC_OK;
    }
    slots_deinit(slots);
    return grow(slots, capacity);
}

enum rc slots_insert(struct slots *slots, uint32_t hash, uint32_t number)
{
    ASSERT(number != 0 && number <= SLOTS_NUMBER_MAX);
    if ((slots->count_ + 1) * 4 > slots->capacity_ * 3) {
        const enum rc rc =
            grow(slots, slots->capacity_ == 0 ? CAPACITY_FIRST : slots->capacity_ * 2);
        if (rc != RC_OK) {
            return rc;
        }
    }
    move_some(slots);
    place(slots, slot_of(hash, number));
    slots->count_++;
    return RC_OK;
}

/* Backward shift: whoever was pushed past the hole moves into it, so that no search breaks. */
static void close_hole(struct slots *slots, size_t hole)
{
    const size_t mask = slots->capacity_ - 1;
    for (size_t i = (hole + 1) & mask; slots->slots_[i] != 0; i = (i + 1) & mask) {
        const size_t home = hash_of(slots->slots_[i]) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            slots->slots_[hole] = slots->slots_[i];
            hole = i;
        }
    }
    slots->slots_[hole] = 0;
}

/* Where exactly that slot is; `capacity` if it is not there. */
static size_t side_place(const uint64_t *slots, size_t capacity, size_t from, uint64_t slot)
{
    const size_t mask = capacity - 1;
    for (size_t i = hash_of(slot) & mask; slots[i] != 0; i = (i + 1) & mask) {
        if (slots[i] == slot && i >= from) {
            return i;
        }
    }
    return capacity;
}

void slots_remove(struct slots *slots, uint32_t hash, uint32_t number)
{
    ASSERT(slots->count_ > 0);
    const uint64_t slot = slot_of(hash, number);
    size_t i = side_place(slots->slots_, slots->capacity_, 0, slot);
    if (i < slots->capacity_) {
        close_hole(slots, i);
    } else {
        ASSERT(slots->old_ != NULL);
        i = side_place(slots->old_, slots->old_capacity_, slots->moved_, slot);
        ASSERT(i < slots->old_capacity_);
        slots->old_[i] = slot_of(hash, SLOTS_GONE_);
    }
    slots->count_--;
}

uint32_t slots_next(const struct slots *slots, size_t *at)
{
    /* The old table's slots are numbered behind the new one's. */
    while (*at < slots->capacity_ + slots->old_capacity_) {
        const size_t i = (*at)++;
        const bool is_old = i >= slots->capacity_;
        const size_t old = i - slots->capacity_;
        const uint64_t slot = is_old ? slots->old_[old] : slots->slots_[i];
        if (slot != 0 && number_of(slot) != SLOTS_GONE_ && (!is_old || old >= slots->moved_)) {
            return number_of(slot);
        }
    }
    return 0;
}
