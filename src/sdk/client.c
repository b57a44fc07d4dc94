/* A client's life: its options, its turns, its thread, its end. */
#include "base/mark.h"
#include "base/mem.h"
#include "base/tune.h"
#include "client/endpoints.h"
#include "io/disk.h"
#include "sdk/private.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NEVER_MS UINT64_MAX

static const char *const status_texts[] = {
    [SERIATIM_OK] = "ok",
    [SERIATIM_FULL] = "the outbox is full",
    [SERIATIM_TIMEOUT] = "the time is over",
    [SERIATIM_BAD] = "not what it must be",
    [SERIATIM_TOO_LARGE] = "over its limit",
    [SERIATIM_NOMEM] = "out of memory",
    [SERIATIM_CLOSED] = "the client is closing or has failed",
    [SERIATIM_DISK] = "the outbox cannot be read or written",
    [SERIATIM_LOCKED] = "another process uses the outbox",
    [SERIATIM_CORRUPT] = "the outbox holds damage, or is another producer's",
    [SERIATIM_EXISTS] = "there is one already",
    [SERIATIM_REFUSED] = "refused by the server",
    [SERIATIM_UNKNOWN] = "the server does not know the producer any more",
    [SERIATIM_FENCED] = "a higher epoch of the producer is at work",
    [SERIATIM_GAP] = "the position is not there",
    [SERIATIM_PROTOCOL] = "the other end broke the rules",
    [SERIATIM_SYSTEM] = "the system refuses a thread, a descriptor or a timer",
};

const char *seriatim_status_text(enum seriatim_status status)
{
    const size_t index = (size_t)status;
    return index < sizeof(status_texts) / sizeof(status_texts[0]) ? status_texts[index] : "unknown";
}

const char *seriatim_version(void)
{
    return SERIATIM_VERSION;
}

uint64_t sdk_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

const char *seriatim_client_producer(const struct seriatim_client *client)
{
    return client->producer;
}

uint64_t seriatim_client_producer_epoch(const struct seriatim_client *client)
{
    return client->producer_epoch;
}

/* ---- a turn -------------------------------------------------------------------------------- */

static void tell_connection(struct seriatim_client *client, enum seriatim_connection connection,
                            const char *why)
{
    if (client->options.on_connection != NULL) {
        client->options.on_connection(client->options.user, connection, why);
    }
}

void sdk_fail(struct seriatim_client *client, const char *why)
{
    if (client->failed) {
        return;
    }
    client->failed = true;
    client->moved = true;
    tell_connection(client, SERIATIM_FAILED, why);
}

/* A frame that has come. */
static void take(void *ctx, struct bytes frame)
{
    struct seriatim_client *client = ctx;
    const enum rc rc = agent_take(&client->agent, frame, client->now_ms);
    if (rc == RC_PROTOCOL) {
        link_on_broken(client->link, agent_why(&client->agent));
    } else if (rc != RC_OK) {
        client->give_up = true;
    }
}

static const char *ask_token(void *ctx)
{
    const struct seriatim_client *client = ctx;
    return client->options.token(client->options.user);
}

static void on_event(struct seriatim_client *client, enum link_event_type type)
{
    switch (type) {
    case LINK_NONE: break;
    case LINK_GOAWAY: tell_connection(client, SERIATIM_LEAVING, ""); break;
    case LINK_READY:
        agent_on_ready(&client->agent, link_frame_bytes(client->link));
        tell_connection(client, SERIATIM_CONNECTED, "");
        break;
    case LINK_LOST:
        client->polled_fd = -1;
        agent_on_lost(&client->agent);
        tell_connection(client, SERIATIM_CONNECTING, link_why(client->link));
        break;
    case LINK_FAILED:
        client->polled_fd = -1;
        agent_on_lost(&client->agent);
        sdk_fail(client, link_why(client->link));
        break;
    }
}

static void receive(struct seriatim_client *client)
{
    enum link_event_type type;
    link_step(client->link, client->now_ms);
    do {
        type = link_next(client->link, client->now_ms);
        on_event(client, type);
        if (client->give_up) {
            client->give_up = false;
            link_give_up(client->link, rc_text(RC_NOMEM), client->now_ms);
        }
    } while (type != LINK_NONE);
}

/* Whether there is more to say than may wait for the socket. */
static bool say_some(struct seriatim_client *client)
{
    while (link_ready(client->link)) {
        if (link_pending(client->link) >= tune.pending_bytes) {
            return true;
        }
        buf_clear(&client->out);
        enum rc rc = agent_next(&client->agent, client->now_ms, &client->out);
        if (rc == RC_END) {
            return false;
        }
        if (rc == RC_OK) {
            rc = link_send(client->link, buf_bytes(&client->out));
        }
        if (rc != RC_OK) {
            /* What the agent believes to be said is not: a new connection says it again. */
            link_give_up(client->link, rc_text(rc), client->now_ms);
            return false;
        }
    }
    return false;
}

static void send_some(struct seriatim_client *client)
{
    const bool more = say_some(client);
    link_flush(client->link);
    /* Where the socket has taken all, nothing is left that would tell when it takes more. */
    client->more = more && link_pending(client->link) < tune.pending_bytes;
    MARK_IF(client->more, "sdk: there is more to say in the next turn");
}

/* What poll_fd watches of the link. */
static void watch_link(struct seriatim_client *client)
{
    const int fd = link_fd(client->link);
    const short events = link_events(client->link);
    if (fd < 0 || events == 0) {
        client->polled_fd = -1;
        return;
    }
    if (fd == client->polled_fd && events == client->polled_events && link_ready(client->link)) {
        return;
    }
    struct epoll_event event = {.events = ((events & POLLIN) != 0 ? EPOLLIN : 0u) |
                                          ((events & POLLOUT) != 0 ? EPOLLOUT : 0u)};
    /* A descriptor that was closed has left by itself, and its number may be another's now. */
    if (epoll_ctl(client->poll_fd, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT) {
        (void)epoll_ctl(client->poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
    client->polled_fd = fd;
    client->polled_events = events;
}

static void set_timer(struct seriatim_client *client)
{
    const uint64_t link_ms = link_deadline_ms(client->link);
    const uint64_t agent_ms =
        link_ready(client->link) ? agent_deadline_ms(&client->agent) : NEVER_MS;
    const uint64_t due = client->failed ? NEVER_MS : link_ms < agent_ms ? link_ms : agent_ms;
    /* An earlier ring than is needed costs a turn; setting it each turn costs a call. */
    if (due >= client->timer_ms && client->timer_ms > client->now_ms) {
        return;
    }
    client->timer_ms = due;
    struct itimerspec when = {0};
    if (due != NEVER_MS) {
        when.it_value.tv_sec = (time_t)(due / 1000u);
        when.it_value.tv_nsec = (long)(due % 1000u) * 1000000 + 1; /* 0 would mean never */
    }
    (void)timerfd_settime(client->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void drain(int fd)
{
    uint64_t count;
    (void)!read(fd, &count, sizeof(count));
}

/* Sleeps only if there is nothing to do: what comes behind this rings the bell. */
static void go_to_sleep(struct seriatim_client *client)
{
    doorbell_arm(&client->bell);
    if (client->more || !intake_empty(&client->intake)) {
        sdk_wake(client);
    }
}

static void turn(struct seriatim_client *client)
{
    client->now_ms = sdk_now_ms();
    doorbell_disarm(&client->bell);
    drain(client->wake_fd);
    if (client->now_ms >= client->timer_ms) {
        drain(client->timer_fd);
    }
    if (!client->failed) {
        receive(client);
        agent_step(&client->agent, client->now_ms);
    }
    sdk_take_published(client);
    client->more = false;
    if (!client->failed) {
        send_some(client);
    }
    if (client->failed) {
        link_cut(client->link, client->now_ms, NEVER_MS / 2); /* nobody turns it any more */
    }
    watch_link(client);
    set_timer(client);
    if (client->moved) {
        client->moved = false;
        gate_raise(&client->taken, intake_taken(&client->intake));
    }
    go_to_sleep(client);
}

int seriatim_client_fd(const struct seriatim_client *client)
{
    return client->poll_fd;
}

enum seriatim_status seriatim_client_turn(struct seriatim_client *client)
{
    ASSERT(!client->has_thread); /* which turns it itself */
    sdk_turn_begin(client);
    turn(client);
    const bool failed = client->failed;
    sdk_turn_end(client);
    return failed ? SERIATIM_CLOSED : SERIATIM_OK;
}

/* ---- a beginning --------------------------------------------------------------------------- */

static enum seriatim_status status_of(enum rc rc)
{
    switch (rc) {
    case RC_OK: return SERIATIM_OK;
    case RC_NOMEM: return SERIATIM_NOMEM;
    case RC_LOCKED: return SERIATIM_LOCKED;
    case RC_CORRUPT:
    case RC_USAGE: return SERIATIM_CORRUPT;
    case RC_AGAIN:
    case RC_FULL:
    case RC_UNAVAILABLE:
    case RC_BAD:
    case RC_TOO_LARGE:
    case RC_PROTOCOL:
    case RC_UTF8:
    case RC_CLOSED:
    case RC_IO:
    case RC_NOSPACE:
    case RC_NOT_FOUND:
    case RC_EXISTS:
    case RC_DENIED:
    case RC_END: return SERIATIM_DISK;
    case RC_COUNT: break;
    }
    UNREACHABLE();
}

static uint64_t random_number(void)
{
    uint64_t value = 0;
    const ssize_t got = getrandom(&value, sizeof(value), 0);
    ASSERT(got == (ssize_t)sizeof(value)); /* 8 bytes are never cut short */
    return value;
}

/* What is wrong with the options; NULL: nothing. */
static const char *find_fault(const struct seriatim_client_options *o)
{
    if (o->endpoint_count < 1 || o->endpoint_count > ENDPOINTS_MAX || o->endpoints == NULL) {
        return "1 to 16 endpoints are needed";
    }
    if (o->codec != SERIATIM_BINARY && o->codec != SERIATIM_JSON) {
        return "there is no such codec";
    }
    if (o->producer != NULL && !wire_channel_name_valid(bytes_of_text(o->producer))) {
        return "a producer is 1 to 255 bytes of UTF-8 without control characters";
    }
    if (o->outbox_bytes > SDK_OUTBOX_MAX) {
        return "outbox_bytes is at most 128 MiB";
    }
    if (o->message_bytes > MESSAGE_BYTES_MAX || o->message_bytes > o->outbox_bytes) {
        return "message_bytes is at most 16 MiB, and at most outbox_bytes";
    }
    if (o->batch_messages > BATCH_MESSAGES_MAX) {
        return "batch_messages is at most 1000";
    }
    return o->producer_epoch > WIRE_INTEGER_MAX ? "producer_epoch is at most 2^53 - 1" : NULL;
}

static void set_defaults(struct seriatim_client_options *o)
{
    o->outbox_bytes = o->outbox_bytes == 0 ? SDK_OUTBOX_BYTES : o->outbox_bytes;
    if (o->message_bytes == 0) {
        o->message_bytes =
            o->outbox_bytes < MESSAGE_BYTES_DEFAULT ? o->outbox_bytes : MESSAGE_BYTES_DEFAULT;
    }
    o->batch_messages = o->batch_messages == 0 ? BATCH_MESSAGES_MAX : o->batch_messages;
    o->publish_window = o->publish_window == 0 ? SDK_PUBLISH_WINDOW : o->publish_window;
}

static enum seriatim_status parse_urls(struct seriatim_client *client, const char **ret_why)
{
    const struct seriatim_client_options *o = &client->options;
    client->urls = mem_calloc(o->endpoint_count, sizeof(*client->urls));
    if (client->urls == NULL) {
        return SERIATIM_NOMEM;
    }
    for (size_t i = 0; i < o->endpoint_count; i++) {
        if (o->endpoints[i] == NULL ||
            client_url_parse(o->endpoints[i], &client->urls[i], ret_why) != RC_OK) {
            return SERIATIM_BAD;
        }
    }
    return SERIATIM_OK;
}

/* The descriptors; client_free() closes those that are there. */
static enum seriatim_status open_descriptors(struct seriatim_client *client)
{
    struct epoll_event event = {.events = EPOLLIN};
    client->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    client->wake_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* the first turn is due */
    client->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    const bool good = client->poll_fd >= 0 && client->wake_fd >= 0 && client->timer_fd >= 0 &&
                      epoll_ctl(client->poll_fd, EPOLL_CTL_ADD, client->wake_fd, &event) == 0 &&
                      epoll_ctl(client->poll_fd, EPOLL_CTL_ADD, client->timer_fd, &event) == 0;
    return good ? SERIATIM_OK : SERIATIM_SYSTEM;
}

static enum rc open_outbox(struct seriatim_client *client)
{
    const struct seriatim_client_options *o = &client->options;
    const bool named = o->producer != NULL;
    if (named) {
        (void)snprintf(client->producer, sizeof(client->producer), "%s", o->producer);
    } else {
        (void)snprintf(client->producer, sizeof(client->producer), "p-%016" PRIx64,
                       random_number());
    }
    client->producer_epoch = o->producer_epoch == 0 ? 1 : o->producer_epoch;
    if (o->outbox == NULL) {
        return RC_OK;
    }
    enum rc rc = disk_open(o->outbox, &client->disk, NULL);
    if (rc == RC_OK) {
        rc = disk_lock(client->disk);
    }
    return rc == RC_OK ? sdk_recover(client, named || o->producer_epoch > 0) : rc;
}

static enum rc open_link(struct seriatim_client *client)
{
    const struct link_options options = {
        .url = client->urls[0],
        .producer = client->producer,
        .producer_epoch = client->producer_epoch,
        .others = client->urls + 1,
        .other_count = client->options.endpoint_count - 1,
        .token = client->options.token == NULL ? NULL : ask_token,
        .codec = client->codec,
        .cumulative = true,
        .take = take,
        .ctx = client,
    };
    return link_open(&options, random_number(), sdk_now_ms(), &client->link);
}

/* ---- running ------------------------------------------------------------------------------- */

static bool is_flushed(const struct seriatim_client *client)
{
    return outbox_count(&client->agent.outbox) == 0 && intake_empty(&client->intake);
}

/* Under the lock. */
static bool is_over(const struct seriatim_client *client)
{
    return stats_flag_get(&client->closing) &&
           (is_flushed(client) || client->failed || sdk_now_ms() >= client->close_at_ms);
}

static void wait_turn(struct seriatim_client *client, uint64_t until_ms)
{
    const uint64_t now = sdk_now_ms();
    const uint64_t left = until_ms > now ? until_ms - now : 0;
    struct pollfd fd = {.fd = client->poll_fd, .events = POLLIN};
    (void)poll(&fd, 1, until_ms == NEVER_MS ? -1 : left < 60000u ? (int)left : 60000);
}

/* Turns until it is to end. */
static void run(struct seriatim_client *client)
{
    bool over = false;
    uint64_t until = NEVER_MS;
    for (;;) {
        sdk_turn_begin(client);
        turn(client);
        over = is_over(client);
        until = stats_flag_get(&client->closing) ? client->close_at_ms : NEVER_MS;
        sdk_turn_end(client);
        if (over) {
            return;
        }
        wait_turn(client, until);
    }
}

static void *run_thread(void *ctx)
{
    run(ctx);
    return NULL;
}

static void client_free(struct seriatim_client *client)
{
    size_t at = 0;
    struct agent_sub *sub;
    link_close(client->link);
    if (client->agent.options_.ops != NULL) { /* else it never began */
        while ((sub = agent_next_sub(&client->agent, &at)) != NULL) {
            mem_free(sub->user);
        }
        sdk_forget_asks(client);
        agent_deinit(&client->agent);
    }
    journal_close(client->journal);
    disk_close(client->disk);
    intake_deinit(&client->intake);
    for (int *fd = (int[]){client->poll_fd, client->wake_fd, client->timer_fd, -2}; *fd != -2;
         fd++) {
        if (*fd >= 0) {
            (void)close(*fd);
        }
    }
    buf_deinit(&client->out);
    mem_free(client->staged);
    mem_free(client->urls);
    mem_free(client);
}

/* What was published and not taken: its memory, and nobody to tell. */
static void drop_intake(struct seriatim_client *client)
{
    client->failed = true; /* nothing is sent any more */
    while (!intake_empty(&client->intake)) {
        sdk_take_published(client);
    }
}

/* What may fail, in order; client_free() undoes whatever was done. */
static enum seriatim_status set_up(struct seriatim_client *client, const char **ret_why)
{
    enum seriatim_status status = parse_urls(client, ret_why);
    const struct agent_options agent = {
        .codec = client->codec,
        .publish_window = client->options.publish_window,
        .batch_max = client->options.batch_messages,
        .seed = random_number(),
        .ops = &sdk_agent_ops,
        .outbox_ops = &sdk_outbox_ops,
        .asks_ops = &sdk_asks_ops,
        .ctx = client,
    };
    enum rc rc = agent_init(&client->agent, &agent);
    budget_init(&client->budget, client->options.outbox_bytes);
    client->rewrite_bytes = tune.rewrite_bytes;
    client->timer_ms = NEVER_MS;
    client->polled_fd = -1;
    if (status == SERIATIM_OK && rc == RC_OK) {
        status = open_descriptors(client);
    }
    if (status == SERIATIM_OK && rc == RC_OK) {
        client->staged = mem_calloc(tune.staged_count, sizeof(*client->staged));
        rc = client->staged == NULL ? RC_NOMEM : intake_init(&client->intake, tune.intake_bytes);
    }
    if (status == SERIATIM_OK && rc == RC_OK) {
        rc = open_outbox(client);
    }
    if (status == SERIATIM_OK && rc == RC_OK) {
        rc = open_link(client);
    }
    return status == SERIATIM_OK ? status_of(rc) : status;
}

/* The gate, the mutexes and the thread: what is there only if all of it is. */
static enum seriatim_status start(struct seriatim_client *client)
{
    if (!gate_init(&client->taken)) {
        return SERIATIM_SYSTEM;
    }
    doorbell_init(&client->bell);
    (void)pthread_mutex_init(&client->next, NULL); /* default ones cannot fail */
    (void)pthread_mutex_init(&client->turning, NULL);
    if (!client->has_thread) {
        return SERIATIM_OK;
    }
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all); /* signals are the program's, not ours */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&client->thread, NULL, run_thread, client);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        gate_deinit(&client->taken);
        return SERIATIM_SYSTEM;
    }
    return SERIATIM_OK;
}

enum seriatim_status seriatim_client_new(const struct seriatim_client_options *options,
                                         struct seriatim_client **ret_client, const char **ret_why)
{
    const char *why = NULL;
    struct seriatim_client *client = mem_calloc_lines(1, sizeof(*client));
    enum seriatim_status status = client == NULL ? SERIATIM_NOMEM : SERIATIM_OK;
    if (status == SERIATIM_OK) {
        const size_t known = sizeof(client->options);
        client->poll_fd = client->wake_fd = client->timer_fd = -1;
        bytes_copy(&client->options, options, options->size < known ? options->size : known);
        set_defaults(&client->options);
        client->codec = client->options.codec == SERIATIM_JSON ? WIRE_JSON : WIRE_BINARY;
        client->has_thread = client->options.thread;
        why = find_fault(&client->options);
        status = why == NULL ? set_up(client, &why) : SERIATIM_BAD;
    }
    if (status == SERIATIM_OK) {
        status = start(client);
    }
    if (ret_why != NULL) {
        *ret_why = why;
    }
    if (status == SERIATIM_OK) {
        *ret_client = client;
    } else if (client != NULL) {
        client_free(client);
    }
    return status;
}

enum seriatim_status seriatim_client_close(struct seriatim_client *client, uint64_t flush_ms)
{
    if (client == NULL) {
        return SERIATIM_OK;
    }
    const uint64_t now = sdk_now_ms();
    sdk_lock(client);
    client->close_at_ms = flush_ms < NEVER_MS - now ? now + flush_ms : NEVER_MS;
    stats_flag_set(&client->closing, true);
    sdk_unlock(client);
    if (client->has_thread) {
        const uint64_t one = 1;
        (void)!write(client->wake_fd, &one, sizeof(one));
        (void)pthread_join(client->thread, NULL);
    } else {
        run(client);
    }
    sdk_turn_begin(client);
    drop_intake(client);
    const bool flushed = is_flushed(client);
    sdk_turn_end(client);
    gate_deinit(&client->taken);
    (void)pthread_mutex_destroy(&client->turning);
    (void)pthread_mutex_destroy(&client->next);
    client_free(client);
    return flushed ? SERIATIM_OK : SERIATIM_TIMEOUT;
}
