/* client/publisher against a naive model of a server that does what the protocol allows.
 * Method: commands and replies pass through queues; at random the connection is cut (what is in the
 * queues is lost, at either end), the server refuses for now, and time passes. In the end every
 * message must stand in the channel once and in order. */
#include "client/publisher.h"

#include "base/mem.h"
#include "base/prng.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define MESSAGES  300u
#define QUEUE_MAX 64u
#define REPLY_MAX 200u

/* What the server has stored: the payload of each producer_seq, and its seq. */
struct model {
    uint64_t stored; /* producer_seq 1 … stored are there */
    uint64_t seqs[MESSAGES + 1];
    uint64_t payloads[MESSAGES + 1];
    uint64_t latest; /* seqs used, by others too */
    uint64_t refused;
};

struct queue {
    char items[QUEUE_MAX][REPLY_MAX];
    size_t head;
    size_t tail;
};

static bool queue_full(const struct queue *q)
{
    return q->tail - q->head == QUEUE_MAX;
}

static char *queue_push(struct queue *q)
{
    assert_false(queue_full(q));
    return q->items[q->tail++ % QUEUE_MAX];
}

static const char *queue_pop(struct queue *q)
{
    return q->head == q->tail ? NULL : q->items[q->head++ % QUEUE_MAX];
}

static void model_serve(struct model *model, struct prng *prng, const char *command, char *reply)
{
    struct client_message parsed;
    uint64_t payload = 0;
    assert_int_equal(client_message_parse(bytes_of_text(command), &parsed), RC_OK);
    assert_true(json_scan_integer(&parsed.fields[CLIENT_FIELD_DATA], &payload));
    const uint64_t number = client_message_integer_or_0(&parsed, CLIENT_FIELD_ID);
    const uint64_t id = number;
    char wanted[REPLY_MAX];
    (void)snprintf(wanted, sizeof(wanted),
                   "{\"type\":\"publish\",\"id\":%" PRIu64 ",\"producer_seq\":%" PRIu64
                   ",\"channel\":\"c\",\"key\":\"k\",\"data\":%" PRIu64 "}",
                   number, number, payload);
    assert_string_equal(command, wanted);
    if (prng_below(prng, 20) == 0) {
        model->refused++;
        (void)snprintf(reply, REPLY_MAX,
                       "{\"type\":\"error\",\"id\":%" PRIu64 ",\"code\":\"unavailable\","
                       "\"message\":\"later\"%s}",
                       id, prng_below(prng, 2) == 0 ? ",\"retry_after_ms\":40" : "");
        return;
    }
    if (number > model->stored + 1) {
        const bool unknown = model->stored == 0;
        (void)snprintf(reply, REPLY_MAX,
                       "{\"type\":\"error\",\"id\":%" PRIu64 ",\"code\":\"%s\",\"message\":\"x\"",
                       id, unknown ? "producer_unknown" : "out_of_sequence");
        const size_t size = strlen(reply);
        (void)snprintf(reply + size, REPLY_MAX - size, unknown ? "}" : ",\"expected\":%" PRIu64 "}",
                       model->stored + 1);
        return;
    }
    const bool duplicate = number <= model->stored;
    if (!duplicate) {
        model->latest += 1 + prng_below(prng, 3); /* others publish too */
        model->stored = number;
        model->seqs[number] = model->latest;
        model->payloads[number] = payload;
    }
    (void)snprintf(reply, REPLY_MAX,
                   "{\"type\":\"published\",\"id\":%" PRIu64 ",\"channel\":\"c\",\"seq\":%" PRIu64
                   ",\"epoch\":\"e\"%s}",
                   id, model->seqs[number], duplicate ? ",\"duplicate\":true" : "");
}

static void add_some(struct publisher *p, uint64_t *next)
{
    while (*next <= MESSAGES && !publisher_full(p)) {
        char member[40];
        (void)snprintf(member, sizeof(member), "\"data\":%" PRIu64, *next * 7);
        assert_int_equal(publisher_add(p, bytes_of_text(member)), RC_OK);
        (*next)++;
    }
}

static void send_one(struct publisher *p, struct queue *up, uint64_t now)
{
    struct buf command = {0};
    if (!queue_full(up) && publisher_next(p, now, &command) == RC_OK) {
        char *slot = queue_push(up);
        (void)snprintf(slot, REPLY_MAX, "%.*s", (int)command.size, (char *)command.data);
    }
    buf_deinit(&command);
}

static void run_with_seed(uint64_t seed)
{
    struct prng prng = {.state = seed};
    struct model model = {0};
    static struct queue up;
    static struct queue down;
    up = (struct queue){0};
    down = (struct queue){0};
    struct publisher p;
    assert_int_equal(
        publisher_init(&p, BYTES_LITERAL("c"), BYTES_LITERAL("k"), 1, 1 + prng_below(&prng, 40)),
        RC_OK);
    publisher_on_ready(&p);
    uint64_t next = 1;
    uint64_t now = 0;
    for (uint64_t step = 0; next <= MESSAGES || !publisher_idle(&p); step++) {
        assert_true(step < 1000000); /* it comes to an end */
        now += prng_below(&prng, 3);
        add_some(&p, &next);
        const char *item = NULL;
        switch (prng_below(&prng, 4)) {
        case 0: send_one(&p, &up, now); break;
        case 1:
            item = queue_full(&down) ? NULL : queue_pop(&up);
            if (item != NULL) {
                model_serve(&model, &prng, item, queue_push(&down));
            }
            break;
        case 2:
            item = queue_pop(&down);
            if (item != NULL) {
                struct client_message message;
                assert_int_equal(client_message_parse(bytes_of_text(item), &message), RC_OK);
                if (publisher_on_message(&p, &message, now) != RC_OK) {
                    print_error("seed %" PRIu64 ": %s\n", seed, publisher_why(&p));
                    fail();
                }
            }
            break;
        default:
            if (prng_below(&prng, 100) == 0) { /* cut */
                up.head = up.tail;
                down.head = down.tail;
                publisher_on_ready(&p);
            }
            break;
        }
    }
    assert_int_equal(publisher_acked(&p), MESSAGES);
    assert_int_equal(model.stored, MESSAGES);
    assert_true(model.refused > 0);
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        assert_int_equal(model.payloads[i], i * 7);
    }
    publisher_deinit(&p);
}

static void every_message_is_stored_once_and_in_order_through_cuts_and_refusals(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 64; seed++) {
        run_with_seed(seed);
    }
}

/* Numbers 10 to 14 are under way. */
static void open_five(struct publisher *p)
{
    assert_int_equal(publisher_init(p, BYTES_LITERAL("c"), (struct bytes){0}, 10, 8), RC_OK);
    publisher_on_ready(p);
    struct buf command = {0};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(publisher_add(p, BYTES_LITERAL("\"data\":1")), RC_OK);
        assert_int_equal(publisher_next(p, 0, &command), RC_OK);
    }
    buf_deinit(&command);
}

static void take(struct publisher *p, const char *text, enum rc rc, const char *why)
{
    struct client_message message;
    assert_int_equal(client_message_parse(bytes_of_text(text), &message), RC_OK);
    assert_int_equal(publisher_on_message(p, &message, 0), rc);
    if (strstr(publisher_why(p), why) == NULL) {
        print_error("%s\n", publisher_why(p));
        fail();
    }
}

/* Five messages are under way; then one reply. */
static void replies_give(const char *first, const char *second, enum rc rc, const char *why)
{
    struct publisher p;
    open_five(&p);
    if (first != NULL) {
        take(&p, first, RC_OK, "");
    }
    take(&p, second, rc, why);
    publisher_deinit(&p);
}

static void answers_that_cannot_be_right_end_it(void **state)
{
    (void)state;
    replies_give(NULL, "{\"type\":\"published\",\"id\":11,\"seq\":1,\"epoch\":\"e\"}", RC_PROTOCOL,
                 "acknowledged number 11 where 10 is next");
    replies_give(NULL, "{\"type\":\"published\",\"id\":9,\"seq\":1,\"epoch\":\"e\"}", RC_PROTOCOL,
                 "acknowledged number 9");
    replies_give(NULL, "{\"type\":\"published\",\"id\":10,\"epoch\":\"e\"}", RC_PROTOCOL,
                 "without a seq");
    replies_give("{\"type\":\"published\",\"id\":10,\"seq\":5,\"epoch\":\"e\"}",
                 "{\"type\":\"published\",\"id\":11,\"seq\":5,\"epoch\":\"e\"}", RC_PROTOCOL,
                 "order is broken");
    replies_give(NULL, "{\"type\":\"error\",\"id\":15,\"code\":\"internal\",\"message\":\"x\"}",
                 RC_PROTOCOL, "not open");
}

static void a_seq_may_step_back_only_in_another_epoch(void **state)
{
    (void)state;
    replies_give("{\"type\":\"published\",\"id\":10,\"seq\":5,\"epoch\":\"e\"}",
                 "{\"type\":\"published\",\"id\":11,\"seq\":2,\"epoch\":\"f\"}", RC_OK, "");
    replies_give("{\"type\":\"published\",\"id\":10,\"seq\":5,\"epoch\":\"e\"}",
                 "{\"type\":\"published\",\"id\":11,\"epoch\":\"e\",\"duplicate\":true}", RC_OK,
                 "");
}

static void refusals_for_good_end_it_and_name_the_message(void **state)
{
    (void)state;
    static const char *const codes[] = {"bad_request", "too_large", "forbidden", "producer_fenced",
                                        "limit_exceeded"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char reply[160];
        char why[80];
        (void)snprintf(reply, sizeof(reply),
                       "{\"type\":\"error\",\"id\":12,\"code\":\"%s\",\"message\":\"no\"}",
                       codes[i]);
        (void)snprintf(why, sizeof(why), "message 12 was refused (%s): no", codes[i]);
        replies_give(NULL, reply, RC_DENIED, why);
    }
    replies_give(NULL,
                 "{\"type\":\"error\",\"id\":10,\"code\":\"out_of_sequence\",\"message\":\"\","
                 "\"expected\":3}",
                 RC_DENIED, "expects number 3, but this is number 10");
    replies_give(NULL,
                 "{\"type\":\"error\",\"id\":10,\"code\":\"producer_unknown\",\"message\":\"\"}",
                 RC_DENIED, "does not know this producer");
}

#define ERROR(id, code) "{\"type\":\"error\",\"id\":" id ",\"code\":\"" code "\",\"message\":\"\"}"

/* One message is under way: its refusal is its answer, and a second one is none. */
static void who_was_refused_is_not_acknowledged(void **state)
{
    (void)state;
    struct publisher p;
    struct buf command = {0};
    assert_int_equal(publisher_init(&p, BYTES_LITERAL("c"), (struct bytes){0}, 1, 8), RC_OK);
    publisher_on_ready(&p);
    assert_int_equal(publisher_add(&p, BYTES_LITERAL("\"data\":1")), RC_OK);
    assert_int_equal(publisher_next(&p, 0, &command), RC_OK);
    buf_deinit(&command);
    take(&p, ERROR("1", "unavailable"), RC_OK, "");
    take(&p, "{\"type\":\"published\",\"id\":1,\"seq\":1,\"epoch\":\"e\"}", RC_PROTOCOL,
         "acknowledged number 1, which it had refused");
    assert_int_equal(publisher_acked(&p), 0);
    publisher_deinit(&p);
}

/* The first of five is refused for now; what the server says of the others shows what it holds. */
static void answers_behind_a_refusal_are_counted_and_all_is_sent_again(void **state)
{
    (void)state;
    struct publisher p;
    struct buf command = {0};
    open_five(&p);
    take(&p, ERROR("10", "internal"), RC_OK, "");
    /* It was stored on an earlier connection, so the next one is accepted. */
    take(&p, "{\"type\":\"published\",\"id\":11,\"seq\":8,\"epoch\":\"e\"}", RC_OK, "");
    take(&p, ERROR("12", "rate_limited"), RC_OK, "");
    take(&p, ERROR("13", "out_of_sequence"), RC_OK, "");
    assert_true(publisher_deadline_ms(&p) == UINT64_MAX); /* an answer is under way */
    assert_int_equal(publisher_next(&p, 1000000, &command), RC_END);
    take(&p, "{\"type\":\"error\",\"id\":14,\"code\":\"x\",\"message\":\"\",\"retry_after_ms\":9}",
         RC_OK, "");
    assert_int_equal(publisher_acked(&p), 0);
    const uint64_t wait = publisher_deadline_ms(&p);
    assert_in_range(wait, 50, 5000); /* the longest that was asked for, or drawn */
    assert_int_equal(publisher_next(&p, wait - 1, &command), RC_END);
    for (uint64_t number = 10; number < 15; number++) {
        char wanted[40];
        buf_clear(&command);
        assert_int_equal(publisher_next(&p, wait, &command), RC_OK);
        (void)snprintf(wanted, sizeof(wanted), "\"producer_seq\":%" PRIu64 ",", number);
        assert_non_null(memmem(command.data, command.size, wanted, strlen(wanted)));
    }
    take(&p, "{\"type\":\"published\",\"id\":15,\"seq\":9,\"epoch\":\"e\"}", RC_PROTOCOL,
         "number 15");
    buf_deinit(&command);
    publisher_deinit(&p);
}

static void a_wait_is_a_minute_at_most(void **state)
{
    (void)state;
    struct publisher p;
    open_five(&p);
    for (uint64_t id = 10; id < 15; id++) {
        char text[200];
        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"error\",\"id\":%" PRIu64 ",\"code\":\"unavailable\","
                       "\"message\":\"\",\"retry_after_ms\":%s}",
                       id, id == 10 ? "9007199254740991" : "1");
        take(&p, text, RC_OK, "");
    }
    assert_int_equal(publisher_deadline_ms(&p), 60000);
    publisher_deinit(&p);
}

static void what_is_no_answer_is_ignored_and_a_complaint_ends_it(void **state)
{
    (void)state;
    replies_give(NULL, "{\"type\":\"published\",\"seq\":1,\"epoch\":\"e\"}", RC_OK, "");
    replies_give(NULL, "{\"type\":\"goaway\",\"id\":10}", RC_OK, "");
    replies_give(NULL, "{\"type\":\"error\",\"code\":\"bad_request\",\"message\":\"not JSON\"}",
                 RC_DENIED, "the server complains: not JSON");
    replies_give(NULL, ERROR("9", "internal"), RC_PROTOCOL, "number 9, which is not open");
    replies_give(NULL, "{\"type\":\"published\",\"id\":10,\"seq\":3}", RC_OK, "");
    char text[400];
    (void)snprintf(text, sizeof(text),
                   "{\"type\":\"published\",\"id\":10,\"seq\":3,\"epoch\":\"%0200d\"}", 0);
    replies_give(NULL, text, RC_PROTOCOL, "an epoch of 202 bytes");
}

/* The data is long, so that each buffer has to grow for it. What is refused for want of memory is
 * tried again, and everything goes out once and in order. */
static void publish_three(struct publisher *p, uint64_t fault, uint64_t *ret_failed)
{
    static char member[4000];
    struct buf command = {0};
    uint64_t added = 0;
    uint64_t sent = 0;
    mem_fault_set(fault, 0);
    while (sent < 3) {
        (void)snprintf(member, sizeof(member), "\"data\":\"%" PRIu64 "%03900d\"", added, 0);
        const bool adding = added < 3;
        const enum rc rc =
            adding ? publisher_add(p, bytes_of_text(member)) : publisher_next(p, 0, &command);
        if (rc == RC_NOMEM) {
            (*ret_failed)++;
            continue;
        }
        assert_int_equal(rc, RC_OK);
        if (adding) {
            added++;
            continue;
        }
        char wanted[20];
        (void)snprintf(wanted, sizeof(wanted), "\"data\":\"%" PRIu64 "0", sent++);
        assert_non_null(memmem(command.data, command.size, wanted, strlen(wanted)));
        buf_deinit(&command);
    }
    mem_fault_set(0, 0);
    buf_deinit(&command);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char name[256];
    uint64_t failed = 1;
    (void)snprintf(name, sizeof(name), "%0255d", 0);
    for (uint64_t fault = 1; failed > 0; fault++) {
        struct publisher p;
        mem_fault_set(fault, 0);
        failed = 0;
        const enum rc rc = publisher_init(&p, bytes_of_text(name), bytes_of_text(name), 1, 4);
        const uint64_t asked = mem_fault_count();
        mem_fault_set(0, 0);
        if (rc == RC_OK) {
            publisher_on_ready(&p);
            publish_three(&p, fault - asked, &failed);
            publisher_deinit(&p);
        } else {
            assert_int_equal(rc, RC_NOMEM);
            failed = 1;
        }
        assert_true(failed <= 1);
        assert_true(failed == 1 || fault > 8);
    }
}

/* The wait that the server asks for is kept, and only then everything from the head is sent. */
static void the_wait_asked_for_is_kept(void **state)
{
    (void)state;
    struct publisher p;
    struct buf command = {0};
    struct client_message message;
    assert_int_equal(publisher_init(&p, BYTES_LITERAL("c"), (struct bytes){0}, 1, 8), RC_OK);
    publisher_on_ready(&p);
    assert_int_equal(publisher_add(&p, BYTES_LITERAL("\"data\":1")), RC_OK);
    assert_int_equal(publisher_add(&p, BYTES_LITERAL("\"data\":2")), RC_OK);
    assert_int_equal(publisher_next(&p, 1000, &command), RC_OK);
    assert_int_equal(
        client_message_parse(BYTES_LITERAL("{\"type\":\"error\",\"id\":1,\"code\":\"rate_limited\","
                                           "\"message\":\"\",\"retry_after_ms\":500}"),
                             &message),
        RC_OK);
    assert_int_equal(publisher_on_message(&p, &message, 1000), RC_OK);
    assert_int_equal(publisher_deadline_ms(&p), 1500);
    assert_int_equal(publisher_next(&p, 1499, &command), RC_END);
    buf_clear(&command);
    assert_int_equal(publisher_next(&p, 1500, &command), RC_OK);
    assert_non_null(memmem(command.data, command.size, "\"producer_seq\":1,", 17));
    buf_deinit(&command);
    publisher_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_stored_once_and_in_order_through_cuts_and_refusals),
        cmocka_unit_test(answers_that_cannot_be_right_end_it),
        cmocka_unit_test(a_seq_may_step_back_only_in_another_epoch),
        cmocka_unit_test(refusals_for_good_end_it_and_name_the_message),
        cmocka_unit_test(the_wait_asked_for_is_kept),
        cmocka_unit_test(who_was_refused_is_not_acknowledged),
        cmocka_unit_test(answers_behind_a_refusal_are_counted_and_all_is_sent_again),
        cmocka_unit_test(a_wait_is_a_minute_at_most),
        cmocka_unit_test(what_is_no_answer_is_ignored_and_a_complaint_ends_it),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
