#include "client/numbered.h"

#include "base/digest.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

/* As many publishes are unanswered at most ([P 12]), so that one's place is free when it is taken
 * again. */
#define FLIGHTS 4096u

/* What is known of a message in the window. */
enum {
    STATE_SAID = 1,   /* it has been sent */
    STATE_MAYBE = 2,  /* a connection was lost over it: stored or not, nobody knows */
    STATE_DONE = 4,   /* answered with `published` */
    STATE_FLYING = 8, /* a flight of it is open */
};

/* The open ones of a channel are a list, in the order in which they were said. Slots are their
 * index + 1, 0: none. */
struct numbered_flight {
    uint64_t id; /* 0: answered */
    uint64_t first;
    uint32_t channel;
    uint32_t count;
    uint32_t older;
    uint32_t newer;
    bool again;     /* some of it may have been stored before */
    bool overtaken; /* a later one of the channel was published before */
    bool accused;   /* of that */
};

struct numbered_channel {
    uint64_t number; /* of the last publish answered with a seq, 0: none was */
    uint64_t seq;
    uint32_t oldest; /* slots */
    uint32_t newest;
    bool begun;  /* this client knows its numbers */
    bool untold; /* of some message it was never told which seq it has */
};

static void numbered_check(const struct numbered *n)
{
    ASSERT(n->head_ <= n->cursor_ && n->cursor_ <= n->handed_ && n->handed_ <= n->end_);
    ASSERT(n->handed_ - n->head_ <= n->window_);
}

enum rc numbered_init(struct numbered *numbered, struct ledger *ledger, uint32_t producer,
                      uint64_t window)
{
    ASSERT(window > 0);
    *numbered = (struct numbered){.ledger = ledger, .producer = producer};
    numbered->end_ = workload_commands(ledger->workload, producer);
    numbered->window_ = window < numbered->end_ ? window : numbered->end_;
    numbered->window_ += numbered->window_ == 0 ? 1 : 0; /* of one that has nothing to do */
    numbered->states_ = mem_calloc(numbered->window_, ledger->workload->options.batch);
    numbered->left_ = mem_calloc(numbered->window_, sizeof(uint32_t));
    numbered->flights_ = mem_calloc(FLIGHTS, sizeof(struct numbered_flight));
    numbered->channels_ =
        mem_calloc(ledger->workload->options.channels, sizeof(struct numbered_channel));
    if (numbered->states_ == NULL || numbered->left_ == NULL || numbered->flights_ == NULL ||
        numbered->channels_ == NULL) {
        numbered_deinit(numbered);
        return RC_NOMEM;
    }
    return RC_OK;
}

void numbered_deinit(struct numbered *numbered)
{
    mem_free(numbered->states_);
    mem_free(numbered->left_);
    mem_free(numbered->flights_);
    mem_free(numbered->channels_);
    numbered->states_ = NULL;
    numbered->left_ = NULL;
    numbered->flights_ = NULL;
    numbered->channels_ = NULL;
}

static struct workload_command command_of(const struct numbered *n, uint64_t k)
{
    return workload_command(n->ledger->workload, n->producer, k);
}

static uint8_t *state_of(const struct numbered *n, uint64_t k, uint32_t index)
{
    ASSERT(k >= n->head_ && k < n->handed_);
    return &n->states_[k % n->window_ * n->ledger->workload->options.batch + index];
}

/* Where a message's state is; NULL: all of its command was answered long ago. */
static uint8_t *find_state(const struct numbered *n, uint32_t channel, uint64_t number,
                           uint64_t *ret_k, uint32_t *ret_index)
{
    workload_place(n->ledger->workload, channel, n->producer, number, ret_k, ret_index);
    return *ret_k < n->head_ ? NULL : state_of(n, *ret_k, *ret_index);
}

/* ---- towards the library ------------------------------------------------------------------- */

uint64_t numbered_due_ns(const struct numbered *numbered)
{
    const struct numbered *n = numbered;
    if (n->why[0] != '\0') {
        return UINT64_MAX;
    }
    if (n->cursor_ < n->handed_) {
        return 0; /* it was due before, and is half handed on, or again */
    }
    if (n->handed_ == n->end_ || n->handed_ - n->head_ == n->window_) {
        return UINT64_MAX;
    }
    /* A batch goes when its last message is due: a message's own due time is never later. */
    return workload_due_ns(n->ledger->workload, n->producer, n->handed_,
                           command_of(n, n->handed_).count - 1);
}

bool numbered_next(const struct numbered *numbered, uint64_t load_ns,
                   struct numbered_message *ret_message)
{
    const struct numbered *n = numbered;
    const uint64_t due = numbered_due_ns(n);
    if (due == UINT64_MAX || due > load_ns) {
        return false;
    }
    const struct workload_command command = command_of(n, n->cursor_);
    ret_message->channel = command.channel;
    ret_message->number = command.first + n->cursor_index_;
    ret_message->begins = !n->channels_[command.channel].begun;
    return true;
}

void numbered_handed(struct numbered *numbered)
{
    struct numbered *n = numbered;
    const struct workload_command command = command_of(n, n->cursor_);
    if (n->cursor_ == n->handed_) {
        n->handed_++;
        n->left_[n->cursor_ % n->window_] = command.count;
        bytes_zero(state_of(n, n->cursor_, 0), command.count);
    }
    n->channels_[command.channel].begun = true;
    n->cursor_index_++;
    if (n->cursor_index_ == command.count) {
        n->cursor_++;
        n->cursor_index_ = 0;
    }
    numbered_check(n);
}

void numbered_new_client(struct numbered *numbered)
{
    struct numbered *n = numbered;
    for (uint32_t i = 0; i < n->ledger->workload->options.channels; i++) {
        n->channels_[i].begun = false;
    }
    n->cursor_ = n->head_;
    n->cursor_index_ = 0;
    numbered_check(n);
}

/* ---- flights ------------------------------------------------------------------------------- */

static struct numbered_flight *flight_in(const struct numbered *n, uint32_t slot)
{
    ASSERT(slot <= FLIGHTS);
    return slot == 0 ? NULL : &n->flights_[slot - 1];
}

static void link_flight(struct numbered *n, struct numbered_flight *flight)
{
    struct numbered_channel *c = &n->channels_[flight->channel];
    const uint32_t slot = (uint32_t)(flight - n->flights_) + 1;
    struct numbered_flight *before = flight_in(n, c->newest);
    flight->older = c->newest;
    flight->newer = 0;
    c->newest = slot;
    if (before == NULL) {
        c->oldest = slot;
    } else {
        before->newer = slot;
    }
    n->in_flight_ += flight->count;
}

static void unlink_flight(struct numbered *n, struct numbered_flight *flight)
{
    struct numbered_channel *c = &n->channels_[flight->channel];
    struct numbered_flight *before = flight_in(n, flight->older);
    struct numbered_flight *after = flight_in(n, flight->newer);
    ASSERT(n->in_flight_ >= flight->count);
    *(before == NULL ? &c->oldest : &before->newer) = flight->newer;
    *(after == NULL ? &c->newest : &after->older) = flight->older;
    n->in_flight_ -= flight->count;
    flight->id = 0;
}

/* Whether an open flight has the message. */
static bool flies(const struct numbered *n, uint32_t channel, uint64_t number)
{
    const struct numbered_flight *f = flight_in(n, n->channels_[channel].oldest);
    while (f != NULL && (number < f->first || number >= f->first + f->count)) {
        f = flight_in(n, f->newer);
    }
    return f != NULL;
}

/* ---- what is said -------------------------------------------------------------------------- */

/* The connection of the flight is gone: of what it had nobody knows more. */
static void lose(struct numbered *n, const struct numbered_flight *flight)
{
    for (uint32_t i = 0; i < flight->count; i++) {
        uint64_t k;
        uint32_t index;
        uint8_t *state = find_state(n, flight->channel, flight->first + i, &k, &index);
        if (state == NULL) {
            continue;
        }
        if ((*state & (STATE_MAYBE | STATE_DONE)) == 0) {
            n->indeterminate_count++;
            *state |= STATE_MAYBE;
        }
        *state &= (uint8_t)~STATE_FLYING;
    }
}

void numbered_on_ready(struct numbered *numbered)
{
    struct numbered *n = numbered;
    for (size_t i = 0; i < FLIGHTS && n->in_flight_ > 0; i++) {
        struct numbered_flight *flight = &n->flights_[i];
        if (flight->id != 0) {
            lose(n, flight);
            unlink_flight(n, flight);
        }
    }
    ASSERT(n->in_flight_ == 0);
}

/* Whether the message may have been stored before. [P 3] What was refused was not. */
static bool say_message(struct numbered *n, uint32_t channel, uint64_t number)
{
    uint64_t k;
    uint32_t index;
    uint8_t *state = find_state(n, channel, number, &k, &index);
    const bool said = state == NULL || (*state & STATE_SAID) != 0;
    const bool again = state == NULL || (*state & (STATE_FLYING | STATE_MAYBE | STATE_DONE)) != 0;
    n->sent_count += said ? 0 : 1;
    n->resent_count += said ? 1 : 0;
    if (state != NULL) {
        *state |= STATE_SAID | STATE_FLYING;
    }
    return again;
}

void numbered_said(struct numbered *numbered, const struct client_said *said)
{
    struct numbered *n = numbered;
    uint32_t channel;
    if (said->what != CLIENT_SAID_PUBLISH ||
        !workload_channel_of(n->ledger->workload, said->channel, &channel)) {
        return;
    }
    struct numbered_flight *flight = &n->flights_[said->id % FLIGHTS];
    ASSERT(flight->id == 0); /* the library has no more of them open */
    *flight = (struct numbered_flight){
        .id = said->id, .first = said->number, .channel = channel, .count = said->count};
    for (uint32_t i = 0; i < said->count; i++) {
        const bool again = say_message(n, channel, said->number + i);
        flight->again = flight->again || again;
    }
    link_flight(n, flight);
    ledger_sent(n->ledger, channel, n->producer, said->number + said->count - 1);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void accuse(struct numbered *n, enum violation violation, uint64_t id, const char *what)
{
    violations_add(n->ledger->violations, violation, 1,
                   "producer %" PRIu32 ", publish %" PRIu64 ": %s", n->producer, id, what);
}

static void accuse_number(struct numbered *n, enum violation violation,
                          const struct numbered_flight *flight, const char *what)
{
    violations_add(n->ledger->violations, violation, 1,
                   "producer %" PRIu32 ", channel %" PRIu32 ", number %" PRIu64 ": %s", n->producer,
                   flight->channel, flight->first, what);
}

/* The flight of that id, which is over with it; false: there is none. */
static bool end_flight(struct numbered *n, uint64_t id, struct numbered_flight *ret_flight)
{
    struct numbered_flight *flight = &n->flights_[id % FLIGHTS];
    if (id == 0 || flight->id != id) {
        return false;
    }
    *ret_flight = *flight;
    unlink_flight(n, flight);
    return true;
}

/* [I6] in one channel, seqs rise as the numbers do. */
static void check_seq(struct numbered *n, const struct numbered_flight *flight, uint64_t seq)
{
    struct numbered_channel *last = &n->channels_[flight->channel];
    const bool rises = flight->first > last->number;
    if (last->number != 0 && !n->ledger->channels[flight->channel].changed &&
        rises != (seq > last->seq)) {
        accuse_number(n, VIOLATION_PRODUCER_ORDER, flight,
                      "its seq is not above that of the one before it");
    }
    if (rises) {
        last->number = flight->first;
        last->seq = seq;
    }
}

/* What was answered before is answered again: with the same seq. */
static void check_same_seq(struct numbered *n, const struct numbered_flight *flight, uint32_t i,
                           uint64_t seq)
{
    uint64_t k;
    uint32_t index;
    const uint8_t *state = find_state(n, flight->channel, flight->first + i, &k, &index);
    if (seq == 0 || n->channels_[flight->channel].untold ||
        (state != NULL && (*state & STATE_DONE) == 0) ||
        ledger_is_acked(n->ledger, flight->channel, seq, n->producer, flight->first + i)) {
        return;
    }
    accuse_number(n, VIOLATION_ACK_MISMATCH, flight,
                  "acknowledged again, with another seq than before");
}

/* The window moves on behind the oldest command that is not answered. */
static void finish(struct numbered *n, uint64_t k)
{
    ASSERT(n->left_[k % n->window_] > 0);
    n->left_[k % n->window_]--;
    while (n->head_ < n->handed_ && n->left_[n->head_ % n->window_] == 0) {
        n->head_++;
        n->cursor_index_ = n->cursor_ < n->head_ ? 0 : n->cursor_index_;
        n->cursor_ = n->cursor_ < n->head_ ? n->head_ : n->cursor_;
    }
    numbered_check(n);
}

/* One message of it was published. */
static void finish_message(struct numbered *n, const struct numbered_flight *flight, uint32_t i,
                           bool duplicate, uint64_t load_ns)
{
    uint64_t k;
    uint32_t index;
    uint8_t *state = find_state(n, flight->channel, flight->first + i, &k, &index);
    n->duplicate_count += duplicate ? 1 : 0;
    if (state == NULL || (*state & STATE_DONE) != 0) {
        return; /* said twice, and answered twice */
    }
    if ((*state & STATE_MAYBE) != 0) {
        n->found_stored_count += duplicate ? 1 : 0;
        n->found_absent_count += duplicate ? 0 : 1;
    }
    *state = STATE_SAID | STATE_DONE;
    n->acked_count++;
    if (n->latency_us != NULL) {
        const uint64_t due = workload_due_ns(n->ledger->workload, n->producer, k, index);
        histogram_add(n->latency_us, load_ns > due ? (load_ns - due) / 1000 : 0);
    }
    finish(n, k);
}

/* Whether a message of it may have been stored before it was said in this flight. */
static bool maybe_stored(const struct numbered *n, const struct numbered_flight *flight)
{
    uint64_t k;
    uint32_t index;
    const uint8_t *state = find_state(n, flight->channel, flight->first, &k, &index);
    return flight->again || state == NULL || (*state & STATE_MAYBE) != 0;
}

/* Whether `older`, which is open, can only be answered with a `published` that comes too late now
 * that `flight` was published. Everything up to that one is stored; so `older` is, unless it was
 * refused and another copy of it is: one that was said before it, or behind it. */
static bool is_stored(const struct numbered *n, const struct numbered_flight *older,
                      const struct numbered_flight *flight, bool duplicate)
{
    const uint64_t end = older->first + older->count;
    const bool copy = end > flight->first && !duplicate;
    return older->first < flight->first + flight->count && !copy && !maybe_stored(n, older);
}

/* [P 2] each publish has its answer, and `published` come in order. An error may be overtaken, so
 * that what is open may still be refused, if it need not have been stored. */
static void overtake(struct numbered *n, const struct numbered_flight *flight, bool duplicate)
{
    struct numbered_flight *older = flight_in(n, n->channels_[flight->channel].oldest);
    for (; older != NULL && older->id < flight->id; older = flight_in(n, older->newer)) {
        if (!older->overtaken && is_stored(n, older, flight, duplicate)) {
            accuse(n, VIOLATION_PROTOCOL, older->id,
                   "not answered, and a later one of its channel is `published`");
            older->accused = true;
        }
        older->overtaken = true;
    }
    if (flight->overtaken && !flight->accused) {
        accuse(n, VIOLATION_PROTOCOL, flight->id, "`published` behind a later one of its channel");
    }
}

static void on_flight(struct numbered *n, const struct numbered_flight *flight,
                      const struct reply *reply, uint64_t seq, bool tells_id, uint64_t load_ns)
{
    char name[WORKLOAD_NAME_SIZE];
    const size_t size = workload_channel_name(n->ledger->workload, flight->channel, name);
    struct bytes id = tells_id ? reply->id_text : (struct bytes){0};
    struct digest_id digits = {0};
    if (!bytes_equal(reply->channel, bytes_of(name, size))) {
        accuse_number(n, VIOLATION_PROTOCOL, flight, "`published` names another channel");
    }
    if (seq == 0 && !reply->duplicate) {
        accuse_number(n, VIOLATION_PROTOCOL, flight, "`published` without a seq");
    }
    if (reply->duplicate && !maybe_stored(n, flight)) {
        accuse_number(n, VIOLATION_NUMBERING_REFUSED, flight,
                      "called a duplicate, though sent once");
    }
    overtake(n, flight, reply->duplicate);
    ledger_epoch(n->ledger, flight->channel, bytes_of_text(reply->epoch));
    if (seq != 0) {
        check_seq(n, flight, seq);
    }
    n->channels_[flight->channel].untold = n->channels_[flight->channel].untold || seq == 0;
    if (tells_id && id.size == 0 && reply->message_id != 0) {
        id = digest_id_text(&digits, reply->message_id);
    }
    for (uint32_t i = 0; i < flight->count; i++) {
        const uint64_t at = seq == 0 ? 0 : seq + i;
        check_same_seq(n, flight, i, at);
        ledger_acked(n->ledger, flight->channel, at, n->producer, flight->first + i,
                     i == 0 ? id : (struct bytes){0});
        finish_message(n, flight, i, reply->duplicate, load_ns);
    }
}

static void on_published(struct numbered *n, const struct reply *reply, uint64_t load_ns)
{
    uint64_t seq = reply->has_seq ? reply->seq : 0;
    uint64_t count = 0;
    for (uint64_t i = 0; i < reply->publishes; i++) {
        struct numbered_flight flight;
        if (!end_flight(n, reply->id + i, &flight)) {
            accuse(n, VIOLATION_PROTOCOL, reply->id + i, "answered, though it is not open");
            return;
        }
        on_flight(n, &flight, reply, seq, i == 0, load_ns);
        seq = seq == 0 ? 0 : seq + flight.count;
        count += flight.count;
    }
    if (reply->has_count && reply->count != count) {
        accuse(n, VIOLATION_PROTOCOL, reply->id, "`published` has another count than was sent");
    }
}

/* Whether an older message of the channel is open: then it is that one's refusal that tells. */
static bool older_open(const struct numbered *n, const struct numbered_flight *flight)
{
    uint64_t k;
    uint32_t index;
    const uint8_t *state = find_state(n, flight->channel, flight->first, &k, &index);
    if (state == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < index; i++) {
        if ((*state_of(n, k, i) & STATE_DONE) == 0) {
            return true;
        }
    }
    const uint32_t channels = n->ledger->workload->options.channels;
    for (uint64_t older = k; older >= n->head_ + channels; older -= channels) {
        if (n->left_[(older - channels) % n->window_] > 0) {
            return true;
        }
    }
    return false;
}

void numbered_give_up(struct numbered *numbered, const char *code, const char *text)
{
    struct numbered *n = numbered;
    (void)snprintf(n->why, sizeof(n->why), "producer %" PRIu32 ": refused (%s): %s", n->producer,
                   code, text);
}

/* It waits to be said again. [P 3] nothing was stored; only of a fault of its own nobody knows what
 * it left. */
static void refuse_for_a_time(struct numbered *n, const struct numbered_flight *flight,
                              bool internal)
{
    n->refused_count += flight->count;
    for (uint32_t i = 0; i < flight->count && internal; i++) {
        uint64_t k;
        uint32_t index;
        uint8_t *state = find_state(n, flight->channel, flight->first + i, &k, &index);
        if (state != NULL && (*state & (STATE_MAYBE | STATE_DONE)) == 0) {
            *state |= STATE_MAYBE;
            n->indeterminate_count++;
        }
    }
}

static void land(struct numbered *n, const struct numbered_flight *flight)
{
    for (uint32_t i = 0; i < flight->count; i++) {
        uint64_t k;
        uint32_t index;
        uint8_t *state = find_state(n, flight->channel, flight->first + i, &k, &index);
        if (state != NULL && !flies(n, flight->channel, flight->first + i)) {
            *state &= (uint8_t)~STATE_FLYING;
        }
    }
}

static void on_refused(struct numbered *n, const struct numbered_flight *flight,
                       const struct client_message *object)
{
    char code[40];
    char text[200];
    client_message_show(object, CLIENT_FIELD_CODE, code, sizeof(code));
    client_message_show(object, CLIENT_FIELD_TEXT, text, sizeof(text));
    land(n, flight);
    const bool sequence = strcmp(code, "out_of_sequence") == 0;
    if (sequence && older_open(n, flight)) {
        return;
    }
    if (sequence || strcmp(code, "producer_unknown") == 0 || strcmp(code, "producer_fenced") == 0) {
        violations_add(n->ledger->violations, VIOLATION_NUMBERING_REFUSED, 1,
                       "producer %" PRIu32 ", channel %" PRIu32 ": its next number, %" PRIu64
                       ", is refused (%s): %s",
                       n->producer, flight->channel, flight->first, code, text);
        numbered_give_up(n, code, text);
        n->accused = true;
        return;
    }
    if (client_message_has(object, CLIENT_FIELD_RETRY_AFTER_MS) ||
        strcmp(code, "unavailable") == 0 || strcmp(code, "rate_limited") == 0 ||
        strcmp(code, "internal") == 0) {
        refuse_for_a_time(n, flight, strcmp(code, "internal") == 0);
        return;
    }
    numbered_give_up(n, code, text);
}

void numbered_heard(struct numbered *numbered, const struct reply *reply, uint64_t load_ns)
{
    struct numbered *n = numbered;
    struct numbered_flight flight;
    if (reply->type == CLIENT_PUBLISHED) {
        on_published(n, reply, load_ns);
        return;
    }
    if (reply->type != CLIENT_ERROR) {
        return; /* [P 2] what we do not know is ignored */
    }
    if (reply->id == 0) {
        char text[200];
        client_message_show(&reply->object, CLIENT_FIELD_TEXT, text, sizeof(text));
        numbered_give_up(n, "error", text);
        return;
    }
    if (!end_flight(n, reply->id, &flight)) {
        accuse(n, VIOLATION_PROTOCOL, reply->id, "refused, though it is not open");
        return;
    }
    on_refused(n, &flight, &reply->object);
    numbered_check(n);
}

/* ---- the rest ------------------------------------------------------------------------------ */

void numbered_stop(struct numbered *numbered)
{
    numbered->end_ = numbered->handed_;
}

bool numbered_done(const struct numbered *numbered)
{
    return numbered->head_ == numbered->end_;
}

void numbered_finish(struct numbered *numbered)
{
    struct numbered *n = numbered;
    for (size_t i = 0; i < FLIGHTS && n->in_flight_ > 0; i++) {
        struct numbered_flight *flight = &n->flights_[i];
        if (flight->id == 0) {
            continue;
        }
        if (!flight->accused && (flight->overtaken || numbered_done(n))) {
            accuse(n, VIOLATION_PROTOCOL, flight->id, "never answered");
        }
        unlink_flight(n, flight);
    }
}

uint64_t numbered_in_flight(const struct numbered *numbered)
{
    return numbered->in_flight_;
}
