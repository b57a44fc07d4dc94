/* A hostile server against the parts of `seriatim verify`: every line of the input is something
 * that it says, to a subscriber, to a reader of history and to a producer.
 *
 * Two worlds hear the same. One takes it apart the quick way where it can, the other one only the
 * strict way, also the elements of a history: both must come to the same account. And nothing that
 * is said may break the checker.
 */
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
    struct buf text;
    struct buf elements;
    struct reply_room room;
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
    const struct client_said asked = {.what = CLIENT_SAID_SUBSCRIBE, .id = 2, .number = 0};
    struct numbered_message m;
    numbered_on_ready(&w->number);
    for (uint64_t id = 2; numbered_next(&w->number, UINT64_MAX / 2, &m); id++) {
        const struct client_said said = {.what = CLIENT_SAID_PUBLISH,
                                         .channel = BYTES_LITERAL("w-c0"),
                                         .id = id,
                                         .number = m.number,
                                         .count = 1};
        numbered_handed(&w->number);
        numbered_said(&w->number, &said);
    }
    ledger_sent(&w->ledger, 0, 1, 10);
    observer_on_ready(&w->view);
    observer_said(&w->view, &asked);
}

static void close_world(struct world *w)
{
    observer_deinit(&w->view);
    observer_deinit(&w->reader);
    numbered_deinit(&w->number);
    ledger_deinit(&w->ledger);
    workload_deinit(&w->workload);
    buf_deinit(&w->scratch);
    buf_deinit(&w->text);
    buf_deinit(&w->elements);
    reply_room_deinit(&w->room);
}

/* The elements of a history, none of them written as usual: a space goes before each. */
static struct bytes spaced(struct buf *to, struct bytes array)
{
    unsigned depth = 0;
    bool in_string = false;
    buf_clear(to);
    for (size_t i = 0; i < array.size; i++) {
        const uint8_t c = array.data[i];
        enum rc rc = buf_append(to, bytes_of(&c, 1));
        if (in_string && c == '\\') {
            i++;
            rc = rc == RC_OK ? buf_append(to, bytes_of(&array.data[i], 1)) : rc;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string) {
            depth += c == '[' || c == '{' ? 1 : 0;
            depth -= c == ']' || c == '}' ? 1 : 0;
            if (depth == 1 && rc == RC_OK && (c == '[' || c == ',')) {
                rc = buf_append(to, BYTES_LITERAL(" "));
            }
        }
        ASSERT(rc == RC_OK);
    }
    return buf_bytes(to);
}

static void hear(struct world *w, struct bytes text)
{
    struct reply reply = {0};
    bool more;
    enum rc rc = RC_OK;
    buf_clear(&w->text);
    if (!w->quick) {
        rc = buf_append(&w->text, BYTES_LITERAL(" ")); /* which is not written as usual */
    }
    if (rc == RC_OK) {
        rc = buf_append(&w->text, text);
    }
    ASSERT(rc == RC_OK);
    struct bytes rest = buf_bytes(&w->text);
    rc = rest.size == 0 ? RC_BAD : reply_take(WIRE_JSON, &rest, &w->room, &reply);
    ASSERT(rc == RC_OK || rc == RC_BAD);
    if (rc == RC_OK) {
        observer_heard(&w->view, &reply, 5);
        numbered_heard(&w->number, &reply, 5);
    }
    if (rc == RC_OK && reply.type == CLIENT_HISTORY) {
        reply.elements = w->quick ? reply.elements : spaced(&w->elements, reply.elements);
        observer_history(&w->reader, WIRE_JSON, &reply, &w->room, &more);
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
