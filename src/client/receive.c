#include "client/receive.h"

#include "base/mark.h"
#include "base/mem.h"

void receive_init(struct receive *receive, uint32_t window)
{
    ASSERT(window > 0);
    *receive = (struct receive){.next = 1, .window_ = window};
}

static void drop_first(struct receive *r)
{
    struct receive_early *first = r->kept_;
    r->kept_ = first->next_;
    r->count_--;
    mem_free(first);
}

void receive_deinit(struct receive *receive)
{
    while (receive->kept_ != NULL) {
        drop_first(receive);
    }
    ASSERT(receive->count_ == 0);
}

void receive_begin(struct receive *receive, uint64_t next)
{
    receive_deinit(receive);
    receive->next = next;
    receive->seen_ = next;
}

static const uint8_t *copy(uint8_t **at, struct bytes from)
{
    uint8_t *to = *at;
    bytes_copy(to, from.data, from.size);
    *at += from.size;
    return to;
}

static struct receive_early *copy_of(const struct reply_message *m)
{
    struct receive_early *early =
        mem_alloc(sizeof(*early) + m->key.size + m->producer.size + m->data.size);
    if (early != NULL) {
        uint8_t *at = early->bytes_;
        early->message = *m;
        early->message.channel = (struct bytes){0};
        early->message.key.data = copy(&at, m->key);
        early->message.producer.data = copy(&at, m->producer);
        early->message.data.data = copy(&at, m->data);
    }
    return early;
}

/* Keeps it in its place; what is there already, does not fit or finds no memory comes again with
 * the history. */
static void keep(struct receive *r, const struct reply_message *message)
{
    struct receive_early **at = &r->kept_;
    while (*at != NULL && (*at)->message.seq < message->seq) {
        at = &(*at)->next_;
    }
    const bool known = *at != NULL && (*at)->message.seq == message->seq;
    if (known || message->seq - r->next >= r->window_) {
        MARK("receive: an early one is there already, or does not fit");
        return;
    }
    struct receive_early *early = copy_of(message);
    if (early != NULL) {
        MARK("receive: an early one is kept");
        early->next_ = *at;
        *at = early;
        r->count_++;
        ASSERT(r->count_ <= r->window_);
    }
}

enum receive_verdict receive_offer(struct receive *receive, const struct reply_message *message)
{
    if (message->seq < receive->next) {
        MARK("receive: one that was handled is dropped");
        return RECEIVE_OLD;
    }
    receive->seen_ = message->seq >= receive->seen_ ? message->seq + 1 : receive->seen_;
    if (message->seq > receive->next) {
        keep(receive, message);
        return RECEIVE_EARLY;
    }
    receive->next++;
    return RECEIVE_NEXT;
}

/* What was kept and has come another way. */
static void drop_old(struct receive *r)
{
    while (r->kept_ != NULL && r->kept_->message.seq < r->next) {
        MARK("receive: one that was kept has come another way");
        drop_first(r);
    }
}

struct receive_early *receive_pop(struct receive *receive)
{
    drop_old(receive);
    struct receive_early *first = receive->kept_;
    if (first == NULL || first->message.seq != receive->next) {
        return NULL;
    }
    MARK("receive: a hole is filled, and what was kept goes on");
    receive->kept_ = first->next_;
    receive->count_--;
    receive->next++;
    return first;
}

void receive_free(struct receive_early *early)
{
    mem_free(early);
}

void receive_skip(struct receive *receive, uint64_t next)
{
    ASSERT(next >= receive->next);
    receive->next = next;
    receive->seen_ = next > receive->seen_ ? next : receive->seen_;
    drop_old(receive);
}

void receive_expect(struct receive *receive, uint64_t end)
{
    receive->seen_ = end > receive->seen_ ? end : receive->seen_;
}

bool receive_hole(const struct receive *receive, uint64_t *ret_end)
{
    const bool kept = receive->kept_ != NULL;
    *ret_end = kept ? receive->kept_->message.seq : receive->seen_;
    return *ret_end > receive->next;
}
