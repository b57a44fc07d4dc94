/* A hostile server against the parts of `seriatim verify`: every line of the input is something
 * that it says, to a subscriber, to a reader of history and to a producer.
 *
 * Two worlds hear the same. One takes the quick way where it can, the other one only the strict
 * way: both must come to the same account. And nothing that is said may break the checker. */
#include "client/numbered.h"
#include "client/observer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    bool quick;
    struct workload workload;
    struct violations violations;
    struct ledger ledger;
    struct observer view;
    struct observer reader;
    struct numbered number;
    struct buf scratch;
};

static void open_world(struct world *w, bool quick)
{
    const struct workload_options options = {.prefix = "w",
                                             .seed = 3,
                                             .messages = 40,
                                             .channels = 1,
                                             .producers = 2,
                                             .batch = 1,
                                             .size = 64,
                                             .rate = 1000};
    *w = (struct world){.quick = quick};
    enum rc rc = workload_init(&w->workload, &options);
    ASSERT(rc == RC_OK);
    rc = ledger_init(&w->ledger, &w->workload, &w->violations);
    ASSERT(rc == RC_OK);
    rc = observer_init(&w->view, &w->ledger, 0, "view", &w->scratch);
    ASSERT(rc == RC_OK);
    rc = observer_init(&w->reader, &w->ledger, 0, "reader", &w->scratch);
    ASSERT(rc == RC_OK);
    rc = numbered_init(&w->number, &w->ledger, 0, 8);
    ASSERT(rc == RC_OK);
    for (unsigned i = 0; i < 8; i++) {
        struct buf command = {0};
        rc = numbered_command(&w->number, UINT64_MAX / 2, 0, &command);
        ASSERT(rc == RC_OK);
        buf_deinit(&command);
    }
    ledger_sent(&w->ledger, 0, 1, 10);
    observer_on_ready(&w->view, 0);
}

static void close_world(struct world *w)
{
    observer_deinit(&w->view);
    observer_deinit(&w->reader);
    numbered_deinit(&w->number);
    ledger_deinit(&w->ledger);
    workload_deinit(&w->workload);
    buf_deinit(&w->scratch);
}

static void hear(struct world *w, struct bytes text)
{
    struct client_message message;
    const bool good = client_message_parse(text, &message) == RC_OK;
    if (w->quick && observer_take_quick(&w->view, text, 5)) {
        ASSERT(good); /* what the quick way takes is JSON */
    } else if (good) {
        observer_take(&w->view, &message, 5, 5);
    }
    if (w->quick && numbered_take_quick(&w->number, text, 5)) {
        ASSERT(good);
    } else if (good) {
        numbered_take(&w->number, &message, 5, 5);
    }
    bool more;
    if (good && message.type == CLIENT_HISTORY) {
        observer_take_history(&w->reader, &message, &more);
    }
}

static void compare(const struct observer *a, const struct observer *b)
{
    ASSERT(a->next == b->next);
    ASSERT(a->received == b->received);
    ASSERT(a->distinct == b->distinct);
    ASSERT(a->digest_whole == b->digest_whole);
    ASSERT(!a->digest_whole || a->digest == b->digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world quick;
    struct world strict;
    open_world(&quick, true);
    open_world(&strict, false);
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        const size_t line = end == NULL ? size - at : (size_t)(end - data) - at;
        hear(&quick, bytes_of(data + at, line));
        hear(&strict, bytes_of(data + at, line));
        at += line + 1;
    }
    compare(&quick.view, &strict.view);
    compare(&quick.reader, &strict.reader);
    ASSERT(quick.number.acked_count == strict.number.acked_count);
    for (int i = 0; i < 2; i++) {
        struct world *w = i == 0 ? &quick : &strict;
        observer_finish(&w->view, true);
        observer_finish(&w->reader, false);
        ASSERT(w->violations.suspects == 0);
    }
    ASSERT(memcmp(quick.violations.counts, strict.violations.counts,
                  sizeof(quick.violations.counts)) == 0);
    close_world(&quick);
    close_world(&strict);
    return 0;
}
