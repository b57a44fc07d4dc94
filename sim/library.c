#include "sim/library.h"

#include "base/mem.h"
#include "sdk/private.h"
#include "sim/faults.h"
#include "sim/heap.h"
#include "sim/trace.h"

#include <stdio.h>
#include <string.h>

#define EPOCHS_LEFT 10u /* for those that are needed */

/* ---- its end --------------------------------------------------------------------------------- */

/* The client is gone. */
static void down(struct process *process, const char *how)
{
    struct library *library = process->library;
    trace("l%u e%u: %s", library->producer, process->epoch, how);
    process->client = NULL;
    process->closing = false;
    process->failed = false;
    process->no_disk = false;
    library_outbox_down(process);
    if (process == library->now) {
        library_follows_down(library);
        library->up_us = sim_now_us + sim_below(clients_calm ? 10000 : 3000000);
    }
}

static enum sim_loss draw_loss(void)
{
    return sim_chance(60) ? SIM_LOSE_SOME : SIM_LOSE_EVERYTHING;
}

static void die(struct process *process, enum sim_loss loss)
{
    if (process->client != NULL && sdk_in_turn(process->client)) {
        sdk_turn_end(process->client); /* the thread lives on here */
        process->doubtful = true;
    }
    machine_kill(process->machine, loss);
    down(process, loss == SIM_LOSE_LATER ? "is killed" : "is gone, with its machine");
}

bool process_call(struct process *process, void (*part)(void *ctx), void *ctx)
{
    const bool lives = machine_run(process->machine, part, ctx);
    if (!lives) {
        die(process, sim_chance(20) ? SIM_LOSE_LATER : draw_loss());
    }
    return lives;
}

struct closing {
    struct process *process;
    enum seriatim_status status;
};

static void close_part(void *ctx)
{
    struct closing *closing = ctx;
    closing->status = seriatim_client_close(closing->process->client, 0);
}

/* It must leave nothing, and say whether anything is left in its outbox. */
static void close_in_order(struct process *process)
{
    struct closing closing = {.process = process};
    process->closing = true;
    if (!process_call(process, close_part, &closing)) {
        return;
    }
    const unsigned pending = library_pending_all(process);
    const char *left = machine_left_over(process->machine);
    if (left != NULL) {
        trace_fail("client bounded", "l%u: %s is left of a client that was closed",
                   process->library->producer, left);
    }
    if (closing.status != (pending == 0 ? SERIATIM_OK : SERIATIM_TIMEOUT)) {
        trace_fail("client publish", "l%u: a close with %u pending says: %s",
                   process->library->producer, pending, seriatim_status_text(closing.status));
    }
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        process->lines[c].durable = process->lines[c].made;
    }
    down(process, "is closed");
}

static void process_close(struct process *process)
{
    if (process->client != NULL) {
        close_in_order(process);
    }
    machine_close(process->machine);
    mem_free(process);
}

/* ---- its beginning --------------------------------------------------------------------------- */

static void wake(void *ctx)
{
    struct library *library = ctx;
    const uint64_t soon = sim_now_us + 1 + sim_below(500);
    const uint64_t at = soon > library->paused_us ? soon : library->paused_us;
    library->client.next_us = at < library->client.next_us ? at : library->client.next_us;
}

static struct process *process_open(struct library *library)
{
    static const uint64_t sizes[] = {1000, 3000, 10000, 64u << 20};
    struct process *process = mem_calloc(1, sizeof(*process));
    ASSERT(process != NULL && library->epoch_highest + 1 < EPOCHS_MAX);
    process->library = library;
    process->epoch = ++library->epoch_highest;
    process->has_file = sim_chance(70);
    process->outbox_bytes = sizes[sim_below(4)];
    process->machine = machine_open(sim_below(UINT32_MAX), wake, library);
    return process;
}

static void on_connection(void *user, enum seriatim_connection connection, const char *why)
{
    struct process *process = user;
    static const char *const words[] = {"connects", "is connected", "is told goaway", "gives up"};
    const enum heap_owner owner = heap_owner_set(HEAP_WORLD);
    trace("l%u e%u: %s %s", process->library->producer, process->epoch, words[connection], why);
    if (connection == SERIATIM_FAILED) {
        process->failed = true;
        const bool fenced = process->epoch < process->library->epoch_highest;
        if (!process->doubtful && !fenced && !machine_disk_failed(process->machine)) {
            trace_fail("client liveness", "l%u gives up: %s", process->library->producer, why);
        }
        process->doubtful = true;
    }
    (void)heap_owner_set(owner);
}

struct starting {
    struct process *process;
    struct seriatim_client_options options;
    enum seriatim_status status;
    const char *why;
};

static void start_part(void *ctx)
{
    struct starting *s = ctx;
    s->status = seriatim_client_new(&s->options, &s->process->client, &s->why);
}

static void draw_options(struct process *process, struct seriatim_client_options *o)
{
    static const uint32_t windows[] = {1, 5, 0};
    static const uint32_t batches[] = {1, 3, 0};
    o->codec = sim_chance(50) ? SERIATIM_BINARY : SERIATIM_JSON;
    o->outbox = process->has_file ? "outbox" : NULL;
    o->outbox_bytes = process->outbox_bytes;
    o->publish_window = windows[sim_below(3)];
    o->batch_messages = batches[sim_below(3)];
    if (process->has_file && process->began && sim_chance(30)) {
        o->producer = NULL; /* the file knows */
        o->producer_epoch = 0;
    }
}

static void start_failed(struct process *process, const struct starting *s)
{
    const bool excused = machine_disk_failed(process->machine) && s->status == SERIATIM_DISK;
    const char *left = machine_left_over(process->machine);
    if (!excused) {
        trace_fail("client outbox", "l%u: it cannot begin: %s %s", process->library->producer,
                   seriatim_status_text(s->status), s->why == NULL ? "" : s->why);
    }
    if (left != NULL) {
        trace_fail("client bounded", "l%u: %s is left of a client that did not begin",
                   process->library->producer, left);
    }
    down(process, "cannot begin");
}

static void started(struct process *process, const char *producer)
{
    struct library *library = process->library;
    process->began = true;
    process->fd = seriatim_client_fd(process->client);
    if (strcmp(seriatim_client_producer(process->client), producer) != 0 ||
        seriatim_client_producer_epoch(process->client) != process->epoch) {
        trace_fail("client outbox", "l%u: it is %s now, epoch %llu", library->producer,
                   seriatim_client_producer(process->client),
                   (unsigned long long)seriatim_client_producer_epoch(process->client));
    }
    if (process->has_file) {
        library_outbox_up(process);
    }
}

static void start(struct process *process)
{
    struct library *library = process->library;
    char names[MACHINE_ADDRESSES_MAX][24];
    const char *endpoints[MACHINE_ADDRESSES_MAX];
    char producer[16];
    (void)snprintf(producer, sizeof(producer), "p%u", library->producer);
    for (unsigned i = 0; i < clients_plan.addresses; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "ws://sim:%u", i + 1);
        endpoints[i] = names[i];
    }
    struct starting s = {
        .process = process,
        .options = {.size = sizeof(s.options),
                    .endpoints = endpoints,
                    .endpoint_count = clients_plan.addresses,
                    .producer = producer,
                    .producer_epoch = process->epoch,
                    .user = process,
                    .on_published = library_on_published,
                    .on_connection = on_connection},
    };
    draw_options(process, &s.options);
    trace("l%u e%u: starts, %s, outbox %s of %llu bytes, window %u, batches of %u",
          library->producer, process->epoch, s.options.codec == SERIATIM_JSON ? "json" : "binary",
          process->has_file ? "on disk" : "in memory", (unsigned long long)process->outbox_bytes,
          (unsigned)s.options.publish_window, (unsigned)s.options.batch_messages);
    if (fault_happens(FAULT_CLIENT_DIES_STARTING)) {
        machine_die_writing(process->machine, sim_between(1, 8));
    }
    if (!process_call(process, start_part, &s)) {
        return;
    }
    if (s.status == SERIATIM_OK) {
        started(process, producer);
    } else {
        start_failed(process, &s);
    }
}

/* A producer's new epoch: what the old one had is worth nothing any more. */
static void renew(struct library *library)
{
    process_close(library->now);
    library->now = process_open(library);
    library->up_us = sim_now_us;
}

/* Whether its numbers cannot go on. */
static bool is_spent(const struct process *process)
{
    return library_has_ended(process) ||
           (process->client == NULL && process->began && !process->has_file);
}

/* ---- acting ---------------------------------------------------------------------------------- */

static void turn_part(void *ctx)
{
    struct closing *turning = ctx;
    turning->status = seriatim_client_turn(turning->process->client);
}

static void turn(struct process *process)
{
    struct closing turning = {.process = process};
    if (fault_happens(FAULT_CLIENT_DIES_WRITING)) {
        machine_die_writing(process->machine, sim_between(1, 4));
    }
    if (fault_happens(FAULT_CLIENT_DIES_SENDING)) {
        machine_die_sending(process->machine, sim_between(1, 3));
    }
    if (!process_call(process, turn_part, &turning)) {
        return;
    }
    if ((turning.status == SERIATIM_CLOSED) != process->failed) {
        trace_fail("client liveness", "l%u: a turn says: %s", process->library->producer,
                   seriatim_status_text(turning.status));
    }
    library_outbox_check(process);
}

/* Another process begins with a higher epoch, and this one knows nothing of it. */
static void take_over(struct library *library)
{
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX && library->now->client != NULL; c++) {
        library_unsubscribe(library->now, &library->follows[c]);
    }
    library->old = library->now;
    library->old_until_us = sim_now_us + sim_below(20000000);
    library->now = process_open(library);
    library->up_us = sim_now_us + sim_below(1000000);
}

/* What may happen to a process that runs. */
static void live_on(struct library *library)
{
    struct process *process = library->now;
    const bool epochs = library->epoch_highest + EPOCHS_LEFT < EPOCHS_MAX;
    if (!process->has_file && !epochs) {
        return;
    }
    if (fault_happens(FAULT_CLIENT_KILL)) {
        die(process, SIM_LOSE_LATER);
    } else if (fault_happens(FAULT_CLIENT_POWER)) {
        die(process, draw_loss());
    } else if (fault_happens(FAULT_CLIENT_STOP)) {
        close_in_order(process);
    } else if (library->old == NULL && epochs && fault_happens(FAULT_CLIENT_FENCED)) {
        take_over(library);
    } else if (fault_happens(FAULT_CLIENT_PAUSE)) {
        library->paused_us = sim_now_us + sim_below(8000000);
    }
}

static void publish_some(struct library *library)
{
    const unsigned channel = (unsigned)sim_below(clients_plan.channels);
    struct process *process = library->now;
    for (uint64_t left = sim_between(1, sim_chance(20) ? 12 : 2); left > 0; left--) {
        if (process->lines[channel].made < clients_plan.messages_max &&
            library_pending(process, channel) < 30) {
            library_publish(process, channel);
        }
    }
}

static void subscribe_some(struct library *library)
{
    struct follow *follow = &library->follows[sim_below(clients_plan.channels)];
    if (follow->sub == NULL) {
        library_subscribe(library->now, follow);
    } else if (fault_happens(FAULT_FLAPPING)) {
        library_unsubscribe(library->now, follow);
    }
}

/* What its application does by itself. */
static void act_itself(struct library *library)
{
    struct process *process = library->now;
    if (is_spent(process)) {
        renew(library);
        return;
    }
    if (process->client == NULL) {
        if (sim_now_us >= library->up_us) {
            start(process);
        }
        return;
    }
    if (process->failed || process->no_disk) {
        close_in_order(process);
        return;
    }
    if (library->publishes && !clients_calm) {
        publish_some(library);
    }
    if (library->subscribes) {
        subscribe_some(library);
    }
    if (!clients_calm) {
        live_on(library);
    }
}

static void turn_if_ready(struct process *process)
{
    if (process != NULL && process->client != NULL &&
        (machine_ready(process->machine, process->fd) || (!clients_calm && sim_chance(3)))) {
        turn(process);
    }
}

static uint64_t next_of(const struct process *process)
{
    if (process == NULL || process->client == NULL) {
        return UINT64_MAX;
    }
    return machine_ready(process->machine, process->fd) ? sim_now_us + 1 + sim_below(300)
                                                        : machine_due_us(process->machine);
}

static void act(struct client *client)
{
    struct library *library = (struct library *)client;
    library->paused_us = clients_calm ? 0 : library->paused_us;
    if (sim_now_us < library->paused_us) {
        client->next_us = library->paused_us;
        return;
    }
    if (library->old != NULL && (clients_calm || library->old->client == NULL ||
                                 library->old->failed || sim_now_us >= library->old_until_us)) {
        process_close(library->old);
        library->old = NULL;
    }
    if (sim_now_us >= library->act_us || clients_calm) {
        library->act_us = sim_now_us + 1 + sim_below(clients_calm ? 10000 : clients_plan.think_us);
        act_itself(library);
    }
    if (library->old != NULL && library->publishes && sim_chance(20)) {
        library_publish(library->old, (unsigned)sim_below(clients_plan.channels));
    }
    turn_if_ready(library->now);
    turn_if_ready(library->old);
    const uint64_t now_us = next_of(library->now);
    const uint64_t old_us = next_of(library->old);
    uint64_t next_us = now_us < old_us ? now_us : old_us;
    next_us = library->act_us < next_us ? library->act_us : next_us;
    client->next_us = next_us > library->paused_us ? next_us : library->paused_us;
}

static bool settled(const struct client *client)
{
    const struct library *library = (const struct library *)client;
    const struct process *process = library->now;
    return library->old == NULL && process->client != NULL && !process->failed &&
           !is_spent(process) && library_pending_all(process) == 0 &&
           library_follows_settled(library);
}

static void library_close(struct client *client)
{
    struct library *library = (struct library *)client;
    for (unsigned c = 0; clients_calm && settled(client) && c < clients_plan.channels; c++) {
        owed_check(&library->follows[c].owed, c);
    }
    if (library->old != NULL) {
        process_close(library->old);
    }
    process_close(library->now);
    mem_free(library);
}

struct client *library_open(unsigned number, unsigned producer)
{
    static const struct client_ops ops = {.act = act, .settled = settled, .close = library_close};
    struct library *library = mem_calloc(1, sizeof(*library));
    ASSERT(library != NULL);
    library->client = (struct client){.ops = &ops, .number = number};
    library->producer = producer;
    library->publishes = sim_chance(85);
    library->subscribes = !library->publishes || sim_chance(75);
    for (unsigned c = 0; c < PLAN_CHANNELS_MAX; c++) {
        library->follows[c] = (struct follow){.library = library, .channel = c};
    }
    library->now = process_open(library);
    return &library->client;
}
