#include "session/subs.h"

#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"

static struct bytes key_of(const void *value)
{
    const struct subscription *sub = value;
    ASSERT_HOT(sub->feed->name.size > 0);
    return sub->feed->name;
}

static void subs_check(const struct subs *subs)
{
    ASSERT_HOT(subs->mapped_ || subs->count_ <= tune.subs_listed);
    ASSERT_HOT(subs->mapped_ || (subs->by_.first == NULL) == (subs->count_ == 0));
    ASSERT_HOT(!subs->mapped_ || map_count(subs->by_.map) == subs->count_);
    ASSERT_HOT(!subs->mapped_ || subs->count_ > 0);
}

static void map_drop(struct subs *subs)
{
    ASSERT(subs->mapped_);
    ASSERT(map_count(subs->by_.map) == 0);
    map_deinit(subs->by_.map);
    mem_free(subs->by_.map);
    *subs = (struct subs){0};
}

void subs_deinit(struct subs *subs)
{
    subs_check(subs);
    ASSERT(subs->count_ == 0);
    ASSERT(!subs->mapped_); /* the last one has taken it along */
}

struct subscription *subs_find(const struct subs *subs, struct bytes channel)
{
    ASSERT_HOT(channel.size > 0);
    subs_check(subs);
    if (subs->mapped_) {
        return map_find(subs->by_.map, channel);
    }
    for (struct subscription *sub = subs->by_.first; sub != NULL; sub = sub->next) {
        if (bytes_equal(sub->feed->name, channel)) {
            return sub;
        }
    }
    return NULL;
}

struct subscription *subs_any(const struct subs *subs)
{
    subs_check(subs);
    ASSERT_HOT(subs->count_ == 0 || subs->by_.first != NULL);
    size_t at = 0;
    return subs->mapped_ ? map_next(subs->by_.map, &at) : subs->by_.first;
}

/* From the list into a map. RC_NOMEM: unchanged */
static enum rc map_make(struct subs *subs)
{
    ASSERT(!subs->mapped_);
    ASSERT(subs->count_ == tune.subs_listed);
    struct map *map = mem_alloc(sizeof(*map));
    if (map == NULL) {
        return RC_NOMEM;
    }
    map_init(map, 0, key_of);
    for (struct subscription *sub = subs->by_.first; sub != NULL; sub = sub->next) {
        if (map_insert(map, sub) != RC_OK) {
            map_deinit(map);
            mem_free(map);
            return RC_NOMEM;
        }
    }
    MARK("subs: more than a list is good for");
    subs->by_.map = map;
    subs->mapped_ = true;
    return RC_OK;
}

enum rc subs_insert(struct subs *subs, struct subscription *sub)
{
    ASSERT_HOT(subs_find(subs, sub->feed->name) == NULL);
    ASSERT(sub->next == NULL);
    enum rc rc = RC_OK;
    if (!subs->mapped_ && subs->count_ == tune.subs_listed) {
        rc = map_make(subs);
    }
    if (rc == RC_OK && subs->mapped_) {
        rc = map_insert(subs->by_.map, sub);
        if (rc != RC_OK && subs->count_ == 0) {
            map_drop(subs); /* made for it, where there is no list at all */
        }
    } else if (rc == RC_OK) {
        sub->next = subs->by_.first;
        subs->by_.first = sub;
    }
    subs->count_ += rc == RC_OK;
    subs_check(subs);
    return rc;
}

static void list_take_out(struct subs *subs, const struct subscription *sub)
{
    ASSERT(!subs->mapped_);
    struct subscription **at = &subs->by_.first;
    while (*at != sub) {
        ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = sub->next;
}

void subs_remove(struct subs *subs, struct subscription *sub)
{
    ASSERT(subs->count_ > 0);
    ASSERT_HOT(subs_find(subs, sub->feed->name) == sub);
    if (subs->mapped_) {
        (void)map_remove(subs->by_.map, sub->feed->name);
    } else {
        list_take_out(subs, sub);
    }
    sub->next = NULL;
    subs->count_--;
    if (subs->mapped_ && subs->count_ == 0) {
        map_drop(subs);
    }
    subs_check(subs);
}
