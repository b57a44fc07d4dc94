#include "client/numbered.h"

#include "base/mem.h"
#include "client/link.h"
#include "client/pushed.h"

#include <inttypes.h>
#include <stdio.h>

#define PAUSE_MS_MAX 60000u

/* OPEN -> SENT -> DONE; SENT -> OPEN when the connection goes or the server says "not now". */
enum slot_state {
    SLOT_OPEN, /* to be sent */
    SLOT_SENT, /* waits for its answer on this connection */
    SLOT_DONE,
};

struct numbered_slot {
    uint8_t state;
    bool maybe; /* it was under way when a connection was lost: stored or not, nobody knows */
    bool again; /* it has been sent before */
};

struct numbered_channel {
    uint64_t index; /* of the last command answered with a seq, plus one; 0: none */
    uint64_t seq;
};

/* What `published` says. */
struct published {
    uint64_t id;
    uint64_t seq;   /* 0: not told */
    uint64_t count; /* 0: not told */
    bool duplicate;
    struct bytes message_id;
    struct bytes epoch; /* with quotes */
};

static struct numbered_slot *slot_of(const struct numbered *n, uint64_t k)
{
    return &n->slots_[k % n->window_];
}

static void numbered_check(const struct numbered *n)
{
    ASSERT(n->head_ <= n->cursor_ && n->cursor_ <= n->sent_ && n->sent_ <= n->end_);
    ASSERT(n->sent_ - n->head_ <= n->window_);
    ASSERT(n->in_flight_ <= n->sent_ - n->head_);
}

enum rc numbered_init(struct numbered *numbered, struct ledger *ledger, uint32_t producer,
                      uint64_t window)
{
    ASSERT(window > 0);
    *numbered = (struct numbered){.ledger = ledger, .producer = producer, .window_ = window};
    numbered->end_ = workload_commands(ledger->workload, producer);
    numbered->slots_ = mem_calloc(window, sizeof(struct numbered_slot));
    numbered->channels_ =
        mem_calloc(ledger->workload->options.channels, sizeof(struct numbered_channel));
    if (numbered->slots_ == NULL || numbered->channels_ == NULL) {
        numbered_deinit(numbered);
        return RC_NOMEM;
    }
    return RC_OK;
}

void numbered_deinit(struct numbered *numbered)
{
    mem_free(numbered->slots_);
    mem_free(numbered->channels_);
    numbered->slots_ = NULL;
    numbered->channels_ = NULL;
}

static struct workload_command command_of(const struct numbered *n, uint64_t k)
{
    return workload_command(n->ledger->workload, n->producer, k);
}

/* ---- sending ------------------------------------------------------------------------------- */

void numbered_on_ready(struct numbered *numbered)
{
    struct numbered *n = numbered;
    for (uint64_t k = n->head_; k < n->sent_; k++) {
        struct numbered_slot *slot = slot_of(n, k);
        if (slot->state == SLOT_SENT) {
            slot->state = SLOT_OPEN;
            n->indeterminate_count += slot->maybe ? 0 : command_of(n, k).count;
            slot->maybe = true;
        }
    }
    n->cursor_ = n->head_;
    n->in_flight_ = 0;
    n->rewind_ = false;
    numbered_check(n);
}

static bool may_send_new(const struct numbered *n)
{
    return n->sent_ < n->end_ && n->sent_ - n->head_ < n->window_ && n->why[0] == '\0';
}

uint64_t numbered_due_ns(const struct numbered *numbered)
{
    const struct numbered *n = numbered;
    if (n->rewind_ || !may_send_new(n)) {
        return UINT64_MAX;
    }
    /* A batch goes when its last message is due: a message's own due time is never later. */
    return workload_due_ns(n->ledger->workload, n->producer, n->sent_,
                           command_of(n, n->sent_).count - 1);
}

bool numbered_retry_ms(const struct numbered *numbered, uint64_t *ret_ms)
{
    const struct numbered *n = numbered;
    if (n->why[0] != '\0' || (n->rewind_ ? n->in_flight_ > 0 : n->cursor_ == n->sent_)) {
        return false;
    }
    *ret_ms = n->rewind_ ? n->pause_until_ms_ : 0;
    return true;
}

static enum rc send_one(struct numbered *n, uint64_t k, struct buf *to)
{
    const enum rc rc = workload_publish(n->ledger->workload, n->producer, k, k + 1, to);
    if (rc != RC_OK) {
        return rc;
    }
    struct numbered_slot *slot = slot_of(n, k);
    ASSERT(slot->state == SLOT_OPEN);
    const struct workload_command command = command_of(n, k);
    n->sent_count += slot->again ? 0 : command.count;
    n->resent_count += slot->again ? command.count : 0;
    slot->state = SLOT_SENT;
    slot->again = true;
    n->in_flight_++;
    ledger_sent(n->ledger, command.channel, n->producer, command.first + command.count - 1);
    return RC_OK;
}

enum rc numbered_command(struct numbered *numbered, uint64_t load_ns, uint64_t now_ms,
                         struct buf *to)
{
    struct numbered *n = numbered;
    if (n->why[0] != '\0' || (n->rewind_ && (n->in_flight_ > 0 || now_ms < n->pause_until_ms_))) {
        return RC_END;
    }
    if (n->rewind_) {
        n->rewind_ = false;
        n->cursor_ = n->head_;
    }
    while (n->cursor_ < n->sent_) {
        const uint64_t k = n->cursor_++;
        if (slot_of(n, k)->state == SLOT_OPEN) {
            return send_one(n, k, to);
        }
    }
    const uint64_t due = numbered_due_ns(n);
    if (due == UINT64_MAX || due > load_ns) {
        return RC_END;
    }
    *slot_of(n, n->sent_) = (struct numbered_slot){.state = SLOT_OPEN};
    const enum rc rc = send_one(n, n->sent_, to);
    if (rc == RC_OK) {
        n->sent_++;
        n->cursor_ = n->sent_;
        numbered_check(n);
    }
    return rc;
}

/* ---- answers ------------------------------------------------------------------------------- */

static void accuse(struct numbered *n, enum violation violation, uint64_t k, const char *what)
{
    violations_add(n->ledger->violations, violation, 1,
                   "producer %" PRIu32 ", command %" PRIu64 ": %s", n->producer, k + 1, what);
}

/* Takes a command off; the window moves on behind the oldest one that is open. */
static void finish(struct numbered *n, uint64_t k)
{
    slot_of(n, k)->state = SLOT_DONE;
    while (n->head_ < n->sent_ && slot_of(n, n->head_)->state == SLOT_DONE) {
        n->head_++;
    }
    n->cursor_ = n->cursor_ > n->head_ ? n->cursor_ : n->head_;
    numbered_check(n);
}

/* [I6] in one channel, seqs rise as the commands do. */
static void check_seq(struct numbered *n, uint64_t k, uint32_t channel, uint64_t seq)
{
    struct numbered_channel *last = &n->channels_[channel];
    const bool rises = k + 1 > last->index;
    if (last->index != 0 && !n->ledger->channels[channel].changed && rises != (seq > last->seq)) {
        accuse(n, VIOLATION_PRODUCER_ORDER, k, "its seq is not above that of the one before it");
    }
    if (rises) {
        *last = (struct numbered_channel){k + 1, seq};
    }
}

static void check_duplicate(struct numbered *n, uint64_t k, const struct numbered_slot *slot,
                            const struct published *published, uint32_t count)
{
    if (published->duplicate) {
        n->duplicate_count += count;
        if (!slot->maybe) {
            accuse(n, VIOLATION_NUMBERING_REFUSED, k, "called a duplicate, though sent once");
        }
    }
    if (slot->maybe) {
        n->found_stored_count += published->duplicate ? count : 0;
        n->found_absent_count += published->duplicate ? 0 : count;
    }
}

static void add_latency(struct numbered *n, uint64_t k, uint32_t count, uint64_t load_ns)
{
    for (uint32_t i = 0; i < count && n->latency_us != NULL; i++) {
        const uint64_t due = workload_due_ns(n->ledger->workload, n->producer, k, i);
        histogram_add(n->latency_us, load_ns > due ? (load_ns - due) / 1000 : 0);
    }
}

static void on_published(struct numbered *n, const struct published *published, uint64_t load_ns)
{
    const uint64_t k = published->id - 1;
    if (published->id == 0 || k < n->head_ || k >= n->sent_ || slot_of(n, k)->state != SLOT_SENT) {
        accuse(n, VIOLATION_PROTOCOL, k, "answered, though it is not open");
        return;
    }
    const struct workload_command command = command_of(n, k);
    struct numbered_slot *slot = slot_of(n, k);
    if (published->count != 0 && published->count != command.count) {
        accuse(n, VIOLATION_PROTOCOL, k, "`published` has another count than the batch");
    }
    if (published->seq == 0 && !published->duplicate) {
        accuse(n, VIOLATION_PROTOCOL, k, "`published` without a seq");
    }
    n->in_flight_--;
    n->refusals_ = n->rewind_ ? n->refusals_ : 0;
    check_duplicate(n, k, slot, published, command.count);
    if (published->epoch.size > 0) {
        ledger_epoch(n->ledger, command.channel, published->epoch);
    }
    if (published->seq != 0) {
        check_seq(n, k, command.channel, published->seq);
    }
    for (uint32_t i = 0; i < command.count; i++) {
        ledger_acked(n->ledger, command.channel, published->seq == 0 ? 0 : published->seq + i,
                     n->producer, command.first + i,
                     i == 0 ? published->message_id : (struct bytes){0});
    }
    n->acked_count += command.count;
    add_latency(n, k, command.count, load_ns);
    finish(n, k);
}

/* The channel that an answer with that id must name. False: it answers nothing, which is told. */
static bool channel_asked(const struct numbered *n, uint64_t id,
                          char name[static WORKLOAD_NAME_SIZE], struct bytes *ret_name)
{
    const uint64_t k = id - 1;
    if (id == 0 || k < n->head_ || k >= n->sent_) {
        return false;
    }
    *ret_name =
        bytes_of(name, workload_channel_name(n->ledger->workload, command_of(n, k).channel, name));
    return true;
}

/* `"epoch":"…"` with its quotes. */
static bool take_epoch(struct bytes text, size_t *at, struct bytes *ret_epoch)
{
    struct bytes inner;
    if (!pushed_take_plain(text, at, BYTES_LITERAL(",\"epoch\":"), &inner)) {
        return false;
    }
    *ret_epoch = bytes_of(inner.data - 1, inner.size + 2);
    return true;
}

bool numbered_take_quick(struct numbered *numbered, struct bytes text, uint64_t load_ns)
{
    struct published p = {0};
    struct bytes channel;
    struct bytes asked;
    char name[WORKLOAD_NAME_SIZE];
    size_t at = 0;
    if (!pushed_take_number(text, &at, BYTES_LITERAL("{\"type\":\"published\",\"id\":"), &p.id) ||
        !pushed_take_plain(text, &at, BYTES_LITERAL(",\"channel\":"), &channel) ||
        !pushed_take_number(text, &at, BYTES_LITERAL(",\"seq\":"), &p.seq) ||
        !pushed_take_plain(text, &at, BYTES_LITERAL(",\"message_id\":"), &p.message_id) ||
        !take_epoch(text, &at, &p.epoch)) {
        return false;
    }
    (void)pushed_take_number(text, &at, BYTES_LITERAL(",\"count\":"), &p.count);
    const struct bytes rest = bytes_of(text.data + at, text.size - at);
    p.duplicate = bytes_equal(rest, BYTES_LITERAL(",\"duplicate\":true}"));
    if ((!p.duplicate && !bytes_equal(rest, BYTES_LITERAL("}"))) || p.seq == 0 ||
        !channel_asked(numbered, p.id, name, &asked) || !bytes_equal(channel, asked)) {
        return false;
    }
    on_published(numbered, &p, load_ns);
    return true;
}

static void take_published(struct numbered *n, const struct client_message *message,
                           uint64_t load_ns)
{
    struct published p = {
        .seq = client_message_integer_or_0(message, CLIENT_FIELD_SEQ),
        .count = client_message_integer_or_0(message, CLIENT_FIELD_MESSAGE_COUNT),
        .duplicate = client_message_true(message, CLIENT_FIELD_DUPLICATE),
    };
    if (!client_message_integer(message, CLIENT_FIELD_ID, &p.id)) {
        accuse(n, VIOLATION_PROTOCOL, n->head_, "`published` without an id");
        return;
    }
    char name[WORKLOAD_NAME_SIZE];
    struct bytes asked;
    if (channel_asked(n, p.id, name, &asked) &&
        !client_message_is(message, CLIENT_FIELD_CHANNEL, asked)) {
        accuse(n, VIOLATION_PROTOCOL, p.id - 1, "`published` names another channel");
    }
    const struct json_value *id = &message->fields[CLIENT_FIELD_MESSAGE_ID];
    if (client_message_has(message, CLIENT_FIELD_MESSAGE_ID) && id->kind == JSON_KIND_STRING &&
        !id->escaped) {
        p.message_id = json_string_inner(id);
    }
    const struct json_value *epoch = &message->fields[CLIENT_FIELD_EPOCH];
    if (client_message_has(message, CLIENT_FIELD_EPOCH) && epoch->kind == JSON_KIND_STRING) {
        p.epoch = epoch->raw;
    }
    on_published(n, &p, load_ns);
}

/* Whether an older command to the same channel is open: then it is that one's refusal that tells.
 */
static bool older_open(const struct numbered *n, uint64_t k)
{
    const uint32_t channels = n->ledger->workload->options.channels;
    for (uint64_t older = k; older >= n->head_ + channels; older -= channels) {
        if (slot_of(n, older - channels)->state != SLOT_DONE) {
            return true;
        }
    }
    return false;
}

static void begin_rewind(struct numbered *n, const struct client_message *message, uint64_t now_ms)
{
    uint64_t pause = client_message_integer_or_0(message, CLIENT_FIELD_RETRY_AFTER_MS);
    pause = pause > 0 ? pause : link_backoff_ms(n->refusals_, now_ms);
    pause = pause < PAUSE_MS_MAX ? pause : PAUSE_MS_MAX;
    n->refusals_++;
    n->rewind_ = true;
    if (n->pause_until_ms_ < now_ms + pause) {
        n->pause_until_ms_ = now_ms + pause;
    }
}

static void give_up(struct numbered *n, const char *code, const char *text)
{
    (void)snprintf(n->why, sizeof(n->why), "producer %" PRIu32 ": refused (%s): %s", n->producer,
                   code, text);
}

static void on_error(struct numbered *n, uint64_t k, const struct client_message *message,
                     uint64_t now_ms)
{
    char code[40];
    char text[200];
    client_message_show(message, CLIENT_FIELD_CODE, code, sizeof(code));
    client_message_show(message, CLIENT_FIELD_TEXT, text, sizeof(text));
    n->in_flight_--;
    slot_of(n, k)->state = SLOT_OPEN;
    const bool sequence = strcmp(code, "out_of_sequence") == 0;
    if (sequence && older_open(n, k)) {
        n->rewind_ = true;
        return;
    }
    if (sequence || strcmp(code, "producer_unknown") == 0 || strcmp(code, "producer_fenced") == 0) {
        violations_add(n->ledger->violations, VIOLATION_NUMBERING_REFUSED, 1,
                       "producer %" PRIu32 ", channel %" PRIu32 ": its next number, %" PRIu64
                       ", is refused (%s): %s",
                       n->producer, command_of(n, k).channel, command_of(n, k).first, code, text);
        give_up(n, code, text);
        n->accused = true;
        return;
    }
    if (client_message_has(message, CLIENT_FIELD_RETRY_AFTER_MS) ||
        strcmp(code, "unavailable") == 0 || strcmp(code, "rate_limited") == 0 ||
        strcmp(code, "internal") == 0) {
        n->refused_count += command_of(n, k).count;
        /* [P 3] nothing was stored; only of a fault of its own nobody knows what it left. */
        if (strcmp(code, "internal") == 0 && !slot_of(n, k)->maybe) {
            slot_of(n, k)->maybe = true;
            n->indeterminate_count += command_of(n, k).count;
        }
        begin_rewind(n, message, now_ms);
        return;
    }
    give_up(n, code, text);
}

void numbered_take(struct numbered *numbered, const struct client_message *message,
                   uint64_t load_ns, uint64_t now_ms)
{
    struct numbered *n = numbered;
    uint64_t id;
    if (message->type == CLIENT_PUBLISHED) {
        take_published(n, message, load_ns);
        return;
    }
    if (message->type != CLIENT_ERROR) {
        return; /* [P 2] what we do not know is ignored */
    }
    if (!client_message_integer(message, CLIENT_FIELD_ID, &id)) {
        char text[200];
        client_message_show(message, CLIENT_FIELD_TEXT, text, sizeof(text));
        give_up(n, "error", text);
        return;
    }
    if (id == 0 || id - 1 < n->head_ || id > n->sent_ || slot_of(n, id - 1)->state != SLOT_SENT) {
        accuse(n, VIOLATION_PROTOCOL, id - 1, "refused, though it is not open");
        return;
    }
    on_error(n, id - 1, message, now_ms);
    numbered_check(n);
}

/* ---- the rest ------------------------------------------------------------------------------ */

void numbered_stop(struct numbered *numbered)
{
    numbered->end_ = numbered->sent_;
}

bool numbered_done(const struct numbered *numbered)
{
    return numbered->head_ == numbered->end_;
}

uint64_t numbered_in_flight(const struct numbered *numbered)
{
    return numbered->in_flight_;
}
