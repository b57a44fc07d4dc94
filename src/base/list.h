/* An intrusive doubly linked list with a sentinel.
 *
 * A node is in at most one list per link field. A link that is in no list points to itself, so
 * list_remove() may be called on it again.
 *
 * Thread: the owner's.  Memory: none. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev;
    struct list *next;
};

/* The struct of `type` whose member `member` is at `pointer`. */
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
    list->prev = list;
    list->next = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_push_back(struct list *list, struct list *node)
{
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node taken off, or NULL. */
static inline struct list *list_pop_front(struct list *list)
{
    if (list_empty(list)) {
        return NULL;
    }
    struct list *node = list->next;
    list_remove(node);
    return node;
}

#endif
