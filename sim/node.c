#include "sim/node.h"

#include "base/mem.h"
#include "io/boot.h"
#include "io/ram_disk.h"
#include "server/datadir.h"
#include "server/host_private.h"
#include "server/logger.h"
#include "server/peers.h"
#include "server/server_private.h"
#include "sim/disk.h"
#include "sim/faults.h"
#include "sim/heap.h"
#include "sim/model.h"
#include "sim/net.h"
#include "sim/rot.h"
#include "sim/steps.h"
#include "sim/trace.h"
#include "sim/watch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX    4u
#define PARTITIONS_MAX 4u
#define STATES_KEPT    256u
#define WORKERS_MAX    (THREADS_MAX + 2u)

/* As in server.c. */
#define GOAWAY_GRACE_US 500000u
#define CLOSE_GRACE_US  500000u
#define DRAIN_US        10000000u

struct turns {
    bool begun;
    bool ended;
    uint64_t wake_us;
    uint64_t paused_us; /* until then */
};

static struct {
    enum node_state state;
    struct server *server;
    struct config config;
    struct datadir dir;
    unsigned hosts_open;
    unsigned reactors_ready;
    struct turns turns[THREADS_MAX];
    struct worker *workers[WORKERS_MAX];
    unsigned worker_count;
    uint64_t worker_us[WORKERS_MAX]; /* busy or paused until then */
    unsigned drained;
    bool drained_all;
    uint64_t since_us;    /* of the state */
    struct ram_disk *ram; /* durability memory */
    uint64_t boot_count;
    unsigned power_count; /* boots of the machine */
    struct {
        uint64_t pos;
        uint64_t hash;
    } states[PARTITIONS_MAX][STATES_KEPT]; /* by position; all zero: none */
    bool showed_unsynced;                  /* some run so far */
    uint64_t sync_failures;                /* that the last start knew of */
    bool repair;                           /* the next start is with --repair */
    bool cut[PARTITIONS_MAX];              /* this start has gone through damage there */
    bool told;                             /* … or has told of damage */
    uint64_t crashes;                      /* of runs that had begun */
    bool unsynced; /* a run since the last one, or stop, did not sync what it showed */
} node;

static uint64_t mono_ns(void *ctx)
{
    (void)ctx;
    return sim_now_us * 1000;
}

static uint64_t wall_ms(void *ctx)
{
    (void)ctx;
    return sim_wall_ms();
}

static const struct clock node_clock = {.mono_ns = mono_ns, .wall_ms = wall_ms};

/* ---- the log of events (in place of server/logger.c) ------------------------------------------
 */

/* [P18] Damage is told by file and byte, and only where there is some. */
static void on_damage_told(bool cut, const struct log_field *fields, size_t field_count)
{
    const char *file = NULL;
    bool has_at = false;
    for (size_t i = 0; i < field_count; i++) {
        file = strcmp(fields[i].key, "file") == 0 ? fields[i].value.text : file;
        has_at = has_at || strcmp(fields[i].key, "at") == 0;
    }
    if (file == NULL || !has_at || !rot_explains(file)) {
        trace_fail("P18 damage", "%s is told to be damaged, and nothing is",
                   file == NULL ? "no file" : file);
    }
    node.told = true;
    /* A start that begins further back goes through holes that the state so far did not know of. */
    const unsigned partition = (unsigned)(file[3] - '0');
    if (node.state == NODE_DOWN && ((cut && node.config.repair) || rot_log(partition))) {
        node.cut[partition] = true;
    }
}

bool log_enabled(enum log_level level)
{
    (void)level;
    return true;
}

void log_event_fields(enum log_level level, const char *event, const struct log_field *fields,
                      size_t field_count)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    char line[LOG_LINE_BYTES_MAX];
    size_t size = 0;
    for (size_t i = 0; i < field_count && size < 300; i++) {
        const struct log_field *field = &fields[i];
        const char *text =
            field->type == LOG_FIELD_TEXT && field->value.text != NULL ? field->value.text : "";
        if (field->type == LOG_FIELD_U64) {
            size += (size_t)snprintf(line + size, 100, " %s=%llu", field->key,
                                     (unsigned long long)field->value.u64);
        } else if (field->type == LOG_FIELD_TEXT) {
            size += (size_t)snprintf(line + size, 200, " %s=%.80s", field->key, text);
        }
    }
    line[size] = '\0';
    trace("server %s: %s%s", levels[level], event, line);
    if (strcmp(event, "damaged log") == 0 || strcmp(event, "damage cut out") == 0) {
        on_damage_told(strcmp(event, "damage cut out") == 0, fields, field_count);
    }
}

/* ---- start ----------------------------------------------------------------------------------- */

void node_begin(void)
{
    node.state = NODE_DOWN;
    node.server = NULL;
    node.worker_count = 0;
    node.ram = NULL;
    node.boot_count = 0;
    node.power_count = 0;
    node.unsynced = false;
    node.sync_failures = 0;
    node.showed_unsynced = false;
    node.repair = false;
    node.crashes = 0;
    bytes_zero(node.states, sizeof(node.states));
}

enum node_state node_state(void)
{
    return node.state;
}

static void state_move(enum node_state next)
{
    node.state = next;
    node.since_us = sim_now_us;
}

static void config_set(const struct plan *plan)
{
    struct config *config = &node.config;
    tune = plan->tune;
    const enum rc rc = config_defaults(config);
    ASSERT(rc == RC_OK);
    config->repair = node.repair;
    config->threads = plan->threads;
    config->partitions = plan->partitions;
    config->node = 1;
    config->durability = (enum config_durability)plan->durability;
    config->segment_bytes = plan->segment_bytes;
    config->feed_bytes = plan->feed_bytes;
    config->retention_messages = plan->retention_messages;
    config->retention_bytes = plan->retention_bytes;
    config->retention_age_ms = plan->retention_age_ms;
    config->producer_expiry_ms = plan->producer_expiry_ms;
    config->limit_inflight = plan->inflight;
    if (plan->message_bytes > 0) {
        config->limit_message_bytes = plan->message_bytes;
    }
    config->limit_connections_per_ip = 40;
    config->deflate_mode = (enum config_deflate)plan->deflate;
    config->deflate_window_bits = plan->deflate_bits;
    config->deflate_memory_level = 1;
    config->deflate_min_bytes = plan->deflate_bytes;
    config->limit_deflate_bytes = plan->deflate_limit;
    if (plan->patience_ms > 0) {
        config->ping_interval_ms = plan->patience_ms;
        config->pong_timeout_ms = plan->patience_ms * 2;
        config->message_timeout_ms = plan->patience_ms * 2;
        config->write_timeout_ms = plan->patience_ms * 3;
    }
    /* Two of the hostile one's four; all of them where damage may cost the others theirs, who then
     * want them anew. */
    config->limit_channels = plan->channels + (rot_world() ? 4 : 2);
}

static enum rc workers_init(struct server *server)
{
    server->committers = mem_calloc(server->threads, sizeof(struct worker));
    if (server->committers == NULL) {
        return RC_NOMEM;
    }
    enum rc rc = worker_init(&server->reader, "reader", server->threads);
    node.workers[node.worker_count++] = &server->reader;
    if (rc == RC_OK) {
        rc = worker_init(&server->keeper, "keeper", server->threads);
        node.workers[node.worker_count++] = &server->keeper;
    }
    for (unsigned i = 0; rc == RC_OK && i < server->threads; i++) {
        rc = worker_init(&server->committers[i], "committer", 1);
        node.workers[node.worker_count++] = &server->committers[i];
    }
    for (unsigned i = 0; i < node.worker_count; i++) {
        node.worker_us[i] = 0;
    }
    return rc;
}

static enum rc reactors_init(struct server *server)
{
    server->reactors = mem_calloc(server->threads, sizeof(struct reactor));
    if (server->reactors == NULL) {
        return RC_NOMEM;
    }
    for (unsigned i = 0; i < server->threads; i++) {
        const enum rc rc = reactor_init(&server->reactors[i], server, i);
        node.reactors_ready++;
        if (rc != RC_OK) {
            return rc;
        }
        server->reactors[i].spare_fd = -1;
        node.turns[i] = (struct turns){0};
    }
    for (unsigned i = 0; i < server->partitions; i++) {
        server->reactors[server_owner_of(server, i)].hosts[i] = server->hosts[i];
    }
    server->reactors[0].listen.fd = NET_LISTEN_FD;
    return RC_OK;
}

static enum rc hosts_recover(struct server *server)
{
    server->hosts = mem_calloc(server->partitions, sizeof(struct host *));
    server->ready = mem_calloc(server->partitions, sizeof(struct stats_flag));
    if (server->hosts == NULL || server->ready == NULL) {
        return RC_NOMEM;
    }
    uint64_t tick_max = 0;
    for (unsigned i = 0; i < server->partitions; i++) {
        const enum rc rc = host_recover(server, i, node.dir.unclean, &server->hosts[i]);
        if (rc != RC_OK) {
            return rc;
        }
        node.hosts_open++;
        const uint64_t tick = host_tick_max(server->hosts[i]);
        tick_max = tick > tick_max ? tick : tick_max;
    }
    ticket_init(&server->ticks, tick_max + 1);
    return RC_OK;
}

/* In place of io/boot.c. */
void boot_id(char *to, size_t size)
{
    (void)snprintf(to, size, "boot-%u", node.power_count);
}

static enum rc storage_set(const struct plan *plan, struct server *server)
{
    if (plan->durability != DURABILITY_MEMORY) {
        server->storage = disk_storage_sim();
        return RC_OK;
    }
    const enum rc rc = ram_disk_open(&node.ram);
    if (rc == RC_OK) {
        server->storage = ram_disk_storage(node.ram);
    }
    return rc;
}

static enum rc server_open(const struct plan *plan)
{
    struct server *server = mem_calloc(1, sizeof(*server));
    if (server == NULL) {
        return RC_NOMEM;
    }
    node.server = server;
    server->config = &node.config;
    server->clock = &node_clock;
    server->threads = plan->threads;
    server->hash_seed = plan->seed * 31 + 7;
    server->salt_seed = plan->seed * 77 + ++node.boot_count;
    enum rc rc = storage_set(plan, server);
    if (rc != RC_OK) {
        return rc;
    }
    server->listen_fd = NET_LISTEN_FD;
    char why[200] = "";
    rc = datadir_open(&server->storage, &node.config, server->salt_seed, &node.dir, why,
                      sizeof(why));
    if (rc == RC_OK) {
        rc = datadir_check(&server->storage, &node.config, &node.dir, why, sizeof(why));
    }
    if (rc != RC_OK) {
        return rc;
    }
    server->incarnation = node.dir.incarnation;
    server->partitions = node.dir.partitions;
    rc = hosts_recover(server);
    if (rc == RC_OK) {
        rc = peers_open(server->hash_seed, &server->peers);
    }
    if (rc == RC_OK) {
        rc = mesh_init(&server->mesh, server->threads + 1);
    }
    if (rc == RC_OK) {
        rc = workers_init(server);
    }
    return rc == RC_OK ? reactors_init(server) : rc;
}

/* ---- what apply must come to, whoever applies --------------------------------------------------
 */

static uint64_t state_hash(const struct host *host)
{
    uint64_t hash = 0;
    const enum heap_owner owner = heap_owner_set(HEAP_WORLD);
    const enum rc rc = partition_state_hash(host->partition, &hash);
    (void)heap_owner_set(owner);
    ASSERT(rc == RC_OK);
    return hash;
}

/* What has been applied, by position. */
static void states_note(void)
{
    for (unsigned i = 0; i < node.server->partitions; i++) {
        const struct host *host = node.server->hosts[i];
        const uint64_t pos = partition_applied_pos(host->partition);
        if (pos > 0 && node.states[i][pos % STATES_KEPT].pos != pos) {
            node.states[i][pos % STATES_KEPT].pos = pos;
            node.states[i][pos % STATES_KEPT].hash = state_hash(host);
        }
    }
}

/* [P10, P11] A replay, from a checkpoint or from the start, comes to the same. What is behind its
 * end will be written anew. */
static void states_check(unsigned i)
{
    const uint64_t pos = file_log_next_pos(node.server->hosts[i]->log);
    for (unsigned k = 0; k < STATES_KEPT; k++) {
        if (node.states[i][k].pos == pos && pos > 0 &&
            node.states[i][k].hash != state_hash(node.server->hosts[i])) {
            trace_fail("P10 deterministic apply", "partition %u at position %llu has another state",
                       i, (unsigned long long)pos);
        }
        if (node.states[i][k].pos > pos) {
            node.states[i][k].pos = 0;
        }
    }
}

static void forget(void)
{
    if (node.config.durability == DURABILITY_MEMORY) {
        model_may_lose();
    }
    node.ram = NULL;
    node.server = NULL;
    node.worker_count = 0;
    node.hosts_open = 0;
    node.reactors_ready = 0;
    node.drained = 0;
    config_deinit(&node.config);
    state_move(NODE_DOWN);
}

static void spare_close(void)
{
    if (node.reactors_ready > 0 && node.server->reactors[0].spare_fd >= 0) {
        (void)close(node.server->reactors[0].spare_fd);
    }
}

static uint64_t sync_failures(void)
{
    const uint64_t *counts = fault_counts();
    return counts[FAULT_SYNC_FAILS] + counts[FAULT_SYNC_FAILS_EVER] +
           counts[FAULT_SYNC_LIES_FAILED] + counts[FAULT_SYNC_DIR_FAILS];
}

/* Without fsync a failed sync may have been for what was shown before it. */
static bool sync_has_failed(void)
{
    return node.showed_unsynced &&
           (sync_failures() > node.sync_failures || fault_counts()[FAULT_SYNC_FAILS_EVER] > 0);
}

/* Whether what this run has told may not be so in the next one, or is doubted there: the mark of an
 * unsynced segment outlasts the run that made it. The model takes epochs in the order in which they
 * are told; words of a run that arrive when the next one has spoken would be of a history that it
 * has buried. */
static bool may_have_lost(void)
{
    return node.showed_unsynced || node.config.durability == DURABILITY_MEMORY;
}

void node_crash(enum sim_loss loss)
{
    node.crashes += node.state != NODE_DOWN;
    if (node.server != NULL) {
        spare_close();
    }
    heap_drop(HEAP_SERVER);
    if (heap_has_failed()) {
        heap_fail_at(0); /* in this process's life */
    }
    net_server_gone(!may_have_lost() && !rot_world());
    if (loss != SIM_LOSE_NOTHING && loss != SIM_LOSE_LATER) {
        node.power_count++;
        if (node.unsynced) {
            model_may_lose();
        }
        node.unsynced = false;
    }
    disk_power_cycle(loss);
    (void)disk_time_taken();
    forget();
}

uint64_t node_crashes(void)
{
    return node.crashes;
}

void node_repair(void)
{
    node.repair = true;
}

/* What a start has cut out may begin new epochs, and what apply had come to there is another. */
static void cuts_note(void)
{
    for (unsigned i = 0; i < PARTITIONS_MAX; i++) {
        if (node.cut[i] || rot_goes_back(i)) {
            model_may_lose_in(i);
            bytes_zero(node.states[i], sizeof(node.states[i]));
        }
        node.cut[i] = false;
    }
}

/* Of a start that was refused for damage. */
static void damage_refused(void)
{
    if (!node.told || node.config.repair) {
        trace_fail("P18 damage", "a start %s ended with %s",
                   node.config.repair ? "with repair" : "that told of no damage",
                   rc_text(RC_CORRUPT));
    }
    trace("the operator is told of damage, and will repair");
    node.repair = true;
}

bool node_boot(const struct plan *plan, bool faults)
{
    ASSERT(node.state == NODE_DOWN);
    config_set(plan);
    (void)disk_has_failed();
    rot_before_start();
    node.told = false;
    if (sync_has_failed()) {
        model_may_lose();
    }
    node.sync_failures = sync_failures();
    enum rc rc = RC_NOMEM;
    heap_step();
    (void)heap_owner_set(HEAP_SERVER);
    if (setjmp(heap_crash) == 0) {
        rc = server_open(plan);
    }
    (void)heap_owner_set(HEAP_WORLD);
    (void)disk_time_taken(); /* nobody waits but who starts it */
    const bool failed = disk_has_failed() || heap_has_failed();
    const bool dead = sim_disk_is_dead(disk_inner());
    cuts_note();
    if (rc != RC_OK) {
        trace("server could not start: %s", rc_text(rc));
        if (rc == RC_CORRUPT && rot_world()) {
            damage_refused();
        } else if (!failed && !dead && !(faults && rc == RC_NOSPACE)) {
            trace_fail("I3 recovery", "a start without a fault ended with %s", rc_text(rc));
        }
        node_crash(dead ? SIM_LOSE_SOME : SIM_LOSE_NOTHING);
        return false;
    }
    for (unsigned i = 0; i < node.server->partitions; i++) {
        states_check(i);
    }
    node.repair = false;
    rot_started(node.config.repair);
    watch_begin();
    state_move(NODE_STARTING);
    net_listen(true);
    trace("server recovered, %u partitions, %u threads", node.server->partitions,
          node.server->threads);
    return true;
}

/* ---- the main thread ------------------------------------------------------------------------- */

static void broadcast(enum mail_kind kind)
{
    struct server *server = node.server;
    for (unsigned i = 0; i < server->threads; i++) {
        struct mail *mail = mail_new(kind, sizeof(*mail), (struct bytes){0}, NULL);
        if (mail == NULL) {
            mem_exhausted("the reactors cannot be told to stop");
        }
        mesh_send(&server->mesh, server_main_endpoint(server), i, mail);
    }
    (void)mesh_flush(&server->mesh, server_main_endpoint(server));
}

void node_stop(void)
{
    if (node.state != NODE_OPEN) {
        return;
    }
    trace("server: SIGTERM");
    /* An allocation that fails jumps to the frame that said where, so it must be this one. */
    if (setjmp(heap_crash) != 0) {
        (void)heap_owner_set(HEAP_WORLD);
        trace("server ended itself: out of memory");
        node_crash(SIM_LOSE_NOTHING);
        return;
    }
    heap_step();
    (void)heap_owner_set(HEAP_SERVER);
    stats_flag_set(&node.server->draining, true);
    broadcast(MAIL_DRAIN);
    (void)heap_owner_set(HEAP_WORLD);
    node.drained = 0;
    state_move(NODE_DRAINING);
}

const struct config *node_config(void)
{
    return &node.config;
}

static void count_drained(void)
{
    struct server *server = node.server;
    struct mail *mail;
    (void)mesh_step(&server->mesh, server_main_endpoint(server));
    while ((mail = mesh_receive(&server->mesh, server_main_endpoint(server))) != NULL) {
        node.drained += mail->kind == MAIL_DRAINED ? 1 : 0;
        mail_free(mail);
    }
}

/* All threads have ended; nothing of the server's memory may be left. */
static void server_close(void)
{
    struct server *server = node.server;
    spare_close();
    for (unsigned i = 0; i < node.reactors_ready; i++) {
        reactor_deinit(&server->reactors[i]);
    }
    for (unsigned i = 0; i < node.hosts_open; i++) {
        host_close(server->hosts[i]);
    }
    for (unsigned i = 0; i < node.worker_count; i++) {
        worker_deinit(node.workers[i]);
    }
    mesh_deinit(&server->mesh);
    peers_close(server->peers);
    mem_free(server->reactors);
    mem_free(server->committers);
    mem_free(server->hosts);
    mem_free(server->ready);
    mem_free(server);
    ram_disk_close(node.ram);
    net_server_gone(!may_have_lost() && !rot_world());
    disk_power_cycle(SIM_LOSE_NOTHING); /* the sync of all at a clean stop */
    const struct storage storage = disk_storage_sim();
    /* Where its mark could not be removed, a power failure makes it an unclean end. */
    node.unsynced = datadir_unmark(&storage) != RC_OK && node.unsynced;
    if (heap_blocks(HEAP_SERVER) != 0) {
        trace_fail("P22 no leak", "%llu blocks are left after an orderly stop",
                   (unsigned long long)heap_blocks(HEAP_SERVER));
    }
    forget();
    trace("server stopped");
}

static bool all_ended(void)
{
    for (unsigned i = 0; i < node.server->threads; i++) {
        if (!node.turns[i].ended) {
            return false;
        }
    }
    return true;
}

static void open_doors(struct server *server)
{
    /* A mark may be on disk although it could not be made to its end. */
    node.unsynced = node.unsynced || node.config.durability == DURABILITY_OS;
    node.showed_unsynced = node.showed_unsynced || node.unsynced;
    const enum rc rc = datadir_mark(&server->storage, &node.config);
    const bool readable = rc == RC_NOSPACE && node.config.durability == DURABILITY_FSYNC;
    if (readable) {
        model_may_lose(); /* the mark of the run before stays: if it ends badly, all is in doubt */
    }
    if (rc != RC_OK && !readable) {
        trace("server could not mark its run: %s", rc_text(rc));
        return; /* server.c ends here: so does the operator's patience, see sched.c */
    }
    stats_flag_set(&server->open, true);
    state_move(NODE_OPEN);
    trace("server open");
}

static uint64_t state_us(void)
{
    return sim_now_us - node.since_us;
}

static void main_step(void)
{
    struct server *server = node.server;
    switch (node.state) {
    case NODE_STARTING:
        if (stats_counter_get(&server->started) >= server->partitions) {
            open_doors(server);
        }
        return;
    case NODE_DRAINING:
        count_drained();
        if ((node.drained == server->threads && state_us() >= GOAWAY_GRACE_US) ||
            state_us() >= DRAIN_US) {
            node.drained_all = node.drained == server->threads;
            broadcast(MAIL_CLOSE);
            state_move(NODE_CLOSING);
        }
        return;
    case NODE_CLOSING:
        count_drained();
        if (stats_counter_get(&server->connections) == 0 || state_us() >= CLOSE_GRACE_US) {
            broadcast(MAIL_STOP);
            state_move(NODE_STOPPING);
        }
        return;
    case NODE_STOPPING:
        if (all_ended()) {
            server_close();
        }
        return;
    case NODE_DOWN:
    case NODE_OPEN: return;
    }
}

/* Whether the main thread, which looks every 10 ms while it waits, has something to do. */
static bool main_ready(void)
{
    switch (node.state) {
    case NODE_DOWN:
    case NODE_OPEN: return false;
    case NODE_STARTING: return stats_counter_get(&node.server->started) >= node.server->partitions;
    case NODE_DRAINING:
        return mesh_busy(&node.server->mesh, server_main_endpoint(node.server)) ||
               (node.drained == node.server->threads && state_us() >= GOAWAY_GRACE_US) ||
               state_us() >= DRAIN_US;
    case NODE_CLOSING:
        return stats_counter_get(&node.server->connections) == 0 || state_us() >= CLOSE_GRACE_US;
    case NODE_STOPPING: return all_ended();
    }
    UNREACHABLE();
}

static uint64_t main_next_us(void)
{
    switch (node.state) {
    case NODE_DRAINING:
        return node.since_us + (node.drained == node.server->threads ? GOAWAY_GRACE_US : DRAIN_US);
    case NODE_CLOSING: return node.since_us + CLOSE_GRACE_US;
    case NODE_DOWN:
    case NODE_STARTING:
    case NODE_OPEN:
    case NODE_STOPPING: break;
    }
    return UINT64_MAX;
}

/* ---- reactors and workers -------------------------------------------------------------------- */

static bool reactor_has_work(unsigned i)
{
    struct server *server = node.server;
    struct reactor *reactor = &server->reactors[i];
    return !node.turns[i].begun || node.turns[i].wake_us <= sim_now_us ||
           mesh_busy(&server->mesh, i) || worker_ready(&server->committers[i], 0) ||
           worker_ready(&server->reader, i) || worker_ready(&server->keeper, i) ||
           net_loop_ready(&reactor->loop);
}

static bool reactor_can_run(unsigned i)
{
    const struct turns *turns = &node.turns[i];
    if (turns->ended || turns->paused_us > sim_now_us) {
        return false;
    }
    return node.server->reactors[i].stopping || reactor_has_work(i);
}

/* As the thread's main: begin once, turns, then the end as often as it takes. */
static void reactor_step(unsigned i)
{
    struct reactor *reactor = &node.server->reactors[i];
    struct turns *turns = &node.turns[i];
    if (!turns->begun) {
        turns->begun = true;
        reactor_begin(reactor);
        return;
    }
    if (reactor->stopping) {
        turns->ended = reactor_end(reactor);
        turns->paused_us = sim_now_us + 1000; /* it sleeps between looks */
        return;
    }
    (void)mesh_step(&node.server->mesh, i);
    if (reactor->loop.ready_count == 0) { /* it wakes from its sleep now */
        loop_wait(&reactor->loop, 0);
        reactor->mono_ms = sim_now_us / 1000;
        reactor->wall_ms = sim_wall_ms();
    }
    reactor_turn(reactor);
    watch_reactor(reactor);
    const int timeout = reactor->loop.ready_count > 0 ? 0 : net_loop_timeout(&reactor->loop);
    turns->wake_us = sim_now_us + (uint64_t)timeout * 1000;
}

static bool worker_can_run(unsigned i)
{
    return node.worker_us[i] <= sim_now_us && worker_step_ready(node.workers[i]);
}

bool node_ready(void)
{
    if (node.state == NODE_DOWN) {
        return false;
    }
    for (unsigned i = 0; i < node.server->threads; i++) {
        if (reactor_can_run(i)) {
            return true;
        }
    }
    for (unsigned i = 0; i < node.worker_count; i++) {
        if (worker_can_run(i)) {
            return true;
        }
    }
    return main_ready();
}

/* On a disk that is full just when retention is to make room. */
static void trim_fails(const struct worker *worker)
{
    for (unsigned i = 0; i < node.server->partitions; i++) {
        const struct host *host = node.server->hosts[i];
        if (host->commit_out && worker == &node.server->committers[host->reactor->index] &&
            host->upkeep == UPKEEP_TRIMMING && host->trim_pos >= host->commit_batch->first_pos &&
            host->trim_pos < host->commit_batch->end_pos && fault_happens(FAULT_TRIM_NO_SPACE)) {
            disk_no_space();
        }
    }
}

/* While mail is read, or a batch that comes back is applied. */
static void memory_fails(unsigned who)
{
    if (mesh_busy(&node.server->mesh, who) && fault_happens(FAULT_NO_MEMORY_APPENDING)) {
        heap_fail_at(sim_between(1, 12));
    }
    for (unsigned i = 0; i < node.server->partitions; i++) {
        const struct host *host = node.server->reactors[who].hosts[i];
        const uint64_t count = host == NULL || !host->commit_out
                                   ? 0
                                   : host->commit_batch->end_pos - host->commit_batch->first_pos;
        if (count > 1 && worker_ready(&node.server->committers[who], 0) &&
            fault_happens(FAULT_NO_MEMORY_APPLYING)) {
            heap_fail_at(sim_between(2, 3 * count));
        }
    }
}

/* One of those that can, by chance. */
static void step(void)
{
    unsigned can[THREADS_MAX + WORKERS_MAX + 1];
    unsigned count = 0;
    const unsigned threads = node.server->threads;
    for (unsigned i = 0; i < threads; i++) {
        if (reactor_can_run(i)) {
            can[count++] = i;
        }
    }
    for (unsigned i = 0; i < node.worker_count; i++) {
        if (worker_can_run(i)) {
            can[count++] = threads + i;
        }
    }
    if (main_ready()) {
        can[count++] = threads + node.worker_count;
    }
    if (count == 0) {
        return;
    }
    const unsigned who = can[sim_below(count)];
    if (who < threads) {
        memory_fails(who);
        reactor_step(who);
        states_note();
    } else if (who < threads + node.worker_count) {
        trim_fails(node.workers[who - threads]);
        worker_step(node.workers[who - threads]);
        node.worker_us[who - threads] = sim_now_us + disk_time_taken();
    } else {
        main_step();
    }
}

void node_step(void)
{
    heap_step();
    (void)heap_owner_set(HEAP_SERVER);
    if (setjmp(heap_crash) == 0) {
        step();
        (void)heap_owner_set(HEAP_WORLD);
    } else {
        (void)heap_owner_set(HEAP_WORLD);
        trace("server ended itself: out of memory");
        node_crash(SIM_LOSE_NOTHING);
    }
    if (node.state != NODE_DOWN && sim_disk_is_dead(disk_inner())) {
        /* A third of them is the process only, killed in mid call: what it has written and not
         * synced is still there for the next one, and the machine may lose it later. */
        const bool killed = sim_now_us % 3 == 0;
        trace("fault: the %s died while it wrote", killed ? "process" : "machine");
        node_crash(killed ? SIM_LOSE_LATER : SIM_LOSE_SOME);
    }
}

uint64_t node_next_us(void)
{
    if (node.state == NODE_DOWN) {
        return UINT64_MAX;
    }
    uint64_t next = main_next_us();
    for (unsigned i = 0; i < node.server->threads; i++) {
        const struct turns *turns = &node.turns[i];
        uint64_t at = turns->wake_us;
        if (turns->paused_us > sim_now_us &&
            (node.server->reactors[i].stopping || reactor_has_work(i) || at < turns->paused_us)) {
            at = turns->paused_us;
        }
        next = !turns->ended && at < next ? at : next;
    }
    for (unsigned i = 0; i < node.worker_count; i++) {
        if (worker_step_ready(node.workers[i]) && node.worker_us[i] < next) {
            next = node.worker_us[i];
        }
    }
    return next;
}

bool node_drained(void)
{
    return node.drained_all;
}

bool node_healthy(void)
{
    for (unsigned i = 0; node.state == NODE_OPEN && i < node.server->partitions; i++) {
        if (!stats_flag_get(&node.server->ready[i])) {
            return false;
        }
    }
    return node.state == NODE_OPEN;
}

bool node_log_runs(unsigned partition)
{
    return node.state == NODE_OPEN && !partition_stopped(node.server->hosts[partition]->partition);
}

bool node_upkeep_done(void)
{
    for (unsigned i = 0; i < node.server->partitions; i++) {
        if (node.server->hosts[i]->upkeep != UPKEEP_NONE) {
            return false;
        }
    }
    return true;
}

bool node_quiet(void)
{
    struct server *server = node.server;
    if (node.state != NODE_OPEN || stats_counter_get(&server->connections) > 0) {
        return false;
    }
    for (unsigned i = 0; i < server->threads; i++) {
        if (mesh_busy(&server->mesh, i) || !list_empty(&server->reactors[i].dirty)) {
            return false;
        }
    }
    for (unsigned i = 0; i < server->partitions; i++) {
        if (!host_quiet(server->hosts[i]) || !host_idle(server->hosts[i])) {
            return false;
        }
    }
    return true;
}

const char *node_left_over(void)
{
    const struct server *server = node.server;
    for (unsigned i = 0; i < server->partitions; i++) {
        if (map_count(&server->hosts[i]->topics) > 0) {
            return "a follower that was never detached";
        }
    }
    for (unsigned i = 0; i < server->threads; i++) {
        const struct reactor *reactor = &server->reactors[i];
        if (reactor->feeds.bytes_ > 0 || map_count(&reactor->feeds.by_name_[WIRE_JSON]) > 0 ||
            map_count(&reactor->feeds.by_name_[WIRE_BINARY]) > 0) {
            return "a feed without followers";
        }
        if (reactor->blocked_count > 0) {
            return "a publish that waits for room";
        }
        for (unsigned p = 0; p < server->partitions; p++) {
            if (reactor->credit_used[p] > 0) {
                return "credit of publishes that were answered";
            }
        }
    }
    return NULL;
}

/* ---- faults ---------------------------------------------------------------------------------- */

void node_pause_reactor(uint64_t us)
{
    if (node.state != NODE_DOWN) {
        const unsigned i = (unsigned)sim_below(node.server->threads);
        trace("fault: reactor %u pauses for %llu ms", i, (unsigned long long)us / 1000);
        node.turns[i].paused_us = sim_now_us + us;
    }
}

void node_pause_worker(uint64_t us)
{
    if (node.state != NODE_DOWN) {
        const unsigned i = (unsigned)sim_below(node.worker_count);
        trace("fault: worker %u pauses for %llu ms", i, (unsigned long long)us / 1000);
        node.worker_us[i] = sim_now_us + us;
    }
}

void node_calm(void)
{
    heap_fail_at(0);
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        node.turns[i].paused_us = 0;
    }
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        node.worker_us[i] = 0;
    }
}
